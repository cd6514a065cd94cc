"""check_fit finds nothing in calls as people write them, and changes nothing that they log.

The calls are patterned on those of tutorials and projects: each kind of model, of data, of
metric and of callback, the usual tasks, and the usual ways to go on training.
"""

from copy import deepcopy

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import callbacks, layers, losses, metrics, optimizers
from packaging.version import Version

from epochlab import check_fit

pytestmark = pytest.mark.slow  # a hundred models are built

RNG = np.random.default_rng(0)
N = 24
X = RNG.normal(size=(N, 4)).astype("float32")
IMAGES = RNG.random((N, 6, 6, 1)).astype("float32")
CLASSES = RNG.integers(0, 3, N)
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
BINARY = RNG.integers(0, 2, N).astype("float32")
TAGS = RNG.integers(0, 2, (N, 5)).astype("float32")
NUMBERS = RNG.normal(size=N).astype("float32")
TOKENS = RNG.integers(0, 9, (N, 6))
SORTED_CLASSES = np.sort(CLASSES)
HELD_OUT = {"validation_data": (X[:8], CLASSES[:8])}
SPLIT = {"validation_split": 0.25}
SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)


def ready(model, loss, metrics=None, optimizer="adam", **compile):
    model.compile(optimizer, loss, metrics=metrics, **({"run_eagerly": True} | compile))
    return model


def stack(*parts, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *parts])


def classifier(metrics=("accuracy",), **compile):
    model = stack(layers.Dense(8, "relu"), layers.Dense(3, "softmax"))
    return ready(model, SPARSE, list(metrics), **compile)


def one_hot_classifier(*metrics):
    return ready(stack(layers.Dense(3, "softmax")), CATEGORICAL, list(metrics))


def detector(*metrics):
    return ready(stack(layers.Dense(1, "sigmoid")), "binary_crossentropy", list(metrics))


def regressor(*metrics, loss="mse"):
    return ready(keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)]), loss, list(metrics))


def two_headed(loss, **compile):
    inputs = keras.Input((4,))
    outputs = [layers.Dense(3, "softmax", name="kind"), layers.Dense(1, name="size")]
    return ready(keras.Model(inputs, [layer(inputs) for layer in outputs]), loss, **compile)


def keyed(**compile):
    inputs = keras.Input((4,))
    outputs = {"b": layers.Dense(3, "softmax")(inputs), "a": layers.Dense(1)(inputs)}
    return ready(keras.Model(inputs, outputs), {"b": SPARSE, "a": "mse"}, **compile)


def two_inputs():
    inputs = {"left": keras.Input((4,)), "right": keras.Input((4,))}
    merged = layers.Concatenate()(list(inputs.values()))
    return ready(keras.Model(inputs, layers.Dense(3, "softmax")(merged)), SPARSE, ["accuracy"])


def convolutional(*first):
    return ready(
        stack(*first, layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3), shape=(6, 6, 1)),
        LOGITS,
        ["accuracy"],
    )


def fine_tuned():
    base = stack(layers.Dense(4, "relu"), layers.BatchNormalization())
    base.trainable = False
    inputs = keras.Input((4,))
    hidden = layers.Dropout(0.2)(base(inputs, training=False))
    return ready(keras.Model(inputs, layers.Dense(1)(hidden)), losses.BinaryCrossentropy(True))


def in_half_precision():
    parts = [layers.Dense(8, "relu", dtype="mixed_bfloat16"), layers.Dense(3, dtype="float32")]
    return ready(stack(*parts, layers.Activation("softmax", dtype="float32")), SPARSE, ["accuracy"])


def passed_on_in_float32():
    parts = [layers.Dense(3, "softmax"), layers.Activation("linear", dtype="float32")]
    return ready(stack(*parts), SPARSE)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = layers.Dense(8, "relu"), layers.Dense(3)

    def call(self, x):
        return self.out(self.hidden(x))


class OwnLoss(Subclassed):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, y_pred, sample_weight, training)


class OwnStep(Subclassed):
    def train_step(self, data):
        return super().train_step(data) | {"gap": tf.constant(0.1)}


class OwnMetrics(Subclassed):
    def __init__(self):
        super().__init__()
        self.tracker = metrics.Mean(name="total")

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, data):
        super().train_step(data)
        self.tracker.update_state(1.0)
        return {"total": self.tracker.result()}


