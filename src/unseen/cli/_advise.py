"""`unseen advise`: how much can be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, aligned, measure, percent, print_json
from unseen.cli._report import written
from unseen.cli._subcommand import subcommand

Method = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="How coresets are chosen: plan/score/rule; see `unseen sweep`.",
        show_default="as `unseen prune` chooses",
        rich_help_panel=o.CHOICE,
    ),
]
Step = Annotated[float, typer.Option(metavar="SHARE", help="Shares tried are its multiples.", rich_help_panel=o.CHOICE)]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="A cheap first answer: ridge regression on vectors or --features, an estimate under a linear head.",
        rich_help_panel=o.CHOICE,
    ),
]
Searching = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Replicates of a share in the search.",
        show_default="2; 5 with --quick",
        rich_help_panel=o.TRAINING,
    ),
]


@subcommand("out_dir method margin quick test seeds fix learner trainee label jobs yes json")
def command(
    data: o.Source,
    out_dir: o.Out,
    reading: o.LabelOptions,
    method: Method = None,
    margin: o.Margin = 0.5,
    step: Step = 0.1,
    quick: Quick = False,
    features: o.Features = None,
    *,
    testing: o.TestOptions,
    searching: Searching = None,
    learner: o.Learner = None,
    trainee: o.Trainee = None,
    groups: o.Groups = "duplicates",
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Find the largest share that can be pruned with a loss within the margin, and confirm it on fresh replicates.

    Examples:
      unseen advise digits --method el2n/top --margin 1 --out runs/advice
      unseen advise photos/ --features features.npy --quick --out runs/first
      unseen advise t.parquet --label y --test v.parquet --fix iterations --out runs/advice
    """
    given = dict(locals())
    from unseen.data import resolve
    from unseen.evaluating.advise import LEARNER
    from unseen.evaluating.methods import DEFAULT
    from unseen.learners.base import DEFAULTS

    read = reading.given()
    source = resolve(data, cache=out_dir, **read)
    learner, method = learner or (LEARNER if quick else DEFAULTS[source.kind]), method or DEFAULT
    remembered = o.remembered("advise", given, learner=learner, method=method)
    asks = None if quick else measure(source, trainee or learner, running)
    with Reporter(quiet=showing.silent, run=out_dir, command=remembered, measure=asks) as report:
        advice = unseen.advise(
            source,
            method=method,
            margin=margin / 100,
            test=None if testing.test is None else resolve(testing.test, cache=out_dir, **read),
            learner=learner,
            trainee=trainee,
            step=step,
            quick=quick,
            searching=searching,
            features=o.array_or_none(features),
            groups=o.groups_of(groups),
            out=out_dir,
            report=report,
            **testing.given(),
            **running.given(),
        )
    tell(advice, out_dir, json=showing.json, no_report=showing.no_report)


def tell(advice: unseen.Advice, run: Path, *, json: bool, no_report: bool) -> None:
    """Print the advice as JSON or in words, after its page is written."""
    page = written(run, skip=no_report)
    if json:
        print_json({**advice.to_json(), **({} if page is None else {"report": str(page)})})
    else:
        show(advice)
        if page is not None:
            aligned([("report", str(page))])


def shown(run: Path, *, json: bool, no_report: bool) -> None:
    """Print what a finished run holds."""
    loaded: Any = unseen.load(run)
    tell(loaded, run, json=json, no_report=no_report)


def show(advice: unseen.Advice) -> None:
    """Print the advice in words."""
    from unseen.evaluating.advise import TRAP

    kept = f"{advice.budget:,} of {advice.n:,} samples ({percent(advice.budget / advice.n)}) by {advice.method}"
    lines: list[tuple[str, Any]] = []
    if advice.estimate is not None:
        lines.append(("note", f"{advice.estimate}, not of training a network: for that, leave --quick out"))
    if advice.difference is None:
        lines.append(("keep", "everything: no smaller share was confirmed"))
        lines.append(("last try", advice.verdict.text))
    else:
        lines.append(("keep", kept))
        fresh = f"{advice.difference.text(sign=True)} points on {advice.difference.n} fresh replicates"
        lines.append(("to full", f"{advice.verdict.text}; {fresh}"))
    if advice.beside_random is not None:
        lines.append(("to random", advice.beside_random.text))
    lines.append(("fixed", f"{advice.about['fix']}; tested on {advice.about['test']}"))
    for tried in advice.tried:
        how = "confirming" if tried.confirming else "searching"
        lines.append((how, tried.text()))
    if advice.estimate is not None:
        lines.append(("trap", TRAP))
    aligned(lines)
