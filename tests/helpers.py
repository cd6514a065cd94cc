"""What several test files need."""

import multiprocessing
import os
import subprocess
import sys

# A new process from a server that has imported TensorFlow starts at once, where there is one.
START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES = multiprocessing.get_context(START)
if START == "forkserver":
    PROCESSES.set_forkserver_preload(
        ["epochlab.training.grid", "epochlab.stopping.resuming", "matplotlib.pyplot"]
    )


def printed(code: str) -> str:
    """Return what `code` prints in a process of its own, which must end well."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
