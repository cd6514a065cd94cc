"""Settings for every test, the notebooks included."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from epochlab.evidence import CLAIM_MIME

# No test needs the network: without cached data the stand-ins are used.
os.environ.setdefault("EPOCHLAB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")  # and no window

# The same examples in every run, however busy the machine is.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")

# Kernels run in notebooks/, so a path relative to here would lead nowhere from there.
if folder := os.environ.get("EPOCHLAB_DATA"):
    os.environ["EPOCHLAB_DATA"] = str(Path(folder).resolve())


def pytest_collectstart(collector):
    """Compare what a claim says, not the numbers behind it, nor TensorFlow's start-up log."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += (CLAIM_MIME, "text/markdown", "stderr")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker("slow")


def pytest_collection_finish():
    """What is imported by now stays: no full collection of garbage need go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def shown_in_jupyter():
    """Runs source as one cell in a real kernel and returns the outputs that hold data."""
    import nbformat
    from nbclient import NotebookClient

    def run(source):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        NotebookClient(notebook, kernel_name="python3").execute()
        return [output for output in notebook.cells[0].outputs if "data" in output]

    return run
