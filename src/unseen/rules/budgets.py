"""Counts from fractions: the one place that rounds."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from numbers import Integral, Real

from unseen.errors import ArgumentError, BudgetError

__all__ = ["amounts", "budget", "budget_line", "share", "share_of"]


def budget(n: int, *, keep: float | None = None, prune: float | None = None) -> int:
    """The number of samples kept, from exactly one of `keep` and `prune`.

    An int is a count, a float a fraction; fractions are multiplied in decimal arithmetic and rounded half up, so
    `keep=0.1` of 50,000 is 5,000 and `keep=0.29` of 50 is 15. `prune=p` is `keep=1 - p` in decimals. `keep=1` is one
    sample, `keep=1.0` all of them.

    Args:
        n: the size of the data set, at least 1.
        keep: a count in 1..n or a fraction in (0, 1].
        prune: a count in 0..n - 1 or a fraction in [0, 1).

    Raises:
        BudgetError: none or both given, or a budget of 0 or above n.

    >>> budget(50, keep=0.29), budget(50_000, prune=0.9), budget(50, keep=1), budget(50, keep=1.0)
    (15, 5000, 1, 50)

    """
    if n < 1:
        raise BudgetError("there are no samples to choose from")
    if (keep is None) == (prune is None):
        given = "none" if keep is None else f"keep={keep!r} and prune={prune!r}"
        raise BudgetError(f"give exactly one of keep and prune, got {given}")
    name, value = ("keep", keep) if prune is None else ("prune", prune)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return _counted(n, name, int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        # str() gives the shortest decimal that means this float, of NumPy's floats too: 0.29, not 0.28999...
        return _shared(n, name, float(value), Decimal(str(value)))
    raise BudgetError(f"{name} must be an int (a count) or a float (a fraction), got {value!r}")


def amounts(*, keep: float | str | None, prune: float | str | None) -> dict[str, float | None]:
    """Both as numbers, where one may be text: `"70%"` is the fraction 0.7.

    >>> amounts(keep="70%", prune=None)
    {'keep': 0.7, 'prune': None}

    """
    return {name: _number(name, value) for name, value in (("keep", keep), ("prune", prune))}


def _number(name: str, value: float | str | None) -> float | None:
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
    """The budget in words, as counts; a `keep` of the int 1 is pointed out.

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
    """A fraction of n in decimal arithmetic, rounded down: the part that is set aside, such as a cutoff.

    Rounded down, a cutoff of c and a budget of keep <= 1 - c (rounded half up) always fit in n together.

    >>> share(0.3, 10), share(0.29, 50)
    (3, 14)
    """
    return int((Decimal(str(fraction)) * n).to_integral_value(ROUND_FLOOR))


def share_of(name: str, value: float) -> None:
    """Refuse an option that is not a fraction in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < 1:
        raise ArgumentError(f"{name} must be a fraction in [0, 1), got {value!r}")


def _counted(n: int, name: str, value: int) -> int:
    kept = value if name == "keep" else n - value
    if not 1 <= kept <= n:
        allowed = f"1..{n}" if name == "keep" else f"0..{n - 1}"
        raise BudgetError(f"{name} as a count must be in {allowed} for {n} samples, got {value}")
    return kept


def _shared(n: int, name: str, value: float, exact: Decimal) -> int:
    inside = 0 < value <= 1 if name == "keep" else 0 <= value < 1
    if not inside:
        allowed = "(0, 1]" if name == "keep" else "[0, 1)"
        raise BudgetError(f"{name} as a fraction must be in {allowed}, got {value!r}; a count must be an int")
    part = exact if name == "keep" else 1 - exact
    kept = int((part * n).to_integral_value(ROUND_HALF_UP))
    if kept < 1:
        raise BudgetError(f"{name}={value!r} of {n} samples keeps 0; at least one must stay")
    return kept
