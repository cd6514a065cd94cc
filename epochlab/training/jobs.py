"""One run of a sweep: its data, its model, and the compiled program that it shares."""

import contextlib
import functools
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
from .._keras import excludes_from_weight_decay, flatten_layers, names_from_the_start
from ..data.loading import Data
from .digests import code_digest, data_digest, rule_text
from .machine import made_by
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
    position: tuple[int, ...]  # in the table
    data_id: tuple[Any, ...]  # the same for jobs on the same data
    stopping: dict[str, Any] = field(default_factory=dict)  # rule and monitor, if there is one
    identified: tuple[str, ...] = ()  # "model" and "data": what a cache tells apart
    code: str = ""  # the digest of build_model, where a cache knows it already

    def settings(self) -> dict[str, Any]:
        """Return in JSON what a cache tells this run from the others by."""
        settings = {"settings": self.point | self.training, "seed": self.seed}
        settings["curves"] = self.curves
        if self.stopping:
            rule, monitor = self.stopping["rule"], self.stopping["monitor"]
            settings["stopping"] = {"rule": rule_text(rule), "monitor": repr(monitor)}
        try:
            return json.loads(json.dumps(settings))
        except TypeError as error:
            raise TypeError(
                f"grid must hold numbers, strings and lists of them to be kept in a cache; got "
                f"{self.point!r}: {error}."
            ) from None

    def load(self) -> Data:
        """Return the data, loaded again only if the last job's were others."""
        if self.data_id not in _loaded:
            data = self.data
            if not isinstance(data, Data):
                with _undisturbed(self.seed):
                    data = data(self.seed, **{key: self.point[key] for key in self.data_keys})
                instance("what data returns", data, Data, "a Data, from load_data or Data.of")
            _loaded.clear()
            _loaded[self.data_id] = data
        return _loaded[self.data_id]

    def build(self) -> keras.Model:
        """Return the model, with its weights where it takes the data."""
        with _undisturbed(self.seed), names_from_the_start():
            model = self.build_model(**{key: self.point[key] for key in self.model_keys})
            instance("what build_model returns", model, keras.Model, "a keras.Model")
            # train says why, where a model does not take the data.
            with contextlib.suppress(Exception):
                model(self.load().x_train[:1])
        return model

    def build_new(self) -> keras.Model:
        """Build; a sweep's first model twice, so that one that is trained on is seen at once."""
        model, sweep_id = self.build(), self.data_id[0]
        if sweep_id not in _identities:
            again = self.build()
            weights = {id(variable) for variable in again.trainable_variables}
            if again is model or any(id(v) in weights for v in model.trainable_variables):
                raise ValueError(
                    "build_model must return a new model each time, or one run would train on "
                    f"what another has trained; got the weights of {model.name!r} twice."
                )
            _identities[sweep_id] = None
        return model

    def identity(self) -> dict[str, Any]:
        """Return what tells this run's model and data from others."""
        found: dict[str, Any] = {}
        if "model" in self.identified:
            model_id = (self.data_id[0], self.position[0])
            if model_id not in _identities:
                model = self.build()
                config = _config(model)
                found["model"] = config
                if not _is_known(model, config):  # it may have code that no configuration tells
                    found["code"] = self.code or code_digest("build_model", self.build_model)
                _identities[model_id] = dict(found)
            found |= _identities[model_id]
        if "data" in self.identified:
            if self.data_id not in _identities:
                described = {"description": repr(self.load()), "sha256": data_digest(self.load())}
                _identities[self.data_id] = described
            found["data"] = _identities[self.data_id]
        return found


