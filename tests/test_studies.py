"""The definitions of the studies behind the evidence, and the search for a rate."""

import inspect
import itertools
import math
import sys
from pathlib import Path

import pandas as pd
import pytest

from epochlab.worlds import WORLDS, make_optimizer

FOLDER = Path(__file__).parents[1] / "notebooks" / "evidence"


@pytest.fixture
def studies(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delenv("EPOCHLAB_SEED", raising=False)
    monkeypatch.delenv("EPOCHLAB_WORLDS", raising=False)
    import studies

    yield studies
    del sys.modules["studies"]


def test_every_part_can_be_swept(studies):
    for study, parts in studies.STUDIES.items():
        for name, part in parts.items():
            assert name.startswith(part.world), (study, name)
            world = WORLDS[part.world]
            known = {"batch_size"}
            for function in (world.data, world.build_model, make_optimizer):
                known |= inspect.signature(function).parameters.keys()
            assert part.grid.keys() <= known, (study, name)
            limits = [part.epochs, part.steps, part.grid.get("steps")]
            assert limits.count(None) == 2, (study, name)
            assert ("learning_rate" in part.grid) != part.search, (study, name)
            assert set(part.grid["optimizer"]) <= set(world.optimizers), (study, name)
            if part.target is not None:
                assert part.curves, (study, name)
            if isinstance(part.epochs, dict):
                assert part.epochs.keys() == set(part.grid["batch_size"]), (study, name)


def test_the_worlds_keep_to_their_minutes(studies):
    most = {"digits": 60, "photos": 90, "text": 90}
    for world, limit in most.items():
        parts = [p for parts in studies.STUDIES.values() for p in parts.values()]
        assert sum(studies.minutes(part) for part in parts if part.world == world) <= limit


def swept(score):
    """Return what stands for `Part.sweep`: validation accuracies that follow from the rate."""

    def sweep(self, grid, on, cache):
        rows = [
            dict(zip(grid, values, strict=True)) | {"seed": seed, "val_accuracy": None}
            for values in itertools.product(*grid.values())
            for seed in on
        ]
        table = pd.DataFrame(rows)
        return table.assign(val_accuracy=[score(row) for row in rows])

    return sweep


@pytest.mark.parametrize("best", [0.0125, 0.1, 0.2, 3.2])
def test_a_rate_is_searched_until_the_best_is_inside(studies, monkeypatch, tmp_path, best):
    def score(row):
        return 0.9 - 0.01 * abs(math.log2(row["learning_rate"] / best)) + 0.001 * row["seed"] / 1e4

    part = studies.Part("digits", {"optimizer": ["sgd"], "batch_size": [8]}, epochs=1, search=True)
    monkeypatch.setattr(studies.Part, "sweep", swept(score))
    monkeypatch.setattr(studies, "STUDIES", {"study": {"digits": part}})
    monkeypatch.setattr(studies, "folder", lambda: tmp_path)
    searched = studies.table("study", "digits", search=True)
    rates = sorted(searched["learning_rate"].unique())
    assert rates[0] < best < rates[-1]
    assert sorted(searched["seed"].unique()) == [1000, 1001]
    runs = studies.table("study", "digits")
    assert runs["learning_rate"].unique().tolist() == pytest.approx([best / 2, best, best * 2])
    assert runs.loc[runs["chosen"], "learning_rate"].unique().tolist() == [best]
    assert sorted(runs["seed"].unique()) == list(range(10))
    point = {"optimizer": "sgd", "batch_size": 8}
    assert all(part.has(point | {"learning_rate": rate}, 3) for rate in rates)
    assert not part.has(point | {"learning_rate": 0.3}, 3)
    assert not part.has(point | {"learning_rate": best}, 500)
    assert not part.has(point, 3)


def test_of_equally_good_rates_the_smallest_is_chosen(studies, monkeypatch, tmp_path):
    """0.025 is tried last and ties with 0.05, tried first: it may not stay at an end."""
    part = studies.Part("digits", {"optimizer": ["sgd"], "batch_size": [8]}, epochs=1, search=True)
    best = {0.025, 0.05}
    monkeypatch.setattr(studies.Part, "sweep", swept(lambda row: row["learning_rate"] in best))
    monkeypatch.setattr(studies, "STUDIES", {"study": {"digits": part}})
    monkeypatch.setattr(studies, "folder", lambda: tmp_path)
    runs = studies.table("study", "digits")
    assert runs["learning_rate"].unique().tolist() == pytest.approx([0.0125, 0.025, 0.05])
    assert runs.loc[runs["chosen"], "learning_rate"].unique().tolist() == [0.025]


def test_the_step_at_which_a_target_is_reached_lies_between_two_epochs(studies):
    curves = pd.DataFrame(
        {
            "batch_size": [8, 8, 8, 32, 32, 32],
            "seed": 0,
            "step": [99, 199, 299, 24, 49, 74],
            "val_accuracy": [0.5, 0.7, 0.9, 0.2, 0.3, 0.4],
        }
    )
    reached = studies.steps_to(0.6, curves)
    assert reached.loc[8, 0] == pytest.approx(150)
    assert math.isnan(reached.loc[32, 0])


def test_other_seeds_have_other_records(studies, monkeypatch):
    committed = studies.folder()
    monkeypatch.setenv("EPOCHLAB_SEED", "3")
    assert studies.folder() == committed / "seed-3"
    monkeypatch.setenv("EPOCHLAB_WORLDS", "digits")
    assert studies.worlds() == ["digits"]
    monkeypatch.setenv("EPOCHLAB_WORLDS", "digits,words")
    with pytest.raises(
        ValueError, match="worlds must be some of digits, photos, text; got 'words'"
    ):
        studies.worlds()


def test_rates_by_the_rules_are_each_tried_once(studies):
    assert studies.rules([0.1, 0.2], 4) == [0.1, 0.2, 0.4, 0.8]
    assert studies.rules([0.1], 8) == [0.1, 0.2828, 0.8]
