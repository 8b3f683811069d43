"""Budgets and quotas: how many samples are kept, and how many of each class.

Fractions become counts only here, so this is the one place that rounds. Quotas share a budget over the classes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from numbers import Integral
from typing import Literal, TypeAlias

import numpy as np

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import is_integer, is_number
from unseen.errors import ArgumentError, BudgetError, some


def budget(n: int, *, keep: float | None = None, prune: float | None = None) -> int:
    """Return the number of samples kept, by exactly one of `keep` and `prune`.

    An int is a count, a float a fraction of n; fractions are multiplied in decimal arithmetic and rounded half up.
    `prune=p` is `keep=1 - p` in decimals. `keep=1` is one sample, `keep=1.0` all of them. None or both given, and a
    budget of 0 or above n, are a `BudgetError`.

    >>> budget(50, keep=0.29), budget(50_000, prune=0.9), budget(50, keep=1), budget(50, keep=1.0)
    (15, 5000, 1, 50)
    """
    if n < 1:
        raise BudgetError("there are no samples to choose from")
    if (keep is None) == (prune is None):
        given = "none" if keep is None else f"keep={keep!r} and prune={prune!r}"
        raise BudgetError(f"give exactly one of keep= and prune=, got {given}")
    name, value = ("keep", keep) if prune is None else ("prune", prune)
    if not is_number(value):
        raise BudgetError(f"{name} must be an int (a count) or a float (a fraction), got {value!r}")
    if isinstance(value, Integral):
        kept = int(value) if name == "keep" else n - int(value)
        if not 1 <= kept <= n:
            allowed = f"1..{n}" if name == "keep" else f"0..{n - 1}"
            raise BudgetError(f"{name} as a count must be in {allowed} for {n} samples, got {int(value)}")
        return kept
    fraction = float(value)
    if not (0 < fraction <= 1 if name == "keep" else 0 <= fraction < 1):
        allowed = "(0, 1]" if name == "keep" else "[0, 1)"
        raise BudgetError(f"{name} as a fraction must be in {allowed}, got {fraction!r}; a count must be an int")
    part = _as_decimal(value) if name == "keep" else 1 - _as_decimal(value)
    kept = int((part * n).to_integral_value(ROUND_HALF_UP))
    if kept < 1:
        raise BudgetError(f"{name}={fraction!r} of {n} samples keeps 0; at least one must stay")
    return kept


def amounts(*, keep: float | str | None, prune: float | str | None) -> dict[str, float | None]:
    """Turn `keep` and `prune` into numbers; each may be text, such as `"70%"` for the fraction 0.7.

    >>> amounts(keep="70%", prune=None)
    {'keep': 0.7, 'prune': None}
    """
    return {"keep": _parse_number("keep", keep), "prune": _parse_number("prune", prune)}


def _parse_number(name: str, value: float | str | None) -> float | None:
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        if text.endswith("%"):
            return float(Decimal(text[:-1].strip()) / 100)
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except (InvalidOperation, ValueError):
        raise BudgetError(f"{name} must be a count (700), a fraction (0.7) or a share ('70%'), got {value!r}") from None


def budget_line(n: int, *, keep: float | None = None, prune: float | None = None) -> str:
    """Describe the budget in words, as counts, with a hint where `keep` is the int 1.

    >>> budget_line(50_000, prune=0.3)
    'keeping 35,000 of 50,000 samples, pruning 15,000'
    >>> budget_line(50_000, keep=1)
    'keeping 1 of 50,000 samples, pruning 49,999 (1 is a count; 1.0 would keep all)'
    """
    kept = budget(n, keep=keep, prune=prune)
    counted_one = isinstance(keep, Integral) and keep == 1
    hint = " (1 is a count; 1.0 would keep all)" if counted_one else ""
    return f"keeping {kept:,} of {n:,} samples, pruning {n - kept:,}{hint}"


def share(fraction: float, n: int) -> int:
    """Return a fraction of n as a count, rounded down: the part that is set aside, such as a cutoff.

    The product is decimal, and rounded down, so that a cutoff of c and a budget of keep <= 1 - c always fit in n.

    >>> share(0.3, 10), share(0.29, 50)
    (3, 14)
    """
    return int((_as_decimal(fraction) * n).to_integral_value(ROUND_FLOOR))


def _as_decimal(value: float | Fraction) -> Decimal:
    """Return the shortest decimal that means this float, of NumPy's floats too: 0.29, not 0.28999..."""
    return Decimal(value.numerator) / value.denominator if isinstance(value, Fraction) else Decimal(str(value))


def check_share(name: str, value: float) -> None:
    """Refuse an option that is not a fraction in [0, 1)."""
    if not is_number(value) or not 0 <= value < 1:
        raise ArgumentError(f"{name} must be a fraction in [0, 1), got {value!r}")


# ---- quotas: the part of the budget of each class ------------------------------------------------------------------

Counts: TypeAlias = Mapping[int, int] | Mapping[str, int]  # of each class, by its number or its name
Quota: TypeAlias = Literal["proportional", "floored", "uniform", "error"] | Counts
QUOTAS = ("proportional", "floored", "uniform", "error")
FLOOR = Fraction(1, 5)  # of the mean size of a class: smaller ones count as so large under "floored"


