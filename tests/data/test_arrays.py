from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import unseen
from unseen.cli._options import read_features
from unseen.data import digits, from_arrays, from_frame, from_npz, resolve
from unseen.errors import ArgumentError, DataError, UnknownNameError

X = np.arange(12, dtype=np.float64).reshape(4, 3)
Y = np.array([0, 1, 1, 0])


def everything(data):
    return data.take(np.arange(len(data)))


def test_vectors_round_trip_as_float32_in_the_rows_asked_for():
    data = from_arrays(X, Y)
    assert (data.kind, data.sample_shape, data.dtype, len(data)) == ("vector", (3,), np.float32, 4)
    assert everything(data).dtype == np.float32
    np.testing.assert_array_equal(data.take(np.array([2, 0, 2])), X[[2, 0, 2]])
    assert data.take(np.array([], int)).shape == (0, 3)
    assert data.ids.tolist() == [0, 1, 2, 3]
    assert data.labels.dtype == np.int64


def test_take_gives_a_copy():
    data = from_arrays(X.astype(np.float32), Y)
    data.take(np.arange(4))[:] = -1
    np.testing.assert_array_equal(everything(data), X)


@pytest.mark.parametrize("shape", [(5, 8, 8, 3), (5, 8, 6, 1)])
def test_images_keep_their_pixels(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = from_arrays(images, np.zeros(5))
    assert (data.kind, data.dtype, data.sample_shape) == ("image", np.uint8, shape[1:])
    np.testing.assert_array_equal(everything(data), images)


def test_grey_images_get_a_channel_and_channels_first_is_turned():
    grey = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(everything(from_arrays(grey, Y)), grey[..., None])
    chw = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    np.testing.assert_array_equal(everything(from_arrays(chw, torch.tensor(Y))), chw.permute(0, 2, 3, 1).numpy())


def test_where_both_orders_fit_tensors_are_channels_first_and_arrays_last():
    ambiguous = np.random.default_rng(0).integers(0, 256, (4, 3, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(everything(from_arrays(ambiguous, Y)), ambiguous)
    turned = everything(from_arrays(torch.from_numpy(ambiguous), Y))
    np.testing.assert_array_equal(turned, ambiguous.transpose(0, 2, 3, 1))


def test_float_images_0_to_1_come_back_as_the_bytes_they_were():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    data = from_arrays((images / 255).astype(np.float32), Y)
    np.testing.assert_array_equal(everything(data), images)
    assert "round(255 x)" in data.notes[0]


def test_normalised_images_are_refused_with_the_fix():
    with pytest.raises(
        DataError, match=r"integers 0..255 or real numbers 0..1, got float64 from -.* leave out normalis"
    ):
        from_arrays(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), Y)


def test_text_and_table():
    data = from_arrays(["a", "bb", "ccc", "a"], Y)
    assert data.kind == "text"
    assert everything(data).tolist() == ["a", "bb", "ccc", "a"]
    assert everything(from_arrays([["a", 1.5], ["b", 2]], [0, 1])).tolist() == [["a", 1.5], ["b", 2]]
    rows = [[1, "x", None], [1.0, "y", True], [2, "x", float("nan")], [1, "x", None]]
    table = from_arrays(np.array(rows, object), Y)
    assert table.kind == "table"
    taken = everything(table).tolist()
    assert taken == [[1, "x", None], [1.0, "y", True], [2, "x", None], [1, "x", None]]
    assert [type(row[0]) for row in taken] == [int, float, int, int]
    assert table.duplicate_groups().tolist() == [0, 1, 2, 0]


def test_labels_of_any_sort():
    assert from_arrays(X, ["b", "a", "b", "c"]).labels.tolist() == [1, 0, 1, 2]
    assert from_arrays(X, [True, False, False, True]).class_names == ("False", "True")
    assert from_arrays(X, [1.0, 0.0, 1.0, 0.0]).labels.tolist() == [1, 0, 1, 0]
    assert from_arrays(X, [1, -1, 1, -1]).labels.tolist() == [1, 0, 1, 0]
    gaps = from_arrays(X, [3, 7, 3, 9])
    assert (gaps.labels.tolist(), gaps.class_names) == ([0, 1, 0, 2], ("3", "7", "9"))
    assert "numbered 0..2" in gaps.notes[0]
    named = from_arrays(X, ["dog", "cat", "dog", "cat"], class_names=["dog", "cat", "cow"])
    assert (named.labels.tolist(), named.class_names) == ([0, 1, 0, 1], ("dog", "cat", "cow"))
    assert from_arrays(X, [2, 0, 0, 1], class_names=["dog", "cat", "cow"]).labels.tolist() == [2, 0, 0, 1]


def test_pillow_images_in_a_list_are_decoded():
    """NumPy would take the numbers of a palette for grey levels."""
    greys = [Image.new("L", (4, 3), 50 * row) for row in range(4)]
    data = from_arrays(greys, [0, 1, 0, 1])
    assert data.sample_shape == (3, 4, 1)
    assert data.take(np.arange(4))[:, 0, 0, 0].tolist() == [0, 50, 100, 150]
    colours = [Image.new("RGB", (4, 3), (9, row, 200)) for row in range(4)]
    for mixed in (colours, [colour.convert("P", palette=Image.Palette.ADAPTIVE) for colour in colours]):
        last = from_arrays(mixed, [0, 1, 0, 1]).take(np.arange(4))[:, 2, 3]
        assert last.tolist() == [[9, row, 200] for row in range(4)]
    assert from_arrays([greys[0], colours[1]], [0, 1]).sample_shape == (3, 4, 3)
    sizes = [Image.new("L", (4 + row, 4)) for row in range(2)]
    with pytest.raises(
        DataError, match=r"Pillow images of several sizes: give list\(zip\(X, y\)\), .* and image_size="
    ):
        from_arrays(sizes, [0, 1])
    with pytest.raises(DataError, match="must hold Pillow images throughout, but row 1 is NoneType"):
        from_arrays([sizes[0], None], [0, 1])
    assert resolve(list(zip(sizes, [0, 1], strict=True)), image_size=3).sample_shape == (3, 3, 3)


def test_labels_that_can_be_sorted_are_taken():
    signs = from_arrays(X, [-1, 0, 1, 0])
    assert (signs.labels.tolist(), signs.class_names) == ([0, 1, 2, 1], ("-1", "0", "1"))
    assert "the label -1 is taken for a class" in signs.notes[1]
    assert from_arrays(X, [-2, 5, -7, 5]).class_names == ("-7", "-2", "5")
    big = np.array([2**63 + 1, 2**63, 7, 7], np.uint64)
    assert from_arrays(X, big).class_names == ("7", str(2**63), str(2**63 + 1))
    assert from_arrays(X, [2**64, -1, 2**64 + 1, -1]).class_names == ("-1", str(2**64), str(2**64 + 1))
    assert from_arrays(X, pd.Series(["b", "a", "b", "a"], dtype="string")).class_names == ("a", "b")
    assert from_arrays(X, np.array(["b", "a", "b", "a"], np.dtypes.StringDType())).class_names == ("a", "b")


def test_dates_are_classes_named_as_dates():
    days = np.array(["2026-01-02", "2026-01-01"] * 2, "datetime64[D]")
    assert from_arrays(X, days).class_names == ("2026-01-01", "2026-01-02")
    assert from_arrays(X, pd.Series(days.astype("M8[ns]"))).class_names[0].startswith("2026-01-01T00")


def test_the_label_of_each_class_is_kept_as_it_was_given():
    for labels in ([3, 7, 3, 9], ["b", "a", "b", "c"], [True, False, False, True], [-1, 1, 1, -1]):
        assert from_arrays(X, labels).label_values.tolist() == sorted(set(labels))
    assert from_arrays(X, ["dog", "cat", "dog", "cat"], class_names=["dog", "cat"]).label_values.tolist() == [
        "dog",
        "cat",
    ]
    assert from_arrays(X, Y, class_names=["dog", "cat"]).label_values is None
    assert from_arrays(X, np.array(["2026-01-02", "2026-01-01"] * 2, "datetime64[D]")).label_values is None


def test_a_mask_that_hides_nothing_is_no_mask():
    data = from_arrays(np.ma.array(X, mask=False), np.ma.array(Y), ids=np.ma.array([4, 5, 6, 7]))
    np.testing.assert_array_equal(everything(data), X)
    assert (data.labels.tolist(), data.ids.tolist()) == (Y.tolist(), [4, 5, 6, 7])


def test_ids_and_groups():
    data = from_arrays(X, Y, ids=["p", "q", "r", "s"], groups=["u", "v", "u", "w"])
    assert data.ids.tolist() == ["p", "q", "r", "s"]
    assert data.groups.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (X, Y[:3], {}, "X has 4 and y has 3"),
        (X[:0], Y[:0], {}, "the data set is empty"),
        (np.where(X == 5, np.nan, X), Y, {}, r"1 row holds NaN or infinite values: row 1, column 2 \(nan\); drop"),
        (np.where(X > 9, np.inf, X), Y, {}, r"row 3, column 1 \(inf\), row 3, column 2 \(inf\)"),
        (np.where(X > 10, 1e60, X), Y, {}, r"row 3, column 2 \(inf\)"),
        (X, [0, None, 1, 1], {}, "missing in row 1"),
        (X, [0, np.nan, 1, np.nan], {}, "missing in 2 rows: 1, 3"),
        (X, [0.5, 1, 1, 0], {}, r"row 0 has 0.5: real numbers are regression targets; give them as"),
        (X, [0, -1, 1, 2], {}, "must not be negative, but is -1 in row 1; -1 often means no label"),
        (X, [0, -100, 1, 2], {}, "must not be negative, but is -100 in row 1; -100 often means no label"),
        (
            ["a.png", "b.PNG"],
            [0, 1],
            {},
            "the inputs are names of image files, such as 'a.png'; a frame of",
        ),
        ([Path("a.png"), Path("b.png")], [0, 1], {}, "the inputs are names of image files, such as 'a.png'; a frame"),
        (X, [0, 3, 1, 2], {"class_names": "abc"}, "must be in 0..2, as class_names has 3 entries.* row 1 has"),
        (X, ["a", "d", "b", "a"], {"class_names": "abc"}, r"one of class_names \(a, b, c\).* row 1 has .*'d'"),
        (X, np.eye(4), {}, "shape \\(n,\\), got shape \\(4, 4\\); try y.argmax"),
        (X, Y[:, None], {}, "try y.ravel"),
        (X, [0, "a", 1, 2.5], {}, "labels of one type"),
        (X, ["a", float("nan"), "b", "a"], {}, "missing in row 1"),
        (X, np.array([1, 1, 1.5, 1], object), {}, "row 2 has 1.5"),
        (X, Y, {"ids": [1, 2, 2, 3]}, "ids must be unique, but these occur more than once: 2"),
        (X, Y, {"ids": [1.5, 2.0, 2.5, 3.0]}, "integers or text, got float64"),
        (X, Y, {"ids": [1, 2]}, "ids must have one entry for each of the 4 samples"),
        (X, Y, {"groups": [1, 2]}, "groups must have one entry for each of the 4"),
        (X[:, 0], Y, {}, r"X.reshape\(-1, 1\)"),
        (np.zeros((4, 2, 2, 2, 2)), Y, {}, r"got shape \(4, 2, 2, 2, 2\)"),
        (np.zeros((4, 9, 9, 4), np.uint8), Y, {}, r"1 or 3 channels.* got shape \(4, 9, 9, 4\)"),
        ([[1, 2], [3]], [0, 1], {}, "X has entries of several shapes"),
        (X, [["a", "b"], ["a"]] * 3, {}, "y has entries of several shapes"),
        (["a", None], [0, 1], {}, "row 1 is None"),
        (np.array([["a", np.inf], ["b", 1.0]], object), [0, 1], {}, "column 1 holds inf in rows 0"),
        (3, Y, {}, "X must be an array of n samples, got int"),
        (X, [0, 1, np.inf, 1], {}, r"y must be within .* \(int64\), but row 2 has inf; make text of them"),
        (X, pd.Series([0, 1, np.inf, 1], name="a"), {}, r"has inf; make text of them: frame\['a'\]\.astype\(str\)"),
        (X * 1e300, Y, {}, r"column 0 \(-?inf\).*; numbers beyond 3.4e\+38 are infinite as float32: scale them"),
        (X, [0, 1, 1e30, 1], {}, r"y must be within .* \(int64\), but row 2 has 1e\+30; make text of them"),
        (X, np.ma.array(Y, mask=Y == 0), {}, "y is a masked array that hides entries of rows 0, 3; drop these rows"),
        (np.ma.array(X, mask=X > 10), Y, {}, "X is a masked array that hides entries of rows 3; drop these rows"),
        (X, pd.Series([[0], [1], [1], [0]]), {}, "y must have one entry a sample, but row 0 holds a list of 1"),
        (X, pd.Series([None, "a", "b", "a"], dtype="string"), {}, "y must be given .* missing in row 0"),
        (
            X,
            Y,
            {"ids": np.arange(4, dtype=np.uint64) + np.uint64(2**63)},
            r"at most 9223372036854775807 \(int64\), but row 0",
        ),
        (X, Y, {"ids": Y == 0}, r"got a boolean mask; np.flatnonzero\(mask\) gives its rows"),
        (X, Y, {"ids": ["a", None, "b", "c"]}, "ids must be given for every sample, but it is missing in row 1"),
        (X, Y, {"groups": [0, 1, np.nan, 1]}, "groups must be given for every sample, .* missing in row 2"),
        (X, 5, {}, r"got shape \(\); try list\(y\)"),
        (X, Y, {"class_names": 2}, "class_names must be the names of the classes, got 2"),
        (torch.tensor(X).to_sparse(), Y, {}, r"X is a sparse tensor, .*; X.to_dense\(\) makes it dense"),
    ],
)
def test_bad_arrays_are_refused_by_name(x, y, options, message):
    with pytest.raises(DataError, match=message):
        from_arrays(x, y, **options)


