"""What backbones that were trained on other data are worth: accuracy left out and on test data, and their price.

    python benchmarks/quality/pretrained.py sst2 cifar10 sides --data shared/data --folder FOLDER

SST-2 by `wordllama` and by `tfidf`, CIFAR-10 by `efficientnet_lite0` (by untrained patches: `patches.py`), each with
`ridge`: accuracy left out and in-sample on the training set, and on the test set after training on all of it, on what
`unseen prune` keeps at 70 %, and on random parts of that size. `sides`: `efficientnet_lite0` at several sides on the
first images of CIFAR-10. Seconds are those of processors, so that what else runs on the machine counts little. FOLDER
takes vectors; those that are there are taken as they are, without their seconds. Writes
benchmarks/results/pretrained_sst2.json and so on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import unseen
from unseen.core.protocols import Data

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

KEEP, SEEDS = 0.7, 3
SIDES, FIRST = (64, 96, 128, 224), 2000
IMAGES, TEXTS = ("efficientnet_lite0",), ("wordllama", "tfidf")


def right(table: unseen.ScoreTable) -> float:
    return float(np.mean(table.predictions == table.labels))


def worth(by: str, train: Data, test: Data, folder: Path) -> dict[str, Any]:
    """One backbone on one data set."""
    there, start = (folder / by).exists(), time.process_time()
    data = unseen.embed(train, test=test, by=by, out=folder / by)
    seconds = None if there else time.process_time() - start
    chosen = unseen.prune(data, keep=KEEP, learner="ridge", plan=unseen.leave_one_out())
    in_sample = unseen.score(data, learner="ridge", plan=unseen.seen())
    evaluation = unseen.evaluate(
        data, coresets={"kept": chosen.coreset}, learner="ridge", test=folder / by / "test", seeds=SEEDS, overlap="drop"
    )
    return {
        "embedding": data.embedding,
        "columns": data.sample_shape[0],
        "n": len(data),
        "n_test": len(test),
        "embedding_processor_seconds": seconds,
        "left_out": right(chosen.scores),
        "in_sample": right(in_sample),
        "keep": KEEP,
        "test": {name: arm["accuracy"]["mean"] for name, arm in evaluation.summary()["arms"].items()},
    }


def sides(train: Data) -> dict[str, Any]:
    """Accuracy left out and seconds an image at several sides, on a part of the images."""
    rows = np.arange(FIRST)
    images, labels = train.take(rows), train.labels[rows]
    found = {}
    for side in SIDES:
        start = time.process_time()
        data = unseen.embed(images, labels, by="efficientnet_lite0", side=side, threads=1)
        seconds = (time.process_time() - start) / FIRST
        scored = unseen.score(data, learner="ridge", plan=unseen.leave_one_out())
        found[str(side)] = {"left_out": right(scored), "processor_seconds_an_image": seconds}
    return {"n": FIRST, "by_side": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("sst2", "cifar10", "sides"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    for part in options.parts:
        if part == "sst2":
            train, test = (unseen.data.resolve(options.data / "text/sst2.parquet", split=s) for s in ("train", "dev"))
        else:
            train, test = (unseen.data.resolve(options.data / f"cifar10-{s}.parquet") for s in ("train", "test"))
        backbones = TEXTS if part == "sst2" else IMAGES
        if part == "sides":
            found = sides(train)
        else:
            found = {by: worth(by, train, test, options.folder / part) for by in backbones}
        print(found)
        write(f"pretrained_{part}", found)


if __name__ == "__main__":
    main()
