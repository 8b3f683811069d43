"""What the finished fits of a run yielded, read without taking part in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from unseen.runs.arrays import owner_of, read_arrays
from unseen.runs.directory import RunDirectory
from unseen.runs.manifest import digest_of

__all__ = ["results_of"]


def results_of(run: Path) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    """Name and arrays of every finished fit of this configuration, by name, one at a time.

    Raises:
        RunError: there is no run.
        CorruptFileError: a result is damaged.

    """
    owner = digest_of(RunDirectory(run).manifest())
    for path in sorted(run.glob("fits/*/result.npz")):
        if owner_of(path) == owner:
            yield path.parent.name, read_arrays(path)
