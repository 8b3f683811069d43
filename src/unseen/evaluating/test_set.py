"""The test set of an evaluation: a given one or a probe split, and its overlap with the training set.

Exact copies are found by a digest of the content and make an evaluation wrong, whatever their labels. Near-duplicates
(3.3 % of CIFAR-10's test images have one, 10 % of CIFAR-100's, by Barz and Denzler 2020, arXiv 1902.00423) are a matter
of degree: they are counted and reported, and nothing is done about them.

Candidates for near-duplicates are found among all pairs by small descriptors, and confirmed one by one: images by their
edges at full resolution, because only these distinguish a copy from another image of the same shape; vectors by their
distance; texts by their words. How often this is wrong, and which altered copies it finds: docs/comparing.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import one_of
from unseen.core.protocols import Data
from unseen.core.words import percent
from unseen.data.base import blocks, hash_items, hash_rows
from unseen.data.parts import Joined, split_off
from unseen.errors import DataError, some

# From which similarity on two samples count as near-duplicates.
THRESHOLDS = {"image": 0.8, "vector": 0.99, "text": 0.9, "features": 0.95}
FEWEST_COLUMNS = 6  # of vectors; in fewer columns, many independent ones are as near to each other as altered copies
MOST_PAIRS = 4_000_000_000  # about a minute
_CANDIDATES = 8  # for each test sample, to be confirmed
_SIDE = 8  # of the thumbnails of images
_LOOSE = 0.6  # the least correlation of thumbnails for a closer look
_FULL = 32  # images of twice this side and more are reduced for the closer look
_REACH = 2  # pixels by which images may be shifted, in each direction
_SCALES = (1.0, 0.9, 1 / 0.9)
_PROMISING = 0.3  # from which similarity on at the first scale the others are tried
_CONTRAST = 2.0  # the least standard deviation of an image, in grey levels
# A copy is much nearer than images that are merely alike: its residual is at most this part of the candidates' median.
_STANDS_OUT = 0.3
_SURE = 0.99  # from this similarity on, a copy need not stand out: there may be many copies
_TOKENS = 0.8  # the least share of common words among all words of two texts
_CELLS = 1 << 24  # similarities held at once: 64 MiB in float32
_HASHED = 2**18  # dimensions of hashed texts

FAR_OFF = 0.02  # of a probe split, from the share asked for

Overlap = Literal["refuse", "drop", "keep"]
_KEEP = "overlap='keep' tests on them, if they are different samples that agree in all columns"


@dataclass(frozen=True, eq=False)
class Split:
    """The rows that an evaluation may train on, and the rows that it tests on."""

    data: Data  # the data set that holds both
    pool: IntArray  # int64 rows that may be trained on; rows of the training set keep their numbers
    test: IntArray  # int64 rows to test on
    text: str  # the origin of the test rows in words
    about: dict[str, Any] = field(default_factory=dict)  # the same as JSON
    features: npt.NDArray[Any] | None = None  # (n, d) of the training set, where the baseline `"dedup"` is drawn


def split_by_test_set(train: Data, test: Data, *, overlap: Overlap = "refuse") -> Split:
    """Split off a given test set; test samples that equal training samples are refused, dropped or kept.

    >>> from unseen.data import resolve
    >>> train, test = resolve(([[0.0], [1.0], [2.0]], [0, 1, 0])), resolve(([[3.0], [1.0]], [0, 1]))
    >>> split_by_test_set(train, test, overlap="drop").test.tolist()
    [3]
    """
    one_of("overlap", overlap, get_args(Overlap))
    data = Joined(train, test)
    pool, rows = np.arange(len(train)), data.test_rows
    copies = exact_copies(data, pool, rows)
    copied = test.ids[copies[:, 0] - len(train)]
    if len(copies) and overlap == "refuse":
        pairs = [
            f"{a} (training id {b})" for a, b in zip(copied.tolist(), train.ids[copies[:, 1]].tolist(), strict=True)
        ]
        raise DataError(
            f"{len(copies):,} of {len(test):,} test samples are exact copies of training samples: test ids "
            f"{some(pairs)}; overlap='drop' leaves them out of the test; {_KEEP}"
        )
    if len(copies) and overlap == "keep":
        text = f"a test set of {len(test):,} samples, {len(copies):,} of them equal to training samples"
        return Split(data, pool, rows, text, {"by": "test set", "n": len(rows), "equal": len(copies)})
    rows = np.setdiff1d(rows, copies[:, 0], assume_unique=True)
    if not len(rows):
        raise DataError(
            f"every test sample is an exact copy of a training sample: there is nothing to test on; {_KEEP}"
        )
    dropped = f", less {len(copies):,} exact copies of training samples" if len(copies) else ""
    about = {"by": "test set", "n": len(rows), "dropped": len(copies), "dropped_ids": copied[:20].tolist()}
    return Split(data, pool, rows, f"a test set of {len(test):,} samples{dropped}", about)


def split_off_probe(train: Data, share: float, *, seed: int) -> Split:
    """Split a probe off the training set, on which no arm trains; see `split_off`."""
    rest, probe = split_off(train, share, seed=seed)
    far = explain_share(rest, probe, share)
    text = (
        f"a probe split of {len(probe):,} training samples{f' ({far})' if far else ''}, on which no arm "
        "trains; the coreset was chosen with their labels"
    )
    return Split(train, rest.rows, probe.rows, text, {"by": "probe split", "n": len(probe), "share": float(share)})


def explain_share(rest: Data, probe: Data, share: float) -> str:
    """Say what share of the data a probe split is, where that is far from the share asked for; else return nothing."""
    actual = len(probe) / (len(rest) + len(probe))
    if abs(actual - share) <= FAR_OFF:
        return ""
    return f"{actual:.2g} of the data, not {share:g}, since equal samples, and those of one group, stay on one side"


# ---- overlap with the training set ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """The test samples that have a near-duplicate in the training set."""

    by: str  # the measure compared, in words; `""` where nothing was compared
    threshold: float  # the least similarity of a near-duplicate
    looked_at: int  # how many test samples there are
    test_rows: IntArray  # int64 (d,) rows of the near-duplicates, most similar first
    train_rows: IntArray  # int64 (d,) the nearest training sample of each
    similarity: FloatArray  # float64 (d,), rounded to 4 decimals
    why: str = ""  # the reason where nothing was compared

    @property
    def share(self) -> float:
        """The share of the test samples that have a near-duplicate."""
        return len(self.test_rows) / self.looked_at

    def text(self) -> str:
        """Describe the result in words."""
        if not self.by:
            return f"not looked for: {self.why}"
        return (
            f"{len(self.test_rows):,} of {self.looked_at:,} test samples ({percent(self.share)}) have one in the "
            f"training set, an estimate by {self.by} of at least {self.threshold:g}"
        )

    def describe(self) -> dict[str, Any]:
        """Return the result as JSON, with the 20 pairs that are most alike."""
        pairs = zip(self.test_rows.tolist(), self.train_rows.tolist(), self.similarity.tolist(), strict=True)
        alike = [{"test_row": t, "train_row": r, "similarity": s} for t, r, s in list(pairs)[:20]]
        about = {"by": self.by, "threshold": self.threshold, "looked_at": self.looked_at, "why": self.why}
        return {**about, "found": len(self.test_rows), "text": self.text(), "most_alike": alike}


def exact_copies(data: Data, train: IntArray, test: IntArray) -> IntArray:
    """Find the test rows with the same content as a training row, whatever the labels.

    Returns int64 (d, 2): the test row and the first training row of the same content, in the order of `test`.

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
    data: Data, train: IntArray, test: IntArray, *, features: npt.NDArray[Any] | None = None
) -> NearDuplicates:
    """Find the test rows that are nearly equal to a training row.

    All pairs are compared, block by block: time O(n m), memory O(n + m). The eight nearest candidates of each test row
    are then examined, by the kind of data:

    - Images: candidates by thumbnails of 8 x 8 pixels, also mirrored. Confirmed by the correlation of gradients at
      full resolution, the best over shifts of up to 2 pixels and 10 % in size; images of 64 pixels and more are
      reduced to 32 to 63 first. The residual (1 - correlation) must be at most 0.3 of the median over the candidates:
      where all images are alike, only a copy stands out. An image without contrast has no near-duplicate.
    - Vectors: candidates by the cosine of the features, standardised by the training rows. Confirmed by
      1 - d^2 / 2, where d is the distance relative to the longer of the two vectors.
    - Texts: candidates by the cosine of their TF-IDF vectors (words and word pairs, hashed). Confirmed where at least
      four fifths of the words of both texts together are common to both.
    - Tables, and vectors of fewer than six columns: not compared; only exact copies are found.

    `features`, (N, d) of every row of `data`, are compared as vectors in place of the content.

    >>> from unseen.data import resolve
    >>> images = np.random.default_rng(0).integers(0, 200, (4, 8, 8, 1), np.uint8)
    >>> images[3] = images[1] + 50  # the same image, brighter
    >>> near_duplicates(resolve((images, [0, 1, 0, 1])), np.arange(3), np.array([3])).train_rows.tolist()
    [1]
    """
    kind = data.kind if features is None else "features"
    least = THRESHOLDS.get(kind, 1.0)
    shape = data.sample_shape if features is None else features.shape[1:]
    if why := _reason_to_skip(data, kind, shape, len(train) * len(test)):
        nothing = np.empty(0, np.int64)
        return NearDuplicates("", least, len(test), nothing, nothing, np.empty(0), why)
    if kind == "features":
        assert features is not None
        by, at, similarity = _compare_vectors(features[train], features[test])
        by = f"{by} given"
    elif kind == "vector":
        by, at, similarity = _compare_vectors(data.take(train), data.take(test))
    else:
        by, at, similarity = (_compare_images if kind == "image" else _compare_texts)(data, train, test)
    best = np.arange(len(test)), similarity.argmax(axis=1)
    at, similarity = at[best], np.round(similarity[best], 4)  # rounded, so that the order of a sum does not show
    near = np.flatnonzero(similarity >= least)
    near = near[np.argsort(-similarity[near], kind="stable")]
    return NearDuplicates(by, least, len(test), test[near], train[at[near]], similarity[near])


