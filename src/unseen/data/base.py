"""The classes of data sets, each an `unseen.core.protocols.Data`: rows of an array, texts, tables.

`Samples` holds what all of them share: ids, labels, groups, notes, the fingerprint, and the groups of exact copies. The
readers in the other modules of this package make these objects from arrays, files and data sets of other libraries.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import IntArray
from unseen.core.protocols import Data
from unseen.data.content import (
    Files,
    Hashes,
    Watch,
    blocks,
    changed,
    check_finite,
    digest,
    digest_values,
    hash_all,
    hash_items,
    same,
    sample_rows,
    to_float32,
)
from unseen.data.labels import Labelling


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
        """Return a fingerprint of content and order, as JSON; `unseen.data.content` says what a cheap one misses."""
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
            self._duplicates = same(self._hashes())
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
                check_finite(values, columns=self.feature_names, first_row=block.start)

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
                raise changed(self._mapped, "its content differs")

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
