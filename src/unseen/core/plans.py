"""The built-in plans: seen, folds, halves, leave one out, and members and outsiders of a coreset.

`seen`, `folds`, `halves` and `leave_one_out` are plans of one step. `Within` applies a plan to a part of the data set:
the other rows are neither trained on nor judged. `plan_named` reads a plan from text, `"folds:k=2,repeats=3"`.
`assign_folds` says which sample is in which fold.

`coreset` is the plan of selection in several steps: members and outsiders of a coreset are judged by models that were
not trained on them.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IdArray, IntArray, as_integers
from unseen.core.checks import at_least, check_known, is_integer, one_of
from unseen.core.exposure import Fit, Plan, Side
from unseen.core.registry import parse_spec
from unseen.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Seen:
    """Train on everything and judge everything: the classic in-sample score, our baseline."""

    repeats: int = 1
    scored_side: Side = field(default="seen", init=False)
    two_sided: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        at_least("repeats", self.repeats, 1)

    def describe(self) -> dict[str, object]:
        """Return name and options, for the manifest."""
        return {"plan": "seen", "repeats": self.repeats}

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of trainings: one a repeat."""
        return self.repeats

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield one fit a repeat; repeats differ in the seed of the training only."""
        rows = np.arange(len(ids))
        for repeat in range(self.repeats):
            yield Fit(train=rows, unseen=rows[:0], seen=rows, repeat=repeat)


@dataclass(frozen=True)
class Folds:
    """Train on all but fold j and judge fold j: UNSEEN, single step (arXiv 2511.12988)."""

    k: int = 5  # the number of folds
    repeats: int = 1  # the number of times that the samples are assigned to folds anew
    watch_seen: bool = False  # let each model also judge its training samples
    name: str = "folds"  # the name of the plan
    together: bool = False  # one fit a repeat stands for its k fits (`Fit.apart`); see `unseen.core.plans.at_once`
    scored_side: Side = field(default="unseen", init=False)

    def __post_init__(self) -> None:
        at_least("k", self.k, 2)
        at_least("repeats", self.repeats, 1)

    @property
    def two_sided(self) -> bool:
        """Whether the models also judge their training samples."""
        return self.watch_seen

    def describe(self) -> dict[str, object]:
        """Return name and options, for the manifest."""
        return {"plan": self.name, "k": self.k, "repeats": self.repeats, "watch_seen": self.watch_seen}

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of trainings: k a repeat, or one if the k are computed at once."""
        return self.repeats if self.together else self.k * self.repeats

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield the k fits of each repeat; folds are stratified by class."""
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
    """Train on all but one sample (or group of copies): the limit of folds, for learners with a closed form."""

    together: bool = False  # one fit stands for all fits (`Fit.apart`); see `unseen.core.plans.at_once`
    repeats: int = field(default=1, init=False)
    scored_side: Side = field(default="unseen", init=False)
    two_sided: bool = field(default=False, init=False)

    def describe(self) -> dict[str, object]:
        """Return name and options, for the manifest."""
        return {"plan": "leave_one_out"}

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of trainings: one a sample, or one a group; one in all if they are computed at once."""
        return 1 if self.together else n if groups is None else len(np.unique(groups))

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield one fit a sample, or one a group."""
        n = len(ids)
        at_least("n", n, 2)
        group_of = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        if group_of.max() + 1 < 2:
            raise DataError("leave_one_out needs at least two groups, but all samples are in one")
        if self.together:
            rows = np.arange(n)
            yield Fit(train=rows[:0], unseen=rows, apart=group_of)
            return
        for left in range(group_of.max() + 1):
            # The training sets of any two models differ by one sample each. So all are one fold, on one scale.
            yield Fit(train=np.flatnonzero(group_of != left), unseen=np.flatnonzero(group_of == left), part=left)


def seen(repeats: int = 1) -> Seen:
    """Make the baseline plan: train on everything, and score the same samples."""
    return Seen(repeats)


def folds(k: int = 5, repeats: int = 1, *, watch_seen: bool = False) -> Folds:
    """Make a plan that trains on k - 1 folds and scores the other one; with `watch_seen`, the training folds too."""
    return Folds(k, repeats, watch_seen)


def halves(repeats: int = 1) -> Folds:
    """Make a plan that trains on each half and scores both: held-out score, in-sample score and their gap.

    A repeat takes two trainings on half of the data, so it costs about one full training.
    """
    return Folds(2, repeats, watch_seen=True, name="halves")


def default_plan(*, closed_form: bool) -> Plan:
    """Choose the plan of `unseen.score` and `unseen.prune` if the user gives none.

    Halves choose as well as five folds for a quarter of the cost (benchmarks/quality/results.md): two trainings on
    half of the data cost as much as one ordinary training. A learner with a closed form does five folds at once.
    """
    return folds() if closed_form else halves()


def leave_one_out() -> LeaveOneOut:
    """Make a plan that scores each sample by a model trained on all others.

    More than 10,000 trainings need a learner in closed form.
    """
    return LeaveOneOut()


Scale = Literal["size", "rank"]


@dataclass(frozen=True, eq=False)
class Members:
    """Train on a coreset without one of its folds; judge that fold and the outsiders. See `coreset`."""

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
        one_of("scale", self.scale, ("size", "rank"))
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
        """Return name, options, and a digest of the members."""
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

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of trainings: k a repeat, and one more if outsiders are judged by the whole coreset."""
        outside = n - len(self.members) if self.outsiders is None else len(self.outsiders)
        return self.repeats * (self.k + (self.scale == "rank" and outside > 0))

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield the fits of each repeat.

        Folds are stratified by class and by membership. Under either scale, an outsider that shares a group with a
        member is judged by the model that was trained on no member of that group.
        """
        n = len(ids)
        inside = np.zeros(n, bool)
        if self.members[-1] >= n:
            raise ArgumentError(f"members name row {self.members[-1]}, but the data set has {n} samples")
        inside[self.members] = True
        outside = np.flatnonzero(~inside) if self.outsiders is None else self.outsiders
        rows = np.union1d(self.members, outside)
        groups_of_rows = None if groups is None else groups[rows]
        extra_fold = outside if self.scale == "rank" else outside[:0]
        if groups is not None:
            extra_fold = extra_fold[~np.isin(groups[extra_fold], np.unique(groups[self.members]))]
        for repeat in range(self.repeats):
            fold_of = np.full(n, -1, np.int64)
            fold_of[rows] = assign_folds(
                ids[rows],
                2 * labels[rows] + inside[rows],
                self.k,
                groups=groups_of_rows,
                seed=seeds.derive(seed, "folds", repeat),
            )
            fold_of[extra_fold] = self.k
            for fold in range(self.k):
                mine = fold_of == fold
                yield Fit(np.flatnonzero(inside & ~mine), np.flatnonzero(mine), repeat=repeat, fold=fold)
            if self.scale == "rank" and len(outside):
                yield Fit(self.members, extra_fold, repeat=repeat, fold=self.k)


def coreset(
    members: npt.ArrayLike,
    k: int = 5,
    *,
    repeats: int = 1,
    scale: Scale = "size",
    outsiders: npt.ArrayLike | None = None,
) -> Members:
    """Make a plan that scores members of a coreset, and outsiders, by models trained on other members.

    Args:
        members: int (m,) rows of the coreset.
        k: the number of folds of the members.
        repeats: the number of times that every sample is scored.
        scale: how scores of outsiders compare with those of members. `"size"`: each fold has a part of both, scored by
            one model that was trained on the other members, so raw scores compare; k trainings per repeat. `"rank"`: a
            model of the whole coreset scores the outsiders. It is trained on k / (k - 1) times as much data as the
            models that score members, so only ranks within each of the two groups compare; k + 1 trainings per repeat.
        outsiders: rows to score besides the members; all other rows if not given.

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
    """A plan on a part of the data set: other rows are neither trained on nor judged, and get NaN and fold -1.

    >>> plan = Within(folds(2), np.array([1, 3, 5, 7]))
    >>> sorted(np.concatenate([fit.unseen for fit in plan.fits(np.arange(9), np.zeros(9, int))]).tolist())
    [1, 3, 5, 7]
    """

    plan: Plan  # any plan that is not given rows itself (`seen`, `folds`, `halves`, `leave_one_out`)
    rows: IntArray  # int64 (m,) ascending

    @property
    def scored_side(self) -> Side:
        """The scored side of the plan."""
        return self.plan.scored_side

    @property
    def two_sided(self) -> bool:
        """Whether the plan is two-sided."""
        return self.plan.two_sided

    @property
    def repeats(self) -> int:
        """The number of repeats of the plan."""
        return self.plan.repeats

    def describe(self) -> dict[str, object]:
        """Return the description of the plan, and a digest of the rows."""
        return {**self.plan.describe(), "within": {"n": len(self.rows), "digest": _digest(self.rows)}}

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of trainings of the plan on these rows."""
        return self.plan.count(len(self.rows), None if groups is None else groups[self.rows])

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield the fits of the plan, with rows of the whole data set."""
        rows = self.rows
        groups_of_rows = None if groups is None else groups[rows]
        for fit in self.plan.fits(ids[rows], labels[rows], groups=groups_of_rows, seed=seed):
            yield replace(fit, train=rows[fit.train], unseen=rows[fit.unseen], seen=rows[fit.seen])


