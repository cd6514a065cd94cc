"""Argument checks that name the argument, the value and what would be right."""

import math
import os
from numbers import Real
from operator import index
from pathlib import Path
from typing import Any


def instance(name: str, value: Any, kind: type | tuple[type, ...], wanted: str) -> None:
    """Raise `TypeError` naming the argument unless `value` is a `kind`, in words `wanted`.

    >>> instance("drop_remainder", 1, bool, "True or False")
    Traceback (most recent call last):
    TypeError: drop_remainder must be True or False; got 1 (int).
    """
    if not isinstance(value, kind):
        raise _wrong_type(f"{name} must be {wanted}", value)


def choice(name: str, value: Any, *options: str) -> None:
    """Raise `ValueError` naming the argument unless `value` is one of the `options`.

    >>> choice("mode", "best", "min", "max")
    Traceback (most recent call last):
    ValueError: mode must be "min" or "max"; got 'best'.
    """
    if not isinstance(value, str) or value not in options:  # a table compares by its cells
        *others, last = (f'"{option}"' for option in options)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}; got {_text(value)}.")


def integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """Return `value` as a Python int, or raise `TypeError`/`ValueError` naming the argument.

    Whatever `operator.index` takes is welcome, arrays and tensors of shape () too; booleans of
    any library, floats (3.0 too) and strings are refused.

    >>> integer("batch_size", 32)
    32
    >>> integer("batch_size", 3.0)
    Traceback (most recent call last):
    TypeError: batch_size must be an integer, at least 1; got 3.0 (float).
    """
    wanted = f"{name} must be an integer, at least {minimum}"
    try:
        number = index(value)
    except (TypeError, AttributeError):  # the latter from TensorFlow's floats
        raise _wrong_type(wanted, value) from None
    if _is_boolean(value):
        raise _wrong_type(wanted, value)
    if number < minimum:
        raise ValueError(f"{wanted}; got {_text(number)}.")
    return number


def keep_integer(record: Any, name: str, *, minimum: int = 1) -> None:
    """Check the count `name` of a frozen record, and keep it as Python's: NumPy's may wrap."""
    object.__setattr__(record, name, integer(name, getattr(record, name), minimum=minimum))


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1), or raise naming the argument.

    >>> fraction("validation_split", 1.5)
    Traceback (most recent call last):
    ValueError: validation_split must be a number in [0, 1); got 1.5.
    """
    wanted = f"{name} must be a number in [0, 1)"
    # Arrays and tensors of shape () are floats in spirit, as they are to Keras; strings are not,
    # nor are arrays of shape (1,), which NumPy 1 makes a float.
    if isinstance(value, (str, bytes)) or _is_boolean(value) or getattr(value, "ndim", 0) > 0:
        raise _wrong_type(wanted, value)
    try:
        number = _float(value)
    except (TypeError, ValueError):
        raise _wrong_type(wanted, value) from None
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{wanted}; got {_text(value)}.")
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
        raise _wrong_type(wanted, value)
    if not (math.isfinite(_float(value)) and value >= minimum):
        raise ValueError(f"{wanted}; got {_text(value)}.")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether `value` is a real number, of Python or NumPy: no boolean, no string, no array.

    >>> is_number(0.5), is_number(10**400), is_number(True), is_number("0.5"), is_number([0.5])
    (True, True, False, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def path(name: str, value: Any, wanted: str) -> Path:
    """Return `value` as a path, or raise `TypeError`/`ValueError` naming the argument.

    An empty string is refused: to `Path` it would mean the current folder.

    >>> path("state_path", "", "a file to resume from")
    Traceback (most recent call last):
    ValueError: state_path must be a file to resume from; got ''.
    """
    instance(name, value, (str, os.PathLike), wanted)
    text = os.fspath(value)
    instance(name, text, str, wanted)
    if not text.strip():
        raise ValueError(f"{name} must be {wanted}; got {text!r}.")
    return Path(text)


def _is_boolean(value: Any) -> bool:
    """Whether `value` is a boolean of Python, or of a library whose numbers have a `dtype`."""
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def _float(value: Any) -> float:
    """`value` as a float: infinity stands for what is too large for one, of either sign."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _text(value: Any) -> str:
    """`value` as Python writes it, which refuses to write integers of over 4,300 digits."""
    try:
        return repr(value)
    except ValueError:
        return "an integer of thousands of digits"


def _wrong_type(wanted: str, value: Any) -> TypeError:
    return TypeError(f"{wanted}; got {_text(value)} ({type(value).__name__}).")
