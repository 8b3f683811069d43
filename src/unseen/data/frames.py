"""Frames in memory: of pandas, of polars, of anything that hands itself over as Arrow does, and Arrow's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import IdArray, IntArray
from unseen.data.base import Samples
from unseen.data.columns import Roles, encoded, open_columns
from unseen.data.content import Files
from unseen.data.images import Encoded, ImageOptions
from unseen.data.labels import Labelling, is_missing
from unseen.errors import ArgumentError, DataError, some

__all__ = ["TableSource", "column_of", "from_frame", "is_frame", "name_of", "rows_of", "to_arrow"]

_HEAD = 1024  # rows
_ARROW = (pa.Table, pa.RecordBatch)


def is_frame(source: Any) -> bool:
    """Whether it is a frame of pandas or polars, or a table of Arrow: columns with names, in memory."""
    if isinstance(source, type):
        return False
    if isinstance(source, _ARROW):
        return True
    return hasattr(source, "columns") and (hasattr(source, "iloc") or hasattr(source, "__arrow_c_stream__"))


def from_frame(
    frame: Any,
    y: Any = None,
    *,
    label: str | None = None,
    target: Any = None,
    image: str | None = None,
    text: str | None = None,
    features: str | Sequence[str] | None = None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    image_size: int | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    on_error: Literal["raise", "skip"] = "raise",
    memory_limit: int | None = None,
    workers: int | None = None,
    ids: Any = None,
    groups: Any = None,
    class_names: Sequence[str] | None = None,
) -> Samples:
    """A frame of pandas or polars, or a table of Arrow; what its columns become is as in `from_parquet`.

    Estimators of scikit-learn are given the frame itself, with its names and types; everybody else arrays.

    Args:
        frame: the frame, with the labels in one of its columns; or the inputs only, and the labels as
        y: (n,) labels: an array, a series, a frame of one column; or the name of a column.
        label: the column of labels; default `"label"`.
        target: a column of numbers to regress on, in place of labels; or (n,) such numbers.
        image: the column of images, as are the following described in `from_parquet`.
        text: see there.
        features: see there.
        id: see there. By default ids are the index of a pandas frame, where it was set to unique integers or text;
            else row numbers.
        group: see there.
        split: only rows whose column `split` says so.
        image_size: as in `from_folder`, as are the following four; refused if there are no images.
        mode: see there.
        on_error: see there.
        memory_limit: see there.
        workers: see there.
        ids: (n,) ids, in place of `id`.
        groups: (n,) groups, in place of `group`.
        class_names: the C names, where labels are given as `y`.

    Raises:
        UnknownNameError: no such column; the message has the nearest names.
        ArgumentError: no column of labels is named, and none is called `"label"`.
        DataError: two columns of one name, columns that are no features, missing labels.

    >>> data = from_frame(pa.table({"age": [31, 52], "paid": ["yes", "no"]}), label="paid")
    >>> data, data.feature_names
    (ArrayData(2 samples, 2 classes, vector 1 float32), ('age',))

    """
    if isinstance(y, str):
        if label is not None:
            raise ArgumentError(f"the column of labels is named twice: y={y!r} and label={label!r}; leave one out")
        y, label = None, y
    numbers, target = (None, target) if target is None or isinstance(target, str) else (target, None)
    beside = {"ids": ids, "groups": groups}
    _check_once(beside, label=label, target=target, id=id, group=group, split=split, outside=(y, numbers))
    source = TableSource(to_arrow(frame), "the frame", split)
    if y is not None or numbers is not None:
        names = (name_of(y, "y"), name_of(numbers, "target"))
        beside |= {"y": column_of(y), "target": column_of(numbers), "n": source.whole, "names": names}
        beside["class_names"] = class_names
    elif class_names is not None:
        raise ArgumentError("class_names go with labels given as y; a column of text names its classes itself")
    if id is None and ids is None:
        beside["default_ids"], notes = _index_of(frame, source.rows)
        source.notes += notes
    roles = Roles(label, image, text, features, id, group, target, {k: v for k, v in beside.items() if v is not None})
    data = open_columns(source, roles, ImageOptions(image_size, mode, on_error, memory_limit, workers))
    if data.kind in ("vector", "table") and data.feature_names is not None and not isinstance(frame, _ARROW):
        places = [source.schema.names.index(name) for name in data.feature_names]
        inputs = frame.iloc[:, places] if hasattr(frame, "iloc") else frame[:, places]
        data.frame = inputs if len(source.rows) == source.whole else rows_of(inputs, source.rows)
    return data


def to_arrow(frame: Any) -> pa.Table:
    """A frame as a table of Arrow; a column that it cannot be made of is named.

    Raises:
        DataError: two columns of one name; a column of several types, or of what Arrow has no type for.

    """
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    names = [str(name) for name in (frame.column_names if isinstance(frame, pa.Table) else frame.columns)]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"the frame must not have two columns of one name, but it has of {some(twice)}; rename one")
    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "iloc"):
        try:
            return pa.table(frame)
        except (pa.ArrowException, TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"the {type(frame).__name__} cannot be read as a table of Arrow: {error}") from error
    return pa.table([_of_series(frame.iloc[:, at], name) for at, name in enumerate(names)], names)


def _of_series(series: Any, name: str) -> pa.ChunkedArray | pa.Array:
    if str(series.dtype).startswith("Sparse"):
        raise DataError(f"column {name!r} is sparse, which has no place here; make it dense with .sparse.to_dense()")
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        kinds = [None if is_missing(entry) else type(entry) for entry in series]
        first = next((kind for kind in kinds if kind is not None), type(None))
        row = next((row for row, kind in enumerate(kinds) if kind not in (None, first)), None)
        if row is None:
            raise DataError(f"column {name!r} has entries of {first.__name__}, which is no feature; drop it") from error
        raise DataError(
            f"column {name!r} must hold entries of one type, but row {row} holds {kinds[row].__name__} "  # type: ignore[union-attr]
            f"{series.iloc[row]!r} among {first.__name__}; make it text, as in frame[{name!r}].astype(str)"
        ) from error


def column_of(values: Any) -> Any:
    """Labels as one column: of a frame with a single one that column, anything else as it is.

    Raises:
        DataError: a frame of several columns.

    """
    if not is_frame(values):
        return values
    table = to_arrow(values)
    if table.num_columns != 1:
        raise DataError(f"y must be one column, but it has {table.num_columns}: {some(table.column_names)}; choose one")
    return values.iloc[:, 0] if hasattr(values, "iloc") else np.array(table.column(0).to_pylist(), dtype=object)


def name_of(values: Any, otherwise: str) -> str:
    """What labels are called in messages: their column, where they have one."""
    name = str(values.columns[0]) if is_frame(values) and hasattr(values, "iloc") else getattr(values, "name", None)
    return f"column {name!r}" if isinstance(name, str) and name else otherwise


def rows_of(frame: Any, rows: IntArray) -> Any:
    """These rows of a frame of pandas or polars, in that order."""
    return frame.iloc[rows] if hasattr(frame, "iloc") else frame[rows]


def _check_once(beside: dict[str, Any], *, outside: tuple[Any, Any], split: str | None, **columns: str | None) -> None:
    """Refuse what is given both as an array and as a column."""
    for array, column in (("ids", "id"), ("groups", "group")):
        if beside[array] is not None and columns[column] is not None:
            raise ArgumentError(f"give {array} (an array) or {column} (a column), got both; leave one out")
    if all(values is None for values in outside):
        return
    for column in ("label", "target"):
        if columns[column] is not None:
            raise ArgumentError(
                f"labels are given twice, as an array and by {column}={columns[column]!r}; leave one out"
            )
    if split is not None:
        raise ArgumentError(f"split={split!r} goes with a column of labels; name it with label=")


def _index_of(frame: Any, rows: IntArray) -> tuple[IdArray | None, tuple[str, ...]]:
    """The ids in the index of a pandas frame, where somebody has set one, and what is said of it."""
    index = getattr(frame, "index", None)
    if index is None or type(index).__name__ == "RangeIndex" or not hasattr(frame, "iloc"):
        return None, ()
    values: npt.NDArray[Any] = np.array(index.tolist(), dtype=object)[rows] if index.nlevels == 1 else np.array([])
    kinds = {type(value) for value in values.tolist()}
    if kinds in ({int}, {str}) and len(set(values.tolist())) == len(values):
        return np.array(values.tolist()), ("ids are the index of the frame",)
    return None, ("ids are row numbers, as the index of the frame is not of unique integers or text",)


class TableSource:
    """A table in memory, of one split if it has a column `split` and one is named.

    Args:
        table: the table.
        where: what it is, for messages.
        split: the split.
        files: the files that it was read from.

    """

    parts: str | None = None

    def __init__(self, table: pa.Table, where: str, split: str | None = None, files: Files | None = None) -> None:
        self.schema, self.files, self.where = table.schema, files, where
        self.notes: tuple[str, ...] = ()
        self.whole = len(table)
        self.rows = np.arange(len(table))
        self.reserved: frozenset[str] = frozenset({"split"} & set(table.column_names))
        if self.reserved:
            self.rows = self._chosen(table.column("split"), split)
        elif split is not None:
            raise ArgumentError(f"split={split!r} needs a column 'split', which {where} has not")
        self.parts = "split" if self.reserved and split is None else None
        self.table = table if len(self.rows) == len(table) else table.take(self.rows)

    def _chosen(self, column: pa.ChunkedArray, split: str | None) -> IntArray:
        known = sorted(str(value) for value in pc.unique(column).to_pylist())
        if split is None:
            self.notes += (f"all splits are used: {some(known)}; split= chooses one",)
            return self.rows
        if split not in known:
            raise ArgumentError(f"split must be one of {some(known)}, got {split!r}")
        return np.flatnonzero(pc.equal(column.cast(pa.string()), split).fill_null(False).to_numpy())

    def read(self, names: Sequence[str]) -> pa.Table:
        """These columns of all rows."""
        return self.table.select(list(names))

    def head(self, names: Sequence[str]) -> pa.Table:
        """These columns of the first rows."""
        return self.table.select(list(names)).slice(0, _HEAD)

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> None:
        """None: they are in memory."""

    def images(self, name: str) -> TableImages:
        """The encoded images of a column."""
        return TableImages(self.table.column(name), np.arange(len(self.table)))


class TableImages:
    """A column of encoded images in memory."""

    def __init__(self, column: pa.ChunkedArray, rows: IntArray) -> None:
        self.column, self.rows = column, rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: IntArray) -> list[Encoded]:
        """The encoded bytes, or paths where it holds only these."""
        return [encoded(value) for value in self.column.take(self.rows[rows]).to_pylist()]

    def name(self, row: int) -> str:
        """The row."""
        return f"row {int(self.rows[row])}"

    def keep(self, rows: IntArray) -> TableImages:
        """These rows only."""
        return TableImages(self.column, self.rows[rows])
