"""Sums over the rows that fits are trained on, from those over all rows where that is nearer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unseen.closed_form import LinAlgError, Solution, Sums, solve
from unseen.errors import DataError
from unseen.learners.ridge.reading import Rows
from unseen.types import FloatArray, IntArray

__all__ = ["Known", "remains", "solved"]

# Sums are subtracted while this share of every column's squares remains: rounding grows by at most its inverse, to
# about 1e-13 relative. Below it, the sums are made anew.
REMAINING = 1e-3
MOST_ERROR = 0.01  # relative, of outputs by float32 products


@dataclass(eq=False)
class Known:
    """Sums over training sets: of few rows made anew, of many those over all rows less the others.

    Args:
        rows: the data set.

    """

    rows: Rows
    _whole: Sums | None = field(default=None, init=False)

    def over(self, rows: IntArray) -> Sums:
        """The sums over these rows, int64, ascending."""
        everything = np.arange(len(self.rows.data))
        if 2 * len(rows) <= len(everything):
            return self.rows.summed(rows)
        if self._whole is None:
            self._whole = self.rows.summed(everything)
        left = np.setdiff1d(everything, rows, assume_unique=True)
        if not len(left):
            return self._whole
        rest = self._whole - self.rows.summed(left, self._whole.centre)
        return rest if remains(rest, self._whole) else self.rows.summed(rows)


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
