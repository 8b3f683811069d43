"""Jobs as tasks of Ray: on this machine, or on a cluster. Ray schedules; nothing here does.

Not Ray's own retries: they are silent, do not tell a dead worker from a learner's error, and would repeat reports.
Every task is a generator, so that one ordered channel carries its progress and its result, and dies with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy.typing as npt

from unseen.errors import ArgumentError, MissingDependencyError, WorkerError
from unseen.executors.base import Job, Report
from unseen.executors.ray_task import Shared, train
from unseen.executors.worker import Setup, rebuilt
from unseen.exposure import Fit
from unseen.protocols import Data, Learner
from unseen.threads import default_threads

__all__ = ["RayExecutor"]

Named = dict[str, npt.NDArray[Any]]
Stream = Any  # ray's ObjectRefGenerator

RETRIES = 3  # of one fit whose worker died


class RayExecutor:
    """Runs each fit as a task of Ray, with `threads` threads and `num_gpus` GPUs. The numbers are the local ones.

    Data and learner are put once in Ray's object store, and read there by all workers of a node; memory-mapped files
    and folders of images travel by name and have to be on storage that all nodes share, as has the directory of the
    run. Where the process is connected to Ray already (`ray.init`), that Ray is used and left running. Otherwise it
    connects to `address`, or starts Ray on this machine and ends it with the loop over `run`.

    A fit whose worker died (killed, out of memory, its node lost) is begun again up to three times, from its latest
    checkpoint where the run is kept in a directory; each time is reported as `"retry"`, with its `cause`. The error
    of a learner is raised as it is, at once.

    Args:
        address: `"host:port"` of a cluster, or `"auto"` for the one that runs on this machine; if not given, the
            environment variable `RAY_ADDRESS`, else a Ray of our own.
        jobs: fits at a time, at least 1; as many as the cluster has room for if not given.
        threads: for each fit; 1 if not given, since the machines of a cluster differ. So many CPUs are claimed.
        num_gpus: GPUs claimed for each fit, in parts (0.5) for several fits on one.

    Raises:
        ArgumentError: a number that is too small, or an address of the Ray client (`ray://`).
        MissingDependencyError: Ray is not installed.

    >>> RayExecutor(threads=2)
    RayExecutor(address=None, jobs=None, threads=2, num_gpus=0)

    """

    def __init__(
        self,
        address: str | None = None,
        *,
        jobs: int | None = None,
        threads: int | None = None,
        num_gpus: float = 0,
    ) -> None:
        for name, value in (("jobs", jobs), ("threads", threads)):
            if value is not None and value < 1:
                raise ArgumentError(f"{name} must be at least 1, got {value}")
        if num_gpus < 0:
            raise ArgumentError(f"num_gpus must be at least 0, got {num_gpus}")
        if address is not None and address.startswith("ray://"):
            raise ArgumentError(
                f"address must be host:port or 'auto', got {address!r}: the Ray client does not carry results as they "
                "come; run the command on a node of the cluster, such as by `ray job submit`"
            )
        if find_spec("ray") is None:
            raise MissingDependencyError("ray", "executor='ray'", "ray")
        self.address = address
        self.jobs = jobs
        self.threads = 1 if threads is None else threads
        self.num_gpus = num_gpus

    def __repr__(self) -> str:
        return (
            f"RayExecutor(address={self.address!r}, jobs={self.jobs}, threads={self.threads}, num_gpus={self.num_gpus})"
        )

    def run(
        self, jobs: Iterable[Job], *, data: Data, learner: Learner, seed: int, report: Report
    ) -> Generator[tuple[Fit, Named], None, None]:
        """Yield each fit with what it yielded, as they finish; see `Executor.run`.

        Raises:
            ArgumentError: no node has room for one fit; a part of a job cannot be sent; an address beside a
                connection.
            WorkerError: the workers of a fit died more than three times; no Ray answers at the address.

        """
        jobs = iter(jobs)
        first = next(jobs, None)
        if first is None:
            return  # all is done: no need of Ray
        threads = getattr(learner, "threads", self.threads)  # its recipe may say otherwise
        shared = Shared(Setup(data, learner, seed, self.threads), learner.describe(), str(Path.cwd()))
        with _connected(self.address, cpus=threads * (self.jobs or 1)):
            room = self._room(threads)
            tasks = _Tasks(_submitter(shared, cpus=threads, gpus=self.num_gpus), room)
            yield from tasks.run(chain([first], jobs), report)

    def _room(self, threads: int) -> int:
        """Fits at a time."""
        if self.jobs is not None and self.address is not None:
            return self.jobs  # a cluster may grow with what waits
        import ray

        known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [node["Resources"] for node in known if node["Alive"]]
        room = sum(_room_on(node, threads, self.num_gpus) for node in nodes)
        if room == 0:
            raise ArgumentError(
                f"no node of the Ray cluster has room for a fit of {threads} CPUs and {self.num_gpus} GPUs: it has "
                f"{'; '.join(_told(node) for node in nodes)}; use fewer threads, or num_gpus=0"
            )
        return room if self.jobs is None else self.jobs


@dataclass(eq=False)
class _Flight:
    """One fit under way."""

    job: Job
    stream: Stream
    retries: int = 0


class _Tasks:
    """Up to `room` tasks at a time, all cancelled on leaving the loop over `run`."""

    def __init__(self, submit: Callable[[Job], Stream], room: int) -> None:
        self._submit = submit
        self._room = room
        self._flights: dict[Stream, _Flight] = {}

    def run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Fit, Named]]:
        """Yield results as they come; no more jobs are taken from `jobs` than there is room for."""
        import ray

        try:
            while self._feed(jobs):
                (stream,), _ = ray.wait(list(self._flights), num_returns=1)
                flight = self._flights[stream]
                result = self._take(flight, report)
                if result is not None:
                    del self._flights[stream]
                    self._feed(jobs)  # first, so that no worker waits while the result is being kept
                    yield flight.job.fit, result
        finally:
            self._stop()

    def _feed(self, jobs: Iterator[Job]) -> bool:
        """Submit jobs as there is room; says whether any is under way."""
        while len(self._flights) < self._room and (job := next(jobs, None)) is not None:
            self._fly(_Flight(job, self._submit(job)))
        return bool(self._flights)

    def _fly(self, flight: _Flight) -> None:
        self._flights[flight.stream] = flight

    def _take(self, flight: _Flight, report: Report) -> Named | None:
        """Read one message: pass progress on, raise an error, begin a dead worker's fit again, or give the result."""
        import ray
        from ray import exceptions as e

        try:
            kind, content = ray.get(next(flight.stream))
        except (e.WorkerCrashedError, e.NodeDiedError, e.OutOfMemoryError, e.ObjectLostError, StopIteration) as error:
            self._again(flight, error, report)
            return None
        except e.RayError as error:  # the task could not begin: a package is not there, say
            raise WorkerError(f"Ray could not run fit {flight.job.fit.name}: {error}") from error
        if kind == "report":
            report(content.pop("kind"), **content)
        elif kind == "failed":
            raise rebuilt(*content)
        else:
            result: Named = content
            return result
        return None

    def _again(self, flight: _Flight, error: Exception, report: Report) -> None:
        """Begin a fit again whose worker died."""
        name = flight.job.fit.name
        if flight.retries == RETRIES:
            raise WorkerError(
                f"the worker of fit {name} died {RETRIES + 1} times, at last by {_cause(error)}. Repeat the command "
                "with the same --out to go on: finished fits and epochs are kept. If memory ran out, use fewer jobs "
                "at a time or a smaller batch"
            ) from error
        del self._flights[flight.stream]
        flight.retries += 1
        flight.stream = self._submit(flight.job)
        self._fly(flight)
        report("retry", fit=name, retry=flight.retries, of=RETRIES, cause=_cause(error))

    def _stop(self) -> None:
        import ray

        for stream in self._flights:
            with suppress(Exception):  # it may have ended, or all of Ray
                ray.cancel(stream, force=True)
        self._flights.clear()


