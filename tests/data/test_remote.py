from __future__ import annotations

import pickle
import sys

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from made_vectors import X, Y, everything, table, write

import unseen
from unseen.data import from_arrays, from_parquet, from_shards, resolve, storage
from unseen.data.base import ArrayData
from unseen.data.shards import ShardedVectors
from unseen.errors import ArgumentError, DataError, MissingDependencyError, UnknownNameError

ORDERS = [
    np.arange(500),
    np.arange(3, 222),
    np.arange(0, 500, 7),
    np.random.default_rng(1).permutation(500),
    np.array([5, 5, 499, 0, 5]),
    np.array([], int),
]


class Unsteady(MemoryFileSystem):
    """A store that fails as often as it is told to, at reading what is named so."""

    protocol = "unsteady"
    failing: str
    errors: list
    asked: list

    def _open(self, path, *args, **kwargs):
        self.fail(path)
        return super()._open(path, *args, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self.fail(path)
        return self.store[path].getvalue()[start:end]

    def fail(self, path):
        self.asked.append(path)
        if self.errors and path.endswith(self.failing):
            raise self.errors.pop()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("unsteady://"))

    @classmethod
    def told(cls, failing, *errors):
        cls.failing, cls.errors, cls.asked = failing, list(errors), []


fsspec.register_implementation("unsteady", Unsteady)


@pytest.fixture(autouse=True)
def store(monkeypatch):
    """An empty one, in which nobody waits."""
    monkeypatch.setattr(storage, "_WAITS", (0, 0))
    Unsteady.told("")
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


@pytest.fixture
def put(store, tmp_path):
    """Send a local file or folder, and say where it is."""

    def put(path, protocol="memory"):
        store.put(str(path), f"/bucket/{path.name}", recursive=True)
        return f"{protocol}://bucket/{path.name}"

    return put


@pytest.fixture
def shards(tmp_path, put):
    return put(write(tmp_path / "set", 7))


@pytest.fixture
def row_groups(tmp_path, put):
    (tmp_path / "tables").mkdir()
    for part in range(2):
        rows = slice(250 * part, 250 * part + 250)
        table(tmp_path / "tables" / f"{part}.parquet", x=X[rows])
        labels = pa.table({"v": pq.read_table(tmp_path / "tables" / f"{part}.parquet")["v"], "label": Y[rows]})
        pq.write_table(labels, tmp_path / "tables" / f"{part}.parquet", row_group_size=40)
    return put(tmp_path / "tables")


@pytest.mark.parametrize("rows", ORDERS)
@pytest.mark.parametrize("gap", [0, 30, storage._GAP])
def test_any_rows_of_npy_shards_are_those_of_the_array(shards, rows, gap, monkeypatch):
    monkeypatch.setattr(storage, "_GAP", gap)
    data = resolve(shards)
    assert isinstance(data, ShardedVectors)
    assert data.take(rows).tobytes() == from_arrays(X, Y).take(rows).tobytes()


@pytest.mark.parametrize("rows", ORDERS)
def test_any_rows_of_parquet_are_those_of_the_array(row_groups, rows):
    small, large = resolve(row_groups), resolve(row_groups, memory_limit=1000)
    assert isinstance(small, ArrayData)
    assert isinstance(large, ShardedVectors)
    for data in (small, large):
        np.testing.assert_array_equal(data.labels, Y)
        assert data.take(rows).tobytes() == from_arrays(X, Y).take(rows).tobytes()


def test_scores_and_content_are_those_of_local_files_however_they_are_cut(tmp_path, put, row_groups):
    plan, learner = unseen.leave_one_out(), "ridge:lam=1.0"
    sources = [write(tmp_path / "set", 5), put(tmp_path / "set"), put(write(tmp_path / "one", 1)), row_groups]
    sources += [f"file://{tmp_path / 'set'}", f"file://{tmp_path / 'tables'}"]
    sources.append(from_parquet(row_groups, memory_limit=0))
    first, *others = [unseen.score(source, plan=plan, learner=learner) for source in sources]
    for other in others:
        for name, values in first.values.items():
            assert values.tobytes() == other.values[name].tobytes(), name
    full = [resolve(source).fingerprint(full=True) for source in sources]
    assert all(other == full[0] for other in full)


