"""The torch learner: it trains by a recipe, on the CPU or a CUDA device, and observes after each epoch.

Importing this module does not import torch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.core.arrays import pack, unpack
from unseen.core.checks import at_least
from unseen.core.exposure import SIDES
from unseen.core.machine import default_threads, free_memory, short_spins
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.errors import ArgumentError, DataError, import_optional, some
from unseen.learners.base import refuse_target
from unseen.learners.torch.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from unseen.core.exposure import Fit
    from unseen.learners.torch.inputs import Inputs


def load_torch() -> None:
    """Import torch with threads that soon sleep while they wait for each other, unless it is loaded already.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    if "torch" not in sys.modules:
        with short_spins():
            import_optional("torch", "the torch learner", "torch")


def check_shape(recipe: Recipe, data: Data) -> None:
    """Refuse random changes of images for vectors, and those that are too large for these images."""
    if data.kind == "vector":
        for name in ("flip", "crop", "cutout"):
            if value := getattr(recipe, name):
                raise ArgumentError(
                    f"{name} of the recipe is for images, got {name}={value!r} for vectors; leave it out"
                )
        return
    side = min(data.sample_shape[:2])
    if recipe.crop >= side or recipe.cutout > side:
        raise ArgumentError(
            f"crop must be below and cutout at most the side of an image, {side} pixels, got crop={recipe.crop} and "
            f"cutout={recipe.cutout}"
        )


