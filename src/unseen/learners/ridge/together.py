"""Fits that stand for one model a group (`Fit.apart`): leave one out and folds, in two passes over the data.

The first pass sums products over all rows, and over the rows of each large group by itself; the second says what the
regression without a row's group makes of it. A large group (a fold) is left out by subtracting its sums and solving
again, a small one by its leverages. Memory: sums and a solution for all rows and for each large group, O(d^2 + d C)
each, and a block of rows; never O(n d).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from unseen.closed_form import Solution, Sums, left_out
from unseen.errors import DataError
from unseen.exposure import Fit
from unseen.learners.ridge.reading import Rows, by_id
from unseen.learners.ridge.sums import remains, solved
from unseen.learners.vectors import whole_groups
from unseen.protocols import CheckpointStore, Sink
from unseen.types import Array, Arrays, FloatArray, IntArray

__all__ = ["INFLUENCE", "Together", "large_groups"]

LARGE_BYTES = 2**31  # of sums and solutions of groups that would do without
KEPT_BYTES = 2**28  # of sums in a checkpoint; more are made again after a kill
SECONDS = 30.0  # between checkpoints
# See closed_form.py: below it, rounding would pass 1e-8 of the outputs, and the group's model is refitted.
LEAST_GAP = 1e-8
COARSE_GAP = 1e-3  # likewise of float32 products, 1e-4 of the outputs
MOST_REFITS = 100
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


@dataclass(eq=False)
class Together:
    """The models of one such fit.

    Args:
        rows: the data set.
        fit: with `apart`.
        lam: the penalty.
        temperature: outputs are divided by it.
        checkpoints: where it is kept how far the passes are.
        report: called with ("part", part=0..1) as they go on.

    """

    rows: Rows
    fit: Fit
    lam: float
    temperature: float
    checkpoints: CheckpointStore
    report: Callable[..., None]
    _of: IntArray = field(init=False)  # (n,) group of each row; -1: trained on, never left out
    _sizes: IntArray = field(init=False)
    _own: IntArray = field(init=False)  # the large groups, with sums of their own
    _saved: float = field(init=False)
    _refits: int = 0
    _told: float = 0.0
    _variance: float | None = None  # of a residual, times the parameters that are free

    def __post_init__(self) -> None:
        data, fit = self.rows.data, self.fit
        of = np.full(len(data), -1, np.int64)
        of[fit.unseen] = np.unique(np.asarray(fit.apart), return_inverse=True)[1]
        self._of = of
        self._sizes = np.bincount(of[fit.unseen])
        d, width = int(data.sample_shape[0]), self.rows.answers.width
        self._own = large_groups(self._sizes, d, width, self.rows.block)
        self._saved = time.monotonic()
        self._check_classes()

    def run(self, sink: Sink) -> None:
        """Push what each model says of its group; goes on from the checkpoint if there is one."""
        held = self.checkpoints.load() or {}
        sums = self._first_pass(held)
        solution, without = self._solutions(sums)
        wanted = sink.wants("unseen", 1, 1)
        blocks = list(self._small_blocks()) + list(self._large_blocks())
        done = int(held.get("watched", 0))
        if done:
            sink.restore({name.removeprefix("sink/"): a for name, a in held.items() if name.startswith("sink/")})
        for number, block in enumerate(blocks):
            if number < done:
                continue
            judged = self._large(block, without) if self._is_large(block) else self._small(block, solution)
            for rows, outputs in judged:
                influence = self._influence(rows, solution, sums) if INFLUENCE & wanted else {}
                sink.observe("unseen", self.rows.answers.observation(rows, outputs, self.temperature, **influence))
            self._tell(0.5 + 0.5 * (number + 1) / len(blocks))
            if self._due(number + 1 == len(blocks)):
                state = {f"sink/{name}": array for name, array in sink.state().items()}
                self._save({**_packed(sums), **state, "watched": np.array(number + 1)})

    def _first_pass(self, held: Arrays) -> list[Sums]:
        """The sums over rows in no large group, and over each large group."""
        blocks = list(self.rows.blocks(self._trained(), len(self._own) + 1))
        sums, done = _unpacked(held), int(held.get("summed", len(blocks)))  # a later checkpoint is of the second pass
        if not sums:
            centre, width = self.rows.centre(self._trained()), self.rows.answers.width
            sums, done = [Sums.zero(centre, width) for _ in range(len(self._own) + 1)], 0
        places = np.zeros(len(self._sizes) + 1, np.int64)  # the last is that of group -1
        places[self._own] = np.arange(1, len(sums))
        for number, block in enumerate(blocks[done:], done):
            x, place = self.rows.inputs(block), places[self._of[block]]
            for at in np.unique(place):
                inside = slice(None) if (place == at).all() else place == at
                sums[at] = sums[at].take_in(self.rows.sums(block[inside], x[inside], sums[at].centre))
            self._tell(0.5 * (number + 1) / len(blocks))
            if self._due(number + 1 == len(blocks)):
                self._save({**_packed(sums), "summed": np.array(number + 1)})
        return sums

    def _solutions(self, sums: Sequence[Sums]) -> tuple[Solution, dict[int, Solution]]:
        """That over all rows, and for each large group that without it."""
        whole = _total(sums)
        without: dict[int, Solution] = {}
        for group, own in zip(self._own.tolist(), sums[1:], strict=True):
            rest = whole - own
            if not remains(rest, whole):
                rest = self.rows.summed(self._without(group))
            without[group] = self._solved(rest).without_factor()
        return self._solved(whole), without

    def _small_blocks(self) -> Iterator[IntArray]:
        """The watched rows of small groups in blocks, no group in two of them: rows alone first, by id."""
        watched = self.fit.unseen[~np.isin(self._of[self.fit.unseen], self._own)]
        alone = self._sizes[self._of[watched]] == 1
        yield from self.rows.blocks(watched[alone])
        together = by_id(self.rows.data, watched[~alone])
        yield from whole_groups(together, self._of[together], self.rows.block)

    def _large_blocks(self) -> Iterator[IntArray]:
        watched = self.fit.unseen
        return self.rows.blocks(watched[np.isin(self._of[watched], self._own)], len(self._own))

    def _is_large(self, block: IntArray) -> bool:
        return bool(np.isin(self._of[block[0]], self._own))

    def _large(self, block: IntArray, without: dict[int, Solution]) -> Iterator[tuple[IntArray, Array]]:
        """Rows of large groups, and what the model without their group says of them."""
        x, of = self.rows.inputs(block), self._of[block]
        for group in np.unique(of).tolist():
            inside = of == group
            yield block[inside], self.rows.products.outputs(without[group], x[inside])

    def _small(self, block: IntArray, solution: Solution) -> Iterator[tuple[IntArray, Array]]:
        """Likewise of small groups, all of each group in the block."""
        x, weights, of = self.rows.inputs(block), self.rows.weights_of(block), self._of[block]
        outputs: Array
        if (self._sizes[of] == 1).all():
            outputs, gap = self.rows.answers.left_alone(self.rows.products, block, x, solution, weights)
        else:
            roots = solution.roots(x, weights).astype(np.float64)
            inside = solution.outputs(x).astype(np.float64)
            outputs, gap = left_out(inside, self.rows.targets(block), roots, of, weights)
        unsure = np.isin(of, of[gap < (LEAST_GAP if self.rows.dtype == np.float64 else COARSE_GAP)])
        if not unsure.any():
            yield block, outputs
            return
        yield block[~unsure], outputs[~unsure]
        for group in np.unique(of[unsure]).tolist():
            self._refits += 1
            if self._refits > MOST_REFITS:
                raise DataError(
                    f"lam={self.lam:.3g} is too small for these features: of more than {MOST_REFITS} samples the "
                    "regression without them cannot be told from the one with them; raise lam, or use folds(k)"
                )
            refit = self._solved(self.rows.summed(self._without(group)))
            yield block[of == group], self.rows.products.outputs(refit, x[of == group])

    def _influence(self, block: IntArray, solution: Solution, sums: Sequence[Sums]) -> dict[str, FloatArray]:
        """Leverages, and Cook's distances of leaving out each row by itself."""
        x, weights = self.rows.inputs(block, np.float64), self.rows.weights_of(block)
        leverages = np.minimum(solution.leverages(x, weights), 1.0)
        if self._variance is None:
            whole = _total(sums)
            freedom = solution.freedom(whole, self.lam)
            trained = self._trained()
            squares = self.rows.answers.squares(trained, self.rows.weights_of(trained))
            left = solution.residual(whole, squares) / max(len(trained) - freedom, 1.0)
            self._variance = freedom * max(left, np.finfo(float).tiny)
        residuals = np.square(self.rows.targets(block) - solution.outputs(x)).sum(axis=1)
        residuals *= 1.0 if weights is None else weights
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = residuals * leverages / ((1.0 - leverages) ** 2 * self._variance)
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

    def _tell(self, part: float) -> None:
        """Report every hundredth."""
        if int(100 * part) > int(100 * self._told):
            self.report("part", part=part)
            self._told = part

    def _due(self, last: bool) -> bool:
        """Whether it is time for a checkpoint; the last block of a pass needs none."""
        return not last and time.monotonic() - self._saved > SECONDS

    def _save(self, arrays: Arrays) -> None:
        self.checkpoints.save(arrays)
        self._saved = time.monotonic()


def _total(sums: Sequence[Sums]) -> Sums:
    whole = sums[0]
    for own in sums[1:]:
        whole = whole + own
    return whole


def _packed(sums: Sequence[Sums]) -> dict[str, npt.NDArray[np.float64]]:
    """Sums as arrays, if they are not too large to be kept."""
    if len(sums) * (sums[0].gram.nbytes + sums[0].cross.nbytes) > KEPT_BYTES:
        return {}
    arrays = {name: np.stack([getattr(s, name) for s in sums]) for name in ("rows", "targets", "gram", "cross")}
    n = np.array([s.n for s in sums], np.float64)
    return {f"sums/{name}": a for name, a in {**arrays, "n": n, "centre": sums[0].centre}.items()}


def _unpacked(held: Arrays) -> list[Sums]:
    if "sums/n" not in held:
        return []
    names = ("rows", "targets", "gram", "cross")
    parts = zip(np.asarray(held["sums/n"]).tolist(), *(np.asarray(held[f"sums/{name}"]) for name in names), strict=True)
    return [Sums(n, np.asarray(held["sums/centre"]), *arrays) for n, *arrays in parts]
