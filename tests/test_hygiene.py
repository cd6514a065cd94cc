"""Every notebook is clean, and the checker finds what is broken on purpose."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import hygiene
import pytest
from hygiene import CLAIM_MIME, RULES, faults
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("evidence/*.ipynb")])


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_notebook_is_clean(path: Path):
    found = faults(path)
    assert not found, "\n".join([f"{path.name} has {len(found)} faults:", *found])


# ---- the checker itself: a healthy notebook, and mutations that each break one thing ----

Mutation = Callable[[NotebookNode], None]


def healthy() -> NotebookNode:
    cells = [
        text("title", "# What is an epoch?\n\n**It is one pass over the data.**"),
        code("install", "%pip install --quiet epochlab", "colab-install"),
        text("copy", "## Copy this\n```python\nimport keras\n```"),
        text("links", "See [the end](#The-end-of-it) and [more](other.ipynb#Details)."),
        text("heading", "## The **end** of `it`"),
        text("prose", "An epoch is one pass over all of the data."),
        code("plain", "updates = 8", output=printed("8 updates, 32/32")),
        code("figure", "draw()", output=figure()),
        code("claim", "claim('1', 'so', check)", "nbval-check-output", output=claimed("✓ so")),
        text("exercises", "## Try it"),
        *exercises(),
        text("people", f"## What people say\n\n{ROWS}\n{END}"),
        text("references", "## References"),
        code("last", "done = True"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    return renumber(new_notebook(cells=cells, metadata={"kernelspec": kernel}))


def exercises() -> list[NotebookNode]:
    cells = []
    for number in (1, 2):
        ask, solution = f'epochlab.check_answer("02-{number}", ...)', f"solution{number}"
        cells += [code(f"ask{number}", ask), code(solution, "x = 1", "solution")]
        cells[-1].metadata.jupyter = {"source_hidden": True, "outputs_hidden": True}
    return cells


def healthy_front_door() -> NotebookNode:
    notebook = healthy()
    facts = [
        cell
        for number in range(1, 5)
        for cell in (
            text(f"fact{number}", f"## {number}. So it is"),
            code(f"picture{number}", "draw()", output=figure()),
        )
    ]
    parts = [
        text("set", "## What to set first"),
        text("map", "## The map\n\n| [01](01_other.ipynb) | What? |"),
        text("try", "## Try it"),
        *exercises(),
        text("read", "## How to read our figures"),
        code("reading", "draw()", output=figure()),
        text("causes", "## From curve to cause"),
        code("gallery", "draw()", output=figure()),
        text("glossary", "## Glossary\n\n## Calculator"),
        code("calculate", "TrainingPlan(100)", output=printed("4 updates")),
    ]
    names = ["links", "exercises", "people", "ask1", "solution1", "ask2", "solution2"]
    without(*names)(notebook)
    place = notebook.cells.index(at(notebook, "references"))
    notebook.cells[place:place] = [*facts, *parts]
    return renumber(notebook)


def text(name: str, source: str) -> NotebookNode:
    return new_markdown_cell(source, id=name)


def code(name: str, source: str, *tags: str, output: NotebookNode | None = None) -> NotebookNode:
    outputs = [output] if output else []
    return new_code_cell(source, id=name, metadata={"tags": list(tags)}, outputs=outputs)


def printed(content: str, stream: str = "stdout") -> NotebookNode:
    return new_output("stream", name=stream, text=content)


def displayed(mime: str, content: object, **metadata: object) -> NotebookNode:
    return new_output("display_data", data={mime: content}, metadata=metadata)


def claimed(content: str, measured: str = "*measured 12.8 points*") -> NotebookNode:
    shown = {"text/plain": content, "text/markdown": f"{content}\n\n<small>{measured}</small>"}
    return new_output("display_data", data=shown | {CLAIM_MIME: {}})


def figure(alt: str = "Loss against updates: it falls.") -> NotebookNode:
    return displayed("image/png", "iVBORw0KGgo=", **{"image/png": {"alt": alt}})


def error() -> NotebookNode:
    return new_output("error", ename="ValueError", evalue="", traceback=["ValueError"])


def renumber(notebook: NotebookNode) -> NotebookNode:
    code_cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    for count, cell in enumerate(code_cells, start=1):
        cell.execution_count = count
    return notebook


def at(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == name)


def sets(name: str, **fields: object) -> Mutation:
    return lambda notebook: at(notebook, name).update(fields)


def says(line: str, name: str = "plain") -> Mutation:
    def mutate(notebook: NotebookNode) -> None:
        at(notebook, name).source += f"\n{line}"

    return mutate


def shows(output: NotebookNode, name: str = "plain") -> Mutation:
    return lambda notebook: at(notebook, name).outputs.append(output)


def tagged(name: str, *tags: str) -> Mutation:
    return lambda notebook: at(notebook, name).metadata.update(tags=list(tags))


def without(*names: str) -> Mutation:
    def mutate(notebook: NotebookNode) -> None:
        notebook.cells = [cell for cell in notebook.cells if cell.id not in names]
        renumber(notebook)

    return mutate


def all_of(*mutations: Mutation) -> Mutation:
    def mutate(notebook: NotebookNode) -> None:
        for mutation in mutations:
            mutation(notebook)

    return mutate


KERAS_BAR = "\x1b[1m32/32\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m0s\x1b[0m"
WIDGET = "application/vnd.jupyter.widget-view+json"

COPY = "## Copy this\n```python\n{}\n```"
ROWS, END = "<!-- python docs/claims.py 1 12 own -->", "<!-- end -->"
LOUD = "model.fit(x, y)"


def second(line: str) -> Mutation:
    """One cell may show Keras's progress; let the line do so in another."""
    return all_of(says(LOUD), says(line, "last"))


