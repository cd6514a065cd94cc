"""Random cases without end: counting, the replay of curves, and arguments of all kinds.

    python tests/fuzz.py plans 1_000_000 --seed 1
    python tests/fuzz.py curves 100_000 --seed 1
    python tests/fuzz.py arguments 100_000 --seed 1
    python tests/fuzz.py files 100_000 --seed 1

`plans` holds `TrainingPlan` and `simulate_epochs` to a loop over real samples; `curves` holds
`replay` to Keras's `EarlyStopping`; `arguments` gives each public function something it does not
expect: what it raises must be a `ValueError` or a `TypeError` of ours, not a library's. `files`
damages what the package has written: it must be refused by a `ValueError` of ours, or trained
again, or read as it was, up to a number. The first case of each kind that is not so is printed,
and the exit status is 1. A few cases of each are among the tests.
"""

import argparse
import atexit
import contextlib
import dataclasses
import decimal
import inspect
import io
import itertools
import math
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf

import epochlab
from epochlab.data.datasets import DATA_SETS
from epochlab.data.reading import read_npz
from epochlab.stopping.state_file import StateFile
from epochlab.training import grid


def plan(rng: np.random.Generator) -> str:
    """Return what is wrong with one plan, nothing if nothing is."""
    n, size, epochs, accumulation = (int(rng.integers(1, top)) for top in (60, 60, 5, 8))
    drop = bool(rng.integers(2))
    split = float(rng.choice([0.0, rng.uniform(0, 1)]))
    replicas = int(rng.integers(1, 6))
    given: dict[str, Any] = {"validation_split": split, "drop_remainder": drop}
    given |= {"gradient_accumulation_steps": accumulation, "replicas": replicas}
    samples = list(range(n))
    cut = math.floor(n * (1.0 - split)) if split else n
    training, validation = samples[:cut], samples[cut:]
    possible = bool(training) and bool(validation or not split) and replicas <= size
    batches = [training[i : i + size] for i in range(0, len(training), size)]
    if drop:
        batches = [batch for batch in batches if len(batch) == size]
    try:
        found = epochlab.TrainingPlan(n, size, epochs, **given)
    except ValueError:
        return "refused" if possible and batches else ""
    if not (possible and batches):
        return "not refused"
    steps = updates = seen = 0
    for batch in itertools.chain.from_iterable(itertools.repeat(batches, epochs)):
        steps += 1
        updates += steps % accumulation == 0
        seen += len(batch)
    expected = {
        "n_train": len(training),
        "n_validation": len(validation),
        "steps_per_epoch": len(batches),
        "validation_steps": len(range(0, len(validation), size)),
        "dropped_samples": len(training) - sum(map(len, batches)),
        "last_batch_size": len(batches[-1]),
        "effective_batch_size": sum([size] * accumulation),
        "per_replica_batch_size": len(range(0, size, replicas)),
        "total_steps": steps,
        "total_updates": updates,
        "samples_seen": seen,
    }
    wrong = {k: (v, getattr(found, k)) for k, v in expected.items() if getattr(found, k) != v}
    return f"{found!r}: expected and found {wrong}" if wrong else ""


def epochs_of_data_that_end(rng: np.random.Generator) -> str:
    """Return what is wrong with one answer of `simulate_epochs`."""
    n, asked, epochs, execution = (int(rng.integers(1, top)) for top in (15, 15, 8, 6))
    repeat = bool(rng.integers(2))
    current = itertools.count() if repeat else iter(range(n))
    expected = []
    for _ in range(epochs):
        ran = 0
        while ran < asked:
            taken = len(list(itertools.islice(current, execution)))
            ran += taken
            if taken < execution:
                break
        if not repeat and current.__length_hint__() == 0:  # the pass is over
            current = iter(range(n))
        expected.append(ran)
    settings: dict[str, Any] = {"repeat": repeat, "steps_per_execution": execution}
    found = epochlab.simulate_epochs(n, asked, epochs, **settings)
    asked_for = f"simulate_epochs({n}, {asked}, {epochs}, {settings})"
    return f"{asked_for}: expected {expected}, found {found}" if found != expected else ""


def plans(rng: np.random.Generator) -> str:
    return plan(rng) or epochs_of_data_that_end(rng)


def curves(rng: np.random.Generator) -> str:
    """Return how `replay` differs from Keras on one random curve."""
    from test_stopping import keras_report, our_report, random_case

    case = random_case(int(rng.integers(2**31)), int(rng.integers(2**31)))
    expected, found = keras_report(case), our_report(case)
    if repr(expected) != repr(found):
        return f"{case}: Keras {expected}, replay {found}"
    return ""


