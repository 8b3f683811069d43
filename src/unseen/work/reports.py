"""Who is told as work goes on."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Report", "silent"]

Report = Callable[..., None]


def silent(kind: str, **fields: object) -> None:
    """Report to nobody."""