class Sparsity(layers.Layer):
    """Reports a metric of its own, as variational layers do."""

    def __init__(self):
        super().__init__()
        self.share = metrics.Mean(name="share")

    def call(self, x):
        self.share.update_state(keras.ops.mean(keras.ops.cast(x == 0, "float32")))
        return x


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[index * 8 : index * 8 + 8], CLASSES[index * 8 : index * 8 + 8]


class Report(callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = 0.1


def recall_of_my_own(y_true, y_pred):
    return keras.ops.mean(y_true * y_pred)


def rows(y=CLASSES, x=X):
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(N, seed=0).batch(8)


def endless():
    while True:
        yield X[:8], CLASSES[:8]


def trained(**compile):
    model = classifier(**compile)
    model.fit(X, CLASSES, verbose=0)
    return model


def mirrored():
    with tf.distribute.MirroredStrategy().scope():
        kinds = ["accuracy", metrics.SparseTopKCategoricalAccuracy]
        return classifier(kinds, run_eagerly=False, jit_compile=False)


def stop(monitor="val_loss", **arguments):
    return callbacks.EarlyStopping(monitor, **({"patience": 2} | arguments))


def saved(name="{epoch:02d}-{val_loss:.2f}.keras", **arguments):
    return lambda path: callbacks.ModelCheckpoint(path / name, **arguments)


def scheduled(schedule, **arguments):
    return classifier(optimizer=optimizers.SGD(schedule, **arguments))


DECAY = optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
COSINE = optimizers.schedules.CosineDecay(0.1, 9, warmup_target=0.2, warmup_steps=3)

# The model, x, y and the other arguments of fit.
CALLS = {
    # models
    "Sequential": (classifier, X, CLASSES, {"epochs": 2, "batch_size": 8}),
    "Sequential, built by the data": (lambda: regressor("mae"), X, NUMBERS, SPLIT),
    "logits": (lambda: ready(stack(layers.Dense(3)), LOGITS, ["accuracy"]), X, CLASSES, {}),
    "convolutions": (convolutional, IMAGES, CLASSES, SPLIT),
    "augmentation": (
        lambda: convolutional(layers.RandomFlip(), layers.Rescaling(2.0)),
        IMAGES,
        CLASSES,
        {},
    ),
    "two outputs, losses in a list": (
        lambda: two_headed([SPARSE, "mse"], metrics=[["accuracy"], ["mae"]]),
        X,
        [CLASSES, NUMBERS],
        {"callbacks": [stop("val_loss")]} | SPLIT,
    ),
    "two outputs, losses and targets in dicts": (
        lambda: two_headed({"kind": SPARSE, "size": "mse"}, loss_weights={"kind": 1, "size": 0.5}),
        X,
        {"kind": CLASSES, "size": NUMBERS},
        {"callbacks": [stop("val_kind_loss", mode="min")]} | SPLIT,
    ),
    "outputs in a dict": (
        lambda: keyed(metrics={"b": ["accuracy"]}),
        X,
        {"a": NUMBERS, "b": CLASSES},
        {"callbacks": [stop("val_b_accuracy", mode="max")]} | SPLIT,
    ),
    "sorted numbers beside classes": (
        lambda: keyed(),
        X,
        {"a": np.arange(N) // 6, "b": CLASSES},
        SPLIT,
    ),
    "inputs in a dict": (two_inputs, {"left": X, "right": X}, CLASSES, SPLIT),
    "a frozen base": (fine_tuned, X[:17], BINARY[:17], {"batch_size": 8}),
    "a subclass": (lambda: ready(Subclassed(), LOGITS, ["accuracy"]), X, CLASSES, HELD_OUT),
    "a subclass that stops early": (
        lambda: ready(Subclassed(), LOGITS, ["accuracy"]),
        X,
        CLASSES,
        {"callbacks": [stop("val_accuracy")]} | HELD_OUT,
    ),
    "a loss of its own": (
        lambda: ready(OwnLoss(), LOGITS),
        X,
        CLASSES,
        HELD_OUT | {"callbacks": [stop()]},
    ),
    "a step of its own": (
        lambda: ready(OwnStep(), LOGITS),
        X,
        CLASSES,
        {"callbacks": [stop("gap", mode="min")]},
    ),
    "metrics of its own": (
        lambda: ready(OwnMetrics(), LOGITS),
        X,
        CLASSES,
        {"callbacks": [stop("total", mode="min")]},
    ),
    "a layer with a metric of its own": (
        lambda: ready(stack(layers.Dense(4, "relu"), Sparsity(), layers.Dense(3)), LOGITS),
        X,
        CLASSES,
        {"callbacks": [stop("val_share", mode="max")]} | SPLIT,
    ),
    "such a layer in a model that is not built": (
        lambda: ready(keras.Sequential([layers.Dense(4), Sparsity(), layers.Dense(3)]), LOGITS),
        X,
        CLASSES,
        {"callbacks": [stop("share", mode="max")]},
    ),
    "mixed precision": (in_half_precision, X, CLASSES, {"callbacks": [stop("accuracy")]}),
    "mixed precision, passed on": (passed_on_in_float32, X, CLASSES, {}),
    # metrics
    "AUC as a class": (
        lambda: detector(metrics.AUC),
        X,
        BINARY,
        {"callbacks": [stop("val_auc", mode="max")]} | SPLIT,
    ),
    "AUC as a string": (
        lambda: detector("AUC"),
        X,
        BINARY,
        {"callbacks": [stop("val_AUC")]} | SPLIT,
    ),
    "AUC as an object": (
        lambda: detector(metrics.AUC(name="area")),
        X,
        BINARY,
        {"callbacks": [stop("val_area")]} | SPLIT,
    ),
    "precision and recall, as classes": (
        lambda: detector(metrics.Precision, metrics.Recall),
        X,
        BINARY,
        {"callbacks": [stop("val_recall", mode="max")]} | SPLIT,
    ),
    "two of one class": (lambda: detector(metrics.AUC, metrics.AUC), X, BINARY, {}),
    "F1Score": (
        lambda: one_hot_classifier(metrics.F1Score("macro")),
        X,
        ONE_HOT,
        {"callbacks": [stop("val_f1_score", mode="max")]} | SPLIT,
    ),
    "F1Score as a string": (lambda: one_hot_classifier("F1Score"), X, ONE_HOT, SPLIT),
    "R2Score": (
        lambda: regressor(metrics.R2Score()),
        X,
        NUMBERS.reshape(-1, 1),
        {"callbacks": [stop("val_r2_score")]} | SPLIT,
    ),
    "R2Score as a class": (
        lambda: regressor(metrics.R2Score),
        X,
        NUMBERS.reshape(-1, 1),
        {"callbacks": [stop("r2_score", mode="max")]},
    ),
    "MeanIoU": (
        lambda: classifier([metrics.MeanIoU(3, sparse_y_pred=False)]),
        X,
        CLASSES,
        {"callbacks": [stop("val_mean_io_u")]} | SPLIT,
    ),
    "a function": (
        lambda: detector(recall_of_my_own),
        X,
        BINARY,
        {"callbacks": [stop("val_recall_of_my_own", mode="max")]} | SPLIT,
    ),
    "weighted metrics": (
        lambda: classifier(weighted_metrics=["accuracy"]),
        X,
        CLASSES,
        {"sample_weight": np.ones(N), "callbacks": [stop("weighted_accuracy", mode="max")]},
    ),
    "the fifth best": (
        lambda: classifier([metrics.SparseTopKCategoricalAccuracy(2, name="top")]),
        X,
        CLASSES,
        {"callbacks": [stop("top")]},
    ),
    "a loss as a class": (
        lambda: regressor(loss=losses.Huber),
        X,
        NUMBERS,
        {"callbacks": [stop("loss")]},
    ),
    # tasks
    "several tags": (
        lambda: ready(stack(layers.Dense(5, "sigmoid")), "binary_crossentropy"),
        X,
        TAGS,
        SPLIT,
    ),
    "an autoencoder": (
        lambda: ready(stack(layers.Dense(2, "relu"), layers.Dense(4)), "mse"),
        X,
        X,
        SPLIT,
    ),
    "an autoencoder of pixels": (
        lambda: ready(stack(layers.Dense(4, "sigmoid")), "binary_crossentropy"),
        (X > 0).astype("float32"),
        (X > 0).astype("float32"),
        SPLIT,
    ),
    "a language model": (
        lambda: ready(
            stack(layers.Embedding(9, 4), layers.Dense(9), shape=(None,)), LOGITS, ["accuracy"]
        ),
        TOKENS[:, :-1],
        TOKENS[:, 1:],
        SPLIT,
    ),
    "segmentation": (
        lambda: ready(stack(layers.Conv2D(3, 1, activation="softmax"), shape=(6, 6, 1)), SPARSE),
        IMAGES,
        RNG.integers(0, 3, (N, 6, 6)),
        SPLIT,
    ),
    "attention over time": (
        lambda: ready(
            stack(
                *(layers.Embedding(9, 4), layers.Dense(1), layers.Softmax(axis=1)),
                *(layers.Flatten(), layers.Dense(1, "sigmoid")),
                shape=(6,),
            ),
            "binary_crossentropy",
        ),
        TOKENS,
        BINARY,
        {},
    ),
    "a time series": (
        lambda: ready(stack(layers.LSTM(4), layers.Dense(1), shape=(6, 1)), "mae"),
        IMAGES[..., 0][:, :, :1],
        NUMBERS,
        SPLIT | {"shuffle": False},
    ),
    "ages in their order": (regressor, X, np.arange(N) // 6 + 20, SPLIT),
    "counts in their order": (lambda: regressor(loss="poisson"), X, np.arange(N) // 8, SPLIT),
    "a loss of one's own for sorted numbers": (
        lambda: regressor(loss=lambda y, p: keras.ops.mean(keras.ops.abs(y - p), -1)),
        X,
        np.arange(N) // 6,
        SPLIT,
    ),
    "margins": (
        lambda: ready(stack(layers.Dense(1, "tanh")), "hinge"),
        X,
        BINARY * 2 - 1,
        SPLIT,
    ),
    # data
    "a dataset": (classifier, rows, None, {"epochs": 2}),
    "a dataset, repeated": (
        classifier,
        lambda: rows().repeat(),
        None,
        {"epochs": 2, "steps_per_epoch": 3},
    ),
    "a dataset, twice over": (classifier, lambda: rows().repeat(2), None, {"epochs": 2}),
    "validation, repeated": (
        classifier,
        X,
        CLASSES,
        {"validation_data": lambda: rows().repeat(), "validation_steps": 2},
    ),
    "a validation dataset": (
        classifier,
        rows,
        None,
        {"validation_data": rows, "callbacks": [stop("val_accuracy")]},
    ),
    "a PyDataset": (classifier, Batches, None, {"epochs": 2, "validation_data": Batches}),
    "a generator": (classifier, endless, None, {"epochs": 2, "steps_per_epoch": 2}),
    "tensors": (classifier, tf.constant(X), tf.constant(CLASSES), SPLIT),
    "lists of arrays": (classifier, [X], [CLASSES], SPLIT),
    "sorted classes, validated apart": (classifier, X, SORTED_CLASSES, HELD_OUT),
    "weights of classes": (classifier, X, CLASSES, {"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}),
    "weights in the validation data": (
        classifier,
        X,
        CLASSES,
        {"validation_data": (X, CLASSES, np.ones(N))},
    ),
    "values that are missing": (
        lambda: ready(stack(layers.Dense(3, "softmax")), SPARSE),
        X,
        CLASSES,
        {"validation_data": (np.where(X > 2, np.nan, X), CLASSES), "callbacks": [stop()]},
    ),
    # callbacks
    "the usual three": (
        classifier,
        X,
        CLASSES,
        HELD_OUT
        | {
            "epochs": 4,
            "callbacks": [
                stop(patience=3, restore_best_weights=True),
                callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
                saved("best.keras", save_best_only=True),
            ],
        },
    ),
    "a path of several values": (
        classifier,
        X,
        CLASSES,
        HELD_OUT | {"callbacks": [saved("{epoch}-{val_accuracy:.3f}-{loss:.2f}.keras")]},
    ),
    "a path of batches": (
        classifier,
        X,
        CLASSES,
        {"callbacks": [saved("{epoch}-{batch}.keras", save_freq=1)], "batch_size": 12},
    ),
    "a path of weights": (
        classifier,
        X,
        CLASSES,
        SPLIT | {"callbacks": [saved("{val_loss:.2f}.weights.h5", save_weights_only=True)]},
    ),
    "best weights of all epochs": (
        classifier,
        X,
        CLASSES,
        HELD_OUT | {"epochs": 3, "callbacks": [stop(patience=9, restore_best_weights=True)]},
    ),
    "a trial run of one epoch": (
        classifier,
        X,
        CLASSES,
        HELD_OUT | {"epochs": 1, "callbacks": [stop(patience=9), callbacks.ReduceLROnPlateau()]},
    ),
    "a warm-up before stopping": (
        classifier,
        X,
        CLASSES,
        HELD_OUT | {"epochs": 4, "callbacks": [stop(patience=1, start_from_epoch=2)]},
    ),
    "a scheduler": (
        classifier,
        X,
        CLASSES,
        {
            "epochs": 2,
            "callbacks": [
                callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
                stop("learning_rate", mode="min", patience=1),
            ],
        },
    ),
    "NaN, and logs of one's own": (
        classifier,
        X,
        CLASSES,
        {"callbacks": [callbacks.TerminateOnNaN(), Report(), stop("seconds", mode="min")]},
    ),
    "a log of one's own in a path": (
        classifier,
        X,
        CLASSES,
        {"callbacks": [Report(), saved("{seconds:.1f}.keras")]},
    ),
    "a function at each epoch": (
        classifier,
        X,
        CLASSES,
        {"callbacks": [callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)]},
    ),
    "a log file": (
        classifier,
        X,
        CLASSES,
        {"callbacks": [lambda path: callbacks.CSVLogger(path / "log.csv")]},
    ),
    "a backup": (
        classifier,
        X,
        CLASSES,
        {"callbacks": [lambda path: callbacks.BackupAndRestore(path / "backup")]},
    ),
    # schedules and going on
    "a decay": (lambda: scheduled(DECAY), X, CLASSES, {"epochs": 2}),
    "a cosine after a warm-up": (lambda: scheduled(COSINE, momentum=0.9), X, CLASSES, {}),
    "a decay and an early stop": (
        lambda: scheduled(DECAY),
        X,
        CLASSES,
        HELD_OUT | {"epochs": 4, "callbacks": [stop(patience=1)]},
    ),
    "going on": (trained, X, CLASSES, {"initial_epoch": 1, "epochs": 2}),
    "going on in a loop": (trained, X, CLASSES, {"epochs": 1}),
    "compiled anew to go on": (lambda: ready(trained(), SPARSE), X, CLASSES, {"epochs": 2}),
    "gathered gradients": (
        lambda: classifier(optimizer=optimizers.Adam(gradient_accumulation_steps=2)),
        X,
        CLASSES,
        {"batch_size": 8},
    ),
    "several steps at once": (
        lambda: classifier(steps_per_execution=2, run_eagerly=False),
        X,
        CLASSES,
        {"batch_size": 6},
    ),
    "several devices": (mirrored, X, CLASSES, HELD_OUT | {"callbacks": [stop("val_accuracy")]}),
}


def made(case, tmp_path):
    """Return a new model and the arguments; datasets, generators and files are made as well."""
    keras.utils.set_random_seed(7)
    keras.backend.clear_session()
    build, x, y, arguments = CALLS[case]
    arguments = {name: f() if callable(f) else f for name, f in arguments.items()}
    # Copies, since a plateau remembers its best from one run to the next in Keras 3.11.
    given = [f(tmp_path) if callable(f) else deepcopy(f) for f in arguments.get("callbacks", ())]
    return build(), (x() if callable(x) else x), y, arguments | {"callbacks": given}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("case", CALLS)
def test_a_healthy_call_has_no_findings(case, tmp_path):
    model, x, y, arguments = made(case, tmp_path)
    assert check_fit(model, x, y, **arguments) == []


KEYED = pytest.mark.skipif(
    Version(keras.__version__) < Version("3.12"),
    reason="to metrics, Keras 3.11 calls outputs in a dict by other names",
)

# One of each kind: what could use up a name, draw a number, take a batch, set a state.
FITTED = [
    *("Sequential", "a subclass that stops early", "a step of its own"),
    pytest.param("outputs in a dict", marks=KEYED),
    *("such a layer in a model that is not built", "mixed precision", "AUC as a class"),
    *("AUC as a string", "two of one class", "F1Score", "R2Score as a class", "MeanIoU"),
    *("a function", "weighted metrics", "a loss as a class", "a dataset", "validation, repeated"),
    *("a PyDataset", "a generator", "the usual three", "a scheduler", "a decay", "going on"),
    pytest.param("several devices", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("case", FITTED)
def test_a_call_logs_what_it_would_have_without_a_check(case, tmp_path):
    model, x, y, arguments = made(case, tmp_path)
    check_fit(model, x, y, **arguments)
    checked = model.fit(x, y, verbose=0, **arguments).history
    model, x, y, arguments = made(case, tmp_path)
    plain = model.fit(x, y, verbose=0, **arguments).history
    assert list(checked) == list(plain)
    assert all(np.array_equal(checked[name], plain[name]) for name in plain)
    monitors = {getattr(callback, "monitor", "loss") for callback in arguments["callbacks"]}
    assert monitors <= plain.keys()


def test_a_loop_of_single_epochs():
    model = classifier()
    for _ in range(3):
        assert check_fit(model, X, CLASSES, epochs=1) == []
        model.fit(X, CLASSES, epochs=1, verbose=0)
    assert [finding.name for finding in check_fit(model, X, CLASSES)] == ["trained-model"]


def test_there_are_enough_of_them():
    assert len(CALLS) >= 70
