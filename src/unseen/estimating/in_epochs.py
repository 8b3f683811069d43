"""The cost of a learner that trains in epochs, from some epochs of a few batches.

    seconds a fit = setup + E (n_train a + order + checkpoint) + looks b

a and b: seconds of an epoch and of an observation, for each sample of the sample, after a warm-up; setup: what else a
fit took, its part that grows with the samples apart; order: ranking all n ids, which every epoch does; checkpoint:
writing one of full size. Where the data is too large to be held, a and b are at least the reading of one sample
divided by the processes that read, and setup reads every training sample once.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import numpy as np

from unseen import seeds
from unseen.estimating.costs import FASTER, SLOWER
from unseen.estimating.counting import SIDES, Schedule, Size, schedule
from unseen.estimating.memory import Reading, network_bytes, reading_of
from unseen.estimating.ranges import Range
from unseen.estimating.trials import Bench, Trial
from unseen.protocols import Learner
from unseen.runs.checkpoints import DirectoryCheckpoints
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
        size: of a fit.
        budget: seconds for the trials, about.

    """

    learner: Any
    bench: Bench
    samples: Samples
    size: Size
    budget: float
    measured: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        bench, sample = self.bench, self.bench.sample
        self.epochs = int(self.learner.epochs)
        least = max((score.least_epochs for score in bench.scores), default=1)
        self._short = self.learner.with_epochs(min(self.epochs, max(EPOCHS, least)))
        self._plan = schedule(self.samples, bench.scores, self.epochs, bench.scored, self.size)
        small, large = self._trials()
        self._train = self._a_sample([small, large], "seconds")
        self._look = self._looking([small, large])
        self._fixed, self._growing = _setup(small, large)
        self._order = _ranked(self.samples.ids, bench.seed)
        self._reading: Reading = reading_of(self.learner, sample, len(self.samples.ids))
        self._network = network_bytes(self.learner, sample)
        self.checkpoint_bytes, self._save = self._checkpoint(large)
        self.measured |= {
            "seconds to train on a sample": self._train.middle,
            "seconds to look at a sample": mean([look.middle for look in self._look.values()] or [0.0]),
            "seconds to read a sample": sample.random_seconds,
            "seconds to write a checkpoint": self._save,
            "samples tried": large.size.train,
        }
        batch = getattr(self.learner, "batch_size", 1)
        if large.size.train < min(batch, self.size.train):
            self.notes.append(f"tried on batches of {large.size.train}, not of {batch}, since those take too long here")
        if not self._reading.held:
            self.notes.append("the data set is too large to be held: every batch is read when it is needed")

    def seconds(self, size: Size) -> Range:
        """Of one fit."""
        floor = Range.exactly(0.0 if self._reading.held else self._reading.seconds)
        seconds = self._train.at_least(floor).times(self.epochs * size.train)
        for words in self._plan:
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
        batch = min(getattr(self.learner, "batch_size", 1), size.train)
        held = self._reading.bytes if self._reading.held else 4 * batch * self.bench.sample.bytes_each
        # Allocators keep more than they hand out, and passes need room of their own beside what they keep.
        return Range.exactly(held + self._network.weights + batch * self._network.each).widened(1.0, 1.5)

    def _trials(self) -> tuple[Trial, Trial]:
        """A smaller and a larger fit, after fits that warm up."""
        most = min(len(self.bench.sample), self.size.rows)
        share = self.size.train / self.size.rows
        rows = min(most, FIRST)
        for _ in range(3):  # the first finds everything cold
            first = self._run(rows)
            each = max(first.told("seconds")[-1], 1e-6) * self._short.epochs / rows
            if each * rows > self.budget / 5:
                return first, first
            rows = min(most, max(rows, min(8 * rows, int(self.budget / 8 / each))))
        batch = getattr(self.learner, "batch_size", 1)
        rows = min(most, max(rows, int(self.budget / 4 / each)))
        whole = int(rows * share) // batch * batch  # whole batches, as nearly all are
        if whole and rows < most:
            rows = min(most, round(whole / share))
        small = self._run(max(2, rows // 2))
        return small, self._run(rows)

    def _run(self, rows: int) -> Trial:
        return self.bench.run(self._short, self.size.scaled(rows))

    def _a_sample(self, trials: list[Trial], name: str) -> Range:
        """Seconds of an epoch, for each sample; first epochs are warm-up where there are others."""
        each = [told / t.size.train for t in trials for told in t.told(name)[1 if len(t.told(name)) > 1 else 0 :]]
        large = trials[-1]
        own = [told / large.size.train for told in large.told(name)]
        return Range(min(each), median(own[1:] or own), max(own[1:] or own))

    def _looking(self, trials: list[Trial]) -> dict[tuple[frozenset[str], frozenset[str]], Range]:
        """Seconds of an observation for each sample looked at, by what is observed."""
        found = defaultdict[tuple[frozenset[str], frozenset[str]], list[float]](list)
        epochs = self._short.epochs
        for trial in trials:
            tried: Schedule = schedule(self.samples, self.bench.scores, epochs, self.bench.scored, trial.size)
            for words, told in zip(tried, trial.told("observe_seconds"), strict=True):
                watched = sum(trial.size.watched(side) for side, some in zip(SIDES, words, strict=True) if some)
                if watched:
                    found[words].append(told / watched)
        every = [value for values in found.values() for value in values] or [0.0]
        # What some score observes at other epochs only is taken to cost what the rest does.
        return {
            words: Range(min(values), values[-1], max(values[-1], median(values)))
            for words in self._plan
            for values in [found.get(words, every)]
        }

    def _checkpoint(self, trial: Trial) -> tuple[float, float]:
        """Bytes of the checkpoint of a full fit, and seconds to write one."""
        watched, tried = (s.unseen + s.seen for s in (self.size, trial.size))
        scale = watched / tried if tried else 1.0
        sizes = {
            name: array.nbytes * (scale if name.startswith("sink/") else 1.0)
            for name, array in trial.checkpoint.items()
        }
        whole = sum(sizes.values())
        if not whole:
            return 0.0, 0.0
        written = min(whole, float(2**27))  # more takes as long for each byte
        with tempfile.TemporaryDirectory() as folder:
            start = perf_counter()
            DirectoryCheckpoints(Path(folder) / "checkpoint.npz", "0" * 32).save(
                {"state": np.zeros(int(written), np.uint8)}
            )
            seconds = perf_counter() - start
        return whole, seconds * whole / written


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
