import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

import unseen
from unseen.core import seeds
from unseen.core.exposure import Fit
from unseen.core.plans import Within, assign_folds, at_once


@st.composite
def labelled(draw):
    """Labels of some imbalance, a number of folds that they allow, and a seed."""
    sizes = draw(st.lists(st.integers(1, 25), min_size=1, max_size=5))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    seed = draw(st.integers(0, 2**32))
    labels = np.random.default_rng(seed).permutation(labels)
    k = draw(st.integers(2, 8).filter(lambda k: k <= len(labels)) if len(labels) > 1 else st.just(0))
    return labels, k, seed


@settings(max_examples=60, deadline=None)
@given(labelled())
def test_folds_are_complete_disjoint_and_stratified(case):
    labels, k, seed = case
    if not k:
        return
    n = len(labels)
    fits = list(unseen.folds(k, repeats=2, watch_seen=True).fits(np.arange(n), labels, seed=seed))
    assert [fit.name for fit in fits] == [f"r{r}f{f}" for r in range(2) for f in range(k)]
    for repeat in range(2):
        own = fits[repeat * k : (repeat + 1) * k]
        assert sorted(np.concatenate([fit.unseen for fit in own])) == list(range(n))
        for fit in own:
            assert not set(fit.train) & set(fit.unseen)
            assert sorted([*fit.train, *fit.unseen]) == list(range(n))
            np.testing.assert_array_equal(fit.seen, fit.train)
        counts = np.array([np.bincount(labels[fit.unseen], minlength=labels.max() + 1) for fit in own])
        assert (np.ptp(counts, axis=0) <= 1).all(), "class counts of two folds differ by more than one"
        # Dealt class by class, folds of all samples may differ by a sample a class at most.
        assert np.ptp(counts.sum(axis=1)) <= counts.shape[1]


@settings(max_examples=60, deadline=None)
@given(labelled(), st.permutations(range(5)))
def test_the_names_of_classes_do_not_matter(case, names):
    labels, k, seed = case
    if not k:
        return
    ids = np.arange(len(labels))
    renamed = np.array(names)[labels]
    np.testing.assert_array_equal(assign_folds(ids, labels, k, seed=seed), assign_folds(ids, renamed, k, seed=seed))


@settings(max_examples=60, deadline=None)
@given(labelled(), st.booleans())
def test_the_order_of_rows_does_not_matter(case, text):
    labels, k, seed = case
    if not k:
        return
    ids = np.array([f"s{i}" for i in range(len(labels))]) if text else np.arange(len(labels)) * 3 - 7
    order = np.random.default_rng(seed).permutation(len(labels))
    fold_of = assign_folds(ids, labels, k, seed=seed)
    np.testing.assert_array_equal(assign_folds(ids[order], labels[order], k, seed=seed), fold_of[order])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=8, max_size=60), st.integers(2, 5), st.integers(0, 99))
def test_groups_stay_in_one_fold(groups, k, seed):
    groups = np.array(groups)
    labels = np.arange(len(groups)) % 3
    if len(np.unique(groups)) < k:
        with pytest.raises(unseen.ArgumentError, match=r"number of groups|or one group"):
            assign_folds(np.arange(len(groups)), labels, k, groups=groups, seed=seed)
        return
    fold_of = assign_folds(np.arange(len(groups)), labels, k, groups=groups, seed=seed)
    assert all(len(set(fold_of[groups == g])) == 1 for g in np.unique(groups))
    assert set(fold_of) == set(range(k)), "a fold is empty"


def test_pairs_among_many_singles_are_dealt_by_stratification():
    labels = np.arange(400) % 2
    groups = np.arange(400)
    groups[300:310] = groups[:10]  # ten copies
    fold_of = assign_folds(np.arange(400), labels, 4, groups=groups)
    heads = np.unique(groups)
    counts = np.array([np.bincount(labels[heads][fold_of[heads] == f]) for f in range(4)])
    assert np.ptp(counts, axis=0).max() <= 2
    np.testing.assert_array_equal(fold_of[300:310], fold_of[:10])


def test_groups_of_one_are_no_groups():
    labels = np.arange(50) % 3
    alone = assign_folds(np.arange(50), labels, 5, seed=3)
    np.testing.assert_array_equal(assign_folds(np.arange(50), labels, 5, groups=np.arange(50)[::-1], seed=3), alone)


def test_a_class_smaller_than_the_folds_is_in_some_of_them():
    labels = np.array([0] * 40 + [1] * 3 + [2])
    fits = list(unseen.folds(5).fits(np.arange(44), labels))
    rare = [np.bincount(labels[fit.unseen], minlength=3)[1:].tolist() for fit in fits]
    assert sorted(np.sum(rare, axis=0).tolist()) == [1, 3]
    assert max(r[0] for r in rare) == 1
    # The one member of its class is judged by a model that never saw its class: written in the docstring.
    assert [2 in labels[fit.train] for fit in fits if 43 in fit.unseen] == [False]


