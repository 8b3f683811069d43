"""One model trained by several processes: the same steps as by one, up to the order of additions."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch_stand_ins import Arrays, pictures, quick, same, split
from torch_teams import alone, together

from unseen.errors import ArgumentError
from unseen.learners.torch import Recipe, TorchLearner
from unseen.learners.torch.inputs import open_inputs

EVERYTHING = ("logits", "features", "grad_norm")


@cache
def cases():
    """Vectors and images, held and streamed; the last batch of the pictures has two samples, fewer than processes."""
    x, y = load_digits(return_X_y=True)
    vectors = Arrays(x[:600].astype(np.float32), y[:600])
    images = pictures(130, side=16)
    assert len(split(images).train) % 19 == 2
    augmented = quick(batch_size=19, flip=True, crop=2, cutout=3, label_smoothing=0.1, observe_batch=7)
    streamed = {"wants": EVERYTHING, "memory_limit": 1}
    return [
        (vectors, Recipe(network="mlp", epochs=2, batch_size=50, observe_batch=40, threads=1), {"wants": EVERYTHING}),
        (images, quick("torch_networks:normed", batch_size=19), {}),
        (images, augmented, streamed),
        (images, augmented, {**streamed, "resumed": True}),
    ]


@cache
def of(workers):
    return alone(cases()) if workers == 1 else together(workers, cases())


def near(values, wanted, tolerance):
    """Equal to so large a part of the largest value."""
    assert values.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(values[name], array, rtol=0, atol=tolerance * np.abs(array).max(), err_msg=name)


def weights(saved):
    return {name: array for name, array in saved.items() if name.startswith("model/")}


# Measured: 3e-7 without batch normalisation, 5e-5 with it, and 3e-4 where one of its batches has two samples.
@pytest.mark.parametrize(("case", "tolerance"), [(0, 3e-6), (1, 3e-3), (2, 5e-4)], ids=["mlp", "normed", "convnet"])
@pytest.mark.parametrize("workers", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_several_processes_take_the_steps_of_one(workers, case, tolerance):
    (tape, history, reports), (tape1, history1, reports1) = of(workers)[case], of(1)[case]
    near(tape, tape1, tolerance)
    assert [saved.keys() for saved in history] == [saved.keys() for saved in history1]
    for saved, saved1 in zip(history, history1, strict=True):
        near(weights(saved), weights(saved1), tolerance)
    losses, losses1 = ([fields["loss"] for _, fields in told] for told in (reports, reports1))
    np.testing.assert_allclose(losses, losses1, rtol=1e-4)


def test_a_resumed_team_is_equal_bit_for_bit():
    (tape, history, _), (again, more, reports) = of(3)[2:]
    same(again, tape)
    same(more[-1], history[-1])
    assert [fields["epoch"] for _, fields in reports] == [2, 3]


def test_workers_are_part_of_what_the_numbers_depend_on():
    learner = TorchLearner("mlp", device="cpu")
    assert "workers" not in learner.describe()
    assert learner.with_workers(3).describe()["workers"] == 3
    assert learner.with_workers(3).with_threads(1).with_epochs(2).workers == 3


def test_what_several_workers_cannot_train_is_refused():
    with pytest.raises(ArgumentError, match="batch_size must be at least the number of workers, 4, got 3"):
        TorchLearner(Recipe(batch_size=3)).with_workers(4)
    with pytest.raises(ArgumentError, match="since each has its own, got 'cuda:1'"):
        TorchLearner("mlp", device="cuda:1").with_workers(2)
    with pytest.raises(ArgumentError, match="compile of a recipe must be False with several workers"):
        TorchLearner(Recipe(compile=True)).with_workers(2)
    with pytest.raises(ArgumentError, match=r"must keep running statistics .*track_running_stats=False"):
        TorchLearner(quick("torch_networks:forgetful"), device="cpu").with_workers(2).check(pictures())
    with pytest.raises(ArgumentError, match=r"as many processes joined .*, got 1; use executor='ray:workers=2'"):
        TorchLearner("mlp", device="cpu").with_workers(2).fit(
            pictures(), split(pictures()), None, None, seed=0, report=print
        )


def test_processes_on_one_machine_share_its_memory(monkeypatch):
    data = pictures(64)  # 4 KiB
    monkeypatch.setattr("unseen.learners.torch.inputs.free_memory", lambda: 10 * 1024)
    kinds = [
        type(open_inputs(data, torch.device("cpu"), None, workers=0, sharers=sharers)).__name__ for sharers in (1, 2)
    ]
    assert kinds == ["Held", "Streamed"]
