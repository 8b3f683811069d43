from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_images import picture, png, write_folder, write_images
from PIL import Image

import unseen
from unseen.core import seeds
from unseen.data import decoding, from_folder, from_parquet, resolve
from unseen.data.decoding import header_size, upright
from unseen.errors import ArgumentError, DataError


def everything(data):
    return data.take(np.arange(len(data)))


@pytest.fixture
def folder(tmp_path):
    names = ["dog/b.png", "cat/2.png", "cat/10.png", "dog/deep/a.png"]
    return write_folder(tmp_path / "pets", {name: picture(seed) for seed, name in enumerate(names)})


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def test_folder_has_the_pixels_labels_and_names_of_its_files(folder):
    data = resolve(folder)
    assert data.ids.tolist() == ["cat/10.png", "cat/2.png", "dog/b.png", "dog/deep/a.png"]
    assert (data.class_names, data.labels.tolist()) == (("cat", "dog"), [0, 0, 1, 1])
    assert (data.kind, data.sample_shape) == ("image", (8, 8, 3))
    np.testing.assert_array_equal(everything(data), np.stack([picture(seed) for seed in (2, 1, 0, 3)]))
    assert data.notes == ("images are 8 x 8 pixels as they come, mode RGB",)


@pytest.mark.parametrize("workers", [1, 2])
def test_data_larger_than_memory_is_the_same_data(folder, workers):
    small, large = from_folder(folder), from_folder(folder, memory_limit=100, workers=workers)
    assert (small.in_memory, large.in_memory) == (True, False)
    rows = np.array([3, 0, 3])
    np.testing.assert_array_equal(large.take(rows), small.take(rows))
    assert large.take(np.array([], int)).shape == (0, 8, 8, 3)
    np.testing.assert_array_equal(large.duplicate_groups(), small.duplicate_groups())
    assert large.fingerprint(full=True)["content"] == small.fingerprint(full=True)["content"]
    again = pickle.loads(pickle.dumps(large))
    np.testing.assert_array_equal(again.take(rows), small.take(rows))


def test_worker_processes_give_the_same_as_none(tmp_path):
    contents = [png(picture(seed % 150)) for seed in range(200)]
    path = write_images(tmp_path / "set.parquet", contents, [0, 1] * 100)
    alone, helped = from_parquet(path, workers=1), from_parquet(path, workers=2)
    np.testing.assert_array_equal(everything(alone), everything(helped))
    np.testing.assert_array_equal(everything(alone)[170], picture(20))
    assert helped.duplicate_groups().tolist() == [*range(150), *range(50)]


def test_resize_rule_equals_pillow_by_hand(tmp_path):
    write_folder(
        tmp_path, {"a/wide.png": picture(0, 20, 50), "a/high.png": picture(1, 41, 20), "b/even.png": picture(2, 30, 30)}
    )
    data = from_folder(tmp_path, image_size=16)
    high = Image.fromarray(picture(1, 41, 20)).resize((16, 33), Image.Resampling.BILINEAR).crop((0, 8, 16, 24))
    wide = Image.fromarray(picture(0, 20, 50)).resize((40, 16), Image.Resampling.BILINEAR).crop((12, 0, 28, 16))
    np.testing.assert_array_equal(everything(data)[:2], np.stack([np.asarray(high), np.asarray(wide)]))
    assert data.sample_shape == (16, 16, 3)
    assert "shorter side to 16" in data.notes[-1]
    # Without image_size: the median shorter side, here of 20, 20 and 30.
    assert from_folder(tmp_path).sample_shape == (20, 20, 3)


def test_large_images_are_brought_to_224(tmp_path):
    write_folder(tmp_path, {"a/1.png": picture(0, 300, 310), "a/2.png": picture(1, 320, 300)})
    assert from_folder(tmp_path).sample_shape == (224, 224, 3)


def test_one_other_size_outside_the_sample_of_headers_is_found(tmp_path, monkeypatch):
    contents = [png(picture(seed)) for seed in range(40)]
    contents[33] = png(picture(33, 12, 10))
    path = write_images(tmp_path / "set.parquet", contents, [0, 1] * 20)
    whole = from_parquet(path)
    monkeypatch.setattr("unseen.data.images._HEADERS", 1)
    monkeypatch.setattr("unseen.data.images._RUN", 1)
    assert seeds.generator(0, "headers", 40).permutation(40)[0] != 33
    data = from_parquet(path)
    assert data.sample_shape == whole.sample_shape == (8, 8, 3)
    np.testing.assert_array_equal(data.take(np.array([0, 39])), np.stack([picture(0), picture(39)]))
    by_hand = Image.fromarray(picture(33, 12, 10)).resize((8, 10), Image.Resampling.BILINEAR).crop((0, 1, 8, 9))
    np.testing.assert_array_equal(data.take(np.array([33]))[0], np.asarray(by_hand))


