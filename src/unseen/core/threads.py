"""How many threads a fit may use. Sums depend on it, so it is set, never left to the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from itertools import count, islice
from threading import Event, Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

__all__ = ["ahead", "default_threads", "for_each", "limited_threads", "one_thread_each"]

T = TypeVar("T")
R = TypeVar("R")
_allowed: ContextVar[int | None] = ContextVar("allowed", default=None)

# Read by the libraries when they are loaded, which may happen inside the first fit.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def default_threads(jobs: int = 1) -> int:
    """The processors that this process may use, divided by the number of concurrent jobs; at least 1.

    >>> default_threads(10_000)
    1
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // jobs)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let every numeric library use this many threads inside the block: OpenMP, BLAS, and torch if it is loaded."""
    allowed = _allowed.set(threads)
    before = {name: os.environ.get(name) for name in _VARIABLES}
    torch_before = _set_torch(threads)
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        _allowed.reset(allowed)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if torch_before is not None:
            _set_torch(torch_before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let BLAS and OpenMP use one thread inside the block, where `for_each` goes on using all that are allowed.

    So what they compute does not depend on how many those are. Large products that are made side by side are as quick
    as one after another by several threads each, and everything between them is quicker.
    """
    with threadpool_limits(limits=1):
        yield


def for_each(work: Callable[[T], None], parts: Iterable[T]) -> None:
    """Do the work on every part, which must not depend on each other, by as many threads as are allowed here.

    Outside `limited_threads` those are as many as there are processors; inside the work, one. It pays where the work
    is in calls that let other threads go on, as NumPy's are. A thread that is done takes the next part, so parts may be
    made on the way (read from a disk, say): one at a time, in order, while other threads work.

    Of several errors, in the work or in making a part, that of the first part is raised; later parts may be left out.
    """
    threads = min(_number(), len(parts)) if isinstance(parts, Sized) else _number()
    if threads < 2:
        for part in parts:
            work(part)
        return
    source, places, taking, stopped = iter(parts), count(), Lock(), Event()
    errors: dict[int, BaseException] = {}  # by the place of the part

    def some() -> None:
        place, more = -1, True
        try:
            while more and not stopped.is_set():
                with taking:
                    place = next(places)
                    taken = list(islice(source, 1))
                for part in taken:
                    work(part)
                more = bool(taken)
        except BaseException as error:
            errors[place] = error
            stopped.set()

    with ThreadPoolExecutor(threads) as pool:
        try:
            for each in [_submitted(pool, some) for _ in range(threads)]:
                each.result()
        finally:
            stopped.set()  # an interrupt, too, ends it with the parts under way
    if errors:
        raise errors[min(errors)]


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, the next of which another thread makes while this one is worked on.

    If one thread is allowed here, it does both. Whoever goes on with them may be on another.
    """
    return iter(items) if _number() < 2 else _ahead(iter(items))


def _ahead(source: Iterator[T]) -> Iterator[T]:
    def some() -> list[T]:
        return list(islice(source, 1))

    with ThreadPoolExecutor(1) as pool:
        coming = _submitted(pool, some)
        while made := coming.result():
            coming = _submitted(pool, some)
            yield made[0]


def _number() -> int:
    return _allowed.get() or default_threads()


def _submitted(pool: ThreadPoolExecutor, work: Callable[[], R]) -> Future[R]:
    """Begin it in the context of the caller, where NumPy keeps what it does about overflows."""

    def alone() -> R:
        _allowed.set(1)  # of the context, which is a copy
        return work()

    return pool.submit(copy_context().run, alone)


def _set_torch(threads: int) -> int | None:
    """Set torch's own number; returns the one before, or None where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    before: int = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before
