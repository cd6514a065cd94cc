"""Callbacks that record what Keras's logs do not say, and its History as a table."""

from typing import Any

import keras
import pandas as pd

from .. import _keras
from .._arguments import instance, integer


class BatchRecorder(keras.callbacks.Callback):
    """Record the true loss of each batch, where Keras logs the mean since the epoch began.

    `batches` has a row per batch: `epoch` and `step` (0-based; steps are counted over the run),
    `samples`, and `loss` as `fit` computes it before the update: with sample weights w the sum of
    w × loss over the number of samples, penalties of layers included. With
    `steps_per_execution=k`, a row is a group of up to k batches: `step` is its last, `loss` the
    mean over its `samples`. The loss is the difference of two float32 sums over the epoch, right
    to about 1e-7 × the number of the batch in its epoch. Empty before training; a new `fit`
    begins anew; after Ctrl-C the batches so far are there.

    Raises `ValueError` when training begins for a model with a `train_step` of its own, and after
    the first batch for one that does not count its loss as Keras does.

    >>> import numpy as np
    >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> recorder, x, y = BatchRecorder(), np.ones((5, 1)), np.array([1.0, 1, 1, 1, 3])
    >>> _ = model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[recorder])
    >>> recorder.batches
       epoch  step  samples  loss
    0      0     0        2   1.0
    1      0     1        2   1.0
    2      0     2        1   9.0
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[int, int, int, float]] = []

    @property
    def batches(self) -> pd.DataFrame:
        types = {"epoch": int, "step": int, "samples": int, "loss": float}
        return pd.DataFrame(self._rows, columns=[*types]).astype(types)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        check_train_step(self.model)
        self._rows = []
        self._tracker = _keras.loss_tracker(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._first = epoch, self._rows[-1][1] + 1 if self._rows else 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Anew for each batch, because an evaluation in between begins the sums anew.
        self._before = self._sums()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        (before, samples_before), (after, samples_after) = self._before, self._sums()
        samples = samples_after - samples_before
        if not samples:
            kind = type(self.model).__name__
            raise ValueError(
                f"model must count its loss as keras.Model does; got a {kind} of which no loss is "
                "known after a batch."
            )
        # The last group of an epoch may be short, which `batch` does not tell.
        last = min(batch, (self.params.get("steps") or batch + 1) - 1)
        self._rows.append((self._epoch, self._first + last, samples, (after - before) / samples))

    def _sums(self) -> tuple[float, int]:
        tracker = self._tracker
        return (0.0, 0) if tracker is None else (float(tracker.total), int(tracker.count))


def check_train_step(model: keras.Model, instead: str = "") -> None:
    if type(model).train_step is not keras.Model.train_step:
        raise ValueError(
            f"model must train as keras.Model does; got a {type(model).__name__} with a "
            f"train_step of its own{instead}."
        )


class TrainEvaluation(keras.callbacks.Callback):
    """Measure the training loss after each epoch, where `fit` reports a mean taken meanwhile.

    `x` and `y` are arrays as `model.evaluate` takes them, or lists or dicts of arrays. Its
    results join the logs as `train_loss`, `train_accuracy` and so on, so that the History has
    them. Callbacks that look at them, such as `EarlyStopping("train_loss")`, must
    come after this one. `batch_size` is the evaluation's, 32 as in Keras: larger is faster.

    Raises `ValueError` for arrays that are empty or not of one length, `TypeError` for what is no
    array.

    >>> import numpy as np
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = np.ones((4, 1))
    >>> history = model.fit(x, x, verbose=0, callbacks=[TrainEvaluation(x, x)])
    >>> sorted(history.history)
    ['loss', 'train_loss']
    """

    def __init__(self, x: Any, y: Any, *, batch_size: int = 32) -> None:
        super().__init__()
        lengths = _lengths("x", x) | _lengths("y", y)
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(
                "x and y must be arrays of one length, at least 1; got the lengths "
                f"{', '.join(map(str, sorted(lengths)))}."
            )
        self.x, self.y, self.batch_size = x, y, integer("batch_size", batch_size)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        results = self.model.evaluate(self.x, self.y, self.batch_size, verbose=0, return_dict=True)
        if logs is not None:
            logs |= {f"train_{name}": value for name, value in results.items()}


def _lengths(name: str, arrays: Any) -> set[int]:
    leaves = keras.tree.flatten(arrays)
    if not leaves:
        raise ValueError(f"{name} must be an array; got {arrays!r}, which holds none.")
    for leaf in leaves:
        if len(getattr(leaf, "shape", ())) == 0:
            raise TypeError(f"{name} must be an array; got {leaf!r} ({type(leaf).__name__}).")
    return {int(leaf.shape[0]) for leaf in leaves}


def history_table(
    history: keras.callbacks.History, *, validation_freq: int | list[int] = 1
) -> pd.DataFrame:
    """Return what `fit` recorded as a table with a row per epoch.

    Columns are `epoch` (0-based, counted from `initial_epoch`) and each recorded name, NaN where
    an epoch was not validated. Give the `validation_freq` that `fit` had, because the lists of a
    History do not say which epochs they belong to.

    Raises `ValueError` for lists that do not fit the epochs: another `validation_freq`, or a
    History that served two fits; `TypeError` for what is no History.

    >>> import numpy as np
    >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> x, settings = np.ones((4, 1)), {"epochs": 3, "validation_freq": 2, "verbose": 0}
    >>> history = model.fit(x, x, validation_data=(x, x), **settings)
    >>> history_table(history, validation_freq=2)
       epoch  loss  val_loss
    0      0   1.0       NaN
    1      1   1.0       1.0
    2      2   1.0       NaN
    """
    instance("history", history, keras.callbacks.History, "the History that fit returns")
    epochs = getattr(history, "epoch", None)
    if epochs is None:
        raise ValueError("history must be of a fit that has begun; got one without epochs.")
    if isinstance(validation_freq, list):
        ends = [integer("each of validation_freq", number) for number in validation_freq]
        validated = [epoch for epoch in epochs if epoch + 1 in ends]
    else:
        every = integer("validation_freq", validation_freq)
        validated = [epoch for epoch in epochs if (epoch + 1) % every == 0]
    columns = {"epoch": pd.Series(epochs, index=epochs, dtype=int)}
    for name, values in history.history.items():
        where = validated if name.startswith("val_") else epochs
        if len(values) != len(where):
            cause = "history must be of one fit, with a History of its own"
            if name.startswith("val_") and len(values) <= len(epochs):
                cause = "validation_freq must be what fit had"
            raise ValueError(
                f"{cause}; got {len(values)} values of {name} for {len(where)} epochs of "
                f"{len(epochs)} with validation_freq={validation_freq}."
            )
        columns[name] = pd.Series(values, index=where)
    return pd.DataFrame(columns, index=epochs).reset_index(drop=True)
