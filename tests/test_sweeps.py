"""Sweeps: equal to single runs, compiled once, and nothing finished is ever lost."""

import io
import json
import os
import pickle
import random
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial, partialmethod
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import PROCESSES, START
from keras import layers
from tqdm import tqdm

from epochlab import Data, Patience, Target, load_data, sweep, sweep_rules, train
from epochlab._files import write
from epochlab.training import folders, grid, jobs
from epochlab.training import program as compiling

GRID = {"learning_rate": [0.05, 0.2], "batch_size": [64]}


def data(seed, n_train=200):
    return load_data(n_train=n_train, n_validation=100, n_test=100, seed=seed)


def compiled(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def dense(learning_rate, width=8):
    parts = [layers.Flatten(), layers.Dense(width, activation="relu"), layers.Dense(10)]
    return compiled(keras.Sequential(parts), keras.optimizers.SGD(learning_rate))


def regularized(learning_rate):
    parts = [
        keras.Input((28, 28, 1)),
        layers.Flatten(),
        layers.Dense(8, activation="relu", kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.Dense(10),
    ]
    return compiled(keras.Sequential(parts), keras.optimizers.Adam(learning_rate))


def scheduled(learning_rate):
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, 8)
    parts = [layers.Conv2D(2, 3), layers.Dropout(0.3), layers.Flatten(), layers.Dense(10)]
    return compiled(keras.Sequential(parts), keras.optimizers.SGD(schedule, momentum=0.9))


def residual(learning_rate):
    inputs = keras.Input((28, 28, 1))
    x = layers.Dense(8)(layers.Flatten()(inputs))
    outputs = layers.Dense(10)(x + layers.Dense(8, activation="relu")(x))
    optimizer = keras.optimizers.AdamW(learning_rate, gradient_accumulation_steps=2)
    return compiled(keras.Model(inputs, outputs), optimizer)


class Custom(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(10)

    def call(self, x):
        return self.dense(self.flatten(x))


def custom(learning_rate):
    return compiled(Custom(), keras.optimizers.SGD(learning_rate))


def assert_same(a, b):
    pd.testing.assert_frame_equal(
        a.drop(columns="seconds"), b.drop(columns="seconds"), check_exact=True
    )


@pytest.fixture(scope="module")
def expected():
    """The table that every way of running this sweep must give."""
    return sweep(dense, data, GRID, seeds=4, epochs=2)


@pytest.fixture
def at_a_time(monkeypatch):
    """Sets how many runs go side by side."""
    return lambda n: monkeypatch.setattr(grid, "side_by_side", lambda: n)


@pytest.fixture
def programs(monkeypatch):
    """The compiled models of this test alone."""
    monkeypatch.setattr(jobs, "models", {})
    monkeypatch.setattr(grid, "side_by_side", lambda: 1)
    return lambda: [compiling._programs[model] for idle in jobs.models.values() for model in idle]


def test_table(expected):
    measured = [p + name for p in ("", "val_", "test_") for name in ("loss", "accuracy")]
    counts = ["seed", "epochs", "steps", "seconds"]
    assert [*expected][:6] == ["learning_rate", "batch_size", *counts]
    assert sorted([*expected][6:-1]) == sorted(measured) and [*expected][-1] == "reason"
    assert expected["learning_rate"].tolist() == [0.05] * 4 + [0.2] * 4
    assert expected["seed"].tolist() == [0, 1, 2, 3] * 2
    assert (expected["epochs"] == 2).all() and (expected["steps"] == 8).all()
    assert (expected["reason"] == "epochs").all() and (expected["seconds"] > 0).all()
    assert expected["loss"].nunique() == 8  # each seed and rate another


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build_model", "shapes"),
    [(dense, 1), (regularized, 1), (scheduled, 2), (residual, 1), (custom, 0)],
)
def test_rows_are_single_runs_bit_for_bit_and_each_shape_is_compiled_once(
    build_model, shapes, programs
):
    table = sweep(build_model, data, GRID, seeds=[5, 7], epochs=2)
    assert len(programs()) == shapes  # a schedule's rate is a part of the program
    for program in programs():
        assert program._compiled.experimental_get_tracing_count() == 2  # a full batch, a short one

    keras.utils.set_random_seed(7)
    model = build_model(0.2)
    run = train(model, data(7), batch_size=64, epochs=2, seed=7, evaluate_test=True)
    row = table.iloc[-1].to_dict()
    assert (row["learning_rate"], row["seed"], row["steps"]) == (0.2, 7, len(run.steps))
    assert run.epochs.iloc[-1].drop(["epoch", "step"]).to_dict() == {
        name: row[name] for name in run.epochs if name not in ("epoch", "step")
    }
    assert row["reason"] == run.report.reason


def noisy(seed):
    return load_data(n_train=200, n_validation=100, n_test=100, label_noise=0.4, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Patience(1), Patience(30)], ids=str)
