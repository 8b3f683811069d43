"""From fits to the table, against a loop that does nothing clever."""

import itertools

import numpy as np
import pytest

import unseen
from unseen.core.exposure import Observation
from unseen.scores.accumulator import Joiner, ScoreSink
from unseen.scores.registry import resolve

N, C = 24, 3
IDS, LABELS = np.arange(N), np.arange(N) % C


def logits_of(fit, side):
    """What the model of a fit says; a number of the fit and the sample alone."""
    rows = fit.watch(side)
    return np.array(
        [np.random.default_rng([fit.repeat, fit.fold, fit.part or 0, r, side == "seen"]).normal(size=C) for r in rows]
    )


def results(plan, scores):
    found = []
    for fit in plan.fits(IDS, LABELS, seed=1):
        sink = ScoreSink(fit, LABELS, scores, C, plan.scored_side)
        for side in ("unseen", "seen"):
            if len(fit.watch(side)):
                sink.observe(side, Observation(fit.watch(side), 1, logits_of(fit, side)))
        found.append((fit, sink.result()))
    return found


def joined(plan, names, order=None):
    scores = [resolve(name) for name in names]
    joiner = Joiner(scores, N, plan.repeats, plan.scored_side)
    found = results(plan, scores)
    for i in range(len(found)) if order is None else order:
        joiner.add(*found[i])
    return joiner.table(IDS, LABELS, ("a", "b", "c"), {})


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


PLANS = {
    "folds": unseen.folds(4, repeats=3),
    "halves": unseen.halves(3),
    "seen": unseen.seen(3),
    "leave one out": unseen.leave_one_out(),
    "three models a sample": unseen.Exposure(
        [np.r_[0:8], np.r_[8:16], np.r_[16:24]], [np.r_[8:24], np.r_[0:8, 16:24], np.r_[0:16]]
    ),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_one_sided_scores_against_a_loop(plan):
    table = joined(plan, ["el2n"])
    expected, folds = np.full((plan.repeats, N), np.nan), np.full((plan.repeats, N), -1)
    confidence, first = [[] for _ in range(N)], {}
    for fit in plan.fits(IDS, LABELS, seed=1):
        for row, z in zip(fit.watch(plan.scored_side), logits_of(fit, plan.scored_side), strict=True):
            p = softmax(z)
            expected[fit.repeat, row] = np.sqrt(sum((p[c] - (LABELS[row] == c)) ** 2 for c in range(C)))
            folds[fit.repeat, row] = fit.fold
            confidence[row].append(p[LABELS[row]])
            first.setdefault(row, p.argmax())
    np.testing.assert_allclose(table.values["el2n"], expected, rtol=1e-12)
    np.testing.assert_array_equal(table.folds, folds)
    np.testing.assert_allclose(table.mean_confidence, [np.mean(c) for c in confidence], rtol=1e-12)
    np.testing.assert_array_equal(table.predictions, [first[row] for row in range(N)])


@pytest.mark.parametrize("plan", [unseen.halves(3), unseen.folds(4, repeats=2, watch_seen=True)])
def test_two_sided_scores_against_a_loop(plan):
    table = joined(plan, ["holdout_gap", "memorization"])
    for repeat, row in itertools.product(range(plan.repeats), range(N)):
        losses, right = {"unseen": [], "seen": []}, {"unseen": [], "seen": []}
        for fit in plan.fits(IDS, LABELS, seed=1):
            for side in losses:
                at = np.flatnonzero(fit.watch(side) == row)
                if fit.repeat == repeat and len(at):
                    p = softmax(logits_of(fit, side)[at[0]])
                    losses[side].append(-np.log(p[LABELS[row]]))
                    right[side].append(p.argmax() == LABELS[row])
        assert len(losses["unseen"]) == 1
        gap = np.mean(losses["unseen"]) - np.mean(losses["seen"])
        np.testing.assert_allclose(table.values["holdout_gap"][repeat, row], gap, rtol=1e-10, atol=1e-12)
        learned = np.mean(right["seen"]) - np.mean(right["unseen"])
        np.testing.assert_allclose(table.values["memorization"][repeat, row], learned, rtol=1e-10, atol=1e-12)


def test_scores_of_all_repeats_at_once_against_the_pure_function():
    plan = unseen.folds(4, repeats=3)
    table = joined(plan, ["disagreement", "el2n"])
    assert table.values["disagreement"].shape == (1, N)
    predictions = np.zeros((3, N, C))
    for fit in plan.fits(IDS, LABELS, seed=1):
        predictions[fit.repeat, fit.unseen] = logits_of(fit, "unseen")
    pure = unseen.functional.disagreement(predictions)
    np.testing.assert_allclose(table.column("disagreement"), pure, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_order_in_which_fits_arrive_changes_no_bit(plan):
    names = ["el2n", "loss", *(["memorization"] if plan.two_sided else [])]
    expected = joined(plan, names)
    count = plan.count(N)
    for order in (np.arange(count)[::-1], np.random.default_rng(0).permutation(count)):
        table = joined(plan, names, order)
        for name in names:
            np.testing.assert_array_equal(table.values[name], expected.values[name])
        np.testing.assert_array_equal(table.mean_confidence, expected.mean_confidence)
        np.testing.assert_array_equal(table.predictions, expected.predictions)
        np.testing.assert_array_equal(table.folds, expected.folds)


def test_a_table_asked_for_twice_is_the_same():
    scores = [resolve("el2n")]
    plan = PLANS["three models a sample"]
    joiner = Joiner(scores, N, plan.repeats, "unseen")
    for fit, result in results(plan, scores):
        joiner.add(fit, result)
        joiner.add(fit, result)  # the same fit again, as after a restart, counts once
    first, second = (joiner.table(IDS, LABELS, ("a", "b", "c"), {}) for _ in range(2))
    np.testing.assert_array_equal(first.values["el2n"], second.values["el2n"])
    np.testing.assert_array_equal(first.mean_confidence, second.mean_confidence)
    np.testing.assert_array_equal(first.values["el2n"], joined(plan, ["el2n"]).values["el2n"])


def test_samples_that_nobody_was_asked_about_have_no_score():
    table = joined(unseen.Exposure(train=[0, 1], watch=[2, 3]), ["el2n"])
    assert np.isfinite(table.values["el2n"][0]).nonzero()[0].tolist() == [2, 3]
    assert (table.folds[0] >= 0).nonzero()[0].tolist() == [2, 3]
    assert (table.predictions >= 0).nonzero()[0].tolist() == [2, 3]
    assert np.isfinite(table.mean_confidence).nonzero()[0].tolist() == [2, 3]
