"""What is done to whole files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unseen.atomic import storage_error
from unseen.errors import CorruptFileError, RunError, StorageError

__all__ = ["file_digest", "move_aside", "read_whole", "reading", "remove", "understood"]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong in reading a file of a run, as an error of ours; FileNotFoundError where it is not there.

    Raises:
        CorruptFileError: something else than a file stands in its place.
        StorageError: it cannot be read.

    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise CorruptFileError(f"{path} must be a file of the run, but it is a {_kind(path)}; move it away")
        yield
    except (FileNotFoundError, CorruptFileError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; mend it, or move the run") from error


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """A whole file that does not hold what unseen writes, such as text in place of a number, as an error of ours.

    Raises:
        CorruptFileError: likewise.

    """
    try:
        yield
    except RunError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CorruptFileError(
            f"{path} does not hold what unseen writes there ({what}); repeat the original command with the same --out"
        ) from error


def read_whole(path: Path) -> bytes:
    """Its bytes; errors as of `reading`."""
    with reading(path):
        return path.read_bytes()


def file_digest(path: Path) -> str:
    """32 hexadecimal digits of every byte; errors as of `reading`."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "pipe or device"


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
