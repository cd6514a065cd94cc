"""Mistakes in the data, in how it is cut, and in how many steps go through it."""

import math
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..data import datasets
from ..data.reading import sha256
from .call import Call, batches_itself, batches_of, loss_name
from .finding import MISTAKES, STOPPING, Finding

_CHANCE = math.log(1e-6)


def short_epochs(call: Call) -> Iterator[Finding]:
    rest = call.batches % call.ran[0] if call.ran else 0  # what the last epoch of a pass runs
    if rest and rest < call.steps <= call.batches <= call.n_epochs * call.ran[0]:
        first = ", ".join(map(str, call.ran)) + (", …" if call.n_epochs > len(call.ran) else "")
        yield Finding(
            "short-epochs",
            symptom=f"The epochs run {first} batches. The loss and the metrics of a short epoch "
            "are about its few batches only.",
            cause=f"The data has {call.batches} batches. An epoch ends after "
            f"steps_per_epoch={call.steps} of them, or where the data ends. The next epoch goes on "
            "with the batches that are left.",
            cure="Leave steps_per_epoch out.",
            see=f"{MISTAKES}#steps_per_epoch-rounded-down",
        )


def too_many_steps(call: Call) -> Iterator[Finding]:
    if call.ran and call.steps > call.batches:
        yield Finding(
            "too-many-steps",
            symptom=f"Each epoch runs {call.batches} batches, not {call.steps}, and Keras warns.",
            cause=f"steps_per_epoch={call.steps}, but the data ends after {call.batches} batches.",
            cure="Leave steps_per_epoch out, or let a dataset repeat().",
        )


def endless_data(call: Call) -> Iterator[Finding]:
    for source in call.sources:
        if source.times and not source.steps and batches_of(source.data) == math.inf:
            yield Finding(
                "endless-data",
                symptom=f"The first {'epoch' if source.name == 'x' else 'validation'} never ends.",
                cause=f"{source.name} never ends, and nothing says how many batches to take.",
                cure=f"Give {source.argument}, or do not repeat().",
            )


def spent_generator(call: Call) -> Iterator[Finding]:
    for source in call.sources:
        if isinstance(source.data, GeneratorType) and not source.steps and source.times > 1:
            yield Finding(
                "spent-generator",
                symptom=f"Only the first pass over {source.name} gets all batches, and each later "
                f"pass the first two again. (If {source.name} never ends, the first pass never "
                "ends.)",
                cause=f"{source.name} is a Python generator, which can be read only once, and "
                "nothing says how many batches to take. Keras has kept only the two batches that "
                "it took out before it began.",
                cure=f"Give arrays; or a generator that never ends, with {source.argument}. For "
                "data that do not fit into memory, a PyDataset or a tf.data.Dataset, such as "
                "Dataset.from_generator.",
                see=f"{MISTAKES}#A-generator-for-four-epochs",
            )


def zero_batches(call: Call) -> Iterator[Finding]:
    for source in call.sources:
        # Of a PyDataset without a batch, Keras tells.
        dropped = isinstance(source.data, tf.data.Dataset) and batches_of(source.data) == 0
        shapes = [getattr(leaf, "shape", ()) for leaf in keras.tree.flatten(source.data)]
        if not dropped and not any(tuple(shape)[:1] == (0,) for shape in shapes):
            continue
        if source.name == "x":
            which, symptom = "training", "fit trains nothing, raises nothing, and logs nothing."
        else:
            which = "validation"
            symptom = "Nothing is validated: no val_ value is in the logs, for no callback either."
        yield Finding(
            "zero-batches",
            symptom=symptom,
            cause=f"The {which} data has no batch: no sample or, with drop_remainder=True, fewer "
            "than a batch.",
            cure="Give samples, take a smaller batch, or do not drop the remainder.",
        )


def ignored_batch_size(call: Call) -> Iterator[Finding]:
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
            )


