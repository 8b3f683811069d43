"""Awkward arrays, labels, ids, groups and predictions through every way in that takes them: one verdict everywhere.

A verdict is either the right value (names of classes, ids) or a refusal: one line, an error of `unseen`, that names
what is wrong. No way in may let through what another refuses, and none ends in an error of another library.
"""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_array

import unseen
from unseen.data import from_arrays, from_batches, from_dataset, from_huggingface, from_npz, from_parquet, from_shards

N, D = 24, 3
RNG = np.random.default_rng(0)
CODES = np.arange(N) % 3
X = RNG.normal(size=(N, D)) + CODES[:, None]
BIG = 2**63
QUICK = {"learner": "ridge", "plan": unseen.folds(2)}
HALF = unseen.rules.random(N, keep=0.5)
MISSING = "must be given for every sample, but it is missing in row 5"


def refused(call, pattern):
    """One line, an error of ours, that says this."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(unseen.UnseenError) as caught:
            call()
    said = str(caught.value)
    assert re.search(pattern, said), said
    assert "\n" not in said
    assert not re.search(r"\bnp\.(str_|int|uint|float|bool)", said), said


def masked(values, row=5):
    mask = np.zeros(np.shape(values), bool)
    mask[row] = row is not None
    return np.ma.array(values, mask=mask)


def with_entry(values, entry):
    """Objects, one of which is another."""
    own = np.array(values, dtype=object)
    own[5] = entry
    return own


def lists(values):
    own = np.empty(len(values), object)
    own[:] = [[value] for value in values.tolist()]
    return own


# The ways in: each makes a score table of inputs, labels, ids and groups.


def by_arrays(x, y, ids, groups, tmp_path):
    return unseen.score(from_arrays(x, y, ids=ids, groups=groups), **QUICK)


def by_prune(x, y, ids, groups, tmp_path):
    assert ids is None
    return unseen.prune(x, y, keep=0.5, groups=groups, **QUICK).scores


def by_grow(x, y, ids, groups, tmp_path):
    assert ids is None
    return unseen.grow(x, y, keep=18, start=0.5, steps=1, learner="ridge", groups=groups).scores


def by_recorder(x, y, ids, groups, tmp_path):
    own = unseen.Recorder(y, ids=ids, groups=groups, plan=unseen.folds(2))
    for fit in own:
        own.record(own.ids[fit.unseen], RNG.normal(size=(len(fit.unseen), own.classes)))
    return own.table()


def by_predictions(x, y, ids, groups, tmp_path):
    assert groups is None
    return unseen.Recorder.from_predictions(RNG.normal(size=(N, 3)), y, ids=ids)


def by_pruner(x, y, ids, groups, tmp_path):
    assert ids is None
    return unseen.Pruner(learner="ridge", plan=2, groups="duplicates" if groups is None else groups).fit(x, y).scores_


def by_npz(x, y, ids, groups, tmp_path):
    columns = {"id": ids, "group": groups}
    given = {name: values for name, values in columns.items() if values is not None}
    np.savez(tmp_path / "set.npz", x=x, y=y, **given)
    return unseen.score(from_npz(tmp_path / "set.npz", **{name: name for name in given}), **QUICK)


def by_npy(x, y, ids, groups, tmp_path):
    columns = {"id": ids, "group": groups}
    given = {name: values for name, values in columns.items() if values is not None}
    for name, values in {"x": x, "y": y, **given}.items():
        np.save(tmp_path / f"{name}.npy", values)
    return unseen.score(from_npz(tmp_path, **{name: name for name in given}), **QUICK)


def by_shards(x, y, ids, groups, tmp_path):
    half = N // 2
    for name, values in {"x": x, "y": y, "id": ids, "group": groups}.items():
        if values is not None:
            np.save(tmp_path / f"{name}-00000.npy", values[:half])
            np.save(tmp_path / f"{name}-00001.npy", values[half:])
    return unseen.score(from_shards(tmp_path), **QUICK)


def by_batches(x, y, ids, groups, tmp_path):
    assert groups is None
    half = N // 2
    parts = [(v[:half], v[half:]) for v in (x, y, ids) if v is not None]
    return unseen.score(from_batches(zip(*parts, strict=True), tmp_path / "spooled"), **QUICK)


def by_dataset(x, y, ids, groups, tmp_path):
    return unseen.score(from_dataset(list(zip(x, y, strict=True)), ids=ids, groups=groups), **QUICK)


def table_of(x, y, ids, groups):
    columns = {f"f{at}": x[:, at] for at in range(x.shape[1])}
    columns |= {"label": y, "id": ids, "group": groups}
    return pa.table({name: pa.array(values) for name, values in columns.items() if values is not None})


def roles(ids, groups):
    given = {"id": ids, "group": groups}
    return {name: name for name, values in given.items() if values is not None}


def by_parquet(x, y, ids, groups, tmp_path):
    pq.write_table(table_of(x, y, ids, groups), tmp_path / "set.parquet")
    return unseen.score(from_parquet(tmp_path / "set.parquet", **roles(ids, groups)), **QUICK)


def by_huggingface(x, y, ids, groups, tmp_path):
    datasets = pytest.importorskip("datasets")
    ds = datasets.Dataset(table_of(x, y, ids, groups))
    return unseen.score(from_huggingface(ds, **roles(ids, groups)), **QUICK)


def by_command(x, y, ids, groups, tmp_path):
    """The command line, whose one line on stderr is what it raises."""
    from unseen.cli import main

    path, options = tmp_path / "set.npz", []
    if y.dtype.kind == "O" or any(v is not None for v in (ids, groups)):
        path = tmp_path / "set.parquet"
        pq.write_table(table_of(x, y, ids, groups), path)
        options = [part for name in roles(ids, groups) for part in (f"--{name}", name)]
    else:
        np.savez(path, x=x, y=y)
    argv = [
        "unseen",
        "score",
        str(path),
        "--learner",
        "ridge",
        "--folds",
        "2",
        "--out",
        str(tmp_path / "run"),
        *options,
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        patch.setenv("COLUMNS", "1000")
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise _Said(capture().err) from None
    return unseen.load(tmp_path / "run").scores


class _Said(unseen.UnseenError):
    """What the program said on stderr."""

    def __str__(self):
        said = self.args[0]
        assert "Traceback" not in said
        assert said.count("error: ") == 1
        return said.partition("error: ")[2].strip()


capture: Any = None


@pytest.fixture(autouse=True)
def captured(capfd):
    global capture
    capture = capfd.readouterr
    yield
    capture = None


MEMORY = (by_arrays, by_prune, by_grow, by_recorder, by_predictions, by_pruner, by_dataset, by_batches)
FILES = (by_npz, by_npy, by_shards, by_parquet, by_huggingface, by_command)
ARROW = (by_parquet, by_huggingface, by_command)
WITH_IDS = (by_arrays, by_recorder, by_predictions, by_dataset, by_batches, *FILES)
WITH_GROUPS = (by_arrays, by_prune, by_grow, by_recorder, by_pruner, by_dataset, *FILES)


@dataclass
class Case:
    """What is handed in, through which ways, and what comes of it: names of classes, or a refusal."""

    name: str
    value: Any
    ways: tuple[Any, ...]
    names: tuple[str, ...] | None = None
    refusal: str = ""


def params(cases):
    return [
        pytest.param(case, way, id=f"{case.name}-{way.__name__.removeprefix('by_')}")
        for case in cases
        for way in case.ways
    ]


TEXT = np.array(["ant", "bee", "cat"])[CODES]
UINTS = CODES.astype(np.uint64) + np.uint64(BIG)
WITHOUT_PRUNER = tuple(way for way in MEMORY if way is not by_pruner)
LABELS = [
    Case("from-0", CODES, MEMORY + FILES, ("0", "1", "2")),
    Case("from-1", CODES + 1, MEMORY + FILES, ("1", "2", "3")),
    Case("with-gaps", np.array([7, 3, 900])[CODES], MEMORY + FILES, ("3", "7", "900")),
    Case("minus-1-to-1", CODES - 1, MEMORY + FILES, ("-1", "0", "1")),
    Case("negative", CODES - 5, MEMORY + FILES, ("-5", "-4", "-3")),
    Case("int8", CODES.astype(np.int8), MEMORY + FILES, ("0", "1", "2")),
    Case("uint64-beyond-int64", UINTS, MEMORY + FILES, (f"{BIG}", f"{BIG + 1}", f"{BIG + 2}")),
    Case("whole-floats", CODES + 1.0, MEMORY + FILES, ("1", "2", "3")),
    Case("text", TEXT, MEMORY + FILES, ("ant", "bee", "cat")),
    Case("objects", TEXT.astype(object), MEMORY + ARROW, ("ant", "bee", "cat")),
    Case("list", TEXT.tolist(), MEMORY, ("ant", "bee", "cat")),
    Case("bytes", TEXT.astype("S"), MEMORY + FILES, ("ant", "bee", "cat")),
    Case("bytes-as-objects", TEXT.astype("S").astype(object), MEMORY + ARROW, ("ant", "bee", "cat")),
    Case("half", CODES.astype(np.float16), MEMORY + FILES, ("0", "1", "2")),
    Case(
        "unused-category",
        pd.Series(pd.Categorical(TEXT, ["zoo", *"cba", *set(TEXT)])),
        MEMORY[:-1],
        ("ant", "bee", "cat"),
    ),
    Case("category", pd.Series(pd.Categorical(TEXT)), MEMORY[:-1], ("ant", "bee", "cat")),
    Case("pandas-string", pd.Series(TEXT, dtype="string"), MEMORY[:-1], ("ant", "bee", "cat")),
    Case("pandas-Int64", pd.Series(CODES + 1, dtype="Int64"), MEMORY[:-1], ("1", "2", "3")),
    Case("tensor", torch.tensor(CODES + 1), MEMORY, ("1", "2", "3")),
    Case("mask-that-hides-nothing", masked(CODES + 1, None), MEMORY, ("1", "2", "3")),
    Case(
        "unlabelled", np.where(np.arange(N) == 5, -1, CODES), MEMORY + FILES, refusal="is -1 in row 5; -1 often means"
    ),
    Case("nan", np.where(np.arange(N) == 5, np.nan, CODES), WITHOUT_PRUNER + FILES, refusal="missing|NaN"),
    Case(
        "inf",
        np.where(np.arange(N) == 5, np.inf, CODES),
        WITHOUT_PRUNER + FILES,
        refusal=r"\(int64\), but row 5 has inf",
    ),
    Case(
        "1e30",
        np.where(np.arange(N) == 5, 1e30, CODES),
        WITHOUT_PRUNER + FILES,
        refusal=r"\(int64\), but row 5 has 1e\+30",
    ),
    Case(
        "fractions", CODES + 0.5, WITHOUT_PRUNER + FILES, refusal="must hold classes, but row 0 has 0.5: real numbers"
    ),
    Case("none-among-text", with_entry(TEXT, None), WITHOUT_PRUNER + ARROW, refusal=MISSING),
    Case("na-among-text", pd.Series(with_entry(TEXT, None), dtype="string"), WITHOUT_PRUNER[:-1], refusal=MISSING),
    Case("na-among-Int64", pd.Series(with_entry(CODES, None), dtype="Int64"), WITHOUT_PRUNER[:-1], refusal=MISSING),
    Case("nat", with_entry(TEXT, pd.NaT), WITHOUT_PRUNER, refusal=MISSING),
    Case("types-mixed", with_entry(TEXT, 3), WITHOUT_PRUNER, refusal="labels of one type"),
    Case("lists-of-one", lists(CODES), MEMORY + ARROW, refusal="one (entry|label) a sample"),
    Case(
        "column", CODES[:, None], (by_arrays, by_prune, by_recorder, by_predictions, by_npz), refusal=r"try \w+.ravel"
    ),
    Case("complex", CODES + 1j, WITHOUT_PRUNER + FILES[:3], refusal="labels that can be sorted, got complex128"),
    Case("masked", masked(CODES), (*WITHOUT_PRUNER, by_pruner), refusal="masked array that hides|missing"),
    Case("sparse-tensor", torch.tensor(CODES).to_sparse(), (*WITHOUT_PRUNER[:5], by_pruner), refusal=r"\.to_dense\(\)"),
    Case("sparse-matrix", csr_array(CODES[None]), WITHOUT_PRUNER[:5], refusal=r"\.toarray\(\)"),
]


@pytest.mark.parametrize(("case", "way"), params(LABELS))
def test_labels(case, way, tmp_path):
    def call():
        return way(X, case.value, None, None, tmp_path)

    if case.refusal:
        refused(call, case.refusal)
        return
    table = call()
    assert table.class_names == case.names
    np.testing.assert_array_equal(table.labels, np.unique(np.asarray(case.value), return_inverse=True)[1])


EVEN = np.arange(N) * 2
IDS = [
    Case("integers", EVEN, WITH_IDS),
    Case("uint64", EVEN.astype(np.uint64), WITH_IDS),
    Case("int8", EVEN.astype(np.int8), WITH_IDS),
    Case("text", EVEN.astype(str), WITH_IDS),
    Case("objects", EVEN.astype(str).astype(object), WITH_IDS[:5] + ARROW),
    Case("pandas-string", pd.Series(EVEN.astype(str), dtype="string"), WITH_IDS[:4]),
    Case("tensor", torch.tensor(EVEN), WITH_IDS[:4]),
    Case("mask-that-hides-nothing", masked(EVEN, None), WITH_IDS[:5]),
    Case(
        "uint64-beyond-int64",
        np.arange(N, dtype=np.uint64) + np.uint64(BIG),
        WITH_IDS,
        refusal=rf"at most {BIG - 1} \(int64\), but row 0 has {BIG}; text",
    ),
    Case(
        "half-beyond-int64",
        np.array([-1, BIG, *range(22)], object),
        WITH_IDS[:4],
        refusal=r"\(int64\), but row 1 has 9223372036854775808",
    ),
    Case("mask", EVEN > 5, WITH_IDS, refusal="a boolean mask|occur|unique"),
    Case("real", EVEN + 0.5, WITH_IDS, refusal="integers or text, got (float64|double)"),
    Case("twice", EVEN // 4, WITH_IDS, refusal="ids must be unique, but these occur more than once: 0, 1"),
    Case("none", with_entry(EVEN.astype(str), None), WITH_IDS[:4] + ARROW, refusal="missing in row 5|got object"),
    Case("types-mixed", with_entry(EVEN.astype(str), 3), WITH_IDS[:5], refusal="all (integers|numbers) or all text"),
    Case("masked", masked(EVEN), WITH_IDS[:5], refusal="ids.* is a masked array that hides"),
    Case("lists", lists(EVEN), WITH_IDS[:4] + ARROW, refusal="ids must have one entry a sample"),
    Case("column", EVEN[:, None], WITH_IDS[:4], refusal="ids must have one entry for each of the 24 samples"),
]


@pytest.mark.parametrize(("case", "way"), params(IDS))
def test_ids(case, way, tmp_path):
    def call():
        return way(X, CODES, case.value, None, tmp_path)

    if case.refusal:
        refused(call, case.refusal)
        return
    expected = EVEN.astype(str) if case.name in ("text", "objects", "pandas-string") else EVEN
    assert call().ids.tolist() == expected.tolist()


PAIRS = np.arange(N) // 2
GROUPS = [
    Case("integers", PAIRS, WITH_GROUPS),
    Case("text", PAIRS.astype(str), WITH_GROUPS),
    Case("real", PAIRS + 0.5, WITH_GROUPS),
    Case("uint64-beyond-int64", PAIRS.astype(np.uint64) + np.uint64(BIG), WITH_GROUPS),
    Case("nan", np.where(np.arange(N) == 5, np.nan, PAIRS), WITH_GROUPS, refusal="missing in row 5"),
    Case("none", with_entry(PAIRS, None), WITH_GROUPS[:6] + ARROW, refusal="missing in row 5"),
    Case("na", pd.Series(with_entry(PAIRS, None), dtype="Int64"), WITH_GROUPS[:6], refusal="missing in row 5"),
    Case("types-mixed", with_entry(PAIRS, "a"), WITH_GROUPS[:6], refusal="groups must be of one type"),
    Case("masked", masked(PAIRS), WITH_GROUPS[:6], refusal="groups is a masked array that hides entries of rows 5"),
    Case("lists", lists(PAIRS), WITH_GROUPS[:6] + ARROW, refusal="groups must have one entry a sample"),
    Case("column", PAIRS[:, None], WITH_GROUPS[:6], refusal="groups must have one entry for each of (the )?24 samples"),
]


@pytest.mark.parametrize(("case", "way"), params(GROUPS))
def test_groups(case, way, tmp_path):
    def call():
        return way(X, CODES, None, case.value, tmp_path)

    if case.refusal:
        refused(call, case.refusal)
        return
    fold = call().folds[0]
    np.testing.assert_array_equal(fold[::2], fold[1::2])


ALL_X = (by_arrays, by_prune, by_grow, by_pruner, by_dataset, by_batches, by_npz, by_npy, by_shards)
IN_X = ALL_X[:6]
INPUTS = [
    Case("uint64", np.abs(X * 100).astype(np.uint64), ALL_X),
    Case("half", X.astype(np.float16), ALL_X),
    Case("extended", X.astype(np.longdouble), ALL_X),
    Case("bool", X > 0, ALL_X),
    Case("Float64", pd.DataFrame(X).astype("Float64"), IN_X[:4]),
    Case("arrow", pd.DataFrame(X).astype("double[pyarrow]"), IN_X[:4]),
    Case("bool-beside-real", pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0}), IN_X[:4]),
    Case("column-by-column", np.asfortranarray(X), ALL_X),
    Case("backwards", X[::-1], ALL_X),
    Case("big-endian", X.astype(">f4"), ALL_X),
    Case("conjugate", torch.tensor(X + 1j * X).conj().imag, IN_X),
    Case("bfloat16", torch.tensor(X).bfloat16(), IN_X),
    Case("grad", torch.tensor(X, requires_grad=True), IN_X),
    Case("mask-that-hides-nothing", masked(X, None), IN_X),
    Case("nan", np.where(np.arange(N)[:, None] == 5, np.nan, X), ALL_X, refusal="NaN|finite"),
    Case("beyond-float32", np.where(np.arange(N)[:, None] == 5, 1e300, X), (*IN_X[:3], *ALL_X[4:]), refusal="finite"),
    Case("complex", X + 1j, ALL_X, refusal="numbers|omplex"),
    Case("dates", X.astype("datetime64[s]"), ALL_X, refusal="numbers|text|datetime"),
    Case("masked", masked(X), IN_X, refusal="masked array that hides"),
    Case("sparse-matrix", csr_array(X), IN_X[:4], refusal=r"toarray\(\)|dense"),
    Case("sparse-tensor", torch.tensor(X).to_sparse(), IN_X[:4], refusal=r"to_dense\(\)"),
]


@pytest.mark.parametrize(("case", "way"), params(INPUTS))
def test_inputs(case, way, tmp_path):
    def call():
        return way(case.value, CODES, None, None, tmp_path)

    if case.refusal:
        refused(call, case.refusal)
    else:
        assert np.isfinite(call().column("el2n")).all()


@pytest.mark.parametrize("learner", [None, "logistic", "forest"])
@pytest.mark.parametrize(
    ("column", "pattern"),
    [
        ([[1]] * N, "column 'b' holds lists of numbers, which are inputs only by themselves"),
        (
            ["a", 1, 2.5] * (N // 3),
            "column 'b' must hold entries of one type, but row 1 holds int 1 among str; make it text",
        ),
    ],
    ids=["lists", "text-and-numbers"],
)
def test_columns_of_frames_that_no_learner_reads(column, pattern, learner):
    frame = pd.DataFrame({"a": X[:, 0], "b": column})
    refused(lambda: unseen.score(frame, CODES, learner=learner, plan=unseen.folds(2)), pattern)


def test_a_column_without_entries_is_passed_over():
    frame = pd.DataFrame({"a": X[:, 0], "b": [None] * N, "c": TEXT})
    for learner in ("hist_gradient_boosting", "logistic"):
        with_it, without = (
            unseen.score(one, CODES, learner=learner, plan=unseen.folds(2), threads=1).column("el2n")
            for one in (frame, frame.drop(columns="b"))
        )
        np.testing.assert_array_equal(with_it, without)


# What a model says


LOGITS = RNG.normal(size=(N, 3))
RIGHT = unseen.functional.el2n(LOGITS, CODES)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


def recorded(logits, **more):
    own = unseen.Recorder(CODES, plan=unseen.folds(2))
    for fit in own:
        own.record(fit.unseen, logits[fit.unseen], **more)
    return own.table().column("el2n")


def taken(logits, **more):
    return unseen.Recorder.from_predictions(logits, CODES, **more).column("el2n")


@pytest.mark.parametrize("says", [recorded, taken])
@pytest.mark.parametrize(
    ("logits", "tolerance"),
    [
        (LOGITS, 1e-12),
        (LOGITS.astype(np.float16), 1e-2),
        (torch.tensor(LOGITS), 1e-12),
        (torch.tensor(LOGITS, requires_grad=True), 1e-12),
        (torch.tensor(LOGITS).bfloat16(), 2e-2),
        (masked(LOGITS, None), 1e-12),
        (np.log(PROBABILITIES), 1e-12),
    ],
    ids=["float64", "float16", "tensor", "grad", "bfloat16", "mask-that-hides-nothing", "log-probabilities"],
)
def test_logits_of_any_kind(says, logits, tolerance):
    np.testing.assert_allclose(says(logits), RIGHT, atol=tolerance)


@pytest.mark.parametrize("says", [recorded, taken])
@pytest.mark.parametrize(
    ("logits", "pattern"),
    [
        (masked(LOGITS), "is a masked array that hides entries"),
        (torch.tensor(LOGITS).to_sparse(), r"to_dense\(\)"),
        (LOGITS + 1j, "must hold real numbers, got complex128"),
        (LOGITS.astype(str), "must hold real numbers, got <U"),
        (np.where(np.arange(N)[:, None] == 5, np.nan, LOGITS), "must be finite"),
        (LOGITS[:, :1], "shape"),
        (LOGITS[:, :2], r"shape|labels must be in 0\.\.1"),
        (LOGITS[:, 0], "shape"),
    ],
    ids=["masked", "sparse", "complex", "text", "nan", "one-column", "two-columns", "flat"],
)
def test_logits_that_are_refused(says, logits, pattern):
    dense = logits.to_dense() if says is recorded and isinstance(logits, torch.Tensor) else logits
    if dense is not logits:  # whose rows cannot be chosen
        refused(lambda: recorder_at(CODES).record([0], logits), r"to_dense\(\)")
        return
    refused(lambda: says(logits), pattern)


def recorder_at(labels, **more):
    """A recorder whose first fit is under way."""
    own = unseen.Recorder(labels, plan=unseen.folds(2), **more)
    own.held = iter(own)
    next(own.held)
    return own


@pytest.mark.parametrize("says", [recorded, taken])
def test_probabilities_are_no_logits(says):
    with pytest.warns(UserWarning, match=r"look like probabilities .* pass probabilities=True"):
        wrong = says(PROBABILITIES)
    assert np.abs(wrong - RIGHT).max() > 0.1
    np.testing.assert_allclose(says(PROBABILITIES, probabilities=True), RIGHT, atol=1e-12)
    np.testing.assert_allclose(says(torch.tensor(PROBABILITIES), probabilities=True), RIGHT, atol=1e-12)
    np.testing.assert_allclose(says(np.eye(3)[CODES], probabilities=True), 0, atol=1e-12)
    refused(lambda: says(LOGITS, probabilities=True), r"rows that lie in \[0, 1\] and sum to 1, but these do not")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (TEXT, ("ant", "bee", "cat")),
        (CODES + 1, ("1", "2", "3")),
        (CODES - 1, ("-1", "0", "1")),
        (CODES.clip(max=1), ("0", "1", "2")),
        (CODES > 0, ("False", "True")),
        (np.ones(N, bool), ("False", "True")),
    ],
    ids=["text", "from-1", "minus-1-to-1", "one-class-missing", "bool", "all-true"],
)
def test_predictions_are_of_the_labels_that_they_came_from(labels, names):
    logits = LOGITS[:, : len(names)]
    table = unseen.Recorder.from_predictions(logits, labels)
    assert table.class_names == names
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(logits, table.labels), atol=1e-12)


def test_no_predictions_are_refused():
    refused(lambda: unseen.Recorder.from_predictions(LOGITS[:0], CODES[:0]), "the data set is empty: predictions have")


def test_an_npz_of_one_number_or_encrypted_is_refused(tmp_path):
    np.savez(tmp_path / "one.npz", x=np.float64(1), y=CODES)
    refused(lambda: from_npz(tmp_path / "one.npz"), "array 'x' of .*one.npz must hold n samples, got a single float64")
    np.savez(tmp_path / "e.npz", x=X, y=CODES)
    raw = bytearray((tmp_path / "e.npz").read_bytes())
    raw[6] |= 1  # the flag of encryption of the first member, there and in the list of members
    raw[raw.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "e.npz").write_bytes(raw)
    refused(lambda: from_npz(tmp_path / "e.npz"), "e.npz cannot be read: .*is encrypted")


def test_predictions_of_cross_val_predict():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    for labels in (TEXT, CODES + 1, CODES - 1):
        p = cross_val_predict(LogisticRegression(), X, labels, cv=3, method="predict_proba")
        table = unseen.Recorder.from_predictions(p, labels, probabilities=True)
        np.testing.assert_allclose(table.mean_confidence, p[np.arange(N), CODES], atol=1e-9)


@pytest.mark.parametrize(
    ("folds", "pattern"),
    [
        (np.where(np.arange(N) == 5, np.nan, CODES), "folds must be given for every sample, .* in row 5"),
        (with_entry(CODES, None), "folds must be given for every sample, .* in row 5"),
        (masked(CODES), "folds is a masked array that hides"),
        (CODES[:, None], "predictions, labels and folds must agree"),
        (CODES[:-1], "predictions, labels and folds must agree, got 24, 24 and 23"),
    ],
    ids=["nan", "none", "masked", "column", "short"],
)
def test_folds_of_predictions(folds, pattern):
    refused(lambda: unseen.Recorder.from_predictions(LOGITS, CODES, folds=folds), pattern)


ZEROS = np.zeros(N)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"loss": ZEROS[:, None]}, r"loss of fit r0f0 must have shape \(12,\), got \(12, 1\); pass loss.ravel\(\)"),
        ({"logits": LOGITS, "grad_norm": ZEROS[:, None]}, r"grad_norm .* pass grad_norm.ravel\(\)"),
        ({"logits": LOGITS, "features": ZEROS}, r"features of fit r0f0 must have shape \(12, d\), got \(12,\)"),
        ({"loss": ZEROS.astype(str)}, "loss must hold real numbers"),
        ({"loss": masked(ZEROS, slice(0, 24))}, "loss is a masked array"),
    ],
    ids=["loss-column", "norm-column", "flat-features", "text", "masked"],
)
def test_what_else_is_recorded(arguments, pattern):
    own = recorder_at(CODES, scores="loss")
    rows = own.fit.unseen
    refused(lambda: own.record(rows, **{name: values[rows] for name, values in arguments.items()}), pattern)


@pytest.mark.parametrize(
    "epoch", [1, np.int64(1), torch.tensor(1), np.uint8(1)], ids=["int", "int64", "tensor", "uint8"]
)
def test_epochs_of_any_whole_kind(epoch):
    np.testing.assert_allclose(recorded(LOGITS, epoch=epoch), RIGHT, atol=1e-12)


@pytest.mark.parametrize("epoch", [1.5, torch.tensor(1.5), None, "1", 0, -1, 10**20])
def test_epochs_that_are_refused(epoch):
    own = recorder_at(CODES)
    pattern = "epoch must be (a whole|counted|at most)"
    refused(lambda: own.record(own.fit.unseen, LOGITS[own.fit.unseen], epoch=epoch), pattern)


@pytest.mark.parametrize(
    ("ids", "asked", "pattern"),
    [
        (None, CODES == 0, "got a boolean mask; recorder.ids"),
        (None, np.array([0, BIG], np.uint64), f"these are unknown: 0, {BIG}"),
        (None, ["0", "1"], "these are unknown: 0, 1"),
        (EVEN.astype(str), [0, 2], "these are unknown: 0, 2"),
        (None, [0.5], "these are unknown: 0.5"),
        (None, masked(EVEN), "ids is a masked array"),
        (None, [[0]], "one-dimensional"),
        (None, [None], "these are unknown: None"),
    ],
    ids=["mask", "uint64", "text-among-numbers", "numbers-among-text", "real", "masked", "nested", "none"],
)
def test_ids_that_are_asked_for(ids, asked, pattern):
    refused(lambda: unseen.Recorder(CODES, ids=ids).rows(asked), pattern)


@pytest.mark.parametrize("kind", [np.uint64, np.int8, float, object])
def test_ids_of_any_whole_kind_are_found(kind):
    assert unseen.Recorder(CODES, ids=EVEN).rows(np.array([4, 2], kind)).tolist() == [2, 1]


# Words


def test_a_class_where_an_instance_is_meant():
    from sklearn.naive_bayes import GaussianNB

    from unseen.engine.executors import LocalExecutor
    from unseen.scores.pointwise import El2n

    call = r"learner must be an instance, got the class GaussianNB; call it: GaussianNB\(\)"
    refused(lambda: unseen.prune(X, CODES, keep=0.5, learner=GaussianNB), call)
    refused(lambda: unseen.score(X, CODES, learner=GaussianNB), call)
    refused(lambda: unseen.grow(X, CODES, keep=0.5, learner=GaussianNB), call)
    refused(lambda: unseen.Pruner(learner=GaussianNB).fit(X, CODES), call)
    refused(lambda: unseen.score(X, CODES, scores=El2n), "a score is a name such as 'el2n' or a Score")
    refused(lambda: unseen.Recorder(CODES, scores=El2n), "a score is a name such as 'el2n' or a Score")
    refused(lambda: unseen.prune(X, CODES, keep=0.5, rule=type), "a rule is a name such as 'top' or a Rule")
    refused(lambda: unseen.score(X, CODES, executor=LocalExecutor), "executor must be 'local', 'ray' or an executor")
    for plan in (unseen.folds, type(unseen.folds()), 5.0):
        refused(lambda plan=plan: unseen.score(X, CODES, plan=plan), r"plan must be a plan, such as unseen.folds\(5\)")
        refused(lambda plan=plan: unseen.Recorder(CODES, plan=plan), r"plan must be a plan, such as unseen.folds\(5\)")


@pytest.mark.parametrize("seed", [1.5, "1", True, np.nan, [1]])
def test_seeds(seed):
    calls = (
        lambda: unseen.score(X, CODES, seed=seed, **QUICK),
        lambda: unseen.prune(X, CODES, keep=0.5, seed=seed, **QUICK),
        lambda: unseen.grow(X, CODES, keep=18, start=0.5, seed=seed, learner="ridge"),
        lambda: unseen.Recorder(CODES, seed=seed),
        lambda: unseen.sweep(X, CODES, methods=["random"], keep=[0.5], seed=seed, learner="ridge"),
    )
    for call in calls:
        refused(call, "seed must be an integer, got")
    assert unseen.score(X, CODES, seed=np.int64(3), **QUICK).provenance["seed"] == 3


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (
            lambda: unseen.core.exposure.Fit(train=[0.5], unseen=[3]),
            "train of fit r0f0 must hold whole numbers.* got 0.5",
        ),
        (lambda: unseen.core.exposure.Fit(train=CODES == 0, unseen=[3]), "train of fit r0f0 .* got a boolean mask"),
        (
            lambda: unseen.Exposure(train=CODES == 0, watch=CODES == 1),
            "train must hold whole numbers, got a boolean mask",
        ),
        (lambda: unseen.core.plans.coreset(CODES == 0), "members must hold whole numbers, got a boolean mask"),
        (lambda: unseen.core.plans.coreset([2**63]), "members must hold whole numbers within int64"),
        (lambda: unseen.core.exposure.Fit(3, 2), "train of fit r0f0 must be a list of whole numbers, got 3"),
        (lambda: unseen.core.exposure.Fit([[3]], [2]), r"a list of whole numbers, got an array of shape \(1, 1\)"),
        (lambda: unseen.core.plans.coreset(3, 2), "members must be a list of whole numbers, got 3"),
        (lambda: unseen.Exposure(3, [2]), "train must be a list of whole numbers, got 3"),
        (
            lambda: unseen.ScoreTable.of("a", X[:2, 0], direction="harder", labels=[-1, 1]),
            r"labels must count classes from 0, got -1; np.unique\(labels, return_inverse=True\)\[1\] numbers them",
        ),
        (lambda: unseen.data.from_frame(X), "a frame of pandas or polars, or an Arrow table, is needed, got ndarray"),
        (lambda: unseen.prune(X, CODES, keep=0.5, report=True, **QUICK), "report must be a function.* got True"),
        (
            lambda: unseen.ScoreTable.of("a", X[:, 0], direction="harder", labels=X[:, 0]),
            "labels must hold whole numbers",
        ),
        (
            lambda: unseen.ScoreTable.of("a", X[:2, 0], direction="harder", ids=[True, False]),
            "ids must .* boolean mask",
        ),
        (lambda: unseen.ScoreTable.of("a", masked(X[:, 0]), direction="harder"), "a is a masked array"),
        (lambda: unseen.functional.el2n(masked(LOGITS), CODES), "logits is a masked array"),
        (lambda: unseen.functional.el2n(LOGITS, masked(CODES)), "labels is a masked array"),
        (lambda: unseen.functional.el2n(LOGITS + 1j, CODES), "logits must hold real numbers, got complex128"),
        (lambda: unseen.prune(X, CODES, keep=0.5, rule="herding", features=masked(X), **QUICK), "features is a masked"),
        (
            lambda: unseen.prune(X, CODES, keep=0.5, rule="herding", features=torch.tensor(X).to_sparse(), **QUICK),
            "features is a sparse tensor",
        ),
        (
            lambda: unseen.grow(X, CODES, keep=18, rule="herding", features=masked(X), learner="ridge"),
            "features is a masked",
        ),
        (
            lambda: unseen.sweep(X, CODES, methods=["random"], keep=[0.5], groups=masked(PAIRS), learner="ridge"),
            "groups is a masked array",
        ),
        (
            lambda: unseen.sweep(X, CODES, methods=["random"], keep=[0.5], features=masked(X), learner="ridge"),
            "features is a masked array",
        ),
        (lambda: unseen.prune(X, CODES, keep=np.float64(1.5), **QUICK), r"in \(0, 1\], got 1.5;"),
        (lambda: unseen.prune(X, CODES, keep=0.5, threads="2", **QUICK), "must be an integer of at least 1, got '2'"),
        (lambda: unseen.prune(X, CODES, keep=0.5, jobs=1.5, **QUICK), "jobs must be an integer of at least 1, got 1.5"),
        (lambda: unseen.prune(X, CODES, keep=0.5, out=5, **QUICK), "out must be a path, got an object of int"),
        (lambda: unseen.prune(X, CODES, keep=0.5, verify="Full", **QUICK), "one of .cheap., .full., got 'Full'"),
        (lambda: unseen.select(unseen.score(X, CODES, **QUICK), keep=2, score=5), "no score 5; known: el2n"),
        (lambda: unseen.Recorder(n=-1, scores="loss"), "n must be an integer of at least 1, got -1"),
        (lambda: unseen.Recorder(n=2.5, scores="loss"), "n must be an integer of at least 1, got 2.5"),
        (lambda: unseen.Recorder(CODES, classes="3"), "classes must be an integer of at least 1, got '3'"),
        (lambda: from_arrays(X, TEXT, class_names=["ant", "bee"]), "row 2 has 'cat'"),
        (
            lambda: from_arrays(X, CODES, ids=["a\0", *EVEN[1:].astype(str)]),
            "ids must not end in a null character, but row 0 has",
        ),
        (
            lambda: from_arrays(X, CODES, ids=["\udce9", *EVEN[1:].astype(str)]),
            "ids must be text of UTF-8, but row 0 has",
        ),
        (
            lambda: unseen.prune(X, CODES, keep=0.5, out="", **QUICK),
            "out must name a directory, got ''; '.' is this one",
        ),
        (lambda: unseen.load("/dev/null"), "/dev/null cannot be read: it is a folder, a pipe, a socket"),
        (lambda: from_arrays(X, CODES, class_names=["ant", "bee"]), "row 2 has 2$"),
        (
            lambda: unseen.prune(X, CODES, keep=0.5, also=3, **QUICK),
            "a score is a name such as 'el2n' or a Score, got 3",
        ),
        (lambda: unseen.label_error_share(CODES), "table must be a score table, got ndarray"),
        (
            lambda: unseen.sweep(X, CODES, methods=3, keep=[0.5]),
            "methods must be a list of lines 'plan/score/rule', got 3",
        ),
        (lambda: unseen.sweep(X, CODES, methods=[3], keep=[0.5]), "a method must be a line 'plan/score/rule', got 3"),
        (lambda: unseen.advise(X, CODES, method=3), "a method must be a line 'plan/score/rule', got 3"),
        (lambda: unseen.advise(X, CODES, features=3), "features must be numbers of shape"),
        (
            lambda: unseen.prune(X, CODES, keep=0.5, rule="auto", candidates="el2n/top"),
            r"candidates must be a list of lines 'plan/score/rule', got 'el2n/top'; take \['el2n/top'\]",
        ),
        (lambda: unseen.evaluate(X, CODES, coresets=HALF, baselines=3), "baselines must be a list of names, got 3"),
        (lambda: unseen.evaluate(X, CODES, coresets=HALF, baselines=[3]), "unknown baseline 3; known: dedup, full"),
        (lambda: unseen.evaluate(X, CODES, coresets=HALF, features=(X, X)), "with a test set a pair of arrays"),
        (
            lambda: unseen.evaluate(X, CODES, coresets=HALF, test=(X + 1, CODES), features=(X, 3)),
            "features must be numbers of shape",
        ),
        (lambda: unseen.estimate(X, CODES, groups=CODES), "groups must be one of 'duplicates', None, got ndarray"),
        (
            lambda: from_dataset(list(zip(X, CODES, strict=True)), memory_limit="1GB"),
            "memory_limit must be a number",
        ),
        (
            lambda: from_dataset(list(zip(X, CODES, strict=True)), workers="2"),
            "workers must be an integer of at least 0",
        ),
    ],
)
def test_casts_and_words(call, pattern):
    refused(call, pattern)
