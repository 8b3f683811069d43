"""Estimators of scikit-learn beside busy processes: the default number of threads against one.

    python benchmarks/speed/busy.py          # about 10 minutes
    python benchmarks/speed/busy.py --part 10 --rounds 1  # a quick look

Four processes keep the processors busy. `unseen.evaluate` trains logistic regression on 3,000 x 2,352 vectors of three
classes, and gradient boosting on 2,000 x 20, by three seeds: half of the data, chosen at random, everything, and a
random half. The default and `threads=1` alternate, three rounds; the peer of the default is `threads=1`. Goal: within
1.5 times. Prints and writes benchmarks/results/busy.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import unseen

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

BUSY, ROUNDS, GOAL = 4, 3, 1.5
CASES = {"logistic": (3000, 2352), "hist_gradient_boosting": (2000, 20)}


def spin() -> None:
    while True:
        pass


def vectors(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    means = rng.normal(scale=0.1, size=(3, d))
    return (rng.normal(size=(n, d)) + means[labels]).astype(np.float32), labels


def seconds(learner: str, n: int, d: int, **running: int) -> float:
    x, y = vectors(n, d)
    _, coreset = unseen.prune(x, y, keep=0.5, rule="random", learner="ridge:lam=1.0,temperature=1.0")
    started = time.perf_counter()
    unseen.evaluate(x, y, coresets=coreset, learner=learner, seeds=3, baselines=["full", "random"], **running)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=int, default=1, help="divide the samples by this")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/busy.json")
    given = parser.parse_args()
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(BUSY)]
    for process in busy:
        process.start()
    found = {}
    for learner, (n, d) in CASES.items():
        n //= given.part
        times: dict[str, list[float]] = {"default": [], "threads=1": []}
        seconds(learner, 60, d)  # imports
        for _ in range(given.rounds):
            times["threads=1"].append(round(seconds(learner, n, d, threads=1), 2))
            times["default"].append(round(seconds(learner, n, d), 2))
        ratio = statistics.median(times["default"]) / statistics.median(times["threads=1"])
        found[learner] = {"n": n, "d": d, "seconds": times, "times": round(ratio, 2)}
        print(learner, found[learner], flush=True)
    for process in busy:
        process.kill()
    write("busy", {"busy": BUSY, "goal": GOAL, "cases": found}, given.out)


if __name__ == "__main__":
    main()
