"""What should strata do where the model that scores hardly fits what it is trained on?

    python benchmarks/quality/low_fit.py --data FOLDER --cache FOLDER [--seeds 6]

Logistic regression scores data of few columns whose classes overlap or are curved, and is about as often wrong on what
it was trained on as on what it never saw. Strata of equal width then over-sample the hard end for nothing. Arms: strata
share all of the budget (as before), all of it from a fit of a quarter on (the default now) or of a half, and less in
proportion below; the rest is drawn at random. Four estimators are trained on each, and on random samples, each class in
proportion.

These are tuning data, as are the beds `adult` and `patches` of `beds.py`, where models fit more: three replicates of
those. On every other bed the file counts the samples that the arms choose otherwise. The result is shown on other data
by `ordinary_data.py`. Writes benchmarks/results/low_fit.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import designs
import numpy as np
import pandas as pd
from beds import BEDS, replicate, train
from ordinary_data import KEEPS, MODELS, drawn
from sklearn.datasets import make_blobs
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import unseen
from unseen.rules import sampling

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

# The rule, and the fit from which on strata share all of the budget. Where models hardly fit, the default before was
# strata without a cutoff.
ARMS = {
    "strata alone": ("stratified:quota=floored", 0.25),
    "all from a quarter": (None, 0.25),
    "all from a half": (None, 0.5),
}


def ring() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2000, 2))
    y = (np.hypot(X[:, 0] - 0.7, X[:, 1]) < 1).astype(int)
    return X, np.where(rng.random(len(y)) < 0.05, 1 - y, y)


def mixture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    centers, part = rng.normal(size=(6, 5)) * 1.6, rng.integers(0, 6, 2000)
    return centers[part] + rng.normal(size=(2000, 5)), part % 3


def adult_numbers(data: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = pd.read_parquet(data / "tabular/adult.parquet").drop(columns=["split"], errors="ignore")
    rows = rows.sample(3000, random_state=1)
    y = pd.factorize(rows.pop("label").astype(str))[0]
    return rows.select_dtypes("number").fillna(0).to_numpy(float), y


def of_bed(name: str, seed: int, given: argparse.Namespace, tested: bool) -> Iterator[dict[str, Any]]:
    """Yield how many samples of a bed the arms choose otherwise than strata alone, and accuracies where `tested`."""
    of = replicate(name, seed, given.cache, given.data)
    table = designs._default_table(of, seed)
    error = float(np.mean(table.predictions != table.labels))
    about = {"bed": name, "seed": seed, "fit": float(table.column("memorization").mean()) / error}
    for keep in KEEPS:
        shared, arms = {"keep": round(keep * len(of.X)), "seed": seed}, {}
        arms["random"] = unseen.rules.random(len(of.X), labels=of.y, quota="proportional", **shared).indices
        for arm, sampling.WHOLE_FIT in (
            ("strata alone", 1e-12),
            ("all from a quarter", 0.25),
            ("all from a half", 0.5),
        ):
            arms[arm] = unseen.select(table, score="el2n", **shared).indices
        others = {arm: len(np.setdiff1d(rows, arms["strata alone"])) for arm, rows in arms.items() if arm != "random"}
        cell = {**about, "keep": keep, "chosen_otherwise": others, "kept": shared["keep"]}
        if tested:
            models = {arm: train(of, np.sort(rows), seed + 1000, of.iterations) for arm, rows in arms.items()}
            right = {arm: ~designs.wrong(model.logits(of.X_test), of.y_test) for arm, model in models.items()}
            cell["accuracy"] = {arm: float(one.mean()) for arm, one in right.items()}
        yield cell


def cells(name: str, X: np.ndarray, y: np.ndarray, seed: int) -> Iterator[dict[str, Any]]:
    """Yield accuracies of one data set and replicate."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.4, random_state=seed, stratify=y)
    Z = StandardScaler().fit(X[train]).transform(X)
    scores = ["el2n", "memorization", "label_issue"]
    table = unseen.score(X[train], y[train], scores=scores, learner="logistic", seed=seed, threads=1)
    error = float(np.mean(table.predictions != table.labels))
    about = {"data": name, "seed": seed, "error": error, "fit": float(table.column("memorization").mean()) / error}
    for keep in KEEPS:
        arms = {"random": drawn(y[train], round(keep * len(train)), [seed, int(keep * 100)])["random, by class"]}
        for arm, (rule, sampling.WHOLE_FIT) in ARMS.items():
            arms[arm] = unseen.select(table, score="el2n", rule=rule, keep=len(arms["random"]), seed=seed).indices
        for model, make in MODELS.items():
            found = {
                arm: float((make(seed).fit(Z[train][rows], y[train][rows]).predict(Z[test]) == y[test]).mean())
                for arm, rows in arms.items()
            }
            yield {**about, "keep": keep, "model": model, "accuracy": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features, see beds.py")
    parser.add_argument("--seeds", type=int, default=6, help="replicates")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of estimators that do not converge
    data = {
        "blobs, 5 columns": make_blobs(1500, 5, centers=4, cluster_std=4.5, random_state=1),
        "blobs, 2 columns": make_blobs(1500, 2, centers=3, cluster_std=2.5, random_state=4),
        "ring, 2 columns": ring(),
        "mixture, 5 columns": mixture(),
        "adult, numbers": adult_numbers(given.data),
    }
    found = [cell for seed in range(given.seeds) for name, (X, y) in data.items() for cell in cells(name, X, y, seed)]
    in_between = ("adult", "patches")
    beds = [cell for name in in_between for seed in range(3) for cell in of_bed(name, seed, given, tested=True)]
    beds += [cell for name in BEDS if name not in in_between for cell in of_bed(name, 0, given, tested=False)]
    print(write("low_fit", {"cells": found, "beds": beds}))


if __name__ == "__main__":
    main()
