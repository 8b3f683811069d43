"""All scores as pure functions of logits: arrays in, arrays out, NumPy or torch.

From one observation (n, C): `el2n`, `loss`, `entropy`, `least_confidence`, `margin`, `label_margin`,
`grand_last_layer`. From training dynamics (T, n, C): `aum`, `forgetting`, `correctness`, `confidence`, `variability`,
`dyn_unc`, `dual`, `tdds`. From several models (R, n, C): `memorization`, `holdout_gap`, `reducible`, `disagreement`.
For label quality (n, C): `self_confidence`, `normalized_margin`, `label_issue`, `label_error_share`. To put folds on
one scale: `align`, `temperatures`.

Logits are float, labels integers (n,) in 0 .. C - 1. The result is float64 (n,), of the kind and on the device of the
logits. An `ArgumentError` refuses wrong shapes, labels out of range, NaN and infinite logits, and names what is wrong.

>>> import numpy as np
>>> from unseen import functional
>>> functional.margin(np.array([[0.0, 0.0]])).tolist()
[0.0]
"""

from unseen.scores.alignment import align, temperatures
from unseen.scores.dynamics import aum, confidence, correctness, dual, dyn_unc, forgetting, tdds, variability
from unseen.scores.label_quality import label_error_share, label_issue, normalized_margin, self_confidence
from unseen.scores.pointwise import el2n, entropy, grand_last_layer, label_margin, least_confidence, loss, margin
from unseen.scores.two_sided import disagreement, holdout_gap, memorization, reducible

__all__ = [
    "align", "aum", "confidence", "correctness", "disagreement", "dual", "dyn_unc", "el2n", "entropy", "forgetting",
    "grand_last_layer", "holdout_gap", "label_error_share", "label_issue", "label_margin", "least_confidence", "loss",
    "margin", "memorization", "normalized_margin", "reducible", "self_confidence", "tdds", "temperatures",
    "variability",
]  # fmt: skip
