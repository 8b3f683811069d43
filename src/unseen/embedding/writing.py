"""Vectors into a folder that is there whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.atomic import replace_file, storage_error
from unseen.data.provenance import PROVENANCE, provenance_of
from unseen.embedding.base import Embedding
from unseen.errors import ArgumentError, DataError, some
from unseen.protocols import Data, check_unchanged
from unseen.runs.manifest import check_same, normal
from unseen.runs.new_folder import mapped

__all__ = ["fill", "is_there", "write"]

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
        vectors = mapped(folder / "x.npy", (len(data), embedding.width))
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
        DataError: a vector that is not finite, or data that has changed meanwhile.

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
    check_unchanged(data)
