"""The cost of the fits of a plan: short fits on a sample of the data are timed, and their time is extrapolated.

A learner in epochs takes its time in proportion to the samples that it trains on and observes, a closed form in
proportion to its operations, which are counted. For any other learner, a power of the samples is fitted to the times.
"""

from __future__ import annotations

import tempfile
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np

from unseen.core import seeds
from unseen.core.arrays import Arrays, IntArray
from unseen.core.exposure import Fit, Plan, Side
from unseen.core.machine import limited_threads
from unseen.core.plans import LeaveOneOut
from unseen.core.protocols import Data, Learner
from unseen.data.parts import Part
from unseen.engine.runs.directory import DirectoryCheckpoints
from unseen.engine.scoring import SampleInfo, Scoring
from unseen.engine.work import Work
from unseen.learners.ridge import GRID, RidgeLearner, sample_size
from unseen.learners.softmax import GRID as SOFTMAX_GRID
from unseen.learners.softmax import SAMPLE as SOFTMAX_SAMPLE
from unseen.learners.softmax import SoftmaxLearner
from unseen.scores.accumulator import ScoreSink
from unseen.scores.streaming import Score

MOST_ROWS, MOST_BYTES, READING_SECONDS = 32_768, 2**29, 4.0  # the most that a sample may take
RUNS, PROBED = 32, 64  # places of data in shards from which consecutive rows are read; rows read to time reading
EPOCHS = 3  # of a timed fit; the first warms up
FIRST, LEAST = 8, 256  # rows of the first timed fit: of a learner in epochs, and of any other
# Times vary about this much with the other programs on a machine, its clock and its caches.
FASTER, SLOWER = 0.8, 1.3
# The times of short fits vary more, and the work between fits, which is not counted, is no small part of them.
SHORT, SHORT_FASTER, SHORT_SLOWER = 1.0, 0.5, 2.5  # seconds; factors
DOUBT = 0.2  # the uncertainty of an exponent
COPIES, TRACED = 3.0, 0.4  # copies of inputs assumed where a fit takes more seconds, since tracing slows it down
PASSES, HESSIANS = 60.0, 2.0  # of L-BFGS, until a softmax regression is solved
WARM_PASSES, WARM_HESSIANS = 20.0, 1.5  # the same when it starts from the solution of another penalty
EIGENVECTORS = 9.0  # times d^3


