"""A small sample of a data set, held in memory, and how long its samples took to read and to hash."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.data.content import hash_items, hash_rows
from unseen.data.part import Part
from unseen.protocols import Data
from unseen.types import IntArray

__all__ = ["Sampled", "sampled"]

MOST_ROWS = 32_768
MOST_BYTES = 2**29
READING_SECONDS = 4.0
PIECE = 256  # rows read at a time
RUNS = 32  # places of a data set in shards from which consecutive rows are taken
HASHED = 1_024  # rows


class Sampled(Part):
    """Rows of a data set that are held in memory, some of every class first. Copies are not looked for among them.

    Args:
        whole: the data set.
        rows: int64 (m,).
        inputs: those of these rows.
        random_seconds: seconds to read one row among others at random.
        run_seconds: seconds to read one row of consecutive ones.

    """

    def __init__(
        self, whole: Data, rows: IntArray, inputs: npt.NDArray[Any], random_seconds: float, run_seconds: float
    ) -> None:
        super().__init__(whole, rows)
        self._inputs = inputs
        self.in_memory = True
        self.random_seconds = random_seconds
        self.run_seconds = run_seconds

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """The inputs of these rows of the sample."""
        taken: npt.NDArray[Any] = self._inputs[np.asarray(rows)]
        return taken

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Likewise: they are not read again from the whole."""
        return self.take(rows)

    def duplicate_groups(self) -> None:
        """None: to find copies, all of the data set would have to be read."""

    @property
    def bytes_each(self) -> float:
        """Bytes of one input in memory."""
        if self.dtype.kind != "O":
            return self._inputs.nbytes / len(self)
        some = self._inputs[:HASHED].reshape(-1)
        return sum(8 + sys.getsizeof(value) for value in some) / min(len(self), HASHED)

    @property
    def held_bytes(self) -> float:
        """Bytes of all inputs of the whole data set that are in memory."""
        if self.dtype.kind != "O" and hasattr(self.whole, "held_bytes"):
            return float(self.whole.held_bytes)
        return len(self.whole) * self.bytes_each if getattr(self.whole, "in_memory", True) else 0.0

    def hash_seconds(self) -> float:
        """Seconds to hash one input, as is done to find copies."""
        some = self._inputs[:HASHED]
        start = perf_counter()
        if self.dtype.kind == "O":
            hash_items(repr(row).encode() for row in some)
        else:
            hash_rows(some)
        return (perf_counter() - start) / len(some)


@dataclass
class _Reader:
    """Reads pieces until time or room is out."""

    data: Data
    seconds: float = 0.0
    room: int = MOST_BYTES

    def read(self, pieces: list[IntArray]) -> list[tuple[IntArray, npt.NDArray[Any]]]:
        read: list[tuple[IntArray, npt.NDArray[Any]]] = []
        for rows in pieces:
            start = perf_counter()
            inputs = self.data.take(rows)
            self.seconds += perf_counter() - start
            self.room -= inputs.nbytes
            read.append((rows, inputs))
            # Whatever it takes, there are some rows; a classifier needs a few hundred for any answer.
            if self.seconds > READING_SECONDS or self.room < 0:
                break
        return read


def sampled(data: Data, seed: int) -> Sampled:
    """A sample of at most 32,768 rows, 512 MiB and about 4 s of reading.

    Drawn at random, except from data in shards: there consecutive rows from 32 places, since reading single rows would
    read all shards.
    """
    n, in_shards = len(data), data.kind == "vector" and not getattr(data, "in_memory", True)
    rng = seeds.generator(seed, "estimate")
    if in_shards:
        length = max(1, min(MOST_ROWS, n) // RUNS)
        starts = np.unique(rng.integers(0, max(1, n - length + 1), RUNS) // length * length)
        rng.shuffle(starts)
        pieces = [np.arange(start, min(start + length, n)) for start in starts.tolist()]
    else:
        chosen = rng.choice(n, min(MOST_ROWS, n), replace=False)
        pieces = [chosen[at : at + PIECE] for at in range(0, len(chosen), PIECE)]
    reader = _Reader(data)
    read = reader.read(pieces)
    rows = np.concatenate([rows for rows, _ in read])
    inputs = np.concatenate([inputs for _, inputs in read])
    each = reader.seconds / len(rows)
    other = _timed(data, rng.choice(n, min(64, n), replace=False) if in_shards else np.arange(min(PIECE, n)))
    rows, inputs = _two_classes(data, rows, inputs)
    order = _classes_first(data.labels[rows], rng)
    return Sampled(data, rows[order], inputs[order], *((other, each) if in_shards else (each, other)))


def _two_classes(data: Data, rows: IntArray, inputs: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    """With a row of another class, if all of these are of one."""
    labels = data.labels[rows]
    others = np.flatnonzero(data.labels != labels[0])[:1] if (labels == labels[0]).all() else rows[:0]
    if not len(others):
        return rows, inputs
    return np.concatenate([rows, others]), np.concatenate([inputs, data.take(others)])


def _classes_first(labels: IntArray, rng: np.random.Generator) -> IntArray:
    """An order that begins with two samples of each class, so that every part of it that is not tiny has them all."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    of = labels[by_class]
    place = np.arange(len(of)) - np.searchsorted(of, of)  # within its class
    first = by_class[np.argsort(place, kind="stable")][: int((place < 2).sum())]
    rest: IntArray = order[~np.isin(order, first)]
    return np.concatenate([first, rest])


def _timed(data: Data, rows: IntArray) -> float:
    start = perf_counter()
    data.take(rows)
    return (perf_counter() - start) / len(rows)
