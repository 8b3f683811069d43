"""The verb of several steps: `grow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from unseen import runs
from unseen.cards import listed, of_choice
from unseen.data.sources import check_arguments, opened, without_reading
from unseen.executors import Executor
from unseen.exposure import Plan
from unseen.exposure.naming import plan_of
from unseen.growing.history import History
from unseen.growing.loop import Growth, Loop
from unseen.learners.classes import refuse_target
from unseen.rules.base import Rule
from unseen.rules.budgets import amounts
from unseen.scores.base import Score
from unseen.scores.registry import resolve as resolve_score
from unseen.selecting import SHARED, Choice, default_rule
from unseen.types import Coreset, ScoreTable
from unseen.work import Report, Work

__all__ = ["Grown", "grow"]


class Grown(NamedTuple):
    """What `grow` gives: the coreset, how it came about, and the scores of the first step."""

    coreset: Coreset
    history: History
    scores: ScoreTable

    def _repr_html_(self) -> str:
        return of_choice(self.scores, self.coreset, listed([f"{size:,} samples" for size in self.history.sizes]))


def grow(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    keep: float | str | None = None,
    prune: float | str | None = None,
    score: str | Score = "el2n",
    rule: str | Rule | None = None,
    plan: Plan | str | None = None,
    start: float | Coreset = 0.75,
    steps: int = 1,
    refill: str | Score = "entropy",
    learner: Any = None,
    seed: int | None = 0,
    groups: npt.ArrayLike | Literal["duplicates"] | None = "duplicates",
    out: str | Path | None = None,
    executor: str | Executor = "local",
    jobs: int | None = None,
    threads: int | None = None,
    verify: Literal["cheap", "full"] = "cheap",
    report: Report | None = None,
    **options: Any,
) -> Grown:
    """Choose a coreset in several steps: a part as `prune` does, the rest by models of the coreset so far.

    The first step scores everybody by models that did not see them and chooses a part of the budget. Each further step
    trains a model on the coreset so far and lets in the outsiders that are worth most by `refill`. Samples that the
    rule cuts off at the whole budget, such as likely wrong labels, do not enter later, nor do copies of members. One
    further step costs a training on the coreset so far.

    Args:
        data: anything `unseen.data.resolve` takes: arrays (with `y`), a torch or Hugging Face data set, a path.
        y: (n,) labels, where `data` is an array of inputs.
        keep: the budget: a count (int) or a fraction (float in (0, 1]). Exactly one of keep and prune.
        prune: how much is removed.
        score: the score of the first step.
        rule: the rule of the first step, with its options in it or among `options`; if not given, as `prune` chooses.
        plan: the exposure plan of the first step; if not given, that of `prune`.
        start: the share of the budget in (0, 1) that the first step chooses, or a coreset of this data set to begin
            with.
        steps: how many further steps lie between the start and the budget; they add equally many samples.
        refill: the score of the outsiders in a further step, by models of the coreset so far.
        learner: see `unseen.learners.resolve`; by the kind of data if not given.
        seed: the root seed, or None for one that is drawn; everything random follows from it.
        groups: int (n,) groups on both sides of which no model stands, `"duplicates"` or None; see `unseen.score`.
        out: a directory that keeps the run, each scoring as a part of it. The same call continues it after a kill,
            and is refused if anything that changes the numbers differs.
        executor: where fits run: `"local"`, `"ray"`, or an executor; see `unseen.score`.
        jobs: fits trained at the same time, each in a process of its own.
        threads: threads a fit; see `unseen.score`. Part of the manifest.
        verify: `"full"` puts a digest of all content in the manifest, `"cheap"` one of a sample of it.
        report: called with (kind, **fields) as work goes on.
        options: how `data` is read, as in `label="income"`; those of the rule; and `features` (columns of inputs where
            they are names, else an array for rules that read it), `align` and `quota`: how classes share those who
            enter at a step: `"proportional"` to their size, `"uniform"`, or `"error"`, to size x held-out error.

    Returns:
        The coreset with the step at which each member entered (`sources`, `order`), its history, and the score table
        of the first step.

    Raises:
        BudgetError: a budget or start that cannot be met; before any training.
        ArgumentError: other arguments that cannot work; before any training.

    Example:
        >>> import unseen
        >>> grown = unseen.grow("digits", keep=0.2, learner="logistic")
        >>> grown.coreset
        Coreset(359 of 1,797 samples kept, 20.0 % by stratified)
        >>> grown.history.sizes
        [269, 359]
    """
    reading, options = without_reading(options)
    named = Choice.of("stratified" if rule is None else rule).rule
    check_arguments(grow, options, [*named.options(), *SHARED])
    choice = Choice.of(default_rule(resolve_score(score).direction) if rule is None else rule, options)
    exposure = None if plan is None else plan_of(plan, closed_form=False)
    growth = Growth(choice, score, refill, start, steps, exposure, fallback=rule is None)
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source = opened(grow, data, y, reading, reading.pop("features", None))
        refuse_target(source, "grow scores outsiders by what is predicted of classes", "`prune` works without classes")
        work = Work(
            source, learner, groups=groups, executor=executor, jobs=jobs, threads=threads, verify=verify, report=report
        )
        loop = Loop(work, growth, **amounts(keep=keep, prune=prune), seed=seed)
        with work.session():
            return Grown(*loop.run(run, announce=True))
