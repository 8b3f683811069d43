"""The result of a selection: a coreset, and the history of one that was chosen in several steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from unseen.core.arrays import FloatArray, IdArray, IntArray, Named, as_integers, as_numpy
from unseen.core.files import as_pandas, read_parquet, write_parquet
from unseen.core.words import percent
from unseen.errors import ArgumentError

HISTORY = "history.parquet"
_FORMAT = 2  # of a history; those of version 0.1 have none


@dataclass(frozen=True, eq=False)
class Coreset:
    """The samples of a data set that are worth training on.

    Args:
        ids: (m,) ids of the kept samples, in dataset order.
        indices: int64 (m,) their rows, ascending: what `torch.utils.data.Subset` takes.
        n: the size of the whole data set.
        order: int64 (m,) the same rows in the order they were picked, or None where the rule has no order.
        sources: (m,) text, the origin of each of `indices` (a stratum, a class's quota), or None.
        provenance: rule, options, seed, budget, and the provenance of the scores.

    >>> Coreset(ids=np.array([4, 7]), indices=np.array([4, 7]), n=10)
    Coreset(2 of 10 samples kept, 20.0 %)
    """

    ids: IdArray
    indices: IntArray
    n: int
    order: IntArray | None = None
    sources: npt.NDArray[np.str_] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids, rows = as_numpy(self.ids, "ids"), as_integers(self.indices, "indices")
        within = not rows.size or 0 <= rows[0] <= rows[-1] < self.n
        if ids.shape != rows.shape or not within or (np.diff(rows) <= 0).any():
            raise ArgumentError(
                f"a coreset must have rows in 0..{self.n - 1} as indices, ascending, each once (numpy.unique sorts "
                f"them), and as many ids, got {len(rows)} indices and {len(ids)} ids"
            )
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "indices", rows)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool (n,), True where kept."""
        mask = np.zeros(self.n, bool)
        mask[self.indices] = True
        return mask

    @property
    def pruned(self) -> IntArray:
        """int64 (n - m,) rows of the samples left out, ascending."""
        return np.flatnonzero(~self.mask)

    def count_found(self, what: str) -> int | None:
        """Return how many samples the rule set apart as `what`, such as "outliers", in all classes; None if none."""
        found = self.provenance.get("found", {})
        parts = found.values() if self.provenance.get("quota") else [found]
        counts = [part[what] for part in parts if what in part]
        return sum(counts) if counts else None

    def __repr__(self) -> str:
        rule = f" by {self.provenance['rule']}" if "rule" in self.provenance else ""
        share = len(self) / self.n if self.n else 0.0
        return f"Coreset({len(self):,} of {self.n:,} samples kept, {percent(share)}{rule})"

    def _repr_html_(self) -> str:
        from unseen.core.cards import card

        return card(repr(self), [])

    def to_columns(self) -> Named:
        """Return the columns that `save` writes: `id`, `row`, and where there are any `pick` and `source`."""
        columns: Named = {"id": self.ids, "row": self.indices}
        if self.order is not None:
            pick = np.empty(self.n, np.int64)
            pick[self.order] = np.arange(len(self.order))
            columns["pick"] = pick[self.indices]
        if self.sources is not None:
            columns["source"] = self.sources
        return columns

    def to_arrow(self) -> Any:
        """Return the kept samples as an Arrow table; `ScoreTable.to_arrow(coreset)` has all samples with scores."""
        return pa.table(self.to_columns())

    def to_pandas(self) -> Any:
        """Return the kept samples as a pandas frame, indexed by id; `ScoreTable.to_pandas(coreset)` has all samples."""
        return as_pandas(self.to_arrow())

    def save(self, path: str | Path) -> Path:
        """Write a parquet file (`id`, `row`, `pick`, `source`), with the provenance in its metadata."""
        about = {"kind": "coreset", "n": self.n, "provenance": self.provenance}
        return write_parquet(Path(path), self.to_columns(), about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of `save`."""
        columns, about = read_parquet(Path(path), "coreset")
        order = columns["row"][np.argsort(columns["pick"])] if "pick" in columns else None
        return cls(
            ids=columns["id"],
            indices=columns["row"],
            n=about["n"],
            order=order,
            sources=columns.get("source"),
            provenance=about["provenance"],
        )


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
        """Return the rows of the coreset after a step, int64 (m,), in the order of entry; by default after the last."""
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
        columns = {"id": self.ids, "row": self.rows, "step": self.steps, "score": self.scores}
        return write_parquet(Path(path), columns, {"kind": "history", "format": _FORMAT, "about": self.about})

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


def _last_entries(columns: Named, taken: int) -> IntArray:
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
