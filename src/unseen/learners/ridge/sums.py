"""Sums over the rows that fits are trained on, each from the nearest that is known already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from unseen.closed_form import LinAlgError, Solution, Sums, solve
from unseen.errors import DataError
from unseen.learners.ridge.reading import Rows
from unseen.types import FloatArray, IntArray

__all__ = ["Known", "remains", "solved"]

# Sums are subtracted while this share of every column's squares remains: rounding grows by at most its inverse, to
# about 1e-13 relative. Below it, the sums are made anew.
REMAINING = 1e-3
REFIT = 4  # sets of rows along a route before sums are made anew, and compared
MOST_ERROR = 0.01  # relative, of outputs by float32 products


@dataclass(eq=False)
class Known:
    """Sums over training sets, each reached from one that is near: all rows, or the coreset of the step before.

    By which way is a function of the rows asked for and of their `route` alone, never of what was asked before, so
    that a run that is continued gives the same numbers: what is held from before only saves the way.

    Args:
        rows: the data set.

    """

    rows: Rows
    _whole: Sums | None = field(default=None, init=False)
    _held: tuple[list[IntArray], Sums] | None = field(default=None, init=False)  # the last route, and its sums

    def over(self, rows: IntArray, route: Sequence[IntArray] = ()) -> Sums:
        """The sums over these rows.

        Args:
            rows: int64, ascending.
            route: sets of rows, each ascending, by which these are reached; see `unseen.exposure.Fit`. Every
                `REFIT`-th is summed anew.

        """
        if not route:
            return self._by_all(rows)
        last = (len(route) - 1) % REFIT
        return self._moved(self._along(list(route[len(route) - 1 - last :])), route[-1], rows)

    def drift(self, route: Sequence[IntArray]) -> float | None:
        """At a set that is summed anew: how far the sums would be off by now, had they gone on being updated.

        Relative to the largest entry of X'X; None where there is nothing to compare with.
        """
        if self._held is None or len(route) < 2 or (len(route) - 1) % REFIT:
            return None
        way, sums = self._held
        if not np.array_equal(way[-1], route[-2]):
            return None
        updated, anew = (s.centred().gram for s in (self._moved(sums, way[-1], route[-1]), self._by_all(route[-1])))
        return float(np.abs(updated - anew).max() / np.abs(anew).max())

    def _along(self, way: list[IntArray]) -> Sums:
        """The sums over the last of these sets, from those over the first."""
        held, sums = self._held or ([], None)
        known = next((k for k in (len(way), len(way) - 1) if k and _same(held, way[:k])), 0)
        if not known or sums is None:
            known, sums = 1, self._by_all(way[0])
        for before, after in pairwise(way[known - 1 :]):
            sums = self._moved(sums, before, after)
        self._held = way, sums
        return sums

    def _moved(self, sums: Sums, of: IntArray, to: IntArray) -> Sums:
        """From the sums over one set of rows to those over another, if that is cheaper and loses no digits."""
        left, entered = (np.setdiff1d(a, b, assume_unique=True) for a, b in ((of, to), (to, of)))
        if len(left) + len(entered) >= len(to):
            return self._by_all(to)
        if len(entered):
            sums += self.rows.summed(entered, sums.centre)
        if not len(left):
            return sums
        moved = sums - self.rows.summed(left, sums.centre)
        return moved if remains(moved, sums) else self.rows.summed(to)

    def _by_all(self, rows: IntArray) -> Sums:
        everything = np.arange(len(self.rows.data))
        if 2 * len(rows) <= len(everything):
            return self.rows.summed(rows)
        if self._whole is None:
            self._whole = self.rows.summed(everything)
        return self._moved(self._whole, everything, rows)


def _same(held: list[IntArray], way: list[IntArray]) -> bool:
    return len(held) == len(way) and all(np.array_equal(a, b) for a, b in zip(held, way, strict=True))


def remains(sums: Sums, of: Sums) -> bool:
    """Whether enough of the squares about the mean is left after a subtraction."""
    return bool((_squares(sums) >= REMAINING * _squares(of)).all())


def _squares(sums: Sums) -> FloatArray:
    """float64 (d,) about the mean; never below what rounding makes of 0."""
    squares: FloatArray = np.diag(sums.gram) - sums.rows**2 / sums.n
    return np.maximum(squares, 1e-15 * np.diag(sums.gram))


def solved(sums: Sums, lam: float, fit: str, *, precision: str = "float64") -> Solution:
    """The regression of these sums, or the reason why there is none."""
    if precision == "float32":
        _check_condition(sums, lam)
    try:
        return solve(sums, lam)
    except LinAlgError as error:
        raise DataError(
            f"lam={lam:.3g} is too small for fit {fit} ({sums.n:g} samples of {len(sums.centre)} features): the matrix "
            "is singular to working precision; raise lam, or use lam=auto"
        ) from error


def _check_condition(sums: Sums, lam: float) -> None:
    values = np.linalg.eigvalsh(sums.centred().gram)
    condition = (values[-1] + lam) / (max(values[0], 0.0) + lam)
    if condition * np.finfo(np.float32).eps > MOST_ERROR:
        raise DataError(
            f"precision='float32' is too coarse for these features at lam={lam:.3g}: the condition number is "
            f"{condition:.1g}, so outputs could be off by more than {MOST_ERROR:.0%}; use precision='float64', or "
            "raise lam"
        )
