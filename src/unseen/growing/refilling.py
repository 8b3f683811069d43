"""One step from a coreset to the next: evaluate the members, release whom the others explain, refill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.errors import ArgumentError
from unseen.exposure.coresets import Scale
from unseen.growing.copies import Copies
from unseen.growing.history import Event
from unseen.rules.budgets import share
from unseen.rules.quotas import allocate, class_weights
from unseen.scores.alignment import align
from unseen.selecting import Choice
from unseen.types import Direction, FloatArray, IntArray, ScoreTable

__all__ = ["Moves", "Refill", "chosen", "common_ranks"]

Moves = Mapping[Event, IntArray]


@dataclass(frozen=True, eq=False)
class Refill:
    """What is the same in every step.

    Args:
        choice: the rule, and the options that all rules share.
        score: the score that the rule reads.
        direction: what a high value of it means.
        scale: how members and outsiders compare.
        release: the share of members that may be released a step, within one fold.
        copies: who is a copy of whom.
        eligible: bool (n,), False for the probe split.
        seed: the root seed.

    """

    choice: Choice
    score: str
    direction: Direction
    scale: Scale
    release: float
    copies: Copies
    eligible: npt.NDArray[np.bool_]
    seed: int

    @property
    def room(self) -> int:
        """How many different samples there are to choose from."""
        return int(self.eligible[self.copies.heads].sum())

    def ranks(self, table: ScoreTable, members: IntArray) -> FloatArray:
        """The place of each sample on the common scale; see `common_ranks`."""
        inside = np.zeros(len(table), bool)
        inside[members] = True
        values = table.values[self.choice.column(self.score)]
        return common_ranks(values, table.folds, self.direction, inside, self.eligible, self.scale)

    def moves(self, table: ScoreTable, members: IntArray, ranks: FloatArray, size: int, step: int) -> Moves:
        """Who leaves and who enters, so that `size` are in.

        Args:
            table: scores of everyone by models of this coreset.
            members: int64 rows of the coreset.
            ranks: float64 (n,) see `ranks`.
            size: of the coreset to come.
            step: its number, for the seed.

        """
        different, copies = self.copies.split(members)
        wanted = min(size, self.room)
        outsiders = self.copies.outside(members, self.eligible)
        seed = seeds.derive(self.seed, "grow", "refill", step)
        stay = different
        if wanted < len(different):
            stay = np.sort(self._chosen(table, different, wanted, seeds.derive(seed, "stay"), least=1))
        entering = wanted - len(stay)
        released = self._released(table, stay, outsiders, ranks, entering)
        stay = np.setdiff1d(stay, released, assume_unique=True)
        entered = self._chosen(table, outsiders, entering + len(released), seed, least=0)
        # Copies are in only while there is nothing else to fill the budget with.
        kept, collapsed = copies[: size - wanted], copies[size - wanted :]
        inside = np.concatenate([stay, entered, kept])
        filled = self.copies.fill(inside, self.eligible, size - len(inside))
        return {
            "collapsed": collapsed,
            "dropped": np.setdiff1d(different, np.concatenate([stay, released]), assume_unique=True),
            "released": released,
            "entered": np.concatenate([entered, filled]),
        }

    def _released(
        self, table: ScoreTable, stay: IntArray, outsiders: IntArray, ranks: FloatArray, entering: int
    ) -> IntArray:
        """Members predicted rightly and worth least, each for an outsider that is worth more than it.

        All are of one fold: the model that predicts them was trained on members of the others, who stay. Of two
        members that explain each other and nobody else does, one stays.
        """
        assert table.predictions is not None
        right = stay[table.predictions[stay] == table.labels[stay]]
        coming = self._by_worth(outsiders, ranks)[entering:]
        room = self._capacity(table.labels[outsiders]) - entering
        most = max(0, min(share(self.release, len(stay)), len(coming), room))
        best: IntArray = right[:0]
        for fold in np.unique(table.folds[0, right]):
            leaving = self._by_worth(right[table.folds[0, right] == fold], ranks)[::-1][:most]
            better = ranks[coming[: len(leaving)]] > ranks[leaving]
            leaving = leaving if better.all() else leaving[: int(better.argmin())]
            if len(leaving) > len(best):
                best = leaving
        return best

    def _by_worth(self, rows: IntArray, ranks: FloatArray) -> IntArray:
        """The worthiest first; ties by id."""
        return rows[np.lexsort((self.copies.place[rows], -ranks[rows]))]

    def _capacity(self, labels: IntArray) -> int:
        rule = self.choice.rule
        if self.choice.shared.get("quota") is None:
            return rule.capacity(len(labels))
        return sum(rule.capacity(size) for size in np.bincount(labels).tolist())

    def _chosen(self, table: ScoreTable, rows: IntArray, count: int, seed: int, *, least: int) -> IntArray:
        """`count` of these rows by the rule, in the order of its picks."""
        if not count:
            return rows[:0]
        quota = self.choice.shared.get("quota")
        counts = None if quota is None else self._counts(table, rows, count, least)
        return chosen(self.choice, table, self.score, rows, count, seed, quota=counts)

    def _counts(self, table: ScoreTable, rows: IntArray, count: int, least: int) -> dict[int, int]:
        """The part of each class: weights from all samples, since outsiders alone are those not yet explained."""
        quota, classes = self.choice.shared["quota"], len(table.class_names)
        everyone = np.flatnonzero(self.eligible)
        labels = table.labels[everyone]
        sizes = np.bincount(labels, minlength=classes).tolist()
        assert table.predictions is not None
        guess = table.predictions[everyone]
        wrong = np.where(guess < 0, -1, guess != labels).astype(np.int64)
        weights = class_weights(quota, labels, sizes, wrong)
        present = np.unique(table.labels[rows]).tolist()
        room = [self.choice.rule.capacity(int((table.labels[rows] == c).sum())) for c in present]
        counts = allocate(count, room, [weights[c] for c in present], least=least if count >= len(present) else 0)
        return dict(zip(present, counts, strict=True))


def chosen(
    choice: Choice,
    table: ScoreTable,
    score: str | None,
    rows: IntArray,
    count: int,
    seed: int,
    *,
    quota: Any = None,
) -> IntArray:
    """`count` of these rows by a rule, in the order of its picks (by id where it has none)."""
    shared = {**choice.shared, **({} if quota is None else {"quota": quota})}
    if shared.get("features") is not None:
        shared["features"] = np.asarray(shared["features"])[rows]
    among = table.take(rows)
    coreset = replace(choice, shared=shared).coreset(among, score=score, keep=int(count), seed=seed)
    if coreset.order is not None:
        return rows[coreset.order]
    return rows[coreset.indices[np.argsort(coreset.ids, kind="stable")]]


def common_ranks(
    values: FloatArray,
    folds: npt.NDArray[np.int32],
    direction: Direction,
    inside: npt.NDArray[np.bool_],
    eligible: npt.NDArray[np.bool_],
    scale: Scale,
) -> FloatArray:
    """The place of each sample among all, in (0, 1), higher = harder or worth more; NaN where not eligible.

    Under `"size"` one model judged the members and the outsiders of a fold, so they are ranked together within it;
    under `"rank"` models of other sizes judged them, so each group is ranked by itself. Mean over repeats.

    Args:
        values: float64 (R, n) scores.
        folds: int32 (R, n).
        direction: what a high score means.
        inside: bool (n,) the members.
        eligible: bool (n,) who is ranked.
        scale: `"size"` or `"rank"`.

    >>> everyone = np.ones(4, bool)
    >>> inside = np.array([True, True, False, False])
    >>> scores, folds = np.array([[1.0, 3.0, 2.0, 4.0]]), np.zeros((1, 4), np.int32)
    >>> common_ranks(scores, folds, "harder", inside, everyone, "size").tolist()
    [0.125, 0.625, 0.375, 0.875]
    >>> common_ranks(scores, folds, "harder", inside, everyone, "rank").tolist()
    [0.25, 0.75, 0.25, 0.75]

    """
    if direction not in ("harder", "easier", "worth"):
        raise ArgumentError(f"direction must be 'harder', 'easier' or 'worth', got {direction!r}")
    oriented = -values if direction == "easier" else values
    groups = [eligible] if scale == "size" else [eligible & inside, eligible & ~inside]
    ranks = np.full(values.shape[1], np.nan)
    for group in groups:
        if group.any():
            ranks[group] = align(oriented[:, group], folds[:, group], how="rank").mean(axis=0)
    return ranks
