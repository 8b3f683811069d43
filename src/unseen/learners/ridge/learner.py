"""The learner `ridge`: one pass of linear algebra in place of the trainings of a plan.

The sums X'X and X'Y over all rows are made once a data set. A fold subtracts the sums of what it leaves out, a coreset
sums over itself, and `leave_one_out` takes one solution and the leverages: the same numbers as a refit for every fit,
up to rounding.

The features must never have used the labels: self-supervised or foreign ones. A backbone that was trained on the same
labels has seen every sample, and no linear algebra on top of it can undo that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unseen import seeds
from unseen.closed_form import LinAlgError, Solution, Sums, left_out, left_out_by_lam, solve, sums_of
from unseen.errors import ArgumentError, DataError, some
from unseen.exposure import Fit
from unseen.protocols import CheckpointStore, Data, Sink
from unseen.scores.alignment import temperatures
from unseen.scoring import joined_groups
from unseen.types import FloatArray, IntArray, Observation, Side

__all__ = ["RidgeLearner"]

BLOCK = 8_192  # rows at a time
SAMPLE = 20_000  # rows that lambda and the temperature are chosen on, at most
GRID = np.logspace(-6, 2, 9)  # of lambda, in units of the mean eigenvalue of Z'Z
# Sums are subtracted while this share of every column's squares remains: rounding grows by at most its inverse, to
# about 1e-13 relative. Below it, the sums are made anew.
REMAINING = 1e-3
LEAST_GAP = (
    1e-8  # see closed_form.py: below it, rounding would pass 1e-8 of the outputs, and the group's model is refitted
)
MOST_REFITS = 100


class RidgeLearner:
    """Learns by ridge regression of the one-hot label on a vector, with a bias that is not penalised.

    Exact for every plan, `leave_one_out` included; copies and groups leave together. Logits are the raw outputs
    divided by one temperature. Lambda and temperature are chosen by exact leave-one-out on at most 20,000 of the rows
    that a fit is trained on; under `leave_one_out` those are all rows, so there these two scalars saw every label.

    Memory: O(d^2 + d C) float64 and a block of rows; 20,000 (d + C) more while lambda and temperature are chosen.

    Args:
        lam: the penalty, above 0, as scikit-learn's `alpha`; `"auto"`: the one of least squared leave-one-out error
            out of 1e-6, 1e-5, ..., 100 mean eigenvalues of the centred Gram matrix of the sample.
        temperature: above 0; `"auto"`: the one of least leave-one-out log loss, in 0.01 .. 100. With 1 the logits are
            the raw outputs.

    Raises:
        ArgumentError: neither `"auto"` nor a number above 0.

    >>> import numpy as np
    >>> import unseen
    >>> X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3
    >>> table = unseen.score(X, y, plan=unseen.leave_one_out(), learner="ridge:lam=2.0")
    >>> table.values["el2n"].shape
    (1, 60)

    """

    name = "ridge"
    epochs: int | None = None
    provides: frozenset[str] = frozenset({"logits"})
    closed_form = True

    def __init__(self, lam: float | str = "auto", temperature: float | str = "auto") -> None:
        self.lam = _positive("lam", lam)
        self.temperature = _positive("temperature", temperature)
        self._whole: list[tuple[Data, Sums]] = []

    def __repr__(self) -> str:
        return f"RidgeLearner(lam={self.lam!r}, temperature={self.temperature!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Without the sums: another process makes its own."""
        return {**self.__dict__, "_whole": []}

    def describe(self) -> dict[str, object]:
        """The options, and what is fitted on labels."""
        chosen = [name for name in ("lam", "temperature") if getattr(self, name) == "auto"]
        about: dict[str, object] = {"learner": self.name, "lam": self.lam, "temperature": self.temperature}
        if chosen:
            about["fitted_on_labels"] = (
                f"{' and '.join(chosen)}, by leave-one-out on at most {SAMPLE} training rows of each fit; under "
                "leave_one_out, of all rows"
            )
        return about

    def check(self, data: Data) -> None:
        """Vectors, of at least two classes."""
        if data.kind != "vector":
            raise DataError(
                f"ridge learns from vectors (n, d), but this is {data.kind} data: pass embeddings, made by a network "
                "that was not trained on these labels"
            )
        if len(np.unique(data.labels)) < 2:
            raise DataError(f"ridge needs at least 2 classes, but every label is {data.class_names[data.labels[0]]!r}")

    def fit(
        self,
        data: Data,
        fit: Fit,
        sink: Sink,
        checkpoints: CheckpointStore,
        *,
        seed: int,
        report: Callable[..., None],
    ) -> None:
        """Solve once and push the observations of each watch set; there is nothing to continue within a fit."""
        rows = fit.train if fit.apart is None else np.concatenate([fit.train, fit.unseen])
        classes = len(np.unique(data.labels[rows]))
        if classes < 2:
            raise DataError(
                f"ridge cannot learn from fit {fit.name}: it needs samples of at least 2 classes, but its {len(rows)} "
                f"training samples are of {classes}"
            )
        of = joined_groups(data.groups, data.duplicate_groups()) if fit.apart is None else _spread(fit, len(data))
        lam, temperature = self._tuned(data, rows, np.arange(len(data)) if of is None else of, seed)
        solution = _solved(self._sums(data, rows), lam, fit.name)
        if fit.apart is not None and sink.wants("unseen", 1, 1):
            for block, outputs in self._apart(data, fit, solution, lam):
                sink.observe("unseen", Observation(block, epoch=1, logits=outputs / temperature))
        sides: tuple[Side, ...] = ("unseen", "seen") if fit.apart is None else ("seen",)
        for side in sides:
            if sink.wants(side, 1, 1):
                for block in _blocks(data, fit.watch(side)):
                    outputs = solution.outputs(_inputs(data, block))
                    sink.observe(side, Observation(block, epoch=1, logits=outputs / temperature))
        report("epoch", epoch=1, epochs=1)

    def _tuned(self, data: Data, rows: IntArray, of: IntArray, seed: int) -> tuple[float, float]:
        """Lambda and temperature, by leave-one-out on a sample of these rows, drawn by (seed, id)."""
        if not isinstance(self.lam, str) and not isinstance(self.temperature, str):
            return self.lam, self.temperature
        ranked = seeds.order(seed, data.ids, "ridge")
        sample = _by_id(data, ranked[np.isin(ranked, rows, assume_unique=True)][:SAMPLE])
        x, y = _inputs(data, sample), _targets(data, sample)
        lams: FloatArray = GRID * (_mean_eigenvalue(x) or 1.0) if isinstance(self.lam, str) else np.array([self.lam])
        best, least, kept = lams[-1], np.inf, None
        for lam, (outputs, gap) in zip(lams, left_out_by_lam(x, y, of[sample], lams), strict=True):
            sound = gap > LEAST_GAP
            error = float(np.square(outputs - y).mean()) if sound.all() else np.inf
            if kept is None or error < least:
                best, least, kept = lam, error, (outputs[sound], data.labels[sample][sound])
        if not isinstance(self.temperature, str):
            return float(best), self.temperature
        if kept is None or not len(kept[0]):
            return float(best), 1.0  # all rows are copies of each other: nothing is learned, at any temperature
        return float(best), float(temperatures(*kept, np.zeros(len(kept[0]), np.int64))[0])

    def _sums(self, data: Data, rows: IntArray) -> Sums:
        """The sums over these rows: those over all less the others, if that is cheaper and loses no digits."""
        others = np.setdiff1d(np.arange(len(data)), rows, assume_unique=True)
        if len(others) < len(rows):
            if not self._whole or self._whole[0][0] is not data:
                self._whole.clear()  # never those of two data sets in memory
                self._whole.append((data, _summed(data, np.arange(len(data)))))
            whole = self._whole[0][1]
            sums = (whole - _summed(data, others, whole.centre)).centred() if len(others) else whole
            if (np.diag(sums.gram) >= REMAINING * np.diag(whole.gram)).all():
                return sums
        return _summed(data, rows)

    def _apart(self, data: Data, fit: Fit, solution: Solution, lam: float) -> Iterator[tuple[IntArray, FloatArray]]:
        """Blocks of watched rows, and what the regressions without each row's group say of them."""
        of = _spread(fit, len(data))
        refits = 0
        for block in _whole_groups(data, fit.unseen, of):
            x = _inputs(data, block)
            outputs, gap = left_out(solution.outputs(x), _targets(data, block), solution.roots(x), of[block])
            for group in np.unique(of[block][gap < LEAST_GAP]):
                refits += 1
                if refits > MOST_REFITS:
                    raise DataError(
                        f"lam={lam:.3g} is too small for these features: of more than {MOST_REFITS} samples the "
                        "regression without them cannot be told from the one with them; raise lam, or use folds(k)"
                    )
                inside = of[block] == group
                rest = np.setdiff1d(np.concatenate([fit.train, fit.unseen]), block[inside])
                outputs[inside] = _solved(_summed(data, rest), lam, fit.name).outputs(x[inside])
            yield block, outputs


