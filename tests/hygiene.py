"""What a clean notebook is: one function per rule, each yielding one sentence per fault.

`faults(path)` applies them all. Code cells are numbered as nbval numbers them, from 0.
"""

import ast
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from statistics import median
from urllib.parse import unquote

import nbformat
from IPython.core.displayhook import DisplayHook
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from epochlab.evidence import CLAIM_MIME

Rule = Callable[[NotebookNode, Path], Iterator[str]]
RULES: list[Rule] = []

MAY_RAISE = {"raises-exception", "nbval-raises-exception"}
TAGS = MAY_RAISE | {"nbval-check-output", "nbval-ignore-output", "colab-install", "solution"}
FRONT_DOOR = "00_start_here"  # leads to the others, and has an anatomy of its own
MOST_LINES = {  # where a notebook has more experiments than the rule of 150 lines has room for
    FRONT_DOOR: 230,
    "01_epochs": 220,
    "02_batch_size": 265,
    "03_iterations": 300,
    "04_early_stopping": 270,
    "05_large_batches": 200,
    "06_learning_rate": 205,
    "08_choosing_values": 250,
    "10_more_devices": 250,
}
SECTIONS = ["What people say", "Copy this", "Exercises", "References"]
FRONT_SECTIONS = [
    *("What to set first", "The map", "From curve to cause", "Glossary", "Calculator"),
    *("Cheat sheet", "Self-check", "Can you answer?", "References"),
]

# The "━" of a Keras bar follows a count ("32/32 ━━━"); model.summary() draws its frame with it too.
PROGRESS = re.compile(r"[\r\x08█]|/\S{1,20} \S{0,20}━|ms/step|\bETA\b|\d\s?(?:it/s|s/it)")
HERE = [Path(__file__).resolve().parents[1], Path.home(), Path(tempfile.gettempdir())]
MACHINE = re.compile(
    r"(?<![\w.~}])(?:/home/\w+|/root/|/Users/\w+|/tmp/|"
    # A home folder "/", as some containers have it, would forbid every path.
    + "|".join(rf"{re.escape(str(folder))}\b" for folder in HERE if len(folder.parts) > 1)
    + r")|[A-Za-z]:\\+Users|ipykernel_\d+"
)
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(\s*<?([^)\s>]+)|^\[[^\]^]+\]:\s*(\S+)|(?:href|src)="([^"]+)"', re.MULTILINE)


def faults(path: Path) -> list[str]:
    """Return one sentence for each fault of the notebook, saying where and what would be right."""
    try:
        notebook = read(path)
    except Exception as error:  # no rule can look at a file that is not a notebook
        reason = str(error).partition("\n")[0]
        return [f"{path.name} is not a valid notebook of format 4.5: {reason}"]
    return [fault for rule in RULES for fault in rule(notebook, path)]


def read(path: Path) -> NotebookNode:
    """Read a notebook, strictly: `nbformat.read` would mend it on the way."""
    notebook = nbformat.reader.reads(path.read_text(encoding="utf-8"))
    if (notebook.nbformat, notebook.nbformat_minor) != (4, 5):
        raise ValueError(f"it says {notebook.nbformat}.{notebook.nbformat_minor}")
    if len({cell.id for cell in notebook.cells if "id" in cell}) < len(notebook.cells):
        raise ValueError("each cell needs an id of its own")
    nbformat.validate(notebook)
    for name, cell in cells(notebook, "code"):
        try:
            parsed(cell.source)
        except SyntaxError as error:
            raise ValueError(f"{name} is not Python: {error}") from error
    return notebook


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


@rule
def executed_in_order(notebook: NotebookNode, path: Path) -> Iterator[str]:
    code = list(cells(notebook, "code"))
    for name, cell in code:
        if not cell.source.strip():
            yield f"{name} is empty: remove it."
    for expected, (name, cell) in enumerate(code, start=1):
        if cell.execution_count != expected:
            yield (
                f"{name} has the execution count {cell.execution_count} instead of {expected}: "
                "restart the kernel, run all cells and save."
            )
            break  # all later ones are off too


