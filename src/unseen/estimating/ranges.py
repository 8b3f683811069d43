"""A figure with the range it is expected in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["NOTHING", "Range", "total"]


@dataclass(frozen=True)
class Range:
    """A figure that is not known exactly.

    Args:
        low: it is hardly below.
        middle: the best guess.
        high: it is hardly above.

    >>> Range(1.0, 2.0, 4.0) + Range.exactly(1)
    Range(low=2.0, middle=3.0, high=5.0)
    >>> Range(1.0, 2.0, 4.0).times(2).widened(0.5, 1.5)
    Range(low=1.0, middle=4.0, high=12.0)
    """

    low: float
    middle: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """A figure that is known."""
        return cls(float(value), float(value), float(value))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.middle + other.middle, self.high + other.high)

    def times(self, factor: float) -> Range:
        """So many times as much."""
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def widened(self, low: float, high: float) -> Range:
        """Its ends multiplied by these."""
        return Range(self.low * low, self.middle, self.high * high)

    def at_least(self, other: Range) -> Range:
        """The larger of two, end by end."""
        return Range(max(self.low, other.low), max(self.middle, other.middle), max(self.high, other.high))

    def to_json(self) -> dict[str, float]:
        """Its three figures by name."""
        return asdict(self)


NOTHING = Range.exactly(0.0)


def total(ranges: Iterable[Range]) -> Range:
    """Their sum, as if all erred the same way."""
    return sum(ranges, NOTHING)
