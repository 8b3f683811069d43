"""The learner of the name `softmax`: the regression, or ridge where it would be too large."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from unseen.errors import ArgumentError
from unseen.learners.ridge import RidgeLearner
from unseen.learners.softmax.learner import MOST_COEFFICIENTS, SoftmaxLearner, coefficients
from unseen.protocols import Data, Learner

__all__ = ["softmax_or_ridge"]


def softmax_or_ridge(data: Data, options: Mapping[str, Any]) -> Learner:
    """The learner, by the shape of the data set; a warning tells if it is another than asked for.

    The manifest then holds ridge, since that is what learns. `lam` does not go over: beside squared errors it would
    mean another penalty, so ridge chooses its own.
    """
    unknown = [key for key in options if key != "lam"]
    if unknown:
        raise ArgumentError(f"learner 'softmax' has no option {unknown[0]!r}; its options: lam")
    softmax = SoftmaxLearner(**options)
    if data.kind != "vector" or data.targets is not None or coefficients(data) <= MOST_COEFFICIENTS:
        return softmax
    warnings.warn(
        f"softmax takes at most {MOST_COEFFICIENTS:,} coefficients, but {len(data.class_names):,} classes of "
        f"{data.sample_shape[0]:,} features and a bias have {coefficients(data):,}; 'ridge' learns in its place, with "
        "lam and temperature of its own choice. Name ridge as the learner to silence this.",
        UserWarning,
        stacklevel=2,
    )
    return RidgeLearner()
