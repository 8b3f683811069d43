"""What an executor takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy.typing as npt

from unseen.exposure import Fit
from unseen.protocols import CheckpointStore, Data, Learner, Sink
from unseen.threads import limited_threads

__all__ = ["Executor", "Job", "Report", "ResultSink", "run_job"]

Named = dict[str, npt.NDArray[Any]]
Report = Callable[..., None]


class ResultSink(Sink, Protocol):
    """A sink that says, in the end, what the fit yielded. Picklable, so that it can go to a worker process."""

    def result(self) -> Named:
        """What the fit yielded, as named arrays."""


@dataclass(frozen=True, eq=False)
class Job:
    """One fit, where its observations go, and where it keeps its checkpoints."""

    fit: Fit
    sink: ResultSink
    checkpoints: CheckpointStore


class Executor(Protocol):
    """Runs jobs, anywhere."""

    @property
    def threads(self) -> int:
        """For each fit: part of the recipe, since sums depend on it."""

    def run(
        self, jobs: Iterable[Job], *, data: Data, learner: Learner, seed: int, report: Report
    ) -> Generator[tuple[Fit, Named], None, None]:
        """Yield each fit with what it yielded, as they finish. Closing the generator ends the workers.

        Args:
            jobs: taken one by one, only as workers come free.
            data: what to learn from; sent to each worker once.
            learner: who learns.
            seed: the root seed, passed on to the learner.
            report: called as `report(kind, fit=name, **fields)`, in this process: `"fit_start"` with the
                number of `samples` trained on, whatever the learner reports, and `"fit_end"` with `seconds`.

        """


def run_job(job: Job, *, data: Data, learner: Learner, seed: int, threads: int, report: Report) -> Named:
    """Run one job here. An error of the learner goes on as it is, with a note that names the fit."""
    name = job.fit.name

    def tell(kind: str, **fields: object) -> None:
        report(kind, fit=name, **fields)

    started = perf_counter()
    tell("fit_start", samples=job.fit.samples)
    try:
        with limited_threads(threads):
            learner.fit(data, job.fit, job.sink, job.checkpoints, seed=seed, report=tell)
            result = job.sink.result()
    except Exception as error:
        error.add_note(f"in fit {name}")
        raise
    tell("fit_end", seconds=perf_counter() - started)
    return result
