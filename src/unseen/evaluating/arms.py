"""The arms of an evaluation: the training sets that it compares, and their results.

An `Arm` holds the rows that each replicate trains on, all drawn before any training. An `ArmResult` holds what each
replicate reached, and which replicates are independent draws.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray
from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, BudgetError, DataError, UnknownNameError
from unseen.evaluating.test_set import Exam
from unseen.rules.choosing import choose
from unseen.rules.neighbours import Dedup
from unseen.rules.sampling import Random

Kind = Literal["coreset", "full", "random", "random-stratified", "dedup"]
BASELINES: tuple[Kind, ...] = ("full", "random", "random-stratified", "dedup")


@dataclass(frozen=True, eq=False)
class Arm:
    """One training set of an evaluation, drawn for each replicate."""

    name: str  # unique
    kind: Kind  # `"coreset"`, or the kind of baseline
    rows: tuple[IntArray, ...]  # for each replicate the rows trained on, int64, ascending
    draws: int  # how many different sets there are among `rows`: 1 where it is always the same set
    beside: dict[str, str] = field(default_factory=dict)  # for a coreset, the names of its baselines by kind

    @property
    def file(self) -> str:
        """The name of its files."""
        return file_name(self.name)


def file_name(arm: str) -> str:
    """Return a file name for the name of an arm.

    >>> file_name("random-40"), file_name("my method")
    ('random-40', 'my-method-e50b8fe1')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", arm).lstrip("-.")
    return plain if plain == arm else f"{plain or 'x'}-{blake2b(arm.encode(), digest_size=4).hexdigest()}"


def check_baselines(baselines: Sequence[str], *, features: bool) -> tuple[Kind, ...]:
    """Return the baselines in a fixed order; refuse unknown ones, and `"dedup"` without features.

    >>> check_baselines(["full", "randon"], features=False)
    Traceback (most recent call last):
    unseen.errors.UnknownNameError: unknown baseline 'randon'; did you mean 'random'?
    """
    if isinstance(baselines, str):
        raise ArgumentError(f"baselines must be a list of names, got {baselines!r}; write [{baselines!r}]")
    for name in baselines:
        if name not in BASELINES:
            raise UnknownNameError("baseline", name, BASELINES)
    if "dedup" in baselines and not features:
        raise ArgumentError("the baseline 'dedup' drops near-copies by features; give features=, an array (n, d)")
    return tuple(kind for kind in BASELINES if kind in baselines)


def make_arms(
    exam: Exam,
    coresets: Mapping[str, Sequence[Coreset]],
    baselines: Sequence[Kind],
    *,
    replicates: int,
    seed: int,
    features: npt.NDArray[Any] | None = None,
) -> list[Arm]:
    """Make every arm: the whole pool, each coreset, and the baselines of its budget.

    Coresets of equal budgets share their baselines. Replicate r of a name with R coresets trains on its coreset number
    r mod R. Random baselines are drawn anew for each replicate.

    Args:
        exam: the rows that may be trained on.
        coresets: name to the coresets of one method, which differ in their seed only.
        baselines: the result of `check_baselines`.
        replicates: how many trainings of each arm.
        seed: the root seed.
        features: (n, d) of the training set, for `"dedup"`.

    Raises:
        BudgetError: a budget is below the number of classes, and a class-stratified draw is asked for.
        DataError: an arm has fewer than two classes to train on.
    """
    coreset_arms = [_coreset_arm(name, given, exam, replicates) for name, given in coresets.items()]
    arms = [Arm("full", "full", (exam.pool,) * replicates, 1)] if "full" in baselines else []
    drawn: dict[tuple[str, tuple[int, ...]], Arm] = {}
    kinds = [kind for kind in baselines if kind != "full"]
    several = len({tuple(map(len, arm.rows)) for arm in coreset_arms}) > 1
    for arm in coreset_arms:
        sizes = tuple(map(len, arm.rows))
        arms.append(arm)
        if "full" in baselines:
            arm.beside["full"] = "full"
        for kind in kinds:
            if (kind, sizes) not in drawn:
                name = f"{kind}-{'-'.join(map(str, dict.fromkeys(sizes)))}" if several else kind
                drawn[kind, sizes] = _baseline_arm(name, kind, sizes, exam, seed, features)
            arm.beside[kind] = drawn[kind, sizes].name
    arms += drawn.values()
    _check_classes(arms, exam)
    return arms


