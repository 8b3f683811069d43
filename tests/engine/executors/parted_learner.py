"""The closed form in many small parts, some of which end their worker or cannot be read."""

from __future__ import annotations

import os
import signal
from dataclasses import fields
from pathlib import Path

from unseen.errors import DataError
from unseen.learners.passes import Passes
from unseen.learners.ridge import RidgeLearner
from unseen.learners.rows import RowReader


class SmallRows(RowReader):
    block = 50

    def block_of(self, parts):
        return 50


class SmallParts(Passes):
    part_rows, part_sums, fan = 100, 0, 3


class Parted(RidgeLearner):
    """Ridge in small parts, wherever it runs."""

    parts = SmallParts

    def in_parts(self, data, fit, wanted, seed):
        made = super().in_parts(data, fit, wanted, seed)
        rows = SmallRows(**{f.name: getattr(made.rows, f.name) for f in fields(RowReader)})
        return self.parts(rows, made.lam, made.temperature, made.fit, made.wanted)


class Marked(SmallParts):
    """A worker dies once at each part of either pass in `deaths`; those in `poisoned` cannot be read."""

    folder, deaths, poisoned = "", (), ()

    def sums(self, part):
        number = next(k for k, rows in enumerate(self.summed) if rows[0] == part[0])
        self._struck("sums", number)
        if number in self.poisoned:
            raise DataError(f"x-{number:05}.npy is damaged")
        return super().sums(part)

    def judge(self, blocks, solution, sink, done=0):
        self._struck("judged", next(k for k, part in enumerate(self.judged) if part[0][0] == blocks[0][0]))
        return super().judge(blocks, solution, sink, done)

    def _struck(self, which, part):
        mark = Path(self.folder) / f"{which}-{part}"
        if (which, part) in self.deaths and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Parted):
    """Ridge in parts, as far as its workers live and its parts can be read."""

    parts = Marked

    def dying(self, folder, deaths=(), poisoned=()):
        self.about = {"folder": str(folder), "deaths": tuple(deaths), "poisoned": tuple(poisoned)}
        return self

    def in_parts(self, data, fit, wanted, seed):
        made = super().in_parts(data, fit, wanted, seed)
        made.__dict__ |= self.about
        return made


class TinyParts(SmallParts):
    part_rows = 6


class Tiny(Parted):
    """Ridge with hundreds of parts in the second pass."""

    parts = TinyParts
