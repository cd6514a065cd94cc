"""epochlab.steps against arithmetic, and against what real Keras does."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from epochlab import TrainingPlan, num_batches, simulate_epochs, split_sizes, steps_per_epoch

# A Keras fit costs tenths of a second: few examples each, the same on every run.
with_keras = settings(max_examples=30)
small = st.integers(1, 40)
HUGE = 10**400


class BatchCounter(keras.callbacks.Callback):
    """Keeps, epoch by epoch, what the loss has put into `sizes`: training, then validation."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes, self.per_epoch = sizes, []

    def on_epoch_begin(self, epoch, logs=None):
        self.sizes.clear()

    def on_epoch_end(self, epoch, logs=None):
        self.per_epoch.append(list(self.sizes))


def batch_sizes(x, **fit_arguments):
    """The size of each batch, epoch by epoch, as the loss of a real model sees them."""
    sizes = []

    def loss(y_true, y_pred):
        sizes.append(len(y_true))
        return keras.ops.mean(y_pred)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, run_eagerly=True)
    counter = BatchCounter(sizes)
    # Keras warns that it does not shuffle a dataset, unless it is told not to.
    data = {"shuffle": False} if isinstance(x, tf.data.Dataset) else {"y": x}
    model.fit(x, **data, verbose=0, callbacks=[counter], **fit_arguments)
    return counter.per_epoch


def pairs(n, batch_size, *, drop_remainder=False):
    zeros = np.zeros((n, 1), "float32")
    dataset = tf.data.Dataset.from_tensor_slices((zeros, zeros))
    return dataset.batch(batch_size, drop_remainder=drop_remainder)


def compiled(**compile_arguments):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(
        gradient_accumulation_steps=compile_arguments.pop("gradient_accumulation_steps", None)
    )
    model.compile(optimizer, "mse", **compile_arguments)
    return model


@pytest.mark.slow
@with_keras
@given(n=small, batch_size=small, epochs=st.integers(1, 3), split=st.sampled_from([0.0, 0.1, 0.33]))
def test_plan_counts_the_batches_that_keras_runs(n, batch_size, epochs, split):
    try:
        plan = TrainingPlan(n, batch_size, epochs, validation_split=split)
    except ValueError:
        with pytest.raises(ValueError, match="not sufficient to split"):
            batch_sizes(np.zeros((n, 1)), batch_size=batch_size, validation_split=split)
        return
    epochs_run = batch_sizes(
        np.zeros((n, 1)), batch_size=batch_size, epochs=epochs, validation_split=split
    )
    assert len(epochs_run) == epochs
    for sizes in epochs_run:
        training, validation = sizes[: plan.steps_per_epoch], sizes[plan.steps_per_epoch :]
        assert sum(training) == plan.n_train
        assert training[-1] == plan.last_batch_size
        assert sum(validation) == plan.n_validation
        assert len(validation) == plan.validation_steps
    assert plan.samples_seen == epochs * plan.n_train


@pytest.mark.slow
@with_keras
@given(n=small, batch_size=small)
def test_drop_remainder(n, batch_size):
    if batch_size > n:
        wanted = rf"at most n_samples \({n}\) with drop_remainder=True; got {batch_size}"
        with pytest.raises(ValueError, match=f"batch_size must be {wanted}"):
            TrainingPlan(n, batch_size, drop_remainder=True)
        return
    plan = TrainingPlan(n, batch_size, 2, drop_remainder=True)
    epochs_run = batch_sizes(pairs(n, batch_size, drop_remainder=True), epochs=2)
    assert epochs_run == [[plan.last_batch_size] * plan.steps_per_epoch] * 2
    assert plan.dropped_samples == n - sum(epochs_run[0])
    assert plan.samples_seen == 2 * sum(epochs_run[0])


@pytest.mark.slow
@with_keras
@given(
    n=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    epochs=st.integers(1, 4),
    accumulation=st.integers(1, 7),
)
def test_updates_with_gradient_accumulation_carry_over_epochs(n, batch_size, epochs, accumulation):
    plan = TrainingPlan(n, batch_size, epochs, gradient_accumulation_steps=accumulation)
    # Keras refuses 1 here: it means no accumulation.
    model = compiled(gradient_accumulation_steps=accumulation if accumulation > 1 else None)
    zeros = np.zeros((n, 1))
    model.fit(zeros, zeros, batch_size=batch_size, epochs=epochs, verbose=0)
    assert int(model.optimizer.iterations) == plan.total_updates


