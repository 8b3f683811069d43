"""A data set, a learner and an executor, made ready once: what every verb sets to work, to score or to test."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from copy import copy
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen import executors, learners
from unseen.errors import ArgumentError
from unseen.exposure import Fit, Plan
from unseen.learners.classes import check_scores
from unseen.protocols import Data, Learner
from unseen.runs.base import Run
from unseen.scores.base import Score
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.sink import ScoreSink
from unseen.scoring import Abilities, Samples, Scoring, check_score, joined_groups
from unseen.types import Arrays, IntArray, ScoreTable

__all__ = ["Asked", "Fix", "Outcome", "Report", "Training", "Work"]

Report = Callable[..., None]
Fix = Literal["epochs", "iterations"]
Groups = npt.ArrayLike | Literal["duplicates"] | None


@dataclass(frozen=True, eq=False)
class Asked:
    """One scoring among several.

    Args:
        run: where its fits and its table are kept; closed by whoever made it.
        plan: the exposure plan.
        scores: what to measure.
        seed: the root seed of this scoring.
        name: put before the names of the fits in reports; another for each scoring.

    """

    run: Run
    plan: Plan
    scores: Sequence[str | Score]
    seed: int
    name: str = ""


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


class Work:
    """Scores a data set, and tests what training on a part of it comes to.

    Args:
        data: an open data set.
        learner: see `unseen.learners.resolve`.
        groups: `"duplicates"`, an array (n,) or None; see `unseen.score`.
        executor: where fits run: `"local"`, `"ray"`, or an executor; see `unseen.executors.resolve`.
        jobs: fits at a time.
        threads: threads a fit.
        verify: how much of the content is in the fingerprint.
        report: called with (kind, **fields) as work goes on.

    """

    def __init__(
        self,
        data: Data,
        learner: Any = None,
        *,
        groups: Groups = "duplicates",
        executor: str | executors.Executor = "local",
        jobs: int | None = None,
        threads: int | None = None,
        verify: str = "cheap",
        report: Report | None = None,
    ) -> None:
        self.data = data
        self.executor = executors.resolve(executor, jobs=jobs, threads=threads)
        self.learner, self.threads = _threaded(learners.resolve(learner, data), self.executor.threads)
        if self.executor.workers > 1:
            self.learner = _joined(self.learner, self.executor.workers)
        self.learner.check(data)
        fingerprint = data.fingerprint(full=verify == "full")
        self.samples = Samples(data.ids, data.labels, data.class_names, _bound(data, groups), fingerprint)
        self._given = groups
        self.report: Report = report or _silent

    def regrouped(self, groups: Groups) -> Work:
        """The same work with other groups than it was given."""
        other = copy(self)
        other.samples = replace(self.samples, groups=_bound(self.data, groups))
        other._given = groups
        return other

    def without_copies(self) -> Work:
        """The same work, in which exact copies are not held together; groups of the user's are."""
        return self.regrouped(None if isinstance(self._given, str) else self._given)

    def score(
        self,
        run: Run,
        plan: Plan,
        scores: Sequence[str | Score],
        *,
        seed: int,
        learner: Learner | None = None,
        name: str = "",
        announce: bool = False,
    ) -> ScoreTable:
        """Score by a plan, the fits and the table kept in `run`, which is opened here.

        Args:
            run: where; closed by the caller.
            plan: the exposure plan.
            scores: what to measure.
            seed: the root seed of this scoring.
            learner: another than that of this work, such as one trained for longer.
            name: put before the names of the fits in reports.
            announce: report `"plan"` first: what is going to be done and what it takes.

        """
        return self._scored([Asked(run, plan, scores, seed, name)], learner or self.learner, announce=announce)[0]

    def score_all(self, asked: Sequence[Asked]) -> list[ScoreTable]:
        """Score several times over; fits of all scorings share the workers."""
        return self._scored(asked, self.learner, announce=False)

    def session(self) -> AbstractContextManager[None]:
        """Inside the block, scorings and tests share what an executor begins: one Ray, say."""
        return self.executor.session()

    def check(self, plan: Plan, scores: Sequence[str | Score], learner: Learner | None = None) -> None:
        """Refuse scores that this plan or learner cannot give, before a run is begun."""
        check_scores(self.data, map(resolve_score, scores))
        for score in scores:
            check_score(resolve_score(score), plan, _abilities(learner or self.learner))

    def test(
        self, run: Run, trainings: Iterable[Training], test: IntArray, *, seed: int
    ) -> Iterator[tuple[Training, Outcome]]:
        """Train on each subset and ask about the test rows; what the run holds already is not trained again.

        Trainings of equal replicate have equal seeds, whatever they train on: their initial weights, and the order of
        the samples they share, are the same, so that their accuracies compare in pairs.

        Args:
            run: an open run; keeps each outcome under its name.
            trainings: no one may be trained on a test row.
            test: int64 (m,) rows asked about.
            seed: the root seed.

        """
        score = resolve_score("loss")
        labels, classes = self.samples.labels, len(self.samples.class_names)

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
            self.report(kind, **fields)

        for job, result in self._run(jobs(), told):
            one = pending[job.name]
            kept = {"prediction": result["prediction"], "loss": score.join({"unseen": _quantities(result)})}
            mark = np.frombuffer(_trained_on(one, test), np.uint8)
            run.save_result(job.name, {**kept, "trained_on": mark})
            self.report("fit_done", fit=job.name, epochs=job.learner.epochs or 1)
            yield one, outcome(one, kept)

    def check_batch(self, samples: int) -> None:
        """Refuse to judge a coreset that is below one batch of the learner: that is no training anybody would do.

        (On the way there, coresets may be smaller; they are trained on in one batch of what there is.)
        """
        batch = getattr(self.learner, "batch_size", 1)
        if samples < batch:
            raise ArgumentError(
                f"a training on {samples} samples is below one batch of {batch}: keep more, or give the learner a "
                f"smaller one (batch_size={max(1, samples // 4)})"
            )

    def lasting(self, fix: Fix, samples: int, of: int) -> Learner:
        """The learner for a training on `samples` samples where one on `of` samples is its usual training.

        Args:
            fix: `"epochs"`: as many epochs, so fewer steps on less data; `"iterations"`: as many steps, to within
                half an epoch, since epochs are whole.
            samples: those trained on.
            of: those of the training whose budget is kept.

        Raises:
            ArgumentError: `"iterations"` of a learner that does not train in steps.

        """
        if fix not in ("epochs", "iterations"):
            raise ArgumentError(f"fix must be 'epochs' or 'iterations', got {fix!r}")
        if fix == "epochs":
            return self.learner
        who: Any = self.learner
        if not hasattr(who, "steps"):
            raise ArgumentError(
                f"fix='iterations' needs a learner that trains in steps, which {who.name!r} does not; use fix='epochs'"
            )
        longer: Learner = who.with_epochs(max(1, round(who.epochs * who.steps(of) / who.steps(samples))))
        return longer

    def _scored(self, asked: Sequence[Asked], who: Learner, *, announce: bool) -> list[ScoreTable]:
        scorings = [self._scoring(one, who) for one in asked]
        if announce:
            self.report("plan", **self._outlook(scorings[0]))
        mine = {}  # whose fit a job is

        def jobs() -> Iterator[executors.Job]:
            for one, scoring in zip(asked, scorings, strict=True):
                for fit, sink, checkpoints in scoring.pending():
                    job = executors.Job(fit, sink, checkpoints, who, one.seed, one.name + fit.name)
                    mine[job.name] = one, scoring
                    yield job

        def told(kind: str, *, fit: str, **fields: Any) -> None:
            one, _ = mine[fit]
            one.run.event(kind, fit=fit.removeprefix(one.name), **fields)
            self.report(kind, fit=fit, **fields)

        for job, result in self._run(jobs(), told):
            _, scoring = mine.pop(job.name)
            scoring.finish(job.fit, result)
            self.report("fit_done", fit=job.name, epochs=who.epochs or 1, done=scoring.done, fits=scoring.fits_in_all)
        tables = [scoring.table() for scoring in scorings]
        if announce and who.closed_form and asked[0].plan.scored_side == "unseen":
            _warn_if_perfect(tables[0], who.name)
        return tables

    def _scoring(self, asked: Asked, who: Learner) -> Scoring:
        check_scores(self.data, map(resolve_score, asked.scores))
        return Scoring(
            self.samples,
            plan=asked.plan,
            scores=asked.scores,
            learner=_abilities(who),
            run=asked.run,
            seed=asked.seed,
            settings={"threads": self.threads},
        )

    def _run(self, jobs: Iterable[executors.Job], report: Report) -> Iterator[tuple[executors.Job, Arrays]]:
        results = self.executor.run(jobs, data=self.data, report=report)
        with closing(results):  # Ctrl-C in this loop ends the workers at once
            yield from results

    def _outlook(self, job: Scoring) -> dict[str, object]:
        """What is going to be done and what it will take, before it begins."""
        data = self.data
        n = len(data)
        sample = sum(
            a.nbytes
            for score in job.scores
            for side in score.sides
            for a in score.start(side, 1, len(data.class_names)).values()
        )
        return {
            "n": n,
            "classes": len(data.class_names),
            "target": data.targets is not None,
            "learner": self.learner.name,
            "plan": job.plan.describe(),
            "scores": [score.label for score in job.scores],
            "fits": job.fits_in_all,
            "epochs": self.learner.epochs or 1,
            "threads": self.threads,
            "data_bytes": int(n * np.prod(data.sample_shape or (1,)) * data.dtype.itemsize),
            "learner_bytes": self._working_bytes(job.plan),
            "state_bytes": sample * n // max(1, job.fits_in_all // job.plan.repeats),
            "groups": 0 if job.samples.groups is None else int(np.sum(np.bincount(job.samples.groups) > 1)),
            "notes": list(getattr(data, "notes", ())),
        }

    def _working_bytes(self, plan: Plan) -> int:
        """What the learner needs beside the data and the scores, if it can tell."""
        told = getattr(self.learner, "memory", None)
        return 0 if told is None else int(told(self.data, plan))


