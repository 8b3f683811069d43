"""The other side of Ray: what one task does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any

from unseen.errors import WorkerError
from unseen.executors.base import Job, run_job
from unseen.executors.worker import Setup, packed

__all__ = ["Shared", "train"]

Message = tuple[str, Any]


@dataclass(frozen=True)
class Shared:
    """What every task has in common; put once in the object store.

    Args:
        setup: data, learner, seed and threads.
        about: what the learner says of itself in the driver; it must say the same in every worker.
        folder: the driver's working directory, which paths of data and checkpoints may start from.

    """

    setup: Setup
    about: dict[str, Any]
    folder: str

    def check(self) -> None:
        """Refuse a worker in which the learner would make other numbers, such as on another device."""
        here = self.setup.learner.describe()
        if here != self.about:
            differ = [f"{k}: {self.about.get(k)!r} in the driver, {here.get(k)!r} here"
                      for k in sorted({*self.about, *here}) if self.about.get(k) != here.get(k)]  # fmt: skip
            raise WorkerError(
                f"the learner is not the same in a worker of Ray as in the driver ({'; '.join(differ)}): the numbers "
                "would not be those of the manifest. For a GPU give num_gpus and a driver that has one; all nodes "
                "need the same packages"
            )


def train(shared: Shared, job: Job) -> Iterator[Message]:
    """Run one job, yielding `("report", fields)` as it goes on, and at last `("done", result)` or `("failed", ...)`.

    The fit has a thread of its own, since it calls back where a task has to yield.
    """
    messages: SimpleQueue[Message | None] = SimpleQueue()
    Thread(target=_work, args=(shared, job, messages), name=job.fit.name, daemon=True).start()
    while (message := messages.get()) is not None:  # Ray sends into the generator, which `yield from` would pass on
        yield message


def _work(shared: Shared, job: Job, messages: SimpleQueue[Message | None]) -> None:
    def report(kind: str, **fields: object) -> None:
        messages.put(("report", {"kind": kind, **fields}))

    setup = shared.setup
    try:
        with suppress(OSError):  # of a node that does not have it, absolute paths are asked for
            os.chdir(shared.folder)
        shared.check()
        own = deepcopy(job)  # arrays come read-only out of the object store, and a sink writes to its own
        result = run_job(
            own, data=setup.data, learner=setup.learner, seed=setup.seed, threads=setup.threads, report=report
        )
        messages.put(("done", result))
    except Exception as error:
        messages.put(("failed", packed(error)))
    finally:
        messages.put(None)
