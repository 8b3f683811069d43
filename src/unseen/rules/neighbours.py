"""Nearest neighbours in feature space, and the rules that use them.

`Dedup` drops the sample with the nearest neighbour (semantic de-duplication), and `Graph` (message passing of D2) and
`Infomax` weigh the score of a sample against its neighbours.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import at_least, is_number, one_of
from unseen.core.coreset import Coreset
from unseen.errors import ArgumentError, import_optional
from unseen.rules.base import Pick, Pool, Rule
from unseen.rules.choosing import Scores, Shared, choose, show_shared_keywords

Metric: TypeAlias = Literal["euclidean", "cosine"]
METRICS: tuple[Metric, ...] = ("euclidean", "cosine")
EXACT_UP_TO = 100_000
_BLOCK = 1 << 24  # distances held at once: 64 MiB in float32
_SPARE = 4  # candidates beyond k, among which float64 decides


def nearest(
    features: npt.NDArray[Any], k: int, *, metric: Metric = "euclidean", ann: bool | None = None, seed: int = 0
) -> tuple[IntArray, FloatArray]:
    """Find the k nearest other samples of each sample, nearest first; ties by position.

    Returns int64 (n, k) positions and float64 (n, k) distances, k at most n - 1. The exact search computes all
    distances block by block in float32, and the few nearest again in float64. If `ann`, or by default beyond 100,000
    samples, an approximate HNSW index is used, in one thread, so that it is reproducible. The metric `"cosine"` is the
    Euclidean distance of the unit vectors.

    >>> at, distance = nearest(np.array([[0.0], [1.0], [3.0]]), 1)
    >>> at.ravel().tolist(), distance.ravel().tolist()
    ([1, 0, 1], [1.0, 1.0, 2.0])
    """
    points = _embed(features, metric)
    n, everything = len(points), np.arange(len(points))
    k = min(k, n - 1)
    if ann or (ann is None and n > EXACT_UP_TO):
        return _refine(points, everything, _query_index(points, k, seed), k)
    small = points.astype(np.float32)
    squares = np.einsum("ij,ij->i", small, small)
    candidates = np.empty((n, min(k + _SPARE, n - 1)), np.int64)
    step = max(1, min(1024, _BLOCK // n))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        candidates[rows] = _find_candidates(small[rows], small, squares, everything[rows], candidates.shape[1])
    return _refine(points, everything, candidates, k)


def neighbour_graph(at: IntArray, distances: FloatArray) -> csr_array:
    """Connect two samples if either is among the nearest of the other; return their distances, sparse (n, n).

    >>> graph = neighbour_graph(np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [2.0]]))
    >>> graph.indptr.tolist(), graph.indices.tolist(), graph.data.tolist()
    ([0, 1, 3, 4], [1, 0, 2, 1], [1.0, 1.0, 2.0, 2.0])
    """
    n, k = at.shape
    one, two = np.repeat(np.arange(n), k), at.ravel()
    pairs, first = np.unique(np.minimum(one, two) * n + np.maximum(one, two), return_index=True)
    low, high = np.divmod(pairs, n)
    rows, columns = np.concatenate([low, high]), np.concatenate([high, low])
    return csr_array((np.tile(distances.ravel()[first], 2), (rows, columns)), shape=(n, n))


def _find_candidates(
    mine: npt.NDArray[np.float32], others: npt.NDArray[np.float32], squares: npt.NDArray[Any], own: IntArray, k: int
) -> IntArray:
    """Find the k nearest neighbours of each point in float32; `own` are the rows of the points among the others."""
    distance = mine @ others.T
    distance *= -2
    distance += squares  # less |x|^2, which is the same along a row
    distance[np.arange(len(mine)), own] = np.inf
    return np.argpartition(distance, k - 1, axis=1)[:, :k] if k else np.empty((len(mine), 0), np.int64)


def _query_index(points: FloatArray, k: int, seed: int) -> IntArray:
    purpose = f"finding neighbours among {len(points):,} samples with an approximate index"
    hnswlib = import_optional("hnswlib", purpose, "ann")
    index = hnswlib.Index(space="l2", dim=points.shape[1])
    index.init_index(max_elements=len(points), ef_construction=200, M=16, random_seed=seed % 2**31)
    index.set_num_threads(1)
    index.add_items(points.astype(np.float32), np.arange(len(points)), num_threads=1)
    index.set_ef(max(50, 4 * (k + 1)))
    indices, _ = index.knn_query(points.astype(np.float32), k=k + 1, num_threads=1)
    at: IntArray = indices.astype(np.int64)
    # A sample finds itself first, unless it has copies; then the last one found is dropped instead.
    is_self = at == np.arange(len(at))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    others: IntArray = at[~is_self].reshape(len(at), k)
    return others


def _refine(points: FloatArray, rows: IntArray, candidates: IntArray, k: int) -> tuple[IntArray, FloatArray]:
    """Choose the k nearest of the candidates of each row, by distances in float64."""
    at, distances = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
    for start in range(0, len(rows), 1024):
        block = slice(start, start + 1024)
        near, mine = np.sort(candidates[block], axis=1), points[rows[block]]
        apart = np.empty(near.shape)
        for column, others in enumerate(near.T):
            apart[:, column] = np.linalg.norm(mine - points[others], axis=1)
        order = np.argsort(apart, axis=1, kind="stable")[:, :k]
        at[block] = np.take_along_axis(near, order, axis=1)
        distances[block] = np.take_along_axis(apart, order, axis=1)
    return at, distances


# ---- semantic de-duplication ---------------------------------------------------------------------------------------

_LISTED = 16  # neighbours known of each sample before any is dropped
_BATCH = 256  # samples whose neighbours are listed anew at a time


@dataclass(frozen=True)
class Dedup(Rule):
    """Drop near-copies, the nearest first.

    Cost: All distances once, in blocks (an approximate index beyond 100,000 samples), then a heap; memory linear in n.

    Fails: Beyond the copies: once they are gone, it thins dense regions, where the typical samples are. It reads no
    label, so of two near samples of different classes one goes. It did not beat random in
    benchmarks/quality/results.md.
    """

    metric: Metric = "cosine"

    name = "dedup"
    reads = "nothing"
    needs = frozenset({"features"})
    formula = (
        "until the budget is met, drop the sample that lies closest to one that stays (of two, the one with the higher "
        "id); a smaller budget keeps a part of what a larger one does"
    )
    source = "Abbas et al. 2023 (SemDeDup, arXiv 2303.09540), with an exact budget and no clusters"

    def __post_init__(self) -> None:
        one_of("metric", self.metric, METRICS)

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the samples that stay."""
        features = pool.need("features")
        at, distances = nearest(features, _LISTED, metric=self.metric, seed=pool.seed)
        return Pick(_drop_nearest(_embed(features, self.metric), at, distances, len(pool) - budget))


