"""Rules that read only the order of the scores: the top, and a window of the order."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, Literal

import numpy as np

from unseen.errors import ArgumentError
from unseen.rules.base import Pick, Pool, Reads, Rule, largest, one_of
from unseen.rules.budgets import share, share_of
from unseen.types import Direction, FloatArray, IntArray

__all__ = ["Top", "Window"]


@dataclass(frozen=True)
class Top(Rule):
    """The hardest, easiest or worthiest first.

    Cost:
        O(n), and the sort of what is kept.

    Fails:
        At high rates: it keeps the hard end alone, where wrong labels are and no easy sample shows what a class is. On
        CIFAR-10 it is a point above random at 30 % pruned, three below at 50 and 25 below at 80 %
        (benchmarks/quality/results.md).

    """

    first: Literal["hard", "easy"] | None = None

    name: ClassVar[str] = "top"
    reads: ClassVar[Reads] = "order"
    ordered: ClassVar[bool] = True
    formula: ClassVar[str] = "the hardest (or easiest, or worthiest) first; ties by id"
    source: ClassVar[str] = "the usual baseline; collapses at high pruning rates"

    def __post_init__(self) -> None:
        one_of("first", self.first, ("hard", "easy", None))

    def check(self, direction: Direction | None) -> None:
        """A score of worth has no hard and no easy end."""
        if direction == "worth" and self.first is not None:
            raise ArgumentError(
                f"first={self.first!r} means difficulty, but this score measures worth: leave first out, "
                "and the worthiest come first"
            )

    def pick(self, pool: Pool, budget: int) -> Pick:
        """The budget hardest, in that order."""
        values = pool.need("values")
        if self.first == "easy":
            values = -values
        return Pick(_descending(values, largest(values, budget)), ordered=True)


@dataclass(frozen=True)
class Window(Rule):
    """A window of the difficulty order, some way from the hard end.

    Cost:
        O(n), and the sort of what is kept.

    Fails:
        Where the offset does not suit the data: none is best on clean digits, 0.3 on CIFAR-10, and no one value for all
        rates (benchmarks/quality/results.md). `bws` looks for it.

    """

    offset: float = 0.0

    name: ClassVar[str] = "window"
    reads: ClassVar[Reads] = "order"
    ordered: ClassVar[bool] = True
    formula: ClassVar[str] = "skip `offset` from the hard (or worthiest) end, then take the budget in order; ties by id"
    source: ClassVar[str] = "Choi et al. 2024 (BWS, arXiv 2406.03057), which also searches the offset"

    def __post_init__(self) -> None:
        if isinstance(self.offset, bool) or not isinstance(self.offset, Integral):
            share_of("offset (unless an int, a count)", self.offset)
        elif self.offset < 0:
            raise ArgumentError(f"offset as a count must be at least 0, got {self.offset}")

    def capacity(self, m: int) -> int:
        """What is left behind the offset."""
        return max(m - self._skipped(m), 0)

    def limit(self) -> str:
        """The offset."""
        return f"window with offset={self.offset!r}"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """The window, hardest first."""
        values = pool.need("values")
        skipped = self._skipped(len(values))
        inside = np.zeros(len(values), bool)
        inside[largest(values, skipped + budget)] = True
        inside[largest(values, skipped)] = False
        return Pick(_descending(values, np.flatnonzero(inside)), ordered=True)

    def _skipped(self, m: int) -> int:
        return int(self.offset) if isinstance(self.offset, Integral) else share(self.offset, m)


def _descending(values: FloatArray, at: IntArray) -> IntArray:
    # `at` ascends and the sort is stable, so equal values stay in the order of their ids.
    return at[np.argsort(-values[at], kind="stable")]
