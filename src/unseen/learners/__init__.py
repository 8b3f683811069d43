"""Learners: scikit-learn estimators, ridge and softmax regression in closed form, and the torch loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.learners.registry import LEARNERS, resolve
    from unseen.learners.ridge import RidgeLearner
    from unseen.learners.sklearn import SklearnLearner
    from unseen.learners.softmax import SoftmaxLearner
    from unseen.learners.torch import Recipe, TorchLearner

__all__ = ["LEARNERS", "Recipe", "RidgeLearner", "SklearnLearner", "SoftmaxLearner", "TorchLearner", "resolve"]

# Imported at the first use: torch takes seconds and scikit-learn one, in each worker of a cluster that needs neither.
_MODULES = {
    "LEARNERS": "registry",
    "resolve": "registry",
    "RidgeLearner": "ridge",
    "SklearnLearner": "sklearn",
    "SoftmaxLearner": "softmax",
    "Recipe": "torch",
    "TorchLearner": "torch",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
