"""The closed form shard by shard on Ray: its time beside the local one, and a tree of many parts with nothing in them.

    python benchmarks/speed/parts_on_ray.py --folder FOLDER
    python benchmarks/speed/parts_on_ray.py --folder FOLDER --shapes 200000x256x10 --parts 200 --workers 4

Leave one out by `ridge`, from float16 npy shards (by default ImageNet's shape and 3e6 x 256: 2.0 and 1.5 GB): in one
process with as many threads as processors, and as tasks of Ray with a thread each, as many at a time. Both from opening
the files to the table, each time in a process of its own, since one that has done it before has its memory and its
modules already; Ray's start is apart. The scores must agree to 1e-10. Goal: within 10 % at ImageNet's shape.

Then the same way of tasks for a fit of 10,000 parts over 64 workers that Ray only believes in, whose sums are one
number and whose judgement is a constant: what scheduling and adding cost by themselves, in seconds, and the memory of
the driver and of the task that leads. Prints both and writes benchmarks/results/parts_on_ray.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import ray

import unseen
from unseen.core.exposure import Observation
from unseen.core.protocols import Learner
from unseen.data import from_arrays

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
SHARDS, SHAPES = 32, ["1281167x768x1000", "3000000x256x10"]


def generate(folder: Path, n: int, d: int, classes: int) -> None:
    """Classes that overlap, in shards of about equal size."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    centres = 0.1 * rng.standard_normal((classes, d), dtype=np.float32)
    for shard in range(SHARDS):
        y = rng.integers(classes, size=len(range(shard, n, SHARDS)))
        x = (centres[y] + rng.standard_normal((len(y), d), dtype=np.float32)).astype(np.float16)
        np.save(folder / f"x-{shard:05}.npy", x)
        np.save(folder / f"y-{shard:05}.npy", y)


def scored(folder: Path, **more: object) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    table = unseen.score(folder, scores="el2n", plan=unseen.leave_one_out(), learner="ridge", **more)
    return time.perf_counter() - start, table.values["el2n"]


def scored_on_ray(folder: Path, processors: int) -> tuple[float, np.ndarray, float]:
    start = time.perf_counter()
    ray.init("local", num_cpus=processors, **QUIET)
    began = time.perf_counter() - start
    try:
        return *scored(folder, threads=1, executor="ray"), began
    finally:
        ray.shutdown()


def alone(work: Callable[..., Any], *arguments: object, **more: object) -> Any:
    """What the work gives in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **more).result()


def beside_local(folder: Path, processors: int, repeats: int) -> dict[str, object]:
    """In turn, so that both see the machine at the same times."""
    times: dict[str, list[float]] = {"local": [], "ray": [], "start": []}
    largest = 0.0
    for _ in range(repeats):
        seconds, local = alone(scored, folder, threads=processors)
        times["local"].append(seconds)
        seconds, rayed, start = alone(scored_on_ray, folder, processors)
        times["ray"].append(seconds)
        times["start"].append(start)
        largest = max(largest, float(np.abs(rayed - local).max()))
    ratios = [rayed / local for rayed, local in zip(times["ray"], times["local"], strict=True)]
    assert largest < 1e-10, largest
    return {**{f"{name}_seconds": float(np.median(s)) for name, s in times.items()},
            "ratio": float(np.median(ratios)), "ratios": ratios, "largest_difference": largest}  # fmt: skip


class Nothing:
    """A fit in parts with nothing in them."""

    fan = 16

    def __init__(self, rows: np.ndarray, parts: int) -> None:
        self.summed = range(parts)
        self.judged = [[block] for block in np.array_split(rows, parts)]

    def __getstate__(self) -> dict[str, object]:
        return {}

    def give(self, data: object) -> None:
        pass

    def sums(self, part: object) -> int:
        return 1

    def added(self, sums: list[int]) -> int:
        return sum(sums)

    def packed(self, sums: int) -> dict[str, np.ndarray]:
        return {}

    def solved(self, sums: int) -> int:
        return sums

    def judge(self, blocks: list[np.ndarray], solution: int, sink: object) -> Iterator[int]:
        done = 0
        for block in blocks:
            logits = np.full((len(block), 2), float(solution))
            sink.observe("unseen", Observation(block, epoch=1, logits=logits))
            done += len(block)
            yield done


class Stub(Learner):
    """Learns nothing, in parts."""

    name, closed_form, in_passes = "stub", True, True

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def describe(self) -> dict[str, object]:
        return {"learner": self.name}

    def fit(self, *arguments: object, **options: object) -> None:
        raise NotImplementedError("it works in parts only")

    def in_parts(self, data: object, fit: object, wanted: object, seed: int) -> Nothing:
        return Nothing(fit.unseen, self.parts)


def scheduled(parts: int, workers: int) -> dict[str, object]:
    """One fit of so many parts, all of whose tasks do nothing."""
    x, y = np.zeros((2 * parts, 1), np.float32), np.arange(2 * parts) % 2
    data = from_arrays(x, y)
    ray.init("local", num_cpus=workers, **QUIET)
    options = {"plan": unseen.leave_one_out(), "executor": "ray", "jobs": workers, "groups": None}
    unseen.score(data, scores="el2n", learner=Stub(2 * workers), **options)  # starts the workers
    before, start, busy = resident(os.getpid()), time.perf_counter(), time.process_time()
    with Leading() as leading:
        unseen.score(data, scores="el2n", learner=Stub(parts), **options)
    found = {
        "parts": parts, "workers": workers, "seconds": time.perf_counter() - start,
        "driver_cpu_seconds": time.process_time() - busy, "driver_mib_more": resident(os.getpid()) - before,
        "lead_mib": leading.most,
    }  # fmt: skip
    ray.shutdown()
    return found


class Leading:
    """The most memory of the task that leads, MiB."""

    most = 0.0

    def __enter__(self) -> Leading:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    if (folder / "cmdline").read_bytes().startswith(b"ray::train_in_parts"):
                        self.most = max(self.most, resident(int(folder.name)))
                except OSError:  # it has ended
                    continue


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the generated shards")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="NxDxC", help="rows, columns and classes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/parts_on_ray.json")
    options = parser.parse_args()
    processors = len(os.sched_getaffinity(0))
    shapes = []
    for shape in options.shapes:
        n, d, classes = map(int, shape.split("x"))
        folder = options.folder / shape
        generate(folder, n, d, classes)
        beside = beside_local(folder, processors, options.repeats)
        shapes.append({"n": n, "d": d, "classes": classes, **beside})
        print(shapes[-1], flush=True)
    tree = scheduled(options.parts, options.workers)
    print(tree)
    result = {"shards": SHARDS, "processors": processors, "beside_local": shapes, "scheduled": tree}
    write("parts_on_ray", result, options.out)


if __name__ == "__main__":
    main()
