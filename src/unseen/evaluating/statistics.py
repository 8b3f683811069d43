"""Statistics of a few trainings: means with intervals, paired differences, and verdicts in words.

Numbers in, numbers and words out; nothing here knows a data set. A **replicate** is one training of each arm under the
same seeds, so arms are compared replicate by replicate: the effect of a seed on both drops out of the difference.

The seeds and the test samples are both random draws. The variance of a mean is therefore the sum of two parts: the
variance over R replicates, divided by R, and the variance over m test samples of their means over replicates, divided
by m. The effect of a seed on single samples is counted in both parts, which errs on the safe side. The degrees of
freedom are Satterthwaite's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import is_integer, is_number
from unseen.core.words import percent
from unseen.errors import ArgumentError
from unseen.rules.registry import LEAST_STRENGTH, UNEVEN

Word = Literal["lossless", "loses", "better", "worse", "undecided"]

FEWEST = 3  # replicates that give a verdict; two may agree by chance
MOST_SEEDS = 100  # beyond this, the number of missing seeds is not given
LARGE = 0.05  # a class that loses this much beyond a random part is named, however few samples it has
WIDEST = 0.5  # half of an interval of an accuracy; a wider one says nothing and is left out
NAMED = 3  # classes named one by one
PLURALS = {"class": "classes", "bin": "bins"}
_UNLIMITED = 10**9  # seeds
_SAME = 1e-12  # accuracy differences closer than this count as equal


GROUPS = "groups of test samples"


class Sampling(NamedTuple):
    """The standard error of a mean that is due to the random draw of the test set."""

    error: float
    n: int  # the number of test samples, or of groups of them
    counts: bool = True  # whether it is the mean of counts, right or wrong, as for an accuracy; False for R²
    unit: str = "test samples"  # what n counts, in words

    @classmethod
    def of(cls, values: npt.ArrayLike, targets: FloatArray | None = None, groups: IntArray | None = None) -> Sampling:
        """Compute it from (R, m) values; see `sampling_error`."""
        error, counts = sampling_error(values, targets, groups), targets is None
        if groups is not None:
            return cls(error, len(np.unique(groups)), counts, GROUPS)
        return cls(error, np.atleast_2d(np.asarray(values)).shape[1], counts)


@dataclass(frozen=True)
class Interval:
    """A mean over replicates, and the t-interval around it.

    The ends are NaN where they are not known: with fewer than two replicates, or where all replicates are equal and the
    sampling error of the test set is not known.

    >>> interval([0.90, 0.92, 0.94]).text()
    '92.0 ± 5.0'
    """

    mean: float
    low: float
    high: float
    n: int  # the number of replicates
    level: float = 0.95  # the share of such intervals that hold the true mean

    @property
    def half(self) -> float:
        """Half the width; NaN where it is not known."""
        return (self.high - self.low) / 2

    def text(self, *, sign: bool = False) -> str:
        """Format it in per cent or in points: `'92.0 ± 5.0'`; without an interval only the mean."""
        mean = f"{100 * self.mean:{'+' if sign else ''}.1f}"
        return mean if np.isnan(self.low) else f"{mean} ± {100 * self.half:.1f}"

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> Self | None:
        """Read an interval from JSON, in which an unknown end is null; None stays None."""
        if content is None:
            return None
        low, high = (float("nan") if content[end] is None else float(content[end]) for end in ("low", "high"))
        mean = float(content["mean"])
        if low > mean or high < mean:
            raise ValueError(f"an interval must hold its mean, got {low} .. {high} around {mean}")
        return cls(**{**content, "mean": mean, "low": low, "high": high, "n": int(content["n"])})


@dataclass(frozen=True)
class Verdict:
    """The outcome of a paired test."""

    word: Word
    text: str  # the same in words, with figures in points
    # How many more replicates would decide at the spread seen; None where it is decided or the spread is not known;
    # `MOST_SEEDS + 1` for any number above `MOST_SEEDS`.
    more: int | None = None
    classes: tuple[str, ...] = ()  # the classes that lose, whatever the outcome for all classes together

    @property
    def good(self) -> bool:
        """Whether it is good news without exception: nothing is lost or something gained, and no class loses."""
        return self.word in ("lossless", "better") and not self.classes


def check_margin(margin: object) -> None:
    """Refuse a margin that is not an accuracy."""
    if not is_number(margin) or not 0 < margin < 1:
        raise ArgumentError(f"margin must be an accuracy above 0 and below 1 (0.005 is half a point), got {margin!r}")


def check_level(level: object) -> None:
    """Refuse a level that is not a probability."""
    if not is_number(level) or not 0 < level < 1:
        raise ArgumentError(f"level must be in (0, 1), got {level!r}")


def check_replicates(name: str, count: object) -> None:
    """Refuse a number of replicates that gives no verdict."""
    if not is_integer(count) or count < FEWEST:
        raise ArgumentError(
            f"{name} must be an integer of at least {FEWEST}, since fewer replicates give no verdict, got {count!r}"
        )


def interval(values: npt.ArrayLike, level: float = 0.95, *, sampling: Sampling | None = None) -> Interval:
    """Return the mean over replicates, float (n,), and its t-interval.

    Replicates that are all equal, as with a deterministic learner, show no spread: their interval covers only the
    sampling error of the test set, or is not known. Without `sampling`, it holds for these test samples only.

    >>> interval([0.5, 0.5])
    Interval(mean=0.5, low=nan, high=nan, n=2, level=0.95)
    >>> interval([0.5, 0.5], sampling=Sampling(0.01, 2500)).text()
    '50.0 ± 2.0'
    """
    return _Spread.of(values, level, sampling).interval(level)


def paired(a: npt.ArrayLike, b: npt.ArrayLike) -> Interval:
    """Return the mean of a - b over replicates, and its t-interval.

    >>> round(paired([0.91, 0.93, 0.90], [0.90, 0.92, 0.89]).mean, 6)
    0.01
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ArgumentError(f"pairs need as many replicates on both sides, got {a.shape} and {b.shape}")
    return interval(a - b)


