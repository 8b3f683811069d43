"""A data set, a learner and an executor, made ready once: what every verb sets to work, to score or to test."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen import executors, learners
from unseen.errors import ArgumentError
from unseen.exposure import Fit, Plan
from unseen.learners.classes import check_scores
from unseen.protocols import Data, Learner
from unseen.runs.base import Run
from unseen.scores.base import Score
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.sink import ScoreSink
from unseen.scoring import Abilities, Samples, Scoring, check_score, joined_groups
from unseen.types import Arrays, IntArray, ScoreTable

__all__ = ["Fix", "Outcome", "Report", "Work"]

Report = Callable[..., None]
Fix = Literal["epochs", "iterations"]
Groups = npt.ArrayLike | Literal["duplicates"] | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one training on a part of the data set came to on the test rows, after its last epoch.

    Args:
        predictions: int64 (m,) predicted classes, in the order of the test rows.
        losses: float64 (m,) negative log-probability of the label.
        correct: bool (m,).
        samples_seen: training samples passed over, epochs counted.

    """

    predictions: IntArray
    losses: npt.NDArray[np.float64]
    correct: npt.NDArray[np.bool_]
    samples_seen: int

    @property
    def accuracy(self) -> float:
        """Share of the test rows predicted rightly."""
        return float(self.correct.mean())


