"""One way to write a file: whole, or not at all.

A writer that is killed, or finds the disk full, leaves the old content under the name and at most a stray temporary
file beside it, which `remove_temporaries` clears away.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from unseen.errors import StorageError

__all__ = ["remove_temporaries", "replace_file", "storage_error"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Put what `write` writes under the name `path`, atomically and durably.

    `write` gets a binary file open for writing and reading, and may seek in it. Folders on the way are made.

    Raises:
        StorageError: the file cannot be written; the old content is kept and the temporary file removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "deep" / "a.txt"
    ...     replace_file(path, lambda file: file.write(b"whole"))
    ...     path.read_bytes(), [p.name for p in path.parent.iterdir()]
    (b'whole', ['a.txt'])

    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb+") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the name that the fault tests stop at
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise storage_error(path, error) from error
        raise


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in a folder. Only for the process that holds the lock of the folder."""
    for stray in folder.glob(".*.tmp"):
        stray.unlink(missing_ok=True)


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error to raise when `path` cannot be written: what happened, and what to do."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageError(
            f"cannot write {path}: {reason}; free some space, then repeat the command: what was finished is kept"
        )
    return StorageError(f"cannot write {path}: {reason}; choose a folder that can be written")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
