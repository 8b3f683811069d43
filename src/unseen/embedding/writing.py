"""Vectors into a folder that is there whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.atomic import replace_file, storage_error
from unseen.data.provenance import PROVENANCE, provenance_of
from unseen.embedding.base import Embedding
from unseen.errors import ArgumentError, DataError, some
from unseen.protocols import Data
from unseen.runs.lock import Lock
from unseen.runs.manifest import check_same, normal

__all__ = ["NewFolder", "fill", "is_there", "write"]

Told = Callable[[int, int], object]  # samples done, and before this block


def is_there(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether the folder holds this very embedding; False if there is nothing yet.

    Raises:
        RunMismatchError: it holds another one.
        ArgumentError: it holds something else.

    """
    found = provenance_of(folder) if folder.is_dir() else None
    if found is not None:
        now = normal(about)
        check_same(str(folder), {key: found.get(key) for key in now}, now)
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(f"out must not exist, be empty, or hold this embedding, but {folder} holds something else")
    return False


class NewFolder:
    """Where a folder is written, under another name until it is whole. What a killed process left is begun anew.

    Raises:
        RunLockedError: another process writes this folder.
        StorageError: it cannot be written.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part = folder.absolute().with_name(f".{folder.absolute().name}.part")

    def __enter__(self) -> Path:
        self._lock = Lock(self.part / "lock")
        for left in self.part.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != "lock":
                left.unlink()
        return self.part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                (self.part / "lock").unlink()
                self.part.rename(self.folder.absolute())
        except OSError as failed:
            raise storage_error(self.folder, failed) from failed
        finally:
            if kind is not None or self.part.exists():
                shutil.rmtree(self.part, ignore_errors=True)
            self._lock.release()


def write(folder: Path, data: Data, embedding: Embedding, about: Mapping[str, Any], told: Told) -> None:
    """Vectors, labels or target, ids and groups of one data set as npy files, and where they come from."""
    arrays: dict[str, npt.NDArray[Any]]
    arrays = {"y": data.labels} if data.targets is None else {"target": data.targets}
    if not np.array_equal(data.ids, np.arange(len(data))):
        arrays["id"] = data.ids
    if data.groups is not None:
        arrays["group"] = data.groups
    try:
        folder.mkdir(parents=True, exist_ok=True)
        vectors = _mapped(folder / "x.npy", (len(data), embedding.width))
    except OSError as error:
        raise storage_error(folder, error) from error
    fill(vectors, data, embedding, told)
    vectors.flush()
    for name, array in arrays.items():
        replace_file(folder / f"{name}.npy", lambda file, array=array: np.save(file, array, allow_pickle=False))  # type: ignore[misc]
    said = {**about, "class_names": list(data.class_names), "columns": embedding.width, "n": len(data)}
    text = json.dumps(said, indent=2, sort_keys=True) + "\n"
    replace_file(folder / PROVENANCE, lambda file: file.write(text.encode()))


def fill(vectors: npt.NDArray[np.float32], data: Data, embedding: Embedding, told: Told) -> None:
    """Write the vectors of all samples, block by block. Exact copies get one and the same vector.

    Raises:
        DataError: a vector that is not finite.

    """
    copies = data.duplicate_groups()
    _, heads, group = np.unique(np.arange(len(data)) if copies is None else copies, True, True)
    first = heads[group]
    for start in range(0, len(data), embedding.block):
        rows = np.arange(start, min(len(data), start + embedding.block))
        own = rows[first[rows] == rows]
        if own.size:
            made = np.asarray(embedding.of(data.take(own)), dtype=np.float32)
            bad = own[~np.isfinite(made).all(axis=1)]
            if bad.size:
                raise DataError(f"the embedding gives NaN or infinite values in {len(bad):,} rows: {some(bad)}")
            vectors[own] = made
        copied = rows[first[rows] != rows]
        vectors[copied] = vectors[first[copied]]
        told(start + len(rows), start)


def _mapped(path: Path, shape: tuple[int, int]) -> Any:
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    # A full disk is an error here and now; in the middle of a memory map it would be the end of the process.
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file, suppress(NotImplementedError):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return vectors
