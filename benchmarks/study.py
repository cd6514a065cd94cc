"""A whole batch-size study over several seeds: the usual Keras loop against `epochlab.sweep`.

    python benchmarks/study.py [--quick] [--full]

Six batch sizes, ten seeds, 10,000 images, five epochs, validation after each epoch and the test
set at the end. Compile time counts on both sides. The usual way is measured with two seeds and
scaled up to ten; `--full` measures all ten.
"""

import argparse
import time

import keras
import numpy as np
from measuring import build_model, print_bound, print_machine, print_table

from epochlab import load_data, seeds, sweep

BATCH_SIZES = [8, 16, 32, 64, 128, 512]
EPOCHS = 5


def usual_way(data, batch_size: int, seed: int) -> float:
    """Return the test accuracy of one run as most people write it."""
    keras.utils.set_random_seed(seed)
    model = build_model()
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=batch_size,
        epochs=EPOCHS,
        validation_data=(data.x_validation, data.y_validation),
        verbose=0,
    )
    return model.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)["accuracy"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    parser.add_argument("--full", action="store_true", help="the usual way with all seeds, too")
    options = parser.parse_args(arguments)

    batch_sizes = BATCH_SIZES[-2:] if options.quick else BATCH_SIZES
    n_images, n_seeds = (1_000, 2) if options.quick else (10_000, 10)
    measured = seeds(n_seeds if options.full else 2)
    data = load_data("mnist", n_train=n_images)
    print_machine()

    # First, so that what TensorFlow does once per process is ours to pay. The lambda takes no key.
    started = time.perf_counter()
    table = sweep(
        lambda: build_model(), data, {"batch_size": batch_sizes}, seeds=n_seeds, epochs=EPOCHS
    )
    ours = time.perf_counter() - started

    rows, usual = [], 0.0
    for batch_size in batch_sizes:
        started = time.perf_counter()
        accuracy = np.mean([usual_way(data, batch_size, seed) for seed in measured])
        seconds = (time.perf_counter() - started) / len(measured)
        usual += seconds * n_seeds
        runs = table[table["batch_size"] == batch_size]
        rows.append(
            [
                str(batch_size),
                f"{seconds:.2f}",
                f"{runs['seconds'].mean():.2f}",
                f"{accuracy:.3f}",
                f"{runs['test_accuracy'].mean():.3f}",
            ]
        )
    print(f"{len(batch_sizes)} batch sizes × {n_seeds} seeds, {n_images:,} images, {EPOCHS} epochs")
    print("Seconds per run: the usual way in all, `sweep` the training steps alone.\n")
    print_table(
        ["batch", "usual, s", "`sweep`, s", "usual, test accuracy", "`sweep`, test accuracy"], rows
    )
    how = "measured" if len(measured) == n_seeds else f"scaled up from {len(measured)} seeds"
    print(f"The usual way: {usual:.1f} s ({how}). `sweep`: {ours:.1f} s, all measured.\n")
    print_bound("the usual way / `sweep`", usual / ours, 11)


if __name__ == "__main__":
    main()
