import json
import math

import numpy as np
import pytest
import torch
from torch_stand_ins import Store, Tape, pictures, quick, split, train

from unseen.core.arrays import unpack
from unseen.errors import ArgumentError, UnknownNameError
from unseen.learners import resolve
from unseen.learners.torch import PRESETS, Recipe
from unseen.learners.torch.loop import SGD, load_tensors, network_for, to_array
from unseen.learners.torch.networks import build


def test_numbers_of_numpy_are_those_of_python():
    recipe = Recipe(epochs=np.int64(3), lr=np.float32(0.5), flip=np.bool_(True))
    assert recipe == Recipe(epochs=3, lr=0.5, flip=True)
    assert json.loads(json.dumps(recipe.describe())) == recipe.describe()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_json_and_names_a_network(name):
    recipe = Recipe.named(name, epochs=2)
    assert json.loads(json.dumps(recipe.describe()))["epochs"] == 2
    assert Recipe(**recipe.describe()) == recipe
    size = 32 if recipe.network in ("resnet34", "resnet50") else 16
    model = build(recipe.network, classes=7, channels=3, image_size=(size, size)).eval()
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)


@pytest.mark.parametrize(
    ("network", "million"), [("resnet18", 11.17), ("resnet34", 21.28), ("resnet50", 23.51), ("resnet9", 6.57)]
)
def test_the_resnets_have_their_published_size(network, million):
    size = (32, 32)
    model = build(network, classes=10, channels=3, image_size=size)
    body = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("head"))
    assert round(body / 1e6, 2) == million


def test_the_stem_for_small_images_keeps_the_resolution():
    model = build("resnet18", classes=10, channels=3, image_size=(32, 32))
    assert model.body[0](torch.zeros(1, 3, 32, 32)).shape == (1, 64, 32, 32)
    model = build("resnet34", classes=10, channels=3, image_size=(64, 64))
    assert model.body[:2](torch.zeros(1, 3, 64, 64)).shape == (1, 64, 16, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs of a recipe must be at least 1, got 0"),
        ({"epochs": 2.5}, "epochs of a recipe must be an integer, got 2.5"),
        ({"epochs": True}, "epochs of a recipe must be an integer, got True"),
        ({"batch_size": -1}, "batch_size of a recipe must be at least 1, got -1"),
        ({"lr": 0}, "lr of a recipe must be above 0, got 0"),
        ({"lr": math.nan}, "lr of a recipe must be above 0, got nan"),
        ({"lr": "high"}, "lr of a recipe must be a number, got 'high'"),
        ({"momentum": 1}, r"momentum of a recipe must be in \[0, 1\), got 1"),
        ({"momentum": 0.0}, "nesterov of a recipe needs momentum above 0"),
        (
            {"schedule": "step"},
            r"schedule of a recipe must be one of \('cosine', .*\), got 'step'",
        ),
        ({"precision": "int8"}, "precision of a recipe must be one of"),
        ({"final_lr": 0.2}, "final_lr of a recipe needs a falling schedule and at most lr"),
        ({"schedule": "constant", "final_lr": 0.01}, "final_lr of a recipe needs a falling schedule"),
        ({"threads": 0}, "threads of a recipe must be at least 1, got 0"),
        ({"flip": 1}, "flip of a recipe must be True or False, got 1"),
        ({"network": ""}, "network of a recipe must be a network's name"),
    ],
)
def test_values_are_checked(changes, words):
    with pytest.raises(ArgumentError, match=words):
        Recipe(**changes)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown recipe 'convnets'; did you mean 'convnet'"):
        Recipe.named("convnets")
    with pytest.raises(UnknownNameError, match="unknown recipe field 'epoch'; did you mean 'epochs'"):
        Recipe.named("convnet", epoch=3)


def test_schedules_by_hand():
    def rates(steps, **options):
        recipe = Recipe(lr=1.0, **options)
        return [recipe.rate(step, steps) for step in range(steps)]

    assert rates(3, schedule="constant") == [1, 1, 1]
    assert rates(4, schedule="constant", warmup=0.5) == [0.5, 1, 1, 1]
    assert rates(4, schedule="one_cycle") == [1, 0.75, 0.5, 0.25]
    np.testing.assert_allclose(rates(4, schedule="one_cycle", final_lr=0.2), [1, 0.8, 0.6, 0.4])
    root = math.sqrt(0.5)
    np.testing.assert_allclose(rates(4, schedule="cosine"), [1, (1 + root) / 2, 0.5, (1 - root) / 2])
    np.testing.assert_allclose(rates(5, schedule="cosine", warmup=0.2), [1, 1, (1 + root) / 2, 0.5, (1 - root) / 2])


