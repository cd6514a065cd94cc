"""Seeds, intervals and checks: what a sentence about training is held against."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arguments import instance, integer, number
from ._display import CLAIM_MIME as CLAIM_MIME
from ._display import written, written_numbers
from ._files import first_difference
from ._statistics import one_tail, sample, smallest_share, t_quantile

_SEEDS_PER_BLOCK = 10_000  # so that the seeds of two values of EPOCHLAB_SEED never overlap
# Beyond what float32 rounds away, below a step of any accuracy on up to four million samples.
_ROUNDING = 2.0**-22
WORDS = {True: "yes", False: "no", None: "undecided"}


def seeds(n: int) -> list[int]:
    """Return the `n` seeds of a notebook.

    The environment variable `EPOCHLAB_SEED=k` (an integer ≥ 0, default 0) moves them all to
    another block, to try a claim on seeds nobody chose. The first stay the same when `n` grows.
    Raises `ValueError` for `n` outside 1..10,000 or another `EPOCHLAB_SEED`.

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
    """Whether something is shown (`passed` is True), shown false (False) or undecided (None).

    In an `if`, only what is shown is true. `a & b` and `~a` follow three-valued logic: `a & b` is
    shown if both are, and false if one is; `~a` is shown if `a` is shown false, and undecided
    if `a` is. `evidence` is a sentence, `measured` the numbers in it (the evidence, if left out).

    >>> print(Check.equal(4, 4))
    4 == 4: yes
    >>> print(Check.equal(4, 4) & interval([1, 2, 3]).above(2))
    4 == 4: yes; +2 [-0.484, 4.48] above 2: undecided
    >>> interval([1, 2, 3]).above(5).passed
    False
    """

    passed: bool | None
    evidence: str
    measured: str = ""

    @classmethod
    def equal(cls, measured: Any, expected: Any) -> "Check":
        """Check an exact statement, such as a count.

        Lists, tuples and arrays are compared item by item, at any depth; mappings with their
        keys, data frames with their labels. A number equals no string and no boolean.

        >>> print(Check.equal([31, 1], (31, 1)), "and", Check.equal([1, "a"], ["1", "a"]))
        [31, 1] == (31, 1): yes and [1, 'a'] != ['1', 'a']: no
        """
        passed = first_difference(measured, expected) is None
        evidence = f"{measured} {'==' if passed else '!='} {expected}: {WORDS[passed]}"
        return cls(passed, evidence, written(measured))

    def __post_init__(self) -> None:
        instance("passed", self.passed, (bool, np.bool_, type(None)), "True, False or None")
        object.__setattr__(self, "passed", None if self.passed is None else bool(self.passed))
        object.__setattr__(self, "measured", self.measured or self.evidence)

    def __bool__(self) -> bool:
        return self.passed is True

    def __and__(self, other: "Check") -> "Check":
        if not isinstance(other, Check):
            return NotImplemented
        both = {self.passed, other.passed}
        passed = False if False in both else None if None in both else True
        measured = dict.fromkeys(f"{self.measured} · {other.measured}".split(" · "))
        return Check(passed, f"{self.evidence}; {other.evidence}", " · ".join(measured))

    def __invert__(self) -> "Check":
        passed = None if self.passed is None else not self.passed
        return Check(passed, f"not ({self.evidence})", self.measured)

    def __str__(self) -> str:
        return self.evidence


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its confidence interval, in the unit of the values.

    `unit` is written behind the numbers, such as "points"; "share" is for what `share` returns.
    A check of an interval is shown if it holds of every value inside, shown false if it holds of
    none, else undecided. Bounds are finite numbers, else `TypeError` or `ValueError`.

    >>> print(Interval(mean=7.5, low=6.3, high=8.7, n=10))
    +7.5 [6.3, 8.7]
    >>> print(Interval(7.5, 6.3, 8.7, 10, unit="points").above(8))
    +7.5 [6.3, 8.7] points above 8: undecided
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str = ""

    def above(self, bound: float) -> Check:
        """Check that the whole interval lies above `bound`."""
        bound = number("bound", bound)
        return self._check(self.low > bound, self.high < bound, f"above {bound:g}")

    def below(self, bound: float) -> Check:
        """Check that the whole interval lies below `bound`."""
        bound = number("bound", bound)
        return self._check(self.high < bound, self.low > bound, f"below {bound:g}")

    def within(self, margin: float) -> Check:
        """Check that the whole interval lies inside ±`margin`, above 0: an equivalence."""
        margin = number("margin", margin)
        if margin <= 0:
            raise ValueError(f"margin must be above 0; got {margin!r}.")
        inside = -margin < self.low and self.high < margin
        outside = self.low > margin or self.high < -margin
        return self._check(inside, outside, f"within ±{margin:g}")

    def _check(self, shown: bool, false: bool, statement: str) -> Check:
        passed = True if shown else False if false else None
        mean, low, high = written_numbers(self.mean, self.low, self.high)
        if self.unit == "share":
            measured = f"{self.mean * self.n:.0f} of {self.n}, a share of {low} to {high}"
        else:
            measured = f"{f'{mean} {self.unit}'.strip()}, {low} to {high}; {self.n} seeds"
        return Check(passed, f"{self} {statement}: {WORDS[passed]}", measured)

    def __str__(self) -> str:
        mean, low, high = written_numbers(self.mean, self.low, self.high)
        if self.unit == "share":
            return f"{mean} [{low}, {high}]"
        sign = "+" if self.mean >= 0 else ""
        return f"{sign}{mean} [{low}, {high}] {self.unit}".rstrip()


