"""Worker processes that run one job each at a time.

Not `concurrent.futures`: there a killed worker does not say which job it had, the processes cannot be ended, and
workers outlive a killed parent. Here every worker has a pipe of its own, which carries its jobs, its progress and its
results, and which tells either side when the other is gone.

A worker starts with nothing but its pipe and is sent data and a job once it says that it is ready: nothing large is
ever written to a process that has not yet begun to read.

Jobs on this machine: one after another in this process, or several at once in worker processes.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import connection, get_context, reduction, resource_tracker
from pickle import PicklingError
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from unseen.core.protocols import Data, Learner
from unseen.core.threads import default_threads
from unseen.engine.executors.base import Job, Report, run_job
from unseen.engine.executors.worker import Shared, rebuilt, work
from unseen.errors import ArgumentError, WorkerError

__all__ = ["LocalExecutor", "Pool"]


_GRACE = 3.0  # seconds between asking a worker to end and ending it
_LOOK = 1.0  # seconds between looks whether the busy workers live
_SETS = 2  # data sets that stay shared: one that is scored, and the same joined with a test set
_UNPICKLABLE = (PicklingError, AttributeError, TypeError, RuntimeError)


class Pool:
    """Up to `size` workers, started as there are jobs for them, all ended on leaving the block.

    They go on from one `run` to the next: what is imported stays, and so do the data, as long as they are the same.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: list[_Worker] = []
        self._shared: list[Shared] = []  # the last few data sets
        self.running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(
        self, jobs: Iterator[Job], report: Report, *, data: Data, threads: int
    ) -> Iterator[tuple[Job, dict[str, npt.NDArray[Any]]]]:
        """Yield results as they come; no more jobs are taken from `jobs` than there are workers free.

        Every worker is ended where this is left before its last result.
        """
        done, self.running = False, True
        try:
            self._bury()
            while self._feed(jobs, data, threads):
                for worker in self._speaking():
                    job, result = worker.take(report, self._in_flight)
                    if job is not None and result is not None:
                        # First, so that the worker does not wait while the result is being kept.
                        self._feed(jobs, data, threads)
                        yield job, result
            done = True
        finally:
            self.running = False
            if not done:
                self.stop()

    def stop(self) -> None:
        """End every worker: idle ones by themselves, busy ones at once."""
        for worker in self._workers:
            worker.dismiss()
        deadline = monotonic() + _GRACE
        for worker in self._workers:
            worker.end(deadline)
        self._workers.clear()
        while self._shared:
            self._shared.pop().close()
        atexit.unregister(self.stop)

    def _bury(self) -> None:
        """Forget the workers that died while they had nothing to do."""
        for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
            self._workers.remove(worker)
            worker.dismiss()
            worker.end(monotonic())

    def _share(self, data: Data) -> Shared:
        """The data, pickled when they are first asked for."""
        for shared in self._shared:
            if shared.data is data:
                return shared
        try:
            made = Shared(data)
        except _UNPICKLABLE as error:
            raise ArgumentError(
                f"with jobs above 1, data must be picklable, to be sent to worker processes: {error}; "
                "define classes and functions at the top of a module, or use jobs=1"
            ) from error
        # The file of one that is dropped closes when the last worker that is still to map it lets go of it.
        self._shared = [made, *self._shared[: _SETS - 1]]
        return made

    def _feed(self, jobs: Iterator[Job], data: Data, threads: int) -> bool:
        """Give every free worker a job; says whether any worker has one."""
        while (worker := next((w for w in self._workers if w.job is None), None)) or len(self._workers) < self._size:
            job = next(jobs, None)
            if job is None:
                break
            if worker is None:
                self._share(data)  # before a process is begun: it may be refused
                # Should the loop over the results never be left properly, the interpreter would wait for idle workers.
                atexit.register(self.stop)
                worker = _Worker()
                self._workers.append(worker)  # before it starts: Ctrl-C may come at any moment
                worker.start()
            worker.give(job, self._share(data), threads)
        return bool(self._in_flight)

    def _speaking(self) -> list[_Worker]:
        """The busy workers that have something to say, or have died."""
        busy = [worker for worker in self._workers if worker.job is not None]
        signs = [sign for worker in busy for sign in (worker.pipe, worker.process.sentinel)]
        ready = connection.wait(signs, timeout=_LOOK)
        # A worker's own children may keep both open after its death, so they alone do not tell.
        return [worker for worker in busy if worker.pipe in ready or not worker.process.is_alive()]

    @property
    def _in_flight(self) -> list[str]:
        return [worker.job.name for worker in self._workers if worker.job is not None]


