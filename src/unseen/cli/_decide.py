"""Before you decide: `unseen estimate`, what a scoring takes; `advise`, how much can go; `sweep`, by which method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import unseen
from unseen.cli import _options as o
from unseen.cli._console import (
    Reporter,
    out,
    print_json,
    print_lines,
    print_result,
    print_table,
    without_font_cache,
    write_page,
)
from unseen.core.words import percent


@o.subcommand("keep prune score learner plan folds repeats label target gpus jobs threads json")
def estimate(
    *,
    data: str = o.DATA_SET,
    reading: o.ReadingOptions,
    amount: o.AmountOptions,
    score: list[str] | None = o.SCORES,
    scoring: o.ScoringOptions,
    trainee: str | None = o.TRAINEE,
    gpus: int | None = o.option("N", "Number of GPUs, each training one fit, as fast as the one here.", o.RUNNING),
    jobs: int | None = o.option("N", "Fits trained at the same time on this machine, in place of --gpus.", o.RUNNING),
    threads: int | None = o.THREADS,
    seed: int = o.SEED,
    json: bool = o.JSON,
) -> None:
    """Predict time, GPU or core hours, memory and storage of a scoring, and when pruning pays, in half a minute.

    Examples:
      unseen estimate digits --learner mlp --keep 0.7
      unseen estimate photos/ --learner resnet50 --folds 5 --repeats 2 --keep 0.7 --gpus 8
      unseen estimate features/photos --learner ridge --plan leave_one_out
    """
    names = score or []
    found = unseen.estimate(
        data,
        score=names[0] if names else None,
        also=names[1:],
        learner=scoring.learner,
        trainee=trainee,
        gpus=gpus,
        jobs=jobs,
        threads=threads,
        seed=seed,
        **scoring.arguments(),
        **vars(amount),
        **reading.arguments(),
    )
    if json:
        print_json(found.to_json())
    else:
        print_lines([*found.lines(), *(("note", note) for note in found.notes)])


@o.subcommand("out_dir method margin quick test seeds fix learner trainee label jobs yes json")
def advise(
    *,
    data: str = o.DATA_SET,
    out_dir: Path = o.OUT,
    reading: o.ReadingOptions,
    method: str | None = o.option(
        "METHOD",
        "How coresets are chosen: plan/score/rule; see `unseen sweep`.",
        o.CHOICE,
        shown="as `unseen prune` chooses",
    ),
    margin: float = o.MARGIN,
    step: float = o.option("SHARE", "The shares tried are multiples of this.", o.CHOICE, default=0.1),
    quick: bool = o.option(
        None,
        "A cheap first answer: ridge regression on vectors or --features, an estimate under a linear head.",
        o.CHOICE,
        default=False,
        names="--quick",
    ),
    features: Path | None = o.FEATURES,
    testing: o.TestOptions,
    searching: int | None = o.option("N", "Replicates per share in the search.", o.TRAINING, shown="2; 5 with --quick"),
    learner: str | None = o.LEARNER,
    trainee: str | None = o.TRAINEE,
    groups: Literal["duplicates", "none"] = o.GROUPS,
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Find the largest share that can be pruned with a loss within the margin, and confirm it on fresh replicates.

    Examples:
      unseen advise digits --method el2n/top --margin 1 --out runs/advice
      unseen advise photos/ --features features.npy --quick --out runs/first
      unseen advise t.parquet --label y --test v.parquet --fix iterations --out runs/advice
    """
    given = dict(locals())
    from unseen.evaluating.advise import LEARNER
    from unseen.evaluating.methods import default_method

    source = reading.open(data, out_dir)
    method = method or default_method(source, learner)
    learner = learner or (LEARNER if quick else o.default_learner(source))
    with Reporter("advise", given, source, ask=not quick, learner=learner, method=method) as report:
        unseen.advise(
            source,
            method=method,
            margin=margin / 100,
            test=reading.open_test(testing.test, source, out_dir),
            trainee=trainee,
            step=step,
            quick=quick,
            searching=searching,
            features=o.read_features(features),
            groups=None if groups == "none" else groups,
            **testing.arguments(),
            **report.shared(),
        )
    print_advice(out_dir, json=showing.json, no_report=showing.no_report)


def print_advice(run: Path, *, json: bool, no_report: bool) -> None:
    """Print the advice of a run, after its page is written."""
    advice: Any = unseen.load(run)
    print_result(run, advice.to_json(), partial(describe_advice, advice), json=json, no_report=no_report)


