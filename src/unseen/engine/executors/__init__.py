"""Executors run jobs: in this process, in worker processes or on Ray.

A job is a fit with its learner and an opaque sink for observations. An executor does not know the scores. `resolve`
makes an executor of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unseen.core.registry import parse_spec
from unseen.core.threads import default_threads
from unseen.engine.executors.base import Executor, Job, ResultSink
from unseen.engine.executors.local import LocalExecutor
from unseen.errors import ArgumentError, UnknownNameError

if TYPE_CHECKING:
    from unseen.engine.executors.ray import RayExecutor

__all__ = ["Executor", "Job", "LocalExecutor", "RayExecutor", "ResultSink", "default_threads", "resolve"]

_OPTIONS = {"local": (), "ray": ("address", "num_gpus", "workers")}


def __getattr__(name: str) -> Any:
    if name == "RayExecutor":  # loaded by those who use it
        from unseen.engine.executors.ray import RayExecutor

        return RayExecutor
    raise AttributeError(f"module 'unseen.engine.executors' has no attribute {name!r}")


def resolve(executor: str | Executor, *, jobs: int | None = None, threads: int | None = None) -> Executor:
    """Return the executor of a name, or an executor as it is.

    Args:
        executor: `"local"`, `"ray"`, `"ray:address=host:port,num_gpus=0.5"`, `"ray:workers=2"` for two processes that
            train each model together, or an `Executor`.
        jobs: the number of fits at a time; by default 1 locally, and with Ray as many as there is room for.
        threads: the number of threads for each fit.

    Raises:
        ArgumentError: jobs or threads are given beside an executor that has its own, or an option is unknown.
        UnknownNameError: there is no executor of that name.
        MissingDependencyError: Ray is not installed.

    >>> resolve("local", jobs=2, threads=1)
    LocalExecutor(jobs=2, threads=1)
    """
    if isinstance(executor, type) or not (isinstance(executor, str) or hasattr(executor, "run")):
        raise ArgumentError(f"executor must be 'local', 'ray' or an executor, got {executor!r}")
    if not isinstance(executor, str):
        if jobs is not None or threads is not None:
            raise ArgumentError(f"jobs and threads must be given to the executor, which is {executor!r}, not beside it")
        return executor
    name, options = parse_spec(executor)
    if name not in _OPTIONS:
        raise UnknownNameError("executor", name, _OPTIONS)
    for option in options:
        if option not in _OPTIONS[name]:
            has = ", ".join(_OPTIONS[name]) or "none"
            raise ArgumentError(f"the executor {name!r} has no option {option!r}; its options: {has}")
    if name == "local":
        return LocalExecutor(1 if jobs is None else jobs, threads=threads)
    from unseen.engine.executors.ray import RayExecutor

    given: dict[str, Any] = options
    return RayExecutor(jobs=jobs, threads=threads, **given)
