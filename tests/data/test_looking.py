"""Looking at single samples: as they are in their files, read only when they are shown."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import unseen.data
from unseen.data import decoding, images, tables
from unseen.data.sources import find_format


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate("ab"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(3):
            Image.new("RGB", (20 + k, 10), (40 * k, 100 * i, 0)).save(tmp_path / "photos" / name / f"{k}.png")
    return tmp_path / "photos"


def in_parquet(folder, path):
    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in sorted(folder.rglob("*.png"))]
    pq.write_table(pa.table({"image": rows, "label": [0, 0, 0, 1, 1, 1]}), path)
    return path


def test_images_are_shown_as_they_are_and_none_is_read_before(folder, tmp_path, monkeypatch):
    opened = []
    real = decoding._open
    monkeypatch.setattr(decoding, "_open", lambda encoded: (opened.append(encoded), real(encoded))[1])
    for samples in (find_format(str(folder)), find_format(str(in_parquet(folder, tmp_path / "t.parquet")))):
        assert (samples.kind, opened, samples.labelling.labels.tolist()) == ("image", [], [0, 0, 0, 1, 1, 1])
        shown = samples.show(np.array([4, 0]))
        assert [image.size for image in shown] == [(21, 10), (20, 10)]  # no central square
        assert shown[0].getpixel((0, 0)) == (40, 100, 0)
        assert len(opened) == 2
        opened.clear()


def test_ids_labels_and_files_are_those_of_the_data_set_that_is_trained_on(folder, tmp_path):
    for source, reader in (
        (folder, images.from_folder),
        (in_parquet(folder, tmp_path / "t.parquet"), tables.from_parquet),
    ):
        data, samples = reader(source), find_format(str(source))
        assert samples.labelling.ids.tolist() == data.ids.tolist()
        assert samples.labelling.labels.tolist() == data.labels.tolist()
        assert samples.known().items() <= data.fingerprint().items()


def test_what_cannot_be_read_any_more_is_none(folder):
    samples = find_format(str(folder))
    (folder / "a" / "1.png").write_bytes(b"no image")
    (folder / "a" / "2.png").unlink()
    shown = samples.show(np.arange(3))
    assert shown[0] is not None
    assert shown[1:] == [None, None]


def test_grey_and_turned_and_transparent_images():
    def encoded(image, **more):
        held = io.BytesIO()
        image.save(held, format="png", **more)
        return held.getvalue()

    turned = Image.Exif()
    turned[0x0112] = 6
    assert decoding.upright(encoded(Image.new("RGB", (4, 2)), exif=turned)).size == (2, 4)
    assert decoding.upright(encoded(Image.new("L", (4, 2), 7))).mode == "L"
    assert decoding.upright(encoded(Image.new("I;16", (4, 2), 0x0700))).getpixel((0, 0)) == 7
    assert decoding.upright(encoded(Image.new("RGBA", (4, 2), (1, 2, 3, 0)))).mode == "RGB"
    assert decoding.upright(None) is None


def test_texts_rows_and_vectors():
    text = find_format((np.array(["one", "two"], object), [0, 1]))
    assert text.show(np.array([1])) == ["two"]
    table = find_format((np.array([["x", 1], [None, 2]], object), [0, 1]))
    assert table.show(np.array([1])) == [{"column 0": None, "column 1": 2}]
    vector = find_format(unseen.data.from_arrays([[0.5, 2.0], [1.0, 3.0]], [0, 1]))
    assert vector.show(np.array([0])) == [{"column 0": 0.5, "column 1": 2.0}]


def test_a_hugging_face_data_set_on_disk(folder, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the extra huggingface")
    datasets.Dataset.from_parquet(
        str(in_parquet(folder, tmp_path / "t.parquet")), cache_dir=str(tmp_path / "cache")
    ).save_to_disk(tmp_path / "saved")
    assert find_format(str(tmp_path / "saved")).show(np.array([2]))[0].size == (22, 10)
