"""What the logs of `fit` can hold, as far as it can be known before the first epoch."""

import sys
from typing import Any

import keras
import tensorflow as tf

from .recorders import TrainEvaluation
from .rules import Rule

_STEPS = ("train_step", "test_step", "compute_metrics", "make_train_function")
_ADD_RATE = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


def running_fit(model: keras.Model) -> dict[str, Any]:
    """Return the variables of the `fit` that called, which tells callbacks too little.

    Empty where there is none: when a callback is driven by hand.
    """
    frame = sys._getframe()
    while frame := frame.f_back:
        found = frame.f_locals if frame.f_code.co_name == "fit" else {}
        if found.get("self") is model and {"x", "y", "validation_data"} <= found.keys():
            return {name: found[name] for name in ("x", "y", "validation_data", "callbacks")}
    return {}


def build(model: keras.Model, x: Any, y: Any) -> None:
    """Build the model, its metrics and its optimizer if they are not, without running anything.

    With TensorFlow, `fit` leaves that to its first step; with JAX it does the same as this.
    """

    def symbol(array: Any) -> keras.KerasTensor:
        return keras.KerasTensor(
            (None, *array.shape[1:]), keras.backend.standardize_dtype(array.dtype)
        )

    try:
        if isinstance(x, tf.data.Dataset):
            model._symbolic_build(data_batch=x.element_spec)
        else:
            model._symbolic_build(data_batch=keras.tree.map_structure(symbol, (x, y)))
    except Exception:  # a generator has no shapes; of what is wrong, fit itself will tell
        return


def possible_names(model: keras.Model, fit: dict[str, Any]) -> set[str] | None:
    """Return what can be in the logs, `None` where the first epoch must show it."""
    if not fit or any(getattr(type(model), s) is not getattr(keras.Model, s) for s in _STEPS):
        return None
    try:
        names = set(model.get_metrics_result())
    except ValueError:  # not built
        return None
    possible = names | {f"val_{name}" for name in names if fit["validation_data"] is not None}
    for callback in fit["callbacks"].callbacks:
        if isinstance(callback, TrainEvaluation):
            possible |= {f"train_{name}" for name in names}
        elif isinstance(callback, _ADD_RATE):
            possible.add("learning_rate")
        elif not _adds_nothing(callback):
            return None
    return possible


def _adds_nothing(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback surely adds nothing to the logs of an epoch."""
    kind = type(callback)
    known = kind.__module__.split(".")[0] in ("keras", "epochlab")
    if known and kind is not keras.callbacks.LambdaCallback:
        return True
    method = getattr(callback.on_epoch_end, "__func__", None)
    return method is keras.callbacks.Callback.on_epoch_end


def check_mode(rule: Rule, monitor: str, model: keras.Model) -> None:
    """Raise `ValueError` for a mode that is not the metric's."""
    mode = _mode(model, monitor)
    if mode not in (None, rule.mode):
        raise ValueError(
            f'rule must have mode "{mode}" to monitor {monitor}; got {rule}, whose mode is '
            f'"{rule.mode}".'
        )


def _mode(model: keras.Model, monitor: str) -> str | None:
    """Return which mode is right for a metric, as far as Keras knows."""
    name = monitor.removeprefix("val_").removeprefix("train_")
    for output in getattr(model, "output_names", None) or ():
        name = name.removeprefix(f"{output}_")
    if name == "loss":
        return "min"
    for group in getattr(model, "metrics", ()):
        for metric in getattr(group, "metrics", ()):
            if metric.name == name:
                return {"up": "max", "down": "min"}.get(getattr(metric, "_direction", None))
    return None
