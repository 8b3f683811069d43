"""Ridge in closed form as a learner: what it chooses, what it says of itself, what it refuses."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

import unseen
from unseen.data import from_arrays
from unseen.errors import ArgumentError, DataError
from unseen.learners import LEARNERS, RidgeLearner, resolve
from unseen.learners.ridge import learner as ridge

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=120) * 0.5 > 0).astype(int) + (X[:, 1] > 1)


def scored(learner="ridge", plan=None, x=X, y=Y, **more):
    return unseen.score(x, y, plan=plan or unseen.leave_one_out(), learner=learner, threads=1, **more)


def test_it_learns():
    for plan in (unseen.leave_one_out(), unseen.folds(5), unseen.halves(2)):
        assert (scored(plan=plan).predictions == Y).mean() > 0.6
    assert "ridge" in LEARNERS


def test_leave_one_out_is_one_fit_and_says_the_plan_it_is():
    told = []
    table = scored(report=lambda kind, **fields: told.append((kind, fields)))
    assert [fields["fits"] for kind, fields in told if kind == "plan"] == [1]
    assert table.provenance["plan"] == {"plan": "leave_one_out"}
    assert np.isfinite(table.column("el2n")).all()


def test_leave_one_out_has_no_limit():
    n = 10_001
    x = RNG.normal(size=(n, 2)).astype(np.float32)
    assert np.isfinite(scored("ridge:lam=1.0", x=x, y=(x[:, 0] > 0).astype(int)).column("el2n")).all()


def test_lambda_is_that_of_least_leave_one_out_error():
    data = from_arrays(X, Y)
    lam, _ = RidgeLearner()._tuned(data, np.arange(120), np.arange(120), 0)
    grid = ridge.GRID * ridge._mean_eigenvalue(X.astype(float))
    chosen = RidgeCV(alphas=grid, scoring=None).fit(X.astype(float), np.eye(3)[Y]).alpha_
    assert lam == pytest.approx(chosen)


def test_the_choice_reads_training_rows_only():
    """Another label of a held-out sample changes its own scores only, but for the rounding of sums subtracted."""
    plan = unseen.Exposure(train=np.arange(80), watch=np.arange(80, 120))
    y = Y.copy()
    y[80:] = (y[80:] + 1) % 3
    before, after = (scored("ridge", plan, y=labels, scores="entropy").column("entropy")[80:] for labels in (Y, y))
    np.testing.assert_allclose(before, after, rtol=1e-12)


def test_same_seed_same_numbers(monkeypatch):
    monkeypatch.setattr(ridge, "SAMPLE", 40)
    first, again, other = (scored(plan=unseen.folds(3), seed=seed).values["el2n"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_temperature_divides_raw_outputs():
    warm, raw = (scored(f"ridge:lam=2,temperature={t}", scores="label_margin:space=logits") for t in (4, 1))
    name = next(iter(raw.values))
    np.testing.assert_allclose(4 * warm.column(name), raw.column(name), rtol=1e-12)


def test_it_says_what_saw_labels():
    assert "lam and temperature, by leave-one-out" in RidgeLearner().describe()["fitted_on_labels"]
    assert RidgeLearner(2, 1).describe() == {"learner": "ridge", "lam": 2.0, "temperature": 1.0}


def test_it_prunes():
    _, coreset = unseen.prune(X, Y, keep=0.5, learner="ridge", plan=unseen.leave_one_out(), rule="top")
    assert len(coreset.ids) == 60


def test_sums_do_not_travel():
    learner = RidgeLearner()
    scored(learner, unseen.folds(4))
    assert learner._whole
    assert pickle.loads(pickle.dumps(learner))._whole == []


def test_constant_columns_and_more_columns_than_rows():
    x = np.concatenate([np.ones((30, 1)), RNG.normal(size=(30, 50))], axis=1).astype(np.float32)
    for plan in (unseen.leave_one_out(), unseen.folds(3)):
        assert np.isfinite(scored(plan=plan, x=x, y=np.arange(30) % 2).column("el2n")).all()


# Refusals


@pytest.mark.parametrize("options", ["lam=0", "lam=-1", "lam=big", "temperature=0", "lam=True"])
def test_options_out_of_range(options):
    with pytest.raises(ArgumentError, match="must be a number above 0, or 'auto'"):
        resolve(f"ridge:{options}", from_arrays(X, Y))


def test_unknown_option():
    with pytest.raises(ArgumentError, match="learner 'ridge' has no option 'alpha'; its options: lam, temperature"):
        resolve("ridge:alpha=1", from_arrays(X, Y))


def test_other_kinds_of_data():
    with pytest.raises(DataError, match="text data: pass embeddings"):
        scored(x=np.array(["a b", "c"] * 5), y=np.arange(10) % 2)
    with pytest.raises(DataError, match="image data: pass embeddings"):
        scored(x=np.zeros((10, 4, 4), np.uint8), y=np.arange(10) % 2)


def test_one_class():
    with pytest.raises(DataError, match="at least 2 classes, but every label is 'a'"):
        scored(x=X[:5], y=["a"] * 5)
    plan = unseen.Exposure(train=np.flatnonzero(Y == 0), watch=np.flatnonzero(Y == 1))
    with pytest.raises(DataError, match=r"cannot learn from fit r0f0: it needs samples of at least 2 classes"):
        scored(plan=plan)


def test_nan_of_a_data_set_that_did_not_look():
    data = from_arrays(X.copy(), Y)
    data.array[5, 2] = np.nan
    with pytest.raises(DataError, match="features must be finite, but they are NaN or infinite for ids 5"):
        unseen.score(data, plan=unseen.folds(3), learner="ridge", groups=None)


def test_a_penalty_below_working_precision():
    x = np.concatenate([X, X], axis=1) * 1e6
    with pytest.raises(DataError, match="is too small for"):
        scored("ridge:lam=1e-30", unseen.folds(3), x=x)
