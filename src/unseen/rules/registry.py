"""The registry of rules by name, and the checks of a choice before any training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from unseen.core.observation import Direction
from unseen.core.registry import Registry, parse_spec
from unseen.errors import ArgumentError, UnknownNameError
from unseen.rules.base import Rule
from unseen.rules.budgets import Quota
from unseen.rules.budgets import budget as budget_of
from unseen.rules.choosing import check_budget, check_quota, check_reading, quota_counts
from unseen.rules.cover import Herding, KCenter, Moderate
from unseen.rules.neighbours import Dedup, Graph, Infomax
from unseen.rules.order import BestWindow, Top, Window
from unseen.rules.sampling import Beta, Random
from unseen.rules.strata import Stratified

RULES: Registry[type[Rule]] = Registry("rule", "unseen.rules")
for _rule in (Random, Top, Window, BestWindow, Stratified, Beta, Moderate, Herding, KCenter, Graph, Infomax, Dedup):
    RULES.add(_rule.name, _rule)


@dataclass(frozen=True)
class RuleInfo:
    """A line of `unseen rules`."""

    name: str
    reads: str  # of the scores: nothing, their order, their values
    needs: tuple[str, ...]
    options: dict[str, object]  # with their defaults
    ordered: bool
    formula: str
    source: str


def about(name: str) -> RuleInfo:
    """Return what a rule reads and needs, its options, formula and source.

    >>> about("window").options
    {'offset': 0.0}
    """
    rule = RULES.get(name)
    return RuleInfo(
        name=name,
        reads=rule.reads,
        needs=tuple(sorted(rule.needs)),
        options={f.name: f.default for f in fields(rule)},  # type: ignore[arg-type]
        ordered=rule.ordered,
        formula=rule.formula,
        source=rule.source,
    )


def resolve(spec: str | Rule) -> Rule:
    """Make a rule from its spec, `"name:option=value,..."`; return a rule as it is.

    Raises:
        UnknownNameError: no such rule or option; the message lists the nearest.

    >>> resolve("stratified:cutoff=0.3,by=rank").options()
    {'by': 'rank', 'cutoff': 0.3, 'cutoff_by': None, 'strata': 50}
    """
    if isinstance(spec, Rule):
        return spec
    if not isinstance(spec, str):
        raise ArgumentError(f"a rule is a name such as 'top' or a Rule, got {spec!r}")
    name, options = parse_spec(spec)
    rule = RULES.get(name)
    known = [f.name for f in fields(rule)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            if not known:
                raise ArgumentError(f"rule {name!r} has no options, got {option!r}")
            raise UnknownNameError(f"option of rule {name!r}", option, known)
    return rule(**options)


def check(
    rule: str | Rule,
    *,
    n: int,
    keep: float | None = None,
    prune: float | None = None,
    direction: Direction | None = None,
    quota: Quota | None = None,
    class_sizes: Mapping[str, int] | None = None,
    has_features: bool = False,
    features_by_fold: bool = False,
    has_confidence: bool = True,
    has_predictions: bool = True,
    align: str | None = None,
) -> int:
    """Refuse before any training what a rule could not do after it, and return how many samples it will keep.

    Args:
        rule: the rule or its spec.
        n: the size of the data set.
        keep: see `choose`.
        prune: see `choose`.
        direction: the direction of the score that training will give.
        quota: see `choose`.
        class_sizes: the size of each class by name, in the order of the labels, empty ones with 0; for the quota.
        has_features: whether the user hands in features of one extractor.
        features_by_fold: whether the features would be recorded by the models of several folds.
        has_confidence: whether the table will carry the mean probability of the label.
        has_predictions: whether the table will carry held-out predictions.
        align: see `choose`.

    Returns:
        The budget.

    Raises:
        BudgetError: a budget, cutoff or quota that cannot be met.
        ArgumentError: an input that the rule needs is missing, or the rule cannot use an argument.

    >>> check("stratified:cutoff=0.3", n=1000, keep=0.8)
    Traceback (most recent call last):
    unseen.errors.BudgetError: stratified with cutoff=0.3 (keep + cutoff must be at most 1) leaves 700 of 1000 \
samples, below the budget of 800
    """
    rule = resolve(rule)
    if keep is None and prune is None and isinstance(quota, Mapping):
        keep = sum(quota.values())
    budget = budget_of(n, keep=keep, prune=prune)
    rule.check(direction)
    check_reading(rule, align, None)
    check_quota(rule, quota)
    _check_needs(rule, has_features, features_by_fold, has_confidence)
    _check_errors(rule, has_predictions)
    if quota is None:
        check_budget(rule, n, budget)
        return budget
    _check_quota(rule, budget, quota, class_sizes, has_predictions)
    return budget


def _check_needs(rule: Rule, has_features: bool, features_by_fold: bool, has_confidence: bool) -> None:
    if "features" in rule.needs and features_by_fold:
        raise ArgumentError(
            f"rule {rule.name} reads features, and those recorded by different fold models do not share a space: give "
            "features= of one extractor that never saw the labels"
        )
    if "features" in rule.needs and not has_features:
        raise ArgumentError(f"rule {rule.name} reads features: give features=, an array (n, d)")
    if "confidence" in rule.needs and not has_confidence:
        raise ArgumentError(f"rule {rule.name} needs the mean probability of the label, which this learner cannot give")


def _check_errors(rule: Rule, has_predictions: bool) -> None:
    if rule.reads_errors and not has_predictions:
        cutoff = rule.options()["cutoff"]
        raise ArgumentError(f"cutoff={cutoff!r} needs held-out predictions, which this learner cannot give")


def _check_quota(
    rule: Rule, budget: int, quota: Quota, class_sizes: Mapping[str, int] | None, has_predictions: bool
) -> None:
    if quota == "error" and not has_predictions:
        raise ArgumentError("quota='error' needs held-out predictions, which this learner cannot give")
    if class_sizes is None:
        return
    present = {name: size for name, size in class_sizes.items() if size}
    sizes = list(present.values())
    counts = quota_counts(
        rule,
        quota,
        budget,
        labels=[label for label, size in enumerate(class_sizes.values()) if size],
        names=list(present),
        sizes=sizes,
        room=[rule.capacity(size) for size in sizes],
        # Errors are not known yet; whether there is room for the budget does not depend on the weights.
        weights=[1] * len(sizes) if quota == "uniform" else sizes,
    )
    for (name, size), count in zip(present.items(), counts, strict=True):
        check_budget(rule, size, count, where=f" of class {name}")
