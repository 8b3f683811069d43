"""Image folders: the same samples under the same classes, links as asked, names that no class can break out of."""

from __future__ import annotations

import errno
import os

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_exports import NAMES, coreset_of, left, photos, pictures_table, same_samples

import unseen
from unseen.data import from_arrays, from_folder, from_frame, from_parquet, resolve
from unseen.errors import ArgumentError, DataError
from unseen.exporting import images as image_folder
from unseen.exporting.request import safe_name

ROWS = [0, 1, 4, 5, 6, 11]


@pytest.fixture(name="source")
def source_fixture(tmp_path):
    return photos(tmp_path / "photos")


@pytest.mark.parametrize("link", [None, "hard", "symlink", "copy"])
def test_a_folder_of_images_keeps_its_paths(source, tmp_path, link):
    data = from_folder(source)
    coreset = coreset_of(data, ROWS)
    options = {} if link is None else {"link": link}
    out = unseen.export(coreset, "folder", tmp_path / "kept", data=source, **options)
    same_samples(out, data, ROWS)
    assert from_folder(out).ids.tolist() == coreset.ids.tolist()
    one = out / coreset.ids[0]
    assert one.is_symlink() == (link == "symlink")
    assert one.samefile(source / coreset.ids[0]) == (link != "copy")
    assert left(tmp_path / "photos") == left(source)


def test_links_of_the_source_are_followed(source, tmp_path):
    data = from_folder(source)
    (tmp_path / "linked" / "cat").mkdir(parents=True)
    (tmp_path / "linked" / "lock").mkdir()
    (tmp_path / "linked" / "cat" / "a.png").symlink_to(f"../../photos/{data.ids[0]}")
    (tmp_path / "linked" / "lock" / "b.png").symlink_to(f"../../photos/{data.ids[5]}")
    linked = from_folder(tmp_path / "linked")
    for link in ("hard", "symlink", "copy"):
        out = unseen.export(coreset_of(linked, [0, 1]), "folder", tmp_path / link, data=tmp_path / "linked", link=link)
        (out / "cat" / "a.png").rename(out / "cat" / "moved.png")
        same_samples(out, linked, [0, 1])
        assert (out / "lock" / "b.png").is_symlink() == (link == "symlink")


