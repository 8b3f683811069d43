"""Fits and plans: which samples a model is trained on, and which it is then asked about.

This is the one idea of the package. A `Fit` cannot be made with a sample both in `train` and in `unseen`; every
ordinary score comes from an `unseen` watch set, so a fit that exists is the proof that no sample was scored by a
model that saw it.

Two index spaces, named once: an **id** is the stable name of a sample, a **row** its position in dataset order
(what `torch.utils.data.Subset` takes). Fits hold rows; tables and coresets carry ids. Where the data brings no ids
of its own, id and row are the same number. Folds depend on (seed, id), never on the row.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import numpy as np

from unseen import seeds
from unseen.errors import ArgumentError, DataError, ExposureError, some
from unseen.types import IdArray, IntArray, Side

__all__ = ["Exposure", "Fit", "Plan", "folds", "halves", "leave_one_out", "seen"]

# Beyond this many trainings a plan is refused unless the learner has a closed form.
MAX_FITS = 10_000


@dataclass(frozen=True, eq=False)
class Fit:
    """One training and the questions asked of it.

    Args:
        train: int64 (t,) rows the model is trained on.
        unseen: int64 (u,) rows it is asked about and never saw; disjoint from `train`, checked.
        seen: int64 (s,) rows of `train` it is asked about too, for the baseline and two-sided scores.
        repeat: which repetition of the plan.
        fold: which fold of it; the models of one fold are on one scale.
        part: which part of the fold, where it is watched piece by piece (leave_one_out).

    Raises:
        ExposureError: a row of `unseen` is in `train`, or a row of `seen` is not.

    >>> Fit(train=[0, 1, 2], unseen=[2, 3])
    Traceback (most recent call last):
    unseen.errors.ExposureError: fit r0f0 would ask about samples it was trained on: rows 2

    """

    train: IntArray
    unseen: IntArray
    seen: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    repeat: int = 0
    fold: int = 0
    part: int | None = None

    def __post_init__(self) -> None:
        for name in ("train", "unseen", "seen"):
            rows = np.asarray(getattr(self, name), dtype=np.int64)
            if rows.size and rows.min() < 0:
                raise ArgumentError(f"{name} of fit {self.name} must hold rows of the data set, got {rows.min()}")
            if np.unique(rows).size != rows.size:
                raise ArgumentError(f"{name} of fit {self.name} must hold each row once")
            # A copy of our own, writable: torch warns of arrays that are not.
            object.__setattr__(self, name, rows.copy())
        both = np.intersect1d(self.train, self.unseen, assume_unique=True)
        if both.size:
            raise ExposureError(
                f"fit {self.name} would ask about samples it was trained on: rows {some(both.tolist())}"
            )
        stray = np.setdiff1d(self.seen, self.train, assume_unique=True)
        if stray.size:
            raise ExposureError(f"fit {self.name} calls samples seen that it never saw: rows {some(stray.tolist())}")

    @property
    def name(self) -> str:
        """Its name in a run: `r0f3` is repeat 0, fold 3."""
        return f"r{self.repeat}f{self.fold}" + ("" if self.part is None else f"p{self.part}")

    def watch(self, side: Side) -> IntArray:
        """The watch set of one side."""
        return self.unseen if side == "unseen" else self.seen


class Plan(Protocol):
    """How a data set is divided into fits."""

    @property
    def scored_side(self) -> Side:
        """The watch set from which one-sided scores come: `"unseen"`, but for the baseline plan `seen()`."""

    @property
    def two_sided(self) -> bool:
        """Whether every sample is also watched by models that saw it, as two-sided scores need."""

    @property
    def repeats(self) -> int:
        """How many times every sample is scored."""

    def describe(self) -> dict[str, object]:
        """Name and options, for the manifest."""

    def count(self, n: int) -> int:
        """The number of trainings for n samples."""

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """The fits, one after another.

        Args:
            ids: (n,) integer or text, unique.
            labels: int64 (n,).
            groups: int64 (n,) group of each sample, or None; the members of a group stay in one fold.
            seed: the root seed.

        """


@dataclass(frozen=True)
class Seen:
    """Train on everything and ask about everything: the classic score, and our baseline."""

    repeats: int = 1
    scored_side: Side = field(default="seen", init=False)
    two_sided: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        _at_least("repeats", self.repeats, 1)

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
    """Train on all but fold j and ask about fold j: UNSEEN, single step (arXiv 2511.12988)."""

    k: int = 5
    repeats: int = 1
    watch_seen: bool = False
    name: str = "folds"
    scored_side: Side = field(default="unseen", init=False)

    def __post_init__(self) -> None:
        _at_least("k", self.k, 2)
        _at_least("repeats", self.repeats, 1)

    @property
    def two_sided(self) -> bool:
        """True when the models are also asked about what they saw."""
        return self.watch_seen

    def describe(self) -> dict[str, object]:
        """Name and options, for the manifest."""
        return {"plan": self.name, "k": self.k, "repeats": self.repeats, "watch_seen": self.watch_seen}

    def count(self, n: int) -> int:
        """The k trainings of each repeat."""
        return self.k * self.repeats

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """The k fits of each repeat, the folds stratified by class."""
        for repeat in range(self.repeats):
            fold_of = assign_folds(ids, labels, self.k, groups=groups, seed=seeds.derive(seed, "folds", repeat))
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

    repeats: int = field(default=1, init=False)
    scored_side: Side = field(default="unseen", init=False)
    two_sided: bool = field(default=False, init=False)

    def describe(self) -> dict[str, object]:
        """Name and options, for the manifest."""
        return {"plan": "leave_one_out"}

    def count(self, n: int) -> int:
        """One training a sample, unless the learner has a closed form."""
        return n

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """One fit a sample, or one a group."""
        n = len(ids)
        _at_least("n", n, 2)
        of = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        if of.max() + 1 < 2:
            raise DataError("leave_one_out needs at least two groups, but all samples are in one")
        for left in range(of.max() + 1):
            # All these models differ by one sample only: one fold, on one scale.
            yield Fit(train=np.flatnonzero(of != left), unseen=np.flatnonzero(of == left), part=left)


@dataclass(frozen=True)
class Exposure:
    """Any pairs of your own: the samples trained on, and the samples asked about.

    Args:
        train: rows, or a sequence of such arrays, one a fit.
        watch: the rows asked about, disjoint from those trained on; or a sequence of the same length.

    Rows watched by several fits are averaged; rows never watched get no score (NaN), and a rule refuses them
    unless told `nan="last"`.

    >>> plan = Exposure(train=[0, 1], watch=[2, 3])
    >>> [fit.unseen.tolist() for fit in plan.fits(np.arange(4), np.zeros(4, int))]
    [[2, 3]]

    """

    train: Sequence[IntArray] | IntArray
    watch: Sequence[IntArray] | IntArray
    scored_side: Side = field(default="unseen", init=False)
    two_sided: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for name in ("train", "watch"):
            value = getattr(self, name)
            if len(value) and np.ndim(value[0]) == 0:
                value = [value]
            object.__setattr__(self, name, tuple(np.asarray(v, dtype=np.int64) for v in value))
        if len(self.train) != len(self.watch):
            raise ArgumentError(
                f"train and watch must pair up, got {len(self.train)} training sets and {len(self.watch)} watch sets"
            )
        if not all(len(t) for t in self.train):
            raise ArgumentError("train must name at least one row for each fit, got an empty training set")
        list(self._made())  # a leaking pair is refused here, before any training

    @property
    def repeats(self) -> int:
        """How many repeats the pairs fall into; no sample is watched twice in one."""
        return max(fit.repeat for fit in self._made()) + 1

    def describe(self) -> dict[str, object]:
        """Name, number of pairs and a digest of them."""
        pairs = b"".join(a.tobytes() + b"|" for pair in zip(self.train, self.watch, strict=True) for a in pair)
        return {"plan": "exposure", "fits": len(self.train), "digest": blake2b(pairs, digest_size=16).hexdigest()}

    def count(self, n: int) -> int:
        """One training a pair."""
        return len(self.train)

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """The pairs as given. A group split between both sides of a pair is refused."""
        for fit in self._made():
            last = max(fit.train.max(), fit.unseen.max(initial=-1))
            if last >= len(ids):
                raise ArgumentError(f"exposure names row {last}, but the data set has {len(ids)} samples")
            if groups is not None:
                split = np.intersect1d(groups[fit.train], groups[fit.unseen])
                if split.size:
                    raise ExposureError(f"fit {fit.name} has groups on both sides: {some(split.tolist())}")
            yield fit

    def _made(self) -> Iterator[Fit]:
        # A sample watched a second time is a second repeat, so that its scores are averaged, not overwritten.
        watched: list[set[int]] = []
        for fold, (train, watch) in enumerate(zip(self.train, self.watch, strict=True)):
            rows = set(watch.tolist())
            repeat = next((r for r, before in enumerate(watched) if rows.isdisjoint(before)), len(watched))
            if repeat == len(watched):
                watched.append(set())
            watched[repeat] |= rows
            yield Fit(train=train, unseen=watch, repeat=repeat, fold=fold)


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


def leave_one_out() -> LeaveOneOut:
    """Each sample judged by the model of all others; beyond 10,000 trainings only for closed-form learners."""
    return LeaveOneOut()


def assign_folds(ids: IdArray, labels: IntArray, k: int, *, groups: IntArray | None = None, seed: int = 0) -> IntArray:
    """The fold of each sample, int64 (n,), stratified by class, a function of (seed, id) and the labels.

    The samples (one representative a group) are put in an order that depends on (seed, id) and dealt out by
    scikit-learn's `StratifiedKFold`, so class counts of two folds differ by one at most. A class with fewer members
    than folds is in some folds only: its members are still scored by models that did not see them, and, if it has
    one member, by models that never saw its class. Groups that are large beside a fold go through
    `StratifiedGroupKFold`, which balances sizes greedily.

    Raises:
        ArgumentError: fewer samples (or groups) than folds.

    """
    ids, labels = np.asarray(ids), np.asarray(labels)
    ranked = seeds.order(seed, ids, "deal")
    of = np.arange(len(ids)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if of.max(initial=-1) + 1 == len(ids):  # each sample is a group of its own
        return _deal(ranked, labels, k, len(ids))
    # The member that comes first in the keyed order represents its group.
    _, first = np.unique(of[ranked], return_index=True)
    heads = ranked[np.sort(first)]
    sizes = np.bincount(of)
    if len(heads) < k:
        raise ArgumentError(
            f"k must be at most the number of groups (copies of a sample are one group), got k={k} for "
            f"{len(heads)} groups"
        )
    if sizes.max() > 1 and sizes.max() * k * 10 > len(ids):
        return _deal_groups(ranked, labels, of, k)
    fold_of_group = np.empty(len(sizes), np.int64)
    fold_of_group[of[heads]] = _deal(np.arange(len(heads)), labels[heads], k, len(heads))
    return fold_of_group[of]


def _deal(ranked: IntArray, labels: IntArray, k: int, n: int) -> IntArray:
    # Imported here: worker processes unpickle fits, and do not deal.
    from sklearn.model_selection import StratifiedKFold

    if n < k:
        raise ArgumentError(f"k must be at most the number of samples, got k={k} for {n} samples")
    counts = np.unique(labels, return_counts=True)[1]
    fold_of = np.empty(n, np.int64)
    if counts.max() < k:
        # StratifiedKFold refuses when no class reaches every fold; dealing in class order is as even as can be.
        # Classes go in order of appearance, as there: their names must not matter.
        _, first, code = np.unique(labels[ranked], return_index=True, return_inverse=True)
        dealt = ranked[np.argsort(first[code], kind="stable")]
        fold_of[dealt] = np.arange(n) % k
        return fold_of
    with warnings.catch_warnings():
        # Small classes are allowed: what happens to them is written in the docstring above.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, inside) in enumerate(StratifiedKFold(k).split(ranked, labels[ranked])):
            fold_of[ranked[inside]] = fold
    return fold_of


def _deal_groups(ranked: IntArray, labels: IntArray, of: IntArray, k: int) -> IntArray:
    """Whole groups to folds, classes and sizes as even as scikit-learn makes them; no fold is left empty."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = np.full(len(ranked), -1, np.int64)
    if np.unique(labels, return_counts=True)[1].max() >= k:  # else there is nothing to stratify, and it refuses
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for fold, (_, inside) in enumerate(StratifiedGroupKFold(k).split(ranked, labels[ranked], of[ranked])):
                fold_of[ranked[inside]] = fold
    if len(np.unique(fold_of)) == k and fold_of.min() == 0:
        return fold_of
    # By size alone, the largest groups first, each to the emptiest fold.
    _, first = np.unique(of[ranked], return_index=True)
    sizes, load, of_group = np.bincount(of), np.zeros(k, np.int64), np.empty(len(first), np.int64)
    for group in np.lexsort((first, -sizes)):
        of_group[group] = load.argmin()
        load[of_group[group]] += sizes[group]
    return of_group[of]


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}")
