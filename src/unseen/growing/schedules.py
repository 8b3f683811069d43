"""The sizes of the coresets on the way from a start to a budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from unseen.errors import BudgetError
from unseen.rules.budgets import budget as budget_of

__all__ = ["SCHEDULES", "Schedule", "check_moves", "explicit", "planned"]

Schedule = Literal["grow", "shrink", "refine"]
SCHEDULES = ("grow", "shrink", "refine")


def planned(schedule: Schedule, start: int, budget: int, steps: int) -> tuple[int, ...]:
    """The start and the size after each step, the last of them the budget.

    `"grow"` adds equally many samples a step, `"shrink"` removes an equal share a step, `"refine"` stays.

    Args:
        schedule: which of the three.
        start: the size of the first coreset.
        budget: the size of the last.
        steps: how many steps lie between.

    Raises:
        BudgetError: a start on the wrong side of the budget, or fewer samples between them than steps.

    >>> planned("grow", 40, 100, 3), planned("shrink", 800, 100, 3), planned("refine", 100, 100, 2)
    ((40, 60, 80, 100), (800, 400, 200, 100), (100, 100, 100))

    """
    wrong = {"grow": start >= budget, "shrink": start <= budget, "refine": start != budget}[schedule]
    if wrong:
        rule = {"grow": "below", "shrink": "above", "refine": "equal to"}[schedule]
        other = "grow" if start < budget else "shrink" if start > budget else "refine"
        raise BudgetError(
            f"schedule={schedule!r} needs a start {rule} the budget, got {start} for a budget of {budget}; "
            f"use schedule={other!r}, or another start_size"
        )
    if schedule != "refine" and abs(start - budget) < steps:
        raise BudgetError(f"{steps} steps from {start} to {budget} samples would not all move; use fewer steps")
    if schedule == "shrink":
        sizes = [round(start * (budget / start) ** (t / steps)) for t in range(steps + 1)]
        # Rounded, neighbours may coincide where only a few samples lie between.
        return tuple(max(min(size, start - t), budget + steps - t) for t, size in enumerate(sizes))
    return tuple(start + (budget - start) * t // steps for t in range(steps + 1))


def explicit(sizes: Sequence[float], n: int, budget: int | None) -> tuple[int, ...]:
    """Sizes that the user gave, as counts: ints are counts, floats fractions of n.

    Raises:
        BudgetError: fewer than two, one that is no size, or an end that is not the budget.

    >>> explicit([100, 0.2, 0.3], 1000, 300)
    (100, 200, 300)

    """
    if len(sizes) < 2:
        raise BudgetError(f"sizes must hold the size of the start and of at least one step, got {list(sizes)!r}")
    counts = tuple(budget_of(n, keep=size) for size in sizes)
    if budget is not None and counts[-1] != budget:
        raise BudgetError(f"sizes must end at the budget of {budget}, got {', '.join(map(str, counts))}")
    return counts


def check_moves(sizes: Sequence[int], release: float) -> None:
    """Refuse a step that neither changes the size nor releases anybody.

    >>> check_moves([10, 10], 0.0)
    Traceback (most recent call last):
    unseen.errors.BudgetError: step 1 would change nothing: it goes from 10 samples to 10 and releases none; give \
release, or other sizes
    """
    for step, (before, after) in enumerate(pairwise(sizes), 1):
        if before == after and not release:
            raise BudgetError(
                f"step {step} would change nothing: it goes from {before} samples to {after} and releases none; "
                "give release, or other sizes"
            )
