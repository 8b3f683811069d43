"""What is done to whole files.

One process at a time in a run directory.

A folder that is there whole, or not at all, and arrays that are written in it piece by piece.

The log of a run: one JSON object a line.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unseen.core.files import storage_error
from unseen.errors import CorruptFileError, RunError, StorageError
import errno
import fcntl
import json
import os
import socket
import weakref
from contextlib import suppress
from pathlib import Path
from unseen.core.files import storage_error
from unseen.errors import RunLockedError
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any
import numpy as np
from unseen.core.files import storage_error
from unseen.errors import StorageError
import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unseen.core.files import storage_error

__all__ = ["EventLog", "LOCK", "Lock", "NewFolder", "file_digest", "mapped", "move_aside", "read_whole", "reading", "record", "remove", "spent", "understood"]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong in reading a file of a run, as an error of ours; FileNotFoundError where it is not there.

    Raises:
        CorruptFileError: something else than a file stands in its place.
        StorageError: it cannot be read.

    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise CorruptFileError(f"{path} must be a file of the run, but it is a {_kind(path)}; move it away")
        yield
    except (FileNotFoundError, CorruptFileError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; mend it, or move the run") from error


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """A whole file that does not hold what unseen writes, such as text in place of a number, as an error of ours.

    Raises:
        CorruptFileError: likewise.

    """
    try:
        yield
    except RunError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CorruptFileError(
            f"{path} does not hold what unseen writes there ({what}); repeat the original command with the same --out"
        ) from error


def read_whole(path: Path) -> bytes:
    """Its bytes; errors as of `reading`."""
    with reading(path):
        return path.read_bytes()


def file_digest(path: Path) -> str:
    """32 hexadecimal digits of every byte; errors as of `reading`."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "pipe or device"


def move_aside(path: Path) -> None:
    """Keep a damaged file beside its place as `<file>.damaged`; no file is no error."""
    try:
        os.replace(path, path.with_name(f"{path.name}.damaged"))  # noqa: PTH105 - the name that the fault tests stop at
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error(path, error) from error


def remove(path: Path) -> None:
    """Remove a file; no file is no error."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A lock on a file, held until `release` or the end of the process, however it ends.

    The kernel holds it (`flock`), so a killed process leaves none behind. The file says who holds it.

    Raises:
        RunLockedError: another process (or another `Lock` of this one) holds it.
        StorageError: the file cannot be written.

    """

    def __init__(self, path: Path) -> None:
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
                    f"{path.parent} is in use by {_holder(path)}; wait for it or stop it, or choose another --out"
                ) from None
            raise storage_error(path, error) from error
        self._handle: int | None = handle
        _held.add(self)

    def release(self) -> None:
        """Let others in."""
        if self._handle is not None:
            with suppress(OSError):
                os.ftruncate(self._handle, 0)
            self._forget()

    def _forget(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _forget_in_child() -> None:
    # A forked child (a data loader's, say) shares the handle; were it kept, a killed parent would stay locked out.
    for lock in _held:
        lock._forget()


os.register_at_fork(after_in_child=_forget_in_child)


LOCK = ".lock"  # hidden, so that no class folder bears that name


class NewFolder:
    """Where a folder is written, under another name until it is whole. What a killed process left is begun anew.

    Raises:
        RunLockedError: another process writes this folder.
        StorageError: it cannot be written.

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
                os.sync()  # one for all files: a call for each would take longer than writing them
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
    """A new npy file of float32 zeros as an array to write in, its room on the disk taken at once.

    Raises:
        OSError: there is no room.

    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    # A full disk is an error here and now; in the middle of a memory map it would be the end of the process.
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file, suppress(NotImplementedError):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


# What is read back of an event, by its kind.
_NEEDED = {
    "epoch": ("fit", "epoch"),
    "fit_end": ("fit", "seconds"),
    "choosing": ("arm", "trainings", "seconds", "samples"),
}


def record(kind: str, fields: Mapping[str, object]) -> dict[str, Any]:
    """An event as it is kept: when, by whom, what."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "kind": kind,
        **fields,
    }


def spent(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of each fit, those of epochs that a kill undid included.

    >>> epochs = [{"kind": "epoch", "fit": "r0f0", "seconds": 1.5, "observe_seconds": 0.25}] * 2
    >>> spent([*epochs, {"kind": "fit_end", "fit": "r0f0", "seconds": 4.0}])
    {'r0f0': 4.0}

    """
    epochs: dict[str, float] = {}
    whole: dict[str, float] = {}
    for event in events:
        if event["kind"] == "epoch" and "seconds" in event:
            seconds = event["seconds"] + event.get("observe_seconds", 0.0)
            epochs[event["fit"]] = epochs.get(event["fit"], 0.0) + seconds
        elif event["kind"] == "fit_end":
            whole[event["fit"]] = whole.get(event["fit"], 0.0) + event["seconds"]
    # An unbroken fit took longer than its epochs; of a broken one only the epochs tell the whole.
    return {fit: max(epochs.get(fit, 0.0), whole.get(fit, 0.0)) for fit in {**epochs, **whole}}


class EventLog:
    """Events appended to a file, each in one write, so that a kill tears the last line at most."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one line; on failure the log is as it was.

        Raises:
            StorageError: it cannot be written.

        """
        line = json.dumps(event, default=str).encode() + b"\n"
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                _write_all(handle, line)
            finally:
                os.close(handle)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def repair(self) -> None:
        """Cut off a last line that a kill left unfinished."""
        try:
            raw = read_whole(self.path)
        except FileNotFoundError:
            return
        if raw and not raw.endswith(b"\n"):
            os.truncate(self.path, raw.rfind(b"\n") + 1)

    def read(self) -> list[dict[str, Any]]:
        """Every readable line, oldest first; torn and damaged ones are left out."""
        try:
            lines = read_whole(self.path).split(b"\n")
        except FileNotFoundError:
            return []
        events = (_parsed(line) for line in lines if line)
        return [event for event in events if event is not None]


def _write_all(handle: int, line: bytes) -> None:
    before = os.fstat(handle).st_size
    try:
        while line:
            line = line[os.write(handle, line) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, before)
        raise


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _sound(event) else None


def _sound(event: Mapping[str, Any]) -> bool:
    """Whether what is read back of an event is there and of its type; another program may have written here."""
    if not all(name in event for name in _NEEDED.get(str(event.get("kind")), ())):
        return False
    texts = [event.get("kind"), event.get("fit", "")]
    numbers = [event.get(name, 0.0) for name in ("seconds", "observe_seconds", "epoch", "trainings")]
    samples = event.get("samples")
    return all(isinstance(text, str) for text in texts) and all(
        isinstance(number, (int, float)) and not isinstance(number, bool)
        for number in (*numbers, 0 if samples is None else samples)
    )
