"""How fast the scores are, and how much they keep of a sample.

Samples a second of every pure function at C = 10 and float32 logits, against the line that most code would write
(SciPy's softmax over the last axis, which stays in float32 where we compute in float64), and the state of every
streaming score in bytes a sample.

    python benchmarks/speed/scores.py [--samples 1000000] [--repeats 5] [--out benchmarks/results/scores.json]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import entr, log_softmax, softmax

from unseen import functional
from unseen.scores import SCORES, resolve

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

CLASSES, FEATURES, EPOCHS, GOAL = 10, 64, 30, 1e6


def best(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def el2n_by_scipy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.linalg.norm(softmax(z, axis=1) - np.eye(CLASSES, dtype=z.dtype)[y], axis=1)


def loss_by_scipy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -log_softmax(z, axis=1)[np.arange(len(y)), y]


def entropy_by_scipy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return entr(softmax(z, axis=1)).sum(axis=1)


PEERS = {"el2n": el2n_by_scipy, "loss": loss_by_scipy, "entropy": entropy_by_scipy}


def one_observation(samples: int, repeats: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    z = rng.normal(scale=3.0, size=(samples, CLASSES)).astype(np.float32)
    h = rng.normal(size=(samples, FEATURES)).astype(np.float32)
    y = rng.integers(0, CLASSES, samples)
    calls: dict[str, Callable[[], object]] = {
        name: partial(getattr(functional, name), z, y)
        for name in ("el2n", "loss", "entropy", "least_confidence", "margin", "label_margin")
    }
    calls["grand_last_layer"] = partial(functional.grand_last_layer, z, h, y)
    for name in ("self_confidence", "normalized_margin", "label_issue"):
        calls[name] = partial(getattr(functional, name), z, y)
    rows = []
    for name, call in calls.items():
        row: dict[str, object] = {"score": name, "samples_per_second": samples / best(call, repeats)}
        if name in PEERS:
            row["scipy_float32_samples_per_second"] = samples / best(partial(PEERS[name], z, y), repeats)
        rows.append(row)
    return rows


def course(samples: int, repeats: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    history = rng.normal(scale=3.0, size=(EPOCHS, samples, CLASSES)).astype(np.float32)
    y = rng.integers(0, CLASSES, samples)
    names = ("aum", "forgetting", "correctness", "confidence", "variability", "dyn_unc", "dual", "tdds")
    return [
        {
            "score": name,
            "observations_per_second": samples * EPOCHS / best(partial(getattr(functional, name), history, y), repeats),
        }
        for name in names
    ]


def states() -> list[dict[str, object]]:
    rows = []
    for name in SCORES:
        score = resolve("reducible:epoch=1" if name == "reducible" else name)
        row: dict[str, object] = {"score": name, "state": score.state}
        for classes in (10, 1000):
            state = score.start("unseen", 1000, classes)
            row[f"bytes_per_sample_C{classes}"] = sum(array.nbytes for array in state.values()) / 1000
        rows.append(row)
    return rows


def show(title: str, rows: list[dict[str, object]]) -> None:
    print(f"\n{title}")
    for row in rows:
        numbers = "  ".join(
            f"{key} {value:,.0f}" if isinstance(value, float) else f"{value:>6}"
            for key, value in row.items()
            if key != "score"
        )
        print(f"  {row['score']:<18} {numbers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/scores.json")
    given = parser.parse_args()
    once = one_observation(given.samples, given.repeats)
    trained = course(max(1, given.samples // EPOCHS), given.repeats)
    kept = states()
    show(f"One observation, {given.samples:,} samples, C = {CLASSES} (goal {GOAL:,.0f} samples a second)", once)
    show(f"Course of training, {EPOCHS} epochs, C = {CLASSES}", trained)
    show("State of the streaming scores (goal below 200 bytes a sample for O(1))", kept)
    slow = [row["score"] for row in once if float(str(row["samples_per_second"])) < GOAL]
    large = [
        row["score"] for row in kept if row["state"] == "O(1)" and float(str(row["bytes_per_sample_C1000"])) >= 200
    ]
    print(f"\nBelow the goal: {', '.join(map(str, slow + large)) or 'none'}")
    result = {
        "samples": given.samples,
        "classes": CLASSES,
        "features": FEATURES,
        "one_observation": once,
        "course": trained,
        "state": kept,
    }
    write("scores", result, given.out)


if __name__ == "__main__":
    main()
