"""The charts of a report: which ones a run gives, with their captions and tables of numbers, and how they are drawn.

Charts are inline SVG, drawn by matplotlib and coloured by the page. The same numbers give the same bytes. They are
drawn in stand-in colours, which become variables of the page's style, so that one drawing reads well on a light and on
a dark page. Text stays text. Each chart carries a description for readers who do not see it (`alt`).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from unseen.core.arrays import FloatArray
from unseen.core.table import ScoreTable, meaning
from unseen.core.words import percent
from unseen.evaluating.advise import Advice
from unseen.evaluating.methods import FULL
from unseen.evaluating.result import Evaluation
from unseen.evaluating.statistics import interval
from unseen.evaluating.sweep import Sweep
from unseen.reporting.facts import Cut, Facts, bin_edges, measure_crowding, scored

_TABLE_BINS = 12  # of a histogram, in its table of numbers
_METHODS = 12  # of a sweep that are drawn; more would hide each other


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption and its table of numbers."""

    key: str  # its name in the page
    title: str  # its heading
    text: str  # its caption
    svg: str  # the drawing
    columns: tuple[str, ...]  # the heads of the table of its numbers
    rows: Sequence[tuple[str, ...]]  # the rows of that table
    colored: bool = False  # whether it shows kept and pruned samples in two colours


def draw_charts(facts: Facts, cut: Cut | None) -> list[Chart]:
    """Draw every chart that the facts give."""
    found: list[Chart] = []
    with _plain_style():
        if facts.evaluation is not None:
            found.append(_draw_evaluation(facts.evaluation))
        if facts.table is not None and facts.score is not None:
            found += _draw_scores(facts, facts.table, facts.score, cut)
        if facts.sweep is not None and facts.sweep.budgets:
            found.append(_draw_sweep(facts.sweep))
        if facts.advice is not None and facts.advice.tried:
            found.append(_draw_advice(facts.advice))
    return found


def scale_quantiles(quantiles: Sequence[tuple[float, ...] | None]) -> list[tuple[float, ...] | None]:
    """Scale the quantiles of several classes to one common range, in per cent of it.

    >>> scale_quantiles([(0.0, 1.0), None, (1.0, 2.0)])
    [(0.0, 50.0), None, (50.0, 100.0)]
    """
    known = [values for values in quantiles if values is not None]
    if not known:
        return [None] * len(quantiles)
    low, high = min(map(min, known)), max(map(max, known))
    width = (high - low) or 1.0
    return [None if q is None else tuple(round(100 * (v - low) / width, 2) for v in q) for q in quantiles]


def _draw_scores(facts: Facts, table: ScoreTable, score: str, cut: Cut | None) -> Iterator[Chart]:
    """Draw how the score spreads, and each sample by both exposures where there are two."""
    values = scored(table, score)
    if np.isnan(values).all():
        return
    columns = [(_name_exposure(table), values)]
    if facts.other is not None:
        columns.insert(0, (_name_exposure(facts.other), scored(facts.other, score)))
    edges = bin_edges(*(column for _, column in columns))
    panels = [Bars(name, _count(column, edges)) for name, column in columns]
    if facts.coreset is not None:
        name, whole, _ = panels[-1]
        kept = _count(values[facts.coreset.indices], edges)
        panels[-1] = Bars(f"{name}, kept and pruned", kept, whole - kept)
    crowded = [f"{name}: {_describe_crowding(column, edges)}." for name, column in columns]
    heads: list[str] = []
    bars: list[FloatArray] = []
    for panel in panels:
        heads += [panel.title] if panel.pruned is None else ["kept", "pruned"]
        bars += [panel.kept] if panel.pruned is None else [panel.kept, panel.pruned]
    each = (len(edges) - 1) // _TABLE_BINS  # the table has fewer bins than the drawing
    counts = [column.reshape(-1, each).sum(axis=1) for column in bars]
    ends = [f"{edge:.3g}" for edge in edges[::each]]
    yield Chart(
        key="distribution",
        title="How the score spreads",
        text="\n".join(line[0].upper() + line[1:] for line in crowded),
        svg=_draw_histograms(
            panels, edges, label=f"{score}: {meaning(table.direction(score))}",
            cut=None if cut is None else cut.value, alt=f"Histogram of {score}. " + " ".join(crowded),
        ),
        columns=("from", "to", *heads),
        rows=[(ends[i], ends[i + 1], *(f"{column[i]:,.0f}" for column in counts)) for i in range(_TABLE_BINS)],
        colored=facts.coreset is not None,
    )  # fmt: skip
    if len(columns) == 2:
        yield _draw_both_exposures(columns[0], columns[1], edges, score)


