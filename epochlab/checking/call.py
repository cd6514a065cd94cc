"""What a call of `fit` hands over, as Keras reads it, found without running anything."""

import math
from collections.abc import Iterator
from functools import cached_property
from types import GeneratorType, SimpleNamespace
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from .. import _keras
from .._arguments import fraction, instance, integer, is_number
from ..steps import num_batches, simulate_epochs, split_sizes
from ..stopping.callback import EarlyStopping
from ..stopping.monitors import logs_as_keras, possible_names

_FOLLOWERS = (
    EarlyStopping,
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


class Source(NamedTuple):
    """Data that `fit` goes through some times, in a number of steps if one is given."""

    name: str
    data: Any
    argument: str
    steps: int | None
    times: int


class Call:
    """The arguments of a call of `fit` and what follows from them."""

    def __init__(self, model: keras.Model, defaults: dict[str, Any], said: dict[str, Any]) -> None:
        given = SimpleNamespace(**defaults | said)
        self.model, self.given, self.x, self.y = model, given, given.x, given.y
        self.initial_epoch = integer("initial_epoch", given.initial_epoch, minimum=0)
        self.last = integer("epochs", given.epochs, minimum=0)
        self.epochs = range(self.initial_epoch, self.last)
        self.n_epochs = max(0, self.last - self.initial_epoch)  # which may be too large for len
        self.one_at_a_time = said.get("epochs") == 1
        self.steps = _count("steps_per_epoch", given.steps_per_epoch)
        self.batch_size = _count("batch_size", given.batch_size)
        self.freq = given.validation_freq
        instance("validation_freq", self.freq, (int, list), "an integer or a list of epochs")
        if not isinstance(self.freq, list):
            integer("validation_freq", self.freq)
        held_out = given.validation_data
        if isinstance(held_out, (tuple, list)) and not 1 <= len(held_out) <= 3:
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight), or come in batches; got "
                f"a {type(held_out).__name__} of {len(held_out)}."
            )
        callbacks = getattr(given.callbacks, "callbacks", given.callbacks)  # a CallbackList
        self.callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)

        leaves = [leaf for leaf in keras.tree.flatten(self.x) if leaf is not None]
        self.is_arrays = bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)
        split = given.validation_split
        split = 0.0 if split is None else fraction("validation_split", split)
        self.cut = 0  # where validation_split cuts
        self.batches = 0  # of one pass over the data; 0, too, where that is unknown or has no end
        if self.is_arrays:
            self.leaf, shape = leaves[0], tuple(leaves[0].shape)
            if not shape:
                raise ValueError("x must have a row for each sample; got the shape ().")
            self.n_train = int(shape[0])
            for labels in keras.tree.flatten(self.y):
                if hasattr(labels, "shape") and tuple(labels.shape)[:1] != shape[:1]:
                    raise ValueError(
                        f"y must have a row for each of the {shape[0]:,} rows of x; got the shape "
                        f"{tuple(labels.shape)}."
                    )
            if split and given.validation_data is None and self.n_train:
                self.n_train, _ = split_sizes(self.n_train, split)
                self.cut = self.n_train
            if not self.batch_size:  # Keras then cuts the data into as many batches as steps
                self.batch_size = max(1, -(-self.n_train // self.steps)) if self.steps else 32
            self.batches = -(-self.n_train // self.batch_size)
        elif (batches := batches_of(self.x)) and batches < math.inf:
            self.batches = int(batches)

    @cached_property
    def ran(self) -> list[int]:
        """How many batches the first epochs run where `steps_per_epoch` meets data that ends."""
        if not (self.steps and self.batches and self.epochs):
            return []
        execution = self.model.steps_per_execution
        few = min(self.n_epochs, 4)
        return simulate_epochs(self.batches, self.steps, few, steps_per_execution=execution)

    @cached_property
    def validation(self) -> tuple[Any, Any] | None:
        """The validation data and its labels, which are `None` for what comes in batches."""
        if self.given.validation_data is not None:
            return keras.utils.unpack_x_y_sample_weight(self.given.validation_data)[:2]
        return (self.x, self.y) if self.cut else None

    def validations(self, first: int = 0) -> int:
        """How many epochs from `first` on end with a validation."""
        first = max(first, self.initial_epoch)
        if self.validation is None or first >= self.last:
            return 0
        if isinstance(self.freq, list):
            return len({epoch for epoch in self.freq if epoch - 1 in range(first, self.last)})
        return self.last // self.freq - first // self.freq

    @cached_property
    def sources(self) -> list[Source]:
        x = Source("x", self.x, "steps_per_epoch", self.steps, self.n_epochs)
        if self.validation is None:
            return [x]
        how = "validation_steps", self.given.validation_steps, self.validations()
        return [x, Source("validation_data", self.validation[0], *how)]

    @cached_property
    def watches(self) -> list[Watch]:
        followers = [callback for callback in self.callbacks if isinstance(callback, _FOLLOWERS)]
        for c in followers:
            instance(f"monitor of {type(c).__name__}", c.monitor, str, "a name in the logs")
        return [Watch(c, c.monitor, c.mode, getattr(c, "save_best_only", True)) for c in followers]

    @cached_property
    def metrics(self) -> Any:
        """The model, or a stand-in, with its metrics; `None` where only the first batch shows."""
        model, outputs = self.model, _keras.outputs_struct(self.model)
        if not logs_as_keras(model, []):
            return None
        if not all(part.built for part in _keras.compiled_parts(model)):
            layers = _keras.flatten_layers(model)[1:]
            # A layer of somebody's own may bring metrics as soon as it is built.
            if not all(layer.built or is_keras(layer) for layer in layers):
                return None
            if isinstance(model, keras.Sequential):
                # Names and modes do not depend on the shape of a single output.
                outputs = keras.KerasTensor((None, 1), name="output")
            model = None if outputs is None else _keras.built_apart(model, outputs)
        return None if model is None or _keras.logged_names(model) is None else model

    @cached_property
    def logs_as_keras(self) -> bool:
        """Whether the logs hold what Keras puts there, and nothing of somebody's own."""
        return logs_as_keras(self.model, self.callbacks)

    @cached_property
    def _logged(self) -> set[str] | None:
        """What the model itself will log, `None` where only the first epoch shows it."""
        return _keras.logged_names(self.metrics) if self.metrics and self.logs_as_keras else None

    def names(self, reader: keras.callbacks.Callback) -> set[str] | None:
        """Return what can be in the logs when a callback reads them at the end of an epoch.

        `None` where only the first epoch shows it.
        """
        if self._logged is None:
            return None
        validated = self.validation is not None and bool(self.validations() or not self.epochs)
        # Those after it add theirs later; its own is added first.
        until = [callback is reader for callback in self.callbacks].index(True) + 1
        return possible_names(self._logged, validated, self.callbacks[:until])

    def lacks(self, name: str, reader: keras.callbacks.Callback) -> bool:
        """Whether a value will surely not be in the logs when a callback reads them."""
        names = self.names(reader)
        if names is not None:
            return name not in names
        return self.logs_as_keras and name.startswith("val_") and self.validation is None

    def layers(self, kind: type) -> Iterator[Any]:
        """Yield the layers of a kind, those in models and wrappers inside the model, too."""
        return (layer for layer in _keras.flatten_layers(self.model) if isinstance(layer, kind))

    def loss_of(self, index: int, name: Any) -> Any:
        """Return the loss of an output, `None` where there is none or it is unknown."""
        loss = self.model.loss
        if isinstance(loss, dict):
            return loss.get(name)
        if isinstance(loss, (list, tuple)):
            return loss[index] if 0 <= index < len(loss) else None
        return loss

    def targets(self) -> Iterator[tuple[Any, Any]]:
        """Yield the labels of each output with their loss, paired by name as far as Keras does."""
        names = output_names(self.model)
        if isinstance(self.y, dict):
            for name, y in self.y.items():
                yield y, self.loss_of(names.index(name) if name in names else -1, name)
            return
        flat = keras.tree.flatten(self.y)
        for index, y in enumerate(flat):
            yield y, self.loss_of(index, names[index] if len(names) == len(flat) else None)


def _count(name: str, value: Any) -> int:
    """Keras takes 0 for `None`."""
    zero = value is None or (is_number(value) and value == 0)
    return 0 if zero else integer(name, value)


def output_names(model: keras.Model) -> list[Any]:
    """Return the names by which losses and labels come, in Keras's order; [] where unknown."""
    outputs = _keras.outputs_struct(model)
    if isinstance(outputs, dict):
        return sorted(outputs)
    return list(getattr(model, "output_names", ()))


def is_keras(thing: Any) -> bool:
    return type(thing).__module__.split(".")[0] == "keras"


def batches_itself(data: Any) -> bool:
    """Whether data comes in batches: a dataset, a generator, a loader of another library."""
    return data is not None and not keras.tree.is_nested(data) and not hasattr(data, "shape")


def batches_of(data: Any) -> int | float | None:
    """Return how many batches data that comes in batches has, `None` where that is not known."""
    known = isinstance(data, (tf.data.Dataset, keras.utils.PyDataset, GeneratorType))
    return num_batches(data) if known else None


def loss_name(loss: Any) -> str:
    """Return what a loss is called, however it was given: "sparsecategoricalcrossentropy"."""
    if not isinstance(loss, str):
        loss = getattr(loss, "__name__", type(loss).__name__)
    return {"ce": "crossentropy"}.get(loss, loss).lower().replace("_", "")
