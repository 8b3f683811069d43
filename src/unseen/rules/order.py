"""Rules that read only the order of the scores: the top, a window of the order, and the best window.

The regressions of overlapping windows share their sums of products (`unseen.core.closed_form`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import is_integer, is_number, one_of
from unseen.core.closed_form import LEAST_GAP, Solution, Summing, Sums, left_alone, solve
from unseen.core.coreset import Coreset
from unseen.core.table import Direction
from unseen.errors import ArgumentError
from unseen.rules.base import Pick, Pool, Rule, largest_first
from unseen.rules.budgets import check_share, share
from unseen.rules.choosing import Scores, Shared, choose, show_shared_keywords


@dataclass(frozen=True)
class Top(Rule):
    """Keep the hardest, the easiest or the worthiest first.

    Cost: O(n), and the sort of what is kept.

    Fails: At high rates: it keeps the hard end alone, where wrong labels are and no easy sample shows what a class is.
    On CIFAR-10 it is a point above random at 30 % pruned, three below at 50 and 25 below at 80 %
    (benchmarks/quality/results.md).
    """

    first: Literal["hard", "easy"] | None = None

    name = "top"
    reads = "order"
    ordered = True
    formula = "the hardest (or easiest, or worthiest) first; ties by id"
    source = "the usual baseline; collapses at high pruning rates"

    def __post_init__(self) -> None:
        one_of("first", self.first, ("hard", "easy", None))

    def check(self, direction: Direction | None) -> None:
        """Refuse `first` for a score of worth, which has no hard and no easy end."""
        if direction == "worth" and self.first is not None:
            raise ArgumentError(
                f"first={self.first!r} means difficulty, but this score measures worth: leave first out, "
                "and the worthiest come first"
            )

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the `budget` first of the order."""
        values = pool.need("values")
        if self.first == "easy":
            values = -values
        return Pick(largest_first(values, budget), ordered=True)


