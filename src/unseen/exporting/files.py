"""The files of exports: writing them completely or not at all, naming them safely, and reading them from tables.

An export is written under a temporary name until it is complete, and overwrites nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import BinaryIO

import pyarrow as pa

from unseen.core.files import replace_file, storage_error
from unseen.data.columns import is_image
from unseen.engine.runs.files import NewFolder
from unseen.errors import ArgumentError, DataError, UnseenError
from unseen.exporting.request import ExportRequest


def refuse_existing(out: Path) -> None:
    """Refuse a place where something exists already, even a broken link."""
    if os.path.lexists(out):
        raise ArgumentError(f"out {out} exists already, and exports overwrite nothing; choose another name")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Open a folder to write in. It gets the name `out` when the block succeeds, and is removed when it fails.

    Raises:
        RunLockedError: another process exports to this place.
        StorageError: the folder cannot be written.
    """
    with NewFolder(out) as part:
        try:
            yield part
            refuse_existing(out)
        except OSError as error:
            if isinstance(error, UnseenError):
                raise
            raise storage_error(out, error) from error


def new_file(out: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file under the name `out`, completely or not at all; errors as in `new_folder`."""
    replace_file(out, write)
    return out


_MOST = 180  # bytes; file systems allow 255, and a suffix is added
_UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, with any suffix


def safe_name(text: str) -> str:
    """Make a plain file name of a text in any script, valid on any system; different texts get different names.

    Characters that a name must not have are written as `%` and their code: separators, control characters, a dot or an
    underscore in front (`..`, hidden files, which readers leave out), dots and spaces at the end. A text that is too
    long is cut and ends in its digest.

    >>> [safe_name(text) for text in ("cat", "a/b", "..", "_x", "", "nul", "100 %", "кот")]
    ['cat', 'a%2Fb', '%2E%2E', '%5Fx', '%', '%6Eul', '100 %25', 'кот']
    """
    name = _UNSAFE.sub(_escape_match, text)
    name = re.sub(r"^[.\s~_-]|[.\s]+$", _escape_match, name) or "%"
    if _RESERVED.fullmatch(name):
        name = _escape(name[0]) + name[1:]
    if len(name.encode()) > _MOST:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        name = name.encode()[: _MOST - len(digest) - 1].decode("utf-8", "ignore") + "~" + digest
    return name


def _escape_match(match: re.Match[str]) -> str:
    return "".join(map(_escape, match[0]))


def _escape(sign: str) -> str:
    return f"%{ord(sign):02X}"


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
    r"""Return the suffix of a file by its first bytes, else by its path; `"bin"` where neither is known.

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
    """List the columns that hold files: structs of bytes and path."""
    return [field.name for field in schema if is_image(field)]


def image_column(request: ExportRequest) -> str:
    """Return the column of images that class folders are filled from."""
    names = file_columns(request.source.stored_schema)
    if not names:
        raise ArgumentError("to='folder' is for images, which the data set does not hold; use to='parquet'")
    given = request.source.reading.image
    return given if given in names else names[0]


def read_contents(tables: Iterator[pa.Table], column: str) -> Iterator[tuple[bytes, str]]:
    """Yield the bytes and the suffix of each file in a column.

    Raises:
        DataError: a row has no file.
    """
    row = 0
    for table in tables:
        for value in table.column(column).to_pylist():
            if value is None or not value.get("bytes"):
                raise DataError(f"sample {row:,} of the coreset has no bytes in column {column!r}")
            yield value["bytes"], suffix(value["bytes"], value.get("path"))
            row += 1
