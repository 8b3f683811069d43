"""Checks and encodings of ids, labels, groups and regression targets.

Labels become class numbers 0..C-1. Regression targets are real numbers in place of labels; their bins are the classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unseen.core.arrays import (
    LARGEST,
    FloatArray,
    IdArray,
    IntArray,
    is_frame,
    is_tensor,
    of_tensor,
    refuse_sparse,
    unmasked,
)
from unseen.errors import ArgumentError, DataError, some, warn

OWN_LOOP = "unseen.Recorder scores any samples in your own training loop"
EXACT = 2.0**53  # from here on, float64 numbers may be rounded integers
_MANY = 100  # samples, among which a class of one is likely a typing error


@dataclass(frozen=True, eq=False)
class Labelling:
    """Checked ids, labels and groups of n samples; for targets, labels are the numbers of their bins.

    `values` holds the original label of each class, (C,) integers, booleans or text; None if labels were numbers of
    classes already, or are of a type that estimators do not accept.
    """

    ids: IdArray
    labels: IntArray
    class_names: tuple[str, ...]
    groups: IntArray | None = None
    notes: tuple[str, ...] = ()
    targets: FloatArray | None = None
    values: npt.NDArray[Any] | None = None

    def rows_of(self, ids: IdArray) -> IntArray:
        """Return the row of each of these ids, int64 (m,); -1 for an id that is not there."""
        place = {identity: row for row, identity in enumerate(self.ids.tolist())}
        return np.array([place.get(identity, -1) for identity in ids.tolist()], dtype=np.int64)

    def keep(self, rows: IntArray) -> Labelling:
        """Return these rows only, in that order; the classes do not change."""
        groups = None if self.groups is None else self.groups[rows]
        targets = None if self.targets is None else self.targets[rows]
        return replace(self, ids=self.ids[rows], labels=self.labels[rows], groups=groups, targets=targets)


def encode_labels(
    y: Any,
    target: Any = None,
    *,
    n: int | None = None,
    ids: Any = None,
    groups: Any = None,
    class_names: Sequence[str] | None = None,
    default_ids: IdArray | None = None,
    name: str | None = None,
) -> Labelling:
    """Check labels or targets, whichever is given, and encode them; of targets, number their bins as labels.

    Labels that are integers 0..C-1 are kept; others are numbered in sorted order, and their names are in `class_names`.
    A label -1 or -100 often means that there is no label; so it is refused, except in {-1, 1} and {-1, 0, 1}. `n` is
    the number of inputs, which must match. `name` is that of the labels or targets, for messages.

    >>> encode_labels(["cat", "ant", "cat"]).labels.tolist(), encode_labels(["cat", "ant", "cat"]).class_names
    ([1, 0, 1], ('ant', 'cat'))
    >>> labelled = encode_labels(None, [0.5, 2.0, 0.5, 8.0])
    >>> labelled.targets.tolist(), labelled.labels.tolist(), labelled.class_names
    ([0.5, 2.0, 0.5, 8.0], [0, 1, 0, 2], ('0.5', '2', '8'))
    """
    if (y is None) == (target is None):
        raise ArgumentError(
            f"give exactly one of y (labels) and target (numbers to regress on), got {'none' if y is None else 'both'}"
        )
    if target is not None and class_names is not None:
        raise ArgumentError("class_names are for labels, but a target was given; leave them out")
    name = name or ("y" if target is None else "target")
    raw = to_numpy(y if target is None else target, name)
    raw = check_labels(raw, name) if target is None else _numbers(raw, name)
    if n is not None and len(raw) != n:
        raise DataError(f"X and {name} must have one entry a sample, but X has {n} and {name} has {len(raw)}")
    if not len(raw):
        raise DataError("the data set is empty: it has no samples")
    values: npt.NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    if target is not None:
        codes, names = assign_bins(_varying(raw, name))
        notes = (
            f"{name} is regressed on; folds and budgets treat {len(names)} bins of it, of about equal size, "
            "like classes",
        )
    elif class_names is None:
        codes, values, names, notes = _encode(raw, name)
    else:
        if not isinstance(class_names, Iterable):
            raise DataError(f"class_names must be the names of the classes, got {class_names!r}")
        names = tuple(map(str, class_names))
        codes = _encode_as(raw, names, name)
        values = None if raw.dtype.kind in "ib" else np.array(names)
    if target is None and len(codes) >= _MANY:
        present, first, counts = np.unique(codes, return_index=True, return_counts=True)
        alone = [
            f"{names[code]!r} (row {row})" for code, row in zip(present[counts == 1], first[counts == 1], strict=True)
        ]
        notes += (f"classes of one sample: {some(alone)}; check whether the label is right",) * bool(alone)
    own_ids, own_groups = check_ids(ids, len(raw), default_ids), None
    if groups is not None:  # numbered
        own_groups = np.unique(check_groups(groups, len(raw), "groups"), return_inverse=True)[1].astype(np.int64)
    return Labelling(own_ids, codes, names, own_groups, notes, None if target is None else raw, values)


def refuse_other_order(first: Any, values: Any, name: str, of: str = "the frame") -> None:
    """Refuse a pandas object with the index of the first one in another order, since rows are paired by position."""
    if not (hasattr(first, "iloc") and hasattr(values, "iloc")):
        return
    own, other = first.index, values.index
    if len(own) != len(other) or own.equals(other):
        return
    if own.is_unique and other.is_unique and own.isin(other).all():
        raise DataError(
            f"{name} has the index of {of} in another order, but rows are paired by position; pass "
            f"{name}.loc[{of.removeprefix('the ')}.index], or {name}.to_numpy() if the positions are right"
        )


def to_numpy(value: Any, name: str = "X") -> npt.NDArray[Any]:
    """Convert an array, a torch tensor (on any device), a list or a data frame to a NumPy array; UTF-8 bytes to text.

    Sparse input, masked entries and anything that NumPy cannot read as one array are refused.
    """
    if is_tensor(value):
        return of_tensor(value, name)
    refuse_sparse(value, name)
    if isinstance(value, (list, tuple)) and any(isinstance(item, np.ma.MaskedArray) for item in value):
        value = [unmasked(item, f"{name}[{at}]") for at, item in enumerate(value)]
    try:
        array = np.asarray(unmasked(value, name))
        # In a list with text, NumPy converts everything to text, even NaN. And it rounds integers beyond int64.
        if isinstance(value, (list, tuple)) and (array.dtype.kind == "U" or _is_rounded(array, value)):
            array = np.array(value, dtype=object)
    except DataError:
        raise
    except ValueError as error:
        way = f"; {OWN_LOOP}" if name == "X" else ""
        why = str(error).rstrip(".")
        raise DataError(f"{name} has entries of several shapes, which make no array: {why}{way}") from error
    except (TypeError, RuntimeError, OverflowError) as error:
        raise DataError(f"{name} cannot be read as an array: {error}") from error
    of_pandas = hasattr(value, "dtypes") and hasattr(value, "isna") and getattr(value, "ndim", 1) == 2
    if array.dtype.kind == "O" and of_pandas:  # numbers in the types of pandas that know missing entries
        numbers = {getattr(kind, "kind", "O") for kind in value.dtypes} <= set("biuf")
        array = value.to_numpy(dtype=np.float64) if numbers and not value.isna().to_numpy().any() else array
    return array.astype(object) if array.dtype.kind == "T" else _as_text(array)


def _as_text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Decode bytes in UTF-8, which is how HDF5 gives text; return anything else as it is."""
    kind = array.dtype.kind
    if kind != "S" and not (kind == "O" and array.size and all(type(entry) is bytes for entry in array.flat)):
        return array
    try:
        return np.array([entry.decode() for entry in array.ravel().tolist()], dtype=object).reshape(array.shape)
    except UnicodeDecodeError:
        return array


