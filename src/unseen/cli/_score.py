"""`unseen score`: score every sample, choose nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, aligned, grid, measure, print_json
from unseen.cli._subcommand import subcommand


@subcommand("out_dir score learner plan folds repeats label target jobs seed yes quiet json")
def command(
    data: o.Source,
    out_dir: o.Out,
    reading: o.LabelledOptions,
    score: o.Scores = None,
    *,
    scoring: o.ScoringOptions,
    running: o.VerifiedRunOptions,
    showing: o.DisplayOptions,
) -> None:
    """Score every sample by models that never saw it; `unseen select` chooses from the scores.

    Examples:
      unseen score photos/ --score el2n --score aum --repeats 3 --out runs/photos
      unseen score houses.parquet --target price --plan leave_one_out --out runs/houses
      unseen select runs/photos --keep 0.5 --score aum --rule beta --out half.parquet
    """
    given = dict(locals())
    from unseen.data import resolve
    from unseen.learners.base import default_learner

    exposure = scoring.exposure()
    source = resolve(data, cache=out_dir, **reading.given())
    learner = scoring.learner or default_learner(source)
    remembered = o.remembered("score", given, learner=learner)
    asks = measure(source, learner, running)
    with Reporter(quiet=showing.silent, run=out_dir, command=remembered, measure=asks) as report:
        table = unseen.score(
            source,
            scores=score or None,
            plan=exposure,
            learner=learner,
            groups=o.groups_of(scoring.groups),
            out=out_dir,
            report=report,
            **running.given(),
        )
    show(table, out_dir, json=showing.json)


def shown(run: Path, *, json: bool, no_report: bool = True) -> None:
    """Print what a finished run holds."""
    loaded: Any = unseen.load(run)
    show(loaded.scores, run, json=json)


def show(table: unseen.ScoreTable, run: Path, *, json: bool) -> None:
    """Print quantiles of every score."""
    import numpy as np

    from unseen.core.observation import meaning

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
