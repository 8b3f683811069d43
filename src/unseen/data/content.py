"""Content of samples: exact copies, and values that no learner can take. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.errors import DataError, some
from unseen.threads import for_each
from unseen.types import IntArray

__all__ = ["blocks", "check_finite", "hash_all", "hash_items", "hash_rows", "same", "single"]

Hashes = npt.NDArray[np.uint64]

_BLOCK_BYTES = 32 << 20
_INFINITE, _SIGN = 0x7C00, 0x8000  # of float16
_PIECE = 4  # of a block that is hashed: a quarter, by a thread of its own
with np.errstate(invalid="ignore"):
    _OF_HALF = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def blocks(n: int, sample_bytes: int) -> Iterator[slice]:
    """Slices of 0..n that hold about 32 MiB each."""
    step = max(1, _BLOCK_BYTES // max(1, sample_bytes))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def single(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers as float32, where what is too large for it is infinite.

    >>> single(np.array([1.5, 1e300])), single(np.array([-0.25, 65504], np.float16))
    (array([1.5, inf], dtype=float32), array([-2.5000e-01,  6.5504e+04], dtype=float32))
    """
    if values.dtype == np.float16:  # half the time of NumPy's own cast
        return np.take(_OF_HALF, np.asarray(values).view(np.uint16))
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def hash_rows(array: npt.NDArray[Any]) -> Hashes:
    """128 bits of the content of each row of a numeric array, uint64 (n, 2). Zero and minus zero are one value.

    Numbers of float16 have the hash of the same numbers in float32.

    Each quarter is the upper half of a sum modulo 2^64: a fixed random number, and the words of the row (32 bits), each
    times such a number of its own. By this multilinear hashing (Lemire and Kaser 2014, arXiv 1202.4961) two rows that
    differ have one hash with probability 2^-128. It is made by one call for all rows, outside Python's lock.

    >>> a, b, c = hash_rows(np.array([[1, 2], [3, 4], [1, 2]], np.uint8))
    >>> bool((a == c).all()), bool((a == b).all())
    (True, False)
    """
    rows = np.ascontiguousarray(single(array) if array.dtype == np.float16 else array)
    if rows.dtype.kind == "f":
        rows = rows + 0.0
    content = rows.reshape(len(rows), int(np.prod(rows.shape[1:]))).view(np.uint8)
    if content.shape[1] % 4:
        content = np.pad(content, ((0, 0), (0, -content.shape[1] % 4)))
    words = content.view(np.uint32)
    start, factors = _random(words.shape[1])
    sums: Hashes = start + np.einsum("mw,kw->mk", words, factors)
    sums >>= np.uint64(32)
    return sums[:, :2] << np.uint64(32) | sums[:, 2:]


@lru_cache(maxsize=8)
def _random(words: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Numbers (4,) and (4, words)."""
    keys = seeds.keys(0, np.arange(4 * (words + 1)), "content")
    return keys[:4], keys[4:].reshape(4, words)


def hash_all(n: int, sample_bytes: int, read: Callable[[IntArray], npt.NDArray[Any]]) -> Hashes:
    """`hash_rows` of all n samples, which are read a piece at a time while others are hashed."""
    hashes = np.empty((n, 2), np.uint64)

    def work(piece: tuple[slice, npt.NDArray[Any]]) -> None:
        rows, array = piece
        hashes[rows] = hash_rows(array)

    pieces = ((rows, read(np.arange(rows.start, rows.stop))) for rows in blocks(n, _PIECE * sample_bytes))
    for_each(work, pieces)
    return hashes


def hash_items(items: Iterable[bytes | memoryview]) -> Hashes:
    """BLAKE2b-128 of each item, uint64 (n, 2)."""
    digests = b"".join([blake2b(item, digest_size=16).digest() for item in items])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def same(hashes: Hashes) -> IntArray:
    """int64 (n,): for each row the first row that is equal to it.

    >>> same(np.array([[5, 0], [7, 0], [5, 0], [5, 1]], np.uint64)).tolist()
    [0, 1, 0, 3]
    """
    first = np.arange(len(hashes))
    order = np.argsort(hashes[:, 0])  # most rows differ from all others in one half
    again = np.diff(hashes[order, 0]) == 0
    tied = np.union1d(order[1:][again], order[:-1][again])
    first[tied] = tied[_first_of_equals(hashes[tied])]
    return first


def _first_of_equals(hashes: Hashes) -> IntArray:
    # lexsort is stable, so the first of each run of equal rows is the earliest.
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ranked = hashes[order]
    starts = np.ones(len(ranked), bool)
    starts[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    first = np.empty(len(ranked), np.int64)
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first


def check_finite(array: npt.NDArray[Any], *, columns: Sequence[str] | None = None, first_row: int = 0) -> None:
    """Refuse NaN and infinite values of a float array (m, ...); the message names rows and columns."""
    if array.dtype == np.float16 and _finite_halves(array.view(np.uint16)):
        return
    good = np.isfinite(array)
    if good.all():
        return
    bad = np.argwhere(~good)

    def place(at: IntArray) -> str:
        column = columns[at[1]] if columns is not None else ", ".join(str(i) for i in at[1:])
        return f"row {at[0] + first_row}, column {column} ({array[tuple(at)]})"

    raise DataError(
        f"features must be finite, but {len(np.unique(bad[:, 0])):,} rows hold NaN or infinite values: "
        f"{some([place(at) for at in bad[:5]])}; drop these rows, or impute them inside the learner's pipeline"
    )


def _finite_halves(bits: npt.NDArray[np.uint16]) -> bool:
    """Whether all of these float16 are, by their bits: what is not has the largest of its sign."""
    return not bits.size or bool(bits.max() < _SIGN + _INFINITE and bits.view(np.int16).max() < _INFINITE)
