"""`unseen estimate`: what a scoring will cost, before it begins."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli import _options as r
from unseen.cli._console import aligned, print_json
from unseen.data import resolve

Score = Annotated[
    list[str] | None,
    typer.Option(
        "--score",
        metavar="SCORE",
        help="A score that will be measured; repeat for several. [default: el2n; of a target, loss]",
        rich_help_panel=o.WORK,
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="GPUs, each of which trains a fit, as fast as the one here.", rich_help_panel=o.WORK
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", help="Fits at a time on this machine, in place of --gpus.", rich_help_panel=o.WORK
    ),
]


@r.reads_data
def command(
    data: o.Source,
    keep: o.Keep = None,
    prune: o.Prune = None,
    score: Score = None,
    plan: o.PlanName = None,
    folds: o.Folds = None,
    repeats: o.Repeats = 1,
    learner: o.Learner = None,
    trainee: o.Trainee = None,
    gpus: Gpus = None,
    jobs: Jobs = None,
    threads: o.Threads = None,
    groups: o.Groups = "duplicates",
    seed: o.Seed = 0,
    *,
    reading: r.Reading,
    json: o.Json = False,
) -> None:
    """Predict time, GPU or core hours, memory and storage of a scoring, and when pruning pays, in half a minute.

    Examples:
      unseen estimate digits --learner mlp --keep 0.7
      unseen estimate photos/ --learner resnet50 --folds 5 --repeats 2 --keep 0.7 --gpus 8
      unseen estimate features/photos --learner ridge --plan leave_one_out
    """
    exposure = o.plan_of(plan, folds, repeats)
    amounts: dict[str, Any] = {"keep": o.amount(keep, "keep"), "prune": o.amount(prune, "prune")}
    start = perf_counter()
    source = resolve(data, **r.options(reading))
    opening = perf_counter() - start
    names = score or []
    found = unseen.estimate(
        source,
        **amounts,
        score=names[0] if names else None,
        also=names[1:],
        plan=exposure,
        learner=learner,
        trainee=trainee,
        gpus=gpus,
        jobs=jobs,
        threads=threads,
        groups="duplicates" if groups == "duplicates" else None,
        seed=seed,
        opening=opening,
    )
    if json:
        print_json(found.to_json())
    else:
        aligned([*found.lines(), *(("note", note) for note in found.notes)])
