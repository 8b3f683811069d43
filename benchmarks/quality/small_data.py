"""Is `unseen.prune` by default worse than random on a few hundred rows, or by estimators other than networks?

    python benchmarks/quality/small_data.py --data FOLDER --cache FOLDER --out FOLDER [--side report] [--write]

The beds of `beds.py`, cut to 300, 1,000 and 3,000 training rows. The estimator that scores is the one that is trained:
a random forest, gradient boosting, logistic regression, nearest neighbours or a small network, all of scikit-learn.
Arms: `random`, each class in proportion; `over all`, the default of before, which cut and drew over all samples at
once; `rule`, which does so inside each class; `prune`, which is that rule, or random where the models are too weak, as
`unseen.prune` decides. Accuracy and mean recall of classes. Five replicates. A budget below two samples a class is left
out.

The rule was chosen on the tuning beds (`--side tuning`); the report beds were then run once, and again when `prune`,
mean recall and boosting were added, with the same seeds. Every cell is a line of
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
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

import unseen
from unseen.rules.registry import FALLBACK, too_weak

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
    "boosting": lambda seed: HistGradientBoostingClassifier(l2_regularization=1.0, random_state=seed),
}
ARMS = {"random": "random:quota=proportional", "over all": "stratified:cutoff=auto", "rule": None}


def cells(bed: str, seed: int, cache: Path, data: Path, done: set[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Train on what each arm keeps, at every size and by every estimator."""
    of = replicate(bed, seed, cache, data)
    order = np.random.default_rng([seed, 7, zlib.crc32(bed.encode())]).permutation(len(of.X))
    X_test, y_test = of.X_test[:TESTED], of.y_test[:TESTED]
    for n in (size for size in SIZES if size <= len(of.X)):
        X, y = of.X[order[:n]], of.y[order[:n]]
        classes = np.unique(y)
        for name, made in ESTIMATORS.items():
            if (seed, n, name) in done:
                continue
            table = unseen.score(
                X, np.searchsorted(classes, y), scores=["el2n", "memorization", "label_issue"],
                learner=made(seed), seed=seed, groups=None, threads=1,
            )  # fmt: skip
            arms = {**ARMS, "prune": None if too_weak(table) is None else FALLBACK}
            found: dict[str, dict[str, tuple[float, float]]] = {}
            for keep in (keep for keep in KEEPS if keep * n >= 2 * len(classes)):
                tested: dict[bytes, tuple[float, float]] = {}
                for arm, rule in arms.items():
                    score = None if (rule or "").startswith("random") else "el2n"
                    rows = unseen.select(table, rule=rule, score=score, keep=keep, seed=seed).indices
                    if rows.tobytes() not in tested:
                        tested[rows.tobytes()] = quality(made(seed).fit(X[rows], y[rows]), X_test, y_test)
                    found.setdefault(arm, {})[str(keep)] = tested[rows.tobytes()]
            full = quality(made(seed).fit(X, y), X_test, y_test)
            held = float(np.mean(table.predictions == table.labels))
            yield {"bed": bed, "seed": seed, "n": n, "estimator": name, "full": full, "held_out": held, "arms": found}


def quality(model: Any, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean recall of the classes."""
    right = model.predict(X) == y
    return float(right.mean()), float(np.mean([right[y == label].mean() for label in np.unique(y)]))


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
        found = [cell for bed in beds for cell in designs.read(given.out / f"small_{bed}.jsonl")]
        print(write(f"small_data_{given.side}", {"side": given.side, "tested": TESTED, "cells": found}))
        return
    for seed in range(given.seeds):
        for bed in beds:
            path = given.out / f"small_{bed}.jsonl"
            done = {(cell["seed"], cell["n"], cell["estimator"]) for cell in designs.read(path)}
            with path.open("a") as file:
                for cell in cells(bed, seed, given.cache, given.data, done):
                    print(json.dumps(cell), file=file, flush=True)
            print(bed, seed, flush=True)


if __name__ == "__main__":
    main()
