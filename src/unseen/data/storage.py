"""Where the files of a data set are: in a folder of this machine, or of a store (`unseen.data.remote`).

Readers of parquet and of numbered npy files ask a storage for names, content and changes, and know no more of it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.data.arrays import read_npy
from unseen.data.fingerprint import Files, changed, stamped
from unseen.data.walking import readable
from unseen.errors import DataError
from unseen.types import IntArray

__all__ = ["LocalStorage", "Rows", "State", "Storage", "opened_parquet"]

T = TypeVar("T")

_SECONDS = 1.0  # between looks at one file
_OTHER = "its size or time is another"
_MAPS = 256  # memory maps open at a time; an operating system allows some 65,000


class Rows(Protocol):
    """Numbers (n, d) in a file, or in memory: what is asked of them is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d), if it is as it should be."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As they are stored."""

    def __getitem__(self, at: slice | IntArray, /) -> npt.NDArray[Any]:
        """Consecutive rows, or any."""


class State(NamedTuple):
    """What tells whether a file has changed: its size, and times or digests by name, the best first."""

    size: int
    marks: dict[str, Any]

    def same(self, other: State | None) -> bool:
        """By size, and the first mark that both have: a store tells more of one file than of each in a list."""
        if other is None or self.size != other.size:
            return False
        both = [mark for mark in self.marks if mark in other.marks]
        return not both or self.marks[both[0]] == other.marks[both[0]]


class Storage(ABC):
    """A folder and files in it, as they were when they were listed.

    Args:
        root: the folder, as people read it.
        states: of each file, by its name from the folder on, with slashes.
        single: whether one file was named, and not the folder.
        notes: on files that were left out.

    """

    def __init__(self, root: str, states: dict[str, State], *, single: bool, notes: Sequence[str] = ()) -> None:
        self.root, self.states, self.single, self.notes = root, states, single, tuple(notes)
        self._last, self._looked = "", 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": ""}  # another process has another clock

    def names(self, suffix: str) -> list[str]:
        """The files whose names end so, in capitals too, ascending."""
        return sorted(name for name in self.states if name.lower().endswith(suffix))

    def where(self, name: str) -> str:
        """How people find the file."""
        return f"{self.root}{'' if self.root.endswith('/') else '/'}{name}"

    def stamp(self, names: Iterable[str]) -> Files:
        """Of these files: part of a fingerprint."""
        states = ((name, self.states[name]) for name in names)
        return stamped((name, state.size, next(iter(state.marks.values()), None)) for name, state in states)

    def check(self, name: str) -> None:
        """Refuse a file that is not as it was: looks where another was read last, and else once a second.

        Raises:
            DataError: it has changed.

        """
        now = time.monotonic()
        if name == self._last and now - self._looked < _SECONDS:
            return
        if not self.states[name].same(self.now(name)):
            raise changed(self.where(name), _OTHER)
        self._last, self._looked = name, now

    def check_all(self, names: Iterable[str]) -> None:
        """Refuse files that are not as they were: looks at each of them.

        Raises:
            DataError: one has changed.

        """
        now = self.all_now(names)
        for name in names:
            if not self.states[name].same(now.get(name)):
                raise changed(self.where(name), _OTHER)

    def all_now(self, names: Iterable[str]) -> dict[str, State]:
        """How these files are now; those that are gone are left out."""
        return {name: state for name in names if (state := self.now(name)) is not None}

    @abstractmethod
    def now(self, name: str) -> State | None:
        """How a file is now; None if it is gone."""

    @abstractmethod
    def opened(self, name: str) -> AbstractContextManager[Any]:
        """A file as pyarrow reads it: a path, or an open file."""

    @abstractmethod
    def rows(self, names: Sequence[str]) -> Iterator[Rows]:
        """Of npy files, whose rows are read when they are asked for.

        Raises:
            DataError: a file is damaged, or holds Python objects.

        """

    @abstractmethod
    def arrays(self, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
        """Of npy files, all of each; raises as `rows`."""

    @abstractmethod
    def reading(self, what: str, wrong: str, work: Callable[[], T]) -> T:
        """What `work` reads; a DataError says what could not be read, and what is most likely wrong with it."""


class LocalStorage(Storage):
    """Files of this machine; npy files are memory maps.

    Args:
        root: the folder.
        names: of files in it.
        single: see `Storage`.
        notes: see `Storage`.

    """

    def __init__(self, root: Path, names: Iterable[str], *, single: bool = False, notes: Sequence[str] = ()) -> None:
        self._folder = root.resolve()
        self._maps: OrderedDict[str, npt.NDArray[Any]] = OrderedDict()
        states = {name: _state(readable(self._folder / name)) for name in names}
        super().__init__(str(root), states, single=single, notes=notes)

    def __getstate__(self) -> dict[str, Any]:
        # To another process they travel by name, not by content.
        return {**super().__getstate__(), "_maps": OrderedDict()}

    def now(self, name: str) -> State | None:
        """Size and time."""
        try:
            return _state(self._folder / name)
        except OSError:
            return None

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """Its path."""
        return nullcontext(self._folder / name)

    def rows(self, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
        """Memory maps, of which those used last stay open."""
        for name in names:
            if name not in self._maps:
                self._maps[name] = read_npy(self._folder / name)
                if len(self._maps) > _MAPS:
                    self._maps.popitem(last=False)
            yield self._maps[name]

    def arrays(self, names: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
        """Memory maps."""
        for name in names:
            yield read_npy(self._folder / name)

    def reading(self, what: str, wrong: str, work: Callable[[], T]) -> T:
        """At once or not at all."""
        try:
            return work()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{what} {wrong}: {error}") from error


@contextmanager
def opened_parquet(storage: Storage, name: str, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """A parquet file; of a store, the parts of a row group that are wanted are read in few long ranges."""
    with storage.opened(name) as source:
        buffered = not isinstance(source, Path)
        with pq.ParquetFile(source, metadata=metadata, pre_buffer=buffered) as parquet:
            yield parquet


def _state(path: Path) -> State:
    status = path.stat()
    return State(status.st_size, {"mtime": status.st_mtime_ns})
