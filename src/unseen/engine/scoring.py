"""One scoring job: a plan over the samples, the scores to compute, and the run that keeps the results.

The job refuses what cannot work before any training, hands out the fits that are still to be done, takes their results
in any order and aggregates them. It does not train: verbs give the fits to an executor, the recorder gives them to the
user.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Self

import numpy as np

import unseen
from unseen.core.arrays import Arrays, FloatArray, IdArray, IntArray
from unseen.core.exposure import MAX_FITS, Fit, Plan
from unseen.core.plans import at_once
from unseen.core.protocols import CheckpointStore, Learner
from unseen.core.table import ScoreTable
from unseen.data.base import digest
from unseen.engine.runs.base import Run
from unseen.errors import ArgumentError
from unseen.scores.accumulator import Joiner, ScoreSink
from unseen.scores.registry import resolve
from unseen.scores.streaming import Course, Score

KEPT_SIZE = 5_000_000  # samples times classes up to which held-out probabilities are kept, as `export` writes them


@dataclass(frozen=True, eq=False)
class SampleInfo:
    """The part of a data set that a plan reads."""

    ids: IdArray  # (n,) integer or text, unique
    labels: IntArray  # int64 (n,) in 0..C-1
    class_names: tuple[str, ...]  # the C names
    groups: IntArray | None  # int64 (n,), or None: the members of a group are never on both sides of a fit
    fingerprint: dict[str, object]  # content and order, as JSON
    targets: FloatArray | None = None  # float64 (n,) what is regressed on; the labels are then its bins


@dataclass(frozen=True)
class Abilities:
    """What a learner gives; None where this is not known beforehand (the user's own loop)."""

    description: dict[str, object]
    epochs: int | None = 1
    provides: frozenset[str] | None = None
    closed_form: bool = False

    @classmethod
    def of(cls, learner: Learner) -> Self:
        """Return what a learner that trains here gives."""
        return cls(learner.describe(), learner.epochs, learner.provides, learner.closed_form)


class Scoring:
    """A scoring job on a run.

    Args:
        samples, plan, seed: the part of the data set that the plan reads, the plan and the root seed.
        scores: names (`"dual:window=5"`) or `Score` objects.
        learner: what the learner gives.
        run: where results and checkpoints are kept; opened here, closed by the caller.
        settings: other settings that change the numbers (threads), for the manifest.

    Raises:
        ArgumentError: plan, scores and learner do not go together.
        RunMismatchError: the run holds another configuration.
    """

    def __init__(
        self,
        samples: SampleInfo,
        *,
        plan: Plan,
        scores: Sequence[str | Score],
        learner: Abilities,
        run: Run,
        seed: int = 0,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.samples = samples
        self.plan = at_once(plan) if learner.closed_form else plan
        self.scores = tuple({score.label: score for score in map(resolve, scores)}.values())
        if not self.scores:
            raise ArgumentError("scores must name at least one score, got none")
        self.run = run
        self.seed = seed
        for score in self.scores:
            check_score(score, plan, learner)
        self.fits_in_all = self.plan.count(len(samples.ids), samples.groups)
        if self.fits_in_all > MAX_FITS and not learner.closed_form:
            raise ArgumentError(
                f"the plan asks for {self.fits_in_all:,} trainings (at most {MAX_FITS:,} without a closed form); "
                "use folds(k), or a learner that has one, such as 'ridge'"
            )
        # A plan that cannot divide these samples fails at its first fit, so that fit is made before the run begins. The
        # fits are kept for `pending`, since planning takes seconds for large data.
        fits = iter(self._make_fits())
        self._planned: Iterator[Fit] | None = chain(list(islice(fits, 1)), fits)
        self.manifest = self._make_manifest(learner, dict(settings or {}))
        run.open(self.manifest)
        self._joiner = Joiner(self.scores, len(samples.ids), plan.repeats, plan.scored_side)
        self._finished: set[str] = set()  # by name: a loop that starts again meets the same fits again

    @property
    def done(self) -> int:
        """The number of finished fits."""
        return len(self._finished)

    @property
    def sample_bytes(self) -> int:
        """The bytes that the scores keep of each watched sample while its fit runs."""
        classes = len(self.samples.class_names)
        starts = [score.start(side, 1, classes) for score in self.scores for side in score.sides]
        return sum(array.nbytes for state in starts for array in state.values())

    def pending(self) -> Iterator[tuple[Fit, ScoreSink, CheckpointStore]]:
        """Yield the fits that the run does not hold yet, each with its accumulator and its checkpoint store."""
        samples = self.samples
        fits, self._planned = self._planned or self._make_fits(), None
        for fit in fits:
            result = self.run.result(fit.name)
            if result is not None:
                self.finish(fit, result, keep=False)
                continue
            classes, side = len(samples.class_names), self.plan.scored_side
            keep = side == "unseen" and len(samples.ids) * classes <= KEPT_SIZE
            sink = ScoreSink(fit, samples.labels, self.scores, classes, side, keep_probabilities=keep)
            yield fit, sink, self.run.checkpoints(fit.name)

    def finish(self, fit: Fit, result: Arrays, *, keep: bool = True) -> None:
        """Add the result of one fit to the aggregate, and keep it in the run unless it came from there."""
        if keep:
            self.run.save_result(fit.name, result)
        self._joiner.add(fit, result)
        self._finished.add(fit.name)

    def table(self) -> ScoreTable:
        """Return the score table and keep it in the run; every fit of the plan must be finished."""
        if self.done < self.fits_in_all:
            raise ArgumentError(f"only {self.done} of {self.fits_in_all} fits are finished; record the others first")
        provenance = {key: self.manifest[key] for key in ("plan", "learner", "seed", "fingerprint")}
        if (targets := self.samples.targets) is not None:
            square = float(np.median(np.square(targets - np.median(targets))))
            provenance["target"] = {"variance": float(targets.var()), "median_square": square}
        table = self._joiner.table(self.samples.ids, self.samples.labels, self.samples.class_names, provenance)
        return self.run.save_table(table)

    def _make_fits(self) -> Iterator[Fit]:
        return self.plan.fits(self.samples.ids, self.samples.labels, groups=self.samples.groups, seed=self.seed)

    def _make_manifest(self, learner: Abilities, settings: dict[str, object]) -> dict[str, object]:
        samples = self.samples
        return {
            "format": 1,
            "versions": versions(),
            "seed": self.seed,
            "plan": self.plan.describe(),
            "learner": learner.description,
            "settings": settings,
            "scores": {
                score.label: {"direction": score.direction}
                | ({} if score.fitted_on_labels is None else {"fitted_on_labels": score.fitted_on_labels})
                for score in self.scores
            },
            "fingerprint": {
                **samples.fingerprint,
                "groups": None if samples.groups is None else digest(samples.groups),
            },
        }


def versions() -> dict[str, str]:
    """Return the versions of the packages that the numbers depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"unseen": unseen.__version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-learn", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def check_score(score: Score, plan: Plan, learner: Abilities) -> None:
    """Refuse a score that this plan or learner cannot give, before any training."""
    if len(score.sides) > 1 and not plan.two_sided:
        raise ArgumentError(
            f"score {score.name!r} compares held-out with in-sample behaviour, but the plan "
            f"{plan.describe()['plan']!r} asks on one side only; use halves() or folds(k, watch_seen=True)"
        )
    if score.least_repeats > plan.repeats:
        raise ArgumentError(
            f"score {score.name!r} needs at least {score.least_repeats} repeats, got {plan.repeats}; "
            f"pass repeats={score.least_repeats} to the plan"
        )
    if learner.provides is None:
        return
    name = learner.description.get("learner")
    missing = score.needs - learner.provides
    if missing:
        raise ArgumentError(
            f"score {score.name!r} reads {', '.join(sorted(missing))}, which the learner {name!r} does not give"
        )
    if score.least_epochs > (learner.epochs or 1) or (isinstance(score, Course) and learner.epochs is None):
        have = f"has only {learner.epochs}" if learner.epochs else "has no epochs"
        raise ArgumentError(
            f"score {score.name!r} needs {max(score.least_epochs, 2)} epochs, but the learner {name!r} {have}; "
            "train longer, shorten its window, or use a score from one observation such as 'el2n'"
        )
