"""Built-in features: what they compute, that no label takes part, that copies stay copies."""

import numpy as np
import pytest
from scipy.stats import zscore
from sklearn.feature_extraction.text import TfidfVectorizer

import unseen
from unseen.data import from_arrays
from unseen.embedding import features
from unseen.errors import ArgumentError, DataError


@pytest.fixture(autouse=True)
def _few_hashes(monkeypatch):
    monkeypatch.setattr("unseen.embedding.features.HASHES", 2**14)


WORDS = ["good", "bad", "fine", "dull", "film", "plot", "cast", "end"]


def pictures(n=24, side=12, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (n, side // 3, side // 3, 3), dtype=np.uint8)
    return coarse.repeat(3, axis=1).repeat(3, axis=2)


def sentences(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 4)) for _ in range(n)]


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    table = np.empty((n, 4), object)
    table[:, 0] = rng.choice(["red", "green", "blue"], n)
    table[:, 1] = rng.normal(50, 9, n)
    table[:, 2] = rng.integers(0, 5, n)
    table[:, 3] = rng.choice(["x", "y"], n)
    table[3, 0] = table[5, 1] = None
    table[7, 3] = "once"
    return table


def vectors(data):
    return data.take(np.arange(len(data)))


BUILT_IN = {
    "patches:patches=5,size=4": pictures(),
    "tfidf:dimensions=6": sentences(),
    "columns:rare=3": rows(),
}


@pytest.mark.parametrize("by", BUILT_IN)
def test_no_label_takes_part_and_equal_seeds_give_equal_bits(by):
    X = BUILT_IN[by]
    y = np.arange(len(X)) % 3
    one, again, other = (unseen.embed(X, labels, by=by) for labels in (y, y, y[::-1] == 1))
    assert vectors(one).tobytes() == vectors(again).tobytes() == vectors(other).tobytes()
    assert one.notes == (f"embedded by {by.partition(':')[0]}: it uses no labels",)


@pytest.mark.parametrize("by", ["patches:patches=5,size=4", "tfidf:dimensions=6"])
def test_another_seed_gives_other_features(by):
    X, y = BUILT_IN[by], np.arange(len(BUILT_IN[by])) % 3
    assert not np.allclose(vectors(unseen.embed(X, y, by=by)), vectors(unseen.embed(X, y, by=by, seed=1)))


