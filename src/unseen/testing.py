"""The conformance tests of scores, learners and data sets, built-in or your own. Call them from a test.

A failure is an `AssertionError` that says what is wrong. Rules have `unseen.rules.conformance.check_rule`.
"""

from unseen.data.conformance import check_data
from unseen.learners.conformance import check_learner
from unseen.scores.conformance import Story, check_score, play

__all__ = ["Story", "check_data", "check_learner", "check_score", "play"]
