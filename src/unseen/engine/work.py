"""`Work`: a data set, a learner and an executor made ready, to score samples or to test coresets.

Every verb makes one `Work` and calls it. `Work.score` scores by a plan; `Work.test` trains on parts of the data set and
asks about test rows. Both turn their trainings into jobs, hand these to the executor, and keep each result in a run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, TypedDict, Unpack, get_args

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import Arrays, FloatArray, IntArray
from unseen.core.checks import one_of
from unseen.core.coreset import Coreset
from unseen.core.exposure import Exposure, Fit, Plan
from unseen.core.machine import default_threads
from unseen.core.plans import plan_of
from unseen.core.protocols import Data, Learner
from unseen.core.table import ScoreTable
from unseen.data.formats import Reading
from unseen.data.parts import find_groups
from unseen.engine import executors
from unseen.engine.executors import Report
from unseen.engine.runs.base import Run, differ_in_labels
from unseen.engine.scoring import Abilities, SampleInfo, Scoring, check_score, versions
from unseen.errors import ArgumentError, DataError, warn
from unseen.learners.base import check_scores
from unseen.learners.registry import resolve as resolve_learner
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve as resolve_score
from unseen.scores.streaming import Score

LONG = 50_000_000  # values of all samples, times epochs: a fit on the CPU takes seconds or more
# Values of all samples, for a network times epochs: below these, a second thread makes a fit hardly faster.
SHORT, SHORT_NETWORK = 1_000_000, 500_000_000
TELLING = 32  # values of a sample; samples of fewer may be equal by chance
MANY = 100  # samples; in fewer, equal ones are no news
Groups = npt.ArrayLike | Literal["duplicates"] | None
Fix = Literal["epochs", "iterations"]


class Running(TypedDict, total=False):
    """Where fits run.

    Attributes:
        executor: `"local"`, on this machine; `"ray"`, on Ray, here or (`"ray:address=host:port"`) on a cluster, see
            `unseen.engine.executors.RayExecutor`; or an executor. The numbers are the same.
        jobs: fits trained at the same time, each in its own process. The default is 1; with Ray, as many as there is
            room for.
        threads: threads per fit. The default is 1 for a short fit, else the processors shared among the jobs; with Ray,
            1. Part of the manifest.
        verify: `"full"` puts a digest of all content in the manifest; `"cheap"`, the default, one of a sample of it.
        report: called with (kind, **fields) as work goes on.
    """

    executor: str | executors.Executor
    jobs: int | None
    threads: int | None
    verify: Literal["cheap", "full"]
    report: Report | None


class WorkOptions(Reading, Running, total=False):
    """How a data set is read, and where fits run."""


def split_running_options(options: Mapping[str, Any]) -> tuple[Running, dict[str, Any]]:
    """Divide the options of a verb: those of `Running`, and the others.

    >>> split_running_options({"jobs": 2, "cutoff": 0.1})
    ({'jobs': 2}, {'cutoff': 0.1})
    """
    running: Any = {name: value for name, value in options.items() if name in Running.__annotations__}
    return running, {name: value for name, value in options.items() if name not in running}


def resolve_executor(running: Running, data: Data, learner: Any) -> tuple[executors.Executor, Running]:
    """Return the executor that several works share, and the options with it in place of its name, jobs and threads."""
    own = Running(**running)
    own["executor"] = executor = _make_executor(running, data, resolve_learner(learner, data))
    own.pop("jobs", None)
    own.pop("threads", None)
    return executor, own


def _make_executor(running: Running, data: Data, learner: Learner) -> executors.Executor:
    executor, threads = running.get("executor", "local"), running.get("threads")
    if threads is None and isinstance(executor, str):
        threads = choose_threads(data, learner)
    return executors.resolve(executor, jobs=running.get("jobs"), threads=threads)


def choose_threads(data: Data, learner: Learner) -> int | None:
    """Choose the threads of a fit where the user does not: 1 for a short fit on the CPU, else None, all cores.

    The threads of a short fit wait for each other more than they work. That costs little on a quiet machine; beside
    other busy processes, gradient boosting on 2,000 samples took four times as long on two threads as on one. The size
    of the work decides and no measured time, so that the same work always has the same threads, on which the numbers
    depend.

    >>> import unseen
    >>> digits = unseen.data.digits()
    >>> choose_threads(digits, unseen.learners.resolve("hist_gradient_boosting", digits))
    1
    """
    work = _count_values(data, learner)
    return 1 if work is not None and work < (SHORT if learner.epochs is None else SHORT_NETWORK) else None


def share_cores(data: Data, learner: Any = None, plan: Plan | str | int | None = None) -> tuple[int, int | None]:
    """Choose the jobs and threads of the command line where the user names neither.

    Where a fit on the CPU is long, two jobs end sooner than fits one after another. Else, and for a single fit, one
    job. Threads are those of `choose_threads`.

    >>> import unseen
    >>> share_cores(unseen.data.digits(), "mlp:epochs=2")
    (1, 1)
    """
    own = resolve_learner(learner, data)
    work, threads = _count_values(data, own), choose_threads(data, own)
    if work is None or work < LONG or plan_of(plan, closed_form=False).count(len(data)) == 1:
        return 1, threads
    # Each process may hold the values as float32, and two of them half of what is free.
    held = 2 * 4 * len(data) * math.prod(data.sample_shape)
    return 1 if os.name == "nt" or default_threads() == 1 or not own.holds(held) else 2, threads


def _count_values(data: Data, learner: Learner) -> int | None:
    """Return the values of all samples, times the epochs; None for a closed form, and where a GPU trains."""
    if learner.closed_form or learner.describe().get("device", "cpu") != "cpu":
        return None
    return len(data) * math.prod(data.sample_shape) * (learner.epochs or 1)


@dataclass(frozen=True, eq=False)
class ScoringRequest:
    """The request for one scoring."""

    run: Run  # the run that keeps its fits and its table; closed by the caller
    plan: Plan  # the exposure plan
    scores: Sequence[str | Score]  # the scores to compute
    seed: int  # the root seed of this scoring
    name: str = ""  # the prefix of the names of its fits in reports; different for each scoring


@dataclass(frozen=True, eq=False)
class Training:
    """The request for one training on a part of the data set."""

    name: str  # the name of its outcome in the run, in letters, digits, `_`, `.` and `-`
    rows: IntArray  # int64 (t,) the rows to train on
    replicate: int  # trainings of equal replicate have equal seeds
    learner: Learner  # the learner to train


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of one training on the test rows, after its last epoch."""

    losses: FloatArray  # float64 (m,) negative log-probability of the label, or the squared error of a target
    # float64 (m,), their mean is the accuracy, or R² for a target: 1 where the prediction is right, else 0; for a
    # target 1 less the squared error, relative to the variance of the test targets.
    quality: FloatArray
    samples_seen: int  # the number of training samples times the number of epochs

    @property
    def accuracy(self) -> float:
        """The share of the test rows that are predicted correctly; R² for a target."""
        return float(self.quality.mean())


