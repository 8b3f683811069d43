"""Intervals and verdicts: worked by hand, against scipy, and how often they are wrong when the truth is known."""

import numpy as np
import pytest
from scipy import stats

from unseen.errors import ArgumentError
from unseen.evaluating.result import average_by_draw
from unseen.evaluating.statistics import (
    MOST_SEEDS,
    Sampling,
    against_full,
    against_random,
    interval,
    paired,
    sampling_error,
    standard_error,
)


def test_the_interval_is_that_of_scipy():
    x = np.random.default_rng(0).normal(0.9, 0.01, 7)
    found = interval(x, 0.9)
    low, high = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert (found.mean, found.low, found.high) == pytest.approx((x.mean(), low, high), rel=1e-12)
    assert found.n == 7


@pytest.mark.parametrize("same", [[-0.5], [-0.5, -0.5], [0.0, 0.0], [0.5, 0.5], [0.3, 0.31]])
@pytest.mark.parametrize("sampling", [None, Sampling(0.001, 10_000)])
def test_fewer_than_three_replicates_give_no_verdict(same, sampling):
    """Two that tie are neither a difference nor equality."""
    for verdict in (against_full(same, sampling=sampling), against_random(same, sampling=sampling)):
        assert (verdict.word, verdict.more) == ("undecided", None)
        assert verdict.text.endswith("no verdict, 3 or more are needed")


def test_one_replicate_has_no_interval():
    for found in (interval([0.9]), interval([0.9], sampling=Sampling(0.01, 900))):
        assert found.mean == 0.9
        assert np.isnan(found.low)
        assert np.isnan(found.half)
        assert found.text() == "90.0"


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
        (0.0, "lossless within 0.5 points, by the test set alone: the difference is the same for every seed"),
        (-0.3, "loses 30.0 ± 0.2 points, by the test set alone: the difference is the same for every seed"),
    ],
)
def test_a_learner_without_seeds_is_judged_by_the_test_set_alone_and_says_so(difference, text):
    # 0.7 + d - 0.7 is not quite d: rounding is no spread.
    found = against_full([difference, 0.7 + difference - 0.7, difference], sampling=Sampling(0.001, 50_000))
    assert found.text == text
    assert against_full([0.0] * 3, sampling=Sampling(0.003, 360)).text == (
        "undecided, 360 test samples are too few, whatever the number of seeds"
    )


def test_nothing_is_said_of_seeds_that_only_their_differences_share():
    """Accuracies of 79.4, 79.6 and 79.4 on both sides: the seeds did not give the same, the differences did."""
    seeds = np.array([0.794, 0.796, 0.794])
    for found in (against_full(seeds - seeds), against_random(seeds - seeds)):
        assert found.text == (
            "undecided: the difference is the same for every seed, and nothing is known of the test set"
        )
    found = against_full(seeds - seeds, sampling=Sampling(0.001, 50_000), each="coreset")
    assert found.text.endswith("by the test set alone: the difference is the same for every coreset")


def test_without_spread_against_random():
    sampling = Sampling(0.001, 900)
    assert against_random([0.01] * 3, sampling=sampling).text.startswith("better by 1.0 ± 0.2 points, by the test set")
    assert against_random([-0.01] * 3, sampling=sampling).word == "worse"
    assert against_random([0.001] * 3, sampling=sampling).word == "undecided"
    assert "nothing is known of the test set" in against_random([0.01] * 3).text


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
    verdict = against_random([-0.01, 0.0100001, 0.0])
    assert verdict.more == MOST_SEEDS + 1
    assert verdict.text == "undecided, more than 100 more seeds"


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="margin must be an accuracy above 0"):
        against_full([0.1, 0.2], margin=0)
    with pytest.raises(ArgumentError, match="level must be in"):
        interval([0.1, 0.2], level=95)
    with pytest.raises(ArgumentError, match=r"one a replicate, got \(0,\)"):
        interval([])


def test_the_sampling_error_of_grouped_samples_is_its_spread_over_draws_of_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(1, 12, 60))

    def draw():
        likely = rng.random(60)[groups]  # a patient is mostly right or mostly wrong
        return (rng.random(len(groups)) < likely).astype(float)

    drawn = [draw() for _ in range(2000)]
    spread = np.std([right.mean() for right in drawn])
    assert np.mean([sampling_error(right, groups=groups) for right in drawn]) == pytest.approx(spread, rel=0.05)
    assert np.mean([sampling_error(right) for right in drawn]) < 0.6 * spread
    assert standard_error(drawn[0], groups) == pytest.approx(sampling_error(drawn[0], groups=groups), rel=0.02)
    alone = np.arange(len(groups))
    assert standard_error(drawn[0], alone) == pytest.approx(standard_error(drawn[0]))
    assert np.isnan(sampling_error(drawn[0], groups=np.zeros(len(groups), int)))
    assert Sampling.of(drawn[0], groups=groups).n == 60