def test_one_file_and_what_else_a_reader_takes(tmp_path, put, store):
    path = table(tmp_path / "set.parquet", split=pa.array(np.where(np.arange(500) % 3, "train", "test")))
    data = resolve(put(path), split="test", memory_limit=0)
    assert everything(data).tobytes() == X[::3].astype(np.float32).tobytes()
    pq.write_table(pa.table({"t": ["one", "two"], "label": [0, 1]}), tmp_path / "t.parquet")
    assert resolve(put(tmp_path / "t.parquet")).take(np.array([1])).tolist() == ["two"]
    names = np.array(["ant", "bee", "chamois"])[Y]
    folder = write(tmp_path / "set", 4, y=names, id=np.arange(500) * 2, group=np.arange(500) // 5)
    data = resolve(put(folder))
    assert data.class_names == ("ant", "bee", "chamois")
    np.testing.assert_array_equal(data.ids, np.arange(500) * 2)
    np.testing.assert_array_equal(data.groups, np.arange(500) // 5)


def test_rows_are_read_not_files(tmp_path, put, monkeypatch):
    url, read = put(write(tmp_path / "big", 2, x=np.ones((500, 3000)))), []
    data, fetch = from_shards(url), storage.RemoteStorage.fetch
    monkeypatch.setattr(storage.RemoteStorage, "fetch", lambda self, asked: read.extend(asked) or fetch(self, asked))
    data.take(np.arange(10, 20))
    data.take(np.array([240, 0, 1, 499]))
    row, header = 24_000, 128
    assert [(name, start - header, end - header) for name, start, end in read] == [
        ("x-00000.npy", 10 * row, 20 * row),
        ("x-00000.npy", 0, 2 * row),
        ("x-00000.npy", 240 * row, 241 * row),
        ("x-00001.npy", 249 * row, 250 * row),
    ]


@pytest.mark.parametrize("form", ["npy", "parquet"])
def test_a_shard_that_changed_is_refused_by_name(form, shards, row_groups, store, monkeypatch):
    data = from_shards(shards) if form == "npy" else from_parquet(row_groups, memory_limit=0)
    stamps = data.fingerprint()
    again = from_shards(shards) if form == "npy" else from_parquet(row_groups, memory_limit=0)
    assert again.fingerprint() == stamps
    sent = pickle.dumps(data)
    assert not any(part.tobytes() in sent for part in (X[0], X[499], X[0].astype(np.float32)))
    changed = "set/x-00006.npy" if form == "npy" else "tables/1.parquet"
    store.pipe(f"/bucket/{changed}", store.cat(f"/bucket/{changed}"))
    for opened in (data, pickle.loads(sent)):
        assert len(opened.take(np.arange(40))) == 40
        with pytest.raises(DataError, match=rf"memory://bucket/{changed} has changed since it was opened"):
            opened.take(np.array([499]))
    store.rm(f"/bucket/{changed}")
    with pytest.raises(DataError, match=rf"{changed} has changed since it was opened"):
        pickle.loads(sent).take(np.array([499]))


def test_a_mark_is_the_same_in_a_list_and_by_itself():
    quoted = storage.read_state({"size": 3, "ETag": '"ab"', "LastModified": 5.0}, "x")
    assert quoted.same(storage.read_state({"size": 3, "etag": "ab"}, "x"))
    assert not quoted.same(storage.read_state({"size": 3, "etag": "ac", "last_modified": 5.0}, "x"))
    assert not quoted.same(storage.read_state({"size": 4, "etag": "ab"}, "x"))
    assert quoted.same(storage.read_state({"size": 3}, "x")), "nothing but the size is known"
    with pytest.raises(DataError, match="does not tell its size"):
        storage.read_state({"size": None}, "https://host/x.npy")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:-9], r"set/x-00003.npy is damaged: it has .* bytes, and its header says"),
        (lambda x: x[:60], r"set/x-00003.npy is damaged"),
        (lambda x: b"", r"set/x-00003.npy is damaged"),
    ],
)
def test_a_damaged_npy_shard_is_refused_when_it_is_opened(shards, store, spoil, message):
    store.pipe("/bucket/set/x-00003.npy", spoil(store.cat("/bucket/set/x-00003.npy")))
    with pytest.raises(DataError, match=message):
        resolve(shards)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x-00003", np.asfortranarray(X[:72]), r"x-00003.npy is stored column by column.*np.ascontiguousarray"),
        ("x-00003", X[:72].astype(object), r"x-00003.npy holds Python objects, which are never unpickled"),
        ("y-00003", Y[:72].astype(object), r"y-00003.npy holds Python objects, which are never unpickled"),
        ("x-00003", X[:72, :5], r"x-00000.npy has 6 columns and x-00003.npy has 5"),
        ("y-00003", Y[:7], r"y-00003.npy must have one entry for each"),
    ],
)
def test_npy_shards_that_do_not_fit_are_refused_by_name(tmp_path, put, name, array, message):
    folder = write(tmp_path / "set", 7)
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(DataError, match=message):
        resolve(put(folder))


