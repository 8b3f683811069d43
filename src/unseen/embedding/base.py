"""What makes vectors of samples: an embedder with its options, and the embedding that it fits, label-free, to data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.protocols import Data

__all__ = ["Embedder", "Embedding", "block_of", "require", "whole"]

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