class Work:
    """Scores a data set by a plan, and tests trainings on parts of it.

    Args:
        data: an open data set.
        learner: see `unseen.learners.resolve`.
        groups: `"duplicates"`, an array (n,) or None; see `unseen.score`.
        **running: see `Running`.
    """

    def __init__(
        self, data: Data, learner: Any = None, *, groups: Groups = "duplicates", **running: Unpack[Running]
    ) -> None:
        verify = running.get("verify", "cheap")
        one_of("verify", verify, ("cheap", "full"))
        self.data = data
        own = resolve_learner(learner, data)
        self.executor = _make_executor(running, data, own)
        threads = self.executor.threads
        limited = own.with_threads(threads)  # the recipe of a learner may fix another number
        self.learner, self.threads = (own, threads) if limited is None else (limited, limited.threads or threads)
        if self.executor.workers > 1:
            self.learner = _set_workers(self.learner, self.executor.workers)
        self.learner.check(data)
        fingerprint = data.fingerprint(full=verify == "full")
        copies = data.duplicate_groups() if isinstance(groups, str) and groups == "duplicates" else None
        found = find_groups(data, groups)
        self.copies_alone = data.groups is None and isinstance(groups, str)
        self.samples = SampleInfo(data.ids, data.labels, data.class_names, found, fingerprint, data.targets)
        rich = data.kind == "text" or math.prod(data.sample_shape) >= TELLING
        self._contradiction = _find_contradiction(self.samples, copies) if rich and data.targets is None else None
        self._agreement = None if rich else _find_agreement(copies)
        report = running.get("report")
        self.report: Report = _ignore_report if report is None else report
        if not callable(self.report):
            raise ArgumentError(
                f"report must be a function, called with (kind, **fields), got {self.report!r}; unseen.report(run) "
                "writes the page on a run"
            )

    def score(
        self,
        run: Run,
        plan: Plan,
        scores: Sequence[str | Score],
        *,
        seed: int,
        name: str = "",
        announce: bool = False,
    ) -> ScoreTable:
        """Score by a plan; open `run` and keep the fits and the table there.

        `announce` reports `"plan"` first: what will be done, and the memory and time that it needs. All else is as in
        `ScoringRequest`.
        """
        return self.score_all([ScoringRequest(run, plan, scores, seed, name)], announce=announce)[0]

    def score_all(self, asked: Sequence[ScoringRequest], *, announce: bool = False) -> list[ScoreTable]:
        """Score by several plans, whose fits share the workers; see `score`."""
        learner = self.learner
        scorings = []
        for one in asked:
            check_scores(self.data, map(resolve_score, one.scores))
            scorings.append(
                Scoring(
                    self.samples,
                    plan=one.plan,
                    scores=one.scores,
                    learner=Abilities.of(learner),
                    run=one.run,
                    seed=one.seed,
                    settings={"threads": self.threads},
                )
            )
        if announce:
            _refuse_lone_class(self.samples, scorings[0].plan)
            self.tell_of_copies()
            self.report("plan", **_describe_scoring(self, scorings[0]))
        owners = {}  # by the name of a job: its request and its scoring

        def jobs() -> Iterator[executors.Job]:
            for one, scoring in zip(asked, scorings, strict=True):
                for fit, sink, checkpoints in scoring.pending():
                    job = executors.Job(fit, sink, checkpoints, learner, one.seed, one.name + fit.name)
                    owners[job.name] = one, scoring
                    yield job

        def report(kind: str, *, fit: str, **fields: Any) -> None:
            one, _ = owners[fit]
            one.run.event(kind, fit=fit.removeprefix(one.name), **fields)
            self.report(kind, fit=fit, **fields)

        for job, result in self.run_jobs(jobs(), report):
            _, scoring = owners.pop(job.name)
            scoring.finish(job.fit, result)
            done, fits = scoring.done, scoring.fits_in_all
            self.report("fit_done", fit=job.name, epochs=learner.epochs or 1, done=done, fits=fits)
        tables = [scoring.table() for scoring in scorings]
        if announce and learner.closed_form and asked[0].plan.scored_side == "unseen":
            _warn_if_perfect(tables[0], learner.name)
        return tables

    def tell_of_copies(self) -> None:
        """Tell, before a run begins, of copies with different labels, and where most samples count as copies."""
        for found in (self._contradiction, self._agreement):
            if found is not None:
                self.tell(found)

    @property
    def predicts(self) -> bool:
        """Whether the models of this work predict classes."""
        return self.data.targets is None and "logits" in self.learner.provides

    def session(self) -> AbstractContextManager[None]:
        """Share what the executor starts, such as Ray, among all scorings and tests inside the block."""
        return self.executor.session()

    def check(self, plan: Plan, scores: Sequence[str | Score]) -> None:
        """Refuse scores that this plan or learner cannot give, before a run begins."""
        check_scores(self.data, map(resolve_score, scores))
        for score in scores:
            check_score(resolve_score(score), plan, Abilities.of(self.learner))

    def test(
        self, run: Run, trainings: Iterable[Training], test: IntArray, *, seed: int
    ) -> Iterator[tuple[Training, Outcome]]:
        """Train on each part and predict the test rows; skip trainings whose outcome the run holds.

        Trainings of equal replicate have equal seeds, whatever their rows: they have the same initial weights, and the
        samples that they share come in the same order. So their accuracies compare in pairs. `run` is open and keeps
        each outcome under its name. `test`, int64 (m,), are the test rows, none of which may be trained on.
        """
        score = resolve_score("loss")
        labels, classes = self.samples.labels, len(self.samples.class_names)
        variance = None if self.data.targets is None else float(np.var(self.data.targets[test]))
        if variance == 0:
            raise DataError(f"the target must vary in the test set, but all {len(test):,} test samples have the same")

        def make_outcome(one: Training, kept: Arrays) -> Outcome:
            losses = np.asarray(kept["loss"], np.float64)
            right = kept["prediction"] == labels[test] if variance is None else 1 - losses / variance
            return Outcome(losses, np.asarray(right, np.float64), len(one.rows) * (one.learner.epochs or 1))

        pending = {}
        for one in trainings:
            kept = run.result(one.name)
            if kept is None or bytes(kept["trained_on"]) != _digest_training(one, test):
                pending[one.name] = one
            else:
                yield one, make_outcome(one, kept)

        def jobs() -> Iterator[executors.Job]:
            todo = list(pending.values())
            # The longest go first, so that no worker is left with one when the others are done.
            if self.executor.jobs != 1:
                todo.sort(key=lambda one: len(one.rows) * (one.learner.epochs or 1), reverse=True)
            for one in todo:
                fit = Fit(train=one.rows, unseen=test, repeat=one.replicate)
                sink = ScoreSink(fit, labels, [score], classes)
                yield executors.Job(fit, sink, run.checkpoints(one.name), one.learner, seed, one.name)

        def report(kind: str, **fields: Any) -> None:
            run.event(kind, **fields)
            self.report(kind, **fields)

        for job, result in self.run_jobs(jobs(), report):
            one = pending[job.name]
            quantities = {name.split("/")[2]: array for name, array in result.items() if name.count("/") == 2}
            kept = {name: result[name] for name in ("prediction",) if name in result}  # of classes only
            kept["loss"] = score.join({"unseen": quantities})
            mark = np.frombuffer(_digest_training(one, test), np.uint8)
            run.save_result(job.name, {**kept, "trained_on": mark})
            self.report("fit_done", fit=job.name, epochs=job.learner.epochs or 1)
            yield one, make_outcome(one, kept)

    def manifest(self, seed: int, **about: object) -> dict[str, object]:
        """Return the manifest of a run of trainings: everything that these depend on, with what `about` adds to it."""
        return {
            "format": 1,
            "versions": versions(),
            "seed": seeds.checked(seed),
            "learner": self.learner.describe(),
            "settings": {"threads": self.threads},
            "fingerprint": self.samples.fingerprint,
            **about,
        }

    def check_batch(self, samples: int) -> None:
        """Refuse to judge a coreset of less than one batch of the learner; nobody would train on so few samples.

        Coresets in the steps of `grow` may be smaller. They are trained on in one batch of all their samples.
        """
        batch = self.learner.batch_size or 1
        if samples < batch:
            raise ArgumentError(
                f"a training on {samples} samples is below one batch of {batch}: keep more, or give the learner a "
                f"smaller one (batch_size={max(1, samples // 4)})"
            )

    def adapt_learner(self, fix: Fix, samples: int, of: int) -> Learner:
        """Return the learner for a training on `samples` samples by the budget of a training on `of` samples.

        With `fix="epochs"` it has the same number of epochs, so fewer steps on less data. With `"iterations"` it has
        the same number of steps, to within half an epoch, since epochs are whole; a learner without steps is refused.
        """
        one_of("fix", fix, get_args(Fix))
        who = self.learner
        if fix == "epochs":
            return who
        usual, fewer = who.steps(of), who.steps(samples)
        longer = who.with_epochs(max(1, round((who.epochs or 1) * usual / fewer))) if usual and fewer else None
        if longer is None:
            raise ArgumentError(
                f"fix='iterations' needs a learner that trains in steps, unlike {who.name!r}; use fix='epochs'"
            )
        return longer

    def tell(self, text: str) -> None:
        """Report a warning (`"say"`, with `warning`), or warn where nobody listens to reports."""
        if self.report is _ignore_report:
            warn(text)
        else:
            self.report("say", text=text, warning=True)

    def run_jobs(self, jobs: Iterable[executors.Job], report: Report) -> Iterator[tuple[executors.Job, Arrays]]:
        """Run jobs of scorings or trainings; yield each with its result as it ends.

        Files that have changed are refused before each fit, and before its result is taken.
        """

        def check_and_yield() -> Iterator[executors.Job]:
            for job in jobs:
                self.data.check_unchanged()
                yield job

        results = self.executor.run(check_and_yield(), data=self.data, report=report)
        with closing(results):  # Ctrl-C in this loop ends the workers at once
            for done in results:
                self.data.check_unchanged()
                yield done


