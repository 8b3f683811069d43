"""The cheap first answer of `advise`: a linear head on features in place of the training that is meant."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from unseen.data.arrays import from_arrays
from unseen.errors import ArgumentError
from unseen.learners.classes import refuse_target
from unseen.protocols import Data, Learner
from unseen.rules.inputs import checked_features

__all__ = ["ESTIMATE", "LEARNER", "TRAP", "check_head", "vectors_of"]

ESTIMATE = "an estimate under a linear head"
LEARNER = "ridge"
TRAP = "a backbone that was trained on these labels has seen every sample: its features make the estimate too good"


def vectors_of(data: Data, features: npt.ArrayLike | None, test: Any) -> Data:
    """The data set as vectors: its features where they are given, or the vectors that it is.

    Args:
        data: any data set.
        features: (n, d), or None.
        test: the test set, which brings no features.

    Raises:
        DataError: a regression target in the place of classes.
        ArgumentError: neither vectors nor features; or features, and a test set without.

    """
    refuse_target(data, "quick=True tests the accuracy of classes", "`prune` and `select` work without classes")
    if features is None:
        if data.kind != "vector":
            raise ArgumentError(
                f"quick=True trains a linear head on vectors, but this is {data.kind} data: give features=, an array "
                "(n, d) of an extractor that never saw the labels, or leave quick out"
            )
        return data
    if test is not None:
        raise ArgumentError(
            "quick=True with features= tests on a probe split, since the test set brings no features: leave test out, "
            "or give data sets of vectors for both"
        )
    return from_arrays(
        checked_features(features, data.ids),
        data.labels,
        ids=data.ids,
        groups=data.groups,
        class_names=data.class_names,
    )


def check_head(learner: Learner, trainee: Any) -> None:
    """Refuse anything but one linear learner in closed form."""
    if trainee is not None:
        raise ArgumentError("quick=True trains a linear head on the coresets: leave trainee out, or quick")
    if not learner.closed_form:
        raise ArgumentError(
            f"quick=True trains a linear head in closed form, which {learner.name!r} is not: leave learner out, or "
            "give 'ridge:lam=...', or leave quick out"
        )
