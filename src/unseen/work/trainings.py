"""Trainings on parts of a data set, and what each comes to on test rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unseen import executors
from unseen.exposure import Fit
from unseen.protocols import Learner
from unseen.runs.base import Run
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.sink import ScoreSink
from unseen.types import Arrays, IntArray

if TYPE_CHECKING:
    from unseen.work.ready import Work

__all__ = ["Outcome", "Training", "tested"]


@dataclass(frozen=True, eq=False)
class Training:
    """One training among several, to be tested.

    Args:
        name: under which its outcome is kept, in letters, digits, `_`, `.` and `-`.
        rows: int64 (t,) trained on.
        replicate: trainings of equal replicate have equal seeds.
        learner: who is trained.

    """

    name: str
    rows: IntArray
    replicate: int
    learner: Learner


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one training on a part of the data set came to on the test rows, after its last epoch.

    Args:
        predictions: int64 (m,) predicted classes, in the order of the test rows.
        losses: float64 (m,) negative log-probability of the label.
        correct: bool (m,).
        samples_seen: training samples passed over, epochs counted.

    """

    predictions: IntArray
    losses: npt.NDArray[np.float64]
    correct: npt.NDArray[np.bool_]
    samples_seen: int

    @property
    def accuracy(self) -> float:
        """Share of the test rows predicted rightly."""
        return float(self.correct.mean())


def tested(
    work: Work, run: Run, trainings: Iterable[Training], test: IntArray, *, seed: int
) -> Iterator[tuple[Training, Outcome]]:
    """Train on each subset and ask about the test rows; see `Work.test`."""
    score = resolve_score("loss")
    labels, classes = work.samples.labels, len(work.samples.class_names)

    def outcome(one: Training, kept: Arrays) -> Outcome:
        guess = np.asarray(kept["prediction"])
        seen = len(one.rows) * (one.learner.epochs or 1)
        return Outcome(guess, np.asarray(kept["loss"]), guess == labels[test], seen)

    pending = {}
    for one in trainings:
        kept = run.result(one.name)
        if kept is None or bytes(kept["trained_on"]) != _trained_on(one, test):
            pending[one.name] = one
        else:
            yield one, outcome(one, kept)

    def jobs() -> Iterator[executors.Job]:
        for one in pending.values():
            fit = Fit(train=one.rows, unseen=test, repeat=one.replicate)
            sink = ScoreSink(fit, labels, [score], classes)
            yield executors.Job(fit, sink, run.checkpoints(one.name), one.learner, seed, one.name)

    def told(kind: str, **fields: Any) -> None:
        run.event(kind, **fields)
        work.report(kind, **fields)

    for job, result in work.carried_out(jobs(), told):
        one = pending[job.name]
        kept = {"prediction": result["prediction"], "loss": score.join({"unseen": _quantities(result)})}
        mark = np.frombuffer(_trained_on(one, test), np.uint8)
        run.save_result(job.name, {**kept, "trained_on": mark})
        work.report("fit_done", fit=job.name, epochs=job.learner.epochs or 1)
        yield one, outcome(one, kept)


def _quantities(result: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {name.split("/")[2]: array for name, array in result.items() if name.count("/") == 2}


def _trained_on(one: Training, test: IntArray) -> bytes:
    """A digest of what decides an outcome beside the seed: who was trained, on what, and asked about what."""
    text = repr(sorted(one.learner.describe().items(), key=lambda item: item[0])).encode()
    rows = np.asarray(one.rows, np.int64).tobytes() + b"|" + np.asarray(test, np.int64).tobytes()
    return blake2b(text + rows, digest_size=16).digest()
