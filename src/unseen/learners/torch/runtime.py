"""What a fit borrows from the process and gives back: threads, random state, torch's switches. And torch's errors."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from unseen.errors import ArgumentError
from unseen.learners.torch.recipe import Recipe


def find_device(name: str) -> torch.device:
    """Return the device of that name; `"auto"` is the current CUDA device where there is one, or else the CPU.

    Raises:
        ArgumentError: no such device, or none that this package supports.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ArgumentError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise ArgumentError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {name!r}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index if device.index is not None else (torch.cuda.current_device() if count else 0)
        if index >= count:
            raise ArgumentError(f"device {name!r} is not there: torch sees {count} CUDA devices; use device='cpu'")
        device = torch.device("cuda", index)
    return device


@contextmanager
def borrowed(recipe: Recipe, device: torch.device, threads: int) -> Iterator[None]:
    """Set threads and switches for one fit; whatever it does to them and to random state is undone.

    These settings belong to the process: two fits at once need two processes.
    """
    before = torch.get_num_threads()
    strict, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device.index] if device.type == "cuda" else []))
        stack.callback(torch.set_num_threads, before)
        torch.set_num_threads(threads)
        # Batch normalisation and momentum drive many values below 1e-38, and CPUs compute with such numbers many times
        # more slowly than with zero: 18 s an epoch against 0.7 s in a convnet that showed it.
        stack.callback(torch.set_flush_denormal, _flushing())
        torch.set_flush_denormal(True)
        if device.type == "cuda":
            stack.callback(setattr, torch.backends.cudnn, "benchmark", benchmark)
            torch.backends.cudnn.benchmark = not recipe.deterministic
        if recipe.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses
            stack.callback(torch.use_deterministic_algorithms, strict)
            torch.use_deterministic_algorithms(True)
        yield


def _flushing() -> bool:
    """Whether this thread takes denormal numbers for zero; torch has a switch for it, but tells no state."""
    return bool(torch.tensor([1e-310], dtype=torch.float64).mul(0.5).item() == 0.0)


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the torch generators that networks draw from; only inside `borrowed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def explained(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Say what to change where torch only says what broke."""
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
    """Load the compiler of torch, which `vmap` does, without the empty cache folder that this would make.

    A folder that exists is named for that moment; what is compiled later goes where torch or the user wants it.
    """
    name = "TORCHINDUCTOR_CACHE_DIR"
    if "torch._dynamo" in sys.modules or name in os.environ:
        return
    os.environ[name] = tempfile.gettempdir()
    try:
        importlib.import_module("torch._dynamo")
    finally:
        os.environ.pop(name, None)
