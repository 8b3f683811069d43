"""The other side of the pipe: what a worker process does."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from dataclasses import dataclass, replace
from multiprocessing import connection, parent_process
from threading import Thread
from typing import TYPE_CHECKING, Any

from unseen.errors import WorkerError
from unseen.executors.base import Job, run_job
from unseen.protocols import Data, Learner

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Setup", "packed", "rebuilt", "work"]


@dataclass(frozen=True)
class Setup:
    """What every job has in common; sent to each worker once."""

    data: Data
    threads: int


def work(pipe: Connection, setup: Setup) -> None:
    """Run jobs from the pipe until it closes; a learner comes before the first of its jobs, and stays for the next."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    Thread(target=_end_with_parent, daemon=True).start()
    _send(pipe, "ready", None)

    learner: Any = None  # comes with the first job
    while True:
        try:
            job, other = _received(pipe)
            learner = learner if other is None else other
            _do(replace(job, learner=learner), pipe, setup)
        except Exception as error:
            _send(pipe, "failed", packed(error))


def _do(job: Job, pipe: Connection, setup: Setup) -> None:
    def report(kind: str, **fields: object) -> None:
        _send(pipe, "report", {"kind": kind, **fields})

    _send(pipe, "done", run_job(job, data=setup.data, threads=setup.threads, report=report))


def rebuilt(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any], text: str, trace: str) -> Exception:
    """The worker's exception, with its type, message and notes; the worker's traceback is its last note."""
    error: Exception = WorkerError(f"{kind.__name__}: {text}")
    # Errors whose constructor takes other arguments than it passes on are made without it.
    for make in (_called, _bare):
        try:
            made = make(kind, args)
            if str(made) == text:
                error = made
                break
        except Exception:
            continue
    error.__dict__.update(state)
    error.add_note(f"in a worker process:\n{trace}")
    return error


def _called(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    return kind(*args)


def _bare(kind: type[Exception], args: tuple[Any, ...]) -> Exception:
    return kind.__new__(kind, *args)


def packed(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any], str, str]:
    """An error as `rebuilt` takes it; as text where its class, or something it holds, cannot be pickled."""
    text, trace = str(error), "".join(traceback.format_exception(error))
    try:
        # What `__reduce__` says are the arguments: for an OSError they hold the file name, which `args` lacks.
        args: Any = error.__reduce__()[1]
        content = (type(error), args, error.__dict__, text, trace)
        pickle.dumps(content)
    except Exception:
        text = f"{type(error).__name__}: {text}"
        return WorkerError, (text,), {"__notes__": getattr(error, "__notes__", [])}, text, trace
    return content


def _received(pipe: Connection) -> tuple[Job, Learner | None]:
    try:
        received: tuple[Job, Learner | None] = pipe.recv()
    except (EOFError, ConnectionError):
        sys.exit(0)  # no more jobs
    return received


def _send(pipe: Connection, kind: str, content: object) -> None:
    try:
        pipe.send((kind, content))
    except ConnectionError:
        sys.exit(1)  # the parent is gone or has dismissed this worker


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
