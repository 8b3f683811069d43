"""Reading rows of a data set for the closed form, and sums of products over them.

`RowReader` reads rows in blocks, by id, checked and of one type, and sums their products. `SumCache` makes the sums
over the training rows of a fit from the sums over all rows where that takes less work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.closed_form import Solution, Sums, solve
from unseen.core.machine import ahead, for_each, one_thread_each
from unseen.core.protocols import Data
from unseen.errors import DataError, some
from unseen.learners.base import by_id
from unseen.learners.products import Answers, OnCpu, Products, SumBuilder, make_answers

T = TypeVar("T")

# A block of inputs or outputs in float64. It is so small that the next block uses its memory again; the system would
# take back and clear the memory of larger blocks each time.
BLOCK_BYTES = 2**24
MUCH_BYTES = 2**27  # of a block as it is read, where it is divided over several sums
# Sums that are made side by side. The number does not depend on the number of threads, so neither do the sums.
AT_ONCE = 8
LANES = 4  # the most sums of the same rows, since each takes memory
TOGETHER = 64  # pieces between two reports of progress

_reading = Lock()  # one thread at a time reads a data set, which may hold open files and its last decoded samples


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of a block that one thread works on."""

    rows: IntArray  # int64 (m,)
    # Their inputs, in their order: arrays from the data set, each with int64 positions in it, or None for the whole
    # array.
    parts: tuple[tuple[npt.NDArray[Any], IntArray | None], ...]

    def by(self, key: IntArray) -> Iterator[tuple[int, Piece]]:
        """Divide a block by a key (m,); yield each key that occurs, ascending, with its rows."""
        order, starts = np.argsort(key, kind="stable"), np.cumsum([0, *(len(taken) for taken, _ in self.parts)])
        for inside in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            by_part = np.split(inside, np.searchsorted(inside, starts[1:-1]))
            parts = zip(self.parts, by_part, starts.tolist(), strict=False)
            chosen = tuple((taken, own - start) for (taken, _), own, start in parts if len(own))
            yield int(key[inside[0]]), Piece(self.rows[inside], chosen)

    def inputs(self, dtype: npt.DTypeLike) -> FloatArray:
        """Return the vectors (m, d)."""
        parts = [taken if inside is None else taken[inside] for taken, inside in self.parts]
        return np.asarray(parts[0], dtype) if len(parts) == 1 else np.concatenate(parts, dtype=dtype)


