"""Rules that draw at random: uniformly, without outliers, by DUAL's Beta weights, or from strata of the score (CCS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import is_integer, is_number, one_of
from unseen.core.coreset import Coreset
from unseen.core.table import Direction, ScoreTable
from unseen.errors import ArgumentError, some
from unseen.rules.base import Align, Pick, Pool, Rule, largest, largest_first, smallest
from unseen.rules.budgets import check_share, share
from unseen.rules.choosing import Scores, Shared, choose, show_shared_keywords
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.two_sided import MEMORIZATION

_TAIL = 1e-6  # p is kept this far from 0 and 1, where the density is 0 or infinite
_SUM = 16.0  # a + b
WHOLE_FIT = 0.25  # from here on, `cutoff="auto"` shares all of the budget by strata
MOST_OUTLIERS = 0.05  # of all samples; more of them are no outliers
LEAST_END = 0.2  # of the outliers of a target, in its lowest and in its highest bin: wrong targets lie on both sides
LEAST_APART = 0.75  # of the samples beyond half of the distance of outliers: a long tail thins out, wrong units do not
_HARDEST = 10  # the highest scores over which mu is taken
LIMIT_POWER = 4  # by `cutoff="auto"` the highest share s of the samples gets at most s^(pruned^4) of what strata share


@dataclass(frozen=True)
class Random(Rule):
    """Keep samples uniformly at random.

    Cost: O(n): one key a sample.

    Fails: Rare classes at small budgets: without quota="proportional" a class may get fewer than its share, or none.
    Otherwise it is hard to beat (benchmarks/quality/results.md).
    """

    name = "random"
    reads = "nothing"
    ordered = True
    formula = "uniform; a larger budget with the same seed holds the smaller one"
    source = "the baseline of every table; with quota='proportional' stratified by class"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the members with the smallest keys of (seed, id)."""
        keys = pool.keys(self.name)
        at = smallest(keys, budget)
        return Pick(at[np.argsort(keys[at], kind="stable")], ordered=True)


