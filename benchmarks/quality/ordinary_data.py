"""Is what `unseen.prune` keeps by default worse than random on ordinary data, whatever is then trained on it?

    python benchmarks/quality/ordinary_data.py --data FOLDER --out FOLDER [--seeds 8] [--write]

Fourteen data sets of at most 2,400 samples: scikit-learn's own, made ones, tables, texts, and small grey images. The
default chooses with the default learner, by the raw columns or texts. A random forest, gradient boosting, logistic
regression and a network of scikit-learn are then trained on what it keeps, and on random samples, drawn from all or
each class in proportion. A replicate redraws the split (60 % to train on), what is chosen, what is drawn and the
model's seed; differences are paired. Accuracy and mean recall of classes.

A first run showed the default below random on two moons. That raised the question of `low_fit.py`, which was answered
on other data; then all of it was run again. Every cell is a line of `OUT/ordinary.jsonl`; `--write` puts them into
benchmarks/results/ordinary_data.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification, make_moons
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import unseen

sys.path.append(str(Path(__file__).resolve().parents[1]))
from designs import read

from setting import write

KEEPS, SEEDS, SIZE = (0.7, 0.5, 0.3), 8, 2400
Labelled = tuple[Any, np.ndarray, np.ndarray]  # inputs, labels to learn from, labels to test by

MODELS: dict[str, Callable[[int], Any]] = {
    "forest": lambda seed: RandomForestClassifier(60, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=15, random_state=seed),
    "logistic": lambda seed: LogisticRegression(max_iter=200),
    "network": lambda seed: MLPClassifier((32,), max_iter=60, random_state=seed),
}


# ---- data ------------------------------------------------------------------------------------------------------------


def _made(make: Callable[..., Any], *args: Any, **options: Any) -> Labelled:
    X, y = make(*args, **options)
    return X, y, y


def _seven_classes(data: Path) -> Labelled:
    X, y = make_classification(
        2200, 30, n_informative=12, n_redundant=6, n_classes=7, n_clusters_per_class=2,
        weights=[0.36, 0.48, 0.06, 0.02, 0.03, 0.03, 0.02], flip_y=0.03, class_sep=1.3, random_state=0,
    )  # fmt: skip
    X[:, 20:] = X[:, 20:] > 1
    return X, y, y


def _table(data: Path, file: str, label: str, without: Sequence[str] = (), least: int = 0) -> Labelled:
    rows = pd.read_parquet(data / file).drop(columns=["split", *without], errors="ignore")
    rows = rows.sample(2 * SIZE, random_state=0)
    y = rows.pop(label).astype(str)
    common = y.map(y.value_counts()) >= least
    rows, y = rows[common], y[common]
    for name in rows.select_dtypes(exclude="number"):
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "?").astype(str)
    codes = pd.factorize(y)[0]
    return rows.reset_index(drop=True).iloc[:SIZE], codes[:SIZE], codes[:SIZE]


def _texts(data: Path, file: str, label: str, split: str) -> Labelled:
    rows = pd.read_parquet(data / file)
    rows = rows[rows["split"] == split].sample(SIZE, random_state=0)
    y = pd.factorize(rows[label])[0]
    return rows["text"].to_numpy(), y, y


def _grey_images(data: Path, noisy: bool) -> Labelled:
    rows = pd.read_parquet(data / "cifar10-train.parquet")
    drawn = np.random.default_rng(0).choice(len(rows), 2200, replace=False)
    images = [Image.open(io.BytesIO(rows["image"].iloc[row]["bytes"])).convert("L").resize((12, 12)) for row in drawn]
    X, clean = np.stack([np.asarray(image).ravel() / 255 for image in images]), rows["label"].to_numpy()[drawn]
    worse = pd.read_parquet(data / "cifar10n.parquet")["worse_label"].to_numpy()[drawn].astype(int)
    return X, worse if noisy else clean, clean


DATA: dict[str, Callable[[Path], Labelled]] = {
    "wine": lambda data: _made(load_wine, return_X_y=True),
    "breast cancer": lambda data: _made(load_breast_cancer, return_X_y=True),
    "digits": lambda data: _made(load_digits, return_X_y=True),
    "two moons": lambda data: _made(make_moons, 1200, noise=0.3, random_state=0),
    "made, 1 : 19": lambda data: _made(
        make_classification, 2400, 20, n_informative=6, weights=[0.95], flip_y=0.01, random_state=0
    ),
    "made, 7 classes": _seven_classes,
    "adult": partial(_table, file="tabular/adult.parquet", label="label"),
    "diabetes": partial(
        _table, file="tabular/diabetes130.parquet", label="readmitted", without=["encounter_id", "patient_nbr"]
    ),
    "kdd": partial(_table, file="tabular/kddcup99_10pct.parquet", label="label", least=8),
    "sst2": partial(_texts, file="text/sst2.parquet", label="label", split="train"),
    "agnews, noisy": partial(_texts, file="text/agnews_part.parquet", label="noisy_label", split="noisy"),
    "emoji": partial(_texts, file="text/tweeteval_emoji.parquet", label="label", split="train"),
    "cifar10, grey": partial(_grey_images, noisy=False),
    "cifar10n, grey": partial(_grey_images, noisy=True),
}


def features(inputs: Any, train: np.ndarray) -> np.ndarray:
    """What the trained models read: numbers, one-hot categories, or TF-IDF in 60 columns, by the training rows."""
    if isinstance(inputs, pd.DataFrame):
        numbers = inputs.select_dtypes("number").columns
        encoder: Any = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            (
                OneHotEncoder(handle_unknown="ignore", min_frequency=10, sparse_output=False),
                inputs.columns.difference(numbers, sort=False),
            ),
        )
        fitted = encoder.fit(inputs.iloc[train])
    else:
        words = (TfidfVectorizer(min_df=2, sublinear_tf=True), TruncatedSVD(60, random_state=0))
        fitted = make_pipeline(*(words if inputs.ndim == 1 else ()), StandardScaler()).fit(inputs[train])
    return np.asarray(fitted.transform(inputs), dtype=np.float32)


# ---- trials ----------------------------------------------------------------------------------------------------------


def drawn(y: np.ndarray, count: int, seed: Sequence[int]) -> dict[str, np.ndarray]:
    """Rows drawn from all, and each class in proportion by largest remainders."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    share = np.bincount(y) * count / len(y)
    quota = np.floor(share).astype(int)
    quota[np.argsort(-(share - quota))[: count - quota.sum()]] += 1
    by_class = np.concatenate([order[y[order] == label][:size] for label, size in enumerate(quota)])
    return {"random": rng.choice(len(y), count, replace=False), "random, by class": by_class}


