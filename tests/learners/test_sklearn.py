"""Scikit-learn estimators as learners: missing classes, seeds, text, tables, presets, refusals."""

import json
import os
import re
import subprocess
import sys
from multiprocessing import parent_process

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info

import unseen
from unseen.core import seeds
from unseen.data import from_arrays
from unseen.errors import ArgumentError
from unseen.learners import LEARNERS, Recipe, SklearnLearner, resolve
from unseen.learners.sklearn import clone_with_seeds, labels_for

RNG = np.random.default_rng(0)
IRIS = load_iris(return_X_y=True)


@pytest.mark.parametrize("rare", [0, 1, 2])
def test_a_class_that_no_model_of_a_fold_saw(rare):
    first, second = (c for c in range(3) if c != rare)
    y = np.array([first] * 20 + [second] * 19 + [rare])
    X = RNG.normal(size=(40, 2)) + 9.0 * (y == second)[:, None]
    table = unseen.score(X, y, scores=["el2n", "loss"], plan=unseen.folds(4), learner=GaussianNB())
    # The one sample of its class is held out from models that do not know the class: p_y is 0, its loss finite.
    assert table.column("loss")[39] == pytest.approx(-np.log(np.finfo(np.float32).tiny))
    assert table.column("el2n")[39] >= 1
    assert table.mean_confidence[39] == pytest.approx(0, abs=1e-30)
    # And their probabilities of the two classes that they know are told apart as ever.
    assert (table.predictions[:39] == y[:39]).mean() > 0.9


