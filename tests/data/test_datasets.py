"""Data sets of other libraries: torch's, anything map-style, Hugging Face's."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_images import picture, png
from PIL import Image
from torch.utils.data import ChainDataset, ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from unseen.data import from_arrays, from_dataset, from_huggingface, resolve
from unseen.errors import ArgumentError, DataError, UnknownNameError


def everything(data):
    return data.take(np.arange(len(data)))


class Pictures(Dataset):
    """Nothing but a length and pairs."""

    def __init__(self, convert, sizes=((8, 8),) * 6):
        self.convert, self.sizes = convert, sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, row):
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.convert(picture(row, *self.sizes[row])), row % 2


def to_tensor(array):
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255


CONVERSIONS = {
    "pillow": Image.fromarray,
    "array": lambda array: array,
    "uint8 tensor": lambda array: torch.from_numpy(array).permute(2, 0, 1),
    "float tensor": to_tensor,
    "float array": lambda array: (array / 255).astype(np.float64),
}


@pytest.mark.parametrize("form", CONVERSIONS)
@pytest.mark.parametrize("limit", [None, 100])
def test_images_in_every_form_keep_their_pixels(form, limit):
    data = from_dataset(Pictures(CONVERSIONS[form]), memory_limit=limit, workers=0)
    assert data.in_memory == (limit is None)
    assert (data.kind, data.sample_shape, data.dtype) == ("image", (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(everything(data), np.stack([picture(row) for row in range(6)]))
    assert data.labels.tolist() == [0, 1] * 3
    assert data.duplicate_groups().tolist() == list(range(6))


def test_large_data_through_worker_processes_is_the_same_and_draws_no_global_numbers():
    state = torch.random.get_rng_state()
    data = from_dataset(Pictures(to_tensor), memory_limit=100, workers=1, ids=list("abcdef"))
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(data.take(np.array([4, 1])), np.stack([picture(4), picture(1)]))
    assert data.take(np.array([], int)).shape == (0, 8, 8, 3)
    assert data.ids.tolist() == list("abcdef")
    small = from_dataset(Pictures(to_tensor), ids=list("abcdef"))
    assert data.fingerprint(full=True) == small.fingerprint(full=True)


def test_vectors_texts_and_labels_of_all_sorts():
    x = torch.randn(5, 3)
    data = resolve(TensorDataset(x, torch.tensor([0, 1, 1, 0, 2])))
    np.testing.assert_array_equal(everything(data), x.numpy())
    assert data.labels.tolist() == [0, 1, 1, 0, 2]
    texts = resolve([("one", "a"), ("two", "b"), ("one", "b")])
    assert (texts.kind, texts.labels.tolist(), texts.duplicate_groups().tolist()) == ("text", [0, 1, 1], [0, 1, 0])
    assert from_dataset([(np.ones(2), np.int32(1)), (np.zeros(2), np.array(0))]).labels.tolist() == [1, 0]


def test_samples_of_several_lengths_are_for_your_own_loop():
    waves = [torch.ones(3 + i % 2, 5) for i in range(6)]
    with pytest.raises(DataError, match=r"row 1 has \(4, 5\); .* unseen.Recorder scores any samples"):
        resolve([(wave, i % 2) for i, wave in enumerate(waves)])
    with pytest.raises(DataError, match=r"X has entries of several shapes.* unseen.Recorder scores any samples"):
        resolve((waves, [0, 1] * 3))


@pytest.mark.parametrize("beside", [[], ["attention_mask"], ["attention_mask", "text"]])
@pytest.mark.parametrize("lengths", [(4, 4), (3, 5)])
def test_token_ids_are_no_measurements(beside, lengths, tmp_path):
    datasets = pytest.importorskip("datasets")
    columns = {"input_ids": [list(range(100, 100 + lengths[i % 2])) for i in range(8)], "label": [0, 1] * 4}
    more = {"attention_mask": [[1] * len(row) for row in columns["input_ids"]], "text": ["so so"] * 8}
    table = pa.table(columns | {name: more[name] for name in beside})
    pq.write_table(table, tmp_path / "tokens.parquet")
    sources = [datasets.Dataset(table), tmp_path / "tokens.parquet"]
    if "text" not in beside:
        sources.append(table.to_pylist())
    for source in sources:
        with pytest.raises(DataError, match=r"'input_ids' holds the numbers of words.*text=.*embed.*Recorder"):
            resolve(source)
    if lengths == (4, 4):  # asked for by name, they are what they are
        assert resolve(sources[0], features="input_ids").sample_shape == (4,)


def test_pillow_images_of_several_sizes_need_a_size():
    ds = Pictures(Image.fromarray, sizes=((8, 8), (8, 8), (12, 10)))
    with pytest.raises(DataError, match=r"row 0 has \(8, 8, 3\) and row 2 has \(12, 10, 3\); image_size= brings"):
        from_dataset(ds)
    data = from_dataset(ds, image_size=8)
    by_hand = Image.fromarray(picture(2, 12, 10)).resize((8, 10), Image.Resampling.BILINEAR).crop((0, 1, 8, 9))
    np.testing.assert_array_equal(everything(data)[2], np.asarray(by_hand))
    with pytest.raises(DataError, match=r"row 0 has \(8, 8, 3\) and row 2 has \(12, 10, 3\)"):
        from_dataset(ds, memory_limit=10, workers=0)


class Random:
    """Augments, which data must not."""

    generator: ClassVar = np.random.default_rng(0)

    def __len__(self):
        return 4

    def __getitem__(self, row):
        return self.generator.integers(0, 256, (8, 8, 3), dtype=np.uint8), row % 2


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class Counted(Stream):
    def __len__(self):
        return 4


@pytest.mark.parametrize("limit", [None, 100])
def test_augmentation_in_the_data_is_refused(limit):
    with pytest.raises(DataError, match=r"ds\[0\] gives another x each time it is read; leave random augmentation out"):
        from_dataset(Random(), memory_limit=limit, workers=0)


def test_images_of_16_bits_that_are_black_in_8_are_told():
    faint = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8))
    data = from_dataset([(faint, 0), (Image.fromarray(picture(0)), 1)])
    assert not everything(data)[0].any()
    assert data.notes[-1].startswith("1 image of 16 bits is all black, as the upper 8 bits are kept")


class Lazy(Stream):
    """Has a method as a LazyFrame of polars."""

    collect = list


class RandomLabels:
    """Draws its labels anew."""

    def __init__(self, rate):
        self.rate, self.numbers = rate, np.random.default_rng(0)

    def __len__(self):
        return 200

    def __getitem__(self, row):
        return picture(row), int(row % 2 != (self.numbers.random() < self.rate))


@pytest.mark.parametrize("limit", [None, 100])
@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_labels_that_change_are_refused(limit, rate):
    with pytest.raises(
        DataError, match=r"ds\[\d+\] gives another y each time it is read: [01], then [01]; a label must"
    ):
        from_dataset(RandomLabels(rate), memory_limit=limit, workers=0)
    assert len(from_dataset(RandomLabels(0.0), memory_limit=limit, workers=0)) == 200


@pytest.mark.parametrize(
    ("ds", "options", "error", "message"),
    [
        ([], {}, DataError, "the data set is empty"),
        (Stream(), {}, ArgumentError, "must have len.* an iterable one cannot be scored"),
        (Counted(), {}, ArgumentError, "must have len.* an iterable one cannot be scored"),
        (Lazy(), {}, ArgumentError, r"must have len.* got Lazy; collect\(\) makes a frame of it"),
        (ChainDataset([Stream()]), {}, ArgumentError, "must have len.* got ChainDataset; an iterable one"),
        ([{1, 2}], {}, DataError, r"ds\[0\] must be a pair \(x, y\), got set"),
        ([(np.ones(2), 0), (np.ones(3), 0)], {}, DataError, r"row 0 has \(2,\) and row 1 has \(3,\)"),
        (
            [(np.ones(2), 0)],
            {"image_size": 3},
            ArgumentError,
            r"image_size is for .* Pillow images, but ds\[0\] has ndarray",
        ),
        *(
            (
                [pair] * 2,
                {},
                DataError,
                r"its first entry, .*, looks like the label, and its second like the inputs; wrap",
            )
            for pair in [(0, np.ones(2)), (torch.tensor(1), torch.ones(3, 8, 8)), ("cat", Image.new("L", (8, 8)))]
        ),
        ([("text", np.ones(2))] * 2, {}, DataError, r"try y.argmax\(axis=1\) for one-hot labels"),
        ([(np.ones(2), 0, 7)], {}, DataError, r"ds\[0\] must be a pair \(x, y\), got tuple of 3; wrap"),
        ([(np.ones(2), 0), (None, 0)], {}, DataError, r"ds\[1\] has no inputs, but None; leave out such samples"),
        ([(np.ones(2), None)], {}, DataError, "y must be given for every sample"),
        ([(np.array([1, np.nan]), 0)], {}, DataError, r"row 0, column 1 \(nan\)"),
        (
            [(np.ones(200), 0), (np.ones(200), 1)],
            {"memory_limit": 300},
            DataError,
            r"x\.npy and y\.npy, which are read",
        ),
    ],
)
def test_bad_data_sets_are_refused(ds, options, error, message):
    with pytest.raises(error, match=message):
        from_dataset(ds, **options)


class Fake:
    """The part of `datasets.Dataset` that is used, over an Arrow table."""

    def __init__(self, table):
        self.table = table
        self.features = type("Features", (), {"arrow_schema": table.schema})()

    def __len__(self):
        return len(self.table)

    def __getitem__(self, key):
        return self.table[key] if isinstance(key, slice) else self.table.take(key)

    def with_format(self, name):
        assert name == "arrow"
        return self

    def select_columns(self, names):
        return Fake(self.table.select(names))


def test_hugging_face_images_through_a_stand_in():
    images = pa.array([{"bytes": png(picture(row)), "path": None} for row in range(4)])
    table = pa.table({"image": images, "label": [0, 1, 1, 0]})
    for limit in (None, 100):
        data = resolve(Fake(table), memory_limit=limit)
        np.testing.assert_array_equal(data.take(np.array([3, 1])), np.stack([picture(3), picture(1)]))
        assert data.in_memory == (limit is None)
    with pytest.raises(UnknownNameError, match="did you mean 'label'"):
        resolve(Fake(table), label="lable")
    texts = pa.table({"t": list("abcdefghijkl"), "__index_level_0__": [0] * 12, "i": range(12), "label": [0, 1] * 6})
    assert resolve(Fake(texts)).kind == "text"
    with pytest.raises(DataError, match="the data set is empty"):
        resolve(Fake(table.slice(0, 0)))


def test_hugging_face_splits_and_streams_are_refused():
    with pytest.raises(ArgumentError, match=r"has splits train, test; give one of them, as in ds\['train'\]"):
        from_huggingface({"train": 1, "test": 2})
    with pytest.raises(ArgumentError, match="a streaming data set cannot be scored"):
        from_huggingface(type("Streaming", (), {})())


def test_hugging_face_library(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = {"image": [Image.fromarray(picture(row)) for row in range(6)], "label": [0, 1] * 3}
    ds = datasets.Dataset.from_dict(rows, features=features).select([5, 0, 3])
    for limit in (None, 100):
        data = resolve(ds, memory_limit=limit)
        np.testing.assert_array_equal(everything(data), np.stack([picture(row) for row in (5, 0, 3)]))
        assert (data.class_names, data.labels.tolist()) == (("no", "yes"), [1, 0, 1])
    ds.save_to_disk(tmp_path / "saved")
    np.testing.assert_array_equal(everything(resolve(tmp_path / "saved")), everything(data))
    table = datasets.Dataset.from_dict({"a": [1.0, 2.0], "b": ["x", None], "label": [0, 1]})
    assert everything(resolve(table)).tolist() == [[1.0, "x"], [2.0, None]]
    turned = table.select_columns(["a", "label"]).with_transform(lambda rows: {**rows, "label": [1, 1]})
    assert resolve(turned).labels.tolist() == [0, 1]
    assert resolve(turned).notes[0] == "the data set's own transform is left out: samples are read as they are stored"
    with pytest.raises(ArgumentError, match="has splits"):
        resolve(datasets.DatasetDict({"train": ds}))
    with pytest.raises(ArgumentError, match="streaming"):
        resolve(ds.to_iterable_dataset())


def test_an_open_data_set_is_passed_on():
    data = from_arrays([[1.0], [2.0]], [0, 1])
    assert resolve(data) is data


@pytest.mark.parametrize(
    "form",
    [
        lambda x, row: x.astype(">f4"),
        lambda x, row: x.astype(np.float32 if row % 2 else np.float64),
        lambda x, row: x.astype(int) if row % 2 else x,
    ],
    ids=["big-endian", "two-widths", "whole-and-real"],
)
def test_samples_that_are_held_in_another_type_are_no_others(form):
    x = np.arange(24.0).reshape(8, 3)
    data = from_dataset([(form(x[row], row), row % 2) for row in range(8)])
    np.testing.assert_array_equal(everything(data), x)


def test_bytes_are_text():
    data = from_dataset([(f"film {row}".encode(), b"bad") for row in range(3)] + [(b"film 3", b"good")])
    assert (data.kind, data.class_names) == ("text", ("bad", "good"))
    assert everything(data).tolist() == [f"film {row}" for row in range(4)]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_images_of_more_than_16_bits_are_refused(mode):
    said = (
        rf"the image of ds\[0\] cannot be read: mode '{mode}' has more than 16 bits a pixel; scale it to 8 bits first"
    )
    with pytest.raises(DataError, match=said):
        from_dataset(Pictures(lambda array: Image.fromarray(array).convert(mode)))


def test_a_sample_that_cannot_be_had_is_named():
    class Short(Pictures):
        def __len__(self):
            return 8

    ds = Short(lambda array: array)
    ds.__class__.__getitem__ = lambda self, row: (picture(row, *self.sizes[row]), row % 2)
    with pytest.raises(DataError, match=r"ds\[6\] cannot be read: IndexError: tuple index out of range"):
        from_dataset(ds)


class Items:
    """A data set whose items are dictionaries, as most of Hugging Face's are."""

    def __init__(self, items, classes=None):
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


