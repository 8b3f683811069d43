from __future__ import annotations

import pickle

import numpy as np
import pytest
from made_vectors import X, Y, everything, later, table, write

import unseen
from unseen.data import from_arrays, from_parquet, from_shards, resolve
from unseen.data.base import ArrayData
from unseen.data.parts import Part
from unseen.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "set", 37)


@pytest.mark.parametrize(
    "rows",
    [
        np.arange(500),
        np.arange(3, 222),
        np.arange(499, -1, -1),
        np.arange(0, 500, 7),
        np.random.default_rng(1).permutation(500),
        np.array([5, 5, 499, 0, 5]),
        np.array([13, 14]),
        np.array([], int),
    ],
)
def test_any_rows_in_any_order_are_those_of_the_array_in_memory(folder, rows):
    taken, expected = from_shards(folder).take(rows), from_arrays(X, Y).take(rows)
    assert (taken.dtype, taken.shape) == (np.float32, expected.shape)
    assert taken.tobytes() == expected.tobytes()


def test_scores_copies_and_content_do_not_depend_on_the_shards(folder, tmp_path):
    one = write(tmp_path / "one", 1)
    plan, learner = unseen.leave_one_out(), "ridge:lam=1.0"
    tables = [unseen.score(source, plan=plan, learner=learner) for source in (folder, one, (X, Y))]
    for other in tables[1:]:
        for name, values in tables[0].values.items():
            assert values.tobytes() == other.values[name].tobytes(), name
    data = [resolve(folder), resolve(one), from_arrays(X, Y)]
    assert all(d.duplicate_groups()[400] == 77 for d in data)
    full = [d.fingerprint(full=True) for d in data]
    assert full[0] == full[1] == full[2]
    assert data[0].fingerprint() != data[1].fingerprint(), "the cheap one knows files"


