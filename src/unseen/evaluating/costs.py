"""The cost of fits, extrapolated from short fits that are timed on a sample of the data (see `timings`).

The seconds of a fit depend on the kind of learner:

in epochs     setup + E n_train a + looks b, with a and b the seconds of one sample, and E checkpoints, or one a second
closed form   in proportion to the operations of the fit, counted by formula
any other     seconds of the largest trial x (samples / its samples) ^ b
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import median

import numpy as np

from unseen.core.protocols import Learner
from unseen.engine.runs.directory import DirectoryCheckpoints
from unseen.engine.scoring import Scoring
from unseen.engine.work import Work
from unseen.evaluating import timings as t
from unseen.evaluating.timings import DataSample, Size, Trial
from unseen.learners.ridge import RidgeLearner
from unseen.learners.ridge.learner import GRID, sample_size
from unseen.learners.ridge.passes import KEPT_BYTES, SECONDS
from unseen.learners.softmax import SoftmaxLearner
from unseen.learners.softmax.leave_group_out import GRID as SOFTMAX_GRID
from unseen.learners.softmax.leave_group_out import SAMPLE as SOFTMAX_SAMPLE
from unseen.scores.streaming import Score

__all__ = ["Costs", "Range", "fit_exponent", "operations"]

# Times vary about this much with the other programs on a machine, its clock and its caches.
FASTER, SLOWER = 0.8, 1.3
# The times of short fits vary more, and the work between fits, which is not counted, is no small part of them.
SHORT, SHORT_FASTER, SHORT_SLOWER = 1.0, 0.5, 2.5  # seconds; factors
EPOCHS = 3  # of a trial, the first of which warms up
FIRST, LEAST = 8, 256  # rows of the first trial: in epochs, and of any other learner
DOUBT = 0.15  # the least uncertainty of an exponent
COPIES = 3.0  # copies of the inputs that a fit may make
TRACED = 0.4  # memory is traced only in fits of fewer seconds, because tracing slows them down many times
PASSES, HESSIANS = 60.0, 2.0  # of L-BFGS, until a softmax regression is solved
WARM_PASSES, WARM_HESSIANS = 20.0, 1.5  # the same when it starts from the solution of another penalty
EIGENVECTORS = 9.0  # times d^3


@dataclass(frozen=True)
class Range:
    """A figure that is not known exactly.

    Args:
        low: the figure is unlikely to be lower.
        middle: the best guess.
        high: the figure is unlikely to be higher.

    >>> Range(1.0, 2.0, 4.0) + Range.exactly(1)
    Range(low=2.0, middle=3.0, high=5.0)
    >>> Range(1.0, 2.0, 4.0).times(2).widened(0.5, 1.5)
    Range(low=1.0, middle=4.0, high=12.0)
    """

    low: float
    middle: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """Make the range of a figure that is known exactly."""
        return cls(float(value), float(value), float(value))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.middle + other.middle, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Multiply the whole range by a factor."""
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def widened(self, low: float = FASTER, high: float = SLOWER) -> Range:
        """Multiply the low end and the high end by these factors."""
        return Range(self.low * low, self.middle, self.high * high)

    def at_least(self, least: float) -> Range:
        """Raise all three figures to at least this value."""
        return Range(max(self.low, least), max(self.middle, least), max(self.high, least))


