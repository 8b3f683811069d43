"""The sources of exports: the rows of a data set as they are stored, not as learners see them.

`source_of` opens the source of a data set: `FolderSource` gives the files of a folder of images, `ParquetRows` the rows
of parquet files with all columns, `HuggingFaceRows` those of a Hugging Face `Dataset` (whose library is not imported),
and `OpenData` the inputs of any open data set, with images as PNG files.
"""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from unseen.core.arrays import IdArray, IntArray
from unseen.core.protocols import Data
from unseen.data.columns import Roles, is_image, labelling_of
from unseen.data.content import Files, blocks
from unseen.data.datasets import HuggingFaceSource, from_huggingface
from unseen.data.folders import from_folder, listed
from unseen.data.labels import Labelling
from unseen.data.sources import from_disk, loaded, reader_of, resolve
from unseen.data.storage import opened_parquet
from unseen.data.tables import ParquetSource, from_parquet
from unseen.errors import DataError, UnknownNameError, some

__all__ = [
    "IMAGE",
    "ExportSource",
    "FolderSource",
    "HuggingFaceRows",
    "OpenData",
    "ParquetRows",
    "roles_in",
    "rows_of",
    "source_of",
    "with_features",
]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # how Hugging Face writes images


class ExportSource(Protocol):
    """A data set as it is stored.

    Attributes:
        files: names, sizes and times of its files; None where there are none.
        labelling: ids, labels and classes of its rows; some of them may not have been scored (unreadable images).
        schema: the schema of its columns.
        options: the options of the reader by which it was scored.

    """

    files: Files | None
    labelling: Labelling
    schema: pa.Schema
    options: Mapping[str, Any]

    @property
    def data(self) -> Data:
        """The data set as it was scored. Opening it may read all of it."""

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows, ascending, with all columns, in pieces that fit in memory."""


def rows_of(ids: IdArray, source: ExportSource) -> IntArray:
    """Find the rows of these samples in the source, int64 (m,).

    Raises:
        DataError: the source lacks some of them.

    """
    known, wanted = source.labelling.ids, ids.tolist()
    if known.dtype.kind in "iu" and np.array_equal(known, np.arange(len(known))):
        rows = [row if isinstance(row, int) and 0 <= row < len(known) else -1 for row in wanted]
    else:
        place = {identity: row for row, identity in enumerate(known.tolist())}
        rows = [place.get(identity, -1) for identity in wanted]
    lost = [identity for identity, row in zip(wanted, rows, strict=True) if row < 0]
    if lost:
        raise DataError(f"the data set lacks {len(lost):,} samples of the coreset: {some(lost)}")
    return np.array(rows, dtype=np.int64)


def with_features(schema: pa.Schema, classes: Mapping[str, Sequence[str]]) -> pa.Schema:
    """Add to the schema what Hugging Face needs: which columns are images, and the names of classes.

    >>> about = with_features(pa.schema([("label", pa.int64())]), {"label": ["cat", "dog"]}).metadata[b"huggingface"]
    >>> json.loads(about)["info"]["features"]["label"]
    {'names': ['cat', 'dog'], '_type': 'ClassLabel'}

    """
    features: dict[str, Any] = {name: {"names": list(names), "_type": "ClassLabel"} for name, names in classes.items()}
    features |= {field.name: {"_type": "Image"} for field in schema if field.type == IMAGE}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


# ---- open data sets --------------------------------------------------------------------------------------------------

_ROW_BYTES = 256  # of text and tables, guessed


class OpenData:
    """The source of an open data set: arrays, npz and npy files, map-style data sets.

    Args:
        data: the data set. Its columns are `image`, `features` (one column a feature, where these have names) or
            `text`; `label` or `target`; and `id`, if ids are not rows.

    """

    def __init__(self, data: Data) -> None:
        self.data: Data = data
        self.files: Files | None = data.files
        self.options: Mapping[str, Any] = {}
        self.labelling = Labelling(data.ids, data.labels, data.class_names, data.groups, targets=data.targets)
        self._names = self._feature_names()
        fields = [*self._input_fields(), ("label", pa.int64()) if data.targets is None else ("target", pa.float64())]
        self._has_ids = not np.array_equal(data.ids, np.arange(len(data)))
        if self._has_ids:
            fields.append(("id", pa.string() if data.ids.dtype.kind in "UO" else pa.int64()))
        schema = pa.schema(fields)
        self.schema = with_features(schema, {"label": data.class_names} if data.targets is None else {})

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield the inputs and labels of these rows, block by block."""
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
        names: Sequence[str] | None = self.data.feature_names
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
        return [(name, _column_type(inputs[:, at].tolist())) for at, name in enumerate(self._names)]

    def _inputs(self, taken: npt.NDArray[Any]) -> list[Any]:
        kind = self.data.kind
        if kind == "image":
            return [[{"bytes": _encode_png(image), "path": None} for image in taken]]
        if kind == "text":
            return [taken.tolist()]
        if kind == "vector" and not self._names:
            return [list(taken)]
        columns = [taken[:, at] for at in range(taken.shape[1])]
        if kind == "vector":
            return columns
        types = self.schema.types
        return [[_convert(value, types[at]) for value in column.tolist()] for at, column in enumerate(columns)]


