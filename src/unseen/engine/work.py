"""Who is told as work goes on.

What is settled before any work: threads, workers, and which samples are bound together.

What is said of a scoring before it begins, and what is odd about its result.

Scorings of a data set: fits of several handed to one executor, and their results to the scoring that asked.

Trainings on parts of a data set, and what each comes to on test rows.

The work itself: what was made ready, and what it can be asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unseen import learners
from unseen.core.arrays import Arrays, IntArray
from unseen.core.exposure import Fit, Plan
from unseen.core.protocols import Data, Learner
from unseen.core.table import ScoreTable
from unseen.data.labels import grouping, joined_groups, to_numpy
from unseen.engine import executors
from unseen.engine.runs.base import Run
from unseen.engine.scoring import Abilities, Samples, Scoring, check_score
from unseen.errors import ArgumentError
from unseen.learners.base import check_scores
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.streaming import Score

if TYPE_CHECKING:
    # MOVE
    # MOVE
    pass  # MOVE

__all__ = [
    "Asked",
    "Fix",
    "Groups",
    "Outcome",
    "Report",
    "Training",
    "Work",
    "abilities",
    "bound",
    "joined",
    "outlook",
    "scored",
    "silent",
    "tested",
    "threaded",
    "warn_if_perfect",
]


Report = Callable[..., None]


def silent(kind: str, **fields: object) -> None:
    """Report to nobody."""


Groups = npt.ArrayLike | Literal["duplicates"] | None


def abilities(learner: Learner) -> Abilities:
    """What a scoring has to know of who trains."""
    return Abilities(learner.describe(), learner.epochs, learner.provides, learner.closed_form)


def threaded(learner: Learner, threads: int) -> tuple[Learner, int]:
    """The learner at this many threads a fit, and how many it really takes: its recipe may say otherwise."""
    limited = learner.with_threads(threads)
    return (learner, threads) if limited is None else (limited, limited.threads or threads)


def joined(learner: Learner, workers: int) -> Learner:
    """The learner, each of its models trained by so many processes; part of what it says of itself, as the threads."""
    joined = learner.with_workers(workers)
    if joined is None:
        raise ArgumentError(
            f"workers must be 1 for learner {learner.name!r}, which trains a model in one process, got {workers}; use "
            "executor='ray', which trains as many models at a time as there is room for"
        )
    return joined


def bound(data: Data, groups: Groups) -> IntArray | None:
    """The samples bound together: by the data set itself, and as asked."""
    held = data.groups
    if isinstance(groups, str):
        if groups != "duplicates":
            raise ArgumentError(f"groups must be 'duplicates', an array of n groups or None, got {groups!r}")
        held = joined_groups(held, data.duplicate_groups())
    elif groups is not None:
        given = to_numpy(groups, "groups")
        if given.ndim == 1 and len(given) != len(data):
            raise ArgumentError(f"groups must have one entry for each of {len(data)} samples, got {len(given)}")
        held = joined_groups(held, grouping(given, len(data), "groups"))
    return held


def outlook(work: Work, job: Scoring) -> dict[str, object]:
    """What is going to be done and what it will take, before it begins."""
    data, own = work.data, work.learner.memory(work.data, job.plan)
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
        "learner": work.learner.name,
        "plan": job.plan.describe(),
        "scores": [score.label for score in job.scores],
        "fits": job.fits_in_all,
        "epochs": work.learner.epochs or 1,
        "threads": work.threads,
        # Who reads the data in blocks holds no more of it than the data set itself does.
        "data_bytes": n * data.sample_bytes if own is None else data.held_bytes,
        "learner_bytes": own or 0,
        "state_bytes": sample * n // max(1, job.fits_in_all // job.plan.repeats),
        "groups": 0 if job.samples.groups is None else int(np.sum(np.bincount(job.samples.groups) > 1)),
        "notes": list(data.notes),
    }


def warn_if_perfect(table: ScoreTable, learner: str) -> None:
    """A linear model that is right about every sample it never saw is more often told the label than that good."""
    if table.predictions is not None and (table.predictions == table.labels).all():
        warnings.warn(
            f"{learner} is right about every one of {len(table):,} samples that it never saw: the features may contain "
            "the label. Look for a column that is the label or was made from it, for an embedding that was trained on "
            "these labels, and for ids or file names that go by class",
            UserWarning,
            stacklevel=5,
        )


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


def scored(work: Work, asked: Sequence[Asked], who: Learner, *, announce: bool) -> list[ScoreTable]:
    """Score several times over, by fits of `who`; see `Work.score`."""
    scorings = [_scoring(work, one, who) for one in asked]
    if announce:
        work.report("plan", **outlook(work, scorings[0]))
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
        work.report(kind, fit=fit, **fields)

    for job, result in work.carried_out(jobs(), told):
        _, scoring = mine.pop(job.name)
        scoring.finish(job.fit, result)
        work.report("fit_done", fit=job.name, epochs=who.epochs or 1, done=scoring.done, fits=scoring.fits_in_all)
    tables = [scoring.table() for scoring in scorings]
    if announce and who.closed_form and asked[0].plan.scored_side == "unseen":
        warn_if_perfect(tables[0], who.name)
    return tables


def _scoring(work: Work, asked: Asked, who: Learner) -> Scoring:
    check_scores(work.data, map(resolve_score, asked.scores))
    return Scoring(
        work.samples,
        plan=asked.plan,
        scores=asked.scores,
        learner=abilities(who),
        run=asked.run,
        seed=asked.seed,
        settings={"threads": work.threads},
    )


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


Fix = Literal["epochs", "iterations"]


class Work:
    """Scores a data set, and tests what training on a part of it comes to.

    Args:
        data: an open data set.
        learner: see `unseen.learners.resolve`.
        groups: `"duplicates"`, an array (n,) or None; see `unseen.score`.
        executor: where fits run: `"local"`, `"ray"`, or an executor; see `unseen.engine.executors.resolve`.
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
        self.learner, self.threads = threaded(learners.resolve(learner, data), self.executor.threads)
        if self.executor.workers > 1:
            self.learner = joined(self.learner, self.executor.workers)
        self.learner.check(data)
        fingerprint = data.fingerprint(full=verify == "full")
        self.samples = Samples(data.ids, data.labels, data.class_names, bound(data, groups), fingerprint)
        self.report: Report = report or silent

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
        return scored(self, [Asked(run, plan, scores, seed, name)], learner or self.learner, announce=announce)[0]

    def score_all(self, asked: Sequence[Asked]) -> list[ScoreTable]:
        """Score several times over; fits of all scorings share the workers."""
        return scored(self, asked, self.learner, announce=False)

    def session(self) -> AbstractContextManager[None]:
        """Inside the block, scorings and tests share what an executor begins: one Ray, say."""
        return self.executor.session()

    def check(self, plan: Plan, scores: Sequence[str | Score], learner: Learner | None = None) -> None:
        """Refuse scores that this plan or learner cannot give, before a run is begun."""
        check_scores(self.data, map(resolve_score, scores))
        for score in scores:
            check_score(resolve_score(score), plan, abilities(learner or self.learner))

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
        return tested(self, run, trainings, test, seed=seed)

    def check_batch(self, samples: int) -> None:
        """Refuse to judge a coreset that is below one batch of the learner: that is no training anybody would do.

        (On the way there, coresets may be smaller; they are trained on in one batch of what there is.)
        """
        batch = self.learner.batch_size or 1
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
        who = self.learner
        usual, fewer = who.steps(of), who.steps(samples)
        longer = who.with_epochs(max(1, round((who.epochs or 1) * usual / fewer))) if usual and fewer else None
        if longer is None:
            raise ArgumentError(
                f"fix='iterations' needs a learner that trains in steps, which {who.name!r} does not; use fix='epochs'"
            )
        return longer

    def carried_out(self, jobs: Iterable[executors.Job], report: Report) -> Iterator[tuple[executors.Job, Arrays]]:
        """Each job with its result, as it ends; used by scorings and trainings.

        Files that have changed are refused before each fit, and before the result of one is taken.
        """

        def of_unchanged() -> Iterator[executors.Job]:
            for job in jobs:
                self.data.check_unchanged()
                yield job

        results = self.executor.run(of_unchanged(), data=self.data, report=report)
        with closing(results):  # Ctrl-C in this loop ends the workers at once
            for done in results:
                self.data.check_unchanged()
                yield done