def test_sparse_matrices_are_refused_with_the_fix():
    from scipy.sparse import csr_array

    sparse = csr_array(X)
    for read in (lambda: from_arrays(sparse, Y), lambda: resolve(sparse), lambda: from_frame(sparse, Y)):
        with pytest.raises(DataError, match=r"\.toarray\(\) makes it dense, in .* GB, and .*TruncatedSVD"):
            read()


def test_sparse_features_of_a_rule_are_refused_with_the_fix():
    from scipy.sparse import csr_array

    with pytest.raises(DataError, match=r"features is a sparse matrix, .* features.toarray\(\) makes it dense"):
        unseen.prune(X, Y, keep=0.5, rule="k_center", features=csr_array(X))


def test_npz_and_npy(tmp_path):
    np.savez(tmp_path / "set.npz", x=X, y=Y, who=np.array(["a", "b", "a", "c"]))
    data = from_npz(tmp_path / "set.npz", group="who")
    np.testing.assert_array_equal(everything(data), X)
    assert data.groups.tolist() == [0, 1, 0, 2]
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    mapped = resolve(tmp_path)
    np.testing.assert_array_equal(everything(mapped), X)
    assert isinstance(mapped.array, np.memmap)
    sent = pickle.dumps(mapped)
    assert X.tobytes() not in sent
    np.testing.assert_array_equal(everything(pickle.loads(sent)), X)
    np.testing.assert_array_equal(everything(resolve(tmp_path / "x.npy")), X)


