"""How a coreset came about: who entered and left at which step, and what each step came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.growing.quality import Estimate
from unseen.parquet import read_parquet, write_parquet
from unseen.types import FloatArray, IdArray, IntArray

__all__ = ["EVENTS", "Event", "Events", "History", "Step"]

Event = Literal["start", "entered", "released", "dropped", "collapsed"]
EVENTS: tuple[Event, ...] = ("start", "entered", "released", "dropped", "collapsed")
ENTRIES = ("start", "entered")


@dataclass(frozen=True)
class Step:
    """The coreset after a step, and what it is worth.

    Args:
        step: 0 is the start.
        size: of the coreset after it.
        entered: samples that came in.
        released: members that the others explained, let go for outsiders worth more.
        dropped: members that the rule did not keep, where the coreset shrank.
        collapsed: copies of other members.
        judged: how many samples the accuracy is over: whose model was trained on an exact copy is left out.
        accuracy: over all judged samples, each by a model that saw neither it nor a copy of it; None where the coreset
            was not scored any more, or nobody is left to judge.
        change: against the step before, on the samples judged in both.
        class_errors: the share of wrong predictions of each class.

    """

    step: int
    size: int
    entered: int = 0
    released: int = 0
    dropped: int = 0
    collapsed: int = 0
    judged: int = 0
    accuracy: Estimate | None = None
    change: Estimate | None = None
    class_errors: tuple[float | None, ...] | None = None

    def __str__(self) -> str:
        name = f"step {self.step}" if self.step else "start"
        moves = [f"{count:,} {event}" for event in EVENTS[1:] if (count := getattr(self, event))]
        parts = [f"{name}: {self.size:,} samples", *moves]
        if self.accuracy is not None:
            value, low, high = (100 * x for x in self.accuracy)
            parts.append(f"accuracy {value:.1f} % ({low:.1f} .. {high:.1f})")
        if self.change is not None:
            value, low, high = (100 * x for x in self.change)
            parts.append(f"change {value:+.1f} ({low:+.1f} .. {high:+.1f}) points")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Events:
    """What happened to whom, in the order in which it happened.

    Args:
        steps: int64 (e,).
        names: (e,) text, one of `EVENTS`.
        rows: int64 (e,) of the sample.
        ids: (e,) of the sample.
        scores: float64 (e,) the score by which it was decided, NaN where none was (a random start).
        ranks: float64 (e,) its place among all samples on the common scale, in (0, 1), higher = worth more; NaN
            likewise.

    """

    steps: IntArray
    names: npt.NDArray[np.str_]
    rows: IntArray
    ids: IdArray
    scores: FloatArray
    ranks: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def joined(cls, parts: Iterable[Events]) -> Events:
        """One after another."""
        listed = list(parts)
        columns = ("steps", "names", "rows", "ids", "scores", "ranks")
        return cls(*(np.concatenate([getattr(part, name) for part in listed]) for name in columns))


@dataclass(frozen=True, eq=False)
class History:
    """How a coreset was grown.

    Args:
        events: who entered and left.
        steps: the start and every step, in order.
        taken: the step whose coreset is the result; a later one was tried and undone.
        stopped: why it ended, in words.
        about: score, rule, budget, class names and what quality was measured on, as JSON.

    """

    events: Events
    steps: tuple[Step, ...]
    taken: int
    stopped: str
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.steps)

    def members(self, step: int | None = None) -> IntArray:
        """int64 (m,) rows of the coreset after a step, in the order of their entry; of the result by default.

        Raises:
            ArgumentError: there is no such step.

        """
        last = self.taken if step is None else step
        if not 0 <= last < len(self.steps):
            raise ArgumentError(f"step must be in 0..{len(self.steps) - 1}, got {last}")
        inside: dict[int, None] = {}
        until = self.events.steps <= last
        for row, name in zip(self.events.rows[until].tolist(), self.events.names[until].tolist(), strict=True):
            if name in ENTRIES:
                inside[row] = None
            else:
                del inside[row]
        return np.fromiter(inside, np.int64, len(inside))

    def __repr__(self) -> str:
        undone = [""] * (self.taken + 1) + ["  (undone)"] * len(self.steps)
        lines = [f"  {step}{mark}" for step, mark in zip(self.steps, undone, strict=False)]
        return "\n".join([f"History({len(self.steps) - 1} steps; stopped {self.stopped}", *lines]) + ")"

    def save(self, path: str | Path) -> Path:
        """Write a parquet file, a row an event: `step`, `event`, `id`, `row`, `score`, `rank`; the rest is metadata."""
        events = self.events
        columns: dict[str, npt.NDArray[Any]] = {
            "step": events.steps,
            "event": events.names,
            "id": events.ids,
            "row": events.rows,
            "score": events.scores,
            "rank": events.ranks,
        }
        steps = [asdict(step) for step in self.steps]
        about = {"kind": "history", "steps": steps, "taken": self.taken, "stopped": self.stopped, "about": self.about}
        return write_parquet(Path(path), columns, about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""
        columns, about = read_parquet(Path(path), "history")
        events = Events(
            steps=columns["step"],
            names=columns["event"].astype(str),
            rows=columns["row"],
            ids=columns["id"],
            scores=columns["score"],
            ranks=columns["rank"],
        )
        steps = tuple(_step(step) for step in about["steps"])
        return cls(events, steps, about["taken"], about["stopped"], about["about"])


def _step(read: dict[str, Any]) -> Step:
    estimates = {name: None if read[name] is None else Estimate(*read[name]) for name in ("accuracy", "change")}
    errors = read["class_errors"]
    return Step(**{**read, **estimates, "class_errors": None if errors is None else tuple(errors)})
