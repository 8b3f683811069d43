"""Columns of dates as numbers: days since 1970-01-01."""

from __future__ import annotations

import warnings
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import FloatArray
from unseen.errors import some

_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_A_DAY = {"s": 86_400.0, "ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9}


def dates_to_days(table: pa.Table) -> tuple[pa.Table, dict[str, FloatArray]]:
    """Make days since 1970-01-01, float64, of dates and of text that is ISO dates throughout; warn, and return them."""
    found: dict[str, FloatArray] = {}
    for at, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        kind = column.type
        if column.null_count == len(column):
            continue
        with suppress(pa.ArrowInvalid):  # of another text
            if any(is_text(kind) for is_text in _TEXT):
                column = column.cast(pa.large_string()).cast(pa.timestamp("us"))
            elif pa.types.is_date(kind):
                column = column.cast(pa.timestamp("s"))
            if pa.types.is_timestamp(column.type):
                days = pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), _A_DAY[column.type.unit])
                table = table.set_column(at, name, days)
                found[name] = days.to_numpy()
    if found:
        what = (
            f"column {next(iter(found))!r} holds"
            if len(found) == 1
            else f"each of {some(list(map(repr, found)))} holds"
        )
        warnings.warn(
            f"{what} dates, and is read as days since 1970-01-01, a number; "
            "features= (--feature) names the columns to read instead",
            UserWarning,
            stacklevel=2,
        )
    return table, found
