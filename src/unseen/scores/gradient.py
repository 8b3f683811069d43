"""Scores from the loss gradient of a sample, and from its influence on a model in closed form.

`Grand` and `GrandLastLayer` measure the length of the loss gradient. `Leverage` and `CooksDistance` measure the weight
of a sample in a model; only learners with a closed form provide them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from unseen.core.arrays import Array, IntArray
from unseen.core.observation import Observation
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Pointwise, rowwise


def grand_last_layer(logits: Array, features: Array, labels: Array, *, bias: bool = True) -> Array:
    """Compute the length of the cross-entropy gradient over the last linear layer: harder when higher, in [0, inf).

    It is norm2(p - onehot(y)) x sqrt(norm2(h)^2 + 1) with a bias, and x norm2(h) without one. This is exact for each
    sample, and no gradient is formed. After Paul et al. 2021 (arXiv 2107.07075), restricted to one layer.

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
    """Compute norm2 of each row; a bias counts as one more feature of value 1."""
    xp = be.namespace(features)
    out = be.empty(features.shape[0], features)
    for part in be.blocks(features):
        h = be.double(features[part])
        out[part] = xp.einsum("nd,nd->n", h, h)
    return xp.sqrt(out + 1.0 if bias else out)


@dataclass(frozen=True, kw_only=True)
class GrandLastLayer(Pointwise):
    """`grand_last_layer` of the requested observations.

    Args:
        bias: whether the last layer has a bias.

    Cost:
        One forward pass that keeps the input of the last layer: O(d) memory a sample of a batch, no gradient is formed.

    Fails:
        If the features of fold models differ in length, since it multiplies by the length: ranks within a fold (align)
        are safer than raw values. It ignores the other layers. A learner without features refuses it.
    """

    bias: bool = True

    name = "grand_last_layer"
    direction = "harder"
    low, high = 0.0, math.inf
    needs = frozenset({"logits", "features"})
    formula = "norm2(p - onehot(y)) x sqrt(norm2(h)^2 + 1)"
    source = "Paul et al. 2021 (arXiv 2107.07075), last layer only"

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Compute `grand_last_layer`."""
        error = rowwise(be.el2n, observation, labels)
        return error * be.like(_lengths(be.as_array(observation.features), bias=self.bias), error)


@dataclass(frozen=True, kw_only=True)
class Grand(Pointwise):
    """Length of the loss gradient over all parameters, as measured by the learner in `Observation.grad_norm`.

    At initialisation, where Paul et al. found it to work, it does not reproduce (Kirsch, arXiv 2303.14753).

    Cost:
        One backward pass a sample, in chunks: by far the most expensive score of one observation. Only torch learners
        provide it.

    Fails:
        At initialisation, and as hardest-first at high rates: like `el2n` it finds wrong labels. Its scale depends on
        the network and on how far training went, so only its order compares.
    """

    name = "grand"
    direction = "harder"
    low, high = 0.0, math.inf
    needs = frozenset({"grad_norm"})
    formula = "norm2 of the loss gradient over all parameters, one sample at a time"
    source = "Paul et al. 2021 (arXiv 2107.07075); at initialisation not reproducible (arXiv 2303.14753)"


@dataclass(frozen=True, kw_only=True)
class Leverage(Pointwise):
    """The weight of a sample's own label in the model's output for it, read from `Observation.leverage`.

    It is high for samples whose features differ from those of the others. It does not depend on labels.

    Cost:
        None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails:
        As a measure of difficulty: it reads no label, so an outlier scores high however easy it is. It depends on the
        features only, and is as good as they are.
    """

    name = "leverage"
    direction = "worth"
    low, high = 0.0, 1.0
    needs = frozenset({"leverage"})
    label_free = True
    formula = "h_ii, the diagonal of H = X (X'X + lam R)^-1 X'"
    source = "Hoaglin and Welsch 1978; from 'ridge' under leave_one_out"


@dataclass(frozen=True, kw_only=True)
class CooksDistance(Pointwise):
    """The distance that all outputs move when a sample is left out, read from `Observation.cooks_distance`.

    Cost:
        None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails:
        As a ranking of worth where labels are wrong: a wrong label moves the model, so it is influential. It is
        influence in a linear model of the features, not in a network.
    """

    name = "cooks_distance"
    direction = "worth"
    low, high = 0.0, math.inf
    needs = frozenset({"cooks_distance"})
    formula = "norm2(Y_i - F_i)^2 h_ii / ((1 - h_ii)^2 p s^2), p the trace of H, s^2 = RSS / (n - p)"
    source = "Cook 1977, summed over outputs; from 'ridge' under leave_one_out"