@dataclass(frozen=True, eq=False)
class RowReader:
    """Reads rows of a data set, and makes sums of their products."""

    data: Data  # a data set of vectors
    dtype: np.dtype[Any]  # the type of the products over rows, float64 or float32
    weights: FloatArray | None = None  # float64 (n,) the weights of the rows, or None
    products: Products = field(default_factory=OnCpu)  # makes the products, on the processor or a GPU

    @cached_property
    def answers(self) -> Answers:
        """The answers that the regression predicts."""
        return make_answers(self.data)

    @property
    def block(self) -> int:
        """The number of rows of a block; it depends on the shape alone, for equal sums on every machine."""
        d = int(self.data.sample_shape[0])
        # At least 2 d rows, so that adding X'X to the sum costs little beside making it.
        return max(256, 2 * d, BLOCK_BYTES // (8 * max(d, self.answers.width)))

    def block_of(self, parts: int) -> int:
        """Return the number of rows of a block that is divided into parts, of d rows each if memory allows.

        Sums of several places take 2 d rows each, as `block` does.
        """
        d = int(self.data.sample_shape[0])
        most = max(MUCH_BYTES // (4 * d), parts * d // 4)  # the second is an eighth of the memory of the sums
        return max(self.block, min(d * parts, most))

    @property
    def piece(self) -> int:
        """The number of rows of a block that one thread works on."""
        return -(-self.block // 4) if self.products.side_by_side else self.block

    def take(self, rows: IntArray) -> Piece:
        """Read these rows from the data set."""
        with _reading:
            return Piece(rows, tuple((self.data.as_kept(some_rows), None) for some_rows in _cut(rows, self.block)))

    def inputs(self, rows: IntArray, dtype: Any = None) -> FloatArray:
        """Read the vectors (m, d) of these rows."""
        return self.inputs_of(self.take(rows), dtype)

    def inputs_of(self, piece: Piece, dtype: Any = None) -> FloatArray:
        """Return the vectors (m, d) of a piece; refuse NaN and infinite entries."""
        x = piece.inputs(dtype or self.dtype)
        if np.isfinite(x.sum()):  # then every entry is finite; this is one pass in place of three
            return x
        finite = np.isfinite(x).all(axis=1)
        if not finite.all():
            raise DataError(
                "features must be finite, but they are NaN or infinite for ids "
                f"{some(self.data.ids[piece.rows[~finite]])}"
            )
        return x

    def weights_of(self, rows: IntArray) -> FloatArray | None:
        """Return the weights of these rows, float64 (m,), or None."""
        return None if self.weights is None else self.weights[rows]

    def blocks(self, rows: IntArray, size: int | None = None) -> Iterator[IntArray]:
        """Yield these rows by id, a block or `size` rows at a time."""
        return _cut(by_id(self.data, rows), size or self.block)

    def pieces(self, rows: IntArray) -> Iterator[IntArray]:
        """Yield these rows by id, a piece at a time."""
        return self.blocks(rows, self.piece)

    def work_through(self, pieces: Iterable[Piece], work: Callable[[IntArray, FloatArray], None]) -> Iterator[int]:
        """Work on the rows and inputs of each piece, side by side, while the next piece is read.

        Yields the number of rows done so far, after every few pieces; at that moment no piece is in work.
        """
        source, done, before = iter(pieces), 0, -1

        def count_some() -> Iterator[Piece]:
            nonlocal done
            for piece in islice(source, TOGETHER):
                done += len(piece.rows)
                yield piece

        def work_on(piece: Piece) -> None:
            work(piece.rows, self.inputs_of(piece))

        while done > before:
            before = done
            self._work_on_each(work_on, count_some())
            if done > before:
                yield done

    def centre(self, rows: IntArray) -> FloatArray:
        """Return a centre near the mean of these rows, float64 (d,), so that sums about it lose no digits."""
        first = by_id(self.data, rows)[: self.block]
        centre: FloatArray = self.inputs(first).mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
        return centre

    def sum_over(self, rows: IntArray, centre: FloatArray | None = None) -> Sums:
        """Sum over any rows."""
        (total,) = self.sum_by_place(None, 1, rows, self.centre(rows) if centre is None else centre)
        return total

    def sum_by_place(self, place: IntArray | None, places: int, rows: IntArray, centre: FloatArray) -> list[Sums]:
        """Make as many sums as there are places; `place` (n,) is that of each row of the data set, or None for all 0.

        Where there are few places, each is summed in several lanes, which take turns by the block and are added at the
        end. In each lane, blocks are added one after another, in their order.
        """
        made = self.products.start_sums(self.lanes(places) * places, centre, self.answers.width)
        lanes = [[(own, Lock()) for own in made[at : at + places]] for at in range(0, len(made), places)]

        def pieces() -> Iterator[tuple[SumBuilder, Lock, Piece]]:
            for lane, block in zip(
                cycle(lanes), map(self.take, self.blocks(rows, self.block_of(2 * places))), strict=False
            ):
                for at, piece in [(0, block)] if place is None else block.by(place[block.rows]):
                    own, turn = lane[at]
                    turn.acquire()  # pieces are made in their order, so this adds them in their order
                    yield own, turn, piece

        def add(work: tuple[SumBuilder, Lock, Piece]) -> None:
            own, turn, piece = work
            try:
                self.answers.add(own, piece.rows, self.inputs_of(piece), self.weights_of(piece.rows))
            finally:
                turn.release()

        with one_thread_each():
            self._work_on_each(add, pieces())
        return add_sums([[own.sums() for own, _ in lane] for lane in lanes])

    def lanes(self, places: int) -> int:
        """Return how many sums are made side by side for each place."""
        return min(LANES, -(-AT_ONCE // places)) if self.products.side_by_side else 1

    def _work_on_each(self, work: Callable[[T], None], pieces: Iterable[T]) -> None:
        """Work on pieces, side by side on a processor or one by one on a device; read the next piece ahead."""
        coming = ahead(pieces)
        if self.products.side_by_side:
            for_each(work, coming)
            return
        for piece in coming:
            work(piece)


def _cut(rows: IntArray, size: int) -> Iterator[IntArray]:
    """Cut rows into blocks of this size; there is at least one block, which may be empty."""
    return (rows[start : start + size] for start in range(0, max(1, len(rows)), size))


# ---- sums over training rows, and their solution -------------------------------------------------------------------

# Sums are subtracted if this share of the squares of every column remains. Rounding errors grow by at most the inverse,
# to about 1e-13 relative. If less remains, the sums are made anew.
REMAINING = 1e-3
MOST_ERROR = 0.01  # the largest relative error of outputs by float32 products


def add_sums(sums: Sequence[Sequence[Sums]]) -> list[Sums]:
    """Add the sums of several parts, one after another, into the arrays of the first."""
    total = list(sums[0])
    for others in sums[1:]:
        total = [mine.take_in(theirs) for mine, theirs in zip(total, others, strict=True)]
    return total


@dataclass(eq=False)
class SumCache:
    """Sums over training rows: made anew for few rows, or for many rows from all rows by subtracting the others."""

    rows: RowReader  # the data set
    _whole: Sums | None = field(default=None, init=False)

    def over(self, rows: IntArray) -> Sums:
        """Return the sums over these rows, int64, ascending."""
        everything = np.arange(len(self.rows.data))
        if 2 * len(rows) <= len(everything):
            return self.rows.sum_over(rows)
        if self._whole is None:
            self._whole = self.rows.sum_over(everything)
        left = np.setdiff1d(everything, rows, assume_unique=True)
        if not len(left):
            return self._whole
        rest = self._whole - self.rows.sum_over(left, self._whole.centre)
        return rest if enough_remains(rest, self._whole) else self.rows.sum_over(rows)


def enough_remains(sums: Sums, of: Sums) -> bool:
    """Return whether enough of the squares about the mean is left after a subtraction."""
    return bool((_sum_squares(sums) >= REMAINING * _sum_squares(of)).all())


def _sum_squares(sums: Sums) -> FloatArray:
    """Return the sums of squares about the mean, float64 (d,), at least the rounding error of 0."""
    squares: FloatArray = np.diag(sums.gram) - sums.rows**2 / sums.n
    return np.maximum(squares, 1e-15 * np.diag(sums.gram))


def solve_or_refuse(sums: Sums, lam: float, fit: str, *, precision: str = "float64") -> Solution:
    """Solve the regression of these sums, or refuse with the reason."""
    if precision == "float32":
        values = np.linalg.eigvalsh(sums.centred().gram)
        condition = (values[-1] + lam) / (max(values[0], 0.0) + lam)
        if condition * np.finfo(np.float32).eps > MOST_ERROR:
            raise DataError(
                f"precision='float32' is too coarse for these features at lam={lam:.3g}: the condition number is "
                f"{condition:.1g}, so outputs could be off by more than {MOST_ERROR:.0%}; use precision='float64', or "
                "raise lam"
            )
    try:
        return solve(sums, lam)
    except LinAlgError as error:
        raise DataError(
            f"lam={lam:.3g} is too small for fit {fit} ({sums.n:g} samples of {len(sums.centre)} features): the matrix "
            "is singular to working precision; raise lam, or use lam=auto"
        ) from error
