"""Which samples of the data set a loader serves, and whether it serves them in an order that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unseen.errors import ArgumentError
from unseen.learners.recorder import Recorder
from unseen.types import Array, IntArray

__all__ = ["BatchIds", "check_order", "ids_in", "rows_of"]

# Where the ids are in a batch: a key, a place, or a function of it.
BatchIds = str | int | Callable[[Any], Array]


def rows_of(dataset: Any, recorder: Recorder, *, use: str) -> IntArray:
    """int64 (m,) rows of a part of the data set, in its own order.

    Args:
        dataset: `torch.utils.data.Subset` of the whole data set, or a part of such a part.
        recorder: knows the whole.
        use: what the data set is for, and what it should be, for the message: `"train on Subset(dataset, fit.train)"`.

    Raises:
        ArgumentError: it does not say which samples it holds.
    """
    parts = []
    while hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        parts.append(np.asarray(dataset.indices, dtype=np.int64))
        dataset = dataset.dataset
    n = len(recorder.ids)
    held = len(dataset) if hasattr(dataset, "__len__") else None
    if held != n:
        size = "of unknown size" if held is None else f"of {held:,}"
        raise ArgumentError(
            f"{use}, where dataset holds all {n:,} samples of the recorder in its order; got "
            f"{'a part of ' if parts else ''}{type(dataset).__name__} {size}, which does not say which samples it holds"
        )
    rows = np.arange(n)
    for indices in reversed(parts):
        rows = rows[indices]
    return rows


def check_order(loader: Any) -> None:
    """Refuse an evaluation loader whose batches are not the samples of its data set, in order, all of them.

    Raises:
        ArgumentError: it shuffles, drops the last batch, or deals the samples to several processes.
    """
    batches = getattr(loader, "batch_sampler", None)
    if batches is None:
        order = loader.sampler
    else:  # one of the user's own has an order of its own
        order = batches.sampler if type(batches).__name__ == "BatchSampler" else batches
    name = type(order).__name__
    if "Distributed" in name:
        raise ArgumentError(
            f"the evaluation loader must serve each sample once, but its {name} deals them to processes and pads them "
            "by repeating some; train each fit in one process"
        )
    if name != "SequentialSampler":
        raise ArgumentError(
            f"the evaluation loader must serve the samples in order, so that their ids are known, got {name}; pass "
            "shuffle=False"
        )
    if getattr(batches, "drop_last", False) or getattr(loader, "drop_last", False):
        raise ArgumentError("the evaluation loader must serve every sample, got drop_last=True; pass drop_last=False")


def ids_in(batch: Any, ids: BatchIds) -> Array:
    """The ids in a batch.

    >>> ids_in({"x": [0.5, 0.1], "id": [7, 3]}, "id")
    [7, 3]
    """
    if callable(ids):
        return ids(batch)
    try:
        return batch[ids]
    except (KeyError, IndexError, TypeError):
        what = f"keys {', '.join(map(str, batch))}" if hasattr(batch, "keys") else type(batch).__name__
        raise ArgumentError(f"ids={ids!r} must be where a batch holds the ids of its samples, got {what}") from None