def _drop_nearest(points: FloatArray, at: IntArray, distances: FloatArray, count: int) -> IntArray:
    """Drop `count` times the point that lies closest to one that stays, of two the later; return those that stay.

    A heap holds the pairs of each point and its listed neighbours. Once all of a list are dropped, the nearest that
    stays is not known, only that it is no nearer than the end of the list. New neighbours are listed when that end
    comes first.
    """
    if not count:
        return np.arange(len(points))
    staying, small = np.ones(len(points), bool), points.astype(np.float32)
    listed, ends = at.copy(), distances[:, -1].copy()
    end = len(points)  # in place of a neighbour; sorts behind all of them
    heap: list[tuple[float, int, int]] = []  # distance, minus the position of the point, its neighbour

    def push(rows: IntArray, near: IntArray, apart: FloatArray) -> None:
        for i, others, lengths in zip(rows.tolist(), near.tolist(), apart.tolist(), strict=True):
            for length, j in zip([*lengths, lengths[-1]], [*others, end], strict=True):
                heapq.heappush(heap, (length, -i, j))

    def list_anew() -> None:
        """List new neighbours of the points that have none left, many at once by one matrix product."""
        without = np.flatnonzero(staying & ~staying[listed].any(axis=1))
        batch = without[np.argsort(ends[without], kind="stable")[:_BATCH]]
        others = np.flatnonzero(staying)
        squares = np.einsum("ij,ij->i", small[others], small[others])
        k = min(listed.shape[1], len(others) - 1)
        own, spare = np.searchsorted(others, batch), min(k + _SPARE, len(others) - 1)
        near = _find_candidates(small[batch], small[others], squares, own, spare)
        listed[batch, :k], apart = _refine(points, batch, others[near], k)
        ends[batch] = apart[:, -1]
        push(batch, listed[batch, :k], apart)

    push(np.arange(len(points)), at, distances)
    while count:
        _, negative, j = heapq.heappop(heap)
        i = -negative
        if staying[i] and j == end and not staying[listed[i]].any():
            list_anew()
        elif staying[i] and j != end and staying[j]:
            staying[i] = False
            count -= 1
    return np.flatnonzero(staying)


