"""The data formats: one class each, which reading, the report and the export use.

A `Format` is a data set as it is stored. `open` gives what learners read. The report shows samples by `show`, and the
export writes rows by `stored`. Where a format can, both avoid the pass over all samples that opening takes. Each format
takes some of the options in `ReadOptions`.

`unseen.data.sources` has the registry of formats. Other packages add theirs by the entry-point group `unseen.formats`.
"""

from __future__ import annotations

import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from unseen.core.arrays import IntArray
from unseen.core.checks import at_least, is_number, one_of
from unseen.core.machine import count_cores, total_memory
from unseen.core.protocols import Data
from unseen.data.arrow import TEXT, is_any, value_type
from unseen.data.base import blocks
from unseen.data.decoding import ImageSource, upright
from unseen.data.files import Files, is_folder, is_url, walk, why_unreadable
from unseen.data.labels import Labelling
from unseen.data.storage import storage_of
from unseen.errors import ArgumentError, DataError, UnknownNameError, warn

# Options that formats have in common.
IN_ONE_SPLIT = ("label", "target", "image", "text", "features", "id", "group")
COLUMNS = (*IN_ONE_SPLIT, "split")
IMAGES_IN_FILES = ("image_size", "mode", "on_error", "workers", "cache")
IMAGES = ("image_size", "mode", "on_error", "memory_limit", "workers", "cache")
ARRAYS = ("x", "label", "target", "id", "group", "class_names")  # in files of NumPy
BESIDE = ("ids", "groups", "class_names")


@dataclass(frozen=True)
class ReadOptions:
    """Say how a data set is read. Each format has some of these options, and refuses the others.

    Attributes:
        label: the column of labels, default `"label"`; of a .npz file the array, and of numbered files the prefix of
            their names, default `"y"`; of dictionaries the key.
        target: numbers to regress on in place of labels, named as `label` is; of arrays and frames in memory, the (n,)
            numbers themselves.
        image: the column of images; this and the next two are detected if none of them is given.
        text: the column of text.
        features: one or more columns of features.
        id: the column (the array, the files) of ids; default the row number.
        group: the column (the array, the files) of groups that stay in one fold.
        split: the rows with this value in the column `split`; in a folder of parquet files, the files
            `<split>-00000-of-00001.parquet`.
        x: the inputs, named as `label` is: an array, the prefix of file names, or a key.
        image_size: side of the square to which every image is resized and cropped; None keeps images as they are if
            all have one size.
        mode: `"RGB"` gives images of 3 channels, `"L"` of 1.
        on_error: `"raise"` refuses images that cannot be read, `"skip"` drops them with a note.
        memory_limit: bytes up to which decoded images, or vectors of parquet files as float32, stay in memory; default
            a quarter of the machine's memory. Larger data is read again whenever it is taken.
        workers: the number of processes that decode images; by default one a core if the work takes seconds.
        cache: a folder, such as that of a run, that keeps the decoded images if decoding takes long or they do not fit
            in memory; see `unseen.data.images`.
        ids: (n,) integers or text, unique, beside arrays or a frame.
        groups: (n,) any values, beside arrays or a frame; samples of one group stay in one fold.
        class_names: the C names of the classes; labels are then numbers 0..C-1 or these names.
        images: whether the digits are images.
    """

    label: str | None = None
    target: Any = None
    image: str | None = None
    text: str | None = None
    features: str | Sequence[str] | None = None
    id: str | None = None
    group: str | None = None
    split: str | None = None
    x: str | None = None
    image_size: int | None = None
    mode: Literal["RGB", "L"] = "RGB"
    on_error: Literal["raise", "skip"] = "raise"
    memory_limit: int | None = None
    workers: int | None = None
    cache: str | Path | None = None
    ids: Any = None
    groups: Any = None
    class_names: Sequence[str] | None = None
    images: bool = False

    def __post_init__(self) -> None:
        one_of("on_error", self.on_error, ("raise", "skip"))
        one_of("mode", self.mode, ("RGB", "L"))
        if self.features is not None and not self.wanted:
            raise ArgumentError(f"features must name at least one column, got {self.features!r}")
        if self.image_size is not None:
            at_least("image_size", self.image_size, 1)
        if self.workers is not None:
            at_least("workers", self.workers, 0)
        if self.memory_limit is not None and (not is_number(self.memory_limit) or not self.memory_limit >= 0):
            raise ArgumentError(f"memory_limit must be a number of bytes, got {self.memory_limit!r}")

    @property
    def wanted(self) -> list[str]:
        """The feature columns that the user named."""
        return [self.features] if isinstance(self.features, str) else list(self.features or [])

    @property
    def for_images(self) -> bool:
        """Whether an option was given that only images have."""
        return (self.image_size, self.mode, self.on_error, self.workers) != (None, "RGB", "raise", None)

    @property
    def processes(self) -> int:
        """The number of processes that decode, if starting them pays."""
        return count_cores() if self.workers is None else at_least("workers", self.workers, 1)

    @property
    def bytes_in_memory(self) -> int:
        """The memory limit; by default a quarter of the memory of this machine, or of its control group."""
        if self.memory_limit is not None:
            return self.memory_limit
        return total_memory() // 4

    def check_columns(self, names: Sequence[str]) -> None:
        """Refuse columns that do not exist, more than one kind of input, and labels beside a target."""
        if self.label is not None and self.target is not None:
            raise ArgumentError(
                f"give label (classes) or target (numbers to regress on), got label={self.label!r} and "
                f"target={self.target!r}"
            )
        given = [word for word in ("image", "text", "features") if getattr(self, word) is not None]
        if len(given) > 1:
            raise ArgumentError(f"inputs are one of image, text and features, got {' and '.join(given)}")
        named = [(role, getattr(self, role)) for role in ("label", "target", "image", "text", "id", "group")]
        for role, name in named:
            if not isinstance(name, (str, type(None))):
                such, hint = (str(name), ": names are text") if str(name) in names else (names[0], "")
                raise ArgumentError(f"{role} must be the name of one column, such as {such!r}, got {name!r}{hint}")
        for role, name in [*named, *(("features", name) for name in self.wanted)]:
            if name is not None and name not in names:
                raise UnknownNameError(f"column for {role}", name, names)


