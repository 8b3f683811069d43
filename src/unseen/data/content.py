"""Content of samples: exact copies, and values that no learner can take. Arrays in, arrays out.

What a data set looked like, in a few digests, so that a run is never continued on other data.

The **cheap** fingerprint (the default) holds: the number, shape, type and kind of samples; digests of all labels,
ids, class names and groups, in order; the content of 256 samples, chosen by a fixed seed; and, for data in files,
the name, size and modification time of every file. It is cheap for a million images.

What the cheap one **cannot see**: for arrays and other data in memory, a changed sample that is not among the 256
(a change of one sample in a million is missed with probability 0.9997, of 1 % of the samples with 0.08). For data
in files, a changed file outside the 256 whose size and modification time were both kept (`cp -p` of a file of the
same size, a disk fault). It also sees what is no change: a copy of the files with new times is "other data".

The **full** one (`full=True`, `--verify full`) digests the content of every sample instead, and leaves modification
times out: it sees every change, and a mere copy is the same data.

Where vectors come from: what the `provenance.json` beside them says, and what follows for held-out scores.

A model that was trained on these labels has seen every sample. Whatever is fitted on its vectors and held out is held
out from the head alone, so scores on such vectors are not held out, and no plan can mend that.
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

__all__ = [
    "FORMAT",
    "LABELS",
    "PROVENANCE",
    "Files",
    "Watch",
    "blocks",
    "changed",
    "check_finite",
    "digest",
    "digest_values",
    "hash_all",
    "hash_items",
    "hash_rows",
    "note",
    "provenance_of",
    "same",
    "sample_rows",
    "single",
    "stamp",
    "stamped",
    "warn_if_seen",
]


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


SAMPLE = 256


@dataclass(frozen=True, eq=False)
class Files:
    """The files behind a data set when it was opened, and a digest of their names, sizes and times."""

    count: int
    bytes: int
    digest: str


class Watch:
    """Files that are read again and again, as they were when they were opened: size, modification time and inode.

    Args:
        places: the files; those that are gone already, as maps of unnamed files are, are not watched.

    """

    def __init__(self, places: Iterable[Path]) -> None:
        states = {place.absolute(): _identity(place) for place in places}
        self._states = {place: state for place, state in states.items() if state is not None}

    def check(self) -> None:
        """Refuse files that are not as they were.

        Raises:
            DataError: one of them has changed, was replaced, or is gone.

        """
        for place, state in self._states.items():
            if _identity(place) != state:
                raise changed(place, "its size or time is another, or another file took its place")


def changed(where: Path | str, how: str) -> DataError:
    """The error to raise for a file that is no longer what it was."""
    return DataError(f"{where} has changed since it was opened ({how}); begin again with the data as it is now")


def stamp(root: Path, names: Iterable[str]) -> Files:
    """Names, sizes and modification times of files below `root`; of what is not there, the name."""
    return stamped((name, *_state(root / name)) for name in names)


def stamped(files: Iterable[tuple[str, int, int | str | None]]) -> Files:
    """Of the name and size of each file, and a time or digest if there is one."""
    seen, count, total = blake2b(digest_size=16), 0, 0
    for name, size, mark in files:
        seen.update(json.dumps([name, size, mark]).encode())
        count, total = count + 1, total + size
    return Files(count, total, seen.hexdigest())


def _state(path: Path) -> tuple[int, int | None]:
    try:
        status = path.stat()
    except OSError:  # a broken link, which whoever opens the data set refuses or skips
        return 0, None
    return status.st_size, status.st_mtime_ns


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def sample_rows(n: int) -> IntArray:
    """The rows whose content the cheap fingerprint holds, ascending: 256, or all of fewer."""
    if n <= SAMPLE:
        return np.arange(n)
    return np.sort(seeds.generator(0, "fingerprint", n).choice(n, SAMPLE, replace=False))


def digest(array: npt.NDArray[Any]) -> str:
    """Of shape, type and values of an array of numbers or text."""
    if array.dtype.kind in "OU":
        return digest_values(array.tolist())
    about = f"{array.dtype.str}{array.shape}".encode()
    return blake2b(about + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def digest_values(values: Any) -> str:
    """Of lists of numbers, text and None."""
    return blake2b(json.dumps(values, default=repr).encode(), digest_size=16).hexdigest()


PROVENANCE = "provenance.json"
FORMAT = "unseen embedding 1"

# What is known of the labels that an embedding was trained on, and what to say of it.
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
    """What `unseen.embed` wrote beside the arrays in a folder; None if they are not of its making.

    Raises:
        DataError: the file is damaged.

    """
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
    """One sentence for the notes of the data set.

    >>> note({"embedding": {"by": "patches"}, "labels": "none"})
    'embedded by patches: no label takes part in it'
    """
    made = provenance["embedding"]
    trained_on = f" (trained on {made['trained_on']})" if "trained_on" in made else ""
    return f"embedded by {made['by']}{trained_on}: {LABELS[provenance['labels']]}"


def warn_if_seen(provenance: Mapping[str, Any], where: str) -> None:
    """Warn where the embedding has seen these labels."""
    if provenance["labels"] == "these":
        warnings.warn(
            f"the vectors in {where} were made by {provenance['embedding']['by']}, which was trained on these labels: "
            "every sample has been seen, so held-out scores from them are not held out, and errors in labels look "
            "right. Embed by a model that never saw these labels, such as the built-in untrained features",
            UserWarning,
            stacklevel=4,
        )