def _draw_both_exposures(
    first: tuple[str, FloatArray], second: tuple[str, FloatArray], edges: FloatArray, score: str
) -> Chart:
    """Draw a score of each sample by two exposures against each other."""
    from scipy.stats import spearmanr

    (across, x), (up, y) = first, second
    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    varied = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    rho = float(spearmanr(x, y).statistic) if varied else float("nan")
    text = (
        f"Each sample by both exposures; on the dashed line they agree. Rank correlation {rho:.2f}; "
        f"{percent(float(np.mean(y > x)), 0)} of the samples lie above the line."
    )
    quarters = np.quantile(edges, [0, 0.25, 0.5, 0.75, 1])
    counts = np.histogram2d(x, y, (quarters, quarters))[0].astype(int)
    spans = [f"{a:.3g} .. {b:.3g}" for a, b in pairwise(quarters.tolist())]
    return Chart(
        key="sides",
        title=f"{up[0].upper()}{up[1:]} against {across}",
        text=text,
        svg=_draw_density(x, y, edges, labels=(f"{score}, {across}", f"{score}, {up}"), alt=text),
        columns=(f"{across} \\ {up}", *spans),
        rows=[(span, *(f"{count:,}" for count in row)) for span, row in zip(spans, counts, strict=True)],
    )


def _draw_evaluation(found: Evaluation) -> Chart:
    rows = []
    for arm in found.arms:
        around = found.accuracy(arm.name)
        half = 100 * float(np.nan_to_num(around.half))
        rows.append((arm.name, 100 * around.mean, half, (100 * arm.accuracy).tolist()))
    alt = f"Test {found.metric}: " + "; ".join(f"{name} {found.accuracy(name).text()} %" for name, *_ in rows)
    replicates = [(name, *(f"{value:.2f}" for value in values)) for name, _, _, values in rows]
    most = max(len(row) for row in replicates) - 1
    return Chart(
        key="evaluation",
        title="What training on it comes to",
        text=(
            f"Mean test {found.metric} after the last epoch with its {100 * found.about['level']:g} % interval, and "
            f"each replicate; {found.about['test']['text']}; {found.about['fix']} fixed."
        ),
        svg=_draw_intervals("evaluation", rows, label=f"test {found.metric}, %", alt=alt, marked=found.coresets),
        columns=("arm", *(f"replicate {r + 1}" for r in range(most))),
        rows=[(*row, *[""] * (most + 1 - len(row))) for row in replicates],
    )


