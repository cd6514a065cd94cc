"""The exercises: each answer gets its own words, none is given away, each is asked in a lesson."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hygiene import calls, tags

from epochlab import check_answer, exercises

ROOT = Path(__file__).resolve().parents[1]
EXERCISES = tomllib.loads((ROOT / "epochlab/exercises.toml").read_text(encoding="utf-8"))
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


class Model:
    """What a learner may hand over by mistake; a model of Keras takes seconds to import."""


NONSENSE = [..., None, True, "zzz", "", -12345.678, float("nan"), [], [None], {}, Model()]


def faults(exercise: str, question: str = "") -> Iterator[str]:
    """Yield what is wrong with what is said to answers, one sentence each.

    `question` is what the learner reads before: its numbers give nothing away.
    """
    table = exercises._exercises()[exercise]
    answers = table["answers"]
    right = [option for option in answers if option.get("right")]
    if not right:
        yield f"{exercise} has no right answer."
    if len(right) == len(answers):
        yield f"{exercise} has no wrong answer."
    says = [option["says"] for option in answers] + [table["hint"]]
    if len(set(says)) < len(says):
        yield f"{exercise} says the same to two answers."
    for option in answers:
        if not any(
            (found.right, found.text) == (option.get("right", False), option["says"])
            for found in (check_answer(exercise, answer) for answer in examples(option))
        ):
            yield f"{exercise}: {shown(option)} does not get its own words."
    for option in answers:
        if "between" in option and option["between"][0] >= option["between"][1]:
            yield f"{exercise}: {shown(option)} has its lowest number last."
    secrets = [text for option in right for text in texts(option)]
    for words in [option["says"] for option in answers if option not in right] + [table["hint"]]:
        for secret in secrets:
            given = re.compile(rf"(?<![\d.,]){re.escape(secret)}(?![\d]|[.,]\d)")
            if given.search(words) and not given.search(question):
                yield f"{exercise} gives {secret} away: {words}"
    for answer in NONSENSE:
        found = check_answer(exercise, answer)
        if found.right or found.text != table["hint"] and not found.text.startswith("Put your"):
            yield f"{exercise} says to {answer!r}: {found.text}"


def examples(option: dict) -> list:
    """Return answers that are this one."""
    if "between" in option:
        low, high = option["between"]
        return [low, (low + high) / 2, high]
    return [option["answer"]]


def shown(option: dict) -> str:
    return str(option.get("between", option.get("answer")))


def texts(option: dict) -> set[str]:
    """Return how a right answer is written, if it is a number or a list of them."""
    answer = option.get("answer", "")
    if isinstance(answer, str):
        return set()
    if isinstance(answer, list):
        return {", ".join(map(str, answer)), " ".join(map(str, answer))}
    return {f"{answer:,}", f"{answer}", f"{answer:g}"}


def asked(path: Path) -> dict[str, str]:
    """Return the exercises that visible cells of a notebook ask, with the text before each."""
    found, text = {}, ""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            text = cell.source
        elif cell.cell_type == "code" and "solution" not in tags(cell):
            for call in calls(cell, "check_answer"):
                found[ast.literal_eval(call.args[0])] = text
    return found


QUESTIONS = {name: text for path in LESSONS for name, text in asked(path).items()}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_answer_is_told_why_and_none_is_given_away(exercise):
    assert list(faults(exercise, QUESTIONS.get(exercise, ""))) == []


@pytest.mark.parametrize("exercise", EXERCISES)
def test_answers_may_be_written_in_several_ways(exercise):
    for option in EXERCISES[exercise]["answers"]:
        for answer in examples(option):
            said = check_answer(exercise, answer)
            if isinstance(answer, str):
                assert check_answer(exercise, f" {answer.upper()} ") == said
            else:
                assert check_answer(exercise, np.array(answer)) == said


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_lesson_asks_its_exercises_and_they_exist(path):
    known = {name for name in EXERCISES if name.partition("-")[0] == path.stem.partition("_")[0]}
    assert set(asked(path)) == known
    assert len(known) >= 2


def test_each_exercise_has_a_lesson():
    numbers = {path.stem.partition("_")[0] for path in LESSONS}
    assert {name.partition("-")[0] for name in EXERCISES} <= numbers


# ---- the checks themselves: a healthy exercise, and what is broken on purpose ----


def healthy() -> dict:
    answers = [
        {"answer": 3130, "right": True, "says": "Yes."},
        {"answer": 3120, "says": "The short last batch counts as well."},
        {"between": [3900, 3910], "says": "Validation takes its part first."},
    ]
    return {"hint": "Begin with 40,000 samples.", "answers": answers}


BROKEN = [
    (lambda table: table["answers"].pop(0), "no right answer"),
    (lambda table: [option.update(right=True) for option in table["answers"]], "no wrong answer"),
    (lambda table: table["answers"][1].update(says="Yes."), "the same to two"),
    (lambda table: table.update(hint="Validation takes its part first."), "the same to two"),
    (lambda table: table["answers"][1].update(answer=3130), "3130 does not get its own words"),
    (lambda table: table["answers"][2].update(between=[9, 8]), "[9, 8] does not get"),
    (lambda table: table["answers"][1].update(says="It is 3,130."), "gives 3,130 away"),
    (lambda table: table["answers"][2].update(says="Not so: 3130"), "gives 3130 away"),
    (lambda table: table.update(hint="It is 3130."), "gives 3130 away"),
    (
        lambda table: [
            table["answers"][0].update(answer=[31, 1]),
            table["answers"][1].update(answer=[32, 32], says="First [31, 1], and again."),
        ],
        "gives 31, 1 away",
    ),
    (lambda table: table["answers"][2].update(between=[-2e4, 3900]), "says to -12345.678"),
]


@pytest.fixture
def only(monkeypatch):
    """Puts one exercise in the place of all."""

    def only(table: dict) -> None:
        monkeypatch.setattr(exercises, "_exercises", lambda: {"02-9": table})

    return only


def test_healthy_exercise_has_no_fault(only):
    only(healthy())
    assert list(faults("02-9")) == []


def test_numbers_of_the_question_give_nothing_away(only):
    table = healthy()
    table["answers"][1]["says"] = "The batch size is not 3130."
    only(table)
    assert list(faults("02-9", "With 3130 samples, how many?")) == []
    assert len(list(faults("02-9", "With 13130 samples, how many?"))) == 1


@pytest.mark.parametrize(("mutate", "fragment"), BROKEN, ids=[row[1] for row in BROKEN])
def test_broken_exercise_is_seen(only, mutate, fragment):
    table = healthy()
    mutate(table)
    only(table)
    found = list(faults("02-9"))
    assert found and any(fragment in fault for fault in found), found


def notebook(folder: Path, *cells) -> Path:
    path = folder / "02_lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_what_a_notebook_asks_is_found(tmp_path):
    text, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    path = notebook(
        tmp_path,
        text("How many?"),
        code('epochlab.check_answer("02-1", ...)'),
        code('check_answer("02-7", 3)', metadata={"tags": ["solution"]}),
        text("And then?"),
        code('x = 1\ncheck_answer("02-2", answer=...)'),
    )
    assert asked(path) == {"02-1": "How many?", "02-2": "And then?"}
