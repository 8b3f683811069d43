"""`rule="auto"`: which way of choosing is best for this data at this budget, found on a split held out of it.

Candidates are tried by successive halving: all of them on one replicate, the better half on as many again, and so on.
Random is always a candidate and never halved away. The winner is set against random once more on fresh replicates, and
only these enter the verdict. The test set is never touched: there is none here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unseen.data.part import split_off
from unseen.errors import ArgumentError, BudgetError
from unseen.methods import Method
from unseen.protocols import Data
from unseen.runs.base import Run
from unseen.trials import Trials
from unseen.types import FloatArray
from unseen.verdicts import against_random, interval
from unseen.work import Fix

__all__ = ["CANDIDATES", "best_method", "candidates_for"]

# In each, {score} is the score asked for.
CANDIDATES = (
    "folds/{score}/top",
    "folds/{score}/stratified",
    "folds/{score}/stratified:cutoff=0.1",
    "folds/{score}/stratified:cutoff=0.3",
    "grow:start=random/{score}/stratified",
)
RANDOM = Method.of("random")
FRESH = 1_000  # replicates from here on confirm


def candidates_for(score: str, given: Sequence[str] | None) -> list[Method]:
    """The methods to compare, random among them.

    >>> [method.text for method in candidates_for("el2n", ["seen/el2n/top"])]
    ['random', 'seen/el2n/top']
    """
    lines = [line.format(score=score) for line in CANDIDATES] if given is None else list(given)
    methods = [RANDOM, *(Method.of(line) for line in lines)]
    if any(method.rule is None for method in methods):
        raise ArgumentError("candidates must choose a part of the data, got 'full'")
    return list({method.text: method for method in methods}.values())


def best_method(
    data: Data,
    candidates: Sequence[Method],
    *,
    share: float,
    named: bool,
    run: Run,
    learner: Any,
    probe: float,
    seeds: int,
    fix: Fix,
    seed: int,
    more: dict[str, Any],
) -> tuple[Method, dict[str, Any]]:
    """The winner, and the evidence for it as JSON.

    Args:
        data: the training data; a probe split of it is held out here.
        candidates: random first.
        share: the share kept.
        named: whether the user named the candidates; one that cannot meet the budget is then an error, else left out.
        run: where the trainings are kept; opened here, closed by the caller.
        learner: who scores and is trained.
        probe: share of the data held out.
        seeds: fresh replicates for the verdict, at least 2.
        fix: `"epochs"` or `"iterations"`.
        seed: the root seed.
        more: features, groups, jobs, threads, verify, report; see `Trials`.

    """
    if isinstance(seeds, bool) or seeds < 2:
        raise ArgumentError(f"confirm must be at least 2, since one replicate shows no spread, got {seeds!r}")
    pool, probed = split_off(data, probe, seed=seed)
    about = {"verb": "auto", "share": share, "candidates": [method.text for method in candidates]}
    features = more.pop("features", None)
    within = None if features is None else np.asarray(features)[pool.rows]
    trials = Trials(
        pool, probed, candidates, run=run, about=about, learner=learner, fix=fix, features=within, seed=seed, **more
    )
    budget = max(1, round(share * len(pool)))
    possible = [method for method in candidates if _possible(trials, method, budget, named)]
    trials.open()
    trials.report("work", **_outlook(trials, possible, budget, seeds))
    rounds, order = _halved(trials, possible, budget)
    winner = order[0]
    verdict = None
    if winner is not RANDOM:
        fresh = range(FRESH, FRESH + seeds)
        differences = _accuracies(trials, winner, budget, fresh) - _accuracies(trials, RANDOM, budget, fresh)
        verdict = {
            "to_random": against_random(differences).text,
            "points": interval(differences).text(sign=True),
            "seeds": seeds,
        }
        if differences.mean() <= 0:
            winner = RANDOM
    evidence = {
        "winner": winner.text,
        "confirmed": verdict,
        "rounds": rounds,
        "left_out": [method.text for method in candidates if method not in possible],
        "held_out": len(probed),
        "budget": budget,
        "fix": fix,
    }
    trials.report("say", text=_told(evidence))
    return winner, evidence


def _halved(trials: Trials, methods: list[Method], budget: int) -> tuple[list[dict[str, Any]], list[Method]]:
    """The rounds as JSON, and the last survivors, the best first."""
    rounds: list[dict[str, Any]] = []
    alive, replicates = methods, 1
    while True:
        means = {method: _accuracies(trials, method, budget, range(replicates)).mean() for method in alive}
        ranked = sorted(alive, key=lambda method: (-means[method], methods.index(method)))
        rounds.append({"replicates": replicates, "accuracy": {method.text: float(means[method]) for method in ranked}})
        chosen = [method for method in ranked if method is not RANDOM]
        if len(chosen) <= 1:
            return rounds, ranked
        kept = chosen[: (len(chosen) + 1) // 2]
        alive, replicates = [method for method in methods if method in kept or method is RANDOM], 2 * replicates


def _accuracies(trials: Trials, method: Method, budget: int, replicates: range) -> FloatArray:
    outcomes = trials.outcomes(method, budget, replicates)
    return np.array([outcomes[r].accuracy for r in replicates])


def _possible(trials: Trials, method: Method, budget: int, named: bool) -> bool:
    try:
        trials.check(method, budget)
    except BudgetError:
        if named:
            raise
        return False
    return True


def _outlook(trials: Trials, methods: Sequence[Method], budget: int, seeds: int) -> dict[str, Any]:
    """What is going to be done: the most that it may take, if the costliest candidates stay longest."""
    scorer = trials.scorer.learner
    alive, replicates, done, trainings = len(methods) - 1, 1, 0, 0
    scorings = trials.scorings(methods, [budget])
    while True:
        trainings += (alive + 1) * (replicates - done)
        if alive <= 1:
            break
        done, alive, replicates = replicates, (alive + 1) // 2, 2 * replicates
    dearest = max((trials.scorings([method], [budget]) for method in methods), default=0)
    scorings += dearest * (replicates - 1 + seeds)
    trainings += 2 * seeds
    lines = [
        ("auto", f"{len(methods)} candidates at {budget:,} of {len(trials.train):,} samples, tested on "
         f"{len(trials.joined.test):,} held out"),
        ("work", f"up to {scorings:,} trainings to score by {scorer.name}, {trainings:,} to test, {trials.fix} fixed"),
    ]  # fmt: skip
    epochs = scorings * (scorer.epochs or 1) + trainings * trials.epochs(budget)
    return {"lines": lines, "epochs": epochs, "held": 0}


def _told(evidence: dict[str, Any]) -> str:
    confirmed = evidence["confirmed"]
    if confirmed is None:
        return "auto: random was best; no score earns its cost here"
    beside = f"{confirmed['points']} points beside random on {confirmed['seeds']} fresh replicates"
    return f"auto: {evidence['winner']} ({beside}: {confirmed['to_random']})"
