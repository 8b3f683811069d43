"""Multinomial logistic regression on frozen features, and what it says of samples left out, by one Newton step."""

from unseen.learners.softmax.learner import SoftmaxLearner

__all__ = ["SoftmaxLearner"]