def test_a_npy_file_is_the_inputs_and_its_labels_are_beside_it(tmp_path):
    np.save(tmp_path / "vectors.npy", X)
    with pytest.raises(
        UnknownNameError,
        match=rf"^there is no file {tmp_path}/y\.npy, from which the labels are read; label= \(--label\) names another "
        "file there, without .npy: it has vectors$",
    ):
        resolve(tmp_path / "vectors.npy")
    np.save(tmp_path / "kind.npy", Y)
    np.testing.assert_array_equal(everything(resolve(tmp_path / "vectors.npy", label="kind")), X)
    np.save(tmp_path / "x.npy", 2 * X)  # other inputs beside them
    np.save(tmp_path / "y.npy", Y)
    np.testing.assert_array_equal(everything(resolve(tmp_path / "vectors.npy")), X)
    np.testing.assert_array_equal(everything(resolve(tmp_path / "vectors.npy", x="x")), 2 * X)
    for place in (tmp_path, tmp_path / "x.npy", tmp_path / "y.npy"):
        np.testing.assert_array_equal(everything(resolve(place)), 2 * X)


def test_values_beside_a_path_or_a_data_set_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", X)
    pd.DataFrame({"a": X[:, 0]}).to_csv(tmp_path / "t.csv")
    (tmp_path / "photos").mkdir()
    for place in (tmp_path / "x.npy", tmp_path / "t.csv", tmp_path / "photos"):
        with pytest.raises(ArgumentError, match=r"values go with inputs in memory, but .*: name the labels by label="):
            unseen.prune(place, Y, keep=0.5)
        for name in ("label", "target"):
            for values in (Y, Y.tolist()):
                with pytest.raises(
                    ArgumentError, match=rf"^{name} must be a name, by which from_.* finds it, got 4 val"
                ):
                    unseen.prune(place, **{name: values}, keep=0.5)
    for source in (from_arrays(X, Y), torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))):
        with pytest.raises(ArgumentError, match="is a data set, which has its own: leave them out"):
            unseen.prune(source, Y, keep=0.5)


