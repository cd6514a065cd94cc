"""Records: read by later versions without data or models, and safe at any kill."""

import json
import os
import random
import re
import sys
import time
import types
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import PROCESSES
from keras import layers

from epochlab import AnyOf, Patience, Target, Warmup, load_data, sweep
from epochlab.training import grid, records
from epochlab.training.digests import code_digest, data_digest, rule_text

GRID = {"learning_rate": [0.05, 0.2], "batch_size": [64]}


def data(seed, n_train=100):
    return load_data(n_train=n_train, n_validation=50, n_test=50, seed=seed)


def dense(learning_rate, width=8):
    model = keras.Sequential([layers.Flatten(), layers.Dense(width), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss, metrics=["accuracy"])
    return model


def never(*_, **__):
    raise AssertionError("nothing may run")


def read(path):
    header, *runs = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return header, runs


def write(path, header, runs):
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *runs)))


def assert_same(a, b):
    a, b = a.drop(columns="seconds"), b.drop(columns="seconds")
    pd.testing.assert_frame_equal(a, b, check_exact=True)


ARGUMENTS = {"seeds": 2, "epochs": 2}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A record with all runs of this sweep, and the table that it gives."""
    path = tmp_path_factory.mktemp("records") / "dense.jsonl"
    return path, sweep(dense, data, GRID, cache=path, **ARGUMENTS)


@pytest.fixture
def record(recorded, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(recorded[0].read_bytes())
    return path


@pytest.mark.slow
def test_what_is_recorded_is_read_as_it_was_without_data_and_models(recorded, monkeypatch):
    path, table = recorded
    assert_same(table, sweep(dense, data, GRID, **ARGUMENTS))
    before = path.read_bytes()
    monkeypatch.setattr(grid, "run_job", never)
    monkeypatch.setattr(records.Job, "load", never)
    monkeypatch.setattr(records.Job, "build", never)
    again = sweep(dense, data, GRID, cache=path, **ARGUMENTS)
    pd.testing.assert_frame_equal(again, table, check_exact=True)  # seconds and types, too
    part = sweep(
        dense, data, {"learning_rate": [0.2], "batch_size": [64]}, cache=path, seeds=[1], epochs=2
    )
    pd.testing.assert_frame_equal(part, table[3:].reset_index(drop=True), check_exact=True)
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"curves": True}, {"rule": Patience(1), "monitor": "loss"}], ids=["curves", "rule"]
)
def test_curves_rules_and_runs_that_diverge_come_back(settings, tmp_path, monkeypatch):
    table = {"epochs": [2, 3], "learning_rate": [0.1, 1e30]}
    arguments = {"seeds": 1, "cache": tmp_path / "new" / "runs.jsonl", **settings}
    first = sweep(dense, data, table, **arguments)
    monkeypatch.setattr(grid, "run_job", never)
    again = sweep(dense, data, table, **arguments)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    reasons = first.groupby("learning_rate")["reason"].agg(set)
    assert reasons[1e30] == {"non_finite"} and first["loss"].isna().any()
    assert {"epochs"} <= reasons[0.1] <= {"epochs", "patience"}  # real digits may stop early
    monkeypatch.undo()
    arguments["cache"] = None
    assert_same(sweep(dense, data, table, **arguments), first)


def test_the_file_is_sorted_short_and_says_what_made_it(recorded):
    header, runs = read(recorded[0])
    assert header["keys"] == ["batch_size", "learning_rate"]
    assert header["source"] == data(0).source
    (made_by,) = header["made_by"]
    assert set(made_by) == {"epochlab", "keras", "tensorflow", "python", "device"}
    assert made_by["keras"] == keras.__version__ and "core" in made_by["device"]
    assert [(run["learning_rate"], run["seed"]) for run in runs] == [
        (rate, seed) for rate in (0.05, 0.2) for seed in (0, 1)
    ]
    run = runs[0]
    assert (run["limit"], run["epochs"], run["steps"]) == ("epochs=2", 2, 4)
    assert run["test_accuracy"] == round(run["test_accuracy"], 2)  # no 0.10999999940395355
    assert data_digest(data(0)).startswith(run["data_sha256"])
    assert sorted(path.name for path in recorded[0].parent.iterdir()) == [
        "dense.jsonl",
        "dense.jsonl.lock",
    ]


def test_new_runs_change_no_line_of_old_ones_and_other_limits_are_other_runs(record):
    old = record.read_text().splitlines()
    sweep(dense, data, {"learning_rate": [0.1], "batch_size": [64]}, cache=record, **ARGUMENTS)
    longer = sweep(dense, data, GRID, cache=record, seeds=1, epochs=3)
    assert (longer["epochs"] == 3).all()
    lines = record.read_text().splitlines()
    assert [line for line in lines if line in old] == old and len(lines) == 1 + 4 + 2 + 2
    assert [run["learning_rate"] for run in read(record)[1]] == [0.05] * 3 + [0.1] * 2 + [0.2] * 3


def test_other_versions_and_devices_are_read_and_each_run_says_what_made_it(record, monkeypatch):
    header, runs = read(record)
    for run in runs:
        run["test_loss"] = 0.5
    header["made_by"] = [{"keras": "4.0", "device": "a GPU"}]
    write(record, header, runs[:3])
    table = sweep(dense, data, GRID, cache=record, **ARGUMENTS)
    assert (table["test_loss"] == 0.5).tolist() == [True, True, True, False]
    header, runs = read(record)
    assert [maker["keras"] for maker in header["made_by"]] == ["4.0", keras.__version__]
    assert [run.get("made_by") for run in runs] == [None, None, None, 1]


def wider(learning_rate, width=9):
    model = keras.Sequential([layers.Flatten(), layers.Dense(width), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss, metrics=["accuracy"])
    return model


def later(seed):
    return data(seed + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build_model": wider}, "build_model 'dense .*', this sweep 'wider "),
        ({"build_model": partial(dense, width=9)}, "build_model 'dense .*', this sweep 'dense "),
        ({"data": later}, "data 'data .*', this sweep 'later "),
        ({"data": load_data(n_train=100)}, "data 'data .*', this sweep '[0-9a-f]{16}'"),
        ({"curves": True}, r"settings.curves False, this sweep True"),
        ({"rule": Patience(1)}, r"settings {'curves': False}, this sweep {.*Patience"),
        ({"grid": {"learning_rate": [0.05]}}, r"keys \['batch_size', 'learning_rate'\], this"),
    ],
)
def test_what_else_was_run_is_refused_by_name(record, change, message):
    before = record.read_bytes()
    arguments = {"build_model": dense, "data": data, "grid": GRID, "cache": record, **ARGUMENTS}
    with pytest.raises(ValueError, match=f"cache must be a record of the same.*{message}"):
        sweep(**(arguments | change))
    assert record.read_bytes() == before


def test_other_data_are_refused_where_data_are_loaded(record):
    header, runs = read(record)
    write(record, header | {"source": "MNIST itself"}, runs)
    sweep(dense, data, GRID, cache=record, **ARGUMENTS)  # all is there
    with pytest.raises(
        ValueError, match=f"source 'MNIST itself', this sweep '{re.escape(data(0).source)}"
    ):
        sweep(dense, data, GRID, cache=record, seeds=3, epochs=2)
    runs[0]["data_sha256"] = "0" * 12
    write(record, header, runs)
    with pytest.raises(ValueError, match="data of digest 000000000000 for seed 0, this sweep"):
        sweep(dense, data, GRID, cache=record, seeds=3, epochs=2)
    assert len(read(record)[1]) == 4


@pytest.mark.parametrize(("missing", "again"), [(1, 0), (2, 1), (40, 1)])
def test_a_line_cut_off_is_one_run_to_make_again(record, recorded, monkeypatch, missing, again):
    record.write_bytes(record.read_bytes()[:-missing])
    run_job, done = grid.run_job, []
    monkeypatch.setattr(grid, "run_job", lambda job: done.append(job) or run_job(job))
    assert_same(sweep(dense, data, GRID, cache=record, **ARGUMENTS), recorded[1])
    assert len(done) == again and len(read(record)[1]) == 4
    sweep(dense, data, GRID, cache=record, seeds=3, epochs=2)
    assert len(read(record)[1]) == 6


@pytest.mark.parametrize("text", ['{"my": "only copy"}', '{"my": "only', "my notes", "[1, 2]", "1"])
@pytest.mark.parametrize("before", [False, True])
def test_what_is_no_record_or_no_run_is_refused_and_left_alone(record, text, before):
    text = record.read_text() * before + text
    if before and text.endswith("only"):
        return  # may be a run's line that was cut off
    record.write_text(text)
    with pytest.raises(ValueError, match="cache must be a record.*runs.jsonl (is|has no header)"):
        sweep(dense, data, GRID, cache=record, seeds=3, epochs=2)
    assert record.read_text() == text


def test_a_link_stays_and_what_it_leads_to_is_filled(record, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.jsonl"
    link.symlink_to(record)
    sweep(dense, data, GRID, cache=link, seeds=3, epochs=2)
    assert link.is_symlink() and len(read(record)[1]) == 6


def test_data_of_several_sources_are_refused_before_training(tmp_path, monkeypatch):
    def named(seed, name):
        return replace(data(seed), source=name)

    monkeypatch.setattr(grid, "run_job", never)
    table = {"learning_rate": [0.1], "name": ["digits", "photos"]}
    with pytest.raises(ValueError, match="cache must be a folder, .* sources 'digits', 'photos'"):
        sweep(dense, named, table, seeds=2, epochs=1, cache=tmp_path / "runs.jsonl")
    assert not (tmp_path / "runs.jsonl").exists()


@pytest.mark.parametrize(
    ("line", "content"),
    [(2, "<<<<<<< HEAD"), (3, '{"seed": 1}'), (3, "[]"), (1, "{}"), (2, "\udcff")],
)
def test_a_damaged_line_is_named(record, line, content):
    lines = record.read_text().splitlines()
    lines[line - 1] = content
    damaged = "".join(f"{each}\n" for each in lines).encode(errors="surrogateescape")
    record.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"line {line} of .*runs.jsonl is damaged"):
        sweep(dense, data, GRID, cache=record, **ARGUMENTS)
    assert record.read_bytes() == damaged


def test_a_digest_that_is_none_is_named_too(record):
    lines = record.read_text().splitlines()
    lines[1] = re.sub('"data_sha256":"[^"]*"', '"data_sha256":null', lines[1])
    record.write_text("".join(f"{line}\n" for line in lines[:-1]))
    with pytest.raises(ValueError, match="runs.jsonl is damaged .*data_sha256 must be a digest"):
        sweep(dense, data, GRID, cache=record, **ARGUMENTS)


def test_an_epoch_that_not_all_measures_have_is_named(tmp_path):
    arguments = ARGUMENTS | {"curves": True, "cache": tmp_path / "runs.jsonl"}
    sweep(dense, data, GRID, **arguments)
    text = arguments["cache"].read_text()
    arguments["cache"].write_text(re.sub(r'"step":\[\d+,', '"step":[', text, count=1))
    with pytest.raises(ValueError, match="runs.jsonl is damaged"):
        sweep(dense, data, GRID, **arguments)


def test_what_is_no_file_and_keys_that_a_record_has_are_refused(tmp_path):
    folder, pipe = tmp_path / "folder.jsonl", tmp_path / "pipe.jsonl"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        with pytest.raises(ValueError, match="cache must be a file, as it ends in .jsonl"):
            sweep(dense, data, GRID, cache=path, **ARGUMENTS)
    path = tmp_path / "runs.jsonl"
    with pytest.raises(ValueError, match="grid must not have the key 'limit'"):
        sweep(lambda limit: never(), data, {"limit": [1]}, seeds=1, steps=1, cache=path)
    with pytest.raises(TypeError, match="grid must hold numbers"):
        sweep(dense, data, {"learning_rate": [np.tanh]}, seeds=1, steps=1, cache=path)
    build_model = eval("lambda: never()")
    with pytest.raises(ValueError, match="build_model must be written in a file or a notebook"):
        sweep(build_model, data, {}, seeds=1, steps=1, cache=path)
    assert not path.exists()


def sweeping(path, table, begun):
    """Sweep in a process of its own, adding to a file as each run begins."""
    run_job = grid.run_job

    def _run(job):
        with open(begun, "a", encoding="utf-8") as file:
            file.write(".")
        return run_job(job)

    grid.run_job = _run
    sweep(dense, data, GRID, cache=path, seeds=4, epochs=2).to_pickle(table)


@pytest.mark.slow
def test_killed_at_any_moment_and_filled_by_two_processes_at_once(tmp_path):
    path, moments = tmp_path / "runs.jsonl", random.Random(2)
    expected = sweep(dense, data, GRID, seeds=4, epochs=2)
    for attempt in range(4):
        last, processes = attempt == 3, []
        for i in range(2):
            table, begun = tmp_path / f"{i}.pickle", tmp_path / f"begun{attempt}"
            processes.append(PROCESSES.Process(target=sweeping, args=(path, table, begun)))
            processes[-1].start()
        kept = read(path)[1] if path.exists() else []
        while not last and not begun.exists() and any(p.is_alive() for p in processes):
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.5))
        for process in processes:
            if not last:
                process.kill()
            process.join()
        if path.exists():
            lines = path.read_bytes().split(b"\n")[:-1]  # the last may be cut off
            runs = [json.loads(line) for line in lines[1:]]
            assert all(run in runs for run in kept)
    for i in range(2):
        assert_same(pd.read_pickle(tmp_path / f"{i}.pickle"), expected)
    assert len(read(path)[1]) == len(expected)


LAYER = """
# {comment}
SCALE = {scale}

