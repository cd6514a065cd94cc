"""What was trained for the evidence, in three worlds, and the command that trains what is missing.

    python notebooks/evidence/studies.py --plan
    python notebooks/evidence/studies.py --worlds digits,photos --minutes 60

Each part of a study keeps its runs in a record in `runs/`, so that a command that was stopped goes
on where it was. A notebook has a part's table in one call: `table("budget", "digits_epochs")`.
With `EPOCHLAB_SEED=k` the seeds are others, and so is the folder.
"""

import argparse
import itertools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import noise
import pandas as pd

from epochlab import Check, Interval, last_epochs, seeds, sweep
from epochlab.worlds import WORLDS

RUNS = Path(__file__).parent / "runs"
N_SEEDS = {"digits": 10, "photos": 5, "text": 5}
N_SEARCH_SEEDS = 2
# Where the search for a rate starts.
RATES = {
    "sgd": [0.05, 0.1, 0.2, 0.4],
    "momentum": [0.005, 0.01, 0.02, 0.04],
    "adamw": [0.001, 0.002, 0.004, 0.008],
}


@dataclass(frozen=True)
class Part:
    """Runs that one record keeps: each combination of `grid`, on all seeds of the world.

    `epochs` may be a number for each batch size. With `curves` all is measured after each epoch.
    With `search` the rate of each combination is searched on two seeds of their own: by factors
    of two, until the best is not at an end. The best and its two neighbours then run on all
    seeds. The best has the highest validation accuracy at the end; or, with a `target`, reaches
    this accuracy in the fewest steps.
    """

    world: str
    grid: dict[str, list[Any]]
    epochs: int | dict[int, int] | None = None
    steps: int | None = None
    curves: bool = False
    search: bool = False
    target: float | None = None
    build_model: Callable[..., keras.Model] | None = None  # in place of the world's

    def sweep(self, grid: dict[str, list[Any]], on: list[int], cache: Path) -> pd.DataFrame:
        """Train what the record does not have of the runs of `grid` on seeds."""
        world, epochs = WORLDS[self.world], self.epochs
        if isinstance(epochs, dict):
            epochs = epochs[grid["batch_size"][0]]
        return sweep(
            self.build_model or world.build_model,
            world.data,
            grid,
            seeds=on,
            epochs=epochs,
            steps=self.steps,
            curves=self.curves,
            cache=cache,
        )

    def has(self, point: dict[str, Any], seed: int) -> bool:
        """Return whether a run of these keys and this seed can be one of this part."""
        fixed = {key: value for key, value in point.items() if key in self.grid}
        searched = {"learning_rate"} if self.search else set()
        if point.keys() != self.grid.keys() | searched or seed not in self.seeds() + search_seeds():
            return False
        if searched:
            octaves = math.log2(point["learning_rate"] / RATES[point["optimizer"]][0])
            if octaves != round(octaves):
                return False
        return all(value in self.grid[key] for key, value in fixed.items())

    def seeds(self) -> list[int]:
        return seeds(N_SEEDS[self.world])


def search_seeds() -> list[int]:
    return seeds(1_000 + N_SEARCH_SEEDS)[1_000:]


def rules(base: list[float], factor: int) -> list[float]:
    """Return each base rate unchanged, times the square root of `factor`, and times `factor`."""
    powers = (1, math.sqrt(factor), factor)
    return sorted({float(f"{rate * power:.4g}") for rate in base for power in powers})


ALL = ["sgd", "momentum", "adamw"]
NOISE = [0.0, 0.2, 0.4]
# For long curves: not searched, but of the size at which Adam is used.
DIGITS = {"optimizer": ["adamw"], "learning_rate": [0.001]}
PHOTOS = {"optimizer": ["adamw"], "learning_rate": [0.001]}
TEXT = {"optimizer": ["adamw"], "learning_rate": [0.002]}
# Base rates for the rules, up to where training at the base batch breaks down.
BASES = {
    "digits": {
        "sgd": [0.025, 0.05, 0.1, 0.2, 0.4, 0.8],
        "momentum": [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08],
        "adamw": [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008],
    },
    "photos": {
        "sgd": [0.02, 0.04, 0.08, 0.16],
        "momentum": [0.002, 0.004, 0.008, 0.016],
        "adamw": [0.0005, 0.001, 0.002, 0.004],
    },
    "text": {"adamw": [0.0005, 0.001, 0.002, 0.004]},
}


