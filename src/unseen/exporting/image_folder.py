"""A folder of images, one folder a class: links to the files of the data set, or files of their own."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import numpy as np

from unseen.data.folders import SUFFIXES
from unseen.errors import ArgumentError, DataError, some
from unseen.exporting.asking import Asked
from unseen.exporting.names import safe_name
from unseen.exporting.payloads import contents, image_of
from unseen.exporting.places import new_folder
from unseen.exporting.sources.folder import FolderSource

__all__ = ["to_folder"]

Link = Literal["hard", "symlink", "copy"]

_LINKS: dict[str, Callable[[Path, Path], object]] = {
    "hard": lambda source, target: os.link(source.resolve() if source.is_symlink() else source, target),
    "symlink": lambda source, target: target.symlink_to(source),
    "copy": shutil.copy2,
}
_UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


def to_folder(asked: Asked, out: Path, *, link: Link | None = None) -> None:
    """Images in one folder a class, as torchvision's `ImageFolder` reads them.

    From a folder of images the paths below it are kept. From other data sets, class folders bear the names of classes
    and files those of ids, made safe; images are written as they are encoded, pixels of arrays as PNG.

    Args:
        asked: the coreset.
        out: the folder that is made.
        link: from a folder of images: `"hard"` links to the same files, which take no room and outlive the removal of
            the originals (the default); `"symlink"` to where they are; `"copy"`. Otherwise there is nothing to link to.

    Raises:
        ArgumentError: no images, links where there are no files or that the file system refuses.

    Warns:
        UserWarning: whoever numbers classes by the order of folders gets other numbers than those of the data set.

    """
    if link is not None and link not in _LINKS:
        raise ArgumentError(f"link must be one of {', '.join(_LINKS)}, got {link!r}")
    if asked.source.labelling.targets is not None:
        raise ArgumentError("to='folder' needs classes, but the data set has a target; use to='parquet'")
    if isinstance(asked.source, FolderSource):
        _linked(asked, asked.source, out, link or "hard")
        names = list(asked.source.labelling.class_names)
    else:
        if link not in (None, "copy"):
            raise ArgumentError(f"link={link!r} is for data sets that are folders of images; leave it out")
        _written(asked, out)
        names = [safe_name(name) for name in asked.source.labelling.class_names]
    _warn_of_numbers(asked, names)


def _linked(asked: Asked, source: FolderSource, out: Path, link: Link) -> None:
    if out.absolute().resolve().is_relative_to(source.root.resolve()):
        raise ArgumentError(f"out {out} lies inside the data set {source.root}, of which it would be a class")
    put = _LINKS[link]
    made: set[Path] = set()
    with new_folder(out) as part:
        for row in asked.counted(asked.rows.tolist()):
            target = part / source.paths[row]
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            try:
                put(source.root / source.paths[row], target)
            except OSError as error:
                raise _refused(error, source.root / source.paths[row], link) from error


def _refused(error: OSError, path: Path, link: Link) -> Exception:
    if link == "hard" and error.errno in _UNLINKABLE:
        reason = error.strerror or str(error)
        return ArgumentError(f"{path} cannot be linked to from there: {reason}; use link='symlink' or link='copy'")
    if not path.exists():
        return DataError(f"{path} is gone; it was there when the data set was scored")
    return error


def _written(asked: Asked, out: Path) -> None:
    column, source = image_of(asked), asked.source
    classes = [safe_name(name) for name in source.labelling.class_names]
    ids = asked.coreset.ids
    width = len(str(asked.coreset.n))
    with new_folder(out) as part:
        for label in np.unique(asked.labels).tolist():
            (part / classes[label]).mkdir()
        images = contents(asked.tables(), column)
        for identity, label, (content, end) in zip(ids.tolist(), asked.labels.tolist(), images, strict=True):
            if f".{end}" not in SUFFIXES:
                raise DataError(f"sample {identity!r} is no image that folders hold ({', '.join(SUFFIXES)})")
            stem = f"{identity:0{width}}" if isinstance(identity, int) else safe_name(cast(str, identity))
            with (part / classes[label] / f"{stem}.{end}").open("xb") as file:
                file.write(content)


def _warn_of_numbers(asked: Asked, names: list[str]) -> None:
    present = [names[label] for label in np.unique(asked.labels).tolist()]
    if len(present) == len(names) and sorted(names) == names:
        return
    lost = sorted(set(names) - set(present))
    why = f"no sample of {some(lost)} was kept" if lost else "names of classes sort in another order"
    warnings.warn(
        "whoever numbers classes by sorted folders, as ImageFolder does, gets other numbers than the data set has: "
        f"{why}",
        UserWarning,
        stacklevel=4,
    )
