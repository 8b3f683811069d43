"""Parquet and Hugging Face: the rows kept with all their columns, whatever the data set came from."""

from __future__ import annotations

import gzip
import os
import re
import sys

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_exports import NAMES, coreset_of, everything, photos, picture, pictures_table, same_samples

import unseen
from unseen.core.files import LOCK
from unseen.data import from_arrays, from_folder, from_huggingface, from_parquet, resolve
from unseen.errors import ArgumentError, DataError, MissingDependencyError
from unseen.exporting.api import KINDS

ROWS = [0, 1, 2, 6, 11]
VECTORS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def test_rows_of_a_file_keep_all_columns_and_what_the_file_says_of_them(tmp_path):
    path = pictures_table(tmp_path / "t.parquet", extra=pa.array(np.arange(12) * 1.5))
    data = from_parquet(path)
    out = unseen.export(coreset_of(data, ROWS), "parquet", tmp_path / "kept.parquet", data=path)
    assert pq.read_table(out).equals(pq.read_table(path).take(ROWS), check_metadata=True)
    same_samples(out, data, ROWS)


def test_rows_of_a_split_of_several_files_by_a_column_of_ids(tmp_path):
    (tmp_path / "t").mkdir()
    for part in range(2):
        names = [f"s{part}{i}" for i in range(10)]
        table = pa.table({
            "x": np.arange(10.0) + 10 * part, "label": np.arange(10) % 2, "split": ["train", "test"] * 5, "key": names,
        })  # fmt: skip
        pq.write_table(table, tmp_path / "t" / f"{part}.parquet", row_group_size=3)
    options = {"split": "train", "id": "key", "features": "x"}
    data = from_parquet(tmp_path / "t", **options)
    coreset = coreset_of(data, [1, 4, 5, 9])
    out = unseen.export(coreset, "parquet", tmp_path / "kept.parquet", data=tmp_path / "t", data_options=options)
    kept = pq.read_table(out)
    assert kept.column("key").to_pylist() == coreset.ids.tolist() == ["s02", "s08", "s10", "s18"]
    assert kept.column("x").to_pylist() == [2.0, 8.0, 10.0, 18.0]
    assert kept.column_names == ["x", "label", "split", "key"]


def test_rows_of_images_of_which_some_were_skipped(tmp_path):
    path = pictures_table(tmp_path / "t.parquet")
    table = pq.read_table(path)
    column = table.column("image").to_pylist()
    column[2]["bytes"] = b"no image"
    pq.write_table(table.set_column(0, table.schema.field(0), pa.array(column)), path)
    options = {"on_error": "skip"}
    data = from_parquet(path, **options)
    coreset = coreset_of(data, [0, 2, 10])
    out = unseen.export(coreset, "parquet", tmp_path / "kept.parquet", data=path, data_options=options)
    assert [image["path"] for image in pq.read_table(out).column("image").to_pylist()] == ["0.png", "3.png", "11.png"]


SOURCES = {
    "images": lambda: from_arrays(np.stack([picture(i) for i in range(12)]), np.arange(12) % 3, class_names=NAMES),
    "vectors": lambda: from_arrays(VECTORS, np.arange(12) % 2, ids=np.arange(12) + 100),
    "target": lambda: from_arrays(VECTORS, target=np.arange(12.0)),
    "texts": lambda: from_arrays([f"text {i}" for i in range(12)], np.arange(12) % 2, ids=[f"t{i}" for i in range(12)]),
    "table": lambda: from_arrays(
        np.array([[i, f"c{i % 4}", None if i % 5 else 0.5, i if i % 2 else "odd"] for i in range(12)], object),
        np.arange(12) % 2,
    ),
}


@pytest.mark.parametrize("to", ["parquet", "huggingface"])
@pytest.mark.parametrize("name", SOURCES)
def test_arrays_become_tables(tmp_path, name, to):
    data = SOURCES[name]()
    out = unseen.export(coreset_of(data, ROWS), to, tmp_path / f"kept.{to}", data=data)
    options = {"id": "id"} if name in ("vectors", "texts") else {}
    back = resolve(out, **options, **({"target": "target"} if name == "target" else {}))
    taken, wanted = everything(back), data.take(np.array(ROWS))
    if name == "table":
        assert taken[:, :3].tolist() == wanted[:, :3].tolist()
        assert taken[:, 3].tolist() == [str(value) for value in wanted[:, 3]]
    else:
        np.testing.assert_array_equal(taken, wanted)
    if name == "target":
        np.testing.assert_array_equal(back.targets, data.targets[ROWS])
    else:
        np.testing.assert_array_equal(back.labels, data.labels[ROWS])
        assert back.class_names == data.class_names
    if options:
        assert back.ids.tolist() == data.ids[ROWS].tolist()


