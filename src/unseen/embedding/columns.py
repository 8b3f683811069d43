"""Tables to vectors without labels: a column a category, numbers standardised, gaps marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.embedding.base import Embedding, block_of, whole
from unseen.errors import ArgumentError, DataError
from unseen.protocols import Data
from unseen.types import FloatArray

__all__ = ["Columns"]

MOST = 20_000  # columns; beyond, the vectors are hardly what is wanted


class Columns:
    """Columns that hold any text become one column of 0 and 1 for each category, missing being one of them; the others
    are numbers: of mean 0 and variance 1, 0 where one is missing, and one more column that says so.

    Categories, means and variances are fitted on all rows of the data set, and on no label. Order: categories, numbers,
    gaps. Vectors are float32.

    Args:
        rare: categories that fewer rows have are pooled, those of one column in one; 1 pools none.

    """

    labels = "none"

    def __init__(self, rare: int = 10) -> None:
        self.rare = whole("rare", rare)

    def describe(self) -> dict[str, object]:
        """The options."""
        return {"by": "columns", "rare": self.rare}

    def check(self, data: Data) -> None:
        """A table, or vectors."""
        if data.kind not in ("table", "vector"):
            raise ArgumentError(f"by='columns' makes vectors of tables, but this is {data.kind} data")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Categories, means and variances of this table."""
        block = block_of(data, data.sample_shape[0])
        encoder = Encoder.of(data, block, self.rare)
        if encoder.width > MOST:
            raise DataError(
                f"the table would become {encoder.width:,} columns, more than {MOST:,}: too many categories; raise "
                f"rare (now {self.rare}), or leave columns of names and codes out"
            )
        if not encoder.width:
            raise DataError("the table holds nothing but missing entries")
        return Embedding(encoder.width, encoder.of_table, block_of(data, encoder.width))


@dataclass(frozen=True, eq=False)
class Encoder:
    """What was fitted.

    Args:
        categories: for each column of text: its place, its categories to columns, and the column of all others, or
            None where there were none.
        numbers: places of the columns of numbers.
        means: float64, of them.
        scales: float64, of them.
        gaps: which of them, in their order, had missing entries.

    """

    categories: list[tuple[int, dict[str | None, int], int | None]]
    numbers: list[int]
    means: FloatArray
    scales: FloatArray
    gaps: list[int]
    width: int

    @classmethod
    def of(cls, data: Data, block: int, rare: int) -> Encoder:
        """Two passes over the table, in blocks: which columns hold text, then what they hold."""
        from sklearn.preprocessing import StandardScaler

        d = data.sample_shape[0]
        text = np.zeros(d, bool)
        for table in _blocks(data, block):
            text |= [table.dtype.kind == "O" and _any_text(table[:, j]) for j in range(d)]
        numbers = np.flatnonzero(~text).tolist()
        counts: dict[int, Counter[str | None]] = {int(j): Counter() for j in np.flatnonzero(text)}
        scalers = [StandardScaler() for _ in numbers]
        gaps = np.zeros(len(numbers), bool)
        for table in _blocks(data, block):
            for j, counter in counts.items():
                counter.update(_keys(table[:, j]))
            for k, scaler in enumerate(scalers):
                values = _floats(table, numbers[k : k + 1])
                present = ~np.isnan(values[:, 0])
                gaps[k] |= not present.all()
                if present.any():
                    scaler.partial_fit(values[present])
        categories, width = [], 0
        for j, counter in counts.items():
            known, other, width = _places(counter, rare, width)
            categories.append((j, known, other))
        kept = [k for k, scaler in enumerate(scalers) if hasattr(scaler, "mean_")]  # the others are gaps alone
        means, scales = (
            np.array([getattr(scalers[k], name)[0] for k in kept], dtype=np.float64) for name in ("mean_", "scale_")
        )
        marked = np.flatnonzero(gaps[kept]).tolist()
        return cls(categories, [numbers[k] for k in kept], means, scales, marked, width + len(kept) + len(marked))

    def of_table(self, table: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """float32 (m, d)."""
        out = np.zeros((len(table), self.width), np.float32)
        for column, known, other in self.categories:
            places = np.array([known.get(key, -1) for key in _keys(table[:, column])])
            if other is not None:
                places[places < 0] = other
            rows = np.flatnonzero(places >= 0)  # a category that nobody had, where none is pooled: zeros
            out[rows, places[rows]] = 1
        if self.numbers:
            values = _floats(table, self.numbers)
            missing = np.isnan(values)
            values -= self.means
            values /= self.scales
            values[missing] = 0
            start = self.width - len(self.gaps) - len(self.numbers)
            out[:, start : start + len(self.numbers)] = values
            out[:, self.width - len(self.gaps) :] = missing[:, self.gaps]
        return out


def _places(counter: Counter[str | None], rare: int, start: int) -> tuple[dict[str | None, int], int | None, int]:
    """Categories to columns from `start` on, missing first; the column of the rare ones; the next column."""
    often = sorted((key for key, count in counter.items() if count >= rare), key=lambda key: (key is not None, key))
    known = {key: start + place for place, key in enumerate(often)}
    end = start + len(known)
    return (known, end, end + 1) if len(known) < len(counter) else (known, None, end)


def _blocks(data: Data, size: int) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, len(data), size):
        yield data.take(np.arange(start, min(len(data), start + size)))


def _any_text(column: npt.NDArray[Any]) -> bool:
    return any(isinstance(value, str) for value in column)


def _keys(column: npt.NDArray[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in column]


def _floats(table: npt.NDArray[Any], columns: list[int]) -> FloatArray:
    """float64 (m, k), NaN where an entry is missing."""
    try:
        return np.array(table[:, columns], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a column of numbers must hold numbers throughout, but this data set holds other entries than the one "
            f"that the embedding was fitted on: {error}"
        ) from error
