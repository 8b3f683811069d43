"""Vectors of any size in many files, read as they are needed; the reader and the writer of numbered npy files.

Labels, ids and groups are in memory, O(n); inputs stay in the files. Sources are `NpyShards`, which are memory-mapped
or read by ranges of bytes from a store, and `unseen.data.tables.ParquetVectors`, which caches row groups.
"""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import IntArray
from unseen.core.checks import at_least
from unseen.core.files import replace_file, storage_error
from unseen.data.base import Hashes, Samples, check_finite, hash_all, hash_rows, sample_rows, to_float32
from unseen.data.files import changed_error, find_alike
from unseen.data.formats import ARRAYS, Format, Place, ReaderOptions
from unseen.data.labels import Labelling, check_labels, encode_labels, to_numpy
from unseen.data.storage import LocalStorage, Rows, Storage, storage_of
from unseen.errors import ArgumentError, DataError, some


class VectorSource(ABC):
    """Vectors in shards, in some files of a storage."""

    counts: Sequence[int]  # the number of rows of each shard
    width: int
    mapped: bool = False  # whether `read` returns memory maps, which may change later
    cache_bytes: int = 0  # the most bytes of shards that the source keeps

    def __init__(self, storage: Storage, files: Sequence[str]) -> None:
        self.storage, self.files = storage, files

    @abstractmethod
    def read(self, shard: int) -> Rows:
        """Return numbers (counts[shard], width) of any type: a memory map, rows of a store, or an array."""

    @abstractmethod
    def name(self, shard: int, row: int) -> str:
        """Return the place of row `row` of this shard, for messages."""


