"""What the benchmarks share: the networks, timing in turn, and how results print."""

import os
import platform
import time
from collections.abc import Callable
from importlib import metadata

# Several frameworks share a GPU here: none may take all of its memory.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from epochlab.training.machine import device
from epochlab.worlds import WORLDS

Times = dict[str, np.ndarray]
PAUSE = 0.2  # seconds before each turn: NumPy's threads wait in a loop for a while after theirs


def build_model(network: str = "mlp") -> keras.Model:
    """Return a compiled Keras model: "mlp", "cnn", "normalised" or "transformer"."""
    if network == "transformer":
        return WORLDS["text"].build_model(learning_rate=0.002)
    layers = keras.layers
    dense = [layers.Flatten(), layers.Dense(128, "relu")]
    body = {
        "mlp": dense,
        "cnn": [
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
        ],
        "normalised": [*dense, layers.BatchNormalization(), layers.Dropout(0.2)],
    }[network]
    model = keras.Sequential([keras.Input((28, 28, 1)), *body, layers.Dense(10, "softmax")])
    model.compile(
        keras.optimizers.SGD(0.1),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def fit_contender(model: keras.Model, data, batch_size: int, callbacks=None):
    """Return a function that fits for so many epochs and returns the seconds."""

    def run(epochs: int) -> float:
        started = time.perf_counter()
        model.fit(
            data.x_train,
            data.y_train,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=callbacks,
            verbose=0,
        )
        return time.perf_counter() - started

    return run


def in_turn(contenders: dict[str, Callable[[int], float]], rounds: int, seconds: float) -> Times:
    """Return the seconds per epoch of each contender in each round.

    All take their turn in every round, so that a machine that slows down slows all of them, and
    start it after a pause. A turn has as many epochs as fill `seconds`, at least one.
    """
    epochs = {}
    for name, run in contenders.items():
        run(1)  # compiles
        epochs[name] = max(1, round(seconds / run(1)))
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            time.sleep(PAUSE)
            times[name].append(run(epochs[name]) / epochs[name])
    return {name: np.array(values) for name, values in times.items()}


def spread(values: np.ndarray, form: str = ",.0f") -> str:
    """Return the median and, in brackets, the smallest and the largest value."""
    low, middle, high = (format(q, form) for q in np.quantile(values, [0, 0.5, 1]))
    return f"{middle} ({low}–{high})"


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("|", " | ".join(row), "|")
    print(flush=True)


def print_bound(what: str, value: float, bound: float) -> None:
    """Say whether a bound is reached."""
    print(f"- {'reached' if value >= bound else 'NOT REACHED'}: {what} ≥ {bound:g}: {value:.2f}")


def print_machine() -> None:
    """Print devices, cores and versions."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("tensorflow", "keras", "numpy", "jax", "torch"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    print(f"{device()}. {', '.join(versions)}.\n", flush=True)