def _draw_sweep(sweep: Sweep) -> Chart:
    """Draw the accuracy of each method against the share pruned, with intervals, and a line for full training."""
    methods = [method for method in sweep.methods if method != FULL]
    figure, (at,) = _make_figure(size=(_SIZE[0], 3.5))
    everything = sweep.accuracies(FULL, 0)
    if len(everything):
        full = interval(100 * everything)
        half = float(np.nan_to_num(full.half))
        at.axhline(full.mean, color=MUTED, linewidth=1.2, label="full")
        at.axhspan(full.mean - half, full.mean + half, color=MUTED, alpha=0.15, linewidth=0)
    for i, method in enumerate(methods[:_METHODS]):
        shares, means, errors = sweep.curve(method)
        at.errorbar(
            shares, means, yerr=errors if any(errors) else None, color=_SERIES[i % len(_SERIES)],
            marker=_MARKS[i % len(_MARKS)], markersize=5, linewidth=1.6, linestyle="--" if method == "random" else "-",
            capsize=2.5, elinewidth=1, label=method,
        )  # fmt: skip
    at.set_xlabel("pruned, %", parse_math=False)
    at.set_ylabel(f"test {sweep.metric}, %", parse_math=False)
    if len(methods) > 1 or len(everything):
        legend = at.legend(
            fontsize=_FONT - 1, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, labelcolor=INK
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    more = f" {len(methods) - _METHODS} more methods are in the table." if len(methods) > _METHODS else ""
    rows = sweep.rows()
    return Chart(
        key="curve",
        title="Pruning curve",
        text=sweep.caption() + more,
        svg=_write_svg(
            figure, "curve", f"Pruning curve: test {sweep.metric} of {len(methods)} methods against the share pruned."
        ),
        columns=tuple(rows[0]),
        rows=[tuple(row.values()) for row in rows],
    )


def _draw_advice(advice: Advice) -> Chart:
    """Draw the difference to everything at each share that was tried."""
    rows, numbers, marked = [], [], []
    for i, one in enumerate(advice.tried, 1):
        name = f"{i}: {100 * one.prune:g} %" + (", again" if one.confirming else "")
        for who, found in ((name, one.difference), (f"{i}: random", one.random)):
            if found is not None:
                mean = 100 * found.mean
                rows.append((who, mean, 100 * float(np.nan_to_num(found.half)), [mean]))
                numbers.append((who, f"{one.budget:,}", found.text(sign=True), str(found.n)))
        if one.confirming:
            marked.append(name)
    return Chart(
        key="tried",
        title="What was tried",
        text=(
            f"Accuracy less that of everything, in points, with its interval, at each share pruned by {advice.method}, "
            f"in the order tried; again: on fresh replicates; a loss of {100 * advice.margin:g} points counts as none."
        ),
        svg=_draw_intervals(
            "tried", rows, label="difference to everything, points", marked=marked,
            alt="Difference to everything: " + "; ".join(f"{name} {text}" for name, _, text, _ in numbers),
        ),
        columns=("share pruned", "kept", "difference, points", "replicates"),
        rows=numbers,
    )  # fmt: skip


def _name_exposure(table: ScoreTable) -> str:
    return f"{table.exposure} (plan {table.provenance.get('plan', {}).get('plan', '?')})"


def _count(values: FloatArray, edges: FloatArray) -> FloatArray:
    return np.histogram(values[~np.isnan(values)], edges)[0].astype(np.float64)


def _describe_crowding(values: FloatArray, edges: FloatArray) -> str:
    found = measure_crowding(values, np.linspace(edges[0], edges[-1], 101))
    return (
        f"{found.distinct:,} distinct ranks for {found.n:,} samples. The fullest of 100 equal bins has "
        f"{percent(found.fullest)} of them; by entropy, they fill {found.filled:.0f} of the bins"
    )


# ---- how they are drawn --------------------------------------------------------------------------------------------

_SIZE = (5.0, 2.9)  # inches of 72 units: as wide as a telephone, so that its letters are not shrunk there
_FONT = 10.0
_GRID = 36  # cells of a density, each way
_DWARFS = 12  # times the median bar

# Stand-in colours, which `_VARIABLES` maps to variables of style.css.
INK, MUTED, LINE, KEPT, PRUNED, OTHER = "#010203", "#020304", "#030405", "#040506", "#050607", "#060708"
_SERIES = tuple(f"#0708{i:02x}" for i in range(6))
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    KEPT: "var(--kept)",
    PRUNED: "var(--pruned)",
    OTHER: "var(--other)",
    **{color: f"var(--series{i})" for i, color in enumerate(_SERIES)},
}
_MARKS = "osv^Dx"


class Bars(NamedTuple):
    """A histogram: `kept` and `pruned` are counts a bin, in two colours; without a coreset all are `kept`."""

    title: str
    kept: FloatArray
    pruned: FloatArray | None = None


