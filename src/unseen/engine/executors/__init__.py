"""Executors run jobs: in this process, in worker processes or on Ray.

A job is a fit with its learner and an opaque sink for observations. An executor does not know the scores. `resolve`
makes an executor of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from unseen.core.arrays import Arrays, IntArray, Named
from unseen.core.exposure import Fit
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.core.registry import parse_spec
from unseen.core.threads import default_threads, limited_threads
from unseen.errors import ArgumentError, UnknownNameError

if TYPE_CHECKING:
    from unseen.engine.executors.local import LocalExecutor
    from unseen.engine.executors.ray import RayExecutor

__all__ = ["Executor", "Job", "LocalExecutor", "RayExecutor", "ResultSink", "default_threads", "resolve"]

_HOMES = {"LocalExecutor": "local", "RayExecutor": "ray"}  # modules, imported by those who use them
_OPTIONS = {"local": (), "ray": ("address", "num_gpus", "workers")}

Report = Callable[..., None]


class ResultSink(Sink, Protocol):
    """A sink that gives the result of the fit at the end. Picklable, so that it can go to a worker process."""

    def result(self) -> Named:
        """Return the result of the fit, as named arrays."""

    def within(self, rows: IntArray) -> ResultSink:
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

    def report_fit(kind: str, **fields: object) -> None:
        report(kind, fit=job.name, **fields)

    started = perf_counter()
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
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'unseen.engine.executors' has no attribute {name!r}")


def resolve(executor: str | Executor, *, jobs: int | None = None, threads: int | None = None) -> Executor:
    """Return the executor of a name, or an executor as it is.

    Args:
        executor: `"local"`, `"ray"`, `"ray:address=host:port,num_gpus=0.5"`, `"ray:workers=2"` for two processes that
            train each model together, or an `Executor`.
        jobs: the number of fits at a time; by default 1 locally, and with Ray as many as there is room for.
        threads: the number of threads for each fit.

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
    if name not in _OPTIONS:
        raise UnknownNameError("executor", name, _OPTIONS)
    for option in options:
        if option not in _OPTIONS[name]:
            has = ", ".join(_OPTIONS[name]) or "none"
            raise ArgumentError(f"the executor {name!r} has no option {option!r}; its options: {has}")
    if name == "local":
        from unseen.engine.executors.local import LocalExecutor

        return LocalExecutor(1 if jobs is None else jobs, threads=threads)
    from unseen.engine.executors.ray import RayExecutor

    given: dict[str, Any] = options
    return RayExecutor(jobs=jobs, threads=threads, **given)
