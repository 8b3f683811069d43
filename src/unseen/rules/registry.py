"""Rules by name, the default rule, and `Choice`: a rule with all its options, checked before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import IntArray
from unseen.core.checks import check_known
from unseen.core.coreset import Coreset
from unseen.core.exposure import Plan
from unseen.core.protocols import Data
from unseen.core.registry import Registry, options_of, parse_spec
from unseen.core.table import Direction, ScoreTable
from unseen.core.words import percent
from unseen.errors import ArgumentError
from unseen.rules.base import Rule, as_array, checked_features, require_features
from unseen.rules.budgets import Quota
from unseen.rules.budgets import budget as budget_of
from unseen.rules.choosing import ClassSize, check_budget, check_quota, check_reading, choose, share_by_quota
from unseen.rules.cover import Herding, KCenter, Moderate
from unseen.rules.neighbours import Dedup, Graph, Infomax
from unseen.rules.order import BestWindow, Top, Window
from unseen.rules.sampling import Beta, Random, Stratified, Trimmed
from unseen.scores.alignment import Tempered
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.streaming import Score
from unseen.scores.two_sided import MEMORIZATION

RULES: Registry[type[Rule]] = Registry("rule", "unseen.rules")
for _rule in (
    Random, Top, Window, BestWindow, Stratified, Beta, Trimmed, Moderate, Herding, KCenter, Graph, Infomax, Dedup,
):  # fmt: skip
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
        options=options_of(rule),
        ordered=rule.ordered,
        formula=rule.formula,
        source=rule.source,
    )


def resolve(spec: str | Rule) -> Rule:
    """Make a rule from its spec, `"name:option=value,..."`; return a rule as it is.

    >>> resolve("stratified:cutoff=0.3,by=rank").options()
    {'by': 'rank', 'cutoff': 0.3, 'cutoff_by': None, 'strata': 50}
    """
    if isinstance(spec, Rule):
        return spec
    if not isinstance(spec, str):
        raise ArgumentError(f"a rule is a name such as 'top' or a Rule, got {spec!r}")
    return _make(*parse_spec(spec))


def spec_of(coreset: Coreset) -> str:
    """Write the rule of a coreset as it is typed, with the options that are not its defaults.

    >>> from unseen.rules import stratified
    >>> spec_of(stratified([0.2, 0.9, 0.4, 0.6], keep=2, direction="harder", by="rank"))
    'stratified:by=rank'
    """
    about = coreset.provenance
    name = str(about.get("rule", "?"))
    usual = options_of(RULES.get(name)) if name in RULES else {}
    options = {key: value for key, value in (about.get("options") or {}).items() if value != usual.get(key, value)}
    if about.get("quota_by") is not None:
        options["quota"] = about["quota_by"]
    written = ",".join(f"{key}={value}" for key, value in options.items())
    return f"{name}:{written}" if written else name


def _make(name: str, options: Mapping[str, Any]) -> Rule:
    rule = RULES.get(name)
    known = options_of(rule)
    if options and not known:
        raise ArgumentError(f"rule {name!r} has no options, got {next(iter(options))!r}")
    check_known(f"option of rule {name!r}", options, known)
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
    has_predictions: bool = True,
    align: str | None = None,
) -> int:
    """Check, before any training, that a rule will be able to choose; return how many samples it will keep.

    The rule (or its spec) is to choose from n samples, by a score of this direction; `keep`, `prune`, `quota` and
    `align` are as in `choose`. For a quota, `class_sizes` holds the size of each class by name, in the order of the
    labels, empty ones with 0. `has_features` says whether the user gives features, and `has_predictions` whether the
    table will carry held-out predictions. Errors are those of `choose`.

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
    require_features(rule, has_features)
    if rule.reads_errors and not has_predictions:
        cutoff = rule.options().get("cutoff")
        reader = f"rule {rule.name}" if cutoff is None else f"{cutoff=}"
        raise ArgumentError(f"{reader} needs held-out predictions, which this learner cannot give")
    if quota == "error" and not has_predictions:
        raise ArgumentError("quota='error' needs held-out predictions, which this learner cannot give")
    if quota is None:
        check_budget(rule, n, budget)
    elif class_sizes is not None:
        classes = [ClassSize(label, name, size) for label, (name, size) in enumerate(class_sizes.items()) if size]
        # Errors are not known yet; whether there is room for the budget does not depend on the weights.
        weights = [1 if quota == "uniform" else one.scored for one in classes]
        share_by_quota(rule, quota, budget, classes, weights)
    return budget


