"""Mistakes in a call of `fit`, named before training."""

import inspect
import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.special import gammaln

from .._arguments import instance
from ..stopping import monitors as _monitors
from ..stopping.callback import EarlyStopping
from ..stopping.rules import Patience
from .call import Call, Watch, batches_itself, batches_of, known_test_set, labels_of

_START = "notebooks/00_start_here.ipynb#Mistakes-that-Keras-lets-pass"
_ITERATIONS = "notebooks/03_iterations.ipynb"
_STOPPING = "notebooks/04_early_stopping.ipynb"
_PATIENCE = "Patience-costs-epochs,-and-a-long-one-saves-you-only-if-you-restore"
_CHANCE = math.log(1e-6)
# What fit takes by name, with its defaults.
_FIT = {
    name: parameter.default
    for name, parameter in inspect.signature(keras.Model.fit).parameters.items()
    if name not in ("self", "x", "y")
}


@dataclass(frozen=True)
class Finding:
    """A mistake in a call of `fit`: what will be seen, why, what to do, where it is shown.

    `name` is short and stays the same; `see` is a section of a notebook. Prints as a few lines.

    >>> print(Finding("zero-batches", "Nothing is trained.", "No batch.", "Drop none.", "01#End"))
    zero-batches: Nothing is trained.
      cause: No batch.
      cure:  Drop none.
      see:   01#End
    """

    name: str
    symptom: str
    cause: str
    cure: str
    see: str

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.symptom}"]
        lines += [f"  cause: {self.cause}", f"  cure:  {self.cure}"]
        wrapped = (textwrap.fill(line, 88, subsequent_indent=" " * 9) for line in lines)
        return "\n".join([*wrapped, f"  see:   {self.see}"])


def check_fit(model: keras.Model, x: Any, y: Any = None, **fit_arguments: Any) -> list[Finding]:
    """Return the mistakes in `model.fit(x, y, **fit_arguments)`, of which Keras says little.

    Takes what `fit` takes, by name after `x` and `y`, and has its defaults. Nothing is run and
    nothing changed: no weight, metric or random state; no batch is taken from a dataset or a
    generator, of whose contents nothing is known therefore. Of datasets it reads the cardinality,
    of arrays the labels, and the validation images where a callback chooses by them. Empty when
    nothing is wrong. What Keras itself refuses before it trains is not repeated.

    - `wrong-mode`, `undecidable-mode`: a callback takes the worst value for the best, or Keras
      cannot tell which is better and fails after the first epoch.
    - `missing-monitor`: the value that a callback follows will not be in the logs.
    - `patience-0`: an early stop at the first epoch without an improvement.
    - `short-epochs`, `too-many-steps`: `steps_per_epoch` is not what one pass over data that ends
      has. Not known for a dataset of unknown cardinality and for a generator.
    - `spent-generator`: a Python generator for several epochs without a number of steps. With
      one, nobody can tell from outside whether it ends.
    - `zero-batches`: fewer samples than a batch, and the rest is dropped.
    - `ignored-batch-size`: for data that comes in batches.
    - `sorted-split`: `validation_split` cuts labels off that training never sees, more than chance
      does, or class-sorted labels. Of single-label classes; targets that are no classes may be in
      order for a reason.
    - `test-set`: a callback chooses by what is known as test data: the 10,000 labels of MNIST in
      their order, whatever was done to the images, or images of which most are test images of
      what `load_data` has loaded in this process, scaled to [0, 1] or [0, 255]. Any other test set
      passes unnoticed, and so does one inside a dataset.
    - `lone-sample`: a last batch of one in `BatchNormalization` over vectors. Known for arrays.
    - `trained-model`: the optimizer has made updates, and no `initial_epoch` says that this is
      meant.

    Monitors and modes are not known for a model with a `train_step` of its own, for a subclassed
    one that was never trained, and where an unknown callback may add to the logs.

    Raises `TypeError` for what is no model, for an argument that `fit` does not have and for
    counts that are none, `ValueError` for a model that is not compiled and for counts and splits
    out of range. Each finding was measured on Keras 3.11 and 3.15.1 with TensorFlow.

    >>> x, y = np.ones((10, 4)), np.ones((10, 1))
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> check_fit(model, x, y, batch_size=4, epochs=4)
    []
    >>> findings = check_fit(model, x, y, batch_size=4, epochs=4, steps_per_epoch=10 // 4)
    >>> print(*findings)  # doctest: +ELLIPSIS
    short-epochs: The epochs run 2, 1, 2, 1 batches, and the log of a short one is that of
             few batches.
      cause: One pass has 3 batches. With steps_per_epoch=2, Keras goes on with it in the
             next epoch; where it ends, the epoch ends.
      cure:  Leave steps_per_epoch out.
      see:   notebooks/03_iterations.ipynb#steps_per_epoch-rounded-down-...
    """
    instance("model", model, keras.Model, "a keras.Model")
    for name in fit_arguments:
        if name not in _FIT:
            raise TypeError(f"fit_arguments must be among {', '.join(_FIT)}; got {name!r}.")
    if not model.compiled:
        raise ValueError(f"model must be compiled; got {model.name!r}, which is not.")
    call = Call(model, {"x": x, "y": y} | _FIT | fit_arguments)
    return [finding for check in _CHECKS for finding in check(call)]


