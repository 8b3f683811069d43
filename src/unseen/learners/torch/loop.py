"""One training in progress: a network, its optimiser, the epochs, and the outputs of the model for samples.

The state is kept as named NumPy arrays: no pickle. A model is observed in evaluation mode, without augmentation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.optim.sgd import sgd

from unseen.core import seeds
from unseen.core.arrays import Arrays, IntArray, Named, pack, unpack
from unseen.core.exposure import SIDES, Fit, Observation
from unseen.core.protocols import Data, Sink
from unseen.errors import ArgumentError, CorruptFileError, DataError, some
from unseen.learners.base import look_like_probabilities
from unseen.learners.torch import inputs as augment
from unseen.learners.torch import networks
from unseen.learners.torch.inputs import Inputs, fit_normaliser
from unseen.learners.torch.recipe import Recipe
from unseen.learners.torch.runtime import ALONE, Outputs, Team, load_compiler, seed_global


def to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """Copy a tensor to an array; NumPy has no bfloat16, so its bits become int16."""
    copy = tensor.detach().to("cpu", copy=True).contiguous()
    return copy.view(torch.int16).numpy() if copy.dtype == torch.bfloat16 else copy.numpy()


def load_tensors(what: str, tensors: Mapping[str, Tensor], arrays: Arrays) -> None:
    """Copy each array into the tensor of its name; refuse other names or shapes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    got = {name: array.shape for name, array in arrays.items()}
    if got != shapes:
        differ = sorted(name for name in {*shapes, *got} if shapes.get(name) != got.get(name))
        raise CorruptFileError(
            f"the checkpoint must hold the {what} state of this network, but these entries differ: "
            f"{', '.join(differ[:5])}; delete the checkpoint of this fit to train it again"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            source = torch.from_numpy(np.array(arrays[name]))
            tensor.copy_(source.view(torch.bfloat16) if tensor.dtype == torch.bfloat16 else source)


class SGD:
    """Stochastic gradient descent with momentum, as `torch.optim.SGD`, in one pass over the weights.

    Optimisers of torch import its compiler at their first step, which takes as long as importing torch itself. Like
    them, this one has `param_groups` and `step`, which is what `torch.amp.GradScaler` uses.

    Raises:
        ArgumentError: the network has nothing to train.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not trained:
            raise ArgumentError(
                f"network {recipe.network!r} must have parameters to train, but none requires a gradient"
            )
        self._momentum, self._nesterov = recipe.momentum, recipe.nesterov
        self.lr = recipe.lr
        self.buffers = {name: torch.zeros_like(p) for name, p in trained.items()} if recipe.momentum else {}
        self.param_groups: list[dict[str, Any]] = []
        for decay, decayed in ((recipe.weight_decay, True), (0.0, False)):  # not of biases and normalisation
            names = [name for name, p in trained.items() if (p.ndim > 1) == decayed]
            parameters, buffers = [trained[name] for name in names], [self.buffers.get(name) for name in names]
            self.param_groups.append({"params": parameters, "buffers": buffers, "weight_decay": decay})

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        for group in self.param_groups:
            pairs = zip(group["params"], group["buffers"], strict=True)
            used = [(p, buffer) for p, buffer in pairs if p.grad is not None]
            if not used:
                continue
            sgd(
                [p for p, _ in used],
                [p.grad for p, _ in used],
                [buffer for _, buffer in used],
                # The fused step of torch 2.13 is not deterministic for bfloat16.
                fused=all(p.dtype == torch.float32 and not p.grad.is_sparse for p, _ in used),
                foreach=False,
                weight_decay=group["weight_decay"],
                momentum=self._momentum,
                lr=self.lr,
                dampening=0.0,
                nesterov=self._nesterov,
                maximize=False,
            )

    def state(self) -> Named:
        """Return the momentum of each parameter under the name of the parameter."""
        return {name: to_array(buffer) for name, buffer in self.buffers.items()}

    def restore(self, arrays: Arrays) -> None:
        """Give each parameter its momentum back."""
        load_tensors("optimiser", self.buffers, arrays)


_GRADIENT_FLOATS = 1 << 25  # 128 MiB of one-sample gradients at a time


def last_linear(model: nn.Module) -> nn.Linear | None:
    """Return the linear layer that was defined last, or None."""
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return found[-1] if found else None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode; every module goes back to its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def gradient_norms(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Compute the norm of the gradient of plain cross-entropy over all parameters for each sample, float32 (m,).

    It is made in evaluation mode and full precision, in chunks of bounded memory. Source: Paul et al. 2021 (arXiv
    2107.07075), GraNd.

    >>> model = nn.Linear(2, 2, bias=False)
    >>> with torch.no_grad(): _ = model.weight.zero_()
    >>> round(gradient_norms(model, torch.tensor([[3.0, 4.0]]), torch.tensor([0])).item(), 4)
    3.5355
    """
    load_compiler()
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
        for some_inputs, some_labels in zip(torch.split(inputs, chunk), torch.split(labels, chunk), strict=True):
            gradients = each(trained, some_inputs, some_labels)
            squares = [g.detach().flatten(1).square().sum(dim=1) for g in gradients.values()]
            norms.append(torch.stack(squares).sum(dim=0).sqrt())
    return torch.cat(norms)


def network_for(data: Data, recipe: Recipe) -> nn.Module:
    """Build the network of a recipe for this data set, on the CPU."""
    classes = len(data.class_names)
    if data.kind == "vector":
        return networks.build(recipe.network, classes=classes, features=int(np.prod(data.sample_shape)))
    height, width, channels = data.sample_shape
    return networks.build(recipe.network, classes=classes, channels=channels, image_size=(height, width))


def network_bytes(recipe: Recipe, data: Data) -> tuple[float, float]:
    """Count the bytes of a network in training, and those that a sample adds, by a forward pass of 4 on the CPU."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng([]):
        model = network_for(data, recipe).train()
        inputs = torch.from_numpy(np.array(data.take(np.arange(len(data))[:4]), np.float32))
        if data.kind == "image":
            inputs = inputs.permute(0, 3, 1, 2)
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            outputs = model(inputs)
    del outputs
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    fixed = sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()]) - trained
    size = 2 if recipe.precision in ("bf16", "fp16") else 4
    activations = sum(nbytes for place, nbytes in kept.items() if place not in own)
    return 3.0 * trained + fixed, activations / len(inputs) * size / 4


def batched(rows: IntArray, size: int) -> list[IntArray]:
    """Divide rows into batches; the last may be smaller, and a single row left over joins the batch before it.

    >>> [batch.tolist() for batch in batched(np.arange(5), 2)]
    [[0, 1], [2, 3, 4]]
    """
    starts = list(range(0, len(rows), size))
    if size > 1 and len(starts) > 1 and len(rows) - starts[-1] == 1:
        starts.pop()
    return [rows[start:end] for start, end in pairwise([*starts, len(rows)])]


@dataclass
class TorchTraining:
    """Trains one network on `fit.train`; everything random depends on (seed, repeat, fold, epoch) alone."""

    recipe: Recipe
    data: Data  # ids and labels are read here, inputs from `inputs`
    fit: Fit
    inputs: Inputs
    device: torch.device
    seed: int  # the root seed
    team: Team = ALONE  # the processes that train together; all make the same calls, in the same order

    def __post_init__(self) -> None:
        recipe, device = self.recipe, self.device
        self._labels = torch.from_numpy(np.array(self.data.labels)).to(device)
        seed_global(seeds.derive(self.seed, "init", self.fit.repeat, self.fit.fold), torch.device("cpu"))
        self._images = self.data.kind == "image"
        self._layout = torch.channels_last if recipe.channels_last and self._images else torch.contiguous_format
        self.model = network_for(self.data, recipe).to(device)
        self.model.to(memory_format=self._layout)  # type: ignore[call-overload]  # missing in torch's stubs
        joined = self.team.joined(self.model)
        self._call: Any = torch.compile(joined) if recipe.compile else joined
        self._optimiser = SGD(self.model, recipe)
        self._scaler: Any = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self._normalise = fit_normaliser(self.inputs, self.data.ids, self.fit.train, self.team)
        self._steps = recipe.epochs * len(batched(self.fit.train, recipe.batch_size))
        self._step = 0
        self._remedy = f"use a lower lr (it is {recipe.lr}) or a longer warmup (it is {recipe.warmup})"

    def epoch(self, epoch: int) -> float:
        """Train for one epoch, counted from 1; return the mean loss, and refuse one that is no longer finite."""
        fit = self.fit
        order = seeds.order(self.seed, self.data.ids[fit.train], "order", fit.repeat, epoch)
        batches = batched(fit.train[order], self.recipe.batch_size)
        own = (self.team.rank,) if self.team.rank else ()  # so that each process drops other units
        seed_global(seeds.derive(self.seed, "dropout", fit.repeat, fit.fold, epoch, *own), self.device)
        draws = torch.Generator().manual_seed(seeds.derive(self.seed, "augment", fit.repeat, fit.fold, epoch))
        total = torch.zeros((), device=self.device)
        self.model.train()
        slices = [rows[self.team.slice(len(rows))] for rows in batches]
        for batch, rows, raw in zip(batches, slices, self.inputs.batches(slices), strict=True):
            m = len(batch)
            self._optimiser.lr = self.recipe.rate(self._step, self._steps)
            self._optimiser.zero_grad()
            with self._mixed():
                logits = self._call(self._augment(raw, draws, m))
            loss = self.team.loss(logits.float(), self._labels_of(rows), self.recipe.label_smoothing, m)
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimiser)
            self._scaler.update()
            self._step += 1
            total += loss.detach() * m
        mean = float(self.team.sum(total.cpu().numpy())) / self.team.size / len(fit.train)
        if not np.isfinite(mean):
            raise ArgumentError(
                f"training diverged: the mean loss of epoch {epoch} of fit {fit.name} is {mean}; {self._remedy}"
            )
        return mean

    def observe(self, sink: Sink, epoch: int) -> None:
        """Push the outputs of the model for the watch sets, if the sink wants them."""
        for side in SIDES:
            wanted = sink.wants(side, epoch, self.recipe.epochs)
            if not wanted or not len(self.fit.watch(side)):
                continue
            batches = batched(self.fit.watch(side), self.recipe.observe_batch)
            with evaluating(self.model):
                own = self._outputs(self.team.mine(batches), epoch, wanted)
                # The first process goes through all batches; the others send theirs.
                gathered = self.team.gathered(own, [len(rows) for rows in batches])
                for rows, (logits, features, norms) in zip(batches, gathered, strict=self.team.leads):
                    sink.observe(side, Observation(rows, epoch, logits=logits, features=features, grad_norm=norms))

    def state(self) -> Named:
        """Return everything the next epoch depends on."""
        scaler = {name: np.asarray(value) for name, value in self._scaler.state_dict().items()}
        return {
            "step": np.asarray(self._step),
            **pack("model", {n: to_array(t) for n, t in self.model.state_dict().items()}),
            **pack("optim", self._optimiser.state()),
            **pack("scaler", scaler),
        }

    def resume(self, saved: Arrays | None) -> int:
        """Continue from the checkpoint that the first process of the team has, if it has one; return the epochs done.

        The state of the sink is left out: it concerns that process alone.
        """
        own = None if saved is None else {name: a for name, a in saved.items() if not name.startswith("sink/")}
        state = self.team.shared(own)
        if state is None:
            return 0
        self._step = int(state["step"])
        load_tensors("model", self.model.state_dict(), unpack("model", state))
        self._optimiser.restore(unpack("optim", state))
        scaler = {name: array.item() for name, array in unpack("scaler", state).items()}
        if scaler:
            self._scaler.load_state_dict(scaler)
        return int(state["epoch"])

    def _augment(self, raw: Tensor, generator: torch.Generator, samples: int) -> Tensor:
        if not self._images:
            return self._normalise(raw)
        recipe = self.recipe
        # Drawn for the whole batch, so that an image is changed alike whichever process has it.
        draws = augment.draw(recipe, samples, (raw.shape[1], raw.shape[2]), generator)[self.team.slice(samples)]
        moved = augment.crop_and_flip(raw, draws, recipe.crop)
        return self._lay_out(augment.cut_out(self._normalise(moved), draws, recipe.cutout))

    def _lay_out(self, inputs: Tensor) -> Tensor:
        return inputs.permute(0, 3, 1, 2).contiguous(memory_format=self._layout) if self._images else inputs

    def _outputs(self, batches: Sequence[IntArray], epoch: int, wanted: frozenset[str]) -> Iterator[Outputs]:
        for rows, raw in zip(batches, self.inputs.batches(batches), strict=True):
            inputs = self._lay_out(self._normalise(raw))
            logits, features = self._forward(inputs, "features" in wanted)
            self._check_logits(logits, inputs, rows, epoch)
            norms = gradient_norms(self.model, inputs, self._labels_of(rows)) if "grad_norm" in wanted else None
            yield logits, features, norms

    def _forward(self, inputs: Tensor, with_features: bool) -> tuple[Tensor, Tensor | None]:
        """Return the logits, and the input of the last linear layer where it is wanted."""
        captured: list[Tensor] = []

        def capture(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            captured[:] = [given[0].detach().float()]

        with ExitStack() as stack:
            if with_features and (layer := last_linear(self.model)) is not None:
                stack.callback(layer.register_forward_pre_hook(capture).remove)
            stack.enter_context(self._mixed())
            logits = self.model(inputs).float()
        if not with_features:
            return logits, None
        if not captured or captured[0].ndim != 2:
            raise ArgumentError(
                "features need a last torch.nn.Linear that takes one vector a sample, but its input has shape "
                f"{tuple(captured[0].shape) if captured else '() (it was not called)'}; choose a score without features"
            )
        return logits, captured[0]

    def _labels_of(self, rows: IntArray) -> Tensor:
        return self._labels[torch.from_numpy(np.array(rows)).to(self.device)]

    def _mixed(self) -> torch.autocast:
        dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.recipe.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _check_logits(self, logits: Tensor, inputs: Tensor, rows: IntArray, epoch: int) -> None:
        """Refuse NaN, infinity, and probabilities; log-probabilities are logits, too."""
        bad = ~logits.isfinite().all(dim=1)
        if bad.any():
            ids = some(self.data.ids[rows][bad.cpu().numpy()].tolist())
            if not inputs[bad].isfinite().all():
                raise DataError(f"features must be finite, but samples hold NaN or infinity: ids {ids}; remove them")
            raise ArgumentError(
                f"logits of fit {self.fit.name} after epoch {epoch} are NaN or infinite for ids {ids}: training "
                f"diverged; {self._remedy}"
            )
        if len(logits) > 1 and look_like_probabilities(logits):
            raise ArgumentError(
                f"network {self.recipe.network!r} must give logits, but its outputs in fit {self.fit.name} are "
                "probabilities: every row lies in [0, 1] and sums to 1; leave out its last softmax"
            )


def seconds_since(start: float, device: torch.device) -> float:
    """Return the seconds since `start`, after all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