def _submitter(shared: Shared, *, cpus: int, gpus: float) -> Callable[[Job], Stream]:
    """Puts in the object store what all tasks share, once; gives what submits one task."""
    import ray

    task = ray.remote(train).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
    try:
        held = ray.put(shared)
    except (PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(f"with executor='ray', data and learner must be picklable: {error}") from error

    def submit(job: Job) -> Stream:
        try:
            return task.remote(held, job)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ArgumentError(
                f"with executor='ray', the sink and the checkpoints of fit {job.fit.name} must be picklable: {error}"
            ) from error

    return submit


@contextmanager
def _connected(address: str | None, cpus: int) -> Iterator[None]:
    """Ray as it is, or connected to, or started here with at least so many CPUs; what was begun here is ended."""
    import ray

    if ray.is_initialized():
        if address is not None:
            raise ArgumentError(f"address must be left out, got {address!r}: this process is connected to Ray already")
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    # Its notices would break up our display. As in a pool of our own, more threads may be asked for than processors.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": max(default_threads(), cpus), "include_dashboard": False}
    try:
        with _unwatched():
            ray.init(address=address, **options)
        yield
    except ConnectionError as error:
        if ray.is_initialized():
            raise  # of the work, not of Ray
        raise WorkerError(f"no Ray cluster answers at the address {address!r}: {error}") from error
    finally:
        ray.shutdown()


@contextmanager
def _unwatched() -> Iterator[None]:
    """Start Ray without reports of usage to its makers, unless the user has decided."""
    name = "RAY_USAGE_STATS_ENABLED"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _room_on(node: dict[str, float], cpus: int, gpus: float) -> int:
    by_cpu = int(node.get("CPU", 0) // cpus)
    return by_cpu if gpus == 0 else min(by_cpu, int(node.get("GPU", 0) / gpus + 1e-9))  # ten parts of 0.1 are one


def _told(node: dict[str, float]) -> str:
    return f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs"


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
