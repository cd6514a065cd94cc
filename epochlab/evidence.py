"""Seeds, intervals and claims: what turns a sentence about training into a test."""

import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arguments import instance, integer

CLAIM_MIME = "application/vnd.epochlab.claim+json"

_SEEDS_PER_BLOCK = 10_000  # so that the seeds of two values of EPOCHLAB_SEED never overlap

# Written by load_data: whether the data set of that name is the real one in this process.
_real_data: dict[str, bool] = {}


def seeds(n: int) -> list[int]:
    """Return the `n` seeds of a notebook.

    The environment variable `EPOCHLAB_SEED=k` (an integer ≥ 0, default 0) moves them all to
    another block, so that a claim can be tried on seeds nobody chose. The first seeds stay the
    same when `n` grows. Raises `ValueError` for `n` outside 1..10,000 or another `EPOCHLAB_SEED`.

    >>> first = seeds(1)[0]  # 0 where the variable is not set
    >>> [seed - first for seed in seeds(3)]
    [0, 1, 2]
    """
    n = integer("n", n)
    if n > _SEEDS_PER_BLOCK:
        raise ValueError(f"n must be at most {_SEEDS_PER_BLOCK:,}; got {n}.")
    text = os.environ.get("EPOCHLAB_SEED") or "0"
    largest = 2**32 // _SEEDS_PER_BLOCK - 1  # keras.utils.set_random_seed takes less than 2**32
    if not (text.isascii() and text.isdigit() and int(text) <= largest):
        raise ValueError(f"EPOCHLAB_SEED must be an integer from 0 to {largest}; got {text!r}.")
    first = int(text) * _SEEDS_PER_BLOCK
    return list(range(first, first + n))