def refuse_other_data(coreset: Coreset, data: Data, name: str) -> None:
    """Refuse a coreset of another data set: another size, other ids, or other labels of the same classes.

    Inputs may differ, since images may be chosen by their embeddings.
    """
    head, size = f"{name} is of other data", len(data)
    if coreset.n != size or not np.array_equal(coreset.ids, data.ids[coreset.indices]):
        ids = "" if coreset.n != size else ", or other ids"
        raise DataError(
            f"{head}: {len(coreset):,} of {coreset.n:,} samples, but the data set has {size:,}{ids}; give the data "
            "that it was chosen from"
        )
    scored = (coreset.provenance.get("scores") or {}).get("fingerprint") or {}
    here = data.fingerprint() if scored else {}
    if scored and differ_in_labels(scored, here):
        raise DataError(f"{head}: the labels differ; give the data that it was chosen from, in the same order")


# ---- preparation: the learner's threads and processes, and the groups of samples -----------------------------------


def _ignore_report(kind: str, **fields: object) -> None:
    """Ignore a report."""


def _set_workers(learner: Learner, workers: int) -> Learner:
    """Return the learner with each model trained by this number of processes, which is part of its description."""
    parallel = learner.with_workers(workers)
    if parallel is None:
        raise ArgumentError(
            f"workers must be 1 for learner {learner.name!r}, which trains a model in one process, got {workers}; use "
            "executor='ray', which trains as many models at a time as there is room for"
        )
    return parallel