def test_a_rule_gives_what_sweep_rules_says(rule, tmp_path):
    grid, arguments = {"learning_rate": [0.5, 1.0]}, {"seeds": 3, "epochs": 12}
    stopped = sweep(dense, noisy, grid, rule=rule, cache=tmp_path, **arguments)
    recorded = sweep(dense, noisy, grid, curves=True, **arguments)
    expected = sweep_rules(recorded, [rule])
    if rule == Patience(1):
        assert (stopped["epochs"] < 12).all() and (stopped["reason"] == "patience").all()
    assert stopped["epochs"].tolist() == expected["epochs_run"].tolist()
    for name in set(stopped) - {"epochs", "steps", "seconds"}:
        assert stopped[name].tolist() == expected[name].tolist(), name
    assert (stopped["restored_epoch"] < stopped["epochs"] - 1).any()

    # From the cache, and not what another rule or none has left there.
    again = sweep(dense, noisy, grid, rule=rule, cache=tmp_path, **arguments)
    pd.testing.assert_frame_equal(again, stopped, check_exact=True)
    without = sweep(dense, noisy, grid, cache=tmp_path, **arguments)
    assert (without["epochs"] == 12).all() and "restored_epoch" not in without
    other = sweep(dense, noisy, grid, rule=Target(0.0), cache=tmp_path, **arguments)
    assert (other["epochs"] == 12).all()


def test_a_rule_with_curves_gives_them_up_to_the_stop():
    arguments = {"seeds": 2, "epochs": 12, "curves": True}
    grid = {"learning_rate": [1.0]}
    stopped = sweep(dense, noisy, grid, rule=Patience(1), **arguments)
    recorded = sweep(dense, noisy, grid, **arguments)
    expected = sweep_rules(recorded, [Patience(1)])
    assert stopped.groupby("seed")["epoch"].max().tolist() == expected["stopped_epoch"].tolist()
    assert sweep_rules(stopped, [Patience(1)])["restored_epoch"].tolist() == (
        stopped.drop_duplicates("seed")["restored_epoch"].tolist()
    )


@pytest.mark.slow
def test_a_second_sweep_and_names_given_by_keras_compile_nothing_anew(programs, expected):
    sweep(dense, data, GRID, seeds=2, epochs=1)
    assert_same(sweep(dense, data, GRID, seeds=4, epochs=2), expected)
    (program,) = programs()
    assert program._compiled.experimental_get_tracing_count() == 2
    sweep(dense, data, {"width": [9, 10], "learning_rate": [0.1]}, seeds=1, steps=1)
    assert len(programs()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["folder", "record.jsonl"])
def test_metrics_have_the_same_names_in_each_run(cache, tmp_path, at_a_time):
    def build_model(learning_rate):
        model = keras.Sequential([layers.Flatten(), layers.Dense(1, activation="sigmoid")])
        model.compile(keras.optimizers.SGD(learning_rate), "mse", metrics=[keras.metrics.AUC()])
        return model

    def data(seed):
        x = np.random.default_rng(seed).normal(size=(60, 2))
        return Data.of(x, (x[:, 0] > 0).astype("int32"))

    at_a_time(2)
    grid = {"learning_rate": [0.1, 0.2]}
    for _ in range(2):
        table = sweep(build_model, data, grid, seeds=3, epochs=1, cache=tmp_path / cache)
        assert table["val_auc"].notna().all() and not [n for n in table if n.startswith("auc_")]


