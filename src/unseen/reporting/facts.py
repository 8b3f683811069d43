"""What there is to report: everything that a run holds, and what other runs on the same samples add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unseen.comparing.advised import FILE as ADVICE
from unseen.comparing.advised import Advice
from unseen.comparing.curves import FILE as SWEEP
from unseen.comparing.curves import Sweep
from unseen.errors import ArgumentError, RunError, UnseenError
from unseen.evaluating.evaluated import FILE as EVALUATION
from unseen.evaluating.evaluated import Evaluation
from unseen.evaluating.prices import Price, of_run, worth
from unseen.growing.history import HISTORY, History
from unseen.runs import RunDirectory
from unseen.runs.commands import read_command
from unseen.runs.files import understood
from unseen.types import Coreset, ScoreTable

__all__ = ["Facts", "exposure_of", "gather"]


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a run; None for what it does not hold.

    Args:
        run: its directory.
        manifest: its configuration.
        table: the scores.
        coreset: what was chosen.
        history: how it was grown.
        evaluation: what training on it costs.
        sweep: methods against budgets.
        advice: how much can be pruned.
        other: scores of the same samples under another exposure.
        price: what the trainings of the run took.
        worth: how many trainings on everything they were worth.
        command: the options of the command that began it.
        scored_in: the run that holds the table, where that is another one.

    """

    run: Path
    manifest: dict[str, Any]
    table: ScoreTable | None = None
    coreset: Coreset | None = None
    history: History | None = None
    evaluation: Evaluation | None = None
    sweep: Sweep | None = None
    advice: Advice | None = None
    other: ScoreTable | None = None
    price: Price | None = None
    worth: float | None = None
    command: dict[str, Any] | None = None
    scored_in: Path | None = None

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
        """What the data set looked like when it was scored."""
        provenance = {} if self.table is None else self.table.provenance
        found: dict[str, Any] = self.manifest.get("fingerprint") or provenance.get("fingerprint") or {}
        whole: dict[str, Any] = found.get("whole", found)
        return whole


def gather(run: Path, beside: Sequence[Path] = ()) -> Facts:
    """What a run holds, and what the runs beside it add: an evaluation, a sweep, advice, scores by another exposure.

    Raises:
        RunError: no run, one of a newer format, or one without any result yet.
        ArgumentError: a run beside it that is of other samples, or adds nothing.

    """
    facts = _read(run)
    if facts.table is None and facts.evaluation is not None:
        facts = _with_judged(facts)
    for place in beside:
        facts = _joined(facts, _read(place))
    return facts


def exposure_of(table: ScoreTable) -> str:
    """`"in-sample"` of scores by models that were trained on the samples, else `"held-out"`."""
    return "in-sample" if table.provenance.get("plan", {}).get("plan") == "seen" else "held-out"


def _read(place: Path) -> Facts:
    run = RunDirectory(place)
    manifest = run.manifest()
    evaluation = run.output(EVALUATION, Evaluation.load)
    advice = run.read_json(ADVICE)
    with understood(place / ADVICE):
        advised = None if advice is None else Advice.from_json(advice)
    table = run.table()
    facts = Facts(
        run=place,
        manifest=manifest,
        table=table,
        coreset=run.coreset(),
        history=run.output(HISTORY, History.load),
        evaluation=None if evaluation is None else Evaluation.load(place),  # with its times, which events hold
        sweep=run.output(SWEEP, Sweep.load),
        advice=advised,
        price=of_run(place),
        worth=None if table is None else worth(place, len(table)),
        command=_command(place),
    )
    if all(found is None for found in (facts.table, facts.evaluation, facts.sweep, facts.advice)):
        raise RunError(f"{place} holds no results yet: the run is not finished; `unseen resume {place}` goes on")
    return facts


def _command(place: Path) -> dict[str, Any] | None:
    try:
        found = read_command(place)
    except RunError:
        return None
    return {"command": found.name, "options": found.options}


def _with_judged(facts: Facts) -> Facts:
    """An evaluation with the scores and the coreset of the first run that it judged, where that is still there."""
    judged = None if facts.command is None else facts.command["options"].get("runs")
    try:
        first = _read(Path(judged[0])) if isinstance(judged, list) and judged and isinstance(judged[0], str) else None
    except UnseenError:
        return facts
    if first is None or first.table is None or not _same_classes(first.table, facts.evaluation):
        return facts
    return replace(facts, table=first.table, coreset=first.coreset, history=first.history, scored_in=first.run)


def _same_classes(table: ScoreTable, evaluation: Evaluation | None) -> bool:
    return evaluation is not None and table.class_names == evaluation.class_names


def _joined(facts: Facts, other: Facts) -> Facts:
    found: dict[str, Any] = {
        name: getattr(other, name)
        for name in ("evaluation", "sweep", "advice")
        if getattr(facts, name) is None and getattr(other, name) is not None
    }
    if other.table is not None and facts.table is not None and other.scored_in is None:
        _check_same_samples(facts, other)
        if facts.score in other.table.scores:
            found["other"] = other.table
    if not found:
        raise ArgumentError(
            f"{other.run} adds nothing to the report of {facts.run}: give runs that hold an evaluation, a sweep, "
            "advice, or the same score under another plan"
        )
    return replace(facts, **found)


def _check_same_samples(facts: Facts, other: Facts) -> None:
    mine, its = facts.table, other.table
    if mine is None or its is None:
        return
    if len(mine) != len(its) or not np.array_equal(mine.ids, its.ids):
        raise ArgumentError(
            f"{other.run} must be a run on the samples of {facts.run} ({len(mine):,}), but it scored others "
            f"({len(its):,})"
        )
