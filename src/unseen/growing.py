"""The loop of several steps: a model of the coreset so far says who enters next. The only way back closes here.

The verb of several steps: `grow`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.core.cards import listed, of_choice
from unseen.core.coreset import Coreset
from unseen.core.exposure import Exposure, Plan, at_least
from unseen.core.history import HISTORY, History
from unseen.core.plans import coreset, default_plan, plan_of
from unseen.core.table import ScoreTable
from unseen.data.content import digest
from unseen.data.sources import check_arguments, opened, without_reading
from unseen.engine import runs
from unseen.engine.executors import Executor
from unseen.engine.runs.base import Run
from unseen.engine.scoring import versions
from unseen.engine.work import Report, Work
from unseen.errors import ArgumentError, BudgetError
from unseen.learners.base import refuse_target
from unseen.rules.base import Rule, largest, one_of
from unseen.rules.budgets import QUOTAS, amounts, budget_line
from unseen.rules.budgets import budget as budget_of
from unseen.rules.selecting import FALLBACK, SHARED, Choice, default_rule, too_weak
from unseen.rules.strata import Stratified
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.streaming import Score

__all__ = ["Grown", "Growth", "Loop", "chosen", "grow"]


GROW_OPTIONS = ("features", "quota", "align")
FIRST = "start"  # the part of the run that keeps the first scoring


@dataclass(frozen=True, eq=False)
class Growth:
    """How a coreset is to be grown; `unseen.grow` says what each setting means.

    >>> Growth(steps=2).sizes(1000)
    [750, 875, 1000]

    """

    choice: Choice = field(default_factory=lambda: Choice.of(default_rule("harder")))
    score: str | Score = "el2n"
    refill: str | Score = "entropy"
    start: float | Coreset = 0.75
    steps: int = 1
    plan: Plan | None = None
    fallback: bool = False  # to a random coreset, where models turn out too weak to choose

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        if not isinstance(self.start, Coreset) and not (_is_number(self.start) and 0 < self.start < 1):
            raise ArgumentError(f"start must be a share of the budget in (0, 1), or a coreset, got {self.start!r}")
        for name in self.choice.shared:
            if name not in GROW_OPTIONS:
                raise ArgumentError(f"{name}= is measured at each step and cannot be given; leave it out")
        if isinstance(self.quota, Mapping):
            raise ArgumentError(
                "quota={class: count} fixes the classes of one selection; grow takes 'proportional', 'uniform' or "
                "'error', the classes of those who enter at each step"
            )
        one_of("quota", self.quota, (*QUOTAS, None))
        second = self.choice.rule.column
        if second is not None and not isinstance(second, str):
            raise ArgumentError("the rule must name its second score, which is measured anew")
        self.choice.rule.check(self.measured.direction)

    @property
    def measured(self) -> Score:
        """The score of the first step."""
        return resolve_score(self.score)

    @property
    def entering(self) -> Score:
        """The score of the further steps."""
        return resolve_score(self.refill)

    @property
    def quota(self) -> Any:
        """How classes share those who enter at a step."""
        return self.choice.shared.get("quota")

    def sizes(self, budget: int) -> list[int]:
        """Give the size of the start and after each step."""
        first = len(self.start) if isinstance(self.start, Coreset) else round(self.start * budget)
        return [first + (budget - first) * step // self.steps for step in range(self.steps + 1)]

    def describe(self) -> dict[str, object]:
        """Give every setting that changes the result, as JSON."""
        choice = self.choice
        features = choice.shared.get("features")
        return {
            "score": self.measured.label,
            "rule": choice.rule.name,
            "options": choice.rule.options(),
            "shared": {k: v for k, v in choice.shared.items() if k != "features"},
            "features": None if features is None else digest(np.asarray(features)),
            "refill": self.entering.label,
            "start": {"coreset": digest(self.start.indices)} if isinstance(self.start, Coreset) else self.start,
            "steps": self.steps,
        }


class Scoring(NamedTuple):
    """One scoring of a growth: the part of the run that keeps it, its plan and its scores."""

    part: str
    plan: Plan
    scores: list[str | Score]


class Loop:
    """Grows one coreset; what cannot work is refused when it is made, before any training.

    Args:
        work: the data set and the learner.
        growth: the settings.
        keep: the budget, a count or a fraction; or `prune`.
        prune: how much is removed.
        seed: the root seed.

    Attributes:
        sizes: of the coreset at the start and after each step.
        trainings: how many models will be trained.

    """

    def __init__(
        self, work: Work, growth: Growth, *, keep: float | None = None, prune: float | None = None, seed: int = 0
    ) -> None:
        self.work, self.growth, self.seed = work, growth, seeds.checked(seed)
        data, n = work.data, len(work.data)
        if "logits" not in work.learner.provides:
            raise ArgumentError(f"to grow needs a learner that predicts classes, which {work.learner.name!r} does not")
        self.plan = growth.plan or default_plan(closed_form=work.learner.closed_form)
        self.budget = budget_of(n, keep=keep, prune=prune)
        self.sizes = growth.sizes(self.budget)
        self._check_sizes(len(np.unique(data.labels)))
        self._check_start()
        choice = growth.choice
        bare = replace(choice, shared={k: v for k, v in choice.shared.items() if k != "quota"})
        bare.check(data, keep=self.budget, prune=None, direction=growth.measured.direction)
        for scoring in self.scorings():
            work.check(scoring.plan, scoring.scores)
        self.trainings = sum(scoring.plan.count(n) for scoring in self.scorings())

    def scorings(self) -> Iterator[Scoring]:
        """Give all scorings, each further one with the plan of any coreset of its size."""
        choice = self.growth.choice
        beside = [*choice.columns(self.growth.measured.label, self.plan)[1:], LABEL_ISSUE]
        second = choice.rule.column
        named = [second] if isinstance(second, str) else []
        yield Scoring(FIRST, self.plan, [self.growth.measured, *dict.fromkeys([*beside, *named])])
        for step, size in enumerate(self.sizes[:-1], 1):
            outside = np.arange(size, max(self.budget, size + 1))
            yield Scoring(f"step-{step}", Exposure(train=np.arange(size), watch=outside), [self.growth.entering])

    def run(self, run: Run, *, name: str = "", announce: bool = False) -> tuple[Coreset, History, ScoreTable]:
        """Grow the coreset, everything kept in `run`, which is opened here and closed by the caller.

        Args:
            run: where; the scorings are parts of it.
            name: put before the names of the fits in reports.
            announce: report what is going to be done (`"work"`), and what each step came to (`"say"`).

        """
        run.open(self._manifest())
        if announce:
            self._report_work(run)
        table = self._scored(run, next(self.scorings()), 0, name)
        weak = too_weak(table) if self.growth.fallback else None
        if weak is not None:
            self.work.report("say", text=f"{weak}; the coreset is random, each class in proportion (name a rule)")
            rows = chosen(Choice.of(FALLBACK), table, np.arange(len(table)), self.budget, self._seed("start"))
            parts, scores = [rows], [np.full(len(rows), np.nan)]
        else:
            parts, scores = self._grown(run, table, name, announce=announce)
        return self._kept(run, table, parts, scores, {} if weak is None else {"fallback": weak})

    def _grown(
        self, run: Run, table: ScoreTable, name: str, *, announce: bool
    ) -> tuple[list[IntArray], list[npt.NDArray[np.float64]]]:
        """Rows that entered at the start and at each step, with the scores by which they did."""
        growth = self.growth
        left = self._not_cut_off(table)
        if isinstance(growth.start, Coreset):
            start = growth.start.indices if growth.start.order is None else growth.start.order
        else:
            start = chosen(_without_cutoff(growth.choice), table, left, self.sizes[0], self._seed("start"),
                           score=growth.measured.label)  # fmt: skip
        parts, scores = [start], [table.column(growth.measured.label)[start]]
        for step, size in enumerate(self.sizes[1:], 1):
            members = np.concatenate(parts)
            room = size - len(members)
            scoring = self._step(step, np.sort(members), np.setdiff1d(left, members), room)
            found = self._scored(run, scoring, step, name)
            entered = self._entering(found, members, room, self._seed(scoring.part))
            parts.append(entered)
            scores.append(found.column(growth.entering.label)[entered])
            if announce:
                self.work.report("say", text=f"step {step}: {size:,} samples, {len(entered):,} entered")
        return parts, scores

    def _entering(self, table: ScoreTable, members: IntArray, room: int, seed: int) -> IntArray:
        """Those worth most of who was judged; copies of members only where nobody else is left."""
        judged = np.setdiff1d(np.flatnonzero(np.isfinite(table.column(self.growth.entering.label))), members)
        contents = self.work.data.duplicate_groups()
        copies = np.isin(contents[judged], contents[members]) if contents is not None else np.zeros(len(judged), bool)
        shared = {} if self.growth.quota is None else {"quota": self.growth.quota}
        entered: list[IntArray] = []
        for rows in (judged[~copies], judged[copies]):
            count = min(room, len(rows))
            entered.append(chosen(Choice.of("top", shared), table, rows, count, seed, score=self.growth.entering.label))
            room -= count
        return np.concatenate(entered)

    def _step(self, step: int, members: IntArray, outside: IntArray, room: int) -> Scoring:
        """The scoring of a step: one model of all members, or two of halves where groups bind many to a member."""
        groups = self.work.samples.groups
        free = outside if groups is None else outside[~np.isin(groups[outside], groups[members])]
        enough = len(free) >= min(room, len(outside))
        plan = Exposure(train=[members], watch=[free]) if enough else coreset(members, 2, outsiders=outside)
        return Scoring(f"step-{step}", plan, [self.growth.entering])

    def _not_cut_off(self, table: ScoreTable) -> IntArray:
        """Rows that the rule leaves, at the whole budget, after its cutoff."""
        growth, choice = self.growth, self.growth.choice
        score = growth.measured.label
        whole = choice.coreset(table, score=score, keep=self.budget, seed=self._seed("start"))
        found = whole.provenance.get("found", {})
        parts = {None: found} if growth.quota is None else found
        column = choice.rule.column if isinstance(choice.rule.column, str) else choice.column(score)
        values = table.column(column)
        hardness = -values if table.direction(column) == "easier" else values
        left = np.ones(len(table), bool)
        for label, part in parts.items():
            names = np.array(table.class_names)[table.labels]
            rows = np.arange(len(table)) if label is None else np.flatnonzero(names == label)
            rows = rows[np.argsort(table.ids[rows], kind="stable")]
            left[rows[largest(hardness[rows], part.get("cut_off", 0))]] = False
        return np.flatnonzero(left)

    def _scored(self, run: Run, scoring: Scoring, step: int, name: str) -> ScoreTable:
        with run.part(scoring.part) as kept:
            return self.work.score(
                kept, scoring.plan, scoring.scores, seed=seeds.derive(self.seed, "grow", "score", step),
                name=f"{name}{scoring.part}/",
            )  # fmt: skip

    def _kept(
        self,
        run: Run,
        table: ScoreTable,
        parts: list[IntArray],
        scores: list[npt.NDArray[np.float64]],
        more: dict[str, object],
    ) -> tuple[Coreset, History, ScoreTable]:
        """Keep the coreset, its history and the table of the first step in the run."""
        data, rows = self.work.data, np.concatenate(parts)
        since = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        history = History(data.ids[rows], rows, since, np.concatenate(scores), self._about())
        names = np.array(["start", *(f"step {step}" for step in range(1, len(parts)))])
        by_row = np.argsort(rows)
        coreset = Coreset(
            ids=data.ids[rows[by_row]],
            indices=rows[by_row],
            n=len(data),
            order=rows,
            sources=names[since[by_row]],
            provenance={**self._about(), **more, "scores": table.provenance},
        )
        run.save_table(table)
        run.save_output(HISTORY, history)
        return run.save_coreset(coreset), history, table

    def _seed(self, purpose: str) -> int:
        return seeds.derive(self.seed, "grow", purpose)

    def _check_sizes(self, classes: int) -> None:
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

    def _check_start(self) -> None:
        """Refuse a start of another data set."""
        start, data = self.growth.start, self.work.data
        if not isinstance(start, Coreset):
            return
        if start.n != len(data) or not np.array_equal(data.ids[start.indices], start.ids):
            ids = "" if start.n != len(data) else " with other ids"
            raise ArgumentError(
                f"start must be a coreset of this data set of {len(data):,} samples, got one of {start.n:,}{ids}"
            )

    def _manifest(self) -> dict[str, object]:
        """The configuration, for the run."""
        samples = self.work.samples
        groups = None if samples.groups is None else digest(samples.groups)
        return {
            "format": 1,
            "versions": versions(),
            "seed": self.seed,
            "grow": {"sizes": self.sizes, "plan": self.plan.describe(), **self.growth.describe()},
            "learner": self.work.learner.describe(),
            "settings": {"threads": self.work.threads},
            "fingerprint": {**samples.fingerprint, "groups": groups},
        }

    def _about(self) -> dict[str, Any]:
        """What the coreset and its history say of where they come from."""
        growth = self.growth
        return {
            "rule": growth.choice.rule.name,
            "options": growth.choice.rule.options(),
            "budget": self.budget,
            "n": len(self.work.data),
            "seed": self.seed,
            "score": growth.measured.label,
            "direction": growth.measured.direction,
            "grown": {"sizes": self.sizes, **growth.describe()},
            "class_names": list(self.work.data.class_names),
        }

    def _report_work(self, run: Run) -> None:
        """Report what is going to be done, and how much of it the run holds."""
        growth, work, n = self.growth, self.work, len(self.work.data)
        total, held, epochs = 0, 0, work.learner.epochs or 1
        for part, plan, _ in self.scorings():
            ended = {event["fit"] for event in run.part(part).events() if event["kind"] == "fit_end"}
            total += plan.count(n) * epochs
            held += min(len(ended), plan.count(n)) * epochs
        start = "a coreset of your own" if isinstance(growth.start, Coreset) else f"by {growth.measured.label}"
        threads = f"{work.threads} thread{'' if work.threads == 1 else 's'} each"
        notes = work.data.notes
        lines = [
            ("data", f"{n:,} samples, {len(work.data.class_names)} classes"),
            ("budget", budget_line(n, keep=self.budget)),
            ("start", f"{self.sizes[0]:,} samples: {start}, {growth.choice.rule.name}"),
            ("steps", f"{', '.join(f'{a:,} to {b:,}' for a, b in pairwise(self.sizes))}, by {growth.entering.label}"),
            ("plan", f"{self.plan.describe()['plan']}, then a model of each coreset: {self.trainings} trainings by "
             f"{work.learner.name}, {threads}"),
            *(("note", note) for note in notes),
            *([("done", f"{held} of {total} epochs before, kept in this run")] if held else []),
        ]  # fmt: skip
        work.report("work", lines=lines, epochs=total, held=held)


def chosen(
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


def _without_cutoff(choice: Choice) -> Choice:
    """The same choice among samples of which those cut off are gone already."""
    rule: Rule = choice.rule
    return replace(choice, rule=replace(rule, cutoff=0.0, cutoff_by=None)) if isinstance(rule, Stratified) else choice


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


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
