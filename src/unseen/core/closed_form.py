"""Sums of products over rows: what a ridge regression needs of its data.

A ridge regression solved, and what it says of rows: outputs and leverages.

What regressions without some rows say of them, without training these regressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dtrtri
from scipy.sparse import csr_array

from unseen.core.arrays import FloatArray, IntArray

__all__ = ["EveryLam", "LinAlgError", "Solution", "Summing", "Sums", "left_alone", "left_out", "solve"]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over rows, about a centre; they add over blocks and shards, and subtract.

    Args:
        n: the number of rows, or the sum of their weights.
        centre: float64 (d,), subtracted from each row.
        rows: float64 (d,), the sum of x.
        targets: float64 (C,), the sum of y.
        gram: float64 (d, d), the sum of x x'.
        cross: float64 (d, C), the sum of x y'.

    """

    n: float
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

    def take_in(self, other: Sums) -> Sums:
        """`self + other`, in the arrays of one of them, which must be nobody else's."""
        if not self.n:
            return other
        for mine, theirs in zip(self._sums(), other._sums(), strict=True):
            mine += theirs
        return Sums(self.n + other.n, self.centre, *self._sums())

    def centred(self) -> Sums:
        """The same rows about their own mean."""
        mean = self.rows / self.n
        gram = np.outer(self.rows, mean)
        np.subtract(self.gram, gram, out=gram)  # in its place: large new arrays are dear
        return Sums(
            self.n,
            self.centre + mean,
            np.zeros_like(mean),
            self.targets,
            gram,
            self.cross - np.outer(mean, self.targets),
        )

    def _sums(self) -> tuple[FloatArray, ...]:
        return self.rows, self.targets, self.gram, self.cross


class Summing:
    """Sums under way.

    Args:
        centre: float64 (d,).
        width: C, the columns of y.
        arrays: zeros (d, d) and (C, d) that it adds in, or None: some of its own.

    """

    def __init__(self, centre: FloatArray, width: int, arrays: tuple[FloatArray, FloatArray] | None = None) -> None:
        d = len(centre)
        self._centre = centre
        self._n = 0.0
        self._rows, self._targets = np.zeros(d), np.zeros(width)
        self._gram, self._cross = (np.zeros((d, d)), np.zeros((width, d))) if arrays is None else arrays

    @classmethod
    def several(cls, count: int, centre: FloatArray, width: int) -> list[Summing]:
        """So many, in arrays of one piece: the system gives these in large pages, and small ones are dear."""
        d = len(centre)
        arrays = zip(np.zeros((count, d, d)), np.zeros((count, width, d)), strict=True)
        return [cls(centre, width, each) for each in arrays]

    def add(self, x: FloatArray, y: Any, weights: FloatArray | None = None) -> None:
        """Add one block.

        Args:
            x: float32 or float64 (m, d); the products are made in this type.
            y: float (m, C), dense or a scipy sparse array.
            weights: float64 (m,), or None: 1 each.

        """
        z = x - self._centre.astype(x.dtype)
        if weights is None:
            weighted, root = z, z
            self._n += float(len(z))
            self._targets += y.sum(axis=0)
        else:
            weighted, root = weights.astype(x.dtype)[:, None] * z, np.sqrt(weights).astype(x.dtype)[:, None] * z
            self._n += float(weights.sum())
            self._targets += y.T @ weights
        self._rows += weighted.sum(axis=0, dtype=np.float64)
        self._cross += y.T @ weighted
        self._gram += root.T @ root  # NumPy sees that it is symmetric

    def add_labels(self, x: FloatArray, labels: IntArray, weights: FloatArray | None = None) -> None:
        """Add one block whose y are one-hot labels int64 (m,)."""
        m = len(labels)
        hot = csr_array((np.ones(m, x.dtype), labels, np.arange(m + 1)), shape=(m, len(self._targets)))
        self.add(x, hot, weights)

    def sums(self) -> Sums:
        """The sums over all blocks, in the arrays that they were added in."""
        return Sums(self._n, self._centre, self._rows, self._targets, self._gram, self._cross.T)


PANEL = 128  # columns that are whitened at a time


