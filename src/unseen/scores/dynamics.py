"""Scores from the course of training: statistics of a sample's predictions over T epochs.

The pure functions take histories, (T, n, C) logits, and labels, integers (n,) in 0 .. C - 1, of NumPy or torch. They
return float64 (n,), of the kind and on the device of the history, and raise `ArgumentError` for wrong shapes, labels
out of range, NaN or infinite logits, and fewer epochs than they need or are asked to use. Standard deviations divide by
n - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unseen.core.arrays import Array, FloatArray, IntArray
from unseen.core.observation import Observation
from unseen.scores import _backend as be
from unseen.scores._backend import Space
from unseen.scores.streaming import Course, State, first_epochs, mean_over, rowwise, series


def aum(history: Array, labels: Array, *, space: Space = "logits", epochs: int | None = None) -> Array:
    """Compute the area under the margin, mean over t of (z_y - max of other z): easier when higher, unbounded.

    Pleiss et al. 2020 (arXiv 2001.10528).

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. With
    `space="probabilities"` it is the margin of probabilities, in [-1, 1]. `ArgumentError` says what does not fit.

    >>> aum(np.array([[[2.0, 0.0]], [[0.0, 1.0]]]), np.array([0])).tolist()
    [0.5]
    """
    history, labels = first_epochs(history, labels, epochs, least=1)
    return mean_over(series(be.label_margin(space), history, labels))


def forgetting(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Count the steps from right to wrong: harder when higher, in 0 .. T.

    A sample that was never right gets T, more than any learned sample. Toneva et al. 2019 (arXiv 1812.05159).

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. T is
    at least 2. `ArgumentError` says what does not fit.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> forgetting(np.array([[right, wrong], [wrong, wrong], [right, wrong]]), np.array([0, 0])).tolist()
    [1.0, 3.0]
    """
    history, labels = first_epochs(history, labels, epochs, least=2)
    right = series(be.is_correct, history, labels) > 0
    forgotten = be.double(right[:-1] & ~right[1:]).sum(0)
    forgotten[~right.any(0)] = float(len(history))
    return forgotten


