"""What learners of vectors that leave samples out in closed form have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unseen.errors import ArgumentError, DataError
from unseen.exposure import Fit
from unseen.protocols import Data
from unseen.scoring import joined_groups
from unseen.types import IntArray

__all__ = ["bound", "positive", "vectors_only", "whole_groups"]


def positive(name: str, value: float | str) -> float | str:
    """An option that is a number above 0, or `"auto"`."""
    if value == "auto":
        return "auto"
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 < float(value) < np.inf:
        raise ArgumentError(f"{name} must be a number above 0, or 'auto', got {value!r}")
    return float(value)


def vectors_only(data: Data, learner: str) -> None:
    """Refuse data of another kind."""
    if data.kind != "vector":
        raise DataError(
            f"{learner} learns from vectors (n, d), but this is {data.kind} data: pass embeddings: those that "
            "`unseen embed` makes without any label, or of a network that was not trained on these labels"
        )


def bound(data: Data, fit: Fit) -> IntArray:
    """int64 (n,): the groups that leave together while options are chosen; the folds of a fit are no groups."""
    given = None
    if fit.apart is not None and fit.folds is None:
        given = np.arange(len(data))
        given[fit.unseen] = len(data) + np.asarray(fit.apart)
    groups = joined_groups(data.groups, data.duplicate_groups(), given)
    return np.arange(len(data)) if groups is None else groups


def whole_groups(rows: IntArray, of: IntArray, block: int) -> Iterator[IntArray]:
    """Rows in pieces of at least a block, no group in two of them, in the order in which groups appear.

    Args:
        rows: int64 (m,).
        of: int64 (m,) group of each.
        block: how many at a time.

    """
    _, first, group = np.unique(of, return_index=True, return_inverse=True)
    order = np.argsort(first[group], kind="stable")
    rows, group = rows[order], group[order]
    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(rows))
    start = 0
    while start < len(rows):
        end = int(ends[min(int(np.searchsorted(ends, start + block)), len(ends) - 1)])
        yield rows[start:end]
        start = end
