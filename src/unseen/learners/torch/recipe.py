"""How to train: every hyperparameter in one frozen object, and presets by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

import numpy as np

from unseen.core.checks import check_known
from unseen.errors import ArgumentError

Schedule = Literal["cosine", "one_cycle", "constant"]
Precision = Literal["fp32", "bf16", "fp16", "auto"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every hyperparameter of one training by seeded SGD on cross-entropy.

    Args:
        network: a built-in network (`"mlp"`, `"convnet"`, `"convnet7"`, `"resnet9"`, `"resnet18"`, `"resnet34"`,
            `"resnet50"`), or `"package.module:function"`, a factory called with `classes=, channels=,
            image_size=(H, W)` for images and with `classes=, features=` for vectors.
        epochs: passes over the training rows.
        batch_size: samples a step. The last batch of an epoch may be smaller; a single left-over sample joins the
            batch before it, because batch normalisation cannot take one sample alone.
        lr: highest learning rate.
        momentum: of SGD, in [0, 1).
        nesterov: Nesterov's momentum; needs `momentum` above 0.
        weight_decay: L2 penalty on weights, never on biases and normalisation parameters.
        schedule: after the warm-up, `"cosine"` falls to `final_lr` along half a cosine, `"one_cycle"` along a
            straight line, `"constant"` not at all.
        warmup: share of all steps in which the rate rises from 0 to `lr` along a straight line, in [0, 1).
        final_lr: rate that `"cosine"` and `"one_cycle"` fall to.
        label_smoothing: in [0, 1).
        flip: mirror each training image left to right with probability 1/2.
        crop: shift each training image by up to `crop` pixels each way, its border reflected; 0 for none.
        cutout: side of a square of each training image that is set to the mean; 0 for none.
        observe_batch: samples in one forward pass when observing; scores do not depend on it beyond rounding.
        precision: `"fp32"`, or mixed precision in `"bf16"` or `"fp16"` (CUDA only, with loss scaling); `"auto"` is
            `"bf16"` where the device has matrix units for it, else `"fp32"`.
        channels_last: keep images and weights in NHWC order, faster on most hardware.
        compile: compile the training step by `torch.compile`.
        threads: CPU threads of one fit, or None for all cores of this process; numbers depend on it in the last bit.
        deterministic: refuse operations that give other numbers from run to run on CUDA.

    Raises:
        ArgumentError: a value breaks its rule.

    >>> Recipe(network="mlp", epochs=3, lr=0.05).epochs
    3
    >>> Recipe(lr=-1.0)
    Traceback (most recent call last):
    unseen.errors.ArgumentError: lr of a recipe must be above 0, got -1.0
    """

    network: str = "convnet"
    epochs: int = 10
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: Schedule = "cosine"
    warmup: float = 0.0
    final_lr: float = 0.0
    label_smoothing: float = 0.0
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    observe_batch: int = 512
    precision: Precision = "fp32"
    channels_last: bool = True
    compile: bool = False
    threads: int | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, (types, words) = getattr(self, entry.name), _TYPES[str(entry.type)]
            if isinstance(value, np.generic):  # the numbers of a search, say
                value = value.item()
                object.__setattr__(self, entry.name, value)
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise ArgumentError(f"{entry.name} of a recipe must be {words}, got {value!r}")
        for name, (allowed, words) in _RULES.items():
            value = getattr(self, name)
            if value is not None and not allowed(value):
                raise ArgumentError(f"{name} of a recipe must be {words}, got {value!r}")
        if self.nesterov and self.momentum == 0:
            raise ArgumentError("nesterov of a recipe needs momentum above 0, got momentum=0; set nesterov=False")
        if self.final_lr and (self.schedule == "constant" or self.final_lr > self.lr):
            raise ArgumentError(
                f"final_lr of a recipe needs a falling schedule and at most lr, got final_lr={self.final_lr!r} with "
                f"schedule={self.schedule!r} and lr={self.lr!r}; leave it at 0"
            )

    @classmethod
    def named(cls, name: str, **changes: Any) -> Self:  # the values are checked by the constructor
        """Return a preset, with changes.

        Raises:
            UnknownNameError: no preset of that name.
            ArgumentError: no field of that name, or a value that breaks its rule.

        >>> Recipe.named("convnet", epochs=4).epochs
        4
        """
        check_known("recipe", [name], PRESETS)
        check_known("recipe field", changes, [entry.name for entry in fields(cls)])
        return replace(cls(**PRESETS[name]), **changes)

    def describe(self) -> dict[str, object]:
        """Return every field as JSON."""
        return asdict(self)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of one step, counted from 0, of `steps` in all.

        >>> recipe = Recipe(lr=1.0, schedule="one_cycle", warmup=0.5)
        >>> [recipe.rate(step, 4) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
        """
        rising = self.warmup * steps
        if step + 1 <= rising:
            return self.lr * (step + 1) / rising
        if self.schedule == "constant":
            return self.lr
        # From the top just after the warm-up to one step above the final rate at the last step.
        gone = (step - math.floor(rising)) / max(steps - math.floor(rising), 1)
        left = 1 - gone if self.schedule == "one_cycle" else (1 + math.cos(math.pi * gone)) / 2
        return self.final_lr + (self.lr - self.final_lr) * left


_ONE_CYCLE: dict[str, Any] = {"schedule": "one_cycle", "warmup": 0.2, "flip": True}
_SMOOTH: dict[str, Any] = {**_ONE_CYCLE, "label_smoothing": 0.1}
_RESNET: dict[str, Any] = {"epochs": 60, "batch_size": 256, "weight_decay": 1e-4, "flip": True}
PRESETS: dict[str, dict[str, Any]] = {
    "mlp": {"network": "mlp", "epochs": 20, "lr": 0.1, "warmup": 0.1},
    # Chosen on two cores by held-out accuracy for a CPU second: small batches, because steps are scarce.
    "convnet": _ONE_CYCLE
    | {"network": "convnet", "epochs": 5, "batch_size": 64, "lr": 0.15, "crop": 2, "precision": "auto"},
    # For one core with matrix units (AMX), where bfloat16 is three times faster than float32.
    "convnet7": _SMOOTH
    | {"network": "convnet7", "epochs": 10, "batch_size": 256, "lr": 0.3, "crop": 2, "precision": "auto"},
    "resnet9": _SMOOTH | {"network": "resnet9", "epochs": 16, "batch_size": 512, "lr": 0.4, "crop": 4, "cutout": 8},
    "resnet18": {"network": "resnet18", "epochs": 200, "flip": True, "crop": 4},
    "resnet18_fast": _SMOOTH
    | {"network": "resnet18", "epochs": 30, "batch_size": 256, "lr": 0.2, "crop": 4, "precision": "bf16"},
    "resnet34": {"network": "resnet34", **_RESNET},
    "resnet50": {"network": "resnet50", **_RESNET},
}

_Rule = tuple[Callable[[Any], bool], str]
_AT_LEAST_0: _Rule = (lambda v: 0 <= v < math.inf), "at least 0"
_AT_LEAST_1: _Rule = (lambda v: 1 <= v < math.inf), "at least 1"
_ABOVE_0: _Rule = (lambda v: 0 < v < math.inf), "above 0"
_SHARE: _Rule = (lambda v: 0 <= v < 1), "in [0, 1)"
_RULES: dict[str, _Rule] = {
    "network": (bool, "a network's name or 'package.module:function'"),
    "epochs": _AT_LEAST_1,
    "batch_size": _AT_LEAST_1,
    "lr": _ABOVE_0,
    "momentum": _SHARE,
    "weight_decay": _AT_LEAST_0,
    "schedule": ((lambda v: v in get_args(Schedule)), f"one of {get_args(Schedule)}"),
    "warmup": _SHARE,
    "final_lr": _AT_LEAST_0,
    "label_smoothing": _SHARE,
    "crop": _AT_LEAST_0,
    "cutout": _AT_LEAST_0,
    "observe_batch": _AT_LEAST_1,
    "precision": ((lambda v: v in get_args(Precision)), f"one of {get_args(Precision)}"),
    "threads": _AT_LEAST_1,
}
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
    "Schedule": ((str,), "text"),
    "Precision": ((str,), "text"),
    "int | None": ((int, type(None)), "an integer or None"),
}
