"""Scores and coresets as frames."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, MissingDependencyError

IRIS = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
IRIS["species"] = np.array(["setosa", "versicolor", "virginica"])[IRIS["species"]]
IRIS.index = [f"flower-{i}" for i in range(150)]
PRUNED = unseen.prune(
    IRIS, label="species", keep=0.5, also=["margin"], plan=unseen.folds(3, repeats=2), learner=GaussianNB(), threads=1
)


def test_every_sample_with_the_index_of_the_frame():
    table, coreset = PRUNED
    frame = PRUNED.to_pandas()
    assert frame.index.equals(IRIS.index.rename("id"))
    assert frame["label"].tolist() == IRIS["species"].tolist()
    expected = [table.class_names[code] for code in table.predictions]
    assert frame["prediction"].tolist() == expected
    np.testing.assert_array_equal(frame["el2n"], table.column("el2n"))
    np.testing.assert_array_equal(frame["margin.1"], table.values["margin"][1])
    np.testing.assert_array_equal(frame["fold.1"], table.folds[1])
    np.testing.assert_array_equal(frame["kept"], coreset.mask)
    assert IRIS.join(frame)["kept"].sum() == 75
    assert IRIS.loc[coreset.to_pandas().index].equals(IRIS.iloc[coreset.indices])
    assert coreset.to_pandas()["row"].tolist() == coreset.indices.tolist()
    assert "kept" not in table.to_pandas()


def test_who_reads_arrow_or_rows():
    table, coreset = PRUNED
    arrow = table.to_arrow()
    assert pa.table(table).equals(arrow)
    assert PRUNED.to_arrow()["kept"].to_pylist() == coreset.mask.tolist()
    assert coreset.to_arrow()["id"].to_pylist() == coreset.ids.tolist()
    frame = pd.DataFrame(table)
    assert frame["id"].tolist() == table.ids.tolist()
    pd.testing.assert_frame_equal(frame.set_index("id"), table.to_pandas(), check_dtype=False)
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(table).columns == arrow.column_names


def test_without_a_prediction_there_is_none():
    table = ScoreTable.of("el2n", [0.1, 0.2], direction="harder", labels=[0, 1])
    table = ScoreTable(**{**table.__dict__, "predictions": np.array([-1, 1])})
    assert table.to_arrow()["prediction"].to_pylist() == [None, "1"]
    with pytest.raises(ArgumentError, match="coreset must be of the 2 samples of this table"):
        table.to_pandas(PRUNED.coreset)


def test_without_pandas_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"to_pandas\(\) needs the package 'pandas'"):
        PRUNED.to_pandas()
    assert len(PRUNED.to_arrow()) == 150
