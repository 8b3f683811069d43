"""The cores and the memory that this process may use: of the machine, or less where a control group limits it.

A container is a control group. What goes beyond its memory is killed, so the memory of the machine says little there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

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