def test_seeds_may_be_a_generator(expected):
    assert_same(sweep(dense, data, GRID, seeds=(n for n in range(4)), epochs=2), expected)


def test_models_that_differ_in_what_the_configuration_does_not_tell_share_nothing(programs):
    def losing(scale):
        def loss(y, y_pred):
            return scale * keras.losses.sparse_categorical_crossentropy(y, y_pred, True)

        model = keras.Sequential([layers.Flatten(), layers.Dense(10)])
        model.compile("sgd", loss)
        return model

    table = sweep(losing, data(0), {"scale": [1.0, 3.0]}, seeds=1, steps=1)
    assert table["loss"].nunique() == 2 and not programs()

    def adapted(shift):
        normalization = layers.Normalization(axis=None)
        normalization.adapt(data(0).x_train + shift)
        model = keras.Sequential([normalization, layers.Flatten(), layers.Dense(10)])
        return compiled(model, "sgd")

    table = sweep(adapted, data(0), {"shift": [0.0, 1.0]}, seeds=1, steps=1)
    assert table["loss"].nunique() == 2 and not programs()

    def decayed(excluded):
        model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])
        optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.9)
        if excluded:
            optimizer.exclude_from_weight_decay(var_names=["kernel"])
        return compiled(model, optimizer)

    table = sweep(decayed, data(0), {"excluded": [False, True]}, seeds=1, steps=2)
    assert table["loss"].nunique() == 2 and len(programs()) == 1


@pytest.mark.slow
def test_keys_go_where_they_are_named_and_the_rest_to_keyword_arguments():
    calls = []

    def build_model(learning_rate, batch_size, **rest):
        calls.append((learning_rate, batch_size, rest))
        return dense(learning_rate)

    def load(seed, n_train):
        calls.append((seed, n_train))
        return data(seed, n_train)

    grid = {"learning_rate": [0.1], "batch_size": [50], "n_train": [100, 150], "depth": [1]}
    table = sweep(build_model, load, grid | {"steps": [2, 3]}, seeds=[4])
    assert table["steps"].tolist() == [2, 3, 2, 3] and table["n_train"].tolist()[1:3] == [100, 150]
    loaded = [call for call in calls if len(call) == 2]
    assert loaded == [(4, 100), (4, 150)]  # once for all runs on it
    assert all(call == (0.1, 50, {"depth": 1}) for call in calls if len(call) == 3)


@pytest.mark.slow
def test_curves_have_a_row_per_epoch_and_a_diverged_run_ends_early(tmp_path):
    grid = {"learning_rate": [0.1, 1e30]}
    both = [
        sweep(dense, data, grid, seeds=2, epochs=3, curves=True, cache=cache)
        for cache in (None, tmp_path, tmp_path)
    ]
    assert_same(both[0], both[1])
    pd.testing.assert_frame_equal(both[1], both[2], check_exact=True)  # from the cache
    good = both[0][both[0]["learning_rate"] == 0.1]
    assert good["epoch"].tolist() == [0, 1, 2] * 2 and good["step"].tolist() == [6, 13, 20] * 2
    bad = both[0][both[0]["learning_rate"] == 1e30]
    assert (bad["reason"] == "non_finite").all() and (bad["steps"] < 21).all()
    last = sweep(dense, data, grid, seeds=2, epochs=3)
    assert last["val_loss"].iloc[0] == good["val_loss"].iloc[2]


def logged(folder, log, table):
    """Sweep with a cache, in a process of its own, naming each run in the log as it begins."""
    run_job = grid.run_job

    def _run(job):
        with open(log, "a", encoding="utf-8") as file:
            file.write(folders.path_of(Path(folder), job).name + "\n")
        return run_job(job)

    grid.run_job = _run
    sweep(dense, data, GRID, seeds=4, epochs=2, cache=folder).to_pickle(table)


