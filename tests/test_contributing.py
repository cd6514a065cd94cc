"""What CONTRIBUTING.md says is tried as it stands there, on a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hygiene import faults
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^(`{3,})python\n# ([^\n]*)\n(.*?)^\1$", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS = [(place, source) for _, place, source in FENCED]
LESSON = "new_lesson.py"


def python(folder, *arguments):
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def put(folder, place, source):
    """Do with a block what its first line says, and return the file it went to."""
    file, where, anchor = re.fullmatch(
        r'([^ ,]+)(?:, (at the end|above|below)(?: "(.*)")?)?', place
    ).groups()
    old = (folder / file).read_text(encoding="utf-8") if where else ""
    at = len(old)
    if anchor:
        line = re.search(rf"^{re.escape(anchor)}.*\n", old, re.MULTILINE)
        assert line, f"{file} has no line that begins with {anchor!r}"
        at = line.start() if where == "above" else line.end()
    (folder / file).write_text(old[:at] + source + old[at:], encoding="utf-8")
    return file


def test_every_block_is_tried():
    assert len(BLOCKS) == len(re.findall(r"^`{3,}python$", PAGE, re.MULTILINE)) == 12


@pytest.mark.slow
def test_rule_data_set_check_and_plot_are_added_as_the_recipes_say(tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("epochlab", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    for file in ("conftest.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, tmp_path)
    tried, changed = [], set()
    for place, source in BLOCKS:
        if place != LESSON:
            changed.add(file := put(tmp_path, place, source))
            tests = re.findall(r"^def (test_\w+)", source, re.MULTILINE)
            tried += [f"{file}::{test}" for test in tests]
    assert len(tried) == 4
    doctests = {str(Path(file).parent) for file in changed if re.match(r"epochlab/.*\.py$", file)}
    shown = python(tmp_path, "-m", "pytest", "-n", "0", "-q", *tried, *doctests)
    assert "skipped" not in shown
    python(tmp_path, "-m", "ruff", "format", *changed)
    python(tmp_path, "-m", "ruff", "check", *changed)
    python(tmp_path, "-m", "mypy")


@pytest.mark.slow
def test_skeleton_of_a_lesson_is_clean(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    # The kernel finds the copy first, with the exercises of the page.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "notebooks"))
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "epochlab", tmp_path / "notebooks" / "epochlab", ignore=ignore)
    with (tmp_path / "notebooks/epochlab/exercises.toml").open("a", encoding="utf-8") as file:
        file.write("\n" + re.search(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])
    put(tmp_path, *next(block for block in BLOCKS if block[0] == LESSON))
    python(tmp_path, LESSON)
    (path,) = (tmp_path / "notebooks").glob("*.ipynb")
    notebook = nbformat.read(path, 4)
    NotebookClient(
        notebook,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
    ).execute()
    nbformat.write(notebook, path)
    assert faults(path) == []
