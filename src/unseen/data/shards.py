"""Vectors in many files, read as they are needed: data of any size.

Labels, ids and groups are in memory, O(n); inputs stay where they are. Memory, beside these: the rows that are taken,
16 bytes a row once contents are hashed, and what the source keeps: nothing for npy files, which are memory maps, and
row groups within the memory limit for parquet (`unseen.data.row_groups`).
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unseen.data.arrays import read_npy
from unseen.data.base import Samples
from unseen.data.content import Hashes, blocks, hash_rows
from unseen.data.fingerprint import stamp
from unseen.data.labelling import Labelling, labelling, labels_in
from unseen.errors import DataError, some
from unseen.types import IntArray

__all__ = ["NpyShards", "ShardedVectors", "Unchanged", "VectorSource", "from_shards", "numbered"]

_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d+)\.npy")
_MAPS = 256  # memory maps open at a time; an operating system allows some 65,000
_SECONDS = 1.0  # between looks at one file


class VectorSource(Protocol):
    """Where vectors are, shard by shard."""

    counts: Sequence[int]  # rows of each shard
    width: int

    def read(self, shard: int) -> npt.NDArray[Any]:
        """Numbers (counts[shard], width) of any type: a memory map, or an array that may be kept.

        Raises:
            DataError: it is damaged, or has changed since the data set was opened.

        """

    def name(self, shard: int, row: int) -> str:
        """How to tell people where row `row` of this shard is."""


class ShardedVectors(Samples):
    """Vectors, given as float32 (n, d), whose rows are those of several shards, in order.

    They are checked for NaN and infinite values in the pass that hashes their content, which the verbs make before any
    training (it finds the copies); until then, `take` checks what it reads.

    Args:
        source: the shards.
        labelled: ids, labels and groups.
        chosen: int64 (n,) ascending rows of the shards that belong to the data set; default all.
        **about: notes, files, feature_names.

    Raises:
        DataError: by `take`: a shard that is damaged or has changed, NaN or infinite values, named by row and shard.

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
        self._known: Hashes | None = None

    def take(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """These rows, float32 (m, d), in any order; fastest where they are consecutive."""
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows must be in 0..{len(self) - 1}, got {rows.min()}..{rows.max()}")
        taken = np.empty((len(rows), *self.sample_shape), np.float32)
        places = rows if self._chosen is None else self._chosen[rows]
        for shard, at in self._by_shard(places):
            local = places[at] - self._starts[shard]
            run = len(local) == local[-1] - local[0] + 1 and bool((np.diff(local) == 1).all())
            array = self._source.read(shard)
            with np.errstate(over="ignore"):  # what overflows float32 is named below
                taken[at] = array[local[0] : local[-1] + 1] if run else array[local]
            if self._known is None and array.dtype.kind == "f":
                self._check_finite(taken[at], rows[at], shard, local)
        return taken

    def _by_shard(self, places: IntArray) -> Iterator[tuple[int, slice | IntArray]]:
        """Each shard that is needed, and which of the places are in it."""
        of = np.searchsorted(self._starts, places, side="right") - 1
        order = None if (of[1:] >= of[:-1]).all() else np.argsort(of, kind="stable")
        ranked = of if order is None else of[order]
        cuts = np.flatnonzero(np.diff(ranked)) + 1
        for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(ranked)], strict=True):
            if end > start:
                yield int(ranked[start]), slice(start, end) if order is None else order[start:end]

    def _check_finite(self, values: npt.NDArray[Any], rows: IntArray, shard: int, local: IntArray) -> None:
        good = np.isfinite(values)
        if good.all():
            return
        bad = np.flatnonzero(~good.all(axis=1))

        def place(at: int) -> str:
            column = int(np.flatnonzero(~good[at])[0])
            name = column if self.feature_names is None else self.feature_names[column]
            return f"row {rows[at]} ({self._source.name(shard, int(local[at]))}), column {name} ({values[at, column]})"

        raise DataError(
            f"features must be finite, but {len(bad):,} of {len(values):,} rows read hold NaN or infinite values: "
            f"{some([place(at) for at in bad[:5].tolist()])}; drop these rows"
        )

    def _hashes(self) -> Hashes:
        if self._known is None:
            known = np.empty((len(self), 2), np.uint64)
            for block in blocks(len(self), self.sample_bytes):
                known[block] = hash_rows(self.take(np.arange(block.start, block.stop)))
            self._known = known
        return self._known


class Unchanged:
    """Refuses a file that is not as it was: looks where another file was read last, and else once a second."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._states = [_state(path) for path in paths]
        self._last, self._looked = -1, 0.0

    def check(self, file: int) -> None:
        """Raise DataError if its size or time is another."""
        now = time.monotonic()
        if file == self._last and now - self._looked < _SECONDS:
            return
        if _state(self.paths[file]) != self._states[file]:
            raise DataError(
                f"{self.paths[file]} has changed since it was opened (its size or time is another); begin again with "
                "the data as it is now"
            )
        self._last, self._looked = file, now


class NpyShards:
    """Vectors in npy files, each a memory map that is opened when it is first read."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder.resolve(), names
        self._unchanged = Unchanged([self.folder / f"{name}.npy" for name in names])
        shapes = [self._checked(name) for name in names]
        self.counts: Sequence[int] = [shape[0] for shape in shapes]
        self.width = shapes[0][1]
        for name, shape in zip(names, shapes, strict=True):
            if shape[1] != self.width:
                raise DataError(
                    f"rows must have one width in all shards, but {names[0]}.npy has {self.width} columns and "
                    f"{name}.npy has {shape[1]}"
                )
        self._maps: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        # To another process they travel by name, not by content.
        return {**self.__dict__, "_maps": OrderedDict()}

    def read(self, shard: int) -> npt.NDArray[Any]:
        """The memory map of a file."""
        self._unchanged.check(shard)
        if shard not in self._maps:
            self._maps[shard] = read_npy(self.folder, self.names[shard])
            if len(self._maps) > _MAPS:
                self._maps.popitem(last=False)
        return self._maps[shard]

    def name(self, shard: int, row: int) -> str:
        """Row and file."""
        return f"row {row} of {self.names[shard]}.npy"

    def _checked(self, name: str) -> tuple[int, int]:
        array = read_npy(self.folder, name)
        if array.ndim != 2 or array.dtype.kind not in "fiub" or not array.shape[1]:
            raise DataError(f"{name}.npy must hold vectors, numbers (n, d), got shape {array.shape} of {array.dtype}")
        return array.shape[0], array.shape[1]


