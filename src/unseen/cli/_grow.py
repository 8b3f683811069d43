"""`unseen grow`: choose the coreset in several steps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli import _options as r
from unseen.cli._console import Reporter, aligned, grid, percent, print_json
from unseen.cli._prune import Score, disagreement, told_disagreement
from unseen.cli._report import NoReport, written
from unseen.core.history import HISTORY, History
from unseen.core.observation import meaning
from unseen.data import resolve
from unseen.engine.runs import RunDirectory
from unseen.errors import ArgumentError
from unseen.learners.base import DEFAULTS
from unseen.scores.label_quality import LABEL_ISSUE

STEPS = "Steps"

Start = Annotated[
    str,
    typer.Option(
        metavar="START",
        help="Share of the budget that the first step chooses, or a run or parquet file whose coreset is the start.",
        rich_help_panel=STEPS,
    ),
]
Steps = Annotated[
    int, typer.Option(metavar="N", help="Further steps, which add equally many samples.", rich_help_panel=STEPS)
]
Refill = Annotated[
    str,
    typer.Option(
        metavar="SCORE", help="Score by which outsiders enter; the coreset's models give it.", rich_help_panel=STEPS
    ),
]


@r.reads_labels
def command(
    data: o.Source,
    out_dir: o.Out,
    keep: o.Keep = None,
    prune: o.Prune = None,
    score: Score = "el2n",
    rule: o.Rule = None,
    quota: o.Quota = None,
    align: o.Align = None,
    features: o.Features = None,
    plan: o.PlanName = None,
    folds: o.Folds = None,
    repeats: o.Repeats = 1,
    start: Start = "0.5",
    steps: Steps = 2,
    refill: Refill = "entropy",
    learner: o.Learner = None,
    seed: o.Seed = 0,
    executor: o.Executor = "local",
    address: o.Address = None,
    jobs: o.JobsOrNone = None,
    threads: o.Threads = None,
    groups: o.Groups = "duplicates",
    verify: o.Verify = "cheap",
    log: o.Log = None,
    *,
    reading: r.Reading,
    no_report: NoReport = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Choose a part as `prune` does, and the rest by models of the coreset so far.

    Examples:
      unseen grow digits --keep 0.3 --out runs/grown
      unseen grow photos/ --keep 0.5 --steps 3 --out runs/grown
      unseen grow t.parquet --label y --keep 500 --start runs/before --out runs/t
    """
    given = dict(locals())
    choice = o.rule_options(rule, quota, align, features)
    source = resolve(data, **r.options(reading))
    given["learner"] = learner = learner or DEFAULTS[source.kind]
    begin = started_from(start)
    given["start"] = start if isinstance(begin, float) else str(Path(start).absolute())
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("grow", given)) as report:
        result = unseen.grow(
            source,
            keep=o.amount(keep, "keep"),
            prune=o.amount(prune, "prune"),
            score=score,
            rule=rule,
            plan=o.plan_of(plan, folds, repeats),
            start=begin,
            steps=steps,
            refill=refill,
            learner=learner,
            seed=seed,
            groups=None if groups == "none" else groups,
            out=out_dir,
            executor=o.executor_at(executor, address),
            jobs=jobs,
            threads=threads,
            verify=verify,
            report=report,
            **choice,
        )
    tell(result, out_dir, json=json, no_report=no_report)


def tell(result: unseen.Grown, run: Path, *, json: bool, no_report: bool) -> None:
    """Print the result, after its report is written."""
    summary = summarise(result, run)
    if page := written(run, skip=no_report):
        summary["report"] = str(page)
    if json:
        print_json(summary)
    else:
        show(result, summary)


def shown(run: Path, *, json: bool, no_report: bool) -> None:
    """Print what a finished run holds."""
    loaded: Any = unseen.load(run)
    history = RunDirectory(run).output(HISTORY, History.load)
    assert history is not None  # it is finished
    tell(unseen.Grown(loaded.coreset, history, loaded.scores), run, json=json, no_report=no_report)


def started_from(start: str) -> Any:
    """Give the share, or the coreset in a run or a file."""
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
    """Give the result as numbers."""
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
        **disagreement(table[LABEL_ISSUE], coreset),
    }


def show(result: unseen.Grown, summary: dict[str, Any]) -> None:
    """Print the result in words."""
    sizes = result.history.sizes
    refill = result.history.about["grown"].get("refill", summary["score"])
    rows = [["start", f"{sizes[0]:,}", "", f"{summary['rule']} by {summary['score']}"]]
    for step, (before, size) in enumerate(pairwise(sizes), 1):
        rows.append([f"step {step}", f"{size:,}", f"{size - before:+,}", f"{refill}, by models of {before:,}"])
    grid(["coreset", "samples", "entered", "chosen by"], rows)
    n, kept = summary["n"], summary["kept"]
    aligned(
        [
            ("kept", f"{kept:,} of {n:,} samples ({percent(kept / n)}), by {summary['rule']}"),
            ("score", f"{summary['score']}, {meaning(summary['direction'])}"),
            ("labels", told_disagreement(summary)),
            ("coreset", summary["coreset"]),
            ("history", summary["history"]),
            *([("report", summary["report"])] if "report" in summary else []),
        ]
    )
