"""Mistakes in what callbacks follow, and in how long they wait for it."""

import string
from collections.abc import Iterator
from typing import Any

import keras

from .. import _keras
from ..stopping.callback import EarlyStopping
from ..stopping.rules import Patience
from .call import Call, Watch
from .finding import MISTAKES, STOPPING, Finding

_LATE = "fit raises a ValueError after the whole first epoch."
_PATIENCE = f"{STOPPING}#How-long-should-the-rule-wait?"


def wrong_mode(call: Call) -> Iterator[Finding]:
    for watch in call.watches:
        right = call.metrics and _keras.metric_mode(call.metrics, watch.monitor)
        if watch.acts and right and watch.mode not in (right, "auto"):
            refused = "; a rule is refused" if isinstance(watch.callback, EarlyStopping) else ""
            yield Finding(
                "wrong-mode",
                symptom=f"{watch.kind} takes the worst epoch for the best{refused}.",
                cause=f'{watch.kind} has mode="{watch.mode}" for {watch.monitor}, of which '
                f"{'higher' if right == 'max' else 'lower'} is better.",
                cure=f'Set mode="{right}".',
            )


def undecidable_mode(call: Call) -> Iterator[Finding]:
    for watch in call.watches:
        if _is_undecidable(call, watch) and not _is_missing(call, watch):
            yield Finding(
                "undecidable-mode",
                symptom=_LATE,
                cause=f'{watch.kind} has mode "auto", and Keras does not know whether '
                f"{watch.monitor} is better when it is higher or lower.",
                cure='Set mode="min" or mode="max".',
            )


def _is_undecidable(call: Call, watch: Watch) -> bool:
    if watch.mode != "auto" or watch.callback.monitor_op is not None or call.metrics is None:
        return False
    if isinstance(watch.callback, EarlyStopping):
        return _keras.metric_mode(call.metrics, watch.monitor) is None
    return _keras.fails_on_auto(call.metrics, watch.monitor)


def _is_missing(call: Call, watch: Watch) -> bool:
    return watch.acts and call.lacks(watch.monitor, watch.callback)


def missing_monitor(call: Call) -> Iterator[Finding]:
    for watch in call.watches:
        if not _is_missing(call, watch):
            continue
        raises = _is_undecidable(call, watch)
        if isinstance(watch.callback, EarlyStopping):  # sees only whether there is a validation
            raises = bool(call.validations()) or not watch.monitor.startswith("val_")
        yield Finding(
            "missing-monitor",
            symptom=_LATE if raises else _idle(watch.callback),
            cause=f"{watch.kind} monitors {watch.monitor}, which will not be in the logs"
            f"{_why(call, watch.monitor, watch.callback)}.",
            cure=f"Monitor {_known(call, watch.callback)}. (Names with val_ need validation data.)",
            see=f"{MISTAKES}#Early-stopping-by-val_acc",
        )


def _idle(callback: keras.callbacks.Callback) -> str:
    """Return what comes of a callback that never sees a better value."""
    if isinstance(callback, keras.callbacks.ReduceLROnPlateau):
        return "The learning rate is never reduced."
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return "Each epoch is saved over the one before, better or not."
    restored = ", and no best weights are restored" if _restores(callback) else ""
    return f"Training never stops early{restored}."


def _restores(callback: keras.callbacks.Callback) -> bool:
    """Whether the weights of the best epoch are asked for; only an early stop has them."""
    return getattr(callback, "restore_best_weights", False)


def _known(call: Call, callback: keras.callbacks.Callback) -> str:
    names = call.names(callback)
    return f"one of {', '.join(sorted(names))}" if names else "loss"


def _why(call: Call, name: str, reader: keras.callbacks.Callback) -> str:
    if call.lacks(name, reader) and not call.lacks(name, call.callbacks[-1]):
        return ": the callback that adds it comes later, and must come before"
    if not name.startswith("val_") or call.validations():
        return ""
    if call.validation is None:
        return ": there is no validation data"
    return f": validation_freq={call.freq} leaves no epoch validated"


