"""A `fit` that survives Ctrl-C and crashes."""

import inspect
from collections.abc import Iterable
from typing import Any, cast

import keras
import numpy as np

from .._arguments import instance
from .callback import Call, EarlyStopping
from .following import StopReason
from .state_file import StateFile


class _History(keras.callbacks.History):
    """A History whose lists an interrupt does not leave at unequal lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.rows.append((epoch, dict(logs or {})))
        super().on_epoch_end(epoch, logs)

    def fill(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        for done, (epoch, logs) in enumerate(rows):
            # What a callback interrupted in the last epoch did not come to add is missing there.
            whole = [name for name, values in self.history.items() if len(values) == done]
            missing = [name for name in whole if name not in logs and name[:4] != "val_"]
            self.epoch.append(epoch)
            for name, value in (logs | dict.fromkeys(missing, np.nan)).items():
                self.history.setdefault(name, []).append(value)


def fit_interruptible(model: keras.Model, *args: Any, **kwargs: Any) -> keras.callbacks.History:
    """Call `model.fit`, keep history and best weights on Ctrl-C, go on after a crash.

    Takes what `fit` takes and returns its History: of the finished epochs after Ctrl-C, of the
    whole run when an `EarlyStopping` with a `state_path` goes on with what it finds there. Each
    `EarlyStopping` among the callbacks restores its best weights and reports on every ending;
    on an error too, which is then raised. The one with a `state_path` comes last, so that what
    other callbacks do at an epoch's end is committed, too. Where nothing is left to train, no
    other callback is called.

    Raises `TypeError` for what is no model or no callback, `ValueError` for more than one
    `state_path` and for a state that does not fit, and whatever `fit` raises.

    >>> import numpy as np
    >>> def interrupt(epoch, logs):
    ...     if epoch == 2:
    ...         raise KeyboardInterrupt
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)]
    >>> x = np.ones((4, 1))
    >>> fit_interruptible(model, x, x, epochs=9, callbacks=callbacks, verbose=0).epoch
    [0, 1]
    """
    instance("model", model, keras.Model, "a keras.Model")
    arguments = inspect.signature(keras.Model.fit).bind(model, *args, **kwargs).arguments
    del arguments["self"]
    given = arguments.get("callbacks")
    callbacks = [] if given is None else keras.tree.flatten(given)
    for callback in callbacks:
        instance("callbacks", callback, keras.callbacks.Callback, "a list of Keras callbacks")
        if isinstance(callback, keras.callbacks.CallbackList):
            raise TypeError("callbacks must be a list of Keras callbacks; got a CallbackList.")
    stoppings = [callback for callback in callbacks if isinstance(callback, EarlyStopping)]
    committing = [stopping for stopping in stoppings if stopping._state_file is not None]
    if len(committing) > 1:
        raise ValueError(
            f"callbacks must have at most one EarlyStopping with a state_path; got "
            f"{len(committing)}."
        )
    arguments["callbacks"] = [c for c in callbacks if c not in committing] + committing
    validated = arguments.get("validation_data") is not None or arguments.get("validation_split")
    call = Call(arguments.get("x"), arguments.get("y"), bool(validated), arguments["callbacks"])
    for stopping in stoppings:
        stopping._forget()
    for stopping in committing:
        arguments |= _going_on(stopping, arguments)
    history = _History()
    arguments["callbacks"] = [*arguments["callbacks"], history]
    try:
        for stopping in stoppings:
            stopping._call = call
        model.fit(**arguments)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        for stopping in stoppings:
            if stopping.report is None:
                stopping._end(StopReason.INTERRUPTED if interrupted else StopReason.OTHER)
        if not interrupted:
            raise
    finally:
        for stopping in stoppings:
            stopping._call = None
        for stopping in committing:
            cast(StateFile, stopping._state_file).release()
        whole = (committing or stoppings)[:1]
        history.fill(whole[0]._rows if whole else history.rows)
        model.history = history
    return history


def _going_on(stopping: EarlyStopping, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `fit` that goes on after what is committed, if anything is."""
    header = cast(StateFile, stopping._state_file).open(stopping, arguments.get("initial_epoch", 0))
    if header is None:
        return {}
    done, epochs = header["rows"][-1][0] + 1, arguments.get("epochs", 1)
    if done < epochs and not header["stopped"]:
        return {"initial_epoch": done}
    # Nothing is left to train: a fit of no epoch, for the weights and the report alone.
    return {"initial_epoch": max(done, epochs), "callbacks": [stopping], "verbose": 0}
