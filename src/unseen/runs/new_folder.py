"""A folder that is there whole, or not at all, and arrays that are written in it piece by piece."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from unseen.atomic import storage_error
from unseen.errors import StorageError
from unseen.runs.lock import Lock

__all__ = ["LOCK", "NewFolder", "mapped"]

LOCK = ".lock"  # hidden, so that no class folder bears that name


class NewFolder:
    """Where a folder is written, under another name until it is whole. What a killed process left is begun anew.

    Raises:
        RunLockedError: another process writes this folder.
        StorageError: it cannot be written.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part = folder.absolute().with_name(f".{folder.absolute().name}.part")

    def __enter__(self) -> Path:
        self._above = [folder for folder in self.part.parents if not folder.exists()]  # innermost first
        try:
            self._lock = Lock(self.part / LOCK)
        except StorageError as error:
            why = error.__cause__
            raise storage_error(self.folder, why if isinstance(why, OSError) else error) from error
        for left in self.part.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
        return self.part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                os.sync()  # one for all files: a call for each would take longer than writing them
                (self.part / LOCK).unlink()
                self.part.rename(self.folder.absolute())
        except OSError as failed:
            raise storage_error(self.folder, failed) from failed
        finally:
            if kind is not None or self.part.exists():
                shutil.rmtree(self.part, ignore_errors=True)
                for folder in self._above:
                    with suppress(OSError):
                        folder.rmdir()
            self._lock.release()


def mapped(path: Path, shape: tuple[int, ...]) -> Any:
    """A new npy file of float32 zeros as an array to write in, its room on the disk taken at once.

    Raises:
        OSError: there is no room.

    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    # A full disk is an error here and now; in the middle of a memory map it would be the end of the process.
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file, suppress(NotImplementedError):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
