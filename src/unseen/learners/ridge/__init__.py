"""Ridge regression on frozen features, in closed form: held-out scores without a training for each fold."""

from unseen.learners.ridge.learner import RidgeLearner

__all__ = ["RidgeLearner"]
