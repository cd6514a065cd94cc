"""Files that are written whole or not at all, and the first place where two contents differ."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`: all of it or, whenever the process is killed, nothing.

    The file gets the mode that the user's umask asks for. A failure leaves what was there before,
    and no temporary file.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:  # "x" follows no link that somebody has put there
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def first_difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """Return the first place where two structures of JSON differ, and what each has there.

    >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
    ('a[1]', 2, 3)
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        parts = [(f"{where}.{key}".lstrip("."), old[key], new[key]) for key in new]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        parts = [(f"{where}[{i}]", *pair) for i, pair in pairs]
    else:
        return None if old == new else (where, old, new)
    found = (first_difference(a, b, place) for place, a, b in parts)
    return next((difference for difference in found if difference), None)