def test_a_fold_of_one_class_is_named_where_the_estimator_cannot_learn_from_it():
    plan = unseen.Exposure(train=[np.arange(10)], watch=[np.arange(10, 20)])
    with pytest.raises(
        unseen.DataError, match=r"LogisticRegression cannot learn from fit r0f0 \(10 samples\): .*class"
    ):
        unseen.score(RNG.normal(size=(20, 2)), np.arange(20) // 10, plan=plan, learner=LogisticRegression())


def test_one_class_in_all_is_refused():
    with pytest.raises(unseen.DataError, match="needs at least 2 classes, but every label is 'cat'"):
        unseen.score(RNG.normal(size=(20, 2)), ["cat"] * 20, learner="logistic")


# The user's own labels


FLOWERS = {
    "from-1": np.array([1, 2, 3]),
    "with-gaps": np.array([7, 3, 900]),
    "negative": np.array([-1, 0, 1]),
    "real": np.array([1.0, 2.0, 3.0]),
    "text": np.array(["setosa", "versicolor", "virginica"]),
    "text-in-another-order": np.array(["z", "a", "m"]),
    "beyond-int64": np.array([2**63, 2**63 + 1, 2**63 + 2], np.uint64),
}


def weighted(label):
    return LogisticRegression(C=1e-4, class_weight={label: 1000})


WRAPPED = {
    "alone": weighted,
    "pipeline": lambda label: make_pipeline(StandardScaler(), weighted(label)),
    "search": lambda label: GridSearchCV(weighted(label), {"C": [1e-4]}, cv=2),
    "calibrated": lambda label: CalibratedClassifierCV(weighted(label), cv=2),
}


@pytest.mark.parametrize(
    ("labels", "wrapped"),
    [(labels, "alone") for labels in FLOWERS.values()] + [(FLOWERS["text"], name) for name in WRAPPED],
)
def test_a_parameter_about_a_label_applies_to_that_label(labels, wrapped):
    X, y = IRIS
    estimator = WRAPPED[wrapped](labels[1].item())
    table = unseen.score(X, labels[y], plan=unseen.folds(2), learner=estimator, groups=None)
    # As scikit-learn itself has it: its `cross_val_predict` would not do, as it numbers labels first.
    X, y, order = X.astype(np.float32), labels[y], seeds.order(0, np.arange(150), "order", 0)
    for fold in range(2):
        inside = table.folds[0] == fold
        train = order[~inside[order]]
        model = clone(estimator).fit(X[train], y[train])
        p = model.predict_proba(X[inside])[np.arange(inside.sum()), np.searchsorted(model.classes_, y[inside])]
        np.testing.assert_allclose(table.mean_confidence[inside], p, rtol=1e-6)
    if wrapped != "calibrated":  # which calibrates the weight away
        assert {table.class_names[code] for code in table.predictions} == {str(labels[1]).removesuffix(".0")}


def test_priors_are_in_the_order_of_the_labels():
    _, y = IRIS
    for labels in FLOWERS.values():
        order = np.argsort(labels)
        priors = np.array([1e-9, 1e-9, 1e-9])
        priors[0] = 1 - 2e-9  # of the first in sorted order
        table = unseen.score(
            RNG.normal(size=(150, 2)), labels[y], plan=unseen.folds(3), learner=GaussianNB(priors=priors)
        )
        assert {table.class_names[c] for c in table.predictions} == {str(labels[order[0]]).removesuffix(".0")}


def test_the_estimator_sees_the_labels_themselves():
    seen = []

    class Spy(GaussianNB):
        def fit(self, X, y):
            seen.append(y)
            return super().fit(X, y)

    X, y = IRIS
    for labels in (*FLOWERS.values(), np.array([False, True, True])):
        del seen[:]
        unseen.score(X, labels[y], plan=unseen.folds(2), learner=Spy())
        assert set(seen[0].tolist()) == set(labels.tolist())
    del seen[:]
    unseen.score(from_arrays(X, y, class_names=list("abc")), plan=unseen.folds(2), learner=Spy())
    assert set(seen[0].tolist()) == {0, 1, 2}, "names beside numbers are for people"
    del seen[:]
    unseen.Pruner(learner=Spy(), plan=2).fit(X, np.array(["u", "v", "w"])[y])
    assert set(seen[0].tolist()) == {"u", "v", "w"}


def test_a_fold_without_a_class_named_by_text():
    y = np.array(["b"] * 20 + ["c"] * 19 + ["a"])
    table = unseen.score(RNG.normal(size=(40, 2)), y, plan=unseen.folds(4), learner=GaussianNB())
    assert table.labels[39] == 0
    assert table.mean_confidence[39] < 1e-30
    assert table.predictions[39] in (1, 2)


def test_estimators_that_take_numbers_only_are_given_numbers():
    torch, skorch = pytest.importorskip("torch"), pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(
        torch.nn.Linear(4, 3), criterion=torch.nn.CrossEntropyLoss, max_epochs=2, train_split=None, verbose=0
    )
    X, y = IRIS
    assert labels_for(net, from_arrays(X, np.array(["u", "v", "w"])[y])).tolist() == [0, 1, 2]
    assert labels_for(make_pipeline(net), from_arrays(X, y + 1)).tolist() == [0, 1, 2]
    assert labels_for(GaussianNB(), from_arrays(X, y + 1)).tolist() == [1, 2, 3]


def test_parameters_that_json_cannot_hold_and_stacks():
    X, y = IRIS
    for estimator in (
        GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2),  # whose error_score is NaN
        StackingClassifier([("a", GaussianNB())], cv=2),  # whose last model is not made yet
    ):
        table = unseen.score(X, y, plan=unseen.folds(2), learner=estimator)
        json.dumps(table.provenance["learner"], allow_nan=False)
        assert (table.predictions == y).mean() > 0.9


# Seeds


def scores_of(learner, **more):
    return unseen.score(*IRIS, plan=unseen.folds(3, repeats=2), learner=learner, **more).values["el2n"]


