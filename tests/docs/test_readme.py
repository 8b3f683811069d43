"""The README, the examples and the pages of docs: every block of Python runs and prints what it says."""

import doctest
import re
import runpy
import sys
import warnings
from pathlib import Path

import pytest

from unseen.cli import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SLOW = {"docs/reading_a_curve.md", "docs/tutorials/cluster.md"}  # dozens of trainings, processes that start


def page_of(path):
    name = path.relative_to(ROOT).as_posix()
    return pytest.param(path, id=name, marks=pytest.mark.slow if name in SLOW else ())


# Of the libraries that pages train with, not of this one: advice on loaders, and checks that torch deprecates.
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
@pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated")
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator is found")
@pytest.mark.parametrize("page", [page_of(path) for path in PAGES])
def test_blocks_of_python(page):
    text = page.read_text()
    assert ">>>" not in re.sub(r"```python.*?```", "", text, flags=re.S), "an example outside a python block is not run"
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))
    test = doctest.DocTestParser().get_doctest(blocks, {}, page.name, str(page), 0)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.failed == 0
    if page.name == "README.md":
        assert result.attempted > 3


def test_the_readme_shows_what_make_demo_prints(tmp_path, monkeypatch, capfd):
    command = re.search(r"\$\(DEMO\)/unseen (prune .*)", (ROOT / "Makefile").read_text())[1]
    shown = re.search(r"    \$ unseen (.*?)\n\n", (ROOT / "README.md").read_text(), flags=re.S)[1]
    shown = re.sub(r"\n {8,}(?=\S)", " ", shown)  # a line of the program may take two here
    said, *lines = [line.removeprefix("    ") for line in shown.splitlines()]  # `...` stands for lines left out
    assert said == command
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["unseen", *command.split()])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    out, err = capfd.readouterr()
    printed = "".join(f"{line}\n" for line in (err + out).splitlines())
    wanted = "".join("(?:.*\\n)*" if line == "..." else re.escape(f"{line}\n") for line in lines)
    assert sum(line != "..." for line in lines) > 4
    assert re.fullmatch(wanted, printed), printed


def test_the_readme_shows_the_lines_by_which_the_two_examples_differ():
    """The newcomer's claim: about six more lines."""
    plain, twin = ((ROOT / "examples" / f"train_{name}.py").read_text().splitlines() for name in ("plain", "unseen"))
    shown = re.search(r"```diff\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)[1].splitlines()
    added = [line[1:] for line in shown if line.startswith("+")]
    removed = [line[1:] for line in shown if line.startswith("-")]
    assert [line for line in twin if line not in plain and "import" not in line and '"""' not in line] == added
    assert [line for line in plain if line not in twin and "import" not in line and '"""' not in line] == removed
    assert len(added) - len(removed) <= 6


@pytest.mark.parametrize("name", ["train_plain", pytest.param("train_unseen", marks=pytest.mark.slow)])
def test_examples_run(name):
    pytest.importorskip("torch", reason="the examples train with torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
    if name == "train_unseen":
        assert len(names["coreset"]) == 1258
