"""How far the held-out disagreement is from the share of wrong labels: known flips on three data sets.

    python benchmarks/quality/label_errors.py --data DATA --folder FOLDER [--out FILE]

A share of the labels of digits, of a part of Adult and of a part of CIFAR-10 is set to another class at random; five
folds of strong and weak learners are asked. For each share: the disagreement, its bias (less the flips) with a
t-interval over seeds, and the held-out accuracy on the labels as given. DATA holds tabular/adult.parquet and
cifar10-train.parquet, FOLDER takes vectors. Writes benchmarks/results/label_errors.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

import unseen
from unseen.evaluating.statistics import interval

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

FLIPS = (0.0, 0.05, 0.10, 0.20)
SEEDS = 3
PART = 2_000
EVERY = 8  # of the columns of the features for images: enough for a weak model, and quick
WEAK = "sklearn:sklearn.naive_bayes:GaussianNB"
LEARNERS = {"digits": ("ridge", WEAK), "adult": ("ridge", WEAK), "cifar10": ("ridge", WEAK)}

Labelled = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def beds(data: Path, folder: Path) -> dict[str, Labelled]:
    """Vectors and codes of the labels."""
    x, y = load_digits(return_X_y=True)
    frame = pd.read_parquet(data / "tabular" / "adult.parquet").sample(PART, random_state=0)
    name = "label" if "label" in frame else frame.columns[-1]
    columns = pd.get_dummies(frame.drop(columns=name)).to_numpy(np.float32)
    columns = (columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-6)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pq.read_table(data / "cifar10-train.parquet").slice(0, PART), folder / "part.parquet")
    images = unseen.embed(folder / "part.parquet", out=folder / "vectors")
    return {
        "digits": (x.astype(np.float32), y),
        "adult": (columns, pd.factorize(frame[name])[0].astype(np.int64)),
        "cifar10": (np.asarray(images.take(np.arange(len(images))), np.float32)[:, ::EVERY], np.asarray(images.labels)),
    }


def flipped(y: npt.NDArray[np.int64], share: float, seed: int) -> npt.NDArray[np.int64]:
    """Exactly this share set to one of the other classes."""
    rng, classes = np.random.default_rng(seed), int(y.max()) + 1
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    found = y.copy()
    found[chosen] = (found[chosen] + rng.integers(1, classes, len(chosen))) % classes
    return found


def measured(x: npt.NDArray[np.float32], y: npt.NDArray[np.int64], learner: str, share: float) -> dict[str, Any]:
    """The disagreement at one share of flips."""
    found, right = [], []
    for seed in range(SEEDS):
        given = flipped(y, share, seed)
        table = unseen.score(
            x,
            given,
            scores=["el2n", "label_issue"],
            learner=learner,
            plan=unseen.folds(5),
            seed=seed,
            threads=1,
            jobs=1,
        )
        agrees = table.predictions == table.labels
        # As `unseen.label_error_share` counts, which gives no share where models are weak.
        found.append(float(np.mean(np.where(agrees, 0.0, table.column("label_issue")))))
        right.append(float(np.mean(agrees)))
    bias = interval(np.array(found) - share)
    low, high = (None if np.isnan(x) else x for x in (bias.low, bias.high))  # JSON has no NaN
    return {
        "flips": share, "disagreement": float(np.mean(found)), "bias": bias.mean, "low": low, "high": high,
        "accuracy": float(np.mean(right)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for vectors")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/label_errors.json")
    options = parser.parse_args()
    found = []
    for bed, (x, y) in beds(options.data, options.folder).items():
        for learner in LEARNERS[bed]:
            for share in FLIPS:
                found.append({"data": bed, "n": len(y), "learner": learner, **measured(x, y, learner, share)})
                print(found[-1], flush=True)
                write("label_errors", {"seeds": SEEDS, "rows": found}, options.out)


if __name__ == "__main__":
    main()
