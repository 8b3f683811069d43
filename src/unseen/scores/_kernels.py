"""The maths of one observation, shared by pure functions and streaming shells.

A kernel takes a float64 (C, m) block of logits, which it may overwrite, and int64 (m,) labels; it gives (m,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.types import Array

Space: TypeAlias = Literal["probabilities", "logits"]


def parts(z: Array, y: Array) -> Array:
    """What the commonest scores need of softmax(z), which costs most of them: (3, m).

    With e = exp(z - max z): z_y - max z, and the sums of e and of e^2 over the other labels.
    """
    xp, columns = be.namespace(z), be.columns(z)
    z -= xp.amax(z, axis=0)
    own = be.pick(z, y)
    xp.exp(z, out=z)
    z[y, columns] = 0.0
    return xp.stack([own, xp.sum(z, axis=0), xp.einsum("cm,cm->m", z, z)])


def el2n_of(of: Array) -> Array:
    """norm2(p - onehot(y)), without taking anything from 1."""
    xp = be.namespace(of)
    own, rest, squares = of
    return xp.sqrt(squares + rest * rest) / (xp.exp(own) + rest)


def loss_of(of: Array) -> Array:
    """-log p_y."""
    xp = be.namespace(of)
    own, rest, _ = of
    return xp.log(xp.exp(own) + rest) - own


def p_label_of(of: Array) -> Array:
    """p_y."""
    own, rest, _ = of
    own = be.namespace(of).exp(own)
    return own / (own + rest)


def el2n(z: Array, y: Array) -> Array:
    """norm2(p - onehot(y))."""
    return el2n_of(parts(z, y))


def loss(z: Array, y: Array) -> Array:
    """-log p_y."""
    return loss_of(parts(z, y))


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
    return p_label_of(parts(z, y))


def is_correct(z: Array, y: Array) -> Array:
    """1 where the first largest logit is the label's, else 0."""
    return be.double(be.namespace(z).argmax(z, axis=0) == y)


def label_margin(space: Space) -> be.Kernel:
    """The kernel of y less the largest other, in that space."""
    kernels: dict[str, be.Kernel] = {"probabilities": _probability_margin, "logits": _logit_margin}
    if space not in kernels:
        raise ArgumentError(f"space must be one of {sorted(kernels)}, got {space!r}")
    return kernels[space]


# Kernels that are functions of `parts`, which a batch of observations is asked for once.
OF_PARTS: dict[be.Kernel, Callable[[Array], Array]] = {el2n: el2n_of, loss: loss_of, p_label: p_label_of}
