"""`unseen sweep`: methods by budgets by replicates, each coreset trained on and tested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, aligned, grid, measure, out, print_json
from unseen.cli._report import drawing
from unseen.cli._report import written as page_written
from unseen.cli._subcommand import subcommand

if TYPE_CHECKING:
    from unseen.core.protocols import Data

# Beside the way of `unseen prune`: CCS, the method of others that did best in docs/results.md, by the in-sample margin;
# `aum` is its mean over epochs, where there are several.
PEER, PEER_IN_ONE_EPOCH = "seen/aum/stratified:cutoff=0", "seen/label_margin:space=logits/stratified:cutoff=0"

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="How coresets are chosen: plan/score/rule, such as folds:k=2/el2n/top, seen/aum/beta or "
        "grow:steps=2/el2n/stratified; repeat for several. 'full' and 'random' are always there.",
        show_default="as `unseen prune` chooses, and CCS, in-sample",
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


@dataclass(frozen=True)
class SweepTestOptions(o.TestOptions):
    """How the coresets of a sweep are tested."""

    seeds: o.Seeds = 3


@subcommand("out_dir method keep prune test seeds fix learner trainee label jobs yes json")
def command(
    data: o.Source,
    out_dir: o.Out,
    reading: o.LabelOptions,
    method: Methods = None,
    keep: Keeps = None,
    prune: Prunes = None,
    features: o.Features = None,
    *,
    testing: SweepTestOptions,
    learner: o.Learner = None,
    trainee: o.Trainee = None,
    groups: o.Groups = "duplicates",
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Try methods at several budgets, beside everything and random: which one, and what does pruning cost?

    Writes sweep.parquet (a row a cell), sweep.md, sweep.svg and its page, report.html. The same command goes on after
    a kill, cell by cell; with more methods, budgets or seeds it adds those.

    Examples:
      unseen sweep digits --prune 0.5 --out runs/first
      unseen sweep digits --method el2n/top --method seen/el2n/top --prune 0.5 --prune 0.8 --out runs/s
      unseen sweep t.parquet --label y --test v.parquet --method el2n/beta --prune 0.3 --out runs/t
    """
    given = dict(locals())
    from unseen.data import resolve
    from unseen.learners.base import DEFAULTS

    read = reading.given()
    source = resolve(data, cache=out_dir, **read)
    learner = learner or DEFAULTS[source.kind]
    method = method or usual_methods(learner, source)
    remembered = o.remembered("sweep", given, learner=learner, method=method)
    asks = measure(source, trainee or learner, running)
    with Reporter(quiet=showing.silent, run=out_dir, command=remembered, measure=asks) as report:
        result = unseen.sweep(
            source,
            methods=method,
            keep=o.amounts(keep, "keep"),
            prune=o.amounts(prune, "prune"),
            test=None if testing.test is None else resolve(testing.test, cache=out_dir, **read),
            learner=learner,
            trainee=trainee,
            features=o.array_or_none(features),
            groups=o.groups_of(groups),
            out=out_dir,
            report=report,
            **testing.given(),
            **running.given(),
        )
    tell(result, out_dir, json=showing.json, no_report=showing.no_report)


def usual_methods(learner: str, data: Data) -> list[str]:
    """Return the methods that are compared where none is named: the way of `unseen prune`, and the best peer."""
    from unseen.evaluating.methods import DEFAULT
    from unseen.learners.registry import resolve

    return [DEFAULT, PEER if (resolve(learner, data).epochs or 1) > 1 else PEER_IN_ONE_EPOCH]


def tell(result: unseen.Sweep, run: Path, *, json: bool, no_report: bool) -> None:
    """Print the result, after its table, figure and page are written."""
    files = written(result, run)
    if page := page_written(run, skip=no_report):
        files["report"] = str(page)
    if json:
        print_json({"run": str(run), "files": files, "cells": rows(result)})
    else:
        show(result, files)


def shown(run: Path, *, json: bool, no_report: bool) -> None:
    """Print what a finished run holds."""
    loaded: Any = unseen.load(run)
    tell(loaded, run, json=json, no_report=no_report)


def written(result: unseen.Sweep, folder: Path) -> dict[str, str]:
    """Write the files of a sweep, and return where they are."""
    from unseen.core.files import replace_file
    from unseen.evaluating.sweep import FILE

    files = {"table": folder / FILE, "markdown": folder / "sweep.md", "figure": folder / "sweep.svg"}
    text = result.markdown() + "\n"
    replace_file(files["markdown"], lambda file: file.write(text.encode()))
    with drawing():
        result.figure(files["figure"])
    return {name: str(path) for name, path in files.items()}


def rows(result: unseen.Sweep) -> list[dict[str, Any]]:
    """Return a row for each method and budget, as numbers."""
    from unseen.evaluating.statistics import interval, paired

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
    """Print accuracies by method and share pruned."""
    n = result.about["n"]
    columns = ["method", *(f"{100 * (1 - b / n):.3g} % pruned" for b in result.budgets)]
    grid(columns, [[name, *(result.entry(name, b) for b in result.budgets)] for name in result.methods])
    out.print(result.caption())
    aligned(list(files.items()))
