"""Columns of Arrow tables: the role of each column (inputs, labels, ids, groups), and the data set of its values.

The formats of parquet, CSV, frames and Hugging Face data sets derive from `TableFormat`.
"""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.protocols import Data
from unseen.data.arrow import (
    BYTES,
    CATEGORY,
    NUMBER,
    TEXT,
    WORD,
    dates_to_days,
    decode_dictionary,
    find_row_numbers,
    is_any,
    is_list,
    is_readable,
    note_left_out,
    to_numbers,
    value_type,
    warn_of_lists,
    warn_of_texts,
)
from unseen.data.base import ArrayData, Samples, TableData, TextData, warn_of_rounding
from unseen.data.decoding import ImageSource, is_image
from unseen.data.formats import COLUMNS, IMAGES, Format, features_of
from unseen.data.images import name_images, open_images
from unseen.data.labels import OWN_LOOP, Labelling, count_rows, encode_labels
from unseen.data.shards import ShardedVectors
from unseen.errors import ArgumentError, DataError, some, warn

_LABELS = {"label", "labels", "class", "classes", "target", "y", "category", "outcome", "income", "species"}
_CLASSES = 50  # most distinct values of a column that is suggested as labels


HEAD = 1024  # rows of `head`, of tables that are in memory or mapped
PIECE_ROWS = 1000  # rows of one exported table


