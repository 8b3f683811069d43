"""Jobs as tasks of Ray: the connection and its object store, the task that runs a job, and the scheduler of tasks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pickle import PicklingError
from queue import SimpleQueue
from threading import Thread
from typing import Any

from unseen.core.arrays import Named
from unseen.core.machine import count_cores, environment
from unseen.core.protocols import Data, Learner
from unseen.engine.executors import Job, Report, run_job
from unseen.engine.executors.pool import pack_error, rebuild_error
from unseen.errors import ArgumentError, WorkerError

Ref = Any  # ray.ObjectRef
Resources = dict[str, float]
Message = tuple[str, Any]

_USAGE = "RAY_USAGE_STATS_ENABLED"  # of the usage reports of Ray, which are made only where the user asks for them
HELD = 2  # data sets in the store at a time: verbs score one and test on another


class Session:
    """The connection to Ray, from the first run that needs it until `close`; for the address see `RayExecutor`."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._stack = ExitStack()
        self._cpus = 0.0
        self._data: list[tuple[Data, Ref]] = []

    def connect(self, cpus: int) -> None:
        """Connect to Ray; start a Ray of this session anew if it has fewer CPUs than `cpus`."""
        if self._cpus < cpus:
            self.close()
            self._cpus = self._stack.enter_context(_connect(self._address, cpus))

    def hold(self, data: Data) -> Ref:
        """Put the data set in the store and return its reference; the last two data sets stay there."""
        for known, ref in self._data:
            if known is data:
                return ref
        self._data = [*self._data[1 - HELD :], (data, put(data, "the data set"))]
        return self._data[-1][1]

    def close(self) -> None:
        """Release the data sets, and end a Ray that was started here."""
        self._data.clear()
        self._cpus = 0.0
        self._stack.close()


def put(value: object, name: str) -> Ref:
    """Put a value in the object store; `name` is its name in messages."""
    import ray
    from ray import exceptions as e

    try:
        return ray.put(value)
    except (PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(f"with executor='ray', {name} must be picklable: {error}") from error
    except (e.ObjectStoreFullError, e.OutOfDiskError) as error:
        raise WorkerError(no_space(name)) from error


def no_space(name: str) -> str:
    """Return the message for a full object store, where the disk to which it spills is full too."""
    return (
        f"{name} does not fit into the object store of Ray, nor on the disk to which it spills. Put the data in files "
        "(a folder of images, .npy files, parquet shards), which workers open by name; or start Ray with a larger "
        "store (`ray start --object-store-memory BYTES`, or `ray.init(object_store_memory=...)` before the call) and "
        "free its disk"
    )


def room(cpus: int, gpus: float, workers: int = 1) -> int:
    """Count the fits of `workers` workers of this size that the nodes have room for; refuse room for none."""
    nodes = _nodes()
    found = sum(_room_on(node, cpus, gpus) for node in nodes)
    has = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
    if 0 < found < workers:
        raise ArgumentError(
            f"the Ray cluster has room for {found} of the {workers} workers of a fit, of {cpus} CPUs and {gpus} GPUs "
            f"each: it has {has}; use fewer workers, or fewer threads"
        )
    if found == 0:
        raise ArgumentError(
            f"no node of the Ray cluster has room for a fit of {cpus} CPUs and {gpus} GPUs: it has {has}; use fewer "
            "threads, or num_gpus=0"
        )
    return found // workers


def whole_node(gpus: float) -> int:
    """Return the CPUs of the largest node that has these GPUs."""
    return int(max(node.get("CPU", 0) for node in _nodes() if node.get("GPU", 0) >= gpus))


def _nodes() -> list[Resources]:
    import ray

    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in known if node["Alive"]]


