"""The files of a run: how they are read, locked and made, and the log of events."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from unseen.core.files import storage_error
from unseen.errors import CorruptFileError, RunError, RunLockedError, StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file of a run into errors of unseen; FileNotFoundError stays.

    A folder, a pipe or a device in its place is a CorruptFileError, what cannot be read a StorageError.
    """
    try:
        if path.exists() and not path.is_file():  # to read from a pipe would wait forever
            kind = "folder" if path.is_dir() else "pipe or device"
            raise CorruptFileError(f"{path} must be a file of the run, but it is a {kind}; move it away")
        yield
    except (FileNotFoundError, CorruptFileError, StorageError):
        raise
    except NotADirectoryError:
        raise RunError(f"{path.parent} holds no run: it is a file, and a run is a directory") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; mend it, or move the run") from error


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Raise a CorruptFileError for a whole file that does not hold what unseen writes, such as text for a number."""
    try:
        yield
    except RunError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CorruptFileError(
            f"{path} does not hold what unseen writes there ({what}); repeat the original command with the same --out"
        ) from error


def read_whole(path: Path) -> bytes | None:
    """Return the bytes of a file, or None where there is no file; raise the errors of `reading`."""
    with reading(path), suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def file_digest(path: Path) -> str:
    """Return a digest of all bytes of a file, as 32 hexadecimal digits; raise the errors of `reading`."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def move_aside(path: Path) -> None:
    """Rename a damaged file to `<file>.damaged`; do nothing where there is no file."""
    try:
        with suppress(FileNotFoundError):
            os.replace(path, path.with_name(f"{path.name}.damaged"))  # noqa: PTH105 - fault tests stop at this name
    except OSError as error:
        raise storage_error(path, error) from error


def remove(path: Path) -> None:
    """Remove a file; do nothing where there is no file."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


# ---- one process at a time in a run directory ----------------------------------------------------------------------

_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A lock on a file, held until `release` or the end of the process, however the process ends.

    The kernel holds the lock (`flock`), so a killed process leaves none behind. The file names its holder.

    Raises:
        RunLockedError: another process (or another `Lock` of this process) holds the lock.
        StorageError: the file cannot be written.
        RunError: the system has no such locks.
    """

    def __init__(self, path: Path) -> None:
        if fcntl is None:
            raise RunError(
                f"{path.parent} cannot be locked, as this system has no flock (Windows); use Linux, macOS or WSL, or "
                "leave out= away: then results stay in memory"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise RunLockedError(
                    f"{path.parent} is in use by {_name_holder(path)}, or choose another out="
                ) from None
            raise storage_error(path, error) from error
        self._handle: int | None = handle
        _held.add(self)

    def release(self) -> None:
        """Release the lock."""
        if self._handle is not None:
            with suppress(OSError):
                os.ftruncate(self._handle, 0)
            self.forget()

    def forget(self) -> None:
        """Close the file, and leave the name of its holder in it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _name_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        name = f"process {holder['pid']} on {holder['host']}"
        if (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname()):
            return f"{name}, which is this one; go on with the recorder or run that holds it, or delete that by `del`"
    except (OSError, ValueError, KeyError, TypeError):
        name = "another process"
    return f"{name}; wait for it or stop it"


def _forget_in_child() -> None:
    # A forked child, such as a data loader, shares the handle. With it the lock would outlive a killed parent.
    for lock in _held:
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


# ---- folders that are there whole or not at all --------------------------------------------------------------------

LOCK = ".lock"  # hidden, so that no class folder has this name


class NewFolder:
    """A folder that is written under another name until it is whole; the rest of a killed process is removed first.

    Raises:
        RunLockedError: another process writes this folder.
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part = folder.absolute().with_name(f".{folder.absolute().name}.part")

    def __enter__(self) -> Path:
        self._above = [folder for folder in self.part.parents if not folder.exists()]  # innermost first
        try:
            self._lock = Lock(self.part / LOCK)
        except StorageError as error:
            why = error.__cause__
            raise storage_error(self.folder, why if isinstance(why, OSError) else error) from error
        for left in self.part.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
        return self.part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                os.sync()  # once for all files; one call for each file would take longer than to write it
                (self.part / LOCK).unlink()
                self.part.rename(self.folder.absolute())
        except OSError as failed:
            raise storage_error(self.folder, failed) from failed
        finally:
            if kind is not None or self.part.exists():
                shutil.rmtree(self.part, ignore_errors=True)
                for folder in self._above:
                    with suppress(OSError):
                        folder.rmdir()
            self._lock.release()


def mapped(path: Path, shape: tuple[int, ...]) -> Any:
    """Make an npy file of float32 zeros, and return it as an array to fill; an OSError says that the disk is full."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    # Here a full disk raises an error. Later, inside the memory map, it would kill the process.
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file, suppress(NotImplementedError):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


# ---- the log of events ---------------------------------------------------------------------------------------------

# The fields of an event that are read back, by its kind.
_NEEDED = {
    "epoch": ("fit", "epoch"),
    "fit_end": ("fit", "seconds"),
    "choosing": ("arm", "trainings", "seconds", "samples"),
}


def record(kind: str, fields: Mapping[str, object]) -> dict[str, Any]:
    """Return an event as it is kept, with time, process and host."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "kind": kind,
        **fields,
    }


