"""The conformance tests of scores, learners and data sets: what each must do, ours or yours. Call them from a test.

What is wrong comes as an `AssertionError` that says what. Rules have `unseen.rules.conformance.check_rule`.
"""

from unseen.testing.data import check_data
from unseen.testing.learners import check_learner
from unseen.testing.scores import Story, check_score, play

__all__ = ["Story", "check_data", "check_learner", "check_score", "play"]
