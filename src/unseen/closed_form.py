"""Ridge regression in closed form: sums of products, the solution, and what it says of samples left out.

With a bias column in X that is not penalised, A = X'X + lam R and H = X A^-1 X'. The bias is eliminated: about the
mean m of the training rows, W = (Z'Z + lam I)^-1 Z'Y with Z = X - m, outputs are ybar + Z W, and
H = 1/n + Z (Z'Z + lam I)^-1 Z'. Everything is float64. A group g of samples leaves together:

    f_g = Y_g - (I - H_gg)^-1 (Y_g - F_g)

(for one sample Y - (Y - F) / (1 - h), for m copies of leverage h (F - m h ybar) / (1 - m h)). Rounding is magnified by
the inverse of the `gap`, the smallest eigenvalue of I - H_gg: about 1e-16 / gap relative to the outputs.

Cost: n d^2 for the sums, d^3 / 3 for the solution, n d^2 for the leverages, n d C a set of outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from unseen.types import FloatArray, IntArray

__all__ = ["LinAlgError", "Solution", "Sums", "left_out", "left_out_by_lam", "solve", "sums_of"]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over rows, about a centre; they add over blocks and shards, and subtract.

    Args:
        n: the number of rows.
        centre: float64 (d,), subtracted from each row.
        rows: float64 (d,), the sum of x.
        targets: float64 (C,), the sum of y.
        gram: float64 (d, d), the sum of x x'.
        cross: float64 (d, C), the sum of x y'.

    """

    n: int
    centre: FloatArray
    rows: FloatArray
    targets: FloatArray
    gram: FloatArray
    cross: FloatArray

    @classmethod
    def zero(cls, centre: FloatArray, classes: int) -> Sums:
        """The sums over no rows."""
        d = len(centre)
        return cls(0, centre, np.zeros(d), np.zeros(classes), np.zeros((d, d)), np.zeros((d, classes)))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.centre, *(a + b for a, b in zip(self._sums(), other._sums(), strict=True)))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.n - other.n, self.centre, *(a - b for a, b in zip(self._sums(), other._sums(), strict=True)))

    def centred(self) -> Sums:
        """The same rows about their own mean."""
        mean = self.rows / self.n
        return Sums(
            self.n,
            self.centre + mean,
            np.zeros_like(mean),
            self.targets,
            self.gram - np.outer(self.rows, mean),
            self.cross - np.outer(mean, self.targets),
        )

    def _sums(self) -> tuple[FloatArray, ...]:
        return self.rows, self.targets, self.gram, self.cross


def sums_of(x: FloatArray, y: FloatArray, centre: FloatArray) -> Sums:
    """The sums over one block: x float64 (m, d), y float64 (m, C)."""
    z = x - centre
    return Sums(len(z), centre, z.sum(axis=0), y.sum(axis=0), z.T @ z, z.T @ y)


@dataclass(frozen=True, eq=False)
class Solution:
    """A ridge regression that is solved.

    Args:
        n: the number of rows it was trained on.
        mean: float64 (d,), that of those rows.
        bias: float64 (C,), the output at the mean.
        weights: float64 (d, C).
        factor: float64 (d, d), lower Cholesky factor of Z'Z + lam I.

    """

    n: int
    mean: FloatArray
    bias: FloatArray
    weights: FloatArray
    factor: FloatArray

    def outputs(self, x: FloatArray) -> FloatArray:
        """Raw outputs float64 (m, C) of x float64 (m, d)."""
        outputs: FloatArray = self.bias + (x - self.mean) @ self.weights
        return outputs

    def roots(self, x: FloatArray) -> FloatArray:
        """V float64 (d + 1, m) with V'V = H of the rows x float64 (m, d)."""
        v = solve_triangular(self.factor, (x - self.mean).T, lower=True, check_finite=False)
        return np.concatenate([np.full((1, len(x)), self.n**-0.5), v])


def solve(sums: Sums, lam: float) -> Solution:
    """Solve by Cholesky.

    Raises:
        LinAlgError: lam is too small to make Z'Z + lam I positive definite in float64.

    """
    own = sums.centred()
    a = own.gram.copy()
    a[np.diag_indices_from(a)] += lam
    factor, lower = cho_factor(a, lower=True, check_finite=False)
    weights = cho_solve((factor, lower), own.cross, check_finite=False)
    return Solution(own.n, own.centre, own.targets / own.n, weights, np.tril(factor))


def left_out(
    outputs: FloatArray, targets: FloatArray, roots: FloatArray, of: IntArray
) -> tuple[FloatArray, FloatArray]:
    """What the regressions without each group say of it.

    Args:
        outputs: float64 (m, C), those of the regression that was trained on these rows too.
        targets: float64 (m, C).
        roots: float64 (k, m), V with V'V = H.
        of: int64 (m,) group of each row; every group is here as a whole.

    Returns:
        Outputs float64 (m, C), and the gap float64 (m,) of each row's group.

    """
    residuals = targets - outputs
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
    return targets - residuals, gap


def _left_together(residuals: FloatArray, v: FloatArray) -> tuple[FloatArray, float]:
    """(I - V'V)^-1 times the residuals of one group, by whichever of V'V and VV' is smaller."""
    k, m = v.shape
    if m <= k:
        values, vectors = np.linalg.eigh(v.T @ v)
        return vectors @ ((vectors.T @ residuals) / (1.0 - values)[:, None]), float(1.0 - values[-1])
    values, vectors = np.linalg.eigh(v @ v.T)
    inner = vectors @ ((vectors.T @ (v @ residuals)) / (1.0 - values)[:, None])
    return residuals + v.T @ inner, float(1.0 - values[-1])


def left_out_by_lam(
    x: FloatArray, y: FloatArray, of: IntArray, lams: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """`left_out` of all rows x float64 (m, d) for one lambda after another, from one eigendecomposition."""
    z = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(z.T @ z)
    values = np.maximum(values, 0.0)  # of a Gram matrix: below 0 by rounding only
    q = (z @ vectors).T
    cross = q @ y
    first = np.full((1, len(x)), len(x) ** -0.5)
    for lam in lams:
        outputs = y.mean(axis=0) + q.T @ (cross / (values + lam)[:, None])
        yield left_out(outputs, y, np.concatenate([first, q / np.sqrt(values + lam)[:, None]]), of)
