"""Any open data set as a source: what `take` gives, with images as PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from unseen.data.content import blocks
from unseen.data.fingerprint import Files
from unseen.data.labelling import Labelling
from unseen.exporting.sources.base import IMAGE, with_features
from unseen.protocols import Data
from unseen.types import IntArray

__all__ = ["OpenData"]

_ROW_BYTES = 256  # of text and tables, guessed


class OpenData:
    """An open data set: arrays, npz and npy files, map-style data sets.

    Args:
        data: the data set. Its columns: `image`, `features` (one column a feature where they have names) or `text`;
            `label` or `target`; and `id`, if ids are not rows.

    """

    def __init__(self, data: Data) -> None:
        self.data: Data = data
        files = getattr(data, "files", None)
        self.files: Files | None = files if isinstance(files, Files) else None
        self.labelling = Labelling(data.ids, data.labels, data.class_names, data.groups, targets=data.targets)
        self._names = self._feature_names()
        fields = [*self._input_fields(), ("label", pa.int64()) if data.targets is None else ("target", pa.float64())]
        self._has_ids = not np.array_equal(data.ids, np.arange(len(data)))
        if self._has_ids:
            fields.append(("id", pa.string() if data.ids.dtype.kind in "UO" else pa.int64()))
        schema = pa.schema(fields)
        self.schema = with_features(schema, {"label": data.class_names} if data.targets is None else {})

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """What `take` gives, block by block."""
        data = self.data
        size = max(_ROW_BYTES, int(np.prod(data.sample_shape, dtype=np.int64)) * data.dtype.itemsize)
        for block in blocks(len(rows), size):
            some = rows[block]
            columns = self._inputs(data.take(some))
            columns.append((data.labels if data.targets is None else data.targets)[some])
            if self._has_ids:
                columns.append(data.ids[some].tolist())
            arrays = [pa.array(c, t) for c, t in zip(columns, self.schema.types, strict=True)]
            yield pa.table(arrays, schema=self.schema)

    def _feature_names(self) -> list[str]:
        names = getattr(self.data, "feature_names", None)
        if names is None and self.data.kind == "table":
            names = [f"feature_{at}" for at in range(self.data.sample_shape[0])]
        taken = {"label", "target", "id"}
        return [name if name not in taken else f"feature_{name}" for name in map(str, names or ())]

    def _input_fields(self) -> list[tuple[str, pa.DataType]]:
        kind = self.data.kind
        if kind == "image":
            return [("image", IMAGE)]
        if kind == "text":
            return [("text", pa.string())]
        if kind == "vector":
            if self._names:
                return [(name, pa.float32()) for name in self._names]
            return [("features", pa.list_(pa.float32(), self.data.sample_shape[0]))]
        inputs = self.data.take(np.arange(len(self.data)))
        return [(name, _type(inputs[:, at].tolist())) for at, name in enumerate(self._names)]

    def _inputs(self, taken: npt.NDArray[Any]) -> list[Any]:
        kind = self.data.kind
        if kind == "image":
            return [[{"bytes": _png(image), "path": None} for image in taken]]
        if kind == "text":
            return [taken.tolist()]
        if kind == "vector" and not self._names:
            return [list(taken)]
        columns = [taken[:, at] for at in range(taken.shape[1])]
        if kind == "vector":
            return columns
        types = self.schema.types
        return [[_as(value, types[at]) for value in column.tolist()] for at, column in enumerate(columns)]


def _type(values: list[Any]) -> pa.DataType:
    """The one type of a column; text where it mixes numbers and text."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {bool}:
        return pa.bool_()
    if kinds <= {int, bool}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float, bool} else pa.string()


def _as(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind):
        return str(value)
    return float(value) if pa.types.is_floating(kind) else value


def _png(image: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()
