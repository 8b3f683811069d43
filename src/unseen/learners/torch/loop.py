"""One training in progress: a network, its optimiser, and the epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unseen import seeds
from unseen.errors import ArgumentError, DataError, some
from unseen.exposure import Fit
from unseen.learners.torch import augment, checkpoint, networks, observe
from unseen.learners.torch.inputs import Inputs, Normaliser, fit_normaliser
from unseen.learners.torch.parallel import ALONE, Said, Team
from unseen.learners.torch.recipe import Recipe
from unseen.learners.torch.runtime import load_compiler, seed_global
from unseen.protocols import Data, Sink
from unseen.types import Arrays, IntArray, Observation, Side

__all__ = ["Training", "batched", "network_for"]

SUM_OF_ONE = 0.01  # bfloat16 rounds a probability by less than half of that


def network_for(data: Data, recipe: Recipe) -> nn.Module:
    """The network of a recipe for this data set, on the CPU."""
    classes = len(data.class_names)
    if data.kind == "vector":
        return networks.build(recipe.network, classes=classes, features=int(np.prod(data.sample_shape)))
    height, width, channels = data.sample_shape
    return networks.build(recipe.network, classes=classes, channels=channels, image_size=(height, width))


def batched(rows: IntArray, size: int) -> list[IntArray]:
    """Rows in batches; the last may be smaller, and a single row left over joins the batch before it.

    >>> [batch.tolist() for batch in batched(np.arange(5), 2)]
    [[0, 1], [2, 3, 4]]
    """
    starts = list(range(0, len(rows), size))
    if size > 1 and len(starts) > 1 and len(rows) - starts[-1] == 1:
        starts.pop()
    return [rows[start:end] for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


@dataclass
class Training:
    """Trains one network on `fit.train`; everything random depends on (seed, repeat, fold, epoch) alone.

    Args:
        recipe: how.
        data: ids and labels are read here, inputs from `inputs`.
        fit: what to train on and what to watch.
        inputs: the raw inputs.
        device: where.
        seed: the root seed.
        team: the processes that train together; all make the same calls, in the same order.

    """

    recipe: Recipe
    data: Data
    fit: Fit
    inputs: Inputs
    device: torch.device
    seed: int
    team: Team = ALONE

    def __post_init__(self) -> None:
        recipe, device = self.recipe, self.device
        self._labels = torch.from_numpy(np.array(self.data.labels)).to(device)
        self._in_train = np.zeros(len(self.data), bool)
        self._in_train[self.fit.train] = True
        seed_global(seeds.derive(self.seed, "init", self.fit.repeat, self.fit.fold), torch.device("cpu"))
        self._images = self.data.kind == "image"
        self._layout = torch.channels_last if recipe.channels_last and self._images else torch.contiguous_format
        self.model = network_for(self.data, recipe).to(device)
        self.model.to(memory_format=self._layout)  # type: ignore[call-overload]  # missing in torch's stubs
        joined = self.team.joined(self.model)
        self._call: Any = torch.compile(joined) if recipe.compile else joined
        self._optimiser = _optimiser(self.model, recipe)
        self._scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self._normalise: Normaliser = fit_normaliser(
            self.inputs, self.data.ids, self.fit.train, self.team, device=device
        )
        self._steps = recipe.epochs * len(batched(self.fit.train, recipe.batch_size))
        self._step = 0

    def epoch(self, epoch: int) -> float:
        """Train for one epoch, counted from 1; the mean loss.

        Raises:
            ArgumentError: the loss is no longer finite.

        """
        fit = self.fit
        ranked = seeds.order(self.seed, self.data.ids, "order", fit.repeat, epoch)
        batches = batched(ranked[self._in_train[ranked]], self.recipe.batch_size)
        own = (self.team.rank,) if self.team.rank else ()  # or all would drop alike
        seed_global(seeds.derive(self.seed, "dropout", fit.repeat, fit.fold, epoch, *own), self.device)
        draws = torch.Generator().manual_seed(seeds.derive(self.seed, "augment", fit.repeat, fit.fold, epoch))
        total = torch.zeros((), device=self.device)
        self.model.train()
        slices = [rows[self.team.slice(len(rows))] for rows in batches]
        for batch, rows, raw in zip(batches, slices, self.inputs.batches(slices), strict=True):
            m = len(batch)
            total += self._train(self._augmented(raw, draws, m), self._labels_of(rows), m) * m
        loss = float(self.team.sum(total.cpu().numpy())) / self.team.size / len(fit.train)
        if not np.isfinite(loss):
            raise ArgumentError(
                f"training diverged: the mean loss of epoch {epoch} of fit {fit.name} is {loss}; use a lower lr "
                f"(it is {self.recipe.lr}) or a longer warmup (it is {self.recipe.warmup})"
            )
        return loss

    def observe(self, sink: Sink, epoch: int) -> None:
        """Push what the model now makes of the watch sets, if the sink wants it."""
        sides: tuple[Side, ...] = ("unseen", "seen")
        for side in sides:
            wanted = sink.wants(side, epoch, self.recipe.epochs)
            if wanted and len(self.fit.watch(side)):
                for observation in self._observations(side, epoch, wanted):
                    sink.observe(side, observation)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything the next epoch depends on."""
        scaler = {name: np.asarray(value) for name, value in self._scaler.state_dict().items()}
        return {
            "step": np.asarray(self._step),
            **checkpoint.pack("model", {n: checkpoint.to_array(t) for n, t in self.model.state_dict().items()}),
            **checkpoint.pack("optim", checkpoint.packed_optimiser(self.model, self._optimiser)),
            **checkpoint.pack("scaler", scaler),
        }

    def restore(self, arrays: Arrays) -> None:
        """Go back to a saved state."""
        self._step = int(arrays["step"])
        checkpoint.unpack_model(self.model, checkpoint.part("model", arrays))
        checkpoint.unpack_optimiser(self.model, self._optimiser, checkpoint.part("optim", arrays))
        scaler = {name: array.item() for name, array in checkpoint.part("scaler", arrays).items()}
        if scaler:
            self._scaler.load_state_dict(scaler)

    def go_on(self, saved: Arrays | None) -> int:
        """Continue from the checkpoint that the first process of the team has, if it has one; the epochs done.

        The state of the sink is left out: it concerns that process alone.
        """
        own = None if saved is None else {name: a for name, a in saved.items() if not name.startswith("sink/")}
        state = self.team.shared(own)
        if state is None:
            return 0
        self.restore(state)
        return int(state["epoch"])

    def _train(self, inputs: Tensor, labels: Tensor, samples: int) -> Tensor:
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.rate(self._step, self._steps)
        self._optimiser.zero_grad(set_to_none=True)
        with self._mixed():
            logits = self._call(inputs)
        loss = self.team.loss(logits.float(), labels, self.recipe.label_smoothing, samples)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._step += 1
        return loss.detach()

    def _augmented(self, raw: Tensor, generator: torch.Generator, samples: int) -> Tensor:
        if not self._images:
            return self._normalise(raw)
        recipe = self.recipe
        # Drawn for the whole batch, so that an image is changed alike whichever process has it.
        draws = augment.draw(recipe, samples, (raw.shape[1], raw.shape[2]), generator)[self.team.slice(samples)]
        moved = augment.crop_and_flip(raw, draws, recipe.crop)
        return self._laid_out(augment.cut_out(self._normalise(moved), draws, recipe.cutout))

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).contiguous(memory_format=self._layout)

    def _observations(self, side: Side, epoch: int, wanted: frozenset[str]) -> Iterator[Observation]:
        batches = batched(self.fit.watch(side), self.recipe.observe_batch)
        with observe.evaluating(self.model):
            own = self._said(self.team.mine(batches), epoch, wanted)
            # The first process goes through all batches; the others send theirs.
            all_said = self.team.gathered(own, [len(rows) for rows in batches])
            for rows, (logits, features, norms) in zip(batches, all_said, strict=self.team.leads):
                yield Observation(rows, epoch, logits=logits, features=features, grad_norm=norms)

    def _said(self, batches: Sequence[IntArray], epoch: int, wanted: frozenset[str]) -> Iterator[Said]:
        for rows, raw in zip(batches, self.inputs.batches(batches), strict=True):
            inputs = self._laid_out(self._normalise(raw)) if self._images else self._normalise(raw)
            logits, features = self._logits(inputs, "features" in wanted)
            self._refuse_nonfinite(logits, inputs, rows, epoch)
            self._refuse_probabilities(logits)
            norms = None
            if "grad_norm" in wanted:
                norms = observe.gradient_norms(self.model, inputs, self._labels_of(rows))
            yield logits, features, norms

    def _logits(self, inputs: Tensor, with_features: bool) -> tuple[Tensor, Tensor | None]:
        with self._mixed():
            if not with_features:
                return self.model(inputs).float(), None
            with observe.listening(self.model) as features:
                return self.model(inputs).float(), features()

    def _labels_of(self, rows: IntArray) -> Tensor:
        return self._labels[torch.from_numpy(np.array(rows)).to(self.device)]

    def _mixed(self) -> torch.autocast:
        dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.recipe.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _refuse_nonfinite(self, logits: Tensor, inputs: Tensor, rows: IntArray, epoch: int) -> None:
        bad = ~logits.isfinite().all(dim=1)
        if not bad.any():
            return
        ids = some(self.data.ids[rows][bad.cpu().numpy()].tolist())
        if not inputs[bad].isfinite().all():
            raise DataError(f"features must be finite, but samples hold NaN or infinity: ids {ids}; remove them")
        raise ArgumentError(
            f"logits of fit {self.fit.name} after epoch {epoch} are NaN or infinite for ids {ids}: training diverged; "
            f"use a lower lr (it is {self.recipe.lr}) or a longer warmup (it is {self.recipe.warmup})"
        )

    def _refuse_probabilities(self, logits: Tensor) -> None:
        """Logits that all happen to be probabilities are none. (Log-probabilities are logits, too.)"""
        if len(logits) < 2 or bool((logits < 0).any()):
            return
        if bool(((logits.sum(dim=1) - 1).abs() < SUM_OF_ONE).all()):
            raise ArgumentError(
                f"network {self.recipe.network!r} must give logits, but its outputs in fit {self.fit.name} are "
                "probabilities: every row lies in [0, 1] and sums to 1; leave out its last softmax"
            )


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},  # biases, normalisation
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ArgumentError(f"network {recipe.network!r} must have parameters to train, but none requires a gradient")
    load_compiler()
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def seconds_since(start: float, device: torch.device) -> float:
    """Seconds since `start`, all work on the device being done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
