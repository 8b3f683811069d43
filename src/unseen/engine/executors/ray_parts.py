"""A fit of many models as tasks of Ray over parts of the data: one task leads, the others sum, add, solve and judge.

Each task reads its part of the data itself. Sums are added in a tree whose shape depends on the data alone, so the
numbers are equal to those of one process. The leading task receives nothing larger than the results of the samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

import numpy as np

from unseen.core.arrays import IntArray, Named
from unseen.core.protocols import Parts
from unseen.core.threads import limited_threads
from unseen.engine.executors import Job
from unseen.engine.executors.ray_tasks import RETRIES, Message, Ref, TaskContext, cause, data_and_learner
from unseen.engine.executors.worker import pack_error, rebuild_error
from unseen.errors import WorkerError

Summed = Sequence[Any]  # the parts of the first pass, which sums
Judged = Sequence[Sequence[IntArray]]  # the parts of the second pass, which judges


@dataclass(frozen=True)
class Sizes:
    """The resources of the tasks of one fit."""

    cpus: int  # the CPUs of each task
    gpus: float  # the GPUs of each task
    at_once: int  # the number of tasks at a time


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
        prepared: Any = ray.get((yield from self._run_one(_prepare, self._job)))
        parts, summed, judged = cast(tuple[Parts, Summed, Judged], prepared)
        self._parts = ray.put(parts)
        sums = yield from self._first_pass(parts, summed)
        solution = yield from self._run_one(_solve, self._parts, sums)
        return (yield from self._second_pass(judged, solution))

    def _first_pass(self, parts: Parts, summed: Summed) -> Generator[Message, None, Ref]:
        """Sum over all parts; return the reference of the sums."""
        count, fan = len(summed), parts.fan
        tree = _Tree(fan, self._add)
        kept = {group for group in range(-(-count // fan)) if self._load_kept(f"sums-{group:05}") is not None}
        todo = [part for part in range(count) if part // fan not in kept]
        arrived: dict[int, Ref] = {}
        due = iter(range(count))

        def take(part: int, ref: Ref) -> None:
            arrived[part] = ref

        steps = self._run_each(todo, lambda part: self._begin(_sum, self._parts, summed[part]), take, "sums", count)
        at = next(due, None)
        for message in steps:
            while at is not None and (at in arrived or at // fan in kept):
                at = self._push(tree, parts, at, arrived, count)
            yield message
        while at is not None:
            at = self._push(tree, parts, at, arrived, count)
        return tree.total()

    def _push(self, tree: _Tree, parts: Parts, part: int, arrived: dict[int, Ref], count: int) -> int | None:
        """Give the tree the sums of one part, or the kept sums of its whole group; return the next part."""
        import ray

        if part in arrived:
            tree.push(arrived.pop(part))
            after = part + 1
        else:
            tree.push(ray.put(parts.unpacked(self._load_kept(f"sums-{part // parts.fan:05}") or {})), level=1)
            after = (part // parts.fan + 1) * parts.fan
        return after if after < count else None

    def _add(self, sums: list[Ref], group: int | None) -> Ref:
        """Add sums in a task, which keeps the sum of a group of parts; return the reference of the sum."""
        import ray

        if len(sums) == 1:
            return sums[0]
        task = ray.remote(_add_sums).options(num_cpus=0, max_retries=RETRIES)
        return task.remote(self.shared, self._parts, self._job, group, *sums)

    def _second_pass(self, judged: Judged, solution: Ref) -> Generator[Message, None, Named]:
        """Judge all parts, and return the result of the fit."""
        import ray

        count = len(judged)
        results = {part: kept for part in range(count) if (kept := self._load_kept(f"judged-{part:05}")) is not None}

        def take(part: int, ref: Ref) -> None:
            found: Any = ray.get(ref)
            results[part] = found

        def judge(part: int) -> Any:
            return self._begin(_judge, self._parts, self._job, solution, part, judged[part])

        yield from self._run_each([part for part in range(count) if part not in results], judge, take, "judged", count)
        watched = self.job.fit.unseen
        order = np.argsort(watched, kind="stable")
        joined: Named = {}
        for part in range(count):
            rows = np.concatenate(judged[part])
            at = order[np.searchsorted(watched[order], rows)]
            for name, values in results[part].items():
                if name not in joined:
                    joined[name] = np.empty((len(watched), *values.shape[1:]), values.dtype)
                joined[name][at] = values
        return self.job.sink.joined(joined)

    def _load_kept(self, name: str) -> Named | None:
        return self.job.checkpoints.part(name).load()

    def _run_one(self, work: Callable[..., Any], *arguments: Any) -> Generator[Message, None, Ref]:
        """Run one task, and return the reference of its value."""
        made: list[Ref] = []
        yield from self._run_each([0], lambda _: self._begin(work, *arguments), lambda _, ref: made.append(ref))
        return made[0]

    def _begin(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Start a task; return the references of its error, if any, and of its value."""
        import ray

        task = ray.remote(work).options(
            num_cpus=self.sizes.cpus, num_gpus=self.sizes.gpus, max_retries=0, num_returns=2
        )
        return task.remote(self.shared, *arguments)

    def _run_each(
        self,
        keys: list[int],
        submit: Callable[[int], tuple[Ref, Ref]],
        take: Callable[[int, Ref], None],
        what: str | None = None,
        count: int = 1,
    ) -> Iterator[Message]:
        """Run the tasks of all keys, so many at a time; raise the first error when the others are done."""
        import ray
        from ray import exceptions as e

        waiting, retries = list(reversed(keys)), dict.fromkeys(keys, 0)
        under_way: dict[Ref, tuple[int, Ref]] = {}
        done, failed = count - len(keys), dict[int, Exception]()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self.sizes.at_once:
                    key = waiting.pop()
                    status, value = submit(key)
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
                if what is not None:
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