def at_once(plan: Plan) -> Plan:
    """Convert a plan for a learner with a closed form: one fit a repeat stands for all that leave out a fold or sample.

    Exposure and description stay the same: every sample is judged by a model of other samples. Folds whose models also
    judge their training samples are returned unchanged, and so is any other plan.

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
    """Make a plan from its name and options, `"folds:k=2"`, or from a number of folds.

    Raises:
        UnknownNameError: no such plan or option; the message lists the nearest.

    >>> plan_named("folds:k=2").describe()
    {'plan': 'folds', 'k': 2, 'repeats': 1, 'watch_seen': False}
    >>> plan_named("2") == plan_named("folds:k=2")
    True
    """
    name, options = parse_spec(spec)
    if name.isdecimal():
        name, options = "folds", {**options, "k": int(name)}
    check_known("plan", [name], PLANS)
    check_known(f"option of plan {name!r}", options, inspect.signature(PLANS[name]).parameters)
    return PLANS[name](**options)


def plan_of(plan: Plan | str | int | None, *, closed_form: bool) -> Plan:
    """Resolve a plan: a plan itself, a name with options, a number of folds, or None for the default plan.

    >>> plan_of(3, closed_form=False) == plan_of("folds:k=3", closed_form=False) == folds(3)
    True
    """
    if plan is None:
        return default_plan(closed_form=closed_form)
    if isinstance(plan, str):
        return plan_named(plan)
    if is_integer(plan):
        return folds(int(plan))
    if isinstance(plan, (int, type)) or not hasattr(plan, "fits"):
        got = f"{getattr(plan, '__name__', plan)}, uncalled" if callable(plan) else repr(plan)
        raise ArgumentError(
            f"plan must be a plan, such as unseen.folds(5), its name, 'folds:k=5', or a number of folds, got {got}"
        )
    return plan


# ---- which sample is in which fold ---------------------------------------------------------------------------------


def assign_folds(ids: IdArray, labels: IntArray, k: int, *, groups: IntArray | None = None, seed: int = 0) -> IntArray:
    """Assign each sample to one of k folds, int64 (n,), stratified by class.

    The assignment is a function of (seed, id) and the labels. The samples (one representative a group) are ordered by
    (seed, id) and dealt to the folds in turn, class by class. So the class counts of two folds differ by one at most.
    A class with fewer samples than folds is missing in some folds. Its samples are still scored by models that did not
    see them; the only sample of a class is scored by models that never saw its class. Groups that are large compared to
    a fold are assigned by `StratifiedGroupKFold`, which balances sizes greedily.

    Raises:
        ArgumentError: fewer samples (or groups) than folds.
    """
    ids, labels = np.asarray(ids), np.asarray(labels)
    ranked = seeds.order(seed, ids, "deal")
    group_of = np.arange(len(ids)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group_of.max(initial=-1) + 1 == len(ids):  # each sample is a group of its own
        return _deal(ranked, labels, k)
    # The sample that comes first in the pseudo-random order represents its group.
    _, first = np.unique(group_of[ranked], return_index=True)
    heads = ranked[np.sort(first)]
    sizes = np.bincount(group_of)
    if len(heads) == 1:
        raise ArgumentError(
            f"all {len(ids):,} samples are copies of one, or one group: no model can be held out of them"
        )
    if len(heads) < k:
        raise ArgumentError(
            f"k must be at most the number of groups (copies of a sample are one group), got k={k} for "
            f"{len(heads)} groups; ask for fewer folds (--folds)"
        )
    if sizes.max() > 1 and sizes.max() * k * 10 > len(ids):
        return _deal_groups(ranked, labels, group_of, k)
    fold_of_group = np.empty(len(sizes), np.int64)
    fold_of_group[group_of[heads]] = _deal(np.arange(len(heads)), labels[heads], k)
    return fold_of_group[group_of]


def _deal(ranked: IntArray, labels: IntArray, k: int) -> IntArray:
    """Deal samples to folds in turn, one class after another: the folds of scikit-learn's `StratifiedKFold`.

    `StratifiedKFold` itself refuses data in which no class has k samples, and passes over all samples once a class.
    """
    n = len(ranked)
    if n < k:
        raise ArgumentError(
            f"k must be at most the number of samples, got k={k} for {n} samples; ask for fewer folds (--folds)"
        )
    # Classes go in order of appearance: their names must not matter.
    _, first, code = np.unique(labels[ranked], return_index=True, return_inverse=True)
    appearance = first[code]
    by_class = np.argsort(appearance, kind="stable")
    turns = np.arange(n) % k
    fold_of = np.empty(n, np.int64)
    fold_of[ranked[by_class]] = turns[np.lexsort((turns, appearance[by_class]))]  # within a class, ascending
    return fold_of


def _deal_groups(ranked: IntArray, labels: IntArray, group_of: IntArray, k: int) -> IntArray:
    """Deal whole groups to folds by `StratifiedGroupKFold`, or by size alone where it leaves a fold empty."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = np.full(len(ranked), -1, np.int64)
    # scikit-learn deals groups by number. So they are numbered in the pseudo-random order, not by row.
    _, first, code = np.unique(group_of[ranked], return_index=True, return_inverse=True)
    numbered = np.argsort(np.argsort(first))[code]
    if np.unique(labels, return_counts=True)[1].max() >= k:  # otherwise scikit-learn refuses to stratify
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for fold, (_, inside) in enumerate(StratifiedGroupKFold(k).split(ranked, labels[ranked], numbered)):
                fold_of[ranked[inside]] = fold
    if len(np.unique(fold_of)) == k and fold_of.min() == 0:
        return fold_of
    # By size alone: the largest groups first, each to the smallest fold.
    sizes, load, fold_of_group = np.bincount(group_of), np.zeros(k, np.int64), np.empty(len(first), np.int64)
    for group in np.lexsort((first, -sizes)):
        fold_of_group[group] = load.argmin()
        load[fold_of_group[group]] += sizes[group]
    return fold_of_group[group_of]
