"""The compiled functions of a model: its training steps and its evaluation."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, proxy

import keras
import numpy as np
import tensorflow as tf

from .._keras import loss_tracker, omit_tracing_warning
from ..data.loading import Data
from ..steps import TrainingPlan
from .preparing import Parts, check_labels, check_model, use_xla

# Arrays of indices, a row per batch, each with the first row to run and the one after the last.
Batches = list[tuple[np.ndarray, int, int]]
_tracing = threading.Lock()
_EVALUATION_BATCH = 2_000  # rows at once: fast, and a convolution's activations stay in memory


class Program:
    """The compiled functions of one model as it is compiled now."""

    def __init__(self, model: keras.Model, jit_compile: bool | str, xla: bool) -> None:
        # A proxy, because a reference would keep the model, and its entry in _programs, alive.
        self.model, self.jit_compile, self.parts = proxy(model), jit_compile, _parts(model)
        self.n_classes: dict[object, int | None] = {}  # by shapes and types of data that it takes
        self.optimizer = model.optimizer
        self.variables = list(model.trainable_variables)
        self.optimizer.build(self.variables)
        self._traced: set[tuple[Any, ...]] = set()
        # Two shapes of batch are the rule, so that a trace for each is what is wanted.
        self._compiled = tf.function(self._run, jit_compile=xla)
        self._evaluation = tf.function(self._evaluate)
        self._part = tf.function(self._evaluate_part)
        for function in (self._compiled, self._evaluation, self._part):
            # Each model has traces of its own: from the third on, TensorFlow would warn of it.
            omit_tracing_warning(function)

    def is_current(self, model: keras.Model, jit_compile: bool | str) -> bool:
        then, now = self.parts, _parts(model)
        return self.jit_compile == jit_compile and list(map(id, then)) == list(map(id, now))

    def compile(self, x: tf.Tensor, y: tf.Tensor, plan: TrainingPlan) -> None:
        """Compile for both sizes of batch that the plan has, and run no step."""
        sizes = {plan.batch_size: plan.n_train // plan.batch_size}
        sizes.setdefault(plan.last_batch_size, 1)
        for size, count in sizes.items():
            self._call(x, y, np.zeros((count, size), np.int32), 0, 0)

    def run(self, x: tf.Tensor, y: tf.Tensor, batches: Batches) -> np.ndarray:
        """Train and return the loss of each step."""
        parts = [
            self._call(x, y, order, first, last).numpy()[first:last]
            for order, first, last in batches
        ]
        return np.concatenate(parts)

    def _call(
        self, x: tf.Tensor, y: tf.Tensor, order: np.ndarray, first: int, last: int
    ) -> tf.Tensor:
        # Tensors, because a Python number would be compiled in, and each new one anew.
        batches = (tf.constant(order), tf.constant(first), tf.constant(last))
        return self._run_traced(self._compiled, x, y, *batches)

    def _run_traced(self, function: Any, *tensors: tf.Tensor) -> Any:
        """Call a compiled function; trace it before for tensors of new shapes, one at a time.

        TensorFlow crashed once while three threads traced; that is Python's work, which they share
        anyhow. XLA compiles within the call, where it keeps no other thread waiting.
        """
        shapes = (function, *((tensor.shape, tensor.dtype) for tensor in tensors))
        if shapes not in self._traced:
            with _tracing:
                function.get_concrete_function(*tensors)
            self._traced.add(shapes)
        return function(*tensors)

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
        # Each time that a seed is set, TensorFlow prepares a function anew, a long one slowly.
        at_once = x.shape[0] <= 3 * _EVALUATION_BATCH
        if at_once:
            measured = self._run_traced(self._evaluation, x, y)
        else:
            measured = self._evaluate(x, y, partial(self._run_traced, self._part))
        return {name: float(value) for name, value in measured.items()}

    @tf.autograph.experimental.do_not_convert
    def _evaluate(
        self, x: tf.Tensor, y: tf.Tensor, part: Callable[..., None] | None = None
    ) -> dict[str, tf.Tensor]:
        self.model.reset_metrics()
        for start in range(0, x.shape[0], _EVALUATION_BATCH):
            rows = slice(start, start + _EVALUATION_BATCH)
            (part or self._evaluate_part)(x[rows], y[rows])
        return self.model.get_metrics_result()

    @tf.autograph.experimental.do_not_convert
    def _evaluate_part(self, x: tf.Tensor, y: tf.Tensor) -> None:
        self.model.test_step((x, y))


def _parts(model: keras.Model) -> list[object]:
    """Return what a program depends on; each `model.compile` makes a new tracker of the loss."""
    return [model.optimizer, loss_tracker(model), *model.trainable_variables]


_programs: WeakKeyDictionary[keras.Model, Program] = WeakKeyDictionary()


def program_of(model: keras.Model, data: Data, parts: Parts, jit_compile: bool | str) -> Program:
    """Return the model's program, compiled before if nothing changed since."""
    kind = tuple((array.shape[1:], array.dtype) for array in (data.x_train, data.y_train))
    program = _programs.get(model)
    if program is None or not program.is_current(model, jit_compile):
        n_classes = check_model(model, data)
        with _tracing:
            xla = use_xla(model, data.x_train, jit_compile)
        program = _programs[model] = Program(model, jit_compile, xla)
        program.n_classes[kind] = n_classes
    elif kind not in program.n_classes:
        program.n_classes[kind] = check_model(model, data)
    if (known := program.n_classes[kind]) is not None:
        check_labels(parts, known)
    return program
