"""What goes from and to cleanlab and datasets, by these libraries; docs/beside_other_tools.md names each test."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

import unseen
from unseen.core.table import ScoreTable

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "beside_other_tools.md").read_text()
X, Y = load_iris(return_X_y=True)
WRONG = np.array([3, 11, 20, 33, 45])
NOISY = Y.copy()
NOISY[WRONG] = (NOISY[WRONG] + 1) % 3


@pytest.fixture(name="held_out", scope="module")
def held_out_fixture(tmp_path_factory):
    """The scores of iris with five wrong labels, and what is exported for cleanlab."""
    folder = tmp_path_factory.mktemp("held_out")
    run = unseen.prune(X, NOISY, keep=0.8, plan=unseen.folds(5), learner="logistic", out=folder / "run")
    out = unseen.export(folder / "run", "cleanlab", folder / "cl")
    return run.scores, np.load(out / "pred_probs.npy"), np.load(out / "labels.npy")


def test_the_quality_that_cleanlab_finds_is_a_score(held_out):
    rank = pytest.importorskip("cleanlab.rank", reason="pip install cleanlab")
    _, probabilities, labels = held_out
    quality = rank.get_label_quality_scores(labels, probabilities)
    table = ScoreTable.of("quality", quality, direction="worth", labels=labels)
    kept = unseen.select(table, keep=100, rule="top")
    for label in range(3):  # of each class the best, in proportion
        chosen = kept.indices[labels[kept.indices] == label]
        np.testing.assert_array_equal(np.sort(quality[chosen]), np.sort(quality[labels == label])[-len(chosen) :])
    assert not set(WRONG) & set(kept.indices.tolist())


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # of pandas, to cleanlab
def test_datalab_reads_held_out_probabilities(held_out):
    datalab = pytest.importorskip("cleanlab.datalab.datalab", reason="pip install 'cleanlab[datalab]'")
    scores, probabilities, labels = held_out
    from cleanlab.filter import find_label_issues

    lab = datalab.Datalab({"y": labels}, label_name="y", verbosity=0)
    # In this process: a pool forked from one with threads may hang.
    alone = {"clean_learning_kwargs": {"find_label_issues_kwargs": {"n_jobs": 1}}}
    lab.find_issues(pred_probs=probabilities, issue_types={"label": alone})
    joined = scores.to_pandas().join(lab.get_issues("label"))
    assert len(joined) == 150
    issues = find_label_issues(labels, probabilities, n_jobs=1).nonzero()[0]
    assert set(joined.index[joined["is_label_issue"]]) == set(issues)
    assert joined.loc[joined["is_label_issue"], "el2n"].min() > joined["el2n"].median()


def test_a_coreset_selects_from_a_hugging_face_data_set():
    datasets = pytest.importorskip("datasets", reason="pip install datasets")
    columns = {f"x{at}": X[:, at] for at in range(4)}
    species = datasets.Features(
        {name: datasets.Value("float64") for name in columns} | {"label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    ds = datasets.Dataset.from_dict({**columns, "label": Y}, features=species)
    scores, coreset = unseen.prune(ds, keep=0.4, plan=unseen.folds(3), learner="logistic")
    kept = ds.select(coreset.indices)
    assert scores.class_names == ("a", "b", "c")
    assert len(kept) == 60
    assert kept["label"] == Y[coreset.indices].tolist()
    assert kept["x2"] == X[coreset.indices, 2].tolist()


def test_the_page_names_tests_that_there_are():
    """Every cell of the table of what goes over names one; and the page stays short."""
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", tests, flags=re.M))
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= there
    rows = PAGE.partition("## What goes from one to the other")[2].split("\n|")[3:]
    assert len(rows) == 5
    for row in rows:
        _, comes, goes = row.strip(" |").split(" | ")
        assert "`test_" in comes, row
        assert "`test_" in goes or "(the same test)" in goes, row
    assert len(PAGE.splitlines()) < 80
