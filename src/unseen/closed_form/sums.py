"""Sums of products over rows: what a ridge regression needs of its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from unseen.types import FloatArray, IntArray

__all__ = ["Summing", "Sums"]


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
