"""The executor on Ray: jobs as tasks of Ray, on this machine or on a cluster.

Ray schedules the tasks. Its own retries are not used: they are silent, do not distinguish a dead worker from an error
of the learner, and would repeat reports. Every task is a generator, so that one ordered channel carries its progress
and its result, and ends with the task.

A fit may also be trained by several workers together, which Ray Train starts and connects. A task reads their messages.
Nothing of a run is in the storage of Ray Train. If a worker dies, all workers start again.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from pickle import PicklingError
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from unseen.core.arrays import Named
from unseen.core.checks import at_least, is_number
from unseen.core.machine import limited_threads
from unseen.core.protocols import Data, Learner
from unseen.engine.executors import Job, Report, run_job
from unseen.engine.executors.pool import pack_error
from unseen.engine.executors.ray_parts import Sizes, is_parted, train_in_parts
from unseen.engine.executors.ray_tasks import (
    KEPT,
    RETRIES,
    Message,
    Ref,
    Session,
    SharedLearner,
    Stream,
    Submit,
    TaskContext,
    TaskScheduler,
    cause,
    data_and_learner,
    put,
    room,
    train,
    whole_node,
)
from unseen.errors import ArgumentError, MissingDependencyError, WorkerError


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
        self.jobs = None if jobs is None else at_least("jobs", jobs, 1)
        self.threads = 1 if threads is None else at_least("threads", threads, 1)
        self.workers = at_least("workers", workers, 1)
        if not is_number(num_gpus) or not num_gpus >= 0:
            raise ArgumentError(f"num_gpus must be a number of at least 0, got {num_gpus!r}")
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
        self.num_gpus = num_gpus
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
            submit = self._make_submit(self._session.hold(data), at_once)
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

    def _make_submit(self, data: Ref, at_once: int) -> Submit:
        """Return the function that starts a job of one run; a job that has to be alone claims a whole node.

        The data set and each learner are once in the object store.
        """
        import ray

        task, together, parts = ray.remote(train), ray.remote(train_together), ray.remote(train_in_parts)
        learners: dict[int, tuple[Learner, Ref]] = {}

        def submit(job: Job, alone: bool) -> Stream:
            learner, gpus, cpus = job.learner, self.num_gpus, self._cpus(job.learner)
            if alone:
                cpus = max(cpus, whole_node(gpus) // self.workers)
            if id(learner) not in learners:
                ref = put(SharedLearner(learner, learner.describe()), "the learner")
                learners[id(learner)] = learner, ref  # also the learner, so that no other object gets its id
            shared = TaskContext(data, learners[id(learner)][1], self.threads, str(Path.cwd()))
            try:
                if is_parted(job):
                    return parts.options(num_cpus=0, max_retries=0).remote(shared, job, Sizes(cpus, gpus, at_once))
                if self.workers > 1:
                    group = Sizes(cpus, gpus, self.workers)
                    return together.options(num_cpus=0, max_retries=0).remote(shared, job, group)
                return task.options(num_cpus=cpus, num_gpus=gpus, max_retries=0).remote(shared, job)
            except (PicklingError, AttributeError, TypeError) as error:
                raise ArgumentError(
                    f"with executor='ray', the sink and the checkpoints of fit {job.name} must be picklable: {error}"
                ) from error

        return submit


# ---- one fit by several workers ------------------------------------------------------------------------------------

_LOOK = 1.0  # seconds between checks that the workers are alive
_PLACED = "placed"


class Placements:
    """The placement groups of the workers of fits, removed when the fits end, in whatever way.

    Ray Train removes a placement group only where its controller survived, or where Ray has a dashboard to ask.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._held: dict[str, Any] = {}

    def report(self, kind: str, **fields: Any) -> None:
        """Pass a report on, unless it names a placement group."""
        if kind != _PLACED:
            self._report(kind, **fields)
            return
        self.give_back([fields["fit"]])  # the group of workers that died
        self._held[fields["fit"]] = fields["place"]

    def give_back(self, fits: Iterable[str] | None = None) -> None:
        """Remove the placement groups of these fits, of all if not given."""
        from ray.util import remove_placement_group

        for fit in list(self._held) if fits is None else fits:
            with suppress(Exception):  # there is none yet, or Ray has ended
                remove_placement_group(self._held.pop(fit))


