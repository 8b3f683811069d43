"""A score at the temperature of its fold: what `align="temperature"` reads.

Fold models differ in calibration. One temperature a fold, fitted by held-out log loss on its watch set, puts their
probabilities on one scale while distances between scores keep their meaning. The raw score stays beside it in the
table. Each temperature is a scalar that saw labels, and the manifest says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.alignment import temperatures
from unseen.scores.base import Score, State
from unseen.scores.shells import Pointwise, require
from unseen.types import Direction, IntArray, Observation, Side

__all__ = ["SUFFIX", "Tempered"]

SUFFIX = "@temperature"


@dataclass(frozen=True)
class Tempered(Score):
    """A score from the last observation, of logits divided by the temperature of their fold.

    Keeps the last logits of each sample (C float64) until the fit ends.

    Args:
        of: a score of logits from one observation, such as `el2n`.

    >>> from unseen.scores import resolve
    >>> resolve("el2n@temperature").label
    'el2n@temperature'
    """

    of: Score

    name: ClassVar[str] = "tempered"
    direction: ClassVar[Direction] = "harder"  # an instance has that of its score
    low: ClassVar[float] = -np.inf
    high: ClassVar[float] = np.inf
    needs = frozenset({"logits"})
    state = "O(C)"
    whole = True
    formula: ClassVar[str] = "the score of z / T, T fitted for each fold by held-out log loss"
    source: ClassVar[str] = "Guo et al. 2017 (arXiv 1706.04599)"
    fitted_on_labels: ClassVar[str | None] = "one temperature a fold, by held-out log loss"

    def __post_init__(self) -> None:
        if not isinstance(self.of, Pointwise) or self.of.needs != {"logits"} or self.of.epochs is not None:
            raise ArgumentError(
                f"a temperature rescales logits, which {self.of.label!r} does not read from the last observation "
                "alone; use el2n, loss, entropy, least_confidence, margin or label_margin without epochs=, or align "
                "by rank"
            )
        for declared in ("direction", "low", "high"):
            object.__setattr__(self, declared, getattr(self.of, declared))

    @property
    def label(self) -> str:
        """The name of the score it rescales, and the suffix."""
        return self.of.label + SUFFIX

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """The last observation."""
        return side == "unseen" and epoch == last

    def start(self, side: Side, m: int, classes: int) -> State:
        """The last logits, and the labels that the temperature is fitted on."""
        return {"logits": np.zeros((m, classes)), "labels": np.zeros(m, np.int64), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Put the logits in place of earlier ones."""
        if observation.logits is not None:
            state["logits"][at] = be.to_numpy(observation.logits)
            state["labels"][at] = labels
            state["count"][at] = 1

    def finish(self, state: State, side: Side) -> State:
        """The score of the rescaled logits."""
        require(self, state["count"], 1)
        m = len(state["labels"])
        temperature = temperatures(state["logits"], state["labels"], np.zeros(m, np.int64))[0]
        rescaled = Observation(np.arange(m), 1, logits=state["logits"] / temperature)
        assert isinstance(self.of, Pointwise)
        return {"value": be.to_numpy(self.of.measure(rescaled, state["labels"]))}
