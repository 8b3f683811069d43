"""Ridge regression in closed form, and its leave-one-out and leave-group-out predictions without refitting.

`Summing` adds up products over blocks of rows (`Sums`), and `solve` solves the regression of such sums (`Solution`).
`left_out` and `left_alone` give the predictions of the regressions that were trained without a group of rows, for the
rows of that group. `EveryLam` gives the same for every lambda.

H is the hat matrix, F = H Y, of regressions with an intercept; the diagonal of H are the leverages. The gap of a group
is the smallest eigenvalue of I - H_gg, for a single row 1 - h_ii. A gap near 0 means that the rows without the group do
not determine the prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dtrtri
from scipy.sparse import csr_array

from unseen.core.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of products over rows, about a centre. Sums of blocks and shards can be added and subtracted."""

    n: float  # the number of rows, or the sum of their weights
    centre: FloatArray  # float64 (d,), subtracted from each row
    rows: FloatArray  # float64 (d,), the sum of x
    targets: FloatArray  # float64 (C,), the sum of y
    gram: FloatArray  # float64 (d, d), the sum of x x'
    cross: FloatArray  # float64 (d, C), the sum of x y'

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.centre, *map(np.add, self._sums(), other._sums()))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.n - other.n, self.centre, *map(np.subtract, self._sums(), other._sums()))

    def take_in(self, other: Sums) -> Sums:
        """Return `self + other`, in the arrays of one of the two; nothing else may use these arrays."""
        if not self.n:
            return other
        for mine, theirs in zip(self._sums(), other._sums(), strict=True):
            mine += theirs
        return Sums(self.n + other.n, self.centre, *self._sums())

    def centred(self) -> Sums:
        """Return the sums over the same rows about their own mean."""
        mean = self.rows / self.n
        gram = np.outer(self.rows, mean)
        np.subtract(self.gram, gram, out=gram)  # in place: large new arrays are slow
        cross = self.cross - np.outer(mean, self.targets)
        return Sums(self.n, self.centre + mean, np.zeros_like(mean), self.targets, gram, cross)

    def freedom(self, lam: float) -> float:
        """Compute the trace of H for this lambda: the effective degrees of freedom."""
        values = np.linalg.eigvalsh(self.centred().gram)
        return float(1 + (values / (values + lam)).sum())

    def _sums(self) -> tuple[FloatArray, ...]:
        return self.rows, self.targets, self.gram, self.cross


class Summing:
    """An accumulator of `Sums` about a centre (d,), with C = `width` targets, block by block.

    It accumulates in `arrays`, zeros (d, d) and (C, d), if these are given.
    """

    def __init__(self, centre: FloatArray, width: int, arrays: tuple[FloatArray, FloatArray] | None = None) -> None:
        d = len(centre)
        self._centre = centre
        self._n = 0.0
        self._rows, self._targets = np.zeros(d), np.zeros(width)
        self._gram, self._cross = (np.zeros((d, d)), np.zeros((width, d))) if arrays is None else arrays

    @classmethod
    def several(cls, count: int, centre: FloatArray, width: int) -> list[Summing]:
        """Make several accumulators in one large array, which gets large memory pages; many small ones are slow."""
        d = len(centre)
        arrays = zip(np.zeros((count, d, d)), np.zeros((count, width, d)), strict=True)
        return [cls(centre, width, each) for each in arrays]

    def add(self, x: FloatArray, y: Any, weights: FloatArray | None = None) -> None:
        """Add one block: x float32 or float64 (m, d), whose type the products have, and y (m, C), dense or sparse."""
        z = x - self._centre.astype(x.dtype)
        if weights is None:
            weighted, root = z, z
            self._n += float(len(z))
            self._targets += y.sum(axis=0)
        else:
            weighted, root = weights.astype(x.dtype)[:, None] * z, np.sqrt(weights).astype(x.dtype)[:, None] * z
            self._n += float(weights.sum())
            self._targets += y.T @ weights
        self._rows += _sum_rows(weighted)
        self._cross += y.T @ weighted
        self._gram += root.T @ root  # NumPy uses the symmetry

    def add_labels(self, x: FloatArray, labels: IntArray, weights: FloatArray | None = None) -> None:
        """Add one block whose targets are one-hot labels int64 (m,)."""
        m = len(labels)
        hot = csr_array((np.ones(m, x.dtype), labels, np.arange(m + 1)), shape=(m, len(self._targets)))
        self.add(x, hot, weights)

    def sums(self) -> Sums:
        """Return the sums over all blocks; they share the arrays of this object."""
        return Sums(self._n, self._centre, self._rows, self._targets, self._gram, self._cross.T)