def helper(x):
    '''A docstring.'''
    return {quote}a{quote} * SCALE

def unused():
    return {unused}

def build_model(learning_rate{annotation}, depth={depth}):
    inner = lambda x: helper(x)
    return inner({argument})
"""
LAYOUT = {
    "scale": 2,
    "quote": "'",
    "unused": 1,
    "annotation": "",
    "depth": 1,
    "argument": "3",
    "comment": "a",
}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (
            {"quote": '"', "unused": 2, "annotation": ": float", "argument": "(3)", "comment": "b"},
            True,
        ),
        ({"scale": 3}, False),
        ({"depth": 2}, False),
        ({"argument": "3.0"}, False),
        ({"argument": "4"}, False),
    ],
)
def test_the_digest_of_code_is_of_what_it_does_and_not_of_its_layout(tmp_path, change, same):
    digests = []
    for name, settings in (("before", LAYOUT), ("after", LAYOUT | change)):
        path = tmp_path / f"{name}.py"
        path.write_text(LAYER.format(**settings))
        module = {"__name__": "models"}
        exec(compile(path.read_text(), path, "exec"), module)
        digests.append(code_digest("build_model", module["build_model"]))
    assert (digests[0] == digests[1]) is same
    # In all versions of Python, or else no later one reads what this one has recorded.
    assert digests[0] == "build_model 6ce36d391b28cf7e"


VALUES = {
    "a namespace": "from types import SimpleNamespace\nWIDTH = SimpleNamespace(width={})",
    "an object": "class C:\n    def __init__(self, n):\n        self.n = n\nWIDTH = C({})",
    "a dataclass": "from dataclasses import dataclass\n@dataclass(frozen=True, order=True)\n"
    "class C:\n    width: int = 1\nWIDTH = C({})",
    "its default": "from dataclasses import dataclass, field\n@dataclass\n"
    "class C:\n    width: list = field(default_factory=lambda: [{}])\nWIDTH = C",
    "a path": "from pathlib import Path\nWIDTH = Path(__file__).parent / 'of_{}.npz'",
    "NumPy's": "import numpy as np\nWIDTH = np.int64({})",
    "a set": "WIDTH = {{{}, 'a', 'b', 'c'}}",
    "an Enum": "from enum import Enum\nclass C(Enum):\n    A = 4\n    B = 8\nWIDTH = C({})",
    "a property": "class C:\n    @property\n    def width(self):\n        return {}\nWIDTH = C()",
    "a variable": "import keras\nWIDTH = keras.Variable({}.0)",
    "a decorator": "import functools\ndef wide(function):\n    @functools.wraps(function)\n"
    "    def wrapper():\n        return {}\n    return wrapper\n@wide\ndef WIDTH():\n    pass",
}


@pytest.fixture
def built_with(tmp_path, monkeypatch):
    """Write a module in a folder of its own, and return its `build_model`."""

    def build(folder, text):
        path = tmp_path / folder / "models.py"
        path.parent.mkdir()
        path.write_text(text + "\ndef build_model():\n    return WIDTH\n")
        module = types.ModuleType("models")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "models", module)
        exec(compile(path.read_text(), path, "exec"), vars(module))
        return module.build_model

    return build


@pytest.mark.parametrize("text", VALUES.values(), ids=VALUES)
def test_the_digest_of_code_is_of_the_values_that_it_uses(built_with, text):
    first, other, again = (
        code_digest("build_model", built_with(folder, text.format(value)))
        for folder, value in (("first", 4), ("other", 8), ("again", 4))
    )
    assert first == again != other


def test_what_cannot_be_told_from_others_is_refused_but_not_what_is_the_process_s(built_with):
    build_model = built_with("refused", "WIDTH = (i for i in [4])")
    with pytest.raises(ValueError, match="build_model must use values .* pickle 'generator'"):
        code_digest("build_model", build_model)
    lock = built_with("known", "import threading\nWIDTH = threading.Lock()")
    assert code_digest("build_model", lock) == "build_model c090a41a45943e32"


RULE = """
from dataclasses import dataclass
from epochlab import Rule

