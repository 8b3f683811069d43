"""Images: decoding with Pillow, the resize rule, and the pass over all images that opens a data set.

**Decoding.** An image is decoded, turned upright by its EXIF orientation (viewers and Hugging Face `datasets` do so,
torchvision's `ImageFolder` does not; a value outside the standard's 1 to 8 is ignored), and converted to `"RGB"` or
`"L"`. Transparency is dropped. 16-bit channels keep their upper 8 bits, and a note counts the images that become all
black by this. The first frame of an animation is used. 32-bit and floating-point images are refused.

**Resize rule.** Images that all have one size are left as they are, unless `image_size` is given. Otherwise the
shorter side is resized to S (Pillow's bilinear filter, which is antialiased), and the central S x S is cropped. S is
`image_size` or, by default, the smaller of 224 and the median shorter side of a seeded sample of 256 images (16 runs
of 16). The notes of the data set say which rule was used.

**Opening.** `open_images` reads all images once. It finds those that cannot be read, hashes all, and keeps them in
memory if they fit. If they do not, `ImageData` decodes them whenever they are taken.
"""

from __future__ import annotations

import io
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.data.base import ArrayData, Samples
from unseen.data.content import Hashes, changed, digest, hash_items
from unseen.data.files import no_file
from unseen.data.labels import Labelling
from unseen.errors import ArgumentError, DataError, some

__all__ = [
    "Decoded",
    "Encoded",
    "ImageData",
    "ImageOptions",
    "ImageSource",
    "Pixels",
    "decode",
    "default_memory_limit",
    "default_workers",
    "header_size",
    "is_deep",
    "note_on_black",
    "open_images",
    "pixels",
    "total_memory",
    "upright",
]


Encoded: TypeAlias = bytes | Path | None  # the content of a file, its path, or no image
Size: TypeAlias = tuple[int, int]

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
# Without a format, Pillow tries every plugin in turn, which takes a third of the time of small images.
_FORMATS = {b"RIFF": ("WEBP",), b"\xff\xd8\xff": ("JPEG",), b"\x89PNG": ("PNG",)}
_BROKEN = Exception  # Pillow's decoders raise anything from SyntaxError to struct.error at damaged files


class _NoFileError(OSError):
    """A path is not a readable file."""