def _embed(features: npt.NDArray[Any], metric: Metric) -> FloatArray:
    """Return points whose Euclidean distance is the metric, centred, so that float32 loses least."""
    points: FloatArray = features.astype(np.float64)
    if metric == "cosine":
        length = np.linalg.norm(points, axis=1, keepdims=True)
        points /= np.where(length > 0, length, 1)
    points -= points.mean(axis=0)
    return points


# ---- rules on the graph of neighbours ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graph(Rule):
    """Spread scores over a graph of neighbours, then take the largest and damp its neighbours (D2).

    Cost: All distances once, in blocks (an approximate index beyond 100,000 samples), then a heap of n k entries.

    Fails: Where the features do not put like with like: the graph is then noise around the score. On CIFAR-10 with
    untrained features it equals random up to 80 % pruned and loses five points at 90 % (benchmarks/quality/results.md).
    The paper tunes k and gamma.
    """

    k: int = 5
    gamma: float = 0.1
    metric: Metric = "euclidean"
    ann: bool | None = None

    name = "graph"
    reads = "values"
    needs = frozenset({"features"})
    ordered = True
    formula = (
        "on the undirected graph of the k nearest, distances d over their median: x_i += sum exp(-d_ij) x_j; then "
        "take the largest and damp its neighbours, x_j -= exp(-gamma d_ij) x_taken; scores below 0 are first moved up"
    )
    source = "Maharana et al. 2024 (D2, arXiv 2310.07931); gamma = 0.1 for CIFAR-10 at 90 % pruned"

    def __post_init__(self) -> None:
        _check_graph(self.k, self.ann, "gamma", self.gamma)
        one_of("metric", self.metric, METRICS)

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick greedily the largest value, then damp its neighbours."""
        values = pool.need("values")
        values = values - min(float(values.min()), 0.0)  # a negative message would turn damping around
        at, distances = nearest(pool.need("features"), self.k, metric=self.metric, ann=self.ann, seed=pool.seed)
        graph = neighbour_graph(at, distances)
        unit = 1.0
        if distances.any():  # the median, without the copies where most are copies
            unit = float(np.median(distances)) or float(np.median(distances[distances > 0]))
        spread = values + _with_weights(graph, np.exp(-graph.data / unit)) @ values
        damping = _with_weights(graph, np.exp(-self.gamma * (graph.data / unit)))
        return Pick(damped_greedy(spread, damping, budget, by_taken=True), ordered=True)


@dataclass(frozen=True)
class Infomax(Rule):
    """Keep samples of high score that are unlike each other.

    Cost: All distances once, in blocks (an approximate index beyond 100,000 samples), then a heap of n k entries.

    Fails: At an alpha too small for the features it equals `top` and fails in the same way, such as with the default on
    CIFAR-10 (benchmarks/quality/results.md). Only the k nearest count as similar: dense regions are damped little.
    """

    alpha: float = 0.3
    k: int = 5
    ann: bool | None = None

    name = "infomax"
    reads = "values"
    needs = frozenset({"features"})
    ordered = True
    formula = (
        "maximise sum of scores - alpha x sum of similarities over ordered pairs within the coreset, greedily; scores "
        "scaled to [0, 1], similarity = cosine (at least 0) between the k nearest, 0 elsewhere"
    )
    source = "Tan et al. 2025 (InfoMax, arXiv 2506.01701), whose solver relaxes; greedy is ours"

    def __post_init__(self) -> None:
        _check_graph(self.k, self.ann, "alpha", self.alpha)

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick greedily the largest gain."""
        values = pool.need("values")
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low) if high > low else np.zeros(len(values))
        at, distances = nearest(pool.need("features"), self.k, metric="cosine", ann=self.ann, seed=pool.seed)
        graph = neighbour_graph(at, distances)
        damping = _with_weights(graph, 2 * self.alpha * np.maximum(1 - graph.data**2 / 2, 0))
        return Pick(damped_greedy(scaled, damping, budget, by_taken=False), ordered=True)


def _with_weights(graph: csr_array, weights: FloatArray) -> csr_array:
    """Return the graph with weights in place of distances."""
    return csr_array((weights, graph.indices, graph.indptr), shape=graph.shape)