def test_torch_agrees_on_the_cosine():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50, eta_min=1e-4)
    recipe = Recipe(lr=0.1, final_lr=1e-4, schedule="cosine")
    for step in range(50):
        assert math.isclose(recipe.rate(step, 50), optimiser.param_groups[0]["lr"], rel_tol=1e-9)
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 8},
        {"lr": 0.01},
        {"momentum": 0.5},
        {"nesterov": False},
        {"weight_decay": 0.1},
        {"schedule": "one_cycle"},
        {"warmup": 0.5},
        {"final_lr": 0.04},
        {"label_smoothing": 0.1},
        {"precision": "bf16"},
        {"epochs": 2},
    ],
)
def test_each_option_changes_the_model(change):
    data = pictures(n=40)
    models = [train(data, quick(**options))[1].saved["model/head.weight"] for options in ({}, change)]
    assert not np.array_equal(*models)


def test_decay_spares_biases_and_normalisation():
    data = pictures(n=40)
    options = {"epochs": 1, "batch_size": 100, "nesterov": False}
    plain, decayed = (train(data, quick(weight_decay=w, **options))[1].saved for w in (0.0, 0.5))
    for name, before in plain.items():
        if name.startswith("model/"):  # after one step only the decayed weights differ
            assert np.array_equal(before, decayed[name]) == (before.ndim <= 1), name


def test_one_step_equals_plain_torch():
    data = pictures(n=40)
    fit = split(data)
    recipe = quick("mlp", epochs=1, batch_size=100, lr=0.1, label_smoothing=0.1, weight_decay=0.01)
    still = quick("mlp", epochs=1, batch_size=100, lr=1e-30)
    model = network_for(data, recipe)
    start = train(data, still, fit=fit)[1].saved
    load_tensors("model", model.state_dict(), unpack("model", start))
    x = torch.from_numpy(data.x[fit.train]).float()
    x = ((x - x.mean()) / x.std(correction=0)).permute(0, 3, 1, 2)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": biases}]
    optimiser = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(model(x), torch.from_numpy(data.labels[fit.train]))
    loss.backward()
    optimiser.step()
    _, store, reports = train(data, recipe, fit=fit)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(store.saved[f"model/{name}"], p.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert math.isclose(reports[0][1]["loss"], loss.item(), rel_tol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.9, False), (0.0, False)])
def test_many_steps_equal_those_of_torch(momentum, nesterov, dtype):
    recipe = quick("mlp", momentum=momentum, nesterov=nesterov, weight_decay=0.01, lr=0.1)
    ours, theirs = (torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3)).to(dtype) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    ours[0].bias.requires_grad_(False)
    theirs[0].bias.requires_grad_(False)
    groups = [
        {"params": [layer.weight for layer in theirs], "weight_decay": 0.01},
        {"params": [theirs[1].bias]},
    ]
    mine, optimiser = SGD(ours, recipe), torch.optim.SGD(groups, lr=0.1, momentum=momentum, nesterov=nesterov)
    for step in range(1, 6):
        mine.lr = optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = 0.1 / step
        x = torch.randn(6, 5).to(dtype)
        for network, one in ((ours, mine), (theirs, optimiser)):
            one.zero_grad()
            network(x).square().mean().backward()
            one.step()
    tolerance = {"rtol": 1e-5, "atol": 1e-7} if dtype == torch.float32 else {"rtol": 0, "atol": 0}
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other, **tolerance)
    assert sorted(mine.state()) == (["0.weight", "1.bias", "1.weight"] if momentum else [])


def test_layout_changes_speed_and_not_the_result():
    data = pictures(n=40)
    nhwc, nchw = (train(data, quick(channels_last=c))[0].get("unseen.3.logits") for c in (True, False))
    np.testing.assert_allclose(nhwc, nchw, rtol=1e-3, atol=1e-4)


def test_bfloat16_parameters_are_kept_bit_for_bit():
    data = pictures(n=40)
    recipe = quick("torch_networks:half")
    _, reference, _ = train(data, recipe, sink=Tape())
    assert reference.saved["model/inner.weight"].dtype == np.int16
    store = Store(die_after=2)
    with pytest.raises(KeyboardInterrupt):
        train(data, recipe, store=store)
    train(data, recipe, store=store)
    for name in reference.saved:
        np.testing.assert_array_equal(store.saved[name], reference.saved[name])


def test_an_array_of_a_tensor_is_a_copy():
    tensor = torch.zeros(2)
    array = to_array(tensor)
    tensor += 1
    assert array.tolist() == [0, 0]
    assert to_array(torch.tensor(3)).shape == ()


@pytest.mark.slow
def test_a_compiled_training_learns_the_same():
    data = pictures()
    plain, compiled = (train(data, quick(compile=c))[0].get("unseen.3.logits") for c in (False, True))
    np.testing.assert_allclose(plain, compiled, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("spec", ["mlp", "mlp:epochs=2,lr=0.05"])
def test_a_preset_named_as_of_torch_is_the_same(spec):
    data = pictures(n=12, channels=1)
    assert resolve(f"torch:{spec}", data).recipe == resolve(spec, data).recipe
