"""Does choosing pay on ResNet-18? CIFAR-10 and CIFAR-100, one data set and one pruning rate at a time.

    python benchmarks/quality/gpu_tier.py --plan                                    # order, trainings, predicted time
    python benchmarks/quality/gpu_tier.py --dataset cifar10 --prune 0.5 --minutes 8.5 --out DIR
    python benchmarks/quality/gpu_tier.py --out DIR                                 # the first slice not yet finished
    python benchmarks/quality/gpu_tier.py --toy --out DIR                           # all of it, tiny, on a CPU

Arms: everything, random, `seen` (the classic in-sample score), `unseen` (five folds) and `grown` (several steps), under
the same score and rule, three seeds that redraw scoring, selection and training. A slice is one data set at one rate,
by `unseen.sweep`; slices of a data set share their scorings and the training on everything, through the run in
`DIR/<dataset>-<recipe>-<fix>`. Without `--dataset` and `--prune` the slices come in the order of `--plan`: what matters
most first, and in a slice all arms of a seed before the next seed.

It may be stopped at any time and goes on where it was: inside a training after its last epoch, as long as DIR is kept
whole (a checkpoint of ResNet-18 takes 90 MB), else after the last finished training (everything in DIR but
`checkpoint.npz` files is small). `--minutes` stops it before the epoch that would end too late. After every cell that
is finished, `DIR/<dataset>-<recipe>-<fix>-<prune>.json` and `.parquet` hold all cells so far, with hardware, versions
and commit.

`--recipe fast` is the preset `resnet18_fast` (30 epochs, mixed precision), for breadth; `--recipe full` the usual 200
epochs, for a few headline cells. `--fix iterations` gives a coreset as many steps as everything gets; `--fix epochs`
trains less on less. They are different questions, kept in different folders.

Data: `cifar10-train.parquet`, `cifar10-test.parquet` and the same of CIFAR-100 in `--data`, each a file or a folder of
parquet files in order of their names; test images that are training images too (ten of CIFAR-100's) are left out.
What it costs: `--plan` measures an epoch and says. With iterations fixed, the
first slice of a data set comes to 36 trainings on everything (three seeds), each further one to 16.
Figures on a GPU are still to come.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import costs
import numpy as np

import unseen
from unseen.data import digits, resolve
from unseen.data.parts import Part
from unseen.engine.runs import Run
from unseen.engine.work import Training, Work
from unseen.evaluating.methods import FULL, Method
from unseen.evaluating.sweep import Cell

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import about, write

# Strata without a cutoff for all arms: one that suits in-sample scores is too large for held-out ones.
RULE = "el2n/stratified"
ARMS = {
    "unseen": f"folds:k=5/{RULE}",
    "seen": f"seen/{RULE}",
    "grown": f"grow/{RULE}",
}
RECIPES = {"fast": "resnet18_fast", "full": "resnet18:precision=bf16", "toy": "convnet:epochs=2,batch_size=16"}
SEEDS, RANDOM = 3, "random"
# The middle and the steep end of both data sets, then the rest.
ORDER = [(0.5, "cifar10"), (0.8, "cifar10"), (0.5, "cifar100"), (0.8, "cifar100"), (0.3, "cifar10"), (0.7, "cifar10")]
ORDER += [(0.9, "cifar10"), (0.3, "cifar100"), (0.7, "cifar100"), (0.9, "cifar100")]
TOY = [(0.5, "toy"), (0.8, "toy")]


class OutOfTimeError(Exception):
    """The next epoch would end too late."""


class Watch:
    """Takes the reports of a sweep: prints finished trainings, and stops in time."""

    def __init__(self, minutes: float | None) -> None:
        self.start = time.monotonic()
        self.end = self.start + 60 * minutes if minutes is not None else float("inf")

    def __call__(self, kind: str, **fields: Any) -> None:
        if kind == "fit_done":
            print(f"{time.monotonic() - self.start:7.0f} s  {fields['fit']}", flush=True)
        # The checkpoint of this epoch is saved already.
        if kind == "epoch" and time.monotonic() + fields["seconds"] + fields["observe_seconds"] > self.end:
            raise OutOfTimeError


@dataclass(frozen=True)
class Slice:
    """One data set at one pruning rate."""

    dataset: str
    recipe: str
    prune: float
    fix: str

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.recipe}-{self.fix}-{self.prune:g}"

    @property
    def folder(self) -> str:
        """What all rates share."""
        return f"{self.dataset}-{self.recipe}-{self.fix}"

    @property
    def path(self) -> str:
        """The file of its cells."""
        return f"{self.name}.parquet"

    def calls(self) -> Iterator[tuple[int, list[str]]]:
        """(replicates, methods) of one sweep after another, each adding one cell, the first also the baselines'."""
        lines = list(ARMS.values())
        for replicates in range(1, SEEDS + 1):
            yield from ((replicates, lines[:count]) for count in range(len(lines) + 1))


