"""From observations to numbers: pure functions, and the streaming shells that carry them."""

from unseen.scores.registry import SCORES, describe_all, resolve
from unseen.scores.streaming import Score

__all__ = ["SCORES", "Score", "describe_all", "resolve"]