def damped_greedy(values: FloatArray, damping: csr_array, budget: int, *, by_taken: bool) -> IntArray:
    """Take the largest value, lower those of its neighbours, and so on; ties by position.

    A neighbour is lowered by its entry in `damping`, sparse (n, n), or `by_taken` by the entry x the value taken.

    >>> damping = neighbour_graph(np.array([[1], [0], [1]]), np.full((3, 1), 0.9))
    >>> damped_greedy(np.array([3.0, 2.9, 1.0]), damping, 2, by_taken=True).tolist()
    [0, 2]
    """
    current = values.tolist()
    heap = [(-value, i) for i, value in enumerate(current)]
    heapq.heapify(heap)
    taken = np.zeros(len(current), bool)
    picks: list[int] = []
    while len(picks) < budget:
        negative, i = heapq.heappop(heap)
        if taken[i] or -negative != current[i]:
            continue  # an entry that is older than the damping of i
        taken[i] = True
        picks.append(i)
        near = slice(damping.indptr[i], damping.indptr[i + 1])
        for j, weight in zip(damping.indices[near].tolist(), damping.data[near].tolist(), strict=True):
            if not taken[j]:
                current[j] -= weight * current[i] if by_taken else weight
                heapq.heappush(heap, (-current[j], j))
    return np.array(picks, np.int64)


def _check_graph(k: int, ann: object, name: str, weight: object) -> None:
    at_least("k", k, 1)
    one_of("ann", ann, (True, False, None))
    if not is_number(weight) or not 0 <= weight < np.inf:
        raise ArgumentError(f"{name} must be a number of at least 0, got {weight!r}")


# ---- as functions, with the keywords that `choose` describes --------------------------------------------------------


@show_shared_keywords
def dedup(scores: Scores | int, *, metric: Metric = "cosine", **shared: Unpack[Shared]) -> Coreset:
    """Drop near-copies, the nearest first (after Abbas et al. 2023, SemDeDup, arXiv 2303.09540).

    The metric is `"cosine"`, the Euclidean distance of unit vectors, or `"euclidean"`. It needs `features=`.

    >>> dedup(4, keep=3, features=[[0.0], [1.0], [1.1], [9.0]], metric="euclidean").ids.tolist()
    [0, 1, 3]
    """
    return choose(Dedup(metric=metric), scores, **shared)


@show_shared_keywords
def graph(
    scores: Scores,
    *,
    k: int = 5,
    gamma: float = 0.1,
    metric: Metric = "euclidean",
    ann: bool | None = None,
    **shared: Unpack[Shared],
) -> Coreset:
    """Choose by message passing on a graph of neighbours (D2, Maharana et al. 2024, arXiv 2310.07931).

    Two samples are neighbours if either is among the `k` nearest of the other, by the metric `"euclidean"`, or
    `"cosine"`, the Euclidean distance of unit vectors. They are found by an approximate index (extra `ann`) if `ann`,
    and by default beyond 100,000 samples. Each score is raised by those of its neighbours; then the largest is taken,
    its neighbours are damped, and so on. A higher `gamma`, at least 0, damps far neighbours less. It needs `features=`.

    >>> features = [[0.0], [0.1], [5.0], [5.1]]
    >>> graph([1.0, 0.9, 0.8, 0.7], keep=2, k=1, direction="harder", features=features).order.tolist()
    [0, 2]
    """
    return choose(Graph(k=k, gamma=gamma, metric=metric, ann=ann), scores, **shared)


@show_shared_keywords
def infomax(
    scores: Scores, *, alpha: float = 0.3, k: int = 5, ann: bool | None = None, **shared: Unpack[Shared]
) -> Coreset:
    """Choose samples of high score that are unlike each other (Tan et al. 2025, arXiv 2506.01701, InfoMax).

    The sum of scores, scaled to [0, 1], less `alpha` x the sum of similarities over ordered pairs is maximised
    greedily. Only neighbours count as similar (see `graph` for `k` and `ann`), by the cosine of their features. `alpha`
    is at least 0; 0 is `top`. It needs `features=`.

    >>> features = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    >>> infomax([1.0, 0.9, 0.6], keep=2, k=1, alpha=0.5, direction="harder", features=features).order.tolist()
    [0, 2]
    """
    return choose(Infomax(alpha=alpha, k=k, ann=ann), scores, **shared)
