"""The plan of the house: a room imports only from rooms below it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "unseen"
# From the ground up; rooms on one floor do not know each other.
FLOORS = [
    {"errors"},
    {"atomic", "cards", "registry", "verdicts", "parquet", "types", "seeds", "threads"},
    {"exposure", "closed_form"},
    {"protocols"},
    {"data", "runs", "scores"},
    {"rules", "functional", "testing"},
    {"scoring", "selecting"},
    {"learners"},
    {"executors", "integrations"},
    {"work", "embedding"},
    {"growing"},
    {"evaluating"},
    {"comparing", "estimating"},
    {"pruning"},
    {"estimator"},
    {"exporting", "reporting"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
GROUND = {"atomic", "cards", "registry", "verdicts", "parquet", "types", "seeds"}  # these few lean on each other


def room_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(source):
    """The rooms that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("unseen"):
            tail = node.module.split(".")[1:]
            yield from tail[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("unseen."))


def too_high(room, source):
    """What it imports from its own floor or from above."""
    return sorted(
        other
        for other in set(imported(source)) & LEVEL.keys()
        if other != room and LEVEL[other] >= LEVEL[room] and not {room, other} <= GROUND
    )


MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_from_rooms_below(path):
    assert room_of(path) in LEVEL, f"{path.name} is in no room of the plan: say where it belongs"
    assert too_high(room_of(path), path.read_text()) == []


def test_a_planted_violation_is_found():
    assert too_high("rules", "from unseen.learners.sklearn import SklearnLearner") == ["learners"]
    assert too_high("rules", "def late():\n    from unseen import work") == ["work"]
    assert too_high("data", "import unseen.scores.base") == ["scores"]
    assert too_high("cli", "from unseen.errors import ArgumentError") == []


def test_the_page_names_every_room():
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    plan = page[page.index("## Rooms") : page.index("## Vocabulary")]
    absent = [room for room in LEVEL if f"`{room}/`" not in plan and f"`{room}.py`" not in plan]
    assert absent == []
