"""Intervals and verdicts: worked by hand, against scipy, and how often they are wrong when the truth is known."""

import numpy as np
import pytest
from scipy import stats

from unseen.errors import ArgumentError
from unseen.verdicts import MOST_SEEDS, against_full, against_random, interval, paired, sampling_error


def test_the_interval_is_that_of_scipy():
    x = np.random.default_rng(0).normal(0.9, 0.01, 7)
    found = interval(x, 0.9)
    low, high = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert (found.mean, found.low, found.high) == pytest.approx((x.mean(), low, high), rel=1e-12)
    assert found.n == 7


def test_one_replicate_has_no_interval_and_decides_nothing():
    found = interval([0.9])
    assert found.mean == 0.9
    assert np.isnan(found.low)
    assert np.isnan(found.half)
    assert found.text() == "90.0"
    for verdict in (against_full([-0.5]), against_random([0.5])):
        assert verdict.word == "undecided"
        assert verdict.more is None
        assert "2 or more are needed" in verdict.text


def test_replicates_that_are_all_the_same_have_no_interval():
    for same in ([0.9, 0.9, 0.9], [0.2, 0.9 - 0.7]):  # rounding is no spread
        found = interval(same)
        assert found.mean == pytest.approx(same[0])
        assert found.n == len(same)
        assert np.isnan([found.low, found.high, found.half]).all()
    assert found.text(sign=True) == "+20.0"
    assert interval([0.9, 0.9 + 1e-9]).half > 0


def test_pairs():
    a, b = [0.9, 0.8, 0.7], [0.89, 0.81, 0.69]
    assert paired(a, b) == interval(np.subtract(a, b))
    with pytest.raises(ArgumentError, match=r"as many replicates on both sides, got \(3,\) and \(2,\)"):
        paired(a, b[:2])


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (0.0, "lossless within 0.5 points, every seed gave the same"),
        (-0.0049, "lossless within 0.5 points, every seed gave the same"),
        (-0.005, "loses 0.5 points, every seed gave the same"),
        (-0.3, "loses 30.0 points, every seed gave the same"),
    ],
)
def test_a_learner_without_seeds_is_decided_and_says_so(difference, text):
    # 0.7 + d - 0.7 is not quite d: rounding is no spread.
    assert against_full([difference, 0.7 + difference - 0.7]).text == text


def test_without_spread_against_random():
    assert against_random([0.01, 0.01]).text == "better by 1.0 points, every seed gave the same"
    assert against_random([-0.01, -0.01]).word == "worse"


def test_the_test_is_that_of_scipy():
    rng = np.random.default_rng(1)
    for _ in range(200):
        x = rng.normal(-0.002, 0.003, 4)
        p = stats.ttest_1samp(x, -0.005, alternative="greater").pvalue
        assert (against_full(x).word == "lossless") == (p < 0.05)


def test_a_significant_loss_within_the_margin_is_lossless():
    x = [-0.0010, -0.0011, -0.0009]
    assert interval(x).high < 0
    assert against_full(x).word == "lossless"
    assert against_full(x, margin=0.0005).word == "loses"


@pytest.mark.parametrize("verdict", [against_full, against_random])
def test_so_many_more_seeds_do_decide(verdict):
    x = np.array([-0.010, -0.001, -0.004, 0.001])
    more = verdict(x).more
    mean, spread = x.mean(), x.std(ddof=1)

    def of(n):  # n replicates of the same mean and spread
        z = np.linspace(-1, 1, n)
        return mean + spread * z / z.std(ddof=1)

    assert verdict(of(4 + more)).word != "undecided"
    assert verdict(of(4 + more - 1)).word == "undecided"


def test_more_than_a_hundred_is_said_as_such():
    verdict = against_random([-0.01, 0.0100001])
    assert verdict.more == MOST_SEEDS + 1
    assert verdict.text == "undecided, more than 100 more seeds"


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="margin must be above 0, got 0"):
        against_full([0.1, 0.2], margin=0)
    with pytest.raises(ArgumentError, match="level must be in"):
        interval([0.1, 0.2], level=95)
    with pytest.raises(ArgumentError, match=r"one a replicate, got \(0,\)"):
        interval([])


def test_sampling_error_of_one_model_is_the_binomial_one():
    right = np.arange(1000) < 900
    assert sampling_error(right) == pytest.approx(np.sqrt(0.9 * 0.1 / 1000), rel=1e-3)
    # Two models that are right on the same samples differ by nothing, whatever the test set.
    assert sampling_error(right.astype(int) - right.astype(int)) == 0


TRIALS = 3000


def trials(mean, n, seed):
    return np.random.default_rng(seed).normal(mean, 0.004, (TRIALS, n))


def within(share, level):
    """At most the level, but for three standard errors of the simulation."""
    return share <= level + 3 * np.sqrt(level * (1 - level) / TRIALS)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_how_often_lossless_is_said_of_a_loss_of_the_margin(n):
    words = [against_full(x).word for x in trials(-0.005, n, seed=n)]
    assert within(words.count("lossless") / TRIALS, 0.05)
    assert words.count("lossless") / TRIALS > 0.03, "the test spends its level"


@pytest.mark.parametrize("n", [3, 5])
def test_how_often_a_difference_is_said_where_there_is_none(n):
    words = [against_random(x).word for x in trials(0.0, n, seed=10 + n)]
    assert within((words.count("better") + words.count("worse")) / TRIALS, 0.05)
    assert within(words.count("better") / TRIALS, 0.025)
    assert within([against_full(x).word for x in trials(0.0, n, seed=20 + n)].count("loses") / TRIALS, 0.025)


def test_how_often_the_interval_holds_the_truth():
    held = np.mean([found.low <= 0.9 <= found.high for found in map(interval, trials(0.9, 4, seed=3))])
    assert abs(held - 0.95) < 3 * np.sqrt(0.95 * 0.05 / TRIALS)
