"""One fit by several workers: Ray Train starts and connects them, and a task reads their messages.

Only the part of Ray Train that connects processes is used. State, progress and results take the same ways as in every
other fit, so nothing of a run is in the storage of Ray Train. The death of a worker is distinguished from an error of
the learner, as in `executors/ray.py`, and all workers then start again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from unseen.core.threads import limited_threads
from unseen.engine.executors.base import Job, Report, run_job
from unseen.engine.executors.ray_scheduler import KEPT, RETRIES
from unseen.engine.executors.ray_session import Message, TaskContext
from unseen.engine.executors.worker import pack_error
from unseen.errors import ArgumentError, MissingDependencyError, WorkerError

_LOOK = 1.0  # seconds between checks that the workers are alive
_LAST = ("done", "failed")
_PLACED = "placed"


@dataclass(frozen=True)
class WorkerGroup:
    """The workers of one fit."""

    workers: int  # the number of workers
    cpus: int  # the CPUs claimed for each
    gpus: float  # the GPUs claimed for each


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
        self._give_back(fields["fit"])  # the group of workers that died
        self._held[fields["fit"]] = fields["place"]

    def give_back(self) -> None:
        """Remove all placement groups."""
        for fit in list(self._held):
            self._give_back(fit)

    def _give_back(self, fit: str) -> None:
        from ray.util import remove_placement_group

        place = self._held.pop(fit, None)
        if place is not None:
            with suppress(Exception):  # Ray may have ended
                remove_placement_group(place)


def check_worker_group(gpus: float) -> None:
    """Refuse workers that Ray Train cannot connect.

    Raises:
        ArgumentError: a worker has a part of a GPU, or several.
        MissingDependencyError: a package that Ray Train needs beside Ray is not installed.
    """
    if gpus not in (0, 1):
        raise ArgumentError(
            f"num_gpus must be 0 or 1 for each of several workers, got {gpus}; use more or fewer workers"
        )
    for package in ("pandas", "fsspec", "requests"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "a fit by several workers", "ray")


def train_together(shared: TaskContext, job: Job, group: WorkerGroup) -> Iterator[Message]:
    """Run one job by several workers, as a task; yield the messages of `unseen.engine.executors.ray_session.train`.

    Where a worker dies, all workers start again after the last checkpoint, up to three times. Each time is reported as
    `"retry"`.
    """
    import ray
    from ray.util.queue import Queue

    queue = Queue(actor_options={"num_cpus": 0})
    config = {"shared": shared, "job": ray.put(job), "queue": queue}
    for retry in range(1, RETRIES + 2):
        attempt = _Attempt(group, config)
        for message in attempt.messages(queue):  # noqa: UP028  # Ray sends into the generator
            yield message
        if attempt.answered:
            return
        cause = attempt.cause()
        if _was_killed_for_memory(attempt.error):
            yield "failed", pack_error(MemoryError(cause))
            return
        if retry <= RETRIES:
            yield "report", {"kind": "retry", "fit": job.name, "retry": retry, "of": RETRIES, "cause": cause}
    yield (
        "failed",
        pack_error(WorkerError(f"workers of fit {job.name} died {RETRIES + 1} times, at last: {cause}. {KEPT}")),
    )


class _Attempt:
    """One start of all workers, in its own thread, because Ray Train returns only when they have ended."""

    def __init__(self, group: WorkerGroup, config: dict[str, Any]) -> None:
        self.answered = False
        self.error: BaseException | None = None
        self._thread = Thread(target=self._fit, args=(group, config), daemon=True)
        self._thread.start()

    def _fit(self, group: WorkerGroup, config: dict[str, Any]) -> None:
        os.environ["RAY_TRAIN_V2_ENABLED"] = "1"  # read on import; the default from Ray 2.51 on
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        claimed = {"CPU": group.cpus, **({"GPU": group.gpus} if group.gpus else {})}
        scaling = ScalingConfig(num_workers=group.workers, use_gpu=group.gpus > 0, resources_per_worker=claimed)
        try:
            with TemporaryDirectory(prefix="unseen-") as folder:
                run = RunConfig(name="fit", storage_path=folder)
                TorchTrainer(_take_part, train_loop_config=config, scaling_config=scaling, run_config=run).fit()
        except Exception as error:
            self.error = error

    def messages(self, queue: Any) -> Iterator[Message]:
        """Yield the messages of the workers until these have ended; the last message comes when all is cleared."""
        from ray.util.queue import Empty

        last: Message | None = None
        lives = True
        while lives:
            lives = self._thread.is_alive()  # before the queue is read, so that no last message is missed
            with suppress(Empty):
                while True:
                    message: Message = queue.get(timeout=_LOOK) if lives else queue.get_nowait()
                    if message[0] not in _LAST:
                        yield message
                    elif last is None:  # only the first, because one failure can cause others
                        last = message
        self.answered = last is not None
        if last is not None:
            yield last

    def cause(self) -> str:
        """Describe why the workers ended without an answer."""
        failures = getattr(self.error, "worker_failures", {})
        lost = [f"worker {rank}: {_describe(error)}" for rank, error in sorted(failures.items()) if _is_lost(error)]
        return "; ".join(lost) or (_describe(self.error) if self.error else "the workers ended without a result")


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
        with suppress(OSError):
            os.chdir(shared.folder)  # Ray Train has changed to its own folder
        held: Any = ray.get(shared.learner)
        held.check()
        data: Any = ray.get(shared.data)
        own = replace(deepcopy(ray.get(config["job"])), learner=held.learner)
        if train.get_context().get_world_rank() == 0:
            report(_PLACED, fit=own.name, place=get_current_placement_group())
            queue.put(("done", run_job(own, data=data, threads=shared.threads, report=report)))
        else:
            with limited_threads(shared.threads):
                own.learner.fit(data, own.fit, own.sink, own.checkpoints, seed=own.seed, report=_ignore_report)
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


def _was_killed_for_memory(error: BaseException | None) -> bool:
    """Return whether Ray killed a worker to save its node; for an actor, only the message shows this."""
    failures = getattr(error, "worker_failures", {})
    return any("running low on memory" in str(failure) for failure in failures.values())


def _describe(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"


def _ignore_report(kind: str, **fields: object) -> None:
    """Ignore a report."""
