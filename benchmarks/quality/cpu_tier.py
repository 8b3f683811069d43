"""Every method of the library on frozen features, and a few on images: what does choosing give, beside random?

    python benchmarks/quality/cpu_tier.py --cache FOLDER --out FOLDER --sets cifar10 adult [--part report]
    python benchmarks/quality/cpu_tier.py --cache FOLDER --out FOLDER --sets convnet --images TRAIN TEST
    python benchmarks/quality/cpu_tier.py --cache FOLDER --out FOLDER --sets digits --short      # the cell of CI

`--cache` is where `features.py` has put its features; `--out` keeps every training, so a run broken off goes on.

Protocol, the same for every method: a fixed number of iterations (a coreset gets as many steps as everything), the
accuracy after the last epoch on the test part, five replicates that redraw scoring, selection and training; random and
everything on the same replicates, so that differences are paired.

- `--part report` takes other rows and another root seed than `--part tuning`, which tries rules and cutoffs only.
  Defaults of the library were chosen on the tuning part; the tables of results.md beside this file come from the
  report part.
- `cifar10`, `sst2`, `adult`: 5,000 training rows; `digits`: all; head of one hidden layer (`heads.py`), in batches
  of 256, for the digits of 64.
- `convnet`: 5,000 images of CIFAR-10, the preset `convnet`, the methods that the first tier leaves in question.

Says first how many trainings it will do and how long they take, by one that it times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import unseen
from unseen.data import from_arrays, from_parquet
from unseen.data.parts import Joined, Part
from unseen.engine.runs import Run
from unseen.engine.work import Training
from unseen.evaluating.methods import Method
from unseen.evaluating.trials import Trials
from unseen.learners import Recipe, TorchLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
import features as frozen

from setting import write

RATES = [0.3, 0.5, 0.7, 0.8, 0.9]
SEEDS = 5
SCORES = ["el2n", "loss", "entropy", "margin", "aum", "forgetting", "correctness", "variability", "dyn_unc:window=5"]
SCORES += ["dual:window=5", "tdds:window=5"]
CUT = ["el2n", "aum"]  # the scores whose cutoffs are searched
CUTOFFS = [0.1, 0.3, "error"]


def scored(plan: str, scores: list[str], rules: list[str]) -> list[str]:
    return [f"{plan}/{score}/{rule}" for score in scores for rule in rules]


BASELINES = ["random:quota=proportional"]
WIDE = [
    *(line for plan in ("seen", "folds:k=5") for line in scored(plan, SCORES, ["top", "stratified"])),
    *(
        line
        for plan in ("seen", "folds:k=5")
        for line in scored(plan, CUT, [f"stratified:cutoff={cutoff}" for cutoff in CUTOFFS])
    ),
    *scored("seen", ["dual:window=5"], ["beta"]),
    *scored("folds:k=5", ["dual:window=5"], ["beta"]),
]
# How many folds; folds or repeats at equal cost; both sides; alignment.
COST = [
    line
    for plan in ("folds:k=2", "folds:k=10", "folds:k=2,repeats=5", "folds:k=5,repeats=2")
    for line in scored(plan, ["el2n"], ["top", "stratified"])
] + ["folds:k=5/el2n/top:align=none", "halves/holdout_gap/top"]
STEPS = [
    "grow/el2n/stratified:cutoff=auto",
    "grow:steps=2/el2n/stratified:cutoff=auto",
    "grow:start=0.5/el2n/stratified:cutoff=auto",
]
GEOMETRY = ["herding", "k_center", "moderate", "dedup"]
# The scores and rules that are left, so that every one of the library is in the tables.
OTHER_SCORES = ["least_confidence", "label_margin", "confidence", "grand", "grand_last_layer"]
TWO_SIDED = ["memorization", "holdout_gap", "reducible:epoch=3", "disagreement"]
OTHERS = [
    *(line for plan in ("seen", "folds:k=5") for line in scored(plan, OTHER_SCORES, ["top", "stratified"])),
    *scored("halves:repeats=5", TWO_SIDED, ["top", "stratified"]),
]
OTHER_RULES = [
    line
    for plan in ("seen", "folds:k=5")
    for line in scored(plan, ["el2n"], ["window:offset=0.1", "window:offset=0.3", "graph", "infomax"])
]
IMAGES = [
    *scored("seen", CUT, ["stratified"]),
    *scored("folds:k=5", CUT, ["stratified"]),
    *scored("grow", CUT, ["stratified"]),
]
SETS: dict[str, tuple[list[str], list[float]]] = {
    "cifar10": ([*BASELINES, *WIDE, *COST, *STEPS, *GEOMETRY, *OTHERS, *OTHER_RULES], RATES),
    "adult": ([*BASELINES, *WIDE, *STEPS, *OTHERS], [0.3, 0.8]),
    "sst2": ([*BASELINES, *WIDE, *STEPS, *OTHERS], [0.3, 0.8]),
    "digits": ([*BASELINES, *WIDE, *STEPS, *OTHERS], [0.3, 0.8]),
    "convnet": (IMAGES, [0.3, 0.8]),
}
# What the defaults of the library are chosen from: rules and cutoffs under held-out scores, at every rate.
CHOICES = ["top", "stratified", *(f"stratified:cutoff={cutoff}" for cutoff in (0.1, 0.2, 0.3, "error"))]
TUNED = scored("folds:k=5", ["el2n", "aum", "entropy"], CHOICES)
TUNED += scored("grow", ["el2n"], CHOICES[1:])
SHORT = (["seen/el2n/top", "folds:k=2/el2n/top", "grow:steps=2/el2n/top"], [0.5])
ROWS = {"tuning": slice(0, 5_000), "report": slice(10_000, 15_000)}
SEED = {"tuning": 1, "report": 2}


def learner(name: str, *, short: bool) -> TorchLearner:
    if name == "convnet":
        return TorchLearner(Recipe.named("convnet", threads=1), device="cpu")
    # The smallest coreset of the digits is below a batch of 256.
    batch = 64 if short or name == "digits" else 256
    recipe = Recipe(network="heads:head", epochs=3 if short else 12, lr=0.2, warmup=0.1, threads=1, batch_size=batch)
    return TorchLearner(recipe, device="cpu")


def opened(name: str, part: str, cache: Path, images: list[Path]) -> tuple[Any, Any]:
    """Training rows of this part, and the test rows."""
    if name == "convnet":
        train, test = (from_parquet(path) for path in images)
        rows = np.arange(len(train))[ROWS[part]]
        return Part(train, rows), Part(test, np.arange(5_000))
    split = frozen.load(cache / f"{name}.npz")
    rows = slice(None) if name == "digits" else ROWS[part]
    return from_arrays(split.X[rows], split.y[rows]), from_arrays(split.X_test[:10_000], split.y_test[:10_000])


def run(name: str, part: str, cache: Path, out: Path, images: list[Path], *, seeds: int, short: bool) -> Path:
    train, test = opened(name, part, cache, images)
    methods, rates = SETS[name]
    if short:
        methods, rates = SHORT
    elif part == "tuning":
        methods, rates = TUNED, [0.3, 0.5, 0.8]
    who = learner(name, short=short)
    given = None if name == "convnet" else train.take(np.arange(len(train)))
    print(f"{name}, {part}: {len(train):,} samples, {len(methods)} methods, {len(rates)} rates, {seeds} replicates")
    print(predicted(train, test, who, methods, rates, seeds), flush=True)
    started = time.perf_counter()
    result = unseen.sweep(
        train, methods=methods, prune=rates, test=test, learner=who, seeds=seeds, fix="iterations", features=given,
        seed=SEED[part], overlap="drop", out=out / f"{name}-{part}",
    )  # fmt: skip
    cells: dict[str, dict[str, list[float]]] = {}
    for method in result.methods:
        budgets = [result.about["n"]] if method == "full" else result.budgets
        cells[method] = {str(b): result.accuracies(method, b).tolist() for b in budgets}
    written = write(
        f"quality_{name}_{part}",
        {
            "n": result.about["n"],
            "n_test": result.about["n_test"],
            "recipe": who.recipe.describe(),
            "fix": "iterations",
            "seeds": seeds,
            "seed": SEED[part],
            "part": part,
            "accuracy": cells,
            "training_seconds": float(result.times["seconds"].sum()),
            "wall_seconds_of_the_last_call": time.perf_counter() - started,
        },
        out / f"quality_{name}_{part}.json",
    )
    print(result.markdown(), flush=True)
    return written


def predicted(train: Any, test: Any, who: TorchLearner, methods: list[str], rates: list[float], seeds: int) -> str:
    """How long it will take, by one training."""
    lines = [Method.of(method) for method in methods]
    needs = any("features" in line.choice().rule.needs for line in lines if line.rule)
    given = train.take(np.arange(len(train))) if needs else None
    trials = Trials(train, test, lines, run=Run(), about={}, learner=who, fix="iterations", features=given, seed=0)
    budgets = [trials.budget(prune=rate) for rate in rates]
    count = seeds * (trials.scorings(lines, budgets) + len(lines) * len(rates) + len(rates) + 1)
    joined = Joined(train, test)
    start = time.perf_counter()
    trials.open()
    everything = Training("timed", np.arange(len(train)), 0, trials.trainer.learner)
    list(trials.trainer.test(trials.run, [everything], joined.test_rows, seed=0))
    each = time.perf_counter() - start
    return f"{count:,} trainings of about {each:.1f} s at most: {count * each / 60:.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every training, and the results")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--part", choices=list(ROWS), default="report")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--images", type=Path, nargs=2, metavar=("TRAIN", "TEST"), help="CIFAR-10, for convnet")
    parser.add_argument("--short", action="store_true", help="a few small cells, to see that it runs")
    given = parser.parse_args()
    for name in given.sets:
        path = run(name, given.part, given.cache, given.out, given.images or [], seeds=given.seeds, short=given.short)
        print(json.dumps({"result": os.fspath(path)}))


if __name__ == "__main__":
    main()
