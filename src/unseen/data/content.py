"""The content of samples: hashes, exact copies, fingerprints, changed files, and the provenance of embeddings.

**Fingerprints** identify a data set by a few digests, so that a run is never continued on other data. The cheap one has
digests of labels, ids, class names and groups, the content of 256 samples, and names, sizes and times of files; the
full one has the content of every sample and no times. `docs/data.md` says what the cheap one misses.

**Provenance** of vectors is in the `provenance.json` beside them: whether the embedding model was trained on these
labels. If it was, it has seen every sample, and scores on such vectors are not held out, whatever the plan.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.core.threads import for_each
from unseen.errors import DataError, some

Hashes = npt.NDArray[np.uint64]

_BLOCK_BYTES = 32 << 20
_INFINITE, _SIGN = 0x7C00, 0x8000  # bits of float16
_PIECE = 4  # each thread hashes a quarter of a block at a time
with np.errstate(invalid="ignore"):
    _OF_HALF = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def blocks(n: int, sample_bytes: int) -> Iterator[slice]:
    """Yield slices of 0..n that hold about 32 MiB each."""
    step = max(1, _BLOCK_BYTES // max(1, sample_bytes))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def to_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Convert numbers to float32; a number that is too large becomes infinite.

    >>> to_float32(np.array([1.5, 1e300])), to_float32(np.array([-0.25, 65504], np.float16))
    (array([1.5, inf], dtype=float32), array([-2.5000e-01,  6.5504e+04], dtype=float32))
    """
    if values.dtype == np.float16:  # twice as fast as the cast of NumPy
        return np.take(_OF_HALF, np.asarray(values).view(np.uint16))
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def hash_rows(array: npt.NDArray[Any]) -> Hashes:
    """Hash each row of a numeric array to 128 bits, uint64 (n, 2). Zero and minus zero are one value.

    Numbers of float16 have the hash of the same numbers in float32.

    This is multilinear hashing (Lemire and Kaser 2014, arXiv 1202.4961): each quarter of the hash is the upper half of
    a sum modulo 2^64 of a fixed random number and the 32-bit words of the row, each multiplied by another fixed random
    number. Two different rows have equal hashes with probability 2^-128. One call of NumPy hashes all rows, and
    releases the interpreter lock.

    >>> a, b, c = hash_rows(np.array([[1, 2], [3, 4], [1, 2]], np.uint8))
    >>> bool((a == c).all()), bool((a == b).all())
    (True, False)
    """
    rows = np.ascontiguousarray(to_float32(array) if array.dtype == np.float16 else array)
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
    """Return the fixed random numbers for rows of so many words, (4,) and (4, words)."""
    keys = seeds.keys(0, np.arange(4 * (words + 1)), "content")
    return keys[:4], keys[4:].reshape(4, words)


def hash_all(n: int, sample_bytes: int, read: Callable[[IntArray], npt.NDArray[Any]]) -> Hashes:
    """Hash all n samples by `hash_rows`; pieces are read while other threads hash."""
    hashes = np.empty((n, 2), np.uint64)

    def work(piece: tuple[slice, npt.NDArray[Any]]) -> None:
        rows, array = piece
        hashes[rows] = hash_rows(array)

    pieces = ((rows, read(np.arange(rows.start, rows.stop))) for rows in blocks(n, _PIECE * sample_bytes))
    for_each(work, pieces)
    return hashes


def hash_items(items: Iterable[bytes | memoryview]) -> Hashes:
    """Hash each item by BLAKE2b-128, uint64 (n, 2)."""
    digests = b"".join([blake2b(item, digest_size=16).digest() for item in items])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def same(hashes: Hashes) -> IntArray:
    """Find, for each row, the first row that is equal to it, int64 (n,).

    >>> same(np.array([[5, 0], [7, 0], [5, 0], [5, 1]], np.uint64)).tolist()
    [0, 1, 0, 3]
    """
    # lexsort is stable, so the first of each run of equal rows is the earliest.
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ranked = hashes[order]
    starts = np.ones(len(ranked), bool)
    starts[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    first = np.empty(len(ranked), np.int64)
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first


def check_finite(array: npt.NDArray[Any], *, columns: Sequence[str] | None = None, first_row: int = 0) -> None:
    """Refuse NaN and infinite values in a float array (m, ...); the message names rows and columns."""
    if array.dtype == np.float16 and array.size:  # NaN and infinity have the largest bit patterns of their sign
        bits = array.view(np.uint16)
        if bits.max() < _SIGN + _INFINITE and bits.view(np.int16).max() < _INFINITE:
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
        f"{some([place(at) for at in bad[:5]])}; drop these rows, or pass a data frame to a learner that imputes them"
    )


