"""Does choosing pay with a real network on all 50,000 images of CIFAR-10 and CIFAR-100, on one core?

    python benchmarks/quality/real_networks.py --data FOLDER --out FOLDER --plan             # cells, predicted hours
    python benchmarks/quality/real_networks.py --data FOLDER --out FOLDER --hours 5
    python benchmarks/quality/real_networks.py --data FOLDER --out FOLDER --sets cifar100 --fix iterations
    python benchmarks/quality/real_networks.py --out FOLDER --sets toy --seeds 1 --keeps 0.5     # digits, seconds

Arms:
- `full`: everything;
- `random`: as many samples, classes in proportion;
- `peer`: the best in-sample peer, CCS: `aum` of a model of everything, strata less the published cutoff;
- `default`: `unseen.select` with no rule named, from `halves`, as `unseen.prune` chooses;
- `short`: the default, from models trained for a quarter of the epochs;
- `steps`: several steps, as `--steps` names them (`"grow/el2n/stratified:cutoff=auto"`); left out if it does not.

The network is the preset `convnet7`, which scores and is trained on what was chosen: seven convolutions in bfloat16,
one thread. A seed draws scoring, selection and training anew; all arms of a seed share initial weights and the order of
common samples, so their accuracies compare in pairs. Accuracy is that of the last epoch, on the test images less exact
copies of training images (none of CIFAR-10, ten of CIFAR-100). `--fix epochs` trains as many epochs on less,
`iterations` as many steps; both share the scorings.

`--data` holds `cifar10-train.parquet`, `cifar10-test.parquet` and the same of CIFAR-100. `--out` keeps everything: a
run broken off goes on after the last epoch; `--hours` stops it before the epoch that would end too late. Every finished
cell is a line of `OUT/<set>.jsonl`, and all of them are written to benchmarks/results/real_networks_<set>.json (or
`--json`) with hardware, versions and commit. A cell of `default`, `short` or `steps` is trained
again where the library has come to choose otherwise. A cell says what choosing cost: samples trained on and looked at,
and seconds of the scoring, which all budgets of a seed share (each budget of several steps has its own).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any

import costs
import numpy as np
from gpu_tier import OutOfTimeError, Watch, measured

import unseen
from unseen.data import digits, from_arrays, from_parquet
from unseen.data.parts import Part
from unseen.engine.runs import RunDirectory
from unseen.engine.runs.base import EventLog, spent
from unseen.engine.scoring import versions
from unseen.engine.work import Outcome, Training, Work
from unseen.evaluating.methods import Method, Selector
from unseen.evaluating.test_set import split_by_test_set
from unseen.learners import Recipe, TorchLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import RESULTS, about, write

ARMS = ("full", "random", "peer", "default", "short", "steps")
SETS = ("cifar10", "cifar100", "toy")
FOLLOWS = ("default", "short", "steps")  # chosen anew at each call: done again if the library now chooses otherwise
FIXES = ("epochs", "iterations")
KEEPS, SEEDS = [0.7, 0.5, 0.3], 3
PLAN = "halves"
READ = ["el2n", "memorization", "label_issue"]  # by the default rule of `unseen.prune`
# Share pruned to cutoff of CCS, Zheng et al. 2023 (arXiv 2210.15809).
CUTOFFS = {
    "cifar10": {0.3: 0.0, 0.5: 0.0, 0.7: 0.1, 0.8: 0.1, 0.9: 0.3},
    "cifar100": {0.3: 0.1, 0.5: 0.2, 0.7: 0.2, 0.8: 0.4, 0.9: 0.5},
}
CUTOFFS["toy"] = CUTOFFS["cifar10"]


@dataclass(frozen=True)
class Cell:
    """One training on one coreset."""

    fix: str
    seed: int
    arm: str
    keep: float

    @property
    def name(self) -> str:
        return f"{self.fix}-s{self.seed}-{self.arm}-{self.keep:g}"

    @classmethod
    def of(cls, line: dict[str, Any]) -> Cell:
        return cls(line["fix"], line["seed"], line["arm"], line["keep"])


def planned(given: argparse.Namespace) -> list[Cell]:
    """All cells, a seed after the other, so that every arm is soon there once."""
    cells = []
    for seed, fix in product(range(given.seeds), given.fix):
        cells += [Cell(fix, seed, "full", 1.0)] * ("full" in given.arms)
        arms = [arm for arm in given.arms if arm != "full" and (arm != "steps" or given.steps)]
        cells += [Cell(fix, seed, arm, keep) for keep, arm in product(given.keeps, arms)]
    return cells


class Tier:
    """One data set: chooses, trains, tests, and keeps each cell.

    Args:
        name: of the data set.
        given: the arguments.
        watch: takes reports, and stops in time.

    """

    def __init__(self, name: str, given: argparse.Namespace, watch: Watch) -> None:
        self.name, self.given, self.watch = name, given, watch
        self.folder, self.lines = given.out / name, EventLog(given.out / f"{name}.jsonl")
        recipe = Recipe.named("mlp", epochs=2, batch_size=16) if name == "toy" else Recipe.named("convnet7")
        self.train, test = read(name, given.data)
        self.exam = split_by_test_set(self.train, test, overlap="drop")
        self.learner = TorchLearner(recipe, device="cpu").with_threads(1)
        brief = TorchLearner(replace(recipe, epochs=math.ceil(recipe.epochs / 4)), device="cpu").with_threads(1)
        self.scorer = Work(self.train, self.learner, threads=1, report=watch)
        self.brief = Work(self.train, brief, threads=1, report=watch)
        self.trainer = Work(self.exam.data, self.learner, groups=None, threads=1, report=watch)

    def method(self, cell: Cell) -> Method:
        """How the arm chooses, in a line; of the default only the plan and the score count."""
        if cell.arm == "peer":
            cutoffs = CUTOFFS[self.name]
            prune = round(1 - cell.keep, 6)
            if prune not in cutoffs:
                sys.exit(f"no published cutoff of the peer at keep {cell.keep:g}; keeps: {[1 - p for p in cutoffs]}")
            return Method.of(f"seen/aum/stratified:cutoff={cutoffs[prune]}")
        lines = {"full": "full", "random": "random:quota=proportional", "steps": self.given.steps}
        return Method.of(lines.get(cell.arm, f"{PLAN}/el2n/stratified"))

    def budget(self, cell: Cell) -> int:
        return len(self.train) if cell.arm == "full" else round(cell.keep * len(self.train))

    def priced(self, cell: Cell) -> tuple[list[costs.Training], costs.Training]:
        """The trainings that choosing takes, and the one on what was chosen."""
        method, budget = self.method(cell), self.budget(cell)
        test = costs.test(self.trainer, budget, cell.fix, len(self.train), len(self.exam.test))
        return costs.scorings(self.brief if cell.arm == "short" else self.scorer, method, budget), test

    def chosen(self, cell: Cell) -> tuple[np.ndarray, dict[str, Any]]:
        """Rows of the coreset, and what choosing them took."""
        method, budget = self.method(cell), self.budget(cell)
        scorings, _ = self.priced(cell)
        found: dict[str, Any] = {"models": len(scorings), "seconds": 0.0}
        found |= {name: sum(getattr(one, name) for one in scorings) for name in ("trained", "watched")}
        if cell.arm in ("default", "short"):
            path = self.folder / f"{cell.arm}-s{cell.seed}"
            learner = (self.brief if cell.arm == "short" else self.scorer).learner
            table = unseen.score(
                self.train, scores=READ, learner=learner, seed=cell.seed, out=path, threads=1, report=self.watch
            )
            coreset = unseen.select(table, keep=budget, seed=cell.seed)
            found |= {"seconds": sum(spent(RunDirectory(path).events()).values())}
            found |= {"method": f"{PLAN}/{next(iter(table.scores))}", "rule": coreset.provenance["rule"]}
            found |= {"options": coreset.provenance.get("options")}
            found |= {"held_out_accuracy": float(np.mean(table.predictions == table.labels))}
            return coreset.indices, found
        with RunDirectory(self.folder / "chosen") as run:
            run.open(self.manifest())
            selector = Selector(self.scorer, [method], run=run, seed=0)
            selector.check(method, budget)
            rows = selector.rows(method, budget, cell.seed)
            parts = [f"{part}-r{cell.seed}" for part in selector.trainings(method, budget)]
            logs = [log for part in parts for log in (run.path / "parts" / part).rglob("events.jsonl")]
            seconds = sum(sum(spent(RunDirectory(log.parent).events()).values()) for log in logs)
            return rows, {**found, "method": method.text, "seconds": seconds}

    def run(self, cell: Cell) -> dict[str, Any]:
        """The line of a cell."""
        rows, choosing = self.chosen(cell)
        who = self.trainer.adapt_learner(cell.fix, len(rows), len(self.train))
        name, outcome, seconds = self.test(rows, who, cell.seed)
        labels = self.exam.data.labels[self.exam.test]
        classes = range(len(self.train.class_names))
        kept = np.bincount(self.train.labels[rows], minlength=len(classes))
        return {
            "set": self.name,
            **asdict(cell),
            "training": name,
            "budget": len(rows),
            "accuracy": outcome.accuracy,
            "loss": float(outcome.losses.mean()),
            "recall": [float(outcome.quality[labels == c].mean()) for c in classes],
            "kept_of_class": kept.tolist(),
            "epochs": who.epochs,
            "samples_seen": outcome.samples_seen,
            "seconds": seconds,
            "choosing": choosing,
            "processor": about()["processor"],
            "commit": about()["commit"],
        }

    def test(self, rows: np.ndarray, who: TorchLearner, seed: int) -> tuple[str, Outcome, float]:
        """Train on some rows; the training's name, how it does on the test images, and the seconds it took."""
        with RunDirectory(self.folder / "tests") as run:
            run.open(self.manifest())
            # By what is trained: everything is the same training, whatever is fixed.
            name = f"s{seed}-e{who.epochs}-{blake2b(rows.astype(np.int64).tobytes(), digest_size=8).hexdigest()}"
            ((_, outcome),) = self.trainer.test(run, [Training(name, rows, seed, who)], self.exam.test, seed=0)
            return name, outcome, spent(run.events())[name]

    def manifest(self) -> dict[str, Any]:
        """What all cells of a data set have in common."""
        return {
            "format": 1,
            "versions": versions(),
            "learner": self.learner.describe(),
            "fingerprint": self.trainer.samples.fingerprint,
        }

    def kept(self) -> dict[Cell, dict[str, Any]]:
        """The cells finished before."""
        self.lines.repair()
        path = self.lines.path
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return {Cell.of(line): line for line in lines}

    def save(self, cells: dict[Cell, dict[str, Any]]) -> Path:
        """Every cell of the data set so far, with the setting."""
        result = {
            "set": self.name,
            "n": len(self.train),
            "n_test": len(self.exam.test),
            "learner": self.learner.describe(),
            "training": {"samples": len(self.train) * (self.learner.epochs or 1)},
            "cells": list(cells.values()),
        }
        folder = self.given.json or (self.given.out if self.name == "toy" else RESULTS)
        return write(f"real_networks_{self.name}", result, folder / f"real_networks_{self.name}.json")

    def speed(self, cells: dict[Cell, dict[str, Any]]) -> float:
        """Images a second, of the cells done or of a short training."""
        if not cells:
            return measured(self.train, self.learner)
        done = cells.values()
        return sum(line["samples_seen"] for line in done) / sum(line["seconds"] for line in done)

    def shared(self, cell: Cell) -> tuple[Any, ...]:
        """Cells for which this is equal share a scoring; of `full`, the training."""
        return cell.seed, cell.arm, cell.keep if cell.arm == "steps" else None

    def outlook(self, todo: Sequence[Cell], done: Iterable[Cell], speed: float) -> float:
        """Print every cell to do with the hours it takes; their sum."""
        # Scorings, and trainings on everything, that cells share; one broken off counts as a whole.
        scored = {self.shared(cell) for cell in done}
        hours = 0.0
        for cell in todo:
            scorings, test = self.priced(cell)
            key = self.shared(cell)
            trained = [] if key in scored else scorings
            if cell.arm != "full" or key not in scored:
                trained = [*trained, test]
            took = costs.total(trained) / speed / 3600
            scored.add(key)
            hours += took
            print(f"  {self.name:9} {cell.name:32} {took:6.2f} h {hours:7.2f} h in all", flush=True)
        return hours


