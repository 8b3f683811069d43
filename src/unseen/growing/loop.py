"""The loop of the several-step selection: score by the coreset, refill it, and again. The only way back closes here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.growing.growth import Growth
from unseen.growing.history import EVENTS, Event, Events, History, Step
from unseen.growing.preparation import Prepared
from unseen.growing.quality import accuracy, change, class_errors
from unseen.growing.refilling import Moves, chosen
from unseen.runs.base import Run
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.types import Coreset, FloatArray, IntArray, ScoreTable
from unseen.work import Work

__all__ = ["HISTORY", "Loop"]

HISTORY = "history.parquet"

Correct = npt.NDArray[np.int8]  # 1 for right, 0 for wrong, -1 for who was not judged


@dataclass(frozen=True, eq=False)
class _Standing:
    """A coreset on the way.

    Args:
        rows: int64 (m,) in the order of their entry.
        since: int64 (m,) the step at which each entered.

    """

    rows: IntArray
    since: IntArray

    def moved(self, moves: Moves, step: int) -> _Standing:
        """The coreset after these moves."""
        gone = np.concatenate([moves[name] for name in ("collapsed", "dropped", "released")])
        stays, came = ~np.isin(self.rows, gone), moves["entered"]
        rows = np.concatenate([self.rows[stays], came])
        return _Standing(rows, np.concatenate([self.since[stays], np.full(len(came), step)]))


class Loop:
    """Grows one coreset; what cannot work is refused when it is made, before any training.

    Args:
        work: the data set and the learner. Its groups bind members to outsiders, so it should be one without
            `groups="duplicates"`; see `Work.without_copies`.
        growth: the settings.
        keep: the budget, a count or a fraction; or `prune`; or neither, where `growth` gives the sizes.
        prune: how much is removed.
        seed: the root seed.

    Attributes:
        prepared: sizes, scorings, and `trainings`: how many models will be trained if it goes on to the end.

    """

    def __init__(
        self, work: Work, growth: Growth, *, keep: float | None = None, prune: float | None = None, seed: int = 0
    ) -> None:
        self.work, self.growth, self.seed = work, growth, seed
        self.prepared = Prepared(work, growth, keep=keep, prune=prune, seed=seed)

    def run(self, run: Run, *, name: str = "", announce: bool = False) -> tuple[Coreset, History, ScoreTable]:
        """Grow the coreset, everything kept in `run`, which is opened here and closed by the caller.

        Args:
            run: where; the scorings are parts of it.
            name: put before the names of the fits in reports.
            announce: report what is going to be done (`"work"`), and what each step came to (`"say"`).

        """
        run.open(self.prepared.manifest())
        if announce:
            self._report_work(run)
        sizes = self.prepared.sizes
        standing, events, table = self._start(run, name)
        stands, steps = [standing], [Step(0, len(standing.rows), collapsed=sum(len(e) for e in events[1:]))]
        correct: list[Correct] = []
        stopped, taken = f"at the budget of {self.prepared.budget:,}", len(sizes) - 1
        for step in range(1, len(sizes) + self.growth.scores_final):
            table = self._scored(run, [stand.rows for stand in stands], step, name)
            correct.append(self._correct(table))
            steps[-1] = self._measured(steps[-1], correct)
            self._tell(steps[-1], announce)
            if reason := self._undone(correct):
                stopped, taken = f"before step {step - 1}, which {reason}", step - 2
                break
            if step < len(sizes):
                after, summary, happened = self._step(table, stands[-1], step)
                stands.append(after)
                steps.append(summary)
                events += happened
        if steps[-1].accuracy is None:
            self._tell(steps[-1], announce)
        assert table is not None  # there is at least one step
        stopped += self._against_budget(stands[taken])
        history = History(Events.joined(events), tuple(steps), taken, stopped, self.prepared.about())
        run.save_table(table)
        run.save_output(HISTORY, history)
        return run.save_coreset(self._coreset(stands[taken], stopped, table)), history, table

    def _start(self, run: Run, name: str) -> tuple[_Standing, list[Events], ScoreTable | None]:
        """The first coreset, how it came about, and the scores by which it was chosen, if it was by scores."""
        prepared, growth, samples = self.prepared, self.growth, self.work.samples
        if isinstance(growth.start, Coreset):
            return *self._given(growth.start), None
        table = self._first_scored(run, name) if growth.start == "unseen" else None
        copies, size = prepared.refill.copies, prepared.sizes[0]
        among = copies.heads[prepared.eligible[copies.heads]]
        rows = chosen(
            growth.start_choice,
            ScoreTable.unscored(samples.ids, samples.labels, samples.class_names) if table is None else table,
            None if table is None else growth.measured.label,
            among,
            min(size, len(among)),
            seeds.derive(self.seed, "grow", "start"),
        )
        rows = np.concatenate([rows, copies.fill(rows, prepared.eligible, size - len(rows))])
        return _Standing(rows, np.zeros(len(rows), np.int64)), [self._events(0, "start", rows, table, None)], table

    def _given(self, start: Coreset) -> tuple[_Standing, list[Events]]:
        """The user's start less its copies, but for those that the data set is too small to do without."""
        rows = start.indices if start.order is None else start.order
        spare = self.prepared.refill.copies.split(rows)[1]
        collapsed = spare[max(0, len(rows) - self.prepared.refill.room) :]
        events = [
            self._events(0, "start", rows, None, None),
            self._events(0, "collapsed", collapsed, None, None),
        ]
        stays = rows[~np.isin(rows, collapsed)]
        return _Standing(stays, np.zeros(len(stays), np.int64)), events

    def _first_scored(self, run: Run, name: str) -> ScoreTable:
        # Copies are held together here, as `unseen.score` does: a single step judges each by models that saw none.
        part, plan, learner = self.prepared.first()
        with run.part(part) as kept:
            return self.work.regrouped(self.prepared.together).score(
                kept,
                plan,
                self.growth.scores(self.growth.start_choice),
                seed=seeds.derive(self.seed, "grow", "score", 0),
                learner=learner,
                name=f"{name}{part}/",
            )

    def _scored(self, run: Run, coresets: Sequence[IntArray], step: int, name: str) -> ScoreTable:
        part, plan, learner = self.prepared.scoring(step, coresets[-1], [np.sort(rows) for rows in coresets[:-1]])
        with run.part(part) as kept:
            return self.work.score(
                kept,
                plan,
                [*self.growth.scores(self.growth.choice), LABEL_ISSUE],
                seed=seeds.derive(self.seed, "grow", "score", step),
                learner=learner,
                name=f"{name}{part}/",
                contents=self.prepared.contents,
            )

    def _step(self, table: ScoreTable, before: _Standing, step: int) -> tuple[_Standing, Step, list[Events]]:
        refill = self.prepared.refill
        ranks = refill.ranks(table, before.rows)
        moves = refill.moves(table, before.rows, ranks, self.prepared.sizes[step], step)
        events = [self._events(step, event, moves[event], table, ranks) for event in EVENTS if event in moves]
        after = before.moved(moves, step)
        summary = Step(
            step,
            len(after.rows),
            entered=len(moves["entered"]),
            released=len(moves["released"]),
            dropped=len(moves["dropped"]),
            collapsed=len(moves["collapsed"]),
        )
        return after, summary, events

    def _events(
        self, step: int, event: Event, rows: IntArray, table: ScoreTable | None, ranks: FloatArray | None
    ) -> Events:
        if table is None:
            scores = ranked = np.full(len(rows), np.nan)
        else:
            # In the single step of a start nobody was a member of anything yet.
            everyone = self.prepared.refill.ranks(table, rows[:0]) if ranks is None else ranks
            scores, ranked = table.column(self.growth.measured.label)[rows], everyone[rows]
        ids = self.work.data.ids[rows]
        return Events(np.full(len(rows), step), np.full(len(rows), event), rows, ids, scores, ranked)

    def _correct(self, table: ScoreTable) -> Correct:
        assert table.predictions is not None
        correct = np.where(table.predictions < 0, -1, table.predictions == table.labels).astype(np.int8)
        return correct[self.prepared.judged]

    def _measured(self, step: Step, correct: list[Correct]) -> Step:
        data = self.work.data
        return replace(
            step,
            judged=int((correct[-1] >= 0).sum()),
            accuracy=accuracy(correct[-1]),
            change=change(correct[-1], correct[-2]) if len(correct) > 1 else None,
            class_errors=class_errors(correct[-1], data.labels[self.prepared.judged], len(data.class_names)),
        )

    def _undone(self, correct: list[Correct]) -> str | None:
        """Why the step to the coreset that was just scored is undone, if it is."""
        if self.growth.stop != "quality" or len(correct) < 2:
            return None
        shrinks = self.prepared.sizes[-1] < self.prepared.sizes[0]
        # Shrinking, against the start: losses too small to be seen, one after another, must not add up unseen.
        found = change(correct[-1], correct[0] if shrinks else correct[-2])
        if found is None:
            return "cannot be judged: every model saw copies of those it is asked about"
        if shrinks:
            return "had lost accuracy beyond its interval" if found.high < 0 else None
        return None if found.low > 0 else "gained nothing beyond its interval"

    def _against_budget(self, standing: _Standing) -> str:
        size, budget = len(standing.rows), self.prepared.budget
        if size == budget:
            return ""
        return f": {size:,} samples, {'above' if size > budget else 'below'} the budget of {budget:,}"

    def _coreset(self, standing: _Standing, stopped: str, table: ScoreTable) -> Coreset:
        data = self.work.data
        by_row = np.argsort(standing.rows)
        indices = standing.rows[by_row]
        names = np.array(["start", *(f"step {step}" for step in range(1, len(self.prepared.sizes)))])
        return Coreset(
            ids=data.ids[indices],
            indices=indices,
            n=len(data),
            order=standing.rows,
            sources=names[standing.since[by_row]],
            provenance={**self.prepared.about(), "stopped": stopped, "scores": table.provenance},
        )

    def _tell(self, step: Step, announce: bool) -> None:
        if announce:
            self.work.report("say", text=str(step))

    def _report_work(self, run: Run) -> None:
        total, held = self.prepared.epochs(run)
        lines = self.prepared.outlook()
        if held:
            lines.append(("done", f"{held} of {total} epochs before, kept in this run"))
        self.work.report("work", lines=lines, epochs=total, held=held)
