"""Small problems of which it is known what growing must do, and how to grow on them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

import unseen

NEAREST = KNeighborsClassifier(1, algorithm="brute")
BAYES = GaussianNB(var_smoothing=1e-2)


def digits(n=300):
    X, y = load_digits(return_X_y=True)
    return X[:n].astype(np.float32), y[:n]


def copied():
    """Twelve different samples of two classes; one is there once, another twelve times. X, y, which of the twelve."""
    which = np.repeat(np.arange(12), np.arange(1, 13))
    which = which[np.random.default_rng(0).permutation(len(which))]
    return (7.0 * which[:, None]).astype(np.float32), which % 2, which


def clusters():
    """Eight clusters of ten on a line, their classes alternating. X, y, which cluster."""
    which = np.repeat(np.arange(8), 10)
    near = np.tile(np.linspace(-0.1, 0.1, 10), 8)
    return (10.0 * which + near)[:, None].astype(np.float32), which % 2, which


def noisy_class():
    """Two classes far apart, and a third whose samples are drawn from where the two are: it cannot be learned."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [150, 150, 60])
    place = np.where(y == 2, rng.integers(0, 2, len(y)), y)
    return (6.0 * place[:, None] + rng.normal(size=(len(y), 2))).astype(np.float32), y


def checked(grown):
    """The result, once it agrees with itself."""
    coreset, history, _ = grown
    assert len(np.unique(coreset.indices)) == len(coreset)
    np.testing.assert_array_equal(history.members(), coreset.order)
    np.testing.assert_array_equal(np.sort(coreset.order), coreset.indices)
    for step in history.steps:
        assert len(history.members(step.step)) == step.size
    for before, after in pairwise(history.steps):
        left = after.released + after.dropped + after.collapsed
        assert after.size == before.size + after.entered - left
    events = history.events
    came = np.isin(events.names, ["start", "entered"]) & (events.steps <= history.taken)
    entered = dict(zip(events.rows[came], events.steps[came], strict=True))  # the last time counts
    expected = [f"step {entered[row]}" if entered[row] else "start" for row in coreset.indices]
    assert coreset.sources.tolist() == expected
    return grown


def grow(data, **arguments):
    defaults = {"learner": BAYES, "folds": 3, "threads": 1, "rule": "top"}
    return checked(unseen.grow(data, **{**defaults, **arguments}))