def _column_type(values: list[Any]) -> pa.DataType:
    """Find the one type of a column: text where it mixes numbers and text."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {bool}:
        return pa.bool_()
    if kinds <= {int, bool}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float, bool} else pa.string()


def _convert(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind):
        return str(value)
    return float(value) if pa.types.is_floating(kind) else value


def _encode_png(image: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()


# ---- folders of images -----------------------------------------------------------------------------------------------

_PIECE_BYTES = 64 << 20  # bytes of files in one table


class FolderSource:
    """The source of a folder of images, one folder a class: the files themselves.

    Args:
        path: the folder.
        options: the options of `unseen.data.from_folder` by which it was scored.

    """

    def __init__(self, path: str | Path, options: Mapping[str, Any]) -> None:
        self.root, self.options = Path(path).absolute(), options
        images, self.labelling, about = listed(self.root)
        self.paths: list[str] = images.paths.tolist()
        self.files: Files | None = about["files"]
        self.schema = with_features(
            pa.schema([("image", IMAGE), ("label", pa.int64()), ("id", pa.string())]),
            {"label": self.labelling.class_names},
        )

    @cached_property
    def data(self) -> Data:
        """The data set of decoded images."""
        return from_folder(self.root, **self.options)

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield the files unchanged, the numbers of their classes, and their paths."""
        images: list[dict[str, Any]] = []
        kept: list[int] = []
        size = 0
        for row in rows.tolist():
            content = self.read(row)
            images.append({"bytes": content, "path": Path(self.paths[row]).name})
            kept.append(row)
            size += len(content)
            if size > _PIECE_BYTES:
                yield self._table(images, kept)
                images, kept, size = [], [], 0
        if kept:
            yield self._table(images, kept)

    def read(self, row: int) -> bytes:
        """Read the content of one file."""
        path = self.root / self.paths[row]
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}; it was there when scored") from error

    def _table(self, images: list[dict[str, Any]], kept: list[int]) -> pa.Table:
        columns = [images, self.labelling.labels[kept], [self.paths[row] for row in kept]]
        return pa.table([pa.array(c, t) for c, t in zip(columns, self.schema.types, strict=True)], schema=self.schema)


# ---- parquet ---------------------------------------------------------------------------------------------------------


