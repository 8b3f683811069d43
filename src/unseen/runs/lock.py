"""One process at a time in a run directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import weakref
from contextlib import suppress
from pathlib import Path

from unseen.atomic import storage_error
from unseen.errors import RunLockedError

__all__ = ["Lock"]

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