def _rates(
    world: str, batch_size: int, n_train: int, epochs: int, factors: list[int]
) -> dict[str, Part]:
    """Return a part for each optimizer and each factor of the batch, and one that searches."""
    searched = {
        "optimizer": list(BASES[world]),
        "n_train": [n_train],
        "batch_size": [factor * batch_size for factor in factors],
    }
    return {f"{world}_searched": Part(world, searched, epochs=epochs, search=True)} | {
        f"{world}_{optimizer}_x{factor}": Part(
            world,
            {
                "optimizer": [optimizer],
                "n_train": [n_train],
                "batch_size": [factor * batch_size],
                "learning_rate": rules(base, factor),
            },
            epochs=epochs,
        )
        for optimizer, base in BASES[world].items()
        for factor in factors
    }


def _schedules(
    world: str, lengths: list[int], grid: dict[str, list[Any]], *, cosine_curves: bool = True
) -> dict[str, Part]:
    """Return what is to be compared at `lengths[-1]` steps; a cosine also ends earlier."""
    cosine = grid | {"steps": lengths, "schedule": ["cosine"]}
    longest = {"steps": lengths[-1:]}
    return {
        f"{world}_constant": Part(world, grid | longest, curves=True, search=True),
        f"{world}_cosine": Part(world, cosine, curves=cosine_curves, search=True),
        f"{world}_others": Part(
            world, grid | longest | {"schedule": ["one-cycle", "cooldown"]}, search=True
        ),
        f"{world}_averaged": Part(world, grid | longest | {"ema_momentum": [0.99]}, search=True),
    }


