"""Regression targets: real numbers in the place of labels, and the bins that stand for classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.data.labelling import Labelling, check_single, groups_of, ids_of, is_missing, labelling, to_numpy
from unseen.errors import ArgumentError, DataError, some
from unseen.types import FloatArray, IdArray, IntArray

__all__ = ["bins_of", "labelled_or_targeted", "targeting"]

BINS = 10
LARGEST = 1e150  # so that squared residuals, and their sums, are numbers


def targeting(
    values: Any,
    *,
    n: int | None = None,
    ids: Any = None,
    groups: Any = None,
    default_ids: IdArray | None = None,
    name: str = "target",
) -> Labelling:
    """Check targets (n,), and number their bins as labels; the other arguments are those of `labelling`.

    >>> found = targeting([0.5, 2.0, 0.5, 8.0])
    >>> found.targets.tolist(), found.labels.tolist(), found.class_names
    ([0.5, 2.0, 0.5, 8.0], [0, 1, 0, 2], ('0.5', '2', '8'))

    Raises:
        DataError: targets that are missing, infinite, no numbers, or all the same; counts that differ; ids that occur
            twice.

    """
    targets = _numbers(to_numpy(values, name), name)
    if n is not None and len(targets) != n:
        raise DataError(f"X and {name} must have one entry a sample, but X has {n} and {name} has {len(targets)}")
    if not len(targets):
        raise DataError("the data set is empty: it has no samples")
    _check_size(targets, name)
    codes, names = bins_of(targets)
    note = (
        f"{name} is regressed on; its {len(names)} bins, of about equal counts, stand for classes where folds "
        "are stratified and budgets shared"
    )
    return Labelling(
        ids_of(ids, len(targets), default_ids), codes, names, groups_of(groups, len(targets)), (note,), targets
    )


def labelled_or_targeted(
    y: Any, target: Any, class_names: Sequence[str] | None, *, names: tuple[str, str] = ("y", "target"), **about: Any
) -> Labelling:
    """Of labels or of targets, whichever is given.

    Args:
        y: (n,) labels, or None.
        target: (n,) targets, or None.
        class_names: of labels only.
        names: what people call the two.
        **about: n, ids, groups and default_ids, as `labelling` takes them.

    Raises:
        ArgumentError: both, or neither; class names of targets.

    """
    if (y is None) == (target is None):
        raise ArgumentError(
            f"give exactly one of y (labels) and target (numbers to regress on), got {'none' if y is None else 'both'}"
        )
    if target is None:
        return labelling(y, class_names=class_names, name=names[0], **about)
    if class_names is not None:
        raise ArgumentError("class_names are for labels, but a target was given; leave them out")
    return targeting(target, name=names[1], **about)


def bins_of(targets: FloatArray) -> tuple[IntArray, tuple[str, ...]]:
    """The bin of each target, int64 (n,), and the names of the bins, ascending.

    A value goes by its place in the order, halfway through its copies: equal values share a bin, and up to 10 bins
    are of about equal counts. Targets that are not all the same have at least 2.

    >>> codes, names = bins_of(np.arange(100.0))
    >>> np.bincount(codes).tolist(), names[:2]
    ([10, 10, 10, 10, 10, 10, 10, 10, 10, 10], ('0 .. 9', '10 .. 19'))

    """
    values, of, counts = np.unique(targets, return_inverse=True, return_counts=True)
    place = (np.cumsum(counts) - counts / 2) / len(targets)
    _, code = np.unique((BINS * place).astype(np.int64), return_inverse=True)
    first = np.flatnonzero(np.diff(code, prepend=-1))
    last = np.append(first[1:], len(values)) - 1
    return code[of].astype(np.int64), _names(values[first], values[last])


def _names(lows: FloatArray, highs: FloatArray) -> tuple[str, ...]:
    """Names such as `1.5 .. 3.2`, in as few digits as tell the bins apart."""
    names: list[str] = []
    for digits in (4, 8, 17):
        ends = [(f"{low:.{digits}g}", f"{high:.{digits}g}") for low, high in zip(lows, highs, strict=True)]
        names = [low if low == high else f"{low} .. {high}" for low, high in ends]
        if len(set(names)) == len(names):
            break
    return tuple(names)


def _numbers(raw: npt.NDArray[Any], name: str) -> FloatArray:
    if raw.ndim != 1:
        fix = f"{name}.ravel()" if raw.ndim == 2 and raw.shape[1] == 1 else f"one column of it, as in {name}[:, 0]"
        raise DataError(f"{name} must have one number a sample, shape (n,), got shape {raw.shape}; try {fix}")
    check_single(raw, name)
    if raw.dtype.kind == "O":
        raw = np.array([np.nan if is_missing(v) else v for v in raw])
    if raw.dtype.kind not in "iuf":
        raise DataError(f"{name} must hold numbers, got {raw.dtype}; classes are labels, not targets")
    targets = raw.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(targets))
    if wrong.size:
        raise DataError(
            f"{name} must be given and finite for every sample, but it is missing, NaN or infinite in {len(wrong):,} "
            f"rows: {some(wrong)}; drop these rows"
        )
    return targets


def _check_size(targets: FloatArray, name: str) -> None:
    if targets.min() == targets.max():
        raise DataError(f"{name} must not be constant, but every sample has {targets[0]:g}: there is nothing to learn")
    largest = float(np.abs(targets).max())
    if largest > LARGEST or targets.std() < 1 / LARGEST:
        raise DataError(
            f"{name} must be of a size whose squares are numbers, but its largest entry is {largest:.3g}; give it in "
            "another unit"
        )
