"""What is done to whole files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from unseen.atomic import storage_error

__all__ = ["file_digest", "move_aside", "remove"]


def file_digest(path: Path) -> str:
    """32 hexadecimal digits of every byte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def move_aside(path: Path) -> None:
    """Keep a damaged file beside its place as `<file>.damaged`; no file is no error."""
    try:
        os.replace(path, path.with_name(f"{path.name}.damaged"))  # noqa: PTH105 - the name that the fault tests stop at
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error(path, error) from error


def remove(path: Path) -> None:
    """Remove a file; no file is no error."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
