"""Factories that tests name as `torch_networks:function`."""

import torch
from torch import nn

number = 3


def dropping(*, classes, channels, image_size):
    size = channels * image_size[0] * image_size[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, classes))


def normed(*, classes, channels, image_size):
    size = channels * image_size[0] * image_size[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))


def forgetful(*, classes, channels, image_size):
    norm = nn.BatchNorm2d(channels, track_running_stats=False)
    return nn.Sequential(norm, headless(classes=classes, channels=channels, image_size=image_size))


def headless(*, classes, channels, image_size):
    return nn.Sequential(nn.Conv2d(channels, classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def tokens(*, classes, channels, image_size):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(channels, classes)

        def forward(self, x):
            return self.head(x.flatten(2).transpose(1, 2)).mean(1)

    return Tokens()


def overflowing(*, classes, channels, image_size):
    class Overflowing(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(channels * image_size[0] * image_size[1], classes)

        def forward(self, x):
            out = self.head(x.flatten(1))
            return out if self.training else out * float("inf")

    return Overflowing()


def softmaxed(*, classes, channels, image_size):
    body = normed(classes=classes, channels=channels, image_size=image_size)
    return nn.Sequential(*body, nn.Softmax(dim=1))


def log_softmaxed(*, classes, channels, image_size):
    body = normed(classes=classes, channels=channels, image_size=image_size)
    return nn.Sequential(*body, nn.LogSoftmax(dim=1))


def vector(*, classes, features):
    return nn.Sequential(nn.Linear(features, 5), nn.Tanh(), nn.Linear(5, classes))


def wrong(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size[0] * image_size[1], classes - 1))


def broken(*, classes, channels, image_size):
    return nn.Linear(1, classes)


def lazy(*, classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def stateful(*, classes, channels, image_size):
    class Stateful(nn.Linear):
        def get_extra_state(self):
            return {"steps": 1}

    return Stateful(image_size[1], classes)


def half(*, classes, channels, image_size):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(channels * image_size[0] * image_size[1], classes).to(torch.bfloat16)

        def forward(self, x):
            return self.inner(x.flatten(1).to(torch.bfloat16))

    return Half()
