"""One fit by several workers: Ray Train starts them and joins them, this listens to them, and starts them again.

Of Ray Train only what joins processes is used. State, progress and results go the ways of every other fit, so nothing
of a run lies in its storage; and a worker that died is told from a learner's error, as `executors/ray.py` says.
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
from unseen.engine.executors.ray_session import Message, Shared
from unseen.engine.executors.worker import packed
from unseen.errors import ArgumentError, MissingDependencyError, WorkerError

__all__ = ["Crew", "Places", "check_crew", "train_together"]

_LOOK = 1.0  # seconds between looks whether the workers are still there
_LAST = ("done", "failed")
_PLACED = "placed"


@dataclass(frozen=True)
class Crew:
    """The workers of one fit.

    Args:
        workers: how many.
        cpus: claimed for each.
        gpus: claimed for each.

    """

    workers: int
    cpus: int
    gpus: float


class Places:
    """Where the workers of fits have their place, given back when the fits end, however they do.

    Ray Train gives it back only where its controller lived on, or where Ray has a dashboard to ask about that.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._held: dict[str, Any] = {}

    def report(self, kind: str, **fields: Any) -> None:
        """Pass a report on, unless it tells of a place."""
        if kind != _PLACED:
            self._report(kind, **fields)
            return
        self._give_back(fields["fit"])  # that of workers who died
        self._held[fields["fit"]] = fields["place"]

    def give_back(self) -> None:
        """Give all places back."""
        for fit in list(self._held):
            self._give_back(fit)

    def _give_back(self, fit: str) -> None:
        from ray.util import remove_placement_group

        place = self._held.pop(fit, None)
        if place is not None:
            with suppress(Exception):  # Ray may have ended
                remove_placement_group(place)


def check_crew(gpus: float) -> None:
    """Refuse workers that Ray Train cannot join.

    Raises:
        ArgumentError: parts of a GPU, or several, for each.
        MissingDependencyError: what Ray Train needs beside Ray is not installed.

    """
    if gpus not in (0, 1):
        raise ArgumentError(
            f"num_gpus must be 0 or 1 for each of several workers, got {gpus}; use more or fewer workers"
        )
    for package in ("pandas", "fsspec", "requests"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "a fit by several workers", "ray")


def train_together(shared: Shared, job: Job, crew: Crew) -> Iterator[Message]:
    """A task of Ray that runs one job by several workers; yields what `unseen.engine.executors.ray_session.train` does.

    Where a worker dies, all begin again after the last checkpoint, up to three times, each told as `"retry"`.
    """
    import ray
    from ray.util.queue import Queue

    told = Queue(actor_options={"num_cpus": 0})
    config = {"shared": shared, "job": ray.put(job), "told": told}
    for retry in range(1, RETRIES + 2):
        attempt = _Attempt(crew, config)
        for message in attempt.messages(told):  # noqa: UP028  # Ray sends into the generator
            yield message
        if attempt.answered:
            return
        cause = attempt.cause()
        if _memory(attempt.error):
            yield "failed", packed(MemoryError(cause))
            return
        if retry <= RETRIES:
            yield "report", {"kind": "retry", "fit": job.name, "retry": retry, "of": RETRIES, "cause": cause}
    yield "failed", packed(WorkerError(f"workers of fit {job.name} died {RETRIES + 1} times, at last: {cause}. {KEPT}"))


class _Attempt:
    """One start of all workers, in a thread of its own, since Ray Train returns only when they have ended."""

    def __init__(self, crew: Crew, config: dict[str, Any]) -> None:
        self.answered = False
        self.error: BaseException | None = None
        self._thread = Thread(target=self._fit, args=(crew, config), daemon=True)
        self._thread.start()

    def _fit(self, crew: Crew, config: dict[str, Any]) -> None:
        os.environ["RAY_TRAIN_V2_ENABLED"] = "1"  # read on import; the default from Ray 2.51 on
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        claimed = {"CPU": crew.cpus, **({"GPU": crew.gpus} if crew.gpus else {})}
        scaling = ScalingConfig(num_workers=crew.workers, use_gpu=crew.gpus > 0, resources_per_worker=claimed)
        try:
            with TemporaryDirectory(prefix="unseen-") as folder:
                run = RunConfig(name="fit", storage_path=folder)
                TorchTrainer(_take_part, train_loop_config=config, scaling_config=scaling, run_config=run).fit()
        except Exception as error:
            self.error = error

    def messages(self, told: Any) -> Iterator[Message]:
        """What the workers say until they have ended; the last message comes when all is cleared away."""
        from ray.util.queue import Empty

        last: Message | None = None
        lives = True
        while lives:
            lives = self._thread.is_alive()  # asked first: what they said before their end is there after it
            with suppress(Empty):
                while True:
                    message: Message = told.get(timeout=_LOOK) if lives else told.get_nowait()
                    if message[0] not in _LAST:
                        yield message
                    elif last is None:  # where one fails, others may in their turn
                        last = message
        self.answered = last is not None
        if last is not None:
            yield last

    def cause(self) -> str:
        """Why it ended without an answer."""
        failures = getattr(self.error, "worker_failures", {})
        lost = [f"worker {rank}: {_line(error)}" for rank, error in sorted(failures.items()) if _lost(error)]
        return "; ".join(lost) or (_line(self.error) if self.error else "the workers ended without a result")


def _take_part(config: dict[str, Any]) -> None:
    """What each worker does: the fit; the first one also tells of it."""
    import ray
    from ray import train
    from ray.util import get_current_placement_group

    shared: Shared = config["shared"]
    told = config["told"]

    def report(kind: str, **fields: object) -> None:
        told.put(("report", {"kind": kind, **fields}))

    try:
        with suppress(OSError):
            os.chdir(shared.folder)  # Ray Train has gone to a folder of its own
        held: Any = ray.get(shared.learner)
        held.check()
        data: Any = ray.get(shared.data)
        own = replace(deepcopy(ray.get(config["job"])), learner=held.learner)
        if train.get_context().get_world_rank() == 0:
            report(_PLACED, fit=own.name, place=get_current_placement_group())
            told.put(("done", run_job(own, data=data, threads=shared.threads, report=report)))
        else:
            with limited_threads(shared.threads):
                own.learner.fit(data, own.fit, own.sink, own.checkpoints, seed=own.seed, report=_silent)
    except Exception as error:
        if not _of_a_peer(error):
            told.put(("failed", packed(error)))
        raise


def _of_a_peer(error: Exception) -> bool:
    """Whether another worker is the cause: it no longer answers."""
    from torch import distributed

    gone = ("Connection closed by peer", "Connection reset by peer", "gloo")
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in gone)
    )


def _lost(error: Exception) -> bool:
    return not isinstance(error, RuntimeError) or type(error).__module__.startswith("ray.")


def _memory(error: BaseException | None) -> bool:
    """Whether Ray killed a worker to save its node, which it tells of an actor in words only."""
    failures = getattr(error, "worker_failures", {})
    return any("running low on memory" in str(failure) for failure in failures.values())


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"


def _silent(kind: str, **fields: object) -> None:
    """Report to nobody."""
