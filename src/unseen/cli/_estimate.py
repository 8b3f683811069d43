"""`unseen estimate`: what a scoring will cost, before it begins."""

from __future__ import annotations

from typing import Annotated

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._console import aligned, print_json
from unseen.cli._subcommand import subcommand

Gpus = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="GPUs, each of which trains a fit, as fast as the one here.", rich_help_panel=o.RUNNING
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", help="Fits at a time on this machine, in place of --gpus.", rich_help_panel=o.RUNNING
    ),
]


@subcommand("keep prune score learner plan folds repeats label target gpus jobs threads json")
def command(
    data: o.Source,
    reading: o.LabelledOptions,
    amount: o.AmountOptions,
    score: o.Scores = None,
    *,
    scoring: o.ScoringOptions,
    trainee: o.Trainee = None,
    gpus: Gpus = None,
    jobs: Jobs = None,
    threads: o.Threads = None,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Predict time, GPU or core hours, memory and storage of a scoring, and when pruning pays, in half a minute.

    Examples:
      unseen estimate digits --learner mlp --keep 0.7
      unseen estimate photos/ --learner resnet50 --folds 5 --repeats 2 --keep 0.7 --gpus 8
      unseen estimate features/photos --learner ridge --plan leave_one_out
    """
    exposure = scoring.exposure()
    budget = amount.given()
    names = score or []
    found = unseen.estimate(
        data,
        **reading.given(),
        **budget,
        score=names[0] if names else None,
        also=names[1:],
        plan=exposure,
        learner=scoring.learner,
        trainee=trainee,
        gpus=gpus,
        jobs=jobs,
        threads=threads,
        groups=o.groups_of(scoring.groups),
        seed=seed,
    )
    if json:
        print_json(found.to_json())
    else:
        aligned([*found.lines(), *(("note", note) for note in found.notes)])