def test_a_relative_source_is_linked_to_where_it_is(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coreset = coreset_of(from_folder("photos"), ROWS)
    unseen.export(coreset, "folder", "elsewhere/kept", data="photos", link="symlink")
    assert (tmp_path / "elsewhere" / "kept" / coreset.ids[0]).samefile(source / coreset.ids[0])


HOSTILE = ["../../up", "a/b", ".hidden", "", "nul\x00", "CON", "<script>", "back\\slash", "קול", "x" * 300]


def test_classes_of_a_table_get_safe_names(tmp_path):
    path = pictures_table(tmp_path / "t.parquet", n=20, names=HOSTILE)
    data = from_parquet(path)
    rows = list(range(0, 20, 2))
    # Folders are sorted, and these names sort in another order.
    with pytest.warns(UserWarning, match="other numbers than the data set has"):
        out = unseen.export(coreset_of(data, rows), "folder", tmp_path / "deep" / "kept", data=path)
    inside = {safe_name(HOSTILE[label]) for label in data.labels[rows]}
    assert {folder.name for folder in out.iterdir()} == inside
    assert left(tmp_path / "deep") == sorted(["kept", *(f"kept/{name}" for name in left(out))])
    back = {image.stem: image for image in out.rglob("*.png")}
    assert sorted(back) == [f"{row:02}" for row in rows]
    for row in rows:
        assert back[f"{row:02}"].parent.name == safe_name(HOSTILE[data.labels[row]])


def test_images_in_a_column_of_a_frame(tmp_path):
    table = pq.read_table(pictures_table(tmp_path / "t.parquet")).rename_columns({"image": "pic"})
    data, rows, options = from_frame(table, image="pic"), [0, 4, 5], {"image": "pic"}
    out = unseen.export(coreset_of(data, rows), "folder", tmp_path / "kept", data=table, data_options=options)
    same_samples(out, data, rows)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_images_that_a_table_names_are_read_in(tmp_path, monkeypatch, name):
    """Names are relative to the table; a CSV file holds them in full, so that it is read anywhere."""
    (tmp_path / "photos").mkdir()
    names = [f"photos/{row}.png" for row in range(8)]
    for row, image in enumerate(names):
        Image.new("L", (4, 4), row).save(tmp_path / image)
    frame = pandas.DataFrame({"pic": names, "label": ["a", "b"] * 4})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    monkeypatch.chdir(tmp_path / "photos")
    data, rows, options = resolve(tmp_path / name, image="pic"), [0, 3, 5], {"image": "pic"}
    more = {"data": tmp_path / name, "data_options": options}
    same_samples(unseen.export(coreset_of(data, rows), "folder", tmp_path / "kept", **more), data, rows)
    copy = unseen.export(coreset_of(data, rows), "parquet", tmp_path / "kept.parquet", **more)
    assert [image["path"] for image in pandas.read_parquet(copy)["pic"]] == ["0.png", "3.png", "5.png"]
    table = unseen.export(coreset_of(data, rows), "csv", tmp_path / "photos" / "kept.csv", **more)
    assert pandas.read_csv(table)["pic"].tolist() == [str(tmp_path / names[row]) for row in rows]
    np.testing.assert_array_equal(resolve(table, image="pic").take(np.arange(3)), data.take(np.array(rows)))


def test_different_texts_get_different_names():
    texts = [
        *HOSTILE,
        "%2Fa",
        "/a",
        "a.",
        "a",
        "a ",
        "con",
        "com1.txt",
        ".",
        "..",
        "%",
        "x" * 301,
        "\ud800",
        "-rf",
        "~",
        "_x",
    ]
    names = [safe_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    for name in names:
        assert name not in (".", "..")
        assert not set(name) & set('/\\\x00:*?"<>|')
        assert name[0] not in ".-~_"
        assert len(name.encode()) < 200


def test_pixels_are_written_without_loss(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 5, 7, 1), dtype=np.uint8)
    data = from_arrays(images, np.arange(9) % 3, class_names=NAMES, ids=[f"id/{i}" for i in range(9)])
    out = unseen.export(coreset_of(data, [0, 1, 5]), "folder", tmp_path / "kept", data=data)
    same_samples(from_folder(out, mode="L"), data, [0, 1, 5])
    assert left(out) == ["cat", "cat/id%2F0.png", "dog", "dog/id%2F1.png", "owl", "owl/id%2F5.png"]


def test_the_same_names_and_numbers_need_no_warning(tmp_path):
    path = pictures_table(tmp_path / "t.parquet")
    data = from_parquet(path)
    same_samples(unseen.export(coreset_of(data, ROWS), "folder", tmp_path / "kept", data=path), data, ROWS)


def test_a_class_that_is_gone_is_told(source, tmp_path):
    coreset = coreset_of(from_folder(source), [0, 1, 11])
    with pytest.warns(UserWarning, match="no sample of dog was kept"):
        unseen.export(coreset, "folder", tmp_path / "kept", data=source)


def test_what_folders_cannot_hold_is_refused(source, tmp_path):
    vectors = from_arrays(np.eye(6), np.arange(6) % 2)
    with pytest.raises(ArgumentError, match="is for images, which the data set does not hold"):
        unseen.export(coreset_of(vectors, [0, 1]), "folder", tmp_path / "kept", data=vectors)
    target = from_arrays(np.zeros((6, 4, 4, 3), np.uint8), target=np.arange(6.0))
    with pytest.raises(ArgumentError, match="needs classes, but the data set has a target"):
        unseen.export(coreset_of(target, [0, 1]), "folder", tmp_path / "kept", data=target)
    path = pictures_table(tmp_path / "t.parquet")
    with pytest.raises(ArgumentError, match="link='hard' is for data sets that are folders"):
        unseen.export(coreset_of(from_parquet(path), [0]), "folder", tmp_path / "kept", data=path, link="hard")
    coreset = coreset_of(from_folder(source), ROWS)
    with pytest.raises(ArgumentError, match="link must be one of 'hard', 'symlink', 'copy', got 'soft'"):
        unseen.export(coreset, "folder", tmp_path / "kept", data=source, link="soft")
    with pytest.raises(ArgumentError, match="lies inside the data set"):
        unseen.export(coreset, "folder", source / "kept", data=source)
    assert left(tmp_path) == sorted(["photos", "t.parquet", *(f"photos/{name}" for name in left(source))])


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_a_link_that_cannot_be_made_names_the_way_out(source, tmp_path, monkeypatch, code):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ArgumentError, match="use link='symlink' or link='copy'"):
        unseen.export(coreset_of(from_folder(source), ROWS), "folder", tmp_path / "kept", data=source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize("link", ["hard", "copy"])
def test_a_file_that_goes_away_on_the_way(source, tmp_path, monkeypatch, link):
    coreset = coreset_of(from_folder(source), ROWS)
    linked = image_folder._link_files

    def after_a_loss(*args):
        (source / coreset.ids[3]).unlink()
        linked(*args)

    monkeypatch.setattr(image_folder, "_link_files", after_a_loss)
    with pytest.raises(DataError, match=r"is gone; it was there when the data set was scored"):
        unseen.export(coreset, "folder", tmp_path / "kept", data=source, link=link)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
