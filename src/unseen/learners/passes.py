"""The two passes over the data of a fit that has one model for each group (`Fit.apart`): leave-one-out, and folds.

The first pass sums products over all rows, and separately over the rows of each large group. The second pass predicts
each row by the regression without the row's group. A large group (a fold) is left out by subtracting its sums and
solving again, a small one by its leverages. Memory: sums and a solution for all rows and for each large group,
O(d^2 + d C) each, and a block of rows; never O(n d).

`Passes` divides both passes into parts and adds the sums over parts in a tree. Both depend on the shape of the data
alone, so the numbers are equal whether the parts are done one after another or on many machines. `run_passes` does all
parts in this process, with checkpoints on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Array, Arrays, FloatArray, IntArray, pack, unpack
from unseen.core.closed_form import LEAST_GAP, Solution, Sums, left_out
from unseen.core.exposure import Fit
from unseen.core.machine import for_each, one_thread_each
from unseen.core.protocols import CheckpointStore, Data, Sink
from unseen.errors import DataError
from unseen.learners.base import LeftOut, Progress, by_id, split_whole_groups
from unseen.learners.rows import Piece, RowReader, add_sums, enough_remains, solve_or_refuse

LARGE_BYTES = 2**31  # of sums and solutions of groups that do not need their own
COARSE_GAP = 1e-3  # as LEAST_GAP, for float32 products, where rounding errors would be above 1e-4 of the outputs
MOST_REFITS = 100  # in a part
SHARED = 1_024  # columns from which several threads make a Cholesky factor faster than one
KEPT_BYTES = 2**28  # of sums in a checkpoint; larger sums are made again after a kill
INFLUENCE = frozenset({"leverage", "cooks_distance"})


def large_groups(sizes: IntArray, d: int, classes: int, block: int) -> IntArray:
    """Choose the groups that get their own sums, ascending.

    Own sums are cheaper for a group of more than about d / 6 rows (a Cholesky factor of d columns against the
    eigenvalues of the group), as many of them as fit in `LARGE_BYTES`. They are needed for a group of more than a
    block, since only a block can be in memory; there are at most n / block of these.
    """
    most = int(LARGE_BYTES // (8 * d * (d + 2 * classes)))
    order = np.argsort(-sizes, kind="stable")
    worth = sizes[order] > max(1, d // 6)
    worth[most:] = False
    large: IntArray = np.sort(order[worth | (sizes[order] > block)])
    return large


def limit_threads(d: int) -> AbstractContextManager[None]:
    """Use one thread for each product of d columns where that is as fast: then no digit depends on their number."""
    return one_thread_each() if d < SHARED else nullcontext()


@dataclass(frozen=True, eq=False)
class Solutions:
    """The solutions of the first pass, which the second pass reads."""

    whole: Solution  # the regression on all rows
    without: dict[int, Solution]  # the regression without each large group, by group
    # The variance of a residual times the degrees of freedom, or None if no influences are wanted.
    variance: float | None


@dataclass(eq=False)
class Passes:
    """The two passes of a fit that has one model for each group, divided into parts."""

    rows: RowReader  # the data set
    lam: float  # the penalty
    temperature: float  # the divisor of outputs
    fit: Fit  # a fit with `apart`
    wanted: frozenset[str]  # the quantities that the sink wants for the watched rows
    part_rows: ClassVar[int] = 2**16  # the least rows of a part
    part_sums: ClassVar[int] = 16  # the least rows of a part for each column of its sums, which cost less to add then
    fan: ClassVar[int] = 16  # sums that each node of the tree adds, one after another
    _groups: LeftOut = field(init=False)
    _large: IntArray = field(init=False)  # the large groups, which have sums of their own
    _refits: int = field(default=0, init=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the data and the parts, but keep the centre, which is read from the data once for all parts."""
        kept = {name: value for name, value in self.__dict__.items() if name not in ("summed", "judged")}
        return {**kept, "_centre": self._centre, "rows": replace(self.rows, data=cast(Data, None))}

    def give(self, data: Data) -> None:
        """Set the data set again, in another process."""
        self.rows = replace(self.rows, data=data)

    def __post_init__(self) -> None:
        data, answers = self.rows.data, self.rows.answers
        self._groups = groups = LeftOut(data, self.fit)
        self._large = large_groups(groups.sizes, int(data.sample_shape[0]), answers.width, self.rows.block)
        groups.check_rest(data, self._large.tolist(), answers.least, "ridge")

    @cached_property
    def summed(self) -> list[IntArray]:
        """The rows of each part of the first pass."""
        rows, block = by_id(self.rows.data, self._groups.trained), self.rows.block_of(2 * (len(self._large) + 1))
        columns = (len(self._large) + 1) * (int(self.rows.data.sample_shape[0]) + self.rows.answers.width)
        size = -(-max(self.part_rows, self.part_sums * columns) // block) * block
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    @cached_property
    def judged(self) -> list[list[IntArray]]:
        """The blocks of each part of the second pass; all of a small group is in one block.

        Single rows come first, then small groups, then large ones, each by id.
        """
        watched = self.fit.unseen
        groups = self._groups.of[watched]
        large, alone = np.isin(groups, self._large), self._groups.sizes[groups] == 1
        together = by_id(self.rows.data, watched[~large & ~alone])
        blocks = chain(
            self.rows.pieces(watched[~large & alone]),
            split_whole_groups(together, self._groups.of[together], self.rows.block),
            self.rows.blocks(watched[large], self.rows.block_of(len(self._large))),
        )
        parts: list[list[IntArray]] = []
        room = 0
        for block in blocks:
            if room <= 0:
                parts.append([])
                room = self.part_rows
            parts[-1].append(block)
            room -= len(block)
        return parts

    def sums(self, part: IntArray) -> list[Sums]:
        """Sum over the rows of one part in no large group, and over its rows in each large group."""
        places = len(self._large) + 1
        place_of = np.zeros(len(self._groups.sizes) + 1, np.int64)  # by group; the last entry is for group -1
        place_of[self._large] = np.arange(1, places)
        return self.rows.sum_by_place(
            place_of[self._groups.of] if len(self._large) else None, places, part, self._centre
        )

    def added(self, sums: Sequence[Sequence[Sums]]) -> list[Sums]:
        """Add the sums of several parts, which do not change."""
        return add_sums([deepcopy(one) for one in sums])

    def packed(self, sums: Sequence[Sums]) -> dict[str, npt.NDArray[np.float64]]:
        """Return sums as arrays, or none if they are too large to keep."""
        return pack_sums({"sums": sums})

    def unpacked(self, held: Arrays) -> list[Sums]:
        """Return the sums that `packed` made into arrays."""
        return unpack_sums(held, "sums")

    def solved(self, sums: Sequence[Sums]) -> Solutions:
        """Solve the regressions by the sums over all parts."""
        total, groups = sum(sums[1:], start=sums[0]), self._large.tolist()
        without: dict[int, Solution] = {}

        def leave_out(at: int) -> None:
            rest = total - sums[1 + at]
            if not enough_remains(rest, total):
                rest = self.rows.sum_over(self._groups.without(groups[at]))
            without[groups[at]] = self._solve(rest).without_factor()

        with limit_threads(len(total.centre)):
            if len(total.centre) < SHARED:
                for_each(leave_out, range(len(groups)))
            else:
                for at in range(len(groups)):
                    leave_out(at)
            whole = self._solve(total)
        if not INFLUENCE & self.wanted:
            return Solutions(whole, without, None)
        freedom, trained = total.freedom(self.lam), self._groups.trained
        squares = self.rows.answers.squares(trained, self.rows.weights_of(trained))
        left = whole.residual(total, squares) / max(len(trained) - freedom, 1.0)
        return Solutions(whole, without, freedom * max(left, float(np.finfo(float).tiny)))

    def judge(self, blocks: Sequence[IntArray], solution: Solutions, sink: Sink, done: int = 0) -> Iterator[int]:
        """Push the predictions of each row by the model without its group; yield how many rows are done so far.

        `done` is the number of rows that are done already, as it was yielded.
        """

        def observe_piece(block: IntArray, x: FloatArray) -> None:
            for rows, inside, outputs in self._judge_piece(block, x, solution):
                influence = {} if solution.variance is None else self._influence(rows, inside, solution)
                sink.observe("unseen", self.rows.answers.observation(rows, outputs, self.temperature, **influence))

        with one_thread_each():
            for more in self.rows.work_through(self._pieces(blocks, done), observe_piece):
                yield done + more

    @cached_property
    def _centre(self) -> FloatArray:
        return self.rows.centre(self._groups.trained)

    def _pieces(self, blocks: Sequence[IntArray], done: int) -> Iterator[Piece]:
        """Yield the pieces for one thread each: a block of small groups, or the rows of one large group in a block."""
        for block in blocks:
            if done >= len(block):
                done -= len(block)
                continue
            read, groups = self.rows.take(block), self._groups.of[block]
            pieces = [piece for _, piece in read.by(groups)] if groups[0] in self._large else [read]
            for piece in pieces:
                if done:  # pieces are done as a whole
                    done -= len(piece.rows)
                else:
                    yield piece

    def _judge_piece(
        self, block: IntArray, x: FloatArray, solution: Solutions
    ) -> Iterator[tuple[IntArray, FloatArray, Array]]:
        """Yield the rows of one large group or of whole small groups, their inputs, and outputs without their group."""
        if self._groups.of[block[0]] in self._large:
            yield block, x, self.rows.products.outputs(solution.without[int(self._groups.of[block[0]])], x)
            return
        whole, weights, groups = solution.whole, self.rows.weights_of(block), self._groups.of[block]
        outputs: Array
        if (self._groups.sizes[groups] == 1).all():
            outputs, gap = self.rows.answers.left_alone(self.rows.products, block, x, whole, weights)
        else:
            roots = whole.roots(x, weights).astype(np.float64)
            inside = whole.outputs(x).astype(np.float64)
            outputs, gap = left_out(inside, self.rows.answers.of(block), roots, groups, weights)
        unsure = np.isin(groups, groups[gap < (LEAST_GAP if self.rows.dtype == np.float64 else COARSE_GAP)])
        if not unsure.any():
            yield block, x, outputs
            return
        yield block[~unsure], x[~unsure], outputs[~unsure]
        for group in np.unique(groups[unsure]).tolist():
            self._refits += 1
            if self._refits > MOST_REFITS:
                raise DataError(
                    f"lam={self.lam:.3g} is too small for these features: for more than {MOST_REFITS} samples the "
                    "regression without them cannot be computed from the one with them; raise lam, or use folds(k)"
                )
            refit = self._solve(self.rows.sum_over(self._groups.without(group)))
            yield block[groups == group], x[groups == group], self.rows.products.outputs(refit, x[groups == group])

    def _influence(self, block: IntArray, x: FloatArray, solution: Solutions) -> dict[str, FloatArray]:
        """Return leverages, and Cook's distances of leaving out each row by itself."""
        assert solution.variance is not None
        x, weights, whole = x.astype(np.float64, copy=False), self.rows.weights_of(block), solution.whole
        outputs, leverages = whole.outputs_and_leverages(x, weights)
        leverages = np.minimum(leverages, 1.0)
        residuals = np.square(self.rows.answers.of(block) - outputs).sum(axis=1)
        residuals *= 1.0 if weights is None else weights
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = residuals * leverages / ((1.0 - leverages) ** 2 * solution.variance)
        return {"leverage": leverages, "cooks_distance": np.where(leverages < 1.0, distances, 0.0)}

    def _solve(self, sums: Sums) -> Solution:
        return solve_or_refuse(sums, self.lam, self.fit.name, precision=self.rows.dtype.name)


def pack_sums(named: dict[str, Sequence[Sums]]) -> dict[str, npt.NDArray[np.float64]]:
    """Return named sums as arrays, or none if they are too large to keep."""
    if sum(s.gram.nbytes + s.cross.nbytes for sums in named.values() for s in sums) > KEPT_BYTES:
        return {}
    arrays: dict[str, npt.NDArray[np.float64]] = {}
    for name, sums in named.items():
        for field_name in ("rows", "targets", "gram", "cross"):
            arrays[f"{name}/{field_name}"] = np.stack([getattr(s, field_name) for s in sums])
        arrays |= {f"{name}/n": np.array([s.n for s in sums], np.float64), f"{name}/centre": sums[0].centre}
    return arrays


def unpack_sums(held: Arrays, name: str) -> list[Sums]:
    """Return the sums that were packed under this name; an empty list if there were none."""
    if f"{name}/n" not in held:
        return []
    fields = [np.asarray(held[f"{name}/{one}"]) for one in ("n", "rows", "targets", "gram", "cross")]
    return [Sums(float(n), np.asarray(held[f"{name}/centre"]), *arrays) for n, *arrays in zip(*fields, strict=True)]


# ---- both passes in this process -----------------------------------------------------------------------------------


class SumTree:
    """A tree that adds sums over parts in their order, `fan` at a time in each node; it holds one sum a level."""

    def __init__(self, fan: int) -> None:
        self.fan = fan
        self.parts = 0
        self.levels: list[list[Sums]] = []  # the sum so far in the node of each level; empty if there is none

    def push(self, sums: list[Sums]) -> None:
        """Add the sums over the next part."""
        self.parts += 1
        level, full = 0, self.fan  # `full` is the number of parts that fill a node of this level
        while True:
            if level == len(self.levels):
                self.levels.append([])
            sums = add_sums([self.levels[level], sums]) if self.levels[level] else sums
            if self.parts % full:
                self.levels[level] = sums
                return
            self.levels[level] = []
            level, full = level + 1, full * self.fan

    def total(self) -> list[Sums]:
        """Return the sums over all parts; this uses up the tree."""
        total, *others = [node for node in self.levels if node]
        for node in others:
            total = add_sums([node, total])
        return total


def run_passes(passes: Passes, sink: Sink, checkpoints: CheckpointStore, report: Callable[..., None]) -> None:
    """Do both passes of a fit in this process, one part after another; continue from the checkpoint if there is one."""
    held, progress = checkpoints.load() or {}, Progress(checkpoints, report)
    sums = _first_pass(passes, held, progress)
    solution, blocks = passes.solved(sums), list(chain(*passes.judged))
    rows, before = sum(map(len, blocks)), int(held.get("watched", 0))
    if before:
        sink.restore(unpack("sink", held))
    for done in passes.judge(blocks, solution, sink, before):
        progress.report(0.5 + 0.5 * done / rows)
        if done < rows and progress.is_due():
            progress.save({**pack_sums({"total": sums}), **pack("sink", sink.state()), "watched": np.array(done)})


def _first_pass(passes: Passes, held: Arrays, progress: Progress) -> list[Sums]:
    """Return the sums over all parts."""
    if "watched" in held and "total/n" in held:
        return unpack_sums(held, "total")
    tree, parts = SumTree(passes.fan), len(passes.summed)
    if "summed" in held:
        tree.parts = int(held["summed"])
        tree.levels = [unpack_sums(held, f"level{k}") for k in range(int(held["levels"]))]
    for part in range(tree.parts, parts):
        tree.push(passes.sums(passes.summed[part]))
        progress.report(0.5 * (part + 1) / parts)
        if part + 1 < parts and progress.is_due():  # the end of a pass needs no checkpoint
            sums = pack_sums({f"level{k}": node for k, node in enumerate(tree.levels) if node})
            if sums:
                progress.save({**sums, "levels": np.array(len(tree.levels)), "summed": np.array(part + 1)})
    return tree.total()