def describe_advice(advice: unseen.Advice) -> list[tuple[str, str]]:
    """Describe the advice, line by line."""
    from unseen.evaluating.advise import TRAP

    kept = f"{advice.budget:,} of {advice.n:,} samples ({percent(advice.budget / advice.n)}) by {advice.method}"
    lines = []
    if advice.estimate is not None:
        lines.append(("note", f"{advice.estimate}, not of training a network: for that, leave --quick out"))
    if advice.difference is None:
        lines.append(("keep", "everything: no smaller share was confirmed"))
        lines.append(("last try", advice.verdict.text))
        if advice.verdict.word == "undecided":
            lines.append(("try", "--test with more samples, more --seeds, or a larger --margin"))
    else:
        lines.append(("keep", kept))
        fresh = f"{advice.difference.text(sign=True)} points on {advice.difference.n} fresh replicates"
        lines.append(("to full", f"{advice.verdict.text}; {fresh}"))
    if advice.beside_random is not None:
        lines.append(("to random", advice.beside_random.text))
    if "doubt" in advice.about:
        lines.append(("doubt", advice.about["doubt"]))
    lines.append(("fixed", f"{advice.about['fix']}; tested on {advice.about['test']}"))
    for tried in advice.tried:
        how = "confirming" if tried.confirming else "searching"
        lines.append((how, tried.text()))
    if advice.estimate is not None:
        lines.append(("trap", TRAP))
    return lines


@dataclass(frozen=True)
class SweepTestOptions(o.TestOptions):
    """How the coresets of a sweep are tested."""

    seeds: int = o.replicates(default=3)


@o.subcommand("out_dir method keep prune test seeds fix learner trainee label jobs yes json")
def sweep(
    *,
    data: str = o.DATA_SET,
    out_dir: Path = o.OUT,
    reading: o.ReadingOptions,
    method: list[str] | None = o.option(
        "METHOD",
        "How coresets are chosen: plan/score/rule, such as folds:k=2/el2n/top, seen/aum/beta or "
        "grow:steps=2/el2n/stratified; repeat for several. 'full' and 'random' are always there.",
        o.CHOICE,
        shown="as `unseen prune` chooses, and CCS, in-sample",
    ),
    keep: list[str] | None = o.option("AMOUNT", "How much to keep; repeat for several.", o.CHOICE),
    prune: list[str] | None = o.option("AMOUNT", "How much to remove, in place of --keep; repeat.", o.CHOICE),
    features: Path | None = o.FEATURES,
    testing: SweepTestOptions,
    learner: str | None = o.LEARNER,
    trainee: str | None = o.TRAINEE,
    groups: Literal["duplicates", "none"] = o.GROUPS,
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Compare methods at several budgets with random and with training on everything.

    Writes sweep.parquet, sweep.md, sweep.svg and report.html. The same command continues after a kill; with more
    methods, budgets or seeds it adds those.

    Examples:
      unseen sweep digits --prune 0.5 --out runs/first
      unseen sweep digits --method el2n/top --method seen/el2n/top --prune 0.5 --prune 0.8 --out runs/s
      unseen sweep t.parquet --label y --test v.parquet --method el2n/beta --prune 0.3 --out runs/t
    """
    given = dict(locals())
    from unseen.evaluating.methods import usual_methods

    source = reading.open(data, out_dir)
    learner = learner or o.default_learner(source)
    method = method or usual_methods(learner, source)
    with Reporter("sweep", given, source, learner=learner, method=method) as report:
        unseen.sweep(
            source,
            methods=method,
            keep=keep,
            prune=prune,
            test=reading.open_test(testing.test, source, out_dir),
            trainee=trainee,
            features=o.read_features(features),
            groups=None if groups == "none" else groups,
            **testing.arguments(),
            **report.shared(),
        )
    print_sweep(out_dir, json=showing.json, no_report=showing.no_report)


def print_sweep(run: Path, *, json: bool, no_report: bool) -> None:
    """Print accuracies by method and share pruned, after the table, figure and page of a run are written."""
    from unseen.core.files import replace_file
    from unseen.evaluating.sweep import FILE

    result: Any = unseen.load(run)
    files = {"table": run / FILE, "markdown": run / "sweep.md", "figure": run / "sweep.svg"}
    text = result.markdown() + "\n"
    replace_file(files["markdown"], lambda file: file.write(text.encode()))
    with without_font_cache():
        result.figure(files["figure"])
    if not no_report and (page := write_page(run)):
        files["report"] = page
    named = {name: str(path) for name, path in files.items()}
    if json:
        print_json({"run": str(run), "files": named, "cells": rows(result)})
        return
    table = result.rows()
    print_table(list(table[0]), [list(row.values()) for row in table])
    out.print(result.caption())
    print_lines(list(named.items()))


def rows(result: unseen.Sweep) -> list[dict[str, Any]]:
    """Return a row for each method and budget, as numbers."""
    from unseen.evaluating.statistics import interval

    found = []
    for name in result.methods:
        for budget in result.budgets:
            accuracies = result.accuracies(name, budget)
            if len(accuracies) == 0:
                continue
            around, change = interval(accuracies), result.to_random(name, budget)
            row = {"method": name, "budget": budget, "mean": around.mean, "low": around.low, "high": around.high}
            if change is not None:
                row |= {"to_random": change.mean, "to_random_low": change.low, "to_random_high": change.high}
            found.append(row)
    return found
