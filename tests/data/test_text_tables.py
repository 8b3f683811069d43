"""CSV and JSON-lines files: what they become, and one line for what is wrong with them."""

from __future__ import annotations

import bz2
import gzip
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unseen.data import resolve
from unseen.errors import ArgumentError, DataError, UnknownNameError


@pytest.fixture
def write(tmp_path):
    def writing(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writing


def everything(data):
    return data.take(np.arange(len(data))).tolist()


READ = {
    "commas": ("a.csv", "age,job,paid\n31,cook,no\n52,smith,yes\n", [[31, "cook"], [52, "smith"]]),
    "semicolons, decimal commas": ("a.csv", "age;job;paid\n1,5;cook;no\n2;a,b;yes\n", [[1.5, "cook"], [2.0, "a,b"]]),
    "tabs": ("a.tsv", "age\tjob\tpaid\n1.5\tcook\tno\n2\tsmith\tyes\n", [[1.5, "cook"], [2.0, "smith"]]),
    "vertical bars": ("a.csv", "age|job|paid\n1.5|cook|no\n2|a,b|yes\n", [[1.5, "cook"], [2.0, "a,b"]]),
    "carriage returns": ("a.csv", "age,job,paid\r1.5,cook,no\r2,smith,yes\r", [[1.5, "cook"], [2.0, "smith"]]),
    "byte-order mark": ("a.csv", b"\xef\xbb\xbfage,paid\n1,no\n2,yes\n", [[1.0], [2.0]]),
    "quotes and lines in them": ("a.csv", 'age,job,paid\n1,"a,\nb",no\n2,c,yes\n', [[1, "a,\nb"], [2, "c"]]),
    "missing entries": ("a.csv", "age,job,paid\n,NA,no\n2,c,yes\n", [[None, None], [2, "c"]]),
    "whole after text": ("a.csv", "age,b,paid\n1,2,no\nx,3,yes\n", [["1", 2], ["x", 3]]),
    "JSON lines": (
        "a.jsonl",
        '{"age": 31, "job": "cook", "paid": "no"}\n{"paid": "yes", "age": 5}\n',
        [[31, "cook"], [5, None]],
    ),
    "JSON lines with a mark": (
        "a.ndjson",
        b'\xef\xbb\xbf{"age": 1, "paid": "no"}\n{"age": 2, "paid": "yes"}\n',
        [[1.0], [2.0]],
    ),
    "embeddings": ("a.jsonl", '{"v": [1, 2.5], "paid": "no"}\n{"v": [3, 4], "paid": "yes"}\n', [[1, 2.5], [3, 4]]),
}


@pytest.mark.parametrize("case", READ)
def test_files_become_tables(write, case):
    name, content, expected = READ[case]
    data = resolve(write(name, content), label="paid")
    assert everything(data) == expected
    assert data.class_names == ("no", "yes")


def test_the_row_numbers_that_pandas_writes_are_no_features(write):
    rows = "".join(f"{i},{i % 3},{i % 5},{'ny'[i % 2]}\n" for i in range(15))
    assert resolve(write("a.csv", ",age,b,paid\n" + rows), label="paid").feature_names == ("age", "b")


def test_types_are_told(write):
    data = resolve(write("a.csv", "age;pay;job;in;paid\n1;1,5;c;true;0\n2;2,5;d;false;1\n"), label="paid")
    assert "types found: integer (age, paid), real (pay), text (job), yes/no (in)" in data.notes
    assert "numbers have decimal commas" in data.notes
    assert "columns are separated by semicolons" in data.notes


BAD = {
    "ragged": (
        "a.csv",
        "a,paid\n1,no\n2,yes,3\n3\n",
        "must have 2 entries.* 2 have not: row 3 of the file has 3: '2,yes,3'",
    ),
    "latin-1": (
        "a.csv",
        "a,paid\n1,no\n2,nö\n".encode("latin-1"),
        "UTF-8, but it is not in column 'paid', row 1; as Windows-1252 it reads 'nö'",
    ),
    "latin-1 names": ("a.csv", "ä,paid\n1,no\n".encode("latin-1"), "UTF-8, but it is not in the names of columns"),
    "UTF-16": ("a.csv", "a,paid\n1,no\n".encode("utf-16"), "is UTF-16, and must be UTF-8: iconv"),
    "thousands": (
        "a.csv",
        'a,paid\n5,no\n"1,234",yes\n',
        "column 'a' must hold numbers without thousands separators, but row 1 has '1,234'",
    ),
    "two without a name": ("a.csv", ",,paid\n1,2,no\n", "two columns of one name, but it has of ''; rename one"),
    "two of one name": ("a.csv", "a,a,paid\n1,2,no\n", "two columns of one name, but it has of a; rename one"),
    "no names, two alike": (
        "a.csv",
        "25, Private, 11th, 0, 0\n38, Private, HS, 0, 1\n",
        "the first row must name the columns, but it reads '25, Private, 11th, 0, 0'; add a line of names above it",
    ),
    "nothing": ("a.csv", "", "a.csv cannot be read as CSV: it is empty"),
    "Excel's line": (
        "a.csv",
        "sep=;\r\na;paid\r\n1;no\r\n",
        r"a.csv: its first line, 'sep=;', is for Excel alone; delete",
    ),
    "names only": ("a.csv", "a,paid\n", "the data set is empty"),
    "no such column": ("a.csv", "a,pay\n1,no\n2,yes\n", "unknown column for label 'paid'; did you mean 'pay'"),
    "real labels": ("a.csv", "a,paid\n1,0.5\n2,1\n", "column 'paid' must hold classes, but row 0 has 0.5"),
    "no labels": (
        "a.csv",
        "a,paid\n1,\n2,\n",
        "column 'paid' must be given for every sample, but it is missing in 2 rows: 0, 1",
    ),
    "types that change": (
        "a.jsonl",
        '{"a": 1, "paid": 1}\n{"a": "x", "paid": 2}\n',
        "JSON lines: .*/a.* changed from number to string in row 1",
    ),
    "broken JSON": ("a.jsonl", '{"a": 1, "paid": 1}\n{"a": 1,\n', "a.jsonl cannot be read as JSON lines: .* in row 1"),
    "a JSON list": ("a.json", '[{"a": 1, "paid": 1}]', "must hold one JSON object a line, but it is a list"),
    "no JSON": ("a.jsonl", "", "a.jsonl cannot be read as JSON lines: it is empty"),
    "unequal lists": (
        "a.jsonl",
        '{"a": [1, 2], "paid": 1}\n{"a": [1], "paid": 2}\n',
        "'a' must hold lists of one length, but row 0 has 2 entries and row 1 has 1; pad or cut",
    ),
    "lists of labels": (
        "a.jsonl",
        '{"a": 1, "paid": [1]}\n{"a": 2, "paid": [2]}\n',
        "column 'paid' must have one entry a sample, but row 0 holds",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_one_line(write, case):
    name, content, message = BAD[case]
    with pytest.raises((DataError, UnknownNameError), match=message) as caught:
        resolve(write(name, content), label="paid")
    assert "\n" not in str(caught.value)


def test_columns_by_the_thousand(write):
    wide = 5000
    names = ",".join(f"c{i}" for i in range(wide))
    rows = ["".join(f"{(i * j) % 7}," for i in range(wide)) + f"{j % 2}\n" for j in range(4)]
    data = resolve(write("wide.csv", f"{names},label\n" + "".join(rows)))
    assert data.sample_shape == (wide,)
    assert everything(data)[3][5] == 1.0


def test_without_a_label_the_column_is_asked_for(write):
    path = write("people.csv", "age,job,income\n1,cook,no\n2,cook,yes\n3,smith,no\n4,dean,yes\n")
    with pytest.raises(
        ArgumentError, match="must name the column of labels, as in label='income'; the columns are age, job"
    ):
        resolve(path)
    with pytest.raises(ArgumentError, match="must name the column of labels; the columns are a, b"):
        resolve(pa.table({"a": [1, 2], "b": [1, 2]}))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_images_by_the_names_of_their_files(write, tmp_path, monkeypatch, name):
    """They are seen from the folder of the table, wherever the program runs."""
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path.parent)
    shades = [10 * row for row in range(20)]
    for shade in shades:
        Image.new("RGB", (4, 4), (shade, 0, 0)).save(tmp_path / "photos" / f"{shade}.png")
    rows = [(f"photos/{shade}.png", "no" if shade < 100 else "yes") for shade in shades]
    csv = "file,paid\n" + "".join(f"{file},{paid}\n" for file, paid in rows)
    lines = "".join(f'{{"file": "{file}", "paid": "{paid}"}}\n' for file, paid in rows)
    path = write(name, csv if name == "a.csv" else lines)
    if name == "a.parquet":
        pq.write_table(pa.table(dict(zip(("file", "paid"), zip(*rows, strict=True), strict=True))), path)
    data = resolve(path, label="paid", image="file")
    assert data.take(np.arange(20))[:, 0, 0, 0].tolist() == shades
    absolute = pa.table({"image": [str(tmp_path / file) for file, _ in rows], "label": [paid for _, paid in rows]})
    assert resolve(absolute, image="image").take(np.array([3])).shape == (1, 4, 4, 3)
    with pytest.raises(
        DataError, match=r"'file' holds names of image files, such as 'photos/0.png'; image='file' reads"
    ):
        resolve(path, label="paid")
    assert resolve(path, label="paid", features=["file"]).kind == "text"
    assert resolve(path, label="paid", image="file", id="file").ids[0] == "photos/0.png"
    with pytest.raises(DataError, match=r"'shade' must hold images or names of image files, such as .*, but .* int64"):
        resolve(write("b.csv", "shade,label\n1,a\n2,b\n"), image="shade")
    (tmp_path / "photos" / "50.png").unlink()
    with pytest.raises(DataError, match=r"1 image cannot be read: row 5.*, .*photos/50.png \(No such file"):
        resolve(path, label="paid", image="file")


def test_names_of_images_beside_other_columns_are_told(write):
    rows = "".join(f"{row:02}.png,{row % 7},{'no' if row % 3 else 'yes'}\n" for row in range(20))
    path = write("a.csv", f"file,width,paid\n{rows}")
    data = resolve(path, label="paid")
    assert data.feature_names == ("width",)
    assert any("'00.png', which are not read; image='file' (--image) reads them" in note for note in data.notes)


def test_a_first_row_of_numbers_names_no_columns(write):
    with pytest.raises(DataError, match=r"a\.csv: the first row must name the columns, but it reads '0\.5,-1\.2"):
        resolve(write("a.csv", "0.5,-1.2,1\n0.1,0.3,0\n"), label="1")
    assert resolve(write("b.csv", "0,1,2\n0.1,0.3,0\n0.5,0.3,1\n"), label="2").feature_names == ("0", "1")


@pytest.mark.parametrize("role", ["id", "group"])
def test_labels_ids_and_groups_keep_the_zeros_and_digits_that_they_are_written_with(write, role):
    zeros = [f"{row:04}" for row in range(20)]
    long = [str(10**20 + row) for row in range(20)]
    rows = [f"{row % 7}.5,0{1 + row % 2},{zeros[row]},{long[row]}\n" for row in range(20)]
    path = write("codes.csv", "a,label,short,long\n" + "".join(rows))
    for column, written in (("short", zeros), ("long", long)):
        data = resolve(path, **{role: column})
        assert data.class_names == ("01", "02")
        assert len(set(data.ids.tolist() if role == "id" else data.groups.tolist())) == 20
        assert role == "group" or data.ids.tolist() == written
    # Numbers that lose nothing stay numbers.
    path = write("plain.csv", "a,label,key\n" + "".join(f"{row % 7}.5,{row % 2},{2**62 + row}\n" for row in range(20)))
    data = resolve(path, id="key")
    assert data.class_names == ("0", "1")
    assert data.ids.tolist() == [2**62 + row for row in range(20)]


def test_labels_that_differ_by_a_zero_are_two_classes(write):
    path = write("codes.csv", "a,label\n" + "0,1\n1,01\n2,2\n" * 10)
    assert resolve(path).class_names == ("01", "1", "2")


@pytest.mark.parametrize(("end", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
@pytest.mark.parametrize("case", ["semicolons, decimal commas", "byte-order mark", "JSON lines"])
def test_packed_files_are_read_as_they_are_unpacked(write, case, end, pack):
    name, content, expected = READ[case]
    packed = pack(content if isinstance(content, bytes) else content.encode())
    data = resolve(write(name + end, packed), label="paid")
    assert everything(data) == expected
    with pytest.raises(DataError, match="cannot be read: "):
        resolve(write("broken" + name + end, packed[: len(packed) // 2]), label="paid")


def test_dates_are_days_with_a_warning(write):
    rows = [f"2020-01-{1 + row % 3:02},{row % 5},{'ny'[row % 2]}" for row in range(20)]
    path = write("a.csv", "day,b,paid\n" + "\n".join(rows))
    with pytest.warns(UserWarning, match="column 'day' holds dates, and is read as days since 1970-01-01, a number"):
        data = resolve(path, label="paid")
    assert (data.kind, data.feature_names) == ("vector", ("day", "b"))
    assert data.take(np.arange(3))[:, 0].tolist() == [18262.0, 18263.0, 18264.0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_features_with_zeros_in_front_are_noted(write, separator, end):
    path = write("a.csv", "zip,n,paid\n00501,1,no\n10001,20,yes\n".replace(",", separator).replace("\n", end))
    (note,) = [note for note in resolve(path, label="paid").notes if "zeros in front" in note]
    assert note.startswith("column 'zip' is written with zeros in front, but read as a number")
    assert "dtype={'zip': str}" in note
    for options in ({"features": ["n"]}, {"id": "zip"}):
        assert "zeros in front" not in " ".join(resolve(path, label="paid", **options).notes)


LISTS = ("[{}, -2.5e-3, 0]", "({},\t3, 4,)", "[{}  1.\n 2.]")


@pytest.mark.parametrize("entry", [*LISTS, "[{}, 1, nan_]", "[a {} 2]", "({})", "({}, 9]"])
def test_lists_of_numbers_in_a_csv_file_are_told(write, entry):
    rows = "".join(f'"{entry.format(i)}",{i},{"ny"[i % 2]}\n' for i in range(4))
    path = write("a.csv", "v,a,paid\n" + rows)
    for options, kind in (({}, "table"), ({"features": "v"}, "text")):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert resolve(path, label="paid", **options).kind == kind
        told = ["read by features='v' (--feature v)" in str(one.message) for one in said]
        assert told == ([True] if entry in LISTS else [])
