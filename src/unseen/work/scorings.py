"""Scorings of a data set: fits of several handed to one executor, and their results to the scoring that asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unseen import executors
from unseen.exposure import Plan
from unseen.learners.classes import check_scores
from unseen.protocols import Learner
from unseen.runs.base import Run
from unseen.scores.base import Score
from unseen.scores.registry import resolve as resolve_score
from unseen.scoring import Scoring
from unseen.types import ScoreTable
from unseen.work.outlook import outlook, warn_if_perfect
from unseen.work.setup import abilities

if TYPE_CHECKING:
    from unseen.work.ready import Work

__all__ = ["Asked", "scored"]


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
