"""Decoded images in a file of the run: decoded once, the same with and without the file, made anew when damaged."""

from __future__ import annotations

import io
import json
import os
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_images import picture, png, write_folder, write_images
from PIL import Image

import unseen
from unseen.data import decoding, from_folder, from_parquet, images
from unseen.errors import DataError


@pytest.fixture(autouse=True)
def _slow_decoding(monkeypatch):
    """Let decoding count as slow, as that of large images does."""
    monkeypatch.setattr(images, "_PATIENCE", float("-inf"))


@pytest.fixture
def folder(tmp_path):
    pictures = {
        f"{name}/{i}.png": picture(seed, 12, 16) for seed, (name, i) in enumerate(zip("abab", "1234", strict=True))
    }
    return write_folder(tmp_path / "pets", pictures)


def everything(data):
    return data.take(np.arange(len(data)))


def opened(folder, cache, **options):
    return from_folder(folder, image_size=8, workers=1, cache=cache, **options)


def refuse_decoding(monkeypatch):
    def decode(batch, *_, **__):
        raise AssertionError(f"{len(batch)} images are decoded again")

    monkeypatch.setattr(images, "decode", decode)


def same(data, other):
    np.testing.assert_array_equal(everything(data), everything(other))
    assert data.fingerprint(full=True) == other.fingerprint(full=True)
    assert data.duplicate_groups().tolist() == other.duplicate_groups().tolist()
    return True


@pytest.mark.parametrize("limit", [None, 0], ids=["fits in memory", "does not"])
def test_images_are_decoded_once_and_are_the_same_as_without_the_file(folder, tmp_path, monkeypatch, limit):
    run = tmp_path / "run"
    without = opened(folder, None, memory_limit=limit)
    first = opened(folder, run, memory_limit=limit)
    assert sorted(path.suffix for path in run.iterdir()) == [".json", ".npy"]
    assert isinstance(first.array, np.memmap)
    assert "each is decoded once" in first.notes[-1]
    assert same(first, without)
    monkeypatch.setattr(images, "_read_all", None)
    again = opened(folder, run, memory_limit=limit)
    assert same(again, without)
    assert again.notes == first.notes
    refuse_decoding(monkeypatch)
    sent = pickle.dumps(again)  # to a worker process, by the name of the file
    assert len(sent) < everything(again).nbytes + 4000
    assert same(pickle.loads(sent), first)


