"""Rows of a data set as the closed form takes them: in blocks, by id, checked, of one type.

Sums over the rows that fits are trained on, from those over all rows where that is nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.closed_form import LinAlgError, Solution, Sums, solve
from unseen.core.protocols import Data
from unseen.core.threads import ahead, for_each, one_thread_each
from unseen.errors import DataError, some
from unseen.learners.ridge.products import Adding, Answers, OnCpu, Products, answers_of

__all__ = ["BLOCK_BYTES", "Known", "Piece", "Rows", "by_id", "remains", "solved"]


T = TypeVar("T")

# Of a block of inputs or outputs in float64: small enough that its memory is used again by the next block, where
# that of larger ones would be given back and cleared by the system each time.
BLOCK_BYTES = 2**24
MUCH_BYTES = 2**27  # of a block, as it is read, where it is divided
# Sums under way side by side, for as many threads; numbers of their own, so that sums do not depend on these.
AT_ONCE = 8
LANES = 4  # at most, of the same rows: each takes memory
TOGETHER = 64  # pieces between two reports of what is done

_reading = Lock()  # a data set is read by one thread at a time: it may hold files, and what it decoded last


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows that one thread works on, of a block that is read.

    Args:
        rows: int64 (m,).
        parts: where their inputs are, in their order: what the data set gave at a time, and int64 places in it, or
            None: all of it.

    """

    rows: IntArray
    parts: tuple[tuple[npt.NDArray[Any], IntArray | None], ...]

    def by(self, key: IntArray) -> Iterator[tuple[int, Piece]]:
        """Of a block: the keys (m,) that there are, ascending, and the rows of each."""
        order, starts = np.argsort(key, kind="stable"), np.cumsum([0, *(len(taken) for taken, _ in self.parts)])
        for inside in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            by_part = np.split(inside, np.searchsorted(inside, starts[1:-1]))
            parts = zip(self.parts, by_part, starts.tolist(), strict=False)
            found = tuple((taken, own - start) for (taken, _), own, start in parts if len(own))
            yield int(key[inside[0]]), Piece(self.rows[inside], found)

    def inputs(self, dtype: npt.DTypeLike) -> FloatArray:
        """The vectors (m, d)."""
        parts = [taken if inside is None else taken[inside] for taken, inside in self.parts]
        return np.asarray(parts[0], dtype) if len(parts) == 1 else np.concatenate(parts, dtype=dtype)


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
        """Likewise where a block is divided into so many parts, of d rows each if that takes little memory."""
        d = int(self.data.sample_shape[0])
        most = max(MUCH_BYTES // (4 * d), parts * d // 4)  # as read; the latter is an eighth of as many sums
        return max(self.block, min(d * parts, most))

    def summed_block(self, places: int) -> int:
        """Likewise where it is divided into sums, of 2 d rows each: see `block`."""
        return self.block_of(2 * places)

    @property
    def piece(self) -> int:
        """How many rows of a block are worked on by one thread."""
        return -(-self.block // 4) if self.products.side_by_side else self.block

    def inputs(self, rows: IntArray, dtype: Any = None) -> FloatArray:
        """The vectors (m, d) of these rows."""
        return self.inputs_of(self._taken(rows), dtype)

    def inputs_of(self, piece: Piece, dtype: Any = None) -> FloatArray:
        """The vectors (m, d) of rows that are read."""
        x = piece.inputs(dtype or self.dtype)
        if np.isfinite(x.sum()):  # then every entry is, and this is one pass of three
            return x
        finite = np.isfinite(x).all(axis=1)
        if not finite.all():
            raise DataError(
                "features must be finite, but they are NaN or infinite for ids "
                f"{some(self.data.ids[piece.rows[~finite]])}"
            )
        return x

    def targets(self, rows: IntArray) -> FloatArray:
        """What is to be predicted for these rows, float64: the labels, one-hot (m, C), or a target (m, 1)."""
        return self.answers.of(rows)

    def weights_of(self, rows: IntArray) -> FloatArray | None:
        """The weights float64 (m,) of these rows, if they have any."""
        return None if self.weights is None else self.weights[rows]

    def blocks(self, rows: IntArray, size: int | None = None) -> Iterator[IntArray]:
        """These rows by id, a block or so many at a time."""
        return _cut(by_id(self.data, rows), size or self.block)

    def pieces(self, rows: IntArray) -> Iterator[IntArray]:
        """These rows by id, a piece at a time."""
        return self.blocks(rows, self.piece)

    def read(self, blocks: Iterable[IntArray]) -> Iterator[Piece]:
        """Blocks that are read."""
        return map(self._taken, blocks)

    def through(self, pieces: Iterable[Piece], work: Callable[[IntArray, FloatArray], None]) -> Iterator[int]:
        """Do the work on the rows and inputs of each piece, side by side, the next being read meanwhile.

        Yields the rows done so far, some pieces at a time; then none is under way.
        """
        source, done = iter(pieces), 0
        while more := self._some(work, islice(source, TOGETHER)):
            done += more
            yield done

    def centre(self, rows: IntArray) -> FloatArray:
        """float64 (d,): a centre near the mean of these rows, so that sums about it lose no digits."""
        first = by_id(self.data, rows)[: self.block]
        centre: FloatArray = self.inputs(first).mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
        return centre

    def summed(self, rows: IntArray, centre: FloatArray | None = None) -> Sums:
        """The sums over any rows."""
        (total,) = self.summed_by(None, 1, rows, self.centre(rows) if centre is None else centre)
        return total

    def summed_by(self, place: IntArray | None, places: int, rows: IntArray, centre: FloatArray) -> list[Sums]:
        """Several sums, each over those of these rows that have its place.

        Where there are few, each is summed in several lanes, which take turns by the block and are added in the end.
        In each, blocks are added one after another, in their order.

        Args:
            place: int64 (n,) by row of the data set, 0 to places - 1, or None: all 0.
            places: of sums.
            rows: int64 (m,).
            centre: float64 (d,) of the sums.

        """
        made = self.products.adding(self.lanes(places) * places, centre, self.answers.width)
        lanes = [[(own, Lock()) for own in made[at : at + places]] for at in range(0, len(made), places)]

        def pieces() -> Iterator[tuple[Adding, Lock, Piece]]:
            for lane, block in zip(cycle(lanes), self.read(self.blocks(rows, self.summed_block(places))), strict=False):
                for at, piece in [(0, block)] if place is None else block.by(place[block.rows]):
                    own, turn = lane[at]
                    turn.acquire()  # pieces are made in their order, so they are added in it
                    yield own, turn, piece

        def add(work: tuple[Adding, Lock, Piece]) -> None:
            own, turn, piece = work
            try:
                self.answers.add(own, piece.rows, self.inputs_of(piece), self.weights_of(piece.rows))
            finally:
                turn.release()

        with one_thread_each():
            self._each(add, pieces())
        first, *others = ([one.sums() for one, _ in lane] for lane in lanes)
        for lane in others:
            first = [mine.take_in(theirs) for mine, theirs in zip(first, lane, strict=True)]
        return first

    def lanes(self, places: int) -> int:
        """How many sums are made side by side for each place."""
        return min(LANES, -(-AT_ONCE // places)) if self.products.side_by_side else 1

    def _some(self, work: Callable[[IntArray, FloatArray], None], pieces: Iterator[Piece]) -> int:
        """Do the work on these; gives how many rows they had."""
        rows = 0

        def counted() -> Iterator[Piece]:
            nonlocal rows
            for piece in pieces:
                rows += len(piece.rows)
                yield piece

        self._each(lambda piece: work(piece.rows, self.inputs_of(piece)), counted())
        return rows

    def _each(self, work: Callable[[T], None], pieces: Iterable[T]) -> None:
        """Side by side on a processor, one after another on a device; the next is read ahead, for a disk is slow."""
        coming = ahead(pieces)
        if self.products.side_by_side:
            for_each(work, coming)
            return
        for piece in coming:
            work(piece)

    def _taken(self, rows: IntArray) -> Piece:
        with _reading:
            return Piece(rows, tuple((self.data.as_kept(some_rows), None) for some_rows in _cut(rows, self.block)))


def by_id(data: Data, rows: IntArray) -> IntArray:
    """In the order of the ids, so that rounding does not depend on the order of the rows."""
    ids = data.ids[rows]
    if ids.dtype.kind in "iu" and (ids[1:] > ids[:-1]).all():
        return rows
    ordered: IntArray = rows[np.argsort(ids, kind="stable")]
    return ordered


def _cut(rows: IntArray, size: int) -> Iterator[IntArray]:
    """At least one, of these or no rows."""
    return (rows[start : start + size] for start in range(0, max(1, len(rows)), size))


# Sums are subtracted while this share of every column's squares remains: rounding grows by at most its inverse, to
# about 1e-13 relative. Below it, the sums are made anew.
REMAINING = 1e-3
MOST_ERROR = 0.01  # relative, of outputs by float32 products


@dataclass(eq=False)
class Known:
    """Sums over training sets: of few rows made anew, of many those over all rows less the others.

    Args:
        rows: the data set.

    """

    rows: Rows
    _whole: Sums | None = field(default=None, init=False)

    def over(self, rows: IntArray) -> Sums:
        """The sums over these rows, int64, ascending."""
        everything = np.arange(len(self.rows.data))
        if 2 * len(rows) <= len(everything):
            return self.rows.summed(rows)
        if self._whole is None:
            self._whole = self.rows.summed(everything)
        left = np.setdiff1d(everything, rows, assume_unique=True)
        if not len(left):
            return self._whole
        rest = self._whole - self.rows.summed(left, self._whole.centre)
        return rest if remains(rest, self._whole) else self.rows.summed(rows)


def remains(sums: Sums, of: Sums) -> bool:
    """Whether enough of the squares about the mean is left after a subtraction."""
    return bool((_squares(sums) >= REMAINING * _squares(of)).all())


def _squares(sums: Sums) -> FloatArray:
    """float64 (d,) about the mean; never below what rounding makes of 0."""
    squares: FloatArray = np.diag(sums.gram) - sums.rows**2 / sums.n
    return np.maximum(squares, 1e-15 * np.diag(sums.gram))


def solved(sums: Sums, lam: float, fit: str, *, precision: str = "float64") -> Solution:
    """The regression of these sums, or the reason why there is none."""
    if precision == "float32":
        _check_condition(sums, lam)
    try:
        return solve(sums, lam)
    except LinAlgError as error:
        raise DataError(
            f"lam={lam:.3g} is too small for fit {fit} ({sums.n:g} samples of {len(sums.centre)} features): the matrix "
            "is singular to working precision; raise lam, or use lam=auto"
        ) from error


def _check_condition(sums: Sums, lam: float) -> None:
    values = np.linalg.eigvalsh(sums.centred().gram)
    condition = (values[-1] + lam) / (max(values[0], 0.0) + lam)
    if condition * np.finfo(np.float32).eps > MOST_ERROR:
        raise DataError(
            f"precision='float32' is too coarse for these features at lam={lam:.3g}: the condition number is "
            f"{condition:.1g}, so outputs could be off by more than {MOST_ERROR:.0%}; use precision='float64', or "
            "raise lam"
        )
