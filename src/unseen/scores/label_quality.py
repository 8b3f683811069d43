"""Scores of label quality, which ask whether a label is right, and a wrapper that keeps held-out probabilities.

These scores read the same held-out predictions as scores of hardness. But a low quality suggests removing the sample,
whereas as hardness the same signal may suggest keeping it. Use held-out predictions only: a model that was trained on a
wrong label confirms it. The pure functions take and return arrays as those in `pointwise` do.

`Keeping` wraps a score and also keeps the held-out probabilities of all classes in the results of the fits, from where
`unseen.export` writes them to a file that other tools read. They are in no table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from unseen.core.arrays import Array, FloatArray, IntArray, as_numpy, is_tensor
from unseen.core.exposure import Observation, Side
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Means, Pointwise, Score, State, Wrapper, holds, require, rowwise

LABEL_ISSUE = "label_issue"  # the score that estimates the number of wrong labels in a coreset
CANDIDATES = 12  # most probable classes of a sample that are kept; any other class has a probability below 1/13
# If all samples of a class have the same prediction, its threshold equals their probability up to rounding.
ROUNDING = 1e-12


def self_confidence(logits: Array, labels: Array) -> Array:
    """Compute p_y: easier when higher, low where the label is doubtful, in [0, 1].

    (n, C) logits and (n,) labels give float64 (n,). `ArgumentError` refuses wrong shapes, labels out of range, NaN and
    infinite logits.

    >>> self_confidence(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.5, 0.1]
    """
    return be.rowwise(be.p_label, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class SelfConfidence(Pointwise):
    """`self_confidence` of the requested observations.

    Fails: It cannot tell a wrong label from a hard sample, or from one that the model never learned. It is useless
    in-sample: a model that was trained on the label confirms it.
    """

    name = "self_confidence"
    kernel = staticmethod(be.p_label)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "p_y"
    source = "Northcutt et al. 2021 (arXiv 1911.00068)"


def normalized_margin(logits: Array, labels: Array) -> Array:
    """Compute (p_y - largest other p + 1) / 2: easier when higher, low where the label is doubtful, in [0, 1].

    (n, C) logits and (n,) labels give float64 (n,). `ArgumentError` refuses wrong shapes, labels out of range, NaN and
    infinite logits.

    >>> normalized_margin(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.5, 0.1]
    """
    return be.rowwise(be.normalized_margin, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class NormalizedMargin(Pointwise):
    """`normalized_margin` of the requested observations.

    Fails: Like `self_confidence`; but a low p_y counts less if no other class is likely either.
    """

    name = "normalized_margin"
    kernel = staticmethod(be.normalized_margin)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "(p_y - max over others of p + 1) / 2"
    source = "Northcutt et al. 2021 (arXiv 1911.00068)"


def label_issue(logits: Array, labels: Array) -> Array:
    """Find label issues by the confident joint (Northcutt et al. 2021, arXiv 1911.00068).

    The threshold of class k is the mean p_k of the samples labelled k. A sample is an issue if some class reaches its
    threshold, and the most probable of these classes is likelier than the label. Without the second condition, as in
    the paper, a class of a few samples makes issues of many others: models hardly know it, so its threshold is near 0.
    Only the 12 most probable classes of a sample are considered. A class without samples has no threshold, and is never
    reached.

    (n, C) held-out logits and (n,) labels give bool (n,). `ArgumentError` refuses wrong shapes, labels out of range,
    NaN and infinite logits.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> label_issue(np.log(p), np.array([0, 0, 1, 1, 1])).tolist()
    [False, False, False, False, True]
    """
    logits, labels = be.checked(logits, labels)
    _, p, own, _ = _confident_class(logits, labels)
    return be.like(p > own, logits)


def label_error_share(logits: Array, labels: Array) -> float:
    """Estimate the share of wrong labels, in [0, 1]: the off-diagonal share of the calibrated confident joint.

    It estimates the share of wrong labels if the model is strong; for a weak model it measures the weakness.

    Samples are counted by label and confident class (see `label_issue`). Each row of this table is scaled to the number
    of samples with that label, and the whole to 1. It takes (n, C) held-out logits and (n,) labels. Northcutt et al.
    2021 (arXiv 1911.00068). `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> round(label_error_share(np.log(p), np.array([0, 0, 1, 1, 1])), 4)
    0.2
    """
    logits, labels = be.checked(logits, labels)
    classes = int(logits.shape[1])
    confident, _, _, y = _confident_class(logits, labels)
    sure = confident >= 0
    joint = np.bincount(y[sure] * classes + confident[sure], minlength=classes**2).reshape(classes, classes)
    rows = joint.sum(axis=1)
    # A label without a confident sample gives no evidence of errors: its share stays on the diagonal.
    right = np.divide(np.diag(joint), rows, out=np.ones(classes), where=rows > 0)
    counts = np.bincount(y, minlength=classes)
    return float((counts * (1.0 - right)).sum() / max(1, len(y)))


def _confident_class(logits: Array, labels: Array) -> tuple[IntArray, FloatArray, FloatArray, IntArray]:
    """Return the confident class of each sample and its p (see `_confident`), p_y, and the labels, (n,) each."""
    loss, y = as_numpy(be.rowwise(be.loss, logits, labels)), as_numpy(labels)
    own = np.exp(-loss)
    return *_confident(*_candidates(logits, y, loss), own, y), own, y


def _candidates(logits: Array, y: IntArray, loss: FloatArray) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Find the k = min(12, C) most probable classes (m, k), ascending, and their p, of labels y and loss -log p_y."""
    classes = np.sort(as_numpy(be.largest(logits, min(CANDIDATES, logits.shape[1]))), axis=1)
    at = np.concatenate([classes, y[:, None]], axis=1)
    taken = logits.gather(1, be.like(at, logits)) if is_tensor(logits) else np.take_along_axis(logits, at, axis=1)
    z = be.double(as_numpy(taken))
    return classes.astype(np.int32), np.exp(z[:, :-1] - z[:, -1:] - loss[:, None])


def _confident(
    classes: npt.NDArray[np.int32], p: FloatArray, own: FloatArray, y: IntArray
) -> tuple[IntArray, FloatArray]:
    """Find the likeliest of the candidates (n, k) that reach their threshold, int64 (n,), and its p; -1 where none."""
    size = 1 + max(y.max(initial=0), classes.max(initial=0))
    counts, sums = np.bincount(y, minlength=size), np.bincount(y, weights=own, minlength=size)
    thresholds = np.divide(sums, counts, out=np.full(size, np.inf), where=counts > 0) - ROUNDING
    reached = np.where(p >= thresholds[classes], p, -1.0)
    best = np.argmax(reached, axis=1)[:, None]
    confident = np.take_along_axis(classes, best, axis=1)[:, 0].astype(np.int64)
    largest = np.take_along_axis(reached, best, axis=1)[:, 0]
    return np.where(largest >= 0.0, confident, -1), largest


@dataclass(frozen=True, kw_only=True)
class LabelIssue(Score):
    """`label_issue` of the last observation, 1 or 0, with the thresholds of each watch set; the mean over repeats.

    Cost: No more than the trainings of the plan, and one forward pass over the watch sets.

    Fails: Classes with few samples in a watch set have imprecise thresholds. Where a model judges samples of one class,
    such as a single one (`leave_one_out` by a learner that is not in closed form), no other class has a threshold, and
    the value is NaN: take `folds`. A weak model flags hard samples, and a bias of the model against a class looks like
    label noise in that class. It has two values: a flag, not a ranking. With more than 12 classes, only the 12 most
    probable ones of a sample are considered.
    """

    name = "label_issue"
    direction = "harder"
    low, high = 0.0, 1.0
    whole = True
    formula = "1 where the most probable class above its mean self-confidence is likelier than y"
    source = "Northcutt et al. 2021 (arXiv 1911.00068)"

    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the state of the last observation: most probable classes, their probabilities, p_y, and labels."""
        k = min(CANDIDATES, classes)
        return {
            "classes": np.zeros((m, k), np.int32), "p": np.zeros((m, k)), "own": np.zeros(m),
            "label": np.zeros(m, np.int64), "count": np.zeros(m, np.int32),
        }  # fmt: skip

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Replace the last observation by this one."""
        if holds(observation, self.needs):
            loss = as_numpy(rowwise(be.loss, observation, labels))
            state["classes"][at], state["p"][at] = _candidates(be.as_array(observation.logits), labels, loss)
            state["own"][at], state["label"][at], state["count"][at] = np.exp(-loss), labels, 1

    def finish(self, state: State, side: Side) -> State:
        """Return the flags, from the thresholds over all samples; NaN where these are of one class."""
        require(self, state["count"], 1)
        if np.ptp(state["label"]) == 0:
            return {"value": np.full(len(state["label"]), np.nan)}
        _, p = _confident(state["classes"], state["p"], state["own"], state["label"])
        return {"value": (p > state["own"]).astype(float)}


KEPT = "kept."  # quantities with this prefix go into no table
PROBABILITIES, ROWS = "kept.probabilities", "kept.rows"


@dataclass(frozen=True)
class Keeping(Wrapper):
    """A score of held-out logits that also keeps the probabilities of the last observation.

    The state holds C float64 a sample until the fit ends; the result of the fit holds C float32.

    >>> from unseen.scores import resolve
    >>> resolve("self_confidence@probabilities").label
    'self_confidence@probabilities'
    """

    name = "keeping"
    suffix = "@probabilities"
    passed_on = ("direction", "low", "high", "per_repeat", "least_repeats", "whole", "fitted_on_labels")
    formula = source = "that of the score"

    def __post_init__(self) -> None:
        if self.of.sides != ("unseen",):
            raise ArgumentError(
                f"held-out probabilities are kept beside a score of the held-out side alone, which {self.of.label!r} "
                "is not; use self_confidence@probabilities"
            )
        super().__post_init__()
        object.__setattr__(self, "needs", self.of.needs | {"logits"})

    @property
    def least_epochs(self) -> int:
        """The least number of epochs of the score."""
        return self.of.least_epochs

    def wants(self, side: Side, epoch: int, last: int) -> bool:
        """Tell whether the score wants this observation, or it is the last one."""
        return self.of.wants(side, epoch, last) or super().wants(side, epoch, last)

    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the state of the score, and that of the last logits."""
        own = {"logits": np.zeros((m, classes)), "rows": np.full(m, -1), "seen": np.zeros(m, np.int32)}
        return {**own, **{f"of.{name}": array for name, array in self.of.start(side, m, classes).items()}}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Update the state of the score, and replace earlier logits by these."""
        self.of.update(_inner(state), side, at, observation, labels)
        if observation.logits is not None:
            state["logits"][at] = as_numpy(observation.logits)
            state["rows"][at], state["seen"][at] = observation.rows, 1

    def finish(self, state: State, side: Side) -> State:
        """Return what the score measured, the probabilities, and their rows."""
        require(self, state["seen"], 1)
        kept = softmax(state["logits"], axis=1).astype(np.float32)
        return {**self.of.finish(_inner(state), side), PROBABILITIES: kept, ROWS: state["rows"]}

    def join(self, means: Means) -> FloatArray:
        """Compute the score, without the kept probabilities."""
        return self.of.join(means)


def _inner(state: State) -> State:
    """Return the state of the wrapped score: the arrays themselves, without the prefix of their names."""
    return {name.removeprefix("of."): array for name, array in state.items() if name.startswith("of.")}
