"""Data sets of the Hugging Face library `datasets`. It is not imported: the object brings all that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from unseen.data.base import ArrayData, Samples
from unseen.data.columns import Roles, encoded, of_text, open_columns
from unseen.data.decoding import ImageOptions
from unseen.data.fingerprint import Files, Watch
from unseen.data.images import Encoded
from unseen.data.labelling import Labelling
from unseen.errors import ArgumentError, DataError, some
from unseen.types import IntArray

__all__ = ["from_huggingface"]

_HEAD = 1024  # rows


def from_huggingface(
    ds: Any,
    *,
    label: str | None = None,
    target: str | None = None,
    image: str | None = None,
    text: str | None = None,
    features: str | Sequence[str] | None = None,
    id: str | None = None,
    group: str | None = None,
    image_size: int | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    on_error: Literal["raise", "skip"] = "raise",
    memory_limit: int | None = None,
    workers: int | None = None,
) -> Samples:
    """A `datasets.Dataset`: one split, with its selection and order, read without its transforms.

    Args:
        ds: the data set; of a `DatasetDict` choose a split, a streaming one cannot be used.
        label: the column of labels; class names are those of its `ClassLabel`.
        target: a column of numbers to regress on, in place of labels.
        image: the column of images, as are all following ones described in `from_parquet`.
        text: see there.
        features: see there.
        id: see there.
        group: see there.
        image_size: see `from_folder`, as are the following four; refused if there are no images.
        mode: see there.
        on_error: see there.
        memory_limit: see there; refused for vectors, which are read into memory.
        workers: see there.

    Raises:
        ArgumentError: several splits, or a streaming data set.
        DataError: as `from_parquet`.

    """
    options = ImageOptions(image_size, mode, on_error, memory_limit, workers)
    source = HuggingFaceSource(ds, memory_limit)
    files = [Path(file["filename"]) for file in getattr(ds, "cache_files", ())]  # which `datasets` maps
    watch = Watch(files)
    data = open_columns(source, Roles(label, image, text, features, id, group, target), options)
    watch.check()
    if files and isinstance(data, ArrayData) and data.kind == "vector":  # a column of lists is not copied
        data.maps(files, watch)
    return data


class HuggingFaceSource:
    """The rows of a data set, in its order."""

    files: Files | None = None
    notes: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    parts: str | None = None

    def __init__(self, ds: Any, memory_limit: int | None = None) -> None:
        self.memory_limit = memory_limit
        if isinstance(ds, dict):
            raise ArgumentError(
                f"the data set has splits {some(ds)}; hand in one, as in ds[{next(iter(ds), 'train')!r}]"
            )
        if not hasattr(ds, "__len__"):
            raise ArgumentError("a streaming data set cannot be scored, as samples are asked for by row; load it whole")
        if not len(ds):
            raise DataError("the data set is empty: it has no samples")
        self.ds = ds.with_format("arrow")
        self.schema: pa.Schema = ds.features.arrow_schema

    def read(self, names: Sequence[str]) -> pa.Table:
        """These columns of all rows."""
        return of_text(self.ds.select_columns(list(names))[:])

    def head(self, names: Sequence[str]) -> pa.Table:
        """These columns of the first rows."""
        return of_text(self.ds.select_columns(list(names))[:_HEAD])

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> None:
        """None: they are read into memory, whatever their size."""
        if self.memory_limit is not None:
            raise ArgumentError(
                "memory_limit is for images here, vectors are read into memory; for larger data write parquet files, "
                "which `from_parquet` reads as needed"
            )

    def images(self, name: str) -> HuggingFaceImages:
        """The encoded images of a column."""
        return HuggingFaceImages(self.ds.select_columns([name]), np.arange(len(self.ds)))


class HuggingFaceImages:
    """A column of encoded images, memory-mapped by `datasets`."""

    def __init__(self, ds: Any, rows: IntArray) -> None:
        self.ds, self.rows = ds, rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: IntArray) -> list[Encoded]:
        """The encoded bytes, or paths where it holds only these."""
        return [encoded(value) for value in self.ds[self.rows[rows].tolist()].column(0).to_pylist()]

    def name(self, row: int) -> str:
        """The row."""
        return f"row {int(self.rows[row])}"

    def keep(self, rows: IntArray) -> HuggingFaceImages:
        """These rows only."""
        return HuggingFaceImages(self.ds, self.rows[rows])
