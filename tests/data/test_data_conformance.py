"""Every format keeps the contract of data sets; for each promise there is a planted violation, which is caught."""

import copy
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

import unseen
from unseen.core import registry
from unseen.core.protocols import Data
from unseen.data import from_arrays, resolve
from unseen.data.arrays import from_npz
from unseen.data.formats import Format, Place, ReaderOptions, Reading, ReadOptions
from unseen.data.parts import Joined, Part
from unseen.data.sources import FORMATS, LAST, find_format, format_of
from unseen.engine.runs.commands import READ_BY
from unseen.errors import ArgumentError, UnknownNameError
from unseen.testing import check_data

RNG = np.random.default_rng(0)
N = 12
Y = np.arange(N) % 3
X = RNG.normal(size=(N, 4)).astype(np.float32)
X[5] = X[2]  # a copy
PIXELS = RNG.integers(0, 255, (N, 6, 6, 3), dtype=np.uint8)


def other(values):
    """The same with another first entry."""
    changed = np.array(values)
    changed[0] = changed[1]
    return changed


def table(x=X, y=Y):
    return pa.table({f"x{c}": x[:, c] for c in range(4)} | {"label": y})


def arrays(folder, x, y):
    return (x, y), {}


def vectors_by_name(folder, x, y):
    np.savez(folder / "a.npz", x=x, y=y)
    return folder / "a.npz", {}


def halves_in_npy(folder, x, y):
    np.save(folder / "x.npy", x.astype(np.float16))
    np.save(folder / "y.npy", y)
    return folder, {}


def shards(folder, x, y):
    for at in (0, 1):
        np.save(folder / f"x-0000{at}.npy", x[6 * at : 6 * at + 6])
        np.save(folder / f"y-0000{at}.npy", y[6 * at : 6 * at + 6])
    return folder, {}


def parquet(folder, x, y):
    pq.write_table(table(x, y), folder / "a.parquet", row_group_size=5)
    return folder / "a.parquet", {"label": "label"}


def parquet_read_again(folder, x, y):
    return parquet(folder, x, y)[0], {"label": "label", "memory_limit": 100}


def csv(folder, x, y):
    pa.csv.write_csv(table(x, y), folder / "a.csv")
    return folder / "a.csv", {"label": "label"}


def json_lines(folder, x, y):
    pd.DataFrame(table(x, y).to_pandas()).to_json(folder / "a.jsonl", orient="records", lines=True)
    return folder / "a.jsonl", {"label": "label"}


def frame_of_pandas(folder, x, y):
    return table(x, y).to_pandas().assign(city=["oslo", "rome"] * 6), {"label": "label"}


def frame_of_polars(folder, x, y):
    return pytest.importorskip("polars").from_arrow(table(x, y)), {"label": "label"}


def table_of_arrow(folder, x, y):
    return table(x, y), {"label": "label"}


def hugging_face(folder, x, y):
    return datasets.Dataset.from_dict({"text": [f"{a} {b:.3f}" for a, b in x[:, :2]], "label": y}), {}


def saved_hugging_face(folder, x, y):
    hugging_face(folder, x, y)[0].save_to_disk(folder)
    return folder, {}


def items(folder, x, y):
    return list(zip(x, y.tolist(), strict=True)), {}


def pictures(x):
    """Images that differ where the vectors do."""
    return (PIXELS.astype(int) + (100 * np.abs(x[:, :1, None, None])).astype(int)).clip(0, 255).astype(np.uint8)


def images_as_items(folder, x, y):
    return list(zip(pictures(x), y.tolist(), strict=True)), {}


def images_read_again(folder, x, y):
    return list(zip(pictures(x), y.tolist(), strict=True)), {"memory_limit": 200}


def folder_of_images(folder, x, y, **options):
    for at, (image, label) in enumerate(zip(pictures(x), y, strict=True)):
        (folder / f"class{label}").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"class{label}" / f"{at}.png")
    return folder, options


def folder_read_again(folder, x, y):
    return folder_of_images(folder, x, y, memory_limit=200)


def regression(folder, x, y):
    return x, {"target": (x[:, 0] + y).astype(float)}


FORMS = [
    arrays,
    vectors_by_name,
    halves_in_npy,
    shards,
    parquet,
    parquet_read_again,
    csv,
    json_lines,
    frame_of_pandas,
    frame_of_polars,
    table_of_arrow,
    hugging_face,
    saved_hugging_face,
    items,
    images_as_items,
    images_read_again,
    folder_of_images,
    folder_read_again,
]


def opened(form, folder, x=X, y=Y):
    folder.mkdir()
    source, options = form(folder, x, y)
    return resolve(source, **options)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_conforms(form, tmp_path):
    variants = [opened(form, tmp_path / "x", x=other(X)), opened(form, tmp_path / "y", y=other(Y))]
    (tmp_path / "a").mkdir()
    source, options = form(tmp_path / "a", X, Y)
    check_data(find_format(source, **options), variants=variants)