class ShardedVectors(Samples):
    """Vectors, given as float32 (n, d): the rows of several shards, in order.

    NaN and infinite values are found in the pass that hashes the content, which the public functions make before any
    training, to find copies. Before that pass, or without it, `take` checks the rows that it reads.

    Args:
        source: the shards.
        labelled: ids, labels and groups.
        chosen: int64 (n,) ascending rows of the shards that belong to the data set; default all.
        **about: notes, files, feature_names.
    """

    in_memory = False

    def __init__(
        self, source: VectorSource, labelled: Labelling, *, chosen: IntArray | None = None, **about: Any
    ) -> None:
        super().__init__(labelled, **about)
        self.kind = "vector"
        self.dtype = np.dtype(np.float32)
        self.sample_shape = (source.width,)
        self._source, self._chosen = source, chosen
        self._starts = np.cumsum([0, *source.counts])
        self._sampled: Hashes | None = None

    @property
    def held_bytes(self) -> int:
        """The most bytes that the source keeps in memory."""
        return min(len(self) * self.sample_bytes, self._source.cache_bytes)

    def take(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Read these rows, float32 (m, d), in any order; consecutive rows are fastest."""
        return self._fill(len(rows), self._read(rows), np.float32)

    def check_unchanged(self) -> None:
        """Refuse changed files: check each file, and for memory maps 256 samples; see `ArrayData.check_unchanged`."""
        self._source.storage.check_all(self._source.files)
        if not self._source.mapped:
            return
        rows = sample_rows(len(self))
        hashes = hash_rows(self.as_kept(rows))
        if self._sampled is None:
            self._sampled = hashes if self._known is None else self._known[rows]
        other = np.flatnonzero((hashes != self._sampled).any(axis=1))
        if other.size:
            place = int(rows[other[0]] if self._chosen is None else self._chosen[rows[other[0]]])
            shard = int(np.searchsorted(self._starts, place, side="right")) - 1
            raise changed_error(self._source.name(shard, place - int(self._starts[shard])), "its content differs")

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Read these rows as `take` does, but as float16 (m, d) if all of them are stored so."""
        read = list(self._read(rows))
        halves = all(values.dtype == np.float16 for _, values in read)
        return self._fill(len(rows), read, np.float16 if halves else np.float32)

    def _fill(
        self, m: int, read: Iterable[tuple[slice | IntArray, npt.NDArray[Any]]], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        taken = np.empty((m, *self.sample_shape), dtype)
        for at, values in read:
            taken[at] = values if values.dtype == dtype else to_float32(values)
        return taken

    def _read(self, rows: IntArray) -> Iterator[tuple[slice | IntArray, npt.NDArray[Any]]]:
        """Yield places in `rows` and their values, shard by shard: float16 as stored, other types as float32."""
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows must be in 0..{len(self) - 1}, got {rows.min()}..{rows.max()}")
        places = rows if self._chosen is None else self._chosen[rows]
        of = np.searchsorted(self._starts, places, side="right") - 1
        order = None if (of[1:] >= of[:-1]).all() else np.argsort(of, kind="stable")
        ranked = of if order is None else of[order]
        cuts = np.flatnonzero(np.diff(ranked, prepend=-1, append=-1))  # where the rows of another shard begin
        for start, end in pairwise(cuts.tolist()):
            shard, at = int(ranked[start]), slice(start, end) if order is None else order[start:end]
            local = places[at] - self._starts[shard]
            run = len(local) == local[-1] - local[0] + 1 and bool((np.diff(local) == 1).all())
            array = self._source.read(shard)
            values = array[local[0] : local[-1] + 1] if run else array[local]
            values = values if values.dtype == np.float16 else to_float32(values)
            if self._known is None and array.dtype.kind == "f":
                check_finite(values, self.feature_names, name=partial(self._name, rows[at], shard, local))
            yield at, values

    def _name(self, rows: IntArray, shard: int, local: IntArray, at: int) -> str:
        return f"row {rows[at]} ({self._source.name(shard, int(local[at]))})"

    def _hash_all(self) -> Hashes:
        return hash_all(len(self), self.sample_bytes, self.as_kept)


_NUMBERED = re.compile(r"(?P<stem>[^/]+)-(?P<number>\d+)\.npy", re.IGNORECASE)


class NpyShards(VectorSource):
    """Vectors in npy files: memory maps, or ranges of bytes from a store."""

    def __init__(self, storage: Storage, names: Sequence[str]) -> None:
        super().__init__(storage, names)
        self.mapped = isinstance(storage, LocalStorage)
        shapes: list[tuple[int, ...]] = []
        for name, rows in zip(names, storage.rows(names), strict=True):
            if len(rows.shape) != 2 or rows.dtype.kind not in "fiub" or not rows.shape[1]:
                raise DataError(f"{name} must hold vectors, numbers (n, d), got shape {rows.shape} of {rows.dtype}")
            shapes.append(rows.shape)
        self.counts: Sequence[int] = [count for count, _ in shapes]
        self.width = shapes[0][1]
        for name, (_, width) in zip(names, shapes, strict=True):
            if width != self.width:
                raise DataError(
                    f"rows must have one width in all shards, but {names[0]} has {self.width} columns and "
                    f"{name} has {width}"
                )

    def read(self, shard: int) -> Rows:
        """Return the rows of a file."""
        self.storage.check(self.files[shard])
        return next(self.storage.rows([self.files[shard]]))

    def name(self, shard: int, row: int) -> str:
        """Return row and file, for messages."""
        return f"row {row} of {self.files[shard]}"


class ShardsFormat(Format):
    """Vectors in pairs of numbered npy files in one folder."""

    reader = "from_shards"
    about = ("path to a folder of shards", "x-00000.npy, y-00000.npy, x-00001.npy, ...; or its URL")
    options = ARRAYS
    aliases: ClassVar = {"y": "label"}

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it holds numbered npy files of inputs, and no x.npy."""
        if not isinstance(source, Place) or (source.is_url and source.holds(".parquet")):
            return False
        stems = [stem.lower() for stem in numbered(source.names, source.given)]
        return "x" in stems or bool(stems and "x.npy" not in map(str.lower, source.names))

    def open(self) -> ShardedVectors:
        """Open the files."""
        folder, options = self.source, self.reading
        x, y, target = options.x or "x", options.label, options.target
        storage = storage_of(folder, ".npy")
        if storage.single:
            raise DataError(f"there is no folder {folder}")
        files = numbered(storage.names(".npy"), folder)
        inputs = _files_of(files, x)
        if not inputs:
            raise DataError(f"{folder} holds no files {x}-00000.npy, {x}-00001.npy, ...; x= (--x) names others")
        if gaps := sorted(set(range(min(inputs), max(inputs))) - set(inputs)):
            raise DataError(
                f"{folder} lacks shards of {x}: numbers {some(gaps)} between {min(inputs)} and {max(inputs)}"
            )
        if f"{x}.npy".lower() in map(str.lower, storage.states):
            raise DataError(f"{folder} holds both {x}.npy and {inputs[min(inputs)]}; move one of the two away")
        source = NpyShards(storage, list(inputs.values()))
        y = "y" if y is None and target is None else y
        roles = {role: role for role in ("id", "group") if _files_of(files, role)}
        given = {"y": y, "target": target, "id": options.id, "group": options.group}
        roles |= {role: stem for role, stem in given.items() if stem is not None}
        names = {role: _partners(_files_of(files, stem), folder, inputs, stem) for role, stem in roles.items()}
        columns = {role: _column(source, of, role == "y") for role, of in names.items()}
        about: dict[str, Any] = {"n": sum(source.counts), "ids": columns.get("id"), "groups": columns.get("group")}
        about |= {"class_names": options.class_names, "name": y or target}
        labelled = encode_labels(columns.get("y"), columns.get("target"), **about)
        every = [name for of in (source.files, *names.values()) for name in of]
        return ShardedVectors(source, labelled, files=storage.stamp(every), notes=storage.notes)


def from_shards(folder: str | Path, *, y: str | None = None, **options: Unpack[ReaderOptions]) -> ShardedVectors:
    """Open vectors in pairs of npy files in one folder: x-00000.npy and y-00000.npy, x-00001.npy and y-00001.npy, ...

    The inputs are memory-mapped, or read by ranges of bytes from a store, never whole. Files are in the order of their
    numbers, none of which may be missing.

    Args:
        folder: the folder, or its URL in a store that fsspec knows.
        y: prefix of the labels, each (m,) numbers or text; default `"y"`. Classes are those of all files.
        **options: `x`, the prefix of the inputs, each (m, d) numbers, all of one d, given as float32; `target`, `id`
            and `group` (ids and groups of these prefixes are read without being named); and `class_names`.

    Raises:
        DataError: files that are missing, damaged, of different length or width; and as `from_arrays`. NaN and infinite
            values are found by `ShardedVectors.take`.
        MissingDependencyError: for a URL: fsspec, or its package for that store, is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(3):
    ...         np.save(Path(folder) / f"x-{i:05}.npy", np.full((2, 4), i, np.float16))
    ...         np.save(Path(folder) / f"y-{i:05}.npy", ["cat", "dog"])
    ...     data = from_shards(folder)
    ...     data, data.take(np.array([1, 5])).tolist()
    (ShardedVectors(6 samples, 2 classes, vector 4 float32), [[0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    """
    return ShardsFormat(folder, y=y, **options).open()


def numbered(names: Iterable[str], folder: str | Path) -> dict[str, dict[int, str]]:
    """Find the files named `<stem>-<number>.npy`: for each stem, names by number, ascending."""
    by_stem: dict[str, dict[int, str]] = {}
    for name in sorted(names):
        if match := _NUMBERED.fullmatch(name):
            of = by_stem.setdefault(match["stem"], {})
            if int(match["number"]) in of:
                raise DataError(f"{folder} holds {of[int(match['number'])]} and {name}, of the same number")
            of[int(match["number"])] = name
    return {stem: dict(sorted(of.items())) for stem, of in by_stem.items()}


def _files_of(files: dict[str, dict[int, str]], stem: str) -> dict[int, str]:
    """Return the files of a stem, in lower or upper case."""
    return files.get(find_alike(stem, files) or "", {})


def _partners(of: dict[int, str], folder: str | Path, inputs: dict[int, str], stem: str) -> Sequence[str]:
    """Return the files of a stem; refuse one without a file of inputs of that number, and the reverse."""
    if not of:
        others = "; label= (--label) names other files of labels" if stem == "y" else ""
        raise DataError(f"{folder} holds no files {stem}-{min(inputs):05}.npy, ... beside those of inputs{others}")
    if alone := [name for number, name in inputs.items() if number not in of]:
        raise DataError(f"{folder} holds {some(alone)} without a partner of {stem}")
    if strangers := [name for number, name in of.items() if number not in inputs]:
        raise DataError(f"{folder} holds {some(strangers)} without a partner of inputs")
    return list(of.values())


def _column(source: NpyShards, files: Sequence[str], labels: bool) -> npt.NDArray[Any]:
    """Read one entry a sample from all files."""
    parts: list[npt.NDArray[Any]] = []
    for name, part, inputs, count in zip(files, source.storage.arrays(files), source.files, source.counts, strict=True):
        part = check_labels(np.asarray(part), name) if labels else np.asarray(part)
        if part.ndim != 1 or len(part) != count:
            raise DataError(
                f"{name} must have one entry for each of the {count} samples of {inputs}, got shape {part.shape}"
            )
        if parts and (part.dtype.kind == "U") != (parts[0].dtype.kind == "U"):
            raise DataError(f"all shards must hold numbers, or all text, but {files[0]} and {name} differ")
        parts.append(part)
    if {part.dtype.kind for part in parts} == {"i", "u"}:  # NumPy would convert these to real numbers
        return np.concatenate([part.astype(object) for part in parts])
    return np.concatenate(parts)


# ---- batches to shards -----------------------------------------------------------------------------------------------


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
    at_least("shard_bytes", shard_bytes, 1)
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
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise DataError(f"batch {number} must be (X, y) or (X, y, ids), got {type(batch).__name__}")
        of = f"y of batch {number}"
        x, columns = _inputs(batch[0], number), [_entries(check_labels(to_numpy(batch[1], of), of))]
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
