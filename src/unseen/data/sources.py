"""From whatever names a data set to the data set."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from unseen.data.arrays import digits, from_arrays, from_npz
from unseen.data.base import Samples
from unseen.data.folders import from_folder
from unseen.data.huggingface import from_huggingface
from unseen.data.npy_shards import from_shards, numbered
from unseen.data.remote import is_url, storage_of
from unseen.data.tables import from_parquet
from unseen.data.torch_dataset import from_dataset
from unseen.data.walking import NOTHING, is_folder, no_file, unread, walk
from unseen.errors import ArgumentError, DataError, MissingDependencyError, UnknownNameError
from unseen.protocols import Data

__all__ = ["from_disk", "loaded", "reader_of", "resolve"]

FORMS = """a data set is one of:
  "digits"                          scikit-learn's digits
  (X, y)                            NumPy arrays, torch tensors, lists or data frames
  a map-style data set              len(ds), and ds[i] giving (x, y), as torch's Dataset
  a Hugging Face Dataset            one split of it
  path to a folder of images        one folder a class
  path to a .parquet file           or to a folder of them
  path to a .npz file               or to a folder with x.npy and y.npy
  path to a folder of shards        x-00000.npy, y-00000.npy, x-00001.npy, ...
  path to a folder                  that datasets.Dataset.save_to_disk wrote
  URL of parquet files, or shards   s3://bucket/folder, in any store that fsspec knows"""


def resolve(source: Any, **options: Any) -> Data:
    """The data set that `source` names, in any of the forms that `unseen` reads.

    Args:
        source: a `Data` object; `"digits"`; a pair (X, y); a torch `Dataset` or anything map-style; a Hugging Face
            `Dataset`; a path to a folder of images, to parquet, npz or npy files, or to a saved Hugging Face data set;
            the URL of parquet files or numbered npy files in a store that fsspec knows.
        **options: those of the reader of that form; one that it does not have is refused.

    Raises:
        ArgumentError: none of these forms, or an option that the form does not have.
        DataError: the data set itself is wrong.

    >>> resolve("digits")
    ArrayData(1,797 samples, 10 classes, vector 64 float32)

    """
    if hasattr(source, "fingerprint") and hasattr(source, "take"):
        if options:
            raise ArgumentError(f"a data set that is already open takes no options, got {', '.join(options)}")
        return cast(Data, source)
    reader, arguments = reader_of(source)
    known = list(inspect.signature(reader).parameters)[len(arguments) :]
    for name in options:
        if name not in known:
            raise UnknownNameError(f"option of {reader.__name__}", name, known)
    return cast(Data, reader(*arguments, **options))


def reader_of(source: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The reader of the form that `source` has, and what to hand it."""
    if isinstance(source, str) and source == "digits":
        return digits, ()
    if isinstance(source, str) and is_url(source):
        return _remote_reader(source), (source,)
    if isinstance(source, str) and not source.strip():
        raise ArgumentError(f"the path of the data set is empty; {FORMS}")
    if isinstance(source, (str, Path)):
        return _file_reader(Path(source)), (source,)
    if isinstance(source, tuple) and len(source) == 2:
        return from_arrays, source
    if hasattr(source, "with_format"):
        return from_huggingface, (source,)
    if hasattr(source, "__getitem__") and not isinstance(source, (tuple, bytes, dict)) and not hasattr(source, "shape"):
        return from_dataset, (source,)
    raise ArgumentError(f"cannot read a data set from {type(source).__name__}; {FORMS}")


def _file_reader(path: Path) -> Callable[..., Any]:
    if not is_folder(path) and (reason := no_file(path)) is not None:
        forms = f"; {FORMS}" if reason == NOTHING else ""
        raise DataError(f"{unread(path, reason)}{forms}")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return from_parquet
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


@functools.wraps(from_huggingface)  # whose options it takes
def from_disk(path: str | Path, **options: Any) -> Samples:
    """The data set that `save_to_disk` wrote in a folder."""
    return from_huggingface(loaded(path), **options)


def loaded(path: str | Path) -> Any:
    """The Hugging Face data set that `save_to_disk` wrote."""
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise MissingDependencyError("datasets", f"reading {path}") from error
    try:
        return load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"{path} is not a sound data set of save_to_disk: {type(error).__name__}: {error}") from error
