"""A learner whose process the test can kill at an epoch of its choice, and one that wants to know where it is."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from unseen.learners.torch import TorchLearner
from unseen.types import Observation


class MortalLearner(TorchLearner):
    """Trains as the mlp does, and says the same of itself, but waits once after the epoch of each fit in `deaths`."""

    def dying(self, folder, deaths):
        self.folder, self.deaths = str(folder), deaths
        return self

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        def tell(kind, **fields):
            mark = Path(self.folder) / fit.name
            dies = kind == "epoch" and fields["epoch"] == self.deaths.get(fit.name) and not mark.exists()
            if dies:
                mark.touch()  # before the test hears of this epoch, and kills
            report(kind, **fields, **({"pid": os.getpid()} if kind == "epoch" else {}))
            if dies:
                time.sleep(60)

        super().fit(data, fit, sink, checkpoints, seed=seed, report=tell)


class Killer:
    """Takes reports; kills the process that reports the epoch at which it is to die."""

    def __init__(self, deaths):
        self.deaths = dict(deaths)
        self.told = []

    def __call__(self, kind, **fields):
        self.told.append((kind, fields))
        if kind == "epoch" and self.deaths.get(fields["fit"]) == fields["epoch"]:
            del self.deaths[fields["fit"]]
            os.kill(fields["pid"], signal.SIGKILL)

    def epochs(self, fit):
        return [fields["epoch"] for kind, fields in self.told if kind == "epoch" and fields["fit"] == fit]

    def count(self, kind):
        return sum(k == kind for k, _ in self.told)


class Glance:
    """Looks at one row, so that large data costs nothing to learn from."""

    def describe(self):
        return {"learner": "glance"}

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        value = float(data.x[-1, -1])
        sink.observe("unseen", Observation(rows=fit.unseen, epoch=1, logits=np.full((len(fit.unseen), 3), value)))


class Wanderer(Glance):
    """Says something else of itself in every process."""

    def describe(self):
        return {"learner": "wanderer", "device": os.getpid()}