def _wrong_mode(call: Call) -> Iterator[Finding]:
    for watch in call.watches:
        right = call.shell and _monitors._mode(call.shell, watch.monitor)
        if watch.acts and right and watch.mode not in (right, "auto"):
            refused = (
                "fit refuses it"
                if isinstance(watch.callback, EarlyStopping)
                else (f"{watch.kind} takes the worst epoch for the best")
            )
            yield Finding(
                "wrong-mode",
                symptom=f"{refused}.",
                cause=f'mode is "{watch.mode}", but {watch.monitor} is better when it is '
                f"{'higher' if right == 'max' else 'lower'}.",
                cure=f'Set mode="{right}".',
                see=_START,
            )


def _undecidable_mode(call: Call) -> Iterator[Finding]:
    for watch in call.watches:
        if not _is_missing(call, watch) and _fails_on_auto(call, watch):
            yield Finding(
                "undecidable-mode",
                symptom="fit raises a ValueError after the whole first epoch.",
                cause=f'{watch.kind} has mode "auto", and Keras does not know whether '
                f"{watch.monitor} is better when it is higher or lower.",
                cure='Set mode="min" or mode="max".',
                see=_START,
            )


def _fails_on_auto(call: Call, watch: Watch) -> bool:
    """Ask Keras, with a callback that nobody uses, whether it can tell what is better."""
    if watch.mode != "auto" or watch.callback.monitor_op is not None or call.shell is None:
        return False
    probe = keras.callbacks.EarlyStopping(watch.monitor)
    probe.set_model(call.shell)
    try:
        probe._set_monitor_op()
    except ValueError:
        return True
    return False


def _is_missing(call: Call, watch: Watch) -> bool:
    return watch.acts and call.names is not None and watch.monitor not in call.names


def _missing_monitor(call: Call) -> Iterator[Finding]:
    for watch in call.watches:
        if not _is_missing(call, watch):
            continue
        never = call.validation is not None and not call.validations
        if _fails_on_auto(call, watch):
            symptom = "fit raises a ValueError after the whole first epoch."
        elif isinstance(watch.callback, EarlyStopping) and not never:
            symptom = "fit refuses it."
        elif isinstance(watch.callback, keras.callbacks.ReduceLROnPlateau):
            symptom = "The learning rate is never reduced."
        elif isinstance(watch.callback, keras.callbacks.ModelCheckpoint):
            symptom = "Each epoch is saved over the one before, better or not."
        else:
            symptom = "Training never stops early, and no best weights are restored."
        why = f"validation_freq={call.given.validation_freq} leaves no epoch validated"
        why = why if never else "there is no validation data" if not call.validation else ""
        why = f": {why}" if why and watch.monitor.startswith("val_") else ""
        yield Finding(
            "missing-monitor",
            symptom=symptom,
            cause=f"{watch.kind} monitors {watch.monitor}, which will not be in the logs{why}.",
            cure=f"Monitor one of {', '.join(sorted(call.names))}; val_ needs validation data.",
            see=_START,
        )


