"""Where the images come from: a folder, Keras's cache, a download, or the stand-in."""

import functools
import hashlib
import io
import os
import pickle
import queue
import tarfile
import threading
import time
import urllib.request
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._arguments import instance
from . import standins as _standins

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
_STAND_INS = {
    "mnist": ("stand-in for MNIST (UCI digits)", _standins.mnist),
    "cifar10": ("stand-in for CIFAR-10 (UCI digits over photographs)", _standins.cifar10),
}

_URLS = {
    "mnist": "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
}
_FOLDER_FILES = {  # what can be verified comes first
    "mnist": ("mnist.npz",),
    "cifar10": ("cifar-10-python.tar.gz", "cifar10.npz"),
}
_CACHE_FILES = {  # as Keras 3 names them, where a download goes; then as Keras 2 did, and people do
    "mnist": ("mnist.npz",),
    "cifar10": (
        "cifar-10-batches-py-target_archive",
        "cifar-10-batches-py.tar.gz",
        "cifar-10-python.tar.gz",
    ),
}

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# Two correct mnist.npz differ as files, so it is the bytes of the arrays that are compared.
_MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
_CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

# A download goes on as long as each further megabyte takes no more than so many seconds.
_PATIENCE = 15.0
_MEGABYTE = 1_000_000

_lock = threading.Lock()  # the threads of a sweep must not all download the same file
_failed_downloads: dict[str, str] = {}
_announced: set[str] = set()
_loaded: set[str] = set()


class Images(NamedTuple):
    """All the images there are, as stored."""

    source: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source_digits: np.ndarray | None = None  # of a stand-in: what each training image is made from

    @property
    def stand_in(self) -> bool:
        return self.source_digits is not None


def find(name: str) -> Images:
    """Return all images of the first source that has them, kept in memory for the next call."""
    offline = os.environ.get("EPOCHLAB_OFFLINE", "") not in ("", "0")
    with _lock:
        images = _find(name, _data_folder(), _keras_datasets(), offline)
        _loaded.add(name)
    return images


def is_real(name: str) -> bool:
    """Whether `load_data(name)` gives the images of that name here, not the stand-in."""
    check_name(name)
    return not find(name).stand_in


def loaded() -> list[str]:
    """Return the names of the data sets that were loaded in this process."""
    return sorted(_loaded)


def check_name(name: str) -> None:
    """Raise unless there is a data set of that name."""
    wanted = " or ".join(f'"{known}"' for known in TITLES)
    instance("name", name, str, wanted)
    if name not in TITLES:
        raise ValueError(f"name must be {wanted}; got {name!r}.")


def _data_folder() -> Path | None:
    """Return the folder in `EPOCHLAB_DATA`, if any."""
    value = os.environ.get("EPOCHLAB_DATA")
    if not value:
        return None
    if not os.path.isdir(value):
        raise ValueError(
            f"EPOCHLAB_DATA must name a folder; got {value!r}, which is none. A relative path is "
            "relative to the current folder, and a notebook runs in its own: give an absolute one."
        )
    return Path(value).absolute()


def _keras_datasets() -> Path:
    """Return the folder where Keras keeps data sets, found as Keras finds it."""
    home = os.environ.get("KERAS_HOME")
    if not home:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(home), "datasets").absolute()


@functools.cache
def _find(name: str, folder: Path | None, datasets: Path, offline: bool) -> Images:
    """Return the first images found in the order that `load_data` describes."""
    for path in (folder / file for file in _FOLDER_FILES[name]) if folder else ():
        if path.exists():
            try:
                return _read(name, path.name, path.read_bytes())
            except ValueError as error:
                raise ValueError(f"{path} (from EPOCHLAB_DATA) is corrupt: {error}.") from error

    for path in (datasets / file for file in _CACHE_FILES[name]):
        try:
            return _read(name, path.name, path.read_bytes())
        except OSError:
            continue  # not there
        except ValueError as error:
            print(f"{path} is corrupt and not used{_set_aside(path)}: {error}.")

    if offline:
        reason = "EPOCHLAB_OFFLINE is set"
    elif name in _failed_downloads:
        reason = _failed_downloads[name]
    else:
        try:
            return _fetch(name, datasets / _CACHE_FILES[name][0])
        except OSError as error:
            reason = f"the download failed ({error})"
        except ValueError as error:
            reason = f"corrupt download from {_URLS[name]} ({error})"
        _failed_downloads[name] = reason

    source, pool = _STAND_INS[name]
    if name not in _announced:
        _announced.add(name)
        print(
            f"Using the {source}: {reason}. For {TITLES[name]} itself set EPOCHLAB_DATA to the "
            f"absolute path of a folder that has {' or '.join(_FOLDER_FILES[name])}."
        )
    return Images(source, *pool())


