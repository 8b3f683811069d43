"""What a plan will do, counted before it does: fits by their size, samples trained on, samples looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unseen.exposure import Fit, Folds, LeaveOneOut, Plan, Seen
from unseen.scores.base import Score
from unseen.scores.sink import ScoreSink
from unseen.scoring import Samples
from unseen.types import Side

__all__ = ["SIDES", "Schedule", "Size", "looks", "schedule", "sizes"]

SIDES: tuple[Side, ...] = ("unseen", "seen")
# For each epoch, what is observed of each of SIDES; empty: it is not looked at.
Schedule = list[tuple[frozenset[str], frozenset[str]]]


@dataclass(frozen=True, order=True)
class Size:
    """The size of a fit.

    Args:
        train: samples trained on; of a fit that stands for many models, those that all of them are trained on.
        unseen: samples watched that it is not trained on.
        seen: samples watched that it is trained on.
        apart: what the models of a fit that stands for many each leave out, if it does.
        models: how many it stands for.

    """

    train: int
    unseen: int = 0
    seen: int = 0
    apart: Literal["", "folds", "samples"] = ""
    models: int = 1

    @property
    def samples(self) -> int:
        """How many samples are learned from; that of `unseen.Fit.samples`."""
        return self.train + (self.unseen if self.apart else 0)

    @property
    def rows(self) -> int:
        """How many different samples it concerns."""
        return self.train + self.unseen

    def watched(self, side: Side) -> int:
        """How many are watched on this side."""
        return self.unseen if side == "unseen" else self.seen

    def looked_at(self, wanted: Schedule) -> Size:
        """The same, without samples that are watched but never looked at, since no score asks."""
        return self if any(some for _, some in wanted) else replace(self, seen=0)

    def scaled(self, rows: int) -> Size:
        """The largest of about these proportions with at most so many samples, and at least two to train on.

        >>> Size(80, 20).scaled(10)
        Size(train=8, unseen=2, seen=0, apart='', models=1)
        """
        if rows >= self.rows:
            return self
        share = rows / self.rows
        if self.apart:
            models = max(2, round(self.models * share)) if self.apart == "samples" else self.models
            unseen = max(2, round(self.unseen * share))
            return Size(round(self.train * share), unseen, 0, self.apart, min(models, unseen))
        unseen = max(1, round(self.unseen * share)) if self.unseen else 0
        train = max(2, rows - unseen)
        seen = min(train, max(1, round(self.seen * train / self.train))) if self.seen else 0
        return Size(train, unseen, seen)


def sizes(plan: Plan, samples: Samples, seed: int) -> Counter[Size]:
    """How many fits of each size a plan has.

    Of the plans of this package the sizes follow from n: a fold may hold a few samples more or less than told here,
    all folds together do not. Of other plans every fit is looked at.
    """
    n, found = len(samples.ids), Counter[Size]()
    if isinstance(plan, Seen):
        return Counter({Size(n, 0, n): plan.repeats})
    if isinstance(plan, LeaveOneOut):
        models = n if samples.groups is None else len(np.unique(samples.groups))
        if plan.together:
            return Counter({Size(0, n, 0, "samples", models): 1})
        if models == n:
            return Counter({Size(n - 1, 1): n})
    if isinstance(plan, Folds):
        if plan.together:
            return Counter({Size(0, n, 0, "folds", plan.k): plan.repeats})
        small, larger = divmod(n, plan.k)
        for size, times in ((small + 1, larger), (small, plan.k - larger)):
            if times:
                train = n - size
                found[Size(train, size, train if plan.watch_seen else 0)] += times * plan.repeats
        return found
    for fit in plan.fits(samples.ids, samples.labels, groups=samples.groups, seed=seed):
        found[_size_of(fit)] += 1
    return found


def schedule(samples: Samples, scores: Sequence[Score], epochs: int, scored: Side, size: Size) -> Schedule:
    """What is observed after each epoch of a fit that watches the sides which `size` does."""
    # What is wanted does not depend on how many are watched, only on whether any are.
    one, other = np.arange(1), np.arange(1, 2)
    fit = Fit(train=one, unseen=other[: size.unseen], seen=one[: size.seen])
    sink = ScoreSink(fit, samples.labels[:2], scores, len(samples.class_names), scored)
    last = range(1, epochs + 1)
    return [(sink.wants("unseen", epoch, epochs), sink.wants("seen", epoch, epochs)) for epoch in last]


def looks(sizes: Mapping[Size, int], wanted: Schedule) -> int:
    """Samples looked at in all fits, each as often as it is observed."""
    return sum(
        times * sum(size.watched(side) for words in wanted for side, some in zip(SIDES, words, strict=True) if some)
        for size, times in sizes.items()
    )


def _size_of(fit: Fit) -> Size:
    if fit.apart is None:
        return Size(len(fit.train), len(fit.unseen), len(fit.seen))
    apart: Literal["folds", "samples"] = "samples" if fit.folds is None else "folds"
    return Size(len(fit.train), len(fit.unseen), 0, apart, len(np.unique(fit.apart)))