def _positive(name: str, value: float | str) -> float | str:
    if value == "auto":
        return "auto"
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 < float(value) < np.inf:
        raise ArgumentError(f"{name} must be a number above 0, or 'auto', got {value!r}")
    return float(value)


def _by_id(data: Data, rows: IntArray) -> IntArray:
    """In the order of the ids, so that rounding does not depend on the order of the rows."""
    ordered: IntArray = rows[np.argsort(data.ids[rows], kind="stable")]
    return ordered


def _blocks(data: Data, rows: IntArray) -> Iterator[IntArray]:
    rows = _by_id(data, rows)
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def _spread(fit: Fit, n: int) -> IntArray:
    """int64 (n,): the group of each watched row of a fit whose groups are apart; of any other row, one of its own."""
    of = np.arange(n)
    if fit.apart is not None and len(fit.unseen):
        of[fit.unseen] = n + np.asarray(fit.apart)
    return of


def _whole_groups(data: Data, rows: IntArray, of: IntArray) -> Iterator[IntArray]:
    """Blocks of about BLOCK rows, no group in two of them: those of one sample first, in the order of the ids."""
    rows = _by_id(data, rows)
    _, first, group, size = np.unique(of[rows], return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first[group], size[group] > 1))
    rows, group = rows[order], group[order]
    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(rows))
    start = 0
    while start < len(rows):
        end = int(ends[min(int(np.searchsorted(ends, start + BLOCK)), len(ends) - 1)])
        yield rows[start:end]
        start = end


