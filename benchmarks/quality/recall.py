"""Does the default keep the recall of rarer classes? Adult, and SST-2 cut to one in ten: tuning beds, 2,000 rows.

    python benchmarks/quality/recall.py --data FOLDER --cache FOLDER

Accuracy can stay while the recall of a rarer class falls. The estimator that scores is the one that is trained: a
random forest, logistic regression or gradient boosting. Arms, all beside random with each class in proportion:

- `default`: inside each class less some of the hardest, then strata of equal width;
- `by rank`: the same, strata of equal count;
- `over all`: cut and drawn over all classes at once, which was the default before;
- `cut by class`: the hardest of each class go as in the default, then strata of equal width over all classes at once.

Eight replicates. Accuracy, and the mean recall of classes (balanced accuracy), of a test set with the same shares.
Nothing is chosen here: both beds are tuning beds. Writes benchmarks/results/recall.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from beds import replicate
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

import unseen
from unseen.core.table import ScoreTable
from unseen.rules.sampling import Stratified

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

ROWS, TESTED, SEEDS, KEEPS, RARE = 2_000, 6_000, 8, (0.7, 0.5, 0.3, 0.1), 0.1
DEFAULT = "stratified:cutoff=auto,quota=floored"
ARMS = {
    "random": "random:quota=proportional",
    "default": DEFAULT,
    "by rank": "stratified:by=rank,cutoff=auto,quota=floored",
    "over all": "stratified:cutoff=auto",
    "cut by class": None,
}
ESTIMATORS: dict[str, Callable[[int], Any]] = {
    "forest": lambda seed: RandomForestClassifier(100, random_state=seed, n_jobs=1),
    "logistic": lambda seed: LogisticRegression(max_iter=300),
    "boosting": lambda seed: HistGradientBoostingClassifier(l2_regularization=1.0, random_state=seed),
}


def drawn(bed: str, seed: int, cache: Path, data: Path) -> tuple[np.ndarray, ...]:
    """Training and test rows of a replicate; of SST-2 one in ten is positive."""
    of = replicate(bed, seed, cache, data)
    rng = np.random.default_rng([11, seed])

    def cut(y: np.ndarray, n: int) -> np.ndarray:
        rows = rng.permutation(len(y))
        if bed == "sst2":
            rare = rows[y[rows] == 1][: round(RARE * n)]
            rows = np.concatenate([rare, rows[y[rows] == 0][: n - len(rare)]])
        return np.sort(rows[:n])

    rows, tested = cut(of.y, ROWS), cut(of.y_test, TESTED)
    return of.X[rows], of.y[rows], of.X_test[tested], of.y_test[tested]


def cut_by_class(table: ScoreTable, keep: float, seed: int) -> np.ndarray:
    """Drop the hardest of each class as the default does, then draw from strata over all classes."""
    left = np.ones(len(table), bool)
    for label in np.unique(table.labels):
        rows = np.flatnonzero(table.labels == label)
        own = unseen.select(table.take(rows), rule="stratified:cutoff=auto", score="el2n", keep=keep, seed=seed)
        hardest = np.argsort(-table.column("el2n")[rows], kind="stable")[: own.count_found("cut_off") or 0]
        left[rows[hardest]] = False
    rest = np.flatnonzero(left)
    rule, budget = Stratified(cutoff="auto").uncut(), round(keep * len(table))
    return rest[unseen.select(table.take(rest), rule=rule, score="el2n", keep=budget, seed=seed).indices]


def cells(bed: str, seed: int, cache: Path, data: Path) -> Iterator[dict[str, Any]]:
    """Train on what each arm keeps, by every estimator."""
    X, y, X_test, y_test = drawn(bed, seed, cache, data)
    for name, made in ESTIMATORS.items():
        scores = ["el2n", "memorization", "label_issue"]
        table = unseen.score(X, y, scores=scores, learner=made(seed), seed=seed, groups=None, threads=1)

        def tested(rows: np.ndarray, made: Callable[[int], Any] = made) -> dict[str, float]:
            guess = made(seed).fit(X[rows], y[rows]).predict(X_test)
            recall = balanced_accuracy_score(y_test, guess)
            rare = np.bincount(y).argmin()
            return {
                "accuracy": float(np.mean(guess == y_test)),
                "recall": float(recall),
                "rare": float(np.mean(guess[y_test == rare] == rare)),
                "kept_of_rare": float(np.mean(y[rows] == rare)),
            }

        about = {"bed": bed, "seed": seed, "estimator": name}
        yield {**about, "arm": "everything", "keep": 1.0, **tested(np.arange(len(y)))}
        for keep in KEEPS:
            for arm, rule in ARMS.items():
                if rule is None:
                    rows = cut_by_class(table, keep, seed)
                else:
                    reads = None if arm == "random" else "el2n"
                    rows = unseen.select(table, rule=rule, score=reads, keep=keep, seed=seed).indices
                yield {**about, "arm": arm, "keep": keep, **tested(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    found = []
    for bed in ("adult", "sst2"):
        for seed in range(given.seeds):
            found += list(cells(bed, seed, given.cache, given.data))
            print(bed, seed, flush=True)
    write("recall", {"rows": ROWS, "tested": TESTED, "seeds": given.seeds, "cells": found})


if __name__ == "__main__":
    main()
