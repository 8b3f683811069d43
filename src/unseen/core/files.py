"""Atomic files, and parquet files with JSON metadata.

`replace_file` writes a file as a whole or not at all. A writer that is killed, or that finds the disk full, leaves the
old content under the name, and at most one temporary file (`.*.tmp`) beside it.

Tables, coresets and histories are parquet files. Their metadata is JSON, and they carry a digest of their content.
Nothing in them is ever unpickled.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.core.arrays import Named
from unseen.errors import CorruptFileError, StorageError, import_optional

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace the file `path` by what `write` writes, atomically and durably.

    `write` gets a binary file that is open for writing and reading, and may seek in it. Missing folders are made.

    Raises:
        StorageError: the file cannot be written; the old content is kept and the temporary file removed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb+") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the name that the fault tests stop at
        if hasattr(os, "O_DIRECTORY"):  # not on Windows, where a folder cannot be opened
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise storage_error(path, error) from error
        raise


def storage_error(path: Path, error: OSError) -> StorageError:
    """Make the error for a `path` that cannot be written: the reason and the remedy."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageError(
            f"cannot write {path}: {reason}; free some space, then repeat the command: what was finished is kept"
        )
    return StorageError(f"cannot write {path}: {reason}; choose a folder that can be written")


def as_pandas(table: pa.Table) -> Any:
    """Convert an Arrow table to a pandas frame whose index is the column `id`; refuse it without pandas."""
    import_optional("pandas", "to_pandas()")
    return table.to_pandas().set_index("id")


def write_parquet(path: Path, columns: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Path:
    """Write arrays as parquet with JSON metadata by `replace_file`; the bytes depend on the content alone."""
    lists = {name: [str(v) for v in a] if a.dtype.kind in "USO" else a for name, a in columns.items()}
    table = pa.table({name: pa.array(values) for name, values in lists.items()})
    text = json.dumps(about, sort_keys=True, default=make_plain)
    table = table.replace_schema_metadata({"unseen": text, "unseen.digest": _digest(columns, text)})
    # No statistics: they repeat values of the columns, and no checksum covers them.
    replace_file(path, lambda file: pq.write_table(table, file, write_page_checksum=True, write_statistics=False))
    return path


def read_parquet(path: Path, kind: str) -> tuple[Named, dict[str, Any]]:
    """Read a file of `write_parquet`: the arrays by name, and the metadata.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptFileError: the file is damaged, or not of this kind.
    """
    if path.is_dir():
        raise CorruptFileError(f"{path} must be a file, but it is a folder")
    try:
        table = pq.read_table(path.absolute(), page_checksum_verification=True)  # "photos:2" would be a URI
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        text = table.schema.metadata[b"unseen"].decode()
        # The page checksums do not cover the footer, where names, types and metadata are.
        whole = table.schema.metadata[b"unseen.digest"].decode() == _digest(columns, text)
        about: dict[str, Any] = json.loads(text)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptFileError(f"{path} is damaged or was not written by unseen: {error}") from error
    if not whole:
        raise CorruptFileError(f"{path} is damaged: its content does not match its digest")
    if not isinstance(about, dict):
        raise CorruptFileError(f"{path} was not written by unseen: its metadata is no object")
    if about.get("kind") != kind:
        raise CorruptFileError(f"{path} must hold a file of kind {kind!r}, but it holds {about.get('kind')!r}")
    return columns, about


def make_plain(value: Any) -> Any:
    """Convert numbers and arrays of NumPy, and other real numbers, for JSON; it is the `default` of `json.dumps`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON serializable: {value!r}")


def _digest(columns: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    digest = blake2b(text.encode(), digest_size=16)
    for name, values in columns.items():
        is_text = values.dtype.kind in "USO"
        digest.update(f"\x1e{name}\x1f{'text' if is_text else values.dtype.str}\x1f{len(values)}\x1f".encode())
        if is_text:
            digest.update("\x1f".join(map(str, values.tolist())).encode())
        else:
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