STUDIES: dict[str, dict[str, Part]] = {
    # Which batch size is best, each with its own rate, by which optimizer, under which budget?
    "budget": {
        "digits_epochs": Part(
            "digits",
            {"optimizer": ALL, "batch_size": [4, 16, 64, 256, 1000]},
            epochs=20,
            search=True,
        ),
        "digits_updates": Part(
            "digits",
            {"optimizer": ALL, "batch_size": [4, 16, 64, 256, 1000]},
            steps=500,
            search=True,
        ),
        "digits_n_train_epochs": Part(
            "digits",
            {"optimizer": ["sgd"], "n_train": [250, 4000], "batch_size": [4, 16, 64, 250]},
            epochs=20,
            search=True,
        ),
        "digits_n_train_updates": Part(
            "digits",
            {"optimizer": ["sgd"], "n_train": [250, 4000], "batch_size": [4, 16, 64, 250]},
            steps=500,
            search=True,
        ),
        "digits_width_epochs": Part(
            "digits",
            {"optimizer": ["sgd"], "width": [16, 256], "batch_size": [4, 16, 64, 256]},
            epochs=20,
            search=True,
        ),
        "digits_width_updates": Part(
            "digits",
            {"optimizer": ["sgd"], "width": [16, 256], "batch_size": [4, 16, 64, 256]},
            steps=500,
            search=True,
        ),
        "photos_epochs": Part(
            "photos",
            {"optimizer": ALL, "batch_size": [8, 32, 128, 512]},
            epochs=8,
            search=True,
        ),
        "photos_updates": Part(
            "photos",
            {"optimizer": ALL, "batch_size": [8, 32, 128, 512]},
            steps=300,
            search=True,
        ),
        "photos_batch_normalization": Part(
            "photos",
            {
                "optimizer": ["adamw"],
                "n_train": [2000],
                "batch_normalization": [False, True],
                "batch_size": [2, 8, 32],
            },
            epochs=4,
            search=True,
        ),
        "text_epochs": Part(
            "text", {"optimizer": ["adamw"], "batch_size": [8, 32, 128]}, epochs=5, search=True
        ),
        "text_updates": Part(
            "text", {"optimizer": ["adamw"], "batch_size": [8, 32, 128]}, steps=200, search=True
        ),
    },
    # When do more epochs harm, and what?
    "epochs": {
        "digits": Part(
            "digits",
            DIGITS | {"label_noise": NOISE, "n_train": [300, 1000, 4000]},
            epochs=100,
            curves=True,
        ),
        "digits_sgd": Part(
            "digits",
            {"optimizer": ["sgd"], "learning_rate": [0.1], "label_noise": NOISE},
            epochs=500,
            curves=True,
        ),
        "photos": Part(
            "photos",
            PHOTOS | {"label_noise": NOISE, "n_train": [1000, 4000], "augmentation": [False, True]},
            epochs=40,
            curves=True,
        ),
        "text": Part("text", TEXT | {"n_train": [500, 2000]}, epochs=30, curves=True),
    },
    # Curves to replay rules over, beside those of "epochs".
    "stopping": {
        "digits_n_validation": Part(
            "digits",
            DIGITS | {"label_noise": NOISE, "n_validation": [50, 200, 1000]},
            epochs=60,
            curves=True,
        ),
        "digits_batch_size": Part(
            "digits",
            DIGITS | {"label_noise": [0.0, 0.2], "batch_size": [8, 32, 128, 500]},
            epochs=60,
            curves=True,
        ),
        "photos_n_validation": Part(
            "photos",
            PHOTOS | {"label_noise": [0.0, 0.2], "n_validation": [100, 500]},
            epochs=40,
            curves=True,
        ),
        "photos_batch_size": Part(
            "photos",
            PHOTOS | {"label_noise": [0.0, 0.2], "batch_size": [8, 128]},
            epochs=30,
            curves=True,
        ),
        "text_n_validation": Part(
            "text", TEXT | {"n_train": [500], "n_validation": [20, 100]}, epochs=30, curves=True
        ),
        "text_batch_size": Part(
            "text",
            TEXT | {"n_train": [500], "batch_size": [8, 128]},
            epochs={8: 20, 128: 60},
            curves=True,
        ),
    },
    # What becomes of a rate when the batch grows?
    "rates": {
        **_rates("digits", batch_size=16, n_train=1024, epochs=20, factors=[1, 4, 8, 16]),
        **_rates("photos", batch_size=16, n_train=4096, epochs=6, factors=[1, 4, 8, 16]),
        **_rates("text", batch_size=8, n_train=2048, epochs=3, factors=[1, 4, 16]),
    },
    # What does a schedule do that early stopping does not? Batches of 32.
    "schedules": {
        **_schedules(
            "digits",
            lengths=[160, 480, 960, 1920],
            grid={"optimizer": ["momentum", "adamw"], "label_noise": [0.0, 0.2]},
        ),
        **_schedules(
            "photos",
            lengths=[500, 1000, 2000],
            grid={"optimizer": ["adamw"], "label_noise": [0.0, 0.2]},
        ),
        **_schedules(
            "text",
            lengths=[100, 200, 400],
            grid={"optimizer": ["adamw"], "n_train": [500]},
            cosine_curves=False,  # measuring takes as long as training here
        ),
    },
    # Steps and examples to a target; and two batch sizes trained for long.
    "steps": {
        "digits": Part(
            "digits",
            {"optimizer": ALL, "n_train": [4096], "batch_size": [4, 16, 64, 256, 1024]},
            epochs={4: 10, 16: 10, 64: 20, 256: 40, 1024: 100},
            curves=True,
            search=True,
            target=0.92,
        ),
        "digits_flat": Part(
            "digits",
            DIGITS | {"n_train": [4000], "width": [128], "batch_size": [32, 400]},
            epochs=200,
            curves=True,
        ),
        "photos": Part(
            "photos",
            {"optimizer": ["momentum", "adamw"], "batch_size": [8, 32, 128, 512]},
            epochs={8: 4, 32: 6, 128: 12, 512: 25},
            curves=True,
            search=True,
            target=0.42,
        ),
        "photos_flat": Part("photos", PHOTOS | {"batch_size": [32, 400]}, epochs=60, curves=True),
        "text": Part(
            "text",
            {"optimizer": ["adamw"], "batch_size": [8, 32, 128]},
            epochs={8: 3, 32: 5, 128: 10},
            curves=True,
            search=True,
            target=0.38,
        ),
    },
    # How much do gradients scatter as training goes on?
    "noise": {
        "digits": Part("digits", DIGITS, epochs=40, curves=True, build_model=noise.noisy_digits),
        "photos": Part("photos", PHOTOS, epochs=15, curves=True, build_model=noise.noisy_photos),
        "text": Part("text", TEXT, epochs=4, curves=True, build_model=noise.noisy_text),
    },
    # Candidates to choose among on training, validation or test data, beside those of "rates".
    "choosing": {
        "digits": Part(
            "digits",
            {
                "optimizer": ["adamw"],
                "n_train": [300],
                "label_noise": [0.0, 0.2],
                "width": [16, 64, 256],
                "batch_size": [8, 32, 128],
                "learning_rate": [0.0005, 0.002, 0.008],
            },
            epochs=40,
            curves=True,
        ),
    },
}


