"""Rows of a data set as the closed form takes them: in blocks, by id, checked, of one type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from unseen.closed_form import Sums
from unseen.errors import DataError, some
from unseen.learners.ridge.answers import Answers, answers_of
from unseen.learners.ridge.products import Adding, OnCpu, Products
from unseen.protocols import Data
from unseen.types import FloatArray, IntArray

__all__ = ["BLOCK_BYTES", "Rows", "by_id"]

# Of a block of inputs or outputs in float64: small enough that its memory is used again by the next block, where
# that of larger ones would be given back and cleared by the system each time.
BLOCK_BYTES = 2**24
PART = 1_024  # rows of a part of a block, about, where it is divided


@dataclass(frozen=True, eq=False)
class Rows:
    """A data set read for products.

    Args:
        data: vectors.
        dtype: of the products over rows, float64 or float32.
        weights: float64 (n,) of the rows, or None.
        products: where they are made.

    """

    data: Data
    dtype: np.dtype[Any]
    weights: FloatArray | None = None
    products: Products = field(default_factory=OnCpu)

    @cached_property
    def answers(self) -> Answers:
        """What is to be predicted."""
        return answers_of(self.data)

    @property
    def block(self) -> int:
        """How many rows at a time: a function of the shape alone, for the same sums on every machine."""
        d = int(self.data.sample_shape[0])
        # At least 2 d, so that adding up X'X costs little beside making it.
        return max(256, 2 * d, BLOCK_BYTES // (8 * max(d, self.answers.width)))

    def block_of(self, parts: int) -> int:
        """Likewise where a block is divided into so many parts, which should not be tiny."""
        if parts == 1:
            return self.block
        return max(self.block, min(PART * parts, 16 * BLOCK_BYTES // (8 * int(self.data.sample_shape[0]))))

    def inputs(self, rows: IntArray, dtype: Any = None) -> FloatArray:
        """The vectors (m, d) of these rows."""
        x = np.asarray(self.data.take(rows), dtype=dtype or self.dtype)
        if np.isfinite(x.sum()):  # then every entry is, and this is one pass of three
            return x
        finite = np.isfinite(x).all(axis=1)
        if not finite.all():
            raise DataError(
                f"features must be finite, but they are NaN or infinite for ids {some(self.data.ids[rows[~finite]])}"
            )
        return x

    def targets(self, rows: IntArray) -> FloatArray:
        """What is to be predicted for these rows, float64: the labels, one-hot (m, C), or a target (m, 1)."""
        return self.answers.of(rows)

    def weights_of(self, rows: IntArray) -> FloatArray | None:
        """The weights float64 (m,) of these rows, if they have any."""
        return None if self.weights is None else self.weights[rows]

    def blocks(self, rows: IntArray, parts: int = 1) -> Iterator[IntArray]:
        """These rows by id, a block at a time."""
        rows, size = by_id(self.data, rows), self.block_of(parts)
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def centre(self, rows: IntArray) -> FloatArray:
        """float64 (d,): a centre near the mean of these rows, so that sums about it lose no digits."""
        first = by_id(self.data, rows)[: self.block]
        centre: FloatArray = self.inputs(first).mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
        return centre

    def adding(self, centre: FloatArray) -> Adding:
        """Sums over no rows yet."""
        return self.products.adding(centre, self.answers.width)

    def add(self, sums: Adding, rows: IntArray) -> None:
        """Add one block."""
        self.answers.add(sums, rows, self.inputs(rows), self.weights_of(rows))

    def summed(self, rows: IntArray, centre: FloatArray | None = None) -> Sums:
        """The sums over any rows."""
        sums = self.adding(self.centre(rows) if centre is None else centre)
        for block in self.blocks(rows):
            self.add(sums, block)
        return sums.sums()


def by_id(data: Data, rows: IntArray) -> IntArray:
    """In the order of the ids, so that rounding does not depend on the order of the rows."""
    ids = data.ids[rows]
    if ids.dtype.kind in "iu" and (ids[1:] > ids[:-1]).all():
        return rows
    ordered: IntArray = rows[np.argsort(ids, kind="stable")]
    return ordered
