"""Texts to vectors without labels: hashed TF-IDF, then a truncated singular value decomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.embedding.base import BLOCK_BYTES, Embedding, require, whole
from unseen.errors import ArgumentError
from unseen.protocols import Data
from unseen.types import FloatArray

__all__ = ["Tfidf", "rotation"]

HASHES = 2**18  # columns that words and word pairs are hashed to


class Tfidf:
    """Weights of words and word pairs, reduced: vectors float32 of `dimensions` numbers.

    Frequencies and directions are fitted on all texts of the data set, and on no label. The decomposition leaves
    columns of very unequal variance, and learners that standardise columns would blow up the least of them; so a random
    rotation follows, which changes no distance.

    Args:
        dimensions: d, at most the number of texts.

    """

    labels = "none"

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = whole("dimensions", dimensions)

    def describe(self) -> dict[str, object]:
        """The options."""
        return {"by": "tfidf", "dimensions": self.dimensions}

    def check(self, data: Data) -> None:
        """Texts, enough of them."""
        require("tfidf", data, "text", "texts")
        if self.dimensions > len(data):
            raise ArgumentError(
                f"dimensions must be at most the number of texts, {len(data)}, got {self.dimensions}; "
                f"by='tfidf:dimensions={len(data)}'"
            )

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Frequencies and directions of these texts."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.pipeline import make_pipeline

        words = HashingVectorizer(
            ngram_range=(1, 2), n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32
        )
        reduce = TruncatedSVD(self.dimensions, random_state=seeds.derive(seed, "svd") % 2**32)
        model = make_pipeline(words, TfidfTransformer(sublinear_tf=True), reduce)
        with np.errstate(invalid="ignore", divide="ignore"):  # the explained share of texts that are all alike
            model.fit(data.take(np.arange(len(data))))
        turn = rotation(self.dimensions, seed)

        def of(texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
            turned: npt.NDArray[Any] = model.transform(texts) @ turn
            return turned

        memory = 12 * HASHES * (self.dimensions + 10)  # three times the directions, while they are sought
        return Embedding(self.dimensions, of, max(1, BLOCK_BYTES // (8 * self.dimensions)), memory)


def rotation(d: int, seed: int) -> FloatArray:
    """float64 (d, d): a random orthogonal matrix."""
    turned: FloatArray = np.linalg.qr(seeds.generator(seed, "rotation").standard_normal((d, d)))[0]
    return turned
