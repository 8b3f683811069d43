from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unseen
from unseen import rules
from unseen.core import seeds
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, BudgetError
from unseen.rules.sampling import share_out, strata_by_rank, strata_by_width


def slow_ccs(values, budget, cutoff, strata, seed):
    """The paper's algorithm, sample by sample; draws by the same keys."""
    n = len(values)
    hardest_first = sorted(range(n), key=lambda i: (-values[i], i))
    rest = sorted(hardest_first[int(cutoff * n + 1e-9) :])
    low, high = Fraction(min(values[i] for i in rest)), Fraction(max(values[i] for i in rest))
    edges = [low + (high - low) * Fraction(j, strata) for j in range(strata + 1)]
    bins = [[] for _ in range(strata)]
    for i in rest:
        for j in range(strata):
            last = j == strata - 1
            if (edges[j] <= values[i] and values[i] < edges[j + 1]) or last:
                bins[j].append(i)
                break
    counts = [0] * strata
    left = budget
    for done, j in enumerate(sorted(range(strata), key=lambda j: (len(bins[j]), j))):
        counts[j] = min(len(bins[j]), left // (strata - done))
        left -= counts[j]
    keys = seeds.keys(seed, np.arange(n), "rule", "stratified")
    drawn = [i for members, c in zip(bins, counts, strict=True) for i in sorted(members, key=lambda i: keys[i])[:c]]
    return sorted(drawn)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.integers(1, 8),
    st.floats(0, 1),
    st.integers(0, 3),
)
def test_equals_the_literal_algorithm(values, cutoff, strata, part, seed):
    values = np.array(values, float)
    room = len(values) - int(cutoff * len(values) + 1e-9)
    budget = max(1, int(part * room))
    got = rules.stratified(values, keep=budget, direction="harder", cutoff=cutoff, strata=strata, seed=seed)
    assert got.ids.tolist() == slow_ccs(values, budget, cutoff, strata, seed)


def test_equals_the_literal_algorithm_on_many():
    values = np.random.default_rng(0).gamma(2.0, size=500)
    for keep in (1, 49, 350):
        got = rules.stratified(values, keep=keep, direction="harder", cutoff=0.3, seed=1)
        assert got.ids.tolist() == slow_ccs(values, keep, 0.3, 50, 1)


def test_the_top_value_is_in_the_last_stratum_and_bins_are_half_open():
    values = np.linspace(0, 1, 11)
    assert strata_by_width(values, 10).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert strata_by_width(values, 1).tolist() == [0] * 11


@pytest.mark.parametrize("value", [0.0, -3.0, 0.1, 1e300, 5e-324])
def test_constant_scores_are_all_in_the_last_stratum_and_give_the_budget(value):
    values = np.full(20, value)
    assert strata_by_width(values, 50).tolist() == [49] * 20
    assert len(rules.stratified(values, keep=7, direction="harder")) == 7


def test_widths_do_not_overflow():
    values = np.array([-1.7e308, 0.0, 1.7e308])
    assert strata_by_width(values, 2).tolist() == [0, 1, 1]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50), st.integers(1, 60))
def test_equal_values_are_in_one_stratum_and_the_order_is_kept(values, strata):
    values = np.array(values)
    stratum = strata_by_width(values, strata)
    assert stratum.max() == strata - 1
    order = np.argsort(values, kind="stable")
    assert (np.diff(stratum[order].astype(int)) >= 0).all()
    assert all((stratum[values == v] == stratum[values == v][0]).all() for v in values)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(1, 60))
def test_strata_by_rank_differ_by_one_at_most(values, strata):
    stratum = strata_by_rank(np.array(values, float), strata)
    sizes = np.bincount(stratum, minlength=strata)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(stratum[np.argsort(values, kind="stable")].astype(int)) >= 0).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50), st.floats(0, 1))
def test_the_budget_is_shared_out_exactly(sizes, part):
    budget = int(part * sum(sizes))
    counts = share_out(budget, np.array(sizes))
    assert counts.sum() == budget
    assert (counts <= sizes).all()
    # A stratum that is not exhausted has no less than any other, but for what did not divide.
    for count, size in zip(counts, sizes, strict=True):
        assert count == size or count >= counts.max() - 1


