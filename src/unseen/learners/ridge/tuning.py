"""The two scalars of a ridge regression chosen by leave-one-out: lambda, and the temperature of its outputs."""

from __future__ import annotations

import numpy as np

from unseen import seeds
from unseen.closed_form import EveryLam
from unseen.learners.ridge.passes import LEAST_GAP
from unseen.learners.ridge.reading import Rows, by_id
from unseen.scores.alignment import temperatures
from unseen.threads import for_each, one_thread_each
from unseen.types import FloatArray, IntArray

__all__ = ["GRID", "SAMPLE", "sample_size", "tuned"]

SAMPLE, LEAST_SAMPLE = 20_000, 5_000  # rows that they are chosen on, at most and where there are very many answers
SAMPLED_ANSWERS = 10**7  # of these rows
GRID = np.logspace(-6, 2, 9)  # of lambda, in units of the mean eigenvalue of Z'Z


def sample_size(n: int, width: int) -> int:
    """How many of n rows they are chosen on, for answers of so many columns.

    >>> sample_size(1_281_167, 10), sample_size(1_281_167, 1_000)
    (20000, 10000)

    """
    return min(n, SAMPLE, max(LEAST_SAMPLE, SAMPLED_ANSWERS // width))


def tuned(
    given: Rows, among: IntArray, of: IntArray, seed: int, lam: float | None, temperature: float | None
) -> tuple[float, float]:
    """Lambda and temperature, by exact leave-one-out on a sample of these rows, drawn by (seed, id).

    Args:
        given: the data set.
        among: int64 rows to draw from.
        of: int64 (n,) group of each row; groups are left out together.
        seed: of the draw.
        lam: the penalty where it is set, else None.
        temperature: likewise.

    """
    if lam is not None and temperature is not None:
        return lam, temperature
    data = given.data
    ranked = seeds.order(seed, data.ids, "ridge")
    ranked = ranked[np.isin(ranked, among, assume_unique=True)]
    sample = by_id(data, ranked[: sample_size(len(ranked), given.answers.width)])
    x, y, weights = given.inputs(sample, np.float64), given.targets(sample), given.weights_of(sample)
    scale = mean_eigenvalue(x) or 1.0
    regressions = EveryLam(x, y, of[sample], weights)
    if lam is None:
        lams = (GRID * scale).tolist()
        errors = np.empty(len(lams))

        def judge(at: int) -> None:
            errors[at] = _error(regressions, lams[at], weights)

        with one_thread_each():
            for_each(judge, range(len(lams)))
        lam = lams[int(np.argmin(errors))] if np.isfinite(errors).any() else lams[0]
    if temperature is not None:
        return lam, temperature
    outputs, sound = np.empty_like(y), np.empty(len(y), bool)
    for rows, some, gap in regressions.left_out(lam):
        outputs[rows], sound[rows] = some, gap > LEAST_GAP
    if not sound.any():
        return lam, 1.0  # all rows are copies of each other: nothing is learned, at any temperature
    labels = data.labels[sample][sound]
    return lam, float(temperatures(outputs[sound], labels, np.zeros(len(labels), np.int64))[0])


def _error(regressions: EveryLam, lam: float, weights: FloatArray | None) -> float:
    """The weighted mean square of what each row's prediction without it is off by; infinite where that is not known."""
    total = 0.0
    for rows, off, gap in regressions.off(lam):
        if not (gap > LEAST_GAP).all():
            return np.inf
        squares = np.einsum("ij,ij->i", off, off)
        total += float(squares.sum() if weights is None else weights[rows] @ squares)
    return total / (regressions.y.size if weights is None else regressions.y.shape[1] * weights.sum())


def mean_eigenvalue(x: FloatArray) -> float:
    """Of Z'Z, where Z is x less its mean."""
    z = x - x.mean(axis=0)
    return float(np.vdot(z, z) / x.shape[1])
