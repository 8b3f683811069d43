"""The rules as functions, such as `unseen.rules.top(table, keep=0.3)`.

Each takes a table with one score, or an array (n,) of scores with `direction=`; a rule that reads no scores also takes
the number of samples. `unseen.rules.choosing.choose` describes the keywords that all rules share.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, TypedDict, TypeVar, Unpack

import numpy.typing as npt

from unseen.core.coreset import Coreset
from unseen.core.table import Direction, ScoreTable
from unseen.rules.base import Align
from unseen.rules.budgets import Quota
from unseen.rules.choosing import choose
from unseen.rules.cover import Herding, KCenter, Moderate
from unseen.rules.neighbours import Dedup, Graph, Infomax, Metric
from unseen.rules.order import BestWindow, Over, Top, Window
from unseen.rules.sampling import Beta, Random, Stratified

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


def _show_shared_keywords(function: F) -> F:
    """Show the shared keywords by name in `help()`; type checkers see them already."""
    own = inspect.signature(function)
    shared = [p for p in inspect.signature(choose).parameters.values() if p.name in Shared.__annotations__]
    options = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = own.replace(parameters=[*options, *shared])  # type: ignore[attr-defined]
    return function


@_show_shared_keywords
def random(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose uniformly at random; with `quota="proportional"` stratified by class.

    This is the baseline of every table. A sample's draw depends on (seed, id) alone, and a larger budget with the same
    seed holds the smaller one.

    >>> random(1000, keep=0.3)
    Coreset(300 of 1,000 samples kept, 30.0 % by random)
    """
    return choose(Random(), scores, **shared)


@_show_shared_keywords
def top(scores: Scores, *, first: Literal["hard", "easy"] | None = None, **shared: Unpack[Shared]) -> Coreset:
    """Choose the hardest first (of a score of worth: the worthiest); ties by id.

    The rule collapses at high pruning rates.

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


@_show_shared_keywords
def window(scores: Scores, *, offset: float = 0.0, **shared: Unpack[Shared]) -> Coreset:
    """Choose a window of the difficulty order, `offset` from the hard end (Choi et al. 2024, arXiv 2406.03057).

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        offset: how much is skipped at the hard (or worthiest) end: a fraction in [0, 1), rounded down, or an int, a
            count. Under a quota it is skipped within each class.
        **shared: see `unseen.rules.choosing.choose`.

    Raises:
        BudgetError: the window would reach beyond the easy end.

    >>> window([0.1, 0.9, 0.5, 0.7], keep=2, offset=1, direction="harder").ids.tolist()
    [2, 3]
    """
    return choose(Window(offset=offset), scores, **shared)


@_show_shared_keywords
def bws(
    scores: Scores, *, steps: int = 20, lam: float = 0.1, over: Over = "left_out", **shared: Unpack[Shared]
) -> Coreset:
    """Choose the window of the difficulty order from which a linear model learns most (after BWS, arXiv 2406.03057).

    A ridge regression of the labels on the features is trained on each window and tested on the samples outside it.
    The most accurate window is kept; of equal ones, the one nearest to the hard end. Choi et al. (2024) test on all
    samples, members as they were fitted. The offset, as a count, is in `sources` and `provenance["found"]`.

    The harder the window is, the easier are the samples outside it, and wrong labels inside it are never tested. Where
    labels are noisy or the budget is large, `over="all"` is fairer, at a higher price (see `BestWindow`).

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        steps: windows skip 0, 1/steps, 2/steps, ... of the samples, rounded down, as far as the budget fits.
        lam: the penalty, in mean eigenvalues of the window's centred Gram matrix.
        over: what accuracy is measured on: `"left_out"`, the samples outside the window; `"all"`, the samples inside
            too, each by the regression without it (exact leave-one-out).
        **shared: see `unseen.rules.choosing.choose`; needs `features=`, and `labels=` unless there is a table. A quota
            is refused: inside one class there is nothing to predict.

    >>> features, labels = [[5.0], [5.1], [0.0], [9.0], [1.0], [8.0]], [1, 0, 0, 1, 0, 1]
    >>> coreset = bws([6, 5, 4, 3, 2, 1], keep=2, steps=3, direction="harder", features=features, labels=labels)
    >>> coreset.order.tolist(), coreset.sources.tolist(), coreset.provenance["found"]["accuracy"]
    ([2, 3], ['offset 2', 'offset 2'], [0.0, 0.75, 0.75])
    """
    return choose(BestWindow(steps=steps, lam=lam, over=over), scores, **shared)


@_show_shared_keywords
def stratified(
    scores: Scores,
    *,
    by: Literal["width", "rank"] = "width",
    cutoff: float | Literal["error"] = 0.0,
    cutoff_by: ScoreTable | None = None,
    strata: int = 50,
    **shared: Unpack[Shared],
) -> Coreset:
    """Choose from all strata of the score: coverage-centric selection (Zheng et al. 2023, CCS, arXiv 2210.15809).

    The rule drops the `cutoff` hardest share, cuts the rest in strata of the score, shares the budget from the
    smallest stratum up (what a stratum cannot give goes to the larger ones), and draws at random inside. Stratum 0 is
    the easiest (or least worthy). Published cutoffs: CIFAR-10 at 90 % pruned 0.3, ImageNet at 80 % 0.2, at 90 % 0.3.

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        by: strata of equal `"width"` in the score (the paper), or of equal count, by `"rank"`.
        cutoff: the share dropped, a fraction in [0, 1), rounded down; or `"error"`, the share of held-out predictions
            that were wrong, as far as the budget leaves room. Under a quota within each class.
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


