"""Reader of folders of images, one folder a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from unseen.core.arrays import IntArray
from unseen.data.base import Samples
from unseen.data.content import stamp
from unseen.data.files import Walk, drop_repeated_links, is_folder, shown, walk
from unseen.data.formats import IMAGE, Format, Place, with_features
from unseen.data.images import Encoded, ImageSource, open_images
from unseen.data.labels import Labelling, labelling
from unseen.data.options import IMAGES, ReaderOptions
from unseen.errors import DataError, some

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # the list of torchvision

_PIECE_BYTES = 64 << 20  # bytes of files in one table
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


def _leave_out_links(root: Path, found: Walk) -> None:
    """Leave out links to images that are listed anyway; refuse an image that is in two classes."""
    images = [name for name in found.files if name.lower().endswith(SUFFIXES)]
    again = drop_repeated_links(root, images)[1]
    across = [f"{link} is {file}" for link, file in again.items() if link.split("/")[0] != file.split("/")[0]]
    if across:
        raise DataError(f"an image must be in one class, but by links {some(across)}; remove one of the names")
    found.files = [name for name in found.files if name not in again]
    found.again |= again


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
        return shown(str(self.paths[self.places[row]]))


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
            raise DataError(f"there is no folder {shown(root)}")
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
    paths relative to `path`, with `/`. Files of other types are left out, and so are files and folders at any depth
    whose names begin with `.` or `_`; a note counts them. A folder or an image is read once, however many links lead to
    it.

    Every image is read once at opening. Decoding, EXIF orientation and the resize rule: see `unseen.data.images`.

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
    found = walk(root)
    twice = {link: target for link, target in found.again.items() if "/" not in link}
    if twice:
        named = [f"{link} is {target or 'the folder itself'}" for link, target in twice.items()]
        raise DataError(f"class folders must be different folders, but by links {some(named)}; remove one of the names")
    classes = sorted(name for name in found.folders if "/" not in name)
    _refuse_splits(root, classes)
    if found.links:
        _leave_out_links(root, found)
    below: dict[str, list[str]] = {name: [] for name in classes}
    for name in found.files:
        if "/" in name and name.lower().endswith(SUFFIXES):
            below[name.partition("/")[0]].append(name)
    empty = [name for name, images in below.items() if not images]
    if empty:
        raise DataError(
            f"class folder {empty[0]!r} holds no images ({', '.join(SUFFIXES)}); remove it from {root}, or fill it"
        )
    paths = np.array([path for images in below.values() for path in images])
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in below.values()])
    others = len(found.files) - len(paths)
    notes = [f"{others:,} files are not images of a class and are left out"] if others else []
    return labelling(labels, class_names=classes, default_ids=paths), [*notes, *found.notes]


def _refuse_splits(root: Path, classes: Sequence[str]) -> None:
    if not classes:
        raise DataError(f"{root} holds no class folders; images must be in one folder a class, as in {root}/cat/1.png")
    if set(map(str.lower, classes)) <= _SPLITS:
        likely = next((name for name in classes if "train" in name.lower()), classes[0])
        raise DataError(
            f"the folders of {root} look like splits, not classes: {some(classes)}; open one: {root / likely}"
        )
