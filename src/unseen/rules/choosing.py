"""`choose`: the steps from scores and a budget to a coreset that all rules share.

The arguments are checked and gathered (`unseen.rules.base`), the budget is shared over the classes where there is a
quota, the rule picks from each part of the pool, and the picks are put together in dataset order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import IntArray
from unseen.core.checks import one_of
from unseen.core.coreset import Coreset
from unseen.core.table import Direction, ScoreTable
from unseen.errors import ArgumentError, BudgetError
from unseen.rules.base import Align, Pick, Pool, Rule, RuleInputs, gather, make_pool, mark_wrong
from unseen.rules.budgets import QUOTAS, Quota, allocate, class_weights, explicit_counts
from unseen.rules.budgets import budget as budget_of

UNSCORED = "no score"


def choose(
    rule: Rule,
    scores: ScoreTable | npt.ArrayLike | int,
    *,
    score: str | None = None,
    keep: float | None = None,
    prune: float | None = None,
    labels: npt.ArrayLike | None = None,
    features: npt.ArrayLike | None = None,
    quota: Quota | None = None,
    seed: int = 0,
    align: Align | None = None,
    nan: Literal["last"] | None = None,
    direction: Direction | None = None,
    mean_confidence: npt.ArrayLike | None = None,
) -> Coreset:
    """Choose a coreset by a rule; every function in `unseen.rules` takes these arguments.

    Args:
        rule: the rule with its options.
        scores: a score table with exactly one score; a bare array (n,) with `direction=`; for rules that read no
            scores also the number of samples. NumPy, torch or list.
        score: which score of a table with several; then options such as `cutoff_by` may name another of them.
        keep: how many to keep: an int is a count, a float in (0, 1] a fraction, rounded half up.
        prune: how many to remove, as a count or a fraction; give exactly one of keep and prune.
        labels: (n,) classes; default: those of the table.
        features: (n, d) finite features of one extractor, for rules that read them.
        quota: None, or how classes share the budget: `"proportional"` to their size; `"floored"`, the same, but no
            class counts as smaller than a fifth of the mean; `"uniform"`; `"error"` (density in proportion to the
            held-out class error, DRoP); or `{class: count}`, which is a budget by itself. The rule then picks inside
            each class. No class drops to 0 unless its count is 0, or a budget by `"floored"` is below the number of
            classes.
        seed: the root seed; what is drawn for a sample depends on (seed, id) alone.
        align: how scores of different folds are aggregated: `"rank"` or `"none"`; default: rank for rules that read
            only the order, none for the others, which refuse rank.
        nan: `"last"`: samples whose score is NaN or infinite are taken last, by id; default: an error.
        direction: what a high value of a bare array means: `"harder"`, `"easier"` or `"worth"`.
        mean_confidence: float (n,) mean probability of the label in [0, 1], where the table does not carry it.

    Raises:
        BudgetError: a budget, quota or cutoff that cannot be met.
        ArgumentError: arguments that contradict each other or the rule.
        DataError: NaN or infinite scores or features.

    >>> from unseen.rules.order import Top
    >>> choose(Top(), [0.1, 0.9, 0.5], keep=2, direction="harder").ids.tolist()
    [1, 2]
    """
    check_reading(rule, align, nan)
    check_quota(rule, quota)
    seed = seeds.checked(seed)
    given = gather(rule, scores, score, labels, features, direction, mean_confidence)
    rule.check(given.direction)
    if keep is None and prune is None and isinstance(quota, Mapping):
        keep = sum(quota.values())
    budget = budget_of(len(given.ids), keep=keep, prune=prune)
    pool, rows, unscored = make_pool(rule, given, seed=seed, align=align, missing_last=nan == "last")
    parts = _split_by_class(rule, given, rows, unscored, quota, budget)
    picked = [_pick_part(rule, pool, part) for part in parts]
    about = {
        "rule": rule.name,
        "options": rule.options(),
        "budget": budget,
        "n": len(given.ids),
        "seed": seed,
        "align": align or (rule.aligns[0] if rule.aligns else None),
        "nan": nan,
        "quota": {part.name: part.budget for part in parts} if quota is not None else None,
        "quota_by": quota if isinstance(quota, str) else None,
        "score": given.score,
        "direction": given.direction,
        "scores": given.table.provenance,
    }
    details = {part.name: pick.found for part, pick in zip(parts, picked, strict=True) if pick.found}
    if details:
        about["found"] = details[None] if quota is None else details
    return _assemble(given, rows, parts, picked, about)


def check_budget(rule: Rule, m: int, budget: int, where: str = "") -> None:
    """Refuse a budget that the rule cannot meet from m samples.

    >>> from unseen.rules.sampling import Stratified
    >>> check_budget(Stratified(cutoff=0.5), 10, 6)
    Traceback (most recent call last):
    unseen.errors.BudgetError: stratified with cutoff=0.5 (keep + cutoff must be at most 1) leaves 5 of 10 samples, \