# ---- a rule with all its options -----------------------------------------------------------------------------------

FALLBACK = "random:quota=floored"  # where models are too weak or too unsure to choose
UNEVEN = 1.25  # size of the largest class in mean sizes, from which strata have equal count by default
# Three thresholds of weak models. Below the first, or the second if they were trained for recall, they do not choose
# (`too_weak`); below the third they may choose, but do not doubt labels (`too_weak_to_doubt`).
LEAST_STRENGTH = 0.05  # part of the way from the largest class's share to 1 that held-out accuracy must cover
LEAST_RECALL = 0.1  # part of the way from the mean recall of a constant to 1, of a model with class weights
LEAST_ACCURACY = 0.75  # below this held-out accuracy, a contradicted label is more likely the model's fault
SURENESS = "el2n"  # the score that says how sure models are
MOST_UNSURE = 0.1  # beyond twice the error; label smoothing by a tenth makes a model so much less sure
SHARED = ("labels", "features", "quota", "align", "nan", "mean_confidence")


def default_rule(
    direction: Direction, labels: IntArray | None = None, *, predicts: bool = True, of_target: bool = False
) -> str:
    """Name the default rule: in each class, strata of the score, without some of the hardest samples.

    How many of the hardest are cut off depends on the held-out error and on how much is pruned, see `Stratified`.
    Nothing is cut off for a score of worth, which does not measure difficulty, nor without held-out predictions. For a
    regression target, where strata are worse than random, the rule is `trimmed`: random without outliers.

    Strata have equal width, or equal count where the largest class of `labels`, int (n,), has at least 1.25 times as
    many samples as the mean class. Inside a large class most samples are easy. Strata of equal width draw many of its
    few hard ones, which lie next to the small classes, and models then find fewer samples of these
    (benchmarks/quality/results.md, "Recall of rarer classes").

    >>> default_rule("harder"), default_rule("worth"), default_rule("harder", of_target=True)
    ('stratified:cutoff=auto,quota=floored', 'stratified:quota=floored', 'trimmed')
    >>> default_rule("harder", np.array([0, 0, 0, 1]))
    'stratified:by=rank,cutoff=auto,quota=floored'
    """
    if of_target and direction == "harder":
        return "trimmed"
    by = "" if labels is None or not are_uneven(np.bincount(labels)) else "by=rank,"
    cut = "" if direction == "worth" or not predicts else "cutoff=auto,"
    return f"stratified:{by}{cut}quota=floored"


def default_choice(data: Data, score: Score, options: Mapping[str, Any] | None = None, *, predicts: bool) -> Choice:
    """Return the default rule for a data set, by a score of models that predict classes or do not."""
    rule = default_rule(score.direction, data.labels, predicts=predicts, of_target=data.targets is not None)
    return Choice.of(rule, options)


def are_uneven(sizes: npt.ArrayLike) -> bool:
    """Return whether classes of these sizes, integers (C,), are uneven: the largest has 1.25 times the mean size.

    >>> are_uneven([100, 90]), are_uneven([100, 50]), are_uneven([100, 0])
    (False, True, False)
    """
    counts = np.asarray(sizes)
    return bool(counts.max() >= UNEVEN * counts[counts > 0].mean())


