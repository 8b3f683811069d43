from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import unseen
from unseen.data import from_arrays, from_parquet, from_shards, resolve
from unseen.data.base import ArrayData
from unseen.data.row_groups import ParquetVectors
from unseen.data.shards import ShardedVectors

HALF = pa.float16()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 6)).astype(np.float16)
X[77] = X[400]
Y = RNG.integers(0, 3, 500)


def everything(data):
    return data.take(np.arange(len(data)))


def write(folder, shards, x=X, y=Y, **more):
    """npy shards of about equal size."""
    folder.mkdir(exist_ok=True)
    for stem, array in {"x": x, "y": y, **more}.items():
        for number, part in enumerate(np.array_split(array, shards)):
            np.save(folder / f"{stem}-{number:05}.npy", part)
    return folder


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
        RNG.permutation(500),
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
    for table in tables[1:]:
        for name, values in tables[0].values.items():
            assert values.tobytes() == table.values[name].tobytes(), name
    data = [resolve(folder), resolve(one), from_arrays(X, Y)]
    assert all(d.duplicate_groups()[400] == 77 for d in data)
    full = [d.fingerprint(full=True) for d in data]
    assert full[0] == full[1] == full[2]
    assert data[0].fingerprint() != data[1].fingerprint(), "the cheap one knows files"


def table(path, *, kind=HALF, x=X, rows=40, **more):
    """A parquet file of one embedding column, in row groups of 40 rows."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(x)).cast(kind), 6)
    columns = {"v": vectors.cast(pa.list_(kind)), "label": pa.array(Y[: len(x)]), **more}
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


@pytest.fixture
def reads(monkeypatch):
    """The row groups that are read, as they are."""
    seen, read = [], ParquetVectors._read
    monkeypatch.setattr(ParquetVectors, "_read", lambda self, *which: seen.append(which) or read(self, *which))
    return seen


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_parquet_beyond_the_limit_is_read_by_row_groups_to_the_same_bytes(tmp_path, kind):
    path = table(tmp_path / "set.parquet", kind=kind)
    small, large = from_parquet(path), from_parquet(path, memory_limit=1000)
    assert isinstance(small, ArrayData)
    assert isinstance(large, ShardedVectors)
    for rows in (np.arange(500), RNG.permutation(500), np.arange(30, 130)):
        assert large.take(rows).tobytes() == small.take(rows).tobytes()
    assert large.fingerprint(full=True) == small.fingerprint(full=True)
    assert large.fingerprint() == small.fingerprint()


def test_feature_columns_and_a_split_by_row_groups(tmp_path):
    names = [f"f{i}" for i in range(6)]
    columns = {name: X[:, i].astype(np.float32) for i, name in enumerate(names)}
    columns |= {"label": Y, "split": np.where(np.arange(500) % 3, "train", "test")}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=64)
    small = from_parquet(tmp_path / "a.parquet", split="train")
    large = from_parquet(tmp_path / "a.parquet", split="train", memory_limit=1000)
    assert isinstance(large, ShardedVectors)
    assert (len(large), large.feature_names) == (333, tuple(names))
    assert everything(large).tobytes() == everything(small).tobytes()


def test_no_more_than_one_row_group_beyond_the_limit_is_held(tmp_path, reads):
    path = table(tmp_path / "set.parquet")
    each = 40 * 6 * 4
    data = from_parquet(path, memory_limit=3 * each)
    data._source.cache_bytes = 3 * each
    assert not reads
    for start in range(0, 500, 20):
        data.take(np.arange(start, start + 20))
        assert sum(array.nbytes for array in data._source._cache.values()) <= 3 * each
    assert [number for _, number in reads] == list(range(13)), "each once"
    data.take(np.arange(450, 500))
    assert len(reads) == 13, "the last are kept"
    data._source.cache_bytes = 0
    data.take(np.arange(500))
    assert len(data._source._cache) == 1
