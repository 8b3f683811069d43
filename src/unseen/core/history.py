"""The history of a grown coreset: which sample entered at which step, and with which score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IdArray, IntArray
from unseen.core.files import read_parquet, write_parquet
from unseen.errors import ArgumentError

HISTORY = "history.parquet"
FORMAT = 2


@dataclass(frozen=True, eq=False)
class History:
    """The history of a grown coreset: one row a member, in the order of entry.

    Args:
        ids: (m,) ids of the members.
        rows: int64 (m,) rows of the members.
        steps: int64 (m,) the step at which each member entered; 0 is the start.
        scores: float64 (m,) the score with which it entered, NaN where no score was read.
        about: scores, rule, sizes, budget and class names, as JSON.
    """

    ids: IdArray
    rows: IntArray
    steps: IntArray
    scores: FloatArray
    about: dict[str, Any]

    def __len__(self) -> int:
        return int(self.steps.max(initial=0)) + 1

    @property
    def sizes(self) -> list[int]:
        """The size of the coreset at the start and after each step."""
        return [int((self.steps <= step).sum()) for step in range(len(self))]

    def members(self, step: int | None = None) -> IntArray:
        """Return the rows of the coreset after a step, int64 (m,), in the order of entry; by default after the last.

        Raises:
            ArgumentError: there is no such step.
        """
        last = len(self) - 1 if step is None else step
        if not 0 <= last < len(self):
            raise ArgumentError(f"step must be in 0..{len(self) - 1}, got {last}")
        return self.rows[self.steps <= last]

    def __str__(self) -> str:
        first, *later = self.sizes
        return f"{first:,} samples" + "".join(f", then {size:,}" for size in later)

    def __repr__(self) -> str:
        return f"History({self})"

    def save(self, path: str | Path) -> Path:
        """Write a parquet file with one row a member: `id`, `row`, `step`, `score`; `about` goes to the metadata."""
        columns: dict[str, npt.NDArray[Any]] = {
            "id": self.ids,
            "row": self.rows,
            "step": self.steps,
            "score": self.scores,
        }
        return write_parquet(Path(path), columns, {"kind": "history", "format": FORMAT, "about": self.about})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of `save`, or a history of version 0.1, in which members could leave again."""
        columns, about = read_parquet(Path(path), "history")
        rows = columns["row"]
        kept = np.arange(len(rows)) if "format" in about else _last_entries(columns, about["taken"])
        return cls(
            ids=columns["id"][kept],
            rows=rows[kept],
            steps=columns["step"][kept],
            scores=columns["score"][kept],
            about=about["about"],
        )


def _last_entries(columns: dict[str, npt.NDArray[Any]], taken: int) -> IntArray:
    """Return, for each member of the coreset after step `taken`, the position of the event of its last entry."""
    inside: dict[int, int] = {}
    events = zip(columns["row"].tolist(), columns["event"].tolist(), columns["step"].tolist(), strict=True)
    for position, (row, event, step) in enumerate(events):
        if step > taken:
            break
        if event in ("start", "entered"):
            inside[row] = position
        else:
            del inside[row]
    return np.fromiter(inside.values(), np.int64, len(inside))
