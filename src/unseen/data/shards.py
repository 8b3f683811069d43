"""Vectors in many files, read as they are needed: data of any size.

Labels, ids and groups are in memory, O(n); inputs stay where they are. Memory, beside these: the rows that are taken,
16 bytes a row once contents are hashed, and what the source keeps: nothing for npy files, which are memory maps or read
by ranges of bytes (`unseen.data.npy_shards`), and row groups within the memory limit for parquet
(`unseen.data.row_groups`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unseen.data.base import Samples
from unseen.data.content import Hashes, hash_all, hash_rows, single
from unseen.data.fingerprint import changed, sample_rows
from unseen.data.labelling import Labelling
from unseen.data.storage import Rows
from unseen.errors import DataError, some
from unseen.types import IntArray

__all__ = ["ShardedVectors", "VectorSource"]


class VectorSource(Protocol):
    """Where vectors are, shard by shard."""

    counts: Sequence[int]  # rows of each shard
    width: int
    mapped: bool  # whether `read` gives memory maps, which may change under way

    def read(self, shard: int) -> Rows:
        """Numbers (counts[shard], width) of any type: a memory map, rows of a store, or an array that may be kept.

        Raises:
            DataError: it is damaged, or has changed since the data set was opened.

        """

    def check(self) -> None:
        """Refuse files that have changed since the data set was opened: looks at each."""

    def name(self, shard: int, row: int) -> str:
        """How to tell people where row `row` of this shard is."""


class ShardedVectors(Samples):
    """Vectors, given as float32 (n, d), whose rows are those of several shards, in order.

    They are checked for NaN and infinite values in the pass that hashes their content, which the verbs make before any
    training (it finds the copies); without it, and until then, `take` checks what it reads.

    Args:
        source: the shards.
        labelled: ids, labels and groups.
        chosen: int64 (n,) ascending rows of the shards that belong to the data set; default all.
        **about: notes, files, feature_names.

    Raises:
        DataError: by `take`: a shard that is damaged or has changed, NaN or infinite values, named by row and shard.

    """

    in_memory = False

    def __init__(
        self, source: VectorSource, labelled: Labelling, *, chosen: IntArray | None = None, **about: Any
    ) -> None:
        super().__init__(labelled, **about)
        self.kind = "vector"
        self.dtype = np.dtype(np.float32)
        self.sample_shape = (source.width,)
        self._source, self._chosen = source, chosen
        self._starts = np.cumsum([0, *source.counts])
        self._known: Hashes | None = None
        self._sampled: Hashes | None = None

    @property
    def held_bytes(self) -> int:
        """What the source keeps, at most."""
        return min(len(self) * self.sample_bytes, getattr(self._source, "cache_bytes", 0))

    def take(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """These rows, float32 (m, d), in any order; fastest where they are consecutive."""
        return self._joined(len(rows), self._read(rows), np.float32)

    def check_unchanged(self) -> None:
        """Look at every file; of memory maps also at 256 samples, see `ArrayData.check_unchanged`."""
        self._source.check()
        if not self._source.mapped:
            return
        rows = sample_rows(len(self))
        hashes = hash_rows(self.as_kept(rows))
        if self._sampled is None:
            self._sampled = hashes if self._known is None else self._known[rows]
        other = np.flatnonzero((hashes != self._sampled).any(axis=1))
        if other.size:
            place = int(rows[other[0]] if self._chosen is None else self._chosen[rows[other[0]]])
            shard = int(np.searchsorted(self._starts, place, side="right")) - 1
            raise changed(self._source.name(shard, place - int(self._starts[shard])), "its content is another")

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Likewise, or float16 (m, d) where all that are read are."""
        read = list(self._read(rows))
        halves = all(values.dtype == np.float16 for _, values in read)
        return self._joined(len(rows), read, np.float16 if halves else np.float32)

    def _joined(
        self, m: int, read: Iterable[tuple[slice | IntArray, npt.NDArray[Any]]], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        taken = np.empty((m, *self.sample_shape), dtype)
        for at, values in read:
            taken[at] = values if values.dtype == dtype else single(values)
        return taken

    def _read(self, rows: IntArray) -> Iterator[tuple[slice | IntArray, npt.NDArray[Any]]]:
        """Where some of the rows belong, and their values: float16 as they are, others as float32."""
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows must be in 0..{len(self) - 1}, got {rows.min()}..{rows.max()}")
        places = rows if self._chosen is None else self._chosen[rows]
        for shard, at in self._by_shard(places):
            local = places[at] - self._starts[shard]
            run = len(local) == local[-1] - local[0] + 1 and bool((np.diff(local) == 1).all())
            array = self._source.read(shard)
            values = array[local[0] : local[-1] + 1] if run else array[local]
            values = values if values.dtype == np.float16 else single(values)
            if self._known is None and array.dtype.kind == "f":
                self._check_finite(values, rows[at], shard, local)
            yield at, values

    def _by_shard(self, places: IntArray) -> Iterator[tuple[int, slice | IntArray]]:
        """Each shard that is needed, and which of the places are in it."""
        of = np.searchsorted(self._starts, places, side="right") - 1
        order = None if (of[1:] >= of[:-1]).all() else np.argsort(of, kind="stable")
        ranked = of if order is None else of[order]
        cuts = np.flatnonzero(np.diff(ranked)) + 1
        for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(ranked)], strict=True):
            if end > start:
                yield int(ranked[start]), slice(start, end) if order is None else order[start:end]

    def _check_finite(self, values: npt.NDArray[Any], rows: IntArray, shard: int, local: IntArray) -> None:
        good = np.isfinite(values)
        if good.all():
            return
        bad = np.flatnonzero(~good.all(axis=1))

        def place(at: int) -> str:
            column = int(np.flatnonzero(~good[at])[0])
            name = column if self.feature_names is None else self.feature_names[column]
            return f"row {rows[at]} ({self._source.name(shard, int(local[at]))}), column {name} ({values[at, column]})"

        raise DataError(
            f"features must be finite, but {len(bad):,} of {len(values):,} rows read hold NaN or infinite values: "
            f"{some([place(at) for at in bad[:5].tolist()])}; drop these rows"
        )

    def _hashes(self) -> Hashes:
        if self._known is None:
            self._known = hash_all(len(self), self.sample_bytes, self.as_kept)
        return self._known
