"""What arrays are called, and two checks of arrays from outside: nothing hidden by a mask, nothing lost in a cast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError, DataError, some

__all__ = ["Array", "Arrays", "FloatArray", "IdArray", "IntArray", "as_rows", "unmasked"]

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IdArray: TypeAlias = npt.NDArray[Any]  # int64 or text, unique
Array: TypeAlias = Any  # a NumPy array or a torch tensor
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]

LARGEST = np.iinfo(np.int64).max


def unmasked(value: Any, name: str) -> Any:
    """The value itself; of a masked array that hides nothing, its data.

    Raises:
        DataError: a masked array that hides entries, which NumPy would read as if nothing were hidden.

    >>> unmasked(np.ma.array([1, 2], mask=[False, True]), "y")
    Traceback (most recent call last):
    unseen.errors.DataError: y is a masked array that hides entries of rows 1; drop these rows, or fill them: y.filled(0)
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value
    mask = np.atleast_1d(np.ma.getmaskarray(value))
    hidden = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
    if hidden.size:
        raise DataError(
            f"{name} is a masked array that hides entries of rows {some(hidden)}; drop these rows, or fill them: "
            f"{name}.filled(0)"
        )
    return value.data


def as_rows(value: Any, name: str) -> IntArray:
    """int64 rows of a data set, from whole numbers of any type.

    Raises:
        ArgumentError: a boolean mask, fractions, text, or numbers beyond int64.

    >>> as_rows([True, False], "train")
    Traceback (most recent call last):
    unseen.errors.ArgumentError: train must hold rows, got a boolean mask; np.flatnonzero(mask) gives its rows
    """
    rows = np.asarray(unmasked(value, name))
    if rows.dtype == np.int64:
        return rows
    if rows.dtype.kind == "b":
        raise ArgumentError(f"{name} must hold rows, got a boolean mask; np.flatnonzero(mask) gives its rows")
    if rows.dtype.kind not in "iuf":
        raise ArgumentError(f"{name} must hold rows, which are whole numbers, got {rows.dtype}")
    wrong = ~(np.abs(rows) < 2.0**53) | (rows != np.floor(rows)) if rows.dtype.kind == "f" else rows > LARGEST
    if wrong.any():
        raise ArgumentError(f"{name} must hold rows, which are whole numbers, got {rows[wrong].flat[0]}")
    return rows.astype(np.int64)
