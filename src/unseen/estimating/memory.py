"""What a process of a learner holds: the data, the network and the state of its training."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unseen.estimating.sampling import Sampled
from unseen.protocols import Learner

__all__ = ["Network", "Reading", "network_bytes", "peak", "reading_of"]

TRIED = 4  # samples in the forward pass whose memory is counted


@dataclass(frozen=True)
class Reading:
    """How a learner in epochs reads its inputs.

    Args:
        held: the data set is held in memory as one array; else batches are read as they are needed.
        bytes: of all inputs.
        once: seconds to read all of them, one after the other.
        seconds: to read one sample among others, by as many processes as read.

    """

    held: bool
    bytes: float
    once: float
    seconds: float


@dataclass(frozen=True)
class Network:
    """Bytes of a network in training.

    Args:
        weights: of parameters, their gradients and momentum, and buffers.
        each: of what the backward pass keeps of one sample.

    """

    weights: float
    each: float


def reading_of(learner: Learner, sample: Sampled, n: int) -> Reading:
    """By the limit of the learner: half of the free memory of the host where it has none."""
    size = n * sample.bytes_each
    limit = getattr(learner, "memory_limit", None)
    held = size <= (_free() / 2 if limit is None else limit)
    workers = max(1, getattr(learner, "data_workers", 1))
    return Reading(held, size, n * sample.run_seconds, sample.random_seconds / workers)


def network_bytes(learner: Any, sample: Sampled) -> Network:
    """Counted in one forward pass on the processor; nothing for a learner that has no recipe."""
    if not hasattr(learner, "recipe"):
        return Network(0.0, 0.0)
    import torch

    from unseen.learners.torch.loop import network_for

    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng([]):
        model = network_for(sample, learner.recipe).train()
        inputs = torch.from_numpy(np.array(sample.take(np.arange(len(sample))[:TRIED]), np.float32))
        if sample.kind == "image":
            inputs = inputs.permute(0, 3, 1, 2)
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            outputs = model(inputs)
    del outputs
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    fixed = sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()]) - trained
    size = 2 if learner.recipe.precision in ("bf16", "fp16") else 4
    activations = sum(nbytes for place, nbytes in kept.items() if place not in own)
    return Network(3.0 * trained + fixed, activations / len(inputs) * size / 4)


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python and NumPy held at most beside what they held before; what libraries in C take is not seen."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _free() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
