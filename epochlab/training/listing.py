"""The runs that the arguments of `sweep` ask for."""

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard, cast
from uuid import uuid4

import keras
import numpy as np

from .. import evidence
from .._arguments import instance, integer
from ..data.loading import Data
from .jobs import Job

_TRAINING_KEYS = ("batch_size", "epochs", "steps")
# What no key may be called.
_COLUMNS = ("seed", "seconds", "restored_epoch", "epoch", "step", "loss", "reason")


def list_jobs(
    build_model: Callable[..., keras.Model],
    data: Data | Callable[..., Data],
    grid: Mapping[str, Iterable[Any]],
    seeds: int | Iterable[int],
    epochs: int | None,
    steps: int | None,
    curves: bool,
) -> list[Job]:
    """Check the arguments; return the runs, those on the same data one after the other."""
    if isinstance(build_model, keras.Model) or not callable(build_model):
        raise TypeError(
            f"build_model must be a function that returns a compiled model; got {build_model!r}."
        )
    if not callable(data):
        instance("data", data, Data, "a Data or a function of the seed that returns one")
    instance("curves", curves, bool, "True or False")
    instance("grid", grid, Mapping, "a mapping from keys to lists of values")
    values = {key: _values(key, grid[key]) for key in grid}
    limits = {"epochs": epochs, "steps": steps}
    training = {name: integer(name, value) for name, value in limits.items() if value is not None}
    given = [f"{name}={value!r}" for name, value in training.items()]
    given += [f"grid[{name!r}]" for name in limits if name in grid]
    if len(given) != 1:
        wanted = "give either epochs or steps, as an argument or in grid"
        raise ValueError(f"{wanted}; got {' and '.join(given) or 'neither'}.")

    of_model = _parameters(build_model)
    of_data = [] if isinstance(data, Data) else _parameters(data)[1:]
    others = [key for key in values if key not in {*of_model, *of_data, *_TRAINING_KEYS}]
    if others and "**" not in [*of_model, *of_data]:
        raise ValueError(
            f"grid has the key {others[0]!r}, which nobody takes: build_model takes {of_model}, "
            f"data {of_data}, train {list(_TRAINING_KEYS)}."
        )
    taken = [
        tuple(key for key in values if key in names or ("**" in names and key in others))
        for names in (of_model, of_data)
    ]
    _check_call("build_model", build_model, (), taken[0])
    if not isinstance(data, Data):
        _check_call("data", data, (0,), taken[1])

    sweep_id, jobs, seed_list = uuid4().hex, [], _seeds(seeds)
    for number, choice in enumerate(itertools.product(*map(enumerate, values.values()))):
        point = {key: value for key, (_, value) in zip(values, choice, strict=True)}
        indices = tuple(i for key, (i, _) in zip(values, choice, strict=True) if key in taken[1])
        for i, seed in enumerate(seed_list):
            jobs.append(
                Job(
                    build_model,
                    data,
                    point,
                    model_keys=taken[0],
                    data_keys=taken[1],
                    training=training | {k: point[k] for k in _TRAINING_KEYS if k in point},
                    seed=seed,
                    curves=curves,
                    position=(number, i),
                    data_id=(sweep_id, "data", *([] if isinstance(data, Data) else [*indices, i])),
                )
            )
    return sorted(jobs, key=lambda job: job.data_id)


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names that `function` takes, "**" where it takes all."""
    return [
        "**" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_POSITIONAL
    ]


def _check_call(name: str, function: Callable[..., Any], first: tuple, keys: tuple) -> None:
    try:
        inspect.signature(function).bind(*first, **dict.fromkeys(keys))
    except TypeError as error:
        called = ", ".join([*["seed"] * len(first), *(f"{key}=…" for key in keys)])
        raise TypeError(
            f"{name} must take the call {name}({called}), with the keys of grid that it names; "
            f"got: {error}."
        ) from None


def _values(key: str, values: Iterable[Any]) -> list[Any]:
    instance("each key of grid", key, str, "a string")
    if key in _COLUMNS or key.startswith(("val_", "test_")):
        raise ValueError(f"grid must not have the key {key!r}, the name of a column.")
    instance(f"grid[{key!r}]", values, Iterable if _is_list(values) else (), "a list of values")
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if key in _TRAINING_KEYS:
        values = [integer(f"grid[{key!r}]", value) for value in values]
    return _distinct(f"grid[{key!r}]", values)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if not _is_list(seeds):
        return evidence.seeds(cast(int, seeds))
    seeds = [integer("each of seeds", seed, minimum=0) for seed in seeds]
    if seeds and max(seeds) >= 2**32:
        raise ValueError(f"each of seeds must be below 2**32, as Keras wants it; got {max(seeds)}.")
    return _distinct("seeds", seeds)


def _is_list(values: Any) -> TypeGuard[Iterable[Any]]:
    """Whether it holds values: a 0-d array, too, calls itself iterable."""
    single = isinstance(values, (str, bytes)) or getattr(values, "shape", None) == ()
    return isinstance(values, Iterable) and not single


def _distinct(name: str, values: list[Any]) -> list[Any]:
    """Refuse none, and a value given twice: its runs would count double."""
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice or not values:
        got = f"{twice[0]!r} twice" if twice else "none"
        raise ValueError(f"{name} must hold different values, at least one; got {got}.")
    return values