def train_together(shared: TaskContext, job: Job, group: Sizes) -> Iterator[Message]:
    """Run one job by several workers, as a task; yield the messages of `unseen.engine.executors.ray_tasks.train`.

    Where a worker dies, all workers start again after the last checkpoint, up to three times. Each time is reported as
    `"retry"`.
    """
    import ray
    from ray.util.queue import Queue

    queue = Queue(actor_options={"num_cpus": 0})
    config = {"shared": shared, "job": ray.put(job), "queue": queue}
    for retry in range(1, RETRIES + 2):
        errors: list[Exception] = []
        # In its own thread, because Ray Train returns only when the workers have ended.
        thread = Thread(target=_run_workers, args=(group, config, errors), daemon=True)
        thread.start()
        answer: Message | None = None
        for message in _messages(queue, thread):
            if message[0] == "report":
                yield message
            elif answer is None:  # only the first, because one failure can cause others
                answer = message
        if answer is not None:
            yield answer
            return
        failures: dict[int, Exception] = getattr(errors[0], "worker_failures", {}) if errors else {}
        lost = [f"worker {rank}: {cause(error)}" for rank, error in sorted(failures.items()) if _is_lost(error)]
        why = "; ".join(lost) or (cause(errors[0]) if errors else "the workers ended without a result")
        if any("running low on memory" in str(error) for error in failures.values()):  # Ray killed it to save its node
            yield "failed", pack_error(MemoryError(why))
            return
        if retry <= RETRIES:
            yield "report", {"kind": "retry", "fit": job.name, "retry": retry, "of": RETRIES, "cause": why}
    died = WorkerError(f"workers of fit {job.name} died {RETRIES + 1} times, at last: {why}. {KEPT}")
    yield "failed", pack_error(died)


def _run_workers(group: Sizes, config: dict[str, Any], errors: list[Exception]) -> None:
    """Start all workers and wait until they have ended; append the error, if any."""
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"  # read on import; the default from Ray 2.51 on
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    claimed = {"CPU": group.cpus, **({"GPU": group.gpus} if group.gpus else {})}
    scaling = ScalingConfig(num_workers=group.at_once, use_gpu=group.gpus > 0, resources_per_worker=claimed)
    try:
        with TemporaryDirectory(prefix="unseen-") as folder:
            run = RunConfig(name="fit", storage_path=folder)
            TorchTrainer(_take_part, train_loop_config=config, scaling_config=scaling, run_config=run).fit()
    except Exception as error:
        errors.append(error)


def _messages(queue: Any, thread: Thread) -> Iterator[Message]:
    """Yield the messages of the workers until the thread that waits for them ends."""
    from ray.util.queue import Empty

    lives = True
    while lives:
        lives = thread.is_alive()  # before the queue is read, so that no last message is missed
        with suppress(Empty):
            while True:
                yield queue.get(timeout=_LOOK) if lives else queue.get_nowait()


def _take_part(config: dict[str, Any]) -> None:
    """Run the fit in each worker; the first worker also sends the messages."""
    import ray
    from ray import train
    from ray.util import get_current_placement_group

    shared: TaskContext = config["shared"]
    queue = config["queue"]

    def report(kind: str, **fields: object) -> None:
        queue.put(("report", {"kind": kind, **fields}))

    try:
        data, learner = data_and_learner(shared)  # Ray Train has changed to its own folder
        own = replace(deepcopy(ray.get(config["job"])), learner=learner)
        if train.get_context().get_world_rank() == 0:
            report(_PLACED, fit=own.name, place=get_current_placement_group())
            queue.put(("done", run_job(own, data=data, threads=shared.threads, report=report)))
        else:
            with limited_threads(shared.threads):
                own.learner.fit(data, own.fit, own.sink, own.checkpoints, seed=own.seed, report=lambda *_, **__: None)
    except Exception as error:
        if not _is_peer_failure(error):
            queue.put(("failed", pack_error(error)))
        raise


def _is_peer_failure(error: Exception) -> bool:
    """Return whether the cause of an error is another worker that no longer answers."""
    from torch import distributed

    gone = ("Connection closed by peer", "Connection reset by peer", "gloo")
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in gone)
    )


def _is_lost(error: Exception) -> bool:
    return not isinstance(error, RuntimeError) or type(error).__module__.startswith("ray.")


def check_worker_group(gpus: float) -> None:
    """Refuse workers that Ray Train cannot connect, and a missing package that it needs beside Ray."""
    if gpus not in (0, 1):
        raise ArgumentError(
            f"num_gpus must be 0 or 1 for each of several workers, got {gpus}; use more or fewer workers"
        )
    for package in ("pandas", "fsspec", "requests"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "a fit by several workers", "ray")
