"""Rules that draw at random: uniformly, or by DUAL's Beta weights."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.errors import ArgumentError, some
from unseen.rules.base import Pick, Pool, Rule, largest, smallest

_TAIL = 1e-6  # p is kept this far from 0 and 1, where the density is 0 or infinite
_SUM = 16.0  # a + b
_HARDEST = 10  # the highest scores over which mu is taken


@dataclass(frozen=True)
class Random(Rule):
    """Keep samples uniformly at random.

    Cost:
        O(n): one key a sample.

    Fails:
        Rare classes at small budgets: without quota="proportional" a class may get fewer than its share, or none.
        Otherwise it is hard to beat (benchmarks/quality/results.md).
    """

    name = "random"
    reads = "nothing"
    ordered = True
    formula = "uniform; a larger budget with the same seed holds the smaller one"
    source = "the baseline of every table; with quota='proportional' stratified by class"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the members with the smallest keys of (seed, id)."""
        keys = pool.keys(self.name)
        at = smallest(keys, budget)
        return Pick(at[np.argsort(keys[at], kind="stable")], ordered=True)


@dataclass(frozen=True)
class Beta(Rule):
    """Draw by the Beta density of the mean confidence, times the score (DUAL's sampler).

    Cost:
        O(n): one weight and one key a sample.

    Fails:
        With scores below 0, which are refused; with mean confidences near 1 throughout, such as by a network that was
        trained on the samples: then the density is almost the same for all. The paper tunes c to a data set.
    """

    c: float = 5.5

    name = "beta"
    reads = "values"
    needs = frozenset({"confidence"})
    ordered = True
    directions = frozenset({"harder", "worth"})
    formula = (
        "drawn without replacement, P ~ BetaPDF(mean p_y; a, b) x score, b = 15 (1 - mu)(1 - r^c) and at least 1, "
        "a = 16 - b, r the pruned share, mu the mean p_y of the ten highest scores"
    )
    source = "Cho et al. 2025 (DUAL, arXiv 2502.06905); c = 4 (CIFAR-100), 11 (ImageNet)"

    def __post_init__(self) -> None:
        if isinstance(self.c, bool) or not isinstance(self.c, Real) or not 0 < self.c < np.inf:
            raise ArgumentError(f"c must be a positive number, got {self.c!r}")

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Draw one by one by the Gumbel trick; draw members of weight zero only when all others are taken."""
        values = pool.need("values")
        confidence = np.clip(pool.need("confidence"), _TAIL, 1 - _TAIL)
        if (values < 0).any():
            bad = pool.ids[values < 0]
            raise ArgumentError(f"rule beta needs scores of at least 0, but these ids have less: {some(bad.tolist())}")
        a, b = beta_parameters(values, pool.need("confidence"), pruned=1 - budget / len(pool), c=self.c)
        noise = _draw_gumbel(pool.keys(self.name))
        positive = values > 0
        weighed = noise[positive] + (a - 1) * np.log(confidence[positive]) + (b - 1) * np.log1p(-confidence[positive])
        weighed += np.log(values[positive])
        drawn = _take_heaviest(np.flatnonzero(positive), weighed, budget)
        rest = _take_heaviest(np.flatnonzero(~positive), noise[~positive], budget - len(drawn))
        return Pick(np.concatenate([drawn, rest]), ordered=True)


def beta_parameters(scores: FloatArray, confidence: FloatArray, *, pruned: float, c: float) -> tuple[float, float]:
    """Return a and b of DUAL's Beta density, which moves to confident (easy) samples at high pruning rates.

    Args:
        scores: float64 (n,), higher = kept first.
        confidence: float64 (n,) mean p_y in [0, 1].
        pruned: the pruned share r in [0, 1).
        c: how late the move to easy samples sets in; higher = later.

    >>> beta_parameters(np.arange(20.0), np.full(20, 0.4), pruned=0.5, c=1.0)
    (11.5, 4.5)
    """
    mu = float(np.clip(confidence[largest(scores, _HARDEST)].mean(), 0, 1))
    b = max(15 * (1 - mu) * (1 - pruned**c), 1.0)
    return _SUM - b, b


def _draw_gumbel(keys: npt.NDArray[np.uint64]) -> FloatArray:
    # 53 bits, moved by half a step: strictly between 0 and 1.
    uniform = ((keys >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: FloatArray = -np.log(-np.log(uniform))
    return noise


def _take_heaviest(rows: IntArray, weights: FloatArray, count: int) -> IntArray:
    at = largest(weights, count)
    return rows[at[np.argsort(-weights[at], kind="stable")]]
