"""Columns of Arrow tables: the role of each column (inputs, labels, ids, groups), and the data set of its values.

The formats of parquet, CSV, frames and Hugging Face data sets derive from `TableFormat`.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import FloatArray, IntArray
from unseen.data.base import ArrayData, Samples, TableData, TextData, warn_of_rounding
from unseen.data.dates import dates_to_days
from unseen.data.decoding import ImageSource, is_image
from unseen.data.formats import COLUMNS, IMAGES, Format
from unseen.data.images import SUFFIXES, open_images
from unseen.data.labels import Labelling, labelling
from unseen.data.shards import ShardedVectors
from unseen.errors import ArgumentError, DataError, some

_FEW = 10  # with fewer rows, columns are not tested for row numbers
_PANDAS = re.compile(r"__index_level_\d+__")
_USUAL = {
    *("index", "idx", "id", "_id", "level_0", "row", "row_id", "rowid", "row_number", "rownum", "unnamed: 0", ""),
    *("rownames", "row_names", "row.names", "sample_id", "example_id", "uid", "uuid", "guid"),
}
_LABELS = {"label", "labels", "class", "classes", "target", "y", "category", "outcome", "income", "species"}
_CLASSES = 50  # most distinct values of a column that is suggested as labels


HEAD = 1024  # rows of `head`, of tables that are in memory or mapped
PIECE_ROWS = 1000  # rows of one exported table


class TableFormat(Format):
    """A table that is read column by column: columns of inputs, labels, ids and groups.

    `reads`, `read`, `head` and `images` are required, and the attribute `schema`.

    Attributes:
        schema: the columns.
        notes: what was left out.
        reserved: columns that are features only if the user names them.
        parts: the column of splits, if rows of several splits are used.
        rows: int64 (n,), the rows of the split.
        days: the features that are dates, as float64 (n,) days since 1970-01-01, once it is open.
        beside: arrays in place of columns, as `labelling` takes them.
    """

    options: ClassVar[tuple[str, ...]] = (*COLUMNS, *IMAGES)
    schema: pa.Schema
    notes: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    parts: str | None = None
    rows: IntArray
    days: Mapping[str, FloatArray] = MappingProxyType({})
    beside: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of all rows."""

    @abstractmethod
    def head(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the first rows, as many as are cheap to read."""

    @abstractmethod
    def images(self, name: str) -> ImageSource:
        """Return the encoded images of a column."""

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> ShardedVectors | None:
        """Return the vectors in these columns if they stay in the files; None, the default, reads them into memory."""
        return None

    @property
    def answers(self) -> str | None:
        """The column of labels or targets; None if these are given as arrays besides the table."""
        if any(self.beside.get(name) is not None for name in ("y", "target")):
            return None
        return self.reading.target or self.reading.label or "label"

    @property
    def written(self) -> tuple[str | None, ...]:
        """The columns of names, labels, ids and groups, which stay text where a number would lose digits of one."""
        return self.answers if self.reading.target is None else None, self.reading.id, self.reading.group

    @property
    def taken(self) -> set[str]:
        """The columns that are not inputs: answers, ids, groups and the split."""
        return {*filter(None, (self.answers, self.reading.id, self.reading.group)), *self.reserved}

    @cached_property
    def image(self) -> str | None:
        """The column of images; None if the inputs are not images."""
        names = self.schema.names
        self.reading.check_columns(names)
        if self.answers is not None and self.answers not in names:
            raise ArgumentError(f"label= must name the column of labels{likely_label(self)}")
        if self.reading.image is not None or self.reading.text or self.reading.wanted:
            return self.reading.image
        return next((name for name in names if name not in self.taken and is_image(self.schema.field(name))), None)

    @cached_property
    def encoded(self) -> ImageSource | None:
        """The images in the column of images."""
        return None if self.image is None else self.images(self.image)

    @cached_property
    def labelling(self) -> Labelling:
        """Read and check labels or targets, ids and groups."""
        options, answers = self.reading, self.answers
        _ = self.image  # checks the columns
        names = list(dict.fromkeys(filter(None, (answers, options.id, options.group))))
        table = self.read(names) if names else None
        columns = {} if table is None else {name: _to_array(table.column(name)) for name in names}
        about: dict[str, Any] = {"y": None, "target": None, "class_names": None, **self.beside}
        given = (("ids", options.id), ("groups", options.group))
        about |= {word: columns[name] for word, name in given if name is not None}
        if answers is not None:
            about["y" if options.target is None else "target"] = columns[answers]
            about["name"] = about["target_name"] = f"column {answers!r}"
            if options.target is None and columns[answers].dtype.kind in "iu":
                about["class_names"] = _class_names(self.schema, answers)
        return labelling(**about)

    def choose_split(self, column: Callable[[], pa.ChunkedArray], lacking: str) -> None:
        """Choose the rows of the split that the user named, by the column `split`, which `column` reads.

        If none is named, note it. `lacking` says for the message what the source must have, and does not.
        """
        split = self.reading.split
        if "split" not in self.schema.names:
            if split is not None:
                raise ArgumentError(f"split={split!r} needs {lacking}")
            return
        self.reserved = frozenset({"split"})
        values = column()
        known = sorted(str(value) for value in pc.unique(values).to_pylist())
        if split is None:
            self.parts = "split"
            self.notes += (f"all splits are used: {some(known)}; split= chooses one",)
            return
        if split not in known:
            raise ArgumentError(f"split must be one of {some(known)}, got {split!r}")
        self.rows = np.flatnonzero(pc.equal(values.cast(pa.string()), split).fill_null(False).to_numpy())

    def open(self) -> Samples:
        """Open the data set: images, vectors, text or a table, by the types of the columns."""
        options, schema, image = self.reading, self.schema, self.image
        rest = [name for name in schema.names if name not in self.taken]
        labelled, notes = self.labelling, list(self.notes)
        about: dict[str, Any] = {"files": self.files, "notes": notes}
        if image is not None:
            notes.append(f"columns used as inputs: {image}")
            notes += _unused(set(rest) - {image})
            return open_images(self.images(image), labelled, options, **about)
        if options.for_images:
            raise ArgumentError("image_size, mode, on_error and workers are for images; there are none here")
        text = options.text
        # If labels are given besides the table, all columns of the table are meant as inputs, like named ones.
        chosen = text is not None or options.wanted or self.answers is None
        numbering = {} if chosen else row_numbers(self, rest)
        wanted = [text] if text is not None else (options.wanted or [n for n in rest if n not in numbering])
        if not wanted:
            beside = f"there is no column of inputs beside {some(sorted(self.taken))}"
            raise DataError(f"{beside}; {_note_left_out(numbering)}" if numbering else beside)
        notes.append(f"columns used as inputs: {some(wanted, 20)}")
        if not chosen:
            self._refuse_names_of_images(wanted)
        if numbering:
            notes.append(_note_left_out(numbering))
        notes += _unused(set(rest) - set(wanted) - set(numbering))
        kinds = [schema.field(name).type for name in wanted]
        if text is None and ((len(kinds) == 1 and is_list(kinds[0])) or all(_is(kind, _NUMBER) for kind in kinds)):
            vectors = self.vectors(wanted, labelled, **about)
            return _open_features(self.read(wanted), labelled, about) if vectors is None else vectors
        if options.memory_limit is not None:
            raise ArgumentError("memory_limit is for images and vectors; there are none here")
        if text is not None or (len(kinds) == 1 and _is(kinds[0], _TEXT)):
            return TextData(_to_texts(self.read(wanted).column(0), wanted[0]), labelled, **about)
        table, self.days = dates_to_days(self.read(wanted))
        return _open_features(table, labelled, about)

    def _refuse_names_of_images(self, names: Sequence[str]) -> None:
        """Refuse text columns whose first entries all name image files: models would learn from the names."""
        texts = [name for name in names if _is(self.schema.field(name).type, _TEXT)]
        for name, column in zip(texts, self.head(texts).columns if texts else (), strict=True):
            entries = column.drop_null().to_pylist()
            if entries and all(entry.lower().endswith(SUFFIXES) for entry in entries):
                raise DataError(
                    f"column {name!r} holds names of image files, such as {entries[0]!r}; image={name!r} reads the "
                    "images, features= takes columns as they are"
                )


def refuse_twice(names: Sequence[str], where: str) -> None:
    """Refuse two columns of one name."""
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise DataError(f"{where} must not have two columns of one name, but it has of {some(twice)}; rename one")


def of_text(table: pa.Table) -> pa.Table:
    """Refuse a table whose text is not UTF-8, which Arrow requires but other writers ignore; return the table."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not _is(_value_type(column.type), _TEXT):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column {name!r} must hold text in UTF-8, but does not ({error}); write it anew"
            ) from error
    return table


