"""Previews of a few samples, for people, without the pass over all samples that opening for training takes."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from unseen.core.arrays import IdArray, IntArray
from unseen.core.protocols import Data
from unseen.data.columns import Roles, image_column, labelling_of
from unseen.data.content import Files
from unseen.data.datasets import HuggingFaceSource, from_huggingface
from unseen.data.folders import from_folder, listed
from unseen.data.images import ImageSource, upright
from unseen.data.labels import Labelling
from unseen.data.sources import from_disk, loaded, reader_of, resolve
from unseen.data.tables import ParquetSource, from_parquet
from unseen.errors import DataError

__all__ = ["Look", "Seen", "look"]

# An image, a text, or a row of named entries; None for a sample that cannot be read any more.
Seen: TypeAlias = Image.Image | str | dict[str, Any] | None

_ROLES = ("label", "image", "text", "features", "id", "group", "target")


class Look(ABC):
    """A preview of a data set.

    Attributes:
        ids: (n,) ids of the samples.
        labels: int64 (n,).
        kind: `"image"`, `"vector"`, `"table"` or `"text"`.
        known: the entries of its fingerprint that are known without reading all samples.

    """

    ids: IdArray
    labels: IntArray
    kind: str
    known: dict[str, object]

    @abstractmethod
    def show(self, rows: IntArray) -> list[Seen]:
        """Return these samples for display; images have their full size, not the one that learners get."""


def look(source: Any, **options: Any) -> Look:
    """Open a preview of a data set in any form that `resolve` reads; images are read when they are shown.

    >>> samples = look("digits")
    >>> samples.kind, samples.show(np.array([0]))[0].size
    ('image', (8, 8))

    """
    if isinstance(source, str) and source == "digits":
        return _Opened(resolve("digits", images=True))
    if isinstance(source, Data):
        return _Opened(resolve(source, **options))
    reader, arguments = reader_of(source)
    if reader is from_folder:
        images, labelled, about = listed(Path(source))
        return _Encoded(images, labelled, about["files"])
    if reader in (from_parquet, from_huggingface, from_disk):
        preview = _open_image_column(reader, *arguments, **options)
        if preview is not None:
            return preview
    return _Opened(resolve(source, **options))


def _open_image_column(reader: Any, source: Any, **options: Any) -> Look | None:
    """Open the preview of a column of images in a table; None if there is no such column."""
    columns: Any
    if reader is from_parquet:
        columns = ParquetSource(source, options.get("split"))
    else:
        columns = HuggingFaceSource(loaded(source) if reader is from_disk else source)
    roles = Roles(**{name: value for name, value in options.items() if name in _ROLES})
    name = image_column(columns, roles)
    return None if name is None else _Encoded(columns.images(name), labelling_of(columns, roles), columns.files)


class _Encoded(Look):
    """A preview of encoded images in files."""

    kind = "image"

    def __init__(self, source: ImageSource, labelled: Labelling, files: Files | None) -> None:
        self._source, self.ids, self.labels = source, labelled.ids, labelled.labels
        self.known = {} if files is None else {"files": files.count, "bytes": files.bytes}

    def show(self, rows: IntArray) -> list[Seen]:
        return [upright(encoded) for encoded in self._source.read(np.asarray(rows))]


class _Opened(Look):
    """A preview of a data set that is already open for training."""

    def __init__(self, data: Data) -> None:
        self._data, self.ids, self.labels, self.kind = data, data.ids, data.labels, data.kind
        self._names: Sequence[str] | None = data.feature_names
        self.known = data.fingerprint()

    def show(self, rows: IntArray) -> list[Seen]:
        try:
            return [self._one(values) for values in self._data.take(rows)]
        except DataError as error:
            warnings.warn(f"samples cannot be shown: {error}", UserWarning, stacklevel=2)
            return [None] * len(rows)

    def _one(self, values: npt.NDArray[Any] | str) -> Seen:
        if isinstance(values, str):
            return values
        if self.kind == "image":
            return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
        names = self._names or [f"column {c}" for c in range(len(values))]
        return dict(zip(names, values.tolist(), strict=True))
