"""Jobs on this machine: one after another in this process, or several at once in worker processes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.executors.base import Job, Report, run_job
from unseen.executors.pool import Pool
from unseen.protocols import Data
from unseen.threads import default_threads

__all__ = ["LocalExecutor"]


class LocalExecutor:
    """Runs `jobs` fits at a time, each with `threads` threads. The numbers depend on `threads` only.

    With more than one job, fits run in worker processes (spawned, so that neither threads nor CUDA are carried over).
    Arrays in memory are written once to a temporary file without a name, which all of them map. Workers end with the
    loop over `run`, or with the session around it; leaving the loop before its end, by whatever way, ends them at once.

    Args:
        jobs: fits at a time, at least 1.
        threads: for each fit; by default the processors divided by `jobs`.

    Raises:
        ArgumentError: a number below 1.

    >>> LocalExecutor(jobs=2, threads=1)
    LocalExecutor(jobs=2, threads=1)

    """

    workers = 1

    def __init__(self, jobs: int = 1, *, threads: int | None = None) -> None:
        for name, value in (("jobs", jobs), ("threads", threads)):
            if value is not None and value < 1:
                raise ArgumentError(f"{name} must be at least 1, got {value}")
        self.jobs = jobs
        self.threads = default_threads(jobs) if threads is None else threads
        self._pool: Pool | None = None  # of the session

    def __repr__(self) -> str:
        return f"LocalExecutor(jobs={self.jobs}, threads={self.threads})"

    @contextmanager
    def session(self) -> Iterator[None]:
        """Inside the block, all runs share the worker processes: torch is imported once, and data shared once."""
        if self.jobs == 1 or self._pool is not None:
            yield
            return
        with Pool(self.jobs) as self._pool:
            try:
                yield
            finally:
                self._pool = None

    def run(
        self, jobs: Iterable[Job], *, data: Data, report: Report
    ) -> Generator[tuple[Job, dict[str, npt.NDArray[Any]]], None, None]:
        """Yield each job with what its fit yielded, as they finish; see `Executor.run`.

        Raises:
            ArgumentError: data, a learner or a job cannot be sent to a worker process.
            WorkerError: a worker process ended; the message names its fit.

        """
        if self.jobs == 1:
            for job in jobs:
                yield job, run_job(job, data=data, threads=self.threads, report=report)
            return
        # A run inside the loop over another has workers of its own.
        warm = self._pool if self._pool and not self._pool.running else None
        with nullcontext(warm) if warm else Pool(self.jobs) as pool:
            yield from pool.run(iter(jobs), report, data=data, threads=self.threads)
