"""A part of a data set as a data set: a split set aside, and what remains.

A training set and a test set as one data set, so that a test is a fit like any other: trained here, asked there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IdArray, IntArray
from unseen.core.fold_assignment import assign_folds
from unseen.core.protocols import Data
from unseen.data.content import digest
from unseen.errors import ArgumentError, DataError, some

__all__ = ["Joined", "Part", "restricted", "split_off"]


class Part(Data):
    """These rows of a data set, with their ids; row i here is row `rows[i]` there.

    Args:
        whole: the data set.
        rows: int64 (m,).

    """

    def __init__(self, whole: Data, rows: IntArray) -> None:
        self.whole = whole
        self.rows = np.asarray(rows, dtype=np.int64)
        self.ids = whole.ids[self.rows]
        self.labels = whole.labels[self.rows]
        self.class_names = whole.class_names
        self.label_values = whole.label_values
        self.kind: Literal["image", "vector", "table", "text"] = whole.kind
        self.sample_shape = whole.sample_shape
        self.dtype: np.dtype[Any] = whole.dtype
        self.groups = None if whole.groups is None else whole.groups[self.rows]
        self.targets = None if whole.targets is None else whole.targets[self.rows]
        self.in_memory, self.notes, self.feature_names = whole.in_memory, whole.notes, whole.feature_names

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """The inputs of these rows of the part, in that order."""
        return self.whole.take(self.rows[np.asarray(rows)])

    def as_frame(self, rows: IntArray) -> Any:
        """Likewise, as the frame that the whole was made of; None where it was none."""
        return self.whole.as_frame(self.rows[np.asarray(rows)])

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Likewise, as the whole keeps them; see `Data.take`."""
        return self.whole.as_kept(self.rows[np.asarray(rows)])

    @property
    def held_bytes(self) -> int:
        """Count those of the whole, which stay as long as the part does."""
        return self.whole.held_bytes

    def check_unchanged(self) -> None:
        """That of the whole."""
        self.whole.check_unchanged()

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """That of the whole, and a digest of the rows."""
        return {"whole": self.whole.fingerprint(full=full), "rows": digest(self.rows)}

    def duplicate_groups(self) -> IntArray | None:
        """int64 (m,) group of each sample, exact copies sharing one."""
        groups = self.whole.duplicate_groups()
        return None if groups is None else np.unique(groups[self.rows], return_inverse=True)[1]


