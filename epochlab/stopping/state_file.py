"""The file that keeps a run, so that it goes on after a crash."""

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from filelock import FileLock, Timeout

from .. import _arguments, _files
from ..training.digests import rule_text

if TYPE_CHECKING:
    from .callback import EarlyStopping

_FORMAT = 2


class StateFile:
    """The file `state.npz` in a folder, for one process at a time."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = _arguments.path("state_path", folder, "the path of a folder")
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"state_path must be a folder; got the file {self.folder}.")
        self.path = self.folder / "state.npz"
        self._lock: FileLock | None = None
        self._saved: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None

    def acquire(self) -> None:
        """Lock the folder until `release`, or until the process ends however it does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # One lock per process and folder: what a fit that failed has left is no other process.
        lock = self.folder / "state.lock"
        self._lock = FileLock(lock, timeout=0, thread_local=False, is_singleton=True)
        try:
            self._lock.acquire()
        except Timeout:
            self._lock = None
            raise ValueError(
                f"state_path must be a folder that no other process uses; {self.folder} is in use "
                "by one that is still running."
            ) from None
        for part in self.folder.glob(f".{self.path.name}.*.part"):  # of a process that was killed
            part.unlink()

    def release(self) -> None:
        self._saved = None
        if self._lock is not None:
            self._lock.release(force=True)

    def open(self, stopping: "EarlyStopping", initial_epoch: int) -> dict[str, Any] | None:
        """Lock, and return the header of the state to go on with, `None` where there is none."""
        self.acquire()
        try:
            if not self.path.exists():
                return None
            header, arrays = _read(self.path)
            started = {"initial_epoch": header["rows"][0][0]}
            wanted = {"initial_epoch": initial_epoch, **_settings(stopping)}
            self._check_same(header | started, wanted)
        except ValueError:
            self.release()
            raise
        self._saved = header, arrays
        return header

    def begin(self, stopping: "EarlyStopping") -> None:
        """Put what was opened into the callback and its model, or begin a new state."""
        if self._saved is None:
            rule_text(stopping._rule)  # before the first epoch, as it may refuse
            self.acquire()
            if self.path.exists():
                self.release()
                raise ValueError(
                    f"state_path must be a folder without a state; {self.path} holds one: "
                    "continue it with fit_interruptible or give another folder."
                )
            return
        (header, arrays), model = self._saved, stopping.model
        if not model.built:
            raise ValueError(
                "model must be built to go on with a state: begin it with a keras.Input or call "
                "it on a batch."
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._check_same(header, {"model": _describe(model)})
        for name, variables in _variables(model).items():
            for variable, value in zip(variables, _numbered(arrays, name, variables), strict=True):
                variable.assign(value)
        stopping._direction = header["direction"]
        model.stop_training = header["stopped"]
        for epoch, logs in header["rows"]:
            stopping.__dict__.update(stopping._after(epoch, logs))
            stopping._appeared |= stopping.monitor in logs
        stopping.best_weights = _numbered(arrays, "best", model.weights) or None
        self._saved = None

    def commit(self, stopping: "EarlyStopping") -> None:
        """Write all or nothing, whenever the process is killed."""
        header = _settings(stopping) | {
            "format": _FORMAT,
            "model": _describe(stopping.model),
            "rows": stopping._rows,
            "direction": stopping._direction,
            # By the rule, or by a callback before.
            "stopped": stopping._stopped or bool(getattr(stopping.model, "stop_training", False)),
        }
        text = json.dumps(header, default=lambda array: np.asarray(array).tolist())
        arrays: dict[str, Any] = {"header": np.frombuffer(text.encode(), np.uint8)}
        for name, values in {**_variables(stopping.model), "best": stopping.best_weights}.items():
            arrays |= {f"{name}{i}": np.asarray(value) for i, value in enumerate(values or ())}
        content = io.BytesIO()
        np.savez(content, **arrays)
        _files.write(self.path, content.getvalue())

    def _check_same(self, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Raise `ValueError` naming the first thing in which the state is another."""
        if found := _files.first_difference({name: saved[name] for name in wanted}, wanted):
            place, old, new = found
            raise ValueError(
                f"state_path must hold a state of the same {place}, or be another folder; "
                f"{self.path} has {old!r}, this run {new!r}."
            )


def _variables(model: keras.Model) -> dict[str, list[keras.Variable]]:
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _settings(stopping: "EarlyStopping") -> dict[str, Any]:
    names = ("monitor", "restore_best_weights", *stopping._OF_A_RULE)
    return {"rule": rule_text(stopping._rule)} | {name: getattr(stopping, name) for name in names}


def _describe(model: keras.Model) -> list[str]:
    """Return what a state must have in common with a model that loads it."""
    variables = [
        # Without the numbers by which Keras tells layers of the same kind in one process apart.
        f"{re.sub(r'_[0-9]+(?=/|$)', '', variable.path)} {tuple(variable.shape)} {variable.dtype}"
        for variable in model.variables
    ]
    shapes = [f"{tuple(v.shape)} {v.dtype}" for v in model.optimizer.variables]
    return [*variables, f"optimizer {type(model.optimizer).__name__} of {', '.join(shapes)}"]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with np.load(path) as file:
            arrays = dict(file)  # which checks the sums that are stored with them
        header = json.loads(arrays.pop("header").tobytes())
        known = header.get("format")
    except Exception as error:
        raise ValueError(
            f"state_path must hold a state that can be read; {path} is damaged ({error}). Move it "
            "away to start anew."
        ) from error
    if known != _FORMAT:
        raise ValueError(
            f"state_path must hold a state of this version of epochlab; {path} is of another. "
            "Move it away to start anew."
        )
    return header, arrays


def _numbered(
    arrays: dict[str, np.ndarray], name: str, variables: list[keras.Variable]
) -> list[np.ndarray]:
    """Return what was kept of the variables under a name, which may be nothing."""
    if f"{name}0" not in arrays:
        return []
    kept = [(arrays[f"{name}{i}"], variable.dtype) for i, variable in enumerate(variables)]
    # Of a bfloat16, a file of NumPy's has the bytes alone.
    return [value.view(dtype) if value.dtype.kind == "V" else value for value, dtype in kept]
