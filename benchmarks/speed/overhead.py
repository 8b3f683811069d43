"""What the framework costs beyond training and one forward pass of the watch set for each observed epoch.

    python benchmarks/speed/overhead.py --data cifar10-train.parquet [--samples 10000] [--epochs 3]

The same fits three ways, in turn, in one process: the learner alone with a sink that throws away what it is given and
keeps no checkpoint (training and the forward passes, nothing else); a run in memory; and a run in a directory, with one
durable checkpoint an epoch. Scores: `el2n`, read at the last epoch, and `aum`, read at every epoch. The cost of the
forward passes themselves is beside it. Goal: under 5 %. Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import unseen
from unseen.data import from_arrays, from_parquet
from unseen.engine.executors import Job, LocalExecutor, run_job
from unseen.learners import Recipe, TorchLearner
from unseen.scores import resolve
from unseen.scores.accumulator import ScoreSink

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

PLAN = unseen.folds(2)


class ForgetfulSink(ScoreSink):
    """Wants what a sink wants, and throws it away."""

    def observe(self, side, observation):
        pass

    def state(self):
        return {}

    def result(self):
        return {}


class NoCheckpoints:
    def load(self):
        return None

    def save(self, arrays):
        pass


def alone(data, learner, score, executor):
    """Training and forward passes only; seconds, and those of the forward passes."""
    observed = []

    def report(kind, **fields):
        if kind == "epoch":
            observed.append(fields["observe_seconds"])

    start = time.perf_counter()
    for fit in PLAN.fits(data.ids, data.labels):
        sink = ForgetfulSink(fit, data.labels, [resolve(score)], len(data.class_names))
        job = Job(fit, sink, NoCheckpoints(), learner, 0, fit.name)
        run_job(job, data=data, threads=executor.threads, report=report)
    return time.perf_counter() - start, sum(observed)


def framed(data, learner, score, out):
    start = time.perf_counter()
    unseen.score(data, scores=score, plan=PLAN, learner=learner, groups=None, out=out)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/overhead.json")
    given = parser.parse_args()
    whole = from_parquet(given.data)
    rows = np.arange(given.samples)
    data = from_arrays(whole.take(rows), whole.labels[rows])
    learner, executor = TorchLearner(Recipe.named("convnet", epochs=given.epochs)), LocalExecutor()
    table = []
    for score in ("el2n", "aum"):
        alone(data, learner, score, executor)  # warm-up
        times = {"alone": [], "memory": [], "directory": [], "observing": []}
        for _ in range(given.repeats):
            seconds, observing = alone(data, learner, score, executor)
            times["alone"].append(seconds)
            times["observing"].append(observing)
            times["memory"].append(framed(data, learner, score, None))
            with tempfile.TemporaryDirectory() as folder:
                times["directory"].append(framed(data, learner, score, Path(folder) / "run"))
        ratios = {
            kind: [framed_s / alone_s - 1 for framed_s, alone_s in zip(times[kind], times["alone"], strict=True)]
            for kind in ("memory", "directory")
        }
        row = {
            "score": score,
            "observed_epochs": given.epochs if score == "aum" else 1,
            **{f"{kind}_seconds": statistics.median(values) for kind, values in times.items()},
            **{f"overhead_{kind}": statistics.median(values) for kind, values in ratios.items()},
        }
        table.append(row)
        print(
            f"{score:<6} training and forward passes {row['alone_seconds']:.1f} s "
            f"(passes {row['observing_seconds']:.2f} s), overhead in memory {row['overhead_memory']:+.1%}, "
            f"in a directory {row['overhead_directory']:+.1%}",
            flush=True,
        )
    result = {"samples": given.samples, "epochs": given.epochs, "repeats": given.repeats, "rows": table}
    write("overhead", result, given.out)


if __name__ == "__main__":
    main()