def test_the_cutoff_drops_the_hardest_in_both_directions():
    values = np.arange(10.0)
    assert rules.stratified(values, keep=0.7, cutoff=0.3, direction="harder").ids.tolist() == list(range(7))
    assert rules.stratified(values, keep=0.7, cutoff=0.3, direction="easier").ids.tolist() == list(range(3, 10))


def test_keep_and_cutoff_above_one_are_refused():
    with pytest.raises(BudgetError, match=r"cutoff=0\.3 \(keep \+ cutoff must be at most 1\) leaves 7 of 10 samples"):
        rules.stratified(np.arange(10.0), keep=0.8, cutoff=0.3, direction="harder")


def test_worth_needs_a_difficulty_to_cut_by():
    values = np.arange(10.0)
    with pytest.raises(ArgumentError, match="measures worth, not difficulty: give cutoff_by="):
        rules.stratified(values, keep=0.5, cutoff=0.3, direction="worth")
    difficulty = ScoreTable.of("el2n", -values, direction="harder")
    coreset = rules.stratified(values, keep=0.7, cutoff=0.3, direction="worth", cutoff_by=difficulty)
    assert coreset.ids.tolist() == list(range(3, 10))
    assert coreset.provenance["options"]["cutoff_by"] == "el2n"
    easy = ScoreTable.of("aum", values, direction="easier")
    same = rules.stratified(values, keep=0.7, cutoff=0.3, direction="worth", cutoff_by=easy)
    assert same.ids.tolist() == coreset.ids.tolist()
    worth = ScoreTable.of("dual", values, direction="worth")
    with pytest.raises(ArgumentError, match="'dual' measures worth"):
        rules.stratified(values, keep=0.7, cutoff=0.3, direction="worth", cutoff_by=worth)


def test_an_array_is_no_second_score():
    with pytest.raises(ArgumentError, match=r"cutoff_by must be the name of a score, .*, got ndarray; Score"):
        rules.stratified([1.0, 2.0, 3.0], keep=2, cutoff=0.3, direction="harder", cutoff_by=np.arange(3))


def test_cutoff_by_moves_with_shuffled_rows_and_quotas():
    rng = np.random.default_rng(0)
    ids, values, hard, labels = rng.permutation(60), rng.random(60), rng.random(60), rng.integers(0, 2, 60)

    def chosen(at):
        table = ScoreTable.of("dual", values[at], direction="worth", ids=ids[at], labels=labels[at])
        column = ScoreTable.of("el2n", hard[at], direction="harder", ids=ids[at])
        return rules.stratified(table, keep=20, cutoff=0.5, cutoff_by=column, quota="uniform")

    plain, shuffled = chosen(np.arange(60)), chosen(rng.permutation(60))
    assert sorted(plain.ids.tolist()) == sorted(shuffled.ids.tolist())
    for label in (0, 1):
        dropped = np.sort(hard[labels == label])[::-1][: (labels == label).sum() // 2]
        assert hard[plain.indices][labels[plain.indices] == label].max() < dropped.min()


def test_cutoff_by_name_is_taken_from_a_table_with_several_scores():
    table = ScoreTable.of("dual", np.arange(10.0), direction="worth")
    both = ScoreTable(
        **{
            **vars(table),
            "values": {**table.values, "el2n": -table.values["dual"]},
            "directions": {"dual": "worth", "el2n": "harder"},
        }
    )
    rule = rules.resolve("stratified:cutoff=0.3,cutoff_by=el2n")
    assert rules.choose(rule, both, score="dual", keep=7).ids.tolist() == list(range(3, 10))
    with pytest.raises(ArgumentError, match=r"names the score 'el2n', .* pass table\['el2n'\] itself"):
        rules.stratified(both["dual"], keep=7, cutoff=0.3, cutoff_by="el2n")


def test_a_second_score_of_other_ids_is_refused():
    column = ScoreTable.of("el2n", np.arange(5.0), direction="harder", ids=np.arange(1, 6))
    with pytest.raises(ArgumentError, match="the same ids in the same order"):
        rules.stratified(np.arange(5.0), keep=1, cutoff=0.3, direction="harder", cutoff_by=column)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "height"}, "by must be one of 'width', 'rank', got 'height'"),
        ({"cutoff": 1.0}, r"cutoff must be a fraction in \[0, 1\), got 1.0"),
        ({"cutoff": float("nan")}, "cutoff must be a fraction"),
        ({"strata": 0}, "strata must be an integer"),
        ({"strata": 2.5}, "strata must be an integer"),
        (
            {"cutoff_by": ScoreTable.of("el2n", [1.0], direction="harder")},
            "cutoff_by changes nothing while cutoff is 0",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ArgumentError, match=message):
        rules.stratified(np.arange(4.0), keep=2, direction="harder", **options)


