"""Worker processes that run one job each at a time.

Not `concurrent.futures`: there a killed worker does not say which job it had, the processes cannot be ended, and
workers outlive a killed parent. Here every worker has a pipe of its own, which carries its jobs, its progress and its
results, and which tells either side when the other is gone.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import connection, get_context, resource_tracker
from pickle import PicklingError
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from unseen.errors import ArgumentError, WorkerError
from unseen.executors.base import Job, Report
from unseen.executors.worker import Setup, rebuilt, work
from unseen.protocols import Learner

__all__ = ["Pool"]

_GRACE = 3.0  # seconds between asking a worker to end and ending it
_LOOK = 1.0  # seconds between looks whether the busy workers live
_UNPICKLABLE = (PicklingError, AttributeError, TypeError)


class Pool:
    """Up to `size` workers, started as there are jobs for them, all ended on leaving the block."""

    def __init__(self, size: int, setup: Setup) -> None:
        self._size = size
        self._setup = setup
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        # Should the loop over the results never be left properly, the interpreter would wait for idle workers.
        atexit.register(self.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, dict[str, npt.NDArray[Any]]]]:
        """Yield results as they come; no more jobs are taken from `jobs` than there are workers free."""
        while self._feed(jobs):
            for worker in self._speaking():
                job, result = worker.take(report, self._in_flight)
                if job is not None and result is not None:
                    self._feed(jobs)  # first, so that the worker does not wait while the result is being kept
                    yield job, result

    def stop(self) -> None:
        """End every worker: idle ones by themselves, busy ones at once."""
        for worker in self._workers:
            worker.dismiss()
        deadline = monotonic() + _GRACE
        for worker in self._workers:
            worker.end(deadline)
        self._workers.clear()
        atexit.unregister(self.stop)

    def _feed(self, jobs: Iterator[Job]) -> bool:
        """Give every free worker a job; says whether any worker has one."""
        while (worker := next((w for w in self._workers if w.job is None), None)) or len(self._workers) < self._size:
            job = next(jobs, None)
            if job is None:
                break
            if worker is None:
                worker = _Worker(self._setup)
                self._workers.append(worker)
            worker.give(job)
        return bool(self._in_flight)

    def _speaking(self) -> list[_Worker]:
        """The busy workers that have something to say, or have died."""
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = connection.wait([worker.pipe for worker in busy], timeout=_LOOK)
        # A worker's own children may keep its pipe open after its death, so the pipe alone does not tell.
        return [worker for worker in busy if worker.pipe in ready or not worker.process.is_alive()]

    @property
    def _in_flight(self) -> list[str]:
        return [worker.job.name for worker in self._workers if worker.job is not None]


class _Worker:
    """One worker process, as its parent sees it."""

    def __init__(self, setup: Setup) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        # Not a daemon: its learner may have loading processes of its own.
        self.process = context.Process(target=work, args=(theirs, setup), name="unseen-worker")
        self.job: Job | None = None
        self._learner: Learner | None = None  # the one it has
        self._ready = False
        # Ctrl-C goes to the whole process group; workers are ended by us, so they start with the signal blocked.
        resource_tracker.ensure_running()  # its start would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        except _UNPICKLABLE as error:
            self.pipe.close()
            raise ArgumentError(
                f"with jobs above 1, data must be picklable, to be sent to worker processes: {error}; "
                "define classes and functions at the top of a module, or use jobs=1"
            ) from error
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def give(self, job: Job) -> None:
        """Send a job."""
        self.job = job
        other = None if job.learner is self._learner else job.learner
        self._learner = job.learner
        try:
            with suppress(ConnectionError):  # it has died: `take` says so
                self.pipe.send((job, other))
        except _UNPICKLABLE as error:
            raise ArgumentError(
                f"with jobs above 1, learner, sink and checkpoints of fit {job.name} must be picklable, to be sent to "
                f"worker processes: {error}; define classes and functions at the top of a module, or use jobs=1"
            ) from error

    def take(self, report: Report, in_flight: list[str]) -> tuple[Job | None, dict[str, npt.NDArray[Any]] | None]:
        """Read one message: pass progress on, raise an error, or give the result and be free."""
        kind: str = "died"
        content: Any = None
        with suppress(EOFError, ConnectionError):
            if self.pipe.poll():
                kind, content = self.pipe.recv()
        if kind == "report":
            report(content.pop("kind"), **content)
        elif kind == "ready":
            self._ready = True
        elif kind == "failed":
            raise rebuilt(*content)
        elif kind == "died":
            raise WorkerError(self._obituary(in_flight))
        else:
            job, self.job = self.job, None
            return job, content
        return None, None

    def dismiss(self) -> None:
        """Ask it to end: an idle one sees its pipe closed."""
        self.pipe.close()
        if self.job is not None:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until the deadline, then end it."""
        self.process.join(max(0.0, deadline - monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()

    def _obituary(self, in_flight: list[str]) -> str:
        self.process.join(_GRACE)
        code = self.process.exitcode
        names = ", ".join(in_flight)
        fate = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        if not self._ready:
            return (
                f"a worker process {fate} before it could begin fit {names}; its own message is above. A script that "
                'uses jobs above 1 must do its work under `if __name__ == "__main__":`; jobs=1 needs no worker process'
            )
        hint = " (often: out of memory; fewer jobs need less)" if code == -signal.SIGKILL else ""
        return (
            f"a worker process {fate}{hint}; fits under way: {names}. Repeat the command with the same --out to go "
            "on: finished fits and epochs are kept"
        )