@contextmanager
def _plain_style() -> Iterator[None]:
    """Use matplotlib's own defaults inside the block, whatever the user's style is."""
    import matplotlib as mpl

    plain: Any = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if not name.startswith("backend")}
    with mpl.rc_context({**plain, "svg.fonttype": "none", "font.size": _FONT}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters that its font lacks: the browser has them
        yield


def _draw_histograms(panels: Sequence[Bars], edges: FloatArray, *, label: str, alt: str, cut: float | None) -> str:
    """Draw histograms over one axis, one above the other; a dotted line marks `cut`."""
    figure, axes = _make_figure(rows=len(panels))
    for at, (title, kept, pruned) in zip(axes, panels, strict=True):
        at.stairs(kept, edges, fill=True, color=KEPT if at is axes[-1] else OTHER, alpha=0.9, linewidth=0)
        top = kept
        if pruned is not None:
            top = kept + pruned
            at.stairs(top, edges, baseline=kept, fill=True, color=PRUNED, alpha=0.9, linewidth=0)
        at.set_title(title, loc="left", fontsize=_FONT, color=INK, parse_math=False)
        _label_counts(at, top)
    if cut is not None:
        axes[-1].axvline(cut, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    axes[-1].set_xlabel(label, parse_math=False)
    return _write_svg(figure, "distribution", alt)


def _draw_density(x: FloatArray, y: FloatArray, edges: FloatArray, *, labels: tuple[str, str], alt: str) -> str:
    """Draw two scores of each sample against each other: squares, larger where there are more samples."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    grid = np.linspace(edges[0], edges[-1], _GRID + 1)
    counts = np.histogram2d(x, y, (grid, grid))[0]
    step = grid[1] - grid[0]
    half = step * (0.2 + 0.3 * np.sqrt(np.sqrt(counts / counts.max())))
    across, up = np.nonzero(counts)
    middle = (grid[:-1] + grid[1:]) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], float)
    points = np.stack([middle[across], middle[up]], axis=1)[:, None, :] + half[across, up][:, None, None] * corners
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(points))
    figure, (at,) = _make_figure(size=(_SIZE[0], 3.9))
    at.add_patch(PathPatch(Path(points.reshape(-1, 2), codes), color=OTHER, linewidth=0))
    at.plot(grid[[0, -1]], grid[[0, -1]], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    at.set_xlim(grid[0], grid[-1])
    at.set_ylim(grid[0], grid[-1])
    at.set_aspect("equal")
    at.set_xlabel(labels[0], parse_math=False)
    at.set_ylabel(labels[1], parse_math=False)
    return _write_svg(figure, "sides", alt)


def _draw_intervals(
    name: str,
    rows: Sequence[tuple[str, float, float, Sequence[float]]],
    *,
    label: str,
    alt: str,
    marked: Collection[str] = (),
) -> str:
    """Draw in each row, (name, mean, half, values), a mean with its interval, and the values that it averages."""
    figure, (at,) = _make_figure(size=(_SIZE[0], 0.9 + 0.36 * len(rows)))
    at.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    at.grid(visible=False, axis="y")
    for i, (row, mean, half, values) in enumerate(rows):
        at.plot(values, [i] * len(values), "o", color=MUTED, markersize=3.5, markeredgewidth=0, alpha=0.8)
        color = KEPT if row in marked else OTHER
        at.errorbar([mean], [i], xerr=None if half == 0 else [half], color=color, marker="D", markersize=5.5,
                    capsize=3, elinewidth=1.6)  # fmt: skip
    at.set_yticks(range(len(rows)), [row[0] for row in rows], parse_math=False)
    at.set_ylim(len(rows) - 0.5, -0.5)
    at.set_xlabel(label, parse_math=False)
    return _write_svg(figure, name, alt)


def _make_figure(*, rows: int = 1, size: tuple[float, float] | None = None) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (_SIZE[0], _SIZE[1] + 1.3 * (rows - 1)), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    figure.patch.set_visible(False)
    for at in axes:
        at.patch.set_visible(False)
        at.grid(visible=True, axis="y", color=LINE, linewidth=0.6)
        at.set_axisbelow(True)
        at.tick_params(colors=MUTED, labelsize=_FONT - 1, length=0)
        for side, spine in at.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(LINE)
        at.xaxis.label.set_color(MUTED)
        at.yaxis.label.set_color(MUTED)
        at.xaxis.label.set_size(_FONT)
        at.yaxis.label.set_size(_FONT)
    return figure, axes


def _label_counts(at: Any, counts: FloatArray) -> None:
    """Label the axis of counts; use a square root scale where one bar would dwarf all others."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    at.set_ylabel("samples")
    filled = counts[counts > 0]
    if len(filled) and counts.max() > _DWARFS * np.median(filled):
        at.set_yscale("function", functions=(np.sqrt, np.square))
        at.set_ylabel("samples (root scale)")
        top = 10.0 ** np.floor(np.log10(counts.max()))
        steps = [0.0, *(top * share for share in (0.01, 0.1, 0.4, 1, 2, 4, 8))]
        at.yaxis.set_major_locator(FixedLocator([step for step in steps if step <= counts.max()]))
    else:
        at.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    at.set_ylim(0, 1.05 * counts.max())
    at.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _write_svg(figure: Any, name: str, alt: str) -> str:
    """Write a drawing as an element of the page: no date, unique ids, the colours of the page, and a description."""
    import matplotlib as mpl

    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = written.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", drawn, flags=re.S)
    drawn = re.sub(r'<g id="[^"]*">', "<g>", drawn)
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    drawn = drawn.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    drawn = re.sub(r"font-family: [^;\"]*; ?", "", drawn)
    for color, variable in _VARIABLES.items():
        drawn = drawn.replace(color, variable)
    view = re.search(r'viewBox="[^"]*"', drawn)
    body = re.sub(r">\s+<", "><", drawn[drawn.index(">", drawn.index("<svg")) + 1 :])
    head = f'<svg class="chart" {view[0] if view else ""} role="img" aria-label={quoteattr(alt)}>'
    return f"{head}<title>{escape(alt)}</title>{body}"
