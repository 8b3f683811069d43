"""Storage of the files of a data set: a local folder, or a remote store that fsspec reads.

Addresses and credentials of a store come from the URL, the environment and the configuration of fsspec. Remote parquet
is read through open files, remote npy files by ranges of bytes: the header once, then the requested rows.
"""

from __future__ import annotations

import io
import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.core.arrays import IntArray
from unseen.data.files import (
    URL,
    Files,
    changed_error,
    check_readable,
    drop_repeated_links,
    is_folder,
    is_hidden,
    is_url,
    npy_header,
    read_npy,
    reading_npy,
    stamp_states,
    walk,
)
from unseen.errors import ArgumentError, DataError, MissingDependencyError, UnknownNameError

T = TypeVar("T")

_SECONDS = 1.0  # between two checks of one file
_MAPS = 256  # memory maps open at a time; an operating system allows some 65,000


# Numbers (n, d) in a file, of which only the requested rows are read; or in memory.
Rows: TypeAlias = "npt.NDArray[Any] | RemoteRows"


class State(NamedTuple):
    """The state of a file, to detect changes: its size, and times or digests by name, the most reliable first."""

    size: int
    marks: dict[str, Any]

    def same(self, other: State | None) -> bool:
        """Tell whether two states are equal, by size and the first mark that both have.

        A store gives more marks for a single file than for files in a list.
        """
        if other is None or self.size != other.size:
            return False
        both = [mark for mark in self.marks if mark in other.marks]
        return not both or self.marks[both[0]] == other.marks[both[0]]


