"""Held-out scores of data that are larger than memory may be: time, memory, and the share of what the machine can do.

    python benchmarks/speed/closed_form_size.py --folder FOLDER                   # ImageNet's shape, then n from 1e5
    python benchmarks/speed/closed_form_size.py --folder FOLDER --rows 20000 --line --width 64 --classes 10

Generates float16 vectors to a memory map in FOLDER (1,281,167 x 768, 1,000 classes: 1.9 GB) and scores them by `el2n`
through `unseen.score`, opening, hashing for copies and the table included, each in a process of its own. Anonymous
memory is sampled; mapped file pages are apart. Operations are counted as n d^2 for the Gram matrix (it is symmetric),
n d^2 for the leverages, 2 n d C for a set of outputs; the peak they are set against is the best of some products of
two 4,096 x 4,096 matrices of the same type, in the same process. Goals: under 5 minutes and 3 GiB, at least half of
the peak. Prints a table and writes benchmarks/results/closed_form_size.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

import unseen

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

PLANS = {"folds(5)": unseen.folds(5), "leave_one_out": unseen.leave_one_out()}


def generate(folder: Path, n: int, d: int, classes: int) -> None:
    """Classes that overlap: vectors of unit variance about centres that are near each other."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "x.npy").exists() and np.load(folder / "x.npy", mmap_mode="r").shape == (n, d):
        return
    rng = np.random.default_rng(0)
    centres = 0.15 * rng.standard_normal((classes, d), dtype=np.float32)
    y = rng.integers(classes, size=n)
    x = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.float16, shape=(n, d))
    for start in range(0, n, 8192):
        block = y[start : start + 8192]
        x[start : start + 8192] = centres[block] + rng.standard_normal((len(block), d), dtype=np.float32)
    x.flush()
    np.save(folder / "y.npy", y)


def scored(folder: Path, plan: str, learner: str) -> dict[str, object]:
    peak = matrix_peak(np.float32 if "float32" in learner else np.float64)
    memory = Memory()
    fit_seconds = [0.0]

    def report(kind: str, **fields: object) -> None:
        if kind == "fit_end":
            fit_seconds[0] = float(str(fields["seconds"]))

    start = time.perf_counter()
    with memory:
        data = unseen.data.resolve(folder)
        table = unseen.score(data, scores="el2n", plan=PLANS[plan], learner=learner, report=report)
    seconds = time.perf_counter() - start
    n, d, c = len(data), data.sample_shape[0], len(data.class_names)
    operations = 2 * n * d * c + n * d * d * (2 if plan == "leave_one_out" else 1)
    return {
        "n": n, "d": d, "classes": c, "plan": plan, "learner": learner, "seconds": seconds,
        "fit_seconds": fit_seconds[0], "anonymous_mib": memory.peak_mib, "operations": operations,
        "peak_gflops": peak / 1e9, "share": operations / seconds / peak,
        "share_of_fit": operations / fit_seconds[0] / peak,
        "accuracy": float((table.predictions == data.labels).mean()),
    }  # fmt: skip


class Memory:
    """The peak of anonymous memory, in excess of nothing, sampled in a thread."""

    peak_mib = 0.0

    def __enter__(self) -> Memory:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            anonymous = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak_mib = max(self.peak_mib, anonymous / 1024)


def matrix_peak(dtype: type) -> float:
    """Operations a second of a large matrix product."""
    a = np.random.default_rng(0).standard_normal((4096, 4096)).astype(dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ a.T[::-1]
        times.append(time.perf_counter() - start)
    return float(2 * 4096**3 / min(times))


def show(row: dict[str, object]) -> None:
    print(
        f"{row['n']:>9,} x {row['d']}, {row['classes']:,} classes  {row['plan']:<14} {row['learner']:<36} "
        f"{row['seconds']:>6.1f} s (fit {row['fit_seconds']:.1f})  anonymous {row['anonymous_mib']:>6,.0f} MiB  "
        f"{100 * row['share']:.0f} % of {row['peak_gflops']:.0f} GFLOP/s (fit {100 * row['share_of_fit']:.0f} %)  "
        f"accuracy {row['accuracy']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the generated vectors")
    parser.add_argument("--rows", type=int, default=1_281_167)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--learners", nargs="+", default=["ridge", "ridge:precision=float32"])
    parser.add_argument("--line", type=int, nargs="*", default=[100_000, 300_000, 1_000_000, 3_000_000])
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/closed_form_size.json")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")  # as the program does; read by the processes started below
    work = [(options.rows, plan, learner) for plan in PLANS for learner in options.learners]
    work += [(n, "leave_one_out", options.learners[-1]) for n in options.line]
    rows = []
    for n, plan, learner in work:
        folder = options.folder / str(n)
        generate(folder, n, options.width, options.classes)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(scored, (folder, plan, learner)))
        show(rows[-1])
    write("closed_form_size", {"rows": rows}, options.out)


if __name__ == "__main__":
    main()