@dataclass(frozen=True, eq=False)
class Solution:
    """A ridge regression that is solved.

    Args:
        n: the number of rows it was trained on, or the sum of their weights.
        mean: float64 (d,), that of those rows.
        bias: float64 (C,), the output at the mean.
        weights: float64 (d, C).
        factor: float64 (d, d), lower Cholesky factor of Z'Z + lam I; what is above its diagonal means nothing.

    """

    n: float
    mean: FloatArray
    bias: FloatArray
    weights: FloatArray
    factor: FloatArray
    _other: dict[np.dtype[Any], Solution] = field(default_factory=dict, init=False, repr=False)

    def outputs(self, x: FloatArray) -> FloatArray:
        """Raw outputs (m, C) of x (m, d), in the type of x."""
        own = self._as(x)
        return own._outputs(x - own.mean)

    def outputs_and_leverages(self, x: FloatArray, weights: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Both, in one go."""
        own = self._as(x)
        z = x - own.mean
        return own._outputs(z), own._leverages(z, weights)

    def roots(self, x: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """V (d + 1, m) with V'V = H of the rows x (m, d), in the type of x."""
        own = self._as(x)
        first = np.full((1, len(x)), self.n**-0.5, dtype=x.dtype)
        v = np.concatenate([first, *(some.T for some in own._whitened(x - own.mean))])
        if weights is not None:
            v *= np.sqrt(weights).astype(x.dtype)
        return v

    def leverages(self, x: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """The diagonal of H, float64 (m,): how much of its own output each row is."""
        own = self._as(x)
        return own._leverages(x - own.mean, weights)

    def without_factor(self) -> Solution:
        """For outputs only, in a fraction of the memory."""
        return Solution(self.n, self.mean, self.bias, self.weights, np.empty((0, 0)))

    def freedom(self, sums: Sums, lam: float) -> float:
        """The trace of H: how many parameters are as good as free."""
        values = np.linalg.eigvalsh(sums.centred().gram)
        return float(1 + (values / (values + lam)).sum())

    def residual(self, sums: Sums, squares: float) -> float:
        """The residual sum of squares, all outputs together; `squares` is that of the targets."""
        own = sums.centred()
        bias = own.targets @ own.targets / own.n
        fitted = 2 * np.sum(self.weights * own.cross) - np.sum(self.weights * (own.gram @ self.weights))
        return float(squares - bias - fitted)

    def _outputs(self, z: FloatArray) -> FloatArray:
        outputs: FloatArray = z @ self.weights
        outputs += self.bias
        return outputs

    def _leverages(self, z: FloatArray, weights: FloatArray | None) -> FloatArray:
        leverages = np.full(len(z), 1 / self.n)
        for v in self._whitened(z):
            leverages += np.einsum("mk,mk->m", v, v)
        return leverages if weights is None else weights * leverages

    def _whitened(self, z: FloatArray) -> Iterator[FloatArray]:
        """The factor solved for each row of z (m, d): some columns (m, PANEL) at a time.

        By its inverse, panel by panel, in products of NumPy's, which unlike SciPy's let other threads go on.
        """
        for start in range(0, z.shape[1], PANEL):
            end = start + PANEL
            yield z[:, :end] @ self._inverse[start:end, :end].T

    @cached_property
    def _inverse(self) -> FloatArray:
        """Of the factor, in the type of the weights."""
        inverse, _ = dtrtri(self.factor, lower=True)  # a Cholesky factor has no zero on its diagonal
        lower: FloatArray = np.tril(inverse).astype(self.weights.dtype, copy=False)
        return lower

    def _as(self, x: FloatArray) -> Solution:
        """The same in the type of x."""
        if x.dtype == self.mean.dtype:
            return self
        if x.dtype not in self._other:
            mean, bias, weights = (a.astype(x.dtype) for a in (self.mean, self.bias, self.weights))
            self._other[x.dtype] = Solution(self.n, mean, bias, weights, self.factor)
        return self._other[x.dtype]


def solve(sums: Sums, lam: float) -> Solution:
    """Solve by Cholesky.

    Raises:
        LinAlgError: lam is too small to make Z'Z + lam I positive definite in float64.

    """
    own = sums.centred()
    a = own.gram.T  # symmetric, and in the order that LAPACK works on in place
    a[np.diag_indices_from(a)] += lam
    factor, lower = cho_factor(a, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve((factor, lower), own.cross, check_finite=False)
    return Solution(own.n, own.centre, own.targets / own.n, np.ascontiguousarray(weights), factor)


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
