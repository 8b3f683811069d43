"""What an estimate says. Nothing here measures."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from unseen.estimating.ranges import Range

__all__ = ["Estimate"]


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """What a scoring, and a training on the coreset, will cost. Every `Range` is low, middle, high.

    Args:
        n: samples.
        budget: samples kept, or None where no budget was given.
        fits: trainings of the scoring.
        epochs: of each; 1 of a learner without.
        samples_trained: samples passed over in all trainings, epochs counted: what the events of the run will add to.
        samples_watched: samples looked at, each as often as it is observed.
        operations: floating-point operations of all fits, of a closed form; else None.
        slots: fits at a time.
        unit: of `hours`: `"core"` or `"GPU"`.
        fit_seconds: of the largest fit.
        opening_seconds: of opening the data, finding copies and starting processes.
        wall_seconds: from the call to the scores.
        hours: core or GPU hours of all fits.
        memory_bytes: of the process of one fit, beside interpreter and libraries; of a GPU where it trains on one.
        storage_bytes: of the run directory at its fullest.
        full_seconds: of one training on everything.
        coreset_seconds: of one training on the coreset, epochs fixed; None without a budget.
        pays_after: trainings on the coreset after which the scoring has paid for itself; None: never, or no budget.
        measured: what was measured, in words with its unit.
        about: learner, plan, scores, threads, as JSON.
        notes: what is to be known of how it was measured.
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
    measured: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        words = dict(self.lines())
        return f"Estimate({words['work']}; wall {words['wall']}; {words['memory']} a fit)"

    def to_json(self) -> dict[str, Any]:
        """Every field, ranges by `low`, `middle` and `high`."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value.to_json() if isinstance(value, Range) else value for name, value in values.items()}

    def lines(self) -> list[tuple[str, str]]:
        """The estimate in words: pairs of a word and what there is to say of it."""
        looked = f", {self.samples_watched:,} looked at" if self.samples_watched else ""
        fits = f"{self.fits:,} fit{'s' if self.fits != 1 else ''}"
        found = [
            ("work", f"{fits}, {self.samples_trained:,} samples trained on, epochs counted{looked}"),
            ("wall", f"{_ranged(self.wall_seconds, _time)}, {self.slots} at a time"),
            ("one fit", _ranged(self.fit_seconds, _time)),
            ("opening", _ranged(self.opening_seconds, _time)),
            ("hours", _ranged(self.hours, _number) + f" {self.unit} hours"),
            ("memory", _ranged(self.memory_bytes, _bytes)),
            ("storage", _ranged(self.storage_bytes, _bytes)),
            ("full", f"{_ranged(self.full_seconds, _time)} for a training on everything"),
        ]
        if self.operations is not None:
            found.insert(1, ("operations", _ranged(self.operations, lambda x: f"{x:.2g}")))
        if self.coreset_seconds is not None:
            found.append(
                ("coreset", f"{_ranged(self.coreset_seconds, _time)} for a training on {self.budget:,} samples")
            )
            found.append(("pays", self.verdict()))
        return found

    def verdict(self) -> str:
        """When pruning pays, in words."""
        if self.pays_after is None:
            return "never: a training on the coreset takes no less time"
        trainings = "one training" if self.pays_after == 1 else f"{self.pays_after:,} trainings"
        return f"the scoring is saved after {trainings} on the coreset in place of everything"


def _ranged(found: Range, words: Any) -> str:
    low, middle, high = words(found.low), words(found.middle), words(found.high)
    return str(middle) if low == high else f"{middle} ({low} .. {high})"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{_number(seconds / size)} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"


def _bytes(count: float) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{_number(count / size)} {unit}"
    return f"{count / 1024:.0f} KiB"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"
