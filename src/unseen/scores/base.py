"""What every score declares, and the streaming shell that carries it.

The maths of a score is a pure function elsewhere in this folder (arrays in, arrays out). A `Score` wraps it for
data that arrives batch by batch and epoch by epoch: `start` makes named state arrays for the m samples of a watch
set, `update` folds one observation into them, `finish` turns them into measured quantities, and `join` makes the
score of a sample from the means of those quantities over the fits that watched it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from unseen.types import Direction, FloatArray, IntArray, Observation, Side

__all__ = ["Score", "State"]

State = dict[str, npt.NDArray[Any]]


class Score(ABC):
    """A score: one number a sample, from observations of it.

    Subclasses are frozen dataclasses whose fields are the options of the score.
    """

    name: ClassVar[str]
    direction: ClassVar[Direction]
    low: ClassVar[float]
    high: ClassVar[float]
    needs: ClassVar[frozenset[str]]  # fields of Observation it reads: {"logits"}, {"logits", "features"}, ...
    state: ClassVar[str]  # "O(1)", "O(J)" or "O(C)" floats a sample
    formula: ClassVar[str]
    source: ClassVar[str]
    sides: ClassVar[tuple[Side, ...]] = ("unseen",)  # both for two-sided scores
    label_free: ClassVar[bool] = False
    from_loss: ClassVar[bool] = False  # True: a recorded loss of any task may take the place of logits
    fitted_on_labels: ClassVar[str | None] = None  # what it fits to held-out labels, for the manifest
    per_repeat: ClassVar[bool] = True  # False: joined over all repeats at once
    whole: ClassVar[bool] = False  # True: `finish` compares the samples of the watch set, so it needs them all

    @property
    def label(self) -> str:
        """Its name in a table: the name, with the options that are not the default (`dual:window=5`)."""
        own = {f.name: getattr(self, f.name) for f in fields(cast(Any, self)) if getattr(self, f.name) != f.default}
        options = ",".join(f"{key}={value}" for key, value in own.items()).replace(" ", "")
        return f"{self.name}:{options}" if options else self.name

    @property
    def least_epochs(self) -> int:
        """The number of epochs without which it cannot be computed; 1 for scores from one observation."""
        return 1

    @property
    def least_repeats(self) -> int:
        """The number of repeats without which it cannot be computed."""
        return 1

    @abstractmethod
    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """Whether it reads the observation of this side after this epoch (counted from 1) of `last`."""

    @abstractmethod
    def start(self, side: Side, m: int, classes: int) -> State:
        """Empty state for m samples: arrays whose first axis is m."""

    @abstractmethod
    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Fold in one batch, in place. `at` are its positions in the watch set, `labels` its labels."""

    @abstractmethod
    def finish(self, state: State, side: Side) -> State:
        """The measured quantities of this fit, arrays whose first axis is m."""

    def join(self, means: Mapping[Side, Mapping[str, npt.NDArray[Any]]]) -> FloatArray:
        """The score, float64 (n,), from the mean of each quantity over the fits that watched a sample.

        `means[side][quantity]` has first axis n, NaN where no fit watched the sample.
        """
        return np.asarray(means["unseen"]["value"], dtype=np.float64)