def from_shards(
    folder: str | Path,
    x: str = "x",
    y: str = "y",
    *,
    id: str | None = None,
    group: str | None = None,
    class_names: Sequence[str] | None = None,
) -> ShardedVectors:
    """Vectors in pairs of npy files in one folder: x-00000.npy and y-00000.npy, x-00001.npy and y-00001.npy, ...

    The inputs are memory-mapped, never read whole. Files are in the order of their numbers, none of which may be
    missing.

    Args:
        folder: the folder.
        x: first part of the names of the files of inputs, each (m, d) numbers, all of one d; given as float32.
        y: that of the files of labels, each (m,) numbers or text; classes are those of all files.
        id: that of the files of ids; default `"id"`, if there are any.
        group: that of the files of groups; default `"group"`, if there are any.
        class_names: the C names.

    Raises:
        DataError: files that are missing, damaged, of different length or width; and as `from_arrays`. NaN and infinite
            values are found by `ShardedVectors.take`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(3):
    ...         np.save(Path(folder) / f"x-{i:05}.npy", np.full((2, 4), i, np.float16))
    ...         np.save(Path(folder) / f"y-{i:05}.npy", ["cat", "dog"])
    ...     data = from_shards(folder)
    ...     data, data.take(np.array([1, 5])).tolist()
    (ShardedVectors(6 samples, 2 classes, vector 4 float32), [[0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])

    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    inputs = _shards_of(folder, x)
    if (folder / f"{x}.npy").exists():
        raise DataError(f"{folder} holds both {x}.npy and {inputs[min(inputs)]}.npy; which is meant? Move one away")
    source = NpyShards(folder, list(inputs.values()))
    roles = {"y": y} | {role: role for role in ("id", "group") if role in numbered(folder)}
    if id is not None:
        roles["id"] = id
    if group is not None:
        roles["group"] = group
    names = {role: list(_partners(folder, inputs, stem).values()) for role, stem in roles.items()}
    columns = {role: _column(folder, files, source, role == "y") for role, files in names.items()}
    labelled = labelling(
        columns["y"],
        n=sum(source.counts),
        ids=columns.get("id"),
        groups=columns.get("group"),
        class_names=class_names,
        name=y,
    )
    every = [f"{name}.npy" for files in (source.names, *names.values()) for name in files]
    return ShardedVectors(source, labelled, files=stamp(folder, every))


def numbered(folder: Path) -> dict[str, dict[int, str]]:
    """The npy files `<stem>-<number>.npy` of a folder: for each stem, names without suffix by number, ascending."""
    found: dict[str, dict[int, str]] = {}
    for path in sorted(folder.glob("*.npy")):
        if match := _NUMBERED.fullmatch(path.name):
            of = found.setdefault(match["stem"], {})
            if int(match["number"]) in of:
                raise DataError(f"{folder} holds {of[int(match['number'])]}.npy and {path.name}, of the same number")
            of[int(match["number"])] = path.stem
    return {stem: dict(sorted(of.items())) for stem, of in found.items()}


def _shards_of(folder: Path, stem: str) -> dict[int, str]:
    files = numbered(folder).get(stem, {})
    if not files:
        raise DataError(f"{folder} holds no files {stem}-00000.npy, {stem}-00001.npy, ...")
    gaps = sorted(set(range(min(files), max(files))) - set(files))
    if gaps:
        raise DataError(f"{folder} lacks shards of {stem}: numbers {some(gaps)} between {min(files)} and {max(files)}")
    return files


def _partners(folder: Path, inputs: dict[int, str], stem: str) -> dict[int, str]:
    files = numbered(folder).get(stem, {})
    alone = [name for number, name in inputs.items() if number not in files]
    if alone:
        raise DataError(f"{folder} holds {some(f'{name}.npy' for name in alone)} without a partner of {stem}")
    strangers = [name for number, name in files.items() if number not in inputs]
    if strangers:
        raise DataError(f"{folder} holds {some(f'{name}.npy' for name in strangers)} without a partner of inputs")
    return files


def _column(folder: Path, files: Sequence[str], source: NpyShards, labels: bool) -> npt.NDArray[Any]:
    """One entry a sample, of all files."""
    parts: list[npt.NDArray[Any]] = []
    for name, inputs, count in zip(files, source.names, source.counts, strict=True):
        part = np.asarray(read_npy(folder, name))
        part = labels_in(part, f"{name}.npy") if labels else part
        if part.ndim != 1 or len(part) != count:
            raise DataError(
                f"{name}.npy must have one entry for each of the {count} samples of {inputs}.npy, got shape "
                f"{part.shape}"
            )
        if parts and (part.dtype.kind == "U") != (parts[0].dtype.kind == "U"):
            raise DataError(f"all shards must hold numbers, or all text, but {files[0]}.npy and {name}.npy differ")
        parts.append(part)
    return np.concatenate(parts)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
