"""What `Data.of` makes of people's own arrays, and that it can be trained on."""

import keras
import numpy as np
import pandas as pd
import pytest

from epochlab import Data, sweep, train

N = 100
X = np.arange(3.0 * N).reshape(N, 3)
Y = np.arange(N) % 2


def parts(data):
    names = ("train", "validation", "test")
    return [(getattr(data, f"x_{part}"), getattr(data, f"y_{part}")) for part in names]


def test_shares_are_shuffled_by_the_seed():
    data = Data.of(X, np.arange(N), validation_split=0.25, test_split=0.1)
    assert [len(y) for _, y in parts(data)] == [65, 25, 10]
    for x, y in parts(data):
        np.testing.assert_array_equal(x, X[y])
        assert x.dtype == np.float32 and y.tolist() != sorted(y)
    assert sorted(np.concatenate([y for _, y in parts(data)])) == list(range(N))
    again, other = (Data.of(X, np.arange(N), seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.y_test, Data.of(X, np.arange(N)).y_test)
    assert again.y_test.tolist() != other.y_test.tolist()
    assert not data.stand_in and not Data.of(X, Y, source="stand-in of mine").stand_in


def test_parts_that_are_given_stay_as_they_are():
    pairs = [(X[:50], Y[:50]), (X[50:70], Y[50:70]), (X[70:], Y[70:])]
    data = Data.of(*pairs[0], validation_data=pairs[1], test_data=list(pairs[2]))
    for (x, y), (x_given, y_given) in zip(parts(data), pairs, strict=True):
        np.testing.assert_array_equal(x, x_given)
        np.testing.assert_array_equal(y, y_given)
    one = Data.of(*pairs[0], test_data=pairs[1], validation_split=0.5, test_split=0.9)
    assert [len(y) for _, y in parts(one)] == [25, 25, 20]


def test_values_and_types_stay():
    images = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3)).astype(np.uint8)
    assert Data.of(images, Y).x_train.dtype == np.uint8
    assert Data.of(X.astype(np.float16), Y.astype(bool)).y_test.dtype == bool
    frame = pd.DataFrame(X, columns=list("abc"))
    np.testing.assert_array_equal(Data.of(frame, frame["a"]).x_test, Data.of(X, Y).x_test)
    np.testing.assert_array_equal(Data.of(X.tolist(), Y.tolist()).x_test, Data.of(X, Y).x_test)


@pytest.mark.parametrize(
    ("y", "given", "names"),
    [
        (Y, None, ("0", "1")),
        (Y.astype(bool), None, ("0", "1")),
        (Y.astype(float), None, ()),
        (Y * 5, None, ()),
        (Y - 1, None, ()),
        (np.eye(2, dtype=int)[Y], None, ()),
        (Y, (), ()),
        (Y, ["cat", "dog", "rat"], ("cat", "dog", "rat")),
    ],
)
def test_class_names(y, given, names):
    assert Data.of(X, y, class_names=given).class_names == names


def test_repr():
    sizes = "60 train, 20 validation, 20 test"
    assert repr(Data.of(X, Y)) == f"your arrays: {sizes} rows of 3, 2 classes"
    assert repr(Data.of(X[:, 0], X[:, 0], source="a line")) == f"a line: {sizes} rows of 1"
    assert repr(Data.of(X[:, None], X)) == f"your arrays: {sizes} rows of 1×3"
    images = np.zeros((N, 8, 9, 1))
    assert repr(Data.of(images, Y)) == f"your arrays: {sizes} images of 8×9×1, 2 classes"


