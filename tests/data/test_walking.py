"""What is a file of a data set, and what is not: links, hidden files, pipes, folders that must not be read, names."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from made_images import picture, write_folder

from unseen.data import from_folder, from_npz, from_parquet, from_shards, resolve
from unseen.data.files import walk
from unseen.errors import DataError


def everything(data):
    return data.take(np.arange(len(data)))


@pytest.fixture
def photos(tmp_path):
    names = [*(f"cat/{i}.png" for i in range(6)), *(f"dog/{i}.png" for i in range(6))]
    return write_folder(tmp_path / "photos", {name: picture(seed) for seed, name in enumerate(names)})


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    pq.write_table(pa.table({"f": [0.5, 1.5, 2.5], "label": [0, 1, 0]}), folder / "a.parquet")
    return folder


@contextmanager
def nobody():
    """Whoever runs the tests, but without the rights of root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_holds_itself_is_read_once(photos):
    (photos / "cat" / "loop").symlink_to("..")
    data = resolve(photos)
    assert len(data) == 12
    assert data.labels.tolist() == [0] * 6 + [1] * 6
    assert data.notes[0] == "left out, as they are read under another name: cat/loop (is the folder itself)"


def test_a_link_counts_where_the_folder_is_not_listed_anyway(photos, tmp_path):
    outside = write_folder(tmp_path / "outside", {"x.png": picture(50)})
    (photos / "cat" / "a").symlink_to(outside)
    (photos / "cat" / "b").symlink_to(outside)
    (photos / "cat" / "1dogs").symlink_to(photos / "dog")  # before the folder itself, by name
    data = from_folder(photos)
    assert data.ids.tolist()[:7] == [*(f"cat/{i}.png" for i in range(6)), "cat/a/x.png"]
    assert len(data) == 13
    assert data.notes[0].endswith("cat/1dogs (is dog), cat/b (is cat/a)")


def test_two_classes_that_are_one_folder_are_refused(photos):
    (photos / "kitten").symlink_to("cat")
    with pytest.raises(DataError, match=r"class folders must be different folders, but by links kitten is cat; remove"):
        from_folder(photos)


def test_parquet_files_are_read_once_whatever_links_lead_to_them(table):
    (table / "latest.parquet").symlink_to("a.parquet")
    (table / "again").symlink_to(".")
    data = from_parquet(table)
    assert everything(data).tolist() == [[0.5], [1.5], [2.5]]
    assert "again (is the folder itself), latest.parquet (is a.parquet)" in data.notes[0]


def test_a_folder_that_must_not_be_read_is_refused(photos, table):
    resolve(photos), resolve(table)  # so that all modules are there
    for folder in (photos / "cat" / "private", table / "private"):
        folder.mkdir(mode=0)
    for parent in (photos, *photos.parents[:4]):
        if parent.stat().st_uid == os.getuid():
            parent.chmod(0o755)
    with nobody():
        for path, name in ((photos, "photos/cat/private"), (table, "table/private")):
            with pytest.raises(
                DataError, match=f"{name} cannot be read: Permission denied; repair it, or move it away"
            ):
                resolve(path)


def test_hidden_files_are_left_out_at_every_depth_and_counted(photos, table):
    for name in (".ipynb_checkpoints/0-checkpoint.png", "deep/_tmp/1.png", "._0.png", ".cache/deep/2.png"):
        write_folder(photos / "cat", {name: picture(90)})
    (photos / "_junk").mkdir()
    data = from_folder(photos)
    assert len(data) == 12
    assert data.notes[0] == "left out, as hidden: 5 files or folders whose names begin with '.' or '_'"
    other = (table / "a.parquet").read_bytes()
    for name in ("_metadata.parquet", ".hidden.parquet", ".cache/a.parquet"):
        (table / name).parent.mkdir(exist_ok=True)
        (table / name).write_bytes(other)
    (table / "._a.parquet").write_bytes(b"\x00\x05\x16\x07AppleDouble")
    data = resolve(table)
    assert everything(data).tolist() == [[0.5], [1.5], [2.5]]
    assert data.notes[0] == "left out, as hidden: 4 files or folders whose names begin with '.' or '_'"
    assert pa.dataset.dataset(table).count_rows() == len(data)


