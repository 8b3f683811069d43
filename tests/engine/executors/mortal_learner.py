"""Learners without torch, for workers that start quickly: one that dies at an epoch of the test's choice, and others.

`Steps` takes steps of gradient descent, with a checkpoint an epoch, as the torch learner does.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from unseen.core import seeds
from unseen.core.exposure import Observation
from unseen.core.protocols import Learner


class Steps(Learner):
    """Softmax regression by gradient descent; says each epoch which process it is in."""

    name = "steps"
    batch_size = 64

    def __init__(self, epochs=4, pause=0.0):
        self.epochs, self.pause = epochs, pause

    def describe(self):
        return {"learner": self.name, "epochs": self.epochs}

    def with_epochs(self, epochs):
        return type(self)(epochs, self.pause)

    def steps(self, samples):
        return self.epochs * -(-samples // self.batch_size)

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        x, y = data.take(fit.train).reshape(len(fit.train), -1) / 16, np.eye(len(data.class_names))
        w, done = np.zeros((x.shape[1], y.shape[1])), 0
        if (kept := checkpoints.load()) is not None:
            w, done = np.array(kept.pop("w")), int(kept.pop("epoch"))
            sink.restore(kept)
        for epoch in range(done + 1, self.epochs + 1):
            order = seeds.order(seed, data.ids[fit.train], "order", fit.repeat, epoch)
            for rows in np.split(order, range(self.batch_size, len(order), self.batch_size)):
                guess = np.exp(x[rows] @ w)
                error = guess / guess.sum(1, keepdims=True) - y[data.labels[fit.train[rows]]]
                w -= x[rows].T @ error / len(rows)
            if sink.wants("unseen", epoch, self.epochs):
                asked = data.take(fit.unseen).reshape(len(fit.unseen), -1) / 16
                sink.observe("unseen", Observation(fit.unseen, epoch, asked @ w))
            checkpoints.save({"w": w, "epoch": np.int64(epoch), **sink.state()})
            waits = self.struck(fit.name, epoch)  # before the test hears of this epoch, and kills
            report("epoch", epoch=epoch, epochs=self.epochs, pid=os.getpid(), waits=waits, seconds=0.01)
            time.sleep(60 if waits else self.pause)

    def struck(self, fit, epoch):
        """What a subclass does when an epoch is over; whether it then waits to be killed."""
        return False


class Mortal(Steps):
    """Waits once to be killed, after the epoch of each fit in `deaths`; a mark in the folder says that it has."""

    def dying(self, folder, deaths):
        self.folder, self.deaths = str(folder), deaths
        return self

    def struck(self, fit, epoch):
        mark = Path(self.folder) / fit
        if epoch != self.deaths.get(fit):
            return False
        try:
            mark.touch(exist_ok=False)  # by one, where several fits of a name are under way
        except FileExistsError:
            return False
        return True


class Hungry(Steps):
    """Runs out of memory after the first epoch of a fit: as long as it has company, or always."""

    def eating(self, folder, fit, *, always):
        self.folder, self.hungry, self.always = str(folder), fit, always
        return self

    def struck(self, fit, epoch):
        mark = Path(self.folder) / fit
        if fit == self.hungry and epoch == 1 + mark.exists() and (self.always or not mark.exists()):
            mark.touch()
            raise MemoryError("Unable to allocate 3.00 TiB")
        return False


class Killer:
    """Takes reports; kills each process that waits for it, or does what the test wants done to it."""

    def __init__(self, kill=lambda pid: os.kill(pid, signal.SIGKILL)):
        self.killed = []
        self.told = []
        self.kill = kill

    def __call__(self, kind, **fields):
        self.told.append((kind, fields))
        if kind == "epoch" and fields["waits"]:
            self.killed.append(fields["fit"])
            self.kill(fields["pid"])

    def epochs(self, fit):
        return [fields["epoch"] for kind, fields in self.told if kind == "epoch" and fields["fit"] == fit]

    def count(self, kind):
        return sum(k == kind for k, _ in self.told)


class Glance(Learner):
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
