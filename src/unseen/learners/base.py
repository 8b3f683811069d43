"""Which learners there are of scikit-learn, which is taken when none is named, and what a learner is called in words.

All of this is known without importing any.

What classes ask for: no regression target, whose bins would be taken for them; and logits, not probabilities.

What learners of vectors that leave samples out in closed form have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from unseen.core.arrays import Array, FloatArray, IntArray
from unseen.core.exposure import Fit
from unseen.core.protocols import Data
from unseen.data.labels import joined_groups
from unseen.errors import ArgumentError, DataError
from unseen.scores.streaming import Score

__all__ = [
    "DEFAULTS",
    "ESTIMATORS",
    "bound",
    "check_scores",
    "default_learner",
    "in_words",
    "logits_of",
    "look_like_probabilities",
    "positive",
    "refuse_target",
    "vectors_only",
    "whole_groups",
]


ESTIMATORS = ("logistic", "forest", "extra_trees", "hist_gradient_boosting", "tfidf")  # functions of `presets`

DEFAULTS = {"image": "convnet", "vector": "logistic", "text": "tfidf", "table": "hist_gradient_boosting"}

TARGET = "ridge"  # for data of any kind that has a regression target


def default_learner(data: Data) -> str:
    """The learner where none is named."""
    return DEFAULTS[data.kind] if data.targets is None else TARGET


def in_words(described: Any) -> str:
    """Name a learner as people do, by what its `describe` gives; empty where that is not known.

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
    short = name.removesuffix("Classifier") or name
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[^A-Z]+", short)
    # Names of people stay as they are.
    return " ".join(word if word.isupper() or word in ("Gaussian", "Bernoulli") else word.lower() for word in words)


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


def positive(name: str, value: float | str) -> float | str:
    """An option that is a number above 0, or `"auto"`."""
    if value == "auto":
        return "auto"
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 < float(value) < np.inf:
        raise ArgumentError(f"{name} must be a number above 0, or 'auto', got {value!r}")
    return float(value)


def vectors_only(data: Data, learner: str) -> None:
    """Refuse data of another kind."""
    if data.kind != "vector":
        raise DataError(
            f"{learner} learns from vectors (n, d), but this is {data.kind} data: pass embeddings: those that "
            "`unseen embed` makes without any label, or of a network that was not trained on these labels"
        )


def bound(data: Data, fit: Fit) -> IntArray:
    """int64 (n,): the groups that leave together while options are chosen; the folds of a fit are no groups."""
    given = None
    if fit.apart is not None and fit.folds is None:
        given = np.arange(len(data))
        given[fit.unseen] = len(data) + np.asarray(fit.apart)
    groups = joined_groups(data.groups, data.duplicate_groups(), given)
    return np.arange(len(data)) if groups is None else groups


def whole_groups(rows: IntArray, of: IntArray, block: int) -> Iterator[IntArray]:
    """Rows in pieces of at least a block, no group in two of them, in the order in which groups appear.

    Args:
        rows: int64 (m,).
        of: int64 (m,) group of each.
        block: how many at a time.

    """
    _, first, group = np.unique(of, return_index=True, return_inverse=True)
    order = np.argsort(first[group], kind="stable")
    rows, group = rows[order], group[order]
    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(rows))
    start = 0
    while start < len(rows):
        end = int(ends[min(int(np.searchsorted(ends, start + block)), len(ends) - 1)])
        yield rows[start:end]
        start = end
