"""Parquet files: images as Hugging Face writes them, feature columns, embeddings, text.

Vectors larger than the memory limit stay in the files. Memory then holds the row groups that were read last, as
float32, up to the limit, but at least one; and one more in its stored form while it is read.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.core.arrays import IntArray
from unseen.data.arrow import is_list, plain_schema, without_views
from unseen.data.base import Samples
from unseen.data.columns import TableFormat, check_text, matrix, refuse_twice
from unseen.data.decoding import Encoded, ImageSource, encoded, with_files
from unseen.data.formats import Place, ReaderOptions, with_images
from unseen.data.labels import Labelling
from unseen.data.shards import ShardedVectors, VectorSource
from unseen.data.storage import Storage, storage_of
from unseen.errors import ArgumentError, DataError, some

_NULL = "__HIVE_DEFAULT_PARTITION__"  # a missing value in the folder names of Hive and pyarrow


class RowGroups:
    """The row groups of parquet files, with the columns in the names of their folders.

    A folder `label=a/` gives a column, as in pyarrow: int32 if all its values are whole numbers, else text. A column in
    `names` stays text where a number would lose zeros, as in `01`. A damaged file, columns other than in the first file
    and two columns of one name are refused.

    Attributes:
        schema: the common schema.
        counts: the number of rows of each row group.
        starts: the first row of each, and the number of all rows.
        folder_columns: the values of columns in the names of folders, one for each file.
    """

    def __init__(self, storage: Storage, files: Sequence[str], names: Sequence[str | None] = ()) -> None:
        self.storage, self.files = storage, files
        self._footer: tuple[int, pq.FileMetaData] | None = None  # of the file that was read last, with its number
        self._places: list[tuple[int, int]] = []  # the file of each row group, and its number in the file
        self.counts: list[int] = []
        schema: Any = None  # of the first file
        for file, name in enumerate(files):
            where, footer = storage.where(name), self.footer(file)
            own = plain_schema(footer.schema.to_arrow_schema())
            refuse_twice(own.names, where)
            schema = own if schema is None else schema
            if set(own.names) != set(schema.names):
                ways = (("lacks", schema.names, own.names), ("adds", own.names, schema.names))
                found = [f"{what} {some([n for n in a if n not in b])}" for what, a, b in ways if set(a) - set(b)]
                raise DataError(
                    f"{where} must have the columns of {files[0]} ({some(schema.names)}), but it {' and '.join(found)}"
                )
            self._places += [(file, number) for number in range(footer.num_row_groups)]
            self.counts += [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        self.starts = np.cumsum([0, *self.counts])
        self.folder_columns = _columns_of_folders(files, names)
        if twice := sorted(set(schema.names) & set(self.folder_columns)):
            raise DataError(
                f"column {twice[0]!r} is in {storage.where(files[0])} and in the name of its folder; rename one of the "
                "two"
            )
        for name, column in self.folder_columns.items():
            schema = schema.append(pa.field(name, column.type))
        self.schema = schema

    def __len__(self) -> int:
        return len(self.counts)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_footer": None}

    def of(self, rows: IntArray) -> IntArray:
        """Return the row group of each row."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def where(self, group: int) -> str:
        """Return the name of a row group, for messages."""
        file, number = self._places[group]
        return f"row group {number} of {self.storage.where(self.files[file])}"

    def name(self, row: int) -> str:
        """Return the row in its file, and the file, for messages."""
        file = self._places[int(self.of(np.array(row)))][0]
        first = next(start for start, (of, _) in zip(self.starts, self._places, strict=False) if of == file)
        return f"row {row - first} of {self.files[file]}"

    def check(self, group: int) -> None:
        """Refuse a row group whose file has changed."""
        self.storage.check(self.files[self._places[group][0]])

    def read(
        self, group: int, columns: Sequence[str], *, schema: pa.Schema | None = None, fresh: bool = True
    ) -> pa.Table:
        """Read these columns of a row group, cast to the schema if one is given; unless `fresh`, by the footer known.

        With a fresh footer, a file that was replaced a moment ago is read as it is now, and known by its content.
        """
        file, number = self._places[group]

        def read() -> pa.Table:
            with self.storage.parquet(self.files[file], None if fresh else self.footer(file)) as parquet:
                own = parquet.read_row_group(number, columns=self._in_files(columns), use_threads=False)
            table = self._with_folders(file, own, columns)
            return table if schema is None else table.cast(schema)

        return self.storage.reading(self.where(group), read)

    def read_file(self, file: int, columns: Sequence[str]) -> pa.Table:
        """Read these columns of a whole file."""
        with self.storage.parquet(self.files[file]) as parquet:
            return self._with_folders(file, parquet.read(self._in_files(columns)), columns)

    def _in_files(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in self.folder_columns]

    def _with_folders(self, file: int, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """Add the columns of folders to a table of rows of one file, and select columns by name."""
        for name, column in self.folder_columns.items():
            if name in names:
                table = table.append_column(name, pa.repeat(column[file], len(table)))
        return without_views(table.select(list(names)))

    def chunks(self, group: int) -> list[pq.ColumnChunkMetaData]:
        """Return what the footer says of each column of a row group."""
        file, number = self._places[group]
        about = self.footer(file).row_group(number)
        return [about.column(at) for at in range(about.num_columns)]

    def footer(self, file: int) -> pq.FileMetaData:
        """Return the footer of a file, which is read once for all its row groups."""
        if self._footer is None or self._footer[0] != file:

            def footer() -> pq.FileMetaData:
                with self.storage.parquet(self.files[file]) as parquet:
                    return parquet.metadata

            name = self.storage.where(self.files[file])
            self._footer = file, self.storage.reading(name, footer)
        return self._footer[1]


def _columns_of_folders(files: Sequence[str], names: Sequence[str | None]) -> dict[str, pa.Array]:
    entries: list[dict[str, str | None]] = []
    for file in files:
        parts = [part.partition("=") for part in file.split("/")[:-1] if "=" in part]
        entries.append({unquote(name): None if value == _NULL else unquote(value) for name, _, value in parts})
    columns = {}
    for name in dict.fromkeys(name for of in entries for name in of):
        column = pa.array([of.get(name) for of in entries], pa.string())
        with suppress(pa.ArrowInvalid):
            numbers = column if column.null_count == len(column) else column.cast(pa.int32())
            column = column if name in names and not numbers.cast(pa.string()).equals(column) else numbers
        columns[name] = column
    return columns


class ParquetVectors(VectorSource):
    """Vectors in feature columns, or in one column of lists, read by row groups.

    Those read last are cached, as float32, up to `cache_bytes`. Lists must have one length.
    """

    def __init__(self, groups: RowGroups, columns: Sequence[str], cache_bytes: int) -> None:
        super().__init__(groups.storage, groups.files)
        self.groups, self.columns, self.cache_bytes = groups, list(columns), cache_bytes
        self.counts = groups.counts
        self._cache: OrderedDict[int, npt.NDArray[np.float32]] = OrderedDict()
        self.gaps = False  # whether the footers or folders show that numbers are missing
        if is_list(groups.schema.field(self.columns[0]).type):
            self.feature_names = None
            self._find_width()
            return
        self.feature_names, self.width = self.columns, len(self.columns)
        wanted = set(self.columns)
        self.gaps = any(of.null_count for name, of in groups.folder_columns.items() if name in wanted)
        for shard in range(len(self.counts)):
            own = [c for c in groups.chunks(shard) if c.path_in_schema in wanted and c.is_stats_set]
            self.gaps = self.gaps or any(c.statistics.has_null_count and c.statistics.null_count for c in own)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}  # names travel to other processes, not content

    def read(self, shard: int) -> npt.NDArray[np.float32]:
        """Read the vectors of a row group."""
        self.groups.check(shard)
        if shard not in self._cache:
            wanted = self.counts[shard] * self.width * 4
            while self._cache and wanted + sum(array.nbytes for array in self._cache.values()) > self.cache_bytes:
                self._cache.popitem(last=False)
            self._cache[shard] = self._read(shard)
        self._cache.move_to_end(shard)
        return self._cache[shard]

    def name(self, shard: int, row: int) -> str:
        """Return the row in the file, and the file, for messages."""
        return self.groups.name(int(self.groups.starts[shard]) + row)

    def _read(self, shard: int) -> npt.NDArray[np.float32]:
        read = self.groups.read(shard, self.columns, fresh=False)
        try:
            values = matrix(read)
        except DataError as error:
            raise DataError(f"{self.groups.where(shard)}: {error}") from error
        if values.shape[1] != self.width:
            raise DataError(
                f"column {self.columns[0]!r} must hold lists of one length, but those in {self.groups.files[0]} have "
                f"{self.width} entries and those in {self.groups.where(shard)} have {values.shape[1]}"
            )
        return values

    def _find_width(self) -> None:
        """Find the length of lists from the footers; read a row group where they do not fit."""
        self.width = 0
        for shard, count in enumerate(self.counts):
            chunks = self.groups.chunks(shard)
            values = sum(c.num_values for c in chunks if c.path_in_schema.startswith(f"{self.columns[0]}."))
            self.width = self.width or values // max(1, count)
            if values != self.width * count:
                self._read(shard)  # raises, with the row or the width