def main() -> None:
    given = arguments()
    slices = [
        Slice(dataset, "toy" if given.toy else given.recipe, prune, given.fix)
        for prune, dataset in (TOY if given.toy else ORDER)
        if given.dataset in (None, dataset) and given.prune in (None, prune)
    ]
    if given.plan:
        plan(slices, given)
        return
    watch, held = Watch(given.minutes), {}
    for one in slices:
        if not missing(kept(one, given.out), SEEDS, list(ARMS.values())):
            continue
        if one.dataset not in held:
            held = {one.dataset: read(one.dataset, given.data)}
        try:
            run(one, *held[one.dataset], given.out, watch)
        except OutOfTimeError:
            print(f"the minutes are used up in {one.name}; the same command goes on")
            return
    print("all of it is finished")


def run(one: Slice, train: Any, test: Any, out: Path, watch: Watch) -> None:
    """One slice, its cells kept as they come."""
    cells = kept(one, out)
    for replicates, lines in one.calls():
        if missing(cells, replicates, lines):
            result = unseen.sweep(
                train,
                methods=lines or [FULL],
                prune=[one.prune],
                test=test,
                overlap="drop",
                learner=RECIPES[one.recipe],
                seeds=replicates,
                fix=one.fix,
                out=out / one.folder,
                report=watch,
            )
            cells |= by_key(result)
            save(one, unseen.Sweep.of(list(cells.values()), result.about), out)
    print(f"\n{unseen.Sweep.load(out / one.path).markdown()}\n", flush=True)


def by_key(result: unseen.Sweep) -> dict[tuple[str, int], Cell]:
    """The cells of a sweep by method and replicate."""
    rows = zip(*(column.tolist() for column in result.columns.values()), strict=True)
    cells = [Cell(**dict(zip(result.columns, row, strict=True))) for row in rows]
    return {(cell.method, cell.replicate): cell for cell in cells}


def kept(one: Slice, out: Path) -> dict[tuple[str, int], Cell]:
    """The cells of a slice that earlier calls finished."""
    path = out / one.path
    return by_key(unseen.Sweep.load(path)) if path.exists() else {}


def missing(cells: dict[tuple[str, int], Cell], replicates: int, lines: list[str]) -> bool:
    """Whether a sweep of these would find a cell that is not there yet."""
    return any((line, r) not in cells for r in range(replicates) for line in (FULL, RANDOM, *lines))


def save(one: Slice, result: unseen.Sweep, out: Path) -> None:
    """As parquet, and as JSON with the setting."""
    arms = {line: arm for arm, line in ARMS.items()}
    columns = {name: column.tolist() for name, column in result.columns.items()}
    columns["arm"] = [arms.get(method, method) for method in columns["method"]]
    result.save(out / one.path)
    write("gpu_tier", {"slice": asdict(one), "cells": columns, "table": result.markdown()}, out / f"{one.name}.json")