def _find_contradiction(samples: SampleInfo, copies: IntArray | None) -> str | None:
    """Describe exact copies of one sample that have different labels; None without any."""
    if copies is None:
        return None
    order = np.lexsort((samples.labels, copies))
    same, labels = copies[order], samples.labels[order]
    at = np.flatnonzero((same[1:] == same[:-1]) & (labels[1:] != labels[:-1]))
    if not at.size:
        return None
    one, other = order[at[0]], order[at[0] + 1]
    pair = " and ".join(f"{samples.ids[row]} ({samples.class_names[samples.labels[row]]})" for row in (one, other))
    count = len(np.unique(same[at]))
    of = "one sample" if count == 1 else f"{count:,} samples"
    return f"exact copies of {of} have different labels: ids {pair}, for example; look at them first"


def _find_agreement(copies: IntArray | None) -> str | None:
    """Warn where most of many samples of a few values are equal to others, perhaps by chance; None elsewhere."""
    if copies is None or len(copies) < MANY:
        return None
    sizes = np.unique(copies, return_counts=True)[1]
    equal = int(sizes[sizes > 1].sum())
    if 2 * equal <= len(copies):
        return None
    return (
        f"{equal:,} of {len(copies):,} samples are equal to others, and each set of equal ones is held out as a whole; "
        "if they are not copies, but different samples that agree in all columns, hold out each by itself by "
        "groups=None (--groups none)"
    )


