"""What all callbacks share: whom they let train, what they refuse to hear, and what they hand in when."""

import numpy as np
import pytest
import torch
from loops import DATASET, IDS, LABELS, RNG, C, N, first_fit, network, recorder
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, Subset

import unseen
from unseen.integrations.watching import (
    TrainingWatch,
    check_monitor,
    check_order,
    find_ids,
    find_logits,
    find_rows,
    make_callback,
    weights_of,
)

LOGITS = RNG.normal(size=(6, N, C))


class Model(torch.nn.Module):
    """A module whose mode is asked for."""


def begun(epochs=3, scores=("el2n",), **more):
    own = recorder(scores, **more)
    fit = first_fit(own)
    watching = TrainingWatch(own)
    watching.begin(epochs=epochs)
    return fit, watching


def evaluate(watching, rows, epoch, logits=None):
    watching.begin_evaluation(rows)
    for batch in np.array_split(np.arange(len(rows)), 3):
        watching.add_batch((LOGITS[epoch - 1] if logits is None else logits)[rows[batch]], Model().eval())
    watching.end_evaluation(epoch=epoch, step=10 * epoch)


def trained(watching, rows, epochs):
    for epoch in range(1, epochs + 1):
        evaluate(watching, rows, epoch)
        watching.end_epoch(epoch, step=10 * epoch)
    watching.end(step=10 * epochs)


@pytest.mark.parametrize(("scores", "handed_in"), [(["el2n"], [3]), (["aum"], [1, 2, 3]), (["el2n", "aum"], [1, 2, 3])])
def test_every_epoch_is_handed_in_where_a_score_reads_it_and_the_last_one_otherwise(monkeypatch, scores, handed_in):
    fit, watching = begun(scores=scores)
    own = watching.recorder
    epochs = []
    record = own.record
    monkeypatch.setattr(own, "record", lambda *a, epoch, **k: [epochs.append(epoch), record(*a, epoch=epoch, **k)])
    trained(watching, fit.unseen[::-1], 3)
    assert epochs == handed_in
    assert next(own.loop).fold == 1  # the fit was recorded whole


@pytest.mark.parametrize("epochs", [5, None])
def test_training_that_ends_early_hands_in_its_last_epoch(epochs):
    fit, watching = begun(epochs=epochs, scores=["el2n"])
    own = watching.recorder
    trained(watching, fit.unseen, 2)
    fit = next(own.loop)
    watching.begin(epochs=epochs)
    trained(watching, fit.unseen, 2)
    assert next(own.loop, None) is None
    np.testing.assert_allclose(own.table().column("el2n"), unseen.functional.el2n(LOGITS[1], LABELS), rtol=1e-12)


def test_each_side_is_recorded_after_the_epoch_that_is_read():
    _, watching = begun(plan=unseen.halves(1), scores=["reducible:epoch=1"])
    own = watching.recorder
    for fold in range(2):
        if fold:
            next(own.loop)
            watching.begin(epochs=3)
        trained(watching, np.arange(N)[RNG.permutation(N)], 3)
    assert next(own.loop, None) is None
    loss = [unseen.functional.loss(LOGITS[epoch], LABELS) for epoch in (0, 2)]
    np.testing.assert_allclose(own.table().column("reducible:epoch=1"), loss[0] - loss[1], rtol=1e-9, atol=1e-12)


def test_training_on_what_must_not_be_seen():
    fit, watching = begun(ids=IDS)
    watching.check_training(fit.train[::2])
    with pytest.raises(
        unseen.ExposureError, match=rf"fit r0f0 would train on samples that it then judges: ids {IDS[fit.unseen[0]]};"
    ):
        watching.check_training(np.concatenate([fit.train, fit.unseen[:1]]))
    fit, watching = begun(plan=unseen.Exposure(train=np.arange(9), watch=np.arange(10, 19)))
    with pytest.raises(unseen.ExposureError, match="would train on samples that it was not given: ids 9;"):
        watching.check_training(np.array([1, 9]))


