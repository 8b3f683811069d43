"""The cost of a closed form: its operations by formula, at the rate at which fits on a sample made theirs.

    seconds a fit = passes / p + rest / r + reads of its rows

p and r are fitted to the times of fits on samples of growing size, whose operations the same formula tells, so that
they are the rates of the learner's own products, with what belongs to them, on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import nnls

from unseen.estimating import operations
from unseen.estimating.costs import FASTER, SLOWER
from unseen.estimating.counting import Schedule, Size
from unseen.estimating.operations import Operations
from unseen.estimating.ranges import Range
from unseen.estimating.trials import Bench, Trial
from unseen.exposure import Plan
from unseen.learners.ridge import RidgeLearner
from unseen.learners.ridge.passes import INFLUENCE, KEPT_BYTES
from unseen.learners.ridge.together import SECONDS
from unseen.learners.softmax import SoftmaxLearner

__all__ = ["ByOperations", "counted_learner"]

GROWTH = 3.0


def counted_learner(learner: object) -> bool:
    """Whether there is a formula for its operations."""
    return isinstance(learner, (RidgeLearner, SoftmaxLearner))


@dataclass
class ByOperations:
    """See the head of this module.

    Args:
        learner: `ridge` or `softmax`.
        bench: where it is tried.
        plan: what it is to do.
        wanted: what is observed.
        size: of a fit.
        budget: seconds for the trials, about.

    """

    learner: Any
    bench: Bench
    plan: Plan
    wanted: Schedule
    size: Size
    budget: float
    measured: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    checkpoint_bytes: float = 0.0

    def __post_init__(self) -> None:
        sample, d = self.bench.sample, int(self.bench.sample.sample_shape[0])
        self._n = len(sample.whole)
        # A fold is left out by its sums only where it has more than d / 6 rows.
        least = max(512, 2 * d, self.size.models * d // 3 if self.size.apart == "folds" else 0)
        trials = self.bench.grown(self.learner, self.size, least=least, seconds=self.budget, factor=GROWTH).trials
        self._seconds_each, self._error = self._fitted(trials)
        last = trials[-1]
        self.result_bytes = last.result_bytes
        self.measured |= {
            "GFLOP/s of the largest trial": self._counted(last.size, len(sample)).total / last.seconds / 1e9,
            "seconds to read a sample": sample.run_seconds,
            "samples tried": last.size.rows,
        }
        if self.size.apart and self.seconds(self.size).high > SECONDS:  # the first is kept after so long
            width = 1 if sample.targets is not None else len(sample.class_names)
            sums = 1 + (self.size.models if self.size.apart == "folds" else 0)
            self.checkpoint_bytes = min(float(KEPT_BYTES), 8.0 * sums * d * (d + width))

    def operations(self, size: Size) -> Range:
        """Of one fit."""
        return Range(*(self._counted(size, self._n, effort).total for effort in range(3)))

    def operations_once(self) -> float:
        """Of the sums over all samples, where fits subtract from them."""
        return self._whole(self.size, self._n)

    def seconds(self, size: Size) -> Range:
        """Of one fit."""
        passes, rest = self._seconds_each
        three = [self._counted(size, self._n, effort) for effort in range(3)]
        computing = Range(*(passes * work.passes + rest * work.rest for work in three))
        each = self.bench.sample.run_seconds
        whole_in_memory = getattr(self.bench.sample.whole, "in_memory", True)
        reads = self._reads(size)
        reading = Range(0.0 if whole_in_memory else each * reads, each * reads, each * reads)
        return (computing.widened(1 / self._error, self._error) + reading).widened(FASTER, SLOWER)

    def once(self) -> Range:
        """The sums over all samples, where fits subtract from them."""
        seconds = Range.exactly(self._seconds_each[0] * self.operations_once())
        return seconds.widened(FASTER / self._error, SLOWER * self._error)

    def memory(self, size: Size) -> Range:
        """What the learner says, and the data set where it is in memory anyway."""
        held = self.bench.sample.held_bytes
        own = float(self.learner.memory(self.bench.sample.whole, self.plan))
        return Range(held + own / 2, held + own, held + own)

    def _reads(self, size: Size) -> float:
        """Rows read."""
        size = size.looked_at(self.wanted)
        if isinstance(self.learner, SoftmaxLearner):
            return float(size.samples * size.models if size.apart == "folds" else size.rows)
        return float(size.rows + size.seen + (size.samples if size.apart else 0))

    def _counted(self, size: Size, n: int, effort: int = 1) -> Operations:
        sample, learner, size = self.bench.sample, self.learner, size.looked_at(self.wanted)
        d, classes = int(sample.sample_shape[0]), len(sample.class_names)
        if isinstance(learner, SoftmaxLearner):
            return operations.softmax(size, d, classes, lam=learner.lam == "auto", effort=effort)
        wanted = frozenset[str]().union(*(score.needs for score in self.bench.scores))
        return operations.ridge(
            size,
            d,
            classes if sample.targets is None else 1,
            n,
            lam=learner.lam == "auto",
            temperature=learner.temperature == "auto" and sample.targets is None,
            influence=bool(INFLUENCE & wanted),
            weighted=learner.class_weights != "none",
        )

    def _whole(self, size: Size, n: int) -> float:
        """Operations of the sums over n samples, if a fit of this size needs them."""
        if isinstance(self.learner, SoftmaxLearner):
            return 0.0
        weighted = self.learner.class_weights != "none"
        return n * float(self.bench.sample.sample_shape[0]) ** 2 * operations.subtracts(size, n, weighted)

    def _fitted(self, trials: list[Trial]) -> tuple[tuple[float, float], float]:
        """Seconds an operation of either kind, and by what factor they miss a trial at worst."""
        n = len(self.bench.sample)
        counted = [self._counted(trial.size, n) for trial in trials]
        work = np.array([[c.passes + self._whole(t.size, n), c.rest] for c, t in zip(counted, trials, strict=True)])
        seconds = np.array([trial.seconds for trial in trials])
        if len(trials) == 1:
            each = np.full(2, seconds[0] / work[0].sum())
        else:
            scale = work.max(axis=0)
            each = nnls(work / scale / seconds[:, None], np.ones(len(trials)))[0] / scale
        error = float(np.exp(np.abs(np.log(np.maximum(work @ each, 1e-12) / seconds)).max()))
        passes, rest = each.tolist()
        return (passes, rest), min(error, 3.0)