class Storage(ABC):
    """A folder and files in it, with their states at the time of listing.

    Args:
        root: the folder, as shown to people.
        states: the state of each file, by its name relative to the folder, with slashes.
        single: whether the user named one file, and not the folder.
        notes: notes on files that were left out.
    """

    folder: Path | None = None  # where it is on this machine

    def __init__(self, root: str, states: dict[str, State], *, single: bool, notes: Sequence[str] = ()) -> None:
        self.root, self.states, self.single, self.notes = root, states, single, tuple(notes)
        self._last, self._looked = "", 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": ""}  # another process has another clock

    def names(self, suffix: str) -> list[str]:
        """Return the files whose names end in `suffix`, in lower or upper case, ascending."""
        return sorted(name for name in self.states if name.lower().endswith(suffix))

    def where(self, name: str) -> str:
        """Return the full path or URL of a file, for messages."""
        return f"{self.root}{'' if self.root.endswith('/') else '/'}{name}"

    def stamp(self, names: Iterable[str]) -> Files:
        """Digest names and states of these files, for a fingerprint."""
        states = ((name, self.states[name]) for name in names)
        return stamp_states((name, state.size, next(iter(state.marks.values()), None)) for name, state in states)

    def check(self, name: str) -> None:
        """Refuse a file that has changed; it is checked at most once a second unless another one was in between."""
        now = time.monotonic()
        if name != self._last or now - self._looked >= _SECONDS:
            self.check_all([name])
            self._last, self._looked = name, now

    def check_all(self, names: Sequence[str]) -> None:
        """Refuse files that have changed since they were listed, by a DataError; each is checked."""
        now = self.now(names)
        for name in names:
            if not self.states[name].same(now.get(name)):
                raise changed_error(self.where(name), "its size or time differs")

    @contextmanager
    def parquet(self, name: str, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
        """Open a parquet file; from a store, the requested columns of a row group are read in few long ranges."""
        with self.opened(name) as source:
            buffered = not isinstance(source, Path)
            with pq.ParquetFile(source, metadata=metadata, pre_buffer=buffered) as parquet:
                yield parquet

    @abstractmethod
    def now(self, names: Sequence[str]) -> dict[str, State]:
        """Return the present states of these files; files that are gone are left out."""

    @abstractmethod
    def opened(self, name: str) -> AbstractContextManager[Any]:
        """Open a file for pyarrow: a path, or an open file."""

    @abstractmethod
    def rows(self, names: Sequence[str]) -> Iterator[Rows]:
        """Yield the rows of each npy file, read on request; a damaged one, or one of objects, is a DataError."""

    def arrays(self, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
        """Yield the whole array of each npy file; errors as in `rows`."""
        yield from map(np.asarray, self.rows(names))

    @abstractmethod
    def reading(self, what: str, work: Callable[[], T]) -> T:
        """Return the result of `work`, which reads `what`; a DataError says that it could not, and the reason."""


class LocalStorage(Storage):
    """Local files, by their names in a folder; npy files are memory maps, the last of which stay open."""

    folder: Path

    def __init__(self, root: Path, names: Iterable[str], *, single: bool = False, notes: Sequence[str] = ()) -> None:
        self.folder = root.resolve()
        self._maps: OrderedDict[str, npt.NDArray[Any]] = OrderedDict()
        states = {name: _local_state(check_readable(self.folder / name)) for name in names}
        super().__init__(str(root), states, single=single, notes=notes)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_maps": OrderedDict()}  # names travel to other processes, not content

    def now(self, names: Sequence[str]) -> dict[str, State]:
        """Return sizes and times."""
        states = {}
        for name in names:
            with suppress(OSError):
                states[name] = _local_state(self.folder / name)
        return states

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """Return the path."""
        return nullcontext(self.folder / name)

    def rows(self, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
        """Yield memory maps."""
        for name in names:
            if name not in self._maps:
                self._maps[name] = read_npy(self.folder / name)
                if len(self._maps) > _MAPS:
                    self._maps.popitem(last=False)
            yield self._maps[name]

    def reading(self, what: str, work: Callable[[], T]) -> T:
        """Read once, without further tries."""
        try:
            return work()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{what} cannot be read: {error}") from error


def _local_state(path: Path) -> State:
    status = path.stat()
    return State(status.st_size, {"mtime": status.st_mtime_ns})


def storage_of(source: str | Path, suffix: str, *, deep: bool = False) -> Storage:
    """List a file, or the files of a folder whose names end in `suffix`, in lower or upper case, without hidden ones.

    For the URL of a store, all files are listed. `deep` lists the folders below, too; then a link to a file that is
    listed anyway is left out.
    """
    if isinstance(source, str) and is_url(source):
        return RemoteStorage.listed(source)
    path = Path(source)
    if not is_folder(path):
        return LocalStorage(path.parent, [check_readable(path).name], single=True)
    found = walk(path, deep=deep)
    names = [name for name in found.files if name.lower().endswith(suffix)]
    if deep:
        for name in names:
            check_readable(path / name)
        names, again = drop_repeated_links(path, names)
        found.again |= again
    return LocalStorage(path, names, notes=found.notes)


# ---- stores ----------------------------------------------------------------------------------------------------------

Range = tuple[str, int, int]  # a file, its first byte, and the end (exclusive)

_GAP = 2**15  # bytes between two rows up to which they are read together
_HEADER = 2**12  # bytes that hold the header of an npy file of numbers
_WAITS = (0.5, 2.0)  # seconds before a second and a third try
_REFUSED = (PermissionError, FileNotFoundError, IsADirectoryError, NotADirectoryError)  # errors that no retry helps
# Entries of a store's file information that change with the file, the most reliable first.
_MARKS = ("etag", "md5hash", "crc32c", "checksum", "generation", "blobid",
          "mtime", "lastmodified", "modified", "modify", "updated", "created")  # fmt: skip

_log = logging.getLogger(__name__)


class RemoteStorage(Storage):
    """Files of a store. Only URLs are pickled: another process needs credentials of its own."""

    def __init__(self, url: str, states: dict[str, State], *, single: bool) -> None:
        super().__init__(url, states, single=single)
        self._headers: dict[str, RemoteRows] = {}

    @classmethod
    def listed(cls, url: str) -> RemoteStorage:
        """List what is at a URL: one file, or all files below it but hidden ones."""
        url = url if url.endswith("://") else url.rstrip("/")
        system, root = open_store(url)
        system.invalidate_cache()  # listings may be older than this call

        def listing() -> dict[str, Any]:
            about = system.info(root)
            if about["type"] == "file" and root.endswith(".parquet"):  # over HTTP folders are files, too
                return {root: about}
            found = system.find(root, detail=True)
            return {
                path: system.info(path) if about.get("size") is None else about
                for path, about in found.items()
                if path == root or not is_hidden(path[len(root) :].lstrip("/"))
            }

        found = retry(url, listing)
        if not found:
            raise DataError(f"there is no file or folder {url}")
        single = list(found) == [root]
        folder = root.rpartition("/")[0] if single else root
        states = {path[len(folder) :].lstrip("/"): read_state(about, path) for path, about in found.items()}
        return cls(url[: -len(next(iter(states)))] if single else url, states, single=single)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_store"}

    @cached_property
    def _store(self) -> tuple[Any, str]:
        """The file system of fsspec, and the path of the folder in it."""
        return open_store(self.root)

    @property
    def _system(self) -> Any:
        return self._store[0]

    def _path(self, name: str) -> str:
        return f"{self._store[1].rstrip('/')}/{name}"

    def now(self, names: Sequence[str]) -> dict[str, State]:
        """Return what the store says of one file, or of several by listing all."""
        if len(names) > 1:
            return RemoteStorage.listed(self.root).states
        (name,) = names

        def ask() -> dict[str, State]:
            self._system.invalidate_cache()
            try:
                return {name: read_state(self._system.info(self._path(name)), name)}
            except FileNotFoundError:
                return {}

        return retry(self.where(name), ask)

    def opened(self, name: str) -> AbstractContextManager[Any]:
        """Open a file of the store."""
        opened: AbstractContextManager[Any] = self._system.open(self._path(name), "rb")
        return opened

    def rows(self, names: Sequence[str]) -> Iterator[RemoteRows]:
        """Yield rows that are read by ranges of bytes; headers are read once, all together."""
        unknown = [name for name in names if name not in self._headers]
        ranges = [(name, 0, min(_HEADER, self.states[name].size)) for name in unknown]
        for name, content in zip(unknown, self.fetch(ranges), strict=True):
            file, where = io.BytesIO(content), self.where(name)
            with reading_npy(where):
                shape, columns_first, dtype = npy_header(file, self.states[name].size)
                if dtype.hasobject:
                    raise ValueError("Python objects")
            if columns_first:
                raise DataError(
                    f"{where} is stored column by column, of which no rows can be read from a store; write it again as "
                    "np.ascontiguousarray(x)"
                )
            self._headers[name] = RemoteRows(self, name, shape, dtype, file.tell())
        yield from map(self._headers.__getitem__, names)

    def arrays(self, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
        """Read whole files, and yield their arrays."""
        contents = self.fetch([(name, 0, self.states[name].size) for name in names])
        for name, content in zip(names, contents, strict=True):
            with reading_npy(self.where(name)):
                npy_header(io.BytesIO(content), len(content))
                array = np.load(io.BytesIO(content), allow_pickle=False)
            yield array

    def reading(self, what: str, work: Callable[[], T]) -> T:
        """Read with several tries: a file that is cut off in transfer looks damaged."""
        return retry(what, work)

    def fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read the bytes of each of these ranges, many at a time; what fails is read again, by itself."""
        wanted = [part for part in ranges if part[2] > part[1]]
        paths = [self._path(name) for name, _, _ in wanted]
        starts, ends = [start for _, start, _ in wanted], [end for _, _, end in wanted]
        contents = retry(self.root, lambda: self._system.cat_ranges(paths, starts, ends, on_error="return"))
        received = dict.fromkeys(ranges, b"")
        for part, content in zip(wanted, contents, strict=True):
            if isinstance(content, Exception) or len(content) != part[2] - part[1]:
                content = retry(self.where(part[0]), partial(self._fetch_one, *part))
            received[part] = content
        return [received[part] for part in ranges]

    def _fetch_one(self, name: str, start: int, end: int) -> bytes:
        content: bytes = self._system.cat_file(self._path(name), start, end)
        if len(content) != end - start:
            raise OSError(f"{len(content):,} of {end - start:,} bytes were received")
        return content


@dataclass(frozen=True)
class RemoteRows:
    """Rows of an npy file in a store."""

    storage: RemoteStorage
    name: str
    shape: tuple[int, ...]  # (n, d)
    dtype: np.dtype[Any]
    offset: int  # the number of bytes before the first row

    def __getitem__(self, at: slice | IntArray, /) -> npt.NDArray[Any]:
        """Read rows by ranges of bytes, each of which spans small gaps."""
        wanted = np.arange(*at.indices(self.shape[0])) if isinstance(at, slice) else at
        rows, of = np.unique(wanted, return_inverse=True)
        row_bytes = self.shape[1] * self.dtype.itemsize
        runs = np.split(rows, np.flatnonzero(np.diff(rows) * row_bytes > _GAP) + 1)
        places = [(self.offset + int(run[0]) * row_bytes, self.offset + int(run[-1] + 1) * row_bytes) for run in runs]
        contents = self.storage.fetch([(self.name, start, end) for start, end in places])
        values = np.frombuffer(b"".join(contents), self.dtype).reshape(-1, self.shape[1])
        read = np.concatenate([np.arange(run[0], run[-1] + 1) for run in runs])
        return values[np.searchsorted(read, rows)[of]]


def open_store(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it; errors name what is wrong or lacking."""
    try:
        from fsspec import available_protocols
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError("fsspec", f"reading {url}", extra="remote") from error
    if urlsplit(url).password:
        raise ArgumentError("a URL must not hold a password, which would be kept in the run; give it to fsspec's "
                            "configuration, or to the environment")  # fmt: skip
    matched = URL.match(url)
    assert matched is not None
    protocol = matched["protocol"]
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or protocol
        raise MissingDependencyError(package, f"reading {url}") from error
    except ValueError as error:
        if protocol not in available_protocols():
            raise UnknownNameError("protocol", protocol, available_protocols()) from error
        raise ArgumentError(f"{url} is no URL of a store: {error}") from error
    except OSError as error:
        raise DataError(f"{url} cannot be reached: {_explain(error)}") from error
    return system, path


def read_state(about: dict[str, Any], path: str) -> State:
    """Convert the file information of a store to a state; stores use various keys.

    >>> read_state({"name": "b/x.npy", "size": 5, "ETag": '"0a"'}, "b/x.npy")
    State(size=5, marks={'etag': '0a'})
    """
    if about.get("size") is None:
        raise DataError(f"{path} cannot be read in parts: the store does not tell its size; copy it to a local folder")
    entries = {key.lower().replace("_", ""): value for key, value in about.items()}
    marks = {}
    for name in _MARKS:
        if (mark := entries.get(name)) is not None:  # as text, equal for a file in a list and the same file alone
            marks[name] = str(mark.timestamp()) if isinstance(mark, datetime) else str(mark).strip('"')
    return State(int(about["size"]), marks)


def retry(what: str, work: Callable[[], T]) -> T:
    """Return the result of `work`, after up to three tries; then, or if access is refused, raise a DataError.

    Stores raise errors of many types.
    """
    for wait in (*_WAITS, None):
        try:
            return work()
        except (DataError, MissingDependencyError):
            raise
        except _REFUSED as error:
            raise DataError(f"{what} cannot be read: {_explain(error)}") from error
        except Exception as error:
            if wait is None:
                raise DataError(f"{what} cannot be read, in {len(_WAITS) + 1} tries: {_explain(error)}") from error
            _log.warning("%s cannot be read: %s; trying again", what, _explain(error))
            time.sleep(wait)
    raise AssertionError("unreachable")


def _explain(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    if isinstance(error, PermissionError):
        return f"access is refused ({error}); credentials come from the environment, or from fsspec's configuration"
    return f"{type(error).__name__}: {error}"
