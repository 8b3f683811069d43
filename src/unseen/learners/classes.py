"""What classes ask for: no regression target, whose bins would be taken for them; and logits, not probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from unseen.errors import ArgumentError, DataError
from unseen.protocols import Data
from unseen.scores.base import Score
from unseen.types import Array, FloatArray

__all__ = ["check_scores", "logits_of", "look_like_probabilities", "refuse_target"]

FLOOR = float(np.finfo(np.float32).tiny)
ROUNDING = 1e-2  # of a sum of probabilities: half precision leaves as much

LEARN = "use the learner 'ridge', or hand in the losses of your own model with unseen.Recorder"


def refuse_target(data: Data, does: str, instead: str = LEARN) -> None:
    """Refuse data with a regression target.

    Args:
        data: the data set.
        does: what it is refused by, and why, such as `"logistic learns classes"`.
        instead: what can be done.

    Raises:
        DataError: it has a target.

    """
    if data.targets is not None:
        raise DataError(f"{does}, but this data set has a target; {instead}")


def logits_of(probabilities: Any) -> FloatArray:
    """The logarithm of probabilities; zero is raised to the smallest normal float32, so that a loss stays finite.

    >>> logits_of(np.array([[1.0, 0.0]])).round(1).tolist()
    [[0.0, -87.3]]
    """
    logits: FloatArray = np.log(np.maximum(probabilities, FLOOR))
    return logits


def look_like_probabilities(values: Array) -> bool:
    """Whether all rows lie in [0, 1] and sum to 1, NumPy or torch, (..., C)."""
    if not values.shape[0]:
        return False
    if not (float(values.min()) >= 0 and float(values.max()) <= 1 + ROUNDING):
        return False
    return float(abs(values.sum(-1) - 1).max()) <= ROUNDING


def check_scores(data: Data, scores: Iterable[Score]) -> None:
    """Refuse scores that read classes of data with a regression target.

    Raises:
        ArgumentError: a score that reads logits, where no loss takes their place.

    """
    for score in scores:
        if data.targets is not None and "logits" in score.needs and not score.from_loss:
            raise ArgumentError(
                f"score {score.label!r} needs classes, but this data set has a target; use 'loss', the squared residual"
            )
