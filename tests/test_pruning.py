"""The verbs on real data: the effect itself, an honest counter-case, and equality with scikit-learn."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import unseen
from unseen.engine.runs import RunDirectory
from unseen.errors import ArgumentError, DataError
from unseen.evaluating.methods import Method, default_method
from unseen.evaluating.prices import count_full_trainings, price_fits
from unseen.functional import el2n as el2n_of
from unseen.rules.registry import too_unsure, too_weak_to_doubt

DOUBLE = FunctionTransformer(np.asarray, kw_args={"dtype": np.float64})  # else naive Bayes sums in float32
LDA = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5)  # the digits have constant pixels


@pytest.fixture(scope="module")
def noisy():
    """Digits with 10 % of the labels flipped to another class: X, y, which are flipped."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    flipped = np.zeros(len(y), bool)
    flipped[rng.choice(len(y), len(y) // 10, replace=False)] = True
    return X, np.where(flipped, (y + rng.integers(1, 10, len(y))) % 10, y), flipped


def el2n(noisy, plan, learner):
    return unseen.score(*noisy[:2], plan=plan, learner=learner).column("el2n")


def test_the_effect(noisy):
    """A forest without bootstrap knows its training set by heart: in sample there is nothing to see, held out there is
    nearly everything."""
    forest = ExtraTreesClassifier(50)
    in_sample = el2n(noisy, unseen.seen(), forest)
    held_out = el2n(noisy, unseen.folds(5), forest)
    assert len(np.unique(in_sample.round(12))) == 1
    assert roc_auc_score(noisy[2], in_sample.round(12)) == 0.5
    assert roc_auc_score(noisy[2], held_out) > 0.99  # 0.999


@pytest.mark.parametrize(("learner", "expected"), [(GaussianNB(var_smoothing=1e-2), 0.983), (LDA, 0.996)])
def test_a_counter_case(noisy, learner, expected):
    """Models too stiff to learn flips by heart find them in sample just as well: 0.985 and 0.983 (naive Bayes), 0.997
    and 0.996 (shrunk LDA). Holding out gains nothing; it costs a little, since each model sees a fifth less."""
    in_sample = roc_auc_score(noisy[2], el2n(noisy, unseen.seen(), learner))
    held_out = roc_auc_score(noisy[2], el2n(noisy, unseen.folds(5), learner))
    assert held_out == pytest.approx(expected, abs=2e-3)
    assert abs(held_out - in_sample) < 5e-3
    assert held_out < in_sample


@pytest.mark.parametrize("learner", [make_pipeline(DOUBLE, GaussianNB(var_smoothing=1e-2)), LDA])
def test_the_fold_engine_equals_cross_val_predict(noisy, learner):
    # Learners that do not depend on the order of their training rows, which is ours here and theirs there.
    X, y = noisy[0].astype(np.float32), noisy[1]
    table = unseen.score(X, y, plan=unseen.folds(5), learner=learner)
    p = cross_val_predict(learner, X, y, cv=PredefinedSplit(table.folds[0]), method="predict_proba")
    np.testing.assert_allclose(
        table.values["el2n"][0], np.linalg.norm(p - np.eye(10)[y], axis=1), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(table.mean_confidence, p[np.arange(len(y)), y], rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(table.predictions, p.argmax(axis=1))


def test_repeats_are_kept_raw_and_other_folds(noisy):
    table = unseen.score(*noisy[:2], plan=unseen.folds(3, repeats=3), learner=LDA)
    assert table.values["el2n"].shape == table.folds.shape == (3, 1797)
    assert (table.folds[0] != table.folds[1]).mean() > 0.5
    assert 0.9 < table.reliability("el2n") < 1
    np.testing.assert_allclose(table.column("el2n"), table.values["el2n"].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(table.spread("el2n"), table.values["el2n"].std(axis=0, ddof=1), rtol=1e-9, atol=1e-15)


def test_prune_estimates_label_errors(noisy):
    X, y, flipped = noisy
    table, coreset = unseen.prune(X, y, keep=0.1, rule="top", learner=LDA)
    assert table.scores == ("el2n", "label_issue")
    assert len(coreset) == 180
    # Hardest first collects the wrong labels, and the estimate says so.
    assert flipped[coreset.indices].mean() > 0.8
    assert unseen.label_error_share(table, coreset) > 0.8
    assert unseen.label_error_share(table) == pytest.approx(0.1, abs=0.03)
    with pytest.raises(unseen.ArgumentError, match="the table must hold the score 'label_issue', it has el2n"):
        unseen.label_error_share(table["el2n"])


@pytest.mark.parametrize("stray", [1, 2, 12])
def test_a_stray_label_changes_no_estimate_and_no_cutoff(stray):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4))
    y = np.where(x[:, 0] + x[:, 1] + rng.normal(0, 0.7, 2000) > 0, "yes", "no").astype(object)
    clean = unseen.score(x, y, learner="logistic")
    y[:stray] = "unknown"
    table = unseen.score(x, y, learner="logistic")
    assert unseen.label_error_share(table) == pytest.approx(unseen.label_error_share(clean), abs=0.005)
    dropped = []
    for one in (clean, table):
        coreset = unseen.select(one, keep=0.8, rule="stratified:cutoff=auto,quota=floored")
        dropped.append(sum(details["cut_off"] for details in coreset.provenance["found"].values()))
    assert dropped[1] == pytest.approx(dropped[0], abs=12)


def test_weak_models_are_not_asked_how_many_labels_are_wrong():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], 50)
    noise = unseen.score(rng.normal(size=(200, 4)), y, scores="label_issue", learner=LDA)
    assert np.isnan(unseen.label_error_share(noise)), "chance"
    assert re.fullmatch(r"the models .* \(right on \d\d\.\d %, 75 % needed\)", too_weak_to_doubt(noise))
    assert np.nanmean(noise.column("label_issue")) > 0.3
    one = unseen.score(rng.normal(size=(200, 4)), np.arange(200) % 10 == 0, scores="label_issue", learner=LDA)
    assert (one.predictions == one.labels).mean() > 0.8
    assert np.isnan(unseen.label_error_share(one)), "no better than to name the largest class"
    assert too_weak_to_doubt(one).endswith(" %, no better than predicting the largest class, 90.0 %)")
    nobody = replace(one, predictions=np.full(200, -1))
    assert np.isnan(unseen.label_error_share(nobody))
    assert too_weak_to_doubt(nobody) == "no model judged these samples"
    apart = unseen.score(rng.normal(size=(200, 4)) + 6 * np.eye(4)[y], y, scores="label_issue", learner=LDA)
    assert unseen.label_error_share(apart) < 0.02
    assert too_weak_to_doubt(apart) is None
    unjudged = replace(apart, predictions=np.where(apart.column("label_issue") > 0, -1, apart.predictions))
    assert unseen.label_error_share(unjudged) == 0


def test_models_that_judge_a_single_sample_flag_no_label():
    X, y = load_iris(return_X_y=True)
    X = X + np.linspace(0, 1e-3, len(X))[:, None]  # no copies, which would be judged together
    wrong = np.where(np.arange(150) % 10 == 0, (y + 1) % 3, y)
    one, several = (unseen.score(X, wrong, plan=plan, learner="logistic") for plan in ("leave_one_out", "folds:k=5"))
    assert np.isnan(one.column("label_issue")).all()
    assert np.isnan(unseen.label_error_share(one))
    assert unseen.label_error_share(several) == pytest.approx(0.08, abs=0.03)
    assert len(unseen.select(one, keep=0.5)) == 75


def test_both_sides_find_what_was_learned_by_heart(noisy):
    table = unseen.score(
        *noisy[:2], scores=["holdout_gap", "memorization"], plan=unseen.halves(2), learner=ExtraTreesClassifier(20)
    )
    assert roc_auc_score(noisy[2], table.column("memorization")) > 0.95
    assert roc_auc_score(noisy[2], table.column("holdout_gap")) > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.5, "prune": 0.5}, "exactly one"),
        ({}, "exactly one"),
        ({"keep": 0.5, "rule": "top", "cutof": 0.1}, "prune has no argument 'cutof'"),
        ({"keep": 0.5, "thread": 2}, "prune has no argument 'thread'; did you mean 'threads'"),
        ({"keep": 0.9, "rule": "stratified:cutoff=0.3"}, "cutoff"),
        ({"keep": 0.5, "score": "forgetting"}, "has no epochs"),
        (
            {"keep": 0.5, "score": "memorization", "plan": unseen.folds(5)},
            r"use halves\(\) or folds\(k, watch_seen=True\)",
        ),
        ({"keep": 0.5, "score": "grand"}, "reads grad_norm, which the learner"),
        ({"keep": 0.5, "groups": "copies"}, "groups must be 'duplicates'"),
        ({"keep": 0.5, "groups": [1, 2]}, "one entry for each of 1797 samples, got 2"),
        ({"keep": 0.5, "plan": unseen.folds(2000)}, "got k=2000 for 1797 samples"),
    ],
)
def test_what_cannot_be_met_is_refused_before_training(arguments, message):
    class Untrained(GaussianNB):
        def fit(self, X, y):
            raise AssertionError("trained")

    with pytest.raises(ValueError, match=message):
        unseen.prune("digits", learner=Untrained(), **arguments)


