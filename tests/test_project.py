"""What holds the repository together: commands, dependencies, names, style."""

import ast
import importlib.metadata
import inspect
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import epochlab

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMMANDS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_readme_commands_are_one_line_each_and_the_second_is_what_ci_runs():
    assert all(command.count("\n") == 1 for command in COMMANDS)
    assert "jupyter lab" in COMMANDS[0]
    command = COMMANDS[1].strip()
    assert command.endswith("python -m pytest")
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    assert command in [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    # What .ci/run greps for in the README is that line and no earlier one.
    assert next(line for line in README.splitlines() if "python -m pytest" in line) == command


def test_environment_installs_the_project_and_lists_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    version, pip, project = environment["dependencies"]
    assert (pip, project) == ("pip", {"pip": ["-e .[test]"]})
    name, _, number = version.partition("=")
    assert name == "python" and SpecifierSet(PROJECT["requires-python"]).contains(number)


def imported_modules():
    """The top-level module of each import in the package, the tests and the notebooks."""
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("*.py")]
    for folder in ("epochlab", "tests", "docs"):
        sources += [path.read_text(encoding="utf-8") for path in (ROOT / folder).glob("*.py")]
    for path in NOTEBOOKS:
        cells = nbformat.read(path, 4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        sources += [TransformerManager().transform_cell(source) for source in code]
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]


def test_everything_imported_is_a_declared_dependency():
    listed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    declared = {Requirement(text).name.lower().replace("_", "-") for text in listed}
    # jupyter stands for what it installs.
    declared |= {"ipython", "ipywidgets"}
    distributions = importlib.metadata.packages_distributions()
    foreign = set(imported_modules()) - set(sys.stdlib_module_names) - {"epochlab", "hygiene"}
    for module in foreign:
        owners = {owner.lower().replace("_", "-") for owner in distributions.get(module, [])}
        assert owners & declared, f"{module} is imported, but pyproject.toml does not list it"


def test_dependencies_have_lower_bounds_and_upper_ones_only_with_a_reason():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        operators = {part.operator for part in Requirement(text).specifier}
        assert ">=" in operators, text
        if operators != {">="}:
            assert any(f'"{text}"' in line and "#" in line for line in lines), text


def test_versions_agree():
    assert epochlab.__version__ == PROJECT["version"] == importlib.metadata.version("epochlab")


def test_import_is_light():
    log = python("-X", "importtime", "-c", "import epochlab").stderr
    assert "epochlab" in log
    assert not re.search(r"\| +(tensorflow|keras|matplotlib|sklearn|scipy)\b", log)

    def seconds(statement):
        code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter()"
        return min(float(python("-c", f"{code} - start)").stdout) for _ in range(3))

    assert seconds("import numpy, epochlab") - seconds("import numpy") < 0.2


@pytest.mark.parametrize("name", epochlab.__all__)
def test_public_names_are_documented_annotated_and_tried_in_a_doctest(name):
    thing = getattr(epochlab, name)
    assert not (ROOT / "epochlab" / f"{name}.py").exists()  # a module would hide the function
    assert thing.__doc__ and re.match(r"[A-Z][^\n]*\.\n|[A-Z][^\n]*\.$", thing.__doc__)
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty, f"{name}({parameter.name})"
        assert signature.return_annotation is not signature.empty
    if not inspect.isclass(thing):
        assert ">>>" in thing.__doc__, f"{name} has no doctest"


def test_ruff_is_content():
    for arguments in (["check"], ["format", "--check"]):
        result = python("-m", "ruff", *arguments, ".")
        assert result.returncode == 0, result.stdout + result.stderr


def test_readme_lists_each_notebook_with_its_question():
    for path in NOTEBOOKS:
        title = nbformat.read(path, 4).cells[0].source.splitlines()[0].removeprefix("# ")
        row = rf"\| \[{path.stem}\]\(notebooks/{path.name}\) \| {re.escape(title)} \| \d+ s \|"
        assert re.search(row, README), f"README.md has no row for {path.name}: {title}"


CLAIMS = runpy.run_path(str(ROOT / "docs" / "claims.py"))
WRITTEN = (ROOT / "CLAIMS.md").read_text(encoding="utf-8")


def test_claims_md_is_what_the_notebooks_have_measured():
    assert CLAIMS["page"](NOTEBOOKS) == WRITTEN, "run python docs/claims.py"


def test_claims_md_has_every_row_of_the_ledger():
    assert set(map(str, range(1, 53))) <= set(re.findall(r"^\| (\d+) \|", WRITTEN, re.MULTILINE))


def test_readme_shows_the_verdicts_on_what_is_repeated_most():
    assert CLAIMS["readme"](README, WRITTEN) == README, "run python docs/claims.py"
    shown = re.search(CLAIMS["TABLE"], README)[0]
    assert shown.count("\n") == len(CLAIMS["REPEATED"]) + 2


def test_copy_for_a_class_has_no_outputs_and_leaves_the_notebooks_alone(tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    command = next(command for command in COMMANDS if "classroom" in command)
    assert command.startswith("python ")
    command = f"{shlex.quote(sys.executable)} {command.removeprefix('python ')}"
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    for path in NOTEBOOKS:
        assert (tmp_path / "notebooks" / path.name).read_bytes() == path.read_bytes()
        for cell in nbformat.read(tmp_path / "classroom" / path.name, 4).cells:
            assert not cell.get("outputs") and cell.get("execution_count") is None


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= set(citation)
