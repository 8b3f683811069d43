from __future__ import annotations

import shutil
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from sklearn.tree import DecisionTreeClassifier

import unseen
from unseen.data import from_parquet, resolve
from unseen.data.tables import ParquetFormat
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
    assert data.notes == ("columns used as inputs: b", "columns that are not used: a")


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
    assert data.notes[1:] == ("entries are missing in a: the columns are a table, not vectors",)


def test_text(write):
    path = write("mixed.parquet", sentence=["one", "two"], other=[1, 2], label=[0, 1])
    assert from_parquet(path).kind == "table"
    data = from_parquet(path, text="sentence")
    assert (data.kind, everything(data).tolist()) == ("text", ["one", "two"])
    assert from_parquet(write(t=["a", "b"], label=[0, 1])).kind == "text"
    with pytest.raises(DataError, match="column 'other' must hold text, got int64"):
        from_parquet(path, text="other")
    with pytest.raises(DataError, match=r"column 't' has no text in row 1; drop them or write '' \(in CSV, \"\"\)"):
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


@pytest.mark.parametrize("names", [["age"], ["age", "number of rooms"]])
def test_embeddings_beside_other_columns_are_refused_with_how_to_name_them(write, names):
    path = write(vector=[[1.0, 2.0], [3.0, 4.0]], **{name: [0.5, 0.6] for name in names}, label=[0, 1])
    for options in ({}, {"features": ["vector", *names]}):
        with pytest.raises(DataError, match=r"column 'vector' holds lists .* features='vector' \(--feature vector\)"):
            from_parquet(path, **options)
    assert everything(from_parquet(path, features="vector")).tolist() == [[1, 2], [3, 4]]
    assert everything(from_parquet(path, features=names)).shape == (2, len(names))


def test_split_column(write):
    path = write(split=["train", "test", "train"], a=[1.0, 2.0, 3.0], label=[0, 1, 1])
    data = from_parquet(path, split="train")
    np.testing.assert_array_equal(everything(data), [[1.0], [3.0]])
    assert data.ids.tolist() == [0, 1]
    assert from_parquet(path).notes[0] == "all splits are used: test, train; split= chooses one"
    with pytest.raises(ArgumentError, match="split must be one of test, train, got 'trian'"):
        from_parquet(path, split="trian")
    with pytest.raises(ArgumentError, match="needs a column 'split' or files named by split"):
        from_parquet(write("b.parquet", a=[1.0], label=[0]), split="train")


def test_one_file_named_as_the_shard_of_a_split(write):
    path = write("train-00000-of-00001.parquet", a=[1.0, 2.0], label=[0, 1])
    assert len(from_parquet(path)) == len(from_parquet(path, split="train")) == 2
    with pytest.raises(ArgumentError, match="split must be one of train, got 'test'"):
        from_parquet(path, split="test")
    path = write("dev-00000-of-00001.parquet", a=[1.0, 2.0], label=[0, 1], split=["x", "y"])
    assert everything(from_parquet(path, split="y")).tolist() == [[2.0]]


def test_a_folder_of_parts_is_read_in_order(write, tmp_path):
    write("b.parquet", a=[2.0], label=[1])
    write("a.parquet", a=[1.0], label=[0])
    np.testing.assert_array_equal(everything(resolve(tmp_path)), [[1.0], [2.0]])
    write("c.parquet", b=[2.0], label=[1])
    with pytest.raises(
        DataError, match=r"c.parquet must have the columns of a.parquet \(a, label\), but it lacks a and adds b$"
    ):
        resolve(tmp_path)


