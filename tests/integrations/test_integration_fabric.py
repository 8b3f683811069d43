"""The loop of Fabric, and of plain PyTorch: the same table as by hand, and what such a loop can get wrong."""

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from loops import DATASET, EPOCHS, IDS, TWO_SIDED, ByHand, N, first_fit, network, recorder, said, same, train_part
from torch.utils.data import DataLoader, Subset

import unseen
from unseen.integrations.fabric import held_out

LOSS = torch.nn.functional.cross_entropy


def with_fabric(record, fit, by_hand, watched):
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=[record])
    net = network()
    model, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters(), 1e-2))
    train, watch = fabric.setup_dataloaders(
        DataLoader(train_part(fit), 8, shuffle=True), DataLoader(Subset(DATASET, watched), 7)
    )
    fabric.call("on_train_start", train_loader=train, epochs=EPOCHS)
    for _ in range(EPOCHS):
        for x, y in train:
            optimizer.zero_grad()
            fabric.backward(LOSS(model(x), y))
            optimizer.step()
        by_hand.hear(said(net))
        fabric.call("on_train_epoch_end", model=model, loader=watch)
        assert net.training


def in_plain_torch(record, fit, by_hand, watched):
    net = network()
    net[2].eval()  # a module that the user keeps in evaluation mode
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    train = DataLoader(train_part(fit), 8, shuffle=True)
    record.on_train_start(train_loader=train, epochs=EPOCHS)
    for _ in range(EPOCHS):
        for x, y in train:
            optimizer.zero_grad()
            LOSS(net(x), y).backward()
            optimizer.step()
        by_hand.hear(said(net))
        record.on_train_epoch_end(model=net, loader=DataLoader(Subset(DATASET, watched), 7))
        assert [module.training for module in net] == [True, True, False, True]


@pytest.mark.parametrize("loop", [with_fabric, in_plain_torch])
@pytest.mark.parametrize(
    ("settings", "every_epoch"),
    [
        ({"scores": ["el2n", "aum"], "ids": IDS}, True),
        ({"scores": ["el2n", "label_issue"]}, False),
        (TWO_SIDED, False),
    ],
)
def test_the_same_table_as_by_hand(loop, settings, every_epoch):
    own, by_hand = recorder(**settings), ByHand(every_epoch, **settings)
    record = held_out(own)
    for fit in own:
        by_hand.begin()
        loop(record, fit, by_hand, np.concatenate([fit.unseen, fit.seen]))
        by_hand.hand_in()
    same(own.table(), by_hand.table())


def test_only_the_last_epoch_is_evaluated_where_no_score_reads_another():
    own = recorder(["el2n"])
    record, net, passes = held_out(own, logits=lambda model, batch: passes.append(1) or model(batch[0])), network(), []
    fit = first_fit(own)
    record.on_train_start(train_loader=DataLoader(train_part(fit), 8), epochs=4)
    for epoch in range(4):
        record.on_train_epoch_end(model=net, loader=DataLoader(Subset(DATASET, fit.unseen), 10))
        assert len(passes) == (0 if epoch < 3 else 3)
    with pytest.raises(unseen.ArgumentError, match="announced 4 epochs, but this is number 5; call it when each fit"):
        record.on_train_epoch_end(model=net, loader=DataLoader(Subset(DATASET, fit.unseen), 10))


def test_what_is_no_loader_is_refused():
    own = recorder(["el2n"])
    record, fit = held_out(own), first_fit(own)
    batches = list(DataLoader(train_part(fit), 8))
    with pytest.raises(unseen.ArgumentError, match=r"a loader must be one torch\.utils.*, got list; of others"):
        record.on_train_start(train_loader=batches, epochs=1)
    record.on_train_start(train_loader=DataLoader(train_part(fit), 8), epochs=1)
    with pytest.raises(unseen.ArgumentError, match=r"a loader must be one torch.*, got Subset; of others, say by ids="):
        record.on_train_epoch_end(model=network(), loader=Subset(DATASET, fit.unseen))


def named(rows):
    """Items that are dicts and bring their ids."""
    return [{"x": DATASET[row][0], "id": str(IDS[row])} for row in rows]


def of_dicts(model, batch):
    return model(batch["x"])


def test_ids_in_the_batches_in_any_order():
    own, by_hand = recorder(["el2n"], ids=IDS), ByHand(False, scores=["el2n"], ids=IDS)
    record = held_out(own, ids="id", logits=of_dicts)
    for fit in own:
        net = network()
        by_hand.begin()
        train = DataLoader(named(fit.train), 8, shuffle=True)
        record.on_train_start(train_loader=train, epochs=1)
        for batch in train:
            record.on_train_batch_start(batch=batch)
        record.on_train_epoch_end(model=net, loader=DataLoader(named(fit.unseen), 7, shuffle=True))
        by_hand.hear(said(net))
        by_hand.hand_in()
    same(own.table(), by_hand.table())


