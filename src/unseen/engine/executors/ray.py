"""Jobs as tasks of Ray: on this machine, or on a cluster. Ray schedules; nothing here does.

Not Ray's own retries: they are silent, do not tell a dead worker from a learner's error, and would repeat reports.
Every task is a generator, so that one ordered channel carries its progress and its result, and dies with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy.typing as npt

from unseen.core.protocols import Data, Learner
from unseen.engine.executors.base import Job, Report
from unseen.engine.executors.ray_parts import Sizes, in_parts, is_parted
from unseen.engine.executors.ray_scheduler import Flights, Stream
from unseen.engine.executors.ray_session import Held, Ref, Session, Shared, put, room, train, whole_node
from unseen.engine.executors.ray_train import Crew, Places, check_crew, train_together
from unseen.errors import ArgumentError, MissingDependencyError

__all__ = ["RayExecutor"]

Named = dict[str, npt.NDArray[Any]]


class RayExecutor:
    """Runs each fit as a task of Ray, with `threads` threads and `num_gpus` GPUs. The numbers are the local ones.

    Data are put once in Ray's object store, and read there by all workers of a node; memory-mapped files
    and folders of images travel by name and have to be on storage that all nodes share, as has the directory of the
    run. Where the process is connected to Ray already (`ray.init`), that Ray is used and left running. Otherwise it
    connects to `address`, or starts Ray on this machine and ends it with the session.

    A fit whose worker died (killed, out of memory, its node lost) is begun again up to three times, from its latest
    checkpoint where the run is kept in a directory; each time is reported as `"retry"`, with its `cause`. The error
    of a learner is raised as it is, at once. A fit that ran out of memory is begun again once, alone on a node, if
    there were others beside it.

    Args:
        address: `"host:port"` of a cluster, or `"auto"` for the one that runs on this machine; if not given, the
            environment variable `RAY_ADDRESS`, else a Ray of our own.
        jobs: fits at a time, at least 1; as many as the cluster has room for if not given.
        threads: for each fit; 1 if not given, since the machines of a cluster differ. So many CPUs are claimed.
        num_gpus: GPUs claimed for each fit, in parts (0.5) for several fits on one.
        workers: processes that train each model together, for one larger than a GPU; each then has `threads` threads
            and `num_gpus` GPUs, one or none. For the torch learner; see `docs/data_parallel.md`.

    Raises:
        ArgumentError: a number that is too small, parts of a GPU for several workers, or an address of the Ray client
            (`ray://`).
        MissingDependencyError: Ray is not installed.

    >>> RayExecutor(threads=2)
    RayExecutor(address=None, jobs=None, threads=2, num_gpus=0, workers=1)

    """

    def __init__(
        self,
        address: str | None = None,
        *,
        jobs: int | None = None,
        threads: int | None = None,
        num_gpus: float = 0,
        workers: int = 1,
    ) -> None:
        for name, value in (("jobs", jobs), ("threads", threads), ("workers", workers)):
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
        if workers > 1:
            check_crew(num_gpus)
        self.address = address
        self.jobs = jobs
        self.threads = 1 if threads is None else threads
        self.num_gpus = num_gpus
        self.workers = workers
        self._session: Session | None = None

    def __repr__(self) -> str:
        return (
            f"RayExecutor(address={self.address!r}, jobs={self.jobs}, threads={self.threads}, "
            f"num_gpus={self.num_gpus}, workers={self.workers})"
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """One Ray for all runs inside the block, from the first that has something to do; see `Executor.session`."""
        if self._session is not None:
            yield
            return
        self._session = Session(self.address)
        try:
            yield
        finally:
            ended, self._session = self._session, None
            ended.close()

    def run(self, jobs: Iterable[Job], *, data: Data, report: Report) -> Generator[tuple[Job, Named], None, None]:
        """Yield each job with what its fit yielded, as they finish; see `Executor.run`.

        Raises:
            ArgumentError: no node has room for one fit; a part of a job cannot be sent; an address beside a
                connection.
            WorkerError: the workers of a fit died more than three times, or memory did not suffice for it; the object
                store cannot hold the data; no Ray answers at the address.

        """
        jobs = iter(jobs)
        first = next(jobs, None)
        if first is None:
            return  # all is done: no need of Ray
        with self.session():
            assert self._session is not None
            cpus = self._cpus(first.learner)
            self._session.connect(cpus * self.workers * (self.jobs or 1))
            at_once = self._room(cpus)
            submit = _Submit(self, self._session.hold(data), at_once)
            places = Places(report)
            try:
                flights = Flights(submit, at_once, lambda: self._room(cpus))
                yield from flights.run(chain([first], jobs), places.report)
            finally:
                places.give_back()

    def _cpus(self, learner: Learner) -> int:
        return learner.threads or self.threads  # its recipe may say otherwise

    def _room(self, cpus: int) -> int:
        """Fits at a time."""
        if self.jobs is not None and self.address is not None:
            return self.jobs  # a cluster may grow with what waits
        found = room(cpus, self.num_gpus, self.workers)
        return found if self.jobs is None else self.jobs


class _Submit:
    """Begins jobs of one run; what they have in common is in the object store, each learner once.

    Args:
        executor: which says how many threads and GPUs a fit has.
        data: where the data set is held.
        at_once: tasks at a time.

    """

    def __init__(self, executor: RayExecutor, data: Ref, at_once: int) -> None:
        import ray

        self._executor, self._data, self._at_once = executor, data, at_once
        self._task, self._together, self._parts = ray.remote(train), ray.remote(train_together), ray.remote(in_parts)
        self._learners: dict[int, tuple[Learner, Ref]] = {}

    def __call__(self, job: Job, alone: bool) -> Stream:
        """Begin a job; it claims a whole node where it is to be alone."""
        gpus = self._executor.num_gpus
        cpus = self._executor._cpus(job.learner)
        workers = self._executor.workers
        if alone:
            cpus = max(cpus, whole_node(gpus) // workers)
        shared = Shared(self._data, self._held(job.learner), self._executor.threads, str(Path.cwd()))
        try:
            if is_parted(job):
                sizes = Sizes(cpus, gpus, self._at_once)
                return self._parts.options(num_cpus=0, max_retries=0).remote(shared, job, sizes)
            if workers > 1:
                crew = Crew(workers, cpus, gpus)
                return self._together.options(num_cpus=0, max_retries=0).remote(shared, job, crew)
            return self._task.options(num_cpus=cpus, num_gpus=gpus, max_retries=0).remote(shared, job)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ArgumentError(
                f"with executor='ray', the sink and the checkpoints of fit {job.name} must be picklable: {error}"
            ) from error

    def _held(self, learner: Learner) -> Ref:
        if id(learner) not in self._learners:
            ref = put(Held(learner, learner.describe()), "the learner")
            self._learners[id(learner)] = (learner, ref)  # the learner itself too, so that its id stays its own
        return self._learners[id(learner)][1]
