"""`unseen grow`: choose the coreset in several steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, print_result, print_table
from unseen.cli._prune import (
    describe_classes,
    describe_disagreement,
    describe_models,
    measure_disagreement,
    price_of,
)
from unseen.core.words import percent
from unseen.errors import ArgumentError

STEPS = "Steps"


@dataclass(frozen=True)
class GrowOptions:
    """The steps in which a coreset grows."""

    start: str = o.option(
        "START",
        "Share of the budget chosen in the first step, or a run or parquet file whose coreset is the start.",
        STEPS,
        default="0.5",
    )
    steps: int = o.option("N", "Further steps, which add equally many samples.", STEPS, default=2)
    refill: str = o.option(
        "SCORE", "Score by which further samples enter, from a model of the coreset so far.", STEPS, default="entropy"
    )


@o.subcommand("out_dir keep prune start steps rule label learner plan jobs seed yes json", refused="target")
def grow(
    *,
    data: str = o.DATA_SET,
    out_dir: Path = o.OUT,
    reading: o.ReadingOptions,
    amount: o.AmountOptions,
    score: str = o.option("SCORE", "The score that the rule reads; see `unseen scores`.", o.CHOICE, default="el2n"),
    choice: o.ChoiceOptions,
    growing: GrowOptions,
    scoring: o.ScoringOptions,
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Choose in several steps: a part as `prune` does, the rest by models of the coreset so far.

    Examples:
      unseen grow digits --keep 0.3 --out runs/grown
      unseen grow photos/ --keep 0.5 --steps 3 --out runs/grown
      unseen grow t.parquet --label y --keep 500 --start runs/before --out runs/t
    """
    given = dict(locals())
    options = choice.arguments()
    source = reading.open(data, out_dir)
    learner = scoring.learner or o.default_learner(source)
    begin = read_start(growing.start)
    start = growing.start if isinstance(begin, float) else str(Path(growing.start).absolute())
    with Reporter("grow", given, source, learner=learner, start=start) as report:
        unseen.grow(
            source,
            **vars(amount),
            score=score,
            rule=choice.rule,
            start=begin,
            steps=growing.steps,
            refill=growing.refill,
            **scoring.arguments(),
            **report.shared(),
            **options,
        )
    print_grown(out_dir, json=showing.json, no_report=showing.no_report)


def print_grown(run: Path, *, json: bool, no_report: bool) -> None:
    """Print the result of a run, after its page is written."""
    from unseen.core.coreset import HISTORY, History
    from unseen.engine.runs import RunDirectory

    loaded: Any = unseen.load(run)
    history = RunDirectory(run).output(HISTORY, History.load)
    assert history is not None  # it is finished
    result = unseen.Grown(loaded.coreset, history, loaded.scores)
    summary = summarise(result, run)
    print_result(run, summary, partial(describe, result, summary), json=json, no_report=no_report)


def read_start(start: str) -> Any:
    """Return a share, or the coreset in a run or a file."""
    try:
        return float(start)
    except ValueError:
        pass
    if not Path(start).exists():
        raise ArgumentError(
            f"--start must be a share of the budget (0.5), or a run or parquet file with a coreset, got {start!r}"
        )
    loaded = unseen.load(start)
    coreset = loaded if isinstance(loaded, unseen.Coreset) else getattr(loaded, "coreset", None)
    if coreset is None:
        raise ArgumentError(f"--start {start} holds no coreset; choose one with `unseen select`")
    return coreset


def summarise(result: unseen.Grown, run: Path) -> dict[str, Any]:
    """Return the result as numbers."""
    from unseen.core.coreset import HISTORY
    from unseen.scores.label_quality import LABEL_ISSUE

    coreset, history, table = result
    about = history.about
    return {
        "run": str(run),
        "coreset": str(run / "coreset.parquet"),
        "history": str(run / HISTORY),
        "scores": str(run / "scores.parquet"),
        "n": coreset.n,
        "kept": len(coreset),
        "pruned": coreset.n - len(coreset),
        "budget": about["budget"],
        "score": about["score"],
        "direction": about["direction"],
        "rule": about["rule"],
        "sizes": history.sizes,
        "fallback": coreset.provenance.get("fallback"),
        "accuracy": table.accuracy,
        "mean_recall": table.mean_recall,
        **measure_disagreement(table[LABEL_ISSUE], coreset),
        **price_of(run, coreset),
    }


def describe(result: unseen.Grown, summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Print the table of the steps, and describe the result, line by line."""
    from unseen.core.table import meaning
    from unseen.rules.registry import spec_of

    sizes, grown, weak = result.history.sizes, result.history.about["grown"], summary["fallback"]
    refill = grown.get("refill", summary["score"])
    own = isinstance(grown.get("start"), dict)
    start = "a coreset of your own" if own else summary["rule"] + ("" if weak else f" by {summary['score']}")
    rows = [["start", f"{sizes[0]:,}", "", start]]
    for step, (before, size) in enumerate(pairwise(sizes), 1):
        by = summary["rule"] if weak else f"{refill}, by models of {before:,}"
        rows.append([f"step {step}", f"{size:,}", f"{size - before:+,}", by])
    print_table(["coreset", "samples", "entered", "chosen by"], rows)
    n, kept = summary["n"], summary["kept"]
    return [
        ("kept", f"{kept:,} of {n:,} samples ({percent(kept / n)}), by {spec_of(result.coreset)}"),
        ("score", f"{summary['score']}, {meaning(summary['direction'])}"),
        *describe_classes(result.scores, result.coreset),
        *describe_models(result.scores),
        ("labels", describe_disagreement(result.scores, summary)),
        *([("price", f"by samples seen, {summary['paid']}")] if "paid" in summary else []),
        ("coreset", summary["coreset"]),
        ("history", summary["history"]),
    ]
