"""Fits and plans: which rows a model is trained on, and which rows it then judges.

A `Fit` is one training and its watch sets. The side of a watch set says whether the model was trained on its samples
(`"seen"`) or not (`"unseen"`). An `Observation` holds the outputs of the model for some of them after one epoch.

A `Plan` divides a data set into fits. `Exposure` is a plan of pairs that the user gives. The built-in plans are in
`unseen.core.plans`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import index
from typing import Literal, Protocol, TypeAlias

import numpy as np

from unseen.core.arrays import Array, IdArray, IntArray, as_integers
from unseen.errors import ArgumentError, ExposureError, some

Side: TypeAlias = Literal["unseen", "seen"]
SIDES: tuple[Side, ...] = ("unseen", "seen")

MOST_EPOCHS = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """The outputs of a model for some samples, in evaluation mode and without augmentation.

    Args:
        rows: int64 (m,) rows of the samples.
        epoch: the epoch after which the model was observed, counted from 1; learners without epochs give 1.
        logits: (m, C) float, NumPy or torch; None where only a loss is recorded.
        features: (m, d) input of the last linear layer, or None.
        grad_norm: (m,) norm of the loss gradient over all parameters, one sample at a time, or None.
        loss: (m,) per-sample loss of any task, or None; scores that need only a loss use it in place of logits.
        leverage: (m,) the weight of each sample's label in its own output, if the learner knows it, or None.
        cooks_distance: (m,) how far all outputs move when the sample is left out, if the learner knows it, or None.
    """

    rows: IntArray
    epoch: int
    logits: Array | None = None
    features: Array | None = None
    grad_norm: Array | None = None
    loss: Array | None = None
    leverage: Array | None = None
    cooks_distance: Array | None = None
    shared: dict[str, Array] = field(default_factory=dict, init=False, repr=False)  # results that several scores use

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "epoch", index(self.epoch))  # also reads a tensor of one number
        except TypeError as error:
            raise ArgumentError(f"epoch must be a whole number, counted from 1, got {self.epoch!r}") from error
        if self.epoch > MOST_EPOCHS:
            raise ArgumentError(f"epoch must be at most {MOST_EPOCHS}, got {self.epoch}")


# Beyond this many trainings a plan is refused unless the learner has a closed form.
MAX_FITS = 10_000


@dataclass(frozen=True, eq=False)
class Fit:
    """One training, and the watch sets that the model judges afterwards.

    Args:
        train: int64 (t,) rows that the model is trained on.
        unseen: int64 (u,) rows that the model judges and was not trained on; disjoint from `train` (checked).
        seen: int64 (s,) rows of `train` that the model judges too, for the baseline and two-sided scores.
        repeat: the number of the repeat in the plan.
        fold: the number of the fold in the repeat; scores of models of one fold are on one scale.
        part: the number of the part of the fold, where a fold is judged in parts (leave_one_out).
        apart: int64 (u,) group of each row of `unseen`, or None. If given, the fit stands for one model a group. Each
            of these is trained on `train` and on the watched rows of all other groups, and judges the rows of its own
            group. Only learners with a closed form get such fits (see `at_once`).
        folds: int64 (u,) fold of each row of `unseen`, if the fit stands for several folds; else all are in `fold`.

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
    apart: IntArray | None = None
    folds: IntArray | None = None

    def __post_init__(self) -> None:
        for name in ("train", "unseen", "seen"):
            rows = as_integers(getattr(self, name), f"{name} of fit {self.name}")
            ordered = np.sort(rows)
            if rows.size and ordered[0] < 0:
                raise ArgumentError(f"{name} of fit {self.name} must hold rows of the data set, got {ordered[0]}")
            if (ordered[1:] == ordered[:-1]).any():
                raise ArgumentError(f"{name} of fit {self.name} must hold each row once")
            # A writable copy: torch warns of read-only arrays.
            object.__setattr__(self, name, rows.copy())
        for name in ("apart", "folds"):
            given = getattr(self, name)
            if given is not None and np.shape(given) != self.unseen.shape:
                raise ArgumentError(
                    f"{name} of fit {self.name} must have one entry for each of {len(self.unseen)} rows of unseen, got "
                    f"shape {np.shape(given)}"
                )
        both = np.intersect1d(self.train, self.unseen, assume_unique=True)
        if both.size:
            raise ExposureError(
                f"fit {self.name} would ask about samples it was trained on: rows {some(both.tolist())}"
            )
        stray = np.setdiff1d(self.seen, self.train, assume_unique=True)
        if stray.size:
            raise ExposureError(
                f"fit {self.name} lists samples as seen that are not in train: rows {some(stray.tolist())}"
            )

    @property
    def name(self) -> str:
        """The name of the fit in a run: `r0f3` is repeat 0, fold 3."""
        return f"r{self.repeat}f{self.fold}" + ("" if self.part is None else f"p{self.part}")

    @property
    def samples(self) -> int:
        """The number of training samples; if the fit stands for many models, those of all models together."""
        return len(self.train) + (0 if self.apart is None else len(self.unseen))

    def watch(self, side: Side) -> IntArray:
        """Return the watch set of one side."""
        return self.unseen if side == "unseen" else self.seen


