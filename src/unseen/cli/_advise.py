"""`unseen advise`: how much can be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli import _options as r
from unseen.cli._console import Reporter, aligned, percent, print_json
from unseen.data import resolve
from unseen.evaluating.advise import LEARNER, TRAP
from unseen.evaluating.methods import DEFAULT
from unseen.learners.base import DEFAULTS

Method = Annotated[
    str,
    typer.Option(
        metavar="METHOD", help="How coresets are chosen: plan/score/rule; see `unseen sweep`.", rich_help_panel=o.CHOICE
    ),
]
Margin = Annotated[
    float, typer.Option(metavar="POINTS", help="The loss that counts as none, in points.", rich_help_panel=o.CHOICE)
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
    typer.Option(metavar="N", help="Replicates a share in the search: 2, or 5 with --quick.", rich_help_panel=o.WORK),
]


@r.reads_labels
def command(
    data: o.Source,
    out_dir: o.Out,
    method: Method = DEFAULT,
    margin: Margin = 0.5,
    step: Step = 0.1,
    quick: Quick = False,
    features: o.Features = None,
    test: o.Test = None,
    probe: o.Probe = 0.2,
    overlap: o.Overlap = "refuse",
    searching: Searching = None,
    seeds: o.Seeds = 5,
    fix: o.Fixed = "epochs",
    learner: o.Learner = None,
    trainee: o.Trainee = None,
    seed: o.Seed = 0,
    groups: o.Groups = "duplicates",
    executor: o.Executor = "local",
    address: o.Address = None,
    jobs: o.JobsOrNone = None,
    threads: o.Threads = None,
    *,
    reading: r.Reading,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Find the largest share that can be pruned with a loss within the margin, and confirm it on fresh replicates.

    Examples:
      unseen advise digits --method el2n/top --margin 1 --out runs/advice
      unseen advise photos/ --features features.npy --quick --out runs/first
      unseen advise t.parquet --label y --test v.parquet --fix iterations --out runs/advice
    """
    given = dict(locals())
    read = r.options(reading)
    source = resolve(data, **read)
    given["learner"] = learner = learner or (LEARNER if quick else DEFAULTS[source.kind])
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("advise", given)) as report:
        advice = unseen.advise(
            source,
            method=method,
            margin=margin / 100,
            test=None if test is None else resolve(test, **read),
            probe=probe,
            overlap=overlap,
            learner=learner,
            trainee=trainee,
            fix=fix,
            step=step,
            quick=quick,
            searching=searching,
            seeds=seeds,
            features=None if features is None else o.array(features),
            groups="duplicates" if groups == "duplicates" else None,
            seed=seed,
            out=out_dir,
            executor=o.executor_at(executor, address),
            jobs=jobs,
            threads=threads,
            report=report,
        )
    tell(advice, json=json)


def tell(advice: unseen.Advice, *, json: bool) -> None:
    """The advice as JSON or in words."""
    if json:
        print_json(advice.to_json())
    else:
        show(advice)


def shown(run: Path, *, json: bool, no_report: bool = True) -> None:
    """What a finished run holds."""
    loaded: Any = unseen.load(run)
    tell(loaded, json=json)


def show(advice: unseen.Advice) -> None:
    """The advice in words."""
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
