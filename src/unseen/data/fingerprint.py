"""What a data set looked like, in a few digests, so that a run is never continued on other data.

The **cheap** fingerprint (the default) holds: the number, shape, type and kind of samples; digests of all labels,
ids, class names and groups, in order; the content of 256 samples, chosen by a fixed seed; and, for data in files,
the name, size and modification time of every file. It is cheap for a million images.

What the cheap one **cannot see**: for arrays and other data in memory, a changed sample that is not among the 256
(a change of one sample in a million is missed with probability 0.9997, of 1 % of the samples with 0.08). For data
in files, a changed file outside the 256 whose size and modification time were both kept (`cp -p` of a file of the
same size, a disk fault). It also sees what is no change: a copy of the files with new times is "other data".

The **full** one (`full=True`, `--verify full`) digests the content of every sample instead, and leaves modification
times out: it sees every change, and a mere copy is the same data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.errors import DataError
from unseen.types import IntArray

__all__ = ["Files", "Watch", "changed", "digest", "digest_values", "sample_rows", "stamp", "stamped"]

SAMPLE = 256


@dataclass(frozen=True, eq=False)
class Files:
    """The files behind a data set when it was opened, and a digest of their names, sizes and times."""

    count: int
    bytes: int
    digest: str


class Watch:
    """Files that are read again and again, as they were when they were opened: size, modification time and inode.

    Args:
        places: the files; those that are gone already, as maps of unnamed files are, are not watched.

    """

    def __init__(self, places: Iterable[Path]) -> None:
        states = {place.absolute(): _identity(place) for place in places}
        self._states = {place: state for place, state in states.items() if state is not None}

    def check(self) -> None:
        """Refuse files that are not as they were.

        Raises:
            DataError: one of them has changed, was replaced, or is gone.

        """
        for place, state in self._states.items():
            if _identity(place) != state:
                raise changed(place, "its size or time is another, or another file took its place")


def changed(where: Path | str, how: str) -> DataError:
    """The error to raise for a file that is no longer what it was."""
    return DataError(f"{where} has changed since it was opened ({how}); begin again with the data as it is now")


def stamp(root: Path, names: Iterable[str]) -> Files:
    """Names, sizes and modification times of files below `root`; of what is not there, the name."""
    return stamped((name, *_state(root / name)) for name in names)


def stamped(files: Iterable[tuple[str, int, int | str | None]]) -> Files:
    """Of the name and size of each file, and a time or digest if there is one."""
    seen, count, total = blake2b(digest_size=16), 0, 0
    for name, size, mark in files:
        seen.update(json.dumps([name, size, mark]).encode())
        count, total = count + 1, total + size
    return Files(count, total, seen.hexdigest())


def _state(path: Path) -> tuple[int, int | None]:
    try:
        status = path.stat()
    except OSError:  # a broken link, which whoever opens the data set refuses or skips
        return 0, None
    return status.st_size, status.st_mtime_ns


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def sample_rows(n: int) -> IntArray:
    """The rows whose content the cheap fingerprint holds, ascending: 256, or all of fewer."""
    if n <= SAMPLE:
        return np.arange(n)
    return np.sort(seeds.generator(0, "fingerprint", n).choice(n, SAMPLE, replace=False))


def digest(array: npt.NDArray[Any]) -> str:
    """Of shape, type and values of an array of numbers or text."""
    if array.dtype.kind in "OU":
        return digest_values(array.tolist())
    about = f"{array.dtype.str}{array.shape}".encode()
    return blake2b(about + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def digest_values(values: Any) -> str:
    """Of lists of numbers, text and None."""
    return blake2b(json.dumps(values, default=repr).encode(), digest_size=16).hexdigest()