def interval(values: Iterable[float], *, confidence: float = 0.95) -> Interval:
    """Return the mean of one value per seed with its Student t-interval.

    `values` has shape `(n,)` with n ≥ 2 finite numbers, in any unit. Raises `ValueError` for
    another shape, for NaN or infinity, for values that differ by no more than float32 rounds
    away (their spread says nothing), and for a `confidence` outside (0, 1); `TypeError` for sets,
    mappings and masked arrays.

    >>> print(interval([6.1, 7.9, 8.5]))
    +7.5 [4.4, 10.6]
    """
    x = sample("values", values)
    return _t_interval("values", x, x, confidence)


def paired_difference(
    a: Iterable[float], b: Iterable[float], *, confidence: float = 0.95
) -> Interval:
    """Return the interval of `a - b`, paired: `a[i]` and `b[i]` share seed i.

    Pairing takes out what the seeds have in common: it is narrower than a difference of intervals.
    Values are paired by position. Raises `ValueError` when the lengths differ, for two Series of
    pandas that share labels but not at the same places, or as `interval` does.

    >>> print(paired_difference([90.1, 91.2, 92.0], [88.0, 89.3, 89.9]))
    +2.03 [1.75, 2.32]
    """
    first, second = sample("a", a), sample("b", b)
    if len(first) != len(second):
        got = f"{len(first)} and {len(second)}"
        raise ValueError(f"a and b must hold one value per seed each; got {got}.")
    of_a, of_b = _labels(a), _labels(b)
    if of_a != of_b and not set(of_a).isdisjoint(of_b):  # rows of one table share none
        got = f"{of_a[:10]} and {of_b[:10]}"
        raise ValueError(f"a and b must have the same index, to be paired; got {got}.")
    return _t_interval("a - b", first - second, np.concatenate([first, second]), confidence)


def share(k: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the share of successes, `k` of `n`, with its interval: fractions from 0 to 1.

    For outcomes that are yes or no, such as whether a seed's run stopped at its best epoch. Exact
    at every k and n, in that it covers the true share at least as often as `confidence` says
    (Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26, 1934). Raises `ValueError`/`TypeError` for what is no count, k above
    n, or a `confidence` outside (0, 1).

    >>> print(share(9, 10))
    0.9 [0.555, 0.997]
    >>> share(10, 10).above(0.5).measured
    '10 of 10, a share of 0.692 to 1'
    """
    tail = one_tail(confidence)
    k, n = integer("k", k, minimum=0), integer("n", n)
    if k > n:
        raise ValueError(f"k must be at most n ({n}); got {k}.")
    if n >= 2**53:  # from there on not every count is a float
        raise ValueError(f"n must be below 2**53; got {n}.")
    low, high = smallest_share(k, n, tail), 1 - smallest_share(n - k, n, tail)
    return Interval(k / n, low, high, n, unit="share")


def _labels(values: Any) -> list[Any]:
    """The index of a Series of pandas, which may not be installed; none for other values."""
    return list(values.index) if hasattr(values, "iloc") else []


def _t_interval(name: str, x: np.ndarray, given: np.ndarray, confidence: float) -> Interval:
    tail = one_tail(confidence)
    if len(x) < 2:
        raise ValueError(f"{name} must hold at least 2 numbers, one per seed; got {len(x)}.")
    if x.max() - x.min() <= _ROUNDING * np.abs(given).max():
        raise ValueError(
            f"{name} must differ from seed to seed by more than rounding; got {x[0]:g} {len(x)} "
            "times. For equal counts use Check.equal, for outcomes that are yes or no share(k, n)."
        )
    half_width = t_quantile(len(x) - 1, tail) * x.std(ddof=1) / math.sqrt(len(x))
    mean = x.mean()
    return Interval(float(mean), float(mean - half_width), float(mean + half_width), len(x))
