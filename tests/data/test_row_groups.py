from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_vectors import X, Y, everything, table

from unseen.data import from_parquet
from unseen.data.base import ArrayData
from unseen.data.shards import ShardedVectors
from unseen.data.tables import ParquetVectors
from unseen.errors import ArgumentError, DataError


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
    for rows in (np.arange(500), np.random.default_rng(1).permutation(500), np.arange(30, 130)):
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
    assert [group for (group,) in reads] == list(range(13)), "each once"
    data.take(np.arange(450, 500))
    assert len(reads) == 13, "the last are kept"
    data._source.cache_bytes = 0
    data.take(np.arange(500))
    assert len(data._source._cache) == 1


def test_parquet_that_changed_or_is_damaged_is_refused_by_name(tmp_path):
    path = table(tmp_path / "set.parquet", rows=250)
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    content[start : start + 400] = bytes(400)
    path.write_bytes(content)
    data = from_parquet(path, memory_limit=0)
    assert data.take(np.arange(250)).shape == (250, 6)
    with pytest.raises(DataError, match=r"row group 1 of .*set.parquet cannot be read"):
        data.take(np.array([250]))
    table(path, rows=100)
    with pytest.raises(DataError, match=r"set.parquet has changed since it was opened"):
        pickle.loads(pickle.dumps(data)).take(np.array([0]))


def lists(*lengths):
    return pa.array([[1.0] * length for length in lengths], pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (lists(2, 2, 3, 3), r"those in a.parquet have 2 entries and those in row group 1 of .*a.parquet have 3"),
        (lists(2, 2, 2, 3), r"row group 1 of .*a.parquet: column 'v' .* row 0 has 2 entries and row 1 has 3"),
        (pa.array([[1.0], [1.0], [1.0], [None]]), r"row group 1 of .*a.parquet: column 'v' .* entries are missing"),
        (pa.array([[1.0], [1.0], [1.0], None]), r"row group 1 of .*a.parquet: column 'v' .* row 1 has 0"),
        (pa.array([[1.0], [1.0], [1.0], [np.nan]]), r"row 3 \(row 3 of a.parquet\), column 0 \(nan\)"),
    ],
)
def test_bad_embeddings_by_row_groups_are_named(tmp_path, vectors, message):
    pq.write_table(pa.table({"v": vectors, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet", row_group_size=2)
    with pytest.raises(DataError, match=message):
        from_parquet(tmp_path / "a.parquet", memory_limit=0).duplicate_groups()


def test_missing_numbers_are_a_table_or_an_error_where_the_footer_does_not_tell(tmp_path):
    columns = pa.table({"a": [1.0, None], "b": [1.0, 2.0], "label": [0, 1]})
    pq.write_table(columns, tmp_path / "a.parquet")
    assert from_parquet(tmp_path / "a.parquet").kind == "table"
    assert from_parquet(tmp_path / "a.parquet", memory_limit=0).kind == "table"
    pq.write_table(columns, tmp_path / "b.parquet", write_statistics=False)
    with pytest.raises(DataError, match=r"row group 0 of .*b.parquet: column 'a' .* 1 entries are missing"):
        from_parquet(tmp_path / "b.parquet", memory_limit=0).duplicate_groups()


def test_a_memory_limit_where_it_would_do_nothing_is_refused(tmp_path):
    pq.write_table(pa.table({"t": ["a", "b"], "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(ArgumentError, match="memory_limit is for images and vectors"):
        from_parquet(tmp_path / "a.parquet", memory_limit=5)
