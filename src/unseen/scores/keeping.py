"""A score that keeps, beside its number, the held-out probabilities of all classes, for whoever reads these.

They stay in the results of the fits (C float32 a sample) and are in no table. `unseen.export` makes the file of them
that other tools take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.base import Score, State
from unseen.scores.shells import require
from unseen.types import Direction, FloatArray, IntArray, Observation, Side

__all__ = ["KEPT", "PROBABILITIES", "ROWS", "SUFFIX", "Keeping"]

SUFFIX = "@probabilities"
KEPT = "kept."  # quantities so named are not joined to a table
PROBABILITIES, ROWS = "kept.probabilities", "kept.rows"


@dataclass(frozen=True)
class Keeping(Score):
    """A score of held-out logits, with the probabilities of the last observation kept.

    Keeps C float64 a sample until the fit ends, then C float32 in its result.

    Args:
        of: the score, such as `self_confidence`.

    >>> from unseen.scores import resolve
    >>> resolve("self_confidence@probabilities").label
    'self_confidence@probabilities'

    """

    of: Score

    name: ClassVar[str] = "keeping"
    direction: ClassVar[Direction] = "harder"  # an instance has that of its score
    low: ClassVar[float] = -np.inf
    high: ClassVar[float] = np.inf
    needs = frozenset({"logits"})
    state = "O(C)"
    formula: ClassVar[str] = "that of the score"
    source: ClassVar[str] = "that of the score"

    def __post_init__(self) -> None:
        if self.of.sides != ("unseen",):
            raise ArgumentError(
                f"held-out probabilities are kept beside a score of the held-out side alone, which {self.of.label!r} "
                "is not; use self_confidence@probabilities"
            )
        needs = self.of.needs | {"logits"}
        own = {
            name: getattr(self.of, name)
            for name in ("direction", "low", "high", "per_repeat", "whole", "fitted_on_labels")
        }
        for declared, value in {**own, "needs": needs}.items():
            object.__setattr__(self, declared, value)

    @property
    def label(self) -> str:
        """The name of the score, and the suffix."""
        return self.of.label + SUFFIX

    @property
    def least_epochs(self) -> int:
        """That of the score."""
        return self.of.least_epochs

    @property
    def least_repeats(self) -> int:
        """That of the score."""
        return self.of.least_repeats

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """What the score wants, and the last observation."""
        return self.of.wants(side, epoch, last) or (side == "unseen" and epoch == last)

    def start(self, side: Side, m: int, classes: int) -> State:
        """The state of the score, and the last logits."""
        own = {"logits": np.zeros((m, classes)), "rows": np.full(m, -1), "seen": np.zeros(m, np.int32)}
        return {**own, **{f"of.{name}": array for name, array in self.of.start(side, m, classes).items()}}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Fold into the score; put the logits in place of earlier ones."""
        self.of.update(_inner(state), side, at, observation, labels)
        if observation.logits is not None:
            state["logits"][at] = be.to_numpy(observation.logits)
            state["rows"][at], state["seen"][at] = observation.rows, 1

    def finish(self, state: State, side: Side) -> State:
        """What the score measured, the probabilities, and the rows that they are of."""
        require(self, state["seen"], 1)
        kept = softmax(state["logits"], axis=1).astype(np.float32)
        return {**self.of.finish(_inner(state), side), PROBABILITIES: kept, ROWS: state["rows"]}

    def join(self, means: Mapping[Side, Mapping[str, npt.NDArray[Any]]]) -> FloatArray:
        """As the score does."""
        return self.of.join(means)


def _inner(state: State) -> State:
    """The state of the score, the arrays themselves."""
    return {name.removeprefix("of."): array for name, array in state.items() if name.startswith("of.")}
