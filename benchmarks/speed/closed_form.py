"""Held-out predictions in closed form against scikit-learn's, on the same features, folds and penalty.

    python benchmarks/speed/closed_form.py --features narrow.npz wide.npz     # arrays X (n, d) and y (n,)
    python benchmarks/speed/closed_form.py --features narrow.npz --rows 5000 --folds 5    # a quick look

Peers: `cross_val_predict` of `Ridge(solver="cholesky")` on one-hot labels, with the very folds of the plan; for leave
one out `RidgeClassifierCV`, which stores its leave-one-out errors, and one fit and prediction of `Ridge`, for the
price. All get float64 arrays in memory and the same threads, each in a process of its own; ours gives its raw outputs
to a sink that keeps them. Prints a table and writes benchmarks/results/closed_form.json. Goals: the same predictions
to 1e-6 relative; 5 times as fast at 5 folds and 40 times at 50 with 512 columns; leave one out for about two fits.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifierCV
from sklearn.model_selection import cross_val_predict

import unseen
from unseen.core.plans import at_once
from unseen.data import from_arrays
from unseen.engine.runs import Run
from unseen.learners import RidgeLearner

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

LAM = 100.0


class Kept:
    """A sink that keeps raw outputs."""

    def __init__(self, n: int, classes: int) -> None:
        self.outputs = np.empty((n, classes))

    def wants(self, side: str, epoch: int, last: int) -> frozenset[str]:
        return frozenset({"logits"})

    def observe(self, side: str, observation: unseen.Observation) -> None:
        self.outputs[observation.rows] = observation.logits

    def state(self) -> dict[str, np.ndarray]:
        return {"outputs": self.outputs}


def ours(x: np.ndarray, y: np.ndarray, plan: unseen.Plan) -> Callable[[], np.ndarray]:
    data = from_arrays(x, y)
    (fit,) = at_once(plan).fits(data.ids, data.labels, seed=0)

    def work() -> np.ndarray:
        sink = Kept(*(len(data), len(data.class_names)))
        run = Run()
        run.open({})
        learner = RidgeLearner(lam=LAM, temperature=1)
        learner.fit(data, fit, sink, run.checkpoints(fit.name), seed=0, report=lambda *_, **__: None)
        return sink.outputs

    return work


def folds(x: np.ndarray, y: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    return ours(x, y, unseen.folds(k))


def leave_one_out(x: np.ndarray, y: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    return ours(x, y, unseen.leave_one_out())


def sklearn_folds(x: np.ndarray, y: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    z, hot = x.astype(np.float64), np.eye(y.max() + 1)[y]
    cuts = [(fit.train, fit.unseen) for fit in unseen.folds(k).fits(np.arange(len(y)), y, seed=0)]
    return lambda: cross_val_predict(Ridge(alpha=LAM, solver="cholesky"), z, hot, cv=cuts)


def sklearn_one_fit(x: np.ndarray, y: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    z, hot = x.astype(np.float64), np.eye(y.max() + 1)[y]
    return lambda: Ridge(alpha=LAM, solver="cholesky").fit(z, hot).predict(z)


def sklearn_leave_one_out(x: np.ndarray, y: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    """Squared errors for labels of -1 and 1."""
    z = x.astype(np.float64)
    return lambda: RidgeClassifierCV(alphas=[LAM], store_cv_results=True).fit(z, y).cv_results_[:, :, 0]


WORK = {f.__name__: f for f in (folds, leave_one_out, sklearn_folds, sklearn_one_fit, sklearn_leave_one_out)}


def measured(name: str, path: Path, rows: int | None, k: int, repeats: int, kept: Path) -> dict[str, object]:
    x, y = loaded(path, rows)
    work = WORK[name](x, y, k)
    before, times = peak_mib(), []
    for _ in range(repeats):
        start = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - start)
    np.save(kept, found)
    return {
        "work": name, "n": len(y), "d": x.shape[1], "classes": int(y.max()) + 1, "folds": k, "repeats": repeats,
        "seconds": float(np.median(times)), "slowest_s": max(times), "peak_mib": peak_mib(), "inputs_mib": before,
    }  # fmt: skip


def loaded(path: Path, rows: int | None) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as arrays:
        return arrays["X"][:rows].astype(np.float32), np.unique(arrays["y"][:rows], return_inverse=True)[1]


def compared(path: Path, rows: int | None, counts: list[int], repeats: int) -> list[dict[str, object]]:
    """The rows of the table for one set of features."""
    out = []
    with tempfile.TemporaryDirectory() as folder:

        def alone(name: str, k: int, times: int) -> tuple[dict[str, object], np.ndarray]:
            kept = Path(folder) / f"{name}-{k}.npy"
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measured, (name, path, rows, k, times, kept))
            return row, np.load(kept)

        for k in counts:
            peer, theirs = alone("sklearn_folds", k, 1)
            mine, found = alone("folds", k, repeats)
            mine["largest_difference"] = float(np.abs(found - theirs).max() / np.abs(theirs).max())
            mine["ratio"], mine["ratio_by_operations"] = peer["seconds"] / mine["seconds"], by_operations(mine, k)
            out += [peer, mine]
        mine, found = alone("leave_one_out", 0, repeats)
        fit, _ = alone("sklearn_one_fit", 0, repeats)
        peer, theirs = alone("sklearn_leave_one_out", 0, 1)
        _, y = loaded(path, rows)
        errors = np.square(2 * (found - np.eye(found.shape[1])[y]))
        mine["largest_difference"] = float(np.abs(errors - theirs).max() / np.abs(theirs).max())
        mine["ratio"], mine["in_fits"] = peer["seconds"] / mine["seconds"], mine["seconds"] / fit["seconds"]
        out += [fit, peer, mine]
    for row in out:
        show(row)
    return out


def by_operations(row: dict[str, object], k: int) -> float:
    """How many times the multiplications and additions of ours the peer does: a bound at equal speed of each."""
    n, d, c = (float(str(row[name])) for name in ("n", "d", "classes"))
    predicting = 2 * n * d * c
    theirs = k * ((n - n / k) * d * d + 2 * (n - n / k) * d * c + d**3 / 3) + predicting
    mine = n * d * d + k * d**3 / 3 + predicting
    return theirs / mine


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(row: dict[str, object]) -> None:
    more = {
        name: row[name] for name in ("ratio", "ratio_by_operations", "in_fits", "largest_difference") if name in row
    }
    print(
        f"{row['work']:<22} {row['n']:>7,} x {row['d']:<5} folds {row['folds']:>3}  {row['seconds']:>8.2f} s  peak "
        f"{row['peak_mib']:>6,.0f} MiB (inputs {row['inputs_mib']:,.0f})  "
        + ", ".join(f"{name} {value:.3g}" for name, value in more.items()),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="npz files with X and y")
    parser.add_argument("--rows", type=int, help="the first so many only")
    parser.add_argument("--folds", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the median is stated")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/closed_form.json")
    options = parser.parse_args()
    rows = []
    for path in options.features:
        rows += compared(path, options.rows, options.folds, options.repeats)
    write("closed_form", {"lam": LAM, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
