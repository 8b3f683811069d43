"""Counts, shares, times and sizes in words."""

from __future__ import annotations


def many(count: int, one: str, more: str | None = None) -> str:
    """Write a count with its noun; the plural is `more`, or ends in s.

    >>> many(1, "fit"), many(2_000, "class", "classes")
    ('1 fit', '2,000 classes')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def percent(share: float, digits: int = 1) -> str:
    """Write a share in per cent.

    >>> percent(0.913), percent(0.5, 0)
    ('91.3 %', '50 %')
    """
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """Write a time, of a few seconds as whole ones.

    >>> duration(40), duration(300), duration(9000), duration(10**6)
    ('40 s', '5 min', '2.5 h', '11.6 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def size(count: float) -> str:
    """Write a number of bytes.

    >>> size(12), size(3 * 2**20)
    ('12 B', '3.0 MiB')
    """
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"
