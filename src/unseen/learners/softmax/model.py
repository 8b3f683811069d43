"""A softmax regression trained on rows of a data set: read in blocks by id, its classes those that the rows have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from unseen.errors import DataError
from unseen.learners.ridge.reading import Rows
from unseen.learners.softmax.solving import Block, LinAlgError, Problem
from unseen.types import FloatArray, IntArray

__all__ = ["ABSENT", "Model", "trained"]

HELD_BYTES = 2**28  # of inputs that are kept in memory while a model is solved; beyond, they are read at each pass
ABSENT = float(np.log(np.finfo(np.float32).tiny))  # log-probability of a class that the training rows lack


@dataclass(frozen=True, eq=False)
class Model:
    """A regression that is solved.

    Args:
        centre: float64 (d,), subtracted from each row.
        present: int64 (P,) classes of the training rows, ascending.
        classes: C of the data set.
        theta: float64 (P, d + 1).
        problem: what it solves.

    """

    centre: FloatArray
    present: IntArray
    classes: int
    theta: FloatArray
    problem: Problem

    def design(self, x: FloatArray) -> FloatArray:
        """float64 (m, d + 1): x about the centre, and 1."""
        return _design(x, self.centre)

    def outputs(self, x: FloatArray) -> FloatArray:
        """Logits float64 (m, C) of x (m, d)."""
        return self.over_all(self.design(x) @ self.theta.T)

    def over_all(self, logits: FloatArray) -> FloatArray:
        """Logits (m, C) of logits (m, P): a class that was absent in training has the probability 1.2e-38."""
        if len(self.present) == self.classes:
            return logits
        everything = np.repeat(logsumexp(logits, axis=1, keepdims=True) + ABSENT, self.classes, axis=1)
        everything[:, self.present] = logits
        return everything

    def codes(self, labels: IntArray) -> IntArray:
        """Labels as places in `present`."""
        return np.searchsorted(self.present, labels)


def trained(rows: Rows, chosen: IntArray, lam: float, name: str, start: FloatArray | None = None) -> Model:
    """The regression on these rows.

    Args:
        rows: the data set, read in float64.
        chosen: int64 rows trained on.
        lam: the penalty.
        name: of the fit, for messages.
        start: a theta to begin at, or None.

    Raises:
        DataError: the rows are of one class; lam is too small.

    """
    labels = rows.data.labels
    present = np.unique(labels[chosen])
    if len(present) < 2:
        raise DataError(
            f"softmax cannot learn from fit {name}: it needs samples of at least 2 classes, but its {len(chosen)} "
            f"training samples are of {len(present)}"
        )
    centre = rows.centre(chosen)

    def read() -> Iterable[Block]:
        for block in rows.blocks(chosen):
            x = _design(rows.inputs(block), centre)
            codes = np.searchsorted(present, labels[block])
            step = max(64, rows.block // (len(present) + 1))  # so that C copies of a part are no larger than a block
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


def _design(x: FloatArray, centre: FloatArray) -> FloatArray:
    design = np.ones((len(x), x.shape[1] + 1))
    np.subtract(x, centre, out=design[:, :-1])
    return design
