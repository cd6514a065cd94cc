"""Three worlds in which a statement about training is tried: digits, photos and text.

Each is data by seed and a model by setting, made for `sweep`: small enough for two cores, and
unlike enough that what holds in all three is no accident of one.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from keras.optimizers.schedules import CosineDecay

from ._arguments import integer
from .data.loading import Data, load_data

_ROW = 64  # characters


def digits_data(
    seed: int, n_train: int = 1_000, n_validation: int = 2_000, label_noise: float = 0.0
) -> Data:
    """Return a part of MNIST, or of its stand-in, as `load_data` does, with 4,000 test images."""
    return load_data(
        "mnist",
        n_train=n_train,
        n_validation=n_validation,
        n_test=4_000,
        label_noise=label_noise,
        seed=seed,
    )


def photos_data(
    seed: int, n_train: int = 4_000, n_validation: int = 2_000, label_noise: float = 0.0
) -> Data:
    """Return a part of CIFAR-10, or of its stand-in, as `load_data` does."""
    return load_data(
        "cifar10", n_train=n_train, n_validation=n_validation, label_noise=label_noise, seed=seed
    )


def text_data(seed: int, n_train: int = 2_000, n_validation: int = 500) -> Data:
    """Return rows of 64 characters of CPython's documentation, and the character after each.

    `x` and `y` are int32 of shape (n, 64), indices of `class_names`; `y` is `x` moved on by one.
    The seed picks the rows; 500 are test rows. The text is that of this Python, and even patch
    releases have others: `source` ends with its digest. Raises `ValueError` for more rows than
    there are.
    """
    text, names, source = _documentation()
    n_train, n_validation = integer("n_train", n_train), integer("n_validation", n_validation)
    starts = np.random.default_rng(seed).permutation((len(text) - 1) // _ROW) * _ROW
    if n_train + n_validation + 500 > len(starts):
        raise ValueError(
            f"n_train + n_validation must be at most {len(starts) - 500:,} beside 500 test rows "
            f"of {source}; got {n_train + n_validation:,}."
        )
    rows = text[starts[:, None] + np.arange(_ROW + 1)]
    x, y = rows[:, :-1], rows[:, 1:]
    # Counted from both ends, so that a larger number adds rows to a smaller one's.
    validation = slice(-500 - n_validation, -500)
    return Data.of(
        x[:n_train],
        y[:n_train],
        validation_data=(x[validation], y[validation]),
        test_data=(x[-500:], y[-500:]),
        class_names=names,
        source=source,
    )


@functools.cache
def _documentation() -> tuple[np.ndarray, tuple[str, ...], str]:
    """Return the text as indices of its characters, the characters, and which text it is."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    names, indices = np.unique(list(text), return_inverse=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    source = f"CPython's documentation, pydoc_data.topics, SHA-256 {digest}"
    return indices.astype(np.int32), tuple(names.tolist()), source


def digits_model(width: int = 64, steps: int | None = None, **optimizer: Any) -> keras.Model:
    """Return a network with one hidden layer, compiled with `make_optimizer`."""
    hidden = layers.Dense(width, activation="relu")
    model = keras.Sequential([layers.Input((28, 28, 1)), layers.Flatten(), hidden])
    model.add(layers.Dense(10))
    return _compiled(model, steps, optimizer)


def photos_model(
    width: int = 16,
    batch_normalization: bool = False,
    augmentation: bool = False,
    steps: int | None = None,
    **optimizer: Any,
) -> keras.Model:
    """Return a CNN, compiled with `make_optimizer`.

    Two convolutions with strides, of `width` and 2 `width` filters, each with or without
    BatchNormalization, and a hidden layer of 64. `augmentation` mirrors half of the training
    photos and moves all by up to an eighth of their size.
    """
    model = keras.Sequential([layers.Input((32, 32, 3))])
    if augmentation:
        model.add(layers.RandomFlip("horizontal"))
        model.add(layers.RandomTranslation(0.125, 0.125))
    for filters in (width, 2 * width):
        model.add(layers.Conv2D(filters, 3, strides=2, padding="same"))
        if batch_normalization:
            model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    for layer in (layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10)):
        model.add(layer)
    return _compiled(model, steps, optimizer)


