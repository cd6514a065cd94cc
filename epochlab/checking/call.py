"""What a call of `fit` hands over, as Keras reads it, found without running anything."""

import math
from collections.abc import Iterator
from functools import cached_property
from types import GeneratorType, SimpleNamespace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from .. import evidence
from .._arguments import fraction, integer
from ..data.datasets import _MNIST_SHA256, TITLES, _sha256, find
from ..steps import num_batches, simulate_epochs, split_sizes
from ..stopping import monitors as _monitors
from ..stopping.callback import EarlyStopping

_KERAS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.ModelCheckpoint,
)


class Watch(NamedTuple):
    """A callback that follows a value in the logs."""

    callback: keras.callbacks.Callback
    monitor: str
    mode: str
    acts: bool  # a checkpoint of every epoch asks for the mode and then ignores the value

    @property
    def kind(self) -> str:
        return type(self.callback).__name__


class Call:
    """The arguments of a call of `fit` and what follows from them."""

    def __init__(self, model: keras.Model, arguments: dict[str, Any]) -> None:
        given = SimpleNamespace(**arguments)
        self.model, self.given, self.x, self.y = model, given, given.x, given.y
        self.initial_epoch = integer("initial_epoch", given.initial_epoch, minimum=0)
        last = integer("epochs", given.epochs, minimum=0)
        self.epochs = range(self.initial_epoch, last)
        self.steps = _count("steps_per_epoch", given.steps_per_epoch)
        batch_size = _count("batch_size", given.batch_size)
        callbacks = getattr(given.callbacks, "callbacks", given.callbacks)  # a CallbackList
        self.callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)

        leaves = keras.tree.flatten(self.x)
        self.is_arrays = bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)
        split = fraction("validation_split", given.validation_split)
        self.cut = None  # where validation_split cuts
        if self.is_arrays:
            self.leaf, self.n_train = leaves[0], int(leaves[0].shape[0])
            if split and given.validation_data is None:
                self.n_train, _ = split_sizes(self.n_train, split)
                self.cut = self.n_train
            if batch_size is None:  # Keras then cuts the data into as many batches as steps
                batch_size = max(1, -(-self.n_train // self.steps)) if self.steps else 32
            self.batches = -(-self.n_train // batch_size)
        else:
            self.batches = batches_of(self.x)
        self.batch_size = batch_size

    @cached_property
    def ran(self) -> list[int]:
        """How many batches each epoch runs where `steps_per_epoch` meets data that ends."""
        if not (self.steps and self.batches and self.batches < math.inf and self.epochs):
            return []
        execution = self.model.steps_per_execution
        return simulate_epochs(
            self.batches, self.steps, len(self.epochs), steps_per_execution=execution
        )

    @cached_property
    def validation(self) -> tuple[Any, Any] | None:
        """The validation data and its labels, which are `None` for what comes in batches."""
        if self.given.validation_data is not None:
            return keras.utils.unpack_x_y_sample_weight(self.given.validation_data)[:2]
        return None if self.cut is None else (self.x, self.y)

    @cached_property
    def validations(self) -> int:
        """How many epochs end with a validation."""
        freq = self.given.validation_freq
        if self.validation is None:
            return 0
        if isinstance(freq, int):
            return sum((epoch + 1) % freq == 0 for epoch in self.epochs)
        return sum(epoch + 1 in freq for epoch in self.epochs)

    @cached_property
    def watches(self) -> list[Watch]:
        found = []
        for callback in self.callbacks:
            if isinstance(callback, EarlyStopping):
                found.append(Watch(callback, callback.monitor, callback.rule.mode, True))
            elif isinstance(callback, _KERAS):
                acts = getattr(callback, "save_best_only", True)
                found.append(Watch(callback, callback.monitor, callback.mode, acts))
        return found

    @cached_property
    def shell(self) -> keras.Model | None:
        """A model that logs what this one will; `None` where only training shows that."""
        return _shell(self.model)

    @cached_property
    def names(self) -> set[str] | None:
        """What can be in the logs, `None` where only the first epoch shows it."""
        if self.shell is None:
            return None
        validated = self.validation if self.validations or not self.epochs else None
        callbacks = SimpleNamespace(callbacks=self.callbacks)
        fit = {"validation_data": validated, "callbacks": callbacks}
        return _monitors.possible_names(self.shell, fit)

    def layers(self, kind: type) -> Iterator[keras.layers.Layer]:
        """Yield the layers of a kind, those in models and wrappers inside the model, too."""
        found = self.model._flatten_layers(include_self=False)
        return (layer for layer in found if isinstance(layer, kind))


def _count(name: str, value: Any) -> int | None:
    """Keras takes 0 for `None`."""
    return None if value is None or value == 0 else integer(name, value)


def batches_itself(data: Any) -> bool:
    """Whether data comes in batches: a dataset, a generator, a loader of another library."""
    return data is not None and not keras.tree.is_nested(data) and not hasattr(data, "shape")


def batches_of(data: Any) -> int | float | None:
    """Return how many batches data that comes in batches has, `None` where that is not known."""
    known = isinstance(data, (tf.data.Dataset, keras.utils.PyDataset, GeneratorType))
    return num_batches(data) if known else None


def _shell(model: keras.Model) -> keras.Model | None:
    """Return a model with the same outputs, loss and metrics, built, without touching the model.

    To build the model itself would draw its first weights, and with them random numbers.
    """
    if any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in (*_monitors._STEPS, "metrics", "compile")
    ):
        return None
    compiled, loss = model._compile_metrics, model._compile_loss
    if isinstance(model, keras.Sequential):
        # Names and modes do not depend on the shape of a single output.
        inputs = keras.Input((1,), name="input")
        outputs = keras.layers.Identity(name="output")(inputs)
    elif hasattr(model, "_outputs_struct"):
        inputs, outputs = model.inputs, model._outputs_struct
    else:
        built = all(part is None or part.built for part in (compiled, loss))
        return model if built else None
    shell = keras.Model(inputs, outputs, name="shell")
    try:
        shell.compile(
            optimizer=None,
            loss=model.loss,
            metrics=compiled and compiled._user_metrics,
            weighted_metrics=compiled and compiled._user_weighted_metrics,
            jit_compile=False,
        )
        for part in (shell._compile_metrics, shell._compile_loss):
            if part is not None:
                part.build(outputs, outputs)
    except Exception:  # of what is wrong, fit itself will tell
        return None
    return shell


def labels_of(y: Any) -> np.ndarray | None:
    """Return class labels as a vector, those of one-hot rows too; `None` if `y` has none."""
    if y is None or keras.tree.is_nested(y) or not hasattr(y, "shape"):
        return None
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        one_hot = ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
        return y.argmax(axis=1) if one_hot else None
    y = y.reshape(-1) if y.ndim == 2 else y
    whole = y.dtype.kind in "biuSUO" or (y.dtype.kind == "f" and (y == np.floor(y)).all())
    return y if y.ndim == 1 and whole else None


def known_test_set(x: Any, y: Any) -> str | None:
    """Return the name of the data set whose test images or labels these are, if it is known."""
    labels = labels_of(y)
    if labels is not None and labels.dtype.kind in "biuf":
        content = labels.astype(np.uint8).tobytes()  # as keras.datasets has them
        if _sha256(content) == _MNIST_SHA256["y_test"]:
            return TITLES["mnist"]
    if not hasattr(x, "shape"):
        return None
    images = np.asarray(x)
    if images.dtype.kind not in "uif" or not images.size:
        return None
    scale = 255 if images.max() <= 1 else 1
    images = np.rint(images.reshape(len(images), -1) * scale).clip(0, 255).astype(np.uint8)
    for name in evidence._real_data:  # what load_data has loaded, so that nothing is loaded here
        loaded = find(name)
        test = loaded.x_test.reshape(len(loaded.x_test), -1)
        if test.shape[1] == images.shape[1]:
            rows = {row.tobytes() for row in test}
            if 2 * sum(row.tobytes() in rows for row in images) > len(images):
                return loaded.source
    return None
