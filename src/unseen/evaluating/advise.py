"""How much can be pruned: `advise` finds the largest share whose loss is within a margin, with few trainings.

The search and the confirmation use different replicates. The share that the search finds is confirmed on fresh
replicates, and only these enter the interval. Where they do not confirm it, the next smaller share is tried on further
fresh replicates; each of these tries takes its part of the error level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.checks import at_least, is_number
from unseen.core.protocols import Data, Learner
from unseen.data.arrays import from_arrays
from unseen.engine import runs
from unseen.engine.runs.base import interpreting
from unseen.errors import ArgumentError
from unseen.evaluating.methods import EVERYTHING, RANDOM, Method, default_method
from unseen.evaluating.statistics import (
    Interval,
    Verdict,
    against_full,
    against_random,
    check_margin,
    check_replicates,
    doubt_accuracy,
    without_nan,
)
from unseen.evaluating.trials import FRESH, Difference, TrialOptions, Trials, open_train_and_test, split_train_test
from unseen.learners.base import in_words
from unseen.rules.base import checked_features

FILE = "advice.json"  # in the directory of a run
TRIES = 3  # shares that are confirmed at most
LEVEL = 0.95

ESTIMATE = "an estimate under a linear head"
LEARNER = "ridge"
TRAP = "a backbone that was trained on these labels has seen every sample: its features make the estimate too good"


def advise(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    method: str | Method | None = None,
    margin: float = 0.005,
    step: float = 0.1,
    quick: bool = False,
    searching: int | None = None,
    seeds: int = 5,
    seed: int | None = 0,
    out: str | Path | None = None,
    **options: Unpack[TrialOptions],
) -> Advice:
    """Find the largest share that can be pruned with a loss within the margin.

    The search is a bisection over the multiples of `step`, with the same few replicates for each share and for
    everything. The share that it finds is then tested on fresh replicates, against everything and random. At most three
    shares are tested, each at a third of the error level.

    `quick=True` is a cheap first answer, an estimate under a linear head: ridge regression on features takes the place
    of every training, and every share is tried. It needs vectors, or `features`. Features of a backbone that was
    trained on these labels leak them, and make the estimate too good. It is no estimate for a network trained on the
    same coresets.

    Args:
        data: anything `unseen.data.resolve` takes.
        y: (n,) labels, where `data` is an array of inputs.
        method: how the coreset is chosen, `"plan/score/rule"`; see `unseen.evaluating.methods.Method`. The default is
            that of `unseen.prune`: `"halves/el2n/stratified:cutoff=auto,quota=floored"` (with `by=rank` for
            uneven classes), and `"halves/loss/trimmed"` for a target; `folds` in place of `halves` for a learner in
            closed form.
        margin: the largest loss of accuracy, or of R² for a target, that counts as lossless: 0.005 is half a point.
        step: the shares tried are its multiples below 1.
        quick: whether a linear head stands in for the real training.
        searching: replicates per share in the search; the default is 2, or 5 with `quick`.
        seeds: fresh replicates for the confirmation, at least 3.
        seed: the root seed, or None to draw one.
        out: a directory that keeps every training.
        **options: the test set, learners, where they run, and how data is read; see
            `unseen.evaluating.trials.TrialOptions` and `unseen.score`. With `quick`, `learner` is ridge regression,
            there is no `trainee`, and `features` are also what the linear head is trained on.

    Raises:
        ArgumentError: an argument that breaks its rule, before any training.

    Example:
        >>> import unseen
        >>> from sklearn.naive_bayes import GaussianNB
        >>> advice = unseen.advise("digits", method="el2n/top", learner=GaussianNB(), margin=0.02, step=0.3)
        >>> advice.n
        1437
        >>> unseen.advise("digits", method="el2n/top", quick=True, step=0.3, margin=0.02, searching=2).estimate
        'an estimate under a linear head'
    """
    searching = (5 if quick else 2) if searching is None else searching
    check_margin(margin)
    if not is_number(step) or not 0.01 <= step <= 0.5:
        raise ArgumentError(f"step must be a share in [0.01, 0.5], got {step!r}")
    at_least("searching", searching, 1)
    check_replicates("seeds", seeds)
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source, test, left = open_train_and_test(advise, data, y, options, cache=out)
        method = Method.of(default_method(source, left.get("learner")) if method is None else method)
        if method.rule is None:
            raise ArgumentError("method must choose a part of the data, got 'full'")
        if quick:
            source = vectors_of(source, left.get("features"), test)
            left["learner"] = LEARNER if left.get("learner") is None else left["learner"]
        train, tested, origin = split_train_test(source, test, seed, left)
        trials = Trials(
            train, tested, [method, RANDOM], run=run, seed=seed, **left,
            about={"verb": "advise", "test": origin, "method": method.text, "margin": margin, "step": step,
                   "searching": searching, "confirming": seeds, **({"quick": True} if quick else {})},
        )  # fmt: skip
        if quick:
            check_head(trials.scorer.learner, left.get("trainee"))
        shares = [round(step * i, 10) for i in range(1, int(np.ceil(1 / step - 1e-9)))]
        budgets = {share: trials.budget(prune=share) for share in shares}
        drawn = [*range(searching), *(FRESH * (t + 1) + r for t in range(TRIES) for r in range(seeds))]
        shares = [
            share
            for share in shares
            if trials.possible(method, budgets[share], must=share == shares[0])
            and trials.possible(RANDOM, budgets[share], drawn, must=share == shares[0])
        ]
        trials.open()
        probes = 2 * len(shares) if quick else int(np.ceil(np.log2(len(shares) + 1)))
        tests = searching * (1 + probes) + 3 * seeds * min(TRIES, len(shares))
        estimated = [("note", f"{ESTIMATE}, {trials.scorer.learner.name} on the features"), ("trap", TRAP)]
        trials.announce(
            *(estimated if quick else ()),
            ("method", method.text),
            scorings=trials.scorings([method], [budgets[shares[-1]]]) * (searching + seeds),
            tests=tests,
            epochs=tests * (trials.trainer.learner.epochs or 1),
            most="about ",
        )
        search = _Search(trials, method, budgets, margin, ESTIMATE if quick else None)
        with trials.scorer.session():
            largest = (search.try_all if quick else search.bisect)(shares, range(searching))
            advice = search.confirm(shares[: largest + 1], seeds, origin)
        run.write_json(FILE, advice.to_json())
        return advice


@dataclass(frozen=True)
class TriedShare:
    """The result of trying one share."""

    prune: float  # the share pruned
    budget: int  # samples kept
    difference: Interval  # the accuracy minus the accuracy of training on everything, paired by replicate
    random: Interval | None  # the same for as many samples drawn at random; None where no model was trained on them
    confirming: bool  # True on fresh replicates, False in the search

    def text(self) -> str:
        """Return the result in points.

        >>> TriedShare(0.3, 70, Interval(-0.01, -0.02, 0.0, 5), Interval(-0.03, -0.04, -0.02, 5), False).text()
        '30 % pruned, -1.0 ± 1.0 points (random -3.0 ± 1.0)'
        """
        beside = "" if self.random is None else f" (random {self.random.text(sign=True)})"
        return f"{100 * self.prune:g} % pruned, {self.difference.text(sign=True)} points{beside}"


@dataclass(frozen=True)
class Advice:
    """The result of `advise`: how much can be pruned, how sure that is, and every share that was tried.

    Args:
        prune: the largest share that was confirmed, 0.0 if none was.
        budget: samples kept.
        n: samples in the training set.
        method: how the coreset is chosen.
        margin: the largest loss of accuracy that counts as lossless.
        verdict: the comparison with training on everything, on fresh replicates.
        beside_random: the comparison with as many samples drawn at random, on the same replicates; None where nothing
            was confirmed.
        difference: the difference in accuracy to everything, on the same replicates; None where nothing was confirmed.
        tried: every share tried, in order.
        estimate: the kind of estimate, where a simpler learner stood in for the real training; else None.
        about: data, learners, what was fixed; `"doubt"`, why accuracy says little here, where it does.
    """

    prune: float
    budget: int
    n: int
    method: str
    margin: float
    verdict: Verdict
    beside_random: Verdict | None
    difference: Interval | None
    tried: tuple[TriedShare, ...]
    estimate: str | None
    about: dict[str, Any]

    def __repr__(self) -> str:
        kind = "" if self.estimate is None else f"{self.estimate}: "
        doubt = f"; {self.about['doubt']}" if "doubt" in self.about else ""
        if self.difference is None:
            return f"Advice({kind}nothing can be pruned by {self.method}: {self.verdict.text}{doubt})"
        return (
            f"Advice({kind}prune {100 * self.prune:.0f} % by {self.method}, keeping {self.budget:,} of {self.n:,}: "
            f"{self.verdict.text}, {self.difference.text(sign=True)} points on {self.difference.n} fresh replicates"
            f"{doubt})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the advice as JSON. A mean over one replicate has no interval: its bounds are null."""
        content: dict[str, Any] = without_nan(asdict(self))
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the result of `to_json`."""

        def read_share(one: Mapping[str, Any]) -> TriedShare:
            difference, random = (Interval.from_json(one[name]) for name in ("difference", "random"))
            if difference is None:
                raise ValueError("difference must be an interval, got null")
            return TriedShare(float(one["prune"]), int(one["budget"]), difference, random, bool(one["confirming"]))

        beside = content["beside_random"]
        read: dict[str, Any] = {
            **content,
            **{name: float(content[name]) for name in ("prune", "margin")},
            **{name: int(content[name]) for name in ("budget", "n")},
            "about": dict(content["about"]),
            "verdict": Verdict(**content["verdict"]),
            "beside_random": None if beside is None else Verdict(**beside),
            "difference": Interval.from_json(content["difference"]),
            "tried": tuple(map(read_share, content["tried"])),
        }
        return cls(**read)

    @classmethod
    def of_run(cls, run: runs.RunDirectory) -> Self | None:
        """Read the advice that a run holds; None where there is none."""
        content = run.read_json(FILE)
        with interpreting(run.path / FILE):
            return None if content is None else cls.from_json(content)


class _Search:
    """The search of one `advise`, with every share that it tried."""

    def __init__(
        self, trials: Trials, method: Method, budgets: dict[float, int], margin: float, estimate: str | None
    ) -> None:
        self.trials, self.method, self.budgets, self.margin, self.estimate = trials, method, budgets, margin, estimate
        self.tried: list[TriedShare] = []
        self.full = float("nan")  # the accuracy of training on everything

    def bisect(self, shares: list[float], replicates: range) -> int:
        """Return the index of the largest share that seems within the margin, found by bisection; -1 for none."""
        low, high = -1, len(shares)
        while high - low > 1:
            middle = (low + high) // 2
            difference, _ = self._compare(shares[middle], replicates, random=False)
            low, high = (middle, high) if difference.mean >= -self.margin else (low, middle)
        return low

    def try_all(self, shares: list[float], replicates: range) -> int:
        """Return the same index, found by trying every share beside random."""
        means = [self._compare(share, replicates)[0].mean for share in shares]
        return max((i for i, mean in enumerate(means) if mean >= -self.margin), default=-1)

    def confirm(self, shares: list[float], seeds: int, origin: str) -> Advice:
        """Advise the first share, from the largest down, that fresh replicates confirm."""
        level, n = 1 - (1 - LEVEL) / TRIES, len(self.trials.train)
        verdict = Verdict("loses", "the search found no share whose loss is within the margin")
        confirmed, beside, to_full = 0.0, None, None
        for attempt, share in enumerate(reversed(shares[-TRIES:])):
            first = FRESH * (attempt + 1)
            difference, to_random = self._compare(share, range(first, first + seeds), confirming=True)
            verdict = against_full(difference.replicates, sampling=difference.sampling, margin=self.margin, level=level)
            if verdict.word == "lossless" and to_random is not None:
                confirmed, to_full = share, difference.interval
                beside = against_random(to_random.replicates, sampling=to_random.sampling)
                break
        about = self.trials.about(origin)
        trainee = in_words({"learner": about["trainee"]})
        if (doubt := doubt_accuracy(self.full, about.get("of_class"), trainee)) is not None:
            about["doubt"] = doubt
        return Advice(
            prune=confirmed,
            budget=self.budgets.get(confirmed, n),
            n=n,
            method=self.method.text,
            margin=self.margin,
            verdict=verdict,
            beside_random=beside,
            difference=to_full,
            tried=tuple(self.tried),
            estimate=self.estimate,
            about=about,
        )

    def _compare(
        self, share: float, replicates: range, *, confirming: bool = False, random: bool = True
    ) -> tuple[Difference, Difference | None]:
        """Train on a share, and return the differences in accuracy to everything and, if asked for, to random."""
        budget = self.budgets[share]
        arms = [(self.method, budget), (EVERYTHING, len(self.trials.train)), *([(RANDOM, budget)] if random else [])]
        mine, full, *drawn = self.trials.quality(arms, replicates)
        self.full, test = float(full.mean()), self.trials.joined.test
        difference = Difference.of(mine, full, test)
        of_random = Difference.of(drawn[0], full, test).interval if random else None
        self.tried.append(TriedShare(share, budget, difference.interval, of_random, confirming))
        how = "confirming" if confirming else "searching"
        self.trials.report("say", text=f"{how}: {self.tried[-1].text()}")
        return difference, Difference.of(mine, drawn[0], test) if random else None


def vectors_of(data: Data, features: npt.ArrayLike | None, test: Any) -> Data:
    """Return the data set as vectors: with the features (n, d) as inputs where they are given, else unchanged."""
    if features is None:
        if data.kind != "vector":
            raise ArgumentError(
                f"quick=True trains a linear head on vectors, but this is {data.kind} data: give features=, an array "
                "(n, d) of an extractor that never saw the labels, or leave quick out"
            )
        return data
    if test is not None:
        raise ArgumentError(
            "quick=True with features= tests on a probe split, since the test set brings no features: leave test out, "
            "or give data sets of vectors for both"
        )
    inputs = checked_features(features, data.ids)
    about: Any = {"ids": data.ids, "groups": data.groups}
    if data.targets is not None:
        return from_arrays(inputs, target=data.targets, **about)
    return from_arrays(inputs, data.labels, class_names=data.class_names, **about)


def check_head(learner: Learner, trainee: Any) -> None:
    """Refuse a learner without a closed form, and a second learner for the coresets."""
    if trainee is not None:
        raise ArgumentError("quick=True trains a linear head on the coresets: leave trainee out, or quick")
    if not learner.closed_form:
        raise ArgumentError(
            f"quick=True trains a linear head in closed form, which {learner.name!r} is not: leave learner out, or "
            "give 'ridge:lam=...', or leave quick out"
        )
