"""Scores that compare models which saw a sample with models which did not, and models which did not among themselves.

Predictions are (R, n, C) logits of R models, with an (R, n) mask of what each was trained on. (Log probabilities are
logits too.) A sample that lacks a model on a side that is read gets NaN.
"""

from __future__ import annotations

import numpy as np

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores import _kernels as kernels
from unseen.scores._history import series
from unseen.types import Array

__all__ = [
    "disagreement",
    "entropy",
    "holdout_gap",
    "information",
    "memorization",
    "reducible",
]


def memorization(predictions: Array, labels: Array, in_train: Array, *, probabilities: bool = False) -> Array:
    """P[correct, in train] - P[correct, held out]: harder when higher, in [-1, 1].

    Feldman and Zhang 2020 (arXiv 2008.03703).

    Args:
        predictions: (R, n, C) logits of R models, NumPy or torch.
        labels: (n,) integers in 0 .. C - 1.
        in_train: bool (R, n), True where the model was trained on the sample.
        probabilities: the probability of the label in place of being correct.

    Returns:
        float64 (n,), NumPy or torch as the predictions are; NaN where a side has no model.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite predictions, a mask that is not bool.

    >>> predictions = np.array([[[9.0, 0.0]], [[0.0, 9.0]], [[9.0, 0.0]]])
    >>> memorization(predictions, np.array([0]), np.array([[True], [False], [True]])).tolist()
    [1.0]

    """
    predictions, labels, seen = _both_sides(predictions, labels, in_train)
    measured = series(kernels.p_label if probabilities else kernels.is_correct, predictions, labels)
    return _mean_where(measured, seen) - _mean_where(measured, ~seen)


def holdout_gap(predictions: Array, labels: Array, in_train: Array) -> Array:
    """Held-out loss less in-sample loss of models trained to the end: harder when higher, unbounded.

    High for memorised samples, wrong labels included.

    Args:
        predictions: (R, n, C) logits of R models, NumPy or torch.
        labels: (n,) integers in 0 .. C - 1.
        in_train: bool (R, n), True where the model was trained on the sample.

    Returns:
        float64 (n,), NumPy or torch as the predictions are; NaN where a side has no model.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite predictions, a mask that is not bool.

    >>> predictions = np.log([[[0.5, 0.5]], [[0.25, 0.75]]])
    >>> holdout_gap(predictions, np.array([0]), np.array([[True], [False]])).round(4).tolist()
    [0.6931]

    """
    predictions, labels, seen = _both_sides(predictions, labels, in_train)
    losses = series(kernels.loss, predictions, labels)
    return _mean_where(losses, ~seen) - _mean_where(losses, seen)


def reducible(early: Array, predictions: Array, labels: Array, in_train: Array) -> Array:
    """In-sample loss at an early epoch less held-out loss at the end: worth more when higher, unbounded.

    High where learning is still to be had. RHO-LOSS (Mindermann et al. 2022, arXiv 2206.07137), turned static.

    Args:
        early: (R, n, C) logits of R models at an early epoch, read where a model was trained on the sample.
        predictions: (R, n, C) logits of the same models at the end, read where it was not.
        labels: (n,) integers in 0 .. C - 1.
        in_train: bool (R, n), True where the model was trained on the sample.

    Returns:
        float64 (n,), NumPy or torch as the predictions are; NaN where a side has no model.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite predictions, a mask that is not bool.

    >>> early, final = np.log([[[0.25, 0.75]], [[0.5, 0.5]]]), np.log([[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> reducible(early, final, np.array([0]), np.array([[True], [False]])).round(4).tolist()
    [0.6931]

    """
    predictions, labels, seen = _both_sides(predictions, labels, in_train)
    early, _ = be.checked(be.like(be.as_array(early), predictions), labels, name="early", ndim=3)
    if early.shape != predictions.shape:
        raise ArgumentError(
            f"early must have the shape of predictions, {tuple(predictions.shape)}, got {tuple(early.shape)}"
        )
    in_sample = _mean_where(series(kernels.loss, early, labels), seen)
    return in_sample - _mean_where(series(kernels.loss, predictions, labels), ~seen)


def disagreement(predictions: Array, labels: Array | None = None, in_train: Array | None = None) -> Array:
    """Mutual information, entropy of the mean p less mean entropy over held-out models: worth more when higher.

    In nats, in [0, log C]. Label-free.

    Args:
        predictions: (R, n, C) logits of R models, at least 2, NumPy or torch.
        labels: not read; taken so that every score can be called alike.
        in_train: bool (R, n), True where the model was trained on the sample, and then not read; None: nowhere.

    Returns:
        float64 (n,), NumPy or torch as the predictions are; NaN where no model held the sample out.

    Raises:
        ArgumentError: wrong shapes, one model only, NaN or infinite predictions, a mask that is not bool.

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
        with np.errstate(invalid="ignore"):  # no model: 0 / 0 is the NaN that is meant
            mean = sum(w * q for w, q in zip(weight, p, strict=True)) / times
            own = sum(w * entropy(q) for w, q in zip(weight, p, strict=True)) / times
        out[part] = information(mean, own)
    return out


def _both_sides(predictions: Array, labels: Array | None, in_train: Array) -> tuple[Array, Array, Array]:
    """Checked predictions, labels and mask, all of one kind."""
    predictions, labels = be.checked(predictions, labels, name="predictions", ndim=3)
    mask = be.to_numpy(in_train)
    if mask.dtype != np.bool_ or mask.shape != tuple(predictions.shape[:2]):
        raise ArgumentError(
            f"in_train must be a bool mask (R, n) = {tuple(predictions.shape[:2])}, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return predictions, labels, be.like(mask, predictions)


def _mean_where(values: Array, mask: Array) -> Array:
    """Mean over models of (R, n) where the mask is set, NaN where it never is."""
    weight = be.double(mask)
    with np.errstate(invalid="ignore"):  # no model: 0 / 0 is the NaN that is meant
        return (values * weight).sum(0) / weight.sum(0)


def entropy(p: Array) -> Array:
    """Entropy of (C, m) probabilities."""
    return be.entr(p).sum(0)


def information(mean: Array, own: Array) -> Array:
    """Entropy of the mean less the mean entropy; rounding must not make it negative."""
    return be.namespace(mean).clip(entropy(mean) - own, 0.0, None)
