"""The copy of the lessons for a class, which is to find out for itself."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hygiene import headings, links_resolve, tags
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "docs" / "classroom.py"
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
CLASSROOM = runpy.run_path(str(SCRIPT))


def run(folder, *arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    result = run(folder, "classroom")
    assert result.returncode == 0, result.stderr
    return folder / "classroom"


def test_readme_has_the_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "```bash\npython docs/classroom.py classroom\n```" in readme


def test_every_lesson_is_copied(copies):
    assert sorted(path.name for path in copies.iterdir()) == [path.name for path in LESSONS]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_copy_gives_no_answer_away(path, copies):
    lesson, copied = nbformat.read(path, 4), nbformat.read(copies / path.name, 4)
    nbformat.validate(copied)
    for cell in copied.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert "solution" not in tags(cell)
    (answer,) = re.findall(r"^\*\*(.+?)\*\*$", lesson.cells[0].source, re.MULTILINE)
    assert not any(answer in cell.source for cell in copied.cells[:1])
    title = lesson.cells[0].source.splitlines()[0]
    assert copied.cells[0].source.startswith(f"{title}\n")
    assert list(links_resolve(copied, copies / path.name)) == []
    kept = [title for _, title in headings(copied)]
    assert len(kept) == len(headings(lesson))
    asked = sum("**Predict" in cell.source for cell in lesson.cells)
    assert sum(title.endswith("?") for title in kept) >= min(asked, 3)


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_how_to_call_it_is_said(tmp_path, arguments):
    result = run(tmp_path, *arguments)
    assert result.returncode == 1 and "classroom.py FOLDER" in result.stderr


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = run(tmp_path, ".")
    assert result.returncode == 1 and "must be new or empty" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def text(source):
    return new_markdown_cell(source)


def test_answers_make_place_for_questions():
    lesson = new_notebook(
        cells=[
            text("# Which wins?\n\n**The small one, mostly.**\n\nYou need **one thing only**."),
            new_code_cell("x = 1", execution_count=3),
            text("## Small wins\n\nTwo models.\n\n**Predict:** which one\nwins? And why?"),
            text("```python\n## no heading\n```\n## Large wins"),
            text("### Inside\n\n**Predict:** is it luck?"),
            text("## Try it\n\n[first](#Small-wins), [last](#Try-it), [more](evidence/x.ipynb)"),
            new_code_cell("x = 2", metadata={"tags": ["solution"]}),
        ]
    )
    copied = CLASSROOM["for_class"](lesson)
    CLASSROOM["mend_links"]({"01_x.ipynb": copied})
    sources = [cell.source for cell in copied.cells]
    assert sources == [
        "# Which wins?\n\nYou need **one thing only**.",
        "x = 1",
        "## Which one wins?\n\nTwo models.\n\n**Predict:** which one\nwins? And why?",
        "```python\n## no heading\n```\n## Is it luck?",
        "### Inside\n\n**Predict:** is it luck?",
        "## Try it\n\nfirst, [last](#Try-it), more",
    ]
