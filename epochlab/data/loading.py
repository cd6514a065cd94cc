"""Images and labels in three parts: of a known data set, of its stand-in, or your own."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arguments import fraction, instance, integer
from .datasets import DATA_SETS, Images, find


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Images and labels for training, validation and test.

    From `load_data`, images are float32 in [0, 1], shape (n, height, width, channels); labels
    int32, shape (n,), index `class_names`. `Data.of` makes one of your own arrays. `source` says
    what the data are and belongs in every plot's title. `y_train_clean` holds the right labels
    where `y_train` has wrong ones, else `None`. `stand_in` says whether these are not the images
    that were asked for.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    y_train_clean: np.ndarray | None = None
    stand_in: bool = False

    @classmethod
    def of(
        cls,
        x: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        test_data: tuple[Any, Any] | None = None,
        validation_split: float = 0.2,
        test_split: float = 0.2,
        class_names: Iterable[str] | None = None,
        source: str = "your arrays",
        seed: int = 0,
    ) -> "Data":
        """Make a `Data` of your own arrays, for `train` and `sweep`.

        `x` and `y` have a row per sample: images, numbers, or integers that stand for words;
        labels 0, 1, …, or numbers to predict. Arrays, lists and data frames do. Floats become
        float32, as in `fit`; otherwise values and shapes stay as they are.

        `validation_split` and `test_split`, in [0, 1), are shares of the rows, rounded, taken
        after shuffling by `seed`; `validation_data=(x, y)` and `test_data=(x, y)` take their
        place, and where both are given nothing is shuffled. Without `class_names`, the labels 0
        to the largest, if all occur, are named "0", "1", …; other labels have no names.

        Raises `ValueError` or `TypeError` for parts that are empty or differ in length, shape or
        type, for what holds no numbers, NaN or infinity, and for labels beyond `class_names`.

        >>> x = np.random.default_rng(0).normal(size=(100, 4))
        >>> Data.of(x, x[:, 0] > 0)
        your arrays: 60 train, 20 validation, 20 test rows of 4, 2 classes
        """
        seed = integer("seed", seed, minimum=0)
        instance("source", source, str, "a string")
        train = _array("x", x), _array("y", y)
        _check_rows("x and y", *train)
        n = len(train[0])
        order = np.random.default_rng(seed).permutation(n)
        if validation_data is not None and test_data is not None:
            order = np.arange(n)
        held_out = []
        for part, given, share in (
            ("validation", validation_data, fraction("validation_split", validation_split)),
            ("test", test_data, fraction("test_split", test_split)),
        ):
            if given is None:
                taken, order = np.split(order, [round(share * n)])
                held_out.append([array[taken] for array in train])
            else:
                held_out.append(_pair(f"{part}_data", given, train))
        parts = [[array[order] for array in train], *held_out]
        if not all(sizes := [len(x) for x, _ in parts]):
            raise ValueError(
                "validation_split and test_split must leave rows to train on, to validate on and "
                f"to test on; got {', '.join(map(str, sizes))} of {n}."
            )
        (x, y), (x_validation, y_validation), (x_test, y_test) = parts
        names = _names(class_names, np.concatenate([y, y_validation, y_test]))
        return cls(x, y, x_validation, y_validation, x_test, y_test, names, source)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.x_train.shape[1:])) or "1"
        kind = "images" if self.x_train.ndim == 4 else "rows"
        text = (
            f"{self.source}: {len(self.y_train):,} train, {len(self.y_validation):,} validation, "
            f"{len(self.y_test):,} test {kind} of {shape}"
        )
        if self.class_names:
            text += f", {len(self.class_names)} classes"
        if self.y_train_clean is not None:
            wrong = np.mean(self.y_train != self.y_train_clean)
            text += f", {100 * wrong:.3g} % of training labels wrong"
        return text


def _array(name: str, values: Any) -> np.ndarray:
    """Return finite numbers, a row for each sample, floats as float32."""
    wanted = f"{name} must hold numbers, a row for each sample"
    if np.ma.isMaskedArray(values):
        raise TypeError(f"{wanted}; got a masked array, whose mask would be lost.")
    try:
        array = np.asarray(values)
    except Exception as error:  # whatever a library's __array__ raises
        raise TypeError(f"{wanted}; got {type(values).__name__}: {error}") from error
    if array.dtype.kind not in "biuf" or not array.ndim:
        cure = " np.unique(y, return_inverse=True) numbers classes that have names."
        raise TypeError(
            f"{wanted}; got {type(values).__name__} of {array.dtype}, shape {array.shape}."
            + (cure if array.dtype.kind in "OSU" and array.ndim else "")
        )
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if not finite.all():
            raise ValueError(
                f"{name} must be finite as float32; got NaN or infinity in row {finite.argmin()}."
            )
    return array


def _check_rows(name: str, x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y) or not len(x):
        got = f"{len(x):,} and {len(y):,}"
        raise ValueError(f"{name} must have as many rows, at least 1; got {got}.")


def _pair(name: str, given: Any, train: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    """Return `x` and `y` that were given for a part, of the shape and type of `train`."""
    instance(name, given, (tuple, list), "a pair (x, y)")
    if len(given) != 2:
        raise ValueError(f"{name} must be a pair (x, y); got {len(given)} things.")
    pair = [_array(f"{key} of {name}", values) for key, values in zip("xy", given, strict=True)]
    _check_rows(f"x and y of {name}", *pair)
    for key, array, wanted in zip("xy", pair, train, strict=True):
        if (array.shape[1:], array.dtype) != (wanted.shape[1:], wanted.dtype):
            raise ValueError(
                f"{key} of {name} must be {wanted.dtype}, rows of shape {wanted.shape[1:]}, as "
                f"{key} is; got {array.dtype}, rows of shape {array.shape[1:]}."
            )
    return pair


def _names(class_names: Iterable[str] | None, y: np.ndarray) -> tuple[str, ...]:
    """Return the names of the classes, those of the labels 0, 1, … where none are given."""
    if class_names is None:
        labels = np.unique(y).tolist() if y.ndim == 1 and y.dtype.kind in "biu" else []
        return tuple(map(str, range(len(labels)))) if labels == list(range(len(labels))) else ()
    names = tuple(class_names) if isinstance(class_names, Iterable) else (class_names,)
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"class_names must be strings, one for each class; got {class_names!r}.")
    if names and not (y.min() >= 0 and y.max() < len(names)):
        raise ValueError(
            f"y must be labels from 0 to {len(names) - 1}, of which class_names has the names; "
            f"got {y.min()} to {y.max()}."
        )
    return names


def load_data(
    name: str = "mnist",
    *,
    n_train: int = 10_000,
    n_validation: int = 2_000,
    n_test: int = 2_000,
    label_noise: float = 0.0,
    seed: int = 0,
) -> Data:
    """Load a random part of MNIST or CIFAR-10, or of a stand-in where neither can be had.

    `name` is "mnist" (28×28×1) or "cifar10" (32×32×3). Validation images come from the training
    set, test images from the test set; the same `seed` picks the same images, and a larger number
    adds images to a smaller one's. (Not so for a stand-in, where train and validation share no
    source digit, or one when nearly all images are asked for.) `label_noise`, in [0, 1), is the
    share of training and of validation labels replaced by a wrong class drawn uniformly; test
    labels stay right.

    Searched in turn: the folder named by the environment variable `EPOCHLAB_DATA` (`mnist.npz`,
    `cifar-10-python.tar.gz` or `cifar10.npz`), Keras's cache, a download (not if
    `EPOCHLAB_OFFLINE=1`; given up when it stalls for 15 s), the stand-in. One printed line tells
    when it is the stand-in; `Data.source` always tells. Raises `TypeError` or `ValueError` for a
    bad argument, for more images than there are, and for a corrupt file in `EPOCHLAB_DATA`.

    >>> print("Loaded:", end=" "); print(load_data(n_train=500))  # doctest: +ELLIPSIS
    Loaded: ...MNIST...: 500 train, 2,000 validation, 2,000 test images of 28×28×1, 10 classes
    """
    n_train = integer("n_train", n_train)
    n_validation = integer("n_validation", n_validation)
    n_test = integer("n_test", n_test)
    label_noise = fraction("label_noise", label_noise)
    seed = integer("seed", seed, minimum=0)

    images = find(name)
    _check_enough("n_train + n_validation", n_train + n_validation, images, "training")
    _check_enough("n_test", n_test, images, "test")

    # The number of the stream comes first: no seed's streams are then those of another seed.
    streams = [np.random.default_rng([stream, seed]) for stream in range(4)]
    train, validation = _split(images, n_train, n_validation, streams[0])
    test = streams[1].permutation(len(images.y_test))[:n_test]
    y_train_clean = images.y_train[train].astype(np.int32)
    y_validation = images.y_train[validation].astype(np.int32)
    shape, n_classes = DATA_SETS[name].shape, len(images.class_names)
    return Data(
        x_train=_scaled(images.x_train[train], shape),
        y_train=_with_noise(y_train_clean, label_noise, n_classes, streams[2]),
        x_validation=_scaled(images.x_train[validation], shape),
        y_validation=_with_noise(y_validation, label_noise, n_classes, streams[3]),
        x_test=_scaled(images.x_test[test], shape),
        y_test=images.y_test[test].astype(np.int32),
        class_names=images.class_names,
        source=images.source,
        y_train_clean=y_train_clean if label_noise else None,
        stand_in=images.stand_in,
    )


def _check_enough(name: str, wanted: int, images: Images, kind: str) -> None:
    there = len(images.x_test if kind == "test" else images.x_train)
    if wanted > there:
        raise ValueError(
            f"{name} must be at most {there:,}, the number of {kind} images of {images.source}; "
            f"got {wanted:,}."
        )


def _split(
    images: Images, n_train: int, n_validation: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training and of the validation images."""
    total = len(images.y_train)
    digits = images.source_digits
    if digits is None:
        order = rng.permutation(total)
        return order[:n_train], order[total - n_validation :]
    # All images of one source digit together, the digits in random order, cut in proportion:
    # at a digit's first image, at its last, or, where nearly all images are asked for, between.
    rank = rng.permutation(digits.max() + 1)[digits]
    order = np.argsort(rank, kind="stable")
    between = total * n_train // (n_train + n_validation)
    digit = rank[order[between]]
    first, last = np.searchsorted(rank[order], [digit, digit + 1])
    cut = next(c for c in (first, last, between) if n_train <= c <= total - n_validation)
    return rng.permutation(order[:cut])[:n_train], rng.permutation(order[cut:])[:n_validation]


def _scaled(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.divide(images, 255, dtype=np.float32).reshape(-1, *shape)


def _with_noise(labels: np.ndarray, share: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the labels with `share` of them moved to another of the `n` classes."""
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[wrong] = (noisy[wrong] + rng.integers(1, n, len(wrong))) % n
    return noisy
