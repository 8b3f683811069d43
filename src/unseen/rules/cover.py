"""Rules that cover the feature space: moderate, herding and k-center.

All work on the features in their own precision (float64, or float32 for any other type). Herding and k-center make one
pass over the features for each pick; their memory is one centred copy of the features and a few numbers a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.coreset import Coreset
from unseen.rules.base import Pick, Pool, Rule
from unseen.rules.choosing import Scores, Shared, choose, show_shared_keywords

_ROWS = 4096  # of a block


@dataclass(frozen=True)
class Moderate(Rule):
    """Keep the middle of the order by distance to the class median.

    Cost: O(n d), and a sort of n distances.

    Fails: Where the features do not separate classes, distance to the class median says little; it did not beat random
    in benchmarks/quality/results.md. Rare kinds within a class, far from its median, are lost.
    """

    name = "moderate"
    reads = "nothing"
    needs = frozenset({"features", "labels"})
    ordered = True
    formula = (
        "order all samples by the distance of their features to the median of their class; keep the middle, from the "
        "median distance outwards; a class of one has distance 0"
    )
    source = "Xia et al. 2023 (Moderate coreset, ICLR)"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the middle `budget` of the order, the nearest to its middle first."""
        order = np.argsort(distance_to_class_median(pool.need("features"), pool.need("labels")), kind="stable")
        start = (len(order) - budget) // 2
        middle = np.arange(start, start + budget)
        outwards = np.argsort(np.abs(2 * middle - (len(order) - 1)), kind="stable")
        return Pick(order[middle[outwards]], ordered=True)


@dataclass(frozen=True)
class Herding(Rule):
    """Keep samples whose running mean stays nearest to the mean of all.

    Cost: O(n d) a pick.

    Fails: It keeps the mean of the features and nothing else of their distribution, and did not beat random in
    benchmarks/quality/results.md.
    """

    name = "herding"
    reads = "nothing"
    needs = frozenset({"features"})
    ordered = True
    formula = "each pick brings the mean of the picks nearest to the mean of all features; ties by id"
    source = "Welling 2009; Rebuffi et al. 2017 (iCaRL, arXiv 1611.07725)"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick greedily the sample that brings the mean of the picks nearest to the mean of all."""
        centred, squares = _centre(pool.need("features"))
        total = np.zeros(centred.shape[1])
        longest = float(np.sqrt(squares.max()))
        picks = np.empty(budget, np.int64)
        for t in range(budget):
            # |total + x|^2 less |total|^2; the mean of all is at the origin.
            error = squares + 2 * (centred @ total.astype(centred.dtype))
            picks[t] = _first_smallest(error, longest * (longest + 2 * float(np.linalg.norm(total))))
            total += centred[picks[t]]
            squares[picks[t]] = np.inf
        return Pick(picks, ordered=True)


@dataclass(frozen=True)
class KCenter(Rule):
    """Keep the farthest first, so that every sample has a picked one near it.

    Cost: O(n d) a pick.

    Fails: It takes outliers first, whatever they are: broken images and wrong crops are far from everything. It did not
    beat random in benchmarks/quality/results.md.
    """

    name = "k_center"
    reads = "nothing"
    needs = frozenset({"features"})
    ordered = True
    formula = (
        "start at a random sample, then always take the one farthest from all picked, by Euclidean distance; ties by id"
    )
    source = "Gonzalez 1985; Sener and Savarese 2018 (arXiv 1708.00489)"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick greedily the sample farthest from all picks."""
        centred, squares = _centre(pool.need("features"))
        scale = 4 * float(squares.max())
        nearest = np.full(len(squares), np.inf, squares.dtype)
        picks = np.empty(budget, np.int64)
        picks[0] = np.argmin(pool.keys(self.name))
        for t in range(1, budget):
            last = picks[t - 1]
            np.minimum(nearest, squares + (squares[last] - 2 * (centred @ centred[last])), out=nearest)
            nearest[last] = -np.inf
            picks[t] = _first_smallest(-nearest, scale)
        return Pick(picks, ordered=True)


def distance_to_class_median(features: npt.NDArray[Any], labels: IntArray) -> FloatArray:
    """Return the Euclidean distance of each sample to the feature-wise median of its class, float64 (n,).

    >>> distance_to_class_median(np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0, 0, 0, 1])).tolist()
    [1.0, 0.0, 4.0, 0.0]
    """
    distance = np.empty(len(features))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        median = np.median(features[members], axis=0).astype(np.float64)
        for start in range(0, len(members), _ROWS):
            block = members[start : start + _ROWS]
            distance[block] = np.linalg.norm(features[block] - median, axis=1)
    return distance


def _centre(features: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the features less their mean, and their squared lengths, both in the precision of the features."""
    centred = features - features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    return centred, np.einsum("ij,ij->i", centred, centred)


def _first_smallest(values: npt.NDArray[Any], scale: float) -> int:
    # Products of copies of one sample may differ in their last bits; among such values the lowest id wins.
    return int(np.argmax(values <= values.min() + 8 * np.finfo(values.dtype).eps * scale))


# ---- as functions, with the keywords that `choose` describes --------------------------------------------------------


@show_shared_keywords
def moderate(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose the middle of the distances to the class median (Xia et al. 2023), neither typical nor outlying.

    It needs `features=`, and `labels=` unless there is a table.

    >>> features = [[0.0], [1.0], [2.0], [4.0], [9.0]]
    >>> moderate(5, keep=3, features=features, labels=[0, 0, 0, 0, 0]).ids.tolist()
    [0, 1, 3]
    """
    return choose(Moderate(), scores, **shared)


@show_shared_keywords
def herding(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose samples whose running mean stays nearest to the mean of all features (Welling 2009; arXiv 1611.07725).

    It needs `features=`.

    >>> herding(4, keep=3, features=[[0.0], [1.0], [2.0], [9.0]]).order.tolist()
    [2, 1, 3]
    """
    return choose(Herding(), scores, **shared)


@show_shared_keywords
def k_center(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose the farthest first, from a random start (Gonzalez 1985; Sener and Savarese 2018, arXiv 1708.00489).

    It needs `features=`.

    >>> k_center(4, keep=2, features=[[0.0], [1.0], [2.0], [9.0]]).ids.tolist()[-1]
    3
    """
    return choose(KCenter(), scores, **shared)