EXERCISES, TO_COPY = "exercises_answer_back", "has_something_to_copy"
PEOPLE = "## What people say\n\n"


def unfolded(setting: str) -> Mutation:
    return lambda notebook: at(notebook, "solution1").metadata.jupyter.update({setting: False})


def repeated(name: str) -> Mutation:
    def mutate(notebook: NotebookNode) -> None:
        cell = copy.deepcopy(at(notebook, name))
        cell.id = f"again{len(notebook.cells)}"
        notebook.cells.insert(notebook.cells.index(at(notebook, name)), cell)
        renumber(notebook)

    return mutate


def later(name: str, before: str) -> Mutation:
    """Move a cell to a later place."""

    def mutate(notebook: NotebookNode) -> None:
        cell = at(notebook, name)
        notebook.cells.remove(cell)
        notebook.cells.insert(notebook.cells.index(at(notebook, before)), cell)
        renumber(notebook)

    return mutate


BROKEN: list[tuple[str, Mutation, str]] = [
    ("executed_in_order", sets("plain", execution_count=None), "count None instead of 2"),
    ("executed_in_order", sets("plain", execution_count=0), "count 0 instead of 2"),
    ("executed_in_order", sets("plain", execution_count=1), "count 1 instead of 2"),
    ("executed_in_order", sets("last", source=" \n"), "is empty"),
    ("outputs_in_place", sets("figure", outputs=[]), "no figure"),
    ("outputs_in_place", sets("plain", outputs=[]), "no printed number"),
    ("outputs_in_place", shows(error()), "stores an error"),
    ("outputs_in_place", tagged("plain", "raises-exception"), "stores no error"),
    ("no_stderr", shows(printed("warning", "stderr")), "stores stderr"),
    ("no_progress_bars", shows(printed("a\rb")), r"'\r'"),
    ("no_progress_bars", shows(printed("a\bb")), r"'\x08'"),
    ("no_progress_bars", shows(printed(KERAS_BAR)), "━"),
    ("no_progress_bars", shows(printed("100%|████| 5/5")), "█"),
    ("no_progress_bars", shows(printed("0s 3ms/step")), "ms/step"),
    ("no_progress_bars", shows(printed("5/9 - ETA: 3s")), "ETA"),
    ("no_progress_bars", shows(printed("9.31it/s")), "1it/s"),
    ("no_progress_bars", shows(displayed(WIDGET, {})), "a widget"),
    ("no_progress_bars", second("model.fit(x, y)"), "calls model.fit without verbose=0"),
    ("no_progress_bars", second("model.evaluate(x, y, verbose=1)"), "calls model.evaluate"),
    ("no_progress_bars", second("make().predict(x, verbose=2)"), "calls make().predict"),
    ("no_progress_bars", second("fit_interruptible(model, x)"), "calls fit_interruptible"),
    ("no_progress_bars", says(LOUD, "claim"), "calls model.fit without verbose=0 and is compared"),
    ("same_on_every_machine", says("cache = '/tmp/runs'"), "in its source ('/tmp/')"),
    ("same_on_every_machine", says("Run `/home/ada/run`", "prose"), "in its source ('/home/ada')"),
    ("same_on_every_machine", shows(printed("/root/.keras")), "in its output ('/root/')"),
    ("same_on_every_machine", shows(printed("/Users/ada")), "('/Users/ada')"),
    ("same_on_every_machine", shows(printed(r"C:\Users\ada")), "C:"),
    ("same_on_every_machine", shows(printed("ipykernel_71")), "('ipykernel_71')"),
    ("same_on_every_machine", shows(printed(f"in {Path(__file__).parent}")), "in its output"),
    (
        "same_on_every_machine",
        shows(displayed("text/plain", "<keras.src.callbacks.history.History at 0x7f3a>")),
        "shows an object's address (at 0x7f3a)",
    ),
    (
        "same_on_every_machine",
        lambda notebook: notebook.metadata.kernelspec.update(name="my-venv"),
        "asks for the kernel my-venv",
    ),
    ("survives_nbval", says("plt.plot(x);"), 'ends with ";"'),
    ("survives_nbval", says("plt.plot(x);  # hidden"), 'ends with ";"'),
    ("survives_nbval", says("print(Out[1])"), "uses the history Out"),
    ("survives_nbval", says("print(In[1])"), "uses the history In"),
    ("survives_nbval", says("print(_12)"), "uses the history _12"),
    ("survives_nbval", sets("plain", source="%%time\nx = 1"), "uses %time"),
    ("survives_nbval", says("%time f()"), "uses %time"),
    ("survives_nbval", says("%timeit f()"), "uses %timeit"),
    ("survives_nbval", says("%pip install x"), "uses %pip outside"),
    ("survives_nbval", says("!pip install x"), "runs a shell command"),
    ("survives_nbval", says("clear_output(wait=True)"), "uses clear_output"),
    ("survives_nbval", says("IPython.display.update_display(x)"), "uses update_display"),
    ("survives_nbval", says("handle = display(x, display_id=True)"), "uses display_id"),
    ("survives_nbval", says("print(sys.executable)"), "uses sys.executable"),
    ("marked_with_known_tags", tagged("plain", "nbval-check-outputs"), "'nbval-check-outputs'"),
    ("marked_with_known_tags", tagged("plain", "nbval-skip"), "the tag 'nbval-skip'"),
    ("marked_with_known_tags", tagged("prose", "soluton"), "the tag 'soluton'"),
    (
        "marked_with_known_tags",
        tagged("plain", "nbval-check-output", "nbval-ignore-output"),
        "both compared and ignored",
    ),
    ("marked_with_known_tags", says("# NBVAL_IGNORE_OUTPUT"), "use a cell tag"),
    ("marked_with_known_tags", says("x = 1  # NBVAL_SKIP"), "use a cell tag"),
    ("marked_with_known_tags", says("# nbval-ignore-output since"), "use a cell tag"),
    ("marked_with_known_tags", says("'''\n# NBVAL_SKIP\n'''"), "use a cell tag"),
    ("claims_are_compared", tagged("claim"), "tag it nbval-check-output"),
    ("claims_are_compared", says("epochlab.claim('2', 'so', check)", "claim"), "stores 1 claims"),
    ("claims_are_compared", sets("claim", outputs=[]), "stores 0 claims of 1"),
    ("claims_are_compared", shows(printed("0.93"), "claim"), "prints the number 0.93"),
    ("claims_are_compared", shows(claimed("✓ 9.3"), "claim"), "prints the number 9.3"),
    ("claims_are_compared", shows(claimed("✓ so", "12.8"), "claim"), "what was measured"),
    ("claims_are_compared", shows(claimed("✓ so", "as measured "), "claim"), "what was measured"),
    ("claims_are_compared", without("claim"), "calls claim nowhere"),
    (
        "claims_are_compared",
        all_of(tagged("claim", "nbval-check-output", "raises-exception"), shows(error(), "claim")),
        "may fail unnoticed",
    ),
    ("figures_are_described", shows(figure(alt="a plot")), "shorter than 20"),
    ("figures_are_described", shows(displayed("image/jpeg", "AA==")), "shorter than 20"),
    ("figures_are_described", shows(displayed("image/svg+xml", "<svg/>")), "an SVG"),
    ("figures_are_described", tagged("figure", "nbval-check-output"), "in another cell"),
    ("figures_are_described", says("![](other.ipynb)", "prose"), "without alt text"),
    ("figures_are_described", says('<img src="other.ipynb" alt="">', "prose"), "without alt text"),
    ("links_resolve", says("[x](missing.ipynb)", "prose"), "links to missing.ipynb:"),
    ("links_resolve", says("[x][1]\n\n[1]: missing.ipynb", "prose"), "links to missing.ipynb:"),
    ("links_resolve", says('<a href="missing.md">x</a>', "prose"), "links to missing.md:"),
    ("links_resolve", says("[x](#the-end-of-it)", "prose"), "links to #the-end-of-it:"),
    ("links_resolve", says("[x](other.ipynb#Nothing)", "prose"), "links to other.ipynb#Nothing:"),
    ("links_resolve", says("![a plot](attachment:plot.png)", "prose"), "attachment:plot.png"),
    ("is_not_heavy", shows(printed("x" * 2_100_000)), "has 2.10 megabytes"),
    ("has_the_anatomy", sets("title", source="# Epochs\n\n**One pass over the data.**"), "title"),
    ("has_the_anatomy", sets("title", source="# What?\n\nOne **pass** over it."), "no bold"),
    ("has_the_anatomy", says("# Again", "prose"), "2 headings of level 1"),
    ("has_the_anatomy", sets("people", source="### What people say"), "has the sections"),
    ("has_the_anatomy", says("## And more", "references"), "has the sections"),
    ("has_the_anatomy", without("install"), "0 cells tagged colab-install"),
    ("has_the_anatomy", sets("exercises", source="## Exercises"), "has the sections"),
    (EXERCISES, without("solution1"), "1 cells tagged solution"),
    (EXERCISES, all_of(repeated("solution1"), repeated("solution2"), repeated("solution1")), "5"),
    (EXERCISES, unfolded("source_hidden"), "set metadata.jupyter.source_hidden"),
    (EXERCISES, unfolded("outputs_hidden"), "set metadata.jupyter.outputs_hidden"),
    (EXERCISES, without("ask1"), "1 visible cells call check_answer"),
    (EXERCISES, sets("ask1", source="check_answer('02-1')"), "1 visible cells"),
    (EXERCISES, sets("ask1", source="check_answer('02-1', 32)"), "1 visible cells"),
    (EXERCISES, sets("ask1", source="# check_answer('02-1', ...)\nx = 1"), "1 visible cells"),
    (
        EXERCISES,
        all_of(sets("ask1", source="x = 1"), says("check_answer('02-1', ...)", "solution1")),
        "1 visible cells",
    ),
    (TO_COPY, sets("copy", source="## Copy this"), "nothing to copy"),
    (TO_COPY, sets("copy", source=COPY.format("x = = 1")), "is not Python"),
    (TO_COPY, sets("copy", source=COPY.format("import epochlab")), "imports epochlab"),
    (TO_COPY, sets("copy", source=COPY.format("\n".join(21 * ["x = 1"]))), "21 lines to copy"),
    (TO_COPY, says("```python\ny = 1\n```", "copy"), "2 blocks to copy"),
    (TO_COPY, later("copy", "references"), "comes late"),
    (
        TO_COPY,
        all_of(
            sets("copy", source="## Copy this"),
            lambda notebook: notebook.cells.insert(3, code("copied", "import keras")),
            lambda notebook: renumber(notebook),
        ),
        "nothing to copy",
    ),
    ("verdicts_have_a_source", sets("people", source="## What people say"), "has neither"),
    ("verdicts_have_a_source", sets("people", source=f"{PEOPLE}{ROWS}"), "has neither"),
    (
        "verdicts_have_a_source",
        sets("people", source=f"{PEOPLE}<!-- python docs/claims.py -->\n{END}"),
        "has neither",
    ),
    (
        "models_are_named",
        all_of(says("model = keras.Sequential([])"), says("model.summary()", "figure")),
        "without name=",
    ),
]


