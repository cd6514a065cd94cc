"""What the logs of `fit` can hold, as far as it can be known before the first epoch."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import _keras
from .recorders import TrainEvaluation

_ADD_RATE = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
# Whoever replaces one of these decides alone what is logged.
_LOGGING = (
    *("fit", "compile", "metrics", "train_step", "test_step", "make_train_function"),
    *("compute_metrics", "get_metrics_result"),
)


def build(model: keras.Model, x: Any, y: Any) -> None:
    """Build the model, its metrics and its optimizer if they are not, without running anything.

    With TensorFlow, `fit` leaves that to its first step; with JAX it does the same as this.
    """

    def symbol(array: Any) -> keras.KerasTensor:
        dtype = keras.backend.standardize_dtype(array.dtype)
        return keras.KerasTensor((None, *array.shape[1:]), dtype)

    try:
        if isinstance(x, tf.data.Dataset):
            batch = x.element_spec
        else:
            batch = keras.tree.map_structure(symbol, (x, y))
        _keras.symbolic_build(model, batch)
    except Exception:  # a generator has no shapes; of what is wrong, fit itself will tell
        return


def logs_as_keras(model: keras.Model, callbacks: Iterable[keras.callbacks.Callback]) -> bool:
    """Whether the logs hold what Keras puts there, and nothing of somebody's own."""
    kind = type(model)
    own = any(getattr(kind, name, 0) is not getattr(keras.Model, name, 0) for name in _LOGGING)
    return not own and all(map(_adds_nothing, callbacks))


def possible_names(
    names: Iterable[str], validated: bool, callbacks: Iterable[keras.callbacks.Callback]
) -> set[str]:
    """Return what can be in the logs of a model that measures `names`."""
    names = set(names)
    possible = names | {f"val_{name}" for name in names if validated}
    for callback in callbacks:
        if isinstance(callback, TrainEvaluation):
            possible |= {f"train_{name}" for name in names}
        elif isinstance(callback, _ADD_RATE):
            possible.add("learning_rate")
    return possible


def _adds_nothing(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback surely adds nothing to the logs of an epoch that is not known of it."""
    kind = type(callback)
    known = kind.__module__.split(".")[0] in ("keras", "epochlab")
    if known and kind is not keras.callbacks.LambdaCallback:
        return True
    method = getattr(callback.on_epoch_end, "__func__", None)
    return method is keras.callbacks.Callback.on_epoch_end


def logged_number(name: str, value: Any) -> float | None:
    """Return a value in the logs as a number: arrays of size 1 are some, as `F1Score` has them."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(
            f"monitor must be a single number per epoch; {name} has the shape {array.shape}: let "
            'its metric take a mean, such as F1Score(average="macro").'
        )
    return float(array.reshape(()))