class TableFormat(Format):
    """A table that is read column by column: columns of inputs, labels, ids and groups.

    A subclass must define `reads`, `read`, `images` and the attribute `schema`.

    Attributes:
        schema: the columns.
        notes: what was left out.
        reserved: columns that are features only if the user names them.
        split_column: the column of splits, if rows of several splits are used.
        rows: int64 (n,), the rows of the split.
        days: the features that are dates, as float64 (n,) days since 1970-01-01, once it is open.
        beside: arrays in place of columns, as `encode_labels` takes them.
        folder: where relative names of image files start; None is the working directory.
        like: the training set, if this is a test set: its inputs are the columns of these names, and numbers without
            gaps are a table, too, where those of the training set have gaps.
    """

    options: ClassVar[tuple[str, ...]] = (*COLUMNS, *IMAGES)
    schema: pa.Schema
    notes: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    split_column: str | None = None
    rows: IntArray
    days: Mapping[str, FloatArray] = MappingProxyType({})
    beside: Mapping[str, Any] = MappingProxyType({})
    folder: Path | None = None
    like: Data | None = None

    @property
    def as_table(self) -> bool:
        """Whether numbers without gaps are a table."""
        return self.like is not None and self.like.kind == "table"

    @abstractmethod
    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of all rows."""

    def head(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the first rows, as many as are cheap to read."""
        return self.read(names).slice(0, HEAD)

    @abstractmethod
    def images(self, name: str) -> ImageSource:
        """Return the encoded images of a column."""

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> ShardedVectors | None:
        """Return the vectors in these columns if they stay in the files; None, the default, reads them into memory."""
        return None

    def whole(self) -> pa.Table:
        """Return all columns of all rows."""
        return self.read(self.schema.names)

    def by_name(self, rows: IntArray) -> pa.Table | None:
        """Return these rows with full names of image files; None where images are not named by a column of text."""
        image = self.reading.image
        if self.label_column is None or image is None or not is_any(value_type(self.schema.field(image).type), TEXT):
            return None
        table = self.whole().take(rows)
        names = [name and str(Path(self.folder or "", name).absolute()) for name in table.column(image).to_pylist()]
        return table.set_column(table.schema.get_field_index(image), image, pa.array(names, pa.string()))

    @property
    def label_column(self) -> str | None:
        """The column of labels or targets; None if these are given as arrays besides the table."""
        if any(self.beside.get(name) is not None for name in ("y", "target")):
            return None
        return self.reading.target or self.reading.label or "label"

    @property
    def kept_as_text(self) -> tuple[str | None, ...]:
        """The columns of names, labels, ids and groups, which stay text where a number would lose digits of one."""
        return self.label_column if self.reading.target is None else None, self.reading.id, self.reading.group

    @property
    def not_inputs(self) -> set[str]:
        """The columns that are not inputs: answers, ids, groups and the split."""
        return {*filter(None, (self.label_column, self.reading.id, self.reading.group)), *self.reserved}

    @cached_property
    def image(self) -> str | None:
        """The column of images; None if the inputs are not images."""
        names = self.schema.names
        self.reading.check_columns(names)
        if self.label_column is not None and self.label_column not in names:
            raise ArgumentError(
                f"label= must name the column of labels{likely_label(self)}; numbers to predict are named by target="
            )
        if self.reading.image is not None:
            field = self.schema.field(self.reading.image)
            if not is_image(field) and not is_any(value_type(field.type), (*TEXT, *BYTES)):
                raise DataError(
                    f"column {field.name!r} must hold images or names of image files, such as 'photos/7.png', but it "
                    f"has type {field.type}"
                )
        if self.reading.image is not None or self.reading.text or self.reading.wanted:
            return self.reading.image
        return next((name for name in names if name not in self.not_inputs and is_image(self.schema.field(name))), None)

    @cached_property
    def encoded(self) -> ImageSource | None:
        """The images in the column of images."""
        return None if self.image is None else self.images(self.image)

    @cached_property
    def labelling(self) -> Labelling:
        """Read and check labels or targets, ids and groups."""
        options, answers = self.reading, self.label_column
        _ = self.image  # checks the columns
        names = list(dict.fromkeys(filter(None, (answers, options.id, options.group))))
        table = self.read(names) if names else None
        columns = {} if table is None else {name: _to_array(table.column(name)) for name in names}
        about: dict[str, Any] = {"y": None, "target": None, "class_names": None, **self.beside}
        given = (("ids", options.id), ("groups", options.group))
        about |= {word: columns[name] for word, name in given if name is not None}
        if answers is not None:
            about["y" if options.target is None else "target"] = columns[answers]
            about["name"] = f"column {answers!r}"
            if options.target is None and columns[answers].dtype.kind in "iu":
                about["class_names"] = _class_names(self.schema, answers)
        return encode_labels(**about)

    def choose_split(self, lacking: str) -> None:
        """Choose the rows of the split that the user named, by the column `split`; note it if none is named.

        `lacking` says for the message what the source must have, and does not.
        """
        split = self.reading.split
        if "split" not in self.schema.names:
            if split is not None:
                raise ArgumentError(f"split={split!r} needs {lacking}")
            return
        self.reserved = frozenset({"split"})
        values = self.read(["split"]).column(0)
        known = sorted(str(value) for value in pc.unique(values).to_pylist())
        if split is None:
            self.split_column = "split"
            self.notes += (f"all splits are used: {some(known)}; split= chooses one",)
            return
        if split not in known:
            raise ArgumentError(f"split must be one of {some(known)}, got {split!r}")
        self.rows = np.flatnonzero(pc.equal(values.cast(pa.string()), split).fill_null(False).to_numpy())

    def open(self) -> Samples:
        """Open the data set: images, vectors, text or a table, by the types of the columns."""
        options, schema, image = self.reading, self.schema, self.image
        rest = [name for name in schema.names if name not in self.not_inputs]
        labelled, notes = self.labelling, list(self.notes)
        about: dict[str, Any] = {"files": self.files, "notes": notes}
        if image is not None:
            notes.append(f"columns used as inputs: {image}")
            notes += _unused(set(rest) - {image})
            return open_images(self.images(image), labelled, options, **about)
        if options.for_images:
            raise ArgumentError("image_size, mode, on_error and workers are for images; there are none here")
        wanted = self._choose_inputs(rest, notes)
        if not options.wanted:
            refuse_token_ids(name for name in wanted if is_list(schema.field(name).type))
        _refuse_lists(schema, wanted)
        kinds = [schema.field(name).type for name in wanted]
        text = options.text
        numbers = (len(kinds) == 1 and is_list(kinds[0])) or all(is_any(kind, NUMBER) for kind in kinds)
        if text is None and numbers and not self.as_table:
            vectors = self.vectors(wanted, labelled, **about)
            return _open_features(self.read(wanted), labelled, about) if vectors is None else vectors
        if options.memory_limit is not None:
            raise ArgumentError("memory_limit is for images and vectors; there are none here")
        if text is not None or (len(kinds) == 1 and is_any(kinds[0], TEXT)):
            texts = _to_texts(self.read(wanted).column(0), wanted[0])
            if not warn_of_lists({wanted[0]: texts[:HEAD].tolist()}) and text is None:
                warn_of_texts({wanted[0]: list(dict.fromkeys(texts[:HEAD].tolist()))}, None)
            return TextData(texts, labelled, **about)
        table, converted = to_numbers(self.read(wanted))
        table, self.days = dates_to_days(table)
        notes += converted
        if self.days:
            notes.append(f"dates are read as days since 1970-01-01: {some(list(self.days))}")
        return _open_features(table, labelled, about, as_table=self.as_table)

    def _choose_inputs(self, rest: Sequence[str], notes: list[str]) -> list[str]:
        """Return the columns that are inputs, from those without another role; add notes on the choice."""
        # If labels are given besides the table, all columns of the table are meant as inputs, like named ones.
        named = [self.reading.text] if self.reading.text is not None else list(self.reading.wanted)
        if not named and self.like is not None and set(self.like.feature_names or ()) <= set(rest):
            named = list(self.like.feature_names or ())
        if self.label_column in named:
            what = "labels" if self.reading.target is None else "target"
            raise ArgumentError(
                f"column {self.label_column!r} holds the {what}, so models must not read it; leave it out"
            )
        chosen = bool(named) or self.label_column is None
        empty = [] if named else self._find_empty(rest)
        filled = [name for name in rest if name not in empty]
        numbering = {} if chosen else find_row_numbers(self, filled)
        odd = [] if chosen else [name for name in filled if not is_readable(self.schema.field(name).type)]
        wanted = named or [name for name in filled if name not in numbering and name not in odd]
        left_out = [f"left out of the inputs, as they hold nothing: {some(list(map(repr, empty)), 20)}"] * bool(empty)
        left_out += [note_left_out(numbering)] * bool(numbering)
        types = some([f"{name!r} ({self.schema.field(name).type})" for name in odd])
        unread = (
            f"left out of the inputs, since no model reads their type: {types}; make numbers or text of them to learn "
            "from them"
        )
        if not wanted:
            beside = f" beside {some(sorted(self.not_inputs))}" if self.not_inputs else ""
            raise DataError("; ".join([f"there is no column of inputs{beside}", *left_out, *[unread] * bool(odd)]))
        notes.append(f"columns used as inputs: {some(wanted, 20)}")
        if not chosen:
            notes += self._note_names_of_images(rest, wanted)
        notes += left_out
        if odd:
            warn(unread)
        notes += _unused(set(rest) - set(wanted) - set(numbering) - set(odd) - set(empty))
        return wanted

    def _find_empty(self, names: Sequence[str]) -> list[str]:
        """Find the columns of missing entries, NaN or blanks alone; in a test set, unless the training set has them.

        They tell a model nothing, and would make a table of vectors.
        """
        known = set() if self.like is None else set(self.like.feature_names or names)
        kinds = {name: self.schema.field(name).type for name in names if name not in known}
        able = [name for name, kind in kinds.items() if is_readable(kind) and not is_list(kind)]
        for read in (self.head, self.read):  # the first rows tell that most columns hold something
            able = [name for name, of in zip(able, read(able).columns if able else (), strict=True) if _is_empty(of)]
        return able

    def _note_names_of_images(self, names: Sequence[str], wanted: Sequence[str]) -> list[str]:
        """Refuse inputs whose first entries all name image files, since models would learn from the names; note others.

        Other columns beside such names may be features of the images. So these are no reason to warn.
        """
        notes = []
        texts = [name for name in names if is_any(self.schema.field(name).type, TEXT)]
        for name, column in zip(texts, self.head(texts).columns if texts else (), strict=True):
            entries = column.drop_null().to_pylist()
            if not name_images(entries):
                continue
            holds = f"column {name!r} holds names of image files, such as {entries[0]!r}"
            if name in wanted:
                raise DataError(
                    f"{holds}; image={name!r} reads the images, features= (--feature) takes columns as they are"
                )
            notes.append(f"{holds}, which are not read; image={name!r} (--image) reads them in place of the columns")
        return notes


