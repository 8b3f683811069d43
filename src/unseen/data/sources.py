"""Dispatch: the reader for anything that names a data set, and the options of reading that public functions take."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from unseen.core.protocols import Data
from unseen.data.arrays import digits, from_arrays, from_npz
from unseen.data.base import Samples
from unseen.data.datasets import from_dataset, from_huggingface
from unseen.data.files import NOTHING, is_folder, no_file, unreadable_message, walk
from unseen.data.folders import from_folder
from unseen.data.frames import from_frame, is_frame
from unseen.data.names import from_openml, hub_data, is_name
from unseen.data.shards import from_shards, numbered
from unseen.data.storage import is_url, storage_of
from unseen.data.tables import from_parquet
from unseen.data.text_tables import CSV, JSON_LINES, from_csv, from_json_lines
from unseen.errors import ArgumentError, DataError, MissingDependencyError, UnknownArgumentError, UnknownNameError

__all__ = [
    "Reading",
    "check_arguments",
    "columns_named",
    "from_disk",
    "loaded",
    "opened",
    "opened_test",
    "reader_of",
    "resolve",
    "without_reading",
]

COLUMNS = ("label", "target", "image", "text", "features", "id", "group")  # options that name columns

FORMS = """a data set is one of:
  "digits"                          scikit-learn's digits
  "openml:adult"                    a data set of OpenML by its name; "openml:adult@2" is its version 2
  "hf:user/name:split"              a split of a data set of the Hugging Face hub
  (X, y)                            NumPy arrays, torch tensors, lists or data frames
  a frame                           of pandas or polars, or a pyarrow table; label= names the column of labels
  a map-style data set              len(ds), and ds[i] giving (x, y), as torch's Dataset, or a dictionary of them
  a Hugging Face Dataset            one split of it
  path to a folder of images        one folder a class
  path to a .parquet file           or to a folder of them
  path to a .csv, .tsv or .jsonl file
  path to a .npz file               or to a folder with x.npy and y.npy
  path to a folder of shards        x-00000.npy, y-00000.npy, x-00001.npy, ...
  path to a folder                  that datasets.Dataset.save_to_disk wrote
  URL of parquet files, or shards   s3://bucket/folder, in any store that fsspec knows
  an open data set                  of a class that derives from unseen.core.protocols.Data"""


def resolve(source: Any, **options: Any) -> Data:
    """Open the data set that `source` names, in any of the forms that `unseen` reads.

    Args:
        source: a `Data` object; a name, `"digits"`, `"openml:adult"` or `"hf:user/name:split"`; a pair (X, y); a frame
            of pandas or polars, a pyarrow table; a torch `Dataset` or anything map-style; a Hugging Face `Dataset`; a
            path to a folder of images, to parquet, CSV, JSON-lines, npz or npy files, or to a saved Hugging Face data
            set; the URL of parquet files or numbered npy files in a store that fsspec knows.
        **options: options of the reader of that form; an unknown one is refused.

    Raises:
        ArgumentError: none of these forms, or an option that the reader does not have.
        DataError: the data set itself is wrong.

    >>> resolve("digits")
    ArrayData(1,797 samples, 10 classes, vector 64 float32)

    """
    if isinstance(source, Data):
        if options:
            raise ArgumentError(f"a data set that is already open takes no options, got {', '.join(options)}")
        return source
    reader, arguments = reader_of(source)
    known = list(inspect.signature(reader).parameters)[len(arguments) :]
    options = _rename_options(reader, options)
    for name in options:
        if name in COLUMNS and name not in known and isinstance(options[name], (str, list)):
            raise ArgumentError(
                f"{name}={options[name]!r} names a column, and {reader.__name__} has none; its options: "
                f"{', '.join(known) or 'none'}"
            )
        if name not in known:
            raise UnknownNameError(f"option of {reader.__name__}", name, known)
    return cast(Data, reader(*arguments, **options))


def _rename_options(reader: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Rename options to the names that this reader uses."""
    names = _ALIASES.get(reader, {})
    renamed: dict[str, Any] = {}
    for name, value in options.items():
        own = names.get(name, name)
        if own in renamed:
            raise ArgumentError(f"{own!r} is named twice, by {name}={value!r} too; leave one out")
        renamed[own] = value
    return renamed


class Reading(TypedDict, total=False):
    """The options of reading a data set that public functions take, besides `features`; see the reader of each form.

    Attributes:
        label: the column of labels; in an npz file, the name of their array; their key, if items are dictionaries.
        target: the column of numbers to regress on, in place of labels; or (n,) such numbers, beside arrays.
        text: the column of text.
        image: the column of images.
        id: the column of ids.
        group: the column of groups that stay in one fold.
        split: the rows, or files, that are read.
        x: in an npz file, the name of the array of inputs; their key, if items are dictionaries.
        image_size: the side to which images are resized and cropped.
        mode: `"RGB"` or `"L"`.
        on_error: `"raise"` refuses an unreadable image, `"skip"` drops it.
        class_names: the names of the classes.
        ids: (n,) ids, beside arrays.

    """

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


def opened(verb: Callable[..., Any], data: Any, y: Any, reading: Mapping[str, object], features: Any = None) -> Data:
    """Open the data set that a public function is given.

    Args:
        verb: the public function, for messages.
        data: anything that `resolve` takes.
        y: labels, if `data` is inputs only; or the name of their column.
        reading: options of reading, see `Reading`; any other option is refused.
        features: the argument `features`; names of columns in it are an option of reading.

    """
    check_arguments(verb, reading)
    options: dict[str, Any] = {name: value for name, value in reading.items() if value is not None}
    if (columns := columns_named(features)) is not None:
        options["features"] = columns
    if isinstance(y, str) and not is_frame(data):
        if "label" in options:
            raise ArgumentError(f"the column of labels is named twice: y={y!r} and label={options['label']!r}")
        y, options["label"] = None, y
    return resolve(data if y is None else (data, y), **options)


