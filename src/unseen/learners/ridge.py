"""The learner `ridge`: linear algebra in place of the trainings of a plan.

A fold is left out by subtracting its sums of products, a sample by its leverage, and a coreset has its own sums. The
numbers are equal to a refit for every fit, up to rounding. The data are read in blocks, twice. Lambda and the
temperature of the outputs are chosen by leave-one-out.

The features must never have used the labels: they are self-supervised, or of a model of other data. A backbone that was
trained on the same labels has seen every sample, and no linear algebra on top of it can undo that.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import numpy as np

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import one_of
from unseen.core.closed_form import LEAST_GAP, EveryLam, Solution
from unseen.core.exposure import SIDES, Fit, Observation, Plan
from unseen.core.machine import for_each, one_thread_each
from unseen.core.plans import Folds
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.errors import ArgumentError
from unseen.learners.base import (
    by_id,
    check_positive,
    check_trained_classes,
    check_two_classes,
    check_vectors,
    find_groups,
)
from unseen.learners.passes import INFLUENCE, Passes, limit_threads, run_passes
from unseen.learners.products import make_products
from unseen.learners.rows import RowReader, SumCache, solve_or_refuse
from unseen.scores.alignment import temperature_of

SAMPLE, LEAST_SAMPLE = 20_000, 5_000  # the most rows by which both are chosen, and the most with very many classes
SAMPLED_ANSWERS = 10**7  # entries of the answers of these rows
GRID = np.logspace(-6, 2, 9)  # of lambda, in units of the mean eigenvalue of Z'Z


def sample_size(n: int, width: int) -> int:
    """Return how many of n rows lambda and temperature are chosen by, for answers of `width` columns.

    >>> sample_size(1_281_167, 10), sample_size(1_281_167, 1_000)
    (20000, 10000)
    """
    return min(n, SAMPLE, max(LEAST_SAMPLE, SAMPLED_ANSWERS // width))


def choose_scalars(
    given: RowReader, among: IntArray, groups: IntArray, seed: int, lam: float | None, temperature: float | None
) -> tuple[float, float]:
    """Choose lambda and temperature, where None, by exact leave-one-out on a sample of the rows `among`.

    The sample is drawn by (seed, id); `groups` (n,) are left out as a whole.
    """
    if lam is not None and temperature is not None:
        return lam, temperature
    data = given.data
    ranked = among[seeds.order(seed, data.ids[among], "ridge")]
    sample = by_id(data, ranked[: sample_size(len(ranked), given.answers.width)])
    x, y, weights = given.inputs(sample, np.float64), given.answers.of(sample), given.weights_of(sample)
    scale = mean_eigenvalue(x) or 1.0
    regressions = EveryLam(x, y, groups[sample], weights)
    blocks = range(regressions.blocks)
    if lam is None:
        lams = (GRID * scale).tolist()
        errors = np.empty((len(lams), len(blocks)))

        def judge(place: tuple[int, int]) -> None:
            squares, gap = regressions.errors(lams[place[0]], place[1])
            errors[place] = squares.sum() if (gap > LEAST_GAP).all() else np.inf

        with one_thread_each():
            for_each(judge, list(np.ndindex(*errors.shape)))
        total = errors.sum(axis=1)
        lam = lams[int(np.argmin(total))] if np.isfinite(total).any() else lams[0]
    if temperature is not None:
        return lam, temperature
    outputs, sound, chosen = np.empty_like(y), np.empty(len(y), bool), lam

    def leave_out(block: int) -> None:
        rows, some, gap = regressions.left_out(chosen, block)
        outputs[rows], sound[rows] = some, gap > LEAST_GAP

    with one_thread_each():
        for_each(leave_out, blocks)
    if not sound.any():
        return lam, 1.0  # all rows are copies of each other, so nothing is learned at any temperature
    labels, outputs = (data.labels[sample], outputs) if sound.all() else (data.labels[sample][sound], outputs[sound])
    return lam, temperature_of(outputs, labels)


def mean_eigenvalue(x: FloatArray) -> float:
    """Return the mean eigenvalue of Z'Z, where Z is x less its mean."""
    mean = x.mean(axis=0)
    centred = (x[start : start + 1024] - mean for start in range(0, len(x), 1024))  # large new arrays are slow to make
    return float(sum(np.vdot(z, z) for z in centred) / x.shape[1])


