"""A few of the random cases of `fuzz.py`, and that it sees what is wrong."""

import numpy as np
import pytest
from fuzz import WHAT, failure, good, kept

from epochlab import steps
from epochlab.stopping import replay as replaying
from epochlab.training import folders


@pytest.mark.parametrize(
    ("what", "cases"), [("plans", 2_000), ("curves", 200), ("arguments", 1_000), ("files", 100)]
)
@pytest.mark.slow
def test_random_cases(what, cases):
    assert [message for number in range(cases) if (message := failure(what, number, 3))] == []


def broken(monkeypatch):
    """One fault for each kind of case."""
    monkeypatch.setattr(steps.TrainingPlan, "total_updates", property(lambda plan: 7))
    monkeypatch.setattr(replaying, "advance", lambda rule, state, *rest: (state, np.array([True])))
    monkeypatch.setattr(steps, "integer", lambda name, value, **limits: value)
    monkeypatch.setattr(folders, "check_result", lambda result: None)


@pytest.mark.slow
@pytest.mark.parametrize("what", WHAT)
def test_a_fault_is_found(what, monkeypatch):
    kept()  # written before anything is broken
    broken(monkeypatch)
    assert any(failure(what, number, 4) for number in range(1_000))


def test_the_arguments_that_are_not_strange_are_taken():
    for function, (positional, named) in good().items():
        function(*positional, **named)