@pytest.mark.parametrize("memory_limit", [None, 1])
def test_a_part_may_have_its_columns_in_another_order(write, tmp_path, memory_limit):
    write("a.parquet", a=[1.0], b=[2.0], label=[0])
    write("b.parquet", label=[1], b=[4.0], a=[3.0])
    data = from_parquet(tmp_path, memory_limit=memory_limit)
    np.testing.assert_array_equal(everything(data), [[1, 2], [3, 4]])
    assert data.labels.tolist() == [0, 1]
    coreset = unseen.Coreset(np.array([1]), np.array([1]), 2)
    kept = unseen.export(coreset, "parquet", tmp_path.parent / f"kept-{memory_limit}.parquet", data=tmp_path)
    assert pq.read_table(kept).to_pylist() == [{"a": 3.0, "b": 4.0, "label": 1}]


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        (
            {"a": [1.0], "lable": [0]},
            {},
            ArgumentError,
            "must name the column of labels, as in label='lable'; the colu",
        ),
        ({"a": [1.0], "lable": [0]}, {"label": "label"}, UnknownNameError, "for label 'label'; did you mean 'lable'?"),
        ({"a": [1.0], "label": [0]}, {"features": ["A"]}, UnknownNameError, "unknown column for features 'A'"),
        ({"a": [1.0], "label": [0]}, {"id": "b"}, UnknownNameError, "unknown column for id 'b'"),
        ({"a": [1.0], "label": [0]}, {"text": "a", "features": "a"}, ArgumentError, "got text and features"),
        (
            {"a": [1.0], "label": [0]},
            {"features": ["a", "label"]},
            ArgumentError,
            "'label' holds the labels, so models",
        ),
        ({"a": [1.0], "y": ["b"]}, {"label": "y", "text": "y"}, ArgumentError, "'y' holds the labels, so models must"),
        (
            {"a": [1.0, 2.0], "b": [0.5, 1.5]},
            {"target": "b", "features": "b"},
            ArgumentError,
            "'b' holds the target, so models",
        ),
        ({"a": [1.0], "label": [0]}, {"image_size": 3}, ArgumentError, "are for images; there are none here"),
        ({"a": [1.0, 2.0], "label": [0, None]}, {}, DataError, "column 'label' must be given .* missing in row 1"),
        ({"a": [1.0, 2.0], "label": [0.5, 1.0]}, {}, DataError, "column 'label' must hold classes, but row 0 has 0.5"),
        ({"a": [1.0, 2.0], "label": [0, -1]}, {}, DataError, "-1 often means no label"),
        (
            {"a": [1.0, float("inf")], "label": [0, 1]},
            {},
            DataError,
            r"row 1, column a \(inf\); make these entries missing",
        ),
        (
            {"a": ["x", "y"], "b": [1.0, float("inf")], "label": [0, 1]},
            {},
            DataError,
            "'b' is infinite in row 1",
        ),
        ({"a": [1.0, float("nan")], "label": [0, 1]}, {}, DataError, r"row 1, column a \(nan\)"),
        ({"label": [0, 1]}, {}, DataError, "there is no column of inputs beside label"),
        ({"a": pa.array([], pa.float64()), "label": pa.array([], pa.int64())}, {}, DataError, "the data set is empty"),
        ({"id": range(12), "label": [0, 1] * 6}, {}, DataError, "no column of inputs beside label; left .* 'id' "),
        ({"a": [{"x": 1}], "label": [0]}, {}, DataError, r"inputs beside label; left .* type: 'a' \(struct"),
        ({"a": [1.0, 2.0], "i": [5, 5], "label": [0, 1]}, {"id": "i"}, DataError, "occur more than once: 5"),
    ],
)
def test_bad_tables_are_refused_by_name(write, columns, options, error, message):
    with pytest.raises(error, match=message):
        from_parquet(write(**columns), **options)


def test_damaged_files_are_named(write, tmp_path):
    path = write(a=[1.0] * 100, label=[0] * 100)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"set.parquet cannot be read"):
        from_parquet(path)
    with pytest.raises(DataError, match="there is no file or folder"):
        from_parquet(tmp_path / "none.parquet")


