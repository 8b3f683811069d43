"""Reader of frames in memory: pandas, polars, Arrow tables, and anything that exports itself as an Arrow stream."""

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
    """Tell whether a source is a pandas or polars frame, or an Arrow table: named columns in memory."""
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
    """Read a pandas or polars frame, or an Arrow table; the roles and types of columns are as in `from_parquet`.

    Estimators of scikit-learn get the frame itself, with its names and types; other learners get arrays.

    Args:
        frame: the frame, with the labels in one of its columns; or only the inputs, and the labels in `y`.
        y: (n,) labels: an array, a series, a frame of one column; or the name of a column.
        label: the column of labels; default `"label"`.
        target: a column of numbers to regress on, in place of labels; or (n,) such numbers.
        image: the column of images; this and the next four are as in `from_parquet`.
        text: see there.
        features: see there.
        id: see there. By default, ids are the index of a pandas frame if it holds unique integers or text;
            else row numbers.
        group: see there.
        split: use only the rows with this value in the column `split`.
        image_size: as in `from_folder`, and so are the next four; refused if there are no images.
        mode: see there.
        on_error: see there.
        memory_limit: see there.
        workers: see there.
        ids: (n,) ids, in place of `id`.
        groups: (n,) groups, in place of `group`.
        class_names: the C names, if labels are given as `y`.

    Raises:
        UnknownNameError: no such column; the message lists the nearest names.
        ArgumentError: no column of labels is named, and none is called `"label"`.
        DataError: two columns of one name, columns that are no features, missing labels.

    >>> data = from_frame(pa.table({"age": [31, 52], "paid": ["yes", "no"]}), label="paid")
    >>> data, data.feature_names
    (ArrayData(2 samples, 2 classes, vector 1 float32), ('age',))

    """
    if isinstance(y, (str, int)):
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
    """Convert a frame to an Arrow table; the message names a column that cannot be converted.

    Raises:
        DataError: two columns of one name; a column of several types, or of a type that Arrow does not have.

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
        raise DataError(f"column {name!r} is sparse, which is not supported; make it dense with .sparse.to_dense()")
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
    """Return labels as one column: the only column of a frame; anything else as it is.

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
    """Return the name of labels for messages: their column if they have one, else `otherwise`."""
    name = str(values.columns[0]) if is_frame(values) and hasattr(values, "iloc") else getattr(values, "name", None)
    return f"column {name!r}" if isinstance(name, str) and name else otherwise


def rows_of(frame: Any, rows: IntArray) -> Any:
    """Return these rows of a pandas or polars frame, in that order."""
    return frame.iloc[rows] if hasattr(frame, "iloc") else frame[rows]


def _check_once(beside: dict[str, Any], *, outside: tuple[Any, Any], split: str | None, **columns: str | None) -> None:
    """Refuse ids, groups, labels or targets that are given both as an array and as a column."""
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
    """Return the ids in the index of a pandas frame, if the user set one, and the notes on it."""
    index = getattr(frame, "index", None)
    if index is None or type(index).__name__ == "RangeIndex" or not hasattr(frame, "iloc"):
        return None, ()
    values: npt.NDArray[Any] = np.array(index.tolist(), dtype=object)[rows] if index.nlevels == 1 else np.array([])
    kinds = {type(value) for value in values.tolist()}
    if kinds in ({int}, {str}) and len(set(values.tolist())) == len(values):
        return np.array(values.tolist()), ("ids are the index of the frame",)
    return None, ("ids are row numbers, as the index of the frame is not of unique integers or text",)


class TableSource:
    """A table in memory as a `Source` of columns, with the rows of one split if one is given.

    Args:
        table: the table.
        where: its name, for messages.
        split: the value of the column `split`, or None for all rows.
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
            self.rows = self._choose_rows(table.column("split"), split)
        elif split is not None:
            raise ArgumentError(f"split={split!r} needs a column 'split', which {where} does not have")
        self.parts = "split" if self.reserved and split is None else None
        self.table = table if len(self.rows) == len(table) else table.take(self.rows)

    def _choose_rows(self, column: pa.ChunkedArray, split: str | None) -> IntArray:
        known = sorted(str(value) for value in pc.unique(column).to_pylist())
        if split is None:
            self.notes += (f"all splits are used: {some(known)}; split= chooses one",)
            return self.rows
        if split not in known:
            raise ArgumentError(f"split must be one of {some(known)}, got {split!r}")
        return np.flatnonzero(pc.equal(column.cast(pa.string()), split).fill_null(False).to_numpy())

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of all rows."""
        return self.table.select(list(names))

    def head(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the first rows."""
        return self.table.select(list(names)).slice(0, _HEAD)

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> None:
        """Return None: vectors are in memory."""

    def images(self, name: str) -> TableImages:
        """Return the source of the encoded images of a column."""
        return TableImages(self.table.column(name), np.arange(len(self.table)))


class TableImages:
    """A column of encoded images in memory."""

    def __init__(self, column: pa.ChunkedArray, rows: IntArray) -> None:
        self.column, self.rows = column, rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: IntArray) -> list[Encoded]:
        """Return the encoded bytes, or paths if the column holds only these."""
        return [encoded(value) for value in self.column.take(self.rows[rows]).to_pylist()]

    def name(self, row: int) -> str:
        """Return the row number, for messages."""
        return f"row {int(self.rows[row])}"

    def keep(self, rows: IntArray) -> TableImages:
        """Return a source of these rows only."""
        return TableImages(self.column, self.rows[rows])
