import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_stand_ins import Arrays, Store, Tape, pictures, quick, same, split, train

from unseen.core.arrays import unpack
from unseen.core.exposure import Fit
from unseen.errors import ArgumentError
from unseen.learners.torch.inputs import Held, fit_normaliser
from unseen.learners.torch.loop import evaluating, gradient_norms, last_linear, load_tensors, network_for

CPU = torch.device("cpu")


def final_model(data, recipe, store):
    model = network_for(data, recipe)
    load_tensors("model", model.state_dict(), unpack("model", store.saved))
    return model.eval()


def test_observations_equal_a_plain_forward_pass():
    data = pictures(n=60, channels=3)
    fit = split(data)
    recipe = quick("convnet", observe_batch=7, label_smoothing=0.2, flip=True)
    sink, store, _ = train(data, recipe, fit=fit, sink=Tape(("logits", "features", "grad_norm")))
    model = final_model(data, recipe, store)
    pixels = torch.from_numpy(data.x).float()
    seen = pixels[fit.train].flatten(0, 2)
    x = ((pixels - seen.mean(0)) / seen.std(0, correction=0)).permute(0, 3, 1, 2)[fit.unseen]
    with torch.no_grad():
        features = model.body(x)
        logits = model.head(features)
    np.testing.assert_allclose(sink.get("unseen.3.logits"), logits.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sink.get("unseen.3.features"), features.numpy(), rtol=1e-4, atol=1e-5)
    norms = []
    for one, label in zip(x, torch.from_numpy(data.labels[fit.unseen]), strict=True):
        model.zero_grad()
        functional.cross_entropy(model(one[None]), label[None]).backward()
        norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
    np.testing.assert_allclose(sink.get("unseen.3.grad_norm"), norms, rtol=1e-3)
    assert sink.get("unseen.3.logits").dtype == np.float32


def test_both_sides_are_observed_in_dataset_order_and_only_when_wanted():
    data = pictures()
    whole = split(data)
    fit = Fit(train=whole.train, unseen=whole.unseen, seen=whole.train[:20])
    sink, _, _ = train(data, quick(observe_batch=7), fit=fit, sink=Tape(epochs={2}))
    np.testing.assert_array_equal(sink.get("unseen.2.rows"), fit.unseen)
    np.testing.assert_array_equal(sink.get("seen.2.rows"), fit.seen)
    assert {name.split(".")[1] for name in sink.taken} == {"2"}


def test_observing_changes_nothing_in_the_training():
    data = pictures()
    everything = Tape(("logits", "features", "grad_norm"))
    _, watched, _ = train(data, quick("torch_networks:dropping"), sink=everything)
    _, alone, _ = train(data, quick("torch_networks:dropping"), sink=Tape(()))
    same(alone.saved, {name: a for name, a in watched.saved.items() if "sink" not in name})


def test_scores_do_not_depend_on_the_batch_of_observation():
    data = pictures()
    one, _, _ = train(data, quick(observe_batch=5))
    two, _, _ = train(data, quick(observe_batch=512))
    np.testing.assert_allclose(one.get("unseen.3.logits"), two.get("unseen.3.logits"), rtol=1e-5, atol=1e-5)


def test_features_need_a_linear_layer_that_takes_one_vector_a_sample():
    data = pictures()
    with pytest.raises(ArgumentError, match=r"features need a network with a torch.nn.Linear .*:headless'"):
        train(data, quick("torch_networks:headless"), sink=Tape(("features",), epochs={3}), store=(store := Store()))
    assert not store.history  # refused before any training
    with pytest.raises(ArgumentError, match=r"takes one vector a sample, but its input has shape \(24, 64, 1\)"):
        train(data, quick("torch_networks:tokens"), sink=Tape(("features",)))
    sink, _, _ = train(data, quick("torch_networks:headless", epochs=1))
    assert sink.get("unseen.1.logits").shape == (24, 3)


def test_the_last_linear_layer_is_the_one_defined_last():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    assert last_linear(model) is model[1][0]
    assert last_linear(nn.ReLU()) is None


def test_gradient_norms_leave_frozen_parameters_out():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    x, y = torch.randn(200, 3), torch.randint(2, (200,))
    hidden = model[:2](x)
    p = functional.softmax(model[2](hidden), dim=1).detach()
    # The gradient of the last layer is (p - onehot) times (hidden, 1), so its norm is a product of two norms.
    expected = (p - functional.one_hot(y, 2)).norm(dim=1) * (hidden.square().sum(1) + 1).sqrt()
    torch.testing.assert_close(gradient_norms(model, x, y), expected.detach())
    assert model[2].weight.grad is None


def test_evaluation_mode_puts_every_module_back():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()  # a frozen part stays frozen
    with evaluating(model):
        assert not any(m.training for m in model.modules())
    assert [m.training for m in model] == [True, False]


def test_the_normaliser_is_exact_and_independent_of_row_order():
    rng = np.random.default_rng(0)
    for x in (
        rng.integers(0, 256, (5000, 4, 4, 3), dtype=np.uint8),
        (rng.normal(size=(5000, 3)) * 1e3 + 1e4).astype("f4"),
    ):
        ids = rng.permutation(5000)
        train_rows = np.flatnonzero(rng.random(5000) < 0.7)
        held = Held(Arrays(x, np.zeros(5000), classes=2), device=CPU, place=CPU)
        normaliser = fit_normaliser(held, ids, train_rows)
        flat = x[train_rows].reshape(-1, 3).astype(np.float64)
        np.testing.assert_allclose(normaliser.mean.numpy(), flat.mean(0), rtol=1e-6)
        np.testing.assert_allclose(1 / normaliser.scale.numpy(), flat.std(0), rtol=1e-6)
        again = fit_normaliser(held, ids, rng.permutation(train_rows))
        assert torch.equal(normaliser.mean, again.mean)
        assert torch.equal(normaliser.scale, again.scale)


def test_a_constant_feature_is_only_centred():
    held = Held(Arrays(np.full((5, 2), 3, np.float32), np.zeros(5), classes=2), device=CPU, place=CPU)
    normaliser = fit_normaliser(held, np.arange(5), np.arange(5))
    assert normaliser(torch.full((1, 2), 3.0)).tolist() == [[0, 0]]
