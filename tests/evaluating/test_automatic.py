"""`rule="auto"`: random is always there, the best is confirmed on fresh replicates, and losing to random is said."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.evaluating import automatic

X, Y = load_digits(return_X_y=True)
DATA = (X[:700], Y[:700])
LINES = ["folds:k=2/el2n/top", "folds:k=2/el2n/stratified:cutoff=0.3"]


def chosen(**changes):
    options = {"keep": 0.3, "rule": "auto", "learner": GaussianNB(), "candidates": LINES, "confirm": 3}
    return unseen.prune(DATA, **{**options, **changes})


def test_the_winner_is_carried_out_on_everything():
    table, coreset = chosen()
    evidence = coreset.provenance["auto"]
    assert len(coreset) == 210
    assert coreset.n == len(table) == 700
    assert evidence["rounds"][0]["accuracy"].keys() == {"random", *LINES}
    assert evidence["confirmed"]["seeds"] == 3
    assert evidence["held_out"] == 140
    if evidence["winner"] != "random":
        _, score, rule = evidence["winner"].split("/")
        again = unseen.prune(DATA, keep=0.3, score=score, rule=rule, plan=unseen.folds(2), learner=GaussianNB())
        np.testing.assert_array_equal(again.coreset.indices, coreset.indices)


def test_random_is_never_halved_away():
    rounds = chosen(candidates=[*LINES, "seen/el2n/top"]).coreset.provenance["auto"]["rounds"]
    assert len(rounds) > 1
    assert all("random" in one["accuracy"] for one in rounds)
    assert [one["replicates"] for one in rounds] == [2**i for i in range(len(rounds))]


def test_a_candidate_worse_than_random_loses_to_it():
    """Only the easiest tenth: no model learns from that. Random wins, and it is said so."""
    table, coreset = chosen(keep=0.1, candidates=["folds:k=2/el2n/window:offset=0.9"])
    evidence = coreset.provenance["auto"]
    assert evidence["winner"] == "random"
    assert coreset.provenance["rule"] == "random"
    assert "el2n" in table.scores


def test_several_steps_can_win(monkeypatch):
    monkeypatch.setattr(automatic, "_confirm", lambda trials, best, budget, seeds: (best, None))
    monkeypatch.setattr(automatic, "_halve", lambda trials, methods, budget: ([], [methods[1]]))
    table, coreset = chosen(candidates=["grow:steps=2/el2n/stratified"])
    assert len(coreset) == 210
    assert set(coreset.sources) == {"start", "step 1", "step 2"}
    assert len(table) == 700


def test_the_confirmation_uses_fresh_replicates(tmp_path):
    chosen(out=tmp_path / "run")
    trained = {path.name for path in (tmp_path / "run/parts/auto/fits").iterdir()}
    replicates = {int(name.rpartition("-r")[2]) for name in trained}
    searched = {r for r in replicates if r < automatic.FRESH}
    assert {1000, 1001} <= replicates
    assert searched == set(range(len(searched)))


def test_it_goes_on_to_the_same_choice(tmp_path):
    first = chosen(out=tmp_path / "run")
    again = chosen(out=tmp_path / "run")
    np.testing.assert_array_equal(first.coreset.indices, again.coreset.indices)
    assert first.coreset.provenance == again.coreset.provenance


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": unseen.folds(2)}, "chooses the plan itself"),
        ({"confirm": 2}, "confirm must be an integer of at least 3"),
        ({"candidate": LINES}, "did you mean 'candidates'"),
        ({"candidates": ["full"]}, "must choose a part"),
        ({"candidates": ["el2n/stratified:cutoff=0.8"]}, "cutoff=0.8"),
        ({"probe": 0.0}, "probe must be a share"),
        ({"keep": 2.0}, "keep as a fraction"),
    ],
)
def test_refused_before_any_training(changes, message, monkeypatch):
    monkeypatch.setattr(
        "unseen.engine.executors.LocalExecutor.run", lambda *a, **k: pytest.fail("something was trained")
    )
    with pytest.raises(unseen.UnseenError, match=message):
        chosen(**changes)


def test_usual_candidates_that_cannot_meet_the_budget_are_left_out():
    evidence = chosen(keep=0.85, candidates=None).coreset.provenance["auto"]
    assert evidence["left_out"] == ["folds/el2n/stratified:cutoff=0.3"]


def test_a_score_of_worth_does_not_say_who_is_hardest():
    lines = [method.text for method in automatic.candidates_for("dual", np.array([0, 1]), None)]
    assert lines == ["random", "folds/dual/top", "folds/dual/stratified", "grow/dual/stratified"]
