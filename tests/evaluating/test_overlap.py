"""Exact copies and near-duplicates between a training and a test set."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from unseen.data import resolve
from unseen.data.parts import Joined
from unseen.evaluating import test_set
from unseen.evaluating.test_set import exact_copies, near_duplicates


def joined(train, test):
    return Joined(*(resolve((inputs, np.arange(len(inputs)) % 2)) for inputs in (train, test)))


def images(n, seed=0, side=32):
    """Smooth images that have little to do with each other."""
    coarse = np.random.default_rng(seed).integers(40, 200, (n, 4, 4, 3), np.uint8)
    return np.repeat(np.repeat(coarse, side // 4, axis=1), side // 4, axis=2)


def table(rows):
    made = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        made[i, :] = row
    return made


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (np.eye(4, 3), np.array([[0.0, 2.0, 0.0], [0.0, 1.0, -0.0], [1.0, 0.0, 0.0]])),
        (images(4), np.concatenate([images(1, 9), images(4)[[1, 0]]])),
        (np.array(["a", "b", "c", "d"]), np.array(["x", "b", "a"])),
        # Whole numbers in one file, real ones in the other; text that looks like a number is another value.
        (table([[1, "u"], [2, None], [3, "w"], [4, "1"]]), table([["2", None], [2.0, None], [1.0, "u"]])),
    ],
    ids=["vectors", "images", "texts", "tables"],
)
def test_exact_copies_of_every_kind(train, test):
    data = joined(train, test)
    assert exact_copies(data, np.arange(4), data.test_rows).tolist() == [[5, 1], [6, 0]]
    assert exact_copies(data, np.arange(2, 4), data.test_rows).tolist() == []


def test_images_shifted_in_brightness_and_a_little_noisy_are_near():
    train = images(30)
    noise = np.random.default_rng(1).integers(0, 8, (3, 32, 32, 3), np.uint8)
    data = joined(train, np.concatenate([images(5, seed=7), train[[4, 20, 11]] // 2 + noise]))
    found = near_duplicates(data, np.arange(30), data.test_rows)
    assert sorted(zip(found.test_rows.tolist(), found.train_rows.tolist(), strict=True)) == [
        (35, 4),
        (36, 20),
        (37, 11),
    ]
    assert found.share == 3 / 8
    assert found.text().startswith("3 of 8 test samples (37.5 %) have one in the training set, an estimate by the corr")
    assert (np.diff(found.similarity) <= 0).all()


@pytest.mark.parametrize("side", [8, 12, 4])
def test_images_of_any_size(side):
    data = joined(images(20, side=side), images(20, side=side)[3:5])
    assert near_duplicates(data, np.arange(20), data.test_rows).train_rows.tolist() == [3, 4]


def test_plain_images_are_near_nothing():
    data = joined(np.full((3, 8, 8, 1), 7, np.uint8), np.full((1, 8, 8, 1), 9, np.uint8))
    assert len(near_duplicates(data, np.arange(3), data.test_rows).test_rows) == 0


def photographs(n, seed=0, side=32):
    """Pictures with detail of every size, as photographs have."""
    rng = np.random.default_rng(seed)
    total = np.zeros((n, side, side, 3))
    for cells in (4, 8, 16, 32):
        coarse = rng.normal(size=(n, cells, cells, 3)) / cells
        total += np.repeat(np.repeat(coarse, side // cells, axis=1), side // cells, axis=2)
    return np.clip(128 + 300 * total, 0, 255).astype(np.uint8)


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


ALTERED = {
    "moved by 2 pixels": lambda image: np.pad(image, ((0, 0), (2, 0), (0, 0)), mode="edge")[:, :32],
    "nine tenths, resized": lambda image: np.asarray(Image.fromarray(image[1:30, 2:31]).resize((32, 32))),
    "JPEG": jpeg,
    "brighter": lambda image: np.clip(image * 1.2, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and moved": lambda image: np.pad(image, ((1, 0), (0, 0), (0, 0)), mode="edge")[:32, ::-1],
}


@pytest.mark.parametrize("how", ALTERED)
def test_altered_copies_of_photographs_are_found(how):
    train = photographs(60)
    data = joined(train, np.stack([ALTERED[how](image) for image in train[:20]] + list(photographs(20, seed=5))))
    found = near_duplicates(data, np.arange(60), data.test_rows)
    pairs = set(zip((found.test_rows - 60).tolist(), found.train_rows.tolist(), strict=True))
    assert pairs <= {(i, i) for i in range(20)}
    assert len(pairs) >= 19


def test_centred_grey_shapes_are_alike_but_no_copies():
    """What the thumbnails alone took for copies: 70 % of these correlate at 0.95 and more with a training image."""
    digits = load_digits()
    large = [Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)).resize((28, 28)) for image in digits.images]
    grey = np.stack([np.asarray(image)[..., None] for image in large])
    train, test = grey[:1400], grey[1400:1500]
    copies = np.stack([jpeg(image[..., 0])[..., None] for image in train[:20]])
    data = joined(train, np.concatenate([test, copies]))
    found = near_duplicates(data, np.arange(1400), data.test_rows)
    copied = found.test_rows >= 1500
    assert (~copied).sum() <= 2
    assert sorted(found.train_rows[copied].tolist()) == list(range(20))


def test_many_copies_of_one_image_are_found_all_the_same():
    train = np.concatenate([np.repeat(photographs(1), 20, axis=0), photographs(20, seed=1)])
    data = joined(train, np.clip(train[:1] * 0.9, 0, 255).astype(np.uint8))
    assert len(near_duplicates(data, np.arange(40), data.test_rows).test_rows) == 1


def test_noise_without_contrast_is_near_nothing():
    noise = np.random.default_rng(0).integers(100, 103, (30, 32, 32, 1), np.uint8)
    data = joined(noise, np.clip(noise[:5] + 1, 0, 255).astype(np.uint8))
    assert len(near_duplicates(data, np.arange(30), data.test_rows).test_rows) == 0


def test_large_images_are_compared_reduced():
    train = np.repeat(np.repeat(photographs(12), 4, axis=1), 4, axis=2)[:, :120]
    moved = np.pad(train[:3], ((0, 0), (0, 0), (6, 0), (0, 0)), mode="edge")[:, :, :128]
    data = joined(train, np.concatenate([moved, np.repeat(np.repeat(photographs(3, seed=9), 4, 1), 4, 2)[:, :120]]))
    found = near_duplicates(data, np.arange(12), data.test_rows)
    assert sorted(zip((found.test_rows - 12).tolist(), found.train_rows.tolist(), strict=True)) == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]


def test_vectors_of_one_direction_are_near_only_at_like_lengths():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 16))
    x -= x.mean(axis=0)
    data = joined(np.float32(x), np.float32(np.stack([x[3] * 2, x[3] * 1.05, x[5] + 1e-3, -x[7]])))
    found = near_duplicates(data, np.arange(200), data.test_rows)
    assert sorted(zip((found.test_rows - 200).tolist(), found.train_rows.tolist(), strict=True)) == [(1, 3), (2, 5)]


def test_vectors_of_one_direction_do_not_hide_the_copy():
    x = np.random.default_rng(0).normal(size=(200, 16))
    x -= x.mean(axis=0)
    x[:6] = x[9] * np.arange(2, 8)[:, None]
    data = joined(np.float32(x - x.mean(axis=0)), np.float32(x[[9]] - x.mean(axis=0)))
    assert near_duplicates(data, np.arange(200), data.test_rows).train_rows.tolist() == [9]


def test_vectors_and_features_are_standardised_first():
    rng = np.random.default_rng(0)
    scale = 10.0 ** np.arange(8)
    x = (rng.normal(size=(50, 8)) + 5) * scale
    data = joined(x, np.concatenate([(rng.normal(size=(2, 8)) + 5) * scale, x[[7]] * 1.0001]))
    for features in (None, np.concatenate([x, x[[0, 1, 7]]])):
        found = near_duplicates(data, np.arange(50), data.test_rows, features=features)
        assert 7 in found.train_rows.tolist()
        assert len(found.test_rows) == (1 if features is None else 3)


@pytest.mark.parametrize(("columns", "looked"), [(1, False), (5, False), (6, True)])
def test_vectors_of_few_columns_are_not_compared(columns, looked):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1300, columns))
    data = joined(vectors[:900], vectors[900:])
    for features in (None, vectors):
        found = near_duplicates(data, np.arange(900), data.test_rows, features=features)
        assert bool(found.by) == looked
        assert looked or found.text().startswith("not looked for: in fewer than 6 columns, ")
        assert looked or not len(found.test_rows)


def test_texts_that_differ_by_a_word_are_near():
    train = np.array([f"the film number {i} was seen by many people in spring" for i in range(10, 30)])
    data = joined(train, np.array(["a wholly different sentence", train[4] + " ."]))
    found = near_duplicates(data, np.arange(20), data.test_rows)
    assert found.train_rows.tolist() == [4]


def test_texts_of_one_vector_but_other_words_are_not_near(monkeypatch):
    """A rare word outweighs the others: the cosine of the first is 0.88, though four of its five words are others."""
    long = "zebra " * 30
    train = np.array([f"{long} one two three four", *(f"number {i} one two three four five" for i in range(30))])
    data = joined(train, np.array([f"{long} five six seven eight", f"{long} One, two, three; four!"]))
    monkeypatch.setitem(test_set.THRESHOLDS, "text", 0.8)
    found = near_duplicates(data, np.arange(31), data.test_rows)
    assert (found.test_rows - 31).tolist() == [1]


def test_what_is_not_looked_for_says_why(monkeypatch):
    data = joined(table([[1, "a"], [2, "b"]]), table([[1, "c"]]))
    found = near_duplicates(data, np.arange(2), data.test_rows)
    assert found.text() == "not looked for: tables are compared for exact copies only"
    assert found.describe()["found"] == 0
    monkeypatch.setattr(test_set, "MOST_PAIRS", 5)
    data = joined(np.eye(3, 8), np.eye(3, 8)[:2])
    assert "6 pairs of samples are too many" in near_duplicates(data, np.arange(3), data.test_rows).text()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    train = images(40)
    data = joined(
        train, np.concatenate([images(20, seed=1), train[:20] + rng.integers(0, 9, (20, 32, 32, 3), np.uint8)])
    )
    monkeypatch.setitem(test_set.THRESHOLDS, "image", 0.3)
    whole = near_duplicates(data, np.arange(40), data.test_rows)
    monkeypatch.setattr(test_set, "_CELLS", 100)
    parts = near_duplicates(data, np.arange(40), data.test_rows)
    assert len(whole.test_rows) == 20
    assert whole.describe() == parts.describe()


@pytest.mark.data
@pytest.mark.slow
def test_cifar10(real_data):
    """No exact copies, and near-duplicates among the first 500 test images that people found too (ciFAIR)."""
    data = Joined(*(resolve(str(real_data / f"cifar10-{part}.parquet")) for part in ("train", "test")))
    train, test = np.arange(50_000), data.test_rows[:600]
    assert len(exact_copies(data, train, test)) == 0
    found = near_duplicates(data, train, test)
    pairs = set(zip((found.test_rows - 50_000).tolist(), found.train_rows.tolist(), strict=True))
    assert {(40, 46506), (481, 32193), (576, 34546)} & pairs
    assert 0.01 < found.share < 0.06
