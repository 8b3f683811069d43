"""`unseen select`: another coreset from the scores of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._prune import show, summarise
from unseen.cli._show import print_json
from unseen.errors import ArgumentError
from unseen.pruning import Pruned, Scored


def command(
    run: o.Run,
    out_file: Annotated[Path, typer.Option("--out", help="Parquet file for the coreset.")],
    keep: o.Keep = None,
    prune: o.Prune = None,
    score: Annotated[str | None, typer.Option(help="Score of the table; its first if not given.")] = None,
    rule: o.Rule = "stratified",
    quota: o.Quota = None,
    align: o.Align = None,
    features: o.Features = None,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Choose a coreset from the scores that a run already holds; nothing is trained.

    Example: unseen select runs/photos --prune 0.5 --rule beta --out half.parquet
    """
    if out_file.exists():
        raise ArgumentError(f"--out {out_file} exists already; choose another name")
    loaded = unseen.load(run)
    table = loaded.scores if isinstance(loaded, Scored) else loaded
    if not isinstance(table, unseen.ScoreTable):
        raise ArgumentError(f"{run} holds no scores; run `unseen score` first")
    coreset = unseen.select(
        table,
        rule=rule,
        keep=o.amount(keep, "keep"),
        prune=o.amount(prune, "prune"),
        score=score,
        seed=seed,
        **o.rule_options(quota, align, features),
    )
    coreset.save(out_file)
    result = Pruned(table, coreset)
    summary = summarise(result, run, score)
    summary["coreset"] = str(out_file)
    if json:
        print_json(summary)
    else:
        show(result, summary)
