"""Vectors in parquet files, read by row groups.

Memory: the row groups that were read last, as float32, up to a limit, but always one; and one more as it is stored,
while it is read. A file of one large row group is therefore read whole: write it with row groups of some 100 MB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.data.columns import is_list, matrix
from unseen.data.storage import Storage, opened_parquet
from unseen.errors import DataError

__all__ = ["ParquetVectors"]


class ParquetVectors:
    """Feature columns, or one column of lists, by row groups; those read last stay in memory up to `cache_bytes`.

    Args:
        storage: where the files are.
        files: their names.
        groups: (file, row group in it, rows) of every row group.
        columns: names of the columns.
        cache_bytes: of row groups that are kept, as float32.

    Raises:
        DataError: lists whose lengths are not those of the first row group; a damaged file.

    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[str],
        groups: Sequence[tuple[int, int, int]],
        columns: Sequence[str],
        cache_bytes: int,
    ) -> None:
        self.storage, self.files = storage, files
        self.groups, self.columns, self.cache_bytes = groups, list(columns), cache_bytes
        self.counts: Sequence[int] = [count for *_, count in groups]
        self._cache: OrderedDict[int, npt.NDArray[np.float32]] = OrderedDict()
        self._footer: tuple[int, pq.FileMetaData] | None = None  # of the file that was read last
        of_lists = is_list(self._metadata(0).schema.to_arrow_schema().field(self.columns[0]).type)
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
                return parquet.read_row_group(number, columns=self.columns, use_threads=False).select(self.columns)

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
