"""From whatever names a data set to the data set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from unseen.data.arrays import digits, from_arrays, from_npz
from unseen.errors import ArgumentError, DataError, UnknownNameError
from unseen.types import Data

__all__ = ["resolve"]

FORMS = """a data set is one of:
  "digits"                          scikit-learn's digits
  (X, y)                            NumPy arrays, torch tensors, lists or data frames
  path to a .npz file, or to a folder with x.npy and y.npy"""


def resolve(source: Any, **options: Any) -> Data:
    """The data set that `source` names, in any of the forms that `unseen` reads.

    Args:
        source: a `Data` object; `"digits"`; a pair (X, y); a path.
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
    reader, arguments = _reader(source)
    known = [name for name, p in inspect.signature(reader).parameters.items() if p.default is not p.empty]
    for name in options:
        if name not in known:
            raise UnknownNameError(f"option of {reader.__name__}", name, known)
    return cast(Data, reader(*arguments, **options))


def _reader(source: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    if isinstance(source, str) and source == "digits":
        return digits, ()
    if isinstance(source, (str, Path)):
        return _file_reader(Path(source)), (source,)
    if isinstance(source, tuple) and len(source) == 2:
        return from_arrays, tuple(source)
    raise ArgumentError(f"cannot read a data set from {type(source).__name__}; {FORMS}")


def _file_reader(path: Path) -> Callable[..., Any]:
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; {FORMS}")
    if path.suffix in (".npz", ".npy") or (path.is_dir() and any(path.glob("*.npy"))):
        return from_npz
    raise ArgumentError(f"cannot read a data set from {path}; {FORMS}")