class ParquetRows:
    """The source of a parquet file, or of the parquet files below a folder.

    Args:
        path: the file or folder, or its URL.
        options: the options of `unseen.data.from_parquet` by which it was scored.

    """

    def __init__(self, path: str | Path, options: Mapping[str, Any]) -> None:
        self.path, self.options = path, options
        self._source = ParquetSource(self.path, self.options.get("split"))
        self.files: Files | None = self._source.files
        self.schema = self._source.schema
        self.labelling = labelling_of(self._source, roles_in(options))

    @cached_property
    def data(self) -> Data:
        """The data set of the inputs and labels."""
        return from_parquet(self.path, **self.options)

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows with all columns, one table a row group."""
        places = self._source.rows[rows]
        starts = np.cumsum([0, *(count for *_, count in self._source.groups)])
        group_of = np.searchsorted(starts, places, side="right") - 1
        for group in np.unique(group_of).tolist():
            file, number, _ = self._source.groups[group]
            local = places[group_of == group] - starts[group]
            yield self._row_group(file, number).take(local)

    def _row_group(self, file: int, number: int) -> pa.Table:
        storage, name = self._source.storage, self._source.names[file]

        def read() -> pa.Table:
            with opened_parquet(storage, name) as parquet:
                table = parquet.read_row_group(number, use_threads=False)
            return self._source.folders.filled(file, table, self.schema.names).cast(self.schema)

        return storage.reading(f"row group {number} of {storage.where(name)}", "cannot be read", read)


def roles_in(options: Mapping[str, Any]) -> Roles:
    """Return the roles of columns among the options of a reader."""
    known = {field.name for field in fields(Roles)}
    return Roles(**{name: value for name, value in options.items() if name in known})


# ---- Hugging Face ----------------------------------------------------------------------------------------------------

_PIECE_ROWS = 1000  # rows in one table


class HuggingFaceRows:
    """The source of one split of a Hugging Face data set.

    Args:
        ds: the `datasets.Dataset`.
        options: the options of `unseen.data.from_huggingface` by which it was scored.

    """

    files: Files | None = None

    def __init__(self, ds: Any, options: Mapping[str, Any]) -> None:
        self.options = options
        source = HuggingFaceSource(ds)
        self.schema: pa.Schema = source.schema
        self.labelling = labelling_of(source, roles_in(options))
        self.ds = ds

    @cached_property
    def data(self) -> Data:
        """The data set of the inputs and labels."""
        return from_huggingface(self.ds, **self.options)

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows with all columns, without transforms; files that are only named are read in."""
        plain = self.ds.with_format("arrow")
        for start in range(0, len(rows), _PIECE_ROWS):
            yield _read_files(plain[rows[start : start + _PIECE_ROWS].tolist()].cast(self.schema))


def _read_files(table: pa.Table) -> pa.Table:
    """Put the bytes of files that the table only names into it, since the files may be missing at its destination."""
    for at, field in enumerate(table.schema):
        if is_image(field):
            column = [_read_file(value) for value in table.column(at).to_pylist()]
            table = table.set_column(at, field, pa.array(column, field.type))
    return table


def _read_file(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None or value["bytes"] is not None or not value.get("path"):
        return value
    path = Path(value["path"])
    try:
        return {**value, "bytes": path.read_bytes(), "path": path.name}
    except OSError as error:
        raise DataError(f"{path}, which the data set names, cannot be read: {error.strerror or error}") from error


def source_of(named: Any, options: Mapping[str, Any]) -> ExportSource:
    """Open the source of the data set that `unseen.data.resolve(named, **options)` opens."""
    if isinstance(named, (str, Path)) or hasattr(named, "with_format"):
        reader = reader_of(named)[0]
        for name in options:
            if name not in inspect.signature(reader).parameters:
                raise UnknownNameError(f"option of {reader.__name__}", name, list(inspect.signature(reader).parameters))
        if reader is from_folder:
            return FolderSource(named, options)
        if reader is from_parquet:
            return ParquetRows(named, options)
        if reader in (from_huggingface, from_disk):
            return HuggingFaceRows(loaded(named) if reader is from_disk else named, options)
    return OpenData(resolve(named, **options))
