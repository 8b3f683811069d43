"""The base class of rules, the pool of candidates that a rule picks from, and its answer.

A rule is a frozen dataclass whose fields are its options. Its core is `pick(pool, budget)`. What all rules share
(budgets, directions, missing scores, alignment, quotas, the coreset itself) is done around that core by
`unseen.rules.choosing`. A pool is always in the order of the ids. So a stable sort breaks ties by id, and the picks
of a rule cannot depend on the order of the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IdArray, IntArray
from unseen.core.table import Direction, ScoreTable
from unseen.errors import ArgumentError

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
        beside: float64 (m,) each, NaN where unknown: the columns in the rule's `reads_beside` that the table has.
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
    beside: Mapping[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, at: IntArray) -> Pool:
        """Return the pool of the members at these ascending positions."""
        columns = ("ids", "labels", "values", "features", "confidence", "column", "wrong")
        taken = {c: getattr(self, c)[at] for c in columns if getattr(self, c) is not None}
        return replace(self, **taken, beside={name: values[at] for name, values in self.beside.items()})

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
        told: details for the provenance, as JSON, such as the number of samples cut off.
    """

    at: IntArray
    ordered: bool = False
    parts: IntArray | None = None
    part: str = "part"
    told: dict[str, object] = field(default_factory=dict)


class Rule(ABC):
    """A rule chooses the members of a pool to keep, by their scores or features, within a budget.

    A subclass is a frozen dataclass whose fields are the options of the rule.
    """

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
    def reads_beside(self) -> tuple[str, ...]:
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
        # The dataclass decorator is on the subclasses, so the fields are only known at run time.
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {k: "+".join(v.scores) if isinstance(v, ScoreTable) else v for k, v in values.items()}

    @abstractmethod
    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick exactly `budget` members of the pool; 1 <= budget <= capacity(len(pool))."""


def smallest(values: npt.NDArray[Any], count: int) -> IntArray:
    """Return the positions of the `count` smallest values, ascending; ties go to the first.

    The time is linear, because ties matter only at the last value that is taken.

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


def one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse an option whose value is not one of the allowed ones."""
    if value not in allowed:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
