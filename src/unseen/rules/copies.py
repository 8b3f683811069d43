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


@dataclass(frozen=True)
class Dedup(Rule):
    """Drop near-copies, the nearest first."""

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
    """Exact up to 100,000 samples, and where their listed neighbours are. Time O(n^2 d), memory linear in n."""
    n = len(features)
    at, distances = nearest(features, _LISTED, metric=metric, seed=seed)
    lists: list[Iterator[tuple[float, int]]] = [
        iter(zip(apart, who, strict=True)) for apart, who in zip(distances.tolist(), at.tolist(), strict=True)
    ]
    points = _placed(features, metric)
    staying = np.ones(n, bool)
    heap: list[tuple[float, int, int]] = []  # distance to the neighbour, less the position, the neighbour

    def queue(i: int) -> None:
        """Put the nearest that stays on the heap; dropping others can only move it away, so the heap is in order."""
        for apart, j in lists[i]:
            if staying[j]:
                heapq.heappush(heap, (apart, -i, j))
                return
        lists[i] = iter(_listed(points, i, staying))
        if staying.sum() > 1:
            queue(i)

    for i in range(n):
        queue(i)
    for _ in range(n - budget):
        while True:
            _, negative, j = heapq.heappop(heap)
            if staying[-negative] and staying[j]:
                break
            if staying[-negative]:
                queue(-negative)
        staying[-negative] = False
    return staying


def _placed(features: npt.NDArray[Any], metric: Metric) -> npt.NDArray[np.float64]:
    points = features.astype(np.float64)
    if metric == "cosine":
        length = np.linalg.norm(points, axis=1, keepdims=True)
        points /= np.where(length > 0, length, 1)
    centred: npt.NDArray[np.float64] = points - points.mean(axis=0)
    return centred


def _listed(points: npt.NDArray[np.float64], i: int, staying: npt.NDArray[np.bool_]) -> list[tuple[float, int]]:
    """The nearest of those that stay, once all that were listed are gone; nearest first, ties by position."""
    others: IntArray = np.flatnonzero(staying)
    others = others[others != i]
    apart = np.linalg.norm(points[others] - points[i], axis=1)
    order = np.lexsort((others, apart))[:_LISTED]
    return list(zip(apart[order].tolist(), others[order].tolist(), strict=True))
