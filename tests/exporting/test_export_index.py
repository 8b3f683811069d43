"""Index files: the same rows and ids, at any size, and nothing that a spreadsheet would compute."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from small_exports import coreset_of, table_of

import unseen
from unseen.data import from_arrays
from unseen.errors import ArgumentError, DataError, UnknownNameError
from unseen.pruning import Scored
from unseen.types import Coreset

IDS = np.array(["plain", "=1+1", "+1", "-1", "@sum", "\ttab", "\rcr", "\nlf", 'quote"d, x', "קול"])


def chosen(rows, ids=IDS):
    rows = np.asarray(rows)
    return Coreset(ids[rows], rows, len(ids), order=rows[::-1].copy(), sources=np.array(["=bad"] * len(rows)))


WANTED = [({}, [1, 4, 9]), ({"column": "row"}, [1, 4, 9]), ({"column": "id"}, IDS[[1, 4, 9]].tolist())]


@pytest.mark.parametrize(("options", "wanted"), WANTED)
def test_arrays_and_lines(tmp_path, options, wanted):
    array = np.load(unseen.export(chosen([1, 4, 9]), "npy", tmp_path / "a.npy", **options), allow_pickle=False)
    assert array.tolist() == wanted
    lines = unseen.export(chosen([1, 4, 9]), "txt", tmp_path / "a.txt", **options).read_text().splitlines()
    assert lines == [str(value) for value in wanted]


def test_ids_as_a_file_of_a_coreset_has_them_are_not_pickled(tmp_path):
    path = chosen([1, 4]).save(tmp_path / "coreset.parquet")
    array = np.load(unseen.export(path, "npy", tmp_path / "a.npy", column="id"), allow_pickle=False)
    assert array.tolist() == IDS[[1, 4]].tolist()


def test_an_id_with_a_line_break_is_no_line(tmp_path):
    with pytest.raises(DataError, match="an id holds a line break"):
        unseen.export(chosen([1, 7]), "txt", tmp_path / "a.txt", column="id")
    assert not list(tmp_path.iterdir())


def test_json_holds_all(tmp_path):
    coreset = chosen([1, 4, 9])
    found = json.loads(unseen.export(coreset, "json", tmp_path / "a.json").read_text())
    assert found["rows"] == [1, 4, 9]
    assert found["order"] == [9, 4, 1]
    assert found["ids"] == coreset.ids.tolist()
    assert (found["n"], found["kept"]) == (10, 3)


def test_csv_computes_nothing(tmp_path):
    data = from_arrays(np.eye(10), ["=cmd()", "ok"] * 5, ids=IDS)
    out = unseen.export(Scored(table_of(data), chosen(range(10))), "csv", tmp_path / "a.csv")
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "id", "label", "class", "pick", "source"]
    for row, wanted in zip(rows, IDS, strict=True):
        for name in ("id", "class", "source"):
            assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert row["id"].removeprefix("'") == wanted
    assert [row["pick"] for row in rows] == [str(pick) for pick in range(9, -1, -1)]
    assert {row["class"] for row in rows} == {"'=cmd()", "ok"}


def test_csv_of_a_coreset_alone(tmp_path):
    out = unseen.export(Coreset(np.array([-3, 5]), np.array([0, 1]), 2), "csv", tmp_path / "a.csv")
    assert out.read_text() == "row,id\n0,-3\n1,5\n"


@pytest.mark.parametrize("to", ["npy", "txt", "json", "csv"])
def test_as_many_as_imagenet_has(tmp_path, to):
    n = 1_281_167
    rows = np.flatnonzero(np.random.default_rng(0).random(n) < 0.7)
    out = unseen.export(Coreset(rows, rows, n), to, tmp_path / f"a.{to}")
    if to == "npy":
        assert np.array_equal(np.load(out), rows)
    else:
        lines = json.loads(out.read_text())["rows"] if to == "json" else out.read_text().split()
        assert len(lines) == len(rows) + (to == "csv")


def test_what_there_is_not_is_named(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown kind of export 'npz'; did you mean 'npy'"):
        unseen.export(chosen([1]), "npz", tmp_path / "a")
    with pytest.raises(ArgumentError, match="to='json' has no option 'column'; its options: none"):
        unseen.export(chosen([1]), "json", tmp_path / "a", column="id")
    with pytest.raises(ArgumentError, match="column must be 'row' or 'id', got 'rows'"):
        unseen.export(chosen([1]), "npy", tmp_path / "a", column="rows")


def test_an_open_data_set_is_no_coreset(tmp_path):
    data = from_arrays(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ArgumentError, match="there is no coreset to export in a ArrayData"):
        unseen.export(data, "npy", tmp_path / "a.npy")
    with pytest.raises(ArgumentError, match="holds no coreset; choose one with `unseen select`"):
        unseen.export(Scored(table_of(data), None), "npy", tmp_path / "a.npy")
    assert len(coreset_of(data, [0])) == 1
