"""The two scalars of a ridge regression chosen by leave-one-out: lambda, and the temperature of its outputs."""

from __future__ import annotations

import numpy as np

from unseen import seeds
from unseen.closed_form import EveryLam
from unseen.learners.ridge.passes import LEAST_GAP
from unseen.learners.ridge.reading import Rows, by_id
from unseen.scores.alignment import temperature_of
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
    blocks = range(regressions.blocks)
    if lam is None:
        lams = (GRID * scale).tolist()
        errors = np.empty((len(lams), len(blocks)))

        def judge(place: tuple[int, int]) -> None:
            errors[place] = _error(regressions, lams[place[0]], place[1], weights)

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
        return lam, 1.0  # all rows are copies of each other: nothing is learned, at any temperature
    labels, outputs = (data.labels[sample], outputs) if sound.all() else (data.labels[sample][sound], outputs[sound])
    return lam, temperature_of(outputs, labels)


def _error(regressions: EveryLam, lam: float, block: int, weights: FloatArray | None) -> float:
    """The weighted squares of what each row's prediction without it is off by; infinite where that is not known."""
    rows, off, gap = regressions.off(lam, block)
    if not (gap > LEAST_GAP).all():
        return np.inf
    squares = np.einsum("ij,ij->i", off, off)
    return float(squares.sum() if weights is None else weights[rows] @ squares)


def mean_eigenvalue(x: FloatArray) -> float:
    """Of Z'Z, where Z is x less its mean."""
    mean = x.mean(axis=0)
    centred = (x[start : start + 1024] - mean for start in range(0, len(x), 1024))  # large new arrays are dear
    return float(sum(np.vdot(z, z) for z in centred) / x.shape[1])
