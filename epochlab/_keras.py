"""Every private name of Keras and TensorFlow that this package uses, each with its fallback.

A private name may be gone in the next release. Each function here has a test of what it finds
today and of what happens where the name is missing: unknown, never an error. The names:

- of a model: `_flatten_layers`, `_compile_metrics`, `_compile_loss`, `_loss_tracker`,
  `_outputs_struct`, `_symbolic_build`
- of what `compile` makes of metrics: `_user_metrics`, `_user_weighted_metrics`, `_flat_metrics`,
  `_flat_weighted_metrics`
- of a metric: `_direction`
- of a symbolic tensor: `_keras_history`
- of Keras's `EarlyStopping`: `_set_monitor_op`
- of an optimizer: `_learning_rate`, `_exclude_from_weight_decay`
- of a `tf.function`: `_omit_frequent_tracing_warning`
- of Keras itself: the counters of automatic names, the seed and its generator in `keras.src`
- of TensorFlow: the seed and the numbers drawn from it in `tensorflow.python.eager.context`
"""

import importlib
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def flatten_layers(model: keras.Model) -> list[Any]:
    """Return the model and all layers, those inside of others too; else those at the top."""
    flatten = getattr(model, "_flatten_layers", None)
    return [model, *model.layers] if flatten is None else list(flatten())


def compiled_parts(model: keras.Model) -> list[Any]:
    """Return what `compile` made of metrics and loss, each built with the first batch; else []."""
    parts = (getattr(model, name, None) for name in ("_compile_metrics", "_compile_loss"))
    return [part for part in parts if part is not None]


def built_apart(model: keras.Model, outputs: Any) -> Any:
    """Return a stand-in with the metrics that the first batch will give a model not yet built.

    Nothing of the model is built, and automatic names such as `auc_1` are not used up. `None`
    where unknown, also where Keras will refuse the loss or the metrics.
    """
    counters = name_counters()
    if counters is None:
        return None
    before = dict(counters)
    try:
        metrics, loss = model._compile_metrics, model._compile_loss
        taken = [loss_tracker(model), metrics, *(loss.metrics if loss else ())]
        rest = [metric for metric in model.metrics if not any(metric is part for part in taken)]
        if metrics is not None:
            user = metrics._user_metrics, metrics._user_weighted_metrics
            metrics = type(metrics)(*user, output_names=metrics.output_names)
            metrics.build(outputs, outputs)
        if loss is not None:
            loss = type(loss)(model.loss, output_names=loss.output_names)
            loss.build(outputs, outputs)
        rest += [taken[0], metrics, *(loss.metrics if loss else ())]
    except Exception:  # a name is gone; or of what is wrong, fit itself will tell
        return None
    finally:
        counters.clear()
        counters.update(before)
    built = [metric for metric in rest if metric is not None]
    names = getattr(model, "output_names", None)
    return SimpleNamespace(metrics=built, _compile_metrics=metrics, output_names=names)


def loss_tracker(model: keras.Model) -> Any:
    """Return the metric of the loss, which is another after each `compile`; else `None`."""
    return getattr(model, "_loss_tracker", None)


def outputs_struct(model: keras.Model) -> Any:
    """Return a functional model's outputs, nested as `call` returns them; else `None`."""
    return getattr(model, "_outputs_struct", None)


def producer(tensor: Any) -> Any:
    """Return the layer or operation that a symbolic tensor comes from; else `None`."""
    return getattr(getattr(tensor, "_keras_history", None), "operation", None)


def symbolic_build(model: keras.Model, data_batch: Any) -> None:
    """Build the model, its metrics and its optimizer from the shapes of a batch; else do nothing.

    With TensorFlow, `fit` leaves that to its first step; with JAX it does the same as this.
    """
    build = getattr(model, "_symbolic_build", None)
    if build is not None:
        build(data_batch=data_batch)


def logged_names(model: keras.Model) -> set[str] | None:
    """Return the names that the model's loss and metrics have in the logs.

    `None` where the first batch must show it, since they are not built yet, and where unknown. No
    metric needs a value for it: `F1Score` has none before its first batch.
    """
    names: set[str] = set()
    try:
        compiled = model._compile_metrics
        for metric in model.metrics:
            results = _results(compiled) if metric is compiled else {metric.name: _result(metric)}
            for name, result in results.items():
                names |= result.keys() if isinstance(result, dict) else {name}
    except (AttributeError, ValueError):  # a name is gone; not built
        return None
    return names


