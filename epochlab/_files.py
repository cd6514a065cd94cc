"""Files that are written whole or not at all, and the first place where two contents differ."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`: all of it or, whenever the process is killed, nothing.

    The file gets the mode that the user's umask asks for. A failure leaves what was there before,
    and no temporary file; an `OSError` names the file.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with naming(path):
        try:
            with part.open("xb") as file:  # "x" follows no link that somebody has put there
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):  # its folder may be gone, or not to be written any more
                part.unlink()
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system, as that of a full disk, name the file at fault."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


def first_difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """Return the first place where two structures differ, and what each has there.

    Lists, tuples and arrays are compared item by item, mappings with their keys, data frames with
    their labels. A number equals no string and no boolean.

    >>> first_difference({"a": [1, 2]}, {"a": (1, 3)})
    ('a[1]', 2, 3)
    """
    old, new = _plain(old), _plain(new)
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and np.array_equal(old, new):
        return None  # at once, for weights are many
    old, new = (x.tolist() if isinstance(x, np.ndarray) else x for x in (old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
        parts = [(f"{where}.{key}".lstrip("."), old[key], new[key]) for key in new]
    elif _is_row(old) and _is_row(new) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        parts = [(f"{where}[{i}]", *pair) for i, pair in pairs]
    else:
        same = isinstance(old, bool) == isinstance(new, bool) and old == new
        return None if same else (where, old, new)
    found = (first_difference(a, b, place) for place, a, b in parts)
    return next((difference for difference in found if difference), None)


def _plain(value: Any) -> Any:
    """Data frames as mappings, arrays and tensors of numbers as NumPy's, others as lists."""
    if hasattr(value, "columns"):
        parts = {"columns": list(value.columns), "index": list(value.index)}
        return parts | {"values": value.to_numpy()}
    if not hasattr(value, "__array__"):
        return value
    array = np.asanyarray(value)
    return array if type(array) is np.ndarray and array.dtype.kind in "iufc" else array.tolist()


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def check_same(wanted: str, path: Path, old: Any, new: Any) -> None:
    """Raise `ValueError` naming the first place where a cache at `path` differs from a sweep."""
    if difference := first_difference(old, new):
        where, was, now = difference
        raise ValueError(f"{wanted}; {path} has {where} {was!r}, this sweep {now!r}.")
