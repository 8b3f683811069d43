"""Batch normalisation over the whole batch where several processes have a slice of it each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["by_the_batch_alone", "synchronise"]


def synchronise(model: nn.Module, device: torch.device) -> None:
    """Let every batch normalisation of a model, in training, take the statistics of all processes' slices together.

    Where torch can do it, which is on GPUs, its own does. Names, weights and evaluation mode stay as they are.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # in place
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            _replace_forward(module)


def by_the_batch_alone(model: nn.Module) -> bool:
    """Whether some batch normalisation keeps no running statistics: what it says of a sample depends on its batch.

    >>> by_the_batch_alone(nn.BatchNorm1d(2)), by_the_batch_alone(nn.BatchNorm1d(2, track_running_stats=False))
    (False, True)

    """
    return any(isinstance(module, _BatchNorm) and module.running_mean is None for module in model.modules())


def _replace_forward(norm: _BatchNorm) -> None:
    alone: Callable[[Tensor], Tensor] = norm.forward

    def forward(x: Tensor) -> Tensor:
        return _normalised(norm, x) if norm.training else alone(x)

    norm.forward = forward  # type: ignore[method-assign, assignment]


def _normalised(norm: _BatchNorm, x: Tensor) -> Tensor:
    shape = [1, -1, *[1] * (x.ndim - 2)]
    others = [axis for axis in range(x.ndim) if axis != 1]
    values = x.float()
    count = torch.tensor(float(values.numel() // values.shape[1]), device=x.device)
    distributed.all_reduce(count)
    if count < 2:
        raise ValueError("Expected more than 1 value per channel when training, over all workers")  # torch's words
    # In two steps: the difference of a mean of squares and a squared mean loses digits.
    mean = _summed(values.sum(others)) / count
    centred = values - mean.view(shape)
    variance = _summed(centred.square().sum(others)) / count
    _follow(norm, mean.detach(), variance.detach() * (count / (count - 1)))
    scaled = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        scaled = torch.addcmul(norm.bias.float().view(shape), scaled, norm.weight.float().view(shape))
    return scaled.to(x.dtype)


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards those of a batch."""
    if norm.num_batches_tracked is None or norm.running_mean is None or norm.running_var is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


def _summed(part: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient of each part is the sum of what each process makes of the whole."""

    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        return _all_reduced(part)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return _all_reduced(gradients[0])


def _all_reduced(part: Tensor) -> Tensor:
    total = part.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