STRANGE = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 10**400, -(10**400), 2**63),
    *(0.0, -0.0, 0.5, 1.5, math.nan, math.inf, -math.inf, 1e308, 5e-324, 1j),
    *("", " ", "x", "val_loss", "min", "max", "auto", "\0", "é" * 1000, b"x"),
    *([], [[]], [1], [1.0, 2.0], [None], ["a"], [math.nan] * 3, [[1, 2], [3]], [10**400], (1, 2)),
    *({}, {"a": 1}, {1: [2]}, {"batch_size": []}, {"batch_size": [0]}, set(), {1}, range(3)),
    *(object(), object, len, print, ..., NotImplemented, Ellipsis, slice(3), iter([1])),
    *(decimal.Decimal("1e9999"), decimal.Decimal("NaN"), np.float16(1), np.int8(-1), np.bool_(1)),
    *(np.array(1), np.array([]), np.zeros((2, 0)), np.zeros((3, 3)), np.array(["a"])),
    *(np.array([None, 1]), np.full(3, np.nan), np.datetime64("NaT"), np.ma.masked, pd.NA, pd.NaT),
    *(pd.DataFrame(), pd.DataFrame({"seed": [0, 0], "epoch": [0, 0]}), pd.Series([1.0, 2.0])),
    *(pd.DataFrame({"seed": [0, 1], "val_loss": ["a", None]}), pd.Index([1, 1])),
]

# What an error may name in place of an argument: what the argument is made of.
NAMED = ("rule", "condition", "column", "key", "runs", "labels", "x_train", "y_train")


