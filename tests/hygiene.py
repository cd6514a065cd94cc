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
SECTIONS = ["Copy this", "Try it", "What people say", "References"]
FRONT_SECTIONS = [
    *("Copy this", "What to set first", "The map", "Try it", "How to read our figures"),
    *("From curve to cause", "Glossary", "Calculator", "References"),
]
MOST_TO_COPY = 20
OF_LESSONS = {
    *("has_the_anatomy", "exercises_answer_back", "has_something_to_copy"),
    *("verdicts_have_a_source", "front_door_leads_on"),
}

# The "━" of a Keras bar follows a count ("32/32 ━━━"); model.summary() draws its frame with it too.
PROGRESS = re.compile(r"[\r\x08█]|/\S{1,20} \S{0,20}━|ms/step|\bETA\b|\d\s?(?:it/s|s/it)")
HERE = [Path(__file__).resolve().parents[1], Path.home(), Path(tempfile.gettempdir())]
MACHINE = re.compile(
    r"(?<![\w.~}])(?:/home/\w+|/root/|/Users/\w+|/tmp/|"
    # A home folder "/", as some containers have it, would forbid every path.
    + "|".join(rf"{re.escape(str(folder))}\b" for folder in HERE if len(folder.parts) > 1)
    + r")|[A-Za-z]:\\+Users|ipykernel_\d+"
)
# docs/claims.py fills it with the verdicts on the rows named; until then it is empty.
GENERATED = re.compile(r"^<!-- python docs/claims\.py [\w, -]+ -->\n(.*\n)*?<!-- end -->$", re.M)
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(\s*<?([^)\s>]+)|^\[[^\]^]+\]:\s*(\S+)|(?:href|src)="([^"]+)"', re.MULTILINE)


def faults(path: Path) -> list[str]:
    """Return one sentence for each fault of the notebook, saying where and what would be right."""
    try:
        notebook = read(path)
    except Exception as error:  # no rule can look at a file that is not a notebook
        reason = str(error).partition("\n")[0]
        return [f"{path.name} is not a valid notebook of format 4.5: {reason}"]
    skipped = OF_LESSONS if is_evidence(path) else set()
    rules = (rule for rule in RULES if rule.__name__ not in skipped)
    return [fault for rule in rules for fault in rule(notebook, path)]


def is_evidence(path: Path) -> bool:
    return path.parent.name == "evidence"


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
    first = ""  # the cell that shows what Keras itself shows
    for name, cell in cells(notebook, "code"):
        shows = [
            call
            for call in calls(cell, "fit", "evaluate", "predict", "fit_interruptible")
            if is_loud(call, "redirect_stdout" in cell.source)
        ]
        bars = [call for call in shows if not prints_lines(call)]
        if bars and first:
            does = f"{name} calls {ast.unparse(bars[0].func)} without verbose=0"
            yield f"{does}: {first} shows Keras's progress."
        elif shows and "nbval-check-output" in tags(cell):
            does = f"{name} calls {ast.unparse(shows[0].func)} without verbose=0"
            yield f"{does} and is compared: remove the tag."
        for output in cell.outputs:
            if not shows and (debris := PROGRESS.search(text(output))):
                yield f"{name} stores a progress bar ({debris[0]!r}): switch it off."
            if any("widget-view" in mime for mime in output.get("data", {})):
                yield f"{name} stores a widget, which is empty once reopened: switch it off."
        first = first or (name if bars else "")


def prints_lines(call: ast.Call) -> bool:
    """Whether `fit` prints a line for each epoch, and no bar: a lesson may read them."""
    verbose = keyword(call, "verbose")
    is_fit = isinstance(call.func, ast.Attribute) and call.func.attr == "fit"
    return is_fit and isinstance(verbose, ast.Constant) and verbose.value == 2


