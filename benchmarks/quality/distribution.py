"""Is the distribution of held-out scores wider, is the ranking steadier, and how much of the hard end is label noise?

    python benchmarks/quality/distribution.py --cache FOLDER --noisy cifar10n.parquet [--out FILE]

The head of the CPU tier on frozen features of 5,000 CIFAR-10 images (those of the report part), under `seen` and under
five folds, two independent scorings of each (two root seeds):

- entropy of the histogram of the scores over 100 equal bins between their extremes, divided by log 100;
- share of distinct values, scores rounded to 6 significant digits: how many ranks there are;
- rank correlation (Spearman) of the two scorings: how much of the ranking is not chance;

once with clean labels; and, with a tenth of the labels flipped and with the human labels of CIFAR-10N (worst of three
annotators; Wei et al. 2022), how well the score finds the wrong ones (AUROC) and their share among the hardest tenth,
third and half, beside their share overall.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import unseen
from unseen.data import from_arrays

sys.path.append(str(Path(__file__).resolve().parents[1]))
import cpu_tier
import features as frozen
import pyarrow.parquet as pq

from setting import write

SCORES = ["el2n", "loss", "entropy", "label_margin", "aum", "forgetting", "variability", "dual:window=5"]
PLANS = {"seen": unseen.seen(), "folds": unseen.folds(5)}
FLIPPED = 0.1
BINS = 100


def scored(X: np.ndarray, y: np.ndarray) -> dict[str, list[unseen.ScoreTable]]:
    """For each plan the tables of two independent scorings."""
    data, who = from_arrays(X, y), cpu_tier.learner("cifar10", short=False)
    return {
        name: [unseen.score(data, scores=SCORES, plan=plan, learner=who, seed=seed) for seed in (11, 12)]
        for name, plan in PLANS.items()
    }


def hard(table: unseen.ScoreTable, name: str) -> np.ndarray:
    values = table.column(name)
    return -values if table.directions[name] == "easier" else values


def width(tables: list[unseen.ScoreTable], name: str) -> dict[str, float]:
    values = tables[0].column(name)
    counts = np.histogram(values, bins=BINS)[0]
    p = counts[counts > 0] / counts.sum()
    distinct = np.unique([float(f"{v:.6g}") for v in values]).size / len(values)
    again = spearmanr(values, tables[1].column(name)).statistic
    return {"entropy": float(-(p * np.log(p)).sum() / np.log(BINS)), "distinct": distinct, "agreement": float(again)}


def finds(tables: list[unseen.ScoreTable], name: str, wrong: np.ndarray) -> dict[str, Any]:
    found = []
    for table in tables:
        values = hard(table, name)
        order = np.argsort(-values, kind="stable")
        ends = {f"hardest_{share}": order[: int(share * len(wrong))] for share in (0.1, 0.3, 0.5)}
        shares = {key: float(wrong[rows].mean()) for key, rows in ends.items()}
        found.append({"auroc": float(roc_auc_score(wrong, values)), **shares})
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features")
    parser.add_argument("--noisy", type=Path, required=True, help="cifar10n.parquet")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    split, rows = frozen.load(given.cache / "cifar10.npz"), cpu_tier.ROWS["report"]
    X, y = split.X[rows], split.y[rows]
    rng = np.random.default_rng(5)
    flips = rng.random(len(y)) < FLIPPED
    flipped = np.where(flips, (y + rng.integers(1, 10, len(y))) % 10, y)
    human = pq.read_table(given.noisy).to_pydict()
    worst = np.asarray(human[worst_column(list(human))])[rows]
    clean = scored(X, y)
    result: dict[str, Any] = {"n": len(y), "scores": SCORES, "width": {}, "flipped": {}, "human": {}}
    for plan, tables in clean.items():
        result["width"][plan] = {name: width(tables, name) for name in SCORES}
    for kind, labels in (("flipped", flipped), ("human", worst)):
        wrong = labels != y
        result[kind]["share"] = float(wrong.mean())
        for plan, tables in scored(X, labels).items():
            result[kind][plan] = {name: finds(tables, name, wrong) for name in SCORES}
    print(write("quality_distribution", result, given.out).read_text())


def worst_column(names: list[str]) -> str:
    return next(name for name in names if "worse" in name or "worst" in name)


if __name__ == "__main__":
    main()
