"""The protocol of embedders, and the built-in ones: `Columns` for tables, `Tfidf` for texts, `Patches` for images.

None of the built-in ones reads a label. Filters for images are random patches of the images themselves, after Coates
and Ng, "The Importance of Encoding Versus Training with Sparse Coding and Vector Quantization", ICML 2011, without
their learning: patches at random places are normalised and whitened.
"""

from __future__ import annotations

import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import at_least
from unseen.core.protocols import Data
from unseen.errors import ArgumentError, DataError

BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class Embedding:
    """A fitted function from inputs to vectors."""

    width: int  # d
    # From m inputs, as `Data.take` returns them, to numbers (m, d).
    of: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    block: int  # how many samples to embed at a time
    memory: int = 0  # bytes that it takes beside the inputs and outputs of one block, about


class Embedder(ABC):
    """An embedding before it is fitted: its kind and its options. It is fitted on inputs only, never on labels.

    Attributes:
        by: its name, if it has the default `describe`.
        labels: the labels that it was trained on, one of `LABELS`; unless it is "none", the user may know better.
        kinds: the kinds of data that it takes, and their name for messages.
    """

    by: str
    labels: str = "none"
    kinds: tuple[tuple[str, ...], str]

    def describe(self) -> dict[str, object]:
        """Return its name as `by`, and everything that changes its numbers, as JSON: by default all options."""
        return {"by": self.by, **{option: getattr(self, option) for option in inspect.signature(type(self)).parameters}}

    def check(self, data: Data) -> None:
        """Refuse data that it cannot embed."""
        kinds, inputs = self.kinds
        if data.kind not in kinds:
            raise ArgumentError(f"by={self.describe()['by']!r} makes vectors of {inputs}, but this is {data.kind} data")

    @abstractmethod
    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Fit an embedding to this data set. It also embeds others of the same kind and shape, on `threads` threads."""


def block_of(data: Data, width: int) -> int:
    """Return the number of samples whose inputs and vectors take about 32 MiB."""
    return max(1, BLOCK_BYTES // (data.sample_bytes + 4 * width))


# ---- tables ----------------------------------------------------------------------------------------------------------

MOST = 20_000  # columns; a table with more categories than this is refused


class Columns(Embedder):
    """Vectors of tables: one-hot categories, standardised numbers, and marks of missing entries, float32.

    A column that holds any text becomes one column of 0 and 1 for each category. "Missing" is one of the categories,
    and categories of fewer than `rare` rows are pooled into one. Any other column holds numbers. It is scaled to mean 0
    and variance 1, a missing entry becomes 0, and one more column marks the missing entries. The order is categories,
    numbers, marks. Categories, means and variances are fitted on all rows of the data set, and on no label.
    """

    by, kinds = "columns", (("table", "vector"), "tables")

    def __init__(self, rare: int = 10) -> None:
        self.rare = at_least("rare", rare, 1)

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Fit categories, means and variances to this table."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        d, block = data.sample_shape[0], block_of(data, data.sample_shape[0])
        if data.kind == "vector":  # which may be larger than memory
            scaler = StandardScaler()
            for start in range(0, len(data), block):
                scaler.partial_fit(data.take(np.arange(start, min(len(data), start + block))).astype(np.float64))
            return Embedding(d, lambda vectors: scaler.transform(vectors.astype(np.float64)), block)
        table = data.take(np.arange(len(data)))
        text = np.array([any(isinstance(value, str) for value in column) for column in table.T])
        texts, others = np.flatnonzero(text), np.flatnonzero(~text)
        numbers = others[~np.isnan(_floats(table, others)).all(axis=0)]
        categories = OneHotEncoder(
            min_frequency=self.rare, handle_unknown="infrequent_if_exist", sparse_output=False, dtype=np.float32
        )
        # Fitted one after the other: a ColumnTransformer would hold copies of all columns at once.
        scaled = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True))
        parts, width = [], 0
        for columns, model, entries in ((texts, categories, _keys), (numbers, scaled, _floats)):
            if len(columns):
                width += len(model.fit(entries(table, columns)).get_feature_names_out())
                parts.append((columns, model, entries))
        if width > MOST:
            raise DataError(
                f"the table would become {width:,} columns, more than {MOST:,}: too many categories; raise "
                f"rare (now {self.rare}), or leave columns of names and codes out"
            )
        if not width:
            raise DataError("the table holds nothing but missing entries")

        def of(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
            with warnings.catch_warnings():  # of categories that were never seen
                warnings.simplefilter("ignore", UserWarning)
                encoded = [model.transform(entries(table, columns)) for columns, model, entries in parts]
            return np.hstack(encoded).astype(np.float32)

        return Embedding(width, of, block_of(data, width))


def _keys(table: npt.NDArray[Any], columns: IntArray) -> npt.NDArray[Any]:
    """Return the categories as text (m, k); a missing entry sorts first."""
    return np.array([["" if value is None else f"={value}" for value in row] for row in table[:, columns]], object)


def _floats(table: npt.NDArray[Any], columns: IntArray) -> FloatArray:
    """Return the numbers as float64 (m, k), NaN where an entry is missing."""
    try:
        return np.array(table[:, columns], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a column of numbers must hold numbers throughout, but this data set holds other entries than the one "
            f"that the embedding was fitted on: {error}"
        ) from error


# ---- texts -----------------------------------------------------------------------------------------------------------

HASHES = 2**18  # columns that words and word pairs are hashed to


class Tfidf(Embedder):
    """Vectors of texts: TF-IDF weights of words and word pairs, reduced to float32 (m, `dimensions`).

    `dimensions` is at most the number of texts. Frequencies and directions are fitted on all texts of the data set, and
    on no label. The decomposition leaves columns of very unequal variance, and a learner that standardises columns
    would magnify the smallest of them. So a random rotation follows, which changes no distance.
    """

    by, kinds = "tfidf", (("text",), "texts")

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = at_least("dimensions", dimensions, 1)

    def check(self, data: Data) -> None:
        """Refuse all but texts, and fewer texts than dimensions."""
        super().check(data)
        if self.dimensions > len(data):
            raise ArgumentError(
                f"dimensions must be at most the number of texts, {len(data)}, got {self.dimensions}; "
                f"by='tfidf:dimensions={len(data)}'"
            )

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Fit frequencies and directions to these texts."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.pipeline import make_pipeline

        words = HashingVectorizer(
            ngram_range=(1, 2), n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32
        )
        reduce = TruncatedSVD(self.dimensions, random_state=seeds.derive(seed, "svd") % 2**32)
        model = make_pipeline(words, TfidfTransformer(sublinear_tf=True), reduce)
        with np.errstate(invalid="ignore", divide="ignore"):  # where all texts are equal, the explained share is 0 / 0
            model.fit(data.take(np.arange(len(data))))
        turn = rotation(self.dimensions, seed)
        memory = 12 * HASHES * (self.dimensions + 10)  # three times the directions, while they are fitted
        block = max(1, BLOCK_BYTES // (8 * self.dimensions))
        return Embedding(self.dimensions, lambda texts: model.transform(texts) @ turn, block, memory)


def rotation(d: int, seed: int) -> FloatArray:
    """Draw a random orthogonal matrix, float64 (d, d)."""
    return np.linalg.qr(seeds.generator(seed, "rotation").standard_normal((d, d))).Q


# ---- images ----------------------------------------------------------------------------------------------------------

CONTRAST, WHITENING, THRESHOLD = 10.0, 0.1, 0.25  # of pixels 0..255; of normalised patches; of unit filters
WHITENED_BY = 50  # patches for the estimate of the whitening, for each filter
CUT_BYTES = 32 << 20  # bytes of images held at a time while patches are cut from them

Take = Callable[[IntArray], npt.NDArray[Any]]


class Patches(Embedder):
    """Vectors of images, float32 (m, 2 patches pool^2): responses to random whitened patches, rectified and pooled.

    `patches` is the number of filters, `size` the side of a patch in pixels. The image is divided into `pool` x `pool`
    parts, and the responses of both signs are averaged over each.
    """

    by, kinds = "patches", (("image",), "images")

    def __init__(self, patches: int = 400, size: int = 6, pool: int = 2) -> None:
        self.patches, self.size = at_least("patches", patches, 1), at_least("size", size, 2)
        self.pool = at_least("pool", pool, 1)

    def check(self, data: Data) -> None:
        """Refuse all but images, and images too small for `pool` places of a patch in each direction."""
        super().check(data)
        places = min(data.sample_shape[:2]) - self.size + 1
        if places < self.pool:
            height, width, _ = data.sample_shape
            raise DataError(
                f"images of {width} x {height} pixels have no {self.pool} x {self.pool} places for patches of "
                f"{self.size} x {self.size}; choose a smaller size, or pool=1"
            )

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Cut filters from these images. The numbers do not depend on the threads."""
        filters = Filters.drawn(data.take, len(data), data.sample_shape, self.patches, self.size, seed)
        height, width, channels = data.sample_shape
        places = (height - self.size + 1) * (width - self.size + 1)
        memory = 4 * threads * places * (2 * self.size**2 * channels + 2 * self.patches)
        vector = 2 * self.patches * self.pool**2
        return Embedding(vector, lambda x: filters.features(x, self.pool, threads), block_of(data, vector), memory)


