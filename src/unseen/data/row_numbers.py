"""Columns that number or name the rows of a table, which a learner must not read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unseen.core.arrays import IntArray
from unseen.data.arrow import SIGNED, TEXT, decode_dictionary, is_any, value_type

if TYPE_CHECKING:
    from unseen.data.columns import TableFormat

_FEW = 10  # with fewer rows, columns are not tested for row numbers
_PANDAS = re.compile(r"__index_level_\d+__")
_USUAL = {
    *("index", "idx", "id", "_id", "level_0", "row", "row_id", "rowid", "row_number", "rownum", "unnamed: 0", ""),
    *("rownames", "row_names", "row.names", "sample_id", "example_id", "uid", "uuid", "guid"),
}


def find_row_numbers(source: TableFormat, names: Sequence[str]) -> dict[str, str]:
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
    kinds = {name: value_type(source.schema.field(name).type) for name in names if name not in reasons}
    able = [
        n for n, kind in kinds.items() if is_any(kind, TEXT) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    ]
    parts = [] if source.parts is None else [source.parts]
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


def note_left_out(numbering: dict[str, str]) -> str:
    """Describe, for the notes, the columns that number the rows, each with the reason."""
    named = "; ".join(f"{name!r} ({reason})" for name, reason in numbering.items())
    return (
        f"left out of the inputs, as they number the rows: {named}; name them as features to take them in, or one as "
        "the ids"
    )