def table(study: str, name: str, *, search: bool = False) -> pd.DataFrame:
    """Return the runs of a part as `sweep` does, from its record; what is missing is trained.

    Where rates were searched, `chosen` tells the runs at the best rate from those at its
    neighbours. With `search`, return the runs of the search instead.
    """
    part, path = STUDIES[study][name], folder() / f"{study}_{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = []
    for point in _points(part):
        if not part.search:
            tables.append(part.sweep(point, part.seeds(), path))
            continue
        searched = _search(part, path, point)
        rates = sorted(searched)
        if search:
            tables += searched.values()
            continue
        best = _best(part, searched)
        near = rates[rates.index(best) - 1 : rates.index(best) + 2]
        runs = part.sweep(point | {"learning_rate": near}, part.seeds(), path)
        tables.append(runs.assign(chosen=runs["learning_rate"] == best))
    return pd.concat(tables, ignore_index=True)


def chosen(study: str, name: str) -> pd.DataFrame:
    """Return of a part whose rates were searched the runs at the best rate, on all seeds."""
    runs = table(study, name)
    return runs[runs["chosen"]].drop(columns="chosen").reset_index(drop=True)


def larger(found: Interval, world: str) -> Check:
    """Check that a difference in points is above 0: shown, or not if it is not above the margin.

    So an effect that is there is told however small, and one that cannot be larger than what
    counts as equal is none.
    """
    shown = found.above(0)
    return shown if shown else found.above(WORLDS[world].margin)


def differs(found: Interval, world: str) -> Check:
    """Check that there is a difference in points: shown if an interval leaves out 0."""
    shown = found.above(0) if found.mean > 0 else found.below(0)
    return shown if shown else ~found.within(WORLDS[world].margin)


def is_larger(intervals: dict[str, Interval]) -> dict[str, Check]:
    """Check in each world, as `larger` does."""
    return {world: larger(found, world) for world, found in intervals.items()}


def is_different(intervals: dict[str, Interval]) -> dict[str, Check]:
    """Check in each world, as `differs` does."""
    return {world: differs(found, world) for world, found in intervals.items()}


def pick(runs: pd.DataFrame, **keys: Any) -> pd.DataFrame:
    """Return the runs that have these values of these keys, of which a table may lack some."""
    for key, value in keys.items():
        if key in runs:
            runs = runs[runs[key] == value]
    return runs


def folder() -> Path:
    """Return where the records are: the committed ones belong to the default seeds."""
    block = os.environ.get("EPOCHLAB_SEED") or "0"
    return RUNS if int(block) == 0 else RUNS / f"seed-{block}"


def worlds() -> list[str]:
    """Return the worlds in `EPOCHLAB_WORLDS`, "digits,photos" for example, or all."""
    names = [name for name in os.environ.get("EPOCHLAB_WORLDS", "").split(",") if name]
    if unknown := set(names) - set(WORLDS):
        raise ValueError(f"worlds must be some of {', '.join(WORLDS)}; got {unknown.pop()!r}.")
    return names or list(WORLDS)


