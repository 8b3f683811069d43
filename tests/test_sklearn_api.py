"""The scikit-learn face: the common checks of scikit-learn and imbalanced-learn, and what they do not check."""

import subprocess
import sys
import unittest

import numpy as np
import pyarrow as pa
import pytest
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator as imblearn_checks
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator as sklearn_checks

import unseen
from unseen import Pruner

# The frozen list: check to reason. A check that is listed must fail, and with these words.
EXPECTED = {
    # Only where pandas is installed; elsewhere imbalanced-learn skips it.
    "check_samplers_pandas_sparse": "Sparse data was passed for X",  # sparse frames are sparse: tags say sparse=False
}

# Fast at 1000 samples, and for the checks with text as well.
CHECKED = Pruner(plan=2, learner="logistic")


def name_of(check):
    return name_of(check.func) if hasattr(check, "func") else check.__name__


CHECKS = [
    pytest.param(estimator, check, id=f"{package}-{name_of(check)}")
    for package, generator in (("sklearn", sklearn_checks), ("imblearn", imblearn_checks))
    for estimator, check in generator(CHECKED)
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
# Column vectors as labels are one of the checks; the warning is scikit-learn's own rule for them.
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
# These two are imbalanced-learn's and scikit-learn's ways of saying that pandas or array API is missing.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_common_checks(estimator, check):
    try:
        if name_of(check) in EXPECTED:
            with pytest.raises(TypeError, match=EXPECTED[name_of(check)]):
                check(estimator)
        else:
            check(estimator)
    except unittest.SkipTest as reason:
        pytest.skip(str(reason))


def test_the_list_of_exceptions_is_not_stale():
    assert set(EXPECTED) <= {name_of(check.values[1]) for check in CHECKS}
    assert list(EXPECTED) == ["check_samplers_pandas_sparse"], "the list is frozen: mend the estimator instead"


def test_it_is_what_prune_does():
    X, y = load_digits(return_X_y=True)
    pruner = Pruner(keep=0.3, rule="top", plan=3, learner=GaussianNB(var_smoothing=1e-2), random_state=4)
    X_kept, y_kept = pruner.fit_resample(X, y)
    table, coreset = unseen.prune(
        X, y, keep=0.3, rule="top", plan=unseen.folds(3), learner=GaussianNB(var_smoothing=1e-2), seed=4
    )
    np.testing.assert_array_equal(pruner.sample_indices_, coreset.indices)
    np.testing.assert_array_equal(pruner.scores_.values["el2n"], table.values["el2n"])
    np.testing.assert_array_equal(X_kept, X[coreset.indices])
    np.testing.assert_array_equal(y_kept, y[coreset.indices])
    assert (X_kept.dtype, y_kept.dtype) == (X.dtype, y.dtype)
    assert pruner.coreset_.order is not None
    assert sum(pruner.sampling_strategy_.values()) == len(y_kept) == 539
    assert pruner.sampling_strategy_ == dict(zip(*np.unique(y_kept, return_counts=True), strict=True))


@pytest.mark.parametrize("learner", ["logistic", "ridge"])
def test_its_default_is_that_of_prune(learner):
    X, y = load_iris(return_X_y=True)
    pruner = Pruner(keep=0.5, learner=learner).fit(X, y)
    table, coreset = unseen.prune(X, y, keep=0.5, learner=learner)
    assert pruner.scores_.provenance["plan"] == table.provenance["plan"]
    assert table.provenance["plan"]["plan"] == {"logistic": "halves", "ridge": "folds"}[learner]
    np.testing.assert_array_equal(pruner.sample_indices_, coreset.indices)
    assert Pruner(keep=0.5, plan=3, learner=learner).fit(X, y).scores_.provenance["plan"]["k"] == 3


def test_groups_stay_in_one_fold_as_with_prune():
    X, y = load_iris(return_X_y=True)
    groups = np.arange(150) // 3
    pruner = clone(Pruner(keep=0.5, learner=GaussianNB(), groups=groups)).fit(X, y)
    folds = pruner.scores_.folds[0]
    assert all(len(set(folds[groups == g])) == 1 for g in range(50))
    table = unseen.score(X, y, learner=GaussianNB(), groups=groups)
    np.testing.assert_array_equal(pruner.scores_.values["el2n"], table.values["el2n"])
    copies = X[101] == X[142]
    assert copies.all(), "iris holds a pair of copies"
    apart = [
        Pruner(learner=GaussianNB(), groups=bound, random_state=seed).fit(X, y).scores_.folds[0, [101, 142]]
        for bound in ("duplicates", None)
        for seed in range(4)
    ]
    assert [a == b for a, b in apart[:4]] == [True] * 4
    assert not all(a == b for a, b in apart[4:]), "None parts them, with some seed"
    with pytest.raises(unseen.ArgumentError, match="groups must have one entry for each of 150 samples, got 149"):
        Pruner(groups=groups[1:]).fit(X, y)


def test_labels_of_any_kind_come_back_as_they_were():
    X, y = load_iris(return_X_y=True)
    pruner = Pruner(keep=30, learner=GaussianNB())
    expected = pruner.fit(X, y).sample_indices_
    names = np.array(["setosa", "versicolor", "virginica"])
    for labels in (names[y], names[y].astype(object), y - 1, y * 10.0, np.eye(3, dtype=int)[y], [int(v) for v in y]):
        _, kept = pruner.fit_resample(X, labels)
        assert type(kept) is type(labels)
        np.testing.assert_array_equal(pruner.sample_indices_, expected)
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(labels)[expected])