def test_a_damaged_row_group_is_named(tmp_path, put, row_groups, store):
    content = bytearray(store.cat("/bucket/tables/1.parquet"))
    start = pq.read_metadata(tmp_path / "tables" / "1.parquet").row_group(2).column(0).data_page_offset
    content[start : start + 60] = bytes(60)
    store.pipe("/bucket/tables/1.parquet", bytes(content))
    data = from_parquet(row_groups, memory_limit=0)
    assert len(data.take(np.arange(250 + 80))) == 330
    with pytest.raises(DataError, match=r"row group 2 of memory://bucket/tables/1.parquet cannot be read, in 3 tries"):
        data.take(np.array([340]))
    store.pipe("/bucket/tables/0.parquet", b"PAR1")
    with pytest.raises(DataError, match=r"memory://bucket/tables/0.parquet cannot be read, in 3 tries: ArrowInvalid"):
        from_parquet(row_groups)


LOST = [ConnectionError("the line is dead"), TimeoutError("no answer")]


@pytest.mark.parametrize("form", ["npy", "parquet"])
def test_a_read_that_fails_is_tried_three_times(form, shards, row_groups):
    shard, url = ("x-00003.npy", shards) if form == "npy" else ("1.parquet", row_groups)
    options = {} if form == "npy" else {"memory_limit": 0}
    data, rows = resolve(url.replace("memory", "unsteady"), **options), np.arange(480 if form == "parquet" else 280)
    Unsteady.told(shard, *LOST)
    assert data.take(rows).tobytes() == X[rows].astype(np.float32).tobytes()
    assert not Unsteady.errors
    data = resolve(url.replace("memory", "unsteady"), **options)
    Unsteady.told(shard, *LOST * 3)
    with pytest.raises(DataError, match=rf"unsteady://bucket/.*{shard} cannot be read, in 3 tries: \w+Error: "):
        data.take(rows)


def test_bytes_that_do_not_come_are_asked_for_again(shards, monkeypatch):
    cut, whole = [], MemoryFileSystem.cat_file

    def cat_file(self, path, start=None, end=None, **more):
        short = path.endswith("x-00002.npy") and len(cut) < 2 and not cut.append(path)
        return whole(self, path, start, end, **more)[: -5 if short else None]

    data = from_shards(shards)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    assert everything(data).tobytes() == X.astype(np.float32).tobytes()
    assert len(cut) == 2


def test_refusals_are_told_at_once(shards):
    Unsteady.told("y-00000.npy", *[PermissionError("Forbidden")] * 9)
    with pytest.raises(DataError, match=r"set/y-00000.npy cannot be read: access is refused \(Forbidden\); credential"):
        resolve(shards.replace("memory", "unsteady"))
    assert sum(path.endswith("y-00000.npy") for path in Unsteady.asked) == 2, "with the others, and by itself"


def test_what_is_not_there_or_of_another_form_is_refused(tmp_path, put, store):
    with pytest.raises(DataError, match="memory://nowhere cannot be read: there is no such file or folder"):
        resolve("memory://nowhere")
    with pytest.raises(UnknownNameError, match=r"unknown protocol 's4'; did you mean 's3'"):
        resolve("s4://bucket/folder")
    with pytest.raises(ArgumentError, match="a URL must not hold a password"):
        resolve("ftp://me:secret@host/folder")
    store.pipe("/bucket/photos/cat/1.jpg", b"x")
    with pytest.raises(DataError, match=r"memory://bucket/photos holds neither parquet files nor numbered shards"):
        resolve("memory://bucket/photos")
    with pytest.raises(ArgumentError, match="text='y' names a column, and from_shards has none"):
        resolve(put(write(tmp_path / "set", 1)), text="y")


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    fsspec.register_implementation("absent", "no_such_package.Store", errtxt="Install it", clobber=True)
    with pytest.raises(MissingDependencyError, match=r"'no_such_package', which is not installed"):
        resolve("absent://bucket/folder")
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"reading s3://bucket/folder .* pip install 'unseen\[remote\]'"):
        resolve("s3://bucket/folder")
    assert len(resolve(write(tmp_path / "set", 2))) == 500, "local files do without"