def test_every_option_changes_something():
    values = np.random.default_rng(0).gamma(1.0, size=200)

    def chosen(**options):
        return rules.stratified(values, keep=40, direction="harder", **options).ids.tolist()

    plain = chosen()
    for options in ({"by": "rank"}, {"cutoff": 0.2}, {"strata": 5}, {"seed": 1}):
        assert chosen(**options) != plain, options


def judged(wrong, n=10, labels=None):
    """A table of n samples, ever harder, of which the first `wrong` were predicted wrongly."""
    labels = np.zeros(n, int) if labels is None else labels
    table = unseen.ScoreTable.of("el2n", np.arange(float(n)), direction="harder", labels=labels)
    return replace(table, predictions=np.where(np.arange(n) < wrong, 1 - labels, labels))


def test_the_cutoff_of_the_held_out_error_drops_as_many_of_the_hardest_as_were_wrong():
    kept = rules.stratified(judged(3), keep=7, cutoff="error")
    assert kept.ids.tolist() == [0, 1, 2, 3, 4, 5, 6]  # who was wrong does not matter, but how many
    assert rules.stratified(judged(0), keep=2, cutoff="error", strata=2).ids.max() > 5


def test_the_cutoff_of_the_held_out_error_gives_way_to_the_budget():
    assert rules.stratified(judged(9), keep=7, cutoff="error").ids.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert len(rules.stratified(judged(10), keep=10, cutoff="error")) == 10


def test_under_a_quota_each_class_has_its_own_error():
    labels = np.repeat([0, 1], 5)
    table = judged(2, labels=labels)  # two of the first class were wrong, none of the second
    kept = rules.stratified(table, keep=6, cutoff="error", quota="proportional", strata=1).ids
    assert kept[kept < 5].tolist() == [0, 1, 2]


def test_samples_without_a_prediction_do_not_count_as_right_or_wrong():
    table = judged(2)
    table = replace(table, predictions=np.where(np.arange(10) < 6, -1, table.predictions))
    assert 9 in rules.stratified(table, keep=9, cutoff="error", strata=1, seed=3).ids
    half = replace(table, predictions=np.where(np.arange(10) < 8, -1, [0] * 9 + [1]))
    assert rules.stratified(half, keep=5, cutoff="error").ids.tolist() == [0, 1, 2, 3, 4]


def test_the_cutoff_of_the_held_out_error_needs_predictions():
    with pytest.raises(unseen.ArgumentError, match="cutoff='error' needs held-out predictions"):
        rules.stratified(np.arange(5.0), keep=2, direction="harder", cutoff="error")
    with pytest.raises(unseen.ArgumentError, match="a fraction in \\[0, 1\\), 'auto' or 'error', got 'errors'"):
        rules.stratified(np.arange(5.0), keep=2, direction="harder", cutoff="errors")
    with pytest.raises(unseen.ArgumentError, match="this score measures worth"):
        rules.resolve("stratified:cutoff=error").check("worth")
    with pytest.raises(unseen.ArgumentError, match="this learner cannot give"):
        rules.check("stratified:cutoff=error", n=10, keep=5, has_predictions=False)
    assert rules.check("stratified:cutoff=error", n=10, keep=0.95) == 10


def with_columns(table, **columns):
    """The table with further scores."""
    values = {**table.values, **{name: np.asarray(value, float)[None] for name, value in columns.items()}}
    return replace(table, values=values, directions={**table.directions, **dict.fromkeys(columns, "harder")})


