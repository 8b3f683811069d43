"""What backbones that were trained on other data are worth: accuracy left out and on test data, and their seconds.

    python benchmarks/quality/pretrained.py --data shared/data --folder FOLDER

CIFAR-10 by `efficientnet_lite0` (beside patches: `patches.py`) and SST-2 by `wordllama` and by `tfidf`, each with
`ridge`: accuracy left out and in-sample on the training set, and on the test set after training on all of it, on what
`unseen prune` keeps at 70 %, and on random parts of that size. Then `efficientnet_lite0` at other sides, on the first
images of CIFAR-10 alone. FOLDER takes vectors and runs; vectors that are there are taken as they are, without seconds.
Writes benchmarks/results/pretrained.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import unseen
from unseen.protocols import Data

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

KEEP, SEEDS = 0.7, 3
SIDES, FIRST = (64, 96, 128, 160, 224), 3000


def right(table: unseen.ScoreTable) -> float:
    return float(np.mean(table.predictions == table.labels))


def worth(train: Data, test: Data, by: str, folder: Path) -> dict[str, Any]:
    """One backbone on one data set."""
    clock = Clock()
    vectors = folder / by
    there = vectors.exists()
    data = unseen.embed(train, test=test, by=by, out=vectors)
    found: dict[str, Any] = {"n": len(data), "n_test": len(test), "columns": data.sample_shape[0]}
    found["embedding_seconds"] = None if there else clock()
    clock()
    left_out = unseen.prune(data, keep=KEEP, learner="ridge", plan=unseen.leave_one_out())
    found |= {"left_out": right(left_out.scores), "scoring_seconds": clock()}
    found["in_sample"] = right(unseen.score(data, learner="ridge", plan=unseen.seen()))
    evaluation = unseen.evaluate(
        data, coresets={"kept": left_out.coreset}, learner="ridge", test=vectors / "test", seeds=SEEDS, overlap="drop"
    )
    arms = {name: arm["accuracy"]["mean"] for name, arm in evaluation.summary()["arms"].items()}
    print(found, arms, flush=True)
    return {**found, "keep": KEEP, "test_accuracy": arms, "embedding": data.embedding}


def sides(train: Data) -> dict[str, Any]:
    """Accuracy left out and seconds an image at several sides, on a part of the images."""
    rows = np.arange(FIRST)
    images, labels = train.take(rows), train.labels[rows]
    found = {}
    for side in SIDES:
        clock = Clock()
        data = unseen.embed(images, labels, by="efficientnet_lite0", side=side, threads=1)
        seconds = clock() / FIRST
        scored = unseen.score(data, learner="ridge", plan=unseen.leave_one_out())
        found[str(side)] = {"left_out": right(scored), "seconds_an_image": seconds}
        print(side, found[str(side)], flush=True)
    return {"n": FIRST, "threads": 1, "sides": found}


class Clock:
    """Seconds since it was asked before."""

    def __init__(self) -> None:
        self.before = time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        self.before, passed = now, now - self.before
        return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/pretrained.json")
    options = parser.parse_args()
    sst2 = options.data / "text" / "sst2.parquet"
    train, test = (unseen.data.resolve(sst2, split=split) for split in ("train", "dev"))
    found: dict[str, Any] = {
        "sst2": {by: worth(train, test, by, options.folder / "sst2") for by in ("wordllama", "tfidf")}
    }
    train, test = (unseen.data.resolve(options.data / f"cifar10-{part}.parquet") for part in ("train", "test"))
    by = "efficientnet_lite0"
    found["cifar10"] = {by: worth(train, test, by, options.folder / "cifar10")}
    found["cifar10_sides"] = sides(train)
    write("pretrained", json.loads(json.dumps(found)), options.out)


if __name__ == "__main__":
    main()
