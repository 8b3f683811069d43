"""Array operations for NumPy and torch, and the kernels of scores that pure functions and streaming forms share.

A kernel takes a float64 (C, m) block of logits, which it may overwrite, and int64 (m,) labels; it returns (m,).

Blocks are class first, (C, m), and with few classes also contiguous in that order. Operations over classes then run
along whole rows of samples, which is several times faster than along a short axis.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from unseen.core.arrays import Array, as_numpy, check_real, dense, is_tensor, unmasked
from unseen.core.checks import one_of
from unseen.core.machine import for_each
from unseen.errors import ArgumentError, some

# On a CPU, a block and its temporaries fit in the cache of a core; a GPU is faster with few large blocks.
CPU_BLOCK = 1 << 16
GPU_BLOCK = 1 << 24
MANY = 256  # from this number of classes on, NumPy is faster along the class axis than across it

Kernel = Callable[[Array, Array], Array]


def namespace(x: Array) -> Any:
    """Return the module `torch` or `numpy`; the functions used here have the same names in both."""
    return sys.modules["torch"] if is_tensor(x) else np


def as_array(x: Array, name: str = "an array") -> Array:
    """Return a detached tensor or a NumPy array; refuse masked entries and sparse tensors, naming `name`."""
    return dense(x, name) if is_tensor(x) else np.asarray(unmasked(x, name))


def like(x: Array, model: Array) -> Array:
    """Convert `x` to the kind of array that `model` is, on the same device."""
    if not is_tensor(model):
        return as_numpy(x)
    if isinstance(x, np.ndarray) and not x.flags.writeable:
        x = x.copy()  # torch warns of read-only memory
    return namespace(model).as_tensor(x, device=model.device)


def double(x: Array) -> Array:
    """Convert an array or tensor to float64."""
    return x.double() if is_tensor(x) else np.asarray(x, dtype=np.float64)


def empty(shape: int | tuple[int, ...], model: Array) -> Array:
    """Make an uninitialised float64 array of the kind and device of `model`."""
    if is_tensor(model):
        torch = namespace(model)
        return torch.empty(shape, dtype=torch.float64, device=model.device)
    return np.empty(shape)


def blocks(model: Array) -> Iterator[slice]:
    """Yield slices of the samples of `model` (m, width), one for each block."""
    size = GPU_BLOCK if is_tensor(model) and model.device.type != "cpu" else CPU_BLOCK
    step = max(1, size // model.shape[1])
    for start in range(0, model.shape[0], step):
        yield slice(start, start + step)


def class_first(logits: Array) -> Array:
    """Copy (m, C) logits to a new float64 (C, m) block."""
    if is_tensor(logits):
        torch = namespace(logits)
        return logits.T.to(torch.float64, memory_format=torch.contiguous_format, copy=True).contiguous()
    return np.array(logits.T, dtype=np.float64, order="C" if len(logits.T) < MANY else "F")


def rowwise(kernel: Kernel, logits: Array, labels: Array, *, numbers: int | None = None) -> Array:
    """Apply a kernel to (m, C) logits and (m,) labels of the same kind, block by block.

    Returns float64 (m,), or (numbers, m) for a kernel that returns several numbers a sample.
    """
    logits = as_array(logits)
    m = logits.shape[0]
    out = empty(m if numbers is None else (numbers, m), logits)

    def work(part: slice) -> None:
        out[..., part] = kernel(class_first(logits[part]), labels[part])

    if is_tensor(logits):  # torch uses its own threads
        for part in blocks(logits):
            work(part)
    else:
        for_each(work, list(blocks(logits)))  # mostly a single block, for which no thread is started
    return out


def pick(z: Array, y: Array) -> Array:
    """Select the entry of each sample's label, (m,) from (C, m)."""
    return z[y, columns(z)]


def largest(x: Array, k: int) -> Array:
    """Find the columns of the k largest entries of each row of (m, width), (m, k), in any order."""
    if is_tensor(x):
        return namespace(x).topk(x, k, dim=1, sorted=False).indices
    return np.argpartition(x, x.shape[1] - k, axis=1)[:, x.shape[1] - k :]


def columns(z: Array) -> Array:
    """Return 0 .. m - 1, for indexing."""
    return namespace(z).arange(z.shape[1], device=z.device) if is_tensor(z) else np.arange(z.shape[1])


def log_softmax(z: Array) -> Array:
    """Compute log probabilities of a (C, m) block, in place."""
    xp = namespace(z)
    z -= xp.amax(z, axis=0)
    z -= xp.log(xp.sum(xp.exp(z), axis=0))
    return z


def softmax(z: Array) -> Array:
    """Compute probabilities of a (C, m) block, in place."""
    xp = namespace(z)
    z -= xp.amax(z, axis=0)
    xp.exp(z, out=z)
    z /= xp.sum(z, axis=0)
    return z


def entr(p: Array) -> Array:
    """Compute -p log p, which is 0 at 0."""
    return namespace(p).special.entr(p) if is_tensor(p) else special.entr(p)


def deviation(x: Array, axis: int = 0) -> Array:
    """Compute the standard deviation (n - 1), in two passes."""
    xp = namespace(x)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return xp.sqrt(xp.sum(centred * centred, axis=axis) / (x.shape[axis] - 1))


