"""Train recorded runs of the evidence anew, and compare.

    python notebooks/evidence/retrain.py --sample 20 --seed 7

`--seed` draws the runs. With the versions and the device of the record, every number must be the
same. Elsewhere a run may end as far away as other rounding takes it: its accuracies by four
standard deviations of the seeds of its setting, and the test accuracies of all by one point on
average. What cannot be made here, because this machine has other data or another text, is skipped
and counted. Exits with 1 when a run differs, when it is of no study, and when all were skipped.
"""

import argparse
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import studies

from epochlab.worlds import WORLDS

COMPARED = ("val_accuracy", "test_accuracy")
FEWEST = 4  # other seeds of a setting that tell its standard deviation


class Record:
    """The record of a part of a study, as it is in its file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header, *self.runs = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        study, _, name = path.stem.partition("_")
        self.part = studies.STUDIES.get(study, {}).get(name)

    def point(self, run: dict[str, Any]) -> dict[str, Any]:
        return {key: run[key] for key in self.header["keys"]}

    def made_by(self, run: dict[str, Any]) -> dict[str, str]:
        return self.header["made_by"][run.get("made_by", 0)]

    def deviation(self, run: dict[str, Any], measure: str) -> float:
        """Return the standard deviation over the other seeds of the run's setting.

        Without itself, since a forged run would widen what it is held to. A setting of few seeds,
        as in a search, gets the median of all settings.
        """
        settings: dict[str, list[float]] = {}
        for other in self.runs:
            if other is not run:
                ends = settings.setdefault(json.dumps(self.point(other)), [])
                ends.append(at_the_end(other, measure))
        own = settings.get(json.dumps(self.point(run)), [])
        spreads = [float(np.std(ends, ddof=1)) for ends in settings.values() if len(ends) > 1]
        return float(np.std(own, ddof=1) if len(own) >= FEWEST else np.median(spreads))


def at_the_end(run: dict[str, Any], measure: str) -> float:
    value = run[measure]
    return value[-1] if isinstance(value, list) else value


def compare(record: Record, run: dict[str, Any]) -> tuple[str, float]:
    """Train a run; return what came of it, "wrong: …" if it differs, and the points it is off."""
    part, point, seed = record.part, record.point(run), run["seed"]
    if part is None or not part.has(point, seed):
        return "wrong: no study has this run", 0.0
    data = WORLDS[part.world].data
    keys = inspect.signature(data).parameters.keys() & point.keys()
    source = data(seed, **{key: point[key] for key in keys}).source
    if source != record.header["source"]:
        return f"skipped: the record is of {record.header['source']}, here is {source}", 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, record.path.name)
        part.sweep({key: [value] for key, value in point.items()}, [seed], path)
        new = Record(path)
    (again,) = new.runs
    for key in new.header.keys() - {"made_by"}:
        if new.header[key] != record.header[key]:
            return f"wrong: the record's {key} is stale", 0.0
    own = {key: again.get(key) for key in ("limit", "epochs", "steps", "data_sha256")}
    if differing := [key for key, value in own.items() if run.get(key) != value]:
        return f"wrong: other {', '.join(differing)}", 0.0
    off = 100 * (at_the_end(again, "test_accuracy") - at_the_end(run, "test_accuracy"))
    if new.made_by(again) == record.made_by(run):
        names = (again.keys() | run.keys()) - {"seconds", "made_by"}
        differing = sorted(name for name in names if again.get(name) != run.get(name))
        return f"wrong: other {', '.join(differing)}" if differing else "the same", off
    for measure in COMPARED:
        far = abs(at_the_end(again, measure) - at_the_end(run, measure))
        if far > 4 * record.deviation(run, measure):
            return f"wrong: {measure} is {100 * far:.2f} points away", off
    return "close", off


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train recorded runs anew, and compare.")
    parser.add_argument("--sample", type=int, default=20, help="how many runs; default: 20")
    parser.add_argument("--seed", type=int, default=0, help="which runs; default: 0")
    options = parser.parse_args(arguments)
    records = [
        Record(path)
        for path in sorted(studies.folder().glob("*.jsonl"))
        if path.stem.partition("_")[2].startswith(tuple(studies.worlds()))
    ]
    runs = [(record, run) for record in records for run in record.runs]
    if not runs:
        print(f"No runs are recorded in {studies.folder()}.")
        return 1
    rng = np.random.default_rng(options.seed)
    drawn = rng.choice(len(runs), size=min(options.sample, len(runs)), replace=False)
    outcomes, off = [], []
    for record, run in (runs[i] for i in sorted(drawn)):
        outcome, points = compare(record, run)
        print(f"{record.path.stem} {record.point(run)} seed {run['seed']}: {outcome}", flush=True)
        outcomes.append(outcome.partition(":")[0])
        off += [points] if outcome in ("the same", "close") else []
    counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in sorted(set(outcomes)))
    print(f"{len(outcomes)} runs: {counts}; on average {np.mean(off or [0]):+.2f} points away.")
    return int("wrong" in outcomes or not off or abs(np.mean(off)) > 1)


if __name__ == "__main__":
    sys.exit(main())
