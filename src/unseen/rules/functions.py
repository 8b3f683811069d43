"""The rules as functions: `unseen.rules.top(table, keep=0.3)`.

The keywords that all rules share are described at `unseen.rules.choosing.choose`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, TypedDict, TypeVar, Unpack

import numpy.typing as npt

from unseen.rules.base import Align
from unseen.rules.choosing import choose
from unseen.rules.order import Top, Window
from unseen.rules.quotas import Quota
from unseen.rules.sampling import Beta, Random
from unseen.rules.strata import Stratified
from unseen.types import Coreset, Direction, ScoreTable

__all__ = ["beta", "random", "stratified", "top", "window"]

Scores = ScoreTable | npt.ArrayLike
F = TypeVar("F", bound=Callable[..., Coreset])


class Shared(TypedDict, total=False):
    """The keywords of every rule; see `choose`."""

    keep: float | None
    prune: float | None
    labels: npt.ArrayLike | None
    features: npt.ArrayLike | None
    quota: Quota | None
    seed: int
    align: Align | None
    nan: Literal["last"] | None
    direction: Direction | None
    mean_confidence: npt.ArrayLike | None


def _spelled_out(function: F) -> F:
    """Show the shared keywords by name in `help()`, as type checkers already see them."""
    own = inspect.signature(function)
    shared = [p for p in inspect.signature(choose).parameters.values() if p.name in Shared.__annotations__]
    options = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = own.replace(parameters=[*options, *shared])  # type: ignore[attr-defined]
    return function


@_spelled_out
def random(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Uniformly at random; with `quota="proportional"` stratified by class. The baseline of every table.

    A sample's draw depends on (seed, id) alone, and a larger budget with the same seed holds the smaller one.

    Args:
        scores: a table or array (its values are not read), or the number of samples.
        **shared: see `unseen.rules.choosing.choose`.

    >>> random(1000, keep=0.3)
    Coreset(300 of 1,000 samples kept, 30.0 % by random)

    """
    return choose(Random(), scores, **shared)


@_spelled_out
def top(scores: Scores, *, first: Literal["hard", "easy"] | None = None, **shared: Unpack[Shared]) -> Coreset:
    """The hardest first (of a score of worth: the worthiest); ties by id. Collapses at high pruning rates.

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        first: `"hard"` (the default) or `"easy"`; refused for scores of worth, which have no such ends.
        **shared: see `unseen.rules.choosing.choose`.

    >>> coreset = top([0.1, 0.9, 0.5, 0.9], keep=3, direction="harder")
    >>> coreset.ids.tolist(), coreset.order.tolist()
    ([1, 2, 3], [1, 3, 2])
    >>> top([0.1, 0.9, 0.5, 0.9], keep=0.5, direction="harder", first="easy").ids.tolist()
    [0, 2]

    """
    return choose(Top(first=first), scores, **shared)


@_spelled_out
def window(scores: Scores, *, offset: float = 0.0, **shared: Unpack[Shared]) -> Coreset:
    """A window of the difficulty order, `offset` from the hard end (Choi et al. 2024, BWS, arXiv 2406.03057).

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        offset: what is skipped at the hard (or worthiest) end: a fraction in [0, 1), rounded down, or an int, a
            count. Under a quota it is skipped within each class.
        **shared: see `unseen.rules.choosing.choose`.

    Raises:
        BudgetError: the window would reach beyond the easy end.

    >>> window([0.1, 0.9, 0.5, 0.7], keep=2, offset=1, direction="harder").ids.tolist()
    [2, 3]

    """
    return choose(Window(offset=offset), scores, **shared)


@_spelled_out
def stratified(
    scores: Scores,
    *,
    by: Literal["width", "rank"] = "width",
    cutoff: float = 0.0,
    cutoff_by: ScoreTable | None = None,
    strata: int = 50,
    **shared: Unpack[Shared],
) -> Coreset:
    """Coverage-centric selection (Zheng et al. 2023, CCS, arXiv 2210.15809).

    Drops the `cutoff` hardest share, cuts the rest in strata of the score, shares the budget from the smallest
    stratum up (what a stratum cannot give goes to the larger ones), and draws at random inside. Stratum 0 is the
    easiest (or least worthy). Published cutoffs: CIFAR-10 at 90 % pruned 0.3, ImageNet at 80 % 0.2, at 90 % 0.3.

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        by: strata of equal `"width"` in the score (the paper), or of equal count, by `"rank"`.
        cutoff: the share dropped, a fraction in [0, 1), rounded down; under a quota within each class.
        cutoff_by: a table with the one difficulty score by which the hardest are dropped; default: the score itself,
            which is refused for scores of worth.
        strata: how many.
        **shared: see `unseen.rules.choosing.choose`.

    Raises:
        BudgetError: keep + cutoff above 1.

    >>> coreset = stratified([0.0, 0.1, 0.1, 0.2, 0.9, 5.0], keep=3, direction="harder", cutoff=0.2, strata=2)
    >>> coreset.sources.tolist()
    ['stratum 0', 'stratum 0', 'stratum 1']

    """
    rule = Stratified(by=by, cutoff=cutoff, cutoff_by=cutoff_by, strata=strata)
    return choose(rule, scores, **shared)


@_spelled_out
def beta(scores: Scores, *, c: float = 5.5, **shared: Unpack[Shared]) -> Coreset:
    """DUAL's sampler (Cho et al. 2025, arXiv 2502.06905): Beta density of the mean p_y, times the score.

    Drawn without replacement with b = 15 (1 - mu)(1 - r^c), at least 1, and a = 16 - b, where r is the pruned share
    and mu the mean p_y of the ten highest scores; samples of score 0 come last, at random. Under a quota mu and r
    are those of each class.

    Args:
        scores: a table with one score of at least 0, harder or worth when higher; or an array with `direction=`.
        c: how late the move to easy samples sets in: 4 for CIFAR-100, 11 for ImageNet, about 5.5 for CIFAR-10.
        **shared: see `unseen.rules.choosing.choose`; a bare array needs `mean_confidence=`.

    >>> beta([0.0, 0.2, 0.3], keep=2, direction="worth", mean_confidence=[1.0, 0.6, 0.5]).ids.tolist()
    [1, 2]

    """
    return choose(Beta(c=c), scores, **shared)
