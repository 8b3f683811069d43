"""Decoded images in a file of the run, so that each is decoded once for all epochs, fits, workers and commands.

    pixels-<key>.npy     uint8 (n, H, W, channels): the images that can be read, in order
    pixels-<key>.json    what else the opening found, and a digest of that and the pixels; written last

The key is a digest of the image files (names, sizes, times), the ids and the options of reading. A file whose pixels do
not have their digest is made anew. Both may be deleted at any time: the images are then decoded again, to the same
pixels.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL

from unseen.core.arrays import IdArray
from unseen.core.files import replace_file
from unseen.data.content import Files, Hashes, blocks, digest, digest_values, hash_items

_MOST = 32 << 30  # bytes
_KEPT = {"about", "digest"}
_DECODING = 1  # raise it when images are decoded to other pixels


@dataclass(frozen=True)
class Room:
    """The bytes that a file would take, and those that it may take."""

    wanted: int
    limit: int

    @property
    def enough(self) -> bool:
        """Whether there is room for the file."""
        return self.wanted <= self.limit

    def note(self) -> str:
        """Say what is done, for the notes of the data set."""
        sizes = f"{self.wanted / 1e9:.2f} GB, of at most {self.limit / 1e9:.2f} GB"
        if self.enough:
            return f"decoded images are kept in the run directory ({sizes}), so that each is decoded once"
        return f"decoded images are too large for the run directory ({sizes}); they are decoded again in each epoch"


class ProxyFile:
    """The file of decoded images of one data set in one folder."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder.absolute() / f"pixels-{key}.npy"

    @classmethod
    def of(cls, folder: str | Path | None, files: Files | None, ids: IdArray, options: list[Any]) -> ProxyFile | None:
        """Return the file for images of these files; None without a folder, or if the images are of no files."""
        if folder is None or files is None:
            return None
        made_by = [_DECODING, PIL.__version__, files.digest, digest(ids), *options]
        return cls(Path(folder), digest_values(made_by)[:16])

    def room(self, wanted: int) -> Room:
        """Return how large the file may be: 32 GiB, or half of the free disk if that is less."""
        place = next(folder for folder in self.path.parents if folder.is_dir())
        there = self.path.stat().st_size if self.path.exists() else 0
        return Room(wanted, min(_MOST, (shutil.disk_usage(place).free + there) // 2))

    def write(
        self,
        batches: Iterable[npt.NDArray[np.uint8]],
        most: int,
        shape: tuple[int, ...],
        about: Callable[[], tuple[Hashes, dict[str, Any]]],
    ) -> npt.NDArray[np.uint8]:
        """Write at most so many images, then their hashes and what else `about` returns; return the memory map.

        Raises:
            StorageError: the files cannot be written.
        """

        def fill(file: BinaryIO) -> None:
            start, written = _write_header(file, (most, *shape)), 0
            for images in batches:
                file.write(images.data)
                written += len(images)
            file.seek(0)
            # NumPy leaves space for a longer array, so both headers are equally long.
            assert _write_header(file, (written, *shape)) == start

        replace_file(self.path, fill)
        hashes, more = about()
        text = json.dumps({"about": more, "digest": _seal(hashes, more)})
        replace_file(self.path.with_suffix(".json"), lambda file: file.write(text.encode()))
        written: npt.NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return written

    def read(self) -> tuple[npt.NDArray[np.uint8], Hashes, dict[str, Any]] | None:
        """Return the memory map, the hash of each image, and what `about` was; None if anything is not as written."""
        try:
            kept = json.loads(self.path.with_suffix(".json").read_bytes())
            images = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if images.ndim != 4 or images.dtype != np.uint8 or not isinstance(kept, dict) or set(kept) != _KEPT:
            return None
        each = int(np.prod(images.shape[1:]))
        parts = [hash_items(image.data for image in images[at]) for at in blocks(len(images), each)]
        hashes = np.concatenate([np.empty((0, 2), np.uint64), *parts])
        return (images, hashes, kept["about"]) if kept["digest"] == _seal(hashes, kept["about"]) else None


def _seal(hashes: Hashes, about: object) -> str:
    return digest_values([digest(hashes), about])


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()
