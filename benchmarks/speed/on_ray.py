"""What Ray costs beside the local executor, what a second worker gives, and how many tasks one driver can schedule.

    python benchmarks/speed/on_ray.py --data cifar10-train.parquet [--samples 10000] [--epochs 3] [--repeats 3]

(Not `ray.py`, which would stand before the package of that name.) Three questions, each in turn several times:

- overhead: 5 folds with 2 fits at a time and a thread each, by local worker processes and by Ray. Both start their
  workers anew each time; Ray's own start is apart. Goal: under 10 %.
- second worker: 4 folds on a Ray whose workers run already, one fit at a time and two. Goal: 1.8 times as fast.
- scheduling: stub fits, through the same executor, over many workers that Ray only believes in; seconds and memory of
  the driver. What is left of a fit is its task, its messages and its result.

Writes benchmarks/results/ray.json. Without --data: digits and an mlp, to see that it runs.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import ray

import unseen
from unseen.core.exposure import Fit
from unseen.core.protocols import Learner
from unseen.data import from_arrays, from_parquet, resolve
from unseen.engine.executors import Job, RayExecutor
from unseen.engine.runs.base import MemoryCheckpoints
from unseen.learners import Recipe, TorchLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


def scored(data, learner, folds, **more):
    """Seconds of a scoring, and its scores."""
    start = time.perf_counter()
    table = unseen.score(data, scores="el2n", plan=unseen.folds(folds), learner=learner, groups=None, threads=1, **more)
    return time.perf_counter() - start, table.values["el2n"]


def overhead(data, learner, repeats):
    """Local and Ray in turn, with fresh workers each time."""
    times = {"local": [], "ray": [], "start": []}
    for _ in range(repeats):
        seconds, local = scored(data, learner, 5, jobs=2)
        times["local"].append(seconds)
        start = time.perf_counter()
        ray.init("local", num_cpus=2, **QUIET)
        times["start"].append(time.perf_counter() - start)
        seconds, rayed = scored(data, learner, 5, jobs=2, executor="ray")
        ray.shutdown()
        times["ray"].append(seconds)
        np.testing.assert_array_equal(rayed, local)
    ratios = [rayed / local - 1 for rayed, local in zip(times["ray"], times["local"], strict=True)]
    return {**{f"{name}_seconds": statistics.median(s) for name, s in times.items()},
            "overhead": statistics.median(ratios), "overheads": ratios}  # fmt: skip


def second_worker(data, learner, repeats):
    """One and two workers in turn, all of them warm."""
    ray.init("local", num_cpus=2, **QUIET)
    scored(data, learner.with_epochs(1), 2, jobs=2, executor="ray")
    times = {1: [], 2: []}
    for _ in range(repeats):
        for jobs in times:
            times[jobs].append(scored(data, learner, 4, jobs=jobs, executor="ray")[0])
    ray.shutdown()
    ratios = [one / two for one, two in zip(times[1], times[2], strict=True)]
    return {"one_seconds": statistics.median(times[1]), "two_seconds": statistics.median(times[2]),
            "times": statistics.median(ratios), "ratios": ratios}  # fmt: skip


class Stub(Learner):
    """Learns nothing."""

    def describe(self):
        return {"learner": "stub"}

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        pass


class Sum:
    """Yields what the sums of a shard would be: as many bytes as `width` numbers."""

    def __init__(self, width):
        self.width = width

    def result(self):
        return {"sums": np.ones(self.width)}


def scheduling(shards, workers, width=1000):
    """One driver, many tasks of nothing."""

    def jobs(count):
        stub = Stub()
        for shard in range(count):
            fit = Fit(train=[0], unseen=[1], repeat=shard)
            yield Job(fit, Sum(width), MemoryCheckpoints(), stub, 0, fit.name)

    def run(count):
        taken = RayExecutor(jobs=workers).run(jobs(count), data=None, report=lambda *_, **__: None)
        return sum(int(result["sums"][0]) for _, result in taken)

    ray.init("local", num_cpus=workers, **QUIET)
    start = time.perf_counter()
    run(2 * workers)  # starts the workers
    started, before = time.perf_counter() - start, resident()
    start, busy = time.perf_counter(), time.process_time()
    assert run(shards) == shards
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    more = resident() - before
    ray.shutdown()
    return {
        "shards": shards, "workers": workers, "result_bytes": 8 * width, "start_seconds": started, "seconds": seconds,
        "driver_cpu_seconds": busy, "tasks_per_second": shards / seconds, "driver_mib": resident(),
        "driver_more_mib": more, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def resident():
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/ray.json")
    given = parser.parse_args()
    if given.data is None:
        data, network = resolve("digits"), "mlp"
    else:
        whole, rows = from_parquet(given.data), np.arange(given.samples)
        data, network = from_arrays(whole.take(rows), whole.labels[rows]), "convnet"
    learner = TorchLearner(Recipe.named(network, epochs=given.epochs), device="cpu")
    result = {"samples": len(data), "network": network, "epochs": given.epochs, "repeats": given.repeats}
    result["overhead"] = overhead(data, learner, given.repeats)
    print("overhead", result["overhead"], flush=True)
    result["second_worker"] = second_worker(data, learner, given.repeats)
    print("second worker", result["second_worker"], flush=True)
    result["scheduling"] = scheduling(given.shards, given.workers)
    print("scheduling", result["scheduling"], flush=True)
    write("ray", result, given.out)


if __name__ == "__main__":
    main()