def test_schedules_count_batches_under_gradient_accumulation():
    plan = TrainingPlan(100, 10, 2, gradient_accumulation_steps=4)
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, plan.total_steps, 0.0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule, gradient_accumulation_steps=4), "mse")
    model.fit(np.zeros((100, 1)), np.zeros((100, 1)), batch_size=10, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == plan.total_updates == 5
    assert float(model.optimizer.learning_rate) == 0.0  # used up after 20 batches


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@with_keras
@given(
    n_batches=st.integers(1, 12),
    asked=st.integers(1, 14),
    epochs=st.integers(1, 6),
    repeat=st.booleans(),
)
def test_simulated_epochs_are_the_ones_keras_runs(n_batches, asked, epochs, repeat):
    dataset = pairs(n_batches, 1)
    epochs_run = batch_sizes(
        dataset.repeat() if repeat else dataset, epochs=epochs, steps_per_epoch=asked
    )
    assert [len(sizes) for sizes in epochs_run] == simulate_epochs(
        n_batches, asked, epochs, repeat=repeat
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@with_keras
@given(
    n_batches=st.integers(1, 12),
    asked=st.integers(1, 14),
    repeat=st.booleans(),
    execution=st.integers(2, 6),
)
def test_simulated_epochs_with_steps_per_execution(n_batches, asked, repeat, execution):
    dataset = pairs(n_batches, 1)
    model = compiled(steps_per_execution=execution)
    updates = [0]
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: updates.append(int(model.optimizer.iterations))
    )
    model.fit(
        dataset.repeat() if repeat else dataset,
        epochs=4,
        shuffle=False,
        steps_per_epoch=asked,
        verbose=0,
        callbacks=[count],
    )
    expected = simulate_epochs(n_batches, asked, 4, repeat=repeat, steps_per_execution=execution)
    assert np.diff(updates).tolist() == expected


@settings(max_examples=300)
@given(n=st.integers(1, 10**6), split=st.floats(0.001, 0.999))
def test_split_sizes_are_those_of_keras_bit_for_bit(n, split):
    # The function that fit calls; a range slices like an array and costs nothing at any length.
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    array = np.broadcast_to(np.zeros(1, "uint8"), (n,))
    try:
        train, validation = train_validation_split((array,), split)
    except ValueError:
        with pytest.raises(ValueError, match="validation_split must leave samples on both sides"):
            split_sizes(n, split)
        return
    assert split_sizes(n, split) == (train[0].shape[0], validation[0].shape[0])


def test_split_cuts_the_last_samples_before_shuffling():
    seen = []

    def loss(y_true, y_pred):
        seen.append(y_true.numpy().ravel().astype(int).tolist())
        return keras.ops.mean(y_pred)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, run_eagerly=True)
    ids = np.arange(10).reshape(-1, 1)
    model.fit(ids, ids, batch_size=10, validation_split=0.3, shuffle=True, verbose=0)
    training, validation = seen
    assert (sorted(training), validation) == ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])


def test_plan_example():
    plan = TrainingPlan(60_000, 128, 3, validation_split=0.1, gradient_accumulation_steps=4)
    assert (plan.n_train, plan.n_validation) == (54_000, 6_000)
    assert (plan.steps_per_epoch, plan.last_batch_size) == (422, 112)
    assert plan.validation_steps == 47
    assert (plan.total_steps, plan.total_updates) == (1_266, 316)
    assert plan.effective_batch_size == 512
    assert plan.samples_seen == 162_000
    assert TrainingPlan(10, 7, replicas=3).per_replica_batch_size == 3
    assert plan == TrainingPlan(
        np.int64(60_000), 128, 3, validation_split=0.1, gradient_accumulation_steps=4
    )


def test_plan_is_frozen_and_shows_itself():
    plan = TrainingPlan(1_000)
    with pytest.raises(AttributeError):
        plan.epochs = 2
    assert (
        "steps per epoch" in str(plan) and len({len(line) for line in str(plan).split("\n")}) == 1
    )
    assert "<th>steps per epoch</th><td>32</td>" in plan._repr_html_()


def test_any_size_answers():
    assert steps_per_epoch(HUGE + 1, HUGE) == 2
    plan = TrainingPlan(HUGE, 32, HUGE, validation_split=0.5)
    assert plan.n_train == HUGE // 2
    assert plan.total_updates == HUGE * (HUGE // 2 // 32)
    assert simulate_epochs(HUGE, HUGE - 1, 3) == [HUGE - 1, 1, HUGE - 1]


class Batches(keras.utils.PyDataset):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def __getitem__(self, index):
        return np.zeros((2, 1)), np.zeros((2, 1))

    @property
    def num_batches(self):
        return self.n


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.zeros((2, 1)), np.zeros((2, 1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.zeros((100, 3)), 4),
        (tf.zeros((100, 3)), 4),
        ({"a": np.zeros(33), "b": [np.zeros((33, 2)), None]}, 2),
        (pairs(10, 4), 3),
        (pairs(10, 4, drop_remainder=True), 2),
        (pairs(10, 4).repeat(3), 9),
        (pairs(10, 4).repeat(), math.inf),
        (pairs(10, 4).filter(lambda x, y: True), None),
        ((i for i in range(3)), None),
        (Batches(7), 7),
        (Batches(None), math.inf),
        (Sequence(), 5),
    ],
)
def test_num_batches(data, expected):
    assert num_batches(data) == expected


