"""What a softmax regression would say of a group without it: one Newton step from the solution over all rows.

For one row (Rad and Maleki 2020, doi:10.1111/rssb.12374), with M the inverse Hessian at the solution:

    z_i + G_i (I - D_i G_i)^-1 (p_i - y_i),   G_i = (I x x_i)' M (I x x_i),   D_i = diag(p_i) - p_i p_i'

A group of m rows is the same with blocks: G of (m C, m C), D block-diagonal. Copies of a row are one row of their
number: D_i times it, the residuals summed. A group of more than D distinct rows takes the step in theta itself,
(I - M H_g)^-1 M g, which is of (C D, C D).

Cost: n (C D)^2 for rows alone, after (C D)^3 for M.
"""

from __future__ import annotations

import numpy as np

from unseen.learners.softmax.solving import hessian_of, probabilities
from unseen.types import FloatArray, IntArray

__all__ = ["left_alone", "left_together"]


def left_alone(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logits of rows, each without itself.

    Args:
        x: float64 (m, D).
        y: int64 (m,) labels in 0..C-1.
        theta: float64 (C, D), the solution over all rows.
        inverse: float64 (C D, C D), of the Hessian there.

    Returns:
        Logits float64 (m, C), and by how much at most they were moved, float64 (m,); infinite where there is no step.

    """
    logits = x @ theta.T
    p = probabilities(logits)
    g = np.stack([_spread(x, part, len(theta)) @ x[:, :, None] for part in _rows_of(inverse, theta)], axis=1)[..., 0]
    return _moved(logits, g, _weights(p), p - np.eye(len(theta))[y])


def left_together(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, float]:
    """Logits float64 (m, C) of the rows of one group, without all of them; arguments and results as `left_alone`."""
    distinct, copy = np.unique(x, axis=0, return_inverse=True)
    copy = copy.reshape(-1)
    u, classes = len(distinct), len(theta)
    logits = distinct @ theta.T
    p = probabilities(logits)
    count = np.bincount(copy)
    residuals = count[:, None] * p
    np.subtract.at(residuals, (copy, y), 1.0)
    if u > x.shape[1]:
        taken = hessian_of(np.sqrt(count)[:, None] * distinct, p)
        gradient = inverse @ (residuals.T @ distinct).ravel()
        step = np.linalg.solve(np.eye(len(inverse)) - inverse @ taken, gradient).reshape(theta.shape)
        shift = distinct @ step.T
        return (logits + shift)[copy], float(np.abs(shift).max())
    # (u, C, C, u) to (u, C, u, C): between class c of one row and class k of another.
    g = np.stack([_spread(distinct, part, classes) @ distinct.T for part in _rows_of(inverse, theta)], axis=1)
    g = g.transpose(0, 1, 3, 2)
    weights = count[:, None, None] * _weights(p)
    product = np.einsum("icd,idjk->icjk", weights, g).reshape(u * classes, -1)
    moved, far = _solved(logits.reshape(1, -1), g.reshape(1, u * classes, -1), product[None], residuals.reshape(1, -1))
    return moved.reshape(u, classes)[copy], float(far[0])


def _rows_of(inverse: FloatArray, theta: FloatArray) -> list[FloatArray]:
    """The rows of each class, (D, C D)."""
    return np.split(inverse, len(theta))


def _spread(x: FloatArray, part: FloatArray, classes: int) -> FloatArray:
    """Rows times the blocks of one class with every class: (m, C, D)."""
    return (x @ part).reshape(len(x), classes, -1)


def _weights(p: FloatArray) -> FloatArray:
    """D of each row, (m, C, C)."""
    found: FloatArray = -p[:, :, None] * p[:, None, :]
    found[:, np.arange(p.shape[1]), np.arange(p.shape[1])] += p
    return found


def _moved(
    logits: FloatArray, g: FloatArray, weights: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    return _solved(logits, g, weights @ g, residuals)


def _solved(
    logits: FloatArray, g: FloatArray, product: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The logits + G (I - DG)^-1 residuals, for each of a batch, and the largest shift."""
    system = np.eye(g.shape[-1]) - product
    try:
        shift = (g @ np.linalg.solve(system, residuals[..., None]))[..., 0]
    except np.linalg.LinAlgError:  # one of the batch has no step: each by itself
        if len(logits) == 1:
            return logits, np.array([np.inf])
        each = [_solved(*(a[i : i + 1] for a in (logits, g, product, residuals))) for i in range(len(logits))]
        return np.concatenate([moved for moved, _ in each]), np.concatenate([far for _, far in each])
    return logits + shift, np.abs(shift).max(axis=1)
