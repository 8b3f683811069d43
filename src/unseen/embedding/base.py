"""The protocol of embedders, and the writing of vectors.

An `Embedder` holds the options; the `Embedding` that it fits to a data set, without labels, makes the vectors. `write`
puts the vectors of a data set in a folder.
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

BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class Embedding:
    """A function from inputs to vectors."""

    width: int  # d
    # The function: from m inputs, as `Data.take` returns them, to numbers (m, d).
    of: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    block: int  # how many samples to embed at a time
    memory: int = 0  # about how many bytes it takes beside the inputs and outputs of one block


class Embedder(Protocol):
    """A maker of embeddings. It fits on inputs only: it is never given a label."""

    labels: str  # the labels it was trained on, one of `LABELS`; unless it is "none", the user may know better

    def describe(self) -> dict[str, object]:
        """Return its name as `by`, and everything that changes its numbers, as JSON."""

    def check(self, data: Data) -> None:
        """Refuse data that it cannot embed."""

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Fit an embedding to this data set; it also embeds others of the same kind and shape.

        `threads` is for embedders that start threads themselves.
        """


def block_of(data: Data, width: int) -> int:
    """Return the number of samples whose inputs and vectors take about 32 MiB."""
    inputs = int(np.prod(data.sample_shape, dtype=np.int64)) * data.dtype.itemsize
    return max(1, BLOCK_BYTES // (inputs + 4 * width))


def require(embedder: str, data: Data, kind: str, inputs: str) -> None:
    """Refuse data of another kind."""
    if data.kind != kind:
        raise ArgumentError(f"by={embedder!r} makes vectors of {inputs}, but this is {data.kind} data")


def whole(name: str, value: object, least: int = 1) -> int:
    """Return the value if it is a whole number of at least `least`, else refuse it by name."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


Progress = Callable[[int, int], object]  # called with the samples done, and those done before this block


def is_there(folder: Path, about: Mapping[str, Any]) -> bool:
    """Return whether the folder holds this very embedding; False if it is empty or does not exist.

    Raises:
        RunMismatchError: it holds another embedding.
        ArgumentError: it holds something else.
    """
    stored = provenance_of(folder) if folder.is_dir() else None
    if stored is not None:
        now = normal(about)
        check_same(str(folder), {key: stored.get(key) for key in now}, now)
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(f"out must not exist, be empty, or hold this embedding, but {folder} holds something else")
    return False


def write(folder: Path, data: Data, embedding: Embedding, about: Mapping[str, Any], progress: Progress) -> None:
    """Write vectors, labels or target, ids and groups of one data set as npy files, and their provenance."""
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
    fill(vectors, data, embedding, progress)
    vectors.flush()
    for name, array in arrays.items():
        replace_file(folder / f"{name}.npy", lambda file, array=array: np.save(file, array, allow_pickle=False))  # type: ignore[misc]
    provenance = {**about, "class_names": list(data.class_names), "columns": embedding.width, "n": len(data)}
    text = json.dumps(provenance, indent=2, sort_keys=True) + "\n"
    replace_file(folder / PROVENANCE, lambda file: file.write(text.encode()))


def fill(vectors: npt.NDArray[np.float32], data: Data, embedding: Embedding, progress: Progress) -> None:
    """Fill an array with the vectors of all samples, block by block. Exact copies get one and the same vector.

    Raises:
        DataError: a vector is not finite, or the data changed meanwhile.
    """
    copies = data.duplicate_groups()
    _, heads, group = np.unique(np.arange(len(data)) if copies is None else copies, True, True)
    first = heads[group]
    for start in range(0, len(data), embedding.block):
        rows = np.arange(start, min(len(data), start + embedding.block))
        own = rows[first[rows] == rows]
        if own.size:
            computed = np.asarray(embedding.of(data.take(own)), dtype=np.float32)
            bad = own[~np.isfinite(computed).all(axis=1)]
            if bad.size:
                raise DataError(f"the embedding gives NaN or infinite values in {len(bad):,} rows: {some(bad)}")
            vectors[own] = computed
        copied = rows[first[rows] != rows]
        vectors[copied] = vectors[first[copied]]
        progress(start + len(rows), start)
    data.check_unchanged()
