"""The costs of fits added up: of a scoring job, and of a training by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unseen.estimating import counting
from unseen.estimating.by_operations import ByOperations, counted_learner
from unseen.estimating.by_size import BySize
from unseen.estimating.costs import FASTER, SLOWER, Costs, makespan, writing_seconds
from unseen.estimating.counting import Size
from unseen.estimating.estimated import Estimate
from unseen.estimating.in_epochs import InEpochs, trains_in_epochs
from unseen.estimating.ranges import Range, total
from unseen.estimating.sampling import Sampled
from unseen.estimating.trials import Bench
from unseen.evaluating.prices import pays_back
from unseen.protocols import Learner
from unseen.scoring import Scoring
from unseen.work import Work

__all__ = ["PricedScoring", "PricedTraining", "costs_of", "on_gpu"]

SCORING_SECONDS = 12.0  # for trials of the learner
TABLE_COLUMNS = 6  # of 8 bytes beside the scores: id, label, fold, confidence, prediction, and a row of the coreset


@dataclass(frozen=True)
class PricedScoring:
    """A scoring job and the costs of its fits."""

    work: Work
    job: Scoring
    sample: Sampled
    costs: Costs
    sizes: Mapping[Size, int]
    watched: int

    @classmethod
    def tried(cls, work: Work, job: Scoring, sample: Sampled) -> PricedScoring:
        """With the costs that trials on the sample come to."""
        sizes = counting.sizes(job.plan, job.samples, job.seed)
        largest = max(sizes, key=lambda size: (size.samples, size.rows))
        plan = counting.schedule(job.samples, job.scores, work.learner.epochs or 1, job.plan.scored_side, largest)
        bench = Bench(sample, tuple(job.scores), job.plan.scored_side, work.threads, job.seed)
        costs = costs_of(work.learner, bench, job, largest, SCORING_SECONDS)
        return cls(work, job, sample, costs, sizes, counting.looks(sizes, plan))

    def estimate(self, slots: int, budget: int | None, training: PricedTraining, opening: Range) -> Estimate:
        """All of it.

        Args:
            slots: fits at a time.
            budget: samples kept, or None.
            training: on the coreset and on everything.
            opening: seconds until the first fit can begin.

        """
        costs, fits = self.costs, sum(self.sizes.values())
        epochs, n = self.work.learner.epochs or 1, len(self.job.samples.ids)
        largest = max(self.sizes, key=lambda size: (size.samples, size.rows))
        busy = total(costs.seconds(size).times(times) for size, times in self.sizes.items())
        busy += costs.once().times(min(slots, fits))
        unit, share = ("GPU", 1) if on_gpu(self.work.learner) else ("core", self.work.threads)
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
            wall_seconds=opening + costs.once() + makespan(dict(self.sizes), costs, slots) + self._keeping(),
            hours=busy.times(share / 3600),
            memory_bytes=costs.memory(largest) + Range.exactly(self._state_bytes(largest)),
            storage_bytes=self._storage(min(slots, fits)),
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

    def _storage(self, at_once: int) -> Range:
        """Results of fits, table and coreset, which parquet may halve, and checkpoints of fits that run."""
        table = self._table_bytes()
        results = sum(times * self._result_bytes(size) for size, times in self.sizes.items())
        kept = Range(table / 2, 0.8 * table, table)
        return kept + Range.exactly(results + at_once * self.costs.checkpoint_bytes)

    def _keeping(self) -> Range:
        """Seconds to write results and table."""
        results = sum(times * writing_seconds([self._result_bytes(size)]) for size, times in self.sizes.items())
        return Range.exactly(results + writing_seconds([self._table_bytes()])).widened(FASTER, SLOWER)

    def _table_bytes(self) -> float:
        """Of the table and the coreset, not compressed."""
        repeats = self.job.plan.repeats
        columns = (
            TABLE_COLUMNS + len(self.job.scores) + (repeats > 1) * (repeats + (1 + repeats) * len(self.job.scores))
        )
        return 8.0 * len(self.job.samples.ids) * columns

    def _result_bytes(self, size: Size) -> float:
        return self.costs.result_bytes * (size.unseen + size.seen)

    def _about(self, training: PricedTraining) -> dict[str, Any]:
        job = self.job
        return {
            "learner": self.work.learner.describe(),
            "trainee": training.learner.describe(),
            "plan": job.plan.describe(),
            "scores": [score.label for score in job.scores],
            "threads": self.work.threads,
        }


@dataclass(frozen=True)
class PricedTraining:
    """What trainings by themselves cost, which are asked about nothing."""

    learner: Learner
    costs: Costs
    notes: list[str]

    def seconds(self, samples: int) -> Range:
        """Of one training on so many samples."""
        return self.costs.seconds(Size(samples)) + self.costs.once()


def costs_of(learner: Learner, bench: Bench, job: Scoring, size: Size, budget: float) -> Costs:
    """By whichever way fits the learner."""
    wanted = counting.schedule(job.samples, bench.scores, learner.epochs or 1, bench.scored, size)
    if counted_learner(learner):
        return ByOperations(learner, bench, job.plan, wanted, size, budget)
    if trains_in_epochs(learner):
        return InEpochs(learner, bench, job.samples, wanted, size, budget)
    return BySize(learner, bench, size, budget)


def on_gpu(learner: Learner) -> bool:
    """Whether it trains on one here."""
    return str(learner.describe().get("device", "cpu")).startswith("cuda")
