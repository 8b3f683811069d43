"""The built-in networks, and the factory that finds them or one of the user's own by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from unseen.core.registry import import_named
from unseen.errors import ArgumentError, UnknownNameError


class Classifier(nn.Module):
    """A network of a body, which turns each input into a vector, and a linear head."""

    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits (m, classes) of inputs (m, features) or (m, C, H, W)."""
        logits: Tensor = self.head(self.body(x))
        return logits


def mlp(*, classes: int, features: int = 0, channels: int = 0, image_size: tuple[int, int] = (0, 0)) -> Classifier:
    """Make two hidden layers of 256 rectified units on vectors, or on images laid out as vectors."""
    inputs = features or channels * image_size[0] * image_size[1]
    body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    return Classifier(body, 256, classes)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, pool: bool = False) -> nn.Sequential:
    # Pooling comes before the normalisation: the rest of the layer is done on a quarter of the values.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _pooled(*layers: nn.Module, width: int, classes: int) -> Classifier:
    """Make a classifier of layers that end in `width` maps, by the largest value of each map."""
    return Classifier(nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten()), width, classes)


def _first(channels: int, outputs: int, image_size: tuple[int, int]) -> nn.Sequential:
    # It halves the resolution, so that most work is on small maps; images below 16 pixels have none to spare.
    return _conv(channels, outputs, 4, 2) if min(image_size) >= 16 else _conv(channels, outputs)


def convnet(*, classes: int, channels: int, image_size: tuple[int, int]) -> Classifier:
    """Make four convolutions for two CPU cores."""
    _large_enough("convnet", image_size, 8)
    return _pooled(
        _first(channels, 24, image_size),
        _conv(24, 32, pool=True),
        _conv(32, 64, pool=True),
        _conv(64, 128),
        width=128,
        classes=classes,
    )


def convnet7(*, classes: int, channels: int, image_size: tuple[int, int]) -> Classifier:
    """Make seven convolutions that fit images of 32 pixels in minutes on one core that multiplies in bfloat16.

    Widths are multiples of 32, which tiles of such a core hold whole.
    """
    _large_enough("convnet7", image_size, 8)
    return _pooled(
        _first(channels, 32, image_size),
        _conv(32, 64),
        _conv(64, 64, pool=True),
        _conv(64, 128),
        _conv(128, 128, pool=True),
        _conv(128, 256),
        _conv(256, 256),
        width=256,
        classes=classes,
    )


def resnet9(*, classes: int, channels: int, image_size: tuple[int, int]) -> Classifier:
    """Make four stages of convolutions, two of them with a residual pair: strong on small images in few epochs."""
    _large_enough("resnet9", image_size, 8)
    return _pooled(
        _conv(channels, 64),
        _conv(64, 128, pool=True),
        _Residual(_conv(128, 128), _conv(128, 128)),
        _conv(128, 256, pool=True),
        _conv(256, 512, pool=True),
        _Residual(_conv(512, 512), _conv(512, 512)),
        width=512,
        classes=classes,
    )


class _Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (ResNet-18 and -34), or a bottleneck of three (ResNet-50)."""

    def __init__(self, inputs: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        kernel = 1 if bottleneck else 3
        self.inner = nn.Sequential(
            *([_conv(inputs, width, 1)] if bottleneck else []),
            _conv(width if bottleneck else inputs, width, 3, stride),
            nn.Conv2d(width, outputs, kernel, 1, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.inner(x) + self.shortcut(x), inplace=True)


def resnet(
    *,
    classes: int,
    channels: int,
    image_size: tuple[int, int],
    blocks: tuple[int, int, int, int],
    bottleneck: bool = False,
    small: bool = False,
) -> Classifier:
    """Make a residual network (He et al. 2016, arXiv 1512.03385) from the number of blocks in each of four stages.

    ResNet-50 has bottlenecks, blocks of three convolutions. The stem for small images is one 3 x 3 convolution of
    stride 1, else one of 7 x 7 of stride 2 and a pooling.
    """
    _large_enough("resnet", image_size, 8 if small else 32)
    layers: list[nn.Module] = (
        [_conv(channels, 64)] if small else [_conv(channels, 64, 7, 2), nn.MaxPool2d(3, 2, padding=1)]
    )
    inputs = 64
    for stage, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True)):
        for index in range(count):
            stride = 2 if stage and not index else 1
            layers.append(_Block(inputs, width, stride, bottleneck=bottleneck))
            inputs = 4 * width if bottleneck else width
    network = Classifier(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), inputs, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "convnet": convnet,
    "convnet7": convnet7,
    "resnet9": resnet9,
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2), small=True),
    "resnet34": partial(resnet, blocks=(3, 4, 6, 3)),
    "resnet50": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
}


def build(
    network: str, *, classes: int, channels: int = 0, image_size: tuple[int, int] | None = None, features: int = 0
) -> nn.Module:
    """Build a network by name, its weights drawn from the global torch generator (seed that inside `fork_rng`).

    `network` is a built-in name, or `"package.module:function"`. `image_size` is (height, width), or None for vectors.

    Raises:
        UnknownNameError: no built-in network of that name.
        ArgumentError: it cannot be imported, takes no such input, or makes no `nn.Module`.

    >>> import torch
    >>> build("mlp", classes=3, features=4)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """
    factory: Any = NETWORKS.get(network)
    if ":" in network:
        factory = import_named(f"network {network!r}", network)
    if factory is None:
        raise UnknownNameError("network", network, [*NETWORKS, "package.module:function"])
    if image_size is None and network != "mlp" and ":" not in network:
        raise ArgumentError(f"network {network!r} needs images, but the data are vectors; use network='mlp'")
    shape: dict[str, Any] = (
        {"features": features} if image_size is None else {"channels": channels, "image_size": image_size}
    )
    try:
        made = factory(classes=classes, **shape)
    except TypeError as error:
        words = ", ".join(f"{name}=" for name in ("classes", *shape))
        raise ArgumentError(f"network {network!r} must be a function called with {words}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ArgumentError(f"network {network!r} must make a torch.nn.Module, got {type(made).__name__}")
    return made


def _large_enough(network: str, image_size: tuple[int, int], least: int) -> None:
    if min(image_size) < least:
        raise ArgumentError(
            f"network {network!r} needs images of at least {least} x {least} pixels, got {image_size[0]} x "
            f"{image_size[1]}; use network='mlp' or larger images"
        )
