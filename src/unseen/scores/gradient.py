"""Scores from the size of the loss gradient of one sample.

How much a sample weighs in the model, where a learner knows it in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from unseen.core.arrays import Array, IntArray
from unseen.core.observation import Direction, Observation
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Pointwise, rowwise

__all__ = ["CooksDistance", "Grand", "GrandLastLayer", "Leverage", "grand_last_layer"]


def grand_last_layer(logits: Array, features: Array, labels: Array, *, bias: bool = True) -> Array:
    """Length of the cross-entropy gradient over the last linear layer: harder when higher, in [0, inf).

    norm2(p - onehot(y)) x sqrt(norm2(h)^2 + 1) with a bias, x norm2(h) without: exact, one sample at a time, without
    forming the gradient. After Paul et al. 2021 (arXiv 2107.07075), restricted to one layer.

    Args:
        logits: (n, C) float, NumPy or torch.
        features: (n, d) float, h: the input of the last linear layer.
        labels: (n,) integers in 0 .. C - 1.
        bias: whether that layer has a bias.

    Returns:
        float64 (n,), NumPy or torch as the logits are.

    Raises:
        ArgumentError: wrong shapes, labels out of range, NaN or infinite values.

    >>> import numpy as np
    >>> grand_last_layer(np.zeros((1, 2)), np.array([[3.0, 4.0]]), np.array([0]), bias=False).round(4).tolist()
    [3.5355]

    """
    logits, labels = be.checked(logits, labels)
    features = be.like(be.as_array(features), logits)
    if features.ndim != 2 or features.shape[0] != logits.shape[0]:
        raise ArgumentError(
            f"features must be (n, d) with n = {logits.shape[0]} as the logits, got shape {tuple(features.shape)}"
        )
    be.check_finite(features, "features")
    return be.rowwise(be.el2n, logits, labels) * _lengths(features, bias=bias)


def _lengths(features: Array, *, bias: bool) -> Array:
    """norm2 of each row, a bias counting as one more feature of value 1."""
    xp = be.namespace(features)
    out = be.empty(features.shape[0], features)
    for part in be.blocks(features):
        h = be.double(features[part])
        out[part] = xp.einsum("nd,nd->n", h, h)
    return xp.sqrt(out + 1.0 if bias else out)


@dataclass(frozen=True, kw_only=True)
class GrandLastLayer(Pointwise):
    """`grand_last_layer` of the observations asked for.

    Args:
        bias: whether the last layer has a bias.

    Cost:
        One forward pass that keeps the input of the last layer: O(d) memory a sample of a batch, no gradient is formed.

    Fails:
        Where features of fold models differ in length, since it multiplies by it: ranks within a fold (align) are safer
        than raw values. It says nothing of the other layers. A learner without features refuses it.

    """

    bias: bool = True

    name = "grand_last_layer"
    direction: ClassVar[Direction] = "harder"
    low, high = 0.0, math.inf
    needs = frozenset({"logits", "features"})
    formula = "norm2(p - onehot(y)) x sqrt(norm2(h)^2 + 1)"
    source = "Paul et al. 2021 (arXiv 2107.07075), last layer only"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """See `grand_last_layer`."""
        error = rowwise(be.el2n, observation, labels)
        return error * be.like(_lengths(be.as_array(observation.features), bias=self.bias), error)


@dataclass(frozen=True, kw_only=True)
class Grand(Pointwise):
    """Length of the loss gradient over all parameters, as measured by the learner in `Observation.grad_norm`.

    At initialisation, where Paul et al. found it to work, it does not reproduce (Kirsch, arXiv 2303.14753).

    Cost:
        One backward pass a sample, in chunks: by far the dearest score of one observation. Only torch learners give it.

    Fails:
        At initialisation, and as hardest-first at high rates: like `el2n` it finds wrong labels. Its scale depends on
        the network and on how far training went, so only its order compares.

    """

    name = "grand"
    direction: ClassVar[Direction] = "harder"
    low, high = 0.0, math.inf
    needs = frozenset({"grad_norm"})
    formula = "norm2 of the loss gradient over all parameters, one sample at a time"
    source = "Paul et al. 2021 (arXiv 2107.07075); at initialisation not reproducible (arXiv 2303.14753)"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The gradient norm as it was observed."""
        return be.double(be.as_array(observation.grad_norm))


@dataclass(frozen=True, kw_only=True)
class Leverage(Pointwise):
    """How much of the model's output for a sample is the sample's own label, as told in `Observation.leverage`.

    High where features are unlike those of the others; labels do not enter.

    Cost:
        None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails:
        As difficulty: it reads no label, so an outlier is worth much however easy it is. It knows the features only,
        and is as good as they are.

    """

    name = "leverage"
    direction: ClassVar[Direction] = "worth"
    low, high = 0.0, 1.0
    needs = frozenset({"leverage"})
    label_free = True
    formula = "h_ii, the diagonal of H = X (X'X + lam R)^-1 X'"
    source = "Hoaglin and Welsch 1978; from 'ridge' under leave_one_out"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The leverage as it was observed."""
        return be.double(be.as_array(observation.leverage))


@dataclass(frozen=True, kw_only=True)
class CooksDistance(Pointwise):
    """How far all outputs move when a sample is left out, as told in `Observation.cooks_distance`.

    Cost:
        None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails:
        As a ranking of worth where labels are wrong: a wrong label moves the model, so it is influential. It is
        influence in a linear model of the features, not in a network.

    """

    name = "cooks_distance"
    direction: ClassVar[Direction] = "worth"
    low, high = 0.0, math.inf
    needs = frozenset({"cooks_distance"})
    formula = "norm2(Y_i - F_i)^2 h_ii / ((1 - h_ii)^2 p s^2), p the trace of H, s^2 = RSS / (n - p)"
    source = "Cook 1977, summed over outputs; from 'ridge' under leave_one_out"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """The distance as it was observed."""
        return be.double(be.as_array(observation.cooks_distance))
