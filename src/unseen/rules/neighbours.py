"""Nearest neighbours in feature space: exact in blocks, or by an approximate index, and the graph they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from unseen.errors import MissingDependencyError
from unseen.types import FloatArray, IntArray

__all__ = ["EXACT_UP_TO", "Metric", "NeighbourGraph", "nearest", "neighbour_graph"]

Metric: TypeAlias = Literal["euclidean", "cosine"]
EXACT_UP_TO = 100_000
_BLOCK = 1 << 24  # distances held at once: 64 MiB in float32
_SPARE = 4  # candidates beyond k, among which float64 decides


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """An undirected graph in compressed rows: the neighbours of i are `others[starts[i]:starts[i + 1]]`.

    Args:
        starts: int64 (n + 1,).
        others: int64 (edges x 2,), ascending within a row.
        distances: float64 (edges x 2,).

    """

    starts: IntArray
    others: IntArray
    distances: FloatArray

    def of(self, i: int) -> slice:
        """Where the neighbours of i are."""
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    def sums(self, weights: FloatArray, values: FloatArray) -> FloatArray:
        """For each sample the sum over its neighbours of weight x value, float64 (n,)."""
        rows = np.repeat(np.arange(len(values)), np.diff(self.starts))
        sums: FloatArray = np.bincount(rows, weights * values[self.others], minlength=len(values)).astype(np.float64)
        return sums


def nearest(
    features: npt.NDArray[Any], k: int, *, metric: Metric = "euclidean", ann: bool | None = None, seed: int = 0
) -> tuple[IntArray, FloatArray]:
    """The k nearest others of each sample, nearest first; ties by position.

    Exact: all distances, block by block in float32, and float64 for the few that are nearest; memory linear in n.
    Approximate: an HNSW index (package hnswlib, one thread, so that it is reproducible).

    Args:
        features: (n, d) float.
        k: how many; at most n - 1 are given.
        metric: `"euclidean"`; or `"cosine"`, the Euclidean distance of the unit vectors, sqrt(2 - 2 cos).
        ann: whether to use the index; None: beyond 100,000 samples.
        seed: of the index.

    Returns:
        int64 (n, k) positions and float64 (n, k) distances.

    Raises:
        MissingDependencyError: the index is needed and hnswlib is not installed.

    >>> at, distance = nearest(np.array([[0.0], [1.0], [3.0]]), 1)
    >>> at.ravel().tolist(), distance.ravel().tolist()
    ([1, 0, 1], [1.0, 1.0, 2.0])

    """
    points = _unit(features) if metric == "cosine" else features
    points = points - points.mean(axis=0, dtype=np.float64)  # float64; centred, so that float32 loses least
    n = len(points)
    k = min(k, n - 1)
    if ann or (ann is None and n > EXACT_UP_TO):
        candidates = _indexed(points, k, seed)
    else:
        candidates = _candidates(points, min(k + _SPARE, n - 1))
    return _refined(points, candidates, k)


def neighbour_graph(at: IntArray, distances: FloatArray) -> NeighbourGraph:
    """Two samples are neighbours if either is among the nearest of the other.

    >>> graph = neighbour_graph(np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [2.0]]))
    >>> graph.starts.tolist(), graph.others.tolist()
    ([0, 1, 3, 4], [1, 0, 2, 1])
    """
    n, k = at.shape
    one, two = np.repeat(np.arange(n), k), at.ravel()
    pairs, first = np.unique(np.minimum(one, two) * n + np.maximum(one, two), return_index=True)
    low, high = pairs // max(n, 1), pairs % max(n, 1)
    rows, others = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((others, rows))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    return NeighbourGraph(starts, others[order], np.tile(distances.ravel()[first], 2)[order])


def _unit(features: npt.NDArray[Any]) -> npt.NDArray[Any]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def _candidates(points: FloatArray, k: int) -> IntArray:
    n = len(points)
    small = points.astype(np.float32)
    squares = np.einsum("ij,ij->i", small, small)
    found = np.empty((n, k), np.int64)
    rows = max(1, min(1024, _BLOCK // n))
    for start in range(0, n, rows):
        block = slice(start, min(start + rows, n))
        distance = small[block] @ small.T
        distance *= -2
        distance += squares  # less |x|^2, which is the same along a row
        distance[np.arange(block.stop - start), np.arange(start, block.stop)] = np.inf
        found[block] = np.argpartition(distance, k - 1, axis=1)[:, :k] if k else 0
    return found


def _indexed(points: FloatArray, k: int, seed: int) -> IntArray:
    try:
        import hnswlib
    except ImportError:
        purpose = f"finding neighbours among {len(points):,} samples with an approximate index"
        raise MissingDependencyError("hnswlib", purpose, extra="ann") from None
    index = hnswlib.Index(space="l2", dim=points.shape[1])
    index.init_index(max_elements=len(points), ef_construction=200, M=16, random_seed=seed % 2**31)
    index.set_num_threads(1)
    index.add_items(points.astype(np.float32), np.arange(len(points)), num_threads=1)
    index.set_ef(max(50, 4 * (k + 1)))
    found, _ = index.knn_query(points.astype(np.float32), k=k + 1, num_threads=1)
    at: IntArray = found.astype(np.int64)
    # A sample finds itself first, unless it has copies: then whichever comes last makes room.
    is_self = at == np.arange(len(at))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    others: IntArray = at[~is_self].reshape(len(at), k)
    return others


def _refined(points: FloatArray, candidates: IntArray, k: int) -> tuple[IntArray, FloatArray]:
    """The k nearest of the candidates, by distances in float64."""
    n = len(points)
    at, distances = np.empty((n, k), np.int64), np.empty((n, k))
    for start in range(0, n, 1024):
        block = np.sort(candidates[start : start + 1024], axis=1)
        mine = points[start : start + 1024]
        apart = np.empty(block.shape)
        for column in range(block.shape[1]):
            apart[:, column] = np.linalg.norm(mine - points[block[:, column]], axis=1)
        order = np.argsort(apart, axis=1, kind="stable")[:, :k]
        at[start : start + 1024] = np.take_along_axis(block, order, axis=1)
        distances[start : start + 1024] = np.take_along_axis(apart, order, axis=1)
    return at, distances