@rule
def outputs_in_place(notebook: NotebookNode, path: Path) -> Iterator[str]:
    has_figure = has_print = False
    for name, cell in cells(notebook, "code"):
        may_raise = bool(MAY_RAISE & tags(cell))
        if may_raise != any(output.output_type == "error" for output in cell.outputs):
            yield (
                f"{name} is tagged raises-exception and stores no error: remove the tag."
                if may_raise
                else f"{name} stores an error: mend the cell or tag it raises-exception."
            )
        for output in cell.outputs:
            data = output.get("data", {})
            has_figure |= "image/png" in data
            has_print |= output.get("name") == "stdout" or (
                "text/plain" in data and not {"image/png", CLAIM_MIME} & data.keys()
            )
    if not has_figure:
        yield "The notebook stores no figure (image/png): draw one, run all cells and save."
    if not has_print:
        yield "The notebook stores no printed number or table: run all cells and save."


@rule
def no_stderr(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for name, cell in cells(notebook, "code"):
        if any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"{name} stores stderr: cure the warning, or run with PYTEST_CURRENT_TEST set."


@rule
def no_progress_bars(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for name, cell in cells(notebook, "code"):
        for output in cell.outputs:
            if debris := PROGRESS.search(text(output)):
                yield f"{name} stores a progress bar ({debris[0]!r}): switch it off."
            if any("widget-view" in mime for mime in output.get("data", {})):
                yield f"{name} stores a widget, which is empty once reopened: switch it off."
        # The line of verbose=2 contains timings: it may be caught, but not shown.
        allowed = {0, 2} if "redirect_stdout" in cell.source else {0}
        for call in calls(cell, "fit", "evaluate", "predict", "fit_interruptible"):
            if isinstance(call.func, ast.Name) and call.func.id != "fit_interruptible":
                continue  # a function of the notebook's own
            verbose = keyword(call, "verbose") or ast.Constant("auto")
            if isinstance(verbose, ast.Constant) and verbose.value not in allowed:
                yield f"{name} calls {ast.unparse(call.func)} without verbose=0."


@rule
def same_on_every_machine(notebook: NotebookNode, path: Path) -> Iterator[str]:
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"The notebook asks for the kernel {kernel}; right is python3, which all have."
    for name, cell in cells(notebook):
        shown = "\n".join(text(output) for output in cell.get("outputs", []))
        for where, content in (("source", cell.source), ("output", shown)):
            if found := MACHINE.search(content):
                yield f"{name} has a path of one machine in its {where} ({found[0]!r})."
        if found := re.search(r"\bat 0x[0-9a-fA-F]+", shown):
            yield f'{name} shows an object\'s address ({found[0]}): start its line with "_ =".'


@rule
def survives_nbval(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for name, cell in cells(notebook, "code"):
        if DisplayHook.semicolon_at_end_of_expression(python(cell.source)):
            yield f'{name} ends with ";", which hides nothing under nbval: use "_ =".'
        for node in ast.walk(parsed(cell.source)):
            if trap := nbval_trap(node, installs="colab-install" in tags(cell)):
                yield f"{name} {trap}."


def nbval_trap(node: ast.AST, *, installs: bool) -> str | None:
    match node:
        case ast.Name(id=name) if re.fullmatch(r"In|Out|_i?\d+", name):
            return f"uses the history {name}, which nbval does not keep: give the value a name"
        case ast.Call(
            func=ast.Attribute(attr="run_line_magic" | "run_cell_magic"),
            args=[ast.Constant(magic), *_],
        ):
            if magic in ("time", "timeit", "prun"):
                return f"uses %{magic}, whose output differs in every run: use time.perf_counter"
            if magic in ("pip", "conda") and not installs:
                return f"uses %{magic} outside the cell tagged colab-install"
        case ast.Call(func=ast.Attribute(attr="system" | "getoutput")) if not installs:
            return "runs a shell command (!) outside the cell tagged colab-install"
        case (
            ast.Name(id="clear_output" | "update_display" as name)
            | ast.Attribute(attr="clear_output" | "update_display" as name)
            | ast.keyword(arg="display_id" as name)
        ):
            return f"uses {name}, which nbval cannot follow: show the final state only"
        case ast.Attribute(value=ast.Name(id="sys"), attr="executable"):
            return "uses sys.executable, which differs on every machine"
    return None


@rule
def marked_with_known_tags(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for name, cell in cells(notebook):
        for tag in sorted(tags(cell) - TAGS):
            yield f"{name} has the tag {tag!r}; known are {', '.join(sorted(TAGS))}."
        if {"nbval-check-output", "nbval-ignore-output"} <= tags(cell):
            yield f"{name} is tagged to be both compared and ignored: keep one tag."
    for name, cell in cells(notebook, "code"):
        # nbval obeys such comments inside strings and ignores them, silently, when anything
        # else stands on the line: tags cannot go wrong that way.
        if found := re.search(r"nbval[_-]\w+|PYTEST_VALIDATE\w+", cell.source, re.IGNORECASE):
            yield f"{name} has {found[0]} in its source: use a cell tag instead."


@rule
def claims_are_compared(notebook: NotebookNode, path: Path) -> Iterator[str]:
    code = list(cells(notebook, "code"))
    for function in ("claim",) if path.stem == FRONT_DOOR else ("claim", "verdict"):
        if not any(calls(cell, function) for _, cell in code):
            yield f"The notebook calls {function} nowhere: it needs one at least."
    for name, cell in code:
        expected = len(calls(cell, "claim", "verdict"))
        if not expected:
            continue
        if "nbval-check-output" not in tags(cell):
            yield f"{name} makes a claim: tag it nbval-check-output."
        if MAY_RAISE & tags(cell):
            yield f"{name} makes a claim that may fail unnoticed: remove the tag raises-exception."
        stored = sum(CLAIM_MIME in output.get("data", {}) for output in cell.outputs)
        if stored < expected:
            yield f"{name} stores {stored} claims of {expected}: run all cells and save."
        for output in cell.outputs:
            if number := re.search(r"\d+\.\d+", text(output)):
                yield f"{name} makes a claim and prints the number {number[0]}: use words."


@rule
def figures_are_described(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for name, cell in cells(notebook, "code"):
        for output in cell.outputs:
            for mime in output.get("data", {}):
                if mime == "image/svg+xml":
                    yield f"{name} stores an SVG, which differs in every run: store a PNG."
                elif mime.startswith("image/"):
                    alt = output.metadata.get(mime, {}).get("alt", "")
                    if len(alt.strip()) < 20:
                        yield f"{name} has a figure whose alt text is shorter than 20 characters."
                    if "nbval-check-output" in tags(cell):
                        yield f"{name} is compared and has a figure: draw it in another cell."
    for name, cell in cells(notebook, "markdown"):
        if re.search(r'!\[\s*\]|<img(?![^>]*\balt="[^"]+)', without_code(cell)):
            yield f"{name} has an image without alt text: say what it shows."


@rule
def links_resolve(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for name, cell in cells(notebook, "markdown"):
        for match in LINK.finditer(without_code(cell)):
            target = match[match.lastindex]
            if target.startswith("attachment:"):
                found = target.removeprefix("attachment:") in cell.get("attachments", {})
            elif re.match(r"[a-z]+:", target):
                continue  # on the web: no test needs the network
            else:
                file, _, anchor = unquote(target).partition("#")
                other = path.parent / file if file else path
                found = other.exists()
                if found and "#" in target and other.suffix == ".ipynb":
                    linked = read(other) if file else notebook
                    # Jupyter's anchor is the heading as shown, with dashes for its spaces.
                    found = anchor in [title.replace(" ", "-") for _, title in headings(linked)]
            if not found:
                yield f"{name} links to {target}: no such file, attachment or heading."


@rule
def within_budget(notebook: NotebookNode, path: Path) -> Iterator[str]:
    counted = []
    for name, cell in cells(notebook, "code"):
        lines = [line.strip() for line in cell.source.splitlines()]
        length = sum(bool(line) and not line.startswith("#") for line in lines)
        if length > 25:
            yield f"{name} has {length} lines of code; right is at most 25."
        if not {"solution", "colab-install"} & tags(cell):
            counted.append(length)
    total_words = 0
    for section, name, cell in with_sections(notebook):
        words = count_words(cell)
        total_words += words
        if words > 200 and section != "References":
            yield f"{name} has {words} words; right is at most 200."
    size = path.stat().st_size / 1e6
    for what, amount, low, high in (
        ("cells", len(notebook.cells), 25, 45),
        ("lines of code", sum(counted), 80, MOST_LINES.get(path.stem, 150)),
        ("lines in its median code cell", median(counted or [0]), 0, 10),
        ("words", total_words, 900, 2200 if path.stem == FRONT_DOOR else 1800),
        ("megabytes", round(size, 2), 0, 2),
    ):
        if not low <= amount <= high:
            yield f"The notebook has {amount} {what}; right is {low} to {high}."


@rule
def has_the_anatomy(notebook: NotebookNode, path: Path) -> Iterator[str]:
    opening = "".join(cell.source for cell in notebook.cells[:1] if cell.cell_type == "markdown")
    if not re.match(r"# .*\?", opening):
        yield 'The first cell does not begin with the title, "# " and a question.'
    bold = re.findall(r"\*\*(.+?)\*\*", opening, re.DOTALL)
    if not any(len(words.split()) >= 4 for words in bold):
        yield "The first cell has no bold sentence that answers the question."
    titles = [title for level, title in headings(notebook) if level == 1]
    if len(titles) != 1:
        yield f'The notebook has {len(titles)} headings of level 1 ("# "); right is one, the title.'
    sections = FRONT_SECTIONS if path.stem == FRONT_DOOR else SECTIONS
    named = [title for level, title in headings(notebook) if level == 2 and title in sections]
    if named != sections:
        yield f'The notebook has of the sections ("## ") {named}; right is {sections}.'

    code = list(cells(notebook, "code"))
    for tag, expected in (("solution", 3), ("colab-install", 1)):
        tagged = sum(tag in tags(cell) for _, cell in code)
        if tagged != expected:
            yield f"The notebook has {tagged} cells tagged {tag}; right is {expected}."
    for name, cell in code:
        if "solution" in tags(cell) and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield f"{name} is an unfolded solution: set metadata.jupyter.source_hidden to true."

    if path.stem == FRONT_DOOR:
        return
    snippets = [
        (name, cell)
        for section, name, cell in with_sections(notebook)
        if section == "Copy this" and cell.cell_type == "code"
    ]
    if len(snippets) != 3:
        yield f'"Copy this" has {len(snippets)} code cells; right is 3.'
    for name, cell in snippets:
        if re.search(r"^\s*(?:import|from) epochlab\b", cell.source, re.MULTILINE):
            yield f"{name} is to be copied and imports epochlab: it has to work without."


@rule
def front_door_leads_on(notebook: NotebookNode, path: Path) -> Iterator[str]:
    if path.stem != FRONT_DOOR:
        return
    parts: dict[str, list[NotebookNode]] = {"": []}
    for section, _, cell in with_sections(notebook):
        parts.setdefault(section, []).append(cell)
    shown = {
        section: [output.get("data", {}) for cell in part for output in cell.get("outputs", [])]
        for section, part in parts.items()
    }
    facts = [section for section in parts if re.match(r"\d\. ", section)]
    figures = sum("image/png" in data for section in ["", *facts] for data in shown[section])
    if len(facts) != 4 or figures < 4:
        yield f"The notebook has {len(facts)} facts with {figures} figures; right is 4 of each."
    for section in [*facts, "From curve to cause"]:
        if not any(CLAIM_MIME in data for data in shown.get(section, [])):
            yield f'The section "{section}" claims nothing.'
    for section in ("Calculator", "Self-check"):
        if not shown.get(section):
            yield f'The section "{section}" shows nothing: run all cells and save.'
    the_map = "".join(cell.source for cell in parts.get("The map", []))
    linked = {match[match.lastindex] for match in LINK.finditer(the_map)}
    for other in sorted(path.parent.glob("[0-9]*.ipynb")):
        if other != path and other.name not in linked:
            yield f'The section "The map" does not link to {other.name}.'


@rule
def models_are_named(notebook: NotebookNode, path: Path) -> Iterator[str]:
    code = list(cells(notebook, "code"))
    if any(calls(cell, "summary") for _, cell in code):
        for name, cell in code:
            for call in calls(cell, "Sequential", "Model"):
                if not keyword(call, "name"):
                    yield (
                        f"{name} makes a model without name=, in a notebook that shows a summary: "
                        "automatic names depend on the models made before."
                    )


def cells(notebook: NotebookNode, *kinds: str) -> Iterator[tuple[str, NotebookNode]]:
    """Yield the cells of these kinds (all by default), each with what to call it in a message."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        kind = cell.cell_type
        if not kinds or kind in kinds:
            first_line = cell.source.strip().partition("\n")[0]
            yield f'{kind.capitalize()} cell {seen[kind]} ("{first_line:.60}")', cell
        seen[kind] += 1


def with_sections(notebook: NotebookNode) -> Iterator[tuple[str, str, NotebookNode]]:
    """Yield each cell after the section (level 2) it stands in and what to call it."""
    section = ""
    for name, cell in cells(notebook):
        for level, title in headings(NotebookNode(cells=[cell])):
            section = title if level == 2 else section
        yield section, name, cell


def headings(notebook: NotebookNode) -> list[tuple[int, str]]:
    """Return level and text, as shown, of each heading."""
    return [
        (len(level), re.sub(r"[*`]", "", title))
        for _, cell in cells(notebook, "markdown")
        for level, title in re.findall(
            r"^(#+) +(.+?)\s*$", FENCE.sub("", cell.source), re.MULTILINE
        )
    ]


def without_code(cell: NotebookNode) -> str:
    return re.sub(r"`[^`]+`", "", FENCE.sub("", cell.source))


def count_words(cell: NotebookNode) -> int:
    """Count what is read: no code, link targets or tags, and of a table only its words."""
    if cell.cell_type != "markdown":
        return 0
    return len(re.findall(r"\S*\w\S*", re.sub(r"\]\([^)]*\)|</?\w[^>]*>", " ", without_code(cell))))


def text(output: NotebookNode) -> str:
    """Return all that an output shows in characters."""
    data = output.get("data", {})
    shown = [content for mime, content in data.items() if mime.startswith("text/")]
    return "\n".join([output.get("text", ""), *output.get("traceback", []), *shown])


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def calls(cell: NotebookNode, *names: str) -> list[ast.Call]:
    """Return the calls of these functions or methods in a code cell."""
    return [
        node
        for node in ast.walk(parsed(cell.source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", None)) in names
    ]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return the keyword argument; `**arguments` may hold any."""
    return next((word.value for word in call.keywords if word.arg in (name, None)), None)


@cache
def python(source: str) -> str:
    """Return the source with its magics as the plain Python that IPython makes of them."""
    return TransformerManager().transform_cell(source)


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(python(source))
