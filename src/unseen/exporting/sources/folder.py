"""A folder of images as a source: the files themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from unseen.data.fingerprint import Files
from unseen.data.folders import from_folder, listed
from unseen.errors import DataError
from unseen.exporting.sources.base import IMAGE, with_features
from unseen.protocols import Data
from unseen.types import IntArray

__all__ = ["FolderSource"]

_PIECE = 64 << 20  # bytes of files in one table


class FolderSource:
    """Image files below one folder, one folder a class.

    Args:
        path: the folder.
        options: of `unseen.data.from_folder`, by which it was scored.

    """

    def __init__(self, path: str | Path, options: Mapping[str, Any]) -> None:
        self.root, self.options = Path(path).absolute(), dict(options)
        images, self.labelling, about = listed(self.root)
        self.paths: list[str] = images.paths.tolist()
        self.files: Files | None = about["files"]
        self.schema = with_features(
            pa.schema([("image", IMAGE), ("label", pa.int64()), ("id", pa.string())]),
            {"label": self.labelling.class_names},
        )

    @cached_property
    def data(self) -> Data:
        """Every image, decoded."""
        return from_folder(self.root, **self.options)

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """The files as they are, the numbers of their classes, and their paths."""
        images: list[dict[str, Any]] = []
        kept: list[int] = []
        size = 0
        for row in rows.tolist():
            content = self.read(row)
            images.append({"bytes": content, "path": Path(self.paths[row]).name})
            kept.append(row)
            size += len(content)
            if size > _PIECE:
                yield self._table(images, kept)
                images, kept, size = [], [], 0
        if kept:
            yield self._table(images, kept)

    def read(self, row: int) -> bytes:
        """The content of one file."""
        path = self.root / self.paths[row]
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}; it was there when scored") from error

    def _table(self, images: list[dict[str, Any]], kept: list[int]) -> pa.Table:
        columns = [images, self.labelling.labels[kept], [self.paths[row] for row in kept]]
        return pa.table([pa.array(c, t) for c, t in zip(columns, self.schema.types, strict=True)], schema=self.schema)
