"""What is asked of the columns of Arrow tables: tests of their types, and which of them are dates."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import FloatArray
from unseen.errors import some, warn

# Tests of a column's type, one of which holds.
NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
TEXT = (pa.types.is_string, pa.types.is_large_string)
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


def warn_of_texts(distinct: Mapping[str, Sequence[str]], rows: int) -> None:
    """Warn of columns of text, given by their distinct entries, that are dates in another form, numbers, or all differ.

    Models read text in a table as categories, and learn nothing from a category of one row.
    """
    dates = [name for name, texts in distinct.items() if texts and all(map(_OTHER_DATE.fullmatch, texts))]
    others = {name: [t for t in texts if not t or not _NUMBER.fullmatch(t)] for name, texts in distinct.items()}
    numbers = [n for n, texts in distinct.items() if len(texts) >= _FEW_TEXTS and 10 * len(others[n]) <= len(texts)]
    signed = [n for n, texts in distinct.items() if len(texts) >= _FEW_TEXTS and all(map(_SIGNED.match, texts))]
    wordy = [n for n, texts in distinct.items() if rows >= _FEW_TEXTS and len(texts) > rows / 2]
    if dates:
        warn(
            f"{_columns_hold(dates)} dates such as {distinct[dates[0]][0]!r}, and is read as categories; written as "
            "2020-01-31 they would be numbers of days (pandas.to_datetime reads other forms)",
        )
    pure = [name for name in numbers if not others[name]]
    for names in ([pure] if pure else []) + [[name] for name in numbers if name not in pure]:
        but = f" but for {some(others[names[0]])}" if others[names[0]] else ""
        warn(
            f"{_columns_hold(names)} numbers written as text{but}, and is read as categories; make numbers of them "
            "(pandas.to_numeric), with nothing where one is missing",
        )
    if signed:
        warn(
            f"{_columns_hold(signed)} numbers with a sign, such as {distinct[signed[0]][0]!r}, and is read as "
            "categories; make numbers of them, without the sign",
        )
    if wordy := [name for name in wordy if name not in (*dates, *numbers, *signed)]:
        warn(
            f"{_columns_hold(wordy)} text that differs in most rows, and models learn little from such categories; "
            "leave it out by features= (--feature), or learn from it alone by text= (--text)",
        )


def _columns_hold(names: list[str]) -> str:
    return f"column {names[0]!r} holds" if len(names) == 1 else f"each of {some(list(map(repr, names)))} holds"