# ---- what a scoring says and refuses before it begins, and what it warns of at its end -------------------------------


def _refuse_lone_class(samples: SampleInfo, plan: Plan) -> None:
    """Refuse two classes of which one is held out as a whole: a model without it knows one class alone."""
    counts = np.bincount(samples.labels, minlength=len(samples.class_names))
    if plan.scored_side != "unseen" or np.count_nonzero(counts) != 2:
        return
    # Pairs that a user made may watch none of a group; a regression needs no second class.
    groups = None if isinstance(plan, Exposure) or samples.targets is not None else samples.groups
    units = np.arange(len(samples.labels)) if groups is None else groups
    alone = [at for at in np.flatnonzero(counts) if np.ptp(units[samples.labels == at]) == 0]
    if not alone:
        return
    rare = samples.class_names[alone[0]]
    count = int(counts[alone[0]])
    what = "a single sample" if count == 1 else f"{count:,} samples, all copies of one or of one group"
    if samples.targets is not None:
        raise DataError(
            f"the target has two values or ranges only, and {rare!r} is in a single sample, so a model that is not "
            "trained on it knows the other alone; add samples"
        )
    raise DataError(
        f"class {rare!r} has {what}, so a model that is not trained on it knows one class alone; add samples of it, or "
        "merge it with the other"
    )


