"""The facts of a report: the results of a run, and those that other runs on the same samples add.

The second part reduces scores and coresets to what a page can show: it takes arrays and returns a few numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.coreset import HISTORY, Coreset, History
from unseen.core.table import ScoreTable
from unseen.engine.runs import RunDirectory
from unseen.engine.runs.commands import read_command
from unseen.errors import ArgumentError, RunError, UnseenError
from unseen.evaluating.advise import Advice
from unseen.evaluating.prices import Price, count_full_trainings, price_run
from unseen.evaluating.result import FILE as EVALUATION
from unseen.evaluating.result import Evaluation
from unseen.evaluating.sweep import FILE as SWEEP
from unseen.evaluating.sweep import Sweep


@dataclass(frozen=True, eq=False)
class Facts:
    """The results of a run; None for what it does not hold."""

    run: Path  # its directory
    manifest: dict[str, Any]  # its configuration
    table: ScoreTable | None = None  # the scores
    coreset: Coreset | None = None  # the samples that were chosen
    history: History | None = None  # the steps in which they were chosen
    evaluation: Evaluation | None = None  # what training on the coreset costs in accuracy
    sweep: Sweep | None = None  # methods against budgets
    advice: Advice | None = None  # how much can be pruned
    other: ScoreTable | None = None  # scores of the same samples under another exposure
    price: Price | None = None  # what the trainings of the run cost
    worth: float | None = None  # that cost, in trainings on everything
    options: dict[str, Any] = field(default_factory=dict)  # of the command that began the run; none if not known
    scored_in: Path | None = None  # the run that holds the table, where that is another one

    @property
    def score(self) -> str | None:
        """The score that the rule read, or the first of the table; None where there is none."""
        if self.table is None or not self.table.scores:
            return None
        chosen_by = None if self.coreset is None else self.coreset.provenance.get("score")
        return chosen_by if chosen_by in self.table.scores else self.table.scores[0]

    @property
    def scoring(self) -> Path:
        """The run that holds the scores and the coreset."""
        return self.scored_in or self.run

    @property
    def targets(self) -> bool:
        """Whether the labels are bins of a regression target."""
        return "targets" in self.fingerprint

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the data set when it was scored."""
        provenance = {} if self.table is None else self.table.provenance
        found: dict[str, Any] = self.manifest.get("fingerprint") or provenance.get("fingerprint") or {}
        whole: dict[str, Any] = found.get("whole", found)
        return whole

    @property
    def samples(self) -> int | None:
        """How many samples there were to choose from; None where that is not on record."""
        sweep = {} if self.sweep is None else self.sweep.about
        known = (self.fingerprint.get("n"), sweep.get("n"), None if self.advice is None else self.advice.n)
        return next((n for n in known if isinstance(n, int)), None)


def gather(run: Path, beside: Sequence[Path] = ()) -> Facts:
    """Gather the results of a run and of the runs beside it.

    Runs beside it add an evaluation, a sweep, advice, or scores by another exposure.

    Raises:
        RunError: no run, one of a newer format, or one without any result yet.
        ArgumentError: a run beside it that is of other samples, or adds nothing.
    """
    facts = _read(run)
    if facts.table is None and facts.evaluation is not None:
        facts = _add_evaluated(facts, facts.evaluation)
    for place in beside:
        facts = _add(facts, _read(place))
    return facts


def _read(place: Path) -> Facts:
    run = RunDirectory(place)
    manifest = run.manifest()
    evaluation = run.output(EVALUATION, Evaluation.load)
    try:
        options = read_command(place).options
    except RunError:
        options = {}
    table = run.table()
    facts = Facts(
        run=place,
        manifest=manifest,
        table=table,
        coreset=run.coreset(),
        history=run.output(HISTORY, History.load),
        evaluation=None if evaluation is None else Evaluation.load(place),  # with its times, which events hold
        sweep=run.output(SWEEP, Sweep.load),
        advice=Advice.of_run(run),
        price=price_run(place),
        worth=None if table is None else count_full_trainings(place, len(table)),
        options=options,
    )
    if all(found is None for found in (facts.table, facts.evaluation, facts.sweep, facts.advice)):
        raise RunError(
            f"{place} holds no results yet: the run is not finished; `unseen resume {quote(str(place))}` goes on"
        )
    return facts


def _add_evaluated(facts: Facts, evaluation: Evaluation) -> Facts:
    """Add the scores and the coreset of the first run that was evaluated, if that run is still there."""
    runs = facts.options.get("runs")
    if not isinstance(runs, list) or not runs or not isinstance(runs[0], str):
        return facts
    try:
        first = _read(Path(runs[0]))
    except UnseenError:
        return facts
    if first.table is None or first.table.class_names != evaluation.class_names:
        return facts
    options = first.options | facts.options  # an evaluation names the run, which names the data
    return replace(
        facts, table=first.table, coreset=first.coreset, history=first.history, scored_in=first.run, options=options
    )


def _identify_samples(facts: Facts) -> list[Any]:
    """Return the number of samples to choose from and digests of their ids and labels; None where not on record."""
    found = facts.fingerprint
    for part in ("train", "whole"):  # beside a test set, and of a probe split
        found = found.get(part, found)
    return [found.get(name) for name in ("n", "ids", "labels")]


