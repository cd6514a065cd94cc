"""Many runs: a grid of settings × seeds, each shape compiled once, resumable."""

import inspect
import itertools
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import evidence
from .._arguments import instance, integer
from ..data.loading import Data
from ..stopping.following import Rule, check_rule
from .jobs import Job, forget, run_job
from .records import open_cache, read, write

_TRAINING_KEYS = ("batch_size", "epochs", "steps")
# What no key may be called.
_COLUMNS = ("seed", "seconds", "restored_epoch", "epoch", "step", "loss", "reason")


def sweep(
    build_model: Callable[..., keras.Model],
    data: Data | Callable[..., Data],
    grid: Mapping[str, Iterable[Any]],
    *,
    seeds: int | Iterable[int] = 10,
    epochs: int | None = None,
    steps: int | None = None,
    rule: Rule | None = None,
    monitor: str = "val_loss",
    curves: bool = False,
    cache: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Train a model for each combination of the grid's values and each seed.

    `build_model(**keys)` returns a new compiled model, `data(seed, **keys)` its data; each gets
    the keys of `grid` that it names. A `Data` in place of a function serves all seeds, which
    makes intervals too narrow. `batch_size`, `epochs` and `steps` go to `train`. `seeds` is a
    count or a list; the seed sets weights, masks and order. Every row equals a single run after
    `keras.utils.set_random_seed(seed)`, bit for bit, but for `seconds`; only the compiling is
    shared, by all models of one shape, whatever their learning rate.

    Returns a row per combination and seed: the keys, `seed`, `epochs` and `steps` that were run
    (a key of that name keeps its value), `seconds` of training, then loss and metrics at the end,
    the same with `val_` and `test_`, and the `StopReason`. With `curves`, a row per epoch, with
    `epoch` and `step` as in `Run.epochs`.

    A `rule` stops each run at `monitor`, as in `train`; what was measured is then that of the
    best epoch, which is restored and which a column `restored_epoch` names.

    `cache` is a folder that keeps each finished run, so that a sweep goes on where it was
    stopped. Raises `ValueError` if what it holds was made by other versions, another model or
    other data. `executor` runs them elsewhere: a `ProcessPoolExecutor` of "spawn", or dask's
    `client.get_executor()`; give it a data function, since a `Data` travels with every run. When
    runs fail there, the others are finished and kept before the first error is raised.

    Raises `ValueError` or `TypeError` for a key that nobody takes or that is missing, for both or
    neither of `epochs` and `steps`, for a value or seed given twice, and for functions that
    cannot be pickled for a `ProcessPoolExecutor`.

    >>> from epochlab import load_data
    >>> def build_model(learning_rate):
    ...     model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    ...     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ...     model.compile(keras.optimizers.SGD(learning_rate), loss, metrics=["accuracy"])
    ...     return model
    >>> def data(seed):
    ...     return load_data(n_train=500, seed=seed)
    >>> grid = {"learning_rate": [0.01, 0.1], "batch_size": [50]}
    >>> print("Swept:"); table = sweep(build_model, data, grid, seeds=3, epochs=2)
    ... # doctest: +ELLIPSIS
    Swept:...
    >>> table.shape, table["steps"].unique().tolist()
    ((6, 13), [20])
    """
    jobs = _jobs(build_model, data, grid, seeds, epochs, steps, curves, cache is not None)
    if rule is not None:
        check_rule(rule)
        jobs = [replace(job, stopping={"rule": rule, "monitor": monitor}) for job in jobs]
    if isinstance(executor, ProcessPoolExecutor):
        _check_picklable(build_model=build_model, data=data)
    results: dict[int, dict[str, Any]] = {}
    folder = None
    if cache is not None:
        folder = open_cache(cache)
        for number, job in enumerate(jobs):
            if (result := read(folder, job)) is not None:
                results[number] = result
    missing = {number: job for number, job in enumerate(jobs) if number not in results}
    finished = _in_turn(missing, folder) if executor is None else _spread(missing, executor)
    # Nothing unless in a terminal: what goes to a notebook's stderr is saved with it.
    with _Progress(total=len(jobs), initial=len(results), disable=None, leave=False) as progress:
        for number, result in finished:
            if folder is not None:
                write(folder, jobs[number], result)
            results[number] = result
            progress.update()
    forget()
    in_order = sorted(range(len(jobs)), key=lambda number: jobs[number].position)
    return pd.DataFrame([row for n in in_order for row in _rows(jobs[n], results[n])])


class _Progress(tqdm):
    monitor_interval = 0  # no thread, for whose sake models would be built twice


def _rows(job: Job, result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    counts = {name: result[name] for name in ("epochs", "steps", "seconds")}
    for measured in result["rows"]:
        if not job.curves:
            measured = {k: v for k, v in measured.items() if k not in ("epoch", "step")}
        start = job.point | {"seed": job.seed} | counts | job.point
        restored = {"restored_epoch": result["restored_epoch"]} if job.stopping else {}
        yield start | restored | measured | {"reason": result["reason"]}


def _in_turn(jobs: dict[int, Job], folder: Path | None) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, job in jobs.items():
        # Another process may have finished it since.
        result = None if folder is None else read(folder, job)
        yield number, result or run_job(job)


def _spread(jobs: dict[int, Job], executor: Executor) -> Iterator[tuple[int, dict[str, Any]]]:
    futures, error = {}, None
    try:
        for number, job in jobs.items():
            futures[executor.submit(run_job, job)] = number
    except Exception as broken:  # a worker that died this early; the rest is still collected
        error = broken
    try:
        for future in as_completed(futures):
            try:
                result = future.result()
            except Exception as failed:
                error = error or failed
            else:
                yield futures[future], result
    finally:
        for future in futures:
            future.cancel()
    if error is not None:
        raise error


def _jobs(
    build_model: Callable[..., keras.Model],
    data: Data | Callable[..., Data],
    grid: Mapping[str, Iterable[Any]],
    seeds: int | Iterable[int],
    epochs: int | None,
    steps: int | None,
    curves: bool,
    cached: bool,
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

    of_model, of_data = _parameters(build_model), []
    if not isinstance(data, Data):
        of_data = _parameters(data)[1:]
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

    sweep_id, jobs = uuid4().hex, []
    for number, choice in enumerate(itertools.product(*map(enumerate, values.values()))):
        point = {key: value for key, (_, value) in zip(values, choice, strict=True)}
        indices = tuple(i for key, (i, _) in zip(values, choice, strict=True) if key in taken[1])
        for i, seed in enumerate(_seeds(seeds)):
            jobs.append(
                Job(
                    build_model,
                    data,
                    point,
                    *taken,
                    training=training | {k: point[k] for k in _TRAINING_KEYS if k in point},
                    seed=seed,
                    curves=curves,
                    cached=cached,
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
        raise ValueError(
            f"grid must not have the key {key!r}: a column of the table has that name."
        )
    if isinstance(values, (str, bytes)):
        values = None
    instance(f"grid[{key!r}]", values, Iterable, "a list of values")
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if key in _TRAINING_KEYS:
        values = [integer(f"grid[{key!r}]", value) for value in values]
    return _distinct(f"grid[{key!r}]", values)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if not isinstance(seeds, Iterable):
        return evidence.seeds(seeds)
    seeds = [integer("each of seeds", seed, minimum=0) for seed in seeds]
    if seeds and max(seeds) >= 2**32:
        raise ValueError(f"each of seeds must be below 2**32, as Keras wants it; got {max(seeds)}.")
    return _distinct("seeds", seeds)


def _distinct(name: str, values: list[Any]) -> list[Any]:
    """Refuse none, and a value given twice: its runs would count double."""
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice or not values:
        got = f"{twice[0]!r} twice" if twice else "none"
        raise ValueError(f"{name} must hold different values, at least one; got {got}.")
    return values


def _check_picklable(**functions: Any) -> None:
    for name, function in functions.items():
        try:
            pickle.dumps(function)
            # A notebook's own functions pickle by name, but a new process has no such module.
            main = sys.modules["__main__"]
            if getattr(function, "__module__", None) == "__main__" and not hasattr(
                main, "__file__"
            ):
                raise pickle.PicklingError("it was defined in a notebook or at a prompt")
        except Exception as error:
            raise ValueError(
                f"{name} must be picklable for this executor, so defined at the top of a module "
                f"that can be imported; got {function!r}: {error}."
            ) from error