def read(name: str, folder: Path | None) -> Iterator[Any]:
    """The training and the test set, decoded once and held."""
    if name == "toy":
        data = digits(images=True)
        yield from (Part(data, np.arange(300)), Part(data, np.arange(1000, 1200)))
        return
    if folder is None:
        sys.exit("--data must name the folder of data sets, or set UNSEEN_DATA")
    for part in ("train", "test"):
        stored = from_parquet(folder / f"{name}-{part}.parquet")
        inputs = stored.take(np.arange(len(stored)))
        yield from_arrays(inputs, stored.labels, class_names=stored.class_names)


def main() -> None:
    given = arguments()
    watch, everything = Watch(60 * given.hours if given.hours is not None else None), planned(given)
    for name in given.sets:
        tier = Tier(name, given, watch)
        done = tier.kept()
        todo = [cell for cell in everything if cell not in done]
        print(f"{name}: {len(everything)} cells, {len(everything) - len(todo)} of them done", flush=True)
        hours = tier.outlook(todo, done, tier.speed(done))
        print(f"{name}: {len(todo)} cells to do, predicted {hours:.1f} h", flush=True)
        if given.plan:
            continue
        for cell in everything:
            if cell in done and cell.arm not in FOLLOWS:
                continue
            try:
                line = tier.run(cell)
            except OutOfTimeError:
                print(f"the hours are used up in {name} {cell.name}; the same command goes on")
                return
            if line["training"] == done.get(cell, {}).get("training"):
                continue
            done[cell] = line
            tier.lines.append(line)
            tier.save(done)
            print(f"{time.strftime('%H:%M')} {name} {cell.name}: {100 * line['accuracy']:.2f} %", flush=True)
        print(json.dumps({"result": os.fspath(tier.save(done))}), flush=True)
    if not given.plan:
        print("all of it is finished")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--json", type=Path, help="folder of the result files; default: benchmarks/results")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS[:2]))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--keeps", nargs="+", type=float, default=KEEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--fix", nargs="+", choices=FIXES, default=["epochs"])
    parser.add_argument("--steps", metavar="METHOD", help="how the arm `steps` chooses; left out if not given")
    parser.add_argument("--hours", type=float, help="stop in time")
    parser.add_argument("--plan", action="store_true", help="print the cells and the predicted hours, then stop")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    return given


if __name__ == "__main__":
    main()
