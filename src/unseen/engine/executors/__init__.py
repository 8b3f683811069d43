"""Executors run jobs: in this process, in worker processes or on Ray.

A job is a fit with its learner and an opaque sink for observations. An executor does not know the scores. `resolve`
makes an executor of its name.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from unseen.core.arrays import Arrays, IntArray, Named
from unseen.core.checks import at_least, check_known, check_options
from unseen.core.exposure import Fit
from unseen.core.machine import default_threads, limited_threads
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.core.registry import parse_spec
from unseen.errors import ArgumentError

if TYPE_CHECKING:
    from unseen.engine.executors.pool import WorkerPool
    from unseen.engine.executors.ray import RayExecutor

__all__ = ["Executor", "Job", "LocalExecutor", "RayExecutor", "ResultSink", "default_threads", "resolve"]

_OPTIONS = {"local": (), "ray": ("address", "num_gpus", "workers")}

Report = Callable[..., None]


class ResultSink(Sink, Protocol):
    """A sink that gives the result of the fit at the end. Picklable, so that it can go to a worker process."""

    def result(self) -> Named:
        """Return the result of the fit, as named arrays."""

    def for_rows(self, rows: IntArray) -> ResultSink:
        """Return a sink for only these rows of the unseen watch set; its `pieces` are in their order."""

    def pieces(self) -> Named:
        """Return the part of the result that exists for each sample by itself: named arrays, one entry a sample."""

    def joined(self, pieces: Arrays) -> Named:
        """Return the result, made of the pieces of all samples."""


@dataclass(frozen=True, eq=False)
class Job:
    """One fit with its learner, the sink of its observations and the store of its checkpoints."""

    fit: Fit  # the training rows and the watch sets
    sink: ResultSink  # the sink that receives the observations
    checkpoints: CheckpointStore  # the store of the training state
    learner: Learner  # the learner to train
    seed: int  # the root seed, passed on to the learner
    name: str  # the name of the fit in reports, errors and events; unique in one call of `Executor.run`

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the learner, which goes to a worker once for many jobs and may hold data for the next one."""
        return {**self.__dict__, "learner": None}


class Executor(Protocol):
    """An executor runs jobs."""

    @property
    def jobs(self) -> int | None:
        """The number of fits at a time; None for as many as there is room for."""

    @property
    def threads(self) -> int:
        """The number of threads for each fit; part of the recipe, since sums depend on it."""

    @property
    def workers(self) -> int:
        """The number of processes that train one model together; like the threads, part of the recipe."""

    def session(self) -> AbstractContextManager[None]:
        """Share what is costly to start among all runs inside the block; a run outside a session starts its own."""

    def run(self, jobs: Iterable[Job], *, data: Data, report: Report) -> Generator[tuple[Job, Named], None, None]:
        """Run jobs, and yield each with its result as it finishes. Closing the generator ends the workers.

        Args:
            jobs: the jobs, taken one by one as workers become free.
            data: the data set; sent to each worker once.
            report: called as `report(kind, fit=name, **fields)`, in this process: `"fit_start"` with the
                number of training `samples`, the reports of the learner, and `"fit_end"` with `seconds`.
        """


def run_job(job: Job, *, data: Data, threads: int, report: Report) -> Named:
    """Run one job in this process; an error of the learner passes through, with a note that names the fit."""
    report_fit, started = partial(report, fit=job.name), perf_counter()
    report_fit("fit_start", samples=job.fit.samples)
    try:
        with limited_threads(threads):
            job.learner.fit(data, job.fit, job.sink, job.checkpoints, seed=job.seed, report=report_fit)
            result = job.sink.result()
    except Exception as error:
        error.add_note(f"in fit {job.name}")
        raise
    report_fit("fit_end", seconds=perf_counter() - started)
    return result


def __getattr__(name: str) -> Any:
    if name == "RayExecutor":  # loaded by those who use it
        from unseen.engine.executors.ray import RayExecutor

        return RayExecutor
    raise AttributeError(f"module 'unseen.engine.executors' has no attribute {name!r}")