class ByRow:
    """Inputs that are read by row, without their labels."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


def test_inputs_that_are_read_by_row_are_no_data_set():
    np.testing.assert_array_equal(everything(from_arrays(ByRow(X), Y)), X)
    assert from_arrays(ByRow(["a b", "c d", "e f", "g h"]), Y).kind == "text"
    for pairs in (ByRow(list(zip(X, Y, strict=True))), ByRow([{"x": x, "y": y} for x, y in zip(X, Y, strict=True)])):
        with pytest.raises(ArgumentError, match="is a data set, which has its own: leave them out"):
            from_arrays(pairs, Y)


def test_names_out_of_an_array_are_names(tmp_path):
    """As of `frame.columns.to_numpy()` or of a loop over an array of names."""
    frame = pd.DataFrame({"a": X[:, 0], "kind": Y, "split": ["train", "train", "train", "test"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.savez(tmp_path / "t.npz", x=X, kind=Y)
    name = np.array(["kind"])[0]
    for source in (frame, tmp_path / "t.csv", tmp_path / "t.npz"):
        assert len(resolve(source, label=name)) == 4
    assert len(resolve(frame, label=name, split=np.array(["train"])[0])) == 3
    for wrong in (np.array("kind"), np.int64(1)):
        with pytest.raises(ArgumentError, match="label must be the name of one column"):
            resolve(frame, label=wrong)


def test_a_part_of_a_memory_map_is_sent_as_it_is(tmp_path):
    np.save(tmp_path / "x.npy", X)
    data = from_arrays(np.load(tmp_path / "x.npy", mmap_mode="r")[1:3], [0, 1])
    np.testing.assert_array_equal(everything(pickle.loads(pickle.dumps(data))), X[1:3])


def test_npz_faults(tmp_path):
    np.savez(tmp_path / "set.npz", data=X, y=Y)
    with pytest.raises(UnknownNameError, match=r"unknown array in set.npz 'dota'; did you mean 'data'\?"):
        from_npz(tmp_path / "set.npz", x="dota")
    np.savez(tmp_path / "objects.npz", x=np.array([["a", None]], object), y=np.array([0]))
    with pytest.raises(DataError, match="holds Python objects, which are never unpickled"):
        from_npz(tmp_path / "objects.npz")
    (tmp_path / "broken.npz").write_bytes((tmp_path / "set.npz").read_bytes()[:100])
    with pytest.raises(DataError, match=r"broken\.npz"):
        from_npz(tmp_path / "broken.npz")
    with pytest.raises(DataError, match="there is no file"):
        from_npz(tmp_path / "none.npz")


def test_digits_are_those_of_scikit_learn():
    data, bunch = digits(), load_digits()
    np.testing.assert_array_equal(everything(data), bunch.data)
    np.testing.assert_array_equal(data.labels, bunch.target)
    pictures = digits(images=True)
    assert pictures.sample_shape == (8, 8, 1)
    # The 17 grey values stay 17 grey values.
    np.testing.assert_array_equal(np.rint(everything(pictures)[..., 0] / (255 / 16)), bunch.images)


def test_resolve_refuses_what_it_cannot_read():
    with pytest.raises(ArgumentError, match=r"cannot read a data set from int; a data set is one of:\n.*digits"):
        resolve(3)
    with pytest.raises(ArgumentError, match=r"an array alone has no labels: give X and y, as in \(X, y\), or"):
        resolve(X)
    with pytest.raises(DataError, match="there is no file or folder digit"):
        resolve("digit")
    with pytest.raises(UnknownNameError, match="digits has no option 'image'; did you mean 'images'"):
        resolve("digits", image=True)
    with pytest.raises(UnknownNameError, match="from_arrays has no option 'image_size'"):
        resolve((X, Y), image_size=3)
    with pytest.raises(ArgumentError, match="already open takes no options, got ids"):
        resolve(from_arrays(X, Y), ids=[1])


def test_resolve_of_pairs_names_and_data():
    data = resolve((X, Y), ids=[5, 6, 7, 8])
    assert data.ids.tolist() == [5, 6, 7, 8]
    assert resolve(data) is data
    assert len(resolve("digits", images=True)) == 1797


def test_an_npz_may_write_x_in_capitals(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.eye(4), y=[0, 1, 0, 1])
    assert len(from_npz(tmp_path / "a.npz")) == 4
    np.savez(tmp_path / "b.npz", X=np.eye(4), x=np.zeros((4, 2)), y=[0, 1, 0, 1])
    assert from_npz(tmp_path / "b.npz").sample_shape == (2,), "the very name wins"


def test_what_is_no_npz_is_damaged(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=r"a\.npz is damaged"):
        from_npz(tmp_path / "a.npz")


def lying(shape, written=b"{'descr': '<f4', 'fortran_order': False, 'shape': SHAPE}", body=bytes(400)):
    """An npy file of 400 bytes whose header says something else."""
    header = written.replace(b"SHAPE", repr(shape).encode()) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


LIES = {
    "more memory than there is": (lying((10**13, 10)), r"it has \d+ bytes, and its header says 400,000,000,0\d\d,\d+"),
    "more than fits an integer": (lying((10**30, 10)), "its header says shape"),
    "no width, but such a length": (lying((10**30, 0)), "its header says shape"),
    "one row too many": (lying((11, 10)), r"it has \d+ bytes, and its header says \d+ \(shape \(11, 10\)"),
    "negative": (lying((-10, 10)), r"its header says shape \(-10, 10\)"),
    "no integers": (lying((True, 100)), r"its header says shape \(True, 100\)"),
    "no literal": (lying(None, b"(((((("), "its header is none of an array"),
    "no version": (b"\x93NUMPY\x07\x00" + bytes(200), r"format version is \(7, 0\)"),
}


@pytest.mark.parametrize("form", ["npz", "deflated npz", "npy", "labels", "shards", "labels of shards", "features"])
@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path, lie, form):
    content, message = LIES[lie]
    names = {"x": tmp_path / "x.npy", "y": tmp_path / "y.npy"}
    if "shards" in form:
        names = {name: tmp_path / f"{name}-00000.npy" for name in names}
    np.save(names["x"], np.zeros((10, 10), np.float32))
    np.save(names["y"], np.arange(10) % 2)
    spoilt = names["y" if "labels" in form else "x"]
    spoilt.write_bytes(content)
    if "npz" in form:
        path, method = tmp_path / "set.npz", zipfile.ZIP_DEFLATED if form == "deflated npz" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as file:
            for name, place in names.items():
                file.write(place, f"{name}.npy")
        spoilt = path
    with pytest.raises(DataError, match=message) as refusal:
        read_features(spoilt) if form == "features" else resolve(spoilt if "npz" in form else tmp_path)
    assert str(refusal.value).startswith(f"{spoilt} is damaged: ")
    assert "\n" not in str(refusal.value)


def test_arrays_of_other_names_in_npz(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, images=X, labels=Y)
    for data in (resolve(path, x="images", label="labels"), resolve(path, x="images", y="labels")):
        np.testing.assert_array_equal(everything(data), X)
        assert data.labels.tolist() == Y.tolist()
    with pytest.raises(
        UnknownNameError,
        match=r"no array 'x' in set.npz, from which the inputs are read; x= .* names another array: it has images, lab",
    ):
        resolve(path)
    with pytest.raises(UnknownNameError, match=r"unknown array in set.npz 'label'; did you mean 'labels'"):
        resolve(path, x="images", label="label")
    with pytest.raises(ArgumentError, match="'label' is named twice"):
        resolve(path, x="images", label="labels", y="labels")


def test_labels_of_empty_text_are_missing():
    with pytest.raises(DataError, match=r"y must hold a label in every row, but is empty in row 1; drop them"):
        from_arrays(X, ["a", "", "b", "b"])
    with pytest.raises(DataError, match=r"column 'label' must hold a label in every row, but is empty in 2 rows: 0, 1"):
        from_frame(pd.DataFrame({"x": [1.0, 2, 3, 4], "label": [" ", " ", "a", "b"]}))


def test_labels_that_differ_in_spaces_or_capitals_only_are_told():
    with pytest.warns(UserWarning, match=r"labels 'No' and 'no' and 'no ' differ only in spaces, capitals"):
        data = from_arrays(np.zeros((5, 2)), ["No", "no ", "no", "yes", "yes"])
    assert len(data.class_names) == 4


def test_labels_that_differ_in_unicode_form_only_are_told():
    with pytest.warns(UserWarning, match="differ only in spaces, capitals or Unicode form") as warned:
        from_arrays(np.zeros((3, 2)), ["caf\u00e9", "cafe\u0301", "tea"])
    assert len(warned) == 1


@pytest.mark.parametrize("missing", ["nan", "None", "<NA>", "NaT"])
def test_missing_labels_made_text_are_told(missing):
    with pytest.warns(UserWarning, match=f"y has the class '{missing}', in 2 rows: 1, 3"):
        from_arrays(np.zeros((5, 2)), np.array(["a", missing, "b", missing, "a"]))


def test_a_class_none_of_its_own_is_not_told(recwarn):
    from_arrays(np.zeros((3, 2)), ["favor", "none", "against"])
    assert not recwarn


def test_the_memory_of_texts_is_that_of_the_texts():
    data = from_arrays(np.array(["a" * 10_000, "b"], dtype=object), [0, 1])
    assert 10_000 < data.held_bytes < 10_200


def test_a_class_of_one_sample_among_many_is_noted():
    X = np.arange(200.0).reshape(100, 2)
    stray = from_arrays(X, [*"ab" * 49, "a", "stray"])
    assert stray.notes == ("classes of one sample: 'stray' (row 99); check whether the label is right",)
    assert from_arrays(X, [*"ab" * 50]).notes == from_arrays(X[:3], ["a", "b", "a"]).notes == ()
