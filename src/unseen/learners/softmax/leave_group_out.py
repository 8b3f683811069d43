"""Leaving a group out of a softmax regression by one Newton step from the solution over all rows.

For one row (Rad and Maleki 2020, doi:10.1111/rssb.12374), with M the inverse Hessian at the solution:

    z_i + G_i (I - D_i G_i)^-1 (p_i - y_i),   G_i = (I x x_i)' M (I x x_i),   D_i = diag(p_i) - p_i p_i'

For a group of m rows, these become blocks: G is (m C, m C), and D is block-diagonal. Copies of a row count as one row,
with D_i times their number and the sum of their residuals. A group of more than D distinct rows takes the step in theta
itself, (I - M H_g)^-1 M g, by a matrix of (C D, C D).

Cost: n (C D)^2 for single rows, after (C D)^3 for M.

`choose_lam` chooses the penalty by approximate leave-one-out. `GroupModels` carries out a fit of one model for each
group (`Fit.apart`): it trains a model for each fold, and steps from one solution for leave-one-out.
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
from unseen.learners.base import split_whole_groups
from unseen.learners.ridge.reading import RowReader, by_id
from unseen.learners.softmax.solving import Model, hessian_of, probabilities, train


def leave_out_each(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logits of each row by the regression without this row.

    Args:
        x: float64 (m, D).
        y: int64 (m,) labels in 0..C-1.
        theta: float64 (C, D), the solution over all rows.
        inverse: float64 (C D, C D), the inverse of the Hessian at theta.

    Returns:
        Logits float64 (m, C), and the largest change of a logit of each row, float64 (m,), infinite without a step.
    """
    logits = x @ theta.T
    p = probabilities(logits)
    g = np.stack([_spread(x, part, len(theta)) @ x[:, :, None] for part in _rows_of(inverse, theta)], axis=1)[..., 0]
    return _shift_logits(logits, g, _curvature(p), p - np.eye(len(theta))[y])


def leave_out_group(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, float]:
    """Return the logits of the rows of one group by the regression without the group; see `leave_out_each`."""
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
    # From (u, C, C, u) to (u, C, u, C): between class c of one row and class k of another.
    g = np.stack([_spread(distinct, part, classes) @ distinct.T for part in _rows_of(inverse, theta)], axis=1)
    g = g.transpose(0, 1, 3, 2)
    weights = count[:, None, None] * _curvature(p)
    product = np.einsum("icd,idjk->icjk", weights, g).reshape(u * classes, -1)
    shifted, far = _solve_step(
        logits.reshape(1, -1), g.reshape(1, u * classes, -1), product[None], residuals.reshape(1, -1)
    )
    return shifted.reshape(u, classes)[copy], float(far[0])


def _rows_of(inverse: FloatArray, theta: FloatArray) -> list[FloatArray]:
    """Split the inverse into the rows of each class, (D, C D)."""
    return np.split(inverse, len(theta))


def _spread(x: FloatArray, part: FloatArray, classes: int) -> FloatArray:
    """Multiply rows by the blocks of one class with every class: (m, C, D)."""
    return (x @ part).reshape(len(x), classes, -1)


def _curvature(p: FloatArray) -> FloatArray:
    """Return D of each row, (m, C, C)."""
    found: FloatArray = -p[:, :, None] * p[:, None, :]
    found[:, np.arange(p.shape[1]), np.arange(p.shape[1])] += p
    return found


