"""Files on disk: which are below a folder, whether they can be read and have changed, and npy files, never unpickled.

A list has each folder once, and no hidden files. A path that is a URL is for `unseen.data.storage`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tokenize
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from unseen.errors import DataError, UnknownNameError, some

# Folders in which Synology, Windows and Linux keep thumbnails and deleted files.
_OF_SYSTEMS = {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
_HIDDEN = (".", "_")  # the same as in pyarrow.dataset: .ipynb_checkpoints, ._a.parquet, _metadata, _SUCCESS
URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*)(::|://)")
NOTHING = os.strerror(errno.ENOENT)
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip


@dataclass
class Walk:
    """The files and folders below a folder; names are relative to it, with slashes."""

    # Files, ordered by their folder, then by name; also pipes and broken links, see `why_unreadable`.
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    hidden: int = 0  # how many files and folders are left out because their names begin with `.` or `_`
    systems: list[str] = field(default_factory=list)  # left out, because an operating system made them
    again: dict[str, str] = field(default_factory=dict)  # left out: links to folders, with the name they are read under
    links: list[str] = field(default_factory=list)  # the files that are links

    @property
    def notes(self) -> list[str]:
        """Notes on the files that were left out."""
        notes = []
        if self.hidden:
            notes.append(f"left out, as hidden: {self.hidden:,} files or folders whose names begin with '.' or '_'")
        if self.systems:
            notes.append(f"left out, as operating systems keep their own files there: {some(self.systems)}")
        if self.again:
            links = [f"{link} (is {target or 'the folder itself'})" for link, target in sorted(self.again.items())]
            notes.append(f"left out, as they are read under another name: {some(links)}")
        return notes


def walk(root: Path, *, deep: bool = True, photos: tuple[str, ...] = ()) -> Walk:
    """List the files of a folder, or of all folders below it, through links too.

    Files with one of the endings `photos` may begin with `_`, as cameras name them: `_MG_0001.JPG`.

    Real folders come before links to folders. So if a folder can be reached twice, the link is left out. Folders that
    may not be read, or whose names are not UTF-8, are refused.
    """
    found = Walk()
    seen: dict[tuple[int, int], str] = {}
    proper, links = deque([""]), deque[str]()
    while proper or links:
        name = proper.popleft() if proper else links.popleft()
        status, entries = _inside(root / name)
        key = status.st_dev, status.st_ino
        if key in seen:
            found.again[name] = seen[key]
            continue
        seen[key] = name
        if name:
            found.folders.append(name)
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            photo = entry.name.startswith("_") and entry.name.lower().endswith(photos) and not is_folder(entry)
            if entry.name.startswith(_HIDDEN) and not photo:
                found.hidden += 1
            elif entry.name in _OF_SYSTEMS:
                found.systems.append(below)
            elif not is_folder(entry):
                found.files.append(below)
                if entry.is_symlink():
                    found.links.append(below)
            elif deep:
                (links if entry.is_symlink() else proper).append(_utf8(root, below))
    found.files.sort(key=lambda name: name.rpartition("/")[::2])
    return found


def _inside(folder: Path) -> tuple[os.stat_result, list[os.DirEntry[str]]]:
    try:
        return folder.stat(), sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"the folder {escape(folder)} cannot be read: {reason}; repair it, or move it away") from error


def is_folder(path: Path | os.DirEntry[str]) -> bool:
    """Tell whether a path is a folder that may be accessed, and no link that leads to itself."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_hidden(name: str) -> bool:
    """Tell whether this file, or a folder that it is in, is hidden.

    >>> is_hidden("a/b.parquet"), is_hidden("a/.cache/b.parquet"), is_hidden("_metadata")
    (False, True, True)
    """
    return any(part.startswith(_HIDDEN) or part in _OF_SYSTEMS for part in name.split("/"))


