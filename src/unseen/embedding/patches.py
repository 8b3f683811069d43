"""Images to vectors without any training: random patches of the images themselves as filters.

Coates and Ng, "The Importance of Encoding Versus Training with Sparse Coding and Vector Quantization", ICML 2011,
without their learning: patches at random places are normalised and whitened, and serve as filters; both signs of the
responses are rectified and pooled over the parts of the image. No label takes part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from unseen import seeds
from unseen.embedding.base import Embedding, block_of, require, whole
from unseen.errors import DataError
from unseen.protocols import Data
from unseen.types import FloatArray, IntArray

__all__ = ["CONTRAST", "THRESHOLD", "Filters", "Patches"]

CONTRAST, WHITENING, THRESHOLD = 10.0, 0.1, 0.25  # of pixels 0..255; of normalised patches; of unit filters
WHITENED_BY = 50  # patches that the whitening is estimated from, for each that becomes a filter
CUT_BYTES = 32 << 20  # of images that patches are cut from, at a time

Take = Callable[[IntArray], npt.NDArray[Any]]


class Patches:
    """Random patches, whitened, two-sided rectified, pooled: vectors float32 of 2 * patches * pool^2 numbers.

    Args:
        patches: how many filters.
        size: pixels of a side of a patch.
        pool: parts of the image a side, over each of which responses are averaged.

    """

    labels = "none"

    def __init__(self, patches: int = 400, size: int = 6, pool: int = 2) -> None:
        self.patches, self.size, self.pool = whole("patches", patches), whole("size", size, 2), whole("pool", pool)

    def describe(self) -> dict[str, object]:
        """The options."""
        return {"by": "patches", "patches": self.patches, "size": self.size, "pool": self.pool}

    def check(self, data: Data) -> None:
        """Images, that hold `pool` places for a patch each way."""
        require("patches", data, "image", "images")
        places = min(data.sample_shape[:2]) - self.size + 1
        if places < self.pool:
            height, width, _ = data.sample_shape
            raise DataError(
                f"images of {width} x {height} pixels have no {self.pool} x {self.pool} places for patches of "
                f"{self.size} x {self.size}; choose a smaller size, or pool=1"
            )

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Filters cut from these images. The numbers do not depend on the threads."""
        filters = Filters.drawn(data.take, len(data), data.sample_shape, self.patches, self.size, seed)
        height, width, channels = data.sample_shape
        places = (height - self.size + 1) * (width - self.size + 1)
        memory = 4 * threads * places * (2 * self.size**2 * channels + 2 * self.patches)
        vector = 2 * self.patches * self.pool**2
        return Embedding(vector, lambda x: filters.features(x, self.pool, threads), block_of(data, vector), memory)


@dataclass(frozen=True, eq=False)
class Filters:
    """Whitened patches as filters.

    Args:
        weights: float32 (k, s, s, C).
        offsets: float32 (k,), added to the response to a patch of mean 0 and contrast 1.

    """

    weights: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]

    @classmethod
    def drawn(cls, take: Take, n: int, shape: tuple[int, ...], count: int, size: int, seed: int) -> Filters:
        """Filters and whitening from patches of n images uint8 (H, W, C) that `take` gives by their rows."""
        draw = seeds.generator(seed, "patches")
        patches = _normalised(_cut(take, n, shape, WHITENED_BY * count, size, draw))
        mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
        whitening = (vectors / np.sqrt(values + WHITENING)) @ vectors.T
        filters = (_normalised(_cut(take, n, shape, count, size, draw)) - mean) @ whitening
        filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-12)
        weights = filters @ whitening  # the whitening is symmetric
        return cls(
            weights.reshape(count, size, size, shape[2]).astype(np.float32), -(weights @ mean).astype(np.float32)
        )

    def features(self, images: npt.NDArray[Any], pool: int, threads: int = 1) -> npt.NDArray[np.float32]:
        """float32 (m, 2 k pool^2): roots of the means of positive and negative responses, part by part."""
        size = self.weights.shape[1]
        weights = np.ascontiguousarray(self.weights.reshape(len(self.weights), -1).T)
        down, across = (_pooling(side - size + 1, pool) for side in images.shape[1:3])
        pooling = np.kron(down, across)
        out = np.empty((len(images), 2, len(self.weights), pool * pool), np.float32)

        def one(at: int) -> None:
            image = images[at].astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
            patches = windows.transpose(0, 1, 3, 4, 2).reshape(-1, len(weights))
            response = _normalised(patches) @ weights
            response += self.offsets
            out[at, 0] = (pooling @ np.maximum(response, THRESHOLD)).T
            out[at, 1] = -(pooling @ np.minimum(response, -THRESHOLD)).T

        # One image a thread: its responses stay in the cache, and products this small are slower when they are shared.
        with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool_of_threads:
            deque(pool_of_threads.map(one, range(len(images))), maxlen=0)
        np.subtract(out, THRESHOLD, out=out)
        np.sqrt(np.maximum(out, 0, out=out), out=out)
        return out.reshape(len(images), -1)


def _cut(take: Take, n: int, shape: tuple[int, ...], count: int, size: int, draw: np.random.Generator) -> FloatArray:
    """float64 (count, s * s * C) patches at random places of random images."""
    height, width = (side - size + 1 for side in shape[:2])
    rows, tops, lefts = (draw.integers(high, size=count) for high in (n, height, width))
    patches = np.empty((count, size * size * shape[2]))
    span = np.arange(size)
    step = max(1, CUT_BYTES // int(np.prod(shape)))
    order = np.argsort(rows, kind="stable")  # data in files is read in its order
    for start in range(0, count, step):
        at = order[start : start + step]
        images = take(rows[at])
        places = np.arange(len(at))[:, None, None]
        down, across = tops[at, None, None] + span[:, None], lefts[at, None, None] + span
        patches[at] = images[places, down, across].reshape(len(at), -1)
    return patches


def _normalised(patches: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mean 0 and the same contrast; the constant keeps plain patches plain."""
    centred: npt.NDArray[Any] = patches - patches.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", centred, centred)[:, None] / patches.shape[1]
    centred /= np.sqrt(variance + centred.dtype.type(CONTRAST))
    return centred


def _pooling(places: int, parts: int) -> npt.NDArray[np.float32]:
    """float32 (parts, places): the mean over each part; where they do not divide, a place belongs to two of them."""
    weights = np.zeros((parts, places), np.float32)
    for part in range(parts):
        start, end = part * places // parts, -(-(part + 1) * places // parts)
        weights[part, start:end] = 1 / (end - start)
    return weights