class Reading(TypedDict, total=False):
    """The options of `ReadOptions` that verbs take beside their own, which are `features` and `groups`."""

    label: str
    target: Any
    text: str
    image: str
    id: str
    group: str
    split: str
    x: str
    image_size: int
    mode: Literal["RGB", "L"]
    on_error: Literal["raise", "skip"]
    class_names: Any
    ids: Any


class ReaderOptions(Reading, total=False):
    """The options of `ReadOptions` that readers take."""

    features: str | Sequence[str]
    memory_limit: int
    workers: int
    cache: str | Path
    groups: Any


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # how Hugging Face writes images

# An image, a text, or a row of named entries; None for a sample that cannot be read any more.
Shown: TypeAlias = Image.Image | str | dict[str, Any] | None


class Place:
    """A path or URL, looked at once for all formats.

    Attributes:
        given: as the user gave it.
        is_url: whether it is the URL of a store.
        is_folder: whether it is a folder that may be accessed.
        is_file: whether it is a readable file.
    """

    def __init__(self, given: str | Path) -> None:
        self.given = given
        self.is_url = is_url(given)
        self.is_folder = not self.is_url and is_folder(Path(given))
        self.is_file = not self.is_url and not self.is_folder and why_unreadable(Path(given)) is None

    def is_named(self, place: str) -> bool:
        """Tell whether it is the name of a data set to download, as `hf:name`; `hf://...` is a URL."""
        return re.match(f"{place}:(?!//)", str(self.given)) is not None

    @property
    def suffix(self) -> str:
        """The suffix of the file or folder, in lower case; empty for a URL, and if there is none of that name."""
        return Path(self.given).suffix.lower() if self.is_file or self.is_folder else ""

    @cached_property
    def names(self) -> list[str]:
        """The files below the folder or URL; none for a folder whose suffix tells its format."""
        if self.is_url:
            return storage_of(str(self.given), "").names("")
        return walk(Path(self.given)).files if self.is_folder and self.suffix != ".parquet" else []

    def holds(self, suffix: str, *, deep: bool = True) -> bool:
        """Tell whether one of the files has this suffix, in lower or upper case."""
        return any(name.lower().endswith(suffix) and (deep or "/" not in name) for name in self.names)


