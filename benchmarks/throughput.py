"""How many samples per second each way of training gets through.

    python benchmarks/throughput.py [--quick]

Every contender trains the same network with the same optimizer, batches reshuffled each epoch, the
short last batch kept. Compile time is not counted.
"""

import argparse
import time
from functools import partial
from importlib.util import find_spec

import numpy as np
from measuring import (
    Times,
    build_model,
    fit_contender,
    in_turn,
    print_bound,
    print_machine,
    print_table,
    spread,
)

from epochlab import load_data, train
from epochlab.worlds import WORLDS

FIT, WHOLE, COMPILED = "`fit`", "`fit`, one execution per epoch", "the same with XLA"
TORCH, JAX, NUMPY = "PyTorch eager", "JAX `scan`", "NumPy by hand"
TRAIN = "`epochlab.train`"
PRODUCTS, CONVOLUTIONS = "matrix products alone", "convolutions and pooling alone"
RATE = 0.1
TIMES_FIT = {  # the goals for `train`
    ("mlp", 8): 8,
    ("mlp", 32): 8,
    ("mlp", 128): 5,
    ("mlp", 512): 3,
    ("cnn", 32): 2.5,
}
TIMES_JAX = {8: 1.0, 32: 0.95, 128: 0.95, 512: 0.95}


def keras_fit(network, data, batch_size):
    return fit_contender(build_model(network), data, batch_size)


def keras_whole_epoch(network, data, batch_size, xla=False):
    model = build_model(network)
    model.steps_per_execution = -(-len(data.x_train) // batch_size)
    model.jit_compile = xla
    return fit_contender(model, data, batch_size)


def epochlab_train(network, data, batch_size):
    model = build_model(network)

    def run(epochs):
        result = train(model, data, batch_size=batch_size, epochs=epochs)
        if result.compile_seconds > 0.1:  # the first call
            print(f"{TRAIN} at batch {batch_size}: compiled in {result.compile_seconds:.1f} s")
        return result.seconds

    return run


def torch_eager(network, data, batch_size):
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(data.x_train).permute(0, 3, 1, 2).contiguous().to(device)
    y = torch.from_numpy(data.y_train).long().to(device)
    dense = [nn.Flatten(), nn.Linear(784, 128), nn.ReLU()]
    layers = {
        "mlp": [*dense, nn.Linear(128, 10)],
        "cnn": [
            *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 10)),
        ],
        "normalised": [*dense, nn.BatchNorm1d(128), nn.Dropout(0.2), nn.Linear(128, 10)],
    }[network]
    model = nn.Sequential(*layers).to(device)
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def run(epochs):
        started = time.perf_counter()
        for _ in range(epochs):
            for rows in torch.randperm(len(x), device=device).split(batch_size):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
        loss.item()  # waits for the device
        return time.perf_counter() - started

    return run


def jax_scan(network, data, batch_size):
    import jax
    import jax.numpy as jnp

    x, y = jnp.asarray(data.x_train.reshape(-1, 784)), jnp.asarray(data.y_train)
    parameters = [tuple(map(jnp.asarray, layer)) for layer in initial_parameters()]
    rng = np.random.default_rng(0)

    def mean_loss(parameters, x, y):
        (w1, b1), (w2, b2) = parameters
        logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()

    @partial(jax.jit, donate_argnums=0)
    def epoch(parameters, x, y, full, short):
        def step(parameters, rows):
            loss, gradients = jax.value_and_grad(mean_loss)(parameters, x[rows], y[rows])
            return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients), loss

        parameters, losses = jax.lax.scan(step, parameters, full)
        return step(parameters, short)[0] if len(short) else parameters, losses

    def run(epochs):
        nonlocal parameters
        started = time.perf_counter()
        for _ in range(epochs):
            order = rng.permutation(len(x)).astype(np.int32)
            n_full = len(x) // batch_size * batch_size
            full, short = order[:n_full].reshape(-1, batch_size), order[n_full:]
            parameters, losses = epoch(parameters, x, y, full, short)
            losses.block_until_ready()
        return time.perf_counter() - started

    return run


def numpy_by_hand(network, data, batch_size):
    x, y = data.x_train.reshape(-1, 784), data.y_train
    (w1, b1), (w2, b2) = initial_parameters()
    rng = np.random.default_rng(0)

    def run(epochs):
        started = time.perf_counter()
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch_size):
                rows = order[start : start + batch_size]
                images = x[rows]
                hidden = np.maximum(images @ w1 + b1, 0)
                logits = hidden @ w2 + b2
                error = np.exp(logits - logits.max(axis=1, keepdims=True))
                error /= error.sum(axis=1, keepdims=True)
                error[np.arange(len(rows)), y[rows]] -= 1
                error *= RATE / len(rows)
                error_hidden = (error @ w2.T) * (hidden > 0)
                w2[...] -= hidden.T @ error
                b2[...] -= error.sum(axis=0)
                w1[...] -= images.T @ error_hidden
                b1[...] -= error_hidden.sum(axis=0)
        return time.perf_counter() - started

    return run