@dataclass(frozen=True)
class Pixels:
    """The rule by which images become arrays of one shape, uint8 (H, W, 3 or 1).

    Args:
        mode: `"RGB"` or `"L"`.
        square: the S of the resize rule, or None to keep sizes.
        size: the (H, W) of the resulting images.

    """

    mode: Literal["RGB", "L"]
    square: int | None
    size: Size

    def __post_init__(self) -> None:
        if self.mode not in ("RGB", "L"):
            raise ArgumentError(f"mode must be 'RGB' or 'L', got {self.mode!r}")
        if self.square is not None and (not isinstance(self.square, int) or self.square < 1):
            raise ArgumentError(f"image_size must be an integer of at least 1, got {self.square!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, channels)."""
        return (*self.size, 3 if self.mode == "RGB" else 1)

    def describe(self) -> str:
        """Describe the rule in one sentence, for the notes."""
        if self.square is None:
            return f"images are {self.size[1]} x {self.size[0]} pixels as they come, mode {self.mode}"
        return f"images are resized: shorter side to {self.square}, then the central square; mode {self.mode}"


@dataclass(frozen=True)
class Decoded:
    """A decoded batch of images.

    Args:
        images: uint8 (m, H, W, channels), zero where not decoded; None if not requested.
        hashes: uint64 (m, 2) hashes of the pixels.
        broken: (place in the batch, reason) of images that cannot be read.
        other_size: (place in the batch, (H, W)) of the first readable image of an unexpected size, or None.
        black: the number of 16-bit images that are all black in 8 bits.

    """

    images: npt.NDArray[np.uint8] | None
    hashes: Hashes
    broken: list[tuple[int, str]]
    other_size: tuple[int, Size] | None
    black: int = 0


def decode(batch: Sequence[Encoded], rule: Pixels, *, keep: bool = True) -> Decoded:
    """Decode a batch of images; runs in worker processes too."""
    images = np.zeros((len(batch), *rule.shape), np.uint8)
    broken: list[tuple[int, str]] = []
    other, black = None, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # damaged metadata of intact pixels
        for at, encoded in enumerate(batch):
            try:
                array, deep = _decode_one(encoded, rule)
            except UnidentifiedImageError:  # Pillow's message names a buffer in memory
                broken.append((at, "not an image in a format that Pillow reads"))
                continue
            except _NoFileError as error:
                broken.append((at, str(error)))
                continue
            except _BROKEN as error:
                broken.append((at, f"{type(error).__name__}: {error}"))
                continue
            black += deep and not array.any()
            if array.shape == rule.shape:
                images[at] = array
            elif other is None:
                other = (at, (array.shape[0], array.shape[1]))
    return Decoded(images if keep else None, hash_items(image.data for image in images), broken, other, black)


def pixels(image: Image.Image, rule: Pixels) -> npt.NDArray[np.uint8]:
    """Convert one image to uint8 (H, W, channels), by the rule; its size is not checked."""
    image = _convert(_turn_upright(image), rule.mode)
    if rule.square is not None:
        image = _central_square(image, rule.square)
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


def note_on_black(count: int) -> list[str]:
    """Return the note on the number of 16-bit images that are all black; none for 0."""
    if not count:
        return []
    images = "1 image of 16 bits is" if count == 1 else f"{count:,} images of 16 bits are"
    return [f"{images} all black, as the upper 8 bits are kept: where values are below 256, save them as 8 bits"]


def upright(encoded: Encoded) -> Image.Image | None:
    """Decode an image in full size, for people: upright, `"RGB"` or `"L"`; None if it cannot be read."""
    try:
        with warnings.catch_warnings(), _open(encoded) as image:
            warnings.simplefilter("ignore")
            turned = _turn_upright(image)
            return _convert(turned, "L" if turned.mode in ("1", "L", "I;16") else "RGB")
    except _BROKEN:
        return None


def header_size(encoded: Encoded) -> Size | None:
    """Read (H, W) of an upright image from its header; None if it cannot be read."""
    try:
        with warnings.catch_warnings(), _open(encoded) as image:
            warnings.simplefilter("ignore", UserWarning)
            if image.format == "TIFF" and _orientation(image) in _ON_ITS_SIDE:
                image.load()  # Pillow turns these itself, in some versions only on load
            width, height = image.size
            turned = _orientation(image) in _ON_ITS_SIDE and image.format != "TIFF"
    except _BROKEN:
        return None
    return (width, height) if turned else (height, width)


def is_deep(image: Image.Image) -> bool:
    """Tell whether an image that is not loaded yet has 16 bits a channel."""
    raw = next((tile[3] for tile in getattr(image, "tile", ())), "")
    return image.mode.startswith("I;16") or ";16" in str(raw[0] if isinstance(raw, tuple) and raw else raw)


def _decode_one(encoded: Encoded, rule: Pixels) -> tuple[npt.NDArray[np.uint8], bool]:
    with _open(encoded) as image:
        deep = is_deep(image)
        return pixels(image, rule), deep


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none in the standard's range."""
    value = image.getexif().get(_ORIENTATION)
    return value if isinstance(value, int) and value in _TURNS else 1


def _turn_upright(image: Image.Image) -> Image.Image:
    """Turn an image upright."""
    image.load()  # this already turns TIFF images
    orientation = _orientation(image)
    return image if orientation == 1 else image.transpose(_TURNS[orientation])


def _open(encoded: Encoded) -> Image.Image:
    if encoded is None:
        raise ValueError("there is no image in this row")
    if isinstance(encoded, Path) and (reason := no_file(encoded)) is not None:
        raise _NoFileError(reason)
    content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
    formats = next((known for start, known in _FORMATS.items() if content.startswith(start)), None)
    return Image.open(io.BytesIO(content), formats=formats)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode!r} has more than 16 bits a pixel; scale it to 8 bits first")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == mode:
        image.load()
        return image
    return image.convert(mode)


