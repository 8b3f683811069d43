"""Frozen features for the CPU tier of the study: heads on them train in seconds, so every method can be compared.

    python benchmarks/quality/features.py --data FOLDER --cache FOLDER [--sets cifar10 sst2 adult digits]

The features are **untrained and label-free**, by `unseen.embedding`: no label and no test sample takes part in what
they are, so a model of them has seen exactly the samples that its head was trained on. Each set is written once, to
`<cache>/<set>.npz` with X (n, d) float32, y (n,), X_test and y_test, which `unseen.data.from_npz` reads; what it is
worth is in the JSON beside.

| set | features |
| --- | --- |
| cifar10, cifar100 | Coates and Ng 2011 without their learning: 400 random patches of 6 x 6, whitened, as filters; |
|                   | both signs rectified, roots of their means over the four quarters: 3,200; then PCA to 512 |
| sst2, emoji | TF-IDF of hashed words and word pairs, truncated SVD to 256 |
| adult | one column a category, numbers standardised; what is missing is a category of its own |
| digits | pixels / 16; a test part of one third, stratified |

PCA and SVD leave columns of very unequal variance, and learners standardise columns, which would blow up the least of
them. So a random rotation follows: it changes no distance, and all columns end up with about the same variance (the
preset `mlp` with 10 epochs on all of CIFAR-10, one seed: 75.8 % on the test images with it, 73.7 % without).

Accuracy of ridge regression in %, closed form, the penalty by leave-one-out on the training rows; on all rows, seed 0,
seconds on two cores with other work beside:

| set | train, test rows | d | left out | test | seconds |
| --- | --- | --- | --- | --- | --- |
| cifar10 | 50,000, 10,000 | 3,200 | 73.0 | 72.9 | |
|         |                |   512 | 67.0 | 67.1 | 271 |
| sst2    | 67,349, 872    |   256 | 73.3 | 73.2 |  27 |
| emoji   | 45,000, 50,000 |   256 | 27.3 | 27.1 | 134 |
| adult   | 32,561, 16,281 |   108 | 84.0 | 84.2 |   1 |
| digits  | 1,198, 599     |    64 | 93.4 | 93.5 |   0 |

Without the roots CIFAR-10's 3,200 features give 73.4 left out and 73.9 on the test images, its 512 give 65.5 and 65.5.
CIFAR-100 is not measured yet.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from unseen.core.machine import default_threads
from unseen.data import from_arrays, resolve
from unseen.embedding import Columns, Tfidf
from unseen.embedding.features import Filters, rotation

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

PATCHES, SIDE, POOLS = 400, 6, 2
IMAGE_DIMENSIONS, TEXT_DIMENSIONS, HASHES = 512, 256, 2**18
PENALTIES = 10.0 ** np.arange(-7, 2)  # of ridge, as a share of n


class Split(NamedTuple):
    """Inputs and labels, the training rows and the test rows apart."""

    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray

    def first(self, train: int | None, test: int | None) -> Split:
        """The first rows only."""
        return Split(self.X[:train], self.y[:train], self.X_test[:test], self.y_test[:test])


# ---- images ----------------------------------------------------------------------------------------------------------


def images(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of images (n, H, W, C) uint8: all features, standardised; then reduced."""
    filters = Filters.drawn(lambda rows: train[rows], len(train), train.shape[1:], PATCHES, SIDE, seed)
    parts = [filters.features(part, POOLS, default_threads()) for part in (train, test)]
    mean, scale = parts[0].mean(axis=0), parts[0].std(axis=0) + 1e-6
    for part in parts:
        part -= mean
        part /= scale
    yield parts[0], parts[1]
    axes = spectrum(parts[0])[1][:, ::-1][:, :IMAGE_DIMENSIONS]
    turned = (axes @ rotation(axes.shape[1], seed)).astype(np.float32)
    yield parts[0] @ turned, parts[1] @ turned


def spectrum(X: np.ndarray, mean: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and eigenvectors of (X - mean)'(X - mean), in float64."""
    gram = np.zeros((X.shape[1], X.shape[1]))
    for rows in blocks(len(X)):
        centred = X[rows].astype(np.float64) - mean
        gram += centred.T @ centred
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0), vectors


def blocks(n: int, size: int = 4096) -> Iterator[slice]:
    """Rows 0..n in blocks."""
    return (slice(start, start + size) for start in range(0, n, size))


# ---- text, tables, digits --------------------------------------------------------------------------------------------