def try_network(recipe: Recipe, data: Data, workers: int) -> None:
    """Build the network and call it once; refuse one that cannot take these inputs or does not give logits."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.parameter import is_lazy

    from unseen.learners.torch.loop import network_for

    shape = data.sample_shape if data.kind == "vector" else (data.sample_shape[2], *data.sample_shape[:2])
    classes = len(data.class_names)
    with torch.random.fork_rng([]), torch.no_grad():
        model = network_for(data, recipe).eval()
        alone = [one for one in model.modules() if isinstance(one, _BatchNorm) and one.running_mean is None]
        if workers > 1 and alone:  # its output for a sample depends on the batch, which is judged in slices
            raise ArgumentError(
                f"network {recipe.network!r} with {workers} workers must keep running statistics in its batch "
                "normalisation, got track_running_stats=False; leave it at True, or use one worker"
            )
        state = model.state_dict().items()
        if odd := [name for name, value in state if not isinstance(value, torch.Tensor) or is_lazy(value)]:
            raise ArgumentError(
                f"network {recipe.network!r} must have a state of tensors of known sizes, so that it can be saved, "
                f"but has lazy layers or other state: {some(odd)}; give each layer its sizes"
            )
        try:
            logits = model(torch.zeros(2, *shape))
        except Exception as error:  # whatever a foreign network raises, it is about this input
            raise ArgumentError(f"network {recipe.network!r} cannot take inputs of shape {shape}: {error}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ArgumentError(f"network {recipe.network!r} must give (m, {classes}) logits, got {got} for m=2")


class TorchLearner(Learner):
    """The built-in training loop, for images and vectors.

    Args:
        recipe: how to train, or the name of a preset (`"mlp"`, `"convnet"`, `"resnet9"`, `"resnet18"`, ...).
        device: `"auto"` (CUDA where there is one), `"cpu"`, `"cuda"` or `"cuda:N"`.
        data_workers: processes that read data too large for `memory_limit`; 0 reads in this process.
        memory_limit: bytes that the data set may take when held as one tensor, on the device or in host memory;
            None is half of what is free. Above it batches are read as they are needed; the numbers are the same.

    Threads, random state and switches of torch are set for one fit and then put back. They belong to the process, so
    fits that run at the same time must run in different processes.

    Raises:
        MissingDependencyError: torch is not installed.

    >>> learner = TorchLearner("mlp", device="cpu").with_threads(1)
    >>> learner.epochs, learner.threads, learner.with_epochs(3).epochs, learner.with_workers(2).workers
    (20, 1, 3, 2)
    >>> learner.steps(1000)  # 20 epochs of 8 batches of up to 128
    160
    """

    name = "torch"
    provides = frozenset({"logits", "features", "grad_norm"})
    workers = 1  # processes that train one model together; see with_workers

    def __init__(
        self,
        recipe: Recipe | str = "convnet",
        *,
        device: str = "auto",
        data_workers: int = 2,
        memory_limit: int | None = None,
    ) -> None:
        load_torch()
        self.recipe = Recipe.named(recipe) if isinstance(recipe, str) else recipe
        at_least("data_workers", data_workers, 0)
        at_least("memory_limit", memory_limit or 0, 0)
        self.device = str(device)
        if self.recipe.precision == "auto":  # fixed here, too
            from unseen.learners.torch.runtime import has_bf16_units

            self.recipe = replace(self.recipe, precision="bf16" if has_bf16_units(self._device()) else "fp32")
        self.data_workers = data_workers
        self.memory_limit = memory_limit
        self.epochs, self.batch_size = self.recipe.epochs, self.recipe.batch_size
        # Fixed here, so that a fit in another process or on another machine runs with as many threads.
        self.threads: int = self.recipe.threads or default_threads()
        # A list, so that the same learner at other epochs or threads shares what is held.
        self._opened: list[tuple[Data, Inputs]] = []

    def __repr__(self) -> str:
        return f"TorchLearner({self.recipe!r}, device={self.device!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the data that are held for the next fit; another process reads its own."""
        return {**self.__dict__, "_opened": []}

    def with_threads(self, threads: int) -> TorchLearner:
        """Return the same learner with this number of threads per fit, unless its recipe fixes them."""
        return self if self.recipe.threads is not None else self._changed(threads=threads)

    def with_workers(self, workers: int) -> TorchLearner:
        """Return the same learner with each model trained by this number of processes, each on a slice of every batch.

        They have to be joined by `torch.distributed`, which `executor="ray:workers=2"` does. Batch size, learning rate
        and steps stay those of the recipe, up to the order in which numbers are added; only dropout draws other
        numbers.

        Raises:
            ArgumentError: a batch size below the number of workers, a GPU by its number, or a compiled network.
        """
        if workers > 1 and self.recipe.batch_size < workers:
            raise ArgumentError(
                f"batch_size must be at least the number of workers, {workers}, got {self.recipe.batch_size}; use "
                "fewer workers"
            )
        if workers > 1 and ":" in self.device:
            raise ArgumentError(
                "device must be 'auto', 'cpu' or 'cuda' with several workers, since each has its own, got "
                f"{self.device!r}"
            )
        if workers > 1 and self.recipe.compile:
            raise ArgumentError("compile of a recipe must be False with several workers, got True")
        return self._changed(workers=workers)

    def steps(self, samples: int) -> int:
        """Count the optimiser steps of one training on this number of samples."""
        from unseen.learners.torch.loop import batched

        return self.recipe.epochs * len(batched(np.arange(samples), self.recipe.batch_size))

    def with_epochs(self, epochs: int) -> TorchLearner:
        """Return the same learner, trained for another number of epochs."""
        return self._changed(recipe=replace(self.recipe, epochs=epochs), epochs=epochs)

    def _changed(self, **attributes: Any) -> TorchLearner:
        other = copy(self)
        other.__dict__ |= attributes
        return other

    def holds(self, data_bytes: int) -> bool:
        """Tell whether inputs of this size fit `memory_limit`; where it is None, half of the free host memory."""
        if self.memory_limit is not None:
            return data_bytes <= self.memory_limit
        return data_bytes <= free_memory() / 2

    def network_bytes(self, data: Data) -> tuple[float, float]:
        """Count the bytes of parameters, gradients and momentum, and what a sample adds going backward."""
        from unseen.learners.torch.loop import network_bytes

        return network_bytes(self.recipe, data)

    def describe(self) -> dict[str, object]:
        """Return what its numbers depend on: recipe, kind of device, threads, and the workers if there are several."""
        return {
            "learner": self.name,
            "recipe": {**self.recipe.describe(), "threads": self.threads},
            "device": self._device().type,
            "threads": self.threads,
            **({"workers": self.workers} if self.workers > 1 else {}),
        }

    def check(self, data: Data) -> None:
        """Refuse data, or a recipe for them, that the network cannot learn from; it is built and called once."""
        refuse_target(data, "the torch learner learns classes")
        device = self._device()
        if self.recipe.precision == "fp16" and device.type == "cpu":
            raise ArgumentError("precision='fp16' needs a CUDA device, got device='cpu'; use 'fp32' or 'bf16'")
        if data.kind not in ("image", "vector"):
            raise DataError(
                f"the torch learner takes images or vectors, got data of kind {data.kind!r}; use a scikit-learn "
                "classifier or pipeline, or your own loop with a Recorder"
            )
        if len(data.class_names) < 2 or len(data) < 2:
            raise DataError(
                f"the torch learner needs at least 2 classes and 2 samples, got {len(data.class_names)} and {len(data)}"
            )
        check_shape(self.recipe, data)
        try_network(self.recipe, data, self.workers)

    def fit(
        self, data: Data, fit: Fit, sink: Sink, checkpoints: CheckpointStore, *, seed: int, report: Callable[..., None]
    ) -> None:
        """Train once, observing after each epoch that the sink asks for; continue after the last saved epoch.

        An epoch ends in one `checkpoints.save` of model, optimiser and sink, unless the last one is not as long ago as
        the store wants. `report("epoch", epoch=, epochs=, loss=, seconds=, observe_seconds=)` follows it. With several
        workers all of them call this, and the first alone feeds the sink, loads, saves and reports.

        Raises:
            ArgumentError: training diverged, the batch does not fit the device, or the sink wants features of a
                network without a linear layer.
            DataError: a vector holds NaN or infinity.
        """
        from unseen.learners.torch.loop import TorchTraining, last_linear, seconds_since
        from unseen.learners.torch.runtime import borrowed, explained, find_team

        device = self._device()
        team = find_team(self.workers, device)
        with borrowed(self.recipe, device, self.threads), explained(self.recipe, device):
            training = TorchTraining(self.recipe, data, fit, self._inputs(data, device, team.local), device, seed, team)
            last = self.recipe.epochs
            wished = {word for epoch in range(1, last + 1) for side in SIDES for word in sink.wants(side, epoch, last)}
            if "features" in wished and last_linear(training.model) is None:
                raise ArgumentError(
                    "features need a network with a torch.nn.Linear (they are the input of the last one), but "
                    f"{self.recipe.network!r} has none; choose scores without features, or another network"
                )
            saved = checkpoints.load() if team.leads else None
            if saved is not None:
                sink.restore(unpack("sink", saved))
            done = training.resume(saved)
            saved_at = time.monotonic()
            for epoch in range(done + 1, last + 1):
                start = time.perf_counter()
                loss = training.epoch(epoch)
                seconds = seconds_since(start, device)
                start = time.perf_counter()
                training.observe(sink, epoch)
                observed = seconds_since(start, device)
                if not team.leads:
                    continue
                if time.monotonic() - saved_at >= getattr(checkpoints, "spacing", 0.0):
                    state = {"epoch": np.asarray(epoch), **training.state(), **pack("sink", sink.state())}
                    checkpoints.save(state)
                    saved_at = time.monotonic()
                report("epoch", epoch=epoch, epochs=last, loss=loss, seconds=seconds, observe_seconds=observed)

    def _device(self) -> torch.device:
        load_torch()  # in another process this is where torch is first needed
        from unseen.learners.torch.runtime import find_device

        return find_device(self.device)

    def _inputs(self, data: Data, device: torch.device, sharers: int) -> Inputs:
        # The folds of one plan share the data; it is read once.
        from unseen.learners.torch.inputs import open_inputs

        if not self._opened or self._opened[0][0] is not data or self._opened[0][1].device != device:
            self._opened.clear()  # never two data sets in memory
            inputs = open_inputs(data, device, self.memory_limit, workers=self.data_workers, sharers=sharers)
            self._opened.append((data, inputs))
        return self._opened[0][1]