class Work:
    """Scores a data set, and tests what training on a part of it comes to.

    Args:
        data: an open data set.
        learner: see `unseen.learners.resolve`.
        groups: `"duplicates"`, an array (n,) or None; see `unseen.score`.
        executor: where fits run: `"local"`, `"ray"`, or an executor; see `unseen.executors.resolve`.
        jobs: fits at a time.
        threads: threads a fit.
        verify: how much of the content is in the fingerprint.
        report: called with (kind, **fields) as work goes on.

    """

    def __init__(
        self,
        data: Data,
        learner: Any = None,
        *,
        groups: Groups = "duplicates",
        executor: str | executors.Executor = "local",
        jobs: int | None = None,
        threads: int | None = None,
        verify: str = "cheap",
        report: Report | None = None,
    ) -> None:
        self.data = data
        self.executor = executors.resolve(executor, jobs=jobs, threads=threads)
        self.learner, self.threads = _threaded(learners.resolve(learner, data), self.executor.threads)
        self.learner.check(data)
        fingerprint = data.fingerprint(full=verify == "full")
        self.samples = Samples(data.ids, data.labels, data.class_names, _bound(data, groups), fingerprint)
        self._given = groups
        self.report: Report = report or _silent

    def regrouped(self, groups: Groups) -> Work:
        """The same work with other groups than it was given."""
        other = copy(self)
        other.samples = replace(self.samples, groups=_bound(self.data, groups))
        other._given = groups
        return other

    def without_copies(self) -> Work:
        """The same work, in which exact copies are not held together; groups of the user's are."""
        return self.regrouped(None if isinstance(self._given, str) else self._given)

    def score(
        self,
        run: Run,
        plan: Plan,
        scores: Sequence[str | Score],
        *,
        seed: int,
        learner: Learner | None = None,
        name: str = "",
        announce: bool = False,
    ) -> ScoreTable:
        """Score by a plan, the fits and the table kept in `run`, which is opened here.

        Args:
            run: where; closed by the caller.
            plan: the exposure plan.
            scores: what to measure.
            seed: the root seed of this scoring.
            learner: another than that of this work, such as one trained for longer.
            name: put before the names of the fits in reports.
            announce: report `"plan"` first: what is going to be done and what it takes.

        """
        who = learner or self.learner
        check_scores(self.data, map(resolve_score, scores))
        job = Scoring(
            self.samples,
            plan=plan,
            scores=scores,
            learner=_abilities(who),
            run=run,
            seed=seed,
            settings={"threads": self.threads},
        )
        if announce:
            self.report("plan", **self._outlook(job))
        pending = (executors.Job(fit, sink, checkpoints) for fit, sink, checkpoints in job.pending())
        for fit, result in self._run(pending, who, seed, _logged(run, self.report, name)):
            job.finish(fit, result)
            self.report("fit_done", fit=name + fit.name, epochs=who.epochs or 1, done=job.done, fits=job.fits_in_all)
        table = job.table()
        if announce and who.closed_form and plan.scored_side == "unseen":
            _warn_if_perfect(table, who.name)
        return table

    def check(self, plan: Plan, scores: Sequence[str | Score], learner: Learner | None = None) -> None:
        """Refuse scores that this plan or learner cannot give, before a run is begun."""
        check_scores(self.data, map(resolve_score, scores))
        for score in scores:
            check_score(resolve_score(score), plan, _abilities(learner or self.learner))

    def test(
        self,
        run: Run,
        arm: str,
        subsets: Mapping[int, IntArray],
        test: IntArray,
        *,
        seed: int,
        learner: Learner | None = None,
    ) -> Iterator[tuple[int, Outcome]]:
        """Train on each subset and ask about the test rows; what the run holds already is not trained again.

        Trainings of equal replicate have equal seeds, whatever the arm: their initial weights, and the order of the
        samples they share, are the same, so that their accuracies compare in pairs.

        Args:
            run: an open run; keeps each outcome under `<arm>-r<replicate>`.
            arm: what is tested, in letters, digits, `_`, `.` and `-`.
            subsets: replicate to the rows trained on.
            test: int64 (m,) rows asked about; no subset may hold one.
            seed: the root seed.
            learner: another than that of this work.

        """
        who = learner or self.learner
        trials = {r: Fit(train=rows, unseen=test, repeat=r) for r, rows in subsets.items()}
        names = {fit.name: f"{arm}-r{r}" for r, fit in trials.items()}
        score = resolve_score("loss")
        labels, classes = self.samples.labels, len(self.samples.class_names)

        def outcome(fit: Fit, kept: Arrays) -> Outcome:
            guess = np.asarray(kept["prediction"])
            seen = len(fit.train) * (who.epochs or 1)
            return Outcome(guess, np.asarray(kept["loss"]), guess == labels[fit.unseen], seen)

        pending = []
        for r, fit in trials.items():
            name = names[fit.name]
            kept = run.result(name)
            if kept is not None and bytes(kept["trained_on"]) == _trained_on(fit, who):
                yield r, outcome(fit, kept)
                continue
            sink = ScoreSink(fit, labels, [score], classes)
            pending.append(executors.Job(fit, sink, run.checkpoints(name)))

        def renamed(kind: str, *, fit: str, **fields: Any) -> None:
            run.event(kind, fit=names[fit], **fields)
            self.report(kind, fit=names[fit], **fields)

        for fit, result in self._run(pending, who, seed, renamed):
            measured = score.join({"unseen": _quantities(result)})
            kept = {"prediction": result["prediction"], "loss": measured}
            mark = np.frombuffer(_trained_on(fit, who), np.uint8)
            run.save_result(names[fit.name], {**kept, "trained_on": mark})
            self.report("fit_done", fit=names[fit.name], epochs=who.epochs or 1)
            yield fit.repeat, outcome(fit, kept)

    def check_batch(self, samples: int) -> None:
        """Refuse to judge a coreset that is below one batch of the learner: that is no training anybody would do.

        (On the way there, coresets may be smaller; they are trained on in one batch of what there is.)
        """
        batch = getattr(self.learner, "batch_size", 1)
        if samples < batch:
            raise ArgumentError(
                f"a training on {samples} samples is below one batch of {batch}: keep more, or give the learner a "
                f"smaller one (batch_size={max(1, samples // 4)})"
            )

    def lasting(self, fix: Fix, samples: int, of: int) -> Learner:
        """The learner for a training on `samples` samples where one on `of` samples is its usual training.

        Args:
            fix: `"epochs"`: as many epochs, so fewer steps on less data; `"iterations"`: as many steps, to within
                half an epoch, since epochs are whole.
            samples: those trained on.
            of: those of the training whose budget is kept.

        Raises:
            ArgumentError: `"iterations"` of a learner that does not train in steps.

        """
        if fix not in ("epochs", "iterations"):
            raise ArgumentError(f"fix must be 'epochs' or 'iterations', got {fix!r}")
        if fix == "epochs":
            return self.learner
        who: Any = self.learner
        if not hasattr(who, "steps"):
            raise ArgumentError(
                f"fix='iterations' needs a learner that trains in steps, which {who.name!r} does not; use fix='epochs'"
            )
        longer: Learner = who.with_epochs(max(1, round(who.epochs * who.steps(of) / who.steps(samples))))
        return longer

    def _run(
        self, jobs: Iterable[executors.Job], learner: Learner, seed: int, report: Report
    ) -> Iterator[tuple[Fit, Arrays]]:
        results = self.executor.run(jobs, data=self.data, learner=learner, seed=seed, report=report)
        with closing(results):  # Ctrl-C in this loop ends the workers at once
            yield from results

    def _outlook(self, job: Scoring) -> dict[str, object]:
        """What is going to be done and what it will take, before it begins."""
        data = self.data
        n = len(data)
        sample = sum(
            a.nbytes
            for score in job.scores
            for side in score.sides
            for a in score.start(side, 1, len(data.class_names)).values()
        )
        return {
            "n": n,
            "classes": len(data.class_names),
            "target": data.targets is not None,
            "learner": self.learner.name,
            "plan": job.plan.describe(),
            "scores": [score.label for score in job.scores],
            "fits": job.fits_in_all,
            "epochs": self.learner.epochs or 1,
            "threads": self.threads,
            "data_bytes": int(n * np.prod(data.sample_shape or (1,)) * data.dtype.itemsize),
            "learner_bytes": self._working_bytes(job.plan),
            "state_bytes": sample * n // max(1, job.fits_in_all // job.plan.repeats),
            "groups": 0 if job.samples.groups is None else int(np.sum(np.bincount(job.samples.groups) > 1)),
            "notes": list(getattr(data, "notes", ())),
        }

    def _working_bytes(self, plan: Plan) -> int:
        """What the learner needs beside the data and the scores, if it can tell."""
        told = getattr(self.learner, "memory", None)
        return 0 if told is None else int(told(self.data, plan))


