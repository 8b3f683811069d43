"""Reader of parquet files: images as Hugging Face writes them, feature columns, embeddings, text.

Vectors larger than the memory limit stay in the files, and are read by row groups (`ParquetVectors`). Memory then holds
the row groups that were read last, as float32, up to the limit, but at least one; and one more in its stored form while
it is read. So a file of one large row group is read whole: write files with row groups of about 100 MB.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unseen.core.arrays import IntArray
from unseen.data.base import Samples
from unseen.data.columns import Roles, encoded, is_list, matrix, of_text, open_columns
from unseen.data.content import Files
from unseen.data.images import Encoded, ImageOptions
from unseen.data.labels import Labelling
from unseen.data.shards import ShardedVectors
from unseen.data.storage import Storage, opened_parquet, storage_of
from unseen.errors import ArgumentError, DataError, some

__all__ = ["FolderColumns", "ParquetVectors", "from_parquet"]


_NULL = "__HIVE_DEFAULT_PARTITION__"  # a missing value in the folder names of Hive and pyarrow
_INT32 = 2**31


class FolderColumns:
    """Columns in the names of folders, `label=a/`: int32 if all values are, else text, as in pyarrow.

    Args:
        storage: the storage of the files.
        files: their names.

    """

    def __init__(self, storage: Storage, files: Sequence[str]) -> None:
        self.where = storage.where(files[0])
        entries = [dict(_key_and_value(part) for part in name.split("/")[:-1] if "=" in part) for name in files]
        names = list(dict.fromkeys(name for of in entries for name in of))
        values = {name: [of.get(name) for of in entries] for name in names}
        whole = {name: all(v is None or _is_int32(v) for v in of) and any(of) for name, of in values.items()}
        self.schema = pa.schema([(name, pa.int32() if whole[name] else pa.string()) for name in names])
        self.values: dict[str, list[Any]] = {
            name: [None if v is None else int(v) for v in of] if whole[name] else of for name, of in values.items()
        }

    def added_to(self, schema: pa.Schema) -> pa.Schema:
        """Append these columns to a schema."""
        twice = sorted(set(schema.names) & set(self.schema.names))
        if twice:
            raise DataError(
                f"column {twice[0]!r} is in {self.where} and in the name of its folder; rename one of the two"
            )
        for field in self.schema:
            schema = schema.append(field)
        return schema

    def others(self, names: Sequence[str]) -> list[str]:
        """Return those of the columns that are in the files."""
        return [name for name in names if name not in self.values]

    def filled(self, file: int, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """Add the folder columns to a table of rows of one file, and select columns by name."""
        for field in self.schema:
            if field.name in names:
                value = pa.scalar(self.values[field.name][file], field.type)
                table = table.append_column(field, pa.repeat(value, len(table)))
        return table.select(list(names))


def _key_and_value(part: str) -> tuple[str, str | None]:
    name, _, value = part.partition("=")
    return unquote(name), None if value == _NULL else unquote(value)


def _is_int32(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,10}", text) is not None and -_INT32 <= int(text) < _INT32


class ParquetVectors:
    """Vectors in feature columns, or in one column of lists, read by row groups; those read last are cached.

    Args:
        storage: the storage of the files.
        files: their names.
        groups: (file, row group in it, number of rows) of every row group.
        columns: names of the columns.
        cache_bytes: bytes of row groups that stay in memory, as float32.
        folders: the columns in the names of folders.

    Raises:
        DataError: lists of another length than in the first row group; a damaged file.

    """

    mapped = False

    def __init__(
        self,
        storage: Storage,
        files: Sequence[str],
        groups: Sequence[tuple[int, int, int]],
        columns: Sequence[str],
        cache_bytes: int,
        folders: FolderColumns,
    ) -> None:
        self.storage, self.files, self.folders = storage, files, folders
        self.groups, self.columns, self.cache_bytes = groups, list(columns), cache_bytes
        self.counts: Sequence[int] = [count for *_, count in groups]
        self._cache: OrderedDict[int, npt.NDArray[np.float32]] = OrderedDict()
        self._footer: tuple[int, pq.FileMetaData] | None = None  # of the file that was read last, with its number
        of_lists = is_list(folders.added_to(self._metadata(0).schema.to_arrow_schema()).field(self.columns[0]).type)
        self.feature_names = None if of_lists else self.columns
        self.gaps = False  # whether the footers or folders show that numbers are missing
        self.width = len(self.columns)
        if of_lists:
            self._find_width()
        else:
            self._find_gaps()

    def __getstate__(self) -> dict[str, Any]:
        # Only the names of files are pickled, not their content.
        return {**self.__dict__, "_cache": OrderedDict(), "_footer": None}

    def read(self, shard: int) -> npt.NDArray[np.float32]:
        """Read the vectors of a row group."""
        file, number, _ = self.groups[shard]
        self.storage.check(self.files[file])
        if shard not in self._cache:
            self._make_room(self.counts[shard] * self.width * 4)
            self._cache[shard] = self._read(file, number)
        self._cache.move_to_end(shard)
        return self._cache[shard]

    def check(self) -> None:
        """Refuse changed files; each is checked."""
        self.storage.check_all(self.files)

    def name(self, shard: int, row: int) -> str:
        """Return the row in the file, and the file, for messages."""
        file = self.groups[shard][0]
        before = sum(count for of, _, count in self.groups[:shard] if of == file)
        return f"row {before + row} of {self.files[file]}"

    def _make_room(self, wanted: int) -> None:
        while self._cache and wanted + sum(array.nbytes for array in self._cache.values()) > self.cache_bytes:
            self._cache.popitem(last=False)

    def _read(self, file: int, number: int) -> npt.NDArray[np.float32]:
        where, metadata = self.storage.where(self.files[file]), self._metadata(file)

        def table() -> pa.Table:
            with opened_parquet(self.storage, self.files[file], metadata) as parquet:
                own = parquet.read_row_group(number, columns=self.folders.others(self.columns), use_threads=False)
            return self.folders.filled(file, own, self.columns)

        read = self.storage.reading(f"row group {number} of {where}", "is damaged", table)
        try:
            values = matrix(read)
        except DataError as error:
            raise DataError(f"row group {number} of {where}: {error}") from error
        if values.shape[1] != self.width:
            raise DataError(self._other_width(file, number, values.shape[1]))
        return values

    def _metadata(self, file: int) -> pq.FileMetaData:
        if self._footer is None or self._footer[0] != file:

            def footer() -> pq.FileMetaData:
                with opened_parquet(self.storage, self.files[file]) as parquet:
                    return parquet.metadata

            name = self.storage.where(self.files[file])
            self._footer = file, self.storage.reading(name, "is not a sound parquet file", footer)
        return self._footer[1]

    def _find_width(self) -> None:
        """Find the length of lists from the footers; read a row group where they do not fit."""
        self.width = 0
        for file, number, count in self.groups:
            values = sum(
                c.num_values for c in self._chunks(file, number) if c.path_in_schema.startswith(f"{self.columns[0]}.")
            )
            self.width = self.width or values // max(1, count)
            if values != self.width * count:
                self._read(file, number)  # raises, with the row or the width

    def _find_gaps(self) -> None:
        wanted = set(self.columns)
        self.gaps = any(None in of for name, of in self.folders.values.items() if name in wanted)
        for file, number, _ in self.groups:
            own = [c for c in self._chunks(file, number) if c.path_in_schema in wanted and c.is_stats_set]
            self.gaps = self.gaps or any(c.statistics.has_null_count and c.statistics.null_count for c in own)

    def _chunks(self, file: int, number: int) -> list[pq.ColumnChunkMetaData]:
        group = self._metadata(file).row_group(number)
        return [group.column(at) for at in range(group.num_columns)]

    def _other_width(self, file: int, number: int, width: int) -> str:
        return (
            f"column {self.columns[0]!r} must hold lists of one length, but those in {self.files[0]} have "
            f"{self.width} entries and those in row group {number} of {self.files[file]} have {width}"
        )


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
    cache: str | Path | None = None,
) -> Samples:
    """Open a parquet file, or all those below a folder, in order of their names, without hidden ones.

    Columns in the names of folders, as `label=a/split=train/1.parquet`, are read as in `pyarrow.dataset`.

    The inputs are detected unless `image`, `text` or `features` is given. If there is a column of images (a struct of
    bytes and path), it is used. Otherwise all columns that have no other role are features. One column of text is text;
    one column of lists of numbers is an embedding; columns of numbers without missing entries are vectors, float32;
    anything else is a table, with None for missing entries and NaN.

    Columns that number the rows are left out unless `features` names them. These are an index that pandas wrote, and,
    with at least 10 rows, whole numbers that all differ and are in order, have no gaps, stand beside text, or have a
    usual name of row numbers. The notes say which columns are used and which are left out, and why.

    Args:
        path: the file or folder, or its URL in a store that fsspec knows.
        label: the column of labels; default `"label"`. If Hugging Face stored class names in the file, numbers get
            these names.
        target: a column of numbers to regress on, in place of labels; see `from_arrays`.
        image: the column of images.
        text: the column of text.
        features: one or more columns of features.
        id: a column of ids; default the row number.
        group: a column of groups.
        split: use only the rows with this value in the column `split`; or, in a folder, only the files
            `<split>-00000-of-00001.parquet`.
        image_size: as in `from_folder`, and so are the next four; refused if there are no images.
        mode: see there.
        on_error: see there.
        memory_limit: bytes up to which decoded images, or vectors as float32, stay in memory; default a quarter of
            the machine's memory. Larger data is read by row groups, as needed. Taking it in random order is slow unless
            row groups are small or fit in the limit (images: encoded). Refused for text and tables.
        workers: see there.
        cache: see `from_folder`.

    Raises:
        UnknownNameError: no such column; the message lists the nearest names.
        DataError: a damaged file, missing labels, infinite features, images that cannot be read.
        MissingDependencyError: for a URL: fsspec, or its package for that store, is not installed.

    """
    source = ParquetSource(path, split)
    options = ImageOptions(image_size, mode, on_error, memory_limit, workers, cache)
    source.bytes_in_memory = options.bytes_in_memory
    source.cache_bytes = options.bytes_in_memory // options.processes  # each worker of a learner has its own cache
    return open_columns(source, Roles(label, image, text, features, id, group, target), options)


class ParquetSource:
    """Parquet files as a `Source` of columns, with the rows of one split."""

    files: Files | None
    bytes_in_memory = cache_bytes = 0

    def __init__(self, path: str | Path, split: str | None) -> None:
        self.storage = storage_of(path, ".parquet", deep=True)
        names = self.storage.names("" if self.storage.single else ".parquet")
        if not names:
            raise DataError(f"the folder {path} holds no parquet files")
        by_shard = split is not None and any(_SHARD.fullmatch(Path(name).name) for name in names)
        self.names = names if self.storage.single else _select_split(names, split)
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
        """Read these columns of the chosen rows."""
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
        """Read these columns of the chosen rows in the first row group that has any."""
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
        """Return the source of the encoded images of a column."""
        return ParquetImages(self.storage, self.names, self.groups, name, self.rows, self.cache_bytes)

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> ShardedVectors | None:
        """Return the vectors in these columns, read by row groups; None if they fit in the limit or have gaps."""
        source = ParquetVectors(self.storage, self.names, self.groups, names, self.cache_bytes, self.folders)
        if source.gaps or len(self.rows) * source.width * 4 <= self.bytes_in_memory:
            return None
        chosen = self.rows if len(self.rows) < sum(source.counts) else None
        return ShardedVectors(source, labelled, chosen=chosen, feature_names=source.feature_names, **about)


class ParquetImages:
    """A column of encoded images, read by row groups; those read last are cached up to `cache_bytes`."""

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
        """Read the encoded bytes."""
        places = self.rows[rows]
        group_of = np.searchsorted(self.starts, places, side="right") - 1
        images: list[Encoded] = [None] * len(places)
        for group in np.unique(group_of):
            column = self._group(int(group))
            for at in np.flatnonzero(group_of == group):
                images[at] = encoded(column[int(places[at] - self.starts[group])].as_py())
        return images

    def name(self, row: int) -> str:
        """Return row and file, for messages."""
        place = int(self.rows[row])
        file = self.groups[int(np.searchsorted(self.starts, place, side="right")) - 1][0]
        first = min(int(start) for start, group in zip(self.starts, self.groups, strict=False) if group[0] == file)
        return f"row {place - first} of {self.files[file]}"

    def keep(self, rows: IntArray) -> ParquetImages:
        """Return a source of these rows only."""
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


def _select_split(names: list[str], split: str | None) -> list[str]:
    """Select the files of one split, if they are named as Hugging Face names its shards."""
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
    """Read the common schema, and (file, row group in it, number of rows) of every row group."""

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
