"""Is the default worse than random on a few hundred rows, or by estimators other than networks?

    python benchmarks/quality/small_data.py --data FOLDER --cache FOLDER --out FOLDER [--side report] [--write]

The beds of `beds.py`, cut to 300, 1,000 and 3,000 training rows. The estimator that scores is the one that is trained:
a random forest, logistic regression, nearest neighbours or a small network, all of scikit-learn. Arms: `random`, each
class in proportion; `over all`, the default of before, which cut and drew over all samples at once; `default`, which
does so inside each class, without the fall back of `unseen.prune` to random where models are too weak. Five
replicates. A budget below two samples a class is left out.

To choose inside each class was decided on the tuning beds (`--side tuning`); the report beds were then run once. The
default was run again on both when it changed, as other studies chose it. Every cell is a line of
`OUT/small_<bed>.jsonl`; `--write` makes benchmarks/results/small_data_<side>.json of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import designs
import numpy as np
from beds import BEDS, replicate
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

import unseen
from unseen.rules.registry import default_rule

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SIZES, KEEPS, SEEDS, TESTED = (300, 1000, 3000), (0.7, 0.5, 0.3, 0.1), 5, 4000
SHOWN = {
    "tuning": ("cifar10", "cifar10n", "patches", "sst2", "adult"),
    "report": ("cifar10n_worst", "emoji", "agnews", "diabetes", "kdd", "digits"),
}
ESTIMATORS: dict[str, Callable[[int], Any]] = {
    "forest": lambda seed: RandomForestClassifier(100, random_state=seed, n_jobs=1),
    "logistic": lambda seed: LogisticRegression(max_iter=300),
    "neighbours": lambda seed: KNeighborsClassifier(5),
    "network": lambda seed: MLPClassifier((64,), max_iter=60, random_state=seed),
}
CELL = ("bed", "seed", "n", "estimator")
ARMS = {
    "random": "random:quota=proportional",
    "over all": "stratified:cutoff=auto",
    "default": None,  # as `default_rule` names it, by the sizes of classes
}


def cells(
    bed: str, seed: int, cache: Path, data: Path, done: dict[tuple[Any, ...], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Train on what each arm keeps, at every size and by every estimator, if it was not done yet."""
    of = replicate(bed, seed, cache, data)
    order = np.random.default_rng([seed, 7, zlib.crc32(bed.encode())]).permutation(len(of.X))
    X_test, y_test = of.X_test[:TESTED], of.y_test[:TESTED]
    for n in (size for size in SIZES if size <= len(of.X)):
        X, y = of.X[order[:n]], of.y[order[:n]]
        classes = np.unique(y)
        for name, made in ESTIMATORS.items():
            known = done.get((bed, seed, n, name), {"arms": {}})
            missing = [arm for arm in ARMS if arm not in known["arms"]]
            if not missing:
                continue
            table = unseen.score(
                X, np.searchsorted(classes, y), scores=["el2n", "memorization", "label_issue"],
                learner=made(seed), seed=seed, groups=None, threads=1,
            )  # fmt: skip
            found: dict[str, dict[str, float]] = {}
            for keep in (keep for keep in KEEPS if keep * n >= 2 * len(classes)):
                for arm in missing:
                    rule = ARMS[arm] or default_rule("harder", table.labels)
                    reads = "el2n" if arm != "random" else None
                    rows = unseen.select(table, rule=rule, score=reads, keep=keep, seed=seed).indices
                    right = made(seed).fit(X[rows], y[rows]).predict(X_test) == y_test
                    found.setdefault(arm, {})[str(keep)] = float(right.mean())
            full = known.get("full") or float((made(seed).fit(X, y).predict(X_test) == y_test).mean())
            held = float(np.mean(table.predictions == table.labels))
            yield {"bed": bed, "seed": seed, "n": n, "estimator": name, "full": full, "held_out": held, "arms": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features, see beds.py")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every cell")
    parser.add_argument("--side", choices=list(SHOWN), default="tuning")
    parser.add_argument("--beds", nargs="+", choices=list(BEDS), help="default: those of the side")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="replicates")
    parser.add_argument("--write", action="store_true", help="put what is there into benchmarks/results and stop")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    beds = given.beds or SHOWN[given.side]
    if given.write:
        found = [c for bed in beds for c in designs.merged(given.out / f"small_{bed}.jsonl", *CELL).values()]
        print(write(f"small_data_{given.side}", {"side": given.side, "tested": TESTED, "cells": found}))
        return
    for seed in range(given.seeds):
        for bed in beds:
            path = given.out / f"small_{bed}.jsonl"
            done = designs.merged(path, *CELL)
            with path.open("a") as file:
                for cell in cells(bed, seed, given.cache, given.data, done):
                    print(json.dumps(cell), file=file, flush=True)
            print(bed, seed, flush=True)


if __name__ == "__main__":
    main()
