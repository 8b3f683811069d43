"""Scores from several models: models that saw a sample against models that did not, and held-out models among them.

The pure functions take predictions, (R, n, C) logits of R models (log probabilities are logits too), labels, integers
(n,) in 0 .. C - 1, and `in_train`, a bool (R, n) mask of the samples that each model was trained on, of NumPy or torch.
They return float64 (n,), of the kind and on the device of the predictions; a sample without a model on a side that the
score reads gets NaN. They raise `ArgumentError` for wrong shapes, labels out of range, NaN or infinite predictions, and
a mask that is not bool.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unseen.core.arrays import Array, FloatArray, IntArray, as_numpy
from unseen.core.checks import at_least
from unseen.core.exposure import Observation, Side
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Means, Observed, Score, State, holds, require, rowwise, series

MEMORIZATION = "memorization"  # `stratified:cutoff=auto` reads this score too


def _both_sides(predictions: Array, labels: Array | None, in_train: Array) -> tuple[Array, Array, Array]:
    """Check predictions, labels and mask; return them as arrays of one kind."""
    predictions, labels = be.checked(predictions, labels, name="predictions")
    mask = as_numpy(in_train)
    if mask.dtype != np.bool_ or mask.shape != tuple(predictions.shape[:2]):
        raise ArgumentError(
            f"in_train must be a bool mask (R, n) = {tuple(predictions.shape[:2])}, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return predictions, labels, be.like(mask, predictions)


def _mean_where(values: Array, mask: Array) -> Array:
    """Compute the mean over models of (R, n) where the mask is set, NaN where it is set for none."""
    weight = be.double(mask)
    with np.errstate(invalid="ignore"):  # without a model, 0 / 0 gives NaN, as intended
        return (values * weight).sum(0) / weight.sum(0)


class _Sides(Observed):
    """A score that is the difference of one number of the last observation on each side.

    Cost: Two forward passes a model, over both sides; halves(r) trains 2 r models on half of the data each.
    """

    sides = ("unseen", "seen")

    def join(self, means: Means) -> FloatArray:
        """Subtract held out from in sample."""
        return np.asarray(means["seen"]["value"] - means["unseen"]["value"])


def memorization(predictions: Array, labels: Array, in_train: Array, *, probabilities: bool = False) -> Array:
    """Compute memorisation, P[correct, in train] - P[correct, held out]: harder when higher, in [-1, 1].

    (R, n, C) predictions, (n,) labels and the (R, n) mask `in_train` give float64 (n,). With `probabilities`, the
    probability of the label takes the place of 1 for a correct prediction. Feldman and Zhang 2020 (arXiv 2008.03703).
    `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> predictions = np.array([[[9.0, 0.0]], [[0.0, 9.0]], [[9.0, 0.0]]])
    >>> memorization(predictions, np.array([0]), np.array([[True], [False], [True]])).tolist()
    [1.0]
    """
    predictions, labels, seen = _both_sides(predictions, labels, in_train)
    measured = series(be.p_label if probabilities else be.is_correct, predictions, labels)
    return _mean_where(measured, seen) - _mean_where(measured, ~seen)


@dataclass(frozen=True, kw_only=True)
class Memorization(_Sides):
    """`memorization`, streaming.

    Fails: With few repeats: it has few different values, and most samples tie at 0. Hardest-first collects wrong
    labels, which a model gets right only by memorising (benchmarks/quality/results.md: 16 points below random at 80 %
    on CIFAR-10).
    """

    probabilities: bool = False

    name = MEMORIZATION
    direction = "harder"
    low, high = -1.0, 1.0
    formula = "P[correct, in train] - P[correct, held out]"
    source = "Feldman and Zhang 2020 (arXiv 2008.03703)"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Return 1 for a correct prediction and else 0, or p_y."""
        return rowwise(be.p_label if self.probabilities else be.is_correct, observation, labels)


def holdout_gap(predictions: Array, labels: Array, in_train: Array) -> Array:
    """Compute held-out loss less in-sample loss at the end of training: harder when higher, unbounded.

    (R, n, C) predictions, (n,) labels and the (R, n) mask `in_train` give float64 (n,). Memorised samples score high,
    wrong labels included. `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> predictions = np.log([[[0.5, 0.5]], [[0.25, 0.75]]])
    >>> holdout_gap(predictions, np.array([0]), np.array([[True], [False]])).round(4).tolist()
    [0.6931]
    """
    predictions, labels, seen = _both_sides(predictions, labels, in_train)
    losses = series(be.loss, predictions, labels)
    return _mean_where(losses, ~seen) - _mean_where(losses, seen)


@dataclass(frozen=True, kw_only=True)
class HoldoutGap(_Sides):
    """`holdout_gap`, streaming.

    Fails: As a measure of worth: wrong labels are memorised first of all. At 80 % pruned, hardest-first loses 27 points
    to random on CIFAR-10 (benchmarks/quality/results.md). A single outlying loss can make a high score.
    """

    name = "holdout_gap"
    direction = "harder"
    low, high = -math.inf, math.inf
    from_loss = True
    formula = "held-out loss - in-sample loss"
    source = "generalisation gap of one sample; after Feldman and Zhang 2020"

    def join(self, means: Means) -> FloatArray:
        """Subtract in sample from held out."""
        return np.asarray(means["unseen"]["value"] - means["seen"]["value"])


def reducible(early: Array, predictions: Array, labels: Array, in_train: Array) -> Array:
    """Compute in-sample loss at an early epoch less held-out loss at the end: worth more when higher, unbounded.

    (R, n, C) predictions at an `early` epoch and at the end, (n,) labels and the (R, n) mask `in_train` give float64
    (n,). Samples that can be learned but are not learned yet score high. This is a static form of RHO-LOSS (Mindermann
    et al. 2022, arXiv 2206.07137). `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> early, final = np.log([[[0.25, 0.75]], [[0.5, 0.5]]]), np.log([[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> reducible(early, final, np.array([0]), np.array([[True], [False]])).round(4).tolist()
    [0.6931]
    """
    predictions, labels, seen = _both_sides(predictions, labels, in_train)
    early, _ = be.checked(be.like(be.as_array(early), predictions), labels, name="early")
    if early.shape != predictions.shape:
        raise ArgumentError(
            f"early must have the shape of predictions, {tuple(predictions.shape)}, got {tuple(early.shape)}"
        )
    in_sample = _mean_where(series(be.loss, early, labels), seen)
    return in_sample - _mean_where(series(be.loss, predictions, labels), ~seen)


@dataclass(frozen=True, kw_only=True)
class Reducible(_Sides):
    """`reducible`, streaming; `epoch` is the early one of the in-sample loss, counted from 1 and before the last.

    Cost: A forward pass over the training samples after the early epoch, and one over the held-out samples at the end;
    halves(r) trains 2 r models on half of the data each.

    Fails: The epoch must be given, and matters: too early nothing is learned yet, too late everything is. In strata it
    loses 10 points to random at 80 % on CIFAR-10 (benchmarks/quality/results.md): its low tail is long and holds the
    outliers.
    """

    epoch: int

    name = "reducible"
    direction = "worth"
    low, high = -math.inf, math.inf
    from_loss = True
    formula = "in-sample loss at an early epoch - held-out loss at the end"
    source = "after RHO-LOSS, Mindermann et al. 2022 (arXiv 2206.07137)"

    def __post_init__(self) -> None:
        at_least("epoch of reducible", self.epoch, 1)

    @property
    def least_epochs(self) -> int:
        """One more than the early epoch."""
        return self.epoch + 1

    def epochs_read(self, side: Side) -> tuple[int, ...]:
        """Return the early epoch in sample, and none held out, for the last observation."""
        return (self.epoch,) if side == "seen" else ()


def disagreement(predictions: Array, labels: Array | None = None, in_train: Array | None = None) -> Array:
    """Compute the mutual information of held-out models: worth more when higher, in [0, log C].

    It is the entropy of the mean p less the mean entropy, in nats. (R, n, C) predictions, R at least 2, give float64
    (n,); labels are not read; without `in_train`, all models count as held out. Houlsby et al. 2011 (arXiv 1112.5745).
    `ArgumentError` refuses wrong shapes, NaN and infinite logits.

    >>> disagreement(np.log([[[0.9, 0.1]], [[0.1, 0.9]]])).round(4).tolist()
    [0.3681]
    """
    if in_train is None:
        in_train = np.zeros(tuple(np.shape(predictions))[:2], bool)
    predictions, _, seen = _both_sides(predictions, labels, in_train)
    if len(predictions) < 2:
        raise ArgumentError(f"predictions must hold at least 2 models to disagree, got {len(predictions)}")
    out = be.empty(predictions.shape[1], predictions)
    for part in be.blocks(predictions[0]):
        p = [be.softmax(be.class_first(model[part])) for model in predictions]
        weight = be.double(~seen[:, part])
        times = weight.sum(0)
        with np.errstate(invalid="ignore"):  # without a model, 0 / 0 gives NaN, as intended
            mean = sum(w * q for w, q in zip(weight, p, strict=True)) / times
            own = sum(w * entropy(q) for w, q in zip(weight, p, strict=True)) / times
        out[part] = information(mean, own)
    return out


def entropy(p: Array) -> Array:
    """Compute the entropy of (C, m) probabilities."""
    return be.entr(p).sum(0)


def information(mean: Array, own: Array) -> Array:
    """Compute the entropy of the mean less the mean entropy, at least 0 in spite of rounding."""
    return be.namespace(mean).clip(entropy(mean) - own, 0.0, None)


@dataclass(frozen=True, kw_only=True)
class Disagreement(Score):
    """`disagreement` of the last observations, from all repeats at once.

    Cost: At least two repeats of the plan, so twice its trainings; the state holds the last probabilities of all C
    classes for each sample of a fit.

    Fails: With two models it is a rough estimate. It is one point above random on CIFAR-10 up to half pruned and three
    below at 80 % (benchmarks/quality/results.md): models also disagree about samples that cannot be learned.
    """

    name = "disagreement"
    direction = "worth"
    low, high = 0.0, math.inf
    state = "O(C)"
    formula = "entropy of the mean p - mean entropy, over repeats"
    source = "Houlsby et al. 2011 (arXiv 1112.5745)"
    label_free = True
    per_repeat = False
    least_repeats = 2

    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the state: the last p."""
        return {"p": np.zeros((m, classes)), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Replace the last p by this one."""
        if holds(observation, self.needs):
            logits = be.as_array(observation.logits)
            for part in be.blocks(logits):
                state["p"][at[part]] = as_numpy(be.softmax(be.class_first(logits[part]))).T
            state["count"][at] = 1

    def finish(self, state: State, side: Side) -> State:
        """Return the last p and its entropy."""
        require(self, state["count"], 1)
        return {"p": state["p"], "entropy": entropy(state["p"].T)}

    def join(self, means: Means) -> FloatArray:
        """Compute the entropy of the mean p less the mean entropy."""
        held_out = means["unseen"]
        return np.asarray(information(held_out["p"].T, held_out["entropy"]))
