"""How fast the rules are: score rules on many scores, feature rules on many features.

    python benchmarks/speed/rules.py                      # 1e7 scores; 50,000 x 512 features, budget 5,000
    python benchmarks/speed/rules.py --scores 100000 --samples 2000 --budget 200   # a quick look

Each rule runs in a process of its own, so that its peak memory is its own; the peak without the rule (inputs made,
nothing chosen) is stated beside it. CPU seconds (all threads) are stated too: on a busy machine they say more than
the clock. Prints a table and writes benchmarks/results/rules.json. The goal for the score rules is 10 s on 1e7
scores; for the feature rules time is stated and memory must be linear in n.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np

from unseen import rules

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SCORE_RULES = {
    "top": {"keep": 0.3},
    "window": {"keep": 0.3, "offset": 0.1},
    "stratified": {"keep": 0.3, "cutoff": 0.1},
    "stratified by rank": {"keep": 0.3, "cutoff": 0.1, "by": "rank"},
    "beta": {"keep": 0.3},
    "random": {"keep": 0.3},
    "top, uniform quota": {"keep": 0.3, "quota": "uniform"},
}
FEATURE_RULES = ("k_center", "herding", "moderate", "graph", "infomax")
GOAL_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=10_000_000, help="how many scores")
    parser.add_argument("--samples", type=int, default=50_000, help="how many samples with features")
    parser.add_argument("--width", type=int, default=512, help="of the features")
    parser.add_argument("--budget", type=int, default=5_000, help="of the feature rules")
    parser.add_argument("--repeats", type=int, default=3, help="of the score rules; the median is stated")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/rules.json")
    options = parser.parse_args()
    work = [(score_rule, name, options.scores, options.repeats) for name in SCORE_RULES]
    work += [(feature_rule, name, options.samples, options.width, options.budget) for name in FEATURE_RULES]
    rows = []
    for job in work:
        rows.append(alone(*job))
        show(rows[-1])
    write("rules", {"goal_s": GOAL_S, "rows": rows}, options.out)


def score_rule(name: str, n: int, repeats: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    scores, labels = rng.gamma(2.0, size=n), rng.integers(0, 10, n)
    confidence = np.exp(-scores)
    before = peak_mib()
    times, cpu = [], []
    for seed in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        coreset = getattr(rules, name.split()[0].rstrip(","))(
            scores, direction="harder", labels=labels, mean_confidence=confidence, seed=seed, **SCORE_RULES[name]
        )
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return {
        "rule": name, "input": f"{n:,} scores", "budget": len(coreset), "seconds": float(np.median(times)),
        "cpu_s": float(np.median(cpu)),
        "slowest_s": max(times), "repeats": repeats, "peak_mib": peak_mib(), "inputs_mib": before,
        "goal_met": bool(np.median(times) < GOAL_S),
    }  # fmt: skip


def feature_rule(name: str, n: int, width: int, budget: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    features = rng.standard_normal((n, width), dtype=np.float32)
    features += 2 * rng.standard_normal((10, width), dtype=np.float32)[labels]
    scores = rng.gamma(2.0, size=n)
    before = peak_mib()
    start, busy = time.perf_counter(), time.process_time()
    coreset = getattr(rules, name)(scores, direction="harder", labels=labels, features=features, keep=budget)
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    return {
        "rule": name, "input": f"{n:,} x {width} float32", "budget": len(coreset), "seconds": seconds,
        "cpu_s": cpu,
        "slowest_s": seconds, "repeats": 1, "peak_mib": peak_mib(), "inputs_mib": before,
        "all_distances_mib": n * n * 4 / 2**20,
    }  # fmt: skip


def alone(work, *arguments) -> dict[str, object]:
    """In a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(row: dict[str, object]) -> None:
    print(
        f"{row['rule']:<20} {row['input']:<22} budget {row['budget']:>9,}  {row['seconds']:>7.2f} s "
        f"(CPU {row['cpu_s']:.2f})  peak {row['peak_mib']:>6.0f} MiB (inputs {row['inputs_mib']:.0f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