def noise_sorted_by_class(n=400):
    """Nothing to be learnt: whoever is right more often than one time in four has read the numbers of rows."""
    numbers = np.random.default_rng(0)
    return pd.DataFrame({"a": numbers.normal(size=n), "b": numbers.normal(size=n), "label": np.arange(n) * 4 // n})


def held_out_accuracy(data):
    scored = unseen.score(data, learner=DecisionTreeClassifier(random_state=0), plan=unseen.folds(4), threads=1)
    return np.mean(scored.predictions == data.labels)


@pytest.mark.parametrize("memory_limit", [None, 100])
def test_an_index_that_pandas_wrote_is_no_feature(tmp_path, memory_limit):
    frame = pd.concat([noise_sorted_by_class(), noise_sorted_by_class().head(1)], ignore_index=True)
    frame = frame.sample(frac=1, random_state=0)
    frame.to_parquet(tmp_path / "i.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "i.parquet").names
    data = from_parquet(tmp_path / "i.parquet", memory_limit=memory_limit)
    assert (data.kind, data.feature_names) == ("vector", ("a", "b"))
    assert data.in_memory == (memory_limit is None)
    np.testing.assert_array_equal(everything(data), frame[["a", "b"]].to_numpy(np.float32))
    assert data.notes == (
        "columns used as inputs: a, b",
        "left out of the inputs, as they number the rows: '__index_level_0__' (an index that pandas wrote); name them "
        "as features to take them in, or one as the ids",
    )
    assert len(np.unique(data.duplicate_groups())) == 400  # of 401 rows
    if memory_limit is None:
        assert 0.15 < held_out_accuracy(data) < 0.35
        assert held_out_accuracy(from_parquet(tmp_path / "i.parquet", features=["a", "b", "__index_level_0__"])) > 0.9


def test_an_index_with_a_name_is_one_too_but_may_have_a_role(tmp_path):
    frame = noise_sorted_by_class(8).set_index("b")
    frame.to_parquet(tmp_path / "i.parquet")
    assert from_parquet(tmp_path / "i.parquet").feature_names == ("a",)
    assert from_parquet(tmp_path / "i.parquet", features=["a", "b"]).feature_names == ("a", "b")
    frame.set_index("label").to_parquet(tmp_path / "l.parquet")
    assert from_parquet(tmp_path / "l.parquet").labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    frame.reset_index(drop=True).to_parquet(tmp_path / "r.parquet")  # a range is no column
    assert from_parquet(tmp_path / "r.parquet").notes == ("columns used as inputs: a",)


ORDER = np.random.default_rng(1).permutation(40)


@pytest.mark.filterwarnings("ignore:column .* holds dates")  # where features= takes them in
@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("n", range(40), "in the order of the rows"),
        ("n", 3 * np.arange(40) + ORDER % 3, "in the order of the rows"),
        ("n", np.arange(40)[::-1], "in the order of the rows"),
        ("n", np.arange(40.0), "in the order of the rows"),
        ("n", np.arange(40, dtype=np.uint64) + 2**63, "in the order of the rows"),
        ("n", ORDER + 1, "row numbers in another order"),
        ("n", np.arange(40, dtype=np.float16), "in the order of the rows"),
        ("Unnamed: 0", 7 * ORDER, "under a usual name for row numbers"),
        ("idx", 7 * ORDER, "under a usual name for row numbers"),
        ("", np.datetime64("2020-01-01") + np.arange(40), "in the order of the rows"),
        ("index", np.datetime64("2020-01-01", "ns") + 7 * ORDER, "under a usual name for row numbers"),
        ("n", 7 * ORDER, None),  # may be anything
        ("idx", ORDER % 39, None),  # not all differ
        ("n", ORDER % 20, None),
        ("n", np.arange(40) + 0.5, None),
    ],
)
def test_columns_that_number_the_rows_are_no_features(write, name, values, reason):
    path = write(**{"a": ORDER * 0.5, name: np.asarray(values), "label": ORDER % 2})
    data = from_parquet(path)
    assert data.feature_names == (("a", name) if reason is None else ("a",))
    assert any("left out of the inputs" in note for note in data.notes) == (reason is not None)
    assert reason is None or reason in data.notes[1]
    assert from_parquet(path, features=["a", name]).feature_names == ("a", name)


@pytest.mark.filterwarnings("ignore:column .sentence. holds text that differs")
def test_text_beside_unique_numbers_is_text(write):
    """The columns of GLUE."""
    texts = [f"number {number}" for number in range(40)]
    path = write(sentence=texts, label=ORDER % 2, idx=7 * ORDER)
    data = from_parquet(path)
    assert (data.kind, everything(data).tolist()) == ("text", texts)
    assert data.notes[1].startswith("left out of the inputs, as they number the rows: 'idx' (whole numbers that all")
    by_id = from_parquet(path, id="idx")
    assert (by_id.kind, by_id.ids.tolist()) == ("text", (7 * ORDER).tolist())
    # Two splits are numbered each on its own.
    split = ["train"] * 20 + ["test"] * 20
    for idx in (np.arange(40) % 20, np.tile(7 * ORDER[:20], 2)):
        path = write(sentence=texts, label=ORDER % 2, idx=idx, split=split)
        assert from_parquet(path).kind == from_parquet(path, split="test").kind == "text"
    path = write(a=ORDER * 0.5, n=np.arange(40) % 20, m=ORDER % 13, o=np.tile(ORDER[ORDER < 20], 2), label=ORDER % 2,
                 split=split)  # fmt: skip
    assert from_parquet(path).feature_names == ("a", "m")
    assert from_parquet(write(sentence=texts, label=ORDER % 2, length=ORDER % 20)).kind == "table"


@pytest.mark.parametrize("ask", [{}, {"memory_limit": 10}])
def test_columns_in_the_names_of_folders_are_read_as_pyarrow_reads_them(tmp_path, ask):
    at = 0
    for split in ("test", "train"):
        for label in ("a", "b c", "__HIVE_DEFAULT_PARTITION__"):
            for year in ("07", "2020"):
                folder = tmp_path / f"split={split}" / f"label={quote(label)}" / f"year={year}"
                folder.mkdir(parents=True)
                pq.write_table(pa.table({"f": [at + 0.5, at + 0.25]}), folder / "0.parquet")
                at += 2
    theirs = pa.dataset.dataset(tmp_path, partitioning="hive").to_table()
    source = ParquetFormat(tmp_path)
    assert source.read(["f", "split", "label", "year"]) == theirs.select(["f", "split", "label", "year"])
    with pytest.raises(DataError, match=r"column 'label' must be given .* missing in 4 rows"):
        from_parquet(tmp_path, split="train", **ask)
    for folder in list(tmp_path.rglob("label=__*")):
        shutil.rmtree(folder)
    theirs = pa.dataset.dataset(tmp_path, partitioning="hive").to_table(filter=pc.field("split") == "train")
    data = from_parquet(tmp_path, split="train", **ask)
    assert (data.class_names, data.feature_names) == (("a", "b c"), ("f", "year"))
    assert [data.class_names[label] for label in data.labels] == theirs["label"].to_pylist()
    np.testing.assert_array_equal(everything(data), np.stack([theirs["f"], theirs["year"]], axis=1))
    assert data.in_memory == (not ask)
    assert len(from_parquet(tmp_path, **ask)) == 16


@pytest.mark.parametrize(("labels", "names"), [(("01", "1"), ("01", "1")), (("1", "2"), ("1", "2"))])
def test_labels_in_the_names_of_folders_keep_their_zeros(tmp_path, labels, names):
    for label in labels:
        (tmp_path / f"label={label}").mkdir()
        pq.write_table(pa.table({"f": np.arange(8.0)}), tmp_path / f"label={label}" / "0.parquet")
    data = from_parquet(tmp_path)
    assert data.class_names == names
    assert data.labels.tolist() == [0] * 8 + [1] * 8


def test_columns_in_the_names_of_folders_are_exported(tmp_path):
    for label in "ab":
        (tmp_path / "in" / f"label={label}").mkdir(parents=True)
        pq.write_table(pa.table({"f": np.arange(8.0)}), tmp_path / "in" / f"label={label}" / "0.parquet")
    result = unseen.prune(tmp_path / "in", keep=0.5, learner="logistic", plan=unseen.folds(2), rule="random")
    unseen.export(result, "parquet", tmp_path / "out.parquet", data=tmp_path / "in")
    out = from_parquet(tmp_path / "out.parquet")
    assert (len(out), out.class_names) == (8, ("a", "b"))


def test_a_column_that_is_there_twice_is_refused(write, tmp_path):
    twice = pa.table([pa.array([1.0, 2.0]), pa.array([3.0, 4.0]), pa.array([0, 1])], names=["a", "a", "label"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match=r"twice.parquet must not have two columns of one name, but it has of a;"):
        from_parquet(tmp_path / "twice.parquet")
    (tmp_path / "in" / "label=x").mkdir(parents=True)
    write("in/label=x/0.parquet", a=[1.0], label=["x"])
    with pytest.raises(DataError, match=r"column 'label' is in .*0.parquet and in the name of its folder; rename one"):
        from_parquet(tmp_path / "in")


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


@pytest.mark.data
def test_sst2_with_the_columns_of_glue(real_data, tmp_path):
    table = pq.read_table(real_data / "text" / "sst2.parquet")
    table = table.filter(pc.equal(table["split"].cast(pa.string()), "train")).drop_columns(["split"])
    pq.write_table(table.append_column("idx", pa.array(np.arange(len(table)))), tmp_path / "glue.parquet")
    data = from_parquet(tmp_path / "glue.parquet")
    assert (data.kind, len(data)) == ("text", 67_349)
