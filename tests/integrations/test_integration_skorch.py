"""The callback of skorch: the same table as by hand, and what its nets can get wrong."""

import numpy as np
import pytest
import torch
from loops import EPOCHS, IDS, LABELS, TWO_SIDED, ByHand, N, X, first_fit, network, recorder, said, same
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch.utils.data import Subset

import unseen
from unseen.integrations.skorch import held_out

DATASET = Dataset(X, LABELS)


class Net(torch.nn.Module):
    """Gives logits."""

    def __init__(self, classes=3):
        super().__init__()
        self.net = network(classes)

    def forward(self, X):
        return self.net(X)


class Probable(Net):
    """Gives probabilities, as skorch's classifiers do by default."""

    def forward(self, X):
        return self.net(X).softmax(1)


class Hears(Callback):
    """Feeds the recorder by hand."""

    def __init__(self, by_hand):
        self.by_hand = by_hand

    def on_epoch_end(self, net, **more):
        self.by_hand.hear(said(net.module_.net, torch.from_numpy(X)))


def classifier(watched, callbacks, module=Net, **more):
    criterion = torch.nn.NLLLoss if module is Probable else torch.nn.CrossEntropyLoss
    own = {"criterion": criterion, "max_epochs": EPOCHS, "lr": 0.1, "verbose": 0, "iterator_valid__batch_size": 7}
    split = None if watched is None else predefined_split(watched)
    return NeuralNetClassifier(module, train_split=split, callbacks=callbacks, **{**own, **more})


def train(own, by_hand, module=Net, **more):
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        watched = Subset(DATASET, np.concatenate([fit.unseen, fit.seen]))
        classifier(watched, [record, Hears(by_hand)], module, **more).fit(Subset(DATASET, fit.train), None)
        by_hand.hand_in()
    return own.table(), by_hand.table()


@pytest.mark.parametrize(
    ("settings", "every_epoch"),
    [
        ({"scores": ["el2n", "aum"], "ids": IDS}, True),
        ({"scores": ["el2n", "label_issue"]}, False),
        (TWO_SIDED, False),
    ],
)
def test_the_same_table_as_by_hand(settings, every_epoch):
    same(*train(recorder(**settings), ByHand(every_epoch, **settings)))


def test_probabilities_of_a_classifier_become_logits():
    table, expected = train(recorder(["el2n", "loss"]), ByHand(False, scores=["el2n", "loss"]), Probable)
    for name in ("el2n", "loss"):  # skorch adds 1e-7 before it takes the logarithm
        np.testing.assert_allclose(table.column(name), expected.column(name), rtol=1e-5, atol=1e-5)


def test_stopping_early():
    settings = {"scores": ["el2n"]}
    own, by_hand = recorder(**settings), ByHand(False, **settings)
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        stop = EarlyStopping("train_loss", patience=1, threshold=9.0, sink=lambda text: None)
        net = classifier(Subset(DATASET, fit.unseen), [record, Hears(by_hand), stop], max_epochs=20)
        net.fit(Subset(DATASET, fit.train), None)
        assert len(by_hand.said) < 20
        by_hand.hand_in()
    same(own.table(), by_hand.table())


@pytest.mark.parametrize(
    ("chooser", "message"),
    [
        (EarlyStopping(), "EarlyStopping looks at 'valid_loss'"),
        (Checkpoint(monitor="valid_loss_best", load_best=True), "Checkpoint looks at 'valid_loss_best'"),
        (LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), "LRScheduler looks at 'valid_loss'"),
        (
            LRScheduler(torch.optim.lr_scheduler.ReduceLROnPlateau, monitor=lambda net: 0.0),
            "LRScheduler looks at '<lambda>'",
        ),
    ],
)
def test_models_chosen_by_the_samples_that_judge_them(chooser, message):
    own = recorder()
    fit = first_fit(own)
    with pytest.raises(unseen.ExposureError, match=message):
        classifier(Subset(DATASET, fit.unseen), [held_out(own), chooser]).fit(Subset(DATASET, fit.train), None)


def test_schedules_that_look_at_nothing_held_out():
    settings = {"scores": ["el2n"]}
    own, by_hand = recorder(**settings), ByHand(False, **settings)
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        schedules = [LRScheduler("StepLR", step_size=1), LRScheduler("ReduceLROnPlateau", monitor="train_loss")]
        net = classifier(Subset(DATASET, fit.unseen), [record, Hears(by_hand), *schedules])
        net.fit(Subset(DATASET, fit.train), None)
        by_hand.hand_in()
    same(own.table(), by_hand.table())


class Leaking(NeuralNetClassifier):
    """Validates in training mode."""

    def _set_training(self, training=True):
        super()._set_training(True)


