import inspect
from typing import get_type_hints

import numpy as np
import pytest

from unseen import rules
from unseen.errors import ArgumentError, BudgetError, UnknownNameError
from unseen.rules.choosing import Shared

NAMES = [
    "random",
    "top",
    "window",
    "bws",
    "stratified",
    "beta",
    "trimmed",
    "moderate",
    "herding",
    "k_center",
    "graph",
    "infomax",
    "dedup",
]


def test_the_registry_and_the_functions_are_the_same_rules():
    assert list(rules.RULES)[: len(NAMES)] == NAMES
    for name in NAMES:
        signature = inspect.signature(getattr(rules, name))
        about = rules.about(name)
        assert about.name == rules.RULES.get(name).name == name
        shown = {k: p.default for k, p in signature.parameters.items()}
        assert {**shown, **about.options} == shown, "an option or its default differs"
        shared = list(Shared.__annotations__)
        assert set(shared) == set(inspect.signature(rules.choose).parameters) - {"rule", "scores"}
        assert list(shown) == ["scores", *about.options, *shared]
        hints, fields = get_type_hints(getattr(rules, name)), get_type_hints(rules.RULES.get(name))
        assert {option: hints[option] for option in about.options} == {
            option: fields[option] for option in about.options
        }, "a type hint differs"
        assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for k, p in signature.parameters.items() if k != "scores")


def test_unknown_names_say_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown rule 'stratifid'; did you mean 'stratified'"):
        rules.resolve("stratifid")
    with pytest.raises(UnknownNameError, match="rule 'stratified' has no option 'cutof'; did you mean 'cutoff'"):
        rules.resolve("stratified:cutof=0.3")
    with pytest.raises(ArgumentError, match="rule 'random' has no options, got 'k'"):
        rules.resolve("random:k=3")


def test_no_module_bears_the_name_of_a_rule():
    for name in NAMES:
        assert inspect.isfunction(getattr(rules, name))
        with pytest.raises(ModuleNotFoundError):
            __import__(f"unseen.rules.{name}")


def test_check_says_the_budget():
    assert rules.check("stratified:cutoff=0.3", n=1000, keep=0.7, direction="harder") == 700
    assert rules.check("top", n=10, quota={"cat": 1, "dog": 2}, class_sizes={"cat": 5, "dog": 5}) == 3
    assert rules.check("top", n=10, quota={0: 1, 2: 2}, class_sizes={"cat": 5, "none": 0, "dog": 5}) == 3
    sizes = {"cat": 5, "dog": 5}
    assert rules.check("top", n=10, keep=4, quota="error", class_sizes=sizes, has_predictions=True) == 4


@pytest.mark.parametrize(
    ("spec", "arguments", "error", "message"),
    [
        ("stratified:cutoff=0.3", {"keep": 0.8}, BudgetError, "leaves 70 of 100 samples, below the budget of 80"),
        ("window:offset=30", {"keep": 0.8}, BudgetError, "window with offset=30 leaves 70"),
        ("top", {"keep": 0}, BudgetError, "keep as a count"),
        ("top", {"keep": 2, "quota": "uniform", "class_sizes": {"a": 50, "b": 40, "c": 10}}, BudgetError, "3 classes"),
        ("top", {"keep": 2, "quota": {"a": 1, "b": 2}, "class_sizes": {"a": 5, "b": 5}}, BudgetError, "add up to 3"),
        ("window:offset=5", {"keep": 2, "quota": "uniform", "class_sizes": {"a": 95, "b": 5}}, BudgetError, "class b"),
        ("top", {"keep": 2, "quota": "fair"}, ArgumentError, "quota must be one of"),
        ("top", {"keep": 2, "quota": "error", "has_predictions": False}, ArgumentError, "held-out predictions"),
        ("k_center", {"keep": 2}, ArgumentError, "reads features: give features="),
        ("bws", {"keep": 2}, ArgumentError, "bws reads features: give features="),
        ("bws", {"keep": 2, "quota": "uniform", "has_features": True}, ArgumentError, "cannot choose inside one"),
        ("beta", {"keep": 2, "direction": "easier"}, ArgumentError, "direction is harder or worth"),
        ("stratified:cutoff=0.1", {"keep": 2, "direction": "worth"}, ArgumentError, "give cutoff_by="),
        ("stratified", {"keep": 2, "align": "rank"}, ArgumentError, "needs align='none'"),
        ("random", {"keep": 2, "align": "rank"}, ArgumentError, "would change nothing"),
        ("top", {"keep": 2, "align": "temperature"}, ArgumentError, "needs the logits"),
    ],
)
def test_check_refuses_before_training(spec, arguments, error, message):
    with pytest.raises(error, match=message):
        rules.check(spec, n=100, **arguments)


def test_what_check_lets_through_is_met():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, cutoff = int(rng.integers(3, 40)), float(rng.choice([0.0, 0.1, 0.29, 0.5]))
        labels = rng.integers(0, 3, n)
        names, sizes = np.unique(labels, return_counts=True)
        keep, quota = int(rng.integers(1, n + 1)), rng.choice(["proportional", "uniform"])
        about = {"keep": keep, "quota": str(quota)}
        rule = rules.resolve(f"stratified:cutoff={cutoff}")
        try:
            rules.check(rule, n=n, class_sizes=dict(zip(map(str, names), sizes.tolist(), strict=True)), **about)
            allowed = True
        except BudgetError:
            allowed = False
        try:
            rules.choose(rule, rng.random(n), labels=labels, direction="harder", **about)
            met = True
        except BudgetError:
            met = False
        assert allowed == met
