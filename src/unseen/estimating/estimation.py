"""The verb `estimate`: what a scoring will cost, before it begins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Literal, Unpack

import numpy.typing as npt

from unseen.data.sources import Reading, opened
from unseen.errors import ArgumentError
from unseen.estimating.costs import FASTER, SLOWER
from unseen.estimating.counting import Size
from unseen.estimating.estimated import Estimate
from unseen.estimating.in_epochs import trains_in_epochs
from unseen.estimating.pricing import PricedScoring, PricedTraining, costs_of, on_gpu
from unseen.estimating.ranges import NOTHING, Range
from unseen.estimating.sampling import Sampled, sampled
from unseen.estimating.trials import Bench
from unseen.exposure import Plan, seen
from unseen.exposure.naming import plan_of
from unseen.learners.recorder import Recorder
from unseen.protocols import Data, Learner
from unseen.rules.budgets import amounts
from unseen.rules.budgets import budget as budget_of
from unseen.runs import MemoryRun, seed_of
from unseen.scores.base import Score
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.registry import resolve as resolve_score
from unseen.scoring import Abilities, Scoring
from unseen.work import Work

__all__ = ["estimate"]

TRAINING_SECONDS = 5.0  # for trials of trainings by themselves
START_LIMIT = 20.0  # seconds; beyond, a process that only imports tells nothing


def estimate(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    keep: float | str | None = None,
    prune: float | str | None = None,
    score: str | Score | None = None,
    also: Sequence[str | Score] = (),
    plan: Plan | str | None = None,
    learner: Any = None,
    trainee: Any = None,
    gpus: int | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    groups: Literal["duplicates"] | None = "duplicates",
    seed: int | None = 0,
    opening: float | None = None,
    features: str | Sequence[str] | None = None,
    **reading: Unpack[Reading],
) -> Estimate:
    """What `prune` will cost, and when it pays, from a few fits on a small sample of the data. Takes under 30 s.

    Counts of fits and samples are exact; times are measured on this machine and extrapolated, each with a range. Not
    counted: joining the fits, and choosing by the rule.

    Args:
        data: as in `unseen.prune`.
        y: (n,) labels, where `data` is an array of inputs.
        keep: how much is kept; with neither `keep` nor `prune` nothing is said about trainings on the coreset.
        prune: how much is removed.
        score: the score that the rule reads.
        also: further scores for the table.
        plan: the exposure plan; that of `unseen.prune` if not given.
        learner: who scores; see `unseen.learners.resolve`.
        trainee: who is trained on the coreset, if another than the learner that scores.
        gpus: GPUs, each of which trains a fit, as fast as the one here.
        jobs: fits at a time on this machine, in place of `gpus`.
        threads: threads a fit.
        groups: `"duplicates"` counts the time to find exact copies, None does not.
        seed: of the sample.
        opening: seconds that opening `data` took, where it is open already.
        features: the columns that are inputs.
        **reading: how `data` is read, as in `label="income"`; see `unseen.score`.

    Raises:
        ArgumentError: a `Recorder`, whose loop is not known before it runs; GPUs where the learner uses none; and all
            that `unseen.prune` refuses before training.

    Example:
        >>> import unseen
        >>> found = unseen.estimate("digits", keep=0.5, learner="logistic", plan=unseen.folds(2))
        >>> found.fits, found.samples_trained, found.wall_seconds.low < found.wall_seconds.high
        (2, 1797, True)
    """
    seed = seed_of(None, seed)
    start = perf_counter()
    source = opened(estimate, data, y, reading, features)
    opening = perf_counter() - start if opening is None else opening
    for who in (learner, trainee):
        _refuse_recorder(who)
    if gpus is not None and jobs is not None:
        raise ArgumentError(f"give gpus or jobs, not both, got gpus={gpus!r} and jobs={jobs!r}")
    slots = 1 if gpus is None and jobs is None else gpus or jobs
    work = Work(source, learner, groups=None, jobs=slots, threads=threads)
    _check_gpus(work.learner, gpus)
    wanted = [*([score] if score is not None else [_default(source)]), *also]
    exposure = plan_of(plan, closed_form=work.learner.closed_form)
    job = _job(work, exposure, [*wanted, *([LABEL_ISSUE] if source.targets is None else [])], seed)
    budget = None if keep is None and prune is None else budget_of(len(source), **amounts(keep=keep, prune=prune))
    sample = sampled(source, seed)
    scoring = PricedScoring.tried(work, job, sample)
    training = _trained(work, trainee, scoring, sample, seed)
    start_seconds = _start(work, slots or 1)
    reopening = Range.exactly(opening + (len(source) * sample.hash_seconds() if groups == "duplicates" else 0.0))
    return scoring.estimate(slots or 1, budget, training, (reopening + start_seconds).widened(FASTER, SLOWER))


def _trained(work: Work, trainee: Any, scoring: PricedScoring, sample: Sampled, seed: int) -> PricedTraining:
    """Who is trained on the coreset, and what that costs; a learner in epochs was measured by its scoring."""
    if trainee is None and trains_in_epochs(work.learner):
        return PricedTraining(work.learner, scoring.costs, [])
    if trainee is not None:
        work = Work(work.data, trainee, groups=None, jobs=1, threads=work.executor.threads)
    job = _job(work, seen(), [resolve_score("loss")], seed)
    bench = Bench(sample, (), "unseen", work.threads, seed)
    costs = costs_of(work.learner, bench, job, Size(len(work.data)), TRAINING_SECONDS)
    return PricedTraining(work.learner, costs, [] if trainee is None else [f"trainee: {note}" for note in costs.notes])


def _job(work: Work, plan: Plan, scores: Sequence[str | Score], seed: int) -> Scoring:
    """The scoring job, never run: it refuses what `prune` would refuse before training."""
    work.check(plan, scores)
    who = work.learner
    abilities = Abilities(who.describe(), who.epochs, who.provides, who.closed_form)
    with MemoryRun() as run:
        return Scoring(work.samples, plan=plan, scores=scores, learner=abilities, run=run, seed=seed)


def _refuse_recorder(learner: Any) -> None:
    if isinstance(learner, Recorder) or learner == "recorder":
        raise ArgumentError(
            "learner must be one that trains here, got a Recorder: your own loop is not known before it runs, so there "
            "is nothing to measure; time an epoch of it, or name a learner that is like it"
        )


def _check_gpus(learner: Learner, gpus: int | None) -> None:
    if gpus is None:
        return
    if isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 1:
        raise ArgumentError(f"gpus must be an integer of at least 1, got {gpus!r}")
    if not on_gpu(learner):
        raise ArgumentError(
            f"gpus={gpus} needs a learner on a GPU here to be measured, but {learner.name!r} uses "
            f"{learner.describe().get('device', 'the processor')!r}; run this where there is one of these GPUs, or "
            "give jobs"
        )


def _default(data: Data) -> str:
    return "el2n" if data.targets is None else "loss"


def _start(work: Work, slots: int) -> Range:
    """Seconds until worker processes are there, where fits have processes of their own."""
    if slots == 1:
        return NOTHING
    code = "import unseen.executors.worker, unseen.work"
    if trains_in_epochs(work.learner) and work.learner.name == "torch":
        code += ", unseen.learners.torch.loop"
    start = perf_counter()
    try:
        subprocess.run([sys.executable, "-c", code], check=False, timeout=START_LIMIT, capture_output=True)
    except (OSError, subprocess.TimeoutExpired):
        return Range.exactly(START_LIMIT)
    return Range.exactly(perf_counter() - start)
