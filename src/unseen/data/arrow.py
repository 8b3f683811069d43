"""What is asked of the columns of Arrow tables: their types, which are dates, and which only number the rows."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import FloatArray, IntArray
from unseen.errors import some, warn

if TYPE_CHECKING:
    from unseen.data.columns import TableFormat

# Tests of a column's type, one of which holds.
NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
TEXT = (pa.types.is_string, pa.types.is_large_string)
BYTES = (pa.types.is_binary, pa.types.is_large_binary)
LIST = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_TIME = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_time, pa.types.is_duration)
WORD = (*TEXT, pa.types.is_boolean, pa.types.is_dictionary)
CATEGORY = (*TEXT, pa.types.is_null, pa.types.is_dictionary)


def is_any(kind: pa.DataType, tests: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    """Tell whether one of the tests holds for a type."""
    return any(test(kind) for test in tests)


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a column holds lists of numbers, such as embeddings."""
    return bool(is_any(kind, LIST) and is_any(kind.value_type, NUMBER))


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of categories; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def decode_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of categories as one of their values; any other as it is."""
    return column.cast(value_type(column.type)) if pa.types.is_dictionary(column.type) else column


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return a type without views of text or bytes: other programs give them, and Arrow has few functions for them.

    >>> plain_type(pa.list_(pa.string_view()))
    ListType(list<item: large_string>)
    """
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, plain_type(kind.value_type), kind.ordered)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    for test, make in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if test(kind):
            return make(kind.value_field.with_type(plain_type(kind.value_type)))
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema without views of text or bytes."""
    return pa.schema([field.with_type(plain_type(field.type)) for field in schema], schema.metadata)


def without_views(table: pa.Table) -> pa.Table:
    """Return a table with text and bytes in place of views of them."""
    schema = plain_schema(table.schema)
    return table if schema.equals(table.schema) else table.cast(schema)


def is_readable(kind: pa.DataType) -> bool:
    """Tell whether a column of this type can be an input: numbers, text, times, or lists of numbers by themselves."""
    kind = value_type(kind)
    return is_list(kind) or is_any(kind, (*NUMBER, *TEXT, pa.types.is_null, pa.types.is_decimal, *_TIME))


def to_numbers(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Convert decimals, durations and times of day to float64, these in seconds; return the table and notes on it."""
    decimals, times = list[str](), list[str]()
    for at, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if pa.types.is_decimal(column.type):
            table = table.set_column(at, name, column.cast(pa.float64()))
            decimals.append(name)
        elif pa.types.is_duration(column.type) or pa.types.is_time(column.type):
            whole = column.cast(pa.int32()) if pa.types.is_time32(column.type) else column.cast(pa.int64())
            seconds = pc.divide(whole.cast(pa.float64(), safe=False), _A_SECOND[column.type.unit])
            table = table.set_column(at, name, seconds)
            times.append(name)
    notes = [f"decimals are read as real numbers, which may have fewer digits: {some(decimals)}"] if decimals else []
    return table, notes + ([f"durations and times are read as seconds: {some(times)}"] if times else [])


# ---- dates, and texts that are no categories -------------------------------------------------------------------------

_A_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_OTHER_DATE = re.compile(r"\d{1,2}[/. -](\d{1,2}|[A-Za-z]{3,9})[/. -]\d{2,4}\b.*|\d{4}/\d{1,2}/\d{1,2}\b.*")
_REAL = r"[-+\d.][-+\d.eE]*"
_LISTED = re.compile(rf"\s*[\[(]\s*{_REAL}([\s,]+{_REAL}){{2,}}[\s,]*[\])]\s*")  # "[0.5, -1e-3, 2]"; no interval
_NUMBER = re.compile(r"\s*[-+]?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?\s*")  # no zero in front, as of a postal code
SIGNED = r"^\s*[-+]?([$€£¥]\s?[-+]?\d[\d.,]*|\d[\d.,]*\s?[%$€£¥])\s*$"  # "$1,250.00", "89.2 %"
_SIGNED = re.compile(SIGNED)
_FEW_TEXTS = 20  # rows below which texts may all differ by chance


