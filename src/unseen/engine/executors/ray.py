"""The executor on Ray: jobs as tasks of Ray, on this machine or on a cluster.

Ray schedules the tasks. Its own retries are not used: they are silent, do not distinguish a dead worker from an error
of the learner, and would repeat reports. Every task is a generator, so that one ordered channel carries its progress
and its result, and ends with the task.
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
from unseen.engine.executors.ray_parts import Sizes, is_parted, train_in_parts
from unseen.engine.executors.ray_scheduler import Stream, TaskScheduler
from unseen.engine.executors.ray_session import Ref, Session, SharedLearner, TaskContext, put, room, train, whole_node
from unseen.engine.executors.ray_train import Placements, WorkerGroup, check_worker_group, train_together
from unseen.errors import ArgumentError, MissingDependencyError

Named = dict[str, npt.NDArray[Any]]


class RayExecutor:
    """An executor of fits as tasks of Ray, each with `threads` threads and `num_gpus` GPUs.

    The numbers are equal to those of the local executor. Data are put once in Ray's object store, where all workers of
    a node read them. Memory-mapped files and folders of images travel by name, so they must be on storage that all
    nodes share, and so must the directory of the run. Where the process is connected to Ray already (`ray.init`), that
    Ray is used and left running. Otherwise the executor connects to `address`, or starts Ray on this machine and ends
    it with the session.

    A fit whose worker died (killed, out of memory, its node lost) starts again up to three times, from its latest
    checkpoint where the run is kept in a directory. Each time is reported as `"retry"`, with its `cause`. An error of a
    learner is raised at once. A fit that ran out of memory starts again once, alone on a node, if there were others
    beside it.

    Args:
        address: `"host:port"` of a cluster, or `"auto"` for the one that runs on this machine; if not given, the
            environment variable `RAY_ADDRESS`, or else Ray is started for this executor.
        jobs: the number of fits at a time, at least 1; by default as many as the cluster has room for.
        threads: the number of threads and of claimed CPUs for each fit; 1 by default, since the machines of a cluster
            differ.
        num_gpus: the number of GPUs claimed for each fit, in parts (0.5) for several fits on one GPU.
        workers: the number of processes that train each model together, for a model larger than a GPU; each then has
            `threads` threads and `num_gpus` GPUs, one or none. For the torch learner; see `docs/data_parallel.md`.

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
            check_worker_group(num_gpus)
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
        """Share one Ray among all runs inside the block, from the first that has a job; see `Executor.session`."""
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
        """Run jobs, and yield each with its result as it finishes; see `Executor.run`.

        Raises:
            ArgumentError: no node has room for one fit; a part of a job cannot be sent; an address beside a
                connection.
            WorkerError: the workers of a fit died more than three times, or memory did not suffice for it; the object
                store cannot hold the data; no Ray answers at the address.
        """
        jobs = iter(jobs)
        first = next(jobs, None)
        if first is None:
            return  # all jobs are done, so Ray is not needed
        with self.session():
            assert self._session is not None
            cpus = self._cpus(first.learner)
            self._session.connect(cpus * self.workers * (self.jobs or 1))
            at_once = self._room(cpus)
            submit = _Submit(self, self._session.hold(data), at_once)
            placements = Placements(report)
            try:
                scheduler = TaskScheduler(submit, at_once, lambda: self._room(cpus))
                yield from scheduler.run(chain([first], jobs), placements.report)
            finally:
                placements.give_back()

    def _cpus(self, learner: Learner) -> int:
        return learner.threads or self.threads  # the recipe of a learner may fix another number

    def _room(self, cpus: int) -> int:
        """Return the number of fits at a time."""
        if self.jobs is not None and self.address is not None:
            return self.jobs  # a cluster may grow with the tasks that wait
        found = room(cpus, self.num_gpus, self.workers)
        return found if self.jobs is None else self.jobs


class _Submit:
    """Starts the jobs of one run; the data set and each learner are once in the object store.

    Args:
        executor: the executor, which knows how many threads and GPUs a fit has.
        data: the reference of the data set.
        at_once: the number of tasks at a time.
    """

    def __init__(self, executor: RayExecutor, data: Ref, at_once: int) -> None:
        import ray

        self._executor, self._data, self._at_once = executor, data, at_once
        self._task, self._together, self._parts = (
            ray.remote(train),
            ray.remote(train_together),
            ray.remote(train_in_parts),
        )
        self._learners: dict[int, tuple[Learner, Ref]] = {}

    def __call__(self, job: Job, alone: bool) -> Stream:
        """Start a job; it claims a whole node where it has to be alone."""
        gpus = self._executor.num_gpus
        cpus = self._executor._cpus(job.learner)
        workers = self._executor.workers
        if alone:
            cpus = max(cpus, whole_node(gpus) // workers)
        shared = TaskContext(self._data, self._put_learner(job.learner), self._executor.threads, str(Path.cwd()))
        try:
            if is_parted(job):
                sizes = Sizes(cpus, gpus, self._at_once)
                return self._parts.options(num_cpus=0, max_retries=0).remote(shared, job, sizes)
            if workers > 1:
                group = WorkerGroup(workers, cpus, gpus)
                return self._together.options(num_cpus=0, max_retries=0).remote(shared, job, group)
            return self._task.options(num_cpus=cpus, num_gpus=gpus, max_retries=0).remote(shared, job)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ArgumentError(
                f"with executor='ray', the sink and the checkpoints of fit {job.name} must be picklable: {error}"
            ) from error

    def _put_learner(self, learner: Learner) -> Ref:
        if id(learner) not in self._learners:
            ref = put(SharedLearner(learner, learner.describe()), "the learner")
            self._learners[id(learner)] = (learner, ref)  # also the learner, so that no other object gets its id
        return self._learners[id(learner)][1]
