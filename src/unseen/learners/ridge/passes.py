"""The two passes over the data of a fit that stands for one model a group (`Fit.apart`): leave one out, and folds.

The first pass sums products over all rows, and over the rows of each large group by itself; the second says what the
regression without a row's group makes of it. A large group (a fold) is left out by subtracting its sums and solving
again, a small one by its leverages. Memory: sums and a solution for all rows and for each large group, O(d^2 + d C)
each, and a block of rows; never O(n d).

Both passes are divided into parts, and sums over parts are added in a tree, by the shape of the data alone: the
numbers are the same wherever the parts are done, one after another or on many machines.

Both passes of `Passes` in this process, one part after another, with checkpoints on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Array, Arrays, FloatArray, IntArray
from unseen.core.closed_form import Solution, Sums, left_out
from unseen.core.exposure import Fit
from unseen.core.protocols import CheckpointStore, Data, Sink
from unseen.core.threads import for_each, one_thread_each
from unseen.errors import DataError
from unseen.learners.base import whole_groups
from unseen.learners.ridge.reading import Piece, Rows, by_id, remains, solved

__all__ = [
    "INFLUENCE",
    "LEAST_GAP",
    "Passes",
    "Pile",
    "Solved",
    "Together",
    "added",
    "large_groups",
    "packed",
    "steady",
    "unpacked",
]


LARGE_BYTES = 2**31  # of sums and solutions of groups that would do without
# See closed_form.py: below it, rounding would pass 1e-8 of the outputs, and the group's model is refitted.
LEAST_GAP = 1e-8
COARSE_GAP = 1e-3  # likewise of float32 products, 1e-4 of the outputs
MOST_REFITS = 100  # in a part
SHARED = 1_024  # columns from which on several threads are quicker at a Cholesky factor than one
KEPT_BYTES = 2**28  # of sums in a checkpoint; more are made again after a kill
INFLUENCE = frozenset({"leverage", "cooks_distance"})


def large_groups(sizes: IntArray, d: int, classes: int, block: int) -> IntArray:
    """The groups that get sums of their own, ascending.

    That is cheaper for more than about d / 6 rows (a Cholesky factor of d columns against the eigenvalues of the
    group), and needed for more than a block, which is all of a group that can
    be in memory. (Of the former no more than fit in a stated memory; of the latter there are at most n / block.)
    """
    most = int(LARGE_BYTES // (8 * d * (d + 2 * classes)))
    order = np.argsort(-sizes, kind="stable")
    worth = sizes[order] > max(1, d // 6)
    worth[most:] = False
    large: IntArray = np.sort(order[worth | (sizes[order] > block)])
    return large


def steady(d: int) -> AbstractContextManager[None]:
    """One thread for each product of so many columns where that is as quick: then no digit depends on their number."""
    return one_thread_each() if d < SHARED else nullcontext()


@dataclass(frozen=True, eq=False)
class Solved:
    """What the second pass needs of the first.

    Args:
        whole: the regression on all rows.
        without: that without each large group, by group.
        variance: of a residual, times the parameters that are free; where influences are asked for.

    """

    whole: Solution
    without: dict[int, Solution]
    variance: float | None


def added(sums: Sequence[Sequence[Sums]]) -> list[Sums]:
    """The sums of several parts, added one after another, in their arrays."""
    total = list(sums[0])
    for others in sums[1:]:
        total = [mine.take_in(theirs) for mine, theirs in zip(total, others, strict=True)]
    return total


@dataclass(eq=False)
class Passes:
    """The models of one such fit.

    Args:
        rows: the data set.
        lam: the penalty.
        temperature: outputs are divided by it.
        fit: with `apart`.
        wanted: what the sink wants of the watched rows.

    """

    rows: Rows
    lam: float
    temperature: float
    fit: Fit
    wanted: frozenset[str]
    part_rows: ClassVar[int] = 2**16  # of a part, at least
    part_sums: ClassVar[int] = 16  # times the columns of all its sums; likewise: these are small beside its work
    fan: ClassVar[int] = 16  # sums that are added at a time, one after another, in each node of the tree
    _of: IntArray = field(init=False)  # (n,) group of each row; -1: trained on, never left out
    _sizes: IntArray = field(init=False)
    _own: IntArray = field(init=False)  # the large groups, with sums of their own
    _refits: int = field(default=0, init=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without the data and the parts; but with what is read of the data once for all parts."""
        kept = {name: value for name, value in self.__dict__.items() if name not in ("summed", "judged")}
        return {**kept, "_centre": self._centre, "rows": replace(self.rows, data=cast(Data, None))}

    def give(self, data: Data) -> None:
        """Give it the data set again, in another process."""
        self.rows = replace(self.rows, data=data)

    def __post_init__(self) -> None:
        data, fit = self.rows.data, self.fit
        of = np.full(len(data), -1, np.int64)
        of[fit.unseen] = np.unique(np.asarray(fit.apart), return_inverse=True)[1]
        self._of = of
        self._sizes = np.bincount(of[fit.unseen])
        d, width = int(data.sample_shape[0]), self.rows.answers.width
        self._own = large_groups(self._sizes, d, width, self.rows.block)
        self._check_classes()

    @cached_property
    def summed(self) -> list[IntArray]:
        """The rows of each part of the first pass."""
        rows, block = by_id(self.rows.data, self._trained()), self.rows.summed_block(len(self._own) + 1)
        columns = (len(self._own) + 1) * (int(self.rows.data.sample_shape[0]) + self.rows.answers.width)
        size = -(-max(self.part_rows, self.part_sums * columns) // block) * block
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    @cached_property
    def judged(self) -> list[list[IntArray]]:
        """The blocks of each part of the second pass; all of a small group is in one block."""
        parts: list[list[IntArray]] = []
        room = 0
        for block in [*self._small_blocks(), *self._large_blocks()]:
            if room <= 0:
                parts.append([])
                room = self.part_rows
            parts[-1].append(block)
            room -= len(block)
        return parts

    def sums(self, part: IntArray) -> list[Sums]:
        """The sums over the rows of one part in no large group, and over those in each large group."""
        places = len(self._own) + 1
        of = np.zeros(len(self._sizes) + 1, np.int64)  # by group; the last is that of group -1
        of[self._own] = np.arange(1, places)
        return self.rows.summed_by(of[self._of] if len(self._own) else None, places, part, self._centre)

    def added(self, sums: Sequence[Sequence[Sums]]) -> list[Sums]:
        """The sums of several parts, which are left as they are."""
        return added([deepcopy(one) for one in sums])

    def packed(self, sums: Sequence[Sums]) -> dict[str, npt.NDArray[np.float64]]:
        """Sums as arrays, if they are not too large to be kept."""
        return packed({"sums": sums})

    def unpacked(self, held: Arrays) -> list[Sums]:
        """What was packed."""
        return unpacked(held, "sums")

    def solved(self, sums: Sequence[Sums]) -> Solved:
        """What the sums over all parts say."""
        total = sums[0]
        for own in sums[1:]:
            total = total + own
        groups = self._own.tolist()
        without: dict[int, Solution] = {}

        def leave_out(at: int) -> None:
            rest = total - sums[1 + at]
            if not remains(rest, total):
                rest = self.rows.summed(self._without(groups[at]))
            without[groups[at]] = self._solved(rest).without_factor()

        with steady(len(total.centre)):
            if len(total.centre) < SHARED:
                for_each(leave_out, range(len(groups)))
            else:
                for at in range(len(groups)):
                    leave_out(at)
            whole = self._solved(total)
        return Solved(whole, without, self._variance(whole, total) if INFLUENCE & self.wanted else None)

    def judge(self, blocks: Sequence[IntArray], solution: Solved, sink: Sink, done: int = 0) -> Iterator[int]:
        """Push what the model without each row's group says of it; yields how many rows are done so far.

        Args:
            blocks: of one part, or of several.
            solution: of `solved`.
            sink: takes observations of different rows from several threads.
            done: rows that are done already, by what was yielded.

        """

        def say(block: IntArray, x: FloatArray) -> None:
            judged = self._large if self._of[block[0]] in self._own else self._small
            for rows, inside, outputs in judged(block, x, solution):
                influence = {} if solution.variance is None else self._influence(rows, inside, solution)
                sink.observe("unseen", self.rows.answers.observation(rows, outputs, self.temperature, **influence))

        with one_thread_each():
            for more in self.rows.through(self._pieces(blocks, done), say):
                yield done + more

    @cached_property
    def _centre(self) -> FloatArray:
        return self.rows.centre(self._trained())

    def _small_blocks(self) -> Iterator[IntArray]:
        """The watched rows of small groups in blocks, no group in two of them: rows alone first, by id."""
        watched = self.fit.unseen[~np.isin(self._of[self.fit.unseen], self._own)]
        alone = self._sizes[self._of[watched]] == 1
        yield from self.rows.pieces(watched[alone])
        together = by_id(self.rows.data, watched[~alone])
        yield from whole_groups(together, self._of[together], self.rows.block)

    def _large_blocks(self) -> Iterator[IntArray]:
        watched = self.fit.unseen
        large = watched[np.isin(self._of[watched], self._own)]
        return self.rows.blocks(large, self.rows.block_of(len(self._own)))

    def _pieces(self, blocks: Sequence[IntArray], done: int) -> Iterator[Piece]:
        """What is worked on by one thread: a block of small groups, or the rows of one large group in a block."""
        for block in blocks:
            if done >= len(block):
                done -= len(block)
                continue
            (read,), of = self.rows.read([block]), self._of[block]
            pieces = [piece for _, piece in read.by(of)] if of[0] in self._own else [read]
            for piece in pieces:
                if done:  # pieces are done as a whole
                    done -= len(piece.rows)
                else:
                    yield piece

    def _large(self, block: IntArray, x: FloatArray, solution: Solved) -> Iterator[tuple[IntArray, FloatArray, Array]]:
        """Rows of one large group, their inputs, and what the model without the group says of them."""
        without = solution.without[int(self._of[block[0]])]
        yield block, x, self.rows.products.outputs(without, x)

    def _small(self, block: IntArray, x: FloatArray, solution: Solved) -> Iterator[tuple[IntArray, FloatArray, Array]]:
        """Likewise of small groups, all of each group in the block."""
        whole, weights, of = solution.whole, self.rows.weights_of(block), self._of[block]
        outputs: Array
        if (self._sizes[of] == 1).all():
            outputs, gap = self.rows.answers.left_alone(self.rows.products, block, x, whole, weights)
        else:
            roots = whole.roots(x, weights).astype(np.float64)
            inside = whole.outputs(x).astype(np.float64)
            outputs, gap = left_out(inside, self.rows.targets(block), roots, of, weights)
        unsure = np.isin(of, of[gap < (LEAST_GAP if self.rows.dtype == np.float64 else COARSE_GAP)])
        if not unsure.any():
            yield block, x, outputs
            return
        yield block[~unsure], x[~unsure], outputs[~unsure]
        for group in np.unique(of[unsure]).tolist():
            self._refits += 1
            if self._refits > MOST_REFITS:
                raise DataError(
                    f"lam={self.lam:.3g} is too small for these features: of more than {MOST_REFITS} samples the "
                    "regression without them cannot be told from the one with them; raise lam, or use folds(k)"
                )
            refit = self._solved(self.rows.summed(self._without(group)))
            yield block[of == group], x[of == group], self.rows.products.outputs(refit, x[of == group])

    def _variance(self, whole: Solution, total: Sums) -> float:
        freedom, trained = whole.freedom(total, self.lam), self._trained()
        squares = self.rows.answers.squares(trained, self.rows.weights_of(trained))
        left = whole.residual(total, squares) / max(len(trained) - freedom, 1.0)
        return freedom * max(left, float(np.finfo(float).tiny))

    def _influence(self, block: IntArray, x: FloatArray, solution: Solved) -> dict[str, FloatArray]:
        """Leverages, and Cook's distances of leaving out each row by itself."""
        assert solution.variance is not None
        x, weights, whole = x.astype(np.float64, copy=False), self.rows.weights_of(block), solution.whole
        leverages = np.minimum(whole.leverages(x, weights), 1.0)
        residuals = np.square(self.rows.targets(block) - whole.outputs(x)).sum(axis=1)
        residuals *= 1.0 if weights is None else weights
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = residuals * leverages / ((1.0 - leverages) ** 2 * solution.variance)
        return {"leverage": leverages, "cooks_distance": np.where(leverages < 1.0, distances, 0.0)}

    def _trained(self) -> IntArray:
        """Every row that some model is trained on."""
        return np.sort(np.concatenate([self.fit.train, self.fit.unseen]))

    def _without(self, group: int) -> IntArray:
        """What the model of a group is trained on."""
        watched = self.fit.unseen
        return np.sort(np.concatenate([self.fit.train, watched[self._of[watched] != group]]))

    def _check_classes(self) -> None:
        """Refuse a large group without which the samples are of one class."""
        labels, of = self.rows.data.labels, self._of
        counts = np.bincount(labels[self._trained()], minlength=len(self.rows.data.class_names))
        for group in self._own.tolist():
            rest = counts - np.bincount(labels[of == group], minlength=len(counts))
            least = self.rows.answers.least
            if np.count_nonzero(rest) < least:
                raise DataError(
                    f"ridge cannot judge a group of {self._sizes[group]:,} samples in fit {self.fit.name}: without "
                    + ("them, the samples are of fewer than 2 classes" if least > 1 else "them, there are no samples")
                )

    def _solved(self, sums: Sums) -> Solution:
        return solved(sums, self.lam, self.fit.name, precision=self.rows.dtype.name)


def packed(named: dict[str, Sequence[Sums]]) -> dict[str, npt.NDArray[np.float64]]:
    """Sums as arrays, if they are not too large to be kept."""
    if sum(s.gram.nbytes + s.cross.nbytes for sums in named.values() for s in sums) > KEPT_BYTES:
        return {}
    arrays: dict[str, npt.NDArray[np.float64]] = {}
    for name, sums in named.items():
        for field_name in ("rows", "targets", "gram", "cross"):
            arrays[f"{name}/{field_name}"] = np.stack([getattr(s, field_name) for s in sums])
        arrays |= {f"{name}/n": np.array([s.n for s in sums], np.float64), f"{name}/centre": sums[0].centre}
    return arrays


def unpacked(held: Arrays, name: str) -> list[Sums]:
    """What was packed under this name; nothing where nothing was."""
    if f"{name}/n" not in held:
        return []
    fields = [np.asarray(held[f"{name}/{one}"]) for one in ("n", "rows", "targets", "gram", "cross")]
    return [Sums(float(n), np.asarray(held[f"{name}/centre"]), *arrays) for n, *arrays in zip(*fields, strict=True)]


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
