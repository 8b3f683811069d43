"""The base class of rules, the pool of candidates that a rule picks from, and its answer.

The core of a rule is `pick(pool, budget)`. What all rules share (budgets, directions, missing scores, alignment,
quotas, the coreset itself) is done around that core by `unseen.rules.choosing`. `gather` checks the inputs of a rule
against each other, and `make_pool` makes the pool of them: scores are oriented (higher = harder or worthier),
aggregated over folds and repeats, and sorted by id; missing scores are refused or set apart. Since a pool is in the
order of the ids, a stable sort breaks ties by id, and the picks of a rule cannot depend on the order of the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IdArray, IntArray, as_numpy, refuse_sparse, sort_by_id
from unseen.core.checks import is_integer, one_of
from unseen.core.registry import options_of
from unseen.core.table import DIRECTIONS, Direction, ScoreTable
from unseen.errors import ArgumentError, DataError, some
from unseen.scores import alignment

Align: TypeAlias = Literal["rank", "none"]
Reads: TypeAlias = Literal["nothing", "order", "values"]


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates, in ascending order of their ids.

    Args:
        ids: (m,) integer or text, ascending.
        seed: the root seed.
        labels: int64 (m,) class of each sample, or None where no labels were given.
        values: float64 (m,) finite, higher = harder (or worthier); scores of the opposite direction are negated.
            None for rules that read no scores.
        direction: the direction of the score before it was negated, or None.
        features: float32 or float64 (m, d), or None.
        confidence: float64 (m,) mean probability of the label, or None.
        column: float64 (m,) the second score that a rule named in its options, oriented like `values`, or None.
        wrong: float64 (m,) 1 where the held-out prediction was wrong, 0 where right, NaN where there was none; or None.
        further: float64 (m,) each, NaN where unknown: the columns in the rule's `reads_further` that the table has.
        of_target: whether the labels are bins of a regression target, from the lowest to the highest.
    """

    ids: IdArray
    seed: int = 0
    labels: IntArray | None = None
    values: FloatArray | None = None
    direction: Direction | None = None
    features: npt.NDArray[Any] | None = None
    confidence: FloatArray | None = None
    column: FloatArray | None = None
    wrong: FloatArray | None = None
    further: Mapping[str, FloatArray] = field(default_factory=dict)
    of_target: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, at: IntArray) -> Pool:
        """Return the pool of the members at these ascending positions."""
        columns = ("ids", "labels", "values", "features", "confidence", "column", "wrong")
        taken = {c: getattr(self, c)[at] for c in columns if getattr(self, c) is not None}
        return replace(self, **taken, further={name: values[at] for name, values in self.further.items()})

    def keys(self, *purpose: str | int) -> npt.NDArray[np.uint64]:
        """Return a pseudo-random uint64 key for each member, a function of (seed, purpose, id) alone."""
        return seeds.keys(self.seed, self.ids, "rule", *purpose)

    def need(self, what: str) -> npt.NDArray[Any]:
        """Return a column that the rule needs; raise an error where the pool has none."""
        column: npt.NDArray[Any] | None = getattr(self, what)
        if column is None:
            raise ArgumentError(f"this rule needs {what}, but the pool has none")
        return column


@dataclass(frozen=True, eq=False)
class Pick:
    """The members of a pool that a rule chose.

    Args:
        at: int64 (budget,) unique positions in the pool, in the order of picking if `ordered`.
        ordered: whether the order of picking has a meaning.
        parts: int64 (budget,) the part of the pool that each pick came from, or None.
        part: the word for a part, such as `"stratum"`.
        found: details for the provenance (its `found`), as JSON, such as the number of samples cut off.
    """

    at: IntArray
    ordered: bool = False
    parts: IntArray | None = None
    part: str = "part"
    found: dict[str, object] = field(default_factory=dict)


