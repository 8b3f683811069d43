"""Vectors in parquet files, read by row groups.

Memory: the row groups that were read last, as float32, up to a limit, but always one; and one more as it is stored,
while it is read. A file of one large row group is therefore read whole: write it with row groups of some 100 MB.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.data.columns import is_list, matrix
from unseen.data.storage import Storage, opened_parquet
from unseen.errors import DataError

__all__ = ["FolderColumns", "ParquetVectors"]

_NULL = "__HIVE_DEFAULT_PARTITION__"  # of Hive, and of pyarrow
_INT32 = 2**31


class FolderColumns:
    """Columns that are in the names of folders, `label=a/`: int32 if all are such, else text, as pyarrow has it.

    Args:
        storage: where the files are.
        files: their names.

    """

    def __init__(self, storage: Storage, files: Sequence[str]) -> None:
        self.where = storage.where(files[0])
        found = [dict(_key_and_value(part) for part in name.split("/")[:-1] if "=" in part) for name in files]
        names = list(dict.fromkeys(name for of in found for name in of))
        values = {name: [of.get(name) for of in found] for name in names}
        whole = {name: all(v is None or _is_int32(v) for v in of) and any(of) for name, of in values.items()}
        self.schema = pa.schema([(name, pa.int32() if whole[name] else pa.string()) for name in names])
        self.values: dict[str, list[Any]] = {
            name: [None if v is None else int(v) for v in of] if whole[name] else of for name, of in values.items()
        }

    def added_to(self, schema: pa.Schema) -> pa.Schema:
        """With these columns, last."""
        twice = sorted(set(schema.names) & set(self.schema.names))
        if twice:
            raise DataError(
                f"column {twice[0]!r} is in {self.where} and in the name of its folder; rename one of the two"
            )
        for field in self.schema:
            schema = schema.append(field)
        return schema

    def others(self, names: Sequence[str]) -> list[str]:
        """Those of the columns that are in the files."""
        return [name for name in names if name not in self.values]

    def filled(self, file: int, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """These columns of rows of one file, whose own are in the table."""
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
    """Feature columns, or one column of lists, by row groups; those read last stay in memory up to `cache_bytes`.

    Args:
        storage: where the files are.
        files: their names.
        groups: (file, row group in it, rows) of every row group.
        columns: names of the columns.
        cache_bytes: of row groups that are kept, as float32.
        folders: columns that are not in the files.

    Raises:
        DataError: lists whose lengths are not those of the first row group; a damaged file.

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
        self._footer: tuple[int, pq.FileMetaData] | None = None  # of the file that was read last
        of_lists = is_list(folders.added_to(self._metadata(0).schema.to_arrow_schema()).field(self.columns[0]).type)
        self.feature_names = None if of_lists else self.columns
        self.gaps = False  # whether entries of columns of numbers are known to be missing
        self.width = len(self.columns)
        if of_lists:
            self._find_width()
        else:
            self._find_gaps()

    def __getstate__(self) -> dict[str, Any]:
        # To another process they travel by name, not by content.
        return {**self.__dict__, "_cache": OrderedDict(), "_footer": None}

    def read(self, shard: int) -> npt.NDArray[np.float32]:
        """The vectors of a row group."""
        file, number, _ = self.groups[shard]
        self.storage.check(self.files[file])
        if shard not in self._cache:
            self._make_room(self.counts[shard] * self.width * 4)
            self._cache[shard] = self._read(file, number)
        self._cache.move_to_end(shard)
        return self._cache[shard]

    def check(self) -> None:
        """Look at every file."""
        self.storage.check_all(self.files)

    def name(self, shard: int, row: int) -> str:
        """Row of the file, and file."""
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
        """Of lists, by the footers alone; what they leave open is found where a row group is read."""
        self.width = 0
        for file, number, count in self.groups:
            values = sum(
                c.num_values for c in self._chunks(file, number) if c.path_in_schema.startswith(f"{self.columns[0]}.")
            )
            self.width = self.width or values // max(1, count)
            if values != self.width * count:
                self._read(file, number)  # which names the row, or the width

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
