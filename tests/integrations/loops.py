"""Data, a network and what the same recorder says when it is fed by hand: for the tests of the callbacks."""

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset

import unseen

N, C, WIDTH, EPOCHS = 60, 3, 8, 3
LABELS = np.arange(N) % C
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, WIDTH)) + 2 * np.eye(WIDTH)[LABELS]
DATASET = TensorDataset(torch.from_numpy(X), torch.from_numpy(LABELS))
IDS = np.array([f"img{(7 * i) % N:02}" for i in range(N)])
SCORES = ["el2n", "aum", "label_issue"]
TWO_SIDED = {"plan": unseen.folds(2, watch_seen=True), "scores": ["holdout_gap"]}


def recorder(scores=("el2n", "aum"), **more):
    return unseen.Recorder(LABELS, **{"plan": unseen.folds(2), "scores": list(scores), **more})


def first_fit(own):
    """The first fit of a recorder, whose loop is then under way until the recorder is let go of."""
    own.loop = iter(own)
    return next(own.loop)


def network(classes=C):
    """With dropout, whose modes one hears in the logits; float64, as products in other batches differ by rounding."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, 16), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(16, classes)
    ).double()


def unseen_part(fit):
    return Subset(DATASET, fit.unseen)


def train_part(fit):
    return Subset(DATASET, fit.train)


def said(model, x=DATASET.tensors[0]):
    """(n, C) logits of all samples in evaluation mode, the modes left as they were."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        logits = model(x)
    for module, mode in modes:
        module.training = mode
    return getattr(logits, "logits", logits)


class ByHand:
    """A second recorder that is fed by hand from the same trainings: with every epoch, or with the last alone."""

    def __init__(self, every_epoch=True, **settings):
        self.own = recorder(**settings)
        self.fits = iter(self.own)
        self.every_epoch = every_epoch
        self.said = []

    def begin(self):
        self.fit, self.said = next(self.fits), []

    def hear(self, logits):
        self.said.append(torch.as_tensor(logits).clone())

    def hand_in(self):
        watched = np.concatenate([self.fit.unseen, self.fit.seen])
        epochs = range(1, len(self.said) + 1) if self.every_epoch else [len(self.said)]
        for epoch in epochs:
            self.own.record(self.own.ids[watched], self.said[epoch - 1][watched], epoch=epoch)

    def table(self):
        assert next(self.fits, None) is None
        return self.own.table()


def same(table, expected):
    assert table.scores == expected.scores
    for name in table.scores:
        np.testing.assert_allclose(table.values[name], expected.values[name], rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(table.ids, expected.ids)
    np.testing.assert_array_equal(table.predictions, expected.predictions)
    np.testing.assert_allclose(table.mean_confidence, expected.mean_confidence, rtol=1e-6)