class LocalExecutor:
    """An executor of `jobs` fits at a time, each with `threads` threads. The numbers depend on `threads` only.

    With more than one job, fits run in worker processes (spawned, so that neither threads nor CUDA are carried over).
    Arrays in memory are written once to a temporary file without a name, which all workers map. Workers end with the
    loop over `run`, or with the session around it. Leaving the loop before its end, in any way, ends them at once.

    Args:
        jobs: the number of fits at a time, at least 1.
        threads: the number of threads for each fit; by default the cores that this process may use, divided by
            `jobs`, and at most `OMP_NUM_THREADS`.

    Raises:
        ArgumentError: a number below 1; more than one job on Windows.

    >>> LocalExecutor(jobs=2, threads=1)
    LocalExecutor(jobs=2, threads=1)
    """

    workers = 1

    def __init__(self, jobs: int = 1, *, threads: int | None = None) -> None:
        self.jobs = at_least("jobs", jobs, 1)
        self.threads = default_threads(self.jobs) if threads is None else at_least("threads", threads, 1)
        if jobs > 1 and not hasattr(signal, "pthread_sigmask"):
            raise ArgumentError(f"jobs must be 1 on this system (Windows), got {jobs}; Linux, macOS and WSL take more")
        self._pool: WorkerPool | None = None  # the workers of the session

    def __repr__(self) -> str:
        return f"LocalExecutor(jobs={self.jobs}, threads={self.threads})"

    @contextmanager
    def session(self) -> Iterator[None]:
        """Share the worker processes among all runs inside the block: torch is imported once, data are sent once."""
        if self.jobs == 1 or self._pool is not None:
            yield
            return
        from unseen.engine.executors.pool import WorkerPool

        with WorkerPool(self.jobs) as self._pool:
            try:
                yield
            finally:
                self._pool = None

    def run(self, jobs: Iterable[Job], *, data: Data, report: Report) -> Generator[tuple[Job, Named], None, None]:
        """Run jobs, and yield each with its result as it finishes; see `Executor.run`.

        Raises:
            ArgumentError: data, a learner or a job cannot be sent to a worker process.
            WorkerError: a worker process ended; the message names its fit.
        """
        if self.jobs == 1:
            for job in jobs:
                yield job, run_job(job, data=data, threads=self.threads, report=report)
            return
        from unseen.engine.executors.pool import WorkerPool

        # A run inside the loop over another one gets its own workers.
        warm = self._pool if self._pool and not self._pool.running else None
        with nullcontext(warm) if warm else WorkerPool(self.jobs) as pool:
            yield from pool.run(iter(jobs), report, data=data, threads=self.threads)


def resolve(executor: str | Executor, *, jobs: int | None = None, threads: int | None = None) -> Executor:
    """Return the executor of a name, or an executor as it is; for `jobs` and `threads` see the classes.

    A name may have options: `"ray:address=host:port,num_gpus=0.5"`, or `"ray:workers=2"` for two processes that train
    each model together.

    Raises:
        ArgumentError: jobs or threads are given beside an executor that has its own, or an option is unknown.
        UnknownNameError: there is no executor of that name.
        MissingDependencyError: Ray is not installed.

    >>> resolve("local", jobs=2, threads=1)
    LocalExecutor(jobs=2, threads=1)
    """
    if isinstance(executor, type) or not (isinstance(executor, str) or hasattr(executor, "run")):
        raise ArgumentError(f"executor must be 'local', 'ray' or an executor, got {executor!r}")
    if not isinstance(executor, str):
        if jobs is not None or threads is not None:
            raise ArgumentError(f"jobs and threads must be given to the executor, which is {executor!r}, not beside it")
        return executor
    name, options = parse_spec(executor)
    check_known("executor", [name], _OPTIONS)
    check_options(f"the executor {name!r}", options, _OPTIONS[name])
    if name == "local":
        return LocalExecutor(1 if jobs is None else jobs, threads=threads)
    from unseen.engine.executors.ray import RayExecutor

    given: dict[str, Any] = options
    return RayExecutor(jobs=jobs, threads=threads, **given)
