"""How many threads a fit may use. Sums depend on it, so it is set, never left to the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["default_threads", "limited_threads"]

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
    before = {name: os.environ.get(name) for name in _VARIABLES}
    torch_before = _set_torch(threads)
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if torch_before is not None:
            _set_torch(torch_before)


def _set_torch(threads: int) -> int | None:
    """Set torch's own number; returns the one before, or None where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    before: int = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before
