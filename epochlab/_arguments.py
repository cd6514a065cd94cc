"""Argument checks that name the argument, the value and what would be right."""

import math
from operator import index
from typing import Any

import numpy as np


def instance(name: str, value: Any, kind: type | tuple[type, ...], wanted: str) -> None:
    """Raise `TypeError` naming the argument unless `value` is a `kind`, in words `wanted`.

    >>> instance("drop_remainder", 1, bool, "True or False")
    Traceback (most recent call last):
    TypeError: drop_remainder must be True or False; got 1 (int).
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}; got {value!r} ({type(value).__name__}).")


def integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """Return `value` as a Python int, or raise `TypeError`/`ValueError` naming the argument.

    NumPy integers are welcome; booleans, floats (3.0 too) and strings are refused.

    >>> integer("batch_size", 32)
    32
    >>> integer("batch_size", 3.0)
    Traceback (most recent call last):
    TypeError: batch_size must be an integer, at least 1; got 3.0 (float).
    """
    wanted = f"{name} must be an integer, at least {minimum}"
    try:
        # NumPy before 2.3 takes its own booleans for an index.
        if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool":
            raise TypeError
        number = index(value)
    except TypeError:
        raise TypeError(f"{wanted}; got {value!r} ({type(value).__name__}).") from None
    if number < minimum:
        raise ValueError(f"{wanted}; got {number}.")
    return number


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1), or raise naming the argument.

    >>> fraction("validation_split", 1.5)
    Traceback (most recent call last):
    ValueError: validation_split must be a number in [0, 1); got 1.5.
    """
    wanted = f"{name} must be a number in [0, 1)"
    # NumPy floats are floats in spirit: take what converts, but no strings and no booleans.
    if isinstance(value, (str, bytes, bool)) or not hasattr(value, "__float__"):
        raise TypeError(f"{wanted}; got {value!r} ({type(value).__name__}).")
    number = float(value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{wanted}; got {value!r}.")
    return number


def number(name: str, value: Any, *, minimum: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `minimum`, or raise naming the argument.

    >>> number("min_delta", -0.1, minimum=0)
    Traceback (most recent call last):
    ValueError: min_delta must be a finite number, at least 0; got -0.1.
    """
    wanted = f"{name} must be a finite number"
    if minimum > -math.inf:
        wanted += f", at least {minimum}"
    if not is_number(value):
        raise TypeError(f"{wanted}; got {value!r} ({type(value).__name__}).")
    if not (math.isfinite(value) and value >= minimum):
        raise ValueError(f"{wanted}; got {value!r}.")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether `value` is a real number, of Python or NumPy: no boolean, no string, no array.

    >>> is_number(np.float32(0.5)), is_number(True), is_number("0.5"), is_number(np.zeros(2))
    (True, False, False, False)
    """
    return isinstance(value, (float, int, np.floating, np.integer)) and not isinstance(value, bool)
