"""What lessons offer to copy works when it is pasted into an empty file, without epochlab."""

import os
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from hygiene import to_copy
from lesson_lines import NOTEBOOKS

from epochlab.data.datasets import find

LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
# The reader's machine has no epochlab; and Keras's loaders read what is here, or a stand-in.
RUN = """
import runpy, sys

sys.modules["epochlab"] = None
import keras, numpy

def loads(name):
    with numpy.load(f"{sys.argv[1]}/{name}.npz") as found:
        both = (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
    return lambda *arguments: both

for name in sys.argv[2:]:
    getattr(keras.datasets, name).load_data = loads(name)
runpy.run_path("copied.py", run_name="__main__")

import matplotlib.pyplot as plt

assert plt.get_fignums(), "no figure was drawn"
"""


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


def run(source, folder, arrays):
    (folder / "copied.py").write_text(source, encoding="utf-8")
    loaded = [name for name in ("mnist", "cifar10") if name in source]
    for name in loaded:
        if not (arrays / f"{name}.npz").exists():
            store(name, arrays)
    return subprocess.run(
        [sys.executable, "-c", RUN, str(arrays), *loaded],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_what_is_to_be_copied_runs_in_an_empty_file(path, tmp_path, arrays):
    blocks = [block for _, block in to_copy(nbformat.read(path, 4))]
    assert blocks
    for block in blocks:
        result = run(block, tmp_path, arrays)
        assert result.returncode == 0, result.stderr


FIGURE = "import keras, matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
SHAPES = """
(x, y), (x_test, y_test) = keras.datasets.cifar10.load_data()
assert x.shape[1:] == x_test.shape[1:] == (32, 32, 3) and y.shape == (len(x), 1)
(x, y), (x_test, y_test) = keras.datasets.mnist.load_data("mnist.npz")
assert x.shape[1:] == x_test.shape[1:] == (28, 28) and y.shape == (len(x),)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "error"),
    [
        (FIGURE + SHAPES, ""),
        (FIGURE + "import epochlab", "ModuleNotFoundError"),
        (FIGURE + "from epochlab import train", "ModuleNotFoundError"),
        (FIGURE + "print(x_train)", "NameError"),
        ("import keras", "no figure was drawn"),
    ],
)
def test_what_does_not_run_is_seen(source, error, tmp_path, arrays):
    result = run(source, tmp_path, arrays)
    assert (result.returncode > 0) == bool(error), result.stderr
    assert error in result.stderr
