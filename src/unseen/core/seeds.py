"""Random numbers: every seed and generator is derived from one root seed and a purpose.

A purpose is a list of words and numbers, such as `("init", repeat, fold)`. No global generator is touched. A random
value of a sample (its fold, its place in an epoch) depends on (seed, purpose, id) and on nothing else. So it moves
with the id when the rows of a data set are shuffled.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import IdArray, IntArray
from unseen.core.checks import is_integer
from unseen.errors import ArgumentError


def checked(seed: object) -> int:
    """Return the seed as an int; refuse a seed that is not an integer."""
    if not is_integer(seed):
        raise ArgumentError(f"seed must be an integer, got {seed!r}; leave it out for 0")
    return int(seed)


def derive(seed: int, *purpose: str | int) -> int:
    """Derive the 63-bit seed of one purpose, equal in every process and version: `derive(0, "init", repeat, fold)`.

    >>> derive(0, "init", 1) == derive(0, "init", 1), derive(0, "init", 1) == derive(0, "init", 2)
    (True, False)
    """
    text = "\x1f".join([str(checked(seed)), *(f"{type(p).__name__}:{p}" for p in purpose)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a new NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(derive(seed, *purpose)))


def keys(seed: int, ids: IdArray, *purpose: str | int) -> npt.NDArray[np.uint64]:
    """Return a pseudo-random key for each sample, uint64 (n,), a function of (seed, purpose, id) alone.

    Integer ids are mixed by splitmix64 (vectorised, about 1e8 a second); other ids are hashed as text, one by one.
    """
    ids = np.asarray(ids)
    salt = np.array([derive(seed, *purpose)], np.uint64)
    if ids.dtype.kind in "iu":
        base = ids.astype(np.uint64)
    else:
        digests = b"".join(blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
        base = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
    return _splitmix(_splitmix(base) ^ _splitmix(salt))


def order(seed: int, ids: IdArray, *purpose: str | int) -> IntArray:
    """Return the rows of `ids` in the order of their `keys`; equal keys are ordered by id."""
    ids = np.asarray(ids)
    return np.lexsort((ids, keys(seed, ids, *purpose)))


def _splitmix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)  # arrays wrap around without a warning
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
