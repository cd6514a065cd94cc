"""What each callback adds to `fit`.

    python benchmarks/callbacks.py [--quick]

"none" is a `CallbackList` without the `History` that `fit` adds to any other list.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras.callbacks import CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint
from measuring import build_model, fit_contender, in_turn, print_machine, print_table, spread

import epochlab

NONE = "none"
NEVER = epochlab.Patience(1_000_000)
BATCH_SIZE = 32


def callbacks(folder: Path) -> dict[str, list[keras.callbacks.Callback]]:
    """Return what is measured; a new row is a new line."""
    return {
        "`History`": [],  # which fit adds
        "`EarlyStopping`": [EarlyStopping("loss", patience=1_000_000)],
        "`epochlab.EarlyStopping`": [epochlab.EarlyStopping("loss", rule=NEVER)],
        "`epochlab.BatchRecorder`": [epochlab.BatchRecorder()],
        "`ModelCheckpoint`": [ModelCheckpoint(folder / "model.keras")],
        "`LambdaCallback`, batch end": [LambdaCallback(on_train_batch_end=lambda batch, logs: 0)],
        "`CSVLogger`": [CSVLogger(folder / "log.csv")],
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    quick = parser.parse_args(arguments).quick

    n_images, rounds, seconds = (1_000, 2, 0) if quick else (10_000, 9, 1)
    data = epochlab.load_data("mnist", n_train=n_images)
    print_machine()
    # One model for all, so that they differ in nothing else.
    model = build_model()
    model.history = None  # fit returns it
    bare = keras.callbacks.CallbackList(add_history=False, add_progbar=False, model=model)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: fit_contender(model, data, BATCH_SIZE, listed)
            for name, listed in {NONE: bare, **callbacks(Path(folder))}.items()
        }
        times = in_turn(runs, rounds, seconds)

    n_batches = -(-n_images // BATCH_SIZE)
    print(f"MLP, {n_batches} batches of {BATCH_SIZE} per epoch; median (smallest–largest).\n")
    rows = []
    for name, values in times.items():
        extra = values - times[NONE]
        rows.append(
            [
                name,
                f"{1e3 * np.median(values):.0f}",
                spread(1e3 * extra, "+.1f"),
                spread(1e6 * extra / n_batches, "+.0f"),
                spread(values / times[NONE], ".3f"),
            ]
        )
    print_table(["callback", "ms per epoch", "extra, ms", "extra, µs per batch", "ratio"], rows)


if __name__ == "__main__":
    main()
