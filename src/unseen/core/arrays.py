"""Array types, conversions of users' arrays that refuse masked entries and lossy casts, and names of packed arrays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from unseen.errors import ArgumentError, DataError, some

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IdArray: TypeAlias = npt.NDArray[Any]  # int64 or text, unique
Array: TypeAlias = Any  # a NumPy array or a torch tensor
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]  # by name, to read
Named: TypeAlias = dict[str, npt.NDArray[Any]]  # by name, as a file or a checkpoint holds them

LARGEST = np.iinfo(np.int64).max


def refuse_sparse(value: Any, name: str = "X") -> None:
    """Refuse a sparse matrix of SciPy; the message says how large it is when dense."""
    if hasattr(value, "tocsr"):
        size = np.prod(value.shape, dtype=float) * value.dtype.itemsize
        raise DataError(
            f"{name} is a sparse matrix, which is not supported; {name}.toarray() makes it dense, in {size / 1e9:.2g} "
            f"GB, and sklearn.decomposition.TruncatedSVD(256).fit_transform({name}) makes fewer columns of it"
        )


def unmasked(value: Any, name: str) -> Any:
    """Return the data of a masked array, any other value as it is; refuse masked entries, which NumPy would read.

    >>> unmasked(np.ma.array([1, 2], mask=[False, True]), "y")
    Traceback (most recent call last):
    unseen.errors.DataError: y is a masked array that hides entries of rows 1; drop these rows, or fill: y.filled(0)
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value
    mask = np.atleast_1d(np.ma.getmaskarray(value))
    hidden = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
    if hidden.size:
        raise DataError(
            f"{name} is a masked array that hides entries of rows {some(hidden)}; drop these rows, or fill: "
            f"{name}.filled(0)"
        )
    return value.data


def is_tensor(value: object) -> bool:
    """Tell whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_frame(source: Any) -> bool:
    """Tell whether a source is a pandas or polars frame, or an Arrow table: named columns in memory."""
    if isinstance(source, type):
        return False
    if isinstance(source, (pa.Table, pa.RecordBatch)):
        return True
    return (hasattr(source, "iloc") or hasattr(source, "__arrow_c_stream__")) and hasattr(source, "columns")


def dense(tensor: Any, name: str) -> Any:
    """Detach a tensor from the gradient tape; refuse a sparse tensor, which few operations support."""
    if "strided" not in str(tensor.layout):
        raise DataError(f"{name} is a sparse tensor, which is not supported; {name}.to_dense() makes it dense")
    return tensor.detach()


def of_tensor(tensor: Any, name: str) -> npt.NDArray[Any]:
    """Convert a torch tensor on any device to a NumPy array; half-precision types become float32."""
    tensor = dense(tensor, name)
    try:
        tensor = tensor.cpu()
        if tensor.dtype.is_floating_point and tensor.element_size() < 4:
            tensor = tensor.float()
        array: npt.NDArray[Any] = tensor.resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{name} is a tensor that cannot be read as an array: {error}") from error
    return array


def as_numpy(value: Any, name: str = "an array") -> npt.NDArray[Any]:
    """Convert an array, a list or a torch tensor to a NumPy array; refuse masked entries and sparse tensors."""
    return of_tensor(value, name) if is_tensor(value) else np.asarray(unmasked(value, name))


def check_real(values: Array, name: str) -> None:
    """Refuse text, objects and complex numbers."""
    if values.is_complex() if is_tensor(values) else values.dtype.kind not in "biuf":
        raise ArgumentError(f"{name} must hold real numbers, got {values.dtype}")


def as_integers(value: Any, name: str) -> IntArray:
    """Convert a list of whole numbers, such as rows, to int64; refuse masks, fractions, text and larger numbers.

    >>> as_integers([True, False], "train")
    Traceback (most recent call last):
    unseen.errors.ArgumentError: train must hold whole numbers, got a boolean mask; np.flatnonzero(mask) gives its rows
    """
    rows = as_numpy(value, name)
    if rows.ndim != 1:
        got = f"an array of shape {rows.shape}" if rows.ndim else repr(value)
        raise ArgumentError(f"{name} must be a list of whole numbers, got {got}")
    if rows.dtype == np.int64:
        return rows
    if rows.dtype.kind == "b":
        raise ArgumentError(f"{name} must hold whole numbers, got a boolean mask; np.flatnonzero(mask) gives its rows")
    if rows.dtype.kind not in "iuf":
        raise ArgumentError(f"{name} must hold whole numbers within int64, got {rows.dtype}")
    wrong = ~(np.abs(rows) < 2.0**53) | (rows != np.floor(rows)) if rows.dtype.kind == "f" else rows > LARGEST
    if wrong.any():
        raise ArgumentError(f"{name} must hold whole numbers within int64, got {rows[wrong].flat[0]}")
    return rows.astype(np.int64)


def sort_by_id(ids: IdArray) -> IntArray:
    """Return the positions of the ids in ascending order; ids that ascend, as they usually do, are not sorted."""
    if bool((ids[1:] > ids[:-1]).all()):
        return np.arange(len(ids))
    return np.argsort(ids, kind="stable")


def pack(prefix: str, arrays: Arrays) -> Named:
    """Return the same arrays under `prefix/name`."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def unpack(prefix: str, arrays: Arrays) -> Named:
    """Return the arrays that `pack` put under that prefix, by their own names.

    >>> sorted(unpack("a", {"a/x": np.zeros(1), "a/y/z": np.zeros(1), "b/x": np.zeros(1)}))
    ['x', 'y/z']
    """
    return {name.removeprefix(f"{prefix}/"): array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