def test_every_format_is_among_the_forms(tmp_path):
    """A new format wants a form above, and its reader a name."""
    tried = [format_of("digits"), format_of(from_arrays(X, Y))]
    for form in FORMS:
        if form is not frame_of_polars:
            (tmp_path / form.__name__).mkdir()
            tried.append(format_of(form(tmp_path / form.__name__, X, Y)[0]))
    kinds = [*(kind for _, kind in FORMATS.items()), *LAST]
    named = [FORMATS.get("openml"), FORMATS.get("hub")]  # data sets that are downloaded, which have tests of their own
    assert [kind for kind in kinds if kind not in tried and kind not in named] == []
    assert {kind.reader for kind in kinds} == {*unseen.data.__all__} - {"from_batches"}


def test_the_options_of_reading_stand_once():
    known = {field.name for field in fields(ReadOptions)}
    assert known >= ReaderOptions.__annotations__.keys() >= Reading.__annotations__.keys()
    assert known >= set(READ_BY.values())
    for kind in [*(kind for _, kind in FORMATS.items()), *LAST]:
        assert known | {"y"} >= {*kind.options, *kind.aliases.values()}, kind


class Foreign(Data):
    """A data set of another package, with what is required alone."""

    kind, sample_shape, dtype = "vector", (4,), np.dtype(np.float32)

    def __init__(self, x, y):
        self.x, self.labels = x, y
        self.ids, self.class_names = np.arange(len(x)), ("a", "b", "c")

    def take(self, rows):
        return self.x[rows]

    def fingerprint(self, *, full=False):
        return {"x": self.x.sum().item(), "labels": self.labels.tolist()}


def test_a_data_set_of_another_package_reaches_every_verb(tmp_path):
    x, y = np.repeat(X, 5, axis=0) + RNG.normal(size=(60, 4)).astype(np.float32), np.repeat(Y, 5)
    data = Foreign(x, y)
    check_data(data, variants=[Foreign(x + 1, y)])
    for learner in ("logistic", "ridge"):
        pruned = unseen.prune(data, keep=0.5, learner=learner, plan=unseen.folds(2), jobs=1, out=tmp_path / learner)
        assert len(pruned.coreset.ids) == 30
    unseen.export(tmp_path / "ridge", to="parquet", data=data, out=tmp_path / "parquet")
    assert unseen.report(tmp_path / "ridge", data=data).exists()


class SpectraFormat(Format):
    """A format of another package: a name and numbers in each line of a file."""

    reader = "from_spectra"
    about = ("path to a .spc file", "of the spectrometer")
    options = ("class_names", "scale")

    @classmethod
    def reads(cls, source):
        return isinstance(source, Place) and source.suffix == ".spc"

    def open(self):
        rows = [line.split() for line in self.source.read_text().splitlines()]
        x = np.array([row[1:] for row in rows], dtype=np.float32) * self.given.get("scale", 1)
        return from_arrays(x, [row[0] for row in rows])


@pytest.fixture
def foreign(monkeypatch):
    """The format is announced as if its package were installed."""
    point = EntryPoint("spectra", f"{__name__}:SpectraFormat", "unseen.formats")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.setattr(FORMATS, "_foreign_loaded", False)
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))


def test_a_format_of_another_package_reaches_reading_report_and_export(foreign, tmp_path):
    path, x = tmp_path / "a.spc", np.repeat(X, 5, axis=0) + RNG.normal(size=(60, 4)).round(3)
    lines = [f"class{label} {' '.join(map(str, row))}" for row, label in zip(x, np.repeat(Y, 5), strict=True)]
    path.write_text("\n".join(lines))
    check_data(find_format(path, scale=2), variants=[resolve(path)])
    np.testing.assert_array_equal(resolve(path, scale=2).take(np.array([3])), 2 * x[3:4].astype(np.float32))
    run = tmp_path / "run"
    coreset = unseen.prune(path, keep=0.5, rule="top", learner="logistic", plan=unseen.folds(2), out=run).coreset
    kept = pq.read_table(unseen.export(run, "parquet", tmp_path / "kept.parquet", data=path))
    np.testing.assert_array_equal(np.stack(kept["features"].to_pylist()), x[coreset.indices].astype(np.float32))
    assert unseen.report(run, data=path).read_text().count("column 0") > 5
    with pytest.raises(UnknownNameError, match="from_spectra has no option 'scales'; did you mean 'scale'"):
        resolve(path, scales=2)
    with pytest.raises(ArgumentError, match=r"from int; (.|\n)* path to a \.spc file +of the spectrometer"):
        resolve(5)


