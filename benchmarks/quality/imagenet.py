"""ImageNet-1K: a coreset for ResNet-34 or -50 from a folder of images, and what that costs on 1, 8 and 64 GPUs.

    python benchmarks/quality/imagenet.py run --train imagenet/train --test imagenet/val --prune 0.3 --out DIR
    python benchmarks/quality/imagenet.py cost --images-per-second 2500 --prune 0.3

Both folders hold one folder a class (the validation images come in one heap; sort them first). Test images that are
training images too are left out. `run` is one
`unseen.sweep`: everything, random, and the held-out score of two folds under the same rule, so at one seed two
trainings to score and three to test. It may be stopped at any time and goes on after the last epoch. It prints the
table, the throughput it reached and the cost at that throughput; `cost` only calculates. Both write JSON.

Recipe: the presets `resnet50` (default) and `resnet34`, 60 epochs of SGD on batches of 256, cosine schedule, mirrored
images; on a GPU in mixed precision (`--learner resnet50:precision=bf16`). Any other learner spec of torch will do, such
as `torch:module:function:epochs=90`. Images are brought to `--image-size` (shorter side, central square) and shifted by
`crop` pixels; there is no random resizing of crops, so accuracies lie below those of recipes that have it.

Memory: data above `--memory-limit` is never held. Every image is decoded once at opening, which checks and hashes it,
and then whenever a batch needs it, by `--data-workers` processes; a batch, and what the workers have ready, is all that
is in memory. 1.28 M images of 224 x 224 would take 180 GiB. Mind that decoding often is what limits the throughput: a
core decodes some hundred images a second, so measure with the workers that you will use.

Cost. With n images trained on, E epochs, s seeds, k folds, a share `keep` kept, and v images a second on one GPU:

    to score   s k trainings of   E n (k - 1) / k + n / (3 k)   images, an image looked at counting a third
    to test    s trainings each on everything, on random and on the coreset, of   E n, E n, E n   with iterations fixed,
               or E n, E n keep, E n keep with epochs fixed, and m / 3 for the m test images
    hours      sum of images / (3600 v) GPU hours; a training takes one GPU, longest first on the GPU free soonest, the
               coreset's after all scorings: more GPUs than trainings at a time stand idle

The sum of the hours of choosing is what a coreset costs; it is set against the hours that training on less saves.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from pathlib import Path
from typing import Any

import unseen
from unseen.core.registry import parse_spec
from unseen.data import from_folder
from unseen.evaluating.methods import FULL
from unseen.learners.torch import Recipe, TorchLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

IMAGES, TEST_IMAGES, FOLDS = 1_281_167, 50_000, 2
METHOD = f"folds:k={FOLDS}/el2n/stratified"
GPUS = (1, 8, 64)
WATCHED = 1 / 3  # of a training step: a forward pass without the backward one


def main() -> None:
    given = arguments()
    result = run(given) if given.verb == "run" else {"cost": cost_of(given, given.images_per_second)}
    print(json.dumps(result, indent=2))
    write("imagenet", {"method": METHOD, "fix": given.fix, "seeds": given.seeds, **result}, given.json)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Choose, train and test on the folders; what came of it, how fast, and the cost of ImageNet-1K at that speed."""
    options: dict[str, Any] = {"image_size": given.image_size, "memory_limit": given.memory_limit}
    train, test = from_folder(given.train, **options), from_folder(given.test, **options)
    learner = TorchLearner(
        recipe(given.learner), data_workers=given.data_workers, memory_limit=given.memory_limit, device=given.device
    )
    result = unseen.sweep(
        train,
        methods=[METHOD],
        prune=[given.prune],
        test=test,
        overlap="drop",
        learner=learner,
        seeds=given.seeds,
        fix=given.fix,
        out=given.out,
        report=progress,
    )
    speed = float(result.columns["samples_seen"].sum() / result.times["seconds"].sum())
    print(f"\n{result.markdown()}\n")
    return {
        "learner": learner.describe(),
        "train": len(train),
        "test": result.about["n_test"],
        "image_shape": list(train.sample_shape),
        "held_in_memory": train.in_memory,
        "cells": {name: column.tolist() for name, column in result.columns.items()},
        "images_per_second": speed,
        "cost": cost_of(given, speed),
    }


