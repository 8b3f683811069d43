"""The penalty of a softmax regression chosen by approximate leave-one-out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import logsumexp

from unseen import seeds
from unseen.errors import DataError
from unseen.learners.ridge.reading import Rows, by_id
from unseen.learners.softmax.leaving import left_alone, left_together
from unseen.learners.softmax.model import Model, trained
from unseen.types import FloatArray, IntArray

__all__ = ["GRID", "SAMPLE", "batches", "tuned"]

SAMPLE = 5_000  # rows that it is chosen on, at most
GRID = np.logspace(1, -5, 7)  # in units of the mean eigenvalue of Z'Z over the sample, Z its centred features
BATCH_BYTES = 2**26


def tuned(rows: Rows, among: IntArray, of: IntArray, seed: int, name: str) -> float:
    """The lambda of least log loss by approximate leave-one-out, on a sample of these rows drawn by (seed, id).

    Args:
        rows: the data set, read in float64.
        among: int64 rows to draw from.
        of: int64 (n,) group of each row; groups leave together.
        seed: of the draw.
        name: of the fit, for messages.

    """
    data = rows.data
    ranked = seeds.order(seed, data.ids, "softmax")
    sample = by_id(data, ranked[np.isin(ranked, among, assume_unique=True)][:SAMPLE])
    x = rows.inputs(sample)
    scale = float(np.square(x - x.mean(axis=0)).sum() / x.shape[1]) or 1.0
    best, least, theta = GRID[0] * scale, np.inf, None
    for lam in GRID * scale:
        try:
            model = trained(rows, sample, lam, name, theta)
        except DataError:
            if theta is None:
                raise  # one class, or nothing to be solved at all
            break  # smaller ones are worse conditioned still
        theta = model.theta
        loss = _log_loss(model, x, model.codes(data.labels[sample]), of[sample])
        if loss < least:
            best, least = lam, loss
    return float(best)


def _log_loss(model: Model, x: FloatArray, y: IntArray, of: IntArray) -> float:
    """Mean over the rows; infinite where a step is no longer one."""
    x, inverse = model.design(x), model.problem.inverse(model.theta)
    _, group, size = np.unique(of, return_inverse=True, return_counts=True)
    logits, far = np.empty((len(x), len(model.theta))), np.zeros(len(x))
    alone = np.flatnonzero(size[group] == 1)
    for batch in batches(alone, model):
        logits[batch], far[batch] = left_alone(x[batch], y[batch], model.theta, inverse)
    for each in np.flatnonzero(size > 1):
        inside = np.flatnonzero(group == each)
        logits[inside], far[inside] = left_together(x[inside], y[inside], model.theta, inverse)
    if not np.isfinite(far).all():
        return np.inf
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]).mean())


def batches(rows: IntArray, model: Model) -> Iterator[IntArray]:
    """These rows in batches whose products with the inverse Hessian take no more than a stated memory."""
    batch = max(1, BATCH_BYTES // (8 * max(model.theta.size, len(model.theta) ** 2)))
    return (rows[start : start + batch] for start in range(0, len(rows), batch))