def _central_square(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    short = min(width, height)
    width, height = max(side, round(width * side / short)), max(side, round(height * side / short))
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


_HEADERS, _RUN = 256, 16
_FIRST = 64  # images decoded first, to estimate whether starting workers pays
_PATIENCE = 8.0  # seconds of work below which starting workers does not pay
_BATCH_BYTES = 16 << 20


class ImageSource(Protocol):
    """A source of encoded images."""

    def __len__(self) -> int: ...

    def read(self, rows: IntArray) -> list[Encoded]:
        """Return the encoded images of these rows, in a form that is cheap to send to a worker process."""

    def name(self, row: int) -> str:
        """Return the name of an image, for messages."""

    def keep(self, rows: IntArray) -> ImageSource:
        """Return a source of these rows only."""


@dataclass(frozen=True)
class ImageOptions:
    """The options for opening images; see `from_folder`."""

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
        """The number of worker processes, if starting them pays."""
        return default_workers() if self.workers is None else self.workers

    @property
    def bytes_in_memory(self) -> int:
        """The memory limit: the given one, or the default."""
        return default_memory_limit() if self.memory_limit is None else self.memory_limit


class ImageData(Samples):
    """Images that are decoded whenever they are taken, for data larger than the memory limit."""

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
            raise changed(self._source.name(int(rows[other[0]])), "its pixels differ")
        return decoded.images

    def _hashes(self) -> Hashes:
        return self._known

    def _values_digest(self, rows: IntArray) -> str:
        return digest(self._known[rows])


def open_images(source: ImageSource, labelled: Labelling, options: ImageOptions, **about: Any) -> Samples:
    """Read every image once: find those that cannot be read, hash all, and keep them if they fit in memory."""
    rule = _rule(source, options)
    opened = _read_all(source, rule, options)
    if opened.other_size is not None:
        # The sampled headers had one size, but other images have another.
        rule = _squares(_sampled_sizes(source), options)
        opened = _read_all(source, rule, options)
    notes = [*about.pop("notes", ()), rule.describe(), *note_on_black(opened.black)]
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
    """Return a quarter of the memory of this machine, or of the limit of its control group, in bytes."""
    total = total_memory()
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup") / name
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total // 4


def total_memory() -> int:
    """Return the bytes of memory of this machine; where the system does not say, as Windows, 8 GiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return 8 << 30


def default_workers() -> int:
    """Return the number of cores that this process may use."""
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
    # In runs, since each row that is far from the others may need another row group to be read.
    starts = seeds.generator(0, "headers", n).permutation(n)[: _HEADERS // _RUN]
    rows = np.arange(n) if n <= _HEADERS else np.unique((starts[:, None] + np.arange(_RUN)) % n)
    return [size for encoded in source.read(rows) if (size := header_size(encoded)) is not None]


@dataclass
class _Images:
    images: npt.NDArray[np.uint8] | None
    hashes: Hashes
    broken: list[tuple[int, str]]
    other_size: tuple[int, tuple[int, int]] | None = None
    black: int = 0


def _read_all(source: ImageSource, rule: Pixels, options: ImageOptions) -> _Images:
    n = len(source)
    image_bytes = int(np.prod(rule.shape))
    keep = n * image_bytes <= options.bytes_in_memory
    images = np.zeros((n, *rule.shape), np.uint8) if keep else None
    opened = _Images(images, np.zeros((n, 2), np.uint64), [])
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
    """Decode all parts, in order.

    joblib's worker processes neither fork (unsafe with threads and CUDA) nor import the main script a second time.
    """
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
            f"{images} cannot be read: {named}; repair or remove them, or drop them with on_error='skip' "
            "(--on-error skip)"
        )
    if len(broken) == len(source):
        raise DataError(f"the data set is empty: none of its images can be read: {named}")
    return f"{images} dropped that cannot be read: {named}"
