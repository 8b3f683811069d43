"""A folder of images, one folder a class: links to the files of the data set, or files of their own.

WebDataset: tar shards of the samples kept, made of a data set or of shards that there are; or their keys alone.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from unseen.data.columns import is_list
from unseen.data.folders import SUFFIXES
from unseen.errors import ArgumentError, DataError, some
from unseen.exporting.files import contents, file_columns, image_of, new_file, new_folder, safe_name, suffix
from unseen.exporting.request import Asked
from unseen.exporting.sources import FolderSource

__all__ = ["to_folder", "to_webdataset"]


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


_MEMBER = re.compile(r"((?:.*/)?[^.]+)\.([^/]*)")  # key and extension, as webdataset parts the names of members
_DATED = 0  # a fixed time: equal coresets give equal shards


def to_webdataset(
    asked: Asked,
    out: Path,
    *,
    keys: bool = False,
    shards: Sequence[str | Path] | str | Path = (),
    shard_bytes: int = 512 << 20,
) -> None:
    """Tar shards as the library `webdataset` reads them.

    Made of the data set, a sample has as key its row in the data set, and as files: `cls`, the number of its class (a
    target: `target.txt`); images under their format (`jpg`); lists of numbers as `<column>.npy`, float32; everything
    else in `json`, with the id of the sample as `__id__`.

    Args:
        asked: the coreset.
        out: the folder that is made; with `keys` a text file.
        keys: write ids as keys, one a line, for a data set that is in shards already.
        shards: tars whose keys are the ids; those of their samples that were kept are copied to shards of the same
            names, in the order they have. No other data is read.
        shard_bytes: about how large shards become.

    Raises:
        ArgumentError: options that go against each other.
        DataError: shards that lack a sample, or hold it twice.

    """
    if keys and shards:
        raise ArgumentError(
            "give keys or shards, not both: one writes keys, the other copies the samples that have them"
        )
    if not isinstance(shard_bytes, int) or shard_bytes < 1:
        raise ArgumentError(f"shard_bytes must be an integer of at least 1, got {shard_bytes!r}")
    if keys:
        text = _lines(asked.coreset.ids.tolist())
        new_file(out, lambda file: file.write(text))
    elif shards:
        _copied(asked, out, [shards] if isinstance(shards, (str, Path)) else list(shards))
    else:
        _made(asked, out, shard_bytes)


def _lines(ids: Sequence[object]) -> bytes:
    """One id a line."""
    broken = [str(value) for value in ids if len(f"{value}\n".splitlines()) != 1]
    if broken:
        raise DataError(
            f"an id holds a line break, so that it cannot be a line of its own: {broken[0]!r}; export as npy"
        )
    return "".join(f"{value}\n" for value in ids).encode("utf-8", "surrogatepass")


def _made(asked: Asked, out: Path, shard_bytes: int) -> None:
    samples = _samples(asked)
    with new_folder(out) as part:
        number, shard = 0, None
        try:
            for name, files in samples:
                if shard is None:
                    shard = tarfile.open(part / f"shard-{number:06}.tar", "x", format=tarfile.PAX_FORMAT)  # noqa: SIM115
                for end, content in files.items():
                    about = tarfile.TarInfo(f"{name}.{end}")
                    about.size, about.mtime = len(content), _DATED
                    shard.addfile(about, io.BytesIO(content))
                if shard.offset >= shard_bytes:
                    shard.close()
                    number, shard = number + 1, None
        finally:
            if shard is not None:
                shard.close()


def _samples(asked: Asked) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The key of each sample, and its files by extension."""
    source, coreset = asked.source, asked.coreset
    labelling, rows = source.labelling, asked.rows
    images = _named(file_columns(source.schema))
    vectors = _named([field.name for field in source.schema if is_list(field.type)])
    width = len(str(coreset.n))
    at = 0
    for table in asked.tables():
        for record in table.to_pylist():
            files = _files(record, images, vectors)
            record["__id__"] = coreset.ids[at].item() if hasattr(coreset.ids[at], "item") else coreset.ids[at]
            files["json"] = json.dumps(record, default=str).encode()
            if labelling.targets is None:
                files["cls"] = str(labelling.labels[rows[at]]).encode()
            else:
                files["target.txt"] = repr(float(labelling.targets[rows[at]])).encode()
            yield f"{coreset.indices[at]:0{width}}", files
            at += 1


def _files(record: dict[str, Any], images: dict[str, str], vectors: dict[str, str]) -> dict[str, bytes]:
    """The columns of a row that become files; they are taken out of it."""
    files: dict[str, bytes] = {}
    for column, name in images.items():
        value = record.pop(column)
        if value is not None and value.get("bytes"):
            end = suffix(value["bytes"], value.get("path"))
            files[end if len(images) == 1 else f"{name}.{end}"] = value["bytes"]
    for column, name in vectors.items():
        if (value := record.pop(column)) is not None:
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(value, dtype=np.float32), allow_pickle=False)
            files[f"{name}.npy"] = buffer.getvalue()
    return files


def _named(columns: list[str]) -> dict[str, str]:
    """What the files of each column are called: plain, in lower case, as the library reads them, and different."""
    plain = [re.sub(r"[^a-z0-9_]", "_", column.lower()) for column in columns]
    return {c: p if plain.count(p) == 1 else f"{p}_{i}" for i, (c, p) in enumerate(zip(columns, plain, strict=True))}


def _copied(asked: Asked, out: Path, shards: list[str | Path]) -> None:
    paths = [Path(shard) for shard in shards]
    names = [path.name.removesuffix(".gz") for path in paths]
    if len(set(names)) < len(names):
        raise ArgumentError(f"shards must have different names, as they are written to one folder, got {some(names)}")
    wanted = {str(identity) for identity in asked.coreset.ids.tolist()}
    seen: set[str] = set()
    with new_folder(out) as part:
        for path, name in zip(paths, names, strict=True):
            found = _copy(path, part / name, wanted)
            if again := found & seen:
                raise DataError(f"{path} holds samples that an earlier shard holds, too: {some(sorted(again))}")
            seen |= found
        if lost := wanted - seen:
            raise DataError(f"the shards lack {len(lost):,} samples of the coreset: {some(sorted(lost))}")


def _copy(path: Path, target: Path, wanted: set[str]) -> set[str]:
    """Copy the samples that are wanted, and say which they are."""
    found: set[str] = set()
    last = None
    try:
        with tarfile.open(path, "r|*") as source, tarfile.open(target, "x", format=tarfile.PAX_FORMAT) as shard:
            for member in source:
                named = _MEMBER.fullmatch(member.name)
                key = named[1] if named and member.isfile() else None
                if key in wanted and key is not None:
                    if key != last and key in found:
                        raise DataError(f"{path} holds sample {key!r} twice")
                    found.add(key)
                    shard.addfile(member, source.extractfile(member))
                last = key
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path} is no sound tar file: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"there is no shard {path}") from error
    if not found:
        target.unlink()
    return found