def _is_empty(column: pa.ChunkedArray) -> bool:
    column = decode_dictionary(column)
    if is_any(column.type, TEXT):
        column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    return bool(pc.all(pc.is_null(column, nan_is_null=True)).as_py())


def _refuse_lists(schema: pa.Schema, names: Sequence[str]) -> None:
    """Refuse lists of numbers, such as embeddings, beside other columns."""
    lists = [name for name in names if is_list(schema.field(name).type)]
    if lists and len(names) > 1:
        raise DataError(
            f"column {lists[0]!r} holds lists of numbers, which are inputs only by themselves: name it alone, as in "
            f"features={lists[0]!r} (--feature {shlex.quote(lists[0])}), or the other columns"
        )


def refuse_token_ids(names: Iterable[str]) -> None:
    """Refuse inputs that a tokenizer made: the numbers of words, which models would read as measurements."""
    if "input_ids" in names:
        raise DataError(
            "'input_ids' holds the numbers of words, which are no measurements: give the text itself (text=, --text), "
            f"or vectors of it (unseen.embed); {OWN_LOOP}"
        )


def refuse_twice(names: Sequence[str], where: str, remedy: str = "rename one") -> None:
    """Refuse two columns of one name."""
    if len(set(names)) < len(names):
        twice = [name or "''" for name in dict.fromkeys(names) if names.count(name) > 1]
        raise DataError(f"{where} must not have two columns of one name, but it has of {some(twice)}; {remedy}")