def test_ids_in_the_batches_that_must_not_be_there():
    own = recorder(ids=IDS)
    fit = first_fit(own)
    record = held_out(own, ids="id", logits=of_dicts)
    record.on_train_start(train_loader=DataLoader(named(range(N))), epochs=3)
    with pytest.raises(unseen.ExposureError, match="would train on samples that it then judges"):
        record.on_train_batch_start(batch={"id": IDS[fit.unseen[:2]]})
    with pytest.raises(unseen.ExposureError, match="is not asked about the ids"):
        record.on_train_epoch_end(model=network(), loader=DataLoader(named(range(N)), 9))
    with pytest.raises(unseen.ArgumentError, match="so ids= must say where they are in a batch, got None"):
        held_out(own).on_train_batch_start(batch={})


def test_a_loop_that_does_not_say_what_it_trains_on():
    own = recorder(["aum"], ids=IDS)
    fit = first_fit(own)
    record, watch = held_out(own, ids="id", logits=of_dicts), DataLoader(named(fit.unseen), 7)
    record.on_train_start(train_loader=DataLoader(named(range(N))), epochs=3)  # of which nothing is known
    untold = r"no batch of this epoch was told; call on_train_batch_start\(batch=batch\) before each step"
    with pytest.raises(unseen.ArgumentError, match=untold):
        record.on_train_epoch_end(model=network(), loader=watch)
    record.on_train_batch_start(batch={"id": IDS[fit.train[:8]]})
    record.on_train_epoch_end(model=network(), loader=watch)
    with pytest.raises(unseen.ArgumentError, match=untold):
        record.on_train_epoch_end(model=network(), loader=watch)


@pytest.mark.parametrize(
    ("dataset", "options", "error", "message"),
    [
        (None, {"shuffle": True}, unseen.ArgumentError, "got RandomSampler; pass shuffle=False"),
        (None, {"drop_last": True}, unseen.ArgumentError, "got drop_last=True"),
        (DATASET, {}, unseen.ExposureError, "is not asked about the ids"),
        ([DATASET[0]] * 9, {}, unseen.ArgumentError, r"evaluate Subset\(.* got list of 9"),
        ("part", {}, unseen.DataError, "was evaluated without the ids"),
    ],
)
def test_evaluation_loaders_that_are_refused(dataset, options, error, message):
    own = recorder(["aum"])
    fit = first_fit(own)
    record, net = held_out(own), network()
    record.on_train_start(train_loader=DataLoader(train_part(fit), 8), epochs=3)
    part = Subset(DATASET, fit.unseen[1:] if dataset == "part" else fit.unseen)
    loader = DataLoader(dataset if dataset not in (None, "part") else part, 7, **options)
    with pytest.raises(error, match=message):
        record.on_train_epoch_end(model=net, loader=loader)
    assert net.training


def test_what_is_refused_before_training():
    own = recorder(["aum"])
    first_fit(own)
    record = held_out(own)
    with pytest.raises(unseen.ExposureError, match="would train on samples that it then judges"):
        record.on_train_start(train_loader=DataLoader(DATASET), epochs=3)
    with pytest.raises(unseen.ArgumentError, match=r"train on Subset\(.* got list of 2"):
        record.on_train_start(train_loader=DataLoader([1, 2]), epochs=3)
    with pytest.raises(unseen.ArgumentError, match="epochs must be an integer of at least 1, got 0"):
        record.on_train_start(train_loader=DataLoader(DATASET), epochs=0)


def test_batches_that_are_no_tuples():
    own = recorder(["aum"], ids=IDS)
    fit = first_fit(own)
    record = held_out(own, ids="id")
    record.on_train_start(train_loader=None, epochs=3)
    record.on_train_batch_start(batch={"id": IDS[fit.train]})
    with pytest.raises(unseen.ArgumentError, match="where it is no tuple, got a dict; pass logits="):
        record.on_train_epoch_end(model=network(), loader=DataLoader(named(fit.unseen), 7))


def test_one_model_in_all_fits():
    def trained(reset, told):
        own, net = recorder(["el2n"]), network()
        record, first = held_out(own), {name: value.clone() for name, value in net.state_dict().items()}
        for fit in own:
            if reset:
                net.load_state_dict(first)
            model = net if told else None
            record.on_train_start(train_loader=DataLoader(train_part(fit), 8), epochs=1, model=model)
            with torch.no_grad():
                net[0].weight += 0.1
            record.on_train_epoch_end(model=net, loader=DataLoader(Subset(DATASET, fit.unseen), 10))
        return own.table()

    with pytest.raises(unseen.ExposureError, match="fit r0f1 would continue from the weights of fit r0f0"):
        trained(reset=False, told=True)
    for reset in (True, False):
        with pytest.raises(unseen.ArgumentError, match=r"fit r0f1 trains the model of fit r0f0, .* pass model="):
            trained(reset, told=False)
    trained(reset=True, told=True)


def test_a_frozen_backbone_may_be_the_same_in_all_fits():
    own, backbone = recorder(["el2n"]), network()[0].requires_grad_(False)
    record = held_out(own)
    for fit in own:
        net = network()
        net[0] = backbone
        record.on_train_start(train_loader=DataLoader(train_part(fit), 8), epochs=1)
        record.on_train_epoch_end(model=net, loader=DataLoader(Subset(DATASET, fit.unseen), 10))
    assert len(own.table()) == N
