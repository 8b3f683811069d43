"""How good is the cheap answer? Scores in closed form against those of a trained network, and coresets by either.

    python benchmarks/quality/agreement.py --images TRAIN TEST --run RUN --features X.npz --out FOLDER

`--run` holds CIFAR-10's training images scored by the convnet under folds(5) (`unseen prune TRAIN --learner convnet`);
`--features` untrained features of the same images (arrays X and y), which `ridge` scores by leave one out, in closed
form. Says the rank correlation of the two, and what the convnet trained on the coreset of either comes to at a few
budgets, random beside it: epochs fixed, accuracy after the last epoch on the test images, replicates that redraw
selection and training, with equal seeds for all arms. The scorings are one each: what they would differ by, drawn
again, is in no interval here. Writes benchmarks/results/quality_agreement.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import unseen
from unseen.core import seeds
from unseen.data import from_arrays, from_parquet
from unseen.data.parts import Joined
from unseen.engine.runs import open_run
from unseen.engine.work import Training, Work
from unseen.evaluating.statistics import interval, paired
from unseen.learners import Recipe, TorchLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SCORES = ["el2n", "entropy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, nargs=2, metavar=("TRAIN", "TEST"), required=True)
    parser.add_argument("--run", type=Path, required=True, help="scored by the convnet")
    parser.add_argument("--features", type=Path, required=True, help="npz of X and y")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the trainings")
    parser.add_argument("--keep", type=float, nargs="+", default=[0.2, 0.5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of the convnet; default those of the preset")
    parser.add_argument("--result", type=Path, help="default: benchmarks/results/quality_agreement.json")
    given = parser.parse_args()

    train, test = (from_parquet(path) for path in given.images)
    trained = unseen.load(given.run / "scores.parquet")
    with np.load(given.features) as arrays:
        vectors = from_arrays(arrays["X"], arrays["y"], class_names=train.class_names)
    assert (trained.labels == vectors.labels).all(), "the run and the features are not of the same images"
    start = time.perf_counter()
    closed = unseen.score(vectors, scores=SCORES, plan=unseen.leave_one_out(), learner="ridge")
    seconds = time.perf_counter() - start
    tables = {"convnet, folds(5)": trained, "ridge, leave one out": closed}
    known = [score for score in SCORES if score in trained.values]
    correlation = {s: float(spearmanr(trained.column(s), closed.column(s)).statistic) for s in known}
    held_out = {name: float((t.predictions == t.labels).mean()) for name, t in tables.items()}
    print(f"held-out accuracy {held_out}, rank correlation {correlation}, ridge took {seconds:.1f} s", flush=True)

    options = {} if given.epochs is None else {"epochs": given.epochs}
    learner = TorchLearner(Recipe.named("convnet", **options), device="cpu")
    joined = Joined(train, test)
    work = Work(joined, learner, groups=None)
    cells: dict[str, dict[str, list[float]]] = {}
    with open_run(given.out) as run:
        run.open({"agreement": "el2n", "learner": work.learner.describe(), "fingerprint": work.samples.fingerprint})
        for keep in given.keep:
            for name in [*tables, "random"]:
                arm = f"{name.split(',')[0]}-{keep}"
                trainings = [
                    Training(f"{arm}-r{r}", chosen(tables.get(name), len(train), train, keep, r), r, work.learner)
                    for r in range(given.seeds)
                ]
                tested = work.test(run, trainings, joined.test_rows, seed=1)
                found = {training.replicate: outcome for training, outcome in tested}
                cells.setdefault(name, {})[str(keep)] = [found[r].accuracy for r in range(given.seeds)]
                print(f"keep {keep}, {name}: {interval(np.array(cells[name][str(keep)])).text()}", flush=True)
            for name in tables:
                mine, random = (np.array(cells[arm][str(keep)]) for arm in (name, "random"))
                print(f"keep {keep}, {name} less random: {paired(mine, random).text(sign=True)}", flush=True)
    result = {
        "n": len(train), "n_test": len(test), "seeds": given.seeds, "recipe": learner.recipe.describe(),
        "score": "el2n", "rule": "stratified:cutoff=error", "correlation": correlation, "held_out": held_out,
        "ridge_seconds": seconds, "width": vectors.sample_shape[0], "accuracy": cells,
    }  # fmt: skip
    write("quality_agreement", result, given.result)


def chosen(table: unseen.ScoreTable | None, n: int, train: Any, keep: float, replicate: int) -> np.ndarray:
    """Rows of the coreset of a replicate, by the default rule, or at random."""
    seed = seeds.derive(1, "agreement", replicate)
    if table is None:
        blank = unseen.ScoreTable.unscored(train.ids, train.labels, train.class_names)
        return unseen.select(blank, keep=keep, rule="random", seed=seed).indices
    return unseen.select(table, keep=keep, score="el2n", seed=seed).indices


if __name__ == "__main__":
    main()
