"""The plans of a single step: everything seen, folds, halves, leave one out.

The plan of the several-step selection: members and outsiders of a coreset, both judged by models that saw neither.

Two ways to put the two groups on one scale. Where training sets are **matched in size** (`scale="size"`), fold j
holds a part of the members and a part of the outsiders, and one model, trained on the other members, judges both: raw
scores of members and outsiders compare as they are, and k trainings do. Where they are compared by **rank**
(`scale="rank"`), all outsiders form a fold of their own, judged by a model of the whole coreset: it has seen
k / (k - 1) times as much as those that judge the members, so raw scores are on two scales and only ranks within each
group compare; k + 1 trainings.

A plan on a part of the data set: the rest is neither trained on nor asked about.

Plans by name: `"folds:k=2,repeats=3"`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IdArray, IntArray, as_integers
from unseen.core.exposure import Fit, Plan, at_least
from unseen.core.fold_assignment import assign_folds
from unseen.core.observation import Side
from unseen.core.registry import parse_spec
from unseen.errors import ArgumentError, DataError, UnknownNameError

__all__ = [
    "PLANS",
    "Folds",
    "LeaveOneOut",
    "Members",
    "Seen",
    "Within",
    "at_once",
    "coreset",
    "default_plan",
    "folds",
    "halves",
    "leave_one_out",
    "plan_named",
    "plan_of",
    "seen",
]


@dataclass(frozen=True)
class Seen:
    """Train on everything and ask about everything: the classic score, and our baseline."""

    repeats: int = 1
    scored_side: Side = field(default="seen", init=False)
    two_sided: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        at_least("repeats", self.repeats, 1)

    def describe(self) -> dict[str, object]:
        """Name and options, for the manifest."""
        return {"plan": "seen", "repeats": self.repeats}

    def count(self, n: int) -> int:
        """One training a repeat."""
        return self.repeats

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """One fit a repeat; the seeds of the training differ, the exposure does not."""
        rows = np.arange(len(ids))
        for repeat in range(self.repeats):
            yield Fit(train=rows, unseen=rows[:0], seen=rows, repeat=repeat)


@dataclass(frozen=True)
class Folds:
    """Train on all but fold j and ask about fold j: UNSEEN, single step (arXiv 2511.12988).

    Args:
        k: folds.
        repeats: how many times the samples are dealt to folds anew.
        watch_seen: ask each model also about what it saw.
        name: of the plan.
        together: one fit a repeat that stands for its k (`Fit.apart`); see `unseen.core.plans.at_once`.

    """

    k: int = 5
    repeats: int = 1
    watch_seen: bool = False
    name: str = "folds"
    together: bool = False
    scored_side: Side = field(default="unseen", init=False)

    def __post_init__(self) -> None:
        at_least("k", self.k, 2)
        at_least("repeats", self.repeats, 1)

    @property
    def two_sided(self) -> bool:
        """True when the models are also asked about what they saw."""
        return self.watch_seen

    def describe(self) -> dict[str, object]:
        """Name and options, for the manifest."""
        return {"plan": self.name, "k": self.k, "repeats": self.repeats, "watch_seen": self.watch_seen}

    def count(self, n: int) -> int:
        """The k trainings of each repeat, or one where they are done together."""
        return self.repeats if self.together else self.k * self.repeats

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """The k fits of each repeat, the folds stratified by class."""
        for repeat in range(self.repeats):
            fold_of = assign_folds(ids, labels, self.k, groups=groups, seed=seeds.derive(seed, "folds", repeat))
            if self.together:
                rows = np.arange(len(ids))
                yield Fit(train=rows[:0], unseen=rows, repeat=repeat, apart=fold_of, folds=fold_of)
                continue
            for fold in range(self.k):
                inside = fold_of == fold
                train = np.flatnonzero(~inside)
                yield Fit(
                    train=train,
                    unseen=np.flatnonzero(inside),
                    seen=train if self.watch_seen else train[:0],
                    repeat=repeat,
                    fold=fold,
                )


@dataclass(frozen=True)
class LeaveOneOut:
    """Train on all but one sample (or group of copies): the limit of folds, for learners with a closed form.

    Args:
        together: one fit that stands for all of them (`Fit.apart`); see `unseen.core.plans.at_once`.

    """

    together: bool = False
    repeats: int = field(default=1, init=False)
    scored_side: Side = field(default="unseen", init=False)
    two_sided: bool = field(default=False, init=False)

    def describe(self) -> dict[str, object]:
        """Name and options, for the manifest."""
        return {"plan": "leave_one_out"}

    def count(self, n: int) -> int:
        """One training a sample, or one in all where they are done together."""
        return 1 if self.together else n

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """One fit a sample, or one a group."""
        n = len(ids)
        at_least("n", n, 2)
        of = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        if of.max() + 1 < 2:
            raise DataError("leave_one_out needs at least two groups, but all samples are in one")
        if self.together:
            rows = np.arange(n)
            yield Fit(train=rows[:0], unseen=rows, apart=of)
            return
        for left in range(of.max() + 1):
            # All these models differ by one sample only: one fold, on one scale.
            yield Fit(train=np.flatnonzero(of != left), unseen=np.flatnonzero(of == left), part=left)


def seen(repeats: int = 1) -> Seen:
    """The baseline: trained on everything, asked about everything."""
    return Seen(repeats)


def folds(k: int = 5, repeats: int = 1, *, watch_seen: bool = False) -> Folds:
    """Each sample judged by the model of the other k - 1 folds; `watch_seen` asks about the trained-on too."""
    return Folds(k, repeats, watch_seen)


def halves(repeats: int = 1) -> Folds:
    """Each half judged by a model of the other and by its own: held-out score, in-sample score and their gap.

    Two trainings on half of the data a repeat, so about `repeats` full trainings in all.
    """
    return Folds(2, repeats, watch_seen=True, name="halves")


def default_plan(*, closed_form: bool) -> Plan:
    """Take the plan of `unseen.score` and `unseen.prune` where none is given.

    Halves choose as well as five folds for a quarter of the price (benchmarks/quality/results.md): two trainings on
    half of the data are one ordinary training. A learner in closed form does five folds at once.

    >>> default_plan(closed_form=False).describe()["plan"]
    'halves'

    """
    return folds() if closed_form else halves()


def leave_one_out() -> LeaveOneOut:
    """Each sample judged by the model of all others; beyond 10,000 trainings only for closed-form learners."""
    return LeaveOneOut()


Scale = Literal["size", "rank"]


@dataclass(frozen=True, eq=False)
class Members:
    """Train on a coreset less one of its folds; ask about that fold, and about who is outside."""

    members: IntArray
    k: int = 5
    repeats: int = 1
    scale: Scale = "size"
    outsiders: IntArray | None = None
    scored_side: Side = field(default="unseen", init=False)
    two_sided: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        at_least("k", self.k, 2)
        at_least("repeats", self.repeats, 1)
        if self.scale not in ("size", "rank"):
            raise ArgumentError(f"scale must be 'size' or 'rank', got {self.scale!r}")
        members = _rows("members", self.members)
        if len(members) < self.k:
            raise ArgumentError(f"k must be at most the number of members, got k={self.k} for {len(members)} members")
        object.__setattr__(self, "members", members)
        if self.outsiders is not None:
            outsiders = _rows("outsiders", self.outsiders)
            if np.intersect1d(members, outsiders, assume_unique=True).size:
                raise ArgumentError("outsiders must not be members of the coreset too")
            object.__setattr__(self, "outsiders", outsiders)

    def describe(self) -> dict[str, object]:
        """Name, options, and a digest of the members."""
        about: dict[str, object] = {
            "plan": "coreset",
            "k": self.k,
            "repeats": self.repeats,
            "scale": self.scale,
            "members": len(self.members),
            "digest": _digest(self.members),
        }
        if self.outsiders is not None:
            about["outsiders"] = {"n": len(self.outsiders), "digest": _digest(self.outsiders)}
        return about

    def count(self, n: int) -> int:
        """K trainings a repeat, and one more where outsiders are judged by the whole coreset."""
        outside = n - len(self.members) if self.outsiders is None else len(self.outsiders)
        return self.repeats * (self.k + (self.scale == "rank" and outside > 0))

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """The fits of each repeat.

        Folds are stratified by class and by membership. An outsider that shares a group with a member is judged by
        the model that saw no member of that group, under either scale.
        """
        n = len(ids)
        inside = np.zeros(n, bool)
        if self.members[-1] >= n:
            raise ArgumentError(f"members name row {self.members[-1]}, but the data set has {n} samples")
        inside[self.members] = True
        outside = np.flatnonzero(~inside) if self.outsiders is None else self.outsiders
        rows = np.union1d(self.members, outside)
        bound = None if groups is None else np.asarray(groups)[rows]
        apart = outside if self.scale == "rank" else outside[:0]
        if groups is not None:
            apart = apart[~np.isin(groups[apart], np.unique(groups[self.members]))]
        for repeat in range(self.repeats):
            fold_of = np.full(n, -1, np.int64)
            fold_of[rows] = assign_folds(
                ids[rows],
                2 * np.asarray(labels)[rows] + inside[rows],
                self.k,
                groups=bound,
                seed=seeds.derive(seed, "folds", repeat),
            )
            fold_of[apart] = self.k
            for fold in range(self.k):
                mine = fold_of == fold
                train, watched = np.flatnonzero(inside & ~mine), np.flatnonzero(mine)
                yield Fit(train, watched, repeat=repeat, fold=fold)
            if self.scale == "rank" and len(outside):
                yield Fit(self.members, apart, repeat=repeat, fold=self.k)


def coreset(
    members: npt.ArrayLike,
    k: int = 5,
    *,
    repeats: int = 1,
    scale: Scale = "size",
    outsiders: npt.ArrayLike | None = None,
) -> Members:
    """Members and outsiders of a coreset, all judged by models of the coreset that never saw them.

    Args:
        members: int (m,) rows of the coreset.
        k: folds of the members.
        repeats: how many times everyone is judged.
        scale: `"size"`, the outsiders too are dealt to the k models of the members, which trained on equally much;
            `"rank"`, they are judged by one model of the whole coreset, and compare with members by rank only.
        outsiders: rows asked about besides the members; everyone else if not given.

    >>> plan = coreset([0, 1, 2, 3], 2)
    >>> for fit in plan.fits(np.arange(8), np.zeros(8, int)):
    ...     print(len(fit.train), "of the members train a model that judges", len(fit.unseen))
    2 of the members train a model that judges 4
    2 of the members train a model that judges 4
    """
    others = None if outsiders is None else as_integers(outsiders, "outsiders")
    return Members(as_integers(members, "members"), k, repeats, scale, others)


def _rows(name: str, rows: IntArray) -> IntArray:
    array = np.unique(as_integers(rows, name))
    if len(array) != len(rows):
        raise ArgumentError(f"{name} must hold each row once")
    if array.size and array[0] < 0:
        raise ArgumentError(f"{name} must hold rows of the data set, got {array[0]}")
    return array


def _digest(rows: IntArray) -> str:
    return blake2b(rows.astype("<i8").tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class Within:
    """A plan carried out as if the data set had these rows only. The others get no score (NaN, fold -1).

    Args:
        plan: any plan whose fits do not name rows of their own (`seen`, `folds`, `halves`, `leave_one_out`).
        rows: int64 (m,) ascending.

    >>> from unseen.core.plans import folds
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

    >>> from unseen.core.plans import folds, leave_one_out
    >>> leave_one_out().count(1000), at_once(leave_one_out()).count(1000), at_once(folds(5)).count(1000)
    (1000, 1, 1)
    """
    if isinstance(plan, LeaveOneOut) or (isinstance(plan, Folds) and not plan.watch_seen):
        return replace(plan, together=True)
    return Within(at_once(plan.plan), plan.rows) if isinstance(plan, Within) else plan


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