@dataclass(frozen=True)
class Check:
    """Whether something held, and the evidence: true or false in an `if`, a sentence in print.

    `a & b` holds when both do and keeps both pieces of evidence; `~a` holds when `a` does not.

    >>> print(Check.equal(4, 4))
    4 == 4: yes
    >>> print(Check.equal(4, 4) & interval([1, 2, 3]).above(2))
    4 == 4: yes; +2 [-0.484, 4.48] above 2: no
    """

    passed: bool
    evidence: str

    @classmethod
    def equal(cls, measured: Any, expected: Any) -> "Check":
        """Check an exact statement, such as a count; containers are compared as a whole."""
        passed = bool(np.array_equal(measured, expected))
        sign = "==" if passed else "!="
        return cls(passed, f"{measured} {sign} {expected}: {'yes' if passed else 'no'}")

    def __post_init__(self) -> None:
        instance("passed", self.passed, (bool, np.bool_), "True or False")

    def __bool__(self) -> bool:
        return bool(self.passed)

    def __and__(self, other: "Check") -> "Check":
        if not isinstance(other, Check):
            return NotImplemented
        return Check(self.passed and other.passed, f"{self.evidence}; {other.evidence}")

    def __invert__(self) -> "Check":
        return Check(not self.passed, f"not ({self.evidence})")

    def __str__(self) -> str:
        return self.evidence


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its confidence interval, in the unit of the values.

    >>> print(Interval(mean=7.5, low=6.3, high=8.7, n=10))
    +7.5 [6.3, 8.7]
    """

    mean: float
    low: float
    high: float
    n: int

    def above(self, bound: float) -> Check:
        """Check that the whole interval lies above `bound`, a finite number."""
        _require_finite("bound", bound)
        return self._check(self.low > bound, f"above {bound:g}")

    def below(self, bound: float) -> Check:
        """Check that the whole interval lies below `bound`, a finite number."""
        _require_finite("bound", bound)
        return self._check(self.high < bound, f"below {bound:g}")

    def within(self, margin: float) -> Check:
        """Check that the whole interval lies inside ±`margin`: an equivalence."""
        _require_finite("margin", margin)
        if margin <= 0:
            raise ValueError(f"margin must be above 0; got {margin!r}.")
        return self._check(-margin < self.low and self.high < margin, f"within ±{margin:g}")

    def _check(self, passed: bool, statement: str) -> Check:
        return Check(bool(passed), f"{self} {statement}: {'yes' if passed else 'no'}")

    def __str__(self) -> str:
        return f"{self.mean:+.3g} [{self.low:.3g}, {self.high:.3g}]"


def interval(values: Iterable[float], *, confidence: float = 0.95) -> Interval:
    """Return the mean of one value per seed with its Student t-interval.

    `values` has shape `(n,)` with n ≥ 2 finite numbers, in any unit. Raises `ValueError` for
    another shape, for NaN or infinity, and for a `confidence` outside (0, 1).

    >>> print(interval([6.1, 7.9, 8.5]))
    +7.5 [4.4, 10.6]
    """
    if not (isinstance(confidence, float) and 0 < confidence < 1):
        raise ValueError(f"confidence must be a number inside (0, 1); got {confidence!r}.")
    x = _numbers("values", values)
    if len(x) < 2:
        raise ValueError(f"values must hold at least 2 numbers, one per seed; got {len(x)}.")
    from scipy.special import stdtrit  # the t quantile; scipy.stats is slow to import

    half_width = stdtrit(len(x) - 1, (1 + confidence) / 2) * x.std(ddof=1) / math.sqrt(len(x))
    mean = x.mean()
    return Interval(float(mean), float(mean - half_width), float(mean + half_width), len(x))


def paired_difference(
    a: Iterable[float], b: Iterable[float], *, confidence: float = 0.95
) -> Interval:
    """Return the interval of `a - b`, paired: `a[i]` and `b[i]` share seed i.

    Pairing takes out what the seeds have in common, so it is narrower than the difference of
    two intervals. Raises `ValueError` when the lengths differ, or as `interval` does.

    >>> print(paired_difference([90.1, 91.2, 92.0], [88.0, 89.3, 89.9]))
    +2.03 [1.75, 2.32]
    """
    first, second = _numbers("a", a), _numbers("b", b)
    if len(first) != len(second):
        raise ValueError(
            f"a and b must hold one value per seed each; got {len(first)} and {len(second)}."
        )
    return interval(first - second, confidence=confidence)


def claim(label: str, sentence: str, check: Check, *, only_on: str | None = None) -> None:
    """Print `✓ label sentence` if `check` holds, else raise `AssertionError` with its evidence.

    `label` is the row of the claims ledger ("7", "41b") or a short name of its own. `sentence`
    holds no measured number: it must read the same on every machine. `only_on="mnist"` (or
    "cifar10") is for what the stand-in data does not bear out: on the stand-in the claim is
    printed alike and counted as unchecked. Raises `ValueError` when that data was not loaded.
    In Jupyter the evidence travels in the same output, as `application/vnd.epochlab.claim+json`.

    >>> claim("28", "The last, smaller batch counts too.", Check.equal(len([32, 32, 6]), 3))
    ✓ 28 The last, smaller batch counts too.
    """
    _require_text(label=label, sentence=sentence)
    _require_check("check", check)
    if only_on is not None and only_on not in _real_data:
        raise ValueError(
            f"only_on must name data that load_data has loaded, one of {sorted(_real_data)}; "
            f"got {only_on!r}."
        )
    checked = only_on is None or _real_data[only_on]
    if checked and not check:
        raise AssertionError(f"✗ {label} {sentence}\nEvidence: {check}")
    payload = {"kind": "claim", "label": label, "sentence": sentence, "evidence": str(check)}
    _show(f"✓ {label} {sentence}", payload | {"checked": checked, "only_on": only_on})


def verdict(row: str, conditions: Mapping[str, Check]) -> str:
    """Print and return the computed verdict on what people say in ledger row `row`.

    `conditions` maps each reading of the statement to its check: all true "holds"; some
    "holds if …" with the readings named; none "wrong as stated".

    >>> checks = {"rounded up": Check.equal(4, 4), "rounded down": Check.equal(4, 3)}
    >>> _ = verdict("28", checks)
    28 holds if rounded up; not if rounded down
    """
    _require_text(row=row)
    instance("conditions", conditions, Mapping, "a mapping from conditions to checks")
    if not conditions:
        raise ValueError("conditions must map at least one condition to its check; got none.")
    for condition, check in conditions.items():
        _require_text(condition=condition)
        _require_check(f"conditions[{condition!r}]", check)
    true = [condition for condition, check in conditions.items() if check]
    false = [condition for condition, check in conditions.items() if not check]
    if not true:
        text = "wrong as stated"
    elif not false:
        text = "holds"
    else:
        text = f"holds if {' or if '.join(true)}; not if {' or if '.join(false)}"
    evidence = {condition: str(check) for condition, check in conditions.items()}
    payload = {"kind": "verdict", "label": row, "verdict": text, "evidence": evidence}
    _show(f"{row} {text}", payload)
    return text


def _require_finite(name: str, value: Any) -> None:
    instance(name, value, (int, float, np.number), "a number")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {value!r}.")


def _numbers(name: str, values: Iterable[float]) -> np.ndarray:
    instance(name, values, Iterable, "numbers, one per seed")
    x = np.asarray(values if hasattr(values, "__array__") else list(values))
    if x.ndim != 1 or x.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} must be numbers of shape (n,), one per seed; got {x.dtype} of shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite numbers; got {x[~np.isfinite(x)][0]}.")
    return x.astype(float)


def _require_text(**texts: Any) -> None:
    for name, text in texts.items():
        instance(name, text, str, "a string")
        if not text.strip():
            raise ValueError(f"{name} must not be empty.")


def _require_check(name: str, check: Any) -> None:
    wanted = "a Check, such as interval(…).above(x) or Check.equal(a, b)"
    instance(name, check, Check, wanted)


def _show(text: str, payload: dict[str, Any]) -> None:
    """Display `text`, in Jupyter with the evidence beside it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:  # a script, a plain or an IPython terminal
        print(text)
    else:
        ipython.display.display({"text/plain": text, CLAIM_MIME: payload}, raw=True)
