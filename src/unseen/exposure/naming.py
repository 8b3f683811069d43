"""Plans by name: `"folds:k=2,repeats=3"`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from unseen.errors import UnknownNameError
from unseen.exposure.fits import Plan
from unseen.exposure.plans import folds, halves, leave_one_out, seen
from unseen.registry import parse_spec

__all__ = ["PLANS", "plan_named"]

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
