"""Floating-point operations of the closed forms, by formula: n rows of d features, C outputs.

A symmetric product X'X of m rows counts m d^2, any other product of (m, d) and (d, C) 2 m d C, a Cholesky factor
d^3 / 3, eigenvectors 9 d^3.
"""

from __future__ import annotations

from dataclasses import dataclass

from unseen.estimating.counting import Size
from unseen.learners.ridge.tuning import GRID, sample_size
from unseen.learners.softmax.tuning import GRID as SOFTMAX_GRID
from unseen.learners.softmax.tuning import SAMPLE as SOFTMAX_SAMPLE

__all__ = ["Operations", "ridge", "softmax", "subtracts"]

EIGENVECTORS = 9.0
# Of a softmax regression: passes of L-BFGS and Hessians until it is solved; low, middle, high.
PASSES, HESSIANS = (30.0, 60.0, 90.0), (1.0, 2.0, 3.0)
WARM_PASSES, WARM_HESSIANS = 20.0, 1.5  # begun from the solution of another penalty


@dataclass(frozen=True)
class Operations:
    """Those of one fit.

    Args:
        passes: over its rows.
        rest: of choosing penalty and temperature, and of solving.

    """

    passes: float
    rest: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.passes + self.rest


def ridge(
    size: Size, d: int, width: int, n: int, *, lam: bool, temperature: bool, influence: bool, weighted: bool
) -> Operations:
    """Those of a ridge regression, the sums over all samples apart; see `subtracts`.

    Args:
        size: of the fit.
        d: features.
        width: C, or 1 of a regression target.
        n: samples of the data set.
        lam: whether lambda is chosen.
        temperature: whether the temperature is.
        influence: whether leverages and Cook's distances are told.
        weighted: whether rows have weights.

    >>> work = ridge(Size(0, 1000, 0, "samples", 1000), 10, 3, 1000, lam=False, temperature=False, influence=False,
    ...              weighted=False)
    >>> work.passes == 2 * 1000 * 10**2 + 2 * 1000 * 10 * 3
    True

    """
    solving = d**3 / 3 + 2.0 * d**2 * width
    outputs, squares = 2.0 * d * width, float(d**2)
    if size.apart:
        each = size.unseen // size.models
        own = size.apart == "folds" and each > max(1, d // 6)  # the sums of a large fold are subtracted
        passes = size.samples * squares + size.unseen * (outputs if own else squares + outputs)
        rest = solving * (1 + size.models if own else 1)
        if size.apart == "folds" and not own:
            rest += size.models * (2.0 * each**2 * d + EIGENVECTORS * each**3)
        if influence:
            passes += size.unseen * (squares + outputs)
    else:
        summed = n - size.train if subtracts(size, n, weighted) else size.train
        passes = summed * squares + (size.unseen + size.seen) * outputs
        rest = solving
    if lam or temperature:
        sample = sample_size(size.samples, width)
        tried = (len(GRID) if lam else 0) + (1 if temperature else 0)
        rest += sample * (3.0 * squares + outputs * (1 + tried)) + EIGENVECTORS * d**3
    return Operations(passes, rest)


def subtracts(size: Size, n: int, weighted: bool) -> bool:
    """Whether a ridge regression is made of the sums over all n samples, made once: n d^2 operations, less the others.

    So it is of a fit on more than half of them. A training that watches nothing is one by itself: it has no others.
    """
    return bool(size.unseen + size.seen) and not size.apart and not weighted and 2 * size.train > n


def softmax(size: Size, d: int, classes: int, *, lam: bool, effort: int = 1) -> Operations:
    """Those of a softmax regression.

    Args:
        size: of the fit.
        d: features, the bias apart.
        classes: C.
        lam: whether the penalty is chosen.
        effort: 0, 1 or 2: as few, about as many, or as many passes and Hessians as a fit takes.

    """
    coefficients = float(classes * (d + 1))
    squares, cubes = coefficients**2, coefficients**3

    def solved(rows: float, passes: float, hessians: float) -> Operations:
        return Operations(rows * (4.0 * passes * coefficients + hessians * squares), hessians * cubes / 3)

    models = size.models if size.apart == "folds" else 1
    rows = size.samples * (1 - 1 / models) if models > 1 else size.samples
    one = solved(rows, PASSES[effort], HESSIANS[effort])
    passes, rest = models * one.passes + 2.0 * (size.unseen + size.seen) * coefficients, models * one.rest
    if size.apart == "samples":
        passes += 2.0 * size.unseen * squares
        rest += cubes
    if lam:
        sample = min(rows, SOFTMAX_SAMPLE)
        again = solved(sample, WARM_PASSES, WARM_HESSIANS)
        left_out = 2.0 * sample * squares + cubes
        rest += models * len(SOFTMAX_GRID) * (again.total + left_out)
    return Operations(passes, rest)
