"""Writes a copy of the lessons for a class that is to find out for itself.

    python docs/classroom.py FOLDER

Outputs, solutions and the bold answer at the beginning are left out. Where a section asks for a
prediction, its heading tells the result: the question takes its place. The text below the figures
stays, so let the class write their predictions down before they read on.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LESSONS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9]*.ipynb"))
HEADING = re.compile(r"^## +(.+?)\s*$", re.MULTILINE)
PREDICT = re.compile(r"^\*\*Predict:?\*\*:?\s*(.+?\?)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:)([^)#]*)(#[^)]*)?\)")


def for_class(notebook: NotebookNode) -> NotebookNode:
    """Return the lesson without what gives the answers away."""
    notebook.cells = [
        cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    first = notebook.cells[0]
    first.source = re.sub(r"\n\*\*.+?\*\*(?=\n|$)\n*", "\n", first.source, count=1, flags=re.DOTALL)
    asks_before_it_tells(notebook)
    return notebook


def asks_before_it_tells(notebook: NotebookNode) -> None:
    """Put the question of each section that asks for a prediction in the place of its heading."""
    title = None  # the cell that has it, and where
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        if found := list(HEADING.finditer(blank(cell.source))):
            title = cell, found[-1].span(1)
        if title and (question := PREDICT.search(cell.source)):
            asked = " ".join(question[1].split())
            head, (start, end) = title
            head.source = head.source[:start] + asked[0].upper() + asked[1:] + head.source[end:]
            title = None


def blank(source: str) -> str:
    """Return a text of the same length without the code in it, whose comments are no headings."""
    return FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), source)


def anchors(notebook: NotebookNode) -> set[str]:
    """Return what Jupyter calls the headings in a link."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = re.findall(r"^#+ +(.+?)\s*$", "\n".join(map(blank, texts)), re.MULTILINE)
    return {"#" + re.sub(r"[*`]", "", title).replace(" ", "-") for title in titles}


def mend_links(notebooks: dict[str, NotebookNode]) -> None:
    """Let links lead to what is in the copy: to the lesson where the section has a new name."""
    known = {name: anchors(notebook) for name, notebook in notebooks.items()}
    for name, notebook in notebooks.items():

        def mended(link: re.Match[str], here: str = name) -> str:
            text, file, anchor = link[1], link[2], link[3] or ""
            if (file or here) not in known:
                return text
            anchor = anchor if anchor in known[file or here] else ""
            return f"[{text}]({file}{anchor})" if file or anchor else text

        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = LINK.sub(mended, cell.source)


def main(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} must be new or empty: nothing is overwritten.")
    notebooks = {path.name: for_class(nbformat.read(path, 4)) for path in LESSONS}
    mend_links(notebooks)
    folder.mkdir(parents=True, exist_ok=True)
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
