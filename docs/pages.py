"""What the pages of the site are made of: copied notebooks, claims, and directives."""

import html
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import claims
import nbformat
from docutils import nodes
from myst_nb.core.render import MimeRenderPlugin
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

from epochlab.evidence import CLAIM_MIME as CLAIM_MIME
from epochlab.plots.style import DESCRIPTION

DOCS = Path(__file__).parent
NOTEBOOKS = DOCS.parent / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
STUB = DOCS.parent / "epochlab" / "__init__.pyi"
# What a lesson lets the reader play with, before its exercises.
PLAY = {
    "01_epochs": ["calculator"],
    "02_batch_size": ["budget", "descent"],
    "03_iterations": ["calculator"],
    "04_early_stopping": ["patience", "stop"],
    "06_learning_rate": ["descent"],
}
EXERCISES = re.compile(r"^## (Try it|Exercises)$", re.MULTILINE)
SOURCE_LINK = re.compile(r"\[([^\]]+)\]\((\.\./(?:\.\./)?)(epochlab/[\w/]+)\.py\)")
FENCED = re.compile(r"^```python\n.*?^```$", re.MULTILINE | re.DOTALL)
RELATIVE = re.compile(r"\]\((<?)(?=[\w/]+\.ipynb)")


def anchor(heading: str) -> str:
    """Return the anchor that Jupyter gives a heading, since that is what the notebooks link to."""
    return heading.replace(" ", "-")


# ---- notebooks