def _coreset_arm(name: str, given: Sequence[Coreset], exam: Exam, replicates: int) -> Arm:
    inside = [np.intersect1d(coreset.indices, exam.pool, assume_unique=True) for coreset in given]
    if not all(map(len, inside)):
        raise DataError(f"coreset {name!r} has nothing left to train on: all of it is in the probe split")
    return Arm(name, "coreset", tuple(inside[r % len(inside)] for r in range(replicates)), len(inside))


def _baseline_arm(
    name: str, kind: Kind, sizes: tuple[int, ...], exam: Exam, seed: int, features: npt.NDArray[Any] | None
) -> Arm:
    data, pool = exam.data, exam.pool
    table = ScoreTable.unscored(data.ids[pool], data.labels[pool], data.class_names)
    if kind == "dedup":
        assert features is not None
        own = features[pool]
        kept = {size: pool[choose(Dedup(), table, keep=size, features=own).indices] for size in sorted(set(sizes))}
        return Arm(name, kind, tuple(kept[size] for size in sizes), 1)
    classes = len(np.unique(data.labels[pool]))
    if kind == "random-stratified" and min(sizes) < classes:
        raise BudgetError(
            f"random-stratified draws at least one of each class, but a coreset of {min(sizes)} is below the {classes} "
            "classes; leave 'random-stratified' out of the baselines"
        )
    quota: Any = "proportional" if kind == "random-stratified" else None
    draws = [
        choose(Random(), table, keep=size, quota=quota, seed=seeds.derive(seed, "baseline", kind, r))
        for r, size in enumerate(sizes)
    ]
    return Arm(name, kind, tuple(pool[draw.indices] for draw in draws), len(draws))


def _check_classes(arms: Sequence[Arm], exam: Exam) -> None:
    for arm in arms:
        for rows in arm.rows:
            if len(np.unique(exam.data.labels[rows])) < 2:
                raise DataError(
                    f"arm {arm.name!r} would train on {len(rows)} samples of one class; a learner needs 2 or more"
                )


@dataclass(frozen=True, eq=False)
class ArmResult:
    """The results of the trainings of one arm, after their last epoch; arrays have one entry a replicate."""

    name: str  # the name of the arm
    kind: Kind  # `"coreset"`, `"full"`, `"random"`, `"random-stratified"` or `"dedup"`
    draws: int  # how many different training sets there are among the replicates
    kept: IntArray  # int64 (R,) samples trained on
    epochs: IntArray  # int64 (R,); 0 for a learner without epochs
    steps: IntArray  # int64 (R,) optimiser steps; 0 for a learner without steps
    samples_seen: IntArray  # int64 (R,) samples passed over, epochs counted
    accuracy: FloatArray  # float64 (R,) share of the test samples predicted rightly
    by_class: FloatArray  # float64 (R, C) the same for each class; NaN where the test set holds no sample of it
    error: float  # standard error of the mean accuracy, as far as the test set is a random sample
    beside: dict[str, str] = field(default_factory=dict)  # for a coreset, its baselines: kind to name
    # The same error of the difference to each baseline, by kind; for a baseline, of the difference to the full data.
    beside_error: dict[str, float] = field(default_factory=dict)
    # The same error for each of the C classes, by kind; NaN where the test set holds fewer than two samples of it.
    class_error: dict[str, list[float]] = field(default_factory=dict)


def average_by_draw(values: FloatArray, draws: int) -> FloatArray:
    """Average over the replicates that share a training set, if there are several sets and fewer than R.

    Args:
        values: float64 (R, ...), one entry a replicate.
        draws: the number of different training sets; replicate r has the set r mod `draws`.

    Returns:
        float64 (draws, ...), or `values` unchanged.
    """
    if not 1 < draws < len(values):
        return values
    return np.stack([values[draw::draws].mean(axis=0) for draw in range(draws)])
