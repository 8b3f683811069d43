"""A fit: what one model is trained on, and what it is then asked about. A plan: the fits of a scoring job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from unseen.errors import ArgumentError, ExposureError, some
from unseen.types import IdArray, IntArray, Side, as_integers

__all__ = ["MAX_FITS", "Fit", "Plan", "at_least"]

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
        apart: int64 (u,) group of each row of `unseen`, or None. With it the fit stands for one model a group, each
            trained on `train` and on the watched rows of all other groups, and asked about those of its own: what a
            learner with a closed form does at once (see `at_once`), and no other is given.
        folds: int64 (u,) fold of each row of `unseen`, where the fit stands for several; else all are in `fold`.

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
            # A copy of our own, writable: torch warns of arrays that are not.
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
            raise ExposureError(f"fit {self.name} calls samples seen that it never saw: rows {some(stray.tolist())}")

    @property
    def name(self) -> str:
        """Its name in a run: `r0f3` is repeat 0, fold 3."""
        return f"r{self.repeat}f{self.fold}" + ("" if self.part is None else f"p{self.part}")

    @property
    def samples(self) -> int:
        """How many samples are learned from: where it stands for many models, those of all of them together."""
        return len(self.train) + (0 if self.apart is None else len(self.unseen))

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


def at_least(name: str, value: int, least: int) -> None:
    """Refuse what is no integer of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}")
