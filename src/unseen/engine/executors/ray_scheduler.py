"""Tasks of Ray under way: their messages taken, dead workers replaced, all of them ended in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from unseen.engine.executors.base import Job, Report
from unseen.engine.executors.ray_session import no_space
from unseen.engine.executors.worker import rebuilt
from unseen.errors import WorkerError

__all__ = ["RETRIES", "Flights", "Stream", "cause"]

Named = dict[str, npt.NDArray[Any]]
Stream = Any  # ray.ObjectRefGenerator
Submit = Callable[[Job, bool], Stream]

RETRIES = 3  # of one fit whose worker died
LOOK = 10.0  # seconds of silence after which it is asked whether there is room left at all
KEPT = "Repeat the command with the same --out to go on: finished fits and epochs are kept"


@dataclass(frozen=True, eq=False)
class _Flight:
    """One fit under way.

    Args:
        job: the fit.
        retries: how often it was begun again.
        alone: whether it has claimed a whole node.

    """

    job: Job
    retries: int = 0
    alone: bool = False


class Flights:
    """Up to `room` tasks at a time, all cancelled on leaving the loop over `run`.

    Args:
        submit: begins a job, and gives the stream of its messages; it claims a whole node where the flag says so.
        room: tasks at a time.
        look: called after silence; raises where no node has room left.

    """

    def __init__(self, submit: Submit, room: int, look: Callable[[], object]) -> None:
        self._submit = submit
        self._room = room
        self._look = look
        self._under_way: dict[Stream, _Flight] = {}

    def run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, Named]]:
        """Yield results as they come; no more jobs are taken from `jobs` than there is room for."""
        try:
            while self._feed(jobs):
                stream = self._speaking()
                job = self._under_way[stream].job
                result = self._take(stream, report)
                if result is not None:
                    self._feed(jobs)  # first, so that no worker waits while the result is being kept
                    yield job, result
        finally:
            self._stop()

    def _feed(self, jobs: Iterator[Job]) -> bool:
        """Submit jobs as there is room; says whether any is under way."""
        while len(self._under_way) < self._room and (job := next(jobs, None)) is not None:
            self._under_way[self._submit(job, False)] = _Flight(job)
        return bool(self._under_way)

    def _speaking(self) -> Stream:
        """A task that has something to say."""
        import ray

        while True:
            ready, _ = ray.wait(list(self._under_way), num_returns=1, timeout=LOOK)
            if ready:
                return ready[0]
            self._look()

    def _take(self, stream: Stream, report: Report) -> Named | None:
        """Read one message: pass progress on, or end the flight by its result, its error or the death of its worker."""
        import ray
        from ray import exceptions as e

        try:
            kind, content = ray.get(next(stream))
        except (e.RayError, StopIteration) as error:
            self._lost(self._under_way.pop(stream), error, report)
            return None
        if kind == "report":
            report(content.pop("kind"), **content)
            return None
        flight = self._under_way.pop(stream)
        if kind == "failed":
            self._failed(flight, rebuilt(*content), report)
            return None
        result: Named = content
        return result

    def _lost(self, flight: _Flight, error: Exception, report: Report) -> None:
        """Begin a fit again whose task ended without a word of its own, unless nothing would be better then."""
        from ray import exceptions as e

        name = flight.job.name
        if isinstance(error, e.OutOfMemoryError):  # of the node: Ray has killed the worker, to save the others
            self._out_of_memory(flight, error, report)
        elif isinstance(error, e.ObjectStoreFullError | e.OutOfDiskError):
            raise WorkerError(f"fit {name}: {no_space('what it yields')}. {KEPT}") from error
        elif not isinstance(error, e.WorkerCrashedError | e.NodeDiedError | e.ObjectLostError | StopIteration):
            raise WorkerError(f"Ray could not run fit {name}: {error}") from error  # a package is not there, say
        elif flight.retries == RETRIES:
            raise WorkerError(
                f"the worker of fit {name} died {RETRIES + 1} times, at last by {cause(error)}. {KEPT}. If "
                "memory ran out, use fewer jobs at a time or a smaller batch"
            ) from error
        else:
            self._again(flight, flight.alone, cause(error), report)

    def _failed(self, flight: _Flight, error: Exception, report: Report) -> None:
        if not _memory(error):
            raise error
        self._out_of_memory(flight, error, report)

    def _out_of_memory(self, flight: _Flight, error: Exception, report: Report) -> None:
        """Begin a fit again alone on a node, if it had company there: by itself it would run out of it again."""
        if flight.alone or not self._under_way or flight.retries == RETRIES:
            raise WorkerError(_too_large(flight.job, error)) from error
        self._again(flight, True, f"{cause(error)}; now alone on a node", report)

    def _again(self, flight: _Flight, alone: bool, cause: str, report: Report) -> None:
        again = replace(flight, retries=flight.retries + 1, alone=alone)
        self._under_way[self._submit(flight.job, alone)] = again
        report("retry", fit=flight.job.name, retry=again.retries, of=RETRIES, cause=cause)

    def _stop(self) -> None:
        """Cancel what is under way.

        Not a task that has said its last word: Ray, up to 2.60 at least, ends the driver where a task that is just
        ending is cancelled ("tried to complete task that was not pending").
        """
        import ray

        for stream in self._under_way:
            with suppress(Exception):  # it may have ended, or all of Ray
                if not _has_ended(stream):
                    ray.cancel(stream, force=True)
        self._under_way.clear()


def _has_ended(stream: Stream) -> bool:
    """Whether a task's last word has come; raises where it died."""
    import ray

    while ray.wait([stream], timeout=0)[0]:
        kind, _ = ray.get(next(stream))
        if kind != "report":
            return True
    return False


def _memory(error: Exception) -> bool:
    """Whether an error says that memory ran out: Python's, that of CUDA, or of torch on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _too_large(job: Job, error: Exception) -> str:
    batch = job.learner.batch_size
    if batch is None:
        size, change = "", "a learner that needs less of it"
    else:
        size, change = f" in batches of {batch}", f"a smaller batch (batch_size={max(1, batch // 2)})"
    return (
        f"fit {job.name}, a training on {job.fit.samples:,} samples{size}, ran out of memory with no other fit beside "
        f"it: {cause(error)}. It was not tried again, since it would run out of it again. Use {change}, which is "
        "another recipe and needs another --out; data in files rather than arrays; or machines with more memory"
    )


def cause(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
