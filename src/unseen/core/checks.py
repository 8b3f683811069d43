"""Checks of options that the whole library shares: numbers, lists, choices among a few values, names of options."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import TypeGuard

from unseen.errors import ArgumentError, UnknownNameError


def is_integer(value: object) -> TypeGuard[int]:
    """Tell whether a value is an integer of Python or NumPy, and not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a real number of Python or NumPy, and not a bool; NaN and infinity are numbers."""
    return isinstance(value, Real) and not isinstance(value, bool)


def at_least(name: str, value: object, least: int) -> int:
    """Return a value as int; refuse one that is not an integer of at least `least`."""
    if not is_integer(value) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not one of the allowed ones."""
    is_array = bool(getattr(value, "shape", ()))  # which cannot be looked for in a tuple
    if is_array or value not in allowed:
        got = type(value).__name__ if is_array else repr(value)
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {got}")


def check_list(name: str, value: object, of: str) -> None:
    """Refuse a value that is not a list, such as one text; `of` says what the list holds."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"{name} must be a list of {of}, got {value!r}; take [{value!r}]")


def check_known(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not known; the message lists the nearest. `kind` is "plan" or "option of plan 'folds'"."""
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def check_options(of: str, options: Iterable[str], known: Collection[str]) -> None:
    """Refuse an option that is not known; `of` names what it was given to, and the message lists what that has."""
    for option in options:
        if option not in known:
            raise ArgumentError(f"{of} has no option {option!r}; its options: {', '.join(known) or 'none'}")
