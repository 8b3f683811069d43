"""From observations to numbers: pure functions, and the streaming shells that carry them."""

from unseen.scores.base import Score
from unseen.scores.registry import SCORES, describe_all, resolve

__all__ = ["SCORES", "Score", "describe_all", "resolve"]
