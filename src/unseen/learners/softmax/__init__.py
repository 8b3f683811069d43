"""Multinomial logistic regression on frozen features, with samples left out by one Newton step."""

from unseen.learners.softmax.learner import SoftmaxLearner

__all__ = ["SoftmaxLearner"]
