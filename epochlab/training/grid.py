"""Many runs: a grid of settings × seeds, each shape compiled once, resumable."""

import os
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

import keras
import pandas as pd

from .. import _arguments
from .._keras import random_numbers_kept
from .._progress import progress
from ..data.loading import Data
from ..stopping.following import Rule, check_rule
from .folders import Cache, Folder
from .jobs import Job, forget, run_job
from .listing import list_jobs
from .machine import side_by_side
from .records import Record
from .run import stop_with

Results = Generator[tuple[int, dict[str, Any]], None, None]


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
    shared, by all models of one shape, whatever their learning rate. As many runs go side by side
    as there are cores; one by one on a GPU, and where a model has code or state of your own in it.
    What you draw or train afterwards is as if there had been no sweep: the global seeds are then as
    before.

    Returns a row per combination and seed: the keys, `seed`, `epochs` and `steps` that were run
    (a key of that name keeps its value), `seconds` of training, then loss and metrics at the end,
    the same with `val_` and `test_`, and the `StopReason`. With `curves`, a row per epoch, with
    `epoch` and `step` as in `Run.epochs`.

    A `rule` stops each run at `monitor`, as in `train`; what was measured is then that of the
    best epoch, which is restored and which a column `restored_epoch` names.

    `cache` keeps each finished run, so that a sweep goes on where it was stopped. A folder refuses
    with a `ValueError` what other versions, another model or other data have made. A path that
    ends in `.jsonl` is a record, one text file: what is in it is returned whatever versions and
    machine made it, bit for bit but for `seconds`, without calling `data` or `build_model`. It is
    refused if the code of either, the settings or the keys are others; other data are noticed only
    where runs are missing and thus data loaded. Code is told with all that it uses of its own
    module; what it imports counts by name alone.

    `executor` runs them elsewhere: a `ProcessPoolExecutor` of "spawn", or dask's
    `client.get_executor()`; give it a data function, since a `Data` travels with every run. When
    runs fail there, the others are finished and kept before the first error is raised.

    Raises `ValueError` or `TypeError` for a key that nobody takes or that is missing, for both or
    neither of `epochs` and `steps`, for a value or seed given twice, for a `build_model` that
    returns the same weights again, and for functions that cannot be pickled for a
    `ProcessPoolExecutor`.

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
    jobs = list_jobs(build_model, data, grid, seeds, epochs, steps, curves)
    if rule is not None:
        check_rule(rule)
        jobs = [replace(job, stopping={"rule": rule, "monitor": monitor}) for job in jobs]
    if isinstance(executor, ProcessPoolExecutor):
        _check_picklable(build_model=build_model, data=data)
    with random_numbers_kept():
        results = _results(jobs, cache, executor)
    in_order = sorted(range(len(jobs)), key=lambda number: jobs[number].position)
    return pd.DataFrame([row for n in in_order for row in _rows(jobs[n], results[n])])


def _results(
    jobs: list[Job], cache: str | os.PathLike[str] | None, executor: Executor | None
) -> dict[int, dict[str, Any]]:
    """Return each run's result by its place in `jobs`, what is kept from the cache."""
    kept = _open(cache, jobs[0])
    jobs = [replace(job, identified=kept.identified, code=kept.code) for job in jobs]
    results = {n: found for n, job in enumerate(jobs) if (found := kept.read(job)) is not None}
    measured = {frozenset(row) for found in results.values() for row in found["rows"]}
    if len(measured) > 1:
        others = sorted(frozenset.union(*measured) - frozenset.intersection(*measured))
        raise ValueError(f"cache must have the same measures of all runs; only some have {others}.")
    missing = {number: job for number, job in enumerate(jobs) if number not in results}
    kept.check([jobs[number] for number in results], list(missing.values()))

    def run(job: Job) -> dict[str, Any]:
        # Another process may have finished it since.
        return kept.read(job) or kept.write(job, run_job(job))

    if executor is not None:
        finished = _elsewhere(missing, executor)
    elif (at_a_time := min(side_by_side(), len(missing))) > 1:
        finished = _side_by_side(missing, run, at_a_time)
    else:
        finished = ((number, run(job)) for number, job in missing.items())
    try:
        with progress(total=len(jobs), initial=len(results)) as shown:
            for number, result in finished:
                if executor is not None:
                    result = kept.write(jobs[number], result)
                results[number] = result
                shown.update()
    finally:
        finished.close()
        forget()
        kept.close()
    return results


def _open(cache: str | os.PathLike[str] | None, job: Job) -> Cache:
    if cache is None:
        return Cache()
    wanted = "the path of a folder, or of a record that ends in .jsonl"
    path = _arguments.path("cache", cache, wanted)
    return Record(path, job) if path.suffix == ".jsonl" else Folder(path, job)


def _rows(job: Job, result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    counts = {name: result[name] for name in ("epochs", "steps", "seconds")}
    for measured in result["rows"]:
        if not job.curves:
            measured = {k: v for k, v in measured.items() if k not in ("epoch", "step")}
        start = job.point | {"seed": job.seed} | counts | job.point
        restored = {"restored_epoch": result["restored_epoch"]} if job.stopping else {}
        yield start | restored | measured | {"reason": result["reason"]}


def _side_by_side(jobs: dict[int, Job], run: Callable[[Job], dict[str, Any]], n: int) -> Results:
    """Run in threads: nearly all of a run is TensorFlow's, which leaves Python to the others."""
    stop, waiting, sizes = threading.Event(), dict(jobs), Counter[int | None]()
    turn = threading.Lock()

    def next_run() -> tuple[int, dict[str, Any]]:
        # On the same data as the others, but of another batch size: threads at the same one would
        # each compile it.
        with turn:
            first = next(iter(waiting.values()))
            near = [k for k, job in waiting.items() if job.data_id == first.data_id]
            number = min(near, key=lambda k: sizes[_batch_size(waiting[k])])
            job = waiting.pop(number)
            sizes[_batch_size(job)] += 1
        try:
            return number, run(job)
        finally:
            with turn:
                sizes[_batch_size(job)] -= 1

    executor = ThreadPoolExecutor(n, initializer=stop_with, initargs=(stop,))
    futures = [executor.submit(next_run) for _ in jobs]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def _batch_size(job: Job) -> int | None:
    return job.training.get("batch_size")


def _elsewhere(jobs: dict[int, Job], executor: Executor) -> Results:
    futures, error = {}, None
    try:
        for number, job in jobs.items():
            futures[executor.submit(run_job, job)] = number
    except Exception as broken:  # a worker that died this early; the rest is still collected
        error = broken
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except Exception as failed:
                error = error or failed
    finally:
        for future in futures:
            future.cancel()
    if error is not None:
        raise error


def _check_picklable(**functions: Any) -> None:
    for name, function in functions.items():
        try:
            pickle.dumps(function)
            # A notebook's own functions pickle by name, but a new process has no such module.
            in_main = getattr(function, "__module__", None) == "__main__"
            if in_main and not hasattr(sys.modules["__main__"], "__file__"):
                raise pickle.PicklingError("it was defined in a notebook or at a prompt")
        except Exception as error:
            raise ValueError(
                f"{name} must be picklable for this executor, so defined at the top of a module "
                f"that can be imported; got {function!r}: {error}."
            ) from error
