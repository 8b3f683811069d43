"""De-duplication against a slow loop that knows all distances."""

import numpy as np
import pytest

from unseen import rules
from unseen.errors import ArgumentError
from unseen.rules import neighbours


def slow_dedup(x, budget, metric):
    """Ids that stay: all pairs, looked at anew before each drop."""
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    left = list(range(len(x)))
    while len(left) > budget:
        apart = np.linalg.norm(x[left][:, None] - x[left][None], axis=2) + np.diag(np.full(len(left), np.inf))
        nearest = apart.min(axis=1)
        left.pop(max(i for i in range(len(left)) if nearest[i] <= nearest.min() + 1e-12))
    return left


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("budget", [1, 7, 30, 59])
def test_dedup_equals_the_loop(metric, copied, budget, monkeypatch):
    rng = np.random.default_rng(budget)
    x = rng.normal(size=(60, 3)) + 1
    x = x[rng.integers(0, 15, 60)] if copied else x
    for listed, batch in ((2, 3), (2, 256), (16, 256)):  # that lists run out changes nothing
        monkeypatch.setattr(neighbours, "_LISTED", listed)
        monkeypatch.setattr(neighbours, "_BATCH", batch)
        chosen = rules.dedup(60, keep=budget, features=x, metric=metric)
        assert chosen.ids.tolist() == slow_dedup(x, budget, metric)


def test_one_of_each_copy_stays():
    unique = np.random.default_rng(0).normal(size=(20, 4))
    x = np.repeat(unique, 5, axis=0)
    assert rules.dedup(100, keep=20, features=x).ids.tolist() == list(range(0, 100, 5))


def test_a_smaller_budget_is_part_of_a_larger_one():
    x = np.random.default_rng(1).normal(size=(50, 4))
    small, large = (set(rules.dedup(50, keep=k, features=x).ids.tolist()) for k in (10, 30))
    assert small < large


def test_the_metric_is_checked():
    with pytest.raises(ArgumentError, match="metric must be one of 'euclidean', 'cosine', got 'city'"):
        rules.dedup(3, keep=1, features=np.eye(3), metric="city")
