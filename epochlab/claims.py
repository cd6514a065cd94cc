"""Claims about training and verdicts on what people say, shown with what was measured."""

from collections.abc import Callable, Mapping
from typing import Any

from ._arguments import instance
from ._display import show
from .evidence import WORDS, Check


def claim(label: str, sentence: str, check: Check, *, only_on: str | None = None) -> None:
    """Print `✓ sentence` and what was measured, or raise `AssertionError` unless `check` is shown.

    `label` is the row of the claims ledger ("7", "41b") or a short name of its own; readers do not
    see it. `sentence` holds no measured number: it must read the same on every machine.
    `only_on="mnist"` (or "cifar10") is for what the stand-in data does not bear out: there the
    claim reads the same, and the line below says that it was not checked. Raises `ValueError`
    for another name. In Jupyter all that is known travels in the same output, as
    `application/vnd.epochlab.claim+json`.

    >>> claim("28", "The last, smaller batch counts too.", Check.equal(len([32, 32, 6]), 3))
    ✓ The last, smaller batch counts too.
    measured 3
    """
    _require_text(label=label, sentence=sentence)
    _require_check("check", check)
    text, measured, checked, outcome = sentence, check.measured, True, WORDS[check.passed]
    if only_on is not None:
        from .data.datasets import DATA_SETS, is_real  # data is above evidence

        if not isinstance(only_on, str) or only_on not in DATA_SETS:
            raise ValueError(f"only_on must be one of {list(DATA_SETS)}; got {only_on!r}.")
        text += f" (on {DATA_SETS[only_on].title} itself)"
        checked = is_real(only_on)
        measured += "" if checked else "; on the stand-in for that data, so not checked here"
    if checked and not check:
        failure = "Undecided" if check.passed is None else "Shown false"
        raise AssertionError(f"✗ {label} {text}\n{failure}: {check}")
    payload = {"kind": "claim", "label": label, "sentence": sentence, "evidence": str(check)}
    show(f"✓ {text}", measured, payload, outcome=outcome, checked=checked, only_on=only_on)


def verdict(row: str, conditions: Mapping[str, Check | Mapping[str, Check]]) -> str:
    """Print and return the computed verdict on what people say in ledger row `row`.

    `conditions` maps each reading to its check: all shown "holds"; some "holds if …; not if …;
    undecided if …"; none "wrong as stated", or "undecided" where none is false either. A reading
    that was tried in several worlds maps to a check for each; the verdict says where.

    >>> checks = {"rounded up": Check.equal(4, 4), "rounded down": Check.equal(4, 3)}
    >>> _ = verdict("28", checks)
    28 holds if rounded up; not if rounded down
    measured if rounded up: 4 · if rounded down: 4
    >>> worlds = {"digits": Check.equal(4, 4), "photos": Check.equal(5, 4)}
    >>> _ = verdict("28", {"rounded up": worlds})
    28 holds if rounded up (digits); not if rounded up (photos)
    measured if rounded up (digits): 4 · if rounded up (photos): 5
    """
    _require_text(row=row)
    instance("conditions", conditions, Mapping, "a mapping from conditions to checks")
    if not conditions:
        raise ValueError("conditions must map at least one condition to its check; got none.")
    named: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    measured = []
    for condition, checks in conditions.items():
        _require_text(condition=condition)
        worlds = checks if isinstance(checks, Mapping) else {"": checks}
        if not worlds:
            raise ValueError(f"conditions[{condition!r}] must map at least one world; got none.")
        for world, check in worlds.items():
            _require_check(f"conditions[{condition!r}]", check)
            where = f" ({world})" if world else ""
            measured.append(f"if {condition}{where}: {check.measured}")
        for passed, names in named.items():
            if found := [world for world, check in worlds.items() if check.passed is passed]:
                where = f" ({', '.join(found)})" if isinstance(checks, Mapping) else ""
                names.append(f"if {condition}{where}")
    shown, false, undecided = (" or ".join(names) for names in named.values())
    parts = [f"holds {shown}" if shown else "wrong as stated" if false else "undecided"]
    parts += [f"not {false}"] if shown and false else []
    parts += [f"undecided {undecided}"] if undecided and (shown or false) else []
    nested = any(isinstance(checks, Mapping) for checks in conditions.values())
    text = "; ".join(parts) if false or undecided or nested else "holds"
    payload = {
        "kind": "verdict",
        "label": row,
        "verdict": text,
        "evidence": _each(conditions, str),
        "outcome": _each(conditions, lambda check: WORDS[check.passed]),
    }
    show(f"{row} {text}", " · ".join(measured), payload)
    return text


def _each(conditions: Mapping[str, Any], function: Callable[[Check], str]) -> dict[str, Any]:
    """Return what the function makes of each check, by condition and, where it has any, world."""
    return {
        name: _each(value, function) if isinstance(value, Mapping) else function(value)
        for name, value in conditions.items()
    }


def _require_check(name: str, check: Any) -> None:
    instance(name, check, Check, "a Check, such as interval(…).above(x) or Check.equal(a, b)")


def _require_text(**texts: Any) -> None:
    for name, text in texts.items():
        instance(name, text, str, "a string")
        if not text.strip():
            raise ValueError(f"{name} must not be empty.")