@pytest.mark.parametrize(
    ("learner", "epochs", "fits"),
    [("mlp:epochs=3", 3, 2), ("convnet:epochs=2", 2, 2), ("extra_trees:n_estimators=10", 1, 2), ("ridge", 1, 1)],
)
def test_choosing_by_default_trains_as_much_as_one_ordinary_training(learner, epochs, fits, tmp_path):
    """By the event log: as many samples as are passed over when everything is trained on as long."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:201], y[:201]
    if learner.startswith("convnet"):
        X = (np.repeat(np.repeat(X.reshape(-1, 8, 8), 2, 1), 2, 2) * 15).astype(np.uint8)
    unseen.prune(X, y, keep=0.7, learner=learner, threads=1, out=tmp_path, report=lambda kind, **more: None)
    prices = price_fits(RunDirectory(tmp_path).events())
    assert len(prices) == fits
    assert sum(price.samples for price in prices.values()) == 201 * epochs
    assert count_full_trainings(tmp_path, 201) == 1.0


def test_the_price_of_several_steps_counts_the_runs_inside_and_not_epochs_that_differ(tmp_path):
    grown = unseen.grow("digits", keep=0.5, learner="logistic", threads=1, out=tmp_path, report=lambda *_, **__: None)
    assert count_full_trainings(tmp_path, 1797) == pytest.approx(1 + sum(grown.history.sizes[:-1]) / 1797)
    with (tmp_path / "parts" / "start" / "events.jsonl").open("a") as log:
        log.write('{"kind": "epoch", "fit": "r0f0", "epoch": 2}\n')
    assert count_full_trainings(tmp_path, 1797) is None


def test_a_table_without_scores_serves_rules_that_read_none():
    blank = unseen.ScoreTable.unscored(np.arange(20), np.arange(20) % 2, ("a", "b"))
    assert len(unseen.select(blank, rule="random", keep=5)) == 5
    for rule in ("top", None):
        with pytest.raises(unseen.ArgumentError, match=r"reads scores, but this table holds none; use 'random'"):
            unseen.select(blank, rule=rule, keep=5)


def test_other_data_of_the_same_size_is_refused_wherever_a_coreset_is_taken():
    x, y = load_digits(return_X_y=True)
    chosen = unseen.prune(x[:400], y[:400], keep=0.5, learner="logistic", threads=1)
    found = unseen.evaluate((x[:400], y[:400]), coresets=chosen, learner="logistic", seeds=1, threads=1)
    assert "coreset" in [arm.name for arm in found.arms]  # the result of `prune` serves as its coreset
    for other in ((x[400:800], y[400:800]), (x[:400], 9 - y[:400])):
        with pytest.raises(DataError, match="other data: the labels differ"):
            unseen.evaluate(other, coresets=chosen.coreset, learner="logistic", seeds=1)
        with pytest.raises(DataError, match="other data: the labels differ"):
            unseen.grow(other, keep=0.8, start=chosen.coreset, learner="logistic")


def test_select_takes_what_prune_and_load_give(tmp_path):
    pruned = unseen.prune("digits", keep=0.5, learner="logistic", threads=1, out=tmp_path / "run")
    expected = unseen.select(pruned.scores, keep=0.3)
    for given in (pruned, unseen.load(tmp_path / "run")):
        np.testing.assert_array_equal(unseen.select(given, keep=0.3).indices, expected.indices)
    with pytest.raises(ArgumentError, match="must be a score table, got str"):
        unseen.select(str(tmp_path / "run"), keep=0.3)


@pytest.mark.parametrize(
    "how",
    [{}, {"plan": "folds:k=3"}, {"learner": "ridge"}, {"learner": "ridge", "plan": "leave_one_out"}],
    ids=["halves", "folds", "closed form", "leave one out"],
)
def test_score_and_select_choose_by_default_as_prune_does(how):
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], np.where(np.arange(600) % 10, y[:600], (y[:600] + 1) % 10)  # a tenth of the labels are wrong
    table = unseen.score(X, y, **how)
    pruned = unseen.prune(X, y, keep=0.8, **how)
    assert table.scores == pruned.scores.scores
    assert unseen.select(table, keep=0.8).indices.tolist() == pruned.coreset.indices.tolist()
    # The columns beside the score do decide.
    assert unseen.select(table["el2n"], keep=0.8).indices.tolist() != pruned.coreset.indices.tolist()


def test_score_and_select_choose_as_prune_does_for_a_target():
    X, y = load_digits(return_X_y=True)
    data = unseen.data.from_arrays(X[:300], target=y[:300].astype(float))
    assert unseen.score(data).scores == ("loss",)
    assert (unseen.select(unseen.score(data), keep=0.5).indices == unseen.prune(data, keep=0.5).coreset.indices).all()


def test_scores_that_say_nothing_are_told_as_a_warning_where_nobody_listens():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 3)), np.arange(2000) % 4
    with pytest.warns(UserWarning, match="are not used; the coreset is random"):
        quiet = unseen.prune(x, y, keep=0.5, learner="logistic", threads=1).coreset
    said = []
    heard = unseen.prune(
        x, y, keep=0.5, learner="logistic", threads=1, report=lambda kind, **more: said.append((kind, more))
    ).coreset
    assert any(kind == "say" and "coreset is random" in more["text"] for kind, more in said)
    np.testing.assert_array_equal(quiet.indices, heard.indices)


def test_a_quota_that_is_named_holds_where_the_coreset_is_random():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), np.repeat([0, 1], [390, 10])
    for quota, wanted in ((None, [36, 4]), ("proportional", [39, 1]), ("uniform", [30, 10]), ({0: 35, 1: 7}, [35, 7])):
        given = {"quota": quota} if quota else {}
        given |= {} if isinstance(quota, dict) else {"keep": 40}
        with pytest.warns(UserWarning, match="the coreset is random within each class"):
            table, pruned = unseen.prune(X, y, learner="logistic", threads=1, **given)
        with pytest.warns(UserWarning, match="the coreset is random within each class"):
            selected = unseen.select(table, **given)
        for coreset in (pruned, selected):
            assert np.bincount(y[coreset.indices]).tolist() == wanted
            assert coreset.provenance["rule"] == "random"


def test_a_model_that_gives_up_accuracy_for_recall_is_not_weak():
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.2).astype(int)
    x = rng.normal(size=(600, 1)) + 1.5 * y[:, None]
    weighted = LogisticRegression(class_weight={0: 1, 1: 20})
    table, coreset = unseen.prune(x, y, keep=0.5, learner=weighted, threads=1)
    assert (table.predictions == y).mean() < 0.75  # predicting the largest class is right on four fifths
    assert coreset.provenance["rule"] == "stratified"


def rare_words(n=400, seed=0):
    """Texts of four clean topics, each of a word of its topic and of words that are in few texts; texts, topics."""
    rng = np.random.default_rng(seed)
    topics = np.arange(n) % 4
    texts = [" ".join(f"w{k}" for k in (9000 + topic, *rng.integers(0, 900, 12))) for topic in topics]
    return texts, topics


def test_models_that_are_right_but_unsure_do_not_choose():
    texts, topics = rare_words()
    with pytest.warns(
        UserWarning, match=r"right on \d\d(\.\d)? %, but give .* a probability of at most 0\.\d\d on average"
    ):
        table, coreset = unseen.prune(texts, topics, keep=0.5)
    assert table.accuracy > 0.8
    assert coreset.provenance["rule"] == "random"
    assert "too unsure" in coreset.provenance["fallback"]
    np.testing.assert_array_equal(np.bincount(topics[coreset.indices]), 50)
    with pytest.warns(UserWarning, match="the coreset is random within each class"):
        assert (unseen.select(table, keep=0.5).indices == coreset.indices).all()
    with pytest.warns(UserWarning, match="the coreset is random within each class"):  # whatever the score is
        assert "el2n" in unseen.prune(texts, topics, keep=0.5, score="loss").scores.scores
    sure = unseen.prune(texts, topics, keep=0.5, learner=make_pipeline(TfidfVectorizer(), LogisticRegression(C=1e4)))
    assert sure.coreset.provenance["rule"] == "stratified"
    named = unseen.prune(texts, topics, keep=0.5, rule="stratified:cutoff=auto").coreset
    assert named.provenance["rule"] == "stratified"  # who names a rule decides


def test_calibrated_models_are_never_too_unsure_and_what_is_in_sample_is_not_judged():
    rng = np.random.default_rng(0)
    for spread in (0.05, 1.0, 3.0, 20.0):
        logits = spread * rng.normal(size=(4000, 5))
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        labels = (share.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)  # drawn from what the model says
        table = unseen.ScoreTable.of("el2n", el2n_of(logits, labels), direction="harder", labels=labels)
        table = replace(table, predictions=logits.argmax(axis=1))
        assert too_unsure(table) is None
        unsure = replace(table, values={"el2n": el2n_of(logits / 50, labels)[None]})
        assert (too_unsure(unsure) is None) == (table.accuracy < 0.65)
        assert too_unsure(replace(unsure, provenance={"plan": {"plan": "seen"}})) is None
        assert too_unsure(replace(unsure, predictions=None)) is None


def test_data_that_no_model_can_be_held_out_of_is_refused_before_training():
    x = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.raises(DataError, match="class 'rare' has a single sample"):
        unseen.prune(x, np.where(np.arange(100) == 7, "rare", "usual"), keep=0.5, learner="logistic")
    with pytest.raises(ArgumentError, match="all 100 samples are copies of one"):
        unseen.prune(np.ones((100, 3)), np.arange(100) % 2, keep=0.5, learner="logistic")


def test_a_class_that_is_held_out_as_a_whole_is_refused_before_training():
    texts = ["good stuff"] * 9 + [f"bad thing {i}" for i in range(9)]
    with pytest.raises(DataError, match="class '0' has 9 samples, all copies of one or of one group, so a model that"):
        unseen.prune(texts, [0] * 9 + [1] * 9, keep=0.5, learner="tfidf")


def test_the_default_for_a_target_leaves_out_wrong_targets_and_select_chooses_as_prune_does():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5))
    right = X @ [3, 2, 1, 0, 0] + rng.normal(size=1000)
    wrong = rng.random(1000) < 0.05
    data = unseen.data.from_arrays(X, target=np.where(wrong, right + 40 * rng.choice([-1, 1], 1000), right))
    table, coreset = unseen.prune(data, keep=0.5)
    assert coreset.provenance["rule"] == "trimmed"
    assert not wrong[coreset.indices].any()
    assert coreset.provenance["found"]["outliers"] == wrong.sum()
    assert np.array_equal(unseen.select(table, keep=0.5).indices, coreset.indices)


def test_a_table_alone_cannot_be_chosen_from_by_training():
    with pytest.raises(ArgumentError, match="rule='auto' trains on what it chooses, which takes the data"):
        unseen.select(unseen.score("digits", learner="ridge"), rule="auto", keep=0.5)


def test_what_models_of_a_target_are_worth_is_told():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    told = unseen.prune(unseen.data.from_arrays(x, target=x.sum(axis=1)), keep=0.5).scores
    assert told.r2 == pytest.approx(1, abs=1e-4)
    target = x.sum(axis=1) + rng.normal(size=400)
    table = unseen.prune(unseen.data.from_arrays(x, target=target), keep=0.5).scores
    assert table.r2 == pytest.approx(1 - table.column("loss").mean() / target.var())
    assert table.median_error == pytest.approx(np.median(np.sqrt(table.column("loss"))), rel=0.01)
    with pytest.warns(UserWarning, match="less than predicting the median of the target"):
        unseen.prune(unseen.data.from_arrays(x, target=rng.normal(size=400)), keep=0.5)


def test_select_falls_back_to_random_as_prune_does():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)), np.arange(300) % 3
    with pytest.warns(UserWarning, match="so their scores are not used; the coreset is random"):
        pruned = unseen.prune(x, y, keep=0.5)
    with pytest.warns(UserWarning, match="so their scores are not used; the coreset is random"):
        selected = unseen.select(pruned.scores, keep=0.5)
    assert selected.ids.tolist() == pruned.coreset.ids.tolist()
    assert unseen.select(pruned.scores, keep=0.5, rule="stratified").provenance["rule"] == "stratified"


def test_an_own_loop_that_hands_in_outputs_in_another_order_is_told():
    x, y = load_digits(return_X_y=True)
    x, y, rng = x[:600], y[:600], np.random.default_rng(0)
    recorder = unseen.Recorder(y, plan=unseen.halves())
    for fit in recorder:
        model = GaussianNB(var_smoothing=1e-2).fit(x[fit.train], y[fit.train])
        recorder.record(fit.unseen, model.predict_joint_log_proba(x[rng.permutation(fit.unseen)]))
    with pytest.warns(UserWarning, match="better than predicting the largest class"):
        unseen.select(recorder.table(), keep=0.5)


@pytest.mark.parametrize(("sizes", "by"), [((60, 60, 60), "width"), ((80, 60, 60), "width"), ((100, 60, 60), "rank")])
def test_strata_have_equal_count_by_default_where_classes_are_uneven(sizes, by):
    """Whichever verb chooses; 80 of 200 are 1.2 of the mean class, 100 of 220 are 1.36."""
    y = np.repeat([0, 1, 2], sizes)
    X = np.random.default_rng(0).normal(size=(len(y), 4)) + 2 * np.eye(3, 4)[y]
    table, coreset = unseen.prune(X, y, keep=0.5, learner=GaussianNB())
    grown = unseen.grow(X, y, keep=0.5, steps=1, learner=GaussianNB()).coreset
    advised = Method.of(default_method(unseen.data.from_arrays(X, y))).choice()
    assert {c.provenance["options"]["by"] for c in (coreset, unseen.select(table, keep=0.5), grown)} == {by}
    assert advised.rule.options()["by"] == by
