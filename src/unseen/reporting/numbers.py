"""Scores and coresets reduced to what a page can show: arrays in, a few numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unseen.types import Coreset, FloatArray, IntArray, ScoreTable

__all__ = ["ClassRow", "Crowding", "Cut", "class_rows", "crowding", "cut_of", "edges_of", "order_of", "scored"]

_BINS = 100
_AROUND = 0.125  # share of the samples on each side of a cut by which it is judged
_CLEAR = 0.5  # difference of the shares kept on both sides from which on it is a cut

Kept = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Crowding:
    """How well a score tells samples apart.

    Args:
        distinct: different values.
        n: samples scored.
        fullest: share of the samples in the fullest hundredth of the range.
        filled: how many equally full hundredths would hold as much information (exp of the entropy).

    """

    distinct: int
    n: int
    fullest: float
    filled: float


@dataclass(frozen=True)
class Cut:
    """Where in the order of the scores choosing changes most.

    Args:
        value: the score there.
        at: how many samples lie below it in the order.
        below: share kept of those just below.
        above: share kept of those just above.

    """

    value: float
    at: int
    below: float
    above: float


@dataclass(frozen=True)
class ClassRow:
    """A class before and after.

    Args:
        name: of the class.
        n: its samples.
        kept: those in the coreset, or None without one.
        accuracy: share of its samples that were predicted rightly; None where nobody predicted.
        quantiles: of its scores, at 5, 25, 50, 75 and 95 %; None where none was scored.

    """

    name: str
    n: int
    kept: int | None
    accuracy: float | None
    quantiles: tuple[float, ...] | None


def order_of(values: FloatArray) -> IntArray:
    """int64 rows from the lowest to the highest score, equal ones by row; those without a score are left out.

    >>> order_of(np.array([0.5, np.nan, 0.1, 0.5])).tolist()
    [2, 0, 3]
    """
    order = np.argsort(values, kind="stable")
    return order[: len(values) - int(np.isnan(values).sum())]


def scored(table: ScoreTable, score: str) -> FloatArray:
    """The score of each sample, float64 (n,); NaN where there is none, or no finite one."""
    values = table.column(score)
    return values if np.isfinite(values).all() else np.where(np.isfinite(values), values, np.nan)


def edges_of(*columns: FloatArray, bins: int = 60) -> FloatArray:
    """Edges of equal bins over the common range of some scores, float64 (bins + 1,).

    >>> edges_of(np.array([0.0, 1.0]), np.array([2.0, np.nan]), bins=4).tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    low = min(float(np.nanmin(values)) for values in columns)
    high = max(float(np.nanmax(values)) for values in columns)
    if not high > low:  # a constant score
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def crowding(values: FloatArray, edges: FloatArray) -> Crowding:
    """How well a score tells samples apart, in bins of a range that it may share with others.

    >>> found = crowding(np.array([0.0, 0.0, 0.9, 0.4]), np.linspace(0, 1, 11))
    >>> found.distinct, found.fullest, round(found.filled, 2)
    (3, 0.5, 2.83)
    """
    known = values[np.isfinite(values)]
    counts = np.histogram(known, edges)[0]
    shares = counts[counts > 0] / len(known)
    filled = float(np.exp(-(shares * np.log(shares)).sum()))
    return Crowding(len(np.unique(known)), len(known), float(shares.max()), filled)


def cut_of(values: FloatArray, kept: Kept) -> Cut | None:
    """The score at which the share kept changes most, or None where it nowhere changes by half.

    >>> cut_of(np.arange(10.0), np.arange(10) < 7)
    Cut(value=6.5, at=7, below=1.0, above=0.0)

    """
    order = order_of(values)
    inside = kept[order].astype(np.float64)
    n, total = len(inside), float(inside.sum())
    if not 0 < total < n:
        return None
    below = np.cumsum(inside)
    # Where the kept and the pruned part differ most in how much of them lies below (Kolmogorov and Smirnov).
    apart = np.abs(below / total - (np.arange(1, n + 1) - below) / (n - total))
    at = int(apart[:-1].argmax()) + 1
    width = max(1, round(_AROUND * n))
    shares = float(inside[max(0, at - width) : at].mean()), float(inside[at : at + width].mean())
    if abs(shares[0] - shares[1]) < _CLEAR:
        return None
    return Cut(float(values[order[at - 1]] + values[order[at]]) / 2, at, *shares)


def class_rows(table: ScoreTable, score: str | None, coreset: Coreset | None, most: int) -> list[ClassRow]:
    """The largest classes, largest first."""
    labels, classes = table.labels, len(table.class_names)
    sizes = np.bincount(labels, minlength=classes)
    kept = None if coreset is None else np.bincount(labels[coreset.indices], minlength=classes)
    asked, right = _predicted(table, classes)
    quantiles = None if score is None else _Quantiles(scored(table, score), labels, sizes)
    return [
        ClassRow(
            name=table.class_names[c],
            n=int(sizes[c]),
            kept=None if kept is None else int(kept[c]),
            accuracy=float(right[c] / asked[c]) if asked[c] else None,
            quantiles=None if quantiles is None else quantiles.of(c),
        )
        for c in np.argsort(-sizes, kind="stable")[:most].tolist()
    ]


def _predicted(table: ScoreTable, classes: int) -> tuple[IntArray, IntArray]:
    """Samples of each class that were predicted, and those that were predicted rightly."""
    if table.predictions is None:
        none = np.zeros(classes, np.int64)
        return none, none
    judged = table.predictions >= 0
    right = judged & (table.predictions == table.labels)
    return (
        np.bincount(table.labels[judged], minlength=classes),
        np.bincount(table.labels[right], minlength=classes),
    )


class _Quantiles:
    """Of every class, from one sort."""

    def __init__(self, values: FloatArray, labels: IntArray, sizes: IntArray) -> None:
        order = np.lexsort((values, labels))
        self._values, self._starts = values[order], np.concatenate([[0], np.cumsum(sizes)])

    def of(self, label: int) -> tuple[float, ...] | None:
        mine = self._values[self._starts[label] : self._starts[label + 1]]
        mine = mine[np.isfinite(mine)]
        return tuple(np.quantile(mine, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()) if len(mine) else None
