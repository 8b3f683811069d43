"""The verbs of one step: `score`, `select`, and `prune`, which does both; and `load`, which reads what a run kept.

An exposure plan divides the data set into fits. A learner trains on each fit and makes observations. Scores turn the
observations into a table, and a rule turns the table into a coreset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.cards import of_choice, of_table
from unseen.core.coreset import Coreset
from unseen.core.exposure import Plan
from unseen.core.plans import default_plan, plan_named, plan_of
from unseen.core.protocols import Data
from unseen.core.table import ScoreTable
from unseen.data.sources import check_arguments, open_data, split_reading_options
from unseen.engine import runs
from unseen.engine.work import Groups, Running, Work, WorkOptions, resolve_executor, split_running_options
from unseen.errors import ArgumentError, RunError, warn
from unseen.evaluating.advise import Advice
from unseen.evaluating.automatic import AUTO, Auto, find_best_method
from unseen.evaluating.result import FILE as EVALUATION
from unseen.evaluating.result import Evaluation
from unseen.evaluating.sweep import FILE as SWEEP
from unseen.evaluating.sweep import Sweep
from unseen.growing import Loop
from unseen.learners.base import refuse_target
from unseen.rules.base import Rule
from unseen.rules.budgets import Quota, amounts, budget_line
from unseen.rules.budgets import budget as budget_of
from unseen.rules.registry import (
    SHARED,
    SURENESS,
    Choice,
    default_choice,
    default_rule,
    explain_fallback,
    fallback,
    hardly_regresses,
    too_weak,
    too_weak_to_doubt,
)
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.registry import default_score, listed
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.streaming import Score

__all__ = ["LABEL_ISSUE", "Pruned", "Scored", "label_error_share", "load", "prune", "score", "select"]


class Pruned(NamedTuple):
    """The result of `prune`: the scores of every sample, and the part worth training on."""

    scores: ScoreTable
    coreset: Coreset

    def to_pandas(self) -> Any:
        """Return a frame of every sample with its scores, and whether it is `kept`; see `ScoreTable.to_pandas`."""
        return self.scores.to_pandas(self.coreset)

    def to_arrow(self) -> Any:
        """Return the same as an Arrow table; see `ScoreTable.to_arrow`."""
        return self.scores.to_arrow(self.coreset)

    def _repr_html_(self) -> str:
        return of_choice(self.scores, self.coreset)


class Scored(NamedTuple):
    """A run as `load` reads it: its scores, and its coreset if one was chosen."""

    scores: ScoreTable
    coreset: Coreset | None

    def _repr_html_(self) -> str:
        return of_table(self.scores) if self.coreset is None else of_choice(self.scores, self.coreset)


def score(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    scores: str | Score | Sequence[str | Score] | None = None,
    plan: Plan | str | int | None = None,
    learner: Any = None,
    seed: int | None = 0,
    groups: Groups = "duplicates",
    out: str | Path | None = None,
    features: str | Sequence[str] | None = None,
    **options: Unpack[WorkOptions],
) -> ScoreTable:
    """Score every sample by models that never saw it.

    Args:
        data: anything `unseen.data.resolve` takes: arrays (with `y`), a frame, a torch or Hugging Face data set, a
            path.
        y: (n,) labels, where `data` is an array or a frame of inputs; or the name of the column of labels.
        scores: one or several names (`"el2n"`, `"dual:window=5"`) or `Score` objects. The default is `"el2n"` and what
            the default rule reads beside it, so that `select` chooses as `prune` does: `"label_issue"`, and under
            `halves()` also `"memorization"`. For data with a regression target it is `"loss"`.
        plan: the exposure plan, its name, as in `"folds:k=3"`, or a number of folds. The default is `halves()`, two
            trainings on half of the data each; for learners in closed form it is `folds(5)`.
        learner: see `unseen.learners.resolve`; the default depends on the kind of data.
        seed: the root seed of everything random; None draws one.
        groups: `"duplicates"` keeps exact copies in one fold; an array (n,) keeps these groups together; None keeps
            together only the groups that the data set itself brings.
        out: a directory that keeps the run. The same call continues it after a kill, and is refused if anything
            that changes the numbers differs.
        features: the columns that are inputs.
        **options: where fits run, such as `jobs=2`, see `unseen.engine.work.Running`; and how `data` is read, as in
            `label="income"`, see `unseen.data.formats.ReadOptions`.

    Returns:
        The score table, in dataset order.

    Example:
        >>> import unseen
        >>> table = unseen.score("digits", plan=unseen.folds(3), learner="logistic")
        >>> len(table), table.directions
        (1797, {'el2n': 'harder', 'label_issue': 'harder'})
    """
    check_arguments(score, options, Running.__annotations__)
    running, reading = split_running_options(options)
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source = open_data(data, y, reading, features, cache=out)
        work = Work(source, learner, groups=groups, **running)
        exposure = plan_of(plan, closed_form=work.learner.closed_form)
        if scores is None:
            first = default_score(source)
            choice = default_choice(source, first, predicts=work.predicts)
            wanted = choice.scores(first, exposure, (), classes=work.predicts)
        else:
            wanted = listed(scores)
        table = work.score(run, exposure, wanted, seed=seed, announce=True)
        work.report("result", result=table, run=out)
        return table


def select(
    scores: ScoreTable | Pruned | Scored,
    *,
    rule: str | Rule | None = None,
    keep: float | str | None = None,
    prune: float | str | None = None,
    score: str | None = None,
    seed: int | None = 0,
    **options: Any,
) -> Coreset:
    """Choose a coreset from a score table.

    Args:
        scores: the score table, from `unseen.score`; or what `prune` or `load` gave, which holds one.
        rule: the name of a rule, with options (`"stratified:cutoff=0.1"`); see `unseen rules`. The default is
            `"stratified:cutoff=auto,quota=floored"`: in each class it cuts off some of the hardest samples and draws
            from strata of the score, see `unseen.rules.sampling.Stratified`. The columns `memorization` and
            `label_issue`, if the table has them, decide how many; with scores of worth, or without predictions, it cuts
            off none. Where classes are of unequal size, strata have equal count (`by=rank`), which keeps the recall of
            smaller classes.
            For a regression target the default is `"trimmed"`: random, without outliers. If the models are hardly
            better than predicting the largest class, or far less sure than they are right, the coreset is random
            within each class (`random:quota=floored`), and a warning says so; see
            `unseen.rules.registry.too_unsure`.
        keep: how much is kept: a count (int), a fraction (float in (0, 1]) or `"70%"`. Exactly one of keep and prune.
        prune: how much is removed.
        score: which score of the table the rule reads; the default is the first.
        seed: the seed of rules that draw at random; None draws one.
        options: `features`, `quota`, `align` and the options of the rule. `align="temperature"` reads another column of
            the table, such as `el2n@temperature`. `unseen.prune` measures that column by itself; with `unseen.score`,
            name it: `scores=["el2n", "el2n@temperature"]`.

    Example:
        >>> import unseen
        >>> table = unseen.score("digits", plan=unseen.folds(3), learner="logistic")
        >>> unseen.select(table, rule="top", keep=0.1)
        Coreset(180 of 1,797 samples kept, 10.0 % by top)
    """
    _check_options(select, options, rule)
    scores = _table_of("scores", scores)
    if rule == AUTO:
        raise ArgumentError("rule='auto' trains on what it chooses, which takes the data: use `prune`, or name a rule")
    seed = runs.seed_of(None, seed)
    name = score or next(iter(scores.scores), None)
    if rule is None:
        of_target = "targets" in scores.provenance.get("fingerprint", {})
        shown = {"predicts": scores.predictions is not None, "of_target": of_target}
        rule = "stratified" if name is None else default_rule(scores.direction(name), scores.labels, **shown)
        drawn = _fall_back(scores, warn, options.get("quota"), **amounts(keep=keep, prune=prune), seed=seed)
        if drawn is not None:
            return drawn
    choice = Choice.of(rule, options)
    if name is None and choice.rule.reads != "nothing":
        raise ArgumentError(f"rule {choice.rule.name!r} reads scores, but this table holds none; use 'random'")
    return choice.coreset(scores, score=name, **amounts(keep=keep, prune=prune), seed=seed)


def _table_of(name: str, scores: object) -> ScoreTable:
    """Return a score table, or the one in what `prune` or `load` gave."""
    table = scores.scores if isinstance(scores, (Pruned, Scored)) else scores
    if not isinstance(table, ScoreTable):
        raise ArgumentError(f"{name} must be a score table, got {type(table).__name__}; read a run by unseen.load(run)")
    return table


def _fall_back(
    table: ScoreTable, tell: Callable[[str], object], quota: Quota | None, keep: Any, prune: Any, seed: int
) -> Coreset | None:
    """Draw a random coreset where the models behind the scores are too weak or too unsure, and tell; else None."""
    if (why := explain_fallback(table)) is None:
        return None
    doubt = ""
    # An own loop is known by a name alone.
    if too_weak(table) is not None and set(table.provenance.get("learner", ())) == {"learner"}:
        doubt = " (if yours are better, outputs were recorded for other samples, or in another order of classes)"
    tell(f"{why}{doubt}; the coreset is random within each class (try another learner, or name a rule to decide)")
    coreset = fallback(quota).coreset(table, score=None, keep=keep, prune=prune, seed=seed)
    return replace(coreset, provenance={**coreset.provenance, "fallback": why})


def prune(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    keep: float | str | None = None,
    prune: float | str | None = None,
    score: str | Score | None = None,
    also: Sequence[str | Score] = (),
    rule: str | Rule | None = None,
    plan: Plan | str | int | None = None,
    learner: Any = None,
    seed: int | None = 0,
    groups: Groups = "duplicates",
    out: str | Path | None = None,
    **options: Any,
) -> Pruned:
    """Score every sample by models that never saw it, and choose the coreset.

    The arguments are those of `score` and `select`, and `options` those of both. `features` may be one of two things,
    which the command line names `--feature` and `--features`. Names are the columns that are inputs. An array (n, d) is
    for rules that read features, and is no input.

    `also` names further scores for the table. Held-out label issues (`label_issue`, see `label_error_share`) are always
    measured, unless the data has a regression target. A budget, cutoff or score that cannot work is refused before any
    training.

    If no rule is named and the models turn out hardly better than predicting the largest class, or far less sure than
    they are right, the coreset is random, within each class (`random:quota=floored`), and a message says so.

    `rule="auto"` first compares several methods (scores, rules, cutoffs, one or several steps, and random) on a split
    held out of the data, by successive halving. It compares the best of them with random on fresh replicates, and then
    chooses from everything by the winner. The evidence is in `coreset.provenance["auto"]`. The options are those of
    `unseen.evaluating.automatic.Auto`.

    Example:
        >>> import unseen
        >>> table, coreset = unseen.prune("digits", keep=0.7, rule="top", learner="logistic")
        >>> coreset
        Coreset(1,258 of 1,797 samples kept, 70.0 % by top)
    """
    reading, options = split_reading_options(options)
    _check_options(_PRUNE, options, rule, Running.__annotations__)
    running, options = split_running_options(options)
    amount = amounts(keep=keep, prune=prune)
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source = open_data(data, y, reading, reading.pop("features", None), cache=out)
        score = default_score(source) if score is None else resolve_score(score)
        if rule == AUTO:
            refuse_target(source, "rule='auto' compares accuracies of classes", "name a rule")
            if plan is not None:
                raise ArgumentError(
                    "rule='auto' chooses the plan itself: leave plan (--plan, --folds and --repeats) out, or name "
                    "candidates"
                )
            budget = budget_of(len(source), **amount)
            executor, running = resolve_executor(running, source, learner)
            more: dict[str, Any] = {"learner": learner, "groups": groups, **running}
            with executor.session():
                pruned = _prune_automatically(run, source, budget, score, also, seed, options, **more)
            if (report := running.get("report")) is not None:
                report("result", result=pruned, run=out)
            return pruned
        work = Work(source, learner, groups=groups, **running)
        if rule is None:
            choice = default_choice(source, score, options, predicts=work.predicts)
        else:
            choice = Choice.of(rule, options)
        choice.check(source, **amount, direction=score.direction, predicts=work.predicts)
        if any(value is not None for value in amount.values()):
            work.report("budget", text=budget_line(len(source), **amount))
        exposure = plan_of(plan, closed_form=work.learner.closed_form)
        further = listed(also)
        if rule is None and work.predicts and score.label != SURENESS:
            further.append(SURENESS)
        wanted = choice.scores(score, exposure, further, classes=work.predicts)
        table = work.score(run, exposure, wanted, seed=seed, announce=True)
        if (why := hardly_regresses(table)) is not None:
            work.tell(why)
        quota = choice.shared.get("quota")
        coreset = _fall_back(table, work.tell, quota, **amount, seed=seed) if rule is None else None
        if coreset is None:
            coreset = choice.coreset(table, score=score.label, **amount, seed=seed)
        pruned = Pruned(table, run.save_coreset(coreset))
        work.report("result", result=pruned, run=out)
        return pruned


_PRUNE = prune  # the argument `prune` hides the function in its body


def _check_options(
    verb: Callable[..., Any], options: Mapping[str, Any], rule: str | Rule | None, known: Iterable[str] = ()
) -> None:
    """Refuse options that the verb and the rule do not have, and that are not `known` otherwise."""
    if rule == AUTO:
        names = [entry.name for entry in fields(Auto)]
    else:
        names = [*Choice.of(rule or "stratified").rule.options(), *SHARED]
    check_arguments(verb, options, [*names, *known])


def _prune_automatically(
    run: runs.Run,
    source: Data,
    budget: int,
    score: Score,
    also: Sequence[str | Score],
    seed: int,
    options: Mapping[str, Any],
    **more: Any,
) -> Pruned:
    """Find the best method on a held-out split, then choose by it from everything."""
    auto = Auto(**options)
    with run.part(AUTO) as trials:
        share = budget / len(source)
        best, evidence = find_best_method(source, auto, score=score.label, share=share, run=trials, seed=seed, **more)
    work = Work(source, **more)
    if best.grows:
        loop = Loop(work, best.growth(auto.features), keep=budget, seed=seed)
        coreset, _, table = loop.run(run, announce=True)
    else:
        # Random reads no scores, but the table is what the share of label errors is estimated from.
        default = default_plan(closed_form=work.learner.closed_form)
        plan = default if best.plan is None else plan_named(best.plan)
        first = score if best.score is None else resolve_score(best.score)
        choice = best.choice(auto.features)
        further = [] if best.score is None else choice.columns(first.label, plan)[1:]
        table = work.score(run, plan, [first, *further, *listed(also), LABEL_ISSUE], seed=seed, announce=True)
        name = None if best.score is None else first.label
        coreset = choice.coreset(table, score=name, keep=budget, seed=seed)
    coreset = replace(coreset, provenance={**coreset.provenance, AUTO: evidence})
    return Pruned(table, run.save_coreset(coreset))


def load(path: str | Path) -> Scored | Evaluation | Sweep | Advice | ScoreTable | Coreset:
    """Read a finished run, or one file of it.

    Args:
        path: a run directory, or a parquet file.

    Returns:
        Of a run directory its scores and coreset (None if there is none yet), or the `Evaluation`, `Sweep` or `Advice`
        that was made in it; of a parquet file the `ScoreTable` or `Coreset` that was saved in it.

    Raises:
        RunError: a folder that holds no run, a damaged manifest, or a run without scores.
    """
    place = Path(path)
    if not place.is_dir():
        return runs.load_file(place)
    run = runs.RunDirectory(place)
    run.manifest()  # refuses a folder that holds no run, and a damaged manifest
    result = run.output(EVALUATION, Evaluation.load) or run.output(SWEEP, Sweep.load)
    if result is not None:
        return result
    if (advice := Advice.of_run(run)) is not None:
        return advice
    table, coreset = run.table(), run.coreset()
    if table is None:
        resume = f"unseen resume {quote(str(place))}"
        raise RunError(f"{place} holds no scores yet: the run is not finished; `{resume}` goes on")
    return Scored(table, coreset)


def label_error_share(table: ScoreTable | Pruned | Scored, coreset: Coreset | None = None) -> float:
    """Return the held-out disagreement: the share of labels that models confidently contradict, averaged over repeats.

    It is the share in a coreset, or in the whole data set, which is the expected share in a random coreset. A label is
    contradicted where it is a `label_issue` (confident learning, Northcutt et al. 2021). Wrong labels are contradicted,
    but so are hard samples and samples that the models are too weak for: on known flips of 0 to 20 % of the labels, the
    share was between 2 points too low and 13 too high wherever it was not NaN (`benchmarks/results/label_errors.json`).

    Returns:
        The share; NaN where the models are too weak to doubt a label: they predict fewer than 75 % of the labels
        rightly, or no more than the share of the largest class (`unseen.rules.registry.too_weak_to_doubt`); and where
        each model judged samples of one class, such as a single one. Samples that no model judged are left out.

    Raises:
        ArgumentError: the table has no score `label_issue`.
    """
    table = _table_of("table", table)
    if LABEL_ISSUE not in table.values:
        raise ArgumentError(f"the table must hold the score {LABEL_ISSUE!r}, it has {', '.join(table.scores)}")
    flagged = table.column(LABEL_ISSUE)
    if table.predictions is not None:
        if too_weak_to_doubt(table) is not None:
            return float("nan")
        flagged = np.where(table.predictions >= 0, flagged, np.nan)
    flagged = flagged if coreset is None else flagged[coreset.indices]
    return float(np.nanmean(flagged)) if np.isfinite(flagged).any() else float("nan")
