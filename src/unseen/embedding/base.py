"""What makes vectors of samples: an embedder with its options, and the embedding that it fits, label-free, to data.

Vectors into a folder that is there whole, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unseen.core.files import replace_file, storage_error
from unseen.core.protocols import Data
from unseen.data.content import PROVENANCE, provenance_of
from unseen.engine.runs.files import mapped
from unseen.engine.runs.manifest import check_same, normal
from unseen.errors import ArgumentError, DataError, some

__all__ = ["Embedder", "Embedding", "block_of", "fill", "is_there", "require", "whole", "write"]


BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class Embedding:
    """A function from inputs to vectors.

    Args:
        width: d.
        of: from inputs, as `Data.take` gives them, m of them, to numbers (m, d).
        block: how many samples at a time.
        memory: bytes beside inputs and outputs of one block, about.

    """

    width: int
    of: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    block: int
    memory: int = 0


class Embedder(Protocol):
    """Makes an embedding. Whatever it fits is fitted on inputs alone: it is never given a label."""

    labels: str  # that it was trained on, as `LABELS` says it; where that is not "none", the user may know better

    def describe(self) -> dict[str, object]:
        """`by`, its name, and everything that changes its numbers, as JSON."""

    def check(self, data: Data) -> None:
        """Refuse data that it cannot embed."""

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """The embedding for this data set, and for others of its kind and shape; `threads`, if it starts any itself."""


def block_of(data: Data, width: int) -> int:
    """Samples whose inputs and vectors are about 32 MiB."""
    inputs = int(np.prod(data.sample_shape, dtype=np.int64)) * data.dtype.itemsize
    return max(1, BLOCK_BYTES // (inputs + 4 * width))


def require(embedder: str, data: Data, kind: str, made_of: str) -> None:
    """Refuse data of another kind."""
    if data.kind != kind:
        raise ArgumentError(f"by={embedder!r} makes vectors of {made_of}, but this is {data.kind} data")


def whole(name: str, value: object, least: int = 1) -> int:
    """A whole number of at least `least`, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


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
    data.check_unchanged()
