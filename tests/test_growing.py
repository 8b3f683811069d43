"""Several steps: who enters and why, exact budgets, copies and groups, the same numbers again, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import entr
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.core.coreset import History
from unseen.engine.runs import RunDirectory
from unseen.rules.registry import spec_of

BAYES = GaussianNB(var_smoothing=1e-2)
GOLDEN = Path(__file__).parent / "engine" / "runs" / "golden"


def digits(n=300):
    X, y = load_digits(return_X_y=True)
    return X[:n].astype(np.float32), y[:n]


def checked(grown):
    """The result, once it agrees with itself."""
    coreset, history, table = grown
    assert len(np.unique(coreset.indices)) == len(coreset) == history.sizes[-1]
    np.testing.assert_array_equal(history.members(), coreset.order)
    np.testing.assert_array_equal(np.sort(coreset.order), coreset.indices)
    since = dict(zip(history.rows.tolist(), history.steps.tolist(), strict=True))
    expected = [f"step {since[row]}" if since[row] else "start" for row in coreset.indices.tolist()]
    assert coreset.sources.tolist() == expected
    np.testing.assert_array_equal(history.ids, table.ids[history.rows])
    return grown


def grow(data, **arguments):
    return checked(unseen.grow(data, **{"learner": BAYES, "threads": 1, **arguments}))


# Who enters.


def test_the_start_is_chosen_among_who_is_not_cut_off_at_the_whole_budget():
    coreset, history, table = grow(digits(), keep=90)
    whole = unseen.select(table, keep=90)
    cut_off = {name: found["cut_off"] for name, found in whole.provenance["found"].items()}
    assert max(cut_off.values()) > 0
    for label, name in enumerate(table.class_names):
        members = table.ids[table.labels == label]
        hardest = members[np.argsort(-table.column("el2n")[table.labels == label], kind="stable")[: cut_off[name]]]
        assert not np.isin(coreset.ids, hardest).any()
    assert history.sizes == [45, 67, 90]


def test_those_enter_that_a_model_of_the_coreset_is_least_sure_about(tmp_path):
    X, y = digits()
    _, history, _ = grow((X, y), keep=90, rule="top", steps=1, out=tmp_path / "run")
    members, entered = history.members(0), history.rows[history.steps == 1]
    outside = np.setdiff1d(np.arange(300), members)
    model = GaussianNB(var_smoothing=1e-2).fit(X[members], y[members])
    entropy = entr(model.predict_proba(X[outside])).sum(axis=1)
    by_hand = outside[np.argsort(-entropy)[:45]]
    assert len(np.intersect1d(by_hand, entered)) >= 44  # the last place may be a tie by rounding
    scores = history.scores[history.steps == 1]
    assert (np.diff(scores) <= 0).all()  # the worthiest first


def test_wrong_labels_that_were_cut_off_do_not_come_back():
    X, y = digits(900)
    flipped = np.random.default_rng(0).permutation(900)[:90]
    y = y.copy()
    y[flipped] = (y[flipped] + 1) % 10
    coreset, history, _ = grow((X, y), keep=0.3, learner="mlp:epochs=30,batch_size=32")
    assert np.isin(coreset.indices, flipped).mean() < 0.02 < 0.1
    assert len(history) == 3


def test_steps_add_equally_many():
    assert grow(digits(), keep=100, start=0.4, steps=3).history.sizes == [40, 60, 80, 100]


def test_a_coreset_of_ones_own_is_where_it_begins():
    rows = np.arange(0, 120, 2)
    start = unseen.Coreset(ids=rows, indices=rows, n=300)
    coreset, history, _ = grow(digits(), keep=80, start=start)
    np.testing.assert_array_equal(np.sort(history.members(0)), rows)
    assert len(coreset) == 80


def test_where_models_are_too_weak_the_coreset_is_random_and_says_so():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)).astype(np.float32), np.arange(400) % 4
    said = []
    coreset, history, _ = grow((X, y), keep=100, report=lambda kind, **more: said.append((kind, more)))
    assert len(history) == 1
    assert "better than predicting the largest class" in coreset.provenance["fallback"]
    assert any("better than predicting" in more["text"] for kind, more in said if kind == "say")
    np.testing.assert_array_equal(np.bincount(y[coreset.indices]), 25)
    assert spec_of(coreset) == "random:quota=floored"  # what was done, not what the default would have been
    assert history.about["rule"] == "random"
    rows = np.arange(0, 60)
    with pytest.warns(UserWarning, match="samples are added at random"):  # where nobody listens to reports
        larger = grow((X, y), keep=100, start=unseen.Coreset(ids=rows, indices=rows, n=400))
    assert set(rows) <= set(larger.coreset.indices)  # the start of the user stays
    assert "fallback" in larger.coreset.provenance
    named = grow((X, y), keep=100, rule="stratified:cutoff=auto")
    assert len(named.history) == 3  # who names a rule decides


# Copies and groups.


def copied():
    """Sixty samples of three classes, a third of them there three times. X, y, which of the sixty."""
    rng = np.random.default_rng(0)
    which = np.concatenate([np.arange(60), np.arange(20), np.arange(20)])
    X = (rng.normal(size=(60, 4)) + 4.0 * (np.arange(60) % 3)[:, None]).astype(np.float32)
    return X[which], which % 3, which


@pytest.mark.filterwarnings("ignore:60 of 100 samples are equal to others")
def test_copies_of_members_do_not_enter_while_others_are_left():
    X, y, which = copied()
    _, history, _ = grow((X, y), keep=40, rule="stratified")
    members, entered = history.members(0), history.rows[history.steps == 1]
    assert not np.isin(which[entered], which[members]).any()


@pytest.mark.filterwarnings("ignore:60 of 100 samples are equal to others")
def test_copies_fill_the_budget_when_nothing_else_is_left():
    X, y, _ = copied()
    assert len(grow((X, y), keep=95, rule="stratified").coreset) == 95


def test_outsiders_of_large_groups_are_judged_by_models_that_saw_nobody_of_their_group():
    X, y = digits()
    groups = np.arange(300) % 6  # so every group has members
    coreset, history, _ = grow((X, y), keep=100, groups=groups, plan=unseen.folds(3))
    assert len(coreset) == 100
    assert np.isfinite(history.scores).all()


# Exact budgets, and what settings do.

SETTINGS = [
    {"score": "entropy"},
    {"rule": "top"},
    {"rule": "stratified"},
    {"refill": "el2n"},
    {"refill": "loss"},
    {"start": 0.75},
    {"steps": 3},
    {"plan": unseen.folds(3)},
    {"seed": 1},
    {"quota": "uniform"},
    {"quota": "error"},
    {"rule": "stratified:cutoff=0.1,cutoff_by=loss"},
    {"groups": np.arange(300) // 3},
]


@pytest.fixture(scope="module")
def plain():
    return grow(digits(), keep=60)


@pytest.mark.parametrize("more", SETTINGS, ids=str)
def test_every_setting_changes_something_and_keeps_the_budget(plain, more):
    other = grow(digits(), keep=60, **more)
    assert len(other.coreset) == 60
    assert not np.array_equal(plain.coreset.order, other.coreset.order)


def test_features_go_to_rules_that_read_distances():
    X, y = digits()
    assert len(grow((X, y), keep=60, rule="k_center", features=X).coreset) == 60
    with pytest.raises(unseen.ArgumentError, match="features must be numbers of shape"):
        grow((X, y), keep=60, rule="k_center", features=X[:10])


def test_a_uniform_quota_shares_out_who_enters():
    X, y = digits()
    _, history, _ = grow((X, y), keep=100, steps=1, quota="uniform")
    np.testing.assert_array_equal(np.bincount(y[history.rows[history.steps == 1]], minlength=10), 5)


# The same numbers.


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_again_and_with_two_jobs(jobs):
    first, second = grow(digits(), keep=60, steps=2), grow(digits(), keep=60, steps=2, jobs=jobs)
    np.testing.assert_array_equal(first.coreset.order, second.coreset.order)
    np.testing.assert_array_equal(first.history.scores, second.history.scores)
    np.testing.assert_array_equal(first.scores.values["el2n"], second.scores.values["el2n"])


def test_shuffled_rows_move_with_their_ids():
    X, y = digits()
    ids = np.array([f"img/{i:05d}.png" for i in np.arange(len(y)) * 7])
    shuffled = np.random.default_rng(0).permutation(len(y))
    grown = [
        grow(unseen.data.from_arrays(X[order], y[order], ids=ids[order]), keep=60, steps=2)
        for order in (np.arange(len(y)), shuffled)
    ]
    assert set(grown[0].coreset.ids) == set(grown[1].coreset.ids)


def test_history_is_kept_and_read_back(tmp_path):
    out = tmp_path / "run"
    grown = grow(digits(), keep=60, steps=2, out=out)
    read = History.load(out / "history.parquet")
    assert repr(read) == repr(grown.history) == "History(30 samples, then 45, then 60)"
    assert read.about == grown.history.about
    for name in ("ids", "rows", "steps", "scores"):
        np.testing.assert_array_equal(getattr(read, name), getattr(grown.history, name))
    loaded = unseen.load(out)
    np.testing.assert_array_equal(loaded.coreset.order, grown.coreset.order)
    np.testing.assert_array_equal(loaded.scores.values["el2n"], grown.scores.values["el2n"])
    with pytest.raises(unseen.ArgumentError, match=r"step must be in 0\.\.2, got 3"):
        read.members(3)


@pytest.mark.parametrize("version", ["format1", "format2"])
def test_histories_of_before_are_read(version):
    run = GOLDEN / version / "grow"
    history, coreset = History.load(run / "history.parquet"), RunDirectory(run).coreset()
    np.testing.assert_array_equal(np.sort(history.members()), coreset.indices)
    assert history.sizes[-1] == len(coreset)


# What is refused, before any training.


class Untrained(GaussianNB):
    def fit(self, X, y):
        raise AssertionError("trained")


def of_first(m, shift=0, n=300):
    return unseen.Coreset(ids=np.arange(m) + shift, indices=np.arange(m), n=n)


OTHER = unseen.ScoreTable.of("s", np.zeros(300), direction="harder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give exactly one of keep= and prune=, got none"),
        ({"keep": 60, "prune": 60}, "exactly one of keep= and prune="),
        ({"keep": 12}, "the start of 6 samples is too small to train on: it must be at least 10, one a class"),
        ({"keep": 60, "start": 0.1}, "the start of 6 samples is too small"),
        ({"keep": 60, "start": 1.0}, r"start must be a share of the budget in \(0, 1\), or a coreset, got 1.0"),
        ({"keep": 60, "start": "unseen"}, "start must be a share"),
        ({"keep": 60, "start": of_first(60)}, "each step must add a sample, but the start of 60 and the budget of 60"),
        ({"keep": 60, "steps": 31}, "leave 30 for steps=31"),
        ({"keep": 60, "steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"keep": 60, "rule": "tpo"}, "unknown rule 'tpo'; did you mean 'top'"),
        ({"keep": 60, "cutof": 0.1}, "grow has no argument 'cutof'; did you mean 'cutoff'"),
        ({"keep": 60, "thread": 2}, "grow has no argument 'thread'; did you mean 'threads'"),
        ({"keep": 60, "score": "el2m"}, "unknown score 'el2m'; did you mean 'el2n'"),
        ({"keep": 60, "refill": "entropi"}, "unknown score 'entropi'; did you mean 'entropy'"),
        ({"keep": 60, "refill": "aum"}, "score 'aum' needs 2 epochs"),
        ({"keep": 60, "refill": "memorization"}, "asks on one side only"),
        ({"keep": 60, "rule": "k_center"}, "give features="),
        ({"keep": 60, "quota": {0: 6}}, "grow takes 'proportional', 'floored', 'uniform' or 'error'"),
        ({"keep": 60, "quota": "equal"}, "quota must be one of"),
        ({"keep": 60, "labels": [1]}, "labels= is measured at each step"),
        ({"keep": 60, "groups": [1, 2]}, "one entry for each of 300 samples, got 2"),
        ({"keep": 120, "start": of_first(99, shift=1)}, "or other ids"),
        ({"keep": 120, "start": of_first(99, n=299)}, "99 of 299 samples"),
        ({"keep": 60, "rule": "stratified:cutoff=0.1", "cutoff_by": OTHER}, "must name its second score"),
    ],
)
def test_what_cannot_work_is_refused_before_any_training(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        unseen.grow(digits(), learner=Untrained(), threads=1, out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_configuration_is_refused(tmp_path):
    grow(digits(), keep=60, out=tmp_path / "run")
    with pytest.raises(unseen.RunMismatchError, match=re.escape("grow.sizes[0]: 30 (run) != 45 (now)")):
        grow(digits(), keep=60, start=0.75, out=tmp_path / "run")
    with pytest.raises(unseen.RunMismatchError, match=r"grow\.refill"):
        grow(digits(), keep=60, refill="el2n", out=tmp_path / "run")
