"""Coresets in a training loop: a subset, and a sampler whose order depends only on seed, epoch and id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unseen.core import seeds
from unseen.core.coreset import Coreset
from unseen.errors import ArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from torch.utils.data import Subset


def subset(coreset: Coreset, dataset: Any) -> Subset[Any]:
    """Return the kept part of a map-style data set, in its order, as a `torch.utils.data.Subset`.

    Args:
        coreset: a coreset of this data set.
        dataset: the data set, with the same samples in the same order as were scored.

    Raises:
        ArgumentError: the data set has another number of samples.
        MissingDependencyError: torch is not installed.

    >>> import numpy as np
    >>> kept = subset(Coreset(np.array([1, 2]), np.array([1, 2]), n=3), ["a", "b", "c"])
    >>> list(kept)
    ['b', 'c']
    """
    try:
        from torch.utils.data import Subset
    except ImportError as error:
        raise MissingDependencyError("torch", "a Subset", "torch") from error
    if len(dataset) != coreset.n:
        raise ArgumentError(
            f"dataset must be the one that was scored, of {coreset.n:,} samples, but it has {len(dataset):,}"
        )
    return Subset(dataset, coreset.indices.tolist())


class CoresetSampler:
    """A sampler of the rows of a coreset, in a new order each epoch, for a `DataLoader` over the whole data set.

    The order depends only on (seed, epoch, id): samples that two coresets share come in the same order in both, which
    is also their order in a pass over everything.

    Args:
        coreset: the coreset to train on.
        seed: the root seed.
        epoch: the first epoch, counted from 0; each pass is the next epoch, unless `set_epoch` changes it.

    >>> import numpy as np
    >>> sampler = CoresetSampler(Coreset(np.array([3, 5, 8]), np.array([3, 5, 8]), n=10), seed=0)
    >>> len(sampler), sorted(sampler), list(sampler) == list(sampler)
    (3, [3, 5, 8], False)
    """

    def __init__(self, coreset: Coreset, *, seed: int = 0, epoch: int = 0) -> None:
        self.coreset, self.seed, self.epoch = coreset, seed, epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass, as in distributed samplers; needed to continue an interrupted training."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.coreset)

    def __iter__(self) -> Iterator[int]:
        order = seeds.order(self.seed, self.coreset.ids, "order", self.epoch)
        self.epoch += 1
        return iter(self.coreset.indices[order].tolist())