def dates_to_days(table: pa.Table) -> tuple[pa.Table, dict[str, FloatArray]]:
    """Convert dates, and text that is ISO dates throughout, to days since 1970-01-01, float64, with a warning."""
    found: dict[str, FloatArray] = {}
    for at, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if column.null_count == len(column):
            continue
        with suppress(pa.ArrowInvalid):  # of another text
            if is_any(column.type, TEXT):
                column = column.cast(pa.large_string()).cast(pa.timestamp("us"))
            elif pa.types.is_date(column.type):
                column = column.cast(pa.timestamp("s"))
            if pa.types.is_timestamp(column.type):
                days = pc.divide(
                    column.cast(pa.int64()).cast(pa.float64(), safe=False), 86_400 * _A_SECOND[column.type.unit]
                )
                table = table.set_column(at, name, days)
                found[name] = days.to_numpy()
    if found:
        warn(
            f"{_columns_hold(list(found))} dates, and is read as days since 1970-01-01, a number; "
            "features= (--feature) names the columns to read instead",
        )
    return table, found


def warn_of_lists(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Warn of columns of text, given by some of their entries, that are lists of numbers; return their names."""
    found = [name for name, of in texts.items() if of and all(map(_LISTED.fullmatch, of[:_FEW_TEXTS]))]
    if found:
        warn(
            f"{_columns_hold(found)} lists of numbers, and is read as text, as CSV has no lists; written to a parquet "
            f"or JSON lines file they are vectors, read by features={found[0]!r} (--feature {shlex.quote(found[0])})"
        )
    return found


def warn_of_texts(distinct: Mapping[str, Sequence[str]], rows: int | None) -> None:
    """Warn of columns of text, given by their distinct entries, that are dates in another form, numbers, or all differ.

    Models read text in a table as categories, and learn nothing from a category of one row. A column that is the only
    input is read as text: then `rows` is None.
    """
    read = "categories" if rows is not None else "text"
    dates = [name for name, texts in distinct.items() if texts and all(map(_OTHER_DATE.fullmatch, texts))]
    others = {name: [t for t in texts if not t or not _NUMBER.fullmatch(t)] for name, texts in distinct.items()}
    numbers = [n for n, texts in distinct.items() if len(texts) >= _FEW_TEXTS and 10 * len(others[n]) <= len(texts)]
    signed = [n for n, texts in distinct.items() if len(texts) >= _FEW_TEXTS and all(map(_SIGNED.match, texts))]
    wordy = [n for n, texts in distinct.items() if rows is not None and len(texts) > rows / 2 and rows >= _FEW_TEXTS]
    if dates:
        warn(
            f"{_columns_hold(dates)} dates such as {distinct[dates[0]][0]!r}, and is read as {read}; written as "
            "2020-01-31 they would be numbers of days (pandas.to_datetime reads other forms)",
        )
    pure = [name for name in numbers if not others[name]]
    for names in ([pure] if pure else []) + [[name] for name in numbers if name not in pure]:
        but = f" but for {some(others[names[0]])}" if others[names[0]] else ""
        warn(
            f"{_columns_hold(names)} numbers written as text{but}, and is read as {read}; make numbers of them "
            "(pandas.to_numeric), with nothing where one is missing",
        )
    if signed:
        warn(
            f"{_columns_hold(signed)} numbers with a sign, such as {distinct[signed[0]][0]!r}, and is read as {read}; "
            "make numbers of them, without the sign",
        )
    if wordy := [name for name in wordy if name not in (*dates, *numbers, *signed)]:
        warn(
            f"{_columns_hold(wordy)} text that differs in most rows, and models learn little from such categories; "
            "leave it out by features= (--feature), or learn from it alone by text= (--text)",
        )


def _columns_hold(names: list[str]) -> str:
    return f"column {names[0]!r} holds" if len(names) == 1 else f"each of {some(list(map(repr, names)))} holds"


# ---- columns that number or name the rows, which a learner must not read ---------------------------------------------

_FEW = 10  # with fewer rows, columns are not tested for row numbers
_PANDAS = re.compile(r"__index_level_\d+__")
_DATES = (pa.types.is_date, pa.types.is_timestamp)
_USUAL = {
    *("index", "idx", "id", "_id", "level_0", "row", "row_id", "rowid", "row_number", "rownum", "unnamed: 0", ""),
    *("rownames", "row_names", "row.names", "sample_id", "example_id", "uid", "uuid", "guid"),
}


def find_row_numbers(source: TableFormat, names: Sequence[str]) -> dict[str, str]:
    """Find the columns that number or name the rows, each with the reason; a learner must not read them.

    These are:

    - an index that pandas wrote;
    - whole numbers (also as text) that all differ, and that are in order, have no gaps, stand beside text, or have a
      usual name of row numbers; under a usual name, they may also be dates, or begin anew several times;
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
    kinds = {name: value_type(source.schema.field(name).type) for name in names if name not in reasons}
    able = [
        name
        for name, kind in kinds.items()
        if is_any(kind, (*TEXT, pa.types.is_integer, pa.types.is_floating))
        or (is_any(kind, _DATES) and name.lower() in _USUAL)  # a DatetimeIndex that pandas wrote as CSV
    ]
    parts = [] if source.split_column is None else [source.split_column]
    head = source.head([*able, *parts]) if able else source.schema.empty_table()
    texts = {name for name, kind in kinds.items() if is_any(kind, TEXT)}
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
    if is_any(column.type, TEXT):
        texts = column.cast(pa.large_string())
        if pc.any(pc.match_substring_regex(texts, r"\s")).as_py():
            return None, False, parts
        if pc.all(pc.match_substring_regex(texts, SIGNED)).as_py():  # prices, say, which differ as numbers do
            return None, False, parts
        try:
            column = texts.cast(pa.int64())
        except pa.ArrowInvalid:
            keys = [re.sub(r"\d+", lambda digits: digits[0].zfill(20), name) for name in texts.to_pylist()]
            return np.unique(np.array(keys, dtype=object), return_inverse=True)[1], True, parts
    if is_any(column.type, _DATES):
        column = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
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
        return "row numbers that start again" if usual and not named and _begins_anew(values) else None
    order = np.argsort(parts, kind="stable")
    values, starts = values[order], np.flatnonzero(np.diff(parts[order], prepend=-1))
    up = np.delete(values[1:] > values[:-1], starts[1:] - 1)
    in_order = up.all() or not up.any()  # as all differ
    if named:
        if in_order:
            return "names in the order of the rows"
        if beside_text:
            return "names that all differ, beside text"
        return "names that all differ, under a usual name for row names" if usual else None
    if in_order:
        return "numbers in the order of the rows"
    lows, highs = (of.reduceat(values, starts).tolist() for of in (np.minimum, np.maximum))
    if sum(int(high) - int(low) + 1 for low, high in zip(lows, highs, strict=True)) == len(values):
        return "row numbers in another order"
    if beside_text:
        return "whole numbers that all differ, beside text"
    return "numbers that all differ, under a usual name for row numbers" if usual else None


def _begins_anew(values: npt.NDArray[Any]) -> bool:
    """Tell whether numbers repeatedly go up by one from 0 or 1, ten or more at a time on average."""
    starts = np.append(0, np.flatnonzero(values[1:] != values[:-1] + 1) + 1)
    return bool(len(values) >= _FEW * len(starts) and values[0] in (0, 1) and (values[starts] == values[0]).all())


def _all_differ(values: npt.NDArray[Any], parts: IntArray) -> bool:
    order = np.lexsort((values, parts))
    return not ((np.diff(parts[order]) == 0) & (values[order][1:] == values[order][:-1])).any()


def note_left_out(numbering: dict[str, str]) -> str:
    """Describe, for the notes, the columns that number the rows, each with the reason."""
    named = "; ".join(f"{name!r} ({reason})" for name, reason in numbering.items())
    return (
        f"left out of the inputs, as they number the rows: {named}; name them as features to take them in, or one as "
        "the ids"
    )