@dataclass(frozen=True)
class Trimmed(Rule):
    """Drop the few samples whose score is far above the median, then draw at random.

    It is the default of `unseen.prune` for data with a regression target. A squared residual of 80 medians is six
    standard deviations of the bulk, where a wrong target is likelier than a hard sample. In two kinds of data these
    targets are likely to be right, and none is dropped. If most targets are the same (one bin holds more than half of
    the samples, or more than 5 % are so far off), the others are worth learning. If a target has a long tail, such as
    prices, incomes and counts, these samples lie in its highest bin alone, and others lie at half of the distance.

    Cost: O(n): a median, and one key a sample.

    Fails: Where rare samples are right, at both ends of the target and far from the others: they are dropped as if they
    were wrong. Wrong targets stay where they lie within the spread of the right ones, or at one end of the target and
    not apart from the others.
    """

    times: float = 80.0

    name = "trimmed"
    reads = "values"
    directions = frozenset({"harder"})
    formula = (
        "drop the samples whose score is above `times` the median, the highest first, at most half of what is pruned; "
        "none if they are more than 5 %, or the median is not above 0, or one bin of a target holds more than half of "
        "the samples, or they are its long tail: fewer than a fifth in its lowest or in its highest bin, and fewer "
        "than 3/4 of the samples above a quarter of that score; draw the rest at random"
    )
    source = "own, for squared residuals (benchmarks/quality/results.md)"

    def __post_init__(self) -> None:
        if not is_number(self.times) or not self.times > 1:
            raise ArgumentError(f"times must be a number above 1, got {self.times!r}")

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Pick the members with the smallest keys of (seed, id), without those that are dropped."""
        values = pool.need("values")
        dropped = largest(values, min(self._count_outliers(pool, values), (len(pool) - budget) // 2))
        rest = np.delete(np.arange(len(pool)), dropped)
        return Pick(rest[smallest(pool.keys(self.name)[rest], budget)], found={"outliers": len(dropped)})

    def _count_outliers(self, pool: Pool, values: FloatArray) -> int:
        """Count the members to drop; 0 where those far above the median are likely to be right."""
        limit = self.times * float(np.median(values))
        far = values > limit
        count = int(np.count_nonzero(far))
        if limit <= 0 or count == 0 or count > MOST_OUTLIERS * len(pool):
            return 0
        if pool.of_target and pool.labels is not None and np.ptp(pool.labels) > 0:  # not inside one bin, as by a quota
            if 2 * np.bincount(pool.labels).max() > len(pool):
                return 0
            at_ends = [np.count_nonzero(pool.labels[far] == end) for end in (pool.labels.min(), pool.labels.max())]
            # Half of the distance is a quarter of the squared residual.
            half_as_far = np.count_nonzero(values > limit / 4)
            if min(at_ends) < LEAST_END * count and count < LEAST_APART * half_as_far:
                return 0
        return count


@dataclass(frozen=True)
class Beta(Rule):
    """Draw by the Beta density of the mean confidence, times the score (DUAL's sampler).

    Cost: O(n): one weight and one key a sample.

    Fails: With scores below 0, which are refused; with mean confidences near 1 throughout, such as by a network that
    was trained on the samples: then the density is almost the same for all. The paper tunes c to a data set.
    """

    c: float = 5.5

    name = "beta"
    reads = "values"
    needs = frozenset({"confidence"})
    ordered = True
    directions = frozenset({"harder", "worth"})
    formula = (
        "drawn without replacement, P ~ BetaPDF(mean p_y; a, b) x score, b = 15 (1 - mu)(1 - r^c) and at least 1, "
        "a = 16 - b, r the pruned share, mu the mean p_y of the ten highest scores"
    )
    source = "Cho et al. 2025 (DUAL, arXiv 2502.06905); c = 4 (CIFAR-100), 11 (ImageNet)"

    def __post_init__(self) -> None:
        if not is_number(self.c) or not 0 < self.c < np.inf:
            raise ArgumentError(f"c must be a positive number, got {self.c!r}")

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Draw one by one by the Gumbel trick; draw members of weight zero only when all others are taken."""
        values = pool.need("values")
        confidence = np.clip(pool.need("confidence"), _TAIL, 1 - _TAIL)
        if (values < 0).any():
            bad = pool.ids[values < 0]
            raise ArgumentError(f"rule beta needs scores of at least 0, but these ids have less: {some(bad.tolist())}")
        a, b = beta_parameters(values, pool.need("confidence"), pruned=1 - budget / len(pool), c=self.c)
        # 53 bits, moved by half a step: strictly between 0 and 1.
        uniform = ((pool.keys(self.name) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        noise = -np.log(-np.log(uniform))
        positive = values > 0
        weighed = noise[positive] + (a - 1) * np.log(confidence[positive]) + (b - 1) * np.log1p(-confidence[positive])
        weighed += np.log(values[positive])
        drawn = np.flatnonzero(positive)[largest_first(weighed, budget)]
        rest = np.flatnonzero(~positive)[largest_first(noise[~positive], budget - len(drawn))]
        return Pick(np.concatenate([drawn, rest]), ordered=True)


def beta_parameters(scores: FloatArray, confidence: FloatArray, *, pruned: float, c: float) -> tuple[float, float]:
    """Return a and b of DUAL's Beta density, which moves to confident (easy) samples at high pruning rates.

    The pruned share is r; a higher c delays the move.

    >>> beta_parameters(np.arange(20.0), np.full(20, 0.4), pruned=0.5, c=1.0)
    (11.5, 4.5)
    """
    mu = float(np.clip(confidence[largest(scores, _HARDEST)].mean(), 0, 1))
    b = max(15 * (1 - mu) * (1 - pruned**c), 1.0)
    return _SUM - b, b


# ---- coverage-centric selection (CCS): drop the hardest share, cut the rest in strata, draw from all of them -------


@dataclass(frozen=True)
class Stratified(Rule):
    """Drop the `cutoff` hardest share, then draw from strata of the score, the smallest filled first (CCS).

    Two cutoffs are not from the paper. `"error"` drops as many of the hardest as held-out models got wrong, as far as
    the budget leaves room. `"auto"`, the default of `unseen.prune`, drops the share
    `fit * max(min(error, pruned**2 / 2), issues**2 / error)` of the samples:

    - Of the hardest samples, which models get wrong, a part is label noise. But where little is pruned, leaving out
      only the hardest leaves out whole classes. So the cutoff grows with the square of the pruned share.
    - Wrong labels are worth leaving out however little is pruned. `issues` is the share of label issues, from the
      column `label_issue`, at most the error, and 0 without that column. Its square gives it more weight, the more of
      the error it explains.
    - Wrong labels harm only a model that fits what it is trained on; others learn the boundary from the hardest. `fit`
      is the share of held-out errors that models get right once trained on them, from the column `memorization` of a
      table scored by `halves()`, scaled from half of the data to the budget. Without that column it is 1.
    - A model that hardly fits, such as a linear one on few columns, learns no more from hard samples than from others.
      So where `fit` is below a quarter, strata share only `4 * fit` of the budget, and the rest is drawn at random.
    - Where models are sure of most samples, strata of equal width would spend a small budget on the few others. So of
      what the cutoff leaves, the strata with the highest share s of the scores get at most `s**(pruned**4)` of what
      strata share: at 90 % pruned 22 % for a tenth of the samples, at 50 % pruned 87 %. Lower strata get the rest.
      Strata of equal count are hardly ever limited.

    Give `quota="floored"` beside it, as the default does. Over all classes at once, weak models cut off the smaller or
    harder class, and what is trained on the rest is worse than on random samples. Where classes are of unequal size,
    give `by="rank"`, too, as the default does: see `unseen.rules.registry.default_rule`.

    Cost: O(n), and a key a sample.

    Fails: Without a cutoff where labels are noisy: strata of equal width give the sparse hard end far more than its
    share. `"error"` where it reaches what is pruned: everything then goes from the hard end, and at 30 % pruned that is
    two points below random for a linear model on weak features (benchmarks/quality/results.md). `"auto"` for a linear
    model on few columns under `folds` or `leave_one_out`: these do not say how far models fit, which counts as 1, and
    strata over-sample the hard end. Score by `halves()` there.
    """

    by: Literal["width", "rank"] = "width"
    cutoff: float | Literal["auto", "error"] = 0.0
    cutoff_by: ScoreTable | str | None = None
    strata: int = 50

    name = "stratified"
    reads = "values"  # by rank only their order: see `aligns`
    formula = (
        "drop the `cutoff` hardest share, cut the rest in `strata` strata of equal width (or count), share the "
        "budget from the smallest stratum up (cutoff=auto: the highest share s gets at most s^(pruned^4)), draw at "
        "random inside"
    )
    source = "Zheng et al. 2023 (CCS, arXiv 2210.15809); cutoffs: CIFAR-10 90 % pruned 0.3, ImageNet 80 % 0.2, 90 % 0.3"

    def __post_init__(self) -> None:
        one_of("by", self.by, ("width", "rank"))
        if self.cutoff not in ("auto", "error"):
            if isinstance(self.cutoff, str):
                raise ArgumentError(f"cutoff must be a fraction in [0, 1), 'auto' or 'error', got {self.cutoff!r}")
            check_share("cutoff", self.cutoff)
        if not isinstance(self.cutoff_by, (ScoreTable, str, type(None))):
            raise ArgumentError(
                "cutoff_by must be the name of a score, or a table of one such as table['el2n'], got "
                f"{type(self.cutoff_by).__name__}; ScoreTable.of(name, values, direction=...) makes one of an array"
            )
        if not is_integer(self.strata) or not 1 <= self.strata <= 65_535:
            raise ArgumentError(f"strata must be an integer in 1..65535, got {self.strata!r}")
        if self.cutoff_by is not None and self.cutoff == 0:
            raise ArgumentError("cutoff_by changes nothing while cutoff is 0; give a cutoff or leave cutoff_by out")

    @property
    def aligns(self) -> tuple[Align, ...]:
        """Only "none" for strata by width, because ranks do not keep the distances between scores."""
        return ("none",) if self.by == "width" else ("rank", "none")

    @property
    def column(self) -> ScoreTable | str | None:
        """The difficulty score by which the hardest are dropped, if it is another one."""
        return self.cutoff_by

    def check(self, direction: Direction | None) -> None:
        """Refuse a cutoff by a score of worth, which does not measure difficulty, without `cutoff_by`."""
        if direction == "worth" and self.cutoff != 0 and self.cutoff_by is None:
            raise ArgumentError(
                f"cutoff={self.cutoff!r} drops the hardest, but this score measures worth, not difficulty: "
                "give cutoff_by=, a difficulty column such as table['el2n']"
            )

    @property
    def reads_errors(self) -> bool:
        """Whether the cutoff depends on the held-out error."""
        return isinstance(self.cutoff, str)

    @property
    def reads_further(self) -> tuple[str, ...]:
        """The scores that the cutoff `"auto"` reads: how far models fit, and label issues."""
        return (MEMORIZATION, LABEL_ISSUE) if self.cutoff == "auto" else ()

    def capacity(self, m: int) -> int:
        """Return the number of samples that a fixed cutoff leaves; the others make room for the budget."""
        return m if isinstance(self.cutoff, str) else m - share(self.cutoff, m)

    def limit(self) -> str:
        """Name the cutoff."""
        return f"stratified with cutoff={self.cutoff!r} (keep + cutoff must be at most 1)"

    def pick(self, pool: Pool, budget: int) -> Pick:
        """Draw random members of every stratum."""
        values = pool.need("values")
        hardness = values if pool.column is None else pool.column
        fit = self._measure_fit(pool, budget)
        dropped = largest(hardness, self._count_dropped(pool, budget, fit))
        left = np.ones(len(pool), bool)
        left[dropped] = False
        rest = np.flatnonzero(left)
        if self.by == "width":
            stratum = strata_by_width(values[rest], self.strata)
        else:  # of more equal parts than the budget, only the hardest would get a sample
            stratum = strata_by_rank(values[rest], min(self.strata, budget))
        sizes = np.bincount(stratum, minlength=self.strata)
        shared = round(min(1.0, fit / WHOLE_FIT) * budget)
        counts = limit_highest(share_out(shared, sizes), sizes, power=self._measure_limit(1 - budget / len(pool)))
        keys = pool.keys(self.name)[rest]
        grouped = np.argsort(stratum, kind="stable")  # radix sort: stratum has 16 bits
        starts = np.cumsum(sizes) - sizes
        chosen = np.zeros(len(rest), bool)
        for start, size, count in zip(starts, sizes, counts, strict=True):
            members = grouped[start : start + size]
            chosen[members[smallest(keys[members], count)]] = True
        others = np.flatnonzero(~chosen)
        chosen[others[smallest(keys[others], budget - int(counts.sum()))]] = True
        taken = grouped[chosen[grouped]]
        return Pick(
            rest[taken],
            parts=stratum[taken].astype(np.int64),
            part="stratum",
            found={} if self.cutoff == 0 else {"cut_off": len(dropped)},
        )

    def uncut(self) -> Stratified:
        """Return the rule without its cutoff, for a pool whose hardest samples are gone already."""
        return _Uncut(by=self.by, cutoff="auto" if self.cutoff == "auto" else 0.0, strata=self.strata)

    def _measure_fit(self, pool: Pool, budget: int) -> float:
        """Return the share of held-out errors that models of the budget get right where they are trained on them.

        1 where nothing is known of it. A model of the budget fits more than one of half of the data, about in inverse
        proportion to their sizes.
        """
        error = _mean(pool.need("wrong")) if self.cutoff == "auto" else 0.0
        if not error or MEMORIZATION not in pool.further:
            return 1.0
        return min(1.0, max(0.0, _mean(pool.further[MEMORIZATION])) / error * len(pool) / (2 * budget))

    def _measure_limit(self, pruned: float) -> float:
        """Return the power of `limit_highest`; 0 is no limit."""
        return pruned**LIMIT_POWER if self.cutoff == "auto" else 0.0

    def _count_dropped(self, pool: Pool, budget: int, fit: float) -> int:
        """Count the hardest samples to drop."""
        m = len(pool)
        if not isinstance(self.cutoff, str):
            return share(self.cutoff, m)
        error = _mean(pool.need("wrong"))
        if self.cutoff == "error" or not error:
            return min(int(error * m), m - budget)
        issues = 0.0
        if LABEL_ISSUE in pool.further:
            issues = min(_mean(pool.further[LABEL_ISSUE]), error)  # in a rare class issues can exceed errors
        wanted = fit * max(min(error, (1 - budget / m) ** 2 / 2), issues**2 / error)
        return min(int(wanted * m), m - budget)


class _Uncut(Stratified):
    def _measure_limit(self, pruned: float) -> float:
        return 0.0  # several steps were measured without it

    def _count_dropped(self, pool: Pool, budget: int, fit: float) -> int:
        return 0


def _mean(values: FloatArray) -> float:
    """Return the mean without NaN, 0 if all are NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def strata_by_width(values: FloatArray, strata: int) -> npt.NDArray[np.uint16]:
    """Return the stratum of each value, uint16 (m,): half-open bins of equal width, the last one closed.

    Equal values are always in one stratum; constant ones are all in the last.

    >>> strata_by_width(np.array([0.0, 0.1, 0.5, 0.9, 1.0]), 2).tolist()
    [0, 0, 1, 1, 1]
    """
    low, high = float(values.min()), float(values.max())
    scale = 2.0**-20 if max(-low, high) > 1e300 else 1.0  # or the products below overflow
    step = np.arange(strata + 1)
    edges = ((low * scale) * (strata - step) + (high * scale) * step) / strata / scale
    edges = np.clip(edges, low, high)  # rounding must not lift an edge above the top value
    inner = np.maximum.accumulate(edges)[1:-1]
    return np.searchsorted(inner, values, side="right").astype(np.uint16)


def strata_by_rank(values: FloatArray, strata: int) -> npt.NDArray[np.uint16]:
    """Return the stratum of each value, uint16 (m,): parts of the order of equal size, within one; ties by position.

    >>> strata_by_rank(np.array([7.0, 1.0, 1.0, 9.0]), 2).tolist()
    [1, 0, 0, 1]
    """
    m = len(values)
    stratum = np.empty(m, np.uint16)
    stratum[np.argsort(values, kind="stable")] = np.arange(m) * strata // m
    return stratum


def share_out(budget: int, sizes: IntArray) -> IntArray:
    """Share a budget over strata: from the smallest up, each gets an equal part of the rest, or all it has.

    Remainders go to the larger strata; of equally large ones, to the later.

    >>> share_out(10, np.array([6, 1, 0, 9])).tolist()
    [4, 1, 0, 5]
    """
    counts = np.zeros(len(sizes), np.int64)
    rest = budget
    for done, stratum in enumerate(np.argsort(sizes, kind="stable")):
        counts[stratum] = min(int(sizes[stratum]), rest // (len(sizes) - done))
        rest -= int(counts[stratum])
    return counts


def limit_highest(counts: IntArray, sizes: IntArray, *, power: float) -> IntArray:
    """Lower the counts of the highest strata: the highest share s of all samples gets at most s^power of all counts.

    Strata run from the lowest score to the highest. What some may not have goes to the next lower ones.

    >>> limit_highest(np.array([40, 30, 30]), np.array([940, 30, 30]), power=0.7).tolist()
    [87, 5, 8]
    """
    highest = np.cumsum(sizes[::-1])
    allowed = ((highest / highest[-1]) ** power * counts.sum() + 1e-9).astype(np.int64)
    lowered: IntArray = np.diff(np.minimum(np.cumsum(counts[::-1]), allowed), prepend=0)[::-1]
    return lowered


# ---- as functions, with the keywords that `choose` describes --------------------------------------------------------


@show_shared_keywords
def random(scores: Scores | int, **shared: Unpack[Shared]) -> Coreset:
    """Choose uniformly at random; with `quota="proportional"` stratified by class.

    A sample's draw depends on (seed, id) alone, and a larger budget with the same seed holds the smaller one.

    >>> random(1000, keep=0.3)
    Coreset(300 of 1,000 samples kept, 30.0 % by random)
    """
    return choose(Random(), scores, **shared)


@show_shared_keywords
def trimmed(scores: Scores, *, times: float = 80.0, **shared: Unpack[Shared]) -> Coreset:
    """Choose at random, without the samples whose score is far above the median, such as wrong regression targets.

    The score must be harder when higher, such as `loss`. Scores above `times` medians are left out; `times` is above 1.

    >>> coreset = trimmed([*np.linspace(1, 2, 19), 900.0], keep=15, direction="harder")
    >>> 19 in coreset.ids, coreset.provenance["found"]
    (False, {'outliers': 1})
    """
    return choose(Trimmed(times=times), scores, **shared)


@show_shared_keywords
def stratified(
    scores: Scores,
    *,
    by: Literal["width", "rank"] = "width",
    cutoff: float | Literal["auto", "error"] = 0.0,
    cutoff_by: ScoreTable | str | None = None,
    strata: int = 50,
    **shared: Unpack[Shared],
) -> Coreset:
    """Choose from all strata of the score: coverage-centric selection (Zheng et al. 2023, CCS, arXiv 2210.15809).

    Stratum 0 is the easiest (or least worthy). What a stratum cannot give goes to the larger ones.

    Args:
        scores: a table with one score, or an array (n,) with `direction=`.
        by: strata of equal `"width"` in the score (the paper), or of equal count, by `"rank"`.
        cutoff: the share of the hardest that is dropped, a fraction in [0, 1), rounded down (a `BudgetError` where it
            leaves too few); or `"error"`, the share of held-out predictions that were wrong, as far as the budget
            leaves room; or `"auto"`, as `unseen.prune` cuts by default, see `unseen.rules.sampling.Stratified`. Under a
            quota within each class. The paper takes 0.3 for CIFAR-10 at 90 % pruned, 0.2 for ImageNet at 80 %.
        cutoff_by: the difficulty score by which the hardest are dropped, as a table that has this one only, or its name
            in the table of `scores`; default: the score itself, which is refused for scores of worth.
        strata: the number of strata.
        **shared: see `unseen.rules.choosing.choose`.

    >>> coreset = stratified([0.0, 0.1, 0.1, 0.2, 0.9, 5.0], keep=3, direction="harder", cutoff=0.2, strata=2)
    >>> coreset.sources.tolist()
    ['stratum 0', 'stratum 0', 'stratum 1']
    """
    rule = Stratified(by=by, cutoff=cutoff, cutoff_by=cutoff_by, strata=strata)
    return choose(rule, scores, **shared)


@show_shared_keywords
def beta(scores: Scores, *, c: float = 5.5, **shared: Unpack[Shared]) -> Coreset:
    """Draw by the Beta density of the mean p_y, times the score: DUAL's sampler (Cho et al. 2025, arXiv 2502.06905).

    A higher `c` delays the move to easy samples to higher pruning rates: 4 for CIFAR-100, 11 for ImageNet, about 5.5
    for CIFAR-10. Scores are at least 0, harder or worth when higher; an array of them needs `mean_confidence=`. Samples
    of score 0 come last, at random.

    >>> beta([0.0, 0.2, 0.3], keep=2, direction="worth", mean_confidence=[1.0, 0.6, 0.5]).ids.tolist()
    [1, 2]
    """
    return choose(Beta(c=c), scores, **shared)
