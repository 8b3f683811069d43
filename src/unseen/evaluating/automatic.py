"""`rule="auto"`: which way of choosing is best for this data at this budget, found on a split held out of it.

Candidates are tried by successive halving: all of them on one replicate, the better half on as many again, and so on.
Random is always a candidate and never halved away. The winner is set against random once more on fresh replicates, and
only these enter the verdict. The test set is never touched: there is none here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy.typing as npt

from unseen.core.protocols import Data
from unseen.data.parts import split_off
from unseen.engine.runs.base import Run
from unseen.engine.work import Fix
from unseen.errors import ArgumentError, BudgetError, UnknownNameError
from unseen.evaluating.methods import Method
from unseen.evaluating.statistics import FEWEST, Sampling, against_random
from unseen.evaluating.trials import Trials
from unseen.scores.registry import resolve as resolve_score

__all__ = ["AUTO", "CANDIDATES", "Auto", "best_method", "candidates_for", "told"]

AUTO = "auto"

# In each, {score} is the score asked for.
CANDIDATES = (
    "folds/{score}/top",
    "folds/{score}/stratified",
    "halves/{score}/stratified:cutoff=auto",
    "folds/{score}/stratified:cutoff=error",
    "folds/{score}/stratified:cutoff=0.3",
    "grow/{score}/stratified",
)
RANDOM = Method.of("random")
FRESH = 1_000  # replicates from here on confirm


def candidates_for(score: str, given: Sequence[str] | None) -> list[Method]:
    """The methods to compare, random among them.

    >>> [method.text for method in candidates_for("el2n", ["seen/el2n/top"])]
    ['random', 'seen/el2n/top']
    """
    lines = list(given or ())
    if given is None:
        worth = resolve_score(score).direction == "worth"  # which does not say who is hardest, to be cut off
        lines = [line.format(score=score) for line in CANDIDATES if not (worth and "cutoff" in line)]
    methods = [RANDOM, *(Method.of(line) for line in lines)]
    if any(method.rule is None for method in methods):
        raise ArgumentError("candidates must choose a part of the data, got 'full'")
    return list({method.text: method for method in methods}.values())


@dataclass(frozen=True, kw_only=True)
class Auto:
    """The options of `rule="auto"`.

    Args:
        candidates: lines `"plan/score/rule"`; the usual ones for the score asked for if not given.
        probe: the share of the data that is held out to test candidates on.
        confirm: fresh replicates for the verdict, at least 3.
        fix: `"epochs"` or `"iterations"`; see `unseen.sweep`.
        features: (n, d), for rules that read them.
        trainee: who is trained on the coresets, if another than the learner that scores.
    """

    candidates: Sequence[str] | None = None
    probe: float = 0.2
    confirm: int = 5
    fix: Fix = "epochs"
    features: npt.ArrayLike | None = None
    trainee: Any = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Auto:
        """From the options given beside `rule="auto"`."""
        known = [entry.name for entry in fields(cls)]
        for name in options:
            if name not in known:
                raise UnknownNameError("option of rule 'auto'", name, known)
        auto = cls(**options)
        if isinstance(auto.confirm, bool) or auto.confirm < FEWEST:
            raise ArgumentError(
                f"confirm must be at least {FEWEST}, since fewer replicates give no verdict, got {auto.confirm!r}"
            )
        return auto


def best_method(
    data: Data, auto: Auto, *, score: str, share: float, run: Run, seed: int, **more: Any
) -> tuple[Method, dict[str, Any]]:
    """The winner, and the evidence for it as JSON.

    Args:
        data: the training data; a probe split of it is held out here.
        auto: the options.
        score: the score of the usual candidates.
        share: the share kept.
        run: where the trainings are kept; opened here, closed by the caller.
        seed: the root seed.
        more: learner, groups, executor, verify, report; see `Trials`.
    """
    candidates = candidates_for(score, auto.candidates)
    pool, probed = split_off(data, auto.probe, seed=seed)
    trials = Trials(
        pool, probed, candidates, run=run, seed=seed, fix=auto.fix, trainee=auto.trainee,
        about={"verb": "auto", "share": share, "candidates": [method.text for method in candidates]},
        features=auto.features, **more,
    )  # fmt: skip
    budget = max(1, round(share * len(pool)))
    named = auto.candidates is not None
    possible = [method for method in candidates if _possible(trials, method, budget, named)]
    trials.open()
    trials.report("work", **_outlook(trials, possible, budget, auto.confirm))
    rounds, order = _halved(trials, possible, budget)
    winner, confirmed = _confirmed(trials, order[0], budget, auto.confirm)
    evidence = {
        "winner": winner.text,
        "confirmed": confirmed,
        "rounds": rounds,
        "left_out": [method.text for method in candidates if method not in possible],
        "held_out": len(probed),
        "budget": budget,
        "fix": auto.fix,
    }
    trials.report("say", text=told(evidence))
    return winner, evidence


def told(evidence: Mapping[str, Any]) -> str:
    """The evidence in one line."""
    confirmed = evidence["confirmed"]
    if confirmed is None:
        return "random was best already in the search; no score earns its cost here"
    which = "" if confirmed["method"] == evidence["winner"] else f"{confirmed['method']} "
    against = f"{which}against random on {confirmed['seeds']} fresh replicates"
    return f"{evidence['winner']}; {against}: {confirmed['to_random']}"


def _confirmed(trials: Trials, best: Method, budget: int, seeds: int) -> tuple[Method, dict[str, Any] | None]:
    """The winner after fresh replicates: random, where the best of the search does not hold up."""
    if best is RANDOM:
        return RANDOM, None
    fresh = range(FRESH, FRESH + seeds)
    mine, drawn = trials.right([(best, budget), (RANDOM, budget)], fresh)
    differences = mine.mean(axis=1) - drawn.mean(axis=1)
    about = {
        "method": best.text,
        "to_random": against_random(differences, sampling=Sampling.of(mine - drawn)).text,
        "points": 100 * float(differences.mean()),
        "seeds": seeds,
    }
    return best if differences.mean() > 0 else RANDOM, about


def _halved(trials: Trials, methods: list[Method], budget: int) -> tuple[list[dict[str, Any]], list[Method]]:
    """The rounds as JSON, and the last survivors, the best first."""
    rounds: list[dict[str, Any]] = []
    alive, replicates = methods, 1
    while True:
        accuracies = trials.accuracies([(method, budget) for method in alive], range(replicates))
        means = {method: mine.mean() for method, mine in zip(alive, accuracies, strict=True)}
        ranked = sorted(alive, key=lambda method: (-means[method], methods.index(method)))
        rounds.append({"replicates": replicates, "accuracy": {method.text: float(means[method]) for method in ranked}})
        chosen = [method for method in ranked if method is not RANDOM]
        if len(chosen) <= 1:
            return rounds, ranked
        kept = chosen[: (len(chosen) + 1) // 2]
        alive, replicates = [method for method in methods if method in kept or method is RANDOM], 2 * replicates


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
