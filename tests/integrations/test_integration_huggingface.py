"""The callback of transformers' Trainer, with a tiny BERT of random weights: the same table as by hand."""

import datasets
import numpy as np
import pytest
import torch
from loops import EPOCHS, IDS, LABELS, RNG, TWO_SIDED, ByHand, N, first_fit, recorder, said, same
from torch.utils.data import Subset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

import unseen
from unseen.integrations.huggingface import held_out

pytestmark = [
    # Of torch and transformers: pinned memory without a GPU.
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator is found"),
]

TOKENS = RNG.integers(3, 30, (N, 6))
TOKENS[:, 0] = 3 + 5 * LABELS
INPUTS = torch.from_numpy(TOKENS)
DATASET = datasets.Dataset.from_dict(
    {"input_ids": TOKENS.tolist(), "labels": LABELS.tolist(), "note": ["not for the model"] * N}
)


def bert(classes=3):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8, num_labels=classes,
    )  # fmt: skip
    return BertForSequenceClassification(config)


class Hears(TrainerCallback):
    """Feeds the recorder by hand."""

    def __init__(self, by_hand):
        self.by_hand = by_hand

    def on_epoch_end(self, args, state, control, *, model, **more):
        self.by_hand.hear(said(model, INPUTS))


@pytest.fixture(name="trainer")
def trainer_fixture(tmp_path):
    def make(train, watched, record, model=None, callbacks=(), **more):
        own = {"num_train_epochs": EPOCHS, "per_device_train_batch_size": 10, "per_device_eval_batch_size": 7}
        quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "learning_rate": 1e-3}
        args = TrainingArguments(output_dir=tmp_path, **{"eval_strategy": "epoch", **own, **quiet, **more})
        return Trainer(
            model or bert(), args, train_dataset=train, eval_dataset=watched, compute_metrics=record,
            callbacks=[record, *callbacks],
        )  # fmt: skip

    return make


def all_fits(trainer, own, by_hand, afterwards=False, **more):
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        watched = Subset(DATASET, np.concatenate([fit.unseen, fit.seen]))
        training = trainer(Subset(DATASET, fit.train), watched, record, callbacks=[Hears(by_hand)], **more)
        training.train()
        if afterwards:
            training.evaluate()
        by_hand.hand_in()
    same(own.table(), by_hand.table())


@pytest.mark.parametrize(
    ("settings", "every_epoch"),
    [
        ({"scores": ["el2n", "aum"], "ids": IDS}, True),
        ({"scores": ["el2n", "label_issue"]}, False),
        (TWO_SIDED, False),
    ],
)
def test_the_same_table_as_by_hand(trainer, settings, every_epoch):
    all_fits(trainer, recorder(**settings), ByHand(every_epoch, **settings))


def test_evaluating_once_after_training(trainer):
    own, by_hand = recorder(["el2n"]), ByHand(False, scores=["el2n"])
    all_fits(trainer, own, by_hand, afterwards=True, eval_strategy="no")


@pytest.mark.parametrize("more", [{"eval_on_start": True}, {"max_steps": 6}])
def test_evaluating_before_training_and_a_limit_of_steps(trainer, more):
    all_fits(trainer, recorder(), ByHand(), afterwards=True, **more)


def test_metrics_of_the_user_are_computed_too(trainer):
    own, seen = recorder(["el2n"]), []
    fit = first_fit(own)
    record = held_out(own, compute_metrics=lambda prediction: {"size": float(len(prediction.predictions))})
    training = trainer(Subset(DATASET, fit.train), Subset(DATASET, fit.unseen), record)
    training.train()
    seen = training.evaluate()
    assert seen["eval_size"] == len(fit.unseen)
    assert next(own.loop).fold == 1