def _results(compiled: Any) -> dict[str, Any]:
    """Let Keras name the results of metrics, some of which may have none yet."""

    def stand_in(group: Any) -> Any:
        metrics = [
            SimpleNamespace(name=m.name, result=lambda m=m: _result(m)) for m in group.metrics
        ]
        return SimpleNamespace(output_name=group.output_name, metrics=metrics)

    flat = {
        name: [group and stand_in(group) for group in getattr(compiled, name)]
        for name in ("_flat_metrics", "_flat_weighted_metrics")
    }
    return type(compiled).result(SimpleNamespace(built=compiled.built, **flat))


def _result(metric: Any) -> Any:
    try:
        return metric.result()
    except Exception:  # whatever a metric raises that has seen nothing
        return None


def metric_mode(model: Any, monitor: str) -> str | None:
    """Return "min" or "max" for what a callback follows, `None` where Keras does not know it."""
    name = monitor.removeprefix("val_").removeprefix("train_")
    for output in getattr(model, "output_names", None) or ():
        name = name.removeprefix(f"{output}_")
    if name == "loss":
        return "min"
    for group in getattr(model, "metrics", ()):
        for metric in getattr(group, "metrics", ()):
            if metric.name == name:
                return {"up": "max", "down": "min"}.get(getattr(metric, "_direction", ""))
    return None


def fails_on_auto(model: keras.Model, monitor: str) -> bool:
    """Whether Keras's callbacks raise for mode "auto" after the first epoch; else `False`."""
    probe = keras.callbacks.EarlyStopping(monitor)
    probe.set_model(model)
    try:
        getattr(probe, "_set_monitor_op", lambda: None)()
    except ValueError:
        return True
    return False


def learning_rate_schedule(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return the schedule that sets the learning rate, `None` if there is none or it is unknown."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    rate = getattr(optimizer, "_learning_rate", None)
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def excludes_from_weight_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `exclude_from_weight_decay` was called, which no configuration tells."""
    return hasattr(optimizer, "_exclude_from_weight_decay")


def omit_tracing_warning(function: Any) -> None:
    """Let a `tf.function` be traced anew without a warning; else TensorFlow warns of it."""
    function._omit_frequent_tracing_warning = True


def name_counters() -> dict[str, int] | None:
    """Return the counters from which automatic names such as `auc_1` come, to be set back.

    `None` where unknown.
    """
    try:
        return _global_state().get_global_attribute("object_name_uids", defaultdict(int), True)
    except (ImportError, AttributeError):
        return None


@contextmanager
def names_from_the_start() -> Iterator[None]:
    """Let automatic names begin without a number, and go on afterwards as if none had been given.

    Keras counts them by thread: a metric's name would tell how many models came before it there.
    """
    counters = name_counters()
    if counters is None:
        yield
        return
    before = dict(counters)
    counters.clear()
    try:
        yield
    finally:
        counters.clear()
        counters.update(before)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Leave the global random numbers as they were: Python's, NumPy's, Keras's and TensorFlow's.

    Where TensorFlow's are unknown, its seed is set anew, to none if it had none, so that it draws
    again from the beginning; where Keras's are unknown, they stay as they are.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    seed, drawn = _tensorflow_numbers()
    of_keras: dict[str, Any] = {}
    with suppress(ImportError, AttributeError):
        for name in ("global_random_seed", "global_seed_generator"):
            of_keras[name] = _global_state().get_global_attribute(name)
        _global_state().set_global_attribute("global_seed_generator", None)  # it counts in place
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        tf.random.set_seed(seed)
        if drawn is not None:
            _tensorflow_context()._rng.setstate(drawn)
        for name, value in of_keras.items():
            _global_state().set_global_attribute(name, value)


def _tensorflow_numbers() -> tuple[int | None, Any]:
    """Return TensorFlow's seed, and how far it has drawn from it, each `None` if there is none."""
    try:
        context = _tensorflow_context()
        seed = context._seed
        return seed, None if seed is None else context._rng.getstate()
    except (ImportError, AttributeError):
        unset = tf.compat.v1.random.get_seed(None) == (None, None)
        return None if unset else tf.compat.v1.random.get_seed(0)[0], None


def _global_state() -> Any:
    return importlib.import_module("keras.src.backend.common.global_state")


def _tensorflow_context() -> Any:
    return importlib.import_module("tensorflow.python.eager.context").context()
