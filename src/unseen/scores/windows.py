"""Scores from sliding windows of epochs over the course of training.

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

from unseen.core.arrays import Array, FloatArray, IntArray
from unseen.core.observation import Observation
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import State, Windowed, check_window, first_epochs, mean_over, rowwise, series


def dyn_unc(history: Array, labels: Array, *, window: int = 10, epochs: int | None = None) -> Array:
    """Compute the dynamic uncertainty, mean over windows of std(p_y): worth more when higher, in [0, 1/sqrt 2].

    He et al. 2023 (arXiv 2306.05175).

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. T is
    at least `window`, the number J of epochs in a window, 2 or more. `ArgumentError` says what does not fit.

    >>> history = np.log([[[0.5, 0.5]], [[0.9, 0.1]], [[0.9, 0.1]]])
    >>> dyn_unc(history, np.array([0]), window=2).round(4).tolist()
    [0.1414]
    """
    check_window(window, 2)
    history, labels = first_epochs(history, labels, epochs, least=window)
    return mean_over(_windows(series(be.p_label, history, labels), window, be.deviation))


def dual(history: Array, labels: Array, *, window: int = 10, epochs: int | None = None) -> Array:
    """Compute the product of uncertainty and difficulty, averaged over windows: worth more when higher, in [0, 1).

    It is the mean over windows of std(p_y) x (1 - mean p_y). Cho et al. 2025 (arXiv 2502.06905), who use the first 30
    epochs on CIFAR and the first 60 on ImageNet.

    A (T, n, C) history of logits and (n,) labels give float64 (n,), by the first `epochs` epochs, or all. T is
    at least `window`, the number J of epochs in a window, 2 or more. `ArgumentError` says what does not fit.

    >>> history = np.log([[[0.5, 0.5]], [[0.9, 0.1]], [[0.9, 0.1]]])
    >>> dual(history, np.array([0]), window=2).round(4).tolist()
    [0.0424]
    """
    check_window(window, 2)
    history, labels = first_epochs(history, labels, epochs, least=window)
    return mean_over(_windows(series(be.p_label, history, labels), window, uncertain_and_hard))


def tdds(
    history: Array, labels: Array | None = None, *, window: int = 10, decay: float = 0.9, epochs: int | None = None
) -> Array:
    """Compute the temporal dual-depth score, how unevenly predictions change: worth more when higher, in [0, inf).

    KD_t = sum over c of abs(p_{t+1} (log p_{t+1} - log p_t)). A window of J epochs has J - 1 such values; its statistic
    is norm2 of (KD_t - their mean). Windows w = 0 .. W - 1 have the weights decay x (1 - decay)^(W - 1 - w).
    Zhang et al. 2024 (arXiv 2311.13613), where (T, J) depends on the share pruned: (90, 10), (70, 10), (60, 20),
    (20, 10), (10, 5) for 30, 50, 70, 80 and 90 %.

    A (T, n, C) history of logits gives float64 (n,), by the first `epochs` epochs, or all; labels are not read. T is at
    least `window`, the number J of epochs in a window, 3 or more; `decay`, in (0, 1], is the weight of the last window.
    `ArgumentError` says what does not fit.

    >>> history = np.log([[[0.5, 0.5]], [[0.9, 0.1]], [[0.9, 0.1]]])
    >>> tdds(history, window=3, decay=1.0).round(4).tolist()
    [0.4879]
    """
    check_window(window, 3)
    check_decay(decay)
    history, labels = first_epochs(history, labels, epochs, least=window)
    score: Array = 0.0
    for unevenness in _windows(_shifts(history), window - 1, norm_about_mean):
        score = decay * unevenness + (1.0 - decay) * score
    return score


# ---- statistics of one window, (J, n) in and (n,) out, which pure functions and streaming forms share ----


def uncertain_and_hard(p: Array) -> Array:
    """Compute the standard deviation times (1 - mean)."""
    return be.deviation(p) * (1.0 - p.mean(0))


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


def _shifts(history: Array) -> Array:
    """Compute KD of every two successive epochs, float64 (T - 1, n)."""
    out = be.empty((history.shape[0] - 1, history.shape[1]), history)
    for part in be.blocks(history[0]):
        before = be.log_softmax(be.class_first(history[0][part]))
        for t in range(len(out)):
            after = be.log_softmax(be.class_first(history[t + 1][part]))
            out[t, part] = shift(before, after)
            before = after
    return out


def _windows(series: Array, width: int, statistic: Callable[[Array], Array]) -> list[Array]:
    """Compute the statistic of every window, (n,) each."""
    return [statistic(series[w : w + width]) for w in range(len(series) - width + 1)]


def _push(ring: FloatArray, at: IntArray, turn: IntArray, values: FloatArray) -> IntArray:
    """Replace the oldest values in the ring buffer; return which of `at` now have a full ring."""
    width = ring.shape[1]
    ring[at, turn % width] = values
    return np.flatnonzero(turn + 1 >= width)


class _WindowMean(Windowed):
    """A score that is the mean over windows of a statistic of p_y."""

    # Of one window, (J, m) in and (m,) out; the order of epochs must not matter.
    statistic: ClassVar[Any]

    def kept(self, m: int, classes: int) -> State:
        """Make the state: the window, and the sum over windows."""
        return {"ring": np.zeros((m, self.window)), "sum": np.zeros(m)}

    def fold(self, state: State, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Slide the window, and add its statistic to the sum."""
        p = be.to_numpy(rowwise(be.p_label, observation, labels))
        full = at[_push(state["ring"], at, state["count"][at], p)]
        state["sum"][full] += self.statistic(state["ring"][full].T)

    def value(self, state: State) -> FloatArray:
        """Divide the sum by the number of windows."""
        mean: FloatArray = state["sum"] / (state["count"] - self.window + 1)
        return mean


