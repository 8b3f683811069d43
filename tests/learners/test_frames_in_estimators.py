"""Estimators of scikit-learn are given the frames that people have, with names and types."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import unseen
from unseen.data import resolve
from unseen.data.parts import Joined, Part

N = 120
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "job": pd.Categorical(RNG.choice(["clerk", "cook", "smith"], N), categories=["cook", "clerk", "smith", "king"]),
        "age": RNG.integers(18, 80, N),
        "pay": pd.array(RNG.normal(40, 5, N), dtype="Float64"),
        "member": RNG.choice([True, False], N),
    }
)
LABELS = pd.Series(np.where(FRAME["age"] > 45, "old", "young"), name="class")
TWO = unseen.folds(2)


class Witness(ClassifierMixin, BaseEstimator):
    """Keeps what it is given."""

    given: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.given.append(X)
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        self.given.append(X)
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


@pytest.fixture
def given():
    Witness.given.clear()
    return Witness.given


PIPELINES = {
    "names": lambda: make_column_transformer((OneHotEncoder(), ["job"]), remainder="passthrough"),
    "selector": lambda: make_column_transformer(
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_include="category")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    ),
    "set_output": lambda: make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["job"]), (SimpleImputer(), ["age", "pay"])
    ).set_output(transform="pandas"),
}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_pipelines_that_name_columns(pipeline):
    learner = make_pipeline(PIPELINES[pipeline](), LogisticRegression(max_iter=2000))
    table, coreset = unseen.prune(FRAME, LABELS, keep=0.5, learner=learner, plan=TWO)
    assert (table.predictions == table.labels).mean() > 0.9
    pruner = unseen.Pruner(keep=0.5, learner=learner, plan=2)
    kept, _ = pruner.fit_resample(FRAME, LABELS)
    np.testing.assert_array_equal(pruner.sample_indices_, coreset.indices)
    np.testing.assert_array_equal(pruner.scores_.column("el2n"), table.column("el2n"))
    assert kept.dtypes.equals(FRAME.dtypes)
    assert list(pruner.feature_names_in_) == list(FRAME.columns)
    found = unseen.evaluate(FRAME.assign(label=LABELS), coresets=coreset, learner=learner, seeds=1)
    assert found.about["test"]["by"] == "probe split"


@pytest.mark.parametrize("kind", ["mixed", "numbers"])
def test_names_and_types_arrive(given, kind):
    frame = FRAME if kind == "mixed" else FRAME[["age"]].assign(height=RNG.normal(size=N).astype(np.float32))
    unseen.score(frame.assign(y=LABELS), label="y", learner=Witness(), plan=TWO)
    assert len(given) == 4
    for X in given:
        assert X.dtypes.equals(frame.dtypes)
        assert X.columns.equals(frame.columns)
    assert sorted(pd.concat(given[:2]).index) == list(range(N))


def test_rows_of_a_frame_are_those_asked_for():
    data = resolve(FRAME.assign(y=LABELS), label="y", features=["age", "job"])
    rows = np.array([7, 3, 3])
    pd.testing.assert_frame_equal(data.as_frame(rows), FRAME[["age", "job"]].iloc[rows])
    part = Part(data, np.array([5, 7]))
    assert part.as_frame(np.array([1]))["age"].tolist() == [FRAME["age"][7]]
    both = Joined(data, part)
    assert both.as_frame(np.array([N, 4 + N - 3]))["age"].tolist() == FRAME["age"][[5, 7]].tolist()
    assert both.as_frame(np.array([3]))["age"].tolist() == [FRAME["age"][3]]
    assert Joined(data, resolve((data.take(np.arange(4)), LABELS[:4]))).as_frame(np.array([3])) is None


def test_polars_frames_arrive_as_they_are(given):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"age": FRAME["age"].tolist(), "job": FRAME["job"].tolist(), "y": LABELS.tolist()})
    unseen.score(frame, label="y", learner=Witness(), plan=TWO, groups=None)
    assert all(isinstance(X, polars.DataFrame) and X.columns == ["age", "job"] for X in given)


def test_learners_by_name_and_arrays_stay_as_they_were(given):
    unseen.score(FRAME, LABELS, learner="hist_gradient_boosting", plan=TWO)
    unseen.score(FRAME[["age"]].to_numpy(), LABELS, learner=Witness(), plan=TWO, groups=None)
    assert all(isinstance(X, np.ndarray) for X in given)
