"""A learner that only remembers: certain of the label of what it was trained on, undecided about everything else.

So `el2n` is 0 exactly where a model is asked about content that it saw. Module-level, so that worker processes can
import it.
"""

from __future__ import annotations

import numpy as np

from unseen.core.exposure import Observation
from unseen.core.protocols import Learner


class MemoryLearner(Learner):
    name = "memory"

    def describe(self):
        return {"learner": self.name}

    def trained_on(self, data, fit):
        return fit.train

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        seen = {row.tobytes() for row in data.take(self.trained_on(data, fit))}
        for side in ("unseen", "seen"):
            if not sink.wants(side, 1, 1):
                continue
            rows = fit.watch(side)
            logits = np.zeros((len(rows), len(data.class_names)))
            known = [row.tobytes() in seen for row in data.take(rows)]
            logits[known, data.labels[rows[known]]] = 1000.0
            sink.observe(side, Observation(rows, 1, logits))


class LeakingLearner(MemoryLearner):
    """Trains on everything, whatever it is told: the leak that the law is there to find."""

    def trained_on(self, data, fit):
        return np.arange(len(data))


class UnseededLearner(MemoryLearner):
    """Draws from the clock, not from the seed."""

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        rng = np.random.default_rng()
        sink.observe("unseen", Observation(fit.unseen, 1, rng.normal(size=(len(fit.unseen), len(data.class_names)))))


class DyingLearner(MemoryLearner):
    """Dies in the fits named, the first time around."""

    def __init__(self, *dies_in):
        self.dies_in = set(dies_in)

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        if fit.name in self.dies_in:
            raise RuntimeError(f"died in {fit.name}")
        super().fit(data, fit, sink, checkpoints, seed=seed, report=report)