def test_open_random_states_are_seeded_by_the_root_seed_and_fit():
    tree = DecisionTreeClassifier(max_features=1, splitter="random")
    np.testing.assert_array_equal(scores_of(tree), scores_of(tree))
    assert (scores_of(tree) != scores_of(tree, seed=1)).any()
    assert tree.random_state is None
    data = from_arrays(*IRIS)
    models = []

    class Spy(DecisionTreeClassifier):
        def fit(self, X, y):
            models.append(self.random_state)
            return super().fit(X, y)

    unseen.score(data, plan=unseen.folds(3, repeats=2), learner=Spy())
    assert len(set(models)) == 6
    assert all(0 <= state < 2**32 for state in models)


def test_networks_of_skorch_draw_from_seeded_generators_that_are_put_back():
    torch, skorch = pytest.importorskip("torch"), pytest.importorskip("skorch")

    class Net(torch.nn.Sequential):
        def __init__(self):
            super().__init__(torch.nn.Linear(4, 3))

    net = skorch.NeuralNetClassifier(
        Net, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0
    )
    first, state = scores_of(net), torch.get_rng_state()
    np.testing.assert_array_equal(first, scores_of(net))
    assert torch.equal(state, torch.get_rng_state())
    assert (first != scores_of(net, seed=1)).any()


def test_a_random_state_that_is_set_stays():
    nested = VotingClassifier(
        [("a", RandomForestClassifier(3, random_state=5)), ("b", make_pipeline(RandomForestClassifier(3)))],
        voting="soft",
    )
    model = clone_with_seeds(nested, 9)
    assert model.get_params()["a__random_state"] == 5
    inner = model.get_params()["b__randomforestclassifier__random_state"]
    assert inner is not None
    assert inner == clone_with_seeds(nested, 9).get_params()["b__randomforestclassifier__random_state"]
    assert inner != clone_with_seeds(nested, 10).get_params()["b__randomforestclassifier__random_state"]
    assert nested.get_params()["b__randomforestclassifier__random_state"] is None


def test_a_generator_as_random_state_is_refused():
    model = RandomForestClassifier(random_state=np.random.RandomState(0))
    with pytest.raises(
        unseen.ArgumentError, match=r"b__random_state must be an integer, or None .* differ from run to"
    ):
        SklearnLearner(VotingClassifier([("b", model)], voting="soft"))


# Everything learned is learned from the training rows


def test_text_by_tfidf():
    cats, dogs = ["the cat sleeps on the mat", "a cat purrs"], ["the dog barks at night", "a dog runs and runs"]
    texts = np.array([f"{(cats if i % 2 else dogs)[i // 2 % 2]} {'very ' * (i % 5)}word{i}" for i in range(40)])
    vocabularies = []

    class Spy(TfidfVectorizer):
        def fit_transform(self, raw, y=None):
            found = super().fit_transform(raw, y)
            vocabularies.append({word for word in self.vocabulary_ if word.startswith("word")})
            return found

    table = unseen.score(
        texts, np.arange(40) % 2, plan=unseen.folds(4), learner=make_pipeline(Spy(), LogisticRegression())
    )
    assert (table.predictions == table.labels).all()
    for fold in range(4):
        held_out = {f"word{i}" for i in np.flatnonzero(table.folds[0] == fold)}
        assert not vocabularies[fold] & held_out, "the vocabulary has seen the texts that it is asked about"
    table = unseen.score(texts, np.arange(40) % 2, plan=unseen.folds(2))
    assert table.provenance["learner"]["learner"] == "sklearn:LogisticRegression"
    assert "tfidfvectorizer__ngram_range" in table.provenance["learner"]["params"]


def mixed(n=60):
    """A table of two numbers and two words; the word `rare<i>` is in one row only, so unseen when it is held out."""
    y = np.arange(n) % 2
    table = np.empty((n, 4), object)
    table[:, 0] = RNG.normal(size=n)
    table[:, 1] = [f"rare{i}" if i < 10 else "left" if c else "right" for i, c in enumerate(y)]
    table[:, 2] = y + RNG.normal(size=n) * 0.1
    table[:, 3] = ["x"] * n
    table[3, 2], table[5, 1], table[7, 0] = None, None, np.nan
    return table, y


