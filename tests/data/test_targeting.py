"""Regression targets in: from arrays and files, in bins that stand for classes, carried wherever the data goes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_vectors import X, table, write

import unseen
from unseen.data import from_arrays, from_npz, from_parquet, from_shards, resolve
from unseen.data.labels import assign_bins
from unseen.data.parts import Joined, Part
from unseen.errors import ArgumentError, DataError, UnknownNameError

RNG = np.random.default_rng(0)
TARGET = RNG.exponential(size=500) * 1e3


def test_arrays_bring_targets_and_their_bins():
    data = from_arrays(X, target=TARGET)
    assert repr(data) == "ArrayData(500 samples, a target in 10 bins, vector 6 float32)"
    assert data.targets.dtype == np.float64
    np.testing.assert_array_equal(data.targets, TARGET)
    assert np.bincount(data.labels).tolist() == [50] * 10
    assert "target is regressed on; folds and budgets treat 10 bins of it" in data.notes[0]
    assert from_arrays(X, np.arange(500) % 2).targets is None


def test_bins_are_ascending_and_named_by_their_ends():
    codes, names = assign_bins(TARGET)
    for code, name in enumerate(names):
        inside = TARGET[codes == code]
        assert name == f"{inside.min():.4g} .. {inside.max():.4g}"
        assert code == 0 or inside.min() > TARGET[codes == code - 1].max()


@pytest.mark.parametrize(
    ("targets", "codes", "names"),
    [
        ([3.0, 1.0, 2.0, 1.0], [2, 0, 1, 0], ("1", "2", "3")),
        ([0.0] * 97 + [1.0, 2.0, 3.0], [0] * 97 + [1] * 3, ("0", "1 .. 3")),
        ([5.0] * 97 + [1.0, 2.0, 3.0], [1] * 97 + [0] * 3, ("1 .. 3", "5")),
        ([1e6 + 1, 1e6 + 2], [0, 1], ("1000001", "1000002")),
        ([-1.0, 0.5], [0, 1], ("-1", "0.5")),
    ],
    ids=["few values", "most are the least", "most are the largest", "alike in four digits", "two"],
)
def test_equal_targets_share_a_bin(targets, codes, names):
    found, named = assign_bins(np.array(targets))
    assert (found.tolist(), named) == (codes, names)


def test_bins_do_not_depend_on_the_order_of_the_rows():
    order = RNG.permutation(500)
    codes, names = assign_bins(TARGET)
    shuffled, same = assign_bins(TARGET[order])
    np.testing.assert_array_equal(shuffled, codes[order])
    assert same == names


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.full(500, 2.5), "target must not be constant, but every sample has 2.5"),
        (np.append(TARGET[1:], np.nan), "missing or NaN in row 499; drop"),
        (np.append(np.inf, TARGET[1:]), "infinite in row 0; drop"),
        ([None, *TARGET[1:]], "missing or NaN in row 0; drop"),
        (TARGET[:-1], "X has 500 and target has 499"),
        (TARGET[:, None], r"shape \(500, 1\); try target.ravel\(\)"),
        (np.stack([TARGET, TARGET], 1), "one column of it"),
        (np.full(500, "2024-01-01", "M8[ns]"), "target must hold numbers, but row 0 has '2024-01-01T"),
        (np.array([np.int64(1), *["dear"] * 499], dtype=object), "target must hold numbers, but row 1 has 'dear'"),
        (np.full(500, 1j), "target must hold numbers, but row 0 has '1j'"),
        ([None, *["dear"] * 499], "target must hold numbers, but row 1 has 'dear'"),
        (["cheap", "dear"] * 250, "target must hold numbers, but row 0 has 'cheap'; pandas.to_numeric"),
        (TARGET * 1e200, "squares are numbers, but its largest entry is"),
        (TARGET * 1e-200, "squares are numbers"),
    ],
)
def test_bad_targets_are_refused(targets, message):
    with pytest.raises(DataError, match=message):
        from_arrays(X, target=targets)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (None, {}, "exactly one of y .labels. and target .*, got none"),
        (np.arange(500) % 2, {"target": TARGET}, "exactly one of y .*, got both"),
        (None, {"target": TARGET, "class_names": ["a"]}, "class_names are for labels, but a target was given"),
    ],
)
def test_labels_and_targets_exclude_each_other(y, options, message):
    with pytest.raises(ArgumentError, match=message):
        from_arrays(X, y, **options)


def test_a_column_of_parquet(tmp_path):
    path = tmp_path / "houses.parquet"
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "price": TARGET, "cheap": TARGET < 500}), path)
    data = resolve(path, target="price", features=["a", "b"])
    np.testing.assert_array_equal(data.targets, TARGET)
    assert data.feature_names == ("a", "b")
    assert "column 'price' is regressed on" in data.notes[0]
    assert from_parquet(path, target="price").feature_names == ("a", "b", "cheap")  # whatever is left
    with pytest.raises(ArgumentError, match=r"give label .* or target .*, got label='cheap' and target='price'"):
        from_parquet(path, label="cheap", target="price")
    with pytest.raises(UnknownNameError, match="column for target 'pric'; did you mean 'price'"):
        from_parquet(path, target="pric")
    with pytest.raises(
        ArgumentError,
        match=r"label= must name the column of labels, as in label='cheap'; the columns .*; numbers .* by target=",
    ):
        from_parquet(path)


def test_parquet_beyond_memory_has_targets(tmp_path):
    table(tmp_path / "t.parquet", price=pa.array(TARGET))
    data = from_parquet(tmp_path / "t.parquet", target="price", features="v", memory_limit=1000)
    assert type(data).__name__ == "ShardedVectors"
    np.testing.assert_array_equal(data.targets, TARGET)


def test_npz_npy_and_shards(tmp_path):
    np.savez(tmp_path / "set.npz", x=X, price=TARGET)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "price.npy", TARGET)
    shards = write(tmp_path / "shards", 3, price=TARGET)
    for data in (
        resolve(tmp_path / "set.npz", target="price"),
        from_npz(tmp_path, target="price"),
        from_shards(shards, target="price"),
        resolve(shards, target="price"),
    ):
        np.testing.assert_array_equal(data.targets, TARGET)
    with pytest.raises(ArgumentError, match="exactly one of y"):
        from_shards(shards, y="y", target="price")
    with pytest.raises(UnknownNameError, match=r"array in set\.npz 'prize'; did you mean 'price'"):
        from_npz(tmp_path / "set.npz", target="prize")


def test_labels_that_are_real_numbers_say_what_to_do():
    with pytest.raises(DataError, match=r"give them as target= .* as in unseen.prune\(X, target=y\)\), or bin"):
        resolve((X, TARGET))


def test_a_part_and_a_joined_set_carry_targets():
    data = from_arrays(X, target=TARGET)
    rows = np.arange(0, 500, 3)
    np.testing.assert_array_equal(Part(data, rows).targets, TARGET[rows])
    other = from_arrays(X[:4] + 1, target=[-5.0, TARGET.max() + 1, TARGET[7], np.sort(TARGET)[49]])
    both = Joined(data, other)
    np.testing.assert_array_equal(both.targets, np.concatenate([TARGET, other.targets]))
    assert both.labels[500:].tolist() == [0, 9, data.labels[7], 0]
    with pytest.raises(DataError, match="the training set has a target, so the test set must too, but it has labels"):
        Joined(data, from_arrays(X[:4] + 1, [0, 1, 0, 1]))


def test_the_fingerprint_holds_the_targets_beyond_their_bins(tmp_path):
    near = TARGET * (1 + 1e-9)
    data, other = from_arrays(X, target=TARGET), from_arrays(X, target=near)
    assert data.class_names == other.class_names
    assert (data.labels == other.labels).all()
    assert data.fingerprint() != other.fingerprint()
    assert "targets" not in from_arrays(X, np.arange(500) % 2).fingerprint()


def test_embedding_keeps_the_target(tmp_path):
    images = from_arrays(RNG.integers(256, size=(40, 8, 8, 1)).astype(np.uint8), target=TARGET[:40])
    kept = unseen.embed(images)
    unseen.embed(images, out=tmp_path / "vectors")
    for data in (kept, resolve(tmp_path / "vectors")):
        np.testing.assert_array_equal(data.targets, TARGET[:40])


def test_an_array_and_its_target_are_a_data_set_in_every_verb():
    apart = unseen.score(X, target=TARGET, learner="ridge", threads=1)
    together = unseen.score((X, None), target=TARGET, learner="ridge", threads=1)
    np.testing.assert_array_equal(apart.column("loss"), together.column("loss"))


def test_a_missing_target_in_a_column_names_the_command_that_drops_it():
    frame = pd.DataFrame({"x": [1.0, 5.0, 2.0], "price": [1.0, None, 3.0]})
    with pytest.raises(DataError, match=r"in row 1; drop these rows, as by frame.dropna\(subset=\['price'\]\)$"):
        resolve(frame, target="price")


def test_an_infinite_target_is_not_said_to_go_by_a_command_that_keeps_it():
    frame = pd.DataFrame({"x": [1.0, 5.0, 2.0], "price": [1.0, np.inf, 3.0]}).dropna(subset=["price"])
    with pytest.raises(DataError, match=r"'price' must be finite, but it is infinite in row 1; drop these rows$"):
        resolve(frame, target="price")


def test_two_values_of_a_target_are_no_classes():
    frame = pd.DataFrame({"x": np.sin(np.arange(30)), "price": [9612.0] + [5.0] * 29})
    with pytest.raises(DataError, match="target has two values or ranges only, and '9612' is in a single sample"):
        unseen.prune(frame, target="price", keep=0.5)
