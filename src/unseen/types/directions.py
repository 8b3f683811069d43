"""What a high value of a score means."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["DIRECTIONS", "Direction", "meaning"]

Direction: TypeAlias = Literal["harder", "easier", "worth"]
DIRECTIONS: tuple[Direction, ...] = ("harder", "easier", "worth")


def meaning(direction: Direction) -> str:
    """A direction in words: `"harder when higher"`."""
    return {
        "harder": "harder when higher",
        "easier": "easier when higher",
        "worth": "worth more when higher",
    }[direction]
