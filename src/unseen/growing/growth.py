"""How a coreset is to be grown: every setting, and what is refused of it before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal

import numpy as np

from unseen.data.fingerprint import digest
from unseen.errors import ArgumentError, BudgetError
from unseen.exposure.coresets import Scale
from unseen.exposure.fits import at_least
from unseen.growing.schedules import SCHEDULES, Schedule, check_moves, explicit, planned
from unseen.protocols import Data
from unseen.rules.base import Rule, one_of
from unseen.rules.budgets import share_of
from unseen.rules.choosing import check_budget
from unseen.rules.quotas import QUOTAS
from unseen.scores.base import Score
from unseen.scores.registry import resolve as resolve_score
from unseen.selecting import Choice
from unseen.types import Coreset
from unseen.work import Fix

__all__ = ["Growth", "Start", "Stop"]

Start = Literal["random", "unseen"] | Coreset
Stop = Literal["budget", "quality"]

START_SHARE = 0.4  # of the budget, where the coreset grows
RELEASE = 0.1  # where the size stays
STEPS = 3
SHARED = ("features", "quota", "align")


@dataclass(frozen=True, eq=False)
class Growth:
    """The settings of `unseen.grow`, which says what each of them means.

    >>> Growth(choice=Choice.of("top")).sizes(1000, 1000, 500)
    (200, 300, 400, 500)

    """

    choice: Choice
    score: str | Score = "el2n"
    start: Start = "random"
    start_size: float | None = None
    start_rule: str | Rule | None = None
    schedule: Schedule | None = None
    steps: int | None = None
    given_sizes: Sequence[float] | None = None
    release: float | None = None
    folds: int = 5
    repeats: int = 1
    scale: Scale = "size"
    probe: float | None = None
    stop: Stop = "budget"
    confirm: bool = False
    fix: Fix = "epochs"
    measured: Score = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "measured", resolve_score(self.score))
        one_of("schedule", self.schedule, (*SCHEDULES, None))
        one_of("scale", self.scale, ("size", "rank"))
        one_of("stop", self.stop, ("budget", "quality"))
        one_of("fix", self.fix, ("epochs", "iterations"))
        at_least("folds", self.folds, 2)
        at_least("repeats", self.repeats, 1)
        at_least("steps", 1 if self.steps is None else self.steps, 1)
        share_of("release", self.share_released)
        self._check_start()
        self._check_choice()

    @property
    def share_released(self) -> float:
        """The share of members that a step may release: by default none, or some where the size stays."""
        if self.release is not None:
            return self.release
        return RELEASE if self.schedule == "refine" else 0.0

    @property
    def start_choice(self) -> Choice:
        """How the start is chosen, where it is not given."""
        if self.start == "random":
            return Choice.of("random:quota=proportional")
        choice = Choice.of("stratified" if self.start_rule is None else self.start_rule)
        features = self.choice.shared.get("features")
        wanted = features is not None and "features" in choice.rule.needs
        return replace(choice, shared={**choice.shared, "features": features}) if wanted else choice

    @property
    def scores_final(self) -> bool:
        """Whether the coreset of the last step is scored too."""
        return self.confirm or self.stop == "quality"

    def scores(self, choice: Choice) -> list[str | Score]:
        """What is measured for a choice: the score, and what the rule reads beside it."""
        second = choice.rule.column
        return [self.measured, choice.column(self.measured.label), *([second] if isinstance(second, str) else [])]

    def sizes(self, n: int, room: int, budget: int | None) -> tuple[int, ...]:
        """The size of the start and after each step.

        Args:
            n: of the data set.
            room: how many of them may be chosen at all.
            budget: the last size; None where only `sizes` says it.

        """
        if budget is not None and budget > room:
            raise BudgetError(f"a budget of {budget} is above the {room} samples that the probe split leaves")
        if self.given_sizes is not None or budget is None:
            sizes = explicit(self.given_sizes or (), n, budget)
        else:
            steps = STEPS if self.steps is None else self.steps
            sizes = planned(self.schedule or "grow", self._first(budget, room), budget, steps)
        if isinstance(self.start, Coreset) and sizes[0] != len(self.start):
            raise BudgetError(f"sizes must begin with the size of the start, {len(self.start)}, got {sizes[0]}")
        check_moves(sizes, self.share_released)
        if self.stop == "quality" and len({np.sign(b - a) for a, b in pairwise(sizes)} - {0}) > 1:
            raise ArgumentError("stop='quality' needs sizes that only grow or only shrink, got both; use stop='budget'")
        if self.start == "unseen" and sizes[0] == room:
            raise ArgumentError("start='unseen' would choose everything; leave it out, or give a smaller start_size")
        return sizes

    def check_sizes(self, sizes: Sequence[int], room: int, data: Data) -> None:
        """Refuse sizes that cannot be trained on, or that the data set or the rule cannot give."""
        classes = len(np.unique(data.labels))
        least = max(self.folds, 2 * classes)
        if min(sizes) < least:
            what, size = ("the budget", sizes[-1]) if sizes[-1] < least else ("a coreset on the way", min(sizes))
            if sizes[0] < least <= sizes[-1]:
                what, size = "the start", sizes[0]
            raise BudgetError(
                f"{what} of {size} samples is too small to score by models of it: it must be at least {least}, "
                f"one a fold ({self.folds}) and two a class ({classes})"
            )
        if max(sizes) > room:
            raise BudgetError(f"a coreset of {max(sizes)} is above the {room} samples there are to choose from")

    def check_rule(self, inside: int, sizes: Sequence[int], different: int, data: Data) -> None:
        """Refuse a rule that could not make some step.

        Args:
            inside: different samples in the start.
            sizes: of all coresets.
            different: how many different samples there are to choose from.
            data: the data set.

        """
        # The budget is checked step by step; everything else as for one step.
        bare = replace(self.choice, shared={k: v for k, v in self.choice.shared.items() if k != "quota"})
        bare.check(data, keep=1, prune=None, direction=self.measured.direction)
        if self.start == "unseen":
            self.start_choice.check(data, keep=sizes[0], prune=None, direction=self.measured.direction)
        for step, size in enumerate(sizes[1:], 1):
            goal = min(size, different)
            if goal < inside:
                check_budget(self.choice.rule, inside, goal, f" in the coreset at step {step}")
            elif goal > inside:
                check_budget(
                    self.choice.rule, different - inside, goal - inside, f" outside the coreset at step {step}"
                )
            inside = goal

    def describe(self) -> dict[str, object]:
        """Every setting that changes the result, as JSON."""
        features = self.choice.shared.get("features")
        start = self.start_choice if self.start == "unseen" else None
        return {
            "score": self.measured.label,
            "rule": self.choice.rule.name,
            "options": self.choice.rule.options(),
            "shared": {k: v for k, v in self.choice.shared.items() if k != "features"},
            "features": None if features is None else digest(np.asarray(features)),
            "start": self.start if isinstance(self.start, str) else {"coreset": digest(self.start.indices)},
            "start_rule": None if start is None else {"rule": start.rule.name, "options": start.rule.options()},
            "start_shared": None if start is None else {k: v for k, v in start.shared.items() if k != "features"},
            "release": self.share_released,
            "folds": self.folds,
            "repeats": self.repeats,
            "scale": self.scale,
            "probe": self.probe,
            "stop": self.stop,
            "confirm": self.confirm,
            "fix": self.fix,
        }

    def _first(self, budget: int, room: int) -> int:
        """The size of the start that a schedule begins with."""
        if isinstance(self.start, Coreset):
            return len(self.start)
        schedule = self.schedule or "grow"
        if schedule == "refine":
            return budget
        if self.start_size is None and schedule == "shrink":
            return room
        size = START_SHARE if self.start_size is None else self.start_size
        if isinstance(size, Integral):
            return int(size)
        return int((Decimal(str(size)) * budget).to_integral_value(ROUND_HALF_UP))

    def _check_start(self) -> None:
        if not isinstance(self.start, Coreset):
            one_of("start", self.start, ("random", "unseen"))
        given = {name: getattr(self, name) is not None for name in ("schedule", "steps", "start_size")}
        if self.given_sizes is not None and any(given.values()):
            name = next(name for name, there in given.items() if there)
            raise ArgumentError(f"sizes say every size, so {name}={getattr(self, name)!r} would change nothing")
        if self.start_size is not None and (isinstance(self.start, Coreset) or self.schedule == "refine"):
            why = (
                "a start of its own has its size" if isinstance(self.start, Coreset) else "refine begins at the budget"
            )
            raise ArgumentError(f"{why}, so start_size={self.start_size!r} would change nothing; leave it out")
        if self.start_size is not None and not _is_size(self.start_size):
            raise BudgetError(
                f"start_size must be a count (int) of at least 1 or a share of the budget (float) above 0, "
                f"got {self.start_size!r}"
            )
        if self.start_rule is not None and self.start != "unseen":
            raise ArgumentError(f"start_rule={self.start_rule!r} chooses a start='unseen'; leave it out")
        if isinstance(self.start, Coreset) and self.probe is not None:
            raise ArgumentError(
                "probe sets samples aside before the start is chosen, but start is a coreset already; leave probe out "
                "(quality is then measured on all samples)"
            )

    def _check_choice(self) -> None:
        shared, rule = self.choice.shared, self.choice.rule
        for name in shared:
            if name not in SHARED:
                raise ArgumentError(f"{name}= is measured at each step and cannot be given; leave it out")
        quota = shared.get("quota")
        if isinstance(quota, Mapping):
            raise ArgumentError(
                "quota={class: count} fixes the classes of one selection; grow takes 'proportional', 'uniform' or "
                "'error', the classes of those who enter at each step"
            )
        one_of("quota", quota, (*QUOTAS, None))
        if rule.column is not None and not isinstance(rule.column, str):
            raise ArgumentError(f"rule {rule.name} must name its second score, which is measured anew at each step")
        rule.check(self.measured.direction)


def _is_size(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return bool(value >= 1) if isinstance(value, Integral) else bool(0 < value < float("inf"))
