"""How many steps does the default network need on few images, and is what the default then keeps better than random?

    python benchmarks/quality/few_images.py --data FOLDER

The digits of scikit-learn as images, and CIFAR-10, cut to a few hundred or thousand. `convnet` gets the epochs of its
preset, or as many as make 250, 500 or 1,000 steps over all images. For each: held-out accuracy of the two models that
score, and seconds of that on one thread. For the preset and 500 steps, the default now, at half kept also the test
accuracy of the same network trained on everything, on what `unseen.prune` keeps and on random images, each class in
proportion. Three replicates, epochs fixed. Writes benchmarks/results/few_images.json.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

import unseen
from unseen.learners.torch import PRESETS

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SIZES = {"digits": (300, 600, 1200), "cifar10": (600, 2000, 5000)}
STEPS, SEEDS, TESTED = (None, 250, 500, 1000), 3, 2000
Images = tuple[np.ndarray, np.ndarray]


def digits() -> tuple[Images, Images]:
    images, labels = load_digits().images, load_digits().target
    pixels = np.repeat((images * 15).astype(np.uint8)[..., None], 3, axis=3)
    return (pixels[:1200], labels[:1200]), (pixels[1200:], labels[1200:])


def cifar10(data: Path) -> tuple[Images, Images]:
    made = []
    for part, count in (("train", max(SIZES["cifar10"])), ("test", TESTED)):
        rows = pd.read_parquet(data / f"cifar10-{part}.parquet").sample(count, random_state=0)
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"]))) for image in rows["image"]])
        made.append((pixels, rows["label"].to_numpy()))
    return made[0], made[1]


def cell(train: Images, test: Images | None, epochs: int) -> dict[str, Any]:
    """Score and choose; where there is a test set, train on what was chosen."""
    learner, (X, y) = f"convnet:epochs={epochs}", train
    chosen, held_out, seconds = [], [], []
    for seed in range(SEEDS):
        start = time.perf_counter()
        table, coreset = unseen.prune(X, y, keep=0.5, learner=learner, seed=seed, threads=1)
        seconds.append(time.perf_counter() - start)
        held_out.append(float(np.mean(table.predictions == table.labels)))
        chosen.append(coreset)
    fell_back = sum(one.provenance["rule"] == "random" for one in chosen)
    about = {"held_out": held_out, "seconds": seconds, "fell_back": fell_back}
    if test is None:
        return about
    found = unseen.evaluate(
        X, y, coresets={"default": chosen}, test=test, overlap="drop", learner=learner, seeds=SEEDS, threads=1,
        baselines=("full", "random-stratified"),
    )  # fmt: skip
    return {
        **about,
        "full": found.accuracy("full").mean,
        "random": found.accuracy("random-stratified").mean,
        "default_over_random": found.differences("default", "random-stratified").tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of models too weak to choose, which is counted
    sets, preset = {"digits": digits(), "cifar10": cifar10(given.data)}, PRESETS["convnet"]
    cells = []
    for name, ((X, y), test) in sets.items():
        for n in SIZES[name]:
            for steps in STEPS:
                asked = 0 if steps is None else -(-steps * preset["batch_size"] // n)
                epochs = max(preset["epochs"], asked)
                found = cell((X[:n], y[:n]), test if steps in (None, 500) else None, epochs)
                cells.append({"data": name, "n": n, "steps": steps, "epochs": epochs, **found})
                print(cells[-1], flush=True)
    print(write("few_images", {"cells": cells}))


if __name__ == "__main__":
    main()
