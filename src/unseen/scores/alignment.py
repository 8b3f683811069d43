"""Alignment: scores of differently calibrated fold models on one scale, by ranks or by temperatures.

Alignment happens in selection; score tables always hold raw scores. One temperature a fold, fitted by held-out log loss
on its watch set, puts probabilities on one scale, and distances between scores keep their meaning. `Tempered` is the
score of logits divided by the temperature of their fold. `align="temperature"` reads it from the table, where it stands
beside the raw score. Each temperature is one number that was fitted to labels; the manifest says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Array, FloatArray, IntArray, as_numpy
from unseen.core.exposure import Observation, Side
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Pointwise, State, Wrapper, require

Alignment: TypeAlias = Literal["rank", "none", "temperature"]
HOW: tuple[Alignment, ...] = ("rank", "none", "temperature")
SHARPEST, FLATTEST = 1e-2, 1e2  # a temperature beyond these only means that a fold is all right or all wrong


def align(
    values: Array,
    folds: Array,
    *,
    how: Alignment = "rank",
    function: Callable[[Array, Array], Array] | None = None,
    logits: Array | None = None,
    labels: Array | None = None,
) -> Array:
    """Put the scores of differently calibrated fold models on one scale.

    - `"rank"`: (average rank within the fold - 0.5) / n_fold, in (0, 1). For rules that need only the order; folds
      stratified by class are exchangeable. If most folds are a single sample (leave-one-out), a rank within a fold
      carries no information, and the models differ by one sample only: all samples are ranked together. The same holds
      for a score computed from all repeats at once, which has one row for several rows of folds.
    - `"none"`: scores as they are.
    - `"temperature"`: the score of logits divided by the temperature of their fold (see `temperatures`). It cannot be
      computed from scores alone: give the pure function, the logits and the labels.

    Args:
        values: float (n,) or (R, n), NumPy or torch; NaN where a sample was not scored.
        folds: integer (n,) or (R, n), the fold of each sample; -1 where it was not scored.
        how: `"rank"`, `"none"` or `"temperature"`.
        function: for `"temperature"`, the score of (n, C) logits and labels, such as `unseen.functional.el2n`.
        logits: for `"temperature"`, held-out logits (n, C) or (R, n, C).
        labels: for `"temperature"`, (n,) integers in 0 .. C - 1.

    Returns:
        float64, of the shape and kind of `values`; NaN where not scored.

    Raises:
        ArgumentError: shapes that do not belong together, or an argument that `how` needs or does not read.

    >>> align(np.array([1.0, 5.0, 3.0, 0.1, 0.2]), np.array([0, 0, 0, 1, 1])).round(4).tolist()
    [0.1667, 0.8333, 0.5, 0.25, 0.75]
    """
    raw = as_numpy(values).astype(np.float64)
    rows, fold_of = _pair_rows(raw, as_numpy(folds))
    given = [name for name, it in (("function", function), ("logits", logits), ("labels", labels)) if it is not None]
    if how not in HOW:
        raise ArgumentError(f"how must be one of {HOW}, got {how!r}")
    if how == "temperature":
        if function is None or logits is None or labels is None:
            raise ArgumentError(
                "how='temperature' rescales logits, so scores alone do not suffice; pass function=, logits= and "
                f"labels= too (got {', '.join(given) or 'none of them'}), or use how='rank' or 'none'"
            )
        aligned = _score_tempered(rows, fold_of, function, as_numpy(logits), as_numpy(labels))
    elif given:
        raise ArgumentError(f"{', '.join(given)} would change nothing with how={how!r}; leave this out")
    elif how == "rank":
        aligned = np.stack([_rank_within_folds(*pair) for pair in zip(rows, fold_of, strict=True)])
    else:
        aligned = np.where(fold_of < 0, np.nan, rows)
    return be.like(aligned.reshape(raw.shape), values)


def temperatures(logits: Array, labels: Array, folds: Array) -> FloatArray:
    """Fit one temperature a fold: the T for which softmax(z / T) has the least held-out log loss.

    It is limited to 0.01 .. 100; a fold that is all right or all wrong has no finite optimum. (n, C) held-out logits,
    (n,) labels and (n,) folds, -1 where a sample was not scored, give NumPy float64 (K,), K the largest fold + 1; NaN
    for a fold without samples. `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    >>> temperatures(logits, np.array([0, 0, 1, 1]), np.zeros(4, int)).round(4).tolist()
    [3.641]
    """
    fold_of = as_numpy(folds)
    logits = be.as_array(logits)
    if fold_of.shape != tuple(logits.shape[:1]) or fold_of.dtype.kind not in "iu":
        raise ArgumentError(
            f"folds must be integers (n,) = {tuple(logits.shape[:1])}, got {fold_of.dtype} {fold_of.shape}"
        )
    scored = fold_of >= 0
    z, y = be.checked(as_numpy(logits)[scored], as_numpy(labels)[scored])
    fold_of = fold_of[scored]
    fitted = np.full(int(fold_of.max(initial=-1)) + 1, np.nan)
    for fold in np.unique(fold_of):
        fitted[fold] = temperature_of(z[fold_of == fold], y[fold_of == fold])
    return fitted


def temperature_of(logits: FloatArray, y: IntArray) -> float:
    """Fit the temperature of one fold, whose logits and labels are checked already.

    Log loss is convex in 1 / T; its slope is E_p[z] - z_y.
    """
    from scipy.optimize import brentq  # imported here: it takes a fifth of a second

    def slope(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)

        def kernel(z: FloatArray, y: IntArray) -> FloatArray:
            z -= z.max(axis=0)
            own = be.pick(z, y)
            p = np.exp(z / temperature)
            slopes: FloatArray = np.einsum("cm,cm->m", p, z) / p.sum(axis=0) - own
            return slopes

        return float(be.rowwise(kernel, logits, y).mean())

    sharp, flat = np.log(SHARPEST), np.log(FLATTEST)
    if slope(sharp) <= 0.0:  # the loss still falls towards sharper temperatures
        return SHARPEST
    if slope(flat) >= 0.0:
        return FLATTEST
    return float(np.exp(brentq(slope, sharp, flat, xtol=1e-12)))


def _score_tempered(
    rows: FloatArray,
    fold_of_rows: IntArray,
    function: Callable[[Array, Array], Array],
    logits: npt.NDArray[np.float64],
    labels: IntArray,
) -> FloatArray:
    logits = logits[None] if logits.ndim == 2 else logits
    if logits.ndim != 3 or logits.shape[:2] != rows.shape or fold_of_rows.shape != rows.shape:
        raise ArgumentError(
            f"logits must be (R, n, C) with (R, n) = {rows.shape} as values and folds, got shape {logits.shape}"
        )
    out = np.full(rows.shape, np.nan)
    for r, fold_of in enumerate(fold_of_rows):
        scored = (fold_of >= 0) & ~np.isnan(rows[r])
        temperature = temperatures(logits[r], labels, np.where(scored, fold_of, -1))
        z = logits[r][scored] / temperature[fold_of[scored]][:, None]
        out[r, scored] = as_numpy(function(z, labels[scored]))
    return out


def _pair_rows(values: FloatArray, folds: npt.NDArray[np.int64]) -> tuple[FloatArray, IntArray]:
    """Check values and folds; return the rows of both, (R, n) each."""
    rows, fold_of = np.atleast_2d(values), np.atleast_2d(folds)
    if rows.ndim != 2 or fold_of.ndim != 2 or rows.shape[1] != fold_of.shape[1] or fold_of.dtype.kind not in "iu":
        raise ArgumentError(
            "values and folds must be (n,) or (R, n) with the same n, folds integer; "
            f"got {values.shape} and {folds.dtype} {folds.shape}"
        )
    if len(rows) == 1 and len(fold_of) > 1:
        fold_of = np.where((fold_of >= 0).any(axis=0), 0, -1)[None]  # a score of all repeats at once has one scale
    elif len(fold_of) == 1:
        fold_of = np.broadcast_to(fold_of, rows.shape)
    elif len(rows) != len(fold_of):
        raise ArgumentError(f"values hold {len(rows)} repeats, but folds {len(fold_of)}; they must be as many")
    return rows, fold_of.astype(np.int64)


def _rank_within_folds(values: FloatArray, folds: IntArray) -> FloatArray:
    """Compute mid-ranks within each fold, scaled to (0, 1)."""
    from scipy.stats import rankdata  # imported here: it is slow to import

    scored = (folds >= 0) & ~np.isnan(values)
    _, fold_of = np.unique(folds[scored], return_inverse=True)
    sizes = np.bincount(fold_of)
    if sizes.size and np.median(sizes) == 1:
        fold_of, sizes = np.zeros_like(fold_of), np.array([fold_of.size])
    # Ranks within folds from one sort: rank by (fold, value), then subtract the number of samples in earlier folds.
    dense = np.unique(values[scored], return_inverse=True)[1]
    ranks = rankdata(fold_of * (dense.max(initial=0) + 1) + dense) - (np.cumsum(sizes) - sizes)[fold_of]
    out = np.full(len(values), np.nan)
    out[scored] = (ranks - 0.5) / sizes[fold_of]
    return out


@dataclass(frozen=True)
class Tempered(Wrapper):
    """A score of the last observation, such as `el2n`, from logits divided by the temperature of their fold.

    The state holds the last logits of each sample (C float64) until the fit ends.

    >>> from unseen.scores import resolve
    >>> resolve("el2n@temperature").label
    'el2n@temperature'
    """

    name = "tempered"
    suffix = "@temperature"
    whole = True
    formula = "the score of z / T, T fitted for each fold by held-out log loss"
    source = "Guo et al. 2017 (arXiv 1706.04599)"
    fitted_on_labels = "one temperature a fold, by held-out log loss"

    def __post_init__(self) -> None:
        if not isinstance(self.of, Pointwise) or self.of.needs != {"logits"} or self.of.epochs is not None:
            raise ArgumentError(
                f"a temperature rescales logits, which {self.of.label!r} does not read from the last observation "
                "alone; use el2n, loss, entropy, least_confidence, margin or label_margin without epochs=, or align "
                "by rank"
            )
        super().__post_init__()

    def start(self, side: Side, m: int, classes: int) -> State:
        """Make the state: the last logits, and the labels that the temperature is fitted on."""
        return {"logits": np.zeros((m, classes)), "labels": np.zeros(m, np.int64), "count": np.zeros(m, np.int32)}

    def update(self, state: State, side: Side, at: IntArray, observation: Observation, labels: IntArray) -> None:
        """Replace earlier logits by these."""
        if observation.logits is not None:
            state["logits"][at] = as_numpy(observation.logits)
            state["labels"][at] = labels
            state["count"][at] = 1

    def finish(self, state: State, side: Side) -> State:
        """Compute the score of the rescaled logits."""
        require(self, state["count"], 1)
        m = len(state["labels"])
        temperature = temperatures(state["logits"], state["labels"], np.zeros(m, np.int64))[0]
        rescaled = Observation(np.arange(m), 1, logits=state["logits"] / temperature)
        assert isinstance(self.of, Pointwise)
        return {"value": as_numpy(self.of.measure(rescaled, state["labels"]))}