def spent(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each fit, including epochs that were lost by a kill.

    >>> epochs = [{"kind": "epoch", "fit": "r0f0", "seconds": 1.5, "observe_seconds": 0.25}] * 2
    >>> spent([*epochs, {"kind": "fit_end", "fit": "r0f0", "seconds": 4.0}])
    {'r0f0': 4.0}
    """
    epochs: dict[str, float] = defaultdict(float)
    whole: dict[str, float] = defaultdict(float)
    for event in events:
        if event["kind"] == "epoch" and "seconds" in event:
            epochs[event["fit"]] += event["seconds"] + event.get("observe_seconds", 0.0)
        elif event["kind"] == "fit_end":
            whole[event["fit"]] += event["seconds"]
    # An unbroken fit took longer than the sum of its epochs; for a broken fit only the epochs count all its time.
    return {fit: max(epochs[fit], whole[fit]) for fit in {**epochs, **whole}}


class EventLog:
    """Events appended to a file, each in one write, so that a kill can only damage the last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one line; raise a StorageError where that fails, and leave the log as it was."""
        line = json.dumps(event, default=str).encode() + b"\n"
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                before = os.fstat(handle).st_size
                try:
                    while line:
                        line = line[os.write(handle, line) :]
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(handle, before)
                    raise
            finally:
                os.close(handle)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def repair(self) -> None:
        """Cut off a last line that a kill left unfinished."""
        raw = read_whole(self.path)
        if raw and not raw.endswith(b"\n"):
            os.truncate(self.path, raw.rfind(b"\n") + 1)

    def read(self) -> list[dict[str, Any]]:
        """Return all readable events, oldest first; leave out damaged lines."""
        found = []
        for line in (read_whole(self.path) or b"").split(b"\n"):
            with suppress(ValueError, RecursionError):  # a line that is empty or no JSON
                event = json.loads(line)
                if isinstance(event, dict) and _is_sound(event):
                    found.append(event)
        return found


def _is_sound(event: Mapping[str, Any]) -> bool:
    """Return whether the fields that are read back exist and have their types; another program may write here too."""
    texts = [event.get("kind"), event.get("fit", "")]
    numbers = [event.get(name, 0.0) for name in ("seconds", "observe_seconds", "epoch", "trainings")]
    numbers += [] if event.get("samples") is None else [event["samples"]]
    return (
        all(name in event for name in _NEEDED.get(str(event.get("kind")), ()))
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    )
