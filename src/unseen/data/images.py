"""Images as data sets: the pass over all images that opens them, the folder of images, and the file of decoded ones.

`unseen.data.decoding` has the rule by which images become arrays. A run keeps decoded images in a file, so that each is
decoded once for all epochs, fits, workers and commands:

    pixels-<key>.npy     uint8 (n, H, W, channels): the images that can be read, in order
    pixels-<key>.json    what else the opening found, and a digest of that and the pixels; written last

The key is a digest of the image files (names, sizes, times), the ids and the options of reading. A file whose pixels do
not have their digest is made anew. Both may be deleted at any time: the images are then decoded again, to the same
pixels.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Protocol, Unpack

import numpy as np
import numpy.typing as npt
import PIL
import pyarrow as pa

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.core.files import replace_file
from unseen.data.base import ArrayData, Hashes, Samples, blocks, digest, digest_values, hash_items
from unseen.data.decoding import Decoded, Encoded, ImageSource, Pixels, decode, header_size, note_on_black
from unseen.data.files import changed_error, drop_repeated_links, escape, is_folder, stamp, walk
from unseen.data.formats import IMAGE, IMAGES, Format, Place, ReaderOptions, ReadOptions, with_features
from unseen.data.labels import Labelling, encode_labels
from unseen.errors import DataError, StorageError, some, warn

_HEADERS, _RUN = 256, 16  # headers that are sampled for the size, and how many of them in a row
_FIRST = 64  # images decoded first, to estimate whether starting workers pays
_PATIENCE = 8.0  # seconds of work below which starting workers does not pay
_BATCH_BYTES = 16 << 20
_CHECKED = 8  # images decoded again where a file of decoded ones is there
_MOST = 32 << 30  # bytes of a file of decoded images
_DECODING = 1  # raise it when images are decoded to other pixels


class PixelReader(Protocol):
    """A reader of decoded images by row."""

    def pixels(self, rows: IntArray) -> tuple[npt.NDArray[np.uint8], Hashes]:
        """Return images, uint8 (m, H, W, channels), and their hashes."""

    def differs(self, row: int) -> DataError:
        """Make the error for an image that is not the one that was opened."""


class ImageData(Samples):
    """Images that are read again whenever they are taken, for data larger than the memory limit."""

    in_memory = False

    def __init__(
        self, reader: PixelReader, shape: tuple[int, ...], labelled: Labelling, hashes: Hashes, **about: Any
    ) -> None:
        super().__init__(labelled, **about)
        self.kind = "image"
        self.dtype = np.dtype(np.uint8)
        self.sample_shape = shape
        self._reader, self._seen = reader, hashes

    def take(self, rows: IntArray) -> npt.NDArray[np.uint8]:
        """Read these images, uint8 (m, H, W, channels)."""
        rows = np.asarray(rows)
        if not len(rows):
            return np.empty((0, *self.sample_shape), np.uint8)
        images, hashes = self._reader.pixels(rows)
        other = np.flatnonzero((hashes != self._seen[rows]).any(axis=1))
        if other.size:
            raise self._reader.differs(int(rows[other[0]]))
        return images

    def _hash_all(self) -> Hashes:
        return self._seen


@dataclass
class _Decoder:
    """The images of a source, decoded by a rule."""

    source: ImageSource
    rule: Pixels

    def pixels(self, rows: IntArray) -> tuple[npt.NDArray[np.uint8], Hashes]:
        decoded = decode(self.source.read(rows), self.rule)
        if decoded.broken or decoded.other_size or decoded.images is None:
            at, reason = decoded.broken[0] if decoded.broken else decoded.other_size or (0, "no pixels")
            raise changed_error(self.source.name(int(rows[at])), str(reason))
        return decoded.images, decoded.hashes

    def differs(self, row: int) -> DataError:
        return changed_error(self.source.name(row), "its pixels differ")


def open_images(source: ImageSource, labelled: Labelling, options: ReadOptions, **about: Any) -> Samples:
    """Read every image once: find those that cannot be read, hash all, and keep them if they fit in memory or a file.

    Images of a file that an earlier call made are not read again, but for a sample of them.
    """
    files, file = about.get("files"), None
    if options.cache is not None and files is not None:
        asked = [options.mode, options.image_size, options.on_error]
        key = digest_values([_DECODING, PIL.__version__, files.digest, digest(labelled.ids), *asked])[:16]
        file = ProxyFile(Path(options.cache).absolute() / f"pixels-{key}.npy")
    if options.image_size is not None:
        rule = Pixels(options.mode, options.image_size, (options.image_size, options.image_size))
    else:
        sizes = _sampled_sizes(source)
        rule = Pixels(options.mode, None, sizes[0]) if len(set(sizes)) == 1 else _squares(sizes, options)
    opened = None if file is None else _reopen(file, source, rule)
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
        return ImageData(_Decoder(source, rule), rule.shape, labelled, opened.hashes, notes=notes, **about)
    data = ArrayData(opened.images, labelled, "image", hashes=opened.hashes, notes=notes, **about)
    if isinstance(opened.images, np.memmap) and file is not None:
        data.npy_file = file.path
    return data


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
    starts = [0, *range(_FIRST, n, max(1, min(512, _BATCH_BYTES // image_bytes)))]
    slices = [slice(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]

    started = time.perf_counter()
    first = decode(source.read(np.arange(n)[slices[0]]), rule)
    left = (time.perf_counter() - started) / max(1, min(n, _FIRST)) * (n - _FIRST)
    workers = 1 if options.workers is None and left < _PATIENCE else options.processes
    in_file = False
    notes: tuple[str, ...] = ()
    if file is not None and not (fits and left < _PATIENCE):
        in_file, note = file.room(n * image_bytes)
        notes = (note,)
    keep = fits or in_file
    opened = _Opened(rule, None, np.zeros((n, 2), np.uint64), [], notes=notes)
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

    if file is not None and in_file:
        try:
            opened.images = file.write(batches(), n, rule.shape)
            broken = [list(image) for image in opened.broken]
            file.seal(opened.hashes, {"square": rule.square, "broken": broken, "black": opened.black})
        except StorageError as error:
            return replace(_read_all(source, rule, options, None), notes=(f"decoded images are not kept: {error}",))
        return opened
    held = np.empty((n if keep else 0, *rule.shape), np.uint8)
    end = 0
    for images in batches():
        held[end : end + len(images)] = images
        end += len(images)
    opened.images = held[:end] if keep else None
    return opened


def _reopen(file: ProxyFile, source: ImageSource, rule: Pixels) -> _Opened | None:
    """Return what an earlier opening kept, if a sample of the images, decoded again, has the same pixels."""
    found = file.read()
    if found is None:
        return None
    images, hashes, about = found
    rule = Pixels(rule.mode, about["square"], images.shape[1:3])
    broken = [(int(row), str(reason)) for row, reason in about["broken"]]
    readable = np.setdiff1d(np.arange(len(source)), [row for row, _ in broken])
    at = np.linspace(0, len(images) - 1, _CHECKED).astype(np.int64)
    if len(readable) != len(images) or (decode(source.read(readable[at]), rule).hashes != hashes[at]).any():
        return None
    return _Opened(rule, images, hashes, broken, about["black"], (file.room(images.nbytes)[1],))


def _decode_all(parts: Iterable[tuple[list[Encoded], Pixels, bool]], workers: int) -> Iterator[Decoded]:
    """Decode all parts, in order, by workers that neither fork (unsafe with CUDA) nor import the main script again."""
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
        raise DataError(f"{images} cannot be read: {named}; repair or remove them, or drop them with on_error='skip'")
    if len(broken) == len(source):
        raise DataError(f"the data set is empty: none of its images can be read: {named}")
    return f"dropped {images} that cannot be read; rows are counted without them: {named}"


class ProxyFile:
    """The file of decoded images of one data set, in a folder such as that of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def room(self, wanted: int) -> tuple[bool, str]:
        """Tell whether `wanted` bytes fit in 32 GiB, or half of the free disk if that is less; return a note, too."""
        place = next(folder for folder in self.path.parents if folder.is_dir())
        there = self.path.stat().st_size if self.path.exists() else 0
        limit = min(_MOST, (shutil.disk_usage(place).free + there) // 2)
        sizes = f"{wanted / 1e9:.2f} GB, of at most {limit / 1e9:.2f} GB"
        if wanted <= limit:
            return True, f"decoded images are kept in the run directory ({sizes}), so that each is decoded once"
        return False, (
            f"decoded images are too large for the run directory ({sizes}); they are decoded again in each epoch"
        )

    def write(
        self, batches: Iterable[npt.NDArray[np.uint8]], most: int, shape: tuple[int, ...]
    ) -> npt.NDArray[np.uint8]:
        """Write at most `most` images, and return their memory map; `seal` must follow."""

        def fill(file: BinaryIO) -> None:
            start, written = _write_header(file, (most, *shape)), 0
            for images in batches:
                file.write(images.data)
                written += len(images)
            file.seek(0)
            # NumPy leaves space for a longer array, so both headers are equally long.
            assert _write_header(file, (written, *shape)) == start

        replace_file(self.path, fill)
        images: npt.NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return images

    def seal(self, hashes: Hashes, about: dict[str, Any]) -> None:
        """Write what else the opening found, and the digest of that and the hashes of the images."""
        text = json.dumps({"about": about, "digest": digest_values([digest(hashes), about])})
        replace_file(self.path.with_suffix(".json"), lambda file: file.write(text.encode()))

    def read(self) -> tuple[npt.NDArray[np.uint8], Hashes, dict[str, Any]] | None:
        """Return the memory map, the hash of each image, and what was sealed; None if anything is not as written."""
        try:
            kept = json.loads(self.path.with_suffix(".json").read_bytes())
            images = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        as_written = isinstance(kept, dict) and set(kept) == {"about", "digest"}
        if not as_written or images.ndim != 4 or images.dtype != np.uint8:
            return None
        each = int(np.prod(images.shape[1:]))
        parts = [hash_items(image.data for image in images[at]) for at in blocks(len(images), each)]
        hashes = np.concatenate([np.empty((0, 2), np.uint64), *parts])
        about = kept["about"]
        return (images, hashes, about) if kept["digest"] == digest_values([digest(hashes), about]) else None


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


# ---- folders of images -----------------------------------------------------------------------------------------------

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # the list of torchvision
OTHER_IMAGES = (".gif", ".jfif", ".jpe", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".tga")


def name_images(entries: Iterable[str]) -> bool:
    """Tell whether there are entries, and all of them are names of image files."""
    names = list(entries)
    return bool(names) and all(name.lower().endswith(SUFFIXES) for name in names)


_PIECE_BYTES = 64 << 20  # bytes of files in one table
_TABLES = (".csv", ".tsv", ".jsonl")
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


class FolderImages(ImageSource):
    """Image files below one folder."""

    def __init__(self, root: Path, paths: npt.NDArray[np.str_]) -> None:
        super().__init__(np.arange(len(paths)))
        self.root, self.paths = root, paths

    def read(self, rows: IntArray) -> list[Encoded]:
        """Return only the paths; the process that decodes a file reads it."""
        return [self.root / str(path) for path in self.paths[self.places[rows]]]

    def name(self, row: int) -> str:
        """Return the path below the root."""
        return escape(str(self.paths[self.places[row]]))


class FolderFormat(Format):
    """A folder of images, one folder a class."""

    reader = "from_folder"
    about = ("path to a folder of images", "one folder a class")
    options = IMAGES

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is a folder."""
        return isinstance(source, Place) and source.is_folder

    def __init__(self, source: Any, **given: Any) -> None:
        super().__init__(source, **given)
        root = Path(source)
        if not is_folder(root):
            raise DataError(f"there is no folder {escape(root)}")
        self.root: Path = root.absolute()
        self.labelling, self._notes = _list_images(root)
        paths = self.labelling.ids
        self.files = stamp(root, paths.tolist())
        self.encoded = self._images = FolderImages(root, paths)

    def open(self) -> Samples:
        """Decode every image once."""
        return open_images(self._images, self.labelling, self.reading, files=self.files, notes=self._notes)

    @cached_property
    def stored_schema(self) -> pa.Schema:
        """The file, the number of its class, and its path."""
        columns = pa.schema([("image", IMAGE), ("label", pa.int64()), ("id", pa.string())])
        return with_features(columns, {"label": self.labelling.class_names})

    def stored(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield the files unchanged, the numbers of their classes, and their paths."""
        images: list[dict[str, Any]] = []
        start = size = 0
        for end, path in enumerate(map(self.root.joinpath, self.labelling.ids[rows].tolist()), 1):
            try:
                content = path.read_bytes()
            except OSError as error:
                reason = error.strerror or error
                raise DataError(f"{path} cannot be read: {reason}; it was there when scored") from error
            images.append({"bytes": content, "path": path.name})
            size += len(content)
            if size > _PIECE_BYTES or end == len(rows):
                piece = self.labelling.keep(rows[start:end])
                columns = zip((images, piece.labels, piece.ids.tolist()), self.stored_schema.types, strict=True)
                yield pa.table([pa.array(column, kind) for column, kind in columns], schema=self.stored_schema)
                images, start, size = [], end, 0


def from_folder(path: str | Path, **options: Unpack[ReaderOptions]) -> Samples:
    """Open a folder that holds one folder a class, with images at any depth.

    Classes are the sorted names of the folders, samples are ordered as in torchvision's `ImageFolder`, and ids are
    paths relative to `path`, with `/`. Files of other types than it reads are left out, and so are files whose names
    begin with `.`, and folders at any depth whose names begin with `.` or `_`; a note counts them, and a warning names
    images of other types, such as `.gif`. A folder or an image is read once, however many links lead to it.

    Every image is read once at opening. Decoding, EXIF orientation and the resize rule: see `unseen.data.decoding`.

    Args:
        path: the folder.
        **options: `image_size`, `mode`, `on_error`, `memory_limit`, `workers` and `cache` of `ReadOptions`.

    Raises:
        DataError: no class folders, a class folder without images, images that cannot be read (damaged files, broken
            links, pipes, names that are not UTF-8), folders that may not be read, two class folders that are the same,
            folders that look like splits rather than classes.
    """
    return FolderFormat(path, **options).open()


def _list_images(root: Path) -> tuple[Labelling, list[str]]:
    """List the images of a folder with their labels, before any is read; and note what is left out."""
    found = walk(root, photos=SUFFIXES)
    twice = {link: target for link, target in found.again.items() if "/" not in link}
    if twice:
        named = [f"{link} is {target or 'the folder itself'}" for link, target in twice.items()]
        raise DataError(f"class folders must be different folders, but by links {some(named)}; remove one of the names")
    classes = sorted(name for name in found.folders if "/" not in name)
    _refuse_splits(root, classes, found.files)
    if found.links:
        images = [name for name in found.files if name.lower().endswith(SUFFIXES)]
        again = drop_repeated_links(root, images)[1]
        across = [f"{link} is {file}" for link, file in again.items() if link.split("/")[0] != file.split("/")[0]]
        if across:
            raise DataError(f"an image must be in one class, but by links {some(across)}; remove one of the names")
        found.files = [name for name in found.files if name not in again]
        found.again |= again
    below: dict[str, list[str]] = {name: [] for name in classes}
    for name in found.files:
        if "/" in name and name.lower().endswith(SUFFIXES):
            below[name.partition("/")[0]].append(name)
    _refuse_empty(root, [name for name, images in below.items() if not images], found.files, len(classes))
    paths = np.array([path for images in below.values() for path in images])
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in below.values()])
    rest = set(found.files) - set(paths.tolist())
    loose = sorted(name for name in rest if name.lower().endswith(SUFFIXES))
    rest -= set(loose)
    notes = [f"left out, as they are in no class folder: {some(map(escape, loose))}"] if loose else []
    if rest:
        notes.append(f"left out, as their type is not read ({', '.join(SUFFIXES)}): {_list_others(rest)}")
    if unread := sorted(name for name in rest if "/" in name and name.lower().endswith(OTHER_IMAGES)):
        warn(
            f"images left out: {some(map(escape, unread), 3)}; only {', '.join(SUFFIXES)} are read, as by "
            "torchvision's ImageFolder, so that rows are the same: convert the others, as to .png"
        )
    return encode_labels(labels, class_names=classes, default_ids=paths), [*notes, *found.notes]


