"""What does leaving data out cost where one class in a hundred is sought, as fraud is? Ranking, and not accuracy alone.

    python benchmarks/quality/rare_positives.py --data FOLDER --cache FOLDER --out FOLDER [--side tuning] [--write]

Each report bed of `beds.py` becomes a search for one class among all others, in 6,000 training rows, of which 1 % or
3 % are of it, and test rows of the same shares. Of two classes the rarer one is sought, of more they take turns. The
estimator that scores is trained on what is kept: by `prune` without a rule, which falls back to `random:quota=floored`
where accuracy says that the models are too weak; by this rule; and by random, each class in proportion. Measured on the
test rows: ROC AUC, average precision, mean recall, accuracy and log loss, five replicates.

Protocol, written before the runs. `prune` by its default of then was shown once on the report beds, where nothing was
chosen. A pilot on `adult` (1 %, three replicates) had asked whether the scores should be used where the fallback
ignores them, because models rank well: AUC and average precision hardly differed, so the fallback stayed. The report
has accuracy below random, since a class of 1 % becomes 9 % of a coreset. So quotas are tried on tuning beds (`--side
tuning`): a floor of 0.2, 0.1 or 0.05 of the mean share; a floor of 0.2 for at most 2, 3 or 5 times the share that the
class has in the data; each with random, strata of equal count or strata of equal width inside the classes. A quota may
replace the default if accuracy is certainly below random in no more cells than before, and in AUC and average
precision, averaged over cells, it loses less than a fifth of the gain over random. It is then shown once on the report.
None did replace it; the report was run again with two ways to make up for the shares: weights of samples, and predicted
probabilities multiplied by the share of the class in all data over that in the coreset (Elkan 2001).

Every cell is a line of `OUT/rare_positives_<side>.jsonl`; `--write` makes a file of them in benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import designs
import numpy as np
from beds import Replicate, replicate
from recall import ESTIMATORS
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss, roc_auc_score

import unseen
from unseen.rules.registry import too_weak

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

ROWS, TESTED, SHARES = 6_000, 6_000, (0.01, 0.03)
SEEDS = {"tuning": 3, "report": 5}
KEEPS = {"tuning": (0.5, 0.1), "report": (0.5, 0.3, 0.1)}
BEDS = {
    "tuning": {
        "adult": ("logistic", "boosting"),
        "sst2": ("logistic", "network"),
        "cifar10": ("logistic", "network"),
    },
    "report": {
        "agnews": ("logistic", "network"),
        "emoji": ("logistic", "network"),
        "cifar10n_worst": ("logistic", "network"),
        "diabetes": ("logistic", "boosting"),
        "kdd": ("forest", "boosting"),
    },
}
RULES = {"random": "random:quota=proportional", "floored": "random:quota=floored", "default": None}
INSIDE = {"random": "random", "count": "stratified:by=rank,cutoff=auto", "width": "stratified:cutoff=auto"}
# The share of the mean share that no class falls below, and the most times that it may exceed its own share.
QUOTAS = {
    "in proportion": (0.0, 1.0),
    "floor 0.2": (0.2, np.inf),
    "floor 0.1": (0.1, np.inf),
    "floor 0.05": (0.05, np.inf),
    "at most 2 times": (0.2, 2.0),
    "at most 3 times": (0.2, 3.0),
    "at most 5 times": (0.2, 5.0),
}
MEASURES = ("auc", "precision", "recall", "accuracy", "log_loss")
CELL = ("bed", "share", "estimator", "seed")


def drawn(bed: str, share: float, seed: int, given: argparse.Namespace) -> Replicate:
    """Draw a replicate in which the class that is sought has this share; its label is 1."""
    of = replicate(bed, seed, given.cache, given.data)
    rng = np.random.default_rng([13, seed])
    sizes = np.bincount(of.y)
    large = np.flatnonzero(sizes >= ROWS * max(SHARES))
    sought = int(sizes.argmin() if len(sizes) == 2 else large[seed % len(large)])

    def cut(y: np.ndarray, most: int) -> np.ndarray:
        inside, outside = (rng.permutation(np.flatnonzero(found)) for found in (y == sought, y != sought))
        n = int(min(most, len(inside) / share, len(outside) / (1 - share)))
        return np.sort(np.concatenate([inside[: round(share * n)], outside[: n - round(share * n)]]))

    rows, tested = cut(of.y, ROWS), cut(of.y_test, TESTED)
    y, y_test = (of.y[rows] == sought).astype(int), (of.y_test[tested] == sought).astype(int)
    return Replicate(of.X[rows], y, of.X_test[tested], y_test, 2, of.learner)


def choices(table: unseen.ScoreTable, keep: float, seed: int, side: str) -> Iterator[tuple[str, np.ndarray]]:
    """Choose by each arm; yield its name and the rows."""
    if side == "report":
        for name, rule in RULES.items():
            yield name, unseen.select(table, rule=rule, keep=keep, seed=seed).indices
        return
    sizes = np.bincount(table.labels)
    for (quota, (floor, times)), (inside, rule) in product(QUOTAS.items(), INSIDE.items()):
        rare = sizes[1] / len(table)
        sought = min(sizes[1], round(keep * len(table) * max(rare, min(times * rare, floor / 2))))
        counts = {"0": round(keep * len(table)) - int(sought), "1": int(sought)}
        reads = None if inside == "random" else "el2n"
        chosen = unseen.select(table, rule=rule, score=reads, keep=sum(counts.values()), quota=counts, seed=seed)
        yield f"{quota}, {inside}", chosen.indices


def cell(bed: str, share: float, estimator: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train on everything, and on what each rule keeps."""
    of = drawn(bed, share, seed, given)

    def test(rows: np.ndarray, way: str = "") -> list[float]:
        """Train on the rows; where asked, weigh or correct for the shares that the classes have in all data."""
        y = of.y_test
        odds = np.bincount(of.y, minlength=2) / np.bincount(of.y[rows], minlength=2)
        weights = {"sample_weight": odds[of.y[rows]]} if way == "weighted" else {}
        model = ESTIMATORS[estimator](seed).fit(of.X[rows], of.y[rows], **weights)
        p = model.predict_proba(of.X_test)
        if way == "corrected":
            p = p * odds / (p * odds).sum(axis=1, keepdims=True)
        guess, p = p.argmax(axis=1), p[:, 1]
        found = roc_auc_score(y, p), average_precision_score(y, p), balanced_accuracy_score(y, guess)
        return [round(float(value), 5) for value in (*found, np.mean(guess == y), log_loss(y, p))]

    table = unseen.score(of.X, of.y, learner=ESTIMATORS[estimator](seed), seed=seed, groups=None, threads=1)
    arms: dict[str, dict[str, list[float]]] = {"everything": {"1.0": test(np.arange(len(of.y)))}}
    for keep in KEEPS[given.side]:
        for name, rows in choices(table, keep, seed, given.side):
            arms.setdefault(name, {})[str(keep)] = test(rows)
            for way in ("weighted", "corrected") if name == "default" else ():
                arms.setdefault(f"default, {way}", {})[str(keep)] = test(rows, way)
    about = {"bed": bed, "share": share, "estimator": estimator, "seed": seed, "n": len(of.y), "n_test": len(of.y_test)}
    return {**about, "sought": int(of.y.sum()), "weak": too_weak(table) is not None, "arms": arms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features, see beds.py")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every cell")
    parser.add_argument("--side", choices=list(BEDS), default="report")
    parser.add_argument("--write", action="store_true", help="put what is there into benchmarks/results and stop")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="held-out models")
    path = given.out / f"rare_positives_{given.side}.jsonl"
    known = designs.merged(path, *CELL)
    if given.write:
        result = {"measures": MEASURES, "rows": ROWS, "cells": list(known.values())}
        print(write(f"rare_positives_{given.side}", result))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    for seed, share, (bed, estimators) in product(range(SEEDS[given.side]), SHARES, BEDS[given.side].items()):
        for estimator in estimators:
            if (bed, share, estimator, seed) not in known:
                found = cell(bed, share, estimator, seed, given)
                with path.open("a") as file:
                    print(json.dumps(found), file=file, flush=True)
                print(bed, share, estimator, seed, flush=True)


if __name__ == "__main__":
    main()