class Format(ABC):
    """A data set as it is stored, in one format; derive from it.

    A subclass must define `reads` and `open`. All other defaults use the open data set.

    Args:
        source: what the user gave, such as a path.
        **given: options of reading.

    Attributes:
        reader: the name of the public function that reads the format, for messages.
        about: a source of this format, and what it is, for messages.
        options: the options that it has, from `ReadOptions` or its own.
        aliases: other names of options.
        root: the folder below which each sample is a file that is named by its id; None if there is none.
    """

    reader: ClassVar[str]
    about: ClassVar[tuple[str, str]]
    options: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = {}
    root: Path | None = None

    def __init__(self, source: Any, **given: Any) -> None:
        self.source, self.given = source, self.named(given)
        for name, value in self.given.items():
            self._refuse_values(name, value)
            if name in COLUMNS and name not in ("split", *self.options) and isinstance(value, (str, list)):
                raise ArgumentError(
                    f"{name}={value!r} names a column, and {self.reader} has none; its options: "
                    f"{', '.join(self.options) or 'none'}"
                )
            if name not in self.options:
                raise UnknownNameError(f"option of {self.reader}", name, self.options)
        known = {field.name for field in fields(ReadOptions)}
        self.reading = ReadOptions(**{name: value for name, value in self.given.items() if name in known})

    def _refuse_values(self, name: str, value: Any) -> None:
        """Refuse values in place of a name, as of labels; beside arrays, a target is values."""
        if name not in COLUMNS or name == "features" or isinstance(self.source, tuple):
            return
        if getattr(value, "shape", ()) or (isinstance(value, (list, tuple)) and len(value) > 1):
            such = {"label": "(X, y)", "target": "(X, target=y)"}.get(name, "(X, y, ids=ids, groups=groups)")
            verb = "unseen.prune" if name in ("label", "target") else "unseen.data.from_arrays"
            raise ArgumentError(
                f"{name} must be a name, by which {self.reader} finds it, got {len(value):,} values; values go with "
                f"inputs in memory, as in {verb}{such}"
            )

    @classmethod
    @abstractmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether a source is of this format; a path or URL comes as a `Place`."""

    @abstractmethod
    def open(self) -> Data:
        """Open the data set for learners, which may read all of it."""

    @classmethod
    def named(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Rename options to the names that this format uses, and leave out those that are None."""
        named: dict[str, Any] = {}
        for name, value in given.items():
            own = cls.aliases.get(name, name)
            if value is None:
                continue
            if own in named:
                raise ArgumentError(f"{own!r} is named twice, by {name}={value!r} too; leave one out")
            named[own] = value
        return named

    @cached_property
    def data(self) -> Data:
        """The open data set."""
        return self.open()

    @cached_property
    def encoded(self) -> ImageSource | None:
        """The encoded images of its rows, in the order of `labelling`; None if it has none."""
        return None

    @property
    def kind(self) -> str:
        """What a sample is: `"image"`, `"vector"`, `"table"` or `"text"`."""
        return self.data.kind if self.encoded is None else "image"

    @cached_property
    def files(self) -> Files | None:
        """Names, sizes and times of its files; None if there are none."""
        files: Files | None = self.data.files
        return files

    @cached_property
    def labelling(self) -> Labelling:
        """Ids, labels and classes of its rows; some of them may not have been scored (unreadable images)."""
        data = self.data
        return Labelling(data.ids, data.labels, data.class_names, data.groups, targets=data.targets)

    def known(self) -> dict[str, object]:
        """Return the entries of the fingerprint that are known without reading more samples."""
        if self.encoded is None:
            return self.data.fingerprint()
        return {} if self.files is None else {"files": self.files.count, "bytes": self.files.bytes}

    def show(self, rows: IntArray) -> list[Shown]:
        """Return these samples for display; encoded images in full size, not in the one that learners get."""
        if self.encoded is not None:
            return [upright(image) for image in self.encoded.read(np.asarray(rows))]
        try:
            taken = self.data.take(rows)
        except DataError as error:
            warn(f"samples cannot be shown: {error}")
            return [None] * len(rows)
        if self.data.kind == "text":
            return list(taken)
        if self.data.kind == "image":
            return [_as_image(image) for image in taken]
        names = self.data.feature_names or [f"column {at}" for at in range(taken.shape[1])]
        return [dict(zip(names, values.tolist(), strict=True)) for values in taken]

    @cached_property
    def stored_schema(self) -> pa.Schema:
        """The schema of `stored`.

        By default these are columns of what learners see: `image`, `features` (one column a feature, where these have
        names) or `text`; `label` or `target`; and `id`, if ids are not rows.
        """
        return self._as_stored.schema

    def stored(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows, ascending, as they are stored, with all columns, in pieces that fit in memory."""
        if self.data.kind == "table":
            yield self._as_stored.take(rows)
            return
        for block in blocks(len(rows), max(_ROW_BYTES, self.data.sample_bytes)):
            yield self._to_table(rows[block])

    @cached_property
    def _as_stored(self) -> pa.Table:
        """All rows of a table, whose entries tell the types of columns; no rows of other data, for its schema."""
        return self._to_table(np.arange(len(self.data) if self.data.kind == "table" else 0))

    def _to_table(self, rows: IntArray) -> pa.Table:
        """Convert these rows, as learners see them, to columns."""
        data, taken = self.data, self.data.take(rows)
        columns: dict[str, pa.Array]
        if data.kind == "image":
            columns = {"image": pa.array([{"bytes": _to_png(image), "path": None} for image in taken], IMAGE)}
        elif data.kind == "text":
            columns = {"text": pa.array(taken, pa.string())}
        elif data.kind == "vector" and not data.feature_names:
            columns = {"features": pa.FixedSizeListArray.from_arrays(taken.ravel(), taken.shape[1])}
        else:
            names = [str(name) for name in data.feature_names or [f"feature_{at}" for at in range(taken.shape[1])]]
            names = [f"feature_{name}" if name in ("label", "target", "id") else name for name in names]
            convert = pa.array if data.kind == "vector" else _convert
            columns = {name: convert(column) for name, column in zip(names, taken.T, strict=True)}
        columns |= {"label": data.labels[rows]} if data.targets is None else {"target": data.targets[rows]}
        if not np.array_equal(data.ids, np.arange(len(data))):
            kind = pa.string() if data.ids.dtype.kind in "UO" else pa.int64()
            columns["id"] = pa.array(data.ids[rows].tolist(), kind)
        table = pa.table(columns)
        return table.cast(with_features(table.schema, {} if data.targets is not None else {"label": data.class_names}))


class OpenFormat(Format):
    """A data set that is open already."""

    reader = "resolve"
    about = ("an open data set", "of a class that derives from unseen.core.protocols.Data")

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is a data set."""
        return isinstance(source, Data)

    def __init__(self, source: Any, **given: Any) -> None:
        if given:
            raise ArgumentError(f"a data set that is already open takes no options, got {', '.join(given)}")
        super().__init__(source)

    def open(self) -> Data:
        """Return the data set."""
        data: Data = self.source
        return data


def with_features(schema: pa.Schema, classes: Mapping[str, Sequence[str]]) -> pa.Schema:
    """Add to the schema what Hugging Face needs: which columns are images, and the names of classes.

    >>> about = with_features(pa.schema([("label", pa.int64())]), {"label": ["cat", "dog"]}).metadata[b"huggingface"]
    >>> json.loads(about)["info"]["features"]["label"]
    {'names': ['cat', 'dog'], '_type': 'ClassLabel'}
    """
    features: dict[str, Any] = features_of(schema)
    features |= {name: {"names": list(names), "_type": "ClassLabel"} for name, names in classes.items()}
    features |= {field.name: {"_type": "Image"} for field in schema if field.type == IMAGE}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Read what Hugging Face keeps of the columns in the metadata of the schema; empty if there is nothing."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def with_images(schema: pa.Schema, column: str | None) -> pa.Schema:
    """Return the schema with a column of names of image files as one of images, which exports read in."""
    at = -1 if column is None else schema.get_field_index(column)
    if at < 0 or not is_any(value_type(schema.field(at).type), TEXT):
        return schema
    return with_features(schema.set(at, pa.field(column, IMAGE)), {})


_ROW_BYTES = 256  # of text and tables, guessed


def _convert(column: npt.NDArray[Any]) -> pa.Array:
    """Convert a column of a table to entries of one type: text where it mixes numbers and text."""
    values = column.tolist()
    kinds = {type(value) for value in values} - {type(None)}
    usable = ((bool, {bool}), (int, {int, bool}), (float, {int, float, bool}))
    of: Any = next((of for of, able in usable if kinds <= able), str)
    converted = [None if value is None else of(value) for value in values]
    return pa.array(converted, pa.string() if of is str else pa.from_numpy_dtype(of))


def _as_image(values: npt.NDArray[Any]) -> Image.Image:
    return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)


def _to_png(image: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    _as_image(image).save(buffer, format="PNG")
    return buffer.getvalue()
