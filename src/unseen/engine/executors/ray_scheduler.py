"""The scheduler of tasks on Ray: it reads messages, starts the jobs of dead workers again, and cancels the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from unseen.engine.executors.base import Job, Report
from unseen.engine.executors.ray_session import no_space
from unseen.engine.executors.worker import rebuild_error
from unseen.errors import WorkerError

Named = dict[str, npt.NDArray[Any]]
Stream = Any  # ray.ObjectRefGenerator
Submit = Callable[[Job, bool], Stream]

RETRIES = 3  # how often a fit whose worker died starts again
LOOK = 10.0  # seconds without a message, after which the scheduler checks that there is still room for a fit
KEPT = "Repeat the command with the same --out to go on: finished fits and epochs are kept"


@dataclass(frozen=True, eq=False)
class _RunningFit:
    """A running fit."""

    job: Job  # the fit
    retries: int = 0  # how often it started again
    alone: bool = False  # whether it has claimed a whole node


class TaskScheduler:
    """Runs up to `room` tasks at a time, and cancels all of them when the loop over `run` is left.

    Args:
        submit: starts a job and returns the stream of its messages; the job claims a whole node where the flag is set.
        room: the number of tasks at a time.
        look: called when no message comes; raises where no node has room left.
    """

    def __init__(self, submit: Submit, room: int, look: Callable[[], object]) -> None:
        self._submit = submit
        self._room = room
        self._look = look
        self._under_way: dict[Stream, _RunningFit] = {}

    def run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, Named]]:
        """Yield results as they come; take no more jobs from `jobs` than there is room for."""
        try:
            while self._feed(jobs):
                stream = self._wait_for_message()
                job = self._under_way[stream].job
                result = self._take(stream, report)
                if result is not None:
                    self._feed(jobs)  # before the result is kept, so that no worker waits for that
                    yield job, result
        finally:
            self._stop()

    def _feed(self, jobs: Iterator[Job]) -> bool:
        """Submit jobs as long as there is room, and return whether any is running."""
        while len(self._under_way) < self._room and (job := next(jobs, None)) is not None:
            self._under_way[self._submit(job, False)] = _RunningFit(job)
        return bool(self._under_way)

    def _wait_for_message(self) -> Stream:
        """Wait for a task that has sent a message, and return its stream."""
        import ray

        while True:
            ready, _ = ray.wait(list(self._under_way), num_returns=1, timeout=LOOK)
            if ready:
                return ready[0]
            self._look()

    def _take(self, stream: Stream, report: Report) -> Named | None:
        """Read one message: pass progress on, return a result, or handle an error or the death of the worker."""
        import ray
        from ray import exceptions as e

        try:
            kind, content = ray.get(next(stream))
        except (e.RayError, StopIteration) as error:
            self._handle_death(self._under_way.pop(stream), error, report)
            return None
        if kind == "report":
            report(content.pop("kind"), **content)
            return None
        fit = self._under_way.pop(stream)
        if kind == "failed":
            self._handle_error(fit, rebuild_error(*content), report)
            return None
        result: Named = content
        return result

    def _handle_death(self, fit: _RunningFit, error: Exception, report: Report) -> None:
        """Start a fit again whose worker died, unless it would only fail again."""
        from ray import exceptions as e

        name = fit.job.name
        if isinstance(error, e.OutOfMemoryError):  # the node ran out of memory, and Ray killed the worker
            self._handle_out_of_memory(fit, error, report)
        elif isinstance(error, e.ObjectStoreFullError | e.OutOfDiskError):
            raise WorkerError(f"fit {name}: {no_space('what it yields')}. {KEPT}") from error
        elif not isinstance(error, e.WorkerCrashedError | e.NodeDiedError | e.ObjectLostError | StopIteration):
            raise WorkerError(f"Ray could not run fit {name}: {error}") from error  # such as for a missing package
        elif fit.retries == RETRIES:
            raise WorkerError(
                f"the worker of fit {name} died {RETRIES + 1} times, at last by {cause(error)}. {KEPT}. If "
                "memory ran out, use fewer jobs at a time or a smaller batch"
            ) from error
        else:
            self._start_again(fit, fit.alone, cause(error), report)

    def _handle_error(self, fit: _RunningFit, error: Exception, report: Report) -> None:
        if not _is_out_of_memory(error):
            raise error
        self._handle_out_of_memory(fit, error, report)

    def _handle_out_of_memory(self, fit: _RunningFit, error: Exception, report: Report) -> None:
        """Start a fit again alone on a node if others ran beside it; alone, it would run out of memory again."""
        if fit.alone or not self._under_way or fit.retries == RETRIES:
            raise WorkerError(_explain_out_of_memory(fit.job, error)) from error
        self._start_again(fit, True, f"{cause(error)}; now alone on a node", report)

    def _start_again(self, fit: _RunningFit, alone: bool, cause: str, report: Report) -> None:
        again = replace(fit, retries=fit.retries + 1, alone=alone)
        self._under_way[self._submit(fit.job, alone)] = again
        report("retry", fit=fit.job.name, retry=again.retries, of=RETRIES, cause=cause)

    def _stop(self) -> None:
        """Cancel the running tasks.

        A task that has sent its last message is left alone, because Ray (up to 2.60 at least) ends the driver when a
        task is cancelled that is just ending ("tried to complete task that was not pending").
        """
        import ray

        for stream in self._under_way:
            with suppress(Exception):  # the task or Ray itself may have ended
                if not _has_ended(stream):
                    ray.cancel(stream, force=True)
        self._under_way.clear()


def _has_ended(stream: Stream) -> bool:
    """Return whether the last message of a task has come; raise the error of a task that died."""
    import ray

    while ray.wait([stream], timeout=0)[0]:
        kind, _ = ray.get(next(stream))
        if kind != "report":
            return True
    return False


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out: in Python, on CUDA, or in torch on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _explain_out_of_memory(job: Job, error: Exception) -> str:
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
    """Describe an error in one line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
