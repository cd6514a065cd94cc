"""Early stopping that ends every run well, and a `fit` that survives Ctrl-C and crashes."""

import inspect
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from .._arguments import instance
from .monitors import build, check_mode, possible_names, running_fit
from .resuming import check_same, describe, numbered, read, to_json, write
from .rules import Rule, State, StopReason, StopReport, advance, begin, check_rule, report


class _Progress(NamedTuple):
    """All that an epoch's end changes, so that one assignment changes it together."""

    state: State = begin()
    stopped: bool = False  # by the rule
    weights: list[np.ndarray] | None = None  # of the best epoch
    rows: tuple[tuple[int, dict[str, Any]], ...] = ()  # each epoch's number and logs


class _Saved(NamedTuple):
    """What a state file holds."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]
    progress: _Progress


class EarlyStopping(keras.callbacks.Callback):
    """Stop `fit` by a rule, report how the run ended and restore the best weights.

    `rule` is any of epochlab's, or a new one; `monitor` the name in the logs that it follows. An
    epoch whose logs lack it counts as not validated. With `restore_best_weights`, the model ends
    with the weights of the best epoch however training ends, after Ctrl-C or an error if it ran
    through `fit_interruptible`; the optimizer stays where the last epoch left it. With
    `Patience(check_finite=False)` it stops and restores as `keras.callbacks.EarlyStopping` does.
    `report` is the `StopReport` once training has ended, `None` before.

    `state_path` is a folder: the end of each epoch commits, all or nothing, the rule's state, the
    best weights, the model with its optimizer, and the logs. After a crash, the same call of
    `fit_interruptible` goes on after the last whole epoch, to the same end. The weights come out
    the same, too, where the order of samples does not depend on the process: `shuffle=False`, or
    an order seeded by the epoch. Other callbacks begin anew (of `ReduceLROnPlateau`, only the
    learning rate that it has set is kept, not its wait). Not for two runs at once.

    Raises `ValueError` for a `state_path` that is a file, and when training begins for a monitor
    that cannot appear (at the end of the first epoch where that shows only then), a rule whose
    mode is not the metric's, and a state that is damaged or of another rule, monitor or model,
    which is left alone; `TypeError` for what is no rule, name, boolean or path.

    >>> import numpy as np
    >>> from epochlab import Patience, fit_interruptible
    >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> stopping = EarlyStopping(Patience(2), monitor="loss")
    >>> x = np.ones((4, 1))
    >>> history = fit_interruptible(model, x, x, epochs=9, callbacks=[stopping], verbose=0)
    >>> print(stopping.report)
    Patience ran out after epoch 3; the best was epoch 1, with 1, and was restored.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        monitor: str = "val_loss",
        restore_best_weights: bool = True,
        state_path: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        check_rule(rule)
        instance("monitor", monitor, str, 'a name in the logs such as "val_loss"')
        instance("restore_best_weights", restore_best_weights, bool, "True or False")
        if state_path is not None:
            instance("state_path", state_path, (str, os.PathLike), "the path of a folder")
            state_path = Path(state_path)
            if state_path.exists() and not state_path.is_dir():
                raise ValueError(f"state_path must be a folder; got the file {state_path}.")
        self.rule, self.monitor, self.restore_best_weights = rule, monitor, restore_best_weights
        self.state_path = state_path
        self._saved: _Saved | None = None
        self._forget()

    def _forget(self) -> None:
        self.report: StopReport | None = None
        self._progress = _Progress()
        self._appeared = False  # the monitored value, in the logs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        saved, self._saved = self._saved, None
        self._forget()
        self._fit = running_fit(self.model)
        if self._fit:
            build(self.model, self._fit["x"], self._fit["y"])
        names = possible_names(self.model, self._fit)
        if names is not None and self.monitor not in names:
            self._refuse_monitor(names)
        check_mode(self.rule, self.monitor, self.model)
        if saved is not None:
            self._load(saved)
        elif self.state_path is not None:
            if self._file.exists():
                raise ValueError(
                    f"state_path must be a folder without a state; {self._file} holds one: "
                    "continue it with fit_interruptible or give another folder."
                )
            self.state_path.mkdir(parents=True, exist_ok=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        following = self._progress.state.epoch + 1
        if self._progress.rows and epoch != following:
            raise ValueError(
                f"the next epoch must be {following}; got {epoch}: another callback or an earlier "
                "run has moved it, or this callback is listed twice."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        if not self._appeared:
            self._check_appearance(logs)
        before = self._progress
        after = self._follow(before, epoch, logs)
        if self.restore_best_weights and after.state.improved[0]:
            after = after._replace(weights=self.model.get_weights())
        self._progress = after
        if self.state_path is not None:
            self._commit()
        if after.stopped:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        reason, rows = StopReason.EPOCHS, self._progress.rows
        if getattr(self.model, "stop_training", False):
            finite = not rows or np.isfinite(rows[-1][1].get("loss", 0))
            reason = StopReason.OTHER if finite else StopReason.NON_FINITE
        self._end(reason)

    def _end(self, reason: StopReason) -> None:
        """Restore the best weights, then report."""
        progress = self._progress
        if progress.stopped:
            reason = self.rule.reason
        if progress.weights is not None:
            self.model.set_weights(progress.weights)
        has_epoch = progress.stopped or reason is StopReason.NON_FINITE
        self.report = report(
            progress.state,
            reason,
            stopped_epoch=progress.state.epoch if has_epoch else None,
            restored=progress.weights is not None,
        )

    def _follow(self, before: _Progress, epoch: int, logs: dict[str, Any]) -> _Progress:
        """Return the progress after one more epoch, its weights not yet looked at."""
        value, loss = logs.get(self.monitor), logs.get("loss")
        if loss is None and self.rule.needs_train_values:
            raise ValueError(f"rule must do without the training loss; got {self.rule}.")
        state, stops = advance(
            self.rule,
            before.state if before.rows else begin(initial_epoch=epoch),
            np.array([np.nan if value is None else value], float),
            np.array([value is not None]),
            np.array([np.nan if loss is None else loss], float),
        )
        rows = (*before.rows, (epoch, logs))  # not a copy: later callbacks may still add to them
        return before._replace(state=state, stopped=bool(stops[0]), rows=rows)

    # The monitor

    def _check_appearance(self, logs: dict[str, Any]) -> None:
        """Raise `ValueError` if the monitored value should be in the logs of this epoch."""
        validated = any(name.startswith("val_") for name in logs)
        never = bool(self._fit) and self._fit["validation_data"] is None
        if self.monitor in logs:
            self._appeared = True
            check_mode(self.rule, self.monitor, self.model)
        elif validated or never or not self.monitor.startswith("val_"):
            self._refuse_monitor(logs)

    def _refuse_monitor(self, names: Iterable[str]) -> None:
        raise ValueError(
            f"monitor must be one of {', '.join(sorted(names))}; got {self.monitor!r}. (val_ needs "
            "validation data, and a callback that adds a name must come before this one.)"
        )

    # The state

    @property
    def _file(self) -> Path:
        return self.state_path / "state.npz"

    def _settings(self) -> dict[str, Any]:
        return {
            "rule": {"name": type(self.rule).__name__, **asdict(self.rule)},
            "monitor": self.monitor,
            "restore_best_weights": self.restore_best_weights,
        }

    def _commit(self) -> None:
        model, progress = self.model, self._progress
        write(
            self._file,
            {"model": describe(model), "rows": progress.rows, **self._settings()},
            {
                "model": [variable.numpy() for variable in model.variables],
                "optimizer": [variable.numpy() for variable in model.optimizer.variables],
                "best": progress.weights or [],
            },
        )

    def _open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a `fit` that goes on after what is committed, if anything is."""
        if self.state_path is None or not self._file.exists():
            return arguments
        header, arrays = read(self._file)
        started = {"initial_epoch": header["rows"][0][0]}
        wanted = {"initial_epoch": arguments.get("initial_epoch", 0), **self._settings()}
        check_same(self._file, header | started, json.loads(to_json(wanted)))
        progress = _Progress()
        for epoch, logs in header["rows"]:
            progress = self._follow(progress, epoch, logs)
        progress = progress._replace(weights=numbered(arrays, "best") or None)
        self._saved = _Saved(header, arrays, progress)
        done, epochs = progress.state.epoch + 1, arguments.get("epochs", 1)
        if done < epochs and not progress.stopped:
            return arguments | {"initial_epoch": done}
        # Nothing is left to train: a fit of no epoch, for the weights and the report alone.
        return arguments | {"initial_epoch": max(done, epochs), "callbacks": [self], "verbose": 0}

    def _load(self, saved: _Saved) -> None:
        model = self.model
        if not model.built:
            raise ValueError(
                "model must be built to go on with a state: begin it with a keras.Input or call "
                "it on a batch."
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        check_same(self._file, saved.header, {"model": describe(model)})
        self._progress = saved.progress
        for name, variables in (
            ("model", model.variables),
            ("optimizer", model.optimizer.variables),
        ):
            for variable, value in zip(variables, numbered(saved.arrays, name), strict=True):
                # Of a bfloat16, a file of NumPy's has the bytes alone.
                variable.assign(value.view(variable.dtype) if value.dtype.kind == "V" else value)


class _History(keras.callbacks.History):
    """A History whose lists an interrupt does not leave at unequal lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.rows.append((epoch, dict(logs or {})))
        super().on_epoch_end(epoch, logs)

    def fill(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> None:
        self.epoch, self.history = [], {}
        for epoch, logs in rows:
            # What a callback interrupted in the last epoch did not come to add is missing there.
            missing = [
                name
                for name, values in self.history.items()
                if name not in logs
                and len(values) == len(self.epoch)
                and not name.startswith("val_")
            ]
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
    committing = [callback for callback in stoppings if callback.state_path is not None]
    if len(committing) > 1:
        raise ValueError(
            f"callbacks must have at most one EarlyStopping with a state_path; got "
            f"{len(committing)}."
        )
    for stopping in stoppings:
        stopping._forget()
    arguments["callbacks"] = [c for c in callbacks if c not in committing] + committing
    for stopping in committing:
        arguments = stopping._open(arguments)
    history = _History()
    arguments["callbacks"] = [*arguments["callbacks"], history]
    try:
        model.fit(**arguments)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        for stopping in stoppings:
            if stopping.report is None:
                stopping._end(StopReason.INTERRUPTED if interrupted else StopReason.OTHER)
        if not interrupted:
            raise
    finally:
        for stopping in committing:
            stopping._saved = None
        whole = (committing or stoppings)[:1]
        history.fill(whole[0]._progress.rows if whole else history.rows)
        model.history = history
    return history
