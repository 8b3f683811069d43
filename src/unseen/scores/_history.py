"""What the scores from the course of training share: histories (T, n, C), cut, checked and read epoch by epoch."""

from __future__ import annotations

from unseen.errors import ArgumentError
from unseen.scores import _backend as be
from unseen.scores.shells import is_count
from unseen.types import Array


def first_epochs(history: Array, labels: Array | None, epochs: int | None, *, least: int) -> tuple[Array, Array]:
    """The first epochs of a checked history, and its labels."""
    history = be.as_array(history)
    T = history.shape[0] if history.ndim else 0
    if epochs is not None and (not is_count(epochs, 1) or epochs > T):
        raise ArgumentError(f"epochs must be in 1 .. {T}, the epochs of the history, or None for all, got {epochs!r}")
    used = T if epochs is None else epochs
    if used < least:
        raise ArgumentError(
            f"history must hold at least {least} epochs for this score, got {used}; observe more epochs or shorten "
            "the window, where there is one"
        )
    return be.checked(history[:used], labels, name="history", ndim=3)


def series(kernel: be.Kernel, history: Array, labels: Array) -> Array:
    """One kernel after every epoch: float64 (T, n)."""
    out = be.empty(tuple(history.shape[:2]), history)
    for t, logits in enumerate(history):
        out[t] = be.rowwise(kernel, logits, labels)
    return out


def mean_over(rows: Array | list[Array]) -> Array:
    """The mean of equally shaped arrays, summed one after the other as a streaming score does."""
    return sum(rows) / len(rows)
