"""The cost of a learner that trains in epochs, from some epochs of a few batches.

    seconds a fit = setup + E (n_train a + order + checkpoint) + looks b

a and b: seconds of an epoch and of an observation, for each sample of the sample, after a warm-up; setup: what else a
fit took, its part that grows with the samples apart; order: ranking all n ids, which every epoch does; checkpoint:
writing one of full size. Where the data is too large to be held, a and b are at least the reading of one sample
divided by the processes that read, and setup reads every training sample once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import mean, median
from time import perf_counter
from typing import Any

from unseen import seeds
from unseen.estimating.costs import FASTER, SLOWER, writing_seconds
from unseen.estimating.counting import SIDES, Schedule, Size, schedule
from unseen.estimating.memory import Reading, network_bytes, reading_of
from unseen.estimating.ranges import Range
from unseen.estimating.trials import Bench, Trial
from unseen.protocols import Learner
from unseen.scoring import Samples
from unseen.types import IdArray

__all__ = ["InEpochs", "trains_in_epochs"]

FIRST = 8  # rows of the first trial
EPOCHS = 3


def trains_in_epochs(learner: Learner) -> bool:
    """Whether it tells the seconds of each epoch, and can be told how many to train."""
    return bool(learner.epochs) and hasattr(learner, "with_epochs")


@dataclass
class InEpochs:
    """See the head of this module.

    Args:
        learner: as it is going to train.
        bench: where it is tried.
        samples: of the whole data set.
        wanted: what is observed after each epoch.
        size: of a fit.
        budget: seconds for the trials, about.

    """

    learner: Any
    bench: Bench
    samples: Samples
    wanted: Schedule
    size: Size
    budget: float
    measured: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        bench, sample = self.bench, self.bench.sample
        self.epochs = int(self.learner.epochs)
        self._batch = min(getattr(self.learner, "batch_size", 1), self.size.train)
        small, large = self._trials()
        self._train = _a_sample(small, large, self._batch)
        self._look = self._looking([small, large])
        self._fixed, self._growing = _setup(small, large)
        self._order = _ranked(self.samples.ids, bench.seed)
        self._reading: Reading = reading_of(self.learner, sample, len(self.samples.ids))
        self._network = network_bytes(self.learner, sample)
        self.result_bytes = large.result_bytes
        checkpoint = self._checkpoint(large)
        self.checkpoint_bytes, self._save = sum(checkpoint), writing_seconds(checkpoint)
        self.measured |= {
            "seconds to train on a sample": self._train.middle,
            "seconds to look at a sample": mean([look.middle for look in self._look.values()] or [0.0]),
            "seconds to read a sample": sample.random_seconds,
            "seconds to write a checkpoint": self._save,
            "samples tried": large.size.train,
        }
        if large.size.train < self._batch:
            self.notes.append(
                f"tried on batches of up to {large.size.train}, since those of {self._batch} take too long here"
            )
        if not self._reading.held:
            self.notes.append("the data set is too large to be held: every batch is read when it is needed")

    def seconds(self, size: Size) -> Range:
        """Of one fit."""
        floor = Range.exactly(0.0 if self._reading.held else self._reading.seconds)
        seconds = self._train.at_least(floor).times(self.epochs * size.train)
        for words in self.wanted:
            watched = sum(size.watched(side) for side, some in zip(SIDES, words, strict=True) if some)
            if watched:
                seconds += self._look[words].at_least(floor).times(watched)
        setup = Range.exactly(self._fixed) + Range(0.0, self._growing, self._growing).times(size.train)
        setup += floor.times(size.train)
        each_epoch = self._order + self._save * (size.rows + size.seen) / max(1, self.size.rows + self.size.seen)
        return (seconds + setup + Range.exactly(each_epoch * self.epochs)).widened(FASTER, SLOWER)

    def once(self) -> Range:
        """Reading the data set, where it is held."""
        reading = self._reading.once if self._reading.held else 0.0
        return Range.exactly(reading).widened(FASTER, SLOWER)

    def memory(self, size: Size) -> Range:
        """Of data, weights, gradients and momentum, and what the backward pass of a batch needs."""
        batch = min(self._batch, size.train)
        held = self._reading.bytes if self._reading.held else 4 * batch * self.bench.sample.bytes_each
        # Allocators keep more than they hand out, and passes need room of their own beside what they keep.
        return Range.exactly(held + self._network.weights + batch * self._network.each).widened(1.0, 1.5)

    def _trials(self) -> tuple[Trial, Trial]:
        """A smaller and a larger fit, after fits that warm up where those are quick."""
        most = min(len(self.bench.sample), self.size.rows)
        share = self.size.train / self.size.rows
        rows = min(most, FIRST)
        for _ in range(3):  # the first finds everything cold
            first = self._run(rows, 2)
            each = max(first.told("seconds")[-1], 1e-6) * EPOCHS / rows
            if each * rows > self.budget / 8:
                return first, self._slow(first, most)
            rows = min(most, max(rows, min(8 * rows, int(self.budget / 8 / each))))
        rows = min(most, max(rows, int(self.budget / 4 / each)))
        whole = int(rows * share) // self._batch * self._batch  # whole batches, as nearly all are
        if whole and rows < most:
            rows = min(most, round(whole / share))
        small = self._run(max(2, rows // 2), EPOCHS)
        return small, self._run(rows, EPOCHS)

    def _slow(self, first: Trial, most: int) -> Trial:
        """A fit on a larger batch, as far as there is time for one."""
        times = min(4, int(self.budget / first.seconds), most // first.size.rows)
        return first if times < 2 else self._run(times * first.size.rows, 2)

    def _run(self, rows: int, epochs: int) -> Trial:
        least = max((score.least_epochs for score in self.bench.scores), default=1)
        short = self.learner.with_epochs(min(self.epochs, max(epochs, least)))
        return self.bench.run(short, self.size.scaled(rows))

    def _looking(self, trials: list[Trial]) -> dict[tuple[frozenset[str], frozenset[str]], Range]:
        """Seconds of an observation for each sample looked at, by what is observed."""
        found = defaultdict[tuple[frozenset[str], frozenset[str]], list[float]](list)
        for trial in trials:
            epochs = len(trial.epochs)
            tried: Schedule = schedule(self.samples, self.bench.scores, epochs, self.bench.scored, trial.size)
            for words, told in zip(tried, trial.told("observe_seconds"), strict=True):
                watched = sum(trial.size.watched(side) for side, some in zip(SIDES, words, strict=True) if some)
                if watched:
                    found[words].append(told / watched)
        every = [value for values in found.values() for value in values] or [0.0]
        # What some score observes at other epochs only is taken to cost what the rest does.
        return {
            words: Range(min(values), values[-1], max(values[-1], median(values)))
            for words in self.wanted
            for values in [found.get(words, every)]
        }

    def _checkpoint(self, trial: Trial) -> list[float]:
        """Bytes of each array in the checkpoint of a full fit."""
        watched, tried = (s.unseen + s.seen for s in (self.size, trial.size))
        scale = watched / tried if tried else 1.0
        return [array.nbytes * (scale if name.startswith("sink/") else 1.0) for name, array in trial.checkpoint.items()]


def _a_sample(small: Trial, large: Trial, batch: int) -> Range:
    """Seconds of an epoch, for each sample; first epochs are warm-up where there are others.

    Where a trial is one small batch, a step takes what it takes for any batch and what it takes for each sample.
    """

    def told(trial: Trial) -> list[float]:
        seconds = trial.told("seconds")
        return [value / trial.size.train for value in seconds[1 if len(seconds) > 1 else 0 :]]

    own, both = told(large), told(small) + told(large)
    if large.size.train >= batch or small is large:
        return Range(min(both), median(own), max(own))
    m, n = small.size.train, large.size.train
    first, last = median(told(small)) * m, median(own) * n
    each = min(max((last - first) / (n - m), 0.0), last / n)
    any_batch = last - each * n
    return Range(each, any_batch / batch + each, last / n)


def _setup(small: Trial, large: Trial) -> tuple[float, float]:
    """What of the time of a fit was no epoch: its fixed part, and that of each sample trained on."""

    def rest(trial: Trial) -> float:
        return max(0.0, trial.seconds - sum(trial.told("seconds")) - sum(trial.told("observe_seconds")))

    more = large.size.train - small.size.train
    growing = max(0.0, rest(large) - rest(small)) / more if more else 0.0
    return max(0.0, rest(large) - growing * large.size.train), growing


def _ranked(ids: IdArray, seed: int) -> float:
    """Seconds to rank all ids once; of many, by a part of them."""
    part = ids[: 2**20]
    start = perf_counter()
    seeds.order(seed, part, "estimate")
    return (perf_counter() - start) * len(ids) / len(part)