def _warn_if_perfect(table: ScoreTable, learner: str) -> None:
    """A linear model that is right about every sample it never saw is more often told the label than that good."""
    if table.predictions is not None and (table.predictions == table.labels).all():
        warnings.warn(
            f"{learner} is right about every one of {len(table):,} samples that it never saw: the features may contain "
            "the label. Look for a column that is the label or was made from it, for an embedding that was trained on "
            "these labels, and for ids or file names that go by class",
            UserWarning,
            stacklevel=5,
        )


def _abilities(learner: Learner) -> Abilities:
    return Abilities(learner.describe(), learner.epochs, learner.provides, learner.closed_form)


def _threaded(learner: Learner, threads: int) -> tuple[Learner, int]:
    """The learner at this many threads a fit, and how many it really takes: its recipe may say otherwise."""
    if not hasattr(learner, "with_threads"):
        return learner, threads
    limited = learner.with_threads(threads)
    return limited, limited.threads


def _joined(learner: Any, workers: int) -> Learner:
    """The learner, each of its models trained by so many processes; part of what it says of itself, as the threads."""
    if not hasattr(learner, "with_workers"):
        raise ArgumentError(
            f"workers must be 1 for learner {learner.name!r}, which trains a model in one process, got {workers}; use "
            "executor='ray', which trains as many models at a time as there is room for"
        )
    joined: Learner = learner.with_workers(workers)
    return joined


def _bound(data: Data, groups: Groups) -> IntArray | None:
    """The samples bound together: by the data set itself, and as asked."""
    bound = data.groups
    if isinstance(groups, str):
        if groups != "duplicates":
            raise ArgumentError(f"groups must be 'duplicates', an array of n groups or None, got {groups!r}")
        bound = joined_groups(bound, data.duplicate_groups())
    elif groups is not None:
        given = np.asarray(groups)
        if len(given) != len(data):
            raise ArgumentError(f"groups must have one entry for each of {len(data)} samples, got {len(given)}")
        bound = joined_groups(bound, given)
    return bound


def _quantities(result: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {name.split("/")[2]: array for name, array in result.items() if name.count("/") == 2}


def _trained_on(one: Training, test: IntArray) -> bytes:
    """A digest of what decides an outcome beside the seed: who was trained, on what, and asked about what."""
    text = repr(sorted(one.learner.describe().items(), key=lambda item: item[0])).encode()
    rows = np.asarray(one.rows, np.int64).tobytes() + b"|" + np.asarray(test, np.int64).tobytes()
    return blake2b(text + rows, digest_size=16).digest()


def _silent(kind: str, **fields: object) -> None:
    """Report to nobody."""