def trial(name: str, inputs: Any, y: np.ndarray, truth: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """All cells of one data set and replicate."""
    stratify = y if np.bincount(y).min() > 1 else None
    train, test = train_test_split(np.arange(len(y)), test_size=0.4, random_state=seed, stratify=stratify)
    X = features(inputs, train)
    if isinstance(inputs, pd.DataFrame):
        raw: Any = inputs.iloc[train].reset_index(drop=True)
    else:
        raw = list(inputs[train]) if inputs.ndim == 1 else inputs[train]
    cells = []
    for keep in KEEPS:
        _, coreset = unseen.prune(raw, y[train], keep=keep, seed=seed)
        arms = {"default": coreset.indices, **drawn(y[train], len(coreset), [seed, int(keep * 100)])}
        for arm, rows in arms.items():
            for model, make in MODELS.items():
                guess = make(seed).fit(X[train][rows], y[train][rows]).predict(X[test])
                right, recall = float((guess == truth[test]).mean()), balanced_accuracy_score(truth[test], guess)
                cell = {"data": name, "seed": seed, "keep": keep, "arm": arm, "model": model}
                cells.append({**cell, "accuracy": right, "mean_recall": float(recall)})
    return cells


def written(cells: list[dict[str, Any]]) -> Path:
    """Data, model, keep and arm: accuracies and mean recalls, one a replicate."""
    made: dict[str, Any] = {}
    for cell in sorted(cells, key=lambda cell: cell["seed"]):
        models = made.setdefault(cell["data"], {}).setdefault(cell["model"], {})
        for quality in ("accuracy", "mean_recall"):
            arms = models.setdefault(str(cell["keep"]), {}).setdefault(cell["arm"], {})
            arms.setdefault(quality, []).append(round(cell[quality], 5))
    return write("ordinary_data", {"samples": SIZE, "trained_on": 0.6, "data": made})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every cell")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="replicates")
    parser.add_argument("--write", action="store_true", help="put what is there into benchmarks/results and stop")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of estimators that do not converge, and of models too weak to choose
    path = given.out / "ordinary.jsonl"
    if given.write:
        print(written(read(path)))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    opened = {name: make(given.data) for name, make in DATA.items()}
    done = {(cell["data"], cell["seed"]) for cell in read(path)}
    for seed in range(given.seeds):
        for name, (inputs, y, truth) in opened.items():
            if (name, seed) not in done:
                cells = trial(name, inputs, y, truth, seed)
                with path.open("a") as file:
                    file.writelines(json.dumps(cell) + "\n" for cell in cells)
                print(name, seed, flush=True)


if __name__ == "__main__":
    main()
