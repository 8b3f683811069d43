"""What streaming scores share: which observations are read, and what is kept of them between batches.

Sinks hand over every observation of a side, wanted or not, so a shell itself passes over those it does not read.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unseen.errors import ArgumentError, DataError
from unseen.scores import _backend as be
from unseen.scores import _kernels as kernels
from unseen.scores.base import Score, State
from unseen.types import Array, FloatArray, IntArray, Observation, Side

__all__ = ["Course", "Observed", "Pointwise", "Windowed", "observed_loss", "rowwise"]


def rowwise(kernel: be.Kernel, observation: Observation, labels: IntArray) -> Array:
    """A kernel on the logits of an observation, which its sink has checked; they stay on their device."""
    labels = be.like(labels, observation.logits)
    of_parts = kernels.OF_PARTS.get(kernel)
    if of_parts is None:
        return be.rowwise(kernel, observation.logits, labels)
    if "parts" not in observation.shared:
        observation.shared["parts"] = be.rowwise(kernels.parts, observation.logits, labels, numbers=3)
    return of_parts(observation.shared["parts"])


def observed_loss(observation: Observation, labels: IntArray) -> Array:
    """Cross-entropy where there are logits, else the recorded loss."""
    if observation.logits is not None:
        return rowwise(kernels.loss, observation, labels)
    return be.double(be.as_array(observation.loss))


class Observed(Score):
    """A number measured in single observations: the last one, or the mean over those after stated epochs."""

    needs = frozenset({"logits"})
    state = "O(1)"

    @abstractmethod
    def asked(self, side: Side) -> tuple[int, ...]:
        """The epochs read on this side; none stated: the last observation."""

    @abstractmethod
    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The number for each sample of one batch, (m,), on the device of what was observed."""

    def readable(self, observation: Observation) -> bool:
        """Whether the observation holds what is measured."""
        return holds(observation, self.needs)

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """The epochs asked for, or the last."""
        asked = self.asked(side)
        return side in self.sides and (epoch in asked if asked else epoch == last)

    def start(self, side: Side, m: int, classes: int) -> State:
        """A sum and a count a sample."""
        return {"sum": np.zeros(m), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add the measured numbers; where the last observation is asked for, put them in place of earlier ones."""
        asked = self.asked(side)
        if not self.readable(observation) or (asked and observation.epoch not in asked):
            return
        values = be.to_numpy(self.measure(observation, labels))
        if asked:
            state["sum"][at] += values
            state["count"][at] += 1
        else:
            state["sum"][at], state["count"][at] = values, 1

    def finish(self, state: State, side: Side) -> State:
        """The mean over the epochs asked for.

        Raises:
            DataError: they were not all observed, or without what the score reads.

        """
        require(self, state["count"], max(1, len(self.asked(side))))
        return {"value": state["sum"] / state["count"]}


@dataclass(frozen=True, kw_only=True)
class Pointwise(Observed):
    """A score that reads one observation: the last, or the mean over those after stated epochs.

    Args:
        epochs: None takes the last observation; an epoch, or several, counted from 1: the mean over them.

    """

    epochs: tuple[int, ...] | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.epochs, list):
            object.__setattr__(self, "epochs", tuple(self.epochs))
        asked = self.asked("unseen")
        good = self.epochs != () and all(is_count(e, 1) for e in asked) and len(set(asked)) == len(asked)
        if not good:
            raise ArgumentError(
                f"epochs of {self.name} must be None (the last observation), an epoch of at least 1 or several "
                f"different ones such as (3, 4), got {self.epochs!r}"
            )

    def asked(self, side: Side) -> tuple[int, ...]:
        """The option `epochs`, as a tuple."""
        if self.epochs is None:
            return ()
        return self.epochs if isinstance(self.epochs, tuple) else (self.epochs,)

    @property
    def least_epochs(self) -> int:
        """The last epoch asked for."""
        return max(self.asked("unseen"), default=1)


@dataclass(frozen=True, kw_only=True)
class Course(Score):
    """A score from the course of training, which reads every observation up to an epoch.

    Args:
        epochs: the number of first epochs used; None uses all.

    """

    epochs: int | None = None

    needs = frozenset({"logits"})
    state = "O(1)"
    least: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.epochs is not None and not is_count(self.epochs, self.shortest):
            raise ArgumentError(
                f"epochs of {self.name} must be None (all) or an integer of at least {self.shortest}, "
                f"got {self.epochs!r}"
            )

    @property
    def shortest(self) -> int:
        """The shortest course that it can be computed on."""
        return self.least

    @property
    def least_epochs(self) -> int:
        """The number of epochs asked for, or the shortest possible."""
        return self.epochs or self.shortest

    @abstractmethod
    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Fold one batch in; `state["count"][at]` tells how many observations came before."""

    @abstractmethod
    def value(self, state: State) -> FloatArray:
        """The score of each sample, once everything is in."""

    def kept(self, m: int, classes: int) -> State:
        """State beside the count of observations: a sum a sample."""
        return {"sum": np.zeros(m)}

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """Every epoch, or the first ones."""
        return side in self.sides and (self.epochs is None or epoch <= self.epochs)

    def start(self, side: Side, m: int, classes: int) -> State:
        """A count of observations, and what `kept` names."""
        return {"count": np.zeros(m, np.int32), **self.kept(m, classes)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Fold one batch in, unless it comes after the epochs used."""
        if holds(observation, self.needs) and (self.epochs is None or observation.epoch <= self.epochs):
            self.fold(state, at, observation, labels)
            state["count"][at] += 1

    def finish(self, state: State, side: Side) -> State:
        """The score over the epochs used.

        Raises:
            DataError: fewer observations than it needs.

        """
        require(self, state["count"], self.least_epochs)
        return {"value": self.value(state)}


@dataclass(frozen=True, kw_only=True)
class Windowed(Course):
    """A score from windows of epochs that slide by one; a ring holds the values of the present window.

    Args:
        window: J, the number of epochs in a window.

    """

    window: int = 10

    state = "O(J)"
    narrowest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_window(self.window, self.narrowest)
        super().__post_init__()

    @property
    def shortest(self) -> int:
        """One window."""
        return self.window


def holds(observation: Observation, needs: frozenset[str]) -> bool:
    """Whether every field of the observation that is needed is given."""
    return all(getattr(observation, need) is not None for need in needs)


def require(score: Score, count: IntArray, least: int) -> None:
    """Refuse to finish on fewer observations than a score needs."""
    lowest = int(count.min(initial=least))
    if lowest < least:
        raise DataError(
            f"score {score.label!r} needs {least} observation{'s' * (least > 1)} of each sample, holding "
            f"{', '.join(sorted(score.needs))}, but some sample has {lowest}; observe more epochs or pass what it reads"
        )


def is_count(value: Any, least: int) -> bool:
    """Whether it is an integer of at least that much, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def check_window(window: int, narrowest: int) -> None:
    """Refuse a window too narrow for what is computed in it."""
    if not is_count(window, narrowest):
        raise ArgumentError(f"window must be an integer of at least {narrowest} epochs, got {window!r}")
