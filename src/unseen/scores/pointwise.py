"""Scores from one observation of a sample: what one model says of it, once."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.base import Score, State
from unseen.types import Array, Direction, FloatArray, IntArray, Observation, Side

__all__ = [
    "El2n",
    "Entropy",
    "LabelMargin",
    "LeastConfidence",
    "Loss",
    "Margin",
    "Pointwise",
    "Space",
    "el2n",
    "entropy",
    "label_margin",
    "least_confidence",
    "loss",
    "margin",
]

Space: TypeAlias = Literal["probabilities", "logits"]


def el2n(logits: Array, labels: Array) -> Array:
    """Length of the error vector, norm2(p - onehot(y)): harder when higher, in [0, sqrt 2].

    Paul et al. 2021 (arXiv 2107.07075), who take it early in training and average over several models.

    Args:
        logits: (n, C) float, NumPy or torch.
        labels: (n,) integers in 0 .. C - 1.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite logits.

    >>> el2n(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.7071, 1.2728]

    """
    return be.rowwise(_el2n, *be.checked(logits, labels))


def loss(logits: Array, labels: Array) -> Array:
    """Cross-entropy, -log p_y: harder when higher, in [0, inf).

    Args:
        logits: (n, C) float, NumPy or torch.
        labels: (n,) integers in 0 .. C - 1.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite logits.

    >>> loss(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.6931, 2.3026]

    """
    return be.rowwise(_loss, *be.checked(logits, labels))


def entropy(logits: Array, labels: Array | None = None) -> Array:
    """Entropy of the prediction in nats, -sum p log p with 0 log 0 = 0: harder when higher, in [0, log C].

    Label-free (Coleman et al. 2020).

    Args:
        logits: (n, C) float, NumPy or torch.
        labels: not read; taken so that every score can be called alike.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, NaN or infinite logits.

    >>> entropy(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.6931, 0.3251]

    """
    return be.rowwise(_entropy, *be.checked(logits, labels))


def least_confidence(logits: Array, labels: Array | None = None) -> Array:
    """1 - max p: harder when higher, in [0, 1 - 1/C].

    Label-free.

    Args:
        logits: (n, C) float, NumPy or torch.
        labels: not read; taken so that every score can be called alike.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, NaN or infinite logits.

    >>> least_confidence(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.5, 0.1]

    """
    return be.rowwise(_least_confidence, *be.checked(logits, labels))


def margin(logits: Array, labels: Array | None = None) -> Array:
    """The largest probability less the second largest: easier when higher, in [0, 1].

    Label-free.

    Args:
        logits: (n, C) float, NumPy or torch.
        labels: not read; taken so that every score can be called alike.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, NaN or infinite logits.

    >>> margin(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.0, 0.8]

    """
    return be.rowwise(_margin, *be.checked(logits, labels))


def label_margin(logits: Array, labels: Array, *, space: Space = "probabilities") -> Array:
    """p_y less the largest other p: easier when higher, in [-1, 1]; below 0 where the prediction is wrong.

    Args:
        logits: (n, C) float, NumPy or torch.
        labels: (n,) integers in 0 .. C - 1.
        space: `"logits"` takes the same difference of logits, unbounded.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite logits, another space.

    >>> label_margin(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.0, -0.8]
    >>> label_margin(np.array([[1.0, 3.0, 0.0]]), np.array([0]), space="logits").tolist()
    [-2.0]

    """
    return be.rowwise(label_margin_kernel(space), *be.checked(logits, labels))


# Kernels: a float64 (C, m) block that they may overwrite and int64 (m,) labels in, (m,) out.


def _el2n(z: Array, y: Array) -> Array:
    error = be.softmax(z)
    error[y, be.columns(z)] -= 1.0
    error *= error
    xp = be.namespace(z)
    return xp.sqrt(xp.sum(error, axis=0))


def _loss(z: Array, y: Array) -> Array:
    return 0.0 - be.pick(be.log_softmax(z), y)  # never -0.0


def _entropy(z: Array, y: Array) -> Array:
    xp = be.namespace(z)
    log_p = be.log_softmax(z)
    log_p *= xp.exp(log_p)  # logs are finite, so 0 log 0 is 0
    return 0.0 - xp.sum(log_p, axis=0)


def _least_confidence(z: Array, y: Array) -> Array:
    return 1.0 - be.namespace(z).amax(be.softmax(z), axis=0)


def _margin(z: Array, y: Array) -> Array:
    return _probability_margin(z, be.namespace(z).argmax(z, axis=0))


def _probability_margin(z: Array, y: Array) -> Array:
    return _logit_margin(be.softmax(z), y)


def _logit_margin(z: Array, y: Array) -> Array:
    own = be.pick(z, y)
    z[y, be.columns(z)] = -math.inf
    return own - be.namespace(z).amax(z, axis=0)


def p_label(z: Array, y: Array) -> Array:
    """Kernel: the probability of the label."""
    return be.namespace(z).exp(be.pick(be.log_softmax(z), y))


def is_correct(z: Array, y: Array) -> Array:
    """Kernel: 1 where the first largest logit is the label's, else 0."""
    return be.double(be.namespace(z).argmax(z, axis=0) == y)


def label_margin_kernel(space: Space) -> be.Kernel:
    """Kernel of the label margin in that space."""
    kernels: dict[str, be.Kernel] = {"probabilities": _probability_margin, "logits": _logit_margin}
    if space not in kernels:
        raise ArgumentError(f"space must be one of {sorted(kernels)}, got {space!r}")
    return kernels[space]