def recipe(spec: str) -> Recipe:
    """That of a preset with options, or of a network of one's own behind `torch:`."""
    if spec.startswith("torch:"):
        place, _, tail = spec.removeprefix("torch:").rpartition(":")
        place, tail = (place, tail) if "=" in tail else (spec.removeprefix("torch:"), "")
        return Recipe(network=place, **parse_spec(f"x:{tail}")[1])
    name, options = parse_spec(spec)
    return Recipe.named(name, **options)


def cost_of(given: argparse.Namespace, speed: float) -> dict[str, Any]:
    """The cost of ImageNet-1K with these settings."""
    return cost(speed, epochs=recipe(given.learner).epochs, keep=1 - given.prune, seeds=given.seeds, fix=given.fix)


def cost(
    speed: float,
    *,
    epochs: int,
    keep: float,
    seeds: int = 1,
    fix: str = "epochs",
    n: int = IMAGES,
    tested: int = TEST_IMAGES,
    k: int = FOLDS,
) -> dict[str, Any]:
    """GPU hours and hours on 1, 8 and 64 GPUs, by the formula above.

    Args:
        speed: images a second of training on one GPU.
        epochs: of a training on everything.
        keep: share kept.
        seeds: replicates, each of which scores anew.
        fix: `"epochs"` or `"iterations"`.
        n: images to choose from.
        tested: images to test on.
        k: folds.
    """
    hour = 3600 * speed
    score = (epochs * n * (k - 1) / k + WATCHED * n / k) / hour
    whole = (epochs * n + WATCHED * tested) / hour
    part = (epochs * n * (keep if fix == "epochs" else 1) + WATCHED * tested) / hour
    first, then = seeds * ([score] * k + [whole, part]), seeds * [part]
    saved = whole - part
    return {
        "images_per_second": speed,
        "gpu_hours": {
            "choose_one_coreset": k * score,
            f"train_on_{FULL}": whole,
            "train_on_coreset": part,
            "saved_a_training": saved,
            "in_all": sum(first) + sum(then),
        },
        "trainings_until_it_pays": k * score / saved if saved > 0 else None,
        "hours": {str(gpus): makespan(first, gpus) + makespan(then, gpus) for gpus in GPUS},
    }


def makespan(hours: list[float], gpus: int) -> float:
    """Hours until all are done, the longest first, each on the GPU that is free soonest."""
    free = [0.0] * gpus
    for took in sorted(hours, reverse=True):
        heapq.heapreplace(free, free[0] + took)
    return max(free)


def progress(kind: str, **fields: Any) -> None:
    if kind == "epoch":
        print(f"{fields['fit']}  epoch {fields['epoch']} of {fields['epochs']}  {fields['seconds']:.1f} s", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    running, costing = verbs.add_parser("run"), verbs.add_parser("cost")
    for verb in (running, costing):
        verb.add_argument("--learner", default="resnet50", help="resnet34, resnet50:epochs=90,precision=bf16, ...")
        verb.add_argument("--prune", type=float, default=0.3)
        verb.add_argument("--seeds", type=int, default=1)
        verb.add_argument("--fix", choices=["epochs", "iterations"], default="epochs")
        verb.add_argument("--json", type=Path, help="where the result goes; default benchmarks/results/imagenet.json")
    running.add_argument("--train", type=Path, required=True)
    running.add_argument("--test", type=Path, required=True)
    running.add_argument("--out", type=Path, required=True, help="folder that keeps the run")
    running.add_argument("--image-size", type=int, default=224)
    running.add_argument("--memory-limit", type=int, help="bytes; default: as the machine allows")
    running.add_argument("--data-workers", type=int, default=8)
    running.add_argument("--device", default="auto")
    costing.add_argument("--images-per-second", type=float, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
