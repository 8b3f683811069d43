"""Vectors in numbered pairs of npy files, memory-mapped, or read by ranges from a store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.data.labelling import labels_in
from unseen.data.remote import storage_of
from unseen.data.shards import ShardedVectors
from unseen.data.storage import LocalStorage, Rows, Storage
from unseen.data.targeting import labelled_or_targeted
from unseen.errors import DataError, some

__all__ = ["NpyShards", "from_shards", "numbered"]

_NUMBERED = re.compile(r"(?P<stem>[^/]+)-(?P<number>\d+)\.npy", re.IGNORECASE)


class NpyShards:
    """Vectors in npy files: memory maps, or of a store ranges of bytes.

    Args:
        storage: where they are.
        names: of the files, in order.

    Raises:
        DataError: a damaged file, or one that holds no vectors, or of another width.

    """

    def __init__(self, storage: Storage, names: Sequence[str]) -> None:
        self.storage, self.names = storage, names
        self.mapped = isinstance(storage, LocalStorage)
        shapes = [_checked(name, rows) for name, rows in zip(names, storage.rows(names), strict=True)]
        self.counts: Sequence[int] = [count for count, _ in shapes]
        self.width = shapes[0][1]
        for name, (_, width) in zip(names, shapes, strict=True):
            if width != self.width:
                raise DataError(
                    f"rows must have one width in all shards, but {names[0]} has {self.width} columns and "
                    f"{name} has {width}"
                )

    def read(self, shard: int) -> Rows:
        """The rows of a file."""
        name = self.names[shard]
        self.storage.check(name)
        return next(self.storage.rows([name]))

    def check(self) -> None:
        """Look at every file."""
        self.storage.check_all(self.names)

    def name(self, shard: int, row: int) -> str:
        """Row and file."""
        return f"row {row} of {self.names[shard]}"


def _checked(name: str, rows: Rows) -> tuple[int, int]:
    if len(rows.shape) != 2 or rows.dtype.kind not in "fiub" or not rows.shape[1]:
        raise DataError(f"{name} must hold vectors, numbers (n, d), got shape {rows.shape} of {rows.dtype}")
    return rows.shape[0], rows.shape[1]


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

    The inputs are memory-mapped, or of a store read by ranges of bytes, never whole. Files are in the order of their
    numbers, none of which may be missing.

    Args:
        folder: the folder, or its URL in a store that fsspec knows.
        x: first part of the names of the files of inputs, each (m, d) numbers, all of one d; given as float32.
        y: that of the files of labels, each (m,) numbers or text; classes are those of all files. Default `"y"`.
        target: that of files of numbers to regress on, in place of labels; see `from_arrays`.
        id: that of the files of ids; default `"id"`, if there are any.
        group: that of the files of groups; default `"group"`, if there are any.
        class_names: the C names.

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
    storage = storage_of(folder, ".npy")
    if storage.single:
        raise DataError(f"there is no folder {folder}")
    files = numbered(storage.names(".npy"), folder)
    inputs = _shards_of(files, folder, x)
    if f"{x}.npy".lower() in map(str.lower, storage.states):
        raise DataError(f"{folder} holds both {x}.npy and {inputs[min(inputs)]}; which is meant? Move one away")
    source = NpyShards(storage, list(inputs.values()))
    y = "y" if y is None and target is None else y
    given = {role: stem for role, stem in (("y", y), ("target", target)) if stem is not None}
    roles = given | {role: role for role in ("id", "group") if _of(files, role)}
    if id is not None:
        roles["id"] = id
    if group is not None:
        roles["group"] = group
    names = {role: _partners(files, folder, inputs, stem) for role, stem in roles.items()}
    columns = {role: _column(source, of, role == "y") for role, of in names.items()}
    about = {"n": sum(source.counts), "ids": columns.get("id"), "groups": columns.get("group")}
    labels, targets = (columns.get(role) for role in ("y", "target"))
    labelled = labelled_or_targeted(labels, targets, class_names, names=(y or "y", target or "target"), **about)
    every = [name for of in (source.names, *names.values()) for name in of]
    return ShardedVectors(source, labelled, files=storage.stamp(every), notes=storage.notes)


def numbered(names: Iterable[str], folder: str | Path) -> dict[str, dict[int, str]]:
    """Of the files in a folder, those named `<stem>-<number>.npy`: for each stem, names by number, ascending."""
    found: dict[str, dict[int, str]] = {}
    for name in sorted(names):
        if match := _NUMBERED.fullmatch(name):
            of = found.setdefault(match["stem"], {})
            if int(match["number"]) in of:
                raise DataError(f"{folder} holds {of[int(match['number'])]} and {name}, of the same number")
            of[int(match["number"])] = name
    return {stem: dict(sorted(of.items())) for stem, of in found.items()}


def _of(files: dict[str, dict[int, str]], stem: str) -> dict[int, str]:
    """Those of that name, in capitals too, as `unseen.data.arrays` finds arrays."""
    alike = [other for other in files if other.lower() == stem.lower()]
    return files.get(stem) or (files[alike[0]] if len(alike) == 1 else {})


def _shards_of(files: dict[str, dict[int, str]], folder: str | Path, stem: str) -> dict[int, str]:
    of = _of(files, stem)
    if not of:
        raise DataError(f"{folder} holds no files {stem}-00000.npy, {stem}-00001.npy, ...")
    gaps = sorted(set(range(min(of), max(of))) - set(of))
    if gaps:
        raise DataError(f"{folder} lacks shards of {stem}: numbers {some(gaps)} between {min(of)} and {max(of)}")
    return of


def _partners(files: dict[str, dict[int, str]], folder: str | Path, inputs: dict[int, str], stem: str) -> Sequence[str]:
    of = _of(files, stem)
    alone = [name for number, name in inputs.items() if number not in of]
    if alone:
        raise DataError(f"{folder} holds {some(alone)} without a partner of {stem}")
    strangers = [name for number, name in of.items() if number not in inputs]
    if strangers:
        raise DataError(f"{folder} holds {some(strangers)} without a partner of inputs")
    return list(of.values())


def _column(source: NpyShards, files: Sequence[str], labels: bool) -> npt.NDArray[Any]:
    """One entry a sample, of all files."""
    parts: list[npt.NDArray[Any]] = []
    for name, part, inputs, count in zip(files, source.storage.arrays(files), source.names, source.counts, strict=True):
        part = labels_in(np.asarray(part), name) if labels else np.asarray(part)
        if part.ndim != 1 or len(part) != count:
            raise DataError(
                f"{name} must have one entry for each of the {count} samples of {inputs}, got shape {part.shape}"
            )
        if parts and (part.dtype.kind == "U") != (parts[0].dtype.kind == "U"):
            raise DataError(f"all shards must hold numbers, or all text, but {files[0]} and {name} differ")
        parts.append(part)
    if {part.dtype.kind for part in parts} == {"i", "u"}:  # of which NumPy makes real numbers
        return np.concatenate([part.astype(object) for part in parts])
    return np.concatenate(parts)
