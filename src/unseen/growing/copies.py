"""Exact copies of a sample, with its label: one of them stands for all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unseen.types import IdArray, IntArray

__all__ = ["Copies"]


class Copies:
    """Samples in groups of copies. All that is chosen among copies goes by id, so no order of rows matters.

    Args:
        ids: (n,).
        labels: int64 (n,): copies with another label are no copies.
        groups: int64 (n,) samples of the same content share one; None where content is not known.

    >>> copies = Copies(np.arange(5), np.array([0, 0, 1, 0, 0]), np.array([7, 7, 7, 9, 7]))
    >>> copies.heads.tolist()
    [0, 2, 3]
    >>> [rows.tolist() for rows in copies.split(np.array([4, 3, 1]))]
    [[1, 3], [4]]

    """

    def __init__(self, ids: IdArray, labels: IntArray, groups: IntArray | None) -> None:
        n = len(ids)
        content = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        self.of = np.unique(content * (int(labels.max(initial=0)) + 1) + labels, return_inverse=True)[1]
        by_id = np.argsort(ids, kind="stable")
        together = by_id[np.argsort(self.of[by_id], kind="stable")]
        sizes = np.bincount(self.of)
        # Which copy of its group each sample is: the first, the second, ...
        turn = np.empty(n, np.int64)
        turn[together] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.place = np.empty(n, np.int64)
        self.place[by_id[np.argsort(turn[by_id], kind="stable")]] = np.arange(n)
        self.heads: IntArray = np.flatnonzero(turn == 0)

    def ordered(self, rows: IntArray) -> IntArray:
        """First copies before second ones, and by id."""
        return rows[np.argsort(self.place[rows])]

    def split(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """One of each group, ascending, and the copies that are left, first copies first."""
        ordered = self.ordered(rows)
        first = np.unique(self.of[ordered], return_index=True)[1]
        spare = np.ones(len(ordered), bool)
        spare[first] = False
        return np.sort(ordered[first]), ordered[spare]

    def outside(self, members: IntArray, eligible: npt.NDArray[np.bool_]) -> IntArray:
        """One of each group that has no member, ascending."""
        taken = np.zeros(len(self.of), bool)
        taken[self.of[members]] = True
        free: IntArray = self.heads[eligible[self.heads] & ~taken[self.of[self.heads]]]
        return free

    def fill(self, members: IntArray, eligible: npt.NDArray[np.bool_], count: int) -> IntArray:
        """`count` samples that are no members, first copies first: for when nothing new is left."""
        free = eligible.copy()
        free[members] = False
        return self.ordered(np.flatnonzero(free))[:count]