SAMPLE = 256  # rows whose content is in the cheap fingerprint


@dataclass(frozen=True, eq=False)
class Files:
    """The number and size of the files of a data set at opening, and a digest of names, sizes and times."""

    count: int
    bytes: int
    digest: str


class Watch:
    """A record of files that are read repeatedly: size, modification time and inode at opening.

    Args:
        places: the files; those that do not exist any more, such as maps of unnamed files, are not watched.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        states = {place.absolute(): _identity(place) for place in places}
        self._states = {place: state for place, state in states.items() if state is not None}

    def check(self) -> None:
        """Refuse files that have changed since they were opened, were replaced, or are gone, by a DataError."""
        for place, state in self._states.items():
            if _identity(place) != state:
                raise changed(place, "its size or time differs, or another file replaced it")


def changed(where: Path | str, how: str) -> DataError:
    """Make the error for a file that has changed since it was opened."""
    return DataError(f"{where} has changed since it was opened ({how}); begin again with the data as it is now")


def stamp(root: Path, names: Iterable[str]) -> Files:
    """Digest names, sizes and modification times of files below `root`; for a missing file, its name only."""
    return stamp_states((name, *(_identity(root / name) or (0, None))[:2]) for name in names)


def stamp_states(files: Iterable[tuple[str, int, int | str | None]]) -> Files:
    """Digest the name and size of each file, and its time or digest if there is one."""
    seen, count, total = blake2b(digest_size=16), 0, 0
    for name, size, mark in files:
        seen.update(json.dumps([name, size, mark]).encode())
        count, total = count + 1, total + size
    return Files(count, total, seen.hexdigest())


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def sample_rows(n: int) -> IntArray:
    """Choose the rows whose content is in the cheap fingerprint, ascending: 256, or all if there are fewer."""
    if n <= SAMPLE:
        return np.arange(n)
    return np.sort(seeds.generator(0, "fingerprint", n).choice(n, SAMPLE, replace=False))


def digest(array: npt.NDArray[Any]) -> str:
    """Digest shape, type and values of an array of numbers or text."""
    if array.dtype.kind in "OU":
        return digest_values(array.tolist())
    about = f"{array.dtype.str}{array.shape}".encode()
    return blake2b(about + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def digest_values(values: Any) -> str:
    """Digest lists of numbers, text and None."""
    return blake2b(json.dumps(values, default=repr).encode(), digest_size=16).hexdigest()


PROVENANCE = "provenance.json"
FORMAT = "unseen embedding 1"

# What is known of the labels that an embedding was trained on, and the text for it.
LABELS = {
    "none": "no label takes part in it",
    "unknown": (
        "it is not known whether it was trained on these labels; if it was, held-out scores are not held out "
        "(see docs/embeddings.md)"
    ),
    "these": "it was trained on THESE labels: held-out scores from it are NOT held out (see docs/embeddings.md)",
    "others": "it was trained on other labels, not on these",
}


def provenance_of(folder: Path) -> dict[str, Any] | None:
    """Read the provenance that `unseen.embed` wrote in a folder; None if it did not make the folder."""
    try:
        found = json.loads((folder / PROVENANCE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / PROVENANCE} is damaged: {error}; embed again, into a new folder") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    if found.get("labels") not in LABELS or not isinstance(found.get("embedding"), dict):
        raise DataError(f"{folder / PROVENANCE} is damaged: labels must be one of {', '.join(LABELS)}")
    return found


def note(provenance: Mapping[str, Any]) -> str:
    """Describe the embedding in one sentence, for the notes of the data set.

    >>> note({"embedding": {"by": "patches"}, "labels": "none"})
    'embedded by patches: no label takes part in it'
    """
    made = provenance["embedding"]
    trained_on = f" (trained on {made['trained_on']})" if "trained_on" in made else ""
    return f"embedded by {made['by']}{trained_on}: {LABELS[provenance['labels']]}"


def warn_if_seen(provenance: Mapping[str, Any], where: str) -> None:
    """Warn if the embedding was trained on these labels."""
    if provenance["labels"] == "these":
        warnings.warn(
            f"the vectors in {where} were made by {provenance['embedding']['by']}, which was trained on these labels: "
            "every sample has been seen, so held-out scores from them are not held out, and errors in labels look "
            "right. Embed by a model that never saw these labels, such as the built-in untrained features",
            UserWarning,
            stacklevel=4,
        )