def _describe_scoring(work: Work, job: Scoring) -> dict[str, object]:
    """Describe a scoring before it begins: what will be done, and how much memory it needs."""
    data = work.data
    n, own = len(data), work.learner.memory(data, job.plan)
    return {
        "n": n,
        "classes": len(data.class_names),
        "target": data.targets is not None,
        "learner": work.learner.name,
        "plan": job.plan.describe(),
        "scores": [score.label for score in job.scores],
        "fits": job.fits_in_all,
        "epochs": work.learner.epochs or 1,
        "threads": work.threads,
        # A learner that reads the data in blocks holds no more of it than the data set itself does.
        "data_bytes": max(n * data.sample_bytes, data.held_bytes) if own is None else data.held_bytes,
        "learner_bytes": own or 0,
        "state_bytes": job.sample_bytes * n // max(1, job.fits_in_all // job.plan.repeats),
        "groups": 0 if job.samples.groups is None else int(np.sum(np.bincount(job.samples.groups) > 1)),
        "copies_alone": work.copies_alone,
        "notes": list(data.notes),
    }


def _warn_if_perfect(table: ScoreTable, learner: str) -> None:
    """Warn where a linear model predicts every unseen sample, since the features more often contain the label then."""
    if table.predictions is not None and (table.predictions == table.labels).all():
        warn(
            f"{learner} is right about every one of {len(table):,} samples that it never saw: the features may contain "
            "the label. Look for a column that is the label or was made from it, for an embedding that was trained on "
            "these labels, and for ids or file names that go by class",
        )


def _digest_training(one: Training, test: IntArray) -> bytes:
    """Return a digest of what decides an outcome beside the seed: the learner, its training rows and the test rows."""
    text = repr(sorted(one.learner.describe().items(), key=lambda item: item[0])).encode()
    rows = np.asarray(one.rows, np.int64).tobytes() + b"|" + np.asarray(test, np.int64).tobytes()
    return blake2b(text + rows, digest_size=16).digest()