def test_asking_about_what_was_trained_on():
    fit, watching = begun()
    with pytest.raises(
        unseen.ExposureError, match=r"fit r0f0 is not asked about the ids .* Subset\(dataset, fit.unseen\)"
    ):
        watching.begin_evaluation(fit.train)
    watching.begin_evaluation()
    watching.ids = "id"
    with pytest.raises(unseen.ExposureError, match="is not asked about"):
        watching.add_batch(LOGITS[0][:1], Model().eval(), batch={"id": fit.train[:1]})


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (LOGITS[0][:8, :2], r"shape \(8, 3\), got \(8, 2\); the labels hold the classes 0, 1, 2$"),
        (np.zeros((8, 4)), r"got \(8, 4\); if the data lacks some classes of the model, pass classes= to the Recorder"),
        (LOGITS[0][:8, 0], r"must have shape \(8, 3\), got \(8,\); they have a column for each class"),
        (np.full((8, 3), 1 / 3), "must give logits, but these are probabilities"),
        (torch.full((8, 3), 0.0).softmax(1), "must give logits, but these are probabilities"),
        (None, "must give logits, got NoneType"),
        (0.7, "must give logits, got float"),
        (torch.tensor(0.7), "must give logits, got a single number, such as a loss"),
    ],
)  # fmt: skip
def test_outputs_that_are_no_logits_are_refused(logits, message):
    fit, watching = begun()
    watching.begin_evaluation(fit.unseen)
    with pytest.raises(unseen.ArgumentError, match=message):
        watching.add_batch(logits, Model().eval())


def test_probabilities_sample_by_sample_are_refused_and_a_few_by_chance_are_not():
    fit, watching = begun()
    watching.begin_evaluation(fit.unseen)
    by_chance = np.array([[0.25, 0.5, 0.25]])
    for _ in range(7):
        watching.add_batch(by_chance, Model().eval())
    with pytest.raises(unseen.ArgumentError, match="must give logits, but these are probabilities"):
        watching.add_batch(by_chance, Model().eval())
    watching.begin_evaluation(fit.unseen)
    watching.add_batch(LOGITS[0][:1], Model().eval())
    for _ in range(12):
        watching.add_batch(by_chance, Model().eval())


# A model that goes on from fit to fit


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def taught(watching, model, rows, epochs=2):
    """Train in a step that changes all weights, and evaluate."""
    for epoch in range(1, epochs + 1):
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter += 0.1
        watching.begin_evaluation(rows)
        watching.add_batch(LOGITS[epoch - 1][rows], model.eval())
        watching.end_evaluation(epoch=epoch, step=epoch)
        watching.end_epoch(epoch, step=epoch)
    watching.end(step=epochs)


def second_fit(model, **more):
    """The watch of a recorder at its second fit, the model trained in the first."""
    fit, watching = begun(epochs=2, **more)
    watching.check_start(model)
    taught(watching, model, np.concatenate([fit.unseen, fit.seen]))
    fit = next(watching.recorder.loop)
    watching.begin(epochs=2)
    return fit, watching


def test_a_model_that_goes_on_from_another_fit_is_refused():
    model = network()
    fit, watching = second_fit(model, ids=IDS)
    with pytest.raises(
        unseen.ExposureError,
        match=rf"fit r0f1 would continue from the weights of fit r0f0, .* ids {IDS[fit.unseen[0]]},",
    ):
        watching.check_start(model)
    other = network()
    other[0].load_state_dict(model[0].state_dict())  # a part of it, as a backbone under a new head
    with pytest.raises(unseen.ExposureError, match="make a new model for each fit, inside the loop"):
        watching.check_start(other)


def test_models_that_begin_anew():
    model = network()
    first = weights(model)
    _, watching = second_fit(model)
    watching.check_start(network())
    model.load_state_dict(first)
    watching.check_start(model)
    frozen = network()
    for parameter in frozen[0].parameters():
        parameter.requires_grad = False
    _, watching = second_fit(frozen)
    head = network()
    with torch.no_grad():
        head[3].weight += 0.5
    head[0] = frozen[0]  # a backbone that no fit trains may be the same in all
    watching.check_start(head)


def test_a_checkpoint_of_another_fit_is_refused_and_that_of_the_same_one_is_not():
    fit, watching = begun(epochs=2)
    watching.check_start(network(), resumed=True)  # after a kill, in a new process
    watching.begin(epochs=2)
    watching.check_start(network(), resumed=True)  # and again
    taught(watching, network(), fit.unseen)
    next(watching.recorder.loop)
    watching.begin(epochs=2, first=2)
    with pytest.raises(unseen.ExposureError, match=r"r0f1 would continue from a checkpoint, .* one of fit r0f0, as in"):
        watching.check_start(network(), resumed=True)
    watching.check_start(network())
    watching.check_start(network(), resumed=True)


