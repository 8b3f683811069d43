"""What regressions without some rows say of them, without training these regressions."""

from __future__ import annotations

import numpy as np

from unseen.types import FloatArray, IntArray

__all__ = ["EveryLam", "left_alone", "left_out"]

BLOCK = 2**21  # outputs at a time: of 16 MB, whose memory is used again by the next


def left_out(
    outputs: FloatArray, targets: FloatArray, roots: FloatArray, of: IntArray, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """What the regressions without each group say of it.

    Args:
        outputs: float64 (m, C), those of the regression that was trained on these rows too.
        targets: float64 (m, C).
        roots: float64 (k, m), V with V'V = H.
        of: int64 (m,) group of each row; every group is here as a whole.
        weights: float64 (m,), those of which the roots were made too, or None.

    Returns:
        Outputs float64 (m, C), and the gap float64 (m,) of each row's group.

    """
    scale = 1.0 if weights is None else np.sqrt(weights)[:, None]
    residuals = scale * (targets - outputs)
    _, group, size = np.unique(of, return_inverse=True, return_counts=True)
    gap = 1.0 - (roots**2).sum(axis=0)
    alone = size[group] == 1
    with np.errstate(divide="ignore", invalid="ignore"):  # a gap of 0 is for the caller to judge
        residuals[alone] /= gap[alone, None]
        together = np.flatnonzero(~alone)
        together = together[np.argsort(group[together], kind="stable")]
        for rows in np.split(together, np.flatnonzero(np.diff(group[together])) + 1):
            if len(rows):
                residuals[rows], gap[rows] = _left_together(residuals[rows], roots[:, rows])
    return targets - residuals / scale, gap


def left_alone(outputs: FloatArray, labels: IntArray, leverages: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`left_out` where every row is a group of its own and targets are one-hot labels; `outputs` is overwritten.

    (The weight of a row cancels from its own residual.)
    """
    gap = 1.0 - leverages
    rows = np.arange(len(labels))
    outputs[rows, labels] -= 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        outputs /= gap[:, None].astype(outputs.dtype)
    outputs[rows, labels] += 1.0
    return outputs, gap


def _left_together(residuals: FloatArray, v: FloatArray) -> tuple[FloatArray, float]:
    """(I - V'V)^-1 times the residuals of one group, by whichever of V'V and VV' is smaller."""
    k, m = v.shape
    if m <= k:
        values, vectors = np.linalg.eigh(v.T @ v)
        return vectors @ ((vectors.T @ residuals) / (1.0 - values)[:, None]), float(1.0 - values[-1])
    values, vectors = np.linalg.eigh(v @ v.T)
    inner = vectors @ ((vectors.T @ (v @ residuals)) / (1.0 - values)[:, None])
    return residuals + v.T @ inner, float(1.0 - values[-1])


class EveryLam:
    """The regressions of every lambda on the same rows, from one eigendecomposition, and what they say of groups.

    Args:
        x: float64 (m, d); it is overwritten.
        y: float64 (m, C).
        of: int64 (m,) group of each row; groups leave together.
        weights: float64 (m,), or None: 1 each.

    """

    def __init__(self, x: FloatArray, y: FloatArray, of: IntArray, weights: FloatArray | None = None) -> None:
        self.y, self._of, self._weights = y, of, weights
        w = np.ones(len(x)) if weights is None else weights
        self._n = w.sum()
        x -= (w @ x) / self._n
        root = x if weights is None else np.sqrt(weights)[:, None] * x
        values, vectors = np.linalg.eigh(root.T @ root)
        self._values = np.maximum(values, 0.0)  # of a Gram matrix: below 0 by rounding only
        self._q = x @ vectors
        self._bias = (w @ y) / self._n
        self._cross = self._q.T @ (y if weights is None else weights[:, None] * y)
        _, group, size = np.unique(of, return_inverse=True, return_counts=True)
        alone, self._bound = np.flatnonzero(size[group] == 1), np.flatnonzero(size[group] > 1)
        step = max(1, BLOCK // y.shape[1])
        self._blocks = [alone[start : start + step] for start in range(0, len(alone), step)]

    @property
    def blocks(self) -> int:
        """How many blocks of rows there are, each to be worked on by itself."""
        return len(self._blocks) + bool(len(self._bound))

    def left_out(self, lam: float, block: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Rows, what the regressions without their groups say of them (m, C), and the gaps."""
        rows, off, gap = self.off(lam, block)
        off += self.y[rows]
        return rows, off, gap

    def off(self, lam: float, block: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Likewise, less the targets."""
        coefficients = self._cross / (self._values + lam)[:, None]
        if block == len(self._blocks):
            outputs, gap = self._left_together(self._bound, coefficients, lam)
            outputs -= self.y[self._bound]
            return self._bound, outputs, gap
        rows = self._blocks[block]
        q, weights = self._q[rows], 1.0 if self._weights is None else self._weights[rows]
        gap = 1.0 - weights * (1 / self._n + np.square(q) @ (1 / (self._values + lam)))
        outputs = q @ coefficients
        outputs += self._bias
        outputs -= self.y[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            outputs /= gap[:, None]
        return rows, outputs, gap

    def _left_together(self, rows: IntArray, coefficients: FloatArray, lam: float) -> tuple[FloatArray, FloatArray]:
        q, weights = self._q[rows], None if self._weights is None else self._weights[rows]
        first = np.full((1, len(rows)), self._n**-0.5)
        roots = np.concatenate([first, q.T / np.sqrt(self._values + lam)[:, None]])
        roots *= 1.0 if weights is None else np.sqrt(weights)
        return left_out(q @ coefficients + self._bias, self.y[rows], roots, self._of[rows], weights)
