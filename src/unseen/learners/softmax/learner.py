"""The learner `softmax`: multinomial logistic regression on frozen features, or ridge where that would be too large.

Every fit is solved up to rounding, so plans are exact, with one exception: `leave_one_out` is one fit, and each sample
or group is judged by one Newton step from it. The step is wrong where a sample moves the model far; see `tests/laws`.

The features must never have used the labels: they are self-supervised, or of a model of other data; see `ridge`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unseen.core.arrays import IntArray
from unseen.core.exposure import Fit, Plan
from unseen.core.observation import Observation, Side
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.errors import ArgumentError, DataError
from unseen.learners.base import check_positive, check_vectors, find_groups, refuse_target
from unseen.learners.ridge import RidgeLearner
from unseen.learners.ridge.reading import RowReader
from unseen.learners.softmax.leave_group_out import BATCH_BYTES, SAMPLE, GroupModels, choose_lam
from unseen.learners.softmax.solving import HELD_BYTES, train

MOST_COEFFICIENTS = 10_000  # the Hessian is the square of them: 800 MB


class SoftmaxLearner(Learner):
    """Softmax regression with an L2 penalty on the weights and none on the biases.

    Every fit is solved by itself, from 0, until a Newton step would move no logit by more than about 1e-10; a warm
    start would only be faster. `folds`, `halves`, `seen` and `coreset` are exact. `leave_one_out` is one fit and, for
    each sample or group, one Newton step (Rad and Maleki 2020, doi:10.1111/rssb.12374). Three kinds of groups are left
    out by training instead: those of more than a hundredth of the samples, those that hold all samples of a class, and
    up to 100 that the step moves by more than 50 nats. A class without training samples has the probability 1.2e-38.

    Memory, beside the data: three times (C (d + 1))^2 float64 and some blocks of rows; `memory` returns it. Time:
    n (C d)^2 and (C d)^3 operations, up to three times for each fit.

    Args:
        lam: the penalty lam / 2 |W|^2 beside the sum of losses, above 0; 1 / C of scikit-learn's `LogisticRegression`
            (2 / C of it for two classes, where it has one vector of weights). `"auto"` chooses the least log loss by
            approximate leave-one-out on at most 5,000 training rows of each fit, out of 10, 1, ..., 1e-5 mean
            eigenvalues of their centred Gram matrix; under `leave_one_out`, of all rows.

    Raises:
        ArgumentError: lam is neither `"auto"` nor a number above 0.

    >>> import numpy as np
    >>> import unseen
    >>> X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3
    >>> table = unseen.score(X, y, plan=unseen.leave_one_out(), learner="softmax:lam=2.0")
    >>> table.values["el2n"].shape
    (1, 60)
    """

    name = "softmax"
    closed_form = True

    def __init__(self, lam: float | str = "auto") -> None:
        self.lam = check_positive("lam", lam)

    def __repr__(self) -> str:
        return f"SoftmaxLearner(lam={self.lam!r})"

    def describe(self) -> dict[str, object]:
        """Return the option, how samples are left out, and what is fitted on labels."""
        about: dict[str, object] = {"learner": self.name, "lam": self.lam, "leave_one_out": "one Newton step"}
        if self.lam == "auto":
            about["fitted_on_labels"] = (
                f"lam, by approximate leave-one-out on at most {SAMPLE} training rows of each fit; under "
                "leave_one_out, of all rows"
            )
        return about

    def check(self, data: Data) -> None:
        """Refuse data that are not vectors, or have fewer than two classes or too many coefficients."""
        refuse_target(data, "softmax learns classes")
        check_vectors(data, self.name)
        if len(np.unique(data.labels)) < 2:
            raise DataError(
                f"softmax needs at least 2 classes, but every label is {data.class_names[data.labels[0]]!r}"
            )
        if coefficients(data) > MOST_COEFFICIENTS:
            raise DataError(
                f"softmax takes at most {MOST_COEFFICIENTS:,} coefficients, but {len(data.class_names):,} classes of "
                f"{data.sample_shape[0]:,} features and a bias have {coefficients(data):,}; use the learner 'ridge'"
            )

    def memory(self, data: Data, plan: Plan) -> int:
        """Return the most bytes of Hessians, kept inputs and blocks of rows, beside the data and the scores."""
        held = min(HELD_BYTES, 8 * len(data) * (int(data.sample_shape[0]) + 1))
        return 8 * 3 * coefficients(data) ** 2 + held + 4 * BATCH_BYTES

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
        """Solve, and push the observations of each watch set; a fit of many models continues from its checkpoint."""
        rows = RowReader(data, np.dtype(np.float64))

        def lam(chosen: IntArray) -> float:
            return (
                choose_lam(rows, chosen, find_groups(data, fit), seed, fit.name)
                if isinstance(self.lam, str)
                else self.lam
            )

        if fit.apart is not None:
            if sink.wants("unseen", 1, 1):
                GroupModels(rows, fit, lam, checkpoints, report).run(sink)
        else:
            model = train(rows, fit.train, lam(fit.train), fit.name)
            sides: tuple[Side, ...] = ("unseen", "seen")
            for side in sides:
                if sink.wants(side, 1, 1):
                    for block in rows.blocks(fit.watch(side)):
                        sink.observe(side, Observation(block, epoch=1, logits=model.outputs(rows.inputs(block))))
        report("epoch", epoch=1, epochs=1)


def coefficients(data: Data) -> int:
    """Return the number of coefficients, C (d + 1)."""
    return len(data.class_names) * (int(data.sample_shape[0]) + 1)


def softmax_or_ridge(data: Data, options: Mapping[str, Any]) -> Learner:
    """Make the softmax learner, or ridge with a warning where the data set has too many coefficients.

    The manifest then names ridge, which learns. `lam` is not passed to ridge, which chooses its own: beside squared
    errors it would be another penalty.
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
