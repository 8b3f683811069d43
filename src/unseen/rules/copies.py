"""Semantic de-duplication: a rule that drops whoever has the nearest neighbour."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from unseen.rules.base import Pick, Pool, Reads, Rule, one_of
from unseen.rules.neighbours import Metric, nearest
from unseen.types import IntArray

__all__ = ["Dedup"]

_LISTED = 16  # neighbours known of each sample before any is dropped
_SPARE = 4  # candidates beyond these, among which float64 decides
_BATCH = 256  # samples whose neighbours are listed anew at a time
_UNKNOWN = -1


@dataclass(frozen=True)
class Dedup(Rule):
    """Drop near-copies, the nearest first.

    Cost:
        All distances once, in blocks (an approximate index beyond 100,000 samples), then a heap; memory linear in n.

    Fails:
        Beyond the copies: once they are gone it thins dense regions, and dense is where the typical samples are. It
        reads no label, so of two near samples of different classes one goes. It did not beat random in
        benchmarks/quality/results.md.

    """

    metric: Metric = "cosine"

    name: ClassVar[str] = "dedup"
    reads: ClassVar[Reads] = "nothing"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    formula: ClassVar[str] = (
        "until the budget is met, drop the sample that lies closest to one that stays (of two, the one with the higher "
        "id); a smaller budget keeps a part of what a larger one does"
    )
    source: ClassVar[str] = "Abbas et al. 2023 (SemDeDup, arXiv 2303.09540), with an exact budget and no clusters"

    def __post_init__(self) -> None:
        one_of("metric", self.metric, ("euclidean", "cosine"))

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Those that are left."""
        return Pick(np.flatnonzero(_staying(pool.need("features"), budget, self.metric, pool.seed)))


def _staying(features: npt.NDArray[Any], budget: int, metric: Metric, seed: int) -> npt.NDArray[np.bool_]:
    """Exact up to 100,000 samples, beyond as far as the index is. Memory linear in n."""
    n = len(features)
    at, distances = nearest(features, _LISTED, metric=metric, seed=seed)
    near = _Near(_placed(features, metric), at, distances)
    for _ in range(n - budget):
        near.staying[near.closest()] = False
    return near.staying


class _Near:
    """Who stays, and of each of them the nearest other that stays, looked up as late as can be.

    Dropping samples only moves a neighbour away, so a heap of the distances known so far is never too high: what it
    gives first is right once its neighbour is found to stay. Where all listed neighbours of a sample are gone, the
    last of their distances is in its place, and new ones are listed when that comes first.
    """

    def __init__(self, points: npt.NDArray[np.float64], at: IntArray, distances: npt.NDArray[np.float64]) -> None:
        self.staying = np.ones(len(points), bool)
        self._points, self._small = points, points.astype(np.float32)
        self._lists: list[Iterator[tuple[float, int]]] = [iter(())] * len(points)
        self._least = [0.0] * len(points)
        self._without: set[int] = set()  # whose listed neighbours are gone
        self._heap: list[tuple[float, int, int]] = []  # distance, less the position, the neighbour
        for i in range(len(points) if at.shape[1] else 0):
            self._list(i, distances[i], at[i])

    def closest(self) -> int:
        """The sample that lies closest to another; of two, the later."""
        while True:
            apart, negative, j = heapq.heappop(self._heap)
            i = -negative
            if not self.staying[i] or (j == _UNKNOWN and (i not in self._without or apart < self._least[i])):
                continue  # dropped, or listed anew since
            if j == _UNKNOWN:
                self._list_anew()
            elif self.staying[j]:
                return i
            else:
                self._queue(i)

    def _list(self, i: int, distances: npt.NDArray[np.float64], at: IntArray) -> None:
        self._lists[i] = iter(list(zip(distances.tolist(), at.tolist(), strict=True)))
        self._least[i] = float(distances[-1])
        self._without.discard(i)
        self._queue(i)

    def _queue(self, i: int) -> None:
        for apart, j in self._lists[i]:
            if self.staying[j]:
                heapq.heappush(self._heap, (apart, -i, j))
                return
        self._without.add(i)
        heapq.heappush(self._heap, (self._least[i], -i, _UNKNOWN))

    def _list_anew(self) -> None:
        """New neighbours for those without whose turn comes first, many at once: one matrix product."""
        waiting = sorted((self._least[i], i) for i in self._without if self.staying[i])
        batch = np.array([i for _, i in waiting[:_BATCH]])
        self._without.intersection_update(i for _, i in waiting)
        others = np.flatnonzero(self.staying)
        points = self._small[others]
        squares = np.einsum("ij,ij->i", points, points)
        rough = squares - 2 * (self._small[batch] @ points.T)  # less the square of each of the batch
        rough[np.arange(len(batch)), np.searchsorted(others, batch)] = np.inf
        k = min(_LISTED, len(others) - 1)
        spare = min(k + _SPARE, len(others) - 1)
        for row, i in enumerate(batch.tolist()):
            near = np.sort(others[np.argpartition(rough[row], spare - 1)[:spare]])
            apart = np.linalg.norm(self._points[near] - self._points[i], axis=1)
            order = np.argsort(apart, kind="stable")[:k]
            self._list(i, apart[order], near[order])


def _placed(features: npt.NDArray[Any], metric: Metric) -> npt.NDArray[np.float64]:
    points = features.astype(np.float64)
    if metric == "cosine":
        length = np.linalg.norm(points, axis=1, keepdims=True)
        points /= np.where(length > 0, length, 1)
    centred: npt.NDArray[np.float64] = points - points.mean(axis=0)
    return centred
