"""The data sets, one record each, and where their images come from.

From a folder, Keras's cache, a download, or the stand-in.
"""

import functools
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from .._arguments import instance
from .._extras import needed_by
from .._files import write
from . import standins
from .download import download
from .reading import DataSet, Images, read_cifar, read_npz

DATA_SETS = {
    "mnist": DataSet(
        title="MNIST",
        shape=(28, 28, 1),
        class_names=tuple("0123456789"),
        files={"mnist.npz": read_npz},
        cache_files=("mnist.npz",),
        url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        sha256={
            "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        },
        stand_in=("UCI digits", standins.mnist),
    ),
    "cifar10": DataSet(
        title="CIFAR-10",
        shape=(32, 32, 3),
        class_names=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        files={"cifar-10-python.tar.gz": read_cifar, "cifar10.npz": read_npz},
        cache_files=(  # as Keras 3 names them; then as Keras 2 did, and people do
            "cifar-10-batches-py-target_archive",
            "cifar-10-batches-py.tar.gz",
            "cifar-10-python.tar.gz",
        ),
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        sha256={"archive": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"},
        stand_in=("UCI digits over photographs", standins.cifar10),
    ),
}

_lock = threading.Lock()  # the threads of a sweep must not all download the same file
_failed_downloads: dict[str, str] = {}
_announced: set[str] = set()
_loaded: dict[str, Images] = {}  # by their source


def find(name: str) -> Images:
    """Return all images of the first source that has them, kept in memory for the next call."""
    wanted = " or ".join(f'"{known}"' for known in DATA_SETS)
    instance("name", name, str, wanted)
    if name not in DATA_SETS:
        raise ValueError(f"name must be {wanted}; got {name!r}.")
    offline = os.environ.get("EPOCHLAB_OFFLINE", "") not in ("", "0")
    with _lock:
        images = _find(name, _data_folder(), _keras_datasets(), offline)
        _loaded[images.source] = images
    return images


def is_real(name: str) -> bool:
    """Whether `load_data(name)` gives the images of that name here, not the stand-in.

    Raises as `load_data` does for an unknown name and for a corrupt file in `EPOCHLAB_DATA`.
    """
    return not find(name).stand_in


def loaded() -> list[Images]:
    """Return the images that were loaded in this process; looks nowhere else."""
    return [_loaded[source] for source in sorted(_loaded)]


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
    data_set = DATA_SETS[name]
    read = next(iter(data_set.files.values()))
    given = [] if folder is None else [(folder / file, r) for file, r in data_set.files.items()]
    cached = [(datasets / file, read) for file in data_set.cache_files]
    for path, read_file in given + cached:
        try:
            if (content := _content(path)) is not None:
                return read_file(data_set, content)
        except (OSError, ValueError) as error:
            corrupt = isinstance(error, ValueError)
            fault = "is corrupt" if corrupt else "cannot be read"
            reason = getattr(error, "strerror", None) or error
            if (path, read_file) in given:
                raise ValueError(f"{path} (from EPOCHLAB_DATA) {fault}: {reason}.") from error
            kept = _set_aside(path) if corrupt else ""
            print(f"{path} {fault} and is not used{kept}: {reason}.")

    if data_set.url is None:
        reason = "it was not found, and there is no download"
    elif offline:
        reason = "EPOCHLAB_OFFLINE is set"
    elif name in _failed_downloads:
        reason = _failed_downloads[name]
    else:
        try:
            content = download(data_set.url, data_set.title)
            images = read(data_set, content)
            _keep(datasets / data_set.cache_files[0], content)
            return images
        except OSError as error:
            reason = f"the download failed ({error})"
        except ValueError as error:
            reason = f"corrupt download from {data_set.url} ({error})"
        _failed_downloads[name] = reason

    made_of, draw = data_set.stand_in
    source = f"stand-in for {data_set.title} ({made_of})"
    with needed_by(f"{reason}, and the {source}"):
        pool = draw()
    if name not in _announced:
        _announced.add(name)
        print(
            f"Using the {source}: {reason}. For {data_set.title} itself set EPOCHLAB_DATA to the "
            f"absolute path of a folder that has {' or '.join(data_set.files)}."
        )
    return Images(source, standins.CLASS_NAMES, *pool)


def _content(path: Path) -> bytes | None:
    """Return what is in a file, `None` where there is none; `OSError` says why it has none."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
        raise OSError("it is a folder" if path.is_dir() else "it is no regular file")
    return path.read_bytes()


def _keep(path: Path, content: bytes) -> None:
    if os.path.lexists(path):  # what cannot be read is somebody's, too
        return
    with suppress(OSError):  # a cache that cannot be written is no reason to do without the data
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)


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