def test_a_model_may_go_on_where_nothing_that_it_has_seen_is_judged():
    train, watch = np.arange(30).reshape(3, 10), [np.arange(50, 60), np.arange(40, 50), np.arange(5, 10)]
    model = network()
    fit, watching = second_fit(model, plan=unseen.Exposure(train=list(train), watch=watch))
    watching.check_start(model)
    taught(watching, model, fit.unseen)
    next(watching.recorder.loop)
    watching.begin(epochs=2)
    with pytest.raises(unseen.ExposureError, match=r"of fit \S+, which .* then scores: ids 5, 6, 7, 8, 9;"):
        watching.check_start(model)  # which the first fit learned, and the second went on with


@pytest.mark.parametrize("parameter", ["lazy", "empty", "complex"])
def test_parameters_of_which_no_weights_can_be_compared(parameter):
    model = Model()
    model.odd = {
        "lazy": torch.nn.LazyLinear(2).weight,
        "empty": torch.nn.Parameter(torch.empty(0, 3)),
        "complex": torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64)),
    }[parameter]
    assert weights_of(model) == frozenset()


def test_the_same_weights_in_other_memory():
    model = network()
    moved = network()
    moved[0].weight = torch.nn.Parameter(model[0].weight.detach().T.contiguous().T)
    assert weights_of(moved) == weights_of(model)
    assert len(weights_of(model)) == 4


def test_logarithms_of_probabilities_are_logits():
    fit, watching = begun()
    watching.begin_evaluation(fit.unseen)
    watching.add_batch(torch.zeros(5, 3).log_softmax(1), Model().eval())


def test_more_logits_than_samples():
    fit, watching = begun()
    watching.begin_evaluation(fit.unseen[:4])
    with pytest.raises(unseen.ArgumentError, match=r"logits must have shape \(4, 3\), got \(5, 3\)$"):
        watching.add_batch(LOGITS[0][:5], Model().eval())


def test_a_part_in_training_mode():
    fit, watching = begun()
    watching.begin_evaluation(fit.unseen)
    model = network().eval()
    model[2].train()
    with pytest.raises(
        unseen.ArgumentError, match=r"but its Dropout is in training mode .* call model.eval\(\) before"
    ):
        watching.add_batch(LOGITS[0][:5], model)


def test_a_sample_that_is_evaluated_twice_is_refused():
    fit, watching = begun(ids=IDS)
    padded = np.concatenate([fit.unseen, fit.unseen[:1]])
    with pytest.raises(unseen.ArgumentError, match=rf"repeats the ids {IDS[fit.unseen[0]]}: a sampler .* pads"):
        evaluate(watching, padded, 1)
    watching.ids = "id"
    watching.begin_evaluation()
    with pytest.raises(unseen.ArgumentError, match="ids must name each sample once"):
        watching.add_batch(LOGITS[0][:2], Model().eval(), batch={"id": IDS[fit.unseen[[0, 0]]]})


def test_samples_left_out():
    fit, watching = begun(ids=IDS)
    evaluate(watching, fit.unseen[1:], 3)
    with pytest.raises(
        unseen.DataError, match=rf"after epoch 3, .* without the ids {IDS[fit.unseen[0]]} of its unseen watch set"
    ):
        watching.end_epoch(3, step=30)
    watching.begin_evaluation(fit.unseen)
    with pytest.raises(unseen.DataError, match="evaluated on no sample after epoch 3"):
        watching.end_evaluation(epoch=3, step=30)


def test_evaluated_at_the_wrong_time():
    fit, watching = begun(scores=["aum"])
    with pytest.raises(unseen.ArgumentError, match="after epoch 1, but it was not evaluated between"):
        watching.end_epoch(1, step=10)
    evaluate(watching, fit.unseen, 1)
    with pytest.raises(unseen.ArgumentError, match="after epoch 1, but it was not evaluated between"):
        watching.end_epoch(1, step=11)
    watching.end_epoch(1, step=10)
    with pytest.raises(unseen.ArgumentError, match="after epoch 2, but it was not evaluated between"):
        watching.end_epoch(2, step=20)


def test_only_the_last_evaluation_of_an_epoch_counts():
    fit, watching = begun(epochs=1)
    own = watching.recorder
    evaluate(watching, fit.unseen, 1, logits=LOGITS[4])
    evaluate(watching, fit.unseen, 1)
    watching.end_epoch(1, step=10)
    watching.end(step=10)
    next(own.loop)
    first = own._job.run.result("r0f0")["0/unseen/value"]
    np.testing.assert_allclose(first, unseen.functional.el2n(LOGITS[0], LABELS)[fit.unseen], rtol=1e-12)