def check_text(table: pa.Table) -> pa.Table:
    """Refuse a table whose text is not UTF-8, which Arrow requires but other writers ignore; return the table."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not is_any(value_type(column.type), TEXT):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column {name!r} must hold text in UTF-8, but does not ({error}); write it anew"
            ) from error
    return table


def likely_label(source: TableFormat) -> str:
    """Describe, for a message, the column that is likely to hold the labels, and the existing columns."""
    schema = source.schema
    names = [name for name in schema.names if name not in source.reserved]
    likely = get_close_matches("label", names, n=1, cutoff=0.7)
    likely = likely or [name for name in names if _class_names(schema, name) is not None]
    likely = likely or [name for name in names if name.lower() in _LABELS]
    if not likely:  # then the only column of few distinct values, if there is only one
        words = [n for n in names if is_any(schema.field(n).type, WORD)]
        head = source.head(words)
        likely = [
            n for n in words if 1 < len(pc.unique(decode_dictionary(head.column(n)))) <= min(_CLASSES, len(head) / 2)
        ]
    there = f"the columns are {some(schema.names, 20, last=3)}"
    return f", as in label={likely[0]!r}; {there}" if len(likely) == 1 else f"; {there}"


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Read the class names that Hugging Face stores in the metadata of the schema."""
    try:
        about = features_of(schema)[label]
        names = about["names"] if about["_type"] == "ClassLabel" else None
    except (KeyError, TypeError):
        return None
    return None if names is None else list(map(str, names))


def _unused(names: set[str]) -> list[str]:
    return [f"columns that are not used: {some(sorted(names), 20)}"] if names else []


def _open_features(table: pa.Table, labelled: Labelling, about: dict[str, Any], *, as_table: bool = False) -> Samples:
    if table.num_columns == 1 and is_list(table.schema.field(0).type):
        return ArrayData(matrix(table), labelled, "vector", **about)
    for one in table.schema:
        if not (is_any(one.type, NUMBER) or is_any(one.type, CATEGORY)):
            remedy = "make numbers or text of it"
            if pa.types.is_temporal(one.type):
                remedy = "make numbers of it, such as seconds"
            raise DataError(
                f"column {one.name!r} has type {one.type}, which is no feature; {remedy}, or name the other columns by "
                "features= (--feature)"
            )
    numbers = all(is_any(field.type, (*NUMBER, pa.types.is_null)) for field in table.schema)
    gaps = [name for name in table.column_names if table.column(name).null_count]
    about["feature_names"] = table.column_names
    if numbers and not gaps and not as_table:
        return ArrayData(matrix(table), labelled, "vector", **about)
    if numbers and gaps:
        about["notes"].append(f"entries are missing in {some(gaps)}: the columns are a table, not vectors")
    codes = np.empty((table.num_rows, table.num_columns), np.int32)
    values = []
    for at, name in enumerate(table.column_names):
        codes[:, at], distinct = _factorise(table.column(name), name)
        values.append(distinct)
    words = zip(table.schema, values, strict=True)
    texts = {one.name: [v for v in of if v is not None] for one, of in words if is_any(value_type(one.type), TEXT)}
    listed = warn_of_lists(texts)
    warn_of_texts({name: of for name, of in texts.items() if name not in listed}, table.num_rows)
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
                f"features must be finite, but column {name!r} is infinite in {count_rows(infinite)}; make these "
                "entries missing (NaN), or leave the column out by features= (--feature)"
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
    if not is_any(column.type, TEXT):
        raise DataError(f"column {name!r} must hold text, got {column.type}")
    if column.null_count:
        rows = np.flatnonzero(pc.is_null(column).to_numpy())
        raise DataError(f"column {name!r} has no text in {count_rows(rows)}; drop them or write '' (in CSV, \"\")")
    texts: npt.NDArray[Any] = column.to_numpy()
    return texts


def _to_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Convert a column to an array: numbers as they are, text as str, objects with None for missing entries."""
    column = decode_dictionary(column)
    if pa.types.is_decimal(column.type):
        try:  # whole numbers, as of ids, keep all digits
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            column = column.cast(pa.float64())
    if column.null_count:
        return np.array(column.to_pylist(), dtype=object)
    array: npt.NDArray[Any] = column.to_numpy()
    return array
