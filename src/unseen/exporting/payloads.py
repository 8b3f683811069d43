"""The files in the rows of a table: images as they are encoded, and what their names end in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import pyarrow as pa

from unseen.data.columns import is_image
from unseen.errors import ArgumentError, DataError
from unseen.exporting.asking import Asked

__all__ = ["file_columns", "image_of", "suffix"]

_STARTS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\x00": "tif",
    b"MM\x00*": "tif",
    b"P4": "pbm",
    b"P5": "pgm",
    b"P6": "ppm",
}


def suffix(content: bytes, path: str | None) -> str:
    r"""What the name of this file ends in: by how it begins, else by its path; `"bin"` where neither tells.

    >>> suffix(b"\x89PNG\r\n\x1a\n...", "a.jpg"), suffix(b"?", "sound.flac"), suffix(b"?", None)
    ('png', 'flac', 'bin')

    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    for start, name in _STARTS.items():
        if content.startswith(start):
            return name
    end = PurePath(path or "").suffix.lower().removeprefix(".")
    return end if end.isalnum() else "bin"


def file_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold files: structs of bytes and path."""
    return [field.name for field in schema if is_image(field)]


def image_of(asked: Asked) -> str:
    """The one column of images that a class folder is filled from."""
    names = file_columns(asked.source.schema)
    chosen = getattr(asked.source, "options", {}).get("image")
    if not names:
        raise ArgumentError("to='folder' is for images, which the data set does not hold; use to='parquet'")
    return str(chosen or names[0])


def contents(tables: Iterator[pa.Table], column: str) -> Iterator[tuple[bytes, str]]:
    """The bytes of each file in a column, and what its name ends in.

    Raises:
        DataError: a row without one.

    """
    row = 0
    for table in tables:
        for value in table.column(column).to_pylist():
            if value is None or not value.get("bytes"):
                raise DataError(f"sample {row:,} of the coreset has no bytes in column {column!r}")
            yield value["bytes"], suffix(value["bytes"], value.get("path"))
            row += 1
