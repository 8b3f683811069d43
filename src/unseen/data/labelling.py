"""Ids, labels and groups: what people bring, checked and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.errors import DataError, some
from unseen.types import FloatArray, IdArray, IntArray

__all__ = ["Labelling", "groups_of", "ids_of", "labelling", "labels_in", "to_numpy"]


@dataclass(frozen=True, eq=False)
class Labelling:
    """Ids, labels and groups of n samples, checked; of targets, the labels are their bins (`unseen.data.targeting`)."""

    ids: IdArray
    labels: IntArray
    class_names: tuple[str, ...]
    groups: IntArray | None = None
    notes: tuple[str, ...] = ()
    targets: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, rows: IntArray) -> Labelling:
        """Those rows only, in that order. The classes stay."""
        groups = None if self.groups is None else self.groups[rows]
        targets = None if self.targets is None else self.targets[rows]
        return replace(self, ids=self.ids[rows], labels=self.labels[rows], groups=groups, targets=targets)


def labelling(
    y: Any,
    *,
    n: int | None = None,
    ids: Any = None,
    groups: Any = None,
    class_names: Sequence[str] | None = None,
    default_ids: IdArray | None = None,
    name: str = "y",
) -> Labelling:
    """Check and encode. Labels become int64 0..C-1; `n` is the number of inputs that they must match.

    Integers 0..C-1 are kept; other labels are numbered in sorted order, and their names are in `class_names`.

    >>> labelling(["cat", "ant", "cat"]).labels.tolist(), labelling(["cat", "ant", "cat"]).class_names
    ([1, 0, 1], ('ant', 'cat'))

    Raises:
        DataError: missing or continuous labels, labels outside the classes, counts that differ, ids that occur twice.

    """
    raw = labels_in(to_numpy(y), name)
    if n is not None and len(raw) != n:
        raise DataError(f"X and {name} must have one entry a sample, but X has {n} and {name} has {len(raw)}")
    if not len(raw):
        raise DataError("the data set is empty: it has no samples")
    if class_names is None:
        codes, names, notes = _encode(raw, name)
    else:
        codes, names, notes = *_encode_as(raw, tuple(map(str, class_names)), name), ()
    return Labelling(
        ids=ids_of(ids, len(raw), default_ids),
        labels=codes,
        class_names=names,
        groups=groups_of(groups, len(raw)),
        notes=notes,
    )


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """A NumPy view of an array, a torch tensor (of any device), a list or a data frame."""
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        tensor = value.detach().cpu()
        if tensor.dtype.is_floating_point and tensor.element_size() < 4:
            tensor = tensor.float()  # NumPy has no bfloat16
        array: npt.NDArray[Any] = tensor.numpy()
        return array
    if hasattr(value, "tocsr"):
        raise DataError("X is a sparse matrix, which has no place here; X.toarray() makes it dense")
    try:
        array = np.asarray(value)
        # NumPy makes text of everything beside text in a list: of NaN, too.
        return np.array(value, dtype=object) if isinstance(value, (list, tuple)) and array.dtype.kind == "U" else array
    except ValueError as error:
        raise DataError(f"the samples have several shapes and do not make one array: {error}") from error


def labels_in(raw: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """One-dimensional labels without missing ones; whole numbers as int64."""
    if raw.ndim != 1:
        fix = f"{name}.ravel()" if raw.ndim == 2 and raw.shape[1] == 1 else f"{name}.argmax(axis=1) for one-hot labels"
        raise DataError(f"{name} must have one label a sample, shape (n,), got shape {raw.shape}; try {fix}")
    missing = np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(len(raw), bool)
    if raw.dtype.kind == "O":
        missing = np.array([v is None or bool(v != v) for v in raw], dtype=bool)
        plain = np.array(raw[~missing].tolist())
        raw = plain if plain.dtype.kind in "iufb" and not missing.any() else raw
    if missing.any():
        raise DataError(
            f"{name} must be given for every sample, but it is missing in {missing.sum():,} rows: "
            f"{some(np.flatnonzero(missing))}; drop these rows"
        )
    if raw.dtype.kind == "f":
        broken = np.flatnonzero(raw != np.floor(raw))
        if broken.size:
            raise DataError(
                f"{name} must hold classes, but row {broken[0]} has {raw[broken[0]]}: real numbers are regression "
                f"targets; give them as target= (see unseen.data.from_arrays), or bin them into classes"
            )
        raw = raw.astype(np.int64)
    return raw.astype(np.int64) if raw.dtype.kind in "iu" else raw


def _encode(raw: npt.NDArray[Any], name: str) -> tuple[IntArray, tuple[str, ...], tuple[str, ...]]:
    try:
        values, codes = np.unique(raw, return_inverse=True)
    except TypeError as error:
        raise DataError(f"{name} must hold labels of one type, so that they can be sorted: {error}") from error
    names = tuple(str(v) for v in values.tolist())
    if len(set(names)) < len(names):
        raise DataError(f"{name} holds different labels that read alike: {some(names)}; make them all text")
    if raw.dtype.kind == "i":
        if values[0] < 0 and values.tolist() != [-1, 1]:
            outside = np.flatnonzero(raw < 0)
            raise DataError(
                f"{name} must not be negative, but {len(outside):,} rows are: row {outside[0]} has {raw[outside[0]]}; "
                f"-1 often means no label: drop these rows"
            )
        if values[-1] != len(values) - 1:
            return codes, names, (f"labels {some(names)} are numbered 0..{len(names) - 1} in this order",)
    return codes.astype(np.int64), names, ()


def _encode_as(raw: npt.NDArray[Any], names: tuple[str, ...], name: str) -> tuple[IntArray, tuple[str, ...]]:
    if len(set(names)) < len(names):
        raise DataError(f"class_names must be unique, got {some(names)}")
    if raw.dtype.kind in "ib":
        codes = raw.astype(np.int64)
        rule = f"0..{len(names) - 1}, as class_names has {len(names)} entries"
    else:
        number = {entry: code for code, entry in enumerate(names)}
        codes = np.array([number.get(str(v), -1) for v in raw.tolist()], dtype=np.int64)
        rule = f"one of class_names ({some(names)})"
    outside = np.flatnonzero((codes < 0) | (codes >= len(names)))
    if outside.size:
        row = outside[0]
        raise DataError(f"{name} must be in {rule}, but {len(outside):,} rows are not: row {row} has {raw[row]!r}")
    return codes, names


def ids_of(ids: Any, n: int, default: IdArray | None) -> IdArray:
    """The ids (n,), checked; without any the default, or 0..n-1."""
    if ids is None:
        return np.arange(n) if default is None else default
    array = to_numpy(ids)
    if array.dtype.kind == "O":
        array = np.array(array.tolist())
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"ids must have one entry for each of the {n} samples, got shape {array.shape}")
    if array.dtype.kind not in "iuU":
        raise DataError(f"ids must be integers or text, got {array.dtype}; text made of them will do: ids.astype(str)")
    if array.dtype.kind in "iu":
        array = array.astype(np.int64)
    values, counts = np.unique(array, return_counts=True)
    if len(values) < n:
        raise DataError(f"ids must be unique, but these occur more than once: {some(values[counts > 1].tolist())}")
    return array


def groups_of(groups: Any, n: int) -> IntArray | None:
    """int64 (n,) groups, checked, if there are any."""
    if groups is None:
        return None
    array = to_numpy(groups)
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"groups must have one entry for each of the {n} samples, got shape {array.shape}")
    if array.dtype.kind == "O" and any(v is None or v != v for v in array):
        raise DataError("groups must be given for every sample, but some are missing; give each such sample its own")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)
