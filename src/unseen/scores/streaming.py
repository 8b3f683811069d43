"""The base classes of scores in streaming form, and helpers for histories (T, n, C).

The maths of a score is a pure function in another module of this package. A `Score` wraps it for observations that
arrive batch by batch and epoch by epoch: `start` makes named state arrays for the m samples of a watch set, `update`
adds one observation to them, `finish` turns them into measured quantities, and `join` computes the score of a sample
from the means of these quantities over the fits that judged it. A sink passes every observation of a side to `update`,
so a score itself ignores those that it does not read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from unseen.core.arrays import Array, Arrays, FloatArray, IntArray, Named, as_numpy
from unseen.core.checks import is_integer
from unseen.core.exposure import Observation, Side
from unseen.core.registry import options_of
from unseen.core.table import Direction
from unseen.errors import ArgumentError, DataError
from unseen.scores import _backend as be

State: TypeAlias = Named
Means: TypeAlias = Mapping[Side, Arrays]


class Score(ABC):
    """A score: one number per sample, from observations of it. Subclasses are frozen dataclasses of its options."""

    name: ClassVar[str]
    direction: ClassVar[Direction]
    low: ClassVar[float]
    high: ClassVar[float]
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})  # the fields of Observation that it reads
    state: ClassVar[str] = "O(1)"  # size of the state a sample, in floats: "O(1)", "O(J)" or "O(C)"
    formula: ClassVar[str]
    source: ClassVar[str]
    # The watch sets that it reads, both if it is two-sided. Under the plan `seen()`, a sink gives the seen watch set as
    # "unseen" to a one-sided score.
    sides: ClassVar[tuple[Side, ...]] = ("unseen",)
    label_free: ClassVar[bool] = False
    from_loss: ClassVar[bool] = False  # True: it also accepts a recorded loss of any task in place of logits
    fitted_on_labels: ClassVar[str | None] = None  # what the score fits to held-out labels, for the manifest
    per_repeat: ClassVar[bool] = True  # False: computed from all repeats at once
    least_repeats: ClassVar[int] = 1  # the least number of repeats that it can be computed from
    # True: `finish` compares the samples of a watch set, as a temperature does, so it needs the state of the whole set.
    whole: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name in a table: the name of the score, with options that are not the default (`dual:window=5`)."""
        own = [(name, getattr(self, name)) for name, usual in options_of(self).items() if getattr(self, name) != usual]
        options = ",".join(f"{name}={value}" for name, value in own).replace(" ", "")
        return f"{self.name}:{options}" if options else self.name

    @property
    def least_epochs(self) -> int:
        """The least number of epochs that it can be computed from; 1 for scores from one observation."""
        return 1

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """Tell whether it reads this side after this epoch (counted from 1) of `last`; by default, after the last."""
        return side in self.sides and epoch == last

    @abstractmethod
    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the empty state for m samples: arrays whose first axis is m."""

    @abstractmethod
    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add one batch to the state, in place. `at` are its positions in the watch set, `labels` its labels.

        It may be of an epoch that the score does not want, because another score does: leave the state as it is then,
        or replace what an earlier batch left there.
        """

    @abstractmethod
    def finish(self, state: State, side: Side) -> State:
        """Return the measured quantities of this fit, arrays whose first axis is m."""

    def join(self, means: Means) -> FloatArray:
        """Compute the score, float64 (n,), from the mean of each quantity over the fits that judged a sample.

        `means[side][quantity]` has first axis n, and NaN where no fit judged the sample.
        """
        return np.asarray(means["unseen"]["value"], dtype=np.float64)


def rowwise(kernel: be.Kernel, observation: Observation, labels: IntArray) -> Array:
    """Apply a kernel to the logits of an observation, on their device; the sink has checked them."""
    labels = be.like(labels, observation.logits)
    if not isinstance(kernel, be.OfParts):
        return be.rowwise(kernel, observation.logits, labels)
    if "parts" not in observation.shared:
        observation.shared["parts"] = be.rowwise(be.parts, observation.logits, labels, numbers=3)
    return kernel.of(observation.shared["parts"])


