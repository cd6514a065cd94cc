"""Writes CLAIMS.md, and the README's table, from the notebooks: python docs/claims.py"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from epochlab.evidence import CLAIM_MIME

ROOT = Path(__file__).parent.parent
INTRODUCTION = """\
# What people say, and what was measured

Every line is computed in a notebook and saved with it; the notebooks are run as tests, so what
stops being true turns the tests red. Intervals are 95 % t-intervals over seeds, each with its own
split of the data, measured on MNIST unless the notebook says CIFAR-10. A check reads "mean [low,
high] above bound: yes", "no" where the whole interval lies on the other side, and "undecided"
where it does not. Do not edit: `python docs/claims.py` writes this file.
"""

# The statements that articles on the subject repeat most; the README shows their verdicts.
REPEATED = ("6", "7", "9", "11", "14", "15", "16", "17", "41", "45")
TABLE = re.compile(r"(?<=<!-- python docs/claims.py -->\n).*?(?=<!-- end -->)", re.DOTALL)


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what a notebook claims and concludes, with the section where it does."""
    section, people = "", {}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("#"):
                    section = line.lstrip("# ")
                if said := re.fullmatch(r"\| ([\w-]+) \| (.+) \| (.+) \|", line):
                    people[said[1]] = said.groups()[1:]
        for output in cell.get("outputs", []):
            if found := output.get("data", {}).get(CLAIM_MIME):
                address = f"notebooks/{path.name}#{section.replace('`', '').replace(' ', '-')}"
                where = f"[{path.stem}](<{address}>)"
                entry = dict(found) | {"notebook": path.stem, "where": where}
                if found["kind"] == "verdict":
                    entry["people"], entry["instead"] = people[found["label"]]
                yield entry


def table(*rows: tuple[str, ...]) -> str:
    """Return a Markdown table, of which the first row is the head."""
    first, *rest = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {row} |" for row in [first, " | ".join(["---"] * len(rows[0])), *rest])


def page(notebooks: list[Path]) -> str:
    """Return all of CLAIMS.md."""
    found = [entry for path in notebooks for entry in entries(path)]
    claims = [entry for entry in found if entry["kind"] == "claim"]
    verdicts = sorted(
        (entry for entry in found if entry["kind"] == "verdict"),
        key=lambda entry: (not entry["label"].isdigit(), entry["label"].zfill(3)),
    )
    where = {}  # the first claim of a row, rather than the list at the notebook's end
    for claim in claims:
        row = re.sub(r"(?<=\d)[a-z]$", "", claim["label"])
        where.setdefault((claim["notebook"], row), claim["where"])
    ledger = [
        (
            entry["label"],
            entry["people"],
            f"**{entry['verdict']}**",
            entry["instead"],
            "; ".join(f"{name}: {text}" for name, text in entry["evidence"].items()),
            where.get((entry["notebook"], entry["label"]), entry["where"]),
        )
        for entry in verdicts
    ]
    head = ("claim", "measured", "where")
    others, real = (
        [
            (entry["sentence"], entry["evidence"], entry["where"])
            for entry in claims
            if chosen(entry)
        ]
        for chosen in (
            lambda entry: not re.match(r"\d", entry["label"]),
            lambda entry: entry["only_on"],
        )
    )
    return "\n".join(
        [
            INTRODUCTION,
            table(("row", "people say", "verdict", "what is right", "measured", "where"), *ledger),
            "\n## Claims of our own\n",
            table(head, *others),
            "\n## Checked on real data only\n",
            "The offline stand-in for the data does not bear these out.\n",
            table(head, *real),
            "",
        ]
    )


def readme(text: str, claims: str) -> str:
    """Return the README with the verdicts of CLAIMS.md on what is repeated most."""
    ledger = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in claims.splitlines()]
    found = {row[0]: row for row in ledger if len(row) == 6}
    rows = [found[label] for label in ("row", "---", *REPEATED) if label in found]
    shown = "".join(
        f"| {said} | {verdict} | {right} | {where} |\n"
        for _, said, verdict, right, _, where in rows
    )
    return TABLE.sub(lambda _: shown, text)


if __name__ == "__main__":
    claims = page(sorted((ROOT / "notebooks").glob("*.ipynb")))
    (ROOT / "CLAIMS.md").write_text(claims, encoding="utf-8")
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8"), claims), encoding="utf-8")
