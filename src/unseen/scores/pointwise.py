"""Scores from one observation of a sample by one model: its logits, its gradient, or its influence in closed form.

The pure functions take logits, float (n, C), and labels, integers (n,) in 0 .. C - 1, of NumPy or torch. They return
float64 (n,), of the kind and on the device of the logits, and raise `ArgumentError` for wrong shapes, labels out of
range, and NaN or infinite logits. `Grand`, `Leverage` and `CooksDistance` read what a learner has measured, and have no
pure function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from unseen.core.arrays import Array, IntArray
from unseen.core.exposure import Observation
from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.streaming import Pointwise, rowwise


def el2n(logits: Array, labels: Array) -> Array:
    """Compute the length of the error vector, norm2(p - onehot(y)): harder when higher, in [0, sqrt 2].

    (n, C) logits and (n,) labels give float64 (n,). Paul et al. 2021 (arXiv 2107.07075) take it early in training and
    average over several models. `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> import numpy as np
    >>> el2n(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.7071, 1.2728]
    """
    return be.rowwise(be.el2n, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class El2n(Pointwise):
    """`el2n` of the requested observations.

    Fails: With hardest-first beyond a third pruned: wrong labels are among the hardest, and at 80 % it loses 25 points
    to random on CIFAR-10 (benchmarks/quality/results.md). In-sample scores of models that fit everything do not differ.
    """

    name = "el2n"
    kernel = staticmethod(be.el2n)
    direction = "harder"
    low, high = 0.0, math.sqrt(2)
    formula = "norm2(p - onehot(y))"
    source = "Paul et al. 2021 (arXiv 2107.07075)"


def loss(logits: Array, labels: Array) -> Array:
    """Compute the cross-entropy, -log p_y: harder when higher, in [0, inf).

    (n, C) logits and (n,) labels give float64 (n,). `ArgumentError` refuses wrong shapes, labels out of range, NaN and
    infinite logits.

    >>> import numpy as np
    >>> loss(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.6931, 2.3026]
    """
    return be.rowwise(be.loss, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class Loss(Pointwise):
    """`loss` of the requested observations; it also accepts a recorded loss of any task in place of logits.

    Fails: It is unbounded: a few wrong labels stretch the range, so that strata of equal width hold most samples in one
    (benchmarks/quality/results.md: held out, it gains nothing over in-sample there). Not comparable between models of
    different calibration without align.
    """

    name = "loss"
    direction = "harder"
    low, high = 0.0, math.inf
    formula = "-log p_y"
    source = "cross-entropy"
    from_loss = True


def entropy(logits: Array, labels: Array | None = None) -> Array:
    """Compute the entropy of the prediction in nats, -sum p log p: harder when higher, in [0, log C].

    (n, C) logits give float64 (n,); labels are not read. 0 log 0 counts as 0. Coleman et al. 2020 (arXiv 1906.11829).
    `ArgumentError` refuses wrong shapes, NaN and infinite logits.

    >>> import numpy as np
    >>> entropy(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.6931, 0.3251]
    """
    return be.rowwise(be.entropy, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class Entropy(Pointwise):
    """`entropy` of the requested observations.

    Fails: It reads no label: a sample whose prediction is confident and wrong counts as easy, so held out it does not
    find label errors (AUROC 0.50 for flipped labels, benchmarks/quality/results.md). In-sample, with hardest-first, it
    loses to random from 50 % pruned on.
    """

    name = "entropy"
    kernel = staticmethod(be.entropy)
    direction = "harder"
    low, high = 0.0, math.inf
    formula = "-sum p log p"
    source = "Coleman et al. 2020 (arXiv 1906.11829)"
    label_free = True


def least_confidence(logits: Array, labels: Array | None = None) -> Array:
    """Compute the least confidence, 1 - max p: harder when higher, in [0, 1 - 1/C].

    (n, C) logits give float64 (n,); labels are not read. `ArgumentError` refuses wrong shapes, NaN and infinite logits.

    >>> import numpy as np
    >>> least_confidence(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.5, 0.1]
    """
    return be.rowwise(be.least_confidence, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class LeastConfidence(Pointwise):
    """`least_confidence` of the requested observations.

    Fails: Like `entropy`, and with the same ranking for two classes: it reads no label, and a confident error counts as
    easy.
    """

    name = "least_confidence"
    kernel = staticmethod(be.least_confidence)
    direction = "harder"
    low, high = 0.0, 1.0
    formula = "1 - max p"
    source = "Lewis and Gale 1994"
    label_free = True


def margin(logits: Array, labels: Array | None = None) -> Array:
    """Compute the largest probability less the second largest: easier when higher, in [0, 1].

    (n, C) logits give float64 (n,); labels are not read. `ArgumentError` refuses wrong shapes, NaN and infinite logits.

    >>> import numpy as np
    >>> margin(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.0, 0.8]
    """
    return be.rowwise(be.margin, *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class Margin(Pointwise):
    """`margin` of the requested observations.

    Fails: Like `entropy`, it reads no label. With many classes it depends on the two most probable ones only.
    """

    name = "margin"
    kernel = staticmethod(be.margin)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "p(1st) - p(2nd)"
    source = "Scheffer et al. 2001"
    label_free = True


def label_margin(logits: Array, labels: Array, *, space: be.Space = "probabilities") -> Array:
    """Compute p_y less the largest other p: easier when higher, in [-1, 1]; below 0 where the prediction is wrong.

    (n, C) logits and (n,) labels give float64 (n,). With `space="logits"` it is the same difference of logits,
    unbounded. `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

    >>> import numpy as np
    >>> label_margin(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.0, -0.8]
    >>> label_margin(np.array([[1.0, 3.0, 0.0]]), np.array([0]), space="logits").tolist()
    [-2.0]
    """
    return be.rowwise(be.label_margin(space), *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class LabelMargin(Pointwise):
    """`label_margin` of the requested observations.

    Fails: Like `el2n`: label errors are at its low end, and hardest-first fails at high rates. For probabilities it
    saturates at 1 and -1, where samples differ by rounding only; `space="logits"` does not saturate.
    """

    space: be.Space = "probabilities"

    name = "label_margin"
    direction = "easier"
    low, high = -1.0, 1.0
    formula = "p_y - max over others of p"
    source = "Northcutt et al. 2021 (arXiv 1911.00068)"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kernel", be.label_margin(self.space))
        if self.space == "logits":
            # Differences of logits have no bounds: this instance declares a wider range than its class.
            object.__setattr__(self, "low", -math.inf)
            object.__setattr__(self, "high", math.inf)


def grand_last_layer(logits: Array, features: Array, labels: Array, *, bias: bool = True) -> Array:
    """Compute the length of the cross-entropy gradient over the last linear layer: harder when higher, in [0, inf).

    It is norm2(p - onehot(y)) x sqrt(norm2(h)^2 + 1) if that layer has a `bias`, and x norm2(h) without one. This is
    exact for each sample, and no gradient is formed. (n, C) logits, (n, d) features h, which are the input of that
    layer, and (n,) labels give float64 (n,). After Paul et al. 2021 (arXiv 2107.07075), restricted to one layer.
    `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits.

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

    Cost: One forward pass that keeps the input of the last layer: O(d) memory a sample of a batch, no gradient is
    formed.

    Fails: If the features of fold models differ in length, since it multiplies by the length: ranks within a fold
    (align) are safer than raw values. It ignores the other layers. A learner without features refuses it.
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

    The finding of Paul et al. at initialisation does not reproduce (Kirsch, arXiv 2303.14753).

    Cost: One backward pass a sample, in chunks: by far the most expensive score of one observation. Only torch learners
    provide it.

    Fails: At initialisation; and with hardest-first at high rates, since like `el2n` it ranks wrong labels highest. Its
    scale depends on the network and on the length of training, so compare ranks only.
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

    Cost: None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails: As a measure of difficulty: it reads no label, so an outlier scores high however easy it is. It depends on
    the features only, and is as good as they are.
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

    Cost: None beside the closed form: O(n d^2), in the same pass that judges the samples.

    Fails: As a ranking of worth where labels are wrong: a wrong label moves the model, so it is influential. It is
    influence in a linear model of the features, not in a network.
    """

    name = "cooks_distance"
    direction = "worth"
    low, high = 0.0, math.inf
    needs = frozenset({"cooks_distance"})
    formula = "norm2(Y_i - F_i)^2 h_ii / ((1 - h_ii)^2 p s^2), p the trace of H, s^2 = RSS / (n - p)"
    source = "Cook 1977, summed over outputs; from 'ridge' under leave_one_out"