below the budget of 6
    """
    room = rule.capacity(m)
    if budget > room:
        raise BudgetError(f"{rule.limit()} leaves {room} of {m} samples{where}, below the budget of {budget}")


def check_reading(rule: Rule, align: str | None, nan: str | None) -> None:
    """Refuse values of `align` and `nan` that the rule cannot use."""
    one_of("nan", nan, ("last", None))
    if rule.reads == "nothing":
        for name, value in (("align", align), ("nan", nan)):
            if value is not None:
                raise ArgumentError(f"rule {rule.name} reads no scores, so {name}={value!r} would change nothing")
    elif align == "temperature":
        raise ArgumentError(
            "align='temperature' needs the logits, which a score table does not hold: make the table from "
            "unseen.scores.alignment.align(..., how='temperature') and give align='none'"
        )
    elif align is not None and align not in rule.aligns:
        allowed = " or ".join(map(repr, rule.aligns))
        why = " (it reads distances between scores, which ranks do not keep)" if align == "rank" else ""
        raise ArgumentError(f"rule {rule.name} needs align={allowed}, got {align!r}{why}")


def check_quota(rule: Rule, quota: object) -> None:
    """Refuse a value that is not a quota, and any quota where the rule cannot choose inside one class."""
    if quota is not None and not isinstance(quota, Mapping) and quota not in QUOTAS:
        raise ArgumentError(f"quota must be one of {', '.join(map(repr, QUOTAS))} or {{class: count}}, got {quota!r}")
    if quota is not None and not rule.inside_classes:
        raise ArgumentError(
            f"rule {rule.name} tells classes apart, so it cannot choose inside one, as quota={quota!r} asks; leave the "
            "quota out, or use another rule"
        )


@dataclass(frozen=True)
class ClassSize:
    """One class: its label, its name, and how many samples it has with a score and without."""

    label: object
    name: str
    scored: int
    unscored: int = 0


def share_by_quota(
    rule: Rule, quota: Quota, budget: int, classes: Sequence[ClassSize], weights: Sequence[int | Fraction]
) -> list[int]:
    """Return the budget of each class, by the weights of a named quota; refuse what the rule cannot meet."""
    names, sizes = [c.name for c in classes], [c.scored + c.unscored for c in classes]
    room = [rule.capacity(c.scored) + c.unscored for c in classes]
    if isinstance(quota, Mapping):
        counts = explicit_counts(quota, [c.label for c in classes], names, sizes, budget)
    elif 0 in room and quota != "floored":
        empty = names[room.index(0)]
        raise BudgetError(f"{rule.limit()} leaves nothing of class {empty}, but a quota needs one of each class")
    else:
        # The default rule meets any budget; others refuse one below the number of classes.
        counts = allocate(budget, room, weights, least=0 if quota == "floored" and budget < len(classes) else 1)
    for one, count in zip(classes, counts, strict=True):
        check_budget(rule, one.scored, count - min(one.unscored, count), where=f" of class {one.name}")
    return counts


@dataclass(frozen=True, eq=False)
class _Part:
    """One class (or the whole pool): its members, its samples without a score, and its budget."""

    name: str | None
    members: IntArray | None  # positions in the pool; None: all of it
    unscored: IntArray  # rows
    budget: int


def _split_by_class(
    rule: Rule, given: RuleInputs, rows: IntArray, unscored: IntArray, quota: Quota | None, budget: int
) -> list[_Part]:
    if quota is None:
        check_budget(rule, len(rows), budget - min(len(unscored), budget))
        return [_Part(None, None, unscored, budget)]
    if given.labels is None:
        raise ArgumentError(f"quota={quota!r} needs the classes: give labels=, or a score table")
    classes, codes = np.unique(given.labels, return_inverse=True)
    members, without = _group(codes[rows], len(classes)), _group(codes[unscored], len(classes))
    sizes = [
        ClassSize(label, given.class_name(label), len(inside), len(outside))
        for label, inside, outside in zip(classes.tolist(), members, without, strict=True)
    ]
    counted, wrong = np.bincount(codes).tolist(), mark_wrong(given.table)
    weights = [] if isinstance(quota, Mapping) else class_weights(quota, codes, counted, wrong)
    counts = share_by_quota(rule, quota, budget, sizes, weights)
    return [
        _Part(one.name, inside, unscored[outside], count)
        for one, inside, outside, count in zip(sizes, members, without, counts, strict=True)
    ]


def _group(codes: IntArray, classes: int) -> list[IntArray]:
    ends = np.cumsum(np.bincount(codes, minlength=classes))[:-1]
    return np.split(np.argsort(codes, kind="stable"), ends)


def _pick_part(rule: Rule, pool: Pool, part: _Part) -> Pick:
    """Pick from one part; return positions in the whole pool."""
    inside = pool if part.members is None else pool.take(part.members)
    count = min(part.budget, rule.capacity(len(inside)))
    if not count:
        return Pick(np.empty(0, np.int64), ordered=rule.ordered)
    pick = rule.pick(inside, count)
    taken = np.zeros(len(inside), bool)
    taken[pick.at] = True
    different = np.count_nonzero(taken)
    if not len(pick.at) == different == count:
        raise BudgetError(
            f"rule {rule.name} returned {len(pick.at)} picks, {different} of them different, for a budget of {count}: "
            "a rule must return exactly its budget"
        )
    return pick if part.members is None else replace(pick, at=part.members[pick.at])


def _assemble(
    given: RuleInputs, rows: IntArray, parts: list[_Part], picked: list[Pick], about: dict[str, Any]
) -> Coreset:
    """Make the coreset of the picks of all parts, in dataset order."""
    n = len(given.ids)
    source = np.full(n, -1, np.int32)
    names: list[str] = []
    chosen: list[IntArray] = []
    turns: list[npt.NDArray[np.float64]] = []
    for part, pick in zip(parts, picked, strict=True):
        mine = rows[pick.at]
        last = part.unscored[: part.budget - len(mine)]
        chosen.append(np.concatenate([mine, last]))
        # Wherever the order is cut, each class has given the same share of its quota.
        turns.append((np.arange(part.budget) + 0.5) / max(part.budget, 1))
        codes, words = np.zeros(len(mine), np.int64), [""]
        if pick.parts is not None:
            parts_of, codes = np.unique(pick.parts, return_inverse=True)
            words = [f"{pick.part} {i}" for i in parts_of.tolist()]
        source[mine], source[last] = len(names) + codes, len(names) + len(words)
        words += [UNSCORED] if len(last) else []
        start = "" if part.name is None else f"class {part.name}"
        names += [", ".join(filter(None, (start, word))) for word in words]
    everything = np.concatenate(chosen)
    indices = np.flatnonzero(source >= 0)
    ordered = all(pick.ordered for pick in picked)
    return Coreset(
        ids=given.ids[indices],
        indices=indices,
        n=n,
        order=everything[np.argsort(np.concatenate(turns), kind="stable")] if ordered else None,
        sources=np.array(names)[source[indices]] if any(names) else None,
        provenance=about,
    )


# ---- for rules as functions, such as `unseen.rules.top(table, keep=0.3)` --------------------------------------------

Scores = ScoreTable | npt.ArrayLike
F = TypeVar("F", bound=Callable[..., Coreset])


class Shared(TypedDict, total=False):
    """The keywords of every rule; see `choose`."""

    score: str | None
    keep: float | None
    prune: float | None
    labels: npt.ArrayLike | None
    features: npt.ArrayLike | None
    quota: Quota | None
    seed: int
    align: Align | None
    nan: Literal["last"] | None
    direction: Direction | None
    mean_confidence: npt.ArrayLike | None


def show_shared_keywords(function: F) -> F:
    """Show the shared keywords by name in `help()`; type checkers see them already."""
    own = inspect.signature(function)
    shared = [p for p in inspect.signature(choose).parameters.values() if p.name in Shared.__annotations__]
    options = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = own.replace(parameters=[*options, *shared])  # type: ignore[attr-defined]
    return function
