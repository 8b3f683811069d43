"""Coresets in a training loop: torch's Subset and DataLoader see the samples that were kept."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from unseen.core.coreset import Coreset
from unseen.errors import ArgumentError, MissingDependencyError
from unseen.exporting import CoresetSampler, subset

DATASET = TensorDataset(torch.arange(20), torch.arange(20) % 2)


def kept(rows, ids=None):
    rows = np.asarray(rows)
    ids = np.array([f"s{i}" for i in range(20)]) if ids is None else ids
    return Coreset(ids[rows], rows, 20)


def test_a_subset_is_what_was_kept_in_its_order():
    part = subset(kept([3, 7, 19]), DATASET)
    assert [int(x) for x, _ in part] == [3, 7, 19]
    assert torch.cat([x for x, _ in DataLoader(part, batch_size=2)]).tolist() == [3, 7, 19]


def test_another_data_set_is_refused():
    with pytest.raises(ArgumentError, match="of 20 samples, but it has 7"):
        subset(kept([3]), list(range(7)))


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'unseen\[torch\]'"):
        subset(kept([3]), DATASET)


def test_a_loader_passes_over_the_coreset_in_another_order_each_epoch():
    loader = DataLoader(DATASET, batch_size=4, sampler=CoresetSampler(kept(range(0, 20, 2)), seed=1))
    epochs = [torch.cat([x for x, _ in loader]).tolist() for _ in range(3)]
    assert len(loader) == 3
    assert all(sorted(epoch) == list(range(0, 20, 2)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_is_that_of_a_pass_over_everything_less_what_was_pruned():
    everything, some = (list(CoresetSampler(kept(rows), seed=5)) for rows in (range(20), [1, 4, 8, 15]))
    assert [row for row in everything if row in (1, 4, 8, 15)] == some
    assert list(CoresetSampler(kept([1, 4, 8, 15]), seed=6)) != some
    shuffled = kept([0, 1, 2, 3], ids=np.array(["s1", "s4", "s8", "s15", *map(str, range(16))]))
    assert [shuffled.ids[row] for row in CoresetSampler(shuffled, seed=5)] == [f"s{row}" for row in some]


def test_a_training_that_was_cut_goes_on_in_the_order_it_would_have_had():
    whole = CoresetSampler(kept(range(12)), seed=2)
    passes = [list(whole) for _ in range(3)]
    again = CoresetSampler(kept(range(12)), seed=2)
    again.set_epoch(2)
    assert list(again) == passes[2]
    assert list(CoresetSampler(kept(range(12)), seed=2, epoch=1)) == passes[1]
