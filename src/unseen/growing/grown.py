"""The verb of several steps: `grow`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from unseen import runs
from unseen.cards import listed, of_choice
from unseen.data.sources import check_arguments, opened, without_reading
from unseen.executors import Executor
from unseen.exposure.coresets import Scale
from unseen.growing.growth import Growth, Start, Stop
from unseen.growing.history import History
from unseen.growing.loop import Loop
from unseen.growing.schedules import Schedule
from unseen.learners.classes import refuse_target
from unseen.rules.base import Rule
from unseen.rules.budgets import amounts
from unseen.scores.base import Score
from unseen.selecting import SHARED, Choice
from unseen.types import Coreset, ScoreTable
from unseen.work import Fix, Report, Work

__all__ = ["Grown", "grow"]


class Grown(NamedTuple):
    """What `grow` gives: the coreset, how it came about, and the scores of the last scoring."""

    coreset: Coreset
    history: History
    scores: ScoreTable

    def _repr_html_(self) -> str:
        return of_choice(self.scores, self.coreset, listed([str(step) for step in self.history.steps]))


def grow(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    keep: float | str | None = None,
    prune: float | str | None = None,
    score: str | Score = "el2n",
    rule: str | Rule = "stratified",
    start: Start = "random",
    start_size: float | None = None,
    start_rule: str | Rule | None = None,
    schedule: Schedule | None = None,
    steps: int | None = None,
    sizes: Sequence[float] | None = None,
    release: float | None = None,
    folds: int = 5,
    repeats: int = 1,
    scale: Scale = "size",
    probe: float | None = None,
    stop: Stop = "budget",
    confirm: bool = False,
    fix: Fix = "epochs",
    learner: Any = None,
    seed: int | None = 0,
    groups: npt.ArrayLike | None = None,
    out: str | Path | None = None,
    executor: str | Executor = "local",
    jobs: int | None = None,
    threads: int | None = None,
    verify: Literal["cheap", "full"] = "cheap",
    report: Report | None = None,
    **options: Any,
) -> Grown:
    """Choose a coreset in several steps, each by models trained on the coreset before it.

    A step scores everybody by `unseen.coreset(members, folds)`, then lets members go and others in: where the coreset
    shrinks, the rule chooses who stays; members that models which never saw them predict rightly, and that are worth
    least, are released, each for an outsider that is worth more; the rule chooses who enters among the outsiders.

    Args:
        data: anything `unseen.data.resolve` takes: arrays (with `y`), a torch or Hugging Face data set, a path.
        y: (n,) labels, where `data` is an array of inputs.
        keep: the budget: a count (int) or a fraction (float in (0, 1]). Exactly one of keep and prune, or `sizes`.
        prune: how much is removed.
        score: the score that the rule reads.
        rule: the rule, with its options in it or among `options`.
        start: `"random"` (stratified by class), `"unseen"` (one step of `unseen.prune` by `start_rule`), or a coreset
            of this data set.
        start_size: of a start that is drawn: a count (int) or a share of the budget (float). Default: 0.4 to grow,
            everybody to shrink.
        start_rule: of `start="unseen"`; `"stratified"` if not given.
        schedule: `"grow"` to the budget (the default), adding equally many samples a step; `"shrink"` to it, dropping
            an equal share a step; `"refine"` a coreset of that size.
        steps: how many steps lie between start and budget; 3 if not given.
        sizes: in place of schedule, steps and start_size: the size of the start and after each step, as counts (int)
            or fractions (float) of the data set, the last one the budget.
        release: the share of members in [0, 1) that a step may release; 0 if not given, 0.1 for `"refine"`. They are of
            one fold, so that members who stay explain them, and at most a fold.
        folds: of the members; each is judged by a model of the others.
        repeats: how often everybody is judged at a step; scores are averaged, quality is that of the first.
        scale: how members and outsiders compare: `"size"` or `"rank"`.
        probe: a share of the data set in (0, 0.5] set aside by seed, stratified by class, that is never chosen:
            quality is then measured on it. Otherwise on all n samples.
        stop: `"budget"`, or `"quality"`: stop before the first step that, growing, gains nothing beyond the interval
            of the change, or, shrinking, has lost beyond its interval since the start. Its coreset is then undone,
            so that the result may be smaller or larger than the budget, and says so.
        confirm: score the final coreset once more, so that its quality is known; `stop="quality"` always does.
        fix: `"epochs"` trains models of every size for as many epochs; `"iterations"` for as many steps as a training
            on all n samples takes.
        learner: see `unseen.learners.resolve`; by the kind of data if not given.
        seed: the root seed, or None for one that is drawn; everything random follows from it.
        groups: int (n,) groups on both sides of which no model stands; those of the data set hold anyway.
        out: a directory that keeps the run, each scoring as a part of it. The same call continues it after a kill,
            and is refused if anything that changes the numbers differs.
        executor: where fits run: `"local"`, `"ray"`, or an executor; see `unseen.score`.
        jobs: fits trained at the same time, each in a process of its own.
        threads: threads a fit; see `unseen.score`. Part of the manifest.
        verify: `"full"` puts a digest of all content in the manifest, `"cheap"` one of a sample of it.
        report: called with (kind, **fields) as work goes on.
        options: how `data` is read, as in `label="income"`; those of the rule; and `features` (columns of inputs where
            they are names, else an array for rules that read it), `align` and `quota`: how classes share those who
            enter at a step: `"proportional"` to their size, `"uniform"`, or `"error"`, to size x held-out error over
            all samples.

    Returns:
        The coreset with the step at which each member entered (`sources`, `order`), its history, and the score table
        of the last scoring.

    Raises:
        BudgetError: a budget, start or schedule that cannot be met; before any training.
        ArgumentError: other arguments that cannot work; before any training.

    Example:
        >>> import unseen
        >>> grown = unseen.grow("digits", keep=0.2, steps=2, folds=3, learner="logistic")
        >>> grown.coreset
        Coreset(359 of 1,797 samples kept, 20.0 % by stratified)
        >>> [step.size for step in grown.history.steps]
        [144, 251, 359]
    """
    reading, options = without_reading(options)
    check_arguments(grow, options, [*Choice.of(rule).rule.options(), *SHARED])
    growth = Growth(
        choice=Choice.of(rule, options),
        score=score,
        start=start,
        start_size=start_size,
        start_rule=start_rule,
        schedule=schedule,
        steps=steps,
        given_sizes=sizes,
        release=release,
        folds=folds,
        repeats=repeats,
        scale=scale,
        probe=probe,
        stop=stop,
        confirm=confirm,
        fix=fix,
    )
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source = opened(grow, data, y, reading, reading.pop("features", None))
        refuse_target(source, "grow judges its steps by the accuracy of classes", "`prune` works without classes")
        work = Work(
            source, learner, groups=groups, executor=executor, jobs=jobs, threads=threads, verify=verify, report=report
        )
        loop = Loop(work, growth, **amounts(keep=keep, prune=prune), seed=seed)
        with work.session():
            return Grown(*loop.run(run, announce=True))
