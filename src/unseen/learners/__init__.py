"""Who learns: scikit-learn estimators, ridge, softmax regression, the torch loop, your own loop by the recorder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unseen.learners.registry import LEARNERS, resolve
from unseen.learners.ridge import RidgeLearner
from unseen.learners.sklearn import SklearnLearner
from unseen.learners.softmax import SoftmaxLearner

if TYPE_CHECKING:
    from unseen.learners.torch import Recipe, TorchLearner

__all__ = ["LEARNERS", "Recipe", "RidgeLearner", "SklearnLearner", "SoftmaxLearner", "TorchLearner", "resolve"]


def __getattr__(name: str) -> Any:
    # torch is imported when its learner is asked for, and not before.
    if name in ("Recipe", "TorchLearner"):
        return getattr(import_module("unseen.learners.torch"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
