"""MNIST, CIFAR-10 and what stands in for them where neither can be had."""

from dataclasses import dataclass

import numpy as np

from .. import evidence
from .._arguments import fraction, integer
from .datasets import SHAPES, Images, check_name, find

_DIGITS = tuple("0123456789")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Images and labels for training, validation and test.

    Images are float32 in [0, 1], shape (n, height, width, channels); labels int32, shape (n,),
    index `class_names`. `source` says what the images are and belongs in every plot's title.
    `y_train_clean` holds the right labels where `y_train` has wrong ones, else `None`.
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

    @property
    def stand_in(self) -> bool:
        """Whether these are not the images that were asked for."""
        return self.source.startswith("stand-in")

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.x_train.shape[1:]))
        text = (
            f"{self.source}: {len(self.y_train):,} train, {len(self.y_validation):,} validation, "
            f"{len(self.y_test):,} test images of {shape}, {len(self.class_names)} classes"
        )
        if self.y_train_clean is not None:
            wrong = np.mean(self.y_train != self.y_train_clean)
            text += f", {100 * wrong:.3g} % of training labels wrong"
        return text


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
    check_name(name)
    n_train = integer("n_train", n_train)
    n_validation = integer("n_validation", n_validation)
    n_test = integer("n_test", n_test)
    label_noise = fraction("label_noise", label_noise)
    seed = integer("seed", seed, minimum=0)

    images = find(name)
    for text, wanted, there, kind in (
        ("n_train + n_validation", n_train + n_validation, len(images.y_train), "training"),
        ("n_test", n_test, len(images.y_test), "test"),
    ):
        if wanted > there:
            raise ValueError(
                f"{text} must be at most {there:,}, the number of {kind} images of "
                f"{images.source}; got {wanted:,}."
            )

    # The number of the stream comes first: no seed's streams are then those of another seed.
    streams = [np.random.default_rng([stream, seed]) for stream in range(4)]
    train, validation = _split(images, n_train, n_validation, streams[0])
    test = streams[1].permutation(len(images.y_test))[:n_test]
    y_train_clean = images.y_train[train].astype(np.int32)
    y_validation = images.y_train[validation].astype(np.int32)
    data = Data(
        x_train=_scaled(images.x_train[train], name),
        y_train=_with_noise(y_train_clean, label_noise, streams[2]),
        x_validation=_scaled(images.x_train[validation], name),
        y_validation=_with_noise(y_validation, label_noise, streams[3]),
        x_test=_scaled(images.x_test[test], name),
        y_test=images.y_test[test].astype(np.int32),
        class_names=_THINGS if images.source.startswith("CIFAR") else _DIGITS,
        source=images.source,
        y_train_clean=y_train_clean if label_noise else None,
    )
    if hasattr(evidence, "_real_data"):
        evidence._real_data[name] = not data.stand_in
    return data


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
    return (
        rng.permutation(order[:cut])[:n_train],
        rng.permutation(order[cut:])[:n_validation],
    )


def _scaled(images: np.ndarray, name: str) -> np.ndarray:
    return np.divide(images, 255, dtype=np.float32).reshape(-1, *SHAPES[name])


def _with_noise(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the labels with `share` of them moved to another of the ten classes."""
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[wrong] = (noisy[wrong] + rng.integers(1, 10, len(wrong))) % 10
    return noisy