@_show_shared_keywords
def beta(scores: Scores, *, c: float = 5.5, **shared: Unpack[Shared]) -> Coreset:
    """Draw by the Beta density of the mean p_y, times the score: DUAL's sampler (Cho et al. 2025, arXiv 2502.06905).

    Samples are drawn without replacement with b = 15 (1 - mu)(1 - r^c), at least 1, and a = 16 - b. Here r is the
    pruned share and mu the mean p_y of the ten highest scores. Samples of score 0 come last, at random. Under a quota,
    each class has its own mu and r.

    Args:
        scores: a table with one score of at least 0, harder or worth when higher; or an array with `direction=`.
        c: how late the move to easy samples sets in: 4 for CIFAR-100, 11 for ImageNet, about 5.5 for CIFAR-10.
        **shared: see `unseen.rules.choosing.choose`; a bare array needs `mean_confidence=`.

    >>> beta([0.0, 0.2, 0.3], keep=2, direction="worth", mean_confidence=[1.0, 0.6, 0.5]).ids.tolist()
    [1, 2]
    """
    return choose(Beta(c=c), scores, **shared)


@_show_shared_keywords
def moderate(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose the middle of the distances to the class median (Xia et al. 2023), neither typical nor outlying.

    The rule orders all samples by the Euclidean distance of their features to the feature-wise median of their class
    and keeps the middle of that order, from the median distance outwards. A class of one has distance 0.

    It needs `features=`, and `labels=` unless there is a table.

    >>> features = [[0.0], [1.0], [2.0], [4.0], [9.0]]
    >>> moderate(5, keep=3, features=features, labels=[0, 0, 0, 0, 0]).ids.tolist()
    [0, 1, 3]
    """
    return choose(Moderate(), scores, **shared)


@_show_shared_keywords
def herding(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose samples whose running mean stays nearest to the mean of all features.

    See Welling 2009, and iCaRL, arXiv 1611.07725.

    It needs `features=`.

    >>> herding(4, keep=3, features=[[0.0], [1.0], [2.0], [9.0]]).order.tolist()
    [2, 1, 3]
    """
    return choose(Herding(), scores, **shared)


@_show_shared_keywords
def k_center(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose the farthest first, from a random start (Gonzalez 1985; Sener and Savarese 2018, arXiv 1708.00489).

    It needs `features=`.

    >>> k_center(4, keep=2, features=[[0.0], [1.0], [2.0], [9.0]]).ids.tolist()[-1]
    3
    """
    return choose(KCenter(), scores, **shared)


@_show_shared_keywords
def dedup(scores: Scores | int, *, metric: Metric = "cosine", **shared: Unpack[Shared]) -> Coreset:
    """Drop near-copies, the nearest first (after Abbas et al. 2023, SemDeDup, arXiv 2303.09540).

    Until the budget is met, the rule drops the sample that lies closest to one that stays; of two, the one with the
    higher id.

    Args:
        scores: a table or array (its values are not read), or the number of samples.
        metric: `"cosine"`, the Euclidean distance of unit vectors, or `"euclidean"`.
        **shared: see `unseen.rules.choosing.choose`; needs `features=`.

    >>> dedup(4, keep=3, features=[[0.0], [1.0], [1.1], [9.0]], metric="euclidean").ids.tolist()
    [0, 1, 3]
    """
    return choose(Dedup(metric=metric), scores, **shared)


@_show_shared_keywords
def graph(
    scores: Scores,
    *,
    k: int = 5,
    gamma: float = 0.1,
    metric: Metric = "euclidean",
    ann: bool | None = None,
    **shared: Unpack[Shared],
) -> Coreset:
    """Choose by message passing on a graph of neighbours (D2, Maharana et al. 2024, arXiv 2310.07931).

    Two samples are neighbours if either is among the k nearest of the other; distances d are divided by the median
    neighbour distance. Forward: x_i += sum over neighbours of exp(-d_ij) x_j. Then, until the budget is met, the
    largest x is taken and its neighbours damped: x_j -= exp(-gamma d_ij) x_taken. Scores below 0 are first moved up
    to start at 0.

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        k: neighbours of each sample.
        gamma: at least 0; higher damps far neighbours less.
        metric: `"euclidean"`, or `"cosine"`: the Euclidean distance of unit vectors.
        ann: whether to find neighbours by an approximate index (extra `ann`); None: beyond 100,000 samples.
        **shared: see `unseen.rules.choosing.choose`; needs `features=`.

    Raises:
        MissingDependencyError: the index is needed and hnswlib is not installed.

    >>> features = [[0.0], [0.1], [5.0], [5.1]]
    >>> graph([1.0, 0.9, 0.8, 0.7], keep=2, k=1, direction="harder", features=features).order.tolist()
    [0, 2]
    """
    return choose(Graph(k=k, gamma=gamma, metric=metric, ann=ann), scores, **shared)


@_show_shared_keywords
def infomax(
    scores: Scores, *, alpha: float = 0.3, k: int = 5, ann: bool | None = None, **shared: Unpack[Shared]
) -> Coreset:
    """Choose the most score with the least similarity inside the coreset (Tan et al. 2025, arXiv 2506.01701, InfoMax).

    The rule maximises greedily the sum of scores - alpha x the sum of similarities over ordered pairs in the coreset.
    Scores are scaled to [0, 1]; similarity is the cosine of the features, at least 0, between samples of which
    either is among the k nearest of the other, and 0 elsewhere. (The paper relaxes the same problem instead.)

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        alpha: the price of similarity, at least 0; 0 is `top`.
        k: neighbours of each sample.
        ann: whether to find neighbours by an approximate index (extra `ann`); None: beyond 100,000 samples.
        **shared: see `unseen.rules.choosing.choose`; needs `features=`.

    Raises:
        MissingDependencyError: the index is needed and hnswlib is not installed.

    >>> features = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    >>> infomax([1.0, 0.9, 0.6], keep=2, k=1, alpha=0.5, direction="harder", features=features).order.tolist()
    [0, 2]
    """
    return choose(Infomax(alpha=alpha, k=k, ann=ann), scores, **shared)