class Costs:
    """The costs of the fits of a scoring, from trials of the learner on a sample.

    Args:
        work: data set, learner and threads.
        job: the scoring.
        sizes: the number of its fits of each size.
        sample: a sample of the data set.
        seconds: the time for the trials, about.

    """

    def __init__(self, work: Work, job: Scoring, sizes: Mapping[Size, int], sample: DataSample, seconds: float) -> None:
        self.learner = work.learner
        self.job, self.sample, self.sizes, self.threads = job, sample, sizes, work.threads
        self.fits, self.n = sum(sizes.values()), len(work.data)
        self.outputs = 1 if sample.targets is not None else len(sample.class_names)
        self.largest = max(sizes, key=lambda size: (size.samples, size.rows))
        self.scores: Sequence[Score] = job.scores if self.largest.unseen + self.largest.seen else ()
        self.epochs = int(work.learner.epochs or 1)
        self.in_epochs = bool(work.learner.epochs) and work.learner.with_epochs(self.epochs) is not None
        self.notes: list[str] = []
        self.counted = self.operations(self.largest) is not None  # a closed form
        self._run = partial(
            t.time_fit,
            sample=sample,
            scores=self.scores,
            scored=job.plan.scored_side,
            threads=work.threads,
            seed=job.seed,
        )
        most, d = len(sample), int(np.prod(sample.sample_shape))
        if self.in_epochs:
            least = FIRST
        elif not self.counted:
            least = max(LEAST, 3 * len(sample.class_names))
        else:  # a fold is left out by subtracting its sums only if it has more than d / 6 rows
            least = max(512, 2 * d, self.largest.models * d // 3 if self.largest.apart == "folds" else 0)
        self.trials = t.time_growing_fits(self._fit, self.largest, least=least, most=most, seconds=seconds)
        self.last = self.trials[-1]
        self.memory = self._memory(self.largest, min(least, most))
        tried, batch = self.last.size, self.learner.batch_size or 1
        if self.in_epochs and tried.train < min(batch, self.largest.train):
            self.notes.append(f"tried on batches of up to {tried.train}, since those of {batch} take too long here")
        if self.in_epochs and not self._held:
            self.notes.append("the data set is too large to be held: every batch is read when it is needed")
        if not self.in_epochs and not self.counted and tried.rows < self.largest.rows / 10:
            self.notes.append(
                f"the largest fit tried has {tried.rows:,} of {self.largest.rows:,} samples: the range is wide"
            )

    def _fit(self, size: Size) -> Trial:
        least = max((score.least_epochs for score in self.scores), default=1)
        fewer = self.learner.with_epochs(min(self.epochs, max(EPOCHS, least))) if self.in_epochs else None
        return self._run(fewer or copy(self.learner), size=size)

    def operations(self, size: Size, n: int | None = None, fits: int | None = None) -> float | None:
        """Count the operations of one fit of a closed form; None for another learner."""
        d = int(np.prod(self.sample.sample_shape))
        if not self.looks(replace(size, unseen=0)):  # the plan watches them, but no score reads them
            size = replace(size, seen=0)
        return operations(self.learner, size, d, self.outputs, n or self.n, fits or self.fits)

    def looks(self, size: Size, epochs: int | None = None) -> int:
        """Count the samples that a fit observes, each as often as it is observed."""
        return t.count_looks(size, self.scores, epochs or self.epochs, self.job.plan.scored_side)

    def seconds(self, size: Size) -> Range:
        """Estimate the seconds of one fit."""
        seconds = self._seconds_of_epochs(size) if self.in_epochs else self._seconds_of_work(size)
        return seconds.widened(SHORT_FASTER, SHORT_SLOWER) if seconds.middle < SHORT else seconds.widened()

    def startup_seconds(self) -> Range:
        """Estimate the seconds that a process spends before its first fit, reading the data that it holds."""
        held = self.in_epochs and self._held
        return Range.exactly(self.n * self.sample.run_seconds if held else 0.0).widened()

    @cached_property
    def _held(self) -> bool:
        """Whether a learner in epochs holds the data set in memory: up to its limit, or half of the free memory."""
        return self.learner.holds(int(self.n * self.sample.bytes_each))

    def _seconds_of_epochs(self, size: Size) -> Range:
        """Estimate the seconds of a fit in epochs from the seconds of one sample in the last two trials."""
        last, ends = self.last, self.trials[-2:]
        floor = 0.0 if self._held else self.sample.random_seconds / max(1, self.learner.data_workers)

        def each(trial: Trial) -> list[float]:
            epochs = trial.figures("seconds")
            return [seconds / trial.size.train for seconds in epochs[1 if len(epochs) > 1 else 0 :]]

        every = [value for trial in ends for value in each(trial)]
        train = Range(min(every), median(each(last)), max(every))
        if last.size.train < min(self.learner.batch_size or 1, size.train):
            train = Range(train.low / 2, train.middle, train.high)  # a sample takes less time in a larger batch
        looked = [self.looks(trial.size, len(trial.epochs)) for trial in ends]
        watched = [sum(trial.figures("observe_seconds")) / max(1, n) for trial, n in zip(ends, looked, strict=True)]
        look = Range(min(watched), watched[-1], max(watched))
        # The rest of the time of a fit: building the network, means, first checkpoint.
        spent = sum(last.figures("seconds")) + sum(last.figures("observe_seconds")) + sum(last.saving)
        setup = Range.exactly(max(0.0, last.seconds - spent) + floor * size.train)
        state, growing = last.state
        saving = median(last.saving) * (1 + growing / state * (self._watched(size) - 1)) if last.saving else 0.0
        working = (
            train.at_least(floor).times(self.epochs * size.train)
            + (look.at_least(floor) if self.looks(size) else look).times(self.looks(size))
            + setup
        )
        saves = min(self.epochs, working.middle / DirectoryCheckpoints.spacing)  # see TorchLearner.fit
        return working + Range.exactly(saves * saving)

    def _seconds_of_work(self, size: Size) -> Range:
        """Extrapolate the seconds of the trials by the samples, or by the operations of a closed form."""
        last, wanted = self.last, self.operations(size) or size.rows
        power, doubt = fit_exponent(
            [self._work(trial) for trial in self.trials], [trial.seconds for trial in self.trials]
        )
        ratio = wanted / self._work(last)
        ends = [last.seconds * ratio**b for b in (power - doubt, power, power + doubt)]
        middle = ends[1]
        if ratio > 1:  # no learner grows slower than in proportion for ever
            before = self.trials[-2] if len(self.trials) > 1 else Trial(Size(0), 0.0)
            slope = max(0.0, last.seconds - before.seconds) / max(self._work(last) - self._work(before), 1)
            middle = max(middle, last.seconds + slope * (wanted - self._work(last)))
            ends.append(last.seconds * ratio)
        if self.counted:  # the rates of the trials differ, since passes and solving run at different rates
            ends += [wanted * trial.seconds / self._work(trial) for trial in self.trials[-2:]]
        reads = size.rows + size.seen + (size.samples if size.apart else 0)
        reading = reads * (self.sample.run_seconds if self.counted else self.sample.random_seconds)
        least = 0.0 if self.sample.whole.in_memory else reading
        return Range(min(ends), middle, max(*ends, middle)) + Range(least, reading, reading)

    def _work(self, trial: Trial) -> float:
        return self.operations(trial.size, trial.size.rows, 1) or float(trial.size.rows)

    def measured(self) -> dict[str, float]:
        """Return the measurements, named in words with their units."""
        last, sample = self.last, self.sample
        figures = {"seconds of the largest trial": last.seconds, "samples tried": float(last.size.rows)}
        reading = sample.run_seconds if self.counted else sample.random_seconds
        figures["seconds to read a sample"] = reading
        if self.counted:
            figures["GFLOP/s of the largest trial"] = self._work(last) / last.seconds / 1e9
        if self.in_epochs:
            figures["seconds to train on a sample"] = last.figures("seconds")[-1] / last.size.train
            figures["seconds to write a checkpoint"] = median(last.saving) if last.saving else 0.0
        return figures

    @property
    def checkpoint_bytes(self) -> float:
        """The bytes of the checkpoint of one full fit."""
        if self.counted and self.largest.apart and self.seconds(self.largest).high > SECONDS:  # the first after so long
            d = int(self.sample.sample_shape[0])
            sums = 1 + (self.largest.models if self.largest.apart == "folds" else 0)
            return min(float(KEPT_BYTES), 8.0 * sums * d * (d + self.outputs))
        state, growing = self.last.state
        return state + growing * (self._watched(self.largest) - 1) if self.learner.epochs else 0.0

    def _watched(self, size: Size) -> float:
        """Return the number of watched samples relative to the largest trial."""
        tried = self.last.size.unseen + self.last.size.seen
        return (size.unseen + size.seen) / tried if tried else 1.0

    def _memory(self, size: Size, least: int) -> Range:
        """Estimate the bytes of a process that does a fit, beside the interpreter, libraries and scores."""
        sample, held = self.sample, self.sample.held_bytes
        if self.in_epochs:
            batch = min(self.learner.batch_size or 1, size.train)
            weights, each = self.learner.network_bytes(sample)
            inputs = self.n * sample.bytes_each if self._held else 4 * batch * sample.bytes_each
            # Allocators hold more than they hand out, and passes need working memory beside what they keep.
            return Range.exactly(inputs + weights + batch * each).widened(1.0, 1.5)
        if self.counted:
            own = float(self.learner.memory(sample.whole, self.job.plan) or 0)
            return Range(held + own / 2, held + own, held + own)
        small, large = size.scaled(least), size.scaled(min(2 * least, len(sample)))
        if self.trials[0].seconds > TRACED:
            self.notes.append(
                f"fits are too slow here to trace their memory: {COPIES:.0f} copies of inputs are assumed"
            )
            return Range.exactly(held + COPIES * sample.bytes_each * size.rows).widened(0.8, 2.0)
        # The memory of libraries in C is not traced.
        low, most = (float(trace_peak(partial(self._fit, each))) for each in (small, large))
        each = max(0.0, most - low) / (large.rows - small.rows) if large.rows > small.rows else most / large.rows
        return Range.exactly(held + most + each * (size.rows - large.rows)).widened(0.8, 2.0)


def fit_exponent(work: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Fit the power of the work with which the seconds grow, on the larger trials; return it and its uncertainty."""
    if len(work) == 1:
        return 1.0, 0.5
    x, y = np.log(work), np.log(np.maximum(seconds, 1e-6))
    last = x >= x[-1] - np.log(4.5)  # up to three sizes, each double the one before
    if last.sum() < 2:
        last[-2:] = True
    power = float(np.clip(np.polyfit(x[last], y[last], 1)[0], 0.0, 3.0))
    ends = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return power, max(DOUBT, min(0.5, abs(float(ends) - power)))


def operations(learner: Learner, size: Size, d: int, outputs: int, n: int, fits: int = 1) -> float | None:
    """Count the floating-point operations of one fit of a closed form, by formula; None for any other learner.

    A symmetric product X'X of m rows counts m d^2, any other product of (m, d) and (d, C) 2 m d C, a Cholesky factor
    d^3 / 3, eigenvectors 9 d^3.

    Args:
        learner: `ridge` or `softmax`.
        size: the size of the fit.
        d: features.
        outputs: C, or 1 for a regression target.
        n: samples of the data set.
        fits: fits of the plan; they share the sums over all n samples where they subtract from them.

    """
    if isinstance(learner, RidgeLearner):
        return _ridge(learner, size, d, outputs, n, fits)
    return _softmax(learner, size, outputs * (d + 1.0)) if isinstance(learner, SoftmaxLearner) else None


def _ridge(learner: RidgeLearner, size: Size, d: int, outputs: int, n: int, fits: int) -> float:
    squares, products, solving = float(d**2), 2.0 * d * outputs, d**3 / 3 + 2.0 * d**2 * outputs
    if size.apart:
        each = size.unseen // size.models
        subtracts = size.apart == "folds" and each > max(1, d // 6)  # the sums of a large fold are subtracted
        work = size.samples * squares + size.unseen * (products if subtracts else squares + products)
        work += solving * (1 + size.models if subtracts else 1)
        if size.apart == "folds" and not subtracts:
            work += size.models * (2.0 * each**2 * d + EIGENVECTORS * each**3)
    else:
        # A fit on more than half of the samples subtracts the others from sums over all, which are computed once. A
        # training that watches nothing is not part of a plan, so it has no such sums.
        watched = size.unseen + size.seen
        shares = watched and learner.class_weights == "none" and 2 * size.train > n
        work = (n - size.train + n / fits if shares else size.train) * squares + watched * products + solving
    tried = (len(GRID) if learner.lam == "auto" else 0) + (1 if learner.temperature == "auto" else 0)
    if tried:
        work += sample_size(size.samples, outputs) * (3 * squares + products * (1 + tried)) + EIGENVECTORS * d**3
    return work


def _softmax(learner: SoftmaxLearner, size: Size, coefficients: float) -> float:
    squares, cubes = coefficients**2, coefficients**3

    def solve(rows: float, passes: float, hessians: float) -> float:
        return rows * (4.0 * passes * coefficients + hessians * squares) + hessians * cubes / 3

    models = size.models if size.apart == "folds" else 1
    rows = size.samples * (1 - 1 / models) if models > 1 else size.samples
    work = models * solve(rows, PASSES, HESSIANS) + 2.0 * (size.unseen + size.seen) * coefficients
    if size.apart == "samples":
        work += 2.0 * size.unseen * squares + cubes
    if learner.lam == "auto":
        sample = min(rows, SOFTMAX_SAMPLE)
        again = solve(sample, WARM_PASSES, WARM_HESSIANS) + 2.0 * sample * squares + cubes
        work += models * len(SOFTMAX_GRID) * again
    return work


def trace_peak(work: Callable[[], object]) -> int:
    """Trace the most bytes that Python and NumPy hold during a call, beyond those held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
