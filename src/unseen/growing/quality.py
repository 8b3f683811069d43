"""The quality of a coreset at a step: accuracy on samples that the judging models never saw, with its interval.

All intervals are of 95 % and cover the sampling of the judged samples. They do not cover what another seed of the
training would have changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from unseen.types import IntArray

__all__ = ["LEVEL", "Estimate", "accuracy", "change", "class_errors"]

LEVEL = 0.95

Correct = npt.NDArray[Any]  # 1 or True for right, 0 or False for wrong, -1 for who was not judged


class Estimate(NamedTuple):
    """A value and the interval around it."""

    value: float
    low: float
    high: float


def accuracy(correct: Correct) -> Estimate | None:
    """The share of right predictions, with Wilson's interval; None where nobody was judged.

    Args:
        correct: (m,), see `Correct`.

    >>> tuple(round(x, 3) for x in accuracy(np.arange(100) < 90))
    (0.9, 0.826, 0.945)

    """
    from scipy.stats import binomtest  # takes a third of a second, which few who import the verbs need

    judged = correct[correct >= 0]
    right, m = int(judged.sum()), len(judged)
    if not m:
        return None
    interval = binomtest(right, m).proportion_ci(LEVEL, method="wilson")
    return Estimate(right / m, float(interval.low), float(interval.high))


def change(now: Correct, before: Correct) -> Estimate | None:
    """The change in accuracy on the same samples, paired, with the normal interval of a mean difference.

    None where nobody was judged in both.

    Args:
        now: (m,), see `Correct`.
        before: (m,), of the same samples; those judged in both count.

    >>> tuple(round(x, 3) for x in change(np.arange(100) < 90, np.arange(100) < 80))
    (0.1, 0.041, 0.159)

    """
    # From counts, which do not depend on the order of the samples, not in the last bit either.
    both = (now >= 0) & (before >= 0)
    step = now[both].astype(np.int8) - before[both].astype(np.int8)
    m, gained, lost = len(step), int((step > 0).sum()), int((step < 0).sum())
    if not m:
        return None
    mean = (gained - lost) / m
    variance = (gained + lost - m * mean**2) / (m - 1) if m > 1 else 0.0
    half = float(ndtri(0.5 + LEVEL / 2)) * (max(variance, 0.0) / m) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def class_errors(correct: Correct, labels: IntArray, classes: int) -> tuple[float | None, ...]:
    """The share of wrong predictions of each class; None for a class of which nobody was judged.

    >>> class_errors(np.array([True, False, True]), np.array([0, 0, 1]), 3)
    (0.5, 0.0, None)
    """
    asked = np.bincount(labels[correct >= 0], minlength=classes)
    wrong = np.bincount(labels[correct == 0], minlength=classes)
    return tuple(float(w / a) if a else None for w, a in zip(wrong.tolist(), asked.tolist(), strict=True))