def test_modes_become_one(tmp_path):
    grey, colour = picture(0, channels=1), picture(1)
    alpha = picture(2, channels=4)
    deep = (np.arange(64, dtype=np.uint16).reshape(8, 8) << 10).astype(np.uint16)
    palette = Image.fromarray(picture(3)).quantize(8)
    for name, image in {"1": grey, "2": colour, "3": alpha, "4": deep}.items():
        write_folder(tmp_path, {f"a/{name}.png": image})
    palette.save(tmp_path / "a" / "5.png", transparency=bytes(range(8)))
    data = everything(from_folder(tmp_path))
    np.testing.assert_array_equal(data[0], np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(data[1], colour)
    np.testing.assert_array_equal(data[2], alpha[..., :3])
    np.testing.assert_array_equal(data[3][..., 0], deep >> 8)
    np.testing.assert_array_equal(data[4], np.asarray(palette.convert("RGB")))
    single = from_folder(tmp_path, mode="L")
    assert single.sample_shape == (8, 8, 1)
    np.testing.assert_array_equal(everything(single)[1][..., 0], np.asarray(Image.fromarray(colour).convert("L")))


def test_exif_orientation_is_applied(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn by 90 degrees clockwise
    Image.fromarray(picture(0, 6, 10)).save(tmp_path / "a" / "1.png", exif=exif)
    data = from_folder(tmp_path)
    assert data.sample_shape == (10, 6, 3)
    np.testing.assert_array_equal(everything(data)[0], np.rot90(picture(0, 6, 10), -1))


UPRIGHT = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 300])
@pytest.mark.parametrize("end", ["png", "tiff", "webp"])
def test_every_orientation_and_no_other(tmp_path, orientation, end):
    """As the EXIF standard defines them; what it does not define turns nothing."""
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path, stored = tmp_path / "a" / f"1.{end}", picture(0, 6, 10)
    Image.fromarray(stored).save(path, exif=exif, **({"lossless": True} if end == "webp" else {}))
    right = UPRIGHT.get(orientation, lambda a: a)(stored)
    data = from_folder(tmp_path)
    np.testing.assert_array_equal(everything(data)[0], right)
    assert data.notes == (f"images are {right.shape[1]} x {right.shape[0]} pixels as they come, mode RGB",)
    np.testing.assert_array_equal(np.asarray(upright(path)), right)
    assert header_size(path) == right.shape[:2]


def test_an_orientation_that_is_no_number_turns_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x010E] = "upside down"  # the description, which becomes the orientation
    content = png(picture(0, 6, 10), exif=exif)
    chunk = content.index(b"eXIf")
    end = chunk + 4 + int.from_bytes(content[chunk - 4 : chunk], "big")
    as_orientation = content[chunk:end]
    for order in "<>":
        said, meant = (struct.pack(f"{order}HH", tag, 2) for tag in (0x010E, 0x0112))
        as_orientation = as_orientation.replace(said, meant)
    checksum = zlib.crc32(as_orientation).to_bytes(4, "big")
    (tmp_path / "a" / "1.png").write_bytes(content[:chunk] + as_orientation + checksum + content[end + 4 :])
    with Image.open(tmp_path / "a" / "1.png") as image:
        assert image.getexif()[0x0112] == "upside down"
    np.testing.assert_array_equal(everything(from_folder(tmp_path))[0], picture(0, 6, 10))


@pytest.mark.parametrize("limit", [None, 100])
def test_images_of_16_bits_that_are_black_in_8_are_told(tmp_path, limit):
    faint, deep = np.arange(64, dtype=np.uint16).reshape(8, 8), np.arange(64, dtype=np.uint16).reshape(8, 8) << 10
    write_folder(tmp_path, {"a/1.png": faint, "a/2.png": deep, "b/3.tif": faint, "b/4.png": picture(0, channels=1) * 0})
    data = from_folder(tmp_path, memory_limit=limit)
    assert [int(image.max()) for image in everything(data)] == [0, 63 * 4, 0, 0]
    assert data.notes[-1] == (
        "2 images of 16 bits are all black, as the upper 8 bits are kept: where values are below 256, save them as 8 "
        "bits"
    )
    (tmp_path / "a" / "1.png").unlink(), (tmp_path / "b" / "3.tif").unlink()
    assert from_folder(tmp_path, memory_limit=limit).notes == ("images are 8 x 8 pixels as they come, mode RGB",)


