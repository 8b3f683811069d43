"""Plans by name: `"folds:k=2,repeats=3"`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from unseen.errors import ArgumentError, UnknownNameError
from unseen.exposure.fits import Plan
from unseen.exposure.plans import default_plan, folds, halves, leave_one_out, seen
from unseen.registry import parse_spec

__all__ = ["PLANS", "plan_named", "plan_of"]

PLANS: dict[str, Callable[..., Plan]] = {
    "folds": folds,
    "halves": halves,
    "leave_one_out": leave_one_out,
    "seen": seen,
}


def plan_named(spec: str) -> Plan:
    """The plan of a name with options.

    Raises:
        UnknownNameError: no such plan or option; the message lists the nearest.

    >>> plan_named("folds:k=2").describe()
    {'plan': 'folds', 'k': 2, 'repeats': 1, 'watch_seen': False}

    """
    name, options = parse_spec(spec)
    if name not in PLANS:
        raise UnknownNameError("plan", name, PLANS)
    known = inspect.signature(PLANS[name]).parameters
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of plan {name!r}", option, known)
    return PLANS[name](**options)


def plan_of(plan: Plan | str | None, *, closed_form: bool) -> Plan:
    """The plan that is meant: itself, the one of that name, or for None the default.

    >>> plan_of("folds:k=3", closed_form=False).describe()["k"]
    3

    """
    if plan is None:
        return default_plan(closed_form=closed_form)
    if isinstance(plan, str):
        return plan_named(plan)
    if not hasattr(plan, "fits") or isinstance(plan, type):
        raise ArgumentError(f"plan must be a plan, such as unseen.folds(5), or its name, 'folds:k=5', got {plan!r}")
    return plan
