import tracemalloc

import numpy as np
import pytest

from unseen import rules
from unseen.core import seeds
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, DataError


def features(n, d, seed=0, copies=False):
    x = np.random.default_rng(seed).normal(size=(n, d)) * 3 + 7
    return np.round(x) if copies else x


def slow_herding(x, budget):
    mean, picks = x.mean(axis=0), []
    for _ in range(budget):
        errors = {
            i: np.linalg.norm(mean - (x[picks].sum(axis=0) + x[i]) / (len(picks) + 1))
            for i in range(len(x))
            if i not in picks
        }
        least = min(errors.values())
        picks.append(min(i for i, e in errors.items() if e <= least + 1e-9))
    return picks


def slow_k_center(x, budget, seed):
    picks = [int(np.argmin(seeds.keys(seed, np.arange(len(x)), "rule", "k_center")))]
    while len(picks) < budget:
        far = {i: min(np.linalg.norm(x[i] - x[p]) for p in picks) for i in range(len(x)) if i not in picks}
        most = max(far.values())
        picks.append(min(i for i, e in far.items() if e >= most - 1e-9))
    return picks


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_herding_equals_the_loop(seed, copies):
    x = features(40, 2 if copies else 5, seed, copies)
    assert rules.herding(40, keep=25, features=x).order.tolist() == slow_herding(x, 25)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_k_center_equals_the_loop(seed, copies):
    x = features(40, 2 if copies else 5, seed, copies)
    assert rules.k_center(40, keep=40, features=x, seed=seed).order.tolist() == slow_k_center(x, 40, seed)


def test_float32_features_choose_the_same_here():
    x = features(200, 8)
    for rule in (rules.herding, rules.k_center, rules.moderate):
        one, two = (rule(200, keep=50, features=x.astype(t), labels=np.arange(200) % 3) for t in (np.float32, float))
        assert one.ids.tolist() == two.ids.tolist()


def test_herding_keeps_the_mean_better_than_random():
    x = features(500, 10)
    error = [
        np.linalg.norm(x[c.indices].mean(axis=0) - x.mean(axis=0))
        for c in (rules.herding(500, keep=50, features=x), rules.random(500, keep=50))
    ]
    assert error[0] < error[1] / 20


def test_k_center_starts_at_random():
    x = features(50, 3)
    assert len({int(rules.k_center(50, keep=1, features=x, seed=s).ids[0]) for s in range(20)}) > 5


def test_moderate_keeps_the_middle_of_all_not_the_tails():
    # Distances to the class medians (10 and 0): class 0: 2, 1, 0, 1, 6; class 1: 0.
    x = np.array([[8.0], [9.0], [10.0], [11.0], [16.0], [0.0]])
    labels = np.array([0, 0, 0, 0, 0, 1])
    # In order: ids 2 (0), 5 (0), 1 (1), 3 (1), 0 (2), 4 (6): the middle is 1, 3; then 5, 0.
    assert rules.moderate(6, keep=2, features=x, labels=labels).order.tolist() == [1, 3]
    assert rules.moderate(6, keep=4, features=x, labels=labels).order.tolist() == [1, 3, 5, 0]
    assert rules.moderate(6, keep=3, features=x, labels=labels).order.tolist() == [1, 3, 5]


def test_moderate_budgets_are_nested():
    x, labels = features(101, 4), np.arange(101) % 4
    everything = rules.moderate(101, keep=1.0, features=x, labels=labels).order
    for budget in (1, 2, 3, 50, 100):
        part = rules.moderate(101, keep=budget, features=x, labels=labels).order
        assert part.tolist() == everything[:budget].tolist()


def test_moderate_equals_a_slow_version():
    x, labels = features(90, 4), np.arange(90) % 7
    distance = np.array([np.linalg.norm(x[i] - np.median(x[labels == labels[i]], axis=0)) for i in range(90)])
    middle = np.argsort(distance, kind="stable")[30:60]
    assert rules.moderate(90, keep=30, features=x, labels=labels).ids.tolist() == sorted(middle.tolist())


def test_moderate_needs_labels():
    with pytest.raises(ArgumentError, match="moderate needs the classes: give labels="):
        rules.moderate(4, keep=2, features=np.eye(4))
    table = ScoreTable.of("el2n", np.zeros(4), direction="harder", labels=[0, 0, 1, 1])
    assert len(rules.moderate(table, keep=2, features=np.eye(4))) == 2


@pytest.mark.parametrize("rule", ["moderate", "herding", "k_center", "graph", "infomax"])
def test_features_are_checked(rule):
    table = ScoreTable.of("el2n", np.arange(4.0), direction="harder", ids=[7, 8, 9, 10])
    call = getattr(rules, rule)
    with pytest.raises(ArgumentError, match=f"rule {rule} reads features: give features="):
        call(table, keep=2)
    with pytest.raises(ArgumentError, match=r"numbers of shape \(4, d\), got float64 \(3, 3\)"):
        call(table, keep=2, features=np.eye(3))
    with pytest.raises(ArgumentError, match="different fold models do not share a space"):
        call(table, keep=2, features=np.zeros((5, 4, 3)))
    bad = np.eye(4)
    bad[1, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinite for ids 8"):
        call(table, keep=2, features=bad)
    assert len(call(table, keep=2, features=np.eye(4, dtype=np.uint8))) == 2


@pytest.mark.parametrize("rule", ["herding", "k_center", "moderate"])
def test_memory_is_linear(rule):
    n, d = 6000, 8
    x = features(n, d).astype(np.float32)
    tracemalloc.start()
    getattr(rules, rule)(n, keep=20, features=x, labels=np.zeros(n, int))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * x.nbytes  # n x n would be 750 times
