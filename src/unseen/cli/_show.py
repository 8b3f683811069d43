"""How the program looks: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = ["aligned", "complain", "err", "grid", "out", "percent", "print_json", "stacked", "warn"]

MOST_COLUMNS = 1000

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: object) -> None:
    """An error in one paragraph, with the notes that were added to it on the way."""
    err.print(Text.assemble(("error: ", "bold red"), str(error)))
    for note in getattr(error, "__notes__", ()):
        if "\n" not in note:  # a worker's traceback is for its developers
            err.print(Text(f"  {note}"))


def warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning in one line; takes the place of `warnings.showwarning`."""
    err.print(Text.assemble(("warning: ", "yellow"), " ".join(str(message).split())))


def print_json(result: dict[str, Any]) -> None:
    """One JSON object on stdout; what is no finite number is null, since JSON has no NaN."""
    sys.stdout.write(json.dumps(_finite(result), indent=2, allow_nan=False) + "\n")


def aligned(lines: list[tuple[str, str]], console: Console = out) -> None:
    """Lines of a word and what there is to say of it, one under the other."""
    width = max(len(word) for word, _ in lines) + 2
    for word, text in lines:
        console.print(Text.assemble((word.ljust(width), "bold"), text))


def grid(columns: list[str], rows: list[list[str]]) -> None:
    """A table of short texts, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, column in enumerate(columns):
        numbers = all(_is_number(row[i]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # Figures are never cut off: where the terminal is too narrow, it wraps the lines.
    whole = Measurement.get(out, out.options.update(max_width=MOST_COLUMNS), table).maximum
    table.width = whole if whole > out.width else None
    out.print(table, crop=False)


def stacked(columns: list[str], rows: list[tuple[list[str], list[str]]]) -> None:
    """A list of things: short texts in columns, longer ones under each other in the last column."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="bold")
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for short, long in rows:
        head, *tail = [line for line in long if line]
        text = Text.assemble(head, *((f"\n{line}", "dim") for line in tail))
        table.add_row(*map(Text, short), text)
    out.print(table)


def percent(share: float) -> str:
    """`0.913` is `"91.3 %"`."""
    return f"{100 * share:.1f} %"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
