"""Trials of methods: choose a coreset, train a model on it and test it, replicate by replicate.

`sweep`, `advise` and `rule="auto"` are made of such trials. A run keeps all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.protocols import Data, Learner
from unseen.data.formats import Reading
from unseen.data.labels import to_numpy
from unseen.data.parts import Joined, Part, select_part, split_off
from unseen.data.sources import check_arguments, open_data, open_test_data, split_reading_options
from unseen.engine.runs.base import Run
from unseen.engine.work import Fix, Groups, Outcome, Running, Training, Work, resolve_executor, split_running_options
from unseen.errors import ArgumentError
from unseen.evaluating.methods import Method, Selector, slug
from unseen.evaluating.statistics import Interval, Sampling, interval
from unseen.evaluating.test_set import Overlap, explain_share, split_by_test_set
from unseen.learners.registry import default_learner
from unseen.rules.base import as_array, checked_features
from unseen.rules.budgets import budget as budget_of

CellKey = tuple[Method, int, int]  # method, budget, replicate
FRESH = 1_000  # the first replicate of a confirmation: never one of those that a search used


class TrialSettings(Running, total=False):
    """The learners, the length of training and the inputs of every trial; and where fits run.

    Attributes:
        learner: the learner that scores.
        trainee: the learner trained on the coresets; the default is the one that scores.
        fix: `"epochs"`, the default: less data is also less training; or `"iterations"`: all train equally long.
        features: the columns that are inputs; or (n, d), for rules that read them.
        groups: see `unseen.score`.
    """

    learner: Any
    trainee: Any
    fix: Fix
    features: npt.ArrayLike | Sequence[str] | None
    groups: Groups


class TrialOptions(Reading, TrialSettings, total=False):
    """Options that `sweep` and `advise` share, besides `TrialSettings` and how data is read.

    Attributes:
        test: the test set, in any form of a data set.
        probe: without a test set, the share of the data that is set aside to test on, 0.2 by default. No method scores
            it, chooses it or trains on it.
        overlap: whether to `"refuse"`, the default, `"drop"` or `"keep"` test samples equal to training samples.
    """

    test: Any
    probe: float
    overlap: Overlap


class Difference(NamedTuple):
    """The difference of two methods' accuracies: by replicate, and the error of its mean that the test set adds."""

    replicates: FloatArray
    sampling: Sampling

    @classmethod
    def of(cls, mine: FloatArray, other: FloatArray, test: Data) -> Difference:
        """Compare two methods by the quality of their predictions, float64 (R, m), as `Trials.quality` returns it."""
        return cls(mine.mean(axis=1) - other.mean(axis=1), Sampling.of(mine - other, test.targets, test.groups))

    @property
    def mean(self) -> float:
        """The mean over replicates."""
        return float(self.replicates.mean())

    @property
    def interval(self) -> Interval:
        """The mean with its interval."""
        return interval(self.replicates, sampling=self.sampling)


