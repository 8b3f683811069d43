"""Columns of Arrow tables: the role of each column (inputs, labels, ids, groups), and the data set of its values.

Readers of parquet, CSV, frames and Hugging Face data sets give a `Source` of columns; `open_columns` opens it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import IntArray
from unseen.data.base import ArrayData, Samples, TableData, TextData
from unseen.data.content import Files
from unseen.data.folders import SUFFIXES
from unseen.data.images import Encoded, ImageOptions, ImageSource, open_images
from unseen.data.labels import Labelling, label_or_target, labelling, targeting
from unseen.errors import ArgumentError, DataError, UnknownNameError, some

if TYPE_CHECKING:  # a circle at run time: shards import arrays, arrays import frames, frames import this module
    from unseen.data.shards import ShardedVectors

__all__ = [
    "Roles",
    "Source",
    "encoded",
    "image_column",
    "is_image",
    "is_list",
    "labelling_of",
    "matrix",
    "of_text",
    "open_columns",
]

_FEW = 10  # with fewer rows, columns are not tested for row numbers
_PANDAS = re.compile(r"__index_level_\d+__")
_USUAL = {
    *("index", "idx", "id", "_id", "level_0", "row", "row_id", "rowid", "row_number", "rownum", "unnamed: 0", ""),
    *("rownames", "row_names", "row.names", "sample_id", "example_id", "uid", "uuid", "guid"),
}
_LABELS = {"label", "labels", "class", "classes", "target", "y", "category", "outcome", "income", "species"}
_CLASSES = 50  # most distinct values of a column that is suggested as labels


@dataclass(frozen=True)
class Roles:
    """The roles of columns that the user gave; None for a role to be detected."""

    label: str | None = None  # "label", unless there is a target
    image: str | None = None
    text: str | None = None
    features: str | Sequence[str] | None = None
    id: str | None = None
    group: str | None = None
    target: str | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)  # arrays in place of columns, as `labelling` takes them

    @property
    def answers(self) -> str | None:
        """The column of labels or targets; None if these are given as arrays besides the table."""
        if any(self.beside.get(name) is not None for name in ("y", "target")):
            return None
        return self.target or self.label or "label"

    @property
    def taken(self) -> set[str]:
        """The columns that are not inputs: answers, ids and groups."""
        return set(filter(None, (self.answers, self.id, self.group)))

    @property
    def wanted(self) -> list[str]:
        """The feature columns that the user named."""
        return [self.features] if isinstance(self.features, str) else list(self.features or [])

    def check(self, names: Sequence[str]) -> None:
        """Refuse columns that do not exist, and more than one kind of input."""
        if self.label is not None and self.target is not None:
            raise ArgumentError(
                f"give label (classes) or target (numbers to regress on), got label={self.label!r} and "
                f"target={self.target!r}"
            )
        given = [word for word in ("image", "text", "features") if getattr(self, word) is not None]
        if len(given) > 1:
            raise ArgumentError(f"inputs are one of image, text and features, got {' and '.join(given)}")
        named = {role: getattr(self, role) for role in ("label", "target", "image", "text", "id", "group")}
        for role, name in named.items():
            if not isinstance(name, (str, type(None))):
                raise ArgumentError(f"{role} must be the name of one column, such as {str(names[0])!r}, got {name!r}")
            if name is not None and name not in names:
                raise UnknownNameError(f"column for {role}", name, names)
        for name in self.wanted:
            if name not in names:
                raise UnknownNameError("column for features", name, names)


class Source(Protocol):
    """A table that is read column by column."""

    schema: pa.Schema
    files: Files | None
    notes: tuple[str, ...]
    reserved: frozenset[str]  # columns that are features only if the user names them
    parts: str | None  # the column of splits, if rows of several splits are used

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of all rows."""

    def head(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the first rows, as many as are cheap to read."""

    def images(self, name: str) -> ImageSource:
        """Return the source of the encoded images of a column."""

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> ShardedVectors | None:
        """Return the vectors in these columns if they stay in the files; None to read them into memory."""


def open_columns(source: Source, roles: Roles, options: ImageOptions) -> Samples:
    """Open the data set of a table."""
    schema = source.schema
    image = image_column(source, roles)
    taken = roles.taken
    rest = [name for name in schema.names if name not in taken | source.reserved]
    about: dict[str, Any] = {"files": source.files, "notes": list(source.notes)}
    labelled = labelling_of(source, roles)
    if image is not None:
        about["notes"].append(f"columns used as inputs: {image}")
        _note_unused(about, set(rest) - {image})
        return open_images(source.images(image), labelled, options, **about)
    if replace(options, memory_limit=None) != ImageOptions():
        raise ArgumentError("image_size, mode, on_error and workers are for images; there are none here")
    # If labels are given besides the table, all columns of the table are meant as inputs, like named ones.
    chosen = roles.text is not None or roles.wanted or roles.answers is None
    numbering = {} if chosen else row_numbers(source, rest)
    wanted = [roles.text] if roles.text is not None else (roles.wanted or [n for n in rest if n not in numbering])
    if not wanted:
        beside = f"there is no column of inputs beside {some(sorted(taken | source.reserved))}"
        raise DataError(f"{beside}; {_note_left_out(numbering)}" if numbering else beside)
    about["notes"].append(f"columns used as inputs: {some(wanted, 20)}")
    if not chosen:
        refuse_names_of_images(source, wanted)
    if numbering:
        about["notes"].append(_note_left_out(numbering))
    _note_unused(about, set(rest) - set(wanted) - set(numbering))
    if roles.text is None and _are_vectors([schema.field(name).type for name in wanted]):
        vectors = source.vectors(wanted, labelled, **about)
        return _open_features(source.read(wanted), labelled, about) if vectors is None else vectors
    if options.memory_limit is not None:
        raise ArgumentError("memory_limit is for images and vectors; there are none here")
    if roles.text is not None or (len(wanted) == 1 and _is_text(schema.field(wanted[0]).type)):
        return TextData(_to_texts(source.read(wanted).column(0), wanted[0]), labelled, **about)
    return _open_features(source.read(wanted), labelled, about)


def of_text(table: pa.Table) -> pa.Table:
    """Refuse a table whose text is not UTF-8, which Arrow requires but other writers ignore; return the table.

    Raises:
        DataError: a column of text is not UTF-8.

    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not _is_text(_value_type(column.type)):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column {name!r} must hold text in UTF-8, but does not ({error}); write it anew"
            ) from error
    return table


