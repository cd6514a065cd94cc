"""Early stopping that ends every run well: Keras's callback, with any rule in it."""

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np

from .. import _keras
from .._arguments import choice, instance, number
from .following import Rule, StopReason, StopReport, advance, begin, check_mode, check_rule, report
from .monitors import build, logged_number, logs_as_keras, possible_names
from .rules import Patience
from .state_file import StateFile

_COMPARISONS = {"less": "min", "lt": "min", "greater": "max", "gt": "max"}


class Call(NamedTuple):
    """What only a call of `fit` knows, and no callback is told."""

    x: Any
    y: Any
    validated: bool
    callbacks: list[keras.callbacks.Callback]


class EarlyStopping(keras.callbacks.Callback):
    """Stop `fit` by a rule, report how the run ended and restore the best weights.

    Takes what `keras.callbacks.EarlyStopping` takes, and does what that does, but for four things:
    `restore_best_weights` is `True`; a NaN or an infinity is never the best; the model ends with
    the weights of the best epoch however training ends, after Ctrl-C or an error if it ran through
    `fit_interruptible` (the optimizer stays where the last epoch left it); and `report` is then
    the `StopReport`, `None` before, which `verbose=1` prints. `rule` is any other rule, instead of
    `min_delta`, `patience`, `mode`, `baseline` and `start_from_epoch`, which belong into it: with
    `rule=Patience(…, check_finite=False)` a NaN is, too, what it is in Keras.

    As in Keras, `best`, `best_epoch`, `best_weights`, `wait`, `stopped_epoch` and `monitor_op` can
    be read and set between epochs, and begin anew with each `fit`. `monitor` is the name in the
    logs that is followed; an epoch whose logs lack it counts as not validated.

    `state_path` is a folder: the end of each epoch commits, all or nothing, the rule's state, the
    best weights, the model with its optimizer, and the logs. After a crash, the same call of
    `fit_interruptible` goes on after the last whole epoch, to the same end. The weights come out
    the same, too, where the order of samples does not depend on the process: `shuffle=False`, or
    an order seeded by the epoch. Other callbacks begin anew (of `ReduceLROnPlateau`, only the
    learning rate that it has set is kept, not its wait), but a run that one of them has ended has
    ended. A second process is refused as long as the first one runs.

    Raises `ValueError` for a `rule` beside what belongs into it, and for a `state_path` that is a
    file; when training begins for a rule whose mode is not the metric's, and for a state that is
    damaged, in use, or of another rule, monitor or model, which is left alone; at the end of the
    first epoch with a validation for a monitor that is not in the logs, is no single number or has
    no known mode; `TypeError` for what is no rule, name, boolean or path. `fit_interruptible`
    refuses the monitor before the first epoch wherever it can be known.

    >>> import numpy as np
    >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> stopping = EarlyStopping("loss", patience=2)
    >>> x = np.ones((4, 1))
    >>> history = model.fit(x, x, epochs=9, callbacks=[stopping], verbose=0)
    >>> print(stopping.report)
    Patience ran out after epoch 3; the best was epoch 1, with 1, and was restored.
    >>> from epochlab import Target
    >>> stopping = EarlyStopping("loss", rule=Target(2))
    >>> len(model.fit(x, x, epochs=9, callbacks=[stopping], verbose=0).epoch)
    1
    """

    # What belongs into a rule, as it is without one.
    _OF_A_RULE = dict(min_delta=0, patience=0, mode="auto", baseline=None, start_from_epoch=0)
    min_delta: float
    patience: int
    mode: str
    baseline: float | None
    start_from_epoch: int

    def __new__(cls, *args: Any, **kwargs: Any) -> "EarlyStopping":
        if args and isinstance(args[0], Rule):
            raise TypeError(f"rule must be given by name; write EarlyStopping(rule={args[0]}, …).")
        return super().__new__(cls)

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
        rule: Rule | None = None,
        state_path: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        instance("monitor", monitor, str, 'a name in the logs such as "val_loss"')
        instance("restore_best_weights", restore_best_weights, bool, "True or False")
        instance("verbose", verbose, int, "0 or 1")
        values = (min_delta, patience, mode, baseline, start_from_epoch)
        given = dict(zip(self._OF_A_RULE, values, strict=True))
        if rule is not None:
            check_rule(rule)
            changed = [name for name, value in given.items() if value != self._OF_A_RULE[name]]
            if changed:
                raise ValueError(
                    f"rule must be given without {', '.join(changed)}, which belongs into it; got "
                    f"{rule} and {', '.join(f'{name}={given[name]!r}' for name in changed)}."
                )
            given = {name: getattr(rule, name, value) for name, value in given.items()}
        else:
            choice("mode", mode, "auto", "min", "max")
        self.__dict__.update(given)
        self.monitor, self.verbose = monitor, verbose
        self.restore_best_weights = restore_best_weights
        self._state_file = None if state_path is None else StateFile(state_path)
        self._rule = rule
        self._direction: str | None = None  # the mode, once it is known
        self._call: Call | None = None
        self._forget()
        check_rule(self.rule)  # made of the arguments

    @property
    def rule(self) -> Rule:
        """The rule that is followed; with mode "auto", its mode shows after the first epoch."""
        if self._rule is not None:
            return self._rule
        return Patience(
            self.patience,
            min_delta=abs(number("min_delta", self.min_delta)),  # as Keras does
            mode=self._direction or ("min" if self.mode == "auto" else self.mode),
            baseline=self.baseline,
            start_from_epoch=self.start_from_epoch,
        )

    @property
    def monitor_op(self) -> Callable[[Any, Any], Any] | None:
        """`keras.ops.less` or `keras.ops.greater`, `None` until the first monitored epoch."""
        return {"min": keras.ops.less, "max": keras.ops.greater, None: None}[self._direction]

    @monitor_op.setter
    def monitor_op(self, comparison: Callable[[Any, Any], Any]) -> None:
        direction = _COMPARISONS.get(getattr(comparison, "__name__", ""))
        if direction is None or self._rule is not None:
            raise ValueError(
                "monitor_op must be keras.ops.less or keras.ops.greater, and no rule be given; got "
                f"{comparison!r}. Another comparison is the improves of a Rule."
            )
        self._direction = direction

    def _forget(self) -> None:
        self.report: StopReport | None = None
        self.best: float | None = None
        self.best_weights: list[np.ndarray] | None = None
        self.best_epoch = self.wait = self.stopped_epoch = 0
        self._state, self._stopped = begin(), False  # by the rule
        self._rows: tuple[tuple[int, dict[str, Any]], ...] = ()  # each epoch's number and logs
        self._appeared = False  # the monitored value, in the logs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        if self._call is not None:
            self._check_call(self._call)
        if self._rule is not None:
            check_mode(self._rule, self.monitor, _keras.metric_mode(self.model, self.monitor))
        if self._state_file is not None:
            self._state_file.begin(self)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        following = self._state.epoch + 1
        if self._rows and epoch != following:
            raise ValueError(
                f"the next epoch must be {following}; got {epoch}: another callback or an earlier "
                "run has moved it, or this callback is listed twice."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        if not self._appeared:
            self._check_appearance(logs)
        changed = self._after(epoch, logs)
        if self.restore_best_weights and changed["_state"].improved[0]:
            changed["best_weights"] = self.model.get_weights()
        self.__dict__.update(changed)  # together, since Ctrl-C may come between any two statements
        if self._state_file is not None:
            self._state_file.commit(self)
        if self._stopped:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        reason, rows = StopReason.EPOCHS, self._rows
        if getattr(self.model, "stop_training", False):
            finite = not rows or np.isfinite(rows[-1][1].get("loss", 0))
            reason = StopReason.OTHER if finite else StopReason.NON_FINITE
        if rows and not self._appeared:
            found = ", ".join(sorted(rows[-1][1]))
            text = f"{self.monitor} never was in the logs, so no epoch was the best; there were"
            warnings.warn(f"{text} {found}.", stacklevel=2)
        self._end(reason)

    def _end(self, reason: StopReason) -> None:
        """Restore the best weights, then report."""
        if self._stopped:
            reason = self.rule.reasons(self._state)[0]
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
        has_epoch = self._stopped or reason is StopReason.NON_FINITE
        stopped_epoch = self._state.epoch if has_epoch else None
        restored = self.best_weights is not None
        self.report = report(self._state, reason, stopped_epoch, restored)
        if self.verbose:
            print(self.report)
        if self._state_file is not None:
            self._state_file.release()

    def _after(self, epoch: int, logs: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes after one more epoch that are other ones, but for the weights."""
        rule, loss = self.rule, logged_number("loss", logs.get("loss"))
        value = logged_number(self.monitor, logs.get(self.monitor))
        if loss is None and rule.needs_train_values:
            raise ValueError(f"rule must do without the training loss; got {rule}.")
        before = self._state if self._rows else begin(initial_epoch=epoch)
        before = before._replace(  # somebody may have set them
            wait=np.array([self.wait]),
            best_epoch=np.array([-1 if self.best is None else self.best_epoch]),
            best_value=_column(self.best),
        )
        seen = np.array([value is not None])
        state, stops = advance(rule, before, _column(value), seen, _column(loss))
        rows = (*self._rows, (epoch, logs))  # not a copy: later callbacks may still add to them
        changed: dict[str, Any] = {"_state": state, "_stopped": bool(stops[0]), "_rows": rows}
        changed["wait"] = int(state.wait[0])
        if state.improved[0]:
            changed |= {"best": float(state.best_value[0]), "best_epoch": epoch}
        return changed | ({"stopped_epoch": epoch} if stops[0] else {})

    # The monitor

    def _check_call(self, call: Call) -> None:
        """Raise `ValueError` if the monitored value cannot be in the logs of this `fit`."""
        build(self.model, call.x, call.y)
        names = _keras.logged_names(self.model)
        if names is not None and logs_as_keras(self.model, call.callbacks):
            possible = possible_names(names, call.validated, call.callbacks)
            if self.monitor not in possible:
                self._refuse_monitor(possible)

    def _check_appearance(self, logs: dict[str, Any]) -> None:
        """Raise `ValueError` if the monitored value should be in the logs of this epoch."""
        validated = any(name.startswith("val_") for name in logs)
        never = self._call is not None and not self._call.validated
        if self.monitor not in logs:
            if validated or never or not self.monitor.startswith("val_"):
                self._refuse_monitor(logs)
            return
        self._appeared = True
        known = _keras.metric_mode(self.model, self.monitor)  # now that the metrics are built
        if self._rule is not None:
            check_mode(self._rule, self.monitor, known)
        self._direction = self._direction or (known if self.mode == "auto" else self.mode)
        if self._direction is None:
            raise ValueError(
                f'mode must be "min" or "max" to monitor {self.monitor}, of which Keras does not '
                'know what is better; got "auto".'
            )

    def _refuse_monitor(self, names: Iterable[str]) -> None:
        raise ValueError(
            f"monitor must be one of {', '.join(sorted(names))}; got {self.monitor!r}. (val_ needs "
            "validation data, and a callback that adds a name must come before this one.)"
        )


def _column(value: float | None) -> np.ndarray:
    return np.array([np.nan if value is None else value], float)
