"""Ways to write the loop that `train` has XLA compile, in turn with `train` and with JAX.

    python benchmarks/xla_loop.py [--quick]
    TF_NUM_INTRAOP_THREADS=1 python benchmarks/xla_loop.py

Nothing of Keras is in these loops: what they lack against JAX, XLA lacks as TensorFlow calls it.
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import tensorflow as tf
from measuring import in_turn, print_machine, print_table, spread
from throughput import JAX, RATE, TRAIN, epochlab_train, initial_parameters, jax_scan

from epochlab import load_data

UNROLLED = 4
Weights = list[tf.Variable]


def updated(values, x, y):
    """Return the loss of a batch, and the weights after its step of SGD."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        w1, b1, w2, b2 = values
        logits = tf.nn.relu(x @ w1 + b1) @ w2 + b2
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        loss = tf.reduce_mean(each)
    gradients = tape.gradient(loss, values)
    return loss, [v - RATE * g for v, g in zip(values, gradients, strict=True)]


def step(weights, x, y):
    loss, values = updated([w.read_value() for w in weights], x, y)
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)
    return loss


def as_train(weights, x, y, order, n_steps):
    losses = tf.TensorArray(tf.float32, size=order.shape[0])
    i = 0
    while i < n_steps:
        loss = step(weights, tf.gather(x, order[i]), tf.gather(y, order[i]))
        losses = losses.write(i, loss)
        i += 1
    return losses.stack()


def static_length(weights, x, y, order, n_steps):
    losses = tf.TensorArray(tf.float32, size=order.shape[0])
    for i in tf.range(order.shape[0]):
        loss = step(weights, tf.gather(x, order[i]), tf.gather(y, order[i]))
        losses = losses.write(i, loss)
    return losses.stack()


def unrolled(weights, x, y, order, n_steps):
    losses = tf.TensorArray(tf.float32, size=order.shape[0])
    i = 0
    while i < n_steps:
        for j in range(UNROLLED):
            loss = step(weights, tf.gather(x, order[i + j]), tf.gather(y, order[i + j]))
            losses = losses.write(i + j, loss)
        i += UNROLLED
    return losses.stack()


def gathered_before(weights, x, y, order, n_steps):
    losses = tf.TensorArray(tf.float32, size=order.shape[0])
    all_x, all_y = tf.gather(x, order), tf.gather(y, order)
    i = 0
    while i < n_steps:
        losses = losses.write(i, step(weights, all_x[i], all_y[i]))
        i += 1
    return losses.stack()


def loop_values(weights, x, y, order, n_steps):
    losses = tf.TensorArray(tf.float32, size=order.shape[0])
    values = [w.read_value() for w in weights]
    i = 0
    while i < n_steps:
        loss, values = updated(values, tf.gather(x, order[i]), tf.gather(y, order[i]))
        losses = losses.write(i, loss)
        i += 1
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)
    return losses.stack()


def flat_vector(weights, x, y, order, n_steps):
    losses = tf.TensorArray(tf.float32, size=order.shape[0])
    sizes, shapes = [w.shape.num_elements() for w in weights], [w.shape for w in weights]
    flat = tf.concat([tf.reshape(w, [-1]) for w in weights], axis=0)
    i = 0
    while i < n_steps:
        parts = [tf.reshape(p, s) for p, s in zip(tf.split(flat, sizes), shapes, strict=True)]
        loss, parts = updated(parts, tf.gather(x, order[i]), tf.gather(y, order[i]))
        flat = tf.concat([tf.reshape(p, [-1]) for p in parts], axis=0)
        losses = losses.write(i, loss)
        i += 1
    for weight, part in zip(weights, tf.split(flat, sizes), strict=True):
        weight.assign(tf.reshape(part, weight.shape))
    return losses.stack()


LOOPS = {
    "the loop of `train`": as_train,
    "length compiled in": static_length,
    f"{UNROLLED} steps at a time": unrolled,
    "images gathered before": gathered_before,
    "weights as loop values": loop_values,
    "weights in one vector": flat_vector,
}


def contender(loop: Callable, data, batch_size: int) -> Callable[[int], float]:
    weights = [tf.Variable(array) for layer in initial_parameters() for array in layer]
    x, y = tf.constant(data.x_train.reshape(-1, 784)), tf.constant(data.y_train)
    n_steps = tf.constant(len(data.x_train) // batch_size)
    compiled = tf.function(loop, jit_compile=True)
    rng = np.random.default_rng(0)

    def run(epochs: int) -> float:
        started = time.perf_counter()
        for _ in range(epochs):
            order = rng.permutation(len(x)).astype(np.int32).reshape(-1, batch_size)
            losses = compiled(weights, x, y, tf.constant(order), n_steps)
            losses.numpy()
        return time.perf_counter() - started

    return run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    quick = parser.parse_args(arguments).quick

    rounds, seconds = (2, 0) if quick else (9, 0.5)
    # As many steps as each size of batch and UNROLLED divide.
    data = load_data("mnist", n_train=2_048 if quick else 10_240, n_validation=500, n_test=500)
    print_machine()
    for batch_size in (512,) if quick else (8, 32, 128, 512):
        runs = {name: contender(loop, data, batch_size) for name, loop in LOOPS.items()}
        runs[TRAIN] = epochlab_train("mlp", data, batch_size)
        if find_spec("jax"):
            runs[JAX] = jax_scan("mlp", data, batch_size)
        times = in_turn(runs, rounds, seconds)
        print(f"\n### MLP 784–128–10, batches of {batch_size}, {rounds} rounds\n")
        rows = [
            [name, spread(len(data.x_train) / t), spread(times[TRAIN] / t, ".2f")]
            for name, t in times.items()
        ]
        print_table(["loop", "samples per second", f"times {TRAIN}"], rows)


if __name__ == "__main__":
    main()