def is_loud(call: ast.Call, caught: bool) -> bool:
    """Whether Keras shows its progress; what `verbose=2` prints may be `caught`."""
    if isinstance(call.func, ast.Name) and call.func.id != "fit_interruptible":
        return False  # a function of the notebook's own
    verbose = keyword(call, "verbose") or ast.Constant("auto")
    return isinstance(verbose, ast.Constant) and verbose.value not in ({0, 2} if caught else {0})


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
    needed = "verdict" if is_evidence(path) else "claim"
    if not any(calls(cell, needed) for _, cell in code):
        yield f"The notebook calls {needed} nowhere: it needs one at least."
    for name, cell in code:
        expected = len(calls(cell, "claim", "verdict"))
        if not expected:
            continue
        if "nbval-check-output" not in tags(cell):
            yield f"{name} makes a claim: tag it nbval-check-output."
        if MAY_RAISE & tags(cell):
            yield f"{name} makes a claim that may fail unnoticed: remove the tag raises-exception."
        stored = [output.data for output in cell.outputs if CLAIM_MIME in output.get("data", {})]
        if len(stored) < expected:
            yield f"{name} stores {len(stored)} claims of {expected}: run all cells and save."
        for data in stored:
            # Readers see the Markdown; nbval compares the plain text.
            shown = re.sub(r"<[^>]*>|[*_]", "", data.get("text/markdown", ""))
            if not re.search(r"^\s*measured ", shown, re.MULTILINE):
                yield f"{name} makes a claim and does not show what was measured: run and save it."
        for output in cell.outputs:
            compared = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            if number := re.search(r"\d+\.\d+", compared):
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
def is_not_heavy(notebook: NotebookNode, path: Path) -> Iterator[str]:
    if (size := path.stat().st_size / 1e6) > 2:
        yield f"The notebook has {size:.2f} megabytes; right is at most 2: draw fewer points."


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
    named = [title for level, title in headings(notebook) if level == 2]
    if path.stem == FRONT_DOOR:
        named = [title for title in named if title in FRONT_SECTIONS]
        if named != FRONT_SECTIONS:
            yield f'The notebook has of the sections ("## ") {named}; right is {FRONT_SECTIONS}.'
    elif not set(SECTIONS) <= set(named) or named[-1] != "References":
        yield f'The notebook has the sections ("## ") {named}; right is {SECTIONS}, the last last.'
    installs = sum("colab-install" in tags(cell) for _, cell in cells(notebook, "code"))
    if installs != 1:
        yield f"The notebook has {installs} cells tagged colab-install; right is 1."


@rule
def exercises_answer_back(notebook: NotebookNode, path: Path) -> Iterator[str]:
    code = list(cells(notebook, "code"))
    solutions = [(name, cell) for name, cell in code if "solution" in tags(cell)]
    if not 2 <= len(solutions) <= 4:
        yield f"The notebook has {len(solutions)} cells tagged solution; right is 2 to 4."
    for name, cell in solutions:
        for setting in ("source_hidden", "outputs_hidden"):
            if cell.metadata.get("jupyter", {}).get(setting) is not True:
                yield f"{name} is an unfolded solution: set metadata.jupyter.{setting} to true."
    asked = sum("solution" not in tags(cell) and asks(cell) for _, cell in code)
    if asked < 2:
        yield f"{asked} visible cells call check_answer(exercise, ...); right is 2 at least."


def asks(cell: NotebookNode) -> bool:
    """Whether a cell asks for the answer to an exercise, with dots in its place."""
    return any(
        isinstance(node, ast.Constant) and node.value is ...
        for call in calls(cell, "check_answer")
        for node in [*call.args[1:2], keyword(call, "answer")]
    )


@rule
def has_something_to_copy(notebook: NotebookNode, path: Path) -> Iterator[str]:
    found = list(to_copy(notebook))
    if not found:
        yield '"Copy this" has nothing to copy: a fenced block of Python in a text.'
    for name, snippet in found:
        try:
            names = {module for module in imported(parsed(snippet)) if module == "epochlab"}
        except SyntaxError as error:
            yield f"{name} is to be copied and is not Python: {error}."
            continue
        if names:
            yield f"{name} is to be copied and imports epochlab: it has to work without."
    if not found:
        return
    if len(found) > 1:
        yield f'"Copy this" has {len(found)} blocks to copy; right is one, from data to curve.'
    name, snippet = found[0]
    if (lines := snippet.count("\n")) > MOST_TO_COPY:
        yield f"{name} has {lines} lines to copy; right is at most {MOST_TO_COPY}."
    place = [other for other, _ in cells(notebook)].index(name)
    if place >= len(notebook.cells) / 3:
        yield f"{name} is to be copied and comes late: it belongs in the first third of the cells."


def to_copy(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield what stands under "Copy this", each block after its cell's name."""
    for section, name, cell in with_sections(notebook):
        if section == "Copy this" and cell.cell_type == "markdown":
            yield from ((name, block) for block in fenced(cell.source))


@rule
def verdicts_have_a_source(notebook: NotebookNode, path: Path) -> Iterator[str]:
    people = [cell.source for title, _, cell in with_sections(notebook) if title == SECTIONS[2]]
    if people and not any(GENERATED.search(text) or "(../CLAIMS.md)" in text for text in people):
        yield (
            f'"{SECTIONS[2]}" has neither "<!-- python docs/claims.py ROWS -->", with the numbers '
            'of its rows, and below it "<!-- end -->", nor a link to ../CLAIMS.md in its own words.'
        )


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
    for section in ("How to read our figures", "From curve to cause"):
        if not any("image/png" in data for data in shown.get(section, [])):
            yield f'The section "{section}" has no figure.'
    if not shown.get("Calculator"):
        yield 'The section "Calculator" shows nothing: run all cells and save.'
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


def fenced(markdown: str) -> list[str]:
    """Return the Python in the fenced blocks of a text."""
    return re.findall(r"^```python\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level module of each import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]


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
