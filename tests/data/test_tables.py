from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unseen.data import from_parquet, resolve
from unseen.errors import ArgumentError, DataError, UnknownNameError


def everything(data):
    return data.take(np.arange(len(data)))


@pytest.fixture
def write(tmp_path):
    def written(name="set.parquet", **columns):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return written


def test_numbers_are_vectors(write):
    path = write(a=[1.5, 2.5, 3.5], b=[1, 2, 3], c=[True, False, True], label=["x", "y", "x"])
    data = resolve(path)
    assert (data.kind, data.dtype, data.feature_names) == ("vector", np.float32, ("a", "b", "c"))
    np.testing.assert_array_equal(everything(data), [[1.5, 1, 1], [2.5, 2, 0], [3.5, 3, 1]])
    assert (data.labels.tolist(), data.class_names) == ([0, 1, 0], ("x", "y"))


def test_features_id_and_group_are_as_asked_for(write):
    path = write(a=[1.0, 2.0], b=[3.0, 4.0], who=["p", "p"], called=["u", "v"], y=[1, 0])
    data = from_parquet(path, label="y", features=["b"], id="called", group="who")
    np.testing.assert_array_equal(everything(data), [[3.0], [4.0]])
    assert (data.ids.tolist(), data.groups.tolist()) == (["u", "v"], [0, 0])
    assert data.notes == ("columns that are not used: a",)


def test_mixed_columns_are_a_table_with_none_for_what_is_missing(write):
    kinds = pa.array(["u", None, "u", "w"]).dictionary_encode()
    path = write(a=[1, 2, 1, 1], b=kinds, c=[0.5, float("nan"), 0.5, None], label=[0, 1, 0, 1])
    data = from_parquet(path)
    assert data.kind == "table"
    assert everything(data).tolist() == [[1, "u", 0.5], [2, None, None], [1, "u", 0.5], [1, "w", None]]
    assert data.take(np.array([3, 0])).tolist() == [[1, "w", None], [1, "u", 0.5]]
    assert data.duplicate_groups().tolist() == [0, 1, 0, 3]


def test_numbers_with_gaps_are_a_table_and_say_so(write):
    data = from_parquet(write(a=[1.0, None], b=[1.0, 2.0], label=[0, 1]))
    assert data.kind == "table"
    assert data.notes == ("entries are missing in a: the columns are a table, not vectors",)


def test_text(write):
    path = write("mixed.parquet", sentence=["one", "two"], other=[1, 2], label=[0, 1])
    assert from_parquet(path).kind == "table"
    data = from_parquet(path, text="sentence")
    assert (data.kind, everything(data).tolist()) == ("text", ["one", "two"])
    assert from_parquet(write(t=["a", "b"], label=[0, 1])).kind == "text"
    with pytest.raises(DataError, match="column 'other' must hold text, got int64"):
        from_parquet(path, text="other")
    with pytest.raises(DataError, match="column 't' has no text in 1 rows: 1; drop them or write ''"):
        from_parquet(write(t=["a", None], label=[0, 1]), text="t")


def test_embeddings(write):
    path = write(vector=[[1.0, 2.0], [3.0, 4.0]], label=[0, 1])
    np.testing.assert_array_equal(everything(from_parquet(path)), [[1, 2], [3, 4]])
    fixed = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))
    np.testing.assert_array_equal(
        everything(from_parquet(write(v=fixed, t=["a", "b"], label=[0, 1]), features="v")), [[1, 2], [3, 4]]
    )
    with pytest.raises(DataError, match="lists of one length, but row 0 has 2 entries and row 1 has 1"):
        from_parquet(write(vector=[[1.0, 2.0], [3.0]], label=[0, 1]))


def test_split_column(write):
    path = write(split=["train", "test", "train"], a=[1.0, 2.0, 3.0], label=[0, 1, 1])
    data = from_parquet(path, split="train")
    np.testing.assert_array_equal(everything(data), [[1.0], [3.0]])
    assert data.ids.tolist() == [0, 1]
    assert from_parquet(path).notes == ("all splits are used: test, train; split= chooses one",)
    with pytest.raises(ArgumentError, match="split must be one of test, train, got 'trian'"):
        from_parquet(path, split="trian")
    with pytest.raises(ArgumentError, match="needs a column 'split' or files named by split"):
        from_parquet(write("b.parquet", a=[1.0], label=[0]), split="train")