def names(path):
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def start(folder, log):
    table = folder.parent / f"{log}.pickle"
    process = PROCESSES.Process(target=logged, args=(folder, folder.parent / log, table))
    process.start()
    return process, table


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path, expected):
    folder = tmp_path / "cache"
    moments = random.Random(3)
    for attempt in range(6):
        finished = {path.name for path in folder.glob("*.json")}
        process, table = start(folder, f"log{attempt}")
        if attempt < 5:
            log = tmp_path / f"log{attempt}"
            wanted = moments.randint(0, 2)  # runs begun, then a moment more
            while process.is_alive() and len(names(log)) < wanted:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.05))
            process.kill()
        process.join()
        assert not finished & set(names(tmp_path / f"log{attempt}"))
        assert all(json.loads(path.read_text()) for path in folder.glob("*.json"))
    assert process.exitcode == 0
    assert_same(pd.read_pickle(table), expected)
    assert len(list(folder.glob("*.json"))) == len(expected) + 1  # and the manifest


@pytest.mark.slow
def test_two_processes_on_one_cache_end_with_the_same_table(tmp_path, expected):
    folder = tmp_path / "cache"
    both = [start(folder, f"log{i}") for i in range(2)]
    for process, table in both:
        process.join()
        assert process.exitcode == 0
        assert_same(pd.read_pickle(table), expected)
    assert len(list(folder.iterdir())) == len(expected) + 1


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path, expected, monkeypatch):
    run_job, done = grid.run_job, []

    def _run(job):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(job)
        return run_job(job)

    monkeypatch.setattr(grid, "run_job", _run)
    monkeypatch.setattr(grid, "side_by_side", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        sweep(dense, data, GRID, seeds=4, epochs=2, cache=tmp_path)
    monkeypatch.setattr(grid, "run_job", lambda job: done.append(job) or run_job(job))
    assert_same(sweep(dense, data, GRID, seeds=4, epochs=2, cache=tmp_path), expected)
    assert len(done) == len(expected)
    done.clear()
    more = GRID | {"learning_rate": [0.05, 0.1]}  # the grid may change, the finished runs stay
    sweep(dense, data, more, seeds=4, epochs=2, cache=tmp_path)
    assert len(done) == 4


@pytest.mark.slow
@pytest.mark.parametrize("at_a_time", [1, 3])
def test_ctrl_c_ends_runs_that_are_under_way(tmp_path, monkeypatch, at_a_time):
    begun, ended = [], []
    ctrl_c = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))

    def counted(*arguments, **settings):
        begun.append(arguments)
        if len(begun) == 1 + at_a_time:
            ctrl_c.start()
        try:
            return train(*arguments, **settings)
        finally:
            ended.append(arguments)

    monkeypatch.setattr(jobs, "train", counted)
    monkeypatch.setattr(grid, "side_by_side", lambda: at_a_time)
    table = {"learning_rate": [0.05], "epochs": [1, *range(10**6, 10**6 + 5)]}
    # Where the tests run in the background, the signal may be ignored, and this would never end.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            sweep(dense, data, table, seeds=1, cache=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(begun) == len(ended) == 1 + at_a_time  # nothing goes on
    assert len(list(tmp_path.glob("*.json"))) == 1 + 1


@pytest.mark.slow
@pytest.mark.parametrize("build_model", [regularized, scheduled, residual])
def test_side_by_side_is_one_by_one_bit_for_bit(build_model, monkeypatch):
    arguments = {"seeds": 2, "epochs": 2, "curves": True}
    tables, threads = [], set()
    monkeypatch.setattr(
        jobs, "train", lambda *a, **k: threads.add(threading.get_ident()) or train(*a, **k)
    )
    for at_a_time in (1, 3):
        monkeypatch.setattr(jobs, "models", {})
        monkeypatch.setattr(grid, "side_by_side", lambda n=at_a_time: n)
        tables.append(sweep(build_model, data, GRID, **arguments))
        assert all(len(idle) <= at_a_time for idle in jobs.models.values())
    assert_same(*tables)
    assert len(threads) > 2


