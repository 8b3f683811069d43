"""A choice: a rule with all its options, checked before training and applied to the table after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from unseen.core.coreset import Coreset
from unseen.core.exposure import Plan
from unseen.core.observation import Direction
from unseen.core.protocols import Data
from unseen.core.registry import parse_spec
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, UnknownNameError
from unseen.rules.base import Rule
from unseen.rules.choosing import choose
from unseen.rules.inputs import as_array, checked_features
from unseen.rules.registry import check as check_rule
from unseen.rules.registry import resolve as resolve_rule
from unseen.scores.alignment import SUFFIX
from unseen.scores.two_sided import MEMORIZATION

FALLBACK = "random:quota=floored"  # where models are too weak to choose
LEAST_STRENGTH = 0.05  # part of the way from the largest class's share to 1 that held-out accuracy must cover
SHARED = ("labels", "features", "quota", "align", "nan", "mean_confidence")


def default_rule(direction: Direction, *, predicts: bool = True) -> str:
    """Name the default rule: in each class, strata of the score, without some of the hardest samples.

    How many of the hardest are cut off depends on the held-out error and on how much is pruned, see
    `unseen.rules.Stratified`. Nothing is cut off for a score of worth, which does not measure difficulty, nor without
    held-out predictions, because then there is no error.

    >>> default_rule("harder"), default_rule("worth")
    ('stratified:cutoff=auto,quota=floored', 'stratified:quota=floored')
    """
    cut = "" if direction == "worth" or not predicts else "cutoff=auto,"
    return f"stratified:{cut}quota=floored"


def too_weak(table: ScoreTable) -> str | None:
    """Return the reason why the models behind a table are too weak to choose by, or None if they are strong enough.

    Models are too weak where held-out accuracy covers less than a twentieth of the way from the share of the largest
    class to 1.
    """
    if table.predictions is None or not (judged := table.predictions >= 0).any():
        return None
    labels = table.labels[judged]
    accuracy = float((table.predictions[judged] == labels).mean())
    largest = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    if largest == 1 or accuracy - largest >= LEAST_STRENGTH * (1 - largest):
        return None
    return (
        f"held-out models are right on {accuracy:.1%}, hardly better than naming the largest class ({largest:.1%}), so "
        "their scores say nothing"
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
        """Make a choice from a rule or its spec, with options inside the spec or beside it.

        Raises:
            UnknownNameError: no such rule or option; the message lists the nearest.
        """
        given = dict(options or {})
        if isinstance(rule, str):
            name, written = parse_spec(rule)
            shared = {key: value for key, value in written.items() if key in SHARED}
            if "align" in shared:  # the parser reads "none" as None, but here it is a value
                shared["align"] = shared["align"] or "none"
            own = ",".join(f"{key}={value}" for key, value in written.items() if key not in SHARED)
            rule, given = f"{name}:{own}" if own else name, {**shared, **given}
        if given.get("features") is not None:
            given["features"] = as_array("features", given["features"])
        resolved = resolve_rule(rule)
        own_options = {name: value for name, value in given.items() if name not in SHARED}
        for name in own_options:
            if name not in resolved.options():
                raise UnknownNameError(f"option of rule {resolved.name!r}", name, [*resolved.options(), *SHARED])
        if own_options:
            resolved = replace(cast(Any, resolved), **own_options)
        return cls(resolved, {name: value for name, value in given.items() if name in SHARED})

    @property
    def tempered(self) -> bool:
        """Whether the rule reads scores at the temperature of each fold."""
        return self.shared.get("align") == "temperature"

    def column(self, score: str) -> str:
        """Return the name of the table's column that is read for this score."""
        return score + SUFFIX if self.tempered and not score.endswith(SUFFIX) else score

    def columns(self, score: str, plan: Plan) -> list[str]:
        """Name the columns of the table that are read: of the score, and the further scores of the rule."""
        beside = [name for name in self.rule.reads_beside if plan.two_sided or name != MEMORIZATION]
        return [*dict.fromkeys([score, self.column(score), *beside])]

    def check(self, data: Data, *, keep: Any, prune: Any, direction: Direction | None, predicts: bool = True) -> None:
        """Refuse before any training a choice that could not be made after it.

        Args:
            data: the data set.
            keep: how many to keep, or
            prune: how many to remove.
            direction: the direction of the score that training will give.
            predicts: whether the learner predicts classes.
        """
        sizes = np.bincount(data.labels, minlength=len(data.class_names))
        features = self.shared.get("features")
        check_rule(
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