@dataclass(frozen=True, eq=False)
class Filters:
    """Whitened patches as filters."""

    weights: npt.NDArray[np.float32]  # (k, s, s, C)
    offsets: npt.NDArray[np.float32]  # (k,), added to the response to a patch of mean 0 and contrast 1

    @classmethod
    def drawn(cls, take: Take, n: int, shape: tuple[int, ...], count: int, size: int, seed: int) -> Filters:
        """Draw `count` filters of side `size`, and fit their whitening, from random patches of images.

        `take` returns images uint8 (m, H, W, C) by their rows, of which there are n; `shape` is (H, W, C).
        """
        draw = seeds.generator(seed, "patches")
        patches = _normalise(_cut(take, n, shape, WHITENED_BY * count, size, draw))
        mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
        whitening = (vectors / np.sqrt(values + WHITENING)) @ vectors.T
        filters = (_normalise(_cut(take, n, shape, count, size, draw)) - mean) @ whitening
        filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-12)
        weights = filters @ whitening  # the whitening is symmetric
        return cls(
            weights.reshape(count, size, size, shape[2]).astype(np.float32), -(weights @ mean).astype(np.float32)
        )

    def features(self, images: npt.NDArray[Any], pool: int, threads: int = 1) -> npt.NDArray[np.float32]:
        """Return float32 (m, 2 k pool^2): the roots of the mean positive and negative responses of each part."""
        size = self.weights.shape[1]
        weights = np.ascontiguousarray(self.weights.reshape(len(self.weights), -1).T)
        down, across = (_pooling(side - size + 1, pool) for side in images.shape[1:3])
        pooling = np.kron(down, across)
        out = np.empty((len(images), 2, len(self.weights), pool * pool), np.float32)

        def one(at: int) -> None:
            image = images[at].astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
            patches = windows.transpose(0, 1, 3, 4, 2).reshape(-1, len(weights))
            response = _normalise(patches) @ weights
            response += self.offsets
            out[at, 0] = (pooling @ np.maximum(response, THRESHOLD)).T
            out[at, 1] = -(pooling @ np.minimum(response, -THRESHOLD)).T

        # One image a thread: its responses stay in the cache, and so small a product is slower on several threads.
        with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool_of_threads:
            list(pool_of_threads.map(one, range(len(images))))
        np.subtract(out, THRESHOLD, out=out)
        np.sqrt(np.maximum(out, 0, out=out), out=out)
        return out.reshape(len(images), -1)


