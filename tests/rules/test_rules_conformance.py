from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from unseen.errors import ArgumentError
from unseen.rules import RULES, Pick, Rule, check, choose
from unseen.rules.base import largest
from unseen.rules.conformance import check_rule


@pytest.mark.parametrize("name", list(RULES))
def test_every_registered_rule_conforms(name):
    check_rule(name)


@pytest.mark.parametrize(
    "spec",
    [
        "top:first=easy",
        "window:offset=5",
        "window:offset=0.25",
        "bws:steps=7,lam=2.0",
        "bws:over=all",
        "stratified:by=rank",
        "stratified:cutoff=0.3,strata=4",
        "stratified:cutoff=auto",
        "stratified:cutoff=error,by=rank",
        "beta:c=4",
        "graph:k=2,gamma=1.0,metric=cosine",
        "graph:ann=True",
        "infomax:alpha=1.0,k=3",
        "dedup:metric=euclidean",
    ],
)
def test_every_option_of_a_rule_conforms(spec):
    if "ann" in spec:
        pytest.importorskip("hnswlib")
    check_rule(spec)


@dataclass(frozen=True)
class Planted(Rule):
    """A good rule, to be spoilt."""

    name: ClassVar[str] = "planted"
    reads: ClassVar[str] = "order"
    ordered: ClassVar[bool] = False
    formula: ClassVar[str] = "as top"
    source: ClassVar[str] = "this test"

    def pick(self, pool, budget):
        return Pick(largest(pool.values, budget))


def test_a_rule_that_keeps_the_laws_passes():
    check_rule(Planted())


class OneMore(Planted):
    def pick(self, pool, budget):
        return Pick(largest(pool.values, budget + 1))


class Twice(Planted):
    def pick(self, pool, budget):
        return Pick(np.repeat(largest(pool.values, budget), 2)[:budget])


class Above(Planted):
    """As CCS in public code: the top value falls out of the last stratum."""

    def pick(self, pool, budget):
        return Pick(np.flatnonzero(pool.values < pool.values.max())[:budget])


class ReadsMore(Planted):
    def pick(self, pool, budget):
        return Pick(largest(-np.abs(pool.values - pool.values.mean()), budget))


class ReadsLabels(Planted):
    def pick(self, pool, budget):
        return Pick(largest(pool.values + 100.0 * pool.labels, budget))


class ReadsAtAll(Planted):
    reads = "nothing"

    def pick(self, pool, budget):
        return Pick(largest(pool.keys("x") if pool.values is None else pool.values, budget))


class Writes(Planted):
    def pick(self, pool, budget):
        pool.values[:] = 0.0
        return Pick(largest(pool.values, budget))


class GlobalRandom(Planted):
    def pick(self, pool, budget):
        return Pick(np.random.permutation(len(pool))[:budget])  # noqa: NPY002


class GlobalSeed(Planted):
    def pick(self, pool, budget):
        np.random.seed(0)  # noqa: NPY002
        return Pick(np.random.permutation(len(pool))[:budget])  # noqa: NPY002


class FreshRandom(Planted):
    def pick(self, pool, budget):
        return Pick(np.random.default_rng().permutation(len(pool))[:budget])


class SaysOrder(Planted):
    ordered = True


class HidesOrder(Planted):
    def pick(self, pool, budget):
        return Pick(largest(pool.values, budget), ordered=True)


class Sign(Planted):
    def pick(self, pool, budget):
        return Pick(largest(pool.values if pool.direction == "harder" else -pool.values, budget))


class Boasts(Planted):
    """Says that it can give all, and cannot."""

    def pick(self, pool, budget):
        return Pick(largest(pool.values, min(budget, len(pool) // 2)))


class Nameless(Planted):
    source = ""


class NeedsTheUnknown(Planted):
    needs = frozenset({"pixels"})


@dataclass(frozen=True)
class NotJson(Planted):
    table: object = np.float64


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (OneMore, "must return exactly its budget"),
        (Twice, "must return exactly its budget"),
        (Above, "must return exactly its budget"),
        (Boasts, "must return exactly its budget"),
        (ReadsMore, "reads more of the scores than their order"),
        (ReadsLabels, "reads labels that it does not need"),
        (Writes, "wrote into the pool"),
        (GlobalRandom, "shuffled|global random state|asked again"),
        (GlobalSeed, "moved the global random state|reads more"),
        (FreshRandom, "shuffled|asked again"),
        (SaysOrder, "declares ordered=True"),
        (HidesOrder, "declares ordered=False"),
        (Sign, "the opposite direction"),
        (Nameless, "declares no source"),
        (NeedsTheUnknown, "needs .*pixels"),
        (NotJson, "not JSON"),
    ],
)
def test_planted_violations_are_caught(rule, message):
    with pytest.raises(AssertionError, match=message):
        check_rule(rule())


class ReadsErrors(Planted):
    reads_errors: ClassVar[bool] = True

    def pick(self, pool, budget):
        return Pick(np.lexsort((-pool.values, pool.wrong))[:budget])


def test_a_rule_that_reads_errors_is_checked_and_refused_without_them():
    check_rule(ReadsErrors())
    with pytest.raises(ArgumentError, match=r"^rule planted needs held-out predictions: give"):
        choose(ReadsErrors(), [0.1, 0.2], direction="harder", keep=1)
    with pytest.raises(ArgumentError, match=r"^rule planted needs held-out predictions, which"):
        check(ReadsErrors(), n=10, keep=5, has_predictions=False)


def test_a_rule_that_reads_nothing_is_given_nothing():
    check_rule(ReadsAtAll())  # it tries to read the scores; its pool has none


def test_a_rule_that_depends_on_the_rows_is_caught(monkeypatch):
    # The pool is in the order of the ids; without that, ties would go by row.
    monkeypatch.setattr("unseen.rules.base.sort_by_id", lambda ids: np.arange(len(ids)))
    with pytest.raises(AssertionError, match="when the rows were shuffled"):
        check_rule("top")


def test_missing_scores_that_are_let_through_are_caught(monkeypatch):
    monkeypatch.setattr("unseen.rules.base._find_finite", lambda given, rule, last: np.ones(len(given.ids), bool))
    with pytest.raises(AssertionError, match="missing scores were not refused"):
        check_rule("top")
