"""Makes what a release has, in dist/: a wheel, and a zip of notebooks and site.

python docs/release.py
"""

import subprocess
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import epochlab

ROOT = Path(__file__).parent.parent
SITE = ROOT / "docs" / "_build"
DIST = ROOT / "dist"
FOLDERS = {"notebooks": ROOT / "notebooks", "site": SITE}
LEFT_OUT = {".doctrees", ".ipynb_checkpoints", "__pycache__"}


def files(folder: Path) -> list[Path]:
    """Return what a release has of a folder: all but what tools leave there."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(path for path in found if not LEFT_OUT & set(path.parts))


if __name__ == "__main__":
    python = [sys.executable, "-m"]
    wheel = [*python, "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", DIST, ROOT]
    subprocess.run(wheel, check=True)
    subprocess.run([*python, "sphinx", "-W", "-q", ROOT / "docs", SITE], check=True)
    with ZipFile(DIST / f"epochlab-{epochlab.__version__}.zip", "w", ZIP_DEFLATED) as archive:
        for name in ("README.md", "CLAIMS.md", "LICENSE"):
            archive.write(ROOT / name, name)
        for name, folder in FOLDERS.items():
            for path in files(folder):
                archive.write(path, Path(name) / path.relative_to(folder))
