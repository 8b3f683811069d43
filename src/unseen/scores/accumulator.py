"""The accumulator of the observations of one fit (`ScoreSink`), and the aggregate of all fits (`Joiner`).

A `ScoreSink` is the sink that an executor hands to a learner. It checks each observation (rows of the watch set, each
once an epoch, finite numbers) and adds it to the state of every score. It also keeps the mean confidence in the label,
the last prediction and, of small data, the last probabilities of all classes. A `Joiner` averages the results over the
fits of a plan, row by row, and makes the score table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from unseen.core.arrays import (
    Arrays,
    FloatArray,
    IdArray,
    IntArray,
    Named,
    as_integers,
    as_numpy,
    check_real,
    pack,
    unpack,
)
from unseen.core.exposure import SIDES, Fit, Observation, Side
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, DataError, ExposureError, some
from unseen.scores import _backend as be
from unseen.scores.label_quality import KEPT, PROBABILITIES, ROWS
from unseen.scores.streaming import Score, State, rowwise

STATE = "/state"  # behind the prefix of the pieces that hold the state of a score


class ScoreSink:
    """An accumulator of the observations of one fit; it gives the measured quantities of the watch sets.

    `labels` are int64 (n,), of the whole data set. `scored_side` is the watch set that one-sided scores judge, `"seen"`
    only for the baseline plan. `keep_probabilities` says whether the result holds the last held-out probabilities of
    all classes.
    """

    def __init__(
        self,
        fit: Fit,
        labels: IntArray,
        scores: Sequence[Score],
        classes: int,
        scored_side: Side = "unseen",
        *,
        keep_probabilities: bool = False,
    ) -> None:
        self.fit = fit
        self._labels = labels
        self.scores = tuple(scores)
        self.classes = classes
        self.scored_side = scored_side
        self.keep_probabilities = keep_probabilities
        width = classes if keep_probabilities else 0
        self._watch = {side: _Watch(fit.watch(side), labels, width if side == "unseen" else 0) for side in SIDES}
        self._readings: list[_Reading] = []
        for index, score in enumerate(self.scores):
            for side in SIDES:
                two_sided = len(score.sides) > 1
                if len(fit.watch(side)) and (two_sided or side == scored_side):
                    read_as: Side = side if two_sided else "unseen"
                    state = score.start(read_as, len(fit.watch(side)), classes)
                    self._readings.append(_Reading(index, score, side, read_as, state))

    def wants(self, side: Side, epoch: int, last: int) -> frozenset[str]:
        """Return the fields of an observation that some score reads on this side after this epoch."""
        wanted: set[str] = set()
        for reading in self._readings:
            if reading.side == side and reading.score.wants(reading.read_as, epoch, last):
                wanted |= reading.score.needs
        if wanted or (side == self.scored_side and epoch == last and len(self.fit.watch(side))):
            wanted.add("logits")
        return frozenset(wanted)

    def observe(self, side: Side, observation: Observation) -> None:
        """Take one batch, of any size: every row of the watch set once an epoch, epochs ascending."""
        watch = self._watch[side]
        at = watch.positions(observation.rows, self.fit, side)
        if not len(at):
            return
        # Check everything before any state changes, so that a refused batch can be pushed again.
        _check(observation, len(at), self.classes, self.fit)
        self._check_logits(side, observation)
        watch.advance(at, observation.epoch, observation.rows)
        labels = watch.labels[at]
        for reading in self._readings:
            if reading.side == side:
                reading.score.update(reading.state, reading.read_as, at, observation, labels)
        if observation.logits is not None:
            logits = be.as_array(observation.logits)
            watch.confidence[at] += as_numpy(rowwise(be.p_label, observation, labels))
            watch.prediction[at] = as_numpy(logits.argmax(1))
            watch.judged[at] += 1
            if watch.logits.size:
                watch.logits[at] = as_numpy(logits)

    def _check_logits(self, side: Side, observation: Observation) -> None:
        """Refuse an observation without logits if some score needs them."""
        if observation.logits is not None:
            return
        for reading in self._readings:
            score = reading.score
            from_loss = score.from_loss and observation.loss is not None
            if reading.side != side or "logits" not in score.needs or from_loss:
                continue
            if score.wants(reading.read_as, observation.epoch, observation.epoch):
                raise ArgumentError(
                    f"score {score.label!r} needs logits, but epoch {observation.epoch} of fit {self.fit.name} was "
                    "observed without them; pass logits, or ask for scores of a loss only (loss, holdout_gap, "
                    "reducible)"
                )

    def for_rows(self, rows: IntArray) -> ScoreSink:
        """Return a sink of the same fit for a part of the unseen watch set; its `pieces` are in the order of `rows`."""
        inside = replace(self.fit, unseen=rows, seen=np.empty(0, np.int64), apart=None, folds=None)
        keep = self.keep_probabilities
        return ScoreSink(inside, self._labels, self.scores, self.classes, self.scored_side, keep_probabilities=keep)

    def state(self) -> Named:
        """Return everything taken so far, as named arrays."""
        arrays: Named = {}
        for side in SIDES:
            arrays |= pack(f"watch/{side}", self._watch[side].arrays())
        for reading in self._readings:
            arrays |= pack(f"score/{reading.index}/{reading.side}", reading.state)
        return arrays

    def restore(self, state: Arrays) -> None:
        """Restore a state that `state` returned."""
        for side in SIDES:
            for name, array in self._watch[side].arrays().items():
                array[...] = state[f"watch/{side}/{name}"]
        for reading in self._readings:
            for name in reading.state:
                reading.state[name] = np.array(state[f"score/{reading.index}/{reading.side}/{name}"])

    def result(self) -> Named:
        """Return the measured quantities: `<index>/<side>/<quantity>`, `confidence`, `prediction` and probabilities."""
        return self.joined(self.pieces())

    def joined(self, pieces: Arrays) -> Named:
        """Compute the result from the pieces of all samples of the watch sets, in their order."""
        arrays = {name: array for name, array in pieces.items() if f"{STATE}/" not in name}
        for reading in self._readings:
            start = f"{reading.index}/{reading.read_as}"
            state = unpack(start + STATE, pieces)
            if state:
                arrays |= pack(start, reading.score.finish(state, reading.read_as))
        return arrays

    def pieces(self) -> Named:
        """Return what each sample gives alone: its result, or the state of scores that compare samples."""
        arrays: Named = {}
        for side in {reading.side for reading in self._readings} | {self.scored_side}:
            self._watch[side].complete(self.fit, side)
        for reading in self._readings:
            start = f"{reading.index}/{reading.read_as}"
            if reading.score.whole:
                arrays |= pack(start + STATE, reading.state)
            else:
                arrays |= pack(start, reading.score.finish(reading.state, reading.read_as))
        watch = self._watch[self.scored_side]
        if watch.judged.size and watch.judged.all():
            arrays["confidence"] = watch.confidence / watch.judged
            arrays["prediction"] = watch.prediction
            if watch.logits.size:
                arrays[PROBABILITIES], arrays[ROWS] = softmax(watch.logits, axis=1), watch.rows
        return arrays


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """A score and its state for one watch set."""

    index: int  # of the score among the scores of the sink
    score: Score
    side: Side  # the watch set
    read_as: Side  # the side that the score reads it as: a one-sided score reads `scored_side` as "unseen"
    state: State


class _Watch:
    """A watch set: positions of its rows, and the progress, confidence, prediction and last logits of each sample."""

    def __init__(self, rows: IntArray, labels: IntArray, width: int) -> None:
        m = len(rows)
        self.rows = rows
        self.labels = labels[rows]
        self._order = np.argsort(rows, kind="stable")
        self._sorted = rows[self._order]
        self.epoch = np.zeros(m, np.int32)
        self.times = np.zeros(m, np.int32)
        self.judged = np.zeros(m, np.int32)
        self.confidence = np.zeros(m, np.float64)
        self.prediction = np.full(m, -1, np.int64)
        self.logits = np.zeros((m, width), np.float32)

    def arrays(self) -> Named:
        """Return the arrays that change, by name."""
        names = ("epoch", "times", "judged", "confidence", "prediction", "logits")
        return {name: getattr(self, name) for name in names}

    def positions(self, rows: IntArray, fit: Fit, side: Side) -> IntArray:
        """Return the positions of rows in the watch set; refuse rows that are not in it."""
        rows = as_integers(rows, "the rows of an observation")
        places = np.searchsorted(self._sorted, rows)
        inside = np.zeros(len(rows), bool)
        near = places < len(self._sorted)
        inside[near] = self._sorted[places[near]] == rows[near]
        if not inside.all():
            strays = rows[~inside]
            trained = np.intersect1d(strays, fit.train)
            if side == "unseen" and trained.size:
                raise ExposureError(
                    f"fit {fit.name} was trained on the samples it now judges: rows {some(trained.tolist())}"
                )
            raise ArgumentError(f"fit {fit.name} has no rows {some(strays.tolist())} in its {side} watch set")
        return self._order[places]

    def advance(self, at: IntArray, epoch: int, rows: IntArray) -> None:
        """Note that samples were observed after an epoch; refuse a second observation in one epoch."""
        if epoch < 1:
            raise ArgumentError(f"epoch must be counted from 1, got {epoch}")
        again = np.asarray(rows)[self.epoch[at] >= epoch]
        if again.size or len(np.unique(at)) != len(at):
            values, counts = np.unique(rows, return_counts=True)
            twice = again if again.size else values[counts > 1]
            raise ArgumentError(
                f"a sample is recorded once an epoch, epochs ascending, but epoch {epoch} repeats rows "
                f"{some(twice.tolist())}; pass epoch= if this is a later one, and earlier epochs first"
            )
        self.epoch[at] = epoch
        self.times[at] += 1

    def complete(self, fit: Fit, side: Side) -> None:
        """Refuse a watch set of which some samples were observed less often than others."""
        if len(self.times) and self.times.min() < self.times.max(initial=1):
            behind = self.rows[self.times < self.times.max(initial=1)]
            raise DataError(
                f"{len(behind):,} of {len(self.rows):,} {side} samples of fit {fit.name} were recorded less often than "
                f"others ({self.times.min()} of {max(1, self.times.max())} times): rows {some(behind.tolist())}; "
                f"record all of fit.{side} in every fit and every epoch"
            )


def _check(observation: Observation, m: int, classes: int, fit: Fit) -> None:
    """Refuse values that are not finite numbers of the right shape; the message names the first rows."""
    for name in ("logits", "features", "grad_norm", "loss", "leverage", "cooks_distance"):
        value = getattr(observation, name)
        if value is None:
            continue
        shape = tuple(value.shape)
        expected = {"logits": (m, classes), "features": (m, *shape[1:])}.get(name, (m,))
        if shape != expected or (name == "features" and len(shape) != 2):
            wanted = f"({m}, ...)" if shape[:1] != (m,) and name != "logits" else str(expected)
            wanted = f"({m}, d)" if name == "features" else wanted
            fix = f"; pass {name}.ravel()" if shape == (m, 1) and expected == (m,) else ""
            raise ArgumentError(f"{name} of fit {fit.name} must have shape {wanted}, got {shape}{fix}")
        check_real(value, f"{name} of fit {fit.name}")
        if math.isfinite(float(value.sum())):  # a finite sum has finite entries; the exact test takes more passes
            continue
        finite = as_numpy(be.namespace(value).isfinite(value).reshape(m, -1).all(1))
        if not finite.all():
            bad = np.asarray(observation.rows)[~finite]
            raise DataError(
                f"{name} of fit {fit.name}, epoch {observation.epoch}, must be finite, but it is NaN or infinite for "
                f"rows {some(bad.tolist())}; where it is trained in steps, a lower learning rate usually helps; "
                "clip probabilities above 0 before their logarithm"
            )


class Joiner:
    """The aggregate of the results of fits, added in any order: it makes the score table.

    Within a repeat, each quantity is averaged over the fits that judged a sample, and the score is computed from these
    means. The table holds one row of raw scores a repeat. A score that needs all repeats at once (`per_repeat` False)
    has one row. `scores` and `scored_side` are those of the sinks.
    """

    def __init__(self, scores: Sequence[Score], n: int, repeats: int, scored_side: Side) -> None:
        self.scores = tuple(scores)
        self.n = n
        self.repeats = repeats
        self.scored_side = scored_side
        self._results: dict[tuple[int, int, int], tuple[Fit, Arrays]] = {}

    def add(self, fit: Fit, result: Arrays) -> None:
        """Add the result of one fit, without the probabilities that it may keep."""
        quantities = {name: array for name, array in result.items() if not name.rpartition("/")[2].startswith(KEPT)}
        self._results[fit.repeat, fit.fold, fit.part or 0] = (fit, quantities)

    def table(
        self, ids: IdArray, labels: IntArray, class_names: tuple[str, ...], provenance: dict[str, Any]
    ) -> ScoreTable:
        """Make the score table of all results so far; it does not depend on the order in which fits were added."""
        folds, predictions = np.full((self.repeats, self.n), -1, np.int32), np.full(self.n, -1, np.int64)
        confidence, means = _Mean(self.n), dict[tuple[int, int], dict[Side, dict[str, _Mean]]]()
        for _, (fit, result) in sorted(self._results.items(), key=lambda item: item[0]):
            rows = fit.watch(self.scored_side)
            folds[fit.repeat, rows] = fit.fold if fit.folds is None else fit.folds
            for name, array in result.items():
                if name in ("confidence", "prediction"):
                    continue
                place, side, quantity = name.split("/")
                score = self.scores[int(place)]
                key = int(place), fit.repeat if score.per_repeat else 0
                # Under the plan seen(), the samples that a one-sided score judges are the seen watch set.
                watched = rows if len(score.sides) == 1 else fit.watch(cast(Side, side))
                of_side = means.setdefault(key, {"unseen": {}, "seen": {}})[cast(Side, side)]
                of_side.setdefault(quantity, _Mean(self.n, array.shape[1:])).add(watched, array)
            if "confidence" in result:
                confidence.add(rows, result["confidence"])
                fresh = predictions[rows] < 0
                predictions[rows[fresh]] = result["prediction"][fresh]
        values = {}
        for index, score in enumerate(self.scores):
            joined = []
            for repeat in range(self.repeats if score.per_repeat else 1):
                sides = means[index, repeat].items()
                joined.append(score.join({side: {name: m.mean() for name, m in own.items()} for side, own in sides}))
            values[score.label] = np.stack(joined)
        judged = confidence.times > 0
        return ScoreTable(
            ids=ids,
            labels=labels,
            class_names=class_names,
            folds=folds,
            values=values,
            directions={score.label: score.direction for score in self.scores},
            mean_confidence=confidence.mean() if judged.any() else None,
            predictions=predictions if judged.any() else None,
            provenance=provenance,
        )


class _Mean:
    """A running mean for each sample, over the fits that judged it."""

    def __init__(self, n: int, shape: tuple[int, ...] = ()) -> None:
        self.total = np.zeros((n, *shape))
        self.times = np.zeros(n, np.int64)

    def add(self, rows: IntArray, values: npt.NDArray[Any]) -> None:
        self.total[rows] += values
        self.times[rows] += 1

    def mean(self) -> FloatArray:
        """Return the mean of each sample, NaN where no fit judged it."""
        times = np.where(self.times > 0, self.times, np.nan)
        mean: FloatArray = self.total / times.reshape(-1, *(1,) * (self.total.ndim - 1))
        return mean
