"""The folder that keeps the finished runs of a sweep, a file each."""

import contextlib
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from .._files import check_same, write
from ..stopping.following import StopReason
from .digests import code_digest
from .jobs import Job, lock
from .machine import versions

_WANTED = "cache must be of the same versions, model and data, or another folder"


class Cache:
    """What a sweep asks of a cache; this one keeps nothing."""

    identified: tuple[str, ...] = ()  # "model" and "data": what it tells runs apart by
    code = ""  # the digest of build_model

    def read(self, job: Job) -> dict[str, Any] | None:
        """Return the result kept, `None` if there is none."""
        return None

    def write(self, job: Job, result: dict[str, Any]) -> dict[str, Any]:
        """Keep the result and return what is kept."""
        return result

    def check(self, kept: list[Job], missing: list[Job]) -> None:
        """Raise `ValueError` if data must be loaded anyway and are not those of the kept runs."""

    def close(self) -> None:
        """Do what is left to do once the sweep is over."""


class Folder(Cache):
    """A cache for the versions, the models and the data that made it: all else is refused."""

    identified = ("model", "data")

    def __init__(self, path: Path, job: Job) -> None:
        # Here, since elsewhere the source may not be at hand. It is asked for only of models that
        # have somebody's own code, and refused there.
        with contextlib.suppress(ValueError):
            self.code = code_digest("build_model", job.build_model)
        if path.exists() and not path.is_dir():
            raise ValueError(f"cache must be a folder, or end in .jsonl; got the file {path}.")
        path.mkdir(parents=True, exist_ok=True)
        self.path, manifest = path, path / "manifest.json"
        if not manifest.exists():
            write(manifest, _encoded(versions()))
        try:
            made_by = json.loads(_text(manifest))
        except ValueError as error:  # of JSON, or of the encoding
            raise ValueError(
                f"cache must say which versions made it; got {manifest}, which is damaged: "
                f"{error}. Use another folder, or delete this one."
            ) from error
        check_same(_WANTED, manifest, made_by, versions())

    def read(self, job: Job) -> dict[str, Any] | None:
        """Return the result kept, `None` if there is none or it is damaged and thus set aside."""
        path = path_of(self.path, job)
        if not path.exists():
            return None
        try:
            result = json.loads(_text(path))
            check_result(result)
            if not result.keys() >= set(self.identified):
                raise ValueError("what it was trained on is missing")
        except ValueError as error:
            aside = path.replace(path.with_suffix(".damaged"))
            warnings.warn(
                f"cache has a damaged file, {path}: {error}. It is kept as {aside.name}, and its "
                "run is trained again.",
                stacklevel=2,
            )
            return None
        with lock:
            identity = job.identity()
        check_same(_WANTED, path, {key: result.get(key) for key in identity}, identity)
        return result

    def write(self, job: Job, result: dict[str, Any]) -> dict[str, Any]:
        write(path_of(self.path, job), _encoded(job.settings() | result))
        return result


def check_result(result: Any) -> None:
    """Raise `ValueError` unless this is what `run_job` returns; numbers may be any."""

    def number(value: Any, kind: type | tuple[type, ...] = (int, float)) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool)

    try:
        rows = result["rows"]
        sound = (
            result["reason"] in [reason.value for reason in StopReason]
            and all(number(result[name], int) for name in ("epochs", "steps"))
            and (result["restored_epoch"] is None or number(result["restored_epoch"], int))
            and number(result["seconds"])
            and bool(rows)
            and all(map(number, [value for row in rows for value in row.values()]))
        )
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise ValueError("a count, a measure or the reason is missing or is none")


def path_of(folder: Path, job: Job) -> Path:
    text = json.dumps(job.settings(), sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()


def _text(path: Path) -> str:
    if not path.is_file():  # to read a pipe would wait for ever
        raise ValueError(f"cache must hold files; got {path}, which is none. Remove it.")
    return path.read_text(encoding="utf-8")
