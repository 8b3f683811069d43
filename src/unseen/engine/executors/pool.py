"""Worker processes, by which the local executor runs several jobs at a time.

The pool is not `concurrent.futures`. There, one cannot find out which job a killed worker had, the processes cannot be
ended, and workers outlive a killed parent. Here each worker has its own pipe, which carries its jobs, its progress and
its results, and shows either side when the other is gone. It receives data and a job when it is ready, so nothing large
is written to a process that does not read yet.

`WorkerPool` and `_Worker` are the side of the parent, `work` is the main loop of a worker. The arrays of a data set are
written once to a file without a name, which all workers map.
"""

from __future__ import annotations

import atexit
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
from multiprocessing import connection, get_context, parent_process, reduction, resource_tracker
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from unseen.core.arrays import Named
from unseen.core.files import storage_error
from unseen.core.machine import short_spins
from unseen.core.protocols import Data, Learner
from unseen.engine.executors import Job, Report, run_job
from unseen.errors import ArgumentError, WorkerError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_GRACE = 3.0  # seconds between asking a worker to end and ending it
_CHECK_EVERY = 1.0  # seconds between checks that the busy workers are alive
_SETS = 2  # data sets that stay shared: the scored one, and the same joined with a test set
_UNPICKLABLE = (pickle.PicklingError, AttributeError, TypeError, RuntimeError)


