"""`rule="auto"`: find the best method for this data at this budget, on a split held out of it.

Candidates are tried by successive halving: all of them on one replicate, the better half on two, the better half of
these on four, and so on. Random is always a candidate and is never dropped. The winner is compared with random once
more on fresh replicates, and only these enter the verdict. No test set is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from unseen.core.arrays import IntArray
from unseen.core.checks import check_list
from unseen.core.protocols import Data
from unseen.data.parts import split_off
from unseen.engine.runs.base import Run
from unseen.engine.work import Fix
from unseen.errors import ArgumentError, BudgetError
from unseen.evaluating.methods import RANDOM, Method
from unseen.evaluating.statistics import against_random, check_replicates
from unseen.evaluating.trials import FRESH, Difference, Trials
from unseen.rules.registry import default_rule
from unseen.scores.registry import resolve as resolve_score

AUTO = "auto"

# {score} stands for the score asked for, {default} for the default rule of the data.
CANDIDATES = (
    "folds/{score}/top",
    "folds/{score}/stratified",
    "halves/{score}/{default}",
    "folds/{score}/stratified:cutoff=error",
    "folds/{score}/stratified:cutoff=0.3",
    "grow/{score}/stratified",
)


def candidates_for(score: str, labels: IntArray, given: Sequence[str] | None) -> list[Method]:
    """Return the methods to compare, random among them.

    >>> from unseen.data import digits
    >>> [method.text for method in candidates_for("el2n", digits().labels, ["seen/el2n/top"])]
    ['random', 'seen/el2n/top']
    """
    if given is not None:
        check_list("candidates", given, "lines 'plan/score/rule'")
        lines = list(given)
    else:
        direction = resolve_score(score).direction
        default = default_rule(direction, labels)
        # A score of worth names no hardest samples to cut off.
        lines = [
            line.format(score=score, default=default)
            for line in CANDIDATES
            if not (direction == "worth" and ("cutoff" in line or "default" in line))
        ]
    methods = [RANDOM, *(Method.of(line) for line in lines)]
    if any(method.rule is None for method in methods):
        raise ArgumentError("candidates must choose a part of the data, got 'full'")
    return list({method.text: method for method in methods}.values())


@dataclass(frozen=True, kw_only=True)
class Auto:
    """The options of `rule="auto"`.

    Args:
        candidates: lines `"plan/score/rule"`; the default is `CANDIDATES` with the score asked for.
        probe: the share of the data that is held out to test candidates on.
        confirm: fresh replicates for the verdict, at least 3.
        fix: `"epochs"` or `"iterations"`; see `unseen.sweep`.
        features: (n, d), for rules that read them.
        trainee: the learner trained on the coresets, if another than the one that scores.
    """

    candidates: Sequence[str] | None = None
    probe: float = 0.2
    confirm: int = 5
    fix: Fix = "epochs"
    features: npt.ArrayLike | None = None
    trainee: Any = None

    def __post_init__(self) -> None:
        check_replicates("confirm", self.confirm)


def find_best_method(
    data: Data, auto: Auto, *, score: str, share: float, run: Run, seed: int, **more: Any
) -> tuple[Method, dict[str, Any]]:
    """Find the best method for this share kept, on a probe split of the data; return it with the evidence as JSON.

    `score` is that of the default candidates, and `more` the learner, the groups and where fits run, as `Trials` takes
    them. The run is opened here and closed by the caller.
    """
    candidates = candidates_for(score, data.labels, auto.candidates)
    pool, probed = split_off(data, auto.probe, seed=seed, groups=more.get("groups", "duplicates"))
    trials = Trials(
        pool, probed, candidates, run=run, seed=seed, fix=auto.fix, trainee=auto.trainee,
        about={"verb": "auto", "share": share, "candidates": [method.text for method in candidates]},
        features=auto.features, **more,
    )  # fmt: skip
    budget = max(1, round(share * len(pool)))
    named = auto.candidates is not None
    possible = [m for m in candidates if trials.possible(m, budget, must=named, refusal=BudgetError)]
    trials.open()
    scorings, tests = _most_work(trials, possible, budget, auto.confirm)
    trials.announce(
        ("auto", f"{len(possible)} candidates at {budget:,} samples"),
        scorings=scorings,
        tests=tests,
        epochs=tests * trials.epochs(budget),
        most="up to ",
    )
    rounds, order = _halve(trials, possible, budget)
    winner, confirmed = _confirm(trials, order[0], budget, auto.confirm)
    evidence = {
        "winner": winner.text,
        "confirmed": confirmed,
        "rounds": rounds,
        "left_out": [method.text for method in candidates if method not in possible],
        "held_out": len(probed),
        "budget": budget,
        "fix": auto.fix,
    }
    trials.report("say", text=describe_evidence(evidence))
    return winner, evidence


def describe_evidence(evidence: Mapping[str, Any]) -> str:
    """Describe the evidence in one line."""
    confirmed = evidence["confirmed"]
    if confirmed is None:
        return "random was best in the search; no score is worth its cost here"
    which = "" if confirmed["method"] == evidence["winner"] else f"{confirmed['method']} "
    against = f"{which}against random on {confirmed['seeds']} fresh replicates"
    return f"{evidence['winner']}; {against}: {confirmed['to_random']}"


def _confirm(trials: Trials, best: Method, budget: int, seeds: int) -> tuple[Method, dict[str, Any] | None]:
    """Compare the best of the search with random on fresh replicates; return the winner and the comparison."""
    if best is RANDOM:
        return RANDOM, None
    fresh = range(FRESH, FRESH + seeds)
    mine, random = trials.quality([(best, budget), (RANDOM, budget)], fresh)
    difference = Difference.of(mine, random, trials.joined.test)
    about = {
        "method": best.text,
        "to_random": against_random(difference.replicates, sampling=difference.sampling).text,
        "points": 100 * difference.mean,
        "seeds": seeds,
    }
    return best if difference.mean > 0 else RANDOM, about


def _halve(trials: Trials, methods: list[Method], budget: int) -> tuple[list[dict[str, Any]], list[Method]]:
    """Try the methods by successive halving; return the rounds as JSON, and the last survivors, best first."""
    rounds: list[dict[str, Any]] = []
    alive, replicates = methods, 1
    while True:
        quality = trials.quality([(method, budget) for method in alive], range(replicates))
        means = {method: found.mean(axis=1).mean() for method, found in zip(alive, quality, strict=True)}
        ranked = sorted(alive, key=lambda method: (-means[method], methods.index(method)))
        rounds.append({"replicates": replicates, "accuracy": {method.text: float(means[method]) for method in ranked}})
        scored = [method for method in ranked if method is not RANDOM]
        if len(scored) <= 1:
            return rounds, ranked
        kept = scored[: (len(scored) + 1) // 2]
        alive, replicates = [method for method in methods if method in kept or method is RANDOM], 2 * replicates


def _most_work(trials: Trials, methods: Sequence[Method], budget: int, seeds: int) -> tuple[int, int]:
    """Count the trainings to score and to test, if the costliest candidates survive longest."""
    alive, replicates, tests = len(methods) - 1, 1, len(methods)
    while alive > 1:
        alive, replicates = (alive + 1) // 2, 2 * replicates
        tests += (alive + 1) * replicates // 2  # half of the replicates are those of the round before
    costliest = max(trials.scorings([method], [budget]) for method in methods)
    scorings = trials.scorings(methods, [budget]) + costliest * (replicates - 1 + seeds)
    return scorings, tests + 2 * seeds
