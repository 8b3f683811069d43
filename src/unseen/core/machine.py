"""What this process may use of the machine: its cores, memory and threads, and loops that use the threads.

Where a control group, such as a container, limits the process, its limits count: a process that takes more memory is
killed. The result of a floating-point sum depends on the number of threads, so that number is always set explicitly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from itertools import count, islice
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

# ---- cores and memory ------------------------------------------------------------------------------------------------

_MEMBERSHIP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_QUOTA = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))  # files of version 2 and of version 1
_MEMORY = (  # limit, usage, and the part of the usage that is files, which make room
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def count_cores() -> int:
    """Count the cores that this process may use: the smaller of its affinity and its cgroup's quota, at least 1.

    A quota of part of a core counts as none of it: threads beyond the quota wait for the next period.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([usable, *_read_quotas()])))


def total_memory() -> int:
    """Return the bytes of memory of this machine, or of its control group; 8 GiB where the system says neither."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        total = 8 << 30
    return min([total, *(limit for limit, _ in _read_memory())])


def free_memory() -> int:
    """Return the bytes of memory that are free for this process; half of the total where the system does not say."""
    free = total_memory() // 2
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return max(0, min([free, *(limit - used for limit, used in _read_memory())]))


def _read_quotas() -> Iterator[float]:
    """Yield the quota, in cores, of each control group that has one."""
    for folder in _find_groups("cpu"):
        for names in _QUOTA:
            with suppress(OSError, ValueError):  # no such file, or "max": no limit
                quota, period = map(int, " ".join((folder / name).read_text() for name in names).split())
                if quota > 0 and period > 0:  # -1: no limit
                    yield quota / period


def _read_memory() -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that has one, and what is used of it, in bytes."""
    for folder in _find_groups("memory"):
        for limit, usage, files in _MEMORY:
            with suppress(OSError, ValueError):  # no such file, or "max": no limit
                most, used = (int((folder / name).read_text()) for name in (limit, usage))
                entries = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield most, used - int(entries.get(files, 0))


def _find_groups(controller: str) -> Iterator[Path]:
    """Yield the folder of each control group around this process, of version 1 or 2; Linux only."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if number == "0" and not controllers:  # version 2
            root = _GROUPS
        elif controller in controllers.split(","):
            root = _GROUPS / controller
        else:
            continue
        inside = PurePosixPath(place.lstrip("/"))
        # The limits of all parents hold, too. In a container the path may be the host's, where only the root is seen.
        for folder in (inside, *inside.parents):
            yield root / folder


# ---- threads ---------------------------------------------------------------------------------------------------------

T = TypeVar("T")
R = TypeVar("R")
_allowed: ContextVar[int | None] = ContextVar("allowed", default=None)

# Read by the libraries when they are loaded, which may happen inside the first fit.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SPINS = "1000"  # of GNU's OpenMP, whose default is 300,000


def default_threads(jobs: int = 1) -> int:
    """Divide the cores among concurrent jobs; at least 1 thread each, and at most `OMP_NUM_THREADS` where it is set."""
    # A list, such as "4,2", is for nested regions; the first is for the outermost.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    most = int(asked) if asked.isdecimal() and int(asked) else sys.maxsize  # OpenMP ignores anything else, too
    return min(max(1, count_cores() // jobs), most)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the block, and restore them at its end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def short_spins() -> Iterator[None]:
    """Let an OpenMP library that is loaded inside the block have threads that soon sleep while they wait.

    By default they spin for long. Beside other busy processes that made a step of a small network on two threads up to
    fifteen times slower than on one, and gradient boosting fifty times; a short spin costs nothing on a quiet machine
    and little on a busy one. OpenMP reads its setting once, when it is loaded. A setting of the user
    (`OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`) is respected.
    """
    own = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    with environment({} if own else {"GOMP_SPINCOUNT": SPINS}):
        yield


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit OpenMP, BLAS and, if it is loaded, torch to this many threads inside the block."""
    allowed = _allowed.set(threads)
    torch_before = _set_torch(threads)
    try:
        with environment(dict.fromkeys(_VARIABLES, str(threads))), threadpool_limits(limits=threads):
            yield
    finally:
        _allowed.reset(allowed)
        if torch_before is not None:
            _set_torch(torch_before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread inside the block; `for_each` still uses all threads that are allowed.

    So the results of BLAS do not depend on the number of threads. Several large products side by side, with one thread
    each, take as long as one after another with several threads, and all other work is faster.
    """
    with threadpool_limits(limits=1):
        yield


def for_each(work: Callable[[T], None], parts: Iterable[T]) -> None:
    """Call `work` on every part, in as many threads as are allowed here. Parts must not depend on each other.

    Outside `limited_threads`, the number of threads is the number of processors; inside `work`, it is one. Threads
    help where most of the work is in calls that release the interpreter lock, such as those of NumPy. A thread that is
    done takes the next part. So parts may be made lazily (read from a disk, say): the iterable is advanced by one
    thread at a time, in order, while other threads work.

    If several parts raise, in the work or in the iterable, the error of the first part is raised. Later parts may then
    be skipped.
    """
    threads = min(_allowed_threads(), len(parts)) if isinstance(parts, Sized) else _allowed_threads()
    if threads < 2:
        for part in parts:
            work(part)
        return
    source, places, taking, stopped = iter(parts), count(), Lock(), Event()
    errors: dict[int, BaseException] = {}  # by the position of the part

    def work_until_done() -> None:
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
            for each in [_submit(pool, work_until_done) for _ in range(threads)]:
                each.result()
        finally:
            stopped.set()  # after an interrupt, too, no further part is begun
    if errors:
        raise errors[min(errors)]


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and compute the next one in another thread while the caller works on the present one.

    If only one thread is allowed here, the calling thread does both. The caller may advance the iterator from another
    thread than before.
    """
    return iter(items) if _allowed_threads() < 2 else _ahead(iter(items))


def _ahead(source: Iterator[T]) -> Iterator[T]:
    def take_one() -> list[T]:
        return list(islice(source, 1))

    with ThreadPoolExecutor(1) as pool:
        coming = _submit(pool, take_one)
        while item := coming.result():
            coming = _submit(pool, take_one)
            yield item[0]


def _allowed_threads() -> int:
    return _allowed.get() or default_threads()


def _submit(pool: ThreadPoolExecutor, work: Callable[[], R]) -> Future[R]:
    """Submit the work in a copy of the caller's context, in which NumPy keeps its settings for overflows."""

    def work_with_one_thread() -> R:
        _allowed.set(1)  # only in the copied context
        return work()

    return pool.submit(copy_context().run, work_with_one_thread)


def _set_torch(threads: int) -> int | None:
    """Set the number of threads of torch; return the previous one, or None if torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    before: int = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before
