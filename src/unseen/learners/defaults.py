"""Which learners there are of scikit-learn, which is taken when none is named, and what a learner is called in words.

All of this is known without importing any.
"""

from __future__ import annotations

import re
from typing import Any

from unseen.protocols import Data

__all__ = ["DEFAULTS", "ESTIMATORS", "default_learner", "in_words"]

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