def _set_aside(path: Path) -> str:
    """Rename a corrupt file, over no other, and return how to say so."""
    aside = path.with_name(path.name + ".corrupt")
    while aside.exists():
        aside = aside.with_name(aside.name + ".corrupt")
    try:
        path.rename(aside)
    except OSError:
        return ""
    return f", kept as {aside.name}"


def _read(name: str, file: str, content: bytes) -> Images:
    """Return the images in a file's `content`; `ValueError` says what is wrong with it."""
    if not file.endswith(".npz"):
        return Images("CIFAR-10", *_unpack_archive(content))
    x_train, y_train, x_test, y_test = arrays = _unpack_npz(content)
    for key, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        shape = x.shape if name == "cifar10" else (*x.shape, 1)
        if x.dtype != np.uint8 or shape[1:] != SHAPES[name] or not len(x):
            raise ValueError(f"x_{key} is {x.dtype} of shape {x.shape}")
        if y.dtype != np.uint8 or y.shape not in ((len(x),), (len(x), 1)) or y.max() > 9:
            raise ValueError(f"y_{key} is not one uint8 label, 0 to 9, for each of {len(x):,}")
    if name == "cifar10":
        source = f"CIFAR-10, not verified ({len(x_train):,} + {len(x_test):,} images)"
    else:
        source = "MNIST"
        for key, array in zip(_ARRAYS, arrays, strict=True):
            if _sha256(array.tobytes()) != _MNIST_SHA256[key]:
                raise ValueError(f"the SHA-256 of {key} is not that of the original")
    return Images(source, x_train, y_train.ravel(), x_test, y_test.ravel())


def _unpack_npz(content: bytes) -> list[np.ndarray]:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError("it is cut off or no .npz file")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return [arrays[key] for key in _ARRAYS]
    except Exception as error:  # NumPy, zipfile and zlib raise half a dozen kinds
        raise ValueError(f"it cannot be read: {error}") from error


def _unpack_archive(content: bytes) -> tuple[np.ndarray, ...]:
    # A pickle can do anything, so none is read before its archive is known to be the original.
    if _sha256(content) != _CIFAR10_SHA256:
        raise ValueError("its SHA-256 is not that of the original")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:

        def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
            member = archive.extractfile(f"cifar-10-batches-py/{name}")
            record = pickle.loads(member.read(), encoding="bytes")
            images = record[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            return images, np.array(record[b"labels"], np.uint8)

        train = zip(*(batch(f"data_batch_{i}") for i in range(1, 6)), strict=True)
        return (*(np.concatenate(parts) for parts in train), *batch("test_batch"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _fetch(name: str, path: Path) -> Images:
    """Download, verify, and put at `path` in one step: the cache never holds half a file."""
    content = _download(_URLS[name])
    images = _read(name, path.name, content)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):  # a cache that cannot be written is no reason to do without the data
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return images


def _download(url: str) -> bytes:
    """Return what is at `url`; `OSError` when it fails or a megabyte takes over `_PATIENCE`."""
    arrived: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    abandoned = threading.Event()

    def read() -> None:
        try:
            # The limit is kept below; this one, later, only ends the thread.
            with urllib.request.urlopen(url, timeout=2 * _PATIENCE) as response:
                chunk = b" "
                while chunk and not abandoned.is_set():
                    chunk = response.read1(1 << 16)
                    arrived.put(chunk)
        except Exception as error:
            arrived.put(error)

    # In a thread, because no time limit reaches a name server that does not answer.
    threading.Thread(target=read, daemon=True).start()
    chunks: list[bytes] = []
    missing, deadline = _MEGABYTE, time.monotonic() + _PATIENCE
    try:
        while chunk := arrived.get(timeout=max(0, deadline - time.monotonic())):
            if isinstance(chunk, Exception):
                raise OSError(str(chunk)) from chunk
            chunks.append(chunk)
            missing -= len(chunk)
            if missing <= 0:
                missing, deadline = _MEGABYTE, time.monotonic() + _PATIENCE
    except queue.Empty:
        raise TimeoutError(f"less than 1 MB came in {_PATIENCE:.3g} s") from None
    finally:
        abandoned.set()
    return b"".join(chunks)