def _is_rounded(array: npt.NDArray[Any], entries: Any) -> bool:
    """Tell whether NumPy may have rounded integers when it made an array of these entries."""
    if array.dtype.kind != "f" or array.ndim != 1 or not (np.abs(array) >= EXACT).any():
        return False
    return any(isinstance(entry, int) and abs(entry) >= EXACT for entry in entries)


def is_missing(value: Any) -> bool:
    """Tell whether an entry of an array of objects is missing: None, NA, NaN, NaT, or masked."""
    # pandas.NA cannot be compared, so it is recognised by the name of its type.
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # comparing an array gives several answers
        return False


def name_of(values: Any, otherwise: str) -> str:
    """Return the name of labels for messages: their column if they have one, else `otherwise`."""
    name = str(values.columns[0]) if is_frame(values) and hasattr(values, "iloc") else getattr(values, "name", None)
    return f"column {name!r}" if isinstance(name, str) and name else otherwise


def _in_code(name: str) -> str:
    """Return how code names what a message calls by this name.

    >>> _in_code("column 'paid'"), _in_code("y")
    ("frame['paid']", 'y')
    """
    column = name.removeprefix("column ")
    return name if column == name else f"frame[{column}]"


def check_labels(raw: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Check labels: one-dimensional, none missing; return whole numbers as int64, or as uint64 if they need it."""
    if raw.ndim != 1:
        code = _in_code(name)
        fix = f"{code}.ravel()" if raw.ndim == 2 and raw.shape[1] == 1 else f"{code}.argmax(axis=1) for one-hot labels"
        fix += "; several labels a sample are not taken" if raw.ndim == 2 and raw.shape[1] > 1 else ""
        fix = fix if raw.ndim else f"list({code}), if it is an iterable"
        raise DataError(f"{name} must have one label a sample, shape (n,), got shape {raw.shape}; try {fix}")
    if raw.dtype.kind in "cV":
        raise DataError(
            f"{name} must hold labels that can be sorted, got {raw.dtype}; make text of them: "
            f"{_in_code(name)}.astype(str)"
        )
    check_single(raw, name)
    _check_given(raw, name, f"drop these rows{_dropping(name)}")
    if raw.dtype.kind == "O":
        plain = np.array(raw.tolist())
        raw = plain if plain.dtype.kind in "iufb" and not _is_rounded(plain, raw) else raw
    if raw.dtype.kind == "f":
        raw = _whole(raw, name)
    if raw.dtype.kind == "u" and len(raw) and raw.max() > LARGEST:
        return raw.astype(np.uint64)
    return raw.astype(np.int64) if raw.dtype.kind in "iu" else raw


def check_single(raw: npt.NDArray[Any], name: str) -> None:
    """Refuse entries that are collections: lists, arrays, dictionaries."""
    if raw.dtype.kind != "O" or _are_plain(raw):
        return
    for row, entry in enumerate(raw):
        if hasattr(entry, "__len__") and not isinstance(entry, (str, bytes)) and getattr(entry, "ndim", None) != 0:
            raise DataError(
                f"{name} must have one entry a sample, but row {row} holds a {type(entry).__name__} of {len(entry)}; "
                "select one value of each, or give each as text"
            )


def _are_plain(raw: npt.NDArray[Any]) -> bool:
    """Tell whether all objects are text or integers, which need no slow check of each."""
    return set(map(type, raw)) <= {str, int, bool}


def _check_given(raw: npt.NDArray[Any], name: str, fix: str) -> None:
    """Refuse missing entries: NaN, NaT, and in arrays of objects None and NA."""
    missing = np.zeros(len(raw), bool)
    if raw.dtype.kind in "fmM":
        missing = raw != raw
    elif raw.dtype.kind == "O" and not _are_plain(raw):
        missing = np.array([is_missing(entry) for entry in raw], dtype=bool)
    if missing.any():
        raise DataError(
            f"{name} must be given for every sample, but it is missing in {count_rows(np.flatnonzero(missing))}; {fix}"
        )


def _whole(raw: npt.NDArray[Any], name: str) -> IntArray:
    """Convert real numbers to int64; refuse those that are not whole, or too large."""
    whole = raw.astype(np.promote_types(raw.dtype, np.float64))  # 2^63 is beyond float16
    beyond = np.flatnonzero((whole < -(2.0**63)) | (whole >= 2.0**63))
    if beyond.size:
        raise DataError(
            f"{name} must be within {-LARGEST - 1} .. {LARGEST} (int64), but row {beyond[0]} has {raw[beyond[0]]}; "
            f"make text of them: {_in_code(name)}.astype(str)"
        )
    broken = np.flatnonzero(raw != np.floor(raw))
    if broken.size:
        raise DataError(
            f"{name} must hold classes, but row {broken[0]} has {raw[broken[0]]}: real numbers are regression "
            "targets; give them as target= (a column, or values beside an array, as in unseen.prune(X, target=y)), or "
            "bin them into classes"
        )
    return raw.astype(np.int64)


def _encode(
    raw: npt.NDArray[Any], name: str
) -> tuple[IntArray, npt.NDArray[Any] | None, tuple[str, ...], tuple[str, ...]]:
    """Encode labels: return codes, the label of each class if estimators accept it, class names, and notes."""
    try:
        values, codes = np.unique(raw, return_inverse=True)
    except TypeError as error:
        raise DataError(f"{name} must hold labels of one type, so that they can be sorted: {error}") from error
    # `tolist` would convert dates in nanoseconds to integers.
    names = tuple(str(v) for v in (values if values.dtype in ("M8[ns]", "m8[ns]") else values.tolist()))
    if len(set(names)) < len(names):
        raise DataError(f"{name} holds different labels with equal text: {some(names)}; make them all text")
    _check_words(raw, values, name)
    own = np.array(values.tolist()) if raw.dtype.kind == "O" else values
    notes: tuple[str, ...] = ()
    if raw.dtype.kind in "iu":
        # A label -1 often means that there is none, but not in {-1, 1} and {-1, 0, 1}; so does torch's -100.
        lowest = int(values[0])
        if lowest in (-1, -100) and values[-1] != -lowest and (values[1:2] >= 0).all():
            outside = np.flatnonzero(raw == lowest)
            raise DataError(
                f"{name} must not be negative, but is {lowest} in {count_rows(outside)}; {lowest} often means no "
                f"label: drop these rows; if it is a class, make text of all labels: {_in_code(name)}.astype(str)"
            )
        if values[0] != 0 or values[-1] != len(values) - 1:
            notes = (f"labels {some(names)} are numbered 0..{len(names) - 1} in this order",)
        if values[0] == -1:
            notes += ("the label -1 is taken for a class; if it means 'no label', drop these rows",)
    return codes.astype(np.int64), own if own.dtype.kind in "biuU" else None, names, notes


_MISSING_AS_TEXT = frozenset({"nan", "NaN", "None", "NaT", "<NA>"})  # what `str` makes of them


def _check_words(raw: npt.NDArray[Any], values: npt.NDArray[Any], name: str) -> None:
    """Refuse labels of empty text, which are missing ones; warn of those that look missing, or look alike."""
    words: dict[str, list[str]] = {}
    for value in values.tolist():
        if isinstance(value, str):
            words.setdefault(normalize("NFKC", value).strip().casefold(), []).append(value)
    for empty in words.pop("", []):
        rows = np.flatnonzero(raw == empty)
        raise DataError(f"{name} must hold a label in every row, but is empty in {count_rows(rows)}; drop them")
    if alike := [" and ".join(map(repr, same)) for same in words.values() if len(same) > 1]:
        warn(
            f"labels {some(alike)} differ only in spaces, capitals or Unicode form, but are separate classes; if they "
            "are one, write them alike"
        )
    for missing in _MISSING_AS_TEXT.intersection(value for same in words.values() for value in same):
        rows = np.flatnonzero(raw == missing)
        warn(
            f"{name} has the class {missing!r}, in {count_rows(rows)}, which is how a missing label looks as text; "
            "drop these rows if their labels are missing"
        )


def count_rows(rows: npt.NDArray[Any]) -> str:
    """Say how many rows, and which.

    >>> count_rows(np.array([3])), count_rows(np.array([3, 5]))
    ('row 3', '2 rows: 3, 5')
    """
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows):,} rows: {some(rows)}"


def _encode_as(raw: npt.NDArray[Any], names: tuple[str, ...], name: str) -> IntArray:
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
        row = int(outside[0])
        value = raw[row : row + 1].tolist()[0]
        raise DataError(f"{name} must be in {rule}, but {len(outside):,} rows are not: row {row} has {value!r}")
    return codes


def check_ids(ids: Any, n: int, default: IdArray | None) -> IdArray:
    """Check ids (n,); if none are given, return the default, or 0..n-1."""
    if ids is None:
        return np.arange(n) if default is None else default
    array = to_numpy(ids, "ids")
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"ids must have one entry for each of the {n} samples, got shape {array.shape}")
    if array.dtype.kind == "O":
        check_single(array, "ids")
        _check_given(array, "ids", "give each of these samples one")
        _check_range(array, [row for row, entry in enumerate(array) if isinstance(entry, int) and entry > LARGEST])
        if len({isinstance(entry, str) for entry in array}) > 1:
            raise DataError("ids must be all integers or all text, but they are mixed; ids.astype(str) is all text")
        _check_text(array)
        array = np.array(array.tolist())
    if array.dtype.kind == "b":
        raise DataError("ids must be integers or text, got a boolean mask; np.flatnonzero(mask) gives its rows")
    if array.dtype.kind not in "iuU":
        raise DataError(f"ids must be integers or text, got {array.dtype}; make text of them: ids.astype(str)")
    if array.dtype.kind == "U":
        _check_text(array)
    else:
        _check_range(array, np.flatnonzero(array > LARGEST).tolist())
        array = array.astype(np.int64)
    values, counts = np.unique(array, return_counts=True)
    if len(values) < n:
        raise DataError(f"ids must be unique, but these occur more than once: {some(values[counts > 1].tolist())}")
    return array


def _check_text(ids: npt.NDArray[Any]) -> None:
    """Refuse text that cannot be stored: NumPy drops null characters at the end, and surrogates are not UTF-8."""
    for row, entry in enumerate(ids.tolist()):
        if isinstance(entry, str) and not entry.isascii() and any("\ud800" <= sign <= "\udfff" for sign in entry):
            raise DataError(f"ids must be text of UTF-8, but row {row} has {entry!r}; give it another")
        if isinstance(entry, str) and entry.endswith("\0"):
            raise DataError(f"ids must not end in a null character, but row {row} has {entry!r}; give it another")


def _check_range(ids: npt.NDArray[Any], beyond: list[int]) -> None:
    if beyond:
        raise DataError(
            f"ids must be at most {LARGEST} (int64), but row {beyond[0]} has {ids[beyond[0]]}; text made of them will "
            "do: ids.astype(str)"
        )


def check_groups(groups: Any, n: int, name: str) -> npt.NDArray[Any]:
    """Check groups (n,): none missing, all comparable; return their values as they are."""
    array = to_numpy(groups, name)
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"{name} must have one entry for each of the {n} samples, got shape {array.shape}")
    check_single(array, name)
    _check_given(array, name, "give each of these samples its own")
    if array.dtype.kind == "O":
        try:
            np.unique(array)
        except TypeError as error:
            raise DataError(f"{name} must be of one type, so that they can be compared: {error}") from error
    return array


BINS = 10
LARGEST_TARGET = 1e150  # so that squared residuals, and their sums, are finite


def assign_bins(targets: FloatArray) -> tuple[IntArray, tuple[str, ...]]:
    """Assign each target to a bin, int64 (n,), and name the bins, ascending.

    The bin of a value depends on its mean place in the order. So equal values share a bin, and the bins, up to 10, have
    about equal counts. Targets that are not all the same have at least 2 bins.

    >>> codes, names = assign_bins(np.arange(100.0))
    >>> np.bincount(codes).tolist(), names[:2]
    ([10, 10, 10, 10, 10, 10, 10, 10, 10, 10], ('0 .. 9', '10 .. 19'))
    """
    values, of, counts = np.unique(targets, return_inverse=True, return_counts=True)
    place = (np.cumsum(counts) - counts / 2) / len(targets)
    _, code = np.unique((BINS * place).astype(np.int64), return_inverse=True)
    first = np.flatnonzero(np.diff(code, prepend=-1))
    last = np.append(first[1:], len(values)) - 1
    names: list[str] = []
    for digits in (4, 8, 17):  # as few as distinguish the bins
        ends = [[f"{value:.{digits}g}" for value in values[at]] for at in (first, last)]
        names = [low if low == high else f"{low} .. {high}" for low, high in zip(*ends, strict=True)]
        if len(set(names)) == len(names):
            break
    return code[of].astype(np.int64), tuple(names)


def _numbers(raw: npt.NDArray[Any], name: str) -> FloatArray:
    """Check targets, and convert them to float64."""
    if raw.ndim != 1:
        fix = f"{name}.ravel()" if raw.ndim == 2 and raw.shape[1] == 1 else f"one column of it, as in {name}[:, 0]"
        raise DataError(f"{name} must have one number a sample, shape (n,), got shape {raw.shape}; try {fix}")
    check_single(raw, name)
    entries: Any = raw
    if raw.dtype.kind == "O":
        entries = [np.nan if is_missing(v) else float(v) if isinstance(v, Decimal) else v for v in raw]
        raw = np.array(entries)
    if raw.dtype.kind == "b":
        raise DataError(f"{name} must hold numbers, but holds True and False: use them as labels, or write 0 and 1")
    if raw.dtype.kind not in "iuf":
        numbers = (int, float, np.integer, np.floating)
        row = next(at for at, value in enumerate(entries) if not isinstance(value, numbers))
        raise DataError(
            f"{name} must hold numbers, but row {row} has {str(entries[row])!r}; pandas.to_numeric makes numbers of "
            "text like '12.5', and classes are labels, not targets"
        )
    targets = raw.astype(np.float64)
    missing, infinite = np.flatnonzero(np.isnan(targets)), np.flatnonzero(np.isinf(targets))
    if missing.size:
        raise DataError(
            f"{name} must be given for every sample, but it is missing or NaN in {count_rows(missing)}; drop these "
            f"rows{_dropping(name)}"
        )
    if infinite.size:  # which `dropna` keeps
        raise DataError(f"{name} must be finite, but it is infinite in {count_rows(infinite)}; drop these rows")
    return targets


def _dropping(name: str) -> str:
    """Return the command that drops the rows without an entry of this column; nothing for an array."""
    column = name.removeprefix("column ")
    return "" if column == name else f", as by frame.dropna(subset=[{column}])"


def _varying(targets: FloatArray, name: str) -> FloatArray:
    """Refuse targets that are all the same, or of a size whose squares are no numbers."""
    if targets.min() == targets.max():
        raise DataError(f"{name} must not be constant, but every sample has {targets[0]:g}: there is nothing to learn")
    largest = float(np.abs(targets).max())
    if largest > LARGEST_TARGET or targets.std() < 1 / LARGEST_TARGET:
        raise DataError(
            f"{name} must be of a size whose squares are numbers, but its largest entry is {largest:.3g}; give it in "
            "another unit"
        )
    return targets


def join_groups(*groupings: IntArray | None) -> IntArray | None:
    """Join groupings: samples in one group of any of them are in one group, int64 (n,); None if none is given.

    >>> join_groups(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
    [0, 0, 0, 1]
    """
    given = [np.unique(np.asarray(g), return_inverse=True)[1] for g in groupings if g is not None]
    if len(given) < 2:
        return given[0] if given else None
    n = len(given[0])
    offset, edges = n, []
    for grouping in given:
        edges.append(grouping + offset)
        offset += int(grouping.max()) + 1
    # SciPy 1.11 finds no components where indices are int64, and does not raise.
    rows, columns = np.tile(np.arange(n, dtype=np.int32), len(given)), np.concatenate(edges, dtype=np.int32)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(offset, offset))
    component = connected_components(graph, directed=False)[1][:n]
    return np.unique(component, return_inverse=True)[1]
