"""The plan of the several-step selection: members and outsiders of a coreset, both judged by models that saw neither.

Two ways to put the two groups on one scale. Where training sets are **matched in size** (`scale="size"`), fold j
holds a part of the members and a part of the outsiders, and one model, trained on the other members, judges both: raw
scores of members and outsiders compare as they are, and k trainings do. Where they are compared by **rank**
(`scale="rank"`), all outsiders form a fold of their own, judged by a model of the whole coreset: it has seen
k / (k - 1) times as much as those that judge the members, so raw scores are on two scales and only ranks within each
group compare; k + 1 trainings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.errors import ArgumentError
from unseen.exposure.dealing import assign_folds
from unseen.exposure.fits import Fit, at_least
from unseen.types import IdArray, IntArray, Side, as_integers

__all__ = ["Members", "coreset"]

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