def steps_to(target: float, curves: pd.DataFrame) -> pd.Series:
    """Return, by run, the step at which the validation accuracy reaches `target`, else NaN.

    Between two epochs it is taken to rise evenly.
    """
    keys = list(curves.columns[: curves.columns.get_loc("seed") + 1])

    def first(run: pd.DataFrame) -> float:
        steps = [0, *(run["step"] + 1)]
        accuracy = [0.0, *run["val_accuracy"]]
        for i in range(1, len(steps)):
            if accuracy[i] >= target:
                share = (target - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
                return steps[i - 1] + share * (steps[i] - steps[i - 1])
        return math.nan

    return curves.groupby(keys, dropna=False, sort=False)[["step", "val_accuracy"]].apply(first)


def _points(part: Part) -> list[dict[str, list[Any]]]:
    """Return the grids to sweep one after the other."""
    if not part.search and not isinstance(part.epochs, dict):
        return [part.grid]
    combinations = itertools.product(*part.grid.values())
    return [dict(zip(part.grid, ([v] for v in c), strict=True)) for c in combinations]


def _search(part: Part, path: Path, point: dict[str, list[Any]]) -> dict[float, pd.DataFrame]:
    """Return the runs by rate, of a range of rates whose best is not at an end."""
    (optimizer,) = point["optimizer"]
    rates, runs = RATES[optimizer], dict[float, pd.DataFrame]()
    while rates:
        tried = part.sweep(point | {"learning_rate": rates}, search_seeds(), path)
        runs |= {rate: tried[tried["learning_rate"] == rate] for rate in rates}
        best = _best(part, runs)
        wider = {min(runs): min(runs) / 2, max(runs): max(runs) * 2}
        rates = [wider[best]] if best in wider else []
    return runs


def _best(part: Part, searched: dict[float, pd.DataFrame]) -> float:
    """Return the rate of the best runs; of equally good ones the smallest, in whatever order."""
    return max(sorted(searched), key=lambda rate: _score(part, searched[rate]))


def _score(part: Part, runs: pd.DataFrame) -> tuple[float, float]:
    """Return what is larger for a better rate."""
    if part.target is None:
        ends = last_epochs(runs) if part.curves else runs
        return ends["val_accuracy"].mean(), 0.0
    steps = steps_to(part.target, runs)
    if steps.isna().any():
        return -math.inf, runs["val_accuracy"].max()
    return -steps.mean(), 0.0


# Seconds that a run takes on one core: for itself, each step, each row of a step, each row that
# is measured on; and how many rows there are to train and to measure on.
COSTS = {
    "digits": (0.4, 0.03e-3, 0.0034e-3, 1.5e-6, 1_000, 6_000),
    "photos": (0.6, 1.1e-3, 0.045e-3, 13e-6, 4_000, 4_000),
    "text": (2.0, 1.0e-3, 0.9e-3, 0.42e-3, 2_000, 1_000),
}


def minutes(part: Part) -> float:
    """Return an estimate of what all runs of a part take on two cores."""
    n_rates = 5 * N_SEARCH_SEEDS + 3 * N_SEEDS[part.world] if part.search else N_SEEDS[part.world]
    own, per_step, per_row, per_measured, usual, n_measured = COSTS[part.world]
    seconds = 0.0
    for values in itertools.product(*part.grid.values()):
        point = dict(zip(part.grid, values, strict=True))
        n_train = point.get("n_train", usual)
        batch_size = point.get("batch_size", 32)
        per_epoch = -(-n_train // batch_size)
        epochs = part.epochs[batch_size] if isinstance(part.epochs, dict) else part.epochs
        steps = part.steps or point.get("steps") or epochs * per_epoch
        measured = steps / per_epoch if part.curves else 1
        measured *= 5 if part.build_model else 1
        slower = 2 if point.get("augmentation") or point.get("batch_normalization") else 1
        seconds += own + slower * steps * (per_step + per_row * batch_size)
        seconds += measured * per_measured * (n_train + n_measured)
    return n_rates * seconds / 120


def main() -> None:
    parser = argparse.ArgumentParser(description="Train what is missing in the records.")
    parser.add_argument("--worlds", help="digits,photos,text; default: all")
    parser.add_argument("--studies", help=f"{','.join(STUDIES)}; default: all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no part after these")
    parser.add_argument("--plan", action="store_true", help="say what there is, and train nothing")
    arguments = parser.parse_args()
    if arguments.worlds:
        os.environ["EPOCHLAB_WORLDS"] = arguments.worlds
    studies = arguments.studies.split(",") if arguments.studies else list(STUDIES)
    started = time.monotonic()
    for world in worlds():
        total = 0.0
        for study in studies:
            for name, part in STUDIES[study].items():
                if part.world != world:
                    continue
                total += minutes(part)
                print(f"{study:9} {name:22} about {minutes(part):4.1f} minutes", flush=True)
                if arguments.plan:
                    continue
                if time.monotonic() - started > 60 * arguments.minutes:
                    return
                begun = time.monotonic()
                n_rows = len(table(study, name))
                took = (time.monotonic() - begun) / 60
                print(f"{'':9} {n_rows:,} rows, {took:.1f} minutes", flush=True)
        print(f"{world}: about {total:.0f} minutes of two cores, where nothing is recorded yet")


if __name__ == "__main__":
    main()