def _cut(take: Take, n: int, shape: tuple[int, ...], count: int, size: int, draw: np.random.Generator) -> FloatArray:
    """Cut patches at random places of random images: float64 (count, s * s * C)."""
    height, width = (side - size + 1 for side in shape[:2])
    rows, tops, lefts = (draw.integers(high, size=count) for high in (n, height, width))
    patches = np.empty((count, size * size * shape[2]))
    span = np.arange(size)
    step = max(1, CUT_BYTES // int(np.prod(shape)))
    order = np.argsort(rows, kind="stable")  # so that files are read in order
    for start in range(0, count, step):
        at = order[start : start + step]
        images = take(rows[at])
        places = np.arange(len(at))[:, None, None]
        down, across = tops[at, None, None] + span[:, None], lefts[at, None, None] + span
        patches[at] = images[places, down, across].reshape(len(at), -1)
    return patches


def _normalise(patches: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scale patches to mean 0 and equal contrast; the constant `CONTRAST` keeps flat patches flat."""
    centred: npt.NDArray[Any] = patches - patches.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", centred, centred)[:, None] / patches.shape[1]
    centred /= np.sqrt(variance + centred.dtype.type(CONTRAST))
    return centred


def _pooling(places: int, parts: int) -> npt.NDArray[np.float32]:
    """Return weights float32 (parts, places) that average over each part; a place may belong to two parts."""
    weights = np.zeros((parts, places), np.float32)
    for part in range(parts):
        start, end = part * places // parts, -(-(part + 1) * places // parts)
        weights[part, start:end] = 1 / (end - start)
    return weights
