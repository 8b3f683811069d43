"""Files below a folder: every folder once, hidden ones left out; and what is no file to read from."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from unseen.errors import DataError, some

__all__ = ["NOTHING", "Walk", "is_folder", "is_hidden", "no_file", "once", "readable", "shown", "unread", "walk"]

# Folders of Synology, Windows and Linux, in which they keep thumbnails and what was deleted.
_OF_SYSTEMS = {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
_HIDDEN = (".", "_")  # as pyarrow.dataset has it: .ipynb_checkpoints, ._a.parquet, _metadata, _SUCCESS
NOTHING = os.strerror(errno.ENOENT)
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip


@dataclass
class Walk:
    """What is below a folder; names are from the folder on, with slashes.

    Args:
        files: ordered by their folder, then by name; also pipes and broken links, see `no_file`.
        folders: all of them.
        hidden: the number of files and folders whose names begin with `.` or `_`, which are left out.
        systems: names of files and folders in which systems keep their own, likewise.
        again: links to folders that are read under another name, with that name; they are left out.
        links: the files that are links.

    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    hidden: int = 0
    systems: list[str] = field(default_factory=list)
    again: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What was left out, in words."""
        notes = []
        if self.hidden:
            notes.append(f"left out, as hidden: {self.hidden:,} files or folders whose names begin with '.' or '_'")
        if self.systems:
            notes.append(f"left out, as systems keep their own there: {some(self.systems)}")
        if self.again:
            links = [f"{link} (is {target or 'the folder itself'})" for link, target in sorted(self.again.items())]
            notes.append(f"left out, as they are read under another name: {some(links)}")
        return notes


def walk(root: Path, *, deep: bool = True) -> Walk:
    """List the files of a folder, or of all folders below it, through links too.

    Folders proper come before links to folders, so that a link to what is listed anyway is the one that is left out.

    Raises:
        DataError: a folder that must not be read, or whose name is no UTF-8.

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
            if entry.name.startswith(_HIDDEN):
                found.hidden += 1
            elif entry.name in _OF_SYSTEMS:
                found.systems.append(below)
            elif not _is_folder(entry):
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
        raise DataError(f"the folder {shown(folder)} cannot be read: {reason}; mend it, or move it away") from error


def is_folder(path: Path) -> bool:
    """Whether it is one, and may be looked at."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_hidden(name: str) -> bool:
    """Whether this file, or a folder that it is in, is hidden.

    >>> is_hidden("a/b.parquet"), is_hidden("a/.cache/b.parquet"), is_hidden("_metadata")
    (False, True, True)

    """
    return any(part.startswith(_HIDDEN) or part in _OF_SYSTEMS for part in name.split("/"))


def once(root: Path, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Leave out links to files that are among the names; gives the others, and for each link what it is.

    What cannot be looked at stays: whoever reads it says why.
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


def no_file(path: Path) -> str | None:
    """Why nothing can be read from here: a broken link, a pipe, which would never end, and the like; else None."""
    try:
        str(path).encode()
        kind = stat.S_IFMT(path.stat().st_mode)
    except UnicodeEncodeError:
        return "its name is no UTF-8: rename it"
    except ValueError:
        return "its name holds a null character"
    except OSError as error:
        return _broken_link(path) or error.strerror or str(error)
    return None if kind == stat.S_IFREG else f"{_KINDS.get(kind, 'something else')}, not a file"


def readable(path: Path) -> Path:
    """Refuse what nothing can be read from; gives the path of a file.

    Raises:
        DataError: see `no_file`.

    """
    reason = no_file(path)
    if reason is not None:
        raise DataError(unread(path, reason))
    return path


def unread(path: Path, reason: str) -> str:
    """The message that says so."""
    return (
        f"there is no file or folder {shown(path)}" if reason == NOTHING else f"{shown(path)} cannot be read: {reason}"
    )


def shown(path: str | Path) -> str:
    r"""A name as it can be printed, in one line.

    >>> print(shown("caf\udce9.png"), shown("two\nlines"))
    caf\xe9.png two\nlines

    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _broken_link(path: Path) -> str | None:
    try:
        return f"a link to {shown(path.readlink())}, which cannot be reached"
    except OSError:
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _utf8(root: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name of the folder {shown(root / name)} is no UTF-8; rename it") from error
    return name