def row_numbers(source: TableFormat, names: Sequence[str]) -> dict[str, str]:
    """Find the columns that number or name the rows, each with the reason; a learner must not read them.

    These are:

    - an index that pandas wrote;
    - whole numbers (also as text) that all differ, and that are in order, have no gaps, stand beside text, or have a
      usual name of row numbers; under a usual name, they may also begin anew several times;
    - names, each of one word, that all differ, and that are in order, stand beside text, or have a usual name.

    With fewer than 10 rows, only the first applies. Names are inputs if there is no other column. Entries may be
    missing.
    """
    try:
        index = json.loads((source.schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError):
        index = []
    written = [name for name in index if isinstance(name, str)] if isinstance(index, list) else []
    written += [name for name in names if _PANDAS.fullmatch(name)]
    reasons = dict.fromkeys(sorted(set(written) & set(names)), "an index that pandas wrote")
    kinds = {name: _value_type(source.schema.field(name).type) for name in names if name not in reasons}
    able = [
        n for n, kind in kinds.items() if _is(kind, _TEXT) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    ]
    parts = [] if source.parts is None else [source.parts]
    head = source.head([*able, *parts]) if able else source.schema.empty_table()
    texts = {name for name, kind in kinds.items() if _is(kind, _TEXT)}
    for name in able:
        beside_text = len(texts) > (name in texts)
        usual = name.lower() in _USUAL
        # The first rows tell that most columns do not, so that few columns are read whole.
        values, _, of = _entries(head.select([name, *parts]))
        if values is not None and (usual or _all_differ(values, of)):
            reason = _numbering_reason(source.read([name, *parts]), beside_text=beside_text, usual=usual)
            if reason is not None:
                reasons[name] = reason
    if len(reasons) == len(names):  # for example, a text that happens to be in order
        reasons = {name: reason for name, reason in reasons.items() if not reason.startswith("names")}
    return reasons


def _entries(table: pa.Table) -> tuple[npt.NDArray[Any] | None, bool, IntArray]:
    """Return the present entries of the first column, whether they are names, and the number of the split of each.

    Whole numbers (also from text) are given as they are, names of one word as places in natural order (img9 before
    img10); all else is None, and so is a column of which most is missing.
    """
    column, parts = decode_dictionary(table.column(0)), np.zeros(len(table), np.int64)
    if table.num_columns > 1:
        splits = table.column(1).cast(pa.string()).fill_null("").to_numpy()
        parts = np.unique(splits, return_inverse=True)[1].astype(np.int64)
    if 2 * column.null_count > len(column):
        return None, False, parts
    column, parts = column.drop_null(), parts[pc.is_valid(column).to_numpy()]
    if _is(column.type, _TEXT):
        texts = column.cast(pa.large_string())
        if pc.any(pc.match_substring_regex(texts, r"\s")).as_py():
            return None, False, parts
        try:
            column = texts.cast(pa.int64())
        except pa.ArrowInvalid:
            keys = [re.sub(r"\d+", lambda digits: digits[0].zfill(20), name) for name in texts.to_pylist()]
            return np.unique(np.array(keys, dtype=object), return_inverse=True)[1], True, parts
    values: npt.NDArray[Any] = column.to_numpy()
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
            return None, False, parts
    return values, False, parts


def _numbering_reason(table: pa.Table, *, beside_text: bool, usual: bool) -> str | None:
    """Return why the first column numbers or names the rows, or those of each split; None if it does not."""
    values, named, parts = _entries(table)
    if values is None or len(values) < _FEW:
        return None
    if not _all_differ(values, parts):
        return "row numbers that begin anew" if usual and not named and _begins_anew(values) else None
    order = np.argsort(parts, kind="stable")
    values, starts = values[order], np.flatnonzero(np.diff(parts[order], prepend=-1))
    up = np.delete(values[1:] > values[:-1], starts[1:] - 1)
    in_order = up.all() or not up.any()  # as all differ
    if named:
        if in_order:
            return "names that go with the order of the rows"
        if beside_text:
            return "names that all differ, beside text"
        return "names of rows by its own name" if usual else None
    if in_order:
        return "numbers that go with the order of the rows"
    lows, highs = (of.reduceat(values, starts).tolist() for of in (np.minimum, np.maximum))
    if sum(int(high) - int(low) + 1 for low, high in zip(lows, highs, strict=True)) == len(values):
        return "row numbers in another order"
    if beside_text:
        return "whole numbers that all differ, beside text"
    return "row numbers by name, all of which differ" if usual else None


def _begins_anew(values: npt.NDArray[Any]) -> bool:
    """Tell whether numbers repeatedly go up by one from 0 or 1, ten or more at a time on average."""
    starts = np.append(0, np.flatnonzero(values[1:] != values[:-1] + 1) + 1)
    return bool(len(values) >= _FEW * len(starts) and values[0] in (0, 1) and (values[starts] == values[0]).all())


def _all_differ(values: npt.NDArray[Any], parts: IntArray) -> bool:
    order = np.lexsort((values, parts))
    return not ((np.diff(parts[order]) == 0) & (values[order][1:] == values[order][:-1])).any()


def _note_left_out(numbering: dict[str, str]) -> str:
    named = "; ".join(f"{name!r} ({reason})" for name, reason in numbering.items())
    return f"left out of the inputs, as they number the rows: {named}; features= takes them in, id= makes one the ids"


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a column holds lists of numbers, such as embeddings."""
    return bool(_is(kind, _LIST) and _is(kind.value_type, _NUMBER))


def likely_label(source: TableFormat) -> str:
    """Describe, for a message, the column that is likely to hold the labels, and the existing columns."""
    schema = source.schema
    names = [name for name in schema.names if name not in source.reserved]
    likely = get_close_matches("label", names, n=1, cutoff=0.7)
    likely = likely or [name for name in names if _class_names(schema, name) is not None]
    likely = likely or [name for name in names if name.lower() in _LABELS]
    if not likely:  # then the only column of few distinct values, if there is only one
        words = [n for n in names if _is(schema.field(n).type, _WORD)]
        head = source.head(words)
        likely = [
            n for n in words if 1 < len(pc.unique(decode_dictionary(head.column(n)))) <= min(_CLASSES, len(head) / 2)
        ]
    there = f"the columns are {some(schema.names, 20)}"
    return f", as in label={likely[0]!r}; {there}" if len(likely) == 1 else f"; {there}"


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Read the class names that Hugging Face stores in the metadata of the schema."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        names = about["names"] if about["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None
    return None if names is None else list(map(str, names))


def _unused(names: set[str]) -> list[str]:
    return [f"columns that are not used: {some(sorted(names), 20)}"] if names else []


def _open_features(table: pa.Table, labelled: Labelling, about: dict[str, Any]) -> Samples:
    if table.num_columns == 1 and is_list(table.schema.field(0).type):
        return ArrayData(matrix(table), labelled, "vector", **about)
    for one in table.schema:
        if not (_is(one.type, _NUMBER) or _is(one.type, _CATEGORY)):
            remedy = "make numbers or text of it"
            if pa.types.is_temporal(one.type):
                remedy = "make numbers of it, such as seconds"
            elif _is(one.type, _LIST):
                remedy = "lists of numbers are inputs where they are the only column"
            raise DataError(
                f"column {one.name!r} has type {one.type}, which is no feature; {remedy}, or choose with features="
            )
    numbers = all(_is(field.type, _NUMBER) for field in table.schema)
    gaps = [name for name in table.column_names if table.column(name).null_count]
    about["feature_names"] = table.column_names
    if numbers and not gaps:
        return ArrayData(matrix(table), labelled, "vector", **about)
    if numbers:
        about["notes"].append(f"entries are missing in {some(gaps)}: the columns are a table, not vectors")
    codes = np.empty((table.num_rows, table.num_columns), np.int32)
    values = []
    for at, name in enumerate(table.column_names):
        codes[:, at], distinct = _factorise(table.column(name), name)
        values.append(distinct)
    return TableData(codes, values, labelled, **about)


def matrix(table: pa.Table) -> npt.NDArray[np.float32]:
    """Convert d columns of numbers, or one column of lists of d numbers, to float32 (n, d)."""
    if is_list(table.schema.field(0).type):
        return _embedding(table.column(0), table.column_names[0])
    values = np.empty((table.num_rows, table.num_columns), np.float32)
    for at, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if column.null_count:
            raise DataError(f"column {name!r} must hold numbers, but {column.null_count:,} entries are missing")
        numbers = column.to_numpy()
        warn_of_rounding(numbers[:, None], [repr(name)])
        with np.errstate(over="ignore"):
            values[:, at] = numbers
    return values


def _factorise(column: pa.ChunkedArray, name: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Encode a column as codes and distinct values, None last if entries are missing; NaN counts as missing."""
    column = decode_dictionary(column)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        infinite = np.flatnonzero(pc.is_inf(column).fill_null(False).to_numpy())
        if infinite.size:
            raise DataError(
                f"features must be finite, but column {name!r} holds infinite values in {infinite.size:,} rows: "
                f"{some(infinite)}; drop these rows"
            )
    encoded = column.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    if encoded.null_count:
        missing = len(distinct)
        distinct = np.append(distinct.astype(object), [None])
        return encoded.indices.fill_null(missing).to_numpy().astype(np.int32), distinct
    return encoded.indices.to_numpy().astype(np.int32), distinct


def _embedding(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float32]:
    """Convert a column of lists to float32 (n, d)."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    wrong = np.flatnonzero(lengths != lengths[0])
    if wrong.size or lengths[0] == 0:
        row = int(wrong[0]) if wrong.size else 0
        raise DataError(
            f"column {name!r} must hold lists of one length, but row 0 has {lengths[0]} entries and row {row} has "
            f"{lengths[row]}; pad or cut them to one length, or drop these rows"
        )
    flat = pc.list_flatten(column)
    if flat.null_count:
        row = int(np.flatnonzero(pc.is_null(flat).to_numpy())[0]) // int(lengths[0])
        raise DataError(
            f"column {name!r} must hold numbers, but some entries are missing: one in row {row}; drop such rows"
        )
    with np.errstate(over="ignore"):
        vectors: npt.NDArray[np.float32] = flat.to_numpy().astype(np.float32, copy=False).reshape(len(lengths), -1)
    return vectors


def _to_texts(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
    column = decode_dictionary(column)
    if not _is(column.type, _TEXT):
        raise DataError(f"column {name!r} must hold text, got {column.type}")
    if column.null_count:
        rows = np.flatnonzero(pc.is_null(column).to_numpy())
        raise DataError(f"column {name!r} has no text in {len(rows):,} rows: {some(rows)}; drop them or write ''")
    texts: npt.NDArray[Any] = column.to_numpy()
    return texts


def _to_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Convert a column to an array: numbers as they are, text as str, objects with None for missing entries."""
    column = decode_dictionary(column)
    if column.null_count:
        return np.array(column.to_pylist(), dtype=object)
    array: npt.NDArray[Any] = column.to_numpy()
    return array


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def decode_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of categories as one of their values; any other as it is."""
    return column.cast(_value_type(column.type)) if pa.types.is_dictionary(column.type) else column


# Tests of a column's type, one of which holds.
_NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LIST = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_WORD = (*_TEXT, pa.types.is_boolean, pa.types.is_dictionary)
_CATEGORY = (*_TEXT, pa.types.is_null, pa.types.is_dictionary)


def _is(kind: pa.DataType, tests: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(test(kind) for test in tests)
