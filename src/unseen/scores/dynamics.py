"""Scores of training dynamics: statistics of a sample's predictions over T epochs, or windows of J of them.

The pure functions take histories, (T, n, C) logits, and labels, integers (n,) in 0 .. C - 1, of NumPy or torch. They
return float64 (n,), of the kind and on the device of the history, and raise `ArgumentError` for wrong shapes, labels
out of range, NaN or infinite logits, and fewer epochs than they need or are asked to use. Standard deviations divide by
n - 1. A window of J epochs slides by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unseen.core.arrays import Array, FloatArray, IntArray, as_numpy
from unseen.core.exposure import Observation
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Course, State, Windowed, check_window, first_epochs, mean_over, rowwise, series


def _mean_over_epochs(kernel: be.Kernel, history: Array, labels: Array, epochs: int | None) -> Array:
    history, labels = first_epochs(history, labels, epochs, least=1)
    return mean_over(series(kernel, history, labels))


class _MeanOver(Course):
    """A score that is the mean over epochs of one number an observation."""

    kernel: ClassVar[Any]  # what is measured of the logits, a `be.Kernel`

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        state["sum"][at] += as_numpy(rowwise(self.kernel, observation, labels))

    def value(self, state: State) -> FloatArray:
        return np.asarray(state["sum"] / state["count"])


def aum(history: Array, labels: Array, *, space: be.Space = "logits", epochs: int | None = None) -> Array:
    """Compute the area under the margin, mean over t of (z_y - max of other z): easier when higher, unbounded.

    (T, n, C) logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. With
    `space="probabilities"` it is the margin of probabilities, in [-1, 1]. Pleiss et al. 2020 (arXiv 2001.10528).
    `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> aum(np.array([[[2.0, 0.0]], [[0.0, 1.0]]]), np.array([0])).tolist()
    [0.5]
    """
    return _mean_over_epochs(be.label_margin(space), history, labels, epochs)


@dataclass(frozen=True, kw_only=True)
class Aum(_MeanOver):
    """`aum`, streaming.

    Fails: Held out it is no better than in-sample (benchmarks/quality/results.md), since it reads margins over the
    whole course anyway. Logits of fold models have no common scale. Hardest-first collects label errors: if a tenth of
    the labels is wrong, two in three of the hardest tenth are wrong.
    """

    space: be.Space = "logits"

    name = "aum"
    direction = "easier"
    low, high = -math.inf, math.inf
    formula = "mean over t of (z_y - max over others of z)"
    source = "Pleiss et al. 2020 (arXiv 2001.10528)"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kernel", be.label_margin(self.space))


def correctness(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Compute the share of epochs in which the prediction is the label: easier when higher, in [0, 1].

    (T, n, C) logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. Held out, this is the
    estimate of the C-score (Jiang et al. 2021, arXiv 2002.03206). `ArgumentError` refuses wrong shapes, labels out of
    range, NaN and infinite logits.

    >>> correctness(np.array([[[2.0, 0.0]], [[0.0, 1.0]]]), np.array([0])).tolist()
    [0.5]
    """
    return _mean_over_epochs(be.is_correct, history, labels, epochs)


@dataclass(frozen=True, kw_only=True)
class Correctness(_MeanOver):
    """`correctness`, streaming.

    Fails: It has T + 1 values only: with few epochs most samples tie, and the rule decides among them by id or at
    random.
    """

    name = "correctness"
    kernel = staticmethod(be.is_correct)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "share of observations with argmax p = y"
    source = "Jiang et al. 2021 (arXiv 2002.03206)"


def confidence(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Compute the mean over t of p_y: easier when higher, in [0, 1].

    (T, n, C) logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. This is one axis of
    dataset maps (Swayamdipta et al. 2020, arXiv 2009.10795). `ArgumentError` refuses wrong shapes, labels out of range,
    NaN and infinite logits.

    >>> confidence(np.log([[[0.5, 0.5]], [[0.9, 0.1]]]), np.array([0])).round(4).tolist()
    [0.7]
    """
    return _mean_over_epochs(be.p_label, history, labels, epochs)


@dataclass(frozen=True, kw_only=True)
class Confidence(_MeanOver):
    """`confidence`, streaming.

    Fails: Samples that are learned slowly and wrong labels look alike: both are low throughout. Models of different
    calibration are not on one scale.
    """

    name = "confidence"
    kernel = staticmethod(be.p_label)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "mean over t of p_y"
    source = "Swayamdipta et al. 2020 (arXiv 2009.10795)"


def forgetting(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Count the steps from right to wrong: harder when higher, in 0 .. T.

    (T, n, C) logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all; T is at least 2. A sample
    that was never right gets T, more than any learned sample. Toneva et al. 2019 (arXiv 1812.05159). `ArgumentError`
    refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> forgetting(np.array([[right, wrong], [wrong, wrong], [right, wrong]]), np.array([0, 0])).tolist()
    [1.0, 3.0]
    """
    history, labels = first_epochs(history, labels, epochs, least=2)
    right = series(be.is_correct, history, labels) > 0
    forgotten = be.double(right[:-1] & ~right[1:]).sum(0)
    forgotten[~right.any(0)] = float(len(history))
    return forgotten


@dataclass(frozen=True, kw_only=True)
class Forgetting(Course):
    """`forgetting`, streaming.

    Fails: With few epochs: nearly all samples have the value 0 and tie. Held out, a sample that was never right counts
    as most forgotten, so hardest-first is worse held out than in-sample (benchmarks/quality/results.md).
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
        right = as_numpy(rowwise(be.is_correct, observation, labels)) > 0
        state["steps"][at] += state["right"][at] & ~right
        state["right"][at] = right
        state["learned"][at] |= right

    def value(self, state: State) -> FloatArray:
        """Return the number of steps, or T where no prediction was right."""
        return np.where(state["learned"], state["steps"], state["count"]).astype(np.float64)


def variability(history: Array, labels: Array, *, epochs: int | None = None) -> Array:
    """Compute the standard deviation over t of p_y: worth more when higher, in [0, 1/sqrt 2].

    (T, n, C) logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all; T is at least 2. This is
    the other axis of dataset maps (Swayamdipta et al. 2020, arXiv 2009.10795). `ArgumentError` refuses wrong shapes,
    labels out of range, NaN and infinite logits.

    >>> variability(np.log([[[0.5, 0.5]], [[0.9, 0.1]]]), np.array([0])).round(4).tolist()
    [0.2828]
    """
    history, labels = first_epochs(history, labels, epochs, least=2)
    return be.deviation(series(be.p_label, history, labels))


@dataclass(frozen=True, kw_only=True)
class Variability(Course):
    """`variability`, streaming: mean and squared deviations, updated stably (Welford 1962).

    Fails: With few epochs, which give a poor estimate of a standard deviation: two scorings agree less than those of
    `el2n` (benchmarks/quality/results.md). In-sample, by worthiest first, it loses to random at high rates; held out it
    is among the best there.
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
        p = as_numpy(rowwise(be.p_label, observation, labels))
        before = p - state["mean"][at]
        state["mean"][at] += before / (state["count"][at] + 1)
        state["squares"][at] += before * (p - state["mean"][at])

    def value(self, state: State) -> FloatArray:
        """Return the standard deviation."""
        return np.asarray(np.sqrt(state["squares"] / (state["count"] - 1)))


# ---- windows of epochs ----------------------------------------------------------------------------------------------


def _windows(series: Array, width: int, statistic: Callable[[Array], Array]) -> list[Array]:
    return [statistic(series[w : w + width]) for w in range(len(series) - width + 1)]


def _push(ring: FloatArray, at: IntArray, turn: IntArray, values: FloatArray) -> IntArray:
    """Replace the oldest values in the ring buffer; return which of `at` now have a full ring."""
    width = ring.shape[1]
    ring[at, turn % width] = values
    return np.flatnonzero(turn + 1 >= width)


def _mean_over_windows(
    statistic: Callable[[Array], Array], history: Array, labels: Array, window: int, epochs: int | None
) -> Array:
    check_window(window, 2)
    history, labels = first_epochs(history, labels, epochs, least=window)
    return mean_over(_windows(series(be.p_label, history, labels), window, statistic))


class _WindowMean(Windowed):
    """A score that is the mean over windows of a statistic of p_y.

    Cost: A forward pass over the watch sets after every epoch that is read, besides the trainings. It keeps a window of
    J numbers a sample.
    """

    # Of one window, (J, m) in and (m,) out; the order of epochs must not matter.
    statistic: ClassVar[Any]

    def kept(self, m: int, classes: int) -> State:
        return {"ring": np.zeros((m, self.window)), "sum": np.zeros(m)}

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        p = as_numpy(rowwise(be.p_label, observation, labels))
        full = at[_push(state["ring"], at, state["count"][at], p)]
        state["sum"][full] += self.statistic(state["ring"][full].T)

    def value(self, state: State) -> FloatArray:
        return np.asarray(state["sum"] / (state["count"] - self.window + 1))


def dyn_unc(history: Array, labels: Array, *, window: int = 10, epochs: int | None = None) -> Array:
    """Compute the dynamic uncertainty, mean over windows of std(p_y): worth more when higher, in [0, 1/sqrt 2].

    (T, n, C) logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all; T is at least `window`,
    the number J of epochs in a window, 2 or more. He et al. 2023 (arXiv 2306.05175). `ArgumentError` refuses wrong
    shapes, labels out of range, NaN and infinite logits.

    >>> history = np.log([[[0.5, 0.5]], [[0.9, 0.1]], [[0.9, 0.1]]])
    >>> dyn_unc(history, np.array([0]), window=2).round(4).tolist()
    [0.1414]
    """
    return _mean_over_windows(be.deviation, history, labels, window, epochs)


@dataclass(frozen=True, kw_only=True)
class DynUnc(_WindowMean):
    """`dyn_unc`, streaming.

    Fails: If training is shorter than a window, it is refused. Epochs after convergence only dilute it: set `epochs`,
    the number of first epochs to read.
    """

    name = "dyn_unc"
    statistic = staticmethod(be.deviation)
    direction = "worth"
    low, high = 0.0, 1 / math.sqrt(2)
    formula = "mean over windows of std(p_y)"
    source = "He et al. 2023 (arXiv 2306.05175)"


def dual(history: Array, labels: Array, *, window: int = 10, epochs: int | None = None) -> Array:
    """Compute the product of uncertainty and difficulty, averaged over windows: worth more when higher, in [0, 1).

    (T, n, C) logits and (n,) labels give float64 (n,), the mean over windows of std(p_y) x (1 - mean p_y), by the first
    `epochs` epochs, or all; T is at least `window`, the number J of epochs in a window, 2 or more. Cho et al. 2025
    (arXiv 2502.06905) use the first 30 epochs on CIFAR and the first 60 on ImageNet. `ArgumentError` refuses wrong
    shapes, labels out of range, NaN and infinite logits.

    >>> history = np.log([[[0.5, 0.5]], [[0.9, 0.1]], [[0.9, 0.1]]])
    >>> dual(history, np.array([0]), window=2).round(4).tolist()
    [0.0424]
    """
    return _mean_over_windows(uncertain_and_hard, history, labels, window, epochs)


def uncertain_and_hard(p: Array) -> Array:
    """Compute the standard deviation times (1 - mean)."""
    return be.deviation(p) * (1.0 - p.mean(0))


@dataclass(frozen=True, kw_only=True)
class Dual(_WindowMean):
    """`dual`, streaming.

    Fails: With worthiest-first at the highest rates: the rule `beta`, made for it, prefers easier samples there. Epochs
    after convergence dilute it: the paper reads the first 30 of 200 on CIFAR.
    """

    name = "dual"
    statistic = staticmethod(uncertain_and_hard)
    direction = "worth"
    low, high = 0.0, 1 / math.sqrt(2)
    formula = "mean over windows of std(p_y) x (1 - mean p_y)"
    source = "Cho et al. 2025 (arXiv 2502.06905)"


def tdds(
    history: Array, labels: Array | None = None, *, window: int = 10, decay: float = 0.9, epochs: int | None = None
) -> Array:
    """Compute the temporal dual-depth score, how unevenly predictions change: worth more when higher, in [0, inf).

    KD_t = sum over c of abs(p_{t+1} (log p_{t+1} - log p_t)). A window of J epochs has J - 1 such values; its statistic
    is norm2 of (KD_t - their mean). Windows w = 0 .. W - 1 have the weights decay x (1 - decay)^(W - 1 - w).
    Zhang et al. 2024 (arXiv 2311.13613), where (T, J) depends on the share pruned: (90, 10), (70, 10), (60, 20),
    (20, 10), (10, 5) for 30, 50, 70, 80 and 90 %.

    (T, n, C) logits give float64 (n,), by the first `epochs` epochs, or all; labels are not read. T is at least
    `window`, the number J of epochs in a window, 3 or more; `decay`, in (0, 1], is the weight of the last window.
    `ArgumentError` refuses wrong shapes, NaN and infinite logits.

    >>> history = np.log([[[0.5, 0.5]], [[0.9, 0.1]], [[0.9, 0.1]]])
    >>> tdds(history, window=3, decay=1.0).round(4).tolist()
    [0.4879]
    """
    check_window(window, 3)
    check_decay(decay)
    history, labels = first_epochs(history, labels, epochs, least=window)
    shifts = be.empty((history.shape[0] - 1, history.shape[1]), history)  # KD of every two successive epochs
    for part in be.blocks(history[0]):
        before = be.log_softmax(be.class_first(history[0][part]))
        for t in range(len(shifts)):
            after = be.log_softmax(be.class_first(history[t + 1][part]))
            shifts[t, part] = shift(before, after)
            before = after
    score: Array = 0.0
    for unevenness in _windows(shifts, window - 1, norm_about_mean):
        score = decay * unevenness + (1.0 - decay) * score
    return score


def norm_about_mean(x: Array) -> Array:
    """Compute norm2 of x less its mean."""
    centred = x - x.mean(0)
    return be.namespace(x).sqrt((centred * centred).sum(0))


def shift(before: Array, after: Array) -> Array:
    """Compute KD of two (C, m) blocks of log probabilities."""
    xp = be.namespace(after)
    return xp.abs(xp.exp(after) * (after - before)).sum(0)


def check_decay(decay: float) -> None:
    """Refuse a decay outside (0, 1]."""
    if not 0.0 < decay <= 1.0:
        raise ArgumentError(f"decay must be in (0, 1], got {decay!r}")


@dataclass(frozen=True, kw_only=True)
class Tdds(Windowed):
    """`tdds`, streaming.

    Cost: A forward pass over the watch sets after every epoch that is read, besides the trainings. It keeps the last
    probabilities of all C classes and a window of J - 1 numbers a sample.

    Fails: If (T, J) do not suit the pruning rate: the paper tunes them for each rate. With decay 0.9 the last two
    windows decide nearly everything, so early epochs hardly matter.
    """

    decay: float = 0.9

    name = "tdds"
    direction = "worth"
    low, high = 0.0, math.inf
    state = "O(C)"
    formula = "norm2 over a window of (KD_t - their mean), windows joined by exponential average"
    source = "Zhang et al. 2024 (arXiv 2311.13613)"
    label_free = True
    least = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_decay(self.decay)

    def kept(self, m: int, classes: int) -> State:
        """Make the state: the last log p, a window of KD, and the running average."""
        return {"log_p": np.zeros((m, classes)), "ring": np.zeros((m, self.window - 1)), "average": np.zeros(m)}

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Slide the window of KD, and update the running average with its unevenness."""
        kd = np.empty(len(at))
        for part in be.blocks(observation.logits):
            after = as_numpy(be.log_softmax(be.class_first(be.as_array(observation.logits)[part])))
            kd[part] = shift(state["log_p"][at[part]].T, after)
            state["log_p"][at[part]] = after.T
        known = state["count"][at] > 0  # the first observation has no predecessor
        at, kd = at[known], kd[known]
        full = at[_push(state["ring"], at, state["count"][at] - 1, kd)]
        unevenness = norm_about_mean(state["ring"][full].T)
        state["average"][full] = self.decay * unevenness + (1.0 - self.decay) * state["average"][full]

    def value(self, state: State) -> FloatArray:
        """Return the running average."""
        return state["average"].copy()