def test_images_are_named_by_cameras(photos):
    """As in torchvision, so that rows are the same; a folder that begins so is none of its images."""
    for name in ("_MG_0001.png", "deep/_DSC2.png", "_other/_3.png", "._MG_0001.png"):
        write_folder(photos / "cat", {name: picture(len(name))})
    (photos / "cat" / "_notes.txt").write_text("")
    (photos / "cat" / "_folder.png").mkdir()
    data = from_folder(photos)
    assert data.ids.tolist()[6:8] == ["cat/_MG_0001.png", "cat/deep/_DSC2.png"]
    assert len(data) == 14
    assert data.notes[0] == "left out, as hidden: 4 files or folders whose names begin with '.' or '_'"


def test_a_hidden_file_that_is_named_is_read(table):
    (table / "a.parquet").rename(table / "_a.parquet")
    assert len(resolve(table / "_a.parquet")) == 3


def test_hidden_npy_files_are_no_arrays(tmp_path):
    for name in ("x-00000", "y-00000", "._x-00000", "._x-00001"):
        np.save(tmp_path / f"{name}.npy", np.arange(4.0).reshape(4, 1) if "x" in name else np.arange(4) % 2)
    data = resolve(tmp_path)
    assert len(data) == 4
    assert data.notes[0].startswith("left out, as hidden: 2 files")


def test_hidden_files_of_a_store_are_left_out():
    fsspec = pytest.importorskip("fsspec")
    for name in ("a.parquet", ".cache/a.parquet", "_metadata.parquet"):
        with fsspec.open(f"memory://walked/{name}", "wb") as file:
            pq.write_table(pa.table({"f": [0.5, 1.5], "label": [0, 1]}), file)
    assert len(resolve("memory://walked")) == 2


def test_what_is_no_file_is_refused_by_name_or_skipped(photos):
    os.mkfifo(photos / "cat" / "pipe.png")
    (photos / "cat" / "lost.png").symlink_to("nowhere.png")
    (photos / "dog" / "self.png").symlink_to("self.png")
    (photos / "dog" / "device.png").symlink_to("/dev/zero")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(photos / "dog")  # names of sockets are short
        server.bind("socket.png")
    finally:
        os.chdir(here)
        server.close()
    with pytest.raises(DataError) as caught:
        from_folder(photos)
    for said in (
        "cat/pipe.png (a pipe, not a file)",
        "cat/lost.png (a link to nowhere.png, which cannot be reached)",
        "dog/self.png (a link to self.png, which cannot be reached)",
        "dog/device.png (a device, not a file)",
        "dog/socket.png (a socket, not a file)",
    ):
        assert said in str(caught.value)
    for options in ({}, {"memory_limit": 100}):
        data = from_folder(photos, on_error="skip", **options)
        assert len(data) == 12
        assert data.notes[-1].startswith(
            "dropped 5 images that cannot be read; rows are counted without them: cat/lost.png"
        )


@pytest.mark.parametrize("name", ["p.parquet", "p.npz", "p.npy", "p", "sub/p.parquet"])
def test_pipes_and_broken_links_hang_nobody(table, name):
    (table / "sub").mkdir()
    os.mkfifo(table / name)
    for source in (table / name, table) if name.endswith("parquet") else (table / name,):
        with pytest.raises(DataError, match=f"{name} cannot be read: a pipe, not a file"):
            resolve(source)
    (table / name).unlink()
    (table / name).symlink_to("nowhere")
    for source in (table / name, table) if name.endswith("parquet") else (table / name,):
        with pytest.raises(DataError, match=f"{name} cannot be read: a link to nowhere, which cannot be reached"):
            resolve(source)


