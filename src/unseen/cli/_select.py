"""`unseen select`: another coreset from the scores of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._console import print_json
from unseen.cli._prune import show, summarise
from unseen.cli._subcommand import subcommand
from unseen.errors import ArgumentError

Score = Annotated[
    str | None,
    typer.Option(
        metavar="SCORE",
        help="The score of the table that the rule reads.",
        show_default="its first",
        rich_help_panel=o.CHOICE,
    ),
]


@subcommand("out_file keep prune score rule quota align features seed json")
def command(
    run: o.Run,
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE", help="Parquet file for the coreset.")],
    amount: o.AmountOptions,
    score: Score = None,
    *,
    choice: o.ChoiceOptions,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Choose a coreset from the scores that a run already holds; nothing is trained.

    Examples:
      unseen select runs/photos --prune 0.5 --rule beta --out half.parquet
      unseen select runs/photos --keep 1000 --rule top --score aum --out k.parquet
    """
    from unseen.pruning import Pruned, Scored

    if out_file.exists():
        raise ArgumentError(f"--out {out_file} exists already; choose another name")
    loaded = unseen.load(run)
    table = loaded.scores if isinstance(loaded, Scored) else loaded
    if not isinstance(table, unseen.ScoreTable):
        raise ArgumentError(f"{run} holds no scores; run `unseen score` first")
    coreset = unseen.select(
        table,
        rule=choice.rule,
        score=score,
        seed=seed,
        **amount.given(),
        **choice.given(),
    )
    coreset.save(out_file)
    result = Pruned(table, coreset)
    summary = summarise(result, run, out_file, score)
    if json:
        print_json(summary)
    else:
        show(result, summary)
