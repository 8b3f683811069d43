"""Files for cleanlab: all samples in dataset order, held out."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_self_confidence_for_each_label
from sklearn.datasets import load_digits

import unseen
from unseen.errors import ArgumentError, DataError

KEEPING = "self_confidence@probabilities"
X, Y = load_digits(return_X_y=True)
X, Y = X[:200].astype(np.float32), Y[:200]


def scored(out, plan=None, learner="logistic", **more):
    return unseen.prune(
        (X, Y), keep=0.5, rule="top", learner=learner, plan=plan or unseen.folds(2), out=out, threads=1, **more
    )


def scored_in(out, **more):
    scored(out, **more)
    return out


def arrays(folder):
    return [np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("pred_probs", "labels", "ids")]


@pytest.mark.parametrize(
    ("plan", "learner"),
    [
        (unseen.folds(2), "logistic"),
        (unseen.folds(2, repeats=2), "logistic"),
        (unseen.halves(3), "logistic"),
        (unseen.folds(4), "ridge"),
        (unseen.leave_one_out(), "ridge"),
    ],
    ids=["folds", "repeats", "halves", "ridge", "one out"],
)
def test_cleanlab_reads_held_out_probabilities(tmp_path, plan, learner):
    run = scored(tmp_path / "run", plan, learner, also=["self_confidence"])
    out = unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")
    p, labels, ids = arrays(out)
    assert p.shape == (200, 10)
    assert p.dtype == np.float32
    assert labels.tolist() == Y.tolist()
    assert ids.tolist() == list(range(200))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    mean = np.nanmean(run.scores.values["self_confidence"], axis=0)
    np.testing.assert_allclose(get_self_confidence_for_each_label(labels, p), mean, atol=1e-5)
    assert len(find_label_issues(labels, p, n_jobs=1)) == 200
    assert sorted(path.name for path in out.iterdir()) == ["ids.npy", "labels.npy", "pred_probs.npy"]


def test_keeping_them_moves_no_score(tmp_path):
    kept = scored(tmp_path / "a", also=[KEEPING]).scores
    plain = scored(tmp_path / "b", also=["self_confidence"]).scores
    for name in ("el2n", "label_issue"):
        np.testing.assert_array_equal(kept.values[name], plain.values[name])
    np.testing.assert_array_equal(kept.values[KEEPING], plain.values["self_confidence"])


def test_a_run_that_kept_none_says_what_to_repeat(tmp_path, monkeypatch):
    monkeypatch.setattr("unseen.engine.scoring.KEPT_SIZE", len(X) * 10)
    unseen.export(scored_in(tmp_path / "small"), "cleanlab", tmp_path / "kept")
    monkeypatch.setattr("unseen.engine.scoring.KEPT_SIZE", len(X) * 10 - 1)
    unseen.export(scored_in(tmp_path / "large", also=[KEEPING]), "cleanlab", tmp_path / "again")
    for one, other in zip(arrays(tmp_path / "kept"), arrays(tmp_path / "again"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    scored(tmp_path / "run")
    with pytest.raises(ArgumentError, match=r"kept no probabilities; .* --also self_confidence@probabilities"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_in_sample_probabilities_are_refused(tmp_path):
    scored(tmp_path / "run", unseen.seen(), also=[KEEPING])
    with pytest.raises(ArgumentError, match="were trained on the samples they judge"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")


def test_several_steps_give_those_of_the_first_scoring(tmp_path):
    unseen.grow((X, Y), keep=0.3, learner="logistic", out=tmp_path / "run", threads=1)
    p, labels, ids = arrays(unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept"))
    assert labels.tolist() == Y.tolist()
    assert ids.tolist() == list(range(200))
    first = unseen.load(tmp_path / "run" / "parts" / "start").scores
    np.testing.assert_allclose(p[np.arange(200), Y], first.mean_confidence, atol=1e-5)
    assert (p.argmax(axis=1) == first.predictions).all()


def test_samples_that_nobody_judged_are_named(tmp_path):
    half = np.arange(200) < 100
    plan = unseen.Exposure(train=np.flatnonzero(half), watch=np.flatnonzero(~half)[:90])
    unseen.score((X, Y), scores=KEEPING, plan=plan, learner="logistic", out=tmp_path / "run", threads=1)
    with pytest.raises(DataError, match=r"no model judged 110 samples: rows 0, 1, 2, 3, 4, \.\.\. \(110 in all\)"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_results_in_memory_are_gone(tmp_path):
    with pytest.raises(ArgumentError, match="needs the directory of a run"):
        unseen.export(scored(None, also=[KEEPING]), "cleanlab", tmp_path / "kept")
