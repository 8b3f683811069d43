"""Opening images: one pass over all of them that checks, hashes and, where they fit in memory, keeps them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.data.base import ArrayData, Samples
from unseen.data.content import Hashes
from unseen.data.fingerprint import changed, digest
from unseen.data.images import Decoded, Encoded, Pixels, decode, header_size, said_of_black
from unseen.data.labelling import Labelling
from unseen.errors import ArgumentError, DataError, some
from unseen.types import IntArray

__all__ = ["ImageData", "ImageOptions", "ImageSource", "default_memory_limit", "default_workers", "open_images"]

_HEADERS, _RUN = 256, 16
_FIRST = 64  # images decoded before it is known whether workers are worth their start
_PATIENCE = 8.0  # seconds of work that are not worth starting workers
_BATCH_BYTES = 16 << 20


class ImageSource(Protocol):
    """Where encoded images are."""

    def __len__(self) -> int: ...

    def read(self, rows: IntArray) -> list[Encoded]:
        """What is to be decoded for these rows: cheap to send to a worker process."""

    def name(self, row: int) -> str:
        """How to tell people which image is meant."""

    def keep(self, rows: IntArray) -> ImageSource:
        """These rows only."""


@dataclass(frozen=True)
class ImageOptions:
    """How images are opened; the meaning of each is in `from_folder`."""

    image_size: int | None = None
    mode: Literal["RGB", "L"] = "RGB"
    on_error: Literal["raise", "skip"] = "raise"
    memory_limit: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise ArgumentError(f"on_error must be 'raise' or 'skip', got {self.on_error!r}")
        if self.workers is not None and self.workers < 1:
            raise ArgumentError(f"workers must be at least 1, got {self.workers!r}")
        Pixels(self.mode, self.image_size, (1, 1))

    @property
    def processes(self) -> int:
        """The number of worker processes, where they are worth it."""
        return default_workers() if self.workers is None else self.workers

    @property
    def bytes_in_memory(self) -> int:
        """The memory limit in force."""
        return default_memory_limit() if self.memory_limit is None else self.memory_limit


class ImageData(Samples):
    """Images that are decoded whenever they are taken: data larger than the memory limit."""

    in_memory = False

    def __init__(self, source: ImageSource, rule: Pixels, labelled: Labelling, hashes: Hashes, **about: Any) -> None:
        super().__init__(labelled, **about)
        self.kind = "image"
        self.dtype = np.dtype(np.uint8)
        self.sample_shape = rule.shape
        self._source, self._rule, self._known = source, rule, hashes

    def take(self, rows: IntArray) -> npt.NDArray[np.uint8]:
        """Decode these images, uint8 (m, H, W, channels)."""
        rows = np.asarray(rows)
        decoded = decode(self._source.read(rows), self._rule)
        if decoded.broken or decoded.other_size or decoded.images is None:
            at, reason = decoded.broken[0] if decoded.broken else decoded.other_size or (0, "no pixels")
            raise changed(self._source.name(int(rows[at])), str(reason))
        other = np.flatnonzero((decoded.hashes != self._known[rows]).any(axis=1))
        if other.size:
            raise changed(self._source.name(int(rows[other[0]])), "its pixels are others")
        return decoded.images

    def _hashes(self) -> Hashes:
        return self._known

    def _values_digest(self, rows: IntArray) -> str:
        return digest(self._known[rows])


def open_images(source: ImageSource, labelled: Labelling, options: ImageOptions, **about: Any) -> Samples:
    """Read every image once: find those that cannot be read, hash all, keep all that fit in memory."""
    rule = _rule(source, options)
    opened = _read_all(source, rule, options)
    if opened.other_size is not None:
        # The sample of headers had one size, the rest has not.
        rule = _squares(_sampled_sizes(source), options)
        opened = _read_all(source, rule, options)
    notes = [*about.pop("notes", ()), rule.describe(), *said_of_black(opened.black)]
    rows = np.arange(len(source))
    if opened.broken:
        notes.append(_refuse_or_skip(source, opened.broken, options))
        rows = np.setdiff1d(rows, [row for row, _ in opened.broken])
        labelled, source = labelled.keep(rows), source.keep(rows)
    hashes = opened.hashes[rows]
    if opened.images is None:
        return ImageData(source, rule, labelled, hashes, notes=notes, **about)
    images = opened.images if len(rows) == len(opened.images) else opened.images[rows]
    return ArrayData(images, labelled, "image", hashes=hashes, notes=notes, **about)


def default_memory_limit() -> int:
    """A quarter of the memory of this machine, or of what its control group allows, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup") / name
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total // 4


