"""One training run with whole epochs compiled, over the real Keras model and optimizer.

`fit` crosses from Python to TensorFlow once per batch, which is most of the time of a small
batch. Here a `tf.while_loop` runs all batches of an epoch, or the steps up to the next
validation, in one call. The rest is what `fit` does: the model's own loss, optimizer, metrics.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from .._arguments import instance, integer
from ..data.loading import Data
from ..steps import TrainingPlan
from ..stopping.following import Rule, StopReason, StopReport, advance, begin, report
from .preparing import check_jit_compile, check_parts, check_rule_of, make_plan
from .program import Batches, program_of


@dataclass(frozen=True, eq=False)
class Run:
    """What `train` returns.

    `steps` is the loss of each step, shape `(steps,)`, as `fit` computes it before the update.
    `epochs` has a row per validation: `epoch` and `step` (0-based, the ones just ended), `loss`,
    the model's metrics, and the same with `val_` and, if asked for, `test_`, all measured with
    the weights of that moment. `seconds` is the time of the training steps alone,
    `compile_seconds` what compiling them took. `report` tells how the run ended.
    """

    steps: np.ndarray
    epochs: pd.DataFrame
    seconds: float
    compile_seconds: float
    plan: TrainingPlan
    report: StopReport

    def __repr__(self) -> str:
        last = self.epochs.iloc[-1]
        return (
            f"Run of {len(self.steps):,} steps in {self.seconds:.2f} s: loss {last['loss']:.4g}, "
            f"val_loss {last['val_loss']:.4g}. {self.report}"
        )


def train(
    model: keras.Model,
    data: Data,
    *,
    batch_size: int = 32,
    epochs: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    rule: Rule | None = None,
    monitor: str = "val_loss",
    validate_every: int | None = None,
    evaluate_test: bool = False,
    jit_compile: bool | str = "auto",
) -> Run:
    """Train a compiled Keras model for `epochs` or for `steps`, several times as fast as `fit`.

    Honours what the model was compiled with: loss, optimizer, schedule, gradient accumulation,
    metrics, and its layers' regularizers, BatchNormalization and Dropout. The data must fit on
    the device. Each epoch has every sample once, in an order of its own drawn from `seed`; the
    short last batch is kept. Training, validation and, with `evaluate_test`, test data are
    measured after each epoch, or every `validate_every` steps, and at the end. A loss that is
    not finite ends the run; `Run.report` says so. Ctrl-C ends it, too, at the end of the epoch.
    A second call trains on, through the same orders unless it has another `seed`.

    A `rule` such as `Patience(5)` looks at `monitor`, a column of `Run.epochs`, after each epoch.
    When it stops the run, and also when epochs run out or the run is interrupted, the model gets
    the weights of the best epoch back; `Run.report` is what `replay` says of the curve.

    `jit_compile` is Keras's: `True` compiles with XLA, `False` runs a plain graph, "auto" takes
    the faster one: XLA, but on a CPU not for convolutions, nor for random numbers outside of
    recurrent layers. On the same order the
    weights are those of `fit`: bit for bit as a plain graph, to about 1e-6 with XLA, where
    Dropout also draws other masks.

    Raises `ValueError` for a model that is not compiled, does not fit the data or has a
    `train_step` of its own, for both or neither of `epochs` and `steps`, for a batch larger than
    the training data, for a `monitor` that is not measured or a test score, and for a `rule` with
    `validate_every`; `TypeError` for what is no model, data, rule or count.

    >>> from epochlab import load_data
    >>> print("Loaded", end=" "); data = load_data(n_train=1_000); print(".")  # doctest: +ELLIPSIS
    Loaded ....
    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("sgd", loss, metrics=["accuracy"])
    >>> run = train(model, data, batch_size=32, epochs=2)
    >>> len(run.steps), list(run.epochs["epoch"])
    (64, [0, 1])
    """
    plan, steps = make_plan(data, batch_size, epochs, steps, model)
    every = steps if validate_every is None else integer("validate_every", validate_every)
    seed = integer("seed", seed, minimum=0)
    instance("evaluate_test", evaluate_test, bool, "True or False")
    check_jit_compile(jit_compile)
    parts = check_parts(data, evaluate_test)
    with _ctrl_c_held() as let_ctrl_c_through:
        program = program_of(model, data, parts, jit_compile)
        if rule is not None:
            check_rule_of(rule, monitor, model, validate_every)

        on_device = {
            prefix: tuple(map(tf.convert_to_tensor, part)) for prefix, part in parts.items()
        }
        x, y = on_device[""]
        started = time.perf_counter()
        program.compile(x, y, plan)
        compile_seconds = time.perf_counter() - started

        losses, rows, seconds, finite = [], [], 0.0, True
        follower = _Follower(rule, monitor, model)
        try:
            windows = _windows(plan, steps, every, each_epoch=validate_every is None, seed=seed)
            started = time.perf_counter()  # before the order of the batches is drawn
            for epoch, batches, done, validates in windows:
                losses.append(program.run(x, y, batches))
                seconds += time.perf_counter() - started
                finite = bool(np.isfinite(losses[-1]).all())
                if validates or not finite:
                    row: dict[str, float] = {"epoch": epoch, "step": done - 1}
                    for prefix, part in on_device.items():
                        measured = program.evaluate(*part)
                        row |= {prefix + name: value for name, value in measured.items()}
                    rows.append(row)
                    finite = finite and bool(np.isfinite(row["loss"]))  # the last update may do it
                    follower.see(row)
                if follower.reason is not StopReason.EPOCHS or not finite:
                    break
                let_ctrl_c_through()
                if hasattr(_thread, "stop") and _thread.stop.is_set():
                    raise CancelledError
                started = time.perf_counter()
            model.optimizer.finalize_variable_values(model.trainable_variables)  # with use_ema
        finally:
            follower.restore()

    ended = follower.report(follower.reason if finite else StopReason.NON_FINITE, epoch)
    return Run(np.concatenate(losses), pd.DataFrame(rows), seconds, compile_seconds, plan, ended)


@contextmanager
def _ctrl_c_held() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back; yield a function that lets through what came, as the end does.

    In TensorFlow's own Python code a `KeyboardInterrupt` may end the process with a segmentation
    fault, or leave a compiled function that cannot be called again.
    """
    handler = signal.getsignal(signal.SIGINT)
    held: list[tuple[Any, ...]] = []
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: None  # where no signal arrives, or none that Python handles
        return

    def let_through() -> None:
        if held:
            handler(*held.pop())

    signal.signal(signal.SIGINT, lambda *signalled: held.append(signalled))
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, handler)
        let_through()


