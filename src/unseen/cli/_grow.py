"""`unseen grow`: choose the coreset in several steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli import _reading as r
from unseen.cli._progress import Reporter
from unseen.cli._prune import Score, disagreement, told_disagreement
from unseen.cli._report import NoReport, written
from unseen.cli._show import aligned, grid, percent, print_json
from unseen.data import resolve
from unseen.errors import ArgumentError
from unseen.growing.history import History, Step
from unseen.growing.loop import HISTORY
from unseen.growing.quality import Estimate
from unseen.learners.defaults import DEFAULTS
from unseen.pruning import LABEL_ISSUE
from unseen.runs import RunDirectory
from unseen.types import meaning

STEPS = "Steps"

Start = Annotated[
    str,
    typer.Option(
        metavar="START",
        help="random, unseen (one step of `unseen prune`), or a run or parquet file whose coreset is the start.",
        rich_help_panel=STEPS,
    ),
]
StartSize = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="Size of a start that is drawn: a count, or a share of the budget. [default: 0.4; to shrink: all]",
        rich_help_panel=STEPS,
    ),
]
StartRule = Annotated[
    str | None,
    typer.Option(metavar="RULE", help="Rule of --start unseen. [default: stratified]", rich_help_panel=STEPS),
]
Schedule = Annotated[
    Literal["grow", "shrink", "refine"] | None,
    typer.Option(
        help="Grow to the budget, shrink to it, or refine at its size. [default: grow]", rich_help_panel=STEPS
    ),
]
Steps = Annotated[
    int | None, typer.Option(metavar="N", help="Steps from start to budget. [default: 3]", rich_help_panel=STEPS)
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        metavar="AMOUNT",
        help="The size of the start and after each step, a count or a fraction; repeat, in place of --schedule.",
        rich_help_panel=STEPS,
    ),
]
Release = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of members a step may release. [default: 0; to refine: 0.1]",
        rich_help_panel=STEPS,
    ),
]
Scale = Annotated[
    Literal["size", "rank"],
    typer.Option(help="How members and outsiders compare: by training sets of one size, or by rank.",
                 rich_help_panel=STEPS),
]  # fmt: skip
Probe = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Set a share aside, never chosen, to measure quality on. [default: all samples]",
        rich_help_panel=STEPS,
    ),
]
Stop = Annotated[
    Literal["budget", "quality"],
    typer.Option(help="Stop at the budget, or before a step that changes quality for nothing.", rich_help_panel=STEPS),
]
Confirm = Annotated[
    bool, typer.Option("--confirm", help="Score the final coreset once more.", rich_help_panel=STEPS)
]  # fmt: skip
Folds = Annotated[int, typer.Option(metavar="N", help="Folds of the members.", rich_help_panel=o.WORK)]
Repeats = Annotated[
    int, typer.Option(metavar="N", help="How often everybody is judged at a step.", rich_help_panel=o.WORK)
]
Rule = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="Rule and its options, such as stratified:cutoff=0.1; see `unseen rules`.",
        rich_help_panel=o.CHOICE,
    ),
]


@r.reads_labels
def command(
    data: o.Source,
    out_dir: o.Out,
    keep: o.Keep = None,
    prune: o.Prune = None,
    score: Score = "el2n",
    rule: Rule = "stratified",
    quota: o.Quota = None,
    align: o.Align = None,
    features: o.Features = None,
    start: Start = "random",
    start_size: StartSize = None,
    start_rule: StartRule = None,
    schedule: Schedule = None,
    steps: Steps = None,
    size: Sizes = None,
    release: Release = None,
    scale: Scale = "size",
    probe: Probe = None,
    stop: Stop = "budget",
    confirm: Confirm = False,
    folds: Folds = 5,
    repeats: Repeats = 1,
    fix: o.Fixed = "epochs",
    learner: o.Learner = None,
    seed: o.Seed = 0,
    executor: o.Executor = "local",
    address: o.Address = None,
    jobs: o.JobsOrNone = None,
    threads: o.Threads = None,
    verify: o.Verify = "cheap",
    *,
    reading: r.Reading,
    no_report: NoReport = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Choose the coreset in several steps, each by models trained on the coreset before it, never on who they judge.

    Examples:
      unseen grow digits --keep 0.3 --out runs/grown
      unseen grow photos/ --keep 0.5 --start unseen --release 0.1 --out runs/grown
      unseen grow t.parquet --label y --keep 500 --schedule shrink --out runs/t
    """
    given = dict(locals())
    choice = o.rule_options(rule, quota, align, features)
    source = resolve(data, **r.options(reading))
    given["learner"] = learner = learner or DEFAULTS[source.kind]
    begin = started_from(start)
    given["start"] = start if isinstance(begin, str) else str(Path(start).absolute())
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("grow", given)) as report:
        result = unseen.grow(
            source,
            keep=o.amount(keep, "keep"),
            prune=o.amount(prune, "prune"),
            score=score,
            rule=rule,
            start=begin,
            start_size=o.amount(start_size, "start-size"),
            start_rule=start_rule,
            schedule=schedule,
            steps=steps,
            sizes=o.amounts(size, "size"),
            release=release,
            scale=scale,
            probe=probe,
            stop=stop,
            confirm=confirm,
            folds=folds,
            repeats=repeats,
            fix=fix,
            learner=learner,
            seed=seed,
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
    """The result, after its report is written."""
    summary = summarise(result, run)
    if page := written(run, skip=no_report):
        summary["report"] = str(page)
    if json:
        print_json(summary)
    else:
        show(result, summary)


def shown(run: Path, *, json: bool, no_report: bool) -> None:
    """What a finished run holds."""
    loaded: Any = unseen.load(run)
    history = RunDirectory(run).output(HISTORY, History.load)
    assert history is not None  # it is finished
    tell(unseen.Grown(loaded.coreset, history, loaded.scores), run, json=json, no_report=no_report)


def started_from(start: str) -> Any:
    """`"random"`, `"unseen"`, or the coreset in a run or a file."""
    if start in ("random", "unseen"):
        return start
    if not Path(start).exists():
        raise ArgumentError(f"--start must be random, unseen, or a run or parquet file with a coreset, got {start!r}")
    loaded = unseen.load(start)
    coreset = loaded if isinstance(loaded, unseen.Coreset) else getattr(loaded, "coreset", None)
    if coreset is None:
        raise ArgumentError(f"--start {start} holds no coreset; choose one with `unseen select`")
    return coreset


def summarise(result: unseen.Grown, run: Path) -> dict[str, Any]:
    """The result as numbers."""
    coreset, history, table = result
    about = history.about
    return {
        "run": str(run),
        "coreset": str(run / "coreset.parquet"),
        "history": str(run / "history.parquet"),
        "scores": str(run / "scores.parquet"),
        "n": coreset.n,
        "kept": len(coreset),
        "pruned": coreset.n - len(coreset),
        "budget": about["budget"],
        "stopped": history.stopped,
        "taken": history.taken,
        "score": about["score"],
        "direction": about["direction"],
        "rule": about["rule"],
        "judged": max((step.judged for step in history.steps), default=0),
        "steps": [_row(step) for step in history.steps],
        **disagreement(table[LABEL_ISSUE], coreset),
    }


def _row(step: Step) -> dict[str, Any]:
    moves = {name: getattr(step, name) for name in ("step", "size", "entered", "released", "dropped", "collapsed")}
    return {
        **moves,
        "accuracy": _named(step.accuracy),
        "change": _named(step.change),
        "class_errors": step.class_errors,
    }


def _named(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else estimate._asdict()


def show(result: unseen.Grown, summary: dict[str, Any]) -> None:
    """The result in words."""
    history = result.history
    rows = []
    for step in history.steps:
        undone = " (undone)" if step.step > history.taken else ""
        rows.append([
            (f"step {step.step}" if step.step else "start") + undone,
            f"{step.size:,}",
            f"+{step.entered:,} -{step.released + step.dropped + step.collapsed:,}" if step.step else "",
            "" if step.accuracy is None else percent(step.accuracy.value),
            "" if step.accuracy is None else f"{percent(step.accuracy.low)} .. {percent(step.accuracy.high)}",
            "" if step.change is None else f"{100 * step.change.value:+.1f} points",
        ])  # fmt: skip
    grid(["coreset", "samples", "moved", "accuracy", "95 % interval", "change"], rows)
    n, kept = summary["n"], summary["kept"]
    aligned(
        [
            (
                "kept",
                f"{kept:,} of {n:,} samples ({percent(kept / n)}), by {summary['rule']}; stopped {history.stopped}",
            ),
            ("score", f"{summary['score']}, {meaning(summary['direction'])}"),
            (
                "quality",
                f"accuracy on {summary['judged']:,} samples, each by models that never saw it, nor a copy of it",
            ),
            ("labels", told_disagreement(summary)),
            ("coreset", summary["coreset"]),
            ("history", summary["history"]),
            *([("report", summary["report"])] if "report" in summary else []),
        ]
    )
