import numpy as np
import pytest
from scipy.stats import beta as beta_distribution
from scipy.stats import chisquare

import unseen
from unseen import rules
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError
from unseen.rules.base import Pool
from unseen.rules.sampling import Beta, beta_parameters


def test_random_is_nested_and_depends_on_the_seed():
    small, large = rules.random(100, keep=10, seed=3), rules.random(100, keep=30, seed=3)
    assert set(small.ids) < set(large.ids)
    assert large.order[:10].tolist() == small.order.tolist()
    assert rules.random(100, keep=10, seed=4).ids.tolist() != small.ids.tolist()


def test_random_is_uniform():
    counts = np.zeros(20)
    for seed in range(1000):
        counts[rules.random(20, keep=5, seed=seed).indices] += 1
    # Draws without replacement vary less than the test supposes.
    assert chisquare(counts).pvalue > 0.01


def test_random_of_a_table_does_not_read_it():
    table = ScoreTable.of("el2n", [np.nan, 1.0, 2.0], direction="harder")
    assert len(rules.random(table, keep=3)) == 3


def test_beta_parameters_by_hand():
    # b = 15 (1 - 0.2)(1 - 0.9^4) = 12 x 0.3439
    scores, confidence = np.arange(20.0), np.where(np.arange(20) >= 10, 0.2, 0.9)
    a, b = beta_parameters(scores, confidence, pruned=0.9, c=4.0)
    assert b == pytest.approx(12 * (1 - 0.9**4))
    assert a + b == 16
    # At extreme pruning b would fall below 1 and the density grow without bound at 1.
    assert beta_parameters(scores, confidence, pruned=0.9999, c=4.0) == (15.0, 1.0)


def test_beta_takes_mu_of_all_when_there_are_fewer_than_ten():
    assert beta_parameters(np.arange(3.0), np.array([0.2, 0.4, 0.6]), pruned=0.0, c=1.0)[1] == pytest.approx(9.0)


def test_the_first_draw_follows_the_weights():
    scores = np.array([0.1, 0.2, 0.3, 0.2])
    confidence = np.array([0.3, 0.5, 0.6, 0.9])
    a, b = beta_parameters(scores, confidence, pruned=0.75, c=5.5)
    weights = beta_distribution.pdf(confidence, a, b) * scores
    counts = np.zeros(4)
    for seed in range(3000):
        counts[Beta().pick(Pool(np.arange(4), seed, values=scores, confidence=confidence), 1).at[0]] += 1
    assert chisquare(counts, 3000 * weights / weights.sum()).pvalue > 0.01


def test_later_draws_follow_the_weights_that_are_left():
    # Successive sampling without replacement: P(second = j | first = i) = w_j / (1 - w_i).
    scores, confidence = np.array([1.0, 2.0, 3.0]), np.full(3, 0.5)
    pairs = np.zeros((3, 3))
    for seed in range(4000):
        pairs[tuple(Beta().pick(Pool(np.arange(3), seed, values=scores, confidence=confidence), 2).at)] += 1
    weights = scores / scores.sum()
    expected = np.array([[weights[i] * weights[j] / (1 - weights[i]) for j in range(3)] for i in range(3)])
    off = ~np.eye(3, dtype=bool)
    assert chisquare(pairs[off], 4000 * expected[off]).pvalue > 0.01


def test_confidence_of_exactly_zero_or_one_gives_the_budget():
    coreset = rules.beta([1.0, 1.0, 1.0], keep=3, direction="harder", mean_confidence=[0.0, 1.0, 0.5])
    assert len(coreset) == 3


def test_samples_of_weight_zero_come_last_at_random():
    scores, confidence = np.array([0.0, 1.0, 0.0, 1.0, 0.0]), np.full(5, 0.5)
    orders = set()
    for seed in range(20):
        coreset = rules.beta(scores, keep=4, direction="harder", mean_confidence=confidence, seed=seed)
        assert set(coreset.order[:2].tolist()) == {1, 3}
        orders.add(tuple(coreset.order[2:].tolist()))
    assert len(orders) > 3
    assert len(rules.beta(np.zeros(5), keep=3, direction="harder", mean_confidence=confidence)) == 3


def test_c_and_seed_change_the_choice():
    rng = np.random.default_rng(0)
    scores, confidence = rng.random(200), rng.random(200)

    def chosen(**options):
        return rules.beta(scores, keep=40, direction="worth", mean_confidence=confidence, **options)

    assert chosen(c=1.0).ids.tolist() != chosen(c=11.0).ids.tolist()
    assert chosen(seed=1).ids.tolist() != chosen(seed=2).ids.tolist()
    # A small c moves to the easy samples sooner.
    assert confidence[chosen(c=1.0).indices].mean() > confidence[chosen(c=11.0).indices].mean()