def doubt_accuracy(accuracy: float, sizes: Sequence[int] | None, trainee: str = "") -> str | None:
    """Return why the accuracy on a test set says little: the model hardly beats a constant; None where it does.

    Args:
        accuracy: of the model that was trained on everything.
        sizes: test samples of each class (C,), or None where there are no classes.
        trainee: the learner that was trained, in words.

    >>> doubt_accuracy(0.982, [982, 18], "random forest").split(", the")[0]
    'accuracy says little here: random forest trained on everything is right on 98.2 %'
    >>> doubt_accuracy(0.99, [982, 18])
    >>> doubt_accuracy(0.51, [50, 50]).split("; ")[1]
    'a model that hardly learns tells no training sets apart'
    """
    largest = max(sizes) / sum(sizes) if sizes else float("nan")
    if not accuracy - largest < LEAST_STRENGTH * (1 - largest):  # nor where either is not known
        return None
    rest = "look at the recall of classes"
    if largest * len(sizes or ()) < UNEVEN:
        rest = "a model that hardly learns tells no training sets apart"
    return (
        f"accuracy says little here: {trainee or 'a model'} trained on everything is right on {percent(accuracy)}, "
        f"the largest class is {percent(largest)} of the test set; {rest}"
    )


def against_full(
    differences: npt.ArrayLike,
    *,
    sampling: Sampling | None = None,
    margin: float = 0.005,
    level: float = 0.95,
    each: str = "seed",
    trainee: str = "",
) -> Verdict:
    """Judge whether training on a part loses accuracy against training on everything.

    `lossless`: non-inferior, that is, a one-sided paired test rejects at 1 - level that the loss is as large as the
    margin. `loses`: not lossless, and the interval of the difference is wholly below 0. `undecided` otherwise, and
    always with fewer than three replicates.

    Args:
        differences: float (n,) accuracy of the part minus that of everything, one a replicate.
        sampling: the sampling error of their mean; without it, the verdict holds for these test samples only.
        margin: the loss of accuracy that counts as none (0.005 is half a point).
        level: the level of the interval; the test is at 1 - level.
        each: the unit of a difference, in words.
        trainee: the learner that was trained, in words.

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
    check_margin(margin)
    spread = _Spread.of(differences, level, sampling, each, trainee)
    if (unknown := _unknown(spread)) is not None:
        return unknown
    # If the true loss were the margin, at least that share of the test samples would be lost. The variance is at least
    # that of such a share, however few samples disagree here.
    counts = sampling is not None and sampling.counts
    strict = spread.at_least(margin * (1 - margin)) if counts else spread
    if spread.mean - strict.half(level) > -margin:
        return Verdict("lossless", f"lossless{spread.whom} within {100 * margin:g} points{spread.alone}")
    difference = spread.interval(level)
    if difference.high < 0:
        return Verdict("loses", f"loses {_format_loss(difference)} points{spread.whom}{spread.alone}")

    def decides(n: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        within = spread.mean - strict.half(level, n) > -margin
        return np.asarray(within | (spread.mean + spread.half((1 + level) / 2, n) < 0))

    return _undecided(spread, decides)


def against_random(
    differences: npt.ArrayLike,
    *,
    sampling: Sampling | None = None,
    level: float = 0.95,
    each: str = "seed",
    trainee: str = "",
) -> Verdict:
    """Judge whether a chosen part is better than a random part of the same size.

    `better` or `worse` where the interval of the difference lies on one side of 0. `undecided` otherwise, and always
    with fewer than three replicates. The arguments are those of `against_full`.

    >>> against_random([0.010, 0.012, 0.011]).text
    'better by 1.1 ± 0.2 points'
    >>> against_random([0.0, 0.0]).text
    'undecided: 2 independent replicates give no verdict, 3 or more are needed'
    """
    spread = _Spread.of(differences, level, sampling, each, trainee)
    if (unknown := _unknown(spread)) is not None:
        return unknown
    difference = spread.interval(level)
    if difference.low > 0:
        return Verdict("better", f"better by {difference.text()} points{spread.whom}{spread.alone}")
    if difference.high < 0:
        return Verdict("worse", f"worse by {_format_loss(difference)} points{spread.whom}{spread.alone}")
    return _undecided(spread, lambda n: abs(difference.mean) > spread.half((1 + level) / 2, n))


def describe_losses(
    changes: Mapping[str, Interval],
    *,
    margin: float,
    large: float | None = None,
    than: str = "",
    noun: str = "class",
) -> tuple[tuple[str, ...], str]:
    """Name the classes that lose, worst first, and describe their losses: their interval is wholly below 0.

    `changes` maps each class to the change of its accuracy, with joint intervals. A loss of up to `margin` counts as
    none; one of `large` is named even where it may be chance, for want of samples or seeds. `than` names the baseline
    that the classes lose against; it is empty for the full data. `noun` is `"bin"` for the bins of a target.

    >>> changes = {"cat": Interval(-0.09, -0.12, -0.06, 5), "dog": Interval(-0.06, -0.13, 0.01, 5)}
    >>> describe_losses(changes, margin=0.005)
    (('cat',), 'class cat loses 9.0 ± 3.0 points')
    >>> describe_losses({"yak": Interval(-0.08, -1.44, 1.28, 5)}, margin=0.005, large=0.05)[1]
    'class yak perhaps loses 8.0 points (too few samples to tell)'
    >>> describe_losses(changes, margin=0.005, large=0.05, than="random")[1]
    'class cat loses 9.0 ± 3.0 points more than with random, class dog perhaps 6.0 ± 7.0'
    """
    known = {c: change for c, change in changes.items() if change.n >= FEWEST and change.high < 0}
    sure = [c for c, change in known.items() if -change.mean > margin]
    perhaps = [c for c, change in changes.items() if c not in sure and large is not None and -change.mean > large]
    named = sorted([*sure, *perhaps], key=lambda c: (c not in sure, changes[c].mean))
    if not named:
        return (), ""
    classes = [f"{noun} {c}{'' if c in sure else ' perhaps'}" for c in named[:NAMED]]
    losses, notes = [], []
    for change in (changes[c] for c in named[:NAMED]):
        wide = change.half > WIDEST
        losses.append(f"{-100 * change.mean:.1f}" if wide else _format_loss(change))
        notes.append(" (too few samples to tell)" if wide else "")
    first = f"{classes[0]} loses {losses[0]} points{f' more than with {than}' if than else ''}{notes[0]}"
    rest = [" ".join(words) + note for *words, note in zip(classes[1:], losses[1:], notes[1:], strict=True)]
    if (more := len(named) - len(classes)) > 0:
        rest.append(f"{more} more {noun if more == 1 else PLURALS[noun]}")
    return tuple(named), ", ".join([first, *rest])


def without_nan(content: Any) -> Any:
    """Return JSON with null in place of each number that is not finite, since JSON has no NaN."""
    if isinstance(content, dict):
        return {name: without_nan(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def sampling_error(values: npt.ArrayLike, targets: FloatArray | None = None, groups: IntArray | None = None) -> float:
    """Return the standard error of a mean that is due to the random draw of the test set, not to the seeds.

    `values` (R, m) are the `quality` of outcomes, 1 where replicate r predicted test sample i rightly, else 0; or the
    difference of two such arrays, for a paired difference. Two samples are added, whose squared deviations sum to one:
    the error must not be 0 where a few samples agree by chance (after Agresti and Min 2005). NaN with fewer than two
    test samples.

    For R², `targets` are those of the test samples, float64 (m,), and `values` the qualities less 1, or the difference
    of two. R² divides by the variance of the targets, which is itself drawn: each value also counts how its sample
    changes that variance (the delta method). No samples are added.

    `groups`, int64 (m,), are those of the test samples, such as patients, or None. Then groups are what is drawn, and
    deviations are added up within each (a cluster-robust error). NaN with fewer than two groups.

    >>> round(sampling_error([[1, 0, 1, 1]]), 3)
    0.22
    >>> right = [[1] * 50 + [0] * 50]
    >>> round(sampling_error(right), 3), round(sampling_error(right, groups=np.arange(100) // 10), 3)
    (0.05, 0.164)
    """
    mean = np.atleast_2d(np.asarray(values, np.float64)).mean(axis=0)
    if targets is not None:
        squares = np.square(targets - targets.mean())
        return standard_error(mean - mean.mean() * squares / squares.mean(), groups)
    deviations = _add_deviations(mean, groups)
    count = len(deviations)
    if count < 2:
        return float("nan")
    # Deviations add up to 0, so squares of few groups are too small. Agresti and Min do without for samples.
    few = 1.0 if groups is None else count / (count - 1)
    return float(np.sqrt(few * np.square(deviations).sum() + 1) / (len(mean) + 2))


def standard_error(values: npt.ArrayLike, groups: IntArray | None = None) -> float:
    """Return the standard error of a mean; `values` (R, m) are first averaged over the rows. NaN with fewer than two.

    `groups` are as in `sampling_error`.

    >>> standard_error([[1.0, 3.0]])
    1.0
    """
    mean = np.atleast_2d(np.asarray(values, np.float64)).mean(axis=0)
    deviations = _add_deviations(mean, groups)
    count = len(deviations)
    return float(np.sqrt(count / (count - 1) * np.square(deviations).sum()) / len(mean)) if count > 1 else float("nan")


def _add_deviations(values: FloatArray, groups: IntArray | None) -> FloatArray:
    """Return the deviations from the mean, added up within each group: float64 (G,), or (m,) without groups."""
    deviations: FloatArray = values - values.mean() if len(values) else values
    if groups is None:
        return deviations
    return np.bincount(np.unique(groups, return_inverse=True)[1], deviations).astype(np.float64)


class _Spread(NamedTuple):
    """A mean over R replicates, and its variance in two parts."""

    mean: float
    replicates: int  # R
    seeds: float  # the variance over replicates; NaN for one replicate
    test: float  # the variance of the mean due to the draw of the test set; 0 where the test set counts as given
    samples: int  # the number of test samples, or of groups of them; 0 where the test set counts as given
    each: str  # the unit of a replicate, in words
    trainee: str  # the learner that was trained, in words
    unit: str  # what `samples` counts, in words

    @classmethod
    def of(
        cls, values: npt.ArrayLike, level: float, sampling: Sampling | None, each: str = "seed", trainee: str = ""
    ) -> _Spread:
        x = np.asarray(values, np.float64)
        if x.ndim != 1 or not len(x):
            raise ArgumentError(f"values must have shape (n,), one a replicate, got {x.shape}")
        check_level(level)
        seeds = float("nan") if len(x) < 2 else 0.0 if np.ptp(x) <= _SAME else float(x.var(ddof=1))
        known = sampling is not None and np.isfinite(sampling.error)
        test, unit = ((sampling.error**2, sampling.n), sampling.unit) if known and sampling else ((0.0, 0), "")
        return cls(float(x.mean()), len(x), seeds, *test, each, trainee, unit)

    def interval(self, level: float) -> Interval:
        """Return the mean with its interval."""
        half = float(self.half((1 + level) / 2))
        return Interval(self.mean, self.mean - half, self.mean + half, self.replicates, level)

    @property
    def whom(self) -> str:
        """The learner that a verdict holds for, to follow its first words."""
        return f" for {self.trainee}" if self.trainee else ""

    @property
    def alone(self) -> str:
        """The remark that a verdict needs where the seeds add no spread; else empty."""
        return "" if self.seeds else f", by the test set alone: the difference is the same for every {self.each}"

    def at_least(self, variance: float) -> _Spread:
        """Raise the variance over single test samples to at least this value."""
        return self._replace(test=max(self.test, variance / self.samples)) if self.samples else self

    def half(self, p: float, replicates: Any = None) -> Any:
        """Return half the width of the interval up to the quantile p; NaN where the variance is not known.

        `replicates` gives other numbers of replicates, for which the spread seen is assumed.
        """
        from scipy.special import stdtrit

        n = np.asarray(self.replicates if replicates is None else replicates)
        seeds = self.seeds / n
        variance = seeds + self.test
        if not self.seeds >= 0 or not np.all(variance > 0):
            return np.full(n.shape, np.nan)
        freedom = variance**2 / (seeds**2 / np.maximum(n - 1, 1) + self.test**2 / max(self.samples - 1, 1))
        return stdtrit(freedom, p) * np.sqrt(variance)


def _unknown(spread: _Spread) -> Verdict | None:
    """Return the verdict where the replicates allow no decision, else None."""
    if spread.replicates < FEWEST:
        some = f"{spread.replicates} independent replicate{' gives' if spread.replicates == 1 else 's give'}"
        return Verdict("undecided", f"undecided{spread.whom}: {some} no verdict, {FEWEST} or more are needed")
    if not spread.seeds + spread.test:
        same = f"the difference is the same for every {spread.each}"
        return Verdict("undecided", f"undecided{spread.whom}: {same}, and nothing is known of the test set")
    return None


def _undecided(spread: _Spread, decides: Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]) -> Verdict:
    """Return the verdict `undecided`, with the number of further seeds that `decides` says would decide."""
    enough = np.flatnonzero(decides(spread.replicates + 1 + np.arange(MOST_SEEDS)))
    more = int(enough[0]) + 1 if len(enough) else MOST_SEEDS + 1
    if more > MOST_SEEDS and spread.samples and not decides(np.array([_UNLIMITED]))[0]:
        few = f"{spread.samples:,} {spread.unit} are too few, whatever the number of seeds"
        return Verdict("undecided", f"undecided{spread.whom}, {few}", more)
    seeds = f"more than {MOST_SEEDS}" if more > MOST_SEEDS else f"about {more}"
    return Verdict("undecided", f"undecided{spread.whom}, {seeds} more seed{'' if more == 1 else 's'}", more)


def _format_loss(change: Interval) -> str:
    return Interval(-change.mean, -change.high, -change.low, change.n, change.level).text()
