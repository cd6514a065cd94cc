"""Tries the claims of lessons on seeds that nobody chose.

    python tests/unseen_seeds.py 601 610
    EPOCHLAB_DATA=... python tests/unseen_seeds.py 601 610 04 07

The numbers are a range of EPOCHLAB_SEED, the others lessons; default: all. Of each lesson only
those cells run that its claims need, so that a block takes seconds. What fails is printed, and the
exit status is 1. Lesson 10 sets up devices, which a process can do once: give it one block and no
other lesson.
"""

import ast
import dis
import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from types import CodeType
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from lesson_lines import NOTEBOOKS, called, sources


def needed(texts: list[str]) -> list[tuple[str, bool]]:
    """Return the cells that the claims among them need, and of each whether it claims."""
    modules = set(re.findall(r"(?m)^import.* (\w+)$", "\n".join(texts)))
    found, wanted = [], set[str]()
    for source in reversed(texts):
        tree = ast.parse(source)
        claims = any(called(node) == "claim" for node in ast.walk(tree))
        defined, read = names(compile(source, "cell", "exec"))
        if claims or wanted & (defined | changed(tree) - modules):
            found.append((source, claims))
            wanted = (wanted - defined) | read
    return found[::-1]


def names(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the global names that a cell defines, and those it reads that it has not defined."""
    defined, read, of_functions = set[str](), set[str](), set[str]()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            defined.add(step.argval)
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL") and step.argval not in defined:
            read.add(step.argval)
        elif isinstance(step.argval, CodeType):
            of_functions |= names(step.argval)[1]
    return defined, read | (of_functions - defined)


def changed(tree: ast.Module) -> set[str]:
    """Return what a cell may change that is there already: `x.y = 1`, `x[0] = 1`, `x.append(1)`."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(value=ast.Name(id=name), ctx=ast.Store())
                | ast.Subscript(value=ast.Name(id=name), ctx=ast.Store())
                | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name))))
            ):
                found.add(name)
    return found


def failures(cells: list[tuple[str, bool]]) -> Iterator[str]:
    """Run the cells and yield what a claim among them says where it does not hold."""
    namespace: dict[str, Any] = {"__name__": "__main__", "get_ipython": InteractiveShell.instance}
    for source, claims in cells:
        try:
            with redirect_stdout(StringIO()):
                exec(compile(source, "lesson", "exec"), namespace)
        except AssertionError as error:
            if not claims:
                raise
            yield str(error)


def main(first: str, last: str, *lessons: str) -> int:
    import keras
    import matplotlib

    matplotlib.use("agg")
    source = "real data" if os.environ.get("EPOCHLAB_DATA") else "stand-in"
    n_failed = 0
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        if lessons and path.stem[:2] not in lessons:
            continue
        cells = needed([TransformerManager().transform_cell(text) for text in sources(path)])
        n_claims = sum(claims for _, claims in cells)
        found = []
        for block in range(int(first), int(last) + 1) if cells else []:
            os.environ["EPOCHLAB_SEED"] = str(block)
            found += [f"  {block}: {sentence}" for sentence in failures(cells)]
            keras.backend.clear_session()
        print(f"{path.stem}, {source}: {n_claims} cells that claim, {len(found)} failures")
        print("\n".join(found), end="\n" if found else "", flush=True)
        n_failed += len(found)
    return min(n_failed, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
