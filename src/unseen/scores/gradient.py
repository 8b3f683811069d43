"""Scores from the size of the loss gradient of one sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores import _kernels as kernels
from unseen.scores.shells import Pointwise, rowwise
from unseen.types import Array, Direction, IntArray, Observation

__all__ = ["Grand", "GrandLastLayer", "grand_last_layer"]


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
    return be.rowwise(kernels.el2n, logits, labels) * _lengths(features, bias=bias)


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
        error = rowwise(kernels.el2n, observation, labels)
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
