"""Where the time of a sweep goes: a sweep on two worker processes, beside its bare trainings in a plain loop.

    python benchmarks/speed/sweep.py [--samples 20000] [--features 1280] [--methods 16] [--budgets 3] [--seeds 2]

Synthetic vectors, `mlp` with 8 epochs and batches of 256, one thread a fit. The sweep runs first, in a directory. Then
two processes do the same trainings (as many, of as many samples and epochs, the longest first) in a loop as one would
write it: a tensor, batches by index, `torch.optim.SGD`, and the watched samples predicted as often as the sweep looked
at them. Both times include the start of the processes and the import of torch. Goal: at most 1.15 times the loop.

Writes benchmarks/results/sweep.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SCORES = ("el2n", "loss", "margin", "entropy", "aum", "forgetting", "correctness", "confidence")
METHODS = [f"{score}/{rule}" for rule in ("top", "stratified") for score in SCORES]
BUDGETS = (0.1, 0.3, 0.5)
EPOCHS, BATCH, CLASSES, JOBS = 8, 256, 10, 2


def made(samples: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, CLASSES, samples)
    centres = draw.normal(size=(CLASSES, features))
    return (0.1 * centres[labels] + draw.normal(size=(samples, features))).astype(np.float32), labels


def swept(x: np.ndarray, y: np.ndarray, given: argparse.Namespace, out: Path) -> tuple[float, list[dict]]:
    """Seconds of the sweep, and its events."""
    start = time.perf_counter()
    import unseen
    from unseen.learners import Recipe, TorchLearner

    unseen.sweep(
        (x, y),
        methods=METHODS[: given.methods],
        keep=list(BUDGETS[: given.budgets]),
        seeds=given.seeds,
        learner=TorchLearner(Recipe.named("mlp", epochs=EPOCHS, batch_size=BATCH), device="cpu"),
        out=out,
        jobs=JOBS,
        threads=1,
    )
    seconds = time.perf_counter() - start
    logs = [path.read_text().splitlines() for path in out.rglob("events.jsonl")]
    return seconds, [json.loads(line) for log in logs for line in log]


def train_all(folder: str, queue) -> None:
    """Do trainings from the queue, each (samples, watched, looks), until it gives None."""
    import torch
    from torch import nn

    from unseen.learners import Recipe
    from unseen.learners.torch.networks import build

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    x, y = (torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in "xy")
    recipe = Recipe.named("mlp", epochs=EPOCHS, batch_size=BATCH)
    while (training := queue.get()) is not None:
        samples, watched, looks = training
        rows = torch.randperm(len(x))
        train, watch = rows[:samples], rows[:watched]
        mean, scale = x[train].mean(0), x[train].std(0)
        network = build(recipe.network, classes=CLASSES, features=x.shape[1])
        optimiser = torch.optim.SGD(
            network.parameters(), recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
        )
        for epoch in range(EPOCHS):
            network.train()
            for batch in train[torch.randperm(samples)].split(BATCH):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network((x[batch] - mean) / scale), y[batch]).backward()
                optimiser.step()
            if epoch >= EPOCHS - looks:
                network.eval()
                with torch.no_grad():
                    for batch in watch.split(2 * BATCH):
                        network((x[batch] - mean) / scale)


def looped(x: np.ndarray, y: np.ndarray, trainings: list[tuple[int, int, int]]) -> float:
    """Seconds of these trainings on two processes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("x", x), ("y", y)):
            np.save(f"{folder}/{name}.npy", array)
        start = time.perf_counter()
        queue = context.SimpleQueue()
        workers = [context.Process(target=train_all, args=(folder, queue)) for _ in range(JOBS)]
        for worker in workers:
            worker.start()
        for training in [*sorted(trainings, reverse=True), *[None] * JOBS]:
            queue.put(training)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        return time.perf_counter() - start


def computed() -> float:
    """Seconds of processor time of this process and of those that have ended; a busy machine changes them little."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--methods", type=int, default=len(METHODS))
    parser.add_argument("--budgets", type=int, default=len(BUDGETS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    x, y = made(given.samples, given.features)
    with tempfile.TemporaryDirectory() as folder:
        before = computed()
        sweep, events = swept(x, y, given, Path(folder) / "run")
        sweep_computed = computed() - before
    # Scorings watch a fold of the pool at every epoch, tests a fifth of all samples once.
    starts = [event for event in events if event["kind"] == "fit_start"]
    pool = max(event["samples"] for event in starts)
    trainings = [
        (event["samples"], pool - event["samples"], EPOCHS) if event["fit"].startswith("r0f") else
        (event["samples"], given.samples - pool, 1)
        for event in starts
    ]  # fmt: skip
    before = computed()
    loop = looped(x, y, trainings)
    loop_computed = computed() - before
    epochs = [event for event in events if event["kind"] == "epoch"]
    result = {
        "samples": given.samples,
        "features": given.features,
        "methods": given.methods,
        "budgets": list(BUDGETS[: given.budgets]),
        "seeds": given.seeds,
        "fits": len(starts),
        "sweep_seconds": sweep,
        "loop_seconds": loop,
        "sweep / loop": sweep / loop,
        "sweep_processor_seconds": sweep_computed,
        "loop_processor_seconds": loop_computed,
        "sweep / loop by processor": sweep_computed / loop_computed,
        "training_seconds": sum(event["seconds"] for event in epochs),
        "observing_seconds": sum(event["observe_seconds"] for event in epochs),
        "fit_seconds": sum(event["seconds"] for event in events if event["kind"] == "fit_end"),
    }
    print(json.dumps(result, indent=2))
    write("sweep", result, given.out)


if __name__ == "__main__":
    main()