def row_numbers(source: Source, names: Sequence[str]) -> dict[str, str]:
    """Find the columns that number or name the rows, each with the reason; a learner must not read them.

    These are:

    - an index that pandas wrote;
    - whole numbers (also as text) that all differ, and that are in order, have no gaps, stand beside text, or have a
      usual name of row numbers; under a usual name, they may also begin anew several times;
    - names, each of one word, that all differ, and that are in order, stand beside text, or have a usual name.

    With fewer than 10 rows, only the first applies. Names are inputs if there is no other column. Entries may be
    missing.
    """
    reasons = dict.fromkeys(sorted(_pandas_indices(source.schema) & set(names)), "an index that pandas wrote")
    kinds = {name: _value_type(source.schema.field(name).type) for name in names if name not in reasons}
    able = [n for n, kind in kinds.items() if _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    parts = [] if source.parts is None else [source.parts]
    head = source.head([*able, *parts]) if able else None
    for name in able:
        beside_text = any(_is_text(kind) for other, kind in kinds.items() if other != name)
        usual = name.lower() in _USUAL
        if head is not None and _may_number(*_present_entries(head.select([name, *parts])), usual=usual):
            entries, of = _present_entries(source.read([name, *parts]))
            reason = _numbering_reason(entries, of, beside_text=beside_text, usual=usual)
            if reason is not None:
                reasons[name] = reason
    if len(reasons) == len(names):  # for example, a text that happens to be in order
        reasons = {name: reason for name, reason in reasons.items() if not reason.startswith("names")}
    return reasons


def _present_entries(table: pa.Table) -> tuple[npt.NDArray[Any] | None, IntArray]:
    """Return the present entries of the first column, and the number of the split of each.

    The entries are whole numbers (also from text), or objects for text of one word each. They are None for anything
    else, and if more than half are missing.
    """
    column = table.column(0)
    if column.null_count:
        parts = _parts(table.select(list(range(1, table.num_columns))))[pc.is_valid(column).to_numpy()]
        few = 2 * column.null_count > len(column)
        return (None if few else _entries(column.drop_null())), parts
    return _entries(column), _parts(table.select(list(range(1, table.num_columns))))


def _entries(column: pa.ChunkedArray) -> npt.NDArray[Any] | None:
    column = _decode_dictionary(column)
    if _is_text(column.type):
        texts = column.cast(pa.large_string())
        if pc.any(pc.match_substring_regex(texts, r"\s")).as_py():
            return None
        try:
            column = texts.cast(pa.int64())
        except pa.ArrowInvalid:
            return np.array(texts.to_pylist(), dtype=object)
    values: npt.NDArray[Any] = column.to_numpy()
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
            return None
    return values


def _may_number(entries: npt.NDArray[Any] | None, parts: IntArray, *, usual: bool) -> bool:
    """Tell by the first rows whether a column may number the rows, so that few columns are read whole."""
    return entries is not None and (usual or _all_differ(_ranks(entries), parts))


def _numbering_reason(
    entries: npt.NDArray[Any] | None, parts: IntArray, *, beside_text: bool, usual: bool
) -> str | None:
    """Return why a column numbers or names the rows, or those of each split; None if it does not."""
    if entries is None or len(entries) < _FEW:
        return None
    values, named = _ranks(entries), entries.dtype.kind == "O"
    if not _all_differ(values, parts):
        return "row numbers that begin anew" if usual and not named and _begins_anew(values) else None
    order = np.argsort(parts, kind="stable")
    values, starts = values[order], np.flatnonzero(np.diff(parts[order], prepend=-1))
    up = np.delete(values[1:] > values[:-1], starts[1:] - 1)
    in_order = up.all() or not up.any()  # as all differ
    if named:
        if in_order:
            return "names that go with the order of the rows"
        return (
            "names that all differ, beside text" if beside_text else "names of rows by its own name" if usual else None
        )
    if in_order:
        return "numbers that go with the order of the rows"
    lows, highs = (of.reduceat(values, starts).tolist() for of in (np.minimum, np.maximum))
    if sum(int(high) - int(low) + 1 for low, high in zip(lows, highs, strict=True)) == len(values):
        return "row numbers in another order"
    if beside_text:
        return "whole numbers that all differ, beside text"
    return "row numbers by name, all of which differ" if usual else None


def _ranks(entries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers as they are, and names as their places in natural order, in which img9 is before img10."""
    if entries.dtype.kind != "O":
        return entries
    keys = [re.sub(r"\d+", lambda digits: digits[0].zfill(20), name) for name in entries]
    return np.unique(np.array(keys, dtype=object), return_inverse=True)[1]


def _begins_anew(values: npt.NDArray[Any]) -> bool:
    """Tell whether numbers repeatedly go up by one from 0 or 1, ten or more at a time on average."""
    starts = np.append(0, np.flatnonzero(values[1:] != values[:-1] + 1) + 1)
    return bool(len(values) >= _FEW * len(starts) and values[0] in (0, 1) and (values[starts] == values[0]).all())


def _parts(table: pa.Table) -> IntArray:
    """Return the number of the split of each row."""
    if not table.num_columns:
        return np.zeros(len(table), np.int64)
    return np.unique(table.column(0).cast(pa.string()).fill_null("").to_numpy(), return_inverse=True)[1].astype(
        np.int64
    )


def _all_differ(values: npt.NDArray[Any], parts: IntArray) -> bool:
    order = np.lexsort((values, parts))
    return not ((np.diff(parts[order]) == 0) & (values[order][1:] == values[order][:-1])).any()


def _pandas_indices(schema: pa.Schema) -> set[str]:
    """Find the columns that are an index by the metadata of pandas, or by its name for an unnamed index."""
    try:
        index = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError):
        index = []
    named = {name for name in index if isinstance(name, str)} if isinstance(index, list) else set()
    return named | {name for name in schema.names if _PANDAS.fullmatch(name)}


def _note_left_out(numbering: dict[str, str]) -> str:
    named = "; ".join(f"{name!r} ({reason})" for name, reason in numbering.items())
    return f"left out of the inputs, as they number the rows: {named}; features= takes them in, id= makes one the ids"


def image_column(source: Source, roles: Roles) -> str | None:
    """Find the column of images; None if the inputs are not images."""
    schema = source.schema
    roles.check(schema.names)
    if roles.answers is not None and roles.answers not in schema.names:
        raise ArgumentError(f"label= must name the column of labels{likely_label(source)}")
    if roles.image is not None or roles.text or roles.wanted:
        return roles.image
    taken = roles.taken | source.reserved
    return next((name for name in schema.names if name not in taken and is_image(schema.field(name))), None)


def encoded(value: Any) -> Encoded:
    """Return the bytes of an entry of an image column, or else its path."""
    content = (value["bytes"] or value.get("path")) if isinstance(value, dict) else value
    return Path(content) if content and isinstance(content, str) else content or None


def refuse_names_of_images(source: Source, names: Sequence[str]) -> None:
    """Refuse inputs that are names of image files: models would learn from the names.

    Raises:
        DataError: all entries of a column, in the first rows, end as names of image files do.

    """
    texts = [name for name in names if _is_text(source.schema.field(name).type)]
    for name, column in zip(texts, source.head(texts).columns if texts else (), strict=True):
        entries = column.drop_null().to_pylist()
        if entries and all(entry.lower().endswith(SUFFIXES) for entry in entries):
            raise DataError(
                f"column {name!r} holds names of image files, such as {entries[0]!r}; image={name!r} reads the images, "
                "features= takes columns as they are"
            )


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a column holds lists of numbers, such as embeddings."""
    return bool(_is_any_list(kind) and _is_number(kind.value_type))


def is_image(field: pa.Field) -> bool:
    """Tell whether a column is a struct of bytes and path, as Hugging Face writes images."""
    return bool(pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)


def likely_label(source: Source) -> str:
    """Describe, for a message, the column that is likely to hold the labels, and the existing columns."""
    schema = source.schema
    names = [name for name in schema.names if name not in source.reserved]
    likely = get_close_matches("label", names, n=1, cutoff=0.7)
    likely = likely or [name for name in names if _class_names(schema, name) is not None]
    likely = likely or [name for name in names if name.lower() in _LABELS]
    if not likely:  # then the only column of few distinct values, if there is only one
        words = [n for n in names if _is_any_of_few(schema.field(n).type)]
        head = source.head(words)
        likely = [
            n for n in words if 1 < len(pc.unique(_decode_dictionary(head.column(n)))) <= min(_CLASSES, len(head) / 2)
        ]
    there = f"the columns are {some(schema.names, 20)}"
    return f", as in label={likely[0]!r}; {there}" if len(likely) == 1 else f"; {there}"


def labelling_of(source: Source, roles: Roles) -> Labelling:
    """Read and check labels or targets, ids and groups."""
    names = list(dict.fromkeys(filter(None, (roles.answers, roles.id, roles.group))))
    table = source.read(names) if names else None
    columns = {} if table is None else {name: _to_array(table.column(name)) for name in names}
    about = dict(roles.beside)
    about |= {word: columns[name] for word, name in (("ids", roles.id), ("groups", roles.group)) if name is not None}
    if roles.answers is None:
        y, target, class_names = (about.pop(word, None) for word in ("y", "target", "class_names"))
        return label_or_target(y, target, class_names, **about)
    answers, name = columns[roles.answers], f"column {roles.answers!r}"
    if roles.target is not None:
        return targeting(answers, name=name, **about)
    class_names = _class_names(source.schema, roles.answers) if answers.dtype.kind in "iu" else None
    return labelling(answers, class_names=class_names, name=name, **about)


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Read the class names that Hugging Face stores in the metadata of the schema."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        names = about["names"] if about["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None
    return None if names is None else list(map(str, names))


def _note_unused(about: dict[str, Any], names: set[str]) -> None:
    if names:
        about["notes"].append(f"columns that are not used: {some(sorted(names), 20)}")


def _open_features(table: pa.Table, labelled: Labelling, about: dict[str, Any]) -> Samples:
    if table.num_columns == 1 and is_list(table.schema.field(0).type):
        return ArrayData(matrix(table), labelled, "vector", **about)
    for one in table.schema:
        if not (_is_number(one.type) or _is_category(one.type)):
            raise DataError(
                f"column {one.name!r} has type {one.type}, which is no feature; {_remedy(one.type)}, or choose with "
                "features="
            )
    numbers = all(_is_number(field.type) for field in table.schema)
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


def _remedy(kind: pa.DataType) -> str:
    if pa.types.is_temporal(kind):
        return "make numbers of it, such as days since the first"
    if _is_any_list(kind):
        return "lists of numbers are inputs where they are the only column"
    return "make numbers or text of it"


def matrix(table: pa.Table) -> npt.NDArray[np.float32]:
    """Convert d columns of numbers, or one column of lists of d numbers, to float32 (n, d)."""
    if is_list(table.schema.field(0).type):
        return _embedding(table.column(0), table.column_names[0])
    values = np.empty((table.num_rows, table.num_columns), np.float32)
    for at, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if column.null_count:
            raise DataError(f"column {name!r} must hold numbers, but {column.null_count:,} entries are missing")
        with np.errstate(over="ignore"):
            values[:, at] = column.to_numpy()
    return values


def _factorise(column: pa.ChunkedArray, name: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Encode a column as codes and distinct values, None last if entries are missing; NaN counts as missing."""
    column = _decode_dictionary(column)
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
    column = _decode_dictionary(column)
    if not _is_text(column.type):
        raise DataError(f"column {name!r} must hold text, got {column.type}")
    if column.null_count:
        rows = np.flatnonzero(pc.is_null(column).to_numpy())
        raise DataError(f"column {name!r} has no text in {len(rows):,} rows: {some(rows)}; drop them or write ''")
    texts: npt.NDArray[Any] = column.to_numpy()
    return texts


def _to_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Convert a column to an array: numbers as they are, text as str, objects with None for missing entries."""
    column = _decode_dictionary(column)
    if column.null_count:
        return np.array(column.to_pylist(), dtype=object)
    array: npt.NDArray[Any] = column.to_numpy()
    return array


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decode_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(_value_type(column.type)) if pa.types.is_dictionary(column.type) else column


def _are_vectors(kinds: Sequence[pa.DataType]) -> bool:
    return (len(kinds) == 1 and is_list(kinds[0])) or all(_is_number(kind) for kind in kinds)


def _any_of(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(test(kind) for test in tests)


_is_number = _any_of(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_is_text = _any_of(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_is_any_list = _any_of(pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_is_any_of_few = _any_of(_is_text, pa.types.is_boolean, pa.types.is_dictionary)
_is_category = _any_of(_is_text, pa.types.is_null, pa.types.is_dictionary)
