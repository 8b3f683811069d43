"""The charts of a report: which ones a run gives, with their captions and tables of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unseen.core.arrays import FloatArray
from unseen.core.observation import meaning
from unseen.core.table import ScoreTable
from unseen.evaluating.advise import Advice
from unseen.evaluating.methods import FULL
from unseen.evaluating.result import Evaluation
from unseen.evaluating.statistics import interval
from unseen.evaluating.sweep import Sweep
from unseen.reporting import pictures
from unseen.reporting.facts import Crowding, Cut, Facts, crowding, edges_of, exposure_of, scored

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


def charts_of(facts: Facts, cut: Cut | None) -> list[Chart]:
    """Draw every chart that the facts give."""
    found: list[Chart] = []
    if facts.evaluation is not None:
        found.append(_draw_evaluation(facts.evaluation))
    if facts.table is not None and facts.score is not None:
        found += _draw_distribution(facts, facts.table, facts.score, cut)
    if facts.sweep is not None and facts.sweep.budgets:
        found.append(_draw_sweep(facts.sweep))
    if facts.advice is not None and facts.advice.tried:
        found.append(_draw_advice(facts.advice))
    return found


def strip(quantiles: Sequence[tuple[float, ...] | None]) -> list[tuple[float, ...] | None]:
    """Scale the quantiles of several classes to one common range, in per cent of it.

    >>> strip([(0.0, 1.0), None, (1.0, 2.0)])
    [(0.0, 50.0), None, (50.0, 100.0)]
    """
    known = [values for values in quantiles if values is not None]
    if not known:
        return [None] * len(quantiles)
    low, high = min(map(min, known)), max(map(max, known))
    width = (high - low) or 1.0
    return [None if q is None else tuple(round(100 * (v - low) / width, 2) for v in q) for q in quantiles]


def _draw_distribution(facts: Facts, table: ScoreTable, score: str, cut: Cut | None) -> Iterator[Chart]:
    values = scored(table, score)
    if np.isnan(values).all():
        return
    other = None if facts.other is None else scored(facts.other, score)
    edges = edges_of(values, *([] if other is None else [other]))
    panels, crowded = [], []
    if other is not None and facts.other is not None:
        panels.append(pictures.Bars(_name(facts.other), _counts(other, edges)))
        crowded.append((_name(facts.other), _crowding(other, edges)))
    whole = _counts(values, edges)
    if facts.coreset is None:
        panels.append(pictures.Bars(_name(table), whole))
    else:
        kept = _counts(values[facts.coreset.indices], edges)
        panels.append(pictures.Bars(f"{_name(table)}, kept and pruned", kept, whole - kept))
    crowded.append((_name(table), _crowding(values, edges)))
    label = f"{score}: {meaning(table.direction(score))}"
    yield Chart(
        key="distribution",
        title="How the score spreads",
        text="\n".join(f"{name[0].upper()}{name[1:]}: {_describe(found)}." for name, found in crowded),
        svg=pictures.histograms(
            "distribution", panels, edges, label=label, cut=None if cut is None else cut.value,
            alt=f"Histogram of {score}. " + " ".join(f"{name}: {_describe(found)}." for name, found in crowded),
        ),
        columns=("from", "to", *(_column_heads(panels))),
        rows=_bin_counts(panels, edges),
        colored=facts.coreset is not None,
    )  # fmt: skip
    if other is not None and facts.other is not None:
        yield _draw_both_exposures(facts.other, table, other, values, edges, score)


def _draw_both_exposures(
    other: ScoreTable, table: ScoreTable, x: FloatArray, y: FloatArray, edges: FloatArray, score: str
) -> Chart:
    from scipy.stats import spearmanr

    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    varied = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    rho = float(spearmanr(x, y).statistic) if varied else float("nan")
    names = _name(other), _name(table)
    text = (
        f"Each sample by both exposures; on the dashed line they agree. Rank correlation {rho:.2f}; "
        f"{np.mean(y > x):.0%} of the samples lie above the line."
    ).replace("%", " %")
    quarters = np.quantile(edges, [0, 0.25, 0.5, 0.75, 1])
    counts = np.histogram2d(x, y, (quarters, quarters))[0].astype(int)
    spans = [f"{a:.3g} .. {b:.3g}" for a, b in pairwise(quarters.tolist())]
    return Chart(
        key="sides",
        title=f"{names[1][0].upper()}{names[1][1:]} against {names[0]}",
        text=text,
        svg=pictures.density("sides", x, y, edges, labels=(f"{score}, {names[0]}", f"{score}, {names[1]}"), alt=text),
        columns=(f"{names[0]} \\ {names[1]}", *spans),
        rows=[(span, *(f"{count:,}" for count in row)) for span, row in zip(spans, counts, strict=True)],
    )


def _draw_evaluation(found: Evaluation) -> Chart:
    rows = []
    for arm in found.arms:
        around = found.accuracy(arm.name)
        half = 0.0 if np.isnan(around.half) else 100 * around.half
        rows.append((arm.name, 100 * around.mean, half, (100 * arm.accuracy).tolist()))
    alt = "Test accuracy: " + "; ".join(f"{name} {found.accuracy(name).text()} %" for name, *_ in rows)
    replicates = [(name, *(f"{value:.2f}" for value in values)) for name, _, _, values in rows]
    most = max(len(row) for row in replicates) - 1
    return Chart(
        key="evaluation",
        title="What training on it comes to",
        text=(
            f"Mean test accuracy after the last epoch with its {100 * found.about['level']:g} % interval, and each "
            f"replicate; {found.about['test']['text']}; {found.about['fix']} fixed."
        ),
        svg=pictures.intervals("evaluation", rows, label="test accuracy, %", alt=alt, marked=found.coresets),
        columns=("arm", *(f"replicate {r + 1}" for r in range(most))),
        rows=[(*row, *[""] * (most + 1 - len(row))) for row in replicates],
    )


def _draw_sweep(sweep: Sweep) -> Chart:
    methods = [method for method in sweep.methods if method != FULL]
    lines = [pictures.Line(method, *sweep.curve(method), dashed=method == "random") for method in methods[:_METHODS]]
    rows = sweep.rows()
    everything = sweep.accuracies(FULL, 0)
    level = None
    if len(everything):
        full = interval(100 * everything)
        level = full.mean, 0.0 if np.isnan(full.half) else full.half
    more = f" {len(methods) - _METHODS} more methods are in the table." if len(methods) > _METHODS else ""
    return Chart(
        key="curve",
        title="Pruning curve",
        text=sweep.caption() + more,
        svg=pictures.curves(
            "curve", lines, labels=("pruned, %", "test accuracy, %"), level=level,
            alt=f"Pruning curve: test accuracy of {len(methods)} methods against the share pruned.",
        ),
        columns=tuple(rows[0]),
        rows=[tuple(row.values()) for row in rows],
    )  # fmt: skip


def _draw_advice(advice: Advice) -> Chart:
    """Draw the difference to everything at each share that was tried."""
    rows, numbers, marked = [], [], []
    for i, one in enumerate(advice.tried, 1):
        name = f"{i}: {100 * one.prune:g} %" + (", again" if one.confirming else "")
        for who, found in ((name, one.difference), (f"{i}: random", one.random)):
            if found is not None:
                half = 0.0 if np.isnan(found.half) else 100 * found.half
                rows.append((who, 100 * found.mean, half, [100 * found.mean]))
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
        svg=pictures.intervals(
            "tried", rows, label="difference to everything, points", marked=marked,
            alt="Difference to everything: " + "; ".join(f"{name} {text}" for name, _, text, _ in numbers),
        ),
        columns=("share pruned", "kept", "difference, points", "replicates"),
        rows=numbers,
    )  # fmt: skip


def _name(table: ScoreTable) -> str:
    return f"{exposure_of(table)} (plan {table.provenance.get('plan', {}).get('plan', '?')})"


def _counts(values: FloatArray, edges: FloatArray) -> FloatArray:
    return np.histogram(values[~np.isnan(values)], edges)[0].astype(np.float64)


def _crowding(values: FloatArray, edges: FloatArray) -> Crowding:
    return crowding(values, np.linspace(edges[0], edges[-1], 101))


def _describe(found: Crowding) -> str:
    return (
        f"{found.distinct:,} distinct ranks for {found.n:,} samples, {100 * found.fullest:.1f} % of them in the "
        f"fullest hundredth of the range; as telling as {found.filled:.0f} equally full hundredths"
    )


def _column_heads(panels: Sequence[pictures.Bars]) -> Iterator[str]:
    for panel in panels:
        yield panel.title if panel.pruned is None else "kept"
        if panel.pruned is not None:
            yield "pruned"


def _bin_counts(panels: Sequence[pictures.Bars], edges: FloatArray) -> list[tuple[str, ...]]:
    """Count the samples in fewer bins than are drawn."""
    each = (len(edges) - 1) // _TABLE_BINS
    columns = [part.reshape(-1, each).sum(axis=1) for panel in panels for part in (panel.kept, panel.pruned)
               if part is not None]  # fmt: skip
    return [
        (f"{edges[i * each]:.3g}", f"{edges[(i + 1) * each]:.3g}", *(f"{column[i]:,.0f}" for column in columns))
        for i in range(_TABLE_BINS)
    ]