def test_tables_with_text_and_missing_entries():
    X, y = load_iris(return_X_y=True)
    table = X.astype(object)
    table[:, 0] = np.where(X[:, 0] > 5.5, "long", "short")
    table[3, 1], table[5, 0] = np.nan, None
    kept, _ = Pruner(keep=0.4, plan=2, learner="logistic").fit_resample(table, y)
    assert kept.dtype == object
    assert kept.shape == (60, 4)


def test_arrow_tables_keep_their_type_and_lists_stay_lists():
    X, y = load_iris(return_X_y=True)
    arrow = pa.table({f"f{i}": X[:, i] for i in range(4)})
    kept, _ = Pruner(keep=20, plan=2).fit_resample(arrow, y)
    assert isinstance(kept, pa.Table)
    assert kept.num_rows == 20
    kept, labels = Pruner(keep=20, plan=2).fit_resample(X.tolist(), y.tolist())
    assert isinstance(kept, list)
    assert isinstance(labels, list)
    assert len(kept) == len(labels) == 20


def test_data_frames_keep_index_types_and_names():
    pd = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    X = X.assign(kind=pd.Categorical(["a", "b", "c"] * 50)).set_index(pd.Index([f"s{i}" for i in range(150)]))
    pruner = Pruner(keep=0.2, learner="logistic")
    kept, labels = pruner.fit_resample(X, y)
    assert kept.dtypes.equals(X.dtypes)
    assert list(kept.index) == [f"s{i}" for i in pruner.sample_indices_]
    assert list(pruner.feature_names_in_) == list(X.columns)
    assert labels.equals(y.iloc[pruner.sample_indices_])


def test_in_a_pipeline_it_acts_on_training_only():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), Pruner(keep=0.5, plan=2), LogisticRegression(max_iter=500))
    model.fit(X[:1200], y[:1200])
    assert len(model.predict(X[1200:])) == 597
    assert model.score(X[1200:], y[1200:]) > 0.85
    # The classifier was trained on the kept half and on nothing else.
    kept = model[1].sample_indices_
    again = LogisticRegression(max_iter=500).fit(model[0].transform(X[:1200])[kept], y[:1200][kept])
    np.testing.assert_array_equal(model[2].coef_, again.coef_)
    assert len(kept) == 600


def test_grid_search_over_keep():
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(Pruner(plan=2, learner=GaussianNB()), GaussianNB())
    search = GridSearchCV(model, {"pruner__keep": [0.2, 0.8], "pruner__rule": ["top", "stratified"]}, cv=3)
    search.fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_score_ > 0.9
    assert len(search.best_estimator_[0].sample_indices_) == round(150 * search.best_params_["pruner__keep"])


def test_each_member_of_a_bagging_ensemble_learns_from_a_kept_part():
    X, y = load_iris(return_X_y=True)
    pruner = Pruner(keep=0.5, plan=2, learner=GaussianNB(), groups=None)  # a bootstrap repeats samples
    model = BalancedBaggingClassifier(GaussianNB(), sampler=pruner, n_estimators=3, random_state=0).fit(X, y)
    assert [one[0].coreset_.n for one in model.estimators_] == [150] * 3
    assert [one[1].class_count_.sum() for one in model.estimators_] == [75] * 3
    assert len({tuple(one[0].sample_indices_) for one in model.estimators_}) == 3
    assert model.score(X, y) > 0.9


def test_parameters_of_the_learner_are_parameters_of_the_pruner():
    pruner = Pruner(learner=RandomForestClassifier(n_estimators=3))
    pruner.set_params(learner__n_estimators=4, plan=unseen.folds(3, repeats=2))
    assert clone(pruner).get_params()["learner__n_estimators"] == 4
    X, y = load_iris(return_X_y=True)
    assert clone(pruner).fit(X, y).scores_.values["el2n"].shape == (2, 150)
    assert not hasattr(pruner.learner, "estimators_"), "the learner that was passed must stay unfitted"


def test_random_state():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]

    def kept(state):
        return (
            Pruner(keep=0.2, plan=2, rule="random", learner=GaussianNB(var_smoothing=1e-2), random_state=state)
            .fit(X, y)
            .sample_indices_.tolist()
        )

    before = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is not touched is the point
    assert kept(0) == kept(0) != kept(1)
    assert kept(np.random.RandomState(0)) == kept(np.random.RandomState(0))
    assert kept(None) != kept(None)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    with pytest.raises(unseen.ArgumentError, match="random_state must be an integer, a RandomState or None, got 'a'"):
        kept("a")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"keep": 0}, "keep"),
        ({"keep": 151}, "keep"),
        ({"sample_score": "el3n"}, "did you mean 'el2n'"),
        ({"rule": "tops"}, "did you mean 'top'"),
        ({"sample_score": "dual"}, "has no epochs"),
        ({"plan": 1}, "k must be an integer of at least 2"),
    ],
)
def test_what_cannot_be_met_is_refused_before_training(changed, message):
    class Untrained(LogisticRegression):
        def fit(self, X, y):
            raise AssertionError("trained")

    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        Pruner(learner=Untrained(), **{"keep": 0.5, **changed}).fit(X, y)


def test_multilabel_targets_are_refused():
    with pytest.raises(unseen.DataError, match="one class a sample"):
        Pruner().fit(np.zeros((4, 1)), np.array([[1, 1], [0, 1], [1, 0], [0, 1]]))


@pytest.mark.slow
def test_without_imbalanced_learn():
    code = """
import sys
sys.modules["imblearn"] = None  # importing it raises ImportError
from sklearn.datasets import load_iris
from unseen import Pruner
X, y = load_iris(return_X_y=True)
assert len(Pruner(keep=50).fit_resample(X, y)[0]) == 50
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
