"""The words that people type: plans by name, shares in percent, no seed, words of other libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

import unseen
from unseen.errors import ArgumentError, BudgetError, DataError, UnknownArgumentError, UnknownNameError

X, Y = load_iris(return_X_y=True)
QUICK = {"learner": GaussianNB(), "threads": 1}


@pytest.mark.parametrize(
    ("word", "plan"),
    [
        ("folds", unseen.folds()),
        ("folds:k=3", unseen.folds(3)),
        (4, unseen.folds(4)),
        (np.int64(2), unseen.folds(2)),
        ("halves", unseen.halves()),
        ("seen", unseen.seen()),
    ],
)
def test_plans_by_name_or_number_of_folds(word, plan):
    named, made = (unseen.score(X, Y, plan=one, **QUICK) for one in (word, plan))
    np.testing.assert_array_equal(named.values["el2n"], made.values["el2n"])
    assert named.provenance["plan"] == plan.describe()
    assert unseen.estimate(X, Y, plan=word, **QUICK).fits == plan.count(len(X))
    assert unseen.prune(X, Y, keep=0.5, plan=word, **QUICK).scores.provenance["plan"] == plan.describe()
    assert unseen.grow(X, Y, keep=0.5, plan=word, **QUICK).scores.provenance["plan"] == plan.describe()
    assert len(list(unseen.Recorder(Y, plan=word)._job.pending())) == plan.count(len(X))
    assert len(unseen.Pruner(0.5, plan=word, learner=GaussianNB()).fit(X, Y).coreset_) == 75


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("fold", "unknown plan 'fold'; did you mean 'folds'"),
        ("folds:n=3", "plan 'folds' has no option 'n'"),
        (
            True,
            r"plan must be a plan, such as unseen.folds\(5\), its name, 'folds:k=5', or a number of folds, got True",
        ),
        (3.0, "plan must be a plan"),
        (1, "k must be an integer of at least 2, got 1"),
        (unseen.folds, "or a number of folds, got folds, uncalled"),
    ],
)
def test_what_is_no_plan(plan, message):
    for verb in (unseen.score, unseen.prune, unseen.estimate):
        with pytest.raises(ArgumentError, match=message):
            verb(X, Y, plan=plan, **({"keep": 0.5} if verb is unseen.prune else {}), **QUICK)


@pytest.mark.parametrize(
    ("share", "kept"), [("70%", 105), ("70 %", 105), ("12.5%", 19), ("0.7", 105), ("30", 30), ("100%", 150)]
)
def test_shares_as_text(share, kept):
    assert len(unseen.prune(X, Y, keep=share, **QUICK).coreset) == kept
    table = unseen.score(X, Y, **QUICK)
    assert len(unseen.select(table, keep=share)) == kept
    if kept < 150:
        assert len(unseen.select(table, prune=share)) == 150 - kept
    assert unseen.estimate(X, Y, keep=share, **QUICK).budget == kept


def test_shares_in_the_other_verbs():
    assert len(unseen.grow(X, Y, keep="40%", learner=GaussianNB()).coreset) == 60
    swept = unseen.sweep(X, Y, keep=["50%"], methods=["el2n/top"], seeds=1, learner=GaussianNB())
    assert len(swept) == len(unseen.sweep(X, Y, keep=[0.5], methods=["el2n/top"], seeds=1, learner=GaussianNB()))
    with pytest.raises(ArgumentError, match="keep must be a list of fractions or counts, got '50%'"):
        unseen.sweep(X, Y, keep="50%", methods=["el2n/top"], learner=GaussianNB())


@pytest.mark.parametrize(
    ("share", "message"), [("half", "or a share .'70%'., got 'half'"), ("170%", "got 1.7"), ("%", "got '%'")]
)
def test_what_is_no_share(share, message):
    with pytest.raises(BudgetError, match=message):
        unseen.prune(X, Y, keep=share, **QUICK)


def test_without_a_seed_one_is_drawn_and_a_run_keeps_its_own(tmp_path):
    seeds = {unseen.score(X, Y, seed=None, **QUICK).provenance["seed"] for _ in range(3)}
    assert len(seeds) == 3
    first, again = (unseen.prune(X, Y, keep=0.5, seed=None, out=tmp_path / "run", **QUICK).scores for _ in range(2))
    np.testing.assert_array_equal(first.values["el2n"], again.values["el2n"])
    assert len(unseen.select(first, rule="random", keep=0.5, seed=None)) == 75
    unseen.estimate(X, Y, seed=None, **QUICK)


def test_a_class_in_the_place_of_a_learner():
    for call in (
        lambda: unseen.prune(X, Y, keep=0.5, learner=GaussianNB),
        lambda: unseen.score(X, Y, learner=GaussianNB),
        lambda: unseen.Pruner(0.5, learner=GaussianNB).fit(X, Y),
    ):
        with pytest.raises(
            ArgumentError, match=r"learner must be an instance, got the class GaussianNB; call it: Gauss"
        ):
            call()
    with pytest.raises(UnknownNameError):
        unseen.score(X, Y, learner="GaussianNB")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("model", "did you mean 'learner'"),
        ("frac", "did you mean 'keep'"),
        ("cv", "did you mean plan='folds:k=5'"),
        ("method", "did you mean 'rule' or 'score'"),
        ("test", "a test set is for evaluate"),
        ("Keep", "did you mean 'keep'"),
    ],
)
def test_words_of_other_libraries(typed, answer):
    with pytest.raises(UnknownArgumentError, match=f"prune has no argument '{typed}'; {answer}"):
        unseen.prune(X, Y, **{typed: 5})


def test_capitals_are_near():
    with pytest.raises(UnknownNameError, match="unknown score 'EL2N'; did you mean 'el2n'"):
        unseen.prune(X, Y, keep=0.5, score="EL2N", **QUICK)


def test_columns_are_named_by_text():
    """A frame made of an array has numbers as names of columns."""
    frame = pd.DataFrame(X).assign(**{"4": Y}).rename(columns={"4": 4})
    for call in (lambda: unseen.prune(frame, 4, keep=0.5), lambda: unseen.prune(frame, label=4, keep=0.5)):
        with pytest.raises(
            ArgumentError, match="label must be the name of one column, such as '4', got 4: names are text"
        ):
            call()
    with pytest.raises(ArgumentError, match=r"label must be the name of one column, such as '0', got \['4'\]"):
        unseen.prune(frame, label=["4"], keep=0.5)
    assert len(unseen.prune(frame, label="4", keep=0.5, **QUICK).coreset) == 75
    with pytest.raises(ArgumentError, match=r"features must name at least one column, got \[\]"):
        unseen.prune(frame, label="4", keep=0.5, features=[])


def test_results_in_memory_have_no_page():
    pruned = unseen.prune(X, Y, keep=0.5, **QUICK)
    with pytest.raises(
        ArgumentError, match=r"run must be the directory of a run, as in out='runs/a', got .* of Pruned"
    ):
        unseen.report(pruned)


@pytest.mark.parametrize(
    ("frame", "help_"),
    [
        (pd.DataFrame({"t": [f"word{row} again" for row in range(60)]}), "for texts use the learner 'tfidf'"),
        (pd.DataFrame({"t": ["cook", "smith"] * 30, "x": np.arange(60) % 7}), "encode columns of text"),
    ],
)
def test_estimators_that_read_no_words(frame, help_):
    with pytest.raises(DataError, match=f"could not convert string to float: .*; .*{help_}"):
        unseen.prune(frame, np.arange(60) // 3 % 2, keep=0.5, learner=KNeighborsClassifier(), groups=None)