@dataclass(frozen=True)
class Range:
    """A figure that is not known exactly: the best guess, and what it is unlikely to be below and above.

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


class Size(NamedTuple):
    """The size of a fit: samples trained on and watched; if it stands for many models, what each of them leaves out."""

    train: int
    unseen: int = 0
    seen: int = 0
    apart: Literal["", "folds", "samples"] = ""
    models: int = 1

    @classmethod
    def of(cls, fit: Fit) -> Size:
        """Return the size of a fit."""
        sides = len(fit.train), len(fit.unseen), len(fit.seen)
        if fit.apart is None:
            return cls(*sides)
        return cls(*sides, "samples" if fit.folds is None else "folds", len(np.unique(fit.apart)))

    @property
    def samples(self) -> int:
        """How many samples are learned from, as in `unseen.Fit.samples`."""
        return self.train + (self.unseen if self.apart else 0)

    @property
    def rows(self) -> int:
        """How many different samples are trained on or watched."""
        return self.train + self.unseen


def count_fits(plan: Plan, samples: SampleInfo, seed: int) -> tuple[Counter[Size], Fit]:
    """Count the fits of each size in a plan; return one of the largest, too."""
    n = len(samples.ids)
    fits = plan.fits(samples.ids, samples.labels, groups=samples.groups, seed=seed)
    if isinstance(plan, LeaveOneOut) and samples.groups is None and not plan.together:
        return Counter({Size(n - 1, 1): n}), next(fits)  # n fits of n rows would take long to make
    largest = next(fits)
    sizes = Counter([Size.of(largest)])
    for fit in fits:
        sizes[Size.of(fit)] += 1
        largest = fit if (fit.samples, len(fit.unseen)) > (largest.samples, len(largest.unseen)) else largest
    return sizes, largest


def count_observed(size: Size, scores: Sequence[Score], epochs: int, scored: Side) -> int:
    """Count the samples that a fit observes, each as often as it is observed."""
    # The schedule of observations depends on whether samples are watched, not on how many.
    fit = Fit(train=np.arange(1), unseen=np.arange(1, 2)[: size.unseen], seen=np.arange(1)[: size.seen])
    sink = ScoreSink(fit, np.zeros(2, np.int64), scores, 2, scored)
    watched: dict[Side, int] = {"unseen": size.unseen, "seen": size.seen}
    return sum(watched[side] * bool(sink.wants(side, epoch + 1, epochs)) for side in watched for epoch in range(epochs))


class DataSample:
    """A sample of the rows of a fit: at most 32,768 rows, 512 MiB and about 4 s of reading.

    Rows are drawn at random; two of each class come first. From data in shards, consecutive rows are taken at 32
    places, because single rows at random would need all shards. The seconds to read one row are measured for both ways.
    """

    def __init__(self, data: Data, fit: Fit, seed: int) -> None:
        self.data, self.fit = data, fit
        n, in_shards, rng = len(data), data.kind == "vector" and not data.in_memory, seeds.generator(seed, "estimate")
        self.random_seconds = _time_reading(data, rng.choice(n, min(PROBED, n), replace=False))
        self.run_seconds = _time_reading(data, np.arange(min(PROBED, n)))
        each = self.run_seconds if in_shards else self.random_seconds
        pool = np.concatenate([fit.train, fit.unseen])
        most = int(min(len(pool), MOST_ROWS, MOST_BYTES // data.sample_bytes, max(PROBED, READING_SECONDS / each)))
        if in_shards:
            length = max(1, most // RUNS)
            starts = length * rng.choice(-(-n // length), min(RUNS, -(-n // length)), replace=False)
            rows = (starts[:, None] + np.arange(length)).reshape(-1)
            rows = rows[np.isin(rows, pool)]
        else:
            rows = rng.choice(pool, most, replace=False)
        learned = fit.train if len(fit.train) else fit.unseen
        labels = data.labels[learned]
        needed = [fit.unseen[:1], learned[:1], learned[labels != labels[0]][:1]]  # one watched, and two classes
        rows = np.unique(np.concatenate([*needed, rows]))
        # Two of each class come first, and two that are only watched.
        classes = np.where(np.isin(rows, learned), data.labels[rows], -1)
        order = rng.permutation(len(rows))
        order = order[np.argsort(classes[order], kind="stable")]
        place = np.arange(len(rows)) - np.searchsorted(classes[order], classes[order])  # within its class
        first = order[np.argsort(place, kind="stable")][: int((place < 2).sum())]
        rest = np.setdiff1d(np.arange(len(rows)), first)
        self.rows = rows[np.concatenate([first, rest if in_shards else rng.permutation(rest)])]
        self._sides = [np.isin(self.rows, side) for side in (fit.train, fit.unseen, fit.seen)]
        if fit.apart is not None:
            apart = np.zeros(n, np.int64)
            apart[fit.unseen] = fit.apart
            self._apart = apart[self.rows]

    def first(self, rows: int) -> tuple[Part, Fit]:
        """Return the first `rows` rows as a data set, and the fit restricted to them."""
        train, unseen, seen = (np.flatnonzero(side[:rows]) for side in self._sides)
        fit = Fit(train, unseen, seen)
        if self.fit.apart is not None:
            apart = np.unique(self._apart[unseen], return_inverse=True)[1]
            fit = replace(fit, apart=apart, folds=None if self.fit.folds is None else apart)
        return Part(self.data, self.rows[:rows]), fit


def _time_reading(data: Data, rows: IntArray) -> float:
    start = perf_counter()
    data.take(rows)
    return max(perf_counter() - start, 1e-9) / len(rows)  # some clocks are coarse


@dataclass(frozen=True)
class _TimedFit:
    """The measurements of one fit on a sample."""

    size: Size
    seconds: float
    epochs: Sequence[Mapping[str, Any]]  # what the learner reported of each
    saved: Sequence[tuple[float, int]]  # of each checkpoint: seconds to write it, bytes beside the scores' state
    result_bytes: int  # of the scores

    def figures(self, name: str) -> list[float]:
        """Return one figure of every epoch, as far as the learner reported it."""
        return [float(epoch[name]) for epoch in self.epochs if name in epoch]


@dataclass(frozen=True)
class _TimedCheckpoints(DirectoryCheckpoints):
    """A store that writes checkpoints as runs do, and measures them."""

    saved: list[tuple[float, int]] = field(default_factory=list)

    def save(self, arrays: Arrays) -> None:
        start = perf_counter()
        super().save(arrays)
        held = (np.asarray(values).nbytes for name, values in arrays.items() if not name.startswith("sink/"))
        self.saved.append((perf_counter() - start, sum(held)))


class Costs:
    """The costs of the fits of a scoring. They are extrapolated from fits on a sample, timed for `seconds`."""

    def __init__(self, work: Work, job: Scoring, seconds: float) -> None:
        self.learner, self.threads, self.data, self.job = work.learner, work.threads, work.data, job
        self.sizes, fit = count_fits(job.plan, job.samples, job.seed)
        self.largest, self.fits, self.n = Size.of(fit), self.sizes.total(), len(work.data)
        self.sample = DataSample(work.data, fit, job.seed)
        self.scores: Sequence[Score] = job.scores if self.largest.unseen + self.largest.seen else ()
        self.epochs = int(self.learner.epochs or 1)
        self.in_epochs = bool(self.learner.epochs) and self.learner.with_epochs(self.epochs) is not None
        self.counted = self.operations(self.largest) is not None  # a closed form
        # Whether a learner in epochs holds the data set in memory: up to its limit, or half of the free memory.
        self.held = self.in_epochs and self.learner.holds(self.n * self.data.sample_bytes)
        least = FIRST if self.in_epochs else max(LEAST, 3 * len(self.data.class_names))
        if self.counted:  # a fold is left out by subtracting its sums only if it has more than d / 6 rows
            d = int(self.data.sample_shape[0])
            least = max(512, 2 * d, self.largest.models * d // 3 if self.largest.apart == "folds" else 0)
        self.timed_fits = self._time_fits(least, seconds)
        self.last = self.timed_fits[-1]
        self.notes: list[str] = []
        self.memory = self._memory(least)
        tried, batch = self.last.size, self.learner.batch_size or 1
        if self.in_epochs and tried.train < min(batch, self.largest.train):
            self.notes.append(f"tried on batches of up to {tried.train}, since those of {batch} take too long here")
        if self.in_epochs and not self.held:
            self.notes.append("the data set is too large to be held: every batch is read when it is needed")
        if not self.in_epochs and not self.counted and tried.rows < self.largest.rows / 10:
            self.notes.append(
                f"the largest fit tried has {tried.rows:,} of {self.largest.rows:,} samples: the range is wide"
            )

    def _time_fits(self, rows: int, seconds: float) -> list[_TimedFit]:
        """Time fits for `seconds`, each on twice as many rows; a cold first one counts if none follows."""
        most = len(self.sample.rows)
        rows = min(rows, most)
        first, start = self._time_fit(rows), perf_counter()
        # The first fit of a network also loads its library, so only the time of its epochs counts.
        timed, took = [], sum(first.figures("seconds") + first.figures("observe_seconds")) or first.seconds
        if took > seconds / 10 and rows < most:  # no time to repeat it
            timed, rows, took = [first], min(2 * rows, most), 2 * took
        while not timed or (timed[-1].size.rows < most and perf_counter() - start + 1.2 * took < seconds):
            timed.append(self._time_fit(rows))
            rows, took = min(2 * rows, most), 2 * timed[-1].seconds
        return timed

    def _time_fit(self, rows: int) -> _TimedFit:
        """Time one fit on the first rows of the sample. Warnings are silenced: the run itself gives them."""
        data, fit = self.sample.first(rows)
        learner, epochs = copy(self.learner), list[Mapping[str, Any]]()
        if self.in_epochs:
            least = max((score.least_epochs for score in self.scores), default=1)
            learner = self.learner.with_epochs(min(self.epochs, max(EPOCHS, least))) or learner
        sink = ScoreSink(fit, data.labels, self.scores, len(data.class_names), self.job.plan.scored_side)

        def report(kind: str, **fields: Any) -> None:
            if kind == "epoch":
                epochs.append(fields)

        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), limited_threads(self.threads):
            warnings.simplefilter("ignore")
            checkpoints = _TimedCheckpoints(Path(folder) / "state.npz", "0" * 32)
            start = perf_counter()
            learner.fit(data, fit, sink, checkpoints, seed=self.job.seed, report=report)
            result = sink.result()
            seconds = perf_counter() - start
        return _TimedFit(
            Size.of(fit), seconds, epochs, checkpoints.saved, sum(array.nbytes for array in result.values())
        )

    def operations(self, size: Size, n: int | None = None, fits: int | None = None) -> float | None:
        """Count the operations of one fit of a closed form; None for another learner."""
        if not self.observed(size._replace(unseen=0)):  # the plan watches them, but no score reads them
            size = size._replace(seen=0)
        d = int(np.prod(self.data.sample_shape))
        outputs = 1 if self.data.targets is not None else len(self.data.class_names)
        return operations(self.learner, size, d, outputs, n or self.n, fits or self.fits)

    def observed(self, size: Size, epochs: int | None = None) -> int:
        """Count the samples that a fit observes, each as often as it is observed."""
        return count_observed(size, self.scores, epochs or self.epochs, self.job.plan.scored_side)

    def seconds(self, size: Size) -> Range:
        """Estimate the seconds of one fit."""
        seconds = self._seconds_of_epochs(size) if self.in_epochs else self._seconds_of_work(size)
        return seconds.widened(SHORT_FASTER, SHORT_SLOWER) if seconds.middle < SHORT else seconds.widened()

    def startup_seconds(self) -> Range:
        """Estimate the seconds that a process spends before its first fit, reading the data that it holds."""
        return Range.exactly(self.n * self.sample.run_seconds if self.held else 0.0).widened()

    def _seconds_of_epochs(self, size: Size) -> Range:
        """Multiply the seconds of one sample in the largest timed fit, and add what else that fit took."""
        last = self.last
        floor = 0.0 if self.held else self.sample.random_seconds / max(1, self.learner.data_workers)
        epochs, watched = last.figures("seconds"), sum(last.figures("observe_seconds"))
        each = [seconds / last.size.train for seconds in epochs[len(epochs) > 1 :]]
        low = min(each) / (2 if last.size.train < min(self.learner.batch_size or 1, size.train) else 1)  # small batches
        look = max(floor, watched / max(1, self.observed(last.size, len(epochs))))
        saving = [seconds for seconds, _ in last.saved] or [0.0]
        setup = max(0.0, last.seconds - sum(epochs) - watched - sum(saving))
        train = (self.epochs * size.train * max(floor, a) for a in (low, median(each), max(each)))
        working = Range(*train) + Range.exactly(self.observed(size) * look + setup)
        saves = min(self.epochs, working.middle / DirectoryCheckpoints.spacing)  # one a second at most
        return working + Range.exactly(saves * median(saving))

    def _seconds_of_work(self, size: Size) -> Range:
        """Extrapolate the seconds of the timed fits by the samples, or by the operations of a closed form."""
        timed = [fit.size for fit in self.timed_fits]
        work = [self.operations(done, done.rows, 1) or float(done.rows) for done in timed]
        wanted, last = self.operations(size) or float(size.rows), self.last.seconds
        ratio, power, slope = wanted / work[-1], 1.0, last / work[-1]
        if len(work) > 1:
            early = max(0, len(work) - 3)
            power = log(last / self.timed_fits[early].seconds) / log(work[-1] / work[early])
            slope = max(0.0, last - self.timed_fits[-2].seconds) / (work[-1] - work[-2])
        # From some size on, the time of any learner grows at least in proportion to the samples.
        line = last + slope * (wanted - work[-1]) if ratio > 1 else 0.0
        middle = max(last * ratio ** min(max(power, 0.0), 3.0), line)
        ends = middle * ratio**DOUBT, middle / ratio**DOUBT
        return Range(min(ends), middle, max(*ends, last * ratio))

    def _memory(self, least: int) -> Range:
        """Estimate the bytes of a process that does a fit, beside the interpreter, libraries and scores."""
        held, size = self.data.held_bytes, self.largest
        if self.in_epochs:
            batch = min(self.learner.batch_size or 1, size.train)
            weights, each = self.learner.network_bytes(self.data)
            inputs = self.data.sample_bytes * (self.n if self.held else 4 * batch)
            # Allocators hold more than they hand out, and passes need working memory beside what they keep.
            return Range.exactly(inputs + weights + batch * each).widened(1.0, 1.5)
        if (own := self.learner.memory(self.data, self.job.plan)) is not None:
            return Range(held + own / 2, held + own, held + own)
        if self.timed_fits[0].seconds > TRACED:
            self.notes.append(
                f"fits are too slow here to trace their memory: {COPIES:.0f} copies of inputs are assumed"
            )
            return Range.exactly(held + COPIES * self.data.sample_bytes * size.rows).widened(0.8, 2.0)
        tracemalloc.start()  # what libraries in C hold is not seen
        try:
            tried = self._time_fit(least).size.rows
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return Range.exactly(held + most / tried * size.rows).widened(0.5, 2.0)


def operations(learner: Learner, size: Size, d: int, outputs: int, n: int, fits: int = 1) -> float | None:
    """Count the floating-point operations of one fit of a closed form, by formula; None for any other learner.

    A symmetric product X'X of m rows counts m d^2, any other product of (m, d) and (d, C) 2 m d C, a Cholesky factor
    d^3 / 3, eigenvectors 9 d^3. There are d features, C outputs (1 for a regression target), n samples in the data set,
    and `fits` fits in the plan, which share the sums over all n samples where they subtract from them.
    """
    if isinstance(learner, RidgeLearner):
        return _ridge(learner, size, d, outputs, n, fits)
    if isinstance(learner, SoftmaxLearner):
        return _softmax(learner, size, outputs * (d + 1.0))
    return None


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
