"""The connection to Ray, and what is held in its object store.

The other side of Ray: what one task does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pickle import PicklingError
from queue import SimpleQueue
from threading import Thread
from typing import Any

from unseen.core.protocols import Data, Learner
from unseen.core.threads import default_threads
from unseen.engine.executors.base import Job, run_job
from unseen.engine.executors.worker import packed
from unseen.errors import ArgumentError, WorkerError

__all__ = ["Held", "Message", "Ref", "Session", "Shared", "data_and_learner", "put", "room", "train", "whole_node"]


Ref = Any  # ray.ObjectRef
Resources = dict[str, float]

HELD = 2  # data sets: verbs score one, and test on another


class Session:
    """Ray, from the first run that needs it to `close`.

    Args:
        address: of a cluster, or None; see `RayExecutor`.

    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._stack = ExitStack()
        self._cpus = 0.0
        self._data: list[tuple[Data, Ref]] = []

    def connect(self, cpus: int) -> None:
        """Be connected; a Ray of our own has at least so many CPUs, and is started anew if it has fewer."""
        if self._cpus < cpus:
            self.close()
            self._cpus = self._stack.enter_context(_connected(self._address, cpus))

    def hold(self, data: Data) -> Ref:
        """Where the data set is held: put there once, as long as no two others come after it."""
        for known, ref in self._data:
            if known is data:
                return ref
        self._data = [*self._data[1 - HELD :], (data, put(data, "the data set"))]
        return self._data[-1][1]

    def close(self) -> None:
        """Let go of what is held, and end what was begun here."""
        self._data.clear()
        self._cpus = 0.0
        self._stack.close()


def put(value: object, name: str) -> Ref:
    """Put a value in the object store; `name` is what messages call it."""
    import ray
    from ray import exceptions as e

    try:
        return ray.put(value)
    except (PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(f"with executor='ray', {name} must be picklable: {error}") from error
    except (e.ObjectStoreFullError, e.OutOfDiskError) as error:
        raise WorkerError(no_space(name)) from error


def no_space(name: str) -> str:
    """What to do where the object store is full, and the disk to which it spills."""
    return (
        f"{name} does not fit into the object store of Ray, nor on the disk to which it spills. Put the data in files "
        "(a folder of images, .npy files, parquet shards), which workers open by name; or start Ray with a larger "
        "store (`ray start --object-store-memory BYTES`, or `ray.init(object_store_memory=...)` before the call) and "
        "free its disk"
    )


def room(cpus: int, gpus: float, workers: int = 1) -> int:
    """Fits by so many workers of this size for which the nodes have room at the same time.

    Raises:
        ArgumentError: for none.

    """
    nodes = _nodes()
    found = sum(_room_on(node, cpus, gpus) for node in nodes)
    if 0 < found < workers:
        raise ArgumentError(
            f"the Ray cluster has room for {found} of the {workers} workers of a fit, of {cpus} CPUs and {gpus} GPUs "
            f"each: it has {'; '.join(_told(node) for node in nodes)}; use fewer workers, or fewer threads"
        )
    if found == 0:
        raise ArgumentError(
            f"no node of the Ray cluster has room for a fit of {cpus} CPUs and {gpus} GPUs: it has "
            f"{'; '.join(_told(node) for node in nodes)}; use fewer threads, or num_gpus=0"
        )
    return found // workers


def whole_node(gpus: float) -> int:
    """The CPUs of the largest node that has these GPUs."""
    return int(max(node.get("CPU", 0) for node in _nodes() if node.get("GPU", 0) >= gpus))


def _nodes() -> list[Resources]:
    import ray

    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in known if node["Alive"]]


