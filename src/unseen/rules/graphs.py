"""Rules that weigh a sample against its neighbours: D2's message passing, and InfoMax."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from unseen.errors import ArgumentError
from unseen.rules.base import Pick, Pool, Reads, Rule, one_of
from unseen.rules.neighbours import Metric, NeighbourGraph, nearest, neighbour_graph
from unseen.types import FloatArray, IntArray

__all__ = ["Graph", "Infomax", "damped_greedy"]


@dataclass(frozen=True)
class Graph(Rule):
    """D2: scores spread over a graph of neighbours; what is taken damps those around it.

    Cost:
        All distances once, in blocks (an approximate index beyond 100,000 samples), then a heap of n k entries.

    Fails:
        Where the features do not put like with like: the graph is then noise around the score. On CIFAR-10 with
        untrained features it equals random up to 80 % pruned and loses five points at 90 %
        (benchmarks/quality/results.md). The paper tunes k and gamma.

    """

    k: int = 5
    gamma: float = 0.1
    metric: Metric = "euclidean"
    ann: bool | None = None

    name: ClassVar[str] = "graph"
    reads: ClassVar[Reads] = "values"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    ordered: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "on the undirected graph of the k nearest, distances d over their median: x_i += sum exp(-d_ij) x_j; then "
        "take the largest and damp its neighbours, x_j -= exp(-gamma d_ij) x_taken; scores below 0 are first moved up"
    )
    source: ClassVar[str] = "Maharana et al. 2024 (D2, arXiv 2310.07931); gamma = 0.1 for CIFAR-10 at 90 % pruned"

    def __post_init__(self) -> None:
        _check_graph(self.k, self.metric, self.ann)
        _not_negative("gamma", self.gamma)

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Greedy, the largest first."""
        values = pool.need("values")
        values = values - min(float(values.min()), 0.0)  # a negative message would turn damping around
        at, distances = nearest(pool.need("features"), self.k, metric=self.metric, ann=self.ann, seed=pool.seed)
        graph = neighbour_graph(at, distances)
        apart = graph.distances / _unit_distance(distances)
        spread = values + graph.sums(np.exp(-apart), values)
        return Pick(damped_greedy(spread, graph, np.exp(-self.gamma * apart), budget, by_taken=True), ordered=True)


@dataclass(frozen=True)
class Infomax(Rule):
    """The most score with the least similarity inside the coreset.

    Cost:
        All distances once, in blocks (an approximate index beyond 100,000 samples), then a heap of n k entries.

    Fails:
        At an alpha too small for the features it is `top` over again, and fails as that does: so with the default on
        CIFAR-10 (benchmarks/quality/results.md). Only the k nearest count as similar: dense regions are damped little.

    """

    alpha: float = 0.3
    k: int = 5
    ann: bool | None = None

    name: ClassVar[str] = "infomax"
    reads: ClassVar[Reads] = "values"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    ordered: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "maximise sum of scores - alpha x sum of similarities over ordered pairs within the coreset, greedily; scores "
        "scaled to [0, 1], similarity = cosine (at least 0) between the k nearest, 0 elsewhere"
    )
    source: ClassVar[str] = "Tan et al. 2025 (InfoMax, arXiv 2506.01701), whose solver relaxes; greedy is ours"

    def __post_init__(self) -> None:
        _check_graph(self.k, "cosine", self.ann)
        _not_negative("alpha", self.alpha)

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Greedy, the largest gain first."""
        values = pool.need("values")
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low) if high > low else np.zeros(len(values))
        at, distances = nearest(pool.need("features"), self.k, metric="cosine", ann=self.ann, seed=pool.seed)
        graph = neighbour_graph(at, distances)
        similarity = np.maximum(1 - graph.distances**2 / 2, 0)
        return Pick(damped_greedy(scaled, graph, 2 * self.alpha * similarity, budget, by_taken=False), ordered=True)


def damped_greedy(
    values: FloatArray, graph: NeighbourGraph, weights: FloatArray, budget: int, *, by_taken: bool
) -> IntArray:
    """Take the largest value, lower those of its neighbours, and so on; ties by position.

    Args:
        values: float64 (n,).
        graph: who is whose neighbour.
        weights: float64, one an entry of `graph.others`.
        budget: how many to take.
        by_taken: lower a neighbour by weight x the value taken, instead of by the weight.

    >>> graph = neighbour_graph(np.array([[1], [0], [1]]), np.ones((3, 1)))
    >>> damped_greedy(np.array([3.0, 2.9, 1.0]), graph, np.full(4, 0.9), 2, by_taken=True).tolist()
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
            continue  # an entry from before it was damped
        taken[i] = True
        picks.append(i)
        near = graph.of(i)
        for j, weight in zip(graph.others[near].tolist(), weights[near].tolist(), strict=True):
            if not taken[j]:
                current[j] -= weight * current[i] if by_taken else weight
                heapq.heappush(heap, (-current[j], j))
    return np.array(picks, np.int64)


def _unit_distance(distances: FloatArray) -> float:
    """The median neighbour distance; where most neighbours are copies, that of the others; else 1."""
    if not distances.size or not distances.any():
        return 1.0
    return float(np.median(distances)) or float(np.median(distances[distances > 0]))


def _check_graph(k: object, metric: object, ann: object) -> None:
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ArgumentError(f"k must be an integer of at least 1, got {k!r}")
    one_of("metric", metric, ("euclidean", "cosine"))
    one_of("ann", ann, (True, False, None))


def _not_negative(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < np.inf:
        raise ArgumentError(f"{name} must be a number of at least 0, got {value!r}")
