"""Exposure in pairs of your own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from unseen.errors import ArgumentError, ExposureError, some
from unseen.exposure.fits import Fit
from unseen.types import IdArray, IntArray, Side, as_integers

__all__ = ["Exposure"]


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
            object.__setattr__(self, name, tuple(as_integers(v, name) for v in value))
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
