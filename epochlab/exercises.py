"""Exercises whose answers answer back: right or wrong, and why.

What is said to each answer stands in `exercises.toml`, a table for each exercise. `answers` has
those that people give: `answer` is a letter, a word, a number or a list of numbers, or `between`
the lowest and the highest number that is right; `right = true` marks what is right. `hint` is said
to all others.
"""

import difflib
import functools
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._arguments import instance

_MARKS = {True: "✓ Right. ", False: "✗ Not yet. ", None: ""}


@dataclass(frozen=True)
class Feedback:
    """What is said to an answer: shown in a notebook, printed elsewhere.

    `right` is True, False, or None where no answer was given.
    """

    right: bool | None
    text: str

    def __repr__(self) -> str:
        return f"{_MARKS[self.right]}{self.text}"

    def _repr_markdown_(self) -> str:
        return repr(self)


def check_answer(exercise: str, answer: Any = ...) -> Feedback:
    """Say whether an answer to an exercise of a lesson is right, and why.

    `answer` is what the exercise asks for: the letter of an option, a number, or a list of numbers;
    small and capital letters are the same, and so are 3, 3.0 and a tensor of 3. Without one, or
    with `...`, it says what kind of answer is asked for. A lesson's exercises are called "02-1",
    "02-2" and so on. Raises `ValueError` for an exercise that does not exist.

    >>> check_answer("02-1", 31)
    ✗ Not yet. 1,000 / 32 is 31.25. The images left over are a batch too, a short one.
    >>> check_answer("02-1", 32).right
    True
    """
    instance("exercise", exercise, str, 'the number of an exercise, such as "02-1"')
    known = _exercises()
    if exercise not in known:
        close = difflib.get_close_matches(exercise, known, n=1, cutoff=0)
        raise ValueError(
            f"exercise must be that of a lesson, such as {close[0]!r}; got {exercise!r}."
        )
    given = _plain(answer)
    answers = known[exercise]["answers"]
    for option in answers:
        if _is(given, option):
            return Feedback(option.get("right", False), option["says"])
    kind = _kind(answers)
    if answer is ... or not _fits(given, kind):
        return Feedback(None, f"Put your answer in place of the three dots: {kind}.")
    return Feedback(False, known[exercise]["hint"])


@functools.cache
def _exercises() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _plain(answer: Any) -> Any:
    """Return words in small letters, and arrays and tensors as numbers or lists."""
    if isinstance(answer, str):
        return answer.strip().lower()
    if hasattr(answer, "__array__"):
        import numpy as np

        answer = np.asarray(answer).tolist()
    return list(answer) if isinstance(answer, tuple) else answer


def _is(given: Any, option: dict[str, Any]) -> bool:
    if "between" in option:
        low, high = option["between"]
        return _is_number(given) and low <= given <= high
    expected = option["answer"]
    if isinstance(expected, list):
        same_length = isinstance(given, list) and len(given) == len(expected)
        return same_length and all(map(_same, given, expected))
    return _same(given, expected)


def _same(given: Any, expected: Any) -> bool:
    if isinstance(expected, str):
        return given == expected
    return _is_number(given) and math.isclose(given, expected, rel_tol=1e-6)


def _is_number(value: Any) -> bool:
    # An integer may be too large for a float, which comparing makes of it.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _kind(answers: list[dict[str, Any]]) -> str:
    """Return what is asked for."""
    expected = answers[0].get("answer")
    if isinstance(expected, list):
        return "a list of numbers, such as [1, 2, 3]"
    if isinstance(expected, str):
        options = [f'"{option["answer"]}"' for option in answers]
        return f"{', '.join(options[:-1])} or {options[-1]}"
    return "a number"


def _fits(given: Any, kind: str) -> bool:
    if kind.startswith("a list"):
        return isinstance(given, list)
    return _is_number(given) if kind == "a number" else False