class Trials:
    """Trials of methods on one training set and one test set, which is never scored and never trained on.

    A replicate draws everything anew from (seed, replicate): the scoring, the selection and the training. Equal
    replicates of two methods share what they can (initial weights, the order of common samples, the scoring itself
    where the plan is the same), so that their accuracies are compared in pairs.

    `run` keeps everything; it is opened here and closed by the caller. `about` are further entries of its manifest.
    `features` and `groups` among the settings may be those of the data set that `train` is a part of.
    """

    def __init__(
        self,
        train: Data,
        test: Data,
        methods: Iterable[Method],
        *,
        run: Run,
        about: Mapping[str, Any],
        seed: int = 0,
        **settings: Unpack[TrialSettings],
    ) -> None:
        running, own = split_running_options(settings)
        learner, trainee, self.fix = own.get("learner"), own.get("trainee"), own.get("fix", "epochs")
        learner = default_learner(train) if learner is None else learner
        features, groups = own.get("features"), own.get("groups", "duplicates")
        self.train, self.run, self.seed = train, run, seed
        self.joined = Joined(train, test)
        if features is not None:
            features = checked_features(select_part(train, as_array("features", features)), train.ids)
        if groups is not None and not isinstance(groups, str):
            groups = select_part(train, to_numpy(groups, "groups"))
        self.executor, running = resolve_executor(running, train, learner)
        self.scorer = Work(train, learner, groups=groups, **running)
        # No groups: a test asks about the test rows only, and its training rows are chosen already.
        self.trainer = Work(self.joined, learner if trainee is None else trainee, groups=None, **running)
        self.selector = Selector(self.scorer, methods, run=run, seed=seed, features=features)
        self.report = self.scorer.report
        trained = {"trainee": self.trainer.learner.describe(), "fingerprint": self.trainer.samples.fingerprint}
        self._manifest = self.scorer.manifest(seed, fix=self.fix, **trained, **about)

    def open(self) -> None:
        """Begin or continue the run; called once nothing can be refused any more."""
        self.run.open(self._manifest)

    def announce(
        self, *about: tuple[str, str], scorings: int, tests: int, epochs: int, most: str = "", held: int = 0
    ) -> None:
        """Report the work ahead: trainings to score and to test, and the epochs of the tests.

        `about` are further lines, and `most` says where these are not exact. `held` epochs are done already.
        """
        scorer, trainee = self.scorer.learner, self.trainer.learner
        work = f"{most}{scorings:,} trainings to score by {scorer.name}, {tests:,} to test by {trainee.name}"
        lines = [
            ("data", f"{len(self.train):,} samples to choose from, {len(self.joined.test):,} to test on"),
            *about,
            ("work", f"{work}, {self.fix} fixed"),
            ("time", "known after the first training"),
        ]
        self.report("work", lines=lines, epochs=scorings * (scorer.epochs or 1) + epochs, held=held)

    def budget(self, *, keep: float | None = None, prune: float | None = None) -> int:
        """Return a fraction or count of the training set as a count."""
        return budget_of(len(self.train), keep=keep, prune=prune)

    def check(self, method: Method, budget: int, replicates: Iterable[int] = ()) -> None:
        """Refuse, before any training, a method that cannot choose this budget, or a budget too small to train on.

        A method that reads no scores is refused, too, if what it draws in one of the replicates is of one class.
        """
        if budget < 2:
            raise ArgumentError(f"a coreset to train on needs at least 2 samples, got a budget of {budget}")
        self.trainer.check_batch(budget)
        self.trainee(budget)
        self.selector.check(method, budget)
        if method.plan is None:
            for replicate in replicates:
                self._rows(method, budget, replicate)

    def possible(
        self,
        method: Method,
        budget: int,
        replicates: Iterable[int] = (),
        *,
        must: bool,
        refusal: type[ArgumentError] = ArgumentError,
    ) -> bool:
        """Return whether `check` passes; raise the refusal where it `must`. A cutoff may be too large for a budget."""
        try:
            self.check(method, budget, replicates)
        except refusal:
            if must:
                raise
            return False
        return True

    def outcomes(self, tried: Sequence[tuple[Method, int]], replicates: Sequence[int]) -> dict[CellKey, Outcome]:
        """Try these methods at these budgets in these replicates, and return the outcome of each.

        The scorings of all cells come first, then the tests, so that fits of all cells share the workers.
        """
        self.selector.prepare([method for method, _ in tried], replicates)
        cells = {self.name(method, budget, r): (method, budget, r) for r in replicates for method, budget in tried}
        trainings = [
            Training(name, self._rows(method, budget, r), r, self.trainee(budget))
            for name, (method, budget, r) in cells.items()
        ]
        tested = self.trainer.test(self.run, trainings, self.joined.test_rows, seed=self.seed)
        return {cells[training.name]: outcome for training, outcome in tested}

    def _rows(self, method: Method, budget: int, replicate: int) -> IntArray:
        """Return the rows that a method chooses; refuse those of one class, from which nothing can be learned."""
        rows = self.selector.rows(method, budget, replicate)
        if self.train.targets is None and len(np.unique(self.train.labels[rows])) < 2:
            raise ArgumentError(
                f"{method.text!r} keeps samples of one class only at a budget of {budget}, from which nothing can be "
                "learned; keep more"
            )
        return rows

    def quality(self, tried: Sequence[tuple[Method, int]], replicates: Sequence[int]) -> list[FloatArray]:
        """Return for each method and budget the `quality` of its outcomes, float64 (R, m)."""
        outcomes = self.outcomes(tried, replicates)
        return [np.stack([outcomes[*one, r].quality for r in replicates]) for one in tried]

    def name(self, method: Method, budget: int, replicate: int) -> str:
        """Return the name under which the run keeps an outcome."""
        return f"{slug(method.text)}-k{budget}-r{replicate}"

    def trainee(self, budget: int) -> Learner:
        """Return the learner that is trained on this many samples, for the epochs or iterations that are fixed."""
        return self.trainer.adapt_learner(self.fix, budget, len(self.train))

    def epochs(self, budget: int) -> int:
        """Return the epochs of one training on this many samples."""
        return self.trainee(budget).epochs or 1

    def scorings(self, methods: Iterable[Method], budgets: Sequence[int]) -> int:
        """Count the trainings behind the choices of one replicate of these methods at these budgets."""
        needed: dict[str, int] = {}
        for method in methods:
            for budget in budgets:
                needed |= self.selector.trainings(method, budget)
        return sum(needed.values())

    def held(self, tried: Sequence[tuple[Method, int]], replicates: int) -> int:
        """Count the epochs of these tests that the run holds already."""
        names = [(self.name(*one, r), self.epochs(one[1])) for one in tried for r in range(replicates)]
        return sum(epochs for name, epochs in names if self.run.result(name) is not None)

    def about(self, test: str) -> dict[str, Any]:
        """Return the description that a result carries: data, learners, what was fixed, the test set in words."""
        tested = self.joined.test
        of_class = np.bincount(tested.labels, minlength=len(tested.class_names)).tolist()
        return {
            "n": len(self.train),
            "n_test": len(tested),
            "test": test,
            "fix": self.fix,
            "learner": self.scorer.learner.name,
            "trainee": self.trainer.learner.name,
            **({"of_class": of_class} if self.train.targets is None else {"target": True}),
            "seed": self.seed,
            "manifest": self._manifest,
        }


