import sys
import tracemalloc

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from unseen import rules
from unseen.errors import ArgumentError, MissingDependencyError
from unseen.rules.neighbours import nearest, neighbour_graph


def points(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) + 50  # far from the origin: cancellation would show


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_equal_scikit_learn(metric):
    x = points(300, 6)
    of = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    distance, at = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(of).kneighbors(of)
    got, apart = nearest(x, 5, metric=metric)
    assert (got == at[:, 1:]).all()
    np.testing.assert_allclose(apart, distance[:, 1:], rtol=1e-6, atol=1e-8)


def test_the_index_finds_nearly_all_and_is_reproducible():
    pytest.importorskip("hnswlib")
    x = points(500, 6)
    exact, found = nearest(x, 5)[0], nearest(x, 5, ann=True)[0]
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(exact, found, strict=True)]) > 0.98
    assert (nearest(x, 5, ann=True)[0] == found).all()
    copies = np.ones((30, 3))
    at = nearest(copies, 5, ann=True)[0]
    assert (at != np.arange(30)[:, None]).all()


def test_without_hnswlib_the_index_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'unseen\[ann\]'"):
        nearest(points(10, 2), 3, ann=True)


def test_beyond_the_limit_the_index_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    monkeypatch.setattr("unseen.rules.neighbours.EXACT_UP_TO", 9)
    assert nearest(points(9, 2), 3)[0].shape == (9, 3)
    with pytest.raises(MissingDependencyError):
        nearest(points(10, 2), 3)
    assert nearest(points(10, 2), 3, ann=False)[0].shape == (10, 3)


def test_neighbours_of_few():
    assert nearest(np.ones((1, 3)), 5)[0].shape == (1, 0)
    at, distance = nearest(np.ones((3, 2)), 5)
    assert at.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert not distance.any()


def test_the_graph_is_symmetric():
    graph = neighbour_graph(*nearest(points(60, 3), 4))
    np.testing.assert_array_equal(graph.toarray(), graph.toarray().T)
    assert graph.has_sorted_indices  # ties go by position
    assert not graph.diagonal().any()


def test_memory_of_neighbours_is_linear():
    n = 8000
    x = points(n, 4).astype(np.float32)
    tracemalloc.start()
    nearest(x, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # blocks of 64 MiB and their partition's indices; all distances would be 256 MB and 512 MB


def slow_graph(x, values, budget, k, gamma):
    n = len(x)
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    near = [sorted((j for j in range(n) if j != i), key=lambda j: (distance[i, j], j))[:k] for i in range(n)]
    scale = np.median([distance[i, j] for i in range(n) for j in near[i]])
    linked = [[j for j in range(n) if j in near[i] or i in near[j]] for i in range(n)]
    value = [values[i] + sum(np.exp(-distance[i, j] / scale) * values[j] for j in linked[i]) for i in range(n)]
    picks = []
    for _ in range(budget):
        best = max((i for i in range(n) if i not in picks), key=lambda i: (value[i], -i))
        picks.append(best)
        for j in linked[best]:
            if j not in picks:
                value[j] -= np.exp(-gamma * distance[best, j] / scale) * value[best]
    return picks


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_graph_equals_the_loop(seed, gamma):
    x, values = points(40, 3, seed), np.random.default_rng(seed).random(40)
    got = rules.graph(values, keep=30, direction="harder", features=x, k=4, gamma=gamma)
    assert got.order.tolist() == slow_graph(x, values, 30, 4, gamma)


def test_graph_does_not_care_for_the_scale_of_the_features():
    x, values = points(80, 5), np.random.default_rng(0).random(80)
    one = rules.graph(values, keep=20, direction="harder", features=x)
    # exp(-d) of raw distances a thousand times as large would be 0: plain top.
    two = rules.graph(values, keep=20, direction="harder", features=x * 1024)
    assert one.order.tolist() == two.order.tolist()
    assert one.ids.tolist() != rules.top(values, keep=20, direction="harder").ids.tolist()


def test_graph_spreads_over_clusters():
    # Two clusters, the harder one first: plain top takes it alone.
    x = np.concatenate([points(20, 2), points(20, 2) + 100])
    values = np.concatenate([np.full(20, 1.0), np.full(20, 0.9)])
    coreset = rules.graph(values, keep=10, direction="harder", features=x)
    assert 3 <= (coreset.indices < 20).sum() <= 7


def slow_infomax(x, values, budget, k, alpha):
    n = len(x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    near = [sorted((j for j in range(n) if j != i), key=lambda j: -cosine[i, j])[:k] for i in range(n)]
    scaled = (values - values.min()) / (values.max() - values.min())

    def objective(chosen):
        pairs = [(i, j) for i in chosen for j in chosen if i != j and (j in near[i] or i in near[j])]
        return scaled[chosen].sum() - alpha * sum(max(cosine[p], 0) for p in pairs)

    picks = []
    for _ in range(budget):
        picks.append(max((i for i in range(n) if i not in picks), key=lambda i: objective([*picks, i])))
    return picks


@pytest.mark.parametrize("alpha", [0.0, 0.3, 2.0])
def test_infomax_is_greedy_on_its_objective(alpha):
    x, values = np.random.default_rng(1).normal(size=(30, 3)), np.random.default_rng(0).random(30)
    got = rules.infomax(values, keep=20, direction="worth", features=x, k=3, alpha=alpha)
    assert got.order.tolist() == slow_infomax(x, values, 20, 3, alpha)


def test_infomax_without_a_price_is_top():
    values = np.random.default_rng(0).random(30)
    got = rules.infomax(values, keep=9, direction="easier", features=points(30, 2), alpha=0)
    assert got.order.tolist() == rules.top(values, keep=9, direction="easier").order.tolist()


@pytest.mark.parametrize("rule", ["graph", "infomax"])
def test_every_option_changes_something(rule):
    x, values = np.random.default_rng(1).normal(size=(300, 3)), np.random.default_rng(0).random(300)

    def chosen(**options):
        return getattr(rules, rule)(values, keep=150, direction="harder", features=x, **options).order.tolist()

    changes = {"graph": [{"gamma": 3.0}, {"metric": "cosine"}], "infomax": [{"alpha": 1.0}]}[rule]
    for options in (*changes, {"k": 2}):
        assert chosen(**options) != chosen(), options


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("graph", {"k": 0}, "k must be an integer of at least 1, got 0"),
        ("graph", {"gamma": -1.0}, "gamma must be a number of at least 0, got -1.0"),
        ("graph", {"metric": "manhattan"}, "metric must be one of 'euclidean', 'cosine'"),
        ("graph", {"ann": "yes"}, "ann must be one of"),
        ("infomax", {"alpha": float("inf")}, "alpha must be a number of at least 0, got inf"),
        ("infomax", {"k": True}, "k must be an integer"),
    ],
)
def test_options_are_checked(rule, options, message):
    with pytest.raises(ArgumentError, match=message):
        getattr(rules, rule)(np.arange(4.0), keep=2, direction="harder", features=np.eye(4), **options)