def drop_repeated_links(root: Path, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Leave out links to files that are among the names; return the other names, and the target of each such link.

    A name that cannot be accessed stays; reading it gives the reason.
    """
    names = sorted(names, key=lambda name: ((root / name).is_symlink(), name))
    files: dict[tuple[int, int], str] = {}
    kept, again = [], {}
    for name in names:
        try:
            status = (root / name).stat()
        except (OSError, ValueError):
            kept.append(name)
            continue
        first = files.setdefault((status.st_dev, status.st_ino), name)
        if first != name and (root / name).is_symlink():
            again[name] = first
        else:
            kept.append(name)
    return sorted(kept), again


def why_unreadable(path: Path) -> str | None:
    """Return why a path is not a readable file (a broken link, a pipe, which would never end, ...); else None."""
    try:
        str(path).encode()
        kind = stat.S_IFMT(path.stat().st_mode)
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    except ValueError:
        return "its name holds a null character"
    except OSError as error:
        with suppress(OSError):
            return f"a link to {escape(path.readlink())}, which cannot be reached"
        return error.strerror or str(error)
    return None if kind == stat.S_IFREG else f"{_KINDS.get(kind, 'something else')}, not a file"


UNPACK = {
    ".gz": "gunzip -k",
    ".bz2": "bunzip2 -k",
    ".xz": "unxz -k",
    ".zst": "unzstd",
    ".lz4": "unlz4",
    ".zip": "unzip",
    ".tar": "tar xf",
}  # the commands for packed files


def check_readable(path: Path) -> Path:
    """Refuse a path that is not a readable file; return the path."""
    reason = why_unreadable(path)
    if reason is not None:
        raise DataError(unreadable_message(path, reason))
    return path


def unreadable_message(path: Path, reason: str) -> str:
    """Make the message for a path that cannot be read, with the reason of `why_unreadable`."""
    return (
        f"there is no file or folder {escape(path)}"
        if reason == NOTHING
        else f"{escape(path)} cannot be read: {reason}"
    )


def escape(path: str | Path) -> str:
    r"""Escape a name so that it can be printed, in one line.

    >>> print(escape("caf\udce9.png"), escape("two\nlines"))
    caf\xe9.png two\nlines
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _utf8(root: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name of the folder {escape(root / name)} is not UTF-8; rename it") from error
    return name


def npy_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an open npy file: shape, whether in Fortran order, and type; moves to the numbers.

    Raises:
        ValueError: it is not a header, or claims more than a file of `size` bytes holds.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format version is {version}, which is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, columns_first, dtype = read(file)
    except (TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ValueError("its header is none of an array") from error
    if any(isinstance(length, bool) or not 0 <= length < 2**63 for length in shape):
        raise ValueError(f"its header says shape {shape}")
    wanted = file.tell() + math.prod(shape) * dtype.itemsize
    if wanted > size and not dtype.hasobject:
        raise ValueError(f"it has {size:,} bytes, and its header says {wanted:,} (shape {shape} of {dtype})")
    return shape, columns_first, dtype


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Open the memory map of an npy file."""
    check_readable(path)
    with reading_npy(path), path.open("rb") as opened:
        npy_header(opened, path.stat().st_size)
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


@contextmanager
def reading_npy(path: Path | str) -> Iterator[None]:
    """Turn the errors of reading an npy or npz file into a DataError that names the file."""
    try:
        yield
    except (DataError, UnknownNameError):
        raise
    except ValueError as error:
        # np.load has two messages for files that hold objects; unseen never unpickles.
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{path} holds Python objects, which are never unpickled; save the array as numbers, as in "
                "array.astype(float), or as text, array.astype(str)"
            ) from error
        raise DataError(f"{path} is damaged: {error}") from error
    except (OSError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # also encrypted
        raise DataError(f"{path} cannot be read: {error}") from error


def find_alike(name: str, present: Iterable[str]) -> str | None:
    """Find a name, or else the only one that differs from it in capitals, since X and x are both usual; or None.

    >>> find_alike("x", ["X", "y"]), find_alike("x", ["X", "x"]), find_alike("z", ["X"])
    ('X', 'x', None)
    """
    alike = [other for other in present if other.lower() == name.lower()]
    return name if name in alike else alike[0] if len(alike) == 1 else None


def is_url(source: object) -> bool:
    """Tell whether a source is a URL of a store.

    >>> is_url("s3://bucket/folder"), is_url("simplecache::s3://bucket/folder"), is_url("folder/x.parquet")
    (True, True, False)
    """
    return isinstance(source, str) and URL.match(source) is not None


# ---- files that are read again, and whether they have changed -------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Files:
    """The number and size of the files of a data set at opening, and a digest of names, sizes and times."""

    count: int
    bytes: int
    digest: str


class Watch:
    """A record of files that are read repeatedly: size, modification time and inode at opening.

    Args:
        places: the files; those that do not exist any more, such as maps of unnamed files, are not watched.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        states = {place.absolute(): _identity(place) for place in places}
        self._states = {place: state for place, state in states.items() if state is not None}

    def check(self) -> None:
        """Refuse files that have changed since they were opened, were replaced, or are gone, by a DataError."""
        for place, state in self._states.items():
            if _identity(place) != state:
                raise changed_error(place, "its size or time differs, or another file replaced it")


def changed_error(where: Path | str, how: str) -> DataError:
    """Make the error for a file that has changed since it was opened."""
    return DataError(f"{where} has changed since it was opened ({how}); begin again with the data as it is now")


def stamp(root: Path, names: Iterable[str]) -> Files:
    """Digest names, sizes and modification times of files below `root`; for a missing file, its name only."""
    return stamp_states((name, *(_identity(root / name) or (0, None))[:2]) for name in names)


def stamp_states(files: Iterable[tuple[str, int, int | str | None]]) -> Files:
    """Digest the name and size of each file, and its time or digest if there is one."""
    seen, count, total = blake2b(digest_size=16), 0, 0
    for name, size, mark in files:
        seen.update(json.dumps([name, size, mark]).encode())
        count, total = count + 1, total + size
    return Files(count, total, seen.hexdigest())


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