@pytest.mark.parametrize(
    ("train", "watched", "options", "error", "message"),
    [
        ("all", "unseen", {}, unseen.ExposureError, "would train on samples that it then judges"),
        ("selected", "unseen", {}, unseen.ArgumentError, r"train on torch.utils.data.Subset\(.* got Dataset of 30"),
        ("train", "selected", {}, unseen.ArgumentError, r"evaluate torch.utils.data.Subset\(.* got Dataset of 30"),
        ("train", "all", {}, unseen.ExposureError, "is not asked about the ids"),
        ("train", "part", {}, unseen.DataError, "was evaluated without the ids"),
        ("train", "unseen", {"dataloader_drop_last": True}, unseen.ArgumentError, "got drop_last=True"),
        ("train", "unseen", {"eval_strategy": "no"}, unseen.ArgumentError, "eval_strategy must be 'epoch', got 'no'"),
        ("train", "unseen", {"prediction_loss_only": True}, unseen.ArgumentError, "prediction_loss_only must be False"),
        ("train", "unseen", {"eval_do_concat_batches": False}, unseen.ArgumentError, "concat_batches must be True"),
        (
            "train",
            "unseen",
            {"load_best_model_at_end": True, "save_strategy": "epoch"},
            unseen.ExposureError,
            "the choice of the best model looks at 'eval_loss'",
        ),
        (
            "train",
            "unseen",
            {"lr_scheduler_type": "reduce_lr_on_plateau"},
            unseen.ExposureError,
            "reduce_lr_on_plateau looks at 'eval_loss'",
        ),
    ],
)
def test_what_is_refused(trainer, train, watched, options, error, message):
    own = recorder(["aum"])
    fit = first_fit(own)
    parts = {
        "all": DATASET,
        "train": Subset(DATASET, fit.train),
        "unseen": Subset(DATASET, fit.unseen),
        "part": Subset(DATASET, fit.unseen[1:]),
        "selected": DATASET.select(fit.unseen),
    }
    with pytest.raises(error, match=message):
        trainer(parts[train], parts[watched], held_out(own), **options).train()


def test_logits_of_another_width(trainer):
    own = recorder(["aum"])
    fit = first_fit(own)
    training = trainer(Subset(DATASET, fit.train), Subset(DATASET, fit.unseen), held_out(own), bert(5))
    with pytest.raises(unseen.ArgumentError, match=r"must have shape \(30, 3\), got \(30, 5\)"):
        training.train()


class Reversed(Trainer):
    """Evaluates in another order."""

    def _get_eval_sampler(self, eval_dataset):
        return torch.utils.data.RandomSampler(eval_dataset)


class Leaking(Trainer):
    """Evaluates in training mode."""

    def prediction_step(self, model, *args, **more):
        model.train()
        return super().prediction_step(model, *args, **more)


@pytest.mark.parametrize(
    ("kind", "message"), [(Reversed, "got SeedableRandomSampler; pass shuffle=False"), (Leaking, "is in training mode")]
)
def test_trainers_that_evaluate_otherwise(trainer, kind, message):
    own = recorder(["aum"])
    fit = first_fit(own)
    training = trainer(Subset(DATASET, fit.train), Subset(DATASET, fit.unseen), held_out(own))
    training.__class__ = kind
    with pytest.raises(unseen.ArgumentError, match=message):
        training.train()


def test_several_processes(trainer):
    own = recorder()
    fit = first_fit(own)
    record = held_out(own)
    args = trainer(DATASET, DATASET, record).args

    class Two(type(args)):
        world_size = 2

    args.__class__ = Two
    with pytest.raises(unseen.ArgumentError, match="must be trained in one process, got 2"):
        record.on_train_begin(args, None, None, model=None, train_dataloader=None)
    assert not record._watch.is_training
    assert fit.name == "r0f0"


def test_a_model_made_outside_of_the_loop(trainer):
    own, model = recorder(["el2n"]), bert()
    record, fits = held_out(own), iter(own)

    def train(fit):
        trainer(Subset(DATASET, fit.train), Subset(DATASET, fit.unseen), record, model).train()

    train(next(fits))
    with pytest.raises(unseen.ExposureError, match="fit r0f1 would continue from the weights of fit r0f0"):
        train(next(fits))


def test_a_folder_of_checkpoints_that_fits_share(trainer):
    own = recorder(["el2n"])
    record, fits = held_out(own), iter(own)

    def train(fit, again):
        saved = {"save_strategy": "steps", "save_steps": 4, "eval_strategy": "epoch"}
        made = trainer(Subset(DATASET, fit.train), Subset(DATASET, fit.unseen), record, **saved)
        made.train(resume_from_checkpoint=again)

    train(next(fits), again=False)
    with pytest.raises(unseen.ExposureError, match="fit r0f1 would continue from a checkpoint, but it has not begun"):
        train(next(fits), again=True)


def test_the_callback_alone_hears_no_logits(trainer):
    own = recorder(["el2n"])
    fit = first_fit(own)
    training = trainer(Subset(DATASET, fit.train), Subset(DATASET, fit.unseen), held_out(own))
    training.compute_metrics = None
    with pytest.raises(unseen.ArgumentError, match="did not arrive: pass compute_metrics=, too"):
        training.train()
