"""Writes CLAIMS.md, and the tables in README and lessons, from the notebooks: python docs/claims.py

A table stands between `<!-- python docs/claims.py 6 7 9 -->`, which names its rows, and
`<!-- end -->`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from epochlab.evidence import CLAIM_MIME

ROOT = Path(__file__).parent.parent
WORLDS = ("digits", "photos", "text")
INTRODUCTION = """\
# What people say, and what was measured

The rows are computed in notebooks, which are run as tests: the lessons train each time, the
evidence reads recorded runs, of which `python notebooks/evidence/retrain.py --sample 20` trains
some again and compares them. What failed or moved, at the end, is told by hand. Three
worlds: *digits* (MNIST, 1,000 images, a network with one hidden layer), *photos* (CIFAR-10, 4,000
images, a small CNN), *text* (the next character of CPython's documentation, 500 to 2,048 rows of
64, a Transformer of two blocks); each notebook says where it takes others, on digits 250 to 4,096.
Wrong labels are 40 % in rows 7, 8, 32, 37 and 46, and 20 % in all others. Intervals are 95 %
t-intervals over seeds, of speeds over rounds on one machine, of shares Clopper–Pearson; each seed
has its own split of the data and its own first weights, mostly ten on digits, five elsewhere (five
in lessons 00 and 10, two or four for the weights on several devices). Differences are paired by
seed, accuracies in points. Intervals are not corrected for the number of checks: one that only just
clears its bound may do so by chance.

A check reads "mean [low, high] above bound: yes", "no" where the whole interval lies on the other
side, "undecided" where the bound is inside; "within" needs the whole interval inside the margin,
and "not (...)" turns yes and no round. Where a reading has several checks, it is "yes" if all are,
and "no" if one is. A difference of accuracies is "yes" if its interval lies
above 0, however small, and "no" if it lies below the margin: one point on digits, two on photos and
text. One that does both is "yes"; how large it is stands beside it. The mark † stands at what came
out otherwise on digits with at least one of three other blocks of seeds: see "With other seeds".

Do not edit: `python docs/claims.py` writes this file.
"""
# By block of seeds and row, what docs/other_seeds.py found.
OTHER_SEEDS = json.loads((ROOT / "docs" / "other_seeds.json").read_text(encoding="utf-8"))
TABLE = re.compile(r"<!-- python docs/claims.py ([^>]*?) ?-->\n.*?<!-- end -->", re.DOTALL)


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what a notebook claims and concludes, with the section where it does."""
    section, people = "", {}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("#"):
                    section = line.lstrip("# ")
                if said := re.fullmatch(r"\| ([\w-]+) \| (.+?) \| (.+?) \|(?: ?(.*?) ?\|)?", line):
                    people[said[1]] = said.groups()[1:]
        for output in cell.get("outputs", []):
            if found := output.get("data", {}).get(CLAIM_MIME):
                file = path.relative_to(ROOT).as_posix()
                address = f"{file}#{section.replace('`', '').replace(' ', '-')}"
                entry = dict(found) | {"path": path, "address": address}
                if found["kind"] == "verdict":
                    entry["people"], entry["instead"], entry["missing"] = people[found["label"]]
                yield entry


def link(entry: dict[str, Any], base: str = "") -> str:
    """Return where an entry is made, as seen from the folder `base`."""
    return f"[{entry['path'].stem}](<{entry['address'].removeprefix(base)}>)"


def world_cells(entry: dict[str, Any]) -> list[str]:
    """Return what was measured for a verdict in each world, or why nothing was."""
    exact = [f"{name}: {text}" for name, text in entry["evidence"].items() if isinstance(text, str)]
    missing = dict(re.findall(r"(\w+): ([^;]+)", entry["missing"] or ""))
    cells = []
    for world in WORLDS:
        found = [
            f"{name}: {texts[world]}"
            for name, texts in entry["evidence"].items()
            if not isinstance(texts, str) and world in texts
        ]
        if not found + exact and world not in missing:
            raise ValueError(f"row {entry['label']} must say why it is not measured on {world}.")
        reason = [f"not measured: {missing[world]}"] if world in missing else []
        cells.append("; ".join([*found, *(f"exactly, {text}" for text in exact), *reason]))
    return cells


def in_short(entry: dict[str, Any]) -> str:
    """Return a verdict in a word or two."""
    outcomes = {
        outcome
        for of_reading in entry["outcome"].values()
        for outcome in (of_reading.values() if isinstance(of_reading, dict) else [of_reading])
    }
    return outcomes.pop() if len(outcomes) == 1 else "partly"


def with_other_seeds(entry: dict[str, Any], reading: str) -> list[list[str]]:
    """Return the outcome and the evidence on digits for each other block of seeds."""
    outcomes = entry["outcome"][reading]
    if not isinstance(outcomes, dict) or "digits" not in outcomes:
        return []
    unjudged = ["", "not judged: some runs missed the target"]
    found = [block.get(entry["label"], {}).get(reading, unjudged) for block in OTHER_SEEDS.values()]
    return [] if found == [unjudged] * len(found) else found


def differs(entry: dict[str, Any], reading: str) -> bool:
    """Return whether a verdict on digits is another one with some other seeds."""
    found = with_other_seeds(entry, reading)
    return any(outcome != entry["outcome"][reading]["digits"] for outcome, _ in found)


