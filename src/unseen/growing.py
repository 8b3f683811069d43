"""Growing a coreset in several steps, each by models trained on the coreset so far: `grow`.

The first step is `unseen.prune` on a part of the budget. Each further step trains one model on the coreset so far,
predicts the samples outside it, and adds those that the model is least sure about. Samples that the rule cut off in the
first step, such as likely wrong labels, stay out. No sample is judged by a model that saw it.

`Growth` holds the settings and `Loop` carries them out, for `grow` and for the methods that `unseen.evaluating`
compares. This is the only place where a coreset decides what is trained on next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray
from unseen.core.cards import listed, of_choice
from unseen.core.checks import at_least, is_number, one_of
from unseen.core.coreset import HISTORY, Coreset, History
from unseen.core.exposure import Exposure, Plan
from unseen.core.plans import coreset, default_plan, plan_of
from unseen.core.table import ScoreTable
from unseen.core.words import many
from unseen.data.base import digest
from unseen.data.sources import check_arguments, open_data, split_reading_options
from unseen.engine import runs
from unseen.engine.runs.base import Run
from unseen.engine.work import Groups, Running, Work, refuse_other_data, split_running_options
from unseen.errors import ArgumentError, BudgetError
from unseen.learners.base import refuse_target
from unseen.rules.base import Rule, largest
from unseen.rules.budgets import QUOTAS, amounts, budget_line
from unseen.rules.budgets import budget as budget_of
from unseen.rules.registry import SHARED, Choice, default_rule, explain_fallback, fallback
from unseen.rules.sampling import Stratified
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.streaming import Score

__all__ = ["Grown", "Growth", "Loop", "choose_rows", "grow"]

GROW_OPTIONS = ("features", "quota", "align")
FIRST = "start"  # the part of the run that keeps the first scoring


class Grown(NamedTuple):
    """The result of `grow`: the coreset, the history of its steps, and the scores of the first step."""

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
    plan: Plan | str | int | None = None,
    start: float | Coreset = 0.5,
    steps: int = 2,
    refill: str | Score = "entropy",
    learner: Any = None,
    seed: int | None = 0,
    groups: Groups = "duplicates",
    out: str | Path | None = None,
    **options: Any,
) -> Grown:
    """Choose a coreset in several steps: a part as `prune` does, the rest by models trained on the coreset so far.

    The first step scores every sample by models that did not see it, and chooses a part of the budget. Each further
    step trains a model on the coreset so far, and adds the samples outside it that are worth most by `refill`. Samples
    that the rule would cut off at the full budget, such as likely wrong labels, are never added. Copies of samples in
    the coreset are added last. A further step costs one training on the coreset so far.

    The arguments are those of `unseen.score` and `unseen.select`; `score`, `rule` and `plan` are those of the first
    step. `start` is the share of the budget in (0, 1) that the first step chooses, or a coreset of this data set to
    begin with. `steps` is the number of further steps, which add equally many samples. `refill` is the score by which
    these steps add samples. `quota` says how the classes share the samples that a step adds: `"proportional"` to their
    size, `"uniform"`, or `"error"`, in proportion to size x held-out error.

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
        [180, 269, 359]
    """
    reading, options = split_reading_options(options)
    named = Choice.of("stratified" if rule is None else rule).rule
    check_arguments(grow, options, [*named.options(), *SHARED, *Running.__annotations__])
    running, options = split_running_options(options)
    exposure = None if plan is None else plan_of(plan, closed_form=False)
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source = open_data(data, y, reading, reading.pop("features", None), cache=out)
        refuse_target(source, "grow needs predictions of classes", "`prune` works without classes")
        default = default_rule(resolve_score(score).direction, source.labels)
        choice = Choice.of(default if rule is None else rule, options)
        growth = Growth(choice, score, refill, start, steps, exposure, fallback=rule is None)
        work = Work(source, learner, groups=groups, **running)
        loop = Loop(work, growth, **amounts(keep=keep, prune=prune), seed=seed)
        with work.session():
            grown = loop.run(run, announce=True)
        work.report("result", result=grown, run=out)
        return grown


@dataclass(frozen=True, eq=False)
class Growth:
    """The settings of a growth; `unseen.grow` explains each.

    >>> Growth(Choice.of("top")).sizes(1000)
    [500, 750, 1000]
    """

    choice: Choice
    score: str | Score = "el2n"
    refill: str | Score = "entropy"
    start: float | Coreset = 0.5
    steps: int = 2
    plan: Plan | None = None
    fallback: bool = False  # choose a random coreset where the models turn out too weak to choose

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        share = is_number(self.start) and 0 < self.start < 1
        if not share and not isinstance(self.start, Coreset):
            raise ArgumentError(f"start must be a share of the budget in (0, 1), or a coreset, got {self.start!r}")
        for name in self.choice.shared:
            if name not in GROW_OPTIONS:
                raise ArgumentError(f"{name}= is measured at each step and cannot be given; leave it out")
        if isinstance(self.quota, Mapping):
            raise ArgumentError(
                "quota={class: count} fixes the classes of one selection; grow takes 'proportional', 'floored', "
                "'uniform' or 'error', for the samples that enter at each step"
            )
        one_of("quota", self.quota, (*QUOTAS, None))
        second = self.choice.rule.column
        if second is not None and not isinstance(second, str):
            raise ArgumentError("the rule must name its second score, which is measured anew")
        self.choice.rule.check(self.first_score.direction)

    @property
    def first_score(self) -> Score:
        """The score of the first step."""
        return resolve_score(self.score)

    @property
    def refill_score(self) -> Score:
        """The score of the further steps."""
        return resolve_score(self.refill)

    @property
    def quota(self) -> Any:
        """How the classes share the samples that a step adds."""
        return self.choice.shared.get("quota")

    def sizes(self, budget: int) -> list[int]:
        """Return the size of the coreset at the start and after each step."""
        first = len(self.start) if isinstance(self.start, Coreset) else round(self.start * budget)
        return [first + (budget - first) * step // self.steps for step in range(self.steps + 1)]

    def describe(self) -> dict[str, object]:
        """Return every setting that changes the result, as JSON."""
        choice = self.choice
        features = choice.shared.get("features")
        return {
            "score": self.first_score.label,
            "rule": choice.rule.name,
            "options": choice.rule.options(),
            "shared": {k: v for k, v in choice.shared.items() if k != "features"},
            "features": None if features is None else digest(np.asarray(features)),
            "refill": self.refill_score.label,
            "start": {"coreset": digest(self.start.indices)} if isinstance(self.start, Coreset) else self.start,
            "steps": self.steps,
        }


class ScoringStep(NamedTuple):
    """One scoring of a growth."""

    part: str  # the part of the run that keeps it
    plan: Plan
    scores: list[str | Score]


class Loop:
    """The growth of one coreset, to `sizes` at the start and after each step; it takes `trainings` trainings.

    Settings that cannot work are refused in the constructor, before any training.
    """

    def __init__(
        self, work: Work, growth: Growth, *, keep: float | None = None, prune: float | None = None, seed: int = 0
    ) -> None:
        self.work, self.growth, self.seed = work, growth, seeds.checked(seed)
        data, n = work.data, len(work.data)
        if not work.predicts:
            raise ArgumentError(f"grow needs a learner that predicts classes, which {work.learner.name!r} does not do")
        self.plan = growth.plan or default_plan(closed_form=work.learner.closed_form)
        self.budget = budget_of(n, keep=keep, prune=prune)
        self.sizes = growth.sizes(self.budget)
        self._check(len(np.unique(data.labels)))
        bare = replace(growth.choice, shared={k: v for k, v in growth.choice.shared.items() if k != "quota"})
        bare.check(data, keep=self.budget, prune=None, direction=growth.first_score.direction)
        for scoring in self.scorings():
            work.check(scoring.plan, scoring.scores)
        self.trainings = sum(scoring.plan.count(n) for scoring in self.scorings())

    def scorings(self) -> Iterator[ScoringStep]:
        """Yield all scorings in order.

        The members are not known yet, so each further scoring has the plan of an arbitrary coreset of its size.
        """
        choice, first = self.growth.choice, self.growth.first_score
        second = [choice.rule.column] if isinstance(choice.rule.column, str) else []
        further = dict.fromkeys([*choice.columns(first.label, self.plan)[1:], LABEL_ISSUE, *second])
        yield ScoringStep(FIRST, self.plan, [first, *further])
        for step, size in enumerate(self.sizes[:-1], 1):
            plan = Exposure(train=np.arange(size), watch=np.arange(size, max(self.budget, size + 1)))
            yield ScoringStep(f"step-{step}", plan, [self.growth.refill_score])

    def run(self, run: Run, *, name: str = "", announce: bool = False) -> Grown:
        """Grow the coreset and keep every result in `run`, which is opened here and closed by the caller.

        `name` is a prefix for the names of the fits in reports; `announce` reports the work ahead and each step.
        """
        run.open(self._manifest())
        if announce:
            self.work.tell_of_copies()
            self._report_work(run)
        table = self._score(run, next(self.scorings()), 0, name)
        weak = explain_fallback(table) if self.growth.fallback else None
        if weak is not None:
            self.work.tell(
                f"{weak}; samples are added at random within each class (try another learner, or name a rule to decide)"
            )
            own = self._own_start()
            rest = np.setdiff1d(np.arange(len(table)), own)
            rows = choose_rows(fallback(self.growth.quota), table, rest, self.budget - len(own), self._seed("start"))
            parts = [part for part in (own, rows) if len(part)]
            scores = [np.full(len(part), np.nan) for part in parts]
        else:
            parts, scores = self._add_steps(run, table, name, announce=announce)
        return self._save(run, table, parts, scores, weak)

    def _add_steps(
        self, run: Run, table: ScoreTable, name: str, *, announce: bool
    ) -> tuple[list[IntArray], list[FloatArray]]:
        """Return the rows that the start and each step add, and the scores by which they were added."""
        growth = self.growth
        first, left, start = growth.first_score.label, self._rows_after_cutoff(table), self._own_start()
        if not len(start):
            choice = growth.choice
            if isinstance(choice.rule, Stratified):  # what it cuts off is not among the rows that are left
                choice = replace(choice, rule=choice.rule.uncut())
            start = choose_rows(choice, table, left, self.sizes[0], self._seed("start"), score=first)
        parts, scores = [start], [table.column(first)[start]]
        for step, size in enumerate(self.sizes[1:], 1):
            members = np.concatenate(parts)
            room = size - len(members)
            scoring = self._plan_step(step, np.sort(members), np.setdiff1d(left, members), room)
            refill = self._score(run, scoring, step, name)
            entered = self._choose_outsiders(refill, members, room, self._seed(scoring.part))
            parts.append(entered)
            scores.append(refill.column(growth.refill_score.label)[entered])
            if announce:
                self.work.report("say", text=f"step {step}: {size:,} samples, {len(entered):,} entered")
        return parts, scores

    def _choose_outsiders(self, table: ScoreTable, members: IntArray, room: int, seed: int) -> IntArray:
        """Choose the `room` judged outsiders of the highest worth; copies of members only where no others are left."""
        judged = np.setdiff1d(np.flatnonzero(np.isfinite(table.column(self.growth.refill_score.label))), members)
        contents = self.work.data.duplicate_groups()
        copies = np.isin(contents[judged], contents[members]) if contents is not None else np.zeros(len(judged), bool)
        shared = {} if self.growth.quota is None else {"quota": self.growth.quota}
        entered: list[IntArray] = []
        for rows in (judged[~copies], judged[copies]):
            count = min(room - sum(map(len, entered)), len(rows))
            choice = Choice.of("top", shared)
            entered.append(choose_rows(choice, table, rows, count, seed, score=self.growth.refill_score.label))
        return np.concatenate(entered)

    def _own_start(self) -> IntArray:
        """Return the rows of the user's coreset to begin with, in the order of their choice; none without one."""
        start = self.growth.start
        if not isinstance(start, Coreset):
            return np.empty(0, np.int64)
        return start.indices if start.order is None else start.order

    def _plan_step(self, step: int, members: IntArray, outside: IntArray, room: int) -> ScoringStep:
        """Make the scoring of a step: by one model of all members, if it may judge enough outsiders.

        A model must not judge samples of a group that it saw. Where that leaves too few outsiders, two models are
        trained on halves of the members, and each judges the outsiders whose groups it did not see.
        """
        groups = self.work.samples.groups
        free = outside if groups is None else outside[~np.isin(groups[outside], groups[members])]
        enough = len(free) >= min(room, len(outside))
        plan = Exposure(train=[members], watch=[free]) if enough else coreset(members, 2, outsiders=outside)
        return ScoringStep(f"step-{step}", plan, [self.growth.refill_score])

    def _rows_after_cutoff(self, table: ScoreTable) -> IntArray:
        """Return the rows that are left after the rule's cutoff at the whole budget."""
        growth, choice = self.growth, self.growth.choice
        score = growth.first_score.label
        whole = choice.coreset(table, score=score, keep=self.budget, seed=self._seed("start"))
        by_class = whole.provenance.get("found", {})
        parts = {None: by_class} if growth.quota is None else by_class
        column = choice.rule.column if isinstance(choice.rule.column, str) else choice.column(score)
        values = table.column(column)
        hardness = -values if table.direction(column) == "easier" else values
        left, by_id = np.ones(len(table), bool), np.argsort(table.ids, kind="stable")
        names = np.array(table.class_names)[table.labels[by_id]]
        for label, part in parts.items():
            rows = by_id if label is None else by_id[names == label]
            left[rows[largest(hardness[rows], part.get("cut_off", 0))]] = False
        return np.flatnonzero(left)

    def _score(self, run: Run, scoring: ScoringStep, step: int, name: str) -> ScoreTable:
        with run.part(scoring.part) as part:
            return self.work.score(
                part, scoring.plan, scoring.scores, seed=seeds.derive(self.seed, "grow", "score", step),
                name=f"{name}{scoring.part}/",
            )  # fmt: skip

    def _save(
        self, run: Run, table: ScoreTable, parts: list[IntArray], scores: list[FloatArray], weak: str | None
    ) -> Grown:
        """Save the coreset, its history and the table of the first step in the run, and return them."""
        data, rows = self.work.data, np.concatenate(parts)
        since = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        about = self._about() if weak is None else {**self._about(), **_describe_choice(fallback(self.growth.quota))}
        history = History(data.ids[rows], rows, since, np.concatenate(scores), about)
        names = np.array(["start", *(f"step {step}" for step in range(1, len(parts)))])
        by_row = np.argsort(rows)
        coreset = Coreset(
            ids=data.ids[rows[by_row]],
            indices=rows[by_row],
            n=len(data),
            order=rows,
            sources=names[since[by_row]],
            provenance={**about, **({} if weak is None else {"fallback": weak}), "scores": table.provenance},
        )
        run.save_table(table)
        run.save_output(HISTORY, history)
        return Grown(run.save_coreset(coreset), history, table)

    def _seed(self, purpose: str) -> int:
        return seeds.derive(self.seed, "grow", purpose)

    def _check(self, classes: int) -> None:
        """Refuse sizes that cannot be trained on or do not grow, and a start that is a coreset of another data set."""
        first, least = self.sizes[0], max(2, classes)
        if first < least:
            raise BudgetError(
                f"the start of {first} samples is too small to train on: it must be at least {least}, one a class; "
                "keep more, give a larger start, or choose in one step by `prune`"
            )
        if any(b <= a for a, b in pairwise(self.sizes)):
            raise BudgetError(
                f"each step must add a sample, but the start of {first:,} and the budget of {self.budget:,} leave "
                f"{max(0, self.budget - first):,} for steps={self.growth.steps}; keep more or give a smaller start"
            )
        start, data = self.growth.start, self.work.data
        if isinstance(start, Coreset):
            refuse_other_data(start, data, "start")

    def _manifest(self) -> dict[str, object]:
        """Return the configuration of the run."""
        samples = self.work.samples
        groups = None if samples.groups is None else digest(samples.groups)
        return self.work.manifest(
            self.seed,
            grow={"sizes": self.sizes, "plan": self.plan.describe(), **self.growth.describe()},
            fingerprint={**samples.fingerprint, "groups": groups},
        )

    def _about(self) -> dict[str, Any]:
        """Return the provenance that the coreset and its history share."""
        growth = self.growth
        return {
            **_describe_choice(growth.choice),
            "budget": self.budget,
            "n": len(self.work.data),
            "seed": self.seed,
            "score": growth.first_score.label,
            "direction": growth.first_score.direction,
            "grown": {"sizes": self.sizes, **growth.describe()},
            "class_names": list(self.work.data.class_names),
        }

    def _report_work(self, run: Run) -> None:
        """Report the work ahead, and how much of it the run holds already."""
        growth, work, n = self.growth, self.work, len(self.work.data)
        total, held, epochs = 0, 0, work.learner.epochs or 1
        for part, plan, _ in self.scorings():
            ended = {event["fit"] for event in run.part(part).events() if event["kind"] == "fit_end"}
            total += plan.count(n) * epochs
            held += min(len(ended), plan.count(n)) * epochs
        start = "a coreset of your own" if isinstance(growth.start, Coreset) else f"by {growth.first_score.label}"
        lines = [
            ("data", f"{n:,} samples, {len(work.data.class_names)} classes"),
            ("budget", budget_line(n, keep=self.budget)),
            ("start", f"{self.sizes[0]:,} samples: {start}, {growth.choice.rule.name}"),
            ("steps", f"{', '.join(f'{a:,} to {b:,}' for a, b in pairwise(self.sizes))}, by "
             f"{growth.refill_score.label}"),
            ("plan", f"{self.plan.describe()['plan']}, then a model of each coreset: {self.trainings} trainings by "
             f"{work.learner.name}, {many(work.threads, 'thread')} each"),
            *(("note", note) for note in work.data.notes),
            *([("done", f"{held} of {total} epochs finished earlier in this run")] if held else []),
        ]  # fmt: skip
        work.report("work", lines=lines, epochs=total, held=held)


def _describe_choice(choice: Choice) -> dict[str, Any]:
    """Name the rule, its options and its quota, as a coreset does."""
    return {"rule": choice.rule.name, "options": choice.rule.options(), "quota_by": choice.shared.get("quota")}


def choose_rows(
    choice: Choice, table: ScoreTable, rows: IntArray, count: int, seed: int, *, score: str | None = None
) -> IntArray:
    """Choose `count` of these rows by a rule, in the order of its picks (by id where it has none)."""
    if not count:
        return rows[:0]
    shared = dict(choice.shared)
    if shared.get("features") is not None:
        shared["features"] = np.asarray(shared["features"])[rows]
    among = replace(choice, shared=shared)
    coreset = among.coreset(table.take(rows), score=score, keep=int(count), seed=seed)
    if coreset.order is not None:
        return rows[coreset.order]
    return rows[coreset.indices[np.argsort(coreset.ids, kind="stable")]]
