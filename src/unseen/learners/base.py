"""What learners share: names in words, checks of data, logits of probabilities, the order of rows, progress, groups.

Nothing here imports scikit-learn or torch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from unseen.core.arrays import Array, Arrays, FloatArray, IntArray, sort_by_id
from unseen.core.checks import is_number
from unseen.core.exposure import Fit
from unseen.core.protocols import CheckpointStore, Data
from unseen.data.labels import join_groups
from unseen.errors import ArgumentError, DataError
from unseen.scores.streaming import Score

ESTIMATORS = ("logistic", "forest", "extra_trees", "hist_gradient_boosting", "tfidf")  # functions of `sklearn.py`


def in_words(described: Any) -> str:
    """Name a learner in words, by its description; return an empty text where this has no learner.

    >>> in_words({"learner": "sklearn:LogisticRegression"}), in_words({"learner": "sklearn:RandomForestClassifier"})
    ('logistic regression', 'random forest')
    >>> in_words({"learner": "torch", "recipe": {"network": "resnet18"}}), in_words({"learner": "ridge"})
    ('resnet18', 'ridge regression')
    >>> in_words({"learner": "sklearn:SVC"}), in_words({"learner": "sklearn:GaussianNB"})
    ('SVC', 'Gaussian NB')
    """
    if not isinstance(described, dict) or "learner" not in described:
        return ""
    name = str(described["learner"])
    recipe = described.get("recipe")
    if isinstance(recipe, dict) and "network" in recipe:
        return str(recipe["network"]).rpartition(":")[2]
    if name in ("ridge", "softmax"):
        return f"{name} regression"
    if not name.startswith("sklearn:"):
        return name
    name = name.removeprefix("sklearn:")
    short = name.removesuffix("Classifier").removesuffix("Regressor") or name
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[^A-Z]+", short)
    # Names of people keep their capitals.
    return " ".join(word if word.isupper() or word in ("Gaussian", "Bernoulli") else word.lower() for word in words)


# ---- checks of data and scores, and logits -------------------------------------------------------------------------

FLOOR = float(np.finfo(np.float32).tiny)
ROUNDING = 1e-2  # error of a sum of probabilities; bfloat16 rounds one by less than half of that

LEARN = (
    "use the learner 'ridge', 'hist_gradient_boosting' or 'forest', a regressor of scikit-learn, or record the losses "
    "of your own model with unseen.Recorder"
)


def refuse_target(data: Data, does: str, instead: str = LEARN) -> None:
    """Refuse data with a regression target; `does` is the reason, such as `"logistic learns classes"`."""
    if data.targets is not None:
        raise DataError(f"{does}, but this data set has a target; {instead}; classes are named by label=, not target=")


def logits_of(probabilities: Any) -> FloatArray:
    """Return the logarithm of probabilities; zero counts as the smallest normal float32, so that losses are finite.

    >>> logits_of(np.array([[1.0, 0.0]])).round(1).tolist()
    [[0.0, -87.3]]
    """
    logits: FloatArray = np.log(np.maximum(probabilities, FLOOR))
    return logits


def look_like_probabilities(values: Array) -> bool:
    """Return whether all rows are in [0, 1] and sum to 1; the values are NumPy or torch, (..., C)."""
    return bool(
        values.shape[0]
        and values.min() >= 0
        and values.max() <= 1 + ROUNDING
        and abs(values.sum(-1) - 1).max() <= ROUNDING
    )


def by_id(data: Data, rows: IntArray) -> IntArray:
    """Return rows in the order of their ids, so that rounding does not depend on the order of the rows."""
    return rows[sort_by_id(data.ids[rows])]


def check_scores(data: Data, scores: Iterable[Score]) -> None:
    """Refuse scores that read classes, and cannot be computed from a loss, for data with a regression target."""
    for score in scores:
        if data.targets is not None and "logits" in score.needs and not score.from_loss:
            raise ArgumentError(
                f"score {score.label!r} needs classes, but this data set has a target; use 'loss', the squared residual"
            )


# ---- checkpoints ---------------------------------------------------------------------------------------------------

SECONDS = 30.0  # between checkpoints of a fit without epochs


class Progress:
    """The progress of a fit without epochs: it reports each hundredth, and says when a checkpoint is due."""

    def __init__(self, checkpoints: CheckpointStore, report: Callable[..., None]) -> None:
        self._checkpoints, self._report = checkpoints, report
        self._saved, self._reported = time.monotonic(), 0.0

    def report(self, part: float) -> None:
        """Report that a part of the work, 0 to 1, is done."""
        if int(100 * part) > int(100 * self._reported):
            self._report("part", part=part)
            self._reported = part

    def is_due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return time.monotonic() - self._saved > SECONDS

    def save(self, arrays: Arrays) -> None:
        """Save a checkpoint."""
        self._checkpoints.save(arrays)
        self._saved = time.monotonic()


# ---- learners of vectors that leave samples out in closed form -----------------------------------------------------


def check_positive(name: str, value: float | str) -> float | str:
    """Refuse an option that is neither a number above 0 nor `"auto"`; return it."""
    if value == "auto":
        return "auto"
    if not is_number(value) or not 0 < value < np.inf:
        raise ArgumentError(f"{name} must be a number above 0, or 'auto', got {value!r}")
    return float(value)


def check_two_classes(data: Data, learner: str) -> None:
    """Refuse data of a single class."""
    if len(np.unique(data.labels)) < 2:
        raise DataError(f"{learner} needs at least 2 classes, but every label is {data.class_names[data.labels[0]]!r}")


def check_trained_classes(data: Data, trained: IntArray, fit: str, learner: str) -> None:
    """Refuse training rows of a single class."""
    classes = len(np.unique(data.labels[trained]))
    if classes < 2:
        raise DataError(
            f"{learner} cannot learn from fit {fit}: it needs samples of at least 2 classes, but its {len(trained)} "
            f"training samples are of {classes}"
        )


def check_vectors(data: Data, learner: str) -> None:
    """Refuse data that are not vectors."""
    if data.kind == "table":
        raise DataError(
            f"{learner} learns from vectors (n, d), but this is a table, with text or missing entries in some columns: "
            "name columns of numbers that miss none by features= (--feature), or make numbers of the others"
        )
    if data.kind != "vector":
        raise DataError(
            f"{learner} learns from vectors (n, d), but this is {data.kind} data: pass embeddings, which "
            "`unseen embed` makes without any label, or those of a network that was not trained on these labels"
        )


class LeftOut:
    """The groups of a fit that has one model for each of them, told by `Fit.apart`."""

    def __init__(self, data: Data, fit: Fit) -> None:
        self.of = np.full(len(data), -1, np.int64)  # (n,) the group of each row; -1 for rows that are never left out
        self.of[fit.unseen] = np.unique(np.asarray(fit.apart), return_inverse=True)[1]
        self.sizes = np.bincount(self.of[fit.unseen])
        self._fit = fit

    @property
    def trained(self) -> IntArray:
        """All rows on which any model is trained, ascending."""
        return np.sort(np.concatenate([self._fit.train, self._fit.unseen]))

    def check_rest(self, data: Data, groups: Iterable[int], least: int, learner: str) -> None:
        """Refuse groups without which the training rows are of fewer than `least` classes."""
        counts = np.bincount(data.labels[self.trained])
        for group in groups:
            rest = counts - np.bincount(data.labels[self.of == group], minlength=len(counts))
            if np.count_nonzero(rest) < least:
                left = "the samples are of fewer than 2 classes" if least > 1 else "there are no samples"
                raise DataError(
                    f"{learner} cannot judge a group of {self.sizes[group]:,} samples in fit {self._fit.name}: without "
                    f"them, {left}"
                )

    def without(self, group: int) -> IntArray:
        """Return the rows on which the model of a group is trained, ascending."""
        rows = self.trained
        return np.asarray(rows[self.of[rows] != group])


def find_groups(data: Data, fit: Fit) -> IntArray:
    """Return the group of each row, int64 (n,). Groups are left out as a whole while options are chosen.

    The folds of a fit do not count as groups.
    """
    given = None
    if fit.apart is not None and fit.folds is None:
        given = np.arange(len(data))
        given[fit.unseen] = len(data) + np.asarray(fit.apart)
    groups = join_groups(data.groups, data.duplicate_groups(), given)
    return np.arange(len(data)) if groups is None else groups


def split_whole_groups(rows: IntArray, groups: IntArray, block: int) -> Iterator[IntArray]:
    """Split rows (m,), of groups (m,), into pieces of at least a block; the groups stay whole and in their order."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first[group], kind="stable")
    rows, group = rows[order], group[order]
    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(rows))
    start = 0
    while start < len(rows):
        end = int(ends[min(int(np.searchsorted(ends, start + block)), len(ends) - 1)])
        yield rows[start:end]
        start = end
