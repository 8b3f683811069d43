"""`unseen sweep`: methods by budgets by replicates, each coreset trained on and tested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli import _options as r
from unseen.cli._console import Reporter, aligned, grid, out, print_json
from unseen.cli._report import drawing
from unseen.core.files import replace_file
from unseen.data import resolve
from unseen.evaluating.statistics import interval, paired
from unseen.evaluating.sweep import FILE
from unseen.learners.base import DEFAULTS

Methods = Annotated[
    list[str],
    typer.Option(
        "--method",
        metavar="METHOD",
        help="How coresets are chosen: plan/score/rule, such as folds:k=2/el2n/top, seen/aum/beta or "
        "grow:steps=2/el2n/stratified; repeat for several. 'full' and 'random' are always there.",
        rich_help_panel=o.CHOICE,
    ),
]
Keeps = Annotated[
    list[str] | None,
    typer.Option("--keep", metavar="AMOUNT", help="How much to keep; repeat for several.", rich_help_panel=o.CHOICE),
]
Prunes = Annotated[
    list[str] | None,
    typer.Option(
        "--prune", metavar="AMOUNT", help="How much to remove, in place of --keep; repeat.", rich_help_panel=o.CHOICE
    ),
]


@r.reads_labels
def command(
    data: o.Source,
    out_dir: o.Out,
    method: Methods,
    keep: Keeps = None,
    prune: Prunes = None,
    features: o.Features = None,
    test: o.Test = None,
    probe: o.Probe = 0.2,
    overlap: o.Overlap = "refuse",
    seeds: o.Seeds = 3,
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
    """Try methods at several budgets, beside everything and random: which one, and what does pruning cost?

    Writes sweep.parquet (a row a cell), sweep.md and sweep.svg. The same command goes on after a kill,
    cell by cell; with more methods, budgets or seeds it adds those.

    Examples:
      unseen sweep digits --method el2n/top --method seen/el2n/top --prune 0.5 --prune 0.8 --out runs/sweep
      unseen sweep t.parquet --label y --test v.parquet --method el2n/stratified --prune 0.3 --out runs/s
    """
    given = dict(locals())
    read = r.options(reading)
    source = resolve(data, **read)
    given["learner"] = learner = learner or DEFAULTS[source.kind]
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("sweep", given)) as report:
        result = unseen.sweep(
            source,
            methods=method,
            keep=o.amounts(keep, "keep"),
            prune=o.amounts(prune, "prune"),
            test=None if test is None else resolve(test, **read),
            probe=probe,
            overlap=overlap,
            learner=learner,
            trainee=trainee,
            seeds=seeds,
            fix=fix,
            features=None if features is None else o.array(features),
            groups="duplicates" if groups == "duplicates" else None,
            seed=seed,
            out=out_dir,
            executor=o.executor_at(executor, address),
            jobs=jobs,
            threads=threads,
            report=report,
        )
    tell(result, out_dir, json=json)


def tell(result: unseen.Sweep, run: Path, *, json: bool) -> None:
    """The result, after its table and figure are written."""
    files = written(result, run)
    if json:
        print_json({"run": str(run), "files": files, "cells": rows(result)})
    else:
        show(result, files)


def shown(run: Path, *, json: bool, no_report: bool = True) -> None:
    """What a finished run holds."""
    loaded: Any = unseen.load(run)
    tell(loaded, run, json=json)


def written(result: unseen.Sweep, folder: Path) -> dict[str, str]:
    """The files of a sweep, and where they are."""
    files = {"table": folder / FILE, "markdown": folder / "sweep.md", "figure": folder / "sweep.svg"}
    text = result.markdown() + "\n"
    replace_file(files["markdown"], lambda file: file.write(text.encode()))
    with drawing():
        result.figure(files["figure"])
    return {name: str(path) for name, path in files.items()}


def rows(result: unseen.Sweep) -> list[dict[str, Any]]:
    """A row for each method and budget, as numbers."""
    found = []
    for name in result.methods:
        for budget in result.budgets:
            mine = result.accuracies(name, budget)
            if len(mine) == 0:
                continue
            around = interval(mine)
            row = {"method": name, "budget": budget, "mean": around.mean, "low": around.low, "high": around.high}
            beside = result.accuracies("random", budget)
            if name != "random" and len(beside) == len(mine):
                change = paired(mine, beside)
                row |= {"to_random": change.mean, "to_random_low": change.low, "to_random_high": change.high}
            found.append(row)
    return found


def show(result: unseen.Sweep, files: dict[str, str]) -> None:
    """Accuracies by method and share pruned."""
    n = result.about["n"]
    columns = ["method", *(f"{100 * (1 - b / n):.3g} % pruned" for b in result.budgets)]
    grid(columns, [[name, *(result.entry(name, b) for b in result.budgets)] for name in result.methods])
    out.print(result.caption())
    aligned(list(files.items()))