def test_epochs_of_a_training_decode_nothing(folder, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from unseen.learners import Recipe, TorchLearner

    learner = TorchLearner(Recipe(network="mlp", epochs=2, batch_size=2), device="cpu", memory_limit=0, data_workers=0)
    tables = []
    for out in (None, tmp_path / "run"):
        data = opened(folder, out, memory_limit=0)
        if out is not None:
            refuse_decoding(monkeypatch)
        tables.append(unseen.score(data, learner=learner, plan=unseen.folds(2), out=out))
    np.testing.assert_array_equal(*(table.values["el2n"] for table in tables))


def cut_off(path):
    os.truncate(path, path.stat().st_size - 100)


def change_pixel(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def forget_a_broken_image(path):
    about = path.with_suffix(".json")
    kept = json.loads(about.read_text())
    about.write_text(json.dumps({**kept, "about": {**kept["about"], "broken": [[0, "lost"]]}}))


def lose_the_json(path):
    path.with_suffix(".json").unlink()


def write_nonsense(path):
    path.with_suffix(".json").write_text("[1]")


@pytest.mark.parametrize("damage", [cut_off, change_pixel, forget_a_broken_image, lose_the_json, write_nonsense])
def test_a_damaged_file_is_made_anew(folder, tmp_path, damage):
    run = tmp_path / "run"
    first = everything(opened(folder, run))
    (path,) = run.glob("*.npy")
    damage(path)
    np.testing.assert_array_equal(everything(opened(folder, run)), first)
    assert images.ProxyFile(path).read() is not None


def test_other_images_have_another_file(folder, tmp_path):
    run = tmp_path / "run"
    opened(folder, run)
    write_folder(folder, {"a/1.png": picture(9, 12, 16)})
    assert same(opened(folder, run), opened(folder, None))
    from_folder(folder, image_size=7, workers=1, cache=run)
    assert len(list(run.glob("*.npy"))) == 3


def test_another_column_of_the_same_files_is_not_taken_for_the_first(tmp_path):
    path = write_images(tmp_path / "set.parquet", [png(picture(i, 9, 9)) for i in range(6)], [0, 1] * 3)
    table = pq.read_table(path)
    table = table.append_column("other", table.column("image").take(list(range(5, -1, -1))))
    pq.write_table(table, path)
    first, other = (from_parquet(path, image=name, workers=1, cache=tmp_path / "run") for name in ("image", "other"))
    np.testing.assert_array_equal(everything(other), everything(first)[::-1])


def test_images_beyond_the_limit_are_decoded_again_and_it_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_MOST", 4 * 8 * 8 * 3 - 1)
    data = opened(folder, tmp_path / "run", memory_limit=0)
    assert isinstance(data, images.ImageData)
    assert not (tmp_path / "run").exists()
    assert "too large for the run directory (0.00 GB, of at most 0.00 GB)" in data.notes[-1]
    assert same(data, opened(folder, None, memory_limit=0))


def test_a_folder_that_cannot_be_written_is_told(folder, tmp_path):
    (tmp_path / "run").write_text("a file")
    data = opened(folder, tmp_path / "run" / "inside")
    assert "decoded images are not kept: cannot write" in data.notes[-1]
    assert same(data, opened(folder, None))


def test_images_that_cannot_be_read_are_remembered(folder, tmp_path, monkeypatch):
    (folder / "b" / "2.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b/2\.png"):
        opened(folder, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    without, first = (opened(folder, cache, on_error="skip") for cache in (None, tmp_path / "run"))
    assert first.ids.tolist() == ["a/1.png", "a/3.png", "b/4.png"]
    assert same(first, without)
    monkeypatch.setattr(images, "_read_all", None)
    again = opened(folder, tmp_path / "run", on_error="skip")
    assert same(again, first)
    assert again.notes == first.notes


def test_an_image_of_another_size_brings_the_resize_rule(folder, tmp_path, monkeypatch):
    write_folder(folder, {"b/9.png": picture(7, 30, 20)})
    monkeypatch.setattr(images, "_sampled_sizes", lambda source: [(12, 16)] * 4)
    first = from_folder(folder, workers=1, cache=tmp_path / "run")
    assert first.sample_shape == (12, 12, 3)
    monkeypatch.setattr(images, "_read_all", None)
    assert same(from_folder(folder, workers=1, cache=tmp_path / "run"), first)


def test_large_jpeg_files_are_decoded_at_reduced_scale_to_nearly_the_same():
    smooth = Image.fromarray(picture(0, 20, 30)).resize((600, 400), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    smooth.save(file, "JPEG", quality=90)
    rule = decoding.Pixels("RGB", 48, (48, 48))
    whole = np.asarray(decoding.central_square(Image.open(io.BytesIO(file.getvalue())).convert("RGB"), 48)).astype(int)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        reduced = decoding.pixels(image, rule)
        assert image.size == (150, 100)  # at least twice 48, for a resize that is antialiased
    assert np.abs(reduced - whole).max() <= 4
    assert np.abs(reduced - whole).mean() < 1


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_keeps_the_file_and_goes_on_with_it(folder, tmp_path, monkeypatch, jobs):
    asked = {"image_size": 8, "plan": unseen.folds(2), "learner": "logistic", "out": tmp_path / "run"}
    first = unseen.score(folder, **asked, jobs=jobs, threads=1)
    assert len(list((tmp_path / "run").glob("pixels-*.npy"))) == 1
    (tmp_path / "run" / "scores.parquet").unlink()
    monkeypatch.setattr(images, "_read_all", None)
    again = unseen.score(folder, **asked, threads=1)
    np.testing.assert_array_equal(again.values["el2n"], first.values["el2n"])
    monkeypatch.undo()
    alone = unseen.score(folder, **{**asked, "out": None}, threads=1)
    np.testing.assert_array_equal(alone.values["el2n"], first.values["el2n"])