@dataclass(frozen=True)
class Own(Rule):
    n: int = 3
    def stops(self, state):
        return state.epochs_run >= self.n{more}
"""


def test_a_rule_of_ones_own_is_told_by_its_code_too_and_the_packages_by_their_text(built_with):
    def own(folder, more):
        built_with(folder, RULE.format(more=more) + "WIDTH = 1")
        return sys.modules["models"].Own()

    first, other, again = (own(str(i), more) for i, more in enumerate(("", " + 1", "")))
    assert repr(first) == repr(other) and rule_text(first) == rule_text(again) != rule_text(other)
    combined = [rule_text(AnyOf(Warmup(rule, 2), Target(0.5))) for rule in (first, other)]
    assert combined[0] != combined[1] and combined[0].startswith("AnyOf(Warmup(rule=Own(")
    assert (
        rule_text(AnyOf(Patience(2), Target(0.5)))
        == "AnyOf(Patience(patience=2), Target(value=0.5))"
    )


def test_another_rule_of_the_same_text_is_refused_by_all_that_keep_runs(built_with, tmp_path):
    def own(folder, more):
        built_with(folder, RULE.format(more=more) + "WIDTH = 1")
        return sys.modules["models"].Own()

    first, other = own("first", ""), own("other", " + 1")
    for cache in (tmp_path / "runs.jsonl", tmp_path / "folder"):
        arguments = {"seeds": 1, "epochs": 5, "cache": cache}
        runs = sweep(dense, data, GRID, rule=first, **arguments)
        assert runs["epochs"].tolist() == [3, 3]
        if cache.suffix:
            with pytest.raises(
                ValueError, match="cache must be a record of the same .*settings.rule"
            ):
                sweep(dense, data, GRID, rule=other, **arguments)
        else:
            runs = sweep(dense, data, GRID, rule=other, **arguments)
            assert runs["epochs"].tolist() == [4, 4]


class Subclass(keras.Model):
    """Keras makes its base a Functional when it is first called with inputs and outputs."""


def subclassed():
    inputs = keras.Input((2,))
    return Subclass(inputs, layers.Dense(1)(inputs))


def test_a_model_class_once_called_has_the_digest_of_before():
    before = code_digest("build_model", subclassed)
    subclassed()
    assert code_digest("build_model", subclassed) == before