def test_refused_when_training_begins(monkeypatch):
    own = recorder(["el2n"])
    with pytest.raises(unseen.ArgumentError, match="inside `for fit in recorder:`"):
        TrainingWatch(own).begin(epochs=3)
    for scores, epochs, message in [
        (["grand"], 3, "score 'grand' reads grad_norm, which the learner 'recorder' does not give"),
        (["dual:window=5"], 3, r"needs 5 epochs, but the learner 'recorder' has only 3"),
    ]:
        with pytest.raises(unseen.ArgumentError, match=message):
            begun(scores=scores, epochs=epochs)
    _, watching = begun(scores=["aum"])
    with pytest.raises(unseen.ArgumentError, match="goes on at epoch 3; begin the fit anew"):
        watching.begin(epochs=5, first=3)
    begun()[1].begin(epochs=5, first=3)  # only the last epoch is read
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(unseen.ArgumentError, match="must be trained in one process, got 2"):
        begun()


# Loaders and data sets


def test_rows_of_parts_of_parts():
    own = recorder()
    part = Subset(Subset(DATASET, np.arange(5, 50)), torch.tensor([3, 0]))
    assert find_rows(part, own, use="use").tolist() == [8, 5]
    assert find_rows(DATASET, own, use="use").tolist() == list(range(N))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(DATASET)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (DATASET[:9][0], "use, where dataset holds all 60 samples .* got Tensor of 9, which does not say"),
        (Subset(DATASET[:9][0], [0, 1]), "got a part of Tensor of 9"),
        (Stream(), "got Stream of unknown size"),
    ],
)
def test_data_sets_that_do_not_say_which_samples_they_hold(dataset, message):
    with pytest.raises(unseen.ArgumentError, match=message):
        find_rows(dataset, recorder(), use="use")


class Sorted(torch.utils.data.SequentialSampler):
    """Another order by another name."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": True}, "in order, so that their ids are known, got RandomSampler; pass shuffle=False"),
        ({"sampler": Sorted(DATASET)}, "got Sorted"),
        ({"batch_sampler": BatchSampler(Sorted(DATASET), 7, drop_last=False)}, "got Sorted"),
        ({"batch_sampler": [[1, 2], [0]]}, "got list"),
        ({"batch_size": 7, "drop_last": True}, "got drop_last=True; pass drop_last=False"),
        ({"sampler": DistributedSampler(DATASET, 7, 0, shuffle=False)}, "but its DistributedSampler deals them"),
    ],
)  # fmt: skip
def test_loaders_whose_order_is_another(options, message):
    with pytest.raises(unseen.ArgumentError, match=message):
        check_order(DataLoader(DATASET, **options))


def test_loaders_in_order():
    check_order(DataLoader(DATASET, batch_size=7))
    check_order(DataLoader(DATASET, batch_sampler=BatchSampler(torch.utils.data.SequentialSampler(DATASET), 7, False)))


def test_ids_in_a_batch():
    assert find_ids((None, [3]), 1) == [3]
    assert find_ids((None, [3]), lambda batch: batch[1]) == [3]
    with pytest.raises(unseen.ArgumentError, match=r"ids='id' must be where a batch holds the ids .* got keys x, y"):
        find_ids({"x": 0, "y": 1}, "id")
    with pytest.raises(unseen.ArgumentError, match=r"ids=2 must be where .* got tuple"):
        find_ids((None, [3]), 2)


def test_logits_in_an_output():
    logits = torch.zeros(2, 3)
    for output in (logits, (logits, "hidden"), [logits], {"logits": logits, "loss": 1}):
        assert find_logits(output) is logits
    assert find_logits({"loss": 1}) is None
    assert find_logits(None) is None


@pytest.mark.parametrize("monitor", ["val_loss", "eval_accuracy", None])
def test_models_chosen_by_the_samples_that_judge_them(monitor):
    with pytest.raises(unseen.ExposureError, match=r"^EarlyStopping looks at .* whose name begins with 'train'"):
        check_monitor("EarlyStopping", monitor)
    check_monitor("EarlyStopping", "train_loss")


def test_a_library_that_is_not_installed():
    with pytest.raises(unseen.MissingDependencyError, match=r"for nowhere, needs .* pip install nowhere"):
        make_callback(object, "Callback", "nowhere", "nowhere.pytorch", "nowhere_else")
