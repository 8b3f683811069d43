"""The state of a training as named NumPy arrays, and back: no pickle, one commit an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unseen.errors import CorruptFileError
from unseen.types import Arrays

__all__ = ["pack", "packed_optimiser", "part", "to_array", "unpack_model", "unpack_optimiser"]


def to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """A copy of a tensor as an array; NumPy has no bfloat16, so its bits become int16."""
    copy = tensor.detach().to("cpu", copy=True).contiguous()
    return copy.view(torch.int16).numpy() if copy.dtype == torch.bfloat16 else copy.numpy()


def pack(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The same arrays under `prefix/name`."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def part(prefix: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The arrays that `pack` put under that prefix.

    >>> sorted(part("a", {"a/x": np.zeros(1), "a/y/z": np.zeros(1), "b/x": np.zeros(1)}))
    ['x', 'y/z']
    """
    return {name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")}


def unpack_model(model: nn.Module, arrays: Arrays) -> None:
    """Load the parameters and buffers of a model in place.

    Raises:
        CorruptFileError: other names or shapes than the model has.

    """
    state = model.state_dict()
    _same("model", {name: tuple(t.shape) for name, t in state.items()}, arrays)
    for name, tensor in state.items():
        _copy(tensor, arrays[name])


def packed_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, npt.NDArray[Any]]:
    """The momentum of each parameter under the name of the parameter."""
    return {
        name: to_array(optimiser.state[p]["momentum_buffer"])
        for name, p in model.named_parameters()
        if optimiser.state.get(p, {}).get("momentum_buffer") is not None
    }


def unpack_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, arrays: Arrays) -> None:
    """Give each parameter its momentum back."""
    named = dict(model.named_parameters())
    _same("optim", {name: tuple(named[name].shape) for name in arrays if name in named}, arrays)
    for name, array in arrays.items():
        buffer = torch.empty_like(named[name], requires_grad=False)
        _copy(buffer, array)
        optimiser.state[named[name]]["momentum_buffer"] = buffer


def _copy(target: Tensor, array: npt.NDArray[Any]) -> None:
    source = torch.from_numpy(np.array(array))
    with torch.no_grad():
        target.copy_(source.view(torch.bfloat16) if target.dtype == torch.bfloat16 else source)


def _same(what: str, shapes: Mapping[str, tuple[int, ...]], arrays: Arrays) -> None:
    got = {name: array.shape for name, array in arrays.items()}
    if got != dict(shapes):
        differ = sorted(name for name in {*shapes, *got} if shapes.get(name) != got.get(name))
        raise CorruptFileError(
            f"the checkpoint must hold the {what} state of this network, but these entries differ: "
            f"{', '.join(differ[:5])}; delete the checkpoint of this fit to train it again"
        )