@pytest.mark.parametrize("to", ["parquet", "huggingface"])
def test_a_folder_of_images_becomes_a_table(tmp_path, to):
    source = photos(tmp_path / "photos")
    data = from_folder(source)
    out = unseen.export(coreset_of(data, ROWS), to, tmp_path / f"kept.{to}", data=source)
    back = resolve(out, id="id")
    same_samples(back, data, ROWS)
    assert back.ids.tolist() == data.ids[ROWS].tolist()


@pytest.mark.parametrize("to", ["parquet", "huggingface"])
@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_tables_keep_their_columns_names_and_labels(tmp_path, kind, to):
    """As a person has them: labels in their own words under their own name, and columns that no learner read."""
    frame = pd.DataFrame({"age": range(40), "job": ["cook", "smith"] * 20, "paid": ["no", "yes", "yes", "no"] * 10})
    frame["age"] = frame["age"].to_numpy()[::-1] % 17
    frame["note"] = [f"note {row}" for row in range(40)]
    if kind == "frame":
        frame = frame.astype({"job": "category"}).set_index(pd.Index([f"s{row}" for row in range(40)]))
    else:
        frame.to_csv(tmp_path / "people.csv", index=False)
    data = frame if kind == "frame" else tmp_path / "people.csv"
    roles = {"label": "paid", "features": ["age", "job"]}
    coreset = unseen.prune(data, **roles, keep=0.5, learner="logistic", groups=None).coreset
    out = unseen.export(coreset, to, tmp_path / "kept.parquet", data=data, **roles)
    kept = pd.read_parquet(out) if to == "parquet" else datasets.load_from_disk(str(out)).to_pandas()
    expected = frame.iloc[coreset.indices]
    if kind == "frame":
        expected = expected.rename_axis("id").reset_index()[[*frame.columns, "id"]]
        expected["job"] = expected["job"].astype(str)
    pd.testing.assert_frame_equal(kept, expected.reset_index(drop=True), check_dtype=False)


