"""One run of a sweep: its data, its model, and the compiled program that it shares."""

import contextlib
import hashlib
import json
import random
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from .._arguments import instance
from ..data.loading import Data
from .run import train


@dataclass(frozen=True)
class Job:
    """One run to do, small enough to travel to another process."""

    build_model: Callable[..., keras.Model]
    data: Data | Callable[..., Data]
    point: dict[str, Any]
    model_keys: tuple[str, ...]
    data_keys: tuple[str, ...]
    training: dict[str, Any]
    seed: int
    curves: bool
    cached: bool
    position: tuple[int, ...]  # in the table
    data_id: tuple[Any, ...]  # the same for jobs on the same data
    stopping: dict[str, Any] = field(default_factory=dict)  # rule and monitor, if there is one

    def load(self) -> Data:
        """Return the data, loaded again only if the last job's were others."""
        if self.data_id not in _loaded:
            data = self.data
            if not isinstance(data, Data):
                keras.utils.set_random_seed(self.seed)
                data = data(self.seed, **{key: self.point[key] for key in self.data_keys})
                instance("what data returns", data, Data, "the Data that load_data returns")
            _loaded.clear()
            _loaded[self.data_id] = data
        return _loaded[self.data_id]

    def build(self) -> keras.Model:
        """Return the model, with its weights where it takes the data."""
        with _own_random_numbers():
            keras.utils.set_random_seed(self.seed)
            model = self.build_model(**{key: self.point[key] for key in self.model_keys})
            instance("what build_model returns", model, keras.Model, "a keras.Model")
            # train says why, where a model does not take the data.
            with contextlib.suppress(Exception):
                model(self.load().x_train[:1])
        return model

    def build_undisturbed(self) -> keras.Model:
        """Build until two in a row start alike: other threads may draw from NumPy, too."""
        model = self.build()
        if threading.active_count() == 1:
            return model
        for _ in range(20):
            last, model = model, self.build()
            if all(map(np.array_equal, last.variables, model.variables)):
                return model
        raise RuntimeError(
            "build_model must give the same weights after keras.utils.set_random_seed(seed); got "
            "others each time. Does another thread draw from the same random numbers?"
        )

    def identity(self) -> dict[str, Any]:
        """Return what tells this run's model and data from others."""
        model_id = (self.data_id[0], self.position[0])
        if model_id not in _identities:
            _identities[model_id] = _config(self.build())
        if self.data_id not in _identities:
            _identities[self.data_id] = _fingerprint(self.load())
        return {"model": _identities[model_id], "data": _identities[self.data_id]}


