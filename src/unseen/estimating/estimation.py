"""The verb `estimate`: what a scoring will cost, before it begins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy.typing as npt

from unseen import data as data_room
from unseen.errors import ArgumentError
from unseen.estimating import counting
from unseen.estimating.by_operations import ByOperations, counted_learner
from unseen.estimating.by_size import BySize
from unseen.estimating.costs import FASTER, SLOWER, Costs, makespan
from unseen.estimating.counting import Size
from unseen.estimating.estimated import Estimate
from unseen.estimating.in_epochs import InEpochs, trains_in_epochs
from unseen.estimating.ranges import NOTHING, Range, total
from unseen.estimating.sampling import Sampled, sampled
from unseen.estimating.trials import Bench
from unseen.evaluating.prices import pays_back
from unseen.exposure import Plan, folds, seen
from unseen.learners.recorder import Recorder
from unseen.protocols import Data, Learner
from unseen.rules.budgets import budget as budget_of
from unseen.runs import MemoryRun
from unseen.scores.base import Score
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.registry import resolve as resolve_score
from unseen.scoring import Abilities, Scoring
from unseen.work import Work

__all__ = ["estimate"]

SCORING_SECONDS, TRAINING_SECONDS = 12.0, 5.0  # for trials of the learner, and of trainings by themselves
START_LIMIT = 20.0  # seconds; beyond, a process that only imports tells nothing
TABLE_COLUMNS = 6  # of 8 bytes beside the scores: id, label, fold, confidence, prediction, and a row of the coreset


def estimate(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    keep: float | None = None,
    prune: float | None = None,
    score: str | Score | None = None,
    also: Sequence[str | Score] = (),
    plan: Plan | None = None,
    learner: Any = None,
    trainee: Any = None,
    gpus: int | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    groups: Literal["duplicates"] | None = "duplicates",
    seed: int = 0,
    opening: float | None = None,
) -> Estimate:
    """What `prune` will cost, and when it pays, from a few fits on a small sample of the data. Takes under 30 s.

    Counts of fits and samples are exact; times are measured on this machine and extrapolated, each with a range. Not
    counted: choosing by the rule, and joining and writing the table.

    Args:
        data: as in `unseen.prune`.
        y: (n,) labels, where `data` is an array of inputs.
        keep: how much is kept; with neither `keep` nor `prune` nothing is said about trainings on the coreset.
        prune: how much is removed.
        score: the score that the rule reads.
        also: further scores for the table.
        plan: the exposure plan; `folds(5)` if not given.
        learner: who scores; see `unseen.learners.resolve`.
        trainee: who is trained on the coreset, if another than the learner that scores.
        gpus: GPUs, each of which trains a fit, as fast as the one here.
        jobs: fits at a time on this machine, in place of `gpus`.
        threads: threads a fit.
        groups: `"duplicates"` counts the time to find exact copies, None does not.
        seed: of the sample.
        opening: seconds that opening `data` took, where it is open already.

    Raises:
        ArgumentError: a `Recorder`, whose loop is not known before it runs; GPUs where the learner uses none; and all
            that `unseen.prune` refuses before training.

    Example:
        >>> import unseen
        >>> found = unseen.estimate("digits", keep=0.5, learner="logistic", plan=unseen.folds(2))
        >>> found.fits, found.samples_trained, found.wall_seconds.low < found.wall_seconds.high
        (2, 1797, True)
    """
    start = perf_counter()
    source = data_room.resolve(data if y is None else (data, y))
    opened = perf_counter() - start if opening is None else opening
    for who in (learner, trainee):
        _refuse_recorder(who)
    if gpus is not None and jobs is not None:
        raise ArgumentError(f"give gpus or jobs, not both, got gpus={gpus!r} and jobs={jobs!r}")
    slots = 1 if gpus is None and jobs is None else gpus or jobs
    work = Work(source, learner, groups=None, jobs=slots, threads=threads)
    _check_gpus(work.learner, gpus)
    wanted = [*([score] if score is not None else [_default(source)]), *also]
    job = _job(work, plan or folds(), [*wanted, *([LABEL_ISSUE] if source.targets is None else [])], seed)
    budget = None if keep is None and prune is None else budget_of(len(source), keep=keep, prune=prune)
    sample = sampled(source, seed)
    scoring = _Scoring.tried(work, job, sample)
    training = _trained(work, trainee, scoring, sample, seed)
    start_seconds = _start(work, slots or 1)
    reopening = Range.exactly(opened + (len(source) * sample.hash_seconds() if groups == "duplicates" else 0.0))
    return scoring.estimate(
        slots or 1, budget, training, (reopening + start_seconds).widened(FASTER, SLOWER), gpus is not None
    )


@dataclass(frozen=True)
class _Scoring:
    """A scoring job and the costs of its fits."""

    work: Work
    job: Scoring
    sample: Sampled
    costs: Costs
    sizes: Mapping[Size, int]
    watched: int

    @classmethod
    def tried(cls, work: Work, job: Scoring, sample: Sampled) -> _Scoring:
        sizes = counting.sizes(job.plan, job.samples, job.seed)
        largest = max(sizes, key=lambda size: (size.samples, size.rows))
        plan = counting.schedule(job.samples, job.scores, work.learner.epochs or 1, job.plan.scored_side, largest)
        bench = Bench(sample, tuple(job.scores), job.plan.scored_side, work.threads, job.seed)
        costs = _costs(work.learner, bench, job, largest, SCORING_SECONDS)
        return cls(work, job, sample, costs, sizes, counting.looks(sizes, plan))

    def estimate(self, slots: int, budget: int | None, training: _Training, opening: Range, gpus: bool) -> Estimate:
        """All of it."""
        costs, fits = self.costs, sum(self.sizes.values())
        epochs, n = self.work.learner.epochs or 1, len(self.job.samples.ids)
        largest = max(self.sizes, key=lambda size: (size.samples, size.rows))
        busy = total(costs.seconds(size).times(times) for size, times in self.sizes.items())
        busy += costs.once().times(min(slots, fits))
        unit, share = ("GPU", 1) if gpus or _on_gpu(self.work.learner) else ("core", self.work.threads)
        full, part = training.seconds(n), None if budget is None else training.seconds(budget)
        notes = [*costs.notes, *training.notes]
        if slots > fits:
            notes.append(f"the plan has {fits} fits, so {slots - fits} of {slots} places stand idle")
        return Estimate(
            n=n,
            budget=budget,
            fits=fits,
            epochs=epochs,
            samples_trained=epochs * sum(size.samples * times for size, times in self.sizes.items()),
            samples_watched=self.watched,
            operations=self._operations(min(slots, fits)),
            slots=slots,
            unit=unit,
            fit_seconds=costs.seconds(largest),
            opening_seconds=opening,
            wall_seconds=opening + costs.once() + makespan(dict(self.sizes), costs, slots),
            hours=busy.times(share / 3600),
            memory_bytes=costs.memory(largest) + Range.exactly(self._state_bytes(largest)),
            storage_bytes=self._storage(min(slots, fits), largest),
            full_seconds=full,
            coreset_seconds=part,
            pays_after=None if part is None else pays_back(busy.middle, full.middle, part.middle),
            measured=dict(costs.measured),
            about=self._about(training),
            notes=tuple(notes),
        )

    def _operations(self, processes: int) -> Range | None:
        if not isinstance(self.costs, ByOperations):
            return None
        fits = total(self.costs.operations(size).times(times) for size, times in self.sizes.items())
        return fits + Range.exactly(self.costs.operations_once() * processes)

    def _state_bytes(self, size: Size) -> float:
        """Of what scores keep of a fit while it runs."""
        classes = len(self.job.samples.class_names)
        each = sum(
            array.nbytes
            for score in self.job.scores
            for side in score.sides
            for array in score.start(side, 1, classes).values()
        )
        return float((each + 40) * (size.unseen + size.seen))  # 40: how often it was seen, confidence, prediction

    def _storage(self, at_once: int, largest: Size) -> Range:
        """Results of fits, the table and the coreset, which parquet may halve, and checkpoints of the fits that run."""
        n, repeats = len(self.job.samples.ids), self.job.plan.repeats
        results = sum(times * self._state_bytes(size) for size, times in self.sizes.items())
        columns = TABLE_COLUMNS + sum(1 if repeats == 1 else 2 + repeats for _ in self.job.scores)
        table = 8.0 * n * (columns + (repeats if repeats > 1 else 0))
        kept = Range(table / 2, 0.8 * table, table) + Range.exactly(results).widened(0.5, 1.0)
        return kept + Range.exactly(at_once * self.costs.checkpoint_bytes)

    def _about(self, training: _Training) -> dict[str, Any]:
        job = self.job
        return {
            "learner": self.work.learner.describe(),
            "trainee": training.learner.describe(),
            "plan": job.plan.describe(),
            "scores": [score.label for score in job.scores],
            "threads": self.work.threads,
        }


@dataclass(frozen=True)
class _Training:
    """What trainings by themselves cost, which are asked about nothing."""

    learner: Learner
    costs: Costs
    notes: list[str]

    def seconds(self, samples: int) -> Range:
        """Of one training on so many samples."""
        return self.costs.seconds(Size(samples)) + self.costs.once()


def _costs(learner: Learner, bench: Bench, job: Scoring, size: Size, budget: float) -> Costs:
    """By whichever way fits the learner."""
    if counted_learner(learner):
        return ByOperations(learner, bench, job.plan, size, budget)
    if trains_in_epochs(learner):
        return InEpochs(learner, bench, job.samples, size, budget)
    return BySize(learner, bench, size, budget)


def _trained(work: Work, trainee: Any, scoring: _Scoring, sample: Sampled, seed: int) -> _Training:
    """Who is trained on the coreset, and what that costs; a learner in epochs was measured by its scoring."""
    if trainee is None and trains_in_epochs(work.learner):
        return _Training(work.learner, scoring.costs, [])
    if trainee is not None:
        work = Work(work.data, trainee, groups=None, jobs=1, threads=work.executor.threads)
    job = _job(work, seen(), [resolve_score("loss")], seed)
    bench = Bench(sample, (), "unseen", work.threads, seed)
    costs = _costs(work.learner, bench, job, Size(len(work.data)), TRAINING_SECONDS)
    return _Training(work.learner, costs, [] if trainee is None else [f"trainee: {note}" for note in costs.notes])


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
    if not _on_gpu(learner):
        raise ArgumentError(
            f"gpus={gpus} needs a learner on a GPU here to be measured, but {learner.name!r} uses "
            f"{learner.describe().get('device', 'the processor')!r}; run this where there is one of these GPUs, or "
            "give jobs"
        )


def _on_gpu(learner: Learner) -> bool:
    return str(learner.describe().get("device", "cpu")).startswith("cuda")


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