def texts(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of texts: hashed TF-IDF, reduced."""
    fitted = Tfidf(TEXT_DIMENSIONS).fitted(_unlabelled(train), seed)
    yield fitted.of(train).astype(np.float32), fitted.of(test).astype(np.float32)


def tables(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of tables, object (n, d): a column with any text in it is one of categories, the others are numbers."""
    fitted = Columns(rare=1).fitted(_unlabelled(train), seed)
    yield fitted.of(train), fitted.of(test)


def _unlabelled(inputs: np.ndarray) -> Any:
    return from_arrays(inputs, np.zeros(len(inputs), int))


def as_they_are(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of vectors that need nothing."""
    yield train, test


# ---- the sets --------------------------------------------------------------------------------------------------------


def cifar(classes: int, folder: Path) -> Split:
    """The pixels, uint8, of CIFAR-10 or CIFAR-100."""
    train, test = (resolve(folder / f"cifar{classes}-{part}.parquet") for part in ("train", "test"))
    return _whole(train, test)


def parted(file: str, test: str, folder: Path) -> Split:
    """The parts `train` and `test` of one parquet file."""
    return _whole(*(resolve(folder / file, split=part) for part in ("train", test)))


def digits(folder: Path) -> Split:
    """Scikit-learn's digits."""
    data = resolve("digits")
    train, test = train_test_split(np.arange(len(data)), test_size=1 / 3, stratify=data.labels, random_state=0)
    X = data.take(np.arange(len(data))) / np.float32(16)
    return Split(X[train], data.labels[train], X[test], data.labels[test])


def _whole(train: Any, test: Any) -> Split:
    codes = {name: code for code, name in enumerate(train.class_names)}
    y_test = np.array([codes[name] for name in test.class_names])[test.labels]
    return Split(train.take(np.arange(len(train))), train.labels, test.take(np.arange(len(test))), y_test)


Features = Callable[[Any, Any, int], Iterator[tuple[np.ndarray, np.ndarray]]]
SETS: dict[str, tuple[Callable[[Path], Split], Features]] = {
    "cifar10": (partial(cifar, 10), images),
    "cifar100": (partial(cifar, 100), images),
    "sst2": (partial(parted, "text/sst2.parquet", "dev"), texts),
    "emoji": (partial(parted, "text/tweeteval_emoji.parquet", "test"), texts),
    "adult": (partial(parted, "tabular/adult.parquet", "test"), tables),
    "digits": (digits, as_they_are),
}


def build(name: str, raw: Split, path: Path, *, seed: int = 0) -> Path:
    """Make the features of one set and write them to an npz file, with what they are worth; its path."""
    start = time.perf_counter()
    accuracies = {}
    for X, X_test in SETS[name][1](raw.X, raw.X_test, seed):
        accuracies[X.shape[1]] = ridge(Split(X, raw.y, X_test, raw.y_test))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(unfinished, X=X, y=raw.y, X_test=X_test, y_test=raw.y_test)
    unfinished.replace(path)
    result = {
        "set": name,
        "seed": seed,
        "train": len(X),
        "test": len(X_test),
        "classes": int(raw.y.max()) + 1,
        "ridge": {str(d): accuracy for d, accuracy in accuracies.items()},
        "test_rows_also_in_train": copies(X, X_test),
        "seconds": time.perf_counter() - start,
    }
    write("features", result, path.with_suffix(".json"))
    return path


def cached(name: str, folder: Path, cache: Path) -> Path:
    """The npz of a whole set, made if it is not there yet."""
    path = cache / f"{name}.npz"
    return path if path.exists() else build(name, SETS[name][0](folder), path)


def load(path: Path) -> Split:
    """What `build` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return Split(file["X"], file["y"], file["X_test"], file["y_test"])


def copies(X: np.ndarray, X_test: np.ndarray) -> int:
    """The number of test rows whose features are those of a training row, whatever the labels."""
    known = {row.tobytes() for row in X}
    return sum(row.tobytes() in known for row in X_test)


def ridge(split: Split) -> dict[str, float]:
    """Ridge regression on one-hot labels, the penalty by leave-one-out: accuracy on rows left out, and on test rows."""
    n, mean = len(split.X), split.X.mean(axis=0, dtype=np.float64)
    targets = np.eye(int(split.y.max()) + 1)[split.y]
    shares = targets.mean(axis=0)
    values, vectors = spectrum(split.X, mean)
    towards = vectors.T @ (split.X.T @ (targets - shares).astype(np.float32))
    right = np.zeros(len(PENALTIES))
    for rows in blocks(n):
        turned = (split.X[rows] - mean) @ vectors
        square = turned * turned
        for at, penalty in enumerate(n * PENALTIES):
            shrunk = 1 / (values + penalty)
            fitted = turned @ (shrunk[:, None] * towards) + shares
            leverage = np.minimum(square @ shrunk + 1 / n, 1 - 1e-9)[:, None]
            left_out = (fitted - leverage * targets[rows]) / (1 - leverage)
            right[at] += (left_out.argmax(axis=1) == split.y[rows]).sum()
    best = int(right.argmax())
    weights = vectors @ (towards / (values + n * PENALTIES[best])[:, None])
    predicted = ((split.X_test - mean) @ weights + shares).argmax(axis=1)
    test = float((predicted == split.y_test).mean())
    return {"left_out": float(right[best] / n), "test": test, "penalty_over_n": float(PENALTIES[best])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True, help="folder that the features go to")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--train", type=int, help="the first training rows only")
    parser.add_argument("--test", type=int, help="the first test rows only")
    given = parser.parse_args()
    if given.data is None and given.sets != ["digits"]:
        parser.error("--data must name the folder of data sets, or set UNSEEN_DATA")
    # A part goes by another name, so that nobody takes it for the whole.
    ending = f"-first-{given.train}-{given.test}" if given.train or given.test else ""
    for name in given.sets:
        raw = SETS[name][0](given.data).first(given.train, given.test)
        path = build(name, raw, given.cache / f"{name}{ending}.npz")
        print(path.with_suffix(".json").read_text())


if __name__ == "__main__":
    main()
