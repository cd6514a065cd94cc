"""Counting: epochs, steps, updates and splits, exactly as Keras counts them."""

import math
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any

from ._arguments import fraction, instance, integer, keep_integer


def steps_per_epoch(n_samples: int, batch_size: int, *, drop_remainder: bool = False) -> int:
    """Return how many batches, so how many steps, one epoch has.

    The quotient rounded up, because the last, smaller batch is a step too; rounded down with
    `drop_remainder=True` (`tf.data`'s `batch(..., drop_remainder=True)`). Integers of any size.
    Raises `ValueError` when no batch is left, `TypeError` for what is not an integer.

    >>> steps_per_epoch(1_000, 32)
    32
    >>> steps_per_epoch(1_000, 32, drop_remainder=True)
    31
    """
    n_samples, batch_size = integer("n_samples", n_samples), integer("batch_size", batch_size)
    instance("drop_remainder", drop_remainder, bool, "True or False")
    if not drop_remainder:
        return -(-n_samples // batch_size)
    if batch_size > n_samples:
        raise ValueError(
            f"batch_size must be at most n_samples ({n_samples}) with drop_remainder=True; got "
            f"{batch_size}."
        )
    return n_samples // batch_size


def split_sizes(n_samples: int, validation_split: float) -> tuple[int, int]:
    """Return `(n_train, n_validation)` for Keras's `validation_split`, bit for bit.

    Keras cuts the *last* samples off, before any shuffling, at `floor(n * (1.0 - split))` in
    floating point. 0 means no split. Raises `ValueError` when either part would be empty.

    >>> split_sizes(1_000, 0.2)
    (800, 200)
    >>> split_sizes(10, 0.8)  # 1.0 - 0.8 is a little less than 0.2 in floating point
    (1, 9)
    """
    n_samples = integer("n_samples", n_samples)
    validation_split = fraction("validation_split", validation_split)
    if validation_split == 0.0:
        return n_samples, 0
    try:
        n_train = math.floor(n_samples * (1.0 - validation_split))
    except OverflowError:  # beyond the largest float there is no Keras to agree with
        n_train = math.floor(n_samples * Fraction(1.0 - validation_split))
    if not 0 < n_train < n_samples:
        raise ValueError(
            f"validation_split must leave samples on both sides; got {validation_split}, which "
            f"cuts {n_samples} samples into {n_train} and {n_samples - n_train}."
        )
    return n_train, n_samples - n_train


@dataclass(frozen=True)
class TrainingPlan:
    """All the counts of a training run, from the arguments of Keras's `fit`.

    `n_samples` is what is handed to `fit`; `batch_size` is Keras's, global over `replicas`.
    `dropped_samples` and `last_batch_size` are per epoch, `total_steps`, `total_updates` and
    `samples_seen` for the whole run. With gradient accumulation an update comes every
    `gradient_accumulation_steps` steps, counted on over the ends of epochs; what is left at the
    end of the run is never applied (Keras 3). Raises `ValueError`/`TypeError` for arguments that
    leave no batch or are no counts.

    >>> plan = TrainingPlan(60_000, 32, 5, validation_split=0.1)
    >>> print(plan)
    training samples        54,000
    validation samples       6,000
    batch size                  32
    steps per epoch          1,688
    last batch size             16
    validation steps           188
    epochs                       5
    steps in all             8,440
    updates in all           8,440
    training samples seen  270,000
    """

    n_samples: int
    batch_size: int = 32
    epochs: int = 1
    _: KW_ONLY
    validation_split: float = 0.0
    drop_remainder: bool = False
    gradient_accumulation_steps: int = 1
    replicas: int = 1

    def __post_init__(self) -> None:
        # NumPy's numbers and tensors become Python's, which no count overflows.
        counts = ("n_samples", "batch_size", "epochs", "gradient_accumulation_steps", "replicas")
        for name in counts:
            keep_integer(self, name)
        split = fraction("validation_split", self.validation_split)
        object.__setattr__(self, "validation_split", split)
        _ = self.steps_per_epoch  # checks the rest: the split, and that a batch is left
        if (n := self.replicas) > self.batch_size:
            raise ValueError(f"replicas must be at most batch_size ({self.batch_size}); got {n}.")

    @property
    def n_train(self) -> int:
        """Samples trained on, after `validation_split`."""
        return split_sizes(self.n_samples, self.validation_split)[0]

    @property
    def n_validation(self) -> int:
        """Samples that `validation_split` cuts off the end."""
        return split_sizes(self.n_samples, self.validation_split)[1]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch."""
        return steps_per_epoch(self.n_train, self.batch_size, drop_remainder=self.drop_remainder)

    @property
    def validation_steps(self) -> int:
        """Batches in one validation; 0 without `validation_split`."""
        return -(-self.n_validation // self.batch_size)

    @property
    def dropped_samples(self) -> int:
        """Samples left out of each epoch by `drop_remainder`."""
        return self.n_train % self.batch_size if self.drop_remainder else 0

    @property
    def last_batch_size(self) -> int:
        """Samples in the last batch of each epoch."""
        used = self.n_train - self.dropped_samples
        return used - (self.steps_per_epoch - 1) * self.batch_size

    @property
    def effective_batch_size(self) -> int:
        """Samples behind one update: batch size × gradient accumulation steps."""
        return self.batch_size * self.gradient_accumulation_steps

    @property
    def per_replica_batch_size(self) -> int:
        """Samples of a full batch on one replica: the largest share, where it does not divide."""
        return -(-self.batch_size // self.replicas)

    @property
    def total_steps(self) -> int:
        """Batches in the whole run; learning-rate schedules count these."""
        return self.steps_per_epoch * self.epochs

    @property
    def total_updates(self) -> int:
        """Changes of the weights in the whole run: what `optimizer.iterations` shows at its end."""
        return self.total_steps // self.gradient_accumulation_steps

    @property
    def samples_seen(self) -> int:
        """Training samples in the whole run, each counted once per epoch."""
        return (self.n_train - self.dropped_samples) * self.epochs

    def _rows(self) -> list[tuple[str, int]]:
        accumulates = self.gradient_accumulation_steps > 1
        rows = (
            ("training samples", self.n_train, True),
            ("validation samples", self.n_validation, self.n_validation),
            ("batch size", self.batch_size, True),
            ("batch size per replica", self.per_replica_batch_size, self.replicas > 1),
            ("effective batch size", self.effective_batch_size, accumulates),
            ("steps per epoch", self.steps_per_epoch, True),
            ("last batch size", self.last_batch_size, True),
            ("dropped per epoch", self.dropped_samples, self.dropped_samples),
            ("validation steps", self.validation_steps, self.n_validation),
            ("epochs", self.epochs, True),
            ("steps in all", self.total_steps, True),
            ("updates in all", self.total_updates, True),
            ("training samples seen", self.samples_seen, True),
        )
        return [(label, count) for label, count, shown in rows if shown]

    def __str__(self) -> str:
        rows = [(label, f"{value:,}") for label, value in self._rows()]
        left, right = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(f"{label:<{left}}  {value:>{right}}" for label, value in rows)

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{label}</th><td>{n:,}</td></tr>" for label, n in self._rows())
        return f"<table>{rows}</table>"


def simulate_epochs(
    n_batches: int,
    steps_per_epoch: int,
    epochs: int,
    *,
    repeat: bool = False,
    steps_per_execution: int = 1,
) -> list[int]:
    """Return how many batches each epoch really runs when `fit` is given `steps_per_epoch`.

    Keras 3 keeps one pass over finite data going from epoch to epoch; when the pass ends, the
    epoch ends with it, short, and the next epoch starts a new pass. `repeat=True` is for data
    that never ends (`Dataset.repeat()`). Whole executions of `steps_per_execution` steps are run,
    so that an epoch may overshoot.

    >>> simulate_epochs(3, 2, 4)  # 10 samples in batches of 4, and steps_per_epoch = 10 // 4
    [2, 1, 2, 1]
    >>> simulate_epochs(3, 2, 4, repeat=True)
    [2, 2, 2, 2]
    >>> simulate_epochs(100, 6, 2, steps_per_execution=4)
    [8, 8]
    """
    n_batches = integer("n_batches", n_batches)
    asked = integer("steps_per_epoch", steps_per_epoch)
    epochs = integer("epochs", epochs)
    execution = integer("steps_per_execution", steps_per_execution)
    instance("repeat", repeat, bool, "True or False")
    full = -(-asked // execution) * execution
    if repeat:
        return [full] * epochs
    ran, left = [], n_batches
    for _ in range(epochs):
        ran.append(min(full, left))
        left = left - ran[-1] or n_batches
    return ran


def num_batches(data: Any, batch_size: int | None = None) -> int | float | None:
    """Return how many batches `fit` gets from `data` in one epoch.

    `data` is an array or a tuple, list or dict of arrays of equal length (`batch_size` defaults
    to Keras's 32), a `tf.data.Dataset` or a `keras.utils.PyDataset` (which come in batches:
    giving `batch_size` is a `ValueError`, where Keras ignores it). `None` means unknown, as for a
    generator; `math.inf` means that it never ends.

    >>> import numpy as np
    >>> num_batches(np.zeros((1_000, 28, 28)))
    32
    >>> num_batches((np.zeros((100, 2)), np.zeros(100)), batch_size=50)
    2
    """
    # Told apart by what they offer, so that counting needs neither TensorFlow nor Keras.
    is_dataset = hasattr(data, "cardinality")
    is_pydataset = hasattr(type(data), "num_batches")
    is_generator = hasattr(data, "__next__")
    if not (is_dataset or is_pydataset or is_generator):
        return steps_per_epoch(_length(data), 32 if batch_size is None else batch_size)
    if batch_size is not None:
        raise ValueError(f"batch_size must be None for data in batches; got {batch_size!r}.")
    if is_generator:
        return None
    if is_dataset:
        cardinality = int(data.cardinality())
        return {-1: math.inf, -2: None}.get(cardinality, cardinality)
    length = data.num_batches
    return math.inf if length is None else int(length)


def _length(data: Any) -> int:
    """The common first dimension of an array or of a structure of arrays."""
    parts = data.values() if isinstance(data, dict) else data
    if isinstance(data, (dict, tuple, list)) and len(data):
        lengths = {_length(part) for part in parts if part is not None}
        if len(lengths) == 1:
            return lengths.pop()
        raise ValueError(f"data must hold arrays of one length; got lengths {sorted(lengths)}.")
    try:
        length = int(data.shape[0])
    except (AttributeError, IndexError, TypeError):  # no array, or a single number
        raise TypeError(
            "data must be an array, a tuple, list or dict of arrays, a tf.data.Dataset, a "
            f"PyDataset or a generator; got {type(data).__name__}."
        ) from None
    if not length:
        raise ValueError("data must have at least one row; got none.")
    return length
