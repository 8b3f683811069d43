"""Fits that stand for one model a group (`Fit.apart`): folds by training each, leave-one-out from one solution."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unseen.errors import DataError
from unseen.exposure import Fit
from unseen.learners.ridge.reading import Rows, by_id
from unseen.learners.softmax.leaving import left_alone, left_together
from unseen.learners.softmax.model import Model, trained
from unseen.learners.softmax.tuning import batches
from unseen.learners.vectors import whole_groups
from unseen.protocols import CheckpointStore, Sink
from unseen.types import FloatArray, IntArray, Observation

__all__ = ["Apart"]

SECONDS = 30.0  # between checkpoints
LARGE = 0.01  # share of the rows; a larger group is no small change, and there are at most 100 of them
# A step of more nats than this has left the region in which a quadratic model says anything: the model is trained.
MOST_SHIFT = 50.0
MOST_REFITS = 100  # for that reason


@dataclass(eq=False)
class Apart:
    """The models of one such fit.

    Args:
        rows: the data set, read in float64.
        fit: with `apart`.
        lam: gives the penalty of a model, from the rows it is trained on.
        checkpoints: where it is kept how far the fit is.
        report: called with ("part", part=0..1).

    """

    rows: Rows
    fit: Fit
    lam: Callable[[IntArray], float]
    checkpoints: CheckpointStore
    report: Callable[..., None]
    _refits: int = 0

    def __post_init__(self) -> None:
        self._of = np.full(len(self.rows.data), -1, np.int64)
        self._of[self.fit.unseen] = np.unique(np.asarray(self.fit.apart), return_inverse=True)[1]
        self._sizes = np.bincount(self._of[self.fit.unseen])
        self._everything = np.sort(np.concatenate([self.fit.train, self.fit.unseen]))
        self._trained = self._to_be_trained()
        for group in np.flatnonzero(self._trained).tolist():
            self._check_classes(group)

    def run(self, sink: Sink) -> None:
        """Push what each model says of its group; goes on from the checkpoint if there is one."""
        held = self.checkpoints.load() or {}
        done = int(held.get("watched", 0))
        if done:
            sink.restore({name.removeprefix("sink/"): a for name, a in held.items() if name.startswith("sink/")})
        pieces = list(self._pieces())
        saved = time.monotonic()
        for number, piece in enumerate(pieces[done:], done + 1):
            for block, logits in self._judged(piece):
                sink.observe("unseen", Observation(block, epoch=1, logits=logits))
            if 100 * number // len(pieces) > 100 * (number - 1) // len(pieces):
                self.report("part", part=number / len(pieces))
            if number < len(pieces) and time.monotonic() - saved > SECONDS:
                state = {f"sink/{name}": array for name, array in sink.state().items()}
                self.checkpoints.save({**state, "watched": np.array(number)})
                saved = time.monotonic()

    def _to_be_trained(self) -> npt.NDArray[np.bool_]:
        """Which groups, (G,): folds, more than a hundredth of the rows, and those without which a class is absent."""
        if self.fit.folds is not None:
            return np.ones(len(self._sizes), bool)
        labels, watched = self.rows.data.labels, self.fit.unseen
        chosen = self._sizes > max(1, LARGE * len(self._everything))
        counts = np.bincount(labels[self._everything])
        pairs, times = np.unique(self._of[watched] * len(counts) + labels[watched], return_counts=True)
        group, label = np.divmod(pairs, len(counts))
        chosen[group[times == counts[label]]] = True
        return chosen

    def _check_classes(self, group: int) -> None:
        """Refuse a group without which there is one class, before any training."""
        classes = len(np.unique(self.rows.data.labels[self._without(group)]))
        if classes < 2:
            raise DataError(
                f"softmax cannot judge a group of {self._sizes[group]:,} samples in fit {self.fit.name}: without them, "
                "the samples are of fewer than 2 classes"
            )

    def _pieces(self) -> Iterator[IntArray]:
        """The watched rows, groups as a whole: rows alone in batches by id, small groups in batches, others by one."""
        watched = by_id(self.rows.data, self.fit.unseen)
        of = self._of[watched]
        small = ~self._trained[of]
        if small.any():
            alone = watched[small & (self._sizes[of] == 1)]
            yield from batches(alone, self._model)
            bound = watched[small & (self._sizes[of] > 1)]
            yield from whole_groups(bound, self._of[bound], self.rows.block)
        for group in _in_order(of[~small]):
            yield watched[of == group]

    def _judged(self, piece: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        group = self._of[piece[0]]
        if self._trained[group]:
            yield from self._by_training(piece)
        elif self._sizes[group] == 1:
            x, y = self._inputs(piece)
            logits, far = left_alone(x, y, self._model.theta, self._inverse)
            fine = far <= MOST_SHIFT
            if fine.any():
                yield piece[fine], self._model.over_all(logits[fine])
            for row in piece[~fine]:
                yield from self._again(np.array([row]))
        else:
            for one in _in_order(self._of[piece]):
                rows = piece[self._of[piece] == one]
                logits, shift = left_together(*self._inputs(rows), self._model.theta, self._inverse)
                if shift <= MOST_SHIFT:
                    yield rows, self._model.over_all(logits)
                else:
                    yield from self._again(rows)

    def _again(self, rows: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        """A group that one step does not judge."""
        self._refits += 1
        if self._refits > MOST_REFITS:
            raise DataError(
                f"lam={self._model.problem.lam:.3g} is too small for these features: of more than {MOST_REFITS} "
                "samples one step does not tell what the regression without them says; raise lam, or use folds(k)"
            )
        return self._by_training(rows)

    def _by_training(self, rows: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        chosen = self._without(self._of[rows[0]])
        lam = self.lam(chosen) if self.fit.folds is not None else self._model.problem.lam
        model = trained(self.rows, chosen, lam, self.fit.name)
        for block in self.rows.blocks(rows):
            yield block, model.outputs(self.rows.inputs(block))

    def _inputs(self, rows: IntArray) -> tuple[FloatArray, IntArray]:
        model = self._model
        return model.design(self.rows.inputs(rows)), model.codes(self.rows.data.labels[rows])

    def _without(self, group: int) -> IntArray:
        watched = self.fit.unseen
        return np.sort(np.concatenate([self.fit.train, watched[self._of[watched] != group]]))

    @cached_property
    def _model(self) -> Model:
        return trained(self.rows, self._everything, self.lam(self._everything), self.fit.name)

    @cached_property
    def _inverse(self) -> FloatArray:
        return self._model.problem.inverse(self._model.theta)


def _in_order(of: IntArray) -> list[int]:
    """The groups in the order in which they appear."""
    groups, first = np.unique(of, return_index=True)
    ordered: list[int] = groups[np.argsort(first)].tolist()
    return ordered