class Plan(Protocol):
    """A division of a data set into fits."""

    @property
    def scored_side(self) -> Side:
        """The watch set that one-sided scores read: `"unseen"`, except for the baseline plan `seen()`."""

    @property
    def two_sided(self) -> bool:
        """Whether every sample is also judged by models that saw it, as two-sided scores need."""

    @property
    def repeats(self) -> int:
        """The number of times that every sample is scored."""

    def describe(self) -> dict[str, object]:
        """Return name and options, for the manifest."""

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of trainings for n samples, int64 (n,) groups of which stay together."""

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield the fits, one after another.

        Args:
            ids: (n,) integer or text, unique.
            labels: int64 (n,).
            groups: int64 (n,) group of each sample, or None; the members of a group stay in one fold.
            seed: the root seed.
        """


@dataclass(frozen=True)
class Exposure:
    """A plan of given pairs: the rows to train on, and the rows to judge.

    Args:
        train: rows, or a sequence of such arrays, one a fit.
        watch: the rows to judge, disjoint from the training rows; or a sequence of the same length.

    Scores of rows that several fits judge are averaged. Rows that no fit judges get no score (NaN), and a rule refuses
    them unless `nan="last"` is set.

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
            if not hasattr(value, "__len__") or (len(value) and np.ndim(value[0]) == 0):
                value = [value]
            object.__setattr__(self, name, tuple(as_integers(v, name) for v in value))
        if len(self.train) != len(self.watch):
            raise ArgumentError(
                f"train and watch must pair up, got {len(self.train)} training sets and {len(self.watch)} watch sets"
            )
        if not self.train or not all(len(t) for t in self.train):
            raise ArgumentError("train must name at least one row for each fit, got an empty training set")
        list(self._make_fits())  # refuse a leaking pair here, before any training

    @property
    def repeats(self) -> int:
        """The number of repeats; no sample is judged twice in one repeat."""
        return max(fit.repeat for fit in self._make_fits()) + 1

    def describe(self) -> dict[str, object]:
        """Return name, number of pairs and a digest of the pairs."""
        pairs = b"".join(a.tobytes() + b"|" for pair in zip(self.train, self.watch, strict=True) for a in pair)
        return {"plan": "exposure", "fits": len(self.train), "digest": blake2b(pairs, digest_size=16).hexdigest()}

    def count(self, n: int, groups: IntArray | None = None) -> int:
        """Return the number of pairs: one training each."""
        return len(self.train)

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        """Yield the pairs as given; refuse a group that is on both sides of a pair."""
        for fit in self._make_fits():
            last = max(fit.train.max(), fit.unseen.max(initial=-1))
            if last >= len(ids):
                raise ArgumentError(f"exposure names row {last}, but the data set has {len(ids)} samples")
            if groups is not None:
                split = np.intersect1d(groups[fit.train], groups[fit.unseen])
                if split.size:
                    raise ExposureError(f"fit {fit.name} has groups on both sides: {some(split.tolist())}")
            yield fit

    def _make_fits(self) -> Iterator[Fit]:
        # Judging a sample a second time is a second repeat, so that its scores are averaged, not overwritten.
        watched: list[set[int]] = []
        for fold, (train, watch) in enumerate(zip(self.train, self.watch, strict=True)):
            rows = set(watch.tolist())
            repeat = next((r for r, before in enumerate(watched) if rows.isdisjoint(before)), len(watched))
            if repeat == len(watched):
                watched.append(set())
            watched[repeat] |= rows
            yield Fit(train=train, unseen=watch, repeat=repeat, fold=fold)
