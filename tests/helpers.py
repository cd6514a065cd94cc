"""What several test files need."""

import os
import subprocess
import sys


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