@pytest.mark.parametrize(
    "learner", [None, "logistic", "forest:n_estimators=20", "extra_trees:n_estimators=20", "hist_gradient_boosting"]
)
def test_mixed_tables_with_categories_unseen_in_training(learner):
    table, y = mixed()
    if learner in (None, "hist_gradient_boosting"):
        # 20 samples a leaf at least, by default, are too many for 60 rows.
        learner = "hist_gradient_boosting:max_iter=5,min_samples_leaf=2"
    scores = unseen.score(table, y, plan=unseen.folds(3), learner=learner, threads=1)
    assert np.isfinite(scores.column("el2n")).all()
    assert (scores.predictions == y).mean() > 0.9


def test_the_default_of_each_kind_of_data():
    assert resolve(None, from_arrays(*IRIS)).name == "sklearn:LogisticRegression"
    assert resolve(None, from_arrays(*mixed())).name == "sklearn:HistGradientBoostingClassifier"
    assert resolve(None, from_arrays(np.array(["a b", "c"]), [0, 1])).name == "sklearn:LogisticRegression"


# Names and options


def test_presets_take_options_of_their_last_step():
    data = from_arrays(*IRIS)
    learner = resolve("logistic:C=0.5,max_iter=7", data)
    assert learner.describe()["params"]["logisticregression__C"] == 0.5
    assert (
        resolve("sklearn:forest:n_estimators=3", data).describe()["params"]["randomforestclassifier__n_estimators"] == 3
    )
    with pytest.raises(
        unseen.ArgumentError, match="learner 'logistic' has no option 'c'; its options: C, class_weight"
    ):
        resolve("logistic:c=0.5", data)
    with pytest.raises(unseen.UnknownNameError, match="unknown learner 'logstic'; did you mean 'logistic'"):
        resolve("logstic", data)
    assert {"logistic", "forest", "extra_trees", "hist_gradient_boosting", "tfidf", "convnet"} <= set(LEARNERS)


def five_trees():
    return RandomForestClassifier(5)


def test_estimators_by_module_and_function():
    data = from_arrays(*IRIS)
    assert resolve(f"sklearn:{__name__}:five_trees", data).describe()["params"]["n_estimators"] == 5
    with pytest.raises(unseen.ArgumentError, match=r"must be module:function, but it cannot be imported: .*no_such"):
        resolve("sklearn:no_such:thing", data)


def test_estimators_and_learners_as_objects():
    data = from_arrays(*IRIS)
    assert resolve(GaussianNB(), data).name == "sklearn:GaussianNB"
    own = SklearnLearner(GaussianNB())
    assert resolve(own, data) is own
    with pytest.raises(unseen.ArgumentError, match="got an object of function; each fit needs a new network, so name"):
        resolve(five_trees, data)
    with pytest.raises(unseen.ArgumentError, match=r"got an object of Recipe; pass unseen\.learners\.TorchLearner"):
        resolve(Recipe(network="mlp"), data)
    with pytest.raises(unseen.UnknownNameError, match="unknown recipe field 'epoch'; did you mean 'epochs'"):
        resolve("torch:module:function:epoch=3", data)


def test_estimators_without_probabilities_are_refused():
    with pytest.raises(
        unseen.ArgumentError, match="must have predict_proba, but LinearSVC has none; wrap it in sklearn"
    ):
        SklearnLearner(LinearSVC())
    with pytest.raises(unseen.ArgumentError, match="must have predict_proba, but SGDClassifier has none"):
        SklearnLearner(SGDClassifier())  # by its default loss
    with pytest.raises(unseen.ArgumentError, match="must have fit, but str has none"):
        SklearnLearner("logistic")


