"""Named arrays in one file: an uncompressed `.npz` that says which manifest it belongs to and whether it is whole.

Both are in the comment at the end of the zip file: the digest of the manifest, then the digest of every byte before
it. `numpy.load` reads the file too. Arrays of objects are refused, so nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from unseen.atomic import replace_file
from unseen.errors import CorruptFileError, StorageError
from unseen.runs.base import plain_arrays
from unseen.types import Arrays

__all__ = ["owner_of", "read_arrays", "write_arrays"]

_DIGEST = 32  # hexadecimal digits
_CHUNK = 1 << 20


def write_arrays(path: Path, arrays: Arrays, owner: str) -> None:
    """Write arrays for the manifest of digest `owner`, atomically; the bytes depend on content and owner alone.

    Raises:
        ArgumentError: an array holds objects.
        StorageError: the file cannot be written.

    """
    plain = plain_arrays(arrays)
    replace_file(path, lambda file: _write(file, plain, owner))


def owner_of(path: Path) -> str | None:
    """The digest of the manifest that the file belongs to, every byte checked; None if there is no such file.

    Raises:
        CorruptFileError: the file is damaged.

    """
    try:
        with path.open("rb") as file:
            return _checked(file, path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file that `owner_of` found whole.

    Raises:
        CorruptFileError: they cannot be read all the same.

    """
    try:
        with zipfile.ZipFile(path) as members:
            return {info.filename.removesuffix(".npy"): _member(members, info) for info in members.infolist()}
    except Exception as error:  # NumPy raises anything from MemoryError to TokenError at headers that lie
        raise CorruptFileError(f"{path} is damaged: {error}") from error


def _write(file: BinaryIO, arrays: dict[str, npt.NDArray[Any]], owner: str) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as members:
        for name, values in arrays.items():
            # A ZipInfo made by hand has a fixed date: equal arrays give equal bytes.
            with members.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
        members.comment = owner.encode() + b"0" * _DIGEST
    end = file.seek(-_DIGEST, 2)
    digest = _digest(file, end)
    file.seek(end)
    file.write(digest)


def _member(members: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with members.open(info) as member:
        values: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return values


def _checked(file: BinaryIO, path: Path) -> str:
    size = file.seek(0, 2)
    if size < 2 * _DIGEST:
        raise CorruptFileError(f"{path} is damaged: it was cut off after {size} bytes")
    file.seek(-2 * _DIGEST, 2)
    owner, found = file.read(_DIGEST), file.read(_DIGEST)
    if found != _digest(file, size - _DIGEST):
        raise CorruptFileError(f"{path} is damaged: its content does not match its digest")
    return owner.decode()


def _digest(file: BinaryIO, end: int) -> bytes:
    digest = blake2b(digest_size=_DIGEST // 2)
    file.seek(0)
    while end > 0 and (chunk := file.read(min(end, _CHUNK))):
        digest.update(chunk)
        end -= len(chunk)
    return digest.hexdigest().encode()