def opened_test(test: Any, reading: Mapping[str, object], features: Any = None) -> Data:
    """Open the test set with the options of the training set, as far as its form has them."""
    if isinstance(test, Data):
        return test
    left_out = ("split", "ids")  # these are for the training set only
    options: dict[str, Any] = {k: v for k, v in reading.items() if v is not None and k not in left_out}
    if (columns := columns_named(features)) is not None:
        options["features"] = columns
    reader, arguments = reader_of(test)
    known = set(list(inspect.signature(reader).parameters)[len(arguments) :])
    options = _rename_options(reader, options)
    unused = {"label", "target"} if len(arguments) > 1 else {"class_names"} & known
    return resolve(test, **{name: value for name, value in options.items() if name in known - unused})


def columns_named(features: Any) -> str | list[str] | None:
    """Return the columns that `features` names; None if it is an array, or None."""
    if isinstance(features, str):
        return features
    named = isinstance(features, (list, tuple)) and features and all(isinstance(name, str) for name in features)
    return list(features) if named else None


def without_reading(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the options of a public function: those of `Reading`, with columns of features, and the others.

    >>> without_reading({"label": "paid", "cutoff": 0.1, "features": ["age"]})
    ({'label': 'paid', 'features': ['age']}, {'cutoff': 0.1})

    """
    own = {
        name: value
        for name, value in options.items()
        if name in Reading.__annotations__ or (name == "features" and columns_named(value) is not None)
    }
    return own, {name: value for name, value in options.items() if name not in own}


def check_arguments(verb: Callable[..., Any], given: Iterable[str], beside: Iterable[str] = ()) -> None:
    """Refuse an argument that is unknown to the public function, to `Reading` and to `beside`; name the nearest."""
    own = [
        name
        for name, one in inspect.signature(verb).parameters.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    known = [*own, *Reading.__annotations__, "features", *beside]
    for name in given:
        if name not in known:
            raise UnknownArgumentError(verb.__name__, name, known)


def reader_of(source: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Choose the reader for a source, and its positional arguments."""
    if isinstance(source, str) and source == "digits":
        return digits, ()
    if is_name(source):
        return (from_openml if source.startswith("openml:") else from_disk), (source,)
    if isinstance(source, str) and is_url(source):
        return _remote_reader(source), (source,)
    if isinstance(source, str) and not source.strip():
        raise ArgumentError(f"the path of the data set is empty; {FORMS}")
    if isinstance(source, (str, Path)):
        return _file_reader(Path(source)), (source,)
    if isinstance(source, tuple) and len(source) == 2:
        return (from_frame if is_frame(source[0]) else from_arrays), source
    if is_frame(source):
        return from_frame, (source,)
    if hasattr(source, "with_format"):
        return from_huggingface, (source,)
    if hasattr(source, "__getitem__") and not isinstance(source, (tuple, bytes, dict)) and not hasattr(source, "shape"):
        return from_dataset, (source,)
    raise ArgumentError(f"cannot read a data set from {type(source).__name__}; {FORMS}")


# Options that some readers have under another name.
_ALIASES: dict[Callable[..., Any], dict[str, str]] = {
    from_npz: {"label": "y"},
    from_shards: {"label": "y"},
    from_dataset: {"image": "x", "text": "x"},
}


def _file_reader(path: Path) -> Callable[..., Any]:
    if not is_folder(path) and (reason := no_file(path)) is not None:
        forms = f"; {FORMS}" if reason == NOTHING else ""
        raise DataError(f"{unreadable_message(path, reason)}{forms}")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return from_parquet
    if suffix in CSV + JSON_LINES and not is_folder(path):
        return from_csv if suffix in CSV else from_json_lines
    if suffix in (".npz", ".npy") and not is_folder(path):
        return from_npz
    if not is_folder(path):
        raise ArgumentError(f"cannot read a data set from {path}; {FORMS}")
    names = walk(path).files
    if "state.json" in names or "dataset_dict.json" in names:
        return from_disk
    if arrays := [name for name in names if "/" not in name and name.lower().endswith(".npy")]:
        shards = numbered(arrays, path)
        whole = any(name.lower() == "x.npy" for name in arrays)
        return from_shards if "x" in map(str.lower, shards) or (shards and not whole) else from_npz
    return from_parquet if any(name.lower().endswith(".parquet") for name in names) else from_folder


def _remote_reader(url: str) -> Callable[..., Any]:
    storage = storage_of(url, "")
    if storage.names(".parquet"):
        return from_parquet
    if numbered(storage.names(".npy"), url):
        return from_shards
    raise DataError(
        f"{url} holds neither parquet files nor numbered shards x-00000.npy, y-00000.npy, ..., which are what is read "
        "from a store; copy it to a local folder"
    )


@functools.wraps(from_huggingface)  # it has the same options
def from_disk(path: str | Path, **options: Any) -> Samples:
    """Open the data set that `save_to_disk` wrote in a folder, or a split of the hub."""
    return from_huggingface(loaded(path), **options)


def loaded(path: str | Path) -> Any:
    """Load the Hugging Face data set that `save_to_disk` wrote, or that is on the hub under this name."""
    if is_name(path):
        return hub_data(str(path))
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise MissingDependencyError("datasets", f"reading {path}") from error
    try:
        return load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"{path} is not a sound data set of save_to_disk: {type(error).__name__}: {error}") from error
