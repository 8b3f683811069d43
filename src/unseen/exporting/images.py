"""Exports of images: class folders of links or files (`to_folder`), and tar shards for WebDataset (`to_webdataset`).

Shards are made from a data set, or copied from existing shards; or only the keys of the samples are written.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, cast

import numpy as np

from unseen.core.checks import at_least, one_of
from unseen.core.files import replace_file
from unseen.data.arrow import is_list
from unseen.data.decoding import is_image
from unseen.data.images import SUFFIXES
from unseen.errors import ArgumentError, DataError, some, warn
from unseen.exporting.request import ExportRequest, new_folder, safe_name, suffix

# ---- class folders ---------------------------------------------------------------------------------------------------

Link = Literal["hard", "symlink", "copy"]

_LINKS: dict[str, Callable[[Path, Path], object]] = {
    "hard": lambda source, target: os.link(source.resolve() if source.is_symlink() else source, target),
    "symlink": lambda source, target: target.symlink_to(source),
    "copy": shutil.copy2,
}
_UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
_REPORTED = 500  # links between reports


def to_folder(request: ExportRequest, out: Path, *, link: Link | None = None) -> None:
    """Write images into one folder a class, as torchvision's `ImageFolder` reads them.

    From a folder of images, the paths below it are kept. From other data sets, class folders are named by class and
    files by id, made safe; images are written as they are encoded, and pixels of arrays as PNG.

    By `link="hard"`, the default, files of a folder of images are links to the same files, which takes no room and
    outlives the removal of the originals; `"symlink"` links to their paths; `"copy"` copies them. Other data sets have
    no files to link to. A warning says if readers that number classes by the order of folders get other numbers.
    """
    if link is not None:
        one_of("link", link, tuple(_LINKS))
    if request.source.labelling.targets is not None:
        raise ArgumentError("to='folder' needs classes, but the data set has a target; use to='parquet'")
    if request.source.root is not None:
        _link_files(request, request.source.root, out, link or "hard")
        names = list(request.source.labelling.class_names)
    else:
        if link not in (None, "copy"):
            raise ArgumentError(f"link={link!r} is for data sets that are folders of images; leave it out")
        _write_files(request, out)
        names = [safe_name(name) for name in request.source.labelling.class_names]
    lost = sorted(set(names) - {names[label] for label in np.unique(request.labels).tolist()})
    if lost or sorted(names) != names:
        why = f"no sample of {some(lost)} was kept" if lost else "names of classes sort in another order"
        warn(
            "readers that number classes by sorted folders, as ImageFolder does, get other numbers than the data set "
            f"has: {why}",
        )


def _link_files(request: ExportRequest, root: Path, out: Path, link: Link) -> None:
    if out.absolute().resolve().is_relative_to(root.resolve()):
        raise ArgumentError(f"out {out} lies inside the data set {root}, where it would become a class")
    ids = request.coreset.ids.tolist()
    with new_folder(out) as part:
        for done, name in enumerate(ids, 1):
            path, target = root / name, part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _LINKS[link](path, target)
            except OSError as error:
                if link == "hard" and error.errno in _UNLINKABLE:
                    raise ArgumentError(
                        f"{path} cannot be linked to from there: {error.strerror or error}; use link='symlink' or "
                        "link='copy'"
                    ) from error
                if not path.exists():
                    raise DataError(f"{path} is gone; it was there when the data set was scored") from error
                raise
            if done % _REPORTED == 0 or done == len(ids):
                request.report_done(done)


def _write_files(request: ExportRequest, out: Path) -> None:
    source, given = request.source, request.source.reading.image
    columns = [field.name for field in source.stored_schema if is_image(field)]
    if not columns:
        raise ArgumentError("to='folder' is for images, which the data set does not hold; use to='parquet'")
    column = given if given in columns else columns[0]
    classes = [safe_name(name) for name in source.labelling.class_names]
    ids, labels = request.coreset.ids.tolist(), request.labels.tolist()
    width = len(str(request.coreset.n))
    with new_folder(out) as part:
        for label in set(labels):
            (part / classes[label]).mkdir()
        images = (image for table in request.tables() for image in table.column(column).to_pylist())
        for row, (identity, label, image) in enumerate(zip(ids, labels, images, strict=True)):
            if image is None or not image.get("bytes"):
                raise DataError(f"sample {row:,} of the coreset has no bytes in column {column!r}")
            end = suffix(image["bytes"], image.get("path"))
            if f".{end}" not in SUFFIXES:
                raise DataError(f"sample {identity!r} is no image that folders hold ({', '.join(SUFFIXES)})")
            stem = f"{identity:0{width}}" if isinstance(identity, int) else safe_name(cast(str, identity))
            with (part / classes[label] / f"{stem}.{end}").open("xb") as file:
                file.write(image["bytes"])


# ---- tar shards ------------------------------------------------------------------------------------------------------

_MEMBER = re.compile(r"((?:.*/)?[^.]+)\.([^/]*)")  # key and extension, as webdataset splits the names of members
_DATED = 0  # a fixed time: equal coresets give equal shards


def to_webdataset(
    request: ExportRequest,
    out: Path,
    *,
    keys: bool = False,
    shards: Sequence[str | Path] | str | Path = (),
    shard_bytes: int = 512 << 20,
) -> None:
    """Write tar shards as the library `webdataset` reads them.

    From a data set, the key of a sample is its row, and its files are: `cls`, the number of its class (for a regression
    target `target.txt`); images under their format (`jpg`); lists of numbers as `<column>.npy`, float32; and `json`
    with all other columns, and the id of the sample as `__id__`.

    Args:
        request: the coreset.
        out: the folder to make; with `keys` a text file.
        keys: whether to write only the ids as keys, one a line, for a data set that is in shards already.
        shards: tar files whose keys are the ids. The kept samples are copied to shards of the same names, in the same
            order. No other data is read.
        shard_bytes: the size of a shard, about.
    """
    if keys and shards:
        raise ArgumentError(
            "give keys or shards, not both: one writes keys, the other copies the samples that have them"
        )
    at_least("shard_bytes", shard_bytes, 1)
    if keys:
        lines = [f"{identity}\n" for identity in request.coreset.ids.tolist()]
        if broken := [line for line in lines if len(line.splitlines()) != 1]:
            raise DataError(
                f"an id holds a line break, so that it cannot be a line of its own: {broken[0][:-1]!r}; export as npy"
            )
        replace_file(out, lambda file: file.write("".join(lines).encode("utf-8", "surrogatepass")))
    elif shards:
        _copy_shards(request, out, [shards] if isinstance(shards, (str, Path)) else list(shards))
    else:
        _make_shards(request, out, shard_bytes)


def _make_shards(request: ExportRequest, out: Path, shard_bytes: int) -> None:
    number, shard = 0, None
    with new_folder(out) as part, ExitStack() as opened:
        for name, files in _pack_samples(request):
            if shard is None or shard.offset >= shard_bytes:
                opened.close()  # the shard before
                path = part / f"shard-{number:06}.tar"
                number, shard = number + 1, opened.enter_context(tarfile.open(path, "x", format=tarfile.PAX_FORMAT))
            for end, content in files.items():
                about = tarfile.TarInfo(f"{name}.{end}")
                about.size, about.mtime = len(content), _DATED
                shard.addfile(about, io.BytesIO(content))


def _pack_samples(request: ExportRequest) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the key of each sample, and its files by extension."""
    source, coreset = request.source, request.coreset
    labelling, width = source.labelling, len(str(coreset.n))
    images = _name_files([field.name for field in source.stored_schema if is_image(field)])
    vectors = _name_files([field.name for field in source.stored_schema if is_list(field.type)])
    records = (record for table in request.tables() for record in table.to_pylist())
    about = zip(coreset.ids.tolist(), coreset.indices.tolist(), request.rows.tolist(), strict=True)
    for record, (identity, number, row) in zip(records, about, strict=True):
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
        files["json"] = json.dumps({**record, "__id__": identity}, default=str).encode()
        if labelling.targets is None:
            files["cls"] = str(labelling.labels[row]).encode()
        else:
            files["target.txt"] = repr(float(labelling.targets[row])).encode()
        yield f"{number:0{width}}", files