def _windows(
    plan: TrainingPlan, steps: int, every: int, *, each_epoch: bool, seed: int
) -> Iterator[tuple[int, Batches, int, bool]]:
    """Cut the training at the end of each epoch, and after every `every` steps.

    Yields the epoch, the batches that run without a break, how many steps are done since training
    began, and whether a validation comes next.
    """
    per_epoch, n_full = plan.steps_per_epoch, plan.n_train // plan.batch_size
    done = 0
    while done < steps:
        epoch, first = divmod(done, per_epoch)
        if first == 0:
            order = np.random.default_rng([seed, epoch]).permutation(plan.n_train)
            full, short = np.split(order.astype(np.int32), [n_full * plan.batch_size])
        last = min(per_epoch, first + every - done % every, first + steps - done)
        batches: Batches = []
        if first < n_full:
            batches.append((full.reshape(n_full, -1), first, min(last, n_full)))
        if last > n_full:
            batches.append((short[None], 0, 1))
        done += last - first
        ends_epoch = each_epoch and last == per_epoch
        yield epoch, batches, done, ends_epoch or done % every == 0 or done == steps


class _Follower:
    """Follows a rule, if there is one, and keeps the weights of the best epoch."""

    def __init__(self, rule: Rule | None, monitor: str, model: keras.Model) -> None:
        self.rule, self.monitor, self.model = rule, monitor, model
        self.reason, self.state, self.best_weights = StopReason.EPOCHS, begin(), None

    def see(self, row: dict[str, float]) -> None:
        if self.rule is None:
            return
        value, loss = np.array([row[self.monitor]]), np.array([row["loss"]])
        self.state, stops = advance(self.rule, self.state, value, np.array([True]), loss)
        if self.state.improved[0]:
            self.best_weights = self.model.get_weights()
        if stops[0]:
            self.reason = self.rule.reasons(self.state)[0]

    def restore(self) -> None:
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def report(self, reason: StopReason, epoch: int) -> StopReport:
        stopped_epoch = None if reason is StopReason.EPOCHS else epoch
        if self.rule is None:
            return StopReport(reason, epoch + 1, stopped_epoch)
        return report(self.state, reason, stopped_epoch, restored=True)


_thread = threading.local()


def stop_with(event: threading.Event) -> None:
    """Let what this thread trains from now on end with `CancelledError` once the event is set."""
    _thread.stop = event
