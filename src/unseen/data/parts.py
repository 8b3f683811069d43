"""Data sets made of others: a part of one, a probe split, and a training set joined with a test set.

In a `Joined` data set, testing a model is a fit like any other: it is trained on the rows of the training set and
judges the rows of the test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IdArray, IntArray
from unseen.core.checks import is_number
from unseen.core.plans import assign_folds
from unseen.core.protocols import Data
from unseen.data.base import digest
from unseen.data.labels import check_groups, join_groups, refuse_other_order, to_numpy
from unseen.errors import ArgumentError, DataError, some


class Part(Data):
    """Some rows of a data set, with their ids; row i of the part is row `rows[i]` of the whole."""

    def __init__(self, whole: Data, rows: IntArray) -> None:
        self.whole = whole
        self.rows = np.asarray(rows, dtype=np.int64)
        self.ids = whole.ids[self.rows]
        self.labels = whole.labels[self.rows]
        self.groups = None if whole.groups is None else whole.groups[self.rows]
        self.targets = None if whole.targets is None else whole.targets[self.rows]
        self.in_memory, self.notes = whole.in_memory, whole.notes
        _describe_like(self, whole)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the inputs of these rows of the part, in that order."""
        return self.whole.take(self.rows[np.asarray(rows)])

    def as_frame(self, rows: IntArray) -> Any:
        """Return these rows as the frame that the user gave for the whole; None if there is none."""
        return self.whole.as_frame(self.rows[np.asarray(rows)])

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the inputs as the whole stores them; see `Data.take`."""
        return self.whole.as_kept(self.rows[np.asarray(rows)])

    @property
    def held_bytes(self) -> int:
        """The bytes of the whole, which stay in memory as long as the part does."""
        return self.whole.held_bytes

    def check_unchanged(self) -> None:
        """Refuse changed files of the whole."""
        self.whole.check_unchanged()

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Return the fingerprint of the whole, and a digest of the rows."""
        return {"whole": self.whole.fingerprint(full=full), "rows": digest(self.rows)}

    def duplicate_groups(self) -> IntArray | None:
        """Return the group of each sample, int64 (m,), exact copies in one group."""
        groups = self.whole.duplicate_groups()
        return None if groups is None else np.unique(groups[self.rows], return_inverse=True)[1]


def _describe_like(data: Data, other: Data) -> None:
    """Give a data set the classes, kind, shape, type and names of another one."""
    for name in ("class_names", "label_values", "kind", "sample_shape", "dtype", "feature_names"):
        setattr(data, name, getattr(other, name))


