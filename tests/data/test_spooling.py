from __future__ import annotations

import numpy as np
import pytest
import torch
from made_vectors import X, Y, everything, write

from unseen.data import from_arrays, from_batches, resolve
from unseen.errors import ArgumentError, DataError


def batches(sizes, x=X, y=Y, ids=None):
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        yield (x[part], y[part]) if ids is None else (x[part], y[part], ids[part])
        start += size


def test_batches_of_any_size_become_the_same_shards(tmp_path):
    ids = np.array([f"s{i}" for i in range(500)])
    small = from_batches(batches([1] * 99 + [0, 101, 300], ids=ids), tmp_path / "small", shard_bytes=1300)
    large = from_batches(batches([500], ids=ids), tmp_path / "large", shard_bytes=1300)
    names = sorted(path.name for path in (tmp_path / "small").iterdir())
    assert len(names) == 3 * 5, "108 rows of 12 bytes a shard"
    assert all((tmp_path / "small" / name).read_bytes() == (tmp_path / "large" / name).read_bytes() for name in names)
    assert np.load(tmp_path / "small" / "x-00000.npy").dtype == np.float16
    assert np.load(tmp_path / "small" / "x-00000.npy").shape == (108, 6)
    assert (small.ids.tolist(), large.labels.tolist()) == (ids.tolist(), Y.tolist())
    assert everything(small).tobytes() == from_arrays(X, Y).take(np.arange(500)).tobytes()
    assert resolve(tmp_path / "large").fingerprint(full=True) == small.fingerprint(full=True)


def test_batches_of_tensors_lists_and_text(tmp_path):
    several = [(torch.full((2, 3), 0.5, dtype=torch.float16), ["a", "bbb"]), (np.ones((1, 3), np.float16), ["cc"])]
    data = from_batches(several, tmp_path / "set")
    assert (data.class_names, np.load(tmp_path / "set" / "x-00000.npy").dtype) == (("a", "bbb", "cc"), np.float16)
    objects = [(np.ones((2, 3)), np.array(["a", "b"], object), [7, 5])]
    assert from_batches(objects, tmp_path / "objects").ids.tolist() == [7, 5]


def test_a_broken_off_spool_is_no_data_set(tmp_path):
    def broken():
        yield X[:400], Y[:400]
        assert len(list((tmp_path / ".set.part").glob("x-*.npy"))) == 4
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_batches(broken(), tmp_path / "set", shard_bytes=1200)
    assert list(tmp_path.iterdir()) == [], "nothing is left"
    (tmp_path / ".set.part").mkdir()  # of a call that was killed
    with pytest.raises(ArgumentError, match=r"\.set\.part is of another call for this folder.* remove it"):
        from_batches(batches([500]), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_batches_never_overwrite_a_folder(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert len(from_batches(batches([500]), ".")) == 500
    with pytest.raises(ArgumentError, match="must not exist, or be empty"):
        from_batches(batches([500]), write(tmp_path / "set", 2))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "the data set is empty: no batch holds a sample"),
        ([X], r"batch 0 must be \(X, y\) or \(X, y, ids\), got ndarray"),
        ([(X, Y), (X[:, :5], Y)], "batch 0 has 6 columns of float16 and X of batch 1 has 5 of float16"),
        ([(X, Y), (X.astype(float), Y)], "batch 1 has 6 of float64"),
        ([(X, Y), (X, Y, np.arange(500))], "ids must come with every batch or with none, but batch 1"),
        ([(X, Y), (X, Y[:3])], r"batch 1: X has 500 rows, but y has shape \(3,\)"),
        ([(X, Y), (X[0], Y)], r"batch 1: X must be \(m, d\) numbers, got shape \(6,\)"),
        ([(X, Y), (np.where(X[9] == X, np.inf, X), Y)], "batch 1: .* rows 9 hold NaN or infinite"),
        ([(X, Y), (X[:2], [0, np.nan])], "y of batch 1 must be given .* row 1"),
        ([(X, Y, [object()] * 500)], "ids must be numbers or text"),
    ],
)
def test_bad_batches_are_refused_by_number(tmp_path, more, message):
    with pytest.raises(DataError, match=message):
        from_batches(more, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
