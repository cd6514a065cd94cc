"""What lessons offer to copy works when it is pasted into an empty file, without epochlab."""

import os
import runpy
import sys

import keras
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from helpers import PROCESSES
from hygiene import to_copy
from lesson_lines import NOTEBOOKS

from epochlab.data.datasets import find

LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    """A folder for the arrays that Keras's loaders return."""
    return tmp_path_factory.mktemp("arrays")


def store(name, arrays):
    """Write the arrays of a data set."""
    images = find(name)
    columns = (-1, 1) if name == "cifar10" else (-1,)
    # Whoever takes the first images gets some of each kind, of a stand-in too.
    order = np.random.default_rng(0).permutation(len(images.x_train))
    np.savez(
        arrays / name,
        x_train=images.x_train[order],
        y_train=images.y_train[order].reshape(columns),
        x_test=images.x_test,
        y_test=images.y_test.reshape(columns),
    )


def paste(folder, arrays, names):
    """Run `copied.py` as a reader does who has no epochlab, with loaders that read the arrays."""
    os.chdir(folder)
    with open("stderr", "wb") as file:
        os.dup2(file.fileno(), 2)
    sys.modules["epochlab"] = None
    for name in names:
        with np.load(arrays / f"{name}.npz") as found:
            train, test = (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
        getattr(keras.datasets, name).load_data = lambda *_, both=(train, test): both
    plt.switch_backend("agg")
    runpy.run_path("copied.py", run_name="__main__")
    assert plt.get_fignums(), "no figure was drawn"


def run(source, folder, arrays):
    """Return with which code `source` ended in a new process, and what it wrote to stderr."""
    (folder / "copied.py").write_text(source, encoding="utf-8")
    names = [name for name in ("mnist", "cifar10") if name in source]
    for name in names:
        if not (arrays / f"{name}.npz").exists():
            store(name, arrays)
    process = PROCESSES.Process(target=paste, args=(folder, arrays, names))
    process.start()
    process.join(300)
    process.kill()  # what still runs then does not end
    process.join()
    return process.exitcode, (folder / "stderr").read_text(encoding="utf-8", errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_what_is_to_be_copied_runs_in_an_empty_file(path, tmp_path, arrays):
    blocks = [block for _, block in to_copy(nbformat.read(path, 4))]
    assert blocks
    for block in blocks:
        code, error = run(block, tmp_path, arrays)
        assert code == 0, error


FIGURE = "import keras, matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
SHAPES = """
(x, y), (x_test, y_test) = keras.datasets.cifar10.load_data()
assert x.shape[1:] == x_test.shape[1:] == (32, 32, 3) and y.shape == (len(x), 1)
(x, y), (x_test, y_test) = keras.datasets.mnist.load_data("mnist.npz")
assert x.shape[1:] == x_test.shape[1:] == (28, 28) and y.shape == (len(x),)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (FIGURE + SHAPES, ""),
        (FIGURE + "import epochlab", "ModuleNotFoundError"),
        (FIGURE + "from epochlab import train", "ModuleNotFoundError"),
        (FIGURE + "print(x_train)", "NameError"),
        ("import keras", "no figure was drawn"),
    ],
)
def test_what_does_not_run_is_seen(source, expected, tmp_path, arrays):
    code, error = run(source, tmp_path, arrays)
    assert (code > 0) == bool(expected), error
    assert expected in error