@dataclass(frozen=True)
class Window(Rule):
    """Keep a window of the difficulty order, at an offset from the hard end.

    Cost: O(n), and the sort of what is skipped and kept.

    Fails: Where the offset does not suit the data: no offset is best on clean digits, 0.3 on CIFAR-10, and no single
    value at all rates (benchmarks/quality/results.md). `bws` searches for it.
    """

    offset: float = 0.0

    name = "window"
    reads = "order"
    ordered = True
    formula = "skip `offset` from the hard (or worthiest) end, then take the budget in order; ties by id"
    source = "Choi et al. 2024 (BWS, arXiv 2406.03057), which also searches the offset"

    def __post_init__(self) -> None:
        if not is_integer(self.offset):
            check_share("offset (unless an int, a count)", self.offset)
        elif self.offset < 0:
            raise ArgumentError(f"offset as a count must be at least 0, got {self.offset}")

    def capacity(self, m: int) -> int:
        """Return the number of samples behind the offset."""
        return max(m - self._count_skipped(m), 0)

    def limit(self) -> str:
        """Name the offset."""
        return f"window with offset={self.offset!r}"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the window, hardest first."""
        skipped = self._count_skipped(len(pool))
        return Pick(largest_first(pool.need("values"), skipped + budget)[skipped:], ordered=True)

    def _count_skipped(self, m: int) -> int:
        return int(self.offset) if is_integer(self.offset) else share(self.offset, m)


# ---- the best window -----------------------------------------------------------------------------------------------

Over = Literal["left_out", "all"]

_BYTES = 2**25  # of a block of features in float64
_FLOOR = 1e-10  # of the largest window's mean eigenvalue; the rounding errors of subtracted sums are below it


@dataclass(frozen=True)
class BestWindow(Rule):
    """Keep the window of the difficulty order whose ridge regression is most accurate (BWS).

    Cost: Each row enters the sums of products once and leaves them at most once, at most 2 n d^2 for all windows; then
    d^3 / 3 + 2 n d C a window, and for `over="all"` budget x d^2 more. Memory: O(d^2 + steps d C) and a block.

    Fails: The harder the window is, the easier are the samples outside it, and wrong labels inside it are never tested:
    where labels are noisy or the budget is large, `over="all"` is fairer. The judge is a linear model on the features,
    whatever model is trained later.
    """

    steps: int = 20
    lam: float = 0.1
    over: Over = "left_out"

    name = "bws"
    reads = "order"
    needs = frozenset({"features", "labels"})
    ordered = True
    inside_classes = False
    formula = (
        "windows skip 0, 1/steps, 2/steps, ... from the hard (or worthiest) end; take the one whose ridge regression, "
        "of penalty lam x mean eigenvalue, is most accurate on the samples outside it (over=all: and inside, each by "
        "leave-one-out); ties to the smaller offset"
    )
    source = "after Choi et al. 2024 (BWS, arXiv 2406.03057), which rates on all, members as fitted"

    def __post_init__(self) -> None:
        if not is_integer(self.steps) or not 1 <= self.steps <= 1000:
            raise ArgumentError(f"steps must be an integer in 1..1000, got {self.steps!r}")
        if not is_number(self.lam) or not 0 < self.lam < np.inf:
            raise ArgumentError(f"lam must be a number above 0, in mean eigenvalues, got {self.lam!r}")
        one_of("over", self.over, ("left_out", "all"))

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the best window, hardest first."""
        n = len(pool)
        order = np.argsort(-pool.need("values"), kind="stable")  # of the ids in order: ties by id
        offsets = sorted({i * n // self.steps for i in range(self.steps) if i * n // self.steps + budget <= n})
        rated = rate_windows(
            pool.need("features"), pool.need("labels"), order, offsets, budget, lam=self.lam, over=self.over
        )
        best = offsets[int(np.argmax(rated))]  # the first of equals
        return Pick(
            order[best : best + budget],
            ordered=True,
            parts=np.full(budget, best),
            part="offset",
            found={"offset": best, "offsets": offsets, "accuracy": rated.tolist()},
        )


def rate_windows(
    x: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    order: IntArray,
    offsets: list[int],
    size: int,
    *,
    lam: float = 0.1,
    over: Over = "left_out",
) -> FloatArray:
    """Return the accuracy of each window's ridge regression, float64 (W,) in [0, 1]; see `BestWindow`.

    Windows of `size` begin at the offsets in the order of the rows. Where a window holds all samples, the accuracy
    outside is 0.

    >>> x, labels = np.array([[0.0], [9.0], [1.0], [8.0], [0.5], [0.6]]), np.array([0, 1, 0, 1, 0, 0])
    >>> rate_windows(x, labels, np.arange(6), [0, 4], 2).tolist()
    [1.0, 0.5]
    """
    codes = np.unique(labels, return_inverse=True)[1]
    right = np.zeros(len(offsets), np.int64)
    lines = []
    for w, (offset, solution) in enumerate(_solve_windows(x, codes, order, offsets, size, lam)):
        lines.append((solution.weights, solution.bias - solution.mean @ solution.weights))
        if over == "all":
            right[w] = _count_right_inside(x, codes, order[offset : offset + size], solution)
    for start, rows in _blocks(x, order):
        inputs, place = x[rows].astype(np.float64), start + np.arange(len(rows))
        for w, (weights, constant) in enumerate(lines):
            outside = (place < offsets[w]) | (place >= offsets[w] + size)
            if outside.any():
                guess = np.argmax(inputs @ weights + constant, axis=1)
                right[w] += np.count_nonzero(outside & (guess == codes[rows]))
    return right / (len(order) if over == "all" else max(1, len(order) - size))


def _solve_windows(
    x: npt.NDArray[Any], codes: IntArray, order: IntArray, offsets: list[int], size: int, lam: float
) -> Iterator[tuple[int, Solution]]:
    """Solve the regression of each window, from sums of products that rows enter and leave as the window moves."""
    centre, classes = x.mean(axis=0, dtype=np.float64), int(codes.max()) + 1

    def sum_products(rows: IntArray) -> Sums:
        sums = Summing(centre, classes)
        for _, block in _blocks(x, rows):
            sums.add_labels(x[block].astype(np.float64), codes[block])
        return sums.sums()

    sums: Sums | None = None
    before, largest = 0, 0.0
    for offset in offsets:
        if sums is None or offset - before >= size:
            sums = sum_products(order[offset : offset + size])
        else:
            sums = sums + sum_products(order[before + size : offset + size]) - sum_products(order[before:offset])
        before = offset
        own = float(np.trace(sums.centred().gram)) / len(centre)
        largest = max(largest, own)
        # Where all samples are copies of one, any penalty will do.
        yield offset, solve(sums, lam * (max(own, _FLOOR * largest) or 1.0))


def _count_right_inside(x: npt.NDArray[Any], codes: IntArray, window: IntArray, solution: Solution) -> int:
    """Count the samples of the window that the regression without them predicts correctly."""
    right = 0
    for _, rows in _blocks(x, window):
        inputs = x[rows].astype(np.float64)
        outputs, leverages = solution.outputs_and_leverages(inputs)
        outputs, gap = left_alone(outputs, codes[rows], leverages)
        right += int(np.count_nonzero((np.argmax(outputs, axis=1) == codes[rows]) & (gap > LEAST_GAP)))
    return right


def _blocks(x: npt.NDArray[Any], rows: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield blocks of rows, each with its start."""
    block = max(256, _BYTES // (8 * x.shape[1]))
    return ((start, rows[start : start + block]) for start in range(0, len(rows), block))


# ---- as functions, with the keywords that `choose` describes --------------------------------------------------------


@show_shared_keywords
def top(scores: Scores, *, first: Literal["hard", "easy"] | None = None, **shared: Unpack[Shared]) -> Coreset:
    """Choose the hardest first (of a score of worth: the worthiest); ties by id.

    `first` is `"hard"` (the default) or `"easy"`, and is refused for scores of worth, which have no such ends.

    >>> coreset = top([0.1, 0.9, 0.5, 0.9], keep=3, direction="harder")
    >>> coreset.ids.tolist(), coreset.order.tolist()
    ([1, 2, 3], [1, 3, 2])
    >>> top([0.1, 0.9, 0.5, 0.9], keep=0.5, direction="harder", first="easy").ids.tolist()
    [0, 2]
    """
    return choose(Top(first=first), scores, **shared)


@show_shared_keywords
def window(scores: Scores, *, offset: float = 0.0, **shared: Unpack[Shared]) -> Coreset:
    """Choose a window of the difficulty order, `offset` from the hard end (Choi et al. 2024, arXiv 2406.03057).

    `offset` is how much is skipped at the hard (or worthiest) end: a fraction in [0, 1), rounded down, or an int, a
    count. Under a quota it is skipped within each class. A window that would reach beyond the easy end is a
    `BudgetError`.

    >>> window([0.1, 0.9, 0.5, 0.7], keep=2, offset=1, direction="harder").ids.tolist()
    [2, 3]
    """
    return choose(Window(offset=offset), scores, **shared)


@show_shared_keywords
def bws(
    scores: Scores, *, steps: int = 20, lam: float = 0.1, over: Over = "left_out", **shared: Unpack[Shared]
) -> Coreset:
    """Choose the window of the difficulty order from which a linear model learns most (after BWS, arXiv 2406.03057).

    A ridge regression of the labels on the features is trained on each window, and the most accurate one is kept. The
    offset, as a count, is in `sources` and `provenance["found"]`.

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        steps: windows skip 0, 1/steps, 2/steps, ... of the samples, rounded down, as far as the budget fits.
        lam: the penalty, in mean eigenvalues of the window's centred Gram matrix.
        over: what accuracy is measured on: `"left_out"`, the samples outside the window; `"all"`, the samples inside
            too, each by the regression without it (exact leave-one-out). The latter costs more, and is fairer where
            labels are noisy or the budget is large.
        **shared: see `unseen.rules.choosing.choose`; needs `features=`, and `labels=` unless there is a table. A quota
            is refused: inside one class there is nothing to predict.

    >>> features, labels = [[5.0], [5.1], [0.0], [9.0], [1.0], [8.0]], [1, 0, 0, 1, 0, 1]
    >>> coreset = bws([6, 5, 4, 3, 2, 1], keep=2, steps=3, direction="harder", features=features, labels=labels)
    >>> coreset.order.tolist(), coreset.sources.tolist(), coreset.provenance["found"]["accuracy"]
    ([2, 3], ['offset 2', 'offset 2'], [0.0, 0.75, 0.75])
    """
    return choose(BestWindow(steps=steps, lam=lam, over=over), scores, **shared)
