"""The worker process of the local executor, and the data that worker processes share.

The arrays of the data set are written once to a file without a name, which all workers map. `work` is the main loop of
a worker. `pack_error` and `rebuild_error` carry an error from a worker to the parent.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import connection, parent_process, reduction
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

from unseen.core.files import storage_error
from unseen.core.protocols import Data
from unseen.core.threads import short_spins
from unseen.engine.executors import run_job
from unseen.errors import ArgumentError, WorkerError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Span = tuple[int, int, bool]
_ALIGNED = 64  # bytes of a cache line, so that arrays are aligned as well as those of NumPy


class SharedData:
    """A data set that is pickled once for any number of workers.

    Attributes:
        body: the pickle without its arrays, small enough for a pipe.
        spans: the first byte and the length of each array in the file, and whether it is read-only.
        file: the arrays; without a name, so that even a killed process does not leave it behind.
    """

    def __init__(self, data: Data) -> None:
        self.data = data
        buffers: list[pickle.PickleBuffer] = []
        self.body = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        self.spans, end = list[Span](), 0
        for view in views:
            self.spans.append((end, view.nbytes, view.readonly))
            end += -(-view.nbytes // _ALIGNED) * _ALIGNED
        self.file = _make_file(views, self.spans) if end else None

    def close(self) -> None:
        """Close the file; workers that have mapped it keep it."""
        if self.file is not None:
            self.file.close()


def open_shared(body: bytes, spans: Sequence[Span], handle: int | None) -> Data:
    """Open the data that another process shares; changes that a learner makes to an array stay in its process."""
    views = [memoryview(bytearray()) for _ in spans]  # all empty where there is no file
    if handle is not None:
        with os.fdopen(handle, "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        views = [
            whole[start : start + length].toreadonly() if readonly else whole[start : start + length]
            for start, length, readonly in spans
        ]
    data: Data = pickle.loads(body, buffers=views)  # noqa: S301 - from the pipe of the parent
    return data


def _make_file(views: Sequence[memoryview], spans: Sequence[Span]) -> BinaryIO:
    try:
        return _fill(tempfile.TemporaryFile(), views, spans)
    except OSError as error:
        if hasattr(os, "memfd_create"):  # memory may have space where the temporary folder has none
            with suppress(OSError):
                return _fill(os.fdopen(os.memfd_create("unseen"), "wb+"), views, spans)
        place = Path(tempfile.tempdir or "a temporary folder (TMPDIR)")
        raise storage_error(place, error) from error


def _fill(file: Any, views: Sequence[memoryview], spans: Sequence[Span]) -> BinaryIO:
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


# ---- the main loop of a worker -------------------------------------------------------------------------------------


@short_spins()
def work(pipe: Connection) -> None:
    """Run jobs from the pipe until it closes; data and a learner come before the first job that needs them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    Thread(target=_end_with_parent, daemon=True).start()
    _send(pipe, "ready", None)

    def report(kind: str, **fields: object) -> None:
        _send(pipe, "report", {"kind": kind, **fields})

    data: Any = None
    learner: Any = None
    while True:
        try:
            kind, content = _receive(pipe)
            if kind == "data":
                data = None  # first, so that memory never holds two data sets
                body, spans, has_file = content
                handle = reduction.recv_handle(pipe) if has_file else None
                with _imports_explained():
                    data = open_shared(body, spans, handle)
            else:
                job, other, threads = content
                learner = learner if other is None else other
                job = replace(job, learner=learner)
                _send(pipe, "done", run_job(job, data=data, threads=threads, report=report))
        except Exception as error:
            _send(pipe, "failed", pack_error(error))


def _receive(pipe: Connection) -> tuple[str, Any]:
    try:
        with _imports_explained():
            received: tuple[str, Any] = pipe.recv()
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError):
            sys.exit(1)  # the parent died, maybe in the middle of a message
        raise
    except EOFError:
        sys.exit(0)  # no more jobs
    return received


@contextmanager
def _imports_explained() -> Iterator[None]:
    """Explain the error for a class that the parent has and this process cannot import."""
    try:
        yield
    except (AttributeError, ImportError) as error:
        raise ArgumentError(
            f"a worker process cannot import what it was sent: {error}; define classes and functions at the top of a "
            "module, or use jobs=1"
        ) from error


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


# ---- errors between processes --------------------------------------------------------------------------------------


def rebuild_error(
    kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any], text: str, trace: str
) -> Exception:
    """Return the worker's exception with its type, message and notes; its traceback is the last note."""
    error: Exception = WorkerError(f"{kind.__name__}: {text}")
    # An error whose constructor takes other arguments than it passes on is made without its constructor.
    for make in (kind, lambda *own: kind.__new__(kind, *own)):
        try:
            made = make(*args)
            if str(made) == text:
                error = made
                break
        except Exception:
            continue
    error.__dict__.update(state)
    error.add_note(f"in a worker process:\n{trace}")
    return error


def pack_error(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any], str, str]:
    """Return an error as arguments of `rebuild_error`; as text where the error cannot be pickled."""
    text, trace = str(error), "".join(traceback.format_exception(error))
    try:
        # The arguments of `__reduce__` hold the file name of an OSError, which `args` lacks.
        args: Any = error.__reduce__()[1]
        content = (type(error), args, error.__dict__, text, trace)
        pickle.dumps(content)
    except Exception:
        text = f"{type(error).__name__}: {text}"
        return WorkerError, (text,), {"__notes__": getattr(error, "__notes__", [])}, text, trace
    return content
