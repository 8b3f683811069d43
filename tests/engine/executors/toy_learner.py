"""A learner, a sink and data that a spawned process can import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_info

from unseen.core.exposure import Fit, Observation
from unseen.core.protocols import Learner
from unseen.engine.executors import Job
from unseen.engine.runs.base import MemoryCheckpoints
from unseen.errors import ArgumentError, UnknownNameError


@dataclass
class ToyData:
    x: np.ndarray
    labels: np.ndarray
    pickled: int = 0

    def __getstate__(self):
        self.pickled += 1
        return dict(self.__dict__)


@dataclass
class Collect:
    taken: list = field(default_factory=list)

    def wants(self, side, epoch, last):
        return frozenset({"logits"})

    def observe(self, side, observation):
        self.taken.append(observation)

    def result(self):
        return {
            "rows": np.concatenate([o.rows for o in self.taken]),
            "logits": np.concatenate([o.logits for o in self.taken]),
            "threads": np.array(sorted({pool["num_threads"] for pool in threadpool_info()})),
            "pid": np.array(os.getpid()),
        }


class OddError(Exception):
    """Its constructor takes other things than it passes on."""

    def __init__(self, *, code):
        super().__init__(f"odd {code}")
        self.code = code


class UnspeakableError(Exception):
    """Holds what cannot be pickled."""

    def __init__(self):
        super().__init__("cannot be sent")
        self.hold = lambda: None


@dataclass
class Ridge(Learner):
    """Least squares, and what a test wants to go wrong in the fit `where`, or in `"all"`."""

    mode: str = ""
    where: str = "r0f1"

    def describe(self):
        return {"learner": "toy"}

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        x, y = data.x[fit.train], np.eye(3)[data.labels[fit.train]]
        report("epoch", epoch=1, epochs=2)
        if self.where in (fit.name, "all"):
            self.go_wrong()
        elif self.mode in ("killed", "error"):
            time.sleep(0.2)
        checkpoints.save({"epoch": np.int64(1)})
        w = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y) + seed
        sink.observe("unseen", Observation(rows=fit.unseen, epoch=1, logits=data.x[fit.unseen] @ w))
        report("epoch", epoch=2, epochs=2)

    def go_wrong(self):
        if self.mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.mode == "sleep":
            time.sleep(60)
        elif self.mode in ERRORS:
            raise ERRORS[self.mode]


ERRORS = {
    "error": ArgumentError("lr must be positive, got -1"),
    "unknown": UnknownNameError("score", "el2m", ["el2n"]),
    "odd": OddError(code=7),
    "unspeakable": UnspeakableError(),
    "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "os": FileNotFoundError(2, "No such file", "a.png"),
    "eof": EOFError("image cut off"),
}


def toy_data(n=60):
    rng = np.random.default_rng(0)
    return ToyData(rng.normal(size=(n, 4)), np.arange(n) % 3)


def toy_jobs(data, learner=None, *, k=5, seed=3, taken=None):
    rows, learner = np.arange(len(data.labels)), learner or Ridge()
    for fold in range(k):
        fit = Fit(train=rows[rows % k != fold], unseen=rows[rows % k == fold], fold=fold)
        if taken is not None:
            taken.append(fit.name)
        yield Job(fit, Collect(), MemoryCheckpoints(), learner, seed, fit.name)