def _name_files(columns: list[str]) -> dict[str, str]:
    """Name the files of each column in plain lower case, as the library reads them, without repeating a name."""
    plain = [re.sub(r"[^a-z0-9_]", "_", column.lower()) for column in columns]
    return {c: p if plain.count(p) == 1 else f"{p}_{i}" for i, (c, p) in enumerate(zip(columns, plain, strict=True))}


def _copy_shards(request: ExportRequest, out: Path, shards: list[str | Path]) -> None:
    paths = [Path(shard) for shard in shards]
    names = [path.name.removesuffix(".gz") for path in paths]
    if len(set(names)) < len(names):
        raise ArgumentError(f"shards must have different names, as they are written to one folder, got {some(names)}")
    wanted = {str(identity) for identity in request.coreset.ids.tolist()}
    seen: set[str] = set()
    with new_folder(out) as part:
        for path, name in zip(paths, names, strict=True):
            copied = _copy_shard(path, part / name, wanted)
            if again := copied & seen:
                raise DataError(f"{path} holds samples that an earlier shard holds, too: {some(sorted(again))}")
            seen |= copied
        if lost := wanted - seen:
            raise DataError(f"the shards lack {len(lost):,} samples of the coreset: {some(sorted(lost))}")


def _copy_shard(path: Path, target: Path, wanted: set[str]) -> set[str]:
    """Copy the wanted samples of a shard, and return their keys."""
    copied: set[str] = set()
    last = None
    try:
        with tarfile.open(path, "r|*") as source, tarfile.open(target, "x", format=tarfile.PAX_FORMAT) as shard:
            for member in source:
                match = _MEMBER.fullmatch(member.name) if member.isfile() else None
                key = match and match[1]
                if key and key in wanted:
                    if key != last and key in copied:
                        raise DataError(f"{path} holds sample {key!r} twice")
                    copied.add(key)
                    shard.addfile(member, source.extractfile(member))
                last = key
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path} is no sound tar file: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"there is no shard {path}") from error
    if not copied:
        target.unlink()
    return copied