GREY = [np.full((4, 4, 1), 10 * i, np.uint8) for i in range(4)]


def test_parts_of_a_data_set_have_its_classes():
    """Else a part could not be compared with the whole, such as a test set."""
    whole = Items([(image, i % 2) for i, image in enumerate(GREY)], classes=["cat", "dog", "cow"])
    other = Items(whole.items, classes=["cat", "dog"])
    for part in (Subset(whole, [1, 2]), Subset(Subset(whole, [0, 1, 3]), [1]), ConcatDataset([whole, whole])):
        assert resolve(part).class_names == ("cat", "dog", "cow")
    for part in (ConcatDataset([whole, other]), Subset(Items(whole.items), [0, 1])):
        assert resolve(part).class_names == ("0", "1")


def test_items_that_are_dictionaries():
    usual = Items([{"pixel_values": image, "path": "x", "labels": i % 2} for i, image in enumerate(GREY)])
    data = resolve(usual)
    assert (data.kind, data.labels.tolist()) == ("image", [0, 1, 0, 1])
    assert data.notes == ("keys of the samples that are not used: 'path'",)
    np.testing.assert_array_equal(data.take(np.arange(4)), np.stack(GREY))
    other = Items([{"scan": image, "mask": image, "verdict": "ny"[i % 2]} for i, image in enumerate(GREY)])
    for named in (resolve(other, x="scan", label="verdict"), resolve(other, image="scan", label="verdict")):
        assert named.class_names == ("n", "y")
        np.testing.assert_array_equal(named.take(np.arange(4)), np.stack(GREY))
    two = Items([{"review": "good" if i % 2 else "bad", "label": i % 2} for i in range(4)])
    assert resolve(two).kind == "text"
    with pytest.raises(ArgumentError, match="a dictionary of scan, mask, verdict: say which are the inputs"):
        resolve(other)
    with pytest.raises(UnknownNameError, match="unknown key for labels 'verdikt'; did you mean 'verdict'"):
        resolve(other, x="scan", label="verdikt")
    with pytest.raises(ArgumentError, match=r"key for inputs must be one name, got \('scan', 'mask'\)"):
        resolve(other, x=("scan", "mask"), label="verdict")
    with pytest.raises(ArgumentError, match=r"keys of dictionaries, but ds\[0\] is a tuple"):
        resolve(Items([(image, 0) for image in GREY]), label="y")
    with pytest.raises(DataError, match=r"ds\[1\] lacks the key 'label'; its keys: x"):
        resolve(Items([{"x": 1, "label": 1}, {"x": 1}]))


def test_classes_that_the_data_set_names():
    def of(labels, classes):
        return resolve(Items(list(zip(GREY, labels, strict=True)), classes)).class_names

    assert of([0, 1, 0, 1], ["cat", "dog", "owl"]) == ("cat", "dog", "owl")
    assert of([0, 5, 0, 5], ["cat", "dog", "owl"]) == ("0", "5")  # are no numbers of these
    assert of(["b", "a", "b", "a"], ["cat", "dog"]) == ("a", "b")
    assert of([0, 1, 0, 1], None) == ("0", "1")