def _room_on(node: Resources, cpus: int, gpus: float) -> int:
    by_cpu = int(node.get("CPU", 0) // cpus)
    return by_cpu if gpus == 0 else min(by_cpu, int(node.get("GPU", 0) / gpus + 1e-9))  # ten parts of 0.1 are one


def _told(node: Resources) -> str:
    return f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs"


@contextmanager
def _connected(address: str | None, cpus: int) -> Iterator[float]:
    """Ray as it is, connected to, or started here: then it is ended here too. Yields how many CPUs it may have."""
    import ray

    if ray.is_initialized():
        if address is not None:
            raise ArgumentError(f"address must be left out, got {address!r}: this process is connected to Ray already")
        yield float("inf")
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    # Its notices would break up our display. As in a pool of our own, more threads may be asked for than processors.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    most = float("inf")
    if address == "local":
        most = max(default_threads(), cpus)
        options |= {"num_cpus": most, "include_dashboard": False}
    try:
        try:
            with _unwatched():
                ray.init(address=address, **options)
        except ConnectionError as error:
            raise WorkerError(f"no Ray cluster answers at the address {address!r}: {error}") from error
        yield most
    finally:
        ray.shutdown()


@contextmanager
def _unwatched() -> Iterator[None]:
    """Start Ray without reports of usage to its makers, unless the user has decided."""
    name = "RAY_USAGE_STATS_ENABLED"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


Message = tuple[str, Any]


@dataclass(frozen=True)
class Held:
    """A learner as it is held in the object store, and what it says of itself in the driver."""

    learner: Learner
    about: dict[str, Any]

    def check(self) -> None:
        """Refuse a worker in which the learner would make other numbers, such as on another device."""
        here = self.learner.describe()
        if here != self.about:
            differ = [f"{k}: {self.about.get(k)!r} in the driver, {here.get(k)!r} here"
                      for k in sorted({*self.about, *here}) if self.about.get(k) != here.get(k)]  # fmt: skip
            raise WorkerError(
                f"the learner is not the same in a worker of Ray as in the driver ({'; '.join(differ)}): the numbers "
                "would not be those of the manifest. For a GPU give num_gpus and a driver that has one; all nodes "
                "need the same packages"
            )


@dataclass(frozen=True)
class Shared:
    """What tasks have in common.

    Args:
        data: where the data set is held.
        learner: where the learner is held, as `Held`.
        threads: for each fit.
        folder: the driver's working directory, which paths of data and checkpoints may start from.

    """

    data: Ref
    learner: Ref
    threads: int
    folder: str


# What this worker process had last, by where it is held: Ray uses a process for many tasks, and a learner may hold
# decoded data for its next fit, as it may in a worker of the local pool.
_last: dict[str, tuple[str, Any]] = {}


def train(shared: Shared, job: Job) -> Iterator[Message]:
    """Run one job, yielding `("report", fields)` as it goes on, and at last `("done", result)` or `("failed", ...)`.

    The fit has a thread of its own, since it calls back where a task has to yield.
    """
    messages: SimpleQueue[Message | None] = SimpleQueue()
    Thread(target=_work, args=(shared, job, messages), name=job.name, daemon=True).start()
    while (message := messages.get()) is not None:  # Ray sends into the generator, which `yield from` would pass on
        yield message


def _work(shared: Shared, job: Job, messages: SimpleQueue[Message | None]) -> None:
    def report(kind: str, **fields: object) -> None:
        messages.put(("report", {"kind": kind, **fields}))

    try:
        data, learner = data_and_learner(shared)
        # Arrays come read-only out of the object store, and a sink writes to its own.
        own = replace(deepcopy(job), learner=learner)
        messages.put(("done", run_job(own, data=data, threads=shared.threads, report=report)))
    except Exception as error:
        messages.put(("failed", packed(error)))
    finally:
        messages.put(None)


def data_and_learner(shared: Shared) -> tuple[Data, Learner]:
    """Both as this worker has them; paths start from the driver's folder."""
    with suppress(OSError):  # of a node that does not have it, absolute paths are asked for
        os.chdir(shared.folder)
    data: Data = _held("data", shared.data)
    held: Held = _held("learner", shared.learner)
    held.check()
    return data, held.learner


def _held(kind: str, ref: Ref) -> Any:
    import ray

    name = ref.hex()
    if _last.get(kind, ("",))[0] != name:
        _last.pop(kind, None)  # first, so that memory does not hold both
        _last[kind] = (name, ray.get(ref))
    return _last[kind][1]