def too_weak(table: ScoreTable) -> str | None:
    """Return the reason why the models behind a table are too weak to choose by, or None if they are strong enough.

    Models are too weak where held-out accuracy covers less than a twentieth of the way from the share of the largest
    class to 1. A model whose accuracy is more than 5 points below that share was trained for recall, by class weights;
    it is too weak where its mean recall covers less than a tenth of the way from that of a constant to 1.
    """
    accuracy, recall = table.accuracy, table.mean_recall
    if table.predictions is None or accuracy is None or recall is None:
        return None
    counts = np.bincount(table.labels[table.predictions >= 0])
    largest, constant = float(counts.max() / counts.sum()), 1 / int(np.count_nonzero(counts))
    if constant == 1 or accuracy - largest >= LEAST_STRENGTH * (1 - largest):
        return None
    if accuracy < largest - LEAST_STRENGTH and recall - constant >= LEAST_RECALL * (1 - constant):
        return None
    return (
        f"held-out models are right on {percent(accuracy)}, {'hardly' if accuracy > largest else 'not'} better than "
        f"predicting the largest class ({percent(largest)}), so their scores are not used"
    )


def too_weak_to_doubt(table: ScoreTable) -> str | None:
    """Say why the models behind a table do not doubt labels: they are too weak, or judged none; None if they do.

    Models are too weak where held-out accuracy is below 75 %, or no higher than the share of the largest class. With
    many classes, models may be strong enough to choose by (see `too_weak`) and still too weak to doubt a label.
    """
    if table.predictions is None:
        return None
    if (accuracy := table.accuracy) is None:
        return "no model judged these samples"
    counts = np.bincount(table.labels[table.predictions >= 0])
    largest = float(counts.max() / counts.sum())
    weak = f"the models are too weak to doubt a label (right on {percent(accuracy)}, "
    if accuracy < LEAST_ACCURACY:
        return f"{weak}{percent(LEAST_ACCURACY, 0)} needed)"
    if accuracy <= largest:
        return f"{weak}no better than predicting the largest class, {percent(largest)})"
    return None


def too_unsure(table: ScoreTable) -> str | None:
    """Return the reason why the models behind a table are too unsure to choose by, or None if they are sure enough.

    A calibrated model gives the true label the probability p_y, and the mean of `1 - p_y` is at most twice its error.
    Models are too unsure where this mean is more than twice the error plus 0.1. The test needs `el2n` alone: `1 - p_y`
    is at least `el2n` divided by the square root of 2, and the mean of that lower bound is what is compared.

    A linear model on many columns, such as words, may be right on 95 % and give the true label a probability of 0.5.
    Then the hardest samples are those with rare words, which are worth learning, and not those with wrong labels.
    Models that were trained on the samples, and tables without `el2n`, are not judged.
    """
    if table.exposure == "in-sample" or SURENESS not in table.values or (accuracy := table.accuracy) is None:
        return None
    least = float(np.nanmean(table.column(SURENESS))) / 2**0.5
    if least <= 2 * (1 - accuracy) + MOST_UNSURE:
        return None
    return (
        f"held-out models are right on {percent(accuracy)}, but give the true label a probability of at most "
        f"{1 - least:.2f} on average: they are too unsure to tell what is hard, so their scores are not used"
    )


def explain_fallback(table: ScoreTable) -> str | None:
    """Return why the default draws at random in place of choosing by a table, or None where it does choose."""
    return too_weak(table) or too_unsure(table)


def hardly_regresses(table: ScoreTable) -> str | None:
    """Return why the models of a target say little, or None if they do not: half of them are no nearer than a constant.

    Medians are compared, since a few wrong targets, which the default rule leaves out, can make R² negative.
    """
    error = table.median_error
    if error is None:
        return None
    constant = table.provenance["target"]["median_square"] ** 0.5
    if error < (1 - LEAST_STRENGTH) * constant:
        return None
    return (
        f"held-out models are off by {error:.3g} or more for half of the samples, "
        f"{'hardly less' if error < constant else 'no less'} than predicting the median of the target ({constant:.3g}),"
        " so their scores say little"
    )


