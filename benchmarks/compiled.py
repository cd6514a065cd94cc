"""Training steps compiled by XLA against a plain graph, and which of them `train` takes by itself.

    python benchmarks/compiled.py [--quick]

Each model and batch size takes its turn both ways, some rounds. Compile time is not counted.
"""

import argparse

import keras
import numpy as np
from measuring import build_model, in_turn, print_machine, print_table, spread

from epochlab import Data, load_data, train
from epochlab.training.preparing import use_xla
from epochlab.worlds import WORLDS

layers = keras.layers


def rows_of_pixels(*body) -> keras.Model:
    """Return a model that reads an image as a sequence of 28 rows."""
    model = keras.Sequential([keras.Input((28, 28)), *body, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def attention(dropout: float = 0, dropout_after: float = 0) -> list[keras.layers.Layer]:
    """Return a Transformer's block without its hidden layer."""
    inputs = keras.Input((28, 64))
    x = layers.LayerNormalization()(inputs)
    x = layers.MultiHeadAttention(4, 16, dropout=dropout)(x, x)
    x = layers.Dropout(dropout_after)(x)
    return [layers.Dense(64), keras.Model(inputs, inputs + x), layers.GlobalAveragePooling1D()]


def models():
    """Return, by name, a function that makes a model, and its data."""
    digits = load_data("mnist", n_train=4_000, n_validation=100, n_test=100)
    rows = Data.of(
        digits.x_train[..., 0],
        digits.y_train,
        validation_data=(digits.x_validation[..., 0], digits.y_validation),
        test_data=(digits.x_test[..., 0], digits.y_test),
    )
    found = {
        "MLP 784–128–10": (build_model, digits),
        "the same, BatchNormalization, Dropout": (lambda: build_model("normalised"), digits),
        "small CNN": (lambda: build_model("cnn"), digits),
        "Conv1D": (
            lambda: rows_of_pixels(layers.Conv1D(16, 3, activation="relu"), layers.Flatten()),
            rows,
        ),
        "GRU": (lambda: rows_of_pixels(layers.GRU(32)), rows),
        "GRU, Dropout": (lambda: rows_of_pixels(layers.GRU(32, dropout=0.2)), rows),
        "attention": (lambda: rows_of_pixels(*attention()), rows),
        "attention, Dropout in it": (lambda: rows_of_pixels(*attention(0.1)), rows),
        "attention, Dropout after it": (lambda: rows_of_pixels(*attention(0, 0.1)), rows),
    }
    for name, world in WORLDS.items():
        found[f"the world {name}"] = world.build_model, world.data(seed=0)
    return found


def contender(make, data, batch_size: int, xla: bool, steps: int):
    """Return a function that trains some times `steps` and returns the seconds."""
    model = make()

    def run(epochs: int) -> float:
        ran = train(
            model,
            data,
            batch_size=batch_size,
            steps=epochs * steps,
            validate_every=10**9,  # once, at the end, which is not counted
            jit_compile=xla,
        )
        return ran.seconds

    return run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    quick = parser.parse_args(arguments).quick
    print_machine()
    table = []
    for name, (make, data) in models().items():
        for batch_size in (32,) if quick else (8, 32, 128):
            steps = 1 if quick else 4
            ways = {
                way: contender(make, data, batch_size, way == "XLA", steps)
                for way in ("XLA", "plain")
            }
            times = in_turn(ways, 2 if quick else 5, 0 if quick else 0.3)
            rates = [spread(steps * batch_size / times[way]) for way in ways]
            ratio = times["plain"] / times["XLA"]
            taken = "XLA" if use_xla(make(), data.x_train, "auto") else "plain"
            faster = "XLA" if np.median(ratio) >= 1 else "plain"
            wrong = "" if taken == faster else ", the slower one"
            table.append([name, str(batch_size), *rates, spread(ratio, ".2f"), taken + wrong])
            print(f"{name}, batch {batch_size}: {table[-1][-2]}", flush=True)
    print("\nRows per second: median (smallest–largest) over the rounds.\n")
    print_table(["model", "batch", "XLA", "plain graph", "XLA / plain", '"auto" takes'], table)


if __name__ == "__main__":
    main()