def _reason_to_skip(data: Data, kind: str, shape: tuple[int, ...], pairs: int) -> str:
    """Return why the samples cannot be compared; empty where they can."""
    if kind == "table":
        return "tables are compared for exact copies only"
    if kind in ("vector", "features") and shape[0] < FEWEST_COLUMNS:
        return f"in fewer than {FEWEST_COLUMNS} columns, samples that are no copies are as alike"
    if pairs > MOST_PAIRS:
        return f"{pairs:,} pairs of samples are too many to compare"
    if kind == "image" and not data.in_memory:
        return "the images are read from files as they are needed; give features to compare by"
    return ""


def _compare_images(data: Data, train: IntArray, test: IntArray) -> tuple[str, IntArray, FloatArray]:
    """Compare images; return the measure, and for each test row the candidates' positions and similarities, (m, k)."""
    queries = [_thumbnails(data, test), _thumbnails(data, test, mirrored=True)]
    at, alike, mirrored = _find_candidates(_thumbnails(data, train), queries)
    edges = np.zeros(at.shape)
    promising = np.flatnonzero(alike[:, 0] >= _LOOSE)
    size = 64 * at.shape[1] * int(np.prod(data.sample_shape, dtype=np.int64))
    for block in blocks(len(promising), size):
        rows = promising[block]
        images, others = _grey(data.take(test[rows])), _grey(data.take(train[at[rows].ravel()]))
        images = np.repeat(images, at.shape[1], axis=0)
        turned = mirrored[rows].ravel()
        images[turned] = images[turned, :, ::-1]
        edges[rows] = _edge_correlation(images, others).reshape(len(rows), -1)
    edges = np.round(edges, 4)  # the order of a sum must not decide
    if at.shape[1] > 2:
        best, usual = edges.max(axis=1), np.median(edges, axis=1)
        edges[(1 - best > _STANDS_OUT * (1 - usual)) & (best < _SURE)] = 0
    return "the correlation of edges at full resolution", at, edges


