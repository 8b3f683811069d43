"""Scores: pure functions of logits, their streaming form, the accumulator of a fit, and the aggregate of fits."""

from unseen.scores.registry import SCORES, describe_all, resolve
from unseen.scores.streaming import Score

__all__ = ["SCORES", "Score", "describe_all", "resolve"]
