"""Data for worker processes: the arrays are written once to a file without a name, which every worker maps.

The other side of the pipe: what a worker process does.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, parent_process, reduction
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

from unseen.core.files import storage_error
from unseen.core.protocols import Data
from unseen.engine.executors.base import Job, run_job
from unseen.errors import ArgumentError, WorkerError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Described", "Shared", "opened", "packed", "rebuilt", "work"]


_ALIGNED = 64  # bytes: a cache line, so that an array lies as well as one that NumPy made


@dataclass(frozen=True)
class Described:
    """Data without its arrays, small enough for a pipe.

    Args:
        body: the pickle, whose buffers are apart.
        spans: first byte and length of each buffer in the file, and whether it is read-only.

    """

    body: bytes
    spans: Sequence[tuple[int, int, bool]]


class Shared:
    """Data, pickled once for any number of workers. The file has no name, so that not even a killed process leaves it.

    Raises:
        PicklingError, AttributeError, TypeError: the data cannot be pickled.
        StorageError: neither the temporary folder nor the memory has room for the arrays.

    """

    def __init__(self, data: Data) -> None:
        self.data = data
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        spans, end = [], 0
        for view in views:
            spans.append((end, view.nbytes, view.readonly))
            end += -(-view.nbytes // _ALIGNED) * _ALIGNED
        self.described = Described(body, spans)
        self.file = _file(views, spans) if end else None

    def close(self) -> None:
        """Let go of the file; workers that have mapped it keep it."""
        if self.file is not None:
            self.file.close()


def opened(described: Described, handle: int | None) -> Data:
    """The data that another process shares. What a learner writes into an array stays in its own process."""
    views = [memoryview(bytearray()) for _ in described.spans]  # all empty where there is no file
    if handle is not None:
        with os.fdopen(handle, "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        views = [
            whole[start : start + length].toreadonly() if readonly else whole[start : start + length]
            for start, length, readonly in described.spans
        ]
    data: Data = pickle.loads(described.body, buffers=views)  # noqa: S301 - from the pipe of the parent
    return data


def _file(views: Sequence[memoryview], spans: Sequence[tuple[int, int, bool]]) -> BinaryIO:
    try:
        return _filled(tempfile.TemporaryFile(), views, spans)
    except OSError as error:
        if hasattr(os, "memfd_create"):  # memory has room where the temporary folder has none
            with suppress(OSError):
                return _filled(os.fdopen(os.memfd_create("unseen"), "wb+"), views, spans)
        place = Path(tempfile.tempdir or "a temporary folder (TMPDIR)")
        raise storage_error(place, error) from error


def _filled(file: Any, views: Sequence[memoryview], spans: Sequence[tuple[int, int, bool]]) -> BinaryIO:
    try:
        for view, (start, _, _) in zip(views, spans, strict=True):
            file.seek(start)
            file.write(view)
        file.truncate(max(file.tell(), 1))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file  # type: ignore[no-any-return]


def work(pipe: Connection) -> None:
    """Run jobs from the pipe until it closes. Data comes before the first job on it, a learner before its first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    Thread(target=_end_with_parent, daemon=True).start()
    _send(pipe, "ready", None)

    data: Any = None
    learner: Any = None
    while True:
        try:
            kind, content = _received(pipe)
            if kind == "data":
                data = None  # first, so that two are never held at a time
                data = _data(pipe, *content)
            else:
                job, other, threads = content
                learner = learner if other is None else other
                _do(replace(job, learner=learner), pipe, data, threads)
        except Exception as error:
            _send(pipe, "failed", packed(error))


def _data(pipe: Connection, described: Described, apart: bool) -> Data:
    handle = reduction.recv_handle(pipe) if apart else None
    try:
        return opened(described, handle)
    except (AttributeError, ImportError) as error:
        raise _unknown(error) from error


def _do(job: Job, pipe: Connection, data: Data, threads: int) -> None:
    def report(kind: str, **fields: object) -> None:
        _send(pipe, "report", {"kind": kind, **fields})

    _send(pipe, "done", run_job(job, data=data, threads=threads, report=report))


def rebuilt(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any], text: str, trace: str) -> Exception:
    """The worker's exception, with its type, message and notes; the worker's traceback is its last note."""
    error: Exception = WorkerError(f"{kind.__name__}: {text}")
    # Errors whose constructor takes other arguments than it passes on are made without it.
    for make in (_called, _bare):
        try:
            made = make(kind, args)
            if str(made) == text:
                error = made
                break
        except Exception:
            continue
    error.__dict__.update(state)
    error.add_note(f"in a worker process:\n{trace}")
    return error


def _called(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    return kind(*args)


def _bare(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    return kind.__new__(kind, *args)


def packed(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any], str, str]:
    """An error as `rebuilt` takes it; as text where its class, or something it holds, cannot be pickled."""
    text, trace = str(error), "".join(traceback.format_exception(error))
    try:
        # What `__reduce__` says are the arguments: for an OSError they hold the file name, which `args` lacks.
        args: Any = error.__reduce__()[1]
        content = (type(error), args, error.__dict__, text, trace)
        pickle.dumps(content)
    except Exception:
        text = f"{type(error).__name__}: {text}"
        return WorkerError, (text,), {"__notes__": getattr(error, "__notes__", [])}, text, trace
    return content


def _received(pipe: Connection) -> tuple[str, Any]:
    try:
        received: tuple[str, Any] = pipe.recv()
    except (AttributeError, ImportError) as error:
        raise _unknown(error) from error
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError):
            sys.exit(1)  # the parent died, maybe in the middle of a message
        raise
    except EOFError:
        sys.exit(0)  # no more jobs
    return received


def _unknown(error: Exception) -> ArgumentError:
    """What to say of a class that the parent has and this process cannot import."""
    return ArgumentError(
        f"a worker process cannot import what it was sent: {error}; define classes and functions at the top of a "
        "module, or use jobs=1"
    )


def _send(pipe: Connection, kind: str, content: object) -> None:
    try:
        pipe.send((kind, content))
    except ConnectionError:
        sys.exit(1)  # the parent is gone or has dismissed this worker


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
