"""Advice: the search and the confirmation do not share replicates, and only the latter enters the interval."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.engine.work import Outcome
from unseen.evaluating import advise
from unseen.evaluating.methods import Method, default_method
from unseen.evaluating.trials import Trials

X, Y = load_digits(return_X_y=True)
DATA = (X[:400], Y[:400])


def advised(**changes):
    options = {"method": "folds:k=2/el2n/top", "learner": GaussianNB(), "seeds": 3, "step": 0.2}
    return unseen.advise(DATA, **{**options, **changes})


@pytest.fixture
def law(monkeypatch):
    """Accuracies by a law of the test's own, in place of trainings; and what was asked."""
    asked = []

    def made(rule):
        def outcomes(self, tried, replicates):
            asked.extend((method.text, budget, tuple(replicates)) for method, budget in tried)
            found = {}
            for method, budget in tried:
                for r in replicates:
                    right = np.arange(1000) < round(1000 * rule(method.text, budget / len(self.train), r))
                    found[method, budget, r] = Outcome(np.zeros(1000), right.astype(float), 1)
            return found

        monkeypatch.setattr(Trials, "outcomes", outcomes)
        return asked

    return made


def test_the_largest_share_within_the_margin_is_found(law):
    asked = law(lambda method, kept, r: 0.9 if method == "full" or kept >= 0.4 - 1e-9 else 0.8)
    advice = advised(step=0.1)
    assert advice.prune == 0.6
    assert advice.verdict.word == "lossless"
    assert advice.difference.n == 3
    shares = [tried.prune for tried in advice.tried]
    assert len(shares) <= 5  # four of bisection over nine shares, one confirmation
    search = {r for _, _, rs in asked for r in rs if r < advise.FRESH}
    assert search == {0, 1}


def test_what_fresh_replicates_do_not_confirm_is_stepped_back_from(law):
    """In the search everything looks fine; on fresh replicates only 20 % does."""
    law(lambda method, kept, r: 0.9 if method == "full" or r < 1000 or kept > 0.7 else 0.7)
    advice = advised(step=0.2)
    confirming = [tried.prune for tried in advice.tried if tried.confirming]
    assert confirming == [0.8, 0.6, 0.4]  # three tries at most
    assert advice.prune == 0.0
    assert advice.difference is None
    assert "nothing can be pruned" in repr(advice)


def test_each_try_has_fresh_replicates_of_its_own(law):
    asked = law(lambda method, kept, r: 0.9 if method == "full" or r < 1000 or kept > 0.5 else 0.7)
    advice = advised(step=0.2)
    assert advice.prune == 0.4
    mine = [rs for method, _, rs in asked if method.startswith("folds") and rs[0] >= advise.FRESH]
    assert mine == [(1000, 1001, 1002), (2000, 2001, 2002), (3000, 3001, 3002)]


def test_false_confirmations_stay_at_the_error_level(law):
    """The truth is a loss of exactly the margin at every share: at most 5 in 100 advices may claim otherwise."""
    rng = np.random.default_rng(0)
    noise = {}

    def rule(method, kept, r):
        drawn = noise.setdefault((method, kept, r), rng.normal(0, 0.01))
        return 0.8 if method == "full" else 0.8 - 0.02 + drawn

    law(rule)
    claims = 0
    for _ in range(200):
        noise.clear()
        claims += advised(step=0.3, margin=0.02, seeds=4).prune > 0
    assert claims <= 19  # P(more than 19 of 200 at 5 %) is below 1 %


def test_nothing_within_the_margin(law):
    law(lambda method, kept, r: 0.9 if method == "full" else 0.5)
    advice = advised()
    assert advice.prune == 0.0
    assert advice.budget == advice.n
    assert "found no share" in advice.verdict.text


def test_for_real_and_again(tmp_path):
    first = advised(out=tmp_path / "run", margin=0.05)
    again = advised(out=tmp_path / "run", margin=0.05)
    assert repr(first) == repr(again)
    assert repr(first.tried) == repr(again.tried)  # where an interval is not known, its bounds are NaN
    with pytest.raises(unseen.RunMismatchError, match="margin"):
        advised(out=tmp_path / "run", margin=0.01)


@pytest.mark.parametrize("learner", [GaussianNB(), "ridge"])
def test_the_default_method_is_how_prune_chooses(learner):
    coreset = unseen.prune(DATA, keep=0.5, learner=learner).coreset
    default = Method.of(default_method(unseen.data.resolve(DATA), learner))
    choice = default.choice()
    assert coreset.provenance["rule"] == choice.rule.name
    assert coreset.provenance["options"] == choice.rule.options()
    assert coreset.provenance["score"] == default.score
    assert coreset.provenance["scores"]["plan"]["plan"] == default.plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0.0}, "margin must be"),
        ({"margin": 1.5}, "margin must be"),
        ({"step": 0.9}, "step must be"),
        ({"step": "0.1"}, "step must be a share in .*, got '0.1'"),
        ({"seeds": 2}, "seeds must be an integer of at least 3"),
        ({"seeds": 3.5}, "seeds must be an integer of at least 3, .* got 3.5"),
        ({"searching": 0}, "searching must be"),
        ({"method": "full"}, "must choose a part"),
        ({"method": "el2n/stratified:cutoff=0.95"}, "cutoff=0.95"),
        ({"fix": "iterations"}, "trains in steps"),
    ],
)
def test_refused_before_any_training(changes, message, monkeypatch):
    monkeypatch.setattr(
        "unseen.engine.executors.LocalExecutor.run", lambda *a, **k: pytest.fail("something was trained")
    )
    with pytest.raises(unseen.UnseenError, match=message):
        advised(**changes)