@pytest.mark.parametrize(
    ("wrong", "keep", "dropped"),
    [
        (20, 70, 4),  # half of the square of the pruned share, 0.045
        (20, 30, 20),  # no more than models got wrong
        (0, 30, 0),
        (100, 30, 24),  # 0.245
    ],
)
def test_the_automatic_cutoff_grows_with_what_is_pruned(wrong, keep, dropped):
    coreset = rules.stratified(judged(wrong, n=100), keep=keep, cutoff="auto")
    assert coreset.provenance["found"] == {"cut_off": dropped}
    assert coreset.ids.max() < 100 - dropped
    assert len(coreset) == keep


def test_the_automatic_cutoff_is_less_where_models_do_not_fit():
    # 40 of 100 were wrong held out; models that were trained on them get 10 of these right: a quarter.
    table = with_columns(judged(40, n=100), memorization=np.repeat([1, 0], [10, 90]))

    def dropped(keep):
        return rules.choose(rules.resolve("stratified:cutoff=auto"), table, score="el2n", keep=keep).provenance["found"]

    assert dropped(50) == {"cut_off": 3}  # 0.125 x 0.25
    assert dropped(25) == {"cut_off": 14}  # a model of a quarter fits twice as well: 0.28125 x 0.5
    assert dropped(90) == {"cut_off": 0}


