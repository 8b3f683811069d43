"""Folds on one scale."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import rankdata

from unseen.errors import ArgumentError
from unseen.scores.alignment import align, temperatures
from unseen.scores.pointwise import el2n, loss


def test_rank_by_hand():
    values = np.array([0.5, 9.0, 0.5, 7.0, 0.1, 8.0])
    folds = np.array([0, 1, 0, 1, 0, 1])
    expected = [(2.5 - 0.5) / 3, 2.5 / 3, (2.5 - 0.5) / 3, 0.5 / 3, 0.5 / 3, 1.5 / 3]
    assert align(values, folds).tolist() == pytest.approx(expected)


def test_rank_equals_scipy_in_every_fold_and_repeat():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (3, 200)) / 7.0
    folds = rng.integers(0, 5, (3, 200))
    expected = np.empty((3, 200))
    for r in range(3):
        for fold in range(5):
            inside = folds[r] == fold
            expected[r, inside] = (rankdata(values[r, inside]) - 0.5) / inside.sum()
    np.testing.assert_allclose(align(values, folds), expected)
    np.testing.assert_allclose(align(values, folds[0])[1], align(values[1], folds[0]))


def test_rank_undoes_what_differs_between_folds():
    rng = np.random.default_rng(1)
    truth = rng.permutation(1000)
    folds = np.arange(1000) % 5
    bent = np.exp(truth / 500.0) * np.array([1.0, 2.0, 5.0, 0.1, 9.0])[folds]
    agreement = np.corrcoef(rankdata(align(bent, folds)), truth)[0, 1]
    assert agreement > 0.99 > 0.5 > np.corrcoef(rankdata(bent), truth)[0, 1]


@pytest.mark.parametrize("how", ["rank", "none"])
def test_not_scored_stays_nan(how):
    values = np.array([[0.1, np.nan, 0.3, 0.2]])
    folds = np.array([[0, 0, 0, -1]])
    assert np.isnan(align(values, folds, how=how)).tolist() == [[False, True, False, True]]
    assert align(np.full(3, np.nan), np.full(3, -1)).shape == (3,)


def test_leave_one_out_is_ranked_together():
    values = np.array([3.0, 1.0, 2.0, 4.0])
    assert align(values, np.arange(4)).tolist() == [0.625, 0.125, 0.375, 0.875]
    assert align(values, np.array([0, 1, 2, 2])).tolist() == [0.625, 0.125, 0.375, 0.875]
    assert align(values, np.array([0, 0, 2, 2])).tolist() == [0.75, 0.25, 0.25, 0.75]


def test_scores_joined_over_repeats_are_ranked_together():
    folds = np.array([[0, 1, 0, 1], [1, 1, 0, 0]])
    assert align(np.array([[3.0, 1.0, 2.0, 4.0]]), folds).tolist() == [[0.625, 0.125, 0.375, 0.875]]


def test_none_leaves_values_alone():
    values = np.array([3.0, 1.0])
    aligned = align(values, np.array([0, 1]), how="none")
    assert aligned.tolist() == [3.0, 1.0]
    assert aligned is not values


def test_temperatures_have_the_least_log_loss():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    folds = np.arange(600) % 3
    logits = (2.0 * np.eye(4)[labels] + rng.normal(size=(600, 4))) * np.array([0.5, 1.0, 8.0])[folds][:, None]
    fitted = temperatures(logits, labels, folds)
    for fold in range(3):
        inside = folds == fold

        def log_loss(t, inside=inside):
            return -log_softmax(logits[inside] / t, axis=1)[np.arange(inside.sum()), labels[inside]].mean()

        best = minimize_scalar(log_loss, bounds=(0.01, 100.0), method="bounded", options={"xatol": 1e-9}).x
        assert fitted[fold] == pytest.approx(best, rel=1e-5)
    assert fitted[2] > 4 * fitted[1] > 6 * fitted[0]


def test_temperatures_of_hopeless_folds_are_bounded_and_of_empty_ones_nan():
    logits = np.array([[5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    assert temperatures(logits, np.array([0, 0, 0]), np.array([0, 0, 2]))[[0, 2]].tolist() == [0.01, 100.0]
    assert np.isnan(temperatures(logits, np.array([0, 0, 0]), np.array([0, 0, 2]))[1])
    assert temperatures(logits, np.array([0, 0, 0]), np.array([-1, -1, -1])).tolist() == []


def test_temperature_recomputes_the_score():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    folds = np.stack([np.arange(90) % 3, np.arange(90) // 30])
    folds[0, 5] = -1
    logits = 3.0 * rng.normal(size=(2, 90, 3))
    values = np.stack([el2n(z, labels) for z in logits])
    aligned = align(values, folds, how="temperature", function=el2n, logits=logits, labels=labels)
    assert np.isnan(aligned[0, 5])
    fitted = temperatures(logits[1], labels, folds[1])
    np.testing.assert_allclose(aligned[1], el2n(logits[1] / fitted[folds[1]][:, None], labels))
    single = align(values[1], folds[1], how="temperature", function=el2n, logits=logits[1], labels=labels)
    np.testing.assert_allclose(single, aligned[1])


def test_torch_in_torch_out():
    values, folds = torch.tensor([0.5, 0.1, 0.2]), torch.tensor([0, 0, 1])
    aligned = align(values, folds)
    assert isinstance(aligned, torch.Tensor)
    assert aligned.tolist() == [0.75, 0.25, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v, f: align(v, f, how="ranks"), r"how must be one of \('rank', 'none', 'temperature'\), got 'ranks'"),
        (
            lambda v, f: align(v, f, how="temperature"),
            "scores alone do not suffice; pass function=",
        ),
        (lambda v, f: align(v, f, how="temperature", function=loss), r"\(got function\)"),
        (lambda v, f: align(v, f, labels=f), "labels would change nothing with how='rank'"),
        (lambda v, f: align(v, f[:2]), "the same n"),
        (lambda v, f: align(v, f.astype(float)), "folds integer"),
        (lambda v, f: align(np.stack([v, v]), np.stack([f, f, f])), "values hold 2 repeats, but folds 3"),
        (
            lambda v, f: align(v, f, how="temperature", function=loss, logits=np.zeros((2, 2)), labels=f),
            r"logits must be \(R, n, C\) with \(R, n\) = \(1, 3\)",
        ),
        (lambda v, f: temperatures(np.zeros((2, 2)), [0, 1], f), r"folds must be integers \(n,\) = \(2,\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))
