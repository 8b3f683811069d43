"""Ways to choose, tried on tuning beds and shown on report beds: cutoffs, several steps, and the default against peers.

    python benchmarks/quality/designs.py --data FOLDER --cache FOLDER --out FOLDER --study cutoffs steps report

`beds.py` says which beds there are and makes their features. Every cell is a line of `<out>/<study>_<bed>.jsonl`, so a
study that is broken off goes on where it was; `--write` puts what is there into `benchmarks/results/`.

Protocol, written before the runs. A coreset gets as many iterations as everything (a network; the other models train to
their end). Accuracy after the last epoch on test rows. A replicate redraws training rows, scoring, selection and
training; all designs of a replicate share its seeds, so differences are paired. 3 replicates for tuning, 5 for report.

- `cutoffs`: strata of held-out `el2n` (two folds), less a number of the hardest; which number? `e` is the held-out
  error, `p` the pruned share, `fit` the share of held-out errors that models get right when trained on them, at most
  1, scaled from half of the data to the budget.
- `steps`: several steps against repeats of one, each with its price in trainings of everything.
- `report`: what `unseen.prune` does by default, random, and in-sample peers each under its own published rule. The
  default is written `unseen.select` on held-out predictions of `halves`, as the library does it.
- `grown`: `unseen.grow` with one and two refills, as `steps` chose them, on report beds, against one step and two
  repeats of it; all by the library with the model of the bed.
- `prices`: the default rule on scorings of several prices, on the tuning beds of networks.
- `epochs`: default, random and CCS on the report beds of networks, where a coreset gets as many epochs as everything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold

import unseen
from unseen import functional, rules
from unseen.core.exposure import SIDES, Observation
from unseen.core.protocols import Learner
from unseen.core.seeds import derive
from unseen.rules.registry import FALLBACK, default_rule, explain_fallback
from unseen.rules.sampling import share_out, strata_by_rank, strata_by_width

sys.path.append(str(Path(__file__).resolve().parents[1]))
from beds import BATCH, BEDS, EPOCHS, Network, Replicate, replicate, train

from setting import RESULTS, about, write

KEEPS = (0.9, 0.7, 0.5, 0.3, 0.1)
Rows = np.ndarray
Designs = dict[str, tuple[float, Callable[[], Rows]]]  # the price in trainings of everything, and the choice


# ---- held-out predictions and strata ---------------------------------------------------------------------------------


def dealt(y: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The fold of each row, by class."""
    fold = np.empty(len(y), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer members than folds
        for j, (_, test) in enumerate(StratifiedKFold(k, shuffle=True, random_state=seed).split(y, y)):
            fold[test] = j
    return fold


def held_out(of: Replicate, k: int, seed: int, first: int) -> tuple[np.ndarray, float]:
    """Logits of each row by the model that lacked its fold; and the mean error of the models on what they saw."""
    logits, fold, seen = np.empty((len(of.X), of.classes)), dealt(of.y, k, seed), []
    for j in range(k):
        rows = np.flatnonzero(fold != j)
        model = train(of, rows, first + j)
        logits[fold == j] = model.logits(of.X[fold == j])
        seen.append(wrong(model.logits(of.X[rows]), of.y[rows]).mean())
    return logits, float(np.mean(seen))


def wrong(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    return logits.argmax(axis=1) != y


def from_strata(
    score: np.ndarray, left: Rows, budget: int, rng: np.random.Generator, cut: Any = strata_by_width
) -> Rows:
    stratum = cut(score[left], 50)
    counts = share_out(budget, np.bincount(stratum, minlength=50))
    return np.concatenate([rng.choice(left[stratum == s], c, replace=False) for s, c in enumerate(counts) if c])


def less_hardest(score: np.ndarray, dropped: int) -> Rows:
    kept = np.ones(len(score), bool)
    kept[np.argsort(-score, kind="stable")[:dropped]] = False
    return np.flatnonzero(kept)


def stratified_random(y: np.ndarray, budget: int, rng: np.random.Generator) -> Rows:
    key, place = rng.random(len(y)), np.empty(len(y))
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        own = own[np.argsort(key[own])]
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return np.argsort(place, kind="stable")[:budget]


def _largest_by_class(value: np.ndarray, y: np.ndarray, size: int) -> Rows:
    """Rows of the largest values, each class in proportion."""
    place = np.empty(len(y))
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        place[own[np.argsort(-value[own], kind="stable")]] = np.arange(1, len(own) + 1) / len(own)
    return np.argsort(place, kind="stable")[:size]


# ---- the studies -----------------------------------------------------------------------------------------------------

# By e, p, fit and l, the share of label issues.
CUTOFFS: dict[str, Callable[[float, float, float, float], float]] = {
    "0": lambda e, p, fit, i: 0.0,
    "e (was the default)": lambda e, p, fit, i: min(e, p),
    "min(e, p/2)": lambda e, p, fit, i: min(e, p / 2),
    "e p": lambda e, p, fit, i: e * p,
    "min(e, p^2)": lambda e, p, fit, i: min(e, p**2),
    "min(e, p^2/2)": lambda e, p, fit, i: min(e, p**2 / 2),
    "min(e, p^3)": lambda e, p, fit, i: min(e, p**3),
    "min(e/2, p^2)": lambda e, p, fit, i: min(e / 2, p**2),
    "min(fit e, p^2)": lambda e, p, fit, i: min(fit * e, p**2),
    "min(fit e, p^2/2)": lambda e, p, fit, i: min(fit * e, p**2 / 2),
    "min(fit e, p/2)": lambda e, p, fit, i: min(fit * e, p / 2),
    "fit min(e, p^2)": lambda e, p, fit, i: fit * min(e, p**2),
    "fit min(e, p^2/2)": lambda e, p, fit, i: fit * min(e, p**2 / 2),
    "fit^2 min(e, p^2)": lambda e, p, fit, i: fit**2 * min(e, p**2),
    "fit max(min(e, p^2/2), l)": lambda e, p, fit, i: fit * max(min(e, p**2 / 2), i),
    "fit max(min(e, p^2/2), l/2)": lambda e, p, fit, i: fit * max(min(e, p**2 / 2), i / 2),
    "fit max(min(e, p^2/2), min(l, p/2))": lambda e, p, fit, i: fit * max(min(e, p**2 / 2), min(i, p / 2)),
    "fit max(min(e, p^2/2), l^2/e) (the default)": lambda e, p, fit, i: fit * max(min(e, p**2 / 2), i**2 / e),
}


def cutoffs(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """Strata less the hardest, by every cutoff; strata by rank; half of it random; hardest first."""
    n = len(of.X)
    logits, seen = held_out(of, 2, seed + 20, seed * 100)
    score, e = functional.el2n(logits, of.y), float(wrong(logits, of.y).mean())
    issues = float(np.mean(functional.label_issue(logits, of.y)))
    for keep in KEEPS:
        budget, p = round(keep * n), 1 - keep
        fit = min(1.0, max(0.0, e - seen) / e / (2 * keep))

        def rng(keep: float = keep) -> np.random.Generator:
            return np.random.default_rng([seed, int(keep * 100)])

        def by(share: float, cut: Any = strata_by_width, *, p: float = p, budget: int = budget, rng: Any = rng) -> Rows:
            return from_strata(score, less_hardest(score, int(min(share, p) * n)), budget, rng(), cut)

        def half_random(share: float, *, p: float = p, budget: int = budget, rng: Any = rng) -> Rows:
            generator = rng()
            drawn = stratified_random(of.y, budget // 2, generator)
            rest = np.setdiff1d(less_hardest(score, int(min(share, p) * n)), drawn)
            if len(rest) < budget - len(drawn):
                rest = np.setdiff1d(np.arange(n), drawn)
            return np.concatenate([drawn, from_strata(score, rest, budget - len(drawn), generator)])

        designs: Designs = {
            "random": (0, lambda rng=rng, budget=budget: rng().choice(n, budget, replace=False)),
            "random, by class": (0, lambda rng=rng, budget=budget: stratified_random(of.y, budget, rng())),
            "hardest first": (1, lambda budget=budget: np.argsort(-score, kind="stable")[:budget]),
            "min(e, p^2), by rank": (1, lambda by=by, p=p: by(min(e, p**2), strata_by_rank)),
            "min(e, p^2), half random": (1, lambda half=half_random, p=p: half(min(e, p**2))),
        }
        for name, share in CUTOFFS.items():
            dropped = share(e, p, fit, issues)
            designs[name] = (1, lambda by=by, dropped=dropped: by(dropped))
        yield keep, designs


# Parts of the budget before each refill, their name, and the worths of those who enter.
REFILLS = (
    ((0.5,), "half", ("entropy", "entropy, by class", "reducible", "hard but learnable", "strata")),
    ((0.25,), "a quarter", ("entropy",)),
    (
        (0.75,),
        "three quarters",
        ("entropy", "entropy, by class", "entropy of both steps", "hard but learnable", "strata"),
    ),
    ((0.9,), "nine tenths", ("entropy",)),
    ((0.5, 0.75), "half, then three quarters", ("entropy", "hard but learnable")),
    ((0.25, 0.5, 0.75), "a quarter, half, three quarters", ("entropy",)),
    ((0.5, 0.625, 0.75, 0.875), "half, then eighths", ("entropy",)),
)


def steps(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """Two folds once, and what may be done for another training: again, or in a further step."""
    n, everything, made = len(of.X), np.arange(len(of.X)), iter(range(1, 10_000))
    halved = [held_out(of, 2, seed * 10 + r, seed * 1000 + 10 * r) for r in range(4)]
    repeats, seen = [logits for logits, _ in halved], halved[0][1]
    scores = [functional.el2n(logits, of.y) for logits in repeats]
    five = held_out(of, 5, seed * 10, seed * 1000 + 50)[0]
    first, e = scores[0], float(wrong(repeats[0], of.y).mean())
    issues = float(np.mean(functional.label_issue(repeats[0], of.y)))
    once = np.exp(torch.log_softmax(torch.from_numpy(repeats[0]), 1).numpy())[everything, of.y]

    def trained(rows: Rows) -> Any:
        return train(of, rows, seed * 1000 + 100 + next(made))

    for keep in KEEPS[1:]:
        budget, p = round(keep * n), 1 - keep
        fit = min(1.0, max(0.0, e - seen) / e / (2 * keep))
        share = fit * max(min(e, p**2 / 2), issues**2 / e)  # cut as the default does
        most = int(min(share, p) * n)

        def rng(keep: float = keep) -> np.random.Generator:
            return np.random.default_rng([seed, int(keep * 100)])

        def chosen(score: np.ndarray, size: int = budget, dropped: int = most, rng: Any = rng) -> Rows:
            return from_strata(score, less_hardest(score, dropped), size, rng())

        def joined(coresets: list[Rows], weight: float) -> np.ndarray:
            """The first score, averaged with that of models of these coresets, where they lacked the sample."""
            total, count = np.zeros(n), np.zeros(n)
            for rows in coresets:
                outside = np.setdiff1d(everything, rows)
                total[outside] += functional.el2n(trained(rows).logits(of.X[outside]), of.y[outside])
                count[outside] += 1
            known = count > 0
            score = first.copy()
            score[known] = (first[known] + weight * total[known] / count[known]) / (1 + weight)
            return score

        def random_coresets(budget: int = budget, keep: float = keep, rng: Any = rng, joined: Any = joined) -> Any:
            count, generator = min(round(1 / keep), 6), rng()
            return joined([np.sort(generator.choice(n, budget, replace=False)) for _ in range(count)], count)

        def own_coresets(share: float = share, budget: int = budget, rng: Any = rng, joined: Any = joined) -> Any:
            coresets, fold = [], dealt(of.y, 2, seed * 10)
            for j in (0, 1):
                side = np.flatnonzero(fold != j)
                size = min(budget, int(0.95 * len(side)))
                dropped = int(min(share, 1 - size / len(side)) * len(side))
                coresets.append(side[from_strata(first[side], less_hardest(first[side], dropped), size, rng())])
            return joined(coresets, 2)

        def cleaned(share: float) -> np.ndarray:
            """The score of models that are not trained on the hardest samples of the first step."""
            fold, trusted = dealt(of.y, 2, seed * 10 + 5), np.zeros(n, bool)
            trusted[less_hardest(first, int(share * e * n))] = True
            logits = np.empty((n, of.classes))
            for j in (0, 1):
                logits[fold == j] = trained(np.flatnonzero((fold != j) & trusted)).logits(of.X[fold == j])
            return functional.el2n(logits, of.y)

        def refilled(
            worth: str, sizes: tuple[float, ...], budget: int = budget, most: int = most, chosen: Any = chosen
        ) -> Rows:
            """A part of the budget by the first step; models of the coreset so far say who fills the rest."""
            rows, kept = chosen(first, round(sizes[0] * budget)), less_hardest(first, most)
            for size in (*sizes[1:], 1.0):
                outside = np.setdiff1d(kept, rows)
                logits, y = trained(rows).logits(of.X[outside]), of.y[outside]
                rows = np.concatenate(
                    [rows, outside[entering(worth, logits, outside, y, round(size * budget) - len(rows))]]
                )
            return rows

        def entering(worth: str, logits: np.ndarray, outside: Rows, y: np.ndarray, room: int, rng: Any = rng) -> Rows:
            everyone = np.arange(len(y))
            if worth == "strata":
                return from_strata(functional.el2n(logits, y), everyone, room, rng())
            if worth == "entropy, by class":
                return _largest_by_class(functional.entropy(logits), y, room)
            p_label = torch.softmax(torch.from_numpy(logits), 1).numpy()[everyone, y]
            value = {
                "entropy": functional.entropy(logits),
                "entropy of both steps": functional.entropy(logits) + functional.entropy(repeats[0][outside]),
                "reducible": np.log(once[outside] + 1e-9) - np.log(p_label + 1e-9),
                "hard but learnable": functional.el2n(logits, y) * once[outside],
            }[worth]
            return np.argsort(-value, kind="stable")[:room]

        def swapped(times: int, budget: int = budget, rng: Any = rng, chosen: Any = chosen) -> Rows:
            """Halves of the coreset judge each other and all outsiders; scores are averaged; choose again."""
            score, count, rows = first.copy(), np.ones(n), chosen(first)
            for _ in range(times):
                order = rng().permutation(len(rows))
                for half in (rows[order[: budget // 2]], rows[order[budget // 2 :]]):
                    outside = np.setdiff1d(everything, half)
                    new = functional.el2n(trained(half).logits(of.X[outside]), of.y[outside])
                    score[outside] = (score[outside] * count[outside] + new) / (count[outside] + 1)
                    count[outside] += 1
                rows = chosen(score)
            return rows

        designs: Designs = {
            "random": (0, lambda rng=rng, budget=budget: rng().choice(n, budget, replace=False)),
            "one step": (1, lambda c=chosen: c(first)),
            "one step, 2 repeats": (2, lambda c=chosen: c(sum(scores[:2]) / 2)),
            "one step, 4 repeats": (4, lambda c=chosen: c(sum(scores) / 4)),
            "one step, five folds": (4, lambda c=chosen: c(functional.el2n(five, of.y))),
            "and random coresets": (2, lambda c=chosen, f=random_coresets: c(f())),
            "and coresets of halves": (1 + min(2 * keep, 0.95), lambda c=chosen, f=own_coresets: c(f())),
            "and models less the doubted": (2, lambda c=chosen, f=cleaned: c((first + f(1.0)) / 2)),
            "models less the doubted alone": (2, lambda c=chosen, f=cleaned: c(f(1.0))),
            "and models less half of the doubted": (2, lambda c=chosen, f=cleaned: c((first + f(0.5)) / 2)),
            "evaluated and chosen again, twice": (1 + 2 * keep, lambda f=swapped: f(2)),
        }
        for sizes, name, worths in REFILLS:
            price = 1 + keep * sum(sizes)
            for worth in worths:
                designs[f"{name}, refilled by {worth}"] = (price, lambda f=refilled, w=worth, s=sizes: f(w, s))
        yield keep, designs


# Cutoffs of CCS by share pruned, on CIFAR-10; that of 90 % stands in the authors' README, the others are as recalled.
CCS = {0.9: 0.0, 0.7: 0.0, 0.5: 0.0, 0.3: 0.1, 0.1: 0.3}


def report(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """The default of `unseen.prune`, random, and peers that score in-sample, each under its own rule."""
    n, everything = len(of.X), np.arange(len(of.X))
    table = _default_table(of, seed)
    weak = explain_fallback(table) is not None
    if of.learner == "network":
        network = Network(of.X.shape[1], of.classes, seed)
        history = network.fit(of.X, of.y, of.iterations, seed + 1, look=of.X)
    else:
        history = train(of, everything, seed).logits(of.X)[None]
    p_label = np.exp(torch.log_softmax(torch.from_numpy(history), 2).numpy())[:, everything, of.y].mean(axis=0)
    window = {"window": 10 if len(history) >= 10 else len(history)}

    def of_score(values: np.ndarray, direction: str) -> Any:
        return unseen.ScoreTable.of("score", values, direction=direction, labels=of.y)

    el2n = of_score(functional.el2n(history[-1], of.y), "harder")
    aum = of_score(functional.aum(history, of.y), "easier")
    for keep in KEEPS[1:]:
        shared = {"keep": round(keep * n), "seed": seed}
        designs: Designs = {
            "random": (0, lambda s=shared: rules.random(n, **s).indices),
            "random, by class": (0, lambda s=shared: rules.random(n, labels=of.y, quota="proportional", **s).indices),
            "default": (1, lambda s=shared: _by_default(table, weak, s)),
            "in-sample EL2N, hardest": (1, lambda s=shared: rules.top(el2n, **s).indices),
            "CCS": (1, lambda s=shared, k=keep: rules.stratified(aum, cutoff=CCS[k], **s).indices),
            "in-sample entropy": (
                1,
                lambda s=shared: rules.top(of_score(functional.entropy(history[-1]), "worth"), **s).indices,
            ),
            "moderate": (0, lambda s=shared: rules.moderate(n, labels=of.y, features=of.X, **s).indices),
            "D2": (1, lambda s=shared: rules.graph(el2n, features=of.X, **s).indices),
        }
        if len(history) > 2:
            dual = of_score(functional.dual(history, of.y, **window), "worth")
            tdds = of_score(functional.tdds(history, of.y, **window), "worth")
            designs["DUAL"] = (1, lambda s=shared, d=dual: rules.beta(d, mean_confidence=p_label, **s).indices)
            designs["TDDS"] = (1, lambda s=shared, t=tdds: rules.top(t, **s).indices)
        yield keep, designs


def _default_table(of: Replicate, seed: int, *, k: int = 2, part: float = 1.0) -> Any:
    """What `unseen.prune` scores by these models: el2n, memorization, issues and predictions; `halves` where k is 2."""
    fold, first = dealt(of.y, k, seed + 20), seed * 100
    held, seen = np.empty((len(of.X), of.classes)), np.zeros(len(of.X))
    for j in range(k):
        inside, outside = np.flatnonzero(fold != j), np.flatnonzero(fold == j)
        steps = max(1, round(part * EPOCHS * len(inside) / min(BATCH, len(inside))))
        model = train(of, inside, first + j, steps)
        held[outside] = model.logits(of.X[outside])
        seen[inside] += (~wrong(model.logits(of.X[inside]), of.y[inside])).astype(float) / (k - 1)
    memorized = seen - ~wrong(held, of.y)
    return unseen.ScoreTable(
        ids=np.arange(len(of.X)),
        labels=of.y,
        class_names=tuple(map(str, range(of.classes))),
        folds=fold[None].astype(np.int32),
        values={
            "el2n": functional.el2n(held, of.y)[None],
            "memorization": memorized[None].astype(float),
            "label_issue": np.asarray(functional.label_issue(held, of.y), float)[None],
        },
        directions={"el2n": "harder", "memorization": "harder", "label_issue": "harder"},
        predictions=held.argmax(axis=1),
    )


def _by_default(table: Any, weak: bool, shared: dict[str, int]) -> Rows:
    rule = FALLBACK if weak else default_rule("harder", table.labels)
    return unseen.select(table, score=None if weak else "el2n", rule=rule, **shared).indices


class BedLearner(Learner):
    """The model of a bed, as a learner of the library."""

    name = "bed"

    def __init__(self, of: Replicate) -> None:
        self.of = of
        self.present = np.unique(of.y)  # the library numbers only these; rows may lack a rare class

    def describe(self) -> dict[str, object]:
        return {"learner": self.name, "model": self.of.learner}

    def fit(self, data: Any, fit: Any, sink: Any, checkpoints: Any, *, seed: int, report: Callable[..., None]) -> None:
        model = train(self.of, fit.train, derive(seed, self.name, fit.repeat, fit.fold) % 2**31)
        for side in SIDES:
            if sink.wants(side, 1, 1):
                rows = fit.watch(side)
                sink.observe(side, Observation(rows, 1, logits=model.logits(self.of.X[rows])[:, self.present]))
        report("epoch", epoch=1, epochs=1)


def grown(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """`unseen.grow` by its defaults, and by one refill, against one step and two repeats of it; all by the library."""
    data, own = unseen.data.from_arrays(of.X, of.y), {"learner": BedLearner(of), "seed": seed, "groups": None}
    scores = ["el2n", "memorization", "label_issue"]
    tables = [unseen.score(data, scores=scores, plan=unseen.halves(repeats=k), **own) for k in (1, 2)]
    weak = explain_fallback(tables[0]) is not None
    for keep in KEEPS[1:]:
        shared = {"keep": round(keep * len(of.X)), "seed": seed}

        def refilled(start: float, steps: int, shared: dict[str, int] = shared) -> Rows:
            return unseen.grow(data, keep=shared["keep"], start=start, steps=steps, **own).coreset.indices

        designs: Designs = {
            "random": (0, lambda s=shared: rules.random(len(of.X), **s).indices),
            "one step": (1, lambda s=shared: _by_default(tables[0], weak, s)),
        }
        if not weak:
            designs |= {
                "one step, 2 repeats": (2, lambda s=shared: _by_default(tables[1], weak, s)),
                "several steps": (1 + 0.75 * keep, lambda f=refilled: f(0.75, 1)),
                "several steps, two refills": (1 + 1.25 * keep, lambda f=refilled: f(0.5, 2)),
            }
        yield keep, designs


# Parts of the epochs of a training that scoring models get.
SHORTER = {1.0: "all epochs", 0.5: "half", 0.25: "a quarter", 0.125: "an eighth"}


def prices(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """The default rule on scorings of several prices: folds, shorter trainings, and ridge in closed form."""
    n = len(of.X)
    tables = {("halves", part): (part, _default_table(of, seed, part=part)) for part in SHORTER}
    for k in (3, 5):
        tables[f"{k} folds", 1.0] = (k - 1, _default_table(of, seed, k=k))
    vectors = unseen.data.from_arrays(of.X, of.y)
    ridge = unseen.score(vectors, learner="ridge", plan=unseen.leave_one_out(), seed=seed, threads=1, groups=None)
    for keep in KEEPS[1:]:
        shared = {"keep": round(keep * n), "seed": seed}
        designs: Designs = {"random": (0, lambda s=shared: rules.random(n, **s).indices)}
        for (plan, part), (price, table) in tables.items():
            weak = explain_fallback(table) is not None
            name = plan if part == 1 else f"{plan}, {SHORTER[part]}"
            designs[name] = (price, lambda s=shared, t=table, w=weak: _by_default(t, w, s))
        designs["ridge, leave one out"] = (0, lambda s=shared: unseen.select(ridge, score="el2n", **s).indices)
        yield keep, designs


def epochs(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """The default, random and CCS again, where a coreset gets as many epochs, not iterations, as everything."""
    if of.learner != "network":  # the others train to their end
        return
    for keep, designs in report(of, seed):
        yield keep, {name: designs[name] for name in ("random", "default", "CCS")}


def damped(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """Random, the default and CCS only, on kdd by boosting that does not diverge: a fit takes long."""
    for keep, designs in report(of, seed):
        yield keep, {name: designs[name] for name in ("random", "default", "CCS")}


def quotas(of: Replicate, seed: int) -> Iterator[tuple[float, Designs]]:
    """Does every class get its share? The default rule over all samples, and inside each class."""
    n = len(of.X)
    table = _default_table(of, seed)
    for keep in KEEPS[1:]:
        shared = {"keep": round(keep * n), "seed": seed}

        def by(rule: str, shared: dict[str, int] = shared) -> Rows:
            return unseen.select(table, score="el2n", rule=rule, **shared).indices

        yield (
            keep,
            {
                "random": (0, lambda s=shared: rules.random(n, **s).indices),
                "random, by class": (0, lambda by=by: by("random:quota=proportional")),
                "over all": (1, lambda by=by: by("stratified:cutoff=auto")),
                "in each class": (1, lambda by=by: by("stratified:cutoff=auto,quota=proportional")),
            },
        )


STUDIES = {
    "quotas": (quotas, "tuning", 3),
    "cutoffs": (cutoffs, "tuning", 3),
    "steps": (steps, "tuning", 3),
    "report": (report, "report", 5),
    "grown": (grown, "report", 5),
    "epochs": (epochs, "report", 5),
    "prices": (prices, "tuning", 3),
    "damped": (damped, "report", 3),
}


# ---- running and writing ---------------------------------------------------------------------------------------------


def run(study: str, bed: str, seed: int, cache: Path, data: Path, out: Path, named: list[str] | None = None) -> None:
    """All cells of one replicate that are not there yet; of the named designs, if any are."""
    path = out / f"{study}_{bed}.jsonl"
    done = {(cell["seed"], cell["keep"], cell["design"]) for cell in read(path)}
    of = replicate(bed, seed, cache, data)
    with path.open("a") as file:

        def tested(keep: float, design: str, price: float, rows: Rows, trained: int) -> None:
            model = train(of, np.sort(rows), trained, None if study == "epochs" else of.iterations)
            right = ~wrong(model.logits(of.X_test), of.y_test)
            recalls = [float(right[of.y_test == c].mean()) for c in np.unique(of.y_test)]
            cell = {"seed": seed, "keep": keep, "design": design, "price": price, "accuracy": float(right.mean())}
            print(json.dumps({**cell, "recalls": recalls, "kept": len(rows)}), file=file, flush=True)

        for keep, designs in STUDIES[study][0](of, seed):
            for name, (price, choose) in designs.items():
                if (seed, keep, name) not in done and (named is None or name in named):
                    tested(keep, name, price, choose(), seed + 1000)
        if (seed, 1.0, "everything") not in done and named is None:
            tested(1.0, "everything", 0, np.arange(len(of.X)), seed + 1000)


def read(path: Path) -> list[dict[str, Any]]:
    """The cells of a file; a line that a kill broke off is left out."""
    cells = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            cells.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return cells


def merged(path: Path, *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The cells of a file that holds a line for each time that arms were added to a cell; `keys` name a cell."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in read(path):
        key = tuple(cell[name] for name in keys)
        found[key] = {**cell, "arms": {**found.get(key, {"arms": {}})["arms"], **cell["arms"]}}
    return found


def written(study: str, out: Path, result: Path | None = None) -> Path:
    """The accuracies of a study as one result file: bed, design, keep, one figure a replicate.

    Designs that were run again, by `--designs`, take the place of those in the file, if random came out the same. The
    setting of the bed's last run is then in `run_again`.
    """
    beds: dict[str, Any] = {}
    for path in sorted(out.glob(f"{study}_*.jsonl")):
        table: dict[str, dict[str, dict[int, Any]]] = {}
        prices: dict[str, dict[str, float]] = {}  # of several steps it depends on the budget
        worst: dict[str, dict[str, dict[int, Any]]] = {}
        for cell in read(path):
            table.setdefault(cell["design"], {}).setdefault(str(cell["keep"]), {})[cell["seed"]] = cell["accuracy"]
            worst.setdefault(cell["design"], {}).setdefault(str(cell["keep"]), {})[cell["seed"]] = cell["recalls"]
            prices.setdefault(cell["design"], {})[str(cell["keep"])] = cell["price"]
        beds[path.stem.removeprefix(f"{study}_")] = {
            "accuracy": {d: {k: _by_replicate(v) for k, v in keeps.items()} for d, keeps in table.items()},
            "most_lost_by_a_class": _most_lost(worst),
            "price": prices,
        }
    found = {"study": study, "epochs": EPOCHS, "beds": beds}
    before = RESULTS / f"designs_{study}.json"
    if before.exists():
        earlier = json.loads(before.read_text())
        renewed = {name: _renewed(name, bed, beds.get(name)) for name, bed in earlier["beds"].items()}
        again = {name: about() for name in beds}
        new = {name: bed for name, bed in beds.items() if name not in renewed}
        found = {**earlier, "beds": renewed | new, "run_again": earlier.get("run_again", {}) | again}
    return write(f"designs_{study}", found, result)


def _renewed(name: str, earlier: dict[str, Any], bed: dict[str, Any] | None) -> dict[str, Any]:
    """A bed of the result file with the designs that were run again."""
    if bed is None:
        return earlier
    if set(bed["accuracy"]) == set(earlier["accuracy"]):
        return bed
    if bed["accuracy"]["random"] != earlier["accuracy"]["random"]:
        raise SystemExit(f"random differs on {name}, so cells of the two runs cannot stand side by side")
    return {part: {**earlier[part], **bed[part]} for part in earlier}


def _by_replicate(cells: dict[int, Any]) -> Any:
    """A list, one a replicate; by seed where some are not there yet."""
    return [cells[s] for s in sorted(cells)] if set(cells) == set(range(len(cells))) else dict(sorted(cells.items()))


def _most_lost(recalls: dict[str, dict[str, dict[int, list[float]]]]) -> dict[str, dict[str, float]]:
    """Points of recall that the class loses most beyond what it loses at random, mean over replicates."""
    found: dict[str, dict[str, float]] = {}
    for design, keeps in recalls.items():
        for keep, seeds in keeps.items():
            drawn = recalls.get("random", {}).get(keep, {})
            pairs = [np.array(drawn[s]) - np.array(seeds[s]) for s in seeds if s in drawn and len(drawn[s]) <= 25]
            if pairs:
                found.setdefault(design, {})[keep] = round(100 * float(np.mean(pairs, axis=0).max()), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEEN_DATA"), help="default: UNSEEN_DATA")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features, see beds.py")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every cell")
    parser.add_argument("--study", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--beds", nargs="+", choices=list(BEDS), help="default: those of the study")
    parser.add_argument("--designs", nargs="+", help="default: all of the study")
    parser.add_argument("--seeds", type=int, help="replicates; default: 3 for tuning, 5 for report")
    parser.add_argument("--write", action="store_true", help="put what is there into benchmarks/results and stop")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    for study in given.study:
        if given.write:
            print(written(study, given.out))
            continue
        _, side, seeds = STUDIES[study]
        for seed in range(given.seeds or seeds):
            for bed in given.beds or [name for name, bed in BEDS.items() if bed.side == side]:
                run(study, bed, seed, given.cache, given.data, given.out, given.designs)
                print(study, bed, seed, flush=True)


if __name__ == "__main__":
    main()
