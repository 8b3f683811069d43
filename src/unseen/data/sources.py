"""The registry of data formats, the choice among them, and the options of reading that public functions take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from unseen.core.arrays import is_frame, refuse_sparse
from unseen.core.protocols import Data
from unseen.core.registry import Registry
from unseen.data.arrays import ArraysFormat, DigitsFormat, NpzFormat, OpenmlFormat
from unseen.data.columns import TableFormat
from unseen.data.datasets import DatasetFormat, HubFormat, HuggingFaceFormat, SavedFormat
from unseen.data.files import NOTHING, UNPACK, unreadable_message, why_unreadable
from unseen.data.formats import Format, OpenFormat, Place, Reading
from unseen.data.frames import CsvFormat, FrameFormat, JsonLinesFormat
from unseen.data.images import SUFFIXES, FolderFormat
from unseen.data.shards import ShardsFormat
from unseen.data.tables import ParquetFormat
from unseen.errors import ArgumentError, DataError, UnknownArgumentError, some

FORMATS: Registry[type[Format]] = Registry("data format", "unseen.formats")

# The first that reads a source is taken; those of other packages are asked before `LAST`, which read all else.
FORMATS.add("digits", DigitsFormat)
FORMATS.add("openml", OpenmlFormat)
FORMATS.add("hub", HubFormat)
FORMATS.add("open", OpenFormat)
FORMATS.add("frame", FrameFormat)
FORMATS.add("arrays", ArraysFormat)
FORMATS.add("huggingface", HuggingFaceFormat)
FORMATS.add("saved_huggingface", SavedFormat)
FORMATS.add("shards", ShardsFormat)
FORMATS.add("npz", NpzFormat)
FORMATS.add("parquet", ParquetFormat)
FORMATS.add("csv", CsvFormat)
FORMATS.add("json_lines", JsonLinesFormat)
LAST: tuple[type[Format], ...] = (FolderFormat, DatasetFormat)


def find_format(source: Any, **options: Any) -> Format:
    """Return a data set in any form that `resolve` reads, as it is stored: for the report and the export.

    >>> import numpy as np
    >>> digits = find_format("digits")
    >>> digits.kind, digits.show(np.array([0]))[0].size
    ('image', (8, 8))
    """
    return format_of(source)(source, **options)


def resolve(source: Any, *, cache: str | Path | None = None, **options: Any) -> Data:
    """Open the data set that `source` names, in any of the forms that `unseen` reads.

    Args:
        source: a `Data` object; a name, `"digits"`, `"openml:adult"` or `"hf:user/name:split"`; a pair (X, y); a frame
            of pandas or polars, a pyarrow table; a torch `Dataset` or anything map-style; a Hugging Face `Dataset`; a
            path to a folder of images, to parquet, CSV, JSON-lines, npz or npy files, or to a saved Hugging Face data
            set; the URL of parquet files or numbered npy files in a store that fsspec knows.
        cache: a folder outside the data set that may keep decoded images; see `from_folder`. Other forms do without.
        **options: options of the reader of that form; an unknown one is refused.

    Raises:
        ArgumentError: none of these forms, or an option that the reader does not have.
        DataError: the data set itself is wrong.

    >>> resolve("digits")
    ArrayData(1,797 samples, 10 classes, vector 64 float32)
    """
    return _find_cached_format(source, cache, options).open()


def resolve_like(source: Any, like: Data, *, cache: str | Path | None = None, **options: Any) -> Data:
    """Open a test set as `resolve` does, by the options of the training set `like`, as far as its form has them.

    Its numbers are a table where the training set is one, for its gaps.
    """
    kind = format_of(source)
    read = {name: value for name, value in kind.named(options).items() if name in {*kind.options, "split"}}
    found = _find_cached_format(source, cache, read)
    if isinstance(found, TableFormat):
        found.like = like
    return found.open()


def _find_cached_format(source: Any, cache: str | Path | None, options: dict[str, Any]) -> Format:
    """Return the format of a source, which may keep decoded images in `cache`; refuse a cache inside the data set."""
    kind = format_of(source)
    keeps = "cache" in kind.options
    if isinstance(cache, (str, Path)):  # a run in memory keeps no images
        if isinstance(source, (str, Path)) and Path(source).is_dir():
            # Where folders are data, as of images, a run in one of them would be data next time.
            folder, place = Path(source).resolve(), Path(cache).resolve()
            if place == folder or (keeps and folder in place.parents):
                raise ArgumentError(f"out {cache} lies in the data set {source}; choose a folder outside")
        if keeps:
            options["cache"] = cache
    return kind(source, **options)


def format_of(source: Any) -> type[Format]:
    """Return the format of a source; if it is of none, the error lists all."""
    if isinstance(source, str) and not source.strip():
        raise ArgumentError(f"the path of the data set is empty; {_describe_formats()}")
    refuse_sparse(source)
    place = Place(source) if isinstance(source, (str, Path)) else source
    for kind in _all_formats():
        if kind.reads(place):
            _refuse_text_tables(kind, place)
            return kind
    if hasattr(source, "__array__") and hasattr(source, "shape"):
        raise ArgumentError(
            "an array alone has no labels: give X and y, as in (X, y), or numbers to regress on as target="
        )
    if not isinstance(place, Place):
        name = type(source).__name__
        if hasattr(source, "dataset") and hasattr(source, "batch_size"):
            raise ArgumentError(f"a {name} hands out batches; give the data set that it reads, its attribute dataset")
        raise ArgumentError(f"cannot read a data set from {name}; {_describe_formats()}")
    if place.is_url:
        raise DataError(
            f"{source} holds neither parquet files nor numbered shards x-00000.npy, y-00000.npy, ..., which are what "
            "is read from a store; copy it to a local folder"
        )
    if (reason := why_unreadable(Path(source))) is not None:
        path = Path(source)
        named = reason == NOTHING and not path.suffix and len(path.parts) == 1  # perhaps the name of a data set
        formats = f"; {_describe_formats()}" if named else ""
        raise DataError(f"{unreadable_message(Path(source), reason)}{formats}")
    if place.is_file and place.suffix in UNPACK:
        raise ArgumentError(
            f"cannot read a data set from {source}, which is packed; unpack it first: {UNPACK[place.suffix]} "
            f"{Path(source).name} (of .csv and .jsonl, .gz, .bz2 and .zst are read as they are)"
        )
    raise ArgumentError(f"cannot read a data set from {source}; {_describe_formats()}")


def _refuse_text_tables(kind: type[Format], place: Any) -> None:
    """Refuse a folder of CSV or JSON-lines files, without images, that would be read as one of images."""
    if kind is not FolderFormat:
        return
    suffixes = {*CsvFormat.suffixes, *JsonLinesFormat.suffixes} - {".json"}
    tables = [name for name in place.names if suffixes & {*Path(name.lower()).suffixes}]
    if tables and not any(name.lower().endswith(SUFFIXES) for name in place.names):
        raise DataError(
            f"{place.given} is a folder of {some(tables)}: such files are read one at a time, so give the path of one, "
            "or write them as parquet files, of which a folder is read"
        )


def _all_formats() -> list[type[Format]]:
    return [*(kind for _, kind in FORMATS.items()), *LAST]


def _describe_formats() -> str:
    lines = [f"  {source:<31} {what}" for source, what in (kind.about for kind in _all_formats())]
    return "\n".join(["a data set is one of:", *lines])


def open_data(data: Any, y: Any, reading: Mapping[str, object], features: Any = None, *, cache: Any = None) -> Data:
    """Open the data set that a public function is given, which has checked the names of its arguments.

    `y` are labels or the name of their column, `reading` options of `Reading`. Names of columns in `features` are an
    option of reading; if `cache`, the argument `out`, is a folder, it may keep decoded images.
    """
    options = Format.named({**reading, "features": named_columns(features)})
    if isinstance(y, str) and not is_frame(data):
        if "label" in options:
            raise ArgumentError(f"the column of labels is named twice: y={y!r} and label={options['label']!r}")
        y, options["label"] = None, y
    if hasattr(data, "shape") and not is_frame(data) and not isinstance(options.get("target"), (str, type(None))):
        data = data if y is not None else (data, None)  # arrays of inputs and of a target
    return resolve(data if y is None else (data, y), cache=cache, **options)


def open_test_data(
    test: Any, train: Data, reading: Mapping[str, object], features: Any = None, *, cache: Any = None
) -> Data:
    """Open the test set with the options of the training set, as far as its form has them."""
    if isinstance(test, Data):
        return test
    read: dict[str, object] = {**reading, "features": named_columns(features), "split": None, "ids": None}
    read |= dict.fromkeys(("label", "target") if isinstance(test, tuple) else ("class_names",))
    if isinstance(test, tuple) and len(test) == 2 and train.targets is not None:
        inputs, read["target"] = test
        test = inputs if is_frame(inputs) else (inputs, None)
    return resolve_like(test, train, cache=cache, **read)


def named_columns(features: Any) -> str | list[str] | None:
    """Return the columns that `features` names; None if it is an array, or None."""
    if isinstance(features, str):
        return features
    named = isinstance(features, (list, tuple)) and all(isinstance(name, str) for name in features)
    return list(features) if named else None


def split_reading_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the options of a public function: those of `Reading`, with columns of features, and the others.

    >>> split_reading_options({"label": "paid", "cutoff": 0.1, "features": ["age"]})
    ({'label': 'paid', 'features': ['age']}, {'cutoff': 0.1})
    """
    named = {*Reading.__annotations__} | ({"features"} if named_columns(options.get("features")) is not None else set())
    own = {name: value for name, value in options.items() if name in named}
    return own, {name: value for name, value in options.items() if name not in named}


def check_arguments(verb: Callable[..., Any], given: Iterable[str], known: Iterable[str] = ()) -> None:
    """Refuse an argument that is no parameter of the function, none of `Reading` and not `known`; name the nearest."""
    parameters = inspect.signature(verb).parameters.values()
    own = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    allowed = [*own, *Reading.__annotations__, "features", *known]
    for name in given:
        if name not in allowed:
            raise UnknownArgumentError(verb.__name__, name, allowed)