def test_images_that_a_table_names_are_exported(tmp_path):
    files = sorted(photos(tmp_path / "photos").rglob("*.png"))
    places = [file.relative_to(tmp_path) for file in files]
    pd.DataFrame({"file": places, "animal": [place.parts[1] for place in places]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    roles = {"data": tmp_path / "a.csv", "image": "file", "label": "animal"}
    data = resolve(tmp_path / "a.csv", image="file", label="animal")
    unseen.export(coreset_of(data, ROWS), "folder", tmp_path / "kept", **roles)
    kept = {path.read_bytes(): path.parent.name for path in (tmp_path / "kept").rglob("*.png")}
    assert kept == {files[row].read_bytes(): places[row].parts[1] for row in ROWS}
    table = pq.read_table(unseen.export(coreset_of(data, ROWS), "parquet", tmp_path / "kept.parquet", **roles))
    assert [image["bytes"] for image in table["file"].to_pylist()] == [files[row].read_bytes() for row in ROWS]
    assert table["animal"].to_pylist() == [places[row].parts[1] for row in ROWS]
    files[ROWS[0]].unlink()
    with pytest.raises(DataError, match=r"which the data set names, cannot be read: No such file"):
        unseen.export(coreset_of(data, ROWS), "parquet", tmp_path / "other.parquet", **roles)


def test_columns_are_named_as_in_other_verbs(tmp_path):
    frame = pd.DataFrame({"age": range(20, 60), "job": ["cook", "smith"] * 20, "paid": ["no", "yes", "yes", "no"] * 10})
    frame["age"] = frame["age"][::-1].to_numpy() % 17
    pruned = unseen.prune(frame, label="paid", features=["age", "job"], keep=0.5, learner="logistic", groups=None)
    options = {"data": frame, "label": "paid", "features": ["age", "job"]}
    out = unseen.export(pruned, "parquet", tmp_path / "kept.parquet", **options)
    kept = pq.read_table(out)
    assert kept.num_rows == 20
    assert kept["job"].to_pylist() == frame["job"].iloc[pruned.coreset.indices].tolist()
    with pytest.raises(ArgumentError, match=r"to='parquet' has no option 'lable'"):
        unseen.export(pruned, "parquet", tmp_path / "other.parquet", data=frame, lable="paid")


def test_hugging_face_is_a_sorted_selection(tmp_path):
    ds = datasets.Dataset.from_parquet(str(pictures_table(tmp_path / "t.parquet")), cache_dir=str(tmp_path / "cache"))
    data = from_huggingface(ds)
    coreset = coreset_of(data, ROWS, order=np.array(ROWS)[::-1])
    out = unseen.export(coreset, "huggingface", tmp_path / "kept", data=ds)
    back = datasets.load_from_disk(str(out))
    assert back.features == ds.features
    assert back["note"] == ds.select(ROWS)["note"]
    same_samples(from_huggingface(back), data, ROWS)
    assert not [path for path in out.iterdir() if path.name in (LOCK, "spool")]


def test_hugging_face_on_disk_becomes_parquet_with_the_files_it_names(tmp_path):
    files = sorted(photos(tmp_path / "photos").rglob("*.png"))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    labels = [NAMES.index(file.relative_to(tmp_path).parts[1]) for file in files]
    ds = datasets.Dataset.from_dict({"image": [str(file) for file in files], "label": labels}, features=features)
    data = from_huggingface(ds)
    out = unseen.export(coreset_of(data, ROWS), "parquet", tmp_path / "kept.parquet", data=ds)
    images = pq.read_table(out).column("image").to_pylist()
    assert [image["bytes"] for image in images] == [files[row].read_bytes() for row in ROWS]
    ds.save_to_disk(tmp_path / "saved")
    saved = unseen.export(coreset_of(data, ROWS), "parquet", tmp_path / "s.parquet", data=tmp_path / "saved")
    same_samples(saved, data, ROWS)


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    data = SOURCES["vectors"]()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'unseen\[huggingface\]'"):
        unseen.export(coreset_of(data, ROWS), "huggingface", tmp_path / "kept", data=data)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_damaged_under_the_same_stamp(tmp_path):
    path = pictures_table(tmp_path / "t.parquet", n=200, group=50)
    coreset = coreset_of(from_parquet(path), range(100, 200))
    raw, stamp = bytearray(path.read_bytes()), path.stat()
    raw[len(raw) // 2 : len(raw) // 2 + 4000] = bytes(4000)
    path.write_bytes(raw)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(DataError, match=r"row group \d of .*t.parquet cannot be read"):
        unseen.export(coreset, "parquet", tmp_path / "kept.parquet", data=path)
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_a_csv_of_a_csv_has_its_rows_and_columns(tmp_path):
    rows = pd.DataFrame({"x": VECTORS[:, 0], "said": ['a, "b"', "two\nlines", "", "ü"] * 3, "label": ["01", "02"] * 6})
    rows.to_csv(tmp_path / "t.csv", index=False)
    pruned = unseen.prune(tmp_path / "t.csv", keep=6, rule="random", learner="forest:n_estimators=3", features=["x"])
    out = unseen.export(pruned, "csv", tmp_path / "kept.csv", data=tmp_path / "t.csv", features=["x"])
    kept = pd.read_csv(out, dtype={"label": str}, keep_default_na=False)
    expected = pd.read_csv(tmp_path / "t.csv", dtype={"label": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(kept, expected.iloc[pruned.coreset.indices].reset_index(drop=True))


TRICKY = ['00501,1.50,NA,"a; ""b""",True', "00502,2.0,null,plain,False", '10001,1e5,," two\nlines ",True']


@pytest.mark.parametrize(
    ("name", "separator", "end", "extra"),
    [
        ("t.csv", ",", "\n", ""),
        ("t.csv", ",", "\r\n", "\n\n"),
        ("t.csv", ",", "\r", "\r"),
        ("t.csv", ",", "\r", ""),
        ("t.csv.gz", "|", "\r", "\r"),
        ("t.csv.gz", ",", "\n", ""),
        ("t.tsv", "\t", "\n", "\n"),
    ],
)
def test_rows_of_a_csv_are_exported_as_they_are_written(tmp_path, name, separator, end, extra):
    lines = [f"{line},{'xyz'[at % 3]}".replace(",", separator) for at, line in enumerate(TRICKY * 6)]
    head = separator.join(["zip", "n", "na", "said", "yes", "label"])
    content = "\ufeff" + end.join([head, *lines]) + extra
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    pruned = unseen.prune(path, keep=7, rule="random", learner="forest:n_estimators=3", features=["n"])
    out = unseen.export(pruned, "csv", tmp_path / "kept.csv", data=path, features=["n"])
    kept = [lines[row] for row in pruned.coreset.indices]
    written = re.sub("\r\n|\r", "\n", out.read_bytes().decode())
    assert written == "\n".join(["\ufeff" + head, *kept]) + "\n"
    with pytest.raises(ArgumentError, match=r"out must not end in .gz"):
        unseen.export(pruned, "csv", tmp_path / "kept.csv.gz", data=path, features=["n"])


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ({}, "pandas.read_csv({!r})"),
        ({"sep": "\t"}, "pandas.read_csv({!r}, sep='\\t')"),
        ({"sep": ";"}, "pandas.read_csv({!r}, sep=';')"),
        ({"sep": ";", "decimal": ","}, "pandas.read_csv({!r}, sep=';', decimal=',')"),
    ],
)
def test_the_code_that_is_told_reads_a_csv_as_its_source(tmp_path, layout, told):
    frame = pd.DataFrame({"x": np.linspace(0, 1, 40).round(3), "label": np.tile(["a", "b"], 20)})
    frame.to_csv(tmp_path / "t.csv", index=False, **layout)
    pruned = unseen.prune(tmp_path / "t.csv", keep=10, rule="random", learner="forest:n_estimators=3")
    out = unseen.export(pruned, "csv", tmp_path / "kept.csv", data=tmp_path / "t.csv")
    code = KINDS.get("csv").reading(str(out))
    assert code == told.format(str(out))
    kept = eval(code, {"pandas": pd})
    pd.testing.assert_frame_equal(kept, frame.iloc[pruned.coreset.indices].reset_index(drop=True))


def test_a_csv_with_quotes_inside_of_entries_is_exported_as_it_is_written(tmp_path):
    rows = [f'0{at},5" pipe,{"xy"[at % 2]}' for at in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["n,said,label", *rows]) + "\n")
    pruned = unseen.prune(tmp_path / "t.csv", keep=4, rule="random", learner="forest:n_estimators=3", features=["n"])
    out = unseen.export(pruned, "csv", tmp_path / "kept.csv", data=tmp_path / "t.csv", features=["n"])
    assert out.read_text() == "\n".join(["n,said,label", *(rows[row] for row in pruned.coreset.indices)]) + "\n"


def test_a_csv_holds_no_images_and_no_lists(tmp_path):
    data = from_arrays(VECTORS, np.arange(12) % 2)
    with pytest.raises(ArgumentError, match="CSV has no form for the columns features; to='parquet' keeps"):
        unseen.export(coreset_of(data, ROWS), "csv", tmp_path / "kept.csv", data=data)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:left out of the inputs, since no model reads their type")
@pytest.mark.parametrize("to", ["csv", "huggingface"])
def test_columns_that_a_form_cannot_hold_are_refused(tmp_path, to):
    odd = {name: pa.array([b"\xff"] * 12, kind) for name, kind in (("b", pa.large_binary()), ("f", pa.binary(1)))}
    if to == "huggingface":
        odd = {"pairs": pa.array([[("k", 1)]] * 12, pa.map_(pa.string(), "int8"))}
    table = pa.table({"a": np.linspace(0, 1, 12).round(2), **odd, "label": [0, 1] * 6})
    pq.write_table(table, tmp_path / "t.parquet")
    pruned = unseen.prune(tmp_path / "t.parquet", keep=6, rule="random", learner="forest:n_estimators=3")
    with pytest.raises(ArgumentError, match=r"(has no form for the columns b, f|cannot hold .*map).*keeps all"):
        unseen.export(pruned, to, tmp_path / "kept", data=tmp_path / "t.parquet")
    assert not (tmp_path / "kept").exists()
