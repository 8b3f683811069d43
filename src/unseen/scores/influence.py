"""How much a sample weighs in the model, where a learner knows it in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from unseen.scores import _backend as be
from unseen.scores.shells import Pointwise
from unseen.types import Array, Direction, IntArray, Observation

__all__ = ["CooksDistance", "Leverage"]


@dataclass(frozen=True, kw_only=True)
class Leverage(Pointwise):
    """How much of the model's output for a sample is the sample's own label, as told in `Observation.leverage`.

    High where features are unlike those of the others; labels do not enter.

    Cost:
        None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails:
        As difficulty: it reads no label, so an outlier is worth much however easy it is. It knows the features only,
        and is as good as they are.

    """

    name = "leverage"
    direction: ClassVar[Direction] = "worth"
    low, high = 0.0, 1.0
    needs = frozenset({"leverage"})
    label_free = True
    formula = "h_ii, the diagonal of H = X (X'X + lam R)^-1 X'"
    source = "Hoaglin and Welsch 1978; from 'ridge' under leave_one_out"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The leverage as it was observed."""
        return be.double(be.as_array(observation.leverage))


@dataclass(frozen=True, kw_only=True)
class CooksDistance(Pointwise):
    """How far all outputs move when a sample is left out, as told in `Observation.cooks_distance`.

    Cost:
        None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails:
        As a ranking of worth where labels are wrong: a wrong label moves the model, so it is influential. It is
        influence in a linear model of the features, not in a network.

    """

    name = "cooks_distance"
    direction: ClassVar[Direction] = "worth"
    low, high = 0.0, math.inf
    needs = frozenset({"cooks_distance"})
    formula = "norm2(Y_i - F_i)^2 h_ii / ((1 - h_ii)^2 p s^2), p the trace of H, s^2 = RSS / (n - p)"
    source = "Cook 1977, summed over outputs; from 'ridge' under leave_one_out"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The distance as it was observed."""
        return be.double(be.as_array(observation.cooks_distance))