def text_model(width: int = 64, steps: int | None = None, **optimizer: Any) -> keras.Model:
    """Return a Transformer of two blocks, compiled with `make_optimizer`."""
    n_characters = len(_documentation()[1])
    characters = layers.Input((_ROW,), dtype="int32")
    positions = ops.cumsum(ops.ones_like(characters), axis=1) - 1
    x = layers.Embedding(n_characters, width)(characters) + layers.Embedding(_ROW, width)(positions)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, width // 4)(y, y, use_causal_mask=True)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(y))
    logits = layers.Dense(n_characters)(layers.LayerNormalization()(x))
    return _compiled(keras.Model(characters, logits), steps, optimizer)


def _compiled(model: keras.Model, steps: int | None, optimizer: dict[str, Any]) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(make_optimizer(steps=steps, **optimizer), loss, metrics=["accuracy"])
    return model


_OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "sgd": keras.optimizers.SGD,
    "momentum": functools.partial(keras.optimizers.SGD, momentum=0.9),
    "adamw": keras.optimizers.AdamW,
}
# The share of the steps that comes before the cosine, and the share of the rate it starts from.
_SCHEDULES = {"constant": (1, 1), "cosine": (0, 1), "one-cycle": (0.3, 0.04), "cooldown": (0.8, 1)}


def make_optimizer(
    optimizer: str = "adamw",
    learning_rate: float = 0.002,
    schedule: str = "constant",
    steps: int | None = None,
    ema_momentum: float | None = None,
) -> keras.optimizers.Optimizer:
    """Return "sgd", "momentum" (0.9) or "adamw", with a schedule that ends after `steps`.

    `schedule` is "constant"; "cosine" down to 0; "one-cycle", up from a 25th of `learning_rate`
    in 30 % of the steps, then a cosine; or "cooldown", 80 % constant, then a cosine. With
    `ema_momentum`, the last of the steps puts the moving average of the weights in their place.
    Raises `ValueError` for another name, and for `steps` that are missing.

    >>> make_optimizer("momentum", 0.1).momentum
    0.9
    """
    if optimizer not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {list(_OPTIMIZERS)}; got {optimizer!r}.")
    if schedule not in _SCHEDULES:
        raise ValueError(f"schedule must be one of {list(_SCHEDULES)}; got {schedule!r}.")
    if schedule == "constant" and ema_momentum is None:
        return _OPTIMIZERS[optimizer](learning_rate)
    steps = integer("steps", steps)
    rate: float | CosineDecay = learning_rate
    if schedule != "constant":
        before, start = _SCHEDULES[schedule]
        flat = round(before * steps)
        target = learning_rate if flat else None
        rate = CosineDecay(start * learning_rate, steps - flat, 0.0, "decay", target, flat)
    if ema_momentum is None:
        return _OPTIMIZERS[optimizer](rate)
    # fit would put the average there once training is over, too late for the last measurement.
    return _OPTIMIZERS[optimizer](
        rate, use_ema=True, ema_momentum=ema_momentum, ema_overwrite_frequency=steps
    )


@dataclass(frozen=True)
class World:
    """What a study needs: `sweep(world.build_model, world.data, grid)`, and how to judge it.

    Accuracies that differ by less than `margin`, in points, count as equal.
    """

    data: Callable[..., Data]
    build_model: Callable[..., keras.Model]
    optimizers: tuple[str, ...]
    margin: float


WORLDS = {
    "digits": World(digits_data, digits_model, ("sgd", "momentum", "adamw"), margin=1.0),
    "photos": World(photos_data, photos_model, ("sgd", "momentum", "adamw"), margin=2.0),
    "text": World(text_data, text_model, ("adamw",), margin=2.0),
}
