"""The surroundings of a training: its device, settings of the process that are restored, and a team of processes.

A team of processes trains one model together, each on a slice of every batch. The batch and the learning rate are those
of the recipe. Slices differ in size by at most one sample, gradients are weighted by it, and batch normalisation is
over the whole batch. So the steps are those of one process, up to the order in which floating-point numbers are added.
Only the first process feeds the sink and keeps checkpoints.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from unseen.core.arrays import Arrays
from unseen.core.machine import environment
from unseen.errors import ArgumentError
from unseen.learners.torch.recipe import Recipe


def find_device(name: str) -> torch.device:
    """Return the device of that name; `"auto"` is the current CUDA device where there is one, or else the CPU.

    Raises:
        ArgumentError: no such device, or none that this package supports.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    refusal = ArgumentError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {name!r}")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise refusal from error
    if device.type not in ("cpu", "cuda"):
        raise refusal
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index if device.index is not None else (torch.cuda.current_device() if count else 0)
        if index >= count:
            raise ArgumentError(f"device {name!r} is not there: torch sees {count} CUDA devices; use device='cpu'")
        device = torch.device("cuda", index)
    return device


def has_bf16_units(device: torch.device) -> bool:
    """Tell whether a device multiplies matrices in bfloat16 by units of their own: Intel's AMX, or CUDA from Ampere on.

    Other processors compute in bfloat16, too, and slower than in float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)  # from torch 2.6 on, and not public
    return supported is not None and bool(supported())


@contextmanager
def borrowed(recipe: Recipe, device: torch.device, threads: int) -> Iterator[None]:
    """Set threads and switches for one fit; at its end put them and the random state back.

    These settings belong to the process: two fits at once need two processes.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device.index] if device.type == "cuda" else []))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        # Batch normalisation and momentum drive many values below 1e-38, and CPUs compute with such numbers many times
        # more slowly than with zero: 18 s an epoch against 0.7 s in a convnet that showed it.
        # Torch does not tell the state of this switch: half of a denormal number shows it.
        flushing = bool(torch.tensor([1e-310], dtype=torch.float64).mul(0.5).item() == 0.0)
        stack.callback(torch.set_flush_denormal, flushing)
        torch.set_flush_denormal(True)
        if device.type == "cuda":
            stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
            torch.backends.cudnn.benchmark = not recipe.deterministic
        if recipe.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses
            stack.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
            torch.use_deterministic_algorithms(True)
        yield


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the torch generators that networks draw from; only inside `borrowed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def explained(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Turn errors of torch about memory and batches into errors that say what to change."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        half = max(recipe.batch_size // 2, 1)
        raise ArgumentError(
            f"batch_size={recipe.batch_size} (observe_batch={recipe.observe_batch}) of network {recipe.network!r} does "
            f"not fit the memory of {device}; use batch_size={half}, precision='bf16', a smaller memory_limit for the "
            f"data, or device='cpu': {error}"
        ) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ArgumentError(
            f"batch_size must be at least 2, and at least 2 samples trained on, for network {recipe.network!r}, which "
            f"normalises over the batch, got batch_size={recipe.batch_size}"
        ) from error


def load_compiler() -> None:
    """Import the compiler of torch, as `vmap` would, but without making an empty cache folder.

    During the import the cache is a folder that exists. What is compiled later goes where torch or the user says.
    """
    name = "TORCHINDUCTOR_CACHE_DIR"
    if "torch._dynamo" in sys.modules or name in os.environ:
        return
    with environment({name: tempfile.gettempdir()}):
        importlib.import_module("torch._dynamo")


# ---- a team of processes -----------------------------------------------------------------------------------------


def _normalise_over_all(norm: _BatchNorm, alone: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Normalise by the statistics of all slices in training, and else as the module does alone."""
    if not norm.training:
        return alone(x)
    shape = [1, -1, *[1] * (x.ndim - 2)]
    others = [axis for axis in range(x.ndim) if axis != 1]
    values = x.float()
    count = torch.tensor(float(values.numel() // values.shape[1]), device=x.device)
    distributed.all_reduce(count)
    if count < 2:
        raise ValueError("Expected more than 1 value per channel when training, over all workers")  # torch's words
    # In two steps: the difference of a mean of squares and a squared mean loses digits.
    mean = _Sum.apply(values.sum(others)) / count  # type: ignore[no-untyped-call]
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(others)) / count  # type: ignore[no-untyped-call]
    if norm.num_batches_tracked is not None and norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():  # move the running statistics towards those of the batch
            norm.num_batches_tracked.add_(1)
            share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.detach().to(norm.running_mean.dtype), share)
            unbiased = variance.detach() * (count / (count - 1))
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), share)
    scaled = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        scaled = torch.addcmul(norm.bias.float().view(shape), scaled, norm.weight.float().view(shape))
    normalised: Tensor = scaled.to(x.dtype)
    return normalised


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient of each part is the sum of the gradients of all processes."""

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


T = TypeVar("T")
_HOST = torch.device("cpu")
Outputs = tuple[Tensor, Tensor | None, Tensor | None]  # logits (m, C), features (m, d), gradient norms (m,) of a batch


@dataclass(frozen=True)
class Team:
    """The processes that train one model together, seen by one of them; alone by default, where nothing is sent."""

    rank: int = 0  # which one this is, from 0
    size: int = 1  # how many they are
    local: int = 1  # how many of them are on this machine
    device: torch.device = _HOST  # where tensors that are sent have to be

    @property
    def leads(self) -> bool:
        """Whether this is the process that feeds the sink and keeps the checkpoints."""
        return self.rank == 0

    def slice(self, samples: int) -> slice:
        """Return the part of a batch that this process takes; none if the batch has fewer samples than processes.

        >>> [Team(rank, 3).slice(7) for rank in range(3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
        """
        return slice(samples * self.rank // self.size, samples * (self.rank + 1) // self.size)

    def mine(self, batches: Sequence[T]) -> Sequence[T]:
        """Return every `size`-th of some batches, beginning with that of the rank."""
        return batches[self.rank :: self.size]

    def joined(self, model: nn.Module) -> nn.Module:
        """Prepare the model for training by the team; return what training calls in its place, with its weights."""
        if self.size == 1:
            return model
        # Batch normalisation in training takes the statistics of all slices together, by torch where it can do that.
        if self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # in place
        else:
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.forward = partial(_normalise_over_all, module, module.forward)  # type: ignore[method-assign]
        # Its search for unused parameters also keeps the order of addition: buckets are not laid out anew after the
        # first step of a process, so a training that is resumed goes on bit for bit.
        return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float, samples: int) -> Tensor:
        """Return a loss whose mean over the team is the mean cross-entropy of the whole batch.

        Gradients are then averaged over the team, too.
        """
        if self.size == 1:
            return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        total = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
        return total * (self.size / samples)

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Add up the arrays of all processes, which are of one shape and dtype."""
        if self.size == 1:
            return array
        total = torch.from_numpy(np.array(array)).to(self.device)
        distributed.all_reduce(total)
        return total.cpu().numpy()

    def shared(self, arrays: Arrays | None) -> Arrays | None:
        """Return the named arrays, or None, of the first process; those of the others are ignored."""
        if self.size == 1:
            return arrays
        packed = BytesIO()
        if self.leads and arrays is not None:
            named: dict[str, Any] = dict(arrays)
            np.savez(packed, **named)
        content = torch.from_numpy(np.frombuffer(packed.getvalue(), np.uint8).copy()).to(self.device)
        length = torch.tensor(len(content), device=self.device)
        distributed.broadcast(length, 0)
        if not length:
            return None
        if not self.leads:
            content = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        distributed.broadcast(content, 0)
        with np.load(BytesIO(content.cpu().numpy().tobytes()), allow_pickle=False) as opened:
            return dict(opened)

    def gathered(self, own: Iterator[Outputs], rows: Sequence[int]) -> Iterator[Outputs]:
        """Gather the outputs of all batches, in their order, in the first process; the others send and get none.

        `own` are the outputs of this process for the batches that are `mine`, `rows` the samples of all batches.
        """
        if not self.leads:
            for outputs in own:
                _send(outputs, self.device)
            return
        for index, samples in enumerate(rows):
            rank = index % self.size
            yield next(own) if rank == 0 else _received(rank, samples, self.device)
        next(own, None)  # runs the generator to its end


ALONE = Team()


def find_team(workers: int, device: torch.device) -> Team:
    """Return the team of `workers` processes that this one belongs to, by `torch.distributed`.

    Raises:
        ArgumentError: there are not as many.
    """
    if workers == 1:
        return ALONE
    joined = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    if joined != workers:
        raise ArgumentError(
            f"a model to be trained by {workers} workers needs as many processes joined by torch.distributed, got "
            f"{joined}; use executor='ray:workers={workers}'"
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", joined))
    return Team(distributed.get_rank(), workers, local, device)


def _send(outputs: Outputs, device: torch.device) -> None:
    logits, features, norms = outputs
    parts = [logits, features, None if norms is None else norms[:, None]]
    widths = [0 if part is None else part.shape[1] for part in parts]
    distributed.send(torch.tensor(widths, device=device), 0)
    distributed.send(torch.cat([part for part in parts if part is not None], dim=1).contiguous(), 0)


def _received(rank: int, samples: int, device: torch.device) -> Outputs:
    header = torch.empty(3, dtype=torch.int64, device=device)
    distributed.recv(header, rank)
    widths: list[int] = header.tolist()
    content = torch.empty(samples, sum(widths), device=device)
    distributed.recv(content, rank)
    logits, features, norms = (part.contiguous() for part in torch.split(content, widths, dim=1))
    return logits, features if widths[1] else None, norms[:, 0] if widths[2] else None
