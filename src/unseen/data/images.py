"""Images: decoding with Pillow, the resize rule, and the pass over all images that opens a data set.

**Decoding.** An image is turned upright by its EXIF orientation, as Hugging Face `datasets` does and torchvision's
`ImageFolder` does not, and converted to `"RGB"` or `"L"`. Transparency is dropped, 16-bit channels keep their upper 8
bits, and the first frame of an animation is used. 32-bit and floating-point images are refused.

**Resize rule.** Images that all have one size are left as they are, unless `image_size` is given. Otherwise the
shorter side is resized to S (Pillow's bilinear filter, which is antialiased), and the central S x S is cropped. S is
`image_size` or, by default, the smaller of 224 and the median shorter side of a seeded sample of 256 images. A JPEG
file whose shorter side is at least 4 S is decoded at 1/2, 1/4 or 1/8 of its size, so at 2 S or more: three times as
quick for 12 megapixels, while grey levels differ by 0.2 on average.
"""

from __future__ import annotations

import io
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.data.base import ArrayData, Samples
from unseen.data.content import Hashes, changed, hash_items
from unseen.data.files import no_file
from unseen.data.labels import Labelling
from unseen.data.options import ReadOptions
from unseen.data.proxies import ProxyFile
from unseen.errors import DataError, StorageError, some

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
    """The rule by which images become arrays of one shape, uint8 (H, W, 3 or 1)."""

    mode: Literal["RGB", "L"]  # `"RGB"` or `"L"`
    square: int | None  # the S of the resize rule, or None to keep sizes
    size: Size  # the (H, W) of the resulting images

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, channels)."""
        return (*self.size, 3 if self.mode == "RGB" else 1)

    def describe(self) -> str:
        """Describe the rule in one sentence, for the notes."""
        if self.square is None:
            return f"images are {self.size[1]} x {self.size[0]} pixels as they come, mode {self.mode}"
        return f"images are resized: shorter side to {self.square}, then the central square; mode {self.mode}"


@dataclass
class Decoded:
    """Decoded images, a batch or all."""

    images: npt.NDArray[np.uint8] | None  # uint8 (m, H, W, channels), zero where not decoded; None if not requested
    hashes: Hashes  # uint64 (m, 2) hashes of the pixels
    broken: list[tuple[int, str]]  # (row, reason) of images that cannot be read
    # (row, (H, W)) of the first readable image of an unexpected size, or None.
    other_size: tuple[int, Size] | None = None
    black: int = 0  # the number of 16-bit images that are all black in 8 bits


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
    if rule.square is not None:
        image.draft(None, (2 * rule.square, 2 * rule.square))  # decodes a JPEG file at a part of its size
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
_CHECKED = 8  # images decoded again where a file of decoded ones is there


class ImageSource(ABC):
    """Encoded images in some places of files or of a table.

    Args:
        places: int64 (n,), the place of each image.
    """

    def __init__(self, places: IntArray) -> None:
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @abstractmethod
    def read(self, rows: IntArray) -> list[Encoded]:
        """Return the encoded images of these rows, in a form that is cheap to send to a worker process."""

    def name(self, row: int) -> str:
        """Return the name of an image, for messages."""
        return f"row {int(self.places[row])}"

    def keep(self, rows: IntArray) -> Self:
        """Return a source of these rows only."""
        kept = copy(self)
        kept.places = self.places[rows]
        return kept


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


def open_images(source: ImageSource, labelled: Labelling, options: ReadOptions, **about: Any) -> Samples:
    """Read every image once: find those that cannot be read, hash all, and keep them if they fit in memory or a file.

    Images of a file that an earlier call made are not read again, but for a sample of them.
    """
    asked = [options.mode, options.image_size, options.on_error]
    file = ProxyFile.of(options.cache, about.get("files"), labelled.ids, asked)
    rule = _rule(source, options)
    opened = _reopen(file, source, rule)
    if opened is None:
        try:
            opened = _read_all(source, rule, options, file)
        except _OtherSizeError:  # the sampled headers had one size, but other images have another
            rule = _squares(_sampled_sizes(source), options)
            opened = _read_all(source, rule, options, file)
    rule = opened.rule
    notes = [*about.pop("notes", ()), rule.describe(), *note_on_black(opened.black), *opened.notes]
    if opened.broken:
        notes.append(_refuse_or_skip(source, opened.broken, options))
        rows = np.setdiff1d(np.arange(len(source)), [row for row, _ in opened.broken])
        labelled, source = labelled.keep(rows), source.keep(rows)
    if opened.images is None:
        return ImageData(source, rule, labelled, opened.hashes, notes=notes, **about)
    data = ArrayData(opened.images, labelled, "image", hashes=opened.hashes, notes=notes, **about)
    if isinstance(opened.images, np.memmap) and file is not None:
        data.npy_file = file.path
    return data


def _rule(source: ImageSource, options: ReadOptions) -> Pixels:
    if options.image_size is not None:
        return Pixels(options.mode, options.image_size, (options.image_size, options.image_size))
    sizes = _sampled_sizes(source)
    if len(set(sizes)) == 1:
        return Pixels(options.mode, None, sizes[0])
    return _squares(sizes, options)


def _squares(sizes: Sequence[tuple[int, int]], options: ReadOptions) -> Pixels:
    side = min(224, int(np.median([min(size) for size in sizes]))) if sizes else 224
    return Pixels(options.mode, side, (side, side))


def _sampled_sizes(source: ImageSource) -> list[tuple[int, int]]:
    n = len(source)
    # In runs, since each row that is far from the others may need another row group to be read.
    starts = seeds.generator(0, "headers", n).permutation(n)[: _HEADERS // _RUN]
    rows = np.arange(n) if n <= _HEADERS else np.unique((starts[:, None] + np.arange(_RUN)) % n)
    return [size for encoded in source.read(rows) if (size := header_size(encoded)) is not None]


@dataclass
class _Opened:
    """All images of a source; `images` and `hashes` are of those that can be read."""

    rule: Pixels
    images: npt.NDArray[np.uint8] | None
    hashes: Hashes
    broken: list[tuple[int, str]]
    black: int = 0
    notes: tuple[str, ...] = ()


class _OtherSizeError(Exception):
    """An image has another size than the sampled ones."""


def _read_all(source: ImageSource, rule: Pixels, options: ReadOptions, file: ProxyFile | None) -> _Opened:
    n = len(source)
    image_bytes = int(np.prod(rule.shape))
    fits = n * image_bytes <= options.bytes_in_memory
    step = max(1, min(512, _BATCH_BYTES // image_bytes))
    starts = [0, *range(_FIRST, n, step)]
    slices = [slice(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]

    started = time.perf_counter()
    first = decode(source.read(np.arange(n)[slices[0]]), rule)
    left = (time.perf_counter() - started) / max(1, min(n, _FIRST)) * (n - _FIRST)
    workers = 1 if options.workers is None and left < _PATIENCE else options.processes
    room = None if file is None or (fits and left < _PATIENCE) else file.room(n * image_bytes)
    keep = fits or (room is not None and room.enough)
    opened = _Opened(rule, None, np.zeros((n, 2), np.uint64), [])
    readable = np.ones(n, bool)

    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the images that can be read, in order, and note all else."""
        parts = ((source.read(np.arange(n)[at]), rule, keep) for at in slices[1:])
        for at, decoded in zip(slices, chain([first], _decode_all(parts, workers)), strict=True):
            if decoded.other_size is not None:
                raise _OtherSizeError
            opened.hashes[at] = decoded.hashes
            opened.black += decoded.black
            opened.broken += [(at.start + place, reason) for place, reason in decoded.broken]
            readable[[at.start + place for place, _ in decoded.broken]] = False
            if decoded.images is not None and keep:
                yield decoded.images[readable[at]]
        opened.hashes = opened.hashes[readable]
        if opened.broken:
            _refuse_or_skip(source, opened.broken, options)

    if file is not None and room is not None and room.enough:
        try:
            opened.images = file.write(batches(), n, rule.shape, lambda: _remembered(opened))
        except StorageError as error:
            return replace(_read_all(source, rule, options, None), notes=(f"decoded images are not kept: {error}",))
    else:
        held = np.empty((n if keep else 0, *rule.shape), np.uint8)
        end = 0
        for images in batches():
            held[end : end + len(images)] = images
            end += len(images)
        opened.images = held[:end] if keep else None
    opened.notes = () if room is None else (room.note(),)
    return opened