def _inputs(data: Data, rows: IntArray) -> FloatArray:
    """The vectors float64 (m, d) of these rows."""
    x = np.asarray(data.take(rows), dtype=np.float64)
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise DataError(
            f"features must be finite, but they are NaN or infinite for ids {some(data.ids[rows[~finite]])}"
        )
    return x


def _targets(data: Data, rows: IntArray) -> FloatArray:
    """The labels, one-hot float64 (m, C)."""
    return np.eye(len(data.class_names))[data.labels[rows]]


def _summed(data: Data, rows: IntArray, centre: FloatArray | None = None) -> Sums:
    """The sums over these rows, about their own mean unless another centre is given."""
    if centre is None:
        totals = (_inputs(data, block).sum(axis=0) for block in _blocks(data, rows))
        centre = np.asarray(sum(totals)) / len(rows)
    sums = Sums.zero(centre, len(data.class_names))
    for block in _blocks(data, rows):
        sums += sums_of(_inputs(data, block), _targets(data, block), centre)
    return sums


def _mean_eigenvalue(x: FloatArray) -> float:
    return float(np.square(x - x.mean(axis=0)).sum() / x.shape[1])


def _solved(sums: Sums, lam: float, fit: str) -> Solution:
    try:
        return solve(sums, lam)
    except LinAlgError as error:
        raise DataError(
            f"lam={lam:.3g} is too small for fit {fit} ({sums.n} samples of {len(sums.centre)} features): the matrix "
            "is singular to working precision; raise lam, or use lam=auto"
        ) from error