def test_a_pipe_for_an_array_hangs_nobody(tmp_path):
    np.save(tmp_path / "y.npy", np.arange(4) % 2)
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"x.npy cannot be read: a pipe, not a file"):
        resolve(tmp_path)
    for name in ("x-00000.npy", "y-00000.npy"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=r"-00000.npy cannot be read: a pipe, not a file"):
        from_shards(tmp_path)


def test_an_image_by_path_is_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "p")
    rows = pa.array([{"bytes": None, "path": str(tmp_path / "p")}])
    pq.write_table(pa.table({"image": rows, "label": [0]}), tmp_path / "set.parquet")
    with pytest.raises(DataError, match=r"row 0 of set.parquet, .*/p \(a pipe, not a file\)"):
        from_parquet(tmp_path / "set.parquet")


def _latin(folder: Path, name: str) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name.encode("latin-1")))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    path.unlink()
    return path


def test_names_that_are_no_utf8(photos, table):
    (photos / "cat" / "0.png").rename(_latin(photos / "cat", "caf\xe9.png"))
    with pytest.raises(DataError, match=r"1 image cannot be read: cat/caf\\xe9.png \(its name is not UTF-8: rename"):
        from_folder(photos)
    data = from_folder(photos, on_error="skip")
    assert len(data) == 11
    assert data.notes[-1].isascii()
    (photos / "dog").rename(_latin(photos, "chien\xe9"))
    with pytest.raises(DataError, match=r"the name of the folder .*photos/chien\\xe9 is not UTF-8; rename it"):
        from_folder(photos, on_error="skip")
    named = (table / "a.parquet").rename(_latin(table, "\xe9.parquet"))
    for source in (named, table):
        with pytest.raises(DataError, match=r"\\xe9.parquet cannot be read: its name is not UTF-8: rename it"):
            resolve(source)


def test_suffixes_and_names_in_capitals(photos, table, tmp_path):
    (photos / "cat" / "0.png").rename(photos / "cat" / "0.PNG")
    assert len(resolve(photos)) == 12
    (table / "a.parquet").rename(table / "a.PARQUET")
    assert len(resolve(table)) == len(resolve(table / "a.PARQUET")) == 3
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4) % 2
    np.savez(tmp_path / "set.npz", X=x, Y=y)
    (tmp_path / "set.npz").rename(tmp_path / "set.NPZ")
    folders = {"whole": ("X.npy", "y.npy"), "loud": ("X.NPY", "Y.NPY"), "shards": ("X-00000.npy", "Y-00000.npy")}
    for folder, (first, second) in folders.items():
        (tmp_path / folder).mkdir()
        for name, values in ((first, x), (second, y)):
            with (tmp_path / folder / name).open("wb") as file:
                np.save(file, values)
    for source in ("set.NPZ", *folders):
        data = resolve(tmp_path / source)
        np.testing.assert_array_equal(everything(data), x)
        assert data.labels.tolist() == y.tolist()
    assert from_npz(tmp_path / "whole", x="X").npy_file == (tmp_path / "whole" / "X.npy").resolve()


def test_an_array_of_objects_is_called_so(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(4.0).reshape(4, 1))
    np.save(tmp_path / "y.npy", np.array(["a", "b", "a", "b"], object))
    with pytest.raises(DataError, match=r"y.npy holds Python objects, .* as text, array.astype\(str\)"):
        resolve(tmp_path)


def test_the_order_is_that_of_torchvision(photos):
    write_folder(photos / "cat", {"b/1.png": picture(60), "a/c/1.png": picture(61), "a-b/1.png": picture(62)})
    by_walk = [
        (Path(folder) / file).relative_to(photos).as_posix()
        for name in ("cat", "dog")
        for folder, _, files in sorted(os.walk(photos / name))
        for file in sorted(files)
    ]
    assert from_folder(photos).ids.tolist() == walk(photos).files == by_walk
