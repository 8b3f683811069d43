"""Methods by budgets by replicates: coresets chosen, trained on and tested, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from unseen import runs
from unseen.comparing.curves import FILE, Cell, Sweep
from unseen.comparing.methods import FULL, Method
from unseen.comparing.trials import Trials, Tried, train_and_test
from unseen.data.sources import Reading, columns_named, opened, opened_test
from unseen.errors import ArgumentError
from unseen.evaluating.exams import Overlap
from unseen.executors import Executor
from unseen.rules.budgets import amounts
from unseen.work import Fix, Groups, Outcome, Report

__all__ = ["sweep"]

BASELINES = (FULL, "random")


def sweep(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    methods: Sequence[str | Method],
    keep: Sequence[float | str] | None = None,
    prune: Sequence[float | str] | None = None,
    test: Any = None,
    probe: float = 0.2,
    overlap: Overlap = "refuse",
    learner: Any = None,
    trainee: Any = None,
    seeds: int = 3,
    fix: Fix = "epochs",
    features: npt.ArrayLike | Sequence[str] | None = None,
    groups: Groups = "duplicates",
    seed: int | None = 0,
    out: str | Path | None = None,
    executor: str | Executor = "local",
    jobs: int | None = None,
    threads: int | None = None,
    report: Report | None = None,
    **reading: Unpack[Reading],
) -> Sweep:
    """Try methods at several budgets, each several times, beside everything and random selection.

    A replicate draws scoring, selection and training anew; methods of one plan share its scorings. Accuracies are
    those after the last epoch. The same call with the same `out` continues after a kill, cell by cell; with more
    methods, budgets or seeds it adds those cells.

    Args:
        data: anything `unseen.data.resolve` takes; what is chosen from.
        y: (n,) labels, where `data` is an array of inputs.
        methods: lines `"plan/score/rule"`; see `unseen.comparing.methods.Method`. `"full"` and `"random"` are always
            among them.
        keep: fractions or counts kept; or
        prune: fractions or counts removed.
        test: the test set, in any form of a data set.
        probe: where there is no test set, the share of the data that is set aside to test on: no method scores it,
            chooses it or trains on it.
        overlap: test samples whose content is in the training data too: `"refuse"` or `"drop"` them.
        learner: who scores.
        trainee: who is trained on the coresets, if another.
        seeds: replicates, at least 2 for intervals.
        fix: `"epochs"`, so that less data is also less training; `"iterations"`, so that all train equally long.
        features: the columns that are inputs; or (n, d), for rules that read them.
        groups: see `unseen.score`.
        seed: the root seed, or None for one that is drawn.
        out: a directory that keeps the cells.
        executor: where fits run: `"local"`, `"ray"`, or an executor; see `unseen.score`.
        jobs: fits at a time, of any cells; if not given 1, and with Ray as many as there is room for.
        threads: threads a fit.
        report: called with (kind, **fields) as work goes on.
        **reading: how `data` and `test` are read, as in `label="income"`; see `unseen.score`.

    Raises:
        ArgumentError: a method, budget or learner that cannot work; before any training.
        RunMismatchError: `out` holds a sweep of other data, learners or seed.

    Example:
        >>> import unseen
        >>> result = unseen.sweep("digits", methods=["el2n/top"], keep=[0.5], learner="logistic", seeds=2)
        >>> result
        Sweep(3 methods at 1 budget, 2 replicates; tested on 360 samples)

    """
    lines = _lines(methods)
    if isinstance(seeds, bool) or seeds < 1:
        raise ArgumentError(f"seeds must be at least 1, got {seeds!r}")
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source = opened(sweep, data, y, reading, features)
        if (columns := columns_named(features)) is not None:
            features = None
        test = None if test is None else opened_test(test, reading, columns)
        train, tested, origin = train_and_test(source, test, probe, seed, overlap)
        trials = Trials(
            train, tested, lines, run=run, about={"verb": "sweep", "test": origin}, learner=learner, trainee=trainee,
            fix=fix, features=features, groups=groups, seed=seed, executor=executor, jobs=jobs,
            threads=threads, report=report,
        )  # fmt: skip
        budgets = _budgets(trials, keep, prune)
        for method in lines:
            for budget in budgets:
                trials.check(method, budget)
        trials.open()
        trials.report("work", **_outlook(trials, lines, budgets, seeds))
        with trials.session():
            outcomes = _outcomes(trials, lines, budgets, seeds)
        ordered = sorted(outcomes, key=lambda cell: (lines.index(cell[0]), -cell[1], cell[2]))
        cells = [_cell(trials, *one, outcomes[one]) for one in ordered]
        return run.save_output(FILE, Sweep.of(cells, trials.about(origin), _times(trials, ordered)))


def _lines(methods: Sequence[str | Method]) -> list[Method]:
    if isinstance(methods, str) or not methods:
        raise ArgumentError(f"methods must be a list of lines 'plan/score/rule', got {methods!r}")
    given = [Method.of(text) for text in (*BASELINES, *methods)]
    return list({method.text: method for method in given}.values())


def _budgets(trials: Trials, keep: Sequence[float | str] | None, prune: Sequence[float | str] | None) -> list[int]:
    if (keep is None) == (prune is None):
        raise ArgumentError("give exactly one of keep and prune, each a list of fractions or counts")
    for name, given in (("keep", keep), ("prune", prune)):
        if given is not None and (isinstance(given, str) or not hasattr(given, "__iter__")):
            raise ArgumentError(f"{name} must be a list of fractions or counts, got {given!r}; take [{given!r}]")
    kept = [amounts(keep=value, prune=None) for value in keep or ()]
    pruned = [amounts(keep=None, prune=value) for value in prune or ()]
    budgets = {trials.budget(**amount) for amount in (*kept, *pruned)}
    if not budgets:
        raise ArgumentError(f"{'keep' if prune is None else 'prune'} must name at least one amount, got none")
    return sorted(budgets, reverse=True)


def _outcomes(
    trials: Trials, methods: Sequence[Method], budgets: Sequence[int], replicates: int
) -> dict[Tried, Outcome]:
    """As many replicates together as there are jobs, so that a sweep broken off holds whole ones."""
    tried = [(method, budget) for method in methods for budget in trials.budgets_of(method, budgets)]
    together = trials.executor.jobs or replicates
    outcomes: dict[Tried, Outcome] = {}
    for first in range(0, replicates, together):
        outcomes |= trials.outcomes(tried, range(first, min(first + together, replicates)))
    return outcomes


def _cell(trials: Trials, method: Method, budget: int, replicate: int, outcome: Outcome) -> Cell:
    return Cell(
        method=method.text,
        plan=method.plan or "",
        score=method.score or "",
        rule=method.rule or "",
        keep=budget / len(trials.train),
        budget=budget,
        replicate=replicate,
        accuracy=outcome.accuracy,
        loss=float(outcome.losses.mean()),
        samples_seen=outcome.samples_seen,
    )


def _times(trials: Trials, cells: Sequence[Tried]) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of each cell, by the event logs; NaN where a line was lost."""
    took = trials.seconds()
    return {
        "seconds": np.array([took.get(trials.name(*cell), np.nan) for cell in cells]),
        "scoring_seconds": np.array([trials.selector.seconds(*cell) for cell in cells]),
    }


def _outlook(trials: Trials, methods: Sequence[Method], budgets: Sequence[int], replicates: int) -> dict[str, Any]:
    """What is going to be done, in words, and in epochs."""
    cells = [budget for method in methods for budget in trials.budgets_of(method, budgets)]
    scorings = trials.scorings(methods, budgets)
    scorer, trainee = trials.scorer.learner, trials.trainer.learner
    epochs = sum(map(trials.epochs, cells)) + scorings * (scorer.epochs or 1)
    lines = [
        ("data", f"{len(trials.train):,} samples to choose from, {len(trials.joined.test):,} to test on"),
        ("cells", f"{len(methods)} methods at {len(budgets)} budgets, {replicates} replicates"),
        ("work", f"{scorings * replicates:,} trainings to score by {scorer.name}, {len(cells) * replicates:,} to test "
         f"by {trainee.name}, {trials.fix} fixed"),
        ("time", "the time left is told after the first training"),
    ]  # fmt: skip
    held = trials.held(methods, budgets, replicates)
    return {"lines": lines, "epochs": epochs * replicates, "held": held}