def test_strata_share_less_of_the_budget_the_less_models_fit():
    """Of the hardest tenth as many are kept as of all where models fit nothing, so that nothing is lost to random."""
    n = 1000
    table = with_columns(judged(400, n=n), el2n=np.linspace(0, 1, n) ** 4)  # few are hard

    def choose(fit):
        got_right = with_columns(table, memorization=np.repeat([1, 0], [round(400 * fit), n - round(400 * fit)]))
        return rules.choose(rules.resolve("stratified:cutoff=auto"), got_right, score="el2n", keep=n // 2)

    none, little, more, whole = [choose(fit) for fit in (0.0, 0.05, 0.125, 0.25)]
    assert [len(one) for one in (none, little, more, whole)] == [n // 2] * 4
    hardest = [int((one.indices >= 900).sum()) for one in (none, little, more)]
    assert hardest[0] == pytest.approx(50, abs=10)  # drawn at random
    assert hardest[0] < hardest[1] < hardest[2]
    dropped = whole.provenance["found"]["cut_off"]
    strata_alone = rules.stratified(table, score="el2n", keep=n // 2, cutoff=dropped / n)
    assert whole.indices.tolist() == strata_alone.indices.tolist()


def test_a_rule_without_its_cutoff_shares_by_fit_as_before():
    n = 1000
    table = with_columns(judged(400, n=n), el2n=np.linspace(0, 1, n) ** 4)
    uncut = rules.resolve("stratified:cutoff=auto").uncut()

    def choose(got_right):
        known = with_columns(table, memorization=np.repeat([1, 0], [got_right, n - got_right]))
        return rules.choose(uncut, known, score="el2n", keep=n // 2)

    assert int((choose(0).indices >= 900).sum()) == pytest.approx(50, abs=10)  # drawn at random
    assert choose(400).provenance["found"] == {"cut_off": 0}
    assert choose(400).indices.tolist() == rules.stratified(table, score="el2n", keep=n // 2).indices.tolist()


def test_the_hardest_get_less_of_a_small_budget_than_strata_would_give_them():
    """Where models are sure of most samples, strata of equal width would keep all of the others and little else."""
    n = 1000
    values = np.concatenate([np.linspace(0, 0.005, 940), np.linspace(0.02, 0.6, 60)])
    table = with_columns(judged(0, n=n), el2n=values)

    def count_hardest(rule, share, keep=100):
        chosen = rules.choose(rules.resolve(rule), table, score="el2n", keep=keep)
        assert len(chosen) == keep
        return int((chosen.indices >= n - share).sum())

    assert count_hardest("stratified", 60) == 60
    assert count_hardest("stratified:cutoff=auto", 60) == int(0.06 ** (0.9**4) * 100) == 15
    assert count_hardest("stratified:cutoff=auto", 10) <= int(0.01 ** (0.9**4) * 100) == 4
    assert count_hardest("stratified:cutoff=auto,by=rank", 60) == 6
    assert count_hardest("stratified:cutoff=auto", 60, keep=300) == 60  # less is pruned: 0.06^0.24 of 300 is 152


def test_the_automatic_cutoff_counts_label_issues():
    table = with_columns(judged(40, n=100), label_issue=np.repeat([1, 0], [20, 80]))
    coreset = rules.choose(rules.resolve("stratified:cutoff=auto"), table, score="el2n", keep=80)
    assert coreset.provenance["found"] == {"cut_off": 10}  # 0.2^2 / 0.4, more than 0.02
    assert len(rules.choose(rules.resolve("stratified:cutoff=auto"), table, score="el2n", keep=95)) == 95


def hard_class():
    """500 easy, 490 hard and 10 hardest samples of the classes a, b and rare; b and rare are always wrong."""
    n = 1000
    labels = np.repeat([0, 1, 2], [500, 490, 10])
    return unseen.ScoreTable(
        ids=np.arange(n),
        labels=labels,
        class_names=("a", "b", "rare"),
        folds=np.zeros((1, n), np.int32),
        values={"el2n": np.arange(n, dtype=float)[None]},
        directions={"el2n": "harder"},
        predictions=np.zeros(n, np.int64),
    )


def test_the_default_draws_hard_samples_of_a_large_class_no_oftener_than_easy_ones():
    """Most of the large class is easy. Strata of equal width would draw its few hard samples most."""
    rng = np.random.default_rng(0)
    labels = (np.arange(4000) % 4 == 0).astype(int)
    score = np.where(labels == 0, rng.beta(1, 8, 4000), rng.beta(2, 2, 4000))
    table = unseen.ScoreTable(
        ids=np.arange(4000), labels=labels, class_names=("large", "small"), folds=np.zeros((1, 4000), np.int32),
        values={"el2n": score[None]}, directions={"el2n": "harder"}, predictions=(score > 0.5) ^ labels,
    )  # fmt: skip
    large = np.flatnonzero(labels == 0)
    hard = large[np.argsort(score[large])][-600:-100]  # less what is cut off
    easy = large[np.argsort(score[large])][:500]

    def oftener(rows):
        return np.isin(hard, rows).sum() / np.isin(easy, rows).sum()

    default = unseen.select(table, keep=0.3)
    assert default.provenance["options"]["by"] == "rank"
    assert 0.8 < oftener(default.indices) < 1.25
    assert oftener(unseen.select(table, keep=0.3, rule="stratified:cutoff=auto,quota=floored").indices) > 2


def test_the_default_keeps_the_share_of_a_class_that_models_get_wrong():
    """Weak models name one class too often, and cut over all samples the other one would lose most."""
    table = hard_class()
    coreset = unseen.select(table, keep=0.5, rule="stratified:cutoff=auto,quota=floored")
    kept = np.bincount(table.labels[coreset.indices])
    assert kept.tolist() == [247, 243, 10]  # 490 shared 500 to 490; the rare class counts as 67 and has 10
    over_all = unseen.select(table, keep=0.5, rule="stratified:cutoff=auto")
    assert np.bincount(table.labels[over_all.indices])[1] < 235
    # As many of the hardest go as each class gets wrong, not as all of them together.
    assert {name: part["cut_off"] for name, part in coreset.provenance["found"].items()} == {"a": 0, "b": 62, "rare": 0}


def test_the_default_keeps_fewer_samples_than_there_are_classes():
    table = hard_class()
    assert len(unseen.select(table, keep=2)) == 2
    with pytest.raises(BudgetError, match="below the 3 classes"):
        unseen.select(table, keep=2, rule="stratified:quota=proportional")


def test_more_label_issues_than_errors_count_as_many_as_errors():
    """Where a class is rare, issues can be more than errors; their square over the error would be too many."""
    n = 1000
    table = unseen.ScoreTable(
        ids=np.arange(n),
        labels=np.arange(n) % 2,
        class_names=("a", "b"),
        folds=np.zeros((1, n), np.int32),
        values={"el2n": np.arange(n, dtype=float)[None], "label_issue": (np.arange(n) >= 950).astype(float)[None]},
        directions={"el2n": "harder", "label_issue": "harder"},
        predictions=np.where(np.arange(n) < 990, np.arange(n) % 2, (np.arange(n) + 1) % 2),
    )
    coreset = unseen.select(table, keep=0.5, score="el2n", rule="stratified:cutoff=auto")
    assert coreset.provenance["found"]["cut_off"] == 10