def test_side_by_side_are_different_batch_sizes_so_that_each_is_compiled_once(monkeypatch):
    monkeypatch.setattr(grid, "side_by_side", lambda: 2)
    two, begun, run_job = threading.Barrier(2, timeout=60), [], grid.run_job

    def together(job):
        begun.append(job.training["batch_size"])
        two.wait()
        return run_job(job)

    monkeypatch.setattr(grid, "run_job", together)
    jobs.models.clear()
    sweep(dense, data(0), {"learning_rate": [0.1], "batch_size": [40, 50]}, seeds=3, epochs=1)
    assert [set(begun[i : i + 2]) for i in (0, 2, 4)] == [{40, 50}] * 3
    assert [len(compiled) for compiled in jobs.models.values()] == [1, 1]


def test_a_run_that_fails_ends_the_sweep_at_once_and_keeps_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "side_by_side", lambda: 2)
    table = {"learning_rate": [0.05], "epochs": [1, 2], "batch_size": [64, 500]}
    with pytest.raises(ValueError, match="batch_size must be at most.*got 500"):
        sweep(dense, data, table, seeds=20, cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) < 10


SHARED = layers.Dense(10)


@pytest.mark.parametrize("shared", ["model", "layer"])
def test_a_model_that_is_not_new_is_refused_at_once(shared, monkeypatch):
    monkeypatch.setattr(jobs, "train", never)
    model = compiled(keras.Sequential([layers.Flatten(), layers.Dense(10)]), "sgd")

    def build_model():
        if shared == "model":
            return model
        return compiled(keras.Sequential([layers.Flatten(), SHARED]), "sgd")

    with pytest.raises(ValueError, match="build_model must return a new model each time"):
        sweep(build_model, data(0), {}, seeds=2, steps=1)


@pytest.mark.slow
def test_a_damaged_file_in_the_cache_is_set_aside_and_its_run_made_again(tmp_path, expected):
    arguments = {"seeds": 2, "epochs": 2, "cache": tmp_path}
    table = sweep(dense, data, GRID, **arguments)
    cut, piped, of, _ = sorted(set(tmp_path.glob("*.json")) - {tmp_path / "manifest.json"})
    cut.write_bytes(before := cut.read_bytes()[:90])
    of.write_text(of.read_text().replace('"data"', '"date"'))
    piped.unlink()
    os.mkfifo(piped)
    names = "|".join(path.name for path in (cut, piped, of))
    with pytest.warns(UserWarning, match=f"damaged file, .*({names})") as warned:
        assert_same(sweep(dense, data, GRID, **arguments), table)
    assert len(warned) == 3
    assert cut.with_suffix(".damaged").read_bytes() == before
    assert_same(sweep(dense, data, GRID, **arguments), table)

    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(b'{"keras"')
    with pytest.raises(ValueError, match="manifest.json, which is damaged"):
        sweep(dense, data, GRID, **arguments)
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(ValueError, match="cache must hold files; got .*manifest.json"):
        sweep(dense, data, GRID, **arguments)