class _Worker:
    """One worker process, as its parent sees it."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, self._theirs = context.Pipe()
        # Not a daemon: its learner may have loading processes of its own.
        self.process = context.Process(target=work, args=(self._theirs,), name="unseen-worker")
        self.job: Job | None = None
        self._threads = 1
        self._wanted: Shared | None = None  # data of the job
        self._shared: Shared | None = None  # data that it has
        self._learner: Learner | None = None  # the one it has
        self._ready = False

    def start(self) -> None:
        """Begin the process."""
        # Ctrl-C goes to the whole process group; workers are ended by us, so they start with the signal blocked.
        resource_tracker.ensure_running()  # its start would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            self._theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def give(self, job: Job, shared: Shared, threads: int) -> None:
        """Send a job, or have it sent as soon as the worker is ready."""
        self.job, self._wanted, self._threads = job, shared, threads
        if self._ready:
            self._send()

    def _send(self) -> None:
        assert self.job is not None
        assert self._wanted is not None
        shared, job = self._wanted, self.job
        other = None if job.learner is self._learner else job.learner
        self._learner = job.learner
        try:
            with suppress(ConnectionError):  # it has died: `take` says so
                if shared is not self._shared:
                    self._shared = shared
                    self.pipe.send(("data", (shared.described, shared.file is not None)))
                    if shared.file is not None:
                        reduction.send_handle(self.pipe, shared.file.fileno(), self.process.pid)
                self.pipe.send(("job", (job, other, self._threads)))
        except _UNPICKLABLE as error:
            raise ArgumentError(
                f"with jobs above 1, learner, sink and checkpoints of fit {job.name} must be picklable, to be sent to "
                f"worker processes: {error}; define classes and functions at the top of a module, or use jobs=1"
            ) from error

    def take(self, report: Report, in_flight: list[str]) -> tuple[Job | None, dict[str, npt.NDArray[Any]] | None]:
        """Read one message: pass progress on, raise an error, or give the result and be free."""
        kind: str = "died"
        content: Any = None
        with suppress(EOFError, OSError):  # death in the middle of a message is an OSError without a number
            if self.pipe.poll():
                kind, content = self.pipe.recv()
            elif self.process.is_alive():
                return None, None
        if kind == "report":
            report(content.pop("kind"), **content)
        elif kind == "ready":
            self._ready = True
            self._send()
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
        if self.process.pid is not None and (self.job is not None or not self._ready):
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until the deadline, then end it."""
        if self.process.pid is not None:
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


class LocalExecutor:
    """Runs `jobs` fits at a time, each with `threads` threads. The numbers depend on `threads` only.

    With more than one job, fits run in worker processes (spawned, so that neither threads nor CUDA are carried over).
    Arrays in memory are written once to a temporary file without a name, which all of them map. Workers end with the
    loop over `run`, or with the session around it; leaving the loop before its end, by whatever way, ends them at once.

    Args:
        jobs: fits at a time, at least 1.
        threads: for each fit; by default the processors divided by `jobs`.

    Raises:
        ArgumentError: a number below 1.

    >>> LocalExecutor(jobs=2, threads=1)
    LocalExecutor(jobs=2, threads=1)

    """

    workers = 1

    def __init__(self, jobs: int = 1, *, threads: int | None = None) -> None:
        for name, value in (("jobs", jobs), ("threads", threads)):
            if value is not None and value < 1:
                raise ArgumentError(f"{name} must be at least 1, got {value}")
        self.jobs = jobs
        self.threads = default_threads(jobs) if threads is None else threads
        self._pool: Pool | None = None  # of the session

    def __repr__(self) -> str:
        return f"LocalExecutor(jobs={self.jobs}, threads={self.threads})"

    @contextmanager
    def session(self) -> Iterator[None]:
        """Inside the block, all runs share the worker processes: torch is imported once, and data shared once."""
        if self.jobs == 1 or self._pool is not None:
            yield
            return
        with Pool(self.jobs) as self._pool:
            try:
                yield
            finally:
                self._pool = None

    def run(
        self, jobs: Iterable[Job], *, data: Data, report: Report
    ) -> Generator[tuple[Job, dict[str, npt.NDArray[Any]]], None, None]:
        """Yield each job with what its fit yielded, as they finish; see `Executor.run`.

        Raises:
            ArgumentError: data, a learner or a job cannot be sent to a worker process.
            WorkerError: a worker process ended; the message names its fit.

        """
        if self.jobs == 1:
            for job in jobs:
                yield job, run_job(job, data=data, threads=self.threads, report=report)
            return
        # A run inside the loop over another has workers of its own.
        warm = self._pool if self._pool and not self._pool.running else None
        with nullcontext(warm) if warm else Pool(self.jobs) as pool:
            yield from pool.run(iter(jobs), report, data=data, threads=self.threads)
