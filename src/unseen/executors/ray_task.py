"""The other side of Ray: what one task does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Thread
from typing import Any

from unseen.errors import WorkerError
from unseen.executors.base import Job, run_job
from unseen.executors.worker import packed
from unseen.protocols import Data, Learner

__all__ = ["Held", "Message", "Shared", "data_and_learner", "train"]

Message = tuple[str, Any]
Ref = Any  # ray.ObjectRef


@dataclass(frozen=True)
class Held:
    """A learner as it is held in the object store, and what it says of itself in the driver."""

    learner: Learner
    about: dict[str, Any]

    def check(self) -> None:
        """Refuse a worker in which the learner would make other numbers, such as on another device."""
        here = self.learner.describe()
        if here != self.about:
            differ = [f"{k}: {self.about.get(k)!r} in the driver, {here.get(k)!r} here"
                      for k in sorted({*self.about, *here}) if self.about.get(k) != here.get(k)]  # fmt: skip
            raise WorkerError(
                f"the learner is not the same in a worker of Ray as in the driver ({'; '.join(differ)}): the numbers "
                "would not be those of the manifest. For a GPU give num_gpus and a driver that has one; all nodes "
                "need the same packages"
            )


@dataclass(frozen=True)
class Shared:
    """What tasks have in common.

    Args:
        data: where the data set is held.
        learner: where the learner is held, as `Held`.
        threads: for each fit.
        folder: the driver's working directory, which paths of data and checkpoints may start from.

    """

    data: Ref
    learner: Ref
    threads: int
    folder: str


# What this worker process had last, by where it is held: Ray uses a process for many tasks, and a learner may hold
# decoded data for its next fit, as it may in a worker of the local pool.
_last: dict[str, tuple[str, Any]] = {}


def train(shared: Shared, job: Job) -> Iterator[Message]:
    """Run one job, yielding `("report", fields)` as it goes on, and at last `("done", result)` or `("failed", ...)`.

    The fit has a thread of its own, since it calls back where a task has to yield.
    """
    messages: SimpleQueue[Message | None] = SimpleQueue()
    Thread(target=_work, args=(shared, job, messages), name=job.name, daemon=True).start()
    while (message := messages.get()) is not None:  # Ray sends into the generator, which `yield from` would pass on
        yield message


def _work(shared: Shared, job: Job, messages: SimpleQueue[Message | None]) -> None:
    def report(kind: str, **fields: object) -> None:
        messages.put(("report", {"kind": kind, **fields}))

    try:
        data, learner = data_and_learner(shared)
        # Arrays come read-only out of the object store, and a sink writes to its own.
        own = replace(deepcopy(job), learner=learner)
        messages.put(("done", run_job(own, data=data, threads=shared.threads, report=report)))
    except Exception as error:
        messages.put(("failed", packed(error)))
    finally:
        messages.put(None)


def data_and_learner(shared: Shared) -> tuple[Data, Learner]:
    """Both as this worker has them; paths start from the driver's folder."""
    with suppress(OSError):  # of a node that does not have it, absolute paths are asked for
        os.chdir(shared.folder)
    data: Data = _held("data", shared.data)
    held: Held = _held("learner", shared.learner)
    held.check()
    return data, held.learner


def _held(kind: str, ref: Ref) -> Any:
    import ray

    name = ref.hex()
    if _last.get(kind, ("",))[0] != name:
        _last.pop(kind, None)  # first, so that memory does not hold both
        _last[kind] = (name, ray.get(ref))
    return _last[kind][1]
