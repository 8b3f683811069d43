"""Sweeps: the cells, their pairing, resumption, the table; and what is refused."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.core import seeds
from unseen.engine.runs import Run
from unseen.engine.work import Work
from unseen.evaluating.methods import Method, Selector, default_method, slug
from unseen.evaluating.statistics import doubt_accuracy
from unseen.learners.sklearn import SklearnLearner

X, Y = load_digits(return_X_y=True)
TRAIN, TEST = (X[:600], Y[:600]), (X[600:900], Y[600:900])


def swept(**changes):
    options = {"methods": ["folds:k=2/el2n/top"], "keep": [0.5], "learner": GaussianNB(), "seeds": 2, "test": TEST}
    return unseen.sweep(TRAIN, **{**options, **changes})


def content(result):
    return {name: column.tolist() for name, column in result.columns.items()}


def test_the_cells_are_methods_by_budgets_by_replicates():
    result = swept(methods=["folds:k=2/el2n/top", "random:quota=proportional"], keep=[0.5, 100], seeds=3)
    assert result.methods == ["full", "random", "folds:k=2/el2n/top", "random:quota=proportional"]
    assert result.budgets == [300, 100]
    assert len(result) == 3 * (1 + 3 * 2)
    assert set(result.columns["samples_seen"].tolist()) == {600, 300, 100}
    assert result.columns["keep"].max() == 1.0


def test_a_cell_is_what_training_on_the_coreset_gives():
    result = swept(seeds=1)
    seed = seeds.derive(0, "score", 0)
    table = unseen.score(TRAIN, plan=unseen.folds(2), learner=GaussianNB(), seed=seed)
    rows = unseen.select(table, rule="top", keep=0.5, seed=seeds.derive(0, "select", 0)).indices
    model = GaussianNB().fit(TRAIN[0][rows].astype(np.float32), TRAIN[1][rows])
    expected = (model.predict(TEST[0].astype(np.float32)) == TEST[1]).mean()
    assert result.accuracies("folds:k=2/el2n/top", 300).tolist() == [pytest.approx(expected)]


def test_everything_is_the_reference_at_every_budget():
    result = swept(keep=[0.5, 0.2])
    np.testing.assert_array_equal(result.accuracies("full", 300), result.accuracies("full", 120))
    assert result.accuracies("nothing", 300).size == 0


def test_without_methods_the_way_of_prune_and_the_best_peer_are_compared():
    result = unseen.sweep(X[:200], Y[:200], keep=[0.5], seeds=1)
    assert [name.split("/")[0] for name in result.methods] == ["full", "random", "halves", "seen"]


def test_it_goes_on_cell_by_cell(tmp_path, monkeypatch):
    """A sweep broken off in its third training trains the others only, to the same numbers."""
    fit, trained = SklearnLearner.fit, []

    def counted(self, *args, **kwargs):
        trained.append(1)
        if len(trained) == 3:
            raise RuntimeError("killed")
        fit(self, *args, **kwargs)

    monkeypatch.setattr(SklearnLearner, "fit", counted)
    with pytest.raises(RuntimeError, match="killed"):
        swept(out=tmp_path / "run")
    broken_off = len(trained)
    again = swept(out=tmp_path / "run")
    monkeypatch.undo()
    whole = swept()
    assert content(again) == content(whole)
    assert (again.times["seconds"] > 0).all()
    assert unseen.load(tmp_path / "run").times == {}, "times are in the event log"
    written = (tmp_path / "run" / "sweep.parquet").read_bytes()
    swept(out=tmp_path / "unbroken")
    assert written == (tmp_path / "unbroken" / "sweep.parquet").read_bytes()
    # 2 replicates of full, random and the method, each with two folds; two trainings were kept.
    assert len(trained) - broken_off == 2 * (3 + 2) - 2


def test_more_methods_and_seeds_are_added(tmp_path):
    first = swept(out=tmp_path / "run")
    more = swept(out=tmp_path / "run", methods=["folds:k=2/el2n/top", "folds:k=2/margin/top"], seeds=3)
    np.testing.assert_array_equal(
        first.accuracies("folds:k=2/el2n/top", 300), more.accuracies("folds:k=2/el2n/top", 300)[:2]
    )


def test_another_configuration_is_refused(tmp_path):
    swept(out=tmp_path / "run")
    with pytest.raises(unseen.RunMismatchError, match=r"seed: 0 \(run\) != 1 \(now\)"):
        swept(out=tmp_path / "run", seed=1)
    with pytest.raises(unseen.RunMismatchError, match="fingerprint"):
        swept(out=tmp_path / "run", test=(X[600:800], Y[600:800]))


@pytest.mark.slow
def test_worker_processes_give_the_same():
    assert content(swept(jobs=2, threads=1)) == content(swept(threads=1))


def test_saved_and_loaded(tmp_path):
    result = swept()
    loaded = unseen.Sweep.load(result.save(tmp_path / "sweep.parquet"))
    assert content(loaded) == content(result)
    assert loaded.markdown() == result.markdown()


def test_the_table_says_what_its_numbers_are():
    text = swept().markdown()
    assert "| `random` |" in text
    assert "50 % pruned" in text
    assert "after the last epoch, on 300 samples (a test set of 300 samples); epochs fixed" in text


def test_sweep_and_advise_tell_where_accuracy_says_little():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), (np.arange(400) % 20 == 0).astype(int)  # noise: nothing can be learned
    caption = unseen.sweep(X, y, keep=[0.5], methods=["random"], learner="logistic", seeds=2).caption()
    assert "Accuracy says little here: logistic regression trained on everything" in caption
    advice = unseen.advise(X, y, method="el2n/top", learner="logistic", step=0.5, searching=1, seeds=3)
    assert advice.about["doubt"].startswith("accuracy says little here: logistic regression trained")
    assert repr(advice).endswith(f"; {advice.about['doubt']})")  # behind what is advised, and not in its midst
    assert "says little" not in swept().caption()


def test_where_classes_are_even_the_reason_is_that_the_model_hardly_learns():
    assert "look at the recall" in (doubt_accuracy(0.96, [96, 4]) or "")
    assert "look at the recall" in (doubt_accuracy(0.99, [0, 100]) or "")  # one class alone
    assert (doubt_accuracy(0.51, [50, 50]) or "").endswith("; a model that hardly learns tells no training sets apart")
    assert doubt_accuracy(0.6, [50, 50]) is None
    assert doubt_accuracy(float("nan"), [96, 4]) is None


def test_the_figure_is_drawn(tmp_path):
    sweeps = {"one": swept(), "two": swept()}
    for kind in ("svg", "png", "pdf"):
        one, two = (sweep.figure(tmp_path / f"{name}.{kind}").read_bytes() for name, sweep in sweeps.items())
        assert one == two
        assert kind != "svg" or b"<svg" in one


def test_a_probe_split_is_never_trained_on_or_scored():
    result = unseen.sweep(TRAIN, methods=["el2n/top"], prune=[0.5], learner=GaussianNB(), seeds=2)
    assert result.about["n"] + result.about["n_test"] == 600
    assert result.about["test"] == "probe split, 0.2 of the data"


def test_a_probe_split_far_from_its_share_says_so():
    groups = np.repeat(np.arange(5), [200, 100, 100, 100, 100])
    data = unseen.data.from_arrays(*TRAIN, groups=groups)
    result = unseen.sweep(data, methods=["random"], prune=[0.5], learner=GaussianNB(), seeds=2)
    actual = f"{result.about['n_test'] / 600:.2g} of the data, not 0.2, since equal samples"
    assert result.about["test"].startswith(f"probe split, {actual}")
    found = unseen.evaluate(data, coresets=unseen.rules.random(600, keep=0.5), learner=GaussianNB(), seeds=1)
    assert found.about["test"]["text"].startswith(
        f"a probe split of {result.about['n_test']} training samples ({actual}"
    )


def test_methods_of_one_plan_share_its_scorings():
    work = Work(unseen.data.resolve(TRAIN), GaussianNB())
    methods = [Method.of("folds:k=2/el2n/top"), Method.of("folds:k=2/margin/top"), Method.of("halves/el2n/top")]
    run = Run()
    run.open({})
    selector = Selector(work, methods, run=run, seed=0)
    needed = {}
    for method in methods:
        needed |= selector.trainings(method, 300)
    assert sorted(needed.values()) == [2, 2]


def test_the_default_draws_at_random_where_models_are_too_weak():
    """As `prune` does; a method of another name chooses by its scores all the same."""
    noise, said = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32), []
    data = unseen.data.resolve((noise, np.arange(400) % 4))
    default = Method.of(default_method(data))
    other = Method.of("halves/el2n/stratified:cutoff=auto,quota=uniform")
    work = Work(data, GaussianNB(), report=lambda kind, **more: said.append(more.get("text", "")))
    run = Run()
    run.open({})
    selector = Selector(work, [default, other], run=run, seed=0)
    rows = selector.rows(default, 100, 0)
    selector.rows(default, 40, 0)
    assert len([text for text in said if "draws at random within each class, as prune does" in text]) == 1
    seed = seeds.derive(0, "select", 0)
    drawn = unseen.rules.random(400, labels=data.labels, keep=100, quota="floored", seed=seed)
    np.testing.assert_array_equal(rows, drawn.indices)
    assert not np.array_equal(selector.rows(other, 100, 0), rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["el2n"]}, "unknown rule 'el2n'"),
        ({"methods": ["top"]}, "rule top reads scores: say which"),
        ({"methods": ["el2n/random"]}, "reads no scores, so 'el2n' would change nothing"),
        ({"methods": ["a/b/c/d"]}, "a method must be"),
        ({"methods": ["fold/el2n/top"]}, "did you mean 'folds'"),
        ({"methods": ["folds/el3n/top"]}, "did you mean 'el2n'"),
        ({"methods": []}, "methods must be a list"),
        ({"methods": ["el2n/stratified:cutoff=0.6"]}, "cutoff=0.6"),
        ({"methods": ["k_center"]}, "features"),
        ({"methods": ["halves/disagreement/top"]}, "needs at least 2 repeats, got 1"),
        ({"methods": ["halves/el2n/top:align=temperature", "halves/disagreement/top"]}, "needs at least 2 repeats"),
        ({"methods": ["folds:k=2/holdout_gap/top"]}, "asks on one side only"),
        ({"methods": ["folds:k=2/dual/top"]}, "has no epochs"),
        ({"methods": ["grow:steps=2/dual/top"]}, "has no epochs"),
        ({"keep": [0.5], "prune": [0.5]}, "exactly one of keep= and prune="),
        ({"keep": [1]}, "at least 2 samples"),
        ({"seeds": 0}, "seeds must be an integer of at least 1"),
        ({"learner": "mlp", "keep": [100]}, r"on 100 samples is below one batch of 128: .* \(batch_size=25\)"),
        ({"fix": "iterations"}, "needs a learner that trains in steps"),
        ({"test": (X[600:900, :60], Y[600:900])}, "sample_shape"),
        ({"test": (X[600:900], Y[600:900] + 1)}, "classes that the training set lacks: '10'"),
    ],
)
def test_refused_before_any_training(changes, message, monkeypatch):
    monkeypatch.setattr(
        "unseen.engine.executors.LocalExecutor.run", lambda *a, **k: pytest.fail("something was trained")
    )
    with pytest.raises(unseen.UnseenError, match=message):
        swept(**changes)


def test_slugs_are_file_names():
    assert slug("folds:k=2/el2n/stratified:cutoff=0.1") == "folds_k_2_el2n_stratified_cutoff_0.1"


def test_groups_and_features_of_the_whole_are_those_of_the_part_that_is_chosen_from():
    groups = np.arange(600) // 3
    options = {"methods": ["folds:k=2/el2n/top", "k_center"], "prune": [0.5], "learner": GaussianNB(), "seeds": 1}
    result = unseen.sweep(TRAIN, groups=groups, features=X[:600], **options)
    assert len(result.accuracies("k_center", result.budgets[0])) == 1
    with pytest.raises(unseen.ArgumentError, match="groups must have one entry for each of 600 samples, got 500"):
        unseen.sweep(TRAIN, groups=groups[:500], **options | {"methods": ["el2n/top"]})


def test_a_run_of_a_sweep_is_loaded(tmp_path):
    result = swept(out=tmp_path / "run")
    assert content(unseen.load(tmp_path / "run")) == content(result)


def test_random_samples_of_one_class_are_refused_by_the_name_of_the_method_before_any_training(monkeypatch):
    monkeypatch.setattr(
        "unseen.engine.executors.LocalExecutor.run", lambda *a, **k: pytest.fail("something was trained")
    )
    X = np.random.default_rng(0).normal(size=(300, 3))
    with pytest.raises(unseen.ArgumentError, match="'random' keeps samples of one class only at a budget of 2"):
        unseen.sweep(X, (X[:, 0] > 0).astype(int), keep=[2], methods=["el2n/top"])