def test_a_cache_file_has_the_users_mode_and_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        sweep(dense, data, GRID, seeds=1, steps=1, cache=tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}

    def full(*_):
        raise OSError("no space left")

    names = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        sweep(dense, data, GRID, seeds=[5], steps=1, cache=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names


def test_numbers_come_back_from_the_cache_as_they_were(tmp_path):
    measured = {"loss": 0.1 + 0.2, "nan": float("nan"), "big": float("inf"), "small": 5e-324}
    write(tmp_path / "run.json", folders._encoded(measured))
    assert repr(json.loads((tmp_path / "run.json").read_text())) == repr(measured)


def test_a_cache_of_something_else_is_refused_and_left_alone(tmp_path):
    arguments = {"seeds": [1], "steps": 2, "cache": tmp_path}
    grid = {"learning_rate": [0.1]}
    sweep(dense, data, grid, **arguments)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for build_model, load, message in (
        (partial(dense, width=9), data, r"layers\[\d\].config.units 8, this sweep 9"),
        (dense, partial(data, n_train=199), "data.description '.*200 train.*199 train"),
        (dense, lambda seed: data(seed + 1), "data.sha256"),
    ):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            sweep(build_model, load, grid, **arguments)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(keras.__version__, "3.0"))
    with pytest.raises(ValueError, match="keras '3.0', this sweep"):
        sweep(dense, data, {"learning_rate": [0.2]}, **arguments)
    manifest.write_bytes(before["manifest.json"])
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="cache must be a folder"):
        sweep(dense, data, grid, seeds=1, steps=2, cache=manifest)
    with pytest.raises(TypeError, match="grid must hold numbers.* kept in a cache.*not JSON"):
        rates = [keras.optimizers.schedules.CosineDecay(0.1, 8)]
        sweep(dense, data, {"learning_rate": rates}, seeds=1, steps=2, cache=tmp_path)


OWN = """
import keras

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(10)

    def call(self, x):
        return {call}

def loss(y_true, y_pred):
    return {scale} * keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

def build_model(learning_rate):
    model = Net()
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    return model
"""


@pytest.mark.parametrize("change", [{"scale": 5}, {"call": "-self.dense(self.flatten(x))"}])
def test_another_code_of_a_model_of_ones_own_is_refused(tmp_path, change):
    def own(name, **parts):
        path, module = tmp_path / f"{name}.py", {"__name__": "models"}
        path.write_text(OWN.format(**{"scale": 1, "call": "self.dense(self.flatten(x))"} | parts))
        exec(compile(path.read_text(), path, "exec"), module)
        return module["build_model"]

    arguments = {"grid": {"learning_rate": [0.1]}, "seeds": 1, "steps": 1, "cache": tmp_path / "a"}
    table = sweep(own("first"), data, **arguments)
    assert_same(sweep(own("again"), data, **arguments), table)
    with pytest.raises(ValueError, match="code 'build_model .*', this sweep 'build_model "):
        sweep(own("other", **change), data, **arguments)
    with pytest.raises(ValueError, match="build_model must be written in a file or a notebook"):
        sweep(eval("lambda: custom(0.1)", {"custom": custom}), data, **arguments | {"grid": {}})
    files = [json.loads(path.read_text()) for path in (tmp_path / "a").glob("*.json")]
    assert [file.get("code", "").split(" ")[0] for file in files if "rows" in file] == [
        "build_model"
    ]
    known = eval("lambda: dense(0.1)", {"dense": dense})  # its configuration tells all
    sweep(known, data, **arguments | {"grid": {}})


@pytest.mark.parametrize("n", [1, 2])
def test_random_numbers_go_on_as_if_there_had_been_no_sweep(n, at_a_time, tmp_path):
    at_a_time(n)

    def drawn():
        of_keras, of_tensorflow = keras.random.uniform(()), tf.random.uniform(())
        numbers = [random.random(), np.random.rand(), of_keras, of_tensorflow]  # noqa: NPY002
        return [float(number) for number in numbers]

    def after(**cache):
        keras.utils.clear_session()  # in Keras 3.11 its generator goes on, whatever the seed
        keras.utils.set_random_seed(11)
        drawn()
        if cache:
            sweep(dense, data, {"learning_rate": [0.1]}, seeds=2, steps=1, **cache)
        return drawn()

    assert after(cache=None) == after() and after(cache=tmp_path) == after()

    tf.random.set_seed(None)  # as a notebook begins: each fit is to have an order of its own
    sweep(dense, data, {"learning_rate": [0.1]}, seeds=2, steps=1)
    assert tf.compat.v1.random.get_seed(None) == (None, None)