def test_a_folder_of_parts_is_read_in_order(write, tmp_path):
    write("b.parquet", a=[2.0], label=[1])
    write("a.parquet", a=[1.0], label=[0])
    np.testing.assert_array_equal(everything(resolve(tmp_path)), [[1.0], [2.0]])
    write("c.parquet", b=[2.0], label=[1])
    with pytest.raises(DataError, match=r"c.parquet must have the columns of a.parquet \(a, label\)"):
        resolve(tmp_path)


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        ({"a": [1.0], "lable": [0]}, {}, UnknownNameError, "unknown column for label 'label'; did you mean 'lable'?"),
        ({"a": [1.0], "label": [0]}, {"features": ["A"]}, UnknownNameError, "unknown column for features 'A'"),
        ({"a": [1.0], "label": [0]}, {"id": "b"}, UnknownNameError, "unknown column for id 'b'"),
        ({"a": [1.0], "label": [0]}, {"text": "a", "features": "a"}, ArgumentError, "got text and features"),
        ({"a": [1.0], "label": [0]}, {"image_size": 3}, ArgumentError, "are for images; there are none here"),
        ({"a": [1.0, 2.0], "label": [0, None]}, {}, DataError, "column 'label' must be given .* missing in 1 rows: 1"),
        ({"a": [1.0, 2.0], "label": [0.5, 1.0]}, {}, DataError, "column 'label' must hold classes, but row 0 has 0.5"),
        ({"a": [1.0, 2.0], "label": [0, -1]}, {}, DataError, "-1 often means no label"),
        ({"a": [1.0, float("inf")], "label": [0, 1]}, {}, DataError, r"row 1, column a \(inf\)"),
        ({"a": ["x", "y"], "b": [1.0, float("inf")], "label": [0, 1]}, {}, DataError, "column 'b' holds infinite"),
        ({"a": [1.0, float("nan")], "label": [0, 1]}, {}, DataError, r"row 1, column a \(nan\)"),
        ({"label": [0, 1]}, {}, DataError, "there is no column of inputs beside label"),
        ({"a": pa.array([], pa.float64()), "label": pa.array([], pa.int64())}, {}, DataError, "the data set is empty"),
        ({"a": [{"x": 1}], "label": [0]}, {}, DataError, "column 'a' has type struct.* choose with features="),
        ({"a": [1.0, 2.0], "i": [5, 5], "label": [0, 1]}, {"id": "i"}, DataError, "occur more than once: 5"),
    ],
)
def test_bad_tables_are_refused_by_name(write, columns, options, error, message):
    with pytest.raises(error, match=message):
        from_parquet(write(**columns), **options)


def test_damaged_files_are_named(write, tmp_path):
    path = write(a=[1.0] * 100, label=[0] * 100)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"set.parquet is not a sound parquet file"):
        from_parquet(path)
    with pytest.raises(DataError, match="there is no file or folder"):
        from_parquet(tmp_path / "none.parquet")


@pytest.mark.data
def test_kdd_has_the_known_number_of_distinct_rows(real_data):
    path = real_data / "tabular" / "kddcup99_10pct.parquet"
    data = from_parquet(path)
    table = pq.read_table(path).drop_columns(["label"])
    distinct = table.group_by(table.column_names).aggregate([([], "count_all")])
    assert len(np.unique(data.duplicate_groups())) == len(distinct)
    rows = np.array([400_000, 3])
    assert data.take(rows).tolist() == [list(row.values()) for row in table.take(rows).to_pylist()]


@pytest.mark.data
def test_adult_and_sst2(real_data):
    adult = from_parquet(real_data / "tabular" / "adult.parquet", split="train")
    assert (adult.kind, len(adult), adult.sample_shape) == ("table", 32_561, (14,))
    table = pq.read_table(real_data / "tabular" / "adult.parquet", columns=list(adult.feature_names)).slice(0, 100)
    assert adult.take(np.arange(100)).tolist() == [list(row.values()) for row in table.to_pylist()]
    assert any(None in row for row in adult.take(np.arange(100)).tolist())
    sst2 = from_parquet(real_data / "text" / "sst2.parquet", split="train")
    assert (sst2.kind, len(sst2), sst2.labels.max()) == ("text", 67_349, 1)
