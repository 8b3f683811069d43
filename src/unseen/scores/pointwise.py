"""Scores from one observation of a sample: the logits of one model after one epoch.

The pure functions take logits, float (n, C), and labels, integers (n,) in 0 .. C - 1, of NumPy or torch. They return
float64 (n,), of the kind and on the device of the logits, and raise `ArgumentError` for wrong shapes, labels out of
range, and NaN or infinite logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from unseen.core.arrays import Array, IntArray
from unseen.core.observation import Observation
from unseen.scores import _backend as be
from unseen.scores._backend import Space
from unseen.scores.streaming import Pointwise, rowwise


def el2n(logits: Array, labels: Array) -> Array:
    """Compute the length of the error vector, norm2(p - onehot(y)): harder when higher, in [0, sqrt 2].

    Paul et al. 2021 (arXiv 2107.07075), who take it early in training and average over several models.

    (n, C) logits and (n,) labels give float64 (n,); `ArgumentError` says what does not fit.

    >>> import numpy as np
    >>> el2n(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.7071, 1.2728]
    """
    return be.rowwise(be.el2n, *be.checked(logits, labels))


def loss(logits: Array, labels: Array) -> Array:
    """Compute the cross-entropy, -log p_y: harder when higher, in [0, inf).

    (n, C) logits and (n,) labels give float64 (n,); `ArgumentError` says what does not fit.

    >>> import numpy as np
    >>> loss(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.6931, 2.3026]
    """
    return be.rowwise(be.loss, *be.checked(logits, labels))


def entropy(logits: Array, labels: Array | None = None) -> Array:
    """Compute the entropy of the prediction in nats, -sum p log p: harder when higher, in [0, log C].

    0 log 0 counts as 0. Label-free (Coleman et al. 2020).

    (n, C) logits give float64 (n,); labels are not read. `ArgumentError` says what does not fit.

    >>> import numpy as np
    >>> entropy(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.6931, 0.3251]
    """
    return be.rowwise(be.entropy, *be.checked(logits, labels))


def least_confidence(logits: Array, labels: Array | None = None) -> Array:
    """Compute the least confidence, 1 - max p: harder when higher, in [0, 1 - 1/C].

    Label-free.

    (n, C) logits give float64 (n,); labels are not read. `ArgumentError` says what does not fit.

    >>> import numpy as np
    >>> least_confidence(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.5, 0.1]
    """
    return be.rowwise(be.least_confidence, *be.checked(logits, labels))


def margin(logits: Array, labels: Array | None = None) -> Array:
    """Compute the largest probability less the second largest: easier when higher, in [0, 1].

    Label-free.

    (n, C) logits give float64 (n,); labels are not read. `ArgumentError` says what does not fit.

    >>> import numpy as np
    >>> margin(np.log([[0.5, 0.5], [0.9, 0.1]])).round(4).tolist()
    [0.0, 0.8]
    """
    return be.rowwise(be.margin, *be.checked(logits, labels))


def label_margin(logits: Array, labels: Array, *, space: Space = "probabilities") -> Array:
    """Compute p_y less the largest other p: easier when higher, in [-1, 1]; below 0 where the prediction is wrong.

    (n, C) logits and (n,) labels give float64 (n,); `ArgumentError` says what does not fit.
    With `space="logits"` it is the same difference of logits, unbounded.

    >>> import numpy as np
    >>> label_margin(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).round(4).tolist()
    [0.0, -0.8]
    >>> label_margin(np.array([[1.0, 3.0, 0.0]]), np.array([0]), space="logits").tolist()
    [-2.0]
    """
    return be.rowwise(be.label_margin(space), *be.checked(logits, labels))


@dataclass(frozen=True, kw_only=True)
class El2n(Pointwise):
    """`el2n` of the requested observations.

    Fails:
        As hardest-first beyond a third pruned: wrong labels are at the hard end, and at 80 % it loses 25 points to
        random on CIFAR-10 (benchmarks/quality/results.md). In-sample scores of models that fit everything have no
        spread.
    """

    name = "el2n"
    kernel = staticmethod(be.el2n)
    direction = "harder"
    low, high = 0.0, math.sqrt(2)
    formula = "norm2(p - onehot(y))"
    source = "Paul et al. 2021 (arXiv 2107.07075)"


@dataclass(frozen=True, kw_only=True)
class Loss(Pointwise):
    """`loss` of the requested observations; it also accepts a recorded loss of any task in place of logits.

    Fails:
        It is unbounded: a few wrong labels stretch the range, so that strata of equal width hold most samples in one
        (benchmarks/quality/results.md: held out, it gains nothing over in-sample there). Not comparable between models
        of different calibration without align.
    """

    name = "loss"
    direction = "harder"
    low, high = 0.0, math.inf
    formula = "-log p_y"
    source = "cross-entropy"
    from_loss = True


@dataclass(frozen=True, kw_only=True)
class Entropy(Pointwise):
    """`entropy` of the requested observations.

    Fails:
        It reads no label: a sample whose prediction is confident and wrong counts as easy, so held out it does not find
        label errors (AUROC 0.50 for flipped labels, benchmarks/quality/results.md). In-sample, by hardest-first, it
        loses to random from half pruned on.
    """

    name = "entropy"
    kernel = staticmethod(be.entropy)
    direction = "harder"
    low, high = 0.0, math.inf
    formula = "-sum p log p"
    source = "Coleman et al. 2020 (arXiv 1906.11829)"
    label_free = True


@dataclass(frozen=True, kw_only=True)
class LeastConfidence(Pointwise):
    """`least_confidence` of the requested observations.

    Fails:
        As `entropy`, with the same ranking for two classes: it reads no label, and a confident error counts as easy.
    """

    name = "least_confidence"
    kernel = staticmethod(be.least_confidence)
    direction = "harder"
    low, high = 0.0, 1.0
    formula = "1 - max p"
    source = "Lewis and Gale 1994"
    label_free = True


@dataclass(frozen=True, kw_only=True)
class Margin(Pointwise):
    """`margin` of the requested observations.

    Fails:
        As `entropy`: it reads no label. With many classes it depends on the two most probable ones only.
    """

    name = "margin"
    kernel = staticmethod(be.margin)
    direction = "easier"
    low, high = 0.0, 1.0
    formula = "p(1st) - p(2nd)"
    source = "Scheffer et al. 2001"
    label_free = True


@dataclass(frozen=True, kw_only=True)
class LabelMargin(Pointwise):
    """`label_margin` of the requested observations.

    Fails:
        As `el2n`: its low end collects label errors, and hardest-first fails at high rates. For probabilities it
        saturates at 1 and -1, where samples differ by rounding only; `space="logits"` does not saturate.
    """

    space: Space = "probabilities"

    name = "label_margin"
    direction = "easier"
    low, high = -1.0, 1.0
    formula = "p_y - max over others of p"
    source = "Northcutt et al. 2021 (arXiv 1911.00068)"

    def __post_init__(self) -> None:
        super().__post_init__()
        be.label_margin(self.space)  # refuses another space
        if self.space == "logits":
            # Differences of logits have no bounds: this instance declares a wider range than its class.
            object.__setattr__(self, "low", -math.inf)
            object.__setattr__(self, "high", math.inf)

    def measure(self, observation: Observation, labels: IntArray) -> Array:
        """Compute `label_margin`."""
        return rowwise(be.label_margin(self.space), observation, labels)
