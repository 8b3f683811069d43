"""The conformance tests of scores, learners and data sets: what each must do, ours or yours. Call them from a test.

What is wrong comes as an `AssertionError` that says what. Rules have `unseen.rules.conformance.check_rule`.
"""

from unseen.data.conformance import check_data
from unseen.learners.conformance import check_learner
from unseen.scores.conformance import Story, check_score, play

__all__ = ["Story", "check_data", "check_learner", "check_score", "play"]
