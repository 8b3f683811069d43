"""The conformance test of a rule, of this package or another: `check_rule("top")`, `check_rule(Mine(k=3))`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IdArray, IntArray
from unseen.core.conformance import as_json, ensure
from unseen.core.coreset import Coreset
from unseen.core.table import Direction, ScoreTable
from unseen.errors import BudgetError, DataError, UnseenError
from unseen.rules.base import Rule
from unseen.rules.choosing import choose
from unseen.rules.registry import resolve


def check_rule(rule: str | Rule) -> None:
    """Check that a rule keeps the laws of all rules, on small made-up data.

    The laws:

    - Budgets are exact, ids unique and indices ascending, for random, tied, constant and one-class data, at budgets
      from one sample to all.
    - The ids and their order do not depend on the order of the rows. There is an order if and only if it is declared.
    - Nothing is read that is not declared: a monotone change of the scores changes nothing for a rule that reads only
      their order, other scores change nothing for a rule that reads none, and other labels nothing for a rule that does
      not need them.
    - Negated scores of the opposite direction choose the same samples.
    - The global random state is neither read nor changed, and the pool is not written to.
    - Missing scores are refused or taken last.
    - Options are JSON.

    The first law that the rule (or its name or spec) breaks is named by an `AssertionError`.

    >>> check_rule("top")
    """
    rule = resolve(rule)
    _check_declared(rule)
    for case in _make_cases(rule):
        for budget in sorted({1, 2, 7, case.capacity // 2, case.capacity}):
            if 1 <= budget <= case.capacity:
                _check_budget(rule, case, budget)
        if case.capacity < len(case.ids):
            refused = _refuses(rule, case, case.capacity + 1, BudgetError)
            ensure(refused, rule, f"a budget above its capacity was not refused on {case.name}")
    case = next(_make_cases(rule))
    budget = max(1, case.capacity // 3)
    _check_reading(rule, case, budget)
    _check_purity(rule, case, budget)
    if rule.reads != "nothing":
        _check_direction(rule, case, budget)
        _check_missing(rule, case)


@dataclass(frozen=True, eq=False)
class _RuleCase:
    name: str
    ids: IdArray
    values: FloatArray
    labels: IntArray
    features: FloatArray
    direction: Direction
    capacity: int

    def rows(self, at: IntArray) -> _RuleCase:
        columns = ("ids", "values", "labels", "features")
        return replace(self, **{c: getattr(self, c)[at] for c in columns})

    def table(self) -> ScoreTable:
        # Real models are confident on easy samples, so the confidence falls with the score.
        with np.errstate(invalid="ignore"):
            confidence = 1 / (1 + np.where(np.isfinite(self.values), np.abs(self.values), 0.0))
        table = ScoreTable.of(
            "score", self.values, direction=self.direction, labels=self.labels, ids=self.ids, mean_confidence=confidence
        )
        wrong = self.features[:, 0] > 1  # some, whatever the scores
        return replace(table, predictions=(self.labels + wrong) % len(table.class_names))


def _make_cases(rule: Rule) -> Iterator[_RuleCase]:
    n = 40
    random = seeds.generator(0, "conformance")
    direction: Direction = "harder" if "harder" in rule.directions else sorted(rule.directions)[0]
    plain = _RuleCase(
        name="random scores",
        ids=random.permutation(1000)[:n],
        values=random.gamma(2.0, size=n),
        labels=np.arange(n) % 3,
        features=random.normal(size=(n, 4)),
        direction=direction,
        capacity=rule.capacity(n),
    )
    yield plain
    yield replace(plain, name="ids of text", ids=np.array([f"image-{i}" for i in plain.ids.tolist()]))
    yield replace(plain, name="ties", values=np.floor(plain.values), features=np.round(plain.features))
    yield replace(plain, name="constant scores", values=np.ones(n), features=np.ones((n, 4)))
    yield replace(plain, name="scores of zero", values=np.zeros(n))
    yield replace(plain, name="one class", labels=np.zeros(n, np.int64))
    yield replace(plain, name="a rare class", labels=(np.arange(n) == 0).astype(np.int64))
    yield replace(plain.rows(np.arange(1)), name="one sample", capacity=rule.capacity(1))
    yield replace(plain.rows(np.arange(2)), name="two samples", capacity=rule.capacity(2))


def _check_declared(rule: Rule) -> None:
    for word in ("name", "formula", "source"):
        ensure(isinstance(getattr(rule, word, None), str) and getattr(rule, word), rule, f"declares no {word}")
    ensure(rule.reads in ("nothing", "order", "values"), rule, f"declares reads={rule.reads!r}")
    known = {"labels", "features", "confidence"}
    ensure(rule.needs <= known, rule, f"needs {sorted(rule.needs - known)}, which no pool has")
    as_json(rule, "options()", rule.options())


def _check_budget(rule: Rule, case: _RuleCase, budget: int) -> None:
    where = f"on {case.name} with a budget of {budget}"
    coreset = _choose_or_fail(rule, case, budget, where)
    ensure(len(coreset.ids) == budget, rule, f"returned {len(coreset.ids)} samples {where}")
    ensure((np.diff(coreset.indices) > 0).all(), rule, f"returned rows that are not unique and ascending {where}")
    own = (coreset.ids == case.ids[coreset.indices]).all()
    ensure(own, rule, f"returned ids that are not those of its rows {where}")
    ordered = coreset.order is not None
    ensure(ordered == rule.ordered, rule, f"declares ordered={rule.ordered}, but is not so {where}")
    shuffled = case.rows(seeds.generator(1, "conformance").permutation(len(case.ids)))
    same = _describe(shuffled, _choose_or_fail(rule, shuffled, budget, where)) == _describe(case, coreset)
    ensure(same, rule, f"chose otherwise when the rows were shuffled, {where}")


def _check_reading(rule: Rule, case: _RuleCase, budget: int) -> None:
    others = {}
    if rule.reads == "order":
        others["reads more of the scores than their order"] = replace(case, values=np.exp(case.values) - 1)
    if rule.reads == "nothing":
        others["reads scores that it says it does not"] = replace(case, values=case.values[::-1].copy())
    if "labels" not in rule.needs:
        others["reads labels that it does not need"] = replace(case, labels=case.labels[::-1].copy())
    plain = _choose_or_fail(rule, case, budget, where := f"with a budget of {budget}")
    for law, other in others.items():
        same = _describe(other, _choose_or_fail(rule, other, budget, where)) == _describe(case, plain)
        ensure(same, rule, law)


def _check_purity(rule: Rule, case: _RuleCase, budget: int) -> None:
    state = np.random.get_state()  # noqa: NPY002 - the point is that nobody touches it
    stories = []
    try:
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            before = _global_state()
            stories.append(_describe(case, _choose_or_fail(rule, case, budget, "twice")))
            ensure(_global_state() == before, rule, "moved the global random state")
    finally:
        np.random.set_state(state)  # noqa: NPY002
    ensure(stories[0] == stories[1], rule, "chose otherwise when asked again with the same seed")


def _global_state() -> list[int]:
    return list(np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


def _check_direction(rule: Rule, case: _RuleCase, budget: int) -> None:
    if not {"harder", "easier"} <= rule.directions:
        return
    hard, easy = replace(case, direction="harder"), replace(case, values=-case.values, direction="easier")
    same = [_choose(rule, c, budget).ids.tolist() for c in (hard, easy)]
    ensure(same[0] == same[1], rule, "chose otherwise from the same difficulty in the opposite direction")


def _check_missing(rule: Rule, case: _RuleCase) -> None:
    values = case.values.copy()
    values[:3] = np.nan, np.inf, -np.inf
    broken = replace(case, values=values)
    ensure(_refuses(rule, broken, 1, DataError), rule, "missing scores were not refused")
    room = rule.capacity(len(values) - 3)
    for budget in (room, room + 1, room + 3):
        coreset = _choose(rule, broken, budget, nan="last")
        missing = int(np.isin(coreset.indices, [0, 1, 2]).sum())
        ensure(missing == budget - room, rule, "took samples without a score before the others")


def _choose(rule: Rule, case: _RuleCase, budget: int, **more: Any) -> Coreset:
    features = case.features if "features" in rule.needs else None
    return choose(rule, case.table(), keep=budget, features=features, seed=3, **more)


def _refuses(rule: Rule, case: _RuleCase, budget: int, error: type[UnseenError]) -> bool:
    try:
        _choose(rule, case, budget)
    except error:
        return True
    return False


def _choose_or_fail(rule: Rule, case: _RuleCase, budget: int, where: str) -> Coreset:
    for array in (case.values, case.labels, case.features):
        array.flags.writeable = False
    try:
        return _choose(rule, case, budget)
    except UnseenError as error:
        raise AssertionError(f"rule {rule.name}: failed {where}: {error}") from error
    except ValueError as error:
        if "read-only" in str(error):
            raise AssertionError(f"rule {rule.name}: wrote into the pool {where}") from error
        raise


def _describe(case: _RuleCase, coreset: Coreset) -> tuple[object, ...]:
    """Return the ids, their sources and their order, without row numbers."""
    order = None if coreset.order is None else case.ids[coreset.order].tolist()
    sources = [None] * len(coreset) if coreset.sources is None else coreset.sources.tolist()
    return sorted(zip(coreset.ids.tolist(), sources, strict=True)), order