def test_num_batches_refuses():
    assert num_batches(np.zeros(100), batch_size=30) == 4
    with pytest.raises(ValueError, match="batch_size must be None for data in batches"):
        num_batches(pairs(10, 4), batch_size=4)
    with pytest.raises(ValueError, match=r"arrays of one length; got lengths \[3, 4\]"):
        num_batches((np.zeros(3), np.zeros(4)))
    numbers = [tf.constant(3), np.array(3), tf.TensorShape(None), keras.KerasTensor(())]
    for nonsense in (3, "abc", None, [1, 2, 3], np.float32(2), [], np.ndarray, *numbers):
        with pytest.raises(TypeError, match="data must be an array"):
            num_batches(nonsense)
    with pytest.raises(ValueError, match="data must have at least one row; got none"):
        num_batches(np.zeros((0, 3)))


NOT_INTEGERS = [3.0, True, "3", None, math.nan, np.bool_(True), [3]]
NOT_INTEGERS += [np.array(3.0), np.array([3]), tf.constant(3.0), tf.constant(True)]


@pytest.mark.parametrize("value", [0, -1, -HUGE, *NOT_INTEGERS])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n_samples", lambda v: steps_per_epoch(v, 32)),
        ("batch_size", lambda v: steps_per_epoch(10, v)),
        ("n_samples", lambda v: split_sizes(v, 0.2)),
        ("n_samples", lambda v: TrainingPlan(v)),
        ("batch_size", lambda v: TrainingPlan(10, v)),
        ("epochs", lambda v: TrainingPlan(10, 2, v)),
        ("gradient_accumulation_steps", lambda v: TrainingPlan(10, gradient_accumulation_steps=v)),
        ("replicas", lambda v: TrainingPlan(10, replicas=v)),
        ("n_batches", lambda v: simulate_epochs(v, 2, 2)),
        ("steps_per_epoch", lambda v: simulate_epochs(2, v, 2)),
        ("epochs", lambda v: simulate_epochs(2, 2, v)),
        ("steps_per_execution", lambda v: simulate_epochs(2, 2, 2, steps_per_execution=v)),
    ],
)
def test_counts_that_cannot_be_right(name, call, value):
    if isinstance(value, int) and not isinstance(value, bool):
        error, got = ValueError, f"got {value}"
    else:
        error, got = TypeError, "got "
    with pytest.raises(error, match=f"{name} must be an integer, at least 1; {got}"):
        call(value)


def test_batch_size_of_none_is_refused_where_a_count_is_needed():
    assert num_batches(np.zeros(64), None) == 2  # Keras's default, as fit does
    with pytest.raises(TypeError, match="batch_size must be an integer"):
        num_batches(np.zeros(64), 32.0)


@pytest.mark.parametrize("number", [np.int8, np.array, tf.constant, lambda n: np.uint64([n])[0]])
def test_counts_of_any_library_become_those_of_python(number):
    plan = TrainingPlan(
        number(100),
        number(8),
        number(120),
        validation_split=np.float32(0.5),
        gradient_accumulation_steps=number(2),
        replicas=number(4),
    )
    assert plan == TrainingPlan(
        100, 8, 120, validation_split=0.5, gradient_accumulation_steps=2, replicas=4
    )
    assert plan.samples_seen == 6_000 and type(plan.n_samples) is type(plan.replicas) is int
    assert type(plan.validation_split) is float and hash(plan)
    assert steps_per_epoch(number(100), number(3)) == 34
    assert simulate_epochs(number(3), number(2), number(4)) == [2, 1, 2, 1]
    assert num_batches(np.zeros(100), number(30)) == 4


@pytest.mark.parametrize(
    "split", [-0.1, 1.0, 1, 2, math.nan, math.inf, pytest.param(HUGE, id="huge")]
)
def test_splits_out_of_range(split):
    with pytest.raises(ValueError, match=r"validation_split must be a number in \[0, 1\); got"):
        split_sizes(10, split)
    with pytest.raises(ValueError, match="validation_split"):
        TrainingPlan(10, validation_split=split)


@pytest.mark.parametrize("split", ["0.1", None, True, [0.1], np.array([0.1]), tf.constant(True)])
def test_splits_of_another_type(split):
    with pytest.raises(TypeError, match="validation_split must be a number"):
        split_sizes(10, split)


def test_splits_that_leave_nothing():
    with pytest.raises(ValueError, match="cuts 1 samples into 0 and 1"):
        split_sizes(1, 0.5)
    with pytest.raises(ValueError, match="cuts 10 samples into 10 and 0"):
        split_sizes(10, 1e-17)


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_flags_must_be_bools(value):
    with pytest.raises(TypeError, match="drop_remainder must be True or False"):
        TrainingPlan(10, drop_remainder=value)
    with pytest.raises(TypeError, match="repeat must be True or False"):
        simulate_epochs(2, 2, 2, repeat=value)


def test_more_replicas_than_samples_in_a_batch():
    with pytest.raises(ValueError, match=r"replicas must be at most batch_size \(4\)"):
        TrainingPlan(100, 4, replicas=8)
