"""The built-in training loop: a recipe, a network, and observations after each epoch.

Importing this package does not import torch; using it does.
"""

from unseen.learners.torch.learner import TorchLearner
from unseen.learners.torch.recipe import PRESETS, Recipe

__all__ = ["PRESETS", "Recipe", "TorchLearner"]
