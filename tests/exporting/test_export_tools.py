"""Files for cleanlab and FiftyOne: all samples in dataset order, held out; nulls where nothing was measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_self_confidence_for_each_label
from sklearn.datasets import load_digits
from small_exports import coreset_of, photos, table_of

import unseen
from unseen.data import from_arrays, from_folder
from unseen.errors import ArgumentError, DataError
from unseen.pruning import Scored
from unseen.types import Coreset

KEEPING = "self_confidence@probabilities"
X, Y = load_digits(return_X_y=True)
X, Y = X[:200].astype(np.float32), Y[:200]


def scored(out, plan=None, learner="logistic", **more):
    return unseen.prune(
        (X, Y), keep=0.5, rule="top", learner=learner, plan=plan or unseen.folds(2), out=out, threads=1, **more
    )


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
    run = scored(tmp_path / "run", plan, learner, also=[KEEPING])
    out = unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")
    p, labels, ids = arrays(out)
    assert p.shape == (200, 10)
    assert p.dtype == np.float32
    assert labels.tolist() == Y.tolist()
    assert ids.tolist() == list(range(200))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    mean = np.nanmean(run.scores.values[KEEPING], axis=0)
    np.testing.assert_allclose(get_self_confidence_for_each_label(labels, p), mean, atol=1e-5)
    assert len(find_label_issues(labels, p, n_jobs=1)) == 200
    assert sorted(path.name for path in out.iterdir()) == ["ids.npy", "labels.npy", "pred_probs.npy"]


def test_keeping_them_moves_no_score(tmp_path):
    kept = scored(tmp_path / "a", also=[KEEPING]).scores
    plain = scored(tmp_path / "b", also=["self_confidence"]).scores
    for name in ("el2n", "label_issue"):
        np.testing.assert_array_equal(kept.values[name], plain.values[name])
    np.testing.assert_array_equal(kept.values[KEEPING], plain.values["self_confidence"])


def test_a_run_that_kept_none_says_what_to_repeat(tmp_path):
    scored(tmp_path / "run")
    with pytest.raises(ArgumentError, match=r"kept no probabilities; .* --also self_confidence@probabilities"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_in_sample_probabilities_are_refused(tmp_path):
    scored(tmp_path / "run", unseen.seen(), also=[KEEPING])
    with pytest.raises(ArgumentError, match="were trained on the samples they judge"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")


def test_several_steps_keep_none(tmp_path):
    unseen.grow((X, Y), keep=0.3, steps=1, folds=2, learner="logistic", out=tmp_path / "run", threads=1)
    with pytest.raises(ArgumentError, match="holds no results of fits of its own, as runs of several steps do"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")


def test_samples_that_nobody_judged_are_named(tmp_path):
    half = np.arange(200) < 100
    plan = unseen.Exposure(train=np.flatnonzero(half), watch=np.flatnonzero(~half)[:90])
    unseen.score((X, Y), scores=KEEPING, plan=plan, learner="logistic", out=tmp_path / "run", threads=1)
    with pytest.raises(DataError, match=r"no model judged 110 samples: rows 0, 1, 2, 3, 4, \.\.\. \(110 in all\)"):
        unseen.export(tmp_path / "run", "cleanlab", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_results_in_memory_are_gone(tmp_path):
    with pytest.raises(ArgumentError, match="needs the directory of a run"):
        unseen.export(scored(None, also=[KEEPING]), "cleanlab", tmp_path / "kept")


def test_fiftyone_gets_fields_by_path(tmp_path):
    source = photos(tmp_path / "photos")
    data = from_folder(source)
    table = table_of(data, mean_confidence=np.full(12, 0.25), predictions=np.array([-1, *[2] * 11]))
    table.values["el2n"][0, 3] = np.nan
    out = unseen.export(Scored(table, coreset_of(data, [0, 4, 8])), "fiftyone", tmp_path / "f.json", data=source)
    found = json.loads(out.read_text())
    assert found["key_field"] == "filepath"
    fields = found["fields"]
    assert sorted(fields) == ["unseen_confidence", "unseen_el2n", "unseen_kept", "unseen_prediction"]
    paths = [str(source.absolute() / name) for name in data.ids]
    assert all(list(values) == paths for values in fields.values())
    assert all(path in fields["unseen_kept"] for path in map(str, source.rglob("*.png")))
    assert list(fields["unseen_kept"].values()) == [row in (0, 4, 8) for row in range(12)]
    assert list(fields["unseen_el2n"].values())[:5] == [0.0, 1.0, 2.0, None, 4.0]
    assert list(fields["unseen_prediction"].values())[:2] == [None, "owl"]
    assert fields["unseen_confidence"][paths[0]] == 0.25


def test_fiftyone_of_a_coreset_alone(tmp_path):
    source = photos(tmp_path / "photos")
    out = unseen.export(coreset_of(from_folder(source), [0, 4]), "fiftyone", tmp_path / "f.json", data=source)
    fields = json.loads(out.read_text())["fields"]
    assert list(fields) == ["unseen_kept"]
    assert sum(fields["unseen_kept"].values()) == 2
    vectors = from_arrays(X, Y)
    with pytest.raises(ArgumentError, match="the data set must be a folder of images"):
        unseen.export(Coreset(np.arange(3), np.arange(3), 200), "fiftyone", tmp_path / "g.json", data=vectors)