def test_sampling_error_of_one_model_is_about_the_binomial_one():
    right = np.arange(1000) < 900
    assert sampling_error(right) == pytest.approx(np.sqrt(0.9 * 0.1 / 1000), rel=5e-3)
    # Two models that are right on the same samples might still differ on others: three in 1000 is the 95 % bound.
    assert sampling_error(right.astype(int) - right.astype(int)) == pytest.approx(1 / 1002)


TRIALS = 3000


def trials(mean, n, seed):
    return np.random.default_rng(seed).normal(mean, 0.004, (TRIALS, n))


def within(share, level):
    """At most the level, but for three standard errors of the simulation."""
    return share <= level + 3 * np.sqrt(level * (1 - level) / TRIALS)


@pytest.mark.parametrize("n", [3, 5])
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


# Where the test set is a sample, too: whole experiments, with single predictions.

EXPERIMENTS = 2000
# Samples on which the arms differ whatever the seed, those on which a seed decides, and what a seed shifts all by.
WORLDS = {
    "stable": (0.03, 0.0, 0.0),
    "unstable": (0.03, 0.05, 0.004),
    "seeds": (0.03, 0.03, 0.01),
    "few": (0.005, 0, 0),
}


def experiments(loss, m, seeds, world, rng, common=0.0):
    """(differences, sampling) of each experiment, float32 (seeds, m) of -1, 0 and 1 behind them.

    `common` is the share of the variance of seeds that all seeds of an experiment have in common.
    """
    stable, loose, spread = WORLDS[world]
    for _ in range(EXPERIMENTS // 100):
        u = rng.random((100, 1, m), np.float32)
        fixed = np.where(u < (stable + loss) / 2, -1, np.where(u < stable, 1, 0)).astype(np.int8)
        shift = spread * np.sqrt(1 - common) * rng.normal(size=(100, seeds, 1))
        shift = shift + spread * np.sqrt(common) * rng.normal(size=(100, 1, 1))
        lost = np.clip((loose - shift) / 2, 0, 1)
        v = rng.random((100, seeds, m), np.float32)
        moved = np.where(v < lost, -1, np.where(v < lost + np.clip((loose + shift) / 2, 0, 1), 1, 0)).astype(np.int8)
        for d in np.where(fixed == 0, moved, fixed):
            yield d.mean(axis=1), Sampling.of(d)


def said_of(trials, judge=against_full):
    return [judge(differences, sampling=sampling).word for differences, sampling in trials]


def within_of(share, level):
    return share <= level + 3 * np.sqrt(level * (1 - level) / EXPERIMENTS)


@pytest.mark.parametrize("m", [360, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("world", WORLDS)
def test_lossless_holds_its_level_and_the_interval_holds_the_loss_of_the_population(m, world):
    rng = np.random.default_rng(m)
    trials = list(experiments(0.005, m, 5, world, rng))
    assert within_of(said_of(trials).count("lossless") / EXPERIMENTS, 0.05)
    around = [interval(differences, sampling=sampling) for differences, sampling in trials]
    held = np.mean([found.low <= -0.005 <= found.high for found in around])
    assert held > 0.95 - 3 * np.sqrt(0.95 * 0.05 / EXPERIMENTS)
    if world != "few":  # of which hardly any are there to be seen
        assert held < 0.985
    # Planted violation: by the seeds alone, as if the test set were the population.
    alone = [against_full(differences).word for differences, _ in trials]
    assert not within_of(alone.count("lossless") / EXPERIMENTS, 0.05) or world in ("stable", "few")


@pytest.mark.parametrize("m", [360, 1000])
def test_no_difference_is_called_one_where_there_is_none(m):
    words = said_of(experiments(0.0, m, 5, "unstable", np.random.default_rng(m)), against_random)
    assert within_of(1 - words.count("undecided") / EXPERIMENTS, 0.05)


def test_a_sure_case_is_decided_all_the_same():
    words = said_of(experiments(-0.01, 1000, 5, "unstable", np.random.default_rng(0)))
    assert words.count("lossless") / EXPERIMENTS > 0.3


def test_what_seeds_share_needs_several_coresets():
    """A fifth of the variance is that of the selection: replicates are draws of it, not trainings of one coreset."""
    rng, spread = np.random.default_rng(5), 0.01
    chosen, trained = spread * np.sqrt([0.2, 0.8])
    wrong = {"trainings": 0, "coresets": 0}
    for _ in range(EXPERIMENTS):
        selection = rng.normal(-0.005, chosen, (5, 1))
        each = selection + rng.normal(0, trained, (5, 5))  # five coresets, trained on five times each
        wrong["trainings"] += against_full(each[0]).word == "lossless"
        wrong["coresets"] += against_full(average_by_draw(each.T.ravel(), 5)).word == "lossless"
    assert within_of(wrong["coresets"] / EXPERIMENTS, 0.05)
    assert not within_of(wrong["trainings"] / EXPERIMENTS, 0.05), "hence such a verdict says: of this coreset only"
