"""A Hugging Face `Dataset` as a source. The library is not imported: the object brings all that is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from unseen.data.columns import is_image, labelling_of
from unseen.data.fingerprint import Files
from unseen.data.huggingface import HuggingFaceSource, from_huggingface
from unseen.errors import DataError
from unseen.exporting.sources.parquet import roles_in
from unseen.protocols import Data
from unseen.types import IntArray

__all__ = ["HuggingFaceRows"]

_PIECE = 1000  # rows in one table


class HuggingFaceRows:
    """One split.

    Args:
        ds: the `datasets.Dataset`.
        options: of `unseen.data.from_huggingface`, by which it was scored.

    """

    files: Files | None = None

    def __init__(self, ds: Any, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        source = HuggingFaceSource(ds)
        self.schema: pa.Schema = source.schema
        self.labelling = labelling_of(source, roles_in(options))
        self.ds = ds

    @cached_property
    def data(self) -> Data:
        """The inputs and labels, read."""
        return from_huggingface(self.ds, **self.options)

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """All columns, without transforms; files that are only named are read."""
        plain = self.ds.with_format("arrow")
        for start in range(0, len(rows), _PIECE):
            yield _embedded(plain[rows[start : start + _PIECE].tolist()].cast(self.schema))


def _embedded(table: pa.Table) -> pa.Table:
    """The same with the bytes of files that the table only names, as they may not be where it goes."""
    for at, field in enumerate(table.schema):
        if is_image(field):
            column = [_read(value) for value in table.column(at).to_pylist()]
            table = table.set_column(at, field, pa.array(column, field.type))
    return table


def _read(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None or value["bytes"] is not None or not value.get("path"):
        return value
    path = Path(value["path"])
    try:
        return {**value, "bytes": path.read_bytes(), "path": path.name}
    except OSError as error:
        raise DataError(f"{path}, which the data set names, cannot be read: {error.strerror or error}") from error
