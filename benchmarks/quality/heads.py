"""The head that the CPU tier trains on frozen features: small, and able to fit its training set exactly."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Sequential):
    """One hidden layer of 128, normalised."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(nn.Linear(features, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


def head(*, classes: int, features: int) -> nn.Module:
    """A factory, as `unseen.learners.Recipe` takes one."""
    return Head(features, classes)
