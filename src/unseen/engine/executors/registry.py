"""`resolve`: make an executor of its name."""

from __future__ import annotations

from typing import Any

from unseen.core.registry import parse_spec
from unseen.engine.executors.base import Executor
from unseen.engine.executors.local import LocalExecutor
from unseen.engine.executors.ray import RayExecutor
from unseen.errors import ArgumentError, UnknownNameError

_RAY_OPTIONS = ("address", "num_gpus", "workers")


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
    _check(name, options)
    if name == "local":
        return LocalExecutor(1 if jobs is None else jobs, threads=threads)
    given: dict[str, Any] = options
    return RayExecutor(jobs=jobs, threads=threads, **given)


def _check(name: str, options: dict[str, object]) -> None:
    known = {"local": (), "ray": _RAY_OPTIONS}
    if name not in known:
        raise UnknownNameError("executor", name, known)
    for option in options:
        if option not in known[name]:
            has = ", ".join(known[name]) or "none"
            raise ArgumentError(f"the executor {name!r} has no option {option!r}; its options: {has}")