@pytest.mark.filterwarnings("ignore:You set iterator_valid__shuffle=True")  # skorch's own, before training
@pytest.mark.parametrize(
    ("watched", "trained", "options", "error", "message"),
    [
        ("unseen", "train", {"iterator_valid__shuffle": True}, unseen.ArgumentError, "got RandomSampler; pass shuffle"),
        ("unseen", "train", {"iterator_valid__drop_last": True}, unseen.ArgumentError, "got drop_last=True"),
        ("unseen", "all", {}, unseen.ExposureError, "would train on samples that it then judges"),
        ("train", "train", {}, unseen.ExposureError, "is not asked about the ids"),
        ("part", "train", {}, unseen.DataError, "was evaluated without the ids"),
        (None, "train", {}, unseen.ArgumentError, "nothing would be evaluated: pass train_split=predefined_split"),
        ("arrays", "train", {}, unseen.ArgumentError, r"pass train_split=predefined_split\(.* got Dataset of 9"),
        ("unseen", "arrays", {}, unseen.ArgumentError, r"fit the net on Subset\(.* got Dataset of 9"),
        ("unseen", "train", {"module__classes": 4}, unseen.ArgumentError, r"must have shape \(7, 3\), got \(7, 4\)"),
    ],
)
def test_what_is_refused(watched, trained, options, error, message):
    own = recorder(["aum"])
    fit = first_fit(own)
    parts = {
        None: None,
        "unseen": Subset(DATASET, fit.unseen),
        "train": Subset(DATASET, fit.train),
        "part": Subset(DATASET, fit.unseen[1:]),
        "all": Subset(DATASET, np.arange(N)),
        "arrays": Dataset(X[:9], LABELS[:9]),
    }
    with pytest.raises(error, match=message):
        classifier(parts[watched], [held_out(own)], **options).fit(parts[trained], None)


def test_validation_in_training_mode():
    own = recorder(["aum"])
    fit = first_fit(own)
    net = classifier(Subset(DATASET, fit.unseen), [held_out(own)])
    net.__class__ = Leaking
    with pytest.raises(unseen.ArgumentError, match="but its Net is in training mode"):
        net.fit(Subset(DATASET, fit.train), None)


class Interrupts(Callback):
    """Ctrl-C at the end of the second epoch."""

    def on_epoch_end(self, net, **more):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_a_training_that_was_interrupted_is_not_recorded():
    own = recorder(["el2n"])
    fit = first_fit(own)
    net = classifier(Subset(DATASET, fit.unseen), [held_out(own), Interrupts()])
    with pytest.raises(unseen.ArgumentError, match="fit r0f0 was interrupted after epoch 2 of 3, and is not recorded"):
        net.fit(Subset(DATASET, fit.train), None)


def test_a_training_that_goes_on():
    own = recorder(["aum"])
    fit = first_fit(own)
    net = classifier(Subset(DATASET, fit.unseen), [])
    net.fit(Subset(DATASET, fit.train), None)
    net.callbacks_.append(("held out", held_out(own)))
    with pytest.raises(unseen.ArgumentError, match="goes on at epoch 4; begin the fit anew"):
        net.partial_fit(Subset(DATASET, fit.train), None)


@pytest.mark.parametrize("again", ["warm_start", "partial_fit"])
def test_a_net_that_goes_on_from_fit_to_fit(again):
    own = recorder(["el2n"])
    net, fits = classifier(None, [held_out(own)], warm_start=again == "warm_start"), iter(own)

    def train(fit):
        net.set_params(train_split=predefined_split(Subset(DATASET, fit.unseen)))
        (net.partial_fit if again == "partial_fit" else net.fit)(Subset(DATASET, fit.train), None)

    train(next(fits))
    with pytest.raises(unseen.ExposureError, match="fit r0f1 would continue from the weights of fit r0f0"):
        train(next(fits))


def test_a_net_that_is_fitted_anew():
    settings = {"scores": ["el2n"]}
    own, by_hand = recorder(**settings), ByHand(False, **settings)
    net = classifier(None, [held_out(own), Hears(by_hand)])
    for fit in own:
        by_hand.begin()
        net.set_params(train_split=predefined_split(Subset(DATASET, fit.unseen)))
        net.fit(Subset(DATASET, fit.train), None)
        by_hand.hand_in()
    same(own.table(), by_hand.table())


class LogProbable(Net):
    """Gives log-probabilities, which NLLLoss takes from torch, but not from skorch."""

    def forward(self, X):
        return self.net(X).log_softmax(1)


@pytest.mark.parametrize("module", [Net, LogProbable])
def test_logits_of_which_skorch_would_take_the_logarithm(module):
    own = recorder(["el2n"])
    fit = first_fit(own)
    net = classifier(Subset(DATASET, fit.unseen), [held_out(own)], module, criterion=torch.nn.NLLLoss)
    with pytest.raises(unseen.ArgumentError, match=r"takes the logarithm .* criterion=torch\.nn\.CrossEntropyLoss"):
        net.fit(Subset(DATASET, fit.train), None)