_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}(-.*)?\.parquet")


class ParquetFormat(TableFormat):
    """Parquet files, one or all below a folder, with the rows of one split."""

    reader = "from_parquet"
    about = ("path to a .parquet file", "or to a folder of them; or their URL, in any store that fsspec knows")

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is of parquet files."""
        return isinstance(source, Place) and (source.suffix == ".parquet" or source.holds(".parquet"))

    def __init__(self, source: Any, **given: Any) -> None:
        super().__init__(source, **given)
        # Each worker of a learner has its own cache.
        self._cache_bytes = self.reading.bytes_in_memory // self.reading.processes
        self.storage = storage_of(source, ".parquet", deep=True)
        names = self.storage.names("" if self.storage.single else ".parquet")
        if not names:
            raise DataError(f"the folder {source} holds no parquet files")
        by_shard = any(_SHARD.fullmatch(Path(name).name) for name in names)
        self.names = names if self.storage.single else _select_split(names, self.reading.split)
        self.files = self.storage.stamp(self.names)
        self.groups = RowGroups(self.storage, self.names, self.kept_as_text)
        self.schema = self.groups.schema
        self.folder = self.storage.folder
        self.stored_schema = with_images(self.schema, self.reading.image)
        self.notes = self.storage.notes
        self.rows = np.arange(self.groups.starts[-1])
        if "split" in self.schema.names or not by_shard:
            lacking = f"a column 'split' or files named by split; {source} has neither"
            self.choose_split(lacking)
        elif self.storage.single:
            _select_split(names, self.reading.split)  # refuses a file of another split

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the chosen rows."""
        what, read = f"columns {some(names)} of {self.storage.root}", self.groups.read_file
        tables = [self.storage.reading(what, partial(read, file, names)) for file in range(len(self.names))]
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(f"{what} cannot be read: {error}") from error
        return check_text(table if len(self.rows) == len(table) else table.take(self.rows))

    def head(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the chosen rows in the first row group that has any."""
        group = int(self.groups.of(self.rows[0])) if len(self.rows) else 0
        if group >= len(self.groups):
            return self.schema.empty_table().select(list(names))
        local = self.rows - self.groups.starts[group]
        table = self.groups.read(group, names)
        return check_text(table.take(local[(local >= 0) & (local < len(table))]))

    def images(self, name: str) -> ParquetImages:
        """Return the encoded images of a column, read by row groups."""
        return ParquetImages(self.groups, name, self.rows, self._cache_bytes, self.folder)

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> ShardedVectors | None:
        """Return the vectors in these columns, read by row groups; None if they fit in the limit or have gaps."""
        source = ParquetVectors(self.groups, names, self._cache_bytes)
        if source.gaps or len(self.rows) * source.width * 4 <= self.reading.bytes_in_memory:
            return None
        chosen = self.rows if len(self.rows) < sum(source.counts) else None
        return ShardedVectors(source, labelled, chosen=chosen, feature_names=source.feature_names, **about)

    def stored(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows with all columns, one table a row group."""
        places = self.rows[rows]
        group_of = self.groups.of(places)
        for group in np.unique(group_of).tolist():
            table = self.groups.read(group, self.schema.names, schema=self.schema)
            table = table.take(places[group_of == group] - self.groups.starts[group])
            yield table if self.stored_schema is self.schema else with_files(table, self.stored_schema, self.folder)


def from_parquet(path: str | Path, **options: Unpack[ReaderOptions]) -> Samples:
    """Open a parquet file, or all those below a folder, in order of their names, without hidden ones.

    Columns in the names of folders, as `label=a/split=train/1.parquet`, are read as in `pyarrow.dataset`.

    The inputs are detected unless `image`, `text` or `features` is given. If there is a column of images (a struct of
    bytes and path), it is used; a column of text that `image` names holds paths of images, from the folder of the file.
    Otherwise all columns that have no other role are features. One column of text is text; one column of lists of
    numbers is an embedding; columns of numbers without missing entries are vectors, float32; anything else is a table,
    with None for missing entries and NaN.

    Columns that number the rows or hold nothing are left out unless `features` names them; docs/data.md says which
    count as row numbers. The notes say which columns are used, and why others are left out.

    If Hugging Face stored class names in the file, numbers in the column of labels get these names.

    Args:
        path: the file or folder, or its URL in a store that fsspec knows.
        **options: `label`, `target`, `image`, `text`, `features`, `id`, `group` and `split` of `ReadOptions`;
            `memory_limit`; `cache`; and `image_size`, `mode`, `on_error` and `workers`, refused if there are no
            images. Data larger than `memory_limit` is read by row groups, as needed. Taking it in random order is slow
            unless row groups are small or fit in the limit (images: encoded). It is refused for text and tables.

    Raises:
        UnknownNameError: no such column; the message lists the nearest names.
        DataError: a damaged file, missing labels, infinite features, images that cannot be read.
        MissingDependencyError: for a URL: fsspec, or its package for that store, is not installed.
    """
    return ParquetFormat(path, **options).open()


class ParquetImages(ImageSource):
    """A column of encoded images, read by row groups; those read last are cached up to `cache_bytes`."""

    def __init__(self, groups: RowGroups, column: str, rows: IntArray, cache_bytes: int, folder: Path | None) -> None:
        super().__init__(rows)
        self.groups, self.column, self.cache_bytes, self.folder = groups, column, cache_bytes, folder
        self._cache: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def read(self, rows: IntArray) -> list[Encoded]:
        """Read the encoded bytes."""
        places = self.places[rows]
        group_of = self.groups.of(places)
        images: list[Encoded] = [None] * len(places)
        for group in np.unique(group_of):
            column = self._group(int(group))
            for at in np.flatnonzero(group_of == group):
                images[at] = encoded(column[int(places[at] - self.groups.starts[group])].as_py(), self.folder)
        return images

    def name(self, row: int) -> str:
        """Return row and file, for messages, and the file of the image if it has one."""
        return self.with_file(self.groups.name(int(self.places[row])), row)

    def _group(self, group: int) -> pa.ChunkedArray:
        if group not in self._cache:
            self.groups.check(group)
            self._cache[group] = self.groups.read(group, [self.column]).column(0)
            while len(self._cache) > 1 and sum(c.nbytes for c in self._cache.values()) > self.cache_bytes:
                self._cache.popitem(last=False)
        self._cache.move_to_end(group)
        return self._cache[group]


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
