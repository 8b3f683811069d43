"""Conversion of an iterator of batches to a folder of shards, for data larger than memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core.files import replace_file, storage_error
from unseen.data.labels import labels_in, to_numpy
from unseen.data.shards import ShardedVectors, from_shards
from unseen.errors import ArgumentError, DataError, some


def from_batches(batches: Iterable[Sequence[Any]], folder: str | Path, *, shard_bytes: int = 2**28) -> ShardedVectors:
    """Write batches of vectors to shards in a folder, and open it with `from_shards`.

    The folder appears only when everything is written. An interrupted call leaves a folder of another name, which is
    never read as a data set. It needs memory for one shard and one batch.

    Args:
        batches: (X, y) or (X, y, ids) each: X (m, d) numbers, any m, one d and one type, which is kept (float16 stays
            float16); y (m,) numbers or text; ids as in `from_arrays`. Shards do not depend on the size of batches.
        folder: a folder that does not exist yet, or is empty.
        shard_bytes: bytes of the inputs of one shard; default 256 MiB.

    Raises:
        ArgumentError: the folder exists, or that of an interrupted call does.
        DataError: NaN or infinite values, missing labels, several widths or types; the message names batch and row.
            Or there are no samples.
        StorageError: the folder cannot be written.

    >>> import tempfile
    >>> batches = ((np.full((2, 3), i, np.float16), [i, 1 - i]) for i in range(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = from_batches(batches, Path(folder) / "spool")
    ...     data, sorted(path.name for path in (Path(folder) / "spool").iterdir())
    (ShardedVectors(4 samples, 2 classes, vector 3 float32), ['x-00000.npy', 'y-00000.npy'])
    """
    folder = Path(folder).resolve()
    if shard_bytes < 1:
        raise ArgumentError(f"shard_bytes must be at least 1, got {shard_bytes!r}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(f"folder must not exist, or be empty, but {folder} is there; from_shards opens it")
    part = folder.with_name(f".{folder.name}.part")
    try:
        part.mkdir(parents=True)
    except FileExistsError as error:
        raise ArgumentError(
            f"{part} is of another call for this folder: one that still runs, or was broken off; in that case remove it"
        ) from error
    except OSError as error:
        raise storage_error(part, error) from error
    try:
        spool = _Spool(part, shard_bytes)
        for number, batch in enumerate(batches):
            spool.add(number, batch)
        spool.close()
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return from_shards(folder)


class _Spool:
    """A writer that collects rows, and writes a shard whenever there are enough of them."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self._x: npt.NDArray[Any] | None = None  # the inputs of one shard, filled from the start
        self._columns: list[list[npt.NDArray[Any]]] = []  # labels, and ids if there are any, of these rows
        self._filled = self._written = 0

    def add(self, number: int, batch: Sequence[Any]) -> None:
        """Add a batch."""
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise DataError(f"batch {number} must be (X, y) or (X, y, ids), got {type(batch).__name__}")
        of = f"y of batch {number}"
        x, columns = _inputs(batch[0], number), [_entries(labels_in(to_numpy(batch[1], of), of))]
        if len(batch) == 3:
            columns.append(_entries(to_numpy(batch[2], f"ids of batch {number}")))
        self._check(number, x, columns)
        start = 0
        while start < len(x):
            assert self._x is not None
            end = min(len(x), start + len(self._x) - self._filled)
            self._x[self._filled : self._filled + end - start] = x[start:end]
            for held, column in zip(self._columns, columns, strict=True):
                held.append(column[start:end])
            self._filled, start = self._filled + end - start, end
            if self._filled == len(self._x):
                self._write()

    def close(self) -> None:
        """Write the last rows."""
        if self._filled:
            self._write()
        if not self._written:
            raise DataError("the data set is empty: no batch holds a sample")

    def _check(self, number: int, x: npt.NDArray[Any], columns: list[npt.NDArray[Any]]) -> None:
        if self._x is None:
            self._x = np.empty((max(1, self.shard_bytes // (x.shape[1] * x.itemsize)), x.shape[1]), x.dtype)
            self._columns = [[] for _ in columns]
        if (x.shape[1], x.dtype) != (self._x.shape[1], self._x.dtype):
            raise DataError(
                f"X must have one width and type in all batches, but X of batch 0 has {self._x.shape[1]} columns of "
                f"{self._x.dtype} and X of batch {number} has {x.shape[1]} of {x.dtype}"
            )
        if len(columns) != len(self._columns):
            raise DataError(f"ids must come with every batch or with none, but batch {number} is unlike batch 0")
        for name, column in zip(("y", "ids"), columns, strict=False):
            if column.shape != (len(x),):
                raise DataError(f"batch {number}: X has {len(x)} rows, but {name} has shape {column.shape}")

    def _write(self) -> None:
        assert self._x is not None
        arrays = [self._x[: self._filled], *(np.concatenate(column) for column in self._columns)]
        for stem, array in zip(("x", "y", "id"), arrays, strict=False):
            path = self.folder / f"{stem}-{self._written:05}.npy"
            replace_file(path, lambda file, array=array: np.save(file, array, allow_pickle=False))  # type: ignore[misc]
        self._columns = [[] for _ in self._columns]
        self._filled, self._written = 0, self._written + 1


def _inputs(value: Any, number: int) -> npt.NDArray[Any]:
    # to_numpy would convert float16 of torch to float32.
    half = str(getattr(value, "dtype", None)) == "torch.float16" and "strided" in str(value.layout)
    x: npt.NDArray[Any] = value.detach().cpu().numpy() if half else to_numpy(value)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.shape[1]:
        raise DataError(f"batch {number}: X must be (m, d) numbers, got shape {x.shape} of {x.dtype}")
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(x.astype(np.float32, copy=False)).all(axis=1))
    if bad.size:
        raise DataError(f"batch {number}: features must be finite, but rows {some(bad)} hold NaN or infinite values")
    return x


def _entries(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert a column to an array without Python objects, which would be pickled."""
    entries = column.tolist() if column.dtype.kind == "O" else []
    if len({isinstance(entry, str) for entry in entries}) > 1:
        raise DataError("labels and ids must be labels of one type, all numbers or all text, but they are mixed")
    plain = np.array(entries) if column.dtype.kind == "O" else column
    if plain.dtype.kind not in "iufbU":
        raise DataError(f"labels and ids must be numbers or text, got {plain.dtype}")
    return plain
