"""Frozen features for the CPU tier of the study: heads on them train in seconds, so every method can be compared.

    python benchmarks/quality/features.py --data FOLDER --cache FOLDER [--sets cifar10 sst2 adult digits]

The features are **untrained and label-free**: no label and no test sample takes part in what they are, so a model of
them has seen exactly the samples that its head was trained on. Each set is written once, to `<cache>/<set>.npz` with
X (n, d) float32, y (n,), X_test and y_test, which `unseen.data.from_npz` reads; what it is worth is in the JSON beside.

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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from unseen import seeds
from unseen.data import resolve
from unseen.learners.torch.loading import load_torch

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

PATCHES, SIDE, POOLS = 400, 6, 2
IMAGE_DIMENSIONS, TEXT_DIMENSIONS, HASHES = 512, 256, 2**18
CONTRAST, WHITENING, THRESHOLD = 10.0, 0.1, 0.25  # of pixels 0..255; of normalised patches; of unit filters
BLOCK = 4  # images at a time: their responses, 5 MB, stay in the cache; larger memory is slow to get
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


@dataclass(frozen=True)
class Patches:
    """Random whitened patches as filters.

    Args:
        weights: float32 (k, C, s, s).
        offsets: float32 (k,), added to the response to a patch of mean 0 and contrast 1.
    """

    weights: np.ndarray
    offsets: np.ndarray

    @classmethod
    def drawn(cls, images: np.ndarray, seed: int) -> Patches:
        """Filters and whitening from patches of these images (n, H, W, C) uint8."""
        draw = seeds.generator(seed, "patches")
        patches = _normalised(_cut(images, 50 * PATCHES, draw))
        mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
        whitening = (vectors / np.sqrt(values + WHITENING)) @ vectors.T
        filters = (_normalised(_cut(images, PATCHES, draw)) - mean) @ whitening
        filters /= np.linalg.norm(filters, axis=1, keepdims=True)
        weights = filters @ whitening  # the whitening is symmetric
        shape = (PATCHES, SIDE, SIDE, images.shape[3])
        return cls(
            weights.reshape(shape).transpose(0, 3, 1, 2).astype(np.float32), -(weights @ mean).astype(np.float32)
        )

    def features(self, images: np.ndarray) -> np.ndarray:
        """float32 (n, 2 * k * pools^2): roots of the means of positive and negative responses, part by part."""
        load_torch()  # with threads that bear other processes beside them
        import torch
        from torch.nn import functional

        # Filters of mean 0 see a patch as if its mean were taken off.
        filters = self.weights - self.weights.mean(axis=(1, 2, 3), keepdims=True)
        weights = torch.from_numpy(filters).to(memory_format=torch.channels_last)
        offsets = torch.from_numpy(self.offsets)[:, None, None]
        out = np.empty((len(images), 2 * len(weights) * POOLS**2), np.float32)
        for start in range(0, len(images), BLOCK):
            x = torch.from_numpy(np.ascontiguousarray(images[start : start + BLOCK])).permute(0, 3, 1, 2).float()
            mean = functional.avg_pool2d(x.mean(1, keepdim=True), SIDE, 1)
            square = functional.avg_pool2d((x * x).mean(1, keepdim=True), SIDE, 1)
            deviation = (square - mean * mean).clamp_(min=0).add_(CONTRAST).sqrt_()
            response = functional.conv2d(x, weights).div_(deviation).add_(offsets)
            above = functional.adaptive_avg_pool2d(response.clamp(min=THRESHOLD), POOLS) - THRESHOLD
            below = -functional.adaptive_avg_pool2d(response.clamp_(max=-THRESHOLD), POOLS) - THRESHOLD
            means = torch.cat([above.flatten(1), below.flatten(1)], dim=1).clamp_(min=0)
            out[start : start + BLOCK] = means.sqrt_().numpy()
        return out


def _cut(images: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """float64 (count, s * s * C) patches at random places of random images."""
    height, width = (np.array(images.shape[1:3]) - SIDE + 1).tolist()
    rows, tops, lefts = (draw.integers(high, size=count) for high in (len(images), height, width))
    span = np.arange(SIDE)
    cut = images[rows[:, None, None], tops[:, None, None] + span[:, None], lefts[:, None, None] + span]
    return cut.reshape(count, -1).astype(np.float64)


def _normalised(patches: np.ndarray) -> np.ndarray:
    """Mean 0 and the same contrast; the constant keeps plain patches plain."""
    centred = patches - patches.mean(axis=1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=1, keepdims=True) + CONTRAST)


def images(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of images (n, H, W, C) uint8: all features, standardised; then reduced."""
    patches = Patches.drawn(train, seed)
    parts = [patches.features(part) for part in (train, test)]
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


def rotation(d: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(seeds.generator(seed, "rotation").standard_normal((d, d)))[0]


# ---- text, tables, digits --------------------------------------------------------------------------------------------


def texts(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of texts: hashed TF-IDF, reduced."""
    words = HashingVectorizer(ngram_range=(1, 2), n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32)
    reduce = TruncatedSVD(TEXT_DIMENSIONS, random_state=seeds.derive(seed, "svd") % 2**32)
    model = make_pipeline(words, TfidfTransformer(sublinear_tf=True), reduce)
    turn = rotation(TEXT_DIMENSIONS, seed)
    fitted = model.fit_transform(train)
    yield (fitted @ turn).astype(np.float32), (model.transform(test) @ turn).astype(np.float32)


def tables(train: np.ndarray, test: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of tables, object (n, d): a column with any text in it is one of categories, the others are numbers."""
    named = np.array([any(isinstance(value, str) for value in column) for column in train.T])
    parts = [np.where(part == None, "", part) for part in (train, test)]  # noqa: E711 - entry by entry
    model = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), named), (StandardScaler(), ~named)
    )
    yield model.fit_transform(parts[0]).astype(np.float32), model.transform(parts[1]).astype(np.float32)


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
