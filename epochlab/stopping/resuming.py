"""The file that keeps a run, so that it goes on after a crash."""

import json
import os
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import keras
import numpy as np


def write(path: Path, header: dict[str, Any], arrays: dict[str, list[np.ndarray]]) -> None:
    """Write all or nothing, whenever the process is killed."""
    named = {"header": np.frombuffer(to_json(header).encode(), np.uint8)}
    for name, values in arrays.items():
        named |= {f"{name}{i}": value for i, value in enumerate(values)}
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **named)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def describe(model: keras.Model) -> list[str]:
    """Return what a state must have in common with a model that loads it."""
    variables = [
        # Without the numbers by which Keras tells layers of the same kind in one process apart.
        f"{re.sub(r'_[0-9]+(?=/|$)', '', variable.path)} {tuple(variable.shape)} {variable.dtype}"
        for variable in model.variables
    ]
    shapes = [f"{tuple(v.shape)} {v.dtype}" for v in model.optimizer.variables]
    return [*variables, f"optimizer {type(model.optimizer).__name__} of {', '.join(shapes)}"]


def to_json(value: Any) -> str:
    return json.dumps(value, default=lambda array: np.asarray(array).tolist())


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with np.load(path) as file:
            arrays = dict(file)  # which checks the sums that are stored with them
        return json.loads(arrays.pop("header").tobytes()), arrays
    except Exception as error:
        raise ValueError(
            f"state_path must hold a state that can be read; {path} is damaged ({error}). Move it "
            "away to start anew."
        ) from error


def numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(re.fullmatch(rf"{name}\d+", key) is not None for key in arrays)
    return [arrays[f"{name}{i}"] for i in range(count)]


def check_same(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise `ValueError` naming the first thing in which the state is another."""
    for key, value in wanted.items():
        pairs = [(saved[key], value)]
        if isinstance(value, list):
            pairs = zip_longest(saved[key], value)
        for old, new in pairs:
            if old != new:
                raise ValueError(
                    f"state_path must hold a state of the same {key}; {path} has {old!r}, this "
                    f"run {new!r}."
                )
