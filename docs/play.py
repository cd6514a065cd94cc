"""Five things to play with, as fragments of HTML that need nothing else.

`fragment("patience")` is one of them, with its style, its code in plain JavaScript and its data,
which the package computes here from the committed records. `python docs/play.py FILE` writes all
five on one page, to look at.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from epochlab import (
    GeneralizationLoss,
    Patience,
    Rule,
    difference,
    interval,
    replay,
)

HERE = Path(__file__).parent / "play"
RUNS = Path(__file__).parent.parent / "notebooks" / "evidence" / "runs"
N_EPOCHS = 40  # what comes later is more of the same
NAMES = {"sgd": "SGD", "momentum": "SGD with momentum", "adamw": "AdamW"}
RULES: dict[str, Rule] = {
    "patience 1": Patience(1),
    "patience 3": Patience(3),
    "patience 10": Patience(10),
    "5 % above the lowest loss": GeneralizationLoss(5),
}


def runs(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the recorded runs of a part of a study, and those of its search for a rate.

    The search has seeds of its own, from 1,000 on.
    """
    _, *lines = (RUNS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    table = pd.DataFrame(map(json.loads, lines))
    of_search = table["seed"] >= 1_000
    return table[~of_search].reset_index(drop=True), table[of_search].reset_index(drop=True)


def budget_data() -> dict[str, Any]:
    """Return by world, budget, optimizer and batch size what each rate came to."""
    found: dict[str, Any] = {}
    for world in ("digits", "photos", "text"):
        for budget in ("epochs", "updates"):
            if (RUNS / f"budget_{world}_{budget}.jsonl").exists():
                table, search = runs(f"budget_{world}_{budget}")
                limit = table["limit"].iloc[0].partition("=")[2]
                found.setdefault(world, {})[budget] = {
                    "text": f"{limit} {budget} for all",
                    "margin": 1 if world == "digits" else 2,  # as in the evidence
                    "names": NAMES,
                    "optimizers": dict(optimizers(table, search)),
                }
    return found


def optimizers(table: pd.DataFrame, search: pd.DataFrame) -> Iterator[tuple[str, dict[int, Any]]]:
    """Yield each optimizer with its batch sizes. The best rate is the one its search chose."""
    keys = ["batch_size", "learning_rate"]
    for optimizer in (name for name in NAMES if name in set(table["optimizer"])):
        of_optimizer = table[table["optimizer"] == optimizer]
        means = of_optimizer.groupby(keys)["test_accuracy"].mean()
        tried = search[search["optimizer"] == optimizer].groupby(keys)["val_accuracy"].mean()
        chosen = {size: tried[size].idxmax() for size in tried.index.unique("batch_size")}
        first = max(chosen, key=lambda size: means[size][chosen[size]])
        best = pick(of_optimizer, first, chosen[first])
        yield (
            optimizer,
            {
                int(size): {
                    "rates": [
                        rate(pick(of_optimizer, size, value), best, value == chosen[size])
                        for value in sorted(means[size].index)
                    ]
                }
                for size in chosen
            },
        )


def pick(table: pd.DataFrame, batch_size: int, learning_rate: float) -> pd.DataFrame:
    same = (table["batch_size"] == batch_size) & (table["learning_rate"] == learning_rate)
    return table.loc[same, ["batch_size", "learning_rate", "seed", "steps", "test_accuracy"]]


def rate(rows: pd.DataFrame, best: pd.DataFrame, chosen: bool) -> dict[str, Any]:
    """Return what the explorer shows of a batch size and a rate."""
    columns = ["seed", "test_accuracy"]
    behind = None
    if not rows.index.equals(best.index):
        ahead = difference(best[columns], rows[columns], "test_accuracy")
        behind = round(ahead.mean, 6)
    return {
        "rate": float(rows["learning_rate"].iloc[0]),
        "best": bool(chosen),
        "values": (100 * rows["test_accuracy"]).round(2).tolist(),
        "mean": round(interval(100 * rows["test_accuracy"]).mean, 6),
        "behind": behind,
        "updates": int(rows["steps"].iloc[0]),
        "best_size": int(best["batch_size"].iloc[0]),
    }


def curves() -> list[dict[str, Any]]:
    """Return recorded curves with what each patience and each rule would have done there."""
    found = []
    for world, keys in (
        ("digits", {"n_train": 1_000}),
        ("photos", {"n_train": 4_000, "augmentation": False}),
    ):
        if (RUNS / f"epochs_{world}.jsonl").exists():
            table, _ = runs(f"epochs_{world}")
            for noise, labels in ((0.4, "40 % of the labels wrong"), (0.0, "all labels right")):
                rows = table[table["label_noise"] == noise]
                for key, value in keys.items():
                    rows = rows[rows[key] == value]
                if not rows.empty:
                    found.append(curve(f"{world}, {labels}", rows.iloc[0]))
    return found


def curve(name: str, run: pd.Series) -> dict[str, Any]:
    loss = run["val_loss"][:N_EPOCHS]
    return {
        "name": name,
        "val_loss": [round(value, 4) for value in loss],
        "test_accuracy": [round(100 * value, 2) for value in run["test_accuracy"][:N_EPOCHS]],
        "patience": [stopped(loss, Patience(patience)) for patience in range(1, 31)],
        "rules": [{"name": rule} | stopped(loss, RULES[rule]) for rule in RULES],
    }


def stopped(loss: list[float], rule: Rule) -> dict[str, Any]:
    """Return after how many epochs a rule stops and which it restores, counted from 1."""
    report = replay(loss, rule)
    return {
        "ran": report.epochs_run,
        "restored": report.restored_epoch + 1,
        "stopped": report.stopped_epoch is not None,
    }


def descent_data() -> dict[str, Any]:
    """Return 150 irises: two lengths from which to predict a width, all standardised."""
    flowers = load_iris().data
    rows = ((flowers - flowers.mean(axis=0)) / flowers.std(axis=0)).round(3)[:, [2, 0, 3]]
    x, y = rows[:, :2], rows[:, 2]
    center, residual = np.linalg.lstsq(x, y, rcond=None)[:2]
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
    return {
        "rows": rows.tolist(),
        "start": [-1.4, -1.1],
        "end": [2.6, 1.525],
        "begin": [-1.0, 0.8],
        "lowest": float(residual[0] / len(y)),
        "contours": [
            {
                "center": center.round(4).tolist(),
                "radii": np.sqrt(above / values).round(4).tolist(),
                "angle": round(angle, 3),
            }
            for above in (0.02, 0.1, 0.3, 0.7, 1.3, 2.2, 3.5)
        ],
    }


DATA = {
    "budget": budget_data,
    "patience": lambda: curves()[::-1],  # "stop" would give the first one away
    "stop": curves,
    "calculator": lambda: None,  # computes for itself, as TrainingPlan does
    "descent": descent_data,
}


def fragment(name: str) -> str:
    """Return the HTML of "budget", "patience", "stop", "calculator" or "descent"."""
    if name not in DATA:
        raise ValueError(f"name must be one of {list(DATA)}; got {name!r}.")
    data = json.dumps(DATA[name](), separators=(",", ":"))

    def read(file: str) -> str:
        return (HERE / file).read_text(encoding="utf-8")

    return (
        f'<section class="play" id="play-{name}" aria-label="{name}">\n'
        f"<style>{read('play.css')}</style>\n{read(f'{name}.html')}\n"
        f"<script>{read('common.js')}\n({read(f'{name}.js')})"
        f'(document.getElementById("play-{name}"), {data});</script>\n</section>\n'
    )


if __name__ == "__main__":
    page = "".join(map(fragment, DATA))
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>To play with</title>'
    head += '<meta name="viewport" content="width=device-width">'
    Path(sys.argv[1]).write_text(f"{head}<main>{page}</main></html>", encoding="utf-8")
