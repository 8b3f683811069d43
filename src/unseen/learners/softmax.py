"""The learner `softmax`: multinomial logistic regression on frozen features, or ridge where that would be too large.

Every fit is solved up to rounding, so plans are exact, with one exception: `leave_one_out` is one fit, and each sample
or group is judged by one Newton step from it. The step is wrong where a sample moves the model far; see `tests/laws`.

The features must never have used the labels: they are self-supervised, or of a model of other data; see `ridge`.

`train` solves the regression on rows of a data set. `choose_lam` chooses the penalty by approximate leave-one-out.
`GroupModels` carries out a fit of one model for each group (`Fit.apart`): it trains a model for each fold, and steps
from one solution for leave-one-out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError
from scipy.special import logsumexp

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray, pack, unpack
from unseen.core.exposure import SIDES, Fit, Observation, Plan
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.errors import DataError, warn
from unseen.learners.base import (
    LeftOut,
    Progress,
    by_id,
    check_positive,
    check_trained_classes,
    check_two_classes,
    check_vectors,
    find_groups,
    refuse_target,
    split_whole_groups,
)
from unseen.learners.newton import Block, Problem, leave_out_each, leave_out_group
from unseen.learners.ridge import RidgeLearner
from unseen.learners.rows import RowReader

MOST_COEFFICIENTS = 10_000  # the Hessian is the square of them: 800 MB


class SoftmaxLearner(Learner):
    """Softmax regression with an L2 penalty on the weights and none on the biases.

    Every fit is solved by itself, from 0, until a Newton step would move no logit by more than about 1e-10; a warm
    start would only be faster. `folds`, `halves`, `seen` and `coreset` are exact. `leave_one_out` is one fit and, for
    each sample or group, one Newton step (Rad and Maleki 2020, doi:10.1111/rssb.12374). Three kinds of groups are left
    out by training instead: those of more than a hundredth of the samples, those that hold all samples of a class, and
    up to 100 that the step moves by more than 50 nats. A class without training samples has the probability 1.2e-38.

    Memory, beside the data: three times (C (d + 1))^2 float64 and some blocks of rows; `memory` returns it. Time:
    n (C d)^2 and (C d)^3 operations, up to three times for each fit.

    Args:
        lam: the penalty lam / 2 |W|^2 beside the sum of losses, above 0; 1 / C of scikit-learn's `LogisticRegression`
            (2 / C of it for two classes, where it has one vector of weights). `"auto"` chooses the least log loss by
            approximate leave-one-out on at most 5,000 training rows of each fit, out of 10, 1, ..., 1e-5 mean
            eigenvalues of their centred Gram matrix; under `leave_one_out`, of all rows.

    Raises:
        ArgumentError: lam is neither `"auto"` nor a number above 0.

    >>> import numpy as np
    >>> import unseen
    >>> X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3
    >>> table = unseen.score(X, y, plan=unseen.leave_one_out(), learner="softmax:lam=2.0")
    >>> table.values["el2n"].shape
    (1, 60)
    """

    name = "softmax"
    closed_form = True

    def __init__(self, lam: float | str = "auto") -> None:
        self.lam = check_positive("lam", lam)

    def __repr__(self) -> str:
        return f"SoftmaxLearner(lam={self.lam!r})"

    def describe(self) -> dict[str, object]:
        """Return the option, how samples are left out, and what is fitted on labels."""
        about: dict[str, object] = {"learner": self.name, "lam": self.lam, "leave_one_out": "one Newton step"}
        if self.lam == "auto":
            about["fitted_on_labels"] = (
                f"lam, by approximate leave-one-out on at most {SAMPLE} training rows of each fit; under "
                "leave_one_out, of all rows"
            )
        return about

    def check(self, data: Data) -> None:
        """Refuse data that are not vectors, or have fewer than two classes or too many coefficients."""
        refuse_target(data, "softmax learns classes")
        check_vectors(data, self.name)
        check_two_classes(data, self.name)
        if coefficients(data) > MOST_COEFFICIENTS:
            raise DataError(f"{_describe_excess(data)}; use the learner 'ridge'")

    def memory(self, data: Data, plan: Plan) -> int:
        """Return the most bytes of Hessians, kept inputs and blocks of rows, beside the data and the scores."""
        held = min(HELD_BYTES, 8 * len(data) * (int(data.sample_shape[0]) + 1))
        return 8 * 3 * coefficients(data) ** 2 + held + 4 * BATCH_BYTES

    def fit(
        self, data: Data, fit: Fit, sink: Sink, checkpoints: CheckpointStore, *, seed: int, report: Callable[..., None]
    ) -> None:
        """Solve, and push the observations of each watch set; a fit of many models continues from its checkpoint."""
        rows = RowReader(data, np.dtype(np.float64))

        def lam(chosen: IntArray) -> float:
            if not isinstance(self.lam, str):
                return self.lam
            return choose_lam(rows, chosen, find_groups(data, fit), seed, fit.name)

        if fit.apart is not None:
            if sink.wants("unseen", 1, 1):
                GroupModels(rows, fit, lam, checkpoints, report).run(sink)
        else:
            model = train(rows, fit.train, lam(fit.train), fit.name)
            for side in SIDES:
                if sink.wants(side, 1, 1):
                    for block in rows.blocks(fit.watch(side)):
                        sink.observe(side, Observation(block, epoch=1, logits=model.outputs(rows.inputs(block))))
        report("epoch", epoch=1, epochs=1)


def coefficients(data: Data) -> int:
    """Return the number of coefficients, C (d + 1)."""
    return len(data.class_names) * (int(data.sample_shape[0]) + 1)


def _describe_excess(data: Data) -> str:
    return (
        f"softmax takes at most {MOST_COEFFICIENTS:,} coefficients, but {len(data.class_names):,} classes of "
        f"{data.sample_shape[0]:,} features and a bias have {coefficients(data):,}"
    )


def softmax_or_ridge(data: Data, softmax: SoftmaxLearner) -> Learner:
    """Return the softmax learner, or ridge with a warning where the data set has too many coefficients.

    The manifest then names ridge, which learns. `lam` is not passed to ridge, which chooses its own: beside squared
    errors it would be another penalty.
    """
    if data.kind != "vector" or data.targets is not None or coefficients(data) <= MOST_COEFFICIENTS:
        return softmax
    warn(
        f"{_describe_excess(data)}; 'ridge' learns in its place, with lam and temperature of its own choice. Name "
        "ridge as the learner to silence this.",
    )
    return RidgeLearner()


# ---- a regression on rows of a data set -----------------------------------------------------------------------------

HELD_BYTES = 2**28  # of inputs that stay in memory while a model is solved; more are read at each pass
ABSENT = float(np.log(np.finfo(np.float32).tiny))  # log-probability of a class without training rows


@dataclass(frozen=True, eq=False)
class Model:
    """A solved regression."""

    centre: FloatArray  # float64 (d,), subtracted from each row
    present: IntArray  # int64 (P,) the classes of the training rows, ascending
    classes: int  # C of the data set
    theta: FloatArray  # float64 (P, d + 1)
    problem: Problem  # the problem that theta solves

    def design(self, x: FloatArray) -> FloatArray:
        """Return x about the centre, with a last column of 1, float64 (m, d + 1)."""
        return _make_design(x, self.centre)

    def outputs(self, x: FloatArray) -> FloatArray:
        """Return the logits, float64 (m, C), of x (m, d)."""
        return self.to_all_classes(self.design(x) @ self.theta.T)

    def to_all_classes(self, logits: FloatArray) -> FloatArray:
        """Extend logits (m, P) to all classes (m, C); a class without training rows has the probability 1.2e-38."""
        if len(self.present) == self.classes:
            return logits
        everything = np.repeat(logsumexp(logits, axis=1, keepdims=True) + ABSENT, self.classes, axis=1)
        everything[:, self.present] = logits
        return everything

    def codes(self, labels: IntArray) -> IntArray:
        """Return labels as positions in `present`."""
        return np.searchsorted(self.present, labels)


def train(rows: RowReader, chosen: IntArray, lam: float, name: str, start: FloatArray | None = None) -> Model:
    """Train the regression of fit `name` on the rows `chosen`, from `start` or 0; refuse one class and a small lam."""
    labels = rows.data.labels
    check_trained_classes(rows.data, chosen, name, "softmax")
    present, centre = np.unique(labels[chosen]), rows.centre(chosen)

    def read() -> Iterable[Block]:
        for block in rows.blocks(chosen):
            x = _make_design(rows.inputs(block), centre)
            codes = np.searchsorted(present, labels[block])
            step = max(64, rows.block // (len(present) + 1))  # then C copies of a part are no larger than a block
            yield from ((x[at : at + step], codes[at : at + step]) for at in range(0, len(x), step))

    width = len(centre) + 1
    held = list(read()) if 8 * width * len(chosen) <= HELD_BYTES else None
    problem = Problem(read if held is None else lambda: held, len(present), width, len(chosen), lam)
    try:
        theta = problem.solve(start)
    except LinAlgError as error:
        raise DataError(
            f"lam={lam:.3g} is too small for these features: the softmax regression of fit {name} cannot be solved in "
            f"float64 ({error}); raise lam, or scale the features"
        ) from error
    return Model(centre, present, len(rows.data.class_names), theta, problem)


def _make_design(x: FloatArray, centre: FloatArray) -> FloatArray:
    design = np.ones((len(x), x.shape[1] + 1))
    np.subtract(x, centre, out=design[:, :-1])
    return design


# ---- the penalty ---------------------------------------------------------------------------------------------------

SAMPLE = 5_000  # the most rows by which lambda is chosen
GRID = np.logspace(1, -5, 7)  # of lambda, in units of the mean eigenvalue of Z'Z, with Z the centred sample
BATCH_BYTES = 2**26


def choose_lam(rows: RowReader, among: IntArray, groups: IntArray, seed: int, name: str) -> float:
    """Choose lambda by approximate leave-one-out log loss, on a sample of the rows `among` drawn by (seed, id).

    The `groups` (n,) are left out as a whole.
    """
    data = rows.data
    sample = by_id(data, among[seeds.order(seed, data.ids[among], "softmax")][:SAMPLE])
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
        loss = _log_loss(model, x, model.codes(data.labels[sample]), groups[sample])
        if loss < least:
            best, least = lam, loss
    return float(best)


def _log_loss(model: Model, x: FloatArray, y: IntArray, groups: IntArray) -> float:
    """Return the mean log loss over the rows; infinite where a row has no step."""
    x, inverse = model.design(x), model.problem.inverse(model.theta)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
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
        self._groups = groups = LeftOut(self.rows.data, self.fit)
        self._trained = self._choose_trained()
        groups.check_rest(self.rows.data, np.flatnonzero(self._trained).tolist(), 2, "softmax")

    def run(self, sink: Sink) -> None:
        """Push the predictions of each model for its group; continue from the checkpoint if there is one."""
        held, progress = self.checkpoints.load() or {}, Progress(self.checkpoints, self.report)
        done = int(held.get("watched", 0))
        if done:
            sink.restore(unpack("sink", held))
        pieces = list(self._pieces())
        for number, piece in enumerate(pieces[done:], done + 1):
            for block, logits in self._judge(piece):
                sink.observe("unseen", Observation(block, epoch=1, logits=logits))
            progress.report(number / len(pieces))
            if number < len(pieces) and progress.is_due():
                progress.save({**pack("sink", sink.state()), "watched": np.array(number)})

    def _choose_trained(self) -> npt.NDArray[np.bool_]:
        """Return which groups are trained without, (G,): folds, large groups, and those with all rows of a class."""
        groups, labels, watched = self._groups, self.rows.data.labels, self.fit.unseen
        if self.fit.folds is not None:
            return np.ones(len(groups.sizes), bool)
        chosen = groups.sizes > max(1, LARGE * len(groups.trained))
        counts = np.bincount(labels[groups.trained])
        pairs, times = np.unique(groups.of[watched] * len(counts) + labels[watched], return_counts=True)
        group, label = np.divmod(pairs, len(counts))
        chosen[group[times == counts[label]]] = True
        return chosen

    def _pieces(self) -> Iterator[IntArray]:
        """Yield the watched rows by whole groups: single rows and small groups in batches, large groups one by one."""
        watched = by_id(self.rows.data, self.fit.unseen)
        groups, sizes = self._groups.of[watched], self._groups.sizes
        small = ~self._trained[groups]
        if small.any():
            yield from batches(watched[small & (sizes[groups] == 1)], self._model)
            grouped = small & (sizes[groups] > 1)
            yield from split_whole_groups(watched[grouped], groups[grouped], self.rows.block)
        for group in _list_groups(groups[~small]):
            yield watched[groups == group]

    def _judge(self, piece: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        groups = self._groups.of[piece]
        if self._trained[groups[0]]:
            yield from self._train_and_judge(piece)
        elif self._groups.sizes[groups[0]] == 1:
            x, y = self._inputs(piece)
            logits, far = leave_out_each(x, y, self._model.theta, self._inverse)
            fine = far <= MOST_SHIFT
            if fine.any():
                yield piece[fine], self._model.to_all_classes(logits[fine])
            for row in piece[~fine]:
                yield from self._judge_by_refit(np.array([row]))
        else:
            for group in _list_groups(groups):
                rows = piece[groups == group]
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
        return self._train_and_judge(rows)

    def _train_and_judge(self, rows: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        chosen = self._groups.without(self._groups.of[rows[0]])
        lam = self.lam(chosen) if self.fit.folds is not None else self._model.problem.lam
        model = train(self.rows, chosen, lam, self.fit.name)
        for block in self.rows.blocks(rows):
            yield block, model.outputs(self.rows.inputs(block))

    def _inputs(self, rows: IntArray) -> tuple[FloatArray, IntArray]:
        model = self._model
        return model.design(self.rows.inputs(rows)), model.codes(self.rows.data.labels[rows])

    @cached_property
    def _model(self) -> Model:
        trained = self._groups.trained
        return train(self.rows, trained, self.lam(trained), self.fit.name)

    @cached_property
    def _inverse(self) -> FloatArray:
        return self._model.problem.inverse(self._model.theta)


def _list_groups(groups: IntArray) -> list[int]:
    """Return the groups in the order in which they appear."""
    groups, first = np.unique(groups, return_index=True)
    ordered: list[int] = groups[np.argsort(first)].tolist()
    return ordered