def _warn_if_perfect(table: ScoreTable, learner: str) -> None:
    """A linear model that is right about every sample it never saw is more often told the label than that good."""
    if table.predictions is not None and (table.predictions == table.labels).all():
        warnings.warn(
            f"{learner} is right about every one of {len(table):,} samples that it never saw: the features may contain "
            "the label. Look for a column that is the label or was made from it, for an embedding that was trained on "
            "these labels, and for ids or file names that go by class",
            UserWarning,
            stacklevel=4,
        )


def _abilities(learner: Learner) -> Abilities:
    return Abilities(learner.describe(), learner.epochs, learner.provides, learner.closed_form)


def _threaded(learner: Learner, threads: int) -> tuple[Learner, int]:
    """The learner at this many threads a fit, and how many it really takes: its recipe may say otherwise."""
    if not hasattr(learner, "with_threads"):
        return learner, threads
    limited = learner.with_threads(threads)
    return limited, limited.threads


def _bound(data: Data, groups: Groups) -> IntArray | None:
    """The samples bound together: by the data set itself, and as asked."""
    bound = data.groups
    if isinstance(groups, str):
        if groups != "duplicates":
            raise ArgumentError(f"groups must be 'duplicates', an array of n groups or None, got {groups!r}")
        bound = joined_groups(bound, data.duplicate_groups())
    elif groups is not None:
        given = np.asarray(groups)
        if len(given) != len(data):
            raise ArgumentError(f"groups must have one entry for each of {len(data)} samples, got {len(given)}")
        bound = joined_groups(bound, given)
    return bound


def _quantities(result: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {name.split("/")[2]: array for name, array in result.items() if name.count("/") == 2}


def _trained_on(fit: Fit, learner: Learner) -> bytes:
    """A digest of what decides an outcome beside the seed: who was trained, on what, and asked about what."""
    text = repr(sorted(learner.describe().items(), key=lambda item: item[0])).encode()
    return blake2b(text + fit.train.tobytes() + b"|" + fit.unseen.tobytes(), digest_size=16).digest()


def _logged(run: Run, report: Report, name: str) -> Report:
    def both(kind: str, *, fit: str, **fields: Any) -> None:
        run.event(kind, fit=fit, **fields)
        report(kind, fit=name + fit, **fields)

    return both


def _silent(kind: str, **fields: object) -> None:
    """Report to nobody."""
