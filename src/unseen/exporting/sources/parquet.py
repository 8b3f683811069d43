"""Parquet files as a source: their rows, with all columns, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unseen.data.columns import Roles, labelling_of
from unseen.data.fingerprint import Files
from unseen.data.storage import opened_parquet
from unseen.data.tables import ParquetSource, from_parquet
from unseen.protocols import Data
from unseen.types import IntArray

__all__ = ["ParquetRows", "roles_in"]


class ParquetRows:
    """A parquet file, or those below a folder.

    Args:
        path: the file or folder, or its URL.
        options: of `unseen.data.from_parquet`, by which it was scored.

    """

    def __init__(self, path: str | Path, options: Mapping[str, Any]) -> None:
        self.path, self.options = path, dict(options)
        self._source = ParquetSource(self.path, self.options.get("split"))
        self.files: Files | None = self._source.files
        self.schema = self._source.schema
        self.labelling = labelling_of(self._source, roles_in(options))

    @cached_property
    def data(self) -> Data:
        """The inputs and labels, read."""
        return from_parquet(self.path, **self.options)

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """All columns, one table a row group."""
        places = self._source.rows[rows]
        starts = np.cumsum([0, *(count for *_, count in self._source.groups)])
        group_of = np.searchsorted(starts, places, side="right") - 1
        for group in np.unique(group_of).tolist():
            file, number, _ = self._source.groups[group]
            local = places[group_of == group] - starts[group]
            yield self._row_group(file, number).take(local)

    def _row_group(self, file: int, number: int) -> pa.Table:
        storage, name = self._source.storage, self._source.names[file]

        def read() -> pa.Table:
            with opened_parquet(storage, name) as parquet:
                table = parquet.read_row_group(number, use_threads=False)
            return self._source.folders.filled(file, table, self.schema.names).cast(self.schema)

        return storage.reading(f"row group {number} of {storage.where(name)}", "cannot be read", read)


def roles_in(options: Mapping[str, Any]) -> Roles:
    """What the options of a reader say of the columns."""
    known = {field.name for field in fields(Roles)}
    return Roles(**{name: value for name, value in options.items() if name in known})
