"""Where exports are written: under another name until they are whole, and never over anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from unseen.atomic import replace_file, storage_error
from unseen.errors import ArgumentError, UnseenError
from unseen.runs.new_folder import NewFolder

__all__ = ["new_file", "new_folder", "refuse_existing"]


def refuse_existing(out: Path) -> None:
    """Refuse a place where something is already, if only a link that leads nowhere."""
    if os.path.lexists(out):
        raise ArgumentError(f"out {out} exists already, and exports overwrite nothing; choose another name")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write in, which gets the name `out` when the block ends well, and is removed when it does not.

    Raises:
        RunLockedError: another process exports to this place.
        StorageError: it cannot be written.

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
    """Put what `write` writes under the name `out`, whole or not at all; errors as of `new_folder`."""
    replace_file(out, write)
    return out
