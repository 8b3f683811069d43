"""Index files: the same rows and ids, at any size."""

from __future__ import annotations

import numpy as np
import pytest
from small_exports import coreset_of, table_of

import unseen
from unseen.core.coreset import Coreset
from unseen.data import from_arrays
from unseen.errors import ArgumentError, DataError, UnknownNameError
from unseen.pruning import Scored

IDS = np.array(["plain", "=1+1", "+1", "-1", "@sum", "\ttab", "\rcr", "\nlf", 'quote"d, x', "קול"])


def chosen(rows, ids=IDS):
    rows = np.asarray(rows)
    return Coreset(ids[rows], rows, len(ids), order=rows[::-1].copy(), sources=np.array(["=bad"] * len(rows)))


WANTED = [({}, [1, 4, 9]), ({"column": "row"}, [1, 4, 9]), ({"column": "id"}, IDS[[1, 4, 9]].tolist())]


@pytest.mark.parametrize(("options", "wanted"), WANTED)
def test_arrays(tmp_path, options, wanted):
    array = np.load(unseen.export(chosen([1, 4, 9]), "npy", tmp_path / "a.npy", **options), allow_pickle=False)
    assert array.tolist() == wanted


def test_ids_as_a_file_of_a_coreset_has_them_are_not_pickled(tmp_path):
    path = chosen([1, 4]).save(tmp_path / "coreset.parquet")
    array = np.load(unseen.export(path, "npy", tmp_path / "a.npy", column="id"), allow_pickle=False)
    assert array.tolist() == IDS[[1, 4]].tolist()


def test_as_many_as_imagenet_has(tmp_path):
    n = 1_281_167
    rows = np.flatnonzero(np.random.default_rng(0).random(n) < 0.7)
    assert np.array_equal(np.load(unseen.export(Coreset(rows, rows, n), "npy", tmp_path / "a.npy")), rows)


def test_keys_are_lines_but_for_an_id_with_a_line_break(tmp_path):
    out = unseen.export(chosen([1, 4, 9]), "webdataset", tmp_path / "a.txt", keys=True)
    assert out.read_text(encoding="utf-8").splitlines() == IDS[[1, 4, 9]].tolist()
    with pytest.raises(DataError, match="an id holds a line break"):
        unseen.export(chosen([1, 7]), "webdataset", tmp_path / "b.txt", keys=True)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_there_is_not_is_named(tmp_path):
    with pytest.raises(UnknownNameError, match="export has no kind 'npz'; did you mean 'npy'"):
        unseen.export(chosen([1]), "npz", tmp_path / "a")
    with pytest.raises(ArgumentError, match="to='npy' has no option 'columns'; its options: column"):
        unseen.export(chosen([1]), "npy", tmp_path / "a", columns="id")
    with pytest.raises(ArgumentError, match="column must be one of 'row', 'id', got 'rows'"):
        unseen.export(chosen([1]), "npy", tmp_path / "a", column="rows")


def test_an_open_data_set_is_no_coreset(tmp_path):
    data = from_arrays(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ArgumentError, match="an object of ArrayData holds no coreset to export"):
        unseen.export(data, "npy", tmp_path / "a.npy")
    with pytest.raises(ArgumentError, match=r"^a score table holds no coreset; choose one with `unseen select`"):
        unseen.export(Scored(table_of(data), None), "npy", tmp_path / "a.npy")
    assert len(coreset_of(data, [0])) == 1
