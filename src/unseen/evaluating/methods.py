"""Methods of choosing a coreset, each written as one line `plan/score/rule`; and how they share scorings.

A `Method` is such a line, parsed. A `Selector` chooses coresets by many methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.core.checks import check_known
from unseen.core.plans import plan_named
from unseen.core.protocols import Data
from unseen.core.registry import parse_spec
from unseen.core.table import ScoreTable
from unseen.engine.runs.base import Run
from unseen.engine.work import ScoringRequest, Work
from unseen.errors import ArgumentError
from unseen.growing import Growth, Loop
from unseen.learners.registry import default_learner
from unseen.learners.registry import resolve as resolve_learner
from unseen.rules.registry import Choice, default_rule, explain_fallback, fallback
from unseen.scores.registry import default_score
from unseen.scores.registry import resolve as resolve_score

FULL = "full"
GROW = "grow"
# Beside it: CCS, the method of others that did best in docs/results.md, by the in-sample margin; `aum` is its mean over
# epochs, where there are several.
PEER, PEER_IN_ONE_EPOCH = "seen/aum/stratified:cutoff=0", "seen/label_margin:space=logits/stratified:cutoff=0"


def default_method(data: Data, learner: Any = None) -> str:
    """Return the method by which `unseen.prune` chooses with this learner if none is named.

    >>> from unseen.data import digits
    >>> default_method(digits())
    'halves/el2n/stratified:cutoff=auto,quota=floored'
    """
    # A default learner is not made here: one for images needs torch, but `advise --quick` does not.
    closed = default_learner(data) == "ridge" if learner is None else resolve_learner(learner, data).closed_form
    plan = "folds" if closed else "halves"
    rule = default_rule("harder", data.labels, of_target=data.targets is not None)
    return f"{plan}/{default_score(data).label}/{rule}"


def usual_methods(learner: Any, data: Data) -> list[str]:
    """Return the methods that are compared by default: that of `unseen.prune`, and the best peer.

    For a target there is no peer, since CCS reads the margin between classes.
    """
    if data.targets is not None:
        return [default_method(data, learner)]
    peer = PEER if (resolve_learner(learner, data).epochs or 1) > 1 else PEER_IN_ONE_EPOCH
    return [default_method(data, learner), peer]


@dataclass(frozen=True)
class Method:
    """One method of choosing a coreset.

    Args:
        text: `"plan/score/rule"`, each with options, such as `"folds:k=2/el2n/stratified:cutoff=0.1"`,
            `"seen/aum/top"` or `"grow:steps=2/el2n/top"`; or `"score/rule"`, under the plan `folds`; or only a rule
            that reads no scores, such as `"random"` or `"random:quota=proportional"`; or `"full"`, which is everything.
        plan: the plan, or `"grow..."`; None where the rule reads no scores.
        score: the score; None where the rule reads no scores.
        rule: the rule with its options; None for everything.

    >>> Method.of("el2n/top").plan
    'folds'
    >>> Method.of("random:quota=proportional").score is None
    True
    """

    text: str
    plan: str | None
    score: str | None
    rule: str | None

    @classmethod
    def of(cls, text: str | Method) -> Method:
        """Parse a line; refuse one that names what is not there, or a score that its rule needs or does not read."""
        if isinstance(text, Method):
            return text
        if not isinstance(text, str):
            raise ArgumentError(f"a method must be a line 'plan/score/rule', got {text!r}")
        parts = [part.strip() for part in text.split("/")]
        if parts == [FULL]:
            return cls(text, None, None, None)
        if len(parts) > 3 or not all(parts):
            raise ArgumentError(
                f"a method must be 'plan/score/rule', 'score/rule' or a rule that reads no scores, got {text!r}"
            )
        rule, score = parts[-1], parts[-2] if len(parts) > 1 else None
        plan = (parts[0] if len(parts) == 3 else "folds") if score else None
        resolved = Choice.of(rule).rule
        if score is None and resolved.reads != "nothing":
            raise ArgumentError(
                f"rule {resolved.name} reads scores: say which, as in 'folds/el2n/{rule}'; got {text!r}"
            )
        if score is not None and resolved.reads == "nothing":
            raise ArgumentError(
                f"rule {resolved.name} reads no scores, so {score!r} would change nothing; say {rule!r}"
            )
        if score is not None:
            resolve_score(score)
        method = cls(text, plan, score, rule)
        if method.grows:
            method.growth()  # refuses unknown options
        elif plan is not None:
            plan_named(plan)
        return method

    @property
    def grows(self) -> bool:
        """Whether it chooses in several steps."""
        return self.plan is not None and parse_spec(self.plan)[0] == GROW

    def growth(self, features: npt.ArrayLike | None = None) -> Growth:
        """Return the settings of a method that chooses in several steps."""
        assert self.plan is not None
        assert self.score is not None
        options = parse_spec(self.plan)[1]
        check_known("option of grow", options, ["start", "steps", "refill"])
        settings: dict[str, Any] = options
        return Growth(choice=self.choice(features), score=self.score, **settings)

    def choice(self, features: npt.ArrayLike | None = None) -> Choice:
        """Return the rule, with the features if it reads them."""
        assert self.rule is not None
        choice = Choice.of(self.rule)
        if features is None or "features" not in choice.rule.needs:
            return choice
        return Choice(choice.rule, {**choice.shared, "features": features})


RANDOM = Method("random", plan=None, score=None, rule="random")
EVERYTHING = Method(FULL, plan=None, score=None, rule=None)


class Selector:
    """A chooser of coresets by many methods; methods of one plan share its scorings.

    Each replicate draws scoring and selection anew from the root seed. Scorings are kept in parts of the run. The
    default method draws at random where the models are too weak, as `unseen.prune` does.
    """

    def __init__(
        self, work: Work, methods: Iterable[Method], *, run: Run, seed: int, features: npt.ArrayLike | None = None
    ) -> None:
        self.work = work
        self.methods = tuple(methods)
        self.run = run
        self.seed = seed
        self._features = features
        self._tables: dict[tuple[str, int], ScoreTable] = {}
        self._weak = set[int]()  # replicates whose models were reported as too weak

    def check(self, method: Method, budget: int) -> None:
        """Refuse, before any training, a budget that the method cannot meet or a score the learner cannot give."""
        if method.rule is None:
            return
        if method.grows:
            self._loop(method, budget, 0)
            return
        choice, direction = method.choice(self._features), None
        if method.plan is not None and method.score is not None:
            score = resolve_score(method.score)
            direction = score.direction
            plan = plan_named(method.plan)
            self.work.check(plan, [score, *choice.columns(score.label, plan)[1:]])
        choice.check(self.work.data, keep=budget, prune=None, direction=direction, predicts=self.work.predicts)

    def trainings(self, method: Method, budget: int) -> dict[str, int]:
        """Return the scorings that one replicate of the method needs, each with its number of trainings."""
        if method.plan is None:
            return {}
        if method.grows:
            return {self._grown_part(method, budget): self._loop(method, budget, 0).trainings}
        return {self._part(method.plan): plan_named(method.plan).count(len(self.work.data))}

    def prepare(self, methods: Iterable[Method], replicates: Iterable[int]) -> None:
        """Do all scorings of these methods at once, as far as they do not wait for one another."""
        plans = [method.plan for method in methods if method.plan is not None and not method.grows]
        self._score([(plan, replicate) for replicate in replicates for plan in plans])

    def rows(self, method: Method, budget: int, replicate: int) -> IntArray:
        """Choose a coreset, and return its rows, int64 (budget,), ascending."""
        if method.rule is None:
            return np.arange(len(self.work.data))
        if method.grows:
            part = f"{self._grown_part(method, budget)}-r{replicate}"
            with self.run.part(part) as run:
                return self._loop(method, budget, replicate).run(run, name=f"{part}/").coreset.indices
        samples = self.work.samples
        table = ScoreTable.unscored(samples.ids, samples.labels, samples.class_names)
        if method.plan is not None:
            self._score([(method.plan, replicate)])
            table = self._tables[method.plan, replicate]
        score = None if method.score is None else resolve_score(method.score).label
        choice = method.choice(self._features)
        # `advise --quick` takes the default of another learner than the one that stands in for it.
        defaults = {default_method(self.work.data, learner) for learner in (None, self.work.learner)}
        if method.text in defaults and (why := explain_fallback(table)) is not None:
            choice, score = fallback(), None
            if replicate not in self._weak:
                self._weak.add(replicate)
                self.work.tell(f"{why}; {method.text} draws at random within each class, as prune does")
        seed = seeds.derive(self.seed, "select", replicate)
        return choice.coreset(table, score=score, keep=budget, seed=seed).indices

    def _loop(self, method: Method, budget: int, replicate: int) -> Loop:
        seed = seeds.derive(self.seed, "grow", replicate)
        return Loop(self.work, method.growth(self._features), keep=budget, seed=seed)

    def _grown_part(self, method: Method, budget: int) -> str:
        return f"{slug(method.text)}-k{budget}"

    def _score(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Score by each plan and replicate that is not scored yet."""
        keys = [key for key in dict.fromkeys(wanted) if key not in self._tables]
        with ExitStack() as opened:
            scorings = []
            for plan, replicate in keys:
                part = f"{self._part(plan)}-r{replicate}"
                run = opened.enter_context(self.run.part(part))
                seed = seeds.derive(self.seed, "score", replicate)
                scorings.append(ScoringRequest(run, plan_named(plan), self._scores(plan), seed, f"{part}/"))
            self._tables.update(zip(keys, self.work.score_all(scorings), strict=True))

    def _scores(self, plan: str) -> list[str]:
        """List every score that some method reads under this plan."""
        wanted: dict[str, None] = {}
        for method in self.methods:
            if method.plan == plan and method.score is not None:
                label = resolve_score(method.score).label
                wanted |= dict.fromkeys(method.choice(self._features).columns(label, plan_named(plan)))
        return sorted(wanted)

    def _part(self, plan: str) -> str:
        # With another list of scores it is another scoring, which must not overwrite the old one.
        return slug(plan) + "-" + blake2b("\n".join(self._scores(plan)).encode(), digest_size=4).hexdigest()


def slug(text: str) -> str:
    """Return a file name for a text.

    >>> slug("folds:k=2/el2n/top")
    'folds_k_2_el2n_top'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text)