def matrix_products(network, data, batch_size):
    """The five products of a step and nothing else, at batch 128 or more."""
    size = max(128, batch_size)
    (w1, _), (w2, _) = initial_parameters()
    images, hidden = data.x_train.reshape(-1, 784)[:size], np.ones((size, 128), np.float32)
    error = np.ones((size, 10), np.float32)
    pairs = [(images, w1), (hidden, w2), (error, w2.T), (hidden.T, error), (images.T, hidden)]
    products = [(a, b, a @ b) for a, b in pairs]
    steps = len(data.x_train) // size

    def run(epochs):
        started = time.perf_counter()
        for _ in range(epochs * steps):
            for a, b, out in products:
                np.matmul(a, b, out=out)
        return (time.perf_counter() - started) * len(data.x_train) / (steps * size)

    return run


def convolutions(network, data, batch_size):
    """The convolutions and poolings of a step, their gradients, and nothing else."""
    import tensorflow as tf

    images = tf.constant(data.x_train[:batch_size])
    rng = np.random.default_rng(0)
    filters = [rng.normal(size=(3, 3, *n)).astype(np.float32) / 9 for n in ((1, 8), (8, 16))]

    @tf.function
    def steps(n, filters):
        for _ in tf.range(n):
            with tf.GradientTape() as tape:
                tape.watch(filters)
                hidden = images
                for each in filters:
                    hidden = tf.nn.relu(tf.nn.conv2d(hidden, each, 1, "VALID"))
                    hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
            gradients = tape.gradient(hidden, filters)
            # Filters that change: what stays the same would be computed once, before the loop.
            filters = [each - 1e-9 * g for each, g in zip(filters, gradients, strict=True)]
        return filters

    def run(epochs):
        started = time.perf_counter()
        steps(tf.constant(epochs * -(-len(data.x_train) // batch_size)), filters)[0].numpy()
        return time.perf_counter() - started

    return run


def initial_parameters():
    rng = np.random.default_rng(0)
    return [
        (rng.uniform(-limit, limit, (n, m)).astype(np.float32), np.zeros(m, np.float32))
        for n, m in ((784, 128), (128, 10))
        for limit in [np.sqrt(6 / (n + m))]
    ]


LIMITS = {"mlp": (PRODUCTS, matrix_products), "cnn": (CONVOLUTIONS, convolutions)}


def contenders(network):
    """Return the contenders in the order of the table."""
    found = {FIT: keras_fit, WHOLE: keras_whole_epoch}
    found[COMPILED] = partial(keras_whole_epoch, xla=True)
    if find_spec("torch") and network != "transformer":
        found[TORCH] = torch_eager
    if network == "mlp":
        if find_spec("jax"):
            found[JAX] = jax_scan
        found[NUMPY] = numpy_by_hand
    found[TRAIN] = epochlab_train
    if network in LIMITS:
        limit, alone = LIMITS[network]
        found[limit] = alone
    return found


def report(network: str, times: dict[int, Times], n_train: int) -> None:
    names = list(next(iter(times.values())))
    print("\nSamples per second: median (smallest–largest) over the rounds.\n")
    rows = [[str(b), *(spread(n_train / t[n]) for n in names)] for b, t in times.items()]
    print_table(["batch", *names], rows)

    print(f"Times {FIT}, round by round.\n")
    rows = [[str(b), *(spread(t[FIT] / t[n], ".2f") for n in names)] for b, t in times.items()]
    print_table(["batch", *names], rows)

    for batch_size, t in times.items():
        for peer in (JAX, PRODUCTS, CONVOLUTIONS):
            if peer in t and (peer != PRODUCTS or batch_size >= 128):
                ratio = spread(t[peer] / t[TRAIN], ".2f")
                print(f"- batch {batch_size}: {TRAIN} / {peer}: {ratio}")
    print()
    for batch_size, t in times.items():
        goals = {FIT: TIMES_FIT.get((network, batch_size)), JAX: TIMES_JAX[batch_size]}
        if batch_size == 128:
            goals[PRODUCTS] = 0.6
        for peer, goal in goals.items():
            if goal and peer in t:
                ratio = np.median(t[peer] / t[TRAIN])
                print_bound(f"batch {batch_size}, {TRAIN} / {peer}", ratio, goal)
    print(flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    quick = parser.parse_args(arguments).quick

    n_images, rounds, seconds = (1_000, 2, 0) if quick else (10_000, 5, 0.5)
    images = load_data("mnist", n_train=n_images, n_validation=500, n_test=500)
    text = WORLDS["text"].data(0, n_train=200 if quick else 2_000)
    print_machine()
    missing = [name for name, module in ((TORCH, "torch"), (JAX, "jax")) if not find_spec(module)]
    if missing:
        print(f"Left out, not installed: {', '.join(missing)}.\n")
    for network, title, data, batch_sizes in (
        ("mlp", "MLP 784–128–10", images, (8, 32, 128, 512)),
        ("cnn", "Small CNN", images, (32, 128)),
        ("normalised", "Dense with BatchNormalization and Dropout", images, (32, 128)),
        ("transformer", "Transformer of the world text", text, (32, 128)),
    ):
        n_train = len(data.x_train)
        print(f"### {title}, {n_train:,} samples, {rounds} rounds\n", flush=True)
        times = {}
        for batch_size in batch_sizes[-1:] if quick else batch_sizes:
            runs = {n: make(network, data, batch_size) for n, make in contenders(network).items()}
            times[batch_size] = in_turn(runs, rounds, seconds)
        report(network, times, n_train)


if __name__ == "__main__":
    main()
