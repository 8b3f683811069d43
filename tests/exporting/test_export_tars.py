"""WebDataset: shards that the library reads, made or copied, and keys."""

from __future__ import annotations

import gc
import io
import json
import tarfile
import warnings

import numpy as np
import pytest
import webdataset
from small_exports import coreset_of, left, photos, picture, pictures_table, png

import unseen
from unseen.core.coreset import Coreset
from unseen.data import from_arrays, from_folder, from_parquet
from unseen.errors import ArgumentError, DataError

ROWS = [0, 1, 2, 6, 11]


def read(folder):
    """The samples of all shards of a folder, decoded."""
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves shards open
        samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("rgb8"))
        gc.collect()
    return samples


def test_shards_of_a_folder_of_images(tmp_path):
    source = photos(tmp_path / "photos")
    data = from_folder(source)
    coreset = coreset_of(data, ROWS)
    out = unseen.export(coreset, "webdataset", tmp_path / "kept", data=source)
    samples = read(out)
    assert [sample["__key__"] for sample in samples] == ["00", "01", "02", "06", "11"]
    assert [sample["cls"] for sample in samples] == data.labels[ROWS].tolist()
    assert [sample["json"]["__id__"] for sample in samples] == coreset.ids.tolist()
    np.testing.assert_array_equal([sample["png"] for sample in samples], data.take(np.array(ROWS)))


def test_shards_are_cut_by_size_and_equal_coresets_give_equal_ones(tmp_path):
    path = pictures_table(tmp_path / "t.parquet")
    data = from_parquet(path)
    first, second = (
        unseen.export(coreset_of(data, ROWS), "webdataset", tmp_path / name, data=path, shard_bytes=2000)
        for name in ("a", "b")
    )
    assert len(left(first)) == 5
    assert left(first) == left(second)
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in left(first))
    samples = read(first)
    np.testing.assert_array_equal([sample["png"] for sample in samples], data.take(np.array(ROWS)))
    assert [sample["json"]["note"] for sample in samples] == [None, "note 1", "note 2", None, "note 11"]


def test_shards_of_vectors_and_targets(tmp_path):
    data = from_arrays(np.arange(36.0).reshape(12, 3), target=np.arange(12) / 3)
    samples = read(unseen.export(coreset_of(data, ROWS), "webdataset", tmp_path / "kept", data=data))
    np.testing.assert_array_equal([sample["features.npy"] for sample in samples], data.take(np.array(ROWS)))
    assert [float(sample["target.txt"]) for sample in samples] == data.targets[ROWS].tolist()


def shard(path, keys):
    """A tar as people have them."""
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode) as tar:
        for key in keys:
            for end, content in {
                "png": png(picture(len(key))),
                "cls": b"1",
                "json": json.dumps({"key": key}).encode(),
            }.items():
                about = tarfile.TarInfo(f"{key}.{end}")
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    return path


def keyed(*keys):
    every = np.array([f"{folder}/{i:03}" for folder in ("x", "y") for i in range(4)])
    rows = np.array([every.tolist().index(key) for key in keys])
    return Coreset(every[rows], rows, len(every))


def test_shards_that_there_are_keep_what_was_kept(tmp_path):
    shards = [
        shard(tmp_path / f"{x}.tar{end}", [f"{x}/{i:03}" for i in range(4)]) for x, end in (("x", ""), ("y", ".gz"))
    ]
    out = unseen.export(keyed("x/001", "x/003", "y/000"), "webdataset", tmp_path / "kept", shards=shards)
    samples = read(out)
    assert [sample["__key__"] for sample in samples] == ["x/001", "x/003", "y/000"]
    assert [sample["json"]["key"] for sample in samples] == ["x/001", "x/003", "y/000"]
    assert left(out) == ["x.tar", "y.tar"]
    only = unseen.export(keyed("x/001"), "webdataset", tmp_path / "only", shards=shards)
    assert left(only) == ["x.tar"]


def test_shards_that_do_not_hold_the_coreset_are_refused(tmp_path):
    x, again = shard(tmp_path / "x.tar", ["x/000", "x/001"]), shard(tmp_path / "again.tar", ["x/001"])
    twice = shard(tmp_path / "twice.tar", ["x/001", "x/000", "x/001"])
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 500)
    (tmp_path / "deep").mkdir()
    namesake = shard(tmp_path / "deep" / "x.tar", ["y/000"])
    for shards, error, message in [
        ([x], DataError, r"lack 1 samples of the coreset: y/000"),
        ([x, again], DataError, r"samples that an earlier shard holds, too: x/001"),
        ([twice], DataError, r"holds sample 'x/001' twice"),
        ([tmp_path / "bad.tar"], DataError, r"bad.tar is no sound tar file"),
        ([tmp_path / "none.tar"], DataError, r"there is no shard .*none.tar"),
        ([x, namesake], ArgumentError, r"shards must have different names"),
    ]:
        with pytest.raises(error, match=message):
            unseen.export(keyed("x/001", "y/000"), "webdataset", tmp_path / "kept", shards=shards)
        assert not (tmp_path / "kept").exists()
        assert not list(tmp_path.glob(".*"))


def test_keys_alone(tmp_path):
    out = unseen.export(keyed("x/001", "y/000"), "webdataset", tmp_path / "keys.txt", keys=True)
    assert out.read_text() == "x/001\ny/000\n"


def test_options_that_go_against_each_other(tmp_path):
    with pytest.raises(ArgumentError, match="give keys or shards, not both"):
        unseen.export(keyed("x/001"), "webdataset", tmp_path / "k", keys=True, shards=["x.tar"])
    with pytest.raises(ArgumentError, match="shard_bytes must be an integer of at least 1, got 0"):
        unseen.export(keyed("x/001"), "webdataset", tmp_path / "k", shard_bytes=0)