@pytest.mark.slow
def test_random_numbers_drawn_by_another_thread_change_no_run():
    legacy, by_name = np.random, np.random.mtrand._rand.normal  # as after an import by name

    def draw():
        for module in (random, legacy):
            module.seed(5)
            module.random()

    def disturbed(learning_rate):
        thread = threading.Thread(target=draw)  # as dask's workers have many
        thread.start()
        thread.join()
        drawn.append([random.random(), legacy.normal(), by_name()])
        return dense(learning_rate)

    drawn, before = [], (random.random, legacy.normal)
    table = sweep(disturbed, data, GRID, seeds=[3], epochs=1)
    assert (random.random, legacy.normal) == before
    keras.utils.set_random_seed(3)
    single = [random.random(), legacy.normal(), by_name()]
    assert all(numbers == single for numbers in drawn)
    model = dense(0.2)
    run = train(model, data(3), batch_size=64, epochs=1, seed=3, evaluate_test=True)
    assert table["test_loss"].iloc[1] == run.epochs["test_loss"].iloc[-1]


def test_a_random_function_imported_by_name_within_a_run_serves_all_threads_later():
    with jobs._undisturbed(0), jobs._undisturbed(1):  # the data are loaded within build
        normal = np.random.normal

    def drawn(seed, meanwhile=lambda: None):
        with jobs._undisturbed(seed):
            with jobs._undisturbed(seed):
                meanwhile()
            return [normal(), np.random.normal()]  # noqa: NPY002

    with ThreadPoolExecutor(1) as executor:
        first, second = (executor.submit(drawn, 2).result() for _ in range(2))
        assert first == second == drawn(2, lambda: executor.submit(normal).result())
    np.random.seed(2)  # noqa: NPY002
    assert normal() == first[0]


@pytest.mark.slow
def test_threads_share_one_tensorflow(expected):
    with ThreadPoolExecutor(3) as executor:
        assert_same(sweep(dense, data, GRID, seeds=4, epochs=2, executor=executor), expected)


def dying(seed, marker):
    """Load the data, but end the process on seed 2, once."""
    if seed == 2 and marker.exists():
        marker.unlink()
        os._exit(1)
    return data(seed)


@pytest.mark.slow
def test_a_worker_that_dies_loses_no_finished_run(tmp_path, expected):
    marker, cache = tmp_path / "marker", tmp_path / "cache"
    marker.touch()
    load = partial(dying, marker=marker)
    arguments = {"seeds": 4, "epochs": 2, "cache": cache}
    with ProcessPoolExecutor(1, PROCESSES) as executor, pytest.raises(BrokenProcessPool):
        sweep(dense, load, GRID, executor=executor, **arguments)
    kept = len(list(cache.glob("*.json"))) - 1
    assert kept == 4  # seeds 0 and 1, both rates
    assert_same(sweep(dense, load, GRID, **arguments), expected)


def failing(seed):
    if seed == 0:
        raise OSError("no such data")
    return data(seed)


@pytest.mark.slow
def test_a_run_that_fails_elsewhere_lets_the_others_finish(tmp_path):
    with ThreadPoolExecutor(2) as executor, pytest.raises(OSError, match="no such data"):
        sweep(dense, failing, GRID, seeds=3, steps=1, cache=tmp_path, executor=executor)
    assert len(list(tmp_path.glob("*.json"))) == 1 + 4