def sorted_split(call: Call) -> Iterator[Finding]:
    for y, loss in call.targets() if call.cut else ():
        labels = labels_of(y, loss)
        if labels is None:
            continue
        try:
            names, first, counts = np.unique(labels, return_index=True, return_counts=True)
        except TypeError:  # of labels that do not compare, such as None, Keras will tell
            continue
        n, unseen = len(labels), first >= call.cut
        # What has a chance of one in a million in shuffled data is no chance.
        withheld = unseen & (np.log(1 - call.cut / n) * counts < _CHANCE)
        blocks = 1 + np.count_nonzero(labels[1:] != labels[:-1])
        ways = math.lgamma(len(names) + 1) - math.lgamma(n + 1)
        ways += sum(math.lgamma(count + 1) for count in counts)
        in_blocks = blocks == len(names) > 1
        if withheld.any() or (in_blocks and ways < _CHANCE):
            validated = np.unique(labels[call.cut :])
            only = "only " if len(validated) < len(names) else ""
            seen = f" Training never sees {_listed(names[unseen])}." if unseen.any() else ""
            yield Finding(
                "sorted-split",
                symptom=f"Of the {len(names)} labels, the validation data has {only}"
                f"{_listed(validated)}.{seen} So val_accuracy and val_loss do "
                "not tell how well the model does on all labels.",
                cause=f"y is {'sorted by its labels' if in_blocks else 'not shuffled'}, and "
                "validation_split cuts off the end before fit shuffles.",
                cure="Shuffle x and y together first, or pass validation_data.",
                see=f"{MISTAKES}#validation_split-and-images-in-order",
            )


def _listed(labels: np.ndarray) -> str:
    if len(labels) == 1:
        return f"label {labels[0]}"
    return f"labels {', '.join(map(str, labels[:5]))}{', …' if len(labels) > 5 else ''}"


def test_set(call: Call) -> Iterator[Finding]:
    watch = next((w for w in call.watches if w.acts and w.monitor.startswith("val_")), None)
    if watch is None or call.validation is None or call.cut:
        return
    if known := known_test_set(*call.validation):
        yield Finding(
            "test-set",
            symptom="The test score comes out too good, and nothing is left to tell.",
            cause=f"{watch.kind} chooses by {watch.monitor}, and validation_data is the test set "
            f"of {known}.",
            cure="Validate on a part of the training set, and test once, at the end.",
            see=f"{STOPPING}#Which-score-may-you-report?",
        )


def labels_of(y: Any, loss: Any = "crossentropy") -> np.ndarray | None:
    """Return class labels as a vector, those of one-hot rows too; `None` if `y` has none.

    Whole numbers are labels only to a loss of classes: others take them for quantities.
    """
    if y is None or keras.tree.is_nested(y) or not hasattr(y, "shape"):
        return None
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        one_hot = ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
        return y.argmax(axis=1) if one_hot else None
    y = y.reshape(-1) if y.ndim == 2 else y
    whole = y.dtype.kind in "biuSUO" or (y.dtype.kind == "f" and (y == np.floor(y)).all())
    of_classes = any(word in loss_name(loss) for word in ("crossentropy", "hinge"))
    return y if y.ndim == 1 and whole and of_classes else None


def known_test_set(x: Any, y: Any) -> str | None:
    """Return the name of the data set whose test images or labels these are, if it is known."""
    labels = labels_of(y)
    if labels is not None and labels.dtype.kind in "biuf":
        content = labels.astype(np.uint8).tobytes()  # as keras.datasets has them
        for known in datasets.DATA_SETS.values():
            if sha256(content) == known.sha256.get("y_test"):
                return known.title
    if not hasattr(x, "shape"):
        return None
    images = np.asarray(x)
    if images.dtype.kind not in "uif" or not images.size or not np.isfinite(images).all():
        return None
    scale = 255 if images.max() <= 1 else 1
    images = np.rint(images.reshape(len(images), -1) * scale).clip(0, 255).astype(np.uint8)
    found = []  # two data sets may have the same stand-in
    for loaded in datasets.loaded():  # in memory already, whatever a search would find now
        rows = {row.tobytes() for row in loaded.x_test}
        if 2 * sum(row.tobytes() in rows for row in images) > len(images):
            found.append(loaded.source)
    return " or ".join(found) or None


CHECKS = (
    short_epochs,
    too_many_steps,
    endless_data,
    spent_generator,
    zero_batches,
    ignored_batch_size,
    sorted_split,
    test_set,
)
