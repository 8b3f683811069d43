import numpy as np
import pytest
import torch
from torch_stand_ins import Store, Tape, pictures, quick, same, train

from unseen.errors import ArgumentError
from unseen.learners.torch import TorchLearner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


class OnHost(Tape):
    def observe(self, side, observation):
        assert observation.logits.device.type == "cuda"
        parts = {n: getattr(observation, n) for n in ("logits", "features", "grad_norm")}
        parts = {n: v if v is None else v.cpu() for n, v in parts.items()}
        super().observe(side, type(observation)(observation.rows, observation.epoch, **parts))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("memory_limit", [None, 10], ids=["held", "streamed"])
def test_cuda_agrees_with_the_cpu(precision, memory_limit):
    data = pictures()
    words = ("logits", "features", "grad_norm")
    recipe = quick(epochs=2, flip=True, crop=2, precision=precision)
    cpu, _, _ = train(data, quick(epochs=2, flip=True, crop=2), sink=Tape(words))
    cuda, _, _ = train(data, recipe, sink=OnHost(words), device="cuda", memory_limit=memory_limit)
    tolerance = 1e-2 if precision == "fp32" else 0.3
    np.testing.assert_allclose(cuda.get("unseen.1.logits"), cpu.get("unseen.1.logits"), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_deterministic_run_is_resumed_bit_for_bit(precision):
    data = pictures()
    recipe = quick(precision=precision, deterministic=True)
    whole, reference, _ = train(data, recipe, sink=OnHost(), device="cuda")
    store = Store(die_after=2)
    with pytest.raises(KeyboardInterrupt):
        train(data, recipe, sink=OnHost(), store=store, device="cuda")
    sink, store, _ = train(data, recipe, sink=OnHost(), store=store, device="cuda")
    same(store.saved, reference.saved)
    same(sink.state(), whole.state())


def test_random_state_of_the_device_is_left_as_it_was():
    before = torch.cuda.get_rng_state()
    train(pictures(), quick("torch_networks:dropping", epochs=1), sink=OnHost(), device="cuda")
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_out_of_memory_says_what_to_change(monkeypatch):
    from unseen.learners.torch import loop

    def exhausted(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop.TorchTraining, "epoch", exhausted)
    with pytest.raises(ArgumentError, match=r"batch_size=16 .* does not fit the memory of cuda:0; use batch_size=8"):
        train(pictures(), quick(), device="cuda")


def test_auto_is_cuda():
    assert TorchLearner("mlp").describe()["device"] == "cuda"
