"""The work itself: what was made ready, and what it can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, Literal

from unseen import executors, learners
from unseen.errors import ArgumentError
from unseen.exposure import Plan
from unseen.learners.classes import check_scores
from unseen.protocols import Data, Learner, check_unchanged
from unseen.runs.base import Run
from unseen.scores.base import Score
from unseen.scores.registry import resolve as resolve_score
from unseen.scoring import Samples, check_score
from unseen.types import Arrays, IntArray, ScoreTable
from unseen.work.reports import Report, silent
from unseen.work.scorings import Asked, scored
from unseen.work.setup import Groups, abilities, bound, joined, threaded
from unseen.work.trainings import Outcome, Training, tested

__all__ = ["Fix", "Work"]

Fix = Literal["epochs", "iterations"]


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

    def carried_out(self, jobs: Iterable[executors.Job], report: Report) -> Iterator[tuple[executors.Job, Arrays]]:
        """Each job with its result, as it ends; used by scorings and trainings.

        Files that have changed are refused before each fit, and before the result of one is taken.
        """

        def of_unchanged() -> Iterator[executors.Job]:
            for job in jobs:
                check_unchanged(self.data)
                yield job

        results = self.executor.run(of_unchanged(), data=self.data, report=report)
        with closing(results):  # Ctrl-C in this loop ends the workers at once
            for done in results:
                check_unchanged(self.data)
                yield done