def _shift_logits(
    logits: FloatArray, g: FloatArray, weights: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    return _solve_step(logits, g, weights @ g, residuals)


def _solve_step(
    logits: FloatArray, g: FloatArray, product: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return logits + G (I - DG)^-1 residuals for each of a batch, and the largest shift of each."""
    system = np.eye(g.shape[-1]) - product
    try:
        shift = (g @ np.linalg.solve(system, residuals[..., None]))[..., 0]
    except np.linalg.LinAlgError:  # one of the batch has no step, so solve each by itself
        if len(logits) == 1:
            return logits, np.array([np.inf])
        each = [_solve_step(*(a[i : i + 1] for a in (logits, g, product, residuals))) for i in range(len(logits))]
        return np.concatenate([shifted for shifted, _ in each]), np.concatenate([far for _, far in each])
    return logits + shift, np.abs(shift).max(axis=1)


# ---- the penalty ---------------------------------------------------------------------------------------------------

SAMPLE = 5_000  # the most rows by which lambda is chosen
GRID = np.logspace(1, -5, 7)  # of lambda, in units of the mean eigenvalue of Z'Z, with Z the centred sample
BATCH_BYTES = 2**26


def choose_lam(rows: RowReader, among: IntArray, of: IntArray, seed: int, name: str) -> float:
    """Choose lambda by approximate leave-one-out log loss, on a sample of these rows drawn by (seed, id).

    Args:
        rows: the data set, read in float64.
        among: int64 rows to draw from.
        of: int64 (n,) the group of each row; groups are left out as a whole.
        seed: the seed of the draw.
        name: the name of the fit, for messages.
    """
    data = rows.data
    ranked = seeds.order(seed, data.ids, "softmax")
    sample = by_id(data, ranked[np.isin(ranked, among, assume_unique=True)][:SAMPLE])
    x = rows.inputs(sample)
    scale = float(np.square(x - x.mean(axis=0)).sum() / x.shape[1]) or 1.0
    best, least, theta = GRID[0] * scale, np.inf, None
    for lam in GRID * scale:
        try:
            model = train(rows, sample, lam, name, theta)
        except DataError:
            if theta is None:
                raise  # the rows are of one class, or no lambda can be solved
            break  # smaller lambdas have an even worse condition
        theta = model.theta
        loss = _log_loss(model, x, model.codes(data.labels[sample]), of[sample])
        if loss < least:
            best, least = lam, loss
    return float(best)


def _log_loss(model: Model, x: FloatArray, y: IntArray, of: IntArray) -> float:
    """Return the mean log loss over the rows; infinite where a row has no step."""
    x, inverse = model.design(x), model.problem.inverse(model.theta)
    _, group, size = np.unique(of, return_inverse=True, return_counts=True)
    logits, far = np.empty((len(x), len(model.theta))), np.zeros(len(x))
    alone = np.flatnonzero(size[group] == 1)
    for batch in batches(alone, model):
        logits[batch], far[batch] = leave_out_each(x[batch], y[batch], model.theta, inverse)
    for each in np.flatnonzero(size > 1):
        inside = np.flatnonzero(group == each)
        logits[inside], far[inside] = leave_out_group(x[inside], y[inside], model.theta, inverse)
    if not np.isfinite(far).all():
        return np.inf
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]).mean())


def batches(rows: IntArray, model: Model) -> Iterator[IntArray]:
    """Yield these rows in batches whose products with the inverse Hessian take at most `BATCH_BYTES`."""
    batch = max(1, BATCH_BYTES // (8 * max(model.theta.size, len(model.theta) ** 2)))
    return (rows[start : start + batch] for start in range(0, len(rows), batch))


# ---- fits of one model for each group ------------------------------------------------------------------------------

SECONDS = 30.0  # between checkpoints
LARGE = 0.01  # share of the rows above which a group is trained without; there are at most 100 such groups
# Nats; a longer step has left the region where the quadratic model is valid, so the model is trained instead.
MOST_SHIFT = 50.0
MOST_REFITS = 100  # models that are trained for this reason


@dataclass(eq=False)
class GroupModels:
    """The models of a fit that has one model for each group."""

    rows: RowReader  # the data set, read in float64
    fit: Fit  # a fit with `apart`
    lam: Callable[[IntArray], float]  # returns the penalty of a model for its training rows
    checkpoints: CheckpointStore  # the store of the progress of the fit
    report: Callable[..., None]  # called with ("part", part=0..1)
    _refits: int = 0

    def __post_init__(self) -> None:
        self._of = np.full(len(self.rows.data), -1, np.int64)
        self._of[self.fit.unseen] = np.unique(np.asarray(self.fit.apart), return_inverse=True)[1]
        self._sizes = np.bincount(self._of[self.fit.unseen])
        self._everything = np.sort(np.concatenate([self.fit.train, self.fit.unseen]))
        self._trained = self._choose_trained()
        for group in np.flatnonzero(self._trained).tolist():
            self._check_classes(group)

    def run(self, sink: Sink) -> None:
        """Push the predictions of each model for its group; continue from the checkpoint if there is one."""
        held = self.checkpoints.load() or {}
        done = int(held.get("watched", 0))
        if done:
            sink.restore({name.removeprefix("sink/"): a for name, a in held.items() if name.startswith("sink/")})
        pieces = list(self._pieces())
        saved = time.monotonic()
        for number, piece in enumerate(pieces[done:], done + 1):
            for block, logits in self._judge(piece):
                sink.observe("unseen", Observation(block, epoch=1, logits=logits))
            if 100 * number // len(pieces) > 100 * (number - 1) // len(pieces):
                self.report("part", part=number / len(pieces))
            if number < len(pieces) and time.monotonic() - saved > SECONDS:
                state = {f"sink/{name}": array for name, array in sink.state().items()}
                self.checkpoints.save({**state, "watched": np.array(number)})
                saved = time.monotonic()

    def _choose_trained(self) -> npt.NDArray[np.bool_]:
        """Return which groups are trained without, (G,): folds, large groups, and those with all rows of a class."""
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
        """Refuse a group, before any training, if the rows without it are of one class."""
        classes = len(np.unique(self.rows.data.labels[self._without(group)]))
        if classes < 2:
            raise DataError(
                f"softmax cannot judge a group of {self._sizes[group]:,} samples in fit {self.fit.name}: without them, "
                "the samples are of fewer than 2 classes"
            )

    def _pieces(self) -> Iterator[IntArray]:
        """Yield the watched rows by whole groups: single rows and small groups in batches, large groups one by one."""
        watched = by_id(self.rows.data, self.fit.unseen)
        of = self._of[watched]
        small = ~self._trained[of]
        if small.any():
            alone = watched[small & (self._sizes[of] == 1)]
            yield from batches(alone, self._model)
            grouped = watched[small & (self._sizes[of] > 1)]
            yield from split_whole_groups(grouped, self._of[grouped], self.rows.block)
        for group in _list_groups(of[~small]):
            yield watched[of == group]

    def _judge(self, piece: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        group = self._of[piece[0]]
        if self._trained[group]:
            yield from self._by_training(piece)
        elif self._sizes[group] == 1:
            x, y = self._inputs(piece)
            logits, far = leave_out_each(x, y, self._model.theta, self._inverse)
            fine = far <= MOST_SHIFT
            if fine.any():
                yield piece[fine], self._model.to_all_classes(logits[fine])
            for row in piece[~fine]:
                yield from self._judge_by_refit(np.array([row]))
        else:
            for one in _list_groups(self._of[piece]):
                rows = piece[self._of[piece] == one]
                logits, shift = leave_out_group(*self._inputs(rows), self._model.theta, self._inverse)
                if shift <= MOST_SHIFT:
                    yield rows, self._model.to_all_classes(logits)
                else:
                    yield from self._judge_by_refit(rows)

    def _judge_by_refit(self, rows: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        """Judge a group by training, where one step is not valid; refuse too many of them."""
        self._refits += 1
        if self._refits > MOST_REFITS:
            raise DataError(
                f"lam={self._model.problem.lam:.3g} is too small for these features: for more than {MOST_REFITS} "
                "samples one step does not give the regression without them; raise lam, or use folds(k)"
            )
        return self._by_training(rows)

    def _by_training(self, rows: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        chosen = self._without(self._of[rows[0]])
        lam = self.lam(chosen) if self.fit.folds is not None else self._model.problem.lam
        model = train(self.rows, chosen, lam, self.fit.name)
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
        return train(self.rows, self._everything, self.lam(self._everything), self.fit.name)

    @cached_property
    def _inverse(self) -> FloatArray:
        return self._model.problem.inverse(self._model.theta)


def _list_groups(of: IntArray) -> list[int]:
    """Return the groups in the order in which they appear."""
    groups, first = np.unique(of, return_index=True)
    ordered: list[int] = groups[np.argsort(first)].tolist()
    return ordered
