"""A fit of many models as tasks of Ray over parts of the data: one task leads, the others sum, add, solve and judge.

Each task reads its part of the data itself. Sums are added in a tree whose shape depends on the data alone, so the
numbers are equal to those of one process. The leading task receives nothing larger than the results of the samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np

from unseen.core.arrays import IntArray, Named
from unseen.core.machine import limited_threads
from unseen.core.protocols import Parts
from unseen.engine.executors import Job
from unseen.engine.executors.pool import pack_error, rebuild_error
from unseen.engine.executors.ray_tasks import RETRIES, Message, Ref, TaskContext, cause, data_and_learner
from unseen.errors import WorkerError

Summed = Sequence[Any]  # the parts of the first pass, which sums
Judged = Sequence[Sequence[IntArray]]  # the parts of the second pass, which judges
_WORTH_A_WORKER = 65_536  # samples: a fit of fewer starts no second worker ahead


@dataclass(frozen=True)
class Sizes:
    """The resources of the tasks, or of the workers, of one fit."""

    cpus: int  # the CPUs claimed for each
    gpus: float  # the GPUs claimed for each
    at_once: int  # the number of them at a time


def is_parted(job: Job) -> bool:
    """Return whether the job is a fit of many models by a learner that can work on parts of the data."""
    return job.fit.apart is not None and job.learner.in_passes


def train_in_parts(shared: TaskContext, job: Job, sizes: Sizes) -> Iterator[Message]:
    """Lead one job, as a task; yield the messages of `unseen.engine.executors.ray_tasks.train`."""
    from ray import exceptions as e

    started = perf_counter()
    yield "report", {"kind": "fit_start", "fit": job.name, "samples": job.fit.samples}
    try:
        result = yield from _Leader(shared, job, sizes).run()
    except e.ObjectLostError:
        raise  # the node is lost, and the whole fit starts again
    except Exception as error:
        error.add_note(f"in fit {job.name}")
        yield "failed", pack_error(error)
        return
    yield "report", {"kind": "fit_end", "fit": job.name, "seconds": perf_counter() - started}
    yield "done", result


@dataclass(eq=False)
class _Leader:
    """The leader of the two passes of one fit."""

    shared: TaskContext
    job: Job
    sizes: Sizes
    _job: Ref = field(init=False)
    _parts: Ref = field(init=False)

    def run(self) -> Generator[Message, None, Named]:
        """Return the result of the fit, in the order of its watch set."""
        import ray

        with suppress(OSError):
            os.chdir(self.shared.folder)
        self._job = ray.put(self.job)
        made: dict[int, Ref] = {}
        # While one worker prepares the parts, the others start and open the data.
        others = min(self.sizes.at_once, -(-self.job.fit.samples // _WORTH_A_WORKER)) - 1
        tasks = {0: (_prepare, None, self._job), **dict.fromkeys(range(1, 1 + others), (_open, None))}
        yield from self._run_each(tasks, made.__setitem__)
        parts, summed, judged = cast(tuple[Parts, Summed, Judged], ray.get(made[0]))
        self._parts = ray.put(parts)
        sums = yield from self._first_pass(parts, summed)
        yield from self._run_each({0: (_solve, self._parts, sums)}, made.__setitem__)
        return (yield from self._second_pass(judged, made[0]))

    def _first_pass(self, parts: Parts, summed: Summed) -> Generator[Message, None, Ref]:
        """Sum over all parts; return the reference of the sums."""
        import ray

        count, fan = len(summed), parts.fan
        held: dict[tuple[int, int], Ref] = {}  # the sums of nodes of the tree that are not added yet

        def arrive(level: int, node: int, sums: Ref) -> None:
            """Hold the sums of a node; add those of all children of its parent as soon as they are complete."""
            held[level, node] = sums
            parent, end = node // fan, -(-count // fan**level)
            children = [(level, child) for child in range(parent * fan, min((parent + 1) * fan, end))]
            if end > 1 and all(child in held for child in children):
                added = self._add([held.pop(child) for child in children], parent if level == 0 else None)
                arrive(level + 1, parent, added)

        todo = list(range(count))
        for group in range(-(-count // fan)):
            if (kept := self._load_kept(f"sums-{group:05}")) is not None:
                arrive(1, group, ray.put(parts.unpacked(kept)))
                todo = [part for part in todo if part // fan != group]
        tasks = {part: (_sum, self._parts, summed[part]) for part in todo}
        yield from self._run_each(tasks, partial(arrive, 0), "sums", count)
        (total,) = held.values()
        return total

    def _add(self, sums: list[Ref], group: int | None) -> Ref:
        """Add sums in a task, which keeps the sum of a group of parts; return the reference of the sum."""
        import ray

        if len(sums) == 1:
            return sums[0]
        # It claims processors as the parts do, so that it runs in a worker that is warm and waits for no new one.
        task = ray.remote(_add_sums).options(num_cpus=self.sizes.cpus, max_retries=RETRIES)
        return task.remote(self.shared, self._parts, self._job, group, *sums)

    def _second_pass(self, judged: Judged, solution: Ref) -> Generator[Message, None, Named]:
        """Judge all parts, and return the result of the fit."""
        import ray

        count = len(judged)
        results = {part: kept for part in range(count) if (kept := self._load_kept(f"judged-{part:05}")) is not None}

        def take(part: int, ref: Ref) -> None:
            found: Any = ray.get(ref)
            results[part] = found

        tasks = {
            part: (_judge, self._parts, self._job, solution, part, judged[part])
            for part in range(count)
            if part not in results
        }
        yield from self._run_each(tasks, take, "judged", count)
        watched = self.job.fit.unseen
        rows = np.concatenate([block for part in judged for block in part])
        at = np.empty(len(rows), np.int64)
        at[np.argsort(watched, kind="stable")] = np.argsort(rows, kind="stable")
        pieces = {name: np.concatenate([results[part][name] for part in range(count)])[at] for name in results[0]}
        return self.job.sink.joined(pieces)

    def _load_kept(self, name: str) -> Named | None:
        return self.job.checkpoints.part(name).load()

    def _run_each(
        self,
        tasks: Mapping[int, Sequence[Any]],
        take: Callable[[int, Ref], None],
        what: str | None = None,
        count: int = 1,
    ) -> Iterator[Message]:
        """Run tasks by number, a few at a time; raise the first error when the others are done.

        Each is a function with its arguments, as `_run_on_part` takes them. `take` gets the reference of its value.
        """
        import ray
        from ray import exceptions as e

        claimed = {"num_cpus": self.sizes.cpus, "num_gpus": self.sizes.gpus}
        remote = ray.remote(_run_on_part).options(**claimed, max_retries=0, num_returns=2)
        waiting, retries = sorted(tasks, reverse=True), dict.fromkeys(tasks, 0)
        under_way: dict[Ref, tuple[int, Ref]] = {}
        done, failed = count - len(tasks), dict[int, Exception]()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self.sizes.at_once:
                    key = waiting.pop()
                    status, value = remote.remote(self.shared, *tasks[key])
                    under_way[status] = key, value
                (status,), _ = ray.wait(list(under_way), num_returns=1)
                key, value = under_way.pop(status)
                try:
                    error = ray.get(status)
                except (e.WorkerCrashedError, e.NodeDiedError, e.OutOfMemoryError) as death:
                    retries[key] += 1
                    if retries[key] > RETRIES:
                        raise WorkerError(
                            f"the workers of part {key} of fit {self.job.name} died {retries[key]} times, at last by "
                            f"{cause(death)}. If memory ran out, use fewer jobs at a time. Repeat the command with the "
                            "same --out to go on: finished parts are kept"
                        ) from death
                    waiting.append(key)
                    yield self._report("retry", retry=retries[key], of=RETRIES, cause=f"{cause(death)}, part {key}")
                    continue
                if error is not None:
                    failed[key] = rebuild_error(*error)
                    continue
                take(key, value)
                done += 1
                if what is not None and 100 * done // count > 100 * (done - 1) // count:  # each hundredth of the pass
                    share = done / count / 2
                    yield self._report("part", part=share + 0.5 * (what == "judged"), **{what: key})
        finally:
            for status in under_way:
                with suppress(Exception):
                    ray.cancel(status, force=True)
        if failed:
            first = failed[min(failed)]
            if len(failed) > 1:
                first.add_note(f"{len(failed) - 1} more parts failed; the others are done")
            raise first

    def _report(self, kind: str, **fields: object) -> Message:
        return "report", {"kind": kind, "fit": self.job.name, **fields}


# ---- the tasks ------------------------------------------------------------------------------------------------------


def _run_on_part(shared: TaskContext, work: Callable[..., Any], parts: Any, *arguments: Any) -> tuple[Any, Any]:
    """Call `work(shared, parts, *arguments)` as a task; return the packed error, if any, and the value."""
    try:
        with limited_threads(shared.threads):
            if parts is not None:
                parts.give(data_and_learner(shared)[0])
            return None, work(shared, parts, *arguments)
    except Exception as error:
        return pack_error(error), None


def _prepare(shared: TaskContext, _: None, job: Job) -> tuple[Parts, Summed, Judged]:
    data, learner = data_and_learner(shared)
    made = learner.in_parts(data, job.fit, job.sink.wants("unseen", 1, 1), job.seed)
    return made, made.summed, made.judged


def _open(shared: TaskContext, _: None) -> None:
    """Open the data in this worker, for the tasks that follow."""
    data_and_learner(shared)


def _sum(_: TaskContext, parts: Parts, part: Any) -> Any:
    return parts.sums(part)


def _add_sums(shared: TaskContext, parts: Parts, job: Job, group: int | None, *sums: Any) -> Any:
    with suppress(OSError):
        os.chdir(shared.folder)
    total = parts.added(sums)
    if group is not None and (arrays := parts.packed(total)):
        job.checkpoints.part(f"sums-{group:05}").save(arrays)
    return total


def _solve(_: TaskContext, parts: Parts, sums: Any) -> Any:
    return parts.solved(sums)


def _judge(_: TaskContext, parts: Parts, job: Job, solution: Any, part: int, blocks: Sequence[IntArray]) -> Named:
    sink = job.sink.for_rows(np.concatenate(blocks))
    for _rows in parts.judge(blocks, solution, sink):
        pass
    result = sink.pieces()
    job.checkpoints.part(f"judged-{part:05}").save(result)
    return result
