"""Regressors of scikit-learn as learners of a target: the loss is the squared residual of a model that never saw it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

import unseen
from unseen.data import from_arrays, from_frame
from unseen.errors import DataError
from unseen.learners import SklearnLearner, resolve
from unseen.learners.registry import default_learner
from unseen.learners.sklearn import last_step
from unseen.testing import check_learner

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
TARGET = 30 * X[:, 0] + 5 * RNG.normal(size=120) + 1000
CITY = RNG.choice(["Rome", "Oslo", "Lima"], 120)
TEXTS = np.array([f"{city} {'warm' if x > 0 else 'cold'} day" for city, x in zip(CITY, X[:, 0], strict=True)], object)


def frame():
    rows = pd.DataFrame({"x": X[:, 0], "city": CITY, "gap": X[:, 1], "pay": TARGET})
    rows.loc[::7, "gap"] = None
    return rows


def test_losses_are_the_residuals_of_models_of_the_other_folds():
    table = unseen.score(X, target=TARGET, learner=LinearRegression(), plan=unseen.folds(3), seed=1, threads=1)
    folds = table.folds[0]
    for fold in range(3):
        held = folds == fold
        model = LinearRegression().fit(X[~held], TARGET[~held])
        residuals = np.abs(TARGET - model.predict(X))[held]
        np.testing.assert_allclose(np.sqrt(table.column("loss")[held]), residuals, atol=2e-3)  # inputs are float32


def test_what_was_seen_is_judged_by_the_model_that_saw_it():
    plan = unseen.Exposure(train=[np.arange(60)], watch=[np.arange(60, 120)])
    wrong = TARGET.copy()
    wrong[90] += 1e4
    table = unseen.score(X, target=wrong, learner=Ridge(), plan=plan)
    assert table.column("loss")[60:].argmax() == 30
    assert table.column("loss")[90] == pytest.approx(1e8, rel=0.02)


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (lambda: from_frame(frame(), target="pay"), "hist_gradient_boosting", HistGradientBoostingRegressor),
        (lambda: from_arrays(TEXTS, target=TARGET), "tfidf", Ridge),
        (lambda: from_arrays(X, target=TARGET), "ridge", None),
    ],
)
def test_each_kind_of_data_with_a_target_has_a_default_that_learns_it(data, name, kind):
    data = data()
    assert default_learner(data) == name
    if kind is not None:
        assert isinstance(last_step(resolve(None, data).estimator), kind)
    scores, coreset = unseen.prune(data, keep=0.5)
    assert "by trimmed" in repr(coreset)
    assert len(coreset) == 60
    # What is held out is explained by the rest: the median residual is far below the spread of the target.
    assert np.sqrt(np.median(scores.column("loss"))) < 0.6 * TARGET.std()


@pytest.mark.parametrize("name", ["forest", "extra_trees", "hist_gradient_boosting"])
def test_trees_by_name_are_regressors_for_a_target(name):
    data = from_frame(frame(), target="pay")
    learner = resolve(f"{name}:max_leaf_nodes=8", data)
    assert learner.regresses
    assert type(last_step(learner.estimator)).__name__.endswith("Regressor")


def test_a_regressor_conforms():
    check_learner(RandomForestRegressor(5), from_arrays(X[:60], target=TARGET[:60]))
    check_learner(make_pipeline(TfidfVectorizer(), Ridge()), from_arrays(TEXTS[:60], target=TARGET[:60]))


def test_the_estimator_must_fit_what_is_learned():
    with pytest.raises(DataError, match=r"Ridge is a regressor, but this data set has labels.*target="):
        unseen.score(X, CITY, learner=Ridge())
    with pytest.raises(DataError, match=r"GaussianNB learns classes, but this data set has a target; use .*forest"):
        unseen.score(X, target=TARGET, learner=GaussianNB())
    with pytest.raises(DataError, match=r"learner 'logistic'|LogisticRegression learns classes"):
        unseen.score(X, target=TARGET, learner="logistic")


class Broken(DummyRegressor):
    def predict(self, X):
        return np.where(np.arange(len(X)) == 1, np.nan, 0.0)


class Wide(DummyRegressor):
    def predict(self, X):
        return np.zeros((len(X), 2))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [(Broken(), "predict must give finite numbers, but gives nan for id "), (Wide(), r"got shape \(\d+, 2\)")],
)
def test_predictions_that_are_no_numbers_are_refused(estimator, message):
    with pytest.raises(DataError, match=message):
        unseen.score(X, target=TARGET, learner=SklearnLearner(estimator))