@dataclass(frozen=True)
class Pointwise(Score):
    """A score that reads one observation: the last, or the mean over those after stated epochs.

    Args:
        epochs: None takes the last observation; an epoch, or several, counted from 1: the mean over them.

    """

    epochs: tuple[int, ...] | int | None = None

    needs = frozenset({"logits"})
    state = "O(1)"

    def __post_init__(self) -> None:
        if isinstance(self.epochs, (tuple, list)):
            object.__setattr__(self, "epochs", tuple(self.epochs))
        asked = self._asked
        good = all(isinstance(e, (int, np.integer)) and not isinstance(e, bool) and e >= 1 for e in asked)
        if not good or len(set(asked)) < len(asked) or self.epochs == ():
            raise ArgumentError(
                f"epochs of {self.name} must be None (the last), an epoch of at least 1 or several different ones, "
                f"such as (3, 4), got {self.epochs!r}"
            )

    @property
    def _asked(self) -> tuple[int, ...]:
        if self.epochs is None:
            return ()
        return self.epochs if isinstance(self.epochs, tuple) else (self.epochs,)

    @property
    def least_epochs(self) -> int:
        """The last epoch asked for."""
        return max(self._asked, default=1)

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """The epochs asked for, or the last."""
        return side in self.sides and (epoch in self._asked if self._asked else epoch == last)

    def start(self, side: Side, m: int, classes: int) -> State:
        """A sum and a count a sample."""
        return {"sum": np.zeros(m), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add the measured values; with `epochs=None` put them in place of earlier ones."""
        values = be.to_numpy(self.measure(observation, labels))
        if self.epochs is None:
            state["sum"][at], state["count"][at] = values, 1
        else:
            state["sum"][at] += values
            state["count"][at] += 1

    def finish(self, state: State, side: Side) -> State:
        """The mean, NaN where nothing was observed."""
        return {"value": mean_of(state)}

    @abstractmethod
    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The score of one batch, (m,), on the device of the logits."""


def mean_of(state: State) -> FloatArray:
    """Sum over count, NaN where the count is 0."""
    count = state["count"]
    mean: FloatArray = np.divide(state["sum"], count, out=np.full(len(count), np.nan), where=count > 0)
    return mean


def rowwise_observed(kernel: be.Kernel, observation: Observation, labels: IntArray) -> Array:
    """A kernel on the logits of an observation, which its sink has checked."""
    return be.rowwise(kernel, observation.logits, be.like(labels, observation.logits))


@dataclass(frozen=True)
class El2n(Pointwise):
    """`el2n` of the observations asked for."""

    name = "el2n"
    direction: ClassVar[Direction] = "harder"
    low, high = 0.0, math.sqrt(2)
    formula = "norm2(p - onehot(y))"
    source = "Paul et al. 2021 (arXiv 2107.07075)"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `el2n`."""
        return rowwise_observed(_el2n, observation, labels)


@dataclass(frozen=True)
class Loss(Pointwise):
    """`loss` of the observations asked for; a recorded loss of any task takes the place of logits."""

    name = "loss"
    direction: ClassVar[Direction] = "harder"
    low, high = 0.0, math.inf
    formula = "-log p_y"
    source = "cross-entropy"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `loss`."""
        return observed_loss(observation, labels)


def observed_loss(observation: Observation, labels: IntArray) -> Array:
    """Cross-entropy where there are logits, else the recorded loss."""
    if observation.logits is not None:
        return rowwise_observed(_loss, observation, labels)
    return be.double(be.as_array(observation.loss))


@dataclass(frozen=True)
class Entropy(Pointwise):
    """`entropy` of the observations asked for."""

    name = "entropy"
    direction: ClassVar[Direction] = "harder"
    low, high = 0.0, math.inf
    formula = "-sum p log p"
    source = "Coleman et al. 2020 (arXiv 1906.11829)"
    label_free = True

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `entropy`."""
        return rowwise_observed(_entropy, observation, labels)


@dataclass(frozen=True)
class LeastConfidence(Pointwise):
    """`least_confidence` of the observations asked for."""

    name = "least_confidence"
    direction: ClassVar[Direction] = "harder"
    low, high = 0.0, 1.0
    formula = "1 - max p"
    source = "Lewis and Gale 1994"
    label_free = True

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `least_confidence`."""
        return rowwise_observed(_least_confidence, observation, labels)


@dataclass(frozen=True)
class Margin(Pointwise):
    """`margin` of the observations asked for."""

    name = "margin"
    direction: ClassVar[Direction] = "easier"
    low, high = 0.0, 1.0
    formula = "p(1st) - p(2nd)"
    source = "Scheffer et al. 2001"
    label_free = True

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `margin`."""
        return rowwise_observed(_margin, observation, labels)


@dataclass(frozen=True)
class LabelMargin(Pointwise):
    """`label_margin` of the observations asked for."""

    space: Space = "probabilities"

    name = "label_margin"
    direction: ClassVar[Direction] = "easier"
    low, high = -1.0, 1.0
    formula = "p_y - max over others of p"
    source = "Northcutt et al. 2021 (arXiv 1911.00068)"

    def __post_init__(self) -> None:
        super().__post_init__()
        label_margin_kernel(self.space)  # refuses another space
        if self.space == "logits":
            # Differences of logits have no bounds: this instance declares a wider range than its class.
            object.__setattr__(self, "low", -math.inf)
            object.__setattr__(self, "high", math.inf)

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `label_margin`."""
        return rowwise_observed(label_margin_kernel(self.space), observation, labels)
