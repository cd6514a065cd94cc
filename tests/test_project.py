"""What holds the repository together: commands, dependencies, names, style."""

import ast
import importlib.metadata
import inspect
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from hygiene import imported
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import epochlab
from epochlab import _extras

ROOT = Path(__file__).resolve().parents[1]
CORE = {"epochlab", "numpy", "lazy-loader", "lazy_loader", "packaging"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXTRAS = PROJECT["optional-dependencies"]
TESTED = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
COMMANDS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_readme_commands_are_one_line_each_and_the_second_is_what_ci_runs():
    assert all(command.count("\n") == 1 for command in COMMANDS)
    assert COMMANDS[0] == 'python -m pip install -e ".[lab]" && python -m jupyter lab notebooks\n'
    command = COMMANDS[1].strip()
    assert command.endswith("python -m pytest")
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert command in [step.get("run") for step in job["steps"]]
    assert set(job["strategy"]["matrix"]["python"]) == set(TESTED)
    # What .ci/run greps for in the README are these lines and no earlier ones.
    greps = re.findall(r"grep --max-count=1 '(.*?)' README", (ROOT / ".ci/run").read_text())
    found = [next(line for line in README.splitlines() if words in line) for words in greps]
    assert len(found) == 2 and found[0] == command
    assert all(line + "\n" in COMMANDS for line in found)


def test_python_versions_are_those_that_are_tested():
    minors = [f"3.{minor}" for minor in range(30)]
    assert list(SpecifierSet(PROJECT["requires-python"]).filter(minors)) == TESTED


def test_environment_installs_the_project_and_lists_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    version, pip, project = environment["dependencies"]
    assert (pip, project) == ("pip", {"pip": ["-e .[lab]"]})
    name, _, number = version.partition("=")
    assert name == "python" and number in TESTED


def requirements(*extras):
    """What is installed with these extras, as pyproject.toml writes it."""
    listed = list(PROJECT["dependencies"])
    for extra in extras:
        for text in EXTRAS[extra]:
            ours = Requirement(text).name == "epochlab"
            listed += requirements(*Requirement(text).extras) if ours else [text]
    return listed


def names(requirements):
    return {Requirement(text).name.lower().replace("_", "-") for text in requirements}


def assert_declared(sources, declared):
    distributions = importlib.metadata.packages_distributions()
    folders = [ROOT / "tests", ROOT / "docs", ROOT / "notebooks"]
    ours = {"epochlab", *(path.stem for folder in folders for path in folder.rglob("*.py"))}
    for source in sources:
        # What is not installed is taken to have the name of its module.
        for module in set(imported(ast.parse(source))) - set(sys.stdlib_module_names) - ours:
            owners = distributions.get(module, [module])
            owners = {owner.lower().replace("_", "-") for owner in owners}
            assert owners & declared, f"{module} is imported, but not among {sorted(declared)}"


def test_everything_imported_is_a_declared_dependency():
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    sources += [(ROOT / "conftest.py").read_text(encoding="utf-8")]
    # jupyter stands for what it installs.
    jupyter = {"ipython", "jupyter-client", "nbconvert"}
    assert_declared(sources, names(requirements("test")) | jupyter)

    sources = [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.py")]
    assert_declared(sources, names(requirements("docs")))

    folders = [ROOT / "epochlab", ROOT / "notebooks"]
    sources = [path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py")]
    # Where IPython is not there, nothing is shown with it.
    assert_declared(sources, names(requirements("notebooks")) | {"ipython"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_imports_what_its_extra_has_or_it_installs_itself(path):
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    installed = "\n".join(re.findall(r"%pip install .*", "\n".join(cell.source for cell in code)))
    own = re.findall(r'"([a-z]+>=[\d.]+)"', installed)
    assert set(own) <= set(requirements("test"))  # so it is tested, and the bounds agree
    sources = [TransformerManager().transform_cell(cell.source) for cell in code]
    assert_declared(sources, names(requirements("notebooks") + own) | {"ipython"})
    installs = [cell.source for cell in code if "colab-install" in cell.metadata.get("tags", [])]
    assert '%pip install -q "/content/epochlab[notebooks]"' in installs[0]


def test_dependencies_have_lower_bounds_and_upper_ones_only_with_a_reason():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for text in requirements("test"):
        operators = {part.operator for part in Requirement(text).specifier}
        assert ">=" in operators, text
        if operators != {">="}:
            assert any(f'"{text}"' in line and "#" in line for line in lines), text


def test_core_is_slim_and_no_extra_for_notebooks_brings_a_front_end():
    assert names(requirements()) == {"numpy", "lazy-loader", "packaging"}
    assert not names(requirements("notebooks")) & {"jupyter", "jupyterlab", "notebook", "ipykernel"}


def test_each_module_beyond_the_core_has_an_extra_that_installs_it():
    distributions = importlib.metadata.packages_distributions()
    for extra, modules in _extras.MODULES.items():
        for module in modules:
            assert names(distributions[module]) & names(EXTRAS[extra]), (extra, module)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "epochlab").rglob("*.py")]
    found = {module for source in sources for module in imported(ast.parse(source))}
    beyond = {module for module in found if not names(distributions.get(module, [])) & CORE}
    known = {module for modules in _extras.MODULES.values() for module in modules}
    assert beyond - set(sys.stdlib_module_names) - {"IPython"} <= known


@pytest.mark.slow
def test_core_works_alone_and_names_the_command_that_installs_the_rest():
    code = f"""
import importlib.metadata, runpy, sys

class OnlyTheCore:
    def find_spec(self, name, path=None, target=None):
        module = name.partition(".")[0]
        if {{owner.lower() for owner in installed.get(module, ["epochlab"])}}.isdisjoint({CORE}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

installed = importlib.metadata.packages_distributions()
sys.meta_path.insert(0, OnlyTheCore())
runpy.run_path("tests/core_install.py", run_name="__main__")
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stdout + result.stderr


def test_versions_agree():
    assert epochlab.__version__ == PROJECT["version"] == importlib.metadata.version("epochlab")


def test_import_is_light():
    log = python("-X", "importtime", "-c", "import epochlab").stderr
    assert "epochlab" in log
    assert not re.search(r"\| +(tensorflow|keras|pandas|matplotlib|sklearn|scipy|numpy)\b", log)


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


@pytest.mark.slow
def test_mypy_is_content():
    result = python("-m", "mypy")
    assert result.returncode == 0, result.stdout + result.stderr


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


def test_what_is_written_from_the_notebooks_is_up_to_date():
    stale = [
        str(path.relative_to(ROOT))
        for path, text in CLAIMS["written"]().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run python docs/claims.py"


def test_claims_md_has_every_row_of_the_ledger():
    written = (ROOT / "CLAIMS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*$", written, re.MULTILINE)
    assert set(map(str, range(1, 53))) <= set(rows)


def verdict_entry(**evidence):
    path = ROOT / "notebooks" / "evidence" / "01_epochs.ipynb"
    return {"kind": "verdict", "label": "6", "path": path, "evidence": evidence, "missing": None}


def test_each_world_says_what_was_measured_or_why_nothing_was():
    entry = verdict_entry(few={"digits": "+3: yes", "photos": "+2: yes"}, exact="4 == 4: yes")
    entry["missing"] = "text: no labels"
    assert CLAIMS["world_cells"](entry) == [
        "few: +3: yes; exactly, exact: 4 == 4: yes",
        "few: +2: yes; exactly, exact: 4 == 4: yes",
        "exactly, exact: 4 == 4: yes; not measured: no labels",
    ]
    with pytest.raises(ValueError, match="row 6 must say why it is not measured on text"):
        CLAIMS["world_cells"](verdict_entry(few={"digits": "+3: yes", "photos": "+2: yes"}))


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= set(citation)
