"""Evaluations of a regression target: R² in place of accuracy, bins in place of classes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

import unseen
from unseen import rules
from unseen.data import from_arrays
from unseen.data.parts import Part
from unseen.errors import DataError
from unseen.evaluating.statistics import sampling_error

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 4))
T = X @ [1.0, 2.0, 3.0, 4.0] + RNG.normal(size=900) * 3
TRAIN, TEST = from_arrays(X[:600], target=T[:600]), from_arrays(X[600:], target=T[600:])
HALF = rules.random(600, keep=0.5, seed=1)


def evaluated(coresets=HALF, **changes):
    options = {"test": TEST, "learner": LinearRegression(), "seeds": 3, "threads": 1}
    return unseen.evaluate(TRAIN, coresets=coresets, **{**options, **changes})


def r2(rows):
    return r2_score(T[600:], LinearRegression().fit(X[rows], T[rows]).predict(X[600:]))


def test_accuracy_is_r2_of_the_test_set(tmp_path):
    found = evaluated(out=tmp_path / "run")
    assert found["full"].accuracy == pytest.approx([r2(np.arange(600))] * 3, abs=1e-6)  # inputs are float32
    assert found["coreset"].accuracy == pytest.approx([r2(HALF.indices)] * 3, abs=1e-6)
    loss = r2(HALF.indices) - r2(np.arange(600))
    assert found.difference("coreset", "full").mean == pytest.approx(loss, abs=1e-6)
    assert found.metric == "R²"
    assert "| R² |" in found.to_markdown()
    again = evaluated(out=tmp_path / "run")  # nothing is trained again
    for one in (unseen.Evaluation.load(tmp_path / "run"), again):
        assert one.to_markdown() == found.to_markdown()


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_a_test_set_may_be_inputs_and_the_target(kind):
    inputs = kind(X)
    options = {"coresets": HALF, "learner": LinearRegression(), "seeds": 1, "threads": 1}
    found = unseen.evaluate(inputs[:600], target=T[:600], test=(inputs[600:], T[600:]), **options)
    assert found["full"].accuracy == pytest.approx([r2(np.arange(600))], abs=1e-6)


def test_bins_of_the_target_are_what_classes_are_elsewhere():
    low = np.flatnonzero(T[:600] ** 2 < np.median(T[:600] ** 2))
    squared = np.hstack([X, X**2])
    data, test = (from_arrays(squared[rows], target=(T**2)[rows]) for rows in (slice(600), slice(600, 900)))
    coreset = unseen.Coreset(ids=low, indices=low, n=600)
    found = unseen.evaluate(data, coresets=coreset, test=test, learner="forest", seeds=3, threads=1)
    assert found["coreset"].by_class.shape == (3, 10)
    change = (found["coreset"].by_class - found["full"].by_class).mean(axis=0)
    counts = np.array(found.about["test"]["of_class"])
    assert change @ counts / counts.sum() == pytest.approx(found.difference("coreset", "full").mean), "bins add up"
    verdict = found.verdict("coreset", "full")
    assert verdict.word == "loses"
    assert "; bin " in verdict.text
    assert verdict.classes[0] in data.class_names
    assert "class" not in verdict.text


def test_a_verdict_on_r2_is_not_held_back_by_what_holds_for_counts():
    """300 test samples are too few to tell half a point of accuracy, but not of R² where the errors are small."""
    exact = X[:, 0] + 0.01 * RNG.normal(size=900)
    data, test = (from_arrays(X[rows], target=exact[rows]) for rows in (slice(600), slice(600, 900)))
    found = unseen.evaluate(data, coresets=HALF, test=test, learner=LinearRegression(), seeds=3, threads=1)
    assert found.verdict("coreset", "full").word == "lossless"


@pytest.mark.parametrize("paired", [False, True])
def test_the_sampling_error_of_r2_is_its_spread_over_test_sets(paired):
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(1000):
        targets = rng.normal(size=200)
        residuals = rng.normal(size=200) * 0.5 * (1 + abs(targets))
        others = residuals + 0.3 * rng.normal(size=200)
        quality, other = (1 - each**2 / targets.var() for each in (residuals, others))
        values = quality - other if paired else quality - 1
        means.append(values.mean())
        errors.append(sampling_error(values, targets))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.06)


def test_sweep_and_advise_compare_by_r2_and_choose_as_prune_does():
    swept = unseen.sweep(TRAIN, test=TEST, keep=[0.5], learner=LinearRegression(), seeds=2, threads=1)
    assert swept.methods == ["full", "random", "halves/loss/trimmed"]
    assert swept.accuracies("full", 600) == pytest.approx([r2(np.arange(600))] * 2)
    assert swept.caption().startswith("R² in %")
    told = {"test": TEST, "margin": 0.05, "step": 0.4, "threads": 1}
    advice = unseen.advise(TRAIN, learner=LinearRegression(), **told)
    assert (advice.method, advice.prune) == ("halves/loss/trimmed", 0.8)
    assert unseen.advise(TRAIN, quick=True, **told).estimate is not None


def test_a_test_set_of_equal_targets_is_refused():
    with pytest.raises(DataError, match="the target must vary in the test set, but all 2 test samples have the same"):
        evaluated(test=Part(from_arrays(X[600:603], target=[5.0, 5.0, 6.0]), np.arange(2)))
