"""The table of modules in `docs/architecture.md`: which stands below which, and what each must not import."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "unseen"
PAGE = SOURCE.parents[1] / "docs" / "architecture.md"


def plan(page):
    """The rooms of each line of the table, top floor first, and what each must not know."""
    table = page[page.index("| module |") :].split("\n\n")[0].splitlines()[2:]
    floors, forbidden = [], {}
    for line in table:
        rooms, _, unknown = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("| ").split(" | "))
        floors.append([room.strip("/") for room in rooms])
        forbidden |= {room.strip("/"): [name.strip("/") for name in unknown] for room in rooms}
    return floors, forbidden


FLOORS, FORBIDDEN = plan(PAGE.read_text())
LEVEL = {room: level for level, rooms in enumerate(reversed(FLOORS)) for room in rooms}


def room_of(path):
    """The room of a module or package, given by its path below the source; None where the plan has none."""
    fitting = [room for room in LEVEL if path == room or path.startswith(room + "/")]
    return max(fitting, key=len, default=None)


def imported(source, module):
    """What a module imports, wherever in it: paths below the source, or names of other packages.

    Args:
        source: its text.
        module: its path below the source, such as `rules/base.py`.

    """
    package = ["unseen", *module.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from [_below(name)] if name.split(".")[0] == "unseen" else [name.split(".")[0]]


def _below(name):
    """The path of the longest part of a dotted name that is a module or package of the source."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        place = SOURCE.joinpath(*parts[:length])
        if place.with_suffix(".py").exists():
            return "/".join(parts[:length]) + ".py"
        if place.is_dir():
            return "/".join(parts[:length])
    return ""  # the package itself: the public names


def violations(source, module):
    """What a module must not import."""
    room = room_of(module)
    found = []
    for path in set(imported(source, module)):
        other = room_of(path)
        if (other is not None and other != room and LEVEL[other] >= LEVEL[room]) or any(
            path == name or path.startswith(name + "/") for name in FORBIDDEN[room]
        ):
            found.append(path)
    return sorted(found)


# The command line and the page call the verbs as a user does.
MODULES = [
    str(path.relative_to(SOURCE))
    for path in sorted(SOURCE.rglob("*.py"))
    if path not in (SOURCE / "__init__.py", SOURCE / "engine" / "__init__.py", SOURCE / "__main__.py")
]


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_what_the_plan_allows(module):
    assert room_of(module) is not None, f"{module} is in no room of the plan: say where it belongs"
    assert violations((SOURCE / module).read_text(), module) == []


def test_every_room_of_the_plan_is_there():
    assert [room for room in LEVEL if not (SOURCE / room).exists()] == []


PLANTED = [
    ("rules/base.py", "from unseen.learners.sklearn import SklearnLearner", "learners/sklearn.py"),
    ("rules/base.py", "from ..engine.runs import directory", "engine/runs/directory.py"),
    ("rules/base.py", "def late():\n    from unseen.engine import work", "engine/work.py"),
    ("learners/sklearn.py", "import unseen.rules.base", "rules/base.py"),
    ("learners/torch/loop.py", "from ...rules.base import Rule", "rules/base.py"),
    ("reporting/page.py", "from unseen.engine.executors import resolve", "engine/executors"),
    ("engine/executors/pool.py", "from unseen.scores.registry import resolve", "scores/registry.py"),
    ("engine/runs/directory.py", "import torch", "torch"),
    ("exporting/api.py", "from unseen.learners.base import in_words", "learners/base.py"),
    ("data/base.py", "import unseen.scores.streaming", "scores/streaming.py"),
    ("core/table.py", "from . import fake\nfrom unseen.data import resolve", "data"),
    ("cli/_prune.py", "from scipy.special import entr", "scipy"),
    ("pruning.py", "def f():\n    import torch.nn", "torch"),
    ("growing.py", "from .pruning import prune", "pruning.py"),
    ("testing.py", "from unseen.engine.work import Work", "engine/work.py"),
    ("learners/base.py", "from unseen.testing import check_learner", "testing.py"),
]


@pytest.mark.parametrize(("module", "source", "found"), PLANTED)
def test_each_kind_of_planted_violation_is_found(module, source, found):
    assert violations(source, module) == [found]


def test_what_is_allowed_is_not_found():
    assert violations("from unseen.errors import ArgumentError\nfrom unseen.core import seeds", "rules/base.py") == []
    assert violations("import unseen", "cli/_prune.py") == []
    assert violations("from .base import Rule", "rules/order.py") == []


def test_no_two_packages_know_each_other():
    """The picture of the packages has no circle."""
    knows = {room: set() for room in LEVEL}
    for module in MODULES:
        others = {room_of(path) for path in imported((SOURCE / module).read_text(), module)}
        knows[room_of(module)] |= others - {None, room_of(module)}
    assert [(a, b) for a in knows for b in knows[a] if a in knows[b]] == []