def test_one_class_only():
    fits = list(unseen.folds(3).fits(np.arange(10), np.zeros(10, int)))
    assert sorted(len(fit.unseen) for fit in fits) == [3, 3, 4]


def test_fewer_samples_than_folds():
    with pytest.raises(unseen.ArgumentError, match="k must be at most the number of samples, got k=5 for 4 samples"):
        list(unseen.folds(5).fits(np.arange(4), np.zeros(4, int)))
    with pytest.raises(unseen.ArgumentError, match=r"number of groups \(copies .* one group\), got k=3 for 2 groups"):
        list(unseen.folds(3).fits(np.arange(4), np.zeros(4, int), groups=np.array([0, 0, 1, 1])))
    with pytest.raises(unseen.ArgumentError, match="got k=2 for 0 samples"):
        assign_folds(np.arange(0), np.zeros(0, int), 2)


@pytest.mark.parametrize("make", [lambda: unseen.folds(1), lambda: unseen.folds(2.5), lambda: unseen.folds(True)])
def test_k_is_an_integer_of_at_least_two(make):
    with pytest.raises(unseen.ArgumentError, match="k must be an integer of at least 2, got"):
        make()


def test_repeats_are_at_least_one():
    for make in (unseen.halves, unseen.seen, lambda r: unseen.folds(3, r)):
        with pytest.raises(unseen.ArgumentError, match="repeats must be an integer of at least 1, got 0"):
            make(0)


def test_halves_watch_both_sides():
    fits = list(unseen.halves(2).fits(np.arange(10), np.arange(10) % 2))
    assert len(fits) == 4 == unseen.halves(2).count(10)
    for fit in fits:
        assert len(fit.train) == len(fit.seen) == len(fit.unseen) == 5
        assert not set(fit.seen) & set(fit.unseen)
    np.testing.assert_array_equal(fits[0].unseen, fits[1].seen)
    assert unseen.halves().two_sided
    assert not unseen.folds().two_sided


def test_seen_asks_about_everything_as_seen():
    plan = unseen.seen(2)
    fits = list(plan.fits(np.arange(5), np.zeros(5, int)))
    assert [fit.name for fit in fits] == ["r0f0", "r1f0"]
    assert plan.scored_side == "seen"
    assert all(len(fit.unseen) == 0 and len(fit.seen) == len(fit.train) == 5 for fit in fits)


def test_leave_one_out():
    fits = list(unseen.leave_one_out().fits(np.arange(4), np.zeros(4, int)))
    assert [fit.unseen.tolist() for fit in fits] == [[0], [1], [2], [3]]
    assert {fit.fold for fit in fits} == {0}
    fits = list(unseen.leave_one_out().fits(np.arange(4), np.zeros(4, int), groups=np.array([7, 3, 7, 3])))
    assert [fit.unseen.tolist() for fit in fits] == [[1, 3], [0, 2]]
    with pytest.raises(unseen.DataError, match="at least two groups"):
        list(unseen.leave_one_out().fits(np.arange(4), np.zeros(4, int), groups=np.zeros(4, int)))
    with pytest.raises(unseen.ArgumentError, match="at most 10,000 without a closed form"):
        unseen.Recorder(np.arange(10_001) % 2, plan=unseen.leave_one_out())


def test_a_fit_copies_its_rows():
    rows = np.array([0, 1])
    fit = Fit(train=rows, unseen=[2])
    rows[0] = 2
    assert fit.train.tolist() == [0, 1]


def test_groups_too_few_of_a_class_to_stratify():
    labels = np.array([0, 1, 2, 0, 1, 2])
    fold_of = assign_folds(np.arange(6), labels, 4, groups=np.array([0, 0, 1, 2, 3, 4]))
    assert sorted(np.bincount(fold_of)) == [1, 1, 2, 2]
    assert fold_of[0] == fold_of[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": [0, 0], "unseen": [1]}, "train of fit r0f0 must hold each row once"),
        ({"train": [0], "unseen": [-1]}, "unseen of fit r0f0 must hold rows of the data set, got -1"),
    ],
)
def test_a_fit_refuses(arguments, message):
    with pytest.raises(unseen.ArgumentError, match=message):
        Fit(**arguments)


def test_exposures_of_your_own():
    plan = unseen.Exposure(train=[[0], [1], [0]], watch=[[1, 2], [2], [3]])
    fits = list(plan.fits(np.arange(4), np.zeros(4, int)))
    assert [(fit.repeat, fit.fold) for fit in fits] == [(0, 0), (1, 1), (0, 2)]
    assert (plan.repeats, plan.count(4)) == (2, 3)
    with pytest.raises(unseen.ArgumentError, match="names row 3, but the data set has 3 samples"):
        list(plan.fits(np.arange(3), np.zeros(3, int)))
    with pytest.raises(unseen.ArgumentError, match="2 training sets and 1 watch sets"):
        unseen.Exposure(train=[[0], [1]], watch=[[2]])
    with pytest.raises(unseen.ArgumentError, match="empty training set"):
        unseen.Exposure(train=[[0], []], watch=[[1], [1]])
    with pytest.raises(unseen.ArgumentError, match="at least one row for each fit, got an empty training set"):
        unseen.Exposure(train=[], watch=[])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=6))