def test_unreadable_images_are_all_named_and_can_be_skipped(folder):
    spoil(folder / "cat" / "2.png")
    (folder / "dog" / "b.png").write_text("not an image")
    shutil.copy(folder / "cat" / "10.png", folder / "dog" / "z.png")
    with pytest.raises(DataError, match=r"2 images cannot be read: cat/2.png \(.*\), dog/b.png \(.*on_error='skip'"):
        from_folder(folder)
    for options in ({}, {"memory_limit": 100}):
        data = from_folder(folder, on_error="skip", **options)
        assert data.ids.tolist() == ["cat/10.png", "dog/z.png", "dog/deep/a.png"]
        assert data.labels.tolist() == [0, 1, 1]
        np.testing.assert_array_equal(everything(data), np.stack([picture(2), picture(2), picture(3)]))
        assert data.notes[-1].startswith(
            "dropped 2 images that cannot be read; rows are counted without them: cat/2.png"
        )
        assert data.duplicate_groups().tolist() == [0, 0, 2]


def test_nothing_readable_is_an_empty_data_set(folder):
    for path in folder.rglob("*.png"):
        path.write_text("no")
    with pytest.raises(DataError, match="the data set is empty: none of its images can be read"):
        from_folder(folder, on_error="skip")


def test_images_of_32_bits_are_refused_by_name(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "a" / "1.tiff")
    with pytest.raises(DataError, match=r"a/1.tiff \(ValueError: mode 'F' has more than 16 bits"):
        from_folder(tmp_path)


def test_copies_are_found_across_classes_and_formats(tmp_path):
    write_folder(tmp_path, {"a/1.png": picture(0), "a/2.png": picture(1), "b/3.bmp": picture(0)})
    data = from_folder(tmp_path)
    assert data.duplicate_groups().tolist() == [0, 1, 0]


def test_empty_class_folder_no_classes_and_splits_are_refused(folder, tmp_path):
    (folder / "cow").mkdir()
    with pytest.raises(DataError, match=r"class folder 'cow' holds no images that .*; fill it, or remove it from"):
        from_folder(folder)
    for name in ("1.gif", "2.GIF", "3.jfif"):
        Image.fromarray(picture(0)).save(folder / "cow" / name, format="GIF")
    with pytest.raises(DataError, match=r"\), but 2 \.gif, 1 \.jfif; convert these, as to \.png, or remove it from"):
        from_folder(folder)
    flat = write_folder(tmp_path / "flat", {"1.png": picture(0)})
    with pytest.raises(DataError, match=r"holds no class folders; images must be in .*/cat/1\.png$"):
        resolve(flat)
    (flat / "labels.csv").write_text("file,label\n1.png,cat\n")
    with pytest.raises(DataError, match=r"no class .*; if labels.csv names images and labels, give .*labels.csv"):
        resolve(flat)
    (flat / "images").mkdir()
    (flat / "1.png").rename(flat / "images" / "1.png")
    with pytest.raises(DataError, match=r"holds one folder, images, and classes need two; .*; if labels.csv names"):
        resolve(flat)
    splits = write_folder(tmp_path / "splits", {"train/a/1.png": picture(0), "test/a/1.png": picture(0)})
    with pytest.raises(DataError, match=r"look like splits, not classes: test, train; open one: .*train"):
        from_folder(splits)
    with pytest.raises(DataError, match="there is no folder"):
        from_folder(tmp_path / "none")


def test_other_files_are_left_out_and_counted(folder):
    (folder / "cat" / "notes.txt").write_text("x")
    (folder / ".hidden").mkdir()
    (folder / "README").write_text("x")
    data = from_folder(folder)
    assert len(data) == 4
    kinds = r"1 (\.txt|README), 1 (\.txt|README)"
    assert re.fullmatch(rf"left out, as their type is not read \(.*\.jpg.*\): {kinds}", data.notes[0])