@dataclass(frozen=True, kw_only=True)
class DynUnc(_WindowMean):
    """`dyn_unc`, streaming.

    Cost:
        A forward pass over the watch sets after every epoch that is read, besides the trainings. It keeps a
        window of J numbers a sample.

    Fails:
        If training is shorter than a window, it is refused. Epochs after convergence only dilute it: set `epochs`, the
        number of first epochs to read.
    """

    name = "dyn_unc"
    statistic = staticmethod(be.deviation)
    direction = "worth"
    low, high = 0.0, 1 / math.sqrt(2)
    formula = "mean over windows of std(p_y)"
    source = "He et al. 2023 (arXiv 2306.05175)"


@dataclass(frozen=True, kw_only=True)
class Dual(_WindowMean):
    """`dual`, streaming.

    Cost:
        A forward pass over the watch sets after every epoch that is read, besides the trainings. It keeps a
        window of J numbers a sample.

    Fails:
        By worthiest first at the highest rates: the rule `beta`, made for it, moves to easier samples there. Epochs
        after convergence dilute it: the paper reads the first 30 of 200 on CIFAR.
    """

    name = "dual"
    statistic = staticmethod(uncertain_and_hard)
    direction = "worth"
    low, high = 0.0, 1 / math.sqrt(2)
    formula = "mean over windows of std(p_y) x (1 - mean p_y)"
    source = "Cho et al. 2025 (arXiv 2502.06905)"


@dataclass(frozen=True, kw_only=True)
class Tdds(Windowed):
    """`tdds`, streaming.

    Args:
        decay: the weight of the last window.

    Cost:
        A forward pass over the watch sets after every epoch that is read, besides the trainings. It keeps the
        last probabilities of all C classes and a window of J - 1 numbers a sample.

    Fails:
        If (T, J) do not suit the pruning rate: the paper tunes them for each rate. With decay 0.9 the last two windows
        decide nearly everything, so early epochs hardly matter.
    """

    decay: float = 0.9

    name = "tdds"
    direction = "worth"
    low, high = 0.0, math.inf
    state = "O(C)"
    formula = "norm2 over a window of (KD_t - their mean), windows joined by exponential average"
    source = "Zhang et al. 2024 (arXiv 2311.13613)"
    label_free = True
    narrowest = 3

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
            after = be.to_numpy(be.log_softmax(be.class_first(be.as_array(observation.logits)[part])))
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