BAD_X = X.copy()
BAD_X[7, 1] = np.nan
PAIR = (X[:5], Y[:5])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": Y[:-1]}, ValueError, "^x and y must have as many rows, at least 1; got 100 and 99"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "^x and y must .* got 0 and 0"),
        ({"x": BAD_X}, ValueError, "^x must be finite as float32; got NaN or infinity in row 7"),
        ({"x": X * 1e300}, ValueError, "^x must be finite as float32; .* row 0"),
        ({"y": BAD_X[:, 1]}, ValueError, "^y must be finite.* row 7"),
        ({"x": X.astype(object)}, TypeError, "^x must hold numbers.*; got ndarray of object"),
        ({"x": 3}, TypeError, r"^x must hold numbers.*; got int of int64, shape \(\)"),
        ({"x": {"a": X}}, TypeError, "^x must hold numbers.*; got dict of object"),
        ({"x": iter(X)}, TypeError, "^x must hold numbers.*; got .*iterator of object"),
        ({"x": [[1, 2], [3]]}, TypeError, "^x must hold numbers.*; got list: .*inhomogeneous"),
        ({"x": X + 1j}, TypeError, "^x must hold numbers.*; got ndarray of complex128"),
        ({"x": np.ma.masked_less(X, 3)}, TypeError, "^x must .*; got a masked array"),
        ({"y": ["cat", "dog"] * 50}, TypeError, "^y must hold numbers.* np.unique"),
        ({"validation_split": 0.8}, ValueError, "must leave rows to train on.*; got 0, 80, 20 of"),
        ({"validation_split": 0.9}, ValueError, "must leave rows to train on.*; got 0, 90, 10 of"),
        ({"test_split": 0}, ValueError, "must leave rows .*; got 80, 20, 0 of 100"),
        ({"test_split": 1}, ValueError, r"^test_split must be a number in \[0, 1\); got 1"),
        ({"validation_split": "0.2"}, TypeError, "^validation_split must be a number"),
        ({"seed": -1}, ValueError, "^seed must be an integer, at least 0; got -1"),
        ({"source": None}, TypeError, "^source must be a string; got None"),
        ({"test_data": X}, TypeError, r"^test_data must be a pair \(x, y\); got array"),
        ({"test_data": (X, Y, Y)}, ValueError, r"^test_data must be a pair .* got 3"),
        ({"test_data": (X, Y[1:])}, ValueError, "^x and y of test_data .* 100 and 99"),
        ({"test_data": (X[:0], Y[:0])}, ValueError, "^x and y of test_data .* 0 and 0"),
        ({"validation_data": (BAD_X, Y)}, ValueError, "^x of validation_data must be finite"),
        (
            {"validation_data": (X[:, :2], Y)},
            ValueError,
            r"^x of validation_data must be float32, .* \(3,\), as x is; got float32, .* \(2,\)\.$",
        ),
        (
            {"validation_data": (X, Y.astype(float))},
            ValueError,
            r"^y of validation_data must be int64, .* \(\), as y is; got float32, .* \(\)\.$",
        ),
        ({"class_names": "ab"}, TypeError, "^class_names must be strings.*; got 'ab'"),
        ({"class_names": [0, 1]}, TypeError, r"^class_names must be strings.*; got \[0, 1\]"),
        ({"class_names": 2}, TypeError, "^class_names must be strings.*; got 2"),
        ({"class_names": ["cat"]}, ValueError, "^y must be labels from 0 to 0.*; got 0 to 1"),
        ({"y": Y - 1, "class_names": ["a", "b"]}, ValueError, "^y must .*; got -1 to 0"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Data.of(**{"x": X, "y": Y} | arguments)


def build_model(units=2, loss="sparse_categorical_crossentropy"):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units)])
    if "entropy" in loss:
        model.add(keras.layers.Softmax())
    model.compile("sgd", loss)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("y", [Y, Y.astype(bool), Y.astype(np.uint8), Y[:, None]])
def test_labels_of_every_kind_train(y):
    run = train(build_model(), Data.of(X / X.max(), y), batch_size=20, epochs=2)
    assert len(run.steps) == 6 and np.isfinite(run.steps).all()


def test_numbers_to_predict_train():
    x = X / X.max()
    run = train(build_model(1, "mse"), Data.of(x, x[:, 0]), batch_size=10, epochs=30)
    assert run.epochs["val_loss"].iloc[-1] < 0.5 * run.epochs["val_loss"].iloc[0]


def test_text_trains():
    rows = np.random.default_rng(0).integers(0, 20, (N, 65))
    data = Data.of(rows[:, :-1], rows[:, 1:], class_names=[*map(chr, range(97, 117))])
    assert repr(data).endswith("20 test rows of 64, 20 classes")
    model = keras.Sequential([keras.layers.Embedding(20, 4), keras.layers.Dense(20)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    run = train(model, data, batch_size=20, epochs=1)
    assert run.steps[0] == pytest.approx(np.log(20), abs=0.1)


@pytest.mark.slow
def test_sweep_takes_own_arrays():
    table = sweep(
        build_model,
        lambda seed: Data.of(X / X.max(), Y, seed=seed),
        {"batch_size": [20, 30]},
        seeds=2,
        epochs=1,
    )
    assert table[["batch_size", "seed", "steps"]].values.tolist() == [
        *([20, 0, 3], [20, 1, 3]),
        *([30, 0, 2], [30, 1, 2]),
    ]
    assert table["test_loss"].notna().all()
