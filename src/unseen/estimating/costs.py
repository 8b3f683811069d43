"""What the fits of a learner cost, whichever way that was found."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Protocol

import numpy as np

from unseen.estimating.counting import Size
from unseen.estimating.ranges import Range
from unseen.runs.checkpoints import DirectoryCheckpoints

__all__ = ["FASTER", "SLOWER", "Costs", "makespan", "writing_seconds"]

# A machine is never twice as fast; what else runs on it, its clock and its caches move a time by about this much.
FASTER, SLOWER = 0.8, 1.3
MOST_WRITTEN = 2**27  # bytes; more take as long for each


class Costs(Protocol):
    """What fits cost, from what was measured.

    Attributes:
        measured: what was, in words with its unit, to the figure.
        notes: what the reader should know of how it was measured.
        checkpoint_bytes: of the checkpoint of one fit in the run directory.
        result_bytes: of what is kept of a fit, for each sample that it watches.

    """

    measured: dict[str, float]
    notes: list[str]
    checkpoint_bytes: float
    result_bytes: float

    def seconds(self, size: Size) -> Range:
        """Of one fit."""

    def once(self) -> Range:
        """Seconds that a process spends before its first fit."""

    def memory(self, size: Size) -> Range:
        """Bytes of a process that does such a fit, beside the interpreter, libraries and scores."""


def makespan(fits: dict[Size, int], costs: Costs, slots: int) -> Range:
    """Seconds until all fits are done, so many at a time, as they come.

    A slot takes the next fit when it is free. The fits of a plan are of one size or nearly so, so that this is the
    longest of them times how many a slot gets.
    """
    count = sum(fits.values())
    if slots == 1 or count < 2:
        whole = Range.exactly(0.0)
        for size, times in fits.items():
            whole += costs.seconds(size).times(times)
        return whole
    longest = Range.exactly(0.0)
    for size in fits:
        longest = longest.at_least(costs.seconds(size))
    return longest.times(-(-count // slots))


def writing_seconds(sizes: Sequence[float]) -> float:
    """Seconds to write a file of arrays of so many bytes as runs do, on the disk of temporary files."""
    count = sum(sizes)
    if not count:
        return 0.0
    share = min(1.0, MOST_WRITTEN / count)
    content = {f"array{i}": np.zeros(int(share * size) + 1, np.uint8) for i, size in enumerate(sizes)}
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryCheckpoints(Path(folder) / "state.npz", "0" * 32)
        for _ in range(3 if count < MOST_WRITTEN else 1):
            start = perf_counter()
            store.save(content)
            seconds.append(perf_counter() - start)
    return median(seconds) / share
