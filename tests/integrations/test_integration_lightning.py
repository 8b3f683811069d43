"""The callback of Lightning: the same table as by hand, and what the real Trainer can get wrong."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from loops import (
    DATASET,
    EPOCHS,
    IDS,
    TWO_SIDED,
    ByHand,
    N,
    first_fit,
    network,
    recorder,
    said,
    same,
    train_part,
    unseen_part,
)
from torch.utils.data import DataLoader, Dataset, Subset

import unseen
from unseen.integrations.lightning import held_out

pytestmark = [
    # Of Lightning and of torch, not of this library: workers, short epochs, a deprecated check of trees.
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated"),
    pytest.mark.filterwarnings("ignore:Your `val_dataloader`'s sampler has shuffling enabled"),
    pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size` from an ambiguous collection"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]


class Lit(pl.LightningModule):
    """The user's module, whose validation_step returns the logits."""

    def __init__(self, classes=3):
        super().__init__()
        self.net = network(classes)

    def training_step(self, batch, _):
        loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _, dataloader_idx=0):
        logits = self.net(batch[0])
        self.log("val_loss", torch.nn.functional.cross_entropy(logits, batch[1]))
        return logits

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


def trainer(callbacks, **more):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    own = {"max_epochs": EPOCHS, "accelerator": "cpu", "devices": 1, "enable_model_summary": False}
    return pl.Trainer(callbacks=callbacks, **{**quiet, **own, **more})


def loaders(fit, **options):
    """Training and validation, as one would write them."""
    train = DataLoader(train_part(fit), 8, shuffle=True)
    return train, DataLoader(unseen_part(fit), **{"batch_size": 7, **options})


class Hears(pl.Callback):
    """Feeds the recorder by hand."""

    def __init__(self, by_hand):
        self.by_hand = by_hand

    def on_train_epoch_end(self, trainer, pl_module):
        self.by_hand.hear(said(pl_module.net))


def all_fits(own, by_hand, make_loaders=loaders, **more):
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        trainer([record, Hears(by_hand)], **more).fit(Lit(), *make_loaders(fit))
        by_hand.hand_in()
    same(own.table(), by_hand.table())


@pytest.mark.parametrize(("scores", "every_epoch"), [(["el2n", "aum"], True), (["el2n", "label_issue"], False)])
def test_the_same_table_as_by_hand(scores, every_epoch):
    all_fits(recorder(scores, ids=IDS), ByHand(every_epoch, scores=scores, ids=IDS))


def test_evaluations_within_an_epoch_do_not_count():
    all_fits(recorder(), ByHand(), val_check_interval=0.5)


def test_steps_as_a_limit():
    # 30 training samples are 4 batches: the limit comes with the end of the second epoch.
    all_fits(recorder(["el2n"]), ByHand(False, scores=["el2n"]), max_epochs=-1, max_steps=8)


def test_both_sides_of_a_fit():
    def both(fit):
        watched = DataLoader(Subset(DATASET, np.concatenate([fit.seen, fit.unseen])), 9)
        return DataLoader(train_part(fit), 8, shuffle=True), watched

    settings = {**TWO_SIDED, "scores": ["holdout_gap"]}
    all_fits(recorder(**settings), ByHand(False, **settings), both)


def test_a_validation_set_of_the_user_beside_the_watch_set():
    x, y = torch.zeros(5, 8, dtype=torch.float64), torch.zeros(5, dtype=torch.long)
    other = DataLoader(torch.utils.data.TensorDataset(x, y), 5)
    own, by_hand = recorder(), ByHand()
    record = held_out(own, loader=1)
    stop = EarlyStopping("val_loss/dataloader_idx_0", patience=10)
    for fit in own:
        by_hand.begin()
        train, watch = loaders(fit)
        trainer([record, stop, Hears(by_hand)]).fit(Lit(), train, [other, watch])
        by_hand.hand_in()
    same(own.table(), by_hand.table())