def test_the_description_is_json_and_holds_no_address():
    learner = SklearnLearner(
        make_pipeline(
            TfidfVectorizer(tokenizer=str.split, stop_words=["a"], token_pattern=None),
            HistGradientBoostingClassifier(categorical_features=[0]),
        )
    )
    text = json.dumps(learner.describe())
    assert "str.split" in text
    assert " at 0x" not in text
    assert text == json.dumps(SklearnLearner(learner.estimator).describe())
    assert learner.name == "sklearn:HistGradientBoostingClassifier"


def test_the_description_tells_parameters_apart():
    def description(weights):
        return SklearnLearner(GaussianNB(priors=weights)).describe()

    long = np.full(5000, 1 / 5000)
    other = long.copy()
    other[2500] += 1e-9
    assert description(long) != description(other)
    assert description(long) == description(long.copy())
    json.dumps(description(long))


def test_images_are_read_as_pixels():
    images = RNG.integers(0, 256, (30, 4, 4), dtype=np.uint8)
    y = np.arange(30) % 2
    images[y == 1, 0] = 255
    table = unseen.score(images, y, plan=unseen.folds(3), learner=GaussianNB(var_smoothing=0.1))
    assert (table.predictions == y).all()


def test_blocks_change_nothing(monkeypatch):
    expected = scores_of(GaussianNB())
    monkeypatch.setattr("unseen.learners.sklearn.BLOCK", 7)
    np.testing.assert_allclose(scores_of(GaussianNB()), expected, rtol=1e-12, atol=1e-15)


class Says(ClassifierMixin, BaseEstimator):
    """Gives its probabilities as it is told to."""

    def __init__(self, how):
        self.how = how

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return self.how(np.full((len(X), 3), 1 / 3))


def with_first(value):
    return lambda p: np.where(np.arange(p.size).reshape(p.shape) == 0, value, p)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (with_first(-1), r"must be in \[0, 1\], but that of id \d+, column 0 is -1$"),
        (with_first(1.5), r"must be in \[0, 1\], but that of id \d+, column 0 is 1.5$"),
        (lambda p: 2 * p, r"rows of predict_proba must sum to 1, but that of id \d+ sums to 2$"),
        (lambda p: 0 * p, r"rows of predict_proba must sum to 1, but that of id \d+ sums to 0$"),
        (with_first(np.nan), r"must be finite, but that of id \d+, column 0 is nan$"),
        (np.log, r"is -1.09861; these are log-probabilities: return their exponentials$"),
        (lambda p: p[1:], r"a row for each sample .*, \(50, 3\), got shape \(49, 3\)$"),
        (lambda p: p[:, 1:], r"a column for each class trained on, \(50, 3\), got shape \(50, 2\)$"),
        (lambda p: p[:, 0], r"got shape \(50,\)$"),
        (lambda p: None, r"must .*got (NoneType|shape \(\))$"),
        (lambda p: [["a"] * 3] * len(p), r"must give an array of numbers, got list$"),
        (lambda p: p + 0j, r"must give an array of numbers, got ndarray$"),
        (lambda p: np.ma.array(p, mask=p > 0), r"is a masked array that hides entries of rows 0, 1,"),
    ],
)
def test_values_that_are_no_probabilities_are_refused_with_the_reason(how, said):
    plan = unseen.folds(3)
    with pytest.raises(unseen.DataError) as caught:
        unseen.score(*IRIS, plan=plan, learner=Says(how))
    assert re.search("^sklearn:Says: .*" + said, str(caught.value)), caught.value
    assert caught.value.__notes__ == ["in fit r0f0"]


def test_probabilities_of_a_network_may_require_gradients():
    torch = pytest.importorskip("torch")
    table = unseen.score(*IRIS, plan=unseen.folds(3), learner=Says(lambda p: torch.tensor(p, requires_grad=True)))
    np.testing.assert_allclose(table.column("el2n"), np.sqrt(2 / 3))