def _patience_0(call: Call) -> Iterator[Finding]:
    for callback in call.callbacks:
        if isinstance(callback, EarlyStopping):
            callback = callback.rule
        stops = isinstance(callback, (keras.callbacks.EarlyStopping, Patience))
        if stops and callback.patience <= 0:
            yield Finding(
                "patience-0",
                symptom="Training ends with the first epoch that is no better than the best.",
                cause=f"patience={callback.patience} waits for nothing; 1 stops at the same epoch.",
                cure="Wait for several epochs, such as patience=5, and restore the best weights.",
                see=f"{_STOPPING}#{_PATIENCE}",
            )


def _short_epochs(call: Call) -> Iterator[Finding]:
    if call.ran and min(call.ran) < call.steps <= call.batches:
        first = ", ".join(map(str, call.ran[:4])) + (", …" if len(call.ran) > 4 else "")
        yield Finding(
            "short-epochs",
            symptom=f"The epochs run {first} batches, and the log of a short one is that of few "
            "batches.",
            cause=f"One pass has {call.batches} batches. With steps_per_epoch={call.steps}, Keras "
            "goes on with it in the next epoch; where it ends, the epoch ends.",
            cure="Leave steps_per_epoch out.",
            see=f"{_ITERATIONS}#steps_per_epoch-rounded-down-makes-every-second-epoch-a-stub",
        )


def _too_many_steps(call: Call) -> Iterator[Finding]:
    if call.ran and call.steps > call.batches:
        yield Finding(
            "too-many-steps",
            symptom=f"Each epoch runs {call.batches} batches, not {call.steps}, and warns that "
            "the input ran out of data.",
            cause=f"steps_per_epoch={call.steps}, but the data ends after {call.batches} batches.",
            cure="Leave steps_per_epoch out, or let a dataset repeat().",
            see=_START,
        )


def _spent_generator(call: Call) -> Iterator[Finding]:
    passes = [("x", call.x, "steps_per_epoch", call.steps, len(call.epochs))]
    if call.validation is not None:
        steps = call.given.validation_steps
        data = call.validation[0]
        passes += [("validation_data", data, "validation_steps", steps, call.validations)]
    for name, data, argument, steps, times in passes:
        if isinstance(data, GeneratorType) and not steps and times > 1:
            yield Finding(
                "spent-generator",
                symptom=f"After the first of {times} times, only its first two batches are used, "
                "again and again.",
                cause=f"{name} is a Python generator, which ends once and for all, and Keras "
                "keeps no more than the two batches that it looked at beforehand.",
                cure="Hand over arrays, a PyDataset or a tf.data.Dataset, such as "
                f"Dataset.from_generator; or a generator that never ends, with {argument}.",
                see=_START,
            )


def _zero_batches(call: Call) -> Iterator[Finding]:
    cause = "has no batch: with drop_remainder=True, fewer samples than a batch are none."
    cure = "Take a smaller batch, or do not drop the remainder."
    # Of a PyDataset without a batch, Keras tells.
    if call.batches == 0 and not isinstance(call.x, keras.utils.PyDataset):
        symptom = "fit trains nothing, raises nothing, and returns an empty history."
        yield Finding("zero-batches", symptom, f"The training data {cause}", cure, _START)
    validation = call.validation and call.validation[0]
    if isinstance(validation, tf.data.Dataset) and batches_of(validation) == 0:
        symptom = "Nothing is validated: no val_ value is in the logs, for no callback either."
        yield Finding("zero-batches", symptom, f"The validation data {cause}", cure, _START)


def _ignored_batch_size(call: Call) -> Iterator[Finding]:
    handed = [("batch_size", call.x)]
    if call.validation is not None:
        handed += [("validation_batch_size", call.validation[0])]
    for name, data in handed:
        size = getattr(call.given, name)
        if size and batches_itself(data):
            yield Finding(
                "ignored-batch-size",
                symptom=f"The batches stay as they are, and {name}={size} is ignored.",
                cause=f"A {type(data).__name__} comes in batches.",
                cure=f"Make the batches there, as with Dataset.batch, and leave {name} out.",
                see=_START,
            )


