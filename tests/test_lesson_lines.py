"""The counting of lines in lessons, on code of which one knows the count; and the lessons."""

import lesson_lines
import pytest
from lesson_lines import NOTEBOOKS, count, sources

LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))

PLAIN = """
import epochlab
from epochlab import claim

# A comment is no line of code.
model.fit(
    x_train,
    y_train,
)

if ready:
    print("yes")
else:
    print("no")
"""


def test_lines_names_and_the_first_fit_are_counted():
    found = count(["x = 1", PLAIN])
    assert (found.lines, found.evidence, found.first_fit) == (10, 0, 2)
    assert found.names == {"claim"} and found.dense == []


@pytest.mark.parametrize(
    ("source", "lines", "evidence"),
    [
        ("claim('1', 'a', check)", 1, 1),
        ("runs = epochlab.sweep(\n    build,\n    data,\n)", 4, 4),
        ("for seed in seeds(10):\n    model.fit(x)", 2, 1),
        ("def compare():\n    a = 1\n    return difference(a)", 3, 1),
        ("with open(path) as file:\n    text = file.read()", 2, 0),
        ("best = sorted(values)  # claim(...)", 1, 0),
        ("try:\n    model.fit(x)\nexcept ValueError as error:\n    print(error)", 4, 0),
    ],
)
def test_statements_that_judge_are_evidence(source, lines, evidence):
    found = count([source])
    assert (found.lines, found.evidence) == (lines, evidence)


@pytest.mark.parametrize(
    "source",
    [
        "runs.pivot(index='seed')",
        "a[np.arange(8), best]",
        "settings = {'a': 1} | more",
        "settings |= more",
        "fit(x, **settings)",
        "f(*parts)",
        "both = {**one, 'b': 2}",
        "best, last = a, b",
        "import re",
        "from functools import cache",
        "key = lambda x: lambda y: x",
        "-(-n // 32)",
        "(n := 3)",
        "[a for a in b for c in d]",
    ],
)
def test_dense_code_is_named(source):
    (sentence,) = count([source]).dense
    assert sentence.startswith("Code cell 1, line 1: ")


@pytest.mark.parametrize(
    "source",
    ["loss, accuracy = model.evaluate(x, y)", "a[0, 1]", "x[:, 0]", "2**3", "key = lambda x: x"],
)
def test_plain_code_is_not(source):
    assert count([source]).dense == []


def test_what_is_too_much_is_said():
    names = "from epochlab import " + ", ".join(sorted(dir(lesson_lines.epochlab))[:9])
    sources = ["a = 1", "b = 1", "c = 1", "model.fit(x)", "claim(a)\nclaim(b)", names]
    faults = count(sources).faults()
    assert [fault.split()[0] for fault in faults] == ["2", "It", "The"]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_lesson_is_plain(path):
    found = count(sources(path)).faults()
    assert not found, "\n".join([f"{path.name} has {len(found)} faults:", *found])