def test_labels_ids_and_groups_are_joint_over_shards(tmp_path):
    names = np.array(["ant", "bee", "chamois"])[Y]
    data = resolve(write(tmp_path / "set", 4, y=names, id=np.arange(500) * 2, group=np.arange(500) // 5))
    assert data.class_names == ("ant", "bee", "chamois")
    np.testing.assert_array_equal(data.labels, Y)
    np.testing.assert_array_equal(data.ids, np.arange(500) * 2)
    np.testing.assert_array_equal(data.groups, np.arange(500) // 5)


def test_other_stems_and_numbers_that_are_not_padded(tmp_path):
    (tmp_path / "set").mkdir()
    for number in range(8, 12):
        np.save(tmp_path / "set" / f"emb-{number}.npy", np.full((2, 3), number))
        np.save(tmp_path / "set" / f"lab-{number}.npy", [0, 1])
        np.save(tmp_path / "set" / f"key-{number}.npy", [2 * number, 2 * number + 1])
    data = resolve(tmp_path / "set", x="emb", y="lab", id="key")
    assert everything(data)[:, 0].tolist() == [8, 8, 9, 9, 10, 10, 11, 11]
    assert data.ids.tolist() == list(range(16, 24))


def test_empty_shards_and_shards_of_several_types_do(tmp_path):
    folder = write(tmp_path / "set", 3, y=np.zeros(500, int))
    np.save(folder / "x-00001.npy", np.empty((0, 6)))
    np.save(folder / "y-00001.npy", np.empty(0, int))
    np.save(folder / "x-00002.npy", np.asfortranarray(np.arange(996).reshape(166, 6)))
    data = from_shards(folder)
    assert len(data) == 333
    np.testing.assert_array_equal(data.take(np.arange(165, 169))[:, 0], [X[165, 0], X[166, 0], 0, 6])


@pytest.mark.parametrize("rows", [np.arange(500), np.arange(499, -1, -7), np.array([], int)])
def test_halves_are_given_as_they_are_kept_and_others_as_taken(folder, rows):
    for data in (from_shards(folder), from_arrays(X, Y), Part(from_arrays(X, Y), np.arange(500))):
        kept = data.as_kept(rows)
        assert (kept.dtype, kept.shape) == (np.float16, (len(rows), 6))
        assert kept.astype(np.float32).tobytes() == data.take(rows).tobytes()
    for number in (3, 20):
        wide = np.load(folder / f"x-{number:05}.npy").astype(float) + 1e-7
        np.save(folder / f"x-{number:05}.npy", wide)
    mixed = from_shards(folder)
    kept = mixed.as_kept(np.arange(500))
    assert kept.dtype == np.float32
    assert kept.tobytes() == mixed.take(np.arange(500)).tobytes()
    assert from_arrays(X.astype(float), Y).as_kept(rows).dtype == np.float32


def test_values_of_halves_that_are_not_finite_are_found_where_they_are_kept(folder):
    half = np.load(folder / "x-00005.npy")
    half[2, 1] = np.nan
    np.save(folder / "x-00005.npy", half)
    with pytest.raises(DataError, match=r"row 2 of x-00005.npy\), column 1 \(nan\)"):
        from_shards(folder).as_kept(np.arange(500))


def test_a_folder_with_x_npy_stays_one_memory_map(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    assert isinstance(resolve(tmp_path), ArrayData)
    write(tmp_path, 2)
    with pytest.raises(DataError, match=r"holds both x.npy and x-00000.npy"):
        resolve(tmp_path)


def test_shards_without_labels_are_told_how_to_name_others(tmp_path):
    folder = write(tmp_path / "set", 2)
    for at in range(2):
        (folder / f"y-0000{at}.npy").rename(folder / f"kind-0000{at}.npy")
    with pytest.raises(
        DataError, match=r"holds no files y-00000.npy, ... beside those of inputs; label= \(--label\) na"
    ):
        resolve(folder)
    assert len(resolve(folder, label="kind")) == 500


def change(name, array):
    return lambda folder: np.save(folder / f"{name}.npy", array)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("x-00002", np.ones((50, 7))), r"x-00000.npy has 6 columns and x-00002.npy has 7"),
        (change("x-00002", np.ones(50)), r"x-00002.npy must hold vectors, numbers \(n, d\), got shape \(50,\)"),
        (change("x-00002", np.ones((50, 6), complex)), r"got shape \(50, 6\) of complex128"),
        (change("y-00003", [0, 1]), r"y-00003.npy must have one entry for each of the 50 samples of x-00003.npy"),
        (change("y-00003", np.where(np.arange(50) == 7, np.nan, 0)), r"y-00003.npy must be given .* row 7"),
        (change("y-00003", np.full(50, "a")), r"numbers, or all text, but y-00000.npy and y-00003.npy differ"),
        (change("id-00000", np.arange(50)), r"holds x-00001.npy, x-00002.npy, .* without a partner of id"),
        (lambda f: (f / "y-00004.npy").unlink(), "holds x-00004.npy without a partner of y"),
        (change("y-00010", [0]), "holds y-00010.npy without a partner of inputs"),
        (lambda f: (f / "x-00004.npy").unlink(), "lacks shards of x: numbers 4 between 0 and 9"),
        (change("x-4", X), r"x-4.npy.* of the same number"),
        (lambda f: (f / "x-00004.npy").write_bytes(b"\x93NUMPY"), r"x-00004.npy (is damaged|cannot be read)"),
        (lambda f: (f / "x-00004.npy").write_bytes((f / "x-00004.npy").read_bytes()[:-9]), "x-00004.npy is damaged"),
    ],
)
def test_bad_shards_are_refused_by_name(tmp_path, spoil, message):
    folder = write(tmp_path / "set", 10)
    spoil(folder)
    with pytest.raises(DataError, match=message):
        resolve(folder)


@pytest.mark.parametrize(("bad", "said"), [(np.nan, "nan"), (-np.inf, "-inf"), (1e60, "inf")])
def test_values_that_are_not_finite_are_named_by_row_and_shard_before_training(tmp_path, bad, said):
    x = X.astype(np.float64)
    x[333, 4] = bad
    folder = write(tmp_path / "set", 10, x=x)
    data = from_shards(folder)
    named = rf"row 333 \(row 33 of x-00006.npy\), column 4 \({said}\); drop"
    assert data.take(np.arange(300)).shape == (300, 6)
    with pytest.raises(DataError, match=named):
        data.duplicate_groups()
    with pytest.raises(DataError, match=named):
        data.take(np.array([9, 333, 2]))
    with pytest.raises(DataError, match=named):
        unseen.score(folder, plan=unseen.folds(2), learner="logistic")


def test_rows_outside_the_data_set_are_refused(folder):
    for rows in ([500], [-1]):
        with pytest.raises(IndexError, match=r"rows must be in 0..499"):
            from_shards(folder).take(np.array(rows))


@pytest.mark.parametrize("edit", [later, lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_shard_that_changed_is_refused_by_name(folder, edit):
    data = from_shards(folder)
    everything(data)
    edit(folder / "x-00005.npy")
    assert len(data.take(np.arange(50))) == 50
    with pytest.raises(DataError, match=r"x-00005.npy has changed since it was opened"):
        everything(data)


def test_the_shard_read_last_is_looked_at_again_after_a_second(folder, monkeypatch):
    data, row = from_shards(folder), np.array([3])
    now = [100.0]
    monkeypatch.setattr("unseen.data.storage.time.monotonic", lambda: now[0])
    data.take(row)
    later(folder / "x-00000.npy")
    now[0] += 0.9
    data.take(row)
    now[0] += 0.2
    with pytest.raises(DataError, match=r"x-00000.npy has changed"):
        data.take(row)


@pytest.mark.parametrize("form", ["npy", "parquet"])
def test_to_another_process_go_names_not_content(tmp_path, folder, form, monkeypatch):
    path = table(tmp_path / "set.parquet")
    data = from_shards(folder) if form == "npy" else from_parquet(path, memory_limit=0)
    everything(data)
    sent = pickle.dumps(data)
    assert not any(part.tobytes() in sent for part in (X[0], X[499], X[0].astype(np.float32)))
    monkeypatch.chdir(tmp_path)
    assert everything(pickle.loads(sent)).tobytes() == everything(data).tobytes()
    later(folder / "x-00000.npy")
    later(path)
    with pytest.raises(DataError, match="has changed since it was opened"):
        everything(pickle.loads(sent))
