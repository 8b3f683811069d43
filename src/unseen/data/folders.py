"""Reader of folders of images, one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import IntArray
from unseen.data.base import Samples
from unseen.data.content import stamp
from unseen.data.files import Walk, drop_repeated_links, is_folder, shown, walk
from unseen.data.images import Encoded, ImageOptions, open_images
from unseen.data.labels import Labelling, labelling
from unseen.errors import DataError, some

__all__ = ["SUFFIXES", "from_folder", "listed"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # the list of torchvision

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


class FolderImages:
    """Image files below one folder."""

    def __init__(self, root: Path, paths: npt.NDArray[np.str_]) -> None:
        self.root, self.paths = root, paths

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: IntArray) -> list[Encoded]:
        """Return only the paths; the process that decodes a file reads it."""
        return [self.root / str(path) for path in self.paths[rows]]

    def name(self, row: int) -> str:
        """Return the path below the root."""
        return shown(str(self.paths[row]))

    def keep(self, rows: IntArray) -> FolderImages:
        """Return a source of these files only."""
        return FolderImages(self.root, self.paths[rows])


def from_folder(
    path: str | Path,
    *,
    image_size: int | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    on_error: Literal["raise", "skip"] = "raise",
    memory_limit: int | None = None,
    workers: int | None = None,
) -> Samples:
    """Open a folder that holds one folder a class, with images at any depth.

    Classes are the sorted names of the folders, samples are ordered as in torchvision's `ImageFolder`, and ids are
    paths relative to `path`, with `/`. Files of other types are left out, and so are files and folders at any depth
    whose names begin with `.` or `_`; a note counts them. A folder or an image is read once, however many links lead to
    it.

    Every image is read once at opening. Decoding, EXIF orientation and the resize rule: see `unseen.data.images`.

    Args:
        path: the folder.
        image_size: side of the square to which every image is resized and cropped; None keeps images as they are if
            all have one size.
        mode: `"RGB"` gives 3 channels, `"L"` 1.
        on_error: `"raise"` refuses images that cannot be read, `"skip"` drops them with a note.
        memory_limit: bytes up to which the decoded images stay in memory, in one array; default a quarter of
            the machine's memory. Larger data is decoded whenever it is taken.
        workers: the number of worker processes that decode; by default one a core if the work takes seconds.

    Raises:
        DataError: no class folders, a class folder without images, images that cannot be read (damaged files, broken
            links, pipes, names that are not UTF-8), folders that may not be read, two class folders that are the same,
            folders that look like splits rather than classes.

    """
    options = ImageOptions(image_size, mode, on_error, memory_limit, workers)
    images, labelled, about = listed(Path(path))
    return open_images(images, labelled, options, **about)


def listed(root: Path) -> tuple[FolderImages, Labelling, dict[str, Any]]:
    """List the images of a folder, their labels, and what else is known before any image is read."""
    if not is_folder(root):
        raise DataError(f"there is no folder {shown(root)}")
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
    paths = [path for images in below.values() for path in images]
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in below.values()])
    others = len(found.files) - len(paths)
    ids = np.array(paths)
    about = {
        "files": stamp(root, paths),
        "notes": [
            *([f"{others:,} files are not images of a class and are left out"] if others else []),
            *found.notes,
        ],
    }
    return FolderImages(root, ids), labelling(labels, class_names=classes, default_ids=ids), about


def _refuse_splits(root: Path, classes: Sequence[str]) -> None:
    if not classes:
        raise DataError(f"{root} holds no class folders; images must be in one folder a class, as in {root}/cat/1.png")
    if set(map(str.lower, classes)) <= _SPLITS:
        likely = next((name for name in classes if "train" in name.lower()), classes[0])
        raise DataError(
            f"the folders of {root} look like splits, not classes: {some(classes)}; open one: {root / likely}"
        )
