"""What needs classes refuses data with a regression target, before anything is trained."""

import numpy as np
import pytest

import unseen
from unseen.data import from_arrays
from unseen.errors import ArgumentError, DataError
from unseen.learners import RidgeLearner

X = np.random.default_rng(0).normal(size=(60, 3))


class Counting(RidgeLearner):
    """Fails the test if anything is trained."""

    def fit(self, *_, **__):
        raise AssertionError("trained")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: unseen.score(d, scores="el2n", learner=Counting()), ArgumentError, "'el2n' needs classes, but this"),
        (
            lambda d: unseen.prune(d, keep=0.5, also=["margin"], learner=Counting()),
            ArgumentError,
            "'margin' needs classes",
        ),
        (lambda d: unseen.prune(d, keep=0.5, align="temperature", learner=Counting()), ArgumentError, "needs classes"),
        (
            lambda d: unseen.prune(d, keep=0.5, quota="error", learner=Counting()),
            ArgumentError,
            "needs held-out predic",
        ),
        (lambda d: unseen.prune(d, keep=0.5, rule="auto"), DataError, "rule='auto' compares accuracies of classes"),
        (
            lambda d: unseen.score(d, learner="logistic"),
            DataError,
            "LogisticRegression learns classes, but this data set",
        ),
        (
            lambda d: unseen.score(d, learner="mlp"),
            DataError,
            "the torch learner learns classes.*use the learner 'ridge'",
        ),
        (
            lambda d: unseen.score(d, learner="softmax"),
            DataError,
            "softmax learns classes, but this data set has a target",
        ),
        (
            lambda d: unseen.score(d, learner="ridge:class_weights=balanced"),
            ArgumentError,
            "class_weights='balanced' weighs",
        ),
        (lambda d: unseen.score(d, learner="ridge:temperature=2"), ArgumentError, "temperature=2.0 divides logits"),
        (lambda d: unseen.sweep(d, methods=["el2n/top"], keep=[0.5]), ArgumentError, "'el2n' needs classes"),
        (lambda d: unseen.advise(d, method="el2n/top"), ArgumentError, "'el2n' needs classes"),
        (lambda d: unseen.grow(d, keep=0.5), DataError, "grow needs predictions of classes"),
    ],
)
def test_what_needs_classes_is_refused_before_training(call, error, message):
    with pytest.raises(error, match=message):
        call(from_arrays(X, target=X @ [1.0, 2.0, 3.0]))


def test_images_with_a_target_are_refused_as_vectors_would_not_be():
    images = np.random.default_rng(0).integers(256, size=(20, 8, 8, 1)).astype(np.uint8)
    with pytest.raises(DataError, match="ridge learns from vectors"):
        unseen.score(from_arrays(images, target=np.arange(20.0)))