def missing_in_path(call: Call) -> Iterator[Finding]:
    for callback in call.callbacks if call.epochs else ():
        if not isinstance(callback, keras.callbacks.ModelCheckpoint):
            continue
        by_batch = callback.save_freq != "epoch"
        unvalidated = call.validations() < call.n_epochs
        for field in sorted(_fields(callback.filepath) - {"epoch", "batch" if by_batch else ""}):
            sometimes = field.startswith("val_") and (by_batch or unvalidated)
            if call.lacks(field, callback) or (sometimes and call.logs_as_keras):
                when = "after a batch" if by_batch else "after an epoch"
                yield Finding(
                    "missing-in-path",
                    symptom=f"fit raises a KeyError when it saves {when}.",
                    cause=f"The path of {type(callback).__name__} asks for {{{field}}}, which "
                    f"is not in the logs of each{_why(call, field, callback)}.",
                    cure=f"Ask for {{epoch}} or {_known(call, callback)}, in braces.",
                )


def _fields(path: str) -> set[str]:
    try:
        return {field for _, field, _, _ in string.Formatter().parse(path) if field}
    except ValueError:  # Keras will tell
        return set()


def patience_0(call: Call) -> Iterator[Finding]:
    for callback in call.callbacks:
        waiting = _waiting(callback)
        if waiting is not None and waiting.patience <= 0:
            yield Finding(
                "patience-0",
                symptom="Training ends with the first epoch that is no better than the best.",
                cause=f"patience={waiting.patience} waits for nothing; 1 stops at the same epoch.",
                cure="Wait for several epochs, such as patience=5, and restore the best weights.",
                see=_PATIENCE,
            )


def _waiting(callback: keras.callbacks.Callback) -> Any:
    """Return what has the patience of an early stop, `None` where nothing has."""
    rule = callback.rule if isinstance(callback, EarlyStopping) else callback
    return rule if isinstance(rule, (keras.callbacks.EarlyStopping, Patience)) else None


def no_effect(call: Call) -> Iterator[Finding]:
    # One epoch is a trial run, of which nobody expects an early stop.
    for watch in call.watches if call.n_epochs > 1 else ():
        plateau = isinstance(watch.callback, keras.callbacks.ReduceLROnPlateau)
        waiting = watch.callback if plateau else _waiting(watch.callback)
        if waiting is None or _is_missing(call, watch) or _is_undecidable(call, watch):
            continue
        start = getattr(waiting, "start_from_epoch", 0)
        validated = watch.monitor.startswith("val_") and call.logs_as_keras
        seen = call.validations(start) if validated else call.last - max(start, call.epochs[0])
        if start >= call.last:
            yield Finding(
                "late-start",
                symptom=_idle(watch.callback),
                cause=f"start_from_epoch={start} counts from 0; epochs={call.last} ends before.",
                cure="Start earlier, or train for more epochs.",
            )
        elif waiting.patience >= seen and not _restores(watch.callback):
            yield Finding(
                "long-patience",
                symptom=_idle(watch.callback),
                cause=f"patience={waiting.patience}, and {watch.monitor} is seen {seen} times, of "
                "which the first is the best so far.",
                cure="Wait for fewer epochs, or train for more; or restore the best weights.",
                see=_PATIENCE,
            )


def scheduled_plateau(call: Call) -> Iterator[Finding]:
    schedule = call.model.optimizer and _keras.learning_rate_schedule(call.model.optimizer)
    plateaus = (isinstance(c, keras.callbacks.ReduceLROnPlateau) for c in call.callbacks)
    if schedule is not None and any(plateaus):
        yield Finding(
            "scheduled-plateau",
            symptom="fit raises a TypeError at the first plateau, after any number of epochs.",
            cause=f"Both ReduceLROnPlateau and {type(schedule).__name__} set the learning rate.",
            cure="Take one of the two.",
        )


CHECKS = (
    wrong_mode,
    undecidable_mode,
    missing_monitor,
    missing_in_path,
    patience_0,
    no_effect,
    scheduled_plateau,
)
