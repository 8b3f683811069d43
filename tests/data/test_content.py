from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unseen.data import from_arrays
from unseen.data.base import hash_rows, sample_rows
from unseen.errors import DataError


def naive(items):
    first = {}
    return [first.setdefault(item, row) for row, item in enumerate(items)]


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(0, 2)))
def test_copies_of_vectors_are_found_as_by_a_dict(array):
    data = from_arrays(array, np.zeros(len(array)))
    assert data.duplicate_groups().tolist() == naive([row.tobytes() for row in array.astype(np.float32)])


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.just(2), st.just(2)), elements=st.integers(0, 1)))
def test_copies_of_images_are_found_as_by_a_dict(array):
    data = from_arrays(array, np.zeros(len(array)))
    assert data.duplicate_groups().tolist() == naive([image.tobytes() for image in array])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=2), min_size=1, max_size=20))
def test_copies_of_texts_are_found_as_by_a_dict(texts):
    data = from_arrays(np.array([*texts, ""], object), np.zeros(len(texts) + 1))
    assert data.duplicate_groups().tolist() == naive([*texts, ""])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([None, 0, 1, 1.5, "0", True, float("nan")])] * 2), min_size=1, max_size=20))
def test_copies_of_table_rows_are_found_as_by_a_dict(rows):
    table = np.empty((len(rows), 2), object)
    table[:] = rows
    expected = naive([tuple((type(v), v) if v is not None and v == v else None for v in row) for row in rows])
    assert from_arrays(table, np.zeros(len(rows))).duplicate_groups().tolist() == expected


def test_copies_with_other_labels_are_copies_and_minus_zero_is_zero():
    data = from_arrays([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]], [0, 1, 0])
    assert data.duplicate_groups().tolist() == [0, 0, 2]


def test_work_in_blocks_finds_the_same_copies_and_rows(monkeypatch):
    monkeypatch.setattr("unseen.data.base._BLOCK_BYTES", 24)  # three rows of two numbers
    array = np.stack([np.arange(20) % 7, np.ones(20)], axis=1)
    assert from_arrays(array, np.zeros(20)).duplicate_groups().tolist() == [row % 7 for row in range(20)]
    array[13, 1] = np.nan
    with pytest.raises(DataError, match=r"row 13, column 1 \(nan\)"):
        from_arrays(array, np.zeros(20))


def test_rows_differ_that_differ_in_few_bits_or_in_many():
    """Signs of odd columns: in sums of 64-bit words, each times an odd number, two of them would cancel."""
    x = np.random.default_rng(0).normal(size=(64, 12)).astype(np.float32)
    signs = x.copy()
    signs[:, [1, 7]] *= -1
    swapped = x[:, ::-1]
    nearly = np.nextafter(x, np.float32(np.inf))
    every = np.concatenate([x, signs, swapped, nearly, x])
    found = from_arrays(every, np.zeros(len(every))).duplicate_groups()
    assert found.tolist() == [*range(4 * 64), *range(64)]


def test_the_hash_is_of_the_numbers_not_of_how_halves_are_kept():
    half = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float16)
    assert (hash_rows(half) == hash_rows(half.astype(np.float32))).all()
    alone = np.concatenate([hash_rows(row[None]) for row in half])  # nor of the rows beside it
    assert (alone == hash_rows(half)).all()
    data = [from_arrays(x, np.zeros(40)) for x in (half, half.astype(np.float32), half.astype(float))]
    assert len({d.fingerprint(full=True)["content"] for d in data}) == 1


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_the_hash_is_of_the_numbers_not_of_the_order_of_their_bytes(kind):
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(f"<{kind}")
    assert (hash_rows(x.astype(f">{kind}")) == hash_rows(x)).all()


def test_few_values_make_no_false_copies():
    """Every pattern of 16 bits, as numbers whose lower bits are all 0."""
    bits = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    hashes = hash_rows(bits.astype(np.float32))
    assert len(np.unique(hashes, axis=0)) == 2**16
    assert len(np.unique(hashes[:, 0])) == 2**16
    assert len(np.unique(hashes[:, 1])) == 2**16


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_not_finite_is_found_in_every_width(value, dtype):
    array = np.linspace(-60_000, 60_000, 30).reshape(10, 3).astype(dtype)
    from_arrays(array, np.zeros(10))
    array[4, 2] = value
    with pytest.raises(DataError, match=rf"row 4, column 2 \({value}\)"):
        from_arrays(array, np.zeros(10))


N = 2000


def made(**changes):
    rng = np.random.default_rng(0)
    parts = {"x": rng.normal(size=(N, 4)).astype(np.float32), "y": np.arange(N) % 3, "ids": np.arange(N)}
    for name, (row, value) in changes.items():
        parts[name][row] = value
    return from_arrays(parts["x"], parts["y"], ids=parts["ids"])


def test_fingerprint_is_json_and_the_same_each_time():
    assert made().fingerprint() == made().fingerprint()
    assert json.loads(json.dumps(made().fingerprint())) == made().fingerprint()
    assert made().fingerprint(full=True) == made().fingerprint(full=True)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("change", [{"y": (1999, 2)}, {"ids": (7, 99999)}])
def test_fingerprint_sees_every_label_and_id(full, change):
    assert made().fingerprint(full=full) != made(**change).fingerprint(full=full)


def test_cheap_fingerprint_sees_the_sample_and_nothing_else():
    inside = int(sample_rows(N)[3])
    outside = int(np.setdiff1d(np.arange(N), sample_rows(N))[3])
    assert len(sample_rows(N)) == 256
    assert made().fingerprint() != made(x=(inside, 0.5)).fingerprint()
    # The documented blind spot.
    assert made().fingerprint() == made(x=(outside, 0.5)).fingerprint()
    assert made().fingerprint(full=True) != made(x=(outside, 0.5)).fingerprint(full=True)


def test_fingerprint_sees_order_names_groups_and_kind():
    x, y = [[1.0], [2.0], [3.0]], [0, 1, 0]
    one = from_arrays(x, y).fingerprint()
    assert one != from_arrays(x[::-1], y).fingerprint()
    assert one != from_arrays(x, y, class_names=["a", "b"]).fingerprint()
    assert one != from_arrays(x, y, groups=[0, 0, 1]).fingerprint()
    assert one != from_arrays(np.array(x, object), y).fingerprint()


@pytest.mark.parametrize("full", [False, True])
def test_fingerprint_of_text_and_tables_sees_entries(full):
    texts = from_arrays(["a", "b"], [0, 1]).fingerprint(full=full)
    assert texts != from_arrays(["a", "c"], [0, 1]).fingerprint(full=full)
    table = from_arrays(np.array([["a", 1], ["b", None]], object), [0, 1]).fingerprint(full=full)
    assert table != from_arrays(np.array([["a", 1], ["b", 2]], object), [0, 1]).fingerprint(full=full)
    assert table == from_arrays(np.array([["a", 1], ["b", None]], object), [0, 1]).fingerprint(full=full)
