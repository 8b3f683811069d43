"""What a few trainings say: means with intervals, paired differences, and verdicts in words.

Numbers in, numbers and words out; nothing here knows a data set. A **replicate** is one training of each arm under the
same seeds, so arms are compared replicate by replicate: what the seed does to both drops out of the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.types import FloatArray

__all__ = [
    "MOST_SEEDS",
    "Interval",
    "Verdict",
    "against_full",
    "against_random",
    "interval",
    "paired",
    "sampling_error",
]

Word = Literal["lossless", "loses", "better", "worse", "undecided"]

MOST_SEEDS = 100  # more than these are not told as a number
_SAME = 1e-12  # differences of accuracies that differ by less are one number


@dataclass(frozen=True)
class Interval:
    """A mean over replicates, and the t-interval around it.

    Args:
        mean: of the replicates.
        low: NaN where it is not known: of fewer than two replicates, or of replicates that are all the same.
        high: likewise.
        n: replicates.
        level: the share of such intervals that hold the true mean.

    >>> interval([0.90, 0.92, 0.94]).text()
    '92.0 ± 5.0'

    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    @property
    def half(self) -> float:
        """Half its width; NaN where it is not known."""
        return (self.high - self.low) / 2

    def text(self, *, sign: bool = False, digits: int = 1) -> str:
        """In per cent, or in points: `'92.0 ± 5.0'`; without an interval the mean alone."""
        mean = f"{100 * self.mean:{'+' if sign else ''}.{digits}f}"
        return mean if np.isnan(self.low) else f"{mean} ± {100 * self.half:.{digits}f}"


@dataclass(frozen=True)
class Verdict:
    """What a paired test says.

    Args:
        word: one of `lossless`, `loses`, `better`, `worse`, `undecided`.
        text: the same in words, with figures in points.
        more: how many more replicates would decide at the spread seen; None where it is decided or nothing is known
            of the spread, `MOST_SEEDS + 1` for more than are told as a number.

    """

    word: Word
    text: str
    more: int | None = None


def interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The mean and its t-interval.

    Replicates that are all the same show no spread, as with a learner that draws nothing: their interval is not known.

    Args:
        values: float (n,), one a replicate.
        level: in (0, 1).

    Raises:
        ArgumentError: no values, or a level outside (0, 1).

    >>> interval([0.5, 0.5])
    Interval(mean=0.5, low=nan, high=nan, n=2, level=0.95)

    """
    x = _replicates(values, level)
    mean = float(x.mean())
    if _constant(x):
        return Interval(mean, float("nan"), float("nan"), len(x), level)
    half = float(_quantile((1 + level) / 2, len(x)) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half, len(x), level)


def paired(a: npt.ArrayLike, b: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The mean of a - b over replicates, and its t-interval.

    >>> round(paired([0.91, 0.93, 0.90], [0.90, 0.92, 0.89]).mean, 6)
    0.01
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ArgumentError(f"pairs need as many replicates on both sides, got {a.shape} and {b.shape}")
    return interval(a - b, level)


def against_full(differences: npt.ArrayLike, *, margin: float = 0.005, level: float = 0.95) -> Verdict:
    """Whether training on a part loses anything against training on everything.

    `lossless`: non-inferior, that is, a one-sided paired t-test rejects at 1 - level that the loss is as large as the
    margin. `loses`: not lossless, and the interval of the difference is wholly below 0. `undecided` otherwise.
    Where every replicate gave the same, that number decides by itself, and the text says so.

    Args:
        differences: float (n,) accuracy of the part less that of everything, one a replicate.
        margin: the loss that counts as none, in accuracy (0.005 is half a point).
        level: of the interval; the test is at 1 - level.

    >>> against_full([-0.001, 0.001, 0.0, 0.0]).text
    'lossless within 0.5 points'
    >>> against_full([-0.020, -0.022, -0.021]).text
    'loses 2.1 ± 0.2 points'
    >>> against_full([-0.02, 0.02, 0.0]).text
    'undecided, about 43 more seeds'
    """
    if not margin > 0:
        raise ArgumentError(f"margin must be above 0, got {margin!r}")
    x = _replicates(differences, level)
    if len(x) < 2:
        return _undecided(None)
    same = ", every seed gave the same" if _constant(x) else ""
    if _above(x, -margin, level):
        return Verdict("lossless", f"lossless within {100 * margin:g} points{same}")
    found = interval(x, level)
    if found.high < 0 or same:
        return Verdict("loses", f"loses {_loss(found)} points{same}")
    return _undecided(_more(x, lambda n: _reach(x, -margin, n, level) | _reach(-x, 0.0, n, (1 + level) / 2)))


def against_random(differences: npt.ArrayLike, *, level: float = 0.95) -> Verdict:
    """Whether a part chosen is better than as large a part drawn at random: the interval lies on one side of 0.

    Where every replicate gave the same, that number decides by itself, and the text says so.

    Args:
        differences: float (n,) accuracy of the part less that of the random one, one a replicate.
        level: of the interval.

    >>> against_random([0.010, 0.012, 0.011]).text
    'better by 1.1 ± 0.2 points'
    >>> against_random([0.0, 0.0]).text
    'undecided: every seed gave the same accuracy as random'

    """
    x = _replicates(differences, level)
    if len(x) < 2:
        return _undecided(None)
    same = ", every seed gave the same" if _constant(x) else ""
    found = interval(x, level)
    low, high = (found.mean, found.mean) if same else (found.low, found.high)
    if low > _SAME:
        return Verdict("better", f"better by {found.text()} points{same}")
    if high < -_SAME:
        return Verdict("worse", f"worse by {_loss(found)} points{same}")
    if _constant(x):
        return Verdict("undecided", "undecided: every seed gave the same accuracy as random")
    return _undecided(_more(x, lambda n: _reach(np.sign(x.mean()) * x, 0.0, n, (1 + level) / 2)))


def sampling_error(values: npt.ArrayLike) -> float:
    """The standard error that comes of the test set being a sample, apart from that of the seeds.

    Args:
        values: (R, m) whether (0 or 1) each of m test samples was predicted rightly in each of R replicates; or the
            difference of two such arrays, for that of a paired difference.

    >>> round(sampling_error([[1, 0, 1, 1]]), 3)
    0.25
    """
    mean = np.atleast_2d(np.asarray(values, np.float64)).mean(axis=0)
    return float(mean.std(ddof=1) / np.sqrt(len(mean))) if len(mean) > 1 else float("nan")


def _replicates(values: npt.ArrayLike, level: float) -> FloatArray:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not len(x):
        raise ArgumentError(f"values must have shape (n,), one a replicate, got {x.shape}")
    if not 0 < level < 1:
        raise ArgumentError(f"level must be in (0, 1), got {level!r}")
    return x


def _constant(x: FloatArray) -> bool:
    return bool(np.ptp(x) <= _SAME)


def _quantile(p: float, n: int | npt.NDArray[Any]) -> Any:
    from scipy.special import stdtrit

    return stdtrit(np.asarray(n) - 1, p)


def _above(x: FloatArray, bound: float, level: float) -> bool:
    """Whether a one-sided t-test rejects at 1 - level that the mean is the bound or less."""
    if _constant(x):  # which a t-test cannot take
        return bool(x.mean() > bound + _SAME)
    return bool(_reach(x, bound, np.asarray(len(x)), level))


def _reach(x: FloatArray, bound: float, n: npt.NDArray[Any], p: float) -> npt.NDArray[np.bool_]:
    """Whether n replicates of this mean and spread would put the mean above the bound."""
    reached: npt.NDArray[np.bool_] = x.mean() - _quantile(p, n) * x.std(ddof=1) / np.sqrt(n) > bound
    return reached


def _more(x: FloatArray, decides: Any) -> int:
    n = len(x) + 1 + np.arange(MOST_SEEDS)
    enough = np.flatnonzero(decides(n))
    return int(enough[0]) + 1 if len(enough) else MOST_SEEDS + 1


def _undecided(more: int | None) -> Verdict:
    if more is None:
        return Verdict("undecided", "undecided, one replicate shows no spread: 2 or more are needed")
    told = f"more than {MOST_SEEDS}" if more > MOST_SEEDS else f"about {more}"
    return Verdict("undecided", f"undecided, {told} more seed{'' if more == 1 else 's'}", more)


def _loss(found: Interval) -> str:
    return Interval(-found.mean, -found.high, -found.low, found.n, found.level).text()
