"""`unseen prune`: score every sample and choose the coreset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._show import Reporter, out, print_json
from unseen.data import resolve
from unseen.pruning import LABEL_ISSUE, Pruned, label_error_share
from unseen.types import meaning

Also = Annotated[
    str, typer.Option(help="Further scores for the table, separated by semicolons.", rich_help_panel=o.WORK)
]
Score = Annotated[str, typer.Option(help="The score that the rule reads; see `unseen scores`.", rich_help_panel=o.WORK)]


def command(
    data: o.Source,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Directory that keeps the run; the same command continues it after a kill.")
    ],
    keep: o.Keep = None,
    prune: o.Prune = None,
    score: Score = "el2n",
    also: Also = "",
    rule: o.Rule = "stratified",
    quota: o.Quota = None,
    align: o.Align = None,
    features: o.Features = None,
    plan: o.PlanName = "folds",
    folds: o.Folds = 5,
    repeats: o.Repeats = 1,
    learner: o.Learner = None,
    seed: o.Seed = 0,
    groups: o.Groups = "duplicates",
    jobs: o.Jobs = 1,
    threads: o.Threads = None,
    verify: o.Verify = "cheap",
    label: o.Label = None,
    image: o.Image = None,
    text: o.Text = None,
    feature: o.Feature = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    split: o.Split = None,
    image_size: o.ImageSize = None,
    on_error: o.OnError = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Score every sample by models that never saw it, and choose the part worth training on.

    Example: unseen prune photos/ --keep 0.7 --score el2n --folds 5 --rule stratified --out runs/photos
    """
    given = dict(locals())
    source = resolve(data, **o.data_options(
        label=label, image=image, text=text, features=feature, id=id_column, group=group, split=split,
        image_size=image_size, on_error=on_error,
    ))  # fmt: skip
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("prune", given)) as report:
        result = unseen.prune(
            source,
            keep=o.amount(keep, "keep"),
            prune=o.amount(prune, "prune"),
            score=score,
            also=[name for name in also.split(";") if name],
            rule=rule,
            plan=o.plan_of(plan, folds, repeats),
            learner=learner,
            seed=seed,
            groups="duplicates" if groups == "duplicates" else None,
            out=out_dir,
            jobs=jobs,
            threads=threads,
            verify=verify,
            report=report,
            **o.rule_options(quota, align, features),
        )
    summary = summarise(result, out_dir)
    if json:
        print_json(summary)
    else:
        show(result, summary)


def summarise(result: Pruned, run: Path, score: str | None = None) -> dict[str, Any]:
    """The result as numbers."""
    table, coreset = result
    name = score or table.scores[0]
    summary: dict[str, Any] = {
        "run": str(run),
        "coreset": str(run / "coreset.parquet"),
        "n": coreset.n,
        "kept": len(coreset),
        "pruned": coreset.n - len(coreset),
        "score": name,
        "direction": table.directions[name],
        "rule": coreset.provenance.get("rule"),
        "reliability": None if len(table.folds) < 2 else table.reliability(name),
    }
    if table.predictions is not None:
        judged = table.predictions >= 0
        summary["accuracy"] = float(np.mean(table.predictions[judged] == table.labels[judged]))
        summary["accuracy_is"] = "in-sample" if table.provenance["plan"]["plan"] == "seen" else "held-out"
    if LABEL_ISSUE in table.values:
        summary["label_errors_kept"] = label_error_share(table, coreset)
        summary["label_errors_random"] = label_error_share(table)
    return summary


def show(result: Pruned, summary: dict[str, Any]) -> None:
    """The result in words."""
    table, coreset = result
    out.print(
        f"kept    {len(coreset):,} of {coreset.n:,} samples, {coreset.n - len(coreset):,} pruned, by {summary['rule']}",
        markup=False,
    )
    column = table.column(summary["score"])
    low, middle, high = np.nanpercentile(column, [5, 50, 95])
    out.print(
        f"score   {summary['score']}, {meaning(summary['direction'])}: 5 %, median and 95 % are {low:.3g}, {middle:.3g}, {high:.3g}",
        markup=False,
    )
    if "accuracy" in summary:
        out.print(
            f"models  {summary['accuracy_is']} accuracy {summary['accuracy']:.1%}".replace("%", " %"), markup=False
        )
    if "label_errors_kept" in summary:
        kept, random = summary["label_errors_kept"], summary["label_errors_random"]
        out.print(
            f"labels  estimated errors in the coreset {kept:.1%}, in a random one {random:.1%}".replace("%", " %"),
            markup=False,
        )
    if summary["reliability"] is not None:
        out.print(f"repeats reliability of the mean score {summary['reliability']:.2f}", markup=False)
    out.print(f"files   {summary['coreset']}, scores in {summary['run']}", markup=False)
