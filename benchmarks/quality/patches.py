"""What the untrained features for images are worth on all of CIFAR-10, from the files to test accuracy.

    python benchmarks/quality/patches.py --train cifar10-train.parquet --test cifar10-test.parquet --folder FOLDER

Runs `unseen embed` with its defaults (400 patches of 6 x 6, 2 x 2 pooling: 3,200 columns), then `ridge`: accuracy left
out and in-sample on the training images, and on the test images after training on all of them, on what `unseen prune`
keeps at 70 %, and on random parts of that size. FOLDER takes vectors and runs. Writes
benchmarks/results/patches_cifar10.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import unseen

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

KEEP, SEEDS = 0.7, 3


def right(table: unseen.ScoreTable) -> float:
    return float(np.mean(table.predictions == table.labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/patches_cifar10.json")
    options = parser.parse_args()
    clock = [time.perf_counter()]

    def took() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    vectors = options.folder / "vectors"
    data = unseen.embed(options.train, test=options.test, out=vectors)
    found: dict[str, object] = {"n": len(data), "columns": data.sample_shape[0], "embedding_seconds": took()}
    left_out = unseen.prune(data, keep=KEEP, learner="ridge", plan=unseen.leave_one_out(), out=options.folder / "run")
    found |= {"left_out": right(left_out.scores), "scoring_seconds": took()}
    found["in_sample"] = right(unseen.score(data, learner="ridge", plan=unseen.seen()))
    took()
    evaluation = unseen.evaluate(
        data, coresets={"kept": left_out.coreset}, learner="ridge", test=vectors / "test", seeds=SEEDS, overlap="drop"
    )
    arms = json.loads(json.dumps(evaluation.summary()["arms"]), parse_constant=lambda _: None)  # JSON has no NaN
    found |= {"evaluation_seconds": took(), "keep": KEEP, "arms": arms}
    print(found)
    write("patches_cifar10", found, options.out)


if __name__ == "__main__":
    main()