def _refuse_empty(root: Path, empty: Sequence[str], files: Sequence[str], classes: int) -> None:
    """Refuse class folders without images, and say what they hold."""
    if not empty:
        return
    if len(empty) == classes and any(name.lower().endswith((".txt", ".text")) for name in files):
        raise DataError(
            f"{root} holds texts, and a folder must hold images ({', '.join(SUFFIXES)}); write the texts as one table, "
            "a csv or parquet file with a column of texts and one of labels"
        )
    others = _list_others(name for name in files if name.startswith(f"{empty[0]}/"))
    raise DataError(
        f"class folder {empty[0]!r} holds no images that are read ({', '.join(SUFFIXES)})"
        f"{f', but {others}; convert these, as to .png' if others else '; fill it'}, or remove it from {root}"
    )


def _list_others(names: Iterable[str]) -> str:
    """Count files by their suffixes, the most frequent first; empty for none."""
    kinds = Counter(PurePath(name).suffix.lower() or name for name in names)
    return some([f"{count:,} {kind}" for kind, count in kinds.most_common()])


def _refuse_splits(root: Path, classes: Sequence[str], files: Sequence[str]) -> None:
    table = next((name for name in files if "/" not in name and name.lower().endswith(_TABLES)), None)
    if not classes or (len(classes) == 1 and table is not None):
        held = f"one folder, {classes[0]}, and classes need two" if classes else "no class folders"
        hint = ""
        if table is not None:
            hint = (
                f"; if {table} names images and labels, give {root / table} and image= (--image), its column of paths"
            )
        raise DataError(f"{root} holds {held}; images must be in one folder a class, as in {root}/cat/1.png{hint}")
    if set(map(str.lower, classes)) <= _SPLITS:
        likely = next((name for name in classes if "train" in name.lower()), classes[0])
        raise DataError(
            f"the folders of {root} look like splits, not classes: {some(classes)}; open one: {root / likely}"
        )
