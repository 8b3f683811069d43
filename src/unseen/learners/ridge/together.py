"""Both passes of `Passes` in this process, one part after another, with checkpoints on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from unseen.closed_form import Sums
from unseen.learners.ridge.passes import Passes, added, packed, unpacked
from unseen.protocols import CheckpointStore, Sink
from unseen.types import Arrays

__all__ = ["Pile", "Together"]

SECONDS = 30.0  # between checkpoints


class Pile:
    """Sums over parts, added in a tree of so many at a time as they come in order; held is one a level."""

    def __init__(self, fan: int) -> None:
        self.fan = fan
        self.parts = 0
        self.levels: list[list[Sums]] = []  # what is added up so far in the node of each level; empty: nothing

    def push(self, sums: list[Sums]) -> None:
        """The sums over the next part."""
        self.parts += 1
        whole = self.parts
        for level in range(len(self.levels) + 1):
            if level == len(self.levels):
                self.levels.append([])
            sums = added([self.levels[level], sums]) if self.levels[level] else sums
            if whole % self.fan:
                self.levels[level] = sums
                return
            self.levels[level] = []
            whole //= self.fan

    def total(self) -> list[Sums]:
        """The sums over all parts. What is held is used up."""
        nodes = [node for node in self.levels if node]
        total = nodes[0]
        for node in nodes[1:]:
            total = added([node, total])
        return total


@dataclass(eq=False)
class Together:
    """One fit, worked through.

    Args:
        passes: what there is to do.
        checkpoints: where it is kept how far it is.
        report: called with ("part", part=0..1) as it goes on.

    """

    passes: Passes
    checkpoints: CheckpointStore
    report: Callable[..., None]
    _saved: float = field(default_factory=time.monotonic, init=False)
    _told: float = field(default=0.0, init=False)

    def run(self, sink: Sink) -> None:
        """Push what each model says of its group; goes on from the checkpoint if there is one."""
        held = self.checkpoints.load() or {}
        sums = self._first_pass(held)
        solution, blocks = self.passes.solved(sums), list(chain(*self.passes.judged))
        rows, before = sum(map(len, blocks)), int(held.get("watched", 0))
        if before:
            sink.restore({name.removeprefix("sink/"): a for name, a in held.items() if name.startswith("sink/")})
        for done in self.passes.judge(blocks, solution, sink, before):
            self._tell(0.5 + 0.5 * done / rows)
            if self._due(done == rows):
                state = {f"sink/{name}": array for name, array in sink.state().items()}
                self._save({**packed({"total": sums}), **state, "watched": np.array(done)})

    def _first_pass(self, held: Arrays) -> list[Sums]:
        """The sums over all parts."""
        if "watched" in held and "total/n" in held:
            return unpacked(held, "total")
        pile, parts = Pile(self.passes.fan), len(self.passes.summed)
        if "summed" in held:
            pile.parts = int(held["summed"])
            pile.levels = [unpacked(held, f"level{k}") for k in range(int(held["levels"]))]
        for part in range(pile.parts, parts):
            pile.push(self.passes.sums(self.passes.summed[part]))
            self._tell(0.5 * (part + 1) / parts)
            if self._due(part + 1 == parts):
                sums = packed({f"level{k}": node for k, node in enumerate(pile.levels) if node})
                if sums:
                    self._save({**sums, "levels": np.array(len(pile.levels)), "summed": np.array(part + 1)})
        return pile.total()

    def _tell(self, part: float) -> None:
        """Report every hundredth."""
        if int(100 * part) > int(100 * self._told):
            self.report("part", part=part)
            self._told = part

    def _due(self, last: bool) -> bool:
        """Whether it is time for a checkpoint; the end of a pass needs none."""
        return not last and time.monotonic() - self._saved > SECONDS

    def _save(self, arrays: Arrays) -> None:
        self.checkpoints.save(arrays)
        self._saved = time.monotonic()
