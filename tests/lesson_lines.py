"""Whether a lesson is plain: python tests/lesson_lines.py prints a table and what is wrong.

Counted are the lines of code that a reader sees: no blank ones, no comments, no solutions, and not
the cell that installs.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

import epochlab

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
EVIDENCE = {
    *("claim", "verdict", "difference", "interval", "paired_difference", "Check", "sweep"),
    *("sweep_rules", "best_epochs", "last_epochs", "share", "seeds", "train"),
}
MOST_EVIDENCE = 0.15
MOST_NAMES = 8
FIRST_FIT = 3


@dataclass
class Count:
    """What is counted of a lesson, and the dense code in it, one sentence each."""

    lines: int = 0
    evidence: int = 0
    names: set[str] = field(default_factory=set)
    first_fit: int | None = None
    dense: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        found = list(self.dense)
        if self.evidence > MOST_EVIDENCE * self.lines:
            found.append(f"{self.evidence} of {self.lines} lines are evidence: at most 15 %.")
        if len(self.names) > MOST_NAMES:
            found.append(f"It uses {len(self.names)} names of epochlab: at most {MOST_NAMES}.")
        if self.first_fit is None or self.first_fit > FIRST_FIT:
            found.append(f"The first fit is in code cell {self.first_fit}: at most {FIRST_FIT}.")
        return found


def count(sources: list[str]) -> Count:
    """Count what stands in the code cells of a lesson."""
    result = Count()
    for number, source in enumerate(sources, start=1):
        tree = ast.parse(TransformerManager().transform_cell(source))
        for lines, evidence in statements(tree.body):
            result.lines += lines
            result.evidence += lines if evidence else 0
        for node in ast.walk(tree):
            result.names |= names_of_epochlab(node)
            if sentence := dense(node):
                result.dense.append(f"Code cell {number}, line {node.lineno}: {sentence}.")
            if result.first_fit is None and called(node) == "fit":
                result.first_fit = number
    return result


def statements(body: list[ast.stmt]) -> Iterator[tuple[int, bool]]:
    """Yield of each statement how many lines it has, and whether they are evidence."""
    for statement in body:
        inner = [
            part
            for name in ("body", "orelse", "handlers", "finalbody")
            for part in getattr(statement, name, [])
        ]
        if not inner:
            calls = {called(node) for node in ast.walk(statement)}
            yield statement.end_lineno - statement.lineno + 1, bool(calls & EVIDENCE)
            continue
        head = {called(node) for part in heads(statement) for node in ast.walk(part)}
        yield min(part.lineno for part in inner) - statement.lineno or 1, bool(head & EVIDENCE)
        yield from statements(inner)


def heads(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield what stands in the first line of a compound statement."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, (ast.stmt, ast.ExceptHandler)):
            yield child


def called(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return None


def names_of_epochlab(node: ast.AST) -> set[str]:
    public = set(dir(epochlab))
    match node:
        case ast.ImportFrom(module="epochlab", names=names):
            return {name.name for name in names}
        case ast.Attribute(value=ast.Name(id="epochlab"), attr=name) if name in public:
            return {name}
    return set()


def dense(node: ast.AST) -> str | None:
    """Return what is wrong with a construct that a beginner would have to puzzle out."""
    match node:
        case ast.Attribute(attr="pivot" | "pivot_table" | "unstack" | "groupby" as name):
            return f"{name}; take best_epochs, last_epochs or difference"
        case ast.Subscript(slice=ast.Tuple(elts=parts)) if any(map(is_fancy, parts)):
            return "an index made of arrays; give the values names"
        case ast.BinOp(op=ast.BitOr()) | ast.AugAssign(op=ast.BitOr()):
            return "dictionaries merged with |; write the arguments at the call"
        case ast.keyword(arg=None) | ast.Dict(keys=[*_, None]) | ast.Dict(keys=[None, *_]):
            return "** unpacks arguments; write them at the call"
        case ast.Starred():
            return "* unpacks a sequence; write its parts"
        case ast.Assign(targets=[ast.Tuple()], value=ast.Tuple()):
            return "several assignments in one; write one a line"
        case ast.NamedExpr():
            return ":= inside of an expression; write an assignment of its own"
        case ast.Import(names=names) if {"re", "functools"} & {name.name for name in names}:
            return "functools or re; write it out"
        case ast.ImportFrom(module="re" | "functools"):
            return "functools or re; write it out"
        case ast.Lambda(body=body) if any(isinstance(part, ast.Lambda) for part in ast.walk(body)):
            return "a lambda in a lambda; write a function"
        case ast.BinOp(op=ast.FloorDiv(), left=ast.UnaryOp(op=ast.USub())):
            return "-(-a // b); write math.ceil(a / b)"
        case ast.ListComp(generators=[_, _, *_]) | ast.DictComp(generators=[_, _, *_]):
            return "two loops in one comprehension; write a loop"
    return None


def is_fancy(index: ast.AST) -> bool:
    return called(index) in ("arange", "range", "argmin", "argmax")


def sources(path: Path) -> list[str]:
    """Return the code cells of a notebook that a reader sees."""
    cells = nbformat.read(path, 4).cells
    hidden = {"solution", "colab-install"}
    return [
        cell.source
        for cell in cells
        if cell.cell_type == "code" and not hidden & set(cell.metadata.get("tags", []))
    ]


def main() -> int:
    wrong = 0
    print("lesson                lines  evidence  names  first fit")
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        found = count(sources(path))
        share = found.evidence / max(found.lines, 1)
        shown = f"{found.lines:5}  {share:7.0%}  {len(found.names):5}  {found.first_fit!s:>9}"
        print(f"{path.stem:20}  {shown}")
        for fault in found.faults():
            wrong += 1
            print(f"    {fault}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
