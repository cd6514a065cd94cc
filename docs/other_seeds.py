"""Judges the evidence on other seeds of the digits: python docs/other_seeds.py 9570 4822

Each number is a value of `EPOCHLAB_SEED`. Its runs are read from their records, which
`python notebooks/evidence/studies.py --worlds digits` makes in about an hour, and trained where
they are missing. What each verdict comes to is kept in docs/other_seeds.json, and
`python docs/claims.py` writes into CLAIMS.md what came out otherwise than with the default seeds.
"""

import json
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from epochlab.evidence import CLAIM_MIME

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "notebooks" / "evidence"
KEPT = ROOT / "docs" / "other_seeds.json"
# Rows and readings that are speeds, which are not measured again.
SPEED_ROWS = ("14", "18", "39")
SPEEDS = ("it means an epoch", "it means an update")


def on_digits(notebook: NotebookNode) -> dict[str, dict[str, list[str]]]:
    """Return the outcome and the evidence of each reading of each verdict on digits."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    entries = [output["data"].get(CLAIM_MIME) for output in outputs if "data" in output]
    return {
        entry["label"]: {
            reading: [by_world["digits"], entry["evidence"][reading]["digits"]]
            for reading, by_world in entry["outcome"].items()
            if isinstance(by_world, dict) and "digits" in by_world
            if not (entry["label"] in SPEED_ROWS and reading in SPEEDS)
        }
        for entry in entries
        if entry and entry["kind"] == "verdict"
    }


def main(seeds: list[str]) -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for seed in seeds:
        os.environ |= {"EPOCHLAB_WORLDS": "digits", "EPOCHLAB_SEED": str(int(seed))}
        kept[seed] = {}
        for path in sorted(EVIDENCE.glob("[0-9]*.ipynb")):
            print(seed, path.name, flush=True)
            notebook = nbformat.read(path, 4)
            NotebookClient(notebook, resources={"metadata": {"path": str(EVIDENCE)}}).execute()
            kept[seed] |= on_digits(notebook)
        text = json.dumps(kept, indent=0, sort_keys=True, ensure_ascii=False)
        KEPT.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