@contextlib.contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Seed all; let no other thread draw from the random numbers of this one: it gets others.

    dask draws from `random` whenever it estimates a size, and Keras its layers' seeds, so that
    weights would depend on the moment. For one thread at a time.
    """
    global _drawing
    before, _drawing = _drawing, threading.get_ident()
    shared = {(module, name): getattr(module, name) for module, name in _SHARED}
    try:
        for (module, name), function in shared.items():
            setattr(module, name, _divided(function, getattr(_OTHERS[module], name)))
        keras.utils.set_random_seed(seed)
        yield
    finally:
        for (module, name), function in shared.items():
            setattr(module, name, function)
        _drawing = before


@functools.cache
def _divided(function: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, but `other` for all threads beside the one that is in `_undisturbed`."""

    # What is imported meanwhile may keep it by name, so it serves later threads, and none, too.
    @functools.wraps(function)
    def draw(*args: Any, **kwargs: Any) -> Any:
        chosen = function if _drawing in (None, threading.get_ident()) else other
        return chosen(*args, **kwargs)

    return draw


_OTHERS: dict[Any, Any] = {random: random.Random(), np.random: np.random.RandomState()}
_SHARED = [(m, name) for m, o in _OTHERS.items() for name in set(dir(o)) & set(m.__all__)]
_drawing: int | None = None  # the thread that is in `_undisturbed`
_loaded: dict[tuple[Any, ...], Data] = {}  # one at most: the last job's data
_identities: dict[Any, Any] = {}  # of the models and the data of one sweep
models: dict[str, list[keras.Model]] = {}  # compiled and not in use, by all that shapes them
lock = threading.Lock()  # TensorFlow's seed and the above are one per process


def run_job(job: Job) -> dict[str, Any]:
    """Train once, and return what the table and the cache need.

    Runs of other threads go on meanwhile, unless the model has somebody's own code in it, which
    may have a state that runs share.
    """
    with lock:
        data, model = job.load(), job.build_new()
        found = job.identity()
        if found:
            found |= {"source": data.source, "made_by": made_by()}
        key = _program_key(model, data, job.training.get("batch_size"))
        if key is None:
            return _measure(job, model, data) | found
        idle = models.setdefault(key, [])
        model = _in_state_of(model, idle.pop() if idle else model)
    result = _measure(job, model, data)
    idle.append(model)
    return result | found


def _measure(job: Job, model: keras.Model, data: Data) -> dict[str, Any]:
    run = train(
        model,
        data,
        **job.training,
        **job.stopping,
        seed=job.seed,
        # Measuring each epoch takes longer than training it: only where it is asked for.
        validate_every=None if job.curves or job.stopping else sys.maxsize,
        evaluate_test=True,
    )
    rows = run.epochs.to_dict("records")
    if both := rows[0].keys() & job.point.keys():
        raise ValueError(f"grid must have no metric's name as key; got {sorted(map(str, both))}.")
    restored = run.report.restored_epoch
    return {
        "epochs": run.report.epochs_run,
        "steps": len(run.steps),
        "seconds": run.seconds,
        "restored_epoch": restored,
        "rows": rows if job.curves else [rows[-1 if restored is None else restored]],
        "reason": run.report.reason.value,
    }


def _program_key(model: keras.Model, data: Data, batch_size: int | None) -> str | None:
    """Return what shapes the model's compiled program, `None` if that is not all known."""
    config = _config(model)
    if not (model.built and model.compiled and _is_known(model, config)):
        return None
    optimizer = config["compile_config"]["optimizer"]["config"]
    if isinstance(optimizer.get("learning_rate"), float):  # a variable, not a part of the program
        del optimizer["learning_rate"]
    sizes = [len(data.x_train), len(data.x_validation), len(data.x_test)]
    return json.dumps([config, batch_size, data.x_train.shape, sizes])


def _in_state_of(model: keras.Model, kept: keras.Model) -> keras.Model:
    """Return a model compiled before, so that it does what `model` would."""
    model.optimizer.build(model.trainable_variables)
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
        and not any(hasattr(layer, "adapt") for layer in flatten_layers(model))
        and not excludes_from_weight_decay(model.optimizer)
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
