"""What `load_data` promises, with no network, no cached data and no patience."""

import io
import json
import os
import pickle
import re
import signal
import socket
import stat
import sys
import tarfile
import threading
import time
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from helpers import printed
from test_progress import Terminal

from epochlab import Data, load_data
from epochlab.data import datasets as _sources
from epochlab.data import download as _download
from epochlab.data import standins as _standins

REAL_FOLDER = os.environ.get("EPOCHLAB_DATA")
SHIPPED_PATIENCE = _download._PATIENCE
NAMES = " or ".join(f'"{name}"' for name in _sources.DATA_SETS)
ARCHIVE = "cifar-10-batches-py-target_archive"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Forget what was loaded; no data, no cache, no network. Returns Keras's datasets folder."""
    monkeypatch.delenv("EPOCHLAB_DATA", raising=False)
    monkeypatch.setenv("EPOCHLAB_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(_sources, "_announced", set())
    monkeypatch.setattr(_sources, "_failed_downloads", {})
    monkeypatch.setattr(_sources, "_loaded", {})
    _sources._find.cache_clear()
    yield tmp_path / "keras" / "datasets"
    _sources._find.cache_clear()


def in_memory() -> list[str]:
    return [images.source for images in _sources.loaded()]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(monkeypatch, name: str, **facts: object) -> None:
    """Change what the record of a data set says."""
    monkeypatch.setitem(_sources.DATA_SETS, name, replace(_sources.DATA_SETS[name], **facts))


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def fake_arrays(shape=(28, 28), n_train=600, n_test=100) -> dict[str, np.ndarray]:
    """Images that bear their own index in the first two pixels."""
    arrays = {}
    for key, n in (("train", n_train), ("test", n_test)):
        x = np.random.default_rng(n).integers(0, 256, (n, *shape)).astype(np.uint8)
        flat = x.reshape(n, -1)
        flat[:, 0], flat[:, 1] = np.divmod(np.arange(n), 256)
        arrays |= {f"x_{key}": x, f"y_{key}": (np.arange(n) % 10).astype(np.uint8)}
    return arrays


def index(images: np.ndarray) -> list[int]:
    pixels = np.rint(images.reshape(len(images), -1)[:, :2] * 255).astype(int)
    return (pixels @ [256, 1]).tolist()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def archive(images: np.ndarray, labels: np.ndarray, extra: object = None) -> bytes:
    """Return a tar file of six batches as Krizhevsky's, two images in each."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
            part = slice(2 * i, 2 * i + 2)
            flat = images[part].transpose(0, 3, 1, 2).reshape(2, -1)
            content = pickle.dumps({b"data": flat, b"labels": labels[part].tolist(), b"x": extra})
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mnist(monkeypatch) -> bytes:
    """A small `mnist.npz` that passes for the real one."""
    arrays = fake_arrays()
    digests = {key: sha256(a.tobytes()).hexdigest() for key, a in arrays.items()}
    change(monkeypatch, "mnist", sha256=digests)
    return npz(arrays)


@pytest.fixture
def cifar10(monkeypatch) -> bytes:
    """A small archive that passes for the real one."""
    content = archive(fake_arrays((32, 32, 3), 12)["x_train"], np.arange(12) % 10)
    change(monkeypatch, "cifar10", sha256={"archive": sha256(content).hexdigest()})
    return content


@pytest.fixture
def real(home, mnist) -> None:
    put(home, "mnist.npz", mnist)


# What comes back


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "size", "source"),
    [
        ("mnist", (28, 28, 1), 60_000, "stand-in for MNIST (UCI digits)"),
        ("cifar10", (32, 32, 3), 50_000, "stand-in for CIFAR-10 (UCI digits over photographs)"),
    ],
)
def test_stand_in(name, shape, size, source, capsys):
    loaded = load_data(name, n_train=300, n_validation=200, n_test=100)
    for x, y, n in (
        (loaded.x_train, loaded.y_train, 300),
        (loaded.x_validation, loaded.y_validation, 200),
        (loaded.x_test, loaded.y_test, 100),
    ):
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((n, *shape), np.float32, (n,), np.int32)
        assert x.min() >= 0 and 0.9 < x.max() <= 1
        assert set(y) == set(range(10))
    assert loaded.source == source and loaded.stand_in and loaded.y_train_clean is None
    assert loaded.class_names == tuple("0123456789")
    assert in_memory() == [source] and not _sources.is_real(name)
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.endswith("\n")
    assert f"Using the {source}: EPOCHLAB_OFFLINE is set." in line and "EPOCHLAB_DATA" in line

    load_data(name, n_train=1, n_validation=1, n_test=1)
    _sources._find.cache_clear()
    load_data(name, n_train=1, n_validation=1, n_test=1)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match=f"{size:,}, the number of training images of stand-in"):
        load_data(name, n_train=size)
    with pytest.raises(ValueError, match=r"10,000, the number of test .*; got 10,001"):
        load_data(name, n_test=10_001)


def test_real_data(real, capsys):
    loaded = load_data(n_train=400, n_validation=200, n_test=100)
    for x, y in (
        (loaded.x_train, loaded.y_train),
        (loaded.x_validation, loaded.y_validation),
        (loaded.x_test, loaded.y_test),
    ):
        assert y.tolist() == [i % 10 for i in index(x)]
        assert (x.dtype, x.shape[1:], x.min(), x.max()) == (np.float32, (28, 28, 1), 0, 1)
    assert sorted(index(loaded.x_train) + index(loaded.x_validation)) == list(range(600))
    assert sorted(index(loaded.x_test)) == list(range(100))
    assert (loaded.source, loaded.stand_in) == ("MNIST", False)
    assert in_memory() == ["MNIST"] and _sources.is_real("mnist")
    assert capsys.readouterr() == ("", "")


def test_repr(real):
    sizes = {"n_train": 500, "n_validation": 50, "n_test": 40}
    text = "MNIST: 500 train, 50 validation, 40 test images of 28×28×1, 10 classes"
    assert repr(load_data(**sizes)) == text
    noisy = load_data(**sizes, label_noise=0.25)
    assert repr(noisy) == text + ", 25 % of training labels wrong"


def test_data_is_frozen_and_compares_by_identity(real):
    one, other = (load_data(n_train=5, n_validation=5, n_test=5) for _ in range(2))
    assert isinstance(one, Data) and one == one and one != other
    with pytest.raises(AttributeError):
        one.source = "MNIST, honestly"


def test_a_seed_picks_the_same_images_and_a_larger_number_adds_some(real):
    def picked(**settings):
        loaded = load_data(**{"n_train": 50, "n_validation": 40, "n_test": 30} | settings)
        return [index(x) for x in (loaded.x_train, loaded.x_validation, loaded.x_test)]

    train, validation, test = picked(seed=3)
    assert [train, validation, test] == picked(seed=np.int64(3)) == picked(seed=3, label_noise=0.5)
    for other in (4, 3 + 2**32, 2**70):
        assert all(
            a != b for a, b in zip((train, validation, test), picked(seed=other), strict=True)
        )
    more = picked(seed=3, n_train=400, n_validation=200, n_test=100)
    assert more[0][:50] == train
    assert more[1][-40:] == validation
    assert more[2][:30] == test


def test_random_streams_are_independent(tmp_path, monkeypatch):
    put(tmp_path, "cifar10.npz", npz(fake_arrays((32, 32, 3), 100, 100)))
    monkeypatch.setenv("EPOCHLAB_DATA", str(tmp_path))
    sizes = {"n_train": 50, "n_validation": 50, "n_test": 50}
    loaded = load_data("cifar10", **sizes, label_noise=0.5)
    assert index(loaded.x_test) != index(loaded.x_train)
    wrong = [
        (y != np.array(index(x)) % 10).tolist()
        for x, y in (
            (loaded.x_train, loaded.y_train),
            (loaded.x_validation, loaded.y_validation),
        )
    ]
    assert sum(wrong[0]) == sum(wrong[1]) == 25 and wrong[0] != wrong[1]


def test_test_images_do_not_depend_on_the_others():
    tests = [load_data(n_train=n, n_validation=10, n_test=20).x_test for n in (10, 500)]
    np.testing.assert_array_equal(*tests)


@pytest.mark.slow
def test_a_seed_picks_what_it_always_picked(real):
    sizes = {"n_train": 60, "n_validation": 20, "n_test": 20, "label_noise": 0.3, "seed": 7}
    loaded = load_data(**sizes)
    picked = [*map(index, (loaded.x_train, loaded.x_validation, loaded.x_test))]
    assert [numbers[:4] for numbers in picked] == [
        *([538, 202, 564, 512], [414, 274, 495, 412], [5, 43, 44, 16]),
    ]
    labels = [y.tolist() for y in (loaded.y_train, loaded.y_validation, loaded.y_test)]
    assert sha256(json.dumps([picked, labels]).encode()).hexdigest()[:16] == "6bb120fcc4d4582c"

    stand_in = load_data("cifar10", **sizes)
    labels = [y.tolist() for y in (stand_in.y_train, stand_in.y_validation, stand_in.y_test)]
    assert sha256(json.dumps(labels).encode()).hexdigest()[:16] == "636fb94b744f2cf2"
    # Pixels, but for the last bit of a product that another processor may round otherwise.
    total = sum(x.sum(dtype=float) for x in (stand_in.x_train, stand_in.x_test))
    assert total == pytest.approx(100_349.402, rel=1e-6)


# Label noise


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.35, 0.999])
def test_label_noise_is_exact(share):
    sizes = {"n_train": 2_000, "n_validation": 501, "n_test": 100, "seed": 5}
    clean, noisy = load_data(**sizes), load_data(**sizes, label_noise=share)
    for part in ("train", "validation"):
        wrong = getattr(clean, f"y_{part}") != getattr(noisy, f"y_{part}")
        assert wrong.sum() == round(share * len(wrong))
        np.testing.assert_array_equal(getattr(clean, f"x_{part}"), getattr(noisy, f"x_{part}"))
    np.testing.assert_array_equal(clean.x_test, noisy.x_test)
    np.testing.assert_array_equal(clean.y_test, noisy.y_test)
    assert noisy.y_train.dtype == np.int32 and set(noisy.y_train) == set(range(10))
    if share:
        np.testing.assert_array_equal(clean.y_train, noisy.y_train_clean)
    else:
        assert noisy.y_train_clean is None


def test_wrong_labels_are_uniform_over_the_wrong_classes_and_the_images():
    loaded = load_data(n_train=40_000, n_validation=20_000, label_noise=0.45)
    offset = (loaded.y_train - loaded.y_train_clean) % 10
    counts = np.bincount(offset)
    assert counts.tolist()[0] == 22_000
    assert np.abs(counts[1:] - 2_000).max() < 5 * 2_000**0.5
    halves = [np.count_nonzero(half) for half in np.split(offset, 2)]
    assert abs(halves[0] - 9_000) < 5 * 50
    assert not np.array_equal(offset[:20_000] > 0, offset[20_000:] > 0)


# The stand-ins


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_train", "n_validation", "shared"),
    [
        *((1, 1, 0), (100, 20, 0), (10_000, 2_000, 0), (59_000, 10, 0), (30_000, 30_000, 0)),
        *((50_000, 10_000, 0), (54_999, 5_001, 1), (1, 59_999, 1)),
    ],
)
def test_train_and_validation_share_no_source_digit(n_train, n_validation, shared):
    pool = _standins.mnist()
    number = {image.tobytes(): i for i, image in enumerate(pool.x_train)}
    loaded = load_data(n_train=n_train, n_validation=n_validation, n_test=1, seed=1)
    train, validation = (
        [number[image.tobytes()] for image in np.rint(x * 255).astype(np.uint8)]
        for x in (loaded.x_train, loaded.x_validation)
    )
    assert len(set(train + validation)) == n_train + n_validation
    np.testing.assert_array_equal(pool.y_train[train], loaded.y_train)
    digits = [set(pool.source_digits[part].tolist()) for part in (train, validation)]
    assert len(digits[0] & digits[1]) == shared
    if n_validation == 2_000:  # one sixth of 1,500 source digits, nearly all of them used
        assert 240 <= len(digits[1]) <= 250
        assert loaded.y_train.tolist() != sorted(loaded.y_train) and len(digits[0]) > 1_200
        other = load_data(n_train=n_train, n_validation=n_validation, n_test=1, seed=2)
        assert not np.array_equal(other.y_validation, loaded.y_validation)


@pytest.mark.slow
def test_pools_are_as_large_as_the_originals():
    for pool, n, shape in (
        (_standins.mnist(), 60_000, (28, 28)),
        (_standins.cifar10(), 50_000, (32, 32, 3)),
    ):
        assert pool.x_train.shape == (n, *shape) and pool.x_test.shape == (10_000, *shape)
        assert pool.y_train.shape == pool.source_digits.shape == (n,)
        assert pool.y_test.shape == (10_000,)
        assert {a.dtype for a in pool[:4]} == {np.dtype(np.uint8)}
        uses = np.bincount(pool.source_digits)
        assert len(uses) == 1_500 and uses.max() - uses.min() <= 1
        # Neighbours are of different source digits, and their labels of no fixed order.
        assert (np.diff(pool.source_digits) != 0).all()
    assert len({image.tobytes() for image in _standins.mnist().x_train}) == 60_000


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_pools_are_deterministic_and_split_the_source_digits(channels, monkeypatch):
    from sklearn.datasets import load_digits, load_sample_images

    photographs = None if channels == 1 else np.stack(load_sample_images().images)
    draw, used = _standins._draw, []
    monkeypatch.setattr(
        _standins, "_draw", lambda pixels, *a: used.append(pixels) or draw(pixels, *a)
    )
    one, other = (_standins._pool(3_000, 1_000, 32, photographs) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    train, test = ({row.tobytes() for row in pixels} for pixels in used[:2])
    assert not train & test
    assert [len(pixels) for pixels in used[:2]] == [1_500, len(load_digits().data) - 1_500]


@pytest.mark.slow
def test_stand_in_behaves_like_mnist():
    x = _standins.mnist().x_train[::6].reshape(-1, 784) / np.float32(255)
    assert 25 < np.linalg.eigvalsh(x.T @ x / len(x))[-1] < 45  # MNIST: 38
    assert 0.10 < x.mean() < 0.16  # MNIST: 0.13


def test_labels_belong_to_the_images():
    pool = _standins.mnist()
    x, test = (images.reshape(-1, 784) / np.float32(255) for images in (pool.x_train, pool.x_test))
    means = np.stack([x[pool.y_train == digit].mean(axis=0) for digit in range(10)])
    nearest = (test @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    assert (nearest == pool.y_test).mean() > 0.8
    # Images of one source digit are more alike than images of one class.
    one = x[pool.source_digits == 7]
    assert one.std(axis=0).mean() < 0.8 * x[pool.y_train == pool.y_train[7]].std(axis=0).mean()


@pytest.mark.parametrize("brightness", [(0, 120), (136, 256)])
def test_painted_digits_can_be_seen(brightness):
    photographs = np.random.default_rng(0).integers(*brightness, (2, 64, 64, 3)).astype(np.uint8)
    ink = np.zeros((4, 5, 32, 32), np.float32)
    ink[..., 16:] = 1
    picture = _standins._paint(ink, photographs, np.random.default_rng(1))
    left, right = np.split(picture, 2, axis=3)
    assert np.ptp(right, axis=(2, 3)).max() < 1e-3  # one colour
    assert np.abs(left.mean(axis=(2, 3)) - right.mean(axis=(2, 3))).min() > 100


# Bad arguments


@pytest.mark.parametrize("argument", ["n_train", "n_validation", "n_test", "seed"])
@pytest.mark.parametrize("value", [0, -1, 3.0, float("nan"), True, "3", None])
def test_integers(argument, value):
    if argument == "seed" and value == 0 and value is not False:
        return
    error = ValueError if type(value) is int else TypeError
    with pytest.raises(error, match=rf"^{argument} must be an integer.*; got '?{value}"):
        load_data(**{argument: value})


@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((-0.1, ValueError), (1, ValueError), (1.5, ValueError), (float("nan"), ValueError)),
        *((True, TypeError), ("0.1", TypeError), (None, TypeError), ([0.1], TypeError)),
    ],
)
def test_label_noise_argument(value, error):
    with pytest.raises(error, match=r"^label_noise must be a number in \[0, 1\)"):
        load_data(label_noise=value)


@pytest.mark.parametrize(
    ("name", "error"),
    [("MNIST", ValueError), ("", ValueError), ("mnist ", ValueError), (None, TypeError)]
    + [(b"mnist", TypeError), (["mnist"], TypeError)],
)
def test_name(name, error):
    with pytest.raises(error, match=rf"^name must be {NAMES}; got") as raised:
        load_data(name)
    assert repr(name) in str(raised.value)


def test_more_images_than_there_are(real):
    load_data(n_train=500, n_validation=100, n_test=100)
    with pytest.raises(ValueError, match=r"^n_train \+ n_validation .* 600,.* of MNIST; got 601"):
        load_data(n_train=501, n_validation=100, n_test=100)
    with pytest.raises(ValueError, match=r"^n_test .* 100, .* test images of MNIST; got 101"):
        load_data(n_train=500, n_validation=100, n_test=101)


# Where it is looked for


SMALL = {"n_train": 5, "n_validation": 2, "n_test": 2}


def test_order_of_search(home, tmp_path, monkeypatch, mnist, cifar10):
    """The folder goes before the cache, what can be verified before what cannot."""
    folder = tmp_path / "folder"
    monkeypatch.setenv("EPOCHLAB_DATA", str(folder))
    with pytest.raises(ValueError, match=r"^EPOCHLAB_DATA .*folder'.* relative.* absolute"):
        load_data(**SMALL)
    monkeypatch.setenv("EPOCHLAB_DATA", str(put(folder, "something.else", b"")))
    with pytest.raises(ValueError, match=r"^EPOCHLAB_DATA must name a folder; got '.*else'"):
        load_data(**SMALL)

    def source(name):
        return load_data(name, **SMALL).source

    monkeypatch.setenv("EPOCHLAB_DATA", str(folder))
    assert source("cifar10").startswith("stand-in")
    monkeypatch.delenv("EPOCHLAB_DATA")
    put(home, ARCHIVE, cifar10)
    put(home, "mnist.npz", mnist)
    monkeypatch.setenv("KERAS_HOME", str(home.parent) + "/")
    _sources._find.cache_clear()
    assert [source("mnist"), source("cifar10")] == ["MNIST", "CIFAR-10"]

    monkeypatch.setenv("EPOCHLAB_DATA", str(folder))
    _sources._find.cache_clear()
    assert source("cifar10") == "CIFAR-10"  # the folder lacks it
    put(folder, "cifar10.npz", npz(fake_arrays((32, 32, 3), 50, 20)))
    _sources._find.cache_clear()
    assert source("cifar10") == "CIFAR-10, not verified (50 + 20 images)"
    put(folder, "cifar-10-python.tar.gz", cifar10)
    _sources._find.cache_clear()
    assert source("cifar10") == "CIFAR-10"


def test_changed_environment_is_honoured(home, tmp_path, monkeypatch):
    for n in (50, 60):
        put(tmp_path / str(n), "cifar10.npz", npz(fake_arrays((32, 32, 3), n)))
    sources = []
    for folder in ("50", "60", None):
        if folder:
            monkeypatch.setenv("EPOCHLAB_DATA", str(tmp_path / folder))
        else:
            monkeypatch.setenv("EPOCHLAB_DATA", "")
        sources.append(load_data("cifar10", **SMALL).source[:29])
    assert sources == [
        "CIFAR-10, not verified (50 + ",
        "CIFAR-10, not verified (60 + ",
        "stand-in for CIFAR-10 (UCI di",
    ]
    # A relative path is relative to wherever the process is now.
    monkeypatch.setenv("EPOCHLAB_DATA", ".")
    for folder in ("50", "60"):
        monkeypatch.chdir(tmp_path / folder)
        assert f"({folder} +" in load_data("cifar10", **SMALL).source


def test_keras_home(monkeypatch, tmp_path):
    assert _sources._keras_datasets() == tmp_path / "keras" / "datasets"
    monkeypatch.delenv("KERAS_HOME")
    home = "USERPROFILE" if os.name == "nt" else "HOME"
    monkeypatch.setenv(home, str(tmp_path))
    assert _sources._keras_datasets() == tmp_path / ".keras" / "datasets"
    monkeypatch.setenv(home, str(tmp_path / "missing"))
    assert _sources._keras_datasets() == Path("/tmp/.keras/datasets").absolute()
    monkeypatch.setenv(home, str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", "~/course")
    assert _sources._keras_datasets() == tmp_path / "course" / "datasets"


@pytest.mark.parametrize("file", [ARCHIVE, "cifar-10-batches-py.tar.gz", "cifar-10-python.tar.gz"])
def test_cifar10_archive_in_the_cache(home, cifar10, file):
    put(home, file, cifar10)
    loaded = load_data("cifar10", n_train=8, n_validation=2, n_test=2)
    assert (loaded.source, loaded.stand_in) == ("CIFAR-10", False)
    assert loaded.class_names[0] == "airplane" and len(loaded.class_names) == 10
    x = np.concatenate([loaded.x_train, loaded.x_validation, loaded.x_test])
    assert sorted(index(x)) == list(range(12)), "channels are not where they belong"
    y = np.concatenate([loaded.y_train, loaded.y_validation, loaded.y_test])
    assert y.tolist() == [i % 10 for i in index(x)]
    original = fake_arrays((32, 32, 3), 12)["x_train"][index(x)]
    np.testing.assert_array_equal(np.rint(x * 255), original)


def test_unverified_cifar10(tmp_path, monkeypatch):
    arrays = fake_arrays((32, 32, 3), 50, 20)
    arrays["y_train"] = arrays["y_train"][:, None]
    put(tmp_path, "cifar10.npz", npz(arrays))
    monkeypatch.setenv("EPOCHLAB_DATA", str(tmp_path))
    loaded = load_data("cifar10", n_train=40, n_validation=10, n_test=20)
    assert loaded.source == "CIFAR-10, not verified (50 + 20 images)" and not loaded.stand_in
    assert loaded.class_names[-1] == "truck"
    assert loaded.y_train.tolist() == [i % 10 for i in index(loaded.x_train)]


def test_is_real_looks_where_load_data_looks(home, mnist, capsys):
    assert in_memory() == []
    put(home, "mnist.npz", mnist)
    assert _sources.is_real("mnist") and in_memory() == ["MNIST"]
    assert not _sources.is_real("cifar10") and in_memory()[0] == "MNIST" and len(in_memory()) == 2
    assert "Using the stand-in for CIFAR-10" in capsys.readouterr().out
    with pytest.raises(ValueError, match=rf"^name must be {NAMES}; got 'imagenet'"):
        _sources.is_real("imagenet")


def test_data_set_without_a_download(monkeypatch, capsys):
    monkeypatch.setenv("EPOCHLAB_OFFLINE", "0")
    change(monkeypatch, "mnist", url=None, cache_files=())
    assert load_data(**SMALL).stand_in
    assert "(UCI digits): it was not found, and there is no download." in capsys.readouterr().out


def test_data_import_no_more_than_numpy(home, tmp_path, mnist):
    put(home, "mnist.npz", mnist)
    code = """
import sys
import epochlab.data.loading, epochlab.data.datasets
heavy = {"sklearn", "scipy", "pandas", "tensorflow", "keras", "matplotlib", "tqdm"}
print(heavy & sys.modules.keys())
"""
    assert printed(code) == "set()\n"


def test_stand_in_without_scikit_learn(monkeypatch, capsys):
    change(monkeypatch, "mnist", stand_in=("UCI digits", _standins.mnist.__wrapped__))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    needs = r'stand-in for MNIST \(UCI digits\) needs sklearn: pip install "epochlab\[notebooks\]"'
    with pytest.raises(ImportError, match=rf"^EPOCHLAB_OFFLINE is set, and the {needs}$"):
        load_data(**SMALL)
    assert capsys.readouterr() == ("", "")


# Files that cannot be read


UNREADABLE = {
    "a folder": (Path.mkdir, "it is a folder"),
    "a pipe": (getattr(os, "mkfifo", None), "it is no regular file"),
    "a broken link": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
}


@pytest.mark.skipif(os.name == "nt", reason="no pipes, and links only for administrators")
@pytest.mark.parametrize(("make", "reason"), UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("where", ["folder", "cache"])
def test_what_stands_in_the_place_of_a_file(
    where, make, reason, home, tmp_path, monkeypatch, capsys
):
    path = (home if where == "cache" else tmp_path / "folder") / "mnist.npz"
    path.parent.mkdir(parents=True)
    make(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    if where == "cache":
        assert load_data(**SMALL).stand_in
        line = capsys.readouterr().out.splitlines()[0]
        assert line.startswith(f"{path} cannot be read and is not used: ") and reason in line
    else:
        monkeypatch.setenv("EPOCHLAB_DATA", str(path.parent))
        wanted = rf"^{re.escape(str(path))} \(from EPOCHLAB_DATA\) cannot be read: .*{reason}"
        with pytest.raises(ValueError, match=wanted):
            load_data(**SMALL)
        assert capsys.readouterr() == ("", "")
    assert stat.S_IFMT(path.lstat().st_mode) == kind


@pytest.mark.parametrize("where", ["folder", "cache"])
def test_file_without_permission(where, home, tmp_path, monkeypatch, mnist, capsys):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    path = put(home if where == "cache" else tmp_path / "folder", "mnist.npz", mnist)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    if where == "cache":
        assert load_data(**SMALL).stand_in
        assert f"{path} cannot be read and is not used: Permission denied.\n" in (
            capsys.readouterr().out
        )
        return
    monkeypatch.setenv("EPOCHLAB_DATA", str(path.parent))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} .* read: Permission denied\.$"):
        load_data(**SMALL)


# Corrupt files


def changed(**changes):
    """Return a function that changes arrays, or leaves them out where `None` is given."""

    def change(arrays, tmp_path):
        arrays |= {key: function(arrays[key]) for key, function in changes.items()}
        return npz({key: array for key, array in arrays.items() if array is not None})

    return change


def altered(x):
    x = x.copy()
    x[7, 3, 3] ^= 1
    return x


def damaged(arrays, tmp_path):
    content = bytearray(npz(arrays))
    content[5_000] ^= 1
    return bytes(content)


def pickled(arrays, tmp_path):
    bomb = np.empty(1, object)
    bomb[0] = Bomb(tmp_path / "created")
    return npz(arrays | {"y_test": bomb})


def bare_array(arrays, tmp_path):
    file = io.BytesIO()
    np.save(file, arrays["x_train"])
    return file.getvalue()


CORRUPT = {
    "empty": (lambda arrays, _: b"", "cut off"),
    "truncated": (lambda arrays, _: npz(arrays)[:-2_000], "cut off"),
    "a web page": (lambda arrays, _: b"<html>Sign in to the network", "cut off or no .npz"),
    "a bare array": (bare_array, "no .npz"),
    "damaged": (damaged, "cannot be read"),
    "pickled": (pickled, "cannot be read.*allow_pickle"),
    "missing array": (changed(y_test=lambda y: None), "cannot be read.*y_test"),
    "wrong type": (changed(x_train=lambda x: x.astype(np.float32)), "x_train is float32"),
    "wrong shape": (changed(x_test=lambda x: x[:, :27]), r"x_test is uint8 of shape \(.*27, "),
    "no images": (changed(x_test=lambda x: x[:0], y_test=lambda y: y[:0]), "x_test .* shape .0,"),
    "a label of 10": (changed(y_train=lambda y: y + np.uint8(1)), "y_train is not one uint8 label"),
    "few labels": (changed(y_test=lambda y: y[:-1]), "y_test is not one uint8 label"),
    "long labels": (changed(y_test=lambda y: y.astype(np.int64)), "y_test is not one uint8 label"),
    "altered pixel": (changed(x_train=altered), "SHA-256 of x_train"),
    "altered label": (changed(y_test=lambda y: y[::-1]), "SHA-256 of y_test"),
}


@pytest.mark.parametrize(("corrupt", "message"), CORRUPT.values(), ids=CORRUPT)
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_corrupt_npz_in_the_folder(
    name, corrupt, message, home, tmp_path, monkeypatch, mnist, capsys
):
    if name == "cifar10" and "SHA-256" in message:
        return  # nothing to compare with
    content = corrupt(fake_arrays((28, 28) if name == "mnist" else (32, 32, 3)), tmp_path)
    path = put(tmp_path / "folder", f"{name}.npz", content)
    put(home, "mnist.npz", mnist)
    monkeypatch.setenv("EPOCHLAB_DATA", str(path.parent))
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} .* is corrupt: .*{message}"):
            load_data(name, **SMALL)
    assert files(path.parent) == {path.name: content}
    assert not (tmp_path / "created").exists()
    assert capsys.readouterr() == ("", "") and in_memory() == []


@pytest.mark.parametrize(("corrupt", "message"), CORRUPT.values(), ids=CORRUPT)
def test_corrupt_npz_in_the_cache(corrupt, message, home, tmp_path, mnist, capsys):
    content = corrupt(fake_arrays(), tmp_path)
    path = put(home, "mnist.npz", content)
    assert load_data(**SMALL).stand_in
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path} is corrupt") and "mnist.npz.corrupt" in first
    assert second.startswith("Using the stand-in for MNIST")
    assert files(home) == {"mnist.npz.corrupt": content}
    assert not (tmp_path / "created").exists()

    put(home, "mnist.npz", b"another")
    _sources._find.cache_clear()
    load_data(**SMALL)
    assert files(home) == {"mnist.npz.corrupt": content, "mnist.npz.corrupt.corrupt": b"another"}


@pytest.mark.parametrize("file", [ARCHIVE, "cifar-10-python.tar.gz"])
def test_unverified_pickle_is_never_read(file, home, tmp_path, monkeypatch, capsys):
    bomb = Bomb(tmp_path / "created")
    content = archive(fake_arrays((32, 32, 3), 12)["x_train"], np.arange(12) % 10, bomb)
    path = put(home, file, content)
    assert load_data("cifar10", **SMALL).stand_in
    assert f"{path} is corrupt" in capsys.readouterr().out
    assert files(home) == {f"{file}.corrupt": content}

    folder = put(tmp_path / "folder", "cifar-10-python.tar.gz", content).parent
    monkeypatch.setenv("EPOCHLAB_DATA", str(folder))
    with pytest.raises(ValueError, match=r"tar.gz .* is corrupt: its SHA-256"):
        load_data("cifar10", **SMALL)
    assert not bomb.path.exists()
    # The test can fail: once verified, the pickle is read.
    change(monkeypatch, "cifar10", sha256={"archive": sha256(content).hexdigest()})
    load_data("cifar10", **SMALL)
    assert bomb.path.exists()


def test_corrupt_file_that_cannot_be_renamed(home, mnist, monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError

    put(home, "mnist.npz", b"")
    monkeypatch.setattr(Path, "rename", refuse)
    assert load_data(**SMALL).stand_in
    assert "mnist.npz is corrupt and is not used: " in capsys.readouterr().out
    assert files(home) == {"mnist.npz": b""}


# Downloads


class Server(ThreadingHTTPServer):
    """Serves `content`, or fails to, as `behaviour` says."""

    daemon_threads = True
    content = b""
    behaviour = "good"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hits = 0
        self.over = threading.Event()
        self.waited_out = False
        self.url = f"http://127.0.0.1:{self.server_port}/file"

    def stall(self):
        """Wait for the end of the test, and note if what waits for this has not given up before."""
        self.waited_out = not self.over.wait(60)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, content = self.server, self.server.content
        server.hits += 1
        half = len(content) // 2
        if server.behaviour == "silent":
            server.stall()
            return
        if server.behaviour == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if "unannounced" not in server.behaviour:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if server.behaviour in ("good", "unannounced"):
            self.wfile.write(content)
        elif server.behaviour == "cut":
            self.wfile.write(content[:half])
        elif server.behaviour == "stalls":
            self.wfile.write(content[:half])
            server.stall()
        elif server.behaviour == "drips":
            for byte in content:
                self.wfile.write(bytes([byte]))
                if server.over.wait(0.05):
                    return
        elif server.behaviour.startswith("slow"):
            for start in range(0, len(content), len(content) // 12):
                self.wfile.write(content[start : start + len(content) // 12])
                server.over.wait(0.1)


@pytest.fixture
def server(monkeypatch, mnist):
    """A server of `mnist`, from which to download."""
    server = Server()
    server.content = mnist
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for name in ("mnist", "cifar10"):
        change(monkeypatch, name, url=server.url)
    monkeypatch.setenv("EPOCHLAB_OFFLINE", "0")
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("behaviour", "offline"), [("good", ""), ("good", "0"), ("unannounced", None), ("slow", None)]
)
def test_download(behaviour, offline, server, home, monkeypatch, capsys):
    if offline is None:
        monkeypatch.delenv("EPOCHLAB_OFFLINE")
    else:
        monkeypatch.setenv("EPOCHLAB_OFFLINE", offline)
    server.behaviour = behaviour
    if behaviour == "slow":
        monkeypatch.setattr(_download, "_PATIENCE", 0.5)
        monkeypatch.setattr(_download, "_MEGABYTE", len(server.content) // 20)
    started = time.monotonic()
    loaded = load_data(**SMALL)
    assert loaded.source == "MNIST" and _sources.is_real("mnist")
    if behaviour == "slow":
        assert time.monotonic() - started > 2 * _download._PATIENCE, "too fast to prove anything"
    assert files(home) == {"mnist.npz": server.content}
    # From then on from the cache.
    _sources._find.cache_clear()
    assert load_data(**SMALL).source == "MNIST"
    assert server.hits == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("announced", [True, False])
def test_long_download_shows_how_far_it_is(announced, server, monkeypatch, capsys):
    server.behaviour = "slow" if announced else "slow, unannounced"
    monkeypatch.setattr(_download, "_UNSEEN", 0.3)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert load_data(**SMALL).source == "MNIST"
    lines = terminal.getvalue().split("\r")
    assert all("Downloading MNIST: " in line for line in lines if line.strip())
    assert any(("%" in line) == announced and "B/s" in line for line in lines)
    assert not lines[-1] and not lines[-2].strip(), "something stays in the terminal"
    assert capsys.readouterr().out == ""


def test_short_download_shows_nothing(server, monkeypatch):
    assert 1 <= _download._UNSEEN <= 3
    server.behaviour = "slow"
    monkeypatch.setattr(_download, "_UNSEEN", 60)  # however busy the machine is
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert load_data(**SMALL).source == "MNIST"
    assert terminal.getvalue() == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_download_has_the_mode_that_the_user_asks_for(server, home):
    before = os.umask(0o027)
    try:
        load_data(**SMALL)
    finally:
        os.umask(before)
    assert stat.S_IMODE((home / "mnist.npz").stat().st_mode) == 0o640


def test_download_of_cifar10(server, home, cifar10):
    server.content = cifar10
    assert load_data("cifar10", **SMALL).source == "CIFAR-10"
    assert files(home) == {ARCHIVE: cifar10}


def test_download_replaces_a_corrupt_file(server, home, mnist):
    put(home, "mnist.npz", mnist[:-1_000])
    assert load_data(**SMALL).source == "MNIST"
    assert files(home) == {"mnist.npz": mnist, "mnist.npz.corrupt": mnist[:-1_000]}


def test_download_replaces_nothing_that_cannot_be_read(server, home, monkeypatch):
    path = put(home, "mnist.npz", b"somebody's own")
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path / "denied"))
    assert load_data(**SMALL).source == "MNIST" and server.hits == 1
    assert [(file, read(file)) for file in home.iterdir()] == [(path, b"somebody's own")]


@pytest.mark.parametrize("how", ["no folder", "disk full"])
def test_download_without_a_cache_to_write_to(how, server, home, monkeypatch, capsys):
    def fill(*_):
        raise OSError("No space left on device")

    if how == "no folder":
        put(home.parent.parent, "keras", b"a file")
    else:
        monkeypatch.setattr(os, "fsync", fill)  # half is written
    assert load_data(**SMALL).source == "MNIST"
    assert not home.is_dir() or not files(home)
    assert capsys.readouterr() == ("", "")


FAILURES = {
    "refused": "the download failed.*refused",
    "missing": "the download failed.*404",
    "silent": "the download failed .less than 1 MB came in 0.5 s",
    "stalls": "the download failed .less than 1 MB came in 0.5 s",
    "drips": "the download failed .less than 1 MB came in 0.5 s",
    "unknown host": "the download failed .less than 1 MB came in 0.5 s",
    "cut": "corrupt download from http.*cut off",
    "corrupt": "corrupt download from http.*SHA-256 of x_train",
    "a web page": "corrupt download from http.*no .npz",
}


@pytest.mark.parametrize(("behaviour", "message"), FAILURES.items())
def test_download_that_fails(behaviour, message, server, home, monkeypatch, capsys):
    server.behaviour = behaviour
    # Windows takes two seconds to find a port closed.
    monkeypatch.setattr(_download, "_PATIENCE", 5 if behaviour == "refused" else 0.5)
    if behaviour == "refused":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/mnist.npz"
        change(monkeypatch, "mnist", url=url)
    elif behaviour == "unknown host":  # a name server that does not answer
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: server.stall() or [])
    elif behaviour in ("corrupt", "a web page"):
        server.behaviour = "good"
        server.content = CORRUPT["altered pixel" if behaviour == "corrupt" else behaviour][0](
            fake_arrays(), home
        )
    assert load_data(**SMALL).stand_in
    assert not server.waited_out and SHIPPED_PATIENCE <= 18
    assert not files(home)
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.startswith("Using the stand-in for MNIST (UCI digits): ")
    assert re.search(message, line)

    # Remembered: nobody asks again, not even from elsewhere, and nothing more is said.
    hits = server.hits
    server.behaviour = "good"
    monkeypatch.setenv("KERAS_HOME", str(home / "elsewhere"))
    assert load_data(**SMALL).stand_in
    assert server.hits == hits <= 1
    assert capsys.readouterr() == ("", "")


def test_offline_does_not_ask(server, monkeypatch):
    for value in ("1", "yes"):
        monkeypatch.setenv("EPOCHLAB_OFFLINE", value)
        _sources._find.cache_clear()
        assert load_data(**SMALL).stand_in
    assert server.hits == 0


def test_unverified_download_is_never_unpickled(server, home, tmp_path):
    bomb = Bomb(tmp_path / "created")
    server.content = archive(fake_arrays((32, 32, 3), 12)["x_train"], np.arange(12) % 10, bomb)
    assert load_data("cifar10", **SMALL).stand_in
    assert not bomb.path.exists() and not files(home)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("moment", ["waiting", "writing"])
def test_interrupt_leaves_nothing(moment, server, home, monkeypatch, capsys):
    def interrupt(*_):
        os.kill(os.getpid(), signal.SIGINT)
        server.stall()

    # A shell's background jobs ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        if moment == "waiting":
            server.behaviour = "stalls"
            threading.Timer(0.3, interrupt).start()
        else:
            patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_data(**SMALL)
        assert not server.waited_out
    signal.signal(signal.SIGINT, handler)
    assert not files(home)
    assert capsys.readouterr() == ("", "")
    server.behaviour = "good"  # it was no failure: the next call asks again
    assert load_data(**SMALL).source == "MNIST"


def test_threads_download_once(server, capsys):
    server.behaviour = "slow"
    threads = [threading.Thread(target=load_data, kwargs=SMALL | {"seed": k}) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.hits == 1 and _sources.is_real("mnist")
    assert capsys.readouterr() == ("", "")


# Further


@pytest.mark.skipif(not REAL_FOLDER, reason="EPOCHLAB_DATA is not set")
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_real_thing(name, monkeypatch, capsys):
    folder = Path(REAL_FOLDER)
    if not any((folder / file).exists() for file in _sources.DATA_SETS[name].files):
        pytest.skip(f"no {name} in {folder}")
    monkeypatch.setenv("EPOCHLAB_DATA", REAL_FOLDER)
    loaded = load_data(name)
    assert loaded.source.startswith(_sources.DATA_SETS[name].title) and not loaded.stand_in
    assert set(loaded.y_train) == set(range(10)) and len(loaded.x_train) == 10_000
    assert _sources.is_real(name) and capsys.readouterr() == ("", "")


def test_a_record_that_cannot_be_verified_or_downloaded_is_refused():
    mnist, cifar10 = _sources.DATA_SETS["mnist"], _sources.DATA_SETS["cifar10"]
    with pytest.raises(ValueError, match="cache_files of MNIST must name the file that url gives"):
        replace(mnist, cache_files=())
    with pytest.raises(ValueError, match="sha256 of MNIST must have .*y_train; got archive"):
        replace(mnist, sha256=cifar10.sha256)
    with pytest.raises(ValueError, match="sha256 of CIFAR-10 must have archive; got none"):
        replace(cifar10, sha256={})
