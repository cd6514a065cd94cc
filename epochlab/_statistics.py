"""Samples, and the exact quantiles of Student's t and of Clopper and Pearson's intervals.

The quantiles come from one function, the regularised incomplete beta function, so that intervals
need no SciPy. They are good to 1e-10 of their value for up to 10,000 seeds.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Set

import numpy as np

from ._arguments import instance


def sample(name: str, values: Iterable[float]) -> np.ndarray:
    """Return one finite number per seed as floats, or raise naming the argument."""
    instance(name, values, Iterable, "numbers, one per seed")
    wanted = f"{name} must be numbers of shape (n,), one per seed"
    if isinstance(values, (Set, Mapping, np.ma.MaskedArray)):
        kind = type(values).__name__
        raise TypeError(f"{wanted}, in their order and none left out; got a {kind}.")
    try:
        x = np.asarray(values if hasattr(values, "__array__") else list(values))
    except ValueError:  # rows of different lengths
        raise ValueError(f"{wanted}; got {values!r}.") from None
    if x.ndim != 1 or x.dtype.kind not in "iuf":
        raise ValueError(f"{wanted}; got {x.dtype} of shape {x.shape}.")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite numbers; got {x[~np.isfinite(x)][0]}.")
    return x.astype(float)


def one_tail(confidence: float) -> float:
    """Return the probability on each side of an interval of `confidence`."""
    if not (isinstance(confidence, float) and 0 < confidence < 1):
        raise ValueError(f"confidence must be a number inside (0, 1); got {confidence!r}.")
    return (1 - confidence) / 2


@functools.cache
def t_quantile(freedom: int, tail: float) -> float:
    """Return the t beyond which Student's distribution has probability `tail`, below 0.5.

    >>> round(t_quantile(9, 0.025), 3)
    2.262
    """
    # Both tails together are I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t²).
    x = _solve(lambda x: _beta(x, freedom / 2, 0.5), 2 * tail)
    return math.sqrt(freedom * (1 - x) / x)


def smallest_share(k: int, n: int, tail: float) -> float:
    """Return the share of successes at which `k` or more of `n` have probability `tail`.

    >>> round(smallest_share(9, 10, 0.025), 3)
    0.555
    """
    return _solve(lambda x: _beta(x, k, n - k + 1), tail) if k else 0.0


def _solve(increasing: Callable[[float], float], value: float) -> float:
    """The x in (0, 1) at which `increasing` reaches `value`, to the last bit."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if increasing(middle) < value else (low, middle)
    return middle


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), https://dlmf.nist.gov/8.17.E22."""
    if x > (a + 1) / (a + b + 2):  # beyond the mean the continued fraction converges slowly
        return 1 - _beta(1 - x, b, a)
    fraction = 1.0
    for m in range(40 + int(2 * math.sqrt(a + b)), 0, -1):
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + even / (1 + odd / fraction)
    fraction = 1 - (a + b) * x / (a + 1) / fraction
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(logarithm + a * math.log(x) + b * math.log1p(-x)) / a / fraction
