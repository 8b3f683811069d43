"""The maths of one observation, shared by pure functions and streaming shells.

A kernel takes a float64 (C, m) block of logits, which it may overwrite, and int64 (m,) labels; it gives (m,).
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.types import Array

Space: TypeAlias = Literal["probabilities", "logits"]


def el2n(z: Array, y: Array) -> Array:
    """norm2(p - onehot(y))."""
    error = be.softmax(z)
    error[y, be.columns(z)] -= 1.0
    error *= error
    xp = be.namespace(z)
    return xp.sqrt(xp.sum(error, axis=0))


def loss(z: Array, y: Array) -> Array:
    """-log p_y."""
    return 0.0 - be.pick(be.log_softmax(z), y)  # never -0.0


def entropy(z: Array, y: Array) -> Array:
    """-sum p log p."""
    xp = be.namespace(z)
    log_p = be.log_softmax(z)
    log_p *= xp.exp(log_p)  # logs are finite, so 0 log 0 is 0
    return 0.0 - xp.sum(log_p, axis=0)


def least_confidence(z: Array, y: Array) -> Array:
    """1 - max p."""
    return 1.0 - be.namespace(z).amax(be.softmax(z), axis=0)


def margin(z: Array, y: Array) -> Array:
    """p(1st) - p(2nd)."""
    return _probability_margin(z, be.namespace(z).argmax(z, axis=0))


def _probability_margin(z: Array, y: Array) -> Array:
    return _logit_margin(be.softmax(z), y)


def _logit_margin(z: Array, y: Array) -> Array:
    own = be.pick(z, y)
    z[y, be.columns(z)] = -math.inf
    return own - be.namespace(z).amax(z, axis=0)


def p_label(z: Array, y: Array) -> Array:
    """The probability of the label."""
    return be.namespace(z).exp(be.pick(be.log_softmax(z), y))


def is_correct(z: Array, y: Array) -> Array:
    """1 where the first largest logit is the label's, else 0."""
    return be.double(be.namespace(z).argmax(z, axis=0) == y)


def label_margin(space: Space) -> be.Kernel:
    """The kernel of y less the largest other, in that space."""
    kernels: dict[str, be.Kernel] = {"probabilities": _probability_margin, "logits": _logit_margin}
    if space not in kernels:
        raise ArgumentError(f"space must be one of {sorted(kernels)}, got {space!r}")
    return kernels[space]