def _room_on(node: Resources, cpus: int, gpus: float) -> int:
    by_cpu = int(node.get("CPU", 0) // cpus)
    return by_cpu if gpus == 0 else min(by_cpu, int(node.get("GPU", 0) / gpus + 1e-9))  # ten parts of 0.1 are one


@contextmanager
def _connect(address: str | None, cpus: int) -> Iterator[float]:
    """Use the running Ray, connect to one, or start one; yield how many CPUs it may have, and disconnect at the end."""
    import ray

    if ray.is_initialized():
        if address is not None:
            raise ArgumentError(f"address must be left out, got {address!r}: this process is connected to Ray already")
        yield float("inf")
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    # The notices of Ray would disturb the display. As in the local pool, there may be more threads than processors.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    most = float("inf")
    if address == "local":
        most = max(count_cores(), cpus)
        options |= {"num_cpus": most, "include_dashboard": False}
    try:
        try:
            with environment({} if _USAGE in os.environ else {_USAGE: "0"}):
                ray.init(address=address, **options)
        except ConnectionError as error:
            raise WorkerError(f"no Ray cluster answers at the address {address!r}: {error}") from error
        yield most
    finally:
        ray.shutdown()


# ---- the task that runs one job ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharedLearner:
    """A learner in the object store, with its description in the driver."""

    learner: Learner
    about: dict[str, Any]

    def check(self) -> None:
        """Refuse a worker in which the learner would give other numbers, such as on another device."""
        there, here = self.about, self.learner.describe()
        if here != there:
            names = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
            differ = [f"{name}: {there.get(name)!r} in the driver, {here.get(name)!r} here" for name in names]
            raise WorkerError(
                f"the learner is not the same in a worker of Ray as in the driver ({'; '.join(differ)}): the numbers "
                "would not be those of the manifest. For a GPU give num_gpus and a driver that has one; all nodes "
                "need the same packages"
            )


@dataclass(frozen=True)
class TaskContext:
    """The context that the tasks of a run share."""

    data: Ref  # the reference of the data set
    learner: Ref  # the reference of the `SharedLearner`
    threads: int  # the number of threads for each fit
    folder: str  # the driver's working directory, where relative paths of data and checkpoints start


# The last data set and learner of this worker process, with their references. Ray uses a process for many tasks, and a
# learner may hold decoded data for its next fit, as in a worker of the local pool.
_last: dict[str, tuple[str, Any]] = {}


def train(shared: TaskContext, job: Job) -> Iterator[Message]:
    """Run one job as a task; yield `("report", fields)` on the way, then `("done", result)` or `("failed", ...)`.

    The fit runs in its own thread, because it reports by calls, but a task has to yield.
    """
    messages: SimpleQueue[Message | None] = SimpleQueue()
    Thread(target=_work, args=(shared, job, messages), name=job.name, daemon=True).start()
    while (message := messages.get()) is not None:  # not `yield from`, which would pass on what Ray sends
        yield message


def _work(shared: TaskContext, job: Job, messages: SimpleQueue[Message | None]) -> None:
    def report(kind: str, **fields: object) -> None:
        messages.put(("report", {"kind": kind, **fields}))

    try:
        data, learner = data_and_learner(shared)
        # Arrays from the object store are read-only, but a sink writes to its arrays.
        own = replace(deepcopy(job), learner=learner)
        messages.put(("done", run_job(own, data=data, threads=shared.threads, report=report)))
    except Exception as error:
        messages.put(("failed", pack_error(error)))
    finally:
        messages.put(None)


def data_and_learner(shared: TaskContext) -> tuple[Data, Learner]:
    """Return the data set and the learner in this worker; relative paths start from the driver's folder."""
    with suppress(OSError):  # a node without this folder needs absolute paths
        os.chdir(shared.folder)
    data: Data = _get_object("data", shared.data)
    shared_learner: SharedLearner = _get_object("learner", shared.learner)
    shared_learner.check()
    return data, shared_learner.learner


def _get_object(kind: str, ref: Ref) -> Any:
    import ray

    name = ref.hex()
    if _last.get(kind, ("",))[0] != name:
        _last.pop(kind, None)  # first, so that memory never holds two
        _last[kind] = (name, ray.get(ref))
    return _last[kind][1]


# ---- the scheduler of tasks ----------------------------------------------------------------------------------------

Stream = Any  # ray.ObjectRefGenerator
Submit = Callable[[Job, bool], Stream]

RETRIES = 3  # how often a fit whose worker died starts again
LOOK = 10.0  # seconds without a message, after which the scheduler checks that there is still room for a fit
KEPT = "Repeat the command with the same --out to go on: finished fits and epochs are kept"


@dataclass(frozen=True, eq=False)
class _RunningFit:
    job: Job
    retries: int = 0  # how often it started again
    alone: bool = False  # whether it has claimed a whole node


@dataclass(eq=False)
class TaskScheduler:
    """Runs up to `room` tasks at a time, and cancels all of them when the loop over `run` is left."""

    submit: Submit  # starts a job, on a whole node where the flag is set; returns the stream of its messages
    room: int  # the number of tasks at a time
    look: Callable[[], object]  # called when no message comes; raises where no node has room left
    _under_way: dict[Stream, _RunningFit] = field(default_factory=dict, init=False)

    def run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, Named]]:
        """Yield results as they come; take no more jobs from `jobs` than there is room for."""
        try:
            while self._feed(jobs):
                stream = self._wait_for_message()
                job = self._under_way[stream].job
                result = self._take(stream, report)
                if result is not None:
                    self._feed(jobs)  # before the result is kept, so that no worker waits for that
                    yield job, result
        finally:
            self._stop()

    def _feed(self, jobs: Iterator[Job]) -> bool:
        """Submit jobs as long as there is room, and return whether any is running."""
        while len(self._under_way) < self.room and (job := next(jobs, None)) is not None:
            self._under_way[self.submit(job, False)] = _RunningFit(job)
        return bool(self._under_way)

    def _wait_for_message(self) -> Stream:
        """Wait for a task that has sent a message, and return its stream."""
        import ray

        while True:
            ready, _ = ray.wait(list(self._under_way), num_returns=1, timeout=LOOK)
            if ready:
                return ready[0]
            self.look()

    def _take(self, stream: Stream, report: Report) -> Named | None:
        """Read one message: pass progress on, return a result, or handle an error or the death of the worker."""
        import ray
        from ray import exceptions as e

        try:
            kind, content = ray.get(next(stream))
        except (e.RayError, StopIteration) as error:
            self._handle_death(self._under_way.pop(stream), error, report)
            return None
        if kind == "report":
            report(content.pop("kind"), **content)
            return None
        fit = self._under_way.pop(stream)
        if kind == "failed":
            failure = rebuild_error(*content)
            if not _is_out_of_memory(failure):
                raise failure
            self._handle_out_of_memory(fit, failure, report)
            return None
        result: Named = content
        return result

    def _handle_death(self, fit: _RunningFit, error: Exception, report: Report) -> None:
        """Start a fit again whose worker died, unless it would only fail again."""
        from ray import exceptions as e

        name = fit.job.name
        if isinstance(error, e.OutOfMemoryError):  # the node ran out of memory, and Ray killed the worker
            self._handle_out_of_memory(fit, error, report)
        elif isinstance(error, e.ObjectStoreFullError | e.OutOfDiskError):
            raise WorkerError(f"fit {name}: {no_space('what it yields')}. {KEPT}") from error
        elif not isinstance(error, e.WorkerCrashedError | e.NodeDiedError | e.ObjectLostError | StopIteration):
            raise WorkerError(f"Ray could not run fit {name}: {error}") from error  # such as for a missing package
        elif fit.retries == RETRIES:
            raise WorkerError(
                f"the worker of fit {name} died {RETRIES + 1} times, at last by {cause(error)}. {KEPT}. If "
                "memory ran out, use fewer jobs at a time or a smaller batch"
            ) from error
        else:
            self._start_again(fit, fit.alone, cause(error), report)

    def _handle_out_of_memory(self, fit: _RunningFit, error: Exception, report: Report) -> None:
        """Start a fit again alone on a node if others ran beside it; alone, it would run out of memory again."""
        if fit.alone or not self._under_way or fit.retries == RETRIES:
            raise WorkerError(_explain_out_of_memory(fit.job, error)) from error
        self._start_again(fit, True, f"{cause(error)}; now alone on a node", report)

    def _start_again(self, fit: _RunningFit, alone: bool, cause: str, report: Report) -> None:
        again = replace(fit, retries=fit.retries + 1, alone=alone)
        self._under_way[self.submit(fit.job, alone)] = again
        report("retry", fit=fit.job.name, retry=again.retries, of=RETRIES, cause=cause)

    def _stop(self) -> None:
        """Cancel the running tasks.

        A task that has sent its last message is left alone, because Ray (up to 2.60 at least) ends the driver when a
        task is cancelled that is just ending ("tried to complete task that was not pending").
        """
        import ray

        for stream in self._under_way:
            with suppress(Exception):  # the task or Ray itself may have ended
                if not _has_ended(stream):
                    ray.cancel(stream, force=True)
        self._under_way.clear()


def _has_ended(stream: Stream) -> bool:
    """Return whether the last message of a task has come; raise the error of a task that died."""
    import ray

    while ray.wait([stream], timeout=0)[0]:
        kind, _ = ray.get(next(stream))
        if kind != "report":
            return True
    return False


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out: in Python, on CUDA, or in torch on the CPU."""
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return on_cpu or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _explain_out_of_memory(job: Job, error: Exception) -> str:
    batch = job.learner.batch_size
    size = f" in batches of {batch}" if batch else ""
    change = f"a smaller batch (batch_size={max(1, batch // 2)})" if batch else "a learner that needs less of it"
    return (
        f"fit {job.name}, a training on {job.fit.samples:,} samples{size}, ran out of memory with no other fit beside "
        f"it: {cause(error)}. It was not tried again, since it would run out of it again. Use {change}, which is "
        "another recipe and needs another --out; data in files rather than arrays; or machines with more memory"
    )


def cause(error: BaseException) -> str:
    """Describe an error in one line."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
