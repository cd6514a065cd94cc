"""One training run with whole epochs compiled, over the real Keras model and optimizer.

`fit` crosses from Python to TensorFlow once per batch, which is most of the time of a small
batch. Here a `tf.while_loop` runs all batches of an epoch, or the steps up to the next
validation, in one call. The rest is what `fit` does: the model's own loss, optimizer, metrics.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary, proxy

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from .._arguments import instance, integer
from .._keras import loss_tracker, omit_tracing_warning
from ..data.loading import Data
from ..steps import TrainingPlan
from ..stopping.following import Rule, advance, begin, report
from ..stopping.reports import StopReason, StopReport
from .preparing import check_model, check_parts, check_rule_of, make_plan, use_xla

_EVALUATION_BATCH = 2_000  # rows at once: fast, and a convolution's activations stay in memory


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
    not finite ends the run; `Run.report` says so. A second call trains on,
    through the same orders unless it has another `seed`.

    A `rule` such as `Patience(5)` looks at `monitor`, a column of `Run.epochs`, after each epoch.
    When it stops the run, and also when epochs run out or the run is interrupted, the model gets
    the weights of the best epoch back; `Run.report` is what `replay` says of the curve.

    `jit_compile` is Keras's: `True` compiles with XLA, `False` runs a plain graph, "auto" takes
    XLA but for convolutions and random numbers on a CPU, where it is slow. On the same order the
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
    parts = check_parts(data, evaluate_test)
    program = _program(model, data, use_xla(model, jit_compile))
    if rule is not None:
        check_rule_of(rule, monitor, model, validate_every)

    on_device = {prefix: tuple(map(tf.convert_to_tensor, part)) for prefix, part in parts.items()}
    started = time.perf_counter()
    program.compile(*on_device[""], plan)
    compile_seconds = time.perf_counter() - started

    losses, rows, seconds, finite = [], [], 0.0, True
    follower = _Follower(rule, monitor, model)
    try:
        for window in _windows(plan, steps, every, each_epoch=validate_every is None, seed=seed):
            started = time.perf_counter()
            losses.append(program.run(*on_device[""], window))
            seconds += time.perf_counter() - started
            finite = bool(np.isfinite(losses[-1]).all())
            if window.validates or not finite:
                row = {"epoch": window.epoch, "step": window.done - 1}
                for prefix, part in on_device.items():
                    row |= {prefix + name: x for name, x in program.evaluate(*part).items()}
                rows.append(row)
                finite = finite and bool(np.isfinite(row["loss"]))  # the last update may do it
                follower.see(row)
            if follower.reason is not StopReason.EPOCHS or not finite:
                break
            _check_stopped()
        model.optimizer.finalize_variable_values(model.trainable_variables)  # with use_ema
    finally:
        follower.restore()

    reason = follower.reason if finite else StopReason.NON_FINITE
    return Run(
        steps=np.concatenate(losses),
        epochs=pd.DataFrame(rows),
        seconds=seconds,
        compile_seconds=compile_seconds,
        plan=plan,
        report=follower.report(reason, window.epoch),
    )


class _Window(NamedTuple):
    """Steps of one epoch that run without a break.

    `batches` are arrays of indices, one row per batch, each with the first row to run and the one
    after the last; `done` counts the steps since training began.
    """

    epoch: int
    batches: list[tuple[np.ndarray, int, int]]
    done: int
    validates: bool


def _windows(
    plan: TrainingPlan, steps: int, every: int, *, each_epoch: bool, seed: int
) -> Iterator[_Window]:
    """Cut the training at the end of each epoch, and after every `every` steps."""
    per_epoch, n_full = plan.steps_per_epoch, plan.n_train // plan.batch_size
    done = 0
    while done < steps:
        epoch, first = divmod(done, per_epoch)
        if first == 0:
            order = np.random.default_rng([seed, epoch]).permutation(plan.n_train)
            full, short = np.split(order.astype(np.int32), [n_full * plan.batch_size])
        last = min(per_epoch, first + every - done % every, first + steps - done)
        batches = []
        if first < n_full:
            batches.append((full.reshape(n_full, -1), first, min(last, n_full)))
        if last > n_full:
            batches.append((short[None], 0, 1))
        done += last - first
        ends_epoch = each_epoch and last == per_epoch
        yield _Window(epoch, batches, done, ends_epoch or done % every == 0 or done == steps)


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
        return report(self.state, reason, stopped_epoch=stopped_epoch)


class _Program:
    """The compiled functions of one model as it is compiled now."""

    def __init__(self, model: keras.Model, jit_compile: bool) -> None:
        # A proxy, because a reference would keep the model, and its entry in _programs, alive.
        self.model, self.jit_compile, self.parts = proxy(model), jit_compile, _parts(model)
        self.optimizer = model.optimizer
        self.variables = list(model.trainable_variables)
        self.optimizer.build(self.variables)
        # Two shapes of batch are the rule, so that a trace for each is what is wanted.
        self._compiled = tf.function(self._run, jit_compile=jit_compile)
        self._evaluation = tf.function(self._evaluate)
        for function in (self._compiled, self._evaluation):
            # Each model has traces of its own: from the third on, TensorFlow would warn of it.
            omit_tracing_warning(function)

    def is_current(self, model: keras.Model, jit_compile: bool) -> bool:
        then, now = self.parts, _parts(model)
        return self.jit_compile == jit_compile and list(map(id, then)) == list(map(id, now))

    def compile(self, x: tf.Tensor, y: tf.Tensor, plan: TrainingPlan) -> None:
        """Compile for both sizes of batch that the plan has, and run no step."""
        sizes = {plan.batch_size: plan.n_train // plan.batch_size}
        sizes.setdefault(plan.last_batch_size, 1)
        for size, count in sizes.items():
            self._call(x, y, np.zeros((count, size), np.int32), 0, 0)

    def run(self, x: tf.Tensor, y: tf.Tensor, window: _Window) -> np.ndarray:
        """Train on the window's batches and return the loss of each step."""
        parts = [
            self._call(x, y, batches, first, last).numpy()[first:last]
            for batches, first, last in window.batches
        ]
        return np.concatenate(parts)

    def _call(
        self, x: tf.Tensor, y: tf.Tensor, order: np.ndarray, first: int, last: int
    ) -> tf.Tensor:
        # Tensors, because a Python number would be compiled in, and each new one anew.
        return self._compiled(x, y, tf.constant(order), tf.constant(first), tf.constant(last))

    def _run(
        self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, first: tf.Tensor, last: tf.Tensor
    ) -> tf.Tensor:
        """Train on the batches `order[first:last]` and return their losses in their places."""
        losses = tf.TensorArray(tf.float32, size=order.shape[0])
        step = first  # not a tf.range, whose ends XLA compiles in, so that new ones take seconds
        while step < last:
            loss = self._step(tf.gather(x, order[step]), tf.gather(y, order[step]))
            losses = losses.write(step, tf.cast(loss, tf.float32))
            step += 1
        return losses.stack()

    @tf.autograph.experimental.do_not_convert
    def _step(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        # What keras.Model.train_step does, without updating metrics of weights that change.
        with tf.GradientTape() as tape:
            y_pred = self.model(x, training=True)
            loss = self.model.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return loss

    def evaluate(self, x: tf.Tensor, y: tf.Tensor) -> dict[str, float]:
        """Return what `model.evaluate` does: loss and metrics over all rows."""
        return {name: float(value) for name, value in self._evaluation(x, y).items()}

    @tf.autograph.experimental.do_not_convert
    def _evaluate(self, x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        self.model.reset_metrics()
        for start in range(0, x.shape[0], _EVALUATION_BATCH):
            rows = slice(start, start + _EVALUATION_BATCH)
            self.model.test_step((x[rows], y[rows]))
        return self.model.get_metrics_result()


def _parts(model: keras.Model) -> list[object]:
    """Return what a program depends on; each `model.compile` makes a new tracker of the loss."""
    return [model.optimizer, loss_tracker(model), *model.trainable_variables]


_programs: WeakKeyDictionary[keras.Model, _Program] = WeakKeyDictionary()


def _program(model: keras.Model, data: Data, jit_compile: bool) -> _Program:
    """Return the model's program, compiled before if nothing changed since."""
    check_model(model, data)
    program = _programs.get(model)
    if program is None or not program.is_current(model, jit_compile):
        program = _programs[model] = _Program(model, jit_compile)
    return program


_thread = threading.local()


def stop_with(event: threading.Event) -> None:
    """Let what this thread trains from now on end with `CancelledError` once the event is set."""
    _thread.stop = event


def _check_stopped() -> None:
    if hasattr(_thread, "stop") and _thread.stop.is_set():
        raise CancelledError