class OtherClasses(Says):
    def fit(self, X, y):
        self.classes_ = ["ant", "bee", "cat"]
        return self


class NoClasses(Says):
    def fit(self, X, y):
        return self


class Fails(Says):
    def fit(self, X, y):
        raise TypeError("not this")


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (OtherClasses, r"classes_ must hold labels that it was fitted on \(0, 1, 2\), .*, got ant, bee, cat"),
        (NoClasses, r"classes_ must hold labels that it was fitted on \(0, 1, 2\), .*, got none"),
        (Fails, r"sklearn:Fails cannot learn from fit r0f0 \(100 samples\): TypeError: not this"),
    ],
)
def test_mistakes_of_an_estimator_are_named_in_one_line(learner, said):
    with pytest.raises(unseen.DataError, match=said):
        unseen.score(*IRIS, plan=unseen.folds(3), learner=learner(lambda p: p))


@pytest.mark.parametrize("place", ["os:path", "os:abs"])
def test_a_named_function_must_make_an_estimator(place):
    with pytest.raises(unseen.ArgumentError, match=f"'{place}' must be"):
        unseen.score(*IRIS, learner=f"sklearn:{place}")


def test_half_precision_and_rounding_are_probabilities():
    def half(p):
        return p.astype(np.float16)

    assert len(unseen.score(*IRIS, plan=unseen.folds(3), learner=Says(half)).ids) == 150
    assert len(unseen.score(*IRIS, plan=unseen.folds(3), learner=Says(lambda p: p - 1e-9)).ids) == 150


def test_naive_bayes_without_a_number_is_named_and_not_told_to_learn_more_slowly():
    X = IRIS[0] * 1e160
    with np.errstate(all="ignore"), pytest.raises(unseen.UnseenError) as caught:
        unseen.score(X, IRIS[1], plan=unseen.folds(3), learner=GaussianNB())
    assert "learning rate" not in str(caught.value)


class Counting(GaussianNB):
    """Refuses to learn by other threads than it was made for."""

    def __init__(self, openmp=1, spins=None):
        super().__init__()
        self.openmp, self.spins = openmp, spins

    def fit(self, X, y):
        threads = {
            api: {p["num_threads"] for p in threadpool_info() if p["user_api"] == api} for api in ("blas", "openmp")
        }
        if threads != {"blas": {1}, "openmp": {self.openmp}}:
            raise RuntimeError(f"{threads}")
        if parent_process() is not None and os.environ.get("GOMP_SPINCOUNT") != self.spins:
            raise RuntimeError(f"GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT')}")
        return super().fit(X, y)


@pytest.mark.parametrize(("jobs", "threads"), [(1, 1), (1, 2), pytest.param(2, 1, marks=pytest.mark.slow)])
def test_blas_has_one_thread_and_openmp_those_of_the_fit(monkeypatch, jobs, threads):
    """Threads of BLAS spin: logistic regression on two was ten times slower beside busy processes."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    learner = Counting(threads, "1000")
    table = unseen.score(*IRIS, plan=unseen.folds(2), learner=learner, jobs=jobs, threads=threads)
    assert np.isfinite(table.column("el2n")).all()
    with pytest.raises(unseen.DataError, match="openmp"):
        unseen.score(*IRIS, plan=unseen.folds(2), learner=Counting(threads + 1), threads=threads)


def test_scikit_learn_is_loaded_with_threads_that_sleep_soon():
    script = """
import os, sys
seen = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "sklearn":
            seen.append(os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Finder())
from unseen.learners import SklearnLearner
print(seen, os.environ.get("GOMP_SPINCOUNT"))
"""
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", script], env=clean, capture_output=True, text=True)
    assert done.stdout.strip() == "['1000'] None", done.stderr


def test_a_classifier_without_probabilities_is_told_a_remedy():
    with pytest.raises(ArgumentError, match="LinearSVC has none; wrap it in"):
        SklearnLearner(LinearSVC())