class Named(Dataset):
    """A data set of the user's that is no Subset; its items bring their ids."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, at):
        row = self.rows[at]
        return (*DATASET[row], IDS[row])


def named(train, watched, **options):
    return DataLoader(Named(train), 8, shuffle=True), DataLoader(Named(watched), 7, **options)


def test_ids_in_the_batches_in_any_order():
    own, by_hand = recorder(ids=IDS), ByHand(ids=IDS)
    for fit in own:
        by_hand.begin()
        train, watched = named(fit.train, fit.unseen, shuffle=True)
        trainer([held_out(own, ids=2), Hears(by_hand)]).fit(Lit(), train, watched)
        by_hand.hand_in()
    same(own.table(), by_hand.table())


def test_ids_in_the_batches_that_must_not_be_there():
    own = recorder(ids=IDS)
    fit = first_fit(own)
    for train, watched, error in [
        (np.arange(N), fit.unseen, "fit r0f0 would train on samples that it then judges: ids "),
        (fit.train, np.arange(N), "fit r0f0 is not asked about the ids "),
    ]:
        with pytest.raises(unseen.ExposureError, match=error):
            trainer([held_out(own, ids=2)]).fit(Lit(), *named(train, watched))
    with pytest.raises(unseen.ArgumentError, match=r"ids=7 must be where a batch holds the ids"):
        trainer([held_out(own, ids=7)]).fit(Lit(), *named(fit.train, fit.unseen))


class Forgetful(Lit):
    """Stays in training mode while it is validated."""

    def on_validation_model_eval(self):
        pass


class Losing(Lit):
    def validation_step(self, batch, _):
        return super().validation_step(batch, _).mean()


class Silent(Lit):
    """Returns nothing from validation_step."""

    def validation_step(self, batch, _):
        super().validation_step(batch, _)


class Probable(Lit):
    """Returns probabilities."""

    def validation_step(self, batch, _):
        return {"logits": super().validation_step(batch, _).softmax(1)}


class Plateau(Lit):
    """Lowers its learning rate by the validation loss."""

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer),
                "monitor": "val_loss",
            },
        }


@pytest.mark.parametrize(
    ("module", "train", "validation", "options", "error", "message"),
    [
        (Lit, None, {"shuffle": True}, {}, unseen.ArgumentError, "got RandomSampler; pass shuffle=False"),
        (Lit, None, {"drop_last": True}, {}, unseen.ArgumentError, "got drop_last=True"),
        (Lit, DATASET, {}, {}, unseen.ExposureError, "would train on samples that it then judges"),
        (Lit, [DATASET[0]] * 9, {}, {}, unseen.ArgumentError, r"train on Subset\(.* got list of 9"),
        (Lit, None, {"dataset": DATASET}, {}, unseen.ExposureError, "is not asked about the ids"),
        (Lit, None, {"dataset": [DATASET[0]] * 9}, {}, unseen.ArgumentError, r"validate on Subset\(.* got list of 9"),
        (Lit, None, {}, {"limit_val_batches": 2}, unseen.DataError, "was evaluated without the ids"),
        (Lit, None, {}, {"limit_val_batches": 0}, unseen.ArgumentError, "nothing would be evaluated"),
        (Lit, None, {}, {"check_val_every_n_epoch": 2}, unseen.ArgumentError, "n_epoch must be 1, got 2"),
        (lambda: Lit(5), None, {}, {}, unseen.ArgumentError, r"must have shape \(7, 3\), got \(7, 5\)"),
        (Forgetful, None, {}, {}, unseen.ArgumentError, "but its Forgetful is in training mode"),
        (Silent, None, {}, {}, unseen.ArgumentError, "validation_step must return the logits"),
        (Losing, None, {}, {}, unseen.ArgumentError, "validation_step must return the logits"),
        (Probable, None, {}, {}, unseen.ArgumentError, "but these are probabilities"),
        (Plateau, None, {}, {}, unseen.ExposureError, "ReduceLROnPlateau looks at 'val_loss'"),
    ],
)  # fmt: skip
def test_what_is_refused(module, train, validation, options, error, message):
    own = recorder(["aum"])
    fit = first_fit(own)
    loader = DataLoader(train or train_part(fit), 8)
    watched = DataLoader(**{"dataset": unseen_part(fit), "batch_size": 7, **validation})
    with pytest.raises(error, match=message):
        trainer([held_out(own)], **options).fit(module(), loader, watched)


def test_stopping_early():
    own = recorder(["el2n"])
    fit = first_fit(own)
    with pytest.raises(unseen.ExposureError, match="EarlyStopping looks at 'val_loss'"):
        trainer([held_out(own), EarlyStopping("val_loss")]).fit(Lit(), *loaders(fit))
    # By the training loss it may stop, and then the epoch that came to be the last one is recorded.
    own, by_hand = recorder(["el2n"]), ByHand(False, scores=["el2n"])
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        stop = EarlyStopping("train_loss", patience=0, min_delta=9.0, check_on_train_epoch_end=True)
        trainer([stop, record, Hears(by_hand)], max_epochs=9).fit(Lit(), *loaders(fit))
        assert len(by_hand.said) == 2
        by_hand.hand_in()
    same(own.table(), by_hand.table())


def test_validating_after_training_changes_nothing():
    own, by_hand = recorder(), ByHand()
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        with_all = trainer([record, Hears(by_hand)])
        with_all.fit(Lit(), *loaders(fit))
        with_all.validate(Lit(), loaders(fit)[0], verbose=False)
        by_hand.hand_in()
    same(own.table(), by_hand.table())


def test_a_training_that_goes_on_from_a_checkpoint(tmp_path):
    own = recorder(["aum"])
    fit = first_fit(own)
    begun = trainer([], max_epochs=1)
    begun.fit(Lit(), *loaders(fit))
    begun.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(unseen.ArgumentError, match="goes on at epoch 2; begin the fit anew"):
        trainer([held_out(own)]).fit(Lit(), *loaders(fit), ckpt_path=tmp_path / "last.ckpt", weights_only=True)


def test_outside_of_the_loop():
    own = recorder()
    fit = next(iter(unseen.folds(2).fits(np.arange(N), np.zeros(N, int))))
    with pytest.raises(unseen.ArgumentError, match="inside `for fit in recorder:`"):
        trainer([held_out(own)]).fit(Lit(), *loaders(fit))


def test_several_processes(monkeypatch):
    own = recorder()
    first_fit(own)
    two = trainer([held_out(own)])
    monkeypatch.setattr(type(two), "world_size", 2)
    with pytest.raises(unseen.ArgumentError, match="must be trained in one process, got 2; pass devices=1"):
        two.callbacks[-1].on_fit_start(two, None)


def test_a_module_made_outside_of_the_loop():
    own, module = recorder(["el2n"]), Lit()
    record, fits = held_out(own), iter(own)
    trainer([record]).fit(module, *loaders(next(fits)))
    with pytest.raises(unseen.ExposureError, match="fit r0f1 would continue from the weights of fit r0f0"):
        trainer([record]).fit(module, *loaders(next(fits)))


def test_a_training_that_goes_on_from_a_checkpoint_of_another_fit(tmp_path):
    own = recorder(["el2n"])
    record, fits = held_out(own), iter(own)
    training = trainer([record], max_epochs=2)
    training.fit(Lit(), *loaders(next(fits)))
    training.save_checkpoint(tmp_path / "last.ckpt")
    training = trainer([record], max_epochs=4)
    with pytest.raises(unseen.ExposureError, match="fit r0f1 would continue from a checkpoint, but it has not begun"):
        training.fit(Lit(), *loaders(next(fits)), ckpt_path=tmp_path / "last.ckpt", weights_only=False)