@contextlib.contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Keep other threads off the numbers that this one draws from `random`, as Keras's seeds are.

    dask draws there whenever it estimates a size, so that weights would depend on the moment.
    """
    shared, own, thread = random.random.__self__, random.Random(), threading.get_ident()

    def divided(name: str) -> Callable[..., Any]:
        def draw(*args: Any, **kwargs: Any) -> Any:
            source = own if threading.get_ident() == thread else shared
            return getattr(source, name)(*args, **kwargs)

        return draw

    functions = {name: getattr(random, name) for name in random.__all__}
    functions = {k: f for k, f in functions.items() if getattr(f, "__self__", None) is shared}
    try:
        for name in functions:
            setattr(random, name, divided(name))
        yield
    finally:
        for name, function in functions.items():
            setattr(random, name, function)


_loaded: dict[tuple[Any, ...], Data] = {}  # one at most: the last job's data
_identities: dict[tuple[Any, ...], Any] = {}  # of the models and the data of one sweep
models: dict[str, keras.Model] = {}  # compiled, by all that shapes their program
lock = threading.Lock()  # TensorFlow, its seed and the models above are one per process


def run_job(job: Job) -> dict[str, Any]:
    """Train once, and return what the table and the cache need."""
    with lock:
        data, model = job.load(), job.build_undisturbed()
        config = _config(model)
        kept = _compiled(model, config, data, job.training.get("batch_size"))
        # Measuring each epoch takes longer than training it: only where it is asked for.
        every = None if job.curves or job.stopping else sys.maxsize
        run = train(
            kept,
            data,
            **job.training,
            **job.stopping,
            seed=job.seed,
            validate_every=every,
            evaluate_test=True,
        )
        rows = run.epochs.to_dict("records")
        if both := rows[0].keys() & job.point.keys():
            raise ValueError(f"grid must not have a key of a metric's name; got {sorted(both)}.")
        restored = run.report.restored_epoch
        return {
            "epochs": run.report.epochs_run,
            "steps": len(run.steps),
            "seconds": run.seconds,
            "restored_epoch": restored,
            "rows": rows if job.curves else [rows[-1 if restored is None else restored]],
            "reason": run.report.reason.value,
        } | (job.identity() if job.cached else {})


def _fingerprint(data: Data) -> dict[str, str]:
    digest = hashlib.sha256()
    for name in ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test"):
        array = np.ascontiguousarray(getattr(data, name))
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return {"description": repr(data), "sha256": digest.hexdigest()}


def _compiled(
    model: keras.Model, config: dict[str, Any], data: Data, batch_size: int | None
) -> keras.Model:
    """Return a model compiled before that does what this one would, in this one's state."""
    if not (model.built and model.compiled and _is_known(model, config)):
        return model
    model.optimizer.build(model.trainable_variables)
    config = json.loads(json.dumps(config))
    optimizer = config["compile_config"]["optimizer"]["config"]
    if isinstance(optimizer["learning_rate"], float):  # a variable, not a part of the program
        del optimizer["learning_rate"]
    sizes = [len(data.x_train), len(data.x_validation), len(data.x_test)]
    kept = models.setdefault(json.dumps([config, batch_size, data.x_train.shape, sizes]), model)
    if kept is not model:
        old = [*kept.variables, *kept.optimizer.variables]
        new = [*model.variables, *model.optimizer.variables]
        for variable, value in zip(old, new, strict=True):
            variable.assign(value)
    return kept


def _is_known(model: keras.Model, config: dict[str, Any]) -> bool:
    """Whether the configuration tells all: nothing in it is somebody's own code or state."""
    text = json.dumps(config)
    modules = re.findall(r'"module": (?:null|"([^"]*)")', text)
    return (
        bool(modules)
        and all(re.match(r"keras(\.|$)", module) for module in modules)
        and "lambda" not in text.lower()
        and not any(hasattr(layer, "adapt") for layer in model._flatten_layers())
        and not hasattr(model.optimizer, "_exclude_from_weight_decay")
    )


def _config(model: keras.Model) -> dict[str, Any]:
    """Return how the model is built and compiled, without the numbers in automatic names."""
    names: dict[str, str] = {}

    def collect(part: dict[str, Any]) -> dict[str, Any]:
        kind, module = part.get("class_name"), part.get("module")
        # A metric's name is a column of the table, a policy's its type.
        if kind and "Policy" not in kind and module not in ("keras.metrics", "keras.losses"):
            config = part.get("config")
            if isinstance(config, dict) and isinstance(config.get("name"), str):
                names.setdefault(config["name"], f"{kind} {len(names)}")
        return part

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                key: names.get(value, value)
                if key == "name" and isinstance(value, str)
                else renamed(value)
                for key, value in part.items()
            }
        if isinstance(part, list):  # where layers are wired to one another
            return [names.get(x, x) if isinstance(x, str) else renamed(x) for x in part]
        return part

    try:
        text = json.dumps(keras.saving.serialize_keras_object(model))
    except Exception:  # whatever somebody's get_config raises
        return {"class_name": type(model).__name__}
    return renamed(json.loads(text, object_hook=collect))


def forget() -> None:
    """Let go of what only one sweep needs; the compiled models may serve the next."""
    _loaded.clear()
    _identities.clear()
