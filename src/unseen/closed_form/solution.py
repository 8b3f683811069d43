"""A ridge regression solved, and what it says of rows: outputs and leverages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dtrtri

from unseen.closed_form.sums import Sums
from unseen.types import FloatArray

__all__ = ["LinAlgError", "Solution", "solve"]

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
