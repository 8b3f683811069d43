"""A plan on a part of the data set: the rest is neither trained on nor asked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from unseen.exposure.fits import Fit, Plan
from unseen.exposure.plans import Folds, LeaveOneOut
from unseen.types import IdArray, IntArray, Side

__all__ = ["Within", "at_once"]


@dataclass(frozen=True, eq=False)
class Within:
    """A plan carried out as if the data set had these rows only. The others get no score (NaN, fold -1).

    Args:
        plan: any plan whose fits do not name rows of their own (`seen`, `folds`, `halves`, `leave_one_out`).
        rows: int64 (m,) ascending.

    >>> from unseen.exposure import folds
    >>> plan = Within(folds(2), np.array([1, 3, 5, 7]))
    >>> sorted(np.concatenate([fit.unseen for fit in plan.fits(np.arange(9), np.zeros(9, int))]).tolist())
    [1, 3, 5, 7]

    """

    plan: Plan
    rows: IntArray

    @property
    def scored_side(self) -> Side:
        """That of the plan."""
        return self.plan.scored_side

    @property
    def two_sided(self) -> bool:
        """That of the plan."""
        return self.plan.two_sided

    @property
    def repeats(self) -> int:
        """Those of the plan."""
        return self.plan.repeats

    def describe(self) -> dict[str, object]:
        """The plan, and a digest of the rows."""
        digest = blake2b(np.asarray(self.rows).astype("<i8").tobytes(), digest_size=16).hexdigest()
        return {**self.plan.describe(), "within": {"n": len(self.rows), "digest": digest}}

    def count(self, n: int) -> int:
        """The trainings of the plan on these rows."""
        return self.plan.count(len(self.rows))

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """The fits of the plan, their rows those of the whole data set."""
        rows = self.rows
        bound = None if groups is None else groups[rows]
        for fit in self.plan.fits(ids[rows], labels[rows], groups=bound, seed=seed):
            yield replace(fit, train=rows[fit.train], unseen=rows[fit.unseen], seen=rows[fit.seen])


def at_once(plan: Plan) -> Plan:
    """The plan for a learner with a closed form: its fits as one a repeat, where it leaves out folds or samples.

    The exposure is the same, and so is the description: every sample is judged by a model of the others. Folds whose
    models are also asked about what they saw stay as they are, as does any other plan.

    >>> from unseen.exposure import folds, leave_one_out
    >>> leave_one_out().count(1000), at_once(leave_one_out()).count(1000), at_once(folds(5)).count(1000)
    (1000, 1, 1)
    """
    if isinstance(plan, LeaveOneOut) or (isinstance(plan, Folds) and not plan.watch_seen):
        return replace(plan, together=True)
    return Within(at_once(plan.plan), plan.rows) if isinstance(plan, Within) else plan
