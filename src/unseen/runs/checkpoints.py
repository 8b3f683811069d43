"""The checkpoint of one fit, in a file, and of its parts, beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from unseen.errors import CorruptFileError
from unseen.runs.arrays import owner_of, read_arrays, write_arrays
from unseen.runs.files import move_aside, remove
from unseen.types import Arrays

__all__ = ["DirectoryCheckpoints"]

Named = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class DirectoryCheckpoints:
    """The latest checkpoint of one fit, in a file. Holds its path only, so it goes to worker processes."""

    path: Path
    owner: str

    def load(self) -> Named | None:
        """The latest checkpoint, or None; a damaged one is moved aside, one of another run left out of account."""
        try:
            return read_arrays(self.path) if owner_of(self.path) == self.owner else None
        except CorruptFileError:
            move_aside(self.path)
            return None

    def save(self, arrays: Arrays) -> None:
        """Replace it, atomically."""
        write_arrays(self.path, arrays, self.owner)

    def part(self, name: str) -> DirectoryCheckpoints:
        """Where a part of the fit keeps its own, beside this one."""
        return replace(self, path=self.path.with_name(f"{self.path.stem}-{name}{self.path.suffix}"))

    def clear(self) -> None:
        """Drop it, and those of all parts."""
        for path in [self.path, *self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}")]:
            remove(path)
