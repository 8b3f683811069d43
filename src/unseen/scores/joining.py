"""From the fits to the table: the quantities measured in each fit, joined by sample id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from unseen.exposure import Fit
from unseen.scores.base import Score
from unseen.scores.keeping import KEPT
from unseen.types import Arrays, FloatArray, IdArray, IntArray, ScoreTable, Side

__all__ = ["Joiner"]


class Joiner:
    """Adds up the results of fits, in any order, and gives the score table.

    Scores of one repeat are joined from the means over its fits; the table holds one row a repeat, raw. A score that
    needs all repeats at once (`per_repeat` False) gives one row.

    Args:
        scores: those the sinks measured, in the same order.
        n: the number of samples.
        repeats: how many repeats the plan has.
        scored_side: the watch set that one-sided scores judge.
    """

    def __init__(self, scores: Sequence[Score], n: int, repeats: int, scored_side: Side) -> None:
        self.scores = tuple(scores)
        self.n = n
        self.repeats = repeats
        self.scored_side = scored_side
        self._results: dict[tuple[int, int, int], tuple[Fit, Arrays]] = {}

    def add(self, fit: Fit, result: Arrays) -> None:
        """Take the result of one fit. What it keeps beside the scores goes into no table."""
        joined = {name: array for name, array in result.items() if not name.rpartition("/")[2].startswith(KEPT)}
        self._results[fit.repeat, fit.fold, fit.part or 0] = (fit, joined)

    def table(
        self, ids: IdArray, labels: IntArray, class_names: tuple[str, ...], provenance: dict[str, Any]
    ) -> ScoreTable:
        """The table of everything added. Sums go in the order of the plan, whatever order the fits came in."""
        sums = _Sums(self.n, self.repeats)
        for key in sorted(self._results):
            self._fold_in(sums, *self._results[key])
        values = {score.label: self._joined(sums, index, score) for index, score in enumerate(self.scores)}
        judged = sums.confidence.times > 0
        return ScoreTable(
            ids=ids,
            labels=labels,
            class_names=class_names,
            folds=sums.folds,
            values=values,
            directions={score.label: score.direction for score in self.scores},
            mean_confidence=sums.confidence.mean() if judged.any() else None,
            predictions=sums.predictions if judged.any() else None,
            provenance=provenance,
        )

    def _fold_in(self, sums: _Sums, fit: Fit, result: Arrays) -> None:
        rows = fit.watch(self.scored_side)
        sums.folds[fit.repeat, rows] = fit.fold if fit.folds is None else fit.folds
        for name, array in result.items():
            if name in ("confidence", "prediction"):
                continue
            index, side, quantity = name.split("/")
            repeat = fit.repeat if self.scores[int(index)].per_repeat else 0
            # Under the plan seen(), what a one-sided score judges was watched as seen.
            one_sided = len(self.scores[int(index)].sides) == 1
            watched = rows if one_sided else fit.watch(cast(Side, side))
            sides = sums.means.setdefault((int(index), repeat), {"unseen": {}, "seen": {}})
            mean = sides[cast(Side, side)].setdefault(quantity, _Mean(self.n, array.shape[1:]))
            mean.add(watched, array)
        if "confidence" in result:
            sums.confidence.add(rows, result["confidence"])
            fresh = sums.predictions[rows] < 0
            sums.predictions[rows[fresh]] = result["prediction"][fresh]

    def _joined(self, sums: _Sums, index: int, score: Score) -> FloatArray:
        repeats = range(self.repeats) if score.per_repeat else range(1)
        joined = []
        for repeat in repeats:
            sides = sums.means[index, repeat]
            means: dict[Side, dict[str, npt.NDArray[Any]]] = {
                side: {name: mean.mean() for name, mean in quantities.items()} for side, quantities in sides.items()
            }
            joined.append(score.join(means))
        return np.stack(joined)


@dataclass
class _Mean:
    """A running mean for each sample, over the fits that watched it."""

    n: int
    shape: tuple[int, ...] = ()
    total: FloatArray = field(init=False)
    times: IntArray = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros((self.n, *self.shape))
        self.times = np.zeros(self.n, np.int64)

    def add(self, rows: IntArray, values: npt.NDArray[Any]) -> None:
        self.total[rows] += values
        self.times[rows] += 1

    def mean(self) -> FloatArray:
        times = np.where(self.times > 0, self.times, np.nan)
        mean: FloatArray = self.total / times.reshape(-1, *(1,) * len(self.shape))
        return mean


class _Sums:
    """What a table is made of, summed anew for each table, so that asking twice gives the same."""

    def __init__(self, n: int, repeats: int) -> None:
        self.folds = np.full((repeats, n), -1, np.int32)
        self.means: dict[tuple[int, int], dict[Side, dict[str, _Mean]]] = {}
        self.confidence = _Mean(n)
        self.predictions = np.full(n, -1, np.int64)
