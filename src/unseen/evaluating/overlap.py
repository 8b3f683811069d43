"""What a test set shares with the training set: exact copies, and near-duplicates by features.

Exact copies are found by a digest of the content and make an evaluation wrong, whatever their labels. Near-duplicates
(3.3 % of CIFAR-10's test images have one, 10 % of CIFAR-100's, by Barz and Denzler 2020, arXiv 1902.00423) are a matter
of degree: they are counted and reported, and nothing is done about them.

On CIFAR-10 the default for images finds 311 test images (3.1 %); of the 286 in the list that these authors made by
hand 56 % are among them, and 52 % of those found are in the list: right in number, an estimate of which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.data.content import Hashes, blocks, hash_items, hash_rows
from unseen.errors import ArgumentError
from unseen.protocols import Data
from unseen.types import FloatArray, IntArray

__all__ = ["MOST_PAIRS", "THRESHOLDS", "NearDuplicates", "exact_copies", "near_duplicates"]

# From which similarity on two samples count as near-duplicates.
THRESHOLDS = {"image": 0.95, "vector": 0.99, "text": 0.9, "features": 0.95}
MOST_PAIRS = 4_000_000_000  # about a minute
_SIDE = 8  # of the thumbnails of images
_CELLS = 1 << 24  # similarities held at once: 64 MiB in float32
_HASHED = 2**18  # dimensions of hashed texts

Take = Callable[[IntArray], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """The test samples that have a near-duplicate in the training set.

    Args:
        by: what was compared, in words; `""` where nothing was, and `why` says why.
        threshold: the least similarity of a near-duplicate.
        looked_at: how many test samples there are.
        test_rows: int64 (d,) rows of those found, most similar first.
        train_rows: int64 (d,) the nearest training sample of each.
        similarity: float64 (d,), rounded to 4 decimals.
        why: the reason why nothing was compared.

    """

    by: str
    threshold: float
    looked_at: int
    test_rows: IntArray
    train_rows: IntArray
    similarity: FloatArray
    why: str = ""

    @property
    def share(self) -> float:
        """Of the test samples."""
        return len(self.test_rows) / self.looked_at

    def text(self) -> str:
        """In words."""
        if not self.by:
            return f"not looked for: {self.why}"
        return (
            f"{len(self.test_rows):,} of {self.looked_at:,} test samples ({100 * self.share:.1f} %) have one in the "
            f"training set, an estimate by {self.by} of at least {self.threshold:g}"
        )

    def describe(self, most: int = 20) -> dict[str, Any]:
        """As JSON, with the pairs that are most alike."""
        found = zip(self.test_rows.tolist(), self.train_rows.tolist(), self.similarity.tolist(), strict=True)
        pairs = [{"test_row": t, "train_row": r, "similarity": s} for t, r, s in list(found)[:most]]
        about = {"by": self.by, "threshold": self.threshold, "looked_at": self.looked_at, "why": self.why}
        return {**about, "found": len(self.test_rows), "text": self.text(), "most_alike": pairs}


def exact_copies(data: Data, train: IntArray, test: IntArray) -> IntArray:
    """The test rows whose content is that of a training row, whatever the labels.

    Args:
        data: the data set that holds both.
        train: int64 rows.
        test: int64 rows.

    Returns:
        int64 (d, 2): row in the test set and the first training row of the same content, in the order of `test`.

    >>> from unseen.data import resolve
    >>> data = resolve(([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]], [0, 1, 1]))
    >>> exact_copies(data, np.array([0, 1]), np.array([2])).tolist()
    [[2, 0]]

    """
    first: dict[bytes, int] = {}
    for row, content in zip(train.tolist(), _contents(data, train), strict=True):
        first.setdefault(content, row)
    of = [(row, first.get(content, -1)) for row, content in zip(test.tolist(), _contents(data, test), strict=True)]
    return np.array([pair for pair in of if pair[1] >= 0], np.int64).reshape(-1, 2)


def near_duplicates(
    data: Data,
    train: IntArray,
    test: IntArray,
    *,
    features: npt.NDArray[Any] | None = None,
    threshold: float | None = None,
) -> NearDuplicates:
    """The test rows that are nearly equal to a training row, by the kind of data.

    Images: correlation of their 8 x 8 thumbnails. Vectors: cosine of the features, standardised by the training
    rows. Texts: cosine of their TF-IDF vectors (words and word pairs, hashed). Tables: nothing, exact copies only.
    All pairs are compared, block by block: time O(n m), memory O(n + m).

    Args:
        data: the data set that holds both.
        train: int64 (n,) rows.
        test: int64 (m,) rows.
        features: (N, d) of every row of `data`, compared by the cosine of standardised features in place of the
            content.
        threshold: the least similarity, in (0, 1]; by the kind of data if not given.

    >>> from unseen.data import resolve
    >>> images = np.random.default_rng(0).integers(0, 200, (4, 8, 8, 1), np.uint8)
    >>> images[3] = images[1] + 50  # the same image, brighter
    >>> near_duplicates(resolve((images, [0, 1, 0, 1])), np.arange(3), np.array([3])).train_rows.tolist()
    [1]

    """
    kind = data.kind if features is None else "features"
    if threshold is not None and not 0 < threshold <= 1:
        raise ArgumentError(f"threshold must be in (0, 1], got {threshold!r}")
    least = THRESHOLDS.get(kind, 1.0) if threshold is None else threshold
    nothing, none = np.empty(0, np.int64), np.empty(0)
    why = _why_not(data, kind, len(train) * len(test))
    if why:
        return NearDuplicates("", least, len(test), nothing, nothing, none, why)
    by, (known, asked) = _vectors(data, train, test, features)
    at, similarity = _nearest(known, asked)
    found = np.flatnonzero(similarity >= least)
    found = found[np.argsort(-similarity[found], kind="stable")]
    return NearDuplicates(by, least, len(test), test[found], train[at[found]], similarity[found])


def _why_not(data: Data, kind: str, pairs: int) -> str:
    if kind == "table":
        return "tables are compared for exact copies only"
    if pairs > MOST_PAIRS:
        return f"{pairs:,} pairs of samples are too many to compare"
    if kind == "image" and not getattr(data, "in_memory", True):
        return "the images are read from files as they are needed; give features to compare by"
    return ""


def _vectors(data: Data, train: IntArray, test: IntArray, features: npt.NDArray[Any] | None) -> tuple[str, Any]:
    """What is compared in words, and unit vectors of the training and of the test rows."""
    if features is not None:
        return "the cosine of the features given", _standardised(lambda rows: features[rows], train, test)
    if data.kind == "image":
        return (
            f"the correlation of thumbnails of {_SIDE} x {_SIDE} pixels",
            tuple(np.concatenate(list(_thumbnails(data, rows))) for rows in (train, test)),
        )
    if data.kind == "vector":
        return "the cosine of standardised features", _standardised(data.take, train, test)
    return "the cosine of TF-IDF vectors", _tfidf(data, train, test)


def _contents(data: Data, rows: IntArray) -> Iterator[bytes]:
    size = int(np.prod(data.sample_shape, dtype=np.int64)) * data.dtype.itemsize
    for block in blocks(len(rows), size):
        for content in _hashed(data.kind, data.take(rows[block])):
            yield content.tobytes()


def _hashed(kind: str, inputs: npt.NDArray[Any]) -> Hashes:
    if kind == "text":
        return hash_items(text.encode("utf-8", "surrogatepass") for text in inputs)
    if kind == "table":
        return hash_items("\x1f".join(map(_entry, row)).encode("utf-8", "surrogatepass") for row in inputs)
    return hash_rows(inputs)


def _entry(value: object) -> str:
    # A column of whole numbers in one file may be one of real numbers in the other.
    return "" if value is None else f"t{value}" if isinstance(value, str) else f"n{float(value)!r}"  # type: ignore[arg-type]


def _thumbnails(data: Data, rows: IntArray) -> Iterator[npt.NDArray[np.float32]]:
    """Float32 (m, d) unit vectors without a mean: means over the cells of a grid, each colour by itself."""
    height, width, channels = data.sample_shape
    down = np.arange(min(_SIDE, height)) * height // min(_SIDE, height)
    across = np.arange(min(_SIDE, width)) * width // min(_SIDE, width)
    cells = np.outer(np.diff([*down, height]), np.diff([*across, width])).astype(np.float32)
    for block in blocks(len(rows), 4 * height * width * channels):
        images = data.take(rows[block]).astype(np.float32)
        sums = np.add.reduceat(np.add.reduceat(images, down, axis=1), across, axis=2)
        small = (sums / cells[:, :, None]).reshape(len(images), -1)
        yield _unit(small - small.mean(axis=1, keepdims=True))


def _standardised(take: Take, train: IntArray, test: IntArray) -> tuple[npt.NDArray[np.float32], ...]:
    known, asked = (np.asarray(take(rows), np.float32) for rows in (train, test))
    mean, spread = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1
    return tuple(_unit(((values - mean) / spread).astype(np.float32)) for values in (known, asked))


def _tfidf(data: Data, train: IntArray, test: IntArray) -> tuple[Any, ...]:
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(n_features=_HASHED, ngram_range=(1, 2), norm=None, alternate_sign=False)
    counts = [hashing.transform(data.take(rows)) for rows in (train, test)]
    weighting = TfidfTransformer(sublinear_tf=True).fit(counts[0])
    return tuple(weighting.transform(count).astype(np.float32) for count in counts)


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # What is all but constant points nowhere: rounding must not give it a direction.
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.where(length > 1e-3, values / np.maximum(length, 1e-3), 0)
    return unit


def _nearest(known: Any, asked: Any) -> tuple[IntArray, FloatArray]:
    """For each vector asked about the position of the most similar known one, and their similarity."""
    m = asked.shape[0]
    at, similarity = np.empty(m, np.int64), np.empty(m)
    step = max(1, _CELLS // max(1, known.shape[0]))
    turned = known.T.tocsc() if hasattr(known, "tocsc") else known.T
    for start in range(0, m, step):
        block = slice(start, min(start + step, m))
        products = asked[block] @ turned
        products = products.toarray() if hasattr(products, "toarray") else products
        at[block] = products.argmax(axis=1)
        # Rounded beyond what a sum in another order moves.
        similarity[block] = np.round(products.max(axis=1).astype(np.float64), 4)
    return at, similarity