def _sorted_split(call: Call) -> Iterator[Finding]:
    for y in keras.tree.flatten(call.y) if call.cut else ():
        labels = labels_of(y)
        if labels is None:
            continue
        names, first, counts = np.unique(labels, return_index=True, return_counts=True)
        n, unseen = len(labels), first >= call.cut
        # What has a chance of one in a million in shuffled data is no chance.
        withheld = unseen & (np.log(1 - call.cut / n) * counts < _CHANCE)
        blocks = 1 + np.count_nonzero(labels[1:] != labels[:-1])
        ways = gammaln(len(names) + 1) + gammaln(counts + 1).sum() - gammaln(n + 1)
        if withheld.any() or (blocks == len(names) > 1 and ways < _CHANCE):
            kinds = len(np.unique(labels[call.cut :]))
            yield Finding(
                "sorted-split",
                symptom=f"The validation data has {kinds} of {len(names)} labels, and training "
                f"never sees {unseen.sum()} of them: val_ values say nothing.",
                cause="y is in the order of its labels, and validation_split cuts off the end "
                "before anything is shuffled.",
                cure="Shuffle x and y together first, or pass validation_data.",
                see=f"{_ITERATIONS}#validation_split-cuts-off-the-tail,-before-any-shuffling",
            )


def _test_set(call: Call) -> Iterator[Finding]:
    watch = next((w for w in call.watches if w.acts and w.monitor.startswith("val_")), None)
    if watch is None or call.given.validation_data is None:
        return
    if known := known_test_set(*call.validation):
        yield Finding(
            "test-set",
            symptom="The test score comes out too good, and nothing is left to tell.",
            cause=f"{watch.kind} chooses by {watch.monitor}, and validation_data is the test set "
            f"of {known}.",
            cure="Validate on a part of the training set, and test once, at the end.",
            see=f"{_STOPPING}#The-score-that-chose-the-epoch-is-too-good",
        )


def _lone_sample(call: Call) -> Iterator[Finding]:
    if not call.is_arrays or call.n_train - (call.batches - 1) * call.batch_size != 1:
        return
    if call.ran and sum(call.ran) < call.batches:  # not reached
        return
    for layer in call.layers(keras.layers.BatchNormalization):
        # With more axes, one sample still has a mean and a variance over the others.
        ndim = layer.input_spec.ndim if layer.built else len(call.leaf.shape)
        if layer.trainable and ndim == 2:
            yield Finding(
                "lone-sample",
                symptom=f"For one batch of each epoch, {layer.name} returns its beta, whatever "
                "the sample, and its moving variance is drawn towards 0.",
                cause=f"{call.n_train} samples in batches of {call.batch_size} leave one alone, "
                "which has no variance.",
                cure="Take another batch size, or drop the remainder in tf.data.",
                see=_START,
            )
            return


def _trained_model(call: Call) -> Iterator[Finding]:
    updates = int(getattr(call.model.optimizer, "iterations", 0))
    if updates and not call.initial_epoch:
        yield Finding(
            "trained-model",
            symptom="Training goes on where it was, a learning-rate schedule, too, while the "
            "history begins anew with epoch 1.",
            cause=f"The model has been trained before: {updates} updates.",
            cure="Build a new model; or, to go on, set initial_epoch to the epochs so far and "
            "epochs to those in all.",
            see=f"{_ITERATIONS}#Keras-counts-batches,-the-short-last-one-too",
        )


_CHECKS: tuple[Callable[[Call], Iterator[Finding]], ...] = (
    _wrong_mode,
    _undecidable_mode,
    _missing_monitor,
    _patience_0,
    _short_epochs,
    _too_many_steps,
    _spent_generator,
    _zero_batches,
    _ignored_batch_size,
    _sorted_split,
    _test_set,
    _lone_sample,
    _trained_model,
)