def restricted(data: Data, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of one value for each sample of the whole, those of a part; of a data set that is no part, all."""
    return values[data.rows] if isinstance(data, Part) and len(values) == len(data.whole) else values


def split_off(data: Data, share: float, *, seed: int, groups: IntArray | None = None) -> tuple[Part, Part]:
    """The data set less a probe split, and the probe split: stratified by class, a function of (seed, id).

    Copies of a sample, and groups, stay on one side.

    Args:
        data: what to split.
        share: of the samples that go to the probe split, in (0, 0.5]; rounded to one part in 2..100.
        seed: the root seed.
        groups: int64 (n,) samples that stay together; exact copies if not given.

    """
    if not 0 < share <= 0.5:
        raise ArgumentError(f"probe must be a share of the samples in (0, 0.5], got {share!r}")
    parts = min(round(1 / share), 100)
    bound = data.duplicate_groups() if groups is None else groups
    fold = assign_folds(data.ids, data.labels, parts, groups=bound, seed=seeds.derive(seed, "probe"))
    return Part(data, np.flatnonzero(fold != 0)), Part(data, np.flatnonzero(fold == 0))


class Joined(Data):
    """The samples of `train`, then those of `test`; the classes, or the bins of a target, are those of `train`.

    Args:
        train: its rows keep their numbers.
        test: its row i is row len(train) + i here.

    Raises:
        DataError: another kind or shape of input, a target in one of them only, or a class that the training set
            lacks.
    """

    def __init__(self, train: Data, test: Data) -> None:
        for name in ("kind", "sample_shape", "dtype"):
            a, b = getattr(train, name), getattr(test, name)
            if a != b:
                raise DataError(f"the test set must be like the training set, but its {name} is {b}, not {a}")
        _check_columns(train, test)
        _check_answers(train, test)
        self.train, self.test = train, test
        self.labels: IntArray = np.concatenate([train.labels, _labels_of(train, test)])
        self.targets = None if train.targets is None else np.concatenate([train.targets, _targets_of(test)])
        self.ids: IdArray = np.concatenate([train.ids, _ids_of(test, train.ids)])
        self.class_names = train.class_names
        self.label_values, self.feature_names = train.label_values, train.feature_names
        self.kind: Literal["image", "vector", "table", "text"] = train.kind
        self.sample_shape = train.sample_shape
        self.dtype: np.dtype[Any] = train.dtype
        self.groups = None if train.groups is None else _with_singles(train.groups, len(test))
        self.in_memory = train.in_memory and test.in_memory
        # What holds for both is said once.
        self.notes = tuple(dict.fromkeys((*train.notes, *test.notes)))

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    @property
    def test_rows(self) -> IntArray:
        """int64 rows of the test set."""
        return np.arange(len(self.train), len(self))

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """The inputs of these rows, in that order."""
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
        """These rows as a frame, where both parts were made of one, and all rows are of one part; else None."""
        train, test = self.train.as_frame, self.test.as_frame
        nobody = np.empty(0, np.int64)
        if train(nobody) is None or test(nobody) is None:
            return None
        rows, cut = np.asarray(rows), len(self.train)
        outside = rows >= cut
        if outside.all():
            return test(rows - cut)
        if outside.any():
            raise ArgumentError("rows of the training set and of the test set make no frame together; ask for each")
        return train(rows)

    @property
    def held_bytes(self) -> int:
        """Add up those of both parts."""
        return self.train.held_bytes + self.test.held_bytes

    def check_unchanged(self) -> None:
        """Those of both parts."""
        self.train.check_unchanged()
        self.test.check_unchanged()

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Those of both parts."""
        return {"train": self.train.fingerprint(full=full), "test": self.test.fingerprint(full=full)}

    def duplicate_groups(self) -> IntArray | None:
        """int64 (n,) exact copies within the training set; no test sample is bound to one."""
        groups = self.train.duplicate_groups()
        return None if groups is None else _with_singles(groups, len(self.test))


def _with_singles(groups: IntArray, more: int) -> IntArray:
    return np.concatenate([groups, groups.max(initial=-1) + 1 + np.arange(more)])


def _labels_of(train: Data, test: Data) -> IntArray:
    """The test labels in the numbering of the training set."""
    names = train.class_names
    if train.targets is not None:
        highest = np.full(len(names), -np.inf)
        np.maximum.at(highest, train.labels, train.targets)
        return np.searchsorted(highest[:-1], _targets_of(test)).astype(np.int64)
    unknown = [name for name in test.class_names if name not in names]
    if unknown:
        raise DataError(f"the test set holds classes that the training set lacks: {some(unknown)}")
    number = np.array([names.index(name) for name in test.class_names], dtype=np.int64)
    return number[test.labels]


def _targets_of(test: Data) -> FloatArray:
    assert test.targets is not None  # see _check_answers
    return test.targets


def _ids_of(test: Data, taken: IdArray) -> IdArray:
    """Ids that the training set does not have: orders and folds depend on ids, and test samples are in none."""
    if taken.dtype.kind in "iu":
        return int(taken.max()) + 1 + np.arange(len(test))
    return np.array([f"test\x1f{i}" for i in test.ids.tolist()])


def _check_answers(train: Data, test: Data) -> None:
    if (train.targets is None) != (test.targets is None):
        one, other = ("labels", "a target") if train.targets is None else ("a target", "labels")
        raise DataError(f"the training set has {one}, so the test set must too, but it has {other}")


def _check_columns(train: Data, test: Data) -> None:
    a, b = train.feature_names, test.feature_names
    if a is not None and b is not None and a != b:
        odd = sorted(set(a) ^ set(b)) or list(b)
        raise DataError(f"the test set must have the columns of the training set, in the same order: {some(odd)}")