def _add(facts: Facts, other: Facts) -> Facts:
    found: dict[str, Any] = {
        name: getattr(other, name)
        for name in ("evaluation", "sweep", "advice")
        if getattr(facts, name) is None and getattr(other, name) is not None
    }
    one, two = _identify_samples(facts), _identify_samples(other)
    if None not in one + two and one != two:
        raise ArgumentError(
            f"{other.run} must be a run on the samples of {facts.run} ({one[0]:,}) with the same labels, but it is on "
            f"others ({two[0]:,})"
        )
    if other.table is not None and facts.table is not None and other.scored_in is None:
        if not np.array_equal(facts.table.ids, other.table.ids):
            raise ArgumentError(
                f"{other.run} must be a run on the samples of {facts.run} ({len(facts.table):,}), but it scored "
                f"others ({len(other.table):,})"
            )
        if facts.score in other.table.scores:
            found["other"] = other.table
    if not found:
        raise ArgumentError(
            f"{other.run} adds nothing to the report of {facts.run}: give runs that hold an evaluation, a sweep, "
            "advice, or the same score under another plan"
        )
    return replace(facts, **found)


_AROUND = 0.125  # share of the samples on each side of a cut that decides whether it is one
_CLEAR = 0.5  # least difference of the shares kept on both sides at a cut


@dataclass(frozen=True)
class Crowding:
    """How well a score tells samples apart."""

    distinct: int  # different values
    n: int  # samples scored
    fullest: float  # share of the samples in the fullest hundredth of the range
    filled: float  # how many equally full hundredths would hold as much information (exp of the entropy)


@dataclass(frozen=True)
class Cut:
    """The place in the order of the scores where the share kept changes most."""

    value: float  # the score there
    at: int  # how many samples lie below it in the order
    below: float  # share kept of those just below
    above: float  # share kept of those just above


@dataclass(frozen=True)
class ClassRow:
    """A class in the data and in the coreset."""

    name: str  # of the class
    n: int  # its samples
    kept: int | None  # those in the coreset, or None without one
    accuracy: float | None  # share of its samples that were predicted rightly; None where nobody predicted
    quantiles: tuple[float, ...] | None  # of its scores, at 5, 25, 50, 75 and 95 %; None where none was scored


def order_rows(values: FloatArray) -> IntArray:
    """Order the rows with a score from the lowest to the highest, int64; equal scores by row."""
    order = np.argsort(values, kind="stable")
    return order[: len(values) - int(np.isnan(values).sum())]


def scored(table: ScoreTable, score: str) -> FloatArray:
    """Return the score of each sample, float64 (n,); NaN where there is no finite one."""
    values = table.column(score)
    return values if np.isfinite(values).all() else np.where(np.isfinite(values), values, np.nan)


def bin_edges(*columns: FloatArray, bins: int = 60) -> FloatArray:
    """Return the edges of equal bins over the common range of some scores, float64 (bins + 1,)."""
    low = min(float(np.nanmin(values)) for values in columns)
    high = max(float(np.nanmax(values)) for values in columns)
    if not high > low:  # a constant score
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def measure_crowding(values: FloatArray, edges: FloatArray) -> Crowding:
    """Measure how well a score tells samples apart, in bins of a range, which other scores may share."""
    known = values[np.isfinite(values)]
    counts = np.histogram(known, edges)[0]
    shares = counts[counts > 0] / len(known)
    filled = float(np.exp(-(shares * np.log(shares)).sum()))
    return Crowding(len(np.unique(known)), len(known), float(shares.max()), filled)


def find_cut(values: FloatArray, kept: npt.NDArray[np.bool_]) -> Cut | None:
    """Find the score at which the share kept changes most; None where it changes by less than half."""
    order = order_rows(values)
    inside = kept[order].astype(np.float64)
    n, total = len(inside), float(inside.sum())
    if not 0 < total < n:
        return None
    below = np.cumsum(inside)
    # The kept and the pruned part differ most here in the share that lies below (Kolmogorov and Smirnov).
    apart = np.abs(below / total - (np.arange(1, n + 1) - below) / (n - total))
    at = int(apart[:-1].argmax()) + 1
    width = max(1, round(_AROUND * n))
    shares = float(inside[max(0, at - width) : at].mean()), float(inside[at : at + width].mean())
    if abs(shares[0] - shares[1]) < _CLEAR:
        return None
    return Cut(float(values[order[at - 1]] + values[order[at]]) / 2, at, *shares)


def summarise_classes(table: ScoreTable, score: str | None, coreset: Coreset | None, most: int) -> list[ClassRow]:
    """Summarise up to `most` classes, the largest first."""
    labels, classes = table.labels, len(table.class_names)
    sizes = np.bincount(labels, minlength=classes)
    kept = None if coreset is None else np.bincount(labels[coreset.indices], minlength=classes)
    predictions = np.full(len(labels), -1) if table.predictions is None else table.predictions
    asked = np.bincount(labels[predictions >= 0], minlength=classes)
    right = np.bincount(labels[predictions == labels], minlength=classes)
    values = np.full(len(labels), np.nan) if score is None else scored(table, score)
    by_class = np.split(values[np.argsort(labels, kind="stable")], np.cumsum(sizes)[:-1])
    return [
        ClassRow(
            name=table.class_names[c],
            n=int(sizes[c]),
            kept=None if kept is None else int(kept[c]),
            accuracy=float(right[c] / asked[c]) if asked[c] else None,
            quantiles=_measure_quantiles(by_class[c]),
        )
        for c in np.argsort(-sizes, kind="stable")[:most].tolist()
    ]


def _measure_quantiles(values: FloatArray) -> tuple[float, ...] | None:
    known = values[np.isfinite(values)]
    return tuple(np.quantile(known, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()) if len(known) else None
