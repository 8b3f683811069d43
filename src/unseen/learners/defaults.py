"""The learner for data of each kind when none is named: known without importing any."""

from __future__ import annotations

from unseen.protocols import Data

__all__ = ["DEFAULTS", "default_learner"]

DEFAULTS = {"image": "convnet", "vector": "logistic", "text": "tfidf", "table": "hist_gradient_boosting"}

TARGET = "ridge"  # for data of any kind that has a regression target


def default_learner(data: Data) -> str:
    """The learner where none is named."""
    return DEFAULTS[data.kind] if data.targets is None else TARGET
