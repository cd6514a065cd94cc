"""What came out otherwise with other seeds is marked, and nothing else is."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from epochlab.evidence import CLAIM_MIME

sys.path.append(str(Path(__file__).parents[1] / "docs"))
import claims
import other_seeds


def entry(**readings):
    """A verdict of which each reading has an outcome on digits, or one that is exact."""
    worlds = {reading: {"digits": o, "photos": "yes"} for reading, o in readings.items() if o}
    exact = {reading: "yes" for reading, o in readings.items() if not o}
    evidence = {
        reading: {w: f"{w} {o}" for w, o in each.items()} for reading, each in worlds.items()
    }
    both = {"outcome": worlds | exact, "evidence": evidence | dict.fromkeys(exact, "1 == 1")}
    return {"kind": "verdict", "label": "7"} | both


@pytest.fixture
def blocks(monkeypatch):
    found = {
        "11": {"7": {"a": ["yes", "+2"], "b": ["no", "-1"]}},
        "12": {"7": {"a": ["yes", "+3"], "b": ["yes", "+1"], "c": ["yes", "+4"]}},
    }
    monkeypatch.setattr(claims, "OTHER_SEEDS", found)


def test_what_came_out_otherwise_is_marked_and_listed(blocks):
    row = entry(a="yes", b="yes", c="yes", new="yes", exact=None)
    assert [claims.differs(row, reading) for reading in row["outcome"]] == [0, 1, 1, 0, 0]
    assert "if a (digits, photos), or if b (digits†, photos), or if c (digits†" in claims.answer(
        row
    )
    text = claims.other_seeds({"7": row})
    assert "Of 3 judgements, 1 came out the same" in text and "These 2 did not" in text
    assert "| 7 | if b | digits yes | -1 | +1 |" in text
    assert "| 7 | if c | digits yes | not judged: some runs missed the target | +4 |" in text


def test_verdicts_on_digits_are_read_from_a_notebook():
    data = {CLAIM_MIME: entry(a="no", exact=None), "text/plain": ""}
    output = nbformat.v4.new_output("display_data", data)
    stream = nbformat.v4.new_output("stream", text="12")
    notebook = new_notebook(cells=[new_code_cell("", outputs=[stream, output]), new_code_cell("")])
    assert other_seeds.on_digits(notebook) == {"7": {"a": ["no", "digits no"]}}


def test_what_is_kept_is_of_todays_rows_and_readings():
    found = [each for path in claims.notebooks() for each in claims.entries(path)]
    ledger = claims.ledger(found)
    for block in claims.OTHER_SEEDS.values():
        for label, readings in block.items():
            gone = readings.keys() - ledger[label]["outcome"].keys()
            assert not gone, "rename them in docs/other_seeds.json, or run docs/other_seeds.py"
