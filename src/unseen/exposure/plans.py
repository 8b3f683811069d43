"""The plans of a single step: everything seen, folds, halves, leave one out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from unseen import seeds
from unseen.errors import DataError
from unseen.exposure.dealing import assign_folds
from unseen.exposure.fits import Fit, Plan, at_least
from unseen.types import IdArray, IntArray, Side

__all__ = ["Folds", "LeaveOneOut", "Seen", "default_plan", "folds", "halves", "leave_one_out", "seen"]


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
        together: one fit a repeat that stands for its k (`Fit.apart`); see `unseen.exposure.at_once`.

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
        together: one fit that stands for all of them (`Fit.apart`); see `unseen.exposure.at_once`.

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