def _compare_vectors(known: npt.NDArray[Any], queries: npt.NDArray[Any]) -> tuple[str, IntArray, FloatArray]:
    """Compare vectors by 1 - d^2 / 2 of their relative distance d: the cosine where both have the same length."""
    known, queries = np.asarray(known, np.float32), np.asarray(queries, np.float32)
    mean, spread = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1
    known, queries = (((values - mean) / spread).astype(np.float32) for values in (known, queries))
    at, _, _ = _find_candidates(_unit(known), [_unit(queries)])
    similarity = np.empty(at.shape)
    for block in blocks(len(queries), 8 * at.shape[1] * known.shape[1]):
        a, b = queries[block][:, None], known[at[block]]
        length = np.maximum(np.linalg.norm(a, axis=2), np.linalg.norm(b, axis=2))
        distance = np.where(length > 1e-3, np.linalg.norm(a - b, axis=2) / np.maximum(length, 1e-3), 1)
        similarity[block] = 1 - distance**2 / 2
    return "the cosine and length of standardised features", at, similarity


def _compare_texts(data: Data, train: IntArray, test: IntArray) -> tuple[str, IntArray, FloatArray]:
    """Compare texts by the cosine of their TF-IDF vectors where their sets of words agree, else 0."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(n_features=_HASHED, ngram_range=(1, 2), norm=None, alternate_sign=False)
    counts = [hashing.transform(data.take(rows)) for rows in (train, test)]
    weighting = TfidfTransformer(sublinear_tf=True).fit(counts[0])
    known, queries = (weighting.transform(count).astype(np.float32) for count in counts)
    at, similarity, _ = _find_candidates(known, [queries])
    for i in np.flatnonzero(similarity[:, 0] > 0):
        words = _words(data.take(test[i : i + 1])[0])
        for j, text in enumerate(data.take(train[at[i]])):
            others = _words(text)
            if len(words & others) < _TOKENS * len(words | others):
                similarity[i, j] = 0
    return "the cosine of TF-IDF vectors and common words", at, similarity


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _grey(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Average the colours, and reduce large images by a whole factor to a side of 32 to 63: float32 (m, H, W)."""
    grey = images.mean(axis=3, dtype=np.float32)
    _, height, width = grey.shape
    factor = max(1, min(height, width) // _FULL)
    height, width = height // factor, width // factor
    cells = grey[:, : height * factor, : width * factor].reshape(-1, height, factor, width, factor)
    reduced: npt.NDArray[np.float32] = cells.mean(axis=(2, 4), dtype=np.float32)
    return reduced


def _edge_correlation(images: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> FloatArray:
    """Correlate the gradients of pairs of images: float64 (m,), the best over small shifts and changes of size."""
    _, height, width = images.shape
    reach = min(_REACH, min(height, width) // 8)
    inner = (slice(None), slice(reach, height - reach), slice(reach, width - reach))
    wanted = _gradients(images)[inner].reshape(len(images), 1, -1)
    contrast = np.minimum(images.std(axis=(1, 2)), others.std(axis=(1, 2)))
    best = np.zeros(len(images))
    enough = np.flatnonzero(contrast >= _CONTRAST)
    for scale in _SCALES:
        look = enough if scale == 1 else enough[best[enough] >= _PROMISING]
        gradients, targets = _gradients(_rescale(others[look], scale)), wanted[look]
        for down in range(2 * reach + 1):
            for across in range(2 * reach + 1):
                window = gradients[:, down : height - 2 * reach + down, across : width - 2 * reach + across]
                window = window.reshape(len(look), targets.shape[2], 1)
                lengths = np.linalg.norm(targets[:, 0], axis=1) * np.linalg.norm(window[:, :, 0], axis=1)
                best[look] = np.maximum(best[look], (targets @ window)[:, 0, 0] / np.maximum(lengths, 1e-3))
    return best


def _gradients(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.stack([wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1], wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]], axis=3)


def _rescale(images: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    """Resize images about their centre by linear interpolation; a scale below 1 enlarges the content."""
    if scale == 1:
        return images
    interpolate = []
    for side in images.shape[1:]:
        at = np.clip((np.arange(side) - (side - 1) / 2) * scale + (side - 1) / 2, 0, side - 1)
        low = np.floor(at).astype(np.int64)
        weights = np.zeros((side, side), np.float32)
        weights[np.arange(side), low] += 1 - (at - low)
        weights[np.arange(side), np.minimum(low + 1, side - 1)] += at - low
        interpolate.append(weights)
    return np.asarray(interpolate[0] @ images @ interpolate[1].T, np.float32)


def _contents(data: Data, rows: IntArray) -> Iterator[bytes]:
    """Yield a hash of the content of each row."""
    size = int(np.prod(data.sample_shape, dtype=np.int64)) * data.dtype.itemsize
    for block in blocks(len(rows), size):
        inputs = data.take(rows[block])
        if data.kind == "text":
            hashes = hash_items(text.encode("utf-8", "surrogatepass") for text in inputs)
        elif data.kind == "table":
            lines = ("\x1f".join(map(_entry, row)) for row in inputs)
            hashes = hash_items(line.encode("utf-8", "surrogatepass") for line in lines)
        else:
            hashes = hash_rows(inputs)
        yield from (content.tobytes() for content in hashes)


def _entry(value: object) -> str:
    # A column of whole numbers in one file may be one of real numbers in the other.
    return "" if value is None else f"t{value}" if isinstance(value, str) else f"n{float(value)!r}"  # type: ignore[arg-type]


def _thumbnails(data: Data, rows: IntArray, mirrored: bool = False) -> npt.NDArray[np.float32]:
    """Return thumbnails as float32 (m, d) unit vectors of mean 0: averages over a grid, each colour by itself."""
    height, width, channels = data.sample_shape
    down = np.arange(min(_SIDE, height)) * height // min(_SIDE, height)
    across = np.arange(min(_SIDE, width)) * width // min(_SIDE, width)
    cells = np.outer(np.diff([*down, height]), np.diff([*across, width])).astype(np.float32)
    made = []
    for block in blocks(len(rows), 4 * height * width * channels):
        images = data.take(rows[block]).astype(np.float32)
        images = images[:, :, ::-1] if mirrored else images
        sums = np.add.reduceat(np.add.reduceat(images, down, axis=1), across, axis=2)
        small = (sums / cells[:, :, None]).reshape(len(images), -1)
        made.append(_unit(small - small.mean(axis=1, keepdims=True)))
    return np.concatenate(made)


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # A vector of nearly 0 has no direction: rounding must not give it one.
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.where(length > 1e-3, values / np.maximum(length, 1e-3), 0)
    return unit


def _find_candidates(known: Any, queries: list[Any]) -> tuple[IntArray, FloatArray, npt.NDArray[np.bool_]]:
    """Find the k known unit vectors that are most similar to each query, nearest first.

    The m queries come in one or two forms, of which the nearer counts. Return int64, float64 and bool (m, k): position,
    similarity and whether the second form is the nearer one.
    """
    m, n = queries[0].shape[0], known.shape[0]
    k = min(_CANDIDATES, n)
    at, similarity, second = np.empty((m, k), np.int64), np.empty((m, k)), np.zeros((m, k), np.bool_)
    step = max(1, _CELLS // max(1, n))
    turned = known.T.tocsc() if hasattr(known, "tocsc") else known.T
    for start in range(0, m, step):
        block = slice(start, min(start + step, m))
        forms = [form[block] @ turned for form in queries]
        forms = [form.toarray() if hasattr(form, "toarray") else form for form in forms]
        products = forms[0] if len(forms) == 1 else np.maximum(*forms)
        best = np.argpartition(products, n - k, axis=1)[:, n - k :]
        highest = np.take_along_axis(products, best, axis=1)
        # Rounded, and among equals the first row comes first, so that the order of a sum does not show.
        order = np.lexsort((best, -np.round(highest, 4)), axis=1)
        at[block] = np.take_along_axis(best, order, axis=1)
        similarity[block] = np.take_along_axis(highest, order, axis=1)
        if len(forms) == 2:
            second[block] = np.take_along_axis(forms[1] > forms[0], at[block], axis=1)
    return at, similarity, second
