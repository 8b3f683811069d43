"""Law 3: with explicit ids, shuffling the rows moves the scores with their ids and changes nothing else."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import unseen
from unseen.core import seeds

N = 400


def digits(order, kind):
    x, y = load_digits(return_X_y=True)
    ids = np.arange(N) * 7 + 3
    ids = ids if kind == "numbers" else np.array([f"img/{i:05d}.png" for i in ids])
    return unseen.data.from_arrays(x[:N][order].astype(np.float32), y[:N][order], ids=ids[order])


def assert_moves_with_ids(learner, kind="numbers", tolerance=0.0):
    shuffled = np.random.default_rng(0).permutation(N)
    tables, coresets = zip(
        *(
            unseen.prune(digits(order, kind), keep=0.3, learner=learner, plan=unseen.folds(4, repeats=2), threads=1)
            for order in (np.arange(N), shuffled)
        ),
        strict=True,
    )
    np.testing.assert_array_equal(tables[0].ids[shuffled], tables[1].ids)
    np.testing.assert_array_equal(tables[0].folds[:, shuffled], tables[1].folds)
    np.testing.assert_allclose(
        tables[0].values["el2n"][:, shuffled], tables[1].values["el2n"], rtol=tolerance, atol=tolerance
    )
    assert set(coresets[0].ids) == set(coresets[1].ids)


@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_scikit_learn(kind):
    # Trained sample by sample: another order would be another model.
    learner = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", max_iter=5, tol=None))
    assert_moves_with_ids(learner, kind, tolerance=1e-12)


def test_torch():
    assert_moves_with_ids("mlp:epochs=2", tolerance=1e-5)


def test_planted_order_of_rows_is_caught(monkeypatch):
    monkeypatch.setattr(seeds, "order", lambda seed, ids, *purpose: np.arange(len(ids)))
    learner = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", max_iter=5, tol=None))
    with pytest.raises(AssertionError):
        assert_moves_with_ids(learner, tolerance=1e-12)
