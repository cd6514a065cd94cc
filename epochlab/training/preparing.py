"""What `train` checks and decides before its first step."""

from typing import cast

import keras
import numpy as np
import tensorflow as tf

from .._arguments import instance, integer
from .._keras import flatten_layers, metric_mode
from ..data.loading import Data
from ..steps import TrainingPlan
from ..stopping.following import Rule, check_mode, check_rule
from ..stopping.recorders import check_train_step

PARTS = {"": "train", "val_": "validation", "test_": "test"}
Parts = dict[str, tuple[np.ndarray, np.ndarray]]


def check_parts(data: Data, evaluate_test: bool) -> Parts:
    """Return rows and labels by the prefix that their measures have."""
    parts = {}
    for prefix, name in PARTS.items():
        if prefix == "test_" and not evaluate_test:
            continue
        x, y = parts[prefix] = getattr(data, f"x_{name}"), getattr(data, f"y_{name}")
        if len(x) != len(y) or not len(x):
            raise ValueError(
                f"data must have one label in y_{name} for each row of x_{name}, and at least "
                f"one; got {len(y):,} labels for {len(x):,} rows."
            )
    return parts


def check_model(model: keras.Model, data: Data) -> int | None:
    """Try two rows, so that what does not fit is named here and not deep inside a graph.

    Returns how many classes the model has, if its labels are numbers of classes.
    """
    x, y = data.x_train[:2], data.y_train[:2]
    try:
        y_pred = model(x, training=False)
        measured = model.test_step((x, y))  # the loss and every metric
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"model must take rows of shape {x.shape[1:]} and have a loss and metrics for "
            f"labels of shape {y.shape[1:]} and type {y.dtype}; got: {reason}"
        ) from error
    if not model.trainable_variables:
        raise ValueError("model must have weights to train; got none that are trainable.")
    for name, value in measured.items():
        if np.ndim(value):
            raise ValueError(
                f"model must have metrics of one number each; {name} has {np.size(value)}. Give it "
                'an average, as in F1Score(average="macro").'
            )
    # The loss is a name, a function, or an object that shows it.
    sparse = "sparse" in str(model.loss).lower() and hasattr(y_pred, "shape")
    all_count = getattr(model.loss, "ignore_class", None) is None
    return y_pred.shape[-1] if sparse and all_count else None


def check_labels(parts: Parts, n_classes: int) -> None:
    for prefix, (_, y) in parts.items():
        if y.min() < 0 or y.max() >= n_classes:
            raise ValueError(
                f"data must have labels from 0 to {n_classes - 1}, as the model has {n_classes} "
                f"outputs; got {y.min()} to {y.max()} in y_{PARTS[prefix]}."
            )


def check_rule_of(rule: Rule, monitor: str, model: keras.Model, validate_every: int | None) -> None:
    check_rule(rule)
    if validate_every is not None:
        raise ValueError(f"validate_every must be None with a rule; got {validate_every!r}.")
    names = [prefix + name for prefix in ("", "val_") for name in model.get_metrics_result()]
    if monitor not in names:
        never = ": choosing on the test data spoils them" if "test_" in str(monitor) else ""
        raise ValueError(f"monitor must be one of {', '.join(names)}; got {monitor!r}{never}.")
    check_mode(rule, monitor, metric_mode(model, monitor))


def check_jit_compile(jit_compile: bool | str) -> None:
    automatic = isinstance(jit_compile, str) and jit_compile == "auto"  # a table compares by cells
    if not (automatic or isinstance(jit_compile, bool)):
        raise ValueError(f'jit_compile must be True, False or "auto"; got {jit_compile!r}.')


def use_xla(model: keras.Model, x: np.ndarray, jit_compile: bool | str) -> bool:
    """Return whether XLA is the faster way to train on rows like those of `x`.

    On a CPU it is not for convolutions; nor for random numbers, but that in a recurrent layer it
    gains more on the many small steps. Measured by `benchmarks/compiled.py`.
    """
    if isinstance(jit_compile, bool):
        return jit_compile
    if not all(layer.supports_jit for layer in flatten_layers(model)):
        return False
    if tf.config.list_logical_devices("GPU"):
        return True
    operations = " ".join(_operations(model, x))
    return "Conv" not in operations and ("Random" not in operations or "While" in operations)


def _operations(model: keras.Model, x: np.ndarray) -> set[str]:
    """Return the kinds of TensorFlow's operations in a forward pass."""
    function = tf.function(lambda x: model(x, training=True))
    traced = function.get_concrete_function(tf.TensorSpec((None, *x.shape[1:]), x.dtype))
    graph = traced.graph.as_graph_def()
    inside = [node for function in graph.library.function for node in function.node_def]
    return {node.op for node in [*graph.node, *inside]}


def make_plan(
    data: Data, batch_size: int, epochs: int | None, steps: int | None, model: keras.Model
) -> tuple[TrainingPlan, int]:
    """Check the arguments; return the plan in whole epochs and the steps to run."""
    instance("model", model, keras.Model, "a keras.Model")
    instance("data", data, Data, "a Data, from load_data or Data.of")
    if not model.compiled or model.optimizer is None:
        raise ValueError("model must be compiled, with an optimizer: call model.compile.")
    check_train_step(model, ": use fit")
    if (epochs is None) == (steps is None):
        raise ValueError(f"give either epochs or steps; got epochs={epochs!r}, steps={steps!r}.")
    n_train = len(data.x_train)
    if (batch_size := integer("batch_size", batch_size)) > n_train:
        raise ValueError(
            f"batch_size must be at most the number of training rows ({n_train}); got {batch_size}."
        )
    steps = None if steps is None else integer("steps", steps)
    if epochs is None:
        epochs = -(-cast(int, steps) // -(-n_train // batch_size))
    accumulation = model.optimizer.gradient_accumulation_steps or 1
    plan = TrainingPlan(n_train, batch_size, epochs, gradient_accumulation_steps=accumulation)
    return plan, steps or plan.total_steps
