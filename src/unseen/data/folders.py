"""A folder of images, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.data.base import Samples
from unseen.data.decoding import ImageOptions, open_images
from unseen.data.fingerprint import stamp
from unseen.data.images import Encoded
from unseen.data.labelling import Labelling, labelling
from unseen.errors import DataError, some
from unseen.types import IntArray

__all__ = ["SUFFIXES", "from_folder", "listed"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's list

_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


class FolderImages:
    """Image files below one folder."""

    def __init__(self, root: Path, paths: npt.NDArray[np.str_]) -> None:
        self.root, self.paths = root, paths

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: IntArray) -> list[Encoded]:
        """Only paths: whoever decodes the files reads them."""
        return [self.root / str(path) for path in self.paths[rows]]

    def name(self, row: int) -> str:
        """The path below the root."""
        return str(self.paths[row])

    def keep(self, rows: IntArray) -> FolderImages:
        """These files only."""
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
    """A folder that holds one folder a class, images inside at any depth.

    Classes are the sorted names of the folders, samples are ordered as torchvision's `ImageFolder` orders them, and
    ids are paths relative to `path`, with `/`. Hidden files and files of other types are left out.

    Every image is read once at opening. Decoding, EXIF orientation and the resize rule: see `unseen.data.images`.

    Args:
        path: the folder.
        image_size: side of the square that every image is brought to; None: as they are if all have one size.
        mode: `"RGB"` gives 3 channels, `"L"` 1.
        on_error: at images that cannot be read `"raise"`, or `"skip"` them and say so in the notes.
        memory_limit: bytes up to which the decoded images are kept in memory, in one array; default a quarter of
            the machine's memory. Larger data is decoded whenever it is taken.
        workers: worker processes that decode; default one a core if there is work for seconds.

    Raises:
        DataError: no class folders, a class folder without images, images that cannot be read, folders that look
            like splits rather than classes.

    """
    options = ImageOptions(image_size, mode, on_error, memory_limit, workers)
    images, labelled, about = listed(Path(path))
    return open_images(images, labelled, options, **about)


def listed(root: Path) -> tuple[FolderImages, Labelling, dict[str, Any]]:
    """The images of a folder, their labels and what else is known before any of them is read."""
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    _refuse_splits(root, classes)
    paths: list[str] = []
    labels: list[int] = []
    others = sum(entry.is_file() and not entry.name.startswith(".") for entry in root.iterdir())
    for code, name in enumerate(classes):
        found, rest = _images_below(root, name)
        if not found:
            raise DataError(
                f"class folder {name!r} holds no images ({', '.join(SUFFIXES)}); remove it from {root}, or fill it"
            )
        paths += found
        labels += [code] * len(found)
        others += rest
    ids = np.array(paths)
    about = {
        "files": stamp(root, paths),
        "notes": [f"{others:,} files are not images of a class and are left out"] if others else [],
    }
    return FolderImages(root, ids), labelling(np.array(labels), class_names=classes, default_ids=ids), about


def _images_below(root: Path, name: str) -> tuple[list[str], int]:
    found: list[str] = []
    others = 0
    for folder, _, files in sorted(os.walk(root / name, followlinks=True)):
        visible = sorted(file for file in files if not file.startswith("."))
        images = [file for file in visible if file.lower().endswith(SUFFIXES)]
        others += len(visible) - len(images)
        found += [(Path(folder) / file).relative_to(root).as_posix() for file in images]
    return found, others


def _refuse_splits(root: Path, classes: Sequence[str]) -> None:
    if not classes:
        raise DataError(f"{root} holds no class folders; images must be in one folder a class, as in {root}/cat/1.png")
    if set(map(str.lower, classes)) <= _SPLITS:
        raise DataError(
            f"the folders of {root} look like splits, not classes: {some(classes)}; open one: {root / classes[0]}"
        )