def allocate(budget: int, sizes: Sequence[int], weights: Sequence[int | Fraction], *, least: int = 1) -> list[int]:
    """Share a budget over classes in proportion to weights, within their sizes; the sum is exact.

    A class gets at least `least` and at most its size. What a full class cannot take goes to the others, in
    proportion to their weights. Fractions of a sample go by largest remainder; of equal remainders, to the lower
    class. Classes of weight 0 stay at `least` until all others are full, then share by size.

    >>> allocate(10, [90, 9, 1], [90, 9, 1])
    [8, 1, 1]
    >>> allocate(10, [90, 2, 1], [1, 1, 1])
    [7, 2, 1]
    """
    if budget < least * len(sizes):
        raise BudgetError(
            f"a budget of {budget} is below the {len(sizes)} classes, and a quota never lets a class drop to 0; "
            "raise the budget, or name the counts: quota={class: count}"
        )
    if budget > sum(sizes):
        raise BudgetError(f"a budget of {budget} is above the {sum(sizes)} samples that the classes can give")
    heavy = [i for i, w in enumerate(weights) if w > 0]
    light = [i for i, w in enumerate(weights) if w <= 0]
    spare = budget - least * len(light)
    if light and (not heavy or spare > sum(sizes[i] for i in heavy)):
        rest = budget - sum(sizes[i] for i in heavy)
        by_size = allocate(rest, [sizes[i] for i in light], [sizes[i] for i in light], least=least)
        shared = dict(zip(light, by_size, strict=True))
        return [shared.get(i, size) for i, size in enumerate(sizes)]
    counts = [least] * len(sizes)
    filled = _fill(spare, [sizes[i] for i in heavy], [Fraction(weights[i]) for i in heavy], least)
    for i, count in zip(heavy, filled, strict=True):
        counts[i] = count
    return counts


def class_weights(quota: str, codes: IntArray, sizes: Sequence[int], wrong: FloatArray | None) -> list[int | Fraction]:
    """Return the weight of each class under a named quota.

    It is its size for `"proportional"`, its size or at least a fifth of the mean size for `"floored"`, 1 for
    `"uniform"`, and its size times its held-out error for `"error"` (DRoP). Only the last reads `codes`, int64 (n,) the
    class of each sample, and `wrong`, float64 (n,) 1 where a held-out prediction was wrong, 0 where right, NaN where
    there was none. A class without any prediction gets the error over all classes. Without any error, the weights are
    the sizes.
    """
    if quota == "proportional":
        return list(sizes)
    if quota == "floored":
        return [max(Fraction(size), FLOOR * sum(sizes) / len(sizes)) for size in sizes]
    if quota == "uniform":
        return [1] * len(sizes)
    if wrong is None or np.isnan(wrong).all():
        raise ArgumentError(
            "quota='error' needs held-out predictions, which this table does not carry: score with a learner that "
            "predicts classes, or use quota='proportional', 'floored', 'uniform' or {class: count}"
        )
    asked = np.bincount(codes[~np.isnan(wrong)], minlength=len(sizes))
    missed = np.bincount(codes[wrong == 1], minlength=len(sizes))
    if not missed.sum():
        return list(sizes)
    overall = Fraction(int(missed.sum()), int(asked.sum()))
    return [
        size * (Fraction(int(m), int(a)) if a else overall) for size, m, a in zip(sizes, missed, asked, strict=True)
    ]


def explicit_counts(
    quota: Counts, labels: Sequence[object], names: Sequence[str], sizes: Sequence[int], budget: int
) -> list[int]:
    """Check the counts of a quota given class by class, and return them in the order of the classes.

    The quota must name every class once, no count may be above the size of its class, and the sum must be the budget.
    An int key is a label, numbered from 0 or as the user gave it; a text key is a class name.
    """
    place: dict[object, int] = {**{name: i for i, name in enumerate(names)}, **{x: i for i, x in enumerate(labels)}}
    if any(isinstance(key, Integral) and key not in place for key in quota):  # labels that were numbered anew
        place |= {key: place[str(key)] for key in quota if isinstance(key, Integral) and str(key) in names}
    unknown = [key for key in quota if key not in place]
    given = {place[key]: count for key, count in quota.items() if key in place}
    missing = [name for i, name in enumerate(names) if i not in given]
    if unknown or missing or len(given) < len(quota):
        what = f"unknown: {some(unknown)}" if unknown else f"missing: {some(missing)} (0 lets a class drop out)"
        raise BudgetError(f"quota must name every class once; {what if unknown or missing else 'a class occurs twice'}")
    for i, count in given.items():
        if not is_integer(count) or not 0 <= count <= sizes[i]:
            raise BudgetError(f"quota of class {names[i]} must be an integer in 0..{sizes[i]}, got {count!r}")
    if sum(given.values()) != budget:
        raise BudgetError(f"the quotas add up to {sum(given.values())}, but the budget is {budget}")
    return [int(given[i]) for i in range(len(sizes))]


def _fill(budget: int, sizes: Sequence[int], weights: Sequence[Fraction], least: int) -> list[int]:
    """Give each class level x weight, clipped to [least, size], at the level where the sum is the budget.

    The counts are rounded down, then raised by 1 where the remainder is largest until their sum is the budget.
    """

    def targets(level: Fraction) -> list[Fraction]:
        return [min(max(level * w, Fraction(least)), Fraction(s)) for w, s in zip(weights, sizes, strict=True)]

    def total(level: Fraction) -> Fraction:
        return sum(targets(level), Fraction(0))

    bends = sorted({Fraction(limit) / w for w, s in zip(weights, sizes, strict=True) for limit in (least, s)})
    right = bisect_left(bends, Fraction(budget), key=total)
    exact = targets(bends[right])
    if right and total(bends[right]) > budget:
        # Between two bends the sum is a straight line.
        low, high = total(bends[right - 1]), total(bends[right])
        part = (budget - low) / (high - low)
        exact = targets(bends[right - 1] + part * (bends[right] - bends[right - 1]))
    counts = [int(x) for x in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: budget - sum(counts)]:
        counts[i] += 1
    return counts