def test_images_that_are_not_read_are_named_in_a_warning(folder):
    """Not read either: torchvision's `ImageFolder` leaves them out, and the rows of a coreset are those of its list."""
    for name in ("cat/moving.gif", "cat/OTHER.GIF", "dog/x.avif", "top.gif"):
        (folder / name).write_bytes(b"GIF89a")
    with pytest.warns(UserWarning, match=r"images left out: cat/OTHER.GIF, cat/moving.gif, dog/x.avif; only .jpg, "):
        data = from_folder(folder)
    assert len(data) == 4
    assert data.notes[0].endswith("3 .gif, 1 .avif")


def test_every_kind_of_file_is_read_as_pillow_converts_it(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    moving = {"save_all": True, "append_images": [image.rotate(90)], "format": "PNG"}
    (tmp_path / "a").mkdir()
    for name, made, options in [
        ("lossy.webp", image, {}), ("moving.webp", image, {**moving, "format": "WEBP", "lossless": True}),
        ("upper.BMP", image, {"format": "BMP"}), ("upper.JPEG", image, {"format": "JPEG"}), ("u.Tif", image, {}),
        ("moving.png", image, moving), ("frames.tiff", image, {**moving, "format": "TIFF"}),
        ("palette.png", palette, {}), ("clear.png", palette, {"transparency": 3}),
        ("cleared.png", palette, {"transparency": bytes([0, 128] + 254 * [255])}),
        ("cmyk.jpg", image.convert("CMYK"), {}), ("cmyk.tiff", image.convert("CMYK"), {}),
        ("grey.png", image.convert("LA"), {}), ("bits.png", image.convert("1"), {}),
    ]:  # fmt: skip
        made.save(tmp_path / "a" / name, **options)
    data = from_folder(tmp_path)
    assert len(data) == 14
    for identity, pixels in zip(data.ids.tolist(), data.take(np.arange(len(data))), strict=True):
        with warnings.catch_warnings(), Image.open(tmp_path / identity) as there:
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(pixels, np.asarray(there.convert("RGB")), identity)


def test_png_files_of_16_bits_are_read_as_any_version_of_pillow_opens_them(tmp_path):
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) << 10
    (tmp_path / "a").mkdir()
    for name in ("1.png", "2.tiff"):
        Image.fromarray(deep).save(tmp_path / "a" / name)
    for pixels in from_folder(tmp_path, mode="L").take(np.arange(2)):
        np.testing.assert_array_equal(pixels[..., 0], deep >> 8)
    older = Image.fromarray(deep.astype(np.int32))  # as version 10 opens 1.png
    older.tile = [("zip", (0, 0, 8, 8), 0, "I;16B")]
    np.testing.assert_array_equal(decoding.pixels(older, decoding.Pixels("L", None, (8, 8)))[..., 0], deep >> 8)


def test_images_in_no_class_folder_are_left_out_and_named(folder):
    shutil.copyfile(next(folder.rglob("*.png")), folder / "stray.png")
    data = from_folder(folder)
    assert data.notes[0] == "left out, as they are in no class folder: stray.png"
    assert "stray.png" not in data.ids


def test_options_are_checked(folder):
    with pytest.raises(ArgumentError, match="on_error must be one of 'raise', 'skip', got 'ignore'"):
        from_folder(folder, on_error="ignore")
    with pytest.raises(ArgumentError, match="image_size must be an integer of at least 1, got 0"):
        from_folder(folder, image_size=0)
    with pytest.raises(ArgumentError, match="mode must be one of 'RGB', 'L', got 'CMYK'"):
        from_folder(folder, mode="CMYK")
    with pytest.raises(ArgumentError, match="workers must be an integer of at least 1"):
        from_folder(folder, workers=0)
    with pytest.raises(ArgumentError, match="label='y' names a column, and from_folder has none"):
        resolve(folder, label="y")


@pytest.mark.parametrize("options", [{}, {"label": "y"}])
@pytest.mark.parametrize("name", ["1.csv", "a/b.jsonl", "1.tsv.gz"])
def test_a_folder_of_text_tables_is_no_folder_of_images(tmp_path, name, options):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"is a folder of {name}: such files are read one at a time, so give the path"):
        resolve(tmp_path, **options)


