"""Evaluations whose answer is known; what they say of themselves; resumption; and what is refused before training."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen import rules
from unseen.data import resolve
from unseen.errors import ArgumentError, BudgetError, DataError, RunMismatchError, UnknownNameError
from unseen.evaluating.prices import Price
from unseen.evaluating.result import ArmResult, Evaluation
from unseen.evaluating.test_set import split_off_probe
from unseen.evaluating.trials import Difference, split_train_test
from unseen.learners.sklearn import SklearnLearner

X, Y = load_digits(return_X_y=True)
TRAIN, TEST = (X[:400], Y[:400]), (X[400:700], Y[400:700])
HALF = rules.random(400, keep=0.5, seed=3)


def evaluated(coresets=HALF, **changes):
    options = {"test": TEST, "learner": "mlp:epochs=2", "seeds": 2, "threads": 1}
    return unseen.evaluate(TRAIN, coresets=coresets, **{**options, **changes})


def subset(rows, n=400):
    rows = np.asarray(rows)
    return unseen.Coreset(ids=rows, indices=rows, n=n)


class Quick(SklearnLearner):
    """Naive Bayes: the same model for every seed."""

    def __init__(self):
        super().__init__(GaussianNB(var_smoothing=1e-2))


class Untrained(GaussianNB):
    def fit(self, X, y):
        raise AssertionError("trained")


class Stops(Quick):
    """Is interrupted in its fifth training, the first time around."""

    trainings = 0

    def fit(self, data, fit, sink, checkpoints, **more):
        Stops.trainings += 1
        if Stops.trainings == 5:
            raise KeyboardInterrupt
        super().fit(data, fit, sink, checkpoints, **more)


def test_everything_is_lossless_with_no_difference_at_all():
    """Seeds are paired: the same training set gives the same model."""
    found = evaluated({"all": subset(range(400)), "random draw": HALF}, baselines=["full"], seeds=3, margin=0.02)
    assert found.differences("all").tolist() == [0, 0, 0]
    assert found.verdict("all").text == (
        "lossless for mlp within 2 points, by the test set alone: the difference is the same for every seed, "
        "of this coreset only"
    )
    assert found["all"].beside_error == {"full": pytest.approx(1 / 302)}
    assert len(set(found["full"].accuracy)) > 1, "the replicates differ"
    assert found.differences("random draw").any()


def test_without_a_class_the_loss_is_that_of_the_class():
    found = evaluated({"no 7": subset(np.flatnonzero(TRAIN[1] != 7))}, learner=GaussianNB(var_smoothing=1e-2), seeds=3)
    assert found.verdict("no 7").word == "loses"
    assert "by the test set alone: the difference is the same for every seed" in found.verdict("no 7").text
    assert next(iter(found.by_class("no 7"))) == "7"
    assert found["no 7"].by_class[:, 7].tolist() == [0, 0, 0]
    assert found.verdict("no 7", "random").word == "worse"


def test_a_learner_without_seeds_has_the_interval_of_the_test_set_and_is_told_what_would_give_more():
    draws = [rules.random(400, keep=0.5, seed=s) for s in range(2)]
    found = evaluated({"one": HALF, "method": draws}, learner="ridge:lam=2.0,temperature=1.0", seeds=3)
    for name in ("full", "one"):
        p = found.accuracy(name).mean
        assert found.accuracy(name).half == pytest.approx(1.97 * np.sqrt(p * (1 - p) / 300), rel=0.01)
        assert found.covers(name).startswith("the test set alone: all trainings came to the same accuracy")
    assert "; for more, give several coresets of this method, chosen with different seeds" in found.covers("one")
    assert "same for every seed" in found.verdict("one").text or found.verdict("one").word == "undecided"
    assert "2 independent replicates give no verdict" in found.verdict("method").text, "it has two coresets"
    assert "±" in found.difference("one", "random").text(), "these were drawn anew"
    assert "±" in found.accuracy("method").text()
    assert evaluated(seeds=1, baselines=[]).covers("coreset").startswith("nothing: one replicate shows no spread")


def test_accuracies_are_those_of_models_trained_apart():
    found = evaluated(learner=GaussianNB(var_smoothing=1e-2), baselines=["full"], seeds=1)
    model = GaussianNB(var_smoothing=1e-2).fit(TRAIN[0][HALF.indices].astype(np.float32), TRAIN[1][HALF.indices])
    right = model.predict(TEST[0].astype(np.float32)) == TEST[1]
    assert found["coreset"].accuracy[0] == pytest.approx(right.mean(), abs=0.01)
    p = found["coreset"].accuracy[0]
    assert found["coreset"].error == pytest.approx(np.sqrt(p * (1 - p) * 300 + 1) / 302, rel=1e-9)
    counts = np.bincount(TEST[1])
    assert found["coreset"].by_class[0] @ counts == pytest.approx(p * 300)


def test_baselines_have_the_budget_and_are_drawn_anew():
    seen = []

    class Spy(Quick):
        def fit(self, data, fit, sink, checkpoints, **more):
            seen.append(fit.train)
            super().fit(data, fit, sink, checkpoints, **more)

    found = evaluated({"a": HALF, "b": rules.random(400, keep=0.5, seed=4)}, learner=Spy(), seeds=3)
    assert [arm.name for arm in found.arms] == ["full", "a", "b", "random", "random-stratified"], "budgets are shared"
    assert len(seen) == 15
    random = seen[9:12]
    assert {len(rows) for rows in random} == {200}
    assert len({rows.tobytes() for rows in random}) == 3
    for rows in seen[12:]:
        share = np.bincount(TRAIN[1]) / 2
        assert (abs(np.bincount(TRAIN[1][rows]) - share) <= 1).all()


def test_arms_of_other_budgets_have_baselines_of_their_own():
    found = evaluated({"a": HALF, "b": subset(range(100))}, learner=Quick(), baselines=["random"])
    assert found["a"].beside == {"random": "random-200"}
    assert found["b"].beside == {"random": "random-100"}
    with pytest.raises(ArgumentError, match="arm 'a' was not evaluated beside 'dedup'; it has random"):
        found.verdict("a", "dedup")
    with pytest.raises(UnknownNameError, match="this evaluation has no arm 'full'"):
        found.difference("a", "full")


def test_several_coresets_of_one_name_are_replicates_of_the_method():
    draws = [rules.random(400, keep=0.5, seed=s) for s in range(2)]
    found = evaluated({"method": draws, "one": draws[0]}, seeds=4, baselines=["full"])
    assert found.covers("method").startswith("this method: seeds of scoring, selection and training, over 2 coresets")
    assert found.covers("one") == (
        "this coreset only: seeds of training and the test set, not those of scoring and selection"
    )
    raw = found["method"].accuracy - found["full"].accuracy
    assert found.differences("method").tolist() == pytest.approx([raw[[0, 2]].mean(), raw[[1, 3]].mean()])
    assert found["method"].accuracy[0] == found["one"].accuracy[0], "replicate 0 is coreset 0 with the same seeds"
    assert found["method"].accuracy[1] != found["one"].accuracy[1]


def test_coresets_of_the_same_samples_count_once():
    a, b = (rules.random(400, keep=0.5, seed=s) for s in range(2))
    said = "of the 3 coresets of 'm', 1 can count: the others hold the same samples as one of them"
    with pytest.warns(UserWarning, match=said):
        found = evaluated({"m": [a, subset(a.indices), a]}, baselines=["full"])
    assert found.covers("m").startswith("this coreset only")
    np.testing.assert_array_equal(found["m"].accuracy, evaluated(a, baselines=["full"]).arms[1].accuracy)
    with pytest.warns(UserWarning, match="'m', 2 can count"):
        found = evaluated({"m": [a, a, b]}, baselines=["full"])
    assert found.covers("m").startswith("this method: seeds of scoring, selection and training, over 2 coresets")


def test_coresets_of_one_name_may_be_results_of_prune():
    results = [unseen.prune("digits", keep=0.5, learner="ridge", seed=seed) for seed in range(2)]
    given = [{"half": results}, {"half": [result.coreset for result in results]}]
    found, same = (unseen.evaluate("digits", coresets=one, seeds=2, learner="ridge", baselines=[]) for one in given)
    assert found["half"].draws == 2
    np.testing.assert_array_equal(found["half"].accuracy, same["half"].accuracy)


def test_iterations_fixed_is_as_many_steps():
    two = {fix: evaluated(fix=fix, baselines=["full"]) for fix in ("epochs", "iterations")}
    assert two["epochs"]["coreset"].epochs.tolist() == [2, 2]
    assert two["iterations"]["coreset"].epochs.tolist() == [4, 4]
    assert (two["iterations"]["coreset"].steps == two["iterations"]["full"].steps).all()
    assert "never pays back" in two["iterations"].price("coreset")["text"]
    assert "iterations fixed" in repr(two["iterations"])
    assert two["iterations"].to_markdown().count("Iterations fixed") == 1
    assert two["epochs"]["full"].accuracy.tolist() == two["iterations"]["full"].accuracy.tolist()


def test_a_probe_split_is_trained_on_by_nobody_and_said_plainly():
    seen = []

    class Spy(Quick):
        def fit(self, data, fit, sink, checkpoints, **more):
            seen.append((fit.train, fit.unseen))
            super().fit(data, fit, sink, checkpoints, **more)

    found = evaluated(learner=Spy(), test=None, probe=0.25)
    probe = seen[0][1]
    assert len(probe) == 100
    assert all(np.array_equal(unseen_, probe) for _, unseen_ in seen)
    assert not any(np.isin(train, probe).any() for train, _ in seen)
    assert np.ptp(np.bincount(TRAIN[1][probe]) - np.bincount(TRAIN[1]) / 4) < 2
    assert "the coreset was chosen with their labels" in found.about["test"]["text"]
    assert found["coreset"].kept[0] == len(np.setdiff1d(HALF.indices, probe)) == found["random"].kept[0]


def test_copies_are_on_one_side_of_the_probe_split():
    data = resolve((np.repeat(X[:50], 4, axis=0), np.repeat(Y[:50], 4)))
    split = split_off_probe(data, 0.2, seed=0)
    assert not set(split.pool // 4) & set(split.test // 4)
    assert 30 <= len(split.test) <= 50


def test_a_probe_split_of_too_few_samples_names_what_to_give():
    data = resolve(([[0.0], [1.0], [2.0], [3.0]], [0, 1, 1, 0]))
    with pytest.raises(ArgumentError, match=r"split of 0.2 needs 5 samples or more, got 4; give a test set by test=$"):
        split_off_probe(data, 0.2, seed=0)


def test_groups_of_the_data_are_on_one_side_of_every_probe_split():
    data = resolve((X, Y), groups=np.arange(len(X)) // 4)
    split = split_off_probe(data, 0.2, seed=0)
    train, test, _ = split_train_test(data, None, 0, {})  # of sweep and advise
    for pool, probe in ((split.pool, split.test), (train.rows, test.rows)):
        assert not set(pool // 4) & set(probe // 4)


def test_groups_and_none_reach_the_probe_split_of_sweep_and_advise():
    coarse = resolve((X[:, 20:22] > 8, Y))  # four different samples
    train, test, _ = split_train_test(coarse, None, 0, {"groups": np.arange(len(X)) // 4})
    assert not set(train.rows // 4) & set(test.rows // 4)
    right = np.ones((1, len(test)))
    assert Difference.of(right, right, test).sampling.n == len(test) / 4  # its interval counts groups
    train, test, origin = split_train_test(coarse, None, 0, {"groups": None})
    assert (len(test), origin) == (360, "probe split, 0.2 of the data")
    assert Difference.of(np.ones((1, 360)), np.ones((1, 360)), test).sampling.n == 360


def test_dedup_is_a_baseline_where_there_are_features():
    features = np.repeat(np.random.default_rng(0).normal(size=(200, 8)), 2, axis=0)
    found = evaluated(learner=Quick(), features=features)
    assert found["coreset"].beside["dedup"] == "dedup"
    assert found["dedup"].kept.tolist() == [200, 200]
    assert found["dedup"].draws == 1
    near = evaluated(learner=Quick(), features=(features, features[:300] + 1e-9))
    assert near.about["near_duplicates"]["found"] == 300


def test_kept_and_resumed_to_the_byte(tmp_path):
    whole = evaluated(learner=Stops(), out=tmp_path / "whole", baselines=["full", "random"], seeds=1)
    Stops.trainings = 3
    with pytest.raises(KeyboardInterrupt):
        evaluated(learner=Stops(), out=tmp_path / "run", baselines=["full", "random"], seeds=3)
    done = Stops.trainings
    evaluated(learner=Stops(), out=tmp_path / "run", baselines=["full", "random"], seeds=3)
    assert Stops.trainings - done == 9 - 1, "one training was kept, eight were left"
    evaluated(learner=Stops(), out=tmp_path / "other", baselines=["full", "random"], seeds=3)
    for name in ("evaluation.parquet", "manifest.json", "outputs.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    # More seeds later: only those are trained.
    done = Stops.trainings
    more = evaluated(learner=Stops(), out=tmp_path / "whole", baselines=["full", "random"], seeds=3)
    assert Stops.trainings - done == 6
    assert more["full"].accuracy[:1].tolist() == whole["full"].accuracy.tolist()
    assert (tmp_path / "whole" / "evaluation.parquet").read_bytes() == (
        tmp_path / "other" / "evaluation.parquet"
    ).read_bytes()
    with pytest.raises(RunMismatchError, match=r"fix: 'epochs' \(run\) != 'iterations'"):
        evaluated(learner="mlp:epochs=1", fix="iterations", out=tmp_path / "whole")


def test_stopped_within_a_training_it_goes_on_from_the_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("unseen.engine.runs.directory.DirectoryCheckpoints.spacing", 0.0)  # epochs are short here

    def stop(kind, **fields):
        if kind == "epoch" and (fields["fit"], fields["epoch"]) == ("coreset-r0", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluated(out=tmp_path / "run", baselines=["full"], report=stop)
    epochs = []
    told = {"report": lambda kind, **fields: epochs.append(fields["epoch"]) if kind == "epoch" else None}
    evaluated(out=tmp_path / "run", baselines=["full"], **told)
    assert epochs == [2, 1, 2]
    evaluated(out=tmp_path / "whole", baselines=["full"])
    for name in ("evaluation.parquet", "manifest.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_saved_and_loaded(tmp_path):
    found = evaluated({"my half": HALF}, out=tmp_path / "run")
    for again in (unseen.Evaluation.load(found.save(tmp_path / "e.parquet")), unseen.Evaluation.load(tmp_path / "run")):
        assert repr(again) == repr(found)
        assert again.rows() == found.rows()
        assert again.about == json.loads(json.dumps(found.about))
        for name, column in found.to_columns().items():
            np.testing.assert_array_equal(again.to_columns()[name], column)
    assert again.times == found.times
    assert again.class_differences("my half", "random") == found.class_differences("my half", "random")
    assert found.times["full"].samples == 800
    columns = found.to_columns()
    assert columns["replicate"].tolist() == [0, 1] * 4
    assert columns["samples_seen"].tolist() == [800, 800] + [400] * 6
    json.dumps(found.summary())


def test_the_price_of_a_run_is_set_against_what_is_saved(tmp_path):
    scored = {"plan": unseen.folds(2), "learner": "mlp:epochs=3", "threads": 1, "out": tmp_path / "run"}
    unseen.prune(*TRAIN, keep=0.5, rule="top", **scored)
    found = evaluated({"top": tmp_path / "run"}, learner="mlp:epochs=2")
    choosing = found.price("top")["choosing"]
    assert choosing["samples"] == 2 * 200 * 3
    assert found.price("top")["pays_back_samples"] == 1200 / (800 - 400)
    slow = unseen.Evaluation(
        found.arms,
        found.class_names,
        found.about,
        {"choosing top": Price(2, 60.0, 1200), "full": Price(1, 30.0, 800), "top": Price(1, 18.0, 400)},
    )
    told = slow.price("top")
    assert (told["cost"], told["saving"], told["pays_back"]) == (2.0, 0.4, 5)
    assert (told["cost_samples"], told["saving_samples"], told["pays_back_samples"]) == (1.5, 0.5, 3)
    assert told["text"] == (
        "by time, choosing cost 2.0 trainings on everything; each training on the coreset saves 0.40 of one, so "
        "choosing is paid for after 5; by samples seen, choosing cost 1.5 trainings on everything; each training on "
        "the coreset saves 0.50 of one, so choosing is paid for after 3"
    )
    unknown = evaluated(learner=Quick()).price("coreset")["text"]
    assert unknown.startswith("not known when it pays back: what choosing took")
    assert "the folder of that run" in unknown
    from_file = evaluated(tmp_path / "run" / "coreset.parquet", learner="mlp:epochs=2", baselines=["full"])
    assert from_file["coreset"].accuracy.tolist() == found["top"].accuracy.tolist()


@pytest.mark.parametrize("learner", ["mlp:epochs=2", GaussianNB(var_smoothing=1e-2)], ids=["epochs", "one go"])
def test_choosing_by_default_costs_one_training_and_is_paid_by_what_is_left_out(learner, tmp_path):
    unseen.prune(*TRAIN, keep=0.5, learner=learner, threads=1, out=tmp_path / "run")
    for test in (TEST, None):  # without a test set trainings are on four fifths, choosing was on all
        found = evaluated({"half": tmp_path / "run"}, learner=learner, baselines=["full"], test=test)
        price, share = found.price("half"), found["half"].kept[0] / found["full"].kept[0]
        assert (price["cost_samples"], price["saving_samples"]) == (1.0, pytest.approx(1 - share))
        assert test is None or (share, price["pays_back_samples"]) == (0.5, 2)


CLASSES = 4


def arm_of(by_class, *, sizes=(500,) * CLASSES, kind="coreset", name=None, error=0.01, **beside):
    """An arm of these accuracies (R, C) of classes; the test set makes this error in each class."""
    by_class = np.asarray(by_class, float)
    counts, share = np.full(len(by_class), 50), np.asarray(sizes) / np.sum(sizes)
    errors = {to: [error] * CLASSES for to in ("full", *beside)}
    return ArmResult(
        name or kind, kind, 1 if kind == "full" else len(by_class), counts, counts, counts, counts,
        by_class @ share, by_class, 0.005, beside, dict.fromkeys(errors, 0.005), errors,
    )  # fmt: skip


def judged(coreset, random, *, replicates=5, error=0.01, learner=None):
    """An evaluation in which full is right on 90 % of each class, coreset and random on so much less in each."""
    noise = np.random.default_rng(0).normal(0, 0.002, (replicates, CLASSES))
    full = np.full((replicates, CLASSES), 0.9)
    arms = (
        arm_of(full, kind="full"),
        arm_of(full + np.asarray(coreset) + noise, error=error, full="full", random="random"),
        arm_of(full + np.asarray(random), kind="random"),
    )
    test = {"n": 500 * CLASSES, "text": "", "of_class": [500] * CLASSES}
    about = {"fix": "epochs", "margin": 0.02, "level": 0.95, "seed": 0, "seeds": replicates, "test": test}
    about["learner"] = learner or {"learner": "sklearn:LogisticRegression"}
    return Evaluation(arms, ("Bag", "Shirt", "Coat", "Boot"), about)


def test_the_verdict_names_the_class_that_loses_more_than_with_random():
    found = judged([0.04, -0.11, 0.04, 0.03], [0.0, -0.019, 0.0, 0.0])
    change = found.class_differences("coreset", "random")
    assert next(iter(change)) == "Shirt", "worst first"
    assert change["Shirt"].mean == pytest.approx(-0.091, abs=0.003)
    assert 2.4 < change["Shirt"].half / 0.01 < 2.8, "four intervals that hold together"
    verdict = found.verdict("coreset")
    assert verdict.word == "lossless"
    assert verdict.classes == ("Shirt",)
    assert not verdict.good
    assert verdict.text.startswith("lossless for logistic regression within 2 points; class Shirt loses 11.")
    assert re.search(r"class Shirt loses 9\.\d ± 2\.\d points more than with random$", verdict.text)
    assert re.search(r"; class Shirt loses 9\.\d ± 2\.\d points more than with random$",
                     found.verdict("coreset", "random").text)  # fmt: skip
    assert found.rows()[1]["verdict, full"] == "lossless but for 1 class"
    for said in (repr(found), found.to_markdown(), found._repr_html_()):
        assert "class Shirt loses" in said
    assert found.summary()["arms"]["coreset"]["against"]["random"]["losing_classes"] == ["Shirt"]


def uneven(share_right, *, sizes=(970, 10, 10, 10), replicates=3):
    """An evaluation on uneven test classes, in which every arm is right on these shares of them."""
    right = np.tile(np.asarray(share_right, float), (replicates, 1))
    arms = (
        arm_of(right, kind="full", sizes=sizes),
        arm_of(right, sizes=sizes, full="full", random="random"),
        arm_of(right, kind="random", sizes=sizes),
    )
    test = {"n": sum(sizes), "text": "", "of_class": list(sizes)}
    about = {"fix": "epochs", "margin": 0.02, "level": 0.95, "seed": 0, "seeds": replicates, "test": test}
    return Evaluation(arms, ("Bag", "Shirt", "Coat", "Boot"), {**about, "learner": {"learner": "ridge"}})


def test_uneven_classes_have_their_mean_recall_beside_the_accuracy():
    found = uneven([1.0, 0.5, 0.5, 0.0])
    assert found.mean_recall("coreset").mean == 0.5
    assert [row["mean recall"].split(" ")[0] for row in found.rows()] == ["50.0"] * 3
    # Two classes of ten samples with a half right: each is known to about 0.15, and the mean of four to 0.06.
    assert 0.10 < found.mean_recall("coreset").half < 0.16
    assert found.summary()["arms"]["coreset"]["mean_recall"]["mean"] == 0.5
    assert "mean recall" not in judged([0.0] * CLASSES, [0.0] * CLASSES).rows()[0]


def test_mean_recall_is_that_of_scikit_learn():
    rows = np.flatnonzero(np.isin(Y, (0, 1)) & ((Y == 0) | (np.arange(len(Y)) % 4 == 0)))
    train, test = rows[:150], rows[150:]
    everything = unseen.Coreset(ids=np.arange(150), indices=np.arange(150), n=150)
    data = {"test": (X[test], Y[test]), "coresets": everything, "learner": Quick(), "seeds": 2}
    found = unseen.evaluate((X[train], Y[train]), **data, baselines=["full"])
    guess = GaussianNB(var_smoothing=1e-2).fit(X[train], Y[train]).predict(X[test])
    assert found.mean_recall("full").mean == pytest.approx(balanced_accuracy_score(Y[test], guess))
    assert found.mean_recall("full").mean != found.accuracy("full").mean
    assert "mean recall" in found.rows()[0]


def test_it_is_told_where_accuracy_says_little():
    found = uneven([1.0, 0.0, 0.0, 0.0])
    assert found.doubt() == (
        "accuracy says little here: ridge regression trained on everything is right on 97.0 %, the largest class is "
        "97.0 % of the test set; look at the recall of classes"
    )
    assert found.doubt() in found.to_markdown()
    assert uneven([1.0, 0.5, 0.5, 0.0]).doubt() is None


def test_no_class_is_named_that_loses_as_much_with_random():
    """All classes lose the same with both, within the margin."""
    found = judged([-0.01] * CLASSES, [-0.01] * CLASSES)
    assert found.verdict("coreset").classes == ()
    assert found.verdict("coreset").text == "lossless for logistic regression within 2 points"
    assert found.verdict("coreset").good


def test_a_large_loss_that_may_be_chance_is_named_as_such():
    found = judged([0.03, -0.06, 0.03, 0.0], [0.0] * CLASSES, error=0.05)
    assert re.search(r"; class Shirt perhaps loses 6\.\d ± 1\d\.\d points more than with random$",
                     found.verdict("coreset").text)  # fmt: skip
    assert not found.verdict("coreset").good
    one = judged([0.03, -0.06, 0.03, 0.0], [0.0] * CLASSES, replicates=1)
    assert "class Shirt perhaps loses 6." in one.verdict("coreset").text, "one replicate makes nothing certain"


def test_many_classes_are_counted():
    text = judged([-0.2, -0.3, -0.4, -0.1], [0.0] * CLASSES).verdict("coreset", "random").text
    assert re.search(r"class Coat loses 40\.\d ± .* random, class Shirt 30.*, class Bag 20.*, 1 more class$", text)


def test_chance_names_a_class_in_few_evaluations():
    """Where no class loses, one is named as losing against full in at most 5 % of evaluations."""
    rng, named = np.random.default_rng(1), 0
    for _ in range(300):
        error, noise = 0.01, rng.normal(0, 0.01, (5, CLASSES)) + rng.normal(0, 0.01, CLASSES)
        arms = (arm_of(np.full((5, CLASSES), 0.9), kind="full"), arm_of(0.9 + noise, error=error, full="full"))
        about = judged([0] * CLASSES, [0] * CLASSES).about
        found = Evaluation(arms, ("a", "b", "c", "d"), {**about, "margin": 1e-6})
        named += bool(found.verdict("coreset").classes)
    assert named <= 300 * 0.05 + 2 * np.sqrt(300 * 0.05 * 0.95)


def test_the_interval_of_a_class_is_that_of_its_test_samples():
    found = evaluated({"no 7": subset(np.flatnonzero(TRAIN[1] != 7))}, learner=GaussianNB(var_smoothing=1e-2), seeds=3)
    sizes = np.bincount(TEST[1])
    assert found.about["test"]["of_class"] == sizes.tolist()
    change = found.class_differences("no 7")["7"]
    p = -change.mean  # nobody says 7: what full gets right is lost
    assert change.mean == pytest.approx(-found["full"].by_class[0, 7])
    error = np.sqrt(p * (1 - p) * sizes[7] + 1) / (sizes[7] + 2)
    assert change.half / error == pytest.approx(stats.t.ppf(1 - 0.05 / 20, sizes[7] - 1), rel=1e-6)
    assert found.verdict("no 7").classes[0] == "7"
    assert "for Gaussian NB" in found.verdict("no 7").text
    assert {row["trained"] for row in found.rows()} == {"Gaussian NB"}


def test_exact_copies_are_refused_by_name_or_dropped():
    test = np.concatenate([TEST[0], TRAIN[0][[5, 9]]]), np.concatenate([TEST[1], [1, 2]])
    message = r"2 of 302 test samples are exact copies of training samples: test ids 300 \(training id 5\), 301 \(train"
    with pytest.raises(DataError, match=message):
        evaluated(test=test, learner=Untrained())
    found = evaluated(test=test, learner=Quick(), overlap="drop")
    assert found.about["test"]["n"] == 300
    assert "less 2 exact copies of training samples" in found.about["test"]["text"]
    with pytest.raises(DataError, match="there is nothing to test on"):
        evaluated(test=TRAIN, overlap="drop")
    found = evaluated(test=test, learner=Quick(), overlap="keep")
    assert found.about["test"]["n"] == 302
    assert "302 samples, 2 of them equal to training samples" in found.about["test"]["text"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"seeds": 0}, ArgumentError, "seeds must be an integer of at least 1, got 0"),
        ({"margin": 0.0}, ArgumentError, "margin must be an accuracy above 0"),
        ({"level": 95}, ArgumentError, "level must be in"),
        ({"fix": "steps"}, ArgumentError, "fix must be one of 'epochs', 'iterations', got 'steps'"),
        ({"fix": "iterations"}, ArgumentError, "fix='iterations' needs a learner that trains in steps"),
        ({"baselines": ["randm"]}, UnknownNameError, "unknown baseline 'randm'; did you mean 'random'"),
        ({"baselines": "random"}, ArgumentError, "baselines must be a list of names"),
        ({"baselines": ["dedup"]}, ArgumentError, "give features="),
        ({"overlap": "take"}, ArgumentError, "overlap must be one of 'refuse', 'drop', 'keep', got 'take'"),
        ({"test": None, "probe": 0.7}, ArgumentError, r"probe must be a share of the samples in \(0, 0.5\], got 0.7"),
        ({"test": (X[:5, :3], Y[:5])}, DataError, "its sample_shape is"),
        ({"test": (TEST[0], TEST[1] + 5)}, DataError, "holds classes that the training set lacks"),
        ({"coresets": subset(range(9), n=500)}, DataError, "coreset 'coreset' is of other data: 9 of 500 samples"),
        ({"coresets": unseen.Coreset(np.array([7]), np.array([3]), 400)}, DataError, "or other ids"),
        ({"coresets": {}}, ArgumentError, "at least one coreset"),
        ({"coresets": {"full": HALF}}, ArgumentError, "the name 'full' is reserved for a baseline"),
        ({"coresets": {" ": HALF}}, ArgumentError, "must be a text"),
        (
            {"coresets": {"m": [subset(range(n)) for n in (50, 60, 70)]}},
            ArgumentError,
            "'m' has 3 coresets, which must be 1 to 2, the number of seeds",
        ),
        (
            {"coresets": 0.5},
            ArgumentError,
            "or a coreset file, got float; rows of your own",
        ),
        ({"coresets": subset(range(5))}, BudgetError, "a coreset of 5 is below the 10 classes"),
        ({"coresets": subset([0, 10]), "baselines": ["full"]}, DataError, "would train on 2 samples of one class"),
        ({"features": np.zeros((3, 2))}, ArgumentError, "features must be numbers of shape"),
        (
            {"features": (np.zeros((400, 2)), np.zeros((300, 3)))},
            ArgumentError,
            "must be of one extractor, got 2 and 3",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_training(changes, error, message):
    with pytest.raises(error, match=message):
        evaluated(**{"learner": Untrained(), **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda test: test.drop(columns="b"), "in this order; it lacks b$"),
        (lambda test: test.rename(columns={"b": "c"}), "in this order; it lacks b and adds c$"),
        (
            lambda test: test.assign(a="low"),
            r"column 'a' holds both: row 0 has 0\.0, row 40 has 'low'; .*\(rows of a test set come after the others\)",
        ),
    ],
)
def test_a_test_set_with_other_columns_is_refused_by_their_names(change, message):
    def made(n, more):
        return pd.DataFrame({"a": np.arange(n) * 1.5 + more, "b": np.arange(n) % 7 * 0.5, "t": ["x", "y"] * (n // 2)})

    half = unseen.Coreset(np.arange(20), np.arange(20), 40)
    with pytest.raises(DataError, match=message):
        unseen.evaluate(
            (made(40, 0), [0, 1] * 20),
            coresets=half,
            test=(change(made(10, 0.5)), [0, 1] * 5),
            seeds=1,
            baselines=["full"],
        )


@pytest.mark.parametrize("form", ["pair", "file"])
@pytest.mark.parametrize("kinds", [["a", "b"], ["a", "b", "t"]])
def test_the_columns_of_a_test_set_are_found_by_their_names(tmp_path, form, kinds):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"]).assign(t=rng.choice(["x", "y"], 200))[kinds]
    y = np.where(frame["a"] > 0.3, "yes", "no")

    def accuracy(change):
        train, test = frame[:150].assign(empty=None), change(frame[150:])
        if form == "file":
            train.assign(label=y[:150]).to_csv(tmp_path / "train.csv", index=False)
            test.assign(label=y[150:])[["label", *test]].to_csv(tmp_path / "test.csv", index=False)
            data, test_set, options = tmp_path / "train.csv", tmp_path / "test.csv", {"label": "label"}
        else:
            data, test_set, options = (train, y[:150]), (test, y[150:]), {}
        half = unseen.Coreset(np.arange(75), np.arange(75), 150)
        found = unseen.evaluate(data, coresets=half, test=test_set, seeds=1, baselines=["full"], **options)
        return [arm.accuracy for arm in found.arms]

    expected = accuracy(lambda test: test)
    for change in (
        lambda test: test[test.columns[::-1]],
        lambda test: test.assign(row=range(50), empty=1.0)[["row", *kinds[::-1], "empty"]],
    ):
        for mine, theirs in zip(accuracy(change), expected, strict=True):
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("test", ["given", "probe"])
def test_intervals_count_groups_of_test_samples_and_not_samples(tmp_path, test):
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 10)
    kind = rng.integers(0, 2, 60)[patient]
    odd = (rng.random(60) < 0.3)[patient]  # whatever is measured of some patients misleads
    frame = pd.DataFrame({"a": np.where(odd, 1 - kind, kind) + rng.normal(scale=0.2, size=600), "label": kind})
    for name, rows in {"train": slice(0, 300), "test": slice(300, 600)}.items():
        frame.assign(patient=[f"{name} {one}" for one in patient])[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    half = unseen.Coreset(np.arange(0, 300, 2), np.arange(0, 300, 2), 300)
    given = {"test": tmp_path / "test.csv"} if test == "given" else {"probe": 0.5}

    def evaluate(**options):
        return unseen.evaluate(
            tmp_path / "train.csv", label="label", coresets=half, learner=GaussianNB(), seeds=3, **given, **options
        )

    grouped, alone = evaluate(group="patient"), evaluate(features=["a"])
    assert grouped.about["test"]["groups"] == (30 if test == "given" else 15)
    assert grouped.about["test"]["text"].endswith(f", in {grouped.about['test']['groups']} groups")
    assert "groups" not in alone.about["test"]
    assert grouped["full"].error > 2 * alone["full"].error
    assert grouped.mean_recall("full").half > 1.5 * alone.mean_recall("full").half
    grouped.save(tmp_path / "saved.parquet")
    assert type(grouped).load(tmp_path / "saved.parquet").mean_recall("full") == grouped.mean_recall("full")
    assert "groups of test samples are too few" in grouped.verdict("coreset").text


def test_a_run_on_other_data_is_refused(tmp_path):
    unseen.prune(X[:400] + 1, Y[:400], keep=0.5, rule="top", learner=GaussianNB(var_smoothing=1), out=tmp_path / "run")
    with pytest.raises(DataError, match="is a run on other data: its sample differ"):
        evaluated(tmp_path / "run", learner=Untrained())
    unseen.score(*TRAIN, learner=GaussianNB(var_smoothing=1), out=tmp_path / "scores")
    with pytest.raises(ArgumentError, match="holds no coreset yet"):
        evaluated(tmp_path / "scores", learner=Untrained())
    with pytest.raises(ArgumentError, match="holds scores, not a coreset"):
        evaluated(tmp_path / "scores" / "scores.parquet", learner=Untrained())


def test_one_seed_decides_nothing():
    found = evaluated(seeds=1, learner=Quick())
    assert found.verdict("coreset").word == "undecided"
    assert np.isnan(found.accuracy("full").low)
    assert "±" not in found.rows()[0]["accuracy"]


def test_coresets_that_tie_on_average_are_not_called_seeds_that_do():
    """Six seeds over three coresets: each coreset comes to 79.5 on average, no two of its seeds to the same."""
    about = {"fix": "epochs", "margin": 0.01, "level": 0.95, "seed": 0, "seeds": 6, "test": {"n": 100_000, "text": ""}}

    def arm(name, kind, draws, accuracy, **beside):
        counts = np.full(6, 50)
        by_class = np.stack([accuracy, accuracy], axis=1)
        return ArmResult(name, kind, draws, counts, counts, counts, counts, accuracy, by_class, 0.001, **beside)

    full = arm("full", "full", 1, np.full(6, 0.795))
    accuracy = np.array([0.794, 0.796, 0.794, 0.796, 0.794, 0.796])
    part = arm("part", "coreset", 3, accuracy, beside={"full": "full"}, beside_error={"full": 0.001})
    found = Evaluation((full, part), ("a", "b"), about)
    assert found.verdict("part").text == (
        "lossless within 1 points, by the test set alone: the difference is the same for every coreset, on average "
        "over its seeds"
    )
