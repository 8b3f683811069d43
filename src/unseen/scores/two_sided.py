"""Scores that compare models which saw a sample with models which did not: the shells of `sides`, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores import _kernels as kernels
from unseen.scores.base import Score, State
from unseen.scores.shells import Observed, holds, is_count, observed_loss, require, rowwise
from unseen.scores.sides import entropy, information
from unseen.types import Array, Direction, FloatArray, IntArray, Observation, Side

__all__ = ["MEMORIZATION", "Disagreement", "HoldoutGap", "Memorization", "Reducible"]

MEMORIZATION = "memorization"  # what `stratified:cutoff=auto` reads beside the score

Means = Mapping[Side, Mapping[str, npt.NDArray[Any]]]


class _Sides(Observed):
    """One number of the last observation on each side, and their difference."""

    sides: ClassVar[tuple[Side, ...]] = ("unseen", "seen")

    def asked(self, side: Side) -> tuple[int, ...]:
        """The last observation."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Memorization(_Sides):
    """`memorization`, streaming.

    Args:
        probabilities: the probability of the label in place of being correct.

    Cost:
        Two forward passes a model, over both sides; halves(r) trains 2 r models on half of the data each.

    Fails:
        With few repeats: over r repeats it has few different values, and most samples tie at 0. Hardest-first collects
        wrong labels, which only memorising gets right (benchmarks/quality/results.md: 16 points below random at 80 % on
        CIFAR-10).

    """

    probabilities: bool = False

    name = MEMORIZATION
    direction: ClassVar[Direction] = "harder"
    low, high = -1.0, 1.0
    formula = "P[correct, in train] - P[correct, held out]"
    source = "Feldman and Zhang 2020 (arXiv 2008.03703)"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Whether it is correct, or p_y."""
        return rowwise(kernels.p_label if self.probabilities else kernels.is_correct, observation, labels)

    def join(self, means: Means) -> FloatArray:
        """In train less held out."""
        return np.asarray(means["seen"]["value"] - means["unseen"]["value"])


class _Losses(_Sides):
    """Losses on both sides; a recorded loss of any task takes the place of logits."""

    from_loss = True

    def readable(self, observation: Observation) -> bool:
        """Logits or a loss."""
        return observation.logits is not None or observation.loss is not None

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The loss."""
        return observed_loss(observation, labels)


@dataclass(frozen=True, kw_only=True)
class HoldoutGap(_Losses):
    """`holdout_gap`, streaming.

    Cost:
        Two forward passes a model, over both sides; halves(r) trains 2 r models on half of the data each.

    Fails:
        As a measure of worth: what is memorised is first of all what is wrongly labelled. At 80 % pruned hardest-first
        loses 27 points to random on CIFAR-10 (benchmarks/quality/results.md). One outlying loss may be all of it.

    """

    name = "holdout_gap"
    direction: ClassVar[Direction] = "harder"
    low, high = -math.inf, math.inf
    formula = "held-out loss - in-sample loss"
    source = "generalisation gap of one sample; after Feldman and Zhang 2020"

    def join(self, means: Means) -> FloatArray:
        """Held out less in sample."""
        return np.asarray(means["unseen"]["value"] - means["seen"]["value"])


@dataclass(frozen=True, kw_only=True)
class Reducible(_Losses):
    """`reducible`, streaming.

    Args:
        epoch: the early epoch of the in-sample loss, counted from 1 and before the last.

    Cost:
        A forward pass over the trained-on side after the early epoch, one over the other side at the end; halves(r)
        trains 2 r models on half of the data each.

    Fails:
        The epoch must be given, and matters: too early everything is still to be learnt, too late nothing is. In strata
        it loses 10 points to random at 80 % on CIFAR-10 (benchmarks/quality/results.md): its low tail is long and holds
        the outliers.

    """

    epoch: int

    name = "reducible"
    direction: ClassVar[Direction] = "worth"
    low, high = -math.inf, math.inf
    formula = "in-sample loss at an early epoch - held-out loss at the end"
    source = "after RHO-LOSS, Mindermann et al. 2022 (arXiv 2206.07137)"

    def __post_init__(self) -> None:
        if not is_count(self.epoch, 1):
            raise ArgumentError(f"epoch of reducible must be an integer of at least 1, got {self.epoch!r}")

    @property
    def least_epochs(self) -> int:
        """One more than the early epoch."""
        return self.epoch + 1

    def asked(self, side: Side) -> tuple[int, ...]:
        """The early epoch in sample, the last held out."""
        return (self.epoch,) if side == "seen" else ()

    def join(self, means: Means) -> FloatArray:
        """Early in-sample loss less held-out loss."""
        return np.asarray(means["seen"]["value"] - means["unseen"]["value"])


@dataclass(frozen=True, kw_only=True)
class Disagreement(Score):
    """`disagreement` of the last observations, over all repeats at once.

    Cost:
        At least two repeats of the plan, so twice its trainings; the last probabilities of all C classes are kept for
        each sample of a fit.

    Fails:
        With two models it is a rough estimate. A point above random on CIFAR-10 up to half pruned and three below at 80
        % (benchmarks/quality/results.md): models also disagree about what cannot be learnt.

    """

    name = "disagreement"
    direction: ClassVar[Direction] = "worth"
    low, high = 0.0, math.inf
    needs = frozenset({"logits"})
    state = "O(C)"
    formula = "entropy of the mean p - mean entropy, over repeats"
    source = "Houlsby et al. 2011 (arXiv 1112.5745)"
    label_free = True
    per_repeat = False

    @property
    def least_repeats(self) -> int:
        """Two, to disagree."""
        return 2

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """The last observation."""
        return side == "unseen" and epoch == last

    def start(self, side: Side, m: int, classes: int) -> State:
        """The last p."""
        return {"p": np.zeros((m, classes)), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Put this p in place of the last."""
        if holds(observation, self.needs):
            logits = be.as_array(observation.logits)
            for part in be.blocks(logits):
                state["p"][at[part]] = be.to_numpy(be.softmax(be.class_first(logits[part]))).T
            state["count"][at] = 1

    def finish(self, state: State, side: Side) -> State:
        """The last p and its entropy."""
        require(self, state["count"], 1)
        return {"p": state["p"], "entropy": entropy(state["p"].T)}

    def join(self, means: Means) -> FloatArray:
        """Entropy of the mean p less the mean entropy."""
        held_out = means["unseen"]
        return np.asarray(information(held_out["p"].T, held_out["entropy"]))
