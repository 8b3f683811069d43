"""Fits on a sample, timed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.estimating.counting import Size
from unseen.estimating.memory import peak
from unseen.estimating.sampling import Sampled
from unseen.exposure import Fit
from unseen.protocols import Learner
from unseen.scores.base import Score
from unseen.scores.sink import ScoreSink
from unseen.threads import limited_threads
from unseen.types import Arrays, Side

__all__ = ["Bench", "Grown", "Trial"]

Named = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Trial:
    """One fit on a sample.

    Args:
        size: of the fit.
        seconds: in all.
        epochs: what the learner told of each epoch.
        checkpoint: the last that it kept; empty if none.
        result: what its sink measured.

    """

    size: Size
    seconds: float
    epochs: list[Mapping[str, Any]]
    checkpoint: Named
    result: Named

    @property
    def result_bytes(self) -> float:
        """Bytes of what its sink measured, for each sample watched."""
        return sum(array.nbytes for array in self.result.values()) / max(1, self.size.unseen + self.size.seen)

    def told(self, name: str) -> list[float]:
        """One figure of every epoch, where the learner tells it."""
        return [float(epoch[name]) for epoch in self.epochs if name in epoch]


@dataclass(frozen=True)
class Grown:
    """Fits at growing sizes.

    Args:
        trials: from small to large.
        held: bytes that they hold in any case, and for each row; None where they take too long to be traced.

    """

    trials: list[Trial]
    held: tuple[float, float] | None


@dataclass
class _Kept:
    """Holds the last checkpoint and never gives it back."""

    latest: Named = field(default_factory=dict)

    def load(self) -> None:
        return None

    def save(self, arrays: Arrays) -> None:
        self.latest = {name: np.asarray(values) for name, values in arrays.items()}

    def part(self, name: str) -> _Kept:
        return _Kept()


@dataclass(frozen=True)
class Bench:
    """Where a learner is tried.

    Args:
        sample: of the data set.
        scores: what is measured of it.
        scored: the side that scores judge.
        threads: of a fit.
        seed: the root seed.

    """

    sample: Sampled
    scores: tuple[Score, ...]
    scored: Side
    threads: int
    seed: int

    def run(self, learner: Learner, size: Size) -> Trial:
        """One fit of this size, of the first rows of the sample. Warnings are for the run itself to give."""
        fit = fit_of(size)
        sink = ScoreSink(fit, self.sample.labels, self.scores, len(self.sample.class_names), self.scored)
        kept, epochs = _Kept(), list[Mapping[str, Any]]()

        def report(kind: str, **fields: Any) -> None:
            if kind == "epoch":
                epochs.append(fields)

        start = perf_counter()
        with warnings.catch_warnings(), limited_threads(self.threads):
            warnings.simplefilter("ignore")
            learner.fit(self.sample, fit, sink, kept, seed=self.seed, report=report)
            result = sink.result()
        return Trial(size, perf_counter() - start, epochs, kept.latest, result)

    def grown(self, learner: Learner, size: Size, *, least: int, seconds: float, factor: float = 2.0) -> Grown:
        """Fits at growing sizes, until time or rows are out.

        The first is done cold, and its time counts only where there is none for another. The memory of such a fit is
        traced where that is quick, since tracing slows a fit down many times.

        Args:
            learner: who is tried.
            size: of the fit in question; those tried have its proportions.
            least: rows of the first.
            seconds: of all of them, about.
            factor: by which they grow.

        """
        start = perf_counter()
        most = min(len(self.sample), size.rows)
        rows = min(max(least, 2), most)
        first = self.run(copy(learner), size.scaled(rows))
        trials, took = [], first.seconds
        if took > seconds / 10 and rows < most:  # no time to do it again
            trials, rows, took = [first], min(round(factor * rows), most), factor * took
        while not trials or (trials[-1].size.rows < most and perf_counter() - start + 1.2 * took < seconds):
            trials.append(self.run(copy(learner), size.scaled(rows)))
            took, rows = factor * trials[-1].seconds, min(round(factor * rows), most)
        return Grown(trials, self._held(learner, size, first) if first.seconds < seconds / 30 else None)

    def _held(self, learner: Learner, size: Size, first: Trial) -> tuple[float, float]:
        """Bytes that a fit holds in any case, and for each row, by the first trial and one on twice the rows."""
        small, large = first.size, size.scaled(min(2 * first.size.rows, len(self.sample), size.rows))
        least, most = (float(peak(partial(self.run, copy(learner), of))) for of in (small, large))
        each = max(0.0, most - least) / (large.rows - small.rows) if large.rows > small.rows else most / large.rows
        return max(0.0, most - each * large.rows), each


def fit_of(size: Size) -> Fit:
    """A fit of this size, of rows 0..m-1.

    >>> fit_of(Size(2, 1)).unseen.tolist()
    [2]
    """
    train = np.arange(size.train)
    unseen = size.train + np.arange(size.unseen)
    if not size.apart:
        return Fit(train=train, unseen=unseen, seen=train[: size.seen])
    apart = np.arange(size.unseen) % size.models
    return Fit(train=train, unseen=unseen, apart=apart, folds=apart if size.apart == "folds" else None)
