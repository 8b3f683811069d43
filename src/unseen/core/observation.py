"""Observations of a model, the sides of a watch set, and directions of scores.

An observation holds the outputs of one model for some samples after one epoch. Its side says whether the model was
trained on these samples (`"seen"`) or not (`"unseen"`). The direction of a score says what a high value means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import index
from typing import Literal, TypeAlias

from unseen.core.arrays import Array, IntArray
from unseen.errors import ArgumentError

Direction: TypeAlias = Literal["harder", "easier", "worth"]
DIRECTIONS: tuple[Direction, ...] = ("harder", "easier", "worth")


def meaning(direction: Direction) -> str:
    """Describe a direction in words: `"harder when higher"`."""
    return {
        "harder": "harder when higher",
        "easier": "easier when higher",
        "worth": "worth more when higher",
    }[direction]


Side: TypeAlias = Literal["unseen", "seen"]
SIDES: tuple[Side, ...] = ("unseen", "seen")

MOST_EPOCHS = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """The outputs of a model for some samples, in evaluation mode and without augmentation.

    Args:
        rows: int64 (m,) rows of the samples.
        epoch: the epoch after which the model was observed, counted from 1; learners without epochs give 1.
        logits: (m, C) float, NumPy or torch; None where only a loss is recorded.
        features: (m, d) input of the last linear layer, or None.
        grad_norm: (m,) norm of the loss gradient over all parameters, one sample at a time, or None.
        loss: (m,) per-sample loss of any task, or None; scores that need only a loss use it in place of logits.
        leverage: (m,) the weight of each sample's label in its own output, if the learner knows it, or None.
        cooks_distance: (m,) how far all outputs move when the sample is left out, if the learner knows it, or None.
    """

    rows: IntArray
    epoch: int
    logits: Array | None = None
    features: Array | None = None
    grad_norm: Array | None = None
    loss: Array | None = None
    leverage: Array | None = None
    cooks_distance: Array | None = None
    shared: dict[str, Array] = field(default_factory=dict, init=False, repr=False)  # results that several scores use

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "epoch", index(self.epoch))  # also reads a tensor of one number
        except TypeError as error:
            raise ArgumentError(f"epoch must be a whole number, counted from 1, got {self.epoch!r}") from error
        if self.epoch > MOST_EPOCHS:
            raise ArgumentError(f"epoch must be at most {MOST_EPOCHS}, got {self.epoch}")
