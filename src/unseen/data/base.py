"""The classes of data sets: rows of an array, texts, tables; their fingerprints, and the search for exact copies.

The readers in the other modules of this package make these objects from arrays, files and data sets of other libraries.
A fingerprint identifies a data set by a few digests, so that a run is never continued on other data; `docs/data.md`
says what the cheap and the full one hold.
"""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.core.machine import for_each
from unseen.core.protocols import Data
from unseen.data.files import Files, Watch, changed_error
from unseen.data.labels import Labelling
from unseen.errors import DataError, some, warn


class Samples(Data):
    """A labelled data set, without its inputs, which subclasses hold or read.

    Attributes beyond the protocol:
        embedding: for vectors that `unseen.embed` made, the model and what is known of its training labels; part of
            the fingerprint, and so of the manifest of a run.
        frame: for vectors and tables from a pandas or polars frame, that frame with the features only.
    """

    embedding: dict[str, Any] | None = None
    frame: Any = None

    def __init__(
        self,
        labelled: Labelling,
        *,
        notes: Sequence[str] = (),
        files: Files | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.ids, self.labels, self.class_names = labelled.ids, labelled.labels, labelled.class_names
        self.groups, self.targets = labelled.groups, labelled.targets
        self.label_values = labelled.values
        self.notes = (*labelled.notes, *notes)
        self.files = files
        self.feature_names = None if feature_names is None else tuple(feature_names)
        self._known: Hashes | None = None  # of all samples
        self._duplicates: IntArray | None = None

    def as_frame(self, rows: IntArray) -> Any:
        """Return these rows as the frame that the user gave, with its names and types; None if there is none."""
        if self.frame is None:
            return None
        rows = np.asarray(rows)
        return self.frame.iloc[rows] if hasattr(self.frame, "iloc") else self.frame[rows]

    def _warn_of_leaks(self, codes: npt.NDArray[Any], column: Callable[[int], npt.NDArray[Any]]) -> None:
        """Warn of columns that equal the labels or the target: models would only read them.

        `codes` (n, d) number the distinct entries of each column; `column` returns the entries of one.
        """
        if self.targets is None:
            found = _columns_like(codes, self.labels)
        else:
            wanted = to_float32(self.targets)
            some_rows = slice(1000)  # a column of a file is read whole only where these agree
            numbers = ((at, of) for at in range(codes.shape[1]) if (of := column(at)).dtype.kind in "biuf")
            found = [
                at
                for at, of in numbers
                if all(np.array_equal(to_float32(of[rows]), wanted[rows]) for rows in (some_rows, slice(None)))
            ]
        if found:
            named = [at if self.feature_names is None else repr(self.feature_names[at]) for at in found]
            what = "labels" if self.targets is None else "target"
            warn(
                f"column {some(named)} of the inputs is the same as the {what}: models only read it, and their scores "
                "say nothing; drop it, or name the other columns by features= (--feature)",
            )

    @abstractmethod
    def _hash_all(self) -> Hashes:
        """Compute a hash of each sample, uint64 (n, 2), equal for equal samples."""

    def _hashes(self) -> Hashes:
        if self._known is None:
            self._known = self._hash_all()
        return self._known

    def _values_digest(self, rows: IntArray) -> str:
        return digest(self.take(rows))

    def _content_digest(self) -> str:
        return digest(self._hashes())

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Return a fingerprint of content and order, as JSON; a cheap one, or one of all content if `full`."""
        content: dict[str, object] = {"content": self._content_digest()} if full else {}
        if not full and self.files is not None:
            content = {"files": self.files.count, "bytes": self.files.bytes, "stamps": self.files.digest}
        return {
            "kind": self.kind,
            "n": len(self),
            "sample_shape": list(self.sample_shape),
            "dtype": str(self.dtype),
            "classes": digest_values(self.class_names),
            "labels": digest(self.labels),
            "ids": digest(self.ids),
            "groups": None if self.groups is None else digest(self.groups),
            "sample": self._values_digest(sample_rows(len(self))),
            **({} if self.targets is None else {"targets": digest(self.targets)}),
            **({} if self.embedding is None else {"embedding": self.embedding}),
            **content,
        }

    def duplicate_groups(self) -> IntArray:
        """Return, for each sample, the first row of equal content, int64 (n,), whatever the labels."""
        if self._duplicates is None:
            self._duplicates = find_first_equal(self._hashes())
        return self._duplicates

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.sample_shape))
        what = f"{self.kind} {shape} {self.dtype}" if self.kind in ("image", "vector") else self.kind
        classes = len(self.class_names)
        answers = f"{classes} classes" if self.targets is None else f"a target in {classes} bins"
        return f"{type(self).__name__}({len(self):,} samples, {answers}, {what})"


class ArrayData(Samples):
    """Rows of one array: images, uint8 (n, H, W, 3 or 1), or vectors, given as float32 (n, d).

    Args:
        array: the array, or a memory map of it; vectors of another type are cast to float32 when they are taken.
        labelled: ids, labels and groups.
        kind: `"image"` or `"vector"`.
        hashes: uint64 (n, 2) hashes of the content, if the reader has them already.
        **about: notes, files, feature_names.

    Attributes:
        npy_file: the npy file, if `array` is a memory map of a whole one.
        watch: the files that are read again, if `array` is a memory map.
    """

    npy_file: Path | None = None

    def __init__(
        self,
        array: npt.NDArray[Any],
        labelled: Labelling,
        kind: Literal["image", "vector"],
        *,
        hashes: Hashes | None = None,
        **about: Any,
    ) -> None:
        super().__init__(labelled, **about)
        self.kind = kind
        self.array = array
        self.dtype = np.dtype(np.uint8 if kind == "image" else np.float32)
        self.sample_shape = tuple(array.shape[1:])
        self._known = hashes
        self._mapped: Path | None = None  # the file of which the array is a memory map, or a view of one
        base: Any = array
        while base is not None and self._mapped is None:
            if isinstance(base, np.memmap) and base.filename is not None:
                self._mapped = Path(base.filename)
            base = getattr(base, "base", None)
        self.watch = None if self._mapped is None else Watch([self._mapped])
        self._sampled = None if self._mapped is None else self._digest_sample()
        if array.dtype.kind == "f":
            wide = array.itemsize > self.dtype.itemsize  # a value that is too large for float32 becomes infinite
            for block in blocks(len(self), self.sample_bytes):
                values = self._cast(array[block]) if wide else array[block]
                check_finite(values, self.feature_names, first_row=block.start)
        if kind == "vector":
            self._warn_of_leaks(array, lambda at: array[:, at])
            if self._mapped is None:
                names = [repr(name) for name in self.feature_names or ()]
                warn_of_rounding(array, names or [str(at) for at in range(array.shape[1])])

    @property
    def held_bytes(self) -> int:
        """Bytes of the array; 0 if it is a memory map."""
        return 0 if isinstance(self.array, np.memmap) else self.array.nbytes

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Copy these rows: uint8 (m, H, W, 3 or 1) or float32 (m, d)."""
        return self._cast(self.array[np.asarray(rows)])

    def check_unchanged(self) -> None:
        """Refuse a changed memory map: check its file, the files beside it, and 256 samples.

        Samples are checked because some in-memory file systems keep the old time when a map is written to.
        """
        if self._mapped is not None and self.watch is not None:
            self.watch.check()
            if self._digest_sample() != self._sampled:
                raise changed_error(self._mapped, "its content differs")

    def maps(self, files: Sequence[Path], watch: Watch) -> None:
        """Declare that the array is a view of these files, which NumPy cannot tell; `watch` watches them."""
        self._mapped, self.watch, self._sampled = files[0], watch, self._digest_sample()

    def _digest_sample(self) -> str:
        return digest(self.array[sample_rows(len(self))])

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the inputs as `take` does, but float16 vectors uncast."""
        if self.array.dtype != np.float16:
            return self.take(rows)
        kept: npt.NDArray[Any] = self.array[np.asarray(rows)]
        return kept

    def __getstate__(self) -> dict[str, Any]:
        # A memory map travels to another process by name, not by content.
        return self.__dict__ if self.npy_file is None else {**self.__dict__, "array": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.npy_file is not None:
            self.array = np.load(self.npy_file, mmap_mode="r", allow_pickle=False)

    def _cast(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.ascontiguousarray(values if self.kind == "image" else to_float32(values))

    def _hash_all(self) -> Hashes:
        return hash_all(len(self), self.sample_bytes, self.as_kept)


class TextData(Samples):
    """Texts: `take` returns an object array (m,) of str."""

    def __init__(self, texts: npt.NDArray[Any], labelled: Labelling, **about: Any) -> None:
        super().__init__(labelled, **about)
        self.kind = "text"
        self.texts = texts
        self.dtype = np.dtype(object)
        self.sample_shape = ()

    @property
    def held_bytes(self) -> int:
        """Bytes of the texts, and of a pointer to each."""
        return self.texts.nbytes + sum(map(sys.getsizeof, self.texts))

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the texts of these rows, object (m,)."""
        taken: npt.NDArray[Any] = self.texts[np.asarray(rows)]
        return taken

    def _hash_all(self) -> Hashes:
        return hash_items(text.encode("utf-8", "surrogatepass") for text in self.texts)


class TableData(Samples):
    """Tables of mixed columns: `take` returns an object array (m, d) of numbers, text, and None for missing entries.

    Args:
        codes: int32 (n, d), the index of each entry among the distinct values of its column.
        values: the distinct values of each column, an array of numbers or objects.
        labelled: ids, labels and groups.
        **about: notes, files, feature_names.
    """

    def __init__(
        self, codes: npt.NDArray[np.int32], values: Sequence[npt.NDArray[Any]], labelled: Labelling, **about: Any
    ) -> None:
        super().__init__(labelled, **about)
        self.kind = "table"
        self.codes, self.values = codes, tuple(values)
        self.dtype = np.dtype(object)
        self.sample_shape = (codes.shape[1],)
        self._warn_of_leaks(codes, lambda at: self.values[at][codes[:, at]])

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return these rows, object (m, d)."""
        codes = self.codes[np.asarray(rows)]
        table = np.empty(codes.shape, object)
        for column, values in enumerate(self.values):
            table[:, column] = values[codes[:, column]]
        return table

    def _values_digest(self, rows: IntArray) -> str:
        return digest_values(self.take(rows).tolist())

    def _content_digest(self) -> str:
        return digest_values([digest(self.codes), [digest(np.asarray(values, object)) for values in self.values]])

    def _hash_all(self) -> Hashes:
        return hash_all(len(self), self.codes.shape[1] * 4, lambda rows: self.codes[rows])


def _columns_like(columns: npt.NDArray[Any], labels: IntArray) -> list[int]:
    """Find the columns (n, d) with one value in all rows of a class, another in each; none under 10 rows a class."""
    classes, first, places = np.unique(labels, return_index=True, return_inverse=True)
    if len(classes) < 2 or len(labels) < 10 * len(classes):
        return []
    of_class = columns[first]
    ordered = np.sort(of_class, axis=0)
    found = np.flatnonzero((ordered[1:] != ordered[:-1]).all(axis=0))
    for block in blocks(len(labels), 8 * columns.shape[1]):
        if found.size:
            found = found[(columns[block][:, found] == of_class[places[block]][:, found]).all(axis=0)]
    return found.tolist()


# ---- content: hashes, exact copies, and digests ---------------------------------------------------------------------


Hashes = npt.NDArray[np.uint64]

_BLOCK_BYTES = 32 << 20
_INFINITE, _SIGN = 0x7C00, 0x8000  # bits of float16
_CACHED_BYTES = 1 << 19  # hashed at a time, so that temporary arrays stay in the cache of a core
_PIECE = 4  # each thread hashes a quarter of a block at a time


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
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, dtype=np.float32)


def warn_of_rounding(values: npt.NDArray[Any], names: Sequence[str]) -> None:
    """Warn of columns (n, d) that differ by so little that float32 leaves fewer than 64 steps, as times in seconds."""
    if values.dtype.itemsize <= 4 or not values.size:  # an int32 loses no more than a few of its digits
        return
    low, high = to_float32(values.min(axis=0)), to_float32(values.max(axis=0))
    differ = values.max(axis=0) > values.min(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.flatnonzero(differ & (64 * np.spacing(np.maximum(np.abs(low), np.abs(high))) > high - low))
    if found.size:
        named = some([names[at] for at in found.tolist()])
        warn(
            f"column {named} of the inputs holds numbers that float32, which most learners read, hardly tells apart; "
            "subtract the smallest from each and divide by the largest",
        )


def hash_rows(array: npt.NDArray[Any]) -> Hashes:
    """Hash each row of a numeric array to 128 bits, uint64 (n, 2). Zero and minus zero are one value.

    Numbers of float16 have the hash of the same numbers in float32.

    This is multilinear hashing (Lemire and Kaser 2014, arXiv 1202.4961): each quarter of the hash is the upper half of
    a sum modulo 2^64 of a fixed random number and the 32-bit words of the row, each multiplied by another fixed random
    number. Two different rows have equal hashes with probability 2^-128.

    >>> a, b, c = hash_rows(np.array([[1, 2], [3, 4], [1, 2]], np.uint8))
    >>> bool((a == c).all()), bool((a == b).all())
    (True, False)
    """
    rows = np.ascontiguousarray(array).reshape(len(array), int(np.prod(array.shape[1:])))
    hashes = np.empty((len(rows), 2), np.uint64)
    step = max(1, _CACHED_BYTES // max(1, rows.itemsize * rows.shape[1]))
    for start in range(0, len(rows), step):
        hashes[start : start + step] = _hash_block(rows[start : start + step])
    return hashes


def _hash_block(rows: npt.NDArray[Any]) -> Hashes:
    if rows.dtype.kind == "f":
        own = rows.dtype.newbyteorder("=")  # files may hold the other byte order
        rows = np.add(rows, 0.0, dtype=np.float32 if own == np.float16 else own)
    content = rows.view(np.uint8)
    if content.shape[1] % 4:
        content = np.pad(content, ((0, 0), (0, -content.shape[1] % 4)))
    words = content.view(np.uint32)
    start, factors = _random(words.shape[1])
    sums: Hashes = start + np.einsum("mw,kw->mk", words, factors)
    sums >>= np.uint64(32)
    return sums[:, :2] << np.uint64(32) | sums[:, 2:]


@lru_cache(maxsize=8)
def _random(words: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return the fixed random numbers for rows of `words` words, (4,) and (4, words)."""
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


def find_first_equal(hashes: Hashes) -> IntArray:
    """Find, for each row, the first row that is equal to it, int64 (n,).

    >>> find_first_equal(np.array([[5, 0], [7, 0], [5, 0], [5, 1]], np.uint64)).tolist()
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


def check_finite(
    array: npt.NDArray[Any],
    columns: Sequence[str] | None,
    *,
    first_row: int = 0,
    name: Callable[[int], str] | None = None,
) -> None:
    """Refuse NaN and infinite values in a float array (m, ...), by columns and rows; `name` gives the name of a row."""
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
        row = f"row {at[0] + first_row}" if name is None else name(int(at[0]))
        return f"{row}, column {column} ({array[tuple(at)]})"

    # In a frame, NaN is a missing entry, and does not come here.
    fix = "drop these rows or columns"
    if not np.isinf(array).any():
        fix += ", or give a data frame, where NaN is a missing entry"
    elif columns is not None:
        fix = "make these entries missing (NaN, in a data frame), or leave the columns out"
    if np.isinf(array).any():
        fix += f"; numbers beyond {np.finfo(array.dtype).max:.2g} are infinite as {array.dtype}: scale them"
    count = len(np.unique(bad[:, 0]))
    raise DataError(
        f"features must be finite, but {'1 row holds' if count == 1 else f'{count:,} rows hold'} NaN or infinite "
        f"values: {some([place(at) for at in bad[:5]])}; {fix}"
    )


SAMPLE = 256  # rows whose content is in the cheap fingerprint


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