def open_train_and_test(
    verb: Callable[..., Any], data: Any, y: Any, options: Mapping[str, Any], *, cache: Any = None
) -> tuple[Data, Data | None, dict[str, Any]]:
    """Open the data set and the test set; return them with the options that are left."""
    check_arguments(verb, options, TrialOptions.__annotations__)
    reading, left = split_reading_options(options)
    columns = reading.pop("features", None)
    source, test = open_data(data, y, reading, columns, cache=cache), left.pop("test", None)
    return source, None if test is None else open_test_data(test, source, reading, columns, cache=cache), left


def split_train_test(source: Data, test: Data | None, seed: int, options: dict[str, Any]) -> tuple[Data, Data, str]:
    """Return the data to choose from, the data to test on, and the origin of the latter in words.

    Without a test set, `seed` draws a probe split. `probe` and `overlap` are taken out of the options.
    """
    probe, overlap = options.pop("probe", 0.2), options.pop("overlap", "refuse")
    if test is None:
        rest, left_out = split_off(source, probe, seed=seed, groups=options.get("groups", "duplicates"))
        share = explain_share(rest, left_out, probe) or f"{probe:g} of the data"
        return rest, left_out, f"probe split, {share}"
    split = split_by_test_set(source, test, overlap=overlap)
    kept = test if len(split.test) == len(test) else Part(test, split.test - len(source))
    return source, kept, split.text
