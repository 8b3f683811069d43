"""Does a way to choose keep the recall of rarer classes? Designs on tuning beds, then the chosen one on report beds.

    python benchmarks/quality/recall.py --data FOLDER --cache FOLDER --out FOLDER [--side report] [--write]

Accuracy can stay while the recall of a rarer class falls. The beds of `beds.py` are cut to 2,000 rows, once as they are
and once with a long tail: the sizes of classes fall by a constant factor, to a tenth for two classes and to a twentieth
for more, in an order drawn by the replicate. Test rows have the same shares. The estimator that scores is the one that
is trained. Every arm is compared with random, each class in proportion, by accuracy and by the mean recall of classes.

Protocol, written before the runs. Designs are tried on tuning beds in five replicates. One is chosen: that whose mean
recall and whose accuracy are nowhere certainly below random, and that has the highest sum of both, mean over beds; as
the default, it must also not lose to the present one on the tuning beds of full size (`designs.py`, study `quotas`). It
is then shown once, beside the present default, on the report beds.

Designs differ in what is drawn inside a class, after its hardest are dropped (`cut`): strata of equal width, strata of
equal count (`rank`), or a share of the budget by width and the rest at random (`damped`).
Every cell is a line of `OUT/recall_<bed>.jsonl`; `--write` makes benchmarks/results/recall_<side>.json of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import designs
import numpy as np
from beds import BEDS, replicate
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neural_network import MLPClassifier

import unseen
from unseen.core.table import ScoreTable
from unseen.rules.sampling import Stratified, strata_by_rank, strata_by_width

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

ROWS, TESTED, SEEDS, KEEPS = 2_000, 6_000, 5, (0.7, 0.3, 0.1)
SHOWN = {
    "tuning": ("cifar10", "cifar10n", "patches", "sst2", "adult"),
    "report": ("cifar10n_worst", "emoji", "agnews", "diabetes", "kdd", "digits"),
}
ESTIMATORS: dict[str, Callable[[int], Any]] = {
    "forest": lambda seed: RandomForestClassifier(100, random_state=seed, n_jobs=1),
    "logistic": lambda seed: LogisticRegression(max_iter=300),
    "network": lambda seed: MLPClassifier((64,), max_iter=60, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(l2_regularization=1.0, random_state=seed),
}
BOOSTED = ("sst2", "adult", "diabetes")  # in place of a network; of ten classes and more a fit takes long


def drawn(bed: str, seed: int, tail: bool, cache: Path, data: Path) -> tuple[np.ndarray, ...]:
    """Training and test rows of a replicate; with a long tail, if asked."""
    of = replicate(bed, seed, cache, data)
    rng = np.random.default_rng([11, seed, zlib.crc32(bed.encode())])
    classes = np.unique(of.y)
    order = rng.permutation(len(classes))
    falling = (10.0 if len(classes) == 2 else 20.0) ** (-order / max(1, len(classes) - 1))

    def cut(y: np.ndarray, n: int) -> np.ndarray:
        rows = rng.permutation(len(y))
        if not tail:
            return np.sort(rows[:n])
        found = np.array([np.count_nonzero(y == label) for label in classes])
        wanted = falling * min(n / falling.sum(), (found / falling).min())
        own = [rows[y[rows] == c][: max(2, round(w))] for c, w in zip(classes, wanted, strict=True)]
        return np.sort(np.concatenate(own))

    rows, tested = cut(of.y, ROWS), cut(of.y_test, TESTED)
    labels = np.unique(of.y[rows])
    tested = tested[np.isin(of.y_test[tested], labels)]
    return (
        of.X[rows],
        np.searchsorted(labels, of.y[rows]),
        of.X_test[tested],
        np.searchsorted(labels, of.y_test[tested]),
    )


# ---- designs: what is drawn inside a class ---------------------------------------------------------------------------


def by_class(
    table: ScoreTable,
    keep: float,
    seed: int,
    how: Callable[[np.ndarray, np.ndarray], float | str],
    cut: str = "own",
) -> np.ndarray:
    """Choose inside each class by its floored quota.

    `how` gets the sizes and mean scores of classes and gives one figure or word for each: the share of the budget that
    is drawn by width, or `"rank"`. `cut` is `"own"` (the default's, of the class), `"equal"` (the same share of each
    class) or `"none"`.
    """
    score, rng = table.column("el2n"), np.random.default_rng([seed, int(keep * 100)])
    quotas = unseen.select(table, rule="random:quota=floored", keep=keep, seed=seed).provenance["quota"]
    budgets = [quotas[name] for name in table.class_names]
    rows_of = [np.flatnonzero(table.labels == label) for label in range(len(budgets))]
    sizes, hard = np.array([len(r) for r in rows_of]), np.array([score[r].mean() for r in rows_of])
    drops = [_dropped(table.take(rows), count) for rows, count in zip(rows_of, budgets, strict=True)]
    if cut == "equal":
        share = sum(drops) / len(score)
        drops = [min(int(share * n), n - b) for n, b in zip(sizes, budgets, strict=True)]
    chosen = []
    for at, (rows, budget) in enumerate(zip(rows_of, budgets, strict=True)):
        way, dropped = how(sizes, hard)[at], 0 if cut == "none" else drops[at]
        left = rows[np.sort(np.argsort(score[rows], kind="stable")[: len(rows) - dropped])]
        part = budget if way == "rank" else round(float(way) * budget)
        stratum = (
            strata_by_rank(score[left], min(50, max(budget, 1))) if way == "rank" else strata_by_width(score[left], 50)
        )
        counts = designs.share_out(part, np.bincount(stratum, minlength=50))
        own = [rng.choice(left[stratum == s], c, replace=False) for s, c in enumerate(counts) if c]
        first = np.concatenate([*own, np.empty(0, int)]).astype(int)
        chosen += [first, rng.choice(np.setdiff1d(left, first), budget - len(first), replace=False)]
    return np.concatenate(chosen)


def _dropped(own: ScoreTable, budget: int) -> int:
    if not budget:
        return 0
    return unseen.select(own, rule="stratified:cutoff=auto", score="el2n", keep=budget).count_found("cut_off") or 0


def over_all(table: ScoreTable, keep: float, seed: int, part: float = 1.0) -> np.ndarray:
    """Drop the hardest of each class as the default does; a part from strata over all classes, the rest at random."""
    score, left = table.column("el2n"), np.ones(len(table), bool)
    for label in np.unique(table.labels):
        rows = np.flatnonzero(table.labels == label)
        left[rows[np.argsort(-score[rows], kind="stable")[: _dropped(table.take(rows), round(keep * len(rows)))]]] = 0
    rest, budget = np.flatnonzero(left), round(keep * len(table))
    rule = Stratified(cutoff="auto").uncut()
    first = rest[unseen.select(table.take(rest), rule=rule, score="el2n", keep=round(part * budget), seed=seed).indices]
    if part == 1:
        return first
    others = np.setdiff1d(rest, first)
    more = designs.stratified_random(table.labels[others], budget - len(first), np.random.default_rng([seed, 5]))
    return np.concatenate([first, others[more]])


def _even(sizes: np.ndarray) -> float:
    return float(sizes.max() < 1.25 * sizes.mean())


def _mark(sizes: np.ndarray, small: float | str, large: float | str) -> list[float | str]:
    return [small if size < sizes.mean() else large for size in sizes]


How = Callable[[np.ndarray, np.ndarray], Any]
WAYS: dict[str, tuple[How, str]] = {
    "rank": (lambda s, h: ["rank"] * len(s), "own"),
    "half at random": (lambda s, h: [0.5] * len(s), "own"),
    "damped by the largest class": (lambda s, h: [s.mean() / s.max()] * len(s), "own"),
    "damped by the smallest class": (lambda s, h: [s.min() / s.mean()] * len(s), "own"),
    "damped by hardness of classes": (lambda s, h: [h.min() / h.max()] * len(s), "own"),
    "rank where a class is 1.25 of the mean": (lambda s, h: [_even(s) or "rank"] * len(s), "own"),
    "rank in classes above the mean": (lambda s, h: _mark(s, 1.0, "rank"), "own"),
    "rank in classes below the mean": (lambda s, h: _mark(s, "rank", 1.0), "own"),
    "width, an equal cut": (lambda s, h: [1.0] * len(s), "equal"),
    "rank, an equal cut": (lambda s, h: ["rank"] * len(s), "equal"),
    "width, no cut": (lambda s, h: [1.0] * len(s), "none"),
    "rank, no cut": (lambda s, h: ["rank"] * len(s), "none"),
}  # fmt: skip
CHOSEN = ("rank",)  # shown on report beds, beside random and the default


def choices(table: ScoreTable, keep: float, seed: int, side: str) -> dict[str, Callable[[], np.ndarray]]:
    """The arms, by name."""

    def by(rule: str, score: str | None = "el2n") -> Callable[[], np.ndarray]:
        return lambda: unseen.select(table, rule=rule, score=score, keep=keep, seed=seed).indices

    arms = {
        "random": by("random:quota=proportional", None),
        "default": by("stratified:cutoff=auto,quota=floored"),
    }
    ways = WAYS if side == "tuning" else {name: WAYS[name] for name in CHOSEN}
    for name, (how, cut) in ways.items():
        arms[name] = lambda how=how, cut=cut: by_class(table, keep, seed, how, cut)
    if side == "tuning":
        arms["cut by class, strata over all"] = lambda: over_all(table, keep, seed)
        arms["cut by class, half by strata over all"] = lambda: over_all(table, keep, seed, 0.5)
    return arms


# ---- running ---------------------------------------------------------------------------------------------------------


def cells(
    bed: str, seed: int, side: str, cache: Path, data: Path, done: set[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    """Train on what each arm keeps, by every estimator."""
    names = ["forest", "logistic", "boosting" if bed in BOOSTED else "network"]
    for tail in (False, True):
        rows_of = drawn(bed, seed, tail, cache, data)
        X, y = rows_of[:2]
        for name in names:
            if (seed, tail, name) in done:
                continue
            made = ESTIMATORS[name]
            scores = ["el2n", "memorization", "label_issue"]
            table = unseen.score(X, y, scores=scores, learner=made(seed), seed=seed, groups=None, threads=1)

            tested = partial(_test, lambda made=made: made(seed), rows_of)
            found: dict[str, dict[str, list[float]]] = {"everything": {"1.0": tested(np.arange(len(y)))}}
            for keep in KEEPS:
                for arm, choose in choices(table, keep, seed, side).items():
                    found.setdefault(arm, {})[str(keep)] = tested(choose())
            sizes = np.bincount(y)
            about = {"bed": bed, "seed": seed, "tail": tail, "estimator": name, "n": len(y), "sizes": sizes.tolist()}
            yield {**about, "arms": found}


def _test(made: Callable[[], Any], of: tuple[np.ndarray, ...], rows: np.ndarray) -> list[float]:
    """Accuracy and mean recall after training on these rows."""
    X, y, X_test, y_test = of
    guess = made().fit(X[rows], y[rows]).predict(X_test)
    return [float(np.mean(guess == y_test)), float(balanced_accuracy_score(y_test, guess))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features, see beds.py")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every cell")
    parser.add_argument("--side", choices=list(SHOWN), default="tuning")
    parser.add_argument("--beds", nargs="+", choices=list(BEDS), help="default: those of the side")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="replicates")
    parser.add_argument("--write", action="store_true", help="put what is there into benchmarks/results and stop")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    beds = given.beds or SHOWN[given.side]
    if given.write:
        found = [cell for bed in beds for cell in designs.read(given.out / f"recall_{bed}.jsonl")]
        print(write(f"recall_{given.side}", {"side": given.side, "tested": TESTED, "cells": found}))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        for bed in beds:
            path = given.out / f"recall_{bed}.jsonl"
            done = {(cell["seed"], cell["tail"], cell["estimator"]) for cell in designs.read(path)}
            with path.open("a") as file:
                for cell in cells(bed, seed, given.side, given.cache, given.data, done):
                    print(json.dumps(cell), file=file, flush=True)
            print(bed, seed, flush=True)


if __name__ == "__main__":
    main()
