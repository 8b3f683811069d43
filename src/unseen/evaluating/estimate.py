"""The verb `estimate`: predict the cost of a scoring. A few short fits on a sample are timed and multiplied."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.checks import at_least, one_of
from unseen.core.exposure import Exposure, Plan
from unseen.core.plans import plan_of
from unseen.core.protocols import Data, Learner
from unseen.core.words import duration, many, size
from unseen.data.formats import Reading
from unseen.data.sources import check_arguments, open_data
from unseen.engine.runs import Run, seed_of
from unseen.engine.scoring import Abilities, Scoring
from unseen.engine.work import Work, share_cores
from unseen.errors import ArgumentError
from unseen.evaluating.costs import SHORT, SHORT_FASTER, SHORT_SLOWER, Costs, Range, Size
from unseen.evaluating.prices import count_payback
from unseen.integrations.recorder import Recorder
from unseen.rules.budgets import amounts
from unseen.rules.budgets import budget as budget_of
from unseen.rules.registry import default_choice
from unseen.scores.registry import default_score, listed
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.streaming import Score

SCORING_SECONDS, TRAINING_SECONDS = 12.0, 5.0  # of timed fits: with scores, and without
START_LIMIT = 20.0  # seconds to wait for a process that only imports
TABLE_COLUMNS = 6  # of 8 bytes beside the scores: id, label, fold, confidence, prediction, and a row of the coreset


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """The cost of a scoring and of a training on the coreset. Every `Range` is low, middle, high.

    Args:
        n: samples.
        budget: samples kept, or None where no budget was given.
        fits: trainings of the scoring.
        epochs: epochs of each training; 1 for a learner without epochs.
        samples_trained: samples passed over in all trainings, epochs counted; the events of the run sum to this.
        samples_watched: samples observed, each as often as it is observed.
        operations: floating-point operations of all fits of a closed form; None for other learners.
        slots: fits at a time.
        unit: the unit of `hours`: `"core"` or `"GPU"`.
        fit_seconds: the time of the largest fit.
        opening_seconds: the time to open the data, find copies and start processes.
        wall_seconds: the time from the call to the scores.
        hours: core or GPU hours of all fits.
        memory_bytes: the memory of the process of one fit, beside interpreter and libraries; of the GPU, if it trains
            on one.
        storage_bytes: the size of the run directory at its fullest.
        full_seconds: the time of one training on everything.
        coreset_seconds: the time of one training on the coreset, epochs fixed; None without a budget.
        pays_after: trainings on the coreset that pay for the scoring; None if they never do, or without a budget.
        about: learner, plan, scores, threads, as JSON.
        notes: remarks on how it was measured.
    """

    n: int
    budget: int | None
    fits: int
    epochs: int
    samples_trained: int
    samples_watched: int
    operations: Range | None
    slots: int
    unit: str
    fit_seconds: Range
    opening_seconds: Range
    wall_seconds: Range
    hours: Range
    memory_bytes: Range
    storage_bytes: Range
    full_seconds: Range
    coreset_seconds: Range | None
    pays_after: int | None
    about: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        words = dict(self.lines())
        return f"Estimate({words['work']}; wall {words['wall']}; {words['memory']} a fit)"

    def to_json(self) -> dict[str, Any]:
        """Return every field as JSON, ranges by `low`, `middle` and `high`."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """Describe the estimate in lines: pairs of a heading and its text."""
        looked = f", {self.samples_watched:,} looked at" if self.samples_watched else ""
        lines = [
            ("work", f"{many(self.fits, 'fit')}, {self.samples_trained:,} samples trained on, epochs counted{looked}"),
            ("wall", f"{_format_range(self.wall_seconds, _time)}, {self.slots} at a time"),
            ("one fit", _format_range(self.fit_seconds, _time)),
            ("opening", _format_range(self.opening_seconds, _time)),
            ("hours", _format_range(self.hours, _number) + f" {self.unit} hours"),
            ("memory", _format_range(self.memory_bytes, size)),
            ("storage", _format_range(self.storage_bytes, size)),
            ("full", f"{_format_range(self.full_seconds, _time)} for a training on everything"),
        ]
        if self.operations is not None:
            lines.insert(1, ("operations", _format_range(self.operations, lambda x: f"{x:.2g}")))
        if self.coreset_seconds is not None:
            coreset = f"{_format_range(self.coreset_seconds, _time)} for a training on {self.budget:,} samples"
            lines += [("coreset", coreset), ("pays", self.verdict())]
        return lines

    def verdict(self) -> str:
        """Describe when pruning pays."""
        if self.pays_after is None:
            return "never: a training on the coreset takes no less time"
        trainings = "one training" if self.pays_after == 1 else f"{self.pays_after:,} trainings"
        return f"after {trainings} on the coreset in place of everything"


def estimate(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    keep: float | str | None = None,
    prune: float | str | None = None,
    score: str | Score | None = None,
    also: Sequence[str | Score] = (),
    plan: Plan | str | int | None = None,
    learner: Any = None,
    trainee: Any = None,
    gpus: int | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    groups: Literal["duplicates"] | None = "duplicates",
    seed: int | None = 0,
    features: str | Sequence[str] | None = None,
    **reading: Unpack[Reading],
) -> Estimate:
    """Estimate what `prune` will cost, and when it pays, from a few fits on a small sample. Takes under 30 s.

    Counts of fits and samples are exact. Times are measured on this machine and extrapolated, each with a range. The
    estimate leaves out joining the fits, choosing by the rule, and writing the table; where a fit takes less than a
    second, its range is therefore wider: 0.5 to 2.5 times.

    The arguments are those of `unseen.prune`, as far as they change what it costs. Without `keep` and `prune`,
    trainings on the coreset are not estimated. `trainee` is the learner trained on the coreset, if it is not the one
    that scores. `gpus` is the number of GPUs, each training one fit at a time, as fast as the GPU here; or `jobs` is
    the number of fits at a time on this machine. The default is what the command `unseen prune` chooses; for the
    function `unseen.prune`, which has one job, give `jobs=1`. `groups="duplicates"` counts the time to find exact
    copies, None does not.

    Raises:
        ArgumentError: the learner is a `Recorder`, whose loop is not known before it runs; `gpus` is given for a
            learner that uses no GPU; or `unseen.prune` would refuse the arguments before training.

    Example:
        >>> import unseen
        >>> found = unseen.estimate("digits", keep=0.5, learner="logistic", plan=unseen.folds(2))
        >>> found.fits, found.samples_trained, found.wall_seconds.low < found.wall_seconds.high
        (2, 1797, True)
    """
    check_arguments(estimate, reading)
    one_of("groups", groups, ("duplicates", None))
    seed = seed_of(None, seed)
    start = perf_counter()
    source = open_data(data, y, reading, features)
    opening = perf_counter() - start
    _refuse_recorder(learner)
    _refuse_recorder(trainee)
    if gpus is not None and jobs is not None:
        raise ArgumentError(f"give gpus or jobs, not both, got gpus={gpus!r} and jobs={jobs!r}")
    if gpus is None and jobs is None and threads is None:
        jobs, threads = share_cores(source, learner, plan)
    slots = gpus or (1 if jobs is None else jobs)
    work = Work(source, learner, groups=None, jobs=slots, threads=threads)
    _check_gpus(work.learner, gpus)
    exposure = plan_of(plan, closed_form=work.learner.closed_form)
    first = default_score(source) if score is None else resolve_score(score)
    choice = default_choice(source, first, predicts=work.predicts)
    job = _job(work, exposure, choice.scores(first, exposure, listed(also), classes=work.predicts), seed)
    budget = None if keep is None and prune is None else budget_of(len(source), **amounts(keep=keep, prune=prune))
    costs = Costs(work, job, SCORING_SECONDS)
    training = costs
    if trainee is not None:
        work = Work(source, trainee, groups=None, jobs=1, threads=work.executor.threads)
    if trainee is not None or not costs.in_epochs:  # else its epochs were timed in the scoring already
        everything = Exposure(train=[np.arange(len(source))], watch=[np.empty(0, np.int64)])
        alone = _job(work, everything, [resolve_score("loss")], seed)
        training = Costs(work, alone, TRAINING_SECONDS)
    opening += _time_copies(source, costs) if groups == "duplicates" else 0.0
    opening += _time_start(costs, slots)
    return _add_up(costs, training, budget, slots, Range.exactly(opening).widened())


def _add_up(costs: Costs, training: Costs, budget: int | None, slots: int, opening: Range) -> Estimate:
    """Add up the costs of all fits."""
    job, learner, fits, n, sizes = costs.job, costs.learner, costs.fits, costs.n, costs.sizes.items()
    gpu, at_once = on_gpu(learner), min(slots, fits)
    one, startup = costs.seconds(costs.largest), costs.startup_seconds()
    every = sum((costs.seconds(size).times(times) for size, times in sizes), Range.exactly(0.0))
    busy = every + startup.times(at_once)  # of all processes together
    full = training.seconds(Size(n)) + training.startup_seconds()
    part = None if budget is None else training.seconds(Size(budget)) + training.startup_seconds()
    operations = Range.exactly(sum((costs.operations(size) or 0.0) * times for size, times in sizes))
    notes = [*costs.notes, *(f"trainee: {note}" for note in training.notes if training.learner != learner)]
    if one.middle < SHORT:
        notes.append(
            f"a fit takes less than {SHORT:g} s: its range is {SHORT_FASTER:g} to {SHORT_SLOWER:g} times what was "
            "measured, since joining the fits, choosing and the table are not counted"
        )
    if slots > fits:
        notes.append(f"the plan has {fits} fits, so {slots - fits} of {slots} {'GPUs' if gpu else 'jobs'} stand idle")
    return Estimate(
        n=n,
        budget=budget,
        fits=fits,
        epochs=costs.epochs,
        samples_trained=costs.epochs * sum(size.samples * times for size, times in sizes),
        samples_watched=sum(costs.observed(size) * times for size, times in sizes),
        operations=operations if costs.counted else None,
        slots=slots,
        unit="GPU" if gpu else "core",
        fit_seconds=one,
        opening_seconds=opening,
        wall_seconds=opening + startup + (every if slots == 1 else one.times(-(-fits // slots))),
        hours=busy.times((1 if gpu else costs.threads) / 3600),
        memory_bytes=costs.memory + Range.exactly(_state_bytes(job, costs.largest)),
        storage_bytes=_storage(costs, at_once),
        full_seconds=full,
        coreset_seconds=part,
        pays_after=None if part is None else count_payback(busy.middle, full.middle, part.middle),
        about={
            "learner": learner.describe(),
            "trainee": training.learner.describe(),
            "plan": job.plan.describe(),
            "scores": [score.label for score in job.scores],
            "threads": costs.threads,
        },
        notes=tuple(notes),
    )


def _state_bytes(job: Scoring, size: Size) -> float:
    """Count the bytes that the scores keep of a fit while it runs."""
    return float((job.sample_bytes + 40) * (size.unseen + size.seen))  # 40: count, confidence, prediction


def _storage(costs: Costs, at_once: int) -> Range:
    """Estimate the bytes of results, table and coreset, which parquet may halve, and of checkpoints of running fits."""
    repeats, scores = costs.job.plan.repeats, len(costs.job.scores)
    table = 8.0 * costs.n * (TABLE_COLUMNS + scores + (repeats > 1) * (repeats + (1 + repeats) * scores))
    last, watched = costs.last, sum(times * (size.unseen + size.seen) for size, times in costs.sizes.items())
    results = watched * last.result_bytes / max(1, last.size.unseen + last.size.seen)
    checkpoint = last.saved[-1][1] + _state_bytes(costs.job, costs.largest) if last.saved else 0.0
    return Range(table / 2, 0.8 * table, table) + Range.exactly(results + at_once * checkpoint)


def _job(work: Work, plan: Plan, scores: Sequence[str | Score], seed: int) -> Scoring:
    """Make the scoring job, which is never run: it refuses what `prune` would refuse before training."""
    work.check(plan, scores)
    with Run() as run:
        return Scoring(work.samples, plan=plan, scores=scores, learner=Abilities.of(work.learner), run=run, seed=seed)


def _refuse_recorder(learner: Any) -> None:
    if isinstance(learner, Recorder) or learner == "recorder":
        raise ArgumentError(
            "learner must be one that trains here, got a Recorder: your own loop is not known before it runs, so there "
            "is nothing to measure; time an epoch of it, or name a learner that is like it"
        )


def _check_gpus(learner: Learner, gpus: int | None) -> None:
    if gpus is None:
        return
    at_least("gpus", gpus, 1)
    if not on_gpu(learner):
        raise ArgumentError(
            f"gpus={gpus} needs a learner on a GPU here to be measured, but {learner.name!r} uses "
            f"{learner.describe().get('device', 'the processor')!r}; run this where there is one of these GPUs, or "
            "give jobs"
        )


def on_gpu(learner: Learner) -> bool:
    """Return whether the learner trains on a GPU here."""
    return str(learner.describe().get("device", "cpu")).startswith("cuda")


def _time_copies(data: Data, costs: Costs) -> float:
    """Measure the seconds to find copies; of shards, all of which are read for it, estimate them."""
    if data.kind == "vector" and not data.in_memory:
        return len(data) * costs.sample.run_seconds
    start = perf_counter()
    data.duplicate_groups()
    return perf_counter() - start


def _time_start(costs: Costs, slots: int) -> float:
    """Measure the seconds that worker processes take to start; 0 where fits run in this process."""
    if slots == 1:
        return 0.0
    code = "import unseen.engine.executors.pool, unseen.engine.work"
    if costs.in_epochs and costs.learner.name == "torch":
        code += ", unseen.learners.torch.loop"
    start = perf_counter()
    try:
        subprocess.run([sys.executable, "-c", code], check=False, timeout=START_LIMIT, capture_output=True)
    except (OSError, subprocess.TimeoutExpired):
        return START_LIMIT
    return perf_counter() - start


def _format_range(figure: Range, form: Callable[[float], str]) -> str:
    low, middle, high = form(figure.low), form(figure.middle), form(figure.high)
    return middle if low == high else f"{middle} ({low} .. {high})"


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{_number(seconds)} s"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"