@pytest.mark.parametrize("by", BUILT_IN)
def test_blocks_do_not_change_the_result(by, monkeypatch):
    X, y = BUILT_IN[by], np.arange(len(BUILT_IN[by])) % 3
    whole = vectors(unseen.embed(X, y, by=by))
    monkeypatch.setattr(features, "block_of", lambda data, width: 7)
    monkeypatch.setattr(features, "BLOCK_BYTES", 8 * 6 * 7)
    monkeypatch.setattr(features, "CUT_BYTES", 2000)
    np.testing.assert_allclose(vectors(unseen.embed(X, y, by=by)), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("by", BUILT_IN)
def test_exact_copies_get_one_and_the_same_vector(by):
    X = BUILT_IN[by]
    twice = X + X[:9] if isinstance(X, list) else np.concatenate([X, X[:9]])
    data = unseen.embed(twice, np.arange(len(twice)) % 2, by=by)
    assert vectors(data)[len(X) :].tobytes() == vectors(data)[:9].tobytes()
    assert data.duplicate_groups()[len(X) :].tolist() == data.duplicate_groups()[:9].tolist()


def test_threads_do_not_change_patches():
    X, y = pictures(), np.arange(24) % 2
    one, two = (unseen.embed(X, y, by="patches:patches=5,size=4", threads=t) for t in (1, 2))
    assert vectors(one).tobytes() == vectors(two).tobytes()


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_a_patch_feature_is_the_pooled_response_of_every_normalised_patch(pool):
    images = pictures(n=6, side=15)
    filters = features.Filters.drawn(lambda at: images[at], 6, (15, 15, 3), 4, 5, 0)
    places = 15 - 5 + 1
    responses = np.empty((4, places, places))
    for i, j in np.ndindex(places, places):
        patch = images[2, i : i + 5, j : j + 5].astype(float)
        normal = (patch - patch.mean()) / np.sqrt(patch.var() + features.CONTRAST)
        responses[:, i, j] = (filters.weights * normal).sum((1, 2, 3)) + filters.offsets
    parts = [slice(p * places // pool, -(-(p + 1) * places // pool)) for p in range(pool)]
    expected = [
        np.sqrt(np.maximum(sign * responses[k, down, across] - features.THRESHOLD, 0).mean())
        for sign in (1, -1)
        for k in range(4)
        for down in parts
        for across in parts
    ]
    np.testing.assert_allclose(filters.features(images[2:3], pool)[0], expected, atol=1e-4)


def test_tfidf_keeps_the_angles_of_the_texts():
    texts = sentences()
    found = vectors(unseen.embed(texts, np.arange(30) % 2, by="tfidf:dimensions=30"))
    full = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts).toarray()
    np.testing.assert_allclose(found @ found.T, full @ full.T, atol=1e-5)


def test_columns_are_categories_then_numbers_then_gaps():
    table = rows()
    X = vectors(unseen.embed(table, np.arange(40) % 2, by="columns:rare=3"))
    # blue, green, red and the one gap pooled; x, y and one rare pooled; two numbers; one mark for the gap in column 1
    assert X.shape == (40, 4 + 3 + 2 + 1)
    np.testing.assert_array_equal(X[:, :4].sum(axis=1), 1)
    np.testing.assert_array_equal(X[:, 4:7].sum(axis=1), 1)
    assert X[3, 3] == X[7, 6] == 1
    np.testing.assert_array_equal(X[:, 0] == 1, table[:, 0] == "blue")
    np.testing.assert_allclose(X[:, 8], zscore(table[:, 2].astype(float)), rtol=1e-5)
    known = np.arange(40) != 5
    np.testing.assert_allclose(X[known, 7], zscore(table[known, 1].astype(float)), rtol=1e-5)
    assert X[5, 7] == 0
    np.testing.assert_array_equal(X[:, 9], ~known)


def test_columns_of_a_test_set_that_holds_what_was_never_seen(tmp_path):
    train, test = rows(), rows(8, seed=1)[:6]
    test[0, 0], test[1, 3], test[2, 2] = "mauve", None, None
    unseen.embed((train, np.arange(40) % 2), by="columns:rare=3", test=(test, np.arange(6) % 2), out=tmp_path / "e")
    X = vectors(unseen.data.resolve(tmp_path / "e" / "test"))
    assert X[0, :4].tolist() == [0, 0, 0, 1]  # with the rare ones
    assert X[1, 4:7].tolist() == [0, 0, 1]
    assert X[2, 8] == 0


def test_a_column_that_begins_with_a_block_of_gaps_has_the_mean_of_what_is_there(monkeypatch):
    monkeypatch.setattr(features, "block_of", lambda data, width: 2)
    table = np.array([[None, "a"], [None, "a"], [1, "a"], [3, "a"]], object)
    X = vectors(unseen.embed(table, [0, 1, 0, 1], by="columns:rare=1"))
    np.testing.assert_array_equal(X[:, 1:], [[0, 1], [0, 1], [-1, 0], [1, 0]])


def test_columns_without_anything_in_them_are_left_out_and_constant_ones_are_zero():
    table = np.array([[None, 3, "a"], [None, 3, "a"], [None, 3, "b"]], object)
    np.testing.assert_array_equal(
        vectors(unseen.embed(table, [0, 1, 0], by="columns:rare=1")), [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    )


def test_too_many_categories_are_refused(monkeypatch):
    monkeypatch.setattr(features, "MOST", 8)
    with pytest.raises(DataError, match=r"10 columns, more than 8.*raise rare \(now 1\)"):
        unseen.embed(rows(), np.arange(40) % 2, by="columns:rare=1")


@pytest.mark.parametrize(
    ("X", "by", "message"),
    [
        (pictures(), "tfidf", "makes vectors of texts, but this is image data"),
        (sentences(), "patches", "makes vectors of images, but this is text data"),
        (sentences(), "columns", "makes vectors of tables, but this is text data"),
        (np.zeros((3, 2)), "auto", "vector data needs no embedding, .*'columns' standardises it"),
        (sentences(), "tfidf:dimensions=31", "at most the number of texts, 30, got 31"),
        (sentences(), "tfidf:dimensions=0", "dimensions must be an integer of at least 1, got 0"),
        (sentences(), "tfidf:words=3", "the embedding tfidf has no option 'words'"),
        (pictures(), "patches:size=12", "have no 2 x 2 places for patches of 12 x 12"),
        (pictures(), "patchs", "unknown embedding 'patchs'; did you mean 'patches'"),
        (pictures(), "no/such/folder", "names no folder and no function; by is one of"),
    ],
)
def test_refusals(X, by, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        unseen.embed(X, np.arange(len(X)) % 2, by=by)


def test_vectors_are_standardised_on_request():
    X = np.random.default_rng(0).normal(3, 2, (20, 3))
    found = vectors(unseen.embed(from_arrays(X, np.arange(20) % 2), by="columns"))
    np.testing.assert_allclose(found, zscore(X.astype(np.float32).astype(float)), atol=1e-5)
