"""What an executor takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy.typing as npt

from unseen.core.arrays import Arrays, IntArray
from unseen.core.exposure import Fit
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.core.threads import limited_threads

__all__ = ["Executor", "Job", "Report", "ResultSink", "run_job"]

Named = dict[str, npt.NDArray[Any]]
Report = Callable[..., None]


class ResultSink(Sink, Protocol):
    """A sink that says, in the end, what the fit yielded. Picklable, so that it can go to a worker process."""

    def result(self) -> Named:
        """What the fit yielded, as named arrays."""

    def within(self, rows: IntArray) -> ResultSink:
        """A sink for these rows of the unseen watch set only, whose `pieces` are in their order."""

    def pieces(self) -> Named:
        """The result as far as it can be said of each sample by itself, as named arrays with an entry a sample."""

    def joined(self, pieces: Arrays) -> Named:
        """The result, from the pieces of all samples."""


@dataclass(frozen=True, eq=False)
class Job:
    """One fit, who learns, where observations go, and where checkpoints are kept.

    Args:
        fit: what is trained on, and what is asked.
        sink: where observations go.
        checkpoints: where the state is kept.
        learner: who learns.
        seed: the root seed, passed on to the learner.
        name: of the fit among all those of a run of an executor; in reports, errors and events.

    """

    fit: Fit
    sink: ResultSink
    checkpoints: CheckpointStore
    learner: Learner
    seed: int
    name: str

    def __getstate__(self) -> dict[str, Any]:
        """Without the learner, which is sent to a worker once for many jobs: it may hold data for the next one."""
        return {**self.__dict__, "learner": None}


class Executor(Protocol):
    """Runs jobs, anywhere."""

    @property
    def jobs(self) -> int | None:
        """Fits at a time; None for as many as there is room for."""

    @property
    def threads(self) -> int:
        """For each fit: part of the recipe, since sums depend on it."""

    @property
    def workers(self) -> int:
        """Processes that train one model together: like the threads, sums depend on it."""

    def session(self) -> AbstractContextManager[None]:
        """Inside the block, runs share what is costly to begin. A run outside of one begins and ends it by itself."""

    def run(self, jobs: Iterable[Job], *, data: Data, report: Report) -> Generator[tuple[Job, Named], None, None]:
        """Yield each job with what its fit yielded, as they finish. Closing the generator ends the workers.

        Args:
            jobs: taken one by one, only as workers come free.
            data: what to learn from; sent to each worker once.
            report: called as `report(kind, fit=name, **fields)`, in this process: `"fit_start"` with the
                number of `samples` trained on, whatever the learner reports, and `"fit_end"` with `seconds`.

        """


def run_job(job: Job, *, data: Data, threads: int, report: Report) -> Named:
    """Run one job here. An error of the learner goes on as it is, with a note that names the fit."""

    def tell(kind: str, **fields: object) -> None:
        report(kind, fit=job.name, **fields)

    started = perf_counter()
    tell("fit_start", samples=job.fit.samples)
    try:
        with limited_threads(threads):
            job.learner.fit(data, job.fit, job.sink, job.checkpoints, seed=job.seed, report=tell)
            result = job.sink.result()
    except Exception as error:
        error.add_note(f"in fit {job.name}")
        raise
    tell("fit_end", seconds=perf_counter() - started)
    return result
