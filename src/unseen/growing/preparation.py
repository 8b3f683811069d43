"""Everything about a growth that is known before it begins: its sizes, its scorings, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unseen.data.fingerprint import digest
from unseen.data.part import split_off
from unseen.errors import ArgumentError
from unseen.exposure import Plan, Within, coreset, folds
from unseen.growing.copies import Copies
from unseen.growing.growth import Growth
from unseen.growing.refilling import Refill
from unseen.protocols import Learner
from unseen.rules.budgets import budget as budget_of
from unseen.rules.budgets import budget_line
from unseen.runs.base import Run
from unseen.scoring import joined_groups, versions
from unseen.seeds import checked
from unseen.types import Coreset, IntArray
from unseen.work import Work

__all__ = ["Prepared", "Scoring"]


class Scoring(NamedTuple):
    """One scoring of a growth: the part of the run that keeps it, its plan, its learner."""

    part: str
    plan: Plan
    learner: Learner


class Prepared:
    """A growth on a data set; what cannot work is refused when it is made.

    Args:
        work: the data set and the learner.
        growth: the settings.
        keep: the budget, a count or a fraction; or `prune`; or neither, where `growth` gives the sizes.
        prune: how much is removed.
        seed: the root seed.

    Attributes:
        sizes: of the start, and after each step.
        judged: int64 rows on which quality is measured: all, or the probe split.
        eligible: bool (n,) who may be chosen: all but the probe split.
        contents: int64 (n,) samples of one content share a number; None where content is not known.
        together: int64 (n,) exact copies and the user's groups, which a single step holds together.
        refill: what a step does.

    """

    def __init__(
        self, work: Work, growth: Growth, *, keep: float | None = None, prune: float | None = None, seed: int = 0
    ) -> None:
        self.work, self.growth, self.seed = work, growth, seed
        data, n = work.data, len(work.data)
        if "logits" not in work.learner.provides:
            raise ArgumentError(f"to grow needs a learner that predicts classes, which {work.learner.name!r} does not")
        none_given = keep is None and prune is None and growth.given_sizes is not None
        budget = None if none_given else budget_of(n, keep=keep, prune=prune)
        self.contents = contents = data.duplicate_groups()
        self.together = joined_groups(work.samples.groups, contents)
        self.judged, self.eligible = self._divided(n)
        room = int(self.eligible.sum())
        self.sizes = growth.sizes(n, room, budget)
        growth.check_sizes(self.sizes, room, data)
        self.refill = Refill(
            choice=growth.choice,
            score=growth.measured.label,
            direction=growth.measured.direction,
            scale=growth.scale,
            release=growth.share_released,
            copies=Copies(data.ids, data.labels, contents),
            eligible=self.eligible,
            seed=seed,
        )
        growth.check_rule(self._inside(), self.sizes, self.refill.room, data)
        for _, plan, learner in self.scorings():
            work.check(plan, growth.scores(growth.choice), learner)
        self.trainings = sum(scoring.plan.count(n) for scoring in self.scorings())

    @property
    def budget(self) -> int:
        """The size that was asked for."""
        return self.sizes[-1]

    def scorings(self) -> Iterator[Scoring]:
        """All scorings, if it goes on to the end, each with the plan of any coreset of that size."""
        if self.growth.start == "unseen":
            yield self.first()
        last = len(self.sizes) if self.growth.scores_final else len(self.sizes) - 1
        for step, size in enumerate(self.sizes[:last], 1):
            yield self.scoring(step, np.arange(size))

    def scoring(self, step: int, members: IntArray, before: Sequence[IntArray] = ()) -> Scoring:
        """The scoring by a coreset that goes before a step, or after the last one; `before` it were those."""
        growth = self.growth
        part = f"step-{step}" if step < len(self.sizes) else "final"
        plan = coreset(members, growth.folds, repeats=growth.repeats, scale=growth.scale, before=before)
        return Scoring(part, plan, self._lasting(len(members)))

    def first(self) -> Scoring:
        """The single step that chooses a start."""
        plan = folds(self.growth.folds, self.growth.repeats)
        within = plan if self.eligible.all() else Within(plan, np.flatnonzero(self.eligible))
        return Scoring("start", within, self._lasting(int(self.eligible.sum())))

    def manifest(self) -> dict[str, object]:
        """The configuration, for the run."""
        samples = self.work.samples
        return {
            "format": 1,
            "versions": versions(),
            "seed": checked(self.seed),
            "grow": {"sizes": list(self.sizes), **self.growth.describe()},
            "learner": self.work.learner.describe(),
            "settings": {"threads": self.work.threads},
            "fingerprint": {
                **samples.fingerprint,
                "groups": None if samples.groups is None else digest(samples.groups),
            },
        }

    def about(self) -> dict[str, Any]:
        """What the coreset and its history say of where they come from."""
        growth = self.growth
        return {
            "rule": growth.choice.rule.name,
            "options": growth.choice.rule.options(),
            "budget": self.budget,
            "n": len(self.work.data),
            "seed": checked(self.seed),
            "score": growth.measured.label,
            "direction": growth.measured.direction,
            "grown": {"sizes": list(self.sizes), **growth.describe()},
            "class_names": list(self.work.data.class_names),
            "judged": len(self.judged),
        }

    def epochs(self, run: Run) -> tuple[int, int]:
        """Epochs in all, and those that the run has behind it, by its log: for the display only."""
        n, total, held = len(self.work.data), 0, 0
        for part, plan, learner in self.scorings():
            ended = {event["fit"] for event in run.part(part).events() if event["kind"] == "fit_end"}
            total += plan.count(n) * (learner.epochs or 1)
            held += min(len(ended), plan.count(n)) * (learner.epochs or 1)
        return total, held

    def outlook(self) -> list[tuple[str, str]]:
        """What is going to be done, in words."""
        growth, work, n = self.growth, self.work, len(self.work.data)
        start = growth.start if isinstance(growth.start, str) else "a coreset of your own"
        judged = "all" if len(self.judged) == n else "the probe split of"
        plan = f"coreset (k={growth.folds}, repeats={growth.repeats}, scale={growth.scale})"
        notes: Sequence[str] = getattr(work.data, "notes", ())
        return [
            ("data", f"{n:,} samples, {len(work.data.class_names)} classes"),
            ("budget", budget_line(n, keep=self.budget)),
            ("start", f"{self.sizes[0]:,} samples: {start}"),
            ("steps", f"{', '.join(f'{a:,} to {b:,}' for a, b in pairwise(self.sizes))} samples"),
            ("choice", f"{growth.choice.rule.name} by {growth.measured.label}"),
            ("plan", f"{plan}: {self.trainings} trainings by {work.learner.name}, {growth.fix} fixed, "
             f"{work.threads} thread{'' if work.threads == 1 else 's'} each"),
            (
                "quality",
                f"accuracy on {judged} {len(self.judged):,} samples, by models that never saw them, nor a copy",
            ),
            *(("note", note) for note in notes),
        ]  # fmt: skip

    def _lasting(self, size: int) -> Learner:
        """The learner for models of so many samples less one fold."""
        return self.work.lasting(self.growth.fix, size - size // self.growth.folds, len(self.work.data))

    def _divided(self, n: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Who is judged, and who may be chosen."""
        eligible = np.ones(n, bool)
        if self.growth.probe is None:
            return np.arange(n), eligible
        probe = split_off(self.work.data, self.growth.probe, seed=self.seed, groups=self.together)[1].rows
        eligible[probe] = False
        return probe, eligible

    def _inside(self) -> int:
        """How many different samples the start holds; a coreset of other data is refused."""
        start, data = self.growth.start, self.work.data
        if not isinstance(start, Coreset):
            return min(self.sizes[0], self.refill.room)
        if start.n != len(data) or not np.array_equal(data.ids[start.indices], start.ids):
            ids = "" if start.n != len(data) else " with other ids"
            raise ArgumentError(
                f"start must be a coreset of this data set of {len(data):,} samples, got one of {start.n:,}{ids}"
            )
        different = self.refill.copies.split(start.indices)[0]
        if len(different) < self.growth.folds or len(np.unique(data.labels[different])) < 2:
            raise ArgumentError(
                f"start must hold at least folds={self.growth.folds} different samples, of at least 2 classes, got "
                f"{len(different)} different ones of {len(np.unique(data.labels[different]))}"
            )
        return len(different)
