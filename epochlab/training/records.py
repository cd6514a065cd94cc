"""The folder that keeps the finished runs of a sweep."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from .. import __version__
from .._arguments import instance
from .jobs import Job, lock


def open_cache(cache: str | os.PathLike[str]) -> Path:
    """Return the folder, which says what versions made it, and refuse one made by others."""
    instance("cache", cache, (str, os.PathLike), "the path of a folder")
    folder = Path(cache)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cache must be a folder; got the file {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"epochlab": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}
    manifest = folder / "manifest.json"
    if not manifest.exists():
        write_json(manifest, versions)
    _check_same(manifest, json.loads(manifest.read_text(encoding="utf-8")), versions)
    return folder


def _settings(job: Job) -> dict[str, Any]:
    settings = {"settings": job.point | job.training, "seed": job.seed, "curves": job.curves}
    if job.stopping:
        settings["stopping"] = {name: repr(value) for name, value in job.stopping.items()}
    try:
        return json.loads(json.dumps(settings))
    except TypeError as error:
        raise TypeError(
            f"grid must hold numbers, strings and lists of them to be kept in a cache; got "
            f"{job.point!r}: {error}."
        ) from None


def path_of(folder: Path, job: Job) -> Path:
    text = json.dumps(_settings(job), sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def read(folder: Path, job: Job) -> dict[str, Any] | None:
    """Return the result kept in the folder, `None` if there is none."""
    path = path_of(folder, job)
    if not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    with lock:
        identity = job.identity()
    _check_same(path, {key: result[key] for key in identity}, identity)
    return result


def write(folder: Path, job: Job, result: dict[str, Any]) -> None:
    write_json(path_of(folder, job), _settings(job) | result)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write all or nothing, whenever the process is killed."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
    ) as file:
        json.dump(content, file, indent=1)
    os.replace(file.name, path)


def _check_same(path: Path, old: Any, new: Any, where: str = "") -> None:
    """Raise `ValueError` naming the first place where what is in the cache differs."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in new:
            _check_same(path, old[key], new[key], f"{where}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, parts in enumerate(zip(old, new, strict=True)):
            _check_same(path, *parts, f"{where}[{i}]")
    elif old != new:
        raise ValueError(
            f"cache must be of the same versions, model and data, or another folder; {path} has "
            f"{where} {old!r}, this sweep {new!r}."
        )
