"""What scoring at scale would take, on paper: calculated from measured and published throughput, nothing is run.

    python benchmarks/quality/scale.py      # writes benchmarks/results/scale.json; seconds

Two jobs, on 8 and on 64 workers:

embeddings   1e9 x 768 float16 vectors of 1,000 classes, `ridge` with float32 products. Operations by the formula of
             docs/estimate.md. Measured: operations a second of leave one out on 2 cores, by the
             difference of the fits of 3e6 and 1e6 rows in benchmarks/results/closed_form_size.json (what does not grow
             with the rows cancels), and their share of the peak; those of folds are lower as they were at 1,281,167
             rows. A worker is either 2 such cores, or a GPU.
imagenet     ImageNet-1K, ResNet-50, 60 epochs, 5 folds, one repeat, at the images a second that NVIDIA published for
             one A100 (benchmarks/results/imagenet_cost.json; its source is in results.md beside this file).

Every assumption is in ASSUMPTIONS, and in the result with its value.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from unseen.evaluating.costs import Size
from unseen.evaluating.costs import operations as operations_of
from unseen.learners.ridge import RidgeLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import RESULTS, write

ROWS, WIDTH, CLASSES = 1_000_000_000, 768, 1_000
IMAGES, EPOCHS, FOLDS = 1_281_167, 60, 5
WORKERS = (8, 64)
ASSUMPTIONS: dict[str, tuple[float | None, str]] = {
    "gpu_tflops": (19.5, "float32 peak of a GPU, TFLOP/s: the data sheet of an A100, without TF32"),
    "gigabytes_a_second": (1.0, "what a GPU is fed from storage, GB/s: each pass reads every vector once"),
    "looking": (1 / 3, "price of an image looked at, of one trained on: a forward pass without the backward one"),
    "together": (0.9, "throughput of several GPUs on one training, of that many times one GPU"),
    "reading": (None, "images are decoded as fast as they are trained on, which takes some 10 to 25 cores a GPU"),
    "spread": (None, "blocks of rows spread evenly over workers; adding up the sums of the workers takes no time"),
}


def main() -> None:
    measured = json.loads((RESULTS / "closed_form_size.json").read_text())["rows"]
    speed = json.loads((RESULTS / "imagenet_cost.json").read_text())["cost"]["images_per_second"]
    result = {
        "assumptions": {name: {"value": value, "words": words} for name, (value, words) in ASSUMPTIONS.items()},
        "embeddings": embeddings(measured),
        "imagenet": imagenet(speed),
    }
    print(json.dumps(result, indent=2))
    write("scale", result)


def assumed(name: str) -> float:
    """The value of an assumption that has one."""
    value = ASSUMPTIONS[name][0]
    assert value is not None
    return value


def embeddings(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Hours of the closed form by the rows measured."""
    line = {r["n"]: r for r in measured if r["plan"] == "leave_one_out" and "float32" in r["learner"]}
    small, large = line[1_000_000], line[3_000_000]
    rate = (large["operations"] - small["operations"]) / (large["fit_seconds"] - small["fit_seconds"])
    share = rate / (1e9 * large["peak_gflops"])
    both = {r["plan"]: r["share_of_fit"] for r in measured if r["n"] == IMAGES and "float32" in r["learner"]}
    slower = {plan: reached / both["leave_one_out"] for plan, reached in both.items()}
    beside = (large["seconds"] - large["fit_seconds"]) / large["n"]
    plans = {"leave_one_out": Size(0, ROWS, 0, "samples", ROWS), "folds(5)": Size(0, ROWS, 0, "folds", FOLDS)}
    counted = {name: operations(size) for name, size in plans.items()}
    return {
        "n": ROWS,
        "d": WIDTH,
        "classes": CLASSES,
        "gigaoperations_a_second_of_2_cores": rate / 1e9,
        "share_of_peak": share,
        "bytes_read": 2 * 2 * ROWS * WIDTH,  # two passes of float16
        "hours_beside_the_fit": beside * ROWS / 3600,
        "plans": {
            name: {
                "operations": count,
                "hours": {
                    str(workers): {
                        "cores": count / (rate * slower[name]) / workers / 3600,
                        "gpus": on_gpus(count, share * slower[name], workers),
                    }
                    for workers in WORKERS
                },
            }
            for name, count in counted.items()
        },
    }


def operations(size: Size) -> float:
    """Of the passes, and of solving and choosing."""
    counted = operations_of(RidgeLearner(), size, WIDTH, CLASSES, ROWS)
    assert counted is not None
    return counted


def on_gpus(count: float, share: float, workers: int) -> float:
    """Hours: computing at the share of the peak that the cores reach, or reading, whichever takes longer."""
    computing = count / (share * 1e12 * assumed("gpu_tflops"))
    reading = 2 * 2 * ROWS * WIDTH / (1e9 * assumed("gigabytes_a_second"))
    return max(computing, reading) / workers / 3600


def imagenet(speed: float) -> dict[str, Any]:
    """GPU hours and hours of five folds, a GPU for each, and several GPUs for each."""
    held_out = IMAGES / FOLDS
    images = EPOCHS * (IMAGES - held_out) + assumed("looking") * held_out
    one = images / speed / 3600
    return {
        "images_per_second": speed,
        "epochs": EPOCHS,
        "folds": FOLDS,
        "images_a_fit": images,
        "gpu_hours": FOLDS * one,
        "hours": {
            str(gpus): {"alone": one * math.ceil(FOLDS / gpus), "together": shared(one, gpus)} for gpus in WORKERS
        },
    }


def shared(one: float, gpus: int) -> float:
    """Hours where several GPUs train each fold, in the shortest of all ways to divide them evenly among folds."""
    efficiency = assumed("together")

    def hours(at_once: int) -> float:
        each = gpus // at_once
        return one / (each * (efficiency if each > 1 else 1.0)) * math.ceil(FOLDS / at_once)

    return min(hours(at_once) for at_once in range(1, min(FOLDS, gpus) + 1))


if __name__ == "__main__":
    main()