def select_part(data: Data, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Select the values of a part from one value for each sample of the whole; return all for other data sets."""
    return values[data.rows] if isinstance(data, Part) and values.shape[:1] == (len(data.whole),) else values


def find_groups(data: Data, groups: Any) -> IntArray | None:
    """Return the group of each sample, int64 (n,), by the data set itself and by `groups`; None if there are none.

    `groups` is `"duplicates"`, which keeps exact copies together, an array (n,) or None.
    """
    if isinstance(groups, str):
        if groups != "duplicates":
            raise ArgumentError(f"groups must be 'duplicates', an array of n groups or None, got {groups!r}")
        return join_groups(data.groups, data.duplicate_groups())
    if groups is None:
        return data.groups
    refuse_other_order(getattr(data, "frame", None), groups, "groups")
    given = to_numpy(groups, "groups")
    if given.ndim == 1 and len(given) != len(data):
        raise ArgumentError(f"groups must have one entry for each of {len(data)} samples, got {len(given)}")
    return join_groups(data.groups, check_groups(given, len(data), "groups"))


def split_off(data: Data, share: float, *, seed: int, groups: Any = "duplicates") -> tuple[Part, Part]:
    """Split off a probe split, stratified by class, a function of (seed, id); return the rest and the probe split.

    The share is in (0, 0.5], and rounded to one part in 2..100. Groups stay on one side, see `find_groups`. Both parts
    have those of an array as their own, since intervals count groups of test samples.
    """
    if not is_number(share) or not 0 < share <= 0.5:
        raise ArgumentError(f"probe must be a share of the samples in (0, 0.5], got {share!r}")
    parts = min(round(1 / share), 100)
    if len(data) < parts:
        raise ArgumentError(
            f"a probe split of {share:g} needs {parts} samples or more, got {len(data)}; give a test set by test="
        )
    kept = find_groups(data, groups)
    fold = assign_folds(data.ids, data.labels, parts, groups=kept, seed=seeds.derive(seed, "probe"))
    rest, probe = Part(data, np.flatnonzero(fold != 0)), Part(data, np.flatnonzero(fold == 0))
    if kept is not None and groups is not None and not isinstance(groups, str):
        for part in (rest, probe):
            part.groups = kept[part.rows]
    return rest, probe


class Joined(Data):
    """The samples of `train`, then those of `test`, with the classes, or the bins of a target, of `train`.

    Row i of the test set becomes row len(train) + i. Sets that are unlike are refused: another kind or shape of input,
    a target in one of them only, or a class that the training set lacks.
    """

    def __init__(self, train: Data, test: Data) -> None:
        if train.feature_names is not None and test.feature_names is not None:
            _refuse_other_columns(train.feature_names, test.feature_names)
        for name in ("kind", "sample_shape", "dtype"):
            a, b = getattr(train, name), getattr(test, name)
            if a != b:
                why = _explain_kinds(train, test) if name == "kind" else ""
                raise DataError(f"the test set must be like the training set, but its {name} is {b}, not {a}{why}")
        if (train.targets is None) != (test.targets is None):
            one, other = ("labels", "a target") if train.targets is None else ("a target", "labels")
            raise DataError(f"the training set has {one}, so the test set must too, but it has {other}")
        self.train, self.test = train, test
        self.labels: IntArray = np.concatenate([train.labels, _labels_of(train, test)])
        self.targets = None if train.targets is None else np.concatenate([train.targets, _targets_of(test)])
        # Orders and folds depend on ids, but test samples are in none. So their ids, which only must not be in the
        # training set, do not change any number.
        if train.ids.dtype.kind in "iu":
            own: IdArray = int(train.ids.max()) + 1 + np.arange(len(test))
        else:
            own = np.array([f"test\x1f{i}" for i in test.ids.tolist()])
        self.ids: IdArray = np.concatenate([train.ids, own])
        _describe_like(self, train)
        self.groups = None
        if train.groups is not None:  # those of the test set are others, whatever their names
            self.groups = _with_singles(train.groups, len(test))
            if test.groups is not None:
                self.groups[len(train) :] = train.groups.max() + 1 + test.groups
        self.in_memory = train.in_memory and test.in_memory
        # A note of both sets appears once.
        self.notes = tuple(dict.fromkeys((*train.notes, *test.notes, *_note_unknown_columns(train, test))))

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    @property
    def test_rows(self) -> IntArray:
        """The rows of the test set, int64."""
        return np.arange(len(self.train), len(self))

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the inputs of these rows, in that order."""
        rows = np.asarray(rows)
        cut = len(self.train)
        outside = rows >= cut
        if not outside.any():
            return self.train.take(rows)
        if outside.all():
            return self.test.take(rows - cut)
        taken = np.empty((len(rows), *self.sample_shape), self.dtype)
        taken[~outside] = self.train.take(rows[~outside])
        taken[outside] = self.test.take(rows[outside] - cut)
        return taken

    def as_frame(self, rows: IntArray) -> Any:
        """Return these rows as a frame, if both sets were given as frames; all rows must be in one set."""
        train, test = self.train.as_frame, self.test.as_frame
        no_rows = np.empty(0, np.int64)
        if train(no_rows) is None or test(no_rows) is None:
            return None
        rows, cut = np.asarray(rows), len(self.train)
        outside = rows >= cut
        if outside.all():
            return test(rows - cut)
        if outside.any():
            raise ArgumentError(
                "rows of the training set and of the test set make no frame together; ask for them separately"
            )
        return train(rows)

    @property
    def held_bytes(self) -> int:
        """The bytes of both sets."""
        return self.train.held_bytes + self.test.held_bytes

    def check_unchanged(self) -> None:
        """Refuse changed files of either set."""
        self.train.check_unchanged()
        self.test.check_unchanged()

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Return the fingerprints of both sets."""
        return {"train": self.train.fingerprint(full=full), "test": self.test.fingerprint(full=full)}

    def duplicate_groups(self) -> IntArray | None:
        """Return groups of exact copies in the training set, int64 (n,); each test sample is a group of its own."""
        groups = self.train.duplicate_groups()
        return None if groups is None else _with_singles(groups, len(self.test))


def _refuse_other_columns(train: Sequence[str], test: Sequence[str]) -> None:
    if tuple(train) == tuple(test):
        return
    lacking, more = ([name for name in a if name not in b] for a, b in ((train, test), (test, train)))
    found = [f"{what} {some(names)}" for what, names in (("lacks", lacking), ("adds", more)) if names]
    raise DataError(
        f"the inputs of the test set must be those of the training set, {some(train, 20)}, in this order; "
        f"it {' and '.join(found) or f'has them as {some(test, 20)}'}"
    )


def _explain_kinds(train: Data, test: Data) -> str:
    """Say which columns make a table of one set, where those of the other are vectors; empty for other kinds."""
    if {train.kind, test.kind} != {"table", "vector"}:
        return ""
    table, where = (train, "training") if train.kind == "table" else (test, "test")
    columns = table.take(np.arange(len(table))).T
    names = table.feature_names or [f"column {at}" for at in range(len(columns))]
    gaps = [name for name, column in zip(names, columns, strict=True) if None in column.tolist()]
    texts = [name for name, column in zip(names, columns, strict=True) if any(isinstance(v, str) for v in column)]
    found = [f"entries are missing in {some(gaps)}: fill them, or drop their rows"] if gaps else []
    found += (
        [f"there is text in {some(texts)}: make numbers of it, or name other columns by features="] if texts else []
    )
    return f"; in the {where} set, {'; '.join(found)}" if found else ""


def _note_unknown_columns(train: Data, test: Data) -> list[str]:
    """Note test columns of a table that hold nothing known from training: empty, or with texts spelled otherwise."""
    if test.kind != "table":
        return []
    notes = []
    columns = zip(train.take(np.arange(len(train))).T, test.take(np.arange(len(test))).T, strict=True)
    for at, (known, asked) in enumerate(columns):
        column = f"column {at if train.feature_names is None else repr(train.feature_names[at])} of the test set"
        entries = [value for value in asked.tolist() if value is not None]
        if not entries:
            notes.append(f"{column} is empty")
        elif isinstance(entries[0], str) and not set(known.tolist()) & set(entries):
            notes.append(f"{column} has no text of the training set, but for example {entries[0]!r:.60}")
    return notes


def _with_singles(groups: IntArray, more: int) -> IntArray:
    return np.concatenate([groups, groups.max(initial=-1) + 1 + np.arange(more)])


def _labels_of(train: Data, test: Data) -> IntArray:
    """Convert the test labels to the class numbers of the training set."""
    names = train.class_names
    if train.targets is not None:
        highest = np.full(len(names), -np.inf)
        np.maximum.at(highest, train.labels, train.targets)
        return np.searchsorted(highest[:-1], _targets_of(test)).astype(np.int64)
    unknown = [name for name in test.class_names if name not in names]
    if unknown:
        raise DataError(f"the test set holds classes that the training set lacks: {some(map(repr, unknown))}")
    number = np.array([names.index(name) for name in test.class_names], dtype=np.int64)
    return number[test.labels]


def _targets_of(test: Data) -> FloatArray:
    assert test.targets is not None  # checked before
    return test.targets
