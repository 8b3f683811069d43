"""What a softmax regression would say of a group without it: one Newton step from the solution over all rows.

For one row (Rad and Maleki 2020, doi:10.1111/rssb.12374), with M the inverse Hessian at the solution:

    z_i + G_i (I - D_i G_i)^-1 (p_i - y_i),   G_i = (I x x_i)' M (I x x_i),   D_i = diag(p_i) - p_i p_i'

A group of m rows is the same with blocks: G of (m C, m C), D block-diagonal. Copies of a row are one row of their
number: D_i times it, the residuals summed. A group of more than D distinct rows takes the step in theta itself,
(I - M H_g)^-1 M g, which is of (C D, C D).

Cost: n (C D)^2 for rows alone, after (C D)^3 for M.

The penalty of a softmax regression chosen by approximate leave-one-out.

Fits that stand for one model a group (`Fit.apart`): folds by training each, leave-one-out from one solution.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray
from unseen.core.exposure import Fit
from unseen.core.observation import Observation
from unseen.core.protocols import CheckpointStore, Sink
from unseen.errors import DataError
from unseen.learners.base import whole_groups
from unseen.learners.ridge.reading import Rows, by_id
from unseen.learners.softmax.solving import Model, hessian_of, probabilities, trained

__all__ = ["GRID", "SAMPLE", "Apart", "batches", "left_alone", "left_together", "tuned"]


def left_alone(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logits of rows, each without itself.

    Args:
        x: float64 (m, D).
        y: int64 (m,) labels in 0..C-1.
        theta: float64 (C, D), the solution over all rows.
        inverse: float64 (C D, C D), of the Hessian there.

    Returns:
        Logits float64 (m, C), and by how much at most they were moved, float64 (m,); infinite where there is no step.

    """
    logits = x @ theta.T
    p = probabilities(logits)
    g = np.stack([_spread(x, part, len(theta)) @ x[:, :, None] for part in _rows_of(inverse, theta)], axis=1)[..., 0]
    return _moved(logits, g, _weights(p), p - np.eye(len(theta))[y])


def left_together(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, float]:
    """Logits float64 (m, C) of the rows of one group, without all of them; arguments and results as `left_alone`."""
    distinct, copy = np.unique(x, axis=0, return_inverse=True)
    copy = copy.reshape(-1)
    u, classes = len(distinct), len(theta)
    logits = distinct @ theta.T
    p = probabilities(logits)
    count = np.bincount(copy)
    residuals = count[:, None] * p
    np.subtract.at(residuals, (copy, y), 1.0)
    if u > x.shape[1]:
        taken = hessian_of(np.sqrt(count)[:, None] * distinct, p)
        gradient = inverse @ (residuals.T @ distinct).ravel()
        step = np.linalg.solve(np.eye(len(inverse)) - inverse @ taken, gradient).reshape(theta.shape)
        shift = distinct @ step.T
        return (logits + shift)[copy], float(np.abs(shift).max())
    # (u, C, C, u) to (u, C, u, C): between class c of one row and class k of another.
    g = np.stack([_spread(distinct, part, classes) @ distinct.T for part in _rows_of(inverse, theta)], axis=1)
    g = g.transpose(0, 1, 3, 2)
    weights = count[:, None, None] * _weights(p)
    product = np.einsum("icd,idjk->icjk", weights, g).reshape(u * classes, -1)
    moved, far = _solved(logits.reshape(1, -1), g.reshape(1, u * classes, -1), product[None], residuals.reshape(1, -1))
    return moved.reshape(u, classes)[copy], float(far[0])


def _rows_of(inverse: FloatArray, theta: FloatArray) -> list[FloatArray]:
    """The rows of each class, (D, C D)."""
    return np.split(inverse, len(theta))


def _spread(x: FloatArray, part: FloatArray, classes: int) -> FloatArray:
    """Rows times the blocks of one class with every class: (m, C, D)."""
    return (x @ part).reshape(len(x), classes, -1)


def _weights(p: FloatArray) -> FloatArray:
    """D of each row, (m, C, C)."""
    found: FloatArray = -p[:, :, None] * p[:, None, :]
    found[:, np.arange(p.shape[1]), np.arange(p.shape[1])] += p
    return found


def _moved(
    logits: FloatArray, g: FloatArray, weights: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    return _solved(logits, g, weights @ g, residuals)


def _solved(
    logits: FloatArray, g: FloatArray, product: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The logits + G (I - DG)^-1 residuals, for each of a batch, and the largest shift."""
    system = np.eye(g.shape[-1]) - product
    try:
        shift = (g @ np.linalg.solve(system, residuals[..., None]))[..., 0]
    except np.linalg.LinAlgError:  # one of the batch has no step: each by itself
        if len(logits) == 1:
            return logits, np.array([np.inf])
        each = [_solved(*(a[i : i + 1] for a in (logits, g, product, residuals))) for i in range(len(logits))]
        return np.concatenate([moved for moved, _ in each]), np.concatenate([far for _, far in each])
    return logits + shift, np.abs(shift).max(axis=1)


SAMPLE = 5_000  # rows that it is chosen on, at most
GRID = np.logspace(1, -5, 7)  # in units of the mean eigenvalue of Z'Z over the sample, Z its centred features
BATCH_BYTES = 2**26


def tuned(rows: Rows, among: IntArray, of: IntArray, seed: int, name: str) -> float:
    """The lambda of least log loss by approximate leave-one-out, on a sample of these rows drawn by (seed, id).

    Args:
        rows: the data set, read in float64.
        among: int64 rows to draw from.
        of: int64 (n,) group of each row; groups leave together.
        seed: of the draw.
        name: of the fit, for messages.

    """
    data = rows.data
    ranked = seeds.order(seed, data.ids, "softmax")
    sample = by_id(data, ranked[np.isin(ranked, among, assume_unique=True)][:SAMPLE])
    x = rows.inputs(sample)
    scale = float(np.square(x - x.mean(axis=0)).sum() / x.shape[1]) or 1.0
    best, least, theta = GRID[0] * scale, np.inf, None
    for lam in GRID * scale:
        try:
            model = trained(rows, sample, lam, name, theta)
        except DataError:
            if theta is None:
                raise  # one class, or nothing to be solved at all
            break  # smaller ones are worse conditioned still
        theta = model.theta
        loss = _log_loss(model, x, model.codes(data.labels[sample]), of[sample])
        if loss < least:
            best, least = lam, loss
    return float(best)


def _log_loss(model: Model, x: FloatArray, y: IntArray, of: IntArray) -> float:
    """Mean over the rows; infinite where a step is no longer one."""
    x, inverse = model.design(x), model.problem.inverse(model.theta)
    _, group, size = np.unique(of, return_inverse=True, return_counts=True)
    logits, far = np.empty((len(x), len(model.theta))), np.zeros(len(x))
    alone = np.flatnonzero(size[group] == 1)
    for batch in batches(alone, model):
        logits[batch], far[batch] = left_alone(x[batch], y[batch], model.theta, inverse)
    for each in np.flatnonzero(size > 1):
        inside = np.flatnonzero(group == each)
        logits[inside], far[inside] = left_together(x[inside], y[inside], model.theta, inverse)
    if not np.isfinite(far).all():
        return np.inf
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]).mean())


def batches(rows: IntArray, model: Model) -> Iterator[IntArray]:
    """These rows in batches whose products with the inverse Hessian take no more than a stated memory."""
    batch = max(1, BATCH_BYTES // (8 * max(model.theta.size, len(model.theta) ** 2)))
    return (rows[start : start + batch] for start in range(0, len(rows), batch))


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
