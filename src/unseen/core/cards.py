"""HTML of results in a notebook: a heading, a few lines, perhaps a histogram. It loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray
from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable, meaning

_WIDTH, _HEIGHT, _BINS = 320, 72, 48
_KEPT, _PRUNED = "#2b83ba", "#e08a1e"  # apart for the colour-blind, legible on light and dark


def card(title: str, lines: Sequence[tuple[str, str]], *more: str) -> str:
    """Return the HTML of a heading, of lines (term, text), and of `more`, HTML that is already escaped.

    >>> "&lt;b&gt;</div>" in card("<b>", [("kept", "7 of 10")])
    True
    """
    body = "".join(
        f'<div style="opacity:.85"><span style="opacity:.7">{escape(word)}</span> {escape(text)}</div>'
        for word, text in lines
    )
    head = f'<div style="font-weight:600" dir="auto">{escape(title)}</div>'
    return f'<div style="font:13px/1.5 system-ui,sans-serif;max-width:60em">{head}{body}{"".join(more)}</div>'


def of_table(table: ScoreTable) -> str:
    """Return the card of a score table: its scores, and the histogram of the first one."""
    name = next(iter(table.scores), None)
    lines = [(score, meaning(direction)) for score, direction in table.directions.items()]
    histogram = "" if name is None else draw_histogram(table.column(name), name)
    return card(f"Scores of {len(table):,} samples", lines, histogram)


def of_choice(table: ScoreTable, coreset: Coreset, *more: str) -> str:
    """Return the card of a coreset: its size, and the kept part in the histogram of the score that chose it."""
    name = coreset.provenance.get("score")
    if name not in table.scores:
        return card(repr(coreset), [], *more)
    lines = [(name, meaning(table.direction(name)))]
    return card(repr(coreset), lines, draw_histogram(table.column(name), name, coreset.mask), *more)


def draw_histogram(values: FloatArray, name: str, kept: npt.NDArray[np.bool_] | None = None) -> str:
    """Draw a small histogram of a score, kept and pruned samples in two colours; "" if no value is finite."""
    known = np.isfinite(values)
    if not known.any():
        return ""
    low, high = float(values[known].min()), float(values[known].max())
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    inside = known if kept is None else known & kept
    lower, total = np.histogram(values[inside], edges)[0], np.histogram(values[known], edges)[0]
    # On a square root scale: scores are often crowded at one end.
    scale = _HEIGHT / np.sqrt(total.max())
    tops, bases = np.sqrt(total) * scale, np.sqrt(lower) * scale
    step = _WIDTH / _BINS
    bars = "".join(
        _bar(i * step, step, 0, base, _KEPT) + _bar(i * step, step, base, top, _PRUNED)
        for i, (base, top) in enumerate(zip(bases.tolist(), tops.tolist(), strict=True))
    )
    label = escape(f"histogram of {name}, from {low:.3g} to {high:.3g}" + ("" if kept is None else ", kept and pruned"))
    marks = (f'<span style="color:{color}">■</span> {word}' for color, word in ((_KEPT, "kept"), (_PRUNED, "pruned")))
    key = "" if kept is None else " · " + " ".join(marks)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}" '
        f'style="display:block;margin-top:6px">{bars}</svg>'
        f'<div style="opacity:.7">{escape(name)}: {low:.3g} .. {high:.3g}, square root scale{key}</div>'
    )


def listed(texts: Sequence[str]) -> str:
    """Return an HTML list of texts."""
    return f"<ol>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ol>"


def tabled(rows: Sequence[Mapping[str, str]]) -> str:
    """Return an HTML table of texts, the keys of the first row as its head."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _bar(left: float, width: float, low: float, high: float, color: str) -> str:
    if high - low < 0.05:
        return ""
    return (
        f'<rect x="{left:.1f}" y="{_HEIGHT - high:.1f}" width="{width:.1f}" height="{high - low:.1f}" fill="{color}"/>'
    )