def test_shares_that_leave_too_little_to_grow_from_are_not_tried(law):
    """At 90 % pruned the start of a growth would be below one sample a class: the outlook must not ask for it."""
    law(lambda method, kept, r: 0.9)
    advice = advised(method="grow:start=0.2/el2n/top", step=0.1)
    assert 0 < advice.prune < 0.9


def test_shares_of_which_random_may_draw_one_class_are_not_tried():
    """Of 320 samples ten are positive: a random tenth holds none of them in some replicate."""
    rng = np.random.default_rng(0)
    rare = (np.arange(400) % 32 == 0).astype(int)
    inputs = rng.normal(size=(400, 3)) + 5 * rare[:, None]
    advice = unseen.advise(inputs, rare, quick=True, step=0.1, seeds=3, searching=2, margin=0.05)
    assert 0.5 < max(tried.prune for tried in advice.tried) < 0.9
    with pytest.raises(unseen.ArgumentError, match="'random' keeps samples of one class only at a budget of 160"):
        unseen.advise(
            inputs, (np.arange(400) < 3).astype(int), method="el2n/top", learner=GaussianNB(), step=0.5, seeds=9
        )


def quickly(**changes):
    options = {"method": "folds:k=2/el2n/top", "seeds": 3, "step": 0.3, "margin": 0.03, "quick": True, "searching": 2}
    return unseen.advise(DATA if "features" not in changes else IMAGES, **{**options, **changes})


IMAGES = (np.rint(X[:400].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8), Y[:400])


def test_quick_tries_every_share_beside_random_and_says_what_it_is(law):
    asked = law(lambda method, kept, r: 0.9 if method == "full" or kept >= 0.4 - 1e-9 else 0.8)
    advice = quickly(step=0.2, searching=None)
    searched = [tried for tried in advice.tried if not tried.confirming]
    assert [tried.prune for tried in searched] == [0.2, 0.4, 0.6, 0.8]
    assert all(tried.random is not None and tried.difference.n == 5 for tried in searched)
    assert advice.prune == 0.6
    assert {r for _, _, rs in asked for r in rs if r >= advise.FRESH} == {1000, 1001, 1002}
    assert advice.estimate == "an estimate under a linear head"
    assert repr(advice).startswith("Advice(an estimate under a linear head: prune 60 % by")
    assert advice.to_json()["estimate"] == advice.estimate
    law(lambda method, kept, r: 0.9 if method == "full" else 0.5)
    assert repr(quickly()).startswith("Advice(an estimate under a linear head: nothing can be pruned")


def test_the_real_training_is_no_estimate(law):
    law(lambda method, kept, r: 0.9)
    advice = advised()
    assert advice.estimate is None
    assert "estimate" not in repr(advice)
    assert [tried.random is None for tried in advice.tried] == [not tried.confirming for tried in advice.tried]


def test_quick_is_advice_with_ridge():
    quick, slow = quickly(step=0.4), advised(learner="ridge", step=0.4, margin=0.03)
    mine, other = ({(t.prune, t.confirming): t.difference for t in advice.tried} for advice in (quick, slow))
    assert set(other) <= set(mine)
    assert all(repr(mine[key]) == repr(difference) for key, difference in other.items())
    assert (quick.prune, quick.verdict) == (slow.prune, slow.verdict)
    assert quick.about["learner"] == quick.about["trainee"] == "ridge"


def test_quick_learns_from_the_features_that_are_given():
    """Images with the vectors as features are the vectors."""
    learner = "ridge:lam=9.0,temperature=1.0"
    asked = {"learner": learner, "step": 0.45}
    vectors = quickly(**asked)
    assert repr(quickly(**asked, features=X[:400]).tried) == repr(vectors.tried)  # bounds may be NaN
    noise = np.random.default_rng(0).normal(size=(400, 3))
    assert repr(quickly(**asked, features=noise).tried) != repr(vectors.tried)
    near = quickly(**asked, features=X[:400], method="k_center")  # they are for rules that read them, too
    assert near.method == "k_center"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": GaussianNB()}, "trains a linear head in closed form, which 'sklearn:GaussianNB' is not"),
        ({"trainee": "ridge"}, "leave trainee out"),
        ({"features": None}, "on vectors, but this is image data: give features="),
        ({"features": X[:399]}, r"features must be numbers of shape \(400, d\)"),
        ({"features": X[:400], "test": IMAGES}, "the test set brings no features"),
        ({"fix": "iterations"}, "trains in steps"),
        ({"method": "folds:k=2/dual/top"}, "has no epochs"),
        ({"searching": 0}, "searching must be"),
    ],
)
def test_quick_refuses_before_any_training(changes, message, monkeypatch):
    monkeypatch.setattr(
        "unseen.engine.executors.LocalExecutor.run", lambda *a, **k: pytest.fail("something was trained")
    )
    with pytest.raises(unseen.UnseenError, match=message):
        quickly(**changes)


@pytest.mark.parametrize("options", [{"margin": 0.05}, {"margin": 1e-6, "searching": 1}])
def test_what_is_in_a_run_is_loaded(options, tmp_path):
    advice = advised(out=tmp_path / "run", **options)
    back = unseen.load(tmp_path / "run")
    assert isinstance(back, unseen.Advice)
    assert repr(back) == repr(advice)
    assert back.to_json() == advice.to_json()  # not ==: a mean over one replicate has NaN for bounds
    assert [type(tried.difference) for tried in back.tried] == [type(tried.difference) for tried in advice.tried]
    (tmp_path / "run" / "advice.json").write_text("{}")
    with pytest.raises(unseen.CorruptFileError, match=r"advice\.json is damaged"):
        unseen.load(tmp_path / "run")
