"""What the pages say about installing: extras that are there, a Dockerfile whose parts exist, notebooks that run."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def extras_in(text):
    """The extras that a text tells to install: `unseen[torch,ray]`."""
    return {name for names in re.findall(r"unseen\[([a-z, ]+)\]", text) for name in re.split(r",\s*", names)}


def extras_of_errors():
    """The extras that errors about missing packages name, read from the source."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            of = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if of in ("MissingDependencyError", "import_optional"):
                given = [*node.args[2:], *(word.value for word in node.keywords if word.arg == "extra")]
                yield from (each.value for each in given if isinstance(each, ast.Constant))


def test_every_extra_that_is_named_is_there():
    named = set(extras_of_errors())
    assert {"torch", "ray", "embed", "ann"} <= named
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        named |= extras_in(path.read_text())
    also = re.search(r"unseen\[torch\] @ .*# also: (.*)", (ROOT / "README.md").read_text())[1]
    named |= set(also.split(", "))
    assert named <= set(EXTRAS)


def test_all_has_every_extra_of_users():
    (line,) = EXTRAS["all"]
    assert extras_in(line) == set(EXTRAS) - {"all", "dev", "docs"}


def test_the_line_of_the_readme_is_one_that_pip_takes(tmp_path):
    """Without the packages themselves, which the constraints and another test of the wheel cover."""
    line = re.search(r"pip (install .*unseen\[torch\] @ [^#]*)", (ROOT / "README.md").read_text())[1]
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    (clone / "src" / "unseen").mkdir(parents=True)
    (clone / "src" / "unseen" / "__init__.py").touch()
    pip = f"{sys.executable} -m pip --disable-pip-version-check {line.strip()}"
    offline = "--dry-run --no-deps --no-build-isolation --ignore-installed --quiet --report report.json"
    done = subprocess.run(["bash", "-c", f"{pip} {offline}"], cwd=clone, capture_output=True, text=True,
                          env={**os.environ, "PWD": str(clone)}, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((clone / "report.json").read_text())["install"]
    assert found["metadata"]["name"] == "unseen"
    assert found["requested_extras"] == ["torch"]
    assert {"torch", "all"} <= set(found["metadata"]["provides_extra"])
    assert "does not provide the extra" not in done.stderr


def test_the_dockerfile_copies_what_is_there_and_names_no_host_but_that_of_torch():
    text = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.*)", text, re.M) for name in line.split()[:-1]]
    let_in = re.findall(r"^!(.*)", (ROOT / ".dockerignore").read_text(), re.M)
    assert set(copied) == set(let_in)
    assert all((ROOT / name).exists() for name in copied)
    assert set(re.search(r"^ARG EXTRAS=(.*)", text, re.M)[1].split(",")) <= set(EXTRAS)
    assert set(re.findall(r"https?://([^/\s]+)", text)) == {"download.pytorch.org"}
    assert re.search(r"^ARG TORCH_WHEELS=.*/cpu$", text, re.M)
    assert re.search(r"^USER (?!root|0)", text, re.M)
    # What a build step reads must be declared after FROM, where it would otherwise be empty.
    assert text.index("FROM ") < min(text.index("ARG TORCH_WHEELS"), text.index("ARG EXTRAS"))


def test_there_is_a_notebook_of_images_and_one_of_a_table():
    assert [path.stem for path in NOTEBOOKS] == ["images", "table"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    """By a kernel where nbclient is installed; else their cells, one after the other, in a Python of their own."""
    notebook = json.loads(path.read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "save it without outputs"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if find_spec("nbclient") and find_spec("ipykernel"):
        code = (
            "import sys, nbformat, nbclient\n"
            "nbclient.NotebookClient(nbformat.read(sys.argv[1], 4), kernel_name='python3').execute()"
        )
    else:
        cells = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
        code = "\n\n".join(cells)
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=tmp_path, env=env, capture_output=True,
                          text=True, timeout=200, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs").is_dir()