@dataclass(frozen=True, eq=False)
class Choice:
    """A rule and the shared options, by which a coreset is chosen from a table.

    >>> Choice.of("stratified:cutoff=0.1,quota=uniform").shared
    {'quota': 'uniform'}
    >>> Choice.of("top:align=none").shared
    {'align': 'none'}
    """

    rule: Rule  # the rule with its own options
    # The options that all rules share, as `unseen.rules.choosing.choose` takes them.
    shared: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, rule: str | Rule, options: Mapping[str, Any] | None = None) -> Choice:
        """Make a choice from a rule or its spec, with options inside the spec or beside it."""
        given = dict(options or {})
        if isinstance(rule, str):
            name, written = parse_spec(rule)
            if "align" in written:  # the parser reads "none" as None, but here it is a value
                written["align"] = written["align"] or "none"
            rule = _make(name, {key: value for key, value in written.items() if key not in SHARED})
            given = {**written, **given}
        if given.get("features") is not None:
            given["features"] = as_array("features", given["features"])
        rule = resolve(rule)
        own = {name: value for name, value in given.items() if name not in SHARED}
        check_known(f"option of rule {rule.name!r}", own, [*rule.options(), *SHARED])
        changed: Rule = replace(cast(Any, rule), **own)
        return cls(changed, {name: value for name, value in given.items() if name in SHARED})

    @property
    def tempered(self) -> bool:
        """Whether the rule reads scores at the temperature of each fold."""
        return self.shared.get("align") == "temperature"

    def column(self, score: str) -> str:
        """Return the name of the table's column that is read for this score."""
        return score + Tempered.suffix if self.tempered and not score.endswith(Tempered.suffix) else score

    def columns(self, score: str, plan: Plan) -> list[str]:
        """Name the columns of the table that are read: of the score, and the further scores of the rule."""
        further = [name for name in self.rule.reads_further if plan.two_sided or name != MEMORIZATION]
        return [*dict.fromkeys([score, self.column(score), *further])]

    def scores(self, score: Score, plan: Plan, also: Sequence[str | Score], *, classes: bool) -> list[str | Score]:
        """List what is measured: the score, those that the rule reads beside it, further ones, and label issues."""
        further = [name for name in self.columns(score.label, plan)[1:] if name != LABEL_ISSUE]
        return [score, *further, *also, *([LABEL_ISSUE] if classes else [])]

    def check(self, data: Data, *, keep: Any, prune: Any, direction: Direction | None, predicts: bool = True) -> None:
        """Refuse, before a learner that `predicts` classes or not is trained, what could not be chosen after."""
        sizes = np.bincount(data.labels, minlength=len(data.class_names))
        features = self.shared.get("features")
        check(
            self.rule,
            n=len(data),
            keep=keep,
            prune=prune,
            direction=direction,
            quota=self.shared.get("quota"),
            class_sizes=dict(zip(data.class_names, sizes.tolist(), strict=True)),
            has_features=features is not None,
            has_predictions=predicts,
            align="none" if self.tempered else self.shared.get("align"),
        )
        if features is not None:
            checked_features(features, data.ids)

    def coreset(
        self, table: ScoreTable, *, score: str | None, keep: float | None, prune: float | None = None, seed: int
    ) -> Coreset:
        """Choose a coreset from a table; `score` is None only for a rule that reads no score."""
        shared = {**self.shared, "align": "none"} if self.tempered else self.shared
        name = None if score is None else self.column(score)
        if self.tempered and name not in table.values:
            raise ArgumentError(
                f"align='temperature' reads the score {name!r}, which this table lacks; name it beside the others "
                "when you score"
            )
        return choose(self.rule, table, score=name, keep=keep, prune=prune, seed=seed, **shared)


def fallback(quota: Quota | None = None) -> Choice:
    """Return the choice where the default does not choose: random within each class, by the quota if one is named.

    >>> fallback().shared, fallback("uniform").shared
    ({'quota': 'floored'}, {'quota': 'uniform'})
    """
    return Choice.of(FALLBACK, {} if quota is None else {"quota": quota})
