import json
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unseen
from unseen.core import registry
from unseen.core.registry import Registry, import_named, parse_spec
from unseen.scores.registry import SCORES, describe_all
from unseen.scores.streaming import Pointwise
from unseen.testing import check_score


@dataclass(frozen=True, kw_only=True)
class Surprise(Pointwise):
    """What another package would bring: 1 - p_y, scaled."""

    scale: float = 1.0

    name = "surprise"
    direction: ClassVar[str] = "harder"
    low, high = 0.0, 1.0
    formula = "scale x (1 - p_y)"
    source = "tests"

    def measure(self, observation, labels):
        z = np.asarray(observation.logits, dtype=np.float64)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return self.scale * (1 - (p / p.sum(axis=1, keepdims=True))[np.arange(len(z)), labels])


@pytest.fixture
def foreign(monkeypatch):
    """Entry points as if another package were installed, on a registry that has not looked for them yet."""

    def announce(group, **entries):
        points = [EntryPoint(name, value, group) for name, value in entries.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])

    monkeypatch.setattr(SCORES, "_foreign_loaded", False)
    monkeypatch.setattr(SCORES, "_entries", dict(SCORES._entries))
    return announce


def test_a_score_of_another_package(foreign):
    foreign("unseen.scores", surprise=f"{__name__}:Surprise")
    check_score(Surprise(), variants=[Surprise(epochs=(1, 2)), Surprise(scale=0.5)])
    table = unseen.score("digits", scores="surprise:scale=0.5", plan=unseen.folds(2), learner="logistic")
    assert table.directions == {"surprise:scale=0.5": "harder"}
    np.testing.assert_allclose(table.column("surprise:scale=0.5"), 0.5 * (1 - table.mean_confidence), atol=1e-12)
    assert describe_all()[-1]["formula"] == "scale x (1 - p_y)"


def test_names_of_our_own_are_found_without_looking_at_other_packages(monkeypatch):
    def refuse(group):
        raise AssertionError("looked")

    monkeypatch.setattr(registry, "entry_points", refuse)
    own = Registry("score", "x")
    own.add("a", 1)
    assert own.get("a") == 1


def test_a_foreign_entry_cannot_take_our_name(foreign):
    foreign("unseen.scores", el2n=f"{__name__}:Surprise")
    with pytest.raises(unseen.ArgumentError, match="a score named 'el2n' is already registered"):
        list(SCORES)


def test_a_broken_foreign_entry_is_named(foreign):
    foreign("unseen.scores", odd="no_such_package_at_all:Odd")
    for _ in range(2):  # the second time, too
        with pytest.raises(
            unseen.ArgumentError, match=r"the score 'odd' \(no_such_package_at_all:Odd\) .* update or un"
        ):
            SCORES.get("odd")


def test_real_entry_points_are_read():
    assert list(Registry("plugin", "pytest11")) == [p.name for p in metadata.entry_points(group="pytest11")]


def test_unknown_names_bring_the_nearest():
    colours = Registry("colour", "unseen.tests.colours")
    colours.add("crimson", 1)
    colours.add("teal", 2)
    with pytest.raises(unseen.UnknownNameError, match=r"unknown colour 'crimsn'; did you mean 'crimson'\?"):
        colours.get("crimsn")
    with pytest.raises(unseen.UnknownNameError, match="unknown colour 'x'; known: crimson, teal"):
        colours.get("x")
    with pytest.raises(unseen.ArgumentError, match="a colour named 'teal' is already registered; choose another name"):
        colours.add("teal", 3)
    assert colours.items() == [("crimson", 1), ("teal", 2)]


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("el2n", "el2n", {}),
        ("el2n:", "el2n", {}),
        (" dual : window = 5 , epochs=20", "dual", {"window": 5, "epochs": 20}),
        ("a:x=(1,2),y=[3,(4,5)],z=6", "a", {"x": (1, 2), "y": [3, (4, 5)], "z": 6}),
        ("a:x=true,y=None,z=False,w=none", "a", {"x": True, "y": None, "z": False, "w": None}),
        ("a:lr=1e-3,word=rank,path=a.b:c", "a", {"lr": 1e-3, "word": "rank", "path": "a.b:c"}),
        ("a:x='1'", "a", {"x": "1"}),
    ],
)
def test_specs(text, name, options):
    assert parse_spec(text) == (name, options)


VALUES = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES | st.tuples(VALUES, VALUES), max_size=4))
def test_specs_give_back_what_was_written(options):
    text = "name:" + ",".join(f"{key}={value!r}" for key, value in options.items())
    assert parse_spec(text) == ("name", options)


def test_a_spec_without_equals():
    with pytest.raises(
        unseen.ArgumentError, match=r"expected name:option=value,\.\.\. but got 'dual:5': '5' has no '='"
    ):
        parse_spec("dual:5")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("no_such:f", "No module named 'no_such'; a module in this folder is found with PYTHONPATH=. in front"),
        ("json.py:loads", "No module named .*; leave out .py, as in an import"),
        ("json:no_such", "module 'json' has no attribute 'no_such'$"),
        ("json:decoder", "must be module:function, but it is module"),
    ],
)
def test_functions_of_users_that_cannot_be_imported(place, words):
    assert import_named("x", "json:loads") is json.loads
    with pytest.raises(unseen.ArgumentError, match=words):
        import_named("x", place)
