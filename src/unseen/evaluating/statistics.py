"""What a few trainings say: means with intervals, paired differences, and verdicts in words.

Numbers in, numbers and words out; nothing here knows a data set. A **replicate** is one training of each arm under the
same seeds, so arms are compared replicate by replicate: what the seed does to both drops out of the difference.

Two things were drawn: the seeds and the test samples. The variance of a mean is the sum of both: that over replicates
/ R, and that over test samples / m, each of a sample's mean over replicates. What a seed does to single samples is
counted in both, which errs on the safe side. The degrees of freedom are Satterthwaite's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray
from unseen.errors import ArgumentError

__all__ = [
    "FEWEST",
    "MOST_SEEDS",
    "Interval",
    "Sampling",
    "Verdict",
    "against_full",
    "against_random",
    "interval",
    "losing",
    "paired",
    "sampling_error",
]

Word = Literal["lossless", "loses", "better", "worse", "undecided"]

FEWEST = 3  # replicates that give a verdict; two may agree by chance
MOST_SEEDS = 100  # more than these are not told as a number
LARGE = 0.05  # what a class may lose beyond a random part before a verdict names it, however many samples it has
TOLD = 3  # classes named one by one
_NO_END = 10**9  # seeds
_SAME = 1e-12  # differences of accuracies that differ by less are one number


class Sampling(NamedTuple):
    """The standard error of a mean that comes of the test set being a sample, and the number of test samples."""

    error: float
    n: int

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Sampling:
        """See `sampling_error`; of (R, m) values."""
        return cls(sampling_error(values), np.atleast_2d(np.asarray(values)).shape[1])


@dataclass(frozen=True)
class Interval:
    """A mean over replicates, and the t-interval around it.

    Args:
        mean: of the replicates.
        low: NaN where it is not known: of fewer than two replicates, or of replicates that are all the same where
            nothing is known of the test set.
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
        classes: those that lose, whatever is true of all together.

    """

    word: Word
    text: str
    more: int | None = None
    classes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it is good news without a but: nothing is lost or something gained, and no class loses."""
        return self.word in ("lossless", "better") and not self.classes


def interval(values: npt.ArrayLike, level: float = 0.95, *, sampling: Sampling | None = None) -> Interval:
    """The mean and its t-interval.

    Replicates that are all the same show no spread, as with a learner that draws nothing: their interval is that of the
    test set alone, or not known.

    Args:
        values: float (n,), one a replicate.
        level: in (0, 1).
        sampling: of the mean; without it, the interval holds for these test samples only.

    Raises:
        ArgumentError: no values, or a level outside (0, 1).

    >>> interval([0.5, 0.5])
    Interval(mean=0.5, low=nan, high=nan, n=2, level=0.95)
    >>> interval([0.5, 0.5], sampling=Sampling(0.01, 2500)).text()
    '50.0 ± 2.0'

    """
    x = _replicates(values, level)
    half = float(_Spread.of(x, sampling).half((1 + level) / 2))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x), level)


