"""Should the cutoff spare rare classes? CIFAR-10's features with a long tail, a tuning bed: designs and their results.

    python benchmarks/quality/rare_classes.py --data FOLDER --cache FOLDER

The classes have 4,000 down to 8 training samples, in an order drawn by the replicate, and the test set has the same
shares. Designs: the default as it was before; the same, sparing classes below a tenth or a fifth of the mean size, or
those of which fewer than 50 would be kept; and a floor for each class, which may be limited to so many times its share,
with strata of equal width or of equal count. Three replicates. Accuracy, and the mean recall of classes, which is where
rare classes count. Writes benchmarks/results/rare_classes.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import designs
import numpy as np
from beds import BEDS, Replicate, _read, train

import unseen
from unseen import rules
from unseen.rules.budgets import allocate

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SHARES = 500.0 ** (-np.arange(10) / 9)
LARGEST, LARGEST_TESTED = 4000, 1000
# The least share of a class, in mean shares; the most, in shares that it has; and the strata inside.
FLOORED = {f"in each class, at least {floor} of a mean share": (floor, np.inf, "width") for floor in (0.1, 0.2, 0.5)}
FLOORED |= {
    "the same of 0.2, strata of equal count": (0.2, np.inf, "rank"),
    **{f"for at most {times} times its share": (0.2, times, "rank") for times in (2, 3, 5)},
}


def long_tailed(seed: int, cache: Path, data: Path) -> Replicate:
    """Draw a replicate of the bed."""
    X, y, X_test, y_test = _read(BEDS["cifar10"], cache, data)
    rng = np.random.default_rng([9, seed])
    order = rng.permutation(10)

    def drawn(labels: np.ndarray, largest: int) -> np.ndarray:
        rows = [
            rng.permutation(np.flatnonzero(labels == label))[: max(1, round(largest * share))]
            for label, share in zip(order, SHARES, strict=True)
        ]
        return np.sort(np.concatenate(rows))

    rows, tested = drawn(y, LARGEST), drawn(y_test, LARGEST_TESTED)
    mean, scale = X[rows].mean(axis=0), X[rows].std(axis=0) + 1e-6
    inputs, test_inputs = (((x - mean) / scale).astype(np.float32) for x in (X[rows], X_test[tested]))
    return Replicate(inputs, y[rows], test_inputs, y_test[tested], 10, "network")


def cells(seed: int, cache: Path, data: Path) -> Iterator[dict[str, Any]]:
    """Train on what each design keeps."""
    of = long_tailed(seed, cache, data)
    n, sizes = len(of.y), np.bincount(of.y, minlength=10)
    table = designs._default_table(of, seed)
    score = table.column("el2n")
    for keep in designs.KEEPS[1:]:
        budget, shared = round(keep * n), {"keep": round(keep * n), "seed": seed}
        cut = min(int(_cutoff(table, keep) * n), n - budget)
        spared = {
            "default before": np.zeros(10, bool),
            "less classes below a tenth of the mean": sizes < n / 100,
            "less classes below a fifth": sizes < n / 50,
            "less classes with under 50 kept": sizes * keep < 50,
        }
        chosen = {"random": rules.random(n, **shared).indices}
        for name, rare in spared.items():
            hardness = np.where(rare[of.y], -np.inf, score)
            left = designs.less_hardest(hardness, min(cut, int((~rare[of.y]).sum())))
            chosen[name] = designs.from_strata(score, left, budget, np.random.default_rng([seed, int(keep * 100)]))
        rule = "stratified:cutoff=auto,quota=proportional"
        chosen["in each class"] = unseen.select(table, score="el2n", rule=rule, **shared).indices
        for name, (floor, times, by) in FLOORED.items():
            weights = np.maximum(sizes, np.minimum(floor * n / 10, times * sizes)).astype(int).tolist()
            quota = dict(enumerate(allocate(budget, sizes.tolist(), weights)))
            inside = unseen.select(table, score="el2n", rule=f"stratified:by={by},cutoff=auto", quota=quota, **shared)
            chosen[name] = inside.indices
        for name, rows in chosen.items():
            model = train(of, np.sort(rows), seed + 1000, of.iterations)
            right = ~designs.wrong(model.logits(of.X_test), of.y_test)
            recalls = [float(right[of.y_test == label].mean()) for label in np.unique(of.y_test)]
            yield {
                "seed": seed,
                "keep": keep,
                "design": name,
                "accuracy": float(right.mean()),
                "mean_recall": float(np.mean(recalls)),
            }


def _cutoff(table: Any, keep: float) -> float:
    """The share that the default cut off before it spared any class; see `unseen.rules.Stratified`."""
    error = float(np.mean(table.predictions != table.labels))
    fit = min(1.0, max(0.0, float(table.column("memorization").mean())) / error / (2 * keep))
    issues = float(table.column("label_issue").mean())
    return fit * max(min(error, (1 - keep) ** 2 / 2), issues**2 / error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    found = [cell for seed in range(given.seeds) for cell in cells(seed, given.cache, given.data)]
    for keep in designs.KEEPS[1:]:
        for name in dict.fromkeys(cell["design"] for cell in found):
            own = [cell for cell in found if (cell["keep"], cell["design"]) == (keep, name)]
            means = [100 * np.mean([cell[what] for cell in own]) for what in ("accuracy", "mean_recall")]
            print(f"{keep:4} {name:42} accuracy {means[0]:.1f}, mean recall {means[1]:.1f}", flush=True)
    write("rare_classes", {"training_sizes": (LARGEST * SHARES).round().astype(int).tolist(), "cells": found})


if __name__ == "__main__":
    main()
