"""The two scalars of a ridge regression chosen by leave-one-out: lambda, and the temperature of its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from unseen import seeds
from unseen.closed_form import left_out_by_lam
from unseen.learners.ridge.reading import Rows, by_id
from unseen.learners.ridge.together import LEAST_GAP
from unseen.scores.alignment import temperatures
from unseen.types import FloatArray, IntArray

__all__ = ["GRID", "SAMPLE", "tuned"]

SAMPLE = 20_000  # rows that they are chosen on, at most
GRID = np.logspace(-6, 2, 9)  # of lambda, in units of the mean eigenvalue of Z'Z


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
    sample = by_id(data, ranked[np.isin(ranked, among, assume_unique=True)][:SAMPLE])
    x, y, weights = given.inputs(sample, np.float64), given.targets(sample), given.weights_of(sample)
    lams: FloatArray = GRID * (mean_eigenvalue(x) or 1.0) if lam is None else np.array([lam])
    best, least, kept = lams[-1], np.inf, None
    for each, (outputs, gap) in zip(lams, left_out_by_lam(x, y, of[sample], lams, weights), strict=True):
        sound = gap > LEAST_GAP
        error = float(_mean_square(outputs - y, weights)) if sound.all() else np.inf
        if kept is None or error < least:
            best, least, kept = each, error, (outputs[sound], data.labels[sample][sound])
    if temperature is not None:
        return float(best), temperature
    if kept is None or not len(kept[0]):
        return float(best), 1.0  # all rows are copies of each other: nothing is learned, at any temperature
    return float(best), float(temperatures(*kept, np.zeros(len(kept[0]), np.int64))[0])


def mean_eigenvalue(x: FloatArray) -> float:
    """Of Z'Z, where Z is x less its mean."""
    return float(np.square(x - x.mean(axis=0)).sum() / x.shape[1])


def _mean_square(errors: FloatArray, weights: FloatArray | None) -> Any:
    return np.average(np.square(errors).mean(axis=1), weights=weights)