def checked(logits: Array, labels: Array | None, *, name: str = "logits") -> tuple[Array, Array]:
    """Check logits (n, C), or under any other name (..., n, C), and labels; return them as arrays of one kind.

    Labels become int64, and zeros where there are none (label-free scores).
    """
    logits = as_array(logits, name)
    shape = {"logits": "(n, C)", "history": "(T, n, C)"}.get(name, "(R, n, C)")
    if logits.ndim != (2 if name == "logits" else 3) or logits.shape[-1] < 2:
        raise ArgumentError(f"{name} must be {shape} with at least 2 classes, got shape {tuple(logits.shape)}")
    check_finite(logits, name)
    n, classes = logits.shape[-2:]
    own = np.zeros(n, np.int64) if labels is None else checked_labels(labels, n, classes)
    return logits, like(own, logits)


def check_finite(values: Array, name: str) -> None:
    """Refuse NaN and infinity; the message names the first samples."""
    check_real(values, name)
    finite = namespace(values).isfinite(values)
    if bool(finite.all()):
        return
    bad = np.argwhere(~as_numpy(finite).all(axis=-1))
    where = [str(tuple(at.tolist())) if len(at) > 1 else str(at[0]) for at in bad]
    raise ArgumentError(f"{name} must be finite, but NaN or infinity is at sample {some(where)}")


def checked_labels(labels: Array, n: int, classes: int) -> npt.NDArray[np.int64]:
    """Check labels and convert them to int64 (n,), each in 0 .. C - 1."""
    own = as_numpy(as_array(labels, "labels"))
    if own.shape != (n,):
        raise ArgumentError(f"labels must be (n,) = ({n},), one a sample, got shape {own.shape}")
    if own.dtype.kind not in "iu":
        raise ArgumentError(f"labels must be integers 0 .. C - 1, got dtype {own.dtype}")
    wrong = np.flatnonzero((own < 0) | (own >= classes))
    if wrong.size:
        raise ArgumentError(
            f"labels must be in 0 .. {classes - 1} for {classes} classes, got {own[wrong[0]]} at sample {some(wrong)}"
        )
    return own.astype(np.int64)


Space: TypeAlias = Literal["probabilities", "logits"]


def parts(z: Array, y: Array) -> Array:
    """Compute the three parts of softmax(z) from which the commonest scores follow, (3, m).

    With e = exp(z - max z): z_y - max z, and the sums of e and of e^2 over the other labels. The exponentials are most
    of the cost of these scores, so they are computed once for all of them.
    """
    xp, columns_of_z = namespace(z), columns(z)
    z -= xp.amax(z, axis=0)
    own = pick(z, y)
    xp.exp(z, out=z)
    z[y, columns_of_z] = 0.0
    return xp.stack([own, xp.sum(z, axis=0), xp.einsum("cm,cm->m", z, z)])


@dataclass(frozen=True)
class OfParts:
    """A kernel that is a function of `parts`, which are computed once for a batch of observations."""

    of: Callable[[Array], Array]

    def __call__(self, z: Array, y: Array) -> Array:
        return self.of(parts(z, y))


@OfParts
def el2n(parts: Array) -> Array:
    """Compute norm2(p - onehot(y)), without a difference from 1, which would lose digits."""
    xp = namespace(parts)
    own, rest, squares = parts
    return xp.sqrt(squares + rest * rest) / (xp.exp(own) + rest)


@OfParts
def loss(parts: Array) -> Array:
    """Compute -log p_y."""
    xp = namespace(parts)
    own, rest, _ = parts
    return xp.log(xp.exp(own) + rest) - own


@OfParts
def p_label(parts: Array) -> Array:
    """Compute p_y."""
    own, rest, _ = parts
    own = namespace(parts).exp(own)
    return own / (own + rest)


def entropy(z: Array, y: Array) -> Array:
    """Compute -sum p log p."""
    xp = namespace(z)
    log_p = log_softmax(z)
    log_p *= xp.exp(log_p)  # log_p is finite, so 0 log 0 is 0
    return 0.0 - xp.sum(log_p, axis=0)


def least_confidence(z: Array, y: Array) -> Array:
    """Compute 1 - max p."""
    return 1.0 - namespace(z).amax(softmax(z), axis=0)


def margin(z: Array, y: Array) -> Array:
    """Compute p(1st) - p(2nd)."""
    return _probability_margin(z, namespace(z).argmax(z, axis=0))


def _probability_margin(z: Array, y: Array) -> Array:
    return _logit_margin(softmax(z), y)


def _logit_margin(z: Array, y: Array) -> Array:
    own = pick(z, y)
    z[y, columns(z)] = -math.inf
    return own - namespace(z).amax(z, axis=0)


def is_correct(z: Array, y: Array) -> Array:
    """Return 1 where the first of the largest logits belongs to the label, else 0."""
    return double(namespace(z).argmax(z, axis=0) == y)


def label_margin(space: Space) -> Kernel:
    """Return the kernel of the value of y less the largest other value, in that space."""
    one_of("space", space, ("probabilities", "logits"))
    return _probability_margin if space == "probabilities" else _logit_margin


def normalized_margin(z: Array, y: Array) -> Array:
    """Compute (p_y - largest other p + 1) / 2."""
    return (_probability_margin(z, y) + 1.0) / 2.0
