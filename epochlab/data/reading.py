"""What a data set is, and how its files are read and verified."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .standins import Pool

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class Images(NamedTuple):
    """All the images there are, uint8, as stored."""

    source: str
    class_names: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source_digits: np.ndarray | None = None  # of a stand-in: what each training image is made from

    @property
    def stand_in(self) -> bool:
        return self.source_digits is not None


@dataclass(frozen=True)
class DataSet:
    """All that is to be known of one data set.

    `files` maps the names that a file may have in `EPOCHLAB_DATA` to its reader: what can be
    verified first. `cache_files` are names in Keras's cache, of what the first reader reads; a
    download from `url` goes to the first of them. `sha256` is that of the original "archive" that
    `read_cifar` reads, or of the bytes of each array that `read_npz` does. A reader takes this
    record and the bytes of a file, and raises `ValueError` where they are not what they should be.
    `stand_in` says what is drawn instead, and draws it.
    """

    title: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    files: Mapping[str, Callable[["DataSet", bytes], Images]]
    stand_in: tuple[str, Callable[[], Pool]]
    cache_files: tuple[str, ...] = ()
    url: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.url and not self.cache_files:
            raise ValueError(f"cache_files of {self.title} must name the file that url gives.")
        wanted = {"archive"} if read_cifar in self.files.values() else set(_ARRAYS)
        if (self.sha256 or wanted == {"archive"}) and self.sha256.keys() != wanted:
            given = ", ".join(self.sha256) or "none"
            raise ValueError(
                f"sha256 of {self.title} must have {', '.join(sorted(wanted))}; got {given}."
            )


def read_npz(data_set: DataSet, content: bytes) -> Images:
    """Return the images in an .npz with Keras's four arrays; `ValueError` says what is wrong.

    Two correct files differ, so that it is the bytes of the arrays that are compared.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError("it is cut off or no .npz file")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {key: file[key] for key in _ARRAYS}
    except Exception as error:  # NumPy, zipfile and zlib raise half a dozen kinds
        raise ValueError(f"it cannot be read: {error}") from error
    largest = len(data_set.class_names) - 1
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        shapes = (data_set.shape, data_set.shape[:-1] if data_set.shape[-1] == 1 else None)
        if x.dtype != np.uint8 or x.shape[1:] not in shapes or not len(x):
            raise ValueError(f"x_{part} is {x.dtype} of shape {x.shape}")
        if y.dtype != np.uint8 or y.shape not in ((len(x),), (len(x), 1)) or y.max() > largest:
            raise ValueError(
                f"y_{part} is not one uint8 label, 0 to {largest}, for each of {len(x):,} images"
            )
    source = data_set.title
    if not data_set.sha256.keys() >= set(_ARRAYS):
        counts = f"{len(arrays['x_train']):,} + {len(arrays['x_test']):,} images"
        source += f", not verified ({counts})"
    for key, array in arrays.items():
        if data_set.sha256.get(key) not in (None, sha256(array.tobytes())):
            raise ValueError(f"the SHA-256 of {key} is not that of the original")
        if key.startswith("y"):
            arrays[key] = array.ravel()
    return Images(source, data_set.class_names, **arrays)


def read_cifar(data_set: DataSet, content: bytes) -> Images:
    """Return the images in Krizhevsky's archive of CIFAR-10, and in no other file."""
    # A pickle can do anything, so none is read before its archive is known to be the original.
    if sha256(content) != data_set.sha256["archive"]:
        raise ValueError("its SHA-256 is not that of the original")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:

        def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
            member = archive.extractfile(f"cifar-10-batches-py/{name}")
            assert member is not None  # verified
            record = pickle.loads(member.read(), encoding="bytes")
            images = record[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            return images, np.array(record[b"labels"], np.uint8)

        train = zip(*(batch(f"data_batch_{i}") for i in range(1, 6)), strict=True)
        x_train, y_train = (np.concatenate(parts) for parts in train)
        return Images(data_set.title, data_set.class_names, x_train, y_train, *batch("test_batch"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