def copied(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the tags that fold its cells, and with what its page has beyond it."""
    notebook = nbformat.read(path, 4)
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "colab-install" in tags:
            continue
        if cell.cell_type == "markdown":
            if path.parent == NOTEBOOKS and EXERCISES.match(cell.source):
                fences = [f"```{{play}} {name}\n```" for name in PLAY.get(path.stem, [])]
                if fences:
                    text = "\n\n".join(["## Play with it", *fences])
                    cells.append(nbformat.v4.new_markdown_cell(text))
            # Python files are pages, too, made by viewcode.
            cell.source = SOURCE_LINK.sub(r'<a href="\2_modules/\3.html">\1</a>', cell.source)
            # The ledger is a page of cards.
            cell.source = cell.source.replace("(../CLAIMS.md)", "(../verdicts.md)")
        elif "solution" in tags:
            cell.metadata["tags"] = [*tags, "hide-cell"]
            cell.metadata["mystnb"] = prompts("the solution")
        elif path.parent != NOTEBOOKS:
            cell.metadata["tags"] = [*tags, "hide-input"]
            cell.metadata["mystnb"] = prompts("how it is measured")
        if cell.cell_type == "code":
            # Outputs describes figures, whether their notebook does or not.
            cell.outputs = [output for output in cell.outputs if not describes(output)]
        cells.append(cell)
    notebook.cells = cells
    return notebook


def describes(output: nbformat.NotebookNode) -> bool:
    return f"<summary>{DESCRIPTION}" in output.get("data", {}).get("text/html", "")


def prompts(what: str) -> dict[str, str]:
    return {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}


def copy_notebooks(app: Any) -> None:
    """Write the copies that Sphinx reads; what has not changed is not read again."""
    texts = {
        DOCS / "notebooks" / path.relative_to(NOTEBOOKS): nbformat.writes(copied(path))
        for path in claims.notebooks()
    }
    for old in set((DOCS / "notebooks").rglob("*.ipynb")) - set(texts):
        old.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def section(path: Path, title: str) -> list[nbformat.NotebookNode]:
    """Return the cells below a heading of level 2, the first one without it."""
    found: list[nbformat.NotebookNode] = []
    for cell in nbformat.read(path, 4).cells:
        starts = cell.cell_type == "markdown" and cell.source.startswith("## ")
        if starts and cell.source.partition("\n")[0] == f"## {title}":
            cell.source = cell.source.partition("\n")[2]
            found = [cell]
        elif starts and found:
            break
        elif found:
            found.append(cell)
    return found


def from_here(text: str, path: Path) -> str:
    """Return a notebook's text as a page one folder above needs it: with links that lead there."""
    text = text.replace("](#", f"]({path.name}#").replace("](<#", f"](<{path.name}#")
    return RELATIVE.sub(r"](\1notebooks/", text)


# ---- what cells have put out


class Outputs(MimeRenderPlugin):
    """Shows a claim as a box that opens to its evidence, a figure with its description."""

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        if data.mime_type == CLAIM_MIME:
            known = data.content if isinstance(data.content, dict) else json.loads(data.content)
            return [nodes.raw("", box(known), format="html")]
        described = data.output_metadata.get(data.mime_type, {}).get("alt")
        if data.mime_type == "image/png" and described:
            image, *others = renderer.render_image(data)
            image["alt"] = described
            text = folded(DESCRIPTION, f"<p>{html.escape(described)}</p>")
            return [image, *others, nodes.raw("", text, format="html")]
        return None


def folded(summary: str, content: str, kind: str = "description") -> str:
    return f'<details class="{kind}"><summary>{summary}</summary>{content}</details>'


def box(known: dict[str, Any]) -> str:
    """Return the HTML of a claim or a verdict, which opens to its evidence."""
    if known["kind"] == "verdict":
        people = PEOPLE.get(known["label"], "")
        said = f"“{html.escape(people)}” " if people else ""
        head = f"{said}{answer(known)}"
        rows = "".join(
            f"<dt>if {html.escape(name)}</dt>{''.join(f'<dd>{text}</dd>' for text in texts)}"
            for name, texts in evidence_of(known)
        )
        return folded(head, f"<dl>{rows}</dl>", "claim verdict")
    where = " (on the data itself)" if known["only_on"] else ""
    head = f"✓ {html.escape(known['sentence'])}{where}"
    head += f"<small>measured {html.escape(known['measured'])}</small>"
    return folded(head, f"<p>What was checked: {html.escape(known['evidence'])}</p>", "claim")


def answer(known: dict[str, Any]) -> str:
    """Return the HTML of what is so, what is not, and what is undecided."""
    text = html.escape(claims.answer(known), quote=False).replace("&lt;br&gt;", "<br>")
    text = text.replace("†", '<abbr title="otherwise with other seeds">†</abbr>')
    return re.sub(r"\*\*(\w+)\*\*", r"<strong>\1</strong>", text)


def evidence_of(known: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for name, texts in known["evidence"].items():
        each = [texts] if isinstance(texts, str) else [f"{w}: {t}" for w, t in texts.items()]
        yield name, [html.escape(text) for text in each]


ENTRIES = [entry for path in claims.notebooks() for entry in claims.entries(path)]
LEDGER = claims.ledger(ENTRIES)
PEOPLE = {row: entry["people"] for row, entry in LEDGER.items()}

PARTS = {"1": "Epochs", "10": "Batch size", "26": "Iterations", "35": "Choosing the values"}

# ---- directives


def directive(function: Callable[..., list[nodes.Node]]) -> type[SphinxDirective]:
    """Make a directive of a function, which takes it and its argument."""

    class Made(SphinxDirective):
        optional_arguments = 1
        final_argument_whitespace = True

        def run(self) -> list[nodes.Node]:
            self.env.note_reread()  # it shows what stands elsewhere
            return function(self, *self.arguments)

    return Made


def parsed(this: SphinxDirective, text: str) -> list[nodes.Node]:
    return this.parse_text_to_nodes(text.strip(), allow_section_headings=True)


def play(this: SphinxDirective, name: str) -> list[nodes.Node]:
    """Something to play with."""
    from play import fragment

    return [nodes.raw("", fragment(name), format="html")]


def api(this: SphinxDirective, topic: str) -> list[nodes.Node]:
    """The public names of a topic: a module, or a folder of them."""
    names = re.findall(rf"^from \.{topic}[.\w]* import (\w+)", STUB.read_text(), re.MULTILINE)
    blocks = []
    for name in names:
        kind = "class" if name[0].isupper() else "function"
        members = "\n   :members:" if kind == "class" else ""
        blocks.append(f"```{{eval-rst}}\n.. auto{kind}:: epochlab.{name}{members}\n```")
    return parsed(this, "\n\n".join(blocks))


def words(this: SphinxDirective, title: str) -> list[nodes.Node]:
    """A section of the first lesson, which has the glossary."""
    start = NOTEBOOKS / "00_start_here.ipynb"
    text = "\n\n".join(cell.source for cell in section(start, title))
    return parsed(this, from_here(text, start))


def copy_this(this: SphinxDirective) -> list[nodes.Node]:
    """All that lessons offer to copy."""
    texts = []
    for path in LESSONS:
        blocks = []
        for cell in section(path, "Copy this"):
            is_code = cell.cell_type == "code"
            blocks += [f"```python\n{cell.source}\n```"] if is_code else FENCED.findall(cell.source)
        if blocks:
            title = question(path)
            texts += [
                f"## {title}",
                *blocks,
                f"From the lesson [{path.stem}](notebooks/{path.name}).",
            ]
    return parsed(this, "\n\n".join(texts))


def question(path: Path) -> str:
    return nbformat.read(path, 4).cells[0].source.partition("\n")[0].removeprefix("# ")


def lessons(this: SphinxDirective) -> list[nodes.Node]:
    """Each lesson with its question and its answer."""
    texts = []
    for path in LESSONS:
        opening = nbformat.read(path, 4).cells[0].source
        answer = re.search(r"\*\*(.+?)\*\*", opening, re.DOTALL)
        texts.append(
            f"- [{question(path)}](notebooks/{path.name})<br>{answer[1] if answer else ''}"
        )
    return parsed(this, "\n".join(texts))


def questions(this: SphinxDirective) -> list[nodes.Node]:
    """Each lesson with its minutes and what it lets its readers predict."""
    texts = []
    for path in LESSONS:
        opening, *cells = nbformat.read(path, 4).cells
        minutes = re.search(r"Reading takes .*?\.", opening.source)
        asked = [
            f"- {found[0].upper()}{found[1:]}"
            for cell in cells
            if cell.cell_type == "markdown"
            for found in re.findall(r"\*\*Predict:\*\* (.*)", cell.source)
        ]
        if asked:
            title = f"### [{question(path)}](notebooks/{path.name})"
            texts += [title, minutes[0] if minutes else "", "\n".join(asked)]
    return parsed(this, "\n\n".join(texts))


def other_seeds(this: SphinxDirective) -> list[nodes.Node]:
    """What came out otherwise with other seeds."""
    return parsed(this, claims.other_seeds(LEDGER))


def verdicts(this: SphinxDirective) -> list[nodes.Node]:
    """A card for each thing that people say, with what was measured in each world."""
    cards: list[nodes.Node] = []
    for entry in LEDGER.values():
        cells = dict(zip(claims.WORLDS, claims.world_cells(entry), strict=True))
        measured = [w for w, text in cells.items() if not text.startswith("not measured")]
        card = nodes.container(classes=["verdict-card", *(f"in-{world}" for world in measured)])
        card += parsed(this, f"**{entry['people']}**\n\n{entry['instead'] or ''}")
        card += nodes.raw("", f'<p class="verdict-badge">{answer(entry)}</p>', format="html")
        rows = "".join(
            f'<dt class="of-{world}">{world}</dt><dd class="of-{world}">{html.escape(text)}</dd>'
            for world, text in cells.items()
            if text
        )
        card += nodes.raw("", folded("What was measured", f"<dl>{rows}</dl>"), format="html")
        card += parsed(this, f"{claims.link(entry)}")
        cards.append(card)
    choices = "".join(
        f'<label><input type="radio" name="world" value="{value}"{checked}> {shown}</label>'
        for value, shown, checked in [
            ("", "all worlds", " checked"),
            *((world, world, "") for world in claims.WORLDS),
        ]
    )
    head = (
        f'<fieldset class="verdict-filter"><legend>Measured in</legend>{choices}</fieldset>'
        f'<p class="verdict-count" role="status">{len(cards)} of {len(cards)} sentences</p>'
    )
    return [
        nodes.raw("", head, format="html"),
        nodes.container("", *cards, classes=["verdict-cards"]),
    ]


def article(this: SphinxDirective) -> list[nodes.Node]:
    """The sentences of an article in its order, each with its verdict and where to see it."""
    seen = {
        row: path
        for path in LESSONS
        for cell in nbformat.read(path, 4).cells
        for rows in claims.TABLE.findall(cell.source)
        for row in rows.split()
    }
    texts = []
    for row, entry in LEDGER.items():
        if row in PARTS:
            texts.append(f"## {PARTS[row]}")
        if row.isdigit():
            lesson = seen.get(row, entry["path"])
            where = f"Measured in {claims.link(entry)}."
            if lesson != entry["path"]:
                address = claims.link(entry).partition("]")[2]
                where = f"See the lesson [{lesson.stem}](<notebooks/{lesson.name}>)"
                where += f" and the [evidence]{address}."
            said = f"> {row}\\. {entry['people']}"
            texts += [said, claims.answer(entry), f"{entry['instead']} {where}"]
    return parsed(this, "\n\n".join(texts))


# ---- what the theme and myst-nb leave unnamed, or name other than it reads

NAMED = {
    '<summary aria-label="Toggle hidden content">': "<summary>",
    '<summary><span class="toctree-toggle" role="presentation">': (
        '<summary aria-label="Pages of this part"><span class="toctree-toggle">'
    ),
    'title="Search" aria-label="Search" data-bs': 'title="Search" data-bs',
}


def name_controls(app: Any, error: Exception | None) -> None:
    """Let screen readers say of each control what its readers see."""
    for path in () if error else Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for old, new in NAMED.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


def signature(app: Any, what: str, name: str, thing: Any, options: Any, text: str, end: str) -> Any:
    """Return what a class takes where Keras's `__new__` hides it, else nothing."""
    if what != "class" or text != "(*args, **kwargs)":
        return None
    taken = inspect.signature(thing.__init__)
    taken = taken.replace(parameters=list(taken.parameters.values())[1:])
    return stringify_signature(taken, show_annotation=False, show_return_annotation=False), end


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", copy_notebooks)
    app.connect("autodoc-process-signature", signature)
    app.connect("build-finished", name_controls)
    for function in (
        play,
        api,
        words,
        copy_this,
        lessons,
        questions,
        verdicts,
        other_seeds,
        article,
    ):
        app.add_directive(function.__name__, directive(function))
    return {"parallel_read_safe": True}