class Rule(ABC):
    """A rule chooses the members of a pool to keep. A subclass is a frozen dataclass of the rule's options."""

    name: ClassVar[str]
    reads: ClassVar[Reads]  # of the scores: "nothing", their "order" or their "values"
    needs: ClassVar[frozenset[str]] = frozenset()  # of "labels", "features", "confidence"
    ordered: ClassVar[bool] = False  # whether its picks have an order
    inside_classes: ClassVar[bool] = True  # whether it can choose inside one class, as a quota asks
    directions: ClassVar[frozenset[Direction]] = frozenset({"harder", "easier", "worth"})
    formula: ClassVar[str]
    source: ClassVar[str]

    @property
    def aligns(self) -> tuple[Align, ...]:
        """The ways to aggregate folds and repeats that the rule allows, the default first."""
        if self.reads == "nothing":
            return ()
        return ("rank", "none") if self.reads == "order" else ("none",)

    @property
    def column(self) -> ScoreTable | str | None:
        """The second score that the rule reads, if its options name one."""
        return None

    @property
    def reads_errors(self) -> bool:
        """Whether the rule needs to know which held-out predictions were wrong."""
        return False

    @property
    def reads_further(self) -> tuple[str, ...]:
        """The names of further scores that the rule reads where the table has them."""
        return ()

    def capacity(self, m: int) -> int:
        """Return the largest budget that the rule can meet from a pool of m members."""
        return m

    def limit(self) -> str:
        """Name the reason why the capacity is below the size of the pool, for messages."""
        return f"rule {self.name}"

    def check(self, direction: Direction | None) -> None:
        """Refuse a score whose direction the rule cannot use; called before any training."""
        if self.reads != "nothing" and direction is not None and direction not in self.directions:
            allowed = " or ".join(sorted(self.directions))
            raise ArgumentError(f"rule {self.name} needs a score whose direction is {allowed}, got {direction!r}")

    def options(self) -> dict[str, object]:
        """Return the options of the rule as JSON, for the provenance."""
        values = {name: getattr(self, name) for name in options_of(self)}
        return {k: "+".join(v.scores) if isinstance(v, ScoreTable) else v for k, v in values.items()}

    @abstractmethod
    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick exactly `budget` members of the pool; 1 <= budget <= capacity(len(pool))."""


def smallest(values: npt.NDArray[Any], count: int) -> IntArray:
    """Return the positions of the `count` smallest values, ascending, in linear time; ties go to the first.

    >>> smallest(np.array([3, 1, 2, 1, 2]), 3).tolist()
    [1, 2, 3]
    """
    if count <= 0:
        return np.empty(0, np.int64)
    if count >= len(values):
        return np.arange(len(values))
    cut = np.partition(values, count - 1)[count - 1]
    chosen = values < cut
    missing = count - np.count_nonzero(chosen)
    chosen[np.flatnonzero(values == cut)[:missing]] = True
    return np.flatnonzero(chosen)


def largest(values: FloatArray, count: int) -> IntArray:
    """Return the positions of the `count` largest values, ascending; ties go to the first.

    >>> largest(np.array([3.0, 1.0, 2.0, 3.0, 2.0]), 3).tolist()
    [0, 2, 3]
    """
    return smallest(-values, count)


def largest_first(values: FloatArray, count: int) -> IntArray:
    """Return the positions of the `count` largest values, the largest first; ties in their order.

    >>> largest_first(np.array([3.0, 1.0, 2.0, 3.0, 2.0]), 3).tolist()
    [0, 3, 2]
    """
    at = largest(values, count)
    return at[np.argsort(-values[at], kind="stable")]


# ---- from the inputs of a rule to its pool --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RuleInputs:
    """The checked inputs of a rule; all arrays are in dataset order."""

    table: ScoreTable  # the scores that were given, also those of an array; without scores where only a number was
    score: str | None  # the name of the one score, or None where the rule reads no score
    labels: npt.NDArray[Any] | None  # (n,) or None
    features: npt.NDArray[Any] | None  # (n, d) or None
    confidence: FloatArray | None  # float64 (n,) or None
    second: ScoreTable | None  # the table with the one second score that the rule named, or None
    # Float64 (n,) each: the further scores that the rule reads where the table has them.
    further: dict[str, FloatArray]

    @property
    def ids(self) -> IdArray:
        """The (n,) sample ids."""
        return self.table.ids

    @property
    def direction(self) -> Direction | None:
        """What a high score means; None where the rule reads no score."""
        return None if self.score is None else self.table.directions[self.score]

    def class_name(self, label: object) -> str:
        """Return the name of a class if the table has one, else the label as text."""
        names = self.table.class_names
        return names[label] if isinstance(label, int) and 0 <= label < len(names) else str(label)


def as_array(name: str, value: Any, *, text: bool = False) -> npt.NDArray[Any]:
    """Return a NumPy array of numbers (or text) from any array-like; copy a torch tensor to the CPU."""
    refuse_sparse(value, name)
    array = as_numpy(value, name)
    if array.dtype.kind not in ("biufUS" if text else "biuf"):
        kind = "numbers or text" if text else "numbers"
        raise ArgumentError(f"{name} must be an array of {kind}, got dtype {array.dtype}")
    return array


def gather(
    rule: Rule,
    scores: ScoreTable | npt.ArrayLike | int,
    score: str | None,
    labels: npt.ArrayLike | None,
    features: npt.ArrayLike | None,
    direction: str | None,
    mean_confidence: npt.ArrayLike | None,
) -> RuleInputs:
    """Check the arguments of `choose` against each other."""
    second = _find_second_table(rule, scores)
    further = {}
    if isinstance(scores, ScoreTable):
        further = {name: scores.column(name) for name in rule.reads_further if name in scores.values}
    if score is not None:
        if not isinstance(scores, ScoreTable):
            raise ArgumentError(f"score={score!r} names a score of a table, but scores is not a table")
        scores = scores[score]
    table = _make_table(rule, scores, direction)
    own_labels = table.labels if table is scores else None
    if mean_confidence is not None and table.mean_confidence is not None:
        raise ArgumentError("mean_confidence= was given, but the table carries its own; leave it out")
    confidence = mean_confidence if table.mean_confidence is None else table.mean_confidence
    given = RuleInputs(
        table=table,
        score=_only_score(rule, table),
        labels=own_labels if labels is None else _check_labels(labels, table.ids),
        features=None if features is None else checked_features(features, table.ids),
        confidence=None if confidence is None else _check_confidence(confidence, len(table)),
        second=second,
        further=further,
    )
    require_features(rule, given.features is not None)
    if "labels" in rule.needs and given.labels is None:
        raise ArgumentError(f"rule {rule.name} needs the classes: give labels=, or a score table")
    if rule.reads_errors and table.predictions is None:
        cutoff = rule.options().get("cutoff")
        reader, remedy = (f" with {cutoff=}", ", or a cutoff in [0, 1)") if cutoff is not None else ("", "")
        raise ArgumentError(
            f"rule {rule.name}{reader} needs held-out predictions: give a score table that carries them{remedy}"
        )
    if "confidence" in rule.needs and given.confidence is None:
        raise ArgumentError(
            f"rule {rule.name} needs the mean probability of the label: give mean_confidence=, "
            "or a score table that carries it"
        )
    return given


def require_features(rule: Rule, given: bool) -> None:
    """Refuse to go on without the features that the rule reads."""
    if "features" in rule.needs and not given:
        raise ArgumentError(f"rule {rule.name} reads features: give features=, an array (n, d)")


def make_pool(
    rule: Rule, given: RuleInputs, *, seed: int, align: Align | None, missing_last: bool
) -> tuple[Pool, IntArray, IntArray]:
    """Return the pool of candidates, their rows, and the rows of samples without a score, all sorted by id."""
    rows = sort_by_id(given.ids)
    values = column = None
    finite = np.ones(len(given.ids), bool)
    if given.score is not None:
        finite = _find_finite(given, rule, missing_last)
        values = _orient(given.table, given.score, align or rule.aligns[0], finite)
    if given.second is not None:
        column = _orient_second(rule, given.second, given, finite)
    kept = rows if finite.all() else rows[finite[rows]]
    at = slice(None) if np.array_equal(kept, np.arange(len(given.ids))) else kept  # a slice copies nothing

    def arrange(array: npt.NDArray[Any] | None) -> Any:
        if array is None:
            return None
        own = array[at]
        own.flags.writeable = False  # a rule must not write into the user's arrays
        return own

    pool = Pool(
        ids=arrange(given.ids),
        seed=seed,
        labels=arrange(given.labels),
        values=arrange(values),
        direction=given.direction,
        features=arrange(given.features) if "features" in rule.needs else None,
        confidence=arrange(given.confidence) if "confidence" in rule.needs else None,
        column=arrange(column),
        wrong=arrange(mark_wrong(given.table)) if rule.reads_errors else None,
        further={name: arrange(values) for name, values in given.further.items()},
        of_target="target" in given.table.provenance,
    )
    return pool, kept, rows[~finite[rows]]


def _make_table(rule: Rule, scores: ScoreTable | npt.ArrayLike | int, direction: str | None) -> ScoreTable:
    """Return the table itself, or make one of an array of scores or of the number of samples."""
    if isinstance(scores, ScoreTable):
        if direction is not None:
            raise ArgumentError(f"direction={direction!r} was given, but a score table carries its own; leave it out")
        return scores
    if np.ndim(as_array("scores", scores)) == 0:
        if rule.reads != "nothing":
            raise ArgumentError(f"rule {rule.name} needs a score of every sample, got {scores!r}")
        if not is_integer(scores) or scores < 1:
            raise ArgumentError(f"scores must be a score table, an array or the number of samples, got {scores!r}")
        return ScoreTable.unscored(np.arange(scores), np.zeros(scores, np.int64), ())
    if rule.reads == "nothing":
        direction = direction or "harder"
    if direction is None:
        raise ArgumentError(
            f"rule {rule.name} never guesses what a high score means: give direction='harder', 'easier' or 'worth' "
            "with a bare array"
        )
    array = as_array("scores", scores)
    if array.ndim != 1:
        raise ArgumentError(f"scores must have shape (n,), got {array.shape}; for repeats use ScoreTable.of")
    one_of("direction", direction, DIRECTIONS)
    return ScoreTable.of("scores", array, direction=direction)  # type: ignore[arg-type]


def _find_second_table(rule: Rule, scores: object) -> ScoreTable | None:
    column = rule.column
    if not isinstance(column, str):
        return column
    if isinstance(scores, ScoreTable) and column in scores.scores:
        return scores[column]
    raise ArgumentError(
        f"rule {rule.name} names the score {column!r}, which its scores do not hold; pass table[{column!r}] itself"
    )


def _only_score(rule: Rule, table: ScoreTable) -> str | None:
    if rule.reads == "nothing":
        return None
    if len(table.scores) != 1:
        example = f"table[{table.scores[0]!r}]" if table.scores else "a table with a score"
        raise ArgumentError(
            f"rule {rule.name} reads one score, but this table holds {len(table.scores)} "
            f"({', '.join(table.scores)}); pass {example}"
        )
    return table.scores[0]


def mark_wrong(table: ScoreTable) -> FloatArray | None:
    """Return 1 where the held-out prediction was wrong, 0 where right, NaN where there was none; None without any."""
    if table.predictions is None:
        return None
    wrong: FloatArray = np.where(table.predictions < 0, np.nan, table.predictions != table.labels)
    return wrong


def _check_labels(value: npt.ArrayLike, ids: IdArray) -> npt.NDArray[Any]:
    labels = _check_column("labels", value, len(ids), text=True)
    missing = labels != labels
    if missing.any():
        raise DataError(f"labels are NaN for ids {some(ids[missing].tolist())}; every sample needs a class")
    return labels


def _check_column(name: str, value: npt.ArrayLike, n: int, *, text: bool = False) -> npt.NDArray[Any]:
    array = as_array(name, value, text=text)
    if array.shape != (n,):
        raise ArgumentError(f"{name} must have shape ({n},), one entry a sample, got {array.shape}")
    return array


def _check_confidence(value: npt.ArrayLike, n: int) -> FloatArray:
    confidence: FloatArray = _check_column("mean_confidence", value, n).astype(np.float64, copy=False)
    outside = (confidence < 0) | (confidence > 1)  # NaN is a missing value, not a value outside the range
    if outside.any():
        rows = np.flatnonzero(outside).tolist()
        raise ArgumentError(f"mean_confidence must be in [0, 1], but is not in rows {some(rows)}")
    return confidence


def checked_features(value: npt.ArrayLike, ids: IdArray) -> npt.NDArray[Any]:
    """Return the features as floats; refuse them unless they are (n, d) and finite."""
    features = as_array("features", value)
    if features.ndim == 3:
        raise ArgumentError(
            f"features must have shape (n, d), got {features.shape}: features recorded by different fold models do "
            "not share a space, so no distance between them means anything; give those of one extractor"
        )
    if features.ndim != 2 or len(features) != len(ids) or not features.shape[1]:
        raise ArgumentError(f"features must be numbers of shape ({len(ids)}, d), got {features.dtype} {features.shape}")
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float32)
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise DataError(f"features must be finite, but are NaN or infinite for ids {some(ids[bad].tolist())}")
    return features


def _find_finite(given: RuleInputs, rule: Rule, missing_last: bool) -> npt.NDArray[np.bool_]:
    assert given.score is not None
    finite = np.isfinite(given.table.column(given.score))
    if "confidence" in rule.needs and given.confidence is not None:
        finite &= np.isfinite(given.confidence)
    if not finite.all() and not missing_last:
        bad = given.ids[~finite]
        raise DataError(
            f"score {given.score!r} is NaN or infinite for {len(bad)} of {len(finite)} samples: ids "
            f"{some(bad.tolist())}; nan='last' takes them only when all others are taken"
        )
    return finite


def _orient(table: ScoreTable, score: str, align: Align, finite: npt.NDArray[np.bool_]) -> FloatArray:
    """Aggregate a score over folds and repeats; higher = harder (or worthier), NaN where not finite."""
    values, folds = table.values[score], table.folds
    aggregated = np.full(len(table), np.nan)
    one_scale = len(values) == 1 and (len(folds) > 1 or len(folds[0]) == 0 or bool((folds[0] == folds[0][0]).all()))
    if align == "none" or one_scale:
        # On a single scale the ranks have the order of the values, so ranking would change no choice.
        aggregated = table.column(score)
    else:
        # A repeat that did not score a sample has NaN there; the mean is over the others, as in `column`.
        aggregated[finite] = np.nanmean(alignment.align(values[:, finite], folds[:, finite], how="rank"), axis=0)
    return -aggregated if table.directions[score] == "easier" else aggregated


def _orient_second(rule: Rule, table: ScoreTable, given: RuleInputs, finite: npt.NDArray[np.bool_]) -> FloatArray:
    name = _only_score(rule, table)
    assert name is not None
    if not np.array_equal(table.ids, given.ids):
        raise ArgumentError(f"rule {rule.name}: the second score {name!r} must be of the same ids in the same order")
    if table.directions[name] == "worth":
        raise ArgumentError(f"rule {rule.name}: {name!r} measures worth, not difficulty; give a difficulty column")
    bad = finite & ~np.isfinite(table.column(name))
    if bad.any():
        raise DataError(f"score {name!r} is NaN or infinite for ids {some(given.ids[bad].tolist())}")
    return _orient(table, name, "rank", finite)