@cache
def good() -> dict[Callable[..., Any], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return arguments that each function takes, none of which trains for long."""
    rng = np.random.default_rng(0)
    data = epochlab.Data.of(rng.normal(size=(40, 4)), np.arange(40) % 3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    patience = epochlab.Patience(2)
    table = pd.DataFrame(
        [
            {"batch_size": size, "seed": seed, "epoch": epoch, "step": 9, "reason": "epochs"}
            | {name: float(rng.uniform()) for name in ("loss", "val_loss", "test_accuracy")}
            for size in (8, 32)
            for seed in range(3)
            for epoch in range(4)
        ]
    )
    runs = table[table["epoch"] == 3].drop(columns=["epoch", "step"]).reset_index(drop=True)
    check = epochlab.interval([2.0, 2.1, 2.2]).above(0)
    history = keras.callbacks.History()
    history.history, history.epoch = {"loss": [1.0, 0.5], "val_loss": [1.0, 2.0]}, [0, 1]
    fast = {"epochs": 1, "seed": 0, "batch_size": 8, "monitor": "val_loss", "rule": None}
    fast |= {"validate_every": None, "evaluate_test": False, "jit_compile": False}
    curve = [0.5, 0.4, 0.6, None]
    return {
        epochlab.steps_per_epoch: ((100, 32), {"drop_remainder": False}),
        epochlab.split_sizes: ((100, 0.2), {}),
        epochlab.TrainingPlan: (
            (100, 32, 5),
            {"validation_split": 0.1, "drop_remainder": False, "replicas": 1}
            | {"gradient_accumulation_steps": 2},
        ),
        epochlab.simulate_epochs: ((10, 3, 4), {"repeat": False, "steps_per_execution": 1}),
        epochlab.num_batches: ((np.zeros((10, 2)),), {"batch_size": 3}),
        epochlab.Patience: (
            (3,),
            {"min_delta": 0.1, "mode": "min", "baseline": None, "start_from_epoch": 0}
            | {"check_finite": True},
        ),
        epochlab.GeneralizationLoss: ((2.0,), {}),
        epochlab.ProgressQuotient: ((2.0,), {"strip": 5}),
        epochlab.SuccessiveIncreases: ((2,), {"strip": 5}),
        epochlab.Target: ((0.5,), {"mode": "min"}),
        epochlab.Warmup: ((patience, 3), {}),
        epochlab.AnyOf: ((patience, epochlab.Target(0.1)), {}),
        epochlab.replay: ((curve, patience), {"train_values": [1, 2, 3, 4], "initial_epoch": 0}),
        epochlab.sweep_rules: (([curve, curve], [patience]), {}),
        epochlab.interval: (([1.0, 2.0, 3.0],), {"confidence": 0.95}),
        epochlab.paired_difference: (([1.0, 2.0], [3.0, 5.0]), {"confidence": 0.95}),
        epochlab.share: ((3, 10), {"confidence": 0.95}),
        epochlab.seeds: ((3,), {}),
        epochlab.claim: (("a", "A sentence.", check), {"only_on": None}),
        epochlab.verdict: (("1", {"digits": check}), {}),
        epochlab.check_answer: (("00-1", "a"), {}),
        epochlab.difference: ((runs, "test_accuracy"), {"batch_size": (8, 32)}),
        epochlab.best_epochs: ((table,), {"monitor": "val_loss", "mode": "min"}),
        epochlab.last_epochs: ((table,), {}),
        epochlab.plot_curves: ((table, "val_loss"), {"by": "batch_size", "x": "epoch"}),
        epochlab.plot_dots: ((runs, "test_accuracy", "batch_size"), {"names": None, "ax": None}),
        epochlab.draw_plan: ((epochlab.TrainingPlan(10, 4, 2),), {}),
        epochlab.history_table: ((history,), {"validation_freq": 1}),
        epochlab.load_data: (
            ("mnist",),
            {"n_train": 10, "n_validation": 5, "n_test": 5, "label_noise": 0.0, "seed": 0},
        ),
        epochlab.Data.of: (
            (data.x_train, data.y_train),
            {"validation_split": 0.2, "test_split": 0.2, "class_names": None, "seed": 0}
            | {"validation_data": None, "test_data": None, "source": "mine"},
        ),
        epochlab.train: ((model, data), fast),
        epochlab.EarlyStopping: (
            (),
            {"monitor": "val_loss", "patience": 2, "min_delta": 0, "mode": "auto", "rule": None}
            | {"baseline": None, "restore_best_weights": True, "start_from_epoch": 0, "verbose": 0},
        ),
        epochlab.TrainEvaluation: ((data.x_train, data.y_train), {"batch_size": 32}),
        epochlab.check_fit: (
            (model, data.x_train, data.y_train),
            {"epochs": 2, "batch_size": 8, "validation_split": 0.2, "callbacks": None}
            | {"steps_per_epoch": None, "validation_data": None, "validation_freq": 1},
        ),
    }


def arguments(rng: np.random.Generator) -> str:
    """Return how one call with one or two strange arguments ended, if not as it should."""
    functions = list(good())
    function = functions[rng.integers(len(functions))]
    positional, named = list(good()[function][0]), dict(good()[function][1])
    for _ in range(rng.integers(1, 3)):
        value = STRANGE[rng.integers(len(STRANGE))]
        place = int(rng.integers(len(positional) + len(named)))
        if place < len(positional):
            positional[place] = value
        else:
            named[list(named)[place - len(positional)]] = value
    # What is large is no mistake, and would take all the memory or all day.
    for key in ("n_train", "n_validation", "n_test", "epochs", "strip"):
        if _is_large(named.get(key)):
            named[key] = 3
    positional = [3 if _is_large(value) and function in _LISTS else value for value in positional]
    called = f"{function.__qualname__}(*{positional!r:.300}, **{named!r:.300})"
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's, of what is not checked
            function(*positional, **named)
    except (ValueError, TypeError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1].filename
        ours = Path(place).is_relative_to(Path(epochlab.__file__).parent)
        names = [*inspect.signature(function).parameters, *named, *NAMED]
        if ours and any(name in str(error) for name in names):
            return ""
        of_python = place == __file__ and isinstance(error, TypeError)  # a keyword it lacks
        return "" if of_python else f"{called}: {error!r} from {place}"
    except Exception as error:  # whatever else it may be
        if function is epochlab.claim and isinstance(error, AssertionError):
            return ""  # that is how it says that something is not so
        return f"{called}: {error!r}"
    finally:
        plt.close("all")
    return ""


_LISTS = (epochlab.seeds, epochlab.simulate_epochs)  # they return that many numbers


def _is_large(value: Any) -> bool:
    return isinstance(value, int) and value > 10**6


@cache
def kept() -> dict[Path, tuple[bytes, Callable[[], Any], str]]:
    """Return files that the package has written: content, how they are read, and what is read."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    data = epochlab.Data.of(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 3)

    def build_model(units: int) -> keras.Model:
        layers = [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
        model = keras.Sequential(layers)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def swept(cache: str, curves: bool) -> Callable[[], Any]:
        grid = {"units": [2, 3], "batch_size": [8]}
        settings: dict[str, Any] = {"curves": curves, "cache": folder / cache}

        def read() -> Any:
            runs = epochlab.sweep(build_model, data, grid, seeds=2, epochs=2, **settings)
            return list(runs), runs.select_dtypes(exclude="number").to_numpy().tolist()

        return read

    model = build_model(2)
    settings: dict[str, Any] = {"validation_split": 0.2, "verbose": 0}

    def stopping() -> epochlab.EarlyStopping:
        return epochlab.EarlyStopping(patience=2, state_path=folder / "state")

    def state() -> Any:
        callback = stopping()
        callback.set_model(model)
        file = StateFile(folder / "state")
        try:
            if file.open(callback, 0) is not None:
                file.begin(callback)
            return [value.tolist() for value in model.get_weights()], callback._rows
        finally:
            file.release()

    def images() -> Any:
        return read_npz(data_set, (folder / "images.npz").read_bytes())

    epochlab.fit_interruptible(
        *(model, data.x_train, data.y_train), epochs=2, callbacks=[stopping()], **settings
    )
    digits = {"x_train": (9, 28, 28), "y_train": (9,), "x_test": (4, 28, 28), "y_test": (4,)}
    arrays = {name: np.ones(shape, np.uint8) for name, shape in digits.items()}
    np.savez_compressed(folder / "images.npz", **arrays)
    data_set = dataclasses.replace(DATA_SETS["mnist"], sha256={})
    readers = {
        "end.jsonl": swept("end.jsonl", False),
        "curves.jsonl": swept("curves.jsonl", True),
        "folder": swept("folder", False),
        "state/state.npz": state,
        "images.npz": images,
    }
    found = {}
    for name, read in readers.items():
        expected = repr(read())
        for path in folder.glob(f"{name}/*" if name == "folder" else name):
            found[path] = path.read_bytes(), read, expected
    return found


JSON_VALUES = [b"null", b"-1", b"1e999", b"NaN", b'""', b'"x"', b"[]", b"[[1]]", b"{}", b"true"]


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content with one or two things changed in it."""
    for _ in range(rng.integers(1, 3)):
        start, end = sorted(int(i) for i in rng.integers(0, len(content) + 1, 2))
        end = min(end, start + int(rng.choice([1, 8, len(content)])))
        tokens = list(re.finditer(rb'"[^"]*"|-?\d[\d.e-]*', content))
        match int(rng.integers(5)):
            case 0:
                content = content[:start]
            case 1:
                content = content[:start] + content[end:]
            case 2:
                content = content[:start] + rng.bytes(end - start) + content[end:]
            case 3:
                content = content[:end] + content[start:]
            case 4 if tokens:
                token = tokens[rng.integers(len(tokens))]
                value = JSON_VALUES[rng.integers(len(JSON_VALUES))]
                content = content[: token.start()] + value + content[token.end() :]
    return content


class Retrained(Exception):
    """A run would be made again."""


def files(rng: np.random.Generator) -> str:
    """Return how a damaged file was read, if it was neither refused nor read as it was."""
    path = list(kept())[rng.integers(len(kept()))]
    content, read, expected = kept()[path]
    new = changed(content, rng)
    path.write_bytes(new)
    what = f"{path.name} with {new[:300]!r}"
    try:
        with warnings.catch_warnings(), mock.patch.object(grid, "run_job", side_effect=Retrained):
            warnings.simplefilter("ignore")
            found = repr(read())
    except Retrained:
        return ""
    except ValueError as error:
        place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        ours = place.is_relative_to(Path(epochlab.__file__).parent)
        return "" if ours else f"{what}: {error!r} from {place}"
    except Exception as error:
        return f"{what}: {error!r}"
    finally:
        for other, (before, *_) in kept().items():
            other.write_bytes(before)
    # Numbers may be others: no digest of a file protects from who wants that.
    same = re.sub(r"[-\d.e]+|nan|inf", "", found) == re.sub(r"[-\d.e]+|nan|inf", "", expected)
    return "" if same else f"{what}: read as {found[:300]}"


WHAT = {"plans": plans, "curves": curves, "arguments": arguments, "files": files}


def failure(what: str, number: int, seed: int) -> str:
    """Return what is wrong in a case, by its number."""
    return WHAT[what](np.random.default_rng([seed, number]))


def main() -> int:
    parser = argparse.ArgumentParser(description="Try random cases.")
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("cases", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    found: dict[str, int] = {}
    for number in range(options.cases):
        if message := failure(options.what, number, options.seed):
            kind = message.partition("(")[0] + message.rpartition(": ")[2][:60]
            found[kind] = found.get(kind, 0) + 1
            if found[kind] == 1:
                print(f"{number}: {message}", flush=True)
    wrong = sum(found.values())
    print(f"{options.what}, seed {options.seed}: {options.cases:,} cases, {wrong} wrong")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