def correctness(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Compute the share of epochs in which the prediction is the label: easier when higher, in [0, 1].

    Held out, this is the estimate of the C-score (Jiang et al. 2021, arXiv 2002.03206).

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all.
    `ArgumentError` says what does not fit.

    >>> correctness(np.array([[[2.0, 0.0]], [[0.0, 1.0]]]), np.array([0])).tolist()
    [0.5]
    """
    history, labels = first_epochs(history, labels, epochs, least=1)
    return mean_over(series(be.is_correct, history, labels))


def confidence(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Compute the mean over t of p_y: easier when higher, in [0, 1].

    One axis of dataset maps (Swayamdipta et al. 2020, arXiv 2009.10795).

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all.
    `ArgumentError` says what does not fit.

    >>> confidence(np.log([[[0.5, 0.5]], [[0.9, 0.1]]]), np.array([0])).round(4).tolist()
    [0.7]
    """
    history, labels = first_epochs(history, labels, epochs, least=1)
    return mean_over(series(be.p_label, history, labels))


def variability(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Compute the standard deviation over t of p_y: worth more when higher, in [0, 1/sqrt 2].

    The other axis of dataset maps (Swayamdipta et al. 2020, arXiv 2009.10795).

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. T is
    at least 2. `ArgumentError` says what does not fit.

    >>> variability(np.log([[[0.5, 0.5]], [[0.9, 0.1]]]), np.array([0])).round(4).tolist()
    [0.2828]
    """
    history, labels = first_epochs(history, labels, epochs, least=2)
    return be.deviation(series(be.p_label, history, labels))


class _MeanOver(Course):
    """A score that is the mean over epochs of one number an observation."""

    kernel: ClassVar[Any]  # what is measured of the logits, a `be.Kernel`

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Measure one observation."""
        return rowwise(self.kernel, observation, labels)

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Add the measured number."""
        state["sum"][at] += be.to_numpy(self.measure(observation, labels))

    def value(self, state: State) -> FloatArray:
        """Divide the sum by the count."""
        mean: FloatArray = state["sum"] / state["count"]
        return mean


@dataclass(frozen=True, kw_only=True)
class Aum(_MeanOver):
    """`aum`, streaming.

    Args:
        space: margin of `"logits"` or of `"probabilities"`.

    Fails:
        Held out it is no better than in-sample (benchmarks/quality/results.md), since it reads margins over the whole
        course anyway. Logits of fold models have no common scale. Hardest-first collects label errors: if a tenth of
        the labels is wrong, two in three of the hardest tenth are wrong.
    """

    space: Space = "logits"

    name = "aum"
    direction = "easier"
    low, high = -math.inf, math.inf
    formula = "mean over t of (z_y - max over others of z)"
    source = "Pleiss et al. 2020 (arXiv 2001.10528)"

    def __post_init__(self) -> None:
        super().__post_init__()
        be.label_margin(self.space)  # refuses an unknown space

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Compute the label margin in the requested space."""
        return rowwise(be.label_margin(self.space), observation, labels)


@dataclass(frozen=True, kw_only=True)
class Correctness(_MeanOver):
    """`correctness`, streaming.

    Fails:
        It has T + 1 values only: with few epochs most samples tie, and the rule decides among them by id or at random.
    """

    name = "correctness"
    kernel = staticmethod(be.is_correct)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "share of observations with argmax p = y"
    source = "Jiang et al. 2021 (arXiv 2002.03206)"


@dataclass(frozen=True, kw_only=True)
class Confidence(_MeanOver):
    """`confidence`, streaming.

    Fails:
        Samples that are learned slowly and wrong labels look alike: both are low throughout. Models of different
        calibration are not on one scale.
    """

    name = "confidence"
    kernel = staticmethod(be.p_label)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "mean over t of p_y"
    source = "Swayamdipta et al. 2020 (arXiv 2009.10795)"


@dataclass(frozen=True, kw_only=True)
class Forgetting(Course):
    """`forgetting`, streaming.

    Fails:
        With few epochs: nearly all samples have the value 0 and tie. Held out, a sample that was never right counts as
        most forgotten, so hardest-first is worse held out than in-sample (benchmarks/quality/results.md).
    """

    name = "forgetting"
    direction = "harder"
    low, high = 0.0, math.inf
    formula = "number of right-to-wrong steps; never right: T"
    source = "Toneva et al. 2019 (arXiv 1812.05159)"
    least = 2

    def kept(self, m: int, classes: int) -> State:
        """Make the state: steps so far, whether the last prediction was right, and whether any was."""
        return {"steps": np.zeros(m, np.int32), "right": np.zeros(m, bool), "learned": np.zeros(m, bool)}

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Count the step from the last prediction to this one."""
        right = be.to_numpy(rowwise(be.is_correct, observation, labels)) > 0
        state["steps"][at] += state["right"][at] & ~right
        state["right"][at] = right
        state["learned"][at] |= right

    def value(self, state: State) -> FloatArray:
        """Return the number of steps, or T where no prediction was right."""
        return np.where(state["learned"], state["steps"], state["count"]).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Variability(Course):
    """`variability`, streaming: mean and squared deviations, updated stably (Welford 1962).

    Fails:
        With few epochs, which give a poor estimate of a standard deviation: two scorings agree less than those of
        `el2n` (benchmarks/quality/results.md). In-sample, by worthiest first, it loses to random at high rates; held
        out it is among the best there.
    """

    name = "variability"
    direction = "worth"
    low, high = 0.0, 1 / math.sqrt(2)
    formula = "std over t of p_y, n - 1"
    source = "Swayamdipta et al. 2020 (arXiv 2009.10795)"
    least = 2

    def kept(self, m: int, classes: int) -> State:
        """Make the state: the running mean, and the sum of squared deviations from it."""
        return {"mean": np.zeros(m), "squares": np.zeros(m)}

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Update the mean, and add the squared deviation."""
        p = be.to_numpy(rowwise(be.p_label, observation, labels))
        before = p - state["mean"][at]
        state["mean"][at] += before / (state["count"][at] + 1)
        state["squares"][at] += before * (p - state["mean"][at])

    def value(self, state: State) -> FloatArray:
        """Return the standard deviation."""
        deviation: FloatArray = np.sqrt(state["squares"] / (state["count"] - 1))
        return deviation