def test_every_pair_has_its_place_in_a_repeat(watch):
    """Also where watch sets overlap in chains, as [0], [0, 1], [1, 2] do."""
    plan = unseen.Exposure(train=[[6]] * len(watch), watch=[sorted(w) for w in watch])
    recorder = unseen.Recorder(np.arange(7) % 2, plan=plan)
    for fit in recorder:
        recorder.record(fit.unseen, np.full((len(fit.unseen), 2), [fit.fold - 0.5, -0.5]))
    table = recorder.table()
    for row in range(7):
        assert np.isfinite(table.values["el2n"][:, row]).sum() == sum(row in w for w in watch)
    by_hand = [[np.sqrt(2) * abs(1 / (1 + np.exp(-f)) - (r % 2 == 0)) for f, w in enumerate(watch) if r in w]
               for r in range(6)]  # fmt: skip
    np.testing.assert_allclose(table.column("el2n")[:6], [np.mean(b) if b else np.nan for b in by_hand], rtol=1e-12)


def test_plans_describe_themselves():
    assert unseen.folds(4, repeats=2).describe() == {"plan": "folds", "k": 4, "repeats": 2, "watch_seen": False}
    assert unseen.halves(3).describe() == {"plan": "halves", "k": 2, "repeats": 3, "watch_seen": True}
    assert unseen.seen().describe() == {"plan": "seen", "repeats": 1}
    assert unseen.leave_one_out().describe() == {"plan": "leave_one_out"}
    about = unseen.Exposure([0], [1]).describe()
    assert (about["plan"], about["fits"]) == ("exposure", 1)
    assert about == unseen.Exposure([[0]], [[1]]).describe()
    assert about != unseen.Exposure([1], [0]).describe()
    assert about != unseen.Exposure([0, 1], [2]).describe()


@pytest.mark.parametrize("size", [5, 30, 45])
def test_large_groups_move_with_their_ids(size):
    """Groups numbered by their first row, as exact copies are, in whatever order the rows come."""
    n, k = 90, 3
    ids, labels = np.array([f"s{i}" for i in range(n)]), np.arange(n) % 4
    group_of_id = np.arange(n) // size

    def folds_by_id(rows):
        first = {group: place for place, group in reversed(list(enumerate(group_of_id[rows])))}
        groups = np.array([first[group] for group in group_of_id[rows]])
        return dict(zip(ids[rows], assign_folds(ids[rows], labels[rows], k, groups=groups, seed=1), strict=True))

    if size == 45:
        with pytest.raises(unseen.ArgumentError, match="at most the number of groups"):
            folds_by_id(np.arange(n))
        return
    shuffled = np.random.default_rng(0).permutation(n)
    assert folds_by_id(np.arange(n)) == folds_by_id(shuffled)


def test_a_fit_of_many_models_learns_from_all_their_samples():
    (together,) = at_once(unseen.leave_one_out()).fits(np.arange(7), np.arange(7) % 2)
    assert (len(together.train), together.samples) == (0, 7)
    assert unseen.Fit(train=[0, 1, 2], unseen=[3]).samples == 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=4, max_size=60), st.integers(2, 4), st.integers(0, 3))
def test_folds_are_those_of_scikit_learn(labels, k, seed):
    labels, ids = np.array(labels), np.arange(len(labels))
    assume(np.bincount(labels).max() >= k)  # which it refuses otherwise
    ranked = seeds.order(seed, ids, "deal")
    expected = np.empty(len(labels), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes smaller than k
        for fold, (_, inside) in enumerate(StratifiedKFold(k).split(ranked, labels[ranked])):
            expected[ranked[inside]] = fold
    assert assign_folds(ids, labels, k, seed=seed).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "plan",
    [
        unseen.leave_one_out(),
        unseen.folds(3, 2),
        unseen.halves(),
        Within(unseen.leave_one_out(), np.arange(5, 35)),
    ],
    ids=["leave one out", "folds", "halves", "leave one out within"],
)
def test_a_plan_counts_the_fits_that_it_yields_for_groups_too(plan):
    ids, labels, groups = np.arange(40), np.arange(40) % 2, np.arange(40) // 2
    assert plan.count(40) == len(list(plan.fits(ids, labels)))
    assert plan.count(40, groups) == len(list(plan.fits(ids, labels, groups=groups)))


def test_leave_one_out_by_refits_leaves_out_copies_together():
    X = np.random.default_rng(0).normal(size=(40, 2))
    X[30:] = X[:10]
    y = (X[:, 0] > 0).astype(int)
    assert len(unseen.score(X, y, plan=unseen.leave_one_out(), learner="logistic").column("el2n")) == 40