class RidgeLearner(Learner):
    """Ridge regression of the one-hot label, or of a target, on a vector, with a bias that is not penalised.

    The learner is exact for every plan. `folds` and `leave_one_out` take two passes over the data, whatever the number
    of folds; copies and groups are left out as a whole. `leave_one_out` also gives leverages and Cook's distances.
    Logits are the raw outputs divided by one temperature. Lambda and temperature are chosen by exact leave-one-out on
    at most 20,000 training rows of a fit. `folds` and `leave_one_out` are one fit, whose training rows are all rows, so
    there these two scalars saw every label.

    For data with a target, the loss is the squared residual, in the squared unit of the target. There are no logits
    and no temperature: the scores are `loss`, `holdout_gap`, `leverage` and `cooks_distance`.

    Memory, beside the data: O(d^2 + d C) float64 for `leave_one_out` and K times that for K folds, a block of rows,
    and at most 20,000 (d + C) while lambda and temperature are chosen; `memory` returns it.

    Args:
        lam: the penalty, above 0, like scikit-learn's `alpha`; `"auto"` chooses the least squared leave-one-out error
            out of 1e-6, 1e-5, ..., 100 mean eigenvalues of the centred Gram matrix of the sample.
        temperature: above 0; `"auto"` chooses the least leave-one-out log loss, in 0.01 .. 100. With 1 the logits are
            the raw outputs.
        class_weights: `"none"`, or `"balanced"`: a row weighs n / (C n_c), by the counts of the training rows of a
            fit; where a fit has many models, of all rows (then these counts saw every label too).
        precision: the type of the products over rows, `"float64"`, or `"float32"` in half the time. Sums and
            solutions are always float64. The relative error of float32 outputs is at worst about 6e-8 times the
            condition number of Z'Z + lam I; they are refused where that is more than 1 %.
        device: where products over rows are made: `"cpu"`, or a device of torch, such as `"cuda"`.

    Raises:
        ArgumentError: a number is neither `"auto"` nor above 0, or weights, precision or device are unknown.
        MissingDependencyError: the device is not the processor, and torch is not installed.

    >>> import numpy as np
    >>> import unseen
    >>> X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3
    >>> table = unseen.score(X, y, plan=unseen.leave_one_out(), learner="ridge:lam=2.0")
    >>> table.values["el2n"].shape
    (1, 60)
    """

    name = "ridge"
    provides = frozenset({"logits"}) | INFLUENCE
    closed_form = in_passes = True

    def __init__(
        self,
        lam: float | str = "auto",
        temperature: float | str = "auto",
        class_weights: str = "none",
        precision: str = "float64",
        device: str = "cpu",
    ) -> None:
        self.lam = check_positive("lam", lam)
        self.temperature = check_positive("temperature", temperature)
        one_of("class_weights", class_weights, ("none", "balanced"))
        one_of("precision", precision, ("float64", "float32"))
        self.class_weights, self.precision, self.device = class_weights, precision, device
        self._of_target = False
        self._products = make_products(device)
        self._known: SumCache | None = None  # the sums of one data set at a time

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in _OPTIONS)
        return f"RidgeLearner({options})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the sums; another process makes its own."""
        return {**self.__dict__, "_known": None}

    def suited(self, data: Data) -> RidgeLearner:
        """Return this learner for a data set; for a target, its description has no temperature."""
        of_target = data.targets is not None
        if of_target == self._of_target:
            return self
        other = copy(self)
        other._of_target = of_target
        return other

    def describe(self) -> dict[str, object]:
        """Return the options, and what is fitted on labels."""
        options = [name for name in _OPTIONS if not (self._of_target and name == "temperature")]
        chosen = [name for name in options if getattr(self, name) == "auto"]
        about: dict[str, object] = {"learner": self.name, **{name: getattr(self, name) for name in options}}
        fitted = []
        if chosen:
            fitted.append(f"{' and '.join(chosen)}, by leave-one-out on at most {SAMPLE} training rows of each fit")
        if self.class_weights == "balanced":
            fitted.append("class weights, by the counts of the training rows of each fit")
        if fitted:
            about["fitted_on_labels"] = f"{'; '.join(fitted)}; under folds and leave_one_out, of all rows"
        return about

    def check(self, data: Data) -> None:
        """Refuse data that are not vectors or have fewer than two classes, and options of classes for a target."""
        check_vectors(data, self.name)
        target = "but this data set has a target; leave it out"
        if data.targets is None:
            check_two_classes(data, self.name)
        elif self.class_weights != "none":
            raise ArgumentError(f"class_weights={self.class_weights!r} weighs classes, {target}")
        elif self.temperature != "auto":
            raise ArgumentError(f"temperature={self.temperature} divides logits, {target}")

    def memory(self, data: Data, plan: Plan) -> int:
        """Return the most bytes of sums, solutions and a block of rows, beside the data and the scores."""
        rows = RowReader(data, np.dtype(self.precision))
        d, width = int(data.sample_shape[0]), rows.answers.width
        sample = 0 if {self.lam, self.temperature}.isdisjoint({"auto"}) else sample_size(len(data), width)
        places = plan.k + 1 if isinstance(plan, Folds) and plan.together else 1
        lanes, block = rows.lanes(places), min(rows.block_of(2 * places), len(data))
        # The sums of a part, and of two levels of the tree that adds them, or solutions in place of these; then the
        # blocks in work, and as many read ahead.
        passes = (lanes + 2) * places * d * (d + 2 * width) + (2 * lanes + 2) * block * (d + width)
        return 8 * max(passes, 3 * sample * (d + 2 * width))

    def fit(
        self, data: Data, fit: Fit, sink: Sink, checkpoints: CheckpointStore, *, seed: int, report: Callable[..., None]
    ) -> None:
        """Solve, and push the observations of each watch set; a fit of many models continues from its checkpoint."""
        if fit.apart is not None:
            wanted = sink.wants("unseen", 1, 1)
            if wanted:
                run_passes(self.in_parts(data, fit, wanted, seed), sink, checkpoints, report)
        else:
            if INFLUENCE & sink.wants("unseen", 1, 1):
                raise ArgumentError(_LEAVE_ONE_OUT)
            rows, lam, temperature = self._prepare(data, fit, fit.train, seed)
            if rows.weights is not None:  # the weights are of this fit, so no other sums can be used
                sums = rows.sum_over(fit.train)
            else:
                if self._known is None or self._known.rows.data is not data:
                    self._known = SumCache(rows)
                sums = self._known.over(fit.train)
            solution = solve_or_refuse(sums, lam, fit.name, precision=self.precision)
            for side in SIDES:
                if sink.wants(side, 1, 1):
                    _judge(rows, fit.watch(side), solution, temperature, partial(sink.observe, side))
        report("epoch", epoch=1, epochs=1)

    def in_parts(self, data: Data, fit: Fit, wanted: frozenset[str], seed: int) -> Passes:
        """Return a fit of many models as two passes over parts of the data, for an executor that distributes them."""
        if INFLUENCE & wanted and fit.folds is not None:
            raise ArgumentError(_LEAVE_ONE_OUT)
        trained = np.sort(np.concatenate([fit.train, fit.unseen]))
        rows, lam, temperature = self._prepare(data, fit, trained, seed)
        return Passes(rows, lam, temperature, fit, wanted)

    def _prepare(self, data: Data, fit: Fit, trained: IntArray, seed: int) -> tuple[RowReader, float, float]:
        """Return the reader of the rows, lambda and the temperature."""
        if data.targets is None:
            check_trained_classes(data, trained, fit.name, self.name)
        weights: FloatArray | None = None
        if self.class_weights == "balanced":
            counts = np.bincount(data.labels[trained], minlength=len(data.class_names))
            each = len(trained) / (np.count_nonzero(counts) * np.maximum(counts, 1))
            weights = each[data.labels]
        rows = RowReader(data, np.dtype(self.precision), weights, self._products)
        lam = None if isinstance(self.lam, str) else self.lam
        temperature = None if isinstance(self.temperature, str) else self.temperature
        if data.targets is not None:
            temperature = 1.0  # a target has no logits
        with limit_threads(int(data.sample_shape[0])):
            return rows, *choose_scalars(rows, trained, find_groups(data, fit), seed, lam, temperature)


def _judge(
    rows: RowReader, watched: IntArray, solution: Solution, temperature: float, observe: Callable[[Observation], None]
) -> None:
    def observe_piece(piece: IntArray, x: FloatArray) -> None:
        outputs = rows.products.outputs(solution, x)
        observe(rows.answers.observation(piece, outputs, temperature))

    with one_thread_each():
        for _ in rows.work_through(map(rows.take, rows.pieces(watched)), observe_piece):
            pass


_LEAVE_ONE_OUT = "scores 'leverage' and 'cooks_distance' need the plan leave_one_out()"
_OPTIONS = ("lam", "temperature", "class_weights", "precision", "device")