def read(dataset: str, folder: Path | None) -> tuple[Any, Any]:
    """The training and the test set."""
    if dataset == "toy":
        data = digits(images=True)
        return Part(data, np.arange(300)), Part(data, np.arange(1000, 1200))
    if folder is None:
        sys.exit("--data must name the folder of data sets, or set UNSEEN_DATA")
    train, test = (resolve(folder / f"{dataset}-{part}.parquet") for part in ("train", "test"))
    return train, test


def plan(slices: list[Slice], given: argparse.Namespace) -> None:
    """Print every cell in order, with its trainings and predicted minutes."""
    speed, known, minutes = given.images_per_second, set[tuple[Any, ...]](), 0.0
    print(f"{'slice':30} {'seed':>4} {'arm':7} {'trainings':>9} {'minutes':>8} {'in all':>8}")
    for one in slices:
        train, test = read(one.dataset, given.data)
        work = Work(train, RECIPES[one.recipe], groups=None)
        if speed is None:
            speed = measured(train, RECIPES[one.recipe])
            print(f"# {speed:,.0f} images/s in training, measured on {about()['gpu'] or about()['processor']}")
        for seed, arm in product(range(SEEDS), (FULL, RANDOM, *ARMS)):
            todo = trainings(one, arm, seed, work, len(test), known)
            took = costs.total(todo) / speed / 60
            minutes += took
            print(f"{one.name:30} {seed:4} {arm:7} {len(todo):9} {took:8.1f} {minutes:8.1f}", flush=True)


def trainings(
    one: Slice, arm: str, seed: int, work: Work, tested: int, known: set[tuple[Any, ...]]
) -> list[costs.Training]:
    """What a cell trains beyond what the cells before it, now `known`, share with it."""
    n, method = len(work.data), Method.of(ARMS.get(arm, arm))
    budget = n if arm == FULL else n - round(one.prune * n)
    parts = {
        (one.folder, seed, arm, budget): [costs.test(work, budget, one.fix, n, tested)],
        # A plan of one step scores everybody, whatever the budget.
        (one.folder, seed, method.plan, budget if method.grows else None): costs.scorings(work, method, budget),
    }
    todo = [training for key, part in parts.items() if key not in known for training in part]
    known.update(parts)
    return todo


def measured(train: Any, recipe: str) -> float:
    """Images a second in the second epoch of a training on a part of the data; the first one warms up."""
    seconds: list[float] = []

    def note(kind: str, **fields: Any) -> None:
        if kind == "epoch":
            seconds.append(fields["seconds"])

    work = Work(train, recipe, groups=None, report=note)
    last = len(train) - 1
    rows = np.arange(min(last, 100 * work.learner.recipe.batch_size if about()["gpu"] else 768))
    with Run() as run:
        run.open({})
        training = Training("speed", rows, 0, work.learner.with_epochs(2))
        list(work.test(run, [training], np.array([last]), seed=0))
    return len(rows) / seconds[-1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--out", type=Path, help="folder that keeps everything")
    parser.add_argument("--dataset", choices=sorted({dataset for _, dataset in ORDER}))
    parser.add_argument("--prune", type=float, help="one rate of 0.3, 0.5, 0.7, 0.8, 0.9")
    parser.add_argument("--recipe", choices=["fast", "full"], default="fast")
    parser.add_argument("--fix", choices=["iterations", "epochs"], default="iterations")
    parser.add_argument("--minutes", type=float, help="stop in time")
    parser.add_argument("--plan", action="store_true", help="print the order and the predicted time, then stop")
    parser.add_argument("--images-per-second", type=float, help="for --plan, in place of a measured epoch")
    parser.add_argument("--toy", action="store_true", help="digits and the small convnet in place of the real thing")
    given = parser.parse_args()
    if given.out is None and not given.plan:
        parser.error("--out must name the folder that keeps everything")
    return given


if __name__ == "__main__":
    main()