def default_workers() -> int:
    """The cores that this process may use."""
    import joblib  # type: ignore[import-untyped]

    return int(joblib.cpu_count())


def _rule(source: ImageSource, options: ImageOptions) -> Pixels:
    if options.image_size is not None:
        return Pixels(options.mode, options.image_size, (options.image_size, options.image_size))
    sizes = _sampled_sizes(source)
    if len(set(sizes)) == 1:
        return Pixels(options.mode, None, sizes[0])
    return _squares(sizes, options)


def _squares(sizes: Sequence[tuple[int, int]], options: ImageOptions) -> Pixels:
    side = min(224, int(np.median([min(size) for size in sizes]))) if sizes else 224
    return Pixels(options.mode, side, (side, side))


def _sampled_sizes(source: ImageSource) -> list[tuple[int, int]]:
    n = len(source)
    # In runs, as rows that are far apart may each cost the reading of a row group.
    starts = seeds.generator(0, "headers", n).permutation(n)[: _HEADERS // _RUN]
    rows = np.arange(n) if n <= _HEADERS else np.unique((starts[:, None] + np.arange(_RUN)) % n)
    return [size for encoded in source.read(rows) if (size := header_size(encoded)) is not None]


@dataclass
class _Opened:
    images: npt.NDArray[np.uint8] | None
    hashes: Hashes
    broken: list[tuple[int, str]]
    other_size: tuple[int, tuple[int, int]] | None = None
    black: int = 0


def _read_all(source: ImageSource, rule: Pixels, options: ImageOptions) -> _Opened:
    n = len(source)
    image_bytes = int(np.prod(rule.shape))
    keep = n * image_bytes <= options.bytes_in_memory
    images = np.zeros((n, *rule.shape), np.uint8) if keep else None
    opened = _Opened(images, np.zeros((n, 2), np.uint64), [])
    step = max(1, min(512, _BATCH_BYTES // image_bytes))
    starts = [0, *range(_FIRST, n, step)]
    slices = [slice(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]

    started = time.perf_counter()
    first = decode(source.read(np.arange(n)[slices[0]]), rule, keep=keep)
    left = (time.perf_counter() - started) / max(1, min(n, _FIRST)) * (n - _FIRST)
    workers = 1 if options.workers is None and left < _PATIENCE else options.processes
    parts = ((source.read(np.arange(n)[at]), rule, keep) for at in slices[1:])
    for at, decoded in zip(slices, chain([first], _decode_all(parts, workers)), strict=False):
        if opened.images is not None and decoded.images is not None:
            opened.images[at] = decoded.images
        opened.hashes[at] = decoded.hashes
        opened.black += decoded.black
        opened.broken += [(at.start + place, reason) for place, reason in decoded.broken]
        if decoded.other_size is not None:
            return replace(opened, other_size=decoded.other_size)
    return opened


def _decode_all(parts: Iterable[tuple[list[Encoded], Pixels, bool]], workers: int) -> Iterator[Decoded]:
    """In order. joblib's processes neither fork (threads, CUDA) nor import the main script a second time."""
    if workers == 1:
        yield from (decode(encoded, rule, keep=keep) for encoded, rule, keep in parts)
        return
    import joblib

    pool = joblib.Parallel(
        n_jobs=workers, return_as="generator", batch_size=1, pre_dispatch="2 * n_jobs", max_nbytes=None
    )
    yield from pool(joblib.delayed(decode)(encoded, rule, keep=keep) for encoded, rule, keep in parts)


def _refuse_or_skip(source: ImageSource, broken: Sequence[tuple[int, str]], options: ImageOptions) -> str:
    named = some([f"{source.name(row)} ({reason})" for row, reason in broken])
    images = "1 image" if len(broken) == 1 else f"{len(broken):,} images"
    if options.on_error == "raise":
        raise DataError(
            f"{images} cannot be read: {named}; mend or remove them, or drop them with on_error='skip' "
            "(--on-error skip)"
        )
    if len(broken) == len(source):
        raise DataError(f"the data set is empty: none of its images can be read: {named}")
    return f"{images} dropped that cannot be read: {named}"
