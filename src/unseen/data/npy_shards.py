"""Vectors in numbered pairs of npy files, memory-mapped."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.data.arrays import read_npy
from unseen.data.fingerprint import stamp
from unseen.data.labelling import labels_in
from unseen.data.shards import ShardedVectors, Unchanged
from unseen.data.targeting import labelled_or_targeted
from unseen.errors import DataError, some

__all__ = ["NpyShards", "from_shards", "numbered"]

_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d+)\.npy")
_MAPS = 256  # memory maps open at a time; an operating system allows some 65,000


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
    y: str | None = None,
    *,
    target: str | None = None,
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
        y: that of the files of labels, each (m,) numbers or text; classes are those of all files. Default `"y"`.
        target: that of files of numbers to regress on, in place of labels; see `from_arrays`.
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
    y = "y" if y is None and target is None else y
    given = {role: stem for role, stem in (("y", y), ("target", target)) if stem is not None}
    roles = given | {role: role for role in ("id", "group") if role in numbered(folder)}
    if id is not None:
        roles["id"] = id
    if group is not None:
        roles["group"] = group
    names = {role: list(_partners(folder, inputs, stem).values()) for role, stem in roles.items()}
    columns = {role: _column(folder, files, source, role == "y") for role, files in names.items()}
    about = {"n": sum(source.counts), "ids": columns.get("id"), "groups": columns.get("group")}
    labels, targets = (columns.get(role) for role in ("y", "target"))
    labelled = labelled_or_targeted(labels, targets, class_names, names=(y or "y", target or "target"), **about)
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