SUMMED = 256  # rows that are summed in their own type, at most


def _sum_rows(x: FloatArray) -> FloatArray:
    """Sum the rows of x (m, d) to float64 (d,).

    Groups of rows are summed by a product, which is faster than a sum, and the groups are added in float64.
    """
    whole = len(x) // SUMMED
    cut = whole * SUMMED
    parts = np.ones(SUMMED, x.dtype) @ x[:cut].reshape(whole, SUMMED, x.shape[1])
    total: FloatArray = parts.sum(axis=0, dtype=np.float64) + x[cut:].sum(axis=0, dtype=np.float64)
    return total


PANEL = 128  # number of columns that are whitened at a time


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved ridge regression."""

    n: float  # the number of training rows, or the sum of their weights
    mean: FloatArray  # float64 (d,), the mean of the training rows
    bias: FloatArray  # float64 (C,), the output at the mean
    weights: FloatArray  # float64 (d, C)
    factor: FloatArray  # float64 (d, d), lower Cholesky factor of Z'Z + lam I; entries above the diagonal are undefined
    _other: dict[np.dtype[Any], Solution] = field(default_factory=dict, init=False, repr=False)

    def outputs(self, x: FloatArray) -> FloatArray:
        """Compute raw outputs (m, C) of x (m, d), in the dtype of x."""
        own = self._as(x)
        return own._outputs(x - own.mean)

    def outputs_and_leverages(self, x: FloatArray, weights: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Compute raw outputs (m, C), and leverages, float64 (m,).

        The leverage of a row is the weight of its target in its own output: the diagonal of H.
        """
        own = self._as(x)
        z = x - own.mean
        leverages = np.full(len(z), 1 / own.n)
        for v in own._whitened(z):
            leverages += np.einsum("mk,mk->m", v, v)
        return own._outputs(z), leverages if weights is None else weights * leverages

    def roots(self, x: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """Compute V (d + 1, m) with V'V = H for the rows x (m, d), in the dtype of x."""
        own = self._as(x)
        first = np.full((1, len(x)), self.n**-0.5, dtype=x.dtype)
        v = np.concatenate([first, *(some.T for some in own._whitened(x - own.mean))])
        if weights is not None:
            v *= np.sqrt(weights).astype(x.dtype)
        return v

    def without_factor(self) -> Solution:
        """Return a copy without the factor: it gives outputs only, and takes a fraction of the memory."""
        return Solution(self.n, self.mean, self.bias, self.weights, np.empty((0, 0)))

    def residual(self, sums: Sums, squares: float) -> float:
        """Compute the residual sum of squares over all outputs; `squares` is the sum of squared targets."""
        own = sums.centred()
        bias = own.targets @ own.targets / own.n
        fitted = 2 * np.sum(self.weights * own.cross) - np.sum(self.weights * (own.gram @ self.weights))
        return float(squares - bias - fitted)

    def _outputs(self, z: FloatArray) -> FloatArray:
        outputs: FloatArray = z @ self.weights
        outputs += self.bias
        return outputs

    def _whitened(self, z: FloatArray) -> Iterator[FloatArray]:
        """Yield the rows of z (m, d) multiplied by the inverse of the factor, in panels of columns (m, PANEL).

        NumPy's product releases the interpreter lock; the triangular solvers of SciPy do not.
        """
        for start in range(0, z.shape[1], PANEL):
            end = start + PANEL
            yield z[:, :end] @ self._inverse[start:end, :end].T

    @cached_property
    def _inverse(self) -> FloatArray:
        """The inverse of the factor, in the dtype of the weights."""
        inverse, _ = dtrtri(self.factor, lower=True)  # a Cholesky factor has no zero on its diagonal
        lower: FloatArray = np.tril(inverse).astype(self.weights.dtype, copy=False)
        return lower

    def _as(self, x: FloatArray) -> Solution:
        """Return this solution in the dtype of x."""
        if x.dtype == self.mean.dtype:
            return self
        if x.dtype not in self._other:
            mean, bias, weights = (a.astype(x.dtype) for a in (self.mean, self.bias, self.weights))
            self._other[x.dtype] = Solution(self.n, mean, bias, weights, self.factor)
        return self._other[x.dtype]


def solve(sums: Sums, lam: float) -> Solution:
    """Solve a ridge regression by Cholesky decomposition; a LinAlgError if Z'Z + lam I is not positive definite."""
    own = sums.centred()
    a = own.gram.T  # symmetric; transposed, so that LAPACK can work in place
    a[np.diag_indices_from(a)] += lam
    factor, lower = cho_factor(a, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve((factor, lower), own.cross, check_finite=False)
    return Solution(own.n, own.centre, own.targets / own.n, np.ascontiguousarray(weights), factor)


# Below this gap, rounding errors would be above 1e-8 of the outputs: the regression without the group is solved anew.
LEAST_GAP = 1e-8
BLOCK = 2**20  # outputs at a time: 8 MB, of which little leaves the cache of a core


def left_out(
    outputs: FloatArray, targets: FloatArray, roots: FloatArray, groups: IntArray, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Compute leave-group-out predictions: for each group, the outputs of the regression trained without it.

    `outputs` (m, C) are those of the regression that was trained on these rows too. `roots` (k, m) is V with V'V = H;
    sample weights (m,) are also in it. `groups` (m,) has the group of each row; every group must be complete. The
    result are outputs, float64 (m, C), and the gap of each row's group, float64 (m,).
    """
    scale = 1.0 if weights is None else np.sqrt(weights)[:, None]
    residuals = scale * (targets - outputs)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    gap = 1.0 - (roots**2).sum(axis=0)
    alone = size[group] == 1
    with np.errstate(divide="ignore", invalid="ignore"):  # the caller checks for a gap of 0
        residuals[alone] /= gap[alone, None]
        together = np.flatnonzero(~alone)
        together = together[np.argsort(group[together], kind="stable")]
        for rows in np.split(together, np.flatnonzero(np.diff(group[together])) + 1):
            if len(rows):
                residuals[rows], gap[rows] = _leave_group_out(residuals[rows], roots[:, rows])
    return targets - residuals / scale, gap


def left_alone(outputs: FloatArray, labels: IntArray, leverages: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute leave-one-out predictions for one-hot labels; `outputs` is overwritten.

    This is `left_out` with one row a group. The weight of a row cancels from its own residual.
    """
    gap = 1.0 - leverages
    rows = np.arange(len(labels))
    outputs[rows, labels] -= 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        outputs /= gap[:, None].astype(outputs.dtype)
    outputs[rows, labels] += 1.0
    return outputs, gap


def _leave_group_out(residuals: FloatArray, v: FloatArray) -> tuple[FloatArray, float]:
    """Multiply the residuals of one group by (I - V'V)^-1, from the smaller one of V'V and VV'."""
    k, m = v.shape
    if m <= k:
        values, vectors = np.linalg.eigh(v.T @ v)
        return vectors @ ((vectors.T @ residuals) / (1.0 - values)[:, None]), float(1.0 - values[-1])
    values, vectors = np.linalg.eigh(v @ v.T)
    inner = vectors @ ((vectors.T @ (v @ residuals)) / (1.0 - values)[:, None])
    return residuals + v.T @ inner, float(1.0 - values[-1])


class EveryLam:
    """Leave-group-out predictions of ridge regressions with any lambda on the same rows, from one eigendecomposition.

    x, float64 (m, d), is overwritten; y is float64 (m, C). Rows of one group of `groups`, int64 (m,), are left out
    together.
    """

    def __init__(self, x: FloatArray, y: FloatArray, groups: IntArray, weights: FloatArray | None = None) -> None:
        w = np.ones(len(x)) if weights is None else weights
        self._n = w.sum()
        x -= (w @ x) / self._n
        root = x if weights is None else np.sqrt(weights)[:, None] * x
        values, vectors = np.linalg.eigh(root.T @ root)
        self._values = np.maximum(values, 0.0)  # a Gram matrix: below 0 by rounding only
        q = x @ vectors
        self._bias = (w @ y) / self._n
        self._cross = q.T @ (y if weights is None else weights[:, None] * y)
        _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
        grouped = size[group] > 1
        self._rows = np.argsort(grouped, kind="stable")  # single rows first, so that their blocks are views
        if grouped.any():
            q, y, groups = q[self._rows], y[self._rows], groups[self._rows]
            weights = None if weights is None else w[self._rows]
        self._q, self._y, self._groups, self._weights = q, y, groups, weights
        alone, step = int(np.count_nonzero(~grouped)), max(1, BLOCK // y.shape[1])
        self._blocks = [slice(start, min(alone, start + step)) for start in range(0, alone, step)]
        self._grouped = slice(alone, len(y))

    @property
    def blocks(self) -> int:
        """The number of blocks of rows; each can be computed independently."""
        return len(self._blocks) + (self._grouped.start < self._grouped.stop)

    def left_out(self, lam: float, block: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return the rows of a block, their leave-group-out predictions (m, C), and their gaps (m,)."""
        rows, off, gap, divisor = self._off(lam, block)
        with np.errstate(divide="ignore", invalid="ignore"):
            off /= divisor[:, None]
        off += self._y[rows]
        return self._rows[rows], off, gap

    def errors(self, lam: float, block: int) -> tuple[FloatArray, FloatArray]:
        """Return, for each row of a block, the weighted squared error of its prediction, and its gap."""
        rows, off, gap, divisor = self._off(lam, block)
        squares = np.einsum("ij,ij->i", off, off)
        with np.errstate(divide="ignore", invalid="ignore"):
            squares /= np.square(divisor)
        return squares if self._weights is None else self._weights[rows] * squares, gap

    def _off(self, lam: float, block: int) -> tuple[slice, FloatArray, FloatArray, FloatArray]:
        """Return the rows of a block, the errors of their predictions times a divisor, the gaps, and the divisor."""
        coefficients = self._cross / (self._values + lam)[:, None]
        rows = self._grouped if block == len(self._blocks) else self._blocks[block]
        q, y, weights = self._q[rows], self._y[rows], None if self._weights is None else self._weights[rows]
        outputs = q @ coefficients
        outputs += self._bias
        if block == len(self._blocks):
            first = np.full((1, len(q)), self._n**-0.5)
            roots = np.concatenate([first, q.T / np.sqrt(self._values + lam)[:, None]])
            roots *= 1.0 if weights is None else np.sqrt(weights)
            outputs, gap = left_out(outputs, y, roots, self._groups[rows], weights)
            outputs -= y
            return rows, outputs, gap, np.ones(len(q))
        leverages = 1 / self._n + np.square(q) @ (1 / (self._values + lam))
        gap = 1.0 - (leverages if weights is None else weights * leverages)
        outputs -= y
        return rows, outputs, gap, gap
