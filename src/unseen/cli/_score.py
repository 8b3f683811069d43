"""`unseen score`: score every sample, choose nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import unseen
from unseen.cli import _options as o
from unseen.cli import _options as r
from unseen.cli._console import Reporter, aligned, grid, print_json
from unseen.core.observation import meaning
from unseen.data import resolve
from unseen.learners.base import default_learner

Scores = Annotated[
    list[str] | None,
    typer.Option(
        "--score",
        metavar="SCORE",
        help="A score and its options, such as dual:window=5; repeat for several. [default: el2n; of a target, loss]",
        rich_help_panel=o.WORK,
    ),
]


@r.reads_data
def command(
    data: o.Source,
    out_dir: o.Out,
    score: Scores = None,
    plan: o.PlanName = None,
    folds: o.Folds = None,
    repeats: o.Repeats = 1,
    learner: o.Learner = None,
    seed: o.Seed = 0,
    groups: o.Groups = "duplicates",
    executor: o.Executor = "local",
    address: o.Address = None,
    jobs: o.JobsOrNone = None,
    threads: o.Threads = None,
    verify: o.Verify = "cheap",
    log: o.Log = None,
    *,
    reading: r.Reading,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Score every sample by models that never saw it; `unseen select` chooses from the scores.

    Examples:
      unseen score photos/ --score el2n --score aum --repeats 3 --out runs/photos
      unseen score houses.parquet --target price --plan leave_one_out --out runs/houses
      unseen select runs/photos --keep 0.5 --score aum --rule beta --out half.parquet
    """
    given = dict(locals())
    exposure = o.plan_of(plan, folds, repeats)
    source = resolve(data, **r.options(reading))
    given["learner"] = learner = learner or default_learner(source)
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("score", given)) as report:
        table = unseen.score(
            source,
            scores=score or None,
            plan=exposure,
            learner=learner,
            seed=seed,
            groups="duplicates" if groups == "duplicates" else None,
            out=out_dir,
            executor=o.executor_at(executor, address),
            jobs=jobs,
            threads=threads,
            verify=verify,
            report=report,
        )
    show(table, out_dir, json=json)


def shown(run: Path, *, json: bool, no_report: bool = True) -> None:
    """What a finished run holds."""
    loaded: Any = unseen.load(run)
    show(loaded.scores, run, json=json)


def show(table: unseen.ScoreTable, run: Path, *, json: bool) -> None:
    """Quantiles of every score."""
    quantiles = {name: np.nanpercentile(table.column(name), [5, 50, 95]).tolist() for name in table.scores}
    if json:
        print_json(
            {
                "run": str(run),
                "n": len(table),
                "scores": {
                    name: {"direction": table.directions[name], "p5_p50_p95": quantiles[name]} for name in table.scores
                },
            }
        )
        return
    rows = [[name, meaning(table.directions[name]), *(f"{q:.4g}" for q in quantiles[name])] for name in table.scores]
    grid(["score", "direction", "5 %", "median", "95 %"], rows)
    aligned([("scored", f"{len(table):,} samples"), ("table", str(run / "scores.parquet"))])