class WorkerPool:
    """Up to `size` workers, started when there are jobs for them and ended when the block is left.

    Workers continue from one `run` to the next. They keep their imported packages, and the same data.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: list[_Worker] = []
        self._shared: list[SharedData] = []  # the last few data sets
        self.running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, jobs: Iterator[Job], report: Report, *, data: Data, threads: int) -> Iterator[tuple[Job, Named]]:
        """Yield results as they come; take no more jobs from `jobs` than there are free workers.

        All workers are ended where this generator is left before its last result.
        """
        self.running = True
        try:
            for worker in [worker for worker in self._workers if not worker.process.is_alive()]:  # died while idle
                self._workers.remove(worker)
                worker.dismiss()
                worker.end(monotonic())
            while self._feed(jobs, data, threads):
                for worker in self._wait_for_messages():
                    done = worker.take(report, self._in_flight)
                    if done is not None:
                        self._feed(jobs, data, threads)  # first, so that the worker does not wait while it is kept
                        yield done
        except BaseException:
            self.stop()
            raise
        finally:
            self.running = False

    def stop(self) -> None:
        """End all workers: let idle ones end by themselves, and terminate busy ones."""
        for worker in self._workers:
            worker.dismiss()
        deadline = monotonic() + _GRACE
        for worker in self._workers:
            worker.end(deadline)
        self._workers.clear()
        while self._shared:
            self._shared.pop().close()
        atexit.unregister(self.stop)

    def _share(self, data: Data) -> SharedData:
        """Return the data as shared with workers; pickle them at the first call."""
        for shared in self._shared:
            if shared.data is data:
                return shared
        try:
            made = SharedData(data)
        except _UNPICKLABLE as error:
            raise ArgumentError(
                f"with jobs above 1, data must be picklable, to be sent to worker processes: {error}; "
                "define classes and functions at the top of a module, or use jobs=1"
            ) from error
        # The file of a dropped data set closes when the last worker that has to map it closes its handle.
        self._shared = [made, *self._shared[: _SETS - 1]]
        return made

    def _feed(self, jobs: Iterator[Job], data: Data, threads: int) -> bool:
        """Give each free worker a job, and return whether any worker has one."""
        while (worker := next((w for w in self._workers if w.job is None), None)) or len(self._workers) < self._size:
            job = next(jobs, None)
            if job is None:
                break
            if worker is None:
                self._share(data)  # before a process starts, since this may be refused
                # If the loop over the results never ends properly, the interpreter would wait for idle workers.
                atexit.register(self.stop)
                worker = _Worker()
                self._workers.append(worker)  # before it starts: Ctrl-C may come at any moment
                worker.start()
            worker.give(job, self._share(data), threads)
        return bool(self._in_flight)

    def _wait_for_messages(self) -> list[_Worker]:
        """Wait for the busy workers that have sent a message or have died."""
        busy = [worker for worker in self._workers if worker.job is not None]
        handles = [handle for worker in busy for handle in (worker.pipe, worker.process.sentinel)]
        ready = connection.wait(handles, timeout=_CHECK_EVERY)
        # Children of a dead worker may keep both handles open, so these alone do not show its death.
        return [worker for worker in busy if worker.pipe in ready or not worker.process.is_alive()]

    @property
    def _in_flight(self) -> list[str]:
        return [worker.job.name for worker in self._workers if worker.job is not None]


class _Worker:
    """The parent's side of one worker process."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, self._theirs = context.Pipe()
        # Not a daemon, because its learner may start processes that load data.
        self.process = context.Process(target=work, args=(self._theirs,), name="unseen-worker")
        self.job: Job | None = None
        self._waiting: tuple[Job, SharedData, int] | None = None  # a job until the worker is ready: data and threads
        self._shared: SharedData | None = None  # the data that the worker has
        self._learner: Learner | None = None  # the learner that the worker has
        self._ready = False

    def start(self) -> None:
        """Start the process."""
        # Ctrl-C goes to the whole process group, but the parent ends the workers, so they start with it blocked.
        resource_tracker.ensure_running()  # its start would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            self._theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def give(self, job: Job, shared: SharedData, threads: int) -> None:
        """Send a job at once, or as soon as the worker is ready."""
        self.job = job
        if not self._ready:
            self._waiting = job, shared, threads
            return
        other = None if job.learner is self._learner else job.learner
        self._learner = job.learner
        try:
            with suppress(ConnectionError):  # the worker has died, and `take` raises that
                if shared is not self._shared:
                    self._shared = shared
                    self.pipe.send(("data", (shared.body, shared.spans, shared.file is not None)))
                    if shared.file is not None:
                        reduction.send_handle(self.pipe, shared.file.fileno(), self.process.pid)
                self.pipe.send(("job", (job, other, threads)))
        except _UNPICKLABLE as error:
            raise ArgumentError(
                f"with jobs above 1, learner, sink and checkpoints of fit {job.name} must be picklable, to be sent to "
                f"worker processes: {error}; define classes and functions at the top of a module, or use jobs=1"
            ) from error

    def take(self, report: Report, in_flight: list[str]) -> tuple[Job, Named] | None:
        """Read one message: pass progress on, raise an error, or return the job with its result."""
        kind: str = "died"
        content: Any = None
        with suppress(EOFError, OSError):  # death in the middle of a message is an OSError without a number
            if self.pipe.poll():
                kind, content = self.pipe.recv()
            elif self.process.is_alive():
                return None
        if kind == "report":
            report(content.pop("kind"), **content)
        elif kind == "ready":
            self._ready = True
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self.give(*waiting)
        elif kind == "failed":
            raise rebuild_error(*content)
        elif kind == "died":
            raise WorkerError(self._describe_death(in_flight))
        elif self.job is not None:
            job, self.job = self.job, None
            return job, content
        return None

    def dismiss(self) -> None:
        """Ask the worker to end: an idle worker ends when its pipe closes."""
        self.pipe.close()
        if self.process.pid is not None and (self.job is not None or not self._ready):
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until the deadline, then kill the worker."""
        if self.process.pid is not None:
            self.process.join(max(0.0, deadline - monotonic()))
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
        self.process.close()

    def _describe_death(self, in_flight: list[str]) -> str:
        self.process.join(_GRACE)
        code = self.process.exitcode
        names = ", ".join(in_flight)
        fate = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        hint = " (often: out of memory; fewer jobs need less)" if code == -signal.SIGKILL else ""
        if not self._ready:
            return (
                f"a worker process {fate}{hint} before it could begin fit {names}; if it said why, that is above. A "
                'script that uses jobs above 1 must be a file and do its work under `if __name__ == "__main__":`; '
                "jobs=1 needs no worker process"
            )
        return (
            f"a worker process {fate}{hint}; fits under way: {names}. Repeat the command with the same --out to go "
            "on: finished fits and epochs are kept"
        )


# ---- the data that workers share -------------------------------------------------------------------------------------

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