def test_what_beta_needs():
    with pytest.raises(ArgumentError, match="needs the mean probability of the label: give mean_confidence="):
        rules.beta([1.0, 2.0], keep=1, direction="worth")
    with pytest.raises(ArgumentError, match="scores of at least 0, but these ids have less: 1"):
        rules.beta([1.0, -2.0], keep=1, direction="worth", mean_confidence=[0.5, 0.5])
    with pytest.raises(ArgumentError, match="direction is harder or worth, got 'easier'"):
        rules.beta([1.0, 2.0], keep=1, direction="easier", mean_confidence=[0.5, 0.5])
    with pytest.raises(ArgumentError, match=r"mean_confidence must be in \[0, 1\], but is not in rows 1"):
        rules.beta([1.0, 2.0], keep=1, direction="worth", mean_confidence=[0.5, 1.5])
    with pytest.raises(ArgumentError, match="c must be a positive number, got 0"):
        rules.beta([1.0, 2.0], keep=1, direction="worth", mean_confidence=[0.5, 0.5], c=0)
    table = ScoreTable.of("dual", [1.0, 2.0], direction="worth", mean_confidence=[0.5, 0.5])
    assert len(rules.beta(table, keep=1)) == 1
    with pytest.raises(ArgumentError, match="the table carries its own"):
        rules.beta(table, keep=1, mean_confidence=[0.5, 0.5])


def test_missing_confidence_counts_as_missing():
    coreset = rules.beta([1.0, 2.0, 3.0], keep=2, direction="worth", mean_confidence=[0.5, 0.5, np.nan], nan="last")
    assert coreset.ids.tolist() == [0, 1]


def test_trimmed_drops_what_is_far_above_the_median_and_no_more_than_half_of_what_is_pruned():
    values = np.concatenate([np.linspace(0.5, 1.5, 190), np.full(10, 1000.0)])
    few = rules.trimmed(values, keep=160, direction="harder")
    assert few.provenance["found"] == {"outliers": 10}
    assert few.indices.max() < 190
    assert rules.trimmed(values, keep=190, direction="harder").provenance["found"] == {"outliers": 5}
    assert rules.trimmed(values, keep=160, times=1e6, direction="harder").provenance["found"] == {"outliers": 0}
    values[180:190] = 1000.0  # a tenth are no outliers
    assert rules.trimmed(values, keep=160, direction="harder").provenance["found"] == {"outliers": 0}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 8))
    return x, x @ rng.normal(size=8) / 8**0.5, rng.normal(size=1500)


def outliers_of(x, y):
    """How many samples the default drops, and whether those it keeps hold the largest targets as often as random."""
    coreset = unseen.prune(unseen.data.from_arrays(x, target=y), keep=0.5)[1]
    largest = np.argsort(y)[-20:]
    return coreset.provenance["found"]["outliers"], int(coreset.mask[largest].sum())


@pytest.mark.filterwarnings("ignore:held-out models are off:UserWarning")
@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5, 2.0])
def test_the_long_tail_of_a_target_is_not_dropped(inputs, spread):
    x, signal, noise = inputs
    dropped, kept = outliers_of(x, np.exp(spread * (signal + 0.5 * noise)))
    assert dropped == 0
    assert kept >= 4, "random keeps 10 ± 2"
    assert outliers_of(x, -np.exp(spread * (signal + 0.5 * noise)))[0] == 0


@pytest.mark.filterwarnings("ignore:held-out models are off:UserWarning")
def test_the_few_that_differ_from_most_targets_are_not_dropped(inputs):
    x, signal, noise = inputs
    assert outliers_of(x, np.where(signal + 0.5 * noise > 2, 100 + 10 * noise, 0.0))[0] == 0


@pytest.mark.filterwarnings("ignore:held-out models are off:UserWarning")
def test_wrong_targets_are_dropped_at_both_ends_and_where_they_stand_apart(inputs):
    x, signal, noise = inputs
    right = signal + 0.3 * noise
    bad = np.arange(1500) % 40 == 0
    flipped = np.where(bad, 12 * np.sign(noise), right)
    assert outliers_of(x, flipped)[0] == bad.sum()
    in_other_units = np.where(bad, 1000 * np.exp(right), np.exp(right))
    assert outliers_of(x, in_other_units)[0] > bad.sum() / 2


def test_trimmed_is_random_where_nothing_is_far():
    values = np.random.default_rng(0).normal(size=2000) ** 2
    kept = rules.trimmed(values, keep=1000, direction="harder")
    assert kept.provenance["found"] == {"outliers": 0}
    assert abs(values[kept.indices].mean() - values.mean()) < 4 * values.std() * (1 / 1000 - 1 / 2000) ** 0.5
    zeros = np.concatenate([np.zeros(60), np.ones(40)])
    assert rules.trimmed(zeros, keep=50, direction="harder").provenance["found"] == {"outliers": 0}


def test_strata_by_rank_take_from_the_whole_order_where_the_budget_is_below_their_number():
    kept = rules.stratified(np.arange(1000.0), keep=20, by="rank", direction="harder")
    assert np.array_equal(kept.indices // 50, np.arange(20))
