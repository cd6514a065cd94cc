"""The runs behind each line or row of dots, and what to call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from .._arguments import instance, is_number
from ..results import check_left, distinct, is_accuracy, keys_of, plain


def split(
    runs: pd.DataFrame, by: str | None, names: Mapping[Any, str] | None, column: str, *free: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield name and rows for each value of the key `by`; without one, all rows, as `column`.

    Raises `ValueError` for what is no key, for keys not `free` of which several values are left,
    for fewer than two seeds, and for names that name nothing or two things.
    """
    keys = keys_of(runs)
    if by is not None:
        instance("by", by, str, "a key of the runs")
        if by not in keys:
            raise ValueError(f"by must be a key of the runs, one of {keys}; got {by!r}.")
    of_row = [column] * len(runs) if by is None else list(map(plain, runs[by]))
    named = {value: _name(by, value) for value in distinct(of_row)}
    names = {} if names is None else names
    instance("names", names, Mapping, "a mapping from values to names")
    for value, given in names.items():
        instance(f"names[{value!r}]", given, str, "a string")
        if plain(value) not in named:
            raise ValueError(f"names must be for what is drawn, {list(named)}; got {value!r}.")
        named[plain(value)] = given
    if len(set(named.values())) < len(named):
        raise ValueError(f"names must differ; got {list(named.values())}.")
    for value, name in named.items():
        rows = runs[[value == other for other in of_row]]
        check_left(rows, [*free, by or ""], 'draw by="{key}" or keep the rows of one')
        check_seeds(name, rows["seed"].nunique())
        yield name, rows


def check_seeds(name: str, count: int) -> None:
    """Raise for one seed: it shows no spread."""
    if count < 2:
        raise ValueError(f"{name} must hold at least 2 seeds; got {count}.")


def words(column: str) -> str:
    """Return a column's name for readers, an accuracy without its unit."""
    prefix = "validation " * column.startswith("val_")
    return prefix + column.removeprefix("val_").replace("_", " ")


def axis_label(column: str) -> str:
    """Return a column's name with its unit if it has one."""
    return words(column) + " in %" * is_accuracy(column)


def number(value: Any) -> str:
    """Write a value: numbers without needless digits, functions and classes by name."""
    if not is_number(value):
        return str(getattr(value, "__name__", value))
    return f"{int(value):,}" if value == round(value) and abs(value) < 1e15 else f"{value:.7g}"


def _name(by: str | None, value: Any) -> str:
    """Say what a value of a key is: "batch size 4", "adam", "no weight decay"; or a column."""
    if by is None:
        return words(value)
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return words(by) if value else f"no {words(by)}"
    values = value if isinstance(value, tuple) else (value,)
    return f"{words(by)} {', '.join(map(number, values))}"
