"""An arm after its trainings: what each replicate came to, and which replicates are draws of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unseen.evaluating.arms import Kind
from unseen.types import FloatArray, IntArray

__all__ = ["ArmResult", "by_draw"]


@dataclass(frozen=True, eq=False)
class ArmResult:
    """An arm after its trainings, last epoch only; arrays have one entry a replicate.

    Args:
        name: of the arm.
        kind: `"coreset"`, `"full"`, `"random"`, `"random-stratified"` or `"dedup"`.
        draws: how many different training sets there are among the replicates.
        kept: int64 (R,) samples trained on.
        epochs: int64 (R,); 0 of a learner without epochs.
        steps: int64 (R,) optimiser steps; 0 of a learner without.
        samples_seen: int64 (R,) samples passed over.
        accuracy: float64 (R,) share of the test samples predicted rightly.
        by_class: float64 (R, C) the same of each class, NaN where the test holds none.
        error: standard error of the mean accuracy that comes of the test set being a sample.
        beside: of a coreset, its baselines: kind to name.
        beside_error: the same error of the difference to each, by kind; and to the full data of a baseline, too.
        class_error: likewise of each class, C of them; NaN where the test holds fewer than two of it.

    """

    name: str
    kind: Kind
    draws: int
    kept: IntArray
    epochs: IntArray
    steps: IntArray
    samples_seen: IntArray
    accuracy: FloatArray
    by_class: FloatArray
    error: float
    beside: dict[str, str] = field(default_factory=dict)
    beside_error: dict[str, float] = field(default_factory=dict)
    class_error: dict[str, list[float]] = field(default_factory=dict)


def by_draw(values: FloatArray, draws: int) -> FloatArray:
    """Means of (R, ...) over the replicates that share a training set, if there are several sets, fewer than R."""
    if not 1 < draws < len(values):
        return values
    return np.stack([values[draw::draws].mean(axis=0) for draw in range(draws)])