class _Tree:
    """A tree that adds sums in their order, `fan` at a time in each node; see `Parts`."""

    def __init__(self, fan: int, add: Callable[[list[Ref], int | None], Ref]) -> None:
        self._fan, self._add = fan, add
        self._levels: list[list[Ref]] = [[]]
        self._nodes = 0  # the number of nodes of the lowest level

    def push(self, sums: Ref, level: int = 0) -> None:
        """Add the sums over the next part; at level 1, over the next `fan` parts."""
        while len(self._levels) <= level + 1:
            self._levels.append([])
        if level == 1:
            self._nodes += 1
        self._levels[level].append(sums)
        if len(self._levels[level]) == self._fan:
            self._rise(level)

    def total(self) -> Ref:
        """Return the reference of the sums over all parts."""
        total: list[Ref] = []
        for level, held in enumerate(self._levels):
            nodes = held + total
            total = [self._add(nodes, self._nodes if level == 0 else None)] if nodes else []
        return total[0]

    def _rise(self, level: int) -> None:
        node = self._add(self._levels[level], self._nodes if level == 0 else None)
        self._levels[level] = []
        self.push(node, level + 1)


# ---- the tasks ------------------------------------------------------------------------------------------------------

TaskResult = tuple[Any, Any]  # the packed error, if any, and the value


def _prepare(shared: TaskContext, job: Job) -> TaskResult:
    def work(parts: None) -> tuple[Parts, Summed, Judged]:
        data, learner = data_and_learner(shared)
        wanted = job.sink.wants("unseen", 1, 1)
        made = learner.in_parts(data, job.fit, wanted, job.seed)
        return made, made.summed, made.judged

    return _run_on_part(shared, None, work)


def _sum(shared: TaskContext, parts: Parts, part: Any) -> TaskResult:
    return _run_on_part(shared, parts, lambda parts: parts.sums(part))


def _add_sums(shared: TaskContext, parts: Parts, job: Job, group: int | None, *sums: Any) -> Any:
    with suppress(OSError):
        os.chdir(shared.folder)
    total = parts.added(sums)
    if group is not None and (arrays := parts.packed(total)):
        job.checkpoints.part(f"sums-{group:05}").save(arrays)
    return total


def _solve(shared: TaskContext, parts: Parts, sums: Any) -> TaskResult:
    return _run_on_part(shared, parts, lambda parts: parts.solved(sums))


def _judge(
    shared: TaskContext, parts: Parts, job: Job, solution: Any, part: int, blocks: Sequence[IntArray]
) -> TaskResult:
    def work(parts: Parts) -> Named:
        sink = job.sink.within(np.concatenate(blocks))
        for _ in parts.judge(blocks, solution, sink):
            pass
        result = sink.pieces()
        job.checkpoints.part(f"judged-{part:05}").save(result)
        return result

    return _run_on_part(shared, parts, work)


def _run_on_part(shared: TaskContext, parts: Any, work: Callable[[Any], Any]) -> TaskResult:
    try:
        with limited_threads(shared.threads):
            if parts is not None:
                parts.give(data_and_learner(shared)[0])
            return None, work(parts)
    except Exception as error:
        return pack_error(error), None