def answer(entry: dict[str, Any]) -> str:
    """Return a verdict on lines of its own for what is so, what is not, and what is undecided."""
    readings: dict[str, list[str]] = {}
    for reading, outcomes in entry["outcome"].items():
        by_world = outcomes if isinstance(outcomes, dict) else {"": outcomes}
        for word in ("yes", "no", "undecided"):
            if worlds := [world for world, outcome in by_world.items() if outcome == word]:
                marked = [
                    f"{world}†" if world == "digits" and differs(entry, reading) else world
                    for world in worlds
                ]
                where = f" ({', '.join(marked)})" if "" not in worlds else ""
                readings.setdefault(word, []).append(f"if {reading}{where}")
    return "<br>".join(
        f"**{word.capitalize()}**, {', or '.join(readings[word])}."
        for word in ("yes", "no", "undecided")
        if word in readings
    )


def table(*rows: tuple[str, ...]) -> str:
    """Return a Markdown table, of which the first row is the head."""
    first, *rest = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {row} |" for row in [first, " | ".join(["---"] * len(rows[0])), *rest])


def ledger(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the verdicts by row, in order."""
    verdicts = sorted(
        (entry for entry in found if entry["kind"] == "verdict"),
        key=lambda entry: (not entry["label"].isdigit(), entry["label"].zfill(3)),
    )
    return {entry["label"]: entry for entry in verdicts}


def other_seeds(verdicts: dict[str, dict[str, Any]]) -> str:
    """Return what came out otherwise with other seeds."""
    tried = [
        (entry, reading)
        for entry in verdicts.values()
        for reading in entry["outcome"]
        if with_other_seeds(entry, reading)
    ]
    rows = [
        (
            entry["label"],
            f"if {reading}",
            entry["evidence"][reading]["digits"],
            *(evidence for _, evidence in with_other_seeds(entry, reading)),
        )
        for entry, reading in tried
        if differs(entry, reading)
    ]
    blocks = ", ".join(OTHER_SEEDS)
    return "\n".join(
        [
            f"`EPOCHLAB_SEED` was {blocks}: blocks of ten seeds, and of two for each search for a "
            "rate, that nobody had looked at. Runs on digits were trained again and judged by the "
            "same bounds, except the speeds and row 43's best accuracy. Of "
            f"{len(tried)} judgements, {len(tried) - len(rows)} came out the same in all of them. "
            f"These {len(rows)} did not:\n",
            table(("row", "reading", "default seeds", *OTHER_SEEDS), *rows),
        ]
    )


def page(found: list[dict[str, Any]]) -> str:
    """Return all of CLAIMS.md."""
    rows = [
        (
            row,
            entry["people"],
            *world_cells(entry),
            answer(entry),
            entry["instead"],
            link(entry),
        )
        for row, entry in ledger(found).items()
    ]
    claims = [entry for entry in found if entry["kind"] == "claim"]
    own = [entry for entry in claims if not re.match(r"\d", entry["label"])]
    real = [entry for entry in claims if entry["only_on"]]
    head = ("claim", "measured", "where")

    def listed(chosen: list[dict[str, Any]]) -> str:
        return table(head, *((e["sentence"], e["evidence"], link(e)) for e in chosen))

    columns = ("row", "people say", *WORLDS, "is it so?", "what is right", "where")
    failed = (ROOT / "docs" / "failed_or_moved.md").read_text(encoding="utf-8")
    return "\n".join(
        [
            INTRODUCTION,
            table(columns, *rows),
            "\n## Claims of our own\n",
            listed(own),
            "\n## Checked on real data only\n",
            "The offline stand-in for the data does not bear these out.\n",
            listed(real),
            "\n## With other seeds\n",
            other_seeds(ledger(found)),
            f"\n{failed}",
        ]
    )


def with_tables(text: str, verdicts: dict[str, dict[str, Any]], base: str = "") -> str:
    """Return a text of the folder `base` with its tables of verdicts written anew."""

    def written(match: re.Match[str]) -> str:
        rows = [verdicts[row] for row in match[1].split() if row in verdicts]
        shown = [("people say", "is it so?", "what is right", "where")]
        shown += [(e["people"], in_short(e), e["instead"], link(e, base)) for e in rows]
        if base:  # a lesson says in its own words what is right
            shown = [(people, so, where) for people, so, _, where in shown]
        return f"<!-- python docs/claims.py {match[1]} -->\n{table(*shown)}\n<!-- end -->"

    return TABLE.sub(written, text)


def notebooks() -> list[Path]:
    folder = ROOT / "notebooks"
    return sorted([*folder.glob("[0-9]*.ipynb"), *folder.glob("evidence/[0-9]*.ipynb")])


def written() -> dict[Path, str]:
    """Return what each file that this script writes should hold."""
    found = [entry for path in notebooks() for entry in entries(path)]
    verdicts = ledger(found)
    readme = ROOT / "README.md"
    files = {
        ROOT / "CLAIMS.md": page(found),
        readme: with_tables(readme.read_text(encoding="utf-8"), verdicts),
    }
    for path in notebooks():
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            cell.source = with_tables(cell.source, verdicts, "notebooks/")
        files[path] = nbformat.writes(notebook) + "\n"
    return files


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
