"""What a model says of samples: evaluation mode, no augmentation, no gradient but the one asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from unseen.errors import ArgumentError

__all__ = ["evaluating", "gradient_norms", "last_linear", "listening"]

_GRADIENT_FLOATS = 1 << 25  # 128 MiB of one-sample gradients at a time


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The linear layer that was defined last, or None.

    >>> last_linear(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)))
    Linear(in_features=3, out_features=4, bias=True)
    """
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return found[-1] if found else None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; every module goes back to the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def listening(model: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """While open, a call of the model lets the function given here tell the input of its last linear layer.

    Raises:
        ArgumentError: it has no linear layer, or one whose input is not one vector a sample.

    """
    layer = last_linear(model)
    if layer is None:
        raise ArgumentError(
            "features need a network with a torch.nn.Linear (they are the input of the last one), but it has none; "
            "choose a score without features, or another network"
        )
    heard: list[Tensor] = []

    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        heard[:] = [inputs[0].detach().float()]

    def features() -> Tensor:
        if not heard or heard[0].ndim != 2:
            raise ArgumentError(
                "features need a last torch.nn.Linear that takes one vector a sample, but its input has shape "
                f"{tuple(heard[0].shape) if heard else '() (it was not called)'}; choose a score without features"
            )
        return heard.pop()

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield features
    finally:
        handle.remove()


def gradient_norms(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Norm of the gradient of plain cross-entropy over all trainable parameters, one sample at a time, float32 (m,).

    In evaluation mode and full precision, in chunks of bounded memory.
    Source: Paul et al. 2021 (arXiv 2107.07075), GraNd.

    >>> model = nn.Linear(2, 2, bias=False)
    >>> with torch.no_grad(): _ = model.weight.zero_()
    >>> round(gradient_norms(model, torch.tensor([[3.0, 4.0]]), torch.tensor([0])).item(), 4)
    3.5355
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    fixed.update(model.named_buffers())

    def loss(parameters: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, (parameters, fixed), (one[None],))
        return functional.cross_entropy(logits, label[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))
    chunk = max(1, min(64, _GRADIENT_FLOATS // max(1, sum(p.numel() for p in trained.values()))))
    norms = []
    with evaluating(model), torch.enable_grad():
        for some, these in zip(torch.split(inputs, chunk), torch.split(labels, chunk), strict=True):
            gradients = each(trained, some, these)
            squares = [g.detach().flatten(1).square().sum(dim=1) for g in gradients.values()]
            norms.append(torch.stack(squares).sum(dim=0).sqrt())
    return torch.cat(norms)