def _remembered(opened: _Opened) -> tuple[Hashes, dict[str, Any]]:
    """Return what a proxy file remembers of an opening beside the pixels."""
    broken = [list(image) for image in opened.broken]
    return opened.hashes, {"square": opened.rule.square, "broken": broken, "black": opened.black}


def _reopen(file: ProxyFile | None, source: ImageSource, rule: Pixels) -> _Opened | None:
    """Return what an earlier opening kept, if a sample of the images, decoded again, has the same pixels."""
    found = None if file is None else file.read()
    if file is None or found is None:
        return None
    images, hashes, about = found
    rule = Pixels(rule.mode, about["square"], images.shape[1:3])
    readable = np.setdiff1d(np.arange(len(source)), [row for row, _ in about["broken"]])
    at = np.linspace(0, len(images) - 1, _CHECKED).astype(np.int64)
    if len(readable) != len(images) or (decode(source.read(readable[at]), rule).hashes != hashes[at]).any():
        return None
    broken = [(int(row), str(reason)) for row, reason in about["broken"]]
    return _Opened(rule, images, hashes, broken, about["black"], (file.room(images.nbytes).note(),))


def _decode_all(parts: Iterable[tuple[list[Encoded], Pixels, bool]], workers: int) -> Iterator[Decoded]:
    """Decode all parts, in order.

    joblib's worker processes neither fork (unsafe with threads and CUDA) nor import the main script a second time.
    """
    if workers == 1:
        yield from (decode(encoded, rule, keep=keep) for encoded, rule, keep in parts)
        return
    import joblib  # type: ignore[import-untyped]

    pool = joblib.Parallel(
        n_jobs=workers, return_as="generator", batch_size=1, pre_dispatch="2 * n_jobs", max_nbytes=None
    )
    yield from pool(joblib.delayed(decode)(encoded, rule, keep=keep) for encoded, rule, keep in parts)


def _refuse_or_skip(source: ImageSource, broken: Sequence[tuple[int, str]], options: ReadOptions) -> str:
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