def paired(a: npt.ArrayLike, b: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The mean of a - b over replicates, and its t-interval.

    >>> round(paired([0.91, 0.93, 0.90], [0.90, 0.92, 0.89]).mean, 6)
    0.01
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ArgumentError(f"pairs need as many replicates on both sides, got {a.shape} and {b.shape}")
    return interval(a - b, level)


def against_full(
    differences: npt.ArrayLike,
    *,
    sampling: Sampling | None = None,
    margin: float = 0.005,
    level: float = 0.95,
    each: str = "seed",
    trainee: str = "",
) -> Verdict:
    """Whether training on a part loses anything against training on everything.

    `lossless`: non-inferior, that is, a one-sided paired test rejects at 1 - level that the loss is as large as the
    margin. `loses`: not lossless, and the interval of the difference is wholly below 0. `undecided` otherwise, and
    always of fewer than three replicates.

    Args:
        differences: float (n,) accuracy of the part less that of everything, one a replicate.
        sampling: of their mean; without it, the verdict is about these test samples only.
        margin: the loss that counts as none, in accuracy (0.005 is half a point).
        level: of the interval; the test is at 1 - level.
        each: what a difference is of, in words.
        trainee: who was trained, in words.

    >>> against_full([-0.001, 0.001, 0.0, 0.0], trainee="ridge regression").text
    'lossless for ridge regression within 0.5 points'
    >>> against_full([-0.001, 0.001, 0.0, 0.0]).text
    'lossless within 0.5 points'
    >>> against_full([-0.020, -0.022, -0.021]).text
    'loses 2.1 ± 0.2 points'
    >>> against_full([-0.02, 0.02, 0.0]).text
    'undecided, about 43 more seeds'
    >>> against_full([-0.001, 0.001, 0.0, 0.0], sampling=Sampling(0.004, 1000)).text
    'undecided, 1,000 test samples are too few, whatever the number of seeds'
    """
    if not margin > 0:
        raise ArgumentError(f"margin must be above 0, got {margin!r}")
    x = _replicates(differences, level)
    spread = _Spread.of(x, sampling, each, trainee)
    if (unknown := _unknown(spread)) is not None:
        return unknown
    mean = float(x.mean())
    # Under a loss of the margin at least that share of the test samples is lost, however few disagree here.
    strict = spread.at_least(margin * (1 - margin))
    if mean - strict.half(level) > -margin:
        return Verdict("lossless", f"lossless{spread.whom} within {100 * margin:g} points{spread.alone}")
    found = interval(x, level, sampling=sampling)
    if found.high < 0:
        return Verdict("loses", f"loses {_loss(found)} points{spread.whom}{spread.alone}")

    def decides(n: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray((mean - strict.half(level, n) > -margin) | (mean + spread.half((1 + level) / 2, n) < 0))

    return _undecided(spread, decides)


def against_random(
    differences: npt.ArrayLike,
    *,
    sampling: Sampling | None = None,
    level: float = 0.95,
    each: str = "seed",
    trainee: str = "",
) -> Verdict:
    """Whether a part chosen is better than as large a part drawn at random: the interval lies on one side of 0.

    `undecided` otherwise, and always of fewer than three replicates.

    Args:
        differences: float (n,) accuracy of the part less that of the random one, one a replicate.
        sampling: of their mean; without it, the verdict is about these test samples only.
        level: of the interval.
        each: what a difference is of, in words.
        trainee: who was trained, in words.

    >>> against_random([0.010, 0.012, 0.011]).text
    'better by 1.1 ± 0.2 points'
    >>> against_random([0.0, 0.0]).text
    'undecided: 2 independent replicates give no verdict, 3 or more are needed'

    """
    x = _replicates(differences, level)
    spread = _Spread.of(x, sampling, each, trainee)
    if (unknown := _unknown(spread)) is not None:
        return unknown
    found = interval(x, level, sampling=sampling)
    if found.low > 0:
        return Verdict("better", f"better by {found.text()} points{spread.whom}{spread.alone}")
    if found.high < 0:
        return Verdict("worse", f"worse by {_loss(found)} points{spread.whom}{spread.alone}")
    return _undecided(spread, lambda n: abs(found.mean) > spread.half((1 + level) / 2, n))


def losing(
    changes: Mapping[str, Interval], *, margin: float, large: float | None = None, than: str = ""
) -> tuple[tuple[str, ...], str]:
    """Name the classes that lose, worst first, and say how much: those whose interval is wholly below 0.

    Args:
        changes: class to the change of its accuracy; intervals that hold together.
        margin: the loss that counts as none.
        large: a loss that is told even where it may be chance, of too few samples or seeds; None tells none.
        than: what they lose more than with.

    >>> found = {"cat": Interval(-0.09, -0.12, -0.06, 5), "dog": Interval(-0.06, -0.13, 0.01, 5)}
    >>> losing(found, margin=0.005)
    (('cat',), 'class cat loses 9.0 ± 3.0 points')
    >>> losing(found, margin=0.005, large=0.05, than="random")[1]
    'class cat loses 9.0 ± 3.0 points more than with random, class dog perhaps 6.0 ± 7.0'

    """
    known = {c: change for c, change in changes.items() if change.n >= FEWEST and change.high < 0}
    sure = [c for c, change in known.items() if -change.mean > margin]
    perhaps = [c for c, change in changes.items() if c not in sure and large is not None and -change.mean > large]
    named = sorted([*sure, *perhaps], key=lambda c: (c not in sure, changes[c].mean))
    if not named:
        return (), ""
    who = [f"class {c}{'' if c in sure else ' perhaps'}" for c in named[:TOLD]]
    loss = [_loss(changes[c]) for c in named[:TOLD]]
    first = f"{who[0]} loses {loss[0]} points{f' more than with {than}' if than else ''}"
    rest = [f"{one} {points}" for one, points in zip(who[1:], loss[1:], strict=True)]
    if (more := len(named) - len(who)) > 0:
        rest.append(f"{more} more class{'' if more == 1 else 'es'}")
    return tuple(named), ", ".join([first, *rest])


def sampling_error(values: npt.ArrayLike) -> float:
    """The standard error that comes of the test set being a sample, apart from that of the seeds.

    Two samples are added, which deviate by one in all: a few samples that agree by chance are no certainty (after
    Agresti and Min 2005).

    Args:
        values: (R, m) whether (0 or 1) each of m test samples was predicted rightly in each of R replicates; or the
            difference of two such arrays, for that of a paired difference.

    >>> round(sampling_error([[1, 0, 1, 1]]), 3)
    0.22
    """
    mean = np.atleast_2d(np.asarray(values, np.float64)).mean(axis=0)
    return float(np.sqrt(((mean - mean.mean()) ** 2).sum() + 1) / (len(mean) + 2)) if len(mean) > 1 else float("nan")


class _Spread(NamedTuple):
    """What the mean of R replicates may be off by.

    Args:
        replicates: R.
        seeds: the variance over replicates, NaN of one.
        test: the variance of the mean that comes of the test set; 0 where it counts as given.
        samples: of the test set, 0 likewise.
        each: what a replicate is of, in words.
        trainee: who was trained, in words.

    """

    replicates: int
    seeds: float
    test: float
    samples: int
    each: str
    trainee: str

    @classmethod
    def of(cls, x: FloatArray, sampling: Sampling | None, each: str = "seed", trainee: str = "") -> _Spread:
        seeds = float("nan") if len(x) < 2 else 0.0 if np.ptp(x) <= _SAME else float(x.var(ddof=1))
        known = sampling is not None and np.isfinite(sampling.error)
        test = (sampling.error**2, sampling.n) if known and sampling else (0.0, 0)
        return cls(len(x), seeds, *test, each, trainee)

    @property
    def whom(self) -> str:
        """For whom a verdict holds, behind its first words."""
        return f" for {self.trainee}" if self.trainee else ""

    @property
    def alone(self) -> str:
        """What a verdict says where the seeds add nothing."""
        return "" if self.seeds else f", by the test set alone: the difference is the same for every {self.each}"

    def at_least(self, variance: float) -> _Spread:
        """The same with at least this variance over single test samples."""
        return self._replace(test=max(self.test, variance / self.samples)) if self.samples else self

    def half(self, p: float, replicates: Any = None) -> Any:
        """Half the width of the interval up to the quantile p, NaN where nothing is known; of other numbers of
        replicates too, at the spread seen.
        """
        from scipy.special import stdtrit

        n = np.asarray(self.replicates if replicates is None else replicates)
        seeds = self.seeds / n
        variance = seeds + self.test
        if not self.seeds >= 0 or not np.all(variance > 0):
            return np.full(n.shape, np.nan)
        freedom = variance**2 / (seeds**2 / np.maximum(n - 1, 1) + self.test**2 / max(self.samples - 1, 1))
        return stdtrit(freedom, p) * np.sqrt(variance)


def _replicates(values: npt.ArrayLike, level: float) -> FloatArray:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not len(x):
        raise ArgumentError(f"values must have shape (n,), one a replicate, got {x.shape}")
    if not 0 < level < 1:
        raise ArgumentError(f"level must be in (0, 1), got {level!r}")
    return x


def _unknown(spread: _Spread) -> Verdict | None:
    """The verdict where there can be none."""
    if spread.replicates < FEWEST:
        some = f"{spread.replicates} independent replicate{' gives' if spread.replicates == 1 else 's give'}"
        return Verdict("undecided", f"undecided{spread.whom}: {some} no verdict, {FEWEST} or more are needed")
    if not spread.seeds + spread.test:
        same = f"the difference is the same for every {spread.each}"
        return Verdict("undecided", f"undecided{spread.whom}: {same}, and nothing is known of the test set")
    return None


def _undecided(spread: _Spread, decides: Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]) -> Verdict:
    enough = np.flatnonzero(decides(spread.replicates + 1 + np.arange(MOST_SEEDS)))
    more = int(enough[0]) + 1 if len(enough) else MOST_SEEDS + 1
    if more > MOST_SEEDS and spread.samples and not decides(np.array([_NO_END]))[0]:
        few = f"{spread.samples:,} test samples are too few, whatever the number of seeds"
        return Verdict("undecided", f"undecided{spread.whom}, {few}", more)
    told = f"more than {MOST_SEEDS}" if more > MOST_SEEDS else f"about {more}"
    return Verdict("undecided", f"undecided{spread.whom}, {told} more seed{'' if more == 1 else 's'}", more)


def _loss(found: Interval) -> str:
    return Interval(-found.mean, -found.high, -found.low, found.n, found.level).text()