@pytest.mark.parametrize(
    ("name", "wrong", "rule"),
    [
        ("reads", classmethod(lambda cls, source: False), "reads its own source"),
        ("reads", classmethod(lambda cls, source: True), "reads no other source"),
        ("labelling", from_arrays(X, Y, ids=np.arange(N) + 3), "labelling has the samples"),
        ("labelling", from_arrays(X, Y[::-1]), "labelling has the labels"),
        ("show", lambda self, rows: [{}], "show gives 12 samples, got 1"),
        ("show", lambda self, rows: ["text"] * len(rows), "show gives samples of kind vector"),
        ("stored_schema", pa.schema([("x", pa.int64())]), "stored gives tables of stored_schema"),
        ("stored", lambda self, rows: iter(()), "stored gives 6 rows, got 0"),
        ("known", lambda self: {"x": X}, r"known\(\) is JSON"),
        ("root", Path("/"), "ids name the files below root"),
    ],
)
def test_a_broken_format_is_caught(name, wrong, rule, tmp_path):
    path = tmp_path / "a.spc"
    path.write_text("\n".join(f"{label} {' '.join(map(str, row))}" for row, label in zip(X, "abc" * 4, strict=True)))
    planted = type("Planted", (SpectraFormat,), {name: wrong})
    if name == "stored_schema":
        planted.stored = lambda self, rows: SpectraFormat(path).stored(rows)
    with pytest.raises(AssertionError, match=rule):
        check_data(planted(path))


def test_what_only_looks_like_a_data_set_is_refused():
    class Duck:
        ids, labels = np.arange(2), np.arange(2)
        take, fingerprint = Foreign.take, Foreign.fingerprint

    with pytest.raises(ArgumentError, match=r"derives from unseen\.core\.protocols\.Data"):
        resolve(Duck())


def test_the_other_ways_in_conform(tmp_path):
    data = from_arrays(X, Y, ids=[f"s{i}" for i in range(N)], groups=np.arange(N) // 2)
    changed = from_arrays(X, Y, ids=[f"t{i}" for i in range(N)], groups=np.arange(N) // 2)
    check_data(data, variants=[changed, from_arrays(X, Y, ids=data.ids, groups=np.arange(N) // 3)])
    check_data(resolve("digits"))
    check_data(unseen.data.from_batches([(X[:6], Y[:6]), (X[6:], Y[6:])], tmp_path / "b"))
    check_data(from_arrays(X, target=X[:, 0].astype(float)), variants=[from_arrays(X, target=X[:, 1].astype(float))])
    for part in (Part(data, np.array([7, 1, 3])), Joined(data, from_arrays(X[:4] + 9, Y[:4]))):
        check_data(part, variants=[data])
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    check_data(Part(from_npz(tmp_path / "a.npz"), np.arange(4)))


def broken(name):
    """A data set with one fault."""
    data = copy.copy(from_arrays(X.copy(), Y))
    kind = type(data)

    class Broken(kind):
        def take(self, rows):
            if name == "sorts":
                return super().take(np.sort(rows))
            if name == "hands out its own" and len(rows) == N:
                return self.array
            if name == "drops repeats":
                return super().take(np.unique(rows))
            taken = super().take(rows)
            return {"float64": taken.astype(float), "flat": taken.ravel()}.get(name, taken)

        def as_kept(self, rows):
            return super().as_kept(rows) + (1 if name == "keeps another" else 0)

        def duplicate_groups(self):
            groups = super().duplicate_groups()
            return {"misses copies": np.arange(N), "all are copies": np.zeros(N, int)}.get(name, groups)

        def fingerprint(self, *, full=False):
            said = super().fingerprint(full=full)
            self.calls = getattr(self, "calls", 0) + 1
            if name == "sees no labels":
                said = {key: value for key, value in said.items() if key in ("kind", "n", "sample", "content")}
            return {**said, **({"calls": self.calls} if name == "restless" else {})} | (
                {"array": X} if name == "no json" else {}
            )

    data.__class__ = Broken
    Broken.__qualname__ = Broken.__name__ = f"Broken_{name.replace(' ', '_')}"
    globals()[Broken.__name__] = Broken  # found by its name, as what travels must be
    Broken.__module__ = __name__
    if name == "equal ids":
        data.ids = np.zeros(N, int)
    if name == "labels from 1":
        data.labels = Y + 1
    if name == "no class names":
        data.class_names = ("a", "a", "b")
    if name == "odd names":
        data.feature_names = ("a",)
    if name == "holds a lambda":
        data.hold = lambda: None
    return data


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("sorts", "rows in any order"),
        ("drops repeats", "rows in any order"),
        ("hands out its own", "take gives a copy"),
        ("float64", "take gives float32"),
        ("flat", r"take gives \(12, 4\)"),
        ("keeps another", "as_kept gives the same"),
        ("misses copies", "copies are in one group"),
        ("all are copies", "groups hold only copies"),
        ("restless", "fingerprint stays the same"),
        ("no json", r"fingerprint\(\) is JSON"),
        ("sees no labels", "tells another content: variant 1"),
        ("equal ids", "ids are unique"),
        ("labels from 1", r"labels are in 0\.\.2"),
        ("no class names", "class names are unique"),
        ("odd names", "feature_names are None"),
        ("holds a lambda", "travels to other processes"),
    ],
)
def test_a_broken_data_set_is_caught(name, rule):
    variants = [from_arrays(other(X), Y), broken(name)]
    variants[1].labels = np.roll(variants[1].labels, 1)
    with pytest.raises(AssertionError, match=rule):
        check_data(broken(name), variants=variants)


def test_what_derives_from_nothing_is_caught():
    with pytest.raises(AssertionError, match=r"derives from unseen\.core\.protocols\.Data"):
        check_data(object())
