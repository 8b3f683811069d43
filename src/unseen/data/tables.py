"""Parquet files: images as Hugging Face writes them, feature columns, embeddings, text."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unseen.data.base import Samples
from unseen.data.columns import Roles, encoded, of_text, open_columns
from unseen.data.decoding import ImageOptions
from unseen.data.fingerprint import Files
from unseen.data.images import Encoded
from unseen.data.labelling import Labelling
from unseen.data.remote import storage_of
from unseen.data.row_groups import FolderColumns, ParquetVectors
from unseen.data.shards import ShardedVectors
from unseen.data.storage import Storage, opened_parquet
from unseen.errors import ArgumentError, DataError, some
from unseen.types import IntArray

__all__ = ["from_parquet"]

_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}(-.*)?\.parquet")


def from_parquet(
    path: str | Path,
    *,
    label: str | None = None,
    target: str | None = None,
    image: str | None = None,
    text: str | None = None,
    features: str | Sequence[str] | None = None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    image_size: int | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    on_error: Literal["raise", "skip"] = "raise",
    memory_limit: int | None = None,
    workers: int | None = None,
) -> Samples:
    """A parquet file, or all those below a folder, in order of their names; hidden ones are left out, with a note.

    Columns in the names of folders, as `label=a/split=train/1.parquet`, are read as `pyarrow.dataset` reads them.

    What the inputs are is found out unless one of `image`, `text` and `features` says it: a column of images
    (a struct of bytes and path) wins; else all columns that have no other role are features. One column of text is
    text; one column of lists of numbers is an embedding; columns of numbers without gaps are vectors, float32; anything
    else is a table, with None (also for NaN) where entries are missing.

    Columns that number the rows are no features unless `features` has them: an index that pandas wrote; and, of 10 rows
    or more, whole numbers that all differ and are in order, have no gaps, stand beside text, or have a usual name of
    row numbers. The notes say which columns are used and which are left out, and why.

    Args:
        path: the file or folder, or its URL in a store that fsspec knows.
        label: the column of labels; default `"label"`. Numbers get the names that Hugging Face keeps in the file, if it
            does.
        target: a column of numbers to regress on, in place of labels; see `from_arrays`.
        image: the column of images.
        text: the column of text.
        features: one or more columns of features.
        id: a column of ids; default the row number.
        group: a column of groups.
        split: only rows whose column `split` says so; or, in a folder, only the files `<split>-00000-of-00001.parquet`.
        image_size: as in `from_folder`, as are the following four; refused if there are no images.
        mode: see there.
        on_error: see there.
        memory_limit: bytes up to which decoded images, or vectors as float32, are kept in memory; default a quarter of
            the machine's memory. Larger data is read by row groups, as needed; taking it in random order is slow unless
            row groups are small or fit in the limit (images: encoded). Refused for text and tables.
        workers: see there.

    Raises:
        UnknownNameError: no such column; the message has the nearest names.
        DataError: a damaged file, missing labels, infinite features, images that cannot be read.
        MissingDependencyError: for a URL: fsspec, or its package for that store, is not installed.

    """
    source = ParquetSource(path, split)
    options = ImageOptions(image_size, mode, on_error, memory_limit, workers)
    source.bytes_in_memory = options.bytes_in_memory
    source.cache_bytes = options.bytes_in_memory // options.processes  # each worker of a learner has a copy
    return open_columns(source, Roles(label, image, text, features, id, group, target), options)


class ParquetSource:
    """The rows of some parquet files, of one split."""

    files: Files | None
    bytes_in_memory = cache_bytes = 0

    def __init__(self, path: str | Path, split: str | None) -> None:
        self.storage = storage_of(path, ".parquet", deep=True)
        names = self.storage.names("" if self.storage.single else ".parquet")
        if not names:
            raise DataError(f"the folder {path} holds no parquet files")
        by_shard = split is not None and any(_SHARD.fullmatch(Path(name).name) for name in names)
        self.names = names if self.storage.single else _of_split(names, split)
        self.files = self.storage.stamp(self.names)
        own, self.groups = _row_groups(self.storage, self.names)
        self.folders = FolderColumns(self.storage, self.names)
        self.schema = self.folders.added_to(own)
        self.notes: tuple[str, ...] = self.storage.notes
        self.reserved: frozenset[str] = frozenset({"split"} & set(self.schema.names))
        self.rows = np.arange(sum(count for *_, count in self.groups))
        self.parts = "split" if self.reserved and split is None else None
        if self.reserved:
            self._choose(split)
        elif split is not None and not by_shard:
            raise ArgumentError(f"split={split!r} needs a column 'split' or files named by split; {path} has neither")

    def _choose(self, split: str | None) -> None:
        column = self.read(["split"]).column(0)
        known = sorted(str(value) for value in pc.unique(column).to_pylist())
        if split is None:
            self.notes += (f"all splits are used: {some(known)}; split= chooses one",)
            return
        if split not in known:
            raise ArgumentError(f"split must be one of {some(known)}, got {split!r}")
        self.rows = np.flatnonzero(pc.equal(column.cast(pa.string()), split).fill_null(False).to_numpy())

    def read(self, names: Sequence[str]) -> pa.Table:
        """These columns of the chosen rows."""
        what, wrong = f"columns {some(names)} of {self.storage.root}", "cannot be read"
        tables = [
            self.folders.filled(at, self.storage.reading(what, wrong, partial(self._columns, file, list(names))), names)
            for at, file in enumerate(self.names)
        ]
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(f"{what} {wrong}: {error}") from error
        return of_text(table if len(self.rows) == len(table) else table.take(self.rows))

    def _columns(self, file: str, names: list[str]) -> pa.Table:
        with self.storage.opened(file) as opened:
            return pq.read_table(opened, columns=self.folders.others(names), partitioning=None)

    def head(self, names: Sequence[str]) -> pa.Table:
        """These columns of those rows that are in the first row group that has any."""
        starts = np.cumsum([0, *(count for *_, count in self.groups)])
        group = int(np.searchsorted(starts, self.rows[0], side="right")) - 1 if len(self.rows) else 0
        if group >= len(self.groups):
            return self.schema.empty_table().select(list(names))
        file, number, count = self.groups[group]
        what = f"row group {number} of {self.storage.where(self.names[file])}"

        def read() -> pa.Table:
            with opened_parquet(self.storage, self.names[file]) as parquet:
                return parquet.read_row_group(number, columns=self.folders.others(names), use_threads=False)

        table = self.folders.filled(file, self.storage.reading(what, "is damaged", read), names)
        local = self.rows - starts[group]
        return of_text(table.take(local[(local >= 0) & (local < count)]))

    def images(self, name: str) -> ParquetImages:
        """The encoded images of a column."""
        return ParquetImages(self.storage, self.names, self.groups, name, self.rows, self.cache_bytes)

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> ShardedVectors | None:
        """The vectors in these columns by row groups, if they are larger than the limit and have no gaps."""
        source = ParquetVectors(self.storage, self.names, self.groups, names, self.cache_bytes, self.folders)
        if source.gaps or len(self.rows) * source.width * 4 <= self.bytes_in_memory:
            return None
        chosen = self.rows if len(self.rows) < sum(source.counts) else None
        return ShardedVectors(source, labelled, chosen=chosen, feature_names=source.feature_names, **about)


class ParquetImages:
    """A column of encoded images, read by row groups; those read last stay in memory up to `cache_bytes`."""

    def __init__(
        self,
        storage: Storage,
        files: Sequence[str],
        groups: Sequence[tuple[int, int, int]],
        column: str,
        rows: IntArray,
        cache_bytes: int,
    ) -> None:
        self.storage, self.files, self.groups = storage, files, groups
        self.column, self.rows, self.cache_bytes = column, rows, cache_bytes
        self.starts = np.cumsum([0, *(count for *_, count in groups)])
        self._cache: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def read(self, rows: IntArray) -> list[Encoded]:
        """The encoded bytes."""
        places = self.rows[rows]
        group_of = np.searchsorted(self.starts, places, side="right") - 1
        found: list[Encoded] = [None] * len(places)
        for group in np.unique(group_of):
            column = self._group(int(group))
            for at in np.flatnonzero(group_of == group):
                found[at] = encoded(column[int(places[at] - self.starts[group])].as_py())
        return found

    def name(self, row: int) -> str:
        """File and row."""
        place = int(self.rows[row])
        file = self.groups[int(np.searchsorted(self.starts, place, side="right")) - 1][0]
        first = min(int(start) for start, group in zip(self.starts, self.groups, strict=False) if group[0] == file)
        return f"row {place - first} of {self.files[file]}"

    def keep(self, rows: IntArray) -> ParquetImages:
        """These rows only."""
        return ParquetImages(self.storage, self.files, self.groups, self.column, self.rows[rows], self.cache_bytes)

    def _group(self, group: int) -> pa.ChunkedArray:
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        file, number, _ = self.groups[group]
        self.storage.check(self.files[file])

        def read() -> pa.ChunkedArray:
            with opened_parquet(self.storage, self.files[file]) as parquet:
                return parquet.read_row_group(number, columns=[self.column], use_threads=False).column(0)

        what = f"row group {number} of {self.storage.where(self.files[file])}"
        self._cache[group] = column = self.storage.reading(what, "is damaged", read)
        while len(self._cache) > 1 and sum(c.nbytes for c in self._cache.values()) > self.cache_bytes:
            self._cache.popitem(last=False)
        return column


def _of_split(names: list[str], split: str | None) -> list[str]:
    """Of files named as Hugging Face names its shards, those of one split."""
    of = {name: match["split"] for name in names if (match := _SHARD.fullmatch(Path(name).name))}
    known = sorted(set(of.values()))
    if split is None and len(known) > 1:
        raise ArgumentError(f"the folder holds splits {some(known)}; say which, as in split={known[0]!r}")
    if split is None or not known:
        return names
    if split not in known:
        raise ArgumentError(f"split must be one of {some(known)}, got {split!r}")
    return [name for name in names if of.get(name) == split]


def _row_groups(storage: Storage, names: Sequence[str]) -> tuple[pa.Schema, list[tuple[int, int, int]]]:
    """The common schema, and (file, row group in it, rows) of every row group."""

    def footer(name: str) -> tuple[pa.Schema, pq.FileMetaData]:
        with opened_parquet(storage, name) as parquet:
            return parquet.schema_arrow, parquet.metadata

    schema, groups = None, []
    for file, name in enumerate(names):
        where = storage.where(name)
        own, metadata = storage.reading(where, "is not a sound parquet file", partial(footer, name))
        twice = sorted({column for column in own.names if own.names.count(column) > 1})
        if twice:
            raise DataError(f"{where} must not have two columns of one name, but it has of {some(twice)}; rename one")
        schema = own if schema is None else schema
        if own.names != schema.names:
            raise DataError(f"{where} must have the columns of {names[0]} ({some(schema.names)}), but it does not")
        groups += [(file, number, metadata.row_group(number).num_rows) for number in range(metadata.num_row_groups)]
    return schema, groups