@pytest.mark.slow
def test_on_a_dask_cluster_of_two_workers_one_of_which_dies(tmp_path, expected, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", START)
    distributed = pytest.importorskip("distributed")
    marker = tmp_path / "marker"
    marker.touch()
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        load = partial(dying, marker=marker)
        executor = client.get_executor()
        assert_same(sweep(dense, load, GRID, seeds=4, epochs=2, executor=executor), expected)
    assert not marker.exists()


def test_progress_shows_in_a_terminal_and_nowhere_else(capsys, monkeypatch):
    sweep(dense, data, GRID, seeds=1, steps=1)
    captured = capsys.readouterr()
    assert not captured.err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    # Every step shows, also one that comes less than a tenth of a second after the one before it.
    monkeypatch.setattr(tqdm, "__init__", partialmethod(tqdm.__init__, mininterval=0))
    sweep(dense, data, GRID, seeds=1, steps=1)
    assert "2/2" in terminal.getvalue()


def never(*_):
    raise AssertionError("nothing may run before the arguments are checked")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epochs": None}, ValueError, "give either epochs or steps.*neither"),
        ({"steps": 3}, ValueError, "give either epochs or steps.*epochs=1 and steps=3"),
        ({"grid": {"a": [1], "steps": [2]}}, ValueError, r"epochs=1 and grid\['steps'\]"),
        ({"grid": {"a": [1], "width": [2]}}, ValueError, "'width', which nobody takes.*'a'"),
        ({"grid": {}}, TypeError, "build_model must take the call build_model.*of grid.*'a'"),
        ({"data": lambda seed, n: never()}, TypeError, "data must take the call data.seed.*'n'"),
        ({"data": [1, 2]}, TypeError, "data must be a Data"),
        (
            {"build_model": keras.Sequential()},
            TypeError,
            "a function that returns a compiled model",
        ),
        ({"grid": [("a", [1])]}, TypeError, "grid must be a mapping"),
        ({"grid": {"a": []}}, ValueError, r"grid\['a'\] must hold.*none"),
        ({"grid": {"a": "adam"}}, TypeError, r"grid\['a'\] must be a list"),
        ({"grid": {"a": 3}}, TypeError, r"grid\['a'\] must be a list"),
        ({"grid": {"a": np.array(3)}}, TypeError, r"grid\['a'\] must be a list"),
        ({"grid": {"a": [1, 2, 1]}}, ValueError, r"grid\['a'\] must hold different.*1 twice"),
        ({"grid": {"a": [1], "batch_size": [0]}}, ValueError, r"grid\['batch_size'\].*got 0"),
        ({"grid": {"a": [1], "loss": ["mse"]}}, ValueError, "key 'loss'"),
        ({"epochs": 2.0}, TypeError, "epochs must be an integer"),
        ({"seeds": 0}, ValueError, "n must be an integer, at least 1"),
        ({"seeds": np.array(0)}, ValueError, "n must be an integer, at least 1"),
        ({"seeds": np.array(1.0)}, TypeError, "n must be an integer, at least 1"),
        ({"seeds": [1, 1]}, ValueError, "seeds must hold different values.*1 twice"),
        ({"seeds": [-1]}, ValueError, "each of seeds must be an integer, at least 0"),
        ({"seeds": [2**32]}, ValueError, "below 2..32"),
        ({"curves": 1}, TypeError, "curves must be True or False"),
        ({"cache": 3}, TypeError, "cache must be the path"),
        ({"cache": ""}, ValueError, "cache must be the path of a folder, or.*got ''"),
    ],
)
def test_bad_input_is_refused_at_once(change, error, message):
    arguments = {"build_model": lambda a: never(), "data": never, "grid": {"a": [1]}, "epochs": 1}
    with pytest.raises(error, match=message):
        sweep(**(arguments | change))


def test_what_functions_return_is_checked():
    with pytest.raises(TypeError, match="what data returns"):
        sweep(dense, lambda seed: 3, GRID, seeds=1, steps=1)
    with pytest.raises(TypeError, match="what build_model returns"):
        sweep(lambda: 3, data, {}, seeds=1, steps=1)
    with pytest.raises(ValueError, match="must be compiled"):
        sweep(lambda: keras.Sequential([layers.Flatten()]), data, {}, seeds=1, steps=1)
    with pytest.raises(ValueError, match="metric's name.*accuracy"):
        sweep(lambda accuracy: dense(0.1), data, {"accuracy": [1]}, seeds=1, steps=1)


def test_what_cannot_travel_is_named_before_the_first_run():
    with ProcessPoolExecutor(1, PROCESSES) as executor:
        with pytest.raises(ValueError, match="build_model must be picklable"):
            sweep(lambda: never(), data, {}, seeds=1, steps=1, executor=executor)
        with pytest.raises(ValueError, match="data must be picklable"):
            sweep(dense, lambda seed: never(), GRID, seeds=1, steps=1, executor=executor)
    assert pickle.dumps(dense)
