"""Which learners there are of scikit-learn, and which is taken when none is named: known without importing any."""

from __future__ import annotations

from unseen.protocols import Data

__all__ = ["DEFAULTS", "ESTIMATORS", "default_learner"]

ESTIMATORS = ("logistic", "forest", "extra_trees", "hist_gradient_boosting", "tfidf")  # functions of `presets`

DEFAULTS = {"image": "convnet", "vector": "logistic", "text": "tfidf", "table": "hist_gradient_boosting"}

TARGET = "ridge"  # for data of any kind that has a regression target


def default_learner(data: Data) -> str:
    """The learner where none is named."""
    return DEFAULTS[data.kind] if data.targets is None else TARGET