FRONT_RULE = "front_door_leads_on"
BROKEN_FRONT_DOOR: list[tuple[str, Mutation, str]] = [
    (FRONT_RULE, sets("fact4", source="### So it is"), "3 facts"),
    (FRONT_RULE, sets("picture4", outputs=[]), "with 3 figures"),
    (FRONT_RULE, sets("calculate", outputs=[]), '"Calculator" shows nothing'),
    (FRONT_RULE, sets("map", source="## The map"), "does not link to 01_other.ipynb"),
    (FRONT_RULE, without("reading"), '"How to read our figures" has no figure'),
    (FRONT_RULE, without("gallery"), '"From curve to cause" has no figure'),
    ("has_the_anatomy", sets("glossary", source="## Calculator"), "of the sections"),
    (EXERCISES, without("solution1"), "1 cells tagged solution"),
    (EXERCISES, without("ask1"), "1 visible cells"),
]
KINDS = {
    "notebook": (healthy, BROKEN),
    hygiene.FRONT_DOOR: (healthy_front_door, BROKEN_FRONT_DOOR),
}
ALL_BROKEN = [(stem, *row) for stem, (_, rows) in KINDS.items() for row in rows]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[NotebookNode], Path]:
    def write(notebook: NotebookNode, stem: str = "notebook") -> Path:
        path = tmp_path / f"{stem}.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
        other = new_notebook(cells=[text("heading", "### Details")])
        for name in ("other.ipynb", "01_other.ipynb"):
            (tmp_path / name).write_text(json.dumps(other), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("stem", KINDS)
def test_healthy_notebook_has_no_fault(write, stem: str):
    assert faults(write(KINDS[stem][0](), stem)) == []


@pytest.mark.parametrize(
    "mutate",
    [
        all_of(says(LOUD), shows(printed(KERAS_BAR)), shows(printed("0s 3ms/step"))),
        says("## And after", "exercises"),
        says("with redirect_stdout(log):\n    model.fit(x, verbose=2)"),
        second("model.fit(x, y, verbose=2)"),
        says("model.fit(x, **arguments)\nmodel.predict(x, verbose=level)\nfit(x)"),
        says("name = {}\nname.update(x=1)\nprint(_)  # done;"),
        says("model = keras.Sequential([], name='small')\nmodel.summary()"),
        says("%matplotlib inline"),
        sets("ask1", source="epochlab.check_answer('02-1', answer=...)"),
        repeated("solution1"),
        sets("copy", source=COPY.format("\n".join(20 * ["x = 1"]))),
        sets("people", source=f"{PEOPLE}{ROWS}\n| said | verdict |\n\n{END}\nSee below."),
        shows(printed("┏━━━┳━━━┓\n┃ Layer (type) ┃ Shape ┃\n┡━━━╇━━━┩")),  # model.summary()
        all_of(tagged("plain", "raises-exception"), shows(error())),
        says("```\n# no heading [x](y)\n```\n`[x](y)`, [z](https://x.org/home/y), 3 < 4", "prose"),
    ],
)
def test_what_is_allowed(write, mutate: Mutation):
    notebook = healthy()
    mutate(notebook)
    assert faults(write(notebook)) == []


@pytest.mark.parametrize(
    ("stem", "rule", "mutate", "fragment"), ALL_BROKEN, ids=[row[3] for row in ALL_BROKEN]
)
def test_broken_notebook_has_one_fault(write, stem, rule: str, mutate: Mutation, fragment: str):
    notebook = KINDS[stem][0]()
    mutate(notebook)
    path = write(notebook, stem)
    found = faults(path)
    assert len(found) == 1, found
    assert fragment in found[0]
    assert found == list(getattr(hygiene, rule)(notebook, path))


def test_every_rule_is_broken_once():
    assert {rule for _, rule, _, _ in ALL_BROKEN} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(
    ("mutate", "fragment"),
    [
        (lambda notebook: notebook.update(nbformat_minor=4), "4.4"),
        (lambda notebook: notebook.cells[3].pop("id"), "an id of its own"),
        (sets("prose", id="title"), "an id of its own"),
        (lambda notebook: notebook.cells[0].pop("source"), "source"),
        (sets("plain", metadata={"tags": "solution"}), "not of type"),
        (says("x = = 1"), 'Code cell 1 ("updates = 8") is not Python'),
    ],
)
def test_invalid_notebook_is_reported(write, mutate: Mutation, fragment: str):
    notebook = healthy()
    mutate(notebook)
    (fault,) = faults(write(notebook))
    assert "not a valid notebook" in fault
    assert fragment in fault


@pytest.mark.parametrize("content", [b"", b"{", b'{"cells": "\xe9"}', b"[]"])
def test_what_is_no_notebook_is_reported(tmp_path: Path, content: bytes):
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)
    (fault,) = faults(path)
    assert "broken.ipynb is not a valid notebook" in fault