def test_fingerprint_of_files(folder, tmp_path):
    def marks(root, full):
        return from_folder(root).fingerprint(full=full)

    cheap, full = marks(folder, False), marks(folder, True)
    assert (marks(folder, False), marks(folder, True)) == (cheap, full)
    # A copy with other times: other data to the cheap one, the same to the full one.
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    os.utime(copy / "cat" / "2.png", ns=(1, 1))
    assert marks(copy, False) != cheap
    assert marks(copy, True) == full
    # A new picture of the same size and time is seen by its pixels, as this small set is all in the sample.
    path = folder / "cat" / "2.png"
    times = path.stat()
    Image.fromarray(picture(99)).save(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert marks(folder, False)["sample"] != cheap["sample"]
    assert marks(folder, True) != full


def test_a_file_changed_after_opening_is_named(folder):
    data = from_folder(folder, memory_limit=100)
    spoil(folder / "dog" / "b.png")
    with pytest.raises(DataError, match=r"dog/b\.png has changed since it was opened"):
        data.take(np.array([2]))


def test_parquet_images_with_names_splits_and_row_groups(tmp_path):
    contents = [png(picture(seed)) for seed in range(10)]
    path = write_images(tmp_path / "set.parquet", contents, [0, 1] * 5, ["no", "yes"], row_group_size=3)
    small = from_parquet(path)
    large = from_parquet(path, memory_limit=200)  # about one row group stays in memory
    expected = np.stack([picture(seed) for seed in range(10)])
    assert small.class_names == ("no", "yes")
    np.testing.assert_array_equal(everything(small), expected)
    assert not large.in_memory
    rows = np.array([9, 0, 5, 4, 9])
    np.testing.assert_array_equal(large.take(rows), expected[rows])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(large)).take(rows), expected[rows])


def test_parquet_images_that_are_missing_or_broken_are_named(tmp_path):
    contents = [png(picture(0)), None, png(picture(1))[:-60], png(picture(2))]
    path = write_images(tmp_path / "set.parquet", contents, [0, 1, 0, 1])
    with pytest.raises(
        DataError,
        match=r"2 images .* row 1 of set.parquet, .*/1.png \(No such file.*\), row 2 of set.parquet \(OSError: .*trunc",
    ):
        from_parquet(path)
    data = from_parquet(path, on_error="skip")
    assert data.ids.tolist() == [0, 3]
    np.testing.assert_array_equal(everything(data), np.stack([picture(0), picture(2)]))


def test_images_by_path_are_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_folder(tmp_path, {"1.png": picture(0)})
    image = [{"bytes": None, "path": str(tmp_path / "1.png")}]
    pq.write_table(pa.table({"image": image, "label": [0]}), tmp_path / "set.parquet")
    np.testing.assert_array_equal(everything(from_parquet(tmp_path / "set.parquet"))[0], picture(0))


def test_shards_of_one_split(tmp_path):
    for name, seed in {"train-00000-of-00002": 0, "train-00001-of-00002": 1, "test-00000-of-00001": 2}.items():
        write_images(tmp_path / f"{name}.parquet", [png(picture(seed))], [0])
    with pytest.raises(ArgumentError, match="the folder holds splits test, train; say which, as in split='test'"):
        resolve(tmp_path)
    np.testing.assert_array_equal(everything(resolve(tmp_path, split="train")), np.stack([picture(0), picture(1)]))
    with pytest.raises(ArgumentError, match="split must be one of test, train, got 'dev'"):
        resolve(tmp_path, split="dev")


@pytest.mark.data
@pytest.mark.slow
def test_cifar10(real_data):
    import pyarrow.parquet as pq

    data = from_parquet(real_data / "cifar10-test.parquet")
    assert (data.sample_shape, len(data), data.class_names[3]) == ((32, 32, 3), 10_000, "cat")
    table = pq.read_table(real_data / "cifar10-test.parquet")
    rows = np.arange(0, 10_000, 97)
    images = [Image.open(io.BytesIO(table["image"][int(row)].as_py()["bytes"])) for row in rows]
    np.testing.assert_array_equal(data.take(rows), np.stack([np.asarray(image.convert("RGB")) for image in images]))
    np.testing.assert_array_equal(data.labels, table["label"].to_numpy())
    pixels = [image.tobytes() for image in everything(data)]
    assert len(np.unique(data.duplicate_groups())) == len(set(pixels))


@pytest.mark.parametrize("out", [".", "inside/run"])
def test_a_run_in_the_folder_of_its_images_is_refused(folder, out):
    before = sorted(folder.rglob("*"))
    with pytest.raises(ArgumentError, match="lies in the data set"):
        unseen.prune(folder, keep=0.5, learner="convnet:epochs=1", out=folder / out)
    assert [path for path in sorted(folder.rglob("*")) if path not in before and path.name != "lock"] == []
