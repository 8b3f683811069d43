"""Index files: which samples were kept, for whatever reads rows or ids."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError, DataError
from unseen.exporting.asking import Asked
from unseen.exporting.places import new_file
from unseen.types import Coreset

__all__ = ["to_csv", "to_json", "to_npy", "to_txt"]

Column = Literal["row", "id"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what spreadsheets take for a formula, or step over to one


def to_npy(asked: Asked, out: Path, *, column: Column = "row") -> None:
    """One array (m,): rows, or ids, in dataset order. Text is fixed-width, so that nothing is pickled.

    Args:
        asked: the coreset.
        out: the file.
        column: `"row"`, what `torch.utils.data.Subset` takes, or `"id"`.

    """
    values = _column(asked.coreset, column)
    plain = np.array(values.tolist()) if values.dtype.kind == "O" else values
    new_file(out, lambda file: np.save(file, plain, allow_pickle=False))


def to_txt(asked: Asked, out: Path, *, column: Column = "row") -> None:
    """One row, or id, a line; UTF-8.

    Args:
        asked: the coreset.
        out: the file.
        column: `"row"` or `"id"`.

    Raises:
        DataError: an id with a line break in it.

    """
    text = lines(_column(asked.coreset, column))
    new_file(out, lambda file: file.write(text))


def to_json(asked: Asked, out: Path) -> None:
    """One object: `n`, `kept`, `rows` and `ids` in dataset order, `order` (rows as picked, or null), `provenance`.

    Args:
        asked: the coreset.
        out: the file.

    """
    coreset = asked.coreset
    content = {
        "kind": "unseen coreset",
        "n": coreset.n,
        "kept": len(coreset),
        "rows": coreset.indices.tolist(),
        "ids": coreset.ids.tolist(),
        "order": None if coreset.order is None else coreset.order.tolist(),
        "provenance": coreset.provenance,
    }
    text = json.dumps(content, sort_keys=True)
    new_file(out, lambda file: file.write(text.encode()))


def to_csv(asked: Asked, out: Path) -> None:
    r"""Columns `row`, `id` and, where they are known, `label`, `class`, `pick` and `source`; UTF-8, lines end in CR LF.

    Text that a spreadsheet would take for a formula (it begins with `= + - @`, a tab or a line break) gets a `'` in
    front.

    Args:
        asked: the coreset.
        out: the file.

    """
    coreset, table = asked.coreset, asked.table
    columns: dict[str, list[Any]] = {"row": coreset.indices.tolist(), "id": coreset.ids.tolist()}
    if table is not None:
        labels = table.labels[coreset.indices].tolist()
        columns["label"], columns["class"] = labels, [table.class_names[label] for label in labels]
    if coreset.order is not None:
        pick = np.empty(coreset.n, np.int64)
        pick[coreset.order] = np.arange(len(coreset.order))
        columns["pick"] = pick[coreset.indices].tolist()
    if coreset.sources is not None:
        columns["source"] = coreset.sources.tolist()
    plain = [[harmless(v) for v in values] if _is_text(values) else values for values in columns.values()]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*plain, strict=True))
    new_file(out, lambda file: file.write(text.getvalue().encode("utf-8", "surrogatepass")))


def harmless(text: str) -> str:
    """The text so that no spreadsheet computes it.

    >>> harmless("=HYPERLINK(1)"), harmless("cat")
    ("'=HYPERLINK(1)", 'cat')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def lines(values: npt.NDArray[Any]) -> bytes:
    """One value a line.

    Raises:
        DataError: one of them has a line break in it.

    """
    listed = [str(value) for value in values.tolist()]
    text = "".join(f"{value}\n" for value in listed)
    if len(text.splitlines()) != len(listed):
        broken = next(value for value in listed if len(f"{value}\n".splitlines()) != 1)
        raise DataError(f"an id holds a line break, so that it cannot be a line of its own: {broken!r}; export as json")
    return text.encode("utf-8", "surrogatepass")


def _column(coreset: Coreset, column: str) -> npt.NDArray[Any]:
    if column not in ("row", "id"):
        raise ArgumentError(f"column must be 'row' or 'id', got {column!r}")
    return coreset.indices if column == "row" else coreset.ids


def _is_text(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], str)