class Observed(Score):
    """A score measured in single observations: in the last one, or as the mean over given epochs."""

    # What is measured of the logits, a `be.Kernel`; without it, a loss, or the one field that the score needs.
    kernel: ClassVar[Any] = None

    def epochs_read(self, side: Side) -> tuple[int, ...]:
        """Return the epochs that are read on this side; empty for the last observation."""
        return ()

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Measure each sample of one batch, (m,), on the device of the observation."""
        if self.kernel is not None:
            return rowwise(self.kernel, observation, labels)
        if self.from_loss and observation.logits is not None:
            return rowwise(be.loss, observation, labels)
        (field,) = {"loss"} if self.from_loss else self.needs
        return be.double(be.as_array(getattr(observation, field)))

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """Tell whether this epoch is a requested one, or the last one if none is requested."""
        epochs = self.epochs_read(side)
        return side in self.sides and (epoch in epochs if epochs else epoch == last)

    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the state: a sum and a count a sample."""
        return {"sum": np.zeros(m), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add the measured values; if only the last observation counts, replace earlier values."""
        epochs = self.epochs_read(side)
        readable = holds(observation, self.needs) or (self.from_loss and observation.loss is not None)
        if not readable or (epochs and observation.epoch not in epochs):
            return
        values = as_numpy(self.measure(observation, labels))
        if epochs:
            state["sum"][at] += values
            state["count"][at] += 1
        else:
            state["sum"][at], state["count"][at] = values, 1

    def finish(self, state: State, side: Side) -> State:
        """Return the mean over the requested epochs; a DataError if not all were observed with what is read."""
        require(self, state["count"], max(1, len(self.epochs_read(side))))
        return {"value": state["sum"] / state["count"]}


@dataclass(frozen=True, kw_only=True)
class Pointwise(Observed):
    """A score of the last observation or, with the option `epochs`, the mean over one or several, counted from 1.

    Cost: No more than the trainings of the plan, and one forward pass over the watch sets.
    """

    epochs: tuple[int, ...] | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.epochs, (tuple, list, np.ndarray)):
            plain = tuple(e.item() if isinstance(e, np.generic) else e for e in self.epochs)
            object.__setattr__(self, "epochs", plain)
        epochs = self.epochs_read("unseen")
        few = len(set(epochs)) < len(epochs) or (self.epochs is not None and not epochs)
        if few or not all(is_integer(e) and e >= 1 for e in epochs):
            raise ArgumentError(
                f"epochs of {self.name} must be None (the last observation), an epoch of at least 1 or several "
                f"different ones such as (3, 4), got {self.epochs!r}"
            )

    def epochs_read(self, side: Side) -> tuple[int, ...]:
        """Return the option `epochs` as a tuple."""
        if self.epochs is None:
            return ()
        return self.epochs if isinstance(self.epochs, tuple) else (self.epochs,)

    @property
    def least_epochs(self) -> int:
        """The last of the requested epochs."""
        return max(self.epochs_read("unseen"), default=1)


@dataclass(frozen=True)
class Wrapper(Score):
    """A score of the last logits that is made of another one; it has the direction and range of that score."""

    of: Score

    suffix: ClassVar[str]  # behind the name of the score, such as "@temperature"
    passed_on: ClassVar[tuple[str, ...]] = ("direction", "low", "high")  # declarations of the score
    direction: ClassVar[Direction] = "harder"
    low: ClassVar[float] = -np.inf
    high: ClassVar[float] = np.inf
    state = "O(C)"

    def __post_init__(self) -> None:
        for declared in self.passed_on:
            object.__setattr__(self, declared, getattr(self.of, declared))

    @property
    def label(self) -> str:
        """The name of the score, with the suffix."""
        return self.of.label + self.suffix


@dataclass(frozen=True, kw_only=True)
class Course(Score):
    """A score of training dynamics: it reads every observation, or those of the first `epochs`.

    Cost: A forward pass over the watch sets after every epoch that is read, besides the trainings.
    """

    epochs: int | None = None

    least: ClassVar[int] = 1  # the least number of epochs that it can be computed from

    def __post_init__(self) -> None:
        if self.epochs is not None and not (is_integer(self.epochs) and self.epochs >= self.least):
            raise ArgumentError(
                f"epochs of {self.name} must be None (all) or an integer of at least {self.least}, got {self.epochs!r}"
            )

    @property
    def least_epochs(self) -> int:
        """The requested number of epochs, or the least possible and at least two, as one epoch is no course."""
        return self.epochs or max(self.least, 2)

    @abstractmethod
    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add one batch to the state; `state["count"][at]` is the number of earlier observations."""

    @abstractmethod
    def value(self, state: State) -> FloatArray:
        """Return the score of each sample from the complete state."""

    def kept(self, m: int, classes: int) -> State:
        """Make the state besides the count of observations; by default a sum a sample."""
        return {"sum": np.zeros(m)}

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """Tell whether this epoch is among those that are used."""
        return side in self.sides and (self.epochs is None or epoch <= self.epochs)

    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the state: a count of observations, and the arrays of `kept`."""
        return {"count": np.zeros(m, np.int32), **self.kept(m, classes)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add one batch to the state, unless it comes after the epochs that are used."""
        if holds(observation, self.needs) and (self.epochs is None or observation.epoch <= self.epochs):
            self.fold(state, at, observation, labels)
            state["count"][at] += 1

    def finish(self, state: State, side: Side) -> State:
        """Return the score over the epochs that are used; a DataError if there are fewer than the score needs."""
        require(self, state["count"], self.least_epochs)
        return {"value": self.value(state)}


@dataclass(frozen=True, kw_only=True)
class Windowed(Course):
    """A score from windows of J = `window` epochs that slide by one, whose values a ring buffer holds."""

    window: int = 10

    state = "O(J)"
    least = 2  # of a window; each instance needs one whole window

    def __post_init__(self) -> None:
        check_window(self.window, self.least)
        object.__setattr__(self, "least", self.window)
        super().__post_init__()


def holds(observation: Observation, needs: frozenset[str]) -> bool:
    """Tell whether the observation has all fields in `needs`."""
    return all(getattr(observation, need) is not None for need in needs)


def require(score: Score, count: IntArray, least: int) -> None:
    """Refuse to compute a score from fewer observations than it needs."""
    lowest = int(count.min(initial=least))
    if lowest < least:
        raise DataError(
            f"score {score.label!r} needs {least} observation{'s' * (least > 1)} of each sample, holding "
            f"{', '.join(sorted(score.needs))}, but some sample has {lowest}; observe more epochs, or pass these fields"
        )


def check_window(window: int, narrowest: int) -> None:
    """Refuse a window of fewer than `narrowest` epochs."""
    if not is_integer(window) or window < narrowest:
        raise ArgumentError(f"window must be an integer of at least {narrowest} epochs, got {window!r}")


def first_epochs(history: Array, labels: Array | None, epochs: int | None, *, least: int) -> tuple[Array, Array]:
    """Check a history and its labels; return its first epochs, and the labels."""
    history = be.as_array(history)
    T = history.shape[0] if history.ndim else 0
    if epochs is not None and not (is_integer(epochs) and 1 <= epochs <= T):
        raise ArgumentError(f"epochs must be in 1 .. {T}, the epochs of the history, or None for all, got {epochs!r}")
    used = T if epochs is None else epochs
    if used < least:
        raise ArgumentError(
            f"history must hold at least {least} epochs for this score, got {used}; observe more epochs or shorten "
            "the window, where there is one"
        )
    return be.checked(history[:used], labels, name="history")


def series(kernel: be.Kernel, history: Array, labels: Array) -> Array:
    """Apply a kernel to every epoch of a history, float64 (T, n)."""
    out = be.empty(tuple(history.shape[:2]), history)
    for t, logits in enumerate(history):
        out[t] = be.rowwise(kernel, logits, labels)
    return out


def mean_over(rows: Array | list[Array]) -> Array:
    """Compute the mean of arrays of one shape, in the order of summation of the streaming form."""
    return sum(rows) / len(rows)
